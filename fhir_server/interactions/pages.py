"""One page of a search: by keyset, so that writers meanwhile neither repeat nor hide what they do not touch.

Across types the results are merged in their order; where it leaves two equal, by type and id.  R4: search.html#Paging
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cmp_to_key
from typing import Any

from fhir_server.fhir.dates import MILLISECOND
from fhir_server.repository import Repository
from fhir_server.search.expression import Expression
from fhir_server.search.query import Order
from fhir_server.storage.documents import Stored

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Before and behind every id.
_LOWEST, _HIGHEST = "", "~"


@dataclass(frozen=True)
class Start:
    """Where a page starts: behind (back: before) the resource of this type at this place, `seen` results on."""

    type: str
    place: tuple[Any, ...]
    back: bool = False
    seen: int = 0


@dataclass(frozen=True)
class Page:
    """What a page holds, and whether there is more on either side; `seen` results are before it."""

    stored: list[Stored]
    before: bool
    after: bool
    seen: int = 0


def page(
    repository: Repository,
    wheres: dict[str, Expression],
    order: tuple[Order, ...],
    count: int,
    start: Start | None,
    most: int | None = None,
) -> Page:
    """Up to `count` of what these types' expressions select; no result from the `most`th on."""
    back = start is not None and start.back
    seen = start.seen if start else 0
    limit = count if most is None or back else min(count, most - seen)
    if limit <= 0:
        return Page([], start is not None, False, seen)
    types = list(wheres)
    if back:
        types.reverse()
    found: list[Stored] = []
    for type in types:
        if start and not order and _is_passed(type, start, types):
            continue
        # Without an order the types come one behind the other, and what is full needs no more of them.
        room = limit if order else limit - len(found)
        after = _place(type, start, types, order)
        # What is merged is cut afterwards: not all that each type finds is served.
        part = repository.search(
            type, wheres[type], limit=room, order=order, after=after, back=back, beyond=True, served=False
        )
        found = [*part, *found] if back else [*found, *part]
        if not order and len(found) > limit:
            break
    if order and len(types) > 1:
        found.sort(key=cmp_to_key(_comparison(order, list(wheres))))
    more = len(found) > limit
    found = found[-limit:] if back else found[:limit]
    repository.disclose(found)
    if back:
        return Page(found, more, True, seen - len(found))
    return Page(found, start is not None, more and (most is None or seen + limit < most), seen)


def position(found: Page, *, back: bool) -> list[Any]:
    """Where the page behind this one starts, or the one before it; as JSON can say it."""
    edge = found.stored[0 if back else -1]
    seen = found.seen if back else found.seen + len(found.stored)
    return [edge.type, [_written(value) for value in edge.place], back, seen]


def read_position(written: Any) -> Start:
    """What `position` wrote."""
    type, place, back, seen = written
    return Start(type, tuple(_read(value) for value in place), back, seen)


def _is_passed(type: str, start: Start, types: list[str]) -> bool:
    return start.type in types and types.index(type) < types.index(start.type)


def _place(type: str, start: Start | None, types: list[str], order: tuple[Order, ...]) -> tuple[Any, ...] | None:
    """The place of the start among the resources of this type: of those that are equal to it, by type."""
    if start is None or type == start.type:
        return start.place if start else None
    if not order:
        return None
    passed = _is_passed(type, start, types)
    return (*start.place[:-1], _HIGHEST if passed is not start.back else _LOWEST)


def _comparison(order: tuple[Order, ...], types: list[str]) -> Callable[[Stored, Stored], int]:
    def compare(one: Stored, other: Stored) -> int:
        for number, key in enumerate(order):
            found = _compared(one.place[number], other.place[number])
            if found:
                return -found if key.descending else found
        return _compared((types.index(one.type), one.id), (types.index(other.type), other.id))

    return compare


def _compared(one: Any, other: Any) -> int:
    """A missing value is lower than any."""
    if one is None or other is None:
        return (one is not None) - (other is not None)
    return (one > other) - (one < other)


def _written(value: Any) -> Any:
    if isinstance(value, datetime):
        return {"time": (value - _EPOCH) // MILLISECOND}
    return {"number": str(value)} if isinstance(value, Decimal) else value


def _read(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if "time" in value:
        return _EPOCH + value["time"] * MILLISECOND
    return Decimal(value["number"])
