"""Code systems and value sets in the store, and behind them those that are carried: one Source.

Those that are carried stand in the store, too, to be read and found there; here they are not asked.

Every question looks which versions there are, so that it is right after an update on every worker; what was read of a
version is kept, in a cache with a bound.  R4: references.html#canonical
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Any

from fhir_server.fhir import json, references
from fhir_server.fhir.terminology.systems import Listed, Resource, Source, System
from fhir_server.search.expression import Match
from fhir_server.search.mongo import to_filter
from fhir_server.search.types import uri
from fhir_server.storage.concepts import StoredSystem
from fhir_server.storage.documents import CARRIED
from fhir_server.storage.store import Store, answering

#: The bytes of resources that are kept read; in memory they are several times as large.
KEPT_BYTES = 4_000_000
#: So many resources may have one url.
_MOST_VERSIONS = 50
_STATUS = {"active": 3, "draft": 2, "unknown": 1, "retired": 0}
_DIGITS = re.compile(r"(\d+)")


@dataclass(frozen=True)
class _Read:
    """A version of a resource, read; the system, if it is one."""

    resource: Resource
    system: System | None
    size: int


class StoredTerminology:
    """A Source: the store's, then `behind`.  base: this server's own, which references may begin with."""

    def __init__(self, store: Store, behind: Source, *, base: str, timeout_ms: int = 20_000):
        self._store = store
        self._behind = behind
        self._base = base
        self._timeout = timeout_ms
        self._cache = _Cache(KEPT_BYTES)

    def code_system(self, url: str, version: str | None = None) -> System | None:
        """As Source.  Of the concepts that are kept apart, the CodeSystem resource says that they are not present."""
        behind = self._behind.code_system(url, version)
        found = self._newest("CodeSystem", url, version)
        if found is None:
            return behind
        if found.resource.get("content") == "not-present":
            apart = StoredSystem(self._store.database, found.resource, self._timeout, behind)
            return apart if apart.known() else behind or found.system
        return found.system

    def value_set(self, url: str, version: str | None = None) -> Resource | None:
        """As Source; also by a reference, `ValueSet/id`."""
        asked = references.parse(url, self._base)
        if asked.local and asked.type == "ValueSet" and asked.id:
            stored = self._store.read("ValueSet", asked.id)
            return json.parse(stored.body) if stored and stored.body else None
        found = self._newest("ValueSet", url, version)
        return found.resource if found else self._behind.value_set(url, version)

    def _newest(self, type: str, url: str, version: str | None) -> _Read | None:
        """Of the resources with this url and version, one in use before others, and the newest."""
        if not url:
            return None
        query = to_filter(Match("url", uri.parse(_escaped(url))))
        with answering():
            found = self._store.collection(type).find(query, {"version": 1, "origin": 1}, max_time_ms=self._timeout)
            keys = [
                (each["_id"], each["version"]) for each in found.limit(_MOST_VERSIONS) if each.get("origin") != CARRIED
            ]
        read = [self._read(type, id, stored) for id, stored in keys]
        candidates = [each for each in read if each and (version is None or each.resource.get("version") == version)]
        return max(candidates, key=_rank, default=None)

    def _read(self, type: str, id: str, version: int) -> _Read | None:
        def read() -> _Read | None:
            stored = self._store.read(type, id)
            if stored is None or stored.body is None:
                return None
            resource = json.parse(stored.body)
            return _Read(resource, Listed(resource) if type == "CodeSystem" else None, len(stored.body))

        return self._cache.entry(f"{type}/{id}/{version}", read)


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


def _escaped(text: str) -> str:
    """The text as the value of a search parameter.  R4: search.html#escaping"""
    return re.sub(r"([\\,$|])", r"\\\1", text)
