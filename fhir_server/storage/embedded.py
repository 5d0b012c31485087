"""The mongod under a data dir: shared by every command that names the directory, ended by the last one to leave.

docs/decisions/0001-embedded-mongodb.md says why each thing is as it is.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import socket
import struct
import subprocess
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pymongo
import structlog
from pymongo.errors import OperationFailure, PyMongoError

from fhir_server.storage import mongod
from fhir_server.storage.data_dir import DataDir, Patience, locked, prepared
from fhir_server.storage.mongod import StartError

log = structlog.get_logger(__name__)

# mongod may first have to replay what a crash left in its journal.
_START_SECONDS = 300.0
_STOP_SECONDS = 120.0
_FIRST_RETRY_SECONDS = 0.5
_LONGEST_RETRY_SECONDS = 30.0
_LOG_BYTES = 10_000_000
# sockaddr_un holds 108 bytes, the last of which is zero.
_LONGEST_SOCKET_PATH = 107
_ALREADY_INITIALIZED = 23

# The shell ends at once, so that mongod is nobody's child: gunicorn takes every child that ends for a worker of its
# own.  mongod keeps a file open per collection and index; the 1024 that a login shell allows are soon used up.
_LAUNCH = 'umask 077; ulimit -n 64000 2>/dev/null || ulimit -n "$(ulimit -H -n)"; "$@" &'


class DatabaseInUse(StartError):
    """mongod could not lock its files, for another one holds them."""


def join(
    data_dir: Path,
    *,
    progress: Callable[[str], None],
    in_wheel: Callable[[], Path | None] = mongod.binary_in_wheel,
) -> Share:
    """A share in the running mongod of this data dir, which is started when there is none.

    Raises StartError with one line that says what stands in the way.  `in_wheel` finds the mongod to fall back on.
    """
    share = Share(prepared(data_dir), progress=progress, in_wheel=in_wheel)
    share.enter()
    return share


class Share:
    """One process's share in the mongod of a data dir, from `enter` to `leave`.  It restarts a mongod that dies."""

    def __init__(self, home: DataDir, *, progress: Callable[[str], None], in_wheel: Callable[[], Path | None]) -> None:
        self._home = home
        self._progress = progress
        self._in_wheel = in_wheel
        self._process = os.getpid()
        self._leaving = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="mongod-watch", daemon=True)
        self._connection: socket.socket | None = None
        self._users = home.open_users_lock()
        self._directory = home.open_directory()
        self._socket = str(home.socket)
        if len(os.fsencode(self._socket)) > _LONGEST_SOCKET_PATH:
            # The same file by a short name, good in this process and those forked from it.
            self._socket = f"/proc/self/fd/{self._directory}/{mongod.SOCKET}"

    @property
    def uri(self) -> str:
        """Where clients of this process and of those forked from it find the database."""
        return f"mongodb://{quote(self._socket, safe='')}/?directConnection=true"

    def enter(self) -> None:
        """Takes the share: on return the database takes writes, and is watched.  Raises StartError."""
        try:
            with self._start_lock():
                # Nobody else here means that whoever left a transaction open is dead.
                first = locked(self._users, fcntl.LOCK_EX)
                fcntl.flock(self._users, fcntl.LOCK_SH)
                try:
                    self._connection = self._running(end_sessions=first)
                except BaseException:
                    self._give_back()
                    raise
        except BaseException:
            self._close()
            raise
        self._watcher.start()

    def leave(self) -> None:
        """Gives the share back; the last one stops mongod and waits for it.  Nothing in a forked process, or twice."""
        if os.getpid() != self._process or self._leaving.is_set():
            return
        self._leaving.set()
        if self._connection:
            _hang_up(self._connection)
        self._watcher.join()
        try:
            with self._start_lock():
                self._give_back()
        finally:
            self._close()

    def _start_lock(self) -> AbstractContextManager[None]:
        return self._home.start_lock(_START_SECONDS, self._progress)

    def _give_back(self) -> None:
        if locked(self._users, fcntl.LOCK_EX):
            self._stop()
        # Not left to the close: a process forked from this one holds the lock too.
        fcntl.flock(self._users, fcntl.LOCK_UN)

    def _close(self) -> None:
        if self._connection:
            self._connection.close()
        os.close(self._users)
        os.close(self._directory)

    def _running(self, *, end_sessions: bool) -> socket.socket:
        wait = Patience(_START_SECONDS)
        while True:
            connection = self._connect() or self._started(wait)
            if connection:
                # Closed unless it is handed over.
                with ExitStack() as unless_ready:
                    unless_ready.callback(connection.close)
                    if self._is_primary(connection, wait, end_sessions=end_sessions):
                        unless_ready.pop_all()
                        return connection
            self._check(wait)

    def _check(self, wait: Patience) -> None:
        if self._leaving.is_set():
            raise StartError("Stopped while MongoDB was starting.")
        if wait.is_long():
            self._progress(f"MongoDB is still starting; {self._home.log} says what it does.")
        if wait.is_over():
            raise StartError(f"MongoDB does not answer; {self._home.log} may say why.")

    def _connect(self) -> socket.socket | None:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(self._socket)
        except (FileNotFoundError, ConnectionRefusedError):
            connection.close()
            return None
        except OSError as error:
            connection.close()
            raise StartError(f"{self._home.socket} cannot be opened: {error.strerror}.") from None
        return connection

    def _started(self, wait: Patience) -> socket.socket | None:
        """A connection to a mongod started for it; None while ours is busy starting or stopping."""
        if self._own_mongod():
            return None
        try:
            return self._start(wait)
        except DatabaseInUse:
            holder = self._holder()
            if holder and not self._own_mongod():
                raise StartError(
                    f"The data dir {self._home.path} is in use by another program (process {holder})."
                ) from None
            return None

    def _start(self, wait: Patience) -> socket.socket:
        binary = mongod.find(self._home.path, in_wheel=self._in_wheel)
        self._home.check_room()
        self._progress("Starting MongoDB.")
        log_start = self._log_bytes()
        if log_start > _LOG_BYTES:
            self._home.log.replace(self._home.log.with_suffix(".log.1"))
            log_start = 0
        output = self._launch(binary)
        written = b""
        try:
            while True:
                connection = self._connect()
                if connection:
                    return connection
                self._check(wait)
                if not select.select([output], [], [], 0)[0]:
                    continue
                chunk = os.read(output, 65536)
                written += chunk
                if not chunk:
                    raise self._failure(binary, written, log_start)
        finally:
            os.close(output)

    def _launch(self, binary: Path) -> int:
        """Starts mongod and gives what it writes before it has its log: a pipe that ends when mongod does."""
        output, written = os.pipe()
        try:
            # A session of its own: Ctrl-C in the terminal is for the command, which stops mongod when it is done.
            subprocess.run(
                ["/bin/sh", "-c", _LAUNCH, "sh", *mongod.arguments(binary, self._home.database)],
                cwd=self._home.path,
                stdin=subprocess.DEVNULL,
                stdout=written,
                stderr=written,
                start_new_session=True,
                env=os.environ | mongod.ENVIRONMENT,
                check=False,
            )
        except OSError as error:
            os.close(output)
            raise StartError(f"MongoDB cannot be started: {error.strerror}.") from None
        finally:
            os.close(written)
        return output

    def _log_bytes(self) -> int:
        return self._home.log.stat().st_size if self._home.log.is_file() else 0

    def _failure(self, binary: Path, written: bytes, log_start: int) -> StartError:
        mongod.check_runs(binary)
        if self._log_bytes() > log_start:
            with self._home.log.open("rb") as lines:
                lines.seek(log_start)
                written += lines.read()
        reason = mongod.why_stopped(written.decode(errors="replace"))
        kind = DatabaseInUse if reason == mongod.IN_USE else StartError
        return kind(f"MongoDB did not start in the data dir {self._home.path}: {reason}; mongod.log there says more.")

    def _is_primary(self, connection: socket.socket, wait: Patience, *, end_sessions: bool) -> bool:
        """Whether mongod came to take writes; False when it ended before."""
        with closing(pymongo.MongoClient[dict[str, Any]](self.uri, serverSelectionTimeoutMS=1000)) as client:
            while not _has_ended(connection):
                try:
                    hello = client.admin.command("hello")
                    if hello.get("isWritablePrimary"):
                        if end_sessions:
                            # A process that was killed leaves its transaction, and what it locks, for a minute.
                            client.admin.command("killAllSessions", [])
                        return True
                    if hello.get("isreplicaset"):
                        _initiate(client)
                except PyMongoError as error:
                    log.debug("mongod.not_ready", error=str(error))
                self._check(wait)
        return False

    def _watch(self) -> None:
        # mongod never speaks first: the connection is silent until one of the two ends it.
        while self._connection and not self._leaving.is_set():
            if _hears(self._connection):
                continue
            if self._leaving.is_set():
                return
            log.warning("mongod.ended", data_dir=str(self._home.path))
            self._connection.close()
            self._connection = self._revived()

    def _revived(self) -> socket.socket | None:
        delay = _FIRST_RETRY_SECONDS
        while not self._leaving.is_set():
            try:
                with self._start_lock():
                    connection = self._running(end_sessions=False)
            except StartError as error:
                log.error("mongod.not_restarted", reason=str(error), retry_seconds=delay)
                self._leaving.wait(delay)
                delay = min(delay * 2, _LONGEST_RETRY_SECONDS)
                continue
            log.warning("mongod.restarted", data_dir=str(self._home.path))
            return connection
        return None

    def _stop(self) -> None:
        connection = self._connect()
        pid = self._own_mongod()
        if connection:
            pid = _peer(connection)
            connection.close()
        if not pid:
            return
        os.kill(pid, signal.SIGTERM)
        wait = Patience(_STOP_SECONDS)
        while _is_alive(pid):
            if wait.is_long():
                self._progress("Waiting for MongoDB to write its data to disk.")
            if wait.is_over():
                self._progress(f"MongoDB (process {pid}) takes long to stop; it will end by itself.")
                return

    def _holder(self) -> int | None:
        """The process that mongod's own lock file names, if it is alive."""
        try:
            pid = int((self._home.database / "mongod.lock").read_text())
        except (OSError, ValueError):
            return None
        return pid if _is_alive(pid) else None

    def _own_mongod(self) -> int | None:
        """The process that holds the database and was started as we start it, listening yet or not."""
        holder = self._holder()
        if not holder:
            return None
        try:
            words = Path(f"/proc/{holder}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return None
        return holder if mongod.MEMBER.encode() in words else None


def _initiate(client: pymongo.MongoClient[dict[str, Any]]) -> None:
    members = [{"_id": 0, "host": mongod.MEMBER}]
    try:
        client.admin.command("replSetInitiate", {"_id": mongod.REPLICA_SET, "members": members})
    except OperationFailure as error:
        if error.code != _ALREADY_INITIALIZED:
            raise


def _hang_up(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError as error:
        log.debug("mongod.gone_before", error=str(error))


def _hears(connection: socket.socket) -> bool:
    """Waits for a byte; False when there will be none."""
    try:
        return connection.recv(1) != b""
    except OSError:
        return False


def _has_ended(connection: socket.socket) -> bool:
    return bool(select.select([connection], [], [], 0)[0])


def _peer(connection: socket.socket) -> int:
    pid, _, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return int(pid)


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    # A zombie has let go of its files and its locks; in a container nobody may ever bury it.
    return state not in ("Z", "X")
