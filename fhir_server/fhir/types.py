"""The supported resource types: one row each.  A further type is one row in this table.

`patient`    the FHIRPath elements that name the one whose record the resource belongs to ("subject-like": a
             reference that merely points at a patient puts nothing into the record).  "id": the resource is the
             patient.  R4: compartmentdefinition-patient.html
`directory`  readable by any authenticated client: who works where, and the terminologies and definitions.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ResourceType:
    """A row of the table."""

    name: str
    patient: tuple[str, ...] = ()
    directory: bool = False


def _of(*patient: str, directory: bool = False):
    return lambda name: ResourceType(name, patient, directory)


_SUBJECT, _PATIENT, _DIRECTORY = _of("subject"), _of("patient"), _of(directory=True)

TYPES: dict[str, ResourceType] = {
    name: row(name)
    for name, row in {
        # the seven of the mission
        "Patient": _of("id"),
        "DocumentReference": _SUBJECT,
        "AllergyIntolerance": _PATIENT,
        "Immunization": _PATIENT,
        "Observation": _SUBJECT,
        "Appointment": _of("participant.actor"),
        "Communication": _SUBJECT,
        # what a record needs around them
        "Binary": _of("securityContext"),
        "List": _SUBJECT,
        "Bundle": _of(),
        "Consent": _PATIENT,
        "AuditEvent": _of("entity.what"),
        "Provenance": _of("target"),
        "Practitioner": _DIRECTORY,
        "PractitionerRole": _DIRECTORY,
        "Organization": _DIRECTORY,
        "Location": _DIRECTORY,
        "HealthcareService": _DIRECTORY,
        "CareTeam": _SUBJECT,
        "RelatedPerson": _PATIENT,
        "Device": _PATIENT,
        "Condition": _SUBJECT,
        "MedicationStatement": _SUBJECT,
        "MedicationRequest": _SUBJECT,
        "Medication": _DIRECTORY,
        "Procedure": _SUBJECT,
        "Encounter": _SUBJECT,
        "EpisodeOfCare": _PATIENT,
        "FamilyMemberHistory": _PATIENT,
        "DiagnosticReport": _SUBJECT,
        "Specimen": _SUBJECT,
        "ServiceRequest": _SUBJECT,
        "Goal": _SUBJECT,
        "CarePlan": _SUBJECT,
        "Coverage": _of("beneficiary"),
        "Schedule": _of("actor"),
        "Slot": _of(),
        "Task": _of("for"),
        "Flag": _SUBJECT,
        "QuestionnaireResponse": _SUBJECT,
        "Questionnaire": _DIRECTORY,
        "Composition": _SUBJECT,
        "Subscription": _of(),
        "Basic": _SUBJECT,
        # what others publish beside them
        "Claim": _PATIENT,
        "ExplanationOfBenefit": _PATIENT,
        "ImagingStudy": _SUBJECT,
        "Media": _SUBJECT,
        "MedicationAdministration": _SUBJECT,
        "SupplyDelivery": _PATIENT,
        # conformance and terminology
        "StructureDefinition": _DIRECTORY,
        "ValueSet": _DIRECTORY,
        "CodeSystem": _DIRECTORY,
        "ConceptMap": _DIRECTORY,
        "NamingSystem": _DIRECTORY,
        "SearchParameter": _DIRECTORY,
        "OperationDefinition": _DIRECTORY,
        "CompartmentDefinition": _DIRECTORY,
        "CapabilityStatement": _DIRECTORY,
        "ImplementationGuide": _DIRECTORY,
    }.items()
}
