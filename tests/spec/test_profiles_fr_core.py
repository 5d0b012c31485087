"""FR Core: the INS and its traits, identifiers of professionals and structures, vaccinations, allergies, agendas.

https://hl7.fr/ig/fhir/core
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.french import (
    ALLERGY,
    APPOINTMENT,
    FR_CORE,
    GONE,
    HL7,
    IDENTIFIER_TYPE,
    IMMUNIZATION,
    ORGANIZATION,
    PATIENT_INS,
    PRACTITIONER,
    PROFILES,
    RELATED_PERSON,
    SCHEDULE,
    SLOT,
    SNOMED,
    V2_0203,
    concept,
    edited,
    faults,
    told,
)

INS = f"{FR_CORE}/fr-core-patient-ins"
RELIABILITY = f"Patient.extension('{FR_CORE}/fr-core-identity-reliability')"
BIRTH_PLACE = f"Patient.extension('{HL7}/patient-birthPlace')"
INSEE = f"extension('{FR_CORE}/fr-core-address-insee-code')"
GIVEN_NAMES = f"extension('{FR_CORE}/fr-core-patient-birth-list-given-name')"
OFFICIAL = "Patient.name.where(use = 'official')"


def with_ins(value: str, *, root: str = "8", type: str = "INS-NIR", use: str = "official") -> dict[str, Any]:
    return edited(
        PATIENT_INS,
        {
            "identifier.0.value": value,
            "identifier.0.system": f"urn:oid:1.2.250.1.213.1.4.{root}",
            "identifier.0.type": concept(IDENTIFIER_TYPE, type),
            "identifier.0.use": use,
        },
    )


@pytest.mark.parametrize(
    "patient",
    [
        with_ins("279035121518989", root="10"),
        with_ins("279035121518989", root="10", type="INS-NIR-TEST"),
        with_ins("279035121518989", root="11", type="INS-NIR-DEMO"),
        with_ins("186072A00405807"),
        with_ins("269054958815780", root="9", type="INS-NIA", use="temp"),
        edited(PATIENT_INS, {"extension.0.extension.0.valueCoding.code": "QUAL"}),
        edited(PATIENT_INS, {"gender": "unknown"}),
    ],
    ids=["test root", "test type", "demo root", "born in Corsica", "NIA", "qualified by the newer code", "sex unknown"],
)
def test_every_root_of_the_ins_is_known(patient: dict[str, Any]) -> None:
    """FR Core Patient INS: identifier slices INS-NIR, INS-NIA, and those of tests and demonstrations"""
    assert PROFILES.faults(patient, INS) == []


@pytest.mark.parametrize(
    ("value", "root"),
    [
        ("284058832102530", "8"),
        ("284058832102530", "9"),
        ("284058832102530", "10"),
        ("2 84 05 88 321 025 32", "8"),
        ("2840588321025", "8"),
        ("284052C32102532", "8"),
        ("SANS-INS", "8"),
    ],
    ids=["wrong key", "wrong key of a NIA", "wrong key of a test", "spaces", "no key", "no such department", "letters"],
)
def test_a_matricule_has_its_key(value: str, root: str) -> None:
    """INS: 13 characters and the key, 97 less the remainder of their division by 97"""
    types = {"9": {"type": "INS-NIA", "use": "temp"}}.get(root, {})

    found = faults(with_ins(value, root=root, **types), INS)

    assert [(issue.code, *issue.expression) for issue in found] == [("invariant", "Patient.identifier[0].value")]
    assert "13 characters and the 2 digits of the key" in found[0].diagnostics
    assert "FR Core Patient INS" in found[0].diagnostics


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"birthDate": GONE}, [("required", "Patient.birthDate")]),
        ({"gender": GONE}, [("required", "Patient.gender")]),
        ({"gender": "other"}, [("code-invalid", "Patient.gender")]),
        ({"name.0": GONE}, [("required", OFFICIAL)]),
        ({"name.0.use": "maiden"}, [("required", OFFICIAL)]),
        ({"name.0.family": GONE}, [("required", "Patient.name[0].family")]),
        ({"name.0.given": GONE}, [("required", "Patient.name[0].given")]),
        ({"name.0.given": ["Zoé", "Marie"]}, [("structure", "Patient.name[0].given")]),
        ({"name.0.extension": GONE}, [("required", f"Patient.name[0].{GIVEN_NAMES}")]),
        ({"name.1.use": "official"}, [("structure", OFFICIAL), ("required", f"Patient.name[1].{GIVEN_NAMES}")]),
        ({"extension.1": GONE}, [("required", BIRTH_PLACE)]),
        ({"extension.1.valueAddress.extension": GONE}, [
            ("required", f"Patient.extension[1].value.ofType(Address).{INSEE}")]),
        ({"extension.1.valueAddress.extension.0.valueCoding.code": "Fréjus"}, [
            ("invariant", "Patient.extension[1].value.ofType(Address).extension[0].value.ofType(Coding)")]),
        ({"extension.0": GONE}, [("required", RELIABILITY)]),
        ({"extension.0.extension.0": GONE}, [("required", "Patient.extension[0].extension('identityStatus')")]),
        ({"extension.0.extension.1.valueDate": GONE, "extension.0.extension.1.valueString": "2024"}, [
            ("structure", "Patient.extension[0].extension[1].value.ofType(string)"),
            ("required", "Patient.extension[0].extension[1].value")]),
        ({"identifier.0": GONE}, [("invariant", "Patient.identifier")]),
        ({"identifier.0.system": "urn:oid:1.2.3"}, [("invariant", "Patient.identifier")]),
        ({"identifier": GONE}, [("required", "Patient.identifier"), ("invariant", "Patient.identifier")]),
        ({"identifier.0.use": GONE}, [
            ("required", "Patient.identifier[0].use"), ("invariant", "Patient.identifier")]),
        ({"identifier.0.use": "secondary"}, [
            ("invariant", "Patient.identifier"), ("invariant", "Patient.identifier[0].use")]),
        ({"identifier.0.type": concept(IDENTIFIER_TYPE, "NDP")}, [("invariant", "Patient.identifier[0].type")]),
        ({"identifier.0.value": GONE}, [("required", "Patient.identifier[0].value")]),
        ({"identifier.1.system": GONE}, [("invariant", "Patient.identifier[1]")]),
        ({"address.0.extension.0.valueCoding.code": "75"}, [
            ("invariant", "Patient.address[0].extension[0].value.ofType(Coding)")]),
        ({"generalPractitioner": [{"reference": "Patient/2"}]}, [
            ("value", "Patient.generalPractitioner[0].reference")]),
    ],
)  # fmt: skip
def test_one_fault_of_a_patient_with_ins_is_told_where_it_is(
    changes: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    """FR Core Patient INS: identifier, five traits, reliability"""
    assert told(edited(PATIENT_INS, changes), INS) == expected


def test_a_qualified_identity_has_one_ins_in_use() -> None:
    """FR Core: fr-core-1, fr-core-2"""
    retired = edited(PATIENT_INS, {"identifier.0.use": "old"})
    two = edited(PATIENT_INS, {"identifier.+": {**PATIENT_INS["identifier"][0], "value": "269054958815780"}})

    assert any("fr-core-1" in issue.diagnostics for issue in faults(retired, INS))
    assert any("fr-core-2" in issue.diagnostics for issue in faults(two, INS))


def test_the_number_for_billing_is_no_ins() -> None:
    """FR Core Patient: identifier[NSS] has the root of the NIR and the type NH"""
    billing = {
        "use": "official",
        "type": concept(V2_0203, "NH"),
        "system": "urn:oid:1.2.250.1.213.1.4.8",
        "value": "284058832102532",
    }

    assert told(edited(PATIENT_INS, {"identifier": [billing]}), f"{FR_CORE}/fr-core-patient") == []


def test_a_patient_without_ins_is_a_french_patient_all_the_same() -> None:
    """FR Core Patient: what the INS demands is not demanded of everyone"""
    patient = {"resourceType": "Patient", "name": [{"use": "usual", "family": "Inconnu"}]}

    assert told(patient, f"{FR_CORE}/fr-core-patient") == []
    assert {place for _, place in told(patient, INS)} == {
        "Patient.birthDate",
        "Patient.gender",
        "Patient.identifier",
        OFFICIAL,
        BIRTH_PLACE,
        RELIABILITY,
    }


def test_all_faults_are_told_at_once_in_the_words_of_the_guide() -> None:
    """R4 operationoutcome.html: each with severity, code, place, and one plain sentence"""
    found = faults(edited(PATIENT_INS, {"birthDate": GONE, "gender": "other", "name.0.given": ["Zoé", "Marie"]}), INS)

    assert {issue.expression[0]: issue.diagnostics for issue in found} == {
        "Patient.birthDate": "`birthDate` is required (FR Core Patient INS: the date of birth, a trait of the INS).",
        "Patient.gender": "`gender`: `other` is not of fr-core-vs-patient-gender-INS, of which are `female`, `male`, "
        "`unknown` (FR Core Patient INS: the sex of the birth certificate, a trait of the INS).",
        "Patient.name[0].given": "`given` may be there once at most "
        "(FR Core Patient INS: the first given name at birth, alone).",
    }


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"identifier.1.value": "1010272701"}, [("invariant", "Practitioner.identifier[1].value")]),
        ({"identifier.1.value": GONE}, [("required", "Practitioner.identifier[1].value")]),
        ({"identifier.1.type": concept(IDENTIFIER_TYPE, "ADELI")}, [
            ("value", "Practitioner.identifier[1].type.coding[0].code")]),
        ({"identifier.0.value": "910102727017"}, [("invariant", "Practitioner.identifier[0].value")]),
        ({"identifier.0.type": GONE}, [("required", "Practitioner.identifier[0].type")]),
        ({"identifier.+": PRACTITIONER["identifier"][0]}, [
            ("structure", "Practitioner.identifier.where(system = 'urn:oid:1.2.250.1.71.4.2.1')")]),
    ],
)  # fmt: skip
def test_one_fault_of_a_professional(changes: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    """FR Core Practitioner: identifier[idNatPs], identifier[rpps]"""
    assert told(edited(PRACTITIONER, changes), f"{FR_CORE}/fr-core-practitioner") == expected


@pytest.mark.parametrize("value", ["099912345X", "810102727017", "3540002698/0001", "599700000700012/1"])
def test_every_kind_of_national_identifier_of_a_person_is_known(value: str) -> None:
    """PSIdNat: 0 ADELI, 3 FINESS, 4 SIREN, 5 SIRET, 8 RPPS"""
    assert told(edited(PRACTITIONER, {"identifier.0.value": value}), f"{FR_CORE}/fr-core-practitioner") == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"identifier.1.value": "54000269"}, [("invariant", "Organization.identifier[1].value")]),
        ({"identifier.1.type": concept(IDENTIFIER_TYPE, "SIRET")}, [("invariant", "Organization.identifier[1]")]),
        ({"identifier.2.value": "2654000260001"}, [("invariant", "Organization.identifier[2].value")]),
        ({"identifier.2.type": concept(IDENTIFIER_TYPE, "FINEG")}, [("invariant", "Organization.identifier[2]")]),
        ({"identifier.0.value": "7540002698"}, [("invariant", "Organization.identifier[0].value")]),
        ({"identifier.0.system": GONE}, [("required", "Organization.identifier[0].system")]),
        ({"identifier.1.value": GONE}, [("required", "Organization.identifier[1].value")]),
        ({"partOf": {"reference": "Location/1"}}, [("value", "Organization.partOf.reference")]),
    ],
)
def test_one_fault_of_a_structure(changes: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    """FR Core Organization: identifier slices idNatSt, finess, siren, siret"""
    found = dict.fromkeys(told(edited(ORGANIZATION, changes), f"{FR_CORE}/fr-core-organization"))

    assert list(found) == expected


@pytest.mark.parametrize(
    ("resource", "profile", "changes", "expected"),
    [
        (IMMUNIZATION, "immunization", {"vaccineCode.coding.0": GONE}, [
            ("required",
             "Immunization.vaccineCode.coding.where(system = 'https://smt.esante.gouv.fr/terminologie-bdpm')")]),
        (IMMUNIZATION, "immunization", {"vaccineCode.coding.0.code": "BCG"}, [
            ("invariant", "Immunization.vaccineCode.coding[0].code")]),
        (IMMUNIZATION, "immunization", {"occurrenceDateTime": GONE, "occurrenceString": "hiver"}, [
            ("structure", "Immunization.occurrence.ofType(string)")]),
        (IMMUNIZATION, "immunization", {"site": concept(SNOMED, "1")}, [
            ("code-invalid", "Immunization.site.coding[0].code")]),
        (IMMUNIZATION, "immunization", {"route": {"text": "intramusculaire"}}, [
            ("code-invalid", "Immunization.route")]),
        (IMMUNIZATION, "immunization", {"protocolApplied.0.series": "Rappel"}, [
            ("invariant", "Immunization.protocolApplied[0].series")]),
        (ALLERGY, "allergy-intolerance", {"code": GONE}, [("required", "AllergyIntolerance.code")]),
        (ALLERGY, "allergy-intolerance", {"onsetPeriod": {"end": "2002"}}, [
            ("required", "AllergyIntolerance.onset.ofType(Period).start")]),
        (ALLERGY, "allergy-intolerance", {"reaction.0.note.+": {"text": "encore"}}, [
            ("structure", "AllergyIntolerance.reaction[0].note")]),
        (APPOINTMENT, "appointment", {"specialty.0.coding.0.code": "SM99"}, [
            ("code-invalid", "Appointment.specialty[0].coding[0].code")]),
        (APPOINTMENT, "appointment", {"participant.2.actor.reference": "Location/1"}, [
            ("value", "Appointment.participant[2].actor.reference")]),
        (SLOT, "slot", {"serviceCategory": [{"text": "a"}, {"text": "b"}]}, [("structure", "Slot.serviceCategory")]),
        (SLOT, "slot", {"schedule.type": "Slot"}, [("value", "Slot.schedule.type")]),
        (SCHEDULE, "schedule", {"serviceType": [{"text": "a"}]}, [("structure", "Schedule.serviceType")]),
        (RELATED_PERSON, "related-person", {"identifier": GONE}, [("required", "RelatedPerson.identifier")]),
    ],
)  # fmt: skip
def test_one_fault_of_what_a_record_holds(
    resource: dict[str, Any], profile: str, changes: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    """FR Core Immunization, AllergyIntolerance, Appointment, Slot, Schedule, RelatedPerson"""
    assert told(edited(resource, changes), f"{FR_CORE}/fr-core-{profile}") == expected
