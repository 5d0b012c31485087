"""The ledger of accesses: nothing acknowledged is missing from it, and nothing in it can be changed unseen."""

from __future__ import annotations

import json
import os
import secrets
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient, errors
from pymongo.database import Database

from fhir_server import app as application
from fhir_server.audit import Background, Follower, Recorder, Trail, event
from fhir_server.audit.follow import QUIET, anchor
from fhir_server.audit.verify import Verified, read_anchors, verify
from fhir_server.config import Settings
from fhir_server.storage.connection import connect, open_database
from fhir_server.storage.ledger import MAC_BYTES, Key, Ledger, keys_of
from tests.build import entry, observation, patient, transaction
from tests.calls import Served, serve
from tests.servers import Server, asked_of, end, run, serving

KEY = "a key of the tests, which is long enough"


def note(number: int | str) -> Any:
    """A record that can be told from others."""
    trail = Trail("read", "GET", f"/Patient/{number}", request_id=f"asked-{number}")
    return event(trail, None, id=application.new_id(), now=application.now(), interaction="read", versions={})


@pytest.fixture
def ledger(database: Database[dict[str, Any]]) -> Ledger:
    """An empty one."""
    made = Ledger(database, keys_of(KEY), application.now)
    made.prepare()
    return made


def faults(ledger: Ledger, *anchors: bytes) -> list[str]:
    """What verify finds."""
    return list(verify(ledger, read_anchors(anchors, ledger), Verified()))


def written(ledger: Ledger, chains: int = 2, pages: int = 4) -> list[str]:
    """Chains of pages of three records each, one behind the other, followed by their AuditEvents; their names."""
    recorders = [Recorder(ledger) for _ in range(chains)]
    for number in range(pages):
        for recorder in recorders:
            recorder.record(*(note(f"{number}-{one}") for one in range(3)))
    Follower(recorders[0]).bring_up()
    background = Background(recorders[0])
    background.tell(ledger.heads())
    Follower(recorders[0]).bring_up()
    return [str(recorder.chain) for recorder in recorders]


def audit_events(ledger: Ledger) -> list[dict[str, Any]]:
    return [json.loads(one["body"]) for one in ledger.database["AuditEvent"].find()]


def test_what_is_as_it_was_written_has_no_fault(ledger: Ledger) -> None:
    """Several chains, leaves bound and not, AuditEvents made and not"""
    one, _ = written(ledger)
    assert faults(ledger, anchor(ledger)) == []

    recorder = Recorder(ledger)
    record = note("leaf")
    ledger.database["_ledger_leaves"].insert_one(recorder.leaf(record))
    assert faults(ledger) == []
    Follower(recorder).bring_up()
    assert faults(ledger, anchor(ledger)) == []
    assert ledger.leaves() == []
    assert record.id in {found["id"] for found in audit_events(ledger)}
    verified = Verified()
    list(verify(ledger, [], verified))
    assert verified.chains[one] == 1 + 4 * 3 + 1  # its beginning, and the heads of the others
    assert verified.audit_events == 2 * 4 * 3 + 1


# --- tampering


Tamper = Callable[[Ledger, str, str], str]


def _rewritten(ledger: Ledger, key: str, change: Callable[[list[bytes], list[bytes]], None]) -> None:
    """Change the records and MACs of a page."""
    pages = ledger.database["_ledger"]
    page = pages.find_one({"_id": key})
    assert page
    records = page["records"].split(b"\n")
    macs = [page["macs"][at : at + MAC_BYTES] for at in range(0, len(page["macs"]), MAC_BYTES)]
    change(records, macs)
    pages.update_one({"_id": key}, {"$set": {"records": b"\n".join(records), "macs": b"".join(macs)}})


def changed(ledger: Ledger, one: str, other: str) -> str:
    def change(records: list[bytes], macs: list[bytes]) -> None:
        records[1] = records[1].replace(b"/Patient/", b"/Patient/not-")

    _rewritten(ledger, f"{one}/000000000005", change)
    return f"{one}/6: changed"


def changed_with_a_mac_of_another_key(ledger: Ledger, one: str, other: str) -> str:
    def change(records: list[bytes], macs: list[bytes]) -> None:
        records[1] = records[1].replace(b"/Patient/", b"/Patient/not-")
        macs[1] = Key(b"").link(macs[0], one, 6, records[1])

    _rewritten(ledger, f"{one}/000000000005", change)
    return f"{one}/6: changed"


def one_record_removed(ledger: Ledger, one: str, other: str) -> str:
    def change(records: list[bytes], macs: list[bytes]) -> None:
        del records[1], macs[1]

    _rewritten(ledger, f"{one}/000000000005", change)
    return f"{one}/7: removed"


def a_record_alone_removed(ledger: Ledger, one: str, other: str) -> str:
    def change(records: list[bytes], macs: list[bytes]) -> None:
        del records[1]

    _rewritten(ledger, f"{one}/000000000005", change)
    return f"{one}/5 to 7: changed; 2 records stand there with the MACs of 3"


def a_page_removed(ledger: Ledger, one: str, other: str) -> str:
    ledger.database["_ledger"].delete_one({"_id": f"{one}/000000000005"})
    return f"{one}/5 to 7: removed"


def the_first_page_removed(ledger: Ledger, one: str, other: str) -> str:
    ledger.database["_ledger"].delete_one({"_id": f"{one}/000000000001"})
    return f"{one}/1 to 4: removed"


def records_reordered(ledger: Ledger, one: str, other: str) -> str:
    def change(records: list[bytes], macs: list[bytes]) -> None:
        records[0], records[2], macs[0], macs[2] = records[2], records[0], macs[2], macs[0]

    _rewritten(ledger, f"{one}/000000000005", change)
    return f"{one}/5: changed, or put there later"


def pages_reordered(ledger: Ledger, one: str, other: str) -> str:
    pages = ledger.database["_ledger"]
    first, second = (pages.find_one({"_id": f"{one}/{number:012d}"}) for number in (5, 8))
    assert first and second
    pages.replace_one({"_id": first["_id"]}, {**second, "_id": first["_id"]})
    pages.replace_one({"_id": second["_id"]}, {**first, "_id": second["_id"]})
    return f"{one}/5: changed, or put there later"


def a_page_of_another_chain(ledger: Ledger, one: str, other: str) -> str:
    pages = ledger.database["_ledger"]
    theirs = pages.find_one({"_id": f"{other}/000000000005"})
    assert theirs
    pages.replace_one({"_id": f"{one}/000000000005"}, {**theirs, "_id": f"{one}/000000000005"})
    return f"{one}/5: changed, or put there later"


def a_page_inserted(ledger: Ledger, one: str, other: str) -> str:
    pages = ledger.database["_ledger"]
    theirs = pages.find_one({"_id": f"{one}/000000000005"})
    assert theirs
    pages.insert_one({**theirs, "_id": f"{one}/000000000006"})
    return f"{one}/6 to 8: put in a place that is taken"


def the_tail_truncated(ledger: Ledger, one: str, other: str) -> str:
    ledger.database["_ledger"].delete_one({"_id": f"{other}/000000000011"})
    return f"{other}/11 to 13 and what may have followed: cut off"


def the_tail_truncated_with_how_far_it_was_followed(ledger: Ledger, one: str, other: str) -> str:
    """The other chain has seen it."""
    the_tail_truncated(ledger, one, other)
    ledger.database["_ledger_chains"].delete_one({"_id": other})
    return f"{other}/11 to 13 and what may have followed: cut off; {one}/14 has it"


def the_tail_truncated_where_nobody_has_seen_it_but_its_audit_events(ledger: Ledger, one: str, other: str) -> str:
    ledger.database["_ledger"].delete_many({"_id": {"$gte": f"{one}/000000000011", "$lt": f"{one}0"}})
    ledger.database["_ledger_chains"].delete_one({"_id": one})
    return f"{one}/11: removed; AuditEvent/"


def a_chain_dropped(ledger: Ledger, one: str, other: str) -> str:
    ledger.database["_ledger"].delete_many({"_id": {"$gt": f"{other}/", "$lt": f"{other}0"}})
    return f"Chain {other}: removed, with its 13 records"


def a_chain_dropped_with_all_that_knows_it(ledger: Ledger, one: str, other: str) -> str:
    """But for the other chain."""
    a_chain_dropped(ledger, one, other)
    ledger.database["_ledger_chains"].delete_one({"_id": other})
    ledger.database["AuditEvent"].delete_many({"place": {"$gt": f"{other}/", "$lt": f"{other}0"}})
    return f"Chain {other}: removed, with its 13 records or more; {one}/14 has it."


def how_far_it_was_followed_changed(ledger: Ledger, one: str, other: str) -> str:
    ledger.database["_ledger_chains"].update_one({"_id": other}, {"$set": {"through": 3}})
    return f"What is kept of chain {other}"


def an_audit_event_edited(ledger: Ledger, one: str, other: str) -> str:
    found = ledger.database["AuditEvent"].find_one({"place": f"{one}/6"})
    assert found
    body = found["body"].replace(b'"code":"read"', b'"code":"vread"')
    assert body != found["body"]
    ledger.database["AuditEvent"].update_one({"_id": found["_id"]}, {"$set": {"body": body}})
    return f"AuditEvent/{found['_id']}: changed; it was made of {one}/6"


def an_audit_event_hidden_from_its_patient(ledger: Ledger, one: str, other: str) -> str:
    found = ledger.database["AuditEvent"].find_one_and_update({"place": f"{one}/6"}, {"$set": {"owner": "nobody"}})
    assert found
    return f"AuditEvent/{found['_id']}: changed; it was made of {one}/6"


def an_audit_event_removed(ledger: Ledger, one: str, other: str) -> str:
    found = ledger.database["AuditEvent"].find_one_and_delete({"place": f"{one}/6"})
    assert found
    return f"AuditEvent/{found['_id']}: removed; it was made of {one}/6"


def an_audit_event_forged(ledger: Ledger, one: str, other: str) -> str:
    found = ledger.database["AuditEvent"].find_one({"place": f"{one}/6"})
    assert found
    forged = {name: value for name, value in found.items() if name not in ("mac", "place")}
    ledger.database["AuditEvent"].insert_one({**forged, "_id": "forged", "updated": application.now()})
    return "AuditEvent/forged: it was not made of the ledger"


def a_page_made_unreadable(ledger: Ledger, one: str, other: str) -> str:
    ledger.database["_ledger"].update_one(
        {"_id": f"{one}/000000000005"}, {"$set": {"records": 5}, "$unset": {"macs": 1}}
    )
    return f"{one}/5: changed; 0 records stand there"


def a_record_made_unreadable(ledger: Ledger, one: str, other: str) -> str:
    def change(records: list[bytes], macs: list[bytes]) -> None:
        records[1] = b'{"do": 1, "at": 1e400, "on": ['

    _rewritten(ledger, f"{one}/000000000005", change)
    return f"{one}/6: changed"


def an_audit_event_made_unreadable(ledger: Ledger, one: str, other: str) -> str:
    found = ledger.database["AuditEvent"].find_one_and_update(
        {"place": f"{one}/6"}, {"$unset": {"body": 1, "place": 1, "updated": 1}}
    )
    assert found
    return f"AuditEvent/{found['_id']}: changed"


TAMPERINGS = (
    a_page_made_unreadable,
    a_record_made_unreadable,
    an_audit_event_made_unreadable,
    changed,
    changed_with_a_mac_of_another_key,
    one_record_removed,
    a_record_alone_removed,
    a_page_removed,
    the_first_page_removed,
    records_reordered,
    pages_reordered,
    a_page_of_another_chain,
    a_page_inserted,
    the_tail_truncated,
    the_tail_truncated_with_how_far_it_was_followed,
    the_tail_truncated_where_nobody_has_seen_it_but_its_audit_events,
    a_chain_dropped,
    a_chain_dropped_with_all_that_knows_it,
    how_far_it_was_followed_changed,
    an_audit_event_edited,
    an_audit_event_hidden_from_its_patient,
    an_audit_event_removed,
    an_audit_event_forged,
)


@pytest.mark.parametrize("tamper", TAMPERINGS, ids=[tamper.__name__ for tamper in TAMPERINGS])
def test_tampering_is_named(ledger: Ledger, tamper: Tamper) -> None:
    """Whoever can write the database and has no key changes nothing unseen"""
    one, other = written(ledger)
    assert faults(ledger) == []
    expected = tamper(ledger, one, other)
    found = faults(ledger)
    assert [fault for fault in found if expected in fault] != [], found


def test_a_ledger_put_back_to_an_earlier_day_is_told_by_an_anchor(ledger: Ledger) -> None:
    """All at once: pages, chains and AuditEvents as they were; what was sent elsewhere remembers"""
    written(ledger)
    names = ("_ledger", "_ledger_chains", "AuditEvent")
    earlier = {name: list(ledger.database[name].find()) for name in names}
    recorder = Recorder(ledger)
    recorder.record(note("later"))
    Follower(recorder).bring_up()
    kept_elsewhere = anchor(ledger)
    for name, documents in earlier.items():
        ledger.database[name].delete_many({})
        ledger.database[name].insert_many(documents)

    assert faults(ledger) == []
    assert [fault for fault in faults(ledger, kept_elsewhere) if "the anchor of" in fault] != []


def test_an_anchor_of_another_key_is_none(ledger: Ledger) -> None:
    written(ledger)
    said = json.loads(anchor(ledger))
    said["heads"] = {}
    with pytest.raises(ValueError, match="line 1"):
        read_anchors([json.dumps(said, separators=(",", ":")).encode()], ledger)


def test_a_leaf_that_is_changed_before_it_is_bound_is_named(ledger: Ledger) -> None:
    """Its record stays, and a word that it is not what was written"""
    recorder = Recorder(ledger)
    record = note("leaf")
    leaf = recorder.leaf(record)
    ledger.database["_ledger_leaves"].insert_one({**leaf, "record": leaf["record"].replace(b"leaf", b"live")})
    assert [fault for fault in faults(ledger) if record.id in fault] != []
    Follower(recorder).bring_up()
    assert ledger.leaves() == []
    assert [fault for fault in faults(ledger) if "changed before it was bound" in fault and record.id in fault] != []


def test_what_is_made_unreadable_keeps_nobody_from_the_rest(ledger: Ledger) -> None:
    """Before AuditEvents were made of it: those of all other records are there, and verify names it"""
    recorder = Recorder(ledger)
    for number in range(5):
        recorder.record(note(number), note(f"{number}-too"))
    pages = ledger.database["_ledger"]
    first, second, third, *_ = (page["_id"] for page in pages.find().sort("_id", 1))
    pages.update_one({"_id": first}, {"$set": {"records": b'{"do": "read", "on": 5}\n{"do'}})
    pages.update_one({"_id": second}, {"$set": {"records": None, "macs": "none"}})
    pages.update_one({"_id": third}, {"$set": {"records": b""}})
    Follower(recorder).bring_up()
    asked = Counter(asked_of(found) for found in audit_events(ledger))
    assert asked == Counter(f"GET /Patient/{name}" for number in (3, 4) for name in (number, f"{number}-too"))
    recorder.record(note("later"))
    Follower(recorder).bring_up()
    assert len(audit_events(ledger)) == 5
    assert len(faults(ledger)) >= 3


def test_keys_of_earlier_days_still_verify(ledger: Ledger) -> None:
    """A new key on the first line of the file, the old one below it; without it, its chains are named"""
    one, _ = written(ledger)
    new = Ledger(ledger.database, keys_of(f"{KEY} of tomorrow\n{KEY}\n"), application.now)
    recorder = Recorder(new)
    recorder.record(note("tomorrow"))
    Follower(recorder).bring_up()
    assert faults(new) == []
    without = Ledger(ledger.database, keys_of(f"{KEY} of tomorrow"), application.now)
    assert [fault for fault in faults(without) if fault.startswith(f"{one}/1: bound with the key")] != []


# --- writers


def test_threads_of_one_process_share_pages(ledger: Ledger) -> None:
    """Records that wait at the same time are one insert; each is there once"""
    recorder = Recorder(ledger)
    many = [note(number) for number in range(200)]

    def one(record: Any) -> None:
        with recorder.expecting():
            recorder.record(record)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(one, many))
    assert ledger.count() < 200
    Follower(recorder).bring_up()
    assert Counter(found["id"] for found in audit_events(ledger)) == Counter(record.id for record in many)
    assert faults(ledger) == []


def test_a_page_of_which_nobody_knows_is_written_once(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer of MongoDB was lost, behind the write or before it: the next record finds out"""
    recorder = Recorder(ledger)
    recorder.record(note("first"))
    insert = ledger.insert
    for was_written in (True, False):

        def lose(page: Any, was_written: bool = was_written) -> None:
            if was_written:
                insert(page)
            raise errors.AutoReconnect("lost")

        monkeypatch.setattr(ledger, "insert", lose)
        with pytest.raises(Exception, match="does not answer"):
            recorder.record(note(f"lost-{was_written}"))
        monkeypatch.setattr(ledger, "insert", insert)
        recorder.record(note(f"after-{was_written}"))
    Follower(recorder).bring_up()
    asked = Counter(asked_of(found) for found in audit_events(ledger))
    names = ("first", "lost-True", "after-True", "lost-False", "after-False")
    assert asked == Counter(f"GET /Patient/{name}" for name in names)
    assert faults(ledger) == []


def test_a_chain_that_is_quiet_is_ended_and_its_process_begins_another(ledger: Ledger) -> None:
    """A process that was only asleep loses nothing"""
    recorder = Recorder(ledger)
    recorder.record(note("before"))
    first = recorder.chain
    later = Ledger(ledger.database, keys_of(KEY), lambda: application.now() + QUIET + timedelta(minutes=1))
    other = Recorder(later)
    Follower(recorder).bring_up()
    Background(other).end_quiet(later.heads())
    Follower(other).bring_up()
    assert first not in {head.chain for head in later.heads()}
    recorder.record(note("after"))
    assert recorder.chain != first
    Follower(recorder).bring_up()
    assert len(audit_events(ledger)) == 2
    assert faults(ledger) == []


def test_followers_at_once_come_to_the_same(ledger: Ledger) -> None:
    """Each record has its AuditEvent once, whoever makes it and however often it is begun"""
    recorders = [Recorder(ledger) for _ in range(4)]
    many = [note(number) for number in range(300)]
    for at, record in enumerate(many):
        if at % 3:
            recorders[at % 4].record(record)
        else:
            ledger.database["_ledger_leaves"].insert_one(recorders[0].leaf(record))
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda recorder: Follower(recorder).bring_up(), recorders))
    assert Counter(found["id"] for found in audit_events(ledger)) == Counter(record.id for record in many)
    assert ledger.leaves() == []
    assert faults(ledger) == []


def test_what_was_begun_is_gone_on_with(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Broken off between any two steps: nothing is lost, nothing is there twice"""
    recorder = Recorder(ledger)
    many = [note(number) for number in range(5)]
    recorder.record(*many[:3])
    for record in many[3:]:
        ledger.database["_ledger_leaves"].insert_one(recorder.leaf(record))

    def stop(*_: Any, **__: Any) -> None:
        raise errors.AutoReconnect("killed")

    for step in ("drop_leaves", "heads", "advance"):
        broken = Ledger(ledger.database, keys_of(KEY), application.now)
        begun = Recorder(broken)
        begun.record(note(step))
        monkeypatch.setattr(broken, step, stop)
        with pytest.raises(Exception, match="does not answer"):
            Follower(begun).bring_up()
    Follower(Recorder(ledger)).bring_up()
    ids = Counter(found["id"] for found in audit_events(ledger))
    assert set(ids.values()) == {1}
    assert {record.id for record in many} <= ids.keys()
    assert len(ids) == 5 + 3
    assert faults(ledger) == []


def test_one_process_of_all_works_in_the_background(ledger: Ledger) -> None:
    """A lease: the second one has to wait until the first is dead"""
    first, second = Background(Recorder(ledger)), Background(Recorder(ledger))
    assert first.holds()
    assert not second.holds()
    assert first.holds()
    ledger.database["_server"].update_one({"_id": "ledger"}, {"$set": {"until": application.now() - timedelta(days=1)}})
    assert second.holds()
    assert not first.holds()


# --- readers


@pytest.fixture
def own(mongodb_client: MongoClient[dict[str, Any]]) -> Iterator[Served]:
    """An application on a database of its own."""
    name = f"test_{secrets.token_hex(8)}"
    yield serve(mongodb_client, name)
    mongodb_client.drop_database(name)


def test_every_way_to_audit_events_brings_them_up_to_date(own: Served) -> None:
    """R4 search.html: nothing that was recorded before a request is missing from its answer"""
    operator = own.caller()
    id, caller = own.patient()
    reference = operator.create(observation(id))
    where = f"entity={reference}"
    ways = (
        f"AuditEvent?{where}",
        f"AuditEvent?{where}&_summary=count",
        f"AuditEvent?{where}&_sort=-date",
        f"AuditEvent?{where}&_sort=-_lastUpdated&_count=1000",
        f"Patient/{id}/AuditEvent?{where}",
        f"Patient/{id}/*?_type=AuditEvent&{where}",
        f"?_type=AuditEvent&{where}",
        f"Observation?_has:AuditEvent:entity:action=R&_id={reference[12:]}",
        f"AuditEvent?entity:Observation.subject=Patient/{id}&{where}",
        f"Observation?_id={reference[12:]}&_revinclude=AuditEvent:entity",
    )
    for number, path in enumerate(ways):
        for _ in range(2):  # the second time the process knows who asks, and would look ahead
            name = f"way-{number}-{secrets.token_hex(4)}"
            assert caller("GET", reference, X_Request_Id=name).status_code == 200
            answer = operator("GET", path)
            assert answer.status_code == 200, answer.text
            if "_summary" in path:
                kept = own.database["AuditEvent"].count_documents({"keys": where})
                assert answer.json["total"] == kept
            elif "_has" in path:
                assert answer.json["total"] == 1
            seen = own.database["AuditEvent"].count_documents({"keys": f"entity:identifier={name}"})
            assert seen == 1, path

    name = secrets.token_hex(4)
    assert caller("GET", reference, X_Request_Id=name).status_code == 200
    bundle = transaction(entry("GET", f"AuditEvent?entity:identifier={name}"), entry("POST", "Patient", patient()))
    answer = operator("POST", "", bundle)
    assert answer.status_code == 200, answer.text
    assert answer.json["entry"][0]["resource"]["total"] == 1


def test_an_audit_event_is_read_by_its_id_at_once(own: Served) -> None:
    """R4 http.html#read, http.html#vread, http.html#history: ids are known from the ledger before AuditEvents are"""
    operator = own.caller()
    id, caller = own.patient()
    for path in ("AuditEvent/{}", "AuditEvent/{}/_history/1", "AuditEvent/{}/_history"):
        assert caller("GET", f"Patient/{id}").status_code == 200
        (page,) = own.database["_ledger"].find({"_id": {"$gt": ""}}).sort([("_id", -1)]).limit(1)
        record = json.loads(page["records"].splitlines()[-1])
        assert own.database["AuditEvent"].find_one({"_id": record["id"]}) is None
        assert operator("GET", path.format(record["id"])).status_code == 200
    assert operator("GET", "AuditEvent/none").status_code == 404


# --- processes


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Two workers, and the key in their data dir."""
    with serving(tmp_path_factory.mktemp("ledger") / "data") as started:
        yield started


def test_a_reader_sees_what_any_worker_has_acknowledged(server: Server) -> None:
    """Of readers and writers at once, on several workers: each finds the record of its own last request"""
    token = server.token()
    lacking: list[str] = []

    def one(number: int) -> None:
        client, others = server.client(token), server.client(token)
        made = client.send("POST", "Patient", patient())
        id = made.json()["id"]
        for turn in range(12):
            name = f"n{number}-{turn}"
            if turn % 2:
                client.send("PUT", f"Patient/{id}", {**patient(), "id": id}, X_Request_Id=name)
            else:
                client.send("GET", f"Patient/{id}", X_Request_Id=name)
            # A connection of its own, which another worker may have.
            found = others.send("GET", f"AuditEvent?entity:identifier={name}").json()
            if found["total"] != 1:
                lacking.append(name)
            if turn % 4 == 3:
                others.close()
                others = server.client(token)
        client.close()
        others.close()

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(one, range(6)))
    assert lacking == []


def test_what_was_acknowledged_outlives_every_process(tmp_path: Path) -> None:
    """docs/decisions/0011: SIGKILL to workers and mongod in the midst of it; then each answer has its record"""
    server = Server(tmp_path / "data")
    try:
        server.start()
        token = server.token()
        told: list[str] = []
        stop = threading.Event()

        def ask(number: int) -> None:
            client = server.client(token)
            for turn in range(10_000):
                if stop.is_set():
                    return
                name = f"k{number}-{turn}"
                try:
                    answer = client.send(
                        "POST" if turn % 3 else "GET", "Patient", patient() if turn % 3 else None, X_Request_Id=name
                    )
                    if answer.status < 300:
                        told.append(name)
                except OSError:
                    continue

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(2):
            before = len(told)
            while len(told) < before + 60:
                stop.wait(0.02)
            os.kill(server.workers_of()[0], signal.SIGKILL)
        before = len(told)
        while len(told) < before + 60:
            stop.wait(0.02)
        server.kill()
        server.kill_mongod()
        stop.set()
        for thread in threads:
            thread.join()
        acknowledged = list(told)

        found = run("audit", "verify", "--data-dir", server.data_dir)
        assert found.returncode == 0, found.stdout
        server.start()
        client = server.client(token)
        client.send("GET", "AuditEvent?_count=1")
        client.close()
        server.stop()
        key = (server.data_dir / "audit.key").read_text()
        with open_database(uri=None, data_dir=server.data_dir) as opened, connect(opened.uri) as mongo:
            kept = Counter(
                one["what"]["identifier"]["value"]
                for document in mongo["fhir"]["AuditEvent"].find({}, {"body": 1})
                for one in json.loads(document["body"])["entity"]
                if "identifier" in one.get("what", {})
            )
            ledger = application.ledger_of(mongo, replace(Settings(), audit_key=key))
            assert faults(ledger) == []
        assert [name for name in acknowledged if not kept[name]] == []
    finally:
        end(server)


def test_the_operator_verifies_and_anchors(server: Server, tmp_path: Path) -> None:
    """`fhir-server audit`: exit 0 while all is well, beside the running server; exit 1 and the record's place if not"""
    token = server.token()
    client = server.client(token)
    for _ in range(5):
        client.send("GET", "Patient?_count=1")
    client.send("GET", "AuditEvent?_count=1")
    client.close()
    key = server.data_dir / "audit.key"
    assert key.stat().st_mode & 0o777 == 0o600
    anchors = tmp_path / "anchors"
    for _ in range(2):
        assert run("audit", "anchor", "--to", anchors, "--data-dir", server.data_dir).returncode == 0
    printed = run("audit", "anchor", "--data-dir", server.data_dir)
    assert json.loads(printed.stdout)["heads"]
    found = run("audit", "verify", "--anchor", anchors, "--data-dir", server.data_dir)
    assert found.returncode == 0, found.stdout + found.stderr
    assert "as they were written" in found.stdout

    with open_database(uri=None, data_dir=server.data_dir) as opened, connect(opened.uri) as mongo:
        assert key.read_bytes().strip() not in b"".join(
            repr(list(mongo["fhir"][name].find())).encode() for name in ("_server", "_ledger_chains")
        )
        last = mongo["fhir"]["_ledger"].find_one_and_delete({}, sort=[("_id", -1)])
        assert last
    found = run("audit", "verify", "--anchor", anchors, "--data-dir", server.data_dir)
    assert found.returncode == 1
    assert last["_id"].partition("/")[0] in found.stdout
    assert run("audit", "verify", "--anchor", key, "--data-dir", server.data_dir).returncode == 1
