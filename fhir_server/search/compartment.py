"""The Patient compartment: by which parameters a resource of each type belongs to it.

The facts are HL7's, in profiles/r4/compartment-patient.json.  R4: compartmentdefinition-patient.html
"""

from __future__ import annotations

import json
from functools import cache

from fhir_server.config import carried
from fhir_server.search.parameters import parameters


def compartment(type: str) -> tuple[str, ...]:
    """The reference parameters that put a resource of the type into a patient's compartment; none if there are none."""
    return tuple(code for code in _facts().get(type, ()) if code in parameters(type))


@cache
def _facts() -> dict[str, list[str]]:
    return json.loads((carried("profiles") / "r4" / "compartment-patient.json").read_bytes())
