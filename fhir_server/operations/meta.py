"""$meta, $meta-add and $meta-delete on a resource.  R4: resource-operation-meta.html and its neighbours

Tags, security labels and profiles come and go by a new version of the resource, so that the history says who did it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fhir_server.fhir import json
from fhir_server.fhir.http import FhirRequest, FhirResponse
from fhir_server.fhir.outcome import BadRequest
from fhir_server.fhir.results import refuse_unknown
from fhir_server.repository import Repository

Meta = dict[str, Any]
#: The parts of meta that are sets: they can be added to and taken from.
_SETS = ("profile", "security", "tag")


def meta(request: FhirRequest, repository: Repository, type: str, id: str) -> FhirResponse:
    """200 and Parameters with the resource's meta."""
    refuse_unknown(request.query)
    return _answer(json.parse(repository.read(type, id).body or b"")["meta"])


def add(request: FhirRequest, repository: Repository, type: str, id: str) -> FhirResponse:
    """200 and the meta with what was sent added; what is there already stays once.  Raises Unprocessable."""

    def added(there: list[Any], sent: list[Any]) -> list[Any]:
        known = [_identity(item) for item in there]
        return [*there, *(item for item in sent if _identity(item) not in known)]

    return _change(request, repository, type, id, added)


def delete(request: FhirRequest, repository: Repository, type: str, id: str) -> FhirResponse:
    """200 and the meta without what was sent; what is not there is no fault."""

    def removed(there: list[Any], sent: list[Any]) -> list[Any]:
        unwanted = [_identity(item) for item in sent]
        return [item for item in there if _identity(item) not in unwanted]

    return _change(request, repository, type, id, removed)


def _change(
    request: FhirRequest,
    repository: Repository,
    type: str,
    id: str,
    combine: Callable[[list[Any], list[Any]], list[Any]],
) -> FhirResponse:
    refuse_unknown(request.query)
    sent = _sent(request)
    repository.decide("read", type)  # the answer says what there is

    def changed(resource: dict[str, Any]) -> dict[str, Any]:
        there = dict(resource["meta"])
        for name in _SETS:
            if name in sent:
                there[name] = combine(there.get(name, []), sent[name])
        kept = {**resource, "meta": {name: value for name, value in there.items() if value != []}}
        repository.check(kept)
        return kept

    stored = repository.patch(type, id, changed, if_match=request.headers.get("if-match"))
    return _answer(json.parse(stored.body or b"")["meta"])


def _sent(request: FhirRequest) -> Meta:
    """The meta in the Parameters.  Raises BadRequest."""
    parameters = request.parsed()
    sent = parameters.get("parameter")
    found = [
        part["valueMeta"]
        for part in (sent if isinstance(sent, list) else ())
        if isinstance(part, dict) and part.get("name") == "meta" and isinstance(part.get("valueMeta"), dict)
    ]
    if parameters.get("resourceType") != "Parameters" or len(found) != 1:
        raise BadRequest("Expected Parameters with one parameter `meta`, a valueMeta.", "Parameters.parameter")
    for name in _SETS:
        if not isinstance(found[0].get(name, []), list):
            raise BadRequest(f"`{name}` is a list.", f"Parameters.parameter[0].value.{name}")
    return found[0]


def _identity(item: Any) -> Any:
    """What makes two members of a set the same: the canonical, or system and code."""
    return (item.get("system"), item.get("code")) if isinstance(item, dict) else item


def _answer(found: Meta) -> FhirResponse:
    return FhirResponse.of(200, {"resourceType": "Parameters", "parameter": [{"name": "return", "valueMeta": found}]})
