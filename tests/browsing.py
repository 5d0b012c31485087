"""A browser without a screen, for the pages of who decides about apps: keeps its cookie, sends forms as they are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from flask.testing import FlaskClient
from lxml import html
from werkzeug.datastructures import MultiDict
from werkzeug.test import TestResponse

from fhir_server.accounts.account import Account
from fhir_server.smart.sessions import Cookie, Session
from fhir_server.smart.subject import Subject
from tests.launches import ISSUER, Launch, Launching


@dataclass
class Form:
    """A form of a page: where it goes, and what it would send as it stands."""

    action: str
    fields: list[tuple[str, str]]
    boxes: dict[str, bool] = field(default_factory=dict)

    @property
    def token(self) -> str:
        """The hidden token."""
        return dict(self.fields)["form"]

    def sent(self, rows: Iterable[str] | None = None, **changes: str | None) -> MultiDict[str, str]:
        """What it sends with these rows ticked, or as they stand; a field that is changed to None is not sent."""
        kept = [name for name, ticked in self.boxes.items() if ticked] if rows is None else list(rows)
        made = {**dict(self.fields), **changes}
        return MultiDict([*((name, value) for name, value in made.items() if value), *(("row", id) for id in kept)])


@dataclass
class Browser:
    """A browser with a session of this server."""

    at: Launching
    session: Session
    http: FlaskClient

    def get(self, path: str, **headers: str) -> TestResponse:
        """A page."""
        named = {"Accept-Language": "fr", **{name.replace("_", "-"): value for name, value in headers.items()}}
        return self.http.get(path, headers=named, base_url=f"{ISSUER}/")

    def post(self, path: str, form: Any, **headers: str) -> TestResponse:
        """A form, from a page of this server if nothing else is said."""
        named = {"Origin": ISSUER, **{name.replace("_", "-"): value for name, value in headers.items()}}
        named["Accept-Language"] = "fr"
        return self.http.post(path, data=form, headers=named, base_url=f"{ISSUER}/")

    def consent(self, launch: Launch) -> tuple[str, Form]:
        """The path of the page of consent of a launch, and its form."""
        path = f"/authorize/{launch.request_id()}/consent"
        self.context(path)
        answer = self.get(path)
        assert answer.status_code == 200, (answer.status_code, answer.headers.get("Location"))
        return path, form_of(answer)

    def context(self, path: str) -> None:
        """Choose the own record where one has to be chosen."""
        authorization = self.at.smart.authorization
        asked = authorization.find(path.split("/")[2], self.session)
        if (
            self.session.subject
            and self.session.subject.account
            and authorization.step(asked, self.session) == "patient"
        ):
            own = next(iter(authorization.profiles(self.session.subject.account)))
            authorization.choose_patient(asked, self.session, own.patient)


def browser(at: Launching, account: Account | None = None, **subject: Any) -> Browser:
    """A browser in which the holder of this account is signed in, or else a professional."""
    sessions = at.kept.sessions
    _, session = sessions.start()
    if account:
        who = Subject("patient", account.id, account.name, account=account.id)
    else:
        who = Subject("professional", "psc-who", "Dr Who", practitioner="who", **subject)
    secret, session = sessions.rotate(session, subject=who, auth_time=at.clock(), acr="eidas1", amr=("pwd", "otp"))
    http = at.app.test_client()
    http.set_cookie(Cookie.of(ISSUER).name, secret, domain="fhir.test")
    return Browser(at, session, http)


def dom(answer: TestResponse) -> Any:
    """The page as a browser reads it."""
    return html.document_fromstring(answer.get_data(as_text=True))


def form_of(answer: TestResponse, at: str = ".//main//form[@class]") -> Form:
    """The form of a page: its hidden fields, its boxes and whether they are ticked."""
    (found,) = dom(answer).findall(at)
    hidden = [(each.get("name"), each.get("value")) for each in found.findall(".//input[@type='hidden']")]
    radios = [each for each in found.findall(".//input[@type='radio']") if each.get("checked") is not None]
    boxes = {each.get("value"): each.get("checked") is not None for each in found.findall(".//input[@type='checkbox']")}
    return Form(found.get("action"), [*hidden, *((each.get("name"), each.get("value")) for each in radios)], boxes)
