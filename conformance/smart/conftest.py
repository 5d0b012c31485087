"""The apps, the browser and the settings of the SMART checklist: any SMART on FHIR server, reached by its URL alone.

Nothing here knows how a server is made, but the login script named in the settings, which fills in its forms.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
import os
import secrets
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

import pytest
import requests
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey

ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
TIMEOUT = 30


def pytest_addoption(parser):
    group = parser.getgroup("smart", "the SMART server under test")
    group.addoption(
        "--smart",
        default=os.environ.get("SMART_SETTINGS"),
        help="file that says where the server is and who the clients are; default $SMART_SETTINGS",
    )


# --- the settings ----------------------------------------------------------------------------------------------------


class Suite:
    """The settings file, and what the server says of itself."""

    def __init__(self, path: Path):
        self._folder = path.parent
        self.settings: dict[str, Any] = json.loads(path.read_text("utf-8"))
        self.base: str = self.settings["base"].rstrip("/")
        self.http = _session()
        answer = self.http.get(f"{self.base}/.well-known/smart-configuration", timeout=TIMEOUT)
        answer.raise_for_status()
        self.configuration: dict[str, Any] = answer.json()
        self.login: ModuleType = _module(self.file(self.settings["login"]))
        self._browsers: dict[str, Browser] = {}

    def file(self, name: str) -> Path:
        """A file that the settings name, relative to them."""
        return self._folder / name

    def endpoint(self, name: str) -> str:
        """`authorization`, `token`, …: skips where the server has none."""
        url = self.configuration.get(f"{name}_endpoint")
        if not url:
            pytest.skip(f"the server has no {name}_endpoint")
        return url

    def offers(self, *capabilities: str) -> None:
        """Skips unless the server has these SMART capabilities."""
        lacking = set(capabilities) - set(self.configuration["capabilities"])
        if lacking:
            pytest.skip(f"not among the capabilities: {', '.join(sorted(lacking))}")

    def browser(self, who: str) -> Browser:
        """The browser of this person: one for the whole run, signed in at the first need."""
        return self._browsers.setdefault(who, Browser())

    def app(self, name: str) -> App:
        """One of the clients of the settings; skips where there is none."""
        if name not in self.settings["clients"]:
            pytest.skip(f"the settings have no client `{name}`")
        return App(self, **self.settings["clients"][name])


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("smart_login", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _session() -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    return session


# --- a browser without scripts ---------------------------------------------------------------------------------------


@dataclass
class Field:
    """A field of a form, as a person sees it."""

    name: str
    value: str
    type: str
    autocomplete: str = ""
    checked: bool = False
    options: list[str] = field(default_factory=list)


@dataclass
class Form:
    """A form with its fields, and its buttons as (name, value, text)."""

    action: str
    method: str
    fields: list[Field] = field(default_factory=list)
    buttons: list[tuple[str, str, str]] = field(default_factory=list)


class _Reader(HTMLParser):
    def __init__(self, url: str):
        super().__init__()
        self._url = url
        self._button: tuple[str, str] | None = None
        self._loose: dict[str, Form] = {}
        self.forms: list[Form] = []
        self.text = ""
        self.links: list[str] = []

    def handle_starttag(self, tag, attrs):
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(Form(urljoin(self._url, given.get("action", "")), given.get("method", "get").lower()))
        elif tag == "a" and "href" in given:
            self.links.append(urljoin(self._url, given["href"]))
        elif not self.forms:
            return
        elif tag == "input" and given.get("type") != "submit":
            self.forms[-1].fields.append(
                Field(
                    given.get("name", ""),
                    given.get("value", "on" if given.get("type") == "checkbox" else ""),
                    given.get("type", "text"),
                    given.get("autocomplete", ""),
                    "checked" in given,
                )
            )
        elif tag == "select":
            self.forms[-1].fields.append(Field(given.get("name", ""), "", "select"))
        elif tag == "textarea":
            self.forms[-1].fields.append(Field(given.get("name", ""), "", "textarea"))
        elif tag == "option":
            menu = self.forms[-1].fields[-1]
            menu.options.append(given.get("value", ""))
            if len(menu.options) == 1 or "selected" in given:
                menu.value = given.get("value", "")
        elif tag == "button" and given.get("type", "submit") == "submit":
            self._button = (given.get("name", ""), given.get("value", ""))
            self.forms[-1].buttons.append((*self._button, ""))

    def handle_data(self, data):
        self.text += data
        if self._button and self.forms:
            name, value, text = self.forms[-1].buttons[-1]
            self.forms[-1].buttons[-1] = (name, value, f"{text}{data}".strip())

    def handle_endtag(self, tag):
        if tag == "button":
            self._button = None


@dataclass
class Page:
    """Where a browser has come to: a page of the server, or the address of somebody else (`left`), not fetched."""

    url: str
    status: int
    forms: list[Form]
    text: str
    links: list[str]
    left: str | None = None


class Browser:
    """What a person without scripts does: follows redirects, keeps cookies, fills in forms.  It goes to one server."""

    def __init__(self) -> None:
        self.http = _session()
        self.http.headers["Accept"] = "text/html"
        self.http.headers["Accept-Language"] = "en"

    def open(self, url: str, data: dict[str, Any] | list[tuple[str, str]] | None = None, referer: str = "") -> Page:
        """The page behind an address, or behind a form that is sent there."""
        home = urlsplit(url)[:2]
        headers = {"Origin": "://".join(urlsplit(referer)[:2])} if referer else {}
        method = "GET" if data is None else "POST"
        for _ in range(20):
            answer = self.http.request(method, url, data=data, headers=headers, allow_redirects=False, timeout=TIMEOUT)
            if answer.status_code not in (301, 302, 303, 307, 308):
                reader = _Reader(url)
                reader.feed(answer.text)
                return Page(url, answer.status_code, reader.forms, reader.text, reader.links)
            assert answer.status_code != 307 or data is None, "RFC 9700 s. 4.12: credentials are not sent on by 307"
            url, method, data, headers = urljoin(url, answer.headers["Location"]), "GET", None, {}
            if urlsplit(url)[:2] != home:
                return Page(url, answer.status_code, [], "", [], left=url)
        raise AssertionError(f"the redirects go round in a circle at {url}")

    def submit(self, page: Page, form: Form, values: dict[str, Any] | None = None, button: str | None = None) -> Page:
        """
        The page behind a form, its fields as they are but for `values`: of a checkbox, whether it is ticked.

        button: the value or the text of the button that is pressed; else the first.
        """
        values = values or {}
        sent: list[tuple[str, str]] = []
        for one in form.fields:
            given = values.get(one.name)
            if one.type == "checkbox":
                ticked = given(one) if callable(given) else one.checked if given is None else given
                sent += [(one.name, one.value)] if ticked else []
            elif one.type == "radio":
                chosen = one.checked if given is None else given == one.value
                sent += [(one.name, one.value)] if chosen else []
            elif one.name:
                sent.append((one.name, one.value if given is None else given))
        pressed = next((b for b in form.buttons if button is None or button in b[1:]), None)
        if pressed and pressed[0]:
            sent.append(pressed[:2])
        if form.method == "get":
            return self.open(f"{form.action}?{urlencode(sent)}")
        return self.open(form.action, sent, referer=page.url)


# --- an app ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Decision:
    """
    What the person decides: whose record, whether to allow, and which resource types to leave out.

    by_category: of Observation and Condition, each category that is offered, and not the rest.
    """

    patient: str | None = None
    refuse: bool = False
    without: frozenset[str] = frozenset()
    by_category: bool = False


@dataclass(frozen=True)
class Arrival:
    """What came to the redirect URI, and what the app kept of the request."""

    parameters: dict[str, str]
    state: str
    verifier: str
    nonce: str

    @property
    def code(self) -> str:
        """The code; the app was not refused."""
        assert "error" not in self.parameters, self.parameters
        return self.parameters["code"]


class App:
    """A SMART app of one of the three kinds, that does as it is told, be it right or wrong."""

    def __init__(self, suite: Suite, **settings: Any):
        self.suite = suite
        self.client_id: str = settings["client_id"]
        self.redirect_uri: str = settings.get("redirect_uri", "")
        self.scope: str = settings.get("scope", "")
        self.origin: str | None = settings.get("origin")
        self.secret: str | None = settings.get("secret")
        self.who: str = settings.get("who", "patient")
        self.patient: str | None = settings.get("patient")
        self.key: Any = None
        if "key" in settings:
            given = json.loads(suite.file(settings["key"]).read_text("utf-8"))
            self.key = (RSAKey if given["kty"] == "RSA" else ECKey).import_key(given)
            self.algorithm = "RS384" if given["kty"] == "RSA" else "ES384"

    # -- authorization ------------------------------------------------------------------------------------------

    def request(self, **changes: Any) -> tuple[dict[str, str], str]:
        """The parameters of an authorization request, changed by name (None leaves one out), and the code verifier."""
        verifier = secrets.token_urlsafe(48)
        parameters: dict[str, Any] = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": self.redirect_uri,
            "scope": self.scope,
            "state": str(uuid.uuid4()),
            "nonce": secrets.token_urlsafe(16),
            "aud": self.suite.base,
            "code_challenge": challenge(verifier),
            "code_challenge_method": "S256",
        }
        return {name: value for name, value in {**parameters, **changes}.items() if value is not None}, verifier

    def ask(self, **changes: Any) -> requests.Response:
        """The first answer to an authorization request, of nobody who is signed in; redirects are not followed."""
        parameters, _ = self.request(**changes)
        url = self.suite.endpoint("authorization")
        return _session().get(url, params=parameters, allow_redirects=False, timeout=TIMEOUT)

    def error(self, **changes: Any) -> dict[str, str]:
        """The error that such a request, of nobody who is signed in, brings to the redirect URI."""
        parameters, _ = self.request(**changes)
        page = Browser().open(f"{self.suite.endpoint('authorization')}?{urlencode(parameters)}")
        assert page.left and page.left.startswith(self.redirect_uri), f"{page.url}: {page.status} {page.text[:500]}"
        return query(page.left)

    def authorize(self, decision: Decision | None = None, *, post: bool = False, **changes: Any) -> Arrival:
        """What comes of an authorization request, once the person has signed in and decided."""
        parameters, verifier = self.request(**changes)
        url = self.suite.endpoint("authorization")
        browser = self.suite.browser(self.who)
        page = browser.open(url, parameters) if post else browser.open(f"{url}?{urlencode(parameters)}")
        decided = decision or Decision(patient=self.patient)
        if decided.patient is None:
            decided = replace(decided, patient=self.patient)
        person = self.suite.settings["people"][self.who]
        left = self.suite.login.authorize(browser, page, person, decided)
        assert left.startswith(parameters["redirect_uri"]), left
        return Arrival(query(left), parameters.get("state", ""), verifier, parameters.get("nonce", ""))

    # -- tokens -------------------------------------------------------------------------------------------------

    def post(self, endpoint: str = "token", headers: dict[str, str] | None = None, **data: Any) -> requests.Response:
        """The answer to a form that the client sends to an endpoint, authenticated as its kind does."""
        url, headers = self.suite.endpoint(endpoint), headers or {}
        auth = None
        if self.key is not None:
            data = {"client_assertion_type": ASSERTION, "client_assertion": self.assertion()} | data
        elif self.secret is not None:
            raw = base64.b64encode(f"{self.client_id}:{self.secret}".encode()).decode()
            headers = {"Authorization": f"Basic {raw}"} | headers
        else:
            data = {"client_id": self.client_id} | data
        sent = {name: value for name, value in data.items() if value is not None}
        return self.suite.http.post(url, data=sent, headers=headers, auth=auth, timeout=TIMEOUT)

    def redeem(self, arrival: Arrival, **changes: Any) -> requests.Response:
        """The answer to the code."""
        data = {
            "grant_type": "authorization_code",
            "code": arrival.parameters.get("code"),
            "redirect_uri": self.redirect_uri,
            "code_verifier": arrival.verifier,
        }
        return self.post(**data | changes)

    def refresh(self, refresh_token: str, **changes: Any) -> requests.Response:
        """The answer to a refresh token."""
        return self.post(**{"grant_type": "refresh_token", "refresh_token": refresh_token} | changes)

    def connect(self, decision: Decision | None = None, **changes: Any) -> dict[str, Any]:
        """The token response of a whole launch."""
        answer = self.redeem(self.authorize(decision, **changes))
        assert answer.status_code == 200, answer.text
        return answer.json()

    def assertion(self, *, header: dict[str, Any] | None = None, key: Any = None, **changes: Any) -> str:
        """A client assertion, its header and claims changed by name; None leaves one out."""
        now = int(time.time())
        claims: dict[str, Any] = {
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": self.suite.endpoint("token"),
            "iat": now,
            "exp": now + 240,
            "jti": str(uuid.uuid4()),
        }
        claims = {name: value for name, value in (claims | changes).items() if value is not None}
        head = {"alg": self.algorithm, "kid": self.key.kid, "typ": "JWT"} | (header or {})
        head = {name: value for name, value in head.items() if value is not None}
        return jwt.encode(head, claims, key or self.key, algorithms=[head["alg"]])

    # -- the API ------------------------------------------------------------------------------------------------

    def get(self, path: str, token: str | None, **headers: str) -> requests.Response:
        """The answer of the FHIR API."""
        url = path if path.startswith("http") else f"{self.suite.base}/{path}"
        own = {"Accept": "application/fhir+json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        return self.suite.http.get(url, headers=own | headers, timeout=TIMEOUT)


def challenge(verifier: str) -> str:
    """RFC 7636 s. 4.2"""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


def query(url: str) -> dict[str, str]:
    """The parameters in the query of a URL, each of which is there once."""
    found = parse_qs(urlsplit(url).query, keep_blank_values=True)
    assert all(len(values) == 1 for values in found.values()), url
    return {name: values[0] for name, values in found.items()}


# --- fixtures --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def suite(request) -> Iterator[Suite]:
    """The server under test."""
    path = request.config.getoption("--smart", None) or os.environ.get("SMART_SETTINGS")
    if not path:
        pytest.skip("no --smart settings were given")
    yield Suite(Path(path).resolve())


@pytest.fixture(scope="session")
def configuration(suite) -> dict[str, Any]:
    """What `.well-known/smart-configuration` says."""
    return suite.configuration


@pytest.fixture(scope="session")
def public(suite) -> App:
    """A public app of the patient's."""
    return suite.app("public")


@pytest.fixture(scope="session")
def symmetric(suite) -> App:
    """An app with a secret."""
    return suite.app("symmetric")


@pytest.fixture(scope="session")
def asymmetric(suite) -> App:
    """An app with a key."""
    return suite.app("asymmetric")


@pytest.fixture(scope="session")
def backend(suite) -> App:
    """A backend service."""
    return suite.app("backend")


@pytest.fixture(scope="session")
def connected(public) -> dict[str, Any]:
    """The token response of a launch of the public app; no test spends or ends what is in it."""
    return public.connect()


@pytest.fixture(params=["public", "symmetric", "asymmetric"])
def app(request, suite) -> App:
    """An app of each kind."""
    return suite.app(request.param)


@pytest.fixture(scope="session")
def decision():
    """What a person decides: `decision(refuse=True)`."""
    return lambda **fields: Decision(**fields)


@pytest.fixture(scope="session")
def tools():
    """What the tests compute with: `challenge`, `query`, JOSE."""
    return {"challenge": challenge, "query": query, "jwt": jwt, "KeySet": KeySet, "RSAKey": RSAKey, "ECKey": ECKey}


@pytest.fixture(scope="session")
def no_store():
    """Asserts that an answer stays in no cache.  RFC 6749 s. 5.1"""

    def check(answer: requests.Response) -> None:
        assert "no-store" in answer.headers.get("Cache-Control", ""), answer.headers
        assert "no-cache" in answer.headers.get("Pragma", ""), answer.headers

    return check
