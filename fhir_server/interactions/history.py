"""The history interactions: of an instance, a type, the system; newest first.  R4: http.html#history"""

from __future__ import annotations

from datetime import datetime

import orjson

from fhir_server.fhir import dates
from fhir_server.fhir.bundle import bundle, history_entry, response
from fhir_server.fhir.dates import instant
from fhir_server.fhir.http import FhirRequest, FhirResponse, query_text
from fhir_server.fhir.outcome import BadRequest
from fhir_server.fhir.results import count_of, refuse_unknown, served, single, subset_asked
from fhir_server.repository import Repository
from fhir_server.storage.documents import Stored, history_key

KNOWN = ("_count", "_since", "_at", "_cursor")


def history(
    request: FhirRequest, repository: Repository, type: str | None = None, id: str | None = None
) -> FhirResponse:
    """200 and a Bundle of type history.  Raises NotFound (404) for an instance that never was."""
    refuse_unknown(request.query, *KNOWN)
    count = count_of(request.query, *repository.page_sizes)
    since, at = single(request.query, "_since"), single(request.query, "_at")
    applied = [pair for pair in request.query if pair[0] != "_cursor"]
    cursor = single(request.query, "_cursor")
    place = f"{request.path}?{query_text(applied)}"
    position = None if cursor is None else repository.position(cursor, place)
    found, total = repository.history(
        type,
        id,
        limit=count,
        since=None if since is None else _interval(repository, "_since", since).low,
        at=None if at is None else _interval(repository, "_at", at),
        after=(datetime.fromisoformat(position[0]), position[1]) if position else None,
    )
    page, more = found[:count], len(found) > count and count > 0
    links = {"self": f"{request.base}/{request.path}" + (f"?{query_text(request.query)}" if request.query else "")}
    if more:
        last = page[-1]
        key = [last.updated.isoformat(), history_key(last.type, last.id, last.version)]
        onward = [*applied, ("_cursor", repository.cursor(key, place))]
        links["next"] = f"{request.base}/{request.path}?{query_text(onward)}"
    asked = subset_asked(request.query)
    entries = [_entry(request.base, stored, served(stored.body, asked) if stored.body else None) for stored in page]
    return FhirResponse.of(200, bundle("history", entries, links=links, total=total))


def _entry(base: str, stored: Stored, resource: orjson.Fragment | dict | None) -> dict:
    created = stored.method == "POST" or (stored.method == "PUT" and stored.version == 1)
    status = "204 No Content" if stored.body is None else "201 Created" if created else "200 OK"
    return history_entry(
        f"{base}/{stored.reference}",
        resource,
        request=(stored.method, stored.type if stored.method == "POST" else stored.reference),
        response=response(status, etag=stored.etag, last_modified=instant(stored.updated)),
    )


def _interval(repository: Repository, name: str, text: str) -> dates.Interval:
    try:
        return dates.parse(text, repository.reader().zone)
    except ValueError as error:
        raise BadRequest(f"`{name}={text}`: {error}.") from None
