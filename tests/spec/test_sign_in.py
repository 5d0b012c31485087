"""Signing in over HTTP, from the authorization request to the page of consent, and what is refused on the way."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from argon2 import PasswordHasher
from flask.testing import FlaskClient
from pymongo import MongoClient
from werkzeug.test import TestResponse

from fhir_server import app as application
from fhir_server.accounts import codes
from fhir_server.accounts.account import Account, Profile
from fhir_server.accounts.attempts import FREE
from fhir_server.accounts.codes import BETWEEN, GUESSES
from fhir_server.accounts.passwords import Passwords
from fhir_server.accounts.rates import Rate
from fhir_server.config import Settings
from fhir_server.demo import psc as demo_psc
from fhir_server.smart.clients import Client
from fhir_server.smart.sessions import IDLE
from tests.build import patient as a_patient
from tests.calls import Served, follow

BASE = "http://fhir.test"
HERE = {"Origin": BASE}
RIGHT = "Coquelicot+7Vent"
BACK = "https://app.example/back"
SCOPE = "launch/patient openid patient/Observation.rs"
#: What a page must show as text and nothing else.
MARKUP = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' autofocus onfocus=alert(1) x='",
    "javascript:alert(1)",
    "{{ 7 * 7 }}",
    "</title><svg onload=alert(1)>",
)


@dataclass
class Clock:
    """The time, so much later than it is, or than it was when the clock was stopped."""

    later: timedelta = timedelta(0)
    stopped: datetime | None = None

    def __call__(self) -> Any:
        return (self.stopped or application.now()) + self.later


class Page(HTMLParser):
    """The elements of a page, with their attributes."""

    def __init__(self, text: str):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def named(self, name: str) -> list[dict[str, str | None]]:
        """The fields of this name."""
        return [attributes for _, attributes in self.elements if attributes.get("name") == name]

    @property
    def shape(self) -> list[tuple[str, tuple[str, ...]]]:
        """What is there, whatever it says."""
        return [(tag, tuple(sorted(attributes))) for tag, attributes in self.elements]


@dataclass
class Browser:
    """A browser: its cookies, and forms that are sent as a page has them."""

    client: FlaskClient
    world: World

    def get(self, path: str, **headers: str) -> TestResponse:
        return self.client.get(path, base_url=BASE, headers=headers)

    def post(self, path: str, fields: Any, headers: dict[str, str] | None = None) -> TestResponse:
        return self.client.post(path, data=fields, base_url=BASE, headers=HERE if headers is None else headers)

    def token(self, path: str, which: int = 0) -> str:
        """The hidden token of a form on the page."""
        return Page(self.get(path).text).named("form")[which]["value"] or ""

    def send(self, path: str, **fields: str) -> TestResponse:
        """The form of the page, filled in."""
        return self.post(path, {"form": self.token(path), **fields})

    def begin(self, **asked: str) -> str:
        """The path of the first page of a new authorization request."""
        answer = self.get(self.world.authorize(**asked))
        assert answer.status_code == 303, answer.text
        answer = self.get(path_of(answer))
        assert answer.status_code == 303, answer.text
        return path_of(answer)

    def sign_in(self, path: str = "/sign-in", login: str = "camille.moreau", password: str = RIGHT) -> TestResponse:
        """The answer to the right code, after the right password."""
        answer = self.send(path, login=login, password=password)
        assert answer.status_code == 303, answer.text
        return self.send(path_of(answer), code=self.world.code())

    @property
    def cookie(self) -> str | None:
        """What the browser holds of its session."""
        found = self.client.get_cookie("session", domain="fhir.test")
        return found.value if found else None


def path_of(answer: TestResponse) -> str:
    """Where a redirect leads on this server."""
    parts = urlsplit(answer.headers["Location"])
    assert parts.netloc in ("", "fhir.test"), answer.headers["Location"]
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def onward_of(answer: TestResponse) -> str:
    """Where the one button of a page leads."""
    (found,) = [
        each for tag, each in Page(answer.text).elements if tag == "a" and each.get("class") == "button primary"
    ]
    return str(found["href"])


@dataclass
class World:
    """The application, with an app of the catalogue and a few people."""

    served: Served
    clock: Clock
    kept: Any
    people: Any
    lina: str

    def browser(self) -> Browser:
        return Browser(self.served.app.test_client(), self)

    def authorize(self, **asked: str) -> str:
        """The address of an authorization request."""
        parameters = {
            "response_type": "code",
            "client_id": "app",
            "redirect_uri": BACK,
            "scope": SCOPE,
            "state": secrets.token_urlsafe(16),
            "aud": f"{BASE}/fhir",
            "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
            "code_challenge_method": "S256",
            **asked,
        }
        with self.served.app.test_request_context("/oauth/authorize", query_string=parameters) as context:
            return context.request.full_path

    @property
    def camille(self) -> str:
        """The `sub` of Camille."""
        return self.people.accounts.named("camille.moreau").id

    def code(self) -> str:
        """The digits that were sent last."""
        texts = [message.text for message in self.people.outbox.latest(5)]
        found = next(filter(None, (re.search(r"\b\d{6}\b", text) for text in texts)))
        return found[0]


@pytest.fixture(scope="module")
def world(mongodb_client: MongoClient[dict[str, Any]]) -> Iterator[World]:
    """Camille, who acts for Lina, and Thomas, on a database of their own, with the outbox of the demonstration."""
    name = f"test_{secrets.token_hex(8)}"
    clock = Clock()
    settings = Settings(mongodb_database=name)
    application.prepare(mongodb_client, settings)
    demo_psc.prepare(mongodb_client[name])
    app = application.create_app(mongodb_client, settings, BASE, clock=clock, demo=True)
    served = Served(app, mongodb_client, name)
    smart, people = app.extensions["smart"], app.extensions["people"]
    people.accounts.passwords = Passwords(PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))
    operator = served.caller()
    ids = {who: operator.create(a_patient()).partition("/")[2] for who in ("camille", "lina", "thomas", "closed")}
    operator.create(
        {
            "resourceType": "Encounter",
            "status": "finished",
            "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP"},
            "type": [{"text": "Séjour en pneumologie"}],
            "subject": {"reference": f"Patient/{ids['lina']}"},
            "period": {"start": "2025-03-11"},
        }
    )
    people.accounts.keep(
        Account(
            "",
            "camille.moreau",
            "Camille Moreau",
            "camille@example.org",
            "0639980103",
            "fr",
            (
                Profile(f"Patient/{ids['camille']}", ids["camille"], "self", "Camille Moreau", "1993-06-21"),
                Profile("RelatedPerson/1", ids["lina"], "legal-representative", "Lina Moreau", "2021-05-09"),
            ),
        ),
        RIGHT,
    )
    for login, state in (("thomas.moreau", "open"), ("closed.moreau", "closed")):
        own = ids[login.partition(".")[0]]
        person = Account(
            "", login, "Thomas", "t@example.org", None, "fr", (Profile(f"Patient/{own}", own, "self", "T"),)
        )
        people.accounts.keep(replace(person, state=state), RIGHT)
    common: dict[str, Any] = {"publisher": "Éditeur", "status": "live", "created_at": clock(), "redirect_uris": (BACK,)}
    scope = "launch/patient launch/encounter openid patient/*.rs"
    smart.kept.clients.keep(Client("app", "Mon appli", kind="public", audience="patient", scope=scope, **common))
    scope = scope.replace("patient/*", "user/*")
    smart.kept.clients.keep(
        Client("software", "Mon logiciel", kind="public", audience="professional", scope=scope, **common)
    )
    yield World(served, clock, smart.kept, people, ids["lina"])
    mongodb_client.drop_database(name)


@pytest.fixture(autouse=True)
def fresh(world: World) -> Iterator[None]:
    """Nobody has failed yet, and it is now."""
    for name in ("_attempts", "_rates", "_one_time_codes", "_outbox", "_sessions", "_devices"):
        world.served.database[name].delete_many({})
    world.clock.later, world.clock.stopped = timedelta(0), None
    yield


@pytest.fixture
def browser(world: World) -> Browser:
    return world.browser()


# --- the whole way ---


def test_from_the_app_to_consent(world: World, browser: Browser) -> None:
    """SMART 2.2: app-launch.html; each answer to a form is a 303 (RFC 9700 s. 4.12)"""
    page = browser.begin()
    assert page.startswith("/sign-in?request=")
    request = parse_qs(urlsplit(page).query)["request"][0]
    assert "Mon appli" in browser.get(page).text
    answer = browser.send(page, login="camille.moreau", password=RIGHT)
    assert (answer.status_code, path_of(answer)) == (303, f"/sign-in/code?request={request}")
    answer = browser.send(path_of(answer), code=world.code())
    assert (answer.status_code, path_of(answer)) == (303, f"/authorize/{request}")
    answer = browser.get(path_of(answer))
    chooser = path_of(answer)
    assert chooser == f"/authorize/{request}/patient"
    assert [radio["value"] for radio in Page(browser.get(chooser).text).named("patient")][1] == world.lina
    answer = browser.send(chooser, patient=world.lina)
    assert (answer.status_code, path_of(answer)) == (303, f"/authorize/{request}")
    assert path_of(browser.get(path_of(answer))) == f"/authorize/{request}/consent"
    kept = world.kept.requests.find(request, world.kept.sessions.find(browser.cookie).id)
    assert (kept.patient, kept.relation, kept.person) == (world.lina, "legal-representative", "RelatedPerson/1")


def test_who_has_one_record_is_not_asked(browser: Browser) -> None:
    answer = browser.get(path_of(browser.sign_in(browser.begin(), "thomas.moreau")))
    assert path_of(answer).endswith("/consent")


def test_who_is_signed_in_is_known(world: World, browser: Browser) -> None:
    """OpenID Connect Core s. 3.1.2.1: prompt, max_age"""
    browser.sign_in()
    world.clock.later = timedelta(seconds=2)
    assert browser.begin().endswith("/patient")
    assert browser.begin(prompt="login").startswith("/sign-in?request=")
    world.clock.later = timedelta(minutes=5)
    assert browser.begin(max_age="60").startswith("/sign-in?request=")
    assert browser.begin(max_age="600").endswith("/patient")


def test_signing_in_again_is_fresh(world: World, browser: Browser) -> None:
    browser.sign_in()
    world.clock.later = BETWEEN
    page = browser.begin(prompt="login")
    assert path_of(browser.get(path_of(browser.sign_in(page)))).endswith("/patient")


def test_no_page_for_who_wants_none(browser: Browser) -> None:
    """OpenID Connect Core s. 3.1.2.6; RFC 9207"""
    answer = browser.get(path_of(browser.get(browser.world.authorize(prompt="none"))))
    assert answer.status_code == 303
    told = parse_qs(urlsplit(answer.headers["Location"]).query)
    assert (told["error"], told["iss"]) == (["login_required"], [BASE])


def test_an_encounter(world: World, browser: Browser) -> None:
    """SMART 2.2: launch/encounter; the visits of the record in context, and no other"""
    page = browser.begin(scope="launch/patient launch/encounter patient/Encounter.rs")
    chooser = path_of(browser.get(path_of(browser.sign_in(page))))
    visits = path_of(browser.get(path_of(browser.send(chooser, patient=world.lina))))
    assert visits.endswith("/encounter")
    shown = browser.get(visits).text
    assert "Séjour en pneumologie" in shown
    assert "11/03/2025" in shown
    choices = [str(radio["value"]) for radio in Page(shown).named("encounter")]
    assert choices[1:] == ["none"]
    assert browser.send(visits).status_code == 422
    assert browser.send(visits, encounter="another").status_code == 400
    answer = browser.get(path_of(browser.send(visits, encounter=choices[0])))
    assert path_of(answer).endswith("/consent")
    request = visits.split("/")[2]
    assert world.kept.requests.find(request, world.kept.sessions.find(browser.cookie).id).encounter == choices[0]


def test_a_page_of_this_server(browser: Browser) -> None:
    answer = browser.get("/account")
    assert (answer.status_code, path_of(answer)) == (303, "/sign-in?page=account")
    assert path_of(browser.sign_in("/sign-in?page=account")) == "/account"
    assert "Camille Moreau" in browser.get("/account").text
    assert path_of(browser.get("/sign-in")) == "/account"


@pytest.mark.parametrize(
    "query",
    [
        "next=https://evil.example/",
        "page=https://evil.example/",
        "page=//evil.example",
        "page=/%5Cevil.example",
        "page=nothing",
        "request=https://evil.example/",
        "request=../../evil",
        "request=%2F%2Fevil.example%2Faaaaaaaaaaaaaaa",
        "request=aaaaaaaaaaaaaaaaaaaaaaaa%0d%0aLocation:evil",
        f"request={'a' * 43}&request={'b' * 43}",
    ],
)
def test_nowhere_else(browser: Browser, query: str) -> None:
    """RFC 9700 s. 4.11: what comes after signing in is of this server, and in a table"""
    shown = browser.get(f"/sign-in?{query}").text
    assert "evil" not in shown
    answer = browser.send(f"/sign-in?{query}", login="camille.moreau", password=RIGHT)
    assert path_of(answer) in ("/sign-in/code",)
    assert path_of(browser.send(path_of(answer), code=browser.world.code())) == "/account"


def test_the_step_that_is_due_cannot_be_left_out(world: World, browser: Browser) -> None:
    page = browser.begin()
    request = parse_qs(urlsplit(page).query)["request"][0]
    for step in ("patient", "encounter"):
        answer = browser.get(f"/authorize/{request}/{step}")
        assert (answer.status_code, path_of(answer)) == (303, f"/authorize/{request}")
        answer = browser.post(f"/authorize/{request}/{step}", {"patient": world.lina, "encounter": "none"})
        assert (answer.status_code, path_of(answer)) == (303, f"/authorize/{request}")
    half = path_of(browser.send(page, login="camille.moreau", password=RIGHT))
    assert path_of(browser.get(f"/authorize/{request}/patient")) == f"/authorize/{request}"
    assert path_of(browser.get(f"/authorize/{request}")) == page
    assert path_of(browser.get("/account")) == "/sign-in?page=account"
    browser.send(half, code=world.code())
    assert path_of(browser.get(f"/authorize/{request}/encounter")) == f"/authorize/{request}"


def test_a_record_of_somebody_else(world: World, browser: Browser) -> None:
    chooser = path_of(browser.get(path_of(browser.sign_in(browser.begin()))))
    assert browser.send(chooser, patient="somebody-else").status_code == 400
    assert browser.send(chooser).status_code == 422


def test_a_request_is_of_one_browser(world: World, browser: Browser) -> None:
    page = browser.begin()
    request = parse_qs(urlsplit(page).query)["request"][0]
    stranger = world.browser()
    answer = stranger.get(f"/authorize/{request}")
    assert answer.status_code == 400
    assert "Demande expirée" in answer.text
    stranger.sign_in()
    assert stranger.get(f"/authorize/{request}/patient").status_code == 400
    assert path_of(browser.get(f"/authorize/{request}")) == page


def test_an_expired_request(world: World, browser: Browser) -> None:
    page = browser.begin()
    world.clock.later = timedelta(minutes=11)
    answer = browser.sign_in(page)
    answer = browser.get(path_of(answer))
    assert (answer.status_code, "Demande expirée" in answer.text) == (400, True)


def test_a_suspended_app(world: World, browser: Browser) -> None:
    page = browser.begin()
    world.kept.clients.suspend("app")
    try:
        answer = browser.get(path_of(browser.sign_in(page)))
        assert (answer.status_code, "Application inconnue" in answer.text) == (400, True)
    finally:
        world.kept.clients.resume("app")


def test_who_an_app_is_for(world: World, browser: Browser) -> None:
    """A patient has nothing to do with the software of professionals, and is told so; which way comes first follows."""
    page = browser.begin()
    shown = browser.get(page).text
    assert shown.index("Je suis patient") < shown.index("Je suis professionnel")
    page = browser.begin(client_id="software", scope="launch/patient user/Patient.rs")
    shown = browser.get(page).text
    assert shown.index("Je suis professionnel") < shown.index("Je suis patient")
    assert "s’adresse aux professionnels" not in shown
    answer = browser.get(path_of(browser.sign_in(page)))
    assert path_of(answer) == page
    assert "s’adresse aux professionnels" in browser.get(page).text


# --- the session ---


def test_every_step_has_a_new_cookie(world: World, browser: Browser) -> None:
    """OWASP ASVS 5.0: 7.2.4; what was set before is dead"""
    seen = []
    page = browser.begin()
    browser.get(page)
    seen.append(browser.cookie)
    answer = browser.send(page, login="camille.moreau", password=RIGHT)
    seen.append(browser.cookie)
    browser.send(path_of(answer), code=world.code())
    seen.append(browser.cookie)
    assert len(set(seen)) == 3
    assert [world.kept.sessions.find(secret) is not None for secret in seen] == [False, False, True]
    attacker = world.browser()
    attacker.client.set_cookie("session", str(seen[0]), domain="fhir.test")
    assert path_of(attacker.get("/account")) == "/sign-in?page=account"


def test_a_cookie_that_somebody_set_is_not_taken_over(world: World, browser: Browser) -> None:
    browser.client.set_cookie("session", "chosen-by-an-attacker", domain="fhir.test")
    browser.get("/sign-in")
    assert browser.cookie != "chosen-by-an-attacker"
    assert world.kept.sessions.find("chosen-by-an-attacker") is None


def test_the_cookie_of_a_server_behind_tls(mongodb_client: MongoClient[dict[str, Any]], world: World) -> None:
    """RFC 6265bis s. 4.1.3.2"""
    settings = Settings(mongodb_database=world.served.name)
    app = application.create_app(mongodb_client, settings, "https://record.example")
    said = app.test_client().get("/sign-in", base_url="https://record.example").headers["Set-Cookie"]
    assert said.startswith("__Host-session=")
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= set(said.split("; "))
    answer = app.test_client().get("/sign-in?lang=en", base_url="http://inside.example")
    chosen = next(each for each in answer.headers.getlist("Set-Cookie") if each.startswith("language="))
    assert "Secure" in chosen.split("; ")  # by the base URL: what is behind the proxy is no TLS


def test_an_idle_session_owes_a_password_again(world: World, browser: Browser) -> None:
    browser.sign_in()
    world.clock.later = IDLE
    assert path_of(browser.get("/account")) == "/sign-in?page=account"


def test_signing_out(world: World, browser: Browser) -> None:
    browser.sign_in()
    before = browser.cookie
    assert browser.post("/sign-out", {}).status_code == 403
    assert browser.get("/account").status_code == 200
    answer = browser.send("/sign-out")
    assert (answer.status_code, path_of(answer)) == (303, "/sign-out")
    assert browser.cookie is None
    assert world.kept.sessions.find(before) is None
    assert "Vous êtes déconnecté" in browser.get("/sign-out").text


def test_the_list_of_sessions(world: World) -> None:
    """OWASP ASVS 5.0: 7.5.2"""
    agents = ("Mozilla/5.0 (Windows NT 10.0) Firefox/128.0", "Mozilla/5.0 (iPhone; CPU) Version/17.0 Safari/604.1", "x")
    browsers = [world.browser() for _ in agents]
    for browser, agent in zip(browsers, agents, strict=True):
        browser.client.environ_base["HTTP_USER_AGENT"] = agent
        browser.sign_in()
        world.clock.later += BETWEEN
    here, phone, _ = browsers
    shown = here.get("/account").text
    assert shown.index("Firefox · Windows") < shown.index("Appareil inconnu") < shown.index("Safari · iPhone")
    session = next(each for each in world.kept.sessions.of(world.camille) if each.device == "Safari · iPhone")
    answer = here.send("/account", session=session.id)
    assert path_of(answer) == "/account?ended"
    assert path_of(phone.get("/account")) == "/sign-in?page=account"
    assert here.send("/account", session="others").status_code == 303
    assert [each.device for each in world.kept.sessions.of(world.camille)] == ["Firefox · Windows"]
    assert here.get("/account").status_code == 200


def test_nobody_elses_session_can_be_ended(world: World, browser: Browser) -> None:
    browser.sign_in()
    other = world.browser()
    other.sign_in(login="thomas.moreau")
    session = world.kept.sessions.find(other.cookie)
    browser.send("/account", session=session.id)
    assert world.kept.sessions.find(other.cookie)


def test_a_new_browser_is_told_of(world: World, browser: Browser) -> None:
    def told() -> int:
        return sum("Nouvelle connexion" in message.subject for message in world.people.outbox.latest())

    before = told()
    browser.sign_in()
    assert told() == before + 1
    browser.send("/sign-out")
    world.clock.later = BETWEEN
    browser.sign_in()
    assert told() == before + 1


# --- forms ---


@pytest.mark.parametrize("path", ["/sign-in", "/sign-in/code", "/sign-in/code/send", "/sign-out", "/account"])
def test_a_form_of_somebody_else(world: World, path: str) -> None:
    """OWASP ASVS 5.0: 3.5.1: no token, another session's, another form's, or from another origin"""
    browser, stranger = world.browser(), world.browser()
    for each in (browser, stranger):
        if path.startswith("/sign-in"):
            each.send("/sign-in", login="camille.moreau", password=RIGHT)
            world.clock.later += BETWEEN
        else:
            each.sign_in()
    session = world.kept.sessions.find(browser.cookie)
    sessions = world.kept.sessions
    right = sessions.form_token(session, path)
    fields = {
        "login": "camille.moreau",
        "password": RIGHT,
        "code": world.code(),
        "channel": "email",
        "session": "others",
    }
    theirs = sessions.form_token(world.kept.sessions.find(stranger.cookie), path)
    for token, headers in (
        ("", HERE),
        (theirs, HERE),
        (sessions.form_token(session, "another"), HERE),
        (right, {"Origin": "https://evil.example"}),
        (right, {"Origin": "null", "Sec-Fetch-Site": "cross-site"}),
        (right, {"Origin": "http://fhir.test.evil.example"}),
    ):
        answer = browser.post(path, {**fields, "form": token}, headers)
        assert answer.status_code == 403, (token, headers)
    assert world.kept.sessions.find(browser.cookie).digest == session.digest
    assert world.kept.sessions.find(stranger.cookie)
    answer = browser.post(path, {**fields, "form": right}, {"Origin": "null", "Sec-Fetch-Site": "same-origin"})
    # The code is the stranger's, and it is early for another one.
    assert answer.status_code in (303, 422, 429)


def test_a_form_that_was_sent_twice_leads_on(world: World, browser: Browser) -> None:
    """WCAG 2.2 s. 3.3.1: a double click, or a second tab: the page of the form that is past leads to what is due"""
    page = browser.begin()
    old = browser.token(page)
    code = path_of(browser.send(page, login="camille.moreau", password=RIGHT))
    late = browser.post(page, {"form": old, "login": "camille.moreau", "password": RIGHT})
    assert late.status_code == 403
    assert Page(browser.get(onward_of(late)).text).named("code")
    past = browser.token(code)
    browser.send(code, code=world.code())
    late = browser.post(code, {"form": past, "code": "123456"})
    request = path_of(browser.get(onward_of(late)))
    assert request == f"/authorize/{parse_qs(urlsplit(page).query)['request'][0]}"
    chooser = path_of(browser.get(request))
    late = browser.post(chooser, {"form": past, "patient": world.lina})
    assert (late.status_code, onward_of(late)) == (403, request)


def test_the_form_of_a_chooser(world: World, browser: Browser) -> None:
    chooser = path_of(browser.get(path_of(browser.sign_in(browser.begin()))))
    world.clock.later = BETWEEN
    other = path_of(browser.get(path_of(browser.sign_in(browser.begin(prompt="login")))))
    for token in ("", browser.token(other)):
        assert browser.post(chooser, {"form": token, "patient": world.lina}).status_code == 403
    evil = {"Origin": "https://evil.example"}
    answer = browser.post(chooser, {"form": browser.token(chooser), "patient": world.lina}, evil)
    assert answer.status_code == 403
    session = world.kept.sessions.find(browser.cookie)
    assert world.kept.requests.find(chooser.split("/")[2], session.id).patient is None


# --- guesses ---


def test_every_refusal_looks_the_same(world: World) -> None:
    """OWASP ASVS 5.0: 6.3.8: unknown, wrong, closed: one page, one status"""

    def refused(login: str, password: str) -> tuple[int, str, dict[str, str]]:
        answer = world.browser().send("/sign-in", login=login, password=password)
        text = re.sub(r'value="[0-9a-f]{64}"', "", answer.text).replace(login, "LOGIN")
        headers = {
            name: value for name, value in answer.headers.items() if name not in ("Set-Cookie", "Content-Length")
        }
        return answer.status_code, text, headers

    wrong = refused("camille.moreau", "wrong")
    assert wrong[0] == 422
    assert refused("nobody.at.all", RIGHT) == wrong
    assert refused("closed.moreau", RIGHT) == wrong


def test_a_stranger_waits_and_the_holder_does_not(world: World) -> None:
    world.clock.stopped = application.now()
    holder, stranger = world.browser(), world.browser()
    holder.sign_in()
    holder.send("/sign-out")
    for _ in range(FREE + 1):
        assert stranger.send("/sign-in", login="camille.moreau", password="wrong").status_code == 422
    answer = stranger.send("/sign-in", login="camille.moreau", password=RIGHT)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "2")
    assert "Réessayez dans 2 secondes" in answer.text
    world.clock.later = BETWEEN
    for _ in range(3):
        stranger.send("/sign-in", login="camille.moreau", password="wrong")
    assert stranger.send("/sign-in", login="camille.moreau", password=RIGHT).status_code == 429
    assert holder.send("/sign-in", login="camille.moreau", password=RIGHT).status_code == 303


@pytest.mark.parametrize("path", ["/sign-in", f"/authorize/{'x' * 43}", "/sign-in/psc"])
def test_nobody_begins_sessions_without_end(world: World, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """OWASP ASVS 5.0: 2.4.1: what is kept for nobody is bounded, by address; who has a session is not counted"""
    monkeypatch.setattr("fhir_server.smart.sessions.STARTED", Rate(secrets.token_hex(4), 3, timedelta(minutes=1)))
    before = world.served.database["_sessions"].count_documents({})
    browsers = [world.browser() for _ in range(5)]
    answers = [browser.get(path) for browser in browsers]
    assert [answer.status_code for answer in answers[3:]] == [429, 429]
    assert answers[3].headers["Retry-After"]
    assert "Trop de demandes" in answers[3].text
    assert world.served.database["_sessions"].count_documents({}) == before + 3
    if browsers[0].cookie:
        assert browsers[0].get(path).status_code != 429


def test_guesses_at_logins_without_end_are_not_kept(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """OWASP ASVS 5.0: 2.4.1, 6.3.1: an address that may not try any more leaves nothing behind"""
    monkeypatch.setattr("fhir_server.accounts.accounts.BY_ADDRESS", Rate("guessing", 3, timedelta(minutes=1)))
    stranger = world.browser()
    for number in range(6):
        answer = stranger.send("/sign-in", login=f"login.{number}", password="wrong")
        assert answer.status_code == (422 if number < 3 else 429)
    assert world.served.database["_attempts"].count_documents({}) == 3


def test_parallel_guesses_at_a_code(world: World, browser: Browser) -> None:
    """Fifty at once: at most five are compared, and the right one after them is wrong"""
    page = path_of(browser.send("/sign-in", login="camille.moreau", password=RIGHT))
    token, right, cookie = browser.token(page), world.code(), str(browser.cookie)
    wrong = [f"{number:06d}" for number in range(51) if f"{number:06d}" != right][:50]

    def guess(digits: str) -> int:
        client = world.browser()
        client.client.set_cookie("session", cookie, domain="fhir.test")
        return client.post(page, {"form": token, "code": digits}).status_code

    with ThreadPoolExecutor(10) as threads:
        assert set(threads.map(guess, wrong)) == {422}
    session = world.kept.sessions.find(cookie)
    kept = world.served.database["_one_time_codes"].find_one({"_id": f"{session.id}|sign-in"})
    assert kept["attempts"] == GUESSES
    answer = browser.post(page, {"form": token, "code": right})
    assert answer.status_code == 422
    assert "Ce code ne peut plus servir" in answer.text
    assert path_of(browser.get("/account")) == "/sign-in?page=account"


def test_a_code_is_of_the_session_it_was_sent_for(world: World) -> None:
    """A code that somebody else was sent, for the same account"""
    one, other = world.browser(), world.browser()
    pages = []
    for each in (one, other):
        pages.append(path_of(each.send("/sign-in", login="camille.moreau", password=RIGHT)))
    of_other = world.code()
    answer = one.send(pages[0], code=of_other)
    assert answer.status_code == 422
    assert "Il vous reste 4 essais" in answer.text
    assert other.send(pages[1], code=of_other).status_code == 303
    assert other.get("/account").status_code == 200


def test_another_code(world: World, browser: Browser) -> None:
    page = path_of(browser.send("/sign-in", login="camille.moreau", password=RIGHT))
    before = world.code()
    token = browser.token(page, 1)
    answer = browser.post("/sign-in/code/send", {"form": token, "channel": "sms"})
    assert answer.status_code == 429
    assert 0 < int(answer.headers["Retry-After"]) <= BETWEEN.total_seconds()
    answer = browser.get("/sign-in/code/send?lang=en")
    assert (answer.status_code, path_of(answer)) == (303, "/sign-in/code?lang=en")
    world.clock.later = BETWEEN
    assert browser.post("/sign-in/code/send", {"form": token, "channel": "pigeon"}).status_code == 422
    answer = browser.post("/sign-in/code/send", {"form": token, "channel": "sms"})
    assert (answer.status_code, path_of(answer)) == (303, "/sign-in/code")
    assert "06 •• •• •• 03" in browser.get(page).text
    if world.code() != before:
        assert browser.send(page, code=before).status_code == 422
    assert browser.send(page, code=world.code()).status_code == 303
    assert world.kept.sessions.find(browser.cookie).amr == ("pwd", "otp", "sms", "mfa")


def test_a_code_is_worth_nothing_without_the_password(world: World, browser: Browser) -> None:
    browser.get("/sign-in")
    assert path_of(browser.get("/sign-in/code")) == "/sign-in"
    assert browser.post("/sign-in/code", {"code": "123456", "form": "x"}).status_code == 403


def test_too_many_codes(world: World) -> None:
    for _ in range(codes.BY_ACCOUNT.amount):
        world.browser().send("/sign-in", login="camille.moreau", password=RIGHT)
    late = world.browser()
    page = path_of(late.send("/sign-in", login="camille.moreau", password=RIGHT))
    assert "Aucun code n’a été envoyé" in late.get(page).text
    answer = late.post("/sign-in/code/send", {"form": late.token(page, 1), "channel": "email"})
    assert answer.status_code == 429
    assert "Trop de codes" in answer.text


def test_an_account_that_is_closed_meanwhile(world: World, browser: Browser) -> None:
    page = path_of(browser.send("/sign-in", login="thomas.moreau", password=RIGHT))
    right, token = world.code(), browser.token(page)
    account = world.people.accounts.named("thomas.moreau")
    world.people.accounts.keep(replace(account, state="closed"))
    try:
        assert browser.post(page, {"form": token, "code": right}).status_code == 403
        assert path_of(browser.get(page)) == "/sign-in"
    finally:
        world.people.accounts.keep(account)


def test_a_server_that_sends_nothing_says_so(mongodb_client: MongoClient[dict[str, Any]], world: World) -> None:
    app = application.create_app(mongodb_client, Settings(mongodb_database=world.served.name), BASE)
    browser = Browser(app.test_client(), world)
    answer = browser.send("/sign-in", login="camille.moreau", password=RIGHT)
    assert answer.status_code == 503
    assert "n’est pas encore relié" in answer.text
    assert app.test_client().get("/demo/outbox", base_url=BASE).status_code == 404


# --- what pages show ---


@pytest.mark.parametrize("payload", MARKUP)
def test_what_others_wrote_is_text(world: World, payload: str) -> None:
    """OWASP ASVS 5.0: 1.2.1: names of apps and people, logins, hints, states: the page has the same elements"""

    def shapes(name: str) -> list[Any]:
        clients, accounts = world.kept.clients, world.people.accounts
        app = clients.find("app")
        camille = accounts.named("camille.moreau")
        changed = replace(camille.profiles[1], display=name)
        clients.keep(replace(app, client_id="named", name=name, publisher=name))
        accounts.keep(replace(camille, name=name, profiles=(camille.profiles[0], changed)))
        try:
            browser = world.browser()
            page = browser.begin(client_id="named", login_hint=name, state=f"{name} and sixteen more")
            found = [browser.get(page), browser.send(page, login=name, password=name)]
            chooser = path_of(browser.get(path_of(browser.sign_in(page))))
            found += [browser.get(chooser), browser.get("/account"), browser.get("/sign-out")]
            found += [browser.get(f"/authorize/{'a' * 43}?error_description={name}"), browser.get("/demo/outbox")]
        finally:
            accounts.keep(camille)
        assert all("evil" not in answer.text for answer in found)
        for kept in ("_outbox", "_sessions"):
            world.served.database[kept].delete_many({})
        world.clock.later += BETWEEN
        return [Page(answer.text).shape for answer in found]

    assert shapes(payload) == shapes("Une autre")


def test_an_error_says_nothing_that_was_sent(world: World, browser: Browser) -> None:
    for asked in ({"client_id": "evil-client"}, {"redirect_uri": "https://evil.example/"}):
        answer = browser.get(world.authorize(**asked))
        assert answer.status_code == 400
        assert "evil" not in answer.text


@pytest.mark.parametrize(
    "path", ["/sign-in", "/sign-in/code", "/sign-out", "/account", "/authorize/x", "/demo/outbox", "/oauth/authorize"]
)
def test_nobody_frames_or_keeps_a_page(world: World, browser: Browser, path: str) -> None:
    """RFC 9700 s. 4.16 (clickjacking); W3C CSP 3; RFC 9111 s. 5.2.2.5"""
    if path == "/sign-in/code":
        browser.send("/sign-in", login="camille.moreau", password=RIGHT)
    if path == "/account":
        browser.sign_in()
    answer = browser.get(path)
    assert answer.status_code in (200, 400)
    rules = answer.headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in rules
    assert "unsafe" not in rules
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert not re.search(
        r"<script(?! type=\"module\" src| src)|<style|\bstyle=|\bon\w+=|(src|href)=\"(https?:)?//", answer.text
    )


def test_a_form_may_lead_back_to_the_app(browser: Browser) -> None:
    """W3C CSP 3: form-action holds for the redirects after a form too"""
    page = browser.begin()
    assert "form-action 'self' https://app.example;" in browser.get(page).headers["Content-Security-Policy"]
    assert "form-action 'self';" in browser.get("/sign-in").headers["Content-Security-Policy"]


def test_the_language_goes_along(browser: Browser) -> None:
    """WCAG 2.2 s. 3.1.1"""
    page = browser.begin()
    links = [
        attributes["href"] for tag, attributes in Page(browser.get(page).text).elements if "hreflang" in attributes
    ]
    english = next(str(link) for link in links if link and link.endswith("lang=en"))
    assert parse_qs(urlsplit(page).query)["request"][0] in english
    assert '<html lang="en">' in browser.get(f"/sign-in{english}").text
    answer = browser.send(page, login="camille.moreau", password="wrong")
    assert "is not right" in answer.text


def test_what_is_recorded(world: World, browser: Browser) -> None:
    """IHE BALP: sign-ins, refusals and sign-outs are in the record of accesses; what was typed is not"""
    follow(world.served.client, world.served.name)
    events = world.served.database["AuditEvent"]
    before = {each["_id"] for each in events.find({}, {"_id": 1})}
    browser.send("/sign-in", login="typed.by.mistake", password="Secret-of-Camille")
    browser.sign_in()
    browser.send("/sign-out")
    follow(world.served.client, world.served.name)
    new = [each for each in events.find().sort("_id", 1) if each["_id"] not in before]
    said = b" ".join(each["body"] for each in new)
    assert len(new) == 3
    assert b"Camille Moreau" in said
    assert b"typed.by.mistake" not in said
    assert b"Secret" not in said
