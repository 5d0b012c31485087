"""The page `/account`: where somebody is signed in, to be ended one by one or all at once.  OWASP ASVS 5.0: 7.5.2"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import tzinfo
from typing import Any

from flask import Blueprint, request
from werkzeug.wrappers import Response as AnyResponse

from fhir_server.accounts.account import Account, masked
from fhir_server.accounts.accounts import Accounts
from fhir_server.smart.emergencies import Access
from fhir_server.smart.sessions import Cookie, Session, Sessions
from fhir_server.web import forms
from fhir_server.web.moments import moment
from fhir_server.web.pages import language, page, strict
from fhir_server.web.sign_in import ACCOUNT, SIGN_IN, SIGN_OUT, go, stale

#: So many emergency accesses are on the page; the history of the record has all of them.
MOST = 10


def blueprint(
    sessions: Sessions,
    accounts: Accounts,
    *,
    base_url: str,
    zone: tzinfo,
    record: Callable[..., None],
    emergencies: Callable[[str], Sequence[Access]],
) -> Blueprint:
    """
    The page, to be registered at `/`.

    record: told of each session that is ended.  emergencies: the emergency accesses to a record, the latest first
    """
    pages = strict(Blueprint("account", __name__))
    cookie = Cookie.of(base_url)
    to_sign_in = f"{SIGN_IN}?page=account"

    @pages.get(ACCOUNT)
    def show() -> AnyResponse:
        """Who is signed in, and where else."""
        session = sessions.find(cookie.read(request))
        if session is None or session.subject is None:
            return go(request.script_root + to_sign_in)
        account = accounts.find(session.subject.account)
        return page(
            ACCOUNT.strip("/"),
            person=session.subject.name,
            reached=[masked(account.destination(channel)) for channel in account.channels] if account else [],
            sessions=[_row(each, session, zone) for each in sessions.of(session.subject.sub)],
            emergencies=_opened(account, emergencies, zone) if account else [],
            ended="ended" in request.args,
            token=sessions.form_token(session, ACCOUNT),
            sign_out_token=sessions.form_token(session, SIGN_OUT),
        )

    @pages.post(ACCOUNT)
    def end() -> AnyResponse:
        """One of the other sessions has ended, or all of them."""
        session = sessions.find(cookie.read(request))
        if session is None or session.subject is None:
            return go(request.script_root + to_sign_in)
        if not forms.sent_by(request, sessions, session, purpose=ACCOUNT, base_url=base_url):
            return stale(request.script_root + ACCOUNT)
        asked = forms.text(request, "session")
        for each in sessions.of(session.subject.sub):
            if each.id != session.id and asked in (each.id, "others"):
                sessions.end(each.id)
                record("logout", subject=session.subject, description="A session on another device was ended.")
        return go(f"{request.script_root}{ACCOUNT}?ended")

    return pages


def _opened(account: Account, emergencies: Callable[[str], Sequence[Access]], zone: tzinfo) -> list[dict[str, Any]]:
    """The emergency accesses to the records of the account, as the page has them on top.  rule A12"""
    found = [(access, profile) for profile in account.profiles for access in emergencies(profile.patient)]
    return [
        {
            "at": access.started_at.isoformat(),
            "said": moment(access.started_at, language(), zone),
            "who": access.actor.name,
            "record": profile.display,
            "mode": access.actor.mode,
            "reason": access.actor.reason,
        }
        for access, profile in sorted(found, key=lambda one: one[0].started_at, reverse=True)[:MOST]
    ]


def _row(each: Session, here: Session, zone: tzinfo) -> dict[str, Any]:
    """A session as the page lists it."""
    spoken = language()
    return {
        "id": each.id,
        "device": each.device,
        "here": each.id == here.id,
        "started": each.started_at.isoformat(),
        "started_said": moment(each.started_at, spoken, zone),
        "seen": each.seen_at.isoformat(),
        "seen_said": moment(each.seen_at, spoken, zone),
    }
