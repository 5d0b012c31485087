"""What the authorization server does is in the same record as every access.  IHE BALP; rule A17"""

from __future__ import annotations

import json
from typing import Any

from tests.launches import Launching, answered

SCOPE = "openid launch/patient patient/*.rs offline_access"


def events_of(launches: Launching, patient: str) -> list[dict[str, Any]]:
    """The AuditEvents of the record that are no interactions of FHIR, by time, as the operator reads them."""
    found = launches.served().caller().get(f"AuditEvent?patient=Patient/{patient}&_count=100&_sort=date")
    events = [entry["resource"] for entry in found.get("entry", ())]
    return [event for event in events if event["type"]["code"] != "rest"]


def code_of(event: dict[str, Any]) -> str:
    """The code of what was done."""
    code: str = event["subtype"][0]["code"]
    return code


def test_a_grant_and_each_token_are_recorded(launches: Launching) -> None:
    """DICOM PS3.16: Security Roles Changed, User Authentication; the holder of the record can read them"""
    account = launches.person()
    patient = account.profiles[0].patient
    launch = launches.launch(launches.register(scope=SCOPE), launches.sign_in(account))
    told = launch.tokens()
    launch.refresh(told["refresh_token"])
    recorded = events_of(launches, patient)
    assert [code_of(event) for event in recorded] == ["110136", "110114", "110114"]
    for event in recorded:
        assert event["outcome"] == "0"
        assert event["agent"][0]["who"]["reference"] == f"Patient/{patient}"
        assert event["agent"][0]["requestor"] is True
    assert SCOPE.split()[2] in recorded[0]["outcomeDesc"]
    secrets = [told["access_token"], *told["refresh_token"].split("."), told["id_token"], launch.verifier]
    assert not [secret for secret in secrets if secret in json.dumps(recorded)]
    own = launches.caller(told["access_token"])
    assert own.get("AuditEvent?_count=100")["total"] >= 3


def test_a_refusal_is_recorded(launches: Launching) -> None:
    """rule A17: granted or refused"""
    account = launches.person()
    launch = launches.launch(launches.register(scope=SCOPE), launches.sign_in(account))
    request = launch.asked()
    with launches.app.test_request_context():
        assert answered(launches.smart.authorization.refuse(request, launch.session))["error"] == "access_denied"
    (event,) = events_of(launches, account.profiles[0].patient)
    assert code_of(event) == "110114"


def test_a_code_that_comes_again_is_recorded(launches: Launching) -> None:
    """RFC 9700 s. 4.5: as what it is, a sign of theft"""
    account = launches.person()
    launch = launches.launch(launches.register(scope=SCOPE), launches.sign_in(account))
    code = launch.code()
    launch.redeem(code)
    launch.redeem(code)
    last = events_of(launches, account.profiles[0].patient)[-1]
    assert (code_of(last), last["outcome"]) == ("110132", "4")
    assert code not in json.dumps(last)
