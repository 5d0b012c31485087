"""An app that a professional's software opens in a record.  SMART App Launch 2.2: app-launch.html (EHR launch)"""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module")
def software(suite):
    """Makes launches: of the app of the settings, in the record that the professional has open."""
    suite.offers("launch-ehr")
    if not hasattr(suite.login, "launch"):
        pytest.skip("the login script makes no launches")
    return lambda **context: suite.login.launch(suite, **context)


@pytest.fixture(scope="module")
def launched(suite):
    """The app that is launched."""
    return suite.app("launched")


def test_the_app_has_the_context(software, launched):
    """app-launch.html#launch-app-ehr-launch: the patient that is open there, without asking again"""
    launch = software()

    body = launched.connect(launch=launch["launch"])

    assert body["patient"] == launch["patient"]
    assert isinstance(body["need_patient_banner"], bool)
    assert body["smart_style_url"]
    assert launched.get(f"Patient/{body['patient']}", body["access_token"]).status_code == 200


def test_the_encounter_is_part_of_it(suite, software, launched):
    """scopes-and-launch-context.html: launch/encounter; the context comes back with each refresh"""
    suite.offers("context-ehr-encounter")
    launch = software(encounter=True)
    if not launch.get("encounter"):
        pytest.skip("the record has no Encounter")

    body = launched.connect(launch=launch["launch"])

    assert body["encounter"] == launch["encounter"]
    if "refresh_token" in body:
        again = launched.refresh(body["refresh_token"]).json()
        assert (again["encounter"], again["patient"]) == (body["encounter"], body["patient"])


def test_a_launch_is_good_once(software, launched):
    """app-launch.html: an opaque identifier for this specific launch"""
    launch = software()
    launched.connect(launch=launch["launch"])

    assert launched.error(launch=launch["launch"])["error"] == "invalid_request"


def test_a_launch_is_one_apps(suite, software, launched):
    """A launch that was made for another app is none"""
    launch = software()
    other = suite.app("public")

    told = other.error(launch=launch["launch"], scope="launch patient/Patient.r")

    assert told["error"] == "invalid_request"


def test_who_signed_in_is_a_practitioner(suite, tools, software, launched):
    """scopes-and-launch-context.html: fhirUser"""
    body = launched.connect(launch=software()["launch"])

    keys = tools["KeySet"].import_key_set(suite.http.get(suite.configuration["jwks_uri"], timeout=30).json())
    user = tools["jwt"].decode(body["id_token"], keys, algorithms=["RS256"]).claims["fhirUser"]
    assert "/Practitioner/" in user
    assert launched.get(user, body["access_token"]).json()["resourceType"] == "Practitioner"
