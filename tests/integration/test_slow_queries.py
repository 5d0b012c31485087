"""The log line of a query that takes long: where, how long, its shape and its plan; nothing of what was asked."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from pymongo import MongoClient
from structlog.testing import capture_logs

from fhir_server.fhir.json import loads
from fhir_server.search.expression import EVERYTHING
from fhir_server.search.index import entry
from fhir_server.search.parser import Reader
from fhir_server.search.query import Order
from fhir_server.storage.documents import HISTORY
from fhir_server.storage.slow import shape
from fhir_server.storage.store import Store
from tests.build import patient
from tests.calls import Served, serve

HEALTH = ("lefevre", "Lefèvre", "1980", "8480", "fhir.test", "48.85")


@pytest.fixture(scope="module")
def crowded(mongodb_client: MongoClient[dict[str, Any]]) -> Iterator[Served]:
    """A database with so many patients that what looks at all of them takes some milliseconds."""
    name = f"test_{secrets.token_hex(8)}"
    own = serve(mongodb_client, name, slow_query_ms=1, query_timeout_ms=60_000)
    add_patients(own, 4_000)
    yield own
    mongodb_client.drop_database(name)


def add_patients(own: Served, number: int) -> None:
    """Patients without a history."""
    resource = patient(id="p", name=[{"family": "Lefèvre", "given": ["Zoé"]}], birthDate="1980-01-01", gender="female")
    body = json.dumps(resource).encode()
    kept = {**entry("Patient", loads(body)), "version": 1, "updated": datetime(2026, 1, 1, tzinfo=UTC), "body": body}
    rows = ({**kept, "_id": f"p{one}", "owner": f"p{one}"} for one in range(number))
    own.database["Patient"].insert_many(rows)


def slow(store: Store, type: str, query: str, reader: Reader, **asked: Any) -> list[dict[str, Any]]:
    """The lines of a search."""
    where = reader.expression(type, [tuple(pair.split("=")) for pair in query.split("&")])  # type: ignore[misc]
    with capture_logs() as lines:
        store.find(type, where, allowed=EVERYTHING, limit=20, **asked)
        store.count(type, where, allowed=EVERYTHING, exactly=True)
    return [dict(line) for line in lines if line["event"] == "query.slow"]


@pytest.fixture
def reader(served: Served) -> Reader:
    """A reader of queries."""
    return Reader("http://fhir.test/fhir", UTC, datetime(2026, 1, 1, tzinfo=UTC))


def test_a_slow_query_is_told_with_its_shape_and_plan(crowded: Served, reader: Reader) -> None:
    """Where to look, without a value of what was asked: those are health data"""
    store = Store(crowded.client, crowded.name, slow_query_ms=1)

    found = slow(store, "Patient", "family=Lefèvre&birthdate=gt1980", reader, order=(Order("birthdate"),))

    first, second = found
    assert first["collection"] == "Patient"
    assert first["milliseconds"] >= 1
    assert first["order"] == ["birthdate"]
    assert "IXSCAN keys" in first["plan"]
    assert first["filter"]["keys"] == {"$regex": ["family"]} or first["filter"]["keys"] == {"$regex": "family"}
    assert "order" not in second
    assert "IXSCAN keys" in second["plan"]
    for line in found:
        assert not [value for value in HEALTH if value.casefold() in json.dumps(line, ensure_ascii=False).casefold()]


def test_a_shape_is_explained_once_in_a_while(crowded: Served, reader: Reader) -> None:
    """A server that is slow is not made slower"""
    store = Store(crowded.client, crowded.name, slow_query_ms=1)
    [_, first] = slow(store, "Patient", "gender=female", reader, order=(Order("birthdate"),))
    [_, again] = slow(store, "Patient", "gender=female", reader, order=(Order("birthdate"),))

    assert "plan" in first
    assert "plan" not in again
    assert again["filter"] == first["filter"]


def test_nothing_is_told_where_nothing_is_wanted(crowded: Served, reader: Reader) -> None:
    """FHIR_SERVER_SLOW_QUERY_MS=0, or a query that is quick"""
    assert not slow(Store(crowded.client, crowded.name, slow_query_ms=0), "Patient", "gender=female", reader)
    assert not slow(Store(crowded.client, crowded.name, slow_query_ms=60_000), "Patient", "gender=female", reader)


def test_every_way_to_the_store_is_watched(crowded: Served) -> None:
    """A search ahead of the token, a chain, a history: each is told when it is slow"""
    operator = crowded.caller()
    asked = {
        "Patient": "Patient?gender=female&_sort=birthdate",
        "Observation": "Patient?_has:Observation:subject:code=8480-6",
        HISTORY: "_history",
    }
    crowded.database[HISTORY].insert_many(
        {**one, "_id": f"Patient/{one['_id']}/0000000001", "type": "Patient", "id": one["_id"]}
        for one in crowded.database["Patient"].find()
    )
    with capture_logs() as lines:
        for path in asked.values():
            operator("GET", path)
        operator("GET", "Patient?gender=female&_count=1000")
        operator("GET", "Patient?gender=female&_count=1000")

    told = {line["collection"] for line in lines if line["event"] == "query.slow"}
    assert {"Patient", HISTORY} <= told


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"keys": "code=http://loinc.org|8480-6"}, {"keys": "code"}),
        ({"keys": {"$in": ["code=a", "code=b", "status=c"]}}, {"keys": {"$in": ["code", "status"]}}),
        ({"keys": {"$regex": "^birth\\-place=lefevre"}}, {"keys": {"$regex": "birth-place"}}),
        (
            {"keys": {"$elemMatch": {"$gte": "value-quantity?g<8480", "$lt": "value-quantity@"}}},
            {"keys": {"$elemMatch": {"$gte": "value-quantity", "$lt": "?"}}},
        ),
        ({"strings.family": "Lefèvre"}, {"strings.family": "?"}),
        ({"$nor": [{"owner": {"$in": ["1980"]}}]}, {"$nor": [{"owner": {"$in": "?"}}]}),
        (
            {"near": {"$geoWithin": {"$centerSphere": [[2.35, 48.85], 0.1]}}},
            {"near": {"$geoWithin": {"$centerSphere": "?"}}},
        ),
        ({"keys": "lefevre"}, {"keys": "?"}),
        (
            {"parts.component": {"$elemMatch": {"keys": "code=8480-6"}}},
            {"parts.component": {"$elemMatch": {"keys": "code"}}},
        ),
    ],
)
def test_shapes(query: dict[str, Any], expected: dict[str, Any]) -> None:
    """Fields, operators and parameter codes; no value"""
    assert shape(query) == expected
    assert not [value for value in HEALTH if value in json.dumps(shape(query))]
