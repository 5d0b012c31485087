"""The key of the record of accesses: of the settings, or of a file in the data dir that is made when it is missing.

It is not in the database: whoever can write there could bind a ledger of their own.
"""

from __future__ import annotations

import argparse
import os
import secrets
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from fhir_server.config import LEAST_KEY, ConfigError, Settings
from fhir_server.storage.data_dir import prepared, refused

FILE = "audit.key"


def with_audit_key(
    arguments: argparse.Namespace, settings: Settings, say: Callable[[str], None] = lambda message: None
) -> Settings:
    """
    The settings with the key.  Raises ConfigError, StartError with one line where it cannot be read, or kept.

    say: is told that the database is shared and its key is not.
    """
    if settings.audit_key:
        return settings
    if settings.audit_key_file:
        return replace(settings, audit_key=_read(settings.audit_key_file))
    path = prepared(arguments.data_dir).path / FILE
    if settings.mongodb_uri:
        say(
            f"the record of accesses is bound with the key of {path}: give the servers and commands of this database "
            "one key, in FHIR_SERVER_AUDIT_KEY or FHIR_SERVER_AUDIT_KEY_FILE."
        )
    try:
        _make(path)
    except OSError as error:
        raise refused(error, path.parent) from None
    return replace(settings, audit_key=_read(path))


def _read(path: Path) -> str:
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The audit key cannot be read from {path}: {error}.") from None
    if any(len(line.strip()) < LEAST_KEY for line in text.strip().splitlines() or [""]):
        raise ConfigError(f"{path} holds no audit key: {LEAST_KEY} characters or more, on a line.")
    return text


def _make(path: Path) -> None:
    """Make the file, whole or not at all, if there is none."""
    if path.exists():
        return
    unfinished = path.with_name(f"{FILE}.{secrets.token_hex(8)}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(LEAST_KEY) + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(unfinished, path)
        except FileExistsError:
            return  # another command has made it at the same moment
    finally:
        unfinished.unlink()
