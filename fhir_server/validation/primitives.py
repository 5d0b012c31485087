"""What a value of each primitive type looks like, and how to say that one does not.

`FAULT[type](value)` is None for a good value, else the rest of a sentence that began with the element's name:
"`2020-13-01` is not a date (YYYY, YYYY-MM or YYYY-MM-DD)".

R4: datatypes.html#primitive (the regular expressions), json.html#primitive (the JSON type of each)
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from math import isfinite
from typing import Any

from fhir_server.validation import narrative
from fhir_server.validation.words import kind, shown

Fault = Callable[[Any], str | None]

_LONGEST = 1024 * 1024
# Besides the control characters that R4 bars: what no XML document can carry, since all is served as XML too.
_BARRED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
# R4's `\s` is XML Schema's, narrower than Python's: a no-break space may stand in a code (v2-0550 has one).
_SPACE = re.compile("[ \t\r\n]")

_DATE = r"(?!0000)[0-9]{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12][0-9]|3[01])%s)?)?"
_TIME = r"([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)(\.[0-9]+)?"
_ZONE = r"(Z|[+-]((0[0-9]|1[0-3]):[0-5][0-9]|14:00))"


def _text(what: str, pattern: str) -> Fault:
    """The check of a type that is a JSON string of this form."""
    fits = re.compile(pattern).fullmatch

    def fault(value: Any) -> str | None:
        if not isinstance(value, str):
            return _not_text(value)
        return None if fits(value) else f"{shown(value)} is not {what}"

    return fault


def _not_text(value: Any) -> str:
    return f"must be a JSON string, in double quotes, not {kind(value)}"


def _characters(value: Any) -> str | None:
    if not isinstance(value, str):
        return _not_text(value)
    if not value:
        return "is an empty string: leave the element out"
    # What Python would print holds nothing that is barred, and most texts are such; to search them is the whole cost.
    if not value.isprintable() and _BARRED.search(value):
        return f"{shown(value)} holds a control character (only tab, carriage return and line feed are allowed)"
    return None


def _string(value: Any) -> str | None:
    words = _characters(value)
    if words:
        return words
    return "is longer than the 1,048,576 characters that FHIR allows" if len(value) > _LONGEST else None


def _xhtml(value: Any) -> str | None:
    # Not a string to R4, so it may be longer: the list of DICOM codes is.
    return _characters(value) or narrative.fault(value)


def _is_plain(value: Any) -> bool:
    """Whether it is a text without white space or anything else that asks for a second look, as most codes and URIs."""
    return isinstance(value, str) and value.isprintable() and " " not in value and 0 < len(value) <= _LONGEST


def _code(value: Any) -> str | None:
    if _is_plain(value):
        return None
    words = _string(value)
    if words:
        return words
    if _SPACE.search(value) and not all(_SPACE.split(value)):
        return f"{shown(value)} is not a code (no space before or after it, and only single ones within)"
    return None


def _uri(value: Any) -> str | None:
    if _is_plain(value):
        return None
    words = _string(value)
    if words:
        return words
    return f"{shown(value)} is not a URI (it holds white space)" if _SPACE.search(value) else None


def _base64(value: Any) -> str | None:
    if not isinstance(value, str):
        return _not_text(value)
    if not value:
        return "is an empty string: leave the element out"
    try:
        # White space may break the lines.  R4: datatypes.html#base64Binary
        packed = "".join(value.split()) if _SPACE.search(value) else value
        decoded = binascii.a2b_base64(packed, strict_mode=True)
    except ValueError as error:
        return f"{shown(value)} is not base64: {str(error)[0].lower()}{str(error)[1:]}"
    return None if decoded else "is empty base64: leave the element out"


def _boolean(value: Any) -> str | None:
    return None if isinstance(value, bool) else f"must be `true` or `false`, without quotes, not {kind(value)}"


def _whole(what: str, low: int, high: int = 2**31 - 1) -> Fault:
    def fault(value: Any) -> str | None:
        if isinstance(value, bool) or not isinstance(value, int):
            return f"must be {what}, without quotes or decimal point, not {kind(value)}"
        return None if low <= value <= high else f"{shown(value)} is not {what} from {low} to {high}"

    return fault


def _decimal(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return f"must be a number, without quotes, not {kind(value)}"
    finite = value.is_finite() if isinstance(value, Decimal) else isinstance(value, int) or isfinite(value)
    return None if finite else f"{shown(value)} is not a number that JSON has"


def _calendar(what: str, pattern: str) -> Fault:
    """The check of a type that holds a date: its form, then that the calendar has such a day."""
    fits = re.compile(pattern).fullmatch

    def fault(value: Any) -> str | None:
        if not isinstance(value, str):
            return _not_text(value)
        if not fits(value):
            if fits(f"{value}Z"):
                return f"{shown(value)} has a time but no zone: end it with `Z` or an offset such as `+01:00`"
            return f"{shown(value)} is not {what}"
        if value[8:10] > "28" and not _is_day(value):
            return f"{shown(value)} is not {what}: there is no such day in the calendar"
        return None

    return fault


def _is_day(text: str) -> bool:
    try:
        date(int(text[:4]), int(text[5:7]), int(text[8:10]))
    except ValueError:
        return False
    return True


#: Type → its check.  R4: datatypes.html#primitive
FAULT: dict[str, Fault] = {
    "base64Binary": _base64,
    "boolean": _boolean,
    "canonical": _uri,
    "code": _code,
    "date": _calendar("a date (YYYY, YYYY-MM or YYYY-MM-DD)", _DATE % ""),
    "dateTime": _calendar(
        "a date and time (YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DDThh:mm:ss+zz:zz)", _DATE % f"(T{_TIME}{_ZONE})?"
    ),
    "decimal": _decimal,
    "id": _text("an id (1 to 64 letters A-Z a-z, digits, `-` and `.`)", r"[A-Za-z0-9\-.]{1,64}"),
    "instant": _calendar(
        "an instant (YYYY-MM-DDThh:mm:ss+zz:zz)",
        rf"(?!0000)[0-9]{{4}}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T{_TIME}{_ZONE}",
    ),
    "integer": _whole("a whole number", -(2**31)),
    "markdown": _string,
    "oid": _text("an OID (urn:oid:1.2.3)", r"urn:oid:[0-2](\.(0|[1-9][0-9]*))+"),
    "positiveInt": _whole("a whole number", 1),
    "string": _string,
    "time": _text("a time of day (hh:mm:ss)", _TIME),
    "unsignedInt": _whole("a whole number", 0),
    "uri": _uri,
    "url": _uri,
    "uuid": _text(
        "a UUID (urn:uuid:c757873d-ec9a-4326-a141-556f43239520)",
        r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    ),
    "xhtml": _xhtml,
}
