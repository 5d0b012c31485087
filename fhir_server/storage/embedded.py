"""The mongod under a data dir: shared by every command that names the directory, ended by the last one to leave.

Two locks, which the kernel releases even after `kill -9`, say who is there: `users.lock` is held, shared, by each
process for as long as it uses the database; `start.lock` is held, alone, while mongod is started or stopped.
docs/decisions/0001-embedded-mongodb.md says why each thing is as it is.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

import pymongo
import structlog
from pymongo.errors import OperationFailure, PyMongoError

from fhir_server.storage import mongod
from fhir_server.storage.mongod import StartError

log = structlog.get_logger(__name__)

# mongod may first have to replay what a crash left in its journal.
_START_SECONDS = 300.0
_STOP_SECONDS = 120.0
_SLOW_SECONDS = 5.0
_PAUSE_SECONDS = 0.02
_LONGEST_RETRY_SECONDS = 30.0
# A journal file grows to 100 MB.
_LEAST_FREE_BYTES = 100_000_000
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
    share = Share(_prepared(data_dir), progress=progress, in_wheel=in_wheel)
    try:
        share.enter()
    except BaseException:
        share.leave()
        raise
    return share


class Share:
    """One process's share in the mongod of a data dir, from `join` to `leave`.  It restarts a mongod that dies."""

    def __init__(self, home: Path, *, progress: Callable[[str], None], in_wheel: Callable[[], Path | None]) -> None:
        self._home = home
        self._dbpath = home / "mongodb"
        self._progress = progress
        self._in_wheel = in_wheel
        self._process = os.getpid()
        self._leaving = threading.Event()
        self._watcher: threading.Thread | None = None
        self._connection: socket.socket | None = None
        self._users = _opened(home / "users.lock", os.O_RDWR | os.O_CREAT)
        self._directory = _opened(home, os.O_RDONLY | os.O_DIRECTORY)
        self._socket = str(home / mongod.SOCKET)
        if len(os.fsencode(self._socket)) > _LONGEST_SOCKET_PATH:
            # The same file by a short name, good in this process and those forked from it.
            self._socket = f"/proc/self/fd/{self._directory}/{mongod.SOCKET}"

    @property
    def uri(self) -> str:
        """Where clients of this process and of those forked from it find the database."""
        return f"mongodb://{quote(self._socket, safe='')}/?directConnection=true"

    def enter(self) -> None:
        """Takes the share: on return the database takes writes, and is watched.  Raises StartError."""
        with self._start_lock():
            first = _locked(self._users, fcntl.LOCK_EX)
            fcntl.flock(self._users, fcntl.LOCK_SH)
            self._connection = self._running(end_sessions=first)
        self._watcher = threading.Thread(target=self._watch, name="mongod-watch", daemon=True)
        self._watcher.start()

    def leave(self) -> None:
        """Gives the share back; the last one stops mongod and waits for it.  Nothing in a forked process, or twice."""
        if os.getpid() != self._process or self._users < 0:
            return
        self._leaving.set()
        if self._connection:
            _hang_up(self._connection)
        if self._watcher:
            self._watcher.join()
        try:
            with self._start_lock():
                if _locked(self._users, fcntl.LOCK_EX):
                    self._stop()
                # Not left to the close: a process forked from this one holds the lock too.
                fcntl.flock(self._users, fcntl.LOCK_UN)
        finally:
            if self._connection:
                self._connection.close()
            os.close(self._users)
            os.close(self._directory)
            self._users = -1

    @contextmanager
    def _start_lock(self) -> Iterator[None]:
        lock = _opened(self._home / "start.lock", os.O_RDWR | os.O_CREAT)
        try:
            wait = _Patience(_START_SECONDS)
            while not _locked(lock, fcntl.LOCK_EX):
                if wait.is_long():
                    self._progress("Waiting for another command that starts or stops MongoDB in this data dir.")
                if wait.is_over():
                    raise StartError(
                        f"Another command is starting or stopping MongoDB in {self._home} and does not end."
                    )
            yield
            fcntl.flock(lock, fcntl.LOCK_UN)
        finally:
            os.close(lock)

    def _running(self, *, end_sessions: bool) -> socket.socket:
        wait = _Patience(_START_SECONDS)
        while True:
            connection = self._connect() or self._started(wait)
            if connection and self._is_primary(connection, wait, end_sessions=end_sessions):
                return connection
            self._check(wait)

    def _check(self, wait: _Patience) -> None:
        if self._leaving.is_set():
            raise StartError("Stopped while MongoDB was starting.")
        if wait.is_over():
            raise StartError(f"MongoDB does not answer; {self._home / 'mongod.log'} may say why.")
        if wait.is_long():
            self._progress(f"MongoDB is still starting; {self._home / 'mongod.log'} says what it does.")

    def _connect(self) -> socket.socket | None:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(self._socket)
            return connection
        except (FileNotFoundError, ConnectionRefusedError):
            connection.close()
            return None
        except OSError as error:
            connection.close()
            raise StartError(f"{self._home / mongod.SOCKET} cannot be opened: {error.strerror}.") from None

    def _started(self, wait: _Patience) -> socket.socket | None:
        """A connection to a mongod started for it; None while ours is busy starting or stopping."""
        if self._own_mongod():
            return None
        try:
            return self._start(wait)
        except DatabaseInUse:
            holder = self._holder()
            if holder and not self._own_mongod():
                raise StartError(f"{self._home} is in use by another program (process {holder}).") from None
            return None

    def _start(self, wait: _Patience) -> socket.socket:
        binary = mongod.find(self._home, in_wheel=self._in_wheel)
        mongod.check_runs(binary)
        self._check_room()
        self._progress("Starting MongoDB.")
        log_file = self._home / "mongod.log"
        if log_file.is_file() and log_file.stat().st_size > _LOG_BYTES:
            log_file.replace(self._home / "mongod.log.1")
        log_start = log_file.stat().st_size if log_file.is_file() else 0
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
                    raise self._failure(written, log_start)
        finally:
            os.close(output)

    def _check_room(self) -> None:
        try:
            self._dbpath.mkdir(mode=0o700, exist_ok=True)
            free = shutil.disk_usage(self._dbpath).free
        except OSError as error:
            raise _refused(error, self._dbpath) from None
        if free < _LEAST_FREE_BYTES:
            raise StartError(
                f"The disk of {self._home} is full: {free // 1_000_000} MB are free, "
                f"MongoDB needs {_LEAST_FREE_BYTES // 1_000_000}."
            )

    def _launch(self, binary: Path) -> int:
        """Starts mongod and gives what it writes before it has its log: a pipe that ends when mongod does."""
        output, written = os.pipe()
        try:
            # A session of its own: Ctrl-C in the terminal is for the command, which stops mongod when it is done.
            subprocess.run(
                ["/bin/sh", "-c", _LAUNCH, "sh", *mongod.arguments(binary, self._dbpath)],
                cwd=self._home,
                stdin=subprocess.DEVNULL,
                stdout=written,
                stderr=written,
                start_new_session=True,
                env=os.environ | mongod.ENVIRONMENT,
                check=False,
            )
        finally:
            os.close(written)
        return output

    def _failure(self, written: bytes, log_start: int) -> StartError:
        text = written.decode(errors="replace")
        log_file = self._home / "mongod.log"
        if log_file.is_file():
            with log_file.open("rb") as lines:
                lines.seek(log_start)
                text += lines.read().decode(errors="replace")
        reason = mongod.why_stopped(text)
        kind = DatabaseInUse if reason == mongod.IN_USE else StartError
        return kind(f"MongoDB did not start in {self._home}: {reason}.")

    def _is_primary(self, connection: socket.socket, wait: _Patience, *, end_sessions: bool) -> bool:
        """Whether mongod became ready for writes; False when it ended before."""
        with closing(pymongo.MongoClient[dict[str, object]](self.uri, serverSelectionTimeoutMS=1000)) as client:
            while not _has_ended(connection):
                try:
                    hello = client.admin.command("hello")
                    if hello.get("isWritablePrimary"):
                        if end_sessions:
                            # A process that was killed leaves its transaction, and the locks of it, for a minute.
                            client.admin.command("killAllSessions", [])
                        return True
                    if hello.get("isreplicaset"):
                        _initiate(client)
                except PyMongoError as error:
                    log.debug("mongod.not_ready", error=str(error))
                self._check(wait)
        connection.close()
        return False

    def _watch(self) -> None:
        # mongod never speaks first: the connection is silent until one of the two ends it.
        while self._connection and not self._leaving.is_set():
            if _hears_silence(self._connection):
                continue
            if self._leaving.is_set():
                return
            log.warning("mongod.ended", data_dir=str(self._home))
            self._connection.close()
            self._connection = self._revived()

    def _revived(self) -> socket.socket | None:
        delay = 0.5
        while not self._leaving.is_set():
            try:
                with self._start_lock():
                    connection = self._running(end_sessions=False)
            except StartError as error:
                log.error("mongod.not_restarted", data_dir=str(self._home), reason=str(error), retry_seconds=delay)
                self._leaving.wait(delay)
                delay = min(delay * 2, _LONGEST_RETRY_SECONDS)
                continue
            log.warning("mongod.restarted", data_dir=str(self._home))
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
        wait = _Patience(_STOP_SECONDS)
        os.kill(pid, signal.SIGTERM)
        while _is_alive(pid):
            if wait.is_long():
                self._progress("Waiting for MongoDB to write its data to disk.")
            if wait.is_over():
                self._progress(f"MongoDB (process {pid}) takes long to stop; it ends by itself.")
                return

    def _holder(self) -> int | None:
        """The process that mongod's own lock file names, if it is alive."""
        try:
            pid = int((self._dbpath / "mongod.lock").read_text())
        except (OSError, ValueError):
            return None
        return pid if _is_alive(pid) else None

    def _own_mongod(self) -> int | None:
        """The process that holds the database and was started by us, listening yet or not."""
        holder = self._holder()
        if not holder:
            return None
        try:
            words = Path(f"/proc/{holder}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return None
        return holder if mongod.MEMBER.encode() in words else None


class _Patience:
    """A wait in small pauses: each question whether it is over takes one."""

    def __init__(self, seconds: float) -> None:
        now = time.monotonic()
        self._end = now + seconds
        self._told = now

    def is_over(self) -> bool:
        time.sleep(_PAUSE_SECONDS)
        return time.monotonic() > self._end

    def is_long(self) -> bool:
        """True once every few seconds, when it is time to say that we wait."""
        now = time.monotonic()
        if now < self._told + _SLOW_SECONDS:
            return False
        self._told = now
        return True


def _prepared(data_dir: Path) -> Path:
    home = Path(os.path.abspath(data_dir))
    try:
        # Health records: nobody else's business.
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _refused(error, home) from None
    if (home / "WiredTiger").exists():
        raise StartError(f"{home} holds the files of another MongoDB; choose another data dir.")
    return home


def _opened(path: Path, flags: int) -> int:
    try:
        return os.open(path, flags | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _refused(error, path.parent if flags & os.O_CREAT else path) from None


def _refused(error: OSError, path: Path) -> StartError:
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return StartError(f"The data dir {path} is not a directory.")
    if error.errno in (errno.EACCES, errno.EPERM):
        return StartError(f"The data dir {path} is not writable by this user.")
    if error.errno == errno.EROFS:
        return StartError(f"The data dir {path} is on a read-only file system.")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StartError(f"The disk of {path} is full.")
    return StartError(f"The data dir {path} cannot be used: {error.strerror}.")


def _locked(lock: int, kind: int) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _initiate(client: pymongo.MongoClient[dict[str, object]]) -> None:
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


def _hears_silence(connection: socket.socket) -> bool:
    """Waits for a byte; False when the other end is gone."""
    try:
        return connection.recv(1) != b""
    except OSError:
        return False


def _has_ended(connection: socket.socket) -> bool:
    return bool(select.select([connection], [], [], 0)[0])


def _peer(connection: socket.socket) -> int:
    pid, _, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return int(pid)


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    # A zombie has let go of its files and its locks; in a container nobody may ever bury it.
    return state not in ("Z", "X")
