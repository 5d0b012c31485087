"""`people.json`: who can sign in to the demonstration, and as whom."""

from .directory import professional_name
from .identity import ins, shown
from .people import person
from .tables import rows


def logins() -> list[dict]:
    """One entry a person and role; the same login twice is one human with two roles, and no login means no account."""
    return [
        *map(_patient, rows("people")),
        *(_related(contact) for contact in rows("contacts") if contact["is"] and _role(contact)),
        *map(_professional, rows("professionals")),
    ]


def _patient(row: dict[str, str]) -> dict:
    return {
        "resource": f"Patient/{row['id']}",
        "role": "patient" if row["login"] else "patient-without-account",
        "display": shown(row),
        "login": row["login"] or None,
        "password": row["password"] or None,
        "ins": ins(row),
        "birthDate": row["birth_date"],
        "space": row["space"],
    }


def _role(contact: dict[str, str]) -> str:
    if "LEGAL_REPRESENTATIVE" in contact["kinds"]:
        return "legal-representative"
    return "caregiver" if "CAREGIVER_CONTACT" in contact["kinds"] else ""


def _related(contact: dict[str, str]) -> dict:
    human, whose = person(contact["is"]), person(contact["person"])
    return {
        "resource": f"RelatedPerson/{contact['person']}-{contact['id']}",
        "role": _role(contact),
        "display": f"{shown(human)} pour {shown(whose)}",
        "login": human["login"],
        "password": human["password"],
        "patient": f"Patient/{whose['id']}",
    }


def _professional(row: dict[str, str]) -> dict:
    return {
        "resource": f"Practitioner/{row['id']}",
        "role": row["role"],
        "display": professional_name(row["id"]),
        "login": row["login"],
        "password": row["password"],
        "rpps": row["rpps"],
        "practitionerRole": f"PractitionerRole/{row['id']}",
    }
