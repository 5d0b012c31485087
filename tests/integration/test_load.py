"""`fhir-server load`: what others publish comes in whole, its references lead somewhere, and again changes nothing.

R4: bundle.html#references, http.html#trules, http.html#ccreate.  Bulk Data: export.html
"""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import uuid
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fhir_server.cli import load as command
from fhir_server.cli.load import Summary
from fhir_server.config import Settings, carried
from tests.build import entry, observation, patient, transaction
from tests.calls import Caller, Served, follow
from tests.servers import COMMAND, PATIENCE, environ, run, wait_until

BASE = "http://fhir.test/fhir"
NPI = "http://hl7.org/fhir/sid/us-npi"

Load = Callable[..., Summary]


def new() -> str:
    """An id."""
    return str(uuid.uuid4())


@pytest.fixture
def load(served: Served) -> Load:
    """Load these paths, in this process, into the database of the application."""

    def loaded(*paths: Path) -> Summary:
        return command.load(served.client, Settings(mongodb_database=served.name), list(paths), base=BASE, quiet=True)

    return loaded


def write(path: Path, document: Any) -> Path:
    """A JSON document over several lines, as Synthea writes them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2))
    return path


def lines(*resources: dict[str, Any]) -> bytes:
    """NDJSON."""
    return b"".join(json.dumps(resource).encode() + b"\n" for resource in resources)


def fates(summary: Summary) -> dict[tuple[str, str], int]:
    """How many of each type came to which end."""
    return dict(summary.tally.fates)


def synthea(folder: Path, *, npi: str) -> dict[str, str]:
    """A person, their encounter and their doctor as Synthea writes them; the ids by name."""
    ids = {name: new() for name in ("patient", "encounter", "claim", "doctor", "clinic", "report")}
    full = {name: f"urn:uuid:{id}" for name, id in ids.items()}
    encounter = {
        "resourceType": "Encounter",
        "id": ids["encounter"],
        "status": "finished",
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
        "subject": {"reference": full["patient"]},
        "participant": [{"individual": {"reference": f"Practitioner?identifier={NPI}|{npi}"}}],
        "serviceProvider": {"reference": f"Organization?identifier=https://github.com/synthetichealth/synthea|{npi}"},
    }
    report = {
        "resourceType": "DiagnosticReport",
        "id": ids["report"],
        "status": "final",
        "code": {"text": "note"},
        "subject": {"reference": full["patient"]},
        "encounter": {"reference": full["encounter"]},
        "extension": [{"url": "http://a.example/claim", "valueReference": {"reference": full["claim"]}}],
        "presentedForm": [{"contentType": "text/plain", "url": full["encounter"]}],
    }
    claim = {
        "resourceType": "Invoice",
        "id": ids["claim"],
        "status": "active",
        "patient": {"reference": full["patient"]},
    }
    write(
        folder / "Aaron697_Jones.json",
        transaction(
            entry("POST", "Patient", patient(id=ids["patient"]), fullUrl=full["patient"]),
            entry("POST", "Encounter", encounter, fullUrl=full["encounter"]),
            entry("POST", "Invoice", claim, fullUrl=full["claim"]),
            entry("POST", "DiagnosticReport", report, fullUrl=full["report"]),
        ),
    )
    doctor = {"resourceType": "Practitioner", "id": ids["doctor"], "identifier": [{"system": NPI, "value": npi}]}
    clinic = {
        "resourceType": "Organization",
        "id": ids["clinic"],
        "identifier": [{"system": "https://github.com/synthetichealth/synthea", "value": npi}],
    }
    condition = f"identifier={NPI}|{npi}"
    write(
        folder / "practitionerInformation1.json",
        transaction(entry("POST", "Practitioner", doctor, fullUrl=full["doctor"], ifNoneExist=condition), type="batch"),
    )
    write(
        folder / "zz_clinics.json",
        transaction(entry("POST", "Organization", clinic, fullUrl=full["clinic"]), type="batch"),
    )
    return ids


def test_a_synthea_folder_comes_in_whole(tmp_path: Path, load: Load, operator: Caller) -> None:
    """Uuids within the Bundle, conditional references into files before and after, a type that is not kept."""
    ids = synthea(tmp_path, npi=new())
    summary = load(tmp_path)
    assert not summary.failed and summary.tally.faults("warning") == 0
    assert summary.tally.of("created") == 5 and fates(summary)["Invoice", "not kept"] == 1

    encounter = operator.get(f"Encounter/{ids['encounter']}")
    assert encounter["subject"] == {"reference": f"Patient/{ids['patient']}"}
    assert encounter["participant"][0]["individual"] == {"reference": f"Practitioner/{ids['doctor']}"}
    assert encounter["serviceProvider"] == {"reference": f"Organization/{ids['clinic']}"}
    report = operator.get(f"DiagnosticReport/{ids['report']}")
    assert report["encounter"] == {"reference": f"Encounter/{ids['encounter']}"}
    assert report["presentedForm"][0]["url"] == f"Encounter/{ids['encounter']}"
    assert report["extension"][0]["valueReference"] == {"reference": f"Invoice/{ids['claim']}"}
    assert operator.get(f"Encounter?patient={ids['patient']}")["total"] == 1


def test_again_changes_nothing(tmp_path: Path, load: Load, operator: Caller) -> None:
    """What is there with the same content stays at its version, and no write is recorded."""
    ids = synthea(tmp_path, npi=new())
    load(tmp_path)
    summary = load(tmp_path)
    assert summary.tally.of("unchanged") == 5 and summary.tally.of("created", "updated", "faulty") == 0
    assert operator.get(f"Encounter/{ids['encounter']}")["meta"]["versionId"] == "1"


def test_what_has_changed_becomes_a_new_version(tmp_path: Path, load: Load, operator: Caller) -> None:
    """Only that; a decimal written otherwise is a change, the order of elements is not.  R4: datatypes.html#decimal"""
    ids = [new() for _ in range(3)]
    quantity = {"value": 1.5, "unit": "kg"}
    first = [observation(id=id, valueQuantity=quantity, note=[{"text": "a"}]) for id in ids]
    (tmp_path / "a.ndjson").write_bytes(lines(*first))
    load(tmp_path)
    reordered = dict(reversed(first[1].items()))
    text = lines(first[0], reordered, first[2]).replace(b"1.5", b"1.50", 1)
    (tmp_path / "a.ndjson").write_bytes(text)
    summary = load(tmp_path)
    assert fates(summary) == {("Observation", "updated"): 1, ("Observation", "unchanged"): 2}
    changed = operator("GET", f"Observation/{ids[0]}")
    assert b'"value":1.50' in changed.data and changed.json["meta"]["versionId"] == "2"


def test_what_was_deleted_comes_back_behind_its_deletion(tmp_path: Path, load: Load, operator: Caller) -> None:
    """Versions go on counting.  R4: http.html#delete"""
    id = new()
    (tmp_path / "a.ndjson").write_bytes(lines(patient(id=id)))
    load(tmp_path)
    operator("DELETE", f"Patient/{id}")
    summary = load(tmp_path)
    assert fates(summary) == {("Patient", "created"): 1}
    assert operator.get(f"Patient/{id}")["meta"]["versionId"] == "3"


def test_the_same_resource_twice_in_one_load(tmp_path: Path, load: Load, operator: Caller) -> None:
    """The later one stands."""
    id = new()
    (tmp_path / "a.ndjson").write_bytes(
        lines(patient(id=id, active=False), patient(id=id), patient(id=id, active=True))
    )
    summary = load(tmp_path)
    assert fates(summary) == {("Patient", "created"): 1, ("Patient", "updated"): 2}
    assert operator.get(f"Patient/{id}")["active"] is True


def test_every_kind_of_file(tmp_path: Path, load: Load, operator: Caller) -> None:
    """JSON, XML, NDJSON, gz, zip, collections, searches, single resources, folders."""
    ids = [new() for _ in range(7)]
    write(tmp_path / "deep" / "collection.json", transaction({"resource": patient(id=ids[0])}, type="collection"))
    outcome = {"resource": {"resourceType": "OperationOutcome"}, "search": {"mode": "outcome"}}
    write(tmp_path / "search.json", transaction({"resource": patient(id=ids[1])}, outcome, type="searchset"))
    write(tmp_path / "one.json", patient(id=ids[2]))
    (tmp_path / "Patient.0.ndjson.gz").write_bytes(gzip.compress(lines(patient(id=ids[3]), patient(id=ids[4]))))
    (tmp_path / "one.xml").write_text(f'<Patient xmlns="http://hl7.org/fhir"><id value="{ids[5]}"/></Patient>')
    with zipfile.ZipFile(tmp_path / "sample.zip", "w") as archive:
        archive.writestr("fhir/one.json", json.dumps(patient(id=ids[6])))
    summary = load(tmp_path)
    assert not summary.failed and fates(summary) == {("Patient", "created"): 7}
    for id in ids:
        operator.get(f"Patient/{id}")


def test_a_document_bundle_is_kept_as_one(tmp_path: Path, load: Load, operator: Caller) -> None:
    """R4: documents.html"""
    id = new()
    composition = {
        "resourceType": "Composition",
        "status": "final",
        "type": {"text": "a"},
        "date": "2024-01-01",
        "author": [{"display": "a"}],
        "title": "a",
    }
    document = {
        **transaction({"fullUrl": f"urn:uuid:{new()}", "resource": composition}, type="document"),
        "id": id,
        "identifier": {"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{id}"},
        "timestamp": "2024-01-01T00:00:00Z",
    }
    assert fates(load(write(tmp_path / "d.json", document))) == {("Bundle", "created"): 1}
    assert operator.get(f"Bundle/{id}")["type"] == "document"


def test_uuids_lead_across_files(tmp_path: Path, load: Load, operator: Caller) -> None:
    """Into a later file; also where the resource has another id than its full URL."""
    known, other, first, second = new(), new(), new(), new()
    (tmp_path / "a.ndjson").write_bytes(
        lines(
            observation(id=first, subject={"reference": f"urn:uuid:{known}"}),
            observation(id=second, subject={"reference": f"urn:uuid:{other}"}),
        )
    )
    (tmp_path / "b.ndjson").write_bytes(lines(patient(id=known)))
    write(
        tmp_path / "c.json",
        transaction(
            entry("PUT", f"Patient/own-{other[:8]}", patient(id=f"own-{other[:8]}"), fullUrl=f"urn:uuid:{other}")
        ),
    )
    summary = load(tmp_path)
    assert not summary.failed and summary.tally.faults("warning") == 0
    assert operator.get(f"Observation/{first}")["subject"] == {"reference": f"Patient/{known}"}
    assert operator.get(f"Observation/{second}")["subject"] == {"reference": f"Patient/own-{other[:8]}"}


def test_addresses_elsewhere_lead_here_if_what_is_there_was_loaded(
    tmp_path: Path, load: Load, operator: Caller
) -> None:
    """R4: references.html#literal: an absolute URL of a server whose resources these are; another server's stays."""
    id, first = new(), new()
    root = "https://other.example/fhir"
    here = {"reference": f"{root}/Patient/{id}"}
    away = {"reference": f"{root}/Practitioner/not-loaded"}
    strange = {"reference": f"https://third.example/fhir/Patient/{id}"}
    (tmp_path / "a.ndjson").write_bytes(lines(observation(id=first, subject=here, performer=[away, strange])))
    write(
        tmp_path / "b.json",
        transaction({"fullUrl": f"{root}/Patient/{id}", "resource": patient(id=id)}, type="collection"),
    )
    summary = load(tmp_path)
    assert not summary.failed and summary.tally.faults("warning") == 0
    kept = operator.get(f"Observation/{first}")
    assert kept["subject"] == {"reference": f"Patient/{id}"}
    assert kept["performer"] == [away, strange]


def test_a_reference_that_leads_nowhere_is_a_warning_until_it_does(
    tmp_path: Path, load: Load, operator: Caller
) -> None:
    """The resource is kept as it is; the next load, with what was missing, resolves it."""
    missing, npi, id = new(), new(), new()
    asked = f"Practitioner?identifier={NPI}|{npi}"
    resource = observation(id=id, subject={"reference": f"urn:uuid:{missing}"}, performer=[{"reference": asked}])
    (tmp_path / "a.ndjson").write_bytes(lines(resource))
    summary = load(tmp_path)
    assert not summary.failed and summary.tally.of("created") == 1
    said = " ".join(group.message for _, group in summary.tally.kinds("warning"))
    assert missing in said and npi in said and summary.tally.faults("warning") == 2
    assert operator.get(f"Observation/{id}")["subject"] == {"reference": f"urn:uuid:{missing}"}

    doctor = {"resourceType": "Practitioner", "id": new(), "identifier": [{"system": NPI, "value": npi}]}
    (tmp_path / "b.ndjson").write_bytes(lines(patient(id=missing), doctor))
    summary = load(tmp_path)
    assert summary.tally.faults("warning") == 0 and fates(summary)["Observation", "updated"] == 1
    kept = operator.get(f"Observation/{id}")
    assert kept["subject"] == {"reference": f"Patient/{missing}"}
    assert kept["performer"] == [{"reference": f"Practitioner/{doctor['id']}"}]


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ("Practitioner?identifier=http://twice.example|1", "more than one"),
        ("Practitioner?colour=blue", "colour"),
        ("Invoice?identifier=1", "not kept"),
    ],
)
def test_a_conditional_reference_needs_one_match(tmp_path: Path, load: Load, asked: str, why: str) -> None:
    """R4: http.html#trules"""
    twins = [
        {"resourceType": "Practitioner", "id": id, "identifier": [{"system": "http://twice.example", "value": "1"}]}
        for id in ("twice-1", "twice-2")
    ]
    (tmp_path / "a.ndjson").write_bytes(lines(*twins, observation(id=new(), performer=[{"reference": asked}])))
    summary = load(tmp_path)
    ((_, group),) = summary.tally.kinds("warning")
    assert why in group.message and group.place.endswith("a.ndjson:3")


def test_conditional_creates_find_what_is_there(tmp_path: Path, load: Load, operator: Caller) -> None:
    """R4: http.html#ccreate: nothing new is made, and what refers to the entry refers to what is there."""
    npi, doctor, other, id = new(), new(), new(), new()
    person = {"resourceType": "Practitioner", "identifier": [{"system": NPI, "value": npi}]}
    condition = f"identifier={NPI}|{npi}"
    for name, uuid_ in (("a", doctor), ("b", other)):
        write(
            tmp_path / f"{name}.json",
            transaction(
                entry("POST", "Practitioner", person, fullUrl=f"urn:uuid:{uuid_}", ifNoneExist=condition),
                entry(
                    "POST",
                    "Observation",
                    observation(performer=[{"reference": f"urn:uuid:{uuid_}"}]),
                    fullUrl=f"urn:uuid:{id if name == 'b' else new()}",
                ),
            ),
        )
    summary = load(tmp_path)
    assert not summary.failed
    assert operator.get(f"Practitioner?{condition}")["total"] == 1
    assert operator.get(f"Observation/{id}")["performer"] == [{"reference": f"Practitioner/{doctor}"}]


def test_conditional_updates_replace_what_is_there(tmp_path: Path, load: Load, operator: Caller) -> None:
    """R4: http.html#cond-update"""
    npi, doctor = new(), new()
    person = {"resourceType": "Practitioner", "id": doctor, "identifier": [{"system": NPI, "value": npi}]}
    (tmp_path / "a.ndjson").write_bytes(lines(person))
    load(tmp_path)
    later = {key: value for key, value in person.items() if key != "id"} | {"active": True}
    write(
        tmp_path / "a.json",
        transaction(entry("PUT", f"Practitioner?identifier={NPI}|{npi}", later, fullUrl=f"urn:uuid:{new()}")),
    )
    assert fates(load(tmp_path / "a.json")) == {("Practitioner", "updated"): 1}
    assert operator.get(f"Practitioner/{doctor}")["active"] is True


def test_faults_are_told_with_their_place_and_the_rest_is_loaded(tmp_path: Path, load: Load, operator: Caller) -> None:
    """By kind: how many, and where the first is."""
    good = new()
    (tmp_path / "a.ndjson").write_bytes(
        lines(patient(id=good), patient(id=new(), gendre="male"), patient(id=new(), gendre="female"))
        + b"\n{no json}\n"
        + lines(patient(id="not an id"), patient(id=new(), birthDate="2023-02-30"))
    )
    (tmp_path / "b.json").write_text("")
    packed = gzip.compress(os.urandom(5000))
    (tmp_path / "c.json.gz").write_bytes(packed[:2000])
    summary = load(tmp_path, tmp_path / "gone.json")
    assert summary.failed
    assert fates(summary) == {("Patient", "created"): 1, ("Patient", "faulty"): 4, ("(unknown)", "faulty"): 2}
    told = {group.place.rpartition("/")[2]: group for _, group in summary.tally.kinds("error")}
    assert told["a.ndjson:2"].count == 2 and "did you mean `gender`" in told["a.ndjson:2"].message
    assert "JSON" in told["a.ndjson:5"].message and "empty" in told["b.json"].message
    assert "Patient.id" in told["a.ndjson:6"].message and "Patient.birthDate" in told["a.ndjson:7"].message
    assert ["gone.json" in summary.unreadable[0], "c.json.gz" in summary.unreadable[1]] == [True, True]
    operator.get(f"Patient/{good}")


def test_what_is_too_large_leaves_the_others(tmp_path: Path, load: Load, operator: Caller) -> None:
    """A document of MongoDB holds 16 MB."""
    ids = [new() for _ in range(3)]
    resources = [patient(id=id) for id in ids]
    resources[1]["photo"] = [{"contentType": "image/png", "data": "QUJD" * 4_300_000}]
    write(tmp_path / "a.json", transaction(*({"resource": resource} for resource in resources), type="collection"))
    summary = load(tmp_path)
    assert fates(summary) == {("Patient", "created"): 2, ("Patient", "faulty"): 1}
    assert "too large" in summary.tally.kinds("error")[0][1].message
    operator.get(f"Patient/{ids[2]}")


def test_every_transaction_is_recorded_as_the_operators(tmp_path: Path, load: Load, served: Served) -> None:
    """rule A17: each version that was written is named by an AuditEvent."""
    ids = [new() for _ in range(3)]
    (tmp_path / "a.ndjson").write_bytes(lines(*(patient(id=id) for id in ids)))
    load(tmp_path)
    follow(served.client, served.name)
    kept = served.database["AuditEvent"].find({}, {"body": 1}).sort("updated", -1).limit(20)
    named = {
        entity.get("what", {}).get("reference")
        for event in (json.loads(document["body"]) for document in kept)
        if event["agent"][0]["who"].get("display") == "operator"
        for entity in event["entity"]
    }
    assert {f"Patient/{id}/_history/1" for id in ids} <= named


def test_the_seed_record_comes_in_whole(load: Load) -> None:
    """It is carried with the program."""
    summary = load(carried("seed_data") / "bundles")
    assert not summary.failed and summary.tally.faults("warning") == 0 and summary.kept > 2000


# --- the command


def many(path: Path, number: int) -> list[str]:
    """Observations enough for several processes, and their ids."""
    ids = [new() for _ in range(number)]
    note = [{"text": "x" * (5_000_000 // number)}]
    path.write_bytes(lines(*(observation(id=id, note=note) for id in ids)))
    return ids


@pytest.fixture
def settings(served: Served, mongodb_uri: str) -> Iterator[dict[str, str]]:
    """The application's database, for a command."""
    yield {"mongodb_uri": mongodb_uri, "mongodb_database": served.name}


def test_the_command_loads_with_several_processes(tmp_path: Path, settings: dict[str, str], operator: Caller) -> None:
    """It says how many of each type, and exits 0; again, and all is there already."""
    ids = many(tmp_path / "Observation.ndjson", 1500)
    synthea(tmp_path, npi=new())
    done = run("load", tmp_path, **settings)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1505 loaded, 0 updated, 0 already there, 0 faulty" in done.stdout and "not kept here" in done.stdout
    for id in (ids[0], ids[-1]):
        operator.get(f"Observation/{id}")
    done = run("load", tmp_path, **settings)
    assert done.returncode == 0 and "0 loaded, 0 updated, 1505 already there" in done.stdout


def test_the_command_exits_1_on_a_fault(tmp_path: Path, settings: dict[str, str]) -> None:
    """With the fault, its number and its place."""
    (tmp_path / "a.ndjson").write_bytes(lines(patient(id=new(), gendre="male"), patient(id=new())))
    done = run("load", tmp_path, tmp_path / "gone", **settings)
    assert done.returncode == 1
    assert "did you mean `gender`" in done.stdout and "a.ndjson:1" in done.stdout
    assert f"{tmp_path}/gone: there is no such file or folder" in done.stdout
    assert "1 loaded, 0 updated, 0 already there, 1 faulty" in done.stdout


def test_ctrl_c_stops_cleanly_and_the_next_run_goes_on(
    tmp_path: Path, settings: dict[str, str], served: Served
) -> None:
    """Exit 130; what was written is whole, and counted."""
    ids = many(tmp_path / "a.ndjson", 6000)
    process = subprocess.Popen(
        [*COMMAND, "load", str(tmp_path)],
        env=environ(**settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_until(lambda: served.database["Observation"].find_one({"_id": {"$in": ids}}))
    # As a terminal does it: to every process of the group.
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, out + err
    assert "Run the same command again" in out and "Traceback" not in err
    there = served.database["Observation"].count_documents({"_id": {"$in": ids}})
    assert 0 < there < len(ids) and f"{there} loaded" in out
    done = run("load", tmp_path, **settings)
    assert done.returncode == 0
    assert f"{len(ids) - there} loaded, 0 updated, {there} already there" in done.stdout
