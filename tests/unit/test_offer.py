"""The rows of the consent page: what each stands for, how it stands at first, and what it opens in a real record."""

from __future__ import annotations

import functools
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fhir_server.access.scopes import parse
from fhir_server.fhir import json
from fhir_server.fhir.dates import PARIS
from fhir_server.fhir.types import TYPES
from fhir_server.search.index import entry
from fhir_server.search.matcher import matches
from fhir_server.search.parser import Reader
from fhir_server.smart.offer import DIVISIONS, SENSITIVE, Row, asks_no_more, granted, rows

SEED = Path(__file__).parents[2] / "seed_data" / "bundles"
READER = Reader("http://fhir.test/fhir", PARIS, datetime(2026, 11, 22, tzinfo=UTC))
LABORATORY = "category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory"


def by_id(scope: str, **how: Any) -> dict[str, Row]:
    """The rows by their ids."""
    return {row.id: row for row in rows(scope, **how)}


@functools.cache
def seed() -> list[tuple[str, dict[str, Any]]]:
    """What stands in the records of the demonstration: the type and the index entry of each.  Of measures, some."""
    found = [one["resource"] for path in sorted(SEED.glob("*.json")) for one in json.parse(path.read_bytes())["entry"]]
    return [
        (resource["resourceType"], {"_id": resource["id"], **entry(resource["resourceType"], resource)})
        for position, resource in enumerate(found)
        if TYPES[resource["resourceType"]].patient and (resource["resourceType"] != "Observation" or not position % 7)
    ]


@functools.cache
def filter_of(type: str, constraints: tuple[tuple[str, str], ...]) -> Any:
    """The filter of a granular scope."""
    return READER.expression(type, constraints)


def opened(scope: str) -> set[str]:
    """What of the records of the demonstration the scopes open."""
    given = parse(scope)
    return {
        f"{type}/{kept['_id']}"
        for type, kept in seed()
        if any(one.type in ("*", type) and matches(filter_of(type, one.constraints), kept) for one in given)
    }


def test_reading_and_writing_are_two_rows() -> None:
    """Read and write are distinguished by words"""
    offered = by_id("patient/AllergyIntolerance.crus")
    assert {row.id: (row.letters, row.reads) for row in offered.values()} == {
        "ALLERGIES-read": ("rs", True),
        "ALLERGIES-write": ("cu", False),
    }
    assert granted("patient/AllergyIntolerance.crus", offered.values(), {"ALLERGIES-write"}) == (
        "patient/AllergyIntolerance.cu"
    )


@pytest.mark.parametrize("type", ["Observation", "Condition"])
def test_the_categories_that_apps_ask_for(type: str) -> None:
    """ONC (g)(10): Observation and Condition are always offered by category"""
    codes = {pair for row in rows(f"patient/{type}.rs") for piece in row.pieces for pair in piece.part.constraints}
    asked = {
        ("category", code) for (_, divided), found in DIVISIONS.items() if divided == type for code in found.values()
    }
    assert asked <= codes
    if type == "Observation":
        system = "http://terminology.hl7.org/CodeSystem/observation-category"
        assert {("category", f"{system}|vital-signs"), ("category", f"{system}|social-history")} <= codes


def test_what_is_sensitive_or_to_come_is_given_knowingly() -> None:
    """Sensitive rows start unticked, and so does what nobody has seen yet"""
    offered = rows("patient/*.cruds offline_access")
    unticked = {row.place for row in offered if not row.ticked}
    assert unticked == SENSITIVE | {"rest", "lasting"}
    assert by_id("patient/Communication.rs")["MESSAGES-read"].sensitive


def test_a_wildcard_is_granted_whole_only_with_what_is_to_come() -> None:
    """SMART App Launch 2.2: a wildcard covers types added later"""
    asked = "patient/*.rs"
    offered = by_id(asked)
    without = granted(asked, offered.values(), offered.keys() - {"rest-read"})
    assert "*" not in without
    assert {one.type for one in parse(without)} == set(TYPES)
    assert granted(asked, offered.values(), offered.keys()) == asked
    assert granted(asked, offered.values(), {"rest-read"}) == ""


def test_version_1_is_answered_in_its_words() -> None:
    """SMART App Launch 2.2: v1 strings for who asked in them; what they cannot say is said in v2"""
    asked = "patient/Observation.* patient/Immunization.read patient/AllergyIntolerance.*"
    offered = by_id(asked)
    assert granted(asked, offered.values(), offered.keys()) == asked
    reading = {id for id, row in offered.items() if row.reads}
    assert granted(asked, offered.values(), reading) == (
        "patient/Observation.read patient/Immunization.read patient/AllergyIntolerance.read"
    )
    assert granted(asked, offered.values(), {"MESURES-read"}) == (
        "patient/Observation.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|vital-signs"
    )


def test_a_scope_with_a_constraint_is_granted_as_it_was_asked() -> None:
    """SMART App Launch 2.2: fine-grained resource constraints"""
    asked = f"patient/Observation.rs?{LABORATORY} patient/AllergyIntolerance.rs?clinical-status=active"
    offered = by_id(asked)
    assert set(offered) == {"RESULTATS.laboratory-read", "ALLERGIES-read"}
    assert granted(asked, offered.values(), offered.keys()) == asked


def test_a_constraint_that_no_section_knows_is_told_as_it_is() -> None:
    """Whatever is granted is shown"""
    offered = by_id("patient/Observation.rs?code=http://loinc.org|4548-4")
    assert offered["other-read"].limits == ("Observation?code=http://loinc.org|4548-4",)


def test_the_directory_is_one_row_and_always_there() -> None:
    """ONC (g)(10): patient/ scopes on types outside the compartment are grantable"""
    asked = "patient/Practitioner.rs patient/Organization.rs patient/Medication.rs patient/Location.r"
    (row,) = rows(asked)
    assert (row.id, row.ticked) == ("directory", True)
    assert granted(asked, [row], {"directory"}) == asked


def test_what_opens_no_resource_is_said_and_comes_along() -> None:
    """SMART App Launch 2.2: openid, fhirUser, launch/patient; offline_access only where it was ticked"""
    asked = "openid fhirUser launch/patient offline_access online_access patient/Patient.rs"
    offered = by_id(asked)
    assert {id for id, row in offered.items() if row.is_said} == {"identity", "context"}
    assert granted(asked, offered.values(), set()) == "openid fhirUser launch/patient"
    assert granted(asked, offered.values(), {"lasting"}) == "openid fhirUser launch/patient offline_access"


def test_what_the_app_cannot_do_without_is_marked() -> None:
    """Rows the app declared essential are marked"""
    offered = by_id("patient/Observation.rs patient/Patient.cru", essential=["patient/Patient.r"])
    assert {id for id, row in offered.items() if row.essential} == {"IDENTITE-read"}


def test_who_comes_back_sees_what_is_new() -> None:
    """A larger request shows only the difference"""
    asked = "openid patient/Immunization.rs patient/AllergyIntolerance.rs offline_access"
    offered = by_id(asked, previous="openid patient/Immunization.rs")
    assert {id for id, row in offered.items() if row.new} == {"ALLERGIES-read", "lasting"}
    assert {id for id, row in offered.items() if row.ticked} == {"VACCINATIONS-read", "identity"}
    assert not asks_no_more(asked, "openid patient/Immunization.rs")
    assert asks_no_more("patient/Immunization.r", "openid patient/*.rs")


def test_a_professional_is_asked_for_the_software_as_a_whole() -> None:
    """The software acts with the rights of the professional"""
    asked = "openid launch/patient user/Observation.crs user/Patient.rs"
    offered = rows(asked, professional=True)
    assert [row.id for row in offered if row.pieces] == ["software-read", "software-write"]
    assert granted(asked, offered, set()) == asked


def test_what_is_no_scope_of_a_person_makes_no_row() -> None:
    """A system/ scope is no person's to give, and what is malformed is nothing"""
    assert rows("system/*.cruds patient/Observation.sr patient/None.rs nonsense") == ()
    assert granted("system/*.cruds", rows("system/*.cruds"), {"rest-read"}) == ""


def test_each_row_opens_what_it_says_and_no_row_what_another_says() -> None:
    """In the demonstration's records: a row by itself, and all the others without it, part the record between them"""
    asked = "patient/*.rs"
    offered = rows(asked)
    everything = opened(asked)
    choices = {row.id for row in offered if row.kind == "section"}
    opening = {id: opened(granted(asked, offered, {id})) for id in choices}
    assert set().union(*opening.values()) == everything
    for id in choices:
        without = opened(granted(asked, offered, choices - {id}))
        assert without == set().union(*(opening[other] for other in choices - {id}))
    # What stands in two categories is opened by either; else the rows have nothing in common.
    sections = {row.id: row.section for row in offered}
    for one in choices:
        for other in choices:
            assert sections[one] == sections[other] or not opening[one] & opening[other]
