"""What jsonschema finds, as issues: where the element is in FHIRPath, and the sentence that its rule carries.

R4: operationoutcome.html, fhirpath.html
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from jsonschema.exceptions import ValidationError

from fhir_server.fhir import definitions
from fhir_server.fhir.outcome import Issue
from fhir_server.validation.elements import step
from fhir_server.validation.profiling.pieces import Schema
from fhir_server.validation.words import shown

#: Keywords that fail at the list, where the path is to name what the list should hold.
_OF_LISTS = ("contains", "minContains", "maxContains")
#: Keywords that fail at the object that lacks the element, or has it against the profile.
_OF_OBJECTS = ("required", "anyOf", "not")


def issues(resource: Mapping[str, Any], schema: Schema, errors: Iterable[ValidationError]) -> Iterator[Issue]:
    """An issue for each error that the schema gives."""
    return (_issue(resource, schema, error) for error in errors)


def place(resource: Mapping[str, Any], path: Sequence[str | int]) -> str:
    """The FHIRPath of what stands at a path of keys and places: `Observation.component[0].value.ofType(Quantity)`."""
    key: str = resource["resourceType"]
    found = key
    value: Any = resource
    for part in path:
        value = value[part] if isinstance(part, int) or part in value else None
        if isinstance(part, int):
            found += f"[{part}]"
            continue
        element = definitions.structure(key)[part.removeprefix("_")]
        found += step(element)
        key = "Element" if element.primitive else element.structure or element.type
        if key == "Resource" and isinstance(value, dict):
            key = value["resourceType"]
    return found


def _issue(resource: Mapping[str, Any], schema: Schema, error: ValidationError) -> Issue:
    fault = _fault(schema, error.absolute_schema_path)
    path: list[str | int] = list(error.absolute_path)
    value, here = error.instance, error.instance
    step = ""
    if error.validator in _OF_LISTS:
        meant = _meant(value, fault.get("near", {})) if error.validator == "contains" else None
        if meant is not None:
            path += [meant, "code"]
            here = value[meant].get("code")
        elif fault["step"]:
            path.pop()
            step = fault["step"]
    elif error.validator in _OF_OBJECTS and fault["step"]:
        step = fault["step"]
    elif fault.get("near") and isinstance(value, dict):
        more, here = closest(value, fault["near"]["of"])
        path += more
    return Issue(fault["code"], words(fault["text"], here), (place(resource, path) + step,))


def _fault(schema: Schema, path: Iterable[str | int]) -> Mapping[str, Any]:
    """The annotation nearest to the keyword that failed."""
    found: Mapping[str, Any] = {}
    part: Any = schema
    for name in path:
        if isinstance(part, dict):
            found = part.get("x-fault", found)
        part = part[name]
    return found


def _meant(items: Any, near: Mapping[str, Any]) -> int | None:
    """The place of the one coding that has the system which was asked for, and so another code."""
    if "system" not in near or not isinstance(items, list):
        return None
    places = [
        place
        for place, item in enumerate(items)
        if isinstance(item, dict) and item.get("system") == near["system"] and "code" in item
    ]
    return places[0] if len(places) == 1 else None


def closest(concept: Mapping[str, Any], systems: Sequence[str]) -> tuple[list[str | int], Any]:
    """The way to the code of a concept that has one coding, of a system of the value set, and the code."""
    found = concept.get("coding")
    codings = found if isinstance(found, list) and all(isinstance(one, dict) for one in found) else []
    if len(codings) == 1 and codings[0].get("system") in systems and "code" in codings[0]:
        return ["coding", 0, "code"], codings[0]["code"]
    return [], codings[0].get("code") if len(codings) == 1 else None


def words(text: str, here: Any) -> str:
    """The sentence of a rule, with what was found instead where that is one plain value."""
    simple = here if isinstance(here, str | int | float) or hasattr(here, "as_tuple") else None
    quoted = "" if simple is None else shown(simple)
    return text.replace("{not}", f", not {quoted}" if quoted else "").replace("{here}", f": {quoted}" if quoted else "")
