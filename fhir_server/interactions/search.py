"""The search interactions: within a type, a patient's compartment, or across types.  R4: search.html, http.html#search

Strict: what is not understood is a 400 that lists what is.  `Prefer: handling=lenient` drops it instead; the self
link then shows what was applied, and an outcome entry says what was not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fhir_server.fhir import json
from fhir_server.fhir.bundle import bundle, outcome_entry, search_entry
from fhir_server.fhir.http import FhirRequest, FhirResponse, query_text
from fhir_server.fhir.outcome import BadRequest, Forbidden, Issue, NotFound, operation_outcome
from fhir_server.fhir.results import FORMAT, Subset, count_of, served, single, subset_asked
from fhir_server.fhir.types import TYPES
from fhir_server.fhir.words import meant
from fhir_server.interactions.include import included
from fhir_server.interactions.pages import Page, page, position, read_position
from fhir_server.repository import Repository
from fhir_server.search.compartment import compartment
from fhir_server.search.expression import EVERYTHING, Expression, OfTypes, Within, all_of, any_of, has_joins
from fhir_server.search.index import contained_entries, entry
from fhir_server.search.matcher import matches
from fhir_server.search.parser import RESULT_PARAMETERS, Reader, contains
from fhir_server.search.query import MOST_INCLUDES, TOTALS, Include, Order, include, orders
from fhir_server.storage.documents import Stored
from fhir_server.storage.store import Ahead


def search(request: FhirRequest, repository: Repository, type: str) -> FhirResponse:
    """Within a type: 200 and a Bundle of type searchset.  Raises BadRequest (400)."""
    repository.decide("search-type", type)
    return _search(request, repository, type, (type,), across=False)


def foresee(request: FhirRequest, repository: Repository, type: str) -> Ahead | None:
    """What `search` will ask for first, if that is the first page of a plain search."""
    if any(name in _NOT_PLAIN for name, _ in request.query):
        return None
    asked = _asked(request, repository, (type,), across=False)
    count = count_of(asked.applied, *repository.page_sizes)
    return repository.ahead(type, asked.wheres[type], count) if count else None


def search_system(request: FhirRequest, repository: Repository) -> FhirResponse:
    """Across the types that `_type` names, or all that the access token reaches.  R4: search.html#searchcontexts"""
    return _search(request, repository, "", _types(request, repository, tuple(TYPES)))


def search_compartment(request: FhirRequest, repository: Repository, id: str, type: str) -> FhirResponse:
    """What of a type, any for `*`, belongs to the compartment of Patient/`id`.  R4: compartmentdefinition.html"""
    known = tuple(one for one in TYPES if compartment(one))
    if type != "*" and type not in known:
        raise NotFound(f"{type} has no part in the compartment of a Patient; {', '.join(known)} have.")
    if type != "*":
        repository.decide("search-type", type)
    types = _types(request, repository, known) if type == "*" else (type,)
    reader = repository.reader()

    def within(one: str) -> Expression:
        return any_of(*(reader.term(one, code, f"Patient/{id}") for code in compartment(one)))

    return _search(request, repository, f"Patient/{id}/{type}", types, within, across=type == "*")


#: Parameters of searches that are not looked up ahead.
_NOT_PLAIN = frozenset({"_cursor", "_sort", "_contained", "_summary", "_maxresults"})


@dataclass
class _Asked:
    """A query, read; `across` types: `_type` may say of which."""

    types: tuple[str, ...]
    across: bool
    wheres: dict[str, Expression]
    applied: list[tuple[str, str]] = field(default_factory=list)
    dropped: list[Issue] = field(default_factory=list)
    orders: tuple[Order, ...] = ()
    includes: tuple[Include, ...] = ()


def _search(
    request: FhirRequest,
    repository: Repository,
    path: str,
    types: tuple[str, ...],
    within: Callable[[str], Expression] = lambda type: EVERYTHING,
    *,
    across: bool = True,
) -> FhirResponse:
    query = _query(request)
    asked = _asked(request, repository, types, within, across=across)
    count = count_of(asked.applied, *repository.page_sizes)
    total_asked = _one_of(asked, "_total", TOTALS)
    most = _whole_number(asked, "_maxresults")
    subset = subset_asked(asked.applied)
    wheres = _containers(asked, repository)
    if count == 0 or single(asked.applied, "_summary") == "count":
        counted = _at_most(_total(repository, wheres, exactly=True), most)
        links = _links(request, path, asked.applied)
        return FhirResponse.of(200, bundle("searchset", links=links, total=counted))

    def place() -> str:
        # The format of a page is not of the search: a form may name it, where the next link does not.
        return f"{path}?{query_text([pair for pair in asked.applied if pair[0] not in FORMAT])}"

    cursor = single(query, "_cursor")
    start = read_position(repository.position(cursor, place())) if cursor is not None else None
    found = page(repository, wheres, asked.orders, count, start, most)
    total: int | None = len(found.stored) if not found.after and not found.before else None
    if total is None and total_asked != "none":
        # Whoever asks for an estimate asks for a number: what is counted is one, too.
        total = _at_most(_total(repository, wheres, exactly=total_asked in ("accurate", "estimate")), most)
    if _is_of_contained(asked):
        entries = [one for stored in found.stored for one in _contained_entries(repository, asked, stored, subset)]
    else:
        entries = [
            search_entry(f"{request.base}/{stored.reference}", served(stored.body, subset)) for stored in found.stored
        ]
    for stored in included(repository, found.stored, asked.includes):
        entries.append(search_entry(f"{request.base}/{stored.reference}", served(stored.body, subset), "include"))
    if asked.dropped:
        entries.append(outcome_entry(operation_outcome(asked.dropped)))

    def onward(found: Page, back: bool) -> str:
        return repository.cursor(position(found, back=back), place())

    links = _links(request, path, asked.applied, found, onward)
    return FhirResponse.of(200, bundle("searchset", entries, links=links, total=total))


def _query(request: FhirRequest) -> tuple[tuple[str, str], ...]:
    return (*request.query, *request.form()) if request.method == "POST" else request.query


def _asked(
    request: FhirRequest,
    repository: Repository,
    types: tuple[str, ...],
    within: Callable[[str], Expression] = lambda type: EVERYTHING,
    *,
    across: bool,
) -> _Asked:
    """The query of the request, read once."""
    if "asked" not in request.memo:
        asked = _Asked(types, across, {type: within(type) for type in types})
        _read(repository.reader(), asked, _query(request), lenient=request.prefer("handling") == "lenient")
        request.memo["asked"] = asked
    found: _Asked = request.memo["asked"]
    return found


def _types(request: FhirRequest, repository: Repository, known: tuple[str, ...]) -> tuple[str, ...]:
    """The types that are searched: those of `_type`, or all those that the access token reaches."""
    given = single(_query(request), "_type")
    if given is not None:
        named = tuple(dict.fromkeys(given.split(",")))
        for type in named:
            if type not in known:
                raise BadRequest(
                    f"`_type={given}`: `{type}` is not a type that is kept here{meant(type, known)}; known: "
                    f"{', '.join(known)}."
                )
            repository.decide("search-type", type)
        return tuple(type for type in known if type in named)
    reached = []
    for type in known:
        try:
            repository.decide("search-type", type)
            reached.append(type)
        except Forbidden as error:
            refusal = error
    if not reached:
        raise refusal
    return tuple(reached)


def _read(reader: Reader, asked: _Asked, query: tuple[tuple[str, str], ...], *, lenient: bool) -> None:
    """Read the query, parameter by parameter.  Raises BadRequest for the first not understood, unless lenient."""
    for name, value in query:
        if name == "_cursor":
            continue
        try:
            _read_one(reader, asked, name, value)
        except BadRequest as error:
            if not lenient:
                raise
            asked.dropped += [Issue("not-supported", issue.diagnostics, severity="warning") for issue in error.issues]
        else:
            asked.applied.append((name, value))


def _read_one(reader: Reader, asked: _Asked, name: str, value: str) -> None:
    if name == "_sort":
        if asked.orders:
            raise BadRequest("`_sort` is given twice; its keys are parted by commas.")
        found = orders(asked.types, value)
        if len(asked.types) > 1 and any(order.code == "_id" for order in found):
            raise BadRequest("Several types cannot be sorted by `_id`; without `_sort` they come type by type, by id.")
        asked.orders = found
    elif name.partition(":")[0] in ("_include", "_revinclude"):
        includes = (*asked.includes, include(asked.types, name, value))
        if len(includes) > MOST_INCLUDES:
            raise BadRequest(f"At most {MOST_INCLUDES} includes are followed.")
        asked.includes = includes
    elif name == "_type":
        if not asked.across:
            raise BadRequest("`_type` is asked of a search across types; this one is within a type.")
    elif name not in RESULT_PARAMETERS:
        terms = {type: reader.term(type, name, value) for type in asked.types}
        asked.wheres = {type: all_of(where, terms[type]) for type, where in asked.wheres.items()}


def _one_of(asked: _Asked, name: str, known: tuple[str, ...]) -> str | None:
    value = single(asked.applied, name)
    if value is not None and value not in known:
        raise BadRequest(f"`{name}={value}`: known are {', '.join(known)}.")
    return value


def _whole_number(asked: _Asked, name: str) -> int | None:
    value = single(asked.applied, name)
    if value is None:
        return None
    if not value.isascii() or not value.isdigit() or not 0 < len(value) <= 9 or int(value) == 0:
        raise BadRequest(f"`{name}={value}`: expected a whole number from 1 on.")
    return int(value)


def _total(repository: Repository, wheres: dict[str, Expression], *, exactly: bool) -> int | None:
    """How many there are in all; None where that is more than are counted."""
    found = 0
    for type, where in wheres.items():
        counted = repository.count(type, where, exactly=exactly)
        if counted is None:
            return None
        found += counted
    return found


def _at_most(total: int | None, most: int | None) -> int | None:
    return total if total is None or most is None else min(total, most)


# --- contained resources


def _containers(asked: _Asked, repository: Repository) -> dict[str, Expression]:
    """What is searched, by type: with `_contained`, what holds a match.  R4: search.html#contained"""
    wanted = _one_of(asked, "_contained", ("false", "true", "both"))
    _one_of(asked, "_containedType", ("container", "contained"))
    if wanted in (None, "false"):
        return asked.wheres
    if len(asked.types) != 1:
        raise BadRequest("`_contained` takes a search within one type.")
    [(type, where)] = asked.wheres.items()
    if has_joins(where):
        raise BadRequest("`_contained` takes no chains: a contained resource is searched for by what it says itself.")
    holding = all_of(contains(type), Within("contained", all_of(OfTypes((type,)), where)))
    wheres = {}
    for container in TYPES:
        try:
            repository.decide("search-type", container)
        except Forbidden:
            continue
        wheres[container] = any_of(where, holding) if wanted == "both" and container == type else holding
    return wheres


def _is_of_contained(asked: _Asked) -> bool:
    """Whether the contained resources are served, and not what contains them."""
    wanted = single(asked.applied, "_contained") not in (None, "false")
    return wanted and single(asked.applied, "_containedType") == "contained"


def _contained_entries(
    repository: Repository, asked: _Asked, stored: Stored, subset: Subset | None
) -> list[dict[str, Any]]:
    """With `_containedType=contained`, the entries of what a match holds that matches, and of itself if it does."""
    url = f"{repository.base}/{stored.reference}"
    [(type, where)] = asked.wheres.items()
    resource = json.parse(stored.body or b"")
    base, zone = repository.base, repository.reader().zone
    found = []
    if stored.type == type and matches(where, {**stored.entry, **entry(type, resource, base=base, zone=zone)}):
        found.append(search_entry(url, served(stored.body, subset)))
    for held, its_entry in contained_entries(stored.type, resource, base=base, zone=zone):
        if its_entry["type"] == type and matches(where, its_entry):
            found.append(search_entry(f"{url}#{held.get('id')}", subset.of(held) if subset else held))
    return found


# --- links


def _links(
    request: FhirRequest,
    path: str,
    applied: list[tuple[str, str]],
    found: Page | None = None,
    onward: Callable[[Page, bool], str] | None = None,
) -> dict[str, str]:
    """The links of a page: what was applied, the first page, and those beside it.  R4: search.html#Paging"""
    address = f"{request.base}/{path}" if path else request.base
    kept = [pair for pair in applied if pair[0] not in FORMAT or pair in request.query]
    text = query_text(kept)
    here = f"{address}?{text}" if text else address
    links = {"self": here}
    if found is None or onward is None or not (found.after or found.before):
        return links
    links["first"] = here
    for relation, there, back in (("previous", found.before, True), ("next", found.after, False)):
        if there and found.stored:  # what was behind a link may be gone by the time it is followed
            links[relation] = f"{address}?{query_text([*kept, ('_cursor', onward(found, back))])}"
    return links
