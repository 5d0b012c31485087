"""The Consent that stands in the record for each grant: with it, or not at all; and nobody's to change.

R4: consent.html; rule A3
"""

from __future__ import annotations

import threading
from typing import Any

import pytest

from fhir_server.access.consents import choices
from fhir_server.smart.evidence import SCOPE, id_of
from fhir_server.smart.grants import Grant, new_grant_id
from tests.browsing import Browser, browser
from tests.launches import Launching

ASKED = "launch/patient offline_access patient/Immunization.crs patient/Consent.cruds"


def connect(launches: Launching, person: Browser, **client: Any) -> Grant:
    """What a person allows an app on the page, just now."""
    launch = launches.launch(launches.register(**{"scope": ASKED, **client}), person.session)
    path, form = person.consent(launch)
    assert person.post(path, form.sent(["VACCINATIONS-read"], lasting="year")).status_code == 303
    grants = launches.kept.grants.of(person.session.subject.sub)
    return next(each for each in grants if each.client_id == launch.client.client_id)


def kept(launches: Launching, grant: Grant) -> dict[str, Any]:
    """The Consent of the grant, as the operator reads it."""
    return dict(launches.served().caller().get(f"Consent/{id_of(grant)}"))


def test_a_grant_is_a_consent_in_the_record(launches: Launching) -> None:
    """R4 consent.html: who, for whom, what, why, until when"""
    person = browser(launches, launches.person())
    grant = connect(launches, person, name="Vaccins & Co")
    found = kept(launches, grant)
    assert found["status"] == "active"
    assert found["patient"]["reference"] == f"Patient/{grant.patient}"
    assert found["performer"] == [{"reference": grant.person}]
    assert found["scope"]["coding"][0]["code"] == "patient-privacy"
    assert found["extension"] == [{"url": SCOPE, "valueString": grant.scope}]
    provision = found["provision"]
    assert provision["type"] == "permit"
    assert provision["actor"][0]["reference"]["display"] == "Vaccins & Co"
    assert [purpose["code"] for purpose in provision["purpose"]] == ["PATRQT"]
    assert [section["code"] for section in provision["class"]] == ["VACCINATIONS"]
    assert provision["period"]["end"].startswith(f"{grant.lasting_until:%Y-%m-%dT%H:%M:%S}")


def test_what_is_withdrawn_is_inactive_and_stays(launches: Launching) -> None:
    """R4 consent.html: status; the versions before are the history of what was allowed"""
    person = browser(launches, launches.person())
    grant = connect(launches, person)
    launches.smart.kept.grants.withdraw(grant.id)
    found = kept(launches, grant)
    assert found["status"] == "inactive"
    assert found["meta"]["versionId"] == "2"
    assert found["provision"]["period"]["end"] >= found["provision"]["period"]["start"]


def test_allowing_again_is_the_same_consent(launches: Launching) -> None:
    """One grant of a person to an app in a record, and one Consent"""
    person = browser(launches, launches.person())
    client = launches.register(scope="launch/patient patient/Immunization.rs patient/AllergyIntolerance.rs")
    for ids in (["VACCINATIONS-read"], ["VACCINATIONS-read", "ALLERGIES-read"]):
        path, form = person.consent(launches.launch(client, person.session))
        person.post(path, form.sent(ids))
    (grant,) = launches.kept.grants.of(person.session.subject.sub)
    found = kept(launches, grant)
    assert {section["code"] for section in found["provision"]["class"]} == {"VACCINATIONS", "ALLERGIES"}
    listed = launches.served().caller().get(f"Consent?patient={grant.patient}")
    assert listed["total"] == 1


def test_it_lets_nobody_in_and_keeps_nobody_out(launches: Launching) -> None:
    """rule A5, A6: the evidence of an app is no choice about professionals"""
    person = browser(launches, launches.person())
    grant = connect(launches, person)
    found = choices(None, str(grant.patient), [kept(launches, grant)], [])
    assert found == choices(None, str(grant.patient), [], [])


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
def test_nobody_changes_the_evidence(launches: Launching, method: str) -> None:
    """It says what the authorization server saw: its subject reads it, and withdraws where apps are withdrawn"""
    person = browser(launches, launches.person())
    grant = connect(launches, person)
    holder = launches.served().caller("patient/*.cruds", patient=grant.patient, person=grant.person, relation="self")
    found = holder.get(f"Consent/{id_of(grant)}")
    bodies = {
        "PUT": {**found, "status": "inactive"},
        "PATCH": [{"op": "replace", "path": "/status", "value": "inactive"}],
    }
    headers = {"Content-Type": "application/json-patch+json"} if method == "PATCH" else {}
    assert holder(method, f"Consent/{found['id']}", bodies.get(method), **headers).status_code in (403, 404, 405)
    assert kept(launches, grant) == found


def test_nobody_makes_up_evidence(launches: Launching) -> None:
    """What was allowed is said by the server alone"""
    person = browser(launches, launches.person())
    grant = connect(launches, person)
    holder = launches.served().caller("patient/*.cruds", patient=grant.patient, person=grant.person, relation="self")
    made = {name: value for name, value in kept(launches, grant).items() if name not in ("id", "meta")}
    assert holder("POST", "Consent", made).status_code == 403


def test_no_evidence_no_grant(launches: Launching) -> None:
    """Both are written, or neither"""
    person = browser(launches, launches.person())
    launch = launches.launch(launches.register(scope=ASKED), person.session)
    path, form = person.consent(launch)
    # MongoDB itself refuses the write of the record, in the middle of the transaction.
    launches.database.command("collMod", "Consent", validator={"refused": True}, validationLevel="strict")
    try:
        answer = person.post(path, form.sent(["VACCINATIONS-read"]))
        assert answer.status_code >= 500
    finally:
        launches.database.command("collMod", "Consent", validator={}, validationLevel="off")
    assert launches.kept.grants.of(person.session.subject.sub) == ()


def test_grants_given_at_once_are_one(launches: Launching) -> None:
    """One living grant of the three, however many pages are open; and one Consent, as the last of them says"""
    person = browser(launches, launches.person())
    client = launches.register(scope="launch/patient patient/Immunization.rs patient/AllergyIntolerance.rs")
    patient = next(iter(launches.smart.authorization.profiles(person.session.subject.account))).patient
    grants = launches.smart.kept.grants
    now = launches.clock()

    def give(scope: str) -> None:
        given = Grant(
            new_grant_id(),
            person.session.subject.sub,
            client.client_id,
            patient,
            "self",
            f"Patient/{patient}",
            scope,
            None,
            now,
            now,
        )
        grants.give(scope, given)

    scopes = ["patient/Immunization.rs", "patient/AllergyIntolerance.rs"] * 4
    threads = [threading.Thread(target=give, args=(scope,)) for scope in scopes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (grant,) = launches.kept.grants.of(person.session.subject.sub)
    assert set(grant.scope.split()) == set(scopes)
    assert kept(launches, grant)["extension"][0]["valueString"] == grant.scope
