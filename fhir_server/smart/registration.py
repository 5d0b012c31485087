"""Publishers register their software themselves, if they were invited; it waits to be looked at before it is let in.

RFC 7591, with an initial access token (s. 3).  Invitations are kept so:

_id           SHA-256 of the initial access token
publisher, audience, scope     whose it is, for whom, and what the software may ask for at most
status        "open", or "used"
expires_at    datetime
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from authlib.oauth2.rfc6749 import OAuth2Error, OAuth2Request
from flask import Response
from pymongo import IndexModel, WriteConcern
from pymongo.database import Database

from fhir_server.fhir import json
from fhir_server.fhir.outcome import BadRequest, Conflict
from fhir_server.smart import client_metadata
from fhir_server.smart.asked import FREE
from fhir_server.smart.client_metadata import RESERVED, InvalidMetadata
from fhir_server.smart.clients import Audience, Client, Clients
from fhir_server.smart.introspection import HEADERS
from fhir_server.smart.offer import asks_no_more
from fhir_server.smart.tokens import ENTROPY, digest
from fhir_server.storage.store import answering

COLLECTION = "_invitations"
LARGEST = 200_000


class InvalidToken(OAuth2Error):
    """The initial access token is not good.  RFC 6750 s. 3.1"""

    error = "invalid_token"
    status_code = 401
    description = "An initial access token is needed; the operator of this server gives them to publishers."

    def get_headers(self) -> list[tuple[str, str]]:
        """With the challenge of RFC 6750 s. 3."""
        return [*super().get_headers(), ("WWW-Authenticate", 'Bearer realm="fhir-server", error="invalid_token"')]


@dataclass(frozen=True)
class Invitation:
    """What a publisher may register, once."""

    id: str
    publisher: str
    audience: Audience
    scope: str


class Invitations:
    """The initial access tokens of this server; each is for one registration."""

    def __init__(self, database: Database, clock: Callable[[], datetime]):
        self._invitations = database[COLLECTION].with_options(write_concern=WriteConcern("majority", j=True))
        self._clock = clock

    def prepare(self) -> None:
        """Let MongoDB forget invitations that nobody took."""
        dead = IndexModel("expires_at", name="expires_at", expireAfterSeconds=0)
        self._invitations.create_indexes([dead], commitQuorum=0)  # as storage/indexes.py does, and for its reason

    def invite(self, publisher: str, audience: Audience, scope: str, lifetime: timedelta) -> str:
        """A new initial access token; only its hash is kept."""
        token = secrets.token_urlsafe(ENTROPY)
        kept = {"publisher": publisher, "audience": audience, "scope": scope, "status": "open"}
        with answering():
            self._invitations.insert_one(
                {"_id": digest(token), **kept, "expires_at": self._clock() + lifetime},
            )
        return token

    def find(self, token: str) -> Invitation | None:
        """What the token invites to, if nobody has used it."""
        with answering():
            kept = self._invitations.find_one(self._open(digest(token)))
        return Invitation(kept["_id"], kept["publisher"], kept["audience"], kept["scope"]) if kept else None

    def take(self, invitation: Invitation) -> bool:
        """Use it; whether nobody had."""
        with answering():
            done = self._invitations.update_one(self._open(invitation.id), {"$set": {"status": "used"}})
        return done.modified_count == 1

    def give_back(self, invitation: Invitation) -> None:
        """Let it be used again, since nothing came of it."""
        with answering():
            self._invitations.update_one({"_id": invitation.id}, {"$set": {"status": "open"}})

    def _open(self, id: str) -> dict[str, Any]:
        return {"_id": id, "status": "open", "expires_at": {"$gt": self._clock()}}


@dataclass(frozen=True)
class Registration:
    """
    Answers requests to the registration endpoint.

    private   whether keys may be fetched from private addresses
    record    records what was registered
    """

    clients: Clients
    invitations: Invitations
    record: Callable[..., None]
    clock: Callable[[], datetime]
    private: bool = False

    def __call__(self, request: OAuth2Request, body: bytes) -> Response:
        """201 with the client's id, and its secret if it has one: it is told this once.  Raises OAuth2Error."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        invitation = self.invitations.find(token.strip()) if scheme.lower() == "bearer" else None
        if invitation is None:
            raise InvalidToken
        metadata = {
            "scope": invitation.scope,
            **{name: value for name, value in _object(body).items() if name not in RESERVED},
            "publisher": invitation.publisher,
            "audience": invitation.audience,
        }
        client, secret = client_metadata.read(metadata, now=self.clock(), private=self.private)
        if not asks_no_more(client.scope, " ".join((invitation.scope, *FREE))):
            raise InvalidMetadata("scope has more than the publisher was invited for.")
        if not self.invitations.take(invitation):
            raise InvalidToken
        try:
            self.clients.add(client)
        except Conflict:
            self.invitations.give_back(invitation)
            raise InvalidMetadata("client_name looks like the name of another client.") from None
        self.record("client", client_id=client.client_id, description=f"registered {client.client_id}")
        answer = {"client_id": client.client_id, **({"client_secret": secret} if secret else {}), **told(client)}
        return Response(json.dumps(answer), 201, HEADERS)


def _object(body: bytes) -> Mapping[str, Any]:
    if len(body) > LARGEST:
        raise InvalidMetadata("The metadata are too long.")
    try:
        found = json.parse(body)
    except BadRequest:
        raise InvalidMetadata("The metadata are no JSON.") from None
    if not isinstance(found, dict):
        raise InvalidMetadata("The metadata are no JSON object.")
    return found


def told(client: Client) -> dict[str, Any]:
    """All that is registered of the client but its secret.  RFC 7591 s. 3.2.1"""
    found: dict[str, Any] = {
        "client_id": client.client_id,
        "client_id_issued_at": int(client.created_at.timestamp()),
        "client_secret_expires_at": 0 if client.secret_hash else None,
        "client_name": client.name,
        "publisher": client.publisher,
        "status": client.status,
        "verified": client.verified,
        "audience": client.audience,
        "token_endpoint_auth_method": client.token_endpoint_auth_method,
        "grant_types": list(client.grant_types),
        "response_types": ["code"] if client.check_response_type("code") else [],
        "redirect_uris": list(client.redirect_uris),
        "post_logout_redirect_uris": list(client.post_logout_redirect_uris),
        "origins": list(client.origins),
        "launch_uri": client.launch_uri,
        "scope": client.scope,
        "essential": list(client.essential),
        "jwks": client.jwks,
        "jwks_uri": client.jwks_uri,
        "description": client.description,
        "policy_uri": client.policy_uri,
        "tos_uri": client.tos_uri,
        "organization": client.organization,
        "dpop_bound_access_tokens": client.dpop_bound,
        "resource_server": client.resource_server,
    }
    return {name: value for name, value in found.items() if value not in (None, [], {})}
