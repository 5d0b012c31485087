"""Dates and times as a person reads them, in figures: the same length whatever the month."""

from __future__ import annotations

from datetime import date, datetime, tzinfo

_DAY = {"fr": "%d/%m/%Y", "en": "%Y-%m-%d"}
_BETWEEN = {"fr": "à", "en": "at"}


def day(value: date, language: str) -> str:
    """
    A day.

    >>> day(date(1993, 6, 21), "fr"), day(date(1993, 6, 21), "en")
    ('21/06/1993', '1993-06-21')
    """
    return value.strftime(_DAY[language])


def moment(value: datetime, language: str, zone: tzinfo) -> str:
    """
    A moment, where the server is.

    >>> from zoneinfo import ZoneInfo
    >>> moment(datetime.fromisoformat("2026-03-01T09:05:00Z"), "fr", ZoneInfo("Europe/Paris"))
    '01/03/2026 à 10:05'
    """
    local = value.astimezone(zone)
    return f"{day(local, language)} {_BETWEEN[language]} {local:%H:%M}"
