"""Refresh tokens: for one use, of one client, never for more than was granted, and all dead when one comes twice.

RFC 6749 s. 6; RFC 9700 s. 2.2.2, s. 4.14; SMART 2.2: app-launch.html (refresh), scopes-and-launch-context.html
"""

from __future__ import annotations

import json
import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from fhir_server.accounts.accounts import Accounts
from fhir_server.smart.refresh import IDLE
from fhir_server.storage.store import Store
from tests.launches import Launch, Launching, answered

SCOPE = "openid launch/patient patient/Patient.rs patient/Observation.rs offline_access"


def begun(launches: Launching, **client: Any) -> tuple[Launch, dict[str, Any]]:
    """A launch and its tokens."""
    launch = launches.launch(launches.register(**{"scope": SCOPE, **client}), launches.sign_in(launches.person()))
    return launch, launch.tokens()


@pytest.mark.parametrize("kind", ["public", "symmetric"])
def test_each_refresh_token_gives_the_next(launches: Launching, kind: str) -> None:
    """RFC 6749 s. 6; RFC 9700 s. 4.14.2: rotated; the context comes back as it was"""
    launch, told = begun(launches, kind=kind)
    answer = launch.refresh(told["refresh_token"])
    assert answer.status_code == 200
    assert (answer.headers["Cache-Control"], answer.headers["Pragma"]) == ("no-store", "no-cache")
    again = answer.json
    assert again["refresh_token"] != told["refresh_token"]
    assert again["access_token"] != told["access_token"]
    for name in ("scope", "patient", "token_type", "need_patient_banner", "smart_style_url"):
        assert again[name] == told[name]
    assert 0 < again["expires_in"] <= 3600
    assert launches.caller(again["access_token"])("GET", f"Patient/{told['patient']}").status_code == 200
    assert launch.refresh(again["refresh_token"]).status_code == 200


def test_one_that_comes_again_ends_them_all(launches: Launching) -> None:
    """RFC 9700 s. 4.14.2; Authlib's own can be used again and again"""
    launch, told = begun(launches)
    again = launch.refresh(told["refresh_token"]).json
    reused = launch.refresh(told["refresh_token"])
    assert (reused.status_code, reused.json["error"]) == (400, "invalid_grant")
    assert launch.refresh(again["refresh_token"]).status_code == 400
    for token in (told["access_token"], again["access_token"]):
        assert launches.caller(token)("GET", "Patient").status_code == 401


def test_its_reuse_is_in_the_record_of_accesses(launches: Launching) -> None:
    """RFC 9700 s. 4.14.2: audited, and the holder of the record can read it"""
    launch, told = begun(launches)
    launch.refresh(told["refresh_token"])
    launch.refresh(told["refresh_token"])
    events = launches.served().caller().get(f"AuditEvent?patient=Patient/{told['patient']}&outcome=4")
    found = [entry["resource"] for entry in events["entry"]]
    assert any("used twice" in event.get("outcomeDesc", "") for event in found)
    assert told["refresh_token"] not in json.dumps(events)


def test_the_person_is_told_of_its_reuse_once(launches: Launching) -> None:
    """RFC 9700 s. 4.14.2: by a message, that says nothing of the tokens"""
    name = f"App {secrets.token_hex(6)}"
    launch, told = begun(launches, name=name)
    launch.refresh(told["refresh_token"])
    for _ in range(3):
        launch.refresh(told["refresh_token"])
    kept = list(launches.database["_outbox"].find({"subject": {"$regex": name}}))
    assert len(kept) == 1
    assert told["refresh_token"].partition(".")[0] not in str(kept)


def test_ten_at_once_leave_one_alive_at_most(launches: Launching) -> None:
    """RFC 9700 s. 4.14.2"""
    launch, told = begun(launches)
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: launch.refresh(told["refresh_token"]), range(10)))
    good = [answer.json for answer in answers if answer.status_code == 200]
    assert len(good) <= 1
    assert {answer.status_code for answer in answers} <= {200, 400}
    alive = [one for one in good if launch.refresh(one["refresh_token"]).status_code == 200]
    assert not alive


def test_one_whose_secret_is_made_up_is_taken_for_an_old_one(launches: Launching) -> None:
    """RFC 9700 s. 4.14.2: whoever knows the family has held a token of it"""
    launch, told = begun(launches)
    forged = told["refresh_token"].partition(".")[0] + "." + "x" * 43
    assert launch.refresh(forged).status_code == 400
    assert launch.refresh(told["refresh_token"]).status_code == 400


@pytest.mark.parametrize("token", ["", "x", "x.y", "x" * 43 + "." + "y" * 43, "é.é", ".", "a.b.c", '{"$gt": ""}'])
def test_what_was_never_one_is_refused(launches: Launching, token: str) -> None:
    """RFC 6749 s. 5.2"""
    launch, _ = begun(launches)
    answer = launch.refresh(token)
    assert answer.status_code == 400
    assert answer.json["error"] in ("invalid_grant", "invalid_request")


def test_it_is_its_client_s(launches: Launching) -> None:
    """RFC 6749 s. 6: "the refresh token is bound to the client"; another's attempt ends nothing"""
    launch, told = begun(launches)
    other = launches.register(scope=SCOPE)
    stolen = launch.refresh(told["refresh_token"], client_id=other.client_id)
    assert (stolen.status_code, stolen.json["error"]) == (400, "invalid_grant")
    assert launch.refresh(told["refresh_token"]).status_code == 200


@pytest.mark.parametrize(
    "asked",
    [
        "patient/Patient.cruds",
        "patient/*.rs",
        "patient/Patient.rs patient/Condition.rs",
        "user/Patient.rs",
        "patient/Patient.rs launch/encounter",
        "patient/Patient.rs online_access",
        "patient/Patient.rs fhirUser",
        "patient/Patient.sr",
        "patient/Patient.rs nonsense",
    ],
)
def test_it_never_gives_more(launches: Launching, asked: str) -> None:
    """RFC 6749 s. 6; and the token is not spent by it"""
    launch, told = begun(launches)
    answer = launch.refresh(told["refresh_token"], scope=asked)
    assert (answer.status_code, answer.json["error"]) == (400, "invalid_scope")
    assert launch.refresh(told["refresh_token"]).status_code == 200


def test_a_constraint_cannot_be_dropped(launches: Launching) -> None:
    """RFC 6749 s. 6: `?category` stays"""
    scope = "launch/patient offline_access patient/Observation.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory"
    launch, told = begun(launches, scope=scope)
    assert launch.refresh(told["refresh_token"], scope="patient/Observation.rs").json["error"] == "invalid_scope"


@pytest.mark.parametrize(
    "asked",
    [
        "patient/Observation.r",
        "patient/Observation.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|vital-signs",
        "patient/Observation.read",
        SCOPE,
    ],
)
def test_it_gives_less_where_less_is_asked(launches: Launching, asked: str) -> None:
    """RFC 6749 s. 6; SMART 2.2 scopes: Authlib's own compares words, and refuses this. The next one gives all again"""
    launch, told = begun(launches)
    less = launch.refresh(told["refresh_token"], scope=asked).json
    assert set(less["scope"].split()) == set(asked.split())
    if asked != SCOPE:
        assert launches.caller(less["access_token"])("GET", "Patient").status_code == 403
    whole = launch.refresh(less["refresh_token"]).json
    assert set(whole["scope"].split()) == set(SCOPE.split())


def test_an_app_that_does_not_come_back_asks_again(launches: Launching) -> None:
    """RFC 9700 s. 4.14.2: "expire if the client has been inactive for some time" """
    launch, told = begun(launches)
    launches.clock.ahead = IDLE + timedelta(minutes=1)
    try:
        assert launch.refresh(told["refresh_token"]).status_code == 400
    finally:
        launches.clock.ahead = timedelta()


def test_it_goes_on_no_longer_than_was_allowed(launches: Launching) -> None:
    """smart-app-launch: how long is the person's decision; the last access token does not outlive it"""
    launch = launches.launch(launches.register(scope=SCOPE), launches.sign_in(launches.person()))
    told = launch.tokens(lasting=timedelta(days=2))
    try:
        launches.clock.ahead = timedelta(days=1, hours=23, minutes=30)
        last = launch.refresh(told["refresh_token"]).json
        assert last["expires_in"] <= 1800
        launches.clock.ahead = timedelta(days=2, seconds=1)
        assert launch.refresh(last["refresh_token"]).status_code == 400
        assert launches.caller(last["access_token"])("GET", "Patient").status_code == 401
    finally:
        launches.clock.ahead = timedelta()


def test_what_is_for_the_session_ends_with_it(launches: Launching) -> None:
    """SMART 2.2 scopes-and-launch-context.html: online_access ends with the session, offline_access does not"""
    account = launches.person()
    session = launches.sign_in(account)
    online = launches.launch(launches.register(scope="launch/patient patient/*.rs online_access"), session)
    offline = launches.launch(launches.register(scope="launch/patient patient/*.rs offline_access"), session)
    here, there = online.tokens(lasting=None), offline.tokens()
    launches.kept.sessions.end(session.id)
    assert online.refresh(here["refresh_token"]).status_code == 400
    assert launches.caller(here["access_token"])("GET", "Patient").status_code == 401
    assert offline.refresh(there["refresh_token"]).status_code == 200
    assert launches.caller(there["access_token"])("GET", "Patient").status_code == 200


def test_what_is_for_the_session_ends_at_the_latest_after_twelve_hours(launches: Launching) -> None:
    """OWASP ASVS 5.0: V7; an app in use keeps it alive until then"""
    launch = launches.launch(
        launches.register(scope="launch/patient patient/*.rs online_access"), launches.sign_in(launches.person())
    )
    told = launch.tokens(lasting=None)
    try:
        launches.clock.ahead = timedelta(hours=11)
        again = launch.refresh(told["refresh_token"])
        assert again.status_code == 200
        launches.clock.ahead = timedelta(hours=12, minutes=1)
        assert launch.refresh(again.json["refresh_token"]).status_code == 400
    finally:
        launches.clock.ahead = timedelta()


@pytest.mark.parametrize("kind", ["public", "symmetric"])
def test_a_client_that_was_suspended_gets_none(launches: Launching, kind: str) -> None:
    """RFC 9700 s. 4.14.2; and none that it had before is good when it is let in again"""
    launch, told = begun(launches, kind=kind)
    launches.kept.clients.suspend(launch.client.client_id)
    assert launch.refresh(told["refresh_token"]).json["error"] == "invalid_client"
    launches.kept.clients.resume(launch.client.client_id)
    assert launches.caller(told["access_token"])("GET", "Patient").status_code == 401


def test_an_account_that_was_closed_gets_none(launches: Launching) -> None:
    """RFC 9700 s. 4.14.2: the account is closed, or no longer opens the record; however that came about"""
    accounts = Accounts(launches.database, launches.clock)
    for change in ({"state": "closed"}, {"profiles": ()}):
        account = launches.person()
        launch = launches.launch(launches.register(scope=SCOPE), launches.sign_in(account))
        told = launch.tokens()
        accounts.keep(replace(account, **change))
        assert launch.refresh(told["refresh_token"]).json["error"] == "invalid_grant"


@pytest.mark.parametrize(
    "change", [{"state": "closed"}, {"state": "locked"}, {"profiles": ()}, {"password": "another"}]
)
def test_what_an_account_loses_its_apps_lose_at_once(launches: Launching, change: dict[str, Any]) -> None:
    """RFC 9700 s. 4.14.2: a changed password, a closed account: at the next request, and every session with it"""
    account = launches.person()
    launch = launches.launch(launches.register(scope=SCOPE), launches.sign_in(account))
    told, password = launch.tokens(), change.get("password")
    caller = launches.caller(told["access_token"])
    accounts = launches.app.extensions["people"].accounts
    accounts.keep(replace(account, name="Another name"))
    assert caller("GET", "Patient").status_code == 200
    accounts.keep(replace(account, **{name: to for name, to in change.items() if name != "password"}), password)
    assert caller("GET", "Patient").status_code == 401
    assert launch.refresh(told["refresh_token"]).json["error"] == "invalid_grant"
    assert launches.kept.sessions.alive(launch.session.id) is None


@pytest.mark.parametrize("deceased", [{"deceasedBoolean": True}, {"deceasedDateTime": "2026-03"}])
def test_the_record_of_who_has_died_is_no_app_s(launches: Launching, deceased: dict[str, Any]) -> None:
    """smart-app-launch best practices; R4 patient.html#death: nobody is there any more who has allowed it"""
    patient = launches.patient()
    account = launches.person(patient)
    launch = launches.launch(launches.register(scope=SCOPE), launches.sign_in(account))
    told = launch.tokens()
    operator = launches.served().caller()
    resource = operator.get(f"Patient/{patient}")
    assert operator("PUT", f"Patient/{patient}", resource | {"deceasedBoolean": False}).status_code == 200
    told = launch.refresh(told["refresh_token"]).json
    caller = launches.caller(told["access_token"])
    assert caller("GET", "Patient").status_code == 200
    assert operator("PUT", f"Patient/{patient}", resource | deceased).status_code == 200
    assert caller("GET", "Patient").status_code == 401  # the next request, not the next refresh
    assert launch.refresh(told["refresh_token"]).json["error"] == "invalid_grant"
    assert launches.caller(told["access_token"])("GET", "Patient").status_code == 401
    again = launches.launch(launch.client, launch.session)
    assert again.asked().patient is None


def test_a_death_ends_no_token_of_anybody_else(launches: Launching) -> None:
    """R4 patient.html#death: professionals go on, and so do the records of the living"""
    dead, living = launches.patient(), launches.patient()
    of_living = launches.launch(launches.register(scope=SCOPE), launches.sign_in(launches.person(living))).tokens()
    scope = "user/Patient.rs launch/patient"
    software = launches.register(audience="professional", scope=scope)
    session = launches.sign_in()
    launch = launches.launch(software, session)
    authorization = launches.smart.authorization
    name = launch.request_id()
    request = authorization.find(name, session)
    with launches.app.test_request_context("/authorize/x"):
        request = authorization.choose_patient(request, session, dead, display="The patient")
        rows = authorization.offer(request, session).rows
        where = authorization.grant(request, session, frozenset(row.id for row in rows))
    told = launch.redeem(answered(where)["code"]).json
    operator = launches.served().caller()
    patch = [{"op": "add", "path": "/deceasedBoolean", "value": True}]
    answer = operator("PATCH", f"Patient/{dead}", patch, **{"Content-Type": "application/json-patch+json"})
    assert answer.status_code == 200, answer.text
    assert launches.kept.tokens.find(told["access_token"])
    assert launches.kept.tokens.find(of_living["access_token"])


def test_a_token_is_not_issued_to_who_dies_meanwhile(launches: Launching, monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 9700 s. 4.14.2: whoever ends something either finds the token, or is found by it"""
    patient = launches.patient()
    launch = launches.launch(launches.register(scope=SCOPE), launches.sign_in(launches.person(patient)))
    told = launch.tokens()
    operator = launches.served().caller()
    resource = operator.get(f"Patient/{patient}")
    run = Store.run

    def meanwhile(store: Store, work: Any) -> Any:
        """A token is issued when the transaction of the death has looked for tokens, and is not committed."""

        def whole(unit: Any) -> Any:
            result = work(unit)
            refreshed.append(launch.refresh(told["refresh_token"]).json)
            return result

        monkeypatch.setattr(Store, "run", run)
        return run(store, whole)

    refreshed: list[dict[str, Any]] = []
    monkeypatch.setattr(Store, "run", meanwhile)
    assert operator("PUT", f"Patient/{patient}", resource | {"deceasedBoolean": True}).status_code == 200
    assert launches.caller(refreshed[0]["access_token"])("GET", "Patient").status_code == 401


def test_granting_again_with_less_takes_from_what_was_there(launches: Launching) -> None:
    """smart-app-launch: the person's last word on what was asked for holds for every device of the app"""
    account, client = launches.person(), launches.register(scope=SCOPE)
    session = launches.sign_in(account)
    first = launches.launch(client, session)
    told = first.tokens()
    second = launches.launch(client, session)
    narrower = second.tokens(ticked={"IDENTITE-read"})
    assert "Observation" not in narrower["scope"]
    assert launches.caller(told["access_token"])("GET", "Observation").status_code == 403
    assert "Observation" not in first.refresh(told["refresh_token"]).json["scope"]


def test_what_was_not_asked_for_again_stays(launches: Launching) -> None:
    """smart-app-launch: signing in with less takes nothing from another device"""
    account, client = launches.person(), launches.register(scope=SCOPE)
    session = launches.sign_in(account)
    first = launches.launch(client, session)
    told = first.tokens()
    launches.launch(client, session, scope="openid launch/patient patient/Patient.r").tokens(lasting=None)
    assert set(first.refresh(told["refresh_token"]).json["scope"].split()) == set(SCOPE.split())
    (grant,) = launches.kept.grants.of(account.id)
    assert grant.lasting_until and set(SCOPE.split()) <= set(grant.scope.split())


def test_its_use_is_noted(launches: Launching) -> None:
    """smart-app-launch: the page of connected apps says when one came back last"""
    launch, told = begun(launches)
    (before,) = launches.kept.grants.of(launch.session.subject.sub)
    launches.clock.ahead = timedelta(hours=2)
    try:
        launch.refresh(told["refresh_token"])
    finally:
        launches.clock.ahead = timedelta()
    (after,) = launches.kept.grants.of(launch.session.subject.sub)
    assert after.last_used_at >= before.last_used_at + timedelta(hours=2)
