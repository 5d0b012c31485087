"""`fhir-server check`: what it says of files, and how it ends."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from fhir_server.cli.check import Report, check
from fhir_server.fhir import xml
from tests.build import least, observation, patient

GOOD = patient(text={"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">Zoé</div>'})
BAD = {**GOOD, "gendre": "female", "birthDate": "hier"}


def checked(*paths: Path, errors_only: bool = False) -> tuple[Report, list[str]]:
    lines: list[str] = []
    return check(paths, errors_only=errors_only, say=lines.append, console=Console()), lines


def written(path: Path, *resources: object) -> Path:
    text = "\n".join(json.dumps(resource) for resource in resources)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def test_a_good_resource_has_nothing_said_of_it(tmp_path: Path) -> None:
    report, lines = checked(written(tmp_path / "good.json", GOOD))

    assert not report.failed
    assert lines == ["1 resource checked, 0 faulty: 0 errors, 0 warnings."]


def test_each_fault_has_its_file_its_place_and_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(BAD, indent=1), encoding="utf-8")
    report, lines = checked(path)

    assert report.failed
    assert lines == [
        f"{path}: Patient.gendre error: `gendre` is not an element of Patient; did you mean `gender`?",
        f"{path}: Patient.birthDate error: `birthDate`: `hier` is not a date (YYYY, YYYY-MM or YYYY-MM-DD).",
        "1 resource checked, 1 faulty: 2 errors, 0 warnings.",
    ]


def test_a_line_of_ndjson_has_its_number_and_a_bundle_its_entries(tmp_path: Path) -> None:
    """NDJSON, packed or not; R4: bundle.html"""
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": GOOD}, {"resource": BAD}]}
    lines = checked(written(tmp_path / "many.ndjson.gz", GOOD, BAD, bundle))[1]

    assert [line.partition(" error")[0].rpartition("many.ndjson.gz:")[2] for line in lines[:-1]] == [
        "2: Patient.gendre",
        "2: Patient.birthDate",
        "3: Bundle.entry[1].resource.gendre",
        "3: Bundle.entry[1].resource.birthDate",
    ]
    assert lines[-1] == "3 resources checked, 2 faulty: 4 errors, 0 warnings."


def test_xml_is_read_too(tmp_path: Path) -> None:
    """R4: xml.html"""
    path = tmp_path / "one.xml"
    path.write_bytes(xml.dumps({**observation(), "status": "finale"}))
    (fault, *_) = checked(path, errors_only=True)[1]

    assert fault.startswith(f"{path}: Observation.status error: `status`: `finale` is not a code of observation-status")


def test_what_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text('{"resourceType": "Patient",\n}', encoding="utf-8")
    report, lines = checked(broken, tmp_path / "nothing")

    assert report.failed
    assert lines[:2] == [
        f"{tmp_path}/nothing: error: there is no such file or folder",
        f"{broken}: error: Not JSON: nothing between a comma and `}}`, line 2 column 1.",
    ]


@pytest.mark.parametrize("errors_only", [True, False])
def test_the_same_warning_is_said_three_times_and_then_counted(tmp_path: Path, errors_only: bool) -> None:
    report, lines = checked(written(tmp_path / "many.ndjson", *[least("Basic")] * 10), errors_only=errors_only)

    assert not report.failed
    assert report.counts["warning"] == 10
    assert len(lines) == (1 if errors_only else 5)
    if not errors_only:
        assert lines[3].startswith("7 more: ")


def test_the_command_ends_with_1_where_there_is_an_error(tmp_path: Path) -> None:
    good, bad = written(tmp_path / "good.json", GOOD), written(tmp_path / "bad.json", BAD)
    codes = [
        subprocess.run([sys.executable, "-m", "fhir_server", "check", path], capture_output=True).returncode
        for path in (good, bad)
    ]
    assert codes == [0, 1]


def test_a_table_that_lies_among_resources_is_passed_over(tmp_path: Path) -> None:
    """It is told that it was; named by itself, or being a resource that lost its type, it is an error"""
    table = written(tmp_path / "table.json", {"codes": {}, "open": []})
    written(tmp_path / "good.json", GOOD)
    report, lines = checked(tmp_path)

    assert (report.failed, report.checked, report.passed_over) == (False, 1, 1)
    assert lines[0] == "1 passed over: no resource is in it."
    assert checked(table)[0].failed
    written(tmp_path / "lost.json", {name: value for name, value in GOOD.items() if name != "resourceType"})
    assert checked(tmp_path)[0].counts["error"] == 1
