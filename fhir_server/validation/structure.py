"""Is it good: as R4 says, and the profiles that it claims?  Asked of every resource before it is written.

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

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from fhir_server.fhir.outcome import Issue, Unprocessable
from fhir_server.fhir.terminology.carried import carried_terminologies
from fhir_server.fhir.types import TYPES
from fhir_server.validation import elements, models
from fhir_server.validation.profiles import Profiles
from fhir_server.validation.shapes import OncePerShape
from fhir_server.validation.words import shown

#: The profiles that a resource must satisfy whatever it claims, by canonical URL.
Demanded = Callable[[Mapping[str, Any]], tuple[str, ...]]

_BASE = "http://hl7.org/fhir/StructureDefinition/"
#: What is checked of every resource: to claim it is nothing new.
_BASE_PROFILES = frozenset(_BASE + type for type in ("Resource", "DomainResource", *TYPES))

_models = OncePerShape(models.faults)
_SHOWN = 200  # of a URL the end tells most


def _none(resource: Mapping[str, Any]) -> tuple[str, ...]:
    return ()


def faults(resource: dict[str, Any], demanded: Demanded = _none) -> list[Issue]:
    """Every fault of a resource and of those within it, each with its FHIRPath; none if it is good.

    It is held to R4, to the profiles that it claims, and to those that are demanded of it.  The models of
    fhir.resources are asked only about what the walk finds good, and once for each shape: they know nothing that it
    does not, and some of what it refuses would break them.
    """
    base = elements.faults(resource) or _models(resource)
    told = {expression for issue in base for expression in issue.expression}
    issues = _claimed(resource)
    if not base:
        claimed = {profile.partition("|")[0] for profile in resource.get("meta", {}).get("profile", ()) if profile}
        for profile in demanded(resource):
            issues += [] if profile in claimed else _profiles().faults(resource, profile)
    return [*base, *(one for one in issues if one.severity == "error" and told.isdisjoint(one.expression))]


def check(resource: dict[str, Any], demanded: Demanded = _none) -> None:
    """Raises Unprocessable with all the faults of `resource`, if there are any.  R4: http.html#create"""
    issues = faults(resource, demanded)
    if issues:
        raise Unprocessable.of(issues)


def findings(resource: dict[str, Any], profile: str | None = None) -> list[Issue]:
    """All that is to be said of `resource`, of whatever severity: its faults, its warnings and what R4 advises.

    profile: one that it is to be checked against besides those it claims.  Raises Unprocessable if it is not known
    here.  R4: resource-operation-validate.html
    """
    issues = faults(resource)
    name = (profile or "").partition("|")[0]
    if name.removeprefix(_BASE) in ("Resource", "DomainResource", resource.get("resourceType")):
        name = ""
    if name in _BASE_PROFILES:
        words = f"This is not {shown(name.removeprefix(_BASE))}, which the profile is of."
        issues = [*issues, Issue("structure", words, ("Resource.resourceType",))]
    elif name and isinstance(resource.get("resourceType"), str):
        try:
            issues = list(dict.fromkeys([*issues, *_profiles().faults(resource, name)]))
        except KeyError:
            words = f"The profile {shown(name, limit=_SHOWN)} is not known here, so nothing can be checked against it."
            raise Unprocessable.of([Issue("not-found", words)]) from None
    faulty = any(issue.severity == "error" for issue in issues)
    return [*issues, *([] if faulty else warnings(resource)), *elements.advice(resource)]


def warnings(resource: dict[str, Any]) -> list[Issue]:
    """What whoever sent `resource`, which has no fault, should know: of the profiles it claims, what was not checked.

    R4: resource.html#Meta.profile: a claim, which a server need not believe
    """
    return [issue for issue in _claimed(resource) if issue.severity != "error"]


def _claimed(resource: dict[str, Any]) -> list[Issue]:
    """What is to be said of the profiles that are claimed."""
    good = isinstance(resource, dict) and isinstance(resource.get("resourceType"), str)
    return _profiles().claimed(resource) if good else []


@cache
def _profiles() -> Profiles:
    """The profiles that come along, over the value sets that come along."""
    return Profiles(members=lambda value_set: carried_terminologies().enumerated(value_set.partition("|")[0]))
