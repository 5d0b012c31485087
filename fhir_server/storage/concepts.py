"""The concepts of large code systems (LOINC, SNOMED CT, CIM-10): a document each, in the collection `_concepts`.

    _id          `system|version`, a line feed, the code
    of           `system|version`
    code, display, definition, language, designations, properties, parents, abstract, inactive
                 as fhir/terminology/concepts.py has them
    lineage      the code and all that stands above it: what is below a code is one query
    values       `name=value` of each property, as a filter asks for it
    words        the folded words of the names, as a picker's filter asks for them
    text         the same in one, for the further words of a filter: of several, the index is asked for the rarest

`loading/concepts.py` fills it; the CodeSystem resource itself is kept as any other, with `content` not-present.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from pymongo import IndexModel, ReplaceOne
from pymongo.collection import Collection
from pymongo.database import Database

from fhir_server.fhir.outcome import TooCostly
from fhir_server.fhir.terminology.concepts import Concept, Designation, Property, words_of
from fhir_server.fhir.terminology.conditions import Condition, holds
from fhir_server.fhir.terminology.systems import Resource, System
from fhir_server.storage.store import answering

CONCEPTS = "_concepts"
_INDEXES = {
    "code": (("of", 1), ("code", 1)),
    "lineage": (("of", 1), ("lineage", 1), ("code", 1)),
    "parents": (("of", 1), ("parents", 1), ("code", 1)),
    "values": (("of", 1), ("values", 1), ("code", 1)),
    "words": (("of", 1), ("words", 1), ("code", 1)),
}
#: So many concepts are looked at one by one, for what no index can say.
SCANNED = 20_000
_CODE = ("code", "concept")
_FLAGS = {"inactive": "inactive", "notSelectable": "abstract"}
#: An index key is short: of a longer value nothing is asked for.
_LONGEST_VALUE = 200
_MOST_WORDS = 200
_REMOVED_AT_ONCE = 1_000
_COUNTED = 500

Filter = dict[str, Any]


def prepare(database: Database) -> None:
    """Create the indexes that are not there yet."""
    known = set(database[CONCEPTS].index_information()) if CONCEPTS in database.list_collection_names() else set()
    models = [IndexModel(list(keys), name=name) for name, keys in _INDEXES.items() if name not in known]
    if models:
        # A mongod of ours has another address than when its set was made, and would wait for its own vote for ever.
        database[CONCEPTS].create_indexes(models, commitQuorum=0)


def identity(url: str, version: str | None) -> str:
    """What the concepts of one version of a system have in common."""
    return f"{url}|{version or ''}"


def write(database: Database, of: str, concepts: Iterable[tuple[Concept, Iterable[str]]]) -> tuple[int, int, int]:
    """
    (new, changed, unchanged) of concepts with all that stands above each, kept in place of what was there.

    Safe to run again: what is there already stays.
    """
    changes = [ReplaceOne({"_id": f"{of}\n{each.code}"}, document(of, each, above), True) for each, above in concepts]
    if not changes:
        return 0, 0, 0
    with answering():
        done = database[CONCEPTS].bulk_write(changes, ordered=False)
    return done.upserted_count, done.modified_count, done.matched_count - done.modified_count


def remove_others(database: Database, of: str, kept: Container[str]) -> int:
    """How many concepts were removed: those whose code is not among `kept`."""
    gone: list[str] = []
    removed = 0
    with answering():
        for found in database[CONCEPTS].find({"of": of}, {"code": 1}):
            if found["code"] not in kept:
                gone.append(found["_id"])
        for start in range(0, len(gone), _REMOVED_AT_ONCE):
            removed += (
                database[CONCEPTS].delete_many({"_id": {"$in": gone[start : start + _REMOVED_AT_ONCE]}}).deleted_count
            )
    return removed


def document(of: str, concept: Concept, above: Iterable[str]) -> dict[str, Any]:
    """What is kept of a concept."""
    values = [f"{each.code}={each.text}" for each in concept.properties if len(each.text) <= _LONGEST_VALUE]
    known = words_of(concept)[:_MOST_WORDS]
    found = {
        "_id": f"{of}\n{concept.code}",
        "of": of,
        "code": concept.code,
        "display": concept.display,
        "definition": concept.definition,
        "designations": [each.as_json() for each in concept.designations],
        "properties": [[each.code, each.type, _kept(each)] for each in concept.properties],
        "parents": list(concept.parents),
        "lineage": [concept.code, *sorted(set(above) - {concept.code})],
        "values": list(dict.fromkeys(values)),
        "words": known,
        "text": " ".join(known),
        "abstract": concept.abstract,
        "inactive": concept.inactive,
    }
    return {name: value for name, value in found.items() if value not in (None, [])}


def _kept(each: Property) -> Any:
    """A decimal as its digits: MongoDB has none that keeps them."""
    return each.text if each.type == "valueDecimal" else each.value


class StoredSystem:
    """
    One version of a code system, asked in the store.

    names: the same system as it is carried, for the names that it adds.
    """

    def __init__(self, database: Database, about: Resource, timeout_ms: int, names: System | None = None):
        self.about = about
        self.url: str = about.get("url", "")
        self.version: str | None = about.get("version")
        self._collection: Collection = database[CONCEPTS]
        self._of = identity(self.url, self.version)
        self._timeout = timeout_ms
        self._names = names

    def known(self) -> bool:
        """Whether there are any concepts."""
        with answering():
            return self._collection.find_one({"of": self._of}, {"_id": 1}) is not None

    def concept(self, code: str) -> Concept | None:
        """As System."""
        with answering():
            found = self._collection.find_one({"_id": f"{self._of}\n{code}"})
        return self._read(found) if found else None

    def ancestors(self, code: str) -> frozenset[str]:
        """As System."""
        with answering():
            found = self._collection.find_one({"_id": f"{self._of}\n{code}"}, {"lineage": 1})
        return frozenset(found["lineage"]) - {code} if found else frozenset()

    def children(self, code: str) -> Sequence[str]:
        """As System."""
        with answering():
            found = self._collection.find({"of": self._of, "parents": code}, {"code": 1}, max_time_ms=self._timeout)
            return [each["code"] for each in found.sort("code", 1)]

    def select(
        self, conditions: Sequence[Condition], words: Sequence[str] = (), *, skip: int = 0, active_only: bool = False
    ) -> Iterator[Concept]:
        """As System, by code.  Raises TooCostly where too many would have to be looked at one by one."""
        query, rest = self._query(conditions, words, active_only=active_only)
        with answering():
            found = self._collection.find(query, max_time_ms=self._timeout).sort("code", 1)
            if not rest:
                yield from map(self._read, found.skip(skip))
                return
            yield from islice(self._scanned(map(self._read, found), rest), skip, None)

    def count(self, conditions: Sequence[Condition], words: Sequence[str] = (), *, active_only: bool = False) -> int:
        """As System."""
        query, rest = self._query(conditions, words, active_only=active_only)
        if rest:
            return sum(1 for _ in self.select(conditions, words, active_only=active_only))
        with answering():
            return self._collection.count_documents(query, maxTimeMS=self._timeout)

    def _scanned(self, concepts: Iterable[Concept], rest: Sequence[Condition]) -> Iterator[Concept]:
        for number, each in enumerate(concepts):
            if number >= SCANNED:
                raise TooCostly(f"`{rest[0].name} {rest[0].op}` would have to look at more than {SCANNED} codes.")
            if all(holds(condition, each, self) for condition in rest):
                yield each

    def _query(
        self, conditions: Sequence[Condition], words: Sequence[str], *, active_only: bool
    ) -> tuple[Filter, list[Condition]]:
        """The filter for what indexes can say, and the conditions that they cannot."""
        terms: list[Filter] = [{"of": self._of}]
        rest: list[Condition] = []
        for condition in conditions:
            term = self._term(condition)
            if term is None:
                rest.append(condition)
            else:
                terms.append(term)
        terms += self._with_words(words)
        if active_only:
            terms.append({"inactive": False})
        return {"$and": terms}, rest

    def _with_words(self, words: Sequence[str]) -> list[Filter]:
        """The filter for all of the words: one by the index, the others by the text."""
        indexed = {word: {"words": {"$regex": "^" + re.escape(word)}} for word in words}
        if len(indexed) < 2:
            return list(indexed.values())
        rarest = min(indexed, key=lambda word: self._upto({"of": self._of, **indexed[word]}))
        others = [word for word in indexed if word != rarest]
        return [indexed[rarest], *({"text": {"$regex": f"(^| ){re.escape(word)}"}} for word in others)]

    def _upto(self, query: Filter) -> int:
        """How many there are, as far as it matters for a choice."""
        with answering():
            return self._collection.count_documents(query, limit=_COUNTED, maxTimeMS=self._timeout)

    def _term(self, asked: Condition) -> Filter | None:
        value = asked.value
        match asked.op:
            case "is-a":
                return {"lineage": value}
            case "descendent-of":
                return {"lineage": value, "code": {"$ne": value}}
            case "is-not-a":
                return {"lineage": {"$ne": value}}
            case "generalizes":
                return {"code": {"$in": sorted({value, *self.ancestors(value)})}}
            case "=":
                return self._equal(asked.name, (value,))
            case "in":
                return self._equal(asked.name, asked.values)
        return None

    def _equal(self, name: str, wanted: Sequence[str]) -> Filter | None:
        """The filter for a property that has one of these values."""
        if name in _CODE:
            return {"code": {"$in": list(wanted)}}
        if name in _FLAGS:
            return {_FLAGS[name]: {"$in": [each == "true" for each in wanted if each in ("true", "false")]}}
        if name == "parent":
            return {"parents": {"$in": list(wanted)}}
        if name in ("display", "definition", "child", "ancestor"):
            return None
        return {"values": {"$in": [f"{name}={each}" for each in wanted]}}

    def _read(self, found: Mapping[str, Any]) -> Concept:
        designations = [
            Designation(each["value"], each.get("language"), each.get("use")) for each in found.get("designations", ())
        ]
        display = found.get("display")
        carried = self._names.concept(found["code"]) if self._names else None
        if carried and self._names:
            own = self._names.about.get("language")
            added = [Designation(carried.display, own)] if carried.display is not None else []
            known = {display, *(each.value for each in designations)}
            designations += [each for each in (*added, *carried.designations) if each.value not in known]
        return Concept(
            found["code"],
            display,
            found.get("definition"),
            tuple(designations),
            tuple(Property(*each) for each in found.get("properties", ())),
            tuple(found.get("parents", ())),
            found["abstract"],
            found["inactive"],
            frozenset(found["lineage"]) - {found["code"]},
        )
