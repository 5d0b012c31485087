"""DocumentReference/$docref: the documents of a patient, by the time of care and by type.

Those that are kept, and current; none is made on demand.  Asked for no time, the most recent of each type that is
named, or the most recent summary; without any summary, the most recent document.
IPA: OperationDefinition-docref.html, US Core: OperationDefinition-docref.html
"""

from __future__ import annotations

from dataclasses import dataclass

from fhir_server.fhir import dates
from fhir_server.fhir.bundle import bundle, search_entry
from fhir_server.fhir.http import FhirRequest, FhirResponse, query_text
from fhir_server.fhir.outcome import BadRequest
from fhir_server.fhir.results import FORMAT, count_of, refuse_unknown, served, single, subset_asked
from fhir_server.operations import places
from fhir_server.operations.parameters import Pairs, query_of
from fhir_server.repository import Repository
from fhir_server.search.expression import Expression, InRecord, all_of, any_of, none_of
from fhir_server.search.parser import Reader
from fhir_server.search.query import Order
from fhir_server.search.recent import in_order
from fhir_server.search.types import token
from fhir_server.storage.documents import Stored

#: The documents that sum a patient up.  LOINC; JDV-J07-XdsTypeCode-CISIS
SUMMARIES = ("http://loinc.org|60591-5", "http://loinc.org|34133-9")
KNOWN = ("patient", "start", "end", "type", "on-demand", "profile", "_count", "_cursor")
#: What the CapabilityStatement says beside its address, as the definition asks.
BEHAVIOUR = (
    "Answers with what is kept and current, of any type and profile; nothing is made on demand, nothing is included."
    " Of several types or profiles any will do. Without start and end: the most recent of each type that is named, or"
    " the most recent summary (LOINC 60591-5, 34133-9), or without any the most recent document."
)

_TYPE = "DocumentReference"
_ORDER = (Order("date", descending=True),)


def docref(request: FhirRequest, repository: Repository, type: str) -> FhirResponse:
    """
    200 and a Bundle of type searchset, the most recent first; an empty one where there is no such patient or document.

    Raises BadRequest where no patient is named and the token is for none, and for what is not understood.
    """
    repository.decide("search-type", type)
    query = query_of(request, repository)
    refuse_unknown(query, *KNOWN)
    applied = tuple(pair for pair in query if pair[0] != "_cursor")
    place = f"{request.path}?{query_text([pair for pair in applied if pair[0] not in FORMAT])}"
    found = _found(repository, applied, place, single(query, "_cursor"))
    repository.disclose(found.page)
    address = f"{request.base}/{request.path}"
    links = {"self": f"{address}?{query_text(applied)}" if applied else address}
    if found.onward:
        links["next"] = f"{address}?{query_text([*applied, ('_cursor', found.onward)])}"
    asked = subset_asked(applied)
    entries = [search_entry(f"{request.base}/{stored.reference}", served(stored.body, asked)) for stored in found.page]
    return FhirResponse.of(200, bundle("searchset", entries, links=links, total=found.total))


@dataclass(frozen=True)
class _Found:
    """What is answered, how many there are in all, and where it goes on."""

    page: list[Stored]
    total: int
    onward: str | None = None


def _found(repository: Repository, applied: Pairs, place: str, cursor: str | None) -> _Found:
    """What the parameters ask for.  Raises BadRequest."""
    where = _where(repository, applied)
    types = [each for name, text in applied if name == "type" for each in token.split(text, ",")]
    alternatives = [repository.reader().term(_TYPE, "type", each) for each in types]
    if _flag(applied, "on-demand"):
        return _Found([], 0)
    count = 0 if single(applied, "_summary") == "count" else count_of(applied, *repository.page_sizes)
    if single(applied, "start") is None and single(applied, "end") is None:
        recent = _most_recent(repository, where, alternatives)
        return _Found(recent if count else [], len(recent))
    where = all_of(where, *([any_of(*alternatives)] if types else []))
    if not count:
        return _Found([], repository.count(_TYPE, where, exactly=True) or 0)
    after = places.read(repository.position(cursor, place)) if cursor is not None else None
    found = repository.search(_TYPE, where, limit=count, order=_ORDER, after=after, beyond=True, served=False)
    if after is None and len(found) <= count:
        return _Found(found, len(found))
    onward = repository.cursor(places.written(found[count - 1]), place) if len(found) > count else None
    return _Found(found[:count], repository.count(_TYPE, where, exactly=True) or 0, onward)


def _where(repository: Repository, applied: Pairs) -> Expression:
    """The documents that are asked for, whatever their type.  Raises BadRequest."""
    reader = repository.reader()
    terms = [_of_patient(repository, reader, applied), reader.term(_TYPE, "status", "current")]
    terms += _in_time(reader, single(applied, "start"), single(applied, "end"))
    profiles = [reader.term(_TYPE, "_profile", text) for name, text in applied if name == "profile"]
    terms += [any_of(*profiles)] if profiles else []
    return all_of(*terms)


def _flag(applied: Pairs, name: str) -> bool:
    text = single(applied, name)
    if text not in (None, "true", "false"):
        raise BadRequest(f"`{name}={text}`: expected true or false.")
    return text == "true"


def _of_patient(repository: Repository, reader: Reader, applied: Pairs) -> Expression:
    patient = single(applied, "patient")
    if patient is not None and len(token.split(patient, ",")) == 1:
        return reader.term(_TYPE, "patient", patient)
    if patient is not None or repository.actor.patient is None:
        raise BadRequest("Name the one patient whose documents are asked for: `patient=[id]`.")
    return InRecord(repository.actor.patient)


def _in_time(reader: Reader, start: str | None, end: str | None) -> list[Expression]:
    """That the care was then; of what says no time of care, that the document is of then."""
    bounds = [f"{sign}{text}" for sign, text in (("ge", start), ("le", end)) if text is not None]
    if not bounds:
        return []
    for name, text in (("start", start), ("end", end)):
        try:
            dates.parse(text or "2000", reader.zone)
        except ValueError as error:
            raise BadRequest(f"`{name}={text}`: {error}.") from None
    unsaid = reader.term(_TYPE, "period:missing", "true")
    of_care = all_of(none_of(unsaid), *(reader.term(_TYPE, "period", each) for each in bounds))
    of_document = all_of(unsaid, *(reader.term(_TYPE, "date", each) for each in bounds))
    return [any_of(of_care, of_document)]


def _most_recent(repository: Repository, where: Expression, alternatives: list[Expression]) -> list[Stored]:
    """The most recent of each alternative; without any, of the summaries, or else of all."""

    def last(of: Expression) -> list[Stored]:
        return repository.search(_TYPE, all_of(where, of), limit=1, order=_ORDER, served=False)

    if not alternatives:
        summary = repository.reader().term(_TYPE, "type", ",".join(SUMMARIES))
        return last(summary) or last(none_of(summary))
    found = {stored.id: stored for each in alternatives for stored in last(each)}
    return [found[id] for _, id in in_order(map(places.moment_of, found.values()))]
