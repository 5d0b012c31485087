"""The record of a request: what the ledger keeps, in as few bytes as will do to make its AuditEvents of.

JSON, an object on a line:

    id, at          its id, and when, in milliseconds
    do, out, why    the interaction, how it ended (valueset-audit-event-outcome), and what it was refused for
    who             the actor, less what is not said: see `_who`
    on              [method, path, query, address, request id]
    of              [[[patient, other patients …], [`Type/id/_history/n`, …], kept], …]: the versions disclosed or
                    written; kept, where there is something to say: [labels, when it was deposited], by which the
                    record is kept from whom the resource is kept from

A ledger keeps records of its own affairs beside these: `begin`, `end` and `heads`.  fhir_server/audit/follow.py
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from datetime import datetime
from functools import lru_cache
from typing import Any

import orjson

from fhir_server.access import Actor
from fhir_server.fhir.labels import INVISIBLE_TO_PATIENT, INVISIBLE_TO_REPRESENTATIVES
from fhir_server.search.expression import Entry
from fhir_server.storage.documents import Stored

#: The labels by which a resource is kept from those who read the record of accesses.
KEPT_FROM_READERS = frozenset({INVISIBLE_TO_PATIENT, INVISIBLE_TO_REPRESENTATIVES})
#: R4 valueset-audit-event-outcome: success, minor failure (the client's), serious failure (ours).
SUCCESS, REFUSED, FAILED = "0", "4", "8"
_KNOWN = {one.name for one in fields(Actor)}


@dataclass
class Trail:
    """
    What one request has disclosed so far, and how it came in.

    about   the id of the patient whose record was asked about, though nothing in it may be disclosed
    """

    interaction: str
    method: str
    path: str
    query: str = ""
    address: str | None = None
    request_id: str | None = None
    disclosed: dict[str, Stored] = field(default_factory=dict)
    recorded: bool = False
    about: str | None = None

    def disclose(self, found: Iterable[Stored]) -> None:
        """Note that these versions leave the server."""
        for stored in found:
            self.disclosed[f"{stored.reference}/_history/{stored.version}"] = stored


@dataclass(frozen=True)
class Record:
    """What is recorded of one request, or of the writes in it."""

    id: str
    line: bytes


def event(
    trail: Trail,
    actor: Actor | None,
    *,
    id: str,
    now: datetime,
    interaction: str,
    versions: dict[str, Stored],
    patient: str | None = None,
    outcome: str = SUCCESS,
    description: str | None = None,
) -> Record:
    """
    The record of a request, or of the writes in it.

    versions    what was disclosed or written, each with whose record it is in
    patient     whose record it was about, where no version says so
    """
    said: dict[str, Any] = {"id": id, "at": round(now.timestamp() * 1000), "do": interaction}
    if outcome != SUCCESS:
        said["out"] = outcome
    if description:
        said["why"] = description
    if actor is not None:
        said["who"] = _who(actor)
    said["on"] = [trail.method, trail.path, trail.query, trail.address, trail.request_id]
    if versions:
        said["of"] = _of(versions)
    elif patient:
        said["of"] = [[[patient], []]]
    try:
        return Record(id, orjson.dumps(said))
    except TypeError:  # a lone surrogate, which is no text
        said["on"] = [_text(one) for one in said["on"]]
        said["why"] = _text(description)
        return Record(id, orjson.dumps(said))


def _of(versions: dict[str, Stored]) -> list[list[Any]]:
    """The versions, those that stand together, are of the same patients and are kept from the same in one."""
    found: list[list[Any]] = []
    last: Any = None
    for reference, stored in versions.items():
        said = stored.entry.get("owner"), stored.entry.get("others", ()), _kept_from(stored.entry)
        if last != said:
            last = owner, others, kept = said
            found.append([[owner, *others], [], *([kept] if kept else [])])
        found[-1][1].append(reference)
    return found


def _kept_from(entry: Entry) -> tuple[list[str], int] | None:
    """The labels that keep a resource, or its documents, from who reads the record of accesses; and since when."""
    if "labels" not in entry and "documents" not in entry:
        return None
    held = [entry, *entry.get("documents", ())]
    labels = sorted({label for one in held for label in one.get("labels", ())} & KEPT_FROM_READERS)
    deposited = [one["deposited"] for one in held if "deposited" in one]
    return (labels, round(max(deposited).timestamp() * 1000)) if labels and deposited else None


@lru_cache(maxsize=1024)
def _who(actor: Actor) -> orjson.Fragment:
    """The actor as records have it: once for all requests of a token."""
    said = {
        name: value
        for name, value in vars(actor).items()
        if value not in (None, False) and name != "scopes" and (name, value) != ("mode", "normal")
    }
    return orjson.Fragment(orjson.dumps(said))


def actor_of(said: dict[str, Any] | None) -> Actor | None:
    """The actor of a record."""
    return None if said is None else Actor(scopes=(), **{name: said[name] for name in said.keys() & _KNOWN})


def _text(value: str | None) -> str | None:
    return None if value is None else value.encode("utf-8", "replace").decode()
