"""Who signed in.  OpenID Connect Core 1.0; SMART App Launch 2.2: scopes-and-launch-context.html (openid fhirUser)"""

from __future__ import annotations

import time

import pytest


@pytest.fixture(scope="module")
def signed_in(suite, public):
    """A launch with what the app sent and what it got."""
    suite.offers("sso-openid-connect")
    arrived = public.authorize()
    answer = public.redeem(arrived)
    assert answer.status_code == 200, answer.text
    return arrived, answer.json()


@pytest.fixture(scope="module")
def claims(suite, tools, signed_in):
    """The claims of the id_token, its signature checked against the published keys."""
    keys = tools["KeySet"].import_key_set(suite.http.get(suite.configuration["jwks_uri"], timeout=30).json())
    token = tools["jwt"].decode(signed_in[1]["id_token"], keys, algorithms=["RS256"])
    assert token.header["alg"] == "RS256"
    assert token.header["kid"] in {key.kid for key in keys.keys}
    return token.claims


def test_the_keys_are_public_and_bare(suite):
    """scopes-and-launch-context.html: bare JWK keys; RFC 7517"""
    keys = suite.http.get(suite.configuration["jwks_uri"], timeout=30).json()["keys"]

    assert any(key["kty"] == "RSA" for key in keys)
    for key in keys:
        assert "d" not in key and "x5c" not in key and key["kid"]
    assert len({key["kid"] for key in keys}) == len(keys)


def test_claims(suite, public, signed_in, claims):
    """OpenID Connect Core 1.0 s. 2, s. 3.1.3.7"""
    now = time.time()

    assert claims["iss"] == suite.configuration["issuer"]
    assert claims["aud"] in (public.client_id, [public.client_id])
    assert claims["exp"] > now - 5 and claims["iat"] <= now + 5
    assert claims["nonce"] == signed_in[0].nonce
    assert 0 < len(claims["sub"]) < 256
    assert claims["sub"] != public.client_id


def test_fhir_user_can_be_read(public, signed_in, claims):
    """scopes-and-launch-context.html: the app can read it with the token it has"""
    answer = public.get(claims["fhirUser"], signed_in[1]["access_token"])

    assert answer.status_code == 200, claims["fhirUser"]
    assert answer.json()["resourceType"] in ("Patient", "Practitioner", "RelatedPerson", "Person")
    crossed = public.get(claims["fhirUser"], signed_in[1]["access_token"], Origin=public.origin)
    assert crossed.headers.get("Access-Control-Allow-Origin") in ("*", public.origin)


def test_sub_is_stable(public, claims, tools, suite):
    """OpenID Connect Core 1.0 s. 8"""
    keys = tools["KeySet"].import_key_set(suite.http.get(suite.configuration["jwks_uri"], timeout=30).json())

    again = tools["jwt"].decode(public.connect()["id_token"], keys, algorithms=["RS256"])

    assert again.claims["sub"] == claims["sub"]


def test_userinfo_says_the_same(suite, public, signed_in, claims):
    """OpenID Connect Core 1.0 s. 5.3.2: sub MUST be that of the id_token"""
    issuer = suite.configuration["issuer"]
    userinfo = suite.http.get(f"{issuer}/.well-known/openid-configuration", timeout=30).json()["userinfo_endpoint"]

    answer = public.get(userinfo, signed_in[1]["access_token"])

    assert answer.status_code == 200
    assert answer.json()["sub"] == claims["sub"]
    assert answer.json().get("fhirUser") == claims["fhirUser"]
    assert public.get(userinfo, "nosuchtoken").status_code == 401


def test_fhir_user_is_readable_with_nothing_else_granted(public, suite, tools):
    """scopes-and-launch-context.html: openid fhirUser, the permission to retrieve who is signed in, and nobody else"""
    answer = public.connect(scope="launch/patient openid fhirUser patient/Immunization.rs")
    keys = tools["KeySet"].import_key_set(suite.http.get(suite.configuration["jwks_uri"], timeout=30).json())
    user = tools["jwt"].decode(answer["id_token"], keys, algorithms=["RS256"]).claims["fhirUser"]

    assert public.get(user, answer["access_token"]).status_code == 200
    assert public.get("Patient?_count=1", answer["access_token"]).status_code == 403


def test_without_openid_no_id_token(public):
    """OpenID Connect Core 1.0 s. 3.1.2.1"""
    assert "id_token" not in public.connect(scope="launch/patient patient/Patient.rs")
