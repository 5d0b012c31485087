"""What the record asks beyond the guides: messages, choices on access, allergies, the agenda.  profiles/README.md"""

from __future__ import annotations

from typing import Any

import pytest

from tests.french import (
    ALLERGY,
    ANSWER,
    APPOINTMENT,
    CONSENT,
    EMERGENCY_CONSENT,
    GONE,
    IMMUNIZATION,
    MESSAGE,
    NO_KNOWN_ALLERGY,
    OWN,
    concept,
    edited,
    told,
)


@pytest.mark.parametrize(
    ("resource", "changes", "expected"),
    [
        (MESSAGE, {"identifier": GONE}, [("required", "Communication.identifier")]),
        (MESSAGE, {"topic": GONE}, [("required", "Communication.topic")]),
        (MESSAGE, {"topic": concept("urn:x", "1")}, [("required", "Communication.topic.text")]),
        (MESSAGE, {"sender": GONE}, [("required", "Communication.sender")]),
        (MESSAGE, {"sender.reference": "Device/1"}, [("value", "Communication.sender.reference")]),
        (MESSAGE, {"recipient": GONE}, [("required", "Communication.recipient"), ("invariant", "Communication")]),
        (MESSAGE, {"subject": GONE}, [("required", "Communication.subject")]),
        (MESSAGE, {"payload": GONE}, [("required", "Communication.payload")]),
        (MESSAGE, {"payload.1.contentReference.reference": "Patient/1"}, [
            ("value", "Communication.payload[1].content.ofType(Reference).reference")]),
        (MESSAGE, {"recipient.0.reference": "Patient/2"}, [("invariant", "Communication")]),
        (ANSWER, {"inResponseTo": GONE}, [("invariant", "Communication")]),
    ],
)  # fmt: skip
def test_one_fault_of_a_message(
    resource: dict[str, Any], changes: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    """Messaging: a professional opens, the person answers, both in one conversation"""
    assert told(edited(resource, changes), f"{OWN}/message") == expected


@pytest.mark.parametrize(
    ("resource", "changes", "expected"),
    [
        (CONSENT, {"scope.coding.0.code": "research"}, [("value", "Consent.scope.coding[0].code")]),
        (CONSENT, {"category.1": GONE}, [("required", "Consent.category")]),
        (CONSENT, {"category.1.coding.0.code": "everything"}, [("invariant", "Consent.category[1].coding[0].code")]),
        (CONSENT, {"dateTime": GONE}, [("required", "Consent.dateTime")]),
        (CONSENT, {"performer": GONE}, [("required", "Consent.performer")]),
        (CONSENT, {"provision.type": GONE}, [("required", "Consent.provision.type")]),
        (CONSENT, {"provision.period": {"end": "2027"}}, [("required", "Consent.provision.period.start")]),
        (CONSENT, {"provision.actor": GONE}, [("invariant", "Consent")]),
        (CONSENT, {"provision.actor.0.reference.reference": "Location/1"}, [
            ("value", "Consent.provision.actor[0].reference.reference")]),
        (CONSENT, {"provision.provision": [{"type": "deny"}]}, [("structure", "Consent.provision.provision")]),
        (CONSENT, {"patient.reference": "Group/1"}, [("value", "Consent.patient.reference")]),
        (EMERGENCY_CONSENT, {"provision.purpose": GONE}, [("invariant", "Consent")]),
        (EMERGENCY_CONSENT, {"provision.purpose.0.code": "ETREAT"}, [("invariant", "Consent")]),
    ],
)  # fmt: skip
def test_one_fault_of_a_choice_on_access(
    resource: dict[str, Any], changes: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    """Access: a permit names whom, an emergency what for, and every choice from when"""
    assert told(edited(resource, changes), f"{OWN}/access-consent") == expected


@pytest.mark.parametrize(
    ("resource", "changes", "expected"),
    [
        (NO_KNOWN_ALLERGY, {"criticality": "high"}, [("invariant", "AllergyIntolerance")]),
        (NO_KNOWN_ALLERGY, {"reaction": ALLERGY["reaction"]}, [("invariant", "AllergyIntolerance")]),
        (NO_KNOWN_ALLERGY, {"code.coding.0.code": "none"}, [("invariant", "AllergyIntolerance.code")]),
        (NO_KNOWN_ALLERGY, {"code": GONE}, [("required", "AllergyIntolerance.code")]),
        (ALLERGY, {"code.text": "x" * 51}, [("invariant", "AllergyIntolerance.code")]),
    ],
)
def test_one_fault_of_an_allergy(
    resource: dict[str, Any], changes: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    """Medical profile: the absence codes, and nothing that would gainsay them"""
    assert told(edited(resource, changes), f"{OWN}/allergy") == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"occurrenceDateTime": GONE, "occurrenceString": "hiver"}, [
            ("structure", "Immunization.occurrence.ofType(string)")]),
        ({"patient.reference": "Group/1"}, [("value", "Immunization.patient.reference")]),
        ({"lotNumber": "x" * 101}, [("too-long", "Immunization.lotNumber")]),
        ({"note": [{"text": "x" * 3001}]}, [("too-long", "Immunization.note[0].text")]),
        ({"site.coding.0.code": "1"}, [("code-invalid", "Immunization.site.coding[0].code")]),
        ({"route.coding.0.system": "urn:x"}, [("code-invalid", "Immunization.route")]),
    ],
)  # fmt: skip
def test_one_fault_of_a_vaccination(changes: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    """Medical profile: the date, the lot, site and route by their codes"""
    assert told(edited(IMMUNIZATION, changes), f"{OWN}/vaccination") == expected


@pytest.mark.parametrize(
    "code",
    [
        "no-known-allergies",
        "no-known-medication-allergies",
        "no-known-environmental-allergies",
        "no-known-food-allergies",
        "no-allergy-info",
    ],
)
def test_every_absence_code_is_known(code: str) -> None:
    """IPS absent/unknown: allergies"""
    assert told(edited(NO_KNOWN_ALLERGY, {"code.coding.0.code": code}), f"{OWN}/allergy") == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"extension": GONE}, [("required", f"Appointment.extension('{OWN}/appointment-author')")]),
        ({"extension.0.valueCode": "SOMEBODY"}, [("invariant", "Appointment.extension[0].value.ofType(code)")]),
        ({"start": GONE}, [("required", "Appointment.start")]),
        ({"description": "x" * 101}, [("too-long", "Appointment.description")]),
        ({"comment": "x" * 1001}, [("too-long", "Appointment.comment")]),
        ({"participant.0": GONE}, [("invariant", "Appointment")]),
    ],
)
def test_one_fault_of_an_entry_of_the_agenda(changes: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    """Agenda: the person takes part, and it is known who entered it"""
    assert told(edited(APPOINTMENT, changes), f"{OWN}/agenda-entry") == expected
