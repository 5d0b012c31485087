"""Refresh tokens.  SMART App Launch 2.2: app-launch.html#refresh-access-token; RFC 6749 s. 6; RFC 9700 s. 4.14"""

from __future__ import annotations

import pytest

REQUIRED = ("access_token", "token_type", "expires_in", "scope")


def test_with_and_without_scope(app, no_store):
    """app-launch.html#step-6-refresh: the context comes back as it was"""
    first = app.connect()
    answer = app.refresh(first["refresh_token"])
    assert answer.status_code == 200, answer.text
    second = answer.json()
    narrow = app.refresh(second.get("refresh_token", first["refresh_token"]), scope=first["scope"])
    assert narrow.status_code == 200, narrow.text

    for one in (answer, narrow):
        no_store(one)
        body = one.json()
        assert all(name in body for name in REQUIRED)
        assert set(body["scope"].split()) <= set(first["scope"].split())
        assert body["patient"] == first["patient"]
        assert app.get(f"Patient/{body['patient']}", body["access_token"]).status_code == 200


def test_no_refresh_token_unless_asked_for(public):
    """scopes-and-launch-context.html#scopes-for-requesting-a-refresh-token"""
    scope = " ".join(word for word in public.scope.split() if word not in ("offline_access", "online_access"))

    assert "refresh_token" not in public.connect(scope=scope)


def test_less_may_be_asked_for(public):
    """RFC 6749 s. 6: a part of what was granted, be it with fewer letters"""
    first = public.connect(scope="launch/patient offline_access patient/Patient.rs patient/Observation.rs")

    answer = public.refresh(first["refresh_token"], scope="patient/Observation.r")

    assert answer.status_code == 200, answer.text
    assert answer.json()["scope"].split() == ["patient/Observation.r"]
    token = answer.json()["access_token"]
    assert public.get(f"Patient/{first['patient']}", token).status_code == 403


@pytest.mark.parametrize(
    "scope",
    [
        "patient/Observation.cruds",
        "patient/Observation.rs",
        "patient/*.rs",
        "user/Observation.rs",
        "patient/Patient.rs launch",
        "patient/Patient.rs openid",
    ],
)
def test_more_may_not(public, scope):
    """RFC 6749 s. 6: the scope MUST NOT include any scope not originally granted"""
    category = "http://terminology.hl7.org/CodeSystem/observation-category|vital-signs"
    first = public.connect(
        scope=f"launch/patient offline_access patient/Patient.rs patient/Observation.rs?category={category}"
    )

    answer = public.refresh(first["refresh_token"], scope=scope)

    assert answer.status_code == 400, answer.text
    assert answer.json()["error"] == "invalid_scope"


def test_a_token_that_comes_twice_ends_the_family(public):
    """RFC 9700 s. 4.14.2: one of the two who hold it has stolen it"""
    first = public.connect()
    second = public.refresh(first["refresh_token"]).json()

    again = public.refresh(first["refresh_token"])
    after = public.refresh(second["refresh_token"])

    assert again.status_code == 400
    assert after.status_code == 400
    assert public.get(f"Patient/{first['patient']}", second["access_token"]).status_code == 401


def test_it_is_the_clients_own(public, symmetric):
    """RFC 6749 s. 6: bound to the client it was issued to"""
    first = public.connect()

    answer = symmetric.refresh(first["refresh_token"])

    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid_grant"


def test_a_public_client_need_not_name_itself(public):
    """app-launch.html#refresh-access-token: the parameters are grant_type, refresh_token and scope"""
    first = public.connect()

    answer = public.refresh(first["refresh_token"], client_id=None)

    assert answer.status_code == 200, answer.text
    assert answer.json()["patient"] == first["patient"]


def test_who_has_a_secret_uses_it(suite, symmetric, public):
    """RFC 6749 s. 6: a confidential client MUST authenticate"""
    first = symmetric.connect()
    data = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}

    for more in ({}, {"client_id": symmetric.client_id}, {"client_id": public.client_id}):
        answer = suite.http.post(suite.endpoint("token"), data=data | more, timeout=30)
        assert answer.status_code in (400, 401), more


@pytest.mark.parametrize("token", ["nosuchtoken", "", "x" * 5000])
def test_unknown_ones(public, token):
    """RFC 6749 s. 5.2"""
    answer = public.refresh(token)

    assert answer.status_code == 400
    assert answer.json()["error"] in ("invalid_grant", "invalid_request")
