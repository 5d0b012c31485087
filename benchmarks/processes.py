"""The programs under measure, started as their user would start them, and what they weigh."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load import BenchError

BIN = Path(sys.executable).parent
HOST = "127.0.0.1"
READY_LIMIT_SECONDS = 60
STOP_LIMIT_SECONDS = 30


@dataclass(frozen=True)
class Running:
    """A web server that answers; `seconds` is what it took from its start to ready."""

    name: str
    process: subprocess.Popen[bytes]
    address: tuple[str, int]
    seconds: float

    def stop(self) -> None:
        """End it as an operator would; kill it when it does not end."""
        if self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        return int(sock.getsockname()[1])


def last_line(log: Path) -> str:
    """The last line that a program wrote: usually the one that says why it ended."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else "it said nothing"


def _installed(command: list[str]) -> None:
    if not Path(command[0]).exists():
        raise BenchError(f"{command[0]} is not installed: `pip install -e .` in the environment of the benchmarks")


def start(name: str, command: list[str], *, port: int, log: Path, env: dict[str, str]) -> Running:
    """Start a web server and wait until `/health/ready` answers 200.  Raises BenchError if it ends before."""
    began = time.perf_counter()
    _installed(command)
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, env={**os.environ, **env}
        )
    while not _ready(port):
        if process.poll() is not None:
            raise BenchError(f"{name} did not start (exit {process.returncode}): {last_line(log)}")
        if time.perf_counter() - began > READY_LIMIT_SECONDS:
            process.kill()
            raise BenchError(f"{name} was not ready within {READY_LIMIT_SECONDS} s: {last_line(log)}")
        time.sleep(0.02)
    return Running(name, process, (HOST, port), time.perf_counter() - began)


def _ready(port: int) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    try:
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def run(command: list[str], *, log: Path, env: dict[str, str]) -> tuple[str, float]:
    """What the command printed and how long it took.  Raises BenchError with its last line if it fails."""
    began = time.perf_counter()
    _installed(command)
    with log.open("wb") as err:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=err,
            env={**os.environ, **env},
            check=False,
        )
    seconds = time.perf_counter() - began
    said = done.stdout.decode(errors="replace")
    if done.returncode:
        if not log.stat().st_size:
            log.write_bytes(done.stdout)
        raise BenchError(f"`{' '.join(command[:2])}` failed (exit {done.returncode}): {last_line(log)}")
    return said, seconds


def worker_megabytes(root: int) -> float:
    """Resident memory, in MB, of the heaviest worker: the processes below `root` that have no children, less mongod."""
    children: dict[int, list[int]] = {}
    resident: dict[int, float] = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            stat, statm = (folder / "stat").read_text(), (folder / "statm").read_text()
        except OSError:  # it ended meanwhile
            continue
        name, rest = stat.partition("(")[2].rpartition(")")[::2]
        if name == "mongod":
            continue
        pid = int(folder.name)
        children.setdefault(int(rest.split()[1]), []).append(pid)
        resident[pid] = int(statm.split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    family, queue = [], list(children.get(root, []))
    while queue:
        pid = queue.pop()
        family.append(pid)
        queue += children.get(pid, [])
    workers = [pid for pid in family if pid not in children] or [root]
    return max(resident[pid] for pid in workers)
