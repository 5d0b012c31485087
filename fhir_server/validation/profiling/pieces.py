"""What schemas are put together from: values of FHIR as JSON Schema says them, and the annotation of a fault.

Beside each assertion stands `x-fault`, which says in words what was expected and where the element is; report.py reads
it.

    {"code": "required", "text": "`birthDate` is required (…).", "step": ".birthDate", "near": {"system": …}}

`step` is what the missing element would add to the path of the object that lacks it; `near` tells which item of a list
was meant.

R4: json.html, https://json-schema.org/draft/2020-12
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fhir_server.fhir import definitions
from fhir_server.fhir.definitions import Element

Schema = dict[str, Any]

_ID = r"[A-Za-z0-9\-.]{1,64}"


def fault(
    schema: Schema,
    code: str,
    text: str,
    step: str = "",
    *,
    near: Mapping[str, Any] | None = None,
) -> Schema:
    """The schema with its annotation."""
    return {**schema, "x-fault": {"code": code, "text": text, "step": step, **({"near": near} if near else {})}}


def all_of(schemas: Iterable[Schema]) -> Schema:
    """All of them together; of none, what everything satisfies."""
    found = [schema for schema in schemas if schema]
    return found[0] if len(found) == 1 else {"allOf": found} if found else {}


def any_of(schemas: Iterable[Schema]) -> Schema:
    """One of them at least."""
    found = list(schemas)
    return found[0] if len(found) == 1 else {"anyOf": found}


def property_of(name: str, schema: Schema) -> Schema:
    """The schema of an object whose property, where there is one, has this schema."""
    return {"properties": {name: schema}}


def there(element: Element) -> Schema:
    """The element has a value, or being a primitive the extensions that stand for one."""
    if not element.primitive:
        return {"required": [element.name]}
    return {"anyOf": [{"required": [element.name]}, {"required": [f"_{element.name}"]}]}


def having(value: Any) -> Schema:
    """What has everything that the pattern has."""
    if isinstance(value, dict):
        return {"required": list(value), "properties": {name: having(inner) for name, inner in value.items()}}
    if isinstance(value, list):
        return all_of({"contains": having(item)} for item in value)
    return {"const": value}


def coded(element: Element, codes: frozenset[tuple[str, str]]) -> Schema:
    """A code, coding, quantity or concept that is of a value set.  R4: terminologies.html#required"""
    if element.primitive:
        return {"enum": sorted({code for _, code in codes})}
    systems: dict[str, list[str]] = {}
    for system, code in sorted(codes):
        systems.setdefault(system, []).append(code)
    coding = any_of(
        {"required": ["system", "code"], "properties": {"system": {"const": system}, "code": {"enum": listed}}}
        for system, listed in systems.items()
    )
    if element.type == "CodeableConcept":
        # Extensions alone say why there is nothing.  R4: extensibility.html#Special-Case
        nothing = {"not": {"anyOf": [{"required": ["coding"]}, {"required": ["text"]}]}}
        return {"anyOf": [{"required": ["coding"], "properties": {"coding": {"contains": coding}}}, nothing]}
    return coding


def literal(targets: Iterable[str]) -> Schema:
    """The text of a reference whose type, where it can be seen, is one of these.  R4: references.html#literal"""
    others = "|".join(sorted(definitions.resources() - set(targets)))
    return {"pattern": rf"^(?!(.*/)?({others})/{_ID}(/_history/{_ID})?$)"}


def target(targets: Iterable[str]) -> Schema:
    """A reference whose type can be seen to be one of these."""
    names = "|".join(targets)
    schema = {"pattern": rf"^(.*/)?({names})/{_ID}(/_history/{_ID})?$"}
    return {"required": ["reference"], "properties": {"reference": schema}}


def near_of(match: Schema) -> Mapping[str, Any] | None:
    """The system that the item must have, by which the item that was meant is found."""
    system = match.get("properties", {}).get("system", {}).get("const")
    return {"system": system} if system else None


def slice_step(name: str, match: Schema) -> str:
    """How FHIRPath would find the slice: an extension by its url, another by the one value that tells it."""
    properties = match.get("properties", {})
    constants = {key: schema["const"] for key, schema in properties.items() if isinstance(schema.get("const"), str)}
    if any("'" in value for value in constants.values()):
        return f".{name}"
    if name == "extension" and "url" in constants:
        return f".extension('{constants['url']}')"
    if constants and len(constants) == len(properties):
        tests = " and ".join(f"{key} = '{value}'" for key, value in constants.items())
        return f".{name}.where({tests})"
    return f".{name}"


def times(number: int) -> str:
    """How often, in words."""
    return "once" if number == 1 else f"{number} times"


def in_words(value: Any) -> str:
    """A fixed value or a pattern, in words."""
    if isinstance(value, dict):
        if "code" in value and set(value) <= {"system", "code", "display", "unit", "version"}:
            system = f" of {value['system']}" if "system" in value else ""
            return f"`{value['code']}`{system}"
        if set(value) == {"coding"}:
            return ", ".join(in_words(item) for item in value["coding"])
        return ", ".join(f"{name} {in_words(inner)}" for name, inner in value.items())
    if isinstance(value, list):
        return ", ".join(in_words(item) for item in value)
    text = "true" if value is True else "false" if value is False else value
    return f"`{text}`"
