"""The rules of a profile that its schema cannot say: FHIRPath, or a function of checks.py in its place.

Here too are the bindings whose faults are no more than warnings: those that are extensible, and those to a value set
that is not known.

R4: elementdefinition.html#constraint, fhirpath.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from fhir_server.fhir import path as fhirpath
from fhir_server.fhir.definitions import Element
from fhir_server.fhir.outcome import BadRequest, Issue, Unprocessable
from fhir_server.validation.profiling.checks import CHECKS, Check
from fhir_server.validation.profiling.quick import Test, accepts
from fhir_server.validation.profiling.report import place, words
from fhir_server.validation.profiling.schema import Compiler, discriminators_of, elements
from fhir_server.validation.profiling.tree import Node, ProfileError

_Path = tuple[str | int, ...]

#: So many elements of one resource are asked the same FHIRPath: a hostile one may have a hundred thousand.
MOST = 1_000


@dataclass(frozen=True)
class Step:
    """From an object to what stands under a key; of a list to the items that `meant` accepts."""

    key: str
    many: bool
    meant: Test | None = None


@dataclass(frozen=True)
class Invariant:
    """A rule and the elements that it holds for."""

    code: str
    text: str
    severity: str
    steps: tuple[Step, ...]
    holds: Callable[[Any, Mapping[str, Any]], bool]
    """Whether it does for an element of this resource."""
    at: str = ""
    """What the place of the fault is within the element."""
    most: int | None = None
    """Of so many elements it is asked."""

    def faults(self, resource: Mapping[str, Any]) -> Iterator[Issue]:
        """An issue for each element that breaks the rule."""
        for count, (found, value) in enumerate(_reached(resource, (), self.steps)):
            if count == self.most:
                text = f"There are more than {count} of these, and the rest were not asked: {self.text}"
                yield Issue("too-costly", text, (place(resource, found),))
                return
            if not self.holds(value, resource):
                here = value if isinstance(value, str) else None
                yield Issue(
                    self.code, words(self.text, here), (place(resource, found) + self.at,), severity=self.severity
                )


def invariants(node: Node, element: Element | None, compiler: Compiler, title: str) -> Iterator[Invariant]:
    """Those of a node and of all within it.  Raises ProfileError for one that cannot be evaluated."""
    for one in node.rules.get("constraint", ()):
        yield _invariant(one, element, title)
    coding = compiler.coding(node, element) if element else None
    if coding and not coding.required:
        good = accepts(coding.schema)
        yield Invariant(coding.code, coding.text, "warning", (), lambda value, resource: good(value))
    key = node_key(node, element)
    for name, child in node.children.items():
        for each in elements(name, key):
            yield from _below(child, each, compiler, title)


def node_key(node: Node, element: Element | None) -> str:
    """The structure of what is inside a node; that of the root is told by its rules."""
    if element is None:
        return node.rules["root"]
    return "Element" if element.structure is None else element.structure


def _below(node: Node, element: Element, compiler: Compiler, title: str) -> Iterator[Invariant]:
    """Those of a child, and of its slices, each with the step to it."""
    types = [one["code"] for one in node.rules.get("type", ())]
    if element.choice and types and element.type not in types:
        return
    plain = Step(element.name, element.many)
    held: list[tuple[Step, Node]] = [(plain, Node(node.rules, node.children))]
    if element.choice:
        held += [(plain, slice) for name, slice in node.slices.items() if name == element.name]
    else:
        told = discriminators_of(node, element)
        held += [
            (replace(plain, meant=accepts(compiler.match(slice, element, told))), slice)
            for slice in node.slices.values()
        ]
    for step, one in held:
        dressed = compiler.dressed(one, element)
        parts = [(step, dressed)]
        if element.primitive:  # What is within a primitive stands in `_x`.  R4: json.html#primitive
            parts = [(step, Node(dressed.rules)), (replace(step, key=f"_{step.key}"), Node(children=dressed.children))]
        for way, part in parts:
            for found in invariants(part, element, compiler, title):
                yield replace(found, steps=(way, *found.steps))


def _invariant(constraint: Mapping[str, Any], element: Element | None, title: str) -> Invariant:
    key, human = constraint["key"], constraint["human"].rstrip(".")
    severity = "error" if constraint["severity"] == "error" else "warning"
    text = f"{human} ({title}: {key})."
    check = CHECKS.get((constraint.get("source", ""), key))
    if check:
        return Invariant("invariant", text, severity, (), _checked(check), check.at)
    if "expression" not in constraint:
        raise ProfileError(f"{title}: the constraint {key} has no expression.")
    return Invariant("invariant", text, severity, (), _evaluated(constraint, element, title), most=MOST)


def _checked(check: Check) -> Callable[[Any, Mapping[str, Any]], bool]:
    def holds(value: Any, resource: Mapping[str, Any]) -> bool:
        try:
            return check.holds(value)
        except (AttributeError, TypeError):
            return True  # Something in it is of a wrong type, which R4 itself does not allow: that has been told.

    return holds


def _evaluated(
    constraint: Mapping[str, Any], element: Element | None, title: str
) -> Callable[[Any, Mapping[str, Any]], bool]:
    try:
        evaluate = fhirpath.compile(constraint["expression"])
    except BadRequest as error:
        raise ProfileError(f"{title}: the constraint {constraint['key']}: {error}") from None
    # FHIRPath has to be told the type of an element; a resource tells its own.
    base = None if element is None else element.structure or element.type

    def holds(value: Any, resource: Mapping[str, Any]) -> bool:
        try:
            return evaluate(value, base, resource=resource) == [True]
        except Unprocessable:
            return False  # What cannot be evaluated is not known to be good.

    return holds


def _reached(value: Any, path: _Path, steps: tuple[Step, ...]) -> Iterator[tuple[_Path, Any]]:
    """What stands at the end of the steps, each with its path."""
    if not steps:
        yield path, value
        return
    first, rest = steps[0], steps[1:]
    inner = value.get(first.key) if isinstance(value, dict) else None
    if not first.many:
        if inner is not None:
            yield from _reached(inner, (*path, first.key), rest)
        return
    for index, item in enumerate(inner if isinstance(inner, list) else ()):
        if item is not None and (first.meant is None or first.meant(item)):
            yield from _reached(item, (*path, first.key, index), rest)
