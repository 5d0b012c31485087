"""Number and quantity parameters: what is asked against what is kept.  R4: search.html#number, search.html#quantity"""

from decimal import Decimal

import pytest

from fhir_server.fhir.json import FhirDecimal
from fhir_server.search.types import number, quantity

UCUM = "http://unitsofmeasure.org"


def kept(type: str, *values: object) -> dict:
    """The entry of a resource with these values."""
    subs = [sub for value in values for sub in quantity.values(type, value)]
    return {"numbers": {"f": subs}, "keys": [key for sub in subs for key in quantity.keys("f", sub)]}


def passes_narrow(test: number.NumberTest | quantity.QuantityTest, entry: dict) -> bool:
    """`narrow`, read as MongoDB reads it."""
    bounds = test.narrow("f")["keys"]["$elemMatch"]
    return any(
        bounds["$gte"] <= key and (key < bounds["$lt"] if "$lt" in bounds else key <= bounds["$lte"])
        for key in entry["keys"]
    )


def found(test: number.NumberTest | quantity.QuantityTest, entry: dict) -> bool:
    """Whether the test accepts; what it accepts, `narrow` never excludes."""
    accepted = test.accepts(entry, "f")
    assert passes_narrow(test, entry) or not accepted
    return accepted


def grams(text: str, code: str = "g", **more: str) -> dict:
    """A quantity in a UCUM unit."""
    return {"value": FhirDecimal(text), "system": UCUM, "code": code, **more}


@pytest.mark.parametrize(
    ("asked", "stored", "expected"),
    [
        ("100", "100", True),
        ("100", "99.5", True),
        ("100", "100.4999", True),
        ("100", "100.5", False),
        ("100", "99.49", False),
        ("100.00", "100.004", True),
        ("100.00", "100.005", False),
        ("100.00", "99.995", True),
        ("1e2", "50", True),
        ("1e2", "149.9", True),
        ("1e2", "150", False),
        ("1e-2", "0.014", True),
        ("0", "-0.5", True),
        ("-0", "0.4", True),
        ("-3", "-3.5", True),
        ("-3", "-2.5", False),
        ("eq5.4", "5.4", True),
        ("ne5.4", "5.4", False),
        ("ne5.4", "5.45", True),
        ("ne5.4", "5.44", False),
        ("gt5.4", "5.4", False),
        ("gt5.4", "5.40001", True),
        ("lt5.4", "5.4", False),
        ("lt5.4", "5.39999", True),
        ("ge5.4", "5.4", True),
        ("ge5.4", "5.39", False),
        ("le5.4", "5.4", True),
        ("le5.4", "5.41", False),
        ("sa5.4", "5.4", False),
        ("sa5.4", "5.41", True),
        ("eb5.4", "5.4", False),
        ("eb5.4", "5.39", True),
        ("ap100", "90", True),
        ("ap100", "110", True),
        ("ap100", "89.9", False),
        ("ap-100", "-110", True),
        ("ap1", "1.4", True),
        ("ap1", "1.6", False),
    ],
)
def test_a_number_and_its_precision(asked, stored, expected):
    """R4 search.html#number, search.html#prefix"""
    assert found(number.parse(asked), kept("decimal", FhirDecimal(stored))) is expected
    assert found(quantity.parse(asked), kept("Quantity", {"value": FhirDecimal(stored)})) is expected


@pytest.mark.parametrize(
    ("comparator", "asked", "expected"),
    [
        ("<", "5.4", False),
        ("<", "lt5.4", True),
        ("<", "lt1", True),
        ("<", "gt5.4", False),
        ("<", "gt5.3", True),
        ("<", "ge5.4", False),
        ("<", "eb5.4", True),
        ("<", "ne5.4", True),
        ("<", "ap5.4", True),
        ("<=", "ge5.4", True),
        ("<=", "gt5.4", False),
        ("<=", "eb5.4", False),
        (">", "gt5.4", True),
        (">", "gt1000", True),
        (">", "le5.4", False),
        (">", "sa5.4", True),
        (">", "lt5.5", True),
        (">=", "le5.4", True),
        (">=", "lt5.4", False),
        (">=", "sa5.4", False),
        (">=", "5.4", False),
    ],
)
def test_a_comparator_leaves_one_side_open(comparator, asked, expected):
    """R4 datatypes.html#Quantity, search.html#prefix: the stored value is a range"""
    entry = kept("Quantity", grams("5.4", comparator=comparator))
    assert found(quantity.parse(asked), entry) is expected
    in_milligrams = asked.replace("5.4", "5400").replace("5.3", "5300").replace("5.5", "5500")
    if in_milligrams != asked:
        assert found(quantity.parse(f"{in_milligrams}|{UCUM}|mg"), entry) is expected


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("5.4", True),
        (f"5.4|{UCUM}|g", True),
        (f"5400|{UCUM}|mg", True),
        (f"0.0054|{UCUM}|kg", True),
        (f"gt5399|{UCUM}|mg", True),
        (f"lt5400|{UCUM}|mg", False),
        (f"5400|{UCUM}|g", False),
        (f"5.4|{UCUM}|mL", False),
        (f"5.4|{UCUM}|grams", False),
        ("5.4|http://other|g", False),
        ("5.4||g", True),
        ("5.4||gramme", True),
        ("5400||mg", False),
        (f"ne5.4|{UCUM}|g", False),
        (f"ne5.4|{UCUM}|mg", True),
        (f"ne5.4|{UCUM}|mL", False),
    ],
)
def test_a_quantity_is_compared_in_its_unit(asked, expected):
    """R4 search.html#quantity"""
    assert found(quantity.parse(asked), kept("Quantity", grams("5.4", unit="gramme"))) is expected


def test_a_quantity_without_a_known_unit_is_compared_as_given():
    """R4 search.html#quantity"""
    tablets = {"value": 2, "system": "http://here/units", "code": "a|b", "unit": "tablet"}
    assert found(quantity.parse(r"2|http://here/units|a\|b"), kept("Quantity", tablets))
    assert not found(quantity.parse(r"3|http://here/units|a\|b"), kept("Quantity", tablets))
    assert found(quantity.parse(f"2|{UCUM}|tablets"), kept("Quantity", {"value": 2, "system": UCUM, "code": "tablets"}))
    assert not found(quantity.parse("2||tab"), kept("Quantity", tablets))
    assert found(quantity.parse("2||tablet"), kept("Quantity", tablets))


def test_a_temperature_by_the_precision_of_its_own_scale():
    """R4 search.html#quantity: 37 °C stands for [36.5, 37.5) °C"""
    fever = kept("Quantity", grams("98.6", "[degF]"))
    assert found(quantity.parse(f"37.0|{UCUM}|Cel"), fever)
    assert found(quantity.parse(f"310.15|{UCUM}|K"), fever)
    assert not found(quantity.parse(f"36|{UCUM}|Cel"), fever)
    assert found(quantity.parse(f"ap36|{UCUM}|Cel"), fever)
    assert not found(quantity.parse(f"ap20|{UCUM}|Cel"), fever)


def test_some_one_value_passes_all_of_it():
    """R4 search.html#combining: `5.4 g` and `7 mL` are not `7 g`; and `ne` is asked of each value"""
    entry = kept("Quantity", grams("5.4"), grams("7", "mL"))
    assert not found(quantity.parse(f"7|{UCUM}|g"), entry)
    assert found(quantity.parse(f"7|{UCUM}|mL"), entry)
    assert not found(quantity.parse(f"ne5.4|{UCUM}|g"), entry)
    assert found(quantity.parse(f"ne5.4|{UCUM}|g"), kept("Quantity", grams("5.4"), grams("6")))
    assert found(quantity.parse("ne5.4"), entry)


def test_money_by_its_currency():
    """R4 datatypes.html#Money: the currency is a code of ISO 4217"""
    entry = kept("Money", {"value": FhirDecimal("12.50"), "currency": "EUR"})
    assert found(quantity.parse("12.50|urn:iso:std:iso:4217|EUR"), entry)
    assert found(quantity.parse("12.50||EUR"), entry)
    assert not found(quantity.parse("12.50||USD"), entry)
    assert kept("Money", {"currency": "EUR"})["keys"] == []


@pytest.mark.parametrize(
    ("ends", "asked", "expected"),
    [
        ({"low": grams("1"), "high": grams("2")}, f"gt1999|{UCUM}|mg", True),
        ({"low": grams("1"), "high": grams("2")}, f"gt2000|{UCUM}|mg", False),
        ({"low": grams("1"), "high": grams("2")}, f"2|{UCUM}|g", False),
        ({"low": grams("1"), "high": grams("2")}, f"1e1|{UCUM}|g", False),
        ({"low": grams("6"), "high": grams("14")}, f"1e1|{UCUM}|g", True),
        ({"low": grams("1"), "high": grams("2")}, f"sa999|{UCUM}|mg", True),
        ({"low": grams("1")}, f"gt1000000|{UCUM}|g", True),
        ({"low": grams("1")}, f"lt1|{UCUM}|g", False),
        ({"high": grams("2")}, f"lt-9|{UCUM}|g", True),
        ({"low": grams("500", "mg"), "high": grams("2", "g")}, "eb2000.1||mg", True),
        ({"low": grams("500", "mg"), "high": grams("2", "g")}, f"sa0.499|{UCUM}|g", True),
        ({"low": grams("500", "mg"), "high": {"value": 600}}, "eb601||mg", True),
        ({"low": {"value": 1}, "high": grams("2")}, "sa0.9||g", True),
        ({"low": grams("500", "mg"), "high": grams("2", "mL")}, "gt0", False),
        ({"low": {"value": 1, "unit": "drop"}, "high": {"value": 2, "unit": "cup"}}, "gt0", False),
        ({"low": grams("2"), "high": grams("1")}, "gt0", False),
        ({"low": {"unit": "g"}}, "gt0", False),
        ({}, "gt0", False),
    ],
)
def test_a_range_is_an_interval(ends, asked, expected):
    """R4 datatypes.html#Range, search.html#prefix: both ends held, open where one is missing"""
    assert found(quantity.parse(asked), kept("Range", ends)) is expected


def test_sampled_data_by_the_bounds_of_its_samples():
    """R4 observation.html, value-quantity: the bounds of the values in sampled data; E, U and L are no values"""
    wave = {"origin": grams("1", "mV"), "factor": FhirDecimal("-0.5"), "data": "E 4 U -2.0 L 0"}
    ((sub),) = quantity.values("SampledData", wave)
    assert (sub["low"], sub["high"]) == (-1, 2)
    assert found(quantity.parse(f"gt1999|{UCUM}|uV"), kept("SampledData", wave))
    assert not found(quantity.parse(f"gt2000|{UCUM}|uV"), kept("SampledData", wave))
    assert list(quantity.values("SampledData", {**wave, "data": "E E"})) == []
    assert list(quantity.values("SampledData", {"origin": grams("1", "mV")})) == []


@pytest.mark.parametrize(
    ("type", "value"),
    [
        ("Quantity", {"unit": "g"}),
        ("Quantity", None),
        ("decimal", True),
        ("decimal", "5"),
        ("string", "5"),
        ("CodeableConcept", {"coding": []}),
    ],
)
def test_what_has_no_number_is_not_kept(type, value):
    """R4 search.html#quantity"""
    assert list(quantity.values(type, value)) == []


@pytest.mark.parametrize("type", ["Age", "Count", "Distance", "Duration", "SimpleQuantity", "MoneyQuantity"])
def test_every_kind_of_quantity(type):
    """R4 datatypes.html#quantity: Age, Count, Distance and Duration are quantities"""
    entry = kept(type, {"value": 2, "system": UCUM, "code": "a"})
    assert found(quantity.parse(f"24|{UCUM}|mo"), entry)


@pytest.mark.parametrize(
    "text", ["", "x", "xx5", "eq", "5,4", "5.4g", "+5", ".5", "5.", "NaN", "Infinity", "1e999", "gt gt5"]
)
def test_what_is_no_number_is_refused_in_words(text):
    """R4 search.html#number"""
    with pytest.raises(ValueError, match="is not a number: an optional prefix"):
        number.parse(text)
    with pytest.raises(ValueError, match="is not a"):
        quantity.parse(text)


@pytest.mark.parametrize("text", ["5|g", "5|s|g|h", "5|s|", "5||", "5|"])
def test_what_is_no_quantity_is_refused_in_words(text):
    """R4 search.html#quantity"""
    with pytest.raises(ValueError, match=r"number, number\|\|unit or number\|system\|code"):
        quantity.parse(text)


def test_keys_are_ordered_as_the_numbers_are():
    """IEEE 754: the doubles of a Decimal are ordered as it is, or equal"""
    texts = ["-Infinity", "-1E+400", "-5.4", "-1E-400", "0", "1E-300", "0.1", "5.4", "5.5", "1E+307", "Infinity"]
    keys = [number.key("f", "low", Decimal(text)) for text in texts]
    assert keys == sorted(keys)
    assert number.key("f", "low", Decimal("-0.0")) == number.key("f", "low", Decimal(0))


def test_the_keys_of_a_field_lie_between_its_separators():
    """From `field<` up to `field@`: no other field's, not that of a longer name either"""
    for field in ("value", "value-quantity"):
        for key in quantity.keys(field, next(quantity.values("Quantity", grams("5.4", "m[IU]/(24.h)")))):
            assert f"{field}<" <= key < f"{field}@"
            assert ("value<" <= key < "value@") is (field == "value")


@pytest.mark.parametrize("text", ["1." + "1" * 40, "9" * 34, "1" * 33 + "2.25", "0." + "3" * 60, "1e307", "-1e-307"])
def test_numbers_of_any_length_find_themselves(text):
    """R4 datatypes.html#decimal: kept with 34 digits, and asked with as many"""
    for asked in (text, f"ge{text}", f"le{text}", f"{text}|{UCUM}|Ym", f"ap{text}|{UCUM}|[lb_av]"):
        code = asked.rpartition("|")[2]
        assert found(quantity.parse(asked), kept("Quantity", grams(text, code)))
