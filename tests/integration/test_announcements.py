"""What a professional wants to announce first: two letters, each once, and `fhir-server account tick`.  CSP R1111-53"""

from __future__ import annotations

import argparse
import secrets
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from pymongo import MongoClient

from fhir_server import app as application
from fhir_server.accounts.account import Account, Profile
from fhir_server.accounts.accounts import Accounts
from fhir_server.accounts.announcing import Announcing
from fhir_server.accounts.calendar import Calendar
from fhir_server.accounts.outbox import Message, Outbox
from fhir_server.app import now
from fhir_server.cli import account
from fhir_server.config import Settings
from fhir_server.fhir.outcome import Unavailable
from fhir_server.storage.lease import lease
from tests.build import observation
from tests.calls import Served, serve
from tests.spec.test_rules import JSON_PATCH, doctor, document, masking

LATER, KEPT = "INVISIBLE_PATIENT", "INVISIBLE_REPRESENTANTS_LEGAUX"
#: To the day: before the first letter, at it, between the two, and when the label has fallen.
BEFORE, INVITED, BETWEEN, FALLEN = (timedelta(days=days) for days in (13, 15, 20, 32))


@pytest.fixture
def at(mongodb_client: MongoClient[dict[str, Any]]) -> Iterator[Served]:
    """A server of its own, whose letters are all of this test."""
    name = f"test_{secrets.token_hex(8)}"
    yield serve(mongodb_client, name)
    mongodb_client.drop_database(name)


@pytest.fixture
def letters(at: Served) -> Callable[[timedelta], list[Message]]:
    """The letters there are, so long after now, the newest first; what is due has been written."""

    def written(later: timedelta) -> list[Message]:
        def clock() -> Any:
            return now() + later

        outbox = Outbox(at.database, clock)
        Announcing(at.database, Accounts(at.database, clock), outbox, clock, "https://record.test/").run()
        return list(outbox.latest())

    return written


def person(at: Served, name: str, patient: str, relation: Any = "self", email: str | None = "") -> str:
    """The address of somebody who opens the record."""
    to = f"{name}@example.org" if email == "" else email
    profile = Profile(f"Patient/{patient}", patient, relation, "Camille Durand", "2012-01-01")
    made = Account(id="", login=name, name=name.title(), email=to, phone=None, language="fr", profiles=(profile,))
    Accounts(at.database, now).keep(made, "a long password")
    return to or ""


def test_the_patient_is_told_at_two_weeks_and_when_it_can_be_seen(at: Served, letters: Any) -> None:
    """R1111-53: told of an update and invited to see a professional; not of what, and not by whom"""
    patient, _ = at.patient()
    to = person(at, "camille", patient)
    caller = doctor(at).caller()
    for _ in range(2):
        caller.create(document(patient, LATER, description="Biopsie"))
    caller.create(document(patient))

    assert letters(BEFORE) == []
    (invited,) = letters(INVITED)
    assert invited.to == to
    assert "contacter le professionnel" in invited.text
    assert "Biopsie" not in invited.text + invited.subject
    assert letters(BETWEEN) == [invited]
    fallen, first = letters(FALLEN)
    assert first == invited
    assert "maintenant visible" in fallen.text
    assert letters(FALLEN + BETWEEN) == [fallen, first]
    assert at.database["_announcements"].count_documents({}) == 0


def test_what_was_announced_retired_or_deleted_needs_no_letter(at: Served, letters: Any) -> None:
    """R1111-53: the announcement takes the label off"""
    patient, _ = at.patient()
    person(at, "camille", patient)
    caller = doctor(at).caller()
    announced, gone = (caller.create(document(patient, LATER)) for _ in range(2))
    measured = caller.create(observation(patient, meta={"security": [{"code": LATER}]}))
    assert caller("PATCH", announced, masking(), Content_Type=JSON_PATCH).status_code == 200
    assert at.caller()("DELETE", gone).status_code == 204
    assert [one["_id"] for one in at.database["_announcements"].find()] == [measured]
    assert caller("DELETE", measured).status_code == 204
    assert letters(FALLEN) == []


def test_who_acts_for_a_child_is_told_unless_it_is_kept_from_them(at: Served, letters: Any) -> None:
    """R1111-50, R1111-53: a caregiver is told nothing, and whom it is kept from neither"""
    patient, _ = at.patient()
    parent = person(at, "parent", patient, "legal-representative")
    person(at, "neighbour", patient, "caregiver")
    person(at, "grandmother", patient, "legal-representative", email=None)
    caller = doctor(at).caller()
    caller.create(document(patient, LATER, KEPT))
    assert letters(INVITED) == []
    caller.create(document(patient, LATER))
    assert [letter.to for letter in letters(INVITED)] == [parent]


def test_what_becomes_private_later_is_private(at: Served, letters: Any) -> None:
    """R1111-50: the labels of now say who is told"""
    patient, _ = at.patient()
    person(at, "parent", patient, "legal-representative")
    caller = doctor(at).caller()
    kept = caller.create(document(patient, LATER))
    assert caller("PATCH", kept, masking(LATER, KEPT), Content_Type=JSON_PATCH).status_code == 200
    assert letters(INVITED) == []


def test_a_tick_that_comes_too_late_says_what_is_true_then(at: Served, letters: Any) -> None:
    """After a month there is nothing to invite to: it can be seen"""
    patient, _ = at.patient()
    person(at, "camille", patient)
    doctor(at).caller().create(document(patient, LATER))
    (letter,) = letters(FALLEN)
    assert "maintenant visible" in letter.text


def test_done_twice_at_once_it_is_said_once(at: Served, letters: Any) -> None:
    """One letter, whoever writes it, and after whatever interruption"""
    patient, _ = at.patient()
    person(at, "camille", patient)
    caller = doctor(at).caller()
    for _ in range(3):
        caller.create(document(patient, LATER))
    before = list(at.database["_announcements"].find())
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(letters, [INVITED] * 4))
    at.database["_announcements"].delete_many({})
    at.database["_announcements"].insert_many(before)  # as if it had died before it noted what it wrote
    assert len(letters(INVITED)) == 1


def test_one_process_at_a_time(at: Served) -> None:
    """The lease is given back, also by who fails, and is nobody's when its holder has died"""
    count: list[int] = []

    def task() -> int:
        assert Calendar(at.database, {"task": task}).once() is None
        count.append(1)
        return len(count)

    keeping = Calendar(at.database, {"task": task})
    assert [keeping.once(), keeping.once()] == [{"task": 1}, {"task": 2}]
    with pytest.raises(ZeroDivisionError):
        Calendar(at.database, {"task": lambda: 1 // 0}).once()
    with lease(at.database, "calendar", timedelta(seconds=-1)) as ours:
        assert ours
        assert keeping.once() == {"task": 3}


def test_work_that_fails_keeps_the_other_from_nothing(at: Served) -> None:
    """A store that is away for one piece of work ends neither the rest of the round nor the rounds that follow"""
    rounds: list[str] = []
    enough = threading.Event()

    def away() -> int:
        rounds.append("away")
        raise Unavailable("The store does not answer.")

    def other() -> int:
        rounds.append("other")
        if rounds.count("other") == 3:
            enough.set()
        return 0

    keeping = Calendar(at.database, {"away": away, "other": other}, every=0.001)
    keeping.start()
    assert enough.wait(20)
    keeping.stop()
    assert rounds[:6] == ["away", "other"] * 3


def test_tick(at: Served, mongodb_uri: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`fhir-server account tick` writes what is due, and says how much that was"""
    patient, _ = at.patient()
    person(at, "camille", patient)
    doctor(at).caller().create(document(patient, LATER))
    at.database["_announcements"].update_one({}, {"$set": {"due": now()}})
    parser = argparse.ArgumentParser()
    account.add_to(parser.add_subparsers())
    typed = parser.parse_args(["account", "tick"])
    settings = Settings(mongodb_uri=mongodb_uri, mongodb_database=at.name)
    for printed in ("announcements: 1\n", "announcements: 0\n"):
        capsys.readouterr()
        typed.run(typed, settings)
        assert capsys.readouterr().out.endswith(printed)
    with lease(at.database, "calendar", timedelta(minutes=1)):
        typed.run(typed, settings)
    assert capsys.readouterr().out == "A server is at it.\n"


def test_a_server_does_it_by_itself(at: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the background of `serve`"""
    patient, _ = at.patient()
    person(at, "camille", patient)
    doctor(at).caller().create(document(patient, LATER))
    at.database["_announcements"].update_one({}, {"$set": {"due": now()}})
    monkeypatch.setattr("fhir_server.accounts.calendar.LOOK_SECONDS", 0.05)
    keeping = application.calendar(at.client, Settings(mongodb_database=at.name))
    keeping.start()
    try:
        for _ in range(200):
            if at.database["_outbox"].count_documents({}):
                break
            keeping._stopping.wait(0.05)
        assert at.database["_outbox"].count_documents({}) == 1
    finally:
        keeping.stop()
