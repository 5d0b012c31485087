"""$validate: what it is asked with, and what it answers.  R4: resource-operation-validate.html"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from fhir_server import app
from fhir_server.access import Actor, scopes
from fhir_server.audit import Trail
from fhir_server.config import Settings
from fhir_server.fhir.http import FhirRequest, query_of
from fhir_server.fhir.outcome import BadRequest, NotFound, Unprocessable
from fhir_server.operations.validate import validate
from fhir_server.repository import Repository
from tests.build import observation, patient
from tests.calls import BASE, Caller, Served

Ask = Callable[..., list[dict[str, Any]]]
NARRATIVE = {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">Zoé</div>'}
GOOD = patient(text=NARRATIVE)
BAD = {**GOOD, "gendre": "x"}


@pytest.fixture
def ask(served: Served) -> Ask:
    """The issues that $validate answers with, asked by whoever has these scopes."""
    around = app.surroundings(served.client, Settings(mongodb_database=served.name), BASE)

    def issues(body: Any, type: str = "Patient", id: str | None = None, query: str = "", scope: str = "system/*.cruds"):
        actor = Actor("operator", "operator", scopes.parse(scope))
        repository = Repository(around, actor, Trail("operation-validate", "POST", f"{type}/$validate"))
        request = FhirRequest("POST", f"{type}/$validate", BASE, query_of(query))
        if body is not None:
            headers = {"content-type": "application/fhir+json"}
            request = replace(request, body=json.dumps(body).encode(), headers=headers)
        answer = validate(request, repository, type, id)
        assert answer.status == 200
        outcome = json.loads(answer.body or b"")
        assert outcome["resourceType"] == "OperationOutcome"
        return outcome["issue"]

    return issues


def parameters(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Parameters", "parameter": list(parts)}


def test_a_good_resource_is_said_to_be_good(ask: Ask) -> None:
    """An outcome without errors; OperationOutcome.issue is 1..*"""
    (issue,) = ask(GOOD)
    assert (issue["severity"], issue["code"]) == ("information", "informational")


@pytest.mark.parametrize("sent", [BAD, parameters({"name": "resource", "resource": BAD})])
def test_a_fault_is_an_error_with_its_place_and_the_answer_200(ask: Ask, sent: dict[str, Any]) -> None:
    """The resource as the body, or in Parameters"""
    (issue,) = ask(sent)
    assert (issue["severity"], issue["expression"]) == ("error", ["Patient.gendre"])


def test_warnings_are_told_and_are_no_errors(ask: Ask) -> None:
    """A claimed profile that is not known, and a narrative that is missing (dom-6)"""
    found = ask(patient(meta={"profile": ["http://example.org/p"]}))
    assert [(issue["severity"], issue["expression"][0]) for issue in found] == [
        ("warning", "Patient.meta.profile[0]"),
        ("warning", "Patient.text"),
    ]


def test_without_a_body_the_resource_at_the_url_is_validated(ask: Ask, operator: Caller) -> None:
    reference = operator.create(GOOD)
    (issue,) = ask(None, id=reference.partition("/")[2])
    assert issue["severity"] == "information"
    with pytest.raises(NotFound):
        ask(None, id="nothing-here")


@pytest.mark.parametrize(
    ("query", "id", "sent", "expected"),
    [
        ("mode=create", None, GOOD, ("information", "informational")),
        ("mode=create", None, {**GOOD, "id": "a"}, ("information", "informational")),
        ("mode=update", None, GOOD, ("error", "required")),
        ("mode=update", "a", {**GOOD, "id": "b"}, ("error", "invalid")),
        ("mode=update", "a", {**GOOD, "id": "a"}, ("information", "informational")),
        ("", None, observation(), ("error", "invalid")),
        ("profile=http://hl7.org/fhir/StructureDefinition/Patient", None, GOOD, ("information", "informational")),
        ("profile=http://hl7.org/fhir/StructureDefinition/Observation", None, GOOD, ("error", "structure")),
    ],
)
def test_modes_and_profiles(ask: Ask, query: str, id: str | None, sent: dict[str, Any], expected: tuple[str, str]):
    (issue,) = ask(sent, id=id, query=query)
    assert (issue["severity"], issue["code"]) == expected


def test_a_delete_is_asked_of_what_is_there(ask: Ask, operator: Caller) -> None:
    """mode=delete: the resource itself is not needed"""
    id = operator.create(GOOD).partition("/")[2]
    (issue,) = ask(parameters({"name": "mode", "valueCode": "delete"}), id=id)
    assert issue["severity"] == "information"
    with pytest.raises(NotFound):
        ask(None, id="nothing-here", query="mode=delete")


def test_what_the_caller_may_not_do_is_told(ask: Ask) -> None:
    """mode=create by who may only read"""
    (issue,) = ask(GOOD, query="mode=create", scope="system/Patient.rs")
    assert (issue["severity"], issue["code"]) == ("error", "forbidden")


def test_nothing_is_stored(ask: Ask, served: Served) -> None:
    before = served.database["Patient"].count_documents({})
    ask({**GOOD, "id": "never-stored"}, query="mode=update")
    assert served.database["Patient"].count_documents({}) == before


@pytest.mark.parametrize(
    ("query", "id", "sent"),
    [
        ("mode=create", "a", GOOD),
        ("mode=delete", None, GOOD),
        ("mode=create", None, None),
        ("mode=profile", None, GOOD),
        ("mode=destroy", None, GOOD),
        ("mood=create", None, GOOD),
        ("mode=create", None, parameters({"name": "mode", "valueCode": "create"})),
        ("", None, parameters({"name": "mode"})),
        ("", None, parameters({"name": "resource", "valueString": "x"})),
        ("", None, parameters({"name": "other", "valueString": "x"})),
        ("", None, {"resourceType": "Parameters", "parameter": 5}),
    ],
)
def test_what_makes_no_sense_is_400(ask: Ask, query: str, id: str | None, sent: Any) -> None:
    with pytest.raises(BadRequest):
        ask(sent, id=id, query=query)


def test_a_profile_that_is_not_known_is_refused(ask: Ask) -> None:
    """If the server cannot validate against the nominated profile, it SHALL return an error"""
    with pytest.raises(Unprocessable):
        ask(GOOD, query="profile=http://example.org/p")
