"""What the pages say, in each language: a file per page, `catalogues/[language]/[page].json`, the same keys in each.

Templates and scripts read the same catalogue.  `docs/decisions/0006-words-of-the-pages.md` says why it is plain JSON.
"""

from __future__ import annotations

import json
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from werkzeug.datastructures import LanguageAccept

from fhir_server.fhir.dates import PARIS

#: The first is the one for who asks for none of them.
LANGUAGES = {"fr": "Français", "en": "English"}


def language_of(asked: str | None, accepted: LanguageAccept) -> str:
    """
    The language of an answer: the one that the address asks for, else the best that the browser accepts, else French.

    RFC 9110 s. 12.5.4
    """
    if asked in LANGUAGES:
        return asked
    return accepted.best_match(LANGUAGES) or next(iter(LANGUAGES))


@cache
def words(language: str) -> dict[str, dict[str, Any]]:
    """The catalogue of a language: by page, then by key."""
    folder = Path(__file__).with_name("catalogues") / language
    return {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json"))}


def day(moment: datetime, language: str) -> str:
    """
    The day of a moment, as one writes it.

    >>> day(datetime.fromisoformat("2027-02-28T23:30:00Z"), "fr")
    '1er mars 2027'
    """
    local = moment.astimezone(PARIS)
    first = "1er" if language == "fr" else "1"
    return f"{first if local.day == 1 else local.day} {words(language)['site']['months'][local.month - 1]} {local.year}"
