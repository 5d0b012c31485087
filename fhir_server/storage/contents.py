"""A Binary is judged by what has it as its content: the entries of these resources stand on it, under `documents`.

That is a DocumentReference mostly, else a resource with an attachment that leads there: a report, a message.  They are
put there, on each version of the Binary, by the transaction that writes the document, so that what hides the document
hides its content at once, in searches and histories, too.  A document that is deleted, or has other content by now, is
what its last content is still judged by: to be of no document would open it.  A content that comes later than what
names it is found by a DocumentReference alone, which can be searched by it; of another type its next version finds it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

from pymongo import UpdateMany, UpdateOne

from fhir_server.access.decision import ATTACHING
from fhir_server.fhir import json, references
from fhir_server.search.expression import EVERYTHING, Entry, Match
from fhir_server.search.types.uri import UriTest
from fhir_server.storage.documents import HISTORY, Stored, read_history
from fhir_server.storage.store import Unit

#: So many documents have the same content.
MOST_DOCUMENTS = 1_000


#: Whether a document is one that its content is judged by: (document, content) → whether it is.
Attaches: TypeAlias = Callable[[Stored, Stored], bool]


def follow(
    unit: Unit, written: Sequence[Stored], replaced: Sequence[Stored], *, base: str, attaches: Attaches
) -> tuple[str, ...]:
    """
    Put the documents that a transaction wrote on their contents, and those that are there on new contents: their ids.

    attaches: whoever names a Binary that is not theirs to see does not get at it by that.
    """
    entries: dict[str, dict[str, Entry]] = {}
    former: dict[str, dict[str, Entry]] = {}
    last = {one.reference: one for one in written}
    for one in replaced:
        for binary in _former(unit, one, last[one.reference], base):
            former.setdefault(binary, {})[one.reference] = _entry(last[one.reference])
    for one in last.values():
        for binary in _binaries(one, base):
            content = unit.read("Binary", binary)
            if content and attaches(one, content):
                entries.setdefault(binary, {})[one.reference] = _entry(one)
    for one in written:
        if one.type == "Binary" and one.version == 1:
            for document in _documents_of(unit, one.id, base):
                if attaches(document, one):
                    entries.setdefault(one.id, {}).setdefault(document.reference, _entry(document))
    if not entries and not former:
        return ()
    unit.flush()
    current: list[Any] = []
    history: list[Any] = []
    for binary in {**former, **entries}:
        change = _change(former.get(binary, {}), entries.get(binary, {}))
        current.append(UpdateOne({"_id": binary}, change))
        versions = {"_id": {"$gt": f"Binary/{binary}/", "$lt": f"Binary/{binary}0"}}
        history.append(UpdateMany(versions, change))
    unit.collection("Binary").bulk_write(current, session=unit.session)
    unit.collection(HISTORY).bulk_write(history, session=unit.session)
    unit.wrote = True
    return (*former, *entries)


def _change(former: dict[str, Entry], new: dict[str, Entry]) -> list[dict[str, Any]]:
    """
    The update that puts these documents on, and takes those off whose content it no longer is: but not the last ones.

    former: the documents that may stand there, as they are now; one that is left as the last is marked so.
    """
    there = {"$ifNull": ["$documents", []]}
    reference = {"$concat": ["$$this.type", "/", "$$this._id"]}
    as_it_was = _filtered(there, {"$not": [{"$in": [reference, {"$literal": [*former, *new]}]}]})
    still = _filtered(as_it_was, {"$ne": ["$$this.former", True]})
    kept = {"$concatArrays": [still, {"$literal": list(new.values())}]}
    as_now = {"$literal": [{**document, "former": True} for document in former.values()]}
    known = {"$map": {"input": there, "in": reference}}  # here `this` is one of those
    last = {"$concatArrays": [as_it_was, _filtered(as_now, {"$in": [reference, known]})]}
    return [{"$set": {"documents": {"$cond": [{"$eq": [kept, []]}, last, kept]}}}]


def _filtered(documents: Any, condition: dict[str, Any]) -> dict[str, Any]:
    return {"$filter": {"input": documents, "cond": condition}}


def _former(unit: Unit, replaced: Stored, last: Stored, base: str) -> Iterable[str]:
    """The ids of what was the content of a document; where its labels change, of all its versions."""
    if replaced.type not in ATTACHING:
        return ()
    versions = [replaced]
    if last.body is None or replaced.entry.get("labels") != last.entry.get("labels"):
        every = {"_id": {"$gt": f"{replaced.reference}/", "$lt": f"{replaced.reference}0"}}
        versions += map(read_history, unit.collection(HISTORY).find(every, session=unit.session))
    return dict.fromkeys(binary for version in versions for binary in _binaries(version, base))


def _binaries(stored: Stored, base: str) -> list[str]:
    """The ids of the Binaries that are the content of a document, or of an attachment."""
    if stored.type not in ATTACHING or stored.body is None or b"Binary/" not in stored.body:
        return []
    found: dict[str, None] = {}
    for one in references.walk_references(json.parse(stored.body)):
        asked = references.parse(one.value, base)
        if one.type == "url" and asked.local and asked.type == "Binary" and asked.id:
            found[asked.id] = None
    return list(found)


def _documents_of(unit: Unit, binary: str, base: str) -> Iterable[Stored]:
    """The documents whose content a Binary is that comes after them."""
    urls = UriTest((f"Binary/{binary}", f"{base}/Binary/{binary}"))
    where = Match("location", urls)
    return unit.find("DocumentReference", where, allowed=EVERYTHING, limit=MOST_DOCUMENTS, entries=True)


def _entry(stored: Stored) -> Entry:
    """What a document is judged by."""
    left_out = ("contained", "documents", "near")
    own = {"_id": stored.id, "type": stored.type}
    return {name: value for name, value in stored.entry.items() if name not in left_out} | own
