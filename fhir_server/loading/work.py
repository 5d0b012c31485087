"""Working off a piece of a load: read, identify, resolve, keep; in whichever process, in whatever order.

A reference is looked for in its own Bundle first, then in the store.  One that leads nowhere yet waits: when every
file has been read, `settle` tries again, and keeps the resource as it is, with a warning, if it still leads nowhere.
R4: bundle.html#references, http.html#trules
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from fhir_server.access import Actor
from fhir_server.access import scopes as smart_scopes
from fhir_server.audit import Trail
from fhir_server.fhir import json, references, xml
from fhir_server.fhir.outcome import BadRequest, FhirError, MultipleMatches, TooLarge
from fhir_server.fhir.types import TYPES
from fhir_server.interactions.answers import criteria_of
from fhir_server.loading import concepts
from fhir_server.loading.entries import Entry, Refused, entries, unpack
from fhir_server.loading.sources import Part, Piece
from fhir_server.loading.tally import Tally
from fhir_server.loading.waiting import Waiting
from fhir_server.repository import Repository, Surroundings
from fhir_server.validation import structure

Resource = dict[str, Any]

#: One transaction holds so much at most.
BATCH = 400
BATCH_BYTES = 4_000_000

_ACTOR = Actor("operator", "operator", smart_scopes.parse("system/*.cruds"))
_CONDITIONAL = re.compile(r"[A-Z][A-Za-z]+\?.")
_LINK = re.compile(r"(?:href|src)\s*=")
_XML = re.compile(rb"(?:\xef\xbb\xbf)?\s*<")
_OUT = ("urn:", "http:", "https:")
_LONG = 1000
_MARKS = re.compile(r"#|\||/_history/")


@dataclass
class Done:
    """
    What came of a piece.

    names       `Type/id` by the full URL of its entry, where the one cannot be told from the other
    roots       the service roots that full URLs stand under: what refers below them may mean something loaded here
    """

    tally: Tally = field(default_factory=Tally)
    waiting: list[Waiting] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    roots: set[str] = field(default_factory=set)


class Loader:
    """Loads pieces through the one door, as the operator.  `stopped` is asked between two transactions."""

    def __init__(self, around: Surroundings, stopped: Callable[[], bool]):
        self._around = around
        self._stopped = stopped
        self._found: dict[str, str] = {}
        self._batch: list[tuple[str, Resource]] = []
        self._size = 0
        self._done = Done()

    def work(self, piece: Piece) -> Done:
        """Load what the piece holds, as far as no stop comes between."""
        self._begin()
        for part in piece.parts:
            for bundle in self._bundles(part):
                if self._stopped():
                    return self._end()
                self._load(bundle)
        return self._end()

    def keep(self, resource: Resource, place: str) -> Tally:
        """Keep one resource of the server's own making; what came of it."""
        self._begin()
        self._add(place, resource, 0)
        return self._end().tally

    def settle(self, waiting: list[Waiting], names: dict[str, str], roots: set[str]) -> Done:
        """Load what had to wait, now that all files are read.  `names` and `roots` are those of the whole load."""
        self._begin()
        wanted = {text for each in waiting for text in each.wanted} - names.keys()
        mapping = {**names, **self._by_id(wanted, roots)}
        missing: dict[str, str | None] = {}
        for each in waiting:
            if self._stopped():
                break
            resource = json.parse(each.body)
            for text in each.wanted:
                if _MARKS.split(text, 1)[0] in mapping or text in mapping:
                    continue
                if text not in missing:
                    missing[text] = self._nowhere(text, mapping)
                if missing[text]:
                    self._done.tally.fault(each.type, f"`{text}` leads nowhere: {missing[text]}", each.place, "warning")
            self._add(each.place, references.rewrite(resource, mapping), len(each.body))
        return self._end()

    def _begin(self) -> None:
        self._done = Done()

    def _end(self) -> Done:
        self._flush()
        return self._done

    # --- reading

    def _bundles(self, part: Part) -> Iterator[list[Entry]]:
        """The entries of each document; single resources on lines come together."""
        if part.line is None:
            yield self._entries(part.place, part.data)
            return
        single: list[Entry] = []
        for number, line in enumerate(part.data.split(b"\n"), part.line):
            if not line.strip():
                continue
            found = self._entries(f"{part.place}:{number}", line)
            if len(found) == 1 and not found[0].full_url:
                single.append(found[0])
            else:
                yield found
        yield single

    def _entries(self, place: str, data: bytes) -> list[Entry]:
        try:
            document = xml.parse(data) if _XML.match(data) else unpack(data)
        except FhirError as error:
            self._done.tally.faulty(None, error, place)
            return []
        found = []
        for each in entries(document, place):
            if isinstance(each, Refused):
                self._done.tally.faulty(each.type, BadRequest(each.reason), each.place)
            else:
                found.append(each)
        return found

    # --- references

    def _load(self, bundle: list[Entry]) -> None:
        """Load the entries of one document, their references to each other and to the store resolved."""
        kept: list[tuple[Entry, str]] = []
        names: dict[str, str] = {}
        for entry in bundle:
            try:
                identity, write = self._identity(entry)
            except FhirError as error:
                self._done.tally.faulty(entry.type, error, entry.place)
                continue
            self._name(entry, identity, names)
            if entry.type not in TYPES:
                self._done.tally.count(entry.type, "not kept")
            elif write:
                kept.append((entry, identity))
            else:
                self._done.tally.count(entry.type, "unchanged")
        outgoing = [_outgoing(entry.resource, names) for entry, _ in kept]
        texts = {text for each in outgoing for text in each.references if _CONDITIONAL.match(text)}
        mapping = {**names, **{text: found for text in texts if (found := self._conditional(text))}}
        moved = any(not url.endswith(f"/{identity}") for url, identity in names.items() if url.startswith("http"))
        for (entry, identity), each in zip(kept, outgoing, strict=True):
            if self._stopped():
                return
            self._resolve(entry, identity, each, mapping, moved=moved)

    def _identity(self, entry: Entry) -> tuple[str, bool]:
        """`Type/id` that the entry stands for, and whether it is to be written.  Raises FhirError for bad criteria."""
        identity = f"{entry.type}/{entry.id}"
        if entry.criteria is None:
            return identity, True
        match = self._search(entry.type, entry.criteria)
        if match is None:
            self._found[f"{entry.type}?{entry.criteria}"] = identity
        return match or identity, entry.replaces or match is None

    def _name(self, entry: Entry, identity: str, names: dict[str, str]) -> None:
        """Note what the entry's full URL stands for."""
        url = entry.full_url
        if not url or url == identity:
            return
        names[url] = identity
        if url.endswith(f"/{identity}"):
            self._done.roots.add(url.removesuffix(f"/{identity}"))
        elif not url.endswith(f":{entry.id}") or identity != f"{entry.type}/{entry.id}":
            self._done.names[url] = identity

    def _resolve(
        self, entry: Entry, identity: str, outgoing: _Outgoing, mapping: dict[str, str], *, moved: bool
    ) -> None:
        """Keep the entry with its references resolved, or let it wait.  moved: a resource is not where its URL says."""
        resource = entry.resource
        if moved or (mapping and outgoing.linked):
            own = f"/{entry.type}/{entry.id}"
            url = entry.full_url or ""
            root = url.removesuffix(own) if url.startswith("http") and url.endswith(own) else None
            resource = references.rewrite(resource, mapping, root)
        type, _, id = identity.partition("/")
        if resource.get("id") != id:
            resource = {**resource, "id": id}
        base = f"{self._around.base}/"
        wanted = [
            text
            for text in outgoing.references
            if text not in mapping and _MARKS.split(text, 1)[0] not in mapping and not text.startswith(base)
        ]
        if wanted:
            self._done.waiting.append(Waiting(entry.place, type, id, json.dumps(resource), tuple(wanted)))
        else:
            self._add(entry.place, resource, outgoing.bulk)

    def _conditional(self, text: str) -> str | None:
        """What a conditional reference finds in the store, if it finds one thing."""
        type, _, query = text.partition("?")
        try:
            return self._search(type, query)
        except FhirError:
            # Told, with its reason, if it still is so when all is loaded.
            return None

    def _search(self, type: str, query: str) -> str | None:
        """`Type/id` of the one match, None without any.  Raises MultipleMatches, BadRequest for what is no query."""
        asked = f"{type}?{query}"
        if asked in self._found:
            return self._found[asked]
        if type not in TYPES:
            raise BadRequest(f"{type} is not kept here")
        self._flush()
        repository = self._repository()
        found = repository.match(type, criteria_of(repository, type, unquote(query) if "%" in query else query))
        if found:
            self._found[asked] = found.reference
        return found.reference if found else None

    def _nowhere(self, text: str, mapping: dict[str, str]) -> str | None:
        """
        Why nothing is known that a reference stands for; None if it rightly leads elsewhere.

        What a conditional reference stands for goes into `mapping`.
        """
        if text.startswith("urn:"):
            return "it is neither in these files nor here"
        if not _CONDITIONAL.match(text):
            return None
        type, _, query = text.partition("?")
        try:
            found = self._search(type, query)
        except MultipleMatches:
            return "more than one resource matches"
        except FhirError as error:
            return str(error)
        if found is None:
            return "nothing matches, neither in these files nor here"
        mapping[text] = found
        return None

    def _by_id(self, wanted: set[str], roots: set[str]) -> dict[str, str]:
        """What is in the store under the uuid of a `urn:uuid:…`, or under the path of a URL below one of `roots`."""
        of_uuid: dict[str, list[str]] = {}
        of_path: dict[str, dict[str, list[str]]] = {}
        for text in wanted:
            asked = references.parse(text)
            if text.startswith("urn:"):
                of_uuid.setdefault(_MARKS.split(text, 1)[0].rpartition(":")[2], []).append(text)
            elif (
                asked.url
                and asked.type in TYPES
                and asked.id
                and text.partition(f"/{asked.type}/{asked.id}")[0] in roots
            ):
                of_path.setdefault(asked.type, {}).setdefault(asked.id, []).append(text)
        repository = self._repository()
        mapping: dict[str, str] = {}
        for type in TYPES if of_uuid else of_path:
            texts = {**of_uuid, **of_path.get(type, {})}
            for found in repository.fetch(type, texts):
                mapping.update(dict.fromkeys((_MARKS.split(text, 1)[0] for text in texts[found.id]), found.reference))
        return mapping

    # --- keeping

    def _add(self, place: str, resource: Resource, bulk: int) -> None:
        if concepts.is_large(resource):
            try:
                resource = concepts.keep_apart(self._around.store.database, resource)
            except FhirError as error:
                if error.status >= 500:
                    raise
                self._done.tally.faulty(resource["resourceType"], error, place)
                return
        self._batch.append((place, resource))
        self._size += bulk
        if len(self._batch) >= BATCH or self._size >= BATCH_BYTES:
            self._flush()

    def _flush(self) -> None:
        """Keep what waits for its transaction."""
        batch, self._batch, self._size = self._batch, [], 0
        if batch:
            self._keep(batch)

    def _keep(self, batch: list[tuple[str, Resource]]) -> None:
        try:
            fates = self._repository().load([resource for _, resource in batch], structure.check)
        except TooLarge as error:
            if len(batch) == 1:
                fates = [error]
            else:
                half = len(batch) // 2
                self._keep(batch[:half])
                self._keep(batch[half:])
                return
        tally = self._done.tally
        for (place, resource), fate in zip(batch, fates, strict=True):
            if isinstance(fate, FhirError):
                tally.faulty(resource["resourceType"], fate, place)
            else:
                tally.count(resource["resourceType"], fate)

    def _repository(self) -> Repository:
        return Repository(self._around, _ACTOR, Trail("load", "CLI", "fhir-server load"))


@dataclass(frozen=True)
class _Outgoing:
    """
    A first look at what a resource refers to.

    references  those that cannot stay as they are, unless they rightly lead elsewhere
    linked      whether anything may be replaced at all
    bulk        the length of its long texts
    """

    references: tuple[str, ...]
    linked: bool
    bulk: int


def _outgoing(resource: Resource, names: dict[str, str]) -> _Outgoing:
    """What leads out of a resource, seen fast; what is replaced, and where, `references.rewrite` knows."""
    wanted: dict[str, None] = {}
    linked = False
    bulk = 0
    rest: list[Any] = [resource]
    while rest:
        value = rest.pop()
        for name, inner in value.items() if type(value) is dict else ((None, item) for item in value):
            kind = type(inner)
            if kind is dict or kind is list:
                rest.append(inner)
            elif kind is not str:
                continue
            elif name == "reference" and (inner.startswith(_OUT) or _CONDITIONAL.match(inner)):
                wanted[inner] = None
            elif names and not linked:
                linked = inner in names or (name == "div" and _LINK.search(inner) is not None)
            if len(inner) > _LONG:
                bulk += len(inner)
    return _Outgoing(tuple(wanted), linked or bool(wanted), bulk)
