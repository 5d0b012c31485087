"""The mongod under a data dir: shared by every command that names the directory, ended by the last one to leave.

docs/decisions/0001-embedded-mongodb.md says why each thing is as it is.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pymongo
import structlog
from pymongo.errors import OperationFailure, PyMongoError

from fhir_server.storage import mongod
from fhir_server.storage.data_dir import DataDir, Patience, locked, prepared, refused
from fhir_server.storage.mongod import StartError

log = structlog.get_logger(__name__)

# mongod may first have to replay what a crash left in its journal.
_START_SECONDS = 300.0
_STOP_SECONDS = 120.0
_DYING_SECONDS = 0.1
_FIRST_RETRY_SECONDS = 0.5
_LONGEST_RETRY_SECONDS = 30.0
_DOOR = "mongod.sock"
_LOG_BYTES = 10_000_000
# sockaddr_un holds 108 bytes, the last of which is zero.
_LONGEST_SOCKET_PATH = 107
_ALREADY_INITIALIZED = 23
_NOT_A_MEMBER = 93
_PIPE_BYTES = 65536

# The shell ends at once, so that mongod is nobody's child: gunicorn takes every child that ends for a worker of its
# own.  mongod inherits the lock on mongod.pid, which therefore tells from its first moment to its last that it lives;
# its own lock file does not, and a second mongod would take the socket from the first before it found the files in use.
# mongod keeps a file open per collection and index; the 1024 that a login shell allows are soon used up.
_LAUNCH = """
umask 077
exec 9<>mongod.pid && PATH="$PATH:/usr/bin:/bin" flock -n 9 || exit 1
ulimit -n 64000 2>/dev/null || ulimit -n "$(ulimit -H -n)"
: >mongod.pid
"$@" &
echo $! >&9
"""


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
        # The directory by a short name, good in this process and those forked from it, where its own is too long.
        room = _LONGEST_SOCKET_PATH - len(f"/{mongod.STARTING_SOCKET}")
        self._base = str(home.path) if len(os.fsencode(home.path)) <= room else f"/proc/self/fd/{self._directory}"
        self._door = f"{self._base}/{_DOOR}"
        self._starting = f"{self._base}/{mongod.STARTING_SOCKET}"

    @property
    def uri(self) -> str:
        """Where clients of this process and of those forked from it find the database."""
        return _uri(self._door)

    def enter(self) -> None:
        """Takes the share: on return the database takes writes, and is watched.  Raises StartError."""
        try:
            with self._start_lock():
                first = locked(self._users, fcntl.LOCK_EX)
                fcntl.flock(self._users, fcntl.LOCK_SH)
                try:
                    self._connection = self._running()
                    if first:
                        self._end_sessions()
                except BaseException:
                    self._give_back()
                    raise
        except OSError as error:
            self._close()
            raise refused(error, self._home.path) from None
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

    def _running(self) -> socket.socket:
        """A connection to a mongod that takes writes, started when there is none.  Raises StartError."""
        wait = Patience(_START_SECONDS)
        while True:
            connection = _connected(self._door)
            if connection:
                return connection
            if self._home.mongod_lives():
                self._admit(wait)
            else:
                self._start(wait)
            self._check(wait)

    def _check(self, wait: Patience) -> None:
        if self._leaving.is_set():
            raise StartError("Stopped while MongoDB was starting.")
        if wait.is_long():
            self._progress(f"MongoDB is still starting; {self._home.log} says what it does.")
        if wait.is_over():
            raise StartError(f"MongoDB does not answer; {self._home.log} may say why.")

    def _start(self, wait: Patience) -> None:
        binary = mongod.find(self._home.path, in_wheel=self._in_wheel)
        self._home.check_room()
        self._progress("Starting MongoDB.")
        log_start = self._log_bytes()
        if log_start > _LOG_BYTES:
            self._home.log.replace(self._home.log.with_suffix(".log.1"))
            log_start = 0
        output = self._launch(binary)
        try:
            if not self._admit(wait):
                raise self._failure(binary, _rest(output), log_start)
        finally:
            os.close(output)

    def _launch(self, binary: Path) -> int:
        """Starts mongod; gives the pipe it writes to before it has its log."""
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
        more = ""
        if self._log_bytes() > log_start:
            more = "; mongod.log there says more"
            with self._home.log.open("rb") as lines:
                lines.seek(log_start)
                written += lines.read()
        reason = mongod.why_stopped(written.decode(errors="replace"))
        if reason == mongod.IN_USE:
            holder = self._home.database_holder()
            which = f" (process {holder})" if holder else ""
            return StartError(f"The data dir {self._home.path} is in use by another program{which}.")
        return StartError(f"MongoDB did not start in the data dir {self._home.path}: {reason}{more}.")

    def _admit(self, wait: Patience) -> bool:
        """Waits until mongod takes writes, then lets clients in; False when it ended before.

        A client that is connected to one member alone sends it writes whatever its state.  Until mongod is primary
        they would fail; so it listens under another name first, and its socket is renamed when it is ready.
        """
        while not _listens(self._starting):
            if not self._home.mongod_lives():
                return False
            self._check(wait)
        with closing(_client(self._starting)) as client:
            while self._home.mongod_lives():
                if _is_primary(client):
                    os.replace(self._starting, self._door)
                    return True
                self._check(wait)
        return False

    def _end_sessions(self) -> None:
        # Nobody else is here: whoever left a transaction open is dead, and it would lock what it wrote for a minute.
        try:
            with closing(_client(self._door)) as client:
                client.admin.command("killAllSessions", [])
        except PyMongoError as error:
            # A mongod that ends at this moment takes them along; the watch starts the next.
            log.debug("mongod.sessions_not_ended", error=str(error))

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
        # A killed process takes a moment to let go of its socket.
        self._leaving.wait(_DYING_SECONDS)
        delay = _FIRST_RETRY_SECONDS
        while not self._leaving.is_set():
            try:
                with self._start_lock():
                    connection = self._running()
            except (StartError, OSError) as error:
                log.error("mongod.not_restarted", reason=str(error), retry_seconds=delay)
                self._leaving.wait(delay)
                delay = min(delay * 2, _LONGEST_RETRY_SECONDS)
                continue
            log.warning("mongod.restarted", data_dir=str(self._home.path))
            return connection
        return None

    def _stop(self) -> None:
        wait = Patience(_STOP_SECONDS)
        told = None
        while self._home.mongod_lives():
            pid = self._home.mongod_pid()
            if pid and pid != told:
                _ask_to_end(pid)
                told = pid
            if wait.is_long():
                self._progress("Waiting for MongoDB to write its data to disk.")
            if wait.is_over():
                self._progress("MongoDB takes long to stop; it will end by itself.")
                return


def _ask_to_end(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError as error:
        log.debug("mongod.gone_before", error=str(error))


def _uri(path: str) -> str:
    return f"mongodb://{quote(path, safe='')}/?directConnection=true"


def _client(path: str) -> pymongo.MongoClient[dict[str, Any]]:
    return pymongo.MongoClient(_uri(path), serverSelectionTimeoutMS=1000)


def _is_primary(client: pymongo.MongoClient[dict[str, Any]]) -> bool:
    try:
        hello = client.admin.command("hello")
        if hello.get("isreplicaset"):
            _initiate(client)
    except PyMongoError as error:
        # Among others: it was initiated before, and has not read yet that it was.
        log.debug("mongod.not_ready", error=str(error))
        return False
    return bool(hello.get("isWritablePrimary"))


def _initiate(client: pymongo.MongoClient[dict[str, Any]]) -> None:
    members = [{"_id": 0, "host": mongod.MEMBER}]
    try:
        client.admin.command("replSetInitiate", {"_id": mongod.REPLICA_SET, "members": members})
    except OperationFailure as error:
        if error.code != _ALREADY_INITIALIZED:
            raise
    try:
        client.admin.command("replSetGetStatus")
    except OperationFailure as error:
        if error.code == _NOT_A_MEMBER:
            raise StartError("The database in this data dir belongs to another replica set.") from None
        raise


def _connected(path: str) -> socket.socket | None:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(path)
    except (FileNotFoundError, ConnectionRefusedError):
        connection.close()
        return None
    except OSError as error:
        connection.close()
        raise StartError(f"{path} cannot be opened: {error.strerror}.") from None
    return connection


def _listens(path: str) -> bool:
    connection = _connected(path)
    if connection:
        connection.close()
    return connection is not None


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


def _rest(output: int) -> bytes:
    os.set_blocking(output, False)
    try:
        return os.read(output, _PIPE_BYTES)
    except BlockingIOError:
        return b""
