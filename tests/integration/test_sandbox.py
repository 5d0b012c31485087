"""The clients of the demonstration, and the brands' time: what is kept when a server starts, and starts again."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey
from pymongo.database import Database

from fhir_server.cli.sandbox import credentials
from fhir_server.smart import brands, sandbox
from fhir_server.smart.asked import allowed
from fhir_server.smart.clients import Clients
from fhir_server.smart.names import fault
from fhir_server.web import demo_apps

BASE_URL = "http://127.0.0.1:8080"
NOW = datetime(2026, 11, 22, 14, 0, tzinfo=UTC)


def register(
    database: Database[dict[str, Any]], folder: Path, *, base_url: str = BASE_URL, now: datetime = NOW
) -> Clients:
    """The clients, as `fhir-server demo` keeps them."""
    clients = Clients(database, lambda: now)
    clients.prepare()
    sandbox.register(clients, base_url, credentials=credentials(folder), logos=demo_apps.logos(), now=now)
    return clients


def test_starting_again_changes_nothing_but_the_address(database: Database[dict[str, Any]], tmp_path: Path) -> None:
    """The clients are kept once, with the secrets and keys that they had"""
    first = {client.client_id: client for client in register(database, tmp_path).list()}
    register(database, tmp_path).suspend(sandbox.CATALOGUE)

    again = register(database, tmp_path, base_url="http://127.0.0.1:9999", now=NOW + timedelta(days=1))

    second = {client.client_id: client for client in again.list()}
    assert set(second) == set(first)
    assert second[sandbox.CATALOGUE].status == "suspended"
    assert second[sandbox.CATALOGUE].created_at == NOW
    assert second[sandbox.CATALOGUE].redirect_uris == ("http://localhost:9999/demo/app/",)
    for client_id, client in first.items():
        assert (second[client_id].secret_hash, second[client_id].jwks) == (client.secret_hash, client.jwks)


def test_the_secrets_are_for_their_owner(tmp_path: Path) -> None:
    """A key that others can read is none"""
    credentials(tmp_path)

    files = list((tmp_path / "sandbox").iterdir())
    assert {file.name for file in files} == {
        "secret.txt",
        "asymmetric.pem",
        "asymmetric.jwk",
        "backend.pem",
        "backend.jwk",
    }
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


@pytest.mark.parametrize(("name", "kind", "algorithm"), [("asymmetric", ECKey, "ES384"), ("backend", RSAKey, "RS384")])
def test_the_keys_sign_what_the_server_can_check(tmp_path: Path, name: str, kind: Any, algorithm: str) -> None:
    """SMART 2.2: client-confidential-asymmetric.html: RS384 and ES384, found by their kid; no private part is kept"""
    kept = getattr(credentials(tmp_path), name)
    key = kind.import_key(json.loads((tmp_path / "sandbox" / f"{name}.jwk").read_text()))

    signed = jwt.encode({"alg": algorithm, "kid": key.kid}, {"iss": "x"}, key, algorithms=[algorithm])

    assert jwt.decode(signed, KeySet.import_key_set(kept), algorithms=[algorithm]).claims == {"iss": "x"}
    assert "d" not in kept["keys"][0]


def test_the_apps_ask_for_what_they_are_registered_with(database: Database[dict[str, Any]], tmp_path: Path) -> None:
    """SMART 2.2: scopes-and-launch-context.html: nothing that they ask for is left out"""
    clients = register(database, tmp_path)
    asked = {
        sandbox.CATALOGUE: [sandbox.CATALOGUE_SCOPE],
        sandbox.LAUNCHED: [sandbox.LAUNCHED_SCOPE],
        sandbox.SOFTWARE: list(sandbox.SOFTWARE_SCOPES.values()),
    }

    for client_id, scopes in asked.items():
        client = clients.find(client_id)
        assert client is not None
        assert fault(client.name) is None and fault(client.publisher) is None
        for scope in scopes:
            assert set(allowed(scope, client.scope).split()) == set(scope.split())


def test_the_timestamp_is_that_of_the_last_change(database: Database[dict[str, Any]]) -> None:
    """brands.html: Bundle.timestamp, the last change to the contents, whatever starts in between"""
    resources, others = brands.entries(BASE_URL, name="Record"), brands.entries(BASE_URL, name="Another")
    day = timedelta(days=1)

    assert brands.changed(database, resources, NOW) == NOW
    assert brands.changed(database, resources, NOW + day) == NOW
    assert brands.changed(database, others, NOW + 2 * day) == NOW + 2 * day
    assert brands.changed(database, resources, NOW + 3 * day) == NOW + 3 * day
