"""The step before a record is opened in an emergency: what the law says, a reason, and then the button.

Its form decides: who declares the emergency opens the record, and nothing more is asked.  Who may not is told so in
the same words whatever stands against it.  rule A10, A11; CSP L1111-17; homologation DMP: EX_0.2-1050
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from flask import Blueprint, Response, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from fhir_server.access.emergency import reasons, stated
from fhir_server.smart.authorization import Authorization, AuthorizationError, Refused
from fhir_server.smart.requests import AuthorizationRequest
from fhir_server.smart.sessions import Cookie, Session, Sessions
from fhir_server.web import forms
from fhir_server.web.authorize import problem as problem_page
from fhir_server.web.pages import language, page, strict
from fhir_server.web.sign_in import go
from fhir_server.web.words import words

LONGEST = 2_000


def blueprint(authorization: Authorization, sessions: Sessions, *, base_url: str, lifetime: timedelta) -> Blueprint:
    """The page, below `/authorize/[request]`.  lifetime: of an access."""
    pages = strict(Blueprint("emergency", __name__))
    cookie = Cookie.of(base_url)

    @pages.get("/authorize/<name>/emergency")
    def ask(name: str) -> AnyResponse:
        return _at(name, lambda asked, session: _page(asked, session))

    @pages.post("/authorize/<name>/emergency")
    def take(name: str) -> AnyResponse:
        return _at(name, _taken)

    def _taken(asked: AuthorizationRequest, session: Session) -> AnyResponse:
        if not forms.sent_by(request, sessions, session, purpose=_purpose(asked.id), base_url=base_url):
            raise AuthorizationError("form", 403)
        if forms.text(request, "decision") == "give-up":
            return _to_client(authorization.refuse(asked, session))
        code, text = forms.text(request, "code"), forms.text(request, "text", longest=LONGEST)
        wrong = _wrong(asked, code, text)
        if wrong:
            return _page(asked, session, code=code, text=text, wrong=wrong)
        try:
            authorization.declare_emergency(asked, session, code, text)
        except Refused as refused:
            return page("emergency-refused", status=403, leads_to=refused.redirect)
        return go(f"{request.script_root}/authorize/{asked.id}")

    def _at(name: str, answer: Callable[[AuthorizationRequest, Session], AnyResponse]) -> AnyResponse:
        """What it answers, if this is the step that is due."""
        session = sessions.find(cookie.read(request))
        if session is None:
            return go(f"{request.script_root}/authorize/{name}")
        asked = authorization.find(name, session)
        if authorization.step(asked, session) != "emergency":
            return go(f"{request.script_root}/authorize/{name}")
        return answer(asked, session)

    def _page(
        asked: AuthorizationRequest, session: Session, *, code: str = "", text: str = "", wrong: tuple[str, ...] = ()
    ) -> Response:
        said = words(language())["emergency"]["wrong"]
        places = {"code": "code-1", "text": "text"}
        return page(
            "emergency",
            status=400 if wrong else 200,
            form_action=(forms.leads_to(asked.redirect_uri),),
            problems=[(places[field], said[field]) for field in wrong],
            person=session.subject and session.subject.name,
            mode=asked.mode,
            display=asked.display or asked.patient,
            app=authorization.client_of(asked).name,
            minutes=int(lifetime.total_seconds() // 60),
            reasons=[(reason.code, reason.display[language()]) for reason in reasons(asked.mode)],
            code=code,
            text=text,
            wrong=wrong,
            token=sessions.form_token(session, _purpose(asked.id)),
        )

    @pages.errorhandler(AuthorizationError)
    def over(error: AuthorizationError) -> Response:
        return problem_page(error)

    @pages.errorhandler(Refused)
    def told(refused: Refused) -> AnyResponse:
        return _to_client(refused.redirect)

    return pages


def _wrong(asked: AuthorizationRequest, code: str, text: str) -> tuple[str, ...]:
    """The fields that say nothing that could be a reason."""
    known = [reason.code for reason in reasons(asked.mode)]
    wrong = () if code in known else ("code",)
    return wrong if stated(asked.mode, known[0], text) else (*wrong, "text")


def _purpose(name: str) -> str:
    return f"emergency {name}"


def _to_client(leads_to: str) -> AnyResponse:
    response = redirect(leads_to, 303)
    response.headers["Cache-Control"] = "no-store"
    return response
