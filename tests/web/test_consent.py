"""A person decides about an app, in a real browser: with the keyboard, on a telephone and at a desk, without a script.

WCAG 2.2; W3C CSP 3: form-action; SMART App Launch 2.2: best-practices.html
"""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, Page, Route, expect
from pymongo import MongoClient
from werkzeug.serving import make_server

from fhir_server import app as application
from fhir_server.accounts.account import Account
from fhir_server.config import Settings
from fhir_server.smart.subject import Subject
from tests.launches import Clock, Launching, answered
from tests.servers import free_port

SCOPE = (
    "openid fhirUser launch/patient offline_access patient/Observation.rs patient/Immunization.crs patient/Patient.rs"
)
#: A browser logs every answer that is a refusal; these are asked for.
REFUSED = re.compile(r"Failed to load resource: the server responded with a status of 400")
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}


class Back(BaseHTTPRequestHandler):
    """The page of the app that the browser comes back to."""

    def do_GET(self) -> None:
        """Any page."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<title>back</title>")

    def log_message(self, *told: object) -> None:
        """Say nothing."""


class Site:
    """A server with its people, and an app on another origin."""

    def __init__(self, client: MongoClient[dict[str, Any]], name: str):
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        settings = Settings(mongodb_database=name)
        application.prepare(client, settings, base=f"{self.url}/fhir")
        clock = Clock()
        self.launches = Launching(application.create_app(client, settings, self.url, clock=clock), client, name, clock)
        self.server = make_server("127.0.0.1", port, self.launches.app, threaded=True)
        self.app = ThreadingHTTPServer(("localhost", 0), Back)
        self.redirect = f"http://localhost:{self.app.server_port}/callback"
        for each in (self.server, self.app):
            threading.Thread(target=each.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop both."""
        for each in (self.server, self.app):
            each.shutdown()
            each.server_close()

    def cookie(self, account: Account) -> dict[str, Any]:
        """The cookie of a session of the account's holder."""
        sessions = self.launches.kept.sessions
        _, session = sessions.start()
        who = Subject("patient", account.id, account.name, account=account.id)
        secret, _ = sessions.rotate(
            session, subject=who, auth_time=self.launches.clock(), acr="eidas1", amr=("pwd", "otp")
        )
        return {"name": "session", "value": secret, "url": self.url}

    def address(self, **client: Any) -> str:
        """Where an app sends the browser: a launch of a new client."""
        made = self.launches.register(**{"scope": SCOPE, "redirect_uris": (self.redirect,), **client})
        launch = self.launches.launch(made, aud=f"{self.url}/fhir")
        return f"{self.url}/oauth/authorize?{urlencode(launch.parameters())}"


@pytest.fixture(scope="module")
def site(mongodb_client: MongoClient[dict[str, Any]]) -> Iterator[Site]:
    """The server, and the app."""
    name = f"test_{secrets.token_hex(8)}"
    made = Site(mongodb_client, name)
    yield made
    made.close()
    mongodb_client.drop_database(name)


Open = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser, site: Site) -> Iterator[Open]:
    """Opens an address as the holder of an account; at the end the browser must have had nothing to complain of."""
    contexts: list[Any] = []
    complaints: list[str] = []

    def opened(address: str, account: Account, **options: Any) -> Page:
        context = browser.new_context(**{"locale": "fr-FR", "viewport": DESK, **options})
        context.add_cookies([site.cookie(account)])  # type: ignore[list-item]
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console",
            lambda told: (
                complaints.append(told.text)
                if told.type in ("error", "warning") and not REFUSED.match(told.text)
                else None
            ),
        )
        page.goto(address)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


def at_app(page: Page, site: Site) -> dict[str, str]:
    """What came back to the app, once the browser is there."""
    page.wait_for_url(f"{site.redirect}?*")
    expect(page).to_have_title("back")
    return answered(page.url)


@pytest.mark.parametrize("viewport", [PHONE, DESK], ids=["phone", "desk"])
@pytest.mark.parametrize("javascript", [True, False], ids=["script", "no script"])
def test_allowing_with_a_pointer(open_page: Open, site: Site, viewport: Any, javascript: bool) -> None:
    """W3C CSP 3: form-action lets the answer to the form lead to the app; the page needs no script"""
    page = open_page(site.address(), site.launches.person(), viewport=viewport, java_script_enabled=javascript)
    expect(page.get_by_role("heading", level=1)).to_contain_text("demande l’accès")
    mesures = page.get_by_role("group", name="Mesures").get_by_label("Consulter")
    expect(mesures).to_be_checked()
    mesures.uncheck()
    page.get_by_label("3 mois").check()
    page.get_by_role("button", name="Autoriser").click()
    assert "code" in at_app(page, site)


def test_a_double_click_decides_once(open_page: Open, site: Site) -> None:
    """WCAG 2.2 s. 3.3.4: the second click does not lead to a page that says that somebody was quicker"""
    page = open_page(site.address(), site.launches.person())
    held: list[Route] = []
    button = page.get_by_role("button", name="Autoriser")
    button.scroll_into_view_if_needed()
    box = button.bounding_box()
    assert box
    page.route("**/consent", lambda route: held.append(route))  # noqa: PLW0108 - as if the answer took a while
    for _ in range(2):
        page.mouse.click(box["x"] + 5, box["y"] + 5)
        page.wait_for_timeout(200)
    while not held:  # the test's time-out ends it
        page.wait_for_timeout(100)
    page.wait_for_timeout(500)
    assert len(held) == 1
    held[0].continue_()
    assert "code" in at_app(page, site)


def test_deciding_with_the_keyboard(open_page: Open, site: Site) -> None:
    """WCAG 2.2 s. 2.1.1, 2.4.3, 2.4.7: every box by Tab and Space, in the order of the page, and always seen"""
    page = open_page(site.address(scope="launch/patient patient/Immunization.crs"), site.launches.person())
    seen: list[str] = []
    for _ in range(40):
        page.keyboard.press("Tab")
        at = page.evaluate("document.activeElement.value || document.activeElement.textContent.trim()")
        outlined = page.evaluate(
            """() => [document.activeElement, document.activeElement.closest("label")]
                .some(each => each && getComputedStyle(each).outlineStyle !== "none")"""
        )
        assert outlined, at
        seen.append(at)
        if at == "VACCINATIONS-write":
            page.keyboard.press("Space")
        if at == "Autoriser":
            break
    order = [seen.index(each) for each in ("Tout décocher", "VACCINATIONS-read", "VACCINATIONS-write", "Autoriser")]
    assert order == sorted(order)
    page.keyboard.press("Enter")
    at_app(page, site)


def test_refusing(open_page: Open, site: Site) -> None:
    """A clear page, then back with access_denied"""
    page = open_page(site.address(), site.launches.person(), viewport=PHONE)
    allow, refuse = page.get_by_role("button", name="Autoriser"), page.get_by_role("button", name="Refuser")
    one, other = allow.bounding_box(), refuse.bounding_box()
    assert one
    assert other
    assert (one["width"], one["height"], one["y"]) == (other["width"], other["height"], other["y"])
    refuse.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Vous avez refusé")
    page.get_by_role("link", name="Retourner à l’application").click()
    assert at_app(page, site)["error"] == "access_denied"


def test_the_fault_is_told_first(open_page: Open, site: Site) -> None:
    """WCAG 2.2 s. 3.3.1, 2.4.3: the summary has the focus, and leads to what is to be done"""
    account = site.launches.person()
    page = open_page(site.address(scope="launch/patient patient/Immunization.rs"), account, java_script_enabled=False)
    page.get_by_label("Consulter").uncheck()
    with page.expect_response("**/consent") as answered_with:
        page.get_by_role("button", name="Autoriser").click()
    assert answered_with.value.status == 400
    expect(page.get_by_role("alert")).to_contain_text("Cochez au moins une ligne")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 1280])
def test_it_fits_and_can_be_touched(open_page: Open, site: Site, scheme: Any, width: int) -> None:
    """WCAG 2.2 s. 1.4.10 (320 px), 2.5.8: nothing to scroll sideways, every box and button is 44 px high"""
    everything = "openid launch/patient offline_access online_access patient/*.cruds"
    page = open_page(
        site.address(scope=everything),
        site.launches.person(),
        viewport={"width": width, "height": 800},
        color_scheme=scheme,
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    heights = page.eval_on_selector_all(
        "main label, main button", "found => found.map(each => each.getBoundingClientRect().height)"
    )
    assert len(heights) > 40
    assert min(heights) >= 44


def test_looking_after_apps(open_page: Open, site: Site) -> None:
    """What was allowed is on the page; a line is taken back, then all of it"""
    account = site.launches.person()
    page = open_page(site.address(name=f"Carnet {account.id}"), account)
    page.get_by_role("button", name="Autoriser").click()
    at_app(page, site)
    page.goto(f"{site.url}/apps")
    card = page.get_by_role("article", name=f"Carnet {account.id}")
    card.get_by_text("Modifier ce qui est autorisé").click()
    card.get_by_role("group", name="Vaccinations").get_by_label("Ajouter").uncheck()
    card.get_by_role("button", name="Enregistrer").click()
    expect(page.get_by_role("status")).to_contain_text("C’est enregistré")
    expect(card.get_by_role("definition").first).to_contain_text("Vaccinations")
    card.get_by_role("button", name="Retirer tout l’accès").click()
    expect(page.get_by_role("status")).to_contain_text("n’a plus accès à rien")
    expect(page.get_by_text("retirée le")).to_be_visible()


def test_another_language_keeps_the_page(open_page: Open, site: Site) -> None:
    """WCAG 2.2 s. 3.1.1: the page is whole in each language"""
    page = open_page(site.address(), site.launches.person())
    page.get_by_role("link", name="English").click()
    expect(page.locator("html")).to_have_attribute("lang", "en")
    expect(page.get_by_role("button", name="Allow")).to_be_visible()
    page.get_by_role("button", name="Refuse").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("You refused")
