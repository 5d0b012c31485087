"""The registry of search parameters: what each type can be searched by, and where the values stand in a resource.

The facts (code, type, expression, targets) are HL7's, in profiles/r4/search-parameters.json, and those of the French
guides (PDSm, agendas, cercle de soins, traces, annuaire) in profiles/guides/search-parameters.json.  Each
expression is compiled once to a plain walk over the JSON: no FHIRPath is interpreted when a resource is written.
R4: searchparameter-registry.html
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, TypeAlias

from fhir_server.config import carried
from fhir_server.fhir import definitions
from fhir_server.fhir.types import TYPES

#: The types of parameter that can be answered.
ANSWERED = frozenset({"token", "reference", "date", "string", "uri", "number", "quantity", "composite", "special"})

#: A walk: (JSON property, is it an array, FHIR type of the value, filters on it, the walk on from it or () at the end).
Walk: TypeAlias = tuple[tuple[str, bool, str, tuple["Where", ...], Any], ...]


#: (FHIR type, value) of each value in a resource, where no walk leads to them.
Computed: TypeAlias = Callable[[dict[str, Any]], Iterator[tuple[str, Any]]]


@dataclass(frozen=True)
class Where:
    """A filter on a value of the path: `resolve() is <type>`, or `<name>='<value>'`."""

    name: str
    value: str

    def holds(self, found: Any, held: Mapping[str, str]) -> bool:
        """Whether the value passes; held: the type of each contained resource, by the reference to it."""
        if self.name == "resolve()":
            reference = found.get("reference", "")
            if reference.startswith("#"):
                return held.get(reference) == self.value
            return f"{self.value}/" in reference or found.get("type") == self.value
        return isinstance(found, dict) and found.get(self.name) == self.value


@dataclass(frozen=True)
class Component:
    """
    One half of a composite parameter.

    code    the parameter of the resource that has the same values, or more
    kept_as the field of the values: in the entry of the resource, or in the sub-entry of one repetition
    walk    to the values, where no parameter has the very same
    """

    code: str
    kept_as: str
    walk: Walk = dataclasses.field(default=(), repr=False, compare=False)


@dataclass(frozen=True)
class Parameter:
    """
    One search parameter of one type.

    targets     the types kept here that it may refer to
    named       every type that it may refer to: a resource elsewhere is referred to as one of this server would be
    repeated    the path can lead to several values
    record      it names the patient whose record the resource belongs to, and nothing else: a search by it is a search
                in that record
    fields      the parameters whose values together are those of this one; its own code where it has an index entry
    systems     the code systems that a `code` of it can be of, though the resource does not say so
    components  of a composite, what a value of it is made of: for each element that repeats ("" for the resource
                itself) the components in the order they are asked in
    """

    code: str
    type: str
    url: str
    targets: tuple[str, ...]
    walk: Walk = dataclasses.field(repr=False, compare=False)
    named: tuple[str, ...] = ()
    repeated: bool = False
    record: bool = False
    fields: tuple[str, ...] = ()
    systems: frozenset[str] = frozenset()
    components: tuple[tuple[str, tuple[Component, ...]], ...] = ()
    computed: Computed | None = dataclasses.field(default=None, repr=False, compare=False)

    def values(self, resource: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        """(FHIR type, value) of each value in the resource."""
        if self.computed:
            return self.computed(resource)
        contained = resource.get("contained", ())
        return follow(self.walk, resource, {f"#{one.get('id')}": one.get("resourceType", "") for one in contained})


def is_deceased(patient: Mapping[str, Any]) -> bool:
    """Patient.deceased.exists() and Patient.deceased != false.  R4: patient.html#search"""
    return bool(patient.get("deceasedBoolean", "deceasedDateTime" in patient))


def _deceased(patient: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    yield "boolean", is_deceased(patient)


def _first(type: str) -> Computed:
    """Bundle.entry[0].resource"""

    def found(bundle: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        first: dict[str, Any] = next((entry.get("resource", {}) for entry in bundle.get("entry", ())), {})
        if first.get("resourceType") == type and "id" in first:
            yield "Reference", {"reference": f"{type}/{first['id']}"}

    return found


#: The values of the three parameters whose expression is no path.
COMPUTED: dict[tuple[str, str], Computed] = {
    ("Patient", "deceased"): _deceased,
    ("Bundle", "composition"): _first("Composition"),
    ("Bundle", "message"): _first("MessageHeader"),
}


_NONE_HELD: Mapping[str, str] = {}


def follow(walk: Walk, node: dict[str, Any], held: Mapping[str, str] = _NONE_HELD) -> Iterator[tuple[str, Any]]:
    """(FHIR type, value) of what stands at the end of the walk; held: as in Where.holds."""
    for name, many, type, wheres, onward in walk:
        found = node.get(name)
        if found is None:
            continue
        for value in found if many else (found,):
            if value is None or not all(where.holds(value, held) for where in wheres):
                continue
            if onward:
                yield from follow(onward, value, held)
            else:
                yield type, value


def follow_types(walk: Walk) -> set[str]:
    """The FHIR types of what stands at the ends of the walk."""
    return {kind for _, _, type, _, onward in walk for kind in (follow_types(onward) if onward else {type})}


def by_url(parameter: Parameter) -> bool:
    """Whether it refers by canonical url.  One that is relative says `Type/id`, as a reference does."""
    return not follow_types(parameter.walk).isdisjoint(("canonical", "uri"))


@cache
def parameters(type: str) -> dict[str, Parameter]:
    """The parameters by which `type` can be searched, by code; KeyError for a type that is not supported."""
    TYPES[type]
    facts = {
        code: fact
        for code, fact in {**published()["Resource"], **published().get(type, {})}.items()
        if fact["type"] in ANSWERED and fact.get("expression")
    }
    plain = {code: _parameter(type, code, fact) for code, fact in facts.items() if fact["type"] != "composite"}
    found = {code: replace(one, fields=_fields(one, plain)) for code, one in plain.items()}
    for code, fact in facts.items():
        if fact["type"] == "composite":
            found[code] = _composite(type, code, fact, found)
    return dict(sorted(found.items()))


@cache
def kept(type: str) -> tuple[Parameter, ...]:
    """What has an index entry of its own; the other parameters are answered from theirs."""
    offered = parameters(type)
    found = [one for one in offered.values() if one.fields == (one.code,)]
    for composite in offered.values():
        for _, components in composite.components:
            for half in components:
                if half.walk:
                    found.append(replace(offered[half.code], code=half.kept_as, walk=half.walk, record=False))
    return tuple(found)


@cache
def parts(type: str) -> dict[str, tuple[Walk, dict[str, tuple[Parameter, Walk]]]]:
    """
    The elements whose repetitions are indexed each for itself, since a composite parameter asks of one and the same.

    {element: (the walk to it, {field: (parameter, the walk on from it)})}
    """
    found: dict[str, tuple[Walk, dict[str, tuple[Parameter, Walk]]]] = {}
    for code, fact in published().get(type, {}).items():
        if fact["type"] != "composite":
            continue
        walks = {_field(asked["expression"]): asked["expression"] for asked in fact["component"]}
        for element, components in parameters(type)[code].components:
            if element:
                _, fields = found.setdefault(element, (compile_path(type, element), {}))
                structure = _structure(type, element)
                for half in components:
                    walk = tuple(
                        s for path in walks[half.kept_as].split(" | ") for s in compile_path(structure, _cast(path))
                    )
                    fields[half.kept_as] = (parameters(type)[half.code], walk)
    return found


@cache
def record_walk(type: str) -> Walk:
    """The walk to the references that put a resource of this type into a patient's record."""
    return tuple(step for path in TYPES[type].patient if path != "id" for step in compile_path(type, path))


@cache
def several_records(type: str) -> bool:
    """Whether a resource of this type can be in the records of several patients at once."""
    return _repeats(record_walk(type))


@cache
def published() -> dict[str, Any]:
    """What is published of each parameter: {type: {code: {url, type, expression, target, component}}}."""
    found: dict[str, Any] = json.loads((carried("profiles") / "r4" / "search-parameters.json").read_bytes())
    for type, facts in json.loads((carried("profiles") / "guides" / "search-parameters.json").read_bytes()).items():
        found[type] = {**found.get(type, {}), **facts}
    return found


def _parameter(type: str, code: str, fact: dict[str, Any]) -> Parameter:
    if (type, code) in COMPUTED:
        return Parameter(
            code, fact["type"], fact["url"], _targets(fact), (), _targets(fact), computed=COMPUTED[type, code]
        )
    expressions = [_plain(part) for part in fact["expression"].split(" | ")]
    walk = tuple(step for path in expressions for step in compile_path(type, path))
    paths = {re.sub(r"\.where\(resolve\(\) is Patient\)$", "", path) for path in expressions}
    return Parameter(
        code=code,
        type=fact["type"],
        url=fact["url"],
        targets=_targets(fact),
        walk=walk,
        named=_named(type, fact, expressions) if fact["type"] == "reference" else (),
        repeated=len(expressions) > 1 or _repeats(walk),
        record=fact["type"] == "reference" and paths == set(TYPES[type].patient),
        systems=_systems(type, expressions) if fact["type"] == "token" else frozenset(),
    )


def _targets(fact: dict[str, Any]) -> tuple[str, ...]:
    return tuple(target for target in fact.get("target", ()) if target in TYPES)


def _named(type: str, fact: dict[str, Any], expressions: list[str]) -> tuple[str, ...]:
    """The targets of the definition; of those not kept here, the ones that the elements there may refer to."""
    allowed: set[str] = set()
    for path in expressions:
        resolved = re.search(r"\.where\(resolve\(\) is (\w+)\)$", path)
        element = _element(type, path)
        found = (resolved[1],) if resolved else element.targets if element else ()
        if not found:
            return tuple(fact.get("target", ()))
        allowed.update(found)
    return tuple(target for target in fact.get("target", ()) if target in TYPES or target in allowed)


def _fields(one: Parameter, others: dict[str, Parameter]) -> tuple[str, ...]:
    """
    The parameters that have the values of this one between them: `combo-code` is `code` and `component-code`.

    Of two that are the same, the one that is called as its element is kept: `phonetic` is asked of `name`.
    """
    wanted = set(one.walk)
    if not wanted or one.record:
        return (one.code,)
    within = [
        other
        for code, other in sorted(others.items())
        if code != one.code
        and other.type == one.type
        and not other.record
        and other.walk
        and (set(other.walk) < wanted or (set(other.walk) == wanted and _rank(other) < _rank(one)))
    ]
    largest = [other for other in within if not any(set(other.walk) < set(another.walk) for another in within)]
    if {step for other in largest for step in other.walk} != wanted:
        return (one.code,)
    found: list[str] = []
    covered: set[Any] = set()
    for other in largest:
        if not set(other.walk) <= covered:
            covered |= set(other.walk)
            found += _fields(other, others)
    return tuple(dict.fromkeys(found))


def _rank(one: Parameter) -> tuple[bool, str]:
    return one.code not in {name for name, *_ in one.walk}, one.code


def _composite(type: str, code: str, fact: dict[str, Any], others: dict[str, Parameter]) -> Parameter:
    components = []
    for expression in fact["expression"].split(" | "):
        element = _plain(expression)
        halves = []
        for number, asked in enumerate(fact["component"]):
            walk = _under(type, element, asked["expression"])
            same = [other.code for other in others.values() if set(other.walk) == set(walk)]
            # R4 defines one of them the wrong way round: what it is by its expression goes first.
            name = asked["definition"] if asked["definition"] in same or not same else same[0]
            field = _field(asked["expression"]) if element else name if same else f"{code}:{number}"
            halves.append(Component(name, field, walk if not element and not same else ()))
        components.append((element, tuple(halves)))
        if [half.code for half in halves] == [asked["definition"] for asked in reversed(fact["component"])]:
            components.append((element, tuple(reversed(halves))))
    return Parameter(code, "composite", fact["url"], (), (), components=tuple(components))


def _under(type: str, element: str, expression: str) -> Walk:
    """The walk from the resource to what the expression stands for below the element."""
    paths = [_cast(path) for path in expression.split(" | ")]
    return tuple(step for path in paths for step in compile_path(type, f"{element}.{path}" if element else path))


def _structure(type: str, element: str) -> str:
    """The structure of the element: `Observation.component`."""
    found = type
    for name in element.split(".") if element else ():
        found = definitions.structure(found)[name].structure or ""
    return found


def _field(expression: str) -> str:
    """A name for what an expression stands for: `value.as(Quantity) | value.as(Range)` is `valueQuantityRange`."""
    first, *more = (re.sub(r"\.as\((\w+)\)", r"\1", path) for path in expression.split(" | "))
    stem = expression.partition(".")[0]
    return first + "".join(path.removeprefix(stem) for path in more)


def _cast(path: str) -> str:
    """The path with its casts as types are spelt: R4 writes `as(DateTime)` in one place."""
    return path.replace("as(DateTime)", "as(dateTime)")


def _systems(type: str, expressions: list[str]) -> frozenset[str]:
    """The systems of the codes that are bound where the paths lead, if they lead to `code` elements."""
    found: set[str] = set()
    for path in expressions:
        element = _element(type, path)
        if element and element.type == "code" and element.binding:
            found |= definitions.codes(element.binding).keys()
        elif element and element.type == "boolean":
            found.add(SPECIAL_VALUES)
    return frozenset(found)


def _element(type: str, path: str) -> definitions.Element | None:
    """The element that the path leads to; None for a choice of types."""
    structure, element = type, None
    for name in re.sub(r"\([^()]*(\(\))?[^()]*\)", "", path).split("."):
        if name in ("as", "where"):
            continue
        element = definitions.structure(structure).get(name) if structure else None
        structure = (element.structure or "") if element else ""
    return element


#: The system of `true` and `false`.  R4: search.html#token
SPECIAL_VALUES = "http://terminology.hl7.org/CodeSystem/special-values"


def _plain(expression: str) -> str:
    """The path without the type it starts at; `(X as Y)` as `X.as(Y)`."""
    path = re.sub(r"^\(?(\S+) as (\w+)\)?", r"\1.as(\2)", expression.strip())
    return path.partition(".")[2]


_STEP = re.compile(r"(?P<name>[A-Za-z]+)(?:\((?P<argument>(?:[^()]|\(\))*)\))?(?:\.|$)")


def compile_path(structure: str, path: str) -> Walk:
    """
    The walk that `path` stands for, from this structure on.  Raises ValueError for what it cannot express.

    Known: names, `.as(Type)`, `.where(resolve() is Type)`, `.where(name='value')`.
    """
    steps: list[tuple[str, list[str], list[Where]]] = []
    position = 0
    while position < len(path):
        found = _STEP.match(path, position)
        if not found:
            raise ValueError(f"`{path}` is not a path that can be indexed")
        name, argument = found["name"], found["argument"]
        if argument is None:
            steps.append((name, [], []))
        elif name == "as":
            steps[-1][1].append(argument)
        elif name == "where" and (where := re.fullmatch(r"(resolve\(\)) is (\w+)|(\w+)='([^']*)'", argument)):
            steps[-1][2].append(Where(where[1] or where[3], where[2] or where[4]))
        else:
            raise ValueError(f"`{path}` is not a path that can be indexed")
        position = found.end()
    return _walk(structure, steps)


def _walk(structure: str, steps: list[tuple[str, list[str], list[Where]]]) -> Walk:
    (name, casts, wheres), rest = steps[0], steps[1:]
    elements = [
        element
        for element in definitions.structure(structure).values()
        if (element.name == name or element.choice == f"{name}[x]") and (not casts or element.type in casts)
    ]
    if not elements:
        raise ValueError(f"`{name}` is not an element of {structure}")
    walk: list[tuple[str, bool, str, tuple[Where, ...], Walk]] = []
    for element in elements:
        onward = _walk(element.structure, rest) if rest and element.structure else ()
        if onward or not rest:
            walk.append((element.name, element.many, element.type, tuple(wheres), onward))
    return tuple(walk)


def _repeats(walk: Walk) -> bool:
    return any(many or _repeats(onward) for _, many, _, _, onward in walk)
