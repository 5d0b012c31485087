"""The naive evaluator, against what the standard's own text says of its own examples.

Whoever checks the server with it can check it here, by eye.  R4: search.html
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.calls import BASE
from tests.naive.search import Records

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def found(resource: dict[str, Any], name: str, value: str, *others: dict[str, Any]) -> bool:
    """Whether the search finds the resource, among the others."""
    one = {"id": "x", **resource}
    records = Records([one, *others], BASE, NOW)
    return f"{one['resourceType']}/x" in records.matches(one["resourceType"], [(name, value)])


@pytest.mark.parametrize(
    ("name", "value", "is_found"),
    [
        ("given", "eve", True),
        ("given:contains", "eve", True),
        ("given:exact", "Eve", False),
        ("given:exact", "Evelyn", True),
        ("given", "ÉVE", True),
        ("given", "velyn", False),
        ("name", "dup", True),
        ("name", "mme", True),
        ("family:missing", "true", False),
        ("family:missing", "false", True),
        ("family", "x,dupont", True),
    ],
)
def test_string(name: str, value: str, is_found: bool) -> None:
    """R4 search.html#string: given=eve, :contains, :exact"""
    patient = {"resourceType": "Patient", "name": [{"family": "Dupont", "given": ["Evelyn"], "prefix": ["Mme"]}]}

    assert found(patient, name, value) is is_found


@pytest.mark.parametrize(
    ("held", "value", "is_found"),
    [
        ("2013-01-14", "2013-01-14", True),
        ("2013-01-14T00:00:00+01:00", "eq2013-01-14", True),
        ("2013-01-15T00:00:00+01:00", "eq2013-01-14", False),
        ("2013-01-15T00:00:00+01:00", "ne2013-01-14", True),
        ("2013-01-14T10:00:00+01:00", "lt2013-01-14T10:00:00+01:00", False),
        ("2013-01-14T09:59:59+01:00", "lt2013-01-14T10:00+01:00", True),
        ("2013-01-14T10:00:30+01:00", "gt2013-01-14T10:00+01:00", False),
        ("2013-01-14T10:01:00+01:00", "gt2013-01-14T10:00+01:00", True),
        ("2013-03-14", "ge2013-03-14", True),
        ("2013-01-21", "ge2013-03-14", False),
        ("2013-03-14", "le2013-03-14", True),
        ("2013-01-21", "le2013-03-14", True),
        ("2013-03-15", "sa2013-03-14", True),
        ("2013-03-14", "sa2013-03-14", False),
        ("2013-03-13", "eb2013-03-14", True),
        ("2013-03", "eb2013-03-14", False),
        ("2013-03", "lt2013-03-14", True),
        ("2013-03", "gt2013-03-14", True),
        ("2013-03", "2013-03-14", False),
        ("2013-03-14", "ap2013-03-14", True),
        ("1913-03-14", "ap2013-03-14", False),
        ("2024-03-31T22:00:00Z", "2024-04-01", True),
        ("2024-10-27T22:59:59Z", "2024-10-27", True),
        ("2024-10-27T23:00:00Z", "2024-10-27", False),
    ],
)
def test_date(held: str, value: str, is_found: bool) -> None:
    """R4 search.html#date, the examples of each prefix; a day is a day in Paris, short or long"""
    document = {"resourceType": "Observation", "effectiveDateTime": held}

    assert found(document, "date", value) is is_found


@pytest.mark.parametrize(
    ("period", "value", "is_found"),
    [
        ({"start": "2013-01-01", "end": "2013-12-31"}, "eq2013", True),
        ({"start": "2013-01-01", "end": "2014-01-01"}, "eq2013", False),
        ({"start": "2013-06-01"}, "gt2030", True),
        ({"start": "2013-06-01"}, "lt2014", True),
        ({"start": "2013-06-01"}, "lt2013", False),
        ({"end": "2013-06-01"}, "lt1900", True),
        ({"end": "2013-06-01"}, "eb2013-06-02", True),
        ({"start": "2013-06-01"}, "sa2013-05-31", True),
        ({"start": "2013-06-01"}, "eb2100", False),
    ],
)
def test_period(period: dict[str, str], value: str, is_found: bool) -> None:
    """R4 search.html#date: an open end lies beyond any date"""
    assert found({"resourceType": "Encounter", "period": period}, "date", value) is is_found


@pytest.mark.parametrize(
    ("value", "is_found"),
    [
        ("5.4|http://unitsofmeasure.org|mg", True),
        ("5.40|http://unitsofmeasure.org|mg", True),
        ("0.0054|http://unitsofmeasure.org|g", True),
        ("5.4||mg", True),
        ("5.4||milligram", True),
        ("5.4", True),
        ("5", True),
        ("6", False),
        ("5.35", False),
        ("le5.4", True),
        ("lt5.4", False),
        ("gt5", True),
        ("ap5", True),
        ("ap10", False),
        ("ne5.4", False),
        ("5.4|http://other.example|mg", False),
        ("5.4||g", False),
    ],
)
def test_quantity(value: str, is_found: bool) -> None:
    """R4 search.html#quantity: 5.4 mg, as its table asks for it"""
    held = {"value": 5.4, "unit": "milligram", "system": "http://unitsofmeasure.org", "code": "mg"}

    assert found({"resourceType": "Observation", "valueQuantity": held}, "value-quantity", value) is is_found


@pytest.mark.parametrize(
    ("held", "value", "is_found"),
    [
        (100, "100", True),
        (99.5, "100", True),
        (100.5, "100", False),
        (100.004, "100.00", True),
        (100.005, "100.00", False),
        (100, "gt100", False),
        (100, "ge100", True),
        (100.001, "gt100", True),
    ],
)
def test_precision(held: float, value: str, is_found: bool) -> None:
    """R4 search.html#number: 100 is [99.5 … 100.5), 100.00 is [99.995 … 100.005); gt and the others are exact"""
    observation = {"resourceType": "Observation", "valueQuantity": {"value": held}}

    assert found(observation, "value-quantity", value) is is_found


@pytest.mark.parametrize(
    ("name", "value", "is_found"),
    [
        ("code", "b", True),
        ("code", "s|b", True),
        ("code", "|b", False),
        ("code", "|c", True),
        ("code", "s|", True),
        ("code", "t|", False),
        ("code", "s|c", False),
        ("code:not", "b", False),
        ("code:not", "d", True),
        ("code:not", "d,c", False),
        ("code:text", "head", True),
        ("code:text", "ache", False),
        ("code", "c\\,c,x\\|y", False),
        ("status", "final", True),
        ("status", "http://hl7.org/fhir/observation-status|final", True),
        ("status", "http://hl7.org/fhir/observation-status|", True),
        ("status", "http://loinc.org|final", False),
        ("identifier", "http://acme.org/patient|2345", True),
        ("identifier:of-type", "http://terminology.hl7.org/CodeSystem/v2-0203|MR|2345", True),
        ("identifier:of-type", "http://terminology.hl7.org/CodeSystem/v2-0203|SS|2345", False),
    ],
)
def test_token(name: str, value: str, is_found: bool) -> None:
    """R4 search.html#token"""
    kind = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MR"}]}
    observation = {
        "resourceType": "Observation",
        "status": "final",
        "identifier": [{"type": kind, "system": "http://acme.org/patient", "value": "2345"}],
        "code": {"coding": [{"system": "s", "code": "b"}, {"code": "c"}], "text": "Headache"},
    }

    assert found(observation, name, value) is is_found


@pytest.mark.parametrize(
    ("held", "name", "value", "is_found"),
    [
        ("Patient/23", "subject", "23", True),
        ("Patient/23", "subject", "Patient/23", True),
        ("Patient/23", "subject:Patient", "23", True),
        ("Patient/23", "subject", "Group/23", False),
        ("Patient/23", "subject", f"{BASE}/Patient/23", True),
        (f"{BASE}/Patient/23", "subject", "23", True),
        ("http://other.example/fhir/Patient/23", "subject", "23", False),
        ("http://other.example/fhir/Patient/23", "subject", "http://other.example/fhir/Patient/23", True),
        ("http://other.example/fhir/Patient/23", "patient:missing", "false", True),
        ("Group/23", "patient", "23", False),
        ("Patient/23/_history/2", "subject", "Patient/23", True),
        ("Patient/23/_history/2", "subject", "Patient/23/_history/2", True),
        ("Patient/23/_history/2", "subject", "Patient/23/_history/3", False),
        ("Patient/23", "subject", "Patient/23/_history/3", False),
    ],
)
def test_reference(held: str, name: str, value: str, is_found: bool) -> None:
    """R4 search.html#reference"""
    assert found({"resourceType": "Observation", "subject": {"reference": held}}, name, value) is is_found


def test_composite_is_of_one_repetition() -> None:
    """R4 search.html#composite: code and value of the same component"""
    panel = {
        "resourceType": "Observation",
        "component": [
            {"code": {"coding": [{"code": "8480-6"}]}, "valueQuantity": {"value": 120}},
            {"code": {"coding": [{"code": "8462-4"}]}, "valueQuantity": {"value": 80}},
        ],
    }

    assert found(panel, "component-code-value-quantity", "8480-6$gt100")
    assert not found(panel, "component-code-value-quantity", "8462-4$gt100")


def test_chains_and_reverse_chains() -> None:
    """R4 search.html#chaining, #has, #contained"""
    patient = {"resourceType": "Patient", "id": "p", "name": [{"family": "Peter"}]}
    observation = {"resourceType": "Observation", "id": "o", "subject": {"reference": "Patient/p"}}
    request = {
        "resourceType": "MedicationRequest",
        "id": "m",
        "contained": [{"resourceType": "Medication", "id": "in", "code": {"coding": [{"code": "abc"}]}}],
        "medicationReference": {"reference": "#in"},
        "subject": {"reference": "Patient/p"},
    }
    records = Records([patient, observation, request], BASE, NOW)

    assert records.matches("Observation", [("subject:Patient.name", "pet")]) == ["Observation/o"]
    assert records.matches("Observation", [("subject.name", "pal")]) == []
    assert records.matches("MedicationRequest", [("medication.code", "abc")]) == ["MedicationRequest/m"]
    assert records.matches("Patient", [("_has:Observation:patient:_id", "o")]) == ["Patient/p"]
    assert records.matches("Patient", [("_has:Observation:patient:_id", "m")]) == []
    assert records.matches("Observation", [("patient._has:MedicationRequest:patient:_id", "m")]) == ["Observation/o"]


def test_includes() -> None:
    """R4 search.html#include: what the matches refer to; and with :iterate what that refers to"""
    organizations = [
        {"resourceType": "Organization", "id": "a"},
        {"resourceType": "Organization", "id": "b", "partOf": {"reference": "Organization/a"}},
        {"resourceType": "Organization", "id": "c", "partOf": {"reference": "Organization/b"}},
    ]
    records = Records(organizations, BASE, NOW)

    assert records.included(["Organization/c"], [("_include", "Organization:partof")]) == {"Organization/b"}
    assert records.included(["Organization/c"], [("_include:iterate", "Organization:partof")]) == {
        "Organization/a",
        "Organization/b",
    }
    assert records.included(["Organization/a"], [("_revinclude", "Organization:partof")]) == {"Organization/b"}
    assert records.included(["Organization/c"], [("_include", "Organization:partof:Location")]) == set()


def test_order() -> None:
    """R4 search.html#sort: several keys, and what has no value before what has one"""
    patients = [
        {"resourceType": "Patient", "id": "1", "name": [{"family": "B"}, {"family": "Z"}]},
        {"resourceType": "Patient", "id": "2", "name": [{"family": "É"}]},
        {"resourceType": "Patient", "id": "3"},
        {"resourceType": "Patient", "id": "4", "name": [{"family": "b"}], "birthDate": "2000"},
    ]
    records = Records(patients, BASE, NOW)

    assert records.matches("Patient", [("_sort", "family")]) == [f"Patient/{at}" for at in "3142"]
    assert records.matches("Patient", [("_sort", "-family")]) == [f"Patient/{at}" for at in "1243"]
    assert records.matches("Patient", [("_sort", "family,-birthdate")]) == [f"Patient/{at}" for at in "3412"]


def test_compartment() -> None:
    """R4 compartmentdefinition-patient.html: Observation by subject and by performer, Condition by patient"""
    observations = [
        {"resourceType": "Observation", "id": "by", "performer": [{"reference": "Patient/p"}]},
        {"resourceType": "Observation", "id": "of", "subject": {"reference": "Patient/p"}},
        {"resourceType": "Observation", "id": "on", "focus": [{"reference": "Patient/p"}]},
    ]

    assert Records(observations, BASE, NOW).matches("Observation", [], patient="p") == [
        "Observation/by",
        "Observation/of",
    ]


def test_near() -> None:
    """R4 location.html#positional: latitude|longitude|distance|units"""
    paris = {"resourceType": "Location", "position": {"longitude": 2.3522, "latitude": 48.8566}}

    assert found(paris, "near", "48.86|2.35|1|km")
    assert found(paris, "near", "45.764|4.8357|400|km")
    assert not found(paris, "near", "45.764|4.8357|380000|m")
    assert not found(paris, "near", "45.764|4.8357|380")


@pytest.mark.parametrize(
    ("name", "value", "is_found"),
    [
        ("url", "http://acme.org/fhir/ValueSet/123", True),
        ("url:below", "http://acme.org/fhir/", True),
        ("url:below", "http://acme.org/fhi", True),
        ("url:above", "http://acme.org/fhir/ValueSet/123/_history/5", True),
        ("url:above", "http://acme.org/fhir", False),
        ("url", "http://acme.org/fhir", False),
    ],
)
def test_uri(name: str, value: str, is_found: bool) -> None:
    """R4 search.html#uri"""
    assert found({"resourceType": "ValueSet", "url": "http://acme.org/fhir/ValueSet/123"}, name, value) is is_found
