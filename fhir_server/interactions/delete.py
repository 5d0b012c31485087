"""The delete interaction, conditional too.  R4: http.html#delete, http.html#cdelete"""

from __future__ import annotations

from fhir_server.fhir.http import FhirRequest, FhirResponse
from fhir_server.fhir.results import refuse_unknown
from fhir_server.interactions.answers import query_criteria
from fhir_server.repository import Repository
from fhir_server.storage.documents import Stored


def delete(request: FhirRequest, repository: Repository, type: str, id: str) -> FhirResponse:
    """204, whether it was there or not: afterwards it is not."""
    refuse_unknown(request.query)
    return _done(repository.delete(type, id, if_match=request.headers.get("if-match")))


def conditional_delete(request: FhirRequest, repository: Repository, type: str) -> FhirResponse:
    """204, of at most one resource.  Raises MultipleMatches (412)."""
    criteria = query_criteria(request, repository, type)
    return _done(repository.delete_matching(type, criteria, if_match=request.headers.get("if-match")))


def _done(gone: Stored | None) -> FhirResponse:
    return FhirResponse(204, None, {"ETag": gone.etag} if gone else {})
