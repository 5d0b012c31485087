"""The API explorer, as a person uses it: a real browser on a real server."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser, Page, Request, expect

from tests.build import observation, patient
from tests.servers import Server, serving

MARKUP = "<img src=x onerror=\"document.title='run'\">"
CODE = "http://example.org/codes|weight"
#: A browser logs every answer that is a refusal; these are asked for.
REFUSED = re.compile(r"Failed to load resource: the server responded with a status of 4\d\d")


@dataclass(frozen=True)
class Record:
    """A server with a patient and their seven observations, and a token that reads them."""

    server: Server
    token: str
    patient: str

    @property
    def root(self) -> str:
        """The address of the explorer."""
        return self.server.base.removesuffix("fhir")


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Record]:
    """The server under the explorer."""
    with serving(tmp_path_factory.mktemp("explorer") / "data", workers=1) as server:
        client = server.client(server.token())
        made = client.send("POST", "Patient", patient(name=[{"family": MARKUP, "given": ["Zoé"]}], gender="female"))
        assert made.status == 201, made.body
        who = f"Patient/{made.json()['id']}"
        for day in range(1, 8):
            about = {"reference": who, "display": "Zoé Exemple"}
            coding = {"system": "http://example.org/codes", "code": "weight"}
            sent = client.send(
                "POST",
                "Observation",
                observation(
                    subject=about,
                    code={"coding": [coding], "text": "Poids"},
                    effectiveDateTime=f"2024-05-0{day}",
                    valueQuantity={"value": 60.5 + day, "unit": "kg"},
                ),
            )
            assert sent.status == 201, sent.body
        client.close()
        # As bytes: a float of Python would not keep the digits.
        kept = requests.put(
            f"{server.base}/Observation/digits",
            b'{"resourceType":"Observation","id":"digits","status":"final","code":{"text":"a"},'
            b'"valueQuantity":{"value":1.500}}',
            headers={"Authorization": f"Bearer {server.token()}", "Content-Type": "application/fhir+json"},
            timeout=30,
        )
        assert kept.status_code == 201, kept.text
        yield Record(server, server.token("system/*.rs"), who)


Open = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser, record: Record) -> Iterator[Open]:
    """Opens the explorer; at the end of the test the browser must have had nothing to complain of."""
    contexts: list[Any] = []
    complaints: list[str] = []

    def opened(request: str = "", *, token: str | None = record.token, **options: Any) -> Page:
        context = browser.new_context(**{"locale": "fr-FR", "viewport": {"width": 1280, "height": 900}, **options})
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
        page.goto(record.root)
        expect(page.locator("#type option")).not_to_have_count(0)
        if token is not None:
            page.get_by_label("Jeton d’accès", exact=True).fill(token)
        if request:
            page.evaluate("request => { location.hash = request }", f"#{request}")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


def status(page: Page) -> Any:
    """The line that tells how the request went."""
    return page.get_by_role("status")


def rows(page: Page) -> Any:
    """The rows of the table of resources, without its head."""
    return page.locator("table.resources tbody tr")


def test_a_search_from_type_to_table(open_page: Open, record: Record) -> None:
    page = open_page()
    page.get_by_label("Type de ressource").select_option("Observation")
    page.get_by_role("button", name="Ajouter : paramètre").click()
    page.get_by_role("combobox", name="Paramètre", exact=True).select_option("code")
    page.get_by_label("Valeur").fill(CODE)
    page.get_by_role("button", name="Ajouter : paramètre").click()
    page.get_by_role("combobox", name="Paramètre", exact=True).nth(1).select_option("date")
    page.get_by_label("Comparaison").select_option("ge")
    page.get_by_label("Valeur").nth(1).fill("2024-05-05")
    expect(page.get_by_label("Requête")).to_have_value(f"Observation?code={CODE}&date=ge2024-05-05")
    page.get_by_role("button", name="Lancer").click()

    expect(status(page)).to_contain_text("200 OK")
    expect(status(page)).to_contain_text("3 résultats au total")
    expect(status(page)).to_contain_text(re.compile(r"\d+ ms"))
    expect(rows(page)).to_have_count(3)
    expect(page.get_by_role("columnheader")).to_have_text(
        ["Ressource", "Résumé", "Valeur", "Date", "État", "Patient"], use_inner_text=True
    )
    expect(rows(page).nth(0)).to_contain_text("Poids")
    expect(rows(page).nth(0)).to_contain_text("65.5 kg")
    assert page.evaluate("location.hash") == f"#Observation?code={CODE}&date=ge2024-05-05"


def test_modifiers_and_the_shape_of_the_result(open_page: Open) -> None:
    """R4 search.html#modifiers, search.html#return"""
    page = open_page()
    page.get_by_label("Type de ressource").select_option("Patient")
    page.get_by_role("button", name="Ajouter : paramètre").click()
    page.get_by_role("combobox", name="Paramètre", exact=True).select_option("family")
    page.get_by_label("Modificateur").select_option("contains")
    page.get_by_label("Valeur").fill("é&=b")
    page.get_by_role("button", name="Ajouter : _sort").click()
    expect(page.get_by_label("Valeur").nth(1)).to_be_focused()
    page.keyboard.type("-birthdate")
    page.get_by_role("button", name="Ajouter : _revinclude").click()
    page.keyboard.type("Observation:patient")
    written = "Patient?family:contains=%C3%A9%26%3Db&_sort=-birthdate&_revinclude=Observation:patient"
    expect(page.get_by_label("Requête")).to_have_value(written)
    page.get_by_role("button", name="Retirer _sort").click()
    expect(page.get_by_label("Requête")).to_have_value(written.replace("&_sort=-birthdate", ""))


def test_a_request_written_by_hand_fills_the_form(open_page: Open, record: Record) -> None:
    page = open_page()
    page.get_by_label("Requête").fill(f"{record.server.base}/Observation?subject:Patient.family=a&date=lt2024&_count=2")
    expect(page.get_by_label("Type de ressource")).to_have_value("Observation")
    expect(page.get_by_role("combobox", name="Paramètre", exact=True).nth(0)).to_have_value("subject:Patient.family")
    expect(page.get_by_label("Comparaison")).to_have_value("lt")
    expect(page.get_by_label("Valeur").nth(1)).to_have_value("2024")
    expect(page.get_by_label("Valeur").nth(2)).to_have_value("2")
    page.get_by_label("Modificateur").select_option("missing")
    page.get_by_label("Valeur").nth(1).fill("true")
    written = "Observation?subject:Patient.family=a&date:missing=true&_count=2"
    expect(page.get_by_label("Requête")).to_have_value(written)
    page.get_by_label("Requête").fill("Nothing/of?toString=that&&=&%E9=%&constructor:x")
    expect(page.get_by_role("combobox", name="Paramètre", exact=True).nth(0)).to_have_value("toString")


def test_parameters_are_those_of_the_capability_statement(open_page: Open, record: Record) -> None:
    """R4 capabilitystatement.html: rest.resource.searchParam"""
    page = open_page()
    client = record.server.client(record.token)
    statement = client.send("GET", "metadata").json()
    client.close()
    told = next(each for each in statement["rest"][0]["resource"] if each["type"] == "Immunization")["searchParam"]
    page.get_by_label("Type de ressource").select_option("Immunization")
    page.get_by_text(f"Paramètres de Immunization ({len(told)})").click()
    listed = page.locator("#documentation-table tbody tr")
    expect(listed).to_have_count(len(told))
    for parameter in told:
        expect(page.get_by_role("button", name=f"Ajouter {parameter['name']}", exact=True)).to_be_visible()
    page.get_by_role("button", name="Ajouter patient", exact=True).click()
    expect(page.get_by_role("combobox", name="Paramètre", exact=True)).to_have_value("patient")
    expect(page.get_by_label("Valeur")).to_have_accessible_description(re.compile("Type/id, id ou URL"))


def test_a_reference_is_followed_and_back_goes_back(open_page: Open, record: Record) -> None:
    page = open_page(f"Observation?patient={record.patient}&_count=2")
    rows(page).nth(0).get_by_role("link", name="Zoé Exemple").click()
    expect(page.locator("#json")).to_contain_text('"resourceType": "Patient"')
    expect(page.get_by_label("Requête")).to_have_value(record.patient)
    expect(page.get_by_role("heading", name="Réponse")).to_be_focused()
    page.get_by_role("link", name="Historique").click()
    expect(page.get_by_role("columnheader", name="Version")).to_be_visible()
    page.go_back()
    page.go_back()
    expect(rows(page)).to_have_count(2)


def test_json_has_links_and_the_digits_that_were_sent(open_page: Open, record: Record) -> None:
    """R4 json.html#decimal"""
    page = open_page(f"Observation?patient={record.patient}&_count=1")
    page.get_by_label("JSON").first.check()
    shown = page.locator("#json")
    expect(shown.get_by_role("link", name='"Patient/')).to_have_attribute("href", f"#{record.patient}")
    full = shown.get_by_role("link", name=f"{record.server.base}/Observation/").first
    expect(full).to_have_attribute("href", re.compile("^#Observation/"))
    page.evaluate("location.hash = '#Observation/digits'")
    expect(shown).to_contain_text('"value": 1.500\n')
    page.evaluate("location.hash = '#Observation?_id=digits'")
    page.get_by_label("Tableau").check()
    expect(page.locator("td.value")).to_have_text("1.500")


def test_pages_forth_and_back(open_page: Open, record: Record) -> None:
    """R4 http.html#paging"""
    page = open_page(f"Observation?patient={record.patient}&_count=3")
    expect(rows(page)).to_have_count(3)
    first = rows(page).all_inner_texts()
    expect(page.get_by_role("link", name="Page précédente")).to_have_count(0)
    page.get_by_role("link", name="Page suivante").click()
    expect(rows(page).nth(0)).not_to_have_text(first[0])
    page.get_by_role("link", name="Page suivante").click()
    expect(rows(page)).to_have_count(1)
    expect(page.get_by_role("link", name="Page suivante")).to_have_count(0)
    page.get_by_role("link", name="Page précédente").click()
    expect(rows(page)).to_have_count(3)
    page.get_by_role("link", name="Page précédente").click()
    expect(page.get_by_role("link", name="Page précédente")).to_have_count(0)
    assert rows(page).all_inner_texts() == first


def test_what_is_shown_is_what_is_asked(open_page: Open, record: Record) -> None:
    page = open_page()
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url.partition("/fhir/")[2]))
    for _ in range(2):
        page.get_by_label("Requête").fill("Patient?given=Zoé")
        page.get_by_role("button", name="Lancer").click()
        expect(rows(page)).to_have_count(1)
    page.evaluate("location.hash = '#Patient?given='")
    expect(status(page)).to_contain_text("400")
    expect(page.get_by_label("Requête")).to_have_value("Patient?given=")
    assert [url for url in sent if url] == ["Patient?given=Zo%C3%A9", "Patient?given=Zo%C3%A9", "Patient?given="]


def test_a_refused_search_says_why(open_page: Open) -> None:
    """R4 operationoutcome.html"""
    page = open_page("Observation?cod=1")
    expect(status(page)).to_contain_text("400")
    message = page.get_by_role("list", name="Messages du serveur").get_by_role("listitem")
    expect(message).to_contain_text("Erreur")
    expect(message).to_contain_text("`cod` is not a search parameter of Observation")


def test_where_an_outcome_points_to_is_shown(open_page: Open, record: Record) -> None:
    """R4 operationoutcome-definitions.html#OperationOutcome.issue.expression"""
    page = open_page(token=None)
    outcome = (
        '{"resourceType":"OperationOutcome","issue":[{"severity":"warning","code":"value",'
        f'"diagnostics":"{MARKUP.replace(chr(34), chr(92) + chr(34))}","expression":["Patient.birthDate"]}}]}}'
    )
    page.route("**/fhir/Patient/other", lambda route: route.fulfill(status=422, body=outcome))
    page.evaluate("location.hash = '#Patient/other'")
    message = page.get_by_role("list", name="Messages du serveur").get_by_role("listitem")
    expect(message).to_contain_text("Avertissement")
    expect(message).to_contain_text(MARKUP)
    expect(message).to_contain_text("Patient.birthDate")


def test_without_a_token_and_with_a_wrong_one(open_page: Open) -> None:
    page = open_page("Patient", token=None)
    expect(status(page)).to_contain_text("401")
    page.get_by_role("button", name="Aller au jeton").click()
    expect(page.get_by_label("Jeton d’accès", exact=True)).to_be_focused()
    page.keyboard.type("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Aller au jeton")).to_have_count(0)
    expect(status(page)).to_contain_text("401")
    expect(page.get_by_role("list", name="Messages du serveur")).to_be_visible()
    page.get_by_label("Jeton d’accès", exact=True).fill("jeton€")
    page.keyboard.press("Enter")
    expect(status(page)).to_contain_text("aucun jeton")


def test_the_token_stays_in_the_tab(open_page: Open, record: Record) -> None:
    """It is in no address, is sent to the FHIR base alone, outlives a reload, and can be forgotten."""
    page = open_page()
    sent: list[Request] = []
    page.on("request", lambda request: sent.append(request))
    page.get_by_label("Requête").fill("Patient?_count=1")
    page.get_by_role("button", name="Lancer").click()
    expect(rows(page)).to_have_count(1)
    page.reload()
    expect(rows(page)).to_have_count(1)
    assert record.token not in "".join([page.url, *(request.url for request in sent)])
    told = [request.url for request in sent if "authorization" in request.headers]
    assert told and all(url.startswith(f"{record.server.base}/Patient") for url in told)
    assert page.context.cookies() == []
    field = page.get_by_label("Jeton d’accès", exact=True)
    expect(field).to_have_attribute("type", "password")
    page.get_by_role("button", name="Afficher le jeton").click()
    expect(field).to_have_attribute("type", "text")
    page.get_by_role("button", name="Oublier").click()
    page.reload()
    expect(status(page)).to_contain_text("401")


@pytest.mark.parametrize(
    "written", ["//evil.example/Patient", "../health/live", "https://evil.example/", "%2e%2e/health"]
)
def test_a_link_leads_nowhere_else(open_page: Open, written: str) -> None:
    """A fragment that someone else wrote makes no request outside of the API."""
    page = open_page()
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url))
    page.evaluate("request => { location.hash = request }", f"#{written}")
    expect(status(page)).to_have_text("Cette adresse n’est pas sous l’API de ce serveur.")
    assert [url for url in sent if not url.endswith("/static/icon.svg")] == []


def test_markup_in_an_answer_is_text(open_page: Open, record: Record) -> None:
    page = open_page(f"Patient?_id={record.patient.partition('/')[2]}")
    expect(page.locator("td.summary")).to_have_text(f"Zoé {MARKUP}")
    page.get_by_label("JSON").first.check()
    expect(page.locator("#json")).to_contain_text("<img src=x")
    assert page.locator("#result img").count() == 0
    assert page.title() != "run"


def test_the_keyboard_is_enough(open_page: Open, record: Record) -> None:
    """WCAG 2.2 s. 2.1.1, 2.4.1, 2.4.7"""
    page = open_page(token=None)

    def tab_to(selector: str, key: str = "Tab") -> None:
        for _ in range(60):
            page.keyboard.press(key)
            if page.evaluate("selector => document.activeElement.matches(selector)", selector):
                outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
                assert outline == "solid"
                return
        raise AssertionError(f"no way to {selector}")

    tab_to(".skip")
    page.keyboard.press("Enter")
    tab_to("#token")
    page.keyboard.type(record.token)
    tab_to("#type")
    page.keyboard.type("Observation")
    tab_to("[data-add='']")
    page.keyboard.press("Enter")
    expect(page.get_by_role("combobox", name="Paramètre", exact=True)).to_be_focused()
    page.keyboard.type("code")
    tab_to("[name=value]")
    page.keyboard.type(CODE)
    tab_to("[data-add=_count]")
    page.keyboard.press("Space")
    page.keyboard.type("2")
    page.keyboard.press("Enter")
    expect(rows(page)).to_have_count(2)
    tab_to("#page-next")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Réponse")).to_be_focused()
    tab_to("[name=view]")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#json")).to_be_visible()
    page.keyboard.press("ArrowLeft")
    tab_to("td.about a")
    page.keyboard.press("Enter")
    expect(page.locator("#json")).to_contain_text('"resourceType": "Patient"')


def test_english_by_a_link_that_keeps_the_request(open_page: Open, record: Record) -> None:
    page = open_page("Observation?_count=2")
    expect(rows(page)).to_have_count(2)
    page.get_by_role("link", name="English").click()
    expect(page.get_by_role("heading", name="API explorer")).to_be_visible()
    expect(page.locator("html")).to_have_attribute("lang", "en")
    expect(rows(page)).to_have_count(2)
    expect(page.get_by_role("columnheader", name="Summary")).to_be_visible()
    assert page.url == f"{record.root}?lang=en#Observation?_count=2"


@pytest.mark.parametrize("width", [360, 768])
def test_a_small_screen_holds_it(open_page: Open, width: int) -> None:
    """WCAG 2.2 s. 1.4.10"""
    page = open_page("Observation?date=ge2024&_count=2", viewport={"width": width, "height": 700})
    expect(rows(page)).to_have_count(2)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    expect(status(page)).to_be_in_viewport()


def test_the_request_is_copied_as_an_address(open_page: Open, record: Record) -> None:
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    page.get_by_label("Requête").fill("Patient?_count=1")
    page.get_by_role("button", name="Copier l’adresse").click()
    expect(status(page)).to_have_text("Adresse copiée.")
    assert page.evaluate("navigator.clipboard.readText()") == f"{record.server.base}/Patient?_count=1"
