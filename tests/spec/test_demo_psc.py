"""The stand-in for Pro Santé Connect, asked as any client could ask it.

RFC 6749 s. 4.1; RFC 7636; RFC 9700 s. 2.1.1; OpenID Connect Core s. 3.1, s. 5.3; OpenID Connect Discovery s. 4
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet
from pymongo import MongoClient
from werkzeug.test import TestResponse

from fhir_server import app as application
from fhir_server.config import Settings
from fhir_server.demo import psc
from fhir_server.demo.professionals import professionals
from tests.calls import BASE
from tests.launches import ISSUER, Clock, Launching

VERIFIER = "a" * 50
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
CALLBACK = f"{ISSUER}/psc/callback"
LEMOINE = professionals()["helene.lemoine"]


class StandIn:
    """The stand-in of one server, over HTTP."""

    def __init__(self, at: Launching):
        self.at = at
        self.secret = psc.provider(at.database, ISSUER).client_secret

    def authorize(self, **changes: Any) -> tuple[str, TestResponse]:
        """The page to sign in at, and its address."""
        asked = {
            "response_type": "code",
            "client_id": psc.CLIENT_ID,
            "redirect_uri": CALLBACK,
            "scope": "openid scope_all",
            "state": "a state that is long enough",
            "nonce": secrets.token_urlsafe(),
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            **changes,
        }
        query = "&".join(f"{name}={value}" for name, value in asked.items() if value is not None)
        address = f"{psc.PATH}/authorize?{query}"
        return address, self.at.app.test_client().get(address, base_url=f"{ISSUER}/")

    def sign_in(self, login: str = "helene.lemoine", password: str = LEMOINE.password, **more: str) -> TestResponse:
        """The answer to who signs in."""
        address, page = self.authorize()
        assert page.status_code == 200, page.text
        return self.at.post(address, {"login": login, "password": password, **more})

    def code(self, **more: str) -> str:
        """The code of who has signed in."""
        answer = self.sign_in(**more)
        assert answer.status_code == 303, answer.text
        return dict(parse_qsl(urlsplit(answer.headers["Location"]).query))["code"]

    def redeem(self, code: str, *, secret: str | None = None, **changes: Any) -> TestResponse:
        """The answer of the token endpoint."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": CALLBACK,
            "code_verifier": VERIFIER,
            **changes,
        }
        basic = base64.b64encode(f"{psc.CLIENT_ID}:{secret or self.secret}".encode()).decode()
        sent = {name: value for name, value in form.items() if value is not None}
        return self.at.post(f"{psc.PATH}/token", sent, Authorization=f"Basic {basic}")


@pytest.fixture(scope="module")
def stand_in(mongodb_client: MongoClient[dict[str, Any]]) -> Iterator[StandIn]:
    name = f"test_{secrets.token_hex(8)}"
    settings = Settings(mongodb_database=name)
    application.prepare(mongodb_client, settings, base=BASE)
    clock = Clock()
    app = application.create_app(mongodb_client, settings, ISSUER, clock=clock, demo=True)
    yield StandIn(Launching(app, mongodb_client, name, clock))
    mongodb_client.drop_database(name)


def test_who_signed_in(stand_in: StandIn) -> None:
    """OpenID Connect Core s. 3.1.3.3, s. 5.3.2; the claims are those of the real one"""
    answer = stand_in.redeem(stand_in.code())
    assert answer.status_code == 200, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    keys = KeySet.import_key_set(stand_in.at.get(f"{psc.PATH}/jwks").json)
    token = jwt.decode(answer.json["id_token"], keys, algorithms=["RS256"])
    assert token.header["kid"] == keys.keys[0].kid
    assert (token.claims["iss"], token.claims["aud"]) == (f"{ISSUER}{psc.PATH}", psc.CLIENT_ID)
    assert token.claims["acr"] == "eidas2"
    assert {"nonce", "auth_time", "at_hash", "azp"} <= set(token.claims)
    user_info = stand_in.at.get(f"{psc.PATH}/userinfo", Authorization=f"Bearer {answer.json['access_token']}").json
    assert user_info == {**LEMOINE.claims, "acr": "eidas2", "authMode": "CARD"}
    assert user_info["sub"] == token.claims["sub"]


def test_the_means(stand_in: StandIn) -> None:
    answer = stand_in.redeem(stand_in.code(means="phone")).json
    user_info = stand_in.at.get(f"{psc.PATH}/userinfo", Authorization=f"Bearer {answer['access_token']}").json
    assert (user_info["acr"], user_info["authMode"]) == ("eidas1", "MOBILE")


def test_the_private_key_stays(stand_in: StandIn) -> None:
    assert set(stand_in.at.get(f"{psc.PATH}/jwks").json["keys"][0]) <= {"kty", "n", "e", "kid", "use", "alg"}


@pytest.mark.parametrize(
    "changes",
    [
        {"code_challenge": None},
        {"code_challenge_method": None},
        {"code_challenge_method": "plain"},
        {"code_challenge": "short"},
        {"nonce": None},
        {"client_id": "another"},
        {"redirect_uri": "https://elsewhere.example/callback"},
        {"redirect_uri": f"{CALLBACK}/x"},
        {"response_type": "token"},
    ],
)
def test_what_is_no_request_of_its_client(stand_in: StandIn, changes: dict[str, Any]) -> None:
    """RFC 9700 s. 2.1.1: S256 for everyone; nothing is sent anywhere"""
    address, page = stand_in.authorize(**changes)
    assert page.status_code == 400
    assert "Location" not in page.headers
    posted = stand_in.at.post(address, {"login": LEMOINE.login, "password": LEMOINE.password})
    assert posted.status_code == 400


@pytest.mark.parametrize(
    ("login", "password"),
    [
        ("helene.lemoine", "x"),
        ("helene.lemoine", ""),
        ("martine.dubreuil", "Glycine&Muret58x"),
        ("", ""),
        ("bruno.aubert", LEMOINE.password),
    ],
)
def test_a_wrong_password(stand_in: StandIn, login: str, password: str) -> None:
    """Patients have their own way in"""
    answer = stand_in.sign_in(login, password)
    assert answer.status_code == 422
    assert "Location" not in answer.headers


def test_who_declines(stand_in: StandIn) -> None:
    """RFC 6749 s. 4.1.2.1; RFC 9207"""
    answer = stand_in.sign_in(decline="yes")
    told = dict(parse_qsl(urlsplit(answer.headers["Location"]).query))
    assert told["error"] == "access_denied"
    assert told["iss"] == f"{ISSUER}{psc.PATH}"
    assert told["state"] == "a state that is long enough"


@pytest.mark.parametrize(
    "changes",
    [
        {"code_verifier": None},
        {"code_verifier": "b" * 50},
        {"code_verifier": CHALLENGE},
        {"redirect_uri": "https://elsewhere.example/"},
        {"code": "made up"},
        {"secret": "made up"},
    ],
)
def test_what_redeems_nothing(stand_in: StandIn, changes: dict[str, Any]) -> None:
    given = {"code": stand_in.code(), **changes}
    answer = stand_in.redeem(given.pop("code"), **given)
    assert answer.status_code in (400, 401)
    assert "access_token" not in answer.json


def test_a_code_is_good_once(stand_in: StandIn) -> None:
    code = stand_in.code()
    with ThreadPoolExecutor(6) as pool:
        answers = [answer.status_code for answer in pool.map(lambda _: stand_in.redeem(code), range(6))]
    assert sorted(answers) == [200] + [400] * 5


def test_a_code_and_a_token_are_good_for_a_minute(stand_in: StandIn) -> None:
    code, token = stand_in.code(), stand_in.redeem(stand_in.code()).json["access_token"]
    stand_in.at.clock.ahead = timedelta(minutes=1)
    try:
        assert stand_in.redeem(code).status_code == 400
        assert stand_in.at.get(f"{psc.PATH}/userinfo", Authorization=f"Bearer {token}").status_code == 401
    finally:
        stand_in.at.clock.ahead = timedelta()


@pytest.mark.parametrize("authorization", ["", "Bearer made-up", "Bearer", "Basic eDp5"])
def test_user_info_is_for_who_has_a_token(stand_in: StandIn, authorization: str) -> None:
    assert stand_in.at.get(f"{psc.PATH}/userinfo", Authorization=authorization).status_code == 401


def test_a_code_is_no_token_and_a_token_is_no_code(stand_in: StandIn) -> None:
    code = stand_in.code()
    assert stand_in.at.get(f"{psc.PATH}/userinfo", Authorization=f"Bearer {code}").status_code == 401
    token = stand_in.redeem(code).json["access_token"]
    assert stand_in.redeem(token).status_code == 400


def test_signing_out_leads_nowhere_else(stand_in: StandIn) -> None:
    """RP-Initiated Logout s. 3"""
    id_token = stand_in.redeem(stand_in.code()).json["id_token"]
    for back, hint, status in (
        (f"{ISSUER}/sign-out", id_token, 303),
        ("https://elsewhere.example/", id_token, 200),
        (f"{ISSUER}/sign-out", "made.up.token", 200),
    ):
        asked = {"post_logout_redirect_uri": back, "id_token_hint": hint}
        answer = stand_in.at.get(f"{psc.PATH}/logout", asked)
        assert answer.status_code == status
        assert answer.headers.get("Location") == (back if status == 303 else None)


def test_metadata(stand_in: StandIn) -> None:
    """OpenID Connect Discovery s. 4.3: each endpoint that is named is there"""
    for name in ("openid-configuration", "wallet-openid-configuration"):
        said = stand_in.at.get(f"{psc.PATH}/.well-known/{name}").json
        assert said["issuer"] == f"{ISSUER}{psc.PATH}"
        for endpoint in ("authorization_endpoint", "userinfo_endpoint", "jwks_uri", "end_session_endpoint"):
            assert stand_in.at.get(said[endpoint].removeprefix(ISSUER)).status_code != 404


def test_the_pages_say_that_they_are_a_demonstration(stand_in: StandIn) -> None:
    for page in (stand_in.authorize()[1], stand_in.authorize(nonce=None)[1], stand_in.at.get(f"{psc.PATH}/logout")):
        assert "Démonstration." in page.text
        assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
        assert page.headers["Cache-Control"] == "no-store"


def test_a_server_in_earnest_has_none(served: Any) -> None:
    assert served.app.test_client().get(f"{psc.PATH}/.well-known/openid-configuration").status_code == 404
