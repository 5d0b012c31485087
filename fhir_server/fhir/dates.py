"""Dates as half-open intervals of time in UTC.  R4: datatypes.html#dateTime, search.html#date

A partial date is all the time it names: `2024-02` runs from the first of February to the first of March.  A date
without a zone is in the zone of the settings (Europe/Paris).  Bounds are in milliseconds, as MongoDB keeps them.

>>> parse("2024-02-15T10:00:00Z")
Interval(low=datetime.datetime(2024, 2, 15, 10, 0, tzinfo=datetime.timezone.utc), \
high=datetime.datetime(2024, 2, 15, 10, 0, 1, tzinfo=datetime.timezone.utc))
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

PARIS = ZoneInfo("Europe/Paris")
MILLISECOND = timedelta(milliseconds=1)
#: The bounds of a Period that is open at that end.
BEGINNING = datetime(1, 1, 1, tzinfo=UTC)
END = datetime(9999, 12, 31, 23, 59, 59, 999000, tzinfo=UTC)

_DATE = re.compile(
    r"(?P<year>\d{4})(-(?P<month>\d\d)(-(?P<day>\d\d)"
    r"(T(?P<hour>\d\d):(?P<minute>\d\d)(:(?P<second>\d\d)(\.(?P<fraction>\d+))?)?(?P<zone>Z|[+-]\d\d:\d\d)?)?)?)?",
    re.ASCII,
)


@dataclass(frozen=True)
class Interval:
    """The time from `low` on, up to but without `high`; both aware, in UTC."""

    low: datetime
    high: datetime


#: Where a Period has no start, or no end.
_BEFORE, _AFTER = Interval(BEGINNING, BEGINNING), Interval(END, END)


def parse(text: str, zone: tzinfo = PARIS) -> Interval:
    """The time that a date, dateTime or instant names.  Raises ValueError if it is none."""
    found = _DATE.fullmatch(text)
    if not found:
        raise ValueError(f"`{text}` is not a date: YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DDThh:mm:ss+zz:zz")
    part = found.groupdict()
    year, month, day = int(part["year"]), int(part["month"] or 1), int(part["day"] or 1)
    try:
        if part["hour"] is None:
            start = datetime(year, month, day)  # noqa: DTZ001 - the zone is given below
            following = _next(start, part)
            return Interval(_utc(start, zone), _utc(following, zone) if following else END)
        second = int(part["second"] or 0)
        leap = second == 60  # a leap second is counted as the first instant of the next minute
        fraction = (part["fraction"] or "")[:3].ljust(3, "0")
        moment = datetime(  # noqa: DTZ001 - the zone is given below
            year, month, day, int(part["hour"]), int(part["minute"]), 59 if leap else second, int(fraction) * 1000
        )
    except (ValueError, OverflowError):
        raise ValueError(f"`{text}` is not a date of the calendar") from None
    where = _offset(part["zone"]) if part["zone"] else zone
    low = _utc(moment, where) + (timedelta(seconds=1) if leap else timedelta())
    length = MILLISECOND if part["fraction"] else timedelta(seconds=1) if part["second"] else timedelta(minutes=1)
    return Interval(low, min(low, END - length) + length)


def of(type: str, value: Any, zone: tzinfo = PARIS) -> Interval | None:
    """The time that a date, dateTime, instant, Period or Timing covers; None if it, or another type, says none."""
    if type in ("date", "dateTime", "instant"):
        return parse(value, zone) if isinstance(value, str) else None
    if type not in ("Period", "Timing"):
        return None
    if type == "Timing":
        spans = [parse(event, zone) for event in value.get("event", ()) if isinstance(event, str)]
        bounds = of("Period", value.get("repeat", {}).get("boundsPeriod", {}), zone)
        spans += [bounds] if bounds else []
        return Interval(min(s.low for s in spans), max(s.high for s in spans)) if spans else None
    start, end = value.get("start"), value.get("end")
    if start is None and end is None:
        return None
    first, last = parse(start, zone) if start else _BEFORE, parse(end, zone) if end else _AFTER
    if last.high <= first.low:  # written the wrong way round, it covers the same time
        first, last = last, first
    return Interval(first.low, last.high)


def instant(moment: datetime) -> str:
    """`moment` as a FHIR instant in UTC with milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _next(start: datetime, part: dict[str, str]) -> datetime | None:
    """The day, month or year behind the one that starts there; None behind the last of the calendar."""
    if part["day"]:
        return start + timedelta(days=1) if start.date() < END.date() else None
    year, month = (start.year, start.month + 1) if part["month"] and start.month < 12 else (start.year + 1, 1)
    return datetime(year, month, 1) if year <= 9999 else None  # noqa: DTZ001


@cache  # there are no more than 1800 of them
def _offset(text: str) -> tzinfo:
    if text == "Z":
        return UTC
    hours, minutes = int(text[1:3]), int(text[4:])
    if hours > 14 or minutes > 59:
        raise ValueError(f"`{text}` is not a time zone")
    ahead = timedelta(hours=hours, minutes=minutes)
    return timezone(-ahead if text[0] == "-" else ahead)


def _utc(moment: datetime, zone: tzinfo) -> datetime:
    """The moment in UTC; at the ends of the calendar, where a zone would leave it, the end itself."""
    try:
        return moment.replace(tzinfo=zone).astimezone(UTC)
    except OverflowError:
        return BEGINNING if moment.year < 2 else END
