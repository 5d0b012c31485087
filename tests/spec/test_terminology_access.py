"""What a terminology question reads is what the asker may read, and is in the record of the request.

rule A17 (every access is recorded), A18 (terminologies are readable by any authenticated client, within its scopes);
R4: terminology-service.html, search.html#token; SMART App Launch 2.2: scopes-and-launch-context.html
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

import pytest

from tests.build import entry, observation, transaction
from tests.calls import Caller, Served

STATUSES = "http://hl7.org/fhir/ValueSet/observation-status"


@dataclass(frozen=True)
class Kept:
    """A code system and a value set of it in the store, and an Observation of a code that is in both."""

    system: str
    pets: str
    tag: str

    def find(self, value_set: str | None = None) -> str:
        """The search for Observations of the value set."""
        return f"Observation?_tag=urn:tag|{self.tag}&code:in={value_set or self.pets}"


@pytest.fixture(scope="module")
def kept(operator: Caller) -> Kept:
    """In version 1, and in use."""
    tag = secrets.token_hex(4)
    found = Kept(f"urn:test:reptiles:{tag}", f"urn:test:pet-reptiles:{tag}", tag)
    concepts = {"content": "complete", "concept": [{"code": "reptile", "concept": [{"code": "gecko"}]}]}
    for resource in (
        {"resourceType": "CodeSystem", "id": f"s-{tag}", "url": found.system, **concepts},
        {"resourceType": "ValueSet", "id": f"v-{tag}", "url": found.pets,
         "compose": {"include": [{"system": found.system}]}},
    ):  # fmt: skip
        path = f"{resource['resourceType']}/{resource['id']}"
        answer = operator("PUT", path, {**resource, "status": "active", "version": "1"})
        assert answer.status_code == 201, answer.text
    coding = {"system": found.system, "code": "gecko"}
    operator.create(observation(code={"coding": [coding]}, meta={"tag": [{"system": "urn:tag", "code": tag}]}))
    return found


QUESTIONS = {
    "expand": "ValueSet/$expand?url={pets}",
    "validate-code": "ValueSet/$validate-code?url={pets}&system={system}&code=gecko",
    "validate-code of a system": "CodeSystem/$validate-code?url={system}&code=gecko",
    "lookup": "CodeSystem/$lookup?system={system}&code=gecko",
    "subsumes": "CodeSystem/$subsumes?system={system}&codeA=reptile&codeB=gecko",
    "in": "Observation?_tag=urn:tag|{tag}&code:in={pets}",
    "in, by id": "Observation?_tag=urn:tag|{tag}&code:in=ValueSet/v-{tag}",
    "not-in": "Observation?_tag=urn:tag|{tag}&code:not-in={pets}",
    "above": "Observation?_tag=urn:tag|{tag}&code:above={system}|gecko",
    "below": "Observation?_tag=urn:tag|{tag}&code:below={system}|reptile",
    "in, through a chain": "DiagnosticReport?result.code:in={pets}",
    "in, through _has": "Patient?_has:Observation:patient:code:in={pets}",
    "in, in a filter": 'Observation?_filter=code in "{pets}"',
    "in, in a compartment": "Patient/p1/Observation?code:in={pets}",
}
#: Those that ask of the system alone.
OF_THE_SYSTEM = {"validate-code of a system", "lookup", "subsumes", "above", "below"}


@pytest.mark.parametrize("name", QUESTIONS)
def test_what_was_gone_by_is_recorded(served: Served, kept: Kept, name: str) -> None:
    """A17: each version that an answer rests on is named in its record, also when the question was foreseen"""
    caller = served.caller("system/*.rs")
    for _ in range(3):
        answer = caller("GET", QUESTIONS[name].format(**vars(kept)))
        assert answer.status_code == 200, answer.text
        named = _named(served, answer)
        assert f"CodeSystem/s-{kept.tag}/_history/1" in named
        assert (f"ValueSet/v-{kept.tag}/_history/1" in named) is (name not in OF_THE_SYSTEM)


@pytest.mark.parametrize("name", QUESTIONS)
@pytest.mark.parametrize("cut", ["?status=draft", "?url=urn:another", None])
def test_what_may_not_be_read_is_not_there(served: Served, kept: Kept, name: str, cut: str | None) -> None:
    """A18 within the scopes: a granular scope cuts what is read, and no scope leaves none of the store"""
    types = ("ValueSet", "CodeSystem")
    directory = " ".join(f"system/{type}.rs{cut}" for type in types) if cut else "system/Basic.rs"
    caller = served.caller(f"system/Observation.rs system/Patient.rs system/DiagnosticReport.rs {directory}")
    asked = QUESTIONS[name]
    answer = caller("GET", asked.format(**vars(kept)))
    nowhere = {"pets": "urn:nowhere:v", "system": "urn:nowhere:s", "tag": kept.tag}
    unknown = caller("GET", asked.replace("v-{tag}", "nowhere").format(**nowhere))
    assert answer.status_code == unknown.status_code in (400, 403, 404)
    said = answer.text.replace(kept.pets, nowhere["pets"]).replace(kept.system, nowhere["system"])
    assert said.replace(f"v-{kept.tag}", "nowhere") == unknown.text
    assert kept.tag not in repr(_named(served, answer))


def test_systems_of_a_value_set_are_read_by_the_same_scopes(served: Served, kept: Kept) -> None:
    """R4 valueset-operation-expand.html: the value set alone may be read, and of what it is made is not known"""
    caller = served.caller("system/ValueSet.rs system/CodeSystem.rs?status=draft")
    answer = caller("GET", f"ValueSet/$expand?url={kept.pets}")
    assert answer.status_code == 404
    assert kept.system in answer.json["issue"][0]["diagnostics"]


def test_what_comes_along_is_no_resource_of_the_store(served: Served, operator: Caller) -> None:
    """R4 search.html#token: value sets of the standard serve who has no scope for ValueSets, and need no record"""
    caller = served.caller("system/Observation.rs")
    answer = caller("GET", f"Observation?_count=1&status:in={STATUSES}")
    assert answer.status_code == 200
    assert not [one for one in _named(served, answer) if one.startswith(("ValueSet", "CodeSystem"))]
    by_id = "Observation?_count=1&status:in=ValueSet/JDV-J06-XdsClassCode-CISIS"
    assert caller("GET", by_id).status_code == 400, "its copy in the store is a resource of the store"


def test_of_several_versions_the_one_that_may_be_read_is_meant(served: Served, operator: Caller, kept: Kept) -> None:
    """R4 references.html#canonical: the newest, of those that may be read"""
    newer = {"resourceType": "ValueSet", "url": f"{kept.pets}:two", "status": "active", "version": "2",
             "compose": {"include": [{"system": kept.system, "concept": [{"code": "reptile"}]}]}}  # fmt: skip
    older = {**newer, "version": "1", "compose": {"include": [{"system": kept.system, "concept": [{"code": "gecko"}]}]}}
    operator.create(newer)
    operator.create(older)
    path = f"ValueSet/$expand?url={newer['url']}"
    assert _codes(operator.get(path)) == ["reptile"]
    assert _codes(served.caller("system/CodeSystem.rs system/ValueSet.rs?version=1").get(path)) == ["gecko"]


def test_a_batch_sees_what_its_entries_wrote(operator: Caller, kept: Kept) -> None:
    """R4 http.html#batch: each entry by itself, so that the next goes by what the one before it wrote"""
    url = f"{kept.pets}:batch"
    value_set: dict[str, Any] = {"resourceType": "ValueSet", "url": url, "status": "active"}
    one, other = (
        {**value_set, "version": str(n), "compose": {"include": [{"system": kept.system, "concept": [{"code": code}]}]}}
        for n, code in enumerate(("gecko", "reptile"))
    )
    expand = entry("GET", f"ValueSet/$expand?url={url}")
    bundle = transaction(entry("POST", "ValueSet", one), expand, entry("POST", "ValueSet", other), expand, type="batch")
    answers = operator("POST", "", bundle).json["entry"]
    assert [_codes(answers[n]["resource"]) for n in (1, 3)] == [["gecko"], ["reptile"]]


def _codes(value_set: dict[str, Any]) -> list[str]:
    return [one["code"] for one in value_set["expansion"]["contains"]]


def _named(served: Served, answer: Any) -> list[str]:
    """The versions that the record of the request names, in an AuditEvent for each patient."""
    return [one.get("what", {}).get("reference", "") for event in served.events(answer) for one in event["entity"]]
