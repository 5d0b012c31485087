"""A value set, read once: who is in, and all who are.  R4: valueset.html#compositions

`read` turns compose (or, where there is none, the expansion that came with the resource) into a Definition; both
questions are then answered without HTTP, store or JSON in sight.  Whether one code is in never takes an expansion.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fhir_server.fhir.outcome import NotFound, NotSupported, Unprocessable
from fhir_server.fhir.terminology.concepts import Concept, Designation, has_words
from fhir_server.fhir.terminology.conditions import Condition, condition, holds
from fhir_server.fhir.terminology.systems import Resource, Source, System, system, value_set

#: Value sets that import each other deeper than this are not followed.
DEEPEST = 20


@dataclass(frozen=True, slots=True)
class Member:
    """A code that is in, with the names that the value set gives it before those of its system."""

    system: str
    version: str | None
    concept: Concept
    language: str | None = None

    @property
    def key(self) -> tuple[str, str]:
        """What makes two members the same."""
        return self.system, self.concept.code


@dataclass(frozen=True, slots=True)
class Part:
    """
    One include or exclude: of a system, those listed or those that meet all conditions; and in all of the imports.

    listed   the concepts by code; None: not listed.  url   None where only imports say who is in
    """

    url: str | None
    version: str | None
    known: System | None
    listed: Mapping[str, Concept] | None
    conditions: tuple[Condition, ...]
    imports: tuple[Definition, ...]

    @property
    def open(self) -> bool:
        """Whether the system alone says who is in."""
        return self.known is not None and self.listed is None and not self.imports

    def holds(self, url: str, code: str, version: str | None = None, concept: Concept | None = None) -> bool:
        """Whether the code is of this part.  concept: what its system says of it, where that is at hand."""
        if self.url is not None:
            if url != self.url or (version and self.version and version != self.version):
                return False
            if not self._has(code, concept):
                return False
        return all(each.holds(url, code, version) for each in self.imports)

    def find(self, url: str, code: str) -> Concept | None:
        """What the value set says of a code that it lists, before what its system says."""
        if self.url == url and self.listed is not None and code in self.listed:
            return self.listed[code]
        found = (each.find(url, code) for each in self.imports)
        return next((concept for concept in found if concept), None)

    def members(self, words: Sequence[str], *, active_only: bool) -> Iterator[Member]:
        """Those of this part, with all the words."""
        if self.url is None:
            for member in self.imports[0].members(words, active_only=active_only):
                if all(each.holds(*member.key) for each in self.imports[1:]):
                    yield member
            return
        for concept in self._concepts(words, active_only=active_only):
            if all(each.holds(self.url, concept.code) for each in self.imports):
                yield Member(self.url, self.version, concept, _language(self.known))

    def _has(self, code: str, concept: Concept | None) -> bool:
        if self.listed is not None:
            return code in self.listed
        assert self.known is not None
        found = concept or self.known.concept(code)
        return found is not None and all(holds(each, found, self.known) for each in self.conditions)

    def _concepts(self, words: Sequence[str], *, active_only: bool) -> Iterator[Concept]:
        if self.listed is None:
            assert self.known is not None
            yield from self.known.select(self.conditions, words, active_only=active_only)
            return
        for concept in self.listed.values():
            whole = _with_system(concept, self.known)
            if not (active_only and whole.inactive) and (not words or has_words(whole, words)):
                yield whole


@dataclass(frozen=True, slots=True)
class Definition:
    """A value set, read.  inactive: whether codes that are no longer in use are in."""

    includes: tuple[Part, ...]
    excludes: tuple[Part, ...] = ()
    inactive: bool = True
    about: Resource = field(default_factory=dict)

    def holds(self, url: str, code: str, version: str | None = None, concept: Concept | None = None) -> bool:
        """Whether the code is in."""
        if not any(part.holds(url, code, version, concept) for part in self.includes):
            return False
        if not self.inactive and (found := self.concept(url, code)) and found.inactive:
            return False
        return not any(part.holds(url, code, version, concept) for part in self.excludes)

    def find(self, url: str, code: str) -> Concept | None:
        """What the value set itself says of a code."""
        found = (part.find(url, code) for part in self.includes)
        return next((concept for concept in found if concept), None)

    def concept(self, url: str, code: str) -> Concept | None:
        """What is known of a code: the names of the value set, and the rest from its system."""
        known = next(self._systems(url), None)
        listed = self.find(url, code)
        if listed:
            return _with_system(listed, known)
        return known.concept(code) if known else None

    def members(self, words: Sequence[str] = (), *, active_only: bool = False) -> Iterator[Member]:
        """All who are in and have the words, each once, in the order of compose."""
        seen: set[tuple[str, str]] = set()
        active_only = active_only or not self.inactive
        several = len(self.includes) > 1
        for part in self.includes:
            for member in part.members(words, active_only=active_only):
                if several:
                    if member.key in seen:
                        continue
                    seen.add(member.key)
                if not any(
                    each.holds(*member.key, concept=member.concept if each.known is part.known else None)
                    for each in self.excludes
                ):
                    yield member

    def with_code(self, code: str) -> list[str]:
        """The systems of which a code is in."""
        return [url for url in self.systems() if self.holds(url, code)]

    def systems(self) -> list[str]:
        """The systems that codes may be of."""
        found: dict[str, None] = {}
        for part in self.includes:
            urls = [part.url] if part.url is not None else [url for each in part.imports for url in each.systems()]
            found.update(dict.fromkeys(urls))
        return list(found)

    def versions(self) -> list[tuple[str, str]]:
        """(system, version) of each system whose version is known."""
        found: dict[tuple[str, str], None] = {}
        for part in self.includes:
            if part.known is not None and part.known.version:
                found[part.known.url, part.known.version] = None
            for each in part.imports:
                found.update(dict.fromkeys(each.versions()))
        return list(found)

    def alone(self) -> Part | None:
        """The one part that says everything, if it is a system and conditions on it."""
        if len(self.includes) == 1 and not self.excludes and self.includes[0].open:
            return self.includes[0]
        return None

    def _systems(self, url: str) -> Iterator[System]:
        for part in self.includes:
            if part.url == url and part.known is not None:
                yield part.known
            for each in part.imports:
                yield from each._systems(url)


def read(resource: Resource, source: Source) -> Definition:
    """
    The value set of good structure.

    Raises NotFound for a system or a value set that it needs and that is not known, NotSupported for what cannot be
    asked for, Unprocessable for one that imports itself or says nothing.
    """
    return _Reading(source).definition(resource, (resource.get("url", ""),))


class _Reading:
    """One reading: each imported value set is read once."""

    def __init__(self, source: Source):
        self._source = source
        self._read: dict[str, Definition] = {}

    def definition(self, resource: Resource, above: tuple[str, ...]) -> Definition:
        compose, expansion = resource.get("compose"), resource.get("expansion")
        if compose is not None:
            return Definition(
                tuple(self._parts(compose.get("include", ()), "ValueSet.compose.include", above)),
                tuple(self._parts(compose.get("exclude", ()), "ValueSet.compose.exclude", above)),
                compose.get("inactive", True),
                resource,
            )
        if expansion is not None and "contains" in expansion:
            return Definition(tuple(_expanded(expansion["contains"], self._source)), about=resource)
        raise Unprocessable("The value set does not say who is in: it has no compose, and no expansion.", "ValueSet")

    def _parts(self, rows: Sequence[Mapping[str, Any]], place: str, above: tuple[str, ...]) -> Iterator[Part]:
        for index, row in enumerate(rows):
            yield self._part(row, f"{place}[{index}]", above)

    def _part(self, row: Mapping[str, Any], place: str, above: tuple[str, ...]) -> Part:
        imports = tuple(self._import(canonical, f"{place}.valueSet", above) for canonical in row.get("valueSet", ()))
        url, version = row.get("system"), row.get("version")
        filters, listed = row.get("filter", ()), row.get("concept")
        if url is None:
            if filters or listed:
                raise Unprocessable("Codes and filters are of a system: `system` is missing.", place)
            if not imports:
                raise Unprocessable("A part of a value set names a system or a value set.", place)
            return Part(None, None, None, None, (), imports)
        if listed is not None:
            if filters:
                raise Unprocessable("A part of a value set lists its codes or filters them, not both.", place)
            # A list stands by itself: nobody has to know the system.
            known = self._source.code_system(url, version)
            return Part(url, version, known, _listed(listed), (), imports)
        known = system(self._source, url, version)
        if known.about.get("content") == "not-present" and not known.count(()):
            raise NotFound(f"The code system `{url}` is known here without its codes; load them first.", place)
        conditions = tuple(
            condition(each, known.about, f"{place}.filter[{index}]") for index, each in enumerate(filters)
        )
        return Part(url, version, known, None, conditions, imports)

    def _import(self, canonical: str, place: str, above: tuple[str, ...]) -> Definition:
        url = canonical.partition("|")[0]
        if url in above or len(above) > DEEPEST:
            raise Unprocessable(f"The value set imports itself, through `{canonical}`.", place)
        if canonical not in self._read:
            self._read[canonical] = self.definition(value_set(self._source, canonical), (*above, url))
        return self._read[canonical]


def _listed(rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Concept]:
    return {row["code"]: Concept(row["code"], row.get("display"), designations=_designations(row)) for row in rows}


def _designations(row: Mapping[str, Any]) -> tuple[Designation, ...]:
    return tuple(
        Designation(each["value"], each.get("language"), each.get("use")) for each in row.get("designation", ())
    )


def _expanded(rows: Sequence[Mapping[str, Any]], source: Source) -> Iterator[Part]:
    """The parts of an expansion that somebody else made: a list for each system."""
    lists: dict[tuple[str, str | None], dict[str, Concept]] = {}
    rest = list(reversed(rows))
    while rest:
        row = rest.pop()
        rest += reversed(row.get("contains", ()))
        if "code" not in row or row.get("abstract") is True:
            continue
        if "system" not in row:
            raise NotSupported(f"`{row['code']}` has no system.", "ValueSet.expansion.contains")
        concept = Concept(row["code"], row.get("display"), designations=_designations(row))
        lists.setdefault((row["system"], row.get("version")), {})[row["code"]] = concept
    for (url, version), listed in lists.items():
        yield Part(url, version, source.code_system(url, version), listed, (), ())


def _with_system(listed: Concept, known: System | None) -> Concept:
    """A listed concept with what its system adds; the names of the list go first."""
    found = known.concept(listed.code) if known else None
    if found is None:
        return listed
    return Concept(
        listed.code,
        listed.display if listed.display is not None else found.display,
        found.definition,
        (*listed.designations, *found.designations, *_own_name(listed, found, known)),
        found.properties,
        found.parents,
        found.abstract,
        found.inactive,
        found.ancestors,
    )


def _own_name(listed: Concept, found: Concept, known: System | None) -> tuple[Designation, ...]:
    """The system's own name of a concept that the list calls something else."""
    if listed.display is None or found.display in (None, listed.display):
        return ()
    return (Designation(str(found.display), _language(known)),)


def _language(known: System | None) -> str | None:
    return known.about.get("language") if known else None
