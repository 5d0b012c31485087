"""One walk over a resource beside its R4 definition, which finds every fault against the standard at once.

Judged: names, cardinality, lists and single values, one type of each choice, the formats of primitives, nulls and the
`_x` beside a primitive, codes where the binding is required, the types that references point at, the same in whatever
is contained, and the invariants.  An invariant is asked only where what it is about has no other fault.

Not judged: other codes; what a `urn:` or conditional reference is to; the targets of canonicals; whether what is
referred to is there, unless it is contained.

A fault is placed by FHIRPath: `Observation.component[1].value.ofType(Quantity).value`.  An element that is missing has
the path it would have.

R4: json.html, conformance-rules.html#cardinality, formats.html#choice, valueset-issue-type.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from fhir_server.fhir import definitions, references
from fhir_server.fhir.definitions import Element
from fhir_server.fhir.outcome import Issue
from fhir_server.fhir.types import TYPES
from fhir_server.validation.bindings import Binding, Form, binding
from fhir_server.validation.invariants import Invariant, invariants
from fhir_server.validation.places import named, step
from fhir_server.validation.primitives import FAULT, Fault
from fhir_server.validation.words import kind, listing, nearest, sentence, shown

#: After so many, the rest are left out: nobody reads them, and a hostile body could hold a million.
LIMIT = 500

_SPACE = re.compile(r"\s")
_MARK = re.compile(r"[.\[]")
_STRUCTURE_DEFINITION = "http://hl7.org/fhir/StructureDefinition/"


class _Enough(Exception):
    """The LIMIT is reached."""


def faults(resource: Any) -> list[Issue]:
    """Every fault of `resource`, a value parsed from JSON, in the order of its text; broken invariants come last."""
    return _walked(resource, "error")


def advice(resource: dict[str, Any]) -> list[Issue]:
    """What the standard would rather have otherwise in `resource`, which has no fault: invariants that only warn."""
    return [issue for issue in _walked(resource, "warning") if issue.severity == "warning"]


def _walked(resource: Any, severity: str) -> list[Issue]:
    walk = _Walk(severity)
    try:
        walk.resource(resource, "", None)
        walk.ask_invariants()
    except _Enough:
        more = f"These are the first {LIMIT} faults; the rest are left out."
        walk.issues.append(Issue("incomplete", more, severity="information"))
    except RecursionError:
        walk.issues.append(Issue("too-costly", "The resource is nested too deeply."))
    return walk.issues


@dataclass(frozen=True, slots=True)
class _Slot:
    """What may stand under one key of an object."""

    visit: _Visit
    element: Element
    step: str
    """What the element adds to a path."""
    fault: Fault
    choice: str | None
    binding: Binding | Form | None


@dataclass(frozen=True, slots=True)
class _Shape:
    """An R4 structure, made ready for the walk."""

    key: str
    slots: dict[str, _Slot | None]
    """By JSON key, `_x` included.  None: nothing to check."""
    required: tuple[tuple[str, ...], ...]
    """Of each group of keys, one must be there."""
    invariants: tuple[Invariant, ...]
    advice: tuple[Invariant, ...]


@dataclass(slots=True)
class _Walk:
    severity: str
    """Of the invariants that are asked."""
    issues: list[Issue] = field(default_factory=list)
    outer: dict[str, Any] = field(default_factory=dict)
    """The resource that the walk is in, and into which others may be contained."""
    inner: dict[str, Any] = field(default_factory=dict)
    """The resource that the walk is in: the outer one, or one that is contained."""
    place: str = ""
    """Where the inner one is."""
    misnamed: set[str] = field(default_factory=set)
    """Where an element stands that is none: it may have been meant for any."""
    known_of: dict[str, Any] | None = None
    known: dict[str, str] | None = None
    """What `known_of`, an outer resource, contains."""
    to_ask: list[tuple[Invariant, Any, str, dict[str, Any], dict[str, Any], str]] = field(default_factory=list)

    def report(self, code: str, words: str, *places: str, severity: str = "error") -> None:
        if len(self.issues) >= LIMIT:
            raise _Enough
        self.issues.append(Issue(code, words, places, severity))

    def ask_invariants(self) -> None:
        """Those that may be broken; not of what has other faults, which the answer would but repeat."""
        faulty = {outer for issue in self.issues for place in issue.expression for outer in _outer(place)}
        for invariant, value, path, inner, outer, place in self.to_ask:
            if faulty and (path in self.misnamed or _spoilt(invariant, path, place, faulty)):
                continue
            for places, words in invariant.breaches(value, path, inner, outer):
                self.report("invariant", words or invariant.words, *places, severity=invariant.severity)

    def resource(self, value: Any, path: str, holder: str | None) -> None:
        """A resource: at the root (`holder` None), contained, in an entry or in a parameter."""
        if not isinstance(value, dict):
            self.report("structure", f"A resource is a JSON object, not {kind(value)}.", path or "Resource")
            return
        if not value and holder:
            self.report("structure", f"`{holder}` holds an empty object: leave it out.", path)
            return
        name = value.get("resourceType")
        if not isinstance(name, str) or not definitions.is_resource(name):
            where = f"{path or 'Resource'}.resourceType"
            if "resourceType" in value:
                near = nearest(name, TYPES) if isinstance(name, str) else None
                words = f"`resourceType`: {kind(name)} is not a resource type of R4"
                self.report("value", words + (f"; did you mean `{near}`?" if near else "."), where)
            else:
                self.report("required", "`resourceType` is required: it says what the resource is.", where)
            return
        if holder == "contained" and "contained" in value:
            words = "A contained resource may not contain others: put them all into the outer one (dom-2)."
            self.report("invariant", words, f"{path}.contained")
        around = self.outer, self.inner, self.place
        self.inner, self.place = value, path or name
        if holder != "contained":
            self.outer = value
        self.members(value, _shape(name), path or name)
        self.outer, self.inner, self.place = around

    def members(self, value: dict[str, Any], shape: _Shape, path: str) -> None:
        """The members of an object: each of them, then those that are missing."""
        slots = shape.slots
        chosen: dict[str, str] | None = None
        for key, content in value.items():
            try:
                slot = slots[key]
            except KeyError:
                self.unknown(key, shape, path)
                continue
            if slot is None:
                continue
            if slot.choice:
                if chosen is None:
                    chosen = {}
                name = slot.element.name
                first = chosen.setdefault(slot.choice, name)
                if first != name:
                    choice = slot.choice.removesuffix("[x]")
                    words = f"`{first}` and `{name}` are both there; at most one type of `{choice}` may be."
                    self.report("structure", words, f"{path}.{choice}")
            slot.visit(self, slot, content, value, path)
        for keys in shape.required:
            for key in keys:
                if key in value:
                    break
            else:
                self.missing(keys, shape, path)
        for invariant in shape.invariants if self.severity == "error" else self.advice(shape):
            if invariant.when is None or not invariant.when.isdisjoint(value):
                self.to_ask.append((invariant, value, path, self.inner, self.outer, self.place))

    def advice(self, shape: _Shape) -> tuple[Invariant, ...]:
        """What is contained needs no narrative, nor a name of its own."""
        return shape.advice if self.inner is self.outer else ()

    def object(self, value: Any, structure: str, name: str, path: str) -> None:
        """A complex element."""
        if not isinstance(value, dict):
            type_ = "an object" if "." in structure else f"an object of type {structure}"
            self.report("structure", f"`{name}` must be {type_}, not {kind(value)}.", path)
        elif not value:
            self.report("structure", f"`{name}` is an empty object: leave it out.", path)
        elif len(value) == 1 and "id" in value:
            self.report("required", f"`{name}` has an id and nothing else (ele-1).", path)
        else:
            self.members(value, _shape(structure), path)

    def listed(self, value: Any, name: str, path: str) -> bool:
        """Whether the value of an element that may repeat is a list with something in it."""
        if not isinstance(value, list):
            self.report("structure", f"`{name}` must be a list: write it in `[` `]`, even with one value.", path)
            return False
        if not value:
            self.report("structure", f"`{name}` is an empty list: leave it out.", path)
            return False
        return True

    def single(self, value: Any, name: str, path: str) -> bool:
        """Whether the value of an element that may not repeat is one value."""
        if value is None:
            self.report("structure", f"`{name}` is null: leave it out.", path)
            return False
        if isinstance(value, list):
            self.report("structure", f"`{name}` must be a single value, not a list.", path)
            return False
        return True

    def beside(self, value: Any, name: str, path: str, *, alone: bool) -> None:
        """The id and extensions of a primitive, which stand in `_x`; `alone` when there is no value in `x`."""
        if not isinstance(value, dict):
            words = f"`_{name}` holds the extensions of `{name}`: it must be an object, not {kind(value)}."
            self.report("structure", words, path)
        elif not value:
            self.report("structure", f"`_{name}` is an empty object: leave it out.", path)
        else:
            self.members(value, _shape("Element"), path)
            if alone and "extension" not in value:
                self.report("required", f"`{name}` has neither a value nor extensions (ele-1).", path)

    def coded(self, code: str, slot: _Slot, path: str) -> None:
        """A code of the right form, against the binding of its element."""
        words = slot.binding.fault(code) if slot.binding else None
        if words:
            self.report("code-invalid", sentence(slot.element.name, words), path)

    def referring(self, reference: dict[str, Any], slot: _Slot, path: str) -> None:
        """A Reference of good structure: does it point at a type it may point at?  R4: references.html"""
        name, targets = slot.element.name, slot.element.targets
        type, place = None, f"{path}.reference"
        if "reference" in reference:
            found = references.parse(reference["reference"])
            type = found.type if found.query is None else None
            if found.contained and found.url is not None:
                known = self.contained()
                if known is None:
                    return
                type = known.get(found.url[1:]) if found.url != "#" else self.outer["resourceType"]
                if type is None:
                    words = f"`{name}`: {shown(found.url)} is not the id of a contained resource (ref-1)."
                    self.report("invariant", words, place, path)
                    return
            elif found.local and not definitions.is_resource(str(type)):
                words = f"`{name}`: {shown(reference['reference'])} does not begin with a resource type of R4."
                self.report("value", words, place, path)
                return
        if "type" in reference:
            stated = reference["type"].removeprefix(_STRUCTURE_DEFINITION)
            if not definitions.is_resource(stated):
                if ":" not in stated:  # a logical model may have another name
                    self.report("value", f"`type`: {shown(stated)} is not a resource type of R4.", f"{path}.type", path)
            elif type is None:
                type, place = stated, f"{path}.type"
            elif type != stated and definitions.is_resource(type):
                words = f"`{name}` says that it refers to {_article(stated)}, and its reference is to {_article(type)}."
                self.report("value", words, f"{path}.type", path)
        if targets and type is not None and definitions.is_resource(type) and type not in targets:
            words = f"`{name}` may not refer to {_article(type)}: only to {listing(targets)}."
            self.report("value", words, place, path)

    def contained(self) -> dict[str, str] | None:
        """The types of the resources that the outer one contains, by id; None if these have faults of their own."""
        if self.known_of is not self.outer:
            held = self.outer.get("contained", [])
            whole = isinstance(held, list) and all(isinstance(each, dict) for each in held)
            pairs = [(each.get("id", ""), each.get("resourceType")) for each in held] if whole else []
            whole = whole and all(isinstance(id, str) and isinstance(type, str) for id, type in pairs)
            self.known_of = self.outer
            self.known = dict(pairs) if whole else None
        return self.known

    def missing(self, keys: tuple[str, ...], shape: _Shape, path: str) -> None:
        names = [key for key in keys if not key.startswith("_")]
        slot = shape.slots[names[0]]
        assert slot is not None
        if slot.element.choice:
            choice = slot.element.choice.removesuffix("[x]")
            self.report("required", f"`{choice}` is required: one of {listing(names)}.", f"{path}.{choice}")
        else:
            self.report("required", f"`{names[0]}` is required.", path + slot.step)

    def unknown(self, key: str, shape: _Shape, path: str) -> None:
        self.report("structure", _why_unknown(key, shape), path + named(key))
        self.misnamed.add(path)


def _visit_primitive(walk: _Walk, slot: _Slot, value: Any, owner: dict[str, Any], path: str) -> None:
    words = slot.fault(value)
    # The format is tried first: nearly every value passes it, and what is null or a list does not.
    if not words:
        if slot.binding:
            walk.coded(value, slot, path + slot.step)
    elif walk.single(value, slot.element.name, path + slot.step):
        walk.report("value", sentence(slot.element.name, words), path + slot.step)


def _visit_primitives(walk: _Walk, slot: _Slot, value: Any, owner: dict[str, Any], path: str) -> None:
    name = slot.element.name
    if not walk.listed(value, name, path + slot.step):
        return
    for index, item in enumerate(value):
        if item is None:
            extras = owner.get(f"_{name}")
            if not isinstance(extras, list) or index >= len(extras) or extras[index] is None:
                words = f"`{name}` holds a null without an extension in `_{name}` at the same place: leave it out."
                walk.report("structure", words, f"{path}{slot.step}[{index}]")
            continue
        wrong = slot.fault(item)
        if wrong:
            walk.report("value", sentence(name, wrong), f"{path}{slot.step}[{index}]")
        elif slot.binding:
            walk.coded(item, slot, f"{path}{slot.step}[{index}]")


def _visit_extra(walk: _Walk, slot: _Slot, value: Any, owner: dict[str, Any], path: str) -> None:
    name = slot.element.name
    if walk.single(value, f"_{name}", path + slot.step):
        walk.beside(value, name, path + slot.step, alone=name not in owner)


def _visit_extras(walk: _Walk, slot: _Slot, value: Any, owner: dict[str, Any], path: str) -> None:
    name = slot.element.name
    if not walk.listed(value, f"_{name}", path + slot.step):
        return
    values = owner.get(name)
    values = values if isinstance(values, list) else []
    for index, item in enumerate(value):
        alone = index >= len(values) or values[index] is None
        if item is not None:
            walk.beside(item, name, f"{path}{slot.step}[{index}]", alone=alone)
        elif index >= len(values):
            words = f"`_{name}` holds a null without a value in `{name}` at the same place: leave it out."
            walk.report("structure", words, f"{path}{slot.step}[{index}]")


def _visit_object(walk: _Walk, slot: _Slot, value: Any, owner: dict[str, Any], path: str) -> None:
    element = slot.element
    if walk.single(value, element.name, path + slot.step):
        walk.object(value, element.structure or element.type, element.name, path + slot.step)


def _visit_objects(walk: _Walk, slot: _Slot, value: Any, owner: dict[str, Any], path: str) -> None:
    element = slot.element
    if not walk.listed(value, element.name, path + slot.step):
        return
    for index, item in enumerate(value):
        walk.object(item, element.structure or element.type, element.name, f"{path}{slot.step}[{index}]")


def _visit_reference(walk: _Walk, slot: _Slot, value: Any, owner: dict[str, Any], path: str) -> None:
    before = len(walk.issues)
    _visit_object(walk, slot, value, owner, path)
    if len(walk.issues) == before:
        walk.referring(value, slot, path + slot.step)


def _visit_references(walk: _Walk, slot: _Slot, value: Any, owner: dict[str, Any], path: str) -> None:
    before = len(walk.issues)
    _visit_objects(walk, slot, value, owner, path)
    if len(walk.issues) == before:
        for index, item in enumerate(value):
            walk.referring(item, slot, f"{path}{slot.step}[{index}]")


def _visit_concept(walk: _Walk, slot: _Slot, value: Any, owner: dict[str, Any], path: str) -> None:
    """A CodeableConcept with a binding: once its structure is good, its codings are looked at."""
    before = len(walk.issues)
    _visit_object(walk, slot, value, owner, path)
    if len(walk.issues) == before and isinstance(slot.binding, Binding):
        words = slot.binding.concept_fault(value)
        if words:
            walk.report("code-invalid", sentence(slot.element.name, words), path + slot.step)


def _visit_resource(walk: _Walk, slot: _Slot, value: Any, owner: dict[str, Any], path: str) -> None:
    if walk.single(value, slot.element.name, path + slot.step):
        walk.resource(value, path + slot.step, slot.element.name)


def _visit_resources(walk: _Walk, slot: _Slot, value: Any, owner: dict[str, Any], path: str) -> None:
    if not walk.listed(value, slot.element.name, path + slot.step):
        return
    for index, item in enumerate(value):
        walk.resource(item, f"{path}{slot.step}[{index}]", slot.element.name)


_Visit = Callable[[_Walk, _Slot, Any, dict[str, Any], str], None]


@cache
def _shape(key: str) -> _Shape:
    slots: dict[str, _Slot | None] = {}
    required: dict[str, tuple[str, ...]] = {}
    for name, element in definitions.structure(key).items():
        slots[name] = _slot(element)
        if element.primitive and _extensible(element):
            slots[f"_{name}"] = _slot(element, _visit_extras if element.many else _visit_extra)
        if element.min:
            group = element.choice or name
            keys = (name, f"_{name}") if f"_{name}" in slots else (name,)
            required[group] = required.get(group, ()) + keys
    if definitions.is_resource(key):
        slots["resourceType"] = None
    return _Shape(key, slots, tuple(required.values()), invariants(key), invariants(key, "warning"))


def _slot(element: Element, visit: _Visit | None = None) -> _Slot:
    fault = FAULT[element.type] if element.primitive else _nothing
    if element.name == "id" and element.attribute:
        fault = _element_id
    bound = binding(element.binding)
    return _Slot(visit or _visit(element), element, step(element), fault, element.choice, bound)


def _visit(element: Element) -> _Visit:
    if element.primitive:
        return _visit_primitives if element.many else _visit_primitive
    if element.structure == "Resource":
        return _visit_resources if element.many else _visit_resource
    if element.binding and element.type == "CodeableConcept" and not element.many:
        return _visit_concept
    if element.type == "Reference":
        return _visit_references if element.many else _visit_reference
    return _visit_objects if element.many else _visit_object


def _extensible(element: Element) -> bool:
    """Whether `_x` may stand beside `x`: not where XML has an attribute, nor at an id, nor at XHTML.  R4: json.html"""
    return not element.attribute and element.name != "id" and element.type != "xhtml"


def _element_id(value: Any) -> str | None:
    """Element.id is any text without spaces; the id of a resource is stricter.  R4: element.html"""
    words = FAULT["string"](value)
    return words or (f"{shown(value)} is not an element id (it holds white space)" if _SPACE.search(value) else None)


def _spoilt(invariant: Invariant, path: str, place: str, faulty: set[str]) -> bool:
    """Whether a fault lies in what the invariant is about; `place` is that of the resource around."""
    if not invariant.local:
        return place in faulty
    if not invariant.names:
        return path in faulty
    return any(f"{path}.{name}" in faulty for name in invariant.names)


def _outer(place: str) -> Iterator[str]:
    """The place, and those that it is in."""
    yield place
    for mark in _MARK.finditer(place):
        yield place[: mark.start()]


def _nothing(value: Any) -> None:
    return None


def _why_unknown(key: str, shape: _Shape) -> str:
    """Why `key` may not stand there, and what might have been meant."""
    known = shape.slots
    if key == "resourceType":
        return f"`resourceType` may stand in a resource only, not in {_article(shape.key)}."
    bare = known.get(key.removeprefix("_"))
    if key.startswith("_") and bare:
        if bare.element.primitive:
            return f"`{key[1:]}` cannot have extensions of its own."
        return f"`{key}` is not used: `{key[1:]}` is an object, which holds its id and extensions itself."
    for slot in known.values():
        if slot and slot.element.choice and key.startswith(slot.element.choice.removesuffix("[x]")):
            names = [s.element.name for s in known.values() if s and s.element.choice == slot.element.choice]
            stem = slot.element.choice.removesuffix("[x]")
            if key == stem or key[len(stem)].isupper():
                return f"{shown(key)} is not an element of {shape.key}: it is one of {listing(dict.fromkeys(names))}."
    near = nearest(key, known)
    return f"{shown(key)} is not an element of {shape.key}" + (f"; did you mean `{near}`?" if near else ".")


def _article(key: str) -> str:
    return f"{'an' if key[0] in 'AEIOU' else 'a'} {key}"
