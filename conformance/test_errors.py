"""Errors: the right status, an OperationOutcome, and every fault of a resource by its place.

R4 http.html#Status-Codes, operationoutcome.html, validation.html
"""

from __future__ import annotations

import re

import pytest


@pytest.mark.parametrize(
    "path",
    [
        "Nonsense",
        "Nonsense/1",
        "Patient/1/nonsense",
        "Patient/1/_history/1/more",
        "nonsense/_history",
        "_nonsense",
        "Patient/1/2/3",
        "Patient/1/Nonsense?x=1",
        "metadata/x",
    ],
)
def test_unknown_paths_are_404(fhir, path):
    """R4 http.html#Status-Codes: 404, not a FHIR end-point"""
    fhir.issues(fhir.get(path), 400, 404)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "metadata"),
        ("PUT", "metadata"),
        ("POST", "Patient/1/_history"),
        ("PUT", "Patient/1/_history/1"),
        ("DELETE", "Patient/1/_history/1"),
        ("PATCH", "Patient/1/_history/1"),
        ("PUT", "_history"),
        ("PUT", ""),
        ("DELETE", "Patient/_search"),
    ],
)
def test_a_method_that_is_not_offered_is_405_with_those_that_are(fhir, method, path):
    """RFC 9110 s. 15.5.6: the origin server MUST generate an Allow header field in a 405"""
    resource = {"resourceType": "Patient", "id": "1"} if method in ("PUT", "POST", "PATCH") else None

    response = fhir.request(method, path, resource=resource)

    fhir.issues(response, 400, 404, 405)
    if response.status_code == 405:
        allowed = {name.strip() for name in response.headers["Allow"].split(",")}
        assert method not in allowed


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_405_on_an_instance_names_its_methods(fhir, patient, method):
    """RFC 9110 s. 10.2.1"""
    path = f"Patient/{patient()['id']}/_history"

    response = fhir.request(method, path, resource={"resourceType": "Patient"})

    fhir.issues(response, 400, 404, 405)
    if response.status_code == 405:
        assert "GET" in response.headers["Allow"]


OBSERVATION = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}}

#: A resource with one fault, and where the fault is: the element, or what holds it.
FAULTS = [
    # the form of primitives.  R4 datatypes.html
    ({"resourceType": "Patient", "birthDate": "1970-13-45"}, ["Patient.birthDate"]),
    ({"resourceType": "Patient", "birthDate": "70-01-01"}, ["Patient.birthDate"]),
    ({"resourceType": "Patient", "birthDate": "1970-02-30"}, ["Patient.birthDate"]),
    ({"resourceType": "Patient", "birthDate": "1970-1-1"}, ["Patient.birthDate"]),
    ({"resourceType": "Patient", "birthDate": 1970}, ["Patient.birthDate"]),
    ({"resourceType": "Patient", "birthDate": "1970-01-01T00:00:00Z"}, ["Patient.birthDate"]),
    ({"resourceType": "Patient", "active": "true"}, ["Patient.active"]),
    ({"resourceType": "Patient", "active": 1}, ["Patient.active"]),
    (
        {"resourceType": "Patient", "multipleBirthInteger": "1"},
        ["Patient.multipleBirth", "Patient.multipleBirthInteger"],
    ),
    (
        {"resourceType": "Patient", "multipleBirthInteger": 1.5},
        ["Patient.multipleBirth", "Patient.multipleBirthInteger"],
    ),
    ({**OBSERVATION, "issued": "2024-01-01"}, ["Observation.issued"]),
    ({**OBSERVATION, "issued": "2024-01-01T00:00:00"}, ["Observation.issued"]),
    (
        {**OBSERVATION, "effectiveDateTime": "2024-01-01T10:00"},
        ["Observation.effective", "Observation.effectiveDateTime"],
    ),
    ({**OBSERVATION, "valueQuantity": {"value": "12"}}, ["Observation.value.value", "Observation.valueQuantity.value"]),
    ({**OBSERVATION, "valueString": 12}, ["Observation.value", "Observation.valueString"]),
    ({"resourceType": "Binary", "contentType": "text/plain", "data": "%%%"}, ["Binary.data"]),
    # cardinality.  R4 conformance-rules.html#cardinality
    ({"resourceType": "Observation", "code": {"text": "x"}}, ["Observation.status", "Observation"]),
    ({"resourceType": "Observation", "status": "final"}, ["Observation.code", "Observation"]),
    ({"resourceType": "Patient", "name": {"family": "x"}}, ["Patient.name"]),
    ({"resourceType": "Patient", "gender": ["male"]}, ["Patient.gender"]),
    (
        {"resourceType": "Patient", "communication": [{"preferred": True}]},
        ["Patient.communication[0].language", "Patient.communication[0]"],
    ),
    ({"resourceType": "Patient", "link": [{"type": "refer"}]}, ["Patient.link[0].other", "Patient.link[0]"]),
    # what the definitions do not know
    ({"resourceType": "Patient", "nosuchelement": 1}, ["Patient.nosuchelement", "Patient"]),
    ({"resourceType": "Patient", "name": [{"surname": "x"}]}, ["Patient.name[0].surname", "Patient.name[0]"]),
    ({"resourceType": "Patient", "managingOrganization": "Organization/1"}, ["Patient.managingOrganization"]),
    ({**OBSERVATION, "valueNonsense": "x"}, ["Observation.valueNonsense", "Observation.value", "Observation"]),
    # one value of a choice.  R4 formats.html#choice
    (
        {**OBSERVATION, "valueString": "x", "valueInteger": 1},
        ["Observation.value", "Observation.valueString", "Observation.valueInteger", "Observation"],
    ),
    # codes of a required binding.  R4 terminologies.html#required
    ({"resourceType": "Patient", "gender": "masculin"}, ["Patient.gender"]),
    ({**OBSERVATION, "status": "finished"}, ["Observation.status"]),
    ({"resourceType": "Patient", "name": [{"use": "everyday"}]}, ["Patient.name[0].use"]),
    # deep in a list
    (
        {"resourceType": "Patient", "name": [{"family": "x"}, {"given": ["a", 5]}]},
        ["Patient.name[1].given[1]", "Patient.name[1].given"],
    ),
    (
        {"resourceType": "Patient", "contact": [{}, {"telecom": [{"rank": "one"}]}]},
        ["Patient.contact[1].telecom[0].rank", "Patient.contact[0]"],
    ),
    (
        {"resourceType": "Patient", "contained": [{"resourceType": "Patient", "id": "p", "birthDate": "soon"}]},
        ["Patient.contained[0].birthDate", "Patient.contained[0]"],
    ),
]


@pytest.mark.parametrize(("resource", "places"), FAULTS, ids=lambda value: value[0] if isinstance(value, list) else "")
def test_a_fault_is_found_and_placed(fhir, resource, places):
    """R4 http.html#create: 400 or 422; operationoutcome.html#OperationOutcome.issue.expression"""
    issues = fhir.issues(fhir.post(resource["resourceType"], resource), 400, 422)

    expressions = {
        re.sub(r"\.ofType\(\w+\)", "", expression) for issue in issues for expression in issue.get("expression", [])
    }
    assert expressions & set(places), f"{expressions} names none of {places}"
    assert all(issue.get("diagnostics") or issue.get("details") for issue in issues)


@pytest.mark.parametrize(
    ("resource", "places"), FAULTS[::4], ids=lambda value: value[0] if isinstance(value, list) else ""
)
def test_a_fault_is_found_in_an_update_too(fhir, tag, resource, places):
    """R4 http.html#update"""
    path = f"{resource['resourceType']}/{tag}"

    fhir.issues(fhir.put(path, {**resource, "id": tag}), 400, 422)

    fhir.issues(fhir.get(path), 404)


def test_all_faults_are_told_at_once(fhir):
    """R4 operationoutcome.html: issue 1..*, each with its expression"""
    resource = {
        "resourceType": "Patient",
        "birthDate": "soon",
        "gender": "masculin",
        "active": "yes",
        "name": [{"family": "x"}, {"given": [5]}],
        "nosuchelement": 1,
    }

    issues = fhir.issues(fhir.post("Patient", resource), 400, 422)

    expressions = " ".join(expression for issue in issues for expression in issue.get("expression", []))
    for place in ("Patient.birthDate", "Patient.gender", "Patient.active", "Patient.name[1].given"):
        assert place in expressions
    assert len(issues) >= 5


@pytest.mark.parametrize(
    "resource",
    [
        {"resourceType": "Patient"},
        {"resourceType": "Patient", "extension": [{"url": "https://x.example/any", "valueString": "x"}]},
        {"resourceType": "Patient", "meta": {"profile": ["https://x.example/nobody-knows"]}},
        {"resourceType": "Basic", "code": {"text": "anything"}},
        {**OBSERVATION, "valueCodeableConcept": {"coding": [{"system": "https://x.example", "code": "any"}]}},
        {**OBSERVATION, "performer": [{"display": "nobody in particular"}]},
        {**OBSERVATION, "performer": [{"identifier": {"system": "https://x.example", "value": "1"}}]},
        {"resourceType": "Patient", "birthDate": "1970"},
        {"resourceType": "Patient", "maritalStatus": {"text": "pacsé"}},
    ],
)
def test_what_is_good_is_taken(fhir, advertised, resource):
    """R4 extensibility.html, terminologies.html: open where the standard is open"""
    advertised.need(resource["resourceType"], "create")

    assert fhir.content(fhir.create(resource)) == resource
