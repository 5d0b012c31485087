"""The filters of a value set: a property of a concept, an operator, a value.  R4: valueset-filter-operator.html

A regular expression comes with the value set, from whoever wrote it: it is run by an engine whose time is linear in
the text, whatever the expression.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import re2

from fhir_server.fhir.outcome import NotSupported, Unprocessable
from fhir_server.fhir.terminology.concepts import Concept

if TYPE_CHECKING:
    from fhir_server.fhir.terminology.systems import System

#: The operators that ask for the place of a concept in the hierarchy.
HIERARCHY = ("is-a", "descendent-of", "is-not-a", "generalizes")
OPERATORS = ("=", *HIERARCHY, "in", "not-in", "regex", "exists")
#: What every system can be asked for, whatever properties it declares.
OF_EVERY_SYSTEM = (
    "code",
    "concept",
    "display",
    "definition",
    "parent",
    "child",
    "ancestor",
    "inactive",
    "notSelectable",
)
_CODE = ("code", "concept")
_LONGEST_PATTERN = 1_000


@dataclass(frozen=True, slots=True)
class Condition:
    """One filter of ValueSet.compose.include; `name` is the property that it asks for."""

    name: str
    op: str
    value: str

    @property
    def of_hierarchy(self) -> bool:
        """Whether it asks for the place in the hierarchy."""
        return self.op in HIERARCHY

    @property
    def values(self) -> tuple[str, ...]:
        """The values of `in` and `not-in`, parted by commas."""
        return tuple(part.strip() for part in self.value.split(","))


def condition(row: Mapping[str, Any], about: Mapping[str, Any], place: str) -> Condition:
    """
    One ValueSet.compose.include.filter of good structure, on the system that `about` describes.

    Raises NotSupported for an operator or a property that cannot be asked for, Unprocessable for a bad value.
    """
    found = Condition(row["property"], row["op"], row["value"])
    if found.op not in OPERATORS:
        raise NotSupported(
            f"`{found.op}` is not an operator of a filter; known: {', '.join(OPERATORS)}.", f"{place}.op"
        )
    known = (*OF_EVERY_SYSTEM, *(each["code"] for each in about.get("property", ())))
    if found.name not in known or (found.of_hierarchy and found.name not in _CODE):
        offered = _CODE if found.of_hierarchy else known
        raise NotSupported(
            f"`{found.name} {found.op}` cannot be asked of {about.get('url')}; its properties are "
            f"{', '.join(dict.fromkeys(offered))}.",
            f"{place}.property",
        )
    if found.op == "exists" and found.value not in ("true", "false"):
        raise Unprocessable(f"`exists` takes true or false, not `{found.value}`.", f"{place}.value")
    if found.op == "regex":
        pattern(found.value, f"{place}.value")
    return found


@lru_cache(maxsize=256)
def pattern(text: str, place: str = "") -> Any:
    """The compiled regular expression.  Raises Unprocessable for what is none, or has no linear time."""
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 1 << 20
    if len(text) <= _LONGEST_PATTERN:
        try:
            return re2.compile(text, options)
        except re2.error as error:
            reason = error.args[0].decode() if isinstance(error.args[0], bytes) else str(error.args[0])
            raise Unprocessable(f"`{text}` is not a regular expression that is run here: {reason}.", place) from None
    raise Unprocessable(f"A regular expression has at most {_LONGEST_PATTERN} characters.", place)


def holds(asked: Condition, concept: Concept, system: System) -> bool:
    """Whether the concept of the system meets the condition."""
    code = concept.code
    match asked.op:
        case "is-a":
            return code == asked.value or asked.value in _above(concept, system)
        case "descendent-of":
            return asked.value in _above(concept, system)
        case "is-not-a":
            return code != asked.value and asked.value not in _above(concept, system)
        case "generalizes":
            return code == asked.value or code in system.ancestors(asked.value)
        case "exists":
            return any(True for _ in values(concept, asked.name, system)) == (asked.value == "true")
        case "regex":
            run = pattern(asked.value)
            return any(run.fullmatch(value) for value in values(concept, asked.name, system))
        case "in":
            return any(value in asked.values for value in values(concept, asked.name, system))
        case "not-in":
            return not any(value in asked.values for value in values(concept, asked.name, system))
    return asked.value in values(concept, asked.name, system)


def values(concept: Concept, name: str, system: System) -> Iterator[str]:
    """The values of a property, as a filter states them."""
    match name:
        case "code" | "concept":
            yield concept.code
        case "display":
            yield from () if concept.display is None else (concept.display,)
        case "definition":
            yield from () if concept.definition is None else (concept.definition,)
        case "parent":
            yield from concept.parents
        case "ancestor":
            yield from _above(concept, system)
        case "child":
            yield from system.children(concept.code)
        case "inactive":
            yield "true" if concept.inactive else "false"
        case "notSelectable":
            yield "true" if concept.abstract else "false"
        case _:
            yield from (each.text for each in concept.properties if each.code == name)


def _above(concept: Concept, system: System) -> frozenset[str]:
    return system.ancestors(concept.code) if concept.ancestors is None else concept.ancestors
