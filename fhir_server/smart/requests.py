"""Authorization requests under way: kept here whole, so that the browser holds nothing but a random name.

RFC 6749 s. 4.1.1; RFC 9126 (pushed authorization requests)

_id           SHA-256 of the name
kind          "pending": on its way through the pages; "pushed": sent by the client itself, not yet begun
session       the id of the session that it is bound to, from the first page on
expires_at    datetime; MongoDB removes the dead
and the fields of AuthorizationRequest; of a pushed one, client_id and the parameters as they were sent.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any

from pymongo import IndexModel, ReturnDocument, WriteConcern
from pymongo.database import Database

from fhir_server.access.actor import Mode, Relation
from fhir_server.smart.tokens import ENTROPY, digest
from fhir_server.storage.store import answering

COLLECTION = "_requests"
#: How long a person may take for the pages.
LIFETIME = timedelta(minutes=10)
#: How long a client may take to begin what it has pushed.
PUSHED_LIFETIME = timedelta(seconds=60)
#: RFC 9126 s. 2.2
REQUEST_URI = "urn:ietf:params:oauth:request_uri:"

Parameters = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class AuthorizationRequest:
    """
    What a client asks for, checked, and what the person has chosen on the pages so far.

    scope         what is asked for, less what the client may never have
    launch        the context of an EHR launch: patient, encounter, intent, need_patient_banner, fhir_context, sub
    patient       whose record it is about; display, for the pages; relation and person: in what capacity it is opened
    chosen_by     the `sub` of who chose: what one person chose in a session is not another's
    encounter     the encounter in context; encounter_asked: the person was asked, and may have chosen none
    mode, reason, purpose     an emergency access, why, and the code of the reason
    secret        a session kept secret from the legal representatives of a minor
    """

    id: str
    client_id: str
    redirect_uri: str
    scope: str
    state: str
    aud: str
    code_challenge: str
    created_at: datetime
    expires_at: datetime
    nonce: str | None = None
    prompt: tuple[str, ...] = ()
    max_age: int | None = None
    login_hint: str | None = None
    launch: Mapping[str, Any] | None = None
    dpop_jkt: str | None = None
    session: str | None = None
    chosen_by: str | None = None
    patient: str | None = None
    display: str | None = None
    relation: Relation | None = None
    person: str | None = None
    encounter: str | None = None
    encounter_asked: bool = False
    mode: Mode = "normal"
    reason: str | None = None
    purpose: str | None = None
    secret: bool = False


class Requests:
    """The authorization requests under way."""

    def __init__(self, database: Database, clock: Callable[[], datetime]):
        self._requests = database[COLLECTION].with_options(write_concern=WriteConcern("majority", j=True))
        self._clock = clock

    def prepare(self) -> None:
        """Let MongoDB remove what nobody came back for."""
        dead = IndexModel("expires_at", name="expires_at", expireAfterSeconds=0)
        self._requests.create_indexes([dead], commitQuorum=0)

    def keep(self, **asked: Any) -> AuthorizationRequest:
        """A new request of these fields, under a new name."""
        now = self._clock()
        name = secrets.token_urlsafe(ENTROPY)
        request = AuthorizationRequest(id=name, created_at=now, expires_at=now + LIFETIME, **asked)
        with answering():
            self._requests.insert_one({**_document(request), "_id": digest(name), "kind": "pending"})
        return request

    def find(self, name: str, session: str) -> AuthorizationRequest | None:
        """The request of this name, now bound to the session; None if there is none, or it is another session's."""
        with answering():
            kept = self._requests.find_one_and_update(
                {**self._living("pending", name), "session": {"$in": [None, session]}},
                {"$set": {"session": session}},
                return_document=ReturnDocument.AFTER,
            )
        return _request(kept, name) if kept else None

    def change(self, request: AuthorizationRequest, **chosen: Any) -> AuthorizationRequest | None:
        """The request with what was chosen; None if it was decided on meanwhile."""
        changed = replace(request, **chosen)
        document = _document(changed)
        with answering():
            done = self._requests.update_one(
                {**self._living("pending", request.id), "session": request.session},
                {"$set": {name: document[name] for name in chosen}},
            )
        return changed if done.matched_count else None

    def take(self, request: AuthorizationRequest) -> AuthorizationRequest | None:
        """
        The request, which is gone from now on: a decision is made once.

        None if another was quicker, or something else was chosen meanwhile than what was decided on.
        """
        document = _document(request)
        chosen = {name: document[name] for name in _CHOSEN}
        with answering():
            kept = self._requests.find_one_and_delete(
                {**self._living("pending", request.id), "session": request.session, **chosen}
            )
        return _request(kept, request.id) if kept else None

    def push(self, client_id: str, parameters: Parameters) -> str:
        """The request_uri under which the client may begin with these parameters, once.  RFC 9126 s. 2.2"""
        name = secrets.token_urlsafe(ENTROPY)
        kept = {
            "_id": digest(name),
            "kind": "pushed",
            "client_id": client_id,
            "parameters": [list(pair) for pair in parameters],
            "expires_at": self._clock() + PUSHED_LIFETIME,
        }
        with answering():
            self._requests.insert_one(kept)
        return REQUEST_URI + name

    def pull(self, request_uri: str, client_id: str) -> Parameters | None:
        """The parameters that this client has pushed, which are gone from now on.  RFC 9126 s. 4"""
        if not request_uri.startswith(REQUEST_URI):
            return None
        name = request_uri.removeprefix(REQUEST_URI)
        with answering():
            kept = self._requests.find_one_and_delete({**self._living("pushed", name), "client_id": client_id})
        return tuple((name, value) for name, value in kept["parameters"]) if kept else None

    def _living(self, kind: str, name: str) -> dict[str, Any]:
        return {"_id": digest(name), "kind": kind, "expires_at": {"$gt": self._clock()}}


#: What pages may change on the way.
_CHOSEN = ("chosen_by", "patient", "relation", "person", "encounter", "reason", "secret")
_FIELDS = tuple(each.name for each in fields(AuthorizationRequest))


def _document(request: AuthorizationRequest) -> dict[str, Any]:
    return {name: value for name, value in asdict(request).items() if name != "id"}


def _request(kept: Mapping[str, Any], name: str) -> AuthorizationRequest:
    found = {field: kept[field] for field in _FIELDS if field in kept}
    return AuthorizationRequest(**(found | {"id": name, "prompt": tuple(kept["prompt"])}))
