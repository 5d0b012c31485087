"""Dates as intervals.  R4: datatypes.html#dateTime, search.html#date"""

from datetime import UTC, datetime

import pytest

from fhir_server.fhir import dates
from fhir_server.fhir.dates import BEGINNING, END, Interval


def moment(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("2024", moment(2023, 12, 31, 23), moment(2024, 12, 31, 23)),
        ("2024-02", moment(2024, 1, 31, 23), moment(2024, 2, 29, 23)),
        ("2024-02-15", moment(2024, 2, 14, 23), moment(2024, 2, 15, 23)),
        ("2024-07-01", moment(2024, 6, 30, 22), moment(2024, 7, 1, 22)),
        ("2024-12", moment(2024, 11, 30, 23), moment(2024, 12, 31, 23)),
        ("2024-02-15T10:30Z", moment(2024, 2, 15, 10, 30), moment(2024, 2, 15, 10, 31)),
        ("2024-02-15T10:30:05Z", moment(2024, 2, 15, 10, 30, 5), moment(2024, 2, 15, 10, 30, 6)),
        ("2024-02-15T10:30:05+02:00", moment(2024, 2, 15, 8, 30, 5), moment(2024, 2, 15, 8, 30, 6)),
        ("2024-02-15T10:30:05-03:30", moment(2024, 2, 15, 14, 0, 5), moment(2024, 2, 15, 14, 0, 6)),
        (
            "2024-02-15T10:30:05.123456Z",
            moment(2024, 2, 15, 10, 30, 5, 123000),
            moment(2024, 2, 15, 10, 30, 5, 124000),
        ),
        ("2016-12-31T23:59:60Z", moment(2017, 1, 1), moment(2017, 1, 1, 0, 0, 1)),
        ("9999", moment(9998, 12, 31, 23), END),
        ("9999-12-31", moment(9999, 12, 30, 23), END),
        ("0001", BEGINNING, moment(1, 12, 31, 23, 50, 39)),
    ],
)
def test_a_partial_date_is_all_the_time_it_names(text, low, high):
    """R4 search.html#date: an implicit range, in the server's zone where none is given"""
    assert dates.parse(text) == Interval(low, high)


@pytest.mark.parametrize(
    "text",
    ["", "24", "2024-13", "2024-02-30", "2024-2-1", "2024-02-15T25:00Z", "2024-02-15T10", "2024-02-15T10:30:05+15:00",
     "2024-02-15 10:30", "0000", "2024-02-15T10:30:05.Z", "２０２４", "2024-02-15T10:30:05+02:60"],
)  # fmt: skip
def test_what_is_no_date_is_refused(text):
    """R4 datatypes.html#dateTime"""
    with pytest.raises(ValueError, match="date|zone"):
        dates.parse(text)


def test_a_period_may_be_open_at_either_end():
    """R4 search.html#date: a missing end is as far as there is"""
    assert dates.of("Period", {"start": "2024-01-01"}).high == END
    assert dates.of("Period", {"end": "2024-01-01"}).low == BEGINNING
    assert dates.of("Period", {"extension": []}) is None


@pytest.mark.parametrize("days", [("2024-03-01", "2024-01-01"), ("2024-01-01", "2024-03-01")])
def test_a_period_that_ends_before_it_starts_is_the_time_between(days):
    """R4 datatypes.html#Period, per-1: what was kept the wrong way round is found by the time it speaks of"""
    found = dates.of("Period", {"start": days[0], "end": days[1]})

    assert found == Interval(moment(2023, 12, 31, 23), moment(2024, 3, 1, 23))


def test_a_timing_is_from_its_first_event_to_its_last():
    """R4 search.html#date: Timing, the outer limits"""
    found = dates.of("Timing", {"event": ["2024-03-01", "2024-01-01"]})

    assert found == Interval(moment(2023, 12, 31, 23), moment(2024, 3, 1, 23))


def test_the_night_of_the_clock_change_is_in_its_zone():
    """Europe/Paris: 31 March 2024 has 23 hours, 27 October 2024 has 25"""
    spring, autumn = dates.parse("2024-03-31"), dates.parse("2024-10-27")

    assert (spring.high - spring.low).total_seconds() == 23 * 3600
    assert (autumn.high - autumn.low).total_seconds() == 25 * 3600


def test_a_text_in_the_place_of_a_date_says_no_time():
    """R4 immunization.html: occurrenceString is searched by no date"""
    assert dates.of("string", "in the spring") is None
