"""$subsumes: how two codes of a system stand to each other.  R4: codesystem-operation-subsumes.html"""

from __future__ import annotations

from fhir_server.fhir.http import FhirRequest, FhirResponse
from fhir_server.fhir.outcome import BadRequest
from fhir_server.fhir.terminology import relations
from fhir_server.operations.parameters import Given, answer, given
from fhir_server.operations.validate_code import coded, system_meant
from fhir_server.repository import Repository

_TAKES = {
    "codeA": "code",
    "codeB": "code",
    "system": "uri",
    "version": "string",
    "codingA": "Coding",
    "codingB": "Coding",
}


def subsumes(request: FhirRequest, repository: Repository, type: str, id: str | None = None) -> FhirResponse:
    """
    200 and Parameters: `outcome`, one of equivalent, subsumes, subsumed-by, not-subsumed.

    Raises NotFound for a system or a code that is not known, BadRequest for codes of two systems.
    """
    asked = given(request, _TAKES)
    one, other = asked.value("codingA"), asked.value("codingB")
    first, second = asked.text("codeA"), asked.text("codeB")
    if one is not None and other is not None and first is None and second is None:
        a, b = coded(one), coded(other)
        if a.system != b.system or a.system is None:
            raise BadRequest(f"The codes are of one system, not of `{a.system}` and `{b.system}`.")
        first, second = a.code, b.code
        named = {"system": a.system, "version": a.version or b.version}
        if id is None:
            asked = Given({name: (value,) for name, value in named.items() if value})
        elif "system" in asked:
            raise BadRequest("The system is CodeSystem/[id]; leave out `system`.")
    elif first is None or second is None or one is not None or other is not None:
        raise BadRequest("Give both codes: `codeA` and `codeB` with their `system`, or `codingA` and `codingB`.")
    of = system_meant(asked, repository, id, "system")
    return answer(("outcome", "code", relations.subsumes(of, first, second)))
