"""Refresh tokens: each is for one use and gives the next; an old one that comes again ends them all.  RFC 9700 s. 4.14

A refresh token is `family.secret`: whoever knows the family has held a token of it.

_id             SHA-256 of the family
current         SHA-256 of the secret of the one token that is good; generation, the how many-th it is
grounds         what is issued on (`grounds.py`); grant, session, sub, client_id and code: what the family ends with
status          "live", "ended", or "reused"
expires_at      datetime: by then it has to be used again; ends_at: it goes on no longer than this, however it is used
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pymongo import IndexModel, WriteConcern
from pymongo.database import Database

from fhir_server.smart import grounds
from fhir_server.smart.grounds import Grounds
from fhir_server.smart.tokens import ENTROPY, LIVE, digest
from fhir_server.storage.store import answering

COLLECTION = "_refresh"
#: An app that has not come back for so long asks the person again.  RFC 9700 s. 4.14.2
IDLE = timedelta(days=90)
#: What belongs to a session is over with it; a session lasts no longer than this after the sign-in.
ONLINE = timedelta(hours=12)
ENDS = ("grant", "session", "sub", "client_id", "code")


class Reused(Exception):
    """The token had been used before: whoever has the next one is not to be trusted."""


@dataclass(frozen=True)
class Family:
    """A family as it was found; `id` is the hash."""

    id: str
    grounds: Grounds
    generation: int
    code: str | None
    ends_at: datetime


class Families:
    """The families of refresh tokens of this server."""

    def __init__(self, database: Database, clock: Callable[[], datetime]):
        self._families = database[COLLECTION].with_options(write_concern=WriteConcern("majority", j=True))
        self._clock = clock

    def prepare(self) -> None:
        """Let families be found by what they end with, and MongoDB remove those that are dead."""
        dead = IndexModel("expires_at", name="expires_at", expireAfterSeconds=0)
        ends = [IndexModel(name, name=name, sparse=True) for name in ENDS]
        self._families.create_indexes([dead, *ends], commitQuorum=0)

    def start(self, on: Grounds, *, code: str) -> tuple[str, str]:
        """The id of a new family, and its first token."""
        name, secret = secrets.token_urlsafe(ENTROPY), secrets.token_urlsafe(ENTROPY)
        now = self._clock()
        ends_at = on.until if on.is_lasting and on.until else on.auth_time + ONLINE
        kept: dict[str, Any] = {
            "_id": digest(name),
            "current": digest(secret),
            "generation": 1,
            "grounds": grounds.document(on),
            "sub": on.sub,
            "client_id": on.client_id,
            "code": code,
            "status": LIVE,
            "created_at": now,
            "expires_at": min(ends_at, now + IDLE),
            "ends_at": ends_at,
        }
        kept |= {"grant": on.grant} if on.grant else {}
        kept |= {} if on.is_lasting else {"session": on.session}
        with answering():
            self._families.insert_one(kept)
        return kept["_id"], f"{name}.{secret}"

    def find(self, token: object) -> Family | None:
        """The living family that this token is of, be it the one that is good or an old one."""
        if not isinstance(token, str) or not token.isascii() or token.count(".") != 1:
            return None
        with answering():
            kept = self._families.find_one({"_id": digest(token.partition(".")[0]), **self._living()})
        return _family(kept) if kept else None

    def is_current(self, family: Family, token: str) -> bool:
        """Whether this is the one token of the family that is good."""
        with answering():
            return self._families.find_one({**self._one(family, token), **self._living()}, {"_id": 1}) is not None

    def rotate(self, family: Family, token: str) -> str:
        """The next token of the family; `token` is spent.  Raises Reused if it had been."""
        name, secret = token.partition(".")[0], secrets.token_urlsafe(ENTROPY)
        now = self._clock()
        with answering():
            done = self._families.update_one(
                {**self._one(family, token), **self._living()},
                {
                    "$set": {"current": digest(secret), "expires_at": min(family.ends_at, now + IDLE)},
                    "$inc": {"generation": 1},
                },
            )
        if not done.matched_count:
            raise Reused
        return f"{name}.{secret}"

    def distrust(self, family: Family) -> bool:
        """End the family, of which a token came twice; whether it had not ended yet."""
        with answering():
            done = self._families.update_one({"_id": family.id, "status": LIVE}, {"$set": {"status": "reused"}})
        return done.modified_count == 1

    def is_live(self, id: str) -> bool:
        """Whether the family with this id still lives."""
        with answering():
            return self._families.find_one({"_id": id, **self._living()}, {"_id": 1}) is not None

    def end(self, **of: str) -> int:
        """End the families of this grant, session, sub, client_id, code or _id; how many there were."""
        with answering():
            return self._families.update_many({**of, "status": LIVE}, {"$set": {"status": "ended"}}).modified_count

    def _one(self, family: Family, token: str) -> dict[str, Any]:
        return {"_id": family.id, "current": digest(token.partition(".")[2])}

    def _living(self) -> dict[str, Any]:
        return {"status": LIVE, "expires_at": {"$gt": self._clock()}}


def _family(kept: Mapping[str, Any]) -> Family:
    return Family(kept["_id"], grounds.read(kept["grounds"]), kept["generation"], kept.get("code"), kept["ends_at"])
