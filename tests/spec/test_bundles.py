"""Batch and transaction where entries meet, or are none.  R4: http.html#transaction, bundle.html"""

from __future__ import annotations

from typing import Any

import pytest

from tests.build import entry, observation, patient, transaction
from tests.calls import Caller, Served

ONE, OTHER = "urn:uuid:11111111-1111-4111-8111-111111111111", "urn:uuid:22222222-2222-4222-8222-222222222222"


def named(value: str) -> dict[str, Any]:
    return patient(identifier=[{"system": "urn:bundles", "value": value}])


def locations(answer: Any) -> list[str]:
    """`Type/id` of each entry's location."""
    return ["/".join(each["response"]["location"].split("/")[-4:-2]) for each in answer.json["entry"]]


def places(outcome: dict[str, Any]) -> list[str]:
    return [place for issue in outcome["issue"] for place in issue["expression"]]


def test_two_creates_under_one_condition_are_one_resource(operator: Caller) -> None:
    """R4 http.html#ccreate, #trules: what refers to either refers to the one that there is"""
    condition = "identifier=urn:bundles|twice"
    sent = transaction(
        entry("POST", "Patient", named("twice"), fullUrl=ONE, ifNoneExist=condition),
        entry("POST", "Patient", named("twice"), fullUrl=OTHER, ifNoneExist=condition),
        entry("POST", "Observation", {**observation(), "subject": {"reference": OTHER}}),
    )
    answer = operator("POST", "", sent)

    assert answer.status_code == 200, answer.text
    first, second, made = locations(answer)
    assert first == second
    assert operator.get(made)["subject"]["reference"] == first


def test_two_updates_under_one_condition_overlap(operator: Caller) -> None:
    """R4 http.html#trules: resolved identities of conditional updates overlap: it SHALL fail"""
    sent = transaction(*(entry("PUT", "Patient?identifier=urn:bundles|put", named("put")) for _ in range(2)))
    answer = operator("POST", "", sent)

    assert answer.status_code == 400, answer.text
    assert operator.get("Patient?identifier=urn:bundles|put")["total"] == 0


def test_a_condition_that_another_entry_comes_to_meet(operator: Caller) -> None:
    """R4 http.html#trules: who would refer to it would refer to nothing, so the transaction fails"""
    sent = transaction(
        entry("POST", "Patient", named("met"), fullUrl=ONE),
        entry("POST", "Patient", named("met"), fullUrl=OTHER, ifNoneExist="identifier=urn:bundles|met"),
        entry("POST", "Observation", {**observation(), "subject": {"reference": OTHER}}),
    )
    answer = operator("POST", "", sent)

    assert answer.status_code == 400, answer.text
    assert places(answer.json) == ["Bundle.entry[1].request"]
    assert operator.get("Patient?identifier=urn:bundles|met")["total"] == 0


@pytest.mark.parametrize("resource", [{}, {"resourceType": 5}])
def test_a_resource_of_no_type_beside_one_that_is_referred_to(operator: Caller, resource: Any) -> None:
    """R4 json.html: `resourceType` says what it is"""
    answer = operator(
        "POST",
        "",
        transaction(
            entry("POST", "Patient", patient(), fullUrl=ONE),
            {"resource": resource, "request": {"method": "POST", "url": "Patient"}},
        ),
    )

    assert answer.status_code == 400, answer.text
    assert places(answer.json) == ["Bundle.entry[1].resource.resourceType"]


@pytest.mark.parametrize(
    "faulty",
    [
        {"resourceType": "Appointment", "participant": "nobody"},
        {"resourceType": "Patient", "birthDate": "soon"},
    ],
)
def test_a_conditional_reference_beside_a_faulty_resource_of_its_type(operator: Caller, faulty: Any) -> None:
    """R4 http.html#trules: conditional references; http.html#create: 4xx for what is faulty"""
    type = faulty["resourceType"]
    seeking = {"resourceType": "Basic", "code": {"text": "a"}, "subject": {"reference": f"{type}?identifier=none"}}
    answer = operator("POST", "", transaction(entry("POST", type, faulty), entry("POST", "Basic", seeking)))

    assert answer.status_code in (412, 422), answer.text


@pytest.mark.parametrize("kind", ["batch", "transaction"])
def test_an_unknown_element_of_the_bundle_itself(operator: Caller, kind: str) -> None:
    """R4 json.html, http.html#transaction: what is not understood is not done"""
    sent = {**transaction(entry("POST", "Patient", named("frame")), type=kind), "entrys": []}
    answer = operator("POST", "", sent)

    assert answer.status_code == 400, answer.text
    assert places(answer.json) == ["Bundle.entrys"]
    assert operator.get("Patient?identifier=urn:bundles|frame")["total"] == 0


def test_unknown_elements_of_entries_fail_a_transaction(operator: Caller) -> None:
    """R4 json.html, http.html#transaction: an `ifNoneExists` that is not read would create twice; all are told"""
    sent = transaction(
        entry("POST", "Patient", named("entries")),
        {**entry("POST", "Patient", named("entries")), "foo": 1},
        entry("POST", "Patient", named("entries"), ifNoneExists="identifier=urn:bundles|entries"),
    )
    answer = operator("POST", "", sent)

    assert answer.status_code == 400, answer.text
    assert places(answer.json) == ["Bundle.entry[1].foo", "Bundle.entry[2].request.ifNoneExists"]
    assert operator.get("Patient?identifier=urn:bundles|entries")["total"] == 0


def test_an_unknown_element_of_an_entry_fails_that_entry_of_a_batch(operator: Caller) -> None:
    """R4 http.html#batch: the others are done"""
    sent = transaction(entry("GET", "Patient?_count=0"), {**entry("GET", "Patient?_count=0"), "foo": 1}, type="batch")
    answer = operator("POST", "", sent)

    assert [each["response"]["status"][:3] for each in answer.json["entry"]] == ["200", "400"]
    assert places(answer.json["entry"][1]["response"]["outcome"]) == ["Bundle.entry[1].foo"]


@pytest.mark.parametrize(("since", "status"), [("2000-01-01T00:00:00+01:00", "200"), ("2999-01-01T00:00:00Z", "304")])
def test_if_modified_since_of_an_entry_is_an_instant(operator: Caller, since: str, status: str) -> None:
    """R4 bundle.html Bundle.entry.request.ifModifiedSince: instant, which is no date of HTTP's"""
    reference = operator.create(patient())
    answer = operator("POST", "", transaction(entry("GET", reference, ifModifiedSince=since), type="batch"))

    assert answer.json["entry"][0]["response"]["status"][:3] == status, answer.text


def test_if_modified_since_that_is_no_instant(operator: Caller) -> None:
    """R4 datatypes.html#instant"""
    since = "Mon, 01 Jan 2024 00:00:00 GMT"
    answer = operator("POST", "", transaction(entry("GET", "Patient/1", ifModifiedSince=since), type="batch"))

    outcome = answer.json["entry"][0]["response"]["outcome"]
    assert places(outcome) == ["Bundle.entry[0].request.ifModifiedSince"]


def test_a_transaction_tells_all_faults_of_all_its_entries(served: Served, operator: Caller) -> None:
    """R4 http.html#transaction: all or nothing; what is wrong is known before anything is written"""
    before = served.database["_history"].count_documents({})
    sent = transaction(
        entry("DELETE", "Patient/nobody-here"),
        entry("POST", "Patient", {**named("checked"), "gendre": "female", "birthDate": "hier"}),
        entry("PUT", "Observation/x", observation(id="x", status="finale")),
    )
    answer = operator("POST", "", sent)

    assert answer.status_code == 422, answer.text
    assert places(answer.json) == [
        "Bundle.entry[1].resource.gendre",
        "Bundle.entry[1].resource.birthDate",
        "Bundle.entry[2].resource.status",
    ]
    assert served.database["_history"].count_documents({}) == before


def test_a_reference_to_another_entry_is_checked_once_its_type_is_known(operator: Caller) -> None:
    """R4 http.html#trules, references.html: what `urn:uuid:…` stands for may be of a type it may not point at"""
    sent = transaction(
        entry("POST", "Practitioner", {"resourceType": "Practitioner"}, fullUrl=ONE),
        entry("POST", "Observation", observation(subject={"reference": ONE})),
    )
    answer = operator("POST", "", sent)

    assert answer.status_code == 422, answer.text
    assert "Bundle.entry[1].resource.subject.reference" in places(answer.json)
