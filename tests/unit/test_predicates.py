"""Conditions compiled to plain Python: what they find, what they are about, and what is left to fhirpathpy."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from fhir_server.fhir.outcome import BadRequest
from fhir_server.validation.predicates import compile

EXTENSION = {"extension": [{"url": "urn:x", "valueCode": "unknown"}]}
CASES: list[tuple[str, str, dict[str, Any], bool]] = [
    ("value.exists()", "Observation", {"valueInteger": 0}, True),
    ("value.exists()", "Observation", {"_valueString": EXTENSION}, True),
    ("value.hasValue()", "Observation", {"_valueString": EXTENSION}, False),
    ("status = 'final'", "Observation", {"status": "final"}, True),
    ("status != 'final'", "Observation", {}, False),
    ("value.ofType(Quantity).unit = 'kg'", "Observation", {"valueQuantity": {"unit": "kg"}}, True),
    ("(value as Quantity).unit = 'kg'", "Observation", {"valueString": "kg"}, False),
    ("value is Quantity", "Observation", {"valueQuantity": {"unit": "kg"}}, True),
    ("value is string", "Observation", {"valueQuantity": {"unit": "kg"}}, False),
    ("name.given.count() = 3", "Patient", {"name": [{"given": ["a", "b"]}, {"given": ["c"]}]}, True),
    ("name.given.count() = 2", "Patient", {"name": [{"given": ["a", None], "_given": [None, EXTENSION]}]}, True),
    ("extension('urn:x').exists()", "Patient", EXTENSION, True),
    ("extension('urn:y').exists()", "Patient", EXTENSION, False),
    (
        "name.all(family.exists() and $this.given.exists())",
        "Patient",
        {"name": [{"family": "a", "given": ["b"]}]},
        True,
    ),
    ("name.exists(use = 'official')", "Patient", {"name": [{"use": "usual"}, {"use": "official"}]}, True),
    (
        "name.where(use = 'official').family.first() = 'b'",
        "Patient",
        {"name": [{"use": "official", "family": "b"}]},
        True,
    ),
    ("name.select(family).distinct().count() = 1", "Patient", {"name": [{"family": "a"}, {"family": "a"}]}, True),
    ("gender in ('male' | 'female')", "Patient", {"gender": "other"}, False),
    ("active.not()", "Patient", {"active": False}, True),
    ("active", "Patient", {"active": False}, False),
    ("birthDate.matches('[0-9]{4}')", "Patient", {"birthDate": "2000-01-01"}, False),
    ("iif(active, name.exists(), name.empty())", "Patient", {"active": True}, False),
    ("start <= end", "Period", {"start": "2024-03", "end": "2024"}, True),
    ("start <= end", "Period", {"start": "2024-03-02", "end": "2024-03-01T23:00:00-12:00"}, True),
    ("start <= end", "Period", {"start": "2024-03-03", "end": "2024-03-01T23:00:00Z"}, False),
    ("start < end", "Period", {"start": "2024-03-02T10:00:00+02:00", "end": "2024-03-02T09:00:00Z"}, True),
    ("low <= high", "Range", {"low": {"value": 2, "code": "mg"}, "high": {"value": 1, "code": "g"}}, True),
    ("low <= high", "Range", {"low": {"value": 2, "code": "g"}, "high": {"value": 1, "code": "g"}}, False),
    ("value > 0.5", "Quantity", {"value": Decimal("0.50")}, False),
    ("value + 1 = 3", "Quantity", {"value": 2}, True),
    ("entry.first().resource.is(Patient)", "Bundle", {"entry": [{"resource": {"resourceType": "Patient"}}]}, True),
    ("entry.resource.ofType(Patient).active", "Bundle", {"entry": [{"resource": {"resourceType": "Group"}}]}, False),
    ("active or name.exists()", "Patient", {}, False),
    ("active implies name.exists()", "Patient", {"active": False}, True),
    ("active xor name.exists()", "Patient", {"active": True, "name": [{"text": "x"}]}, False),
    ("Patient.active", "Patient", {"resourceType": "Patient", "active": True}, True),
    ("nothing.exists()", "Patient", {"nothing": 1}, False),
]


@pytest.mark.parametrize(("expression", "type", "value", "expected"), CASES)
def test_a_condition_holds_or_not(expression: str, type: str, value: dict[str, Any], expected: bool) -> None:
    """R4: fhirpath.html; FHIRPath s. 5 and 6"""
    assert compile(expression, type).holds(value) is expected


def test_a_condition_sees_what_is_around() -> None:
    """R4: fhirpath.html#variables: %resource"""
    condition = compile("valueSet.exists() implies %resource.url.exists()", "ValueSet.compose.include")
    value = {"valueSet": ["urn:x"]}

    assert condition.holds(value, {"url": "urn:y"})
    assert not condition.holds(value, {})
    assert not condition.local
    assert condition.elements == ("valueSet",)


def test_what_is_not_known_here_is_left_to_fhirpathpy() -> None:
    """The answer is the same, and what it is about is still told."""
    condition = compile("descendants().where($this is string).exists() and name[0].family = 'x'", "Patient")

    assert condition.holds({"resourceType": "Patient", "name": [{"family": "x"}]})
    assert not condition.holds({"resourceType": "Patient", "name": [{"family": "y"}]})
    assert condition.elements == ("name",)
    assert not condition.local


@pytest.mark.parametrize("expression", ["name.where(", "a b", "", "§"])
def test_what_is_no_fhirpath_is_refused(expression: str) -> None:
    with pytest.raises(BadRequest):
        compile(expression, "Patient")
