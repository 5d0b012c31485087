"""What operations say in words, in each language: `catalogues/[language].json`, the same keys in each."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, tzinfo
from functools import cache
from pathlib import Path
from typing import Any

from werkzeug.datastructures import LanguageAccept
from werkzeug.http import parse_accept_header

from fhir_server.access.explain import Reason

#: The first is the one for who asks for none of them.
LANGUAGES = ("fr", "en")
_DAY = {"fr": "%d/%m/%Y", "en": "%Y-%m-%d"}


def language_of(accept_language: str) -> str:
    """The language of an answer, by the header of the request.  RFC 9110 s. 12.5.4"""
    return parse_accept_header(accept_language, LanguageAccept).best_match(LANGUAGES) or LANGUAGES[0]


@cache
def words(language: str) -> dict[str, Any]:
    """The catalogue of a language."""
    path = Path(__file__).with_name("catalogues") / f"{language}.json"
    return dict(json.loads(path.read_text("utf-8")))


def say(reason: Reason, language: str, zone: tzinfo) -> str:
    """The sentence of a reason."""
    catalogue = words(language)
    until = catalogue["until"].format(date=day(reason.until, language, zone)) if reason.until else ""
    return str(catalogue["reasons"][reason.sentence]).format(until=until)


def day(end: datetime, language: str, zone: tzinfo) -> str:
    """The last day of a period that ends then, half open."""
    return (end - timedelta(milliseconds=1)).astimezone(zone).strftime(_DAY[language])
