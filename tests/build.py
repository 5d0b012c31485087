"""The least that is valid of each kind, then **changes."""

from __future__ import annotations

from typing import Any


def patient(**changes: Any) -> dict[str, Any]:
    """A Patient."""
    return {"resourceType": "Patient", **changes}


def observation(patient: str = "p1", **changes: Any) -> dict[str, Any]:
    """A final Observation of this patient's weight."""
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "29463-7"}]},
        "subject": {"reference": f"Patient/{patient}"},
        **changes,
    }


def transaction(*entries: dict[str, Any], type: str = "transaction") -> dict[str, Any]:
    """A Bundle to be run."""
    return {"resourceType": "Bundle", "type": type, "entry": list(entries)}


def entry(method: str, url: str, resource: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """An entry of it; `fullUrl` and the conditions of the request by name."""
    full_url = {"fullUrl": more.pop("fullUrl")} if "fullUrl" in more else {}
    body = {"resource": resource} if resource is not None else {}
    return {**full_url, **body, "request": {"method": method, "url": url, **more}}


_CONCEPT, _REFERENCE, _URL = {"text": "a"}, {"display": "a"}, "http://a.example"
_NAMED = {"name": "A", "status": "draft"}
#: What each type must have, besides its name; a type that is not here need not have anything.
_LEAST: dict[str, dict[str, Any]] = {
    "Claim": {
        "status": "active",
        "type": {"text": "claim"},
        "use": "claim",
        "patient": {"display": "nobody"},
        "created": "2026-01-01",
        "provider": {"display": "nobody"},
        "priority": {"text": "normal"},
        "insurance": [{"sequence": 1, "focal": True, "coverage": {"display": "none"}}],
    },
    "ExplanationOfBenefit": {
        "status": "active",
        "type": {"text": "claim"},
        "use": "claim",
        "patient": {"display": "nobody"},
        "created": "2026-01-01",
        "insurer": {"display": "nobody"},
        "provider": {"display": "nobody"},
        "outcome": "complete",
        "insurance": [{"focal": True, "coverage": {"display": "none"}}],
    },
    "ImagingStudy": {"status": "available", "subject": {"display": "nobody"}},
    "Media": {"status": "completed", "content": {"title": "a picture"}},
    "MedicationAdministration": {
        "status": "completed",
        "medicationCodeableConcept": {"text": "a medicine"},
        "subject": {"display": "nobody"},
        "effectiveDateTime": "2026-01-01",
    },
    "DocumentReference": {"status": "current", "content": [{"attachment": {"contentType": "text/plain"}}]},
    "AllergyIntolerance": {
        "patient": _REFERENCE,
        "clinicalStatus": {
            "coding": [
                {"system": "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical", "code": "active"}
            ]
        },
    },
    "Immunization": {
        "status": "completed",
        "vaccineCode": _CONCEPT,
        "patient": _REFERENCE,
        "occurrenceDateTime": "2024-01-01",
    },
    "Observation": {"status": "final", "code": _CONCEPT},
    "Appointment": {"status": "proposed", "participant": [{"actor": _REFERENCE, "status": "accepted"}]},
    "Communication": {"status": "completed"},
    "Binary": {"contentType": "text/plain"},
    "List": {"status": "current", "mode": "working"},
    "Bundle": {"type": "collection"},
    "Consent": {"status": "active", "scope": _CONCEPT, "category": [_CONCEPT], "policyRule": _CONCEPT},
    "AuditEvent": {
        "type": {"code": "rest"},
        "recorded": "2024-01-01T00:00:00Z",
        "agent": [{"requestor": True}],
        "source": {"observer": _REFERENCE},
    },
    "Provenance": {"target": [_REFERENCE], "recorded": "2024-01-01T00:00:00Z", "agent": [{"who": _REFERENCE}]},
    "Organization": {"name": "A"},
    "RelatedPerson": {"patient": _REFERENCE},
    "Condition": {"subject": _REFERENCE},
    "MedicationStatement": {"status": "active", "medicationCodeableConcept": _CONCEPT, "subject": _REFERENCE},
    "MedicationRequest": {
        "status": "active",
        "intent": "order",
        "medicationCodeableConcept": _CONCEPT,
        "subject": _REFERENCE,
    },
    "Procedure": {"status": "completed", "subject": _REFERENCE},
    "Encounter": {"status": "finished", "class": {"code": "AMB"}},
    "EpisodeOfCare": {"status": "active", "patient": _REFERENCE},
    "FamilyMemberHistory": {"status": "completed", "patient": _REFERENCE, "relationship": _CONCEPT},
    "DiagnosticReport": {"status": "final", "code": _CONCEPT},
    "ServiceRequest": {"status": "active", "intent": "order", "subject": _REFERENCE},
    "Goal": {"lifecycleStatus": "active", "description": _CONCEPT, "subject": _REFERENCE},
    "CarePlan": {"status": "active", "intent": "plan", "subject": _REFERENCE},
    "Coverage": {"status": "active", "beneficiary": _REFERENCE, "payor": [_REFERENCE]},
    "Schedule": {"actor": [_REFERENCE]},
    "Slot": {
        "schedule": _REFERENCE,
        "status": "free",
        "start": "2024-01-01T00:00:00Z",
        "end": "2024-01-01T01:00:00Z",
    },
    "Task": {"status": "draft", "intent": "order"},
    "Flag": {"status": "active", "code": _CONCEPT, "subject": _REFERENCE},
    "QuestionnaireResponse": {"status": "completed"},
    "Questionnaire": {"status": "draft"},
    "Composition": {
        "status": "final",
        "type": _CONCEPT,
        "date": "2024-01-01",
        "author": [_REFERENCE],
        "title": "a",
    },
    "Subscription": {"status": "off", "reason": "a", "criteria": "Patient?", "channel": {"type": "rest-hook"}},
    "Basic": {"code": _CONCEPT},
    "StructureDefinition": {
        **_NAMED,
        "url": _URL,
        "kind": "resource",
        "abstract": False,
        "type": "Patient",
        "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Patient",
        "derivation": "constraint",
        "differential": {"element": [{"id": "Patient", "path": "Patient"}]},
    },
    "ValueSet": {"status": "draft"},
    "CodeSystem": {"status": "draft", "content": "complete"},
    "ConceptMap": {"status": "draft"},
    "NamingSystem": {
        **_NAMED,
        "kind": "identifier",
        "date": "2024-01-01",
        "uniqueId": [{"type": "uri", "value": _URL}],
    },
    "SearchParameter": {
        **_NAMED,
        "url": _URL,
        "description": "a",
        "code": "a",
        "base": ["Patient"],
        "type": "token",
    },
    "OperationDefinition": {
        **_NAMED,
        "kind": "operation",
        "code": "a",
        "system": False,
        "type": False,
        "instance": True,
    },
    "CompartmentDefinition": {**_NAMED, "url": _URL, "code": "Patient", "search": True},
    "CapabilityStatement": {
        "status": "draft",
        "date": "2024-01-01",
        "kind": "requirements",
        "fhirVersion": "4.0.1",
        "format": ["json"],
        "description": "a",
        "rest": [{"mode": "server"}],
    },
    "ImplementationGuide": {**_NAMED, "url": _URL, "packageId": "a.b", "fhirVersion": ["4.0.1"]},
}


def least(type: str) -> dict[str, Any]:
    """The least that is valid of any supported type; it is in nobody's record."""
    return {"resourceType": type, **_LEAST.get(type, {})}
