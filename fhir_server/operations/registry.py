"""The $operations that are offered: one row each, one file each.  R4: operations.html"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fhir_server.fhir.http import FhirRequest, FhirResponse
from fhir_server.fhir.types import TYPES
from fhir_server.operations import everything, meta
from fhir_server.repository import Repository

Handler = Callable[[FhirRequest, Repository, str, str], FhirResponse]


@dataclass(frozen=True)
class Operation:
    """
    A row: `POST [type]/[id]/$[name]`, and GET too where nothing is changed.

    definition: the canonical url of its OperationDefinition.
    """

    name: str
    definition: str
    types: tuple[str, ...]
    changes: bool
    handler: Handler


_EVERY = tuple(TYPES)

OPERATIONS: dict[str, Operation] = {
    operation.name: operation
    for operation in (
        Operation(
            "everything",
            "http://hl7.org/fhir/OperationDefinition/Patient-everything",
            ("Patient",),
            False,
            everything.everything,
        ),
        Operation("meta", "http://hl7.org/fhir/OperationDefinition/Resource-meta", _EVERY, False, meta.meta),
        Operation("meta-add", "http://hl7.org/fhir/OperationDefinition/Resource-meta-add", _EVERY, True, meta.add),
        Operation(
            "meta-delete", "http://hl7.org/fhir/OperationDefinition/Resource-meta-delete", _EVERY, True, meta.delete
        ),
    )
}
