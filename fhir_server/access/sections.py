"""The sections of a record: one table from resource types and codes to section.

Permits, emergency modes, consent pages and the summary all go by it.  A part of a section is a type and the
constraint of a granular scope, so that it is at once a filter (`constrain`), a row to be ticked and a scope.  The
codes are those of the profile on the national service, and a few of ours for what the profile leaves out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

SYSTEM = "https://fhir-server.example/CodeSystem/profile-section"
_CLASS = "https://mos.esante.gouv.fr/NOS/TRE_A03-ClasseDocument/FHIR/TRE-A03-ClasseDocument"
_LOINC = "http://loinc.org"
_CATEGORIES = "http://terminology.hl7.org/CodeSystem/observation-category"
_PHD = "urn:iso:std:iso:11073:10101|65573"

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Part:
    """The resources of `type` that meet the constraints, each a parameter and its value."""

    type: str
    constraints: Pairs = ()


@dataclass(frozen=True)
class Section:
    """
    A section of the record.

    professionals   whether a permit that names no sections opens it; one that names it always does
    emergency       whether the emergency modes open it, unless the holder opposed them.  rule A10
    """

    code: str
    parts: tuple[Part, ...]
    professionals: bool = True
    emergency: bool = False


def _is(parameter: str, system: str, *codes: str) -> tuple[str, str]:
    """That the parameter has one of the codes."""
    return parameter, ",".join(f"{system}|{code}" if system else code for code in codes)


def _is_not(parameter: str, system: str, *codes: str) -> Pairs:
    """That it has none of them: one constraint each, since a resource has to pass every one."""
    return tuple((f"{parameter}:not", f"{system}|{code}" if system else code) for code in codes)


def _of_section(type: str, parameter: str, code: str) -> Part:
    return Part(type, (_is(parameter, SYSTEM, code),))


#: What may be declared "not concerned" by an empty List.
_DECLARED = ("MALADIES", "TRAITEMENTS", "HOSPITALISATIONS", "HANDICAPS", "ALLERGIES", "ANTECEDENTS_FAMILIAUX")
_BLOOD_GROUP = ("882-1", "883-9", "10331-7", "34530-6")
_VACCINATION_RECORDS = ("11369-6", "87273-9")
_WISHES, _DIRECTIVES = ("EXPPAT_1",), ("EXPPAT_3", "42348-3", "104144-1")
_ADMINISTRATIVE = ("DOCPAT09", "51851-4")

SECTIONS: tuple[Section, ...] = (
    Section(
        "DOCUMENTS",
        (
            Part(
                "DocumentReference",
                _is_not("category", _CLASS, "60", "95")
                + _is_not("type", "", *_VACCINATION_RECORDS, *_WISHES, *_DIRECTIVES, *_ADMINISTRATIVE),
            ),
            Part("List", _is_not("code", SYSTEM, *_DECLARED)),
            Part("Binary"),
            Part("Composition"),
            Part("Media"),
            Part("Basic"),
        ),
        emergency=True,
    ),
    Section(
        "RESULTATS",
        (
            Part(
                "Observation",
                _is_not("category", _CATEGORIES, "vital-signs", "social-history")
                + _is_not("code", _LOINC, *_BLOOD_GROUP),
            ),
            Part("DiagnosticReport"),
            Part("Specimen"),
            Part("ImagingStudy"),
        ),
    ),
    # the twelve of the medical profile
    Section("PS", (Part("CareTeam"),)),
    Section(
        "VACCINATIONS",
        (Part("Immunization"), Part("DocumentReference", (_is("type", "", *_VACCINATION_RECORDS),))),
        emergency=True,
    ),
    Section(
        "MALADIES",
        (
            Part("Condition", _is_not("category", SYSTEM, "HANDICAPS")),
            Part("Flag"),
            _of_section("List", "code", "MALADIES"),
        ),
    ),
    Section(
        "TRAITEMENTS",
        (
            Part("MedicationStatement"),
            Part("MedicationRequest"),
            Part("MedicationAdministration"),
            Part("SupplyDelivery"),
            _of_section("List", "code", "TRAITEMENTS"),
        ),
    ),
    Section(
        "HOSPITALISATIONS",
        (
            Part("Encounter"),
            Part("EpisodeOfCare"),
            Part("Procedure"),
            Part("Device", (("type:not", _PHD),)),
            _of_section("List", "code", "HOSPITALISATIONS"),
        ),
    ),
    Section(
        "HANDICAPS",
        (_of_section("Condition", "category", "HANDICAPS"), _of_section("List", "code", "HANDICAPS")),
    ),
    Section("ALLERGIES", (Part("AllergyIntolerance"), _of_section("List", "code", "ALLERGIES"))),
    Section(
        "ANTECEDENTS_FAMILIAUX",
        (Part("FamilyMemberHistory"), _of_section("List", "code", "ANTECEDENTS_FAMILIAUX")),
    ),
    Section(
        "HABITUDES_VIE",
        (Part("Observation", (_is("category", _CATEGORIES, "social-history"),)), Part("QuestionnaireResponse")),
    ),
    Section(
        "MESURES",
        (Part("Observation", (_is("category", _CATEGORIES, "vital-signs"),)), Part("Device", (("type", _PHD),))),
    ),
    Section(
        "ENTOURAGE_VOLONTES",
        (
            Part("RelatedPerson"),
            Part("Consent", (("category", "acd"),)),
            Part("DocumentReference", (_is("type", "", *_WISHES),)),
        ),
        emergency=True,
    ),
    Section(
        "PIECES_ADMIN",
        (
            Part("DocumentReference", (_is("category", _CLASS, "95"),)),
            Part("DocumentReference", (_is("type", "", *_ADMINISTRATIVE),)),
            Part("Coverage"),
        ),
        professionals=False,
    ),
    # beside them
    Section("DIRECTIVES_ANTICIPEES", (Part("DocumentReference", (_is("type", "", *_DIRECTIVES),)),), emergency=True),
    Section("GROUPE_SANGUIN", (Part("Observation", (_is("code", _LOINC, *_BLOOD_GROUP),)),)),
    Section(
        "MHS",
        (
            Part("ExplanationOfBenefit"),
            Part("Claim"),
            Part("DocumentReference", (_is("category", _CLASS, "60"),)),
        ),
        emergency=True,
    ),
    Section("SUIVI", (Part("CarePlan"), Part("Goal"), Part("ServiceRequest"), Part("Task"))),
    Section("AGENDA", (Part("Appointment"), Part("Schedule")), professionals=False),
    Section("MESSAGES", (Part("Communication"),), professionals=False),
    Section("IDENTITE", (Part("Patient"),)),
    Section(
        "CONFIDENTIALITE",
        (Part("Consent", (("category:not", "acd"),)), Part("Provenance"), Part("AuditEvent")),
        professionals=False,
    ),
)

BY_CODE: dict[str, Section] = {section.code: section for section in SECTIONS}
CONSTRAINTS = frozenset(part.constraints for section in SECTIONS for part in section.parts if part.constraints)
#: Opened by a permit that names no sections, and in an emergency.
ORDINARY = frozenset(section.code for section in SECTIONS if section.professionals)
EMERGENCY = frozenset(section.code for section in SECTIONS if section.emergency)


@cache
def sections_of(type: str) -> tuple[Section, ...]:
    """The sections that resources of the type may stand in, in the order of the table."""
    return tuple(section for section in SECTIONS if any(part.type == type for part in section.parts))


def parts(codes: Iterable[str], type: str) -> tuple[Part, ...]:
    """The parts of these sections that are of the type."""
    wanted = frozenset(codes)
    return tuple(
        part for section in sections_of(type) if section.code in wanted for part in section.parts if part.type == type
    )
