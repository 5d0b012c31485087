"""Bundles as values: built for an answer, read as a request.  R4: bundle.html, http.html#transaction"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fhir_server.fhir import references
from fhir_server.fhir.outcome import BadRequest, Issue

_STEP = {"DELETE": 0, "POST": 1, "PUT": 2, "PATCH": 2, "GET": 3, "HEAD": 3}
"""The step of a transaction in which each verb is done.  R4: http.html#trules, valueset-http-verb.html"""


@dataclass(frozen=True)
class Request:
    """Bundle.entry.request with the `index` of its entry: an interaction to be done.  R4: bundle.html#http"""

    index: int
    method: str
    url: str
    full_url: str | None = None
    resource: dict[str, Any] | None = None
    if_match: str | None = None
    if_none_match: str | None = None
    if_modified_since: str | None = None
    if_none_exist: str | None = None

    @property
    def expression(self) -> str:
        """FHIRPath of the entry."""
        return f"Bundle.entry[{self.index}]"


def bundle(
    type: str,
    entries: Iterable[dict[str, Any]] = (),
    *,
    links: Mapping[str, str] | None = None,
    total: int | None = None,
    **elements: Any,
) -> dict[str, Any]:
    """A Bundle of this type: `searchset`, `history`, `transaction-response`, `batch-response`, `collection`, ….

    `links` is url by relation (`self`, `next`, …); other elements (`id`, `meta`, `timestamp`) are given by name.
    What is empty is left out: FHIR has no empty lists.  R4: bundle.html#Bundle
    """
    built = {
        "resourceType": "Bundle",
        **elements,
        "type": type,
        "total": total,
        "link": [{"relation": relation, "url": url} for relation, url in (links or {}).items()],
        "entry": list(entries),
    }
    return {name: value for name, value in built.items() if value is not None and value != []}


def search_entry(full_url: str, resource: Any, mode: str = "match") -> dict[str, Any]:
    """An entry of a searchset; `mode` is match, include or outcome.  R4: search.html#entries"""
    return {"fullUrl": full_url, "resource": resource, "search": {"mode": mode}}


def outcome_entry(outcome: dict[str, Any]) -> dict[str, Any]:
    """The entry of a searchset that says something about the search itself.  R4: search.html#entries"""
    return {"resource": outcome, "search": {"mode": "outcome"}}


def history_entry(
    full_url: str, resource: Any, *, request: tuple[str, str], response: dict[str, Any]
) -> dict[str, Any]:
    """A version in a history: `request` is (method, url), and a deletion has no `resource`.  R4: http.html#history"""
    method, url = request
    entry = {"fullUrl": full_url, "resource": resource, "request": {"method": method, "url": url}, "response": response}
    return {name: value for name, value in entry.items() if value is not None}


def response_entry(
    response: dict[str, Any], resource: Any | None = None, full_url: str | None = None
) -> dict[str, Any]:
    """The answer to an entry of a batch or transaction.  R4: http.html#transaction-response"""
    entry = {"fullUrl": full_url, "resource": resource, "response": response}
    return {name: value for name, value in entry.items() if value is not None}


def response(
    status: str,
    *,
    location: str | None = None,
    etag: str | None = None,
    last_modified: str | None = None,
    outcome: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Bundle.entry.response: `status` as `201 Created`, `last_modified` a FHIR instant."""
    elements = {
        "status": status,
        "location": location,
        "etag": etag,
        "lastModified": last_modified,
        "outcome": outcome,
    }
    return {name: value for name, value in elements.items() if value is not None}


def entries_of(sent: dict[str, Any], *types: str) -> list[dict[str, Any]]:
    """The entries of a Bundle of one of these types.  Raises BadRequest for anything else."""
    if sent.get("resourceType") != "Bundle":
        raise BadRequest(f"Expected a Bundle of type {' or '.join(types)}, not `{sent.get('resourceType')}`.", "Bundle")
    if sent.get("type") not in types:
        raise BadRequest(f"A Bundle of type `{sent.get('type')}`; expected {' or '.join(types)}.", "Bundle.type")
    entries = sent.get("entry", [])
    if not isinstance(entries, list):
        raise BadRequest("Bundle.entry is a list.", "Bundle.entry")
    return entries


def read_request(entry: Any, index: int) -> Request:
    """The request of one entry of a batch or transaction.

    Raises BadRequest with the place when method or url are missing, or the method is not one of FHIR's (bdl-3).
    """
    place = f"Bundle.entry[{index}]"
    if not isinstance(entry, dict):
        raise BadRequest(f"{place} is not an object.", place)
    asked = entry.get("request")
    if not isinstance(asked, dict):
        raise BadRequest(f"{place} has no request; it needs a method and a url.", f"{place}.request")
    texts = ("method", "url", "ifMatch", "ifNoneMatch", "ifModifiedSince", "ifNoneExist")
    for name in texts:
        if not isinstance(asked.get(name, ""), str):
            raise BadRequest(f"{place}.request.{name} is a text.", f"{place}.request.{name}")
    method, url = asked.get("method"), asked.get("url")
    if not method or not url:
        missing = "url" if method else "method"
        raise BadRequest(f"{place}.request has no {missing}.", f"{place}.request.{missing}")
    if method not in _STEP:
        raise BadRequest(f"Unknown method `{method}`; known: {', '.join(_STEP)}.", f"{place}.request.method")
    for name, shape in (("resource", dict), ("fullUrl", str)):
        if not isinstance(entry.get(name, shape()), shape):
            raise BadRequest(f"{place}.{name} cannot be read.", f"{place}.{name}")
    if "resource" in entry and not isinstance(entry["resource"].get("resourceType"), str):
        raise BadRequest(f"{place}.resource does not say what it is.", f"{place}.resource.resourceType")
    conditions = [asked.get(name) for name in texts[2:]]
    return Request(index, method, url, entry.get("fullUrl"), entry.get("resource"), *conditions)


def entries_in_order(sent: dict[str, Any], base: str | None = None) -> list[Request]:
    """The requests of a transaction in the order in which they are done: DELETE, POST, PUT and PATCH, GET and HEAD.

    Within a step the order of the Bundle stays; `Request.index` is the place of the answer.  Raises BadRequest that
    lists all faults: entries that read_request refuses, full URLs given twice (bdl-7), and resources that two entries
    would change.  `base` is this server's own.  R4: http.html#trules
    """
    requests: list[Request] = []
    issues: list[Issue] = []
    for index, entry in enumerate(entries_of(sent, "transaction")):
        try:
            requests.append(read_request(entry, index))
        except BadRequest as error:
            issues.extend(error.issues)
    issues.extend(_repeated_full_urls(requests))
    issues.extend(_overlaps({request.index: _identity(request, base) for request in requests}))
    if issues:
        raise BadRequest.of(issues)
    return sorted(requests, key=lambda request: _STEP[request.method])


def refuse_overlap(identities: Mapping[int, str | None]) -> None:
    """Raises BadRequest if two entries (by index) change one resource (`Patient/1`); for resolved conditional ones.

    R4: http.html#trules: "If any resource identities overlap, then the transaction SHALL fail"
    """
    issues = _overlaps(identities)
    if issues:
        raise BadRequest.of(issues)


def _identity(request: Request, base: str | None) -> str | None:
    """`Type/id` of the resource that the request changes; None if it creates one, only reads, or is conditional."""
    if request.method not in ("DELETE", "PUT", "PATCH"):
        return None
    reference = references.parse(request.url.removeprefix("/"), base)
    return f"{reference.type}/{reference.id}" if reference.local else None


def _overlaps(identities: Mapping[int, str | None]) -> list[Issue]:
    entries: dict[str, list[int]] = defaultdict(list)
    for index, identity in identities.items():
        if identity is not None:
            entries[identity].append(index)
    return [
        _twice(f"`{identity}` is changed by more than one entry", indexes, "request.url")
        for identity, indexes in entries.items()
        if len(indexes) > 1
    ]


def _repeated_full_urls(requests: Iterable[Request]) -> list[Issue]:
    """bdl-7: a full URL once, or else with different versions."""
    entries: dict[tuple[str, Any], list[int]] = defaultdict(list)
    for request in requests:
        if request.full_url:
            meta = (request.resource or {}).get("meta")
            version = meta.get("versionId") if isinstance(meta, dict) else None
            entries[request.full_url, str(version)].append(request.index)
    return [
        _twice(f"The full URL `{full_url}` is given by more than one entry", indexes, "fullUrl")
        for (full_url, _), indexes in entries.items()
        if len(indexes) > 1
    ]


def _twice(what: str, indexes: list[int], element: str) -> Issue:
    places = [f"Bundle.entry[{index}]" for index in indexes]
    return Issue("invalid", f"{what}: {', '.join(places)}.", tuple(f"{place}.{element}" for place in places))
