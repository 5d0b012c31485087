"""What a person sees and decides about an app: every scope in plain words, each to be ticked or left.

The form posts the ids of rows and nothing else; what they mean, and who asks, is kept on the server.
SMART App Launch 2.2: best-practices.html; OWASP ASVS 5.0: 10.7 (consent); WCAG 2.2
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from flask import Blueprint, Response, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from fhir_server.smart.authorization import Authorization, AuthorizationError, Offer, Refused
from fhir_server.smart.grants import Grant
from fhir_server.smart.requests import AuthorizationRequest
from fhir_server.smart.sessions import Cookie, Session, Sessions
from fhir_server.web import forms, lines, pages
from fhir_server.web.authorize import problem as problem_page
from fhir_server.web.notices import Notices
from fhir_server.web.sign_in import go
from fhir_server.web.words import day, words

#: How long an app may come back by itself, by what the form says.
LASTING: dict[str, timedelta | None] = {"once": None, "months": timedelta(days=92), "year": timedelta(days=365)}


def blueprint(
    authorization: Authorization,
    sessions: Sessions,
    *,
    base_url: str,
    clock: Callable[[], datetime],
    notices: Notices,
) -> Blueprint:
    """
    The page of consent and the page after a refusal, below `/authorize/[request]`.
    """
    cookie = Cookie.of(base_url)
    consent = pages.strict(Blueprint("consent", __name__))

    @consent.get("/authorize/<name>/consent")
    def ask(name: str) -> AnyResponse:
        session = sessions.find(cookie.read(request))
        if session is None:
            return _back(name)
        asked = authorization.find(name, session)
        if authorization.step(asked, session) != "consent":
            return _back(name)
        return _page(asked, session, ticked=_preset(request.args.get("tick")))

    @consent.post("/authorize/<name>/consent")
    def allow(name: str) -> AnyResponse:
        asked, session = _decided(name)
        if authorization.step(asked, session) != "consent":
            return _back(name)
        offer = authorization.offer(asked, session)
        ids = frozenset(request.form.getlist("row"))
        if not ids <= {row.id for row in offer.rows if not row.is_said and row.kind != "lasting"}:
            raise AuthorizationError("request")
        how_long = forms.text(request, "lasting") or "once"
        if how_long not in LASTING or (LASTING[how_long] and not offer.lasting_possible):
            raise AuthorizationError("request")
        if any(row.pieces for row in offer.rows) and not any(
            row.pieces and (row.is_said or row.id in ids) for row in offer.rows
        ):
            return _page(asked, session, ticked=lambda row: row.id in ids, how_long=how_long, problem="nothing")
        leads_to = authorization.grant(asked, session, ids, LASTING[how_long])
        _tell(asked, session)
        return _to_client(leads_to)

    @consent.post("/authorize/<name>/refuse")
    def refuse(name: str) -> AnyResponse:
        asked, session = _decided(name)
        client = authorization.client_of(asked)
        kept = _living(asked, session)
        leads_to = authorization.refuse(asked, session)
        return pages.page(
            "refused",
            person=session.subject and session.subject.name,
            client=client,
            display=asked.display,
            leads_to=leads_to,
            host=host_of(leads_to),
            kept=bool(kept),
        )

    @consent.errorhandler(AuthorizationError)
    def over(error: AuthorizationError) -> Response:
        return problem_page(error)

    @consent.errorhandler(Refused)
    def told(refused: Refused) -> AnyResponse:
        return _to_client(refused.redirect)

    def _tell(asked: AuthorizationRequest, session: Session) -> None:
        """The person has it in writing, too."""
        grant = _living(asked, session)
        if session.subject and grant:
            notices.connected(session.subject, authorization.client_of(asked), grant, asked.display)

    def _living(asked: AuthorizationRequest, session: Session) -> Grant | None:
        """What the app is allowed, by this person, in this record."""
        subject = session.subject
        if subject is None:
            return None
        patient = asked.patient if subject.kind == "patient" else None
        return authorization.grants.living(subject.sub, asked.client_id, patient)

    def _decided(name: str) -> tuple[AuthorizationRequest, Session]:
        """The request that a form of this page, in this session, decides on.  Raises AuthorizationError."""
        session = sessions.find(cookie.read(request))
        if session is None or not forms.from_here(request, base_url):
            raise AuthorizationError("form", 403)
        asked = authorization.find(name, session)
        if not forms.sent_by(request, sessions, session, purpose=_purpose(asked), base_url=base_url):
            raise AuthorizationError("form", 403)
        return asked, session

    def _page(
        asked: AuthorizationRequest,
        session: Session,
        *,
        ticked: Callable[[lines.Row], bool],
        how_long: str = "once",
        problem: str | None = None,
    ) -> Response:
        offer = authorization.offer(asked, session)
        spoken = pages.language()
        return page(
            offer,
            language=spoken,
            request_id=asked.id,
            form=sessions.form_token(session, _purpose(asked)),
            redirect_uri=asked.redirect_uri,
            now=clock(),
            ticked=ticked,
            how_long=how_long,
            problem=problem,
            several=_several(asked, session),
        )

    def _several(asked: AuthorizationRequest, session: Session) -> bool:
        """Whether the person could have chosen another record."""
        subject = session.subject
        if subject is None or subject.account is None or (asked.launch and asked.launch.get("patient")):
            return False
        return len(tuple(authorization.profiles(subject.account))) > 1

    return consent


def page(
    offer: Offer,
    *,
    language: str,
    request_id: str,
    form: str,
    redirect_uri: str,
    now: datetime,
    ticked: Callable[[lines.Row], bool] = lambda row: row.ticked,
    how_long: str = "once",
    problem: str | None = None,
    several: bool = False,
) -> Response:
    """The page of consent, as this offer stands."""
    said = {row.kind: row for row in offer.rows}
    return pages.page(
        "consent",
        status=400 if problem else 200,
        form_action=(forms.leads_to(redirect_uri),),
        person=offer.subject.name,
        offer=offer,
        request_id=request_id,
        form=form,
        host=host_of(redirect_uri),
        groups=lines.groups(offer.rows, language),
        beside=lines.beside(offer.rows, language),
        said=said,
        ticked=frozenset(row.id for row in offer.rows if ticked(row)),
        how_long=how_long,
        until={name: day(now + length, language) for name, length in LASTING.items() if length},
        before=day(offer.previous.granted_at, language) if offer.previous else None,
        several=several,
        problems=[("choose", words(language)["consent"][problem])] if problem else [],
    )


def host_of(uri: str) -> str:
    """Where a redirect leads, as a person can check it: the host, or the scheme of an app of the device."""
    parts = urlsplit(uri)
    return parts.netloc.rpartition("@")[2] if parts.scheme in ("http", "https") else f"{parts.scheme}:"


def _purpose(asked: AuthorizationRequest) -> str:
    """What the form is for: this request, and the record that the page showed, which another tab may have changed."""
    return f"consent {asked.id} {asked.patient} {asked.encounter} {asked.mode} {asked.secret}"


def _preset(tick: str | None) -> Callable[[lines.Row], bool]:
    """How the boxes stand where the address says so: the page has no script for that."""
    if tick == "all":
        return lambda row: row.kind != "lasting"
    if tick == "none":
        return lambda row: False
    return lambda row: row.ticked


def _to_client(leads_to: str) -> AnyResponse:
    response = redirect(leads_to, 303)
    response.headers["Cache-Control"] = "no-store"
    return response


def _back(name: str) -> AnyResponse:
    """To where the step that is due is looked up."""
    return go(f"{request.script_root}/authorize/{name}")
