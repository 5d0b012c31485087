"""The operations of a FHIRPath Patch, read from the Parameters that carry them.  R4: fhirpatch.html, parameters.html"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fhir_server.fhir import definitions
from fhir_server.fhir.outcome import BadRequest


@dataclass(frozen=True)
class Value:
    """The value of an operation: of a `type` (`Boolean` for valueBoolean), or the `parts` of an anonymous one."""

    type: str | None
    json: Any = None
    extras: dict[str, Any] | None = None
    parts: tuple[tuple[str, Value], ...] = ()


@dataclass(frozen=True)
class Operation:
    """One operation of a FHIRPath Patch.  R4: fhirpatch.html"""

    type: str
    path: str
    name: str = ""
    value: Value = Value(None)
    index: int = 0
    source: int = 0
    destination: int = 0


_PARTS = {
    "add": ("path", "name", "value"),
    "insert": ("path", "value", "index"),
    "delete": ("path",),
    "replace": ("path", "value"),
    "move": ("path", "source", "destination"),
}
_PART_TYPES = {"type": str, "path": str, "name": str, "index": int, "source": int, "destination": int}


def read_operation(parameter: Any) -> Operation:
    """The operation of one parameter.  Raises BadRequest if it is none, lacks a part, or has one too many."""
    if not isinstance(parameter, dict) or parameter.get("name") != "operation":
        raise BadRequest("each parameter of a patch is named `operation`.")
    parts: dict[str, Any] = {}
    for name, part in _named_parts(parameter):
        if name in parts:
            raise BadRequest(f"`{name}` is given twice.")
        parts[name] = _read_value(part) if name == "value" else _read_simple(name, part)
    if "type" not in parts:
        raise BadRequest(f"it has no `type`; known: {', '.join(_PARTS)}.")
    type = parts["type"]
    if type not in _PARTS:
        raise BadRequest(f"`{type}` is no type of operation; known: {', '.join(_PARTS)}.")
    for name in _PARTS[type]:
        if name not in parts:
            raise BadRequest(f"`{type}` needs `{name}`.")
    for name in parts:
        if name not in ("type", *_PARTS[type]):
            raise BadRequest(f"`{type}` has no `{name}`; it has {', '.join(_PARTS[type])}.")
    return Operation(**parts)


def _named_parts(holder: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    parts = holder.get("part", [])
    if not isinstance(parts, list):
        raise BadRequest("`part` is a list.")
    for part in parts:
        name = part.get("name") if isinstance(part, dict) else None
        if not isinstance(name, str):
            raise BadRequest("every part has a name.")
        yield name, part


def _read_simple(name: str, part: dict[str, Any]) -> Any:
    if name not in _PART_TYPES:
        raise BadRequest(f"unknown part `{name}`; known: {', '.join([*_PART_TYPES, 'value'])}.")
    value = _read_value(part).json
    if not isinstance(value, _PART_TYPES[name]) or isinstance(value, bool):
        raise BadRequest(f"`{name}` is {'a text' if _PART_TYPES[name] is str else 'a whole number'}.")
    return value


def _read_value(part: dict[str, Any]) -> Value:
    """The one value of a part: value[x] with its extensions, a resource, or parts.  R4: parameters.html (inv-1)"""
    name = part["name"]
    types = {key.lstrip("_").removeprefix("value") for key in part if key.lstrip("_").startswith("value")}
    if len(types) + ("resource" in part) + ("part" in part) != 1:
        raise BadRequest(f"`{name}` has one value: value[x], a resource or parts.")
    if "part" in part:
        parts = tuple((inner, _read_value(one)) for inner, one in _named_parts(part))
        if not parts:
            raise BadRequest(f"`{name}` has no parts.")
        return Value(None, parts=parts)
    if "resource" in part:
        return Value("Resource", part["resource"])
    type = types.pop()
    if f"value{type}" not in definitions.structure("Parameters.parameter"):
        raise BadRequest(f"`value{type}` is not a value of Parameters; a type it has not is given as parts.")
    value, extras = part.get(f"value{type}"), part.get(f"_value{type}")
    if value is None and extras is None:
        raise BadRequest(f"`{name}` has no value.")
    return Value(type, value, extras)
