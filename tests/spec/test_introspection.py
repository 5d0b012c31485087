"""What a token is, and giving it back.  RFC 7662; SMART App Launch 2.2: token-introspection.html; RFC 7009"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from fhir_server.smart.introspection import INTROSPECT, LIMIT
from tests.calls import BASE
from tests.clients import assertion, client
from tests.launches import ISSUER, SCOPE, Launch, Launching, authorized


@pytest.fixture
def launch(launches: Launching) -> Launch:
    """An app of a patient, that is not launched yet."""
    return launches.launch(launches.register(), launches.sign_in(launches.person()))


@pytest.fixture
def backend(launches: Launching) -> Any:
    """A backend that may introspect with an access token, and reads."""
    kept = client(scope=f"system/*.rs {INTROSPECT}")
    launches.kept.clients.keep(kept)
    return kept


def ask(launches: Launching, kept: Any, token: str, path: str = "introspect", **more: str):
    """The answer to this client, which authenticates itself in its own way."""
    form = {"token": token, **more}
    if kept.kind == "public":
        form["client_id"] = kept.client_id
    if kept.kind == "asymmetric":
        form |= assertion(kept.client_id)
    return launches.post(f"/oauth/{path}", form, **authorized(kept))


def bearer(launches: Launching, backend: Any, scope: str = INTROSPECT) -> str:
    """An access token of the backend's."""
    form = {"grant_type": "client_credentials", "scope": scope, **assertion(backend.client_id)}
    return launches.post("/oauth/token", form).json["access_token"]


@pytest.mark.parametrize("kind", ["public", "symmetric"])
def test_an_app_hears_what_its_token_is(launches, kind):
    """RFC 7662 s. 2.2; SMART 2.2 token-introspection.html#required-fields-in-the-introspection-response"""
    account = launches.person()
    launch = launches.launch(launches.register(kind=kind), launches.sign_in(account))
    tokens = launch.tokens()

    answer = ask(launches, launch.client, tokens["access_token"])

    assert answer.status_code == 200
    assert (answer.headers["Cache-Control"], answer.headers["Content-Type"]) == ("no-store", "application/json")
    told = answer.json
    assert told["active"] is True
    assert told["client_id"] == launch.client.client_id
    assert set(told["scope"].split()) == set(tokens["scope"].split())
    assert told["exp"] - told["iat"] == tokens["expires_in"]
    assert (told["iss"], told["sub"], told["aud"]) == (ISSUER, account.id, BASE)
    assert told["fhirUser"] == f"{BASE}/Patient/{account.profiles[0].patient}"
    assert told["patient"] == tokens["patient"]
    assert told["token_type"] == "Bearer"


@pytest.mark.parametrize("token", ["", "x", "x" * 5_000, "a.b", "é", '{"$ne": null}'])
def test_what_is_no_token_is_not_active_and_nothing_else(launches, launch, token):
    """RFC 7662 s. 2.2; SMART 2.2: `{"active": false}` and nothing else"""
    answer = ask(launches, launch.client, token or "unknown")

    assert (answer.status_code, answer.json) == (200, {"active": False})


def test_a_token_has_to_be_there(launches, launch):
    """RFC 7662 s. 2.1"""
    answer = launches.post("/oauth/introspect", {"client_id": launch.client.client_id})

    assert (answer.status_code, answer.json["error"]) == (400, "invalid_request")


def test_dead_tokens_are_not_active(launches, launch):
    tokens = launch.tokens()
    ended, expired = tokens["access_token"], launch.refresh(tokens["refresh_token"]).json["access_token"]
    ask(launches, launch.client, ended, "revoke")
    launches.clock.ahead = timedelta(hours=2)

    try:
        assert ask(launches, launch.client, ended).json == {"active": False}
        assert ask(launches, launch.client, expired).json == {"active": False}
    finally:
        launches.clock.ahead = timedelta()


def test_other_apps_hear_nothing_of_it(launches, launch):
    """RFC 7662 s. 2.1, s. 4: or the endpoint is a scanner of tokens"""
    token = launch.tokens()["access_token"]

    answer = ask(launches, launches.register(), token)

    assert answer.json == {"active": False}


def test_a_resource_server_hears_of_every_access_token(launches, launch):
    """RFC 7662 s. 2.1"""
    tokens = launch.tokens()
    server = client("symmetric", resource_server=True, audience="backend", redirect_uris=(), scope="")
    launches.kept.clients.keep(server)
    server_secret = launches.kept.clients.renew_secret(server.client_id)

    def told(token: str) -> Any:
        return launches.post("/oauth/introspect", {"token": token}, **authorized(server, server_secret)).json

    assert told(tokens["access_token"])["client_id"] == launch.client.client_id
    assert told(tokens["refresh_token"]) == {"active": False}


def test_the_holder_of_a_token_for_it_hears_of_every_access_token(launches, launch, backend):
    """SMART 2.2 token-introspection.html: a suitably scoped access token lets its holder introspect"""
    token = launch.tokens()["access_token"]
    own = bearer(launches, backend)

    answer = launches.post("/oauth/introspect", {"token": token}, Authorization=f"Bearer {own}")

    assert answer.json["client_id"] == launch.client.client_id


@pytest.mark.parametrize("scope", ["system/*.rs", None])
def test_other_tokens_do_not_open_the_introspection(launches, launch, backend, scope):
    token = launch.tokens()["access_token"]
    presented = bearer(launches, backend, scope) if scope else "unknown"

    answer = launches.post("/oauth/introspect", {"token": token}, Authorization=f"Bearer {presented}")

    assert (answer.status_code, answer.json["error"]) == (401, "invalid_client")


def test_a_refresh_token_is_told_of_to_its_client_alone(launches, launch):
    """A server that asked would take it for an access token."""
    token = launch.tokens()["refresh_token"]

    told = ask(launches, launch.client, token).json

    assert (told["active"], told["client_id"]) == (True, launch.client.client_id)
    assert "token_type" not in told
    assert ask(launches, launches.register(), token).json == {"active": False}
    launch.refresh(token)
    assert ask(launches, launch.client, token).json == {"active": False}


def test_a_backend_hears_of_its_own(launches, backend):
    told = ask(launches, backend, bearer(launches, backend, "system/Patient.rs")).json

    assert (told["client_id"], told["sub"], told["scope"]) == (
        backend.client_id,
        backend.client_id,
        "system/Patient.rs",
    )


def test_who_does_not_say_who_asks_hears_nothing(launches, launch):
    """RFC 7662 s. 2.1: some form of authorization"""
    answer = launches.post("/oauth/introspect", {"token": launch.tokens()["access_token"]})

    assert (answer.status_code, answer.json["error"]) == (401, "invalid_client")


@pytest.mark.parametrize("path", ["introspect", "revoke"])
def test_what_is_asked_stands_in_the_body_once(launches, launch, path):
    """RFC 7662 s. 2.1, RFC 7009 s. 2.1: form parameters in the body"""
    form = [("token", "x"), ("client_id", launch.client.client_id)]

    assert launches.post(f"/oauth/{path}?token=x", form).json["error"] == "invalid_request"
    assert launches.post(f"/oauth/{path}", [*form, ("token", "y")]).json["error"] == "invalid_request"
    assert launches.get(f"/oauth/{path}", {"token": "x"}).status_code == 405


def test_who_asks_too_often_has_to_wait(launches, monkeypatch):
    """RFC 7662 s. 4"""
    monkeypatch.setattr("fhir_server.smart.introspection.LIMIT", replace(LIMIT, amount=3))
    kept = launches.register()

    answers = [ask(launches, kept, "x") for _ in range(5)]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert int(answers[-1].headers["Retry-After"]) > 0
    assert ask(launches, launches.register(), "x").status_code == 200


def test_a_revoked_access_token_is_dead_at_the_next_request(launches, launch):
    """RFC 7009 s. 2"""
    tokens = launch.tokens()
    caller = launches.caller(tokens["access_token"])
    assert caller("GET", f"Patient/{tokens['patient']}").status_code == 200

    answer = ask(launches, launch.client, tokens["access_token"], "revoke")

    assert answer.status_code == 200
    assert caller("GET", f"Patient/{tokens['patient']}").status_code == 401
    assert launch.refresh(tokens["refresh_token"]).status_code == 200


@pytest.mark.parametrize("hint", [None, "refresh_token", "access_token", "what"])
def test_a_revoked_refresh_token_takes_all_with_it_that_was_made_of_it(launches, launch, hint):
    """RFC 7009 s. 2.1: the access tokens too; the hint is a hint"""
    first = launch.tokens()
    second = launch.refresh(first["refresh_token"]).json

    answer = ask(
        launches, launch.client, second["refresh_token"], "revoke", **({"token_type_hint": hint} if hint else {})
    )

    assert answer.status_code == 200
    for token in (first["access_token"], second["access_token"]):
        assert launches.caller(token)("GET", f"Patient/{first['patient']}").status_code == 401
    assert launch.refresh(second["refresh_token"]).json["error"] == "invalid_grant"


def test_an_old_refresh_token_ends_the_family_as_well(launches, launch):
    """Whoever gives back what it has used does not want what came of it."""
    first = launch.tokens()
    second = launch.refresh(first["refresh_token"]).json

    assert ask(launches, launch.client, first["refresh_token"], "revoke").status_code == 200

    assert launch.refresh(second["refresh_token"]).status_code == 400


def test_giving_back_what_is_no_token_is_fine(launches, launch):
    """RFC 7009 s. 2.2"""
    assert ask(launches, launch.client, "unknown", "revoke").status_code == 200
    assert launches.post("/oauth/revoke", {"client_id": launch.client.client_id}).json["error"] == "invalid_request"


@pytest.mark.parametrize("name", ["access_token", "refresh_token"])
def test_nobody_gives_back_the_token_of_another(launches, launch, name):
    """RFC 7009 s. 2.1"""
    tokens = launch.tokens()

    answer = ask(launches, launches.register(), tokens[name], "revoke")

    assert (answer.status_code, answer.json["error"]) == (400, "invalid_grant")
    assert launches.caller(tokens["access_token"])("GET", f"Patient/{tokens['patient']}").status_code == 200
    assert launch.refresh(tokens["refresh_token"]).status_code == 200


def test_what_apps_ask_for_is_told_in_full(launches, launch):
    """SMART 2.2: as many scopes as were granted"""
    tokens = launch.tokens()

    told = ask(launches, launch.client, tokens["access_token"]).json

    assert sorted(told["scope"].split()) == sorted(tokens["scope"].split())
    assert set(told["scope"].split()) <= set(SCOPE.split())
