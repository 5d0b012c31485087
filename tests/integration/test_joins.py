"""Searches across resources answer alike whichever way they are run: by ids in place of a join, or batch by batch.

R4: search.html#chaining, search.html#has
"""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.storage import joins
from tests.build import observation, patient
from tests.calls import Caller, ids

TAG = "joined"
FAMILIES = ["Albert", "Bernard", "Claude", "Denis"]


@pytest.fixture(scope="module")
def world(operator: Caller) -> None:
    """Twelve patients of four families, two of three doctors, and what they have, all under one tag."""
    meta = {"meta": {"tag": [{"code": TAG}]}}
    doctors = [
        operator.create({"resourceType": "Practitioner", **meta, "name": [{"family": name}], "active": name == "Un"})
        for name in ("Un", "Deux", "Trois")
    ]
    operator.create({"resourceType": "ValueSet", **meta, "status": "draft", "url": "http://a.example/joined"})
    for number in range(12):
        person = patient(
            **meta,
            name=[{"family": FAMILIES[number % 4]}],
            birthDate=f"19{50 + number}",
            generalPractitioner=[{"reference": doctors[number % 2]}] if number % 3 else [],
        )
        if not person["generalPractitioner"]:
            del person["generalPractitioner"]
        reference = operator.create(person)
        id = reference.partition("/")[2]
        weights = []
        for turn in range(number // 2 % 4):
            when, status = f"2024-0{turn + 1}-{number + 1:02}", "final" if turn else "amended"
            made = observation(id, **meta, effectiveDateTime=when, status=status)
            weights.append({"reference": operator.create({**made, "performer": [{"reference": doctors[turn % 2]}]})})
        if weights:
            operator.create(observation(id, **meta, hasMember=weights, effectiveDateTime=f"2025-01-{number + 1:02}"))
        participants = [{"actor": {"reference": one}, "status": "accepted"} for one in (reference, doctors[number % 2])]
        operator.create({"resourceType": "Appointment", **meta, "status": "proposed", "participant": participants})


QUESTIONS = [
    "Observation?subject:Patient.family=albert",
    "Observation?subject:Patient.family=bernard,denis&status=final",
    "Observation?subject:Patient.birthdate=ge1955&date=ge2024-02",
    "Observation?subject:Patient.family:missing=true",
    "Observation?subject:Patient.family=albert&subject:Patient.birthdate=lt1958",
    "Observation?subject:Patient.general-practitioner:Practitioner.name=un",
    "Observation?patient.general-practitioner:Practitioner.active:not=true",
    "Observation?has-member.status=amended",
    "Observation?has-member.subject:Patient.family=claude",
    "Observation?has-member.performer:Practitioner.name=deux",
    "Observation?_has:Observation:has-member:date=ge2025-01-06",
    "Observation?_has:Observation:has-member:subject:Patient.family=denis",
    "Patient?_has:Observation:subject:status=amended",
    "Patient?_has:Observation:patient:date=ge2024-03",
    "Patient?_has:Observation:subject:performer:Practitioner.name=deux",
    "Patient?_has:Observation:subject:_has:Observation:has-member:date=ge2025",
    "Patient?general-practitioner:Practitioner.active=true&_has:Observation:subject:status=final",
    "Patient?_has:Appointment:patient:actor:Practitioner.name=un",
    "Patient?general-practitioner:Practitioner.name:missing=false",
    "Practitioner?_has:Patient:general-practitioner:family=albert",
    "Practitioner?_has:Observation:performer:subject:Patient.family=bernard",
    "Practitioner?_has:Appointment:actor:patient.family=claude",
    "Appointment?patient.family=denis",
    "Appointment?actor:Practitioner.name=un&patient.birthdate=ge1955",
    "Appointment?patient._has:Observation:subject:status=final",
]
#: Of these questions, what finds none, and what finds all.
EMPTY = {"Observation?subject:Patient.family:missing=true"}
WHOLE: set[str] = set()
WAYS = ["", "&_sort=-date", "&_sort=-_lastUpdated"]


def _link(page: dict[str, Any], relation: str) -> str | None:
    return next((link["url"] for link in page["link"] if link["relation"] == relation), None)


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("most", [0, 3])
@pytest.mark.usefixtures("world")
def test_a_join_of_many_is_answered_as_one_of_few(
    operator: Caller, monkeypatch: pytest.MonkeyPatch, question: str, most: int
) -> None:
    """Whole, in order, with its total, and page by page there and back"""
    for way in WAYS:
        path = f"{question}&_tag={TAG}{way}"
        if operator("GET", path).status_code == 400:
            continue  # the type has no such order
        wanted = ids(operator.get(f"{path}&_count=100"))
        with monkeypatch.context() as small:
            small.setattr(joins, "MOST_IDS", most)
            small.setattr(joins, "BATCH", 2 + most)
            whole = operator.get(f"{path}&_count=100")
            assert ids(whole) == wanted, path
            assert operator.get(f"{path}&_summary=count")["total"] == len(wanted)
            found: list[str] = []
            pages = [operator.get(f"{path}&_count=3&_total=accurate")]
            while onward := _link(pages[-1], "next"):
                pages.append(operator.get(onward))
            for page in pages:
                assert page["total"] == len(wanted)
                found += ids(page)
            assert found == wanted
            for page, before in zip(pages[:0:-1], pages[-2::-1], strict=True):
                assert ids(operator.get(str(_link(page, "previous")))) == ids(before)


@pytest.mark.usefixtures("world")
def test_the_questions_find_some_and_not_all(operator: Caller) -> None:
    """What is asked above tells a search that is right from one that finds nothing, or everything"""
    for question in QUESTIONS:
        type = question.partition("?")[0]
        found = operator.get(f"{question}&_tag={TAG}&_summary=count")["total"]
        assert question in EMPTY or found > 0, question
        assert question in WHOLE or found < operator.get(f"{type}?_tag={TAG}&_summary=count")["total"], question
