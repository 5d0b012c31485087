"""A profile as one tree: its differential over those of the profiles it is derived from.

    Node          an element: its ElementDefinition, its children, its slices
    tree()        of a StructureDefinition, with what it inherits
    overlay()     of two trees, the second narrowing the first

R4 itself is not in the tree: fhir/definitions.py has it, and the structure check has asked it already.

R4: profiling.html, structuredefinition.html, elementdefinition.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fhir_server.fhir import definitions

BASE = "http://hl7.org/fhir/StructureDefinition/"

#: Finds a StructureDefinition by its canonical URL without version; None: it is not known.
Find = Callable[[str], Mapping[str, Any] | None]

# A segment of ElementDefinition.id: the name, then the slice.  R4: elementdefinition.html#id
_SEGMENT = re.compile(r"(?P<name>[A-Za-z0-9]+(?:\[x\])?)(?::(?P<slice>[A-Za-z0-9/_\-\[\]@]+))?")
_LONGEST_CHAIN = 20


class ProfileError(Exception):
    """A StructureDefinition that cannot be used.  The message is one line that names it."""


@dataclass(frozen=True)
class Node:
    """An element of a profile, or a slice of one."""

    rules: Mapping[str, Any] = field(default_factory=dict)
    """The ElementDefinition."""
    children: Mapping[str, Node] = field(default_factory=dict)
    """By name, `value[x]` for a choice."""
    slices: Mapping[str, Node] = field(default_factory=dict)
    """By name; of a choice they are named as JSON does: `valueQuantity`."""


def tree(definition: Mapping[str, Any], find: Find) -> Node:
    """The tree of a profile and of those it is derived from.  Raises ProfileError where one of these is not known."""
    chain = [definition]
    while chain[-1].get("derivation") == "constraint" and not _is_base(chain[-1]["baseDefinition"], definition["type"]):
        base = find(chain[-1]["baseDefinition"].partition("|")[0])
        if base is None or len(chain) > _LONGEST_CHAIN:
            raise ProfileError(f"{chain[-1]['url']} is derived from {chain[-1]['baseDefinition']}, which is not known.")
        chain.append(base)
    whole = Node()
    for one in reversed(chain):
        whole = overlay(whole, _differential(one))
    return whole


def overlay(base: Node, over: Node) -> Node:
    """What both ask for: where they differ, `over` is the narrower, as whoever derives a profile has to see to."""
    constraints = [*base.rules.get("constraint", ()), *over.rules.get("constraint", ())]
    return Node(
        rules={**base.rules, **over.rules, **({"constraint": constraints} if constraints else {})},
        children=_overlaid(base.children, over.children),
        slices=_overlaid(base.slices, over.slices),
    )


def _overlaid(base: Mapping[str, Node], over: Mapping[str, Node]) -> dict[str, Node]:
    return {
        **base,
        **{name: overlay(base[name], node) if name in base else node for name, node in over.items()},
    }


def _is_base(url: str, type: str) -> bool:
    return url == BASE + type


def _differential(definition: Mapping[str, Any]) -> Node:
    type: str = definition["type"]
    whole = Node()
    for element in definition.get("differential", {}).get("element", ()):
        try:
            steps = _steps(type, element.get("id") or element["path"])
        except (ProfileError, KeyError):
            raise ProfileError(
                f"{definition['url']}: {element.get('id') or element.get('path')} is not an element of {type}."
            ) from None
        whole = overlay(whole, _branch(steps, element))
    return whole


def _branch(steps: list[tuple[str, str | None]], element: Mapping[str, Any]) -> Node:
    """A tree of one element and the way to it."""
    rules = {name: value for name, value in element.items() if name not in ("id", "path", "sliceName")}
    node = Node(rules=rules)
    for name, slice in reversed(steps):
        if slice:
            node = Node(slices={slice: node})
        node = Node(children={name: node})
    return node


def _steps(type: str, id: str) -> list[tuple[str, str | None]]:
    """The names and slices on the way from the root: `Patient.name:official.family` → name:official, family."""
    root, *segments = id.split(".")
    if root != type:
        raise ProfileError(id)
    steps: list[tuple[str, str | None]] = []
    keys = [type]
    for segment in segments:
        found = _SEGMENT.fullmatch(segment)
        if not found:
            raise ProfileError(id)
        name, slice = found["name"], found["slice"]
        elements = [
            one for key in keys for one in definitions.structure(key).values() if name in (one.choice, one.name)
        ]
        if not elements:
            raise ProfileError(id)
        if elements[0].choice and name != elements[0].choice:  # `valueQuantity`, short for `value[x]:valueQuantity`
            name, slice = elements[0].choice, name
        steps.append((name, slice))
        keys = sorted({one.structure or "Element" for one in elements})
    return steps
