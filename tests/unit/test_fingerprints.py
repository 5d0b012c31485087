"""What entries are made by: whatever is asked for has a fingerprint, which changes when the entries would."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

import pytest

from fhir_server.fhir.types import TYPES
from fhir_server.search import fingerprints as module
from fhir_server.search.expression import InNoRecord, InRecord, InRecords, InSeveral, OnlyInRecords, Present
from fhir_server.search.fingerprints import CONTAINED, OWNER, asked, fingerprints, places
from fhir_server.search.index import OF_THE_DOCUMENT
from fhir_server.search.parameters import parameters
from fhir_server.search.parser import Reader

PARIS = "Europe/Paris"
READER = Reader("http://a.example/fhir", UTC, datetime(2026, 1, 1, tzinfo=UTC))
VALUES = {
    "token": "a",
    "string": "a",
    "date": "2026",
    "number": "5",
    "quantity": "5",
    "uri": "a",
    "special": "1|1",
    "reference": "http://a.example/a",
}


def kept(type: str) -> set[tuple[str, str]]:
    """What of a type can be withheld, as expressions call it."""
    return {(type, place) for name in fingerprints(type, PARIS) for place in places(type, name)}


@pytest.mark.parametrize("type", TYPES)
def test_whatever_is_asked_for_has_a_fingerprint(type: str) -> None:
    """Nothing can be asked for that could not be withheld"""
    for code, one in parameters(type).items():
        queries = {code: VALUES.get(one.type, "")}
        if one.type == "composite":
            halves = one.components[0][1]
            queries = {code: "$".join(VALUES[parameters(type)[half.code].type] for half in halves)}
        elif code != "_id":
            queries[f"{code}:missing"] = "false"
        for name, text in queries.items():
            found = set(asked(type, READER.term(type, name, text)))
            assert found <= kept(type), name
            assert found or code in OF_THE_DOCUMENT, name


@pytest.mark.parametrize(
    ("type", "name", "text", "expected"),
    [
        ("Patient", "family:exact", "a", {("Patient", "family")}),
        ("Observation", "code:text", "a", {("Observation", "code")}),
        ("Observation", "combo-code", "a", {("Observation", "code"), ("Observation", "component-code")}),
        ("Observation", "patient", "Patient/1", {("Observation", OWNER)}),
        (
            "Observation",
            "component-code-value-quantity",
            "a$5",
            {("Observation", "component-code"), ("Observation", "parts.component")},
        ),
        (
            "Observation",
            "subject:Patient.family",
            "a",
            {
                ("Observation", "subject"),
                ("Observation", OWNER),
                ("Patient", "family"),
                ("Patient", CONTAINED),
            },
        ),
        (
            "Patient",
            "_has:Observation:subject:code",
            "a",
            {("Observation", "subject"), ("Observation", OWNER), ("Observation", "code")},
        ),
        ("Patient", "_list", "1", {("List", "item"), ("List", OWNER)}),
        ("Patient", "_lastUpdated", "2026", set()),
        ("Patient", "_id", "1", set()),
    ],
)
def test_what_an_expression_asks_for(type: str, name: str, text: str, expected: set[tuple[str, str]]) -> None:
    """Modifiers, chains, and what is answered by the entries of others"""
    assert set(asked(type, READER.term(type, name, text))) == expected


def test_a_record_is_asked_for_by_whose_it_is() -> None:
    """docs/decisions/0002: everything a decision needs is on the document"""
    theirs = frozenset({"1"})
    for where in (InRecord("1"), InRecords(theirs), OnlyInRecords(theirs), InNoRecord(), InSeveral()):
        assert set(asked("Task", where)) == {("Task", OWNER)}
    assert set(asked("Task", Present("owner"))) == {("Task", "owner")}  # a parameter of its own


def test_a_fingerprint_is_the_same_every_time() -> None:
    """Every worker, and the next start, come to the same"""
    first = fingerprints("Observation", PARIS)
    fingerprints.cache_clear()

    assert fingerprints("Observation", PARIS) == first


@pytest.mark.parametrize("change", [{"repeated": False}, {"walk": ()}, {"type": "uri"}])
def test_a_fingerprint_follows_the_definition(change: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    """A parameter that is read in another way is another, and the others stay"""
    before = fingerprints("Patient", PARIS)
    known = dict(parameters("Patient"))
    known["family"] = dataclasses.replace(known["family"], **change)  # type: ignore[arg-type]
    monkeypatch.setattr(module, "parameters", lambda type: known)
    fingerprints.cache_clear()
    after = fingerprints("Patient", PARIS)
    fingerprints.cache_clear()

    assert {name for name in before if before[name] != after[name]} == {"family"}


def test_a_zone_is_of_dates_alone() -> None:
    """R4 search.html#date: "where a timezone is not specified, the server's local time zone" """
    here, there = fingerprints("Observation", PARIS), fingerprints("Observation", "Pacific/Auckland")

    changed = {name for name in here if here[name] != there[name]}
    assert {"date", "value-date", "code-value-date"} <= changed
    assert not changed & {"code", "subject", "combo-code-value-quantity", OWNER, CONTAINED}


def test_another_way_to_make_entries_changes_all_but_the_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose record a resource belongs to has been kept in the same way ever since"""
    before = fingerprints("Patient", PARIS)
    monkeypatch.setattr(module, "VERSION", -1)
    fingerprints.cache_clear()
    after = fingerprints("Patient", PARIS)
    fingerprints.cache_clear()

    assert {name for name in before if before[name] == after[name]} == {OWNER}
