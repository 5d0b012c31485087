"""The pages that professionals sign in at: there, back, in which capacity, the notice, and out again.

OpenID Connect Core s. 3.1.2; OWASP ASVS 5.0: V7.2 (a new session token at each step)
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from pymongo import MongoClient
from werkzeug.test import TestResponse

from fhir_server.accounts.rates import Rate
from fhir_server.config import ConfigError, Settings
from fhir_server.smart import psc
from fhir_server.smart.provider import provider_of
from tests.calls import follow
from tests.launches import ISSUER
from tests.professionals import PEOPLE, SOFTWARE, Browser, Practice, practising


@pytest.fixture(scope="module")
def practice(mongodb_client: MongoClient[dict[str, Any]]) -> Iterator[Practice]:
    name = f"test_{secrets.token_hex(8)}"
    with practising(mongodb_client, name) as made:
        made.knows("helene.lemoine")
        yield made
    mongodb_client.drop_database(name)


@pytest.fixture
def browser(practice: Practice) -> Iterator[Browser]:
    """A browser in front of Dr Hélène Lemoine, who has never acknowledged the notice."""
    practice.at.database["_notices"].delete_many({})
    practice.provider.person = {**PEOPLE["helene.lemoine"].claims, "authMode": "CARD"}
    practice.provider.claims = {}
    yield practice.browser()
    practice.at.clock.ahead = timedelta()


def events(practice: Practice) -> list[dict[str, Any]]:
    """The AuditEvents so far."""
    follow(practice.at.database.client, practice.at.database.name)
    return [json.loads(kept["body"]) for kept in practice.at.database["AuditEvent"].find({}, {"body": 1})]


def two_places() -> dict[str, Any]:
    """The claims of somebody who works at two places."""
    claims = json.loads(json.dumps(PEOPLE["helene.lemoine"].claims))
    activities = claims["SubjectRefPro"]["exercices"][0]["activities"]
    activities.append({"numeroFinessSite": "370099001", "raisonSocialeSite": "Centre <b>hospitalier</b>"})
    return claims


def test_signed_in(practice: Practice, browser: Browser) -> None:
    answer = browser.sign_in()
    assert answer.headers["Location"] == "/account"
    assert answer.headers["Cache-Control"] == "no-store"
    session = browser.session
    assert session and session.subject
    assert (session.subject.kind, session.subject.practitioner) == ("professional", "helene.lemoine")
    assert session.subject.organization == "Organization/370099027"
    assert (session.acr, session.amr) == ("eidas1", ("sc", "pin", "mfa"))
    assert "810199000017" not in str(practice.at.database["_sessions"].find_one({"_id": session.id}))


def test_one_address_begins_only_so_many(practice: Practice, browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    """smart-app-launch: each sign-in that is begun is kept for minutes, and anybody may begin one"""
    monkeypatch.setattr("fhir_server.web.psc.BEGUN", Rate("psc-pages", 2, timedelta(minutes=1)))
    answers = [browser.get("/sign-in/psc") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [303, 303, 429]
    assert answers[-1].headers["Content-Type"].startswith("text/html")


def test_a_new_cookie_at_each_step(practice: Practice, browser: Browser) -> None:
    """Session fixation: what the cookie held before opens nothing afterwards"""
    url = browser.go()
    before = browser.secret
    browser.come_back(url)
    between = browser.secret
    assert browser.session and browser.session.subject is None
    page = browser.get("/sign-in/psc/capacity")
    browser.send("/sign-in/psc/capacity", page, notice="read")
    after = browser.secret
    assert len({before, between, after}) == 3
    assert practice.at.kept.sessions.find(before) is None
    assert practice.at.kept.sessions.find(between) is None
    assert browser.session and browser.session.subject


def test_who_was_signed_in_is_not_while_the_next_is_asked(practice: Practice, browser: Browser) -> None:
    browser.sign_in()
    practice.at.database["_notices"].delete_many({})
    browser.come_back(browser.go())
    assert browser.session and browser.session.subject is None


def test_a_callback_of_another_browser(practice: Practice, browser: Browser) -> None:
    """Login CSRF: an address with a good answer signs nobody in elsewhere, with a session or without"""
    answer = practice.provider.authorize(browser.go())
    address = f"/psc/callback?code={answer['code']}&state={answer['state']}"
    other, nobody = practice.browser(), practice.browser()
    other.go()
    for stranger in (other, nobody):
        refused = stranger.get(address)
        assert refused.status_code == 400
        assert stranger.session is None or stranger.session.subject is None
    assert browser.get(address).status_code == 303


def test_a_callback_again(practice: Practice, browser: Browser) -> None:
    answer = practice.provider.authorize(browser.go())
    address = f"/psc/callback?code={answer['code']}&state={answer['state']}"
    assert browser.get(address).status_code == 303
    assert browser.get(address).status_code == 400


def test_a_repeated_parameter_counts_for_nothing(practice: Practice, browser: Browser) -> None:
    """RFC 6749 s. 3.1"""
    answer = practice.provider.authorize(browser.go())
    state = answer["state"]
    assert browser.get(f"/psc/callback?code={answer['code']}&state={state}&state={state}").status_code == 400


@pytest.mark.parametrize("payload", ['"><script>alert(1)</script>', "'onload=x", "<b>"])
def test_nothing_of_an_address_comes_back(browser: Browser, payload: str) -> None:
    browser.go()
    for name in ("error", "error_description", "state", "code", "iss"):
        assert payload not in browser.client.get("/psc/callback", query_string={name: payload}).text


def test_the_notice_is_asked_for_at_first_and_every_180_days(practice: Practice, browser: Browser) -> None:
    """FAQ des industriels: DMP/CONF.11"""
    assert browser.come_back(browser.go()).headers["Location"] == "/sign-in/psc/capacity"
    page = browser.get("/sign-in/psc/capacity")
    assert "RPPS" in page.text
    missing = browser.send("/sign-in/psc/capacity", page)
    assert missing.status_code == 422
    assert 'href="#notice"' in missing.text
    assert browser.send("/sign-in/psc/capacity", missing, notice="read").status_code == 303
    assert practice.browser().sign_in().headers["Location"] == "/account"

    again = practice.browser()
    assert again.come_back(again.go()).headers["Location"] == "/account"
    practice.at.clock.ahead = timedelta(days=181)
    later = practice.browser()
    assert later.come_back(later.go()).headers["Location"] == "/sign-in/psc/capacity"


def test_in_which_capacity(practice: Practice, browser: Browser) -> None:
    practice.provider.person = two_places()
    browser.come_back(browser.go())
    page = browser.get("/sign-in/psc/capacity")
    assert "Centre &lt;b&gt;hospitalier" in page.text
    for wrong in ({}, {"activity": "2"}, {"activity": "-1"}, {"activity": "x"}):
        refused = browser.send("/sign-in/psc/capacity", page, notice="read", **wrong)
        assert refused.status_code == 422
    assert browser.session and browser.session.subject is None
    assert browser.send("/sign-in/psc/capacity", page, notice="read", activity="1").status_code == 303
    assert browser.session and browser.session.subject
    assert browser.session.subject.organization is None  # the directory does not have that place


def test_the_capacity_is_chosen_once_by_who_came_back(practice: Practice, browser: Browser) -> None:
    browser.come_back(browser.go())
    page = browser.get("/sign-in/psc/capacity")
    assert browser.send("/sign-in/psc/capacity", None, notice="read").status_code == 403
    assert practice.browser().send("/sign-in/psc/capacity", page, notice="read").status_code == 400
    elsewhere = browser.client.post(
        "/sign-in/psc/capacity",
        data={"form": page.text.split('name="form" value="')[1].split('"')[0], "notice": "read"},
        headers={"Origin": "https://elsewhere.example"},
        base_url=f"{ISSUER}/",
    )
    assert elsewhere.status_code == 403
    assert browser.send("/sign-in/psc/capacity", page, notice="read").status_code == 303
    assert browser.send("/sign-in/psc/capacity", page, notice="read").status_code == 400


def test_it_does_not_wait_for_ever(practice: Practice, browser: Browser) -> None:
    browser.come_back(browser.go())
    page = browser.get("/sign-in/psc/capacity")
    practice.at.clock.ahead = psc.PATIENCE
    assert browser.send("/sign-in/psc/capacity", page, notice="read").status_code == 400


@pytest.mark.parametrize("login", ["karim.benali"])
def test_who_the_directory_does_not_know(practice: Practice, browser: Browser, login: str) -> None:
    """Nobody is made, and nobody is found by a name"""
    practice.provider.person = dict(PEOPLE[login].claims)
    before = practice.at.database["Practitioner"].count_documents({})
    refused = browser.come_back(browser.go())
    assert refused.status_code == 403
    assert "identifiant national" in refused.text
    assert browser.session and browser.session.subject is None
    assert browser.get("/sign-in/psc/capacity").status_code == 400
    assert practice.at.database["Practitioner"].count_documents({}) == before
    assert practice.at.database["_psc_sessions"].find_one({"_id": browser.session.id}) is None


def test_too_low_a_level(practice: Practice, browser: Browser) -> None:
    practice.provider.claims = {"acr": "eidas0"}
    assert browser.come_back(browser.go()).status_code == 403


def test_it_is_recorded_who_came_in_and_who_did_not(practice: Practice, browser: Browser) -> None:
    """R4: auditevent.html; with the level and the means"""
    before = len(events(practice))
    browser.sign_in()
    practice.provider.claims = {"nonce": "another"}
    other = practice.browser()
    other.come_back(other.go())
    came, not_came = events(practice)[before:]
    assert came["agent"][0]["who"]["reference"] == "Practitioner/helene.lemoine"
    assert came["subtype"][0]["code"] == "110122"
    assert "eidas1 sc pin mfa" in came["outcomeDesc"]
    assert not_came["outcome"] == "4"
    assert "untrusted" in not_came["outcomeDesc"]


@pytest.mark.parametrize(
    ("query", "where"),
    [
        ("", "/account"),
        ("?page=account", "/account"),
        ("?page=apps", "/apps"),
        ("?page=https://elsewhere.example", "/account"),
        ("?next=https://elsewhere.example", "/account"),
        ("?request=//elsewhere.example", "/account"),
        ("?request=" + "a" * 43, "/authorize/" + "a" * 43),
    ],
)
def test_where_it_leads(browser: Browser, query: str, where: str) -> None:
    """Open redirect: a page of a table, or a request by its name"""
    assert browser.sign_in(query).headers["Location"] == where


def test_for_an_app(practice: Practice, browser: Browser) -> None:
    """The patient is asked for next"""
    software = practice.at.register(audience="professional", scope=SOFTWARE)
    name = practice.at.launch(software).begin().headers["Location"].rpartition("/")[2]
    assert browser.get(f"/authorize/{name}").headers["Location"] == f"/sign-in?request={name}"
    page_of_capacity = browser.come_back(browser.go(f"?request={name}"))
    assert page_of_capacity.status_code == 303
    page = browser.get("/sign-in/psc/capacity")
    # A browser holds the redirects after a form to this directive, too.
    assert "form-action 'self' https://app.example" in page.headers["Content-Security-Policy"]
    after = browser.send("/sign-in/psc/capacity", page, notice="read").headers["Location"]
    assert browser.get(after).headers["Location"] == f"/authorize/{name}/patient"


@pytest.mark.parametrize(
    ("given", "fresh"),
    [
        ({}, False),
        ({"prompt": "login"}, True),
        ({"max_age": "60"}, True),
        ({"scope": f"{SOFTWARE} __bris_de_glace"}, True),
    ],
)
def test_when_it_has_to_be_anew(practice: Practice, browser: Browser, given: dict[str, str], fresh: bool) -> None:
    """OpenID Connect Core s. 3.1.2.1; an emergency access takes a fresh authentication"""
    software = practice.at.register(audience="professional", scope=f"{SOFTWARE} __bris_de_glace")
    begun: TestResponse = practice.at.launch(software, **{"scope": SOFTWARE, **given}).begin()
    name = begun.headers["Location"].rpartition("/")[2]
    browser.get(f"/authorize/{name}")
    assert ("prompt=login" in browser.go(f"?request={name}")) is fresh
    browser.sign_in()
    assert "prompt=login" in browser.go()


def test_signed_out_at_the_provider_too(practice: Practice, browser: Browser) -> None:
    """RP-Initiated Logout s. 2"""
    browser.sign_in()
    page = browser.get("/sign-out")
    assert practice.provider.issuer in page.headers["Content-Security-Policy"]
    there = browser.send("/sign-out", page).headers["Location"]
    assert there.startswith(f"{practice.provider.issuer}/logout?id_token_hint=")
    assert "post_logout_redirect_uri=http%3A%2F%2Ffhir.test%2Fsign-out" in there
    assert browser.session is None


def test_a_server_without_a_provider(served: Any) -> None:
    """A page says so; nobody is let in"""
    assert served.app.test_client().get("/sign-in/psc").status_code == 503
    assert served.app.test_client().get("/psc/callback?code=x&state=y").status_code == 400


@pytest.mark.parametrize("given", [("psc_issuer",), ("psc_issuer", "psc_client_id"), ("psc_client_secret",)])
def test_half_a_provider_stops_the_start(given: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="go together"):
        provider_of(Settings(**dict.fromkeys(given, "https://psc.example")))


def test_the_secret_is_not_in_what_is_printed() -> None:
    settings = Settings(psc_issuer="https://psc.example", psc_client_id="me", psc_client_secret="hush")
    assert "hush" not in repr(settings)
    assert "hush" not in repr(provider_of(settings))
