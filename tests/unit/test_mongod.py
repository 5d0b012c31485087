"""The program mongod, as far as it can be told without starting one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fhir_server.storage import mongod
from fhir_server.storage.mongod import StartError


def line(severity: str, message: str, error: str = "") -> str:
    """A line of mongod's log (MongoDB 6.0: reference/log-messages)."""
    return f'{{"t":{{}},"s":"{severity}",  "c":"STORAGE","id":1,"msg":"{message}","attr":{{"error":"{error}"}}}}'


@pytest.mark.parametrize(
    ("library", "remedy"),
    [
        ("libcurl.so.4", "it needs libcurl.so.4; `apt-get install libcurl4` brings it"),
        ("libssl.so.3", "it needs libssl.so.3; `apt-get install libssl3` brings it"),
        ("libcrypto.so.3", "it needs libcrypto.so.3; `apt-get install libssl3` brings it"),
        ("libnever.so.1", "it needs libnever.so.1; install the package that brings it"),
    ],
)
def test_a_missing_library_is_named_with_its_package(library: str, remedy: str) -> None:
    """Debian 12 splits OpenSSL 3 and curl as libssl3 and libcurl4."""
    said = f"mongod: error while loading shared libraries: {library}: cannot open shared object file: No such file"
    assert mongod.why_not_run(127, said) == remedy


@pytest.mark.parametrize(
    ("exit_code", "said", "reason"),
    [
        (0, "db version v6.0.5", None),
        (-4, "", "this processor lacks AVX instructions, which MongoDB 5.0 and later need"),
        (
            1,
            "mongod: /lib/libc.so.6: version `GLIBC_2.35' not found (required by mongod)",
            "it was built for a newer Linux than this one",
        ),
        (3, "something\nlast words\n", "last words"),
        (3, "", "it ended with code 3"),
    ],
)
def test_why_the_program_does_not_run(exit_code: int, said: str, reason: str | None) -> None:
    assert mongod.why_not_run(exit_code, said) == reason


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (
            line("E", "DBException in initAndListen, terminating", "DBPathInUse: Unable to lock the lock file"),
            "another program uses its database",
        ),
        (line("E", "WiredTiger error message", "28: No space left on device"), "the disk is full"),
        (line("F", "WiredTiger error", "__posix_fs_open: Read-only file system"), "the file system is read-only"),
        (line("E", "WiredTiger error", "open: Permission denied"), "its files may not be written by this user"),
        (
            line("F", "UPGRADE PROBLEM: Found an invalid featureCompatibilityVersion document"),
            "its data was written by another version of MongoDB",
        ),
        (line("E", "WiredTiger error", "WT_TRY_SALVAGE: database corruption"), "its data files are damaged"),
        (
            'Error opening log file; "mongod.log": No space left on device',
            "the disk is full",
        ),
        (
            line("I", "Setting featureCompatibilityVersion")
            + "\n"
            + line("F", "Failed to  set up", "no room")
            + "\n"
            + line("F", "Fatal assertion")
            + "\n"
            + line("F", "\\n\\n***aborting after fassert() failure\\n\\n"),
            "Failed to set up no room",
        ),
        ('{"s":"E" this line was cut', '{"s":"E" this line was cut'),
        (line("I", "Permission denied, in passing"), "it gave no reason"),
        ("", "it gave no reason"),
    ],
)
def test_why_it_stopped(said: str, reason: str) -> None:
    assert mongod.why_stopped(said) == reason


def test_a_detail_that_is_an_object() -> None:
    said = '{"s":"F","msg":"Unable to start","attr":{"error":{"code":8,"errmsg":"one thing"}}}'
    assert mongod.why_stopped(said) == "Unable to start one thing"


def test_the_one_on_path_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "mongod"
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert mongod.find(tmp_path, in_wheel=lambda: Path("/elsewhere")) == program


def test_a_wheel_that_lost_its_binary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StartError, match="No mongod found"):
        mongod.find(tmp_path, in_wheel=lambda: tmp_path / "gone")


def test_a_wheel_without_run_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some installers drop the mode of a file."""
    monkeypatch.setenv("PATH", "")
    carried = tmp_path / "carried"
    carried.touch(mode=0o644)
    assert mongod.find(tmp_path, in_wheel=lambda: carried) == carried
    assert os.access(carried, os.X_OK)


def test_a_wheel_of_another_user_without_run_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mode cannot be changed: a copy in the data dir is run, and made once."""

    def refuse(path: Path, mode: int) -> None:
        if path == carried:
            raise PermissionError
        os.chmod(path, mode)

    monkeypatch.setenv("PATH", "")
    carried = tmp_path / "carried"
    carried.write_text("#!/bin/sh\n")
    carried.chmod(0o644)
    monkeypatch.setattr(Path, "chmod", refuse)
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    copy = mongod.find(data_dir, in_wheel=lambda: carried)
    assert copy == data_dir / "mongod"
    assert os.access(copy, os.X_OK)
    made = copy.stat().st_mtime_ns
    assert mongod.find(data_dir, in_wheel=lambda: carried).stat().st_mtime_ns == made
    assert sorted(path.name for path in data_dir.iterdir()) == ["mongod"]
