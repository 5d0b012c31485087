"""Observation/$lastn: the last observations of each code, of one patient.  R4: observation-operation-lastn.html

Any search parameter of Observation narrows what is looked at.  An observation was when its effective time begins, as
`_sort=-date` has it; one without comes behind all others.  Paged by `_count`.
"""

from __future__ import annotations

from fhir_server.fhir.bundle import bundle, search_entry
from fhir_server.fhir.http import FhirRequest, FhirResponse, query_text
from fhir_server.fhir.outcome import BadRequest
from fhir_server.fhir.results import FORMAT, SUBSET, count_of, served, single, subset_asked
from fhir_server.fhir.types import TYPES
from fhir_server.operations import places
from fhir_server.operations.parameters import query_of
from fhir_server.repository import Repository
from fhir_server.search.expression import Expression, InRecord, Match, all_of
from fhir_server.search.parser import RESULT_PARAMETERS
from fhir_server.search.query import Order
from fhir_server.search.recent import DATE, Last, Moment, in_order
from fhir_server.search.types import token
from fhir_server.search.types.id import IdTest
from fhir_server.storage.documents import Stored

#: The most that can be asked for of each code, and the largest page, which is also the one when none is asked for.
MOST = 1000

_ORDER = (Order(DATE, descending=True),)
_OF_THE_ANSWER = FORMAT | SUBSET | {"_count"}
_SUBJECT = ("patient", "subject")


def lastn(request: FhirRequest, repository: Repository, type: str) -> FhirResponse:
    """
    200 and a Bundle of type searchset, the most recent first.

    Raises BadRequest where no patient is named and the token is for none, and for what is not understood.
    """
    repository.decide("search-type", type)
    query = query_of(request, repository)
    applied = [pair for pair in query if pair[0] != "_cursor"]
    most, where = _max(applied), _where(repository, type, applied)
    count = count_of(applied, MOST, MOST)
    address = f"{request.base}/{request.path}"
    place = f"{request.path}?{query_text([pair for pair in applied if pair[0] not in FORMAT])}"
    cursor = single(query, "_cursor")
    after = places.read(repository.position(cursor, place)) if cursor is not None else None

    last = repository.last_of_each(type, where, most=most)
    more = [all_of(where, each) for each in last.more]
    links = {"self": f"{address}?{query_text(applied)}" if applied else address}
    total = len(last.moments) + sum(repository.count(type, each, exactly=True) or 0 for each in more)
    if count == 0 or single(applied, "_summary") == "count":
        return FhirResponse.of(200, bundle("searchset", links=links, total=total))
    page, goes_on = _page(repository, type, where, Last(last.moments, tuple(more)), count, after)
    repository.disclose(page)
    if page and goes_on:
        onward = repository.cursor(places.written(page[-1]), place)
        links["next"] = f"{address}?{query_text([*applied, ('_cursor', onward)])}"
    asked = subset_asked(applied)
    entries = [search_entry(f"{request.base}/{stored.reference}", served(stored.body, asked)) for stored in page]
    return FhirResponse.of(200, bundle("searchset", entries, links=links, total=total))


def _max(applied: list[tuple[str, str]]) -> int:
    """How many of each code are asked for, 1 unless it is said.  Raises BadRequest."""
    text = single(applied, "max")
    if text is None:
        return 1
    if not text.isascii() or not text.isdigit() or len(text) > 9 or not 1 <= int(text) <= MOST:
        raise BadRequest(f"`max={text}`: expected a whole number from 1 to {MOST}.")
    return int(text)


def _where(repository: Repository, type: str, applied: list[tuple[str, str]]) -> Expression:
    """What is looked at.  Raises BadRequest where it is not of one patient, for what is no search parameter."""
    reader = repository.reader()
    terms: list[Expression] = []
    for name, value in applied:
        if name in RESULT_PARAMETERS and name not in _OF_THE_ANSWER:
            takes = ", ".join(sorted(_OF_THE_ANSWER))
            raise BadRequest(
                f"`{name}` is not asked of $lastn, whose order is its own; of the answer it takes {takes}."
            )
        if name != "max" and name not in _OF_THE_ANSWER:
            terms.append(reader.term(type, name, value))
    if any(_names_subject(name, value) for name, value in applied):
        return all_of(*terms)
    if repository.actor.patient is None:
        raise BadRequest("Name the patient whose observations are asked for: `patient=[id]` or `subject=[reference]`.")
    return all_of(InRecord(repository.actor.patient), *terms)


def _names_subject(name: str, value: str) -> bool:
    """Whether the parameter names one patient, or one other subject: codes are not counted across several."""
    code, _, modifier = name.partition(":")
    return code in _SUBJECT and (not modifier or modifier in TYPES) and len(token.split(value, ",")) == 1


def _page(
    repository: Repository, type: str, where: Expression, last: Last, count: int, after: Moment | None
) -> tuple[list[Stored], bool]:
    """Up to `count` from behind the place `after` on, and whether there are more, as it was when they were counted."""
    behind = last.moments if after is None else _behind(last.moments, after)
    ids = frozenset(id for _, id in behind[: count + 1])
    found: dict[str, Stored] = {}
    searches = [(all_of(where, Match("_id", IdTest(ids))), None)] if ids else []
    for asked, start in [*searches, *((each, after) for each in last.more)]:
        part = repository.search(type, asked, limit=count + 1, order=_ORDER, after=start, served=False)
        found |= {stored.id: stored for stored in part}
    page = [found[id] for _, id in in_order(map(places.moment_of, found.values()))]
    return page[:count], len(page) > count or len(behind) > count


def _behind(moments: tuple[Moment, ...], after: Moment) -> tuple[Moment, ...]:
    """Those that come behind this one, which may be gone."""
    ordered = in_order({*moments, after})
    return tuple(ordered[ordered.index(after) + 1 :])
