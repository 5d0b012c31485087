"""Signing in as a person does it: a real browser on a real server, with the keyboard alone, on a phone and a desk."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.servers import Server, serving

LOGIN, PASSWORD = "camille.moreau", "Coquelicot+7Vent"
PHONE, NARROW, DESK = {"width": 390, "height": 844}, {"width": 320, "height": 640}, {"width": 1280, "height": 900}
#: A browser logs every answer that is a refusal; these are asked for.
REFUSED = re.compile(r"Failed to load resource: the server responded with a status of 4\d\d")

#: What is wrong with a page, for who cannot see it, cannot hold a mouse still, or has a narrow screen.  WCAG 2.2
FAULTS = """() => {
  const faults = [];
  const seen = element => element.getClientRects().length > 0 && getComputedStyle(element).visibility !== "hidden";
  const say = (what, element) => faults.push(`${what}: ${element.outerHTML.slice(0, 120)}`);
  const whole = document.documentElement;
  if (whole.scrollWidth > whole.clientWidth) faults.push("1.4.10 wider than the screen");
  if (!whole.lang) faults.push("3.1.1 no language");
  if (document.querySelectorAll("h1").length !== 1) faults.push("1.3.1 not one h1");
  if (document.querySelectorAll("main").length !== 1) faults.push("1.3.1 not one main");
  let level = 0;
  for (const heading of document.querySelectorAll("main :is(h1, h2, h3)")) {
    if (+heading.tagName[1] > level + 1 && level) say("1.3.1 a level left out", heading);
    level = +heading.tagName[1];
  }
  const ids = [...document.querySelectorAll("[id]")].map(element => element.id);
  if (new Set(ids).size !== ids.length) faults.push("4.1.1 an id twice");
  for (const field of document.querySelectorAll("input:not([type=hidden]), select, textarea")) {
    if (!field.labels?.length || !field.labels[0].innerText.trim()) say("3.3.2 no label", field);
    if (field.type !== "radio" && !field.autocomplete) say("1.3.5 no autocomplete", field);
    for (const id of (field.getAttribute("aria-describedby") ?? "").split(" ").filter(Boolean))
      if (!document.getElementById(id)) say("1.3.1 described by nothing", field);
  }
  const targets = "main :is(button, .button, input:not([type=hidden], [type=radio]), .choice), .site a";
  for (const element of document.querySelectorAll(targets)) {
    if (seen(element) && element.getBoundingClientRect().height < 43.5) say("2.5.5 target too small", element);
  }
  for (const element of document.querySelectorAll("a, button")) {
    const name = element.innerText || element.getAttribute("aria-label") || "";
    if (seen(element) && !name.trim()) say("4.1.2 no name", element);
  }
  if (document.querySelector("[tabindex]:not([tabindex='0'], [tabindex='-1'])")) faults.push("2.4.3 its own order");
  if (document.querySelector("script:not([src]), style, [style], [onclick]")) faults.push("written in the page");
  return faults;
}"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The demonstration."""
    with serving(tmp_path_factory.mktemp("sign-in") / "data", command="demo") as started:
        yield started


Open = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser, server: Server) -> Iterator[Open]:
    """Opens a page in a browser of its own; at the end of the test none has had anything to complain of."""
    contexts: list[Any] = []
    complaints: list[str] = []

    def opened(path: str, **options: Any) -> Page:
        context = browser.new_context(**{"locale": "fr-FR", "viewport": PHONE, **options})
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console",
            lambda message: (
                complaints.append(message.text)
                if message.type in ("error", "warning") and not REFUSED.match(message.text)
                else None
            ),
        )
        page.goto(root(server) + path)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


def root(server: Server) -> str:
    """The address of the server."""
    return server.base.removesuffix("/fhir")


def authorize(server: Server, **asked: str) -> str:
    """The path of an authorization request of the demonstration's app."""
    home = root(server).replace("127.0.0.1", "localhost")
    parameters = {
        "response_type": "code",
        "client_id": "demo-mon-suivi",
        "redirect_uri": f"{home}/demo/app/",
        "scope": "launch/patient openid patient/Patient.r",
        "state": secrets.token_urlsafe(16),
        "aud": server.base,
        "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        "code_challenge_method": "S256",
        **asked,
    }
    return f"/oauth/authorize?{urlencode(parameters)}"


def code(page: Page, server: Server) -> str:
    """The digits that were sent last, as the demonstration shows them."""
    expect(page).to_have_url(re.compile("/sign-in/code"))
    shown = page.context.new_page()
    shown.goto(f"{root(server)}/demo/outbox")
    found = re.search(r"\b\d{6}\b", shown.get_by_role("main").inner_text())
    shown.close()
    assert found
    return found[0]


def sign_in(page: Page, server: Server, login: str = LOGIN, password: str = PASSWORD) -> None:
    """Through both steps."""
    page.get_by_label("Identifiant").fill(login)
    page.get_by_label("Mot de passe").fill(password)
    page.get_by_role("button", name="Se connecter").click()
    digits = code(page, server)
    page.get_by_label("Code à 6 chiffres").fill(digits)
    page.get_by_role("button", name="Continuer").click()


def focused(page: Page) -> str:
    """What has the focus: its id, else its text."""
    return str(page.evaluate("document.activeElement.id || document.activeElement.innerText"))


@pytest.mark.parametrize("viewport", [PHONE, DESK], ids=["phone", "desk"])
def test_with_the_keyboard_alone(open_page: Open, server: Server, viewport: Any) -> None:
    """WCAG 2.2 s. 2.1.1, 2.4.3, 2.4.7"""
    page = open_page(authorize(server), viewport=viewport)
    order = []
    for _ in range(8):
        page.keyboard.press("Tab")
        order.append(focused(page))
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", order
    assert order[0] == "Aller au contenu"
    assert order[4:] == ["login", "password", "Se connecter", "S’identifier avec Pro Santé Connect"]
    page.get_by_label("Identifiant").focus()
    page.keyboard.type(LOGIN)
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Votre code de connexion")
    digits = code(page, server)
    while focused(page) != "code":
        page.keyboard.press("Tab")
    page.keyboard.type(digits)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile("Pour qui"))
    while focused(page) != "patient-1":
        page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("radio", name="Lina Moreau")).to_be_checked()
    ring = page.evaluate("getComputedStyle(document.activeElement.closest('.choice')).outlineStyle")
    assert ring == "solid"
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/consent$"))
    expect(page.get_by_role("main")).to_contain_text("Lina Moreau")


@pytest.mark.parametrize("viewport", [NARROW, PHONE, DESK], ids=["narrow", "phone", "desk"])
def test_every_page_can_be_used_by_everybody(open_page: Open, server: Server, viewport: Any) -> None:
    """WCAG 2.2: names, labels, targets, headings, reflow; in both languages"""
    page = open_page(authorize(server), viewport=viewport)
    faults: dict[str, list[str]] = {}

    def look(what: str, title: str = "") -> None:
        expect(page.get_by_role("heading", level=1)).to_contain_text(title)
        page.wait_for_load_state()
        faults[what] = page.evaluate(FAULTS)

    look("sign-in")
    page.get_by_label("Identifiant").fill(LOGIN)
    page.get_by_label("Mot de passe").fill("wrong")
    page.get_by_role("button", name="Se connecter").click()
    expect(page.get_by_role("alert")).to_be_visible()
    look("sign-in refused")
    page.get_by_label("Mot de passe").fill(PASSWORD)
    page.get_by_role("button", name="Se connecter").click()
    look("code", "code")
    page.get_by_label("Code à 6 chiffres").fill("12")
    page.get_by_role("button", name="Continuer").click()
    expect(page.get_by_role("alert")).to_be_visible()
    look("code refused")
    digits = code(page, server)
    page.get_by_label("Code à 6 chiffres").fill(digits)
    page.get_by_role("button", name="Continuer").click()
    look("patient", "Pour qui")
    for path in (
        "/account",
        "/account?lang=en",
        "/sign-out",
        "/demo/outbox",
        f"/authorize/{'x' * 43}",
        "/sign-in/code",
    ):
        page.goto(root(server) + path)
        look(path)
    asked = authorize(
        server,
        client_id="sandbox-public",
        redirect_uri="http://127.0.0.1/",
        scope="openid launch/patient launch/encounter",
    )
    page.goto(root(server) + asked)
    page.get_by_text("Camille Moreau").last.click()
    page.get_by_role("button", name=re.compile("Continue")).click()
    expect(page).to_have_url(re.compile("/encounter$"))
    look("encounter")
    assert {what: found for what, found in faults.items() if found} == {}


def test_a_fault_is_told_at_once(open_page: Open, server: Server) -> None:
    """WCAG 2.2 s. 3.3.1, 4.1.3: the summary has the focus, its link leads to the field, and the title says so"""
    page = open_page("/sign-in")
    page.get_by_label("Identifiant").fill("nobody")
    page.get_by_label("Mot de passe").fill("wrong")
    page.keyboard.press("Enter")
    summary = page.get_by_role("alert")
    expect(summary).to_be_focused()
    expect(summary).to_contain_text("L’identifiant ou le mot de passe n’est pas le bon.")
    assert page.title().startswith("Erreur")
    expect(page.get_by_label("Identifiant")).to_have_value("nobody")
    expect(page.get_by_label("Mot de passe")).to_have_value("")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Identifiant")).to_be_focused()
    expect(page.get_by_label("Identifiant")).to_have_attribute("aria-invalid", "true")


def test_what_helps_a_person_fill_in(open_page: Open, server: Server) -> None:
    """WCAG 2.2 s. 1.3.5, 3.3.8: managers of passwords, and telephones that read the code"""
    page = open_page("/sign-in")
    expect(page.get_by_label("Identifiant")).to_have_attribute("autocomplete", "username")
    expect(page.get_by_label("Mot de passe")).to_have_attribute("autocomplete", "current-password")
    page.get_by_label("Identifiant").fill("thomas.moreau")
    page.get_by_label("Mot de passe").fill("Voilier*Ancre19")
    page.keyboard.press("Enter")
    field = page.get_by_label("Code à 6 chiffres")
    expect(field).to_have_attribute("autocomplete", "one-time-code")
    expect(field).to_have_attribute("inputmode", "numeric")
    digits = code(page, server)
    field.fill(f"{digits[:3]} {digits[3:]}")
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{root(server)}/account")
    expect(page.get_by_role("main")).to_contain_text("Thomas Moreau")


def test_the_language_stays(open_page: Open, server: Server) -> None:
    page = open_page(authorize(server))
    page.get_by_role("link", name="English").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    page.get_by_label("Login").fill(LOGIN)
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.get_by_label("6-digit code").fill(code(page, server))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("For whom?")


def test_an_e_mail_of_a_new_device_ends_its_session(open_page: Open, server: Server) -> None:
    """Two browsers: one sees the other and ends it."""
    stranger = open_page("/sign-in", user_agent="Mozilla/5.0 (Windows NT 10.0; Win64) Gecko/20100101 Firefox/128.0")
    sign_in(stranger, server, "lucie.bonnet", "Porcelaine~Bleu3")
    expect(stranger.get_by_role("main")).to_contain_text("Lucie Bonnet")
    page = open_page("/sign-in")
    sign_in(page, server, "lucie.bonnet", "Porcelaine~Bleu3")
    page.get_by_role("button", name=re.compile("Déconnecter.*Firefox · Windows")).click()
    expect(page.get_by_role("status")).to_be_visible()
    expect(page.get_by_role("main")).not_to_contain_text("Firefox")
    stranger.reload()
    expect(stranger.get_by_role("heading", level=1)).to_have_text("Connexion")


def test_signing_out(open_page: Open, server: Server) -> None:
    page = open_page("/sign-in?page=account")
    sign_in(page, server, "ange.paoletti", "Maquis(Myrte)86f")
    page.get_by_role("button", name="Se déconnecter").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Vous êtes déconnecté")
    page.go_back()
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("Connexion")
