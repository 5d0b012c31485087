"""What Pro Santé Connect says of a professional, and who that is in the directory of this server.

The national identifier alone links the two, never a name or an address: who is not in the directory is not let in.
Pro Santé Connect: UserInfo; ANS Annuaire Santé: as-practitioner, as-practitionerrole, as-organization
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from fhir_server.smart.subject import Subject

Pairs = tuple[tuple[str, str], ...]
#: The resources of a type that a search finds, as this server itself sees them.
Find = Callable[[str, Pairs], Sequence[Mapping[str, Any]]]

RPPS = "https://rpps.esante.gouv.fr"
NATIONAL_PERSON = "urn:oid:1.2.250.1.71.4.2.1"
NATIONAL_STRUCTURE = "urn:oid:1.2.250.1.71.4.2.2"
FINESS = "https://finess.esante.gouv.fr"
SIRENE = "https://sirene.fr"
_PROFESSIONS = "https://mos.esante.gouv.fr/NOS/TRE_G15-ProfessionSante/FHIR/TRE-G15-ProfessionSante"

#: Where an activity names its structure, the site before the legal entity that it belongs to.
_STRUCTURES = (
    ("numeroFinessSite", FINESS),
    ("identifiantTechniqueDeLaStructure", NATIONAL_STRUCTURE),
    ("numeroSiretSite", SIRENE),
    ("numeroFinessetablissementJuridique", FINESS),
    ("numeroSirenSite", SIRENE),
)

#: Why somebody is not let in; a page has the words.
Reason = Literal["identity", "unknown", "ambiguous", "inactive"]


class NotAdmitted(Exception):
    """The professional who was identified cannot act here."""

    def __init__(self, reason: Reason):
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Activity:
    """
    One place and capacity that a professional works in.

    structures             `(system, value)` identifiers of the place, the closest first; none for who works nowhere
    profession, specialty  codes of TRE_G15 and TRE_R38
    """

    name: str | None
    structures: tuple[tuple[str, str], ...]
    profession: str | None
    specialty: str | None


@dataclass(frozen=True)
class Professional:
    """Whom Pro Santé Connect has identified; `national_id` has its prefix, `8` before an RPPS number."""

    national_id: str
    name: str
    activities: tuple[Activity, ...]
    regulator: bool

    @property
    def sub(self) -> str:
        """The same at each sign-in, whatever the activity, and not the number itself.  OpenID Connect Core s. 8"""
        return f"psc-{hashlib.sha256(self.national_id.encode()).hexdigest()}"

    @property
    def identifiers(self) -> tuple[tuple[str, str], ...]:
        """What the directory may know the professional by."""
        whole = (NATIONAL_PERSON, self.national_id)
        return (whole, (RPPS, self.national_id[1:])) if self.national_id.startswith("8") else (whole,)


def read(claims: Mapping[str, Any]) -> Professional:
    """Whom the claims of UserInfo describe.  Raises NotAdmitted without one national identifier."""
    exercises = tuple(_exercises(claims))
    return Professional(
        national_id=_national_id(claims),
        name=_name(claims, exercises[0] if exercises else {}),
        activities=_activities(claims, exercises),
        # The right is the identity provider's to assert: nothing that a client sends comes near it.
        regulator=claims.get("Acces_Regulation_Medicale") == "VRAI",
    )


def practitioner(professional: Professional, find: Find) -> str:
    """The id of the Practitioner in the directory.  Raises NotAdmitted unless it is one, and active."""
    asked = ",".join(f"{system}|{value}" for system, value in professional.identifiers)
    found = find("Practitioner", (("identifier", asked),))
    if not found:
        raise NotAdmitted("unknown")
    if len(found) > 1:
        raise NotAdmitted("ambiguous")
    if found[0].get("active") is False:
        raise NotAdmitted("inactive")
    return str(found[0]["id"])


def subject(professional: Professional, activity: Activity | None, find: Find) -> Subject:
    """Who signs in, in this capacity.  Raises NotAdmitted for who is not in the directory."""
    id = practitioner(professional, find)
    organization = _organization(activity, find) if activity else None
    return Subject(
        kind="professional",
        sub=professional.sub,
        name=professional.name,
        practitioner=id,
        role=_role(id, organization, activity, find) if organization and activity else None,
        organization=organization,
        profession=activity.profession if activity else None,
        specialty=activity.specialty if activity else None,
        regulator=professional.regulator,
    )


def _national_id(claims: Mapping[str, Any]) -> str:
    """The national identifier: what names it twice has to agree."""
    named = {_text(claims, "SubjectNameID")}
    named |= {_national(other) for other in _list(claims, "otherIds") if other.get("origine") == "RPPS"}
    named.discard(None)
    if len(named) != 1:
        raise NotAdmitted("identity")
    (found,) = named
    if found is None or not (_is_plain(found) and 8 < len(found) <= 32):
        raise NotAdmitted("identity")
    return found


def _national(other: Mapping[str, Any]) -> str | None:
    """An RPPS number comes with its prefix or without."""
    value = _text(other, "identifiant")
    return f"8{value}" if value and len(value) == 11 else value


def _exercises(claims: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    reference = claims.get("SubjectRefPro")
    if isinstance(reference, Mapping):
        yield from _list(reference, "exercices")


def _activities(claims: Mapping[str, Any], exercises: Sequence[Mapping[str, Any]]) -> tuple[Activity, ...]:
    """An activity for each that each exercise lists; who lists none still has a profession."""
    found = [
        _activity(exercise, activity) for exercise in exercises for activity in _list(exercise, "activities") or [{}]
    ]
    if found:
        return tuple(dict.fromkeys(found))
    role = next((str(role) for role in claims.get("SubjectRole") or () if isinstance(role, str)), "")
    profession = role.partition("^")[0] or None
    return (Activity(None, (), profession, None),) if profession else ()


def _activity(exercise: Mapping[str, Any], activity: Mapping[str, Any]) -> Activity:
    structures = [(system, _text(activity, name)) for name, system in _STRUCTURES]
    return Activity(
        name=_text(activity, "enseigneCommercialeSite") or _text(activity, "raisonSocialeSite"),
        structures=tuple((system, value) for system, value in structures if value and _is_plain(value)),
        profession=_text(exercise, "codeProfession"),
        specialty=_text(exercise, "codeSavoirFaire"),
    )


def _name(claims: Mapping[str, Any], exercise: Mapping[str, Any]) -> str:
    """The name of exercise, with its title, else the civil one."""
    title = "Dr" if _text(exercise, "codeCiviliteDexercice") == "DR" else None
    given = _text(exercise, "prenomDexercice") or _text(claims, "given_name")
    family = _text(exercise, "nomDexercice") or _text(claims, "family_name")
    return " ".join(part for part in (title, given, family) if part) or "?"


def _organization(activity: Activity, find: Find) -> str | None:
    """`Organization/id` of the closest place that the directory has; None where it has none, or cannot tell."""
    for system, value in activity.structures:
        found = find("Organization", (("identifier", f"{system}|{value}"),))
        if len(found) == 1 and found[0].get("active") is not False:
            return f"Organization/{found[0]['id']}"
    return None


def _role(practitioner: str, organization: str, activity: Activity, find: Find) -> str | None:
    """`PractitionerRole/id` of who works at the place, the one of this profession before others."""
    pairs = (("practitioner", f"Practitioner/{practitioner}"), ("organization", organization))
    active = [role for role in find("PractitionerRole", pairs) if role.get("active") is not False]
    active.sort(key=lambda role: (activity.profession not in _professions(role), role["id"]))
    return f"PractitionerRole/{active[0]['id']}" if active else None


def _professions(role: Mapping[str, Any]) -> set[Any]:
    codings = [coding for concept in role.get("code", ()) for coding in concept.get("coding", ())]
    return {coding.get("code") for coding in codings if coding.get("system") == _PROFESSIONS}


def _is_plain(value: str) -> bool:
    """Whether it is letters and digits alone, as identifiers are: in a search it means itself and nothing else."""
    return value.isascii() and value.isalnum()


def _text(values: Mapping[str, Any], name: str) -> str | None:
    """A text of another's document: whatever is not one is not there."""
    value = values.get(name)
    return value.strip()[:200] or None if isinstance(value, str) else None


def _list(values: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    value = values.get(name)
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []
