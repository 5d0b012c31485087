"""Where the database is and how this process talks to it: majority-acknowledged, journaled, nothing less.

`open_database` is called once, by the process that lives as long as the command; `connect` by every process that
reads or writes, after it was forked.  PyMongo: https://pymongo.readthedocs.io/en/stable/faq.html (fork safety)
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import pymongo
from bson.codec_options import TypeRegistry
from bson.decimal128 import DecimalDecoder, DecimalEncoder
from pymongo.errors import (
    ConfigurationError,
    ConnectionFailure,
    InvalidURI,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)
from pymongo.uri_parser import parse_uri

from fhir_server.storage import embedded
from fhir_server.storage.mongod import StartError

__all__ = ["Opened", "StartError", "connect", "open_database"]

Document = dict[str, Any]

_AUTHENTICATION_FAILED = 18
_UNAUTHORIZED = 13

_NOT_INITIATED = "The replica set of the MongoDB URI is not initiated: run rs.initiate() on it."

# An acknowledged write is on disk at a majority, and what is read can no longer be rolled back.
_DURABLE: dict[str, Any] = {"w": "majority", "journal": True, "retryWrites": True, "readConcernLevel": "majority"}
_VALUES: dict[str, Any] = {
    "tz_aware": True,
    "uuidRepresentation": "standard",
    "type_registry": TypeRegistry([DecimalEncoder(), DecimalDecoder()]),
}
# What a URI may say otherwise.  A full pool answers soon, so that overload is told to the client and does not pile up.
_DEFAULTS: dict[str, Any] = {
    "appName": "fhir-server",
    "maxPoolSize": 64,
    "waitQueueTimeoutMS": 5_000,
    "connectTimeoutMS": 5_000,
    "serverSelectionTimeoutMS": 5_000,
}


@dataclass(frozen=True)
class Opened:
    """A database that is there until `close` is called; also a context manager.  `uri` is for `connect`."""

    uri: str
    close: Callable[[], None]

    def __enter__(self) -> Opened:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _nothing() -> None:
    """A database given by URI is not ours to stop."""


def _silent(message: str) -> None:
    """Progress that nobody follows."""


def open_database(*, uri: str | None, data_dir: Path, progress: Callable[[str], None] = _silent) -> Opened:
    """The database at `uri`, or else the mongod of the data dir, started or joined and kept alive.

    Raises StartError with one line.  `progress` hears what takes time.
    """
    if uri:
        connect(uri).close()
        return Opened(uri, _nothing)
    share = embedded.join(data_dir, progress=progress)
    return Opened(share.uri, share.leave)


def connect(uri: str, *, answer_within_ms: int | None = None, **options: Any) -> pymongo.MongoClient[Document]:
    """A client for this process (not for those forked from it), whose server has answered and can run transactions.

    answer_within_ms: after so long without a word from the server a call fails, unless the URI says otherwise; for
    whoever has a client waiting.  None, to wait for ever, is for what may take long: to build an index.
    Options of PyMongo win over the URI's, which win over our defaults; durability is not an option.
    Raises StartError with one line, which never holds a password.
    """
    try:
        # `warn=False` refuses an option that is misspelt, where a client would go on without it.
        named = parse_uri(uri, warn=False)["options"]
        offered = _DEFAULTS | ({"socketTimeoutMS": answer_within_ms} if answer_within_ms else {})
        defaults = {name: value for name, value in offered.items() if name not in named}
        client: pymongo.MongoClient[Document] = pymongo.MongoClient(uri, **(defaults | options | _VALUES | _DURABLE))
    except (InvalidURI, ConfigurationError, ValueError, TypeError) as error:
        raise StartError(f"The MongoDB URI cannot be used: {_first(str(error))}.") from None
    try:
        _check(client)
    except BaseException:
        client.close()
        raise
    return client


def _check(client: pymongo.MongoClient[Document]) -> None:
    try:
        _check_kind(client.admin.command("hello"))
        # `hello` answers anybody; this answers whoever has logged in, whatever they may do.
        client.admin.command("listDatabases", nameOnly=True, authorizedDatabases=True)
    except ServerSelectionTimeoutError as error:
        raise StartError(_unreachable(client, str(error))) from None
    except OperationFailure as error:
        raise StartError(_refused(error)) from None
    except (ConnectionFailure, ConfigurationError) as error:
        raise StartError(f"MongoDB cannot be used: {_first(str(error))}.") from None
    except PyMongoError as error:
        raise StartError(f"MongoDB did not answer as expected: {_first(str(error))}.") from None


def _check_kind(hello: Document) -> None:
    if "setName" in hello or hello.get("msg") == "isdbgrid":
        return
    if hello.get("isreplicaset"):
        raise StartError(_NOT_INITIATED)
    raise StartError(
        "The MongoDB of the URI is not a member of a replica set, and has no transactions: "
        "start it with --replSet and run rs.initiate()."
    )


def _unreachable(client: pymongo.MongoClient[Document], error: str) -> str:
    servers = client.topology_description.server_descriptions()
    kinds = {server.server_type_name for server in servers.values()}
    if "RSGhost" in kinds:
        return _NOT_INITIATED
    if kinds - {"Unknown"}:
        hosts = ", ".join(sorted(":".join(str(part) for part in address if part is not None) for address in servers))
        return f"The MongoDB at {hosts} has no primary that takes writes."
    return f"No MongoDB answers: {_first(error)}."


def _refused(error: OperationFailure) -> str:
    if error.code == _AUTHENTICATION_FAILED:
        return "MongoDB refused the user name or the password of the URI."
    if error.code == _UNAUTHORIZED:
        return "MongoDB asks for a user name and a password; the URI has none that is allowed to list its databases."
    return f"MongoDB refused the connection: {_first(str(error))}."


def _first(error: str) -> str:
    """The one thing an error of PyMongo says, without the descriptions that follow it."""
    return re.split(r" \(configured timeouts|, full error:|, Timeout:|\. Did you mean", error)[0].rstrip(".")
