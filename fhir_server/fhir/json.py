"""FHIR's JSON: bytes to plain values and back, with every decimal as it was written.

Objects are dicts in the order of the text, whole numbers of up to 18 digits are ints, other numbers are FhirDecimals.
What no resource may hold is refused here: bad UTF-8, keys twice, NaN, characters that XML cannot carry, numbers and
nesting without bound.  Nulls, empty values and wrong types are left to the structure check, which names all of them.

R4: json.html, datatypes.html#decimal, datatypes.html#string.  RFC 8259
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NoReturn

import orjson

from fhir_server.fhir.outcome import BadRequest

MAX_DEPTH = 100
_MAX_INTEGER_DIGITS = 18
_MAX_NUMBER_LENGTH = 64
_MAX_MAGNITUDE = 307  # so that the value is finite as a double, too

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?P<decimal>\.[0-9]+)?(?P<exponent>[eE][+-]?[0-9]{1,5})?", re.ASCII)
_BOM = b"\xef\xbb\xbf"
# Below 32 only tab, line feed and carriage return.  R4: datatypes.html#string.  Nor what XML 1.0 s. 2.2 leaves out.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
# An escape that may stand for one of these; what it really says is looked at in the parsed string.
_SUSPICIOUS = re.compile(r"\\(?:[bf]|u(?:00[01]|[dD][89a-fA-F]|[fF]{3}[efEF]))")

_COMMENTS = re.compile(r'"fhir_comments"\s*:')


class FhirDecimal(Decimal):
    """A decimal that remembers how it was written: `1.0` and `1.00` are two things in FHIR.  R4: datatypes.html#decimal

    Equal, ordered and hashed by value.  Raises ValueError for what is not a JSON number, or is without measure: more
    than 64 characters, or beyond 1E+307.

    >>> FhirDecimal("120.50").text, FhirDecimal("120.50") == FhirDecimal("1.205e2")
    ('120.50', True)
    """

    __slots__ = ("_text",)
    _text: str

    def __new__(cls, text: str) -> FhirDecimal:
        found = _NUMBER.fullmatch(text) if len(text) <= _MAX_NUMBER_LENGTH else None
        if not found:
            raise ValueError(f"not a decimal: {text[:_MAX_NUMBER_LENGTH]}")
        self = super().__new__(cls, text)
        if found["exponent"] and not -_MAX_MAGNITUDE <= self.adjusted() <= _MAX_MAGNITUDE:
            raise ValueError(f"out of range: {text}")
        self._text = text
        return self

    @property
    def text(self) -> str:
        """The digits as written."""
        return self._text

    def __reduce__(self) -> tuple[type[FhirDecimal], tuple[str]]:
        return FhirDecimal, (self._text,)

    def __repr__(self) -> str:
        return f"FhirDecimal('{self._text}')"


def number(text: str) -> int | FhirDecimal:
    """The value of a number as FHIR writes it.  Raises ValueError for what FhirDecimal does not take.

    >>> number("120"), number("120.0"), number("1e2")
    (120, FhirDecimal('120.0'), FhirDecimal('1e2'))
    """
    found = _NUMBER.fullmatch(text) if len(text) <= _MAX_INTEGER_DIGITS else None
    # `-0` is no integer in FHIR, and as a decimal it keeps its sign.
    if not found or text == "-0" or found.lastgroup:
        return FhirDecimal(text)
    return int(text)


def parse(data: bytes) -> dict[str, Any]:
    """The object that `data` holds.  Raises BadRequest, with line and column where the text is not JSON."""
    value = loads(data)
    if not isinstance(value, dict):
        raise BadRequest("The body is not a JSON object.")
    return value


def loads(data: bytes) -> Any:
    """Any JSON value, under the rules of `parse`: the body of a JSON Patch is an array."""
    try:
        text = data.removeprefix(_BOM).decode()
    except UnicodeDecodeError as error:
        raise BadRequest(f"The body is not UTF-8: byte {error.start} is {data[error.start]:#04x}.") from None
    if not text or text.isspace():
        raise BadRequest("The body is empty; expected JSON.")
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_fraction,
            parse_constant=_constant,
        )
    except json.JSONDecodeError as error:
        raise BadRequest(f"Not JSON: {_why(error)}, line {error.lineno} column {error.colno}.") from None
    except RecursionError:
        raise _too_deep() from None
    if text.count("{") + text.count("[") > MAX_DEPTH and _deeper_than(MAX_DEPTH, value):
        raise _too_deep()
    if ("\\" in text and _SUSPICIOUS.search(text)) or "\ufffe" in text or "\uffff" in text:
        _refuse_characters(value)
    if _COMMENTS.search(text):
        raise BadRequest("`fhir_comments` is not R4; leave comments out.")
    return value


def dumps(value: Any, *, pretty: bool = False) -> bytes:
    """The JSON of a value: compact, or with an indent of two; decimals as they were written."""
    return orjson.dumps(value, default=_decimal, option=orjson.OPT_INDENT_2 if pretty else None)


def _why(error: json.JSONDecodeError) -> str:
    """What stands there that JSON does not have; Python names only what it expected instead."""
    found = error.doc[error.pos : error.pos + 1]
    if found and found in "}]" and error.doc[: error.pos].rstrip().endswith(","):
        return f"nothing between a comma and `{found}`"
    return "a text stands in double quotes, not in single ones" if found == "'" else error.msg


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) == len(pairs):
        return members
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            break
        seen.add(key)
    raise BadRequest(f"The key {_quoted(key)} stands twice in one object.")


def _integer(text: str) -> int | FhirDecimal:
    if len(text) <= _MAX_INTEGER_DIGITS and text != "-0":
        return int(text)
    return _fraction(text)


def _fraction(text: str) -> FhirDecimal:
    try:
        return FhirDecimal(text)
    except ValueError:
        raise BadRequest(
            f"The number {_quoted(text)} is too long or too large; at most {_MAX_NUMBER_LENGTH} characters, "
            f"between 1E-{_MAX_MAGNITUDE} and 1E+{_MAX_MAGNITUDE}."
        ) from None


def _constant(text: str) -> NoReturn:
    raise BadRequest(f"`{text}` is not a JSON number.")


def _too_deep() -> BadRequest:
    return BadRequest(f"Nested deeper than {MAX_DEPTH} levels.")


def _deeper_than(limit: int, value: Any) -> bool:
    level = [value]
    for _ in range(limit):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if type(outer) is dict else outer)
            if type(inner) is dict or type(inner) is list
        ]
        if not level:
            return False
    return True


def _refuse_characters(value: Any) -> None:
    for expression, text in _texts(value):
        found = _FORBIDDEN.search(text)
        if found:
            raise BadRequest(f"Character U+{ord(found[0]):04X} may not stand in a FHIR string.", *expression)


def _texts(value: Any) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every string and key, each with the FHIRPath of the nearest element that has a sound one."""
    type_ = value.get("resourceType") if isinstance(value, dict) else None
    waiting: list[tuple[tuple[str, ...], Any]] = [((str(type_),) if _is_name(type_) else (), value)]
    while waiting:
        expression, value = waiting.pop()
        if isinstance(value, str):
            yield expression, value
        elif isinstance(value, list):
            waiting.extend((_inside(expression, f"[{place}]"), inner) for place, inner in enumerate(value))
        elif isinstance(value, dict):
            for key, inner in value.items():
                yield expression, key
                waiting.append((_inside(expression, f".{key}") if _is_name(key) else expression, inner))


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and value.isascii() and value.isidentifier()


def _inside(expression: tuple[str, ...], step: str) -> tuple[str, ...]:
    return tuple(path + step for path in expression)


def _decimal(value: Any) -> orjson.Fragment:
    if isinstance(value, FhirDecimal):
        return orjson.Fragment(value.text)
    if isinstance(value, Decimal):
        return orjson.Fragment(FhirDecimal(str(value)).text)
    raise TypeError(f"not a JSON value: {type(value).__name__}")


def _quoted(text: str) -> str:
    """At most 40 characters of what was received, without what could not be sent back."""
    clean = _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)
    return f"`{clean[:40]}…`" if len(clean) > 40 else f"`{clean}`"
