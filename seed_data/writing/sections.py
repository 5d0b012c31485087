"""The sections of the medical profile that are lists of facts: illnesses, treatments, stays, handicaps, allergies…"""

from . import terms
from .directory import organization_reference, practitioner_reference
from .identity import french, instant
from .people import RELATIONS, patient_reference
from .tables import rows_of
from .terms import coding, concept, quantity, reference, without_empty


def sections(row: dict[str, str]) -> list[dict]:
    """The resources of the person's profile, but for vaccinations and measures."""
    makers = {
        "conditions": _condition,
        "medications": _medication,
        "stays": _encounter,
        "procedures": _procedure,
        "allergies": _allergy,
        "family_history": _family_history,
        "lifestyle": _lifestyle,
        "implants": _implant,
        "not_concerned": _not_concerned,
    }
    made = [make(row, fact) for table, make in makers.items() for fact in rows_of(table, row["id"])]
    return [without_empty(resource) for resource in made]


def _of(resource_type: str, row: dict[str, str], fact: dict[str, str]) -> dict:
    return {"resourceType": resource_type, "id": f"{row['id']}-{fact['id']}"}


def _note(fact: dict[str, str]) -> list[dict]:
    return [{"text": fact["note"]}] if fact["note"] else []


def _asserter(row: dict[str, str], fact: dict[str, str]) -> dict:
    return practitioner_reference(fact["by"]) if fact["by"] else patient_reference(row)


def _condition(row: dict[str, str], fact: dict[str, str]) -> dict:
    status = "resolved" if fact["end"] else "active"
    section = {"MALADIES": "Maladies et sujets de santé", "HANDICAPS": "Handicaps"}[fact["section"]]
    category = [
        concept(coding(terms.hl7("condition-category"), "problem-list-item", "Problem List Item")),
        concept(coding(terms.PROFILE_SECTION, fact["section"], section)),
    ]
    handicap = coding(f"{terms.OWN}/CodeSystem/handicap-rate", fact["severity"]) if fact["severity"] else None
    return _of("Condition", row, fact) | {
        "clinicalStatus": concept(coding(terms.hl7("condition-clinical"), status)),
        "verificationStatus": concept(coding(terms.hl7("condition-ver-status"), "confirmed")),
        "category": category,
        "severity": concept(handicap) if handicap else None,
        "code": concept(coding(terms.ICD10, fact["icd10"]), text=fact["name"]),
        "subject": patient_reference(row),
        "onsetDateTime": fact["start"],
        "abatementDateTime": fact["end"],
        "recordedDate": fact["recorded"] or fact["start"],
        "asserter": _asserter(row, fact),
        "note": _note(fact),
    }


def _medication(row: dict[str, str], fact: dict[str, str]) -> dict:
    return _of("MedicationStatement", row, fact) | {
        "status": "completed" if fact["end"] else "active",
        "medicationCodeableConcept": concept(coding(terms.ATC, fact["atc"]), text=fact["name"]),
        "subject": patient_reference(row),
        "effectivePeriod": without_empty({"start": fact["start"], "end": fact["end"]}),
        "dateAsserted": fact["start"],
        "informationSource": _asserter(row, fact),
        "reasonCode": [concept(text=fact["reason"])] if fact["reason"] else [],
        "note": _note(fact),
        "dosage": [{"text": fact["dosage"]}],
    }


_STAYS = {"IMP": "inpatient encounter", "EMER": "emergency", "AMB": "ambulatory", "SS": "short stay"}


def _encounter(row: dict[str, str], fact: dict[str, str]) -> dict:
    return _of("Encounter", row, fact) | {
        "status": "finished",
        "class": coding(terms.ACT_CODE, fact["class"], _STAYS[fact["class"]]),
        "type": [concept(text=fact["name"])],
        "subject": patient_reference(row),
        "participant": [{"individual": practitioner_reference(fact["by"])}] if fact["by"] else [],
        "period": {"start": fact["start"], "end": fact["end"]},
        "reasonCode": [concept(coding(terms.ICD10, fact["icd10"]), text=fact["reason"])],
        "serviceProvider": organization_reference(fact["structure"]),
    }


def _procedure(row: dict[str, str], fact: dict[str, str]) -> dict:
    codings = [coding(terms.CCAM, fact["ccam"])] if fact["ccam"] else []
    return _of("Procedure", row, fact) | {
        "status": "completed",
        "code": concept(*codings, text=fact["name"]),
        "subject": patient_reference(row),
        "encounter": reference(f"Encounter/{row['id']}-{fact['stay']}") if fact["stay"] else None,
        "performedDateTime": fact["date"],
        "performer": [{"actor": practitioner_reference(fact["by"])}] if fact["by"] else [],
        "note": _note(fact),
    }


_ALLERGY_SYSTEMS = {"sct": terms.SNOMED, "atc": terms.ATC, "absent": terms.ABSENT}


def _allergy(row: dict[str, str], fact: dict[str, str]) -> dict:
    system, _, code = fact["code"].partition("|")
    codings = [coding(_ALLERGY_SYSTEMS[system], code)] if system else []
    reaction = {
        "manifestation": [concept(text=fact["reaction"])],
        "severity": fact["severity"],
    }
    return _of("AllergyIntolerance", row, fact) | {
        "clinicalStatus": concept(coding(terms.hl7("allergyintolerance-clinical"), fact["status"])),
        "verificationStatus": concept(coding(terms.hl7("allergyintolerance-verification"), fact["verified"])),
        "type": fact["type"],
        "category": [fact["category"]] if fact["category"] else [],
        "criticality": fact["criticality"],
        "code": concept(*codings, text=fact["name"]),
        "patient": patient_reference(row),
        "onsetDateTime": fact["start"],
        "recordedDate": fact["recorded"],
        "recorder": _asserter(row, fact),
        "note": _note(fact),
        "reaction": [without_empty(reaction)] if fact["reaction"] else [],
    }


def _family_history(row: dict[str, str], fact: dict[str, str]) -> dict:
    condition = {"code": concept(coding(terms.ICD10, fact["icd10"]), text=fact["name"])}
    if fact["age"]:
        condition["onsetAge"] = quantity(int(fact["age"]), "a", "ans")
    return _of("FamilyMemberHistory", row, fact) | {
        "status": "completed",
        "patient": patient_reference(row),
        "date": fact["date"],
        "relationship": concept(coding(terms.V3_ROLE, fact["relation"]), text=RELATIONS[fact["relation"]]),
        "deceasedBoolean": True if fact["deceased"] == "yes" else None,
        "condition": [condition],
        "note": _note(fact),
    }


_HABITS = {
    "FOOD": ("Alimentation", None),
    "PHYSICAL_ACTIVITY": ("Activité physique", ("68516-4", "Minutes of moderate to strenuous exercise a day")),
    "SLEEP": ("Sommeil", ("93832-4", "Sleep duration")),
    "SCREEN": ("Écrans", None),
    "ALCOHOL": ("Alcool", ("74013-4", "Alcoholic drinks per day")),
    "TOBACCO": ("Tabac", ("72166-2", "Tobacco smoking status")),
}
_SMOKING = {
    "266919005": "Never smoked tobacco",
    "8517006": "Ex-smoker",
    "77176002": "Smoker",
}


def _lifestyle(row: dict[str, str], fact: dict[str, str]) -> dict:
    label, loinc = _HABITS[fact["section"]]
    codings = [coding(terms.LOINC, *loinc)] if loinc else []
    return _of("Observation", row, fact) | {
        "status": "final",
        "category": [concept(coding(terms.hl7("observation-category"), "social-history", "Social History"))],
        "code": concept(*codings, coding(terms.LIFESTYLE, fact["section"], label), text=label),
        "subject": patient_reference(row),
        "effectiveDateTime": fact["date"],
        "performer": [patient_reference(row)],
        **_habit_value(fact),
        "note": _note(fact),
    }


def _habit_value(fact: dict[str, str]) -> dict:
    if fact["value"] in _SMOKING:
        return {"valueCodeableConcept": concept(coding(terms.SNOMED, fact["value"], _SMOKING[fact["value"]]))}
    if fact["unit"]:
        return {"valueQuantity": quantity(float(fact["value"]), fact["unit"])}
    return {"valueString": fact["value"]}


def _implant(row: dict[str, str], fact: dict[str, str]) -> dict:
    return _of("Device", row, fact) | {
        "status": "active",
        "manufacturer": fact["manufacturer"],
        "manufactureDate": fact["made"],
        "lotNumber": fact["lot"],
        "deviceName": [{"name": fact["name"], "type": "user-friendly-name"}],
        "type": concept(text=fact["kind"]),
        "patient": patient_reference(row),
        "owner": organization_reference("hopital"),
        "note": _note(fact),
    }


_SECTION_NAMES = {
    "MALADIES": ("11450-4", "Maladies et sujets de santé"),
    "TRAITEMENTS": ("10160-0", "Traitements"),
    "HOSPITALISATIONS": ("46240-8", "Hospitalisations"),
    "HANDICAPS": ("47420-5", "Handicaps"),
    "ANTECEDENTS_FAMILIAUX": ("10157-6", "Antécédents familiaux"),
}


def _not_concerned(row: dict[str, str], fact: dict[str, str]) -> dict:
    loinc, name = _SECTION_NAMES[fact["section"]]
    return _of("List", row, fact) | {
        "status": "current",
        "mode": "snapshot",
        "title": f"{name}: non concerné au {french(fact['date'])}",
        "code": concept(coding(terms.LOINC, loinc), coding(terms.PROFILE_SECTION, fact["section"], name)),
        "subject": patient_reference(row),
        "date": instant(fact["date"]),
        "source": patient_reference(row),
        "emptyReason": concept(coding(terms.hl7("list-empty-reason"), "nilknown", "Nil Known")),
    }
