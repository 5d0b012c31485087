"""`_filter`: the grammar, and the same tree as the parameters it stands for.  R4: search_filter.html"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from fhir_server.fhir.dates import PARIS
from fhir_server.fhir.outcome import BadRequest
from fhir_server.search.expression import all_of, any_of, none_of
from fhir_server.search.parser import Reader

READER = Reader("http://here/fhir", PARIS, datetime(2026, 1, 1, tzinfo=UTC))


def term(name: str, value: str, **how: bool):
    return READER.term("Patient", name, value, **how)


@pytest.mark.parametrize(
    ("expression", "meant"),
    [
        ('given eq "peter"', lambda: term("given", "peter", whole=True)),
        ("given eq peter", lambda: term("given", "peter", whole=True)),
        ('given sw "pe"', lambda: term("given", "pe")),
        ('given co "ete"', lambda: term("given:contains", "ete")),
        ("given ne peter", lambda: none_of(term("given", "peter", whole=True))),
        ("birthdate ge 2014-10-10", lambda: term("birthdate", "ge2014-10-10")),
        ("gender pr false", lambda: term("gender:missing", "true")),
        ("gender pr true", lambda: term("gender:missing", "false")),
        ("general-practitioner.name eq x", lambda: term("general-practitioner.name", "x", whole=True)),
        ('identifier eq "urn:x|1,2$3"', lambda: term("identifier", "urn:x|1\\,2\\$3")),
        ('given eq "a \\"b\\" \\u00e9"', lambda: term("given", 'a "b" é', whole=True)),
        (
            "gender eq male and active eq true or gender eq female",
            lambda: any_of(all_of(term("gender", "male"), term("active", "true")), term("gender", "female")),
        ),
        (
            "gender eq male and (active eq true or not (family eq x))",
            lambda: all_of(
                term("gender", "male"), any_of(term("active", "true"), none_of(term("family", "x", whole=True)))
            ),
        ),
    ],
)
def test_what_an_expression_means(expression, meant):
    """R4 search_filter.html: the operators, `and` before `or`, `not`, brackets, texts in quotes"""
    assert term("_filter", expression) == meant()


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("given", "an operator behind `given`"),
        ("given eq", "a value behind `given eq`"),
        ("given is x", "`is` is not an operator here"),
        ("given eq x and", "ends where"),
        ("(given eq x", "ends where"),
        ("given eq x)", "`)` was not expected"),
        ("given eq x given eq y", "`given` was not expected"),
        ("foo eq x", "`foo` is not a search parameter of Patient"),
        ("gender pr maybe", "expected true or false"),
        ('given eq "\\x"', "JSON's escapes"),
        ('given eq "x', "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_said(expression, said):
    """R4 search.html#errors: 400, and what was expected"""
    with pytest.raises(BadRequest) as refused:
        term("_filter", expression)
    assert said in refused.value.issues[0].diagnostics
