"""The query of a read, a search or a history: what is taken from it, and that nothing in it is passed over.

R4: http.html#general, search.html
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.build import patient
from tests.calls import Caller

FORM = "application/x-www-form-urlencoded"


@pytest.fixture(scope="module")
def ids(operator: Caller) -> set[str]:
    """Three patients of one family."""
    return {operator.create(patient(name=[{"family": "Questionnaire"}])).partition("/")[2] for _ in range(3)}


def pages(operator: Caller, answer: Any) -> Iterator[str]:
    """The ids of every page, from this one on."""
    while True:
        assert answer.status_code == 200, answer.text
        yield from (entry["resource"]["id"] for entry in answer.json["entry"])
        onward = [link["url"] for link in answer.json["link"] if link["relation"] == "next"]
        if not onward:
            return
        answer = operator("GET", onward[0])


@pytest.mark.parametrize("more", ["", "&_format=json", "&_pretty=true"])
def test_the_pages_of_a_search_by_a_form(operator: Caller, ids: set[str], more: str) -> None:
    """R4 search.html: a search by POST is that by GET; its next link is good whatever else the form asks"""
    form = f"family=questionnaire&_count=1{more}".encode()
    answer = operator("POST", "Patient/_search", form, Content_Type=FORM)

    assert sorted(pages(operator, answer)) == sorted(ids)


def test_another_format_for_the_next_page(operator: Caller, ids: set[str]) -> None:
    """R4 http.html#mime-type: the format is asked for a page at a time"""
    answer = operator("GET", "Patient?family=questionnaire&_count=1&_format=json")
    onward = next(link["url"] for link in answer.json["link"] if link["relation"] == "next")

    assert operator("GET", onward.replace("_format=json", "_format=xml")).status_code == 200


@pytest.mark.parametrize("prefix", ["", "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"])
@pytest.mark.parametrize("date", ["0001", "0001-01-01", "0001-01-01T00:00:00Z", "9999", "9999-12-31T23:59:59.999Z"])
@pytest.mark.parametrize("parameter", ["_lastUpdated", "birthdate"])
def test_dates_at_the_ends_of_the_calendar(operator: Caller, parameter: str, date: str, prefix: str) -> None:
    """R4 search.html#date: every date there is can be asked for"""
    answer = operator("GET", f"Patient?{parameter}={prefix}{date}&_count=0")

    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    "query",
    [
        "Patient/_history?_since=",
        "Patient/_history?_at=",
        "Patient/_history?_cursor=",
        "Patient?_cursor=",
        "Patient/{id}/$everything?_since=",
        "Patient/{id}/$everything?start=",
        "Patient/{id}/$everything?end=",
        "Patient/{id}/$everything?_cursor=",
        "Patient/{id}/$meta?foo=1",
    ],
)
def test_what_is_given_without_a_value_or_not_known_is_refused(operator: Caller, ids: set[str], query: str) -> None:
    """R4 search.html#errors: a client that is not told thinks that it was heard"""
    answer = operator("GET", query.format(id=min(ids)))

    assert answer.status_code == 400, answer.text


@pytest.mark.parametrize("path", ["Patient//_history", "Patient//_history/1", "Patient//$meta"])
def test_a_path_with_a_gap_leads_nowhere(operator: Caller, path: str) -> None:
    """R4 http.html#root: [base]/[type]/[id]"""
    assert operator("GET", path).status_code == 404
