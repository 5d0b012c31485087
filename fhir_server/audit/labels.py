"""AuditEvents follow what they name: what has come to be hidden since is not told by the record of its accesses.

Whoever hides a resource hides what was done with it before.  An AuditEvent that names nothing else gets its labels, and
loses them with it, in the transaction that changes them; of one that names more, what is hidden is left out when it is
served.  What was recorded stays as it is: the labels stand beside the bytes that are sealed.
rule A2, A4, A17
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from pymongo import UpdateOne

from fhir_server.access.decision import ATTACHING
from fhir_server.audit.follow import TYPE
from fhir_server.audit.record import KEPT_FROM_READERS
from fhir_server.fhir.labels import INVISIBLE_TO_REPRESENTATIVES
from fhir_server.search.expression import (
    EVERYTHING,
    NOTHING,
    And,
    Expression,
    InRecords,
    Match,
    Not,
    Or,
    ReferredBy,
    Refers,
    all_of,
    any_of,
    none_of,
)
from fhir_server.search.types.reference import ReferenceTest
from fhir_server.storage.choices import patients_of
from fhir_server.storage.documents import Stored
from fhir_server.storage.store import Unit

#: So many accesses of one resource are gone through in the transaction that hides it; of more, the latest stay as they
#: are, and what they name is left out when they are served.
MOST_ACCESSES = 5_000
_QUERY = "24"


def follow(unit: Unit, written: Sequence[Stored], replaced: Sequence[Stored], contents: Iterable[str]) -> None:
    """
    Label the AuditEvents of what a transaction has hidden, or shows again.

    contents: the Binaries, by id, that are judged by what was written.
    """
    before = {one.reference: _kept_from(one) for one in reversed(replaced)}
    last = {one.reference: one for one in written}
    changed = [one for one in last.values() if before.get(one.reference, _kept_from(one)) != _kept_from(one)]
    references = {one.reference: patients_of(one) for one in changed}
    attached = [one for one in last.values() if one.type in ATTACHING and (_kept_from(one) or one in changed)]
    if attached:
        whose = set().union(*map(patients_of, attached))
        references |= {f"Binary/{binary}": whose for binary in contents}
    events = {event.id: event for one in references.items() for event in _accesses(unit, *one)}
    if not events:
        return
    named = {reference for event in events.values() for reference in _named_by_key(event)}
    kept = {one.reference: one for one in unit.first_versions(named)}
    changes = [
        change
        for event in events.values()
        if (change := _change(event, [kept.get(reference) for reference in _named_by_key(event)]))
    ]
    if changes:
        unit.collection(TYPE).bulk_write(changes, session=unit.session)


def named(event: Mapping[str, Any]) -> set[str]:
    """`Type/id` of the resources that an AuditEvent names."""
    return {whole for entity in event.get("entity", ()) if (whole := _whole(entity))}


def without(event: Mapping[str, Any], hidden: frozenset[str]) -> dict[str, Any]:
    """
    The AuditEvent without these resources.

    Of what was asked for it says as much as tells nothing of them: not what they were searched by, nor their ids.
    """
    ids = [reference.partition("/")[2] for reference in hidden]
    left = [
        {**entity, "query": _cut(entity["query"], ids)} if entity.get("role", {}).get("code") == _QUERY else entity
        for entity in event.get("entity", ())
        if _whole(entity) not in hidden
    ]
    return {**event, "entity": left}


def asked(type: str, where: Expression) -> Iterator[str]:
    """`Type/id` of each resource that a search among AuditEvents asks for by name."""
    match where:
        case And(terms) | Or(terms):
            for term in terms:
                yield from asked(type, term)
        case Not(term):
            yield from asked(type, term)
        case Match("entity", ReferenceTest(targets)) if type == TYPE:
            yield from (target.partition("/_history/")[0] for target in targets)
        case Refers(type=other, term=term) | ReferredBy(type=other, term=term):
            yield from asked(other, term)


def blind(type: str, where: Expression, hidden: frozenset[str]) -> Expression:
    """The search as it is where nothing names these resources."""
    match where:
        case And(terms):
            return all_of(*(blind(type, term, hidden) for term in terms))
        case Or(terms):
            return any_of(*(blind(type, term, hidden) for term in terms))
        case Not(term):
            return none_of(blind(type, term, hidden))
        case Match("entity", ReferenceTest(targets)) if type == TYPE:
            left = frozenset(target for target in targets if target.partition("/_history/")[0] not in hidden)
            return Match("entity", ReferenceTest(left)) if left else NOTHING
        case Refers(source, code, other, term):
            return Refers(source, code, other, blind(other, term, hidden))
        case ReferredBy(target, other, code, term):
            return ReferredBy(target, other, code, blind(other, term, hidden))
    return where


def _accesses(unit: Unit, reference: str, patients: set[str]) -> list[Stored]:
    where = all_of(InRecords(frozenset(patients)), Match("entity", ReferenceTest(frozenset({reference}))))
    return unit.find(TYPE, where, allowed=EVERYTHING, limit=MOST_ACCESSES, entries=True)


def _change(event: Stored, of: list[Stored | None]) -> UpdateOne | None:
    """What an AuditEvent becomes that names these: it is kept from whom all of it is kept from."""
    had = frozenset(event.entry.get("labels", ()))
    common = frozenset.intersection(*(_kept_from(one) if one else frozenset() for one in of))
    # What was done in a secret session is a secret, whatever became of it: rule A15.
    labels = common | (had & {INVISIBLE_TO_REPRESENTATIVES})
    if labels == had:
        return None
    if not labels:
        return UpdateOne({"_id": event.id}, {"$unset": {"labels": ""}})
    since = [moment for one in of if one and (moment := _deposited(one))]
    deposited = {"deposited": min(since)} if since else {}
    return UpdateOne({"_id": event.id}, {"$set": {"labels": sorted(labels), **deposited}})


def _named_by_key(event: Stored) -> set[str]:
    """As `named`, of an AuditEvent that has come with its index entry alone."""
    keys = (key.removeprefix("entity=") for key in event.entry.get("keys", ()) if key.startswith("entity="))
    return {key.partition("/_history/")[0] for key in keys}


def _kept_from(stored: Stored) -> frozenset[str]:
    """The labels that keep a resource, or a content's documents, from who reads the record of accesses."""
    held = [stored.entry, *stored.entry.get("documents", ())]
    return frozenset(label for one in held for label in one.get("labels", ())) & KEPT_FROM_READERS


def _deposited(stored: Stored) -> datetime | None:
    held = [stored.entry, *stored.entry.get("documents", ())]
    return max((one["deposited"] for one in held if "deposited" in one), default=None)


def _cut(query: str, ids: list[str]) -> str:
    """`METHOD /path`, of the path no more than its beginning if it names one of these."""
    asked = b64decode(query).decode("utf-8", "replace").partition("?")[0]
    method, _, path = asked.partition(" ")
    if any(id in path for id in ids):
        path = "/" + path.strip("/").partition("/")[0]
    return b64encode(f"{method} {path}".encode()).decode()


def _whole(entity: Mapping[str, Any]) -> str:
    return str(entity.get("what", {}).get("reference", "")).partition("/_history/")[0]
