"""What the holder of a record decides, and the documents that it is decided about, as tests write them."""

from __future__ import annotations

from typing import Any

OWN = "https://fhir-server.example"
CLASSES = "https://mos.esante.gouv.fr/NOS/TRE_A03-ClasseDocument/FHIR/TRE-A03-ClasseDocument"
LABELS = "https://mos.esante.gouv.fr/NOS/TRE_A07-StatutVisibiliteDocument/FHIR/TRE-A07-StatutVisibiliteDocument"


def choice(patient: str, kind: str, type: str = "permit", to: tuple[str, ...] = (), **provision: Any) -> dict[str, Any]:
    """A Consent of the holder's."""
    actors = [{"role": {"text": "reader"}, "reference": {"reference": reference}} for reference in to]
    purpose = {"purpose": [{"code": kind}]} if kind in ("BTG", "ETREAT", "MASKED") else {}
    return {
        "resourceType": "Consent",
        "status": "active",
        "scope": {"coding": [{"code": "patient-privacy"}]},
        "category": [{"coding": [{"system": f"{OWN}/CodeSystem/consent-kind", "code": kind}]}],
        "patient": {"reference": f"Patient/{patient}"},
        "dateTime": "2026-01-01",
        "policyRule": {"text": "choice"},
        "provision": {"type": type, **({"actor": actors} if actors else {}), **purpose, **provision},
    }  # fmt: skip


def document(patient: str, *labels: str, code: str = "10", **more: Any) -> dict[str, Any]:
    """A report."""
    said = [{"coding": [{"system": LABELS, "code": label}]} for label in labels]
    return {
        "resourceType": "DocumentReference",
        "status": "current",
        "type": {"coding": [{"system": "http://loinc.org", "code": "11488-4"}]},
        "category": [{"coding": [{"system": CLASSES, "code": code}]}],
        "subject": {"reference": f"Patient/{patient}"},
        "content": [{"attachment": {"contentType": "text/plain", "data": "QQ=="}}],
        **({"securityLabel": said} if said else {}),
        **more,
    }
