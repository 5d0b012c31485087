"""Backend services, client assertions.  SMART 2.2: backend-services.html, client-confidential-asymmetric.html"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest


def ask(client, assertion=None, **changes):
    data = {"grant_type": "client_credentials", "scope": client.scope}
    if assertion is not None:
        data["client_assertion"] = assertion
    return client.post(**data | changes)


def test_a_good_request(backend, no_store):
    """backend-services.html#obtain-access-token"""
    answer = ask(backend)

    assert answer.status_code == 200, answer.text
    no_store(answer)
    body = answer.json()
    assert body["token_type"].lower() == "bearer"
    assert 0 < body["expires_in"] <= 300
    assert set(body["scope"].split()) <= set(backend.scope.split())
    assert "refresh_token" not in body
    type = backend.scope.split()[0].partition("/")[2].partition(".")[0]
    assert backend.get(f"{type}?_count=1", body["access_token"]).status_code == 200


def test_the_issuer_is_an_audience_too(backend, suite):
    """draft-ietf-oauth-rfc7523bis: an audience of one, the issuer; SMART: the token URL"""
    assert ask(backend, backend.assertion(aud=suite.configuration["issuer"])).status_code == 200


@pytest.mark.parametrize("grant_type", [None, "", "authorization_code", "password", "not_a_grant_type"])
def test_other_grant_types(backend, grant_type):
    """RFC 6749 s. 5.2"""
    assert ask(backend, grant_type=grant_type).status_code == 400


@pytest.mark.parametrize("type", [None, "", "not_an_assertion_type"])
def test_other_assertion_types(backend, type):
    """RFC 7521 s. 4.2"""
    assert ask(backend, client_assertion_type=type).status_code in (400, 401)


NOW = time.time
FAULTS = {
    "another server": lambda c: c.assertion(aud="https://elsewhere.example/token"),
    "two audiences": lambda c: c.assertion(aud=[c.suite.endpoint("token"), "https://elsewhere.example/token"]),
    "the base as audience": lambda c: c.assertion(aud=c.suite.base),
    "no audience": lambda c: c.assertion(aud=None),
    "past": lambda c: c.assertion(exp=int(NOW()) - 120),
    "too far ahead": lambda c: c.assertion(exp=int(NOW()) + 3600),
    "ten years ahead": lambda c: c.assertion(exp=int(NOW()) + 315_360_000),
    "no end": lambda c: c.assertion(exp=None),
    "end as text": lambda c: c.assertion(exp="soon"),
    "no jti": lambda c: c.assertion(jti=None),
    "empty jti": lambda c: c.assertion(jti=""),
    "jti an object": lambda c: c.assertion(jti={"$gt": ""}),
    "another subject": lambda c: c.assertion(sub="someone-else"),
    "another issuer": lambda c: c.assertion(iss="someone-else"),
    "subject an object": lambda c: c.assertion(sub={"$ne": None}),
    "no subject": lambda c: c.assertion(sub=None),
    "foreign jku": lambda c: c.assertion(header={"jku": "https://evil.example/jwks.json"}),
    "unknown kid": lambda c: c.assertion(header={"kid": "nosuchkey"}),
    "no kid": lambda c: c.assertion(header={"kid": None}),
    "kid a path": lambda c: c.assertion(header={"kid": "../../../../dev/null"}),
    "typ of an access token": lambda c: c.assertion(header={"typ": "at+jwt"}),
    "not one at all": lambda c: "a.b.c",
    "empty": lambda c: "",
}


@pytest.mark.parametrize("name", FAULTS)
def test_faulty_assertions(backend, name):
    """client-confidential-asymmetric.html#response-errors: invalid_client, for each fault"""
    answer = ask(backend, FAULTS[name](backend))

    assert answer.status_code in (400, 401), answer.text
    assert answer.json()["error"] == "invalid_client"


def test_a_foreign_key(backend, tools):
    """client-confidential-asymmetric.html#signature-verification"""
    foreign = type(backend.key).generate_key(2048 if backend.algorithm == "RS384" else "P-384", private=True)

    answer = ask(backend, backend.assertion(key=foreign))

    assert answer.status_code == 401
    assert answer.json()["error"] == "invalid_client"


def test_a_signature_that_is_none(backend):
    """RFC 8725 s. 3.1: alg none"""
    import base64
    import json

    def part(value):
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    head, claims, _ = backend.assertion().split(".")
    none = part({"alg": "none", "kid": backend.key.kid, "typ": "JWT"})
    cut = f"{head}.{claims}."

    for assertion in (f"{none}.{claims}.", cut):
        assert ask(backend, assertion).status_code == 401


def test_an_assertion_is_good_once(backend):
    """client-confidential-asymmetric.html: jti SHALL NOT have been seen before for this iss"""
    assertion = backend.assertion()

    first, second = ask(backend, assertion), ask(backend, assertion)

    assert (first.status_code, second.status_code) == (200, 401)
    assert second.json()["error"] == "invalid_client"


def test_an_assertion_that_is_raced_is_good_once(backend):
    """client-confidential-asymmetric.html: at every worker"""
    assertion = backend.assertion()

    with ThreadPoolExecutor(10) as pool:
        statuses = list(pool.map(lambda _: ask(backend, assertion).status_code, range(10)))

    assert statuses.count(200) == 1
    assert statuses.count(401) == 9


@pytest.mark.parametrize("scope", ["user/Patient.rs", "patient/Patient.rs", "openid", "system/AuditEvent.cruds"])
def test_scopes_that_are_not_registered(backend, scope):
    """backend-services.html#scopes: system scopes, within what was authorised beforehand"""
    answer = ask(backend, scope=scope)

    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid_scope"


def test_writing_needs_a_scope(backend, suite):
    """backend-services.html#scopes"""
    token = ask(backend, scope=backend.scope.split()[0]).json()["access_token"]

    answer = suite.http.post(
        f"{suite.base}/Basic",
        json={"resourceType": "Basic", "code": {"text": "x"}},
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/fhir+json"},
        timeout=30,
    )

    assert answer.status_code == 403
