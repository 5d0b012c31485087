"""Code systems, profiles and extensions by their canonical addresses, and the two shapes that carry a code."""

OWN = "https://fhir-server.example"
"""Where the project's own definitions live; nothing else in this folder spells it."""

SPACE_STATUS = f"{OWN}/StructureDefinition/space-status"
PROFILE_SECTION = f"{OWN}/CodeSystem/profile-section"
LIFESTYLE = f"{OWN}/CodeSystem/lifestyle"
CARE_ROLE = f"{OWN}/CodeSystem/care-role"
EMERGENCY = f"{OWN}/CodeSystem/emergency-consent"
CONSENT_KIND = f"{OWN}/CodeSystem/consent-kind"
APPOINTMENT_AUTHOR = f"{OWN}/StructureDefinition/appointment-author"

_NOS = "https://mos.esante.gouv.fr/NOS"


def nos(name: str) -> str:
    """The address of a national nomenclature: `TRE_G15-ProfessionSante` names its folder and, dashed, its file."""
    return f"{_NOS}/{name}/FHIR/{name.replace('_', '-')}"


PROFESSION = nos("TRE_G15-ProfessionSante")
SPECIALTY = nos("TRE_R38-SpecialiteOrdinale")
SECTOR = nos("TRE_R02-SecteurActivite")
DOCUMENT_CLASS = nos("TRE_A03-ClasseDocument")
DOCUMENT_TYPE = nos("TRE_A05-TypeDocComplementaireCISIS")
VISIBILITY = nos("TRE_A07-StatutVisibiliteDocument")
PRACTICE_SETTING = nos("TRE_A01-CadreExercice")
PRODUCER = nos("TRE_A00-ProducteurDocNonPS")
COMMUNE = nos("TRE_R13-Commune")
FUNCTION = nos("TRE_R85-RolePriseCharge")
MAIL_KIND = nos("TRE_R256-TypeMessagerie")
MAILBOX_KIND = nos("TRE_R257-TypeBAL")
CARE_FUNCTION = nos("TRE_R259-HL7ParticipationFunction")
ROLE_CLASS = nos("TRE_R260-HL7RoleClass")
ROLE_CODE = nos("TRE_R216-HL7RoleCode")
TA_ASIP = nos("TRE_R308-TAASIP")

LOINC = "http://loinc.org"
SNOMED = "http://snomed.info/sct"
UCUM = "http://unitsofmeasure.org"
ICD10 = "http://hl7.org/fhir/sid/icd-10"
ATC = "http://www.whocc.no/atc"
CCAM = "urn:oid:1.2.250.1.213.2.5"
EDQM = "https://smt.esante.gouv.fr/terminologie-standardterms"
ABSENT = "http://hl7.org/fhir/uv/ips/CodeSystem/absent-unknown-uv-ips"
FORMAT_CODE = "http://ihe.net/fhir/ihe.formatcode.fhir/CodeSystem/formatcode"
URI = "urn:ietf:rfc:3986"

_HL7 = "http://terminology.hl7.org/CodeSystem"
CONFIDENTIALITY = f"{_HL7}/v3-Confidentiality"
ACT_CODE = f"{_HL7}/v3-ActCode"
ACT_REASON = f"{_HL7}/v3-ActReason"
V3_ROLE = f"{_HL7}/v3-RoleCode"
V3_ROLE_CLASS = f"{_HL7}/v3-RoleClass"
PARTICIPATION = f"{_HL7}/v3-ParticipationType"
PARTICIPATION_MODE = f"{_HL7}/v3-ParticipationMode"

FR_CORE = "https://hl7.fr/ig/fhir/core"
FR_IDENTIFIER_TYPE = f"{FR_CORE}/CodeSystem/fr-core-cs-v2-0203"
ANNUAIRE = "https://interop.esante.gouv.fr/ig/fhir/annuaire"
MESURES = "https://interop.esante.gouv.fr/ig/fhir/mesures/StructureDefinition"

INS_TEST = "urn:oid:1.2.250.1.213.1.4.10"
PERSON_NATIONAL = "urn:oid:1.2.250.1.71.4.2.1"
RPPS = "https://rpps.esante.gouv.fr"
STRUCTURE_NATIONAL = "urn:oid:1.2.250.1.71.4.2.2"
FINESS = "https://finess.esante.gouv.fr"


def hl7(name: str) -> str:
    """The address of one of HL7's own code systems."""
    return f"{_HL7}/{name}"


def coding(system: str, code: str, display: str = "") -> dict:
    """A Coding."""
    return {"system": system, "code": code} | ({"display": display} if display else {})


def concept(*codings: dict, text: str = "") -> dict:
    """A CodeableConcept."""
    return ({"coding": list(codings)} if codings else {}) | ({"text": text} if text else {})


def reference(to: str, display: str = "") -> dict:
    """A relative Reference."""
    return {"reference": to} | ({"display": display} if display else {})


def quantity(value: float | int, code: str, unit: str = "") -> dict:
    """A Quantity in UCUM."""
    return {"value": value, "unit": unit or code, "system": UCUM, "code": code}


def without_empty(resource: dict) -> dict:
    """The resource less what is empty: FHIR has no null, no empty text and no empty list.  R4: json.html"""
    return {name: value for name, value in resource.items() if value not in (None, "", [], {})}


def generated_text(*lines: str) -> dict:
    """A Narrative of one paragraph a line."""
    escaped = (line.replace("&", "&amp;").replace("<", "&lt;") for line in lines if line)
    body = "".join(f"<p>{line}</p>" for line in escaped)
    return {"status": "generated", "div": f'<div xmlns="http://www.w3.org/1999/xhtml" lang="fr">{body}</div>'}
