"""The least that is valid of each kind, then **changes."""

from __future__ import annotations

from typing import Any


def patient(**changes: Any) -> dict[str, Any]:
    """A Patient."""
    return {"resourceType": "Patient", **changes}


def observation(patient: str = "p1", **changes: Any) -> dict[str, Any]:
    """A final Observation of this patient's weight."""
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "29463-7"}]},
        "subject": {"reference": f"Patient/{patient}"},
        **changes,
    }


def transaction(*entries: dict[str, Any], type: str = "transaction") -> dict[str, Any]:
    """A Bundle to be run."""
    return {"resourceType": "Bundle", "type": type, "entry": list(entries)}


def entry(method: str, url: str, resource: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """An entry of it; `fullUrl` and the conditions of the request by name."""
    full_url = {"fullUrl": more.pop("fullUrl")} if "fullUrl" in more else {}
    body = {"resource": resource} if resource is not None else {}
    return {**full_url, **body, "request": {"method": method, "url": url, **more}}
