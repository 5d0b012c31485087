"""Good resources of the French guides, built by hand from their rules, and how a copy gets one fault."""

from __future__ import annotations

import copy
from typing import Any

from fhir_server.fhir.outcome import Issue
from fhir_server.validation.profiles import Profiles

FR_CORE = "https://hl7.fr/ig/fhir/core/StructureDefinition"
ANS = "https://interop.esante.gouv.fr/ig/fhir"
ANNUAIRE = f"{ANS}/annuaire/StructureDefinition"
PDSM = f"{ANS}/pdsm/StructureDefinition"
MESURES = f"{ANS}/mesures/StructureDefinition"
GAP = f"{ANS}/gap/StructureDefinition"
OWN = "https://fhir-server.example/StructureDefinition"
HL7 = "http://hl7.org/fhir/StructureDefinition"

IDENTIFIER_TYPE = "https://hl7.fr/ig/fhir/core/CodeSystem/fr-core-cs-v2-0203"
V2_0203 = "http://terminology.hl7.org/CodeSystem/v2-0203"
COMMUNE = "https://mos.esante.gouv.fr/NOS/TRE_R13-Commune/FHIR/TRE-R13-Commune"
TA_ASIP = "https://mos.esante.gouv.fr/NOS/TRE_R308-TAASIP/FHIR/TRE-R308-TAASIP"
SNOMED = "http://snomed.info/sct"
LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"

GONE = object()
"""In place of a value: the element is taken away."""


def nos(name: str) -> str:
    return f"https://mos.esante.gouv.fr/NOS/{name}/FHIR/{name.replace('_', '-')}"


#: Enough of each value set to tell a code that is of it from one that is not.
VALUE_SETS: dict[str, frozenset[tuple[str, str]]] = {
    "https://hl7.fr/ig/fhir/core/ValueSet/fr-core-vs-patient-gender-INS": frozenset(
        ("http://hl7.org/fhir/administrative-gender", code) for code in ("male", "female", "unknown")
    ),
    "https://hl7.fr/ig/fhir/core/ValueSet/fr-core-vs-practitioner-specialty": frozenset(
        {(nos("TRE_R38-SpecialiteOrdinale"), "SM54"), (nos("TRE_R38-SpecialiteOrdinale"), "SM04")}
    ),
    nos("JDV_J145-MethodBodyWeight-ENS"): frozenset({("urn:oid:1.2.250.1.213.2.68", "V030210")}),
    nos("JDV_J149-BodySiteBP-ENS"): frozenset({(SNOMED, "8205005"), (SNOMED, "53120007")}),
    nos("JDV_J151-BodySiteBodyTemperature-ENS"): frozenset({(SNOMED, "34402009"), (SNOMED, "117590005")}),
    nos("JDV_J157-MomentGlucose-ENS"): frozenset(
        {(LOINC, "53049-3"), (LOINC, "88365-2"), (LOINC, "16915-1"), (TA_ASIP, "MED-1278")}
    ),
    nos("JDV_J164-GlucoseNumberOfDays-ENS"): frozenset({(TA_ASIP, "GEN-275"), (TA_ASIP, "GEN-276")}),
    "https://fhir-server.example/ValueSet/vaccination-site": frozenset({(SNOMED, "16217701000119102")}),
    "https://fhir-server.example/ValueSet/vaccination-route": frozenset(
        {("https://smt.esante.gouv.fr/terminologie-standardterms", "20035000")}
    ),
}

PROFILES = Profiles(members=VALUE_SETS.get)


def edited(resource: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """A copy in which the values at some paths are others: `name.0.family`; GONE takes one away, `+` adds to a list."""
    made = copy.deepcopy(resource)
    for path, value in changes.items():
        *way, last = path.split(".")
        holder: Any = made
        for step in way:
            holder = holder[int(step) if isinstance(holder, list) else step]
        if last == "+":
            holder.append(value)
        elif value is GONE:
            del holder[int(last) if isinstance(holder, list) else last]
        else:
            holder[int(last) if isinstance(holder, list) else last] = value
    return made


def faults(resource: dict[str, Any], profile: str) -> list[Issue]:
    """What the profile holds against the resource; warnings left out."""
    return [issue for issue in PROFILES.faults(resource, profile) if issue.severity == "error"]


def told(resource: dict[str, Any], profile: str) -> list[tuple[str, str]]:
    """The code and the place of each fault."""
    return [(issue.code, *issue.expression) for issue in faults(resource, profile)]


def concept(system: str, code: str) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code}]}


def insee(code: str) -> dict[str, Any]:
    return {"url": f"{FR_CORE}/fr-core-address-insee-code", "valueCoding": {"system": COMMUNE, "code": code}}


PATIENT_INS: dict[str, Any] = {
    "resourceType": "Patient",
    "extension": [
        {
            "url": f"{FR_CORE}/fr-core-identity-reliability",
            "extension": [
                {
                    "url": "identityStatus",
                    "valueCoding": {
                        "system": "https://hl7.fr/ig/fhir/core/CodeSystem/fr-core-cs-v2-0445",
                        "code": "VALI",
                    },
                },
                {"url": "validationDate", "valueDate": "2024-03-01"},
            ],
        },
        {"url": f"{HL7}/patient-birthPlace", "valueAddress": {"extension": [insee("83061")], "city": "Fréjus"}},
    ],
    "identifier": [
        {
            "use": "official",
            "type": concept(IDENTIFIER_TYPE, "INS-NIR"),
            "system": "urn:oid:1.2.250.1.213.1.4.8",
            "value": "284058832102532",
        },
        {"use": "usual", "type": concept(V2_0203, "PI"), "system": "urn:oid:1.2.3.4", "value": "0012345"},
    ],
    "name": [
        {
            "extension": [{"url": f"{FR_CORE}/fr-core-patient-birth-list-given-name", "valueString": "Zoé Marie"}],
            "use": "official",
            "family": "Exemple",
            "given": ["Zoé"],
        },
        {"use": "usual", "family": "Dupont", "given": ["Zoé"]},
    ],
    "gender": "female",
    "birthDate": "1984-05-12",
    "address": [{"extension": [insee("2A004")], "city": "Ajaccio", "country": "FRA"}],
}

PRACTITIONER: dict[str, Any] = {
    "resourceType": "Practitioner",
    "identifier": [
        {
            "use": "official",
            "type": concept(IDENTIFIER_TYPE, "IDNPS"),
            "system": "urn:oid:1.2.250.1.71.4.2.1",
            "value": "810102727017",
        },
        {
            "use": "official",
            "type": concept(IDENTIFIER_TYPE, "RPPS"),
            "system": "https://rpps.esante.gouv.fr",
            "value": "10102727017",
        },
    ],
    "active": True,
    "name": [{"family": "Martin", "given": ["Anne"], "prefix": ["MME"], "suffix": ["DR"]}],
    "telecom": [
        {
            "extension": [
                {
                    "url": f"{FR_CORE}/fr-core-contact-point-email-type",
                    "valueCoding": {"system": nos("TRE_R256-TypeMessagerie"), "code": "MSSANTE"},
                },
                {
                    "url": f"{ANNUAIRE}/as-ext-mailbox-mss-metadata",
                    "extension": [
                        {"url": "type", "valueCodeableConcept": concept(nos("TRE_R257-TypeBAL"), "PER")},
                        {"url": "listeRouge", "valueBoolean": False},
                    ],
                },
            ],
            "system": "email",
            "value": "anne.martin@medecin.mssante.example",
        }
    ],
    "qualification": [{"code": concept(nos("TRE_G15-ProfessionSante"), "10")}],
}

PRACTITIONER_ROLE: dict[str, Any] = {
    "resourceType": "PractitionerRole",
    "identifier": [{"system": "https://rpps.esante.gouv.fr", "value": "1012345678"}],
    "active": True,
    "practitioner": {"reference": "Practitioner/anne"},
    "organization": {"reference": "Organization/cabinet"},
    "code": [concept(nos("TRE_G15-ProfessionSante"), "10")],
    "specialty": [concept(nos("TRE_R38-SpecialiteOrdinale"), "SM54")],
}

ORGANIZATION: dict[str, Any] = {
    "resourceType": "Organization",
    "identifier": [
        {
            "use": "official",
            "type": concept(IDENTIFIER_TYPE, "IDNST"),
            "system": "urn:oid:1.2.250.1.71.4.2.2",
            "value": "1540002698",
        },
        {"type": concept(IDENTIFIER_TYPE, "FINEG"), "system": "https://finess.esante.gouv.fr", "value": "540002698"},
        {"type": concept(IDENTIFIER_TYPE, "SIRET"), "system": "https://sirene.fr", "value": "26540002600012"},
    ],
    "active": True,
    "type": [concept(nos("TRE_R02-SecteurActivite"), "SA01")],
    "name": "Centre hospitalier d'exemple",
    "address": [{"extension": [insee("54395")], "city": "Nancy", "country": "FRA"}],
}

_DOCUMENT: dict[str, Any] = {
    "resourceType": "DocumentReference",
    "masterIdentifier": {"system": "urn:ietf:rfc:3986", "value": "urn:oid:2.25.1"},
    "status": "current",
    "type": concept(LOINC, "11502-2"),
    "category": [concept(nos("TRE_A03-ClasseDocument"), "10")],
    "subject": {"reference": "Patient/zoe"},
    "date": "2026-11-03T12:00:00+01:00",
    "authenticator": {"reference": "Practitioner/anne"},
    "custodian": {"reference": "Organization/cabinet"},
    "securityLabel": [concept("http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "N")],
    "context": {
        "period": {"start": "2026-11-03"},
        "facilityType": concept(nos("TRE_R02-SecteurActivite"), "SA07"),
        "practiceSetting": concept(nos("TRE_A01-CadreExercice"), "AMBULATOIRE"),
        "sourcePatientInfo": {"reference": "Patient/zoe"},
    },
}
_FORMAT = {
    "system": "http://ihe.net/fhir/ihe.formatcode.fhir/CodeSystem/formatcode",
    "code": "urn:ihe:iti:xds:2017:mimeTypeSufficient",
}

DOCUMENT_COMPREHENSIVE: dict[str, Any] = _DOCUMENT | {
    "contained": [{"resourceType": "Practitioner", "id": "author", "name": [{"family": "Martin"}]}],
    "author": [{"reference": "#author"}],
    "content": [
        {
            "attachment": {
                "contentType": "application/pdf",
                "language": "fr-FR",
                "url": "Binary/1",
                "size": 1776,
                "hash": "79BHhMXxWPhzKyH2TkZiL4PszWA=",
                "title": "Compte rendu",
            },
            "format": _FORMAT,
        }
    ],
}

DOCUMENT_SIMPLIFIED: dict[str, Any] = _DOCUMENT | {
    "author": [{"reference": "PractitionerRole/anne"}],
    "content": [
        {
            "attachment": {
                "contentType": "text/plain",
                "language": "fr-FR",
                "data": "Qm9uam91cg==",
                "title": "Compte rendu",
            },
            "format": _FORMAT,
        }
    ],
}


def measure(code: str, value: Any, unit: str, *, system: str = LOINC) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "meta": {"source": "urn:oid:2.25.7"},
        "extension": [{"url": f"{MESURES}/mesures-reason-for-measurement", "valueString": "Suivi"}],
        "status": "final",
        "category": [concept("http://terminology.hl7.org/CodeSystem/observation-category", "vital-signs")],
        "code": concept(system, code),
        "subject": {"reference": "Patient/zoe"},
        "effectiveDateTime": "2026-11-20T08:00:00+01:00",
        "performer": [{"reference": "Patient/zoe"}],
        "valueQuantity": {"value": value, "unit": unit, "system": UCUM, "code": unit},
        "device": {"reference": "Device/balance"},
    }


def _pressure(code: str, value: int) -> dict[str, Any]:
    quantity = {"value": value, "unit": "mm[Hg]", "system": UCUM, "code": "mm[Hg]"}
    return {"code": concept(LOINC, code), "valueQuantity": quantity}


WEIGHT = measure("29463-7", 72, "kg")
#: The measures of one value: the end of their profile's address → one of them.
SIMPLE_MEASURES: dict[str, dict[str, Any]] = {
    "mesures-fr-observation-body-weight": WEIGHT,
    "mesures-fr-observation-bodyheight": measure("8302-2", 171, "cm"),
    "mesures-fr-observation-bmi": measure("39156-5", 24, "kg/m2"),
    "mesures-fr-observation-heartrate": measure("8867-4", 64, "/min"),
    "mesures-fr-observation-body-temperature": measure("8310-5", 37, "Cel"),
    "mesures-fr-observation-oxygen-sat": measure("2708-6", 98, "%"),
    "mesures-fr-observation-resp-rate": measure("9279-1", 16, "/min"),
    "mesures-observation-hb1ac": measure("4548-4", 7, "%"),
    "mesures-observation-waist-circumference": measure("8280-0", 88, "cm"),
    "mesures-observation-head-circumference": measure("8287-5", 44, "cm"),
    "mesures-observation-steps-by-day": measure("41950-7", 8200, "1/(24.h)"),
    "mesures-observation-pain-severity": measure("72514-3", 3, "1"),
}
BLOOD_PRESSURE: dict[str, Any] = {
    **{name: value for name, value in measure("85354-9", 0, "x").items() if name != "valueQuantity"},
    "bodySite": concept(SNOMED, "53120007"),
    "component": [_pressure("8480-6", 128), _pressure("8462-4", 76)],
}
GLUCOSE: dict[str, Any] = measure("2345-7", 105, "mg/dL") | {
    "extension": [
        {"url": f"{MESURES}/mesures-moment-of-measurement", "valueCodeableConcept": concept(LOINC, "53049-3")}
    ]
}
INTERSTITIAL_GLUCOSE: dict[str, Any] = measure("MED-969", 140, "mg/dL", system=TA_ASIP) | {
    "extension": [{"url": f"{MESURES}/mesures-number-of-days", "valueCodeableConcept": concept(TA_ASIP, "GEN-276")}]
}
GLUCOSE_MANAGEMENT: dict[str, Any] = INTERSTITIAL_GLUCOSE | {
    "code": concept(TA_ASIP, "MED-972"),
    "valueQuantity": {"value": 7, "unit": "%", "system": UCUM, "code": "%"},
}
DEVICE: dict[str, Any] = {
    "resourceType": "Device",
    "identifier": [
        {"system": "urn:oid:1.2.840.10004.1.1.1.0.0.1.0.0.1.2680", "value": "FE-ED-AB-EF-DE-AD-77-C3"},
        {"system": "urn:oid:1.2.3", "value": "balance-1"},
    ],
    "type": {"coding": [{"system": "urn:iso:std:iso:11073:10101", "code": "65573"}], "text": "Balance"},
    "patient": {"reference": "Patient/zoe"},
}

IMMUNIZATION: dict[str, Any] = {
    "resourceType": "Immunization",
    "status": "completed",
    "vaccineCode": {
        "coding": [
            {"system": "https://smt.esante.gouv.fr/terminologie-bdpm", "code": "61077869"},
            {"system": "http://www.whocc.no/atc", "code": "J07AN01"},
        ]
    },
    "patient": {"reference": "Patient/zoe"},
    "occurrenceDateTime": "2026-01-12",
    "site": concept(SNOMED, "16217701000119102"),
    "route": concept("https://smt.esante.gouv.fr/terminologie-standardterms", "20035000"),
    "protocolApplied": [{"series": "BOOSTER", "doseNumberPositiveInt": 2}],
}
ALLERGY: dict[str, Any] = {
    "resourceType": "AllergyIntolerance",
    "clinicalStatus": concept("http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical", "active"),
    "verificationStatus": concept("http://terminology.hl7.org/CodeSystem/allergyintolerance-verification", "confirmed"),
    "criticality": "high",
    "code": concept(SNOMED, "111088007") | {"text": "Latex"},
    "patient": {"reference": "Patient/zoe"},
    "onsetPeriod": {"start": "2001"},
    "reaction": [{"manifestation": [{"text": "Œdème"}], "note": [{"text": "Aux mains"}]}],
}
NO_KNOWN_ALLERGY: dict[str, Any] = {
    "resourceType": "AllergyIntolerance",
    "clinicalStatus": concept("http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical", "active"),
    "code": concept("http://hl7.org/fhir/uv/ips/CodeSystem/absent-unknown-uv-ips", "no-known-allergies"),
    "patient": {"reference": "Patient/zoe"},
}
APPOINTMENT: dict[str, Any] = {
    "resourceType": "Appointment",
    "extension": [{"url": f"{OWN}/appointment-author", "valueCode": "EDITOR_SOLUTION"}],
    "identifier": [{"system": "urn:oid:1.2.3.5", "value": "rdv-1"}],
    "status": "booked",
    "specialty": [concept(nos("TRE_R38-SpecialiteOrdinale"), "SM54")],
    "description": "Consultation",
    "start": "2026-12-01T09:00:00+01:00",
    "end": "2026-12-01T09:15:00+01:00",
    "slot": [{"reference": "Slot/1"}],
    "participant": [
        {"actor": {"reference": "Patient/zoe"}, "status": "accepted"},
        {"actor": {"reference": "PractitionerRole/anne"}, "status": "accepted"},
        {
            "type": [concept("http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "ENT")],
            "actor": {"reference": "Practitioner/secretaire"},
            "status": "accepted",
        },
    ],
}
SLOT: dict[str, Any] = {
    "resourceType": "Slot",
    "specialty": [concept(nos("TRE_R38-SpecialiteOrdinale"), "SM54")],
    "schedule": {"reference": "Schedule/1"},
    "status": "free",
    "start": "2026-12-01T09:00:00+01:00",
    "end": "2026-12-01T09:15:00+01:00",
}
SCHEDULE: dict[str, Any] = {
    "resourceType": "Schedule",
    "specialty": [concept(nos("TRE_R38-SpecialiteOrdinale"), "SM54")],
    "actor": [{"reference": "PractitionerRole/anne"}],
}
CARE_TEAM: dict[str, Any] = {
    "resourceType": "CareTeam",
    "identifier": [{"system": "urn:oid:1.2.3.6", "value": "cercle-1"}],
    "status": "active",
    "name": "Cercle de soins de Zoé",
    "subject": {"reference": "Patient/zoe"},
    "period": {"start": "2024-03-01"},
    "participant": [
        {
            "role": [concept(nos("TRE_R259-HL7ParticipationFunction"), "PCP")],
            "member": {"reference": "PractitionerRole/anne"},
            "period": {"start": "2024-03-01"},
        }
    ],
}
AUDIT_EVENT: dict[str, Any] = {
    "resourceType": "AuditEvent",
    "type": {"system": "http://terminology.hl7.org/CodeSystem/audit-event-type", "code": "rest"},
    "subtype": [{"system": "http://hl7.org/fhir/restful-interaction", "code": "read"}],
    "period": {"start": "2026-11-20T08:00:00+01:00"},
    "recorded": "2026-11-20T08:00:01+01:00",
    "outcome": "0",
    "agent": [
        {"who": {"identifier": {"system": "https://rpps.esante.gouv.fr", "value": "10102727017"}}, "requestor": True}
    ],
    "source": {"observer": {"reference": "Device/serveur"}},
}
CONSENT: dict[str, Any] = {
    "resourceType": "Consent",
    "status": "active",
    "scope": concept("http://terminology.hl7.org/CodeSystem/consentscope", "patient-privacy"),
    "category": [
        concept(LOINC, "59284-0"),
        concept("https://fhir-server.example/CodeSystem/consent-kind", "access"),
    ],
    "patient": {"reference": "Patient/zoe"},
    "dateTime": "2026-03-21T12:00:00+01:00",
    "performer": [{"reference": "Patient/zoe"}],
    "organization": [{"reference": "Organization/espace"}],
    "policyRule": concept("http://terminology.hl7.org/CodeSystem/v3-ActCode", "OPTIN"),
    "provision": {
        "type": "permit",
        "period": {"start": "2026-03-21"},
        "actor": [
            {
                "role": concept("http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "IRCP"),
                "reference": {"reference": "PractitionerRole/anne"},
            }
        ],
    },
}
EMERGENCY_CONSENT: dict[str, Any] = edited(
    CONSENT,
    {
        "category.1.coding.0.code": "BTG",
        "provision": {
            "type": "deny",
            "period": {"start": "2026-03-21"},
            "purpose": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "BTG"}],
        },
    },
)
MESSAGE: dict[str, Any] = {
    "resourceType": "Communication",
    "identifier": [{"system": "https://fhir-server.example/conversation", "value": "zoe-1"}],
    "status": "completed",
    "subject": {"reference": "Patient/zoe"},
    "topic": {"text": "Vos résultats"},
    "sent": "2026-10-06T17:30:00+02:00",
    "recipient": [{"reference": "Patient/zoe"}],
    "sender": {"reference": "PractitionerRole/anne"},
    "payload": [{"contentString": "Bonjour"}, {"contentReference": {"reference": "DocumentReference/1"}}],
}
ANSWER: dict[str, Any] = MESSAGE | {
    "inResponseTo": [{"reference": "Communication/1"}],
    "recipient": [{"reference": "PractitionerRole/anne"}],
    "sender": {"reference": "Patient/zoe"},
}
RELATED_PERSON: dict[str, Any] = {
    "resourceType": "RelatedPerson",
    "identifier": [{"system": "urn:oid:1.2.3.7", "value": "r-1"}],
    "patient": {"reference": "Patient/zoe"},
    "relationship": [concept(nos("TRE_R260-HL7RoleClass"), "ECON")],
}

#: A good resource of each profile.
EXAMPLES: list[tuple[str, dict[str, Any]]] = [
    (f"{FR_CORE}/fr-core-patient", PATIENT_INS),
    (f"{FR_CORE}/fr-core-patient-ins", PATIENT_INS),
    (f"{FR_CORE}/fr-core-practitioner", PRACTITIONER),
    (f"{FR_CORE}/fr-core-organization", ORGANIZATION),
    (f"{FR_CORE}/fr-core-related-person", RELATED_PERSON),
    (f"{FR_CORE}/fr-core-appointment", APPOINTMENT),
    (f"{FR_CORE}/fr-core-slot", SLOT),
    (f"{FR_CORE}/fr-core-schedule", SCHEDULE),
    (f"{FR_CORE}/fr-core-immunization", IMMUNIZATION),
    (f"{FR_CORE}/fr-core-allergy-intolerance", ALLERGY),
    (f"{FR_CORE}/fr-core-consent", CONSENT),
    (f"{ANNUAIRE}/as-practitioner", PRACTITIONER),
    (f"{ANNUAIRE}/as-practitionerrole", PRACTITIONER_ROLE),
    (f"{ANNUAIRE}/as-organization", ORGANIZATION),
    (f"{PDSM}/pdsm-comprehensive-document-reference", DOCUMENT_COMPREHENSIVE),
    (f"{PDSM}/pdsm-simplified-publish", DOCUMENT_SIMPLIFIED),
    *((f"{MESURES}/{name}", resource) for name, resource in SIMPLE_MEASURES.items()),
    (f"{MESURES}/mesures-fr-observation-bp", BLOOD_PRESSURE),
    (f"{MESURES}/mesures-observation-glucose", GLUCOSE),
    (f"{MESURES}/mesures-observation-glucose", INTERSTITIAL_GLUCOSE),
    (f"{MESURES}/mesures-observation-glucose", GLUCOSE_MANAGEMENT),
    (f"{HL7}/vitalsigns", WEIGHT),
    ("http://hl7.org/fhir/uv/phd/StructureDefinition/PhdDevice", DEVICE),
    (f"{GAP}/gap-fr-appointment", APPOINTMENT),
    (f"{GAP}/gap-fr-slot", SLOT),
    (f"{GAP}/gap-fr-schedule", SCHEDULE),
    (f"{ANS}/cds/StructureDefinition/cds-ihe-careteam", CARE_TEAM),
    (f"{ANS}/tde/StructureDefinition/tde-auditevent", AUDIT_EVENT),
    (f"{OWN}/message", MESSAGE),
    (f"{OWN}/message", ANSWER),
    (f"{OWN}/access-consent", CONSENT),
    (f"{OWN}/access-consent", EMERGENCY_CONSENT),
    (f"{OWN}/vaccination", IMMUNIZATION),
    (f"{OWN}/allergy", ALLERGY),
    (f"{OWN}/allergy", NO_KNOWN_ALLERGY),
    (f"{OWN}/agenda-entry", APPOINTMENT),
]
