"""The encounters that a person can put an app into: those of the patient in context, as that person may see them.

SMART 2.2: scopes-and-launch-context.html#requesting-context-with-scopes (launch/encounter)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import request as http

from fhir_server.access import Actor
from fhir_server.access import scopes as smart_scopes
from fhir_server.audit import Trail
from fhir_server.fhir import json
from fhir_server.fhir.outcome import Forbidden
from fhir_server.repository import Repository, Surroundings
from fhir_server.search.query import Order
from fhir_server.smart.requests import AuthorizationRequest
from fhir_server.smart.sessions import Session

#: The latest ones: whoever means another opens the record without one.
MOST = 20


@dataclass(frozen=True)
class Visit:
    """An Encounter that can be chosen: what it was, and the day it began, `2025-03-11`."""

    id: str
    display: str | None
    day: str | None


def visits(around: Surroundings) -> Callable[[AuthorizationRequest, Session], tuple[Visit, ...]]:
    """What finds the visits of a request, latest first.  They are read, and recorded, as the person's own access."""

    def found(asked: AuthorizationRequest, session: Session) -> tuple[Visit, ...]:
        subject = session.subject
        if subject is None or asked.patient is None:
            return ()
        context = "patient" if subject.kind == "patient" else "user"
        actor = Actor(
            kind=subject.kind,
            name=subject.name,
            scopes=smart_scopes.parse(f"{context}/Encounter.rs"),
            patient=asked.patient,
            practitioner=subject.practitioner,
            client_id=asked.client_id,
            person=asked.person if subject.kind == "patient" else None,
            relation=asked.relation,
            role=subject.role,
            organization=subject.organization,
            profession=subject.profession,
            specialty=subject.specialty,
            regulator=subject.regulator,
            secret=asked.secret,
        )
        trail = Trail("search-type", "GET", "/Encounter", f"patient={asked.patient}", http.remote_addr)
        repository = Repository(around, actor, trail)
        where = around.reader().expression("Encounter", (("patient", asked.patient),))
        try:
            stored = repository.search("Encounter", where, limit=MOST, order=(Order("date", descending=True),))
        except Forbidden as error:
            repository.record(error)
            return ()
        repository.record()
        return tuple(_visit(json.loads(each.body or b"{}")) for each in stored)

    return found


def _visit(encounter: dict[str, Any]) -> Visit:
    texts = (type.get("text") or _display(type.get("coding", ())) for type in encounter.get("type", ()))
    named = next(filter(None, texts), None) or encounter.get("class", {}).get("display")
    return Visit(encounter["id"], named, encounter.get("period", {}).get("start", "")[:10] or None)


def _display(codings: Any) -> str | None:
    return next((coding["display"] for coding in codings if "display" in coding), None)
