"""Is it built as R4 says?  Asked of every resource before it is written.

>>> for issue in faults({"resourceType": "Patient", "gendre": "male", "birthDate": "2023-02-30"}):
...     print(issue.code, *issue.expression, issue.diagnostics)
structure Patient.gendre `gendre` is not an element of Patient; did you mean `gender`?
value Patient.birthDate `birthDate`: `2023-02-30` is not a date (YYYY, YYYY-MM or YYYY-MM-DD): there is no such day \
in the calendar.

>>> for issue in warnings({"resourceType": "Patient", "meta": {"profile": ["http://example.org/patient"]}}):
...     print(issue.severity, issue.code, *issue.expression, issue.diagnostics)
warning not-found Patient.meta.profile[0] The profile `http://example.org/patient` is not known here: only what R4 \
itself asks was checked.

R4: resource.html, json.html, datatypes.html, operationoutcome.html, profiling.html
"""

from __future__ import annotations

from typing import Any

from fhir_server.fhir.outcome import Issue, Unprocessable
from fhir_server.fhir.types import TYPES
from fhir_server.validation import elements, models
from fhir_server.validation.shapes import OncePerShape
from fhir_server.validation.words import shown

_BASE = "http://hl7.org/fhir/StructureDefinition/"
#: What is checked of every resource: to claim it is nothing new.
_BASE_PROFILES = frozenset(_BASE + type for type in ("Resource", "DomainResource", *TYPES))

_models = OncePerShape(models.faults)
_SHOWN = 200  # of a URL the end tells most


def faults(resource: dict[str, Any]) -> list[Issue]:
    """Every structural fault of a resource and of those within it, each with its FHIRPath; none if it is good.

    The models of fhir.resources are asked only about what the walk finds good, and once for each shape: they know
    nothing that it does not, and some of what it refuses would break them.
    """
    return elements.faults(resource) or _models(resource)


def check(resource: dict[str, Any]) -> None:
    """Raises Unprocessable with all the faults of `resource`, if there are any.  R4: http.html#create"""
    issues = faults(resource)
    if issues:
        raise Unprocessable.of(issues)


def findings(resource: dict[str, Any], profile: str | None = None) -> list[Issue]:
    """All that is to be said of `resource`, of whatever severity: its faults, its warnings and what R4 advises.

    profile: one that it is to be checked against besides those it claims.  Raises Unprocessable if it is not known
    here.  R4: resource-operation-validate.html
    """
    if profile is not None and profile.partition("|")[0] not in _BASE_PROFILES:
        words = f"The profile {shown(profile, limit=_SHOWN)} is not known here, so nothing can be checked against it."
        raise Unprocessable.of([Issue("not-found", words)])
    issues = faults(resource)
    name = (profile or "").partition("|")[0].removeprefix(_BASE)
    if name and name not in ("Resource", "DomainResource", resource.get("resourceType")):
        words = f"This is not {shown(name)}, which the profile is of."
        issues = [*issues, Issue("structure", words, ("Resource.resourceType",))]
    return [*(issues or warnings(resource)), *elements.advice(resource)]


def warnings(resource: dict[str, Any]) -> list[Issue]:
    """What whoever sent `resource`, which has no fault, should know: the profiles it claims that were not checked.

    R4: resource.html#Meta.profile: a claim, which a server need not believe
    """
    claimed = resource.get("meta", {}).get("profile", [])
    return [
        Issue(
            "not-found",
            f"The profile {shown(profile, limit=_SHOWN)} is not known here: only what R4 itself asks was checked.",
            (f"{resource['resourceType']}.meta.profile[{index}]",),
            severity="warning",
        )
        for index, profile in enumerate(claimed)
        if profile is not None and profile.partition("|")[0] not in _BASE_PROFILES
    ]
