"""Access tokens: opaque, random, kept as their hash, and dead once they expire.  RFC 6750; RFC 9700 s. 2

_id           SHA-256 of the token
kind, name, scope, patient, practitioner, mode, reason, client_id     what becomes the Actor
created_at, expires_at                                                datetimes; MongoDB removes the dead
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from pymongo import IndexModel, WriteConcern
from pymongo.database import Database

from fhir_server.access import Actor
from fhir_server.access import scopes as smart_scopes
from fhir_server.fhir.outcome import Unauthorized
from fhir_server.storage.store import SERVED_OPTIONS, Ahead, Brought, answering

COLLECTION = "_tokens"
#: Bytes of randomness in a token.
ENTROPY = 32

#: So many tokens are remembered by a process.
SEEN = 4096

_scopes = lru_cache(maxsize=1024)(smart_scopes.parse)


class Tokens:
    """The access tokens of this server."""

    def __init__(self, database: Database, clock: Callable[[], datetime]):
        durably = WriteConcern("majority", j=True)
        self._tokens = database[COLLECTION].with_options(write_concern=durably, codec_options=SERVED_OPTIONS)
        self._clock = clock
        #: Who held a token, by its hash: never an answer, only a guess at what will be asked for.
        self._seen: dict[str, Actor] = {}

    def prepare(self) -> None:
        """Let MongoDB remove tokens that are dead."""
        dead = IndexModel("expires_at", name="expires_at", expireAfterSeconds=0)
        self._tokens.create_indexes([dead], commitQuorum=0)  # as storage/indexes.py does, and for its reason

    def issue(self, actor: Actor, scope: str, lifetime: timedelta) -> str:
        """A new token for `actor` with the scopes of `scope`; only its hash is kept."""
        token = secrets.token_urlsafe(ENTROPY)
        now = self._clock()
        kept: dict[str, Any] = {
            "_id": _hash(token),
            "kind": actor.kind,
            "name": actor.name,
            "scope": scope,
            "patient": actor.patient,
            "practitioner": actor.practitioner,
            "mode": actor.mode,
            "reason": actor.reason,
            "client_id": actor.client_id,
            "created_at": now,
            "expires_at": now + lifetime,
        }
        with answering():
            self._tokens.insert_one(kept)
        return token

    def authenticate(self, token: str, foresee: Callable[[Actor | None], Ahead | None]) -> tuple[Actor, Brought | None]:
        """
        Who holds the token, and what `foresee` says will be asked for, both in one round trip.

        foresee: given who held the token when this process last saw it, if it did.  What was looked up for that actor
        is None if the token, as it is now, says anything else: it is asked again then.
        Raises Unauthorized for a token that is not known or has expired.
        """
        hash = _hash(token)
        guess = self._seen.get(hash)
        ahead = foresee(guess)
        with answering():
            found = self._found(hash, ahead)
        kept = found[0] if found and "scope" in found[0] else None
        if kept is None or kept["expires_at"] <= self._clock():
            self._seen.pop(hash, None)
            raise Unauthorized(
                "The access token is not known, or has expired; get a new one.",
                headers={"WWW-Authenticate": 'Bearer realm="fhir-server", error="invalid_token"'},
            )
        actor = _actor(kept)
        if actor != guess:
            if len(self._seen) >= SEEN:
                self._seen.clear()
            self._seen[hash] = actor
        return actor, ahead.read(found[1:]) if ahead and actor == guess else None

    def _found(self, hash: str, ahead: Ahead | None) -> list[dict[str, Any]]:
        """The token, if there is one, and behind it what is looked up along with it."""
        if ahead is None:
            kept = self._tokens.find_one({"_id": hash})
            return [kept] if kept else []
        with ahead.watching():
            return list(self._tokens.aggregate([{"$match": {"_id": hash}}, ahead.stage], **ahead.options))


def _actor(kept: dict[str, Any]) -> Actor:
    return Actor(
        kind=kept["kind"],
        name=kept["name"],
        scopes=_scopes(kept["scope"]),
        patient=kept["patient"],
        practitioner=kept["practitioner"],
        mode=kept["mode"],
        reason=kept["reason"],
        client_id=kept["client_id"],
        token_id=kept["_id"][:16],
    )


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
