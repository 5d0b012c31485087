"""Each parameter type by itself: what is asked against what is indexed, in memory.  R4: search.html#ptypes"""

from datetime import UTC, datetime

import pytest

from fhir_server.fhir.dates import PARIS
from fhir_server.fhir.outcome import BadRequest
from fhir_server.search.expression import And, InRecord, Match, Or
from fhir_server.search.index import contained_entries, entry, patients_of
from fhir_server.search.keys import any_of_field
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


@pytest.mark.parametrize("name", ["subject", "patient", "focus"])
def test_a_reference_to_a_version_is_one_to_the_resource_and_to_that_version_alone(name):
    """R4 search.html#reference, references.html#Reference: `[type]/[id]/_history/[version]`"""
    element = "focus" if name == "focus" else "subject"
    target = {"reference": "Patient/p1/_history/3"}
    versioned = observation("p2", **{element: [target] if name == "focus" else target})
    plain = observation("p1", focus=[{"reference": "Patient/p1"}])

    assert found("Observation", versioned, (name, "Patient/p1"))
    assert found("Observation", versioned, (name, "Patient/p1/_history/3"))
    assert found("Observation", versioned, (name, "http://here/fhir/Patient/p1/_history/3"))
    assert not found("Observation", versioned, (name, "Patient/p1/_history/4"))
    assert not found("Observation", plain, (name, "Patient/p1/_history/3"))


@pytest.mark.parametrize("name", ["subject", "patient"])
def test_the_patient_of_a_record_is_found_by_identifier_too(name):
    """R4 search.html#reference, `:identifier`: of a reference that names the resource beside it, as of any"""
    subject = {"reference": "Patient/p1", "identifier": {"system": "s", "value": "1"}}

    assert found("Observation", {**observation(), "subject": subject}, (f"{name}:identifier", "s|1"))
    assert found("Observation", {**observation(), "subject": subject}, (name, "p1"), (f"{name}:identifier", "1"))
    assert not found("Observation", {**observation(), "subject": subject}, (f"{name}:identifier", "s|2"))
    assert not found("Observation", {**observation(), "subject": subject}, (f"{name}:missing", "true"))


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


@pytest.mark.parametrize("length", [1, 199, 200])
@pytest.mark.parametrize("start", [0, 700, 799, 800, 801, 899, 999, 1000, 1001, 1599, 1600, 1800, 2300])
def test_a_text_is_found_wherever_it_stands_in_a_long_one(start, length):
    """R4 search.html#string, `:contains`: a text is indexed in pieces, and what lies across two is found"""
    text = "".join(f"{number:05}" for number in range(500))
    part = text[start : start + length]

    assert found("Observation", observation(valueString=text), ("value-string:contains", part))
    assert not found("Observation", observation(valueString=text), ("value-string:contains", part[1:] + "x"))


@pytest.mark.parametrize("modifier", ["", ":contains"])
def test_a_text_that_is_too_long_once_it_is_folded_is_refused(modifier):
    """R4 search.html#errors: it could not be found, so that an answer without it would be wrong"""
    text = "\ufdfa" * 100

    with pytest.raises(BadRequest, match=r"more than \d+ characters"):
        READER.term("Observation", f"value-string{modifier}", text)


@pytest.mark.parametrize("text", ["\u0301", " \u0301", "\u0301" * 1200])
def test_a_text_of_which_folding_leaves_nothing_is_found_exactly(text):
    """R4 search.html#string, `:exact`"""
    kept = {"_id": "x", "updated": NOW, **entry("Observation", observation(id="x", valueString=text))}
    expression = READER.term("Observation", "value-string:exact", text)

    assert matches(expression, kept)
    assert isinstance(expression, Match)
    narrowed = expression.test.narrow("value-string")
    assert narrowed == any_of_field("value-string")


def test_a_url_above_is_not_asked_of_a_text_without_end():
    """R4 search.html#uri, `:above`: each beginning is asked for; a request of some megabytes is refused"""
    with pytest.raises(BadRequest, match="at most 1000 characters"):
        READER.term("ValueSet", "url:above", "http://a.example/" + "x" * 1000)


@pytest.mark.parametrize("patient", ["a", "b"])
def test_a_contained_resource_is_of_each_of_its_patients(patient):
    """R4 search.html#contained"""
    participants = [{"actor": {"reference": f"Patient/{id}"}, "status": "accepted"} for id in ("a", "b")]
    held = {"resourceType": "Appointment", "id": "1", "status": "booked", "participant": participants}
    [(_, its_entry)] = contained_entries("Task", {"resourceType": "Task", "id": "x", "contained": [held]})

    assert matches(READER.term("Appointment", "patient", patient), its_entry)
    assert not matches(READER.term("Appointment", "patient", "c"), its_entry)


def test_a_string_is_found_by_a_long_beginning():
    """R4 search.html#string: however long, as far as the first of its keys goes"""
    text = "Un compte rendu " + "très détaillé " * 60
    asked = text[:900]

    assert found(
        "DocumentReference", {"resourceType": "DocumentReference", "description": text}, ("description", asked)
    )
    assert not found(
        "DocumentReference", {"resourceType": "DocumentReference", "description": text}, ("description", asked + "x")
    )
