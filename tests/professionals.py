"""Professionals at a browser, as the tests of their pages need them: a provider that knows them, and a directory."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from flask.testing import FlaskClient
from joserfc.jwk import RSAKey
from pymongo import MongoClient
from werkzeug.test import TestResponse

from fhir_server import app as application
from fhir_server.config import Settings
from fhir_server.demo.professionals import professionals
from fhir_server.smart.professionals import FINESS, RPPS
from fhir_server.smart.sessions import Session
from tests.calls import BASE
from tests.launches import ISSUER, Clock, Launching
from tests.providers import CLIENT_ID, CLIENT_SECRET, WrongProvider, provider

KEY = RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256"}, auto_kid=True)
PEOPLE = professionals()
SOFTWARE = "openid fhirUser launch/patient user/*.rs"


@dataclass
class Practice:
    """A server, the provider that its professionals sign in with, and its directory."""

    at: Launching
    provider: WrongProvider

    def browser(self) -> Browser:
        """A browser of nobody."""
        self.provider.now = self.at.clock().timestamp()
        return Browser(self, self.at.app.test_client())

    def knows(self, login: str, **changes: Any) -> str:
        """The id of this professional's Practitioner, which the directory has from now on; with the place of work."""
        claims = PEOPLE[login].claims
        put = self.at.served().caller()
        rpps = {"system": RPPS, "value": claims["SubjectNameID"][1:]}
        entry = {"resourceType": "Practitioner", "id": login, "identifier": [rpps], **changes}
        place = claims["SubjectRefPro"]["exercices"][0]["activities"][0]["numeroFinessSite"]
        site = {"resourceType": "Organization", "id": place, "identifier": [{"system": FINESS, "value": place}]}
        for resource in (entry, {**site, "name": "A place"}):
            answer = put("PUT", f"{resource['resourceType']}/{resource['id']}", resource)
            assert answer.status_code in (200, 201), answer.text
        return login


@dataclass
class Browser:
    """What a person has in hand: pages, and the cookie of this server."""

    practice: Practice
    client: FlaskClient

    def get(self, address: str, **headers: str) -> TestResponse:
        """The page at this address."""
        return self.client.get(_path(address), base_url=f"{ISSUER}/", headers=headers)

    def send(self, address: str, page: TestResponse | None, **fields: str) -> TestResponse:
        """The form of a page, filled in with these fields."""
        hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page.text if page else ""))
        headers = {"Origin": ISSUER}
        return self.client.post(_path(address), data=hidden | fields, base_url=f"{ISSUER}/", headers=headers)

    def go(self, query: str = "") -> str:
        """The address of the provider that the browser is sent to."""
        answer = self.get(f"/sign-in/psc{query}")
        assert answer.status_code == 303, answer.text
        return answer.headers["Location"]

    def come_back(self, url: str) -> TestResponse:
        """The answer to the callback, for who has signed in at the provider."""
        return self.get("/psc/callback?" + _query(self.practice.provider.authorize(url)))

    def sign_in(self, query: str = "") -> TestResponse:
        """The answer that has the browser signed in, the notice acknowledged where it is due."""
        answer = self.come_back(self.go(query))
        if answer.headers.get("Location", "").endswith("/capacity"):
            page = self.get("/sign-in/psc/capacity")
            answer = self.send("/sign-in/psc/capacity", page, notice="read", activity="0")
        assert answer.status_code == 303, answer.text
        return answer

    @property
    def secret(self) -> str | None:
        """What the cookie of the session holds."""
        cookie = self.client.get_cookie("session", domain=urlsplit(ISSUER).hostname or "")
        return cookie.value if cookie else None

    @property
    def session(self) -> Session | None:
        """The session as the server finds it."""
        return self.practice.at.kept.sessions.find(self.secret)


@contextmanager
def practising(client: MongoClient[dict[str, Any]], name: str, login: str = "helene.lemoine") -> Iterator[Practice]:
    """A server on this database, at whose provider this professional signs in."""
    person = {**PEOPLE[login].claims, "authMode": "CARD"}
    with provider(KEY, person, application.now().timestamp()) as at:
        settings = Settings(
            mongodb_database=name,
            psc_issuer=at.issuer,
            psc_client_id=CLIENT_ID,
            psc_client_secret=CLIENT_SECRET,
        )
        application.prepare(client, settings, base=BASE)
        clock = Clock()
        app = application.create_app(client, settings, ISSUER, clock=clock)
        yield Practice(Launching(app, client, name, clock), at)


def _path(address: str) -> str:
    return address.removeprefix(ISSUER)


def _query(parameters: dict[str, str]) -> str:
    return "&".join(f"{name}={value}" for name, value in parameters.items())
