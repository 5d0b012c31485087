"""What is quick says what is slow says: the function of a schema and jsonschema, a plain check and its FHIRPath."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.fhir import path as fhirpath
from fhir_server.fhir.outcome import Unprocessable
from fhir_server.validation import structure
from fhir_server.validation.profiles import carried_profiles
from fhir_server.validation.profiling.checks import CHECKS
from tests.french import EXAMPLES, LOINC, PROFILES, TA_ASIP

_WORDS = ["official", "usual", "old", "temp", "male", "2840588321025", "284058832102532", "kg", "mm[Hg]", "mg/dL", "%"]
_CODES = ["2345-7", "MED-969", "MED-972", "8480-6", "8462-4", "VALI", "PROV", "vital-signs", "INS-NIA", "BTG"]
_OIDS = [f"urn:oid:1.2.250.1.213.1.4.{last}" for last in (2, 8, 9, 10, 11)]
_OTHERS = st.sampled_from(
    [*_WORDS, *_CODES, *_OIDS, "Patient/1", "Group/1", "2026", "2026-11-20", "", 0, 120, -1, True]
)


def _places(value: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, one in inner for place in [(*way, key), *_places(one, (*way, key))] if key != "resourceType"]


@st.composite
def mutated(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """A profile and a copy of its example in which some values are gone, there twice, or others."""
    url, example = draw(st.sampled_from(EXAMPLES))
    resource = copy.deepcopy(example)
    for _ in range(draw(st.integers(0, 4))):
        places = _places(resource)
        if not places:
            break
        *way, last = draw(st.sampled_from(places))
        holder: Any = resource
        for key in way:
            holder = holder[key]
        match draw(st.sampled_from(["drop", "again", "other"])):
            case "again" if isinstance(holder, list):
                holder.append(copy.deepcopy(holder[last]))
            case "other" if not isinstance(holder[last], dict | list) or draw(st.integers(0, 9)) == 0:
                holder[last] = draw(_OTHERS)
            case _:
                del holder[last]
    return url, resource


@settings(max_examples=300, deadline=None)
@given(mutated())
def test_the_quick_function_of_a_rule_and_jsonschema_agree(case: tuple[str, dict[str, Any]]) -> None:
    """JSON Schema 2020-12: validation"""
    url, resource = case

    for rule in PROFILES.compiled(url).rules:
        assert rule.good(resource) == rule.validator.is_valid(resource)


@settings(max_examples=300, deadline=None)
@given(mutated())
def test_every_fault_has_a_place_that_fhirpath_can_read(case: tuple[str, dict[str, Any]]) -> None:
    """R4: operationoutcome.html: expression"""
    url, resource = case
    for issue in PROFILES.faults(resource, url):
        (place,) = issue.expression
        fhirpath.compile(place)
        assert place.startswith(resource["resourceType"])
        assert issue.diagnostics.endswith(").") or issue.diagnostics.endswith("alone.")
        assert "{not}" not in issue.diagnostics and "{here}" not in issue.diagnostics


_CONSTRAINTS = [
    (definition, row, constraint)
    for definition in carried_profiles().values()
    for row in definition["differential"]["element"]
    for constraint in row.get("constraint", ())
    if (definition["url"], constraint["key"]) in CHECKS and "expression" in constraint
]
#: Those of the resource itself; the rest are asked of values one by one, below.
_OF_RESOURCES = [one for one in _CONSTRAINTS if "." not in one[1]["path"]]


@settings(max_examples=400, deadline=None)
@given(mutated())
def test_a_check_and_its_fhirpath_agree(case: tuple[str, dict[str, Any]]) -> None:
    """R4: elementdefinition.html#constraint; of what is no good resource of R4 nobody asks"""
    _, resource = case
    if structure.faults(resource):
        return
    for definition, _, constraint in _OF_RESOURCES:
        if definition["type"] == resource["resourceType"]:
            check = CHECKS[definition["url"], constraint["key"]].holds(resource)
            try:
                answer = fhirpath.compile(constraint["expression"])(resource) == [True]
            except Unprocessable:
                continue  # Two values where one is compared: the slices of the profile have refused them.
            assert check == answer, (constraint["key"], resource)


@pytest.mark.parametrize(
    ("key", "base", "values"),
    [
        ("vs-1", "dateTime", ["2026", "2026-11", "2026-11-20", "2026-11-20T08:00:00Z"]),
        (
            "vs-3",
            "Observation.component",
            [{"valueQuantity": {"value": 1}}, {"dataAbsentReason": {"text": "x"}}, {"code": {"text": "x"}}],
        ),
        (
            "mes-code",
            "CodeableConcept",
            [
                {"text": "x"},
                *({"coding": [{"system": LOINC, "code": code}]} for code in ("2708-6", "8287-5", "2345-7", "1-8")),
                {"coding": [{"system": LOINC, "code": "MED-969"}, {"code": "9843-4"}]},
                {"coding": [{"system": LOINC, "code": "1-8"}, {"system": TA_ASIP, "code": "MED-972"}]},
            ],
        ),
    ],
)
def test_the_checks_of_elements_agree_too(key: str, base: str, values: list[Any]) -> None:
    """R4: observation-vitalsigns.html"""
    asked = [(definition["url"], constraint) for definition, _, constraint in _CONSTRAINTS if constraint["key"] == key]

    assert asked
    for url, constraint in asked:
        for value in values:
            answer = fhirpath.compile(constraint["expression"])(value, base) == [True]
            assert CHECKS[url, key].holds(value) == answer


def test_every_check_is_of_a_constraint_that_a_profile_has() -> None:
    """A function nobody asks would be one that nobody keeps"""
    known = {
        (constraint["source"], constraint["key"])
        for definition in carried_profiles().values()
        for row in definition["differential"]["element"]
        for constraint in row.get("constraint", ())
    }

    assert set(CHECKS) <= known
