"""What tests of random worlds share."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from pymongo import MongoClient

from fhir_server import app as application
from fhir_server.config import Settings
from tests.calls import BASE, Served
from tests.launches import Clock


@pytest.fixture(scope="module")
def stage(mongodb_client: MongoClient[dict[str, Any]]) -> Iterator[tuple[Served, Clock]]:
    """A server whose clock the test moves."""
    name = f"test_{secrets.token_hex(8)}"
    config = Settings(mongodb_database=name)
    application.prepare(mongodb_client, config)
    clock = Clock()
    app = application.create_app(mongodb_client, config, BASE.removesuffix("/fhir"), clock=clock)
    yield Served(app, mongodb_client, name), clock
    mongodb_client.drop_database(name)
