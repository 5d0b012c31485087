"""The rows of the table that go over HTTP: what is asked, what a right answer is, and the goal.

Server and ceiling get the same bytes and must pass the same checks.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlencode

from benchmarks import data
from benchmarks.load import BenchError, Call, request

POOL = 2_000
CREATED_FAMILY = "c"  # what is created belongs to other patients, so that every search keeps its twenty matches
CREATED_PATIENTS = 20


@dataclass(frozen=True)
class Row:
    """A line of the table: `each` is how many resources one request carries, `goal` the least share of the ceiling."""

    name: str
    title: str
    each: int
    goal: float
    calls: Callable[[int, str], list[Call]]
    trial: Callable[[Call, Any], str | None]


def _reads(stored: int, token: str) -> list[Call]:
    chance = random.Random(data.SEED)
    places = [divmod(chance.randrange(stored), data.PER_PATIENT) for _ in range(POOL)]
    ids = [data.observation_id(*place) for place in places]
    return [
        Call(request("GET", f"/fhir/Observation/{id}", token=token), 200, partial(_holds, f'"{id}"'.encode()))
        for id in ids
    ]


def _holds(text: bytes, body: bytes) -> str | None:
    return None if text in body else f"{text.decode()} is not in the answer"


def _read_trial(call: Call, answer: Any) -> str | None:
    patient, number = map(int, call.line.split()[1].rpartition("o")[2].split("-"))
    sent = data.observation(patient, number)
    got = {name: value for name, value in answer.items() if name != "meta"}
    return None if got == {name: value for name, value in sent.items() if name != "meta"} else "not what was stored"


def _searches(stored: int, token: str) -> list[Call]:
    found = []
    for window in data.windows(stored // data.PER_PATIENT, POOL):
        asked = [
            ("patient", window.patient),
            ("code", f"{data.LOINC}|{window.code}"),
            ("date", f"ge{window.start}"),
            ("date", f"lt{window.end}"),
            ("_count", str(data.PAGE)),
        ]
        target = f"/fhir/Observation?{urlencode(asked)}"
        found.append(Call(request("GET", target, token=token), 200, partial(_page, f"/{window.patient}".encode())))
    return found


def _page(patient: bytes, body: bytes) -> str | None:
    entries = body.count(b'"fullUrl"')
    if entries != data.PAGE:
        return f"{entries} entries, expected {data.PAGE}"
    return None if body.count(patient) >= data.PAGE else f"not all entries are of {patient.decode()}"


def _search_trial(call: Call, answer: Any) -> str | None:
    matches = [entry["resource"] for entry in answer["entry"]]
    ids = {resource["id"] for resource in matches}
    codes = {resource["code"]["coding"][0]["code"] for resource in matches}
    if answer["type"] != "searchset" or len(ids) != data.PAGE:
        return f"a {answer['type']} of {len(ids)} different resources, expected {data.PAGE}"
    return None if len(codes) == 1 else f"codes {sorted(codes)}, expected one"


def _new_observation(number: int) -> dict[str, Any]:
    resource = data.observation(number % CREATED_PATIENTS, number % data.PER_PATIENT, family=CREATED_FAMILY)
    return {name: value for name, value in resource.items() if name != "id"}


def _creates(_: int, token: str) -> list[Call]:
    return [
        Call(
            request("POST", "/fhir/Observation", token=token, body=data.encode(_new_observation(number))),
            201,
            partial(_holds, b'"Observation"'),
        )
        for number in range(POOL)
    ]


def _create_trial(_: Call, answer: Any) -> str | None:
    return None if answer["resourceType"] == "Observation" else f"a {answer['resourceType']}"


def transaction_bundle(first: int) -> dict[str, Any]:
    """A transaction that creates twenty Observations, from the `first`-th on.  R4: http.html#transaction"""
    entries = [
        {
            "fullUrl": f"urn:uuid:00000000-0000-4000-8000-{number:012d}",
            "resource": _new_observation(number),
            "request": {"method": "POST", "url": "Observation"},
        }
        for number in range(first, first + data.PAGE)
    ]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def _transactions(_: int, token: str) -> list[Call]:
    return [
        Call(request("POST", "/fhir", token=token, body=data.encode(transaction_bundle(first))), 200, _all_created)
        for first in range(0, POOL, data.PAGE)
    ]


def _all_created(body: bytes) -> str | None:
    created = body.count(b'"201')
    return None if created == data.PAGE else f"{created} entries created, expected {data.PAGE}"


def _transaction_trial(_: Call, answer: Any) -> str | None:
    return None if answer["type"] == "transaction-response" else f"a {answer['type']}"


READ = Row("read", "read by id, authorised and audited", 1, 0.5, _reads, _read_trial)
SEARCH = Row("search", "search patient + code + date, 20 results", 1, 0.5, _searches, _search_trial)
CREATE = Row("create", "create, validated", 1, 0.5, _creates, _create_trial)
TRANSACTION = Row("transaction", "transaction of 20 (entries/s)", data.PAGE, 0.5, _transactions, _transaction_trial)
ROWS = (READ, SEARCH, CREATE, TRANSACTION)


def tried(row: Row, call: Call, body: bytes) -> None:
    """Read one answer whole before the measure.  Raises BenchError if it is not what was asked for."""
    try:
        fault = row.trial(call, json.loads(body))
    except (ValueError, KeyError, TypeError) as error:
        fault = f"not the expected JSON ({type(error).__name__}: {error})"
    if fault:
        raise BenchError(f"{call.line}: {fault}")
