"""The registry of search parameters: what each type can be searched by, and where the values stand in a resource.

The facts (code, type, expression, targets) are HL7's, in profiles/r4/search-parameters.json.  Each expression is
compiled once to a plain walk over the JSON: no FHIRPath is interpreted when a resource is written.
R4: searchparameter-registry.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeAlias

from fhir_server.config import carried
from fhir_server.fhir import definitions
from fhir_server.fhir.types import TYPES

_OF_EVERY_TYPE = "_id _lastUpdated _tag _profile _security"
_OF_RECORDS = "identifier patient subject code status date category type"
_OF_PEOPLE = "name family given birthdate gender active organization practitioner"
_OF_THE_REST = "agent url version"
#: The parameters that are indexed and answered, on every type that has them but for those in FEWER.
OFFERED = frozenset(f"{_OF_EVERY_TYPE} {_OF_RECORDS} {_OF_PEOPLE} {_OF_THE_REST}".split())
#: The types with fewer: every access writes an AuditEvent, and what is indexed on it every read pays for.
FEWER = {"AuditEvent": frozenset({"_id", "_lastUpdated", "patient", "agent", "date"})}
#: The types of parameter that can be answered.
ANSWERED = frozenset({"token", "reference", "date", "string", "uri"})

#: A walk: (JSON property, is it an array, FHIR type of the value, filters on it, the walk on from it or () at the end).
Walk: TypeAlias = tuple[tuple[str, bool, str, tuple["Where", ...], Any], ...]


@dataclass(frozen=True)
class Where:
    """A filter on a value of the path: `resolve() is <type>`, or `<name>='<value>'`."""

    name: str
    value: str

    def holds(self, found: Any) -> bool:
        """Whether the value passes."""
        if self.name == "resolve()":
            return f"{self.value}/" in found.get("reference", "") or found.get("type") == self.value
        return isinstance(found, dict) and found.get(self.name) == self.value


@dataclass(frozen=True)
class Parameter:
    """
    One search parameter of one type.

    repeated    the path can lead to several values
    record      it names the patient whose record the resource belongs to, and nothing else: a search by it is a search
                in that record
    """

    code: str
    type: str
    url: str
    targets: tuple[str, ...]
    walk: Walk = field(repr=False, compare=False)
    repeated: bool
    record: bool

    def values(self, resource: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        """(FHIR type, value) of each value in the resource."""
        return follow(self.walk, resource)


def follow(walk: Walk, node: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """(FHIR type, value) of what stands at the end of the walk."""
    for name, many, type, wheres, onward in walk:
        found = node.get(name)
        if found is None:
            continue
        for value in found if many else (found,):
            if value is None or not all(where.holds(value) for where in wheres):
                continue
            if onward:
                yield from follow(onward, value)
            else:
                yield type, value


@cache
def parameters(type: str) -> dict[str, Parameter]:
    """The parameters by which `type` can be searched, by code; KeyError for a type that is not supported."""
    TYPES[type]
    facts = {**_facts()["Resource"], **_facts().get(type, {})}
    found = {}
    for code, fact in facts.items():
        if code in FEWER.get(type, OFFERED) and fact["type"] in ANSWERED and fact.get("expression"):
            found[code] = _parameter(type, code, fact)
    return dict(sorted(found.items()))


@cache
def record_walk(type: str) -> Walk:
    """The walk to the references that put a resource of this type into a patient's record."""
    return tuple(step for path in TYPES[type].patient if path != "id" for step in compile_path(type, path))


@cache
def several_records(type: str) -> bool:
    """Whether a resource of this type can be in the records of several patients at once."""
    return _repeats(record_walk(type))


@cache
def _facts() -> dict[str, Any]:
    return json.loads((carried("profiles") / "r4" / "search-parameters.json").read_bytes())


def _parameter(type: str, code: str, fact: dict[str, Any]) -> Parameter:
    expressions = [_plain(part) for part in fact["expression"].split(" | ")]
    walk = tuple(step for path in expressions for step in compile_path(type, path))
    paths = {re.sub(r"\.where\(resolve\(\) is Patient\)$", "", path) for path in expressions}
    return Parameter(
        code=code,
        type=fact["type"],
        url=fact["url"],
        targets=tuple(target for target in fact.get("target", ()) if target in TYPES),
        walk=walk,
        repeated=len(expressions) > 1 or _repeats(walk),
        record=fact["type"] == "reference" and paths == set(TYPES[type].patient),
    )


def _plain(expression: str) -> str:
    """The path without the type it starts at; `(X as Y)` as `X.as(Y)`."""
    path = re.sub(r"^\((\S+) as (\w+)\)", r"\1.as(\2)", expression.strip())
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
    return tuple(
        (e.name, e.many, e.type, tuple(wheres), _walk(e.structure, rest) if rest and e.structure else ())
        for e in elements
        if not rest or e.structure
    )


def _repeats(walk: Walk) -> bool:
    return any(many or _repeats(onward) for _, many, _, _, onward in walk)
