"""The concepts of a code system that is too large for one document, from a file or a CodeSystem resource.

A file has a concept a line: NDJSON, each line as CodeSystem.concept is, or CSV with a header.  Of CSV, columns named
`code` (or `LOINC_NUM`), `display` (`LONG_COMMON_NAME`), `definition` and `parent` are that, several parents parted by
`|`; `display:fr` is the name in a language, and every other column a property.  Files are read twice: who stands above
whom has to be known before the first concept is kept.  R4: codesystem.html
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import IO, Any

from pymongo.database import Database

from fhir_server.fhir import json
from fhir_server.fhir.outcome import FhirError, printable
from fhir_server.fhir.terminology.concepts import Concept, Designation, Property, children, concepts
from fhir_server.loading.sources import UNREADABLE, Source, SourceError, opened, reason
from fhir_server.loading.tally import Fate, Tally
from fhir_server.storage.concepts import identity, remove_others, write
from fhir_server.validation import structure

#: A CodeSystem with more concepts is kept as a document a concept.
MOST_IN_ONE = 2_000
#: Written, and looked through for faults, so many at a time.
BATCH = 1_000
_NAMES = {"code": "code", "loinc_num": "code", "display": "display", "long_common_name": "display",
          "definition": "definition", "parent": "parent", "parents": "parent"}  # fmt: skip
_DELIMITERS = ",;\t"
_MOST_CHARACTERS = 100_000

Row = tuple[Concept, int]


@dataclass
class Graph:
    """
    Who stands above whom, and what properties there are.

    parents     of each concept
    said        the parents of a code that a property `child` of theirs names, wherever the concept itself is
    properties  the type of each
    """

    parents: dict[str, tuple[str, ...]] = field(default_factory=dict)
    said: dict[str, list[str]] = field(default_factory=dict)
    properties: dict[str, str] = field(default_factory=dict)

    def add(self, concept: Concept) -> None:
        """Note a concept; one that comes twice has the parents of both."""
        known = self.parents.get(concept.code, ())
        self.parents[concept.code] = tuple(dict.fromkeys((*known, *concept.parents)))
        for each in concept.properties:
            self.properties.setdefault(each.code, each.type)

    def settle(self) -> None:
        """Join what was said of children, now that all concepts are there."""
        for code, parents in self.said.items():
            if code in self.parents:
                self.parents[code] = tuple(dict.fromkeys((*self.parents[code], *parents)))

    def above(self, code: str) -> frozenset[str]:
        """All that stand above the code, itself not; a circle has an end."""
        found: set[str] = set()
        rest = list(self.parents.get(code, ()))
        while rest:
            each = rest.pop()
            if each not in found:
                found.add(each)
                rest += self.parents.get(each, ())
        return frozenset(found - {code})


def is_large(resource: Mapping[str, Any]) -> bool:
    """Whether a CodeSystem, one that can be named, has more concepts than are kept in one document."""
    if resource.get("resourceType") != "CodeSystem" or not isinstance(resource.get("url"), str):
        return False
    number = 0
    rest = [resource.get("concept")]
    while rest and number <= MOST_IN_ONE:
        rows = rest.pop()
        if not isinstance(rows, list):
            continue
        number += len(rows)
        rest += [row["concept"] for row in rows if isinstance(row, dict) and "concept" in row]
    return number > MOST_IN_ONE


def keep_apart(database: Database, resource: Mapping[str, Any]) -> dict[str, Any]:
    """
    The CodeSystem without its concepts, which are kept; `content` says that they are not present.

    Raises FhirError for a resource that is not good R4.
    """
    structure.check(dict(resource))
    graph = Graph()
    for each in concepts(resource):
        graph.add(each)
    of = identity(resource.get("url", ""), resource.get("version"))
    rows = ((each, graph.above(each.code)) for each in concepts(resource))
    while batch := list(islice(rows, BATCH)):
        write(database, of, batch)
    remove_others(database, of, graph.parents)
    whole = {name: value for name, value in resource.items() if name != "concept"}
    return {**whole, "content": "not-present", "count": len(graph.parents)}


def head(url: str, version: str | None, language: str | None, graph: Graph) -> dict[str, Any]:
    """The CodeSystem resource of concepts that came from files; its id is always the same."""
    types = {code: type.removeprefix("value") for code, type in graph.properties.items()}
    declared = [
        {"code": code, "type": type if type == "Coding" else type[0].lower() + type[1:]} for code, type in types.items()
    ]
    id = hashlib.sha256(identity(url, version).encode()).hexdigest()[:32]
    return {
        "resourceType": "CodeSystem",
        "id": id,
        **({"language": language} if language else {}),
        "url": url,
        **({"version": version} if version else {}),
        "name": "Loaded_" + id,
        "title": url,
        "status": "active",
        "caseSensitive": True,
        "hierarchyMeaning": "is-a",
        "content": "not-present",
        "count": len(graph.parents),
        **({"property": declared} if declared else {}),
    }


def load(
    database: Database,
    sources: Iterable[Source],
    of: str,
    *,
    advance: Callable[[int, Tally], None],
    stopped: Callable[[], bool],
) -> Graph:
    """
    Keep the concepts of `of`, a system and its version, that the sources have, and no others; who stands above whom.

    advance: called with the bytes that are done, each twice, and what came of the concepts.  Safe to run again; when
    it is stopped, what is kept so far stays.  Raises SourceError for a file that cannot be read, before any is kept.
    """
    sources = list(sources)
    graph = Graph()
    for source in sources:
        for each, progress in _rows(source, graph.said):
            graph.add(each)
            advance(progress, Tally())
            if stopped():
                return graph
    graph.settle()
    for source in sources:
        rows = _rows(source, {})
        while batch := list(islice(rows, BATCH)):
            if stopped():
                return graph
            known = [(_whole(each, graph), graph.above(each.code)) for each, _ in batch]
            new, changed, same = write(database, of, known)
            tally = Tally()
            fates: dict[Fate, int] = {"created": new, "updated": changed, "unchanged": same}
            tally.fates.update({("concept", fate): number for fate, number in fates.items() if number})
            advance(sum(progress for _, progress in batch), tally)
    remove_others(database, of, graph.parents)
    return graph


def _whole(each: Concept, graph: Graph) -> Concept:
    """The concept with the parents that other lines gave it."""
    parents = graph.parents[each.code]
    if parents == each.parents:
        return each
    return Concept(
        each.code,
        each.display,
        each.definition,
        each.designations,
        each.properties,
        parents,
        each.abstract,
        each.inactive,
    )


def _rows(source: Source, said: dict[str, list[str]]) -> Iterator[Row]:
    """
    The concepts of a file, each with the bytes on disk that are done with it.

    said: takes the parents that properties `child` name.  Raises SourceError.
    """
    done = 0
    try:
        with opened(source) as (stream, position):
            first = stream.readline(_MOST_CHARACTERS)
            in_lines = first.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")
            found = _ndjson(source, _chain(first, stream), said) if in_lines else _csv(source, first, stream)
            for each in found:
                now = position()
                yield each, now - done
                done = now
    except UNREADABLE as error:
        raise SourceError(f"{source.place}: {reason(error)}") from error


def _ndjson(source: Source, lines: Iterable[bytes], said: dict[str, list[str]]) -> Iterator[Concept]:
    """A concept a line, with what is nested in it.  Looked through as parts of a CodeSystem, many at a time."""
    numbered = ((number, line) for number, line in enumerate(lines, 1) if line.strip())
    while batch := list(islice(numbered, BATCH)):
        rows = []
        for number, line in batch:
            try:
                rows.append(json.parse(line))
            except FhirError as error:
                raise SourceError(f"{source.place}:{number}: {error}") from None
        whole = {"resourceType": "CodeSystem", "status": "active", "content": "fragment", "concept": rows}
        faults = structure.faults(whole)
        if faults:
            place = "".join(faults[0].expression)
            index = place.removeprefix("CodeSystem.concept[").partition("]")[0]
            number = batch[int(index)][0] if index.isdigit() else batch[0][0]
            raise SourceError(f"{source.place}:{number}: {place}: {faults[0].diagnostics}")
        for code, parents in children(whole).items():
            said.setdefault(code, []).extend(parents)
        yield from concepts(whole)


def _csv(source: Source, first: bytes, stream: IO[bytes]) -> Iterator[Concept]:
    header = first.decode("utf-8-sig", "replace").strip()
    delimiter = max(_DELIMITERS, key=header.count)
    columns = [each.strip() for each in next(csv.reader([header], delimiter=delimiter), [])]
    means = [_NAMES.get(each.lower(), each) for each in columns]
    if "code" not in means:
        raise SourceError(f"{source.place}: no column `code` in its first line: {', '.join(columns)[:200]}")
    try:
        for cells in csv.reader((line.decode() for line in stream), delimiter=delimiter):
            if not cells:
                continue
            if len(cells) != len(columns):
                raise SourceError(f"{source.place}: a line of {len(cells)} cells, where the first has {len(columns)}")
            found = _of_cells(means, cells)
            if found:
                yield found
    except (UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"{source.place}: {error}") from None


def _of_cells(means: list[str], cells: list[str]) -> Concept | None:
    named: dict[str, str] = {}
    designations, properties = [], []
    for name, cell in zip(means, cells, strict=True):
        value = printable(cell.strip())
        if not value:
            continue
        if name.startswith("display:"):
            designations.append(Designation(value, name.removeprefix("display:")))
        elif name in _NAMES.values():
            named[name] = value
        else:
            properties.append(Property(name, "valueString", value))
    if "code" not in named:
        return None
    parents = tuple(part.strip() for part in named.get("parent", "").split("|") if part.strip())
    return Concept(
        named["code"], named.get("display"), named.get("definition"), tuple(designations), tuple(properties), parents
    )


def _chain(first: bytes, stream: IO[bytes]) -> Iterator[bytes]:
    yield first.removeprefix(b"\xef\xbb\xbf")
    yield from stream
