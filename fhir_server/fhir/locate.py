"""Where the elements that a FHIRPath names stand in a resource's JSON, so that a patch can change them there.

fhirpathpy gives values; a patch needs places.  So the paths that name places are read here: names joined by dots,
`[n]`, `where(…)`, `first()`, `last()`, `extension('url')`, `ofType(T)` and `as(T)`.  R4: fhirpatch.html, fhirpath.html

>>> patient = {"resourceType": "Patient", "name": [{"use": "usual"}, {"use": "official", "given": ["Ana"]}]}
>>> [str(place) for place in locate(patient, "Patient.name.where(use = 'official').given")]
['Patient.name[1].given[0]']
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fhir_server.fhir import definitions, path
from fhir_server.fhir.definitions import Element
from fhir_server.fhir.outcome import BadRequest, Unprocessable

GRAMMAR = "names joined by dots, [n], where(), first(), last(), extension(), ofType() and as()"

_STRING = r"'(?:[^'\\]|\\.)*'"
_NAME = re.compile(r"\s*(?:`(?P<quoted>[^`]+)`|(?P<plain>[A-Za-z_]\w*))\s*", re.ASCII)
_INDEX = re.compile(r"\s*\[\s*(?P<index>[0-9]{1,9})\s*\]\s*")
_ARGUMENT = re.compile(rf"{_STRING}|`[^`]*`|(?P<open>\()|(?P<close>\))|[^'`()]+", re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_FUNCTIONS = frozenset({"where", "first", "last", "extension", "ofType", "as"})


@dataclass(frozen=True)
class Step:
    """One step of a path.  A name: `name`; an index: `index`; a function: `function` with the text in its brackets."""

    name: str | None = None
    index: int | None = None
    function: str | None = None
    argument: str = ""


@dataclass(frozen=True)
class Place:
    """Where one element stands: from the resource down, each element with its index if it is in a list.

    `structure` is the key in definitions of what is inside the element; of a primitive, its id and extensions.
    """

    root: str
    steps: tuple[tuple[Element, int | None], ...]
    structure: str

    def __str__(self) -> str:
        """The place as FHIRPath."""
        names = (name_of(element) + ("" if index is None else f"[{index}]") for element, index in self.steps)
        return ".".join((self.root, *names))

    @property
    def element(self) -> Element | None:
        """The element; None for the resource itself."""
        return self.steps[-1][0] if self.steps else None

    @property
    def type(self) -> str:
        """What FHIRPath takes it for: the code of a primitive, otherwise the key of its structure."""
        return self.element.type if self.element and self.element.primitive else self.structure


def name_of(element: Element) -> str:
    """The FHIRPath name: `value` for valueQuantity.  R4: fhirpath.html#polymorphism"""
    return element.choice.removesuffix("[x]") if element.choice else element.name


def named(structure: str, name: str) -> list[Element]:
    """The elements of the structure with this name, in FHIRPath or in JSON: several for a choice, none if unknown."""
    known = definitions.structure(structure)
    if name in known:
        return [known[name]]
    return [element for element in known.values() if element.choice == f"{name}[x]"]


def locate(resource: dict[str, Any], expression: str) -> list[Place]:
    """The places in the resource of the elements that the path names, in document order.

    Raises BadRequest if the path is not of GRAMMAR, and Unprocessable if it names what the type does not have.
    """
    return follow(resource, steps(expression, resource["resourceType"]))


def steps(expression: str, type: str) -> tuple[Step, ...]:
    """The steps of the path, without the type at its start.  Raises as `locate` does."""
    if len(expression) > path.LONGEST:
        raise BadRequest(f"A path has at most {path.LONGEST} characters, this one {len(expression)}.")
    found = tuple(_read(expression))
    first = found[0].name
    if first in (type, "Resource", "DomainResource"):
        found = found[1:]
    elif first is not None and definitions.is_resource(first):
        raise Unprocessable(f"`{expression}` starts at {first}; the resource is of type {type}.")
    _check_names(found, type)
    return found


def follow(resource: dict[str, Any], path_steps: tuple[Step, ...]) -> list[Place]:
    """The places that the steps lead to.  Raises Unprocessable if a criterion cannot be evaluated."""
    type = resource["resourceType"]
    places = [Place(type, (), type)]
    for step in path_steps:
        if step.name is not None:
            places = [child for place in places for child in children(resource, place, step.name)]
        elif step.index is not None:
            places = places[step.index : step.index + 1]
        else:
            places = _apply(resource, places, step)
    return places


def children(resource: dict[str, Any], place: Place, name: str) -> list[Place]:
    """The places of the elements of this name in the element at `place`."""
    return [
        child for element in named(place.structure, name) for child in _places(inside(resource, place), place, element)
    ]


def inside(resource: dict[str, Any], place: Place) -> dict[str, Any]:
    """The object that holds what is inside the element; of a primitive, its id and extensions.  {} if there is none."""
    current: Any = resource
    for element, index in place.steps:
        current = current.get(f"_{element.name}" if element.primitive else element.name)
        if index is not None:
            current = current[index] if isinstance(current, list) and index < len(current) else None
        if not isinstance(current, dict):
            return {}
    return current


def value_at(resource: dict[str, Any], place: Place) -> Any:
    """The value of the element; of a primitive without one, its id and extensions."""
    if not place.steps:
        return resource
    element, index = place.steps[-1]
    value = inside(resource, parent(resource, place)).get(element.name)
    if index is not None:
        value = value[index] if isinstance(value, list) and index < len(value) else None
    return inside(resource, place) if value is None else value


def parent(resource: dict[str, Any], place: Place) -> Place:
    """The place that holds this one."""
    above = Place(place.root, (), place.root)
    for element, index in place.steps[:-1]:
        above = _below(inside(resource, above), above, element, index)
    return above


def _places(holder: dict[str, Any], place: Place, element: Element) -> Iterator[Place]:
    value = holder.get(element.name)
    extras = holder.get(f"_{element.name}") if element.primitive else None
    if isinstance(value, list) or isinstance(extras, list):
        for index in range(max(len(value or ()), len(extras or ()))):
            yield _below(holder, place, element, index)
    elif value is not None or extras is not None:
        yield _below(holder, place, element, None)


def _below(holder: dict[str, Any], place: Place, element: Element, index: int | None) -> Place:
    structure = element.structure or "Element"
    if structure == "Resource":
        value = holder.get(element.name)
        value = value[index] if isinstance(value, list) and index is not None else value
        type = value.get("resourceType") if isinstance(value, dict) else None
        structure = type if isinstance(type, str) and definitions.is_resource(type) else structure
    return Place(place.root, (*place.steps, (element, index)), structure)


def _apply(resource: dict[str, Any], places: list[Place], step: Step) -> list[Place]:
    if step.function == "first":
        return places[:1]
    if step.function == "last":
        return places[-1:]
    if step.function == "where":
        holds = path.criterion(step.argument)
        return [place for place in places if holds(value_at(resource, place), place.type)]
    if step.function == "extension":
        found = [child for place in places for child in children(resource, place, "extension")]
        return [place for place in found if inside(resource, place).get("url") == step.argument]
    return [place for place in places if step.argument in (place.type, place.structure)]


def _check_names(path_steps: tuple[Step, ...], type: str) -> None:
    """Raises Unprocessable for a name that no element there can have, whatever the resource holds."""
    structures = {type}
    for step in path_steps:
        if "Resource" in structures:
            return  # a contained resource: its type is not known before it is seen
        if step.function == "extension":
            structures = {"Extension"}
        elif step.function in ("ofType", "as"):
            structures = {"Element" if step.argument in definitions.PRIMITIVES else step.argument} & structures
        elif step.name is not None:
            found = [element for structure in structures for element in named(structure, step.name)]
            if not found:
                known = " or ".join(sorted(structures)) or "what is left there"
                raise Unprocessable(f"`{step.name}` is not an element of {known}.")
            structures = {element.structure or "Element" for element in found}


def _read(expression: str) -> Iterator[Step]:
    position = 0
    while True:
        match = _NAME.match(expression, position)
        if not match:
            raise _fault(expression, position)
        name, position = match["quoted"] or match["plain"], match.end()
        if expression[position : position + 1] == "(":
            argument, position = _read_argument(expression, position)
            yield _function(expression, name, argument.strip())
        else:
            yield Step(name=name)
        while match := _INDEX.match(expression, position):
            yield Step(index=int(match["index"]))
            position = match.end()
        if position == len(expression):
            return
        if expression[position] != ".":
            raise _fault(expression, position)
        position += 1


def _read_argument(expression: str, position: int) -> tuple[str, int]:
    """The text between the bracket at `position` and the one that closes it, and where the path goes on."""
    depth, start = 0, position + 1
    while match := _ARGUMENT.match(expression, position):
        position = match.end()
        depth += bool(match["open"]) - bool(match["close"])
        if depth == 0:
            after = len(expression) - len(expression[position:].lstrip())
            return expression[start : position - 1], after
    raise _fault(expression, position)


def _function(expression: str, name: str, argument: str) -> Step:
    if name not in _FUNCTIONS:
        raise BadRequest(f"`{name}()` cannot be used in the path of a patch: `{expression}`; what can: {GRAMMAR}.")
    if bool(argument) == (name in ("first", "last")):
        raise BadRequest(
            f"`{name}({argument})` in `{expression}`: {name}() takes {'no' if argument else 'an'} argument."
        )
    if name == "where":
        path.criterion(argument)
    if name == "extension":
        if not re.fullmatch(_STRING, argument, re.DOTALL):
            raise BadRequest(f"extension() takes a url in single quotes: `{expression}`.")
        argument = _ESCAPE.sub(r"\1", argument[1:-1])
    if name in ("ofType", "as"):
        argument = argument.removeprefix("FHIR.")
    return Step(function=name, argument=argument)


def _fault(expression: str, position: int) -> BadRequest:
    return BadRequest(
        f"Not a path that a patch can follow: `{expression}`, character {position + 1}; it has {GRAMMAR}."
    )
