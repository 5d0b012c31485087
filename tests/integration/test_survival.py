"""Whatever is killed in the middle of writing: what was acknowledged is there, once and whole, and nothing by halves.

Writers and a reader go on through every kill, as clients do.  What they were told is then held against what is there.
"""

from __future__ import annotations

import fcntl
import json
import os
import random
import signal
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pymongo.database import Database

from fhir_server.fhir import json as fhir_json
from fhir_server.fhir.types import TYPES
from fhir_server.search.index import entry as index_entry
from fhir_server.storage.connection import connect, open_database
from tests.build import entry, observation, patient, transaction
from tests.calls import follow
from tests.servers import PATIENCE, Answer, Client, Server, batch, end, is_running, wait_until

SYSTEM = "urn:survival"
#: What a client may be told while the store or the server is away.  R4: http.html#Status-Codes
AWAY = 503


class Writer(ABC, threading.Thread):
    """A client that writes without a pause, and notes what it was told."""

    def __init__(self, server: Server, token: str, name: str):
        super().__init__(name=name, daemon=True)
        self.client = server.client(token)
        self.told: list[str] = []
        self.wrong: list[str] = []
        self.sent = 0
        self.acknowledged = 0
        self._done = threading.Event()
        self.failure: BaseException | None = None

    def run(self) -> None:
        """Write until told to stop."""
        try:
            while not self._done.is_set():
                self.sent += 1
                self.step(self.sent)
        except BaseException as error:
            self.failure = error
            raise

    def finish(self) -> None:
        """Stop it and wait for it."""
        self._done.set()
        self.join(2 * PATIENCE)
        assert not self.is_alive(), f"{self.name} still waits for an answer"
        assert self.failure is None
        self.client.close()

    @abstractmethod
    def step(self, number: int) -> None:
        """One write."""

    @abstractmethod
    def verify(self, client: Client) -> None:
        """Hold what it was told against what is there."""

    def ask(self, method: str, path: str, resource: dict[str, Any] | None = None, **headers: str) -> Answer | None:
        """The answer, if it says that it was done."""
        try:
            answer = self.client.send(method, path, resource, **headers)
        except OSError:
            time.sleep(0.02)
            return None
        if answer.status >= 300:
            if answer.status != AWAY or answer.json()["resourceType"] != "OperationOutcome":
                self.wrong.append(f"{self.name}: {method} {path}: {answer.status} {answer.body[:500]!r}")
            time.sleep(0.02)
            return None
        self.told.append(answer.headers["x-request-id"])
        self.acknowledged += 1
        return answer


class Creator(Writer):
    """Creates patients; what is not acknowledged is left alone."""

    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        self.created: dict[str, tuple[str, bytes]] = {}

    def step(self, number: int) -> None:
        value = f"{self.name}-{number}"
        answer = self.ask("POST", "Patient", identified(patient(multipleBirthInteger=number), value))
        if answer:
            assert answer.status == 201
            self.created[value] = (answer.json()["id"], answer.body)

    def verify(self, client: Client) -> None:
        values = [f"{self.name}-{number}" for number in range(1, self.sent + 1)]
        for value, found in zip(values, by_identifier(client, "Patient", values), strict=True):
            assert len(found) <= 1, f"{value} is there {len(found)} times"
            if value in self.created:
                id, body = self.created[value]
                assert [resource["id"] for resource in found] == [id], value
                assert found[0] == json.loads(body)


class Persistent(Writer):
    """Creates each practitioner conditionally, and again until it is told that it is there.  R4: http.html#ccreate"""

    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        self.ids: dict[str, str] = {}

    def step(self, number: int) -> None:
        value = f"{self.name}-{number}"
        while value not in self.ids and not self._done.is_set():
            there = f"identifier={SYSTEM}|{value}"
            practitioner = identified({"resourceType": "Practitioner"}, value)
            answer = self.ask("POST", "Practitioner", practitioner, if_none_exist=there)
            if answer:
                self.ids[value] = answer.json()["id"]

    def verify(self, client: Client) -> None:
        for value, found in zip(self.ids, by_identifier(client, "Practitioner", list(self.ids)), strict=True):
            assert [resource["id"] for resource in found] == [self.ids[value]], value


class Updater(Writer):
    """Writes the next number into one resource, over and over."""

    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        self.versions: dict[int, int] = {}

    def step(self, number: int) -> None:
        answer = self.ask("PUT", f"Observation/{self.name}", numbered(self.name, number))
        if answer:
            assert answer.json()["valueInteger"] == number
            self.versions[answer.version] = number

    def verify(self, client: Client) -> None:
        there = history(client, f"Observation/{self.name}")
        assert list(there) == list(range(1, len(there) + 1)), "the versions have a gap"
        assert {version: there.get(version) for version in self.versions} == self.versions
        numbers = list(there.values())
        assert numbers == sorted(set(numbers)), "a write was done twice, or after a later one"
        assert set(numbers) <= set(range(1, self.sent + 1))


class Transactor(Writer):
    """A patient, a weight of that patient, and the next number in one resource: all three, or none."""

    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        self.done: dict[int, list[str]] = {}

    def step(self, number: int) -> None:
        value = f"{self.name}-{number}"
        weight = identified(observation(subject={"reference": "urn:uuid:p"}), value)
        sent = transaction(
            entry("PUT", f"Observation/{self.name}", numbered(self.name, number)),
            entry("POST", "Observation", weight),
            entry("POST", "Patient", identified(patient(), value), fullUrl="urn:uuid:p"),
        )
        answer = self.ask("POST", "", sent)
        if answer:
            responses = [entry["response"] for entry in answer.json()["entry"]]
            assert [response["status"][:3] for response in responses[1:]] == ["201", "201"]
            self.done[number] = [response["location"].partition("/fhir/")[2] for response in responses[1:]]

    def verify(self, client: Client) -> None:
        values = [f"{self.name}-{number}" for number in range(1, self.sent + 1)]
        counted = set(history(client, f"Observation/{self.name}").values())
        weights = by_identifier(client, "Observation", values)
        patients = by_identifier(client, "Patient", values)
        for number, (weight, owner) in enumerate(zip(weights, patients, strict=True), 1):
            parts = (len(weight), len(owner), int(number in counted))
            assert parts in ((0, 0, 0), (1, 1, 1)), f"{self.name}-{number} by halves: {parts}"
            if number in self.done:
                assert parts == (1, 1, 1), f"{self.name}-{number} is lost"
                assert [version_of(weight[0]), version_of(owner[0])] == self.done[number]
            if owner:
                assert weight[0]["subject"] == {"reference": f"Patient/{owner[0]['id']}"}


class Follower(Writer):
    """Reads what an updater writes: never an older version than was acknowledged before the read was sent."""

    def __init__(self, server: Server, token: str, name: str, updater: Updater):
        super().__init__(server, token, name)
        self._updater = updater
        self.older: list[str] = []

    def step(self, number: int) -> None:
        known = max(list(self._updater.versions), default=0)
        answer = self.ask("GET", f"Observation/{self._updater.name}") if known else None
        if not known:
            time.sleep(0.02)
        if answer and answer.version < known:
            self.older.append(f"read version {answer.version} after {known} was acknowledged")

    def verify(self, client: Client) -> None:
        assert self.older == []


def identified(resource: dict[str, Any], value: str) -> dict[str, Any]:
    return {**resource, "identifier": [{"system": SYSTEM, "value": value}]}


def numbered(id: str, number: int) -> dict[str, Any]:
    return observation(id=id, valueInteger=number)


def version_of(resource: dict[str, Any]) -> str:
    return f"{resource['resourceType']}/{resource['id']}/_history/{resource['meta']['versionId']}"


def by_identifier(client: Client, type: str, values: list[str]) -> list[list[dict[str, Any]]]:
    """For each value the resources that a search by it finds."""
    found = batch(client, [f"{type}?identifier={SYSTEM}|{value}" for value in values])
    assert {entry["response"]["status"] for entry in found} <= {"200 OK"}
    return [[match["resource"] for match in entry["resource"].get("entry", ())] for entry in found]


def history(client: Client, reference: str) -> dict[int, int]:
    """The number in each version of a resource, oldest first; empty if it never was."""
    kept: list[dict[str, Any]] = []
    path = f"{reference}/_history?_count=1000"
    while path:
        answer = client.send("GET", path)
        assert answer.status in (200, 404), answer.body
        page = answer.json()
        kept += [entry["resource"] for entry in page.get("entry", ())]
        onward = [link["url"] for link in page.get("link", ()) if link["relation"] == "next"]
        path = onward[0].partition("/fhir/")[2] if onward else ""
    return {int(resource["meta"]["versionId"]): resource["valueInteger"] for resource in reversed(kept)}


# --- the kills


def kill_server(server: Server) -> None:
    """The master and its workers at once, as the machine's out-of-memory killer or `kill -9 -PGID` would."""
    server.kill()
    server.start()


def kill_mongod(server: Server) -> None:
    """The database alone: the server has to get it back by itself."""
    server.kill_mongod()


def kill_mongod_for_long(server: Server) -> None:
    """The database, which does not come back before clients have to be told so; a worker that starts waits for it."""
    with (server.data_dir / "start.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        server.kill_mongod()
        kill_worker(server)
        time.sleep(8)


def kill_both(server: Server) -> None:
    """As when the power goes."""
    mongod = server.mongod()
    os.killpg(server.pid, signal.SIGKILL)
    os.kill(mongod, signal.SIGKILL)
    server.kill()
    wait_until(lambda: not is_running(mongod))
    server.start()


def kill_worker(server: Server) -> None:
    """One worker: the master starts another, and what the dead one had open is in nobody's way."""
    os.kill(server.workers_of()[0], signal.SIGKILL)


def kill_master(server: Server) -> None:
    """The master alone: its workers leave the port by themselves, and it can be started again."""
    os.kill(server.pid, signal.SIGKILL)
    assert server.process
    server.process.wait()
    wait_until(lambda: not server.members())
    server.start()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server and its data dir, for all of the kills."""
    server = Server(tmp_path_factory.mktemp("survival") / "data")
    try:
        yield server.start()
    finally:
        end(server)


@pytest.fixture(scope="module")
def token(server: Server) -> str:
    """The operator's; it survives too."""
    return server.token()


@pytest.mark.parametrize("kill", [kill_mongod, kill_mongod_for_long, kill_server, kill_both, kill_worker, kill_master])
def test_acknowledged_writes_survive(server: Server, token: str, kill: Callable[[Server], None]) -> None:
    """Every 2xx is kept: once, as told, whole, found by search, and recorded."""
    run = kill.__name__.replace("_", "-")
    updaters = [Updater(server, token, f"{run}-u{number}") for number in range(2)]
    writers: list[Writer] = [
        *updaters,
        *(Creator(server, token, f"{run}-c{number}") for number in range(2)),
        *(Transactor(server, token, f"{run}-t{number}") for number in range(2)),
        Persistent(server, token, f"{run}-p"),
        Follower(server, token, f"{run}-f", updaters[0]),
    ]
    for writer in writers:
        writer.start()
    for _ in range(4 if kill is kill_worker else 1):
        go_on(writers, 5)
        time.sleep(random.uniform(0, 0.2))
        kill(server)
    go_on(writers, 5)
    for writer in writers:
        writer.finish()

    assert [fault for writer in writers for fault in writer.wrong] == []
    client = server.client(token)
    for writer in writers:
        writer.verify(client)
    client.close()
    with open_database(uri=None, data_dir=server.data_dir) as opened, connect(opened.uri) as mongo:
        verify_whole(mongo["fhir"])
        follow(mongo, "fhir", (server.data_dir / "audit.key").read_text())
        verify_recorded(mongo["fhir"], writers)


def go_on(writers: list[Writer], count: int) -> None:
    """Return once each of them has been acknowledged so many times more."""
    before = {writer: writer.acknowledged for writer in writers}
    behind = set(writers)

    def all_have() -> bool:
        behind.difference_update([w for w in behind if w.acknowledged >= before[w] + count])
        return not behind

    try:
        wait_until(all_have)
    except AssertionError:
        stuck = {w.name: (w.acknowledged - before[w], w.wrong[-1:], w.failure) for w in behind}
        raise AssertionError(f"these did not go on: {stuck}") from None


def verify_whole(database: Database[dict[str, Any]]) -> None:
    """The collections agree: versions without gaps, the current one the last, and its index entry that of its bytes."""
    kept: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for version in database["_history"].find().sort("_id", 1):
        kept[version["type"], version["id"]].append(version)
    current = {
        (type, document["_id"]): document
        for type in TYPES
        if type != "AuditEvent"
        for document in database[type].find()
    }
    assert {instance for instance, versions in kept.items() if versions[-1]["body"] is not None} == set(current)
    for instance, versions in kept.items():
        assert [version["version"] for version in versions] == list(range(1, len(versions) + 1)), instance
        moments = [version["updated"] for version in versions]
        assert moments == sorted(set(moments)), instance
        assert [version.get("until") for version in versions] == [*moments[1:], None], instance
    for (type, id), document in current.items():
        last = kept[type, id][-1]
        shared = set(document) - {"_id"}
        assert {name: document[name] for name in shared} == {name: last[name] for name in shared}
        resource = fhir_json.parse(document["body"])
        expected = index_entry(type, resource)
        assert {name: document.get(name) for name in expected} == expected, (type, id)


def verify_recorded(database: Database[dict[str, Any]], writers: list[Writer]) -> None:
    """Each version has one AuditEvent, and each request that was answered with success has one at least."""
    events = [json.loads(document["body"]) for document in database["AuditEvent"].find()]
    requests: Counter[str] = Counter()
    written: Counter[str] = Counter()
    for event in events:
        if event["outcome"] != "0":
            continue
        requests.update(e["what"]["identifier"]["value"] for e in event["entity"] if "identifier" in e.get("what", {}))
        if event["action"] in "CUDE" and event["subtype"][0]["code"] in ("create", "update", "transaction"):
            references = [e["what"]["reference"] for e in event["entity"] if "reference" in e.get("what", {})]
            written.update(reference for reference in references if "/_history/" in reference)
    assert [id for writer in writers for id in writer.told if not requests[id]] == []
    of_clients = {"origin": {"$ne": "carried"}}
    found = database["_history"].find(of_clients, {"body": 0})
    versions = (f"{v['type']}/{v['id']}/_history/{v['version']}" for v in found)
    expected = Counter(versions)
    assert expected - written == Counter()
    # A conditional create that finds the resource has disclosed it, which is recorded too.
    assert [version for version in written - expected if not version.startswith("Practitioner/")] == []
