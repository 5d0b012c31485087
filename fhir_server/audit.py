"""Every access is recorded, whoever's, granted or refused: an AuditEvent, durable before the answer leaves.

A write's record is part of its transaction.  The records of reads are shared: requests that wait at the same time go
in one majority-committed insert, made by whichever of them came first.
R4: auditevent.html; IHE BALP
"""

from __future__ import annotations

import threading
from base64 import b64encode
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

from pymongo import WriteConcern
from pymongo.database import Database

from fhir_server.access import Actor
from fhir_server.fhir import json
from fhir_server.fhir.dates import MILLISECOND, Interval, instant
from fhir_server.fhir.outcome import printable
from fhir_server.search.expression import Entry
from fhir_server.search.index import entry
from fhir_server.search.types import date
from fhir_server.search.types.token import escape
from fhir_server.storage.documents import Stored, current_document
from fhir_server.storage.store import answering

_DCM = "http://dicom.nema.org/resources/ontology/DCM"
_INTERACTIONS = "http://hl7.org/fhir/restful-interaction"
_ACTIONS = {"create": "C", "update": "U", "patch": "U", "delete": "D", "batch": "E", "transaction": "E"}
_PURPOSES = {"bris_de_glace": "BTG", "centre_15": "ETREAT"}
#: What is no interaction of FHIR: (code of its type, of its subtype, and that one's words).  DICOM PS3.16 CID 400, 401
_OTHERWISE = {
    "login": ("110114", "110122", "Login"),
    "logout": ("110114", "110123", "Logout"),
    "token": ("110114", "110114", "User Authentication"),
    "refusal": ("110114", "110114", "User Authentication"),
    "client": ("110113", "110137", "User Security Attributes Changed"),
    "grant": ("110113", "110136", "Security Roles Changed"),
    "withdrawal": ("110113", "110136", "Security Roles Changed"),
    "reuse": ("110113", "110132", "Use of Restricted Function"),
}
#: R4 valueset-audit-event-outcome: success, minor failure (the client's), serious failure (ours).
SUCCESS, REFUSED, FAILED = "0", "4", "8"


@dataclass
class Trail:
    """What one request has disclosed so far, and how it came in."""

    interaction: str
    method: str
    path: str
    query: str = ""
    address: str | None = None
    request_id: str | None = None
    disclosed: dict[str, Stored] = field(default_factory=dict)
    recorded: bool = False

    def disclose(self, found: Iterable[Stored]) -> None:
        """Note that these versions leave the server."""
        for stored in found:
            self.disclosed[f"{stored.reference}/_history/{stored.version}"] = stored


def event(
    trail: Trail,
    actor: Actor | None,
    *,
    id: str,
    now: datetime,
    interaction: str,
    versions: dict[str, Stored],
    patient: str | None = None,
    outcome: str = SUCCESS,
    description: str | None = None,
) -> Stored:
    """The AuditEvent of a request, or of one write in it, as it is kept; `patient` is whose the versions are."""
    resource: dict[str, Any] = {
        "resourceType": "AuditEvent",
        "id": id,
        "meta": {"versionId": "1", "lastUpdated": instant(now)},
        **_kind(interaction),
        "recorded": instant(now),
        "outcome": outcome,
        **({"outcomeDesc": printable(description)} if description else {}),
        **_purpose(actor),
        "agent": [_agent(actor, trail.address)],
        "source": _SOURCE,
        "entity": _entities(trail, versions, patient),
    }
    common = _entry_of_kind(
        interaction,
        outcome,
        actor,
        trail.address,
        named=trail.request_id is not None,
        patient=_adds_patient(versions, patient),
    )
    own = _entry(trail, versions, patient, now)
    kept = {**common, **own, "keys": list(dict.fromkeys([*common["keys"], *own["keys"]])), "_id": id, "updated": now}
    return Stored("AuditEvent", id, 1, now, json.dumps(resource), "POST", origin="server", entry=kept)


def _entry(trail: Trail, versions: dict[str, Stored], patient: str | None, now: datetime) -> Entry:
    """What tells one event from the next of the same caller, as `search.index.entry` would have it."""
    keys = [*date.keys("date", Interval(now, now + MILLISECOND))]
    for reference in versions:
        whole = reference.partition("/_history/")[0]
        # Whose record it is, `owner` says.
        keys += (
            (f"entity={reference}",) if whole == f"Patient/{patient}" else (f"entity={reference}", f"entity={whole}")
        )
    if patient:
        keys.append(f"patient=Patient/{patient}")
    if trail.request_id:
        name = escape(trail.request_id)
        keys += (f"entity:identifier={name}", f"entity:identifier=|{name}", "entity?")
    owner = {"owner": patient} if patient else {}
    return {**owner, "keys": keys, "dates": {"date": {"low": now, "high": now + MILLISECOND}}}


@lru_cache(maxsize=1024)
def _entry_of_kind(
    interaction: str, outcome: str, actor: Actor | None, address: str | None, *, named: bool, patient: bool
) -> Entry:
    """What the events of one caller have in common: walked once, since every read waits for its record."""
    return entry(
        "AuditEvent",
        {
            **_kind(interaction),
            "outcome": outcome,
            "agent": [_agent(actor, address)],
            "source": _SOURCE,
            "entity": [
                *([{"role": _PATIENT_ROLE}] if patient else []),
                {"role": _QUERY_ROLE},
                *([{"type": _REQUEST_ID}] if named else []),
            ],
        },
    )


def _kind(interaction: str) -> dict[str, Any]:
    """The type, subtype and action of what was done.  R4: valueset-audit-event-sub-type.html"""
    if interaction in _OTHERWISE:
        type, code, words = _OTHERWISE[interaction]
        coding = {"system": _DCM, "code": code, "display": words}
        return {"type": {"system": _DCM, "code": type}, "subtype": [coding], "action": "E"}
    code, _, name = interaction.partition("-") if interaction.startswith("operation-") else (interaction, "", "")
    coding = {"system": _INTERACTIONS, "code": code, **({"display": f"${name}"} if name else {})}
    return {
        "type": {"system": "http://terminology.hl7.org/CodeSystem/audit-event-type", "code": "rest"},
        **({"subtype": [coding]} if interaction else {}),
        "action": _ACTIONS.get(code, "E" if code.startswith(("search", "operation")) else "R"),
    }


def _purpose(actor: Actor | None) -> dict[str, Any]:
    if actor is None or actor.mode not in _PURPOSES:
        return {}
    code = _PURPOSES[actor.mode]
    coding = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": code}
    return {"purposeOfEvent": [{"coding": [coding], **({"text": actor.reason} if actor.reason else {})}]}


def _agent(actor: Actor | None, address: str | None) -> dict[str, Any]:
    who: dict[str, Any] = {"display": actor.name if actor else "nobody who is known"}
    if actor and actor.reference:
        who = {"reference": actor.reference, **who}
    agent: dict[str, Any] = {"who": who}
    if actor and actor.token_id:
        agent["altId"] = actor.token_id
    agent["requestor"] = True
    if address:
        agent["network"] = {"address": address, "type": "2"}
    return agent


def by_patient(versions: dict[str, Stored]) -> dict[str | None, dict[str, Stored]]:
    """
    The versions of each patient's record, and those of nobody's under None.

    A patient reads the AuditEvents of their own record, so that one names nothing of another's.  IHE BALP: "one
    AuditEvent is created for every Patient identified".
    """
    found: dict[str | None, dict[str, Stored]] = {}
    for reference, stored in versions.items():
        owner = stored.entry.get("owner")
        for patient in (owner, *stored.entry.get("others", ())):
            found.setdefault(patient, {})[reference] = stored
    return found or {None: {}}


def _entities(trail: Trail, versions: dict[str, Stored], patient: str | None) -> list[dict[str, Any]]:
    """The versions disclosed or written, the patient they are of, the request, and its id."""
    found: list[dict[str, Any]] = [{"what": {"reference": reference}} for reference in versions]
    if _adds_patient(versions, patient):
        found.append({"what": {"reference": f"Patient/{patient}"}, "role": _PATIENT_ROLE})
    asked = f"{trail.method} {trail.path}" + (f"?{trail.query}" if trail.query else "")
    found.append({"role": _QUERY_ROLE, "query": b64encode(asked.encode("utf-8", "replace")).decode()})
    if trail.request_id:
        found.append({"what": {"identifier": {"value": trail.request_id}}, "type": _REQUEST_ID})
    return found


def _adds_patient(versions: dict[str, Stored], patient: str | None) -> bool:
    """Whether whose record it is has yet to be said beside the versions."""
    return patient is not None and all(stored.reference != f"Patient/{patient}" for stored in versions.values())


_SOURCE = {"observer": {"display": "fhir-server"}}
_ROLES = "http://terminology.hl7.org/CodeSystem/object-role"
_PATIENT_ROLE = {"system": _ROLES, "code": "1", "display": "Patient"}
_QUERY_ROLE = {"system": _ROLES, "code": "24", "display": "Query"}
_REQUEST_ID = {"system": "https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType", "code": "XrequestId"}


@dataclass
class _Ticket:
    """The records of one request, that wait to be durable."""

    documents: list[dict[str, Any]]
    turn: threading.Event = field(default_factory=threading.Event)
    leads: bool = False
    failure: BaseException | None = None


#: How long a record waits for those of the requests under way, to share its insert with.
COMPANY_SECONDS = 0.003


class Recorder:
    """Makes records durable, several requests' at a time."""

    def __init__(self, database: Database):
        self._collection = database["AuditEvent"].with_options(write_concern=WriteConcern("majority", j=True))
        self._lock = threading.Lock()
        self._arrived = threading.Condition(self._lock)
        self._waiting: list[_Ticket] = []
        self._busy = False
        self._expected = 0

    @contextmanager
    def expecting(self) -> Iterator[None]:
        """A request is under way; whoever records meanwhile waits a moment for its record to come along."""
        with self._lock:
            self._expected += 1
        try:
            yield
        finally:
            with self._lock:
                self._expected -= 1

    def record(self, *events: Stored) -> None:
        """Return once the records are durable.  Raises Unavailable, or what else MongoDB raised, if they cannot be."""
        ticket = _Ticket([current_document(event) for event in events])
        with self._lock:
            self._waiting.append(ticket)
            leads = not self._busy
            self._busy = True
            self._arrived.notify()
        if not leads:
            ticket.turn.wait()
            leads = ticket.leads
        if leads:
            self._insert_all()
        if ticket.failure:
            with answering():
                raise ticket.failure

    def _insert_all(self) -> None:
        """Insert all that waits, wake those it was for, and hand the lead to the first that has come since."""
        with self._lock:
            # The requests under way bring their records soon, and a record costs a third when it shares its insert.
            self._arrived.wait_for(lambda: len(self._waiting) >= self._expected, COMPANY_SECONDS)
            batch, self._waiting = self._waiting, []
        failure: BaseException | None = None
        try:
            self._collection.insert_many([one for ticket in batch for one in ticket.documents], ordered=False)
        except BaseException as error:  # the others must be woken whatever happened; each raises it
            failure = error
        with self._lock:
            self._busy = bool(self._waiting)
            if self._waiting:
                self._waiting[0].leads = True
                self._waiting[0].turn.set()
        for ticket in batch:
            ticket.failure = failure
            ticket.turn.set()
