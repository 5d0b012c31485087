"""Quantity parameters: intervals in a unit, compared in base units where UCUM has them.  R4: search.html#quantity

Index entry: `numbers.<field>` = [{"low": Decimal, "high": Decimal, "system": …, "code": …, "unit": …,
"canonical": {"unit": …, "low": Decimal, "high": Decimal}}], without what is not there; keys as in number.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, TypeAlias

from fhir_server.fhir import ucum
from fhir_server.fhir.ucum import DECIMAL128
from fhir_server.search.expression import Entry, Filter
from fhir_server.search.types import number
from fhir_server.search.types.number import ENDLESS, NumberTest, Sub, keys
from fhir_server.search.types.token import split, unescape

__all__ = ["CURRENCIES", "QuantityTest", "keys", "parse", "values"]

#: The system of a Money's currency.  R4: datatypes.html#Money
CURRENCIES = "urn:iso:std:iso:4217"

_QUANTITIES = frozenset({"Quantity", "SimpleQuantity", "MoneyQuantity", "Age", "Count", "Distance", "Duration"})
_Ends: TypeAlias = tuple[Callable[[Decimal], Decimal] | None, Callable[[Decimal], Decimal] | None]
#: Which ends of the number a comparator leaves: (low, high); None is ±Infinity.  R4: valueset-quantity-comparator.html
_COMPARATORS: dict[str, _Ends] = {
    "<": (None, DECIMAL128.next_minus),
    "<=": (None, DECIMAL128.plus),
    ">=": (DECIMAL128.plus, None),
    ">": (DECIMAL128.next_plus, None),
}
_SAMPLE = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?", re.ASCII)


@dataclass(frozen=True)
class QuantityTest:
    """
    `number` of some quantity in the unit asked for; `ne` is some quantity in that unit with another number.

    canonical: the base unit, UCUM's, in which `number` is and quantities are compared; system and code then say
    only what was asked.  Else the number is compared as given, in that system and code; without system, in what has
    that code or calls its unit so; without code either, in any unit.
    """

    number: NumberTest
    system: str | None = None
    code: str | None = None
    canonical: str | None = None

    def to_filter(self, field: str) -> Filter:
        return {f"numbers.{field}": {"$elemMatch": self.condition()}}

    def narrow(self, field: str) -> Filter | None:
        """What every match of `to_filter` passes too, as one range of an index on `keys`."""
        return self.number.narrow(number.in_unit(field, self.canonical) if self.canonical else field)

    def accepts(self, entry: Entry, field: str) -> bool:
        return any(self.holds(sub) for sub in entry.get("numbers", {}).get(field, ()))

    def condition(self) -> Filter:
        """What is asked of one quantity; for $elemMatch."""
        if self.canonical:
            return {"canonical.unit": self.canonical, **self.number.condition("canonical.")}
        if self.system:
            return {"system": self.system, "code": self.code, **self.number.condition()}
        if self.code:
            return {"$and": [{"$or": [{"code": self.code}, {"unit": self.code}]}, self.number.condition()]}
        return self.number.condition()

    def holds(self, sub: Sub) -> bool:
        """`condition`, of one quantity in memory."""
        if self.canonical:
            canonical = sub.get("canonical")
            return canonical is not None and canonical["unit"] == self.canonical and self.number.holds(canonical)
        if self.system:
            return sub.get("system") == self.system and sub.get("code") == self.code and self.number.holds(sub)
        if self.code:
            return self.code in (sub.get("code"), sub.get("unit")) and self.number.holds(sub)
        return self.number.holds(sub)


def parse(text: str) -> QuantityTest:
    r"""
    Read `[prefix]number`, `[prefix]number|system|code` or `[prefix]number||code`; `\|` is a bar of a part.

    Raises ValueError.

    >>> grams, milligrams = parse("5.400|http://unitsofmeasure.org|g"), parse("5400|http://unitsofmeasure.org|mg")
    >>> grams.number == milligrams.number, grams.canonical
    (True, 'g')
    """
    parts = [unescape(part) for part in split(text, "|")]
    if len(parts) not in (1, 3) or not parts[-1]:
        raise ValueError(f"`{text}` is not a quantity: number, number||unit or number|system|code")
    prefix, value, margin = number.read(parts[0])
    system, code = (parts[1] or None, parts[2]) if len(parts) == 3 else (None, None)
    low, high, base = value - margin, value + margin, None
    unit = ucum.canonical(code) if code and system == ucum.SYSTEM else None
    if unit:
        base = unit.unit
        low, value, high = (exact * unit.factor + unit.offset for exact in (low, value, high))
    return QuantityTest(NumberTest(prefix, number.rounded(value, low, high)), system, code, base)


def values(type: str, value: Any) -> Iterator[Sub]:
    """
    The intervals of one value of FHIR type `type`: quantities, Money, Range, SampledData (the bounds of its samples)
    and numbers; none of what has no value, or where the ends of a Range cannot be compared.

    >>> list(values("Money", {"value": 5, "currency": "EUR"}))
    [{'low': Decimal('5'), 'high': Decimal('5'), 'system': 'urn:iso:std:iso:4217', 'code': 'EUR'}]
    """
    if type in number.TYPES:
        yield from number.values(type, value)
    elif isinstance(value, dict):
        if type in _QUANTITIES:
            yield from _quantity(value)
        elif type == "Money":
            code = {"system": CURRENCIES, "code": value["currency"]} if "currency" in value else {}
            yield from _quantity({"value": value.get("value"), **code})
        elif type == "Range":
            yield from _range(value)
        elif type == "SampledData":
            yield from _samples(value)


def _quantity(quantity: Sub) -> Iterator[Sub]:
    if not _is_number(quantity.get("value")):
        return
    ends = _COMPARATORS.get(quantity.get("comparator", ""))
    sub = _between(DECIMAL128.plus(Decimal(quantity["value"])), ends) | _named(quantity)
    if unit := _canonical(quantity):
        sub["canonical"] = {"unit": unit.unit, **_between(ucum.convert(quantity["value"], unit), ends)}
    yield sub


def _between(value: Decimal, ends: _Ends | None) -> Sub:
    if not ends:
        return number.point(value)
    low, high = ends
    return {"low": low(value) if low else -ENDLESS, "high": high(value) if high else ENDLESS}


def _range(ends: Sub) -> Iterator[Sub]:
    """One interval, in the unit of the low end if it has one; endless where one misses.  R4: datatypes.html#Range"""
    low, high = (end if _is_number(end.get("value")) else {} for end in (ends.get("low", {}), ends.get("high", {})))
    named = low if _named(low) else high
    exact = [_expressed(end, named) if end else None for end in (low, high)]
    if (low and exact[0] is None) or (high and exact[1] is None):
        return
    yield from _interval(exact[0], exact[1], named)


def _expressed(end: Sub, named: Sub) -> Fraction | None:
    """The value of one end in the unit of the other; None if it has none there."""
    value = Fraction(end["value"])
    if not _named(end) or _same_unit(end, named):
        return value
    unit, wanted = _canonical(end), _canonical(named)
    if not unit or not wanted or unit.unit != wanted.unit:
        return None
    return (value * unit.factor + unit.offset - wanted.offset) / wanted.factor


def _same_unit(one: Sub, other: Sub) -> bool:
    if "code" in one or "code" in other:
        return (one.get("system"), one.get("code")) == (other.get("system"), other.get("code"))
    return one.get("unit") == other.get("unit")


def _samples(sampled: Sub) -> Iterator[Sub]:
    """From the least to the greatest sample; those that are an error or off the scale say nothing of the value."""
    origin = sampled.get("origin", {})
    samples = [Decimal(sample) for sample in sampled.get("data", "").split() if _SAMPLE.fullmatch(sample)]
    if samples and _is_number(origin.get("value")):
        start, factor = Fraction(origin["value"]), Fraction(sampled.get("factor", 1))
        ends = sorted(start + factor * Fraction(sample) for sample in (min(samples), max(samples)))
        yield from _interval(ends[0], ends[1], origin)


def _interval(low: Fraction | None, high: Fraction | None, named: Sub) -> Iterator[Sub]:
    """From `low` to `high` in the unit of `named`; nothing if that is no interval."""
    if (low is None and high is None) or (low is not None and high is not None and low > high):
        return
    sub: Sub = {
        "low": -ENDLESS if low is None else ucum.decimal128(low),
        "high": ENDLESS if high is None else ucum.decimal128(high),
        **_named(named),
    }
    if unit := _canonical(named):
        sub["canonical"] = {
            "unit": unit.unit,
            "low": -ENDLESS if low is None else ucum.convert(low, unit),
            "high": ENDLESS if high is None else ucum.convert(high, unit),
        }
    yield sub


def _named(quantity: Sub) -> Sub:
    return {name: quantity[name] for name in ("system", "code", "unit") if name in quantity}


def _canonical(quantity: Sub) -> ucum.Canonical | None:
    if quantity.get("system") != ucum.SYSTEM or "code" not in quantity:
        return None
    return ucum.canonical(quantity["code"])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | Decimal) and not isinstance(value, bool)
