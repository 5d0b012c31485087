"""The patch interaction: JSON Patch and FHIRPath Patch, by id and conditional.  R4: http.html#patch, fhirpatch.html"""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Callable
from typing import Any

from fhir_server.fhir import patch as patches
from fhir_server.fhir.http import JSON_PATCH, JSON_TYPES, XML_TYPES, FhirRequest, FhirResponse
from fhir_server.fhir.outcome import BadRequest, UnsupportedMediaType
from fhir_server.fhir.results import refuse_unknown
from fhir_server.interactions.answers import query_criteria, written
from fhir_server.repository import Criteria, Repository

Resource = dict[str, Any]


def patch(request: FhirRequest, repository: Repository, type: str, id: str) -> FhirResponse:
    """200 and the new version.  Raises Unprocessable (422) if the patch does not apply, and changes nothing."""
    refuse_unknown(request.query)
    return _patch(request, repository, type, id)


def conditional_patch(request: FhirRequest, repository: Repository, type: str) -> FhirResponse:
    """200 and the new version of the one match.  Raises NotFound (404), MultipleMatches (412)."""
    return _patch(request, repository, type, query_criteria(request, repository, type))


def _patch(request: FhirRequest, repository: Repository, type: str, target: str | Criteria) -> FhirResponse:
    change = _change(request)

    def checked(resource: Resource) -> Resource:
        changed = change(resource)
        repository.check(changed)
        return changed

    stored = repository.patch(type, target, checked, if_match=request.headers.get("if-match"))
    return written(request, repository, stored, False)


def _change(request: FhirRequest) -> Callable[[Resource], Resource]:
    """What the body does to a resource.  In a Bundle a JSON Patch comes in a Binary.  R4: http.html#patch"""
    if request.content_type == JSON_PATCH:
        return _json_patch(request.body)
    if not request.in_bundle and request.content_type not in JSON_TYPES | XML_TYPES:
        raise UnsupportedMediaType(
            f"`{request.content_type}` is not a patch that is read here; send {JSON_PATCH}, or a Parameters resource.",
            headers={"Accept-Patch": f"{JSON_PATCH}, application/fhir+json, application/fhir+xml"},
        )
    sent = request.parsed()
    match sent.get("resourceType"):
        case "Parameters":
            return lambda resource: patches.fhirpath_patch(resource, sent)
        case "Binary" if sent.get("contentType") == JSON_PATCH:
            try:
                return _json_patch(b64decode(sent.get("data", "")))
            except (Base64Error, TypeError):
                raise BadRequest("The data of the Binary are not base64.", "Binary.data") from None
    if request.in_bundle:
        raise BadRequest(f"A patch in a Bundle is a Parameters resource, or a Binary of {JSON_PATCH}.")
    raise BadRequest(
        f"As `{request.content_type}` a patch is a Parameters resource; an array of JSON Patch is sent as {JSON_PATCH}."
    )


def _json_patch(body: bytes) -> Callable[[Resource], Resource]:
    operations = patches.parse_json_patch(body)
    return lambda resource: patches.json_patch(resource, operations)
