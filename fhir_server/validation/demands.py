"""Which profiles a resource must satisfy whatever it claims: a table by kind of caller and type.

The services of the record demand theirs; of whoever else writes by REST the setting says what is demanded, and of the
operator, who loads what others made, nothing is.  A caller is one of CALLERS.  Two words stand for a profile that the
resource tells:

    MEASURES    that of the measure which the code of an Observation names
    PDSM        the simplified one for a DocumentReference that holds its document, else the comprehensive

>>> table = read("backend:DocumentReference=https://example.org/p backend:Observation=MEASURES")
>>> demanded({"resourceType": "DocumentReference"}, "backend", table)
('https://example.org/p',)
>>> demanded({"resourceType": "DocumentReference"}, "operator", table)
()

R4: resource.html#Meta.profile
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fhir_server.fhir.types import TYPES
from fhir_server.validation.words import listing, shown

#: Who may write: by REST, and the services of the record.
CALLERS = (
    "operator",
    "backend",
    "professional",
    "patient",
    "accounts",
    "agenda",
    "dossier",
    "measures",
    "messaging",
    "profile",
)
MEASURES = "MEASURES"
PDSM = "PDSM"

#: Caller → type → canonical URLs.
Table = Mapping[str, Mapping[str, tuple[str, ...]]]

_OWN = "https://fhir-server.example/StructureDefinition"
_FR_CORE = "https://hl7.fr/ig/fhir/core/StructureDefinition"
_ANS = "https://interop.esante.gouv.fr/ig/fhir"
_MESURES = f"{_ANS}/mesures/StructureDefinition"
_PDSM = f"{_ANS}/pdsm/StructureDefinition"
_LOINC = "http://loinc.org"
_TA_ASIP = "https://mos.esante.gouv.fr/NOS/TRE_R308-TAASIP/FHIR/TRE-R308-TAASIP"

SERVICES: Table = {
    "accounts": {"Patient": (f"{_FR_CORE}/fr-core-patient-ins",), "Consent": (f"{_OWN}/access-consent",)},
    "agenda": {"Appointment": (f"{_OWN}/agenda-entry",)},
    "dossier": {"DocumentReference": (PDSM,)},
    "measures": {"Observation": (MEASURES,)},
    "messaging": {"Communication": (f"{_OWN}/message",)},
    "profile": {
        "AllergyIntolerance": (f"{_OWN}/allergy",),
        "Immunization": (f"{_OWN}/vaccination",),
        "Observation": (MEASURES,),
    },
}

#: What is measured, by its code → the profile in Mesures de santé.
_MEASURE_OF: Mapping[tuple[str, str], str] = {
    (_LOINC, "29463-7"): "mesures-fr-observation-body-weight",
    (_LOINC, "8302-2"): "mesures-fr-observation-bodyheight",
    (_LOINC, "39156-5"): "mesures-fr-observation-bmi",
    (_LOINC, "85354-9"): "mesures-fr-observation-bp",
    (_LOINC, "8867-4"): "mesures-fr-observation-heartrate",
    (_LOINC, "8310-5"): "mesures-fr-observation-body-temperature",
    (_LOINC, "2708-6"): "mesures-fr-observation-oxygen-sat",
    (_LOINC, "59408-5"): "mesures-fr-observation-oxygen-sat",
    (_LOINC, "9279-1"): "mesures-fr-observation-resp-rate",
    (_LOINC, "4548-4"): "mesures-observation-hb1ac",
    (_LOINC, "8280-0"): "mesures-observation-waist-circumference",
    (_LOINC, "8287-5"): "mesures-observation-head-circumference",
    (_LOINC, "9843-4"): "mesures-observation-head-circumference",
    (_LOINC, "41950-7"): "mesures-observation-steps-by-day",
    (_LOINC, "72514-3"): "mesures-observation-pain-severity",
    (_LOINC, "2345-7"): "mesures-observation-glucose",
    (_TA_ASIP, "MED-969"): "mesures-observation-glucose",
    (_TA_ASIP, "MED-972"): "mesures-observation-glucose",
}


def demanded(resource: Mapping[str, Any], caller: str, table: Table = SERVICES) -> tuple[str, ...]:
    """The canonical URLs of the profiles that this caller's resource must satisfy."""
    found: list[str] = []
    for profile in table.get(caller, {}).get(resource["resourceType"], ()):
        url = _BY_RESOURCE[profile](resource) if profile in _BY_RESOURCE else profile
        if url:
            found.append(url)
    return tuple(found)


def measure(observation: Mapping[str, Any]) -> str | None:
    """The profile of what was measured; None: it is no measure of the guide."""
    for coding in observation.get("code", {}).get("coding", ()):
        name = _MEASURE_OF.get((coding.get("system"), coding.get("code")))
        if name:
            return f"{_MESURES}/{name}"
    return None


def document(reference: Mapping[str, Any]) -> str:
    """The profile of PDSm for this DocumentReference: ITI-105 when it holds the document, ITI-65 when a Binary does."""
    held = any("data" in content.get("attachment", {}) for content in reference.get("content", ()))
    return f"{_PDSM}/{'pdsm-simplified-publish' if held else 'pdsm-comprehensive-document-reference'}"


_BY_RESOURCE: Mapping[str, Callable[[Mapping[str, Any]], str | None]] = {MEASURES: measure, PDSM: document}


def read(text: str) -> Table:
    """The table of a setting, over SERVICES: `CALLER:Type=URL`, with spaces between, several URLs with `,` between.

    Raises ValueError for a caller or type that is not known.
    """
    table: dict[str, dict[str, tuple[str, ...]]] = {caller: dict(types) for caller, types in SERVICES.items()}
    for row in text.split():
        where, _, urls = row.partition("=")
        caller, _, type = where.partition(":")
        if caller not in CALLERS:
            raise ValueError(f"unknown caller {shown(caller)}; known: {listing(CALLERS)}")
        if type not in TYPES:
            raise ValueError(f"unknown resource type {shown(type)} in {shown(row)}")
        table.setdefault(caller, {})[type] = tuple(url for url in urls.split(",") if url)
    return table
