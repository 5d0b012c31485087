"""The brand bundle, ours and an operator's.  SMART App Launch 2.2: brands.html"""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fhir_server.config import ConfigError, Settings
from fhir_server.smart import brands

BASE_URL = "https://www.record.example"
NOW = datetime(2026, 11, 22, 14, 0, tzinfo=UTC)


def own_bundle() -> dict[str, Any]:
    """A bundle as an operator has it: an endpoint, the brand that has it, and a brand beside it."""
    primary, endpoint = brands.entries(BASE_URL, name="Record")
    practice = copy.deepcopy(primary) | {
        "id": "practice",
        "name": "Practice",
        "identifier": [{"value": "https://practice.example"}],
    }
    practice["endpoint"] = []
    return brands.bundle([practice, endpoint, primary], BASE_URL, NOW)


def test_one_brand_with_one_endpoint() -> None:
    """brands.html: identifier without `www.` and path; the primary brand references each endpoint"""
    organization, endpoint = brands.entries(BASE_URL, name="Record")

    assert organization["identifier"] == [{"system": "urn:ietf:rfc:3986", "value": "https://record.example"}]
    assert organization["endpoint"] == [{"reference": f"Endpoint/{endpoint['id']}"}]
    assert endpoint["address"] == f"{BASE_URL}/fhir"
    assert endpoint["extension"] == [
        {"url": "http://hl7.org/fhir/StructureDefinition/endpoint-fhir-version", "valueCode": "4.0.1"}
    ]


def test_a_bundle_of_the_operator(tmp_path: Path) -> None:
    """brands.html: the primary brand is the one that has every endpoint"""
    file = tmp_path / "brands.json"
    file.write_text(json.dumps(own_bundle()))

    read = brands.of(Settings(brands=str(file)), BASE_URL)

    assert read[0]["name"] == "Record"
    assert brands.identifier(read)["value"] == "https://record.example"
    assert len(read) == 3


def broken(change: str) -> Any:
    """The operator's bundle with one thing wrong."""
    bundle = own_bundle()
    practice, endpoint, primary = (entry["resource"] for entry in bundle["entry"])
    match change:
        case "no JSON":
            return "<Bundle/>"
        case "no entries":
            del bundle["entry"]
        case "another type of bundle":
            bundle["type"] = "searchset"
        case "a patient in it":
            bundle["entry"].append({"resource": {"resourceType": "Patient"}})
        case "another server's endpoint":
            endpoint["address"] = "https://elsewhere.example/fhir"
        case "nobody has the endpoint":
            primary["endpoint"] = []
        case "the identifier of two":
            practice["identifier"] = primary["identifier"]
        case "a reason that is none":
            absent = {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}
            primary["telecom"] = [{"extension": [absent]}]
    return json.dumps(bundle)


@pytest.mark.parametrize(
    "change",
    [
        "no JSON",
        "no entries",
        "another type of bundle",
        "a patient in it",
        "another server's endpoint",
        "nobody has the endpoint",
        "the identifier of two",
        "a reason that is none",
    ],
)
def test_a_bundle_that_apps_cannot_use_stops_the_start(change: str) -> None:
    """brands.html#conformance-overview"""
    with pytest.raises(ConfigError, match="brand bundle"):
        brands.read(broken(change), f"{BASE_URL}/fhir")


def test_a_file_that_is_not_there_is_named() -> None:
    """The operator's first mistake"""
    with pytest.raises(ConfigError, match="/nowhere/brands.json"):
        brands.of(Settings(brands="/nowhere/brands.json"), BASE_URL)
