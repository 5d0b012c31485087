"""`fhir-server client`, as the operator types it."""

from __future__ import annotations

import argparse
import json
import secrets
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fhir_server.cli import client
from fhir_server.config import Settings
from fhir_server.fhir.outcome import FhirError
from tests.clients import assertion, key, public
from tests.launches import Launching, authorized
from tests.servers import run

Command = Callable[..., str]
APP = ("--kind", "public", "--publisher", "Éditions du Test", "--scope", "launch/patient patient/*.rs")


@pytest.fixture
def command(launches: Launching, mongodb_uri: str, capsys: pytest.CaptureFixture[str]) -> Command:
    """What `fhir-server client` with these words prints."""
    settings = Settings(mongodb_uri=mongodb_uri, mongodb_database=launches.name)

    def typed(*words: object) -> str:
        parser = argparse.ArgumentParser()
        client.add_to(parser.add_subparsers())
        arguments = parser.parse_args(["client", *map(str, words)])
        capsys.readouterr()
        arguments.run(arguments, settings)
        return capsys.readouterr().out

    return typed


@pytest.fixture
def name_of() -> Callable[[str], Any]:
    """A name that no other client has."""
    return lambda start: f"{start} {secrets.token_hex(8).translate(str.maketrans('015', 'xyz'))}"


def words(printed: str) -> dict[str, str]:
    """The lines of what `add` prints."""
    return dict(line.split() for line in printed.splitlines())


def test_an_app_that_is_added_works_at_once(command, launches, name_of):
    added = words(
        command("add", *APP, "--name", name_of("Carnet"), "--redirect-uri", "https://app.test/back", "--verified")
    )

    assert set(added) == {"client_id"}
    kept = launches.kept.clients.find(added["client_id"])
    assert (kept.kind, kept.verified, kept.origins) == ("public", True, ("https://app.test",))
    launch = launches.launch(kept, launches.sign_in(launches.person()))
    assert launch.tokens()["scope"] == "launch/patient patient/*.rs"


def test_a_backend_is_added_from_a_file(command, launches, tmp_path, name_of):
    """RFC 7591 s. 2: the names of the metadata; options win over the file"""
    file = tmp_path / "backend.json"
    file.write_text(
        json.dumps(
            {
                "client_name": name_of("Laboratoire"),
                "publisher": "Labo",
                "audience": "backend",
                "token_endpoint_auth_method": "private_key_jwt",
                "jwks": public(key("ES384")),
                "scope": "system/Observation.c",
            }
        )
    )

    id = words(command("add", file, "--scope", "system/Patient.rs", "--id", f"labo-{name_of('x')[2:]}"))["client_id"]

    assert id.startswith("labo-")
    form = {"grant_type": "client_credentials", "scope": "system/Patient.rs", **assertion(id)}
    assert launches.post("/oauth/token", form).status_code == 200


def test_a_secret_is_printed_once_and_can_be_renewed(command, launches, name_of):
    added = words(
        command(
            "add",
            *("--kind", "symmetric", "--publisher", "Éditeur", "--scope", "patient/*.rs"),
            *("--name", name_of("Serveur"), "--redirect-uri", "https://app.test/back"),
        )
    )
    kept = launches.kept.clients.find(added["client_id"])

    def accepted(secret: str) -> int:
        return launches.post("/oauth/introspect", {"token": "x"}, **authorized(kept, secret)).status_code

    assert accepted(added["client_secret"]) == 200
    assert added["client_secret"] not in command("show", kept.client_id) + command("list")

    renewed = command("secret", kept.client_id).strip()

    assert (accepted(added["client_secret"]), accepted(renewed)) == (401, 200)


def test_a_resource_server_hears_of_every_token(command, launches, name_of):
    """RFC 7662 s. 2.1"""
    added = words(
        command(
            "add",
            *("--kind", "symmetric", "--audience", "backend", "--publisher", "Éditeur", "--resource-server"),
            *("--name", name_of("Passerelle")),
        )
    )
    launch = launches.launch(launches.register(), launches.sign_in(launches.person()))
    kept = launches.kept.clients.find(added["client_id"])

    answer = launches.post(
        "/oauth/introspect",
        {"token": launch.tokens()["access_token"]},
        **authorized(kept, added["client_secret"]),
    )

    assert answer.json["client_id"] == launch.client.client_id


def test_a_client_is_suspended_and_resumed(command, launches, name_of):
    id = words(command("add", *APP, "--name", name_of("Carnet"), "--redirect-uri", "https://app.test/"))["client_id"]

    command("suspend", id)
    assert launches.kept.clients.find(id) is None
    assert [line.split()[-1] for line in command("list").splitlines() if id in line] == ["suspended"]

    command("resume", id)
    assert launches.kept.clients.find(id)
    assert json.loads(command("show", id))["status"] == "live"


def test_who_is_invited_registers_what_the_invitation_says(command, launches, name_of):
    """RFC 7591 s. 3"""
    token = command("invite", "--publisher", "Éditeur", "--scope", "launch/patient patient/*.rs").strip()
    said = {
        "client_name": name_of("Carnet"),
        "token_endpoint_auth_method": "none",
        "redirect_uris": ["https://app.test/"],
    }

    answer = launches.app.test_client().post("/oauth/register", json=said, headers={"Authorization": f"Bearer {token}"})

    assert (answer.status_code, answer.json["publisher"], answer.json["status"]) == (201, "Éditeur", "pending")


def test_a_logo_is_kept_with_the_client(command, launches, tmp_path, name_of):
    image = b"\x89PNG\r\n\x1a\n" + bytes(10)
    (tmp_path / "logo.png").write_bytes(image)

    added = words(
        command(
            "add",
            *APP,
            *("--name", name_of("Carnet"), "--redirect-uri", "https://app.test/", "--logo", tmp_path / "logo.png"),
        )
    )

    assert launches.kept.clients.find(added["client_id"]).logo == f"data:image/png;base64,{b64encode(image).decode()}"


def test_each_change_is_recorded(command, launches, name_of):
    """IHE BALP; DICOM PS3.16 CID 401: user security attributes changed"""
    id = words(command("add", *APP, "--name", name_of("Carnet"), "--redirect-uri", "https://app.test/"))["client_id"]
    command("suspend", id)

    bundle = launches.served().caller().get("AuditEvent?subtype=110137&_count=1000")

    told = [event["resource"]["outcomeDesc"] for event in bundle["entry"]]
    assert sorted(text.partition(": ")[2] for text in told if id in text) == [f"registered {id}", f"suspended {id}"]


@pytest.mark.parametrize(
    ("mistake", "told"),
    [
        (("show", "app-nobody"), "There is no client `app-nobody`."),
        (("suspend", "app-nobody"), "There is no client `app-nobody`."),
        (("resume", "app-nobody"), "There is no client `app-nobody`."),
        (("secret", "app-nobody"), "There is no client `app-nobody`."),
        (("add", "--name", "x"), "Say how it authenticates itself: --kind public, symmetric, asymmetric."),
        (("add", *APP, "--name", "Carnet"), "redirect_uris must say"),
        (("add", *APP, "--name", "<b>", "--redirect-uri", "https://app.test/"), "client_name has characters"),
        (("add", *APP, "--name", "Carnet", "--redirect-uri", "http://app.test/"), "redirect_uris must be https"),
        (("add", *APP, "--name", "Carnet", "--id", "acc-1"), "client_id has"),
        (
            ("add", *APP, "--name", "Carnet", "--redirect-uri", "https://app.test/", "--resource-server"),
            "to authenticate",
        ),
        (("add", "/nowhere.json"), "/nowhere.json cannot be read: No such file"),
        (("add", *APP, "--logo", "logo.svg"), "logo.svg is no image"),
        (("invite", "--publisher", "<b>", "--scope", "patient/*.rs"), "--publisher has characters"),
        (("invite", "--publisher", "Éditeur", "--scope", "admin"), "--scope: scope has a word"),
        (("invite", "--publisher", "Éditeur", "--scope", "patient/*.rs", "--days", "0"), "--days 0"),
    ],
)
def test_a_mistake_is_told(command, mistake, told):
    with pytest.raises(FhirError) as raised:
        command(*mistake)

    assert told in str(raised.value)


def test_a_name_is_for_one_client(command, name_of):
    name = name_of("Carnet")
    command("add", *APP, "--name", name, "--redirect-uri", "https://app.test/")

    with pytest.raises(FhirError, match="looks like that of another client"):
        command("add", *APP, "--name", name.upper(), "--redirect-uri", "https://app.test/")


def test_only_a_symmetric_client_gets_a_new_secret(command, name_of):
    id = words(command("add", *APP, "--name", name_of("Carnet"), "--redirect-uri", "https://app.test/"))["client_id"]

    with pytest.raises(FhirError, match="has no secret"):
        command("secret", id)


def test_a_mistake_is_one_line_and_a_failure(launches, mongodb_uri):
    ran = run("client", "show", "app-nobody", mongodb_uri=mongodb_uri, mongodb_database=launches.name)

    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == "fhir-server: There is no client `app-nobody`.\n"


def test_the_readme_names_the_verbs():
    readme = (Path(__file__).resolve().parents[2] / "README.md").read_text()

    assert "fhir-server client add|list|show|suspend|resume|invite|secret" in readme
