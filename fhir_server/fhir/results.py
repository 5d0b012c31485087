"""The parameters that shape an answer, whatever it is to.  R4: search.html#Summary, http.html#parameters"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson

from fhir_server.fhir import json, subset
from fhir_server.fhir.outcome import BadRequest

#: Read by the wire (rest/negotiation.py), on every interaction.
FORMAT = frozenset({"_format", "_pretty"})
SUBSET = frozenset({"_summary", "_elements"})
_SUMMARIES = ("true", "text", "data", "count", "false")


@dataclass(frozen=True)
class Subset:
    """What is left of a resource: the named elements, or those of a summary."""

    elements: tuple[str, ...] = ()
    summary: str | None = None

    def of(self, resource: dict[str, Any]) -> dict[str, Any]:
        """The resource with only that, tagged SUBSETTED."""
        if self.elements:
            return subset.elements(resource, self.elements)
        return subset.summarise(resource, self.summary or "true")


def count_of(query: Iterable[tuple[str, str]], default: int, most: int) -> int:
    """The page size that `_count` asks for, at most the largest there is.  Raises BadRequest."""
    text = single(query, "_count")
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise BadRequest(f"`_count={text}`: expected a whole number from 0 on.")
    return min(int(text), most)


def served(body: bytes | None, asked: Subset | None) -> orjson.Fragment | dict[str, Any]:
    """The resource with these bytes as it goes into a Bundle: the bytes themselves, or the part that is asked for."""
    return asked.of(json.parse(body or b"")) if asked else orjson.Fragment(body or b"null")


def single(query: Iterable[tuple[str, str]], name: str) -> str | None:
    """The one value of a parameter, None if it is not given.  Raises BadRequest if it is given twice."""
    values = [value for key, value in query if key == name]
    if len(values) > 1:
        raise BadRequest(f"`{name}` is given {len(values)} times; once is enough.")
    return values[0] if values else None


def subset_asked(query: Iterable[tuple[str, str]]) -> Subset | None:
    """What `_summary` and `_elements` leave of a resource; None for all of it.  Raises BadRequest."""
    query = tuple(query)
    summary = single(query, "_summary")
    if summary is not None and summary not in _SUMMARIES:
        raise BadRequest(f"`_summary={summary}`: known are {', '.join(_SUMMARIES)}.")
    elements = single(query, "_elements")
    names = tuple(name.strip() for name in elements.split(",") if name.strip()) if elements is not None else ()
    if elements is not None and not names:
        raise BadRequest("`_elements` names no element.")
    if names:
        return Subset(elements=names)
    return Subset(summary=summary) if summary in ("true", "text", "data") else None


def refuse_unknown(query: Iterable[tuple[str, str]], *known: str) -> None:
    """Raise BadRequest for a parameter that the interaction does not take, and say which it does."""
    takes = sorted({*known, *SUBSET, *FORMAT})
    for name, _ in query:
        if name not in takes:
            raise BadRequest(f"`{name}` is not a parameter of this interaction; known: {', '.join(takes)}.")
