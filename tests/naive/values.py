"""One asked value against one found value, for each type of parameter.  R4: search.html#ptypes"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from tests.naive import dates

UCUM = "http://unitsofmeasure.org"
PREFIXES = ("eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")
_LOCAL = re.compile(r"([A-Z]\w+)/([A-Za-z0-9.-]{1,64})(?:/_history/([A-Za-z0-9.-]{1,64}))?")
_NAME_PARTS = ("text", "family", "given", "prefix", "suffix")
_ADDRESS_PARTS = ("text", "line", "city", "district", "state", "postalCode", "country")

#: Units as multiples of one of their kind.  UCUM: a year is 365.25 days, a month a twelfth of it.
_UNITS: dict[str, tuple[str, Decimal]] = {
    code: (kind, Decimal(factor))
    for kind, codes in {
        "volume": {"L": "1", "dL": "0.1", "mL": "0.001", "ml": "0.001"},
        "mass": {"kg": "1000", "g": "1", "mg": "0.001", "ug": "0.000001"},
        "length": {"m": "1", "cm": "0.01", "mm": "0.001", "[in_i]": "0.0254"},
        "time": {"s": "1", "min": "60", "h": "3600", "d": "86400", "wk": "604800", "mo": "2629800", "a": "31557600"},
        "mass concentration": {"g/L": "1", "g/dL": "10", "mg/dL": "0.01", "mg/L": "0.001"},
        "amount concentration": {"mol/L": "1", "mmol/L": "0.001", "umol/L": "0.000001"},
        "pressure": {"Pa": "1", "kPa": "1000", "mm[Hg]": "133.322", "cm[Hg]": "1333.22"},
        "frequency": {"/min": "1", "/s": "60"},
        "fraction": {"%": "0.01", "1": "1", "{score}": "1"},
        "temperature": {"Cel": "1"},
        "body mass index": {"kg/m2": "1"},
    }.items()
    for code, factor in codes.items()
}


def split(text: str, separator: str) -> list[str]:
    """The parts between separators that no backslash stands before; the backslashes stay.  R4: search.html#escaping"""
    parts, at = [""], 0
    while at < len(text):
        if text[at] == "\\" and at + 1 < len(text):
            parts[-1] += text[at : at + 2]
            at += 2
            continue
        if text[at] == separator:
            parts.append("")
        else:
            parts[-1] += text[at]
        at += 1
    return parts


def unescape(text: str) -> str:
    """The text that is meant."""
    return re.sub(r"\\(.)", r"\1", text)


def prefixed(text: str) -> tuple[str, str]:
    """The prefix, `eq` where there is none, and what it stands before."""
    return (text[:2], text[2:]) if text[:2] in PREFIXES else ("eq", text)


# string


def folded(text: str) -> str:
    """The text without what a string search passes over: case, accents, repeated spaces."""
    bare = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return " ".join(bare.casefold().split())


def texts(value: Any) -> list[str]:
    """The strings of a string, a name or an address."""
    if isinstance(value, str):
        return [value]
    if not isinstance(value, Mapping):
        return []
    parts = (value.get(name, []) for name in {*_NAME_PARTS, *_ADDRESS_PARTS})
    return [text for part in parts for text in ([part] if isinstance(part, str) else part) if text]


def string(value: Any, asked: str, modifier: str | None) -> bool:
    """R4: search.html#string"""
    wanted = unescape(asked)
    if modifier == "exact":
        return wanted in texts(value)
    if modifier == "contains":
        return any(folded(wanted) in folded(text) for text in texts(value))
    return any(folded(text).startswith(folded(wanted)) for text in texts(value))


# token


def codings(value: Any, implied: Mapping[str, Collection[str]]) -> Iterator[tuple[Collection[str | None], str]]:
    """Each code in the value with the systems by which it may be asked for; None is to ask for it without one."""
    if isinstance(value, bool):
        yield (None,), str(value).lower()
    elif isinstance(value, str):
        yield (None, *implied.get(value, ())), value
    elif "coding" in value:
        yield from ((_system(coding), coding["code"]) for coding in value["coding"] if "code" in coding)
    elif "code" in value:
        yield _system(value), value["code"]
    elif value.get("system") in ("phone", "fax", "email", "pager", "url", "sms", "other") and "value" in value:
        yield (None,), value["value"]
    elif "value" in value:
        yield _system(value), value["value"]


def _system(coded: Mapping[str, Any]) -> Collection[str | None]:
    return (coded.get("system"),)


def token(value: Any, asked: str, modifier: str | None, implied: Mapping[str, Collection[str]]) -> bool:
    """R4: search.html#token"""
    if modifier == "text":
        return any(folded(text).startswith(folded(unescape(asked))) for text in _displayed(value))
    parts = [unescape(part) for part in split(asked, "|")]
    if modifier == "of-type":
        system, code, wanted = parts
        kinds = codings(value.get("type", {}), {}) if isinstance(value, Mapping) else ()
        return value.get("value") == wanted and any(system in s and code == c for s, c in kinds)
    if len(parts) == 1:
        return any(code == parts[0] for _, code in codings(value, implied))
    wanted_system = parts[0] or None
    return any(wanted_system in systems and parts[1] in ("", code) for systems, code in codings(value, implied))


def _displayed(value: Any) -> list[str]:
    """What people read of the code."""
    if not isinstance(value, Mapping):
        return []
    given = [value.get("text"), value.get("display"), value.get("type", {}).get("text")]
    given += [coding.get("display") for coding in value.get("coding", ())]
    return [text for text in given if text]


# reference


@dataclass(frozen=True)
class Local:
    """A resource of this server, perhaps one version of it."""

    type: str
    id: str
    version: str | None = None

    @property
    def name(self) -> str:
        """`Type/id`."""
        return f"{self.type}/{self.id}"


def local(reference: str, base: str) -> Local | None:
    """Where a relative reference, or an absolute one below the base, leads."""
    found = _LOCAL.fullmatch(reference.removeprefix(base + "/"))
    return Local(*found.groups()) if found else None


def kind(value: Any, contained: Mapping[str, str]) -> str | None:
    """The type of what a reference refers to, as far as it says."""
    text = value.get("reference") if isinstance(value, Mapping) else None
    if text is None:
        return value.get("type") if isinstance(value, Mapping) else None
    if text.startswith("#"):
        return contained.get(text[1:])
    found = re.search(r"(?:^|/)" + _LOCAL.pattern + "$", text)
    return found[1] if found else value.get("type")


def reference(value: Any, asked: str, modifier: str | None, base: str) -> bool:
    """R4: search.html#reference, references.html#canonical"""
    if modifier == "identifier":
        return isinstance(value, Mapping) and "identifier" in value and token(value["identifier"], asked, None, {})
    wanted = unescape(asked)
    if modifier is not None:
        wanted = f"{modifier}/{wanted}"
    if isinstance(value, str):
        return value == wanted or value.partition("|")[0] == wanted
    text = value.get("reference")
    if text is None:
        return False
    held, sought = local(text, base), local(wanted, base)
    if held is None:
        return text == wanted or text.partition("/_history/")[0] == wanted
    if sought is None:
        return held.id == wanted
    return held.name == sought.name and sought.version in (None, held.version)


# number and quantity


@dataclass(frozen=True)
class Span:
    """Numbers from `low` to `high`, one number where both are the same."""

    low: Decimal
    high: Decimal


def quantity(value: Any, asked: str) -> bool:
    """R4: search.html#quantity"""
    prefix, rest = prefixed(asked)
    number, system, code = ([unescape(part) for part in split(rest, "|")] + ["", ""])[:3]
    factor = _UNITS[code][1] if system == UCUM and code in _UNITS else Decimal(1)
    span = _span(value, system, code)
    return span is not None and _holds(prefix, number, factor, span)


def _span(value: Mapping[str, Any], system: str, code: str) -> Span | None:
    """The numbers of a Quantity, a Range or samples, in the measure that was asked for; None if in another."""
    if "low" in value or "high" in value:
        ends = [_span(value[end], system, code) if end in value else None for end in ("low", "high")]
        if any(end in value and found is None for end, found in zip(("low", "high"), ends, strict=True)):
            return None
        low, high = ends
        return Span(low.low if low else Decimal("-Infinity"), high.high if high else Decimal("Infinity"))
    if "origin" in value:
        bounds = _bounds(value)
        return _span(bounds, system, code) if bounds else None
    if "value" not in value:
        return None
    factor = _factor(value, system, code)
    if factor is None:
        return None
    number = Decimal(str(value["value"])) * factor
    comparator = value.get("comparator", "")
    if comparator.startswith("<"):
        return Span(Decimal("-Infinity"), number if comparator == "<=" else number.next_minus())
    if comparator.startswith(">"):
        return Span(number if comparator == ">=" else number.next_plus(), Decimal("Infinity"))
    return Span(number, number)


def _bounds(sampled: Mapping[str, Any]) -> dict[str, Any] | None:
    """The Range of what was sampled; None where nothing was.  R4: datatypes.html#SampledData"""
    samples = [Decimal(text) for text in sampled.get("data", "").split() if text not in ("E", "U", "L")]
    if not samples:
        return None
    origin, factor = sampled["origin"], Decimal(str(sampled.get("factor", 1)))
    found = [Decimal(str(origin["value"])) + sample * factor for sample in samples]
    return {"low": {**origin, "value": min(found)}, "high": {**origin, "value": max(found)}}


def _factor(value: Mapping[str, Any], system: str, code: str) -> Decimal | None:
    """What the held number is multiplied by to be in the measure asked for; None where it cannot be."""
    if not system:
        return Decimal(1) if code in ("", value.get("code"), value.get("unit")) else None
    if system != value.get("system"):
        return None
    held = value.get("code")
    if system == UCUM and code in _UNITS and held in _UNITS:
        return _UNITS[held][1] if _UNITS[held][0] == _UNITS[code][0] else None
    return Decimal(1) if held == code else None


def _holds(prefix: str, number: str, factor: Decimal, span: Span) -> bool:
    value = Decimal(number) * factor
    half = Decimal(5).scaleb(Decimal(number).as_tuple().exponent - 1) * factor  # type: ignore[operator]
    inside = value - half <= span.low and span.high < value + half
    if prefix == "eq":
        return inside
    if prefix == "ne":
        return not inside
    if prefix in ("gt", "ge"):
        return span.high > value or (prefix == "ge" and span.high == value)
    if prefix in ("lt", "le"):
        return span.low < value or (prefix == "le" and span.low == value)
    if prefix == "sa":
        return span.low > value
    if prefix == "eb":
        return span.high < value
    margin = abs(value) / 10
    return span.low <= value + margin and span.high >= value - margin


# date, uri, special


def date(value: Any, asked: str, now: datetime) -> bool:
    """R4: search.html#date"""
    prefix, text = prefixed(asked)
    held = dates.stretch_of(value)
    return held is not None and dates.compare(prefix, dates.stretch(text), held, now)


def uri(value: str, asked: str, modifier: str | None) -> bool:
    """R4: search.html#uri, `:below` is "starts with", and `:above` its converse"""
    wanted = unescape(asked)
    if modifier == "below":
        return value.startswith(wanted)
    if modifier == "above":
        return wanted.startswith(value)
    return value == wanted


_METRES = {"m": 1, "km": 1000, "[mi_us]": 1609.347219, "[mi_i]": 1609.344}


def near(value: Mapping[str, Any], asked: str) -> bool:
    """R4: location.html#positional"""
    latitude, longitude, distance, *unit = [unescape(part) for part in split(asked, "|")]
    reach = float(distance) * _METRES[unit[0] if unit and unit[0] else "km"]
    return apart(float(latitude), float(longitude), value) <= reach


def apart(latitude: float, longitude: float, position: Mapping[str, Any]) -> float:
    """Metres on the great circle from there to the position."""
    here, there = (math.radians(latitude), math.radians(float(position["latitude"])))
    east = math.radians(float(position["longitude"]) - longitude)
    a = math.sin((there - here) / 2) ** 2 + math.cos(here) * math.cos(there) * math.sin(east / 2) ** 2
    return 2 * 6_371_008.8 * math.asin(math.sqrt(a))
