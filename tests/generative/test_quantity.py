"""Quantities: MongoDB's filter, the matcher in memory and a naive evaluator agree.  R4: search.html#quantity"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from bson.codec_options import CodecOptions, TypeRegistry
from bson.decimal128 import Decimal128
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_server.fhir.json import FhirDecimal
from fhir_server.search.types import number, quantity

UCUM = "http://unitsofmeasure.org"
#: Dimension, factor and offset, from UCUM's page by hand.
UNITS = {
    "g": ("mass", Fraction(1), Fraction(0)),
    "mg": ("mass", Fraction(1, 1000), Fraction(0)),
    "kg": ("mass", Fraction(1000), Fraction(0)),
    "[lb_av]": ("mass", Fraction("453.59237"), Fraction(0)),
    "Cel": ("temperature", Fraction(1), Fraction("273.15")),
    "[degF]": ("temperature", Fraction(5, 9), Fraction("459.67") * Fraction(5, 9)),
    "K": ("temperature", Fraction(1), Fraction(0)),
    "/min": ("rate", Fraction(1, 60), Fraction(0)),
    "/s": ("rate", Fraction(1), Fraction(0)),
    "/h": ("rate", Fraction(1, 3600), Fraction(0)),
}
INFINITY = float("inf")
ABOVE, BELOW = 1, -1
#: MongoDB's own decimals, for those of the entry and of the filter.
OPTIONS: CodecOptions = CodecOptions(
    type_registry=TypeRegistry(fallback_encoder=lambda value: Decimal128(value) if type(value) is Decimal else value)
)

#: Numbers that meet, or nearly, and the units in which they do.
FAMILIES = [
    (["5", "5.35", "5.4", "5.40", "5.45", "5400", "5350", "0.0054", "5.4000000000001"], ["g", "mg", "kg", "a|b"]),
    (["100", "99.5", "100.5", "1e2", "90", "110", "50", "150", "45359.237"], ["g", "[lb_av]", "tablet"]),
    (["37", "37.0", "36.5", "37.5", "98.6", "310.15", "310.65", "-40", "233.15"], ["Cel", "[degF]", "K"]),
    (["0", "1", "-1", "2", "60", "0.06", "3600", "1e-3", "1e307"], ["/min", "/s", "/h"]),
]
systems = st.sampled_from([None, UCUM, UCUM, UCUM, "http://other"])
anything = st.builds(lambda n, places: f"{n / 10**places:.{places}f}", st.integers(-200, 200), st.integers(0, 3))


def _given(**members: object) -> dict:
    return {name: value for name, value in members.items() if value is not None}


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[list[dict]], list[tuple]]:
    """Resources, each with some quantities, and questions: of one family, so that they often meet."""
    numbers, units = draw(st.sampled_from(FAMILIES))
    few = draw(st.lists(st.sampled_from(numbers) | anything, min_size=1, max_size=4))
    digits = st.sampled_from(few)
    codes = st.sampled_from([*units, *units, None, *UNITS])
    comparators = st.sampled_from([None, None, None, "<", "<=", ">", ">="])
    quantities = st.builds(
        lambda text, comparator, system, code, unit: _given(
            value=FhirDecimal(text), comparator=comparator, system=system, code=code, unit=unit
        ),
        *(digits, comparators, systems, codes, codes),
    )
    asked = st.tuples(st.sampled_from(["", *number.PREFIXES]), digits, systems, codes)
    resources = st.lists(st.lists(quantities, min_size=1, max_size=3), min_size=2, max_size=5)
    return draw(resources), draw(st.lists(asked, min_size=4, max_size=12))


def _text(prefix: str, text: str, system: str | None, code: str | None) -> str:
    if code is None:
        return prefix + text
    escaped = code.replace("|", "\\|")
    return f"{prefix}{text}|{system or ''}|{escaped}"


def _ends(value: Fraction, comparator: str | None) -> tuple:
    """(low, high): a number, and whether the end is just above or below it."""
    low = {"<": (-INFINITY, 0), "<=": (-INFINITY, 0), ">": (value, ABOVE)}.get(comparator or "", (value, 0))
    high = {">": (INFINITY, 0), ">=": (INFINITY, 0), "<": (value, BELOW)}.get(comparator or "", (value, 0))
    return low, high


def _passes(prefix: str, low: tuple, high: tuple, value: tuple, least: tuple, most: tuple) -> bool:
    """R4 search.html#prefix, read aloud"""
    contained = low >= least and high < most
    return {
        "": contained,
        "eq": contained,
        "ne": not contained,
        "gt": high > value,
        "lt": low < value,
        "ge": high >= value,
        "le": low <= value,
        "sa": low > value,
        "eb": high < value,
        "ap": low <= most and high >= least,
    }[prefix]


def _naively(stored: dict, prefix: str, text: str, system: str | None, code: str | None) -> bool:
    value, kept = Fraction(text), Fraction(stored["value"])
    margin = Fraction(10) ** Decimal(text).as_tuple().exponent / 2
    if prefix == "ap":
        margin = max(margin, abs(value) / 10)
    numbers = [value, value - margin, value + margin]
    if system == UCUM and code in UNITS:
        dimension, factor, offset = UNITS[code]
        if stored.get("system") != UCUM or UNITS.get(stored.get("code"), ("",))[0] != dimension:
            return False
        numbers = [n * factor + offset for n in numbers]
        kept = kept * UNITS[stored["code"]][1] + UNITS[stored["code"]][2]
    elif code is not None and system is not None:
        if (stored.get("system"), stored.get("code")) != (system, code):
            return False
    elif code is not None and code not in (stored.get("code"), stored.get("unit")):
        return False
    return _passes(prefix, *_ends(kept, stored.get("comparator")), *((n, 0) for n in numbers))


def test_filter_matcher_and_naive_evaluator_agree(database):
    """R4 search.html#quantity: whichever reader is asked; and what narrows the scan of the index excludes no match"""
    collection = database.get_collection("documents", codec_options=OPTIONS)
    collection.create_index("keys")

    @settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=cases())
    def agree(case):
        found, questions = case
        entries = {}
        for id, several in enumerate(found):
            subs = [sub for stored in several for sub in quantity.values("Quantity", stored)]
            keys = sorted({key for sub in subs for key in quantity.keys("f", sub)})
            entries[id] = {"_id": id, "numbers": {"f": subs}, "keys": keys}
        collection.delete_many({})
        collection.insert_many(entries.values())
        for question in questions:
            test = quantity.parse(_text(*question))
            expected = {
                id for id, several in enumerate(found) if any(_naively(stored, *question) for stored in several)
            }
            wanted = test.to_filter("f")
            selected = {document["_id"] for document in collection.find(wanted, {"_id": 1})}
            bounded = {**wanted, **test.narrow("f")}
            narrowed = {document["_id"] for document in collection.find(bounded, {"_id": 1}, hint="keys_1")}
            matched = {id for id, entry in entries.items() if test.accepts(entry, "f")}
            assert selected == matched == narrowed == expected, question

    agree()


@settings(max_examples=200, deadline=None)
@given(
    one=st.decimals(allow_nan=False, allow_infinity=True),
    other=st.decimals(allow_nan=False, allow_infinity=True),
    end=st.sampled_from(["low", "high"]),
)
def test_keys_never_contradict_the_order_of_numbers(one, other, end):
    """What bounds a scan of the index bounds the numbers too"""
    smaller, greater = sorted([one, other])
    assert number.key("f", end, smaller) <= number.key("f", end, greater)


def test_a_scan_is_bounded_on_both_sides(database):
    """`narrow` is one range of an index: `eq` reads no key outside what is asked"""
    collection = database.get_collection("documents", codec_options=OPTIONS)
    collection.create_index("keys")
    for id in range(200):
        (sub,) = quantity.values("Quantity", {"value": id, "system": UCUM, "code": "mg"})
        collection.insert_one({"_id": id, "numbers": {"f": [sub]}, "keys": list(quantity.keys("f", sub))})
    for text, most in ((f"0.1|{UCUM}|g", 101), (f"0.100|{UCUM}|g", 2), (f"gt0.1899|{UCUM}|g", 12), ("100", 3)):
        test = quantity.parse(text)
        plan = collection.find({**test.to_filter("f"), **test.narrow("f")}).explain()
        assert plan["executionStats"]["totalKeysExamined"] <= most, text
        assert plan["executionStats"]["nReturned"] > 0
