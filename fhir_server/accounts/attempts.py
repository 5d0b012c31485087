"""Each failure in a row makes the next attempt wait longer; nothing is ever locked for good.

Whoever tries from a browser that its owner has signed in with before waits for that browser's own failures alone, so
that a stranger's guesses keep nobody out.  OWASP Authentication Cheat Sheet: device cookies; NIST SP 800-63B-4 s. 3.2.2

_id           who tries at what, as a hash
failures      in a row, the attempt that is under way included
not_before    when the next may be made
expires_at    MongoDB forgets it
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from pymongo import IndexModel, WriteConcern
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from fhir_server.storage.store import answering

COLLECTION = "_attempts"
#: So many failures cost nothing: a finger that slips.
FREE = 3
FIRST = timedelta(seconds=2)
#: No wait is longer.
LAST = timedelta(minutes=10)
FORGOTTEN = timedelta(hours=24)


class Wait(Exception):
    """It is too early for another attempt.  `after`: how long to wait."""

    def __init__(self, after: timedelta):
        super().__init__(f"wait {after}")
        self.after = after

    @property
    def seconds(self) -> int:
        """How many seconds to wait, at least one."""
        return max(1, -int(-self.after.total_seconds() // 1))


class Attempts:
    """The failures in a row of each who tries."""

    def __init__(self, database: Database, clock: Callable[[], datetime]):
        self._attempts = database[COLLECTION].with_options(write_concern=WriteConcern("majority", j=True))
        self._clock = clock

    def prepare(self) -> None:
        """Let MongoDB forget old failures."""
        self._attempts.create_indexes(
            [IndexModel("expires_at", name="expires_at", expireAfterSeconds=0)],
            commitQuorum=0,  # as storage/indexes.py does, and for its reason
        )

    def begin(self, *who: str) -> None:
        """Count an attempt before it is made, as a failure, in one write.  Raises Wait when it is too early for it."""
        key, now = _hash(who), self._clock()
        with answering():
            try:
                self._attempts.update_one(
                    {"_id": key, "$or": [{"not_before": {"$lte": now}}, {"expires_at": {"$lte": now}}]},
                    _one_more(now),
                    upsert=True,
                )
            except DuplicateKeyError:
                kept = self._attempts.find_one({"_id": key}) or {}
                raise Wait(max(kept.get("not_before", now) - now, timedelta(seconds=1))) from None

    def succeeded(self, *who: str) -> None:
        """Forget the failures of who has succeeded."""
        with answering():
            self._attempts.delete_one({"_id": _hash(who)})


def delay(failures: int) -> timedelta:
    """
    How long the attempt after so many failures in a row has to wait.

    >>> [delay(n).total_seconds() for n in (1, 3, 4, 5, 8, 40)]
    [0.0, 0.0, 2.0, 4.0, 32.0, 600.0]
    """
    if failures <= FREE:
        return timedelta(0)
    return min(FIRST * 2 ** min(failures - FREE - 1, 32), LAST)


#: `delay` in milliseconds, by the number of failures; the last holds for all beyond.
_DELAYS = [round(delay(failures).total_seconds() * 1000) for failures in range(FREE + 12)]


def _one_more(now: datetime) -> list[dict[str, Any]]:
    """The update that counts one more, and says when the next may come."""
    alive = {"$gt": ["$expires_at", now]}
    failures = {"$add": [{"$cond": [alive, "$failures", 0]}, 1]}
    after = {"$arrayElemAt": [_DELAYS, {"$min": ["$failures", len(_DELAYS) - 1]}]}
    return [
        {"$set": {"failures": failures}},
        {"$set": {"not_before": {"$add": [now, after]}, "expires_at": now + FORGOTTEN}},
    ]


def _hash(who: tuple[str, ...]) -> str:
    return hashlib.sha256("\0".join(who).encode("utf-8", "replace")).hexdigest()
