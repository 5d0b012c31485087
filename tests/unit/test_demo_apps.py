"""The demonstration's pages: what they are made of.  W3C CSP 3; WCAG 2.2 s. 3.1"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

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


def browsing(base_url: str) -> FlaskClient:
    """A browser at the demonstration of the server at this address."""
    app = Flask(__name__)
    app.register_blueprint(demo_apps.blueprint(base_url=base_url), url_prefix="/demo")
    return app.test_client()


def test_a_page_at_the_servers_own_origin_leads_home() -> None:
    """An app is registered at one origin; what was in its address goes along"""
    http = browsing("http://127.0.0.1:8080")

    led = http.get("/demo/app/launch.html?iss=a&launch=b", headers={"Host": "127.0.0.1:8080"})

    assert (led.status_code, led.headers["Location"]) == (
        303,
        "http://localhost:8080/demo/app/launch.html?iss=a&launch=b",
    )
    with http.get("/demo/app/", headers={"Host": "localhost:8080"}) as answer:
        assert answer.status_code == 200


def test_a_demonstration_behind_a_name_has_one_origin() -> None:
    """Nothing leads in a circle where there is no other name for the server"""
    with browsing("https://record.example").get("/demo/software/", headers={"Host": "record.example"}) as answer:
        assert answer.status_code == 200
        assert "connect-src 'self' https://record.example;" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    "path", ["app/", "app/launch.html", "software/", "smart.js", "app/words.json", "settings.json"]
)
def test_the_pages_run_nothing_but_their_own(path: str) -> None:
    """W3C CSP 3: scripts and styles of this origin alone, and calls to the one server"""
    with browsing("http://127.0.0.1:8080").get(f"/demo/{path}", headers={"Host": "localhost:8080"}) as answer:
        assert answer.status_code == 200
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy and "frame-ancestors 'none'" in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
