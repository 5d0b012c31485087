"""Arguments that several commands take."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pymongo import MongoClient

from fhir_server import app
from fhir_server.cli.audit_key import with_audit_key
from fhir_server.config import Settings
from fhir_server.storage.connection import connect, open_database


def add_data_dir(parser: argparse.ArgumentParser) -> None:
    """`--data-dir`, which every command takes."""
    parser.add_argument(
        "--data-dir", type=Path, default=Path("var"), metavar="DIR", help="where the data are (default: ./var)"
    )


def port(text: str) -> int:
    """A TCP port."""
    number = int(text)
    if not 1 <= number <= 65535:
        raise argparse.ArgumentTypeError(f"{number} is not a port: 1 to 65535")
    return number


@contextmanager
def prepared(arguments: argparse.Namespace, settings: Settings) -> Iterator[MongoClient]:
    """A client of the database that the arguments and settings name, with its collections and indexes in place."""
    with open_database(uri=settings.mongodb_uri, data_dir=arguments.data_dir) as opened, connect(opened.uri) as client:
        app.prepare(client, with_audit_key(arguments, settings))
        yield client
