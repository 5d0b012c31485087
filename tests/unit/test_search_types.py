"""Each parameter type by itself: what is asked against what is indexed, in memory.  R4: search.html#ptypes"""

from datetime import UTC, datetime

import pytest

from fhir_server.fhir.dates import PARIS
from fhir_server.fhir.outcome import BadRequest
from fhir_server.search.expression import And, InRecord, Match, Or
from fhir_server.search.index import entry, patients_of
from fhir_server.search.matcher import matches
from fhir_server.search.parameters import compile_path, parameters
from fhir_server.search.parser import Reader
from fhir_server.search.types import token
from tests.build import observation, patient

NOW = datetime(2026, 1, 1, tzinfo=UTC)
READER = Reader("http://here/fhir", PARIS, NOW)


def found(type: str, resource: dict, *pairs: tuple[str, str]) -> bool:
    """Whether the search finds the resource."""
    kept = {"_id": resource.get("id", "x"), "updated": NOW, **entry(type, {"id": "x", **resource}, base=READER.base)}
    return matches(READER.expression(type, pairs), kept)


@pytest.mark.parametrize(
    ("asked", "stored", "expected"),
    [
        ("2024-02", "2024-02-15", True),
        ("2024-02-15", "2024-02", False),
        ("eq2024", "2024-02-15T10:00:00Z", True),
        ("ne2024-02", "2024-02-15", False),
        ("ne2024-02", "2024", True),
        ("gt2024-02", "2024", True),
        ("gt2024-02-15", "2024-02-15", False),
        ("lt2024-02", "2024", True),
        ("lt2024-02-15", "2024-02-15", False),
        ("ge2024-02-15", "2024-02-15", True),
        ("le2024-02-15", "2024-02-15", True),
        ("ge2024-02-15", "2024-02-14", False),
        ("sa2024-02", "2024", False),
        ("sa2024-02", "2024-03-01", True),
        ("eb2024-02", "2024-01-31", True),
        ("eb2024-02", "2024-02-01", False),
        ("ap2025-12", "2025-11-30", True),
        ("ap2025-12", "2020-01-01", False),
    ],
)
def test_a_date_matches_by_range_not_by_text(asked, stored, expected):
    """R4 search.html#prefix"""
    assert found("Observation", observation(effectiveDateTime=stored), ("date", asked)) is expected


CODED = observation(code={"coding": [{"system": "s", "code": "a"}, {"system": "t", "code": "b"}, {"code": "c|d"}]})


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("a", True),
        ("s|a", True),
        ("s|b", False),
        ("s|", True),
        ("u|", False),
        ("|a", False),
        (r"|c\|d", True),
        (r"c\|d", True),
        ("A", False),
        ("x,a", True),
        (r"x\,a", False),
    ],
)
def test_a_token_keeps_system_and_code_together(asked, expected):
    """R4 search.html#token, search.html#escaping"""
    assert found("Observation", CODED, ("code", asked)) is expected


@pytest.mark.parametrize("text", ["", "|", "a|b|c"])
def test_what_is_no_token_is_refused(text):
    """R4 search.html#token"""
    with pytest.raises(ValueError, match="token"):
        token.parse(text)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [("elo", True), ("ÉLO", True), ("loise", False), ("lefevre", True), ("LEFÈVRE", True), ("fevre", False)],
)
def test_a_string_starts_alike_whatever_its_accents_and_case(asked, expected):
    """R4 search.html#string"""
    assert found("Patient", patient(name=[{"family": "Lefèvre", "given": ["Éloïse"]}]), ("name", asked)) is expected


@pytest.mark.parametrize("asked", ["p1", "Patient/p1", "http://here/fhir/Patient/p1"])
def test_a_reference_is_found_however_it_is_written(asked):
    """R4 search.html#reference"""
    assert found("Observation", observation("p1"), ("subject", asked))
    assert found("Observation", observation("p1"), ("patient", asked))
    assert not found("Observation", observation("p2"), ("subject", asked))


def test_a_search_by_the_patient_is_a_search_in_the_record():
    """The patient leads the indexes, so the parameter that names the patient is read as the record."""
    assert READER.term("AllergyIntolerance", "patient", "p1") == InRecord("p1")
    assert READER.term("Observation", "subject", "Patient/p1") == InRecord("p1")


def test_repeated_parameters_are_and_and_commas_are_or():
    """R4 search.html#combining"""
    expression = READER.expression("Observation", [("status", "final,amended"), ("code", "a")])

    assert isinstance(expression, And)
    assert isinstance(expression.terms[0], Or)
    assert isinstance(expression.terms[1], Match)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("colour", "red", "known: _id"),
        ("code:exact", "a", ":exact"),
        ("date", "yesterday", "YYYY"),
        ("date", "xx2024", "eq, ne, gt"),
        ("date", "2024-13", "calendar"),
        ("patient", "Practitioner/1", "refers to Patient"),
        ("code", "", "no value"),
        ("identifier", "a,", "token"),
    ],
)
def test_what_is_not_understood_says_what_would_be(name, value, said):
    """R4 search.html#errors"""
    with pytest.raises(BadRequest, match=said):
        READER.term("Observation", name, value)


@pytest.mark.parametrize(
    ("type", "resource", "patients"),
    [
        ("Patient", {"id": "a"}, ["a"]),
        ("Observation", observation("a"), ["a"]),
        ("Observation", observation("a", performer=[{"reference": "Patient/b"}]), ["a"]),
        ("Observation", {**observation(), "subject": {"reference": "http://here/fhir/Patient/a"}}, ["a"]),
        ("Observation", {**observation(), "subject": {"reference": "http://there/fhir/Patient/a"}}, []),
        ("Observation", {**observation(), "subject": {"reference": "Group/a"}}, []),
        (
            "Appointment",
            {"participant": [{"actor": {"reference": "Patient/a"}}, {"actor": {"reference": "Patient/b"}}]},
            ["a", "b"],
        ),
        ("Practitioner", {"id": "a"}, []),
    ],
)
def test_a_record_is_what_its_subject_says_and_nothing_that_merely_points_at_a_patient(type, resource, patients):
    """R4 compartmentdefinition-patient.html, by the subject-like parameters alone"""
    assert patients_of(type, {"id": "x", **resource}, "http://here/fhir") == patients


@pytest.mark.parametrize("path", ["nothing", "code.where(system.exists())", "value.as(Money)", "code..text"])
def test_a_path_that_cannot_be_indexed_stops_the_start(path):
    """R4 searchparameter.html: an expression is compiled once, or refused"""
    with pytest.raises(ValueError, match="path|element"):
        compile_path("Observation", path)


def test_every_offered_parameter_compiles():
    """R4 searchparameter-registry.html"""
    from fhir_server.fhir.types import TYPES

    assert all("_id" in parameters(type) for type in TYPES)
    assert {"identifier", "patient", "subject", "code", "status", "date"} <= set(parameters("Observation"))


def test_a_long_value_is_found_by_its_hash():
    """A B-tree key stays short; the search asks by the same key."""
    text = "x" * 5000

    assert found("Observation", observation(identifier=[{"system": "s", "value": text}]), ("identifier", f"s|{text}"))
