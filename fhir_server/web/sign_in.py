"""Signing in with an account: login and password, then a code; and signing out.

The address says no more than which authorization request, or which page of this server, comes afterwards: never a URL.
Every step has a new cookie.  OWASP ASVS 5.0: V6, V7; RFC 9700 s. 4.11 (open redirectors), 4.12 (303)
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any, Protocol
from urllib.parse import urlencode

from flask import Blueprint, Response, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from fhir_server.accounts import words as letters
from fhir_server.accounts.account import Account, Channel, masked
from fhir_server.accounts.accounts import Accounts
from fhir_server.accounts.attempts import Wait
from fhir_server.accounts.codes import OneTimeCodes, Undeliverable
from fhir_server.accounts.outbox import Outbox
from fhir_server.smart.clients import Client
from fhir_server.smart.sessions import Cookie, Ended, Session, Sessions
from fhir_server.smart.subject import Subject
from fhir_server.web import forms
from fhir_server.web.browsers import name_of
from fhir_server.web.moments import moment
from fhir_server.web.pages import language, page, strict
from fhir_server.web.words import LANGUAGES, words

SIGN_IN, CODE, SIGN_OUT, ACCOUNT = "/sign-in", "/sign-in/code", "/sign-out", "/account"
#: The pages of this server that one can sign in for, by the name that the address says.
PAGES = {"account": ACCOUNT, "apps": "/apps", "privacy": "/privacy"}
#: The cookie of a browser that somebody has signed in with.
DEVICE = "device"
DEVICE_SECONDS = 365 * 24 * 3600
#: How a person with an account has proved to be who they are.  RFC 8176 s. 2
AMR: dict[Channel, tuple[str, ...]] = {"email": ("pwd", "otp", "mfa"), "sms": ("pwd", "otp", "sms", "mfa")}
_REQUEST = re.compile(r"[A-Za-z0-9_-]{20,128}")

#: Records what happened: `login` or `logout`, of which subject, and whether it was refused.
Record = Callable[..., None]


@dataclass(frozen=True)
class SigningIn:
    """
    What the pages need.

    asking   who asks in the authorization request of this id, if it is under way in the session
    record   told of each sign-in, each refusal, and of who leaves
    there    the provider that professionals sign in with, and are signed out at, too
    """

    base_url: str
    accounts: Accounts
    codes: OneTimeCodes
    outbox: Outbox
    sessions: Sessions
    cookie: Cookie
    clock: Callable[[], datetime]
    zone: tzinfo
    asking: Callable[[str, Session], Asking | None]
    record: Record
    there: Provider | None = None


class Provider(Protocol):
    """Where somebody may be signed in as well."""

    def sign_out_url(self, session_id: str, back: str) -> str | None:
        """Where to send the browser of an ended session to; None for one that was not signed in there."""

    def sign_out_endpoint(self) -> str | None:
        """That address for anybody."""


@dataclass(frozen=True)
class Asking:
    """The client on whose behalf somebody signs in, where it may have the browser sent back to, and its hint."""

    client: Client
    redirect_uri: str
    login_hint: str | None


def blueprint(signing_in: SigningIn) -> Blueprint:
    """The pages, to be registered at `/`."""
    pages = strict(Blueprint("sign_in", __name__))
    steps = _Steps(signing_in)
    pages.get(SIGN_IN)(steps.ask_password)
    pages.post(SIGN_IN)(steps.take_password)
    pages.get(CODE)(steps.ask_code)
    pages.post(CODE)(steps.take_code)
    pages.get(f"{CODE}/send")(steps.back_to_code)
    pages.post(f"{CODE}/send")(steps.send_again)
    pages.get(SIGN_OUT)(steps.ask_to_leave)
    pages.post(SIGN_OUT)(steps.leave)
    return pages


def destination() -> str:
    """The path that comes after signing in, by what the address says: a request under way, or a page of the table."""
    name = request_id()
    if name:
        return f"{request.script_root}/authorize/{name}"
    return request.script_root + PAGES.get(request.args.get("page", ""), ACCOUNT)


def request_id() -> str | None:
    """The authorization request that the address names, if it names one."""
    named = request.args.getlist("request")
    return named[0] if len(named) == 1 and _REQUEST.fullmatch(named[0]) else None


def address_of(path: str, **more: str) -> str:
    """The path, with what the address says of where to go afterwards."""
    kept = {"request": request_id(), "page": request.args.get("page")}
    if kept["page"] not in PAGES:
        del kept["page"]
    query = urlencode({name: value for name, value in {**kept, **more}.items() if value})
    return f"{request.script_root}{path}{'?' if query else ''}{query}"


def go(path: str) -> AnyResponse:
    """303 to a path of this server: a GET, whatever was sent.  RFC 9700 s. 4.12"""
    response = redirect(path, 303)
    response.headers["Cache-Control"] = "no-store"
    return response


def stale(again: str) -> Response:
    """
    The form was of another session, or of an earlier step of this one, or of another server's page.

    again: where the person goes on.
    """
    return page("stale", status=403, again=again)


def waiting(name: str, wait: Wait) -> str:
    """The words of the page of this name for how long to wait."""
    said = _said(name)
    if wait.seconds > 90:
        return str(said["wait_minutes"]).format(count=-(-wait.seconds // 60))
    return str(said["wait_one" if wait.seconds == 1 else "wait_other"]).format(count=wait.seconds)


class _Steps:
    """The pages, one after the other."""

    def __init__(self, signing_in: SigningIn):
        self._in = signing_in

    # --- login and password

    def ask_password(self) -> AnyResponse:
        """The form; a session begins with it, so that nobody else can send it."""
        session = self._session()
        secret = None
        if session is None:
            secret, session = self._in.sessions.start(
                name_of(request.user_agent.string), address=request.remote_addr or ""
            )
        elif session.subject and not request_id():
            return go(destination())
        response: AnyResponse = self._password_page(session)
        if secret:
            self._in.cookie.write(response, secret)
        return response

    def take_password(self) -> AnyResponse:
        """On to the code, if this is the password of that account."""
        session = self._session()
        if session is None or not self._sent(session, SIGN_IN):
            return self._stale()
        login, password = forms.text(request, "login"), forms.text(request, "password")
        device = request.cookies.get(self._device)
        try:
            account = self._in.accounts.verify(login, password, address=request.remote_addr or "", device=device)
        except Wait as wait:
            self._refused("wait")
            response = self._password_page(session, waiting("sign-in", wait), login=login, status=429)
            response.headers["Retry-After"] = str(wait.seconds)
            return response
        if account is None:
            self._refused("password")
            return self._password_page(session, _said("sign-in")["wrong"], login=login, status=422)
        if not self._in.codes.channels(account):
            return self._password_page(session, _said("sign-in")["undeliverable"], login=login, status=503)
        try:
            secret, session = self._in.sessions.rotate(session, account=account.id)
        except Ended:
            return self._stale()
        onward = go(address_of(CODE))
        try:
            self._send(account, session, None)
        except Wait:
            onward = go(address_of(CODE, late="1"))
        self._in.cookie.write(onward, secret)
        return onward

    def _password_page(
        self,
        session: Session,
        fault: str | None = None,
        *,
        login: str = "",
        status: int = 200,
    ) -> Response:
        asking = self._asking(session)
        audience = asking.client.audience if asking else None
        other = bool(asking and session.subject and session.subject.kind != audience)
        return page(
            "sign-in",
            status=status,
            form_action=_leads(asking),
            token=self._in.sessions.form_token(session, SIGN_IN),
            problems=[("login", fault)] if fault else [],
            login=login[:100] or (asking and asking.login_hint) or "",
            app=asking and asking.client.name,
            audience=audience,
            other=other,
            psc=address_of("/sign-in/psc"),
        )

    # --- the code

    def ask_code(self) -> AnyResponse:
        """The form, for who has given the password."""
        session, account = self._half()
        if session is None or account is None:
            # Who is signed in gave the code already, in another tab or by the click before.
            return go(destination() if session and session.subject else address_of(SIGN_IN))
        late = "late" in request.args and self._in.codes.sent(session.id, "sign-in") is None
        return self._code_page(session, account, _said("sign-in-code")["many"] if late else None)

    def take_code(self) -> AnyResponse:
        """Signed in, if these are the digits."""
        session, account = self._half()
        if session is None or account is None or not self._sent(session, CODE):
            return self._stale()
        sent = self._in.codes.sent(session.id, "sign-in")
        if not self._in.codes.check(session.id, "sign-in", forms.text(request, "code")):
            self._refused("code")
            left = self._in.codes.sent(session.id, "sign-in")
            count = left.left if left else 0
            key = "over" if count == 0 else "wrong_one" if count == 1 else "wrong_other"
            return self._code_page(session, account, _said("sign-in-code")[key].format(count=count), status=422)
        return self._enter(session, account, AMR[sent.channel if sent else "email"])

    def send_again(self) -> AnyResponse:
        """Another code, by the way that was chosen."""
        session, account = self._half()
        if session is None or account is None or not self._sent(session, f"{CODE}/send"):
            return self._stale()
        asked = forms.text(request, "channel")
        channel = next((one for one in account.channels if one == asked), None)
        try:
            if channel is None:
                raise Undeliverable(asked)
            self._send(account, session, channel)
        except Wait as wait:
            response = self._code_page(session, account, waiting("sign-in-code", wait), status=429)
            response.headers["Retry-After"] = str(wait.seconds)
            return response
        except Undeliverable:
            return self._code_page(session, account, _said("sign-in-code")["undeliverable"], status=422)
        return go(address_of(CODE))

    def back_to_code(self) -> AnyResponse:
        """Who reloads the answer to that form, or changes its language, wants to see the page."""
        chosen = request.args.get("lang")
        return go(address_of(CODE, lang=chosen) if chosen in LANGUAGES else address_of(CODE))

    def _send(self, account: Account, session: Session, channel: Channel | None) -> None:
        device = request.cookies.get(self._device)
        known = device if self._in.accounts.devices.knows(account.id, device) else None
        self._in.codes.send(
            account, session.id, "sign-in", channel=channel, address=request.remote_addr or "", device=known
        )

    def _code_page(
        self,
        session: Session,
        account: Account,
        fault: str | None = None,
        *,
        status: int = 200,
    ) -> Response:
        sent = self._in.codes.sent(session.id, "sign-in")
        return page(
            "sign-in-code",
            status=status,
            form_action=_leads(self._asking(session)),
            token=self._in.sessions.form_token(session, CODE),
            again=address_of(f"{CODE}/send"),
            again_token=self._in.sessions.form_token(session, f"{CODE}/send"),
            problems=[("code", fault)] if fault else [],
            outbox=f"{request.script_root}/demo/outbox" if self._in.outbox.shown else None,
            sent=sent,
            wait=bool(sent and self._in.clock() < sent.again_at),
            channels=[(one, masked(account.destination(one))) for one in self._in.codes.channels(account)],
            back=address_of(SIGN_IN),
        )

    def _enter(self, session: Session, account: Account, amr: tuple[str, ...]) -> AnyResponse:
        """Signed in: a new cookie, and the browser is known from now on."""
        name = name_of(request.user_agent.string)
        subject = Subject("patient", account.id, account.name, account=account.id)
        try:
            secret, _ = self._in.sessions.rotate(
                session, subject=subject, account=None, auth_time=self._in.clock(), acr=None, amr=amr, device=name
            )
        except Ended:
            return self._stale()
        device, new = self._in.accounts.devices.keep(account.id, request.cookies.get(self._device), name)
        if new:
            self._tell(account, name)
        self._in.record("login", subject=subject)
        response = go(destination())
        self._in.cookie.write(response, secret)
        response.set_cookie(
            self._device,
            device,
            max_age=DEVICE_SECONDS,
            secure=self._in.cookie.secure,
            httponly=True,
            samesite="Lax",
            path="/",
        )
        return response

    def _tell(self, account: Account, device: str) -> None:
        """Tell the holder of the account of a browser that was not known."""
        if not account.email:
            return
        spoken = account.language if account.language in letters.LANGUAGES else letters.LANGUAGES[0]
        subject, text = letters.say(
            "new_device",
            spoken,
            name=account.name,
            device=device or words(spoken)["account"]["unknown"],
            when=moment(self._in.clock(), spoken, self._in.zone),
            url=f"{self._in.base_url}{ACCOUNT}",
        )
        self._in.outbox.put("email", account.email, subject, text)

    # --- leaving

    def ask_to_leave(self) -> AnyResponse:
        """Whether to leave; or that nobody is signed in."""
        session = self._session()
        if session is None or session.subject is None:
            return page("sign-out", token=None)
        professional = session.subject.kind == "professional"
        there = self._in.there.sign_out_endpoint() if self._in.there and professional else None
        return page(
            "sign-out",
            form_action=(forms.leads_to(there),) if there else (),
            token=self._in.sessions.form_token(session, SIGN_OUT),
            person=session.subject.name,
        )

    def leave(self) -> AnyResponse:
        """The session has ended, and what hung on it."""
        session = self._session()
        if session is None:
            return go(f"{request.script_root}{SIGN_OUT}")
        if not self._sent(session, SIGN_OUT):
            return self._stale()
        self._in.sessions.end(session.id)
        self._in.record("logout", subject=session.subject)
        back = f"{self._in.base_url}{SIGN_OUT}"
        there = self._in.there.sign_out_url(session.id, back) if self._in.there else None
        response = go(there or f"{request.script_root}{SIGN_OUT}")
        self._in.cookie.clear(response)
        return response

    # --- what they share

    @property
    def _device(self) -> str:
        """The name of the cookie of the browser."""
        return f"__Host-{DEVICE}" if self._in.cookie.secure else DEVICE

    def _session(self) -> Session | None:
        return self._in.sessions.find(self._in.cookie.read(request))

    def _half(self) -> tuple[Session | None, Account | None]:
        """The session that owes a code, and the open account whose password was given in it."""
        session = self._session()
        account = self._in.accounts.find(session.account) if session and session.account else None
        return session, account if account and account.state == "open" else None

    def _asking(self, session: Session) -> Asking | None:
        name = request_id()
        return self._in.asking(name, session) if name else None

    def _sent(self, session: Session, purpose: str) -> bool:
        return forms.sent_by(request, self._in.sessions, session, purpose=purpose, base_url=self._in.base_url)

    def _refused(self, what: str) -> None:
        """Record that somebody did not come in; the login may be anything that was typed, and is not kept."""
        self._in.record("login", refused=True, description=f"A sign-in was refused: {what}.")

    def _stale(self) -> Response:
        """The page of the code knows where to go from there, whichever step another tab has come to."""
        return stale(address_of(CODE))


def _said(name: str) -> dict[str, Any]:
    """The words of the page of this name, in the language of the request."""
    return words(language())[name]


def _leads(asking: Asking | None) -> tuple[str, ...]:
    return (forms.leads_to(asking.redirect_uri),) if asking else ()
