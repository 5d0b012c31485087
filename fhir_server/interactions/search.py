"""The search interaction, within a type.  R4: search.html, http.html#search

Strict: what is not understood is a 400 that lists what is.  `Prefer: handling=lenient` drops it instead; the self
link then shows what was applied, and an outcome entry says what was not.
"""

from __future__ import annotations

from fhir_server.fhir.bundle import bundle, outcome_entry, search_entry
from fhir_server.fhir.http import FhirRequest, FhirResponse, query_text
from fhir_server.fhir.outcome import BadRequest, Issue, operation_outcome
from fhir_server.fhir.results import FORMAT, count_of, served, single, subset_asked
from fhir_server.repository import Repository
from fhir_server.search.expression import Expression, all_of
from fhir_server.search.parser import RESULT_PARAMETERS

_TOTALS = ("none", "estimate", "accurate")


def search(request: FhirRequest, repository: Repository, type: str) -> FhirResponse:
    """200 and a Bundle of type searchset.  Raises BadRequest (400)."""
    query = (*request.query, *request.form()) if request.method == "POST" else request.query
    lenient = request.prefer("handling") == "lenient"
    where, applied, dropped = _read(repository, type, query, lenient)
    count = count_of(applied, *repository.page_sizes)
    total_asked = single(applied, "_total")
    if total_asked is not None and total_asked not in _TOTALS:
        raise BadRequest(f"`_total={total_asked}`: known are {', '.join(_TOTALS)}.")
    asked = subset_asked(applied)
    if count == 0 or single(applied, "_summary") == "count":
        links = _links(request, type, applied, None)
        return FhirResponse.of(200, bundle("searchset", links=links, total=repository.count(type, where, exactly=True)))

    cursor = single(query, "_cursor")
    # The format of a page is not of the search: a form may name it, where the next link does not.
    place = f"{type}?{query_text([pair for pair in applied if pair[0] not in FORMAT])}"
    after = None if cursor is None else repository.position(cursor, place)
    found = repository.search(type, where, limit=count, after=after, beyond=True)
    page, more = found[:count], len(found) > count
    total = len(page) if not more and cursor is None else None
    if total is None and total_asked != "none":
        total = repository.count(type, where, exactly=total_asked == "accurate")
    onward = repository.cursor(page[-1].id, place) if more else None
    entries = [search_entry(f"{request.base}/{stored.reference}", served(stored.body, asked)) for stored in page]
    if dropped:
        entries.append(outcome_entry(operation_outcome(dropped)))
    return FhirResponse.of(200, bundle("searchset", entries, links=_links(request, type, applied, onward), total=total))


def _read(
    repository: Repository, type: str, query: tuple[tuple[str, str], ...], lenient: bool
) -> tuple[Expression, list[tuple[str, str]], list[Issue]]:
    """What is looked for, the parameters that were applied, and what was dropped of the rest."""
    reader = repository.reader()
    terms: list[Expression] = []
    applied: list[tuple[str, str]] = []
    dropped: list[Issue] = []
    for name, value in query:
        if name == "_cursor":
            continue
        if name in RESULT_PARAMETERS:
            applied.append((name, value))
            continue
        try:
            terms.append(reader.term(type, name, value))
        except BadRequest as error:
            if not lenient:
                raise
            dropped += [Issue("not-supported", issue.diagnostics, severity="warning") for issue in error.issues]
        else:
            applied.append((name, value))
    return all_of(*terms), applied, dropped


def _links(request: FhirRequest, type: str, applied: list[tuple[str, str]], cursor: str | None) -> dict[str, str]:
    """The links of a page: what was applied, the first page, and the next."""
    address = f"{request.base}/{type}"
    kept = [pair for pair in applied if pair[0] not in FORMAT or pair in request.query]
    text = query_text(kept)
    here = f"{address}?{text}" if text else address
    if cursor is None:
        return {"self": here}
    return {"self": here, "first": here, "next": f"{address}?{query_text([*kept, ('_cursor', cursor)])}"}
