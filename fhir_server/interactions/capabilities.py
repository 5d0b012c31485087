"""The CapabilityStatement, written from the tables of routes, types, parameters and operations.

It says what there is because it is made of what there is; one test runs every line of it.  R4: capabilitystatement.html
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from fhir_server import __version__
from fhir_server.fhir import json
from fhir_server.fhir.dates import instant
from fhir_server.fhir.http import JSON_PATCH
from fhir_server.fhir.types import TYPES
from fhir_server.interactions.conformance import PATIENT_COMPARTMENT
from fhir_server.interactions.routes import ROUTES
from fhir_server.operations.registry import Operation, of_system, of_type
from fhir_server.search.parameters import Parameter, parameters
from fhir_server.search.parser import MODIFIERS, modifiers
from fhir_server.search.query import referring
from fhir_server.validation.profiles import carried_profiles

_SECURITY = {
    "cors": True,
    "service": [
        {
            "coding": [
                {"system": "http://terminology.hl7.org/CodeSystem/restful-security-service", "code": "SMART-on-FHIR"}
            ]
        }
    ],
    "description": "A bearer token with SMART scopes, on everything but discovery and health.",
}


def capability_statement(
    base: str,
    now: datetime,
    *,
    update_as_create: bool = True,
    withheld: Mapping[str, Sequence[str]] = MappingProxyType({}),
    security: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """
    The CapabilityStatement of the server at `base`, as of `now`, its start.

    withheld: the parameters of each type that cannot be searched by yet; they are left out.
    security: what else `rest.security` says: where tokens are to be had.
    """
    return {
        "resourceType": "CapabilityStatement",
        "id": "fhir-server",
        "url": f"{base}/metadata",
        "version": __version__,
        "name": "FhirServer",
        "title": "fhir-server",
        "status": "active",
        "date": instant(now),
        "publisher": "fhir-server",
        "kind": "instance",
        "software": {"name": "fhir-server", "version": __version__},
        "implementation": {"description": "A FHIR R4 health record server", "url": base},
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "application/fhir+xml", "json", "xml"],
        "patchFormat": [JSON_PATCH, "application/fhir+json", "application/fhir+xml"],
        "rest": [
            {
                "mode": "server",
                "security": {**_SECURITY, **(security or {})},
                "resource": [_resource(type, update_as_create, withheld.get(type, ())) for type in sorted(TYPES)],
                "interaction": [{"code": code} for code in ("transaction", "batch", "history-system", "search-system")],
                "searchParam": [
                    _parameter(one)
                    for one in _of_every_type()
                    if not any(one.code in codes for codes in withheld.values())
                ],
                "compartment": [PATIENT_COMPARTMENT],
                **({"operation": [_operation(each) for each in of_system()]} if of_system() else {}),
            }
        ],
    }


def _resource(type: str, update_as_create: bool, withheld: Sequence[str]) -> dict[str, Any]:
    codes = dict.fromkeys(route.interaction for route in ROUTES if "{type}" in route.path)
    operations = [_operation(operation) for operation in of_type(type)]
    profiles = [url for url, one in sorted(carried_profiles().items()) if one["type"] == type and not one["abstract"]]
    return {
        "type": type,
        "profile": f"http://hl7.org/fhir/StructureDefinition/{type}",
        **({"supportedProfile": profiles} if profiles else {}),
        **({"documentation": f"Not to be searched by yet: {', '.join(withheld)}."} if withheld else {}),
        "interaction": [{"code": code} for code in codes],
        "versioning": "versioned",
        "readHistory": True,
        "updateCreate": update_as_create,
        "conditionalCreate": True,
        "conditionalRead": "full-support",
        "conditionalUpdate": True,
        "conditionalDelete": "single",
        "referencePolicy": ["literal", "logical"],
        "searchInclude": ["*", f"{type}:*", *(f"{type}:{one.code}" for one in referring(type))],
        "searchRevInclude": ["*", *_referring_to(type)],
        "searchParam": [_parameter(one) for code, one in parameters(type).items() if code not in withheld],
        **({"operation": operations} if operations else {}),
    }


def _parameter(parameter: Parameter) -> dict[str, Any]:
    takes = ", ".join(f":{modifier}" for modifier in ("missing", *modifiers(parameter)))
    return {
        "name": parameter.code,
        "definition": parameter.url,
        "type": parameter.type,
        **({"documentation": f"Modifiers: {takes}."} if parameter.type in MODIFIERS else {}),
    }


def _of_every_type() -> list[Parameter]:
    """The parameters that a search across types takes."""
    common = set.intersection(*(set(parameters(type)) for type in TYPES))
    return [one for code, one in parameters("Patient").items() if code in common]


def _referring_to(type: str) -> list[str]:
    return [f"{source}:{one.code}" for source in sorted(TYPES) for one in referring(source) if type in one.targets]


def _operation(operation: Operation) -> dict[str, Any]:
    called = ", ".join(f"`{address}`" for address in operation.addresses())
    said = f"Called at {called}. {operation.behaviour}".rstrip()
    return {"name": operation.name, "definition": operation.definition, "documentation": said}


def document() -> bytes:
    """The statement as conformance/capability-statement.json holds it: of a server as it starts by default."""
    statement = capability_statement("http://127.0.0.1:8080/fhir", datetime(2026, 1, 1, tzinfo=UTC))
    return json.dumps(statement, pretty=True) + b"\n"


if __name__ == "__main__":
    sys.stdout.buffer.write(document())
