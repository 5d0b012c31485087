"""One person: Patient, those around them, their care team, their rights at the insurer and their choices."""

from . import terms
from .directory import address, organization_reference, practitioner_reference, role_reference, telecoms
from .identity import french, ins, instant, shown
from .tables import ANCHOR, rows, rows_of
from .terms import coding, concept, generated_text, reference, without_empty

_MAJORITY = f"{int(ANCHOR[:4]) - 18}{ANCHOR[4:]}"
_EXTENSIONS = f"{terms.FR_CORE}/StructureDefinition"
_MARITAL = {
    "S": ("v3-MaritalStatus", "Célibataire"),
    "M": ("v3-MaritalStatus", "Marié(e)"),
    "D": ("v3-MaritalStatus", "Divorcé(e)"),
    "W": ("v3-MaritalStatus", "Veuf, veuve"),
}
RELATIONS = {
    "MTH": "Mère",
    "FTH": "Père",
    "DAUC": "Fille",
    "SONC": "Fils",
    "BRO": "Frère",
    "SIS": "Sœur",
    "HUSB": "Époux",
    "WIFE": "Épouse",
    "DOMPART": "Concubin ou partenaire de PACS",
    "GRMTH": "Grand-mère",
    "GRFTH": "Grand-père",
    "AUNT": "Tante",
    "UNCLE": "Oncle",
    "NEPHEW": "Neveu",
    "NIECE": "Nièce",
    "FRND": "Autre proche",
    "NBOR": "Voisin",
}
_CONTACT_ROLES = {
    "LEGAL_REPRESENTATIVE": ("GUARD", "Représentant légal"),
    "EMERGENCY_CONTACT": ("ECON", "Personne à prévenir en cas d'urgence"),
    "TRUSTED_CONTACT": ("NOK", "Personne de confiance"),
    "CAREGIVER_CONTACT": ("CAREGIVER", "Proche aidant"),
}


def person(identifier: str) -> dict[str, str]:
    """The row of a person; StopIteration when there is none."""
    return next(row for row in rows("people") if row["id"] == identifier)


def patient_reference(row: dict[str, str]) -> dict:
    """A Reference to the person of a row of `people`."""
    return reference(f"Patient/{row['id']}", shown(row))


def ins_identifier(row: dict[str, str]) -> dict:
    """The test INS as an Identifier."""
    return {
        "use": "official",
        "type": concept(coding(terms.FR_IDENTIFIER_TYPE, "INS-NIR", "NIR définitif")),
        "system": terms.INS_TEST,
        "value": ins(row),
    }


def patient(row: dict[str, str]) -> dict:
    """The Patient: the five INS traits, the space's state, the médecin traitant."""
    forenames = {"url": f"{_EXTENSIONS}/fr-core-patient-birth-list-given-name", "valueString": row["given"]}
    official = {
        "extension": [forenames],
        "use": "official",
        "family": row["family"],
        "given": [row["given"].split()[0]],
    }
    usual = {"use": "usual", "family": row["usual_family"], "given": official["given"]}
    born = "née" if row["sex"] == "female" else "né"
    return without_empty(
        {
            "resourceType": "Patient",
            "id": row["id"],
            "meta": {"profile": [f"{_EXTENSIONS}/fr-core-patient-ins"]},
            "text": generated_text(f"{shown(row)}, {born} le {french(row['birth_date'])} à {row['birth_city']}"),
            "extension": [_identity_reliability(row), _birth_place(row), _space_status(row)],
            "identifier": [ins_identifier(row)],
            "active": row["space"] == "open",
            "name": [official, usual] if row["usual_family"] else [official],
            "telecom": telecoms(row, "home"),
            "gender": row["sex"],
            "birthDate": row["birth_date"],
            "deceasedDateTime": row["deceased"],
            "address": [address(row, "home")],
            "maritalStatus": _marital_status(row["marital"]),
            "multipleBirthInteger": int(row["twin"]) if row["twin"] else None,
            "contact": _contacts(row),
            "communication": [{"language": concept(coding("urn:ietf:bcp:47", "fr", "Français")), "preferred": True}],
            "generalPractitioner": [practitioner_reference(row["pcp"])],
        }
    )


def related_people(row: dict[str, str]) -> list[dict]:
    """Legal representatives, caregivers, emergency and trusted contacts as RelatedPerson."""
    return [_related_person(contact) for contact in rows_of("contacts", row["id"])]


def care_team(row: dict[str, str]) -> dict:
    """Section "Professionnels de santé" and the care circle: one CareTeam a person."""
    members = [_team_member(member) for member in rows_of("care_team", row["id"])]
    contacts = [_team_contact(contact) for contact in rows_of("contacts", row["id"])]
    return {
        "resourceType": "CareTeam",
        "id": f"{row['id']}-cercle",
        "identifier": [{"system": f"{terms.OWN}/cercle-de-soins", "value": row["id"]}],
        "status": "active" if row["space"] == "open" else "inactive",
        "name": f"Cercle de soins de {shown(row)}",
        "subject": patient_reference(row),
        "period": {"start": row["space_since"]},
        "participant": members + contacts,
    }


def coverage(row: dict[str, str]) -> dict:
    """Section "Pièces administratives": the rights at the compulsory insurer."""
    return {
        "resourceType": "Coverage",
        "id": f"{row['id']}-amo",
        "status": "cancelled" if row["deceased"] else "active",
        "type": concept(coding(terms.ACT_CODE, "PUBLICPOL", "public healthcare"), text="Assurance maladie obligatoire"),
        "subscriberId": ins(row),
        "beneficiary": patient_reference(row),
        "relationship": concept(
            coding(terms.hl7("subscriber-relationship"), "child" if row["birth_date"] > _MAJORITY else "self")
        ),
        "period": {"start": "2022-01-01"},
        "payor": [organization_reference("assurance-maladie")],
    }


def consents(row: dict[str, str]) -> list[dict]:
    """What the person allowed and refused: permits, blocks, administrators, emergency access, the space itself."""
    return [_consent(row, choice) for choice in rows_of("consents", row["id"])]


def _identity_reliability(row: dict[str, str]) -> dict:
    method = f"{terms.FR_CORE}/CodeSystem/fr-core-cs-method-collection"
    return {
        "url": f"{_EXTENSIONS}/fr-core-identity-reliability",
        "extension": [
            {
                "url": "identityStatus",
                "valueCoding": coding(f"{terms.FR_CORE}/CodeSystem/fr-core-cs-v2-0445", "VALI", "Identité validée"),
            },
            {"url": "validationDate", "valueDate": row["space_since"]},
            {"url": "methodCollection", "valueCoding": coding(method, "INSI")},
        ],
    }


def _birth_place(row: dict[str, str]) -> dict:
    commune = {
        "url": f"{_EXTENSIONS}/fr-core-address-insee-code",
        "valueCoding": coding(terms.COMMUNE, row["birth_insee"]),
    }
    return {
        "url": "http://hl7.org/fhir/StructureDefinition/patient-birthPlace",
        "valueAddress": {"extension": [commune], "city": row["birth_city"]},
    }


def _space_status(row: dict[str, str]) -> dict:
    return {
        "url": terms.SPACE_STATUS,
        "extension": [
            {"url": "status", "valueCode": row["space"]},
            {"url": "since", "valueDate": row["space_since"]},
        ],
    }


def _marital_status(code: str) -> dict | None:
    if code == "PACS":
        return concept(coding(f"{terms.FR_CORE}/CodeSystem/fr-core-cs-marital-status", "PACS"), text="Pacsé(e)")
    if not code:
        return None
    system, label = _MARITAL[code]
    return concept(coding(terms.hl7(system), code), text=label)


def _contacts(row: dict[str, str]) -> list[dict]:
    return [
        {
            "relationship": [
                concept(
                    coding(terms.ROLE_CODE, contact["relation"], RELATIONS[contact["relation"]]),
                    coding(terms.ROLE_CLASS, "ECON", "Personne à prévenir en cas d'urgence"),
                )
            ],
            "name": {"family": contact["family"], "given": [contact["given"]]},
            "telecom": telecoms(contact | {"email": ""}, "home"),
            "gender": contact["sex"],
        }
        for contact in rows_of("contacts", row["id"])
        if "EMERGENCY_CONTACT" in contact["kinds"]
    ]


def _related_person(contact: dict[str, str]) -> dict:
    kinds = contact["kinds"].split("|")
    known = person(contact["is"]) if contact["is"] else None
    roles = [_contact_role(kind) for kind in kinds]
    return without_empty(
        {
            "resourceType": "RelatedPerson",
            "id": f"{contact['person']}-{contact['id']}",
            "identifier": [ins_identifier(known)] if known else [],
            "active": True,
            "patient": patient_reference(person(contact["person"])),
            "relationship": [
                concept(coding(terms.V3_ROLE, contact["relation"]), text=RELATIONS[contact["relation"]]),
                *roles,
            ],
            "name": [{"use": "usual", "family": contact["family"], "given": [contact["given"]]}],
            "telecom": telecoms(contact | {"email": known["email"] if known else ""}, "home"),
            "gender": contact["sex"],
            "birthDate": known["birth_date"] if known else None,
            "address": [{"use": "home", "city": contact["city"], "postalCode": contact["postal"], "country": "FRA"}],
            "period": without_empty({"start": contact["start"], "end": contact["end"]}),
        }
    )


def _contact_role(kind: str) -> dict:
    code, label = _CONTACT_ROLES[kind]
    return concept(coding(terms.V3_ROLE_CLASS, code), text=label)


_TEAM_ROLES = {
    "MEDECIN_TRAITANT": (terms.CARE_FUNCTION, "PCP", "Médecin traitant"),
    "SAGE_FEMME_REFERENTE": (terms.CARE_ROLE, "SAGE_FEMME_REFERENTE", "Sage-femme référente"),
    "PHARMACIEN_CORRESPONDANT": (terms.CARE_ROLE, "PHARMACIEN_CORRESPONDANT", "Pharmacien correspondant"),
    "MEMBRE": (terms.CARE_ROLE, "MEMBRE", "Membre de l'équipe de soins"),
}


def _team_member(member: dict[str, str]) -> dict:
    codings = [coding(*_TEAM_ROLES[member["role"]])]
    if member["role"] == "MEDECIN_TRAITANT":
        codings.append(coding(terms.hl7("v3-ParticipationFunction"), "PCP", "primary care physician"))
    return {
        "role": [concept(*codings)],
        "member": role_reference(member["member"]),
        "period": without_empty({"start": member["start"], "end": member["end"]}),
    }


def _team_contact(contact: dict[str, str]) -> dict:
    return {
        "role": [concept(coding(terms.ROLE_CLASS, *_CONTACT_ROLES[kind])) for kind in contact["kinds"].split("|")],
        "member": reference(
            f"RelatedPerson/{contact['person']}-{contact['id']}", f"{contact['given']} {contact['family']}"
        ),
        "period": without_empty({"start": contact["start"], "end": contact["end"]}),
    }


_EMERGENCY_PURPOSES = {
    "BTG": (terms.ACT_REASON, "BTG", "break the glass"),
    "ETREAT": (terms.ACT_REASON, "ETREAT", "Emergency Treatment"),
    "MASKED": (terms.EMERGENCY, "MASKED", "Documents masqués visibles en urgence"),
}


def _consent(row: dict[str, str], choice: dict[str, str]) -> dict:
    performer = reference(choice["by"]) if choice["by"] else patient_reference(row)
    provision = {
        "type": choice["type"],
        "period": without_empty({"start": choice["start"], "end": choice["end"]}),
    }
    if choice["kind"] in _EMERGENCY_PURPOSES:
        provision["purpose"] = [coding(*_EMERGENCY_PURPOSES[choice["kind"]])]
    if choice["actor"]:
        role = coding(terms.V3_ROLE, "DELEGATEE", "delegatee")
        if choice["kind"] == "access":
            role = coding(terms.PARTICIPATION, "IRCP", "information recipient")
        provision["actor"] = [{"role": concept(role), "reference": reference(choice["actor"])}]
        provision["action"] = [concept(coding(terms.hl7("consentaction"), "access", "Access"))]
    return {
        "resourceType": "Consent",
        "id": f"{row['id']}-{choice['id']}",
        "status": "active",
        "scope": concept(coding(terms.hl7("consentscope"), "patient-privacy", "Privacy Consent")),
        "category": [
            concept(coding(terms.LOINC, "59284-0", "Attestation de consentement"), text=choice["text"]),
            concept(coding(terms.CONSENT_KIND, choice["kind"])),
        ],
        "patient": patient_reference(row),
        "dateTime": instant(choice["start"]),
        "performer": [performer],
        "organization": [organization_reference("espace")],
        "policyRule": concept(coding(terms.ACT_CODE, "OPTIN" if choice["type"] == "permit" else "OPTOUT")),
        "provision": provision,
    }


def advance_choices(row: dict[str, str]) -> list[dict]:
    """Section "Entourage et volontés": advance directives and organ donation."""
    return [
        without_empty(
            {
                "resourceType": "Consent",
                "id": f"{row['id']}-{wish['id']}",
                "status": "active",
                "scope": concept(coding(terms.hl7("consentscope"), "adr", "Advanced Care Directive")),
                "category": [
                    concept(
                        coding(terms.hl7("consentcategorycodes"), "acd", "Advance Directive"),
                        coding(terms.PROFILE_SECTION, "ENTOURAGE_VOLONTES", "Entourage et volontés"),
                        text=wish["text"],
                    )
                ],
                "patient": patient_reference(row),
                "dateTime": instant(wish["date"]),
                "performer": [patient_reference(row)],
                "sourceReference": reference(f"DocumentReference/{wish['document']}") if wish["document"] else None,
                "policyRule": concept(text=wish["rule"]),
                "provision": {"type": wish["type"]} if wish["type"] else None,
            }
        )
        for wish in rows_of("wishes", row["id"])
    ]
