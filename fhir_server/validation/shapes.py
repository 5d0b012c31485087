"""What a resource is built of, its values aside: what the models of fhir.resources judge depends on nothing else.

The walk has judged every value by then.  Thousands of resources of one origin have a few dozen shapes, so that a model
is asked once for each, and writes need not wait for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fhir_server.fhir.outcome import Issue

#: So many shapes are remembered, each as a number; the models are asked about any further one every time.
MOST = 50_000


class OncePerShape:
    """`judge`, asked about one resource of each shape in which it finds no fault."""

    def __init__(self, judge: Callable[[dict[str, Any]], list[Issue]]):
        self._judge = judge
        self._good: set[int] = set()

    def __call__(self, resource: dict[str, Any]) -> list[Issue]:
        """The faults of the resource."""
        form = hash(shape(resource))
        if form in self._good:
            return []
        issues = self._judge(resource)
        if not issues and len(self._good) < MOST:
            self._good.add(form)
        return issues


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
