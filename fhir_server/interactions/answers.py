"""The answers of the interactions that write, and the conditions they are asked under.

R4: http.html#ops (Prefer), http.html#versioning, http.html#cond-update
"""

from __future__ import annotations

from typing import Any

from fhir_server.fhir import json
from fhir_server.fhir.http import FhirRequest, FhirResponse, http_date, query_of, query_text
from fhir_server.fhir.outcome import BadRequest, Issue, PreconditionFailed, operation_outcome
from fhir_server.fhir.results import FORMAT
from fhir_server.fhir.types import TYPES
from fhir_server.repository import Criteria, Repository
from fhir_server.search.parser import RESULT_PARAMETERS
from fhir_server.storage.documents import Stored
from fhir_server.validation import structure


def headers_of(stored: Stored) -> dict[str, str]:
    """The headers that say which version this is.  R4: http.html#versioning"""
    return {"ETag": stored.etag, "Last-Modified": http_date(stored.updated)}


def written(
    request: FhirRequest, repository: Repository, stored: Stored, created: bool, *, located: bool | None = None
) -> FhirResponse:
    """
    201 or 200, with what `Prefer: return=` asks for; Location where there is something new to point at.

    Who may write a resource and not read it gets no representation of it.
    """
    headers = headers_of(stored)
    if created if located is None else located:
        headers["Location"] = f"{request.base}/{stored.reference}/_history/{stored.version}"
    status = 201 if created else 200
    wanted = request.prefer("return") or ("minimal" if request.in_bundle else "representation")
    if wanted == "minimal":
        return FhirResponse(status, None, headers, stored.updated)
    if wanted == "OperationOutcome":
        done = f"{stored.reference} is {'created' if created else 'kept'} as version {stored.version}."
        issues = [Issue("informational", done, severity="information"), *_warnings(repository, stored)]
        return FhirResponse(status, json.dumps(operation_outcome(issues)), headers, stored.updated)
    return FhirResponse(status, stored.body if repository.may_read(stored) else None, headers, stored.updated)


def _warnings(repository: Repository, stored: Stored) -> list[Issue]:
    """What is to be said of the version that was written, to whoever may read it."""
    return structure.warnings(json.parse(stored.body)) if stored.body and repository.may_read(stored) else []


def body_of(request: FhirRequest, repository: Repository, type: str) -> dict[str, Any]:
    """The resource in the request, checked.  Raises BadRequest (another type), Unprocessable (no good)."""
    resource = request.parsed()
    found = resource.get("resourceType")
    if found is None:
        raise BadRequest(f"The body has no `resourceType`; the URL asks for `{type}`.", "resourceType")
    if found != type:
        raise BadRequest(f"The resourceType of the body is `{found}`; the URL asks for `{type}`.", "resourceType")
    repository.check(resource)
    return resource


def criteria_of(repository: Repository, type: str, text: str) -> Criteria:
    """
    The criteria of a conditional interaction, always read strictly: a misspelt one must not widen what is hit.

    Raises BadRequest for what is not understood, PreconditionFailed for no criteria at all.
    """
    if type not in TYPES:
        raise BadRequest(f"`{type}` is not a type that is kept here.")
    pairs = sorted(pair for pair in query_of(text.lstrip("?")) if pair[0] not in FORMAT)
    if not pairs:
        raise PreconditionFailed(
            "A conditional interaction needs criteria, such as `identifier=system|value`; else give an id in the URL."
        )
    for name, _ in pairs:
        if name in RESULT_PARAMETERS:
            raise BadRequest(f"`{name}` shapes the answer of a search; criteria say which {type} is meant.")
    return Criteria(query_text(pairs), repository.reader().expression(type, pairs))


def query_criteria(request: FhirRequest, repository: Repository, type: str) -> Criteria:
    """The criteria in the URL of a conditional update, patch or delete."""
    return criteria_of(repository, type, query_text(request.query))
