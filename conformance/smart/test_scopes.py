"""What the granted scopes allow, and nothing else.  SMART App Launch 2.2: scopes-and-launch-context.html"""

from __future__ import annotations

import pytest

CATEGORIES = "http://terminology.hl7.org/CodeSystem/observation-category"
#: What the certification of granular scopes asks for.
CONDITIONS = (
    "http://terminology.hl7.org/CodeSystem/condition-category|encounter-diagnosis",
    "http://terminology.hl7.org/CodeSystem/condition-category|problem-list-item",
    "http://hl7.org/fhir/us/core/CodeSystem/condition-category|health-concern",
)
OBSERVATIONS = (
    "http://hl7.org/fhir/us/core/CodeSystem/us-core-observation-category|clinical-test",
    f"{CATEGORIES}|laboratory",
    f"{CATEGORIES}|social-history",
    "http://hl7.org/fhir/us/core/CodeSystem/us-core-category|sdoh",
    f"{CATEGORIES}|survey",
    f"{CATEGORIES}|vital-signs",
)


def test_a_patient_scope_has_a_patient(public):
    """scopes-and-launch-context.html#patient-specific-scopes: even when launch/patient was not asked for"""
    answer = public.connect(scope="patient/Patient.rs")

    assert answer["patient"]
    found = public.get("Patient", answer["access_token"]).json()
    assert {entry["resource"]["id"] for entry in found.get("entry", [])} <= {answer["patient"]}


def test_types_that_were_not_granted(public):
    """scopes-and-launch-context.html: 401 or 403 outside the scope, and nothing of them by any other way"""
    answer = public.connect(scope="launch/patient patient/Patient.rs")
    token, patient = answer["access_token"], answer["patient"]

    assert public.get(f"Patient/{patient}", token).status_code == 200
    assert public.get(f"Observation?patient={patient}", token).status_code in (401, 403)
    assert public.get(f"Patient?_id={patient}&_revinclude=Observation:patient", token).status_code in (200, 400, 403)
    included = public.get(f"Patient?_id={patient}&_revinclude=Observation:patient", token).json()
    assert "Observation" not in {entry["resource"]["resourceType"] for entry in included.get("entry", [])}


def test_each_entry_of_a_batch_stands_by_itself(suite, public):
    """scopes-and-launch-context.html#batches-and-transactions"""
    answer = public.connect(scope="launch/patient patient/Patient.rs")
    entries = [f"Patient/{answer['patient']}", f"Observation?patient={answer['patient']}"]
    bundle = {
        "resourceType": "Bundle",
        "type": "batch",
        "entry": [{"request": {"method": "GET", "url": url}} for url in entries],
    }

    done = suite.http.post(
        suite.base,
        json=bundle,
        headers={"Authorization": f"Bearer {answer['access_token']}", "Content-Type": "application/fhir+json"},
        timeout=30,
    ).json()

    statuses = [entry["response"]["status"][:3] for entry in done["entry"]]
    assert statuses[0] == "200"
    assert statuses[1] in ("401", "403")


def test_reading_is_not_searching(public):
    """scopes-and-launch-context.html#scopes-for-requesting-fhir-resources: r without s"""
    answer = public.connect(scope="launch/patient patient/Patient.r")

    assert public.get(f"Patient/{answer['patient']}", answer["access_token"]).status_code == 200
    assert public.get(f"Patient?_id={answer['patient']}", answer["access_token"]).status_code in (401, 403)


def test_reading_is_not_writing(suite, public):
    """scopes-and-launch-context.html#scopes-for-requesting-fhir-resources"""
    answer = public.connect(scope="launch/patient patient/Observation.rs")
    observation = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "x"},
        "subject": {"reference": f"Patient/{answer['patient']}"},
    }

    written = suite.http.post(
        f"{suite.base}/Observation",
        json=observation,
        headers={"Authorization": f"Bearer {answer['access_token']}", "Content-Type": "application/fhir+json"},
        timeout=30,
    )

    assert written.status_code in (401, 403)


def test_v1_words_are_answered_in_v1(suite, public):
    """scopes-and-launch-context.html#scopes-for-clinical-data-v1"""
    suite.offers("permission-v1")

    answer = public.connect(scope="launch/patient patient/Patient.read patient/Observation.read")

    assert {"patient/Patient.read", "patient/Observation.read"} <= set(answer["scope"].split())
    assert public.get(f"Observation?patient={answer['patient']}&_count=1", answer["access_token"]).status_code == 200


def test_a_granular_scope_is_a_filter(suite, public):
    """scopes-and-launch-context.html#finer-grained-resource-constraints-using-search-parameters"""
    suite.offers("permission-v2")
    broad = public.connect(scope="launch/patient patient/Observation.rs")
    asked = f"launch/patient patient/Observation.rs?category={CATEGORIES}|laboratory"
    narrow = public.connect(scope=asked)
    patient = broad["patient"]

    def ids(token, **search):
        found = public.get(
            "Observation?" + "&".join(f"{k}={v}" for k, v in {"patient": patient, "_count": 500, **search}.items()),
            token,
        )
        assert found.status_code == 200, found.text
        return {entry["resource"]["id"] for entry in found.json().get("entry", [])}

    inside = ids(broad["access_token"], category=f"{CATEGORIES}|laboratory")
    outside = ids(broad["access_token"], category=f"{CATEGORIES}|vital-signs", _sort="-date") - inside
    assert inside and outside, "the patient of the settings has laboratory results and vital signs"

    assert ids(narrow["access_token"]) == inside
    assert ids(narrow["access_token"], category=f"{CATEGORIES}|vital-signs") == set()
    assert public.get(f"Observation/{sorted(inside)[0]}", narrow["access_token"]).status_code == 200
    assert public.get(f"Observation/{sorted(outside)[0]}", narrow["access_token"]).status_code in (401, 403, 404)


def test_what_the_person_leaves_out_is_not_granted(public, decision):
    """The person unticks a type: it is not in the granted scope, and searching it is refused"""
    scope = "launch/patient openid fhirUser patient/Patient.rs patient/Observation.rs patient/Immunization.rs"

    answer = public.connect(decision(without=frozenset({"Observation"})), scope=scope)

    token, patient = answer["access_token"], answer["patient"]
    assert "patient/Observation" not in answer["scope"]
    assert public.get(f"Observation?patient={patient}", token).status_code in (401, 403)
    assert public.get(f"Immunization?patient={patient}", token).status_code == 200


@pytest.mark.parametrize(
    "type", ["Practitioner", "PractitionerRole", "Organization", "Location", "Medication", "Device"]
)
def test_types_outside_the_compartment_can_be_had(public, type):
    """What a record points to can be read along with it"""
    answer = public.connect(scope=f"launch/patient patient/Patient.rs patient/{type}.rs")

    assert f"patient/{type}" in answer["scope"]
    assert public.get(f"{type}?_count=1", answer["access_token"]).status_code == 200


def test_another_patient_is_not_there(public):
    """scopes-and-launch-context.html#patient-specific-scopes"""
    answer = public.connect(scope="launch/patient patient/*.rs")

    assert public.get("Patient/nosuchpatient", answer["access_token"]).status_code == 404
    found = public.get("Patient?_count=50", answer["access_token"]).json()
    assert {entry["resource"]["id"] for entry in found.get("entry", [])} <= {answer["patient"]}
