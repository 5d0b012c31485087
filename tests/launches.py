"""Apps and people as the tests of the authorization server need them: registered clients, sessions, whole launches."""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from flask import Flask
from pymongo import MongoClient
from werkzeug.datastructures import MultiDict
from werkzeug.test import TestResponse

from fhir_server import app as application
from fhir_server.accounts.account import Account, Profile
from fhir_server.accounts.accounts import Accounts
from fhir_server.config import Settings
from fhir_server.smart.clients import Client
from fhir_server.smart.server import Kept
from fhir_server.smart.sessions import Session
from fhir_server.smart.subject import Subject
from fhir_server.smart.tokens import digest
from tests.build import patient as a_patient
from tests.calls import BASE, Caller, Served

ISSUER = BASE.removesuffix("/fhir")
REDIRECT = "https://app.example/callback"
SECRET = "a secret of thirty-two random bytes"
#: What most apps of the tests ask for.
SCOPE = "openid fhirUser launch/patient patient/*.rs offline_access online_access"


@dataclass
class Clock:
    """A clock that a test moves."""

    ahead: timedelta = timedelta()

    def __call__(self) -> datetime:
        """The time."""
        return application.now() + self.ahead


@dataclass
class Launching:
    """The authorization server as its clients meet it, over HTTP."""

    app: Flask
    client: MongoClient[dict[str, Any]]
    name: str
    clock: Clock = field(default_factory=Clock)

    @property
    def database(self) -> Any:
        """What it keeps."""
        return self.client[self.name]

    @property
    def kept(self) -> Kept:
        """What the authorization server keeps."""
        return application.kept_for_smart(self.database, Settings(mongodb_database=self.name), BASE, clock=self.clock)

    @property
    def smart(self) -> Any:
        """The authorization server of the application."""
        return self.app.extensions["smart"]

    def served(self) -> Served:
        """The same, for the callers of `tests/calls.py`."""
        return Served(self.app, self.client, self.name)

    def caller(self, token: str) -> Caller:
        """Whoever holds this token."""
        return Caller(self.app, token)

    def register(self, **changes: Any) -> Client:
        """A new registered client: a public app of patients, if nothing else is said."""
        name = changes.pop("name", f"App {secrets.token_hex(6)}")
        made: dict[str, Any] = {
            "client_id": f"app-{secrets.token_hex(8)}",
            "name": name,
            "publisher": "A publisher",
            "kind": "public",
            "audience": "patient",
            "status": "live",
            "created_at": application.now(),
            "redirect_uris": (REDIRECT,),
            "scope": SCOPE,
            **changes,
        }
        if made["kind"] == "symmetric":
            made["secret_hash"] = digest(SECRET)
        client = Client(**made)
        self.kept.clients.add(client)
        return client

    def person(self, *patients: str, **changes: Any) -> Account:
        """An account with the record of its own that has this id, or a new one, and those of others."""
        own, *others = patients or (self.patient(),)
        id = f"acc-{secrets.token_hex(8)}"
        profiles = [Profile(f"Patient/{own}", own, "self", "The person")]
        for other in others:
            profiles.append(Profile(f"RelatedPerson/{other}-rep", other, "legal-representative", "The child"))
        made = Account(id, id, "The person", "person@example.fr", None, "fr", tuple(profiles), **changes)
        return Accounts(self.database, self.clock).keep(made, "a long password of no use")

    def patient(self) -> str:
        """The id of a new Patient."""
        return self.served().caller().create(a_patient()).partition("/")[2]

    def sign_in(self, account: Account | None = None, **subject: Any) -> Session:
        """A session of the account's holder, or of a professional."""
        sessions = self.kept.sessions
        _, session = sessions.start()
        if account:
            made = Subject("patient", account.id, account.name, account=account.id)
        else:
            id = subject.pop("practitioner", f"dr-{secrets.token_hex(4)}")
            made = Subject("professional", f"psc-{id}", "Dr Who", practitioner=id, **subject)
        _, after = sessions.rotate(session, subject=made, auth_time=self.clock(), acr="eidas1", amr=("pwd", "otp"))
        return after

    def post(self, path: str, form: Any, **headers: str) -> TestResponse:
        """A form to one of the endpoints."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.app.test_client().post(path, data=MultiDict(form), headers=named, base_url=f"{ISSUER}/")

    def get(self, path: str, query: Any = None, **headers: str) -> TestResponse:
        """One of the endpoints, asked."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.app.test_client().get(
            path, query_string=MultiDict(query or {}), headers=named, base_url=f"{ISSUER}/"
        )

    def launch(self, client: Client, session: Session | None = None, **given: Any) -> Launch:
        """An authorization request as this client begins it; `None` leaves a parameter out."""
        return Launch(self, client, session, given)


@dataclass
class Launch:
    """One launch of an app, from the request to the tokens."""

    at: Launching
    client: Client
    session: Session | None
    given: dict[str, Any]
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48))
    state: str = field(default_factory=lambda: secrets.token_urlsafe(24))

    def parameters(self) -> dict[str, str]:
        """The request's parameters."""
        challenge = base64.urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest()).decode().rstrip("=")
        made = {
            "response_type": "code",
            "client_id": self.client.client_id,
            "redirect_uri": self.client.redirect_uris[0],
            "scope": self.client.scope,
            "state": self.state,
            "aud": BASE,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            **self.given,
        }
        return {name: value for name, value in made.items() if value is not None}

    def begin(self, method: str = "GET") -> TestResponse:
        """The answer of the authorization endpoint."""
        ask = self.at.get if method == "GET" else self.at.post
        return ask("/oauth/authorize", self.parameters())

    def request_id(self) -> str:
        """The name of the request, once it has begun."""
        answer = self.begin()
        assert answer.status_code == 303, answer.text
        where = answer.headers["Location"]
        assert where.startswith(f"{ISSUER}/authorize/"), where
        return where.rpartition("/")[2]

    def asked(self) -> Any:
        """The request as the pages find it, in the session."""
        return self.at.smart.authorization.find(self.request_id(), self.session)

    def back(self, *, ticked: set[str] | None = None, lasting: timedelta | None = timedelta(days=90)) -> dict[str, str]:
        """What comes back to the app once the person has allowed all that is asked, or these rows."""
        authorization = self.at.smart.authorization
        request = self.asked()
        with self.at.app.test_request_context("/authorize/x", base_url=f"{ISSUER}/"):
            rows = authorization.offer(request, self.session).rows
            ids = frozenset(row.id for row in rows) if ticked is None else frozenset(ticked)
            where = authorization.grant(request, self.session, ids, lasting)
        return answered(where)

    def code(self, **how: Any) -> str:
        """The code."""
        back = self.back(**how)
        assert "code" in back, back
        return back["code"]

    def token_form(self, code: str, /, **changes: Any) -> dict[str, str]:
        """What the app sends to the token endpoint."""
        made = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.client.redirect_uris[0],
            "code_verifier": self.verifier,
            **({"client_id": self.client.client_id} if self.client.kind == "public" else {}),
            **changes,
        }
        return {name: value for name, value in made.items() if value is not None}

    def redeem(self, code: str, /, **changes: Any) -> TestResponse:
        """The answer of the token endpoint."""
        return self.at.post("/oauth/token", self.token_form(code, **changes), **authorized(self.client))

    def tokens(self, **how: Any) -> dict[str, Any]:
        """The tokens of a whole launch."""
        answer = self.redeem(self.code(**how))
        assert answer.status_code == 200, answer.text
        return answer.json

    def refresh(self, token: str, **changes: Any) -> TestResponse:
        """The answer to a refresh token."""
        form = {"grant_type": "refresh_token", "refresh_token": token, **changes}
        if self.client.kind == "public":
            form.setdefault("client_id", self.client.client_id)
        form = {name: value for name, value in form.items() if value is not None}
        return self.at.post("/oauth/token", form, **authorized(self.client))


def authorized(client: Client, secret: str = SECRET) -> dict[str, str]:
    """The header by which a symmetric client authenticates itself."""
    if client.kind != "symmetric":
        return {}
    pair = base64.b64encode(f"{client.client_id}:{secret}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}


def answered(where: str) -> dict[str, str]:
    """The parameters in a redirect URI."""
    return dict(parse_qsl(urlsplit(where).query))


def launching(client: MongoClient[dict[str, Any]], name: str) -> Launching:
    """The application on this database, made ready, with a clock that a test moves."""
    settings = Settings(mongodb_database=name)
    application.prepare(client, settings, base=BASE)
    clock = Clock()
    return Launching(application.create_app(client, settings, ISSUER, clock=clock), client, name, clock)


def moment(seconds: float) -> datetime:
    """The time that an OAuth timestamp says."""
    return datetime.fromtimestamp(seconds, UTC)
