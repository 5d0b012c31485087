"""Search by what terminologies say: `:in`, `:not-in`, `:below`, `:above`.  R4: search.html#token"""

from __future__ import annotations

import secrets
from typing import Any

import pytest

from tests.build import observation
from tests.calls import Caller

SYSTEM = "urn:test:animals"


@pytest.fixture(scope="module")
def zoo(operator: Caller) -> str:
    """A code system of three levels, a value set of two of its codes, an Observation of each; the tag they have."""
    tag = secrets.token_hex(4)
    system = {
        "resourceType": "CodeSystem",
        "url": f"{SYSTEM}:{tag}",
        "status": "active",
        "content": "complete",
        "hierarchyMeaning": "is-a",
        "concept": [{"code": "animal", "concept": [{"code": "dog", "concept": [{"code": "poodle"}]}, {"code": "cat"}]}],
    }
    pets = {
        "resourceType": "ValueSet",
        "url": f"urn:test:pets:{tag}",
        "status": "active",
        "compose": {"include": [{"system": system["url"], "concept": [{"code": "cat"}, {"code": "dog"}]}]},
    }
    operator.create(system)
    operator("PUT", f"ValueSet/pets-{tag}", {**pets, "id": f"pets-{tag}"})
    for code in ("animal", "dog", "poodle", "cat"):
        operator.create(seen(tag, system["url"], code))
    operator.create(seen(tag, "urn:test:others", "dog"))
    return tag


def seen(tag: str, system: str, code: str) -> dict[str, Any]:
    coding = {"system": system, "code": code}
    return observation(code={"coding": [coding]}, meta={"tag": [{"system": "urn:tag", "code": tag}]})


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("code:in=urn:test:pets:{tag}", ["cat", "dog"]),
        ("code:in=ValueSet/pets-{tag}", ["cat", "dog"]),
        ("code:not-in=urn:test:pets:{tag}", ["animal", "others dog", "poodle"]),
        ("code:below=urn:test:animals:{tag}|dog", ["dog", "poodle"]),
        ("code:below=urn:test:animals:{tag}|animal", ["animal", "cat", "dog", "poodle"]),
        ("code:above=urn:test:animals:{tag}|dog", ["animal", "dog"]),
        ("status:in=http://hl7.org/fhir/ValueSet/observation-status", ["animal", "cat", "dog", "others dog", "poodle"]),
        ("status:below=final", ["animal", "cat", "dog", "others dog", "poodle"]),
        ("status:not-in=http://hl7.org/fhir/ValueSet/observation-status", []),
    ],
)
def test_what_terminologies_say(operator: Caller, zoo: str, asked: str, found: list[str]) -> None:
    """R4 search.html#token: the coding is in the value set, or subsumes or is subsumed by the code"""
    answer = operator.get(f"Observation?_tag=urn:tag|{zoo}&{asked.format(tag=zoo)}")
    codings = [entry["resource"]["code"]["coding"][0] for entry in answer.get("entry", ())]
    assert sorted(("others " if one["system"].endswith("others") else "") + one["code"] for one in codings) == found


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("code:in=urn:nowhere", "urn:nowhere"),
        ("code:below=urn:nowhere|a", "urn:nowhere"),
        ("code:below=a", "system|code"),
        ("code:above=urn:nowhere|", "system|code"),
    ],
)
def test_what_is_not_known_is_said(operator: Caller, asked: str, said: str) -> None:
    """R4 search.html#errors: never an empty answer for a value set that is not there"""
    answer = operator("GET", f"Observation?{asked}")
    assert answer.status_code == 400
    assert said in answer.json["issue"][0]["diagnostics"]
