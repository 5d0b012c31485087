"""FHIRPath expressions: what they find, and how their faults are told.  R4: fhirpath.html"""

import copy
import threading
from decimal import Decimal

import pytest

from fhir_server.fhir import path
from fhir_server.fhir.outcome import BadRequest, Unprocessable


class Exact(Decimal):
    """A decimal that remembers how it was written, as those of a parsed resource do."""

    def __new__(cls, text):
        number = super().__new__(cls, text)
        number.text = text
        return number


OBSERVATION = {
    "resourceType": "Observation",
    "status": "final",
    "code": {"coding": [{"system": "http://loinc.org", "code": "29463-7"}], "text": "Poids"},
    "effectiveDateTime": "2024-03-01",
    "valueQuantity": {"value": Exact("70.50"), "unit": "kg"},
    "component": [{"valueInteger": 1}, {"valueString": "a"}],
}


@pytest.mark.parametrize(
    "expression, found",
    [
        ("Observation.code.text", ["Poids"]),
        ("code.text", ["Poids"]),
        ("Observation.value.unit", ["kg"]),
        ("Observation.component.value", [1, "a"]),
        ("Observation.value.ofType(Quantity).value", [Decimal("70.5")]),
        ("Observation.value.value > 70.4", [True]),
        ("Observation.code.coding.where(system = 'http://loinc.org').code", ["29463-7"]),
        ("Observation.bodySite", []),
        ("%resource.status", ["final"]),
    ],
)
def test_finds(expression, found):
    """R4 fhirpath.html: choice elements are called by their name without the type."""
    assert path.compile(expression)(OBSERVATION) == found


def test_keeps_the_digits_of_a_decimal():
    """R4 datatypes.html#decimal"""
    (value,) = path.compile("Observation.value.value")(OBSERVATION)
    assert value.text == "70.50"


def test_does_not_change_what_it_reads():
    before = copy.deepcopy(OBSERVATION)
    path.compile("Observation.descendants().where($this is Quantity)")(OBSERVATION)
    assert before == OBSERVATION


def test_reads_an_element_by_its_type():
    assert path.compile("use = 'official'")({"use": "official"}, "HumanName") == [True]


def test_gives_variables():
    assert path.compile("status = %wanted")(OBSERVATION, wanted="final") == [True]


def test_compiles_once():
    assert path.compile("Observation.status") is path.compile("Observation.status")


@pytest.mark.parametrize(
    "expression",
    [
        "",
        " ",
        "Observation.code garbage",
        "Observation.name[",
        "code.where(",
        "'open",
        "a..b",
        "1 +",
        "(" * 2000,
        "a" * 5000,
    ],
)
def test_a_text_that_is_not_fhirpath_is_refused(expression):
    """What follows a complete expression is a fault too."""
    with pytest.raises(BadRequest) as refusal:
        path.compile(expression)
    assert len(expression) > 1000 or expression in str(refusal.value)


@pytest.mark.parametrize("expression", ["subject.resolve()", "frobnicate()", "%unknown", "1 + 'a'"])
def test_what_cannot_be_evaluated_names_the_expression(expression):
    with pytest.raises(Unprocessable, match="Cannot evaluate") as refusal:
        path.compile(expression)(OBSERVATION)
    assert expression in str(refusal.value)


def test_trace_prints_nothing(capsys):
    """A trace would put health data into the log of the server."""
    assert path.compile("status.trace('x')")(OBSERVATION) == ["final"]
    assert capsys.readouterr().out == ""


def test_now_is_one_moment_with_many_threads():
    """fhirpath N1 s. 5.9: every now() of one evaluation gives the same."""
    same = path.compile("now() = now() and now() = now() and now() = now()")
    wrong = []

    def evaluate():
        wrong.extend(found for found in (same(OBSERVATION) for _ in range(40)) if found != [True])

    threads = [threading.Thread(target=evaluate) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize(
    "expression, holds",
    [
        ("use = 'official'", True),
        ("use='official' and (given.exists() or family.exists())", True),
        ("given.first() = 'Jim'", False),
        ("period.exists().not()", True),
        ("suffix = 'x'", False),
        ("family = 'power(2)'", False),
    ],
)
def test_criterion(expression, holds):
    name = {"use": "official", "given": ["Peter", "James"]}
    assert path.criterion(expression)(name, "HumanName") is holds


@pytest.mark.parametrize(
    "expression",
    [
        "family.matches('(a+)+$')",
        "family.replaceMatches('a', 'b') = 'b'",
        "9.power(999999999) > 1",
        "'a'.replace('a', 'aaaa') = 'a'",
        "repeat(extension).exists()",
        "%context.exists()",
        "`matches`('a')",
        "subject.resolve().exists()",
    ],
)
def test_a_criterion_has_a_bounded_cost(expression):
    """A client's text cannot keep a worker busy."""
    with pytest.raises(BadRequest, match="cannot be used"):
        path.criterion(expression)


def test_a_criterion_sees_the_value_of_a_primitive_with_extensions():
    """R4 json.html#primitive: a name with a prefix told in an extension is the same name."""
    prefix = {"extension": [{"url": "http://x", "valueString": "VV"}]}
    name = {
        "family": "du Marché",
        "_family": prefix,
        "given": ["Ana", None],
        "_given": [prefix, prefix],
        "_use": prefix,
    }
    assert path.criterion("family = 'du Marché' and use.extension.exists()")(name, "HumanName")
    assert path.criterion("given.count() = 2 and given[1].extension.exists()")(name, "HumanName")


def test_a_criterion_is_not_nested_without_end():
    """Each nested where() is evaluated twice: thirty of them would not end."""
    with pytest.raises(BadRequest, match="levels"):
        path.criterion("where(" * 30 + "true" + ")" * 30 + ".exists()")


@pytest.mark.parametrize("expression", ["family", "1"])
def test_a_criterion_is_a_boolean(expression):
    with pytest.raises(Unprocessable, match="true or false"):
        path.criterion(expression)({"family": "Durand"}, "HumanName")
