"""What a reference says of its target: `display` is left out where the target is hidden.

A List that names a masked document would tell its title.  The reference itself stays: it names what the resource is
about, and leads nowhere.  R4: references.html#Reference
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from fhir_server.fhir import references
from fhir_server.fhir.types import TYPES


@cache
def _named() -> re.Pattern[bytes]:
    """A reference to a resource of a record, in the bytes of a resource."""
    types = "|".join(name for name, type in TYPES.items() if not type.directory)
    return re.compile(rb'"reference":"(?:[^"]*/)?(?:' + types.encode() + rb")/")


def may_tell(body: bytes) -> bool:
    """Whether a resource may tell of another, from its bytes alone: most need not be looked into."""
    return b'"display":' in body and _named().search(body) is not None


def told(resource: Any, base: str) -> set[tuple[str, str]]:
    """(type, id) of each resource of a record that a reference with a display leads to."""
    return set(_targets(resource, base))


def without(resource: Any, hidden: frozenset[tuple[str, str]], base: str) -> Any:
    """The resource without the displays of references to these."""
    if isinstance(resource, list):
        return [without(one, hidden, base) for one in resource]
    if not isinstance(resource, dict):
        return resource
    left_out = {"display", "_display"} if _target(resource, base) in hidden else set()
    return {name: without(value, hidden, base) for name, value in resource.items() if name not in left_out}


def _targets(value: Any, base: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        target = _target(value, base)
        if target:
            yield target
    if isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _targets(one, base)


def _target(value: dict[str, Any], base: str) -> tuple[str, str] | None:
    """What a Reference with a display leads to, if it is a resource of a record here."""
    said = value.get("reference")
    if not isinstance(said, str) or not ("display" in value or "_display" in value):
        return None
    found = references.parse(said, base)
    if not found.local or found.type not in TYPES or TYPES[found.type].directory:
        return None
    return found.type, str(found.id)
