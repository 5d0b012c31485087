"""A Binary is judged by the documents whose content it is: their entries stand on it, under `documents`.

They are put there, on each version of the Binary, by the transaction that writes the document, so that what hides the
document hides its content at once, in searches and histories, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

from pymongo import UpdateMany, UpdateOne

from fhir_server.fhir import json, references
from fhir_server.search.expression import EVERYTHING, Entry, Match
from fhir_server.search.types.uri import UriTest
from fhir_server.storage.documents import HISTORY, Stored
from fhir_server.storage.store import Unit

#: So many documents have the same content.
MOST_DOCUMENTS = 1_000


#: Whether a document is one that its content is judged by: (document, content) → whether it is.
Attaches: TypeAlias = Callable[[Stored, Stored], bool]


def follow(unit: Unit, written: Sequence[Stored], replaced: Sequence[Stored], *, base: str, attaches: Attaches) -> None:
    """
    Put the documents that a transaction wrote on their contents, and those that are there on new contents.

    attaches: whoever names a Binary that is not theirs to see does not get at it by that.
    """
    entries: dict[str, dict[str, Entry | None]] = {}
    for one in replaced:
        for binary in _binaries(one, base):
            entries.setdefault(binary, {})[one.id] = None
    for one in written:
        for binary in _binaries(one, base):
            content = unit.read("Binary", binary)
            if content and attaches(one, content):
                entries.setdefault(binary, {})[one.id] = _entry(one)
    for one in written:
        if one.type == "Binary" and one.version == 1:
            for document in _documents_of(unit, one.id, base):
                if attaches(document, one):
                    entries.setdefault(one.id, {}).setdefault(document.id, _entry(document))
    if not entries:
        return
    unit.flush()
    current: list[Any] = []
    history: list[Any] = []
    for binary, documents in entries.items():
        change = _change(documents)
        current.append(UpdateOne({"_id": binary}, change))
        versions = {"_id": {"$gt": f"Binary/{binary}/", "$lt": f"Binary/{binary}0"}}
        history.append(UpdateMany(versions, change))
    unit.collection("Binary").bulk_write(current, session=unit.session)
    unit.collection(HISTORY).bulk_write(history, session=unit.session)
    unit.wrote = True


def _change(documents: dict[str, Entry | None]) -> list[dict[str, Any]]:
    """The update that takes these documents off and puts those that have an entry on."""
    there = {"$ifNull": ["$documents", []]}
    rest = {"$filter": {"input": there, "cond": {"$not": [{"$in": ["$$this._id", sorted(documents)]}]}}}
    new = [found for found in documents.values() if found is not None]
    return [{"$set": {"documents": {"$concatArrays": [rest, {"$literal": new}]}}}]


def _binaries(stored: Stored, base: str) -> list[str]:
    """The ids of the Binaries that are the content of a document."""
    if stored.type != "DocumentReference" or stored.body is None:
        return []
    found: dict[str, None] = {}
    for content in json.parse(stored.body).get("content", ()):
        asked = references.parse(content.get("attachment", {}).get("url", ""), base)
        if asked.local and asked.type == "Binary" and asked.id:
            found[asked.id] = None
    return list(found)


def _documents_of(unit: Unit, binary: str, base: str) -> Iterable[Stored]:
    """The documents whose content a Binary is that comes after them."""
    urls = UriTest((f"Binary/{binary}", f"{base}/Binary/{binary}"))
    where = Match("location", urls)
    return unit.find("DocumentReference", where, allowed=EVERYTHING, limit=MOST_DOCUMENTS, entries=True)


def _entry(stored: Stored) -> Entry:
    """What a document is judged by."""
    left_out = ("contained", "documents", "near", "type")
    return {name: value for name, value in stored.entry.items() if name not in left_out} | {"_id": stored.id}
