"""The demonstration's pages: what they are made of.  W3C CSP 3; WCAG 2.2 s. 3.1"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fhir_server.smart import sandbox
from fhir_server.web import demo_apps

STATIC = Path(demo_apps.__file__).with_name("demo_static")


def keys(value: Any, at: str = "") -> Iterator[str]:
    """The path of each text."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield from keys(part, f"{at}/{name}")
    else:
        yield at


@pytest.mark.parametrize("folder", ["app", "software"])
def test_each_word_is_there_in_each_language(folder: str) -> None:
    """The pages speak French and English, and miss no word"""
    words = json.loads((STATIC / folder / "words.json").read_text("utf-8"))

    assert set(words) == {"fr", "en"}
    assert set(keys(words["fr"])) == set(keys(words["en"]))
    for page in (STATIC / folder).glob("*.html"):
        used = re.findall(r'data-(?:say|label)="(\w+)"', page.read_text("utf-8"))
        assert set(used) <= set(words["fr"]), page.name


@pytest.mark.parametrize("page", sorted(STATIC.rglob("*.html")), ids=lambda page: f"{page.parent.name}/{page.name}")
def test_nothing_stands_in_a_page_that_runs_or_comes_from_elsewhere(page: Path) -> None:
    """W3C CSP 3: no inline script or style, nothing of another origin"""
    text = page.read_text("utf-8")

    assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son\w+=", text)
    assert not re.search(r"(?:src|href)=\"(?:https?:)?//", text)


def test_the_apps_have_an_origin_of_their_own_where_that_can_be() -> None:
    """Fetch: "CORS protocol": another host is another origin"""
    assert sandbox.app_origin("http://127.0.0.1:8080") == "http://localhost:8080"
    assert sandbox.app_origin("https://record.example/base") == "https://record.example"
