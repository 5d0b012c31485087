"""The dates of HTTP.  RFC 9110 s. 5.6.7"""

from __future__ import annotations

import doctest
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest

from fhir_server.fhir import http
from fhir_server.fhir.http import http_date, read_http_date


def test_the_examples_hold() -> None:
    tried = doctest.testmod(http)
    assert tried.attempted > 0
    assert tried.failed == 0


@pytest.mark.parametrize("first", [datetime(1, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, 9, 5, 7, 999_000, tzinfo=UTC)])
def test_every_day_of_a_year(first: datetime) -> None:
    """RFC 9110 s. 5.6.7: IMF-fixdate, two digits to the day and four to the year"""
    for days in range(366):
        moment = first + timedelta(days=days)
        assert http_date(moment) == format_datetime(moment, usegmt=True)


def test_a_moment_of_elsewhere_is_told_in_gmt() -> None:
    """RFC 9110 s. 5.6.7: always in UTC"""
    moment = datetime(2026, 1, 1, 0, 30, tzinfo=timezone(timedelta(hours=1)))

    assert http_date(moment) == "Wed, 31 Dec 2025 23:30:00 GMT"
    assert read_http_date(http_date(moment)) == moment
