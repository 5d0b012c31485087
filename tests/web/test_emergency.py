"""Emergency access in a real browser: from the software over the page that asks why to the record, and who is told.

rule A10 to A12; homologation DMP: EX_0.2-1050, EX_0.3-1050 (the mode is shown all the time); WCAG 2.2: 1.4.10,
2.1.1, 2.5.8, 3.3.1
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.servers import Server
from tests.web.test_psc import fits

BLANCHARD = ("victor.blanchard", "Rotule+Trocart32")
BENALI = ("karim.benali", "Sirene#Gyro-66tk")
MARTINE, PAULETTE, ANGE = "258033726111296", "235042901902176", "186072A00405807"
#: Where pictures of the pages go, for who wants to look at them.
SHOTS = os.environ.get("SHOTS")


@pytest.fixture(params=[390, 1280])
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page at the width of a phone, and of a desk; nothing it loads fails."""
    context = browser.new_context(viewport={"width": request.param, "height": 900}, locale="fr-FR")
    page = context.new_page()
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert not [error for error in errors if "the server responded with a status of 4" not in error]


def shot(page: Page, name: str) -> None:
    """A picture of the whole page, if pictures are wanted."""
    if SHOTS:
        width = page.viewport_size["width"] if page.viewport_size else 0
        page.screenshot(path=Path(SHOTS) / f"{name}-{width}.png", full_page=True)


def ask(page: Page, server: Server, mode: str, who: tuple[str, str], ins: str) -> None:
    """From the software to the page that asks why."""
    page.goto(f"http://localhost:{server.port}/demo/software/")
    page.get_by_role("button", name=mode).click()
    page.locator("a[href*='/sign-in/psc']").click()
    page.locator("#login").fill(who[0])
    page.locator("#password").fill(who[1])
    page.locator("form:has(#password) button.primary").click()
    page.wait_for_url(re.compile("/sign-in/psc/capacity|/patient$"))
    if page.url.endswith("/capacity"):
        page.locator("input[name=notice]").check()
        page.locator("main button.primary").click()
    page.get_by_label("Matricule INS").fill(ins)
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_contain_text("Accès en urgence")
    page.get_by_role("button", name="Ouvrir ce dossier").click()
    expect(page).to_have_url(re.compile("/emergency(#ins)?$"))


def test_breaking_the_glass(page: Page, demonstration: Server) -> None:
    """A10, A12: the law, the reason, the record with its banner, and what the patient is told"""
    ask(page, demonstration, "Ouvrir en bris de glace", BLANCHARD, MARTINE)
    expect(page.get_by_role("heading", level=1)).to_have_text("Accès en urgence")
    expect(page.get_by_role("main")).to_contain_text("L.\u00a01111\u201117")
    assert fits(page)
    shot(page, "why")

    page.get_by_role("button", name="Ouvrir le dossier en urgence").click()
    expect(page.get_by_role("alert")).to_be_focused()
    assert fits(page)
    shot(page, "why-missing")
    page.get_by_role("alert").get_by_role("link").first.click()
    expect(page.get_by_label("La personne ne peut pas exprimer sa volonté")).to_be_focused()

    page.get_by_label("Menace immédiate pour la vie").press("Space")
    page.get_by_label("Précisez la situation").fill("Polytraumatisée, inconsciente")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")

    banner = page.locator("#banner")
    expect(banner).to_be_visible()
    expect(banner.locator("#mode")).to_have_text("Bris de glace")
    expect(banner.locator("#left")).to_contain_text("30 min")
    expect(banner).to_contain_text("VIGNAUD Martine")
    expect(page.locator("#documents tr").first).to_be_visible()
    shot(page, "record")
    page.mouse.wheel(0, 2_000)
    expect(banner).to_be_in_viewport()
    page.reload()
    expect(banner.locator("#mode")).to_have_text("Bris de glace")

    outbox = page.context.new_page()
    outbox.goto(f"{demonstration.base.removesuffix('/fhir')}/demo/outbox")
    expect(outbox.get_by_role("main")).to_contain_text("a ouvert le dossier de Martine Dubreuil en urgence")
    assert "Polytraumatisée" not in outbox.inner_text("main")
    shot(outbox, "outbox")
    outbox.close()

    held = page.evaluate("JSON.parse(sessionStorage.getItem('smart/demo/software/'))")
    assert (held["__mode"], held["__reason"]) == ("bris_de_glace", "life-threat")
    page.get_by_role("button", name="Fermer le dossier").click()
    expect(page.get_by_role("button", name="Ouvrir un dossier")).to_be_visible()
    client = demonstration.client(held["access_token"])
    assert client.send("GET", "Patient/martine-dubreuil").status == 401
    client.close()


def test_who_objected_is_not_opened(page: Page, demonstration: Server) -> None:
    """A10: Paulette Guillou objected to breaking the glass; the page does not say that she did"""
    ask(page, demonstration, "Ouvrir en bris de glace", BLANCHARD, PAULETTE)
    page.get_by_label("Menace immédiate pour la vie").check()
    page.get_by_label("Précisez la situation").fill("Chute, inconsciente")
    page.get_by_role("button", name="Ouvrir le dossier en urgence").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Ce dossier ne peut pas être ouvert en urgence")
    assert "oppos" not in page.inner_text("main").lower()
    assert fits(page)
    shot(page, "refused")
    page.get_by_role("link", name="Retourner au logiciel").click()
    expect(page.locator("#failure")).to_contain_text("Rien n'a été lu")


def test_the_call_centre(page: Page, demonstration: Server) -> None:
    """A11: a regulator opens Paulette's record, and Ange Paoletti's not; the oppositions are of their own modes"""
    for ins, opens in ((PAULETTE, True), (ANGE, False)):
        page.context.clear_cookies()
        page.goto(f"http://localhost:{demonstration.port}/demo/software/")
        page.evaluate("sessionStorage.clear()")
        ask(page, demonstration, "Ouvrir en régulation", BENALI, ins)
        page.get_by_label("Appel au centre 15").check()
        page.get_by_label("Précisez la situation").fill("Appel d'un voisin")
        page.get_by_role("button", name="Ouvrir le dossier en urgence").click()
        if opens:
            expect(page.locator("#banner #mode")).to_have_text("Centre 15")
            shot(page, "centre-15")
        else:
            expect(page.get_by_role("heading", level=1)).to_have_text("Ce dossier ne peut pas être ouvert en urgence")


def test_who_does_not_regulate_is_sent_back(page: Page, demonstration: Server) -> None:
    """A11, B7: the right is the identity provider's to assert"""
    page.goto(f"http://localhost:{demonstration.port}/demo/software/")
    page.get_by_role("button", name="Ouvrir en régulation").click()
    page.locator("a[href*='/sign-in/psc']").click()
    page.locator("#login").fill(BLANCHARD[0])
    page.locator("#password").fill(BLANCHARD[1])
    page.locator("form:has(#password) button.primary").click()
    page.wait_for_url(re.compile("/sign-in/psc/capacity|/demo/software/"))
    if page.url.endswith("/capacity"):
        page.locator("input[name=notice]").check()
        page.locator("main button.primary").click()
    expect(page.locator("#failure")).to_contain_text("Rien n'a été lu")
