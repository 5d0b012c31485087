"""The sections of a record: whole, without overlap, and what one expects of the demonstration record."""

from __future__ import annotations

import functools
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fhir_server.access import sections
from fhir_server.access.scopes import Scope, parse
from fhir_server.fhir import json
from fhir_server.fhir.dates import PARIS
from fhir_server.fhir.types import TYPES
from fhir_server.search.expression import Expression
from fhir_server.search.index import entry
from fhir_server.search.matcher import matches
from fhir_server.search.parser import Reader
from fhir_server.web.words import LANGUAGES, words

SEED = Path(__file__).parents[2] / "seed_data" / "bundles"
READER = Reader("http://fhir.test/fhir", PARIS, datetime(2026, 11, 22, tzinfo=UTC))
RECORDS = [name for name, type in TYPES.items() if type.patient]
OWN = "https://fhir-server.example/CodeSystem/profile-section"


@functools.cache
def read(part: sections.Part) -> Expression:
    """The filter of a part."""
    return READER.expression(part.type, part.constraints)


def sections_of(resource: dict[str, Any]) -> list[str]:
    """The sections that a resource stands in."""
    kept = {"_id": resource["id"], **entry(resource["resourceType"], resource)}
    return [
        section.code
        for section in sections.SECTIONS
        for part in section.parts
        if part.type == resource["resourceType"] and matches(read(part), kept)
    ]


@functools.cache
def seed() -> dict[str, dict[str, Any]]:
    """What stands in the records of the demonstration, by `Type/id`."""
    entries = [entry for path in sorted(SEED.glob("*.json")) for entry in json.parse(path.read_bytes())["entry"]]
    found = {entry["request"]["url"]: entry["resource"] for entry in entries}
    return {name: resource for name, resource in found.items() if resource["resourceType"] in RECORDS}


def test_each_type_of_a_record_is_in_a_section() -> None:
    """docs/access.md: a type that no section knows, no permit could open"""
    assert [type for type in RECORDS if not sections.sections_of(type)] == []


def test_each_part_is_a_scope() -> None:
    """SMART App Launch 2.2: fine-grained resource constraints; what a row of the consent page stands for"""
    for section in sections.SECTIONS:
        for part in section.parts:
            scope = Scope("patient", part.type, "rs", part.constraints)
            assert parse(str(scope)) == (scope,)
            read(part)


def test_no_code_stands_twice() -> None:
    """A permit names a section by its code."""
    assert len(sections.BY_CODE) == len(sections.SECTIONS)
    assert {"DOCUMENTS", "VACCINATIONS", "ENTOURAGE_VOLONTES", "DIRECTIVES_ANTICIPEES", "MHS"} == sections.EMERGENCY


def test_each_resource_of_the_demonstration_is_in_one_section() -> None:
    """One, so that what is opened by one row of the consent page is not opened by another."""
    found = {name: sections_of(resource) for name, resource in seed().items()}
    assert {name: where for name, where in found.items() if len(where) != 1} == {}
    assert len({where[0] for where in found.values()}) >= 18


def expected(resource: dict[str, Any]) -> str | None:
    """The section that the resource itself says, or that its type alone tells; None where neither does."""
    text = json.dumps(resource).decode()
    for code in sections.BY_CODE:
        if f'"system":"{OWN}","code":"{code}"' in text.replace(": ", ":").replace(", ", ","):
            return code
    by_type = {
        "Immunization": "VACCINATIONS",
        "MedicationStatement": "TRAITEMENTS",
        "AllergyIntolerance": "ALLERGIES",
        "Communication": "MESSAGES",
        "Appointment": "AGENDA",
        "Patient": "IDENTITE",
    }
    return by_type.get(resource["resourceType"])


def test_a_section_that_is_said_is_the_section() -> None:
    """The demonstration names the section of each illness, handicap and declaration."""
    told = {name: expected(resource) for name, resource in seed().items()}
    assert sum(code is not None for code in told.values()) > 250
    assert {
        name: sections_of(seed()[name]) for name, code in told.items() if code and sections_of(seed()[name]) != [code]
    } == {}


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("DocumentReference/ange-paoletti-prescription-kine", "DOCUMENTS"),
        ("DocumentReference/martine-dubreuil-directives", "DIRECTIVES_ANTICIPEES"),
        ("Consent/martine-dubreuil-don-organes", "ENTOURAGE_VOLONTES"),
        ("Consent/martine-dubreuil-accord-lemoine", "CONFIDENTIALITE"),
        ("Device/gerard-dubreuil-stimulateur", "HOSPITALISATIONS"),
        ("Device/ange-paoletti-mesures", "MESURES"),
        ("Observation/joel-hamon-groupe-sanguin", "GROUPE_SANGUIN"),
        ("Observation/camille-moreau-tabac", "HABITUDES_VIE"),
        ("Observation/gerard-dubreuil-labo-2823-3-2026-09-07", "RESULTATS"),
    ],
)
def test_what_one_expects(name: str, code: str) -> None:
    """Where people would look for it."""
    assert sections_of(seed()[name]) == [code]


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_section_has_words(language: str) -> None:
    """A label and a sentence each, in each language."""
    told = words(language)["sections"]
    assert told.keys() == sections.BY_CODE.keys()
    assert all(one["label"] and one["sentence"].endswith(".") for one in told.values())
