"""Signing in with Pro Santé Connect: there, back, and what is asked of a professional before going on.

OpenID Connect Core s. 3.1.2; FAQ des industriels: DMP/CONF.11, CONF.21 (the notice of tracing)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog
from flask import Blueprint, Response, request

from fhir_server.accounts.accounts import network
from fhir_server.accounts.rates import Rate, Rates
from fhir_server.smart import professionals
from fhir_server.smart.authorization import Authorization, AuthorizationError
from fhir_server.smart.professionals import Activity, Find, NotAdmitted, Professional
from fhir_server.smart.provider import SignInRefused
from fhir_server.smart.psc import ProSanteConnect, SignedIn
from fhir_server.smart.requests import AuthorizationRequest
from fhir_server.smart.sessions import Cookie, Ended, Session, Sessions
from fhir_server.web import forms
from fhir_server.web.browsers import name_of
from fhir_server.web.pages import page, strict
from fhir_server.web.sign_in import PAGES, address_of, destination, request_id

log = structlog.get_logger()

START, CALLBACK, CAPACITY = "/sign-in/psc", "/psc/callback", "/sign-in/psc/capacity"
#: What the forms of these pages are for, in their tokens.
PURPOSE = "psc-capacity"
#: How many sign-ins may be begun from one address, which may be a hospital's: each is kept for minutes.
BEGUN = Rate("psc", 1200, timedelta(minutes=1))
#: Which HTTP status a page has that says why the sign-in came to nothing; else 400.
_STATUSES = {
    "busy": 429,
    "unavailable": 503,
    "unknown": 403,
    "inactive": 403,
    "ambiguous": 403,
    "identity": 403,
    "level": 403,
}

#: The authorization request of this name, if it is under way in the session.
Asked = Callable[[str, Session], AuthorizationRequest | None]


@dataclass(frozen=True)
class SigningIn:
    """
    What the pages need.

    psc       None where no provider is set: the pages say so
    find      the directory, as the server itself sees it
    record    told of each sign-in, and of each that came to nothing
    """

    psc: ProSanteConnect | None
    sessions: Sessions
    cookie: Cookie
    find: Find
    asked: Asked
    record: Callable[..., None]
    rates: Rates
    base_url: str


def asked_of(authorization: Authorization) -> Asked:
    """The authorization requests under way, for these pages."""

    def found(name: str, session: Session) -> AuthorizationRequest | None:
        try:
            return authorization.find(name, session)
        except AuthorizationError:
            return None  # the dispatcher will say so, once somebody is signed in

    return found


def blueprint(signing_in: SigningIn) -> Blueprint:
    """The pages, to be registered at `/`."""
    pages = strict(Blueprint("psc", __name__))
    steps = _Steps(signing_in)
    pages.get(START)(steps.start)
    pages.get(CALLBACK)(steps.come_back)
    pages.get(CAPACITY)(steps.ask_capacity)
    pages.post(CAPACITY)(steps.take_capacity)
    return pages


class _Steps:
    """The pages, one after the other."""

    def __init__(self, signing_in: SigningIn):
        self._in = signing_in

    def start(self) -> Response:
        """Off to the provider, for what the address names: an authorization request, or a page of this server."""
        if self._in.psc is None:
            return _refused("unavailable", destination())
        if not self._in.rates.hit(BEGUN, network(request.remote_addr or "")):
            return _refused("busy", destination())
        session = self._session()
        secret = None
        if session is None:
            secret, session = self._in.sessions.start(
                name_of(request.user_agent.string), address=request.remote_addr or ""
            )
        try:
            url = self._in.psc.begin(session, destination(), fresh=self._is_fresh_asked(session))
        except SignInRefused as refusal:
            log.warning("psc.refused", reason=refusal.reason, detail=refusal.detail)
            return _refused(refusal.reason, destination())
        response = _to(url)
        if secret:
            self._in.cookie.write(response, secret)
        return response

    def come_back(self) -> Response:
        """Back from the provider: once for each time that this session went there."""
        session = self._session()
        if self._in.psc is None or session is None:
            return _refused("expired")
        try:
            signed_in = self._in.psc.finish(session, _answer())
        except SignInRefused as refusal:
            log.warning("psc.refused", reason=refusal.reason, detail=refusal.detail)
            if refusal.reason != "expired":  # anybody can come here with nothing
                self._record_refusal(refusal.reason)
            return _refused(refusal.reason, refusal.onward)
        return self._admit(session, signed_in, self._in.psc)

    def ask_capacity(self) -> Response:
        """In which capacity, and with the notice that is due."""
        found = self._pending()
        if found is None:
            return _refused("expired")
        session, signed_in, psc = found
        return self._capacity_page(session, signed_in, psc)

    def take_capacity(self) -> Response:
        """Signed in, in the capacity chosen, with the notice acknowledged."""
        found = self._pending()
        if found is None:
            return _refused("expired")
        session, signed_in, psc = found
        if not forms.sent_by(request, self._in.sessions, session, purpose=PURPOSE, base_url=self._in.base_url):
            return _refused("expired", signed_in.onward, status=403)
        professional = professionals.read(signed_in.claims)
        activity = _chosen(professional)
        if activity is None and professional.activities:
            return self._capacity_page(session, signed_in, psc, problem="capacity_missing")
        if psc.notice_due(professional.sub):
            if forms.text(request, "notice") != "read":
                return self._capacity_page(session, signed_in, psc, problem="notice_missing")
            psc.acknowledge(professional.sub)
        return self._enter(session, signed_in, professional, activity, psc)

    def _admit(self, session: Session, signed_in: SignedIn, psc: ProSanteConnect) -> Response:
        """On from the provider: straight in, where nothing is left to ask; whatever comes next has a new cookie."""
        try:
            professional = professionals.read(signed_in.claims)
            professionals.practitioner(professional, self._in.find)
        except NotAdmitted as refusal:
            psc.forget(session)
            self._record_refusal(refusal.reason)
            return _refused(refusal.reason, signed_in.onward)
        if len(professional.activities) <= 1 and not psc.notice_due(professional.sub):
            return self._enter(session, signed_in, professional, _chosen(professional), psc)
        try:
            # Nobody is signed in yet, and whoever was is not any more: the browser may have changed hands.
            nobody = {"subject": None, "account": None, "auth_time": None, "acr": None, "amr": ()}
            secret, _ = self._in.sessions.rotate(session, **nobody)
        except Ended:
            return _refused("expired", signed_in.onward)
        response = _to(f"{request.script_root}{CAPACITY}")
        self._in.cookie.write(response, secret)
        return response

    def _enter(
        self,
        session: Session,
        signed_in: SignedIn,
        professional: Professional,
        activity: Activity | None,
        psc: ProSanteConnect,
    ) -> Response:
        """Signed in, with a new cookie: on to what the sign-in was for.  A sign-in is finished once."""
        if not psc.settle(session):
            return _refused("expired", signed_in.onward)
        try:
            subject = professionals.subject(professional, activity, self._in.find)
            how = {"auth_time": signed_in.auth_time, "acr": signed_in.acr, "amr": signed_in.amr}
            secret, _ = self._in.sessions.rotate(session, subject=subject, account=None, **how)
        except NotAdmitted as refusal:
            self._record_refusal(refusal.reason)
            return _refused(refusal.reason, signed_in.onward)
        except Ended:
            return _refused("expired", signed_in.onward)
        means = f"Pro Santé Connect: {signed_in.acr} {' '.join(signed_in.amr)}"
        self._in.record("login", subject=subject, description=means)
        response = _to(f"{request.script_root}{signed_in.onward}")
        self._in.cookie.write(response, secret)
        return response

    def _capacity_page(
        self, session: Session, signed_in: SignedIn, psc: ProSanteConnect, *, problem: str | None = None
    ) -> Response:
        professional = professionals.read(signed_in.claims)
        return page(
            "psc-capacity",
            status=422 if problem else 200,
            form_action=self._leads(session, signed_in.onward),
            professional=professional,
            notice=psc.notice_due(professional.sub),
            token=self._in.sessions.form_token(session, PURPOSE),
            problem=problem,
            action=f"{request.script_root}{CAPACITY}",
        )

    def _leads(self, session: Session, onward: str) -> tuple[str, ...]:
        """Where the answer to a form may lead in the end: to the app, where nothing more has to be asked."""
        name = _request_in(onward)
        asked = self._in.asked(name, session) if name else None
        return (forms.leads_to(asked.redirect_uri),) if asked else ()

    def _is_fresh_asked(self, session: Session) -> bool:
        """Whether the professional has to sign in anew: whoever is signed in and sent here again has to."""
        name = request_id()
        asked = self._in.asked(name, session) if name else None
        if asked and (asked.mode != "normal" or asked.max_age is not None or _asks_for_sign_in(asked)):
            return True
        return session.subject is not None

    def _pending(self) -> tuple[Session, SignedIn, ProSanteConnect] | None:
        """The session of this request, and who has come back from the provider in it."""
        session = self._session()
        if session is None or self._in.psc is None:
            return None
        signed_in = self._in.psc.pending(session)
        return (session, signed_in, self._in.psc) if signed_in else None

    def _session(self) -> Session | None:
        return self._in.sessions.find(self._in.cookie.read(request))

    def _record_refusal(self, reason: str) -> None:
        self._in.record("login", refused=True, description=f"A sign-in with Pro Santé Connect was refused: {reason}.")


def _asks_for_sign_in(asked: AuthorizationRequest) -> bool:
    return not {"login", "select_account"}.isdisjoint(asked.prompt)


def _chosen(professional: Professional) -> Activity | None:
    """The activity that the form names by its place; the only one need not be named."""
    if len(professional.activities) == 1:
        return professional.activities[0]
    places = {str(place): activity for place, activity in enumerate(professional.activities)}
    return places.get(forms.text(request, "activity"))


def _refused(reason: str, onward: str = "", *, status: int | None = None) -> Response:
    """The page that says why nobody is signed in, and how to try again."""
    name = _request_in(onward)
    known = {path: named for named, path in PAGES.items()}
    more: dict[str, Any] = {"request": name} if name else {"page": known[onward]} if onward in known else {}
    again = address_of(START, **more)
    return page("psc-refused", status=status or _STATUSES.get(reason, 400), reason=reason, again=again)


def _request_in(onward: str) -> str | None:
    """The name of the authorization request that this path goes on with."""
    return onward.removeprefix("/authorize/") if onward.startswith("/authorize/") else None


def _answer() -> Mapping[str, str]:
    """The parameters of the callback that are there once; one that is repeated is not there.  RFC 6749 s. 3.1"""
    return {name: values[0] for name, values in request.args.lists() if len(values) == 1 and len(values[0]) <= 4096}


def _to(url: str) -> Response:
    """Go on to this address."""
    return Response(status=303, headers={"Location": url, "Cache-Control": "no-store"})
