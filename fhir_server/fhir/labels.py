"""The labels by which a resource is kept from some: `meta.security` and `securityLabel`, by their code.

Sources spell the system in several ways; the codes of TRE_A07 are no other system's, so that any presence counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

SYSTEM = "https://mos.esante.gouv.fr/NOS/TRE_A07-StatutVisibiliteDocument/FHIR/TRE-A07-StatutVisibiliteDocument"
MASKED = "MASQUE_PS"
INVISIBLE_TO_PATIENT = "INVISIBLE_PATIENT"
INVISIBLE_TO_REPRESENTATIVES = "INVISIBLE_REPRESENTANTS_LEGAUX"
LABELS = {
    MASKED: "Masqué aux professionnels de santé",
    INVISIBLE_TO_PATIENT: "Non visible par le patient",
    INVISIBLE_TO_REPRESENTATIVES: "Non visible par les représentants légaux du patient",
}


def labels(resource: Mapping[str, Any]) -> tuple[str, ...]:
    """The labels of a resource that has passed the structure check, in the order of the table."""
    found = {coding.get("code") for coding in _codings(resource)}
    return tuple(label for label in LABELS if label in found)


def _codings(resource: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from resource.get("meta", {}).get("security", ())
    stated = resource.get("securityLabel", ())
    for concept in stated if isinstance(stated, list) else ():
        yield from concept.get("coding", ())
