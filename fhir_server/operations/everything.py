"""Patient/[id]/$everything: the whole record, and the directory resources it names.

Paged by `_count`; a page holds resources of the record in the order of the types, and behind them, as includes, the
practitioners, organizations and other directory resources that they refer to.
R4: patient-operation-everything.html
"""

from __future__ import annotations

from collections.abc import Iterable

from fhir_server.fhir import json, references
from fhir_server.fhir.bundle import bundle, search_entry
from fhir_server.fhir.http import FhirRequest, FhirResponse, query_text
from fhir_server.fhir.outcome import BadRequest, Forbidden
from fhir_server.fhir.results import count_of, refuse_unknown, served, single, subset_asked
from fhir_server.fhir.types import TYPES
from fhir_server.operations.parameters import query_of
from fhir_server.repository import Repository
from fhir_server.search.expression import Expression, InRecord, all_of
from fhir_server.search.parameters import parameters
from fhir_server.storage.documents import Stored

#: The largest page, and the one when none is asked for.
MOST = 1000
KNOWN = ("_count", "_cursor", "_type", "_since", "start", "end")


def everything(request: FhirRequest, repository: Repository, type: str, id: str) -> FhirResponse:
    """200 and a Bundle of type searchset.  Raises NotFound (404), BadRequest (400)."""
    query = query_of(request, repository)
    refuse_unknown(query, *KNOWN)
    repository.open(id)
    count = count_of(query, MOST, MOST) or MOST
    wanted = _types(query)
    applied = [pair for pair in query if pair[0] != "_cursor"]
    place = f"{request.path}?{query_text(applied)}"
    cursor = single(query, "_cursor")
    first, last = (0, None) if cursor is None else repository.position(cursor, place)
    after = None if last is None else (last,)

    page: list[Stored] = []
    onward = None
    for index in range(first, len(wanted)):
        room = count - len(page)
        try:
            found = repository.search(
                wanted[index], _where(repository, wanted[index], id, query), limit=room, after=after, beyond=True
            )
        except Forbidden:  # the scopes leave this type out of the record
            found = []
        after = None
        page += found[:room]
        if len(found) > room:
            onward = [index, page[-1].id if room and found[:room] else None]
            break
    asked = subset_asked(query)
    entries = [search_entry(f"{request.base}/{stored.reference}", served(stored.body, asked)) for stored in page]
    for stored in _directory(repository, page, request.base):
        entries.append(search_entry(f"{request.base}/{stored.reference}", served(stored.body, asked), "include"))
    address = f"{request.base}/{request.path}"
    links = {"self": f"{address}?{query_text(query)}" if query else address}
    if onward:
        links["next"] = f"{address}?{query_text([*applied, ('_cursor', repository.cursor(onward, place))])}"
    return FhirResponse.of(200, bundle("searchset", entries, links=links))


def _where(repository: Repository, type: str, id: str, query: tuple[tuple[str, str], ...]) -> Expression:
    """The part of the record that is asked for: changed since, or of a time of care where the type has one."""
    reader = repository.reader()
    terms: list[Expression] = [InRecord(id)]
    since, start, end = (single(query, name) for name in ("_since", "start", "end"))
    if since is not None:
        terms.append(reader.term(type, "_lastUpdated", f"ge{since}"))
    if "date" in parameters(type) and type != "Patient":
        terms += [reader.term(type, "date", f"ge{start}")] if start is not None else []
        terms += [reader.term(type, "date", f"le{end}")] if end is not None else []
    return all_of(*terms)


def _types(query: tuple[tuple[str, str], ...]) -> list[str]:
    """The types of the record that are wanted, in the order of the table."""
    of_record = [type for type, row in TYPES.items() if row.patient and type != "AuditEvent"]
    named = [name for key, value in query if key == "_type" for name in value.split(",")]
    for name in named:
        if name not in TYPES:
            raise BadRequest(f"`_type={name}`: not a type that is kept here; known: {', '.join(of_record)}.")
    return [type for type in of_record if type in named] if named else of_record


def _directory(repository: Repository, page: Iterable[Stored], base: str) -> list[Stored]:
    """The directory resources that the page refers to."""
    wanted: dict[str, dict[str, None]] = {}
    for stored in page:
        for found in references.walk_references(json.parse(stored.body or b"")):
            asked = references.parse(found.value, base)
            if asked.local and asked.type in TYPES and TYPES[asked.type].directory and asked.id:
                wanted.setdefault(asked.type, {})[asked.id] = None
    return [stored for type, ids in wanted.items() for stored in repository.fetch(type, ids)]
