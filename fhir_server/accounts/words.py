"""What is written to people, in each language: `catalogues/[language].json`, by message, its subject and its text."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

#: The first is the one for who has none of them.
LANGUAGES = ("fr", "en")


def say(message: str, language: str, **values: object) -> tuple[str, str]:
    """The subject and the text of a message."""
    said = _catalogue(language if language in LANGUAGES else LANGUAGES[0])[message]
    return said["subject"].format(**values), said["text"].format(**values)


@cache
def _catalogue(language: str) -> dict[str, dict[str, str]]:
    path = Path(__file__).with_name("catalogues") / f"{language}.json"
    return dict(json.loads(path.read_text("utf-8")))
