"""What an access costs: the commands that a request sends to MongoDB, as the driver tells of them.

docs/decisions/0004: the token comes with what is asked for; then the record of the access, and nothing else.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from pymongo.monitoring import CommandListener

from fhir_server.storage.connection import connect
from tests.build import observation
from tests.calls import Caller, Served, serve

#: The token and what is asked for; the record of it.
LEAST = ["aggregate", "insert"]
#: A professional may do what the patient has said, who is not known until the resource is there.
OF_CHOICES = ["aggregate", "find", "insert"]


class Commands(CommandListener):
    """The names of the commands that are sent."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    def started(self, event: Any) -> None:
        """Note it."""
        self.sent.append(event.command_name)

    def succeeded(self, event: Any) -> None:
        """Nothing."""

    def failed(self, event: Any) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def listened(mongodb_uri: str) -> Iterator[tuple[Served, Commands]]:
    """The application on a connection that is listened to."""
    commands, name = Commands(), f"test_{secrets.token_hex(8)}"
    with connect(mongodb_uri, event_listeners=[commands]) as client:
        yield serve(client, name), commands
        client.drop_database(name)


def sent(commands: Commands, caller: Caller, path: str) -> list[str]:
    """What a request sends whose caller was here before."""
    for _ in range(2):
        caller.get(path)
    commands.sent.clear()
    caller.get(path)
    return list(commands.sent)


@pytest.fixture(scope="module")
def record(listened: tuple[Served, Commands]) -> tuple[str, str]:
    """The ids of a Patient and of an Observation of theirs."""
    operator = listened[0].caller()
    patient = listened[0].patient()[0]
    return patient, operator.create(observation(patient)).partition("/")[2]


PATHS = ["Observation/{one}", "Patient/{patient}", "Observation?patient={patient}&_total=none"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("scope", ["patient/*.rs", "patient/*.rs patient/Observation.rs?category=vital-signs"])
def test_an_access_of_a_patient_s_app_costs_no_more_than_the_operator_s(
    listened: tuple[Served, Commands], record: tuple[str, str], path: str, scope: str
) -> None:
    """docs/decisions/0004: scopes, the record's holder and the choices in force are part of the one look-up"""
    served, commands = listened
    patient, one = record
    path = path.format(patient=patient, one=one)
    assert sent(commands, served.caller("system/*.rs"), path) == LEAST
    assert sent(commands, served.caller(scope, patient=patient), path) == LEAST


@pytest.mark.parametrize("path", ["Observation/{one}", "Observation?patient={patient}&_total=none"])
def test_an_access_of_a_professional_costs_one_more(
    listened: tuple[Served, Commands], record: tuple[str, str], path: str
) -> None:
    """docs/decisions/0004; rule A4: what the holder has said holds at the next request, so it is asked at each"""
    served, commands = listened
    facts = {"practitioner": "d", "role": "PractitionerRole/d", "profession": "10"}
    doctor = served.caller("user/*.cruds", kind="professional", **facts)
    own = doctor.create(observation(record[0])).partition("/")[2]
    assert sorted(sent(commands, doctor, path.format(patient=record[0], one=own))) == OF_CHOICES


def test_a_history_asks_whose_the_versions_were_only_where_it_matters(
    listened: tuple[Served, Commands], record: tuple[str, str]
) -> None:
    """docs/decisions/0015: the token, the last version, the versions, how many; the record of the access"""
    served, commands = listened
    patient, one = record
    for caller in (served.caller("system/*.rs"), served.caller("patient/*.rs", patient=patient)):
        said = sent(commands, caller, f"Observation/{one}/_history")
        assert sorted(said) == ["aggregate", "aggregate", "find", "find", "insert"]
