"""How often something may be tried: counted in MongoDB, for all workers at once, with the `limits` library.

Who is counted is kept as a hash: an address or a login says something of a person.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from limits import RateLimitItem, RateLimitItemPerSecond
from limits.storage import MongoDBStorage
from limits.strategies import FixedWindowRateLimiter
from pymongo import IndexModel
from pymongo.database import Database

from fhir_server.storage.store import answering

COLLECTION = "_rates"


@dataclass(frozen=True)
class Rate:
    """So many of `name` in `period`."""

    name: str
    amount: int
    period: timedelta

    @property
    def item(self) -> RateLimitItem:
        """The same, as `limits` says it."""
        return RateLimitItemPerSecond(self.amount, int(self.period.total_seconds()), namespace=self.name)


class Rates:
    """The counters of this server."""

    def __init__(self, database: Database):
        self._storage = _Shared(database)
        self._limiter = FixedWindowRateLimiter(self._storage)

    def prepare(self) -> None:
        """Let MongoDB forget what is over; the library would make these indexes at the first request."""
        dead = IndexModel("expireAt", expireAfterSeconds=0)  # by the name that the library gives it
        self._storage.counters.create_indexes([dead], commitQuorum=0)  # as storage/indexes.py does, and for its reason

    def hit(self, rate: Rate, *who: str) -> bool:
        """Count one more of `who`; whether it is still within the rate."""
        with answering():
            return self._limiter.hit(rate.item, _hash(who))

    def allows(self, rate: Rate, *who: str) -> bool:
        """Whether one more of `who` would be within the rate."""
        with answering():
            return self._limiter.test(rate.item, _hash(who))

    def give_back(self, rate: Rate, *who: str) -> None:
        """Take back one that was counted and should not have been, such as a sign-in that succeeded."""
        with answering():
            self._storage.incr(rate.item.key_for(_hash(who)), rate.item.get_expiry(), amount=-1)

    def wait(self, rate: Rate, *who: str) -> timedelta:
        """How long until `who` is counted from nought again."""
        with answering():
            ends = self._limiter.get_window_stats(rate.item, _hash(who)).reset_time
        return timedelta(seconds=max(1, round(ends - time.time())))


class _Shared(MongoDBStorage):
    """The storage of `limits` on the connections that this process already has, which it must not close."""

    STORAGE_SCHEME = ["mongodb+shared"]

    def __init__(self, database: Database):
        self._client = database.client
        super().__init__("", database.name, COLLECTION, f"{COLLECTION}_windows")

    @property
    def counters(self) -> Any:
        """Where it counts.  `limits` would first make its indexes, which `prepare` has done."""
        return self._client[self._database_name][COLLECTION]

    def _init_mongo_client(self, uri: str | None, **options: Any) -> Any:
        return self._client

    def __del__(self) -> None:
        """Leave the connections to who opened them."""


def _hash(who: tuple[str, ...]) -> str:
    return hashlib.sha256("\0".join(who).encode("utf-8", "replace")).hexdigest()
