"""The create interaction, conditional too.  R4: http.html#create, http.html#ccreate"""

from __future__ import annotations

from fhir_server.fhir.http import FhirRequest, FhirResponse
from fhir_server.fhir.results import refuse_unknown
from fhir_server.interactions.answers import body_of, criteria_of, written
from fhir_server.repository import Repository


def create(request: FhirRequest, repository: Repository, type: str) -> FhirResponse:
    """201 and the new resource; 200 and the one that `If-None-Exist` finds.  Raises MultipleMatches (412)."""
    refuse_unknown(request.query)
    condition = request.headers.get("if-none-exist")
    criteria = criteria_of(repository, type, condition) if condition is not None else None
    resource = body_of(request, repository, type)
    stored, created = repository.create(type, resource, if_none_exist=criteria, id=request.new_id)
    return written(request, repository, stored, created, located=True)
