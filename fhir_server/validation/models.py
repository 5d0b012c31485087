"""A second reader for what the walk finds good: the models of fhir.resources.

They are of R4B, whose types are R4's for what is stored here; OVERRULED lists where they refuse what R4 allows.  A
model is imported when its type first comes: the first costs 20 MB and 0.2 s, all of them 45 MB and 0.5 s.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fhir_server.fhir import definitions
from fhir_server.fhir.outcome import Issue
from fhir_server.validation.places import step
from fhir_server.validation.words import shown

#: Errors of pydantic that count for nothing, since the walk has judged the same by R4's own definitions.
OVERRULED = {
    "missing": "a required primitive may have extensions alone (extensibility.html#Special-Case)",
    "model_field_validation.missing": "likewise, for a primitive that repeats",
    "extra_forbidden": "the models lack `_valueCode` and its like in an Extension, and valueMeta",
    "string_pattern_mismatch": "the `\\s` of Python is wider than that of XML Schema: a no-break space is a character",
    "uuid_version": "R4 takes any UUID, not version 4 alone",
}
#: So does this message, for the first of those reasons; its type is that of every error that the models raise.
_CHOICE_MISSING = "Value error, Expect any of field value from this list"
#: What the models fall over instead of judging: types that R4B dropped (SubstanceNucleicAcid), and a required primitive
#: that repeats and has `_x` ("'list' object has no attribute 'extension'").  The walk has judged these alone.
_STUMBLES = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
_OF_STRUCTURE = ("list_", "dict_", "model_", "too_", "is_instance")


def load(types: Iterable[str]) -> None:
    """Import the models of these types now: a process that forks shares them, and no first request waits for them."""
    from fhir.resources.R4B import get_fhir_model_class

    for type in types:
        get_fhir_model_class(type)


def faults(resource: dict[str, Any]) -> list[Issue]:
    """What the model of its type holds against `resource`, in which the walk found no fault."""
    # Here, and not above: a command that writes nothing need not load them.
    from fhir.resources.R4B import get_fhir_model_class
    from pydantic import ValidationError

    try:
        get_fhir_model_class(resource["resourceType"]).model_validate(resource)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False)
        return [_issue(resource, each) for each in found if not _overruled(each)]
    except _STUMBLES:
        return []
    except RecursionError:
        return [Issue("too-costly", "The resource is nested too deeply.")]
    return []


def _overruled(error: Any) -> bool:
    return error["type"] in OVERRULED or error["msg"].startswith(_CHOICE_MISSING)


def _issue(resource: dict[str, Any], error: Any) -> Issue:
    name, path = _place(resource, error["loc"])
    code = "structure" if error["type"].startswith(_OF_STRUCTURE) else "value"
    words = f"{error['msg'][:1].lower()}{error['msg'][1:]}"
    if isinstance(error["input"], str | int | float):
        words += f" ({shown(error['input'])})"
    return Issue(code, f"`{name}`: {words}.", (path,))


def _place(resource: dict[str, Any], location: tuple[int | str, ...]) -> tuple[str, str]:
    """The name and the FHIRPath of the element at a pydantic location, or of the last on the way that can be told."""
    value: Any = resource
    name = path = key = resource["resourceType"]
    for part in location:
        if isinstance(part, int):
            path = f"{path}[{part}]"
            value = value[part] if isinstance(value, list) and part < len(value) else None
            continue
        if key == "Resource" and isinstance(value, dict):
            key = value.get("resourceType", key)
        element = definitions.structure(key).get(part.removeprefix("_"))
        if not element:
            break
        name, path = element.name, path + step(element)
        key = "Element" if element.primitive else element.structure or element.type
        value = value.get(part) if isinstance(value, dict) else None
    return name, path
