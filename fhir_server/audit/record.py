"""The record of a request: what the ledger keeps, in as few bytes as will do to make its AuditEvents of.

JSON, an object on a line:

    id, at          its id, and when, in milliseconds
    do, out, why    the interaction, how it ended (valueset-audit-event-outcome), and what it was refused for
    who             the actor, less what is not said: see `_who`
    on              [method, path, query, address, request id]
    of              [[[patient, other patients …], [`Type/id/_history/n`, …]], …]: the versions disclosed or written

A ledger keeps records of its own affairs beside these: `begin`, `end` and `heads`.  fhir_server/audit/follow.py
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

import orjson

from fhir_server.access import Actor
from fhir_server.storage.documents import Stored

#: R4 valueset-audit-event-outcome: success, minor failure (the client's), serious failure (ours).
SUCCESS, REFUSED, FAILED = "0", "4", "8"


@dataclass
class Trail:
    """What one request has disclosed so far, and how it came in."""

    interaction: str
    method: str
    path: str
    query: str = ""
    address: str | None = None
    request_id: str | None = None
    disclosed: dict[str, Stored] = field(default_factory=dict)
    recorded: bool = False

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


def _of(versions: dict[str, Stored]) -> list[tuple[list[str | None], list[str]]]:
    """The versions, those that stand together and are of the same patients in one."""
    found: list[tuple[list[str | None], list[str]]] = []
    last: tuple[str | None, Any] | None = None
    for reference, stored in versions.items():
        owner, others = stored.entry.get("owner"), stored.entry.get("others", ())
        if last != (owner, others):
            last = owner, others
            found.append(([owner, *others], []))
        found[-1][1].append(reference)
    return found


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
    return None if said is None else Actor(scopes=(), **said)


def _text(value: str | None) -> str | None:
    return None if value is None else value.encode("utf-8", "replace").decode()
