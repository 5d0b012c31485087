"""The professionals of the seed record, as Pro Santé Connect would describe them.  Pro Santé Connect: UserInfo"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fhir_server.config import carried
from fhir_server.fhir import json

#: The kinds of people.json that sign in with a card.
ROLES = ("professional", "regulator")
_RPPS = "https://rpps.esante.gouv.fr"
_FINESS = "https://finess.esante.gouv.fr"
_STRUCTURE = "urn:oid:1.2.250.1.71.4.2.2"
_PROFESSIONS = "TRE-G15-ProfessionSante"
_SPECIALTIES = "TRE-R38-SpecialiteOrdinale"
_SECTORS = "TRE-R02-SecteurActivite"
#: What a `sub` of the provider begins with, and what it is made from: the same at each start.
_REALM = uuid.UUID("6a1f2f0e-7f5b-4d57-9a55-0d3c1f2a9b10")


@dataclass(frozen=True)
class Professional:
    """Somebody who can sign in at the stand-in; `claims` is what UserInfo says, but for the means of signing in."""

    login: str
    password: str = field(repr=False)
    name: str
    title: str
    structure: str
    claims: Mapping[str, Any] = field(repr=False)

    def has(self, password: str) -> bool:
        """Whether this is the password."""
        return secrets.compare_digest(password.encode("utf-8", "replace"), self.password.encode())


def professionals() -> dict[str, Professional]:
    """The professionals of the seed record, by login."""
    seed = carried("seed_data")
    people = json.loads((seed / "people.json").read_bytes())
    bundle = json.loads((seed / "bundles" / "00-directory.json").read_bytes())
    directory = {
        f"{entry['resource']['resourceType']}/{entry['resource']['id']}": entry["resource"] for entry in bundle["entry"]
    }
    found = [_professional(person, directory) for person in people if person["role"] in ROLES]
    return {professional.login: professional for professional in found}


def _professional(person: Mapping[str, Any], directory: Mapping[str, Mapping[str, Any]]) -> Professional:
    practitioner = directory[person["resource"]]
    role = directory[person["practitionerRole"]]
    organization = directory[role["organization"]["reference"]]
    display = next(
        coding["display"] for coding in _codings(role.get("specialty") or role["code"]) if coding.get("display")
    )
    return Professional(
        login=person["login"],
        password=person["password"],
        name=person["display"],
        title=display,
        structure=organization["name"],
        claims=_claims(person, practitioner, role, organization),
    )


def _claims(
    person: Mapping[str, Any],
    practitioner: Mapping[str, Any],
    role: Mapping[str, Any],
    organization: Mapping[str, Any],
) -> dict[str, Any]:
    name = practitioner["name"][0]
    national = f"8{_identifier(practitioner, _RPPS)}"
    profession = _code(practitioner.get("qualification", ()), _PROFESSIONS)
    sector = _code(organization.get("type", ()), _SECTORS)
    return {
        "sub": f"f:{_REALM}:{uuid.uuid5(_REALM, national)}",
        "SubjectNameID": national,
        "preferred_username": national,
        "given_name": name["given"][0],
        "family_name": name["family"],
        "otherIds": [{"identifiant": national, "origine": "RPPS", "qualite": 1}],
        "SubjectRole": [f"{profession}^1.2.250.1.213.1.1.5.5"],
        "SubjectOrganization": organization["name"],
        "SubjectOrganizationID": _identifier(organization, _STRUCTURE),
        "Secteur_Activite": f"{sector}^1.2.250.1.71.4.2.4" if sector else "",
        "Mode_Acces_Raison": "",
        "Acces_Regulation_Medicale": "VRAI" if person["role"] == "regulator" else "FAUX",
        "UITVersion": "1.0",
        "Palier_Authentification": "APPPRIP3^1.2.250.1.213.1.5.1.1.1",
        "PSI_Locale": "1.2.250.1.213.1.3.1.1",
        "SubjectRefPro": {
            "codeCivilite": name.get("prefix", [""])[0],
            "exercices": [
                {
                    "codeProfession": profession,
                    "codeCategorieProfessionnelle": "C",
                    "codeCiviliteDexercice": name.get("suffix", [""])[0],
                    "nomDexercice": name["family"],
                    "prenomDexercice": name["given"][0],
                    "codeTypeSavoirFaire": "S" if role.get("specialty") else "",
                    "codeSavoirFaire": _code(role.get("specialty", ()), _SPECIALTIES),
                    "activities": [_activity(organization, sector)],
                }
            ],
        },
    }


def _activity(organization: Mapping[str, Any], sector: str) -> dict[str, Any]:
    address = (organization.get("address") or [{}])[0]
    return {
        "codeModeExercice": "S" if sector == "SA01" else "L",
        "codeSecteurDactivite": sector,
        "codeSectionPharmacien": "",
        "codeRole": "",
        "codeGenreActivite": "GENR01",
        "numeroSiretSite": "",
        "numeroSirenSite": "",
        "numeroFinessSite": _identifier(organization, _FINESS),
        "numeroFinessetablissementJuridique": "",
        "identifiantTechniqueDeLaStructure": _identifier(organization, _STRUCTURE),
        "raisonSocialeSite": organization["name"],
        "enseigneCommercialeSite": "",
        "codePostal": address.get("postalCode", ""),
        "codePays": "99000",
        "autoriteDenregistrement": "",
    }


def _identifier(resource: Mapping[str, Any], system: str) -> str:
    return next((str(one["value"]) for one in resource.get("identifier", ()) if one.get("system") == system), "")


def _code(concepts: Any, system: str) -> str:
    """The code of the system with this name among the concepts, or among what they qualify."""
    codings = _codings([concept.get("code", concept) for concept in concepts])
    return next((str(coding["code"]) for coding in codings if coding.get("system", "").endswith(system)), "")


def _codings(concepts: Any) -> list[Mapping[str, Any]]:
    return [coding for concept in concepts if isinstance(concept, Mapping) for coding in concept.get("coding", ())]
