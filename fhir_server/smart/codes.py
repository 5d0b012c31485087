"""Authorization codes: one minute, one use.  A second use ends what the first one made.  RFC 6749 s. 4.1.2, s. 10.5

_id             SHA-256 of the code
grounds         what the tokens are issued on (`grounds.py`)
client_id, redirect_uri, code_challenge     what it is bound to
used, replayed  whether it was presented, and whether once too often
expires_at      datetime; forget_at, when MongoDB removes it: a code that comes again is known as long as its tokens
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
from fhir_server.smart.tokens import ENTROPY, digest
from fhir_server.storage.store import answering

COLLECTION = "_codes"
LIFETIME = timedelta(minutes=1)
REMEMBERED = timedelta(hours=24)


@dataclass(frozen=True)
class Code:
    """A code as it was claimed; `id` is its hash."""

    id: str
    redirect_uri: str
    code_challenge: str
    grounds: Grounds


class Codes:
    """The codes of this server."""

    def __init__(self, database: Database, clock: Callable[[], datetime]):
        self._codes = database[COLLECTION].with_options(write_concern=WriteConcern("majority", j=True))
        self._clock = clock

    def prepare(self) -> None:
        """Let MongoDB remove what is past, and a challenge that comes again be known."""
        past = IndexModel("forget_at", name="forget_at", expireAfterSeconds=0)
        challenges = IndexModel([("code_challenge", 1), ("client_id", 1)], name="challenge")
        self._codes.create_indexes([past, challenges], commitQuorum=0)

    def issue(self, on: Grounds, *, redirect_uri: str, code_challenge: str) -> str:
        """A new code; only its hash is kept."""
        code = secrets.token_urlsafe(ENTROPY)
        now = self._clock()
        kept = {
            "_id": digest(code),
            "client_id": on.client_id,
            "redirect_uri": redirect_uri,
            "code_challenge": code_challenge,
            "grounds": grounds.document(on),
            "used": False,
            "replayed": False,
            "expires_at": now + LIFETIME,
            "forget_at": now + REMEMBERED,
        }
        with answering():
            self._codes.insert_one(kept)
        return code

    def had(self, client_id: str, code_challenge: str) -> bool:
        """Whether a code was issued for this challenge of the client already, as long as that is remembered."""
        with answering():
            found = self._codes.find_one({"code_challenge": code_challenge, "client_id": client_id}, {"_id": 1})
        return found is not None

    def claim(self, code: str, client_id: str) -> Code | None:
        """The code, which is used from now on; None for one that is not there, is another client's, is past or used."""
        mine = {"_id": digest(code), "client_id": client_id}
        with answering():
            kept = self._codes.find_one_and_update(
                {**mine, "used": False, "expires_at": {"$gt": self._clock()}}, {"$set": {"used": True}}
            )
        return _code(kept) if kept else None

    def replay(self, code: str, client_id: str) -> Code | None:
        """The code if this client had used it before: it is noted that it came again."""
        with answering():
            kept = self._codes.find_one_and_update(
                {"_id": digest(code), "client_id": client_id, "used": True}, {"$set": {"replayed": True}}
            )
        return _code(kept) if kept else None

    def is_good(self, id: str) -> bool:
        """Whether the code with this hash has come no more than once."""
        with answering():
            return self._codes.find_one({"_id": id, "replayed": False}, {"_id": 1}) is not None


def _code(kept: Mapping[str, Any]) -> Code:
    return Code(kept["_id"], kept["redirect_uri"], kept["code_challenge"], grounds.read(kept["grounds"]))
