"""Batch and transaction.  R4: http.html#transaction

An entry goes through the same router as a request from the wire; what `dispatch` is, is handed in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

import orjson

from fhir_server.fhir import bundle, dates, json, references
from fhir_server.fhir.bundle import Request
from fhir_server.fhir.dates import instant
from fhir_server.fhir.http import FhirRequest, FhirResponse, http_date, query_of
from fhir_server.fhir.outcome import BadRequest, FhirError, Issue, PreconditionFailed, TooLarge, Unprocessable
from fhir_server.fhir.results import refuse_unknown
from fhir_server.interactions.answers import criteria_of
from fhir_server.repository import Repository
from fhir_server.search.expression import Entry
from fhir_server.search.index import entry as index_entry
from fhir_server.search.matcher import matches
from fhir_server.validation import elements, structure

Dispatch = Callable[[FhirRequest, Repository], FhirResponse]
#: What a failure that nobody foresaw is turned into, its text kept for the log.
Unforeseen = Callable[[Exception], FhirError]


def batch_or_transaction(
    request: FhirRequest, repository: Repository, dispatch: Dispatch, unforeseen: Unforeseen, *, max_entries: int
) -> FhirResponse:
    """200 and the answers, in the order of the entries.  Raises what the failing entry of a transaction raises."""
    refuse_unknown(request.query)
    if request.in_bundle:
        raise BadRequest("A batch or transaction cannot be an entry of another.")
    sent = request.parsed()
    entries = bundle.entries_of(sent, "batch", "transaction")
    if len(entries) > max_entries:
        raise TooLarge(f"{len(entries)} entries; at most {max_entries} can be sent in one Bundle.", "Bundle.entry")
    faults = elements.faults({name: value for name, value in sent.items() if name != "entry"})
    if faults:
        raise BadRequest.of(faults)
    if sent["type"] == "batch":
        answers = [_batch_entry(request, repository, dispatch, unforeseen, entry, i) for i, entry in enumerate(entries)]
        return FhirResponse.of(200, bundle.bundle("batch-response", answers))

    def run(inside: Repository) -> list[dict[str, Any]]:
        return _Transaction(request, inside, dispatch).run(ordered)

    ordered = bundle.entries_in_order(sent, request.base)
    faults = [fault for index, entry in enumerate(entries) for fault in _faults_around(entry, index)]
    if faults:
        raise BadRequest.of(faults)
    _refuse_faulty(ordered, repository)
    answers = repository.transaction(run)
    return FhirResponse.of(200, bundle.bundle("transaction-response", answers))


def _batch_entry(
    request: FhirRequest,
    repository: Repository,
    dispatch: Dispatch,
    unforeseen: Unforeseen,
    entry: dict[str, Any],
    index: int,
) -> dict[str, Any]:
    """Run one entry by itself; its failure leaves the others alone, and has an audit record of its own."""
    try:
        read = bundle.read_request(entry, index)
        faults = _faults_around(entry, index)
        if faults:
            raise BadRequest.of(faults)
        asked = _as_request(request, read)
        return _answer(asked, dispatch(asked, repository))
    except FhirError as error:
        return _failure(repository, error)
    except Exception as error:
        return _failure(repository, unforeseen(error))


def _faults_around(entry: dict[str, Any], index: int) -> list[Issue]:
    """What is wrong with an entry around its resource, which is checked when it is written: names nobody knows."""
    frame = {name: value for name, value in entry.items() if name != "resource"}
    found = elements.faults({"resourceType": "Bundle", "type": "batch", "entry": [frame]})
    first, here = "Bundle.entry[0]", f"Bundle.entry[{index}]"
    return [
        replace(issue, expression=tuple(place.replace(first, here, 1) for place in issue.expression)) for issue in found
    ]


def _failure(repository: Repository, error: FhirError) -> dict[str, Any]:
    repository.record(error)
    return bundle.response_entry(bundle.response(_status(error.status), outcome=error.outcome()))


def _refuse_faulty(requests: list[Request], repository: Repository) -> None:
    """
    Raises Unprocessable with the faults of all resources that are to be written, before anything is.

    Each is checked once more when it is written, as its references then are those of the store.
    """
    issues: list[Issue] = []
    for entry in sorted(requests, key=lambda entry: entry.index):
        faults = repository.faults(entry.resource) if entry.method in ("POST", "PUT") and entry.resource else []
        issues += _at(Unprocessable.of(faults), entry).issues if faults else []
    if issues:
        raise Unprocessable.of(issues)


class _Transaction:
    """One run of a transaction; another run starts afresh."""

    def __init__(self, request: FhirRequest, inside: Repository, dispatch: Dispatch):
        self._request = request
        self._inside = inside
        self._dispatch = dispatch
        self._base = request.base
        # What the first entry of each condition is to make: the next under the same condition finds it.
        self._promised: dict[str, str] = {}
        self._entries: dict[int, Entry | None] = {}

    def run(self, ordered: list[Request]) -> list[dict[str, Any]]:
        """The answers by the place of their entries; every write done, or the failure of one raised."""
        answers: dict[int, dict[str, Any]] = {}
        # Deletes go first, and what they take away is no match for the conditions of the rest.  R4: http.html#trules
        deletes = [entry for entry in ordered if entry.method == "DELETE"]
        rest = [entry for entry in ordered if entry.method != "DELETE"]
        identities = {entry.index: self._identity(entry) for entry in deletes}
        for entry in deletes:
            answers[entry.index] = self._done(entry, entry.resource, identities[entry.index])
        identities |= {entry.index: self._identity(entry) for entry in rest}
        changed = {e.index: identities[e.index] for e in ordered if e.method in ("PUT", "PATCH", "DELETE")}
        bundle.refuse_overlap(changed)
        moved = {
            entry.full_url: identity
            for entry in ordered
            if entry.full_url and (identity := identities[entry.index]) and entry.full_url != f"{self._base}/{identity}"
        }
        resources = {entry.index: self._resolved(entry, rest, identities, moved) for entry in rest}
        for entry in rest:
            answers[entry.index] = self._done(entry, resources[entry.index], identities[entry.index])
        return [answers[index] for index in sorted(answers)]

    def _done(self, entry: Request, resource: dict[str, Any] | None, identity: str | None) -> dict[str, Any]:
        """The answer to one entry, which is done."""
        try:
            asked = _as_request(self._request, entry, resource, identity)
            response = self._dispatch(asked, self._inside)
            location = response.headers.get("Location")
            if identity and location and not location.startswith(f"{self._base}/{identity}/"):
                raise BadRequest(
                    "The condition finds what another entry of this transaction makes; let both have the same.",
                    f"{entry.expression}.request",
                )
            return _answer(asked, response)
        except FhirError as error:
            raise _at(error, entry) from error

    def _identity(self, entry: Request) -> str | None:
        """`Type/id` of what the entry creates or changes; None if it changes nothing that is known yet."""
        path, _, query = entry.url.removeprefix(self._base).strip("/").partition("?")
        type, _, id = path.partition("/")
        try:
            if entry.method == "POST" and path == type and entry.resource is not None:
                new = self._inside.new_id()
                return f"{type}/{new}" if entry.if_none_exist is None else self._found(type, entry.if_none_exist, new)
            if entry.method in ("PUT", "PATCH", "DELETE"):
                if id:
                    return path
                new = (entry.resource or {}).get("id") or self._inside.new_id()
                return self._found(type, query, new if entry.method == "PUT" else None)
        except FhirError as error:
            raise _at(error, entry) from error
        return None

    def _found(self, type: str, text: str, new: str | None) -> str | None:
        """What is the one match of these criteria, or will be when it is made under the id `new`."""
        criteria = criteria_of(self._inside, type, text)
        asked = f"{type}?{criteria.text}"
        if asked not in self._promised:
            match = self._inside.match(type, criteria)
            if match:
                return match.reference
            if new is None:
                return None
            self._promised[asked] = f"{type}/{new}"
        return self._promised[asked]

    def _resolved(
        self, entry: Request, ordered: list[Request], identities: dict[int, str | None], moved: dict[str, str]
    ) -> dict[str, Any] | None:
        """The entry's resource with every reference to another entry, and every conditional one, rewritten."""
        if entry.resource is None:
            return None
        wanted = dict(moved)
        # A conditional reference has a question mark; most resources have none anywhere.
        conditional = b"?" in json.dumps(entry.resource)
        for found in references.walk_references(entry.resource) if conditional else ():
            asked = references.parse(found.value, self._base)
            if found.type == "Reference" and asked.query is not None and asked.type is not None:
                wanted[found.value] = self._conditional(entry, found, asked.type, asked.query, ordered, identities)
        if not wanted:
            return entry.resource
        return references.rewrite(entry.resource, wanted, references.service_root(entry.full_url or ""))

    def _conditional(
        self,
        entry: Request,
        found: references.Found,
        type: str,
        query: str,
        ordered: list[Request],
        identities: dict[int, str | None],
    ) -> str:
        """What a reference like `Patient?identifier=…` is to: the one match here, or in the Bundle itself."""
        place = f"{entry.expression}.resource.{found.expression.partition('.')[2]}"
        try:
            criteria = criteria_of(self._inside, type, unquote(query) if "%" in query else query)
            match = self._inside.match(type, criteria)
        except FhirError as error:
            raise _at(error, entry) from error
        new = {match.reference} if match else set()
        for other in ordered:
            identity = identities[other.index]
            if other.method in ("POST", "PUT") and identity and identity.startswith(f"{type}/") and other.resource:
                kept = self._entry(other, identity)
                if kept and "_lastUpdated" not in query and matches(criteria.where, kept):
                    new.add(identity)
        if len(new) == 1:
            return new.pop()
        many = "more than one resource matches" if new else "nothing matches"
        raise PreconditionFailed(f"`{found.value}` cannot be resolved: {many}.", place)

    def _entry(self, other: Request, identity: str) -> Entry | None:
        """The index entry of what another entry writes; None if it is faulty, for which the transaction will fail."""
        if other.index not in self._entries:
            type, _, id = identity.partition("/")
            resource = {**(other.resource or {}), "id": id}
            faulty = resource.get("resourceType") != type or structure.faults(resource)
            self._entries[other.index] = None if faulty else {"_id": id, **index_entry(type, resource)}
        return self._entries[other.index]


def _as_request(
    request: FhirRequest, entry: Request, resource: dict[str, Any] | None = None, identity: str | None = None
) -> FhirRequest:
    """The entry as a request of its own."""
    path, _, query = entry.url.removeprefix(request.base).partition("?")
    headers = {":bundle": "entry"}
    for name in ("prefer", "accept"):
        if name in request.headers:
            headers[name] = request.headers[name]
    conditions = {
        "if-match": entry.if_match,
        "if-none-match": entry.if_none_match,
        # An instant, where a header has a date of HTTP's.
        "if-modified-since": http_date(dates.parse(since).low) if (since := entry.if_modified_since) else None,
        "if-none-exist": entry.if_none_exist,
    }
    headers |= {name: value for name, value in conditions.items() if value is not None}
    return FhirRequest(
        method=entry.method,
        path=path.strip("/"),
        base=request.base,
        query=query_of(query),
        headers=headers,
        resource=resource if resource is not None else entry.resource,
        new_id=identity.partition("/")[2] if identity else None,
    )


def _answer(asked: FhirRequest, response: FhirResponse) -> dict[str, Any]:
    """What came of an entry.  R4: http.html#transaction-response"""
    resource = orjson.Fragment(response.body) if response.body is not None and asked.method != "HEAD" else None
    outcome: Any = None
    if resource is not None and asked.method not in ("GET", "HEAD") and asked.prefer("return") == "OperationOutcome":
        outcome, resource = resource, None
    return bundle.response_entry(
        bundle.response(
            _status(response.status),
            location=response.headers.get("Location"),
            etag=response.headers.get("ETag"),
            last_modified=instant(response.updated) if response.updated else None,
            outcome=outcome,
        ),
        resource,
    )


def _status(code: int) -> str:
    return f"{code} {HTTPStatus(code).phrase}"


def _at(error: FhirError, entry: Request) -> FhirError:
    """The error, its places told from the Bundle on."""
    issues = tuple(
        Issue(
            issue.code,
            f"{entry.expression} ({entry.method} {entry.url}): {issue.diagnostics}",
            tuple(_inside(entry, place) for place in issue.expression) or (entry.expression,),
            issue.severity,
        )
        for issue in error.issues
    )
    located = type(error)(str(error), issues=issues)
    located.headers = error.headers
    return located


def _inside(entry: Request, place: str) -> str:
    if place.startswith("Bundle.entry"):
        return place
    head, _, rest = place.partition(".")
    return f"{entry.expression}.resource.{rest}" if rest else f"{entry.expression}.resource"
