"""UCUM: what a unit is in base units, exactly, so that 5.4 g and 5400 mg are one value.  https://ucum.org/ucum

The facts stand in profiles/ucum/units.json, read when first asked.  A percentage is a number; arbitrary units, such as
`[iU]`, are their own base, and so is the mole here: to UCUM it is a number, but nobody who asks for less than 5 mmol/L
means blood cells.  R4: datatypes.html#Quantity
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from functools import cache, lru_cache
from typing import NamedTuple

import orjson

from fhir_server.config import carried

SYSTEM = "http://unitsofmeasure.org"
#: What MongoDB's Decimal128 can hold.  Results are rounded once, by this; equal values have equal results.
DECIMAL128 = Context(prec=34, rounding=ROUND_HALF_EVEN, Emin=-6143, Emax=6144)

_LONGEST = 128
# A factor of 1E±1200 times any FHIR decimal is still a Decimal128.
_MOST_BITS = 4096
_TOKEN = re.compile(
    r"(?P<sign>[()./])|\{[^{}]*\}|(?P<atom>10[*^]|(?:[A-Za-z_%']|\[[^\[\]]+\])+)(?P<exponent>[+-]?[0-9]{1,2})?"
    r"|(?P<factor>[0-9]+)",
    re.ASCII,
)


class Canonical(NamedTuple):
    """A value of the unit, times `factor`, plus `offset`, is its value in `unit`, a product of base units."""

    factor: Fraction
    offset: Fraction
    unit: str


class _Unit(NamedTuple):
    factor: Fraction
    powers: Mapping[str, int]
    offset: Fraction = Fraction(0)
    alone: bool = False
    """No part of a product: its zero is not nothing, or its scale not linear.  UCUM s. 21"""


@dataclass(frozen=True, slots=True)
class _Table:
    prefixes: Mapping[str, Fraction]
    base: tuple[str, ...]
    scales: frozenset[str]
    metric: frozenset[str]
    temperatures: Mapping[str, tuple[str, str, str]]
    units: Mapping[str, tuple[str, str]]


def canonical(code: str) -> Canonical | None:
    """
    What a unit is in base units; None where `code` is not UCUM (case-sensitive) or beyond all measure.

    Units of one dimension have one `unit`.  Scales that are not linear, such as `[pH]`, are their own unit.

    >>> canonical("mg/dL")
    Canonical(factor=Fraction(10, 1), offset=Fraction(0, 1), unit='m-3.g')
    >>> canonical("{beats}/min"), canonical("Cel").unit, canonical("parsec")
    (Canonical(factor=Fraction(1, 60), offset=Fraction(0, 1), unit='s-1'), 'K', None)
    """
    return _canonical(code) if len(code) <= _LONGEST else None


def convert(value: Decimal | int | Fraction, unit: Canonical) -> Decimal:
    """The value in the base units: exact, then rounded once to 34 digits, and written the one way.

    >>> convert(Decimal("5.4"), canonical("g")), convert(5400, canonical("mg"))
    (Decimal('5.4'), Decimal('5.4'))
    """
    return decimal128(Fraction(value) * unit.factor + unit.offset)


def decimal128(exact: Fraction) -> Decimal:
    """The nearest number of 34 digits; equal fractions give the same one, written the same way.

    >>> decimal128(Fraction(1, 3))
    Decimal('0.3333333333333333333333333333333333')
    """
    return DECIMAL128.divide(Decimal(exact.numerator), Decimal(exact.denominator))


@lru_cache(maxsize=4096)
def _canonical(code: str) -> Canonical | None:
    try:
        unit = _whole(code)
    except ValueError:
        return None
    order = {base: place for place, base in enumerate(_table().base)}
    powers = sorted(unit.powers.items(), key=lambda power: order.get(power[0], len(order)))
    product = ".".join(base if exponent == 1 else f"{base}{exponent}" for base, exponent in powers)
    return Canonical(unit.factor, unit.offset, product or "1")


@cache
def _table() -> _Table:
    read = orjson.loads((carried("profiles") / "ucum" / "units.json").read_bytes())
    return _Table(
        prefixes={prefix: Fraction(factor) for prefix, factor in read["prefixes"].items()},
        base=(*read["base"], "mol"),
        scales=frozenset(read["scales"]),
        metric=frozenset(read["metric"]),
        temperatures=read["temperatures"],
        units=read["units"],
    )


def _whole(code: str) -> _Unit:
    tokens = _tokens(code)
    unit, after = _term(tokens, next(tokens))
    if after:
        raise ValueError(f"`{after[0]}` closes nothing")
    return unit


def _tokens(code: str) -> Iterator[re.Match[str] | None]:
    position = 0
    while position < len(code):
        found = _TOKEN.match(code, position)
        if not found:
            raise ValueError(f"not UCUM: {code}")
        yield found
        position = found.end()
    yield None


def _term(tokens: Iterator[re.Match[str] | None], token: re.Match[str] | None) -> tuple[_Unit, re.Match[str] | None]:
    """`[/]component{./component}` up to a closing bracket, with the token after it.  UCUM s. 7: from left to right."""
    product = _Unit(Fraction(1), {})
    operator = None
    if token and token[0] == "/":
        operator, token = "/", next(tokens)
    while True:
        component, token = _component(tokens, token)
        product = _times(product, component, -1 if operator == "/" else 1) if operator else component
        if not token or token[0] == ")":
            return product, token
        if token[0] not in (".", "/"):
            raise ValueError("two units without an operator")
        operator, token = token[0], next(tokens)


def _component(
    tokens: Iterator[re.Match[str] | None], token: re.Match[str] | None
) -> tuple[_Unit, re.Match[str] | None]:
    """A unit, a number or a term in brackets, and what is annotated; or an annotation, which is 1.  UCUM s. 6, 9"""
    if not token:
        raise ValueError("a unit is missing")
    if token["atom"]:
        unit = _power(_atom(token["atom"]), token["exponent"])
    elif token["factor"]:
        unit = _Unit(Fraction(int(token["factor"])), {})
        if not unit.factor:
            raise ValueError("nothing is not a unit")
    elif token[0] == "(":
        unit, closing = _term(tokens, next(tokens))
        if not closing:
            raise ValueError("a bracket is not closed")
    elif token["sign"]:
        raise ValueError("a unit is missing")
    else:
        return _Unit(Fraction(1), {}), next(tokens)
    after = next(tokens)
    return unit, next(tokens) if after and after[0].startswith("{") else after


@cache
def _atom(code: str) -> _Unit:
    """The unit with that symbol, or with that prefix and symbol.  Raises ValueError.  UCUM s. 4, 11"""
    table = _table()
    unit = _named(code, table)
    if unit:
        return unit
    for cut in (1, 2):
        factor = table.prefixes.get(code[:cut])
        metric = _named(code[cut:], table) if factor and code[cut:] in table.metric else None
        if factor and metric:
            return metric._replace(factor=metric.factor * factor)
    raise ValueError(f"unknown unit: {code}")


def _named(code: str, table: _Table) -> _Unit | None:
    if code in table.base:
        return _Unit(Fraction(1), {code: 1})
    if code in table.units:
        factor, unit = table.units[code]
        return _scaled(factor, unit)
    if code in table.temperatures:
        factor, unit, zero = table.temperatures[code]
        scaled = _scaled(factor, unit)
        return scaled._replace(offset=scaled.factor * Fraction(zero), alone=True)
    if code in table.scales:
        return _Unit(Fraction(1), {code: 1}, alone=True)
    return None


def _scaled(factor: str, unit: str) -> _Unit:
    found = _whole(unit)
    return found._replace(factor=found.factor * Fraction(factor))


def _power(unit: _Unit, exponent: str | None) -> _Unit:
    if not exponent:
        return unit
    power = int(exponent)
    if unit.alone or not power:
        raise ValueError("no unit has this power")
    return _Unit(unit.factor**power, {base: n * power for base, n in unit.powers.items()})


def _times(left: _Unit, right: _Unit, power: int) -> _Unit:
    if left.alone or right.alone:
        raise ValueError("a scale with a zero of its own is no part of a product")
    factor = left.factor * right.factor**power
    if max(factor.numerator.bit_length(), factor.denominator.bit_length()) > _MOST_BITS:
        raise ValueError("beyond all measure")
    powers = dict(left.powers)
    for base, exponent in right.powers.items():
        powers[base] = powers.get(base, 0) + power * exponent
    return _Unit(factor, {base: n for base, n in powers.items() if n})
