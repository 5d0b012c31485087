"""Access tokens: opaque, random, kept as their hash, and dead once they expire or are ended.  RFC 6750; RFC 9700 s. 2

_id           SHA-256 of the token
kind, name, scope, patient, practitioner, mode, reason, client_id, and what else an Actor says if it does
status        "live", or "ended", "suspended": dead at the next request.  Tokens of the command line have none
grant, session, family, code     what it was issued on, and ends with; each only if there is such a thing
audience      the FHIR base URL that it is for; jkt: the key that it is bound to
sub, fhir_user, context          who signed in, and the launch context, for introspection and userinfo
created_at, expires_at           datetimes; MongoDB removes the dead
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache, partial
from typing import Any, TypeAlias

from pymongo import IndexModel, WriteConcern
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.database import Database

from fhir_server.access import Actor
from fhir_server.access import scopes as smart_scopes
from fhir_server.access.scopes import Scope
from fhir_server.fhir.outcome import Unauthorized
from fhir_server.storage.store import SERVED_OPTIONS, Ahead, Brought, answering
from fhir_server.storage.together import Together

COLLECTION = "_tokens"
#: Bytes of randomness in a token.
ENTROPY = 32

LIVE = "live"
#: What tokens end with.
ENDS = ("grant", "session", "family", "code", "client_id", "sub")
#: What an actor may say beyond what each token says.
_ALSO = ("person", "relation", "role", "organization", "profession", "specialty", "regulator", "secret", "software")

#: So many tokens are remembered by a process.
SEEN = 4096

#: A hash, and what is looked up along with it; the token that has it, and what was found.
_Asked: TypeAlias = tuple[str, Ahead | None]
Found: TypeAlias = tuple[dict[str, Any] | None, list[dict[str, Any]]]

_scopes = lru_cache(maxsize=1024)(smart_scopes.parse)


@lru_cache(maxsize=1024)
def _own(kind: str, fhir_user: str | None) -> tuple[Scope, ...]:
    """
    What `fhirUser` allows: to read the one resource of who is signed in, with this very token.

    SMART 2.2: scopes-and-launch-context.html#scopes-for-requesting-identity-data

    >>> _own("professional", "https://record.example/fhir/Practitioner/x")
    (Scope(context='user', type='Practitioner', letters='r', constraints=(('_id', 'x'),)),)
    """
    if fhir_user is None:
        return ()
    type, id = fhir_user.rsplit("/", 2)[1:]
    return (Scope("user" if kind == "professional" else "patient", type, "r", (("_id", id),)),)


class NotIssued(Exception):
    """
    What the token was to be issued on has ended meanwhile: the client, the grant, the session or the code.

    token: as it was made, and good for nothing; None where it was not made at all.
    """

    def __init__(self, token: str | None = None):
        super().__init__()
        self.token = token


#: Keeps the token of an emergency, by what is called in the session of a transaction, with all that goes with it.
Opening = Callable[[Actor, Mapping[str, Any], Callable[[ClientSession | None], None]], None]


def nothing_opened(actor: Actor, kept: Mapping[str, Any], write: Callable[[ClientSession | None], None]) -> None:
    """Where nobody is told of an emergency, none is let in."""
    raise NotIssued


class Tokens:
    """
    The access tokens of this server.

    base      the FHIR base URL; a token that was made for another is none here
    stands    whether what a token is issued on is still good: asked once the token is there, so that whatever ends it
              either finds the token or is seen here
    emergency keeps the tokens of emergencies: there is no other way to one
    """

    def __init__(
        self,
        database: Database,
        clock: Callable[[], datetime],
        *,
        base: str | None = None,
        stands: Callable[[Mapping[str, Any]], bool] = lambda kept: True,
        emergency: Opening = nothing_opened,
    ):
        self._tokens = database[COLLECTION].with_options(write_concern=WriteConcern("majority", j=True))
        self._plainly = database[COLLECTION].with_options(codec_options=SERVED_OPTIONS)
        self._clock = clock
        self._base = base
        self._stands = stands
        self._emergency = emergency
        #: What is looked up by ids goes to MongoDB with what others look up so: documents as they are, or as served.
        self._whole = Together(partial(_by_ids, self._tokens))
        self._served = Together(partial(_by_ids, self._plainly))
        #: Who held a token, by its hash: never an answer, only a guess at what will be asked for.
        self._seen: dict[str, Actor] = {}

    def prepare(self) -> None:
        """Let tokens be found by what they end with, and MongoDB remove those that are dead."""
        dead = IndexModel("expires_at", name="expires_at", expireAfterSeconds=0)
        ends = [IndexModel(name, name=name, sparse=True) for name in ENDS]
        of_patients = IndexModel("patient", name="patient", partialFilterExpression={"kind": "patient"})
        # As storage/indexes.py does, and for its reason.
        self._tokens.create_indexes([dead, *ends, of_patients], commitQuorum=0)

    def issue(
        self,
        actor: Actor,
        scope: str,
        lifetime: timedelta,
        *,
        grant: str | None = None,
        session: str | None = None,
        audience: str | None = None,
        jkt: str | None = None,
        **more: Any,
    ) -> str:
        """
        A new token for `actor` with the scopes of `scope`; only its hash is kept.

        grant, session, and of `more` family, code and sub: what it ends with.  fhir_user, context: see above.
        In an emergency mode the token is kept with all that goes with that, or not at all: `emergencies.py`.
        Raises NotIssued.
        """
        token = secrets.token_urlsafe(ENTROPY)
        now = self._clock()
        said = {name: value for name in _ALSO if (value := getattr(actor, name))}
        bound = {"grant": grant, "session": session, "audience": audience, "jkt": jkt, **more}
        kept: dict[str, Any] = {
            "_id": digest(token),
            "kind": actor.kind,
            "name": actor.name,
            "scope": scope,
            "patient": actor.patient,
            "practitioner": actor.practitioner,
            "mode": actor.mode,
            "reason": actor.reason,
            "client_id": actor.client_id,
            **said,
            "status": LIVE,
            **{name: value for name, value in bound.items() if value is not None},
            "created_at": now,
            "expires_at": now + lifetime,
        }

        def write(session: ClientSession | None) -> None:
            self._tokens.insert_one(kept, session=session)

        with answering():
            if actor.mode == "normal":
                write(None)
            else:
                self._emergency(holder_of(kept), kept, write)
        if not self._stands(kept):
            self.end(_id=kept["_id"])
            raise NotIssued(token)
        return token

    def find(self, token: object) -> dict[str, Any] | None:
        """What is kept of a living token, as above; None for anything else."""
        if not isinstance(token, str):
            return None
        with answering():
            kept = self._tokens.find_one({"_id": digest(token)})
        return kept if kept and self._lives(kept) else None

    def end(self, **of: str) -> int:
        """End the tokens of this grant, session, family, code, client_id or sub; how many there were."""
        with answering():
            return self._tokens.update_many({**of, "status": LIVE}, {"$set": {"status": "ended"}}).modified_count

    def end_of_dead(self, patients: frozenset[str], session: ClientSession | None) -> None:
        """
        End what these patients, and those who act for them, have let apps have of their records.

        session: of the transaction that says that they have died, if it is under way.
        """
        of = {"kind": "patient", "patient": {"$in": sorted(patients)}, "status": LIVE}
        with answering():
            self._tokens.update_many(of, {"$set": {"status": "ended"}}, session=session)

    def narrow(self, grant: str, scope: str) -> None:
        """Cut the living tokens of the grant to what `scope` allows; one of which no scope is left ends."""
        with answering():
            for kept in list(self._tokens.find({"grant": grant, "status": LIVE}, {"scope": 1})):
                while not self._cut(kept, scope):  # somebody else has cut it meanwhile: what that took stays away
                    kept = self._tokens.find_one({"_id": kept["_id"]}, {"scope": 1}) or {}

    def _cut(self, kept: Mapping[str, Any], scope: str) -> bool:
        """Whether the token was as it was found, or is gone, and allows no more than `scope` now."""
        if not kept:
            return True
        left = smart_scopes.narrow(scope, kept["scope"])
        nothing = not left or (smart_scopes.parse(kept["scope"]) and not smart_scopes.parse(left))
        change = {"status": "ended"} if nothing else {"scope": left}
        found = {"_id": kept["_id"], "scope": kept["scope"]}
        return self._tokens.update_one(found, {"$set": change}).matched_count == 1

    def authenticate(
        self, token: str, foresee: Callable[[Actor | None], Ahead | None], *, jkt: str | None = None
    ) -> tuple[Actor, Brought | None]:
        """
        Who holds the token, and what `foresee` says will be asked for, both in one round trip.

        foresee: given who held the token when this process last saw it, if it did.  What was looked up for that actor
        is None if the token, as it is now, says anything else: it is asked again then.
        jkt: the key of which the request brings a proof; a token is bound to that key, or to none where there is none.
        Raises Unauthorized for a token that is not known or is dead.
        """
        hash = digest(token)
        guess = self._seen.get(hash)
        ahead = foresee(guess)
        with answering():
            kept, there = self._found(hash, ahead)
        if kept is None or not self._lives(kept) or kept.get("jkt") != jkt:
            self._seen.pop(hash, None)
            raise Unauthorized(
                "The access token is not known, or has expired; get a new one.",
                headers={"WWW-Authenticate": 'Bearer realm="fhir-server", error="invalid_token"'},
            )
        actor = holder_of(kept)
        if actor != guess:
            if len(self._seen) >= SEEN:
                self._seen.clear()
            self._seen[hash] = actor
        holds = ahead is not None and (ahead.by_key or actor == guess)
        return actor, ahead.read(there) if ahead and holds else None

    def _found(self, hash: str, ahead: Ahead | None) -> Found:
        """The token, if there is one, and what is looked up along with it."""
        if ahead is None or ahead.ids is not None:
            together = self._whole if ahead and ahead.by_key else self._served
            return together.ask((hash, ahead))
        with ahead.watching():
            found = self._plainly.aggregate([{"$match": {"_id": hash}}, ahead.stage], **ahead.options).to_list()
        kept = next((document for document in found if _is_token(document)), None)
        return kept, [document for document in found if not _is_token(document)]

    def _lives(self, kept: Mapping[str, Any]) -> bool:
        if kept["expires_at"] <= self._clock() or kept.get("status", LIVE) != LIVE:
            return False
        return self._base is None or kept.get("audience", self._base) == self._base


def _by_ids(tokens: Collection[dict[str, Any]], asked: Sequence[_Asked]) -> list[Found]:
    """
    Several tokens, and what is looked up along with each by its ids.

    In one round trip, but for an id that is asked for in two types: what is found is told apart by its id.
    """
    left, found = dict(enumerate(asked)), {}
    while left:
        by_id: dict[str, Ahead] = {}
        going: dict[int, _Asked] = {}
        for number, (hash, ahead) in left.items():
            wanted = dict.fromkeys(ahead.ids, ahead) if ahead and ahead.ids else {}
            if all(by_id[id].asked == one.asked for id, one in wanted.items() if id in by_id):
                by_id |= wanted
                going[number] = hash, ahead
        hashes = list({hash for hash, _ in going.values()})
        stages = {ahead.asked: ahead.stage for ahead in by_id.values()}
        first = {"$match": {"_id": hashes[0] if len(hashes) == 1 else {"$in": hashes}}}
        documents = tokens.aggregate([first, *stages.values()]).to_list()
        kept = {document["_id"]: document for document in documents if _is_token(document)}
        there = {document["_id"]: document for document in documents if not _is_token(document)}
        for number, (hash, ahead) in going.items():
            ids = ahead.ids if ahead and ahead.ids else ()
            found[number] = kept.get(hash), [there[id] for id in ids if id in there]
            del left[number]
    return [found[number] for number in range(len(asked))]


def _is_token(document: Mapping[str, Any]) -> bool:
    """Whether it is what is kept of a token: no resource, nor the choices of a patient, has scopes."""
    return "scope" in document


def holder_of(kept: Mapping[str, Any]) -> Actor:
    """Who holds the token of which this is kept."""
    return Actor(
        kind=kept["kind"],
        name=kept["name"],
        scopes=(*_scopes(kept["scope"]), *_own(kept["kind"], kept.get("fhir_user"))),
        patient=kept["patient"],
        practitioner=kept["practitioner"],
        mode=kept["mode"],
        reason=kept["reason"],
        client_id=kept["client_id"],
        token_id=kept["_id"][:16],
        **{name: kept[name] for name in _ALSO if name in kept},
    )


def digest(secret: str) -> str:
    """What is kept of a secret that the server made: its SHA-256; with 32 random bytes in it, none has to be slow."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()
