"""The application as tests call it: one application on one database, and callers that each hold an access token."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from flask import Flask
from pymongo import MongoClient
from werkzeug.test import EnvironBuilder, TestResponse

from fhir_server import app as application
from fhir_server.access import Actor
from fhir_server.audit import Follower, Recorder
from fhir_server.config import Settings
from fhir_server.smart.tokens import Tokens
from tests.build import patient as a_patient

BASE = "http://fhir.test/fhir"
#: What a request says of itself, and what every answer differs in: left out where two answers are compared.
PASSING = ("X-Request-Id", "Date")


@dataclass(frozen=True)
class Caller:
    """Whoever holds `token`; nobody without one."""

    app: Flask
    token: str | None = None

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> TestResponse:
        """Ask for `path` below the base; a body that is not bytes goes as JSON.  `if_match="1"` is a header."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        given.setdefault("X-Request-Id", secrets.token_hex(8))
        if self.token is not None:
            given.setdefault("Authorization", f"Bearer {self.token}")
        given.setdefault("Accept", "application/fhir+json")
        sent = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        if sent is not None:
            given.setdefault("Content-Type", "application/fhir+json")
        where = f"/fhir/{path.removeprefix(BASE).lstrip('/')}".rstrip("/") if path else "/fhir"
        builder = EnvironBuilder(where, method=method, data=sent, headers=given, base_url="http://fhir.test/")
        return self.app.test_client().open(builder)

    def get(self, path: str, **headers: str) -> Any:
        """The resource at `path`, which must be there."""
        answer = self("GET", path, **headers)
        assert answer.status_code == 200, answer.text
        return answer.json

    def create(self, resource: Mapping[str, Any]) -> str:
        """`Type/id` of the resource, once it is created."""
        answer = self("POST", resource["resourceType"], resource)
        assert answer.status_code == 201, answer.text
        return f"{resource['resourceType']}/{answer.json['id']}"


@dataclass(frozen=True)
class Served:
    """The application, its database, and whoever a test needs."""

    app: Flask
    client: MongoClient[dict[str, Any]]
    name: str

    @property
    def database(self) -> Any:
        """What the application keeps."""
        return self.client[self.name]

    def caller(self, scope: str = "system/*.cruds", *, lifetime: float = 3600, **actor: Any) -> Caller:
        """A caller with a new token for `scope`: the operator, or the patient or practitioner with that id."""
        kind = "patient" if "patient" in actor else "professional" if "practitioner" in actor else "operator"
        who = Actor(**{"kind": kind, "name": kind, "scopes": (), **actor})
        # An emergency as the rules see it; how one is opened, and who is told, tests/spec/test_emergency.py has.
        tokens = Tokens(self.database, application.now, emergency=lambda actor, kept, write: write(None))
        return Caller(self.app, tokens.issue(who, scope, timedelta(seconds=lifetime)))

    def patient(self, scope: str = "patient/*.cruds", **resource: Any) -> tuple[str, Caller]:
        """A new Patient's id, and who that is."""
        id = self.caller().create(a_patient(**resource)).partition("/")[2]
        return id, self.caller(scope, patient=id)

    def events(self, answer: TestResponse) -> list[dict[str, Any]]:
        """The AuditEvents of the request that was answered so, by the time of their making."""
        asked = answer.headers["X-Request-Id"]
        follow(self.client, self.name)
        kept = self.database["AuditEvent"].find({}, {"body": 1}).sort("_id", -1).limit(200)
        found = [json.loads(document["body"]) for document in kept]
        return [event for event in reversed(found) if asked in _request_ids(event)]


def follow(client: MongoClient[dict[str, Any]], name: str, audit_key: str | None = None) -> None:
    """Make the AuditEvents of what has been recorded, as is done before anybody reads them."""
    # Clients of one address are equal, also where the first of them has been closed.
    (_follower if audit_key is None else _follower.__wrapped__)(client, name, audit_key).bring_up()


@lru_cache
def _follower(client: MongoClient[dict[str, Any]], name: str, audit_key: str | None) -> Follower:
    settings = Settings(mongodb_database=name, audit_key=audit_key)
    return Follower(Recorder(application.ledger_of(client, settings)))


def serve(client: MongoClient[dict[str, Any]], name: str, **changes: Any) -> Served:
    """The application on this database, which is made ready for it."""
    settings = Settings(mongodb_database=name, **changes)
    application.prepare(client, settings)
    return Served(application.create_app(client, settings, BASE.removesuffix("/fhir")), client, name)


def seen(answer: TestResponse, *ids: str) -> tuple[int, bytes, dict[str, str]]:
    """All that an answer says: status, body and headers; each of `ids` as one and the same word."""
    body, headers = answer.data, dict(answer.headers)
    for name in PASSING:
        headers.pop(name, None)
    for id in ids:
        body = body.replace(id.encode(), b"ID").replace(quote(id).encode(), b"ID")
        headers = {name: value.replace(id, "ID") for name, value in headers.items()}
    headers.pop("Content-Length", None)
    return answer.status_code, body, headers


def ids(bundle: Mapping[str, Any]) -> list[str]:
    """`Type/id` of each resource in a Bundle."""
    return [
        f"{e['resource']['resourceType']}/{e['resource']['id']}" for e in bundle.get("entry", ()) if "resource" in e
    ]


def _request_ids(event: Mapping[str, Any]) -> list[str]:
    found = [entity.get("what", {}).get("identifier", {}).get("value") for entity in event["entity"]]
    return [value for value in found if value]
