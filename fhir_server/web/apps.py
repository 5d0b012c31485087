"""The page `/apps`: the apps that a person has connected, what each may do, and how to take it back, all or in part.

It is the `management_endpoint` of discovery.  SMART App Launch 2.2: conformance.html, best-practices.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from flask import Blueprint, request
from werkzeug.wrappers import Response as AnyResponse

from fhir_server.accounts.account import Profile
from fhir_server.smart import offer
from fhir_server.smart.clients import Client, Clients
from fhir_server.smart.grants import Grant, Grants
from fhir_server.smart.sessions import Cookie, Session, Sessions
from fhir_server.smart.subject import Subject
from fhir_server.web import forms, lines
from fhir_server.web.notices import Notices
from fhir_server.web.pages import language, page, strict
from fhir_server.web.sign_in import ACCOUNT, SIGN_IN, go, stale
from fhir_server.web.words import day

APPS = "/apps"
#: What was withdrawn is told for so long.
REMEMBERED = timedelta(days=366)


@dataclass(frozen=True)
class Apps:
    """
    What the page needs.

    profiles    the records that an account opens
    record      told of each withdrawal
    """

    grants: Grants
    clients: Clients
    sessions: Sessions
    profiles: Callable[[str], Iterable[Profile]]
    notices: Notices
    record: Callable[..., None]
    clock: Callable[[], datetime]
    base_url: str


def blueprint(apps: Apps) -> Blueprint:
    """The page, to be registered at `/`."""
    pages = strict(Blueprint("apps", __name__))
    sessions, cookie = apps.sessions, Cookie.of(apps.base_url)

    @pages.get(APPS)
    def show() -> AnyResponse:
        """The apps, by record; behind them those that were withdrawn."""
        session = sessions.find(cookie.read(request))
        if session is None or session.subject is None:
            return go(f"{request.script_root}{SIGN_IN}?page=apps")
        return _show(apps, session, session.subject)

    @pages.post(APPS)
    def withdraw() -> AnyResponse:
        """What was unticked is withdrawn, or all of it."""
        session = sessions.find(cookie.read(request))
        if session is None or session.subject is None:
            return go(f"{request.script_root}{SIGN_IN}?page=apps")
        if not forms.sent_by(request, sessions, session, purpose=APPS, base_url=apps.base_url):
            return stale(request.script_root + APPS)
        grant = apps.grants.find(forms.text(request, "grant"))
        if grant is None or grant.sub != session.subject.sub or grant.status != "live":
            return go(request.script_root + APPS)
        removed = None if "all" in request.form else _unticked(grant, frozenset(request.form.getlist("row")))
        if removed is not None and not removed:
            return go(f"{request.script_root}{APPS}?done=none")
        left = apps.grants.withdraw(grant.id, removed)
        client = apps.clients.find(grant.client_id, any_status=True)
        if left is None or client is None:
            return go(request.script_root + APPS)
        apps.record("withdrawal", subject=session.subject, client_id=grant.client_id, patient=grant.patient)
        shown = _shown(apps, session.subject).get(grant.patient or "")
        apps.notices.withdrawn(session.subject, client, left, shown.display if shown else None)
        return go(f"{request.script_root}{APPS}?done={'all' if left.status == 'withdrawn' else 'part'}&app={grant.id}")

    return pages


def _unticked(grant: Grant, kept: frozenset[str]) -> frozenset[str]:
    """The rows of the grant that were left unticked."""
    return frozenset(row.id for row in _rows(grant) if not row.is_said and row.id not in kept)


def _rows(grant: Grant) -> tuple[offer.Row, ...]:
    return offer.rows(grant.scope, professional=grant.patient is None)


def _shown(apps: Apps, subject: Subject) -> dict[str, Profile]:
    """The records of the person, by the id of their patient."""
    opened = apps.profiles(subject.account) if subject.account else ()
    return {profile.patient: profile for profile in opened}


def _show(apps: Apps, session: Session, subject: Subject) -> AnyResponse:
    spoken, now = language(), apps.clock()
    opened = _shown(apps, subject)
    given = apps.grants.of(subject.sub)
    clients = {id: apps.clients.find(id, any_status=True) for id in {grant.client_id for grant in given}}
    known = [(grant, client) for grant in given if (client := clients[grant.client_id])]
    done = request.args.get("done")
    about = next((client.name for grant, client in known if grant.id == request.args.get("app")), None)
    return page(
        "apps",
        person=subject.name,
        records=_records([one for one in known if one[0].status == "live"], opened, spoken),
        past=[
            {"app": client.name, "since": day(grant.granted_at, spoken), "ended": day(grant.ended_at, spoken)}
            for grant, client in known
            if grant.ended_at and grant.ended_at > now - REMEMBERED
        ],
        done=done if done == "none" or (done in ("all", "part") and about) else None,
        about=about,
        token=apps.sessions.form_token(session, APPS),
        account_page=request.script_root + ACCOUNT,
    )


def _records(known: list[tuple[Grant, Client]], opened: dict[str, Profile], spoken: str) -> list[dict[str, Any]]:
    """The living grants, by record: the person's own first."""
    order = [None, *opened]
    by_record: dict[str | None, list[tuple[Grant, Client]]] = {}
    for grant, client in known:
        by_record.setdefault(grant.patient, []).append((grant, client))
    return [
        {
            "whose": _whose(patient, opened),
            "display": opened[patient].display if patient in opened else None,
            "apps": [_app(grant, client, spoken) for grant, client in by_record[patient]],
        }
        for patient in sorted(by_record, key=lambda each: order.index(each) if each in order else len(order))
    ]


def _whose(patient: str | None, opened: dict[str, Profile]) -> str:
    if patient is None:
        return "professional"
    return opened[patient].relation if patient in opened else "former"


def _app(grant: Grant, client: Client, spoken: str) -> dict[str, Any]:
    """A connected app as the page shows it."""
    rows = _rows(grant)
    return {
        "grant": grant,
        "client": client,
        "suspended": client.status != "live",
        "summary": lines.summary(rows, spoken),
        "groups": lines.groups(rows, spoken),
        "beside": lines.beside(rows, spoken),
        "said": {row.kind: row for row in rows},
        "software": [row for row in rows if row.kind == "software"],
        "since": day(grant.granted_at, spoken),
        "used": day(grant.last_used_at, spoken),
        "until": day(grant.lasting_until, spoken) if grant.lasting_until else None,
    }
