"""Whatever a client sends to an endpoint of the authorization server: an answer that it can read, and never a 5xx.

RFC 6749 s. 5.2; RFC 7591 s. 3.2.2; RFC 9449 s. 5
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_server.smart.assertions import ASSERTION_TYPE
from tests.clients import TOKEN_URL, client, compact, key
from tests.launches import Launching

ENDPOINTS = ("token", "introspect", "revoke", "register", "par", "userinfo", "launch")
NAMES = (
    *("grant_type", "scope", "token", "token_type_hint", "client_id", "client_secret", "code", "redirect_uri"),
    *("code_verifier", "refresh_token", "client_assertion", "client_assertion_type", "request_uri", "response_type"),
    *("aud", "state", "code_challenge", "code_challenge_method", "nonce", "prompt", "max_age", "launch", "$where"),
)
WORDS = st.sampled_from(
    [
        *("client_credentials", "authorization_code", "refresh_token", ASSERTION_TYPE, "a.b.c", "a.b", "..", "code"),
        *("system/*.rs", "patient/*.rs?", "system/Patient.rs?x", "\x00", "\ud800", "é", "[]", '{"$ne":""}', "S256"),
    ]
)
TEXTS = WORDS | st.text(max_size=30)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=5,
)
QUICK = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def _wire(text: str) -> str:
    """What a header can carry of it."""
    return "".join(character for character in text if " " <= character <= "~")


def _is_answered(answer: Any) -> None:
    assert 200 <= answer.status_code < 500, answer.text
    if answer.status_code >= 400 and answer.status_code != 405:
        assert answer.json["error"], answer.text
        told = answer.json.get("error_description", "")
        assert "Traceback" not in answer.text
        assert told.isascii()


@QUICK
@given(
    endpoint=st.sampled_from(ENDPOINTS),
    form=st.lists(st.tuples(st.sampled_from(NAMES) | st.text(max_size=8), TEXTS), max_size=6),
    authorization=st.none()
    | st.builds("{} {}".format, st.sampled_from(["Basic", "Bearer", "DPoP", "basic", ""]), st.text(max_size=20)),
    proof=st.none() | TEXTS,
)
def test_any_form_is_answered(launches: Launching, endpoint, form, authorization, proof):
    sent = [(name, value.encode("utf-8", "surrogatepass").decode("utf-8", "replace")) for name, value in form]
    headers = {"Authorization": _wire(authorization)} if authorization is not None else {}
    headers |= {"DPoP": _wire(proof)} if proof is not None else {}

    _is_answered(launches.post(f"/oauth/{endpoint}", sent, **headers))


@QUICK
@given(endpoint=st.sampled_from(ENDPOINTS), body=st.binary(max_size=60), type=st.sampled_from(["form", "json", "text"]))
def test_any_bytes_are_answered(launches: Launching, endpoint, body, type):
    known = {"form": "application/x-www-form-urlencoded", "json": "application/json", "text": "multipart/form-data"}

    _is_answered(launches.app.test_client().post(f"/oauth/{endpoint}", data=body, content_type=known[type]))


@pytest.fixture(scope="module")
def backend(launches: Launching) -> Any:
    """A client whose key is known to who sends all this."""
    kept = client()
    launches.kept.clients.keep(kept)
    return kept


@QUICK
@given(
    header=st.dictionaries(st.sampled_from(["kid", "typ", "jku", "jwk", "crit", "b64", "x5c", "cty", "x"]), JSON),
    claims=st.dictionaries(st.sampled_from(["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "x"]), JSON),
)
def test_an_assertion_that_says_anything_is_answered(launches: Launching, backend, header, claims):
    """RFC 7523 s. 3: signed by a key of the client's, whatever it says"""
    good = {"iss": backend.client_id, "sub": backend.client_id, "aud": TOKEN_URL}
    said = {"alg": "ES384", "kid": "ES384-one", **header}
    signed = compact(said, {**good, **claims}, key("ES384"), "ES384")
    form = {
        "grant_type": "client_credentials",
        "scope": "system/Patient.rs",
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": signed,
    }

    answer = launches.post("/oauth/token", form)

    _is_answered(answer)
    assert answer.status_code == 401  # without an `exp` that is within five minutes from now, and a `jti`


@QUICK
@given(
    said=st.dictionaries(
        st.sampled_from(
            [
                *("client_name", "redirect_uris", "scope", "jwks", "jwks_uri", "logo", "description", "essential"),
                *("grant_types", "response_types", "token_endpoint_auth_method", "origins", "launch_uri", "tos_uri"),
            ]
        ),
        JSON
        | st.lists(TEXTS, max_size=3)
        | st.dictionaries(st.sampled_from(["keys", "fr"]), st.lists(st.dictionaries(st.text(max_size=3), JSON))),
        max_size=6,
    )
)
def test_metadata_that_say_anything_are_answered(launches: Launching, invitation, said):
    good = {
        "client_name": "Carnet",
        "token_endpoint_auth_method": "none",
        "redirect_uris": ["https://app.example.org/"],
    }
    body = json.dumps({**good, **said})

    answer = launches.app.test_client().post(
        "/oauth/register",
        data=body.encode(),
        content_type="application/json",
        headers={"Authorization": f"Bearer {invitation()}"},
    )

    _is_answered(answer)
    assert answer.status_code in (201, 400)


@pytest.fixture(scope="module")
def invitation(launches: Launching) -> Any:
    """Invites anew each time."""
    return lambda: launches.kept.invitations.invite("Éditions", "patient", "patient/*.rs", timedelta(days=1))
