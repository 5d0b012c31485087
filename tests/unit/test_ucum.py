"""Units in base units, exactly.  https://ucum.org/ucum"""

from decimal import Decimal
from fractions import Fraction

import orjson
import pytest

from fhir_server.config import carried
from fhir_server.fhir.ucum import canonical, convert

TABLE = orjson.loads((carried("profiles") / "ucum" / "units.json").read_bytes())


@pytest.mark.parametrize(
    ("code", "factor", "unit"),
    [
        ("g", "1", "g"),
        ("mg", "1/1000", "g"),
        ("kg", "1000", "g"),
        ("ug", "1/1000000", "g"),
        ("[lb_av]", "453.59237", "g"),
        ("cm", "1/100", "m"),
        ("[in_i]", "0.0254", "m"),
        ("s", "1", "s"),
        ("ms", "1/1000", "s"),
        ("min", "60", "s"),
        ("h", "3600", "s"),
        ("d", "86400", "s"),
        ("wk", "604800", "s"),
        ("mo", "2629800", "s"),
        ("a", "31557600", "s"),
        ("/min", "1/60", "s-1"),
        ("{beats}/min", "1/60", "s-1"),
        ("Hz", "1", "s-1"),
        ("%", "1/100", "1"),
        ("1", "1", "1"),
        ("{score}", "1", "1"),
        ("10*9/L", "1000000000000", "m-3"),
        ("10^9/L", "1000000000000", "m-3"),
        ("10*12/L", "1000000000000000", "m-3"),
        ("mmol/L", "1", "m-3.mol"),
        ("g/dL", "10000", "m-3.g"),
        ("g%", "10000", "m-3.g"),
        ("kg/m2", "1000", "m-2.g"),
        ("kPa", "1000000", "m-1.s-2.g"),
        ("mm[Hg]", "133322", "m-1.s-2.g"),
        ("kcal", "4184000", "m2.s-2.g"),
        ("[IU]", "1", "[iU]"),
        ("m[IU]/mL", "1000", "m-3.[iU]"),
        ("[iU]/L", "1000", "m-3.[iU]"),
        ("mL/min/{1.73_m2}", "1/60000000", "m3.s-1"),
        ("ug/kg/min", "1/60000000000", "s-1"),
        ("1/(24.h)", "1/86400", "s-1"),
        ("mg/((24.h).(10.kg))", "1/864000000000", "s-1"),
        ("[pH]", "1", "[pH]"),
        ("dB", "1/10", "B"),
        ("KiBy", "8192", "1"),
        ("[psi]", "6894757.293168361336722673445346890693781", "m-1.s-2.g"),
    ],
)
def test_a_unit_in_base_units(code, factor, unit):
    """UCUM s. 2, 28-46"""
    found = canonical(code)
    assert found.unit == unit
    assert found.offset == 0
    assert abs(found.factor / Fraction(factor) - 1) < Fraction(1, 10**34)


@pytest.mark.parametrize(
    "code",
    [
        "",
        "/",
        "KG",
        "MMHG",
        "parsec",
        "mmHg",
        "bpm",
        "mg.",
        "mg//L",
        "mg dL",
        "mg{a}L",
        "kmin",
        "mg)",
        "(mg",
        "{mg",
        "m0",
        "0",
        "1/0",
        "J/Cel",
        "Cel2",
        "[pH]/L",
        "µg",
        "m²",
        "10*100",
        "m" * 200,
        "10*99" + ".10*99" * 20,
        "(" * 60 + "m" + ")" * 59,
    ],
)
def test_what_is_no_unit_or_has_no_conversion(code):
    """UCUM s. 3-12, 21: case counts, only metric units have prefixes, a scale with its own zero is no factor"""
    assert canonical(code) is None


def test_case_counts():
    """UCUM s. 3: `MG` is a megagauss, and no milligram"""
    assert canonical("MG").unit == "s-1.g.C-1"


@pytest.mark.parametrize(
    ("value", "code", "expected"),
    [
        ("37", "Cel", "310.15"),
        ("98.6", "[degF]", "310.15"),
        ("29.6", "[degRe]", "310.15"),
        ("310.15", "K", "310.15"),
        ("-40", "Cel", "233.15"),
        ("-40", "[degF]", "233.15"),
    ],
)
def test_a_temperature_has_a_zero_of_its_own(value, code, expected):
    """UCUM s. 21"""
    assert str(convert(Decimal(value), canonical(code))) == expected


@pytest.mark.parametrize(
    "same",
    [
        [("5.4", "g"), ("5400", "mg"), ("0.0054", "kg"), ("5400.00", "mg"), ("5.4e6", "ug")],
        [("60", "/min"), ("1", "Hz"), ("3600", "/h"), ("1", "{beat}/s")],
        [("1", "a"), ("365.25", "d"), ("12", "mo"), ("8766", "h")],
        [("1", "/wk"), ("0.125", "/(21.h)")],
        [("1", "mmol/L"), ("1000", "umol/L"), ("1", "mol/m3"), ("0.1", "mmol/dL")],
        [("7", "%"), ("70", "mmol/mol"), ("0.07", "1")],
        [("1", "[ft_i]"), ("12", "[in_i]"), ("30.48", "cm")],
    ],
)
def test_one_value_in_several_units_is_one_decimal(same):
    """R4 search.html#quantity: 5.4 g is 5400 mg, to the last digit"""
    assert len({str(convert(Decimal(value), canonical(code))) for value, code in same}) == 1


def test_every_unit_of_the_table_is_known_and_its_base_unit_is_base():
    """UCUM s. 27-46"""
    for code in [*TABLE["base"], *TABLE["scales"], *TABLE["temperatures"], *TABLE["units"]]:
        found = canonical(code)
        assert found, code
        again = canonical(found.unit)
        assert (again.factor, again.offset, again.unit) == (1, 0, found.unit), code


def test_a_prefix_makes_no_unit_that_can_be_read_twice():
    """UCUM s. 11: a symbol with its prefix names one unit"""
    seen: dict[str, tuple[str, str]] = {}
    for prefix in TABLE["prefixes"]:
        for unit in TABLE["metric"]:
            assert (prefix + unit) not in seen, (prefix, unit, seen[prefix + unit])
            seen[prefix + unit] = (prefix, unit)
            assert canonical(prefix + unit), (prefix, unit)


def test_the_reserved_characters_of_index_keys_are_in_no_unit():
    """A base unit stands in the keys of quantities"""
    assert not {"<", "=", ">", "?", "@"} & set("".join([*TABLE["base"], *TABLE["scales"]]))
