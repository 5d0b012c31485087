"""Small values of accounts and their pages: what is shown of an address, who is told what, names of browsers, dates."""

from __future__ import annotations

import doctest
import json
import string
from datetime import timedelta
from importlib import import_module
from pathlib import Path

import pytest

import fhir_server.accounts
from fhir_server.accounts.account import Account
from fhir_server.accounts.attempts import Wait
from fhir_server.accounts.words import LANGUAGES, say
from fhir_server.web.browsers import name_of

CATALOGUES = Path(fhir_server.accounts.__file__).parent / "catalogues"


@pytest.mark.parametrize(
    "module", ["accounts.account", "accounts.accounts", "accounts.attempts", "web.browsers", "web.forms", "web.moments"]
)
def test_the_examples_of_a_module_hold(module: str) -> None:
    tried = doctest.testmod(import_module(f"fhir_server.{module}"))
    assert tried.attempted > 0
    assert tried.failed == 0


@pytest.mark.parametrize(
    ("phone", "channels"),
    [
        ("0639980103", ("email", "sms")),
        ("+33 6 39 98 01 03", ("email", "sms")),
        ("07.56.00.00.01", ("email", "sms")),
        ("0261910102", ("email",)),
        ("06 39", ("email",)),
        (None, ("email",)),
    ],
)
def test_where_a_text_message_arrives(phone: str | None, channels: tuple[str, ...]) -> None:
    """A number of a telephone at home is none"""
    assert Account("acc-1", "a.b", "A", "a@example.org", phone, "fr", ()).channels == channels


@pytest.mark.parametrize(("seconds", "said"), [(0.2, 1), (1, 1), (1.4, 2), (600, 600)])
def test_a_wait_is_never_told_too_short(seconds: float, said: int) -> None:
    assert Wait(timedelta(seconds=seconds)).seconds == said


def test_every_language_writes_the_same_letters() -> None:
    fields = []
    for language in LANGUAGES:
        letters = json.loads((CATALOGUES / f"{language}.json").read_text("utf-8"))
        fields.append(
            {
                (name, part): sorted({field for _, field, _, _ in string.Formatter().parse(text) if field})
                for name, letter in letters.items()
                for part, text in letter.items()
            }
        )
    assert fields[0] == fields[1]


def test_who_has_no_language_of_ours_is_written_to_in_french() -> None:
    assert say("code", "de", code="123456", minutes=15) == say("code", "fr", code="123456", minutes=15)
    assert "123456" in say("code", "en", code="123456", minutes=15)[1]


@pytest.mark.parametrize(
    ("user_agent", "name"),
    [
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64) AppleWebKit/537.36 Chrome/128.0 Safari/537.36 Edg/128.0",
            "Edge · Windows",
        ),
        ("Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 Chrome/128.0 Mobile Safari/537.36", "Chrome · Android"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Version/17.0 Safari/604.1", "Safari · iPhone"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:128.0) Gecko/20100101 Firefox/128.0", "Firefox · macOS"),
        ("curl/8.0", ""),
        ("<script>", ""),
        ("", ""),
    ],
)
def test_the_name_of_a_browser(user_agent: str, name: str) -> None:
    """Only names of ours are shown, whatever the header says"""
    assert name_of(user_agent) == name
