"""What R4 says of each type: its elements, in the standard's order, with type, cardinality, flags, targets, binding.

Read from profiles/r4/elements.json (derive.py writes it) when first asked; every R4 resource and data type is there,
since any of them may be contained in a supported one.

>>> value = structure("Observation")["valueQuantity"]
>>> value.choice, value.structure, value.many
('value[x]', 'Quantity', False)
>>> structure("Questionnaire.item")["item"].structure
'Questionnaire.item'

R4: structuredefinition.html, elementdefinition.html, formats.html#choice
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import orjson

from fhir_server.config import carried

#: How JSON carries a primitive type: as `boolean`, `integer`, `decimal` or `string`.  R4: json.html#primitive
PRIMITIVES: Mapping[str, str] = {
    "base64Binary": "string",
    "boolean": "boolean",
    "canonical": "string",
    "code": "string",
    "date": "string",
    "dateTime": "string",
    "decimal": "decimal",
    "id": "string",
    "instant": "string",
    "integer": "integer",
    "markdown": "string",
    "oid": "string",
    "positiveInt": "integer",
    "string": "string",
    "time": "string",
    "unsignedInt": "integer",
    "uri": "string",
    "url": "string",
    "uuid": "string",
    "xhtml": "string",
}


@dataclass(frozen=True, slots=True)
class Element:
    """One JSON property of a structure.  A choice element is several: `value[x]` is valueQuantity, valueString, ..."""

    name: str
    choice: str | None
    """The choice it belongs to, `value[x]`: at most one of them may be there, and `min` is that of the choice."""
    type: str
    """Type code: Quantity, code, BackboneElement, Resource, xhtml, ..."""
    structure: str | None
    """Key of what is inside: `Observation.component`, `Quantity`.  None for a primitive; of a resource held by
    another it is `Resource`, and the resource's own `resourceType` says the rest."""
    min: int
    many: bool
    summary: bool
    modifier: bool
    targets: tuple[str, ...]
    """The types that a Reference or canonical may point at.  None listed: any."""
    binding: str | None
    """The value set, without version, whose codes alone are allowed: profiles/r4/bindings.json has them."""
    primitive: bool
    attribute: bool
    """An attribute in XML, and never with extensions: Element.id, Extension.url."""


@dataclass(frozen=True, slots=True)
class _Definitions:
    resources: frozenset[str]
    structures: Mapping[str, Mapping[str, Element]]


def structure(key: str) -> Mapping[str, Element]:
    """The elements of a type (`Observation`, `Quantity`) or backbone (`Observation.component`), by name, in order.

    Raises KeyError for what R4 does not define.
    """
    return _definitions().structures[key]


def is_resource(type: str) -> bool:
    """Whether R4 has a (concrete) resource type of this name."""
    return type in _definitions().resources


def resources() -> frozenset[str]:
    """Every (concrete) resource type of R4."""
    return _definitions().resources


@cache
def codes(value_set: str) -> Mapping[str, tuple[str, ...]]:
    """The codes of each system of a value set that R4 binds an element to; none of one that cannot be listed."""
    return {system: tuple(listed) for system, listed in bindings()["codes"].get(value_set, {}).items()}


@cache
def bindings() -> dict[str, Any]:
    """profiles/r4/bindings.json: {"codes": {value set: {system: [code]}}, "open": [value set]}."""
    return orjson.loads((carried("profiles") / "r4" / "bindings.json").read_bytes())


@cache
def _definitions() -> _Definitions:
    table = orjson.loads((carried("profiles") / "r4" / "elements.json").read_bytes())
    structures = {
        key: {element.name: element for row in rows for element in _expand(row)}
        for key, rows in table["structures"].items()
    }
    return _Definitions(frozenset(table["resources"]), structures)


def _expand(row: dict[str, Any]) -> list[Element]:
    """The row's element, or one for each type of a choice."""
    name: str = row["name"]
    stem = name.removesuffix("[x]")
    choice = name if stem != name else None
    flags = row.get("flags", "")
    return [
        Element(
            name=stem + type_[0].upper() + type_[1:] if choice else name,
            choice=choice,
            type=type_,
            structure=None if type_ in PRIMITIVES else row.get("structure", type_),
            min=row["min"],
            many=row["max"] == "*",
            summary="S" in flags,
            modifier="M" in flags,
            targets=tuple(targets),
            binding=row.get("binding"),
            primitive=type_ in PRIMITIVES,
            attribute="A" in flags,
        )
        for type_, targets in row["types"].items()
    ]
