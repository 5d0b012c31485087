"""Clients of a MongoDB given by URI: what a usable one is, and each thing that makes one unusable, in one line."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote
from uuid import UUID

import pytest
from pymongo import MongoClient
from pymongo.errors import NetworkTimeout, PyMongoError

from fhir_server.fhir.outcome import Unavailable
from fhir_server.storage import mongod, store
from fhir_server.storage.connection import StartError, connect, open_database
from tests.calls import serve
from tests.servers import is_running, wait_until


@contextmanager
def foreign(home: Path, *options: str) -> Iterator[str]:
    """The URI of a mongod that somebody else started, with these options."""
    (home / "db").mkdir()
    program = subprocess.Popen(
        [mongod.find(home), "--dbpath", "db", "--bind_ip", "./db.sock", "--nounixsocket", "--logpath", "log", *options],
        cwd=home,
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: accepts(home / "db.sock"))
        yield f"mongodb://{quote(str(home / 'db.sock'), safe='')}/"
    finally:
        program.kill()
        program.wait()


def accepts(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        return connection.connect_ex(str(path)) == 0


@pytest.fixture
def home() -> Iterator[Path]:
    """A directory whose name is short enough for the address of a socket."""
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


def refusal(uri: str, **options: object) -> str:
    with pytest.raises(StartError) as raised:
        connect(uri, **({"serverSelectionTimeoutMS": 500} | options))
    message = str(raised.value)
    assert "\n" not in message
    assert "secret" not in message
    return message


def test_writes_are_journaled_by_a_majority(mongodb_uri: str) -> None:
    """Whatever the URI says of it."""
    with connect(f"{mongodb_uri}&w=0&journal=false&retryWrites=false&readConcernLevel=local&maxPoolSize=7") as client:
        assert client.write_concern.document == {"w": "majority", "j": True}
        assert client.read_concern.level == "majority"
        assert client.options.retry_writes
        assert client.options.pool_options.max_pool_size == 7


def test_times_and_uuids_come_back_as_they_are(mongodb_uri: str) -> None:
    value = {"_id": UUID(int=7), "at": datetime(2024, 2, 29, 12, 30, tzinfo=UTC)}
    with connect(mongodb_uri) as client:
        client.test_connection.values.replace_one({"_id": value["_id"]}, value, upsert=True)
        found = client.test_connection.values.find_one()
        client.drop_database("test_connection")
    assert found == value
    assert found["at"].tzinfo is not None


def test_a_given_uri_is_used_as_it_is(mongodb_uri: str, tmp_path: Path) -> None:
    with open_database(uri=mongodb_uri, data_dir=tmp_path / "data") as opened:
        assert opened.uri == mongodb_uri
    assert not (tmp_path / "data").exists()
    connect(mongodb_uri).close()


def test_each_worker_has_a_client_of_its_own(mongodb_uri: str) -> None:
    """PyMongo: a client does not survive a fork."""
    children = []
    for number in range(3):
        child = os.fork()
        if child == 0:
            with connect(mongodb_uri) as client:
                client.test_workers.written.insert_one({"_id": number})
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    with connect(mongodb_uri) as client:
        assert client.test_workers.written.count_documents({}) == 3
        client.drop_database("test_workers")


def test_nobody_answers() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        message = refusal(f"mongodb://ines:secret@127.0.0.1:{port}/")
    assert message == f"No MongoDB answers: 127.0.0.1:{port}: [Errno 111] Connection refused."


def test_a_host_that_is_not_there() -> None:
    assert refusal("mongodb://nowhere.invalid/").startswith("No MongoDB answers: nowhere.invalid:27017: ")


@pytest.mark.parametrize(
    "uri", ["http://localhost", "mongodb://", "mongodb://ines:secret@@host/", "mongodb://host:port"]
)
def test_not_a_uri(uri: str) -> None:
    assert refusal(uri).startswith("The MongoDB URI cannot be used: ")


def test_unknown_option_of_the_uri(mongodb_uri: str) -> None:
    """A misspelt option must not pass for a default."""
    assert refusal(f"{mongodb_uri}&maxPoolSise=7") == "The MongoDB URI cannot be used: Unknown option: maxpoolsise."
    assert refusal(f"{mongodb_uri}&maxPoolSize=ten") == (
        "The MongoDB URI cannot be used: The value of maxpoolsize must be an integer."
    )


def test_no_replica_set(home: Path) -> None:
    with foreign(home) as uri:
        assert refusal(uri) == (
            "The MongoDB of the URI is not a member of a replica set, and has no transactions: "
            "start it with --replSet and run rs.initiate()."
        )


def test_replica_set_not_initiated(home: Path) -> None:
    with foreign(home, "--replSet", "theirs") as uri:
        expected = "The replica set of the MongoDB URI is not initiated: run rs.initiate() on it."
        assert refusal(uri) == expected
        assert refusal(f"{uri}?directConnection=true") == expected


def test_user_and_password(home: Path) -> None:
    """MongoDB: the localhost exception lets the first user be made without one."""
    (home / "key").write_text("of one member alone")
    (home / "key").chmod(0o600)
    with foreign(home, "--replSet", "theirs", "--keyFile", "key") as uri:
        with MongoClient(f"{uri}?directConnection=true") as client:
            client.admin.command("replSetInitiate", {"_id": "theirs", "members": [{"_id": 0, "host": "./db.sock"}]})
        make_user(uri, user="ines", password="secret")
        given = uri.replace("//", "//ines:secret@")
        connect(f"{given}?directConnection=true").close()
        wrong = uri.replace("//", "//ines:secreto@")
        assert refusal(f"{wrong}?directConnection=true") == (
            "MongoDB refused the user name or the password of the URI."
        )
        assert refusal(f"{uri}?directConnection=true").startswith("MongoDB asks for a user name and a password")


def make_user(uri: str, *, user: str, password: str) -> None:
    for _ in range(500):
        try:
            with MongoClient(f"{uri}?directConnection=true", serverSelectionTimeoutMS=1000) as client:
                client.admin.command("createUser", user, pwd=password, roles=["readWrite"])
                return
        except PyMongoError as error:
            last = error
            time.sleep(0.02)
    raise AssertionError(last)


def test_an_error_leaves_no_client_open(home: Path) -> None:
    """The refused connection is closed: mongod counts one less."""
    with foreign(home) as uri, MongoClient(uri) as counting:
        counting.admin.command("ping")
        before = counting.admin.command("serverStatus")["connections"]["current"]
        for _ in range(5):
            refusal(uri)
        wait_until(lambda: counting.admin.command("serverStatus")["connections"]["current"] <= before + 1)


@contextmanager
def hung(data_dir: Path) -> Iterator[None]:
    """The mongod of the data dir takes connections, and says nothing."""
    pid = int((data_dir / "mongodb" / "mongod.lock").read_text())
    os.kill(pid, signal.SIGSTOP)
    try:
        # A signal is on its way for a while: one thread of many may still answer.
        wait_until(lambda: all(state(thread) in "TX" for thread in Path(f"/proc/{pid}/task").iterdir()))
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def state(thread: Path) -> str:
    """One letter; proc(5), stat.  X: it has ended meanwhile."""
    try:
        return (thread / "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"


def test_a_store_that_hangs_keeps_nobody_waiting(tmp_path: Path) -> None:
    """R4 http.html#Status-Codes: 503 and never a time-out pile-up; a call ends long before PyMongo's monitor"""
    with (
        open_database(uri=None, data_dir=tmp_path) as opened,
        connect(opened.uri) as patient,
        connect(opened.uri, answer_within_ms=300) as client,
    ):
        served = serve(patient, "hangs")
        with hung(tmp_path):
            began = time.monotonic()
            with pytest.raises(NetworkTimeout):
                client["hangs"]["Patient"].find_one({})
            called = time.monotonic() - began
            ready = served.app.test_client().get("/health/ready")
            asked = time.monotonic() - began - called
        again = served.app.test_client().get("/health/ready")

    assert called < 9
    assert ready.status_code == 503
    assert asked < 9
    assert again.status_code == 200


def test_a_store_that_lost_the_transaction_was_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """R4 http.html#Status-Codes: 503 for what is over by itself; 409 would blame another writer"""
    monkeypatch.setattr(store, "PATIENCE", 0.1)

    def work(unit: store.Unit) -> None:
        unit.meet("a conditional create")
        pid = int((tmp_path / "mongodb" / "mongod.lock").read_text())
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not is_running(pid))

    with (
        open_database(uri=None, data_dir=tmp_path) as opened,
        connect(opened.uri) as client,
        pytest.raises(Unavailable),
    ):
        store.Store(client, "lost").run(work)


def test_the_patience_of_the_uri_goes_first(mongodb_uri: str) -> None:
    """What a URI says is used as given"""
    with connect(f"{mongodb_uri}&socketTimeoutMS=1234", answer_within_ms=5_000) as client:
        assert client.options.pool_options.socket_timeout == 1.234
