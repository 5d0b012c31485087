"""Annuaire Santé, PDSm, GAP, Cercle de soins, Traçabilité: each guide's rules, one fault at a time.

https://interop.esante.gouv.fr/ig/fhir/
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.french import (
    ANNUAIRE,
    ANS,
    APPOINTMENT,
    AUDIT_EVENT,
    CARE_TEAM,
    DOCUMENT_COMPREHENSIVE,
    DOCUMENT_SIMPLIFIED,
    GAP,
    GONE,
    LOINC,
    ORGANIZATION,
    PDSM,
    PRACTITIONER,
    PRACTITIONER_ROLE,
    PROFILES,
    SCHEDULE,
    SLOT,
    concept,
    edited,
    told,
)

COMPREHENSIVE = f"{PDSM}/pdsm-comprehensive-document-reference"
SIMPLIFIED = f"{PDSM}/pdsm-simplified-publish"
CARE = f"{ANS}/cds/StructureDefinition/cds-ihe-careteam"
TRACE = f"{ANS}/tde/StructureDefinition/tde-auditevent"


@pytest.mark.parametrize(
    ("resource", "profile", "changes", "expected"),
    [
        (PRACTITIONER, "as-practitioner", {"telecom.0.extension.0": GONE}, [("invariant", "Practitioner.telecom[0]")]),
        (PRACTITIONER, "as-practitioner", {"telecom.0.system": "phone"}, [("invariant", "Practitioner.telecom[0]")]),
        (PRACTITIONER, "as-practitioner",
         {"telecom.0.extension.1.extension.0.valueCodeableConcept.coding.0.code": "XYZ"},
         [("invariant", "Practitioner.telecom[0].extension[1].extension[0].value.ofType(CodeableConcept)")]),
        (PRACTITIONER, "as-practitioner", {"qualification.0.code.coding.0.system": GONE}, [
            ("invariant", "Practitioner.qualification[0].code")]),
        (PRACTITIONER, "as-practitioner", {"identifier.1.value": "1"}, [
            ("invariant", "Practitioner.identifier[1].value")]),
        (PRACTITIONER_ROLE, "as-practitionerrole", {"practitioner": GONE}, [
            ("required", "PractitionerRole.practitioner")]),
        (PRACTITIONER_ROLE, "as-practitionerrole", {"practitioner.reference": "Patient/1"}, [
            ("value", "PractitionerRole.practitioner.reference")]),
        (PRACTITIONER_ROLE, "as-practitionerrole", {"organization.reference": "Location/1"}, [
            ("value", "PractitionerRole.organization.reference")]),
        (PRACTITIONER_ROLE, "as-practitionerrole", {"code.0.coding.0.code": GONE}, [
            ("invariant", "PractitionerRole.code[0]")]),
        (PRACTITIONER_ROLE, "as-practitionerrole", {"identifier.0.value": GONE}, [
            ("required", "PractitionerRole.identifier[0].value")]),
        (ORGANIZATION, "as-organization", {"type.0.coding.0.system": GONE}, [("invariant", "Organization.type[0]")]),
        (ORGANIZATION, "as-organization", {"identifier.1.value": "54"}, [
            ("invariant", "Organization.identifier[1].value")]),
    ],
)  # fmt: skip
def test_one_fault_of_the_directory(
    resource: dict[str, Any], profile: str, changes: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    """Annuaire Santé: as-practitioner, as-practitionerrole, as-organization, MSSanté mailboxes"""
    assert told(edited(resource, changes), f"{ANNUAIRE}/{profile}") == expected


#: What is wrong with any document → where it is told.
DOCUMENT_FAULTS: list[tuple[dict[str, Any], list[tuple[str, str]]]] = [
    ({"date": GONE}, [("required", "DocumentReference.date")]),
    ({"author": GONE}, [("required", "DocumentReference.author")]),
    ({"author.0.reference": "Group/1"}, [("value", "DocumentReference.author[0].reference")]),
    ({"authenticator.reference": "Patient/1"}, [("value", "DocumentReference.authenticator.reference")]),
    ({"custodian": GONE}, [("required", "DocumentReference.custodian")]),
    ({"subject.reference": "Device/1"}, [("value", "DocumentReference.subject.reference")]),
    ({"type": concept("urn:x", "11502-2")}, [("invariant", "DocumentReference.type")]),
    ({"category.0": concept(LOINC, "10")}, [("invariant", "DocumentReference.category[0]")]),
    ({"content.0.attachment.title": GONE}, [("required", "DocumentReference.content[0].attachment.title")]),
    ({"content.0.attachment.contentType": GONE}, [("required", "DocumentReference.content[0].attachment.contentType")]),
    ({"content.0.attachment.hash": "c2hhMQ=="}, [("invariant", "DocumentReference.content[0].attachment.hash")]),
    ({"content.0.format.system": "urn:x"}, [("invariant", "DocumentReference.content[0].format")]),
    ({"context.facilityType.coding.0.system": LOINC}, [("invariant", "DocumentReference.context.facilityType")]),
    ({"context.sourcePatientInfo.reference": "Group/1"}, [
        ("value", "DocumentReference.context.sourcePatientInfo.reference")]),
    ({"extension": [{"url": f"{PDSM}/pdsm-ext-is-archived", "valueString": "oui"}]}, [
        ("structure", "DocumentReference.extension[0].value.ofType(string)"),
        ("required", "DocumentReference.extension[0].value")]),
    ({"relatesTo": [{"code": "replaces", "target": {"reference": f"DocumentReference/{n}"}} for n in (1, 2)]}, [
        ("invariant", "DocumentReference")]),
]  # fmt: skip


@pytest.mark.parametrize("profile", [COMPREHENSIVE, SIMPLIFIED], ids=["comprehensive", "simplified"])
@pytest.mark.parametrize(("changes", "expected"), DOCUMENT_FAULTS, ids=[" ".join(each) for each, _ in DOCUMENT_FAULTS])
def test_one_fault_of_a_document(profile: str, changes: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    """PDSm: what the comprehensive and the simplified record have in common"""
    resource = DOCUMENT_COMPREHENSIVE if profile == COMPREHENSIVE else DOCUMENT_SIMPLIFIED

    assert told(edited(resource, changes), profile) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"contained": GONE, "author": [{"reference": "Practitioner/1"}]},
            [("required", "DocumentReference.contained")],
        ),
        ({"content.0.attachment.size": GONE}, [("required", "DocumentReference.content[0].attachment.size")]),
        ({"content.0.attachment.hash": GONE}, [("required", "DocumentReference.content[0].attachment.hash")]),
        ({"context.period": GONE}, [("required", "DocumentReference.context.period")]),
        ({"context.period": {"end": "2026"}}, [("required", "DocumentReference.context.period.start")]),
        ({"author.0.reference": "Organization/1"}, [("value", "DocumentReference.author[0].reference")]),
    ],
)
def test_what_the_comprehensive_record_asks_more(changes: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    """PDSm Comprehensive: contained author, size and hash, when the act took place"""
    assert told(edited(DOCUMENT_COMPREHENSIVE, changes), COMPREHENSIVE) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"status": "superseded"}, [("value", "DocumentReference.status")]),
        ({"subject": GONE}, [("required", "DocumentReference.subject")]),
        ({"content.0.attachment.data": GONE}, [("required", "DocumentReference.content[0].attachment.data")]),
        ({"content.0.attachment.url": "Binary/1"}, [("structure", "DocumentReference.content[0].attachment.url")]),
        ({"modifierExtension": [{"url": "urn:x"}]}, [("structure", "DocumentReference.modifierExtension")]),
        ({"context.event": [{"text": "a"}, {"text": "b"}]}, [("structure", "DocumentReference.context.event")]),
    ],
)
def test_what_the_simplified_record_asks_otherwise(changes: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    """PDSm Simplified Publish: current, the document within, no address"""
    assert told(edited(DOCUMENT_SIMPLIFIED, changes), SIMPLIFIED) == expected


@pytest.mark.parametrize(
    ("resource", "profile", "changes", "expected"),
    [
        (APPOINTMENT, "gap-fr-appointment", {"specialty.0.coding.0.code": "SM99"}, [
            ("code-invalid", "Appointment.specialty[0].coding[0].code")]),
        (APPOINTMENT, "gap-fr-appointment", {"slot.0.reference": "Schedule/1"}, [
            ("value", "Appointment.slot[0].reference")]),
        (SLOT, "gap-fr-slot", {"schedule.reference": "Slot/1"}, [("value", "Slot.schedule.reference")]),
        (SCHEDULE, "gap-fr-schedule", {"actor.0.reference": "Group/1"}, [("value", "Schedule.actor[0].reference")]),
    ],
)  # fmt: skip
def test_one_fault_of_a_shared_agenda(
    resource: dict[str, Any], profile: str, changes: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    """GAP: the rules of FR Core, at addresses of its own"""
    assert told(edited(resource, changes), f"{GAP}/{profile}") == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"identifier": GONE}, [("required", "CareTeam.identifier")]),
        ({"identifier.+": CARE_TEAM["identifier"][0]}, [("structure", "CareTeam.identifier")]),
        ({"status": GONE}, [("required", "CareTeam.status")]),
        ({"name": GONE}, [("required", "CareTeam.name")]),
        ({"subject": GONE}, [("required", "CareTeam.subject")]),
        ({"subject.reference": "Group/1"}, [("value", "CareTeam.subject.reference")]),
        ({"period": {"end": "2026"}}, [("required", "CareTeam.period.start")]),
        ({"participant.0.member": GONE}, [("required", "CareTeam.participant[0].member")]),
        ({"participant.0.member.reference": "Patient/1"}, [("value", "CareTeam.participant[0].member.reference")]),
        ({"participant.0.period": GONE}, [("required", "CareTeam.participant[0].period")]),
        ({"participant.0.period": {"end": "2026"}}, [("required", "CareTeam.participant[0].period.start")]),
    ],
)
def test_one_fault_of_a_care_circle(changes: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    """CDS: identifier, name, subject, period; each member with its own"""
    assert told(edited(CARE_TEAM, changes), CARE) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"subtype.+": AUDIT_EVENT["subtype"][0]}, [("structure", "AuditEvent.subtype")]),
        ({"period": GONE}, [("required", "AuditEvent.period")]),
        ({"period": {"end": "2026"}}, [("required", "AuditEvent.period.start")]),
        ({"agent": [AUDIT_EVENT["agent"][0]] * 3}, [("structure", "AuditEvent.agent")]),
        ({"agent.0.who": GONE}, [("required", "AuditEvent.agent[0].who")]),
        ({"source.observer.reference": "Location/1"}, [("value", "AuditEvent.source.observer.reference")]),
    ],
)
def test_one_fault_of_a_trace(changes: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    """TDE: one sub-type, when it happened, two agents at most"""
    assert told(edited(AUDIT_EVENT, changes), TRACE) == expected


@pytest.mark.parametrize(
    "reference",
    ["#author", "urn:uuid:c757873d-ec9a-4326-a141-556f43239520", "Practitioner?identifier=x|1", "http://a.example/x/1"],
)
def test_a_reference_whose_type_cannot_be_seen_is_left_alone(reference: str) -> None:
    """R4: references.html#literal"""
    assert told(edited(DOCUMENT_COMPREHENSIVE, {"author.0.reference": reference}), COMPREHENSIVE) == []


@pytest.mark.parametrize(
    "reference", ["Group/1", "http://a.example/fhir/Group/1", "Group/1/_history/2", "https://a.example/b/c/Group/1"]
)
def test_a_reference_whose_type_can_be_seen_is_not(reference: str) -> None:
    """R4: references.html#literal"""
    assert told(edited(DOCUMENT_COMPREHENSIVE, {"author.0.reference": reference}), COMPREHENSIVE) == [
        ("value", "DocumentReference.author[0].reference")
    ]


def test_a_fault_is_told_in_the_words_of_the_guide() -> None:
    """R4 operationoutcome.html#OperationOutcome.issue.diagnostics: one plain sentence"""
    found = PROFILES.faults(edited(CARE_TEAM, {"name": GONE}), CARE)

    assert [issue.diagnostics for issue in found] == ["`name` is required (CDS CareTeam: the name of the care circle)."]
