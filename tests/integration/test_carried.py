"""The server's conformance resources in a store that lives on: newer servers come, and the operator has its own."""

from __future__ import annotations

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from fhir_server import app
from fhir_server.access import Actor
from fhir_server.access import scopes as smart_scopes
from fhir_server.audit import Trail
from fhir_server.config import Settings
from fhir_server.loading import carried
from fhir_server.repository import Repository, Surroundings
from fhir_server.search.expression import EVERYTHING
from fhir_server.storage.store import Store

ONE = {"resourceType": "CodeSystem", "id": "one", "url": "http://a.example/one", "status": "active",
       "content": "complete", "concept": [{"code": "a", "display": "A"}]}  # fmt: skip
TWO = {**ONE, "id": "two", "url": "http://a.example/two"}
THREE = {**ONE, "id": "three", "url": "http://a.example/three"}
OPERATOR = Actor("operator", "operator", smart_scopes.parse("system/*.cruds"))
MINE = {**ONE, "concept": [{"code": "mine", "display": "Mine"}]}


@pytest.fixture
def around(mongodb_client: Any, database: Any) -> Surroundings:
    """A store with nothing in it."""
    settings = Settings(mongodb_database=database.name)
    Store(mongodb_client, database.name).prepare()
    database["_server"].insert_one({"_id": "signing", "key": b"0" * 32})
    return app.surroundings(mongodb_client, settings, "http://fhir.test/fhir")


def put(around: Surroundings, resource: dict[str, Any]) -> None:
    """As the operator loads it."""
    (fate,) = Repository(around, OPERATOR, Trail("load", "CLI", "a load")).load([resource], lambda resource: None)
    assert fate in ("created", "updated")


def there(around: Surroundings, id: str) -> tuple[int, str, str | None, list[str]]:
    """Version, status, origin and codes of a CodeSystem."""
    stored = around.store.read("CodeSystem", id)
    assert stored and stored.body
    resource = json.loads(stored.body)
    return stored.version, resource["status"], stored.origin, [each["code"] for each in resource["concept"]]


def test_the_same_again_is_nothing_to_do(around: Surroundings) -> None:
    assert carried.keep(around, [ONE, TWO]) is True
    assert carried.keep(around, [ONE, TWO]) is False
    assert there(around, "one") == (1, "active", "carried", ["a"])
    assert around.store.collection("_history").count_documents({}) == 2


def test_a_new_version_of_the_server_updates_what_changed(around: Surroundings) -> None:
    carried.keep(around, [ONE, TWO])
    changed = {**ONE, "concept": [{"code": "b", "display": "B"}]}

    assert carried.keep(around, [changed, TWO, THREE]) is True
    assert there(around, "one") == (2, "active", "carried", ["b"])
    assert there(around, "two") == (1, "active", "carried", ["a"])
    assert there(around, "three") == (1, "active", "carried", ["a"])


def test_what_no_longer_comes_along_is_retired(around: Surroundings) -> None:
    """R4 valueset-publication-status.html: it stays readable, and says that it is no longer to be used"""
    carried.keep(around, [ONE, TWO])
    carried.keep(around, [ONE])

    assert there(around, "two") == (2, "retired", "carried", ["a"])
    assert there(around, "one") == (1, "active", "carried", ["a"])
    carried.keep(around, [ONE, TWO])
    assert there(around, "two") == (3, "active", "carried", ["a"])


def test_what_the_operator_has_under_the_same_id_stays(around: Surroundings) -> None:
    put(around, MINE)
    carried.keep(around, [ONE, TWO])

    assert there(around, "one") == (1, "active", None, ["mine"])
    put(around, {**TWO, "concept": [{"code": "mine", "display": "Mine"}]})
    carried.keep(around, [THREE])
    assert there(around, "one") == (1, "active", None, ["mine"])
    assert there(around, "two") == (2, "active", None, ["mine"])


def test_what_is_loaded_goes_before_what_is_carried(around: Surroundings) -> None:
    """terminologies/README.md; what the server itself has put into the store is not taken for a load"""
    url = "https://hl7.fr/ig/fhir/core/CodeSystem/fr-core-cs-v2-0203"
    before = around.terminology.code_system(url)
    carried.keep(around, app.conformance.resources())
    after = around.terminology.code_system(url)

    assert before is after is not None
    put(around, {**ONE, "id": "fr-core-cs-v2-0203", "url": url})
    loaded = around.terminology.code_system(url)
    assert loaded is not None
    assert loaded.concept("a") is not None


def test_two_servers_that_start_at_once_share_the_work(around: Surroundings) -> None:
    """Each resource has one version, whoever came first"""
    many = [{**ONE, "id": f"one-{number}", "url": f"http://a.example/{number}"} for number in range(100)]
    with ThreadPoolExecutor(4) as servers:
        list(servers.map(lambda _: carried.keep(around, many), range(4)))

    assert around.store.collection("_history").count_documents({}) == 100
    assert carried.keep(around, many) is False


def test_what_was_deleted_comes_back_with_the_next_change(around: Surroundings) -> None:
    carried.keep(around, [ONE])
    operator = Repository(around, OPERATOR, Trail("delete", "DELETE", "CodeSystem/one"))
    assert operator.delete("CodeSystem", "one")
    carried.keep(around, [ONE])
    assert around.store.read("CodeSystem", "one") is None
    carried.keep(around, [ONE, TWO])

    assert there(around, "one") == (3, "active", "carried", ["a"])


def test_it_is_recorded_as_every_write_is(around: Surroundings) -> None:
    """docs/decisions/0009: an AuditEvent in the transaction of the writes names each of them and who did it"""
    carried.keep(around, [ONE, TWO])

    everything = around.store.find("AuditEvent", EVERYTHING, allowed=EVERYTHING, limit=10)
    (event,) = [json.loads(one.body or b"") for one in everything]
    named = {entity["what"]["reference"] for entity in event["entity"] if "reference" in entity.get("what", {})}
    assert named == {"CodeSystem/one/_history/1", "CodeSystem/two/_history/1"}
    assert event["agent"][0]["who"] == {"display": "fhir-server"}
    asked = next(entity["query"] for entity in event["entity"] if "query" in entity)
    assert base64.b64decode(asked).decode().startswith("CLI ")


def test_a_start_on_an_empty_database_has_them_all(mongodb_client: Any, database: Any) -> None:
    settings = Settings(mongodb_database=database.name)
    app.prepare(mongodb_client, settings)
    app.prepare(mongodb_client, settings)

    wanted = [one["resourceType"] for one in app.conformance.resources()]
    for type in set(wanted):
        assert database[type].count_documents({"origin": "carried", "version": 1}) == wanted.count(type)
    assert database["_history"].count_documents({}) == len(wanted)
