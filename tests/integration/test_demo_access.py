"""The demonstration record means what its tables say: its professionals reach the patients who permitted them.

CSP R1111-46; seed_data/tables/consents.csv
"""

from __future__ import annotations

import argparse
import csv
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from fhir_server.app import now
from fhir_server.cli import load, token
from fhir_server.config import Settings
from fhir_server.fhir import json
from fhir_server.fhir.outcome import BadRequest
from tests.calls import BASE, Caller, Served, ids, serve

SEED = Path(__file__).parents[2] / "seed_data"
G15 = "https://mos.esante.gouv.fr/NOS/TRE_G15-ProfessionSante/FHIR/TRE-G15-ProfessionSante"


@pytest.fixture(scope="module")
def demo(mongodb_client: MongoClient[dict[str, Any]]) -> Iterator[Served]:
    """The demonstration record, served."""
    name = f"test_{secrets.token_hex(8)}"
    served = serve(mongodb_client, name)
    settings = Settings(mongodb_database=name)
    load.load(mongodb_client, settings, [SEED / "bundles"], base=BASE, quiet=True)
    yield served
    mongodb_client.drop_database(name)


def table(name: str) -> list[dict[str, str]]:
    """The rows of a table of the seed."""
    with (SEED / "tables" / f"{name}.csv").open(encoding="utf-8", newline="") as rows:
        return list(csv.DictReader(rows))


def professionals(demo: Served) -> dict[str, tuple[str, Caller]]:
    """Of each professional the structure, and a caller."""
    operator = demo.caller()
    found = {}
    for entry in operator.get("PractitionerRole?_count=100")["entry"]:
        role = entry["resource"]
        codes = [coding for concept in role["code"] for coding in concept["coding"] if coding["system"] == G15]
        specialty = [coding["code"] for concept in role.get("specialty", ()) for coding in concept["coding"]]
        name = role["practitioner"]["reference"].partition("/")[2]
        found[role["id"]] = (
            role["organization"]["reference"],
            demo.caller(
                "user/*.cruds",
                practitioner=name,
                role=f"PractitionerRole/{role['id']}",
                organization=role["organization"]["reference"],
                profession=codes[0]["code"],
                specialty=specialty[0] if specialty else None,
            ),
        )
    return found


def permitted(role: str, structure: str) -> set[str]:
    """The patients whom the tables have permit this professional now."""
    named = {f"PractitionerRole/{role}", structure}
    today = str(now().date())
    rows = [
        row
        for row in table("consents")
        if row["actor"] in named and row["start"] <= today and (not row["end"] or today <= row["end"])
    ]
    blocked = {row["person"] for row in rows if row["type"] == "deny"}
    shut = {person["resource"][8:] for person in json.loads((SEED / "people.json").read_bytes())
            if person.get("space") in ("opposed", "closed")}  # fmt: skip
    return {row["person"] for row in rows if row["kind"] in ("access", "administrator")} - blocked - shut


def test_each_professional_reaches_the_patients_who_permitted_it(demo: Served) -> None:
    """A6: neither more nor fewer, whoever is asked about and however"""
    everybody = ids(demo.caller().get("Patient?_count=100"))
    reached = {}
    for role, (structure, caller) in professionals(demo).items():
        wanted = {f"Patient/{id}" for id in permitted(role, structure)}
        assert set(ids(caller.get("Patient?_count=100"))) == wanted, role
        assert {one for one in everybody if caller("GET", one).status_code == 200} == wanted, role
        reached[role] = len(wanted)
    assert sum(reached.values()) >= 25
    assert reached["helene-lemoine"] >= 8


def test_a_masked_document_of_the_demonstration_is_seen_by_whom_it_may_be(demo: Served) -> None:
    """A7: of Lucie Bonnet's doctor, who permitted him, who deposited them, or nobody"""
    operator = demo.caller()
    bundle = operator.get("DocumentReference?security-label=MASQUE_PS&_count=100")
    assert len(bundle["entry"]) == 3
    for one in bundle["entry"]:
        document = one["resource"]
        patient = operator.get(document["subject"]["reference"])
        privileged = {reference["reference"] for reference in patient.get("generalPractitioner", ())}
        for role, (structure, caller) in professionals(demo).items():
            reference = f"DocumentReference/{document['id']}"
            author = document["author"][0]["reference"] == f"PractitionerRole/{role}"
            depositor = author or document["custodian"]["reference"] == structure
            treats = f"Practitioner/{role}" in privileged and patient["id"] in permitted(role, structure)
            administers = any(
                row["kind"] == "administrator" and row["person"] == patient["id"] and row["actor"].endswith(f"/{role}")
                for row in table("consents")
            )
            seen = caller("GET", reference).status_code == 200
            assert seen == (depositor or treats or administers), (role, reference)


def test_the_holder_changes_what_she_entered_and_not_what_was_deposited(demo: Served) -> None:
    """A3: of what was loaded, each resource says who entered it"""
    operator = demo.caller()
    found = set()
    for one in operator.get("Condition?_count=100")["entry"]:
        resource = one["resource"]
        patient = resource["subject"]["reference"]
        holder = demo.caller("patient/*.cruds", patient=patient[8:])
        entered = resource["asserter"]["reference"] == patient
        answer = holder("PUT", f"Condition/{resource['id']}", resource)
        shut = operator.get(patient).get("active") is False
        assert answer.status_code == (200 if entered and not shut else 403), resource["id"]
        found.add(entered)
    assert found == {True, False}


def told(demo: Served, uri: str, capsys: pytest.CaptureFixture[str], data_dir: Path, **arguments: Any) -> Caller:
    """Who holds the token that the command line prints."""
    given = {"scope": "user/*.rs", "patient": None, "mode": "normal", "reason": None, "ttl": 600, "data_dir": data_dir}
    settings = Settings(mongodb_uri=uri, mongodb_database=demo.name)
    token.run(argparse.Namespace(**{**given, **arguments}), settings)
    return Caller(demo.app, capsys.readouterr().out.strip())


def test_a_token_of_the_command_line_says_in_what_role(
    demo: Served, mongodb_uri: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A6, A11: role, structure, profession and the right to regulate are the directory's to say"""
    caller = told(demo, mongodb_uri, capsys, tmp_path, practitioner="helene-lemoine")
    everybody = {f"Patient/{id}" for id in permitted("helene-lemoine", "Organization/msp-tilleuls")}
    assert set(ids(caller.get("Patient?_count=100"))) == everybody
    emergency = {"practitioner": "karim-benali", "mode": "centre_15", "reason": "life-threat: inconscient"}
    regulator = told(demo, mongodb_uri, capsys, tmp_path, patient="martine-dubreuil", **emergency)
    assert regulator("GET", "Patient/martine-dubreuil").status_code == 200
    assert regulator("GET", "Patient/denise-aubry").status_code == 404
    with pytest.raises(BadRequest, match="cannot be opened"):  # who opposes Centre 15
        told(demo, mongodb_uri, capsys, tmp_path, patient="ange-paoletti", **emergency)
    with pytest.raises(BadRequest, match="not for this professional"):
        told(
            demo,
            mongodb_uri,
            capsys,
            tmp_path,
            practitioner="helene-lemoine",
            patient="denise-aubry",
            mode="centre_15",
            reason="life-threat: inconscient",
        )
