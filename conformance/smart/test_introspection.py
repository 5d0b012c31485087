"""What a token is good for, and its end.  SMART App Launch 2.2: token-introspection.html; RFC 7662; RFC 7009"""

from __future__ import annotations

import time


def introspect(app, token, **changes):
    return app.post("introspection", token=token, **changes)


def test_an_active_token(suite, symmetric, tools):
    """token-introspection.html#required-fields-in-the-introspection-response"""
    body = symmetric.connect()

    answer = introspect(symmetric, body["access_token"])

    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert said["active"] is True
    assert said["client_id"] == symmetric.client_id
    assert sorted(said["scope"].split()) == sorted(body["scope"].split())
    assert said["exp"] > time.time() - 5
    assert said["patient"] == body["patient"]
    keys = tools["KeySet"].import_key_set(suite.http.get(suite.configuration["jwks_uri"], timeout=30).json())
    claims = tools["jwt"].decode(body["id_token"], keys, algorithms=["RS256"]).claims
    assert (said["iss"], said["sub"]) == (claims["iss"], claims["sub"])
    assert said["fhirUser"] == claims["fhirUser"]


def test_unknown_tokens_are_inactive_and_nothing_else(symmetric):
    """RFC 7662 s. 2.2"""
    for token in ("nosuchtoken", "x" * 3000):
        answer = introspect(symmetric, token)
        assert answer.status_code == 200
        assert answer.json() == {"active": False}


def test_a_stranger_learns_nothing(suite, public, connected):
    """RFC 7662 s. 2.1: the endpoint is protected"""
    answer = suite.http.post(suite.endpoint("introspection"), data={"token": connected["access_token"]}, timeout=30)

    assert answer.status_code in (400, 401)


def test_revocation_ends_a_token_at_once(app):
    """RFC 7009 s. 2: the next request with it is refused"""
    body = app.connect()
    assert app.get(f"Patient/{body['patient']}", body["access_token"]).status_code == 200

    answer = app.post("revocation", token=body["access_token"])

    assert answer.status_code == 200
    assert app.get(f"Patient/{body['patient']}", body["access_token"]).status_code == 401


def test_revoking_a_refresh_token_ends_what_came_of_it(app):
    """RFC 7009 s. 2.1"""
    body = app.connect()
    second = app.refresh(body["refresh_token"]).json()

    answer = app.post("revocation", token=second["refresh_token"], token_type_hint="refresh_token")

    assert answer.status_code == 200
    assert app.refresh(second["refresh_token"]).status_code in (400, 401)
    for token in (body["access_token"], second["access_token"]):
        assert app.get(f"Patient/{body['patient']}", token).status_code == 401


def test_revoking_what_is_unknown_is_done(public):
    """RFC 7009 s. 2.2: an invalid token is no error"""
    assert public.post("revocation", token="nosuchtoken").status_code == 200


def test_nobody_revokes_anothers(public, symmetric):
    """RFC 7009 s. 2.1: the token was issued to the client making the request"""
    body = public.connect()

    symmetric.post("revocation", token=body["access_token"])

    assert public.get(f"Patient/{body['patient']}", body["access_token"]).status_code == 200
