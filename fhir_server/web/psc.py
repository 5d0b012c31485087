"""Signing in with Pro Santé Connect: there, back, and what is asked of a professional before going on.

OpenID Connect Core s. 3.1.2; FAQ des industriels: DMP/CONF.11, CONF.21 (the notice of tracing)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog
from flask import Blueprint, Response, request

from fhir_server.smart import professionals
from fhir_server.smart.directory import Directory
from fhir_server.smart.professionals import Activity, NotAdmitted, Professional
from fhir_server.smart.psc import ProSanteConnect, SignedIn, SignInRefused
from fhir_server.smart.requests import AuthorizationRequest
from fhir_server.smart.sessions import Cookie, Ended, Session, Sessions
from fhir_server.web import forms
from fhir_server.web.pages import page, strict

log = structlog.get_logger()

#: Where somebody goes who signed in for nothing in particular.
ONWARD = "/"
START, CALLBACK, CAPACITY = "/sign-in/psc", "/psc/callback", "/sign-in/psc/capacity"
#: What the forms of these pages are for, in their tokens.
PURPOSE = "psc-capacity"
#: Which HTTP status a page has that says why the sign-in came to nothing; else 400.
_STATUSES = {"unavailable": 503, "unknown": 403, "inactive": 403, "ambiguous": 403, "identity": 403, "level": 403}


@dataclass(frozen=True)
class SigningIn:
    """
    What the pages need.

    psc       None where no provider is set: the pages say so
    asked     the authorization request with this id, if it may be this session's
    """

    psc: ProSanteConnect | None
    sessions: Sessions
    cookie: Cookie
    directory: Directory
    asked: Callable[[str, Session], AuthorizationRequest | None]
    base_url: str


def blueprint(signing_in: SigningIn) -> Blueprint:
    """The pages, to be registered at `/`."""
    pages = strict(Blueprint("psc", __name__))
    sessions, cookie = signing_in.sessions, signing_in.cookie

    @pages.get(START)
    def start() -> Response:
        """Off to the provider, for the authorization request of this id if one is named."""
        if signing_in.psc is None:
            return _refused("unavailable", None)
        session = sessions.find(cookie.read(request))
        secret = None
        if session is None:
            secret, session = sessions.start(request.user_agent.string[:200])
        try:
            url = signing_in.psc.begin(session, _request_id(), fresh=_is_fresh_asked(session, signing_in))
        except SignInRefused as refusal:
            log.warning("psc.refused", reason=refusal.reason, detail=refusal.detail)
            return _refused(refusal.reason, _request_id())
        answer = _to(url)
        if secret:
            cookie.write(answer, secret)
        return answer

    @pages.get(CALLBACK)
    def callback() -> Response:
        """Back from the provider: once for each time that this session went there."""
        session = sessions.find(cookie.read(request))
        if signing_in.psc is None or session is None:
            return _refused("expired", None)
        try:
            signed_in = signing_in.psc.finish(session, _answer())
        except SignInRefused as refusal:
            log.warning("psc.refused", reason=refusal.reason, detail=refusal.detail)
            if refusal.reason != "expired":  # anybody can come here with nothing
                signing_in.directory.record_sign_in(None, address=request.remote_addr, means=refusal.reason)
            return _refused(refusal.reason, refusal.request)
        return _admit(session, signed_in, signing_in, signing_in.psc)

    @pages.get(CAPACITY)
    def capacity() -> Response:
        """In which capacity, and with the notice that is due."""
        found = _pending(signing_in)
        if found is None:
            return _refused("expired", None)
        session, signed_in, psc = found
        return _capacity_page(session, professionals.read(signed_in.claims), signing_in, psc)

    @pages.post(CAPACITY)
    def chosen() -> Response:
        """Signed in, in the capacity chosen, with the notice acknowledged."""
        found = _pending(signing_in)
        if found is None:
            return _refused("expired", None)
        session, signed_in, psc = found
        if not forms.sent_by(request, sessions, session, purpose=PURPOSE, base_url=signing_in.base_url):
            return _refused("expired", signed_in.request, status=403)
        professional = professionals.read(signed_in.claims)
        activity = _chosen(professional)
        if activity is None and professional.activities:
            return _capacity_page(session, professional, signing_in, psc, problem="capacity_missing")
        if psc.notice_due(professional.sub):
            if forms.text(request, "notice") != "read":
                return _capacity_page(session, professional, signing_in, psc, problem="notice_missing")
            psc.acknowledge(professional.sub)
        if not psc.settle(session):
            return _refused("expired", signed_in.request)
        return _enter(session, signed_in, professional, activity, signing_in)

    return pages


def _admit(session: Session, signed_in: SignedIn, signing_in: SigningIn, psc: ProSanteConnect) -> Response:
    """On from the provider: straight in, where nothing is left to ask; whoever comes in has a new cookie."""
    try:
        professional = professionals.read(signed_in.claims)
        professionals.practitioner(professional, signing_in.directory.find)
    except NotAdmitted as refusal:
        psc.settle(session)
        signing_in.directory.record_sign_in(None, address=request.remote_addr, means=refusal.reason)
        return _refused(refusal.reason, signed_in.request)
    if len(professional.activities) <= 1 and not psc.notice_due(professional.sub):
        psc.settle(session)
        activity = professional.activities[0] if professional.activities else None
        return _enter(session, signed_in, professional, activity, signing_in)
    try:
        # Nobody is signed in yet, and whoever was is not any more: the browser may have changed hands.
        secret, _ = signing_in.sessions.rotate(session, subject=None, account=None, auth_time=None, acr=None, amr=())
    except Ended:
        return _refused("expired", signed_in.request)
    answer = _to(CAPACITY)
    signing_in.cookie.write(answer, secret)
    return answer


def _enter(
    session: Session,
    signed_in: SignedIn,
    professional: Professional,
    activity: Activity | None,
    signing_in: SigningIn,
) -> Response:
    """Signed in, with a new cookie: on to what the sign-in was for."""
    try:
        subject = professionals.subject(professional, activity, signing_in.directory.find)
        secret, _ = signing_in.sessions.rotate(
            session,
            subject=subject,
            account=None,
            auth_time=signed_in.auth_time,
            acr=signed_in.acr,
            amr=signed_in.amr,
        )
    except NotAdmitted as refusal:
        return _refused(refusal.reason, signed_in.request)
    except Ended:
        return _refused("expired", signed_in.request)
    means = f"{signed_in.acr} {' '.join(signed_in.amr)}"
    signing_in.directory.record_sign_in(subject, address=request.remote_addr, means=means)
    onward = f"/authorize/{signed_in.request}" if signed_in.request else ONWARD
    answer = _to(onward)
    signing_in.cookie.write(answer, secret)
    return answer


def _is_fresh_asked(session: Session, signing_in: SigningIn) -> bool:
    """Whether the professional has to sign in anew: whoever is signed in and sent here again has to."""
    named = _request_id()
    asked = signing_in.asked(named, session) if named else None
    if asked and (asked.mode != "normal" or asked.max_age is not None or {"login", "select_account"} & {*asked.prompt}):
        return True
    return session.subject is not None


def _pending(signing_in: SigningIn) -> tuple[Session, SignedIn, ProSanteConnect] | None:
    """The session of this request, and who has come back from the provider in it."""
    session = signing_in.sessions.find(signing_in.cookie.read(request))
    if session is None or signing_in.psc is None:
        return None
    signed_in = signing_in.psc.pending(session)
    return (session, signed_in, signing_in.psc) if signed_in else None


def _chosen(professional: Professional) -> Activity | None:
    """The activity that the form names by its place; the only one need not be named."""
    if len(professional.activities) == 1:
        return professional.activities[0]
    named = forms.text(request, "activity")
    places = {str(place): activity for place, activity in enumerate(professional.activities)}
    return places.get(named)


def _capacity_page(
    session: Session,
    professional: Professional,
    signing_in: SigningIn,
    psc: ProSanteConnect,
    *,
    problem: str | None = None,
) -> Response:
    return page(
        "psc-capacity",
        status=422 if problem else 200,
        professional=professional,
        notice=psc.notice_due(professional.sub),
        token=signing_in.sessions.form_token(session, PURPOSE),
        problem=problem,
        action=CAPACITY,
    )


def _refused(reason: str, request_id: str | None, *, status: int | None = None) -> Response:
    """The page that says why nobody is signed in, and how to try again."""
    again = f"{START}?request={request_id}" if request_id else START
    return page("psc-refused", status=status or _STATUSES.get(reason, 400), reason=reason, again=again)


def _answer() -> Mapping[str, str]:
    """The parameters of the callback that are there once; one that is repeated is not there.  RFC 6749 s. 3.1"""
    return {name: values[0] for name, values in request.args.lists() if len(values) == 1 and len(values[0]) <= 4096}


def _request_id() -> str | None:
    """The id of the authorization request that the address names; whether there is one, the dispatcher finds out."""
    named = request.args.get("request", "")
    return named if 0 < len(named) <= 128 and named.replace("-", "").replace("_", "").isalnum() else None


def _to(url: str) -> Response:
    """Go on to this address."""
    return Response(status=303, headers={"Location": url, "Cache-Control": "no-store"})
