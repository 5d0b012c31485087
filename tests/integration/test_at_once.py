"""What a holder, or an operator, takes away is away at the very next request, on every worker, while others load it.

So does what ends by the clock, without a job that has to run.

docs/access.md: how it is in force; docs/clients.md: suspending
"""

from __future__ import annotations

import http.client
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from pymongo.database import Database

from fhir_server import app as application
from fhir_server.access import Actor
from fhir_server.accounts.account import Account, Profile
from fhir_server.accounts.accounts import Accounts
from fhir_server.config import Settings
from fhir_server.fhir.dates import instant
from fhir_server.smart.clients import Client as App
from fhir_server.smart.grants import Grant, new_grant_id
from fhir_server.smart.server import Kept
from fhir_server.smart.sessions import Session
from fhir_server.smart.subject import Subject
from fhir_server.smart.tokens import Tokens
from fhir_server.storage.connection import connect, open_database
from tests.build import patient
from tests.choices import OWN, choice, document
from tests.servers import PATIENCE, Client, Server, run, serving

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
def database(server: Server) -> Iterator[Database[dict[str, Any]]]:
    """What that server keeps."""
    with open_database(uri=None, data_dir=server.data_dir) as opened, connect(opened.uri) as client:
        yield client[Settings().mongodb_database]


@pytest.fixture(scope="module")
def tokens(database: Database[dict[str, Any]]) -> Tokens:
    """The access tokens of that server."""
    # An emergency as the rules see it, whoever is told.
    return Tokens(database, application.now, emergency=lambda actor, kept, write: write(None))


@dataclass
class Scene:
    """A document in a record, its operator, its holder, and a doctor on many connections."""

    server: Server
    tokens: Tokens
    operator: Client
    holder: Client
    patient: str
    document: str

    def readers(self, scope: str = "user/*.rs", seconds: float = 300, **facts: Any) -> list[Client]:
        """The doctor, on connections to every worker."""
        who = Actor("professional", "Dr", (), practitioner="at-once", profession="10", **facts)
        return self.connections(self.tokens.issue(who, scope, timedelta(seconds=seconds)))

    def persons(self, seconds: float = 300, **facts: Any) -> list[Client]:
        """Who acts for the holder, on connections to every worker."""
        who = Actor("patient", "person", (), patient=self.patient, **facts)
        return self.connections(self.tokens.issue(who, "patient/*.rs", timedelta(seconds=seconds)))

    def connections(self, token: str) -> list[Client]:
        """Whoever holds the token, on connections to every worker."""
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
    readers = scene.readers("patient/*.rs", patient=scene.patient, mode="bris_de_glace", reason="coma")
    for reader in readers:
        assert reader.send("GET", scene.document).status == 200
    scene.make(scene.holder, choice(scene.patient, "BTG", "deny"))
    for reader in readers:
        assert reader.send("GET", scene.document).status == 404
        reader.close()


# --- what ends by the clock


def in_time(scene: Scene, begin: Callable[[datetime], list[Client]]) -> tuple[datetime, list[Client]]:
    """
    The last second of what was begun, and those who were all answered before it.

    begin: has something end with this second, and who asks for it until then; on a busy machine with a later one.
    """
    for seconds in (4, 16, 64):
        end = (application.now() + timedelta(seconds=seconds)).replace(microsecond=0)
        readers = begin(end)
        statuses = {reader.send("GET", scene.document).status for reader in readers}
        if application.now() < end:
            assert statuses == {200}
            return end, readers
        for reader in readers:
            reader.close()
    raise AssertionError("nobody was answered in time")


def until(end: datetime) -> dict[str, str]:
    """The period that ends with this second."""
    return {"end": instant(end).replace(".000", "")}


def wait_for(end: datetime) -> None:
    """Return when this second, which FHIR counts in, is over.  R4: datatypes.html#Period"""
    time.sleep(max(0.0, (end + timedelta(seconds=1.05) - application.now()).total_seconds()))


def all_answer(scene: Scene, readers: list[Client], status: int) -> None:
    """Every connection is answered so."""
    assert [reader.send("GET", scene.document).status for reader in readers] == [status] * len(readers)


def over(scene: Scene, readers: list[Client], status: int) -> None:
    """Every connection is answered so from now on; no search finds anything."""
    all_answer(scene, readers, status)
    for reader in readers:
        found = reader.send("GET", f"DocumentReference?patient={scene.patient}")
        assert found.status == status if status == 401 else found.json()["total"] == 0
        reader.close()


def test_a_permit_is_over_when_its_time_is(scene: Scene) -> None:
    """A6: until when the holder said"""

    def permit(end: datetime) -> list[Client]:
        scene.make(scene.holder, choice(scene.patient, "access", to=("Practitioner/at-once",), period=until(end)))
        return scene.readers()

    end, readers = in_time(scene, permit)
    wait_for(end)
    over(scene, readers, 404)


def test_an_emergency_is_over_when_its_time_is(scene: Scene) -> None:
    """A10: at most one hour"""

    def open_it(end: datetime) -> list[Client]:
        left = (end - application.now()).total_seconds()
        return scene.readers("patient/*.rs", left, patient=scene.patient, mode="bris_de_glace", reason="coma")

    end, readers = in_time(scene, open_it)
    wait_for(end)
    over(scene, readers, 401)


def test_a_caregiver_s_time_is_over(scene: Scene) -> None:
    """A4: for the period that the holder said"""

    def name(end: datetime) -> list[Client]:
        scene.make(scene.holder, choice(scene.patient, "caregiver", to=("RelatedPerson/carer",), period=until(end)))
        return scene.persons(person="RelatedPerson/carer", relation="caregiver")

    end, persons = in_time(scene, name)
    wait_for(end)
    over(scene, persons, 404)


def test_a_caregiver_is_dismissed(scene: Scene) -> None:
    """A4: by who named them"""
    named = scene.make(scene.holder, choice(scene.patient, "caregiver", to=("RelatedPerson/carer",)))
    persons = scene.persons(person="RelatedPerson/carer", relation="caregiver")
    all_answer(scene, persons, 200)
    scene.patch(scene.holder, named, ENDED)
    over(scene, persons, 404)


def _inactive(scene: Scene, representative: str) -> None:
    scene.patch(scene.operator, representative, [{"op": "add", "path": "/active", "value": False}])


def _ended(scene: Scene, representative: str) -> None:
    over = [{"op": "add", "path": "/period", "value": {"end": "2026-01-01"}}]
    scene.patch(scene.operator, representative, over)


@pytest.mark.parametrize("end", [_inactive, _ended])
def test_a_representative_represents_no_longer(scene: Scene, end: Callable[..., None]) -> None:
    """A4: as the record says it of them.  R4: relatedperson.html RelatedPerson.active, RelatedPerson.period"""
    parent = {"resourceType": "RelatedPerson", "active": True, "patient": {"reference": f"Patient/{scene.patient}"}}
    made = scene.make(scene.operator, parent)
    persons = scene.persons(person=made, relation="legal-representative")
    all_answer(scene, persons, 200)
    end(scene, made)
    over(scene, persons, 404)


# --- what ends an app's access


@dataclass
class Connected:
    """An app that the holder has connected: what it was granted, and the session and the browser of that."""

    scene: Scene
    kept: Kept
    app: App
    grant: Grant
    session: Session
    secret: str
    token: str

    def post(self, path: str, form: dict[str, str]) -> int:
        """The status of a form that the holder's browser sends."""
        base = self.scene.server.base.removesuffix("/fhir")
        connection = http.client.HTTPConnection("127.0.0.1", self.scene.server.port, timeout=PATIENCE)
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Origin": base,
            "Cookie": f"session={self.secret}",
        }
        try:
            connection.request("POST", path, urlencode(form), headers)
            return connection.getresponse().status
        finally:
            connection.close()


@pytest.fixture
def connected(scene: Scene, database: Database[dict[str, Any]]) -> Connected:
    """An app with a token of an online session."""
    now = application.now()
    kept = application.kept_for_smart(database, Settings(), scene.server.base)
    app = App(
        client_id=f"app-{secrets.token_hex(8)}", name=f"App {secrets.token_hex(4)}", publisher="P", kind="public",
        audience="patient", status="live", created_at=now, redirect_uris=("https://app.example/back",),
        scope="launch/patient patient/*.rs online_access",
    )  # fmt: skip
    kept.clients.add(app)
    own = Profile(f"Patient/{scene.patient}", scene.patient, "self", "The person")
    account = Account(f"acc-{secrets.token_hex(8)}", secrets.token_hex(8), "P", "p@example.fr", None, "fr", (own,))
    Accounts(database, application.now).keep(account, "a long password of no use")
    _, begun = kept.sessions.start()
    subject = Subject("patient", account.id, "P", account=account.id)
    secret, session = kept.sessions.rotate(begun, subject=subject, auth_time=now, acr="eidas1", amr=("pwd", "otp"))
    grant = kept.grants.give(
        app.scope,
        Grant(new_grant_id(), account.id, app.client_id, scene.patient, "self", None, app.scope, None, now, now),
    )
    who = Actor("patient", "P", (), patient=scene.patient, relation="self", client_id=app.client_id)
    token = kept.tokens.issue(
        who, "patient/*.rs", timedelta(minutes=5), grant=grant.id, session=session.id, sub=account.id
    )
    return Connected(scene, kept, app, grant, session, secret, token)


def _suspend(connected: Connected) -> None:
    done = run("client", "suspend", connected.app.client_id, "--data-dir", connected.scene.server.data_dir)
    assert done.returncode == 0, done.stderr


def _withdraw_on_the_page(connected: Connected) -> None:
    form = connected.kept.sessions.form_token(connected.session, "/apps")
    assert connected.post("/apps", {"form": form, "grant": connected.grant.id, "all": "1"}) == 303
    kept = connected.kept.grants.find(connected.grant.id)
    assert kept is not None and kept.status == "withdrawn"


def _revoke(connected: Connected) -> None:
    asked = {"token": connected.token, "client_id": connected.app.client_id}
    assert connected.post("/oauth/revoke", asked) == 200


def _sign_out(connected: Connected) -> None:
    form = connected.kept.sessions.form_token(connected.session, "/sign-out")
    assert connected.post("/sign-out", {"form": form}) in (200, 303)


@pytest.mark.parametrize("take_away", [_suspend, _withdraw_on_the_page, _revoke, _sign_out])
def test_an_app_s_access_is_over_at_the_next_request(connected: Connected, take_away: Callable[..., None]) -> None:
    """A13; RFC 7009 s. 2; SMART 2.2 best-practices.html: by the operator, the person, the app, and the session's end"""
    apps = connected.scene.connections(connected.token)
    all_answer(connected.scene, apps, 200)
    take_away(connected)
    over(connected.scene, apps, 401)


def test_what_is_withdrawn_in_part_is_away_at_the_next_request(connected: Connected) -> None:
    """SMART 2.2: scopes-and-launch-context.html; the rest of what was granted stands"""
    apps = connected.scene.connections(connected.token)
    all_answer(connected.scene, apps, 200)
    connected.kept.tokens.narrow(connected.grant.id, "launch/patient patient/Patient.rs")
    all_answer(connected.scene, apps, 403)
    assert {app.send("GET", f"Patient/{connected.scene.patient}").status for app in apps} == {200}
    for app in apps:
        app.close()


# --- in the middle of a walk through pages


@pytest.fixture
def walk(scene: Scene) -> list[tuple[Client, str]]:
    """The doctor, behind the first of three pages, on connections to every worker: each with the way on."""
    for _ in range(5):
        scene.make(scene.operator, document(scene.patient))
    scene.make(scene.holder, choice(scene.patient, "access", to=("Practitioner/at-once",)))
    readers = scene.readers()
    firsts = [reader.send("GET", f"DocumentReference?patient={scene.patient}&_count=2").json() for reader in readers]
    assert all(first["total"] == 6 for first in firsts)
    return [(reader, onward(first)) for reader, first in zip(readers, firsts, strict=True)]


def onward(page: dict[str, Any]) -> str:
    """The path of the page behind this one."""
    (link,) = [link["url"] for link in page["link"] if link["relation"] == "next"]
    return str(link).partition("/fhir/")[2]


def test_who_is_blocked_behind_the_first_page_gets_no_other(scene: Scene, walk: list[tuple[Client, str]]) -> None:
    """A5: a page is a request, and its link no key"""
    _block(scene, "")
    for reader, path in walk:
        page = reader.send("GET", path)
        assert page.status == 200, page.body
        assert (page.json()["total"], page.json().get("entry", [])) == (0, [])
        reader.close()


def test_what_is_masked_behind_the_first_page_is_on_no_other(scene: Scene, walk: list[tuple[Client, str]]) -> None:
    """A7: the total is of what may be seen now"""
    reader, path = walk[0]
    ahead = reader.send("GET", path).json()
    last = [entry["resource"]["id"] for entry in ahead["entry"]][-1]
    mask = [{"op": "add", "path": "/securityLabel", "value": [{"coding": [{"code": "MASQUE_PS"}]}]}]
    scene.patch(scene.holder, f"DocumentReference/{last}", mask)
    for reader, path in walk:
        seen = []
        page = reader.send("GET", path).json()
        while True:
            assert page["total"] == 5
            seen += [entry["resource"]["id"] for entry in page["entry"]]
            if not any(link["relation"] == "next" for link in page["link"]):
                break
            page = reader.send("GET", onward(page)).json()
        assert len(seen) == 3 and last not in seen
        reader.close()
