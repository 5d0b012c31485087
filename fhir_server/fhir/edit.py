"""Changes of the element at a place, in a resource that the caller has copied: these alone write into what they get.

A primitive element is two properties in JSON, `name` and `_name`, whose lists run side by side; here it is one pair.
R4: json.html#primitive
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fhir_server.fhir import locate
from fhir_server.fhir.definitions import Element
from fhir_server.fhir.locate import Place
from fhir_server.fhir.outcome import Unprocessable

Pair = tuple[Any, dict[str, Any] | None]
"""The value of an element and, if it is primitive, the object of its id and extensions."""


def inside_to_write(draft: dict[str, Any], place: Place) -> dict[str, Any]:
    """The object inside the element, to be changed; made if it is a primitive that had no extensions."""
    if place.element is not None and place.element.primitive and not locate.inside(draft, place):
        if place.element.attribute:
            raise Unprocessable(f"`{place.element.name}` has no extensions.")
        _change(draft, place, lambda pair: (pair[0], {}))
    return locate.inside(draft, place)


def remove(draft: dict[str, Any], place: Place) -> None:
    """Takes the element out, and what holds it if nothing else is left there: FHIR has no empty elements."""
    if not place.steps:
        raise Unprocessable("a patch does not delete the resource as a whole.")
    above = locate.parent(draft, place)
    _change(draft, place, lambda pair: None)
    if not above.steps or locate.inside(draft, above):
        return
    if above.element is not None and above.element.primitive and locate.value_at(draft, above) != {}:
        _change(draft, above, lambda pair: (pair[0], None))
        return
    remove(draft, above)


def _change(draft: dict[str, Any], place: Place, change: Callable[[Pair], Pair | None]) -> None:
    holder = locate.inside(draft, locate.parent(draft, place))
    element, index = place.steps[-1]
    held, position = pairs(holder, element), index or 0
    changed = change(held[position])
    held[position : position + 1] = [] if changed is None else [changed]
    store(holder, element, held)


def pairs(holder: dict[str, Any], element: Element) -> list[Pair]:
    """The element's values, each with its id and extensions if it is primitive.  R4: json.html#primitive"""
    value = holder.get(element.name)
    extras = holder.get(f"_{element.name}") if element.primitive else None
    if not isinstance(value, list) and not isinstance(extras, list):
        return [] if value is None and extras is None else [(value, extras)]
    values, objects = value or [], extras or []
    length = max(len(values), len(objects))
    return [(_nth(values, index), _nth(objects, index)) for index in range(length)]


def store(holder: dict[str, Any], element: Element, held: list[Pair]) -> None:
    """Writes what `pairs` read; a list of which nothing is left goes, and so does `_name` without extensions."""
    columns = {element.name: [pair[0] for pair in held], f"_{element.name}": [pair[1] for pair in held]}
    for name, column in columns.items():
        if all(item is None for item in column):
            holder.pop(name, None)
        else:
            holder[name] = column if element.many else column[0]


def rename(holder: dict[str, Any], old: Element, new: Element) -> None:
    """Gives a choice element the name for its new type, at its place among the others."""
    if old.name == new.name:
        return
    members = list(holder.items())
    holder.clear()
    for name, value in members:
        holder[name.replace(old.name, new.name) if name in (old.name, f"_{old.name}") else name] = value


def _nth(items: list[Any], index: int) -> Any:
    return items[index] if index < len(items) else None
