"""The registered clients: catalogue apps, professional software, backends, and what each of them may ask for.

_id           the client id
the fields of Client, and:
skeleton      the name as an eye takes it in; no two clients have the same
Only `secret_hash` is kept of a client's secret.

SMART App Launch 2.2: client-confidential-symmetric.html, client-confidential-asymmetric.html; RFC 6749 s. 2; RFC 7591
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from typing import Any, Literal
from urllib.parse import urlsplit

from authlib.oauth2.rfc6749 import ClientMixin
from pymongo import IndexModel, WriteConcern
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from fhir_server.access.scopes import narrow
from fhir_server.fhir.outcome import Conflict, NotFound
from fhir_server.smart.names import skeleton
from fhir_server.smart.tokens import COLLECTION as TOKENS
from fhir_server.smart.tokens import ENTROPY, digest
from fhir_server.storage.store import answering

#: What JSON can write, and the store cannot hold.  RFC 8259 s. 8.2
_NO_UNICODE = re.compile("[\ud800-\udfff]")

COLLECTION = "_clients"

Kind = Literal["public", "symmetric", "asymmetric"]
Audience = Literal["patient", "professional", "backend"]
Status = Literal["pending", "live", "suspended"]

#: How a client of each kind authenticates itself, and no other way.  RFC 7591 s. 2
METHODS: dict[Kind, str] = {"public": "none", "symmetric": "client_secret_basic", "asymmetric": "private_key_jwt"}
#: The hosts whose port a native app learns only when it listens.  RFC 8252 s. 7.3
LOOPBACK = frozenset({"127.0.0.1", "::1"})


@dataclass(frozen=True)
class Client(ClientMixin):
    """
    A piece of software that the server knows.

    kind          how it authenticates itself: not at all, by a secret, by a key
    audience      who signs in with it; nobody does with a backend
    scope         what it may ask for at most
    essential     the scopes without which it does not work
    jwks, jwks_uri           its public keys, or where they are: one of the two, for an asymmetric client
    origins       of its pages, which may call the server from a browser
    description   by language, `fr` and `en`
    logo          a `data:` URL: kept and served here, never fetched from elsewhere
    verified      whether the publisher was checked
    organization  `Organization/…` that a backend acts for
    dpop_bound    whether its tokens are bound to a key of its own.  RFC 9449 s. 5.2
    resource_server          whether it may introspect the tokens of others.  RFC 7662 s. 2.1
    """

    client_id: str
    name: str
    publisher: str
    kind: Kind
    audience: Audience
    status: Status
    created_at: datetime
    redirect_uris: tuple[str, ...] = ()
    post_logout_redirect_uris: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    launch_uri: str | None = None
    scope: str = ""
    essential: tuple[str, ...] = ()
    secret_hash: str | None = field(default=None, repr=False)
    jwks: dict[str, Any] | None = None
    jwks_uri: str | None = None
    description: dict[str, str] = field(default_factory=dict)
    logo: str | None = None
    policy_uri: str | None = None
    tos_uri: str | None = None
    verified: bool = False
    organization: str | None = None
    dpop_bound: bool = False
    resource_server: bool = False

    @property
    def token_endpoint_auth_method(self) -> str:
        """The one way in which it authenticates itself.  RFC 7591 s. 2"""
        return METHODS[self.kind]

    @property
    def grant_types(self) -> tuple[str, ...]:
        """What it may present at the token endpoint; backend services have a key.  SMART 2.2: backend-services.html"""
        if self.audience == "backend":
            return ("client_credentials",) if self.kind == "asymmetric" else ()
        return ("authorization_code", "refresh_token")

    def get_client_id(self) -> str:
        """Its id, for Authlib."""
        return self.client_id

    def get_default_redirect_uri(self) -> None:
        """None: SMART has an app always say where it waits."""

    def get_allowed_scope(self, scope: str | None) -> str:
        """What of `scope` it may ask for."""
        return narrow(self.scope, scope or "")

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        """Whether it is registered, to the letter; only the port of a loopback address may differ.  RFC 9700 s. 2.1"""
        if redirect_uri in self.redirect_uris:
            return True
        portless = _portless(redirect_uri)
        return portless is not None and portless in map(_portless, self.redirect_uris)

    def check_client_secret(self, client_secret: str) -> bool:
        """Whether this is the secret; a client without one has none that fits."""
        return self.secret_hash is not None and secrets.compare_digest(self.secret_hash, digest(client_secret))

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        """Whether it authenticates itself so: the same way at each endpoint."""
        return method == self.token_endpoint_auth_method

    def check_response_type(self, response_type: str) -> bool:
        """Whether somebody signs in with it: then it gets a code, and nothing else.  RFC 9700 s. 2.1.2"""
        return response_type == "code" and self.audience != "backend"

    def check_grant_type(self, grant_type: str) -> bool:
        """Whether it may present such a grant at the token endpoint."""
        return grant_type in self.grant_types


def new_id() -> str:
    """An id for a new client: random, and told by its first letters from the `sub` of a person.  RFC 9700 s. 2.6"""
    return f"app-{secrets.token_urlsafe(16)}"


def new_secret() -> str:
    """A secret for a client; `digest` of it is what is kept."""
    return secrets.token_urlsafe(ENTROPY)


class Clients:
    """The clients of this server."""

    def __init__(self, database: Database, clock: Callable[[], datetime]):
        durable = WriteConcern("majority", j=True)
        self._clients = database[COLLECTION].with_options(write_concern=durable)
        self._tokens = database[TOKENS].with_options(write_concern=durable)
        self._clock = clock

    def prepare(self) -> None:
        """Make two clients of one name impossible; let a client be found by the origin of its pages."""
        names = IndexModel("skeleton", name="skeleton", unique=True)
        origins = IndexModel("origins", name="origins")
        self._clients.create_indexes([names, origins], commitQuorum=0)  # as storage/indexes.py does, and for its reason

    def find(self, client_id: str, *, any_status: bool = False) -> Client | None:
        """The client with this id, if it is live; None for what is no string."""
        if not isinstance(client_id, str) or _NO_UNICODE.search(client_id):
            return None
        asked: dict[str, Any] = {"_id": client_id} | ({} if any_status else {"status": "live"})
        with answering():
            kept = self._clients.find_one(asked)
        return _client(kept) if kept else None

    def has_origin(self, origin: str) -> bool:
        """Whether the pages of a live client are there."""
        with answering():
            return self._clients.find_one({"origins": origin, "status": "live"}, {"_id": 1}) is not None

    def list(self) -> list[Client]:
        """All of them, by their names."""
        with answering():
            return [_client(kept) for kept in self._clients.find().sort([("skeleton", 1)])]

    def add(self, client: Client) -> None:
        """Keep a new client.  Raises Conflict if its id is taken, or its name looks like another's."""
        with answering():
            try:
                self._clients.insert_one(_document(client))
            except DuplicateKeyError as error:
                raise _taken(client, error) from None

    def keep(self, client: Client) -> None:
        """Keep the client as it is now, new or changed.  Raises Conflict if its name looks like another's."""
        with answering():
            try:
                self._clients.replace_one({"_id": client.client_id}, _document(client), upsert=True)
            except DuplicateKeyError as error:
                raise _taken(client, error) from None

    def suspend(self, client_id: str) -> None:
        """
        Let the client do nothing more: from the next request on, on every worker.

        Its tokens are marked before its status is, so that a process that ends in between leaves none alive, and once
        more then, for those that were kept meanwhile; who makes one later sees the status when it has kept the token
        and looks again.  What people granted the client stays, and holds again once it is resumed; its access tokens
        do not.  Raises NotFound.
        """
        self._mark_tokens(client_id)
        self._become("suspended", client_id)
        self._mark_tokens(client_id)

    def resume(self, client_id: str) -> None:
        """Let the client work, after it was suspended or at last looked at.  Raises NotFound."""
        self._become("live", client_id)

    def renew_secret(self, client_id: str) -> str:
        """A new secret for a symmetric client; the old one is no longer one.  Raises NotFound, Conflict."""
        client = self.find(client_id, any_status=True)
        if client is None:
            raise _unknown(client_id)
        if client.kind != "symmetric":
            raise Conflict(f"Client `{client_id}` is {client.kind} and has no secret.")
        secret = new_secret()
        with answering():
            self._clients.update_one({"_id": client_id}, {"$set": {"secret_hash": digest(secret)}})
        return secret

    def _mark_tokens(self, client_id: str) -> None:
        with answering():
            self._tokens.update_many({"client_id": str(client_id)}, {"$set": {"status": "suspended"}})

    def _become(self, status: Status, client_id: str) -> None:
        with answering():
            done = self._clients.update_one({"_id": str(client_id)}, {"$set": {"status": status}})
        if not done.matched_count:
            raise _unknown(client_id)


def _unknown(client_id: str) -> NotFound:
    return NotFound(f"There is no client `{client_id}`.")


def _taken(client: Client, error: DuplicateKeyError) -> Conflict:
    if "skeleton" in (error.details or {}).get("keyPattern", {}):
        return Conflict(f"The name `{client.name}` looks like that of another client.")
    return Conflict(f"There is a client `{client.client_id}` already.")


def _document(client: Client) -> dict[str, Any]:
    kept = asdict(client)
    return {"_id": kept.pop("client_id"), "skeleton": skeleton(client.name), **kept}


_FIELDS = frozenset(part.name for part in fields(Client))


def _client(kept: dict[str, Any]) -> Client:
    values = {name: value for name, value in kept.items() if name in _FIELDS}
    listed = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
    return Client(client_id=kept["_id"], **(values | listed))


def _portless(redirect_uri: str) -> tuple[str, ...] | None:
    """An http redirect URI to a loopback address without its port; None for any other, and for what is no URI."""
    try:
        parts = urlsplit(redirect_uri)
        port = parts.port
    except ValueError:
        return None
    host = f"[{parts.hostname}]" if parts.hostname == "::1" else str(parts.hostname)
    # Nothing else than the host and a port may stand there: no user, no other spelling, nothing that a parser drops.
    authority = host if port is None else f"{host}:{port}"
    if parts.hostname not in LOOPBACK or redirect_uri != f"http://{authority}{parts.path}{_query(parts.query)}":
        return None
    return host, parts.path, parts.query


def _query(query: str) -> str:
    return f"?{query}" if query else ""
