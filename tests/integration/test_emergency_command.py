"""`fhir-server emergency`, and `fhir-server token` in an emergency, as the operator types them."""

from __future__ import annotations

import argparse
import secrets
from collections.abc import Callable
from typing import Any

import pytest

from fhir_server.cli import emergency, token
from fhir_server.config import Settings
from fhir_server.fhir.outcome import BadRequest, Conflict, NotFound
from fhir_server.smart.emergencies import Access
from tests.launches import Launching
from tests.spec.test_rules import choice, document

Command = Callable[..., str]
PROFESSIONS = "https://mos.esante.gouv.fr/NOS/TRE_G15-ProfessionSante/FHIR/TRE-G15-ProfessionSante"
ROLES = "https://mos.esante.gouv.fr/NOS/TRE_R85-RolePriseCharge/FHIR/TRE-R85-RolePriseCharge"
WHY = ("--reason", "life-threat: Arrêt cardiaque")


@pytest.fixture
def command(
    launches: Launching, mongodb_uri: str, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> Command:
    """What `fhir-server` with these words prints."""
    home = tmp_path_factory.getbasetemp() / "emergency-command"
    settings = Settings(mongodb_uri=mongodb_uri, mongodb_database=launches.name)

    def typed(*words: object) -> str:
        parser = argparse.ArgumentParser()
        commands = parser.add_subparsers()
        for each in (emergency, token):
            each.add_to(commands)
        arguments = parser.parse_args([*map(str, words), "--data-dir", str(home)])
        capsys.readouterr()
        arguments.run(arguments, settings)
        return capsys.readouterr().out.strip()

    return typed


@pytest.fixture
def practitioner(launches: Launching) -> Callable[..., str]:
    """The id of a new professional of the directory."""

    def made(profession: str = "10", *, regulates: bool = False, family: str = "Kervella") -> str:
        id = f"cli-{secrets.token_hex(4)}"
        coding = {"coding": [{"system": PROFESSIONS, "code": profession}]}
        functions = [{"coding": [{"system": ROLES, "code": "FON-32"}]}] if regulates else []
        operator = launches.served().caller()
        for resource in (
            {"resourceType": "Practitioner", "name": [{"family": family}], "qualification": [{"code": coding}]},
            {
                "resourceType": "PractitionerRole",
                "code": functions,
                "practitioner": {"reference": f"Practitioner/{id}"},
            },
        ):
            told = {name: value for name, value in resource.items() if value} | {"id": id}
            assert operator("PUT", f"{resource['resourceType']}/{id}", told).status_code == 201
        return id

    return made


def asked(mode: str, practitioner: str, patient: str, *more: object) -> tuple[object, ...]:
    """The words of the command."""
    who = ("--practitioner", f"Practitioner/{practitioner}", "--patient", f"Patient/{patient}")
    return ("token", "--scope", "user/*.cruds", "--mode", mode, *who, *more)


def accesses(at: Launching, practitioner: str) -> list[Access]:
    """Those of this professional."""
    found = at.smart.emergencies.queue(everything=True)
    return [one for one in found if one.actor.practitioner == practitioner]


def test_a_token_of_an_emergency(command: Command, launches: Launching, practitioner: Any) -> None:
    """docs/emergency.md, rules A10 and A12: the same rules, notices and records"""
    record, doctor = launches.patient(), practitioner()
    report = launches.served().caller().create(document(record))
    caller = launches.caller(command(*asked("bris_de_glace", doctor, record, *WHY)))
    assert caller("GET", report).status_code == 200
    assert caller("DELETE", report).status_code == 403
    (access,) = accesses(launches, doctor)
    assert (access.code, access.actor.reason) == ("life-threat", "Menace immédiate pour la vie : Arrêt cardiaque")
    assert (access.until - access.started_at).total_seconds() == 1800
    assert access.actor.name == "Kervella"
    starts = launches.served().caller().get(f"AuditEvent?patient=Patient/{record}&subtype=110127")
    assert len(starts["entry"]) == 1


def test_who_regulates_calls_is_said_by_the_directory(command: Command, launches: Launching, practitioner: Any) -> None:
    """A11"""
    record = launches.patient()
    assert command(*asked("centre_15", practitioner(regulates=True), record, *WHY, "--ttl", 60))
    with pytest.raises(BadRequest, match="not for this professional"):
        command(*asked("centre_15", practitioner(), record, *WHY))
    with pytest.raises(BadRequest, match="not for this professional"):
        command(*asked("bris_de_glace", practitioner("35"), record, *WHY))


def test_an_opposition_holds_here_too(command: Command, launches: Launching, practitioner: Any) -> None:
    """A10, A5: the operator is no way round"""
    for kind, to in (("BTG", ()), ("access", True)):
        record, doctor = launches.patient(), practitioner()
        named = (f"Practitioner/{doctor}",) if to else ()
        launches.served().caller("patient/*.cruds", patient=record).create(choice(record, kind, "deny", named))
        with pytest.raises(BadRequest, match="cannot be opened in this access mode"):
            command(*asked("bris_de_glace", doctor, record, *WHY))
        assert accesses(launches, doctor) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("--reason", ""), "--reason is needed"),
        (("--reason", "life-threat:  "), "--reason is needed"),
        (("--ttl", "3601"), "3600"),
        (("--ttl", "0"), "3600"),
        (("--scope", "user/*.cud"), "reads nothing"),
        (("--scope", "system/*.rs"), "operator's"),
        (("--patient", "nobody"), "cannot be opened"),
        (("--practitioner", "nobody"), "not known"),
    ],
)
def test_what_makes_no_sense(
    command: Command, launches: Launching, practitioner: Any, change: tuple[str, str], said: str
) -> None:
    """B1, B2"""
    with pytest.raises(BadRequest, match=said):
        command(*asked("bris_de_glace", practitioner(), launches.patient(), *WHY, *change))


def test_a_reason_without_a_code_is_another_reason(command: Command, launches: Launching, practitioner: Any) -> None:
    """docs/emergency.md: --reason TEXT"""
    doctor = practitioner()
    command(*asked("bris_de_glace", doctor, launches.patient(), "--reason", "Inconnu sur la voie publique : chute"))
    assert accesses(launches, doctor)[0].actor.reason == "Autre raison : Inconnu sur la voie publique : chute"


def test_the_queue(command: Command, launches: Launching, practitioner: Any) -> None:
    """B6: what somebody has to look at, looked at once, and recorded"""
    doctor = practitioner(family="Le Goff")
    plain = launches.patient()
    named = {"resourceType": "Patient", "name": [{"family": "Le Goff", "given": ["Anne"]}]}
    relative = launches.served().caller().create(named).partition("/")[2]
    for record in (plain, relative):
        command(*asked("bris_de_glace", doctor, record, *WHY))
    suspect, ordinary = accesses(launches, doctor)
    listed = command("emergency", "list")
    assert suspect.id in listed and "same-family-name" in listed and ordinary.id not in listed
    assert ordinary.id in command("emergency", "list", "--all")
    with pytest.raises(BadRequest):
        command("emergency", "review", suspect.id, "--by", " ", "--note", "x")
    command("emergency", "review", suspect.id, "--by", "Dr Martin", "--note", "Justified.")
    assert suspect.id not in command("emergency", "list")
    assert "Dr Martin: Justified." in command("emergency", "list", "--all")
    with pytest.raises(Conflict):
        command("emergency", "review", suspect.id, "--by", "Dr Martin", "--note", "Again.")
    with pytest.raises(NotFound):
        command("emergency", "review", "0000", "--by", "Dr Martin", "--note", "x")
    events = launches.served().caller().get("AuditEvent?type=110113&_count=1000")["entry"]
    said = [one["resource"].get("outcomeDesc", "") for one in events]
    assert f"{suspect.id} by Dr Martin: Justified." in said
