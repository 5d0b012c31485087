"""A value set with all who are in, or a page of them.  R4: valueset-operation-expand.html, valueset.html#expansion

Flat, in the order of compose and of the code systems; nested, as the systems have their concepts, where that is asked
for and the expansion is whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from fhir_server.fhir.dates import instant
from fhir_server.fhir.outcome import TooCostly
from fhir_server.fhir.terminology.concepts import Designation, words
from fhir_server.fhir.terminology.conditions import Condition
from fhir_server.fhir.terminology.systems import Resource
from fhir_server.fhir.terminology.value_sets import Definition, Member

#: An expansion with more codes is too costly, unless it is one system and a page of it.
MOST = 10_000
#: Rows that would stand deeper come to the top.
_DEEPEST = 40
_SELECTABLE = Condition("notSelectable", "=", "false")
#: What of the value set stands beside its expansion; the definition too, where it is asked for.
_KEPT = ("resourceType", "id", "meta", "language", "url", "identifier", "version", "name", "title", "status",
         "experimental", "date", "publisher", "copyright")  # fmt: skip
_DEFINING = ("description", "immutable", "purpose", "contact", "useContext", "jurisdiction", "compose")


@dataclass(frozen=True)
class Wanted:
    """
    What an expansion is to be.

    text          only those whose words begin so
    count         None: all, from `offset` on
    language      of the displays; None: as the systems have them
    selectable    without codes that only group others
    """

    text: str | None = None
    offset: int = 0
    count: int | None = None
    language: str | None = None
    designations: bool = False
    active_only: bool = False
    nested: bool = False
    definition: bool = False
    selectable: bool = False

    def parameters(self) -> Iterator[dict[str, Any]]:
        """As ValueSet.expansion.parameter."""
        if self.text is not None:
            yield {"name": "filter", "valueString": self.text}
        if self.count is not None:
            yield {"name": "count", "valueInteger": self.count}
        if self.offset:
            yield {"name": "offset", "valueInteger": self.offset}
        if self.language is not None:
            yield {"name": "displayLanguage", "valueCode": self.language}
        flags = {
            "includeDesignations": self.designations,
            "activeOnly": self.active_only,
            "excludeNotForUI": self.selectable,
        }
        yield from ({"name": name, "valueBoolean": True} for name, value in flags.items() if value)
        yield {"name": "excludeNested", "valueBoolean": not self.nested}


def expand(definition: Definition, wanted: Wanted, *, now: datetime, identifier: str) -> Resource:
    """
    The ValueSet with its expansion.  identifier: a new uri for this expansion.

    Raises TooCostly when it would hold more than MOST codes.
    """
    total, page = _page(definition, wanted)
    about = definition.about
    kept = _KEPT + _DEFINING if wanted.definition else _KEPT
    nested = wanted.nested and wanted.count is None and not wanted.offset
    rows = [_row(member, wanted) for member in page]
    expansion: dict[str, Any] = {"identifier": identifier, "timestamp": instant(now), "total": total}
    if wanted.offset or wanted.count is not None:
        expansion["offset"] = wanted.offset
    expansion["parameter"] = [
        *wanted.parameters(),
        *({"name": "version", "valueUri": f"{url}|{version}"} for url, version in definition.versions()),
    ]
    contains = _nest(page, rows) if nested else rows
    if contains:
        expansion["contains"] = contains
    whole = {name: about[name] for name in kept if name in about}
    return {"resourceType": "ValueSet", **whole, "status": about.get("status", "active"), "expansion": expansion}


def _page(definition: Definition, wanted: Wanted) -> tuple[int, list[Member]]:
    """How many there are in all, and those of the page."""
    asked = words(wanted.text) if wanted.text is not None else []
    active_only = wanted.active_only or not definition.inactive
    part = definition.alone()
    if part and part.known and part.url is not None and wanted.count is not None and wanted.count <= MOST:
        # A page of one system, however large it is.
        conditions = (*part.conditions, *([_SELECTABLE] if wanted.selectable else []))
        total = part.known.count(conditions, asked, active_only=active_only)
        language = part.known.about.get("language")
        found = part.known.select(conditions, asked, skip=wanted.offset, active_only=active_only)
        return total, [Member(part.url, part.version, each, language) for each in islice(found, wanted.count)]
    everyone = definition.members(asked, active_only=active_only)
    members = list(islice((each for each in everyone if not (wanted.selectable and each.concept.abstract)), MOST + 1))
    if len(members) > MOST:
        narrow = "a `filter`" if part is None else "a `count`, or a `filter`"
        raise TooCostly(f"The value set has more than {MOST} codes; ask with {narrow}.")
    end = None if wanted.count is None else wanted.offset + wanted.count
    return len(members), members[wanted.offset : end]


def _row(member: Member, wanted: Wanted) -> dict[str, Any]:
    """A member as ValueSet.expansion.contains."""
    concept = member.concept
    row: dict[str, Any] = {"system": member.system}
    if concept.abstract:
        row["abstract"] = True
    if concept.inactive:
        row["inactive"] = True
    if member.version:
        row["version"] = member.version
    row["code"] = concept.code
    display = concept.named(wanted.language, member.language)
    if display is not None:
        row["display"] = display
    if wanted.designations:
        designations: list[Designation] = list(concept.designations)
        if concept.display is not None and display != concept.display:
            designations.insert(0, Designation(concept.display, member.language))
        if designations:
            row["designation"] = [each.as_json() for each in designations]
    return row


def _nest(page: Sequence[Member], rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows below those that stand above them in their system; each once, below the first that is in."""
    by_key = {member.key: row for member, row in zip(page, rows, strict=True)}
    over: dict[tuple[str, str], tuple[str, str]] = {}
    for member in page:
        parents = ((member.system, code) for code in member.concept.parents)
        above = next((parent for parent in parents if parent in by_key), None)
        if above is not None:
            over[member.key] = above
    top: list[dict[str, Any]] = []
    for key, row in by_key.items():
        if key in over and _depth(key, over) <= _DEEPEST:
            by_key[over[key]].setdefault("contains", []).append(row)
        else:
            top.append(row)
    return top


def _depth(key: tuple[str, str], over: Mapping[tuple[str, str], tuple[str, str]]) -> int:
    """How many stand above it, as far as it matters: a hierarchy may turn in a circle."""
    depth = 0
    while key in over and depth <= _DEEPEST:
        key = over[key]
        depth += 1
    return depth
