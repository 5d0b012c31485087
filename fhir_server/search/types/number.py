"""Number parameters, and what quantities share with them: intervals of exact decimals.  R4: search.html#number

Index entry: `numbers.<field>` = [{"low": Decimal, "high": Decimal, …}], both ends held; an end that is missing is
±Infinity, one that is not held is the next Decimal128.  `quantity.values` adds the unit.

Beside it, for MongoDB to bound a scan by, strings in the shared array `keys`, whose order is that of the numbers as
doubles: `field<HEX` for low and `field>HEX` for high; `field?UNIT<HEX` and `field?UNIT>HEX` in base units.  So
whatever is kept of `field` lies from `field<` up to `field@`.
"""

from __future__ import annotations

import operator
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, TypeAlias

from fhir_server.fhir import json
from fhir_server.fhir.ucum import DECIMAL128, decimal128
from fhir_server.search.expression import Entry, Filter

#: An interval as it is kept: see the module's docstring.
Sub: TypeAlias = dict[str, Any]

ENDLESS = Decimal("Infinity")
#: The FHIR types that are one number.
TYPES = frozenset({"decimal", "integer", "positiveInt", "unsignedInt"})

#: Any row may hold; in a row, every column must: (end of the stored interval, operator, number of the asked one).
#: Where one number alone is asked for, it is as exact as can be.  R4: search.html#prefix
PREFIXES: dict[str, tuple[tuple[tuple[str, str, str], ...], ...]] = {
    "eq": ((("low", "$gte", "low"), ("high", "$lt", "high")),),
    "ne": ((("low", "$lt", "low"),), (("high", "$gte", "high"),)),
    "gt": ((("high", "$gt", "value"),),),
    "lt": ((("low", "$lt", "value"),),),
    "ge": ((("high", "$gte", "value"),),),
    "le": ((("low", "$lte", "value"),),),
    "sa": ((("low", "$gt", "value"),),),
    "eb": ((("high", "$lt", "value"),),),
    "ap": ((("low", "$lte", "high"), ("high", "$gte", "low")),),
}
#: Where every value that passes is among the keys: (end, from the number or its beginning, to the number or its end).
_NARROW: dict[str, tuple[str, str | None, str | None]] = {
    "eq": ("low", "low", "high"),
    "ne": ("low", None, None),
    "gt": ("high", "value", None),
    "lt": ("low", None, "value"),
    "ge": ("high", "value", None),
    "le": ("low", None, "value"),
    "sa": ("low", "value", None),
    "eb": ("high", None, "value"),
    "ap": ("high", "low", None),
}
_SEPARATORS = {"low": "<", "high": ">"}
_AFTER = {"low": "=", "high": "?"}
_OPERATORS = {"$gt": operator.gt, "$gte": operator.ge, "$lt": operator.lt, "$lte": operator.le}


@dataclass(frozen=True)
class Asked:
    """The number as written, and what it stands for by its precision: from `low`, up to but without `high`."""

    low: Decimal
    value: Decimal
    high: Decimal


@dataclass(frozen=True)
class NumberTest:
    """`prefix` `asked`: some interval passes.  `ne` too is asked of each: 1 and 2 are `ne1`."""

    prefix: str
    asked: Asked

    def to_filter(self, field: str) -> Filter:
        return {f"numbers.{field}": {"$elemMatch": self.condition()}}

    def narrow(self, field: str) -> Filter | None:
        """What every match of `to_filter` passes too, as one range of an index on `keys`."""
        end, first, last = _NARROW[self.prefix]
        start = key(field, end, getattr(self.asked, first)) if first else field + _SEPARATORS[end]
        if last:
            return {"keys": {"$elemMatch": {"$gte": start, "$lte": key(field, end, getattr(self.asked, last))}}}
        return {"keys": {"$elemMatch": {"$gte": start, "$lt": field + _AFTER[end]}}}

    def accepts(self, entry: Entry, field: str) -> bool:
        return any(self.holds(sub) for sub in entry.get("numbers", {}).get(field, ()))

    def condition(self, within: str = "") -> Filter:
        """What is asked of one interval, under the path `within`; for $elemMatch."""
        rows = [
            {within + end: {sign: getattr(self.asked, bound)} for end, sign, bound in row}
            for row in PREFIXES[self.prefix]
        ]
        return rows[0] if len(rows) == 1 else {"$or": rows}

    def holds(self, sub: Sub) -> bool:
        """`condition`, of one interval in memory."""
        return any(
            all(_OPERATORS[sign](sub[end], getattr(self.asked, bound)) for end, sign, bound in row)
            for row in PREFIXES[self.prefix]
        )


def parse(text: str) -> NumberTest:
    """
    Read `[prefix]number`.  Raises ValueError.

    >>> parse("100").asked
    Asked(low=Decimal('99.5'), value=Decimal('100'), high=Decimal('100.5'))
    >>> parse("ge1e2").asked
    Asked(low=Decimal('50'), value=Decimal('100'), high=Decimal('150'))
    """
    prefix, value, margin = read(text)
    return NumberTest(prefix, rounded(value, value - margin, value + margin))


def read(text: str) -> tuple[str, Fraction, Fraction]:
    """
    Prefix, number, and how far from it one may be: half of the last digit; for `ap` a tenth, if that is more.

    Raises ValueError.  R4: search.html#number, search.html#prefix
    """
    prefix, digits = ("eq", text) if text[:1].isdigit() or text[:1] == "-" else (text[:2], text[2:])
    if prefix not in PREFIXES:
        raise ValueError(_expected(text))
    try:
        number = json.FhirDecimal(digits)
    except ValueError:
        raise ValueError(_expected(text)) from None
    value = Fraction(number)
    margin = Fraction(10) ** int(number.as_tuple().exponent) / 2
    return prefix, value, max(margin, abs(value) / 10) if prefix == "ap" else margin


def rounded(value: Fraction, low: Fraction, high: Fraction) -> Asked:
    """The three as Decimal128; with as many digits as that has or more, the number still stands for itself."""
    middle = decimal128(value)
    return Asked(min(decimal128(low), middle), middle, max(decimal128(high), DECIMAL128.next_plus(middle)))


def values(type: str, value: Any) -> Iterator[Sub]:
    """The interval of one value of FHIR type `type`, if that is a number (TYPES): both ends are the value."""
    if type in TYPES and isinstance(value, int | Decimal) and not isinstance(value, bool):
        yield point(DECIMAL128.plus(Decimal(value)))


def point(value: Decimal) -> Sub:
    """The interval that is one number."""
    return {"low": value, "high": value}


def keys(field: str, sub: Sub) -> Iterator[str]:
    """The strings that stand in `keys` for this interval: two, and two more where it is known in base units."""
    for end in _SEPARATORS:
        yield key(field, end, sub[end])
    if canonical := sub.get("canonical"):
        for end in _SEPARATORS:
            yield key(in_unit(field, canonical["unit"]), end, canonical[end])


def key(field: str, end: str, bound: Decimal) -> str:
    """
    The key of one end.  Keys are ordered as the numbers are, or equal where doubles cannot tell these apart.

    >>> key("f", "low", Decimal(-1)) < key("f", "low", Decimal(0)) < key("f", "low", Decimal("0.1"))
    True
    """
    # Adding zero: -0.0 is 0.0.  With the sign bit turned, or all bits of what is negative, bytes are ordered as values.
    bits = int.from_bytes(struct.pack(">d", float(bound) + 0.0))
    bits = bits ^ (1 << 64) - 1 if bits >> 63 else bits | 1 << 63
    return f"{field}{_SEPARATORS[end]}{bits:016x}"


def in_unit(field: str, unit: str) -> str:
    """What stands for `field` in the keys of values in a base unit."""
    return f"{field}?{unit}"


def _expected(text: str) -> str:
    return f"`{text}` is not a number: an optional prefix ({', '.join(PREFIXES)}), then digits, such as 5.4 or 1e-2"
