"""`fhir-server reindex`, and what is withheld until it is through: never an answer from an index that is not there."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo import MongoClient

from fhir_server.app import create_app
from fhir_server.config import Settings
from fhir_server.fhir.outcome import BadRequest, Conflict
from fhir_server.fhir.types import TYPES
from fhir_server.search.index import VERSION
from fhir_server.storage import reindex as module
from fhir_server.storage.documents import HISTORY, SERVER
from fhir_server.storage.reindex import Reindex
from fhir_server.storage.store import Store
from tests.build import observation, patient
from tests.calls import BASE, Caller, Served, ids, serve
from tests.servers import run

ZONE = "Europe/Paris"


@pytest.fixture(scope="module")
def prepared(mongodb_client: MongoClient[dict[str, Any]]) -> Iterator[Served]:
    """The application on a database of these tests alone."""
    name = f"test_{secrets.token_hex(8)}"
    yield serve(mongodb_client, name)
    mongodb_client.drop_database(name)


@pytest.fixture
def own(prepared: Served) -> Served:
    """The same, new and empty."""
    for name in (*TYPES, HISTORY):
        prepared.database[name].delete_many({})
    prepared.database[SERVER].delete_many({"_id": {"$ne": "signing"}})
    return again(prepared)


def documents(own: Served) -> dict[str, list[dict[str, Any]]]:
    """All current versions of two types, and the history."""
    return {name: list(own.database[name].find().sort("_id")) for name in ("Patient", "Observation", HISTORY)}


def of_before(own: Served, type: str, code: str) -> None:
    """Make the database one from before the parameter was there."""
    lost = {"$pull": {"keys": {"$regex": f"^{code}[<=>?]"}}, "$unset": {f"dates.{code}": "", f"strings.{code}": ""}}
    own.database[type].update_many({}, lost)
    own.database[HISTORY].update_many({"type": type}, lost)
    own.database[SERVER].update_one({"_id": "parameters"}, {"$unset": {f"types.{type}.{code}": ""}})


def again(own: Served) -> Served:
    """The server, started again on the same database."""
    Store(own.client, own.name).readiness.prepare()
    return replace(own, app=create_app(own.client, Settings(mongodb_database=own.name), BASE.removesuffix("/fhir")))


def reindex(own: Served, *types: str, stopped: Callable[[], bool] = lambda: False) -> tuple[Any, list[Any]]:
    """What came of a run, and what it told of its advance."""
    told: list[Any] = []
    run = Reindex(Store(own.client, own.name), types, base=BASE, zone=ZONE)
    return run.run(stopped, lambda *advance: told.append(advance)), told


def withheld(caller: Caller, path: str) -> str:
    """What the refusal says of a search that cannot be answered yet."""
    answer = caller("GET", path)
    assert answer.status_code == 503, answer.text
    assert int(answer.headers["Retry-After"]) > 0
    [issue] = answer.json["issue"]
    assert issue["code"] == "transient"
    assert "fhir-server reindex" in issue["diagnostics"]
    return str(issue["diagnostics"])


def test_a_parameter_that_is_new_is_withheld_until_it_is_indexed(own: Served) -> None:
    """R4 search.html#errors: never a wrong answer; the servers that run notice when it can be asked for"""
    operator = own.caller()
    one = operator.create(patient(name=[{"family": "Avant"}], birthDate="1980-01-01"))
    measure = operator.create(observation(one.partition("/")[2]))
    before = documents(own)
    of_before(own, "Patient", "family")
    server = again(own)
    operator = Caller(server.app, operator.token)

    for path in (
        "Patient?family=avant",
        "Patient?family:missing=true",
        "Patient?_sort=family",
        "Observation?subject:Patient.family=avant",
        "Patient?_has:Observation:subject:subject:Patient.family=avant",
        "?_type=Patient,Practitioner&family=avant",
        "Patient?_contained=true&family=avant",
    ):
        assert "Patient by `family`" in withheld(operator, path)
    assert ids(operator.get("Patient?birthdate=1980-01-01")) == [one]
    assert ids(operator.get("Observation?subject:Patient.birthdate=1980-01-01")) == [measure]

    done, _ = reindex(own)

    assert not done.stopped
    assert documents(own) == before
    assert ids(operator.get("Patient?family=avant")) == [one]
    assert ids(operator.get("Observation?subject:Patient.family=avant")) == [measure]


def test_what_is_withheld_is_not_advertised(own: Served) -> None:
    """R4 capabilitystatement.html: what there is, and no more"""
    own.caller().create(patient())
    of_before(own, "Patient", "family")

    [row] = [row for row in again(own).caller().get("metadata")["rest"][0]["resource"] if row["type"] == "Patient"]

    offered = {one["name"] for one in row["searchParam"]}
    assert "family" not in offered
    assert {"name", "birthdate", "_id"} <= offered
    assert "family" in row["documentation"]


@pytest.mark.parametrize("constraint", ["family=avant", "family:missing=true"])
def test_a_scope_that_asks_for_what_is_withheld_reaches_nothing(own: Served, constraint: str) -> None:
    """SMART App Launch 2.2, granular scopes: held in memory against an entry without keys, they would be wrong, too"""
    id = own.caller().create(patient(name=[{"family": "Avant"}]))
    token = own.caller(f"system/Patient.cruds?{constraint}").token
    of_before(own, "Patient", "family")
    caller = Caller(again(own).app, token)

    for path in (id, f"{id}/_history", f"{id}/_history/1", "Patient", "Patient/_history", "Patient?_id=1"):
        assert "Patient by `family`" in withheld(caller, path)
    assert caller("PUT", id, {**patient(), "id": id.partition("/")[2]}).status_code == 503
    assert caller("POST", "Patient", patient()).status_code == 503


@pytest.mark.parametrize("include", ["_revinclude=Observation:encounter", "_revinclude=*"])
def test_what_comes_along_by_what_is_withheld(own: Served, include: str) -> None:
    """R4 search.html#revinclude: an include that misses resources is a wrong answer"""
    operator = own.caller()
    stay = operator.create({"resourceType": "Encounter", "status": "finished", "class": {"code": "AMB"}})
    measure = operator.create(observation(encounter={"reference": stay}))
    of_before(own, "Observation", "encounter")
    operator = Caller(again(own).app, operator.token)

    assert "Observation by `encounter`" in withheld(operator, f"Encounter?{include}")
    reindex(own, "Observation")
    assert {stay, measure} <= set(ids(operator.get(f"Encounter?{include}")))


def test_what_a_resource_contains_is_indexed_with_its_type(own: Served) -> None:
    """R4 search.html#contained: a Patient inside of an Observation is found by the parameters of a Patient"""
    operator = own.caller()
    held = patient(id="p", name=[{"family": "Dedans"}])
    measure = operator.create({**observation(), "subject": {"reference": "#p"}, "contained": [held]})
    before = documents(own)
    own.database["Observation"].update_many({}, {"$pull": {"contained.0.keys": "family=dedans"}})
    of_before(own, "Patient", "family")
    operator = Caller(again(own).app, operator.token)

    withheld(operator, "Observation?subject:Patient.family=dedans")
    reindex(own, "Patient")

    assert ids(operator.get("Observation?subject:Patient.family=dedans")) == [measure]
    assert documents(own) == before


def test_every_version_has_its_own_entry(own: Served) -> None:
    """R4 history.html: a version is seen by what it said, the one that a delete made by what was deleted"""
    operator = own.caller()
    gone = operator.create(patient(name=[{"family": "Une"}]))
    operator("PUT", gone, {**patient(name=[{"family": "Deux"}]), "id": gone.partition("/")[2]})
    operator("DELETE", gone)
    before = documents(own)
    of_before(own, "Patient", "family")

    reindex(own)

    assert documents(own) == before
    assert [[key for key in one["keys"] if key.startswith("family=")] for one in before[HISTORY]] == [
        ["family=une"],
        ["family=deux"],
        ["family=deux"],
    ]


def test_a_database_of_an_earlier_version(own: Served) -> None:
    """Nothing in it can be asked for but by id, until all of it is indexed"""
    operator = own.caller()
    one = operator.create(patient(name=[{"family": "Ancien"}]))
    own_patient = one.partition("/")[2]
    before = documents(own)
    old = {"$rename": {"keys": "tokens"}, "$unset": {"strings": ""}}
    for name in ("Patient", HISTORY):
        own.database[name].update_many({}, old)
    own.database[SERVER].delete_one({"_id": "parameters"})
    operator = Caller(again(own).app, operator.token)

    assert operator.get(one)["name"] == [{"family": "Ancien"}]
    assert ids(operator.get(f"Patient?_id={own_patient}")) == [one]
    assert own.caller("patient/*.rs", patient=own_patient).get(one)["id"] == own_patient
    for query in ("family=ancien", "_tag=a", "identifier:not=a", "_sort=birthdate", "_contained=true"):
        withheld(operator, f"Patient?{query}")
    with pytest.raises(BadRequest, match="leave out the types"):
        reindex(own, "Patient")

    reindex(own)

    assert documents(own) == before
    assert ids(operator.get("Patient?family=ancien")) == [one]
    assert reindex(own, "Patient")[0].types == ["Patient"]


def test_a_type_that_is_new_is_looked_for_in_all_that_is_there(own: Served) -> None:
    """What contained it before it was kept here has no key that says so"""
    own.caller().create(patient())
    own.database[SERVER].update_one({"_id": "parameters"}, {"$unset": {"types.Encounter": ""}})

    withheld(again(own).caller(), "Encounter?status=finished")
    with pytest.raises(BadRequest):
        reindex(own, "Encounter")
    reindex(own)

    assert ids(again(own).caller().get("Encounter?status=finished")) == []


def test_dates_are_indexed_in_the_zone_of_the_server(own: Served) -> None:
    """R4 search.html#date: "where a timezone is not specified, the server's" - of now, not of when it was written"""
    operator = own.caller()
    measure = operator.create(observation(effectiveDateTime="2026-03-01"))
    settings = Settings(mongodb_database=own.name, timezone="Pacific/Auckland")
    abroad = Caller(create_app(own.client, settings, BASE.removesuffix("/fhir")), operator.token)

    assert "Observation by `date`" in withheld(abroad, "Observation?date=2026-03-01")
    assert ids(abroad.get("Observation?code=29463-7")) == [measure]
    store = Store(own.client, own.name, zone="Pacific/Auckland")
    Reindex(store, (), base=BASE, zone="Pacific/Auckland").run(lambda: False, lambda *advance: None)

    assert ids(abroad.get("Observation?date=2026-03-01")) == [measure]
    assert ids(abroad.get("Observation?date=sa2026-02-28T10:00:00Z")) == [measure]


def test_a_run_that_was_stopped_goes_on(own: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was gone through once is not gone through again"""
    monkeypatch.setattr(module, "BATCH", 10)
    operator = own.caller()
    for _ in range(35):
        operator.create(patient(name=[{"family": "Suite"}]))
    before = documents(own)
    of_before(own, "Patient", "family")
    asked = iter([False, False, False, True])

    stopped, first = reindex(own, "Patient", stopped=lambda: next(asked))
    assert stopped.stopped
    withheld(Caller(again(own).app, operator.token), "Patient?family=suite")
    done, second = reindex(own, "Patient")

    read = [sum(batch[1] for batch in told) for told in (first, second)]
    assert read == [30, 40]  # of 35 current versions and as many of the history
    assert not done.stopped
    assert documents(own) == before
    assert reindex(own, "Patient")[1][0][1] == 10  # and from the beginning when all was done


def test_the_place_of_another_run_is_of_no_use(own: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run over other types, or by other definitions, begins at the beginning"""
    monkeypatch.setattr(module, "BATCH", 10)
    for _ in range(15):
        own.caller().create(patient())
    asked = iter([False, True])
    reindex(own, "Patient", stopped=lambda: next(asked))

    _, told = reindex(own)

    assert sum(read for type, read, _, _ in told if type == "Patient") == 30


def test_one_run_at_a_time(own: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two would each think that the other's part was done; one that was killed is waited for a little"""
    monkeypatch.setattr(module, "LEASE_MS", 100)
    reindex(own, "Patient")
    place = own.database[SERVER]
    alive = {"holder": "another", "until": datetime.now(UTC) + timedelta(minutes=1)}
    place.update_one({"_id": "reindex"}, {"$set": alive})

    with pytest.raises(Conflict, match="under way"):
        reindex(own, "Patient")

    place.update_one({"_id": "reindex"}, {"$set": {"until": datetime.now(UTC) + timedelta(seconds=1)}})
    assert not reindex(own, "Patient")[0].stopped


def test_a_run_whose_place_was_taken_ends(own: Served) -> None:
    """It was taken for dead"""

    def taken() -> bool:
        own.database[SERVER].update_one({"_id": "reindex"}, {"$set": {"holder": "another"}})
        return False

    own.caller().create(patient())
    with pytest.raises(Conflict, match="taken over"):
        reindex(own, "Patient", stopped=taken)


def test_writers_go_on_meanwhile(own: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """R4 http.html#update: what is written during a run is kept, and is indexed as it was written"""
    monkeypatch.setattr(module, "BATCH", 5)
    operator = own.caller()
    known = [operator.create(patient(name=[{"family": f"N{number}"}])) for number in range(20)]
    of_before(own, "Patient", "family")
    operator = Caller(again(own).app, operator.token)
    over = threading.Event()
    written: dict[str, str] = {}
    refused: list[int] = []

    def write() -> None:
        turn = 0
        while not over.is_set():
            for reference in known:
                turn += 1
                body = {**patient(name=[{"family": f"T{turn}"}]), "id": reference.partition("/")[2]}
                answer = operator("PUT", reference, body)
                if answer.status_code == 200:
                    written[reference] = f"T{turn}"
                else:
                    refused.append(answer.status_code)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(3):
            reindex(own, "Patient")
    finally:
        over.set()
        writer.join()

    assert not refused
    for reference, family in written.items():
        assert ids(operator.get(f"Patient?family:exact={family}")) == [reference]
    for document in own.database[HISTORY].find({"type": "Patient"}):
        assert any(key.startswith("family=") for key in document["keys"])


def test_a_writer_that_comes_first_wins(own: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry is only ever written to the version that it was made from"""
    operator = own.caller()
    one = operator.create(patient(name=[{"family": "Avant"}]))
    of_before(own, "Patient", "family")
    write = Reindex._write

    def late(self: Reindex, *batch: Any) -> int:
        operator("PUT", one, {**patient(name=[{"family": "Depuis"}]), "id": one.partition("/")[2]})
        monkeypatch.setattr(Reindex, "_write", write)
        return write(self, *batch)

    monkeypatch.setattr(Reindex, "_write", late)
    _, told = reindex(own, "Patient")

    assert told[0] == ("Patient", 1, 0, 1)
    assert ids(operator.get("Patient?family=depuis")) == [one]
    assert ids(operator.get("Patient?family=avant")) == []


def test_the_command(own: Served, mongodb_uri: str) -> None:
    """What it prints, and that it takes the base url of the server that served the database last"""
    operator = own.caller()
    one = operator.create(patient(name=[{"family": "Ligne"}]))
    measure = operator.create({**observation(), "subject": {"reference": f"{BASE}/{one}"}})
    of_before(own, "Patient", "family")
    own.database[SERVER].update_one({"_id": "base"}, {"$set": {"url": BASE}}, upsert=True)
    settings = {"mongodb_uri": mongodb_uri, "mongodb_database": own.name}

    done = run("reindex", **settings)

    assert done.returncode == 0, done.stderr
    assert "indexed anew" in done.stdout
    operator = Caller(again(own).app, operator.token)
    assert ids(operator.get("Patient?family=ligne")) == [one]
    assert ids(operator.get(f"Observation?subject={one}")) == [measure]
    assert run("reindex", "Martian", **settings).returncode == 2
    own.database[SERVER].update_one({"_id": "parameters"}, {"$set": {"version": VERSION - 1}})
    refused = run("reindex", "Patient", **settings)
    assert refused.returncode == 1
    assert "leave out the types" in refused.stderr


def test_an_access_stays_hidden_by_the_label_of_now(own: Served) -> None:
    """Rule A17: the labels of what it names stand beside the bytes of an AuditEvent, which do not say them"""
    lab = own.caller("user/*.cruds", kind="professional", practitioner="reindex", profession="10")
    id, _ = own.patient()
    person = own.caller("patient/AuditEvent.rs", patient=id)
    kept = lab.create(observation(id))
    assert person.get(f"AuditEvent?entity={kept}")["total"] == 1
    hidden = [{"op": "add", "path": "/meta/security", "value": [{"code": "INVISIBLE_PATIENT"}]}]
    assert lab("PATCH", kept, hidden, Content_Type="application/json-patch+json").status_code == 200
    [before] = own.database["AuditEvent"].find({"keys": f"entity={kept}/_history/1"})
    assert before["labels"] == ["INVISIBLE_PATIENT"]
    own.database["AuditEvent"].update_one({"_id": before["_id"]}, {"$pull": {"keys": f"entity={kept}"}})
    done, _ = reindex(own, "AuditEvent")
    assert not done.too_large
    assert own.database["AuditEvent"].find_one({"_id": before["_id"]})["labels"] == ["INVISIBLE_PATIENT"]
    assert person("GET", f"AuditEvent/{before['_id']}").status_code == 404
