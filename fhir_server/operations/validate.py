"""$validate on a type and on a resource: would it be accepted, and what is wrong with it?  Nothing is stored.

The answer is 200 whatever was found; another status says that it could not be asked.
R4: resource-operation-validate.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fhir_server.fhir import json
from fhir_server.fhir.http import FhirRequest, FhirResponse
from fhir_server.fhir.outcome import BadRequest, Forbidden, Issue, operation_outcome
from fhir_server.fhir.results import refuse_unknown, single
from fhir_server.repository import Repository
from fhir_server.validation import structure

MODES = ("create", "update", "delete")
"""Codes of resource-validation-mode.  `profile` is the mode of whoever names one."""
_PARAMETERS = ("resource", "mode", "profile")


@dataclass(frozen=True)
class _Asked:
    """What is to be validated, for what, and against which profile besides."""

    resource: dict[str, Any] | None
    mode: str | None
    profile: str | None


def validate(request: FhirRequest, repository: Repository, type: str, id: str | None = None) -> FhirResponse:
    """
    200 and an OperationOutcome with all that was found, of whatever severity; at least one line that says so.

    Without a resource, the one at `type/id` is validated.  Raises BadRequest (400) for what makes no sense, NotFound
    for an `id` that is not there, Unprocessable (422) for a profile that is not known here.
    """
    asked = _asked(request)
    if asked.mode in ("create", "delete") and (asked.mode == "create") != (id is None):
        level = "a type, as the resource has no id yet" if asked.mode == "create" else "a resource"
        raise BadRequest(f"`mode={asked.mode}` is asked of {level}.")
    body = None
    if id is None:
        _refuse_strangers(repository, type)
    else:
        repository.decide("read", type)
        if asked.resource is None or asked.mode == "delete":
            body = repository.read(type, id).body
    issues = _permitted(repository, asked.mode, type)
    resource = asked.resource
    if asked.mode != "delete":
        if resource is None and id is None:
            raise BadRequest("There is no resource to validate: send it as the body, or as `resource` of Parameters.")
        if resource is None:
            resource = json.parse(body or b"")
        issues += _of_the_address(resource, asked.mode, type, id)
        if not issues or resource.get("resourceType") == type:
            issues += structure.findings(resource, asked.profile)
    return FhirResponse.of(200, operation_outcome(issues or [_nothing_wrong(asked.mode, type)]))


def _refuse_strangers(repository: Repository, type: str) -> None:
    """Raise Forbidden for a caller who may do nothing with the type."""
    for interaction in ("create", "update", "read"):
        try:
            repository.decide(interaction, type)
            return
        except Forbidden as error:
            refusal = error
    raise refusal


def _permitted(repository: Repository, mode: str | None, type: str) -> list[Issue]:
    """Whether the caller could do what the mode says, so far as that depends on the type."""
    try:
        if mode in MODES:
            repository.decide(mode, type)
    except Forbidden as error:
        return list(error.issues)
    return []


def _of_the_address(resource: dict[str, Any], mode: str | None, type: str, id: str | None) -> list[Issue]:
    """What does not fit the URL that the resource would be sent to.  R4: http.html#create, http.html#update"""
    found = resource.get("resourceType")
    if found is not None and found != type:
        words = f"The resourceType is `{found}`, and the operation was called on `{type}`."
        return [Issue("invalid", words, ("Resource.resourceType",))]
    place = (f"{type}.id",)
    given = resource.get("id")
    if mode == "update" and given is None:
        return [Issue("required", "An update needs the `id` of the resource in its body.", place)]
    if id is not None and given is not None and given != id:
        return [Issue("invalid", f"The id in the body is `{given}`, and the one in the URL `{id}`.", place)]
    if mode == "create" and given is not None:
        return [Issue("informational", "The server gives out an id of its own.", place, severity="information")]
    return []


def _nothing_wrong(mode: str | None, type: str) -> Issue:
    words = f"The {type} could be deleted." if mode == "delete" else f"Nothing is wrong with this {type}."
    return Issue("informational", words, severity="information")


def _asked(request: FhirRequest) -> _Asked:
    """What the query and the body say together.  Raises BadRequest."""
    refuse_unknown(request.query, "mode", "profile")
    sent: dict[str, Any] = {name: single(request.query, name) for name in ("mode", "profile")}
    body = request.parsed() if request.method != "GET" and (request.body or request.resource is not None) else None
    if body is not None and body.get("resourceType") == "Parameters":
        for name, value in _parameters(body):
            if sent.get(name) is not None:
                raise BadRequest(f"`{name}` is given twice; once is enough.", "Parameters.parameter")
            sent[name] = value
    elif body is not None:
        sent["resource"] = body
    mode = sent["mode"]
    if mode is not None and mode not in (*MODES, "profile"):
        raise BadRequest(f"Unknown mode `{mode}`; known: {', '.join((*MODES, 'profile'))}.")
    if mode == "profile" and sent["profile"] is None:
        raise BadRequest("`mode=profile` needs a `profile`.")
    return _Asked(sent.get("resource"), mode, sent["profile"])


def _parameters(sent: dict[str, Any]) -> list[tuple[str, Any]]:
    """The named values of the Parameters.  Raises BadRequest for what the operation does not take."""
    parts = sent.get("parameter", [])
    found = []
    for index, part in enumerate(parts if isinstance(parts, list) else [None]):
        place = f"Parameters.parameter[{index}]"
        name = part.get("name") if isinstance(part, dict) else None
        if name not in _PARAMETERS:
            raise BadRequest(f"`{name}` is not a parameter of $validate; known: {', '.join(_PARAMETERS)}.", place)
        key, kind = ("resource", dict) if name == "resource" else _value_of(part, name)
        if not isinstance(part.get(key), kind):
            raise BadRequest(f"The parameter `{name}` has no `{key}`.", place)
        found.append((name, part[key]))
    return found


def _value_of(part: dict[str, Any], name: str) -> tuple[str, type]:
    """The key of a value: of the type that the operation states, or of another text."""
    stated = "valueCode" if name == "mode" else "valueUri"
    return next((key for key in ("valueCanonical", "valueString", "valueUrl") if key in part), stated), str
