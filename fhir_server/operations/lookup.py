"""$lookup: what a code system says of a code.  R4: codesystem-operation-lookup.html"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fhir_server.fhir.http import FhirRequest, FhirResponse
from fhir_server.fhir.outcome import BadRequest, NotSupported
from fhir_server.fhir.terminology.concepts import Concept, Designation, in_language
from fhir_server.fhir.terminology.systems import System
from fhir_server.operations.parameters import Given, answer, given
from fhir_server.operations.validate_code import coded, nothing_there, system_meant
from fhir_server.repository import Repository

_TAKES = {
    "code": "code",
    "system": "uri",
    "version": "string",
    "coding": "Coding",
    "date": "dateTime",
    "displayLanguage": "code",
    "property": "code",
}
#: What `property` may ask for besides the properties of the system.
_OWN = ("system", "name", "version", "display", "designation")
Part = list[tuple[str, str, Any]]


def lookup(request: FhirRequest, repository: Repository, type: str) -> FhirResponse:
    """
    200 and Parameters: name, version, display, designations, properties with parents and children.

    `property` leaves only those that it names.  Raises NotFound for a system or a code that is not known, BadRequest.
    """
    asked = given(request, _TAKES)
    if "date" in asked:
        raise NotSupported("`date` cannot be asked for here: a code is told as it is now.")
    of, code = _meant(asked, repository)
    concept = of.concept(code)
    if concept is None:
        raise nothing_there(of.url, code)
    language, wanted = asked.text("displayLanguage"), asked.texts("property")
    about = of.about
    own = about.get("language")
    shows = not wanted or "designation" in wanted or any(each.startswith("lang.") for each in wanted)
    return answer(
        ("name", "string", about.get("title") or about.get("name") or of.url),
        ("version", "string", of.version),
        ("display", "string", concept.named(language, own) or concept.code),
        parts={
            "designation": [_designation(each) for each in _designations(concept, own, wanted)] if shows else [],
            "property": [row for row in _properties(of, concept) if not wanted or row[0][2] in wanted],
        },
    )


def _meant(asked: Given, repository: Repository) -> tuple[System, str]:
    """The system and the code: by `system` and `code`, or by a Coding."""
    coding, code = asked.value("coding"), asked.text("code")
    if (coding is None) == (code is None):
        raise BadRequest("Ask about one `code` of a `system`, or about one `coding`.")
    if code is not None:
        return system_meant(asked, repository, None, "system"), code
    found = coded(coding or {})
    values = {"system": (found.system,) if found.system else (), "version": (found.version,) if found.version else ()}
    return system_meant(Given({k: v for k, v in values.items() if v}), repository, None, "system"), found.code


def _designations(concept: Concept, own: str | None, wanted: Sequence[str]) -> list[Designation]:
    """All names, the display in its language first; or those in the languages that are wanted."""
    names = list(concept.designations)
    if own and concept.display is not None:
        names.insert(0, Designation(concept.display, own))
    languages = [each.removeprefix("lang.") for each in wanted if each.startswith("lang.")]
    if languages and "designation" not in wanted:
        return [name for language in languages for name in in_language(names, language)]
    return names


def _designation(each: Designation) -> Part:
    return [("language", "code", each.language), ("use", "Coding", each.use), ("value", "string", each.value)]


def _properties(of: System, concept: Concept) -> list[Part]:
    found: list[Part] = []
    if concept.definition is not None:
        found.append([("code", "code", "definition"), ("value", "string", concept.definition)])
    for name, codes in (("parent", concept.parents), ("child", of.children(concept.code))):
        for code in codes:
            other = of.concept(code)
            found.append(
                [("code", "code", name), ("value", "code", code), ("description", "string", other and other.display)]
            )
    declared = {each["code"]: each.get("description") for each in of.about.get("property", ())}
    for each in concept.properties:
        found.append(
            [
                ("code", "code", each.code),
                ("value", each.type, each.value),
                ("description", "string", declared.get(each.code)),
            ]
        )
    if not any(each.code == "inactive" for each in concept.properties):
        found.append([("code", "code", "inactive"), ("value", "boolean", concept.inactive)])
    return found
