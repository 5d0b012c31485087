"""The last n of each code, the slow way: every observation is held against every other.

Written from the text of the standard and from nothing else.  R4: observation-operation-lastn.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from tests.naive import dates

Resource = Mapping[str, Any]


def last_of_each(observations: Iterable[Resource], most: int) -> list[str]:
    """The ids of the last `most` of each group, and of those as recent as the last of them; the most recent first."""
    rest = list(observations)
    found: list[Resource] = []
    while rest:
        group = [rest.pop()]
        for one in group:  # which grows meanwhile
            alike = [other for other in rest if _same(one, other)]
            rest = [other for other in rest if other not in alike]
            group += alike
        counted = sorted(map(_when, group), reverse=True)[:most]
        found += [one for one in group if _when(one) >= counted[-1]]
    found.sort(key=lambda one: str(one["id"]))
    found.sort(key=_when, reverse=True)
    return [one["id"] for one in found]


def _same(one: Resource, other: Resource) -> bool:
    """Whether they share a coding, or have none, and the same text."""
    ours, theirs = _codings(one), _codings(other)
    if ours or theirs:
        return bool(ours & theirs)
    return one["code"].get("text") == other["code"].get("text")


def _codings(one: Resource) -> set[tuple[Any, str]]:
    return {(each.get("system"), each["code"]) for each in one["code"].get("coding", ()) if "code" in each}


def _when(one: Resource) -> tuple[bool, datetime]:
    """When it begins; what has no time is before everything."""
    told = one.get("effectiveDateTime") or one.get("effectivePeriod")
    stretch = dates.stretch_of(told) if told else None
    return (True, stretch.start) if stretch else (False, datetime.min.replace(tzinfo=UTC))
