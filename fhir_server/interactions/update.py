"""The update interaction: by id, as create, and conditional.  R4: http.html#update, #upsert, #cond-update"""

from __future__ import annotations

from fhir_server.fhir.http import FhirRequest, FhirResponse
from fhir_server.fhir.outcome import BadRequest
from fhir_server.fhir.results import refuse_unknown
from fhir_server.interactions.answers import body_of, query_criteria, written
from fhir_server.repository import Repository


def update(request: FhirRequest, repository: Repository, type: str, id: str) -> FhirResponse:
    """200 and the new version, or 201 where nothing was.  Raises BadRequest, PreconditionFailed (412)."""
    refuse_unknown(request.query)
    resource = body_of(request, repository, type)
    if resource.get("id") != id:
        given = f"`{resource['id']}`" if "id" in resource else "missing"
        raise BadRequest(
            f"The id in the body is {given}; the URL says `{id}`, and the two must be the same.", f"{type}.id"
        )
    unless_there = request.headers.get("if-none-match", "").strip() == "*"  # RFC 9110 s. 13.1.2
    stored, created = repository.update(
        type, id, resource, if_match=request.headers.get("if-match"), unless_there=unless_there
    )
    return written(request, repository, stored, created)


def conditional_update(request: FhirRequest, repository: Repository, type: str) -> FhirResponse:
    """200 and the new version of the one match, or 201 if there is none.  Raises MultipleMatches (412)."""
    criteria = query_criteria(request, repository, type)
    resource = body_of(request, repository, type)
    stored, created = repository.update_matching(
        type, criteria, resource, if_match=request.headers.get("if-match"), new_id=request.new_id
    )
    return written(request, repository, stored, created, located=True)
