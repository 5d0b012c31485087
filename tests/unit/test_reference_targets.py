"""What a reference may point at.  R4: references.html, structuredefinition.html (targetProfile)"""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.validation.structure import faults
from tests.build import observation

HELD = [{"resourceType": "Organization", "id": "o", "name": "x"}]


def about(**subject: Any) -> dict[str, Any]:
    """An Observation with this subject: a Patient, Group, Device or Location."""
    return observation(subject=subject)


GOOD = [
    about(reference="Patient/1"),
    about(reference="Patient/1/_history/2", type="Patient"),
    about(reference="https://other.example/fhir/Group/1"),
    about(reference="urn:uuid:c757873d-ec9a-4326-a141-556f43239520"),
    about(reference="urn:uuid:c757873d-ec9a-4326-a141-556f43239520", type="Device"),
    about(reference="Practitioner?identifier=x"),  # it is resolved, and checked, when it is written
    about(reference="https://other.example/practitioners/1"),
    about(identifier={"value": "1"}, type="http://hl7.org/fhir/StructureDefinition/Location"),
    about(display="x", type="http://example.org/StructureDefinition/thing"),
    observation(focus=[{"reference": "Schedule/1"}]),  # any type
    observation(contained=HELD, performer=[{"reference": "#o", "type": "Organization"}]),
    {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "x"},
        "contained": [
            {"resourceType": "Specimen", "subject": {"reference": "#p"}, "id": "s"},
            {"resourceType": "Patient", "id": "p"},
        ],
        "specimen": {"reference": "#s"},
    },
]


@pytest.mark.parametrize("resource", GOOD)
def test_a_reference_to_a_type_it_may_have(resource: dict[str, Any]) -> None:
    assert faults(resource) == []


BAD = [
    (about(reference="Practitioner/1"), "Observation.subject.reference", "may not refer to a Practitioner: only to"),
    (about(reference="https://other.example/fhir/Account/1"), "Observation.subject.reference", "to an Account"),
    (about(reference="Patiant/1"), "Observation.subject.reference", "does not begin with a resource type of R4"),
    (about(reference="Patient/1", type="Group"), "Observation.subject.type", "refers to a Group"),
    (about(identifier={"value": "1"}, type="Practitioner"), "Observation.subject.type", "to a Practitioner"),
    (about(display="x", type="Patiant"), "Observation.subject.type", "not a resource type of R4"),
    (observation(contained=HELD, subject={"reference": "#o"}), "Observation.subject.reference", "to an Organization"),
    (
        observation(contained=HELD, subject={"reference": "#p"}, performer=[{"reference": "#o"}]),
        "Observation.subject",
        "(ref-1)",
    ),
    (
        observation(performer=[{"reference": "Patient/1"}, {"reference": "Device/1"}]),
        "Observation.performer[1]",
        "`performer` may not refer to a Device",
    ),
]


@pytest.mark.parametrize(("resource", "place", "words"), BAD)
def test_a_reference_to_another_type_is_a_fault(resource: dict[str, Any], place: str, words: str) -> None:
    (issue,) = faults(resource)

    assert place in issue.expression
    assert words in issue.diagnostics


def test_what_is_contained_is_that_of_its_own_entry() -> None:
    """R4: references.html#contained: a contained resource is known in the one that holds it alone"""
    whole = {"resource": observation(contained=HELD, performer=[{"reference": "#o"}])}
    stray = {"resource": observation(performer=[{"reference": "#o"}])}
    (issue,) = faults({"resourceType": "Bundle", "type": "collection", "entry": [whole, stray]})

    assert issue.expression[0] == "Bundle.entry[1].resource.performer[0].reference"


def test_faulty_contained_resources_leave_references_to_them_alone() -> None:
    (issue,) = faults(observation(contained=HELD[0], performer=[{"reference": "#o"}]))

    assert issue.expression == ("Observation.contained",)
