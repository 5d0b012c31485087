"""Code systems and value sets in the store, and behind them those that are carried: a Source for each who asks.

Whoever asks is answered from what they may read, and what was gone by is told, to be recorded.  Those that are carried
stand in the store, too, to be read and found there; here they are not asked.

Every question looks which versions there are, so that it is right after an update on every worker; what was read of a
version is kept, in a cache with a bound.  R4: references.html#canonical
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from threading import Lock
from typing import Any

from fhir_server.fhir import json, references
from fhir_server.fhir.terminology.systems import Listed, Resource, Source, System
from fhir_server.search.expression import EVERYTHING, NOTHING, Expression, Filter, Match, all_of
from fhir_server.search.mongo import to_filter
from fhir_server.search.types import token, uri
from fhir_server.search.types.id import IdTest
from fhir_server.storage.concepts import StoredSystem
from fhir_server.storage.documents import CARRIED, Stored, read_current
from fhir_server.storage.store import Store, answering

#: The bytes of resources that are kept read; in memory they are several times as large.
KEPT_BYTES = 4_000_000
#: So many resources may have one url.
_MOST_VERSIONS = 50
_STATUS = {"active": 3, "draft": 2, "unknown": 1, "retired": 0}
_DIGITS = re.compile(r"(\d+)")


@dataclass(frozen=True)
class _Read:
    """A version of a resource, read; the system, if it is one.  stored: without the body."""

    stored: Stored
    resource: Resource
    system: System | None
    size: int


#: Who tells a Source what may be read of a type, and who is told what was gone by.
Allowed = Callable[[str], Expression]
Used = Callable[[Iterable[Stored]], None]


class StoredTerminology:
    """
    What is kept, then `behind`; asked itself it is a Source of all of it, for what the server decides by.

    base: this server's own, which references may begin with.
    """

    def __init__(self, store: Store, behind: Source, *, base: str, timeout_ms: int = 20_000):
        self.store = store
        self.behind = behind
        self.base = base
        self.timeout = timeout_ms
        self.cache = _Cache(KEPT_BYTES)

    def read_by(self, allowed: Allowed, used: Used) -> Source:
        """
        A Source for one who asks, for the time of a question.

        allowed: which resources of a type they may read, NOTHING where none.  used: told of each that is gone by.
        """
        return _ReadBy(self, allowed, used)

    def code_system(self, url: str, version: str | None = None) -> System | None:
        """As Source."""
        return self.read_by(_everything, _untold).code_system(url, version)

    def value_set(self, url: str, version: str | None = None) -> Resource | None:
        """As Source; also by a reference, `ValueSet/id`."""
        return self.read_by(_everything, _untold).value_set(url, version)


class _ReadBy:
    """A Source, as `StoredTerminology.read_by` says; it asks the store about a resource once."""

    def __init__(self, kept: StoredTerminology, allowed: Allowed, used: Used):
        self._kept = kept
        self._allowed = allowed
        self._used = used
        self._found: dict[tuple[str, str, str | None], _Read | None] = {}

    def code_system(self, url: str, version: str | None = None) -> System | None:
        """As Source.  Of the concepts that are kept apart, the CodeSystem resource says that they are not present."""
        behind = self._kept.behind.code_system(url, version)
        found = self._newest("CodeSystem", url, version)
        if found is None:
            return behind
        if found.resource.get("content") == "not-present":
            apart = StoredSystem(self._kept.store.database, found.resource, self._kept.timeout, behind)
            return apart if apart.known() else behind or found.system
        return found.system

    def value_set(self, url: str, version: str | None = None) -> Resource | None:
        """As Source; also by a reference, `ValueSet/id`."""
        asked = references.parse(url, self._kept.base)
        if asked.local and asked.type == "ValueSet" and asked.id:
            found = self._read("ValueSet", Match("_id", IdTest(frozenset({asked.id}))))
            return self._told(found[0]).resource if found else None
        read = self._newest("ValueSet", url, version)
        return read.resource if read else self._kept.behind.value_set(url, version)

    def _newest(self, type: str, url: str, version: str | None) -> _Read | None:
        """Of the resources with this url and version, one in use before others, and the newest."""
        if not url:
            return None
        asked = type, url, version
        if asked not in self._found:
            read = self._read(type, Match("url", uri.parse(token.escaped(url))), {"origin": {"$ne": CARRIED}})
            candidates = [each for each in read if version is None or each.resource.get("version") == version]
            newest = max(candidates, key=_rank, default=None)
            self._found[asked] = self._told(newest) if newest else None
        return self._found[asked]

    def _told(self, read: _Read) -> _Read:
        self._used([read.stored])
        return read

    def _read(self, type: str, where: Expression, besides: Filter | None = None) -> list[_Read]:
        """What matches and may be read."""
        allowed = self._allowed(type)
        if allowed == NOTHING:
            return []
        query = {"$and": [to_filter(all_of(where, allowed)), besides or {}]}
        with answering():
            found = self._kept.store.collection(type).find(query, {"body": 0}, max_time_ms=self._kept.timeout)
            heads = [read_current(type, each) for each in found.limit(_MOST_VERSIONS)]
        return [read for head in heads if (read := self._whole(head))]

    def _whole(self, head: Stored) -> _Read | None:
        """The version, read; None if it is not there any more."""

        def read() -> _Read | None:
            stored = self._kept.store.version(head.type, head.id, head.version)
            if stored is None or stored.body is None:
                return None
            resource = json.parse(stored.body)
            return _Read(head, resource, Listed(resource) if head.type == "CodeSystem" else None, len(stored.body))

        return self._kept.cache.entry(f"{head.reference}/{head.version}", read)


def _everything(type: str) -> Expression:
    return EVERYTHING


def _untold(found: Iterable[Stored]) -> None:
    """Nobody is answered with it."""


class _Cache:
    """What was read lately, of `most` bytes at most; for several threads."""

    def __init__(self, most: int):
        self._most = most
        self._size = 0
        self._entries: OrderedDict[str, _Read] = OrderedDict()
        self._lock = Lock()

    def entry(self, key: str, read: Callable[[], _Read | None]) -> _Read | None:
        with self._lock:
            if key in self._entries:
                self._entries.move_to_end(key)
                return self._entries[key]
        found = read()
        if found is None or found.size > self._most // 2:
            return found
        with self._lock:
            if key not in self._entries:
                self._entries[key] = found
                self._size += found.size
            while self._size > self._most:
                _, oldest = self._entries.popitem(last=False)
                self._size -= oldest.size
        return found


def _rank(found: _Read) -> tuple[int, list[Any]]:
    """What makes a resource the one that is meant where no version is asked for: versions count as people count."""
    parts = _DIGITS.split(str(found.resource.get("version", "")))
    natural = [(int(part), "") if part.isdigit() else (-1, part) for part in parts]
    return _STATUS.get(found.resource.get("status", ""), 0), natural
