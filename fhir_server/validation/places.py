"""How a fault says where it is: the steps of a FHIRPath, `.value.ofType(Quantity)` for valueQuantity.

R4: operationoutcome.html (OperationOutcome.issue.expression), fhirpath.html
"""

from __future__ import annotations

import re

from fhir_server.fhir.definitions import Element

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_KEYWORDS = {"and", "div", "false", "implies", "mod", "or", "true", "xor"}


def step(element: Element) -> str:
    """What an element adds to a FHIRPath: `.value.ofType(Quantity)` for valueQuantity."""
    if element.choice:
        return f".{element.choice.removesuffix('[x]')}.ofType({element.type})"
    return named(element.name)


def named(name: str) -> str:
    """The step to a child of this name, delimited where FHIRPath would not take it as it is.  FHIRPath: identifiers"""
    if _IDENTIFIER.fullmatch(name) and name not in _KEYWORDS:
        return f".{name}"
    escaped = (c if c.isprintable() and c not in "`\\" else f"\\u{ord(c):04x}" for c in name[:64])
    return f".`{''.join(escaped)}`"
