"""The way of a person through an authorization request: one dispatcher sends the browser to the step that is due.

It looks at what is kept of the request and of the session, never at what a page said was next, so that no step can be
left out.  RFC 6749 s. 4.1; SMART 2.2: scopes-and-launch-context.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol

from flask import Blueprint, Response, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from fhir_server.accounts.account import Profile
from fhir_server.smart.authorization import Authorization, AuthorizationError, Refused
from fhir_server.smart.requests import AuthorizationRequest
from fhir_server.smart.sessions import Cookie, Session, Sessions
from fhir_server.smart.subject import Subject
from fhir_server.web import forms
from fhir_server.web.browsers import name_of
from fhir_server.web.moments import day
from fhir_server.web.pages import language, page, strict
from fhir_server.web.sign_in import Asking, go
from fhir_server.web.visits import Visit
from fhir_server.web.words import words


class Search(Protocol):
    """The other half of the page of the patient: a professional names the patient by exact identity."""

    def show(self, asked: AuthorizationRequest, session: Session) -> AnyResponse:
        """The form."""

    def answer(
        self, asked: AuthorizationRequest, session: Session, subject: Subject, chosen: Callable[..., AnyResponse]
    ) -> AnyResponse:
        """What becomes of the form; `chosen` is called with the patient who was found and opened."""


@dataclass(frozen=True)
class Steps:
    """
    What the pages need.

    profiles    the records that the account with this id opens
    visits      the encounters of the patient in context that the person may see, the latest first
    search      for professionals; None where there is no directory
    """

    authorization: Authorization
    sessions: Sessions
    base_url: str
    profiles: Callable[[str], Iterable[Profile]]
    visits: Callable[[AuthorizationRequest, Session], Iterable[Visit]]
    search: Search | None = None


def problem(error: AuthorizationError) -> Response:
    """The page for what no client can be told of, in words of our own; where the form was past, with a way on."""
    known = words(language())["wrong-way"]
    key = error.key if isinstance(known.get(error.key), dict) else "request"
    name = (request.view_args or {}).get("name") if key == "form" else None
    return page("wrong-way", status=error.status, key=key, again=name and f"{request.script_root}/authorize/{name}")


def asking(authorization: Authorization) -> Callable[[str, Session], Asking | None]:
    """Who asks in the authorization request of an id, for the pages of signing in."""

    def found(name: str, session: Session) -> Asking | None:
        try:
            asked = authorization.find(name, session)
            return Asking(authorization.client_of(asked), asked.redirect_uri, asked.login_hint)
        except AuthorizationError:
            return None  # the dispatcher will say so, once somebody is signed in

    return found


def blueprint(steps: Steps) -> Blueprint:
    """The dispatcher and the pages of the context, to be registered at `/`."""
    pages = strict(Blueprint("authorize", __name__))
    authorization, sessions, base_url = steps.authorization, steps.sessions, steps.base_url
    cookie = Cookie.of(base_url)

    @pages.get("/authorize/<name>")
    def dispatch(name: str) -> AnyResponse:
        """To the step that is due; where none is, back to the client."""
        session = sessions.find(cookie.read(request))
        secret = None
        if session is None:
            secret, session = sessions.start(name_of(request.user_agent.string), address=request.remote_addr or "")
        response = _onward(name, session)
        if secret:
            cookie.write(response, secret)
        return response

    def _onward(name: str, session: Session) -> AnyResponse:
        asked = authorization.find(name, session)
        due = authorization.step(asked, session)
        if due == "patient" and (only := _only(session)):
            asked = authorization.choose_patient(asked, session, only.patient, only.relation)
            due = authorization.step(asked, session)
        if due is None:
            return _to_client(authorization.regrant(asked, session))
        if due == "sign-in":
            return go(f"{request.script_root}/sign-in?request={name}")
        return go(f"{request.script_root}/authorize/{name}/{due}")

    def _only(session: Session) -> Profile | None:
        """The record of who has no other to choose."""
        opened = _opened(session)
        return opened[0] if len(opened) == 1 else None

    def _opened(session: Session) -> tuple[Profile, ...]:
        subject = session.subject
        return tuple(steps.profiles(subject.account)) if subject and subject.account else ()

    @pages.get("/authorize/<name>/patient")
    def ask_patient(name: str) -> AnyResponse:
        """Whose record: of those the person may open, or by exact identity."""
        asked, session, subject = _at(name, "patient")
        if subject.kind == "professional":
            if steps.search is None:
                raise AuthorizationError("request", 400)
            return steps.search.show(asked, session)
        return _patients(asked, session)

    @pages.post("/authorize/<name>/patient")
    def take_patient(name: str) -> AnyResponse:
        """On, with the patient who was chosen."""
        asked, session, subject = _at(name, "patient")
        if subject.kind == "professional":
            if steps.search is None:
                raise AuthorizationError("request", 400)

            def chosen(patient_id: str, *, display: str, secret: bool) -> AnyResponse:
                authorization.choose_patient(asked, session, patient_id, display=display, secret=secret)
                return _back(name)

            return steps.search.answer(asked, session, subject, chosen)
        _check_form(session, f"patient {name}")
        choice = forms.text(request, "patient")
        if not choice:
            return _patients(asked, session, missing=True)
        authorization.choose_patient(asked, session, choice)
        return _back(name)

    def _patients(asked: AuthorizationRequest, session: Session, *, missing: bool = False) -> Response:
        spoken = language()
        return page(
            "patient",
            status=422 if missing else 200,
            form_action=(forms.leads_to(asked.redirect_uri),),
            problems=[("patient-1", words(spoken)["patient"]["missing"])] if missing else [],
            person=session.subject and session.subject.name,
            app=authorization.client_of(asked).name,
            profiles=[_row(profile, spoken) for profile in _opened(session)],
            chosen=asked.patient,
            token=sessions.form_token(session, f"patient {asked.id}"),
        )

    @pages.get("/authorize/<name>/encounter")
    def ask_encounter(name: str) -> AnyResponse:
        """Which visit it is about."""
        asked, session, _ = _at(name, "encounter")
        return _encounters(asked, session)

    @pages.post("/authorize/<name>/encounter")
    def take_encounter(name: str) -> AnyResponse:
        """On, with the visit that was chosen, or none."""
        asked, session, _ = _at(name, "encounter")
        _check_form(session, f"encounter {name}")
        choice = forms.text(request, "encounter")
        if not choice:
            return _encounters(asked, session, missing=True)
        if choice != "none" and choice not in {visit.id for visit in steps.visits(asked, session)}:
            raise AuthorizationError("request", 400)
        authorization.choose_encounter(asked, session, None if choice == "none" else choice)
        return _back(name)

    def _encounters(asked: AuthorizationRequest, session: Session, *, missing: bool = False) -> Response:
        spoken = language()
        found = [
            {
                "id": visit.id,
                "display": visit.display,
                "day": visit.day,
                "said": _said(visit.day, spoken),
            }
            for visit in steps.visits(asked, session)
        ]
        return page(
            "encounter",
            status=422 if missing else 200,
            form_action=(forms.leads_to(asked.redirect_uri),),
            problems=[("encounter-none", words(spoken)["encounter"]["missing"])] if missing else [],
            person=session.subject and session.subject.name,
            display=asked.display,
            encounters=found,
            token=sessions.form_token(session, f"encounter {asked.id}"),
        )

    @pages.errorhandler(AuthorizationError)
    def over(error: AuthorizationError) -> Response:
        return problem(error)

    @pages.errorhandler(Refused)
    def told(refused: Refused) -> AnyResponse:
        return _to_client(refused.redirect)

    def _at(name: str, wanted: str) -> tuple[AuthorizationRequest, Session, Subject]:
        """
        The request at this step, and who is signed in.  Raises _Elsewhere when another step comes before.

        A choice can be made anew as long as nothing was decided; what the launch has fixed cannot be chosen.
        """
        session = sessions.find(cookie.read(request))
        if session is None:
            raise _Elsewhere(name)
        asked = authorization.find(name, session)
        due = authorization.step(asked, session)
        order = ("sign-in", "patient", "encounter", "emergency", "consent", None)
        fixed = bool(asked.launch and asked.launch.get(wanted))
        if session.subject is None or order.index(due) < order.index(wanted) or (fixed and due != wanted):
            raise _Elsewhere(name)
        return asked, session, session.subject

    @pages.errorhandler(_Elsewhere)
    def elsewhere(error: _Elsewhere) -> AnyResponse:
        return _back(error.name)

    def _back(name: str) -> AnyResponse:
        return go(f"{request.script_root}/authorize/{name}")

    def _check_form(session: Session, purpose: str) -> None:
        """Raises AuthorizationError unless the form is of a page of ours, in this session, for this purpose."""
        if not forms.sent_by(request, sessions, session, purpose=purpose, base_url=base_url):
            raise AuthorizationError("form", 403)

    return pages


class _Elsewhere(Exception):
    """Another step is due: the dispatcher knows which."""

    def __init__(self, name: str):
        super().__init__(name)
        self.name = name


def _to_client(where: str) -> AnyResponse:
    response = redirect(where, 303)
    response.headers["Cache-Control"] = "no-store"
    return response


def _row(profile: Profile, spoken: str) -> dict[str, Any]:
    """A record as the page lists it."""
    return {
        "patient": profile.patient,
        "relation": profile.relation,
        "display": profile.display,
        "birth_date": profile.birth_date,
        "born": _said(profile.birth_date, spoken),
    }


def _said(written: str | None, spoken: str) -> str | None:
    """A date of FHIR as a person reads it; one that has no day as it is written.  R4: datatypes.html#date"""
    return day(date.fromisoformat(written), spoken) if written and len(written) == 10 else written
