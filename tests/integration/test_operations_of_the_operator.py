"""The commands as an operator types them: a mistake is one line, and what was started ends with what started it."""

from __future__ import annotations

import signal
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from fhir_server.storage import mongod
from fhir_server.storage.connection import connect, open_database
from tests.build import entry, patient, transaction
from tests.servers import COMMAND, PATIENCE, Server, end, environ, free_port, is_running, run, serving, wait_until

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
SERVE = ("serve", "--port")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that runs beside the commands that are tried."""
    with serving(tmp_path_factory.mktemp("operator") / "data", workers=1) as started:
        yield started


@pytest.fixture
def stopped(tmp_path: Path) -> Iterator[Server]:
    """A server that is not started yet, on a data dir of its own."""
    server = Server(tmp_path / "data", workers=1)
    yield server
    end(server)


def refusal(*arguments: object, **settings: str) -> str:
    """The one line that the command fails with."""
    ran = run(*arguments, **settings)
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert ran.stdout == ""
    [line] = ran.stderr.splitlines()
    assert line.startswith("fhir-server: ")
    return line.removeprefix("fhir-server: ")


# --- mistakes


def test_a_taken_port(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        said = refusal(*SERVE, port, "--data-dir", tmp_path / "data")
    assert said == f"127.0.0.1:{port} is in use; choose another with --port."
    assert not (tmp_path / "data").exists()


def test_a_host_that_is_not_of_this_machine(tmp_path: Path) -> None:
    said = refusal(*SERVE, free_port(), "--host", "192.0.2.1", "--data-dir", tmp_path / "data")
    assert "cannot be listened on" in said


def test_no_workers_at_all(tmp_path: Path) -> None:
    """The usage, one line that names the argument, exit code 2, and nothing started."""
    ran = run("serve", "--workers", "0", "--data-dir", tmp_path / "data")
    assert ran.returncode == 2
    assert ran.stderr.splitlines()[-1] == "fhir-server serve: error: argument --workers: 0 workers answer nobody"
    assert not (tmp_path / "data").exists()


def test_a_data_dir_that_is_a_file(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    assert refusal(*SERVE, free_port(), "--data-dir", file) == f"The data dir {file} is not a directory."


def test_a_setting_that_is_not_known(tmp_path: Path) -> None:
    said = refusal(*SERVE, free_port(), "--data-dir", tmp_path / "data", mongo_uri="mongodb://db")
    assert said.startswith("Unknown setting FHIR_SERVER_MONGO_URI; known: FHIR_SERVER_AUDIT_ANCHORS, ")
    assert "FHIR_SERVER_MONGODB_URI" in said


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("max_count", "many"),
        ("log_level", "LOUD"),
    ],
)
def test_a_setting_with_a_bad_value(tmp_path: Path, setting: str, value: str) -> None:
    said = refusal(*SERVE, free_port(), "--data-dir", tmp_path / "data", **{setting: value})
    assert said.startswith(f"FHIR_SERVER_{setting.upper()}='{value}': ")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--scope", "patient/Patient.x", "--patient", "p"), "`patient/Patient.x` is not a scope: "),
        (("--scope", "patient/*.rs", "--patient", "Patient/nobody"), "Patient/nobody is not known."),
        (("--scope", "system/*.rs", "--patient", "nobody"), "A system/ scope is the operator's"),
        (("--scope", "patient/*.rs"), "A patient/ scope needs --patient."),
        (("--scope", "patient/*.rs", "--patient", "nobody"), "Patient/nobody is not known."),
        (
            ("--scope", "user/*.rs", "--practitioner", "d", "--mode", "bris_de_glace", "--reason", "x"),
            "An emergency is of one professional in one record: --practitioner and --patient.",
        ),
        (
            ("--scope", "user/*.rs", "--practitioner", "d", "--patient", "p", "--mode", "centre_15", "--reason", " "),
            "--reason is needed",
        ),
        (
            ("--scope", "user/*.rs", "--practitioner", "d", "--patient", "p", "--mode", "centre_15")
            + ("--reason", "life-threat: Malaise au travail", "--ttl", "3601"),
            "--ttl 3601: an emergency access lasts from one second to 3600.",
        ),
    ],
)
def test_a_token_that_cannot_be(server: Server, arguments: tuple[str, ...], said: str) -> None:
    assert refusal("token", *arguments, "--data-dir", server.data_dir).startswith(said)


def test_nothing_to_load_starts_nothing(tmp_path: Path) -> None:
    assert refusal("load", tmp_path / "gone", "--data-dir", tmp_path / "data").endswith("no such file or folder")
    assert not (tmp_path / "data").exists()


def test_an_address_outside_of_the_api(server: Server) -> None:
    """A program gets FHIR; a browser, which cannot show it, a page"""
    place = server.base.removesuffix("/fhir") + "/nothing"
    program, browser = (requests.get(place, headers={"Accept": each}, timeout=PATIENCE) for each in ("*/*", BROWSER))
    assert (program.status_code, browser.status_code) == (404, 404)
    assert program.json()["resourceType"] == "OperationOutcome"
    assert browser.headers["Content-Type"] == "text/html; charset=utf-8" and "/fhir" in browser.text


def test_a_mongodb_that_does_not_answer(tmp_path: Path) -> None:
    port = free_port()
    uri = f"mongodb://127.0.0.1:{port}/?serverSelectionTimeoutMS=300"
    said = refusal(*SERVE, free_port(), "--data-dir", tmp_path / "data", mongodb_uri=uri)
    assert said.startswith("No MongoDB answers")
    assert f"127.0.0.1:{port}" in said
    assert not (tmp_path / "data").exists()


def test_a_mongodb_uri_that_is_none(tmp_path: Path) -> None:
    said = refusal("token", "--scope", "system/*.r", mongodb_uri="mongo://db:hunter2@host")
    assert said.startswith("The MongoDB URI cannot be used: ")
    assert "hunter2" not in said


@pytest.fixture
def standalone(tmp_path: Path) -> Iterator[str]:
    """The URI of a mongod that is not a member of a replica set."""
    (tmp_path / "standalone").mkdir()
    port = free_port()
    process = subprocess.Popen(
        [mongod.find(tmp_path), "--dbpath", tmp_path / "standalone", "--bind_ip", "127.0.0.1", "--port", str(port)],
        stdout=subprocess.DEVNULL,
    )
    yield f"mongodb://127.0.0.1:{port}/"
    process.kill()
    process.wait()


def test_a_mongodb_without_transactions(tmp_path: Path, standalone: str) -> None:
    said = refusal(*SERVE, free_port(), "--data-dir", tmp_path / "data", mongodb_uri=standalone)
    assert said == (
        "The MongoDB of the URI is not a member of a replica set, and has no transactions: "
        "start it with --replSet and run rs.initiate()."
    )


# --- starting and stopping


def test_ctrl_c_stops_everything(stopped: Server) -> None:
    """A terminal sends it to the workers too."""
    server = stopped.start()
    database = server.mongod()
    assert server.process
    server.interrupt()

    assert server.process.wait(PATIENCE) in (0, 130)
    nothing_is_left(server, database)


def test_sigterm_lets_what_is_under_way_end(stopped: Server) -> None:
    """As an init system stops it: the transaction that is being written is answered, then everything ends."""
    server = stopped.start()
    database = server.mongod()
    client = server.client(server.token())
    many = transaction(*(entry("POST", "Patient", patient()) for _ in range(1000)))
    assert server.process
    with ThreadPoolExecutor(1) as pool:
        with open_database(uri=None, data_dir=server.data_dir) as opened, connect(opened.uri) as mongo:
            sent = pool.submit(client.send, "POST", "", many)
            wait_until(lambda: sent.done() or mongo.admin.command("serverStatus")["transactions"]["currentOpen"])
        server.process.terminate()
        answer = sent.result()
    client.close()

    assert answer.status == 200
    assert len(answer.json()["entry"]) == 1000
    assert server.process.wait(PATIENCE) == 0
    nothing_is_left(server, database)


def nothing_is_left(server: Server, database: int) -> None:
    assert server.members() == []
    assert not is_running(database)
    assert server.mongod() == 0, "mongod did not end cleanly"
    assert "Traceback" not in server.said()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_it_starts(tmp_path: Path, number: signal.Signals) -> None:
    """No mongod is left behind."""
    data_dir = tmp_path / "data"
    process = subprocess.Popen(
        [*COMMAND, *SERVE, str(free_port()), "--data-dir", str(data_dir)],
        env=environ(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    wait_until((data_dir / "mongodb" / "journal").exists)
    process.send_signal(number)
    _, said = process.communicate(timeout=PATIENCE)

    assert process.returncode in (0, 128 + number)
    assert "Traceback" not in said
    lock = data_dir / "mongodb" / "mongod.lock"
    wait_until(lambda: not lock.read_text().strip() or not is_running(int(lock.read_text())))


def test_the_first_leaves_and_the_second_goes_on(stopped: Server) -> None:
    """Several commands may share one data dir; one that leaves takes nothing from the others."""
    first = stopped.start()
    database = first.mongod()
    with serving(first.data_dir, workers=1) as second:
        token = first.token()
        assert first.stop() == 0
        assert second.mongod() == database
        assert is_running(database)
        client = second.client(token)
        assert client.send("PUT", "Patient/a", patient(id="a")).status == 201
        client.close()

        assert second.stop() == 0
        nothing_is_left(second, database)


def test_commands_that_start_together_prepare_one_database(tmp_path: Path) -> None:
    """docs/decisions/0001: several commands may share one data dir, from their first moment on"""
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: run("token", "--scope", "system/*.r", "--data-dir", tmp_path / "d"), range(4)))

    assert [each.returncode for each in made] == [0, 0, 0, 0], [each.stderr for each in made]
    assert len({each.stdout for each in made}) == 4
