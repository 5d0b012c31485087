"""A professional's whole way in, in a real browser: stand-in, notice, exact search, and out; at both widths.

WCAG 2.2: 1.3.1, 1.4.10 (reflow at 320 px), 2.1.1 (keyboard), 2.4.3 (focus order), 2.5.8, 3.3.1, 3.3.2
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, Page, expect

from fhir_server.smart.sandbox import SOFTWARE
from tests.servers import Server, serving

#: Nolan Lefèvre, of the seed record, who is fifteen.
NUMBER = "1 11 02 37 261 089 31"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("demo") / "var", command="demo") as started:
        yield started


@pytest.fixture(params=[390, 1280])
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page at the width of a phone, and of a desk; nothing it loads fails, and no script runs."""
    context = browser.new_context(viewport={"width": request.param, "height": 800}, locale="fr-FR")
    page = context.new_page()
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert not [error for error in errors if "the server responded with a status of 4" not in error]


def begin(page: Page, server: Server) -> None:
    """The software of a practice sends the browser to the server."""
    issuer = server.base.removesuffix("/fhir")
    verifier = secrets.token_urlsafe(48)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    asked = {
        "response_type": "code",
        "client_id": SOFTWARE,
        "redirect_uri": f"http://localhost:{server.port}/demo/software/",
        "scope": "openid fhirUser launch/patient user/Patient.rs",
        "state": secrets.token_urlsafe(24),
        "aud": server.base,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    page.goto(f"{issuer}/oauth/authorize?{urlencode(asked)}")


def fits(page: Page) -> bool:
    """Whether nothing reaches beyond the window, and every field has a name.  WCAG 2.2 s. 1.4.10, s. 3.3.2"""
    return bool(
        page.evaluate(
            """() => document.documentElement.scrollWidth <= window.innerWidth
                && [...document.querySelectorAll("input:not([type=hidden])")].every((field) => field.labels.length)
                && [...document.querySelectorAll("button, .button, input:not([type=hidden])")]
                    .every((each) => (each.closest("label") || each).getBoundingClientRect().height >= 44)"""
        )
    )


def test_the_whole_way(page: Page, server: Server) -> None:
    """From the software to the record that is to be opened, and signed out again"""
    begin(page, server)
    page.get_by_role("link", name="Pro Santé Connect").click()
    expect(page.get_by_text("Démonstration.", exact=True)).to_be_visible()
    assert fits(page)
    page.get_by_role("link", name="English").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("A professional signs in")
    page.get_by_role("link", name="Français").click()

    page.get_by_label("Identifiant", exact=True).fill("sophie.garnier")
    page.get_by_label("Mot de passe").fill("not her password")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_be_focused()
    page.get_by_role("button", name="Choisir : Dr Sophie Garnier").click()

    page.wait_for_url(re.compile("/sign-in/psc/capacity|/patient$"))
    if page.url.endswith("/capacity"):  # the notice is due once in 180 days, and this is the first of two widths
        assert fits(page)
        expect(page.get_by_role("main")).to_contain_text("Dr Sophie Garnier")
        page.get_by_label("J’en ai pris connaissance").check()
        page.get_by_role("button", name="Continuer").click()

    expect(page).to_have_url(re.compile("/authorize/[^/]+/patient$"))
    assert fits(page)
    page.get_by_label("Matricule INS").fill("1 11 02 37 261 089 32")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_be_focused()
    expect(page.get_by_label("Matricule INS")).to_have_attribute("aria-invalid", "true")
    assert fits(page)
    page.get_by_role("alert").get_by_role("link").click()
    expect(page.get_by_label("Matricule INS")).to_be_focused()

    page.get_by_label("Matricule INS").fill(NUMBER)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Nolan Lefèvre")).to_be_visible()
    assert fits(page)
    page.get_by_label("Session secrète").check()
    page.get_by_role("button", name="Ouvrir ce dossier").click()
    expect(page).to_have_url(re.compile("/authorize/[^/]+/consent(#ins)?$"))

    page.goto(f"{server.base.removesuffix('/fhir')}/sign-out")
    page.get_by_role("button", name="Se déconnecter").click()
    expect(page).to_have_url(re.compile("/sign-out$"))
    assert "session" not in {cookie["name"] for cookie in page.context.cookies()}


def test_by_identity_with_the_keyboard_alone(page: Page, server: Server) -> None:
    """WCAG 2.2 s. 2.1.1: the card of Dr Amadou Diallo, then the traits"""
    begin(page, server)
    page.get_by_role("link", name="Pro Santé Connect").press("Enter")
    page.get_by_role("button", name="Choisir : Dr Amadou Diallo").press("Enter")
    page.wait_for_url(re.compile("/sign-in/psc/capacity|/patient$"))
    if page.url.endswith("/capacity"):
        page.get_by_label("J’en ai pris connaissance").press("Space")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
    page.get_by_label("Nom de famille").fill("LEFEVRE")
    page.get_by_label("Date de naissance").fill("2011-02-17")
    page.get_by_label("Féminin").press("Space")
    page.get_by_role("button", name="Rechercher").nth(1).press("Enter")
    expect(page.get_by_role("status")).to_be_focused()
    expect(page.get_by_role("status")).to_contain_text("Aucun espace ouvert")
    page.get_by_label("Masculin").press("Space")
    page.get_by_role("button", name="Rechercher").nth(1).press("Enter")
    expect(page.get_by_role("heading", name="Nolan Lefèvre")).to_be_visible()


def test_who_cancels_is_told_so(page: Page, server: Server) -> None:
    begin(page, server)
    page.get_by_role("link", name="Pro Santé Connect").click()
    page.get_by_role("button", name="Annuler la connexion").click()
    expect(page.get_by_role("main")).to_contain_text("annulée")
    assert fits(page)
    page.get_by_role("link", name="Réessayer").click()
    expect(page.get_by_text("Démonstration.", exact=True)).to_be_visible()
