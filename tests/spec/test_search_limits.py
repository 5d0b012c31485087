"""The limits of a search: each is a 400 that says what it is, or a 503 for time; no answer is ever cut short.

R4: search.html#errors, http.html#Status-Codes
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from pymongo import MongoClient

from fhir_server.fhir import json
from fhir_server.interactions import include
from fhir_server.search.index import entry
from fhir_server.search.parser import MOST_LINKS, MOST_VALUES
from fhir_server.search.query import MOST_INCLUDES, MOST_KEYS
from tests.build import observation, patient
from tests.calls import Caller, Served, ids, serve


def refused(caller: Caller, path: str) -> str:
    """What the refusal of a search says."""
    answer = caller("GET", path)
    assert answer.status_code == 400, answer.text
    return str(answer.json["issue"][0]["diagnostics"])


def test_values_of_one_parameter(operator: Caller) -> None:
    """R4 search.html#combining: alternatives, so many at once"""
    values = [f"v{number}" for number in range(MOST_VALUES + 1)]

    assert str(MOST_VALUES) in refused(operator, f"Patient?identifier={','.join(values)}")
    assert operator("GET", f"Patient?identifier={','.join(values[:-1])}").status_code == 200


def test_links_of_a_chain(operator: Caller) -> None:
    """R4 search.html#chaining: so many resources are gone through"""
    # An organization is part of another, and so on.
    longest = "partof." * MOST_LINKS + "name"

    assert operator("GET", f"Organization?{longest}=a").status_code == 200
    assert str(MOST_LINKS) in refused(operator, f"Organization?partof.{longest}=a")


def test_links_backwards(operator: Caller) -> None:
    """R4 search.html#has: nested, so many resources are gone through"""
    longest = "_has:Organization:partof:" * MOST_LINKS + "name"

    assert operator("GET", f"Organization?{longest}=a").status_code == 200
    assert str(MOST_LINKS) in refused(operator, f"Organization?_has:Organization:partof:{longest}=a")


def test_keys_of_an_order(operator: Caller) -> None:
    """R4 search.html#sort"""
    keys = ["family", "given", "birthdate", "gender", "_lastUpdated", "_id"]
    assert len(keys) == MOST_KEYS + 1

    assert str(MOST_KEYS) in refused(operator, f"Patient?_sort={','.join(keys)}")
    assert operator("GET", f"Patient?_sort={','.join(keys[1:])}").status_code == 200


def test_includes_of_a_search(operator: Caller) -> None:
    """R4 search.html#include"""
    most = "&".join(["_include=Observation:subject"] * MOST_INCLUDES)

    assert operator("GET", f"Observation?_id=none&{most}").status_code == 200
    assert str(MOST_INCLUDES) in refused(operator, f"Observation?_id=none&{most}&_revinclude=Observation:focus")


@pytest.mark.parametrize("more", ["_revinclude=Observation:subject", "_revinclude=*"])
def test_resources_that_come_along(served: Served, monkeypatch: pytest.MonkeyPatch, more: str) -> None:
    """R4 search.html#include: all that is asked for comes, or the refusal says why it does not"""
    id, caller = served.patient()
    for _ in range(4):
        caller.create(observation(id))

    monkeypatch.setattr(include, "MOST_INCLUDED", 4)
    whole = ids(caller.get(f"Patient?_id={id}&_revinclude=Observation:subject"))
    assert len(whole) == 5
    monkeypatch.setattr(include, "MOST_INCLUDED", 3)
    assert "More than 3 resources" in refused(caller, f"Patient?_id={id}&{more}")


@pytest.mark.parametrize("limit", ["values", "keys"])
def test_lenient_handling_says_what_it_left_out(operator: Caller, limit: str) -> None:
    """R4 search.html#lenient: the self link has what was applied, an outcome what was not"""
    values = {"values": f"identifier={','.join(map(str, range(MOST_VALUES + 1)))}", "keys": f"_sort={',_id' * 6}"}
    answer = operator("GET", f"Patient?_id=none&{values[limit]}", Prefer="handling=lenient")

    assert answer.status_code == 200
    [outcome] = [one["resource"] for one in answer.json["entry"] if one["search"]["mode"] == "outcome"]
    assert outcome["issue"][0]["severity"] == "warning"
    [own] = [link["url"] for link in answer.json["link"] if link["relation"] == "self"]
    assert own.endswith("Patient?_id=none")


@pytest.fixture(scope="module")
def hurried(mongodb_client: MongoClient[dict[str, Any]]) -> Iterator[Served]:
    """A server that gives a query one millisecond, and more to look through than can be in that."""
    name = f"test_{secrets.token_hex(8)}"
    served = serve(mongodb_client, name, query_timeout_ms=1, slow_query_ms=0)
    kept = {"version": 1, "updated": datetime(2026, 1, 1, tzinfo=UTC)}
    of_patient = patient(id="p", name=[{"family": "Long", "given": ["Zoé", "Ana"]}], birthDate="1980-01-01")
    of_measure = observation("p", effectiveDateTime="2026-01-01", id="o")
    for resource in (of_patient, of_measure):
        body = json.dumps(resource)
        kept_so = {**kept, **entry(resource["resourceType"], json.parse(body)), "body": body}
        served.database[resource["resourceType"]].insert_many(
            {**kept_so, "_id": f"{number:05}", "owner": f"{number:05}"} for number in range(6000)
        )
    yield served
    mongodb_client.drop_database(name)


@pytest.mark.parametrize(
    "query",
    [
        "Patient?family=long&_sort=birthdate,given",
        "Patient?family=long&given:contains=an&_count=0",
        "Patient?family:contains=nothing",
        "Observation?subject:Patient.family=long",
        "Patient?_has:Observation:subject:code=29463-7&_sort=-birthdate",
        "Observation?code=29463-7&_total=accurate&_sort=date",
    ],
)
def test_time(hurried: Served, query: str) -> None:
    """R4 http.html#Status-Codes: 503 that says to come again, whichever way the query runs; RFC 9110 s. 10.2.3"""
    operator = hurried.caller()
    for _ in range(2):  # the second time the search runs with the access token
        answer = operator("GET", query)

        assert answer.status_code == 503, answer.text
        assert int(answer.headers["Retry-After"]) > 0
        [issue] = answer.json["issue"]
        assert issue["code"] == "transient"
        assert "too long" in issue["diagnostics"]


def test_what_is_quick_is_answered(hurried: Served) -> None:
    """The clock is that of each query; on a busy machine a millisecond may pass even for this one"""
    answers = (hurried.caller()("GET", "Patient/00001").status_code for _ in range(100))
    assert 200 in answers


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_a_body_that_is_too_large(mongodb_client: MongoClient[dict[str, Any]], method: str) -> None:
    """RFC 9110 s. 15.5.14: 413, of a read as of a write, and recorded as whose it was"""
    served = serve(mongodb_client, f"test_{secrets.token_hex(8)}", max_body_bytes=1_000_000)
    caller = served.caller()
    for _ in range(2):  # who holds the token is known the second time
        answer = caller(method, "Observation/a", b"{" + b" " * 1_000_001)
        assert (answer.status_code, answer.json["resourceType"]) == (413, "OperationOutcome")
    refused = caller.get("AuditEvent?outcome=4&_count=10")
    assert refused["total"] == 2
    served.client.drop_database(served.name)
