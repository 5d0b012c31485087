"""A profile's tree as JSON Schema (draft 2020-12), of the whole resource: what it asks beyond R4.

    cardinality          required, not required, minItems, maxItems
    fixed[x], pattern[x] const; of a pattern each part by itself, and contains for what a list must hold
    required bindings    the codes of each system, as enum; asked of `members`
    types of a choice    not required, for those that the profile leaves out
    targets              the reference matches no other type's
    slices               contains with minContains and maxContains; if the discriminators match, then the slice's rules

Only standard keywords assert; pieces.py says what stands beside them.  Not checked: the order of slices, the bounds of
dates and quantities, and discriminators of type `profile`.

R4: profiling.html, elementdefinition.html, https://json-schema.org/draft/2020-12
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from fhir_server.fhir import definitions
from fhir_server.fhir.definitions import Element
from fhir_server.validation.elements import step
from fhir_server.validation.profiling.pieces import (
    Schema,
    all_of,
    any_of,
    coded,
    fault,
    having,
    in_words,
    literal,
    near_of,
    property_of,
    slice_step,
    target,
    there,
    times,
)
from fhir_server.validation.profiling.tree import BASE, Find, Node, ProfileError, overlay, tree
from fhir_server.validation.words import listing

#: The (system, code) pairs of a value set; None: the value set is not known here.
Members = Callable[[str], frozenset[tuple[str, str]] | None]

_HELD = ("fixed", "pattern")
#: The types that a binding is about.  R4: terminologies.html#4.1
_CODED = ("code", "string", "uri", "Coding", "CodeableConcept", "Quantity")
_BY_URL = ({"type": "value", "path": "url"},)
_EXTENSION_PATH = re.compile(r"extension\('([^']+)'\)")


@dataclass(frozen=True)
class Coding:
    """What a binding asks.  Only a required one that is known is an error, and so part of the schema."""

    schema: Schema
    code: str
    text: str
    required: bool
    systems: Sequence[str] = ()


class Compiler:
    """Makes the schema of one profile; `title` names it in every sentence."""

    def __init__(self, title: str, find: Find, members: Members):
        self._title = title
        self._find = find
        self._members = members
        self._trees: dict[str, Node] = {}

    def of_object(self, node: Node, key: str) -> Schema:
        """What an object of this structure must be, beyond what R4 asks."""
        return all_of(schema for name, child in node.children.items() for schema in self._of_child(name, child, key))

    def match(self, slice: Node, element: Element, discriminators: Iterable[Mapping[str, str]]) -> Schema:
        """What an item that belongs to the slice looks like.  R4: profiling.html#discriminator"""
        found = [
            self._discriminated(self.dressed(slice, element), element, _path(one["path"]), one["type"])
            for one in discriminators
        ]
        if not all(found):
            raise ProfileError(f"{self._title}: a slice of `{element.name}` is not told from others.")
        return all_of(found)

    def dressed(self, node: Node, element: Element) -> Node:
        """The node over the profile of its type: what an extension or a French address is."""
        profiles = [url for one in node.rules.get("type", ()) for url in one.get("profile", ())]
        definition = self._find(profiles[0].partition("|")[0]) if len(profiles) == 1 else None
        if definition is None:
            if len(profiles) == 1 and element.type == "Extension":
                return overlay(_of_url(profiles[0]), node)
            return node
        url = definition["url"]
        if url not in self._trees:
            self._trees[url] = tree(definition, self._find)
        inner = self._trees[url]
        kept = {name: rule for name, rule in inner.rules.items() if name not in ("min", "max", "type")}
        dressed = overlay(Node(rules=kept, children=inner.children, slices=inner.slices), node)
        return overlay(_of_url(profiles[0]), dressed) if element.type == "Extension" else dressed

    # An element, as its parent sees it

    def _of_child(self, name: str, node: Node, key: str) -> list[Schema]:
        every = elements(name, key)
        if not every:
            return []  # Of a choice, another type has it.
        allowed = _allowed(every, node)
        first = every[0]
        label = name.removesuffix("[x]")
        where = f".{label}" if first.choice else step(first)
        if node.rules.get("max") == "0":
            text = f"`{label}` may not be there{self.why(node)}"
            return [fault({"not": any_of(there(one) for one in every)}, "structure", text, where)]
        schemas: list[Schema] = []
        for one in every:
            if one not in allowed:
                text = f"`{one.name}` may not be there: {self._title} has {listing(a.name for a in allowed)} alone."
                schemas.append(fault({"not": there(one)}, "structure", text, step(one)))
        if node.rules.get("min", 0) > first.min and not _least(node):
            names = f"`{label}`" + (f" ({listing(a.name for a in allowed)})" if first.choice else "")
            text = f"{names} is required{self.why(node)}"
            schemas.append(fault(any_of(there(one) for one in allowed), "required", text, where))
        for one in allowed:
            narrowed = node
            if first.choice and one.name in node.slices:
                narrowed = overlay(node, node.slices[one.name])
                if narrowed.rules.get("min", 0) > node.rules.get("min", 0):
                    text = f"`{one.name}` is required{self.why(narrowed)}"
                    schemas.append(fault(there(one), "required", text, step(one)))
            schemas += self._of_list(narrowed, one) if one.many else self._of_single(narrowed, one)
        return schemas

    def _of_single(self, node: Node, element: Element) -> list[Schema]:
        schemas = [property_of(element.name, schema) for schema in self._of_value(node, element)]
        return schemas + self._of_extras(node, element)

    def _of_extras(self, node: Node, element: Element) -> list[Schema]:
        """The extensions of a primitive, which stand in `_x`.  R4: json.html#primitive"""
        if not element.primitive or not node.children:
            return []
        schema = self.of_object(node, "Element")
        if element.many:
            schema = {"items": schema}
        return [property_of(f"_{element.name}", schema)] if schema else []

    def _of_list(self, node: Node, element: Element) -> list[Schema]:
        name = element.name
        schemas = [property_of(name, {"items": schema}) for schema in self._of_value(node, element)]
        schemas += self._of_extras(node, element)
        most, least = node.rules.get("max", "*"), node.rules.get("min", 0)
        if most != "*":
            text = f"`{name}` may be there {times(int(most))} at most{self.why(node)}"
            schemas.append(property_of(name, fault({"maxItems": int(most)}, "structure", text)))
        if least > max(1, _least(node)):
            text = f"`{name}` must be there {times(least)} at least{self.why(node)}"
            schemas.append(property_of(name, fault({"minItems": least}, "required", text)))
        return schemas + self._of_slices(node, element)

    # Slices

    def _of_slices(self, node: Node, element: Element) -> list[Schema]:
        if not node.slices:
            return []
        name, slicing = element.name, node.rules.get("slicing", {})
        discriminators = discriminators_of(node, element)
        schemas: list[Schema] = []
        matches: list[Schema] = []
        for slice_name, slice in node.slices.items():
            match = self.match(slice, element, discriminators)
            matches.append(match)
            schemas += self._of_slice(slice_name, slice, element, match)
        if slicing.get("rules") == "closed":
            text = f"`{name}` may hold nothing but {listing(node.slices)}{self.why(node)}"
            schemas.append(property_of(name, {"items": fault(any_of(matches), "structure", text)}))
        return schemas

    def _of_slice(self, slice_name: str, slice: Node, element: Element, match: Schema) -> list[Schema]:
        name = element.name
        where = slice_step(name, match)
        least, most = slice.rules.get("min", 0), slice.rules.get("max", "*")
        schemas: list[Schema] = []
        if least:
            text = f"`{name}` must hold {'' if least == 1 else f'{least} times '}{slice_name}{self.why(slice)}"
            schema = property_of(name, {"contains": match, "minContains": least})
            schemas.append(fault({"required": [name], **schema}, "required", text, where, near=near_of(match)))
        if most != "*":
            how_often = "never" if most == "0" else f"{times(int(most))} at most"
            text = f"`{name}` may hold {slice_name} {how_often}{self.why(slice)}"
            schema = {"contains": match, "minContains": 0, "maxContains": int(most)}
            schemas.append(fault(property_of(name, schema), "structure", text, where))
        rules = all_of(self._of_value(Node(slice.rules, slice.children, slice.slices), element))
        if rules and most != "0":
            schemas.append(property_of(name, {"items": {"if": match, "then": rules}}))
        return schemas

    def _discriminated(self, node: Node, element: Element, path: list[str], kind: str) -> Schema:
        """What the value at `path` within an item must be for the slice to be meant."""
        if not path and kind == "type":
            return _of_type(node)
        held = _held(node)
        if held is not None:
            part = _only(held, path)
            return {} if part is None else having(part)
        if not path:
            return all_of(self._of_value(node, element))
        head, *rest = path
        if head == "resolve()":
            return target(self._targets(node))
        by_url = _EXTENSION_PATH.fullmatch(head)
        if by_url:
            found = {"required": ["url"], "properties": {"url": {"const": by_url[1]}}}
            schema = {"required": ["extension"], "properties": {"extension": {"contains": found}}}
            return schema if kind != "exists" or not _absent(node, by_url[1]) else {"not": schema}
        inside = [one for key in _keys(element) for one in _named(head, key)]
        child = node.children.get(inside[0].choice or inside[0].name) if inside else None
        if child is None:
            return {}
        allowed = _allowed(inside, child)
        if kind == "exists" and not rest:
            present = any_of(there(one) for one in allowed)
            return {"not": present} if child.rules.get("max") == "0" else present
        # What tells the slice may stand in a slice of the child: `code.coding:LOINC.code`.
        options: list[Schema] = []
        for one, told in ((one, told) for one in allowed for told in (child, *child.slices.values())):
            inner = self._discriminated(self.dressed(Node(told.rules, told.children), one), one, rest, kind)
            if inner:
                schema = {"contains": inner} if one.many else inner
                options.append({"required": [one.name], "properties": {one.name: schema}})
        return any_of(options) if options else {}

    # One value

    def _of_value(self, node: Node, element: Element) -> list[Schema]:
        """What each value of the element must be."""
        dressed = self.dressed(node, element)
        schemas = [*self._of_fixed(dressed, element), *self._of_bounds(dressed, element)]
        schemas += self._of_binding(dressed, element)
        if element.type == "Reference":
            schemas += self._of_targets(dressed, element)
        if dressed.children and not element.primitive:
            schemas += [self.of_object(dressed, key) for key in _keys(element)]
        return [schema for schema in schemas if schema]

    def _of_fixed(self, node: Node, element: Element) -> list[Schema]:
        why = self.why(node)
        for rule, value in node.rules.items():
            if rule.startswith("fixed"):
                text = f"`{element.name}` must be {in_words(value)}{{not}}{why}"
                return [fault({"const": value}, "value", text)]
            if rule.startswith("pattern"):
                return [self._of_pattern(value, element.name, why)]
        return []

    def _of_pattern(self, value: Any, name: str, why: str) -> Schema:
        """A schema for each part of a pattern, so that the fault is at the part.  R4: elementdefinition.html#pattern"""
        if isinstance(value, dict):
            parts = [
                {
                    **fault(
                        {"required": [part]}, "required", f"`{part}` is required: {in_words(inner)}{why}", f".{part}"
                    ),
                    "properties": {part: self._of_pattern(inner, part, why)},
                }
                for part, inner in value.items()
            ]
            return all_of(parts)
        if isinstance(value, list):
            return all_of(
                fault(
                    {"contains": having(item)},
                    "value",
                    f"`{name}` must hold {in_words(item)}{{not}}{why}",
                    f".{name}",
                    near=near_of(having(item)),
                )
                for item in value
            )
        return fault({"const": value}, "value", f"`{name}` must be {in_words(value)}{{not}}{why}")

    def _of_bounds(self, node: Node, element: Element) -> list[Schema]:
        why, schemas = self.why(node), []
        for rule, value in node.rules.items():
            if rule.startswith("minValue") and isinstance(value, int | float | Decimal):
                text = f"`{element.name}` must be {value} at least{{not}}{why}"
                schemas.append(fault({"minimum": value}, "value", text))
            elif rule.startswith("maxValue") and isinstance(value, int | float | Decimal):
                text = f"`{element.name}` must be {value} at most{{not}}{why}"
                schemas.append(fault({"maximum": value}, "value", text))
            elif rule == "maxLength":
                text = f"`{element.name}` may have {value} characters at most{why}"
                schemas.append(fault({"maxLength": value}, "too-long", text))
        return schemas

    # Codes

    def coding(self, node: Node, element: Element) -> Coding | None:
        """What the binding of an element asks of its codes; None: nothing, or R4 asks the same."""
        binding = node.rules.get("binding", {})
        url = binding.get("valueSet", "").partition("|")[0]
        if binding.get("strength") not in ("required", "extensible") or url == element.binding:
            return None
        if element.type not in _CODED:
            return None
        required = binding["strength"] == "required"
        codes = self._members(url)
        if codes is None:
            if not required:
                return None
            text = f"`{element.name}` was not checked: the value set {url} is not known here{self.why(node)}"
            return Coding({"not": {}}, "not-found", text, required=False)
        known = listing(sorted({code for _, code in codes}))
        text = f"`{element.name}`{{here}} is not of {url.rpartition('/')[2]}, of which are {known}{self.why(node)}"
        of = sorted({system for system, _ in codes})
        return Coding(coded(element, codes), "code-invalid", text, required, of)

    def _of_binding(self, node: Node, element: Element) -> list[Schema]:
        found = self.coding(node, element)
        if found is None or not found.required:
            return []
        near = {"of": found.systems} if element.type == "CodeableConcept" else None
        return [fault(found.schema, found.code, found.text, near=near)]

    # References

    def _of_targets(self, node: Node, element: Element) -> list[Schema]:
        targets = self._targets(node)
        if not targets or "Resource" in targets:
            return []
        names = listing(targets)
        text = f"`{element.name}` must point at {names}{{not}}{self.why(node)}"
        return [
            property_of("reference", fault(literal(targets), "value", text)),
            property_of("type", fault({"enum": [*targets, *(BASE + one for one in targets)]}, "value", text)),
        ]

    def _targets(self, node: Node) -> list[str]:
        """The types that a reference may point at: those of the profiles that are named."""
        urls = [url for one in node.rules.get("type", ()) for url in one.get("targetProfile", ())]
        found: dict[str, None] = {}
        for url in urls:
            definition = self._find(url.partition("|")[0])
            type = definition["type"] if definition else url.removeprefix(BASE)
            if not definition and not definitions.is_resource(type) and type != "Resource":
                raise ProfileError(f"{self._title}: {url}, the profile of a reference, is not known.")
            found[type] = None
        return list(found)

    def why(self, node: Node) -> str:
        """The end of every sentence: which guide asks, and what the element is there."""
        short = node.rules.get("short")
        return f" ({self._title}: {short})." if short else f" ({self._title})."


def elements(name: str, key: str) -> list[Element]:
    """The elements of this name: one, or those of a choice `value[x]`."""
    return [
        one for one in definitions.structure(key).values() if name in (one.choice, None if one.choice else one.name)
    ]


def discriminators_of(node: Node, element: Element) -> Iterable[Mapping[str, str]]:
    """How the slices of an element are told apart; extensions need not say it: by their url."""
    return node.rules.get("slicing", {}).get("discriminator") or (_BY_URL if element.type == "Extension" else ())


def _named(name: str, key: str) -> list[Element]:
    return [
        one
        for one in definitions.structure(key).values()
        if name in (one.name, one.choice, (one.choice or "").removesuffix("[x]"))
    ]


def _keys(element: Element) -> list[str]:
    """The structure within an element."""
    return ["Element" if element.structure is None else element.structure]


def _allowed(every: list[Element], node: Node) -> list[Element]:
    """Those of a choice whose type the profile leaves; of a closed choice those that are slices."""
    types = [one["code"] for one in node.rules.get("type", ())]
    closed = node.rules.get("slicing", {}).get("rules") == "closed" and every[0].choice
    kept = [one for one in every if not closed or one.name in node.slices]
    if not types or not every[0].choice:
        return kept
    return [one for one in kept if one.type in types]


def _least(node: Node) -> int:
    """How many items the slices demand together: a list that has them is there, and needs no rule of its own."""
    return sum(slice.rules.get("min", 0) for slice in node.slices.values())


def _of_url(url: str) -> Node:
    return Node(children={"url": Node(rules={"fixedUri": url.partition("|")[0]})})


def _held(node: Node) -> Any:
    return next((value for rule, value in node.rules.items() if rule.startswith(_HELD)), None)


def _only(value: Any, path: list[str]) -> Any:
    """A pattern with nothing in it but what is at a path; None where there is nothing."""
    if not path:
        return value
    if isinstance(value, list):
        kept = [part for part in (_only(item, path) for item in value) if part is not None]
        return kept or None
    if not isinstance(value, dict) or path[0] not in value:
        return None
    part = _only(value[path[0]], path[1:])
    return None if part is None else {path[0]: part}


def _absent(node: Node, url: str) -> bool:
    slices = node.children.get("extension", Node()).slices.values()
    return any(
        one.rules.get("max") == "0"
        and any(profile == url for type in one.rules.get("type", ()) for profile in type.get("profile", ()))
        for one in slices
    )


def _path(path: str) -> list[str]:
    if path == "$this":
        return []
    parts = re.findall(r"extension\('[^']+'\)|resolve\(\)|[^.]+", path)
    return [part for part in parts if part != "$this"]


def _of_type(node: Node) -> Schema:
    types = [one["code"] for one in node.rules.get("type", ())]
    return {"required": ["resourceType"], "properties": {"resourceType": {"enum": types}}} if types else {}
