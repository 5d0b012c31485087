"""Whole launches in a real browser: an app on another origin, a professional's software, and the app that it opens."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect

from tests.servers import Server

MARTINE = ("martine.dubreuil", "Glycine&Muret58x")
LEMOINE = ("helene.lemoine", "Stetho*Tilleul17")
#: What day the browser thinks it is: the appointments to come of the seed record are of the months after this one.
TODAY = datetime(2026, 11, 20, 12, tzinfo=UTC)


@dataclass
class Said:
    """What pages complain of."""

    texts: list[str] = field(default_factory=list)
    meant: list[str] = field(default_factory=list)

    def complained(self, page: Page, of: str) -> None:
        """Return once a page has complained of this, which the test means; it may come more than once."""
        self.meant.append(of)
        for _ in range(600):
            if any(of in text for text in self.texts):
                return
            page.wait_for_timeout(100)
        raise AssertionError(self.texts)

    def unmeant(self) -> list[str]:
        """The complaints that no test means."""
        return [text for text in self.texts if not any(of in text for of in self.meant)]


@pytest.fixture
def said() -> Said:
    """Nothing yet."""
    return Said()


@pytest.fixture
def context(browser: Browser, said: Said) -> Iterator[BrowserContext]:
    """A browser that nobody is signed in with; nothing is complained of."""

    def note(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            said.texts.append(message.text)

    opened = browser.new_context(locale="fr-FR", viewport={"width": 1280, "height": 900})
    opened.clock.set_fixed_time(TODAY)
    opened.on("console", note)
    opened.on("weberror", lambda error: said.texts.append(str(error.error)))
    yield opened
    opened.close()
    assert said.unmeant() == []


def server_of(demonstration: Server) -> str:
    """Where the server is."""
    return demonstration.base.removesuffix("/fhir")


def home_of(demonstration: Server) -> str:
    """Where the apps are: another origin."""
    return f"http://localhost:{demonstration.port}"


def sign_in(page: Page, demonstration: Server) -> None:
    """As Martine: identifier, password, and the code that was sent."""
    page.get_by_label("Identifiant").fill(MARTINE[0])
    page.get_by_label("Mot de passe").fill(MARTINE[1])
    page.get_by_role("button", name=re.compile("Se connecter|Continuer")).first.click()
    code = page.locator("input[autocomplete=one-time-code]")
    expect(code).to_be_visible()
    outbox = page.context.new_page()
    outbox.goto(f"{server_of(demonstration)}/demo/outbox")
    digits = re.search(r"\b\d{6}\b", outbox.inner_text("main"))
    outbox.close()
    assert digits
    code.fill(digits[0])
    page.locator("form:has(input[autocomplete=one-time-code]) button.primary").click()


def connect(page: Page, demonstration: Server) -> None:
    """From the app's first page to the page of consent, in Martine's own record."""
    page.goto(f"{server_of(demonstration)}/demo/app/")
    expect(page).to_have_url(f"{home_of(demonstration)}/demo/app/")
    page.get_by_role("button", name="Connecter mon dossier").click()
    sign_in(page, demonstration)
    page.get_by_label("Martine Dubreuil").check()
    page.locator("main button.primary").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Mon suivi")


def test_a_standalone_launch_to_its_end(context: BrowserContext, demonstration: Server) -> None:
    """SMART App Launch 2.2: app-launch.html (standalone): discovery, PKCE, consent, data, refresh, revocation"""
    page = context.new_page()
    connect(page, demonstration)
    page.get_by_label("3 mois").check()
    page.get_by_role("button", name="Autoriser").click()

    expect(page.get_by_role("heading", level=1)).to_have_text("Martine Dubreuil")
    expect(page).to_have_url(f"{home_of(demonstration)}/demo/app/")  # the code stays in no address
    measures = page.locator("#measures li")
    expect(measures.filter(has_text="Tension artérielle")).to_contain_text("mmHg")
    expect(measures.filter(has_text="Poids").locator("polyline")).to_have_count(1)
    expect(page.locator("#appointments li").first).to_contain_text("Contrôle dentaire")

    first = _token(page)
    page.get_by_role("button", name="Renouveler le jeton").click()
    expect(page.get_by_text("Un nouveau jeton d'accès a remplacé l'ancien.")).to_be_visible()
    second = _token(page)
    assert second != first

    # A page that opens at the end of the token makes many calls at once, and one of them renews it.
    page.evaluate("""() => {
        const held = JSON.parse(sessionStorage.getItem("smart/demo/app/"));
        sessionStorage.setItem("smart/demo/app/", JSON.stringify({ ...held, until: 0 }));
    }""")
    page.reload()
    expect(measures.filter(has_text="Poids")).to_be_visible()
    second = _token(page)
    renewals = page.locator("#journal li", has_text="/oauth/token")
    expect(renewals).to_have_count(3)  # for the code, for the button, and now

    page.get_by_role("button", name="Se déconnecter et rendre l'accès").click()
    expect(page.get_by_role("button", name="Connecter mon dossier")).to_be_visible()
    assert page.evaluate("sessionStorage.getItem('smart/demo/app/')") is None
    client = demonstration.client(second)
    assert client.send("GET", "Patient/martine-dubreuil").status == 401
    client.close()


def test_what_was_not_ticked_is_not_shown(context: BrowserContext, demonstration: Server, said: Said) -> None:
    """SMART App Launch 2.2: best-practices.html: all or nothing is not enough"""
    page = context.new_page()
    connect(page, demonstration)
    page.get_by_role("group", name="Mesures").get_by_role("checkbox").uncheck()
    page.get_by_role("button", name="Autoriser").click()

    expect(page.locator("#appointments li").first).to_be_visible()
    expect(page.locator("#no-measures")).to_have_text("Vous n'avez pas partagé cette partie de votre dossier.")
    said.complained(page, of="403")
    expect(page.locator("#measures li")).to_have_count(0)
    assert "Observation" not in page.locator("#scopes").inner_text()
    expect(page.get_by_role("button", name="Renouveler le jeton")).to_be_hidden()  # it was for this once


def test_a_refusal_comes_back_to_the_app(context: BrowserContext, demonstration: Server, said: Said) -> None:
    """RFC 6749 s. 4.1.2.1"""
    page = context.new_page()
    connect(page, demonstration)
    page.get_by_role("button", name="Refuser").click()
    page.get_by_role("link", name=re.compile("Retourner")).click()

    expect(page.get_by_text("Vous n'avez pas donné l'accès. Rien n'a été lu.")).to_be_visible()
    said.complained(page, of="access_denied")
    assert page.evaluate("JSON.parse(sessionStorage.getItem('smart/demo/app/')).access_token") is None


def test_an_answer_of_somebody_else_is_not_taken(context: BrowserContext, demonstration: Server, said: Said) -> None:
    """RFC 6749 s. 10.12; RFC 9207 s. 2.4: state and issuer"""
    page = context.new_page()
    page.goto(f"{home_of(demonstration)}/demo/app/?code=stolen&state=guessed&iss=https://evil.example")

    expect(page.get_by_text("La réponse reçue n'est pas celle qui était attendue.")).to_be_visible()
    said.complained(page, of="state")


def test_the_app_goes_to_servers_that_it_knows(context: BrowserContext, demonstration: Server, said: Said) -> None:
    """SMART App Launch 2.2: app-launch.html (EHR launch): iss is what anybody can write into a link"""
    page = context.new_page()
    page.goto(f"{home_of(demonstration)}/demo/app/launch.html?iss=https://evil.example/fhir&launch=x")

    expect(page.get_by_text("Le logiciel qui ouvre cette application n'est pas connu d'elle.")).to_be_visible()
    said.complained(page, of="unknown_server")


def open_record(page: Page, demonstration: Server) -> None:
    """As Dr Lemoine, with Pro Santé Connect: Martine's record in the software."""
    page.goto(f"{server_of(demonstration)}/demo/software/")
    page.get_by_role("button", name="Ouvrir un dossier").click()
    page.locator("a[href*='/sign-in/psc']").click()
    page.locator("#login").fill(LEMOINE[0])
    page.locator("#password").fill(LEMOINE[1])
    page.locator("form:has(#password) button.primary").click()
    page.locator("input[name=notice]").check()
    page.locator("main button.primary").click()
    page.locator("#family").fill("Vignaud")
    page.locator("#given").fill("Martine")
    page.locator("#birth_date").fill("1958-03-14")
    page.locator("input[name=sex][value=female]").check()
    page.locator("button[value=traits]").click()
    page.locator("form:has(input[name=patient]) button.primary").click()
    page.get_by_role("button", name="Autoriser").click()


def test_an_ehr_launch(context: BrowserContext, demonstration: Server) -> None:
    """SMART App Launch 2.2: app-launch.html (EHR launch): the same patient, nobody signs in again"""
    page = context.new_page()
    open_record(page, demonstration)

    banner = page.locator("#banner")
    expect(banner).to_contain_text("VIGNAUD Martine")
    expect(banner).to_contain_text("14 mars 1958")
    expect(banner.locator("#mode")).to_have_text("Accès normal")
    expect(page.locator("#user")).to_have_text("Hélène Lemoine")
    expect(page.locator("#documents tr").first).to_be_visible()
    expect(page.locator("#profile")).to_contain_text("Amoxicilline")

    page.locator("#encounter").select_option(index=1)
    with context.expect_page() as opened:
        page.get_by_role("button", name="Lancer « Mon suivi » dans ce dossier").click()
    app = opened.value
    app.get_by_role("button", name="Autoriser").click()

    expect(app.get_by_role("heading", level=1)).to_have_text("Martine Dubreuil")
    expect(app.locator("#measures li").first).to_be_visible()
    held = app.evaluate("JSON.parse(sessionStorage.getItem('smart/demo/app/'))")
    assert held["patient"] == "martine-dubreuil"
    assert held["encounter"].startswith("martine-dubreuil-")
    # It wears the colours of where it was opened.
    assert app.evaluate("document.documentElement.style.getPropertyValue('--accent')") == "#0b6557"

    page.get_by_role("button", name="Fermer le dossier").click()
    expect(page.get_by_role("button", name="Ouvrir un dossier")).to_be_visible()
    expect(page.locator("#banner")).to_be_hidden()


@pytest.mark.parametrize("path", ["app", "software"])
def test_the_pages_speak_english_and_fit_a_telephone(browser: Browser, demonstration: Server, path: str) -> None:
    """WCAG 2.2 s. 3.1.1, s. 1.4.10: the language of the reader; 320 pixels without a sideways scroll"""
    context = browser.new_context(locale="en-GB", viewport={"width": 320, "height": 700})
    page = context.new_page()
    page.goto(f"{home_of(demonstration)}/demo/{path}/")

    expect(page.locator("html")).to_have_attribute("lang", "en")
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile("glance|Open a patient"))
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    page.get_by_role("link", name="Français").click()
    expect(page.locator("html")).to_have_attribute("lang", "fr")
    context.close()


def _token(page: Page) -> str:
    token: str = page.evaluate("JSON.parse(sessionStorage.getItem('smart/demo/app/')).access_token")
    return token
