"""A server of its own, as its operator runs it: `python -m fhir_server serve` on a free port, and a client of it."""

from __future__ import annotations

import base64
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

COMMAND = (sys.executable, "-m", "fhir_server")
ROOT = Path(__file__).resolve().parent.parent
#: How many seconds whatever should happen is waited for: it says how busy a machine may be, and nothing of the code.
PATIENCE = 120


def environ(**settings: str) -> dict[str, str]:
    """The environment of a command: no setting but these, given as `mongodb_uri="…"`."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith("FHIR_SERVER_")}
    named = {f"FHIR_SERVER_{name.upper()}": value for name, value in settings.items()}
    return bare | named | {"PYTHONPATH": str(ROOT)}


def run(*arguments: object, seconds: float = PATIENCE, **settings: str) -> subprocess.CompletedProcess[str]:
    """A command that ends by itself, ended."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        env=environ(**settings),
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(holds: Callable[[], Any], seconds: float = PATIENCE) -> None:
    """Return once it holds; AssertionError if it never does."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    """Whether there is such a process, and it has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


@dataclass(frozen=True)
class Answer:
    """What came back: the header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)

    @property
    def version(self) -> int:
        """The version in the ETag.  R4: http.html#versioning"""
        return int(self.headers["etag"].removeprefix('W/"').removesuffix('"'))


class Unanswered(OSError):
    """The connection ended before the answer: nobody knows whether the request was done."""


class Client:
    """One connection, made again when it breaks; nothing is ever sent twice.  For one thread."""

    def __init__(self, port: int, token: str):
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        self._headers = {"Authorization": f"Bearer {token}", "Accept": "application/fhir+json"}

    def send(self, method: str, path: str, resource: dict[str, Any] | None = None, **headers: str) -> Answer:
        """The answer to a request under `/fhir`; headers by name, `if_match="…"`.  Raises Unanswered."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        body = None if resource is None else json.dumps(resource).encode()
        if body is not None:
            named.setdefault("Content-Type", "application/fhir+json")
        try:
            self._connection.request(method, f"/fhir/{path}".rstrip("/"), body, self._headers | named)
            response = self._connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise Unanswered(f"{method} {path}: {error!r}") from error
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, content)

    def close(self) -> None:
        """End the connection."""
        self._connection.close()


@dataclass
class Server:
    """A server process with its workers, in a process group of its own, and the mongod of its data dir."""

    data_dir: Path
    port: int = field(default_factory=free_port)
    workers: int = 2
    command: str = "serve"
    settings: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[str] | None = None

    @property
    def base(self) -> str:
        """The FHIR base URL."""
        return f"http://127.0.0.1:{self.port}/fhir"

    @property
    def pid(self) -> int:
        """The master's process."""
        assert self.process
        return self.process.pid

    def start(self) -> Server:
        """Return once it answers.  AssertionError with what it said if it ends instead."""
        workers = ("--workers", str(self.workers)) if self.command == "serve" else ()
        said = self.data_dir.with_suffix(".said")
        with said.open("a") as output:
            self.process = subprocess.Popen(
                [*COMMAND, self.command, "--port", str(self.port), *workers, "--data-dir", str(self.data_dir)],
                env=environ(**self.settings),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                text=True,
            )
        # `demo` loads the record first.
        wait_until(lambda: self.process.poll() is not None or self.is_ready(), 2 * PATIENCE)
        assert self.process.poll() is None, said.read_text()
        return self

    def is_ready(self) -> bool:
        """Whether a worker answers, and the store answers it."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", "/health/ready")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def said(self) -> str:
        """What it has written to its standard output and error."""
        return self.data_dir.with_suffix(".said").read_text()

    def token(self, scope: str = "system/*.cruds", *arguments: str) -> str:
        """A token, as the operator gets one beside the running server."""
        made = run("token", "--scope", scope, *arguments, "--data-dir", self.data_dir, **self.settings)
        assert made.returncode == 0, made.stderr
        return made.stdout.strip()

    def client(self, token: str) -> Client:
        """A connection to it."""
        return Client(self.port, token)

    def mongod(self) -> int:
        """The process of its mongod, by mongod's own lock file; 0 when it has been stopped."""
        return int((self.data_dir / "mongodb" / "mongod.lock").read_text() or 0)

    def workers_of(self) -> list[int]:
        """The worker processes that run."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [pid for pid in map(int, children) if is_running(pid)]

    def members(self) -> list[int]:
        """Every process of its group that runs: the master, and workers that may have outlived it."""
        return [pid for pid in _processes() if is_running(pid) and _group(pid) == self.pid]

    def interrupt(self, number: int = signal.SIGINT) -> None:
        """The signal to the whole group, as a terminal sends Ctrl-C."""
        os.killpg(self.pid, number)

    def kill(self) -> None:
        """SIGKILL to the master and its workers at once."""
        os.killpg(self.pid, signal.SIGKILL)
        assert self.process
        self.process.wait()
        wait_until(lambda: not self.members())

    def kill_mongod(self) -> None:
        """SIGKILL to its mongod."""
        pid = self.mongod()
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not is_running(pid))

    def stop(self) -> int:
        """SIGTERM, as an init system sends it; the exit code."""
        assert self.process
        self.process.terminate()
        return self.process.wait(PATIENCE)


@contextmanager
def serving(data_dir: Path, **changes: Any) -> Iterator[Server]:
    """A started server; at the end neither it nor its mongod is there, whatever happened."""
    server = Server(data_dir, **changes)
    try:
        yield server.start()
    finally:
        end(server)


def end(server: Server) -> None:
    """Leave no process of this server behind."""
    if server.process and server.process.poll() is None:
        server.kill()
    lock = server.data_dir / "mongodb" / "mongod.lock"
    if lock.is_file() and (pid := server.mongod()) and is_running(pid):
        server.kill_mongod()


def batch(client: Client, paths: list[str]) -> list[dict[str, Any]]:
    """What each read or search comes to, asked for by the hundred.  R4: http.html#transaction"""
    found: list[dict[str, Any]] = []
    for start in range(0, len(paths), 100):
        entries = [{"request": {"method": "GET", "url": path}} for path in paths[start : start + 100]]
        answer = client.send("POST", "", {"resourceType": "Bundle", "type": "batch", "entry": entries})
        assert answer.status == 200, answer.body
        found += answer.json()["entry"]
    return found


def asked_of(audit_event: dict[str, Any]) -> str:
    """The request that an AuditEvent is of, `METHOD /path?query`."""
    query = next(entity["query"] for entity in audit_event["entity"] if "query" in entity)
    return base64.b64decode(query).decode()


def _processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _group(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except OSError:
        return 0
