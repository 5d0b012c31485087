"""The pages as they leave the server: their language, what they allow a browser to do, and who is sent to them."""

from __future__ import annotations

import re

import pytest
from flask import Flask
from flask.testing import FlaskClient

from fhir_server.web import pages

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
COMMAND = "fhir-server token --scope 'system/*.rs' --data-dir '<my data>'"


def client(token_command: str | None = None) -> FlaskClient:
    """A client of an application that has the pages, and something else at `/fhir`."""
    app = Flask(__name__, static_folder=None)
    app.register_blueprint(pages.blueprint(base="http://fhir.test/fhir", token_command=token_command))
    app.add_url_rule("/fhir", view_func=lambda: "the API")
    return app.test_client()


@pytest.mark.parametrize(
    ("path", "accepted", "language"),
    [
        ("/", "", "fr"),
        ("/", "de", "fr"),
        ("/", "en-GB,en;q=0.9", "en"),
        ("/", "fr-CA", "fr"),
        ("/", "de, en;q=0.5, fr;q=0.4", "en"),
        ("/?lang=en", "fr", "en"),
        ("/?lang=fr", "en", "fr"),
        ("/?lang=xx", "en", "en"),
    ],
)
def test_language(path: str, accepted: str, language: str) -> None:
    """RFC 9110 s. 12.5.4; the address goes before the browser"""
    answer = client().get(path, headers={"Accept-Language": accepted} if accepted else {})
    assert f'<html lang="{language}">' in answer.text
    assert answer.headers["Content-Language"] == language
    assert answer.headers["Vary"] == "Accept-Language, Cookie"


@pytest.mark.parametrize("path", ["/", "/static/explorer.js", "/static/pages.css", "/static/icon.svg"])
def test_nothing_from_elsewhere(path: str) -> None:
    """W3C CSP 3: default-src, frame-ancestors"""
    with client().get(path) as answer:
        assert answer.status_code == 200
        rules = {rule.split()[0]: rule.split()[1:] for rule in answer.headers["Content-Security-Policy"].split(";")}
        assert rules["default-src"] == rules["frame-ancestors"] == rules["base-uri"] == ["'none'"]
        assert {source for sources in rules.values() for source in sources} == {"'none'", "'self'"}
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert not re.search(r"<script>|<style|\bstyle=|\bon\w+=|(src|href)=\"(https?:)?//", answer.text)


def test_the_command_for_a_token_is_shown_as_text() -> None:
    shown = client(COMMAND).get("/").text
    assert "--data-dir &#39;&lt;my data&gt;&#39;" in shown
    assert "<my data>" not in shown
    assert "--data-dir" not in client().get("/").text


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/fhir", {"Accept": BROWSER}, 303),
        ("/fhir", {"Accept": "*/*"}, 200),
        ("/fhir", {"Accept": "application/fhir+json"}, 200),
        ("/fhir", {"Accept": BROWSER, "Authorization": "Bearer x"}, 200),
        ("/fhir?_type=Patient", {"Accept": BROWSER}, 200),
    ],
)
def test_who_opens_the_api_in_a_browser_sees_the_explorer(path: str, headers: dict[str, str], status: int) -> None:
    answer = client().get(path, headers=headers)
    assert answer.status_code == status
    assert answer.headers.get("Location") == ("/" if status == 303 else None)
