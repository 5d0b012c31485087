"""The Consents that say what a holder chose: what the pages write, as a portal writes it through the API.

The profile is access-consent; `consents.py` says what each kind means.  R4: consent.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from fhir_server.access.consents import EMERGENCIES, KIND, OWN
from fhir_server.access.sections import BY_CODE
from fhir_server.access.sections import SYSTEM as SECTION

_TERMS = "http://terminology.hl7.org/CodeSystem"


def choice(
    patient: str,
    kind: str,
    *,
    permits: bool,
    by: str,
    at: str,
    to: str | None = None,
    sections: Iterable[str] = (),
    end: date | None = None,
) -> dict[str, Any]:
    """
    An active Consent of this kind, in the record of Patient/`patient`.

    by: who says so, `Patient/…` or `RelatedPerson/…`.  at: when, an instant.  to: whom it names.
    sections: codes; none for those that a choice of the kind opens by itself.  end: its last day.
    """
    classes = [{"system": SECTION, "code": code} for code in BY_CODE if code in frozenset(sections)]
    role = {"system": f"{_TERMS}/v3-ParticipationType", "code": "IRCP", "display": "information recipient"}
    provision: dict[str, Any] = {"type": "permit" if permits else "deny", "period": {"start": at[:10]}}
    if end:
        provision["period"]["end"] = end.isoformat()
    if to:
        provision["actor"] = [{"role": {"coding": [role]}, "reference": {"reference": to}}]
    provision["action"] = [{"coding": [{"system": f"{_TERMS}/consentaction", "code": "access", "display": "Access"}]}]
    if kind in EMERGENCIES:
        system = f"{OWN}/CodeSystem/emergency-consent" if kind == "MASKED" else f"{_TERMS}/v3-ActReason"
        provision["purpose"] = [{"system": system, "code": kind}]
    if classes:
        provision["class"] = classes
    return {
        "resourceType": "Consent",
        "status": "active",
        "scope": {"coding": [{"system": f"{_TERMS}/consentscope", "code": "patient-privacy"}]},
        "category": [
            {"coding": [{"system": "http://loinc.org", "code": "59284-0"}]},
            {"coding": [{"system": KIND, "code": kind}]},
        ],
        "patient": {"reference": f"Patient/{patient}"},
        "dateTime": at,
        "performer": [{"reference": by}],
        "policyRule": {"coding": [{"system": f"{_TERMS}/v3-ActCode", "code": "OPTIN" if permits else "OPTOUT"}]},
        "provision": provision,
    }


def ended(consent: Mapping[str, Any]) -> dict[str, Any]:
    """The same, over."""
    return {**consent, "status": "inactive"}
