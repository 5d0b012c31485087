"""Who works where: Organization, Practitioner, PractitionerRole, Location and HealthcareService."""

from . import terms
from .identity import shown
from .tables import rows
from .terms import coding, concept, generated_text, reference, without_empty

PROFESSIONS = {
    "10": "Médecin",
    "21": "Pharmacien",
    "40": "Chirurgien-dentiste",
    "50": "Sage-femme",
    "60": "Infirmier",
    "70": "Masseur-kinésithérapeute",
}
SPECIALTIES = {
    "SM03": "Biologie médicale",
    "SM04": "Cardiologie et maladies vasculaires",
    "SM40": "Pédiatrie",
    "SM54": "Médecine générale",
    "SM59": "Médecine d'urgence",
    "SM74": "Radiodiagnostic",
}
SECTORS = {
    "SA01": "Etablissement public de santé",
    "SA07": "Cabinet individuel",
    "SA17": "Etablissement pour personnes âgées",
    "SA24": "Organisme de sécurité sociale",
    "SA25": "Laboratoire de biologie médicale",
    "SA33": "Pharmacie d'officine",
    "SA52": "Maison de santé ou pôle de santé",
}
_TYPES = {
    "prov": "Healthcare Provider",
    "dept": "Hospital Department",
    "ins": "Insurance Company",
    "other": "Other",
}


def directory() -> list[dict]:
    """The resources of `00-directory.json`: structures first, then those who work there."""
    structures = rows("structures")
    professionals = [row | {"usual_family": ""} for row in rows("professionals")]
    return [
        *map(_organization, structures),
        *(_location(row) for row in structures if row["finess"]),
        *map(_healthcare_service, rows("services")),
        *map(_practitioner, professionals),
        *map(_practitioner_role, professionals),
    ]


def structure(identifier: str) -> dict[str, str]:
    """The row of a structure; StopIteration when there is none."""
    return next(row for row in rows("structures") if row["id"] == identifier)


def professional(identifier: str) -> dict[str, str]:
    """The row of a professional; StopIteration when there is none."""
    return next(row for row in rows("professionals") if row["id"] == identifier)


def professional_name(identifier: str) -> str:
    """How a letter names a professional: title or nothing, forename, name."""
    row = professional(identifier)
    return f"{'Dr ' if row['title'] == 'DR' else ''}{row['given']} {row['family']}"


def practitioner_reference(identifier: str) -> dict:
    """A Reference to a professional."""
    return reference(f"Practitioner/{identifier}", professional_name(identifier))


def role_reference(identifier: str) -> dict:
    """A Reference to a professional's situation of practice."""
    return reference(f"PractitionerRole/{identifier}", professional_name(identifier))


def organization_reference(identifier: str) -> dict:
    """A Reference to a structure."""
    return reference(f"Organization/{identifier}", structure(identifier)["name"])


def address(row: dict[str, str], use: str) -> dict:
    """The Address of a row of people or structures, with the commune's code."""
    code = {
        "url": f"{terms.FR_CORE}/StructureDefinition/fr-core-address-insee-code",
        "valueCoding": coding(terms.COMMUNE, row["insee"]),
    }
    return {
        "extension": [code],
        "use": use,
        "line": row["line"].split(" - "),
        "city": row["city"],
        "postalCode": row["postal"],
        "country": "FRA",
    }


def telecoms(row: dict[str, str], use: str) -> list[dict]:
    """Telephone and e-mail of a row; mobile numbers say so."""
    phone = {"system": "phone", "value": row["phone"], "use": "mobile" if row["phone"].startswith("06") else use}
    email = {"system": "email", "value": row["email"], "use": use}
    return [point for point in (phone, email) if point["value"]]


def _organization(row: dict[str, str]) -> dict:
    identifiers = [
        {
            "use": "official",
            "type": concept(coding(terms.FR_IDENTIFIER_TYPE, "IDNST")),
            "system": terms.STRUCTURE_NATIONAL,
            "value": f"1{row['finess']}",
        },
        {
            "type": concept(coding(terms.FR_IDENTIFIER_TYPE, "FINEG")),
            "system": terms.FINESS,
            "value": row["finess"],
        },
    ]
    return without_empty(
        {
            "resourceType": "Organization",
            "id": row["id"],
            "meta": {"profile": [f"{terms.FR_CORE}/StructureDefinition/fr-core-organization"]},
            "text": generated_text(f"{row['name']}, {row['line']}, {row['postal']} {row['city']}"),
            "identifier": identifiers if row["finess"] else [],
            "active": True,
            "type": [
                concept(coding(terms.SECTOR, row["sector"], SECTORS[row["sector"]])),
                concept(coding(terms.hl7("organization-type"), row["type"], _TYPES[row["type"]])),
            ],
            "name": row["name"],
            "telecom": telecoms(row, "work"),
            "address": [address(row, "work")],
            "partOf": organization_reference(row["part_of"]) if row["part_of"] else None,
        }
    )


def _location(row: dict[str, str]) -> dict:
    return {
        "resourceType": "Location",
        "id": row["id"],
        "status": "active",
        "name": row["name"],
        "mode": "instance",
        "telecom": telecoms(row | {"email": ""}, "work"),
        "address": address(row, "work"),
        "physicalType": concept(coding(terms.hl7("location-physical-type"), "bu", "Building")),
        "managingOrganization": organization_reference(row["id"]),
    }


def _healthcare_service(row: dict[str, str]) -> dict:
    return without_empty(
        {
            "resourceType": "HealthcareService",
            "id": row["id"],
            "active": True,
            "providedBy": organization_reference(row["structure"]),
            "type": [concept(text=row["name"])],
            "specialty": [concept(coding(terms.SPECIALTY, row["specialty"]))] if row["specialty"] else [],
            "location": [reference(f"Location/{row['structure']}")],
            "name": row["name"],
            "comment": row["comment"],
            "appointmentRequired": row["appointment"] == "yes",
        }
    )


def _practitioner(row: dict[str, str]) -> dict:
    name = {"use": "official", "family": row["family"], "given": [row["given"]], "prefix": [row["prefix"]]}
    qualification = [concept(coding(terms.PROFESSION, row["profession"], PROFESSIONS[row["profession"]]))]
    if row["specialty"]:
        qualification.append(concept(coding(terms.SPECIALTY, row["specialty"], SPECIALTIES[row["specialty"]])))
    return {
        "resourceType": "Practitioner",
        "id": row["id"],
        "meta": {"profile": [f"{terms.ANNUAIRE}/StructureDefinition/as-practitioner"]},
        "text": generated_text(f"{shown(row)}, {row['about'].split(';')[0].lower()}"),
        "identifier": [
            {
                "use": "official",
                "type": concept(coding(terms.FR_IDENTIFIER_TYPE, "IDNPS")),
                "system": terms.PERSON_NATIONAL,
                "value": f"8{row['rpps']}",
            },
            {
                "use": "official",
                "type": concept(coding(terms.FR_IDENTIFIER_TYPE, "RPPS")),
                "system": terms.RPPS,
                "value": row["rpps"],
            },
        ],
        "active": True,
        "name": [name | ({"suffix": [row["title"]]} if row["title"] else {})],
        "telecom": [_mailbox(row)],
        "gender": row["sex"],
        "qualification": [{"code": code} for code in qualification],
        "communication": [concept(coding("urn:ietf:bcp:47", "fr", "Français"))],
    }


def _practitioner_role(row: dict[str, str]) -> dict:
    code = [concept(coding(terms.PROFESSION, row["profession"], PROFESSIONS[row["profession"]]))]
    if row["function"]:
        code.append(concept(coding(terms.FUNCTION, row["function"], "Régulateur libéral")))
    specialty = [concept(coding(terms.SPECIALTY, row["specialty"], SPECIALTIES.get(row["specialty"], "")))]
    return without_empty(
        {
            "resourceType": "PractitionerRole",
            "id": row["id"],
            "meta": {"profile": [f"{terms.ANNUAIRE}/StructureDefinition/as-practitionerrole"]},
            "identifier": [{"system": terms.RPPS, "value": f"1{row['rpps'][-9:]}"}],
            "active": True,
            "practitioner": practitioner_reference(row["id"]),
            "organization": organization_reference(row["structure"]),
            "code": code,
            "specialty": specialty if row["specialty"] else [],
            "location": [reference(f"Location/{row['structure']}")],
            "telecom": [*telecoms(row | {"email": ""}, "work"), _mailbox(row)],
        }
    )


def _mailbox(row: dict[str, str]) -> dict:
    return {
        "extension": [
            {
                "url": f"{terms.FR_CORE}/StructureDefinition/fr-core-contact-point-email-type",
                "valueCoding": coding(terms.MAIL_KIND, "MSSANTE"),
            },
            {
                "url": f"{terms.ANNUAIRE}/StructureDefinition/as-ext-mailbox-mss-metadata",
                "extension": [
                    {"url": "type", "valueCodeableConcept": concept(coding(terms.MAILBOX_KIND, "PER"))},
                ],
            },
        ],
        "system": "email",
        "value": row["mailbox"],
        "use": "work",
    }
