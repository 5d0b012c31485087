"""Dates as stretches of time, and the nine prefixes as statements about two of them.  R4: search.html#date

A date stands for all the instants that it does not exclude: `2024-02` for a month, `10:00:00` for a second.  What is
written without a zone is meant in Paris.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

PARIS = ZoneInfo("Europe/Paris")
_EARLIEST, _LATEST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_DATE = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?(Z|[+-]\d\d:\d\d)?)?)?)?",
)


@dataclass(frozen=True)
class Stretch:
    """From `start` on, up to but without `end`."""

    start: datetime
    end: datetime

    def holds(self, other: Stretch) -> bool:
        """Nothing of the other lies outside."""
        return self.start <= other.start and other.end <= self.end


def stretch(text: str) -> Stretch:
    """The instants that a date, dateTime or instant stands for.  Raises ValueError."""
    found = _DATE.fullmatch(text)
    if found is None:
        raise ValueError(f"no date: {text}")
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    first = (int(year), int(month or 1), int(day or 1))
    if hour is None:
        return Stretch(
            _midnight(*first), _midnight(*_following(*first, by=("year", "month", "day")[_parts(found) - 1]))
        )
    start = datetime(*first, int(hour), int(minute), int(second or 0), tzinfo=_zone(zone)).astimezone(UTC)
    start += timedelta(microseconds=int((fraction or "0").ljust(6, "0")[:6]))
    length = timedelta(minutes=1) if second is None else timedelta(seconds=1)
    if fraction is not None:
        length = timedelta(microseconds=10 ** max(0, 6 - len(fraction)))
    return Stretch(start, start + length)


def _parts(found: re.Match[str]) -> int:
    return sum(found[at] is not None for at in (1, 2, 3))


def _following(year: int, month: int, day: int, *, by: str) -> tuple[int, int, int]:
    if by == "year":
        return year + 1, 1, 1
    if by == "month":
        return (year + month // 12, month % 12 + 1, 1)
    next_day = datetime(year, month, day) + timedelta(days=1)
    return next_day.year, next_day.month, next_day.day


def _midnight(year: int, month: int, day: int) -> datetime:
    return datetime(year, month, day, tzinfo=PARIS).astimezone(UTC)


def _zone(text: str | None) -> Any:
    if text is None:
        return PARIS
    return datetime.fromisoformat(f"2000-01-01T00:00:00{text}").tzinfo


def stretch_of(value: Any) -> Stretch | None:
    """The stretch of a date, a Period or a Timing; None of what is no date, such as an age or a text."""
    if isinstance(value, str):
        return stretch(value) if _DATE.fullmatch(value) else None
    if not isinstance(value, Mapping):
        return None
    if "repeat" in value or "event" in value:
        bounds = value.get("repeat", {}).get("boundsPeriod")
        return _around([stretch(event) for event in value.get("event", ())] + ([_period(bounds)] if bounds else []))
    return _period(value) if "start" in value or "end" in value else None


def _period(value: Mapping[str, Any]) -> Stretch:
    """A period without a start began before any date; without an end it ends after any."""
    start = stretch(value["start"]).start if "start" in value else _EARLIEST
    return Stretch(start, stretch(value["end"]).end if "end" in value else _LATEST)


def _around(stretches: Iterable[Stretch]) -> Stretch | None:
    """The outer limits: what happens between them is not looked at."""
    found = list(stretches)
    if not found:
        return None
    return Stretch(min(one.start for one in found), max(one.end for one in found))


def compare(prefix: str, asked: Stretch, value: Stretch, now: datetime) -> bool:
    """Whether the statement holds.  R4: search.html#prefix, the second sentence of each row"""
    if prefix == "eq":
        return asked.holds(value)
    if prefix == "ne":
        return not asked.holds(value)
    if prefix == "gt":
        return value.end > asked.end
    if prefix == "lt":
        return value.start < asked.start
    if prefix == "ge":
        return value.end > asked.end or asked.holds(value)
    if prefix == "le":
        return value.start < asked.start or asked.holds(value)
    if prefix == "sa":
        return value.start >= asked.end
    if prefix == "eb":
        return value.end <= asked.start
    assert prefix == "ap"
    margin = abs(now - asked.start) / 10
    return value.start < asked.end + margin and value.end > asked.start - margin
