"""The directory a command keeps its database in: what lies where, its locks, and why it cannot be used, in one line.

    mongodb/      the files of mongod        mongod.log   what it says        mongod.sock   where it takes clients
    users.lock    held, shared, by every process that uses the database, for as long as it does
    start.lock    held, alone, while mongod is started or stopped
    mongod.pid    held by mongod itself as long as it lives; its number

The kernel lets go of a lock when its process ends, however it ends.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fhir_server.storage.mongod import LOG, MEMBER, StartError

# A journal file grows to 100 MB.
_LEAST_FREE_BYTES = 100_000_000
_PAUSE_SECONDS = 0.02
_SLOW_SECONDS = 5.0


@dataclass(frozen=True)
class DataDir:
    """A data dir that is there and may be written; `prepared` makes it."""

    path: Path

    @property
    def database(self) -> Path:
        """mongod's `--dbpath`."""
        return self.path / "mongodb"

    @property
    def log(self) -> Path:
        """What mongod writes about itself."""
        return self.path / LOG

    def check_room(self) -> None:
        """Raises StartError when the disk has no room for the database to start."""
        try:
            self.database.mkdir(mode=0o700, exist_ok=True)
            free = shutil.disk_usage(self.database).free
        except OSError as error:
            raise refused(error, self.path) from None
        if free < _LEAST_FREE_BYTES:
            raise StartError(
                f"The disk of the data dir {self.path} is full: {free // 1_000_000} MB are free, "
                f"MongoDB needs {_LEAST_FREE_BYTES // 1_000_000}."
            )

    def mongod_lives(self) -> bool:
        """Whether a mongod started for this data dir lives, listening or not.  Asked by who holds `start.lock`."""
        lock = self._open(self.path / "mongod.pid", os.O_RDWR | os.O_CREAT)
        try:
            if not locked(lock, fcntl.LOCK_EX):
                return True
            fcntl.flock(lock, fcntl.LOCK_UN)
            return False
        finally:
            os.close(lock)

    def mongod_pid(self) -> int | None:
        """The number of the mongod that lives, for a signal; None when it is not to be seen from here."""
        pid = _number(self.path / "mongod.pid")
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return None
        return pid if MEMBER.encode() in words else None

    def database_holder(self) -> int | None:
        """The number of the process that mongod's own lock file names, whoever started it."""
        return _number(self.database / "mongod.lock")

    def open_users_lock(self) -> int:
        """The descriptor of `users.lock`, not yet locked."""
        return self._open(self.path / "users.lock", os.O_RDWR | os.O_CREAT)

    def open_directory(self) -> int:
        """A descriptor of the directory itself."""
        return self._open(self.path, os.O_RDONLY | os.O_DIRECTORY)

    @contextmanager
    def start_lock(self, seconds: float, progress: Callable[[str], None]) -> Iterator[None]:
        """Holds `start.lock`.  Raises StartError when another command has not let go of it after so many seconds."""
        lock = self._open(self.path / "start.lock", os.O_RDWR | os.O_CREAT)
        try:
            wait = Patience(seconds)
            while not locked(lock, fcntl.LOCK_EX):
                if wait.is_long():
                    progress("Waiting for another command that starts or stops MongoDB in this data dir.")
                if wait.is_over():
                    raise StartError(f"Another command is starting or stopping MongoDB in {self.path}; try again.")
            try:
                yield
            finally:
                # Not left to the close: a process forked meanwhile holds the lock too.
                fcntl.flock(lock, fcntl.LOCK_UN)
        finally:
            os.close(lock)

    def _open(self, path: Path, flags: int) -> int:
        try:
            return os.open(path, flags | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise refused(error, self.path) from None


class Patience:
    """A wait in small pauses: each time it is asked whether it is over takes one."""

    def __init__(self, seconds: float) -> None:
        now = time.monotonic()
        self._end = now + seconds
        self._told = now

    def is_over(self) -> bool:
        """Whether the time has passed; takes a pause."""
        time.sleep(_PAUSE_SECONDS)
        return time.monotonic() > self._end

    def is_long(self) -> bool:
        """True once every few seconds, when it is time to say that we wait."""
        now = time.monotonic()
        if now < self._told + _SLOW_SECONDS:
            return False
        self._told = now
        return True


def prepared(path: Path) -> DataDir:
    """The data dir at `path`, made when missing.  Raises StartError when it cannot be one."""
    path = Path(os.path.abspath(path))
    try:
        # Health records: other users of the machine have no business in it.
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise refused(error, path) from None
    if (path / "WiredTiger").exists():
        raise StartError(f"The data dir {path} holds the files of another MongoDB; choose another directory.")
    return DataDir(path)


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def locked(lock: int, kind: int) -> bool:
    """Whether the lock could be had at once, shared (`fcntl.LOCK_SH`) or alone (`fcntl.LOCK_EX`)."""
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def refused(error: OSError, path: Path) -> StartError:
    """What the operating system has against this data dir, as one line."""
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return StartError(f"The data dir {path} is not a directory.")
    if error.errno in (errno.EACCES, errno.EPERM):
        return StartError(f"The data dir {path} may not be written by this user.")
    if error.errno == errno.EROFS:
        return StartError(f"The data dir {path} is on a read-only file system.")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StartError(f"The disk of the data dir {path} is full.")
    return StartError(f"The data dir {path} cannot be used: {error.strerror}.")
