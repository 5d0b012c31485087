"""The conformance resources that come with the server: what it holds resources to, and what it can be asked.

Profiles, terminologies and systems of identifiers are files; the definitions of search parameters, operations and the
Patient compartment are written from the very tables that searches and calls are answered from, so that they say what
there is.  loading/carried.py keeps them in the store, where they are read and searched as any other resource.

A definition of HL7 stands under HL7's url, with what of it is answered here.

R4: structuredefinition.html, searchparameter.html, operationdefinition.html, compartmentdefinition.html
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from fhir_server.config import carried
from fhir_server.fhir import json
from fhir_server.fhir.types import TYPES
from fhir_server.operations.registry import OPERATIONS, Operation
from fhir_server.search.compartment import compartment
from fhir_server.search.parameters import Parameter, parameters, published
from fhir_server.search.parser import modifiers

Resource = dict[str, Any]

PATIENT_COMPARTMENT = "http://hl7.org/fhir/CompartmentDefinition/patient"

#: Where the files stand.
_FILES = (
    ("profiles", "*.json"),
    ("terminologies", "code-systems/*.json"),
    ("terminologies", "value-sets/*.json"),
    ("terminologies", "naming-systems/*.json"),
)
#: The version of what stands under such a url: of an international guide, and of the standard.
_VERSIONS = {"http://hl7.org/fhir/uv/ipa/": "1.1.0", "http://hl7.org/fhir/": "4.0.1"}
_COMPARED = ("number", "date", "quantity")
_COMPARATORS = ["eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"]
#: A modifier in a search → its code, where that is another.  R4: valueset-search-modifier-code.html
_MODIFIER_CODES = {"of-type": "ofType"}


def resources() -> Iterator[Resource]:
    """Each of them, under an id that is always the same: the last part of its url."""
    for folder, files in _FILES:
        for path in sorted(carried(folder).glob(files)):
            yield json.parse(path.read_bytes())
    yield from search_parameters()
    yield from map(operation_definition, OPERATIONS)
    yield compartment_definition()


def search_parameters() -> Iterator[Resource]:
    """A SearchParameter for each url: a parameter that several types have under one url is one."""
    by_url: dict[str, dict[str, Parameter]] = {}
    for type in TYPES:
        for one in parameters(type).values():
            # What every type has is defined once, of Resource.
            base = "Resource" if one.code in published()["Resource"] else type
            by_url.setdefault(one.url, {}).setdefault(base, one)
    for url, of in sorted(by_url.items()):
        yield _search_parameter(url, of)


def operation_definition(operation: Operation) -> Resource:
    """The OperationDefinition of a row of the registry, with the parameters that can be asked for."""
    standard = _operations()[operation.definition]
    called = ", ".join(f"`{address}`" for address in operation.addresses())
    every = operation.types == tuple(TYPES)
    return {
        "resourceType": "OperationDefinition",
        **_head(operation.definition),
        "title": standard["title"],
        "status": "active",
        "kind": "operation",
        "description": f"{standard['title']}: called at {called}.",
        "affectsState": operation.changes,
        "code": operation.name,
        **({"resource": ["Resource"] if every else list(operation.types)} if operation.types else {}),
        "system": "system" in operation.levels,
        "type": "type" in operation.levels,
        "instance": "instance" in operation.levels,
        "parameter": [
            one for one in standard["parameter"] if one["use"] == "out" or one["name"] not in operation.refused
        ],
    }


def compartment_definition() -> Resource:
    """The Patient compartment: which parameters put a resource of each type into it."""
    rows = ((type, list(compartment(type))) for type in sorted(TYPES))
    return {
        "resourceType": "CompartmentDefinition",
        **_head(PATIENT_COMPARTMENT),
        "status": "active",
        "description": "A Patient and the resources that are linked to it.",
        "code": "Patient",
        "search": True,
        "resource": [{"code": type, **({"param": codes} if codes else {})} for type, codes in rows],
    }


def _search_parameter(url: str, of: dict[str, Parameter]) -> Resource:
    bases = list(of)
    rows = [published()[base][one.code] for base, one in of.items()]
    one = of[bases[0]]
    expression = " | ".join(dict.fromkeys(each["expression"] for each in rows))
    targets = sorted({target for each in of.values() for target in each.targets})
    takes = [_MODIFIER_CODES.get(modifier, modifier) for modifier in ("missing", *modifiers(one))]
    return {
        "resourceType": "SearchParameter",
        **_head(url),
        "status": "active",
        "description": f"{_listed(bases)} by {_asked(bases[0], one, expression)}.",
        "code": one.code,
        "base": bases,
        "type": one.type,
        "expression": expression,
        **({"target": targets} if targets else {}),
        "multipleOr": True,
        "multipleAnd": True,
        **({"comparator": _COMPARATORS} if one.type in _COMPARED else {}),
        "modifier": [*takes, *(["type"] if one.type == "reference" else [])],
        **({"component": _components(bases[0], one.code)} if one.type == "composite" else {}),
    }


def _asked(base: str, one: Parameter, expression: str) -> str:
    if one.type != "composite":
        return f"`{one.code}`: what stands at `{expression}`"
    halves = [f"`{half['definition']}`" for half in published()[base][one.code]["component"]]
    return f"{_listed(halves)} of one and the same `{expression}`"


def _components(base: str, code: str) -> list[Resource]:
    return [
        {"definition": parameters(base)[half["definition"]].url, "expression": half["expression"]}
        for half in published()[base][code]["component"]
    ]


def _head(url: str) -> Resource:
    """Id, url, version and name."""
    id = url.rpartition("/")[2].replace("_", "-")
    name = id.replace("-", "_")
    version = next((version for start, version in _VERSIONS.items() if url.startswith(start)), None)
    return {"id": id, "url": url, **({"version": version} if version else {}), "name": name[0].upper() + name[1:]}


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _operations() -> dict[str, Any]:
    """What the definitions of operations say beside the registry: HL7's, and our own."""
    found: dict[str, Any] = {}
    for folder in ("r4", "guides"):
        found |= orjson.loads((carried("profiles") / folder / "operations.json").read_bytes())
    return found
