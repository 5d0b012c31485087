"""Many clients at once, on the same resources: one of them is first, every other is told, and nobody gets a 5xx."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest

from tests.build import entry, observation, patient, transaction
from tests.servers import Answer, Client, Server, serving

T = TypeVar("T")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Two workers, so that writers meet in the database and not only in a process."""
    with serving(tmp_path_factory.mktemp("races") / "data") as started:
        yield started


@pytest.fixture(scope="module")
def token(server: Server) -> str:
    """The operator's."""
    return server.token()


@pytest.fixture
def client(server: Server, token: str) -> Iterator[Client]:
    """A connection for what is asked before and after."""
    client = server.client(token)
    yield client
    client.close()


@pytest.fixture
def together(server: Server, token: str) -> Callable[[int, Callable[[Client, int], T]], list[T]]:
    """Run the work so many times at once, each with a connection of its own and its number."""

    def run(count: int, work: Callable[[Client, int], T]) -> list[T]:
        at_once = threading.Barrier(count)

        def one(number: int) -> T:
            client = server.client(token)
            try:
                client.send("GET", "metadata")
                at_once.wait(60)
                return work(client, number)
            finally:
                client.close()

        with ThreadPoolExecutor(count) as threads:
            return list(threads.map(one, range(count)))

    return run


def identified(value: str, **changes: Any) -> dict[str, Any]:
    return patient(identifier=[{"system": "urn:race", "value": value}], **changes)


def statuses(answers: list[Answer]) -> Counter[int]:
    return Counter(answer.status for answer in answers)


def resources(client: Client, path: str) -> list[dict[str, Any]]:
    """What a search or a history of one page brings."""
    answer = client.send("GET", path)
    assert answer.status == 200, answer.body
    return [entry["resource"] for entry in answer.json().get("entry", ()) if "resource" in entry]


def versions(client: Client, reference: str) -> list[int]:
    """The versions of a resource, oldest first, as its history has them."""
    kept = resources(client, f"{reference}/_history?_count=1000")
    return [int(resource["meta"]["versionId"]) for resource in reversed(kept)]


@pytest.mark.parametrize("round", range(2))
def test_a_conditional_create_makes_one(client: Client, together: Any, round: int) -> None:
    """R4 http.html#ccreate: 201 for one, 200 and that same resource for everybody else."""
    value = f"ccreate-{round}"
    answers = together(
        32,
        lambda own, number: own.send(
            "POST", "Patient", identified(value, gender="female"), if_none_exist=f"identifier=urn:race|{value}"
        ),
    )

    assert statuses(answers) == {201: 1, 200: 31}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert {answer.version for answer in answers} == {1}
    assert len(resources(client, f"Patient?identifier=urn:race|{value}")) == 1


@pytest.mark.parametrize("round", range(2))
def test_a_conditional_update_makes_one(client: Client, together: Any, round: int) -> None:
    """R4 http.html#cond-update: the first creates, the others update what it created; no update is lost."""
    value = f"cupdate-{round}"
    answers = together(
        32,
        lambda own, number: own.send(
            "PUT", f"Patient?identifier=urn:race|{value}", identified(value, multipleBirthInteger=number)
        ),
    )

    assert statuses(answers) == {201: 1, 200: 31}
    assert sorted(answer.version for answer in answers) == list(range(1, 33))
    [kept] = resources(client, f"Patient?identifier=urn:race|{value}")
    written = {answer.version: answer.json()["multipleBirthInteger"] for answer in answers}
    assert kept["multipleBirthInteger"] == written[32]
    history = resources(client, f"Patient/{kept['id']}/_history?_count=100")
    assert {int(old["meta"]["versionId"]): old["multipleBirthInteger"] for old in history} == written


def test_conditional_creates_in_transactions_make_one(client: Client, together: Any) -> None:
    """R4 http.html#transaction: `ifNoneExist` in an entry; the reference to it leads to the one that is there."""

    def send(own: Client, number: int) -> Answer:
        child = entry(
            "POST", "Patient", identified("family"), fullUrl="urn:uuid:1", ifNoneExist="identifier=urn:race|family"
        )
        weight = observation(identifier=[{"system": "urn:race", "value": f"weight-{number}"}])
        weight["subject"] = {"reference": "urn:uuid:1"}
        return own.send("POST", "", transaction(child, entry("POST", "Observation", weight)))

    answers = together(16, send)

    assert statuses(answers) == {200: 16}
    assert Counter(a.json()["entry"][0]["response"]["status"][:3] for a in answers) == {"201": 1, "200": 15}
    [kept] = resources(client, "Patient?identifier=urn:race|family")
    assert len(resources(client, f"Observation?patient={kept['id']}&_count=100")) == 16


@pytest.mark.parametrize("round", range(2))
def test_the_same_new_id(client: Client, together: Any, round: int) -> None:
    """R4 http.html#upsert: one creates; every other write is a version of its own, none lost and none twice."""
    id = f"same-{round}"
    answers = together(
        16, lambda own, number: own.send("PUT", f"Patient/{id}", patient(id=id, multipleBirthInteger=number))
    )

    assert statuses(answers) == {201: 1, 200: 15}
    assert [answer.version for answer in answers if answer.status == 201] == [1]
    assert sorted(answer.version for answer in answers) == list(range(1, 17))
    assert versions(client, f"Patient/{id}") == list(range(1, 17))


def test_a_counter_under_optimistic_locking(client: Client, together: Any) -> None:
    """R4 http.html#concurrency: a version-aware update loses no other writer's change."""
    threads, each = 8, 8
    assert client.send("PUT", "Patient/counter", patient(id="counter", multipleBirthInteger=0)).status == 201

    def count(own: Client, number: int) -> Counter[int]:
        seen: Counter[int] = Counter()
        while seen[200] < each:
            read = own.send("GET", "Patient/counter")
            changed = patient(id="counter", multipleBirthInteger=read.json()["multipleBirthInteger"] + 1)
            answer = own.send("PUT", "Patient/counter", changed, if_match=read.headers["etag"])
            seen[answer.status] += 1
        return seen

    seen = sum(together(threads, count), Counter())

    assert set(seen) == {200, 412}
    last = client.send("GET", "Patient/counter")
    assert last.json()["multipleBirthInteger"] == threads * each
    assert last.version == threads * each + 1


def test_if_match_lets_one_through(together: Any, client: Client) -> None:
    """R4 http.html#concurrency: of those who read the same version, one writes, the others get 412."""
    assert client.send("PUT", "Patient/once", patient(id="once")).status == 201
    answers = together(16, lambda own, number: own.send("PUT", "Patient/once", patient(id="once"), if_match='W/"1"'))

    assert statuses(answers) == {200: 1, 412: 15}
    assert versions(client, "Patient/once") == [1, 2]


def test_transactions_in_opposite_order(client: Client, together: Any) -> None:
    """R4 http.html#transaction: both happen whole, one after the other; neither waits for the other for ever."""
    names = [f"crossed-{letter}" for letter in "abcdef"]

    def send(own: Client, number: int) -> list[Answer]:
        order = names if number % 2 else list(reversed(names))
        written = [entry("PUT", f"Patient/{id}", patient(id=id, multipleBirthInteger=number)) for id in order]
        return [own.send("POST", "", transaction(*written)) for _ in range(4)]

    answers = [answer for several in together(8, send) for answer in several]

    assert statuses(answers) == {200: 32}
    histories = [resources(client, f"Patient/{id}/_history?_count=100") for id in names]
    orders = {tuple(version["multipleBirthInteger"] for version in history) for history in histories}
    assert len(orders) == 1, "the transactions were not in the same order on every resource"
    assert {versions(client, f"Patient/{id}")[-1] for id in names} == {32}


def test_deleting_and_writing(client: Client, together: Any) -> None:
    """R4 http.html#delete: whoever comes first, the versions have no gap, and the last one says what is there."""

    def send(own: Client, number: int) -> list[Answer]:
        if number % 2:
            return [own.send("DELETE", "Patient/flicker") for _ in range(4)]
        return [own.send("PUT", "Patient/flicker", patient(id="flicker")) for _ in range(4)]

    answers = [answer for several in together(8, send) for answer in several]

    assert set(statuses(answers)) <= {200, 201, 204}
    newest = client.send("GET", "Patient/flicker/_history?_count=100").json()
    kept = [entry["response"]["etag"] for entry in newest["entry"]]
    assert kept == [f'W/"{version}"' for version in range(len(kept), 0, -1)]
    gone = newest["entry"][0]["request"]["method"] == "DELETE"
    assert client.send("GET", "Patient/flicker").status == (410 if gone else 200)
