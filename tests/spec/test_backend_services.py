"""Backends get tokens of their own.  SMART App Launch 2.2: backend-services.html"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.build import patient
from tests.clients import assertion, client, key
from tests.launches import Launching, authorized

GRANT = {"grant_type": "client_credentials"}


@pytest.fixture
def backend(launches: Launching):
    """A backend that may read everything."""
    kept = client(scope="system/*.rs", organization="Organization/hospital")
    launches.kept.clients.keep(kept)
    return kept


def ask(launches: Launching, kept, scope: str = "system/Patient.rs", **more):
    return launches.post("/oauth/token", {**GRANT, "scope": scope, **assertion(kept.client_id), **more})


@pytest.mark.parametrize("algorithm", ["RS384", "ES384"])
def test_a_backend_gets_a_token_and_reads_with_it(launches, backend, algorithm):
    """SMART 2.2 backend-services.html#issue-access-token: at most five minutes, no refresh token"""
    answer = ask(launches, backend, **assertion(backend.client_id, key(algorithm)))

    assert answer.status_code == 200
    assert (answer.headers["Cache-Control"], answer.headers["Pragma"]) == ("no-store", "no-cache")
    assert set(answer.json) == {"access_token", "token_type", "expires_in", "scope"}
    assert (answer.json["token_type"], answer.json["expires_in"]) == ("Bearer", 300)
    assert answer.json["scope"] == "system/Patient.rs"
    caller = launches.caller(answer.json["access_token"])
    assert caller("GET", "Patient?_summary=count").status_code == 200
    assert caller("GET", "Observation?_summary=count").status_code == 403
    assert caller("POST", "Patient", patient()).status_code == 403


def test_who_holds_the_token_is_the_backend(launches, backend):
    """What decides on access, and the record of it, know the software and whom it acts for."""
    token = ask(launches, backend).json["access_token"]

    kept = launches.kept.tokens.find(token)

    assert {name: kept[name] for name in ("kind", "name", "client_id", "organization", "software")} == {
        "kind": "backend",
        "name": backend.name,
        "client_id": backend.client_id,
        "organization": "Organization/hospital",
        "software": backend.name,
    }


@pytest.mark.parametrize(
    ("asked", "granted"),
    [
        ("system/*.cruds", "system/*.rs"),
        ("system/Patient.cruds system/Observation.r", "system/Patient.rs system/Observation.r"),
        ("system/Patient.read", "system/Patient.read"),
        (
            "system/Observation.rs?category=laboratory",
            "system/Observation.rs?category=laboratory",
        ),
    ],
)
def test_a_backend_gets_no_more_than_it_is_registered_with(launches, backend, asked, granted):
    """SMART 2.2 backend-services.html#scopes: within what was pre-authorized; the answer says what it is"""
    answer = ask(launches, backend, asked)

    assert (answer.status_code, answer.json["scope"]) == (200, granted)


@pytest.mark.parametrize(
    "scope",
    [
        "",
        "patient/*.rs",
        "user/*.rs",
        "system/Patient.rs patient/Patient.rs",
        "openid",
        "offline_access system/*.rs",
        "launch",
        "system/Patient.c",
        "system/Patient.sr",
        "system/Weather.rs",
        "system/Patient.",
        "__introspect",
        "x" * 20_000,
    ],
)
def test_what_a_backend_cannot_have_is_refused(launches, backend, scope):
    """RFC 6749 s. 5.2: invalid_scope"""
    answer = ask(launches, backend, scope)

    assert (answer.status_code, answer.json["error"]) == (400, "invalid_scope")


def test_the_scope_has_to_be_said(launches, backend):
    answer = launches.post("/oauth/token", {**GRANT, **assertion(backend.client_id)})

    assert (answer.status_code, answer.json["error"]) == (400, "invalid_scope")


@pytest.mark.parametrize("kind", ["public", "symmetric"])
def test_only_who_has_a_key_is_a_backend(launches, kind):
    """SMART 2.2 backend-services.html: asymmetric authentication"""
    kept = launches.register(kind=kind, scope="patient/*.rs")
    form = {**GRANT, "scope": "patient/*.rs", **({"client_id": kept.client_id} if kind == "public" else {})}

    answer = launches.post("/oauth/token", form, **authorized(kept))

    assert (answer.status_code, answer.json["error"]) == (400, "unauthorized_client")


def test_an_app_of_people_with_a_key_is_no_backend(launches):
    kept = client(audience="patient", scope="patient/*.rs", redirect_uris=("https://app.test/",))
    launches.kept.clients.keep(kept)

    answer = ask(launches, kept, "patient/*.rs")

    assert (answer.status_code, answer.json["error"]) == (400, "unauthorized_client")


@pytest.mark.parametrize(
    "change",
    [
        {"client_assertion_type": "other"},
        {"client_assertion": "a.b.c"},
        {"client_assertion": ""},
    ],
)
def test_a_bad_assertion_is_invalid_client(launches, backend, change):
    """SMART 2.2 client-confidential-asymmetric.html: every failure is `invalid_client`"""
    answer = ask(launches, backend, **change)

    assert (answer.status_code, answer.json["error"]) == (401, "invalid_client")
    assert answer.headers["WWW-Authenticate"]


def test_an_assertion_sent_to_several_workers_at_once_gives_one_token(launches, backend):
    """SMART 2.2: `jti` is for one use"""
    form = {**GRANT, "scope": "system/Patient.rs", **assertion(backend.client_id)}

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: launches.post("/oauth/token", form).status_code, range(12)))

    assert sorted(answers) == [200] + [401] * 11


def test_what_is_asked_stands_in_the_body_once(launches, backend):
    """RFC 6749 s. 3.2: a parameter is not included more than once; nothing of it belongs into a URL"""
    form = {**GRANT, "scope": "system/Patient.rs"}
    twice = [*form.items(), *assertion(backend.client_id).items(), ("scope", "system/*.rs")]

    assert launches.post("/oauth/token", twice).json["error"] == "invalid_request"
    answer = launches.post("/oauth/token?grant_type=client_credentials", {**form, **assertion(backend.client_id)})
    assert (answer.status_code, answer.json["error"]) == (400, "invalid_request")


def test_a_suspended_backend_is_out_at_once(launches, backend):
    """Its tokens die with the next request; new ones there are none, until it is resumed, and then new ones only."""
    token = ask(launches, backend).json["access_token"]
    caller = launches.caller(token)
    assert caller("GET", "Patient?_summary=count").status_code == 200

    launches.kept.clients.suspend(backend.client_id)

    assert caller("GET", "Patient?_summary=count").status_code == 401
    assert ask(launches, backend).status_code == 401
    launches.kept.clients.resume(backend.client_id)
    assert caller("GET", "Patient?_summary=count").status_code == 401
    assert ask(launches, backend).status_code == 200


def test_a_token_made_while_its_client_is_suspended_is_refused_or_dead(launches, backend):
    """However the two fall together."""

    def token(_: int):
        return ask(launches, backend)

    with ThreadPoolExecutor(4) as pool:
        made = [pool.submit(token, number) for number in range(6)]
        launches.kept.clients.suspend(backend.client_id)
        answers = [one.result() for one in made]

    living = [one.json["access_token"] for one in answers if one.status_code == 200]
    assert [launches.kept.tokens.find(token) for token in living] == [None] * len(living)
    assert {one.status_code for one in answers} <= {200, 400, 401}
