"""What is compiled of an invariant answers as FHIRPath does, whatever it is asked of.

But for matches(): the patterns of the standard are meant for the whole text, and fhirpathpy finds them within one.
"""

from __future__ import annotations

import re
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.config import carried
from fhir_server.fhir import definitions, path
from fhir_server.fhir.definitions import Element
from fhir_server.fhir.outcome import Unprocessable
from fhir_server.validation import invariants, predicates

TABLE: dict[str, list[dict[str, str]]] = orjson.loads((carried("profiles") / "r4" / "invariants.json").read_bytes())
#: Those whose answer is not left to their expression.
APART = {*invariants.BY_HAND, "dom-2", "ref-1", "txt-1", "txt-2", "sdf-9", "con-3"}
ROWS = [
    (structure, row)
    for structure, rows in TABLE.items()
    for row in rows
    if row["key"] not in APART and "element" not in row and "matches" not in row["expression"]
]
TEXTS = ["a", "b", "a.b", "Observation", "http://hl7.org/fhir/StructureDefinition/a", "http://unitsofmeasure.org"]
VALUES: dict[str, list[Any]] = {
    "boolean": [True, False],
    "integer": [-1, 0, 1, 2],
    "decimal": [-1, 0, 1, 101],
    "date": ["2024-01-01", "2024-02-01"],
    "dateTime": ["2024-01-01T10:00:00Z", "2024-01-02T10:00:00Z"],
    "instant": ["2024-01-01T10:00:00Z", "2024-01-02T10:00:00Z"],
}


def literals(row: dict[str, str]) -> list[str]:
    """The texts that the expression compares with."""
    return [text for text in re.findall(r"'([^']*)'", row["expression"]) if "\\" not in text]


@st.composite
def something(draw: st.DrawFn, element: Element, texts: list[str], depth: int) -> Any:
    """A value of the element, not always one that the standard allows."""
    if element.primitive:
        kind = definitions.PRIMITIVES[element.type]
        return draw(st.sampled_from(VALUES.get(element.type) or VALUES.get(kind) or texts))
    if element.structure == "Resource":
        type_ = draw(st.sampled_from(["Composition", "MessageHeader", "Patient"]))
        return {"resourceType": type_, **draw(an_object(type_, texts, 0))}
    return draw(an_object(str(element.structure), texts, depth - 1))


@st.composite
def an_object(
    draw: st.DrawFn, structure: str, texts: list[str], depth: int, named: frozenset[str] = frozenset()
) -> Any:
    """An object of a few elements, those of the expression rather than others."""
    known = list(definitions.structure(structure).values())
    if depth <= 0:
        known = [element for element in known if element.primitive]
    likely = [e for e in known if (e.choice or e.name).removesuffix("[x]") in named] or known
    made: dict[str, Any] = {}
    choices: set[str] = set()
    for element in draw(st.lists(st.sampled_from(likely), max_size=8, unique_by=id)) if likely else ():
        if element.type == "xhtml" or element.choice in choices:
            continue
        choices |= {element.choice} if element.choice else set()
        inner = something(element, texts, depth)
        made[element.name] = draw(st.lists(inner, min_size=1, max_size=3)) if element.many else draw(inner)
    return made


@settings(max_examples=250, deadline=None)
@given(st.data())
def test_an_invariant_holds_where_its_expression_is_true(data: st.DataObject) -> None:
    """R4: conformance-rules.html#constraints"""
    structure, row = data.draw(st.sampled_from(ROWS))
    condition = predicates.compile(row["expression"], structure)
    named = frozenset(re.findall(r"[a-z]\w*", row["expression"]))
    value = data.draw(an_object(structure, literals(row) + TEXTS, 3, named))
    if definitions.is_resource(structure):
        value = {"resourceType": structure, **value}
    try:
        expected = path.compile(row["expression"])(
            value, None if "resourceType" in value else structure, resource=value, context=value, ucum=predicates.UCUM
        )
    except Unprocessable:
        return  # fhirpathpy knows some of the functions for one item alone
    if expected and "resource" not in re.findall(r"%(\w+)", row["expression"]):
        assert condition.holds(value) == (expected == [True]), row["expression"]


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_an_invariant_is_passed_over_only_where_it_holds(data: st.DataObject) -> None:
    """What is not asked, since nothing that it is about is there, would not be broken."""
    structure, row = data.draw(st.sampled_from(ROWS))
    (invariant,) = (each for each in invariants.invariants(structure, row["severity"]) if each.key == row["key"])
    value = data.draw(an_object(structure, literals(row) + TEXTS, 2))
    if definitions.is_resource(structure):
        value = {"resourceType": structure, **value}
    about_a_name = row["expression"].startswith("name.matches")
    if invariant.when is not None and invariant.when.isdisjoint(value) and not about_a_name:
        assert not list(invariant.breaches(value, structure, value, value))
