"""A person decides who sees the record, in a real browser: with the keyboard, on a telephone, without a script.

WCAG 2.2; docs/access.md
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from pymongo import MongoClient

from tests.spec.test_privacy_pages import Home, home
from tests.web.test_consent import DESK, PHONE, Site

PAGES = ("/privacy", "/privacy/explain", "/privacy/history")


@pytest.fixture(scope="module")
def site(mongodb_client: MongoClient[dict[str, Any]]) -> Iterator[Site]:
    """The server."""
    name = f"test_{secrets.token_hex(8)}"
    made = Site(mongodb_client, name)
    yield made
    made.close()
    mongodb_client.drop_database(name)


Open = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser, site: Site) -> Iterator[Open]:
    """Opens a page as the person of a home; at the end the browser must have had nothing to complain of."""
    contexts: list[Any] = []
    complaints: list[str] = []

    def opened(at: Home, path: str, **options: Any) -> Page:
        account = at.person.session.subject
        assert account
        context = browser.new_context(**{"locale": "fr-FR", "viewport": DESK, **options})
        context.add_cookies([site.cookie(_Account(str(account.account), account.name))])  # type: ignore[arg-type,list-item]
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda told: complaints.append(told.text) if told.type in ("error", "warning") else None)
        page.goto(f"{site.url}{path}")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


class _Account:
    """As much of an account as its cookie takes."""

    def __init__(self, id: str, name: str):
        self.id, self.name = id, name


def test_allowing_with_the_keyboard(open_page: Open, site: Site) -> None:
    """WCAG 2.2 s. 2.1.1, 2.4.7: search, open, allow by Enter and Space, without a script"""
    at = home(site.launches)
    page = open_page(at, "/privacy", java_script_enabled=False)
    page.get_by_label("Nom d’un professionnel ou d’une structure").focus()
    page.keyboard.type(f"Martin-{at.doctor[2:]}")
    page.keyboard.press("Enter")
    card = page.get_by_role("article").filter(has_text=f"Martin-{at.doctor[2:]}")
    card.get_by_label("Un mois").focus()
    page.keyboard.press("Space")
    card.get_by_role("button", name="Autoriser").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("l’accès est autorisé")
    assert at.reads()
    page.get_by_role("link", name="Ce qu’il voit").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Ce qu’ils voient, et pourquoi")
    expect(page.get_by_text("Le titulaire a autorisé ce professionnel").first).to_be_visible()


def test_an_access_is_not_recognised(open_page: Open, site: Site) -> None:
    """The emergency is on top, with the reason; the report is one form away"""
    at = home(site.launches)
    at.caller(patient=at.patient, mode="bris_de_glace", reason="Menace vitale : malaise").get(at.document)
    page = open_page(at, "/privacy/history", viewport=PHONE)
    card = page.get_by_role("article").first
    expect(card).to_contain_text("Menace vitale : malaise")
    card.get_by_text("Je ne reconnais pas cet accès").click()
    card.get_by_role("button", name="Signaler").click()
    expect(page.get_by_role("status")).to_contain_text("signalement est enregistré")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280])
@pytest.mark.parametrize("path", PAGES)
def test_it_fits_and_can_be_touched(open_page: Open, site: Site, path: str, width: int, scheme: Any) -> None:
    """WCAG 2.2 s. 1.4.10 (320 px), 2.5.8: nothing to scroll sideways, every control is 44 px high"""
    at = home(site.launches)
    at.caller(patient=at.patient, mode="bris_de_glace", reason="Menace vitale").get(at.document)
    page = open_page(at, path, viewport={"width": width, "height": 800}, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    heights = page.eval_on_selector_all(
        "main button, main select, main .button, main .choice, main .tabs a",
        "found => found.map(each => each.getBoundingClientRect().height).filter(height => height > 0)",
    )
    assert min(heights) >= 44
