"""OpenID Connect: the id_token, userinfo, and signing out.

OpenID Connect Core s. 2, s. 3.1.3, s. 5.3; RP-Initiated Logout 1.0; SMART 2.2: scopes-and-launch-context.html
"""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import timedelta
from typing import Any

import pytest
from joserfc import jwt
from joserfc.errors import BadSignatureError
from joserfc.jwk import KeySet, OctKey

from tests.calls import BASE
from tests.launches import ISSUER, Launch, Launching, answered

SCOPE = "openid fhirUser launch/patient patient/*.rs online_access"


def claims_of(launches: Launching, id_token: str) -> dict[str, Any]:
    """What the id_token says, once its signature is checked with the published keys, as a client does."""
    keys = KeySet.import_key_set(launches.get("/oauth/jwks").json)
    found = jwt.decode(id_token, keys, algorithms=["RS256"])
    assert found.header["alg"] == "RS256"
    return dict(found.claims)


def _encoded(part: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")


def begun(launches: Launching, *patients: str, **given: Any) -> tuple[Launch, dict[str, Any]]:
    """A launch of an app that wants to know who it is, and its tokens."""
    client = launches.register(
        scope=SCOPE, post_logout_redirect_uris=("https://app.example/bye", "https://app.example/bye?a=1")
    )
    launch = launches.launch(client, launches.sign_in(launches.person(*patients)), **given)
    return launch, launch.tokens(lasting=None)


def test_the_id_token_says_who_signed_in(launches: Launching) -> None:
    """OIDC Core s. 2, s. 3.1.3.7; SMART 2.2: RS256, fhirUser"""
    launch, told = begun(launches, nonce="a nonce of the app")
    claims = claims_of(launches, told["id_token"])
    assert claims["iss"] == ISSUER
    assert claims["aud"] == launch.client.client_id
    assert claims["sub"] == launch.session.subject.sub and len(claims["sub"]) < 256
    assert claims["nonce"] == "a nonce of the app"
    assert claims["fhirUser"] == f"{BASE}/Patient/{told['patient']}"
    assert claims["exp"] - claims["iat"] == 600
    assert claims["auth_time"] == int(launch.session.auth_time.timestamp())
    assert claims["acr"] == "eidas1" and claims["amr"] == ["pwd", "otp"]
    half = hashlib.sha256(told["access_token"].encode()).digest()[:16]
    assert claims["at_hash"] == base64.urlsafe_b64encode(half).decode().rstrip("=")


def test_the_person_can_be_read_with_the_token(launches: Launching) -> None:
    """SMART 2.2: "the app can read the resource with its access token" """
    _, told = begun(launches)
    user = claims_of(launches, told["id_token"])["fhirUser"]
    assert launches.caller(told["access_token"])("GET", user).status_code == 200


def test_who_acts_for_another_is_a_related_person(launches: Launching) -> None:
    """SMART 2.2: fhirUser is a RelatedPerson; the patient in context is another"""
    child = launches.patient()
    related = {"resourceType": "RelatedPerson", "id": f"{child}-rep", "patient": {"reference": f"Patient/{child}"}}
    assert launches.served().caller()("PUT", f"RelatedPerson/{child}-rep", related).status_code == 201
    client = launches.register(scope=SCOPE)
    launch = launches.launch(client, launches.sign_in(launches.person(launches.patient(), child)))
    authorization = launches.smart.authorization
    request = authorization.choose_patient(launch.asked(), launch.session, child)
    with launches.app.test_request_context():
        rows = frozenset(row.id for row in authorization.offer(request, launch.session).rows)
        code = answered(authorization.grant(request, launch.session, rows))["code"]
    told = launch.redeem(code).json
    assert told["patient"] == child
    user = claims_of(launches, told["id_token"])["fhirUser"]
    assert user == f"{BASE}/RelatedPerson/{child}-rep"
    caller = launches.caller(told["access_token"])
    assert caller("GET", user).status_code == 200
    assert caller("GET", f"Patient/{child}").status_code == 200


def test_a_professional_is_a_practitioner(launches: Launching) -> None:
    """OpenID Connect Core s. 2; SMART 2.2: fhirUser: never a PractitionerRole, which clients do not take"""
    client = launches.register(audience="professional", scope="openid fhirUser user/*.rs")
    session = launches.sign_in(practitioner="dr-openid", role="PractitionerRole/x", organization="Organization/y")
    told = launches.launch(client, session).tokens(lasting=None)
    assert claims_of(launches, told["id_token"])["fhirUser"] == f"{BASE}/Practitioner/dr-openid"


def test_who_does_not_ask_is_not_told(launches: Launching) -> None:
    """OIDC Core s. 3.1.2.1: no openid, no id_token; SMART 2.2: no fhirUser, no claim"""
    session = launches.sign_in(launches.person())
    none = launches.launch(launches.register(scope="launch/patient patient/*.rs"), session).tokens(lasting=None)
    assert "id_token" not in none
    plain = launches.launch(launches.register(scope="openid"), session).tokens(lasting=None)
    claims = claims_of(launches, plain["id_token"])
    assert "fhirUser" not in claims and "nonce" not in claims


def test_what_was_changed_is_not_taken(launches: Launching) -> None:
    """RFC 7515 s. 5.2: the signature holds the claims"""
    _, told = begun(launches)
    _, other = begun(launches)
    header, _, signature = told["id_token"].split(".")
    with pytest.raises(BadSignatureError):
        claims_of(launches, ".".join((header, other["id_token"].split(".")[1], signature)))


class TestUserinfo:
    """OIDC Core s. 5.3."""

    def ask(self, launches: Launching, token: str, method: str = "GET") -> Any:
        ask = launches.get if method == "GET" else launches.post
        return ask("/oauth/userinfo", {}, Authorization=f"Bearer {token}")

    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_says_what_the_id_token_says(self, launches: Launching, method: str) -> None:
        """OIDC Core s. 5.3.2: sub is the same"""
        _, told = begun(launches)
        answer = self.ask(launches, told["access_token"], method)
        claims = claims_of(launches, told["id_token"])
        assert answer.status_code == 200
        assert answer.json == {"sub": claims["sub"], "fhirUser": claims["fhirUser"]}
        assert answer.headers["Cache-Control"] == "no-store"

    def test_is_for_tokens_with_openid(self, launches: Launching) -> None:
        """RFC 6750 s. 3.1"""
        session = launches.sign_in(launches.person())
        token = launches.launch(launches.register(scope="launch/patient patient/*.rs"), session).tokens()
        answer = self.ask(launches, token["access_token"])
        assert answer.status_code == 403
        assert 'error="insufficient_scope"' in answer.headers["WWW-Authenticate"]

    def test_is_for_living_tokens(self, launches: Launching) -> None:
        """RFC 6750 s. 3.1"""
        launch, told = begun(launches)
        launches.kept.clients.suspend(launch.client.client_id)
        for token in (told["access_token"], told["id_token"], "", "never"):
            answer = self.ask(launches, token)
            assert answer.status_code == 401
            assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


class TestLogout:
    """RP-Initiated Logout 1.0."""

    def ask(self, launches: Launching, method: str = "GET", **given: str) -> Any:
        return (launches.get if method == "GET" else launches.post)("/oauth/logout", given)

    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_ends_the_session_and_goes_back(self, launches: Launching, method: str) -> None:
        """RP-Initiated Logout s. 2, s. 3; SMART 2.2: online_access ends"""
        launch, told = begun(launches)
        where = "https://app.example/bye"
        answer = self.ask(launches, method, id_token_hint=told["id_token"], post_logout_redirect_uri=where, state="a&b")
        assert answer.status_code == 303
        assert answer.headers["Location"] == f"{where}?state=a%26b"
        assert launches.kept.sessions.alive(launch.session.id) is None
        assert launch.refresh(told["refresh_token"]).status_code == 400
        assert launches.caller(told["access_token"])("GET", "Patient").status_code == 401

    def test_goes_nowhere_else(self, launches: Launching) -> None:
        """RP-Initiated Logout s. 3: "MUST have been previously registered"; exact"""
        _, told = begun(launches)
        for where in ("https://evil.example/", "https://app.example/bye/x", "https://app.example/bye?b=2", "//evil"):
            answer = self.ask(launches, id_token_hint=told["id_token"], post_logout_redirect_uri=where)
            assert answer.headers["Location"] == f"{ISSUER}/"

    def test_nobody_is_signed_out_by_who_cannot_say_whom(self, launches: Launching) -> None:
        """RP-Initiated Logout s. 2: without a hint of ours, the person is asked"""
        launch, told = begun(launches)
        claims = claims_of(launches, told["id_token"])
        forged = jwt.encode({"alg": "HS256"}, claims, OctKey.import_key("x" * 32))
        other = launches.register()
        for given in (
            {},
            {"id_token_hint": forged},
            {"id_token_hint": f"{_encoded({'alg': 'RS256', 'crit': 1})}.{_encoded({})}.AA"},
            {"id_token_hint": f"{_encoded({'alg': 'RS256', 'kid': {}})}.{_encoded({})}.AA"},
            {"id_token_hint": told["access_token"]},
            {"id_token_hint": told["id_token"], "client_id": other.client_id},
        ):
            answer = self.ask(launches, **given)
            assert answer.headers["Location"] == f"{ISSUER}/sign-out"
        assert launches.kept.sessions.alive(launch.session.id)

    def test_an_old_hint_will_do(self, launches: Launching) -> None:
        """RP-Initiated Logout s. 2: "SHOULD accept ID Tokens … after the exp time" """
        launch, told = begun(launches)
        launches.clock.ahead = timedelta(minutes=20)
        try:
            self.ask(launches, id_token_hint=told["id_token"])
            assert launches.kept.sessions.alive(launch.session.id) is None
        finally:
            launches.clock.ahead = timedelta()
