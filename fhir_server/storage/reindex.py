"""The index entries of what is there, made anew from the bytes that are served, while the server goes on.

One type after the other: its current versions, its history, and what contains a resource of the type.  An entry is
written where it differs, and only to the very version it was made from: a writer that comes first has made its own.
Where it is, is kept in `_server` with every batch, so that the next run goes on from there; a type is asked for by the
parameters of now from the moment it is through.  storage/readiness.py
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import Any, Literal
from zoneinfo import ZoneInfo

import bson
from pymongo import UpdateOne, errors

from fhir_server.fhir import json
from fhir_server.fhir.outcome import BadRequest, Conflict
from fhir_server.fhir.types import TYPES
from fhir_server.search.expression import Entry, Filter
from fhir_server.search.fingerprints import fingerprints
from fhir_server.search.index import entry
from fhir_server.storage import choices
from fhir_server.storage.documents import HISTORY, NOT_OF_THE_INDEX, SERVER, history_key
from fhir_server.storage.store import Store, answering

#: So many documents are read before the place is kept, and for so long at most.
BATCH = 500
BATCH_SECONDS = 2.0
#: A run that has not kept its place for so long is dead.
LEASE_MS = 10_000
_PAUSE_SECONDS = 0.2
_PLACE = "reindex"
_TOO_LARGE = frozenset({10334, 17419, 17420})

#: Called with a type, and how many documents of its were read, changed, and left to a writer that came first.
Advance = Callable[[str, int, int, int], None]


@dataclass(frozen=True)
class Step:
    """A part of one collection: the current versions of a type, its history, or what contains a resource of it."""

    type: str
    of: Literal["current", "history", "contained"]
    collection: str

    @property
    def name(self) -> str:
        """What it is called where the place is kept."""
        return f"{self.type} {self.of} {self.collection}"

    def filter(self, after: str | None) -> Filter:
        """What it goes through, from behind this `_id` on."""
        low = {"$gt": after} if after is not None else {}
        if self.of == "history":
            return {"_id": {"$gt": f"{self.type}/", "$lt": f"{self.type}0"} | low}
        found: Filter = {"_id": low} if low else {}
        return found | {"keys": f"#{self.type}="} if self.of == "contained" else found


@dataclass
class Done:
    """What came of a run.  too_large: what MongoDB does not take with its entry of now, by collection and `_id`."""

    stopped: bool = False
    types: list[str] = field(default_factory=list)
    too_large: list[str] = field(default_factory=list)


class Reindex:
    """
    A run over some types, or all.

    base, zone: the server's own; they tell what a reference leads to, and when a date without a zone is.
    Raises BadRequest for a single type of a database that has to be gone through as a whole.
    """

    def __init__(self, store: Store, types: Iterable[str], *, base: str, zone: str):
        self._store = store
        self._base = base
        self._zone: tzinfo = ZoneInfo(zone)
        self._whole = store.readiness.of_earlier_version()
        withheld = store.readiness.withheld()
        named = [type for type in TYPES if type in set(types)]
        if named and self._whole:
            raise BadRequest(
                "What is here was indexed by an earlier version, and is gone through as a whole: leave out the types."
            )
        # What is waited for first.
        self.types = named or sorted(TYPES, key=lambda type: type not in withheld)
        self._changed = frozenset(withheld)
        over = (sorted(self.types), base, [fingerprints(type, zone) for type in TYPES])
        self._place = Place(store, secrets.token_hex(8), hashlib.sha256(repr(over).encode()).hexdigest())

    def steps(self, type: str) -> list[Step]:
        """What there is to go through for a type: the current versions before the history that they become."""
        found = [Step(type, "current", type), Step(type, "history", HISTORY)]
        if type in self._changed and not self._whole:
            found += [Step(type, "contained", other) for other in TYPES if other != type]
        return found

    def size(self) -> int:
        """About how many documents there are to be read."""
        with answering():
            found = sum(self._store.collection(type).estimated_document_count() for type in self.types)
            if len(self.types) == len(TYPES):
                return found + self._store.collection(HISTORY).estimated_document_count()
            history = self._store.collection(HISTORY)
            return found + sum(
                history.count_documents(Step(type, "history", HISTORY).filter(None)) for type in self.types
            )

    def run(self, stopped: Callable[[], bool], advance: Advance) -> Done:
        """Go through it all, or until a stop.  Raises Conflict while another run is under way."""
        done = Done()
        with answering():
            if not self._place.take(stopped):
                done.stopped = True
                return done
            try:
                for type in self.types:
                    if not self._through(type, done, stopped, advance):
                        done.stopped = True
                        return done
                    if not self._whole and not done.too_large:
                        self._store.readiness.complete([type])
                if self._whole and not choices.rewrite_all(
                    self._store, base=self._base, zone=self._zone, stopped=stopped
                ):
                    done.stopped = True
                    return done
                if self._whole and not done.too_large:
                    self._store.readiness.complete(TYPES)
                self._place.forget()
            finally:
                self._place.leave()
        return done

    def _through(self, type: str, done: Done, stopped: Callable[[], bool], advance: Advance) -> bool:
        """Whether the type was gone through, without a stop in between."""
        for step in self.steps(type):
            if step.name in self._place.done:
                continue
            after = self._place.after if self._place.step == step.name else None
            while True:
                if stopped():
                    return False
                after = self._batch(step, after, done, advance)
                if after is None:
                    break
                self._place.keep(step.name, after)
            self._place.finish(step.name, quietly=step.of == "contained")
        done.types.append(type)
        return True

    def _batch(self, step: Step, after: str | None, done: Done, advance: Advance) -> str | None:
        """The `_id` of the last document that was gone through, None if there are no more behind `after`."""
        until = time.monotonic() + BATCH_SECONDS
        collection = self._store.collection(step.collection)
        read, last, changes = 0, None, []
        cursor = collection.find(step.filter(after)).sort("_id", 1).limit(BATCH)
        with cursor:
            for document in self._with_bodies(step, cursor):
                read, last = read + 1, document["_id"]
                change = self._change(document["type"] if step.of == "history" else step.collection, document)
                if change:
                    changes.append(UpdateOne({"_id": last, "version": document["version"]}, change))
                if time.monotonic() > until:
                    break
        written = self._write(step, changes, done)
        advance(step.type, read if step.of != "contained" else 0, written, len(changes) - written)
        return last

    def _with_bodies(self, step: Step, documents: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """The documents; the version that a delete made with the body of the one before it, whose entry it has."""
        before: dict[str, Any] = {}
        for document in documents:
            if document.get("body") is None:
                key = history_key(document["type"], document["id"], document["version"] - 1)
                if before.get("_id") != key:
                    before = self._store.collection(HISTORY).find_one({"_id": key}, {"body": 1}) or {}
                document["body"] = before.get("body")
            before = document
            yield document

    def _change(self, type: str, document: Mapping[str, Any]) -> dict[str, Any] | None:
        """The update that gives the document its entry; None where it has it."""
        if document["body"] is None:
            return None
        made = entry(type, json.parse(document["body"]), base=self._base, zone=self._zone)
        there = {name: value for name, value in document.items() if name not in NOT_OF_THE_INDEX}
        # The labels of a past version, and of an access, are those of now: storage/labelling.py, audit/labels.py
        if "method" in document or document.get("origin") == "server":
            made.pop("labels", None)
            there.pop("labels", None)
        if self._written(made) == self._written(there):
            return None
        gone = there.keys() - made.keys()
        return {"$set": made} | ({"$unset": dict.fromkeys(gone, "")} if gone else {})

    def _written(self, found: Entry) -> bytes:
        """The entry as MongoDB keeps it: times to the millisecond, decimals as its own."""
        options = self._store.database.codec_options
        return bson.encode({name: found[name] for name in sorted(found)}, codec_options=options)

    def _write(self, step: Step, changes: list[UpdateOne], done: Done) -> int:
        """How many of the changes were made; the others a writer came before."""
        if not changes:
            return 0
        try:
            return self._store.collection(step.collection).bulk_write(changes, ordered=False).matched_count
        except errors.BulkWriteError as error:
            details = error.details or {}
            faults = details.get("writeErrors", [])
            if any(fault.get("code") not in _TOO_LARGE for fault in faults) or details.get("writeConcernErrors"):
                raise
            done.too_large += [f"{step.collection} {fault['op']['q']['_id']}" for fault in faults]
            return int(details["nMatched"])


class Place:
    """
    Where the run is, kept for the next one; and that one run at a time goes on from there.

    definitions: what it is a run over.  The place of another is of no use.
    """

    def __init__(self, store: Store, holder: str, definitions: str):
        self._kept = store.collection(SERVER)
        self._holder = holder
        self._definitions = definitions
        self.done: list[str] = []
        self.step: str | None = None
        self.after: str | None = None

    def take(self, stopped: Callable[[], bool]) -> bool:
        """Go on from where the last run was; False for a stop meanwhile.  Raises Conflict if it is still under way."""
        with suppress(errors.DuplicateKeyError):
            self._kept.insert_one({"_id": _PLACE})
        until = time.monotonic() + LEASE_MS / 1000 + 2
        free = {"_id": _PLACE, "$expr": {"$lt": [{"$ifNull": ["$until", 0]}, "$$NOW"]}}
        while not (found := self._kept.find_one_and_update(free, self._held())):
            if stopped():
                return False
            if time.monotonic() > until:
                raise Conflict("Another reindex of this database is under way.")
            time.sleep(_PAUSE_SECONDS)
        if found.get("definitions") == self._definitions:
            self.done, self.step, self.after = found.get("done", []), found.get("step"), found.get("after")
        return True

    def keep(self, step: str, after: str) -> None:
        """The step has been gone through up to here."""
        self.step, self.after = step, after
        self._save()

    def finish(self, step: str, *, quietly: bool) -> None:
        """The step has been gone through; quietly: to be kept with the next that is worth it."""
        self.done.append(step)
        self.step = self.after = None
        if not quietly:
            self._save()

    def forget(self) -> None:
        """The run is through: the next one begins at the beginning."""
        self.done, self.step, self.after = [], None, None
        self._save()

    def leave(self) -> None:
        """The next run need not wait."""
        self._kept.update_one({"_id": _PLACE, "holder": self._holder}, {"$unset": {"until": "", "holder": ""}})

    def _save(self) -> None:
        found = self._kept.update_one({"_id": _PLACE, "holder": self._holder}, self._held(place=True))
        if not found.matched_count:
            raise Conflict("Another reindex of this database has taken over.")

    def _held(self, *, place: bool = False) -> list[dict[str, Any]]:
        """The update that says that this run is alive, and where it is."""
        said: dict[str, Any] = {"holder": self._holder, "until": {"$add": ["$$NOW", LEASE_MS]}}
        if place:
            where = {"definitions": self._definitions, "done": self.done, "step": self.step, "after": self.after}
            said |= {name: {"$literal": value} for name, value in where.items()}
        return [{"$set": said}]
