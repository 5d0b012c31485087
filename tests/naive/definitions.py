"""What the standard defines for a search: parameters, what each finds in a resource, and whose records it is in.

The facts are HL7's, as `profiles/r4` carries them; the paths are read by fhirpathpy, which the server does not use
for this.  R4: searchparameter-registry.html, compartmentdefinition-patient.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import fhirpathpy
from fhirpathpy.models import models

from fhir_server.config import carried

_FOLDER = carried("profiles") / "r4"
_RESOLVED = re.compile(r"\.where\(resolve\(\) is (\w+)\)")
_AS_FUNCTION = re.compile(r"\.as\((\w+)\)")
_AS_OPERATOR = re.compile(r"\((\S+) as (\w+)\)")


@dataclass(frozen=True)
class Component:
    """A part of a composite: the path below each repetition, and how its values are read."""

    expression: str
    type: str


@dataclass(frozen=True)
class Parameter:
    """A search parameter of one resource type."""

    base: str
    code: str
    type: str
    expression: str
    targets: tuple[str, ...] = ()
    components: tuple[Component, ...] = ()
    resolves_to: str | None = None


@cache
def parameters(type: str) -> Mapping[str, Parameter]:
    """The parameters of a resource type that have a path, by code; those of every type among them."""
    given = _facts("search-parameters.json")
    rows = {**given["Resource"], **given.get(type, {})}
    return {code: _parameter(type, code, row, rows) for code, row in rows.items() if "expression" in row}


def _parameter(type: str, code: str, row: Mapping[str, Any], rows: Mapping[str, Any]) -> Parameter:
    expression = row["expression"].replace("Resource.", f"{type}.")
    resolved = _RESOLVED.search(expression)
    return Parameter(
        base=type,
        code=code,
        type=row["type"],
        expression=_plain(expression),
        targets=(resolved[1],) if resolved else tuple(row.get("target", ())),
        components=tuple(_components(row.get("component", ()), rows)),
        resolves_to=resolved[1] if resolved else None,
    )


def _components(given: Any, rows: Mapping[str, Any]) -> list[Component]:
    """The parts of a composite.  The two definitions of `relationship` stand in the wrong order in R4: paths decide."""
    found = []
    for part in given:
        tail = "." + part["expression"]
        names = [part["definition"], *(other["definition"] for other in given)]
        name = next((name for name in names if rows[name]["expression"].endswith(tail)), part["definition"])
        found.append(Component(_plain(part["expression"]), rows[name]["type"]))
    return found


def _plain(expression: str) -> str:
    """The same path for elements that repeat: `as` is for one value only, and one of R4's type names is misspelt."""
    expression = _RESOLVED.sub("", expression)
    expression = _AS_OPERATOR.sub(r"\1.ofType(\2)", _AS_FUNCTION.sub(r".ofType(\1)", expression))
    return expression.replace("ofType(DateTime)", "ofType(dateTime)")


def found_by(parameter: Parameter, resource: Mapping[str, Any]) -> list[Any]:
    """What the parameter's path leads to in the resource; for a composite, the path of each repetition."""
    if parameter.type == "date":
        return [value for branch in parameter.expression.split(" | ") for value in _dates(branch, resource)]
    if parameter.type != "composite":
        return _evaluate(parameter.expression, resource)
    paths = []
    for branch in parameter.expression.split(" | "):
        repeated = "." in branch
        count = len(_evaluate(branch, resource))
        paths += [f"{branch}[{at}]" for at in range(count)] if repeated else [branch]
    return paths


def found_in_repetition(path: str, component: Component, resource: Mapping[str, Any]) -> list[Any]:
    """What a part of a composite leads to in the repetition at `path`."""
    branches = component.expression.split(" | ")
    return [value for branch in branches for value in _evaluate(f"{path}.{branch}", resource)]


def _dates(branch: str, resource: Mapping[str, Any]) -> list[Any]:
    """What the path leads to, without the texts of a choice of types, though they may look like dates."""
    texts = [] if "ofType(" in branch else _evaluate(f"{branch}.ofType(string)", resource)
    return [value for value in _evaluate(branch, resource) if value not in texts]


def _evaluate(expression: str, resource: Mapping[str, Any]) -> list[Any]:
    return [value for value in _compiled(expression)(resource) if value is not None]


@cache
def _compiled(expression: str) -> Callable[[Mapping[str, Any]], list[Any]]:
    return fhirpathpy.compile(expression, models["r4"])


@cache
def implied_systems(parameter: Parameter) -> Mapping[str, tuple[str, ...]]:
    """The code systems of each code that the parameter's `code` elements may hold.  R4: search.html#token"""
    systems: dict[str, tuple[str, ...]] = {}
    for branch in parameter.expression.split(" | "):
        bound = _binding(branch)
        for system, codes in _facts("bindings.json")["codes"].get(bound, {}).items():
            systems |= {code: (*systems.get(code, ()), system) for code in codes}
    return systems


def _binding(path: str) -> str | None:
    structures = _facts("elements.json")["structures"]
    structure, *names = path.split(".")
    binding = None
    for name in names:
        row = next((row for row in structures.get(structure, ()) if row["name"] == name), None)
        if row is None:
            return None
        binding = row.get("binding")
        inner = next(iter(row["types"]), "")
        structure = f"{structure}.{name}" if f"{structure}.{name}" in structures else inner
    return binding


@cache
def compartment(type: str) -> tuple[str, ...]:
    """The parameters that put a resource of this type into a patient's compartment."""
    return tuple(_facts("compartment-patient.json").get(type, ()))


@cache
def _facts(name: str) -> Any:
    return json.loads((_FOLDER / name).read_text())
