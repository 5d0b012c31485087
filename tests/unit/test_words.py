"""What the pages say: every language says everything, and the colours can be read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import fhir_server.web
from fhir_server.web.words import LANGUAGES, words

WEB = Path(fhir_server.web.__file__).parent
CSS = (WEB / "static" / "pages.css").read_text("utf-8")
#: Names that a template would take for methods of the dict.
METHODS = {name for name in dir(dict) if not name.startswith("__")}


def keys(table: dict[str, Any], *above: str) -> set[tuple[str, ...]]:
    """The path of every text of a catalogue."""
    found: set[tuple[str, ...]] = set()
    for key, value in table.items():
        found |= keys(value, *above, key) if isinstance(value, dict) else {(*above, key)}
    return found


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_says_the_same_things(language: str) -> None:
    assert keys(words(language)) == keys(words("fr"))
    assert not {key for path in keys(words(language)) for key in path} & METHODS


def test_no_line_begins_with_a_sign_of_punctuation() -> None:
    """French puts a space before some, at which a line must not be broken"""
    for file in (WEB / "catalogues" / "fr").iterdir():
        assert not re.findall(r"\w+ [:;?!»]|« ", file.read_text("utf-8")), file.name


def test_the_explorer_says_what_the_catalogue_has() -> None:
    said = keys(words("fr")["explorer"])
    readers = ("templates/base.html", "templates/explorer.html", "static/explorer.js", "static/summaries.js")
    text = "".join((WEB / place).read_text("utf-8") for place in readers)
    asked = set(re.findall(r"\bwords\.(\w+)", text))
    asked |= {f"{key}_{form}" for key in re.findall(r'counted\("(\w+)"', text) for form in ("one", "other")}
    # The links between pages are named by their relation.
    assert asked | {"first", "previous", "next"} == {path[0] for path in said}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    ("front", "back", "least"),
    [
        *((front, back, 4.5) for front in ("text", "quiet", "accent") for back in ("ground", "card", "wash")),
        ("text", "bad-wash", 4.5),
        ("quiet", "bad-wash", 4.5),
        ("on-accent", "accent", 4.5),
        ("good", "card", 4.5),
        ("bad", "card", 4.5),
        ("bad", "bad-wash", 4.5),
        ("warn", "wash", 4.5),
        ("warn", "ground", 4.5),
        ("field", "card", 3),
    ],
)
def test_contrast(scheme: str, front: str, back: str, least: float) -> None:
    """WCAG 2.2 s. 1.4.3 and 1.4.11"""
    light, dark = re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)
    colours = dict(re.findall(r"--([\w-]+): (#\w{6})", light if scheme == "light" else dark))
    lighter, darker = sorted((luminance(colours[front]), luminance(colours[back])), reverse=True)
    assert (lighter + 0.05) / (darker + 0.05) >= least


def luminance(colour: str) -> float:
    """The relative luminance.  WCAG 2.2: relative luminance"""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize(
    ("page", "computed"),
    [
        ("consent", {"title", "places", "nothing"}),
        ("apps", {"title", "done_all", "done_none", "done_part"}),
        ("refused", {"title"}),
    ],
)
def test_the_pages_of_decisions_say_what_the_catalogues_have(page: str, computed: set[str]) -> None:
    """computed: what is looked up by a name that the page puts together, or that the frame of every page shows."""
    own = (WEB / "templates" / f"{page}.html").read_text("utf-8")
    every = "".join(path.read_text("utf-8") for path in (WEB / "templates").glob("*.html"))
    asked = set(re.findall(r"(?<!all_)words\.(\w+)", own)) | set(re.findall(rf"all_words\.{page}\.(\w+)", every))
    assert asked | computed == {path[0] for path in keys(words("fr")[page])}
