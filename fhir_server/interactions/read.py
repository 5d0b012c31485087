"""The read and vread interactions.  R4: http.html#read, http.html#vread, http.html#cread"""

from __future__ import annotations

from fhir_server.fhir import json
from fhir_server.fhir.http import FhirRequest, FhirResponse, read_http_date
from fhir_server.fhir.results import refuse_unknown, subset_asked
from fhir_server.interactions.answers import headers_of
from fhir_server.repository import Repository
from fhir_server.storage.documents import Stored


def read(request: FhirRequest, repository: Repository, type: str, id: str) -> FhirResponse:
    """200 and the current version; 304 if the client has it.  Raises NotFound (404) or Gone (410)."""
    refuse_unknown(request.query)
    return _answer(request, repository.read(type, id))


def vread(request: FhirRequest, repository: Repository, type: str, id: str, version_id: str) -> FhirResponse:
    """200 and that version.  Raises NotFound (404), or Gone (410) for the version that a delete made."""
    refuse_unknown(request.query)
    return _answer(request, repository.vread(type, id, version_id))


def _answer(request: FhirRequest, stored: Stored) -> FhirResponse:
    headers = headers_of(stored)
    if _has_it(request, stored):
        return FhirResponse(304, None, headers, stored.updated)
    asked = subset_asked(request.query)
    body = stored.body or b""
    served = json.dumps(asked.of(json.parse(body))) if asked else body
    return FhirResponse(200, served, headers, stored.updated)


def _has_it(request: FhirRequest, stored: Stored) -> bool:
    """Whether the client's copy is this version; If-None-Match goes before If-Modified-Since.  RFC 9110 s. 13.2.2"""
    tags = request.headers.get("if-none-match")
    if tags is not None:
        return any(tag.strip().removeprefix("W/").strip('"') in ("*", str(stored.version)) for tag in tags.split(","))
    since = request.headers.get("if-modified-since")
    moment = read_http_date(since) if since else None
    return moment is not None and stored.updated.replace(microsecond=0) <= moment
