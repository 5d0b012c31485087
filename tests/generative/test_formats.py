"""Formats round-trip whatever R4 allows, and whatever else is sent is refused in order.

Resources are drawn from the definitions: any type, any element, choices, nulls paired with extensions, decimals,
narratives, contained resources.
"""

from __future__ import annotations

import string
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from lxml import etree

from fhir_server.fhir import json, narrative, xml
from fhir_server.fhir.definitions import PRIMITIVES, Element, structure
from fhir_server.fhir.json import FhirDecimal
from fhir_server.fhir.outcome import BadRequest, TooLarge, Unprocessable
from fhir_server.fhir.types import TYPES

SOME = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])

# What XML 1.0 can carry: no control characters, no surrogates, no U+FFFE and U+FFFF.
_CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\ufffe\uffff").filter(
    lambda character: character >= " " or character in "\t\n\r"
)
TEXTS = st.one_of(
    st.text(_CHARACTERS, min_size=1, max_size=12), st.text("<>&\"'\\/ \n\r\t]é🩺", min_size=1, max_size=8)
)
INTEGERS = st.integers(-(2**31), 2**31 - 1)
DECIMALS = st.one_of(
    INTEGERS,
    st.builds(
        lambda sign, whole, part, power: FhirDecimal(f"{sign}{whole}.{part}{power}"),
        st.sampled_from(["", "-"]),
        st.integers(0, 10**20),
        st.text("0123456789", min_size=1, max_size=20),
        st.sampled_from(["", "e0", "E-22", "e+7", "E10"]),
    ),
)
VALUES = {"boolean": st.booleans(), "integer": INTEGERS, "decimal": DECIMALS, "string": TEXTS}

_NODES = st.recursive(
    st.one_of(
        st.text(_CHARACTERS.filter(lambda character: character not in "<>&\r"), max_size=8),
        st.sampled_from(
            ["<br/>", "<br />", "&amp;", "&#233;", "<!-- < -->", "<![CDATA[</div>]]>", "<p\n title='>'>x</p >"]
        ),
    ),
    lambda inner: st.builds(
        lambda tag, nodes: f"<{tag}>{''.join(nodes)}</{tag}>",
        st.sampled_from(["div", "p", "b", "table"]),
        st.lists(inner, max_size=3),
    ),
    max_leaves=6,
)
DIVS = st.builds('<div xmlns="{}">{}</div>'.format, st.just(narrative.XHTML), _NODES)


@st.composite
def extras(draw: st.DrawFn) -> dict[str, Any]:
    """What stands beside a primitive: an id, an extension."""
    made: dict[str, Any] = {}
    if draw(st.booleans()):
        made["id"] = draw(st.text(string.ascii_letters, min_size=1, max_size=3))
    if not made or draw(st.booleans()):
        made["extension"] = [{"url": "urn:x", "valueDecimal": draw(DECIMALS)}]
    return made


@st.composite
def objects(draw: st.DrawFn, key: str, depth: int = 0) -> dict[str, Any]:
    """An object of a structure, with a few of its elements in any order; never empty."""
    elements = [
        element
        for element in structure(key).values()
        if depth < 3 or (element.primitive and element.type != "xhtml") or key == "Extension"
    ]
    made: dict[str, Any] = {}
    for element in draw(st.lists(st.sampled_from(elements), min_size=1, max_size=4, unique_by=lambda one: one.name)):
        made |= draw(members(element, depth))
    return made


@st.composite
def members(draw: st.DrawFn, element: Element, depth: int) -> dict[str, Any]:
    """The JSON of one element: `name`, `_name` or both."""
    if element.type == "xhtml":
        return {element.name: draw(DIVS)}
    if element.attribute:
        return {element.name: draw(TEXTS)}
    if not element.primitive:
        one = resources(depth + 1) if element.type == "Resource" else objects(str(element.structure), depth + 1)
        return {element.name: draw(st.lists(one, min_size=1, max_size=2) if element.many else one)}
    pairs = draw(
        st.lists(
            st.tuples(st.none() | VALUES[PRIMITIVES[element.type]], st.none() | extras()).filter(any_of),
            min_size=1,
            max_size=3 if element.many else 1,
        )
    )
    values, beside = ([pair[side] for pair in pairs] for side in (0, 1))
    made = {element.name: values, f"_{element.name}": beside}
    return {
        name: items if element.many else items[0]
        for name, items in made.items()
        if any(item is not None for item in items)
    }


def any_of(pair: tuple[Any, Any]) -> bool:
    return any(item is not None for item in pair)


@st.composite
def resources(draw: st.DrawFn, depth: int = 0) -> dict[str, Any]:
    """A resource of any supported type, or one that holds others."""
    type_ = draw(st.sampled_from([*TYPES, "Parameters", "OperationOutcome"]))
    return {"resourceType": type_} | draw(objects(type_, depth))


def exact(value: Any) -> Any:
    """The value with decimals as their text and booleans apart from integers, so that `==` sees every digit."""
    if isinstance(value, dict):
        return {name: exact(item) for name, item in value.items()}
    if isinstance(value, list):
        return [exact(item) for item in value]
    if isinstance(value, FhirDecimal):
        return ("decimal", value.text)
    return (type(value).__name__, value)


@SOME
@given(resources())
def test_json_comes_back_as_it_was(resource):
    """R4 json.html"""
    data = json.dumps(resource)

    assert exact(json.parse(data)) == exact(resource)
    assert list(json.parse(data)) == list(resource)
    assert exact(json.parse(json.dumps(resource, pretty=True))) == exact(resource)


@SOME
@given(resources(), st.booleans())
def test_xml_says_what_json_says(resource, pretty):
    """R4 xml.html"""
    document = xml.dumps(resource, pretty=pretty)

    assert exact(xml.parse(document)) == exact(resource)
    assert xml.dumps(xml.parse(document), pretty=pretty) == document
    etree.fromstring(document)  # another parser finds it well-formed, too


@SOME
@given(TEXTS | DIVS | st.builds("{1}{0}{2}".format, DIVS, TEXTS, TEXTS))
@example('<div xmlns="http://www.w3.org/1999/xhtml">\r\n</div>')
def test_no_narrative_breaks_a_document(div):
    """R4 security.html#narrative: it is embedded as one element, or refused"""
    resource = {"resourceType": "Basic", "text": {"status": "additional", "div": div}, "id": "1"}
    try:
        document = xml.dumps(resource)
    except Unprocessable:
        return

    assert [child.tag.rpartition("}")[2] for child in etree.fromstring(document)] == ["id", "text"]
    back = xml.parse(document)
    assert back == resource | {"text": back["text"]}
    assert xml.dumps(back) == document


@st.composite
def damaged(draw: st.DrawFn, write: Any) -> bytes:
    """A good document with a few bytes cut out, put in or written over."""
    data = bytearray(write(draw(resources())))
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(data)))
        stop = min(len(data), start + draw(st.integers(0, 4)))
        data[start:stop] = draw(
            st.binary(max_size=3)
            | st.sampled_from([b"<", b">", b"&", b'"', b"{", b"}", b"[", b"]", b",", b"null", b"1e9999", b"\\u0000"])
            | st.sampled_from(
                [b"<!DOCTYPE a>", b"<?a?>", b"<![CDATA[", b"-->", b"</div>", b"<div/>", b"\\ud800", b"\xff"]
            )
        )
    return bytes(data)


@pytest.mark.parametrize("read", [json.parse, xml.parse])
@SOME
@given(data=st.one_of(st.binary(max_size=60), damaged(json.dumps), damaged(xml.dumps)))
@example(data=b"\xff\xfe<\x00a\x00/\x00>\x00")
def test_any_bytes_are_a_resource_or_a_refusal(read, data):
    """R4 http.html#Status-Codes: 400, 413 or 422, with an outcome that can be sent in either format"""
    try:
        value = read(data)
    except (BadRequest, TooLarge, Unprocessable) as error:
        outcome = error.outcome()
        assert json.parse(json.dumps(outcome)) == outcome
        assert xml.parse(xml.dumps(outcome)) == outcome
        return

    assert isinstance(value, dict)
    assert exact(json.parse(json.dumps(value))) == exact(value)


@SOME
@given(damaged(json.dumps))
def test_what_was_read_as_json_is_written_as_xml_or_refused(data):
    """R4 xml.html: no resource that was let in makes the server fail"""
    try:
        document = xml.dumps(json.parse(data))
    except (BadRequest, Unprocessable):
        return

    etree.fromstring(document)
