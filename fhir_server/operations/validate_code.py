"""$validate-code: whether a code is in a value set, or is a code of a system.

R4: valueset-operation-validate-code.html, codesystem-operation-validate-code.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fhir_server.fhir import json
from fhir_server.fhir.http import FhirRequest, FhirResponse
from fhir_server.fhir.outcome import BadRequest, NotFound, NotSupported
from fhir_server.fhir.terminology.membership import Coded, Verdict, any_of, in_code_system, in_value_set
from fhir_server.fhir.terminology.systems import Listed, System, system
from fhir_server.fhir.terminology.value_sets import read
from fhir_server.operations.expand import WHICH, which
from fhir_server.operations.parameters import Given, answer, given
from fhir_server.repository import Repository

_CODED = {
    "code": "code",
    "display": "string",
    "coding": "Coding",
    "codeableConcept": "CodeableConcept",
    "date": "dateTime",
    "abstract": "boolean",
    "displayLanguage": "code",
}
_OF_VALUE_SET = {**WHICH, **_CODED, "system": "uri", "systemVersion": "string", "inferSystem": "boolean"}
_OF_SYSTEM = {"url": "uri", "codeSystem": "CodeSystem", "version": "string", **_CODED}


def value_set(request: FhirRequest, repository: Repository, type: str, id: str | None = None) -> FhirResponse:
    """
    200 and Parameters: `result`, `message`, `display`.

    A code without its system is looked for in the whole value set if `inferSystem` asks for it.  Raises NotFound for a
    value set that is not known, BadRequest where it is not said what is asked.
    """
    asked = given(request, _OF_VALUE_SET)
    definition = read(which(asked, repository, id), repository.terminology)
    abstract, infer = asked.flag("abstract") or False, asked.flag("inferSystem") or False
    language = asked.text("displayLanguage")

    def judge(coded: Coded) -> Verdict:
        return in_value_set(definition, coded, abstract=abstract, infer=infer, language=language)

    verdict = _verdict(asked, judge, asked.text("system"), asked.text("systemVersion"))
    inferred = verdict.result and infer
    return answer(
        ("result", "boolean", verdict.result),
        ("message", "string", verdict.message),
        ("display", "string", verdict.display),
        ("system", "uri", verdict.system if inferred else None),
        ("code", "code", verdict.code if inferred else None),
    )


def code_system(request: FhirRequest, repository: Repository, type: str, id: str | None = None) -> FhirResponse:
    """200 and Parameters: `result`, `message`, `display`.  Raises NotFound for an unknown system, BadRequest."""
    asked = given(request, _OF_SYSTEM)
    of = system_meant(asked, repository, id)
    abstract, language = asked.flag("abstract") or False, asked.text("displayLanguage")

    def judge(coded: Coded) -> Verdict:
        return in_code_system(of, coded, abstract=abstract, language=language)

    verdict = _verdict(asked, judge, of.url, None)
    return answer(
        ("result", "boolean", verdict.result),
        ("message", "string", verdict.message),
        ("display", "string", verdict.display),
    )


def system_meant(asked: Given, repository: Repository, id: str | None, by: str = "url") -> System:
    """
    The code system that is meant: the instance, the one that was sent as `codeSystem`, or the one under `by`.

    Raises BadRequest if none or several are named, NotFound.
    """
    named = [name for name in (by, "codeSystem") if name in asked]
    if len(named) + (id is not None) != 1:
        raise BadRequest(f"Name one code system: by `{by}`, or as CodeSystem/[id].")
    if id is not None:
        resource = json.parse(repository.read("CodeSystem", id).body or b"")
        if resource.get("content") == "not-present":
            return system(repository.terminology, resource.get("url", ""), resource.get("version"))
        return Listed(resource)
    repository.decide("read", "CodeSystem")
    sent = asked.value("codeSystem")
    if sent is not None:
        return Listed(sent)
    url, _, version = (asked.text(by) or "").partition("|")
    return system(repository.terminology, url, asked.text("version") or version or None)


def coded(coding: dict[str, Any]) -> Coded:
    """The Coding that is asked about.  Raises BadRequest if it has no code."""
    if "code" not in coding:
        raise BadRequest("A coding without a code cannot be looked for.")
    return Coded(coding["code"], coding.get("system"), coding.get("version"), coding.get("display"))


def _verdict(asked: Given, judge: Callable[[Coded], Verdict], system: str | None, version: str | None) -> Verdict:
    """The verdict on the code, the coding or the concept; one of them is asked about."""
    if "date" in asked:
        raise NotSupported("`date` cannot be asked for here: codes are judged as they are now.")
    named = [name for name in ("code", "coding", "codeableConcept") if name in asked]
    if len(named) != 1:
        raise BadRequest("Ask about one `code`, or one `coding`, or one `codeableConcept`.")
    code, coding, concept = asked.text("code"), asked.value("coding"), asked.value("codeableConcept")
    if code is not None:
        return judge(Coded(code, system, version, asked.text("display")))
    if coding is not None:
        return judge(coded(coding))
    return any_of(judge(coded(each)) for each in (concept or {}).get("coding", ()) if "code" in each)


def nothing_there(url: str, code: str) -> NotFound:
    """The refusal of a code that its system does not have."""
    return NotFound(f"`{code}` is not a code of {url} that is known here.")
