"""fhir/json.py: what is kept digit for digit, and what is refused."""

from __future__ import annotations

import copy
import pickle
import re
from decimal import Decimal

import pytest

from fhir_server.fhir.json import MAX_DEPTH, FhirDecimal, dumps, loads, number, parse
from fhir_server.fhir.outcome import BadRequest


@pytest.mark.parametrize(
    "text",
    [
        "120.50",
        "1.0E-10",
        "1e2",
        "0.000",
        "-0.0",
        "1E-22",
        "1.000000000000000000E-245",
        "-1.000000000000000000E+245",
        "3.14159265358979323846264338327950288",
        "1000000000000000000000",
        "123456789012345678",
        "-7",
        "0",
        "-0",
    ],
)
def test_numbers_keep_their_digits(text):
    """R4 datatypes.html#decimal: the precision of the decimal value has significance"""
    data = b'{"value":' + text.encode() + b"}"

    assert dumps(parse(data)) == data
    assert parse(data)["value"] == Decimal(text)


def test_whole_numbers_are_ints_and_others_decimals():
    values = parse(b'{"a":120,"b":120.0,"c":1e2,"d":-3,"e":9999999999999999999}')

    assert [type(value) for value in values.values()] == [int, FhirDecimal, FhirDecimal, int, FhirDecimal]


def test_a_decimal_is_a_value():
    """Equal and hashed by value, and its text survives copies"""
    value = FhirDecimal("120.50")

    assert value == Decimal("120.5") == FhirDecimal("1.205e2")
    assert hash(value) == hash(Decimal("120.5"))
    assert {copy.copy(value).text, copy.deepcopy(value).text, pickle.loads(pickle.dumps(value)).text} == {"120.50"}
    assert repr(value) == "FhirDecimal('120.50')"
    with pytest.raises(AttributeError):
        value.text = "1"


@pytest.mark.parametrize("text", ["", "NaN", "Infinity", "+1", "01", "1.", ".5", " 1", "1 ", "1_0", "٣", "1e", "0x1"])
def test_what_is_not_a_number_makes_no_decimal(text):
    """R4 datatypes.html#decimal: -?(0|[1-9][0-9]*)(\\.[0-9]+)?([eE][+-]?[0-9]+)?"""
    with pytest.raises(ValueError):
        FhirDecimal(text)
    with pytest.raises(ValueError):
        number(text)


def test_computed_decimals_are_written_too():
    assert dumps({"value": Decimal("22.857")}) == b'{"value":22.857}'
    with pytest.raises(TypeError):
        dumps({"value": Decimal("NaN")})
    with pytest.raises(TypeError):
        dumps({"value": object()})


def test_the_order_and_the_text_are_kept():
    """R4 json.html: properties may be in any order; strings are Unicode"""
    data = '{"z":"é 漢 🩺 \\u2028","a":["x",null,true,false],"_a":[null,{"id":"1"}]}'.encode()

    assert list(parse(data)) == ["z", "a", "_a"]
    assert parse(data)["z"] == "é 漢 🩺 \u2028"
    assert parse(dumps(parse(data))) == parse(data)


def test_escaped_and_plain_characters_are_the_same():
    assert parse(b'{"a":"\\u00e9\\ud83e\\ude7a\\n\\t\\r\\/\\\\u0000"}') == {"a": "é🩺\n\t\r/\\u0000"}


def test_a_byte_order_mark_is_passed_over():
    """RFC 8259 s. 8.1"""
    assert parse(b'\xef\xbb\xbf{"a":1}') == {"a": 1}


def test_pretty_is_indented_and_says_the_same():
    value = parse(b'{"a":[1.50,{"b":"c"}]}')

    assert dumps(value, pretty=True) == b'{\n  "a": [\n    1.50,\n    {\n      "b": "c"\n    }\n  ]\n}'
    assert dumps(value) == b'{"a":[1.50,{"b":"c"}]}'


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"[]", "not a JSON object"),
        (b'"Patient"', "not a JSON object"),
        (b"1", "not a JSON object"),
        (b'{"a":1,\n"b":}', "line 2 column 5"),
        (b'{"a":1} x', "line 1 column 9"),
        (b'{"a":1}{"a":1}', "line 1 column 8"),
        (b'{"a":"\xff"}', "UTF-8: byte 6"),
        ('{"a":"é"}'.encode("utf-16"), "UTF-8"),
        ('{"a":"é"}'.encode("latin-1"), "UTF-8"),
        (b'{"a":"\xed\xa0\x80"}', "UTF-8"),
        (b'{"a":NaN}', "`NaN`"),
        (b'{"a":Infinity}', "`Infinity`"),
        (b'{"a":-Infinity}', "`-Infinity`"),
        (b'{"a":01}', "line 1"),
        (b'{"a":1.}', "line 1"),
        (b'{"a":+1}', "line 1"),
        (b'{"a":1,"b":2,"a":3}', "`a` stands twice"),
        (b'{"x":[{"id":"1","\\u0069d":"2"}]}', "`id` stands twice"),
        (b'{"\\ud800":1,"\\ud800":1}', "stands twice"),
        (b'{"a":"\\ud83d"}', "U+D83D"),
        (b'{"a":"\\uDC00\\uD800"}', "U+DC00"),
        (b'{"a":"\\u0000"}', "U+0000"),
        (b'{"a":"\\b"}', "U+0008"),
        (b'{"a":"x\\u001Fy"}', "U+001F"),
        (b'{"a":"\x01"}', "line 1 column 7"),
        (b'{"a\x00":1}', "line 1"),
        ('{"a":"\uffff"}'.encode(), "U+FFFF"),
        (b'{"a":"\\uFFFE"}', "U+FFFE"),
        (b'{"a":' + b"9" * 100_000 + b"}", "too long"),
        (b'{"a":0.' + b"0" * 100_000 + b"1}", "too long"),
        (b'{"a":1e999999999}', "too large"),
        (b'{"a":1e-400}', "too large"),
        (b'{"a":1e308}', "too large"),
        (b'{"a":{"fhir_comments":["x"]}}', "fhir_comments"),
        (b"{'a':1}", "line 1"),
        (b'{"a":1,}', "line 1"),
        (b'{"a":1 /* c */}', "line 1"),
        (b'{"a":"b', "line 1"),
    ],
)
def test_hostile_or_broken_text_is_a_bad_request(data, words):
    """RFC 8259; R4 datatypes.html#string"""
    with pytest.raises(BadRequest) as raised:
        parse(data)

    assert words in raised.value.issues[0].diagnostics
    dumps(raised.value.outcome())  # what is said of it can always be sent


def test_a_forbidden_character_is_reported_where_it_stands():
    """R4 operationoutcome.html: expression"""
    with pytest.raises(BadRequest) as raised:
        parse(b'{"resourceType":"Patient","name":[{"given":["a","b\\u0007"]}]}')

    assert raised.value.issues[0].expression == ("Patient.name[0].given[1]",)


def test_words_about_comments_are_not_comments():
    assert parse(b'{"a":"fhir_comments","b":"\\"fhir_comments\\":"}')["a"] == "fhir_comments"


@pytest.mark.parametrize("opening", [b'{"a":', b"["])
@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 990, 100_000])
def test_depth_is_bounded(opening, depth):
    closing = b"}" if opening.startswith(b"{") else b"]"
    with pytest.raises(BadRequest, match="Nested deeper"):
        loads(opening * depth + b"1" + closing * depth)


def test_as_deep_as_allowed_is_read():
    data = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH

    assert dumps(loads(data)) == data


def test_wide_is_not_deep():
    data = b'{"a":[' + b",".join([b"[{}]"] * 5_000) + b"]}"

    assert dumps(parse(data)) == data


def test_a_patch_is_an_array():
    """RFC 6902 s. 3"""
    assert loads(b'[{"op":"remove","path":"/a"}]') == [{"op": "remove", "path": "/a"}]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b'{"active": true, }', "nothing between a comma and `}`, line 1 column 18"),
        (b"[1, ]", "nothing between a comma and `]`, line 1 column 5"),
        (b"{'active': true}", "double quotes, not in single ones, line 1 column 2"),
    ],
)
def test_what_people_write_by_hand_is_named(text: bytes, said: str) -> None:
    """RFC 8259 s. 4, 5, 7"""
    with pytest.raises(BadRequest, match=re.escape(said)):
        loads(text)
