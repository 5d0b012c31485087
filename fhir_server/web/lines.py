"""Rows of an offer as lines of a page: reading and writing beside each other, under the words of their section."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fhir_server.smart.offer import DIVISIONS, Row
from fhir_server.web.words import words


@dataclass(frozen=True)
class Line:
    """What can be read, or written, or both: a category of a section, or a section that is not divided."""

    place: str
    label: str
    sentence: str
    rows: tuple[Row, ...]

    @property
    def limits(self) -> tuple[str, ...]:
        """What the app names itself; else the types, where no words stand for them."""
        named = dict.fromkeys(limit for row in self.rows for limit in row.limits)
        types = dict.fromkeys(type for row in self.rows for type in row.types)
        known = {limit.partition("?")[0] for limit in named}
        return (*named, *(type for type in types if type not in known))


@dataclass(frozen=True)
class Group:
    """A section, with a line for each of its categories that can be given, or with one line that is itself."""

    code: str
    label: str
    sentence: str
    lines: tuple[Line, ...]

    @property
    def is_divided(self) -> bool:
        """Whether the lines have words of their own."""
        return self.code != self.lines[0].place or len(self.lines) > 1


def groups(rows: Iterable[Row], language: str) -> tuple[Group, ...]:
    """The rows that are about sections, in their order, by section."""
    told, said = words(language)["consent"]["places"], words(language)["sections"]
    by_section: dict[str, dict[str, list[Row]]] = {}
    for row in rows:
        if row.section:
            by_section.setdefault(row.section, {}).setdefault(row.place, []).append(row)
    return tuple(
        Group(
            code,
            said[code]["label"],
            said[code]["sentence"],
            tuple(
                _line(place, told[place] if len(places) > 1 or place != code else said[code], found)
                for place, found in places.items()
            ),
        )
        for code, places in by_section.items()
    )


def beside(rows: Iterable[Row], language: str) -> tuple[Line, ...]:
    """The rows that a person chooses and that belong to no section."""
    told = words(language)["consent"]["places"]
    by_kind: dict[str, list[Row]] = {}
    for row in rows:
        if row.kind in ("directory", "other", "rest"):
            by_kind.setdefault(row.kind, []).append(row)
    return tuple(_line(kind, told[kind], found) for kind, found in by_kind.items())


def _line(place: str, told: dict[str, str], rows: list[Row]) -> Line:
    return Line(place, told["label"], told["sentence"], tuple(rows))


def summary(rows: Iterable[Row], language: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """What the rows allow, in a few words: what can be done, and with which sections."""
    said = words(language)["consent"]
    found: dict[str, dict[str, None]] = {}
    rows = tuple(rows)
    for group in groups(rows, language):
        whole = {line.place for line in group.lines} == _places(group.code)
        for line in group.lines:
            for row in line.rows:
                found.setdefault(_verb(row, said), {})[group.label if whole else line.label] = None
    for line in beside(rows, language):
        for row in line.rows:
            found.setdefault(_verb(row, said), {})[line.label] = None
    return tuple(
        (verb, tuple(labels)) for verb, labels in sorted(found.items(), key=lambda one: one[0] != said["reading"])
    )


def _verb(row: Row, said: Mapping[str, Any]) -> str:
    return str(said["reading"] if row.reads else said["writing"][row.letters])


def _places(section: str) -> set[str]:
    """All that a section is divided into."""
    divided = (codes for (code, _), codes in DIVISIONS.items() if code == section)
    return {section, *(f"{section}.{division}" for codes in divided for division in codes)}
