"""The $operations that are offered: one row each, one file each.  R4: operations.html"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from fhir_server.fhir.http import FhirResponse
from fhir_server.fhir.types import TYPES
from fhir_server.operations import (
    access_history,
    docref,
    everything,
    expand,
    explain_access,
    lastn,
    lookup,
    lookup_record,
    meta,
    subsumes,
    validate,
    validate_code,
)

#: Where an operation is called: `[base]/$name`, `[base]/[type]/$name`, `[base]/[type]/[id]/$name`.
Level = Literal["system", "type", "instance"]
#: Called with the request and the repository, and with `type` and `id` as far as the level has them.
Handler = Callable[..., FhirResponse]


@dataclass(frozen=True)
class Operation:
    """
    A row: `POST …/$[name]` on each of its levels, and GET too where nothing is changed.

    definition: the canonical url of its OperationDefinition.  types: none at the level of the system alone.
    refused: those of its parameters that cannot be asked for here.  behaviour: what the CapabilityStatement is to say.
    """

    name: str
    definition: str
    types: tuple[str, ...]
    levels: tuple[Level, ...]
    changes: bool
    handler: Handler
    refused: tuple[str, ...] = ()
    behaviour: str = ""

    def addresses(self) -> tuple[str, ...]:
        """Where it is called, as a client is told."""
        forms = {"system": f"${self.name}", "type": f"[type]/${self.name}", "instance": f"[type]/[id]/${self.name}"}
        type = f"{self.types[0]}/" if len(self.types) == 1 else "[type]/"
        return tuple(forms[level].replace("[type]/", type) for level in self.levels)


_STANDARD = "http://hl7.org/fhir/OperationDefinition/"
_OWN = "https://fhir-server.example/OperationDefinition/"
_EVERY = tuple(TYPES)

#: The same name may be there for several types.
OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "everything",
        f"{_STANDARD}Patient-everything",
        ("Patient",),
        ("instance",),
        False,
        everything.everything,
        refused=("_offset",),
    ),
    Operation(
        "explain-access",
        f"{_OWN}Patient-explain-access",
        ("Patient",),
        ("instance",),
        False,
        explain_access.explain_access,
    ),
    Operation(
        "access-history",
        f"{_OWN}Patient-access-history",
        ("Patient",),
        ("instance",),
        False,
        access_history.access_history,
    ),
    Operation(
        "lookup-record",
        f"{_OWN}Patient-lookup-record",
        ("Patient",),
        ("type",),
        True,
        lookup_record.lookup_record,
    ),
    Operation("lastn", f"{_STANDARD}Observation-lastn", ("Observation",), ("type",), False, lastn.lastn),
    Operation(
        "docref",
        "http://hl7.org/fhir/uv/ipa/OperationDefinition/docref",
        ("DocumentReference",),
        ("type",),
        False,
        docref.docref,
        behaviour=docref.BEHAVIOUR,
    ),
    Operation("meta", f"{_STANDARD}Resource-meta", _EVERY, ("instance",), False, meta.meta),
    Operation("meta-add", f"{_STANDARD}Resource-meta-add", _EVERY, ("instance",), True, meta.add),
    Operation("meta-delete", f"{_STANDARD}Resource-meta-delete", _EVERY, ("instance",), True, meta.delete),
    Operation(
        "expand",
        f"{_STANDARD}ValueSet-expand",
        ("ValueSet",),
        ("type", "instance"),
        False,
        expand.expansion,
        refused=expand.NOT_DONE,
    ),
    Operation(
        "validate-code",
        f"{_STANDARD}ValueSet-validate-code",
        ("ValueSet",),
        ("type", "instance"),
        False,
        validate_code.value_set,
        refused=("context", "date"),
    ),
    Operation(
        "validate-code",
        f"{_STANDARD}CodeSystem-validate-code",
        ("CodeSystem",),
        ("type", "instance"),
        False,
        validate_code.code_system,
        refused=("date",),
    ),
    Operation("validate", f"{_STANDARD}Resource-validate", _EVERY, ("type", "instance"), False, validate.validate),
    Operation(
        "lookup",
        f"{_STANDARD}CodeSystem-lookup",
        ("CodeSystem",),
        ("type",),
        False,
        lookup.lookup,
        refused=("date",),
    ),
    Operation(
        "subsumes", f"{_STANDARD}CodeSystem-subsumes", ("CodeSystem",), ("type", "instance"), False, subsumes.subsumes
    ),
)


def find(name: str, type: str | None, level: Level) -> Operation | None:
    """The operation with this name, on a type (None: of the system), at a level."""
    return next(
        (
            operation
            for operation in OPERATIONS
            if operation.name == name and level in operation.levels and (type is None or type in operation.types)
        ),
        None,
    )


def of_type(type: str) -> tuple[Operation, ...]:
    """Those that are called on a type or an instance of it."""
    return tuple(o for o in OPERATIONS if type in o.types and {"type", "instance"} & set(o.levels))


def of_system() -> tuple[Operation, ...]:
    """Those that are called on the system."""
    return tuple(o for o in OPERATIONS if "system" in o.levels)
