"""The structure check of many resources: the models are asked once for each shape, the walk every time.

What the models judge and the walk does not depends on which elements are there, and of which kind, not on their
values; thousands of resources of one origin have a few dozen shapes.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from fhir_server.fhir.outcome import Unprocessable
from fhir_server.validation import elements, structure

#: So many shapes are remembered.
SHAPES = 20_000


class Check:
    """Raises Unprocessable, as `structure.check` does."""

    def __init__(self) -> None:
        self._good: set[Hashable] = set()

    def __call__(self, resource: dict[str, Any]) -> None:
        """Check one more resource."""
        form = shape(resource)
        if form not in self._good:
            structure.check(resource)
            if len(self._good) < SHAPES:
                self._good.add(form)
            return
        issues = elements.faults(resource)
        if issues:
            raise Unprocessable.of(issues)


def shape(value: Any) -> Any:
    """
    The elements of a value, and the kinds of their values, hashable; how often a list repeats one says nothing.

    >>> shape({"a": [{"b": 1}, {"b": 2}]}) == shape({"a": [{"b": 3}]})
    True
    """
    kind = type(value)
    if kind is dict:
        return tuple(
            [
                (name, inner if name == "resourceType" and type(inner) is str else shape(inner))
                for name, inner in value.items()
            ]
        )
    if kind is list:
        return frozenset(map(shape, value))
    return kind
