"""One mongod for the whole run of the tests, an empty database for each test that asks, and one application."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from pymongo import MongoClient
from pymongo.database import Database

from fhir_server.storage.connection import connect, open_database
from tests.calls import Caller, Served, serve
from tests.launches import Launching, launching
from tests.searches import Searched, searched
from tests.servers import Server, end

# How long an example takes says how busy the machine is, and nothing of the code.  Each run has the same examples, so
# that what fails is of the change; `--hypothesis-profile explore` looks for others.
_ANY_MACHINE: Any = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
}
settings.register_profile("any-machine", derandomize=True, **_ANY_MACHINE)
settings.register_profile("explore", **_ANY_MACHINE)
settings.load_profile("any-machine")


@pytest.fixture(scope="session")
def mongodb_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URI of a replica set of one that lives as long as the run, with the settings of production."""
    with open_database(uri=None, data_dir=tmp_path_factory.mktemp("mongodb")) as opened:
        yield opened.uri


@pytest.fixture(scope="session")
def mongodb_client(mongodb_uri: str) -> Iterator[MongoClient[dict[str, Any]]]:
    """A client of it, as `connect` makes them."""
    with connect(mongodb_uri) as client:
        yield client


@pytest.fixture
def database(mongodb_client: MongoClient[dict[str, Any]]) -> Iterator[Database[dict[str, Any]]]:
    """A database with a fresh name, dropped afterwards."""
    name = f"test_{secrets.token_hex(8)}"
    yield mongodb_client[name]
    mongodb_client.drop_database(name)


@pytest.fixture(scope="session")
def served(mongodb_client: MongoClient[dict[str, Any]]) -> Iterator[Served]:
    """The application on a database of its own, shared by the whole run: each test makes the patients that it needs."""
    name = f"test_{secrets.token_hex(8)}"
    yield serve(mongodb_client, name)
    mongodb_client.drop_database(name)


@pytest.fixture(scope="session")
def operator(served: Served) -> Caller:
    """Who may do everything."""
    return served.caller()


@pytest.fixture(scope="session")
def nobody(served: Served) -> Caller:
    """Who has no access token."""
    return Caller(served.app)


@pytest.fixture(scope="session")
def launches(mongodb_client: MongoClient[dict[str, Any]]) -> Iterator[Launching]:
    """The application as apps and people meet it, shared by the whole run: each test makes its own of both."""
    name = f"test_{secrets.token_hex(8)}"
    yield launching(mongodb_client, name)
    mongodb_client.drop_database(name)


@pytest.fixture(scope="session")
def demonstration(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """What `make demo` runs, shared by the whole run: the seed record, its people, and the clients of the sandbox."""
    server = Server(tmp_path_factory.mktemp("demonstration") / "data", command="demo")
    try:
        yield server.start()
    finally:
        end(server)


@pytest.fixture(scope="session")
def corpus(mongodb_client: MongoClient[dict[str, Any]]) -> Iterator[Searched]:
    """The records to search, on a database that nobody writes to afterwards."""
    name = f"test_{secrets.token_hex(8)}"
    yield searched(serve(mongodb_client, name))
    mongodb_client.drop_database(name)
