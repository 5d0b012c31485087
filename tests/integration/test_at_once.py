"""What a holder, or an operator, takes away is away at the very next request, on every worker, while others load it.

docs/access.md: how it is in force; docs/clients.md: suspending
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from fhir_server import app as application
from fhir_server.access import Actor
from fhir_server.config import Settings
from fhir_server.smart.tokens import Tokens
from fhir_server.storage.connection import connect, open_database
from tests.build import patient
from tests.choices import OWN, choice, document
from tests.servers import Client, Server, serving

#: So many connections that the kernel gives each of two workers some of them.
CONNECTIONS = 12
ENDED = [{"op": "replace", "path": "/status", "value": "inactive"}]
JSON_PATCH = "application/json-patch+json"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Two workers."""
    with serving(tmp_path_factory.mktemp("at-once") / "data") as started:
        yield started


@pytest.fixture(scope="module")
def tokens(server: Server) -> Iterator[Tokens]:
    """The access tokens of that server."""
    with open_database(uri=None, data_dir=server.data_dir) as opened, connect(opened.uri) as client:
        database = client[Settings().mongodb_database]
        # An emergency as the rules see it, whoever is told.
        yield Tokens(database, application.now, emergency=lambda actor, kept, write: write(None))


@dataclass
class Scene:
    """A document in a record, its operator, its holder, and a doctor on many connections."""

    server: Server
    tokens: Tokens
    operator: Client
    holder: Client
    patient: str
    document: str

    def readers(self, scope: str = "user/*.rs", **facts: Any) -> list[Client]:
        """The doctor, on connections to every worker."""
        who = Actor("professional", "Dr", (), practitioner="at-once", profession="10", **facts)
        token = self.tokens.issue(who, scope, timedelta(minutes=5))
        return [self.server.client(token) for _ in range(CONNECTIONS)]

    def make(self, client: Client, resource: dict[str, Any]) -> str:
        """`Type/id` of what the client creates."""
        answer = client.send("POST", resource["resourceType"], resource)
        assert answer.status == 201, answer.body
        return f"{resource['resourceType']}/{answer.json()['id']}"

    def patch(self, client: Client, path: str, change: list[dict[str, Any]]) -> None:
        """Change what is there."""
        answer = client.send("PATCH", path, change, Content_Type=JSON_PATCH)  # type: ignore[arg-type]
        assert answer.status == 200, answer.body


@pytest.fixture
def scene(server: Server, tokens: Tokens) -> Iterator[Scene]:
    """A record of its own, while others read and write theirs on every worker."""
    token = server.token()
    operator = server.client(token)
    made = operator.send("POST", "Patient", patient(name=[{"family": "Durand"}])).json()["id"]
    holder = server.client(
        tokens.issue(Actor("patient", "holder", (), patient=made), "patient/*.cruds", timedelta(minutes=5))
    )
    kept = operator.send("POST", "DocumentReference", document(made)).json()["id"]
    over = threading.Event()
    loads = [server.client(token) for _ in range(4)]

    def load(client: Client) -> None:
        while not over.is_set():
            assert client.send("POST", "Observation", {"resourceType": "Observation", "status": "final",
                                                       "code": {"text": "load"}}).status == 201  # fmt: skip
            assert client.send("GET", "Observation?_count=20").status == 200

    with ThreadPoolExecutor(len(loads)) as threads:
        running = [threads.submit(load, client) for client in loads]
        try:
            yield Scene(server, tokens, operator, holder, made, f"DocumentReference/{kept}")
        finally:
            over.set()
        for one in running:
            one.result()
    for client in (operator, holder, *loads):
        client.close()


def _end_permit(scene: Scene, permit: str) -> None:
    scene.patch(scene.holder, permit, ENDED)


def _block(scene: Scene, permit: str) -> None:
    scene.make(scene.holder, choice(scene.patient, "access", "deny", to=("Practitioner/at-once",)))


def _mask(scene: Scene, permit: str) -> None:
    scene.patch(
        scene.holder,
        scene.document,
        [{"op": "add", "path": "/securityLabel", "value": [{"coding": [{"code": "MASQUE_PS"}]}]}],
    )


def _close(scene: Scene, permit: str) -> None:
    closed = {"url": f"{OWN}/StructureDefinition/space-status", "extension": [{"url": "status", "valueCode": "closed"}]}
    scene.patch(scene.operator, f"Patient/{scene.patient}", [{"op": "add", "path": "/extension", "value": [closed]}])


def _withdraw_token(scene: Scene, permit: str) -> None:
    assert scene.tokens.end(practitioner="at-once") > 0


@pytest.mark.parametrize("take_away", [_end_permit, _block, _mask, _close, _withdraw_token])
def test_what_is_taken_away_is_away_at_the_next_request(scene: Scene, take_away: Callable[..., None]) -> None:
    """A1, A5, A6, A7, A13: by id and by search, on connections that were open before and had been answered"""
    permit = scene.make(scene.holder, choice(scene.patient, "access", to=("Practitioner/at-once",)))
    readers = scene.readers()
    for reader in readers:
        assert reader.send("GET", scene.document).status == 200
    take_away(scene, permit)
    refused = 401 if take_away is _withdraw_token else 404
    for reader in readers:
        assert reader.send("GET", scene.document).status == refused
        found = reader.send("GET", f"DocumentReference?patient={scene.patient}")
        assert found.status == 401 if refused == 401 else found.json()["total"] == 0
        reader.close()


def test_an_emergency_that_is_opposed_is_over_at_the_next_request(scene: Scene) -> None:
    """A10, B3: access that is open already ends, too"""
    facts = {"patient": scene.patient, "mode": "bris_de_glace", "reason": "coma"}
    readers = scene.readers("patient/*.rs", **facts)
    for reader in readers:
        assert reader.send("GET", scene.document).status == 200
    scene.make(scene.holder, choice(scene.patient, "BTG", "deny"))
    for reader in readers:
        assert reader.send("GET", scene.document).status == 404
        reader.close()
