"""The page where a professional names the patient: by exact identity, counted and recorded; never a list.

DMP TD0.2; rule A15 (a minor's secret care), A18 (exact identity)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from math import ceil
from typing import Any, Protocol

from flask import Response, request

from fhir_server.access import patient_lookup
from fhir_server.access.patient_lookup import Found, Number, Traits
from fhir_server.accounts.rates import Rate, Rates
from fhir_server.smart.directory import Directory
from fhir_server.smart.requests import AuthorizationRequest
from fhir_server.smart.sessions import Session, Sessions
from fhir_server.smart.subject import Subject
from fhir_server.web import forms
from fhir_server.web.moments import day
from fhir_server.web.pages import language, page

#: So many searches that find nobody are allowed to a professional; the next has to wait.
FAILURES = Rate("patient-search", 20, timedelta(hours=1))
PURPOSE = "patient-search"
FIELDS = ("ins", "family", "given", "birth_date", "sex")


class Chosen(Protocol):
    """Called with the patient who was found and opened; the answer is the next step."""

    def __call__(self, patient_id: str, *, display: str, secret: bool) -> Any: ...


@dataclass(frozen=True)
class PatientSearch:
    """
    The page, over what it needs.

    tests    whether the people who do not exist are found: in the demonstration
    today    the date where the server is
    """

    directory: Directory
    sessions: Sessions
    rates: Rates
    today: Callable[[], date]
    base_url: str
    tests: bool = False

    def show(self, asked: AuthorizationRequest, session: Session) -> Response:
        """The form."""
        return self._form(asked, session)

    def answer(self, asked: AuthorizationRequest, session: Session, subject: Subject, chosen: Chosen) -> Any:
        """
        What becomes of the form: the one patient, why there is none, or what `chosen` answers for who was opened.

        A search changes nothing, and is answered where it is sent, so that no identity stands in an address.
        """
        opened = forms.text(request, "patient")
        if opened and self._sent(session, _opening(asked, opened)):
            return self._opened(opened, chosen)
        if not self._sent(session, PURPOSE):
            return self._form(asked, session, status=403, wrong={"form": "form"})
        given = {name: forms.text(request, name) for name in FIELDS}
        by = ("ins",) if forms.text(request, "by") == "number" else FIELDS[1:]
        read = patient_lookup.read({name: given[name] for name in by}, number="ins" in by)
        if isinstance(read, dict):
            return self._form(asked, session, given, status=422, wrong=read)
        return self._searched(asked, session, subject, read, given)

    def _searched(
        self,
        asked: AuthorizationRequest,
        session: Session,
        subject: Subject,
        who: Number | Traits,
        given: Mapping[str, str],
    ) -> Response:
        # Counted before it is known what comes of it: searches at the same time are all counted.
        if not self.rates.hit(FAILURES, subject.sub):
            wait = self.rates.wait(FAILURES, subject.sub)
            self._record(subject, who, None, "wait")
            response = self._form(
                asked, session, given, status=429, answer="wait", minutes=ceil(wait / timedelta(minutes=1))
            )
            response.headers["Retry-After"] = str(ceil(wait.total_seconds()))
            return response
        found = patient_lookup.find(who, self.directory.find, tests=self.tests)
        if not isinstance(found, Found):
            self._record(subject, who, None, found)
            return self._form(asked, session, given, answer=found)
        self.rates.give_back(FAILURES, subject.sub)
        self._record(subject, who, found.id, "found")
        return self._found(asked, session, subject, found)

    def _opened(self, id: str, chosen: Chosen) -> Any:
        patients = self.directory.find("Patient", (("_id", id),))
        if len(patients) != 1:
            return page("unavailable", status=409)
        found = patient_lookup.found(patients[0])
        secret = forms.text(request, "secret") == "yes" and found.is_minor(self.today())
        return chosen(id, display=found.name, secret=secret)

    def _found(self, asked: AuthorizationRequest, session: Session, subject: Subject, found: Found) -> Response:
        return page(
            "patient-search",
            form_action=(forms.leads_to(asked.redirect_uri),),
            found=found,
            birth_date=day(found.birth_date, language()) if found.birth_date else "–",
            access=self.directory.access(subject, found.id) if asked.mode == "normal" else "emergency",
            is_minor=found.is_minor(self.today()),
            # Nobody but this page can name the patient: the token is of this request, this patient and this session.
            found_token=self.sessions.form_token(session, _opening(asked, found.id)),
            wrong={},
        )

    def _form(
        self,
        asked: AuthorizationRequest,
        session: Session,
        given: Mapping[str, str] | None = None,
        *,
        status: int = 200,
        wrong: Mapping[str, str] | None = None,
        answer: str | None = None,
        minutes: int = 0,
    ) -> Response:
        return page(
            "patient-search",
            status=status,
            form_action=(forms.leads_to(asked.redirect_uri),),
            token=self.sessions.form_token(session, PURPOSE),
            given=given or dict.fromkeys(FIELDS, ""),
            wrong=wrong or {},
            answer=answer,
            minutes=minutes,
            found=None,
        )

    def _sent(self, session: Session, purpose: str) -> bool:
        return forms.sent_by(request, self.sessions, session, purpose=purpose, base_url=self.base_url)

    def _record(self, subject: Subject, who: Number | Traits, patient: str | None, answer: str) -> None:
        self.directory.record_lookup(
            subject, patient_lookup.parameters(who), address=request.remote_addr, patient=patient, answer=answer
        )


def _opening(asked: AuthorizationRequest, patient: str) -> str:
    return f"patient-opening {asked.id} {patient}"
