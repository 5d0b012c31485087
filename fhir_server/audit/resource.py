"""The AuditEvents of a record: one for each patient whose versions it names, and for what is kept from its readers.

A patient reads the AuditEvents of their own record, so that one names nothing of another's, and what is to be announced
first stands in one of its own, which has the labels.
R4: auditevent.html; IHE BALP: "one AuditEvent is created for every Patient identified"
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from typing import Any, NamedTuple
from urllib.parse import unquote

from fhir_server.access import Actor
from fhir_server.audit.record import SUCCESS, actor_of
from fhir_server.fhir import json
from fhir_server.fhir.dates import MILLISECOND, Interval, instant
from fhir_server.fhir.labels import INVISIBLE_TO_REPRESENTATIVES, LABELS, SYSTEM
from fhir_server.fhir.outcome import printable
from fhir_server.fhir.types import TYPES
from fhir_server.search.expression import Entry
from fhir_server.search.index import entry
from fhir_server.search.parameters import parameters
from fhir_server.search.types import date
from fhir_server.search.types.token import escape
from fhir_server.storage.documents import Stored

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
    "emergency-start": ("110113", "110127", "Emergency Override Started"),
    "emergency-stop": ("110113", "110138", "Emergency Override Stopped"),
    "emergency-alert": ("110113", "110113", "Security Alert"),
    "emergency-review": ("110113", "110113", "Security Alert"),
    "report-review": ("110113", "110113", "Security Alert"),
}
_START = datetime(1970, 1, 1, tzinfo=UTC)


class _Request(NamedTuple):
    """How a request came in."""

    method: str
    path: str
    query: str
    address: str | None
    name: str | None


class _Of(NamedTuple):
    """Whose record, and by what what is in it is kept from readers: labels, and when it was deposited."""

    patient: str | None = None
    labels: tuple[str, ...] = ()
    deposited: int = 0


def events(said: Mapping[str, Any]) -> list[Stored]:
    """The AuditEvents of a record, as they are kept; the first has the record's own id."""
    actor, asked = actor_of(said.get("who")), _Request(*said["on"])
    found = by_reader(said.get("of", ()), secret=bool(actor and actor.secret))
    ids = [said["id"], *(f"{said['id']}-{number}" for number in range(1, len(found)))]
    return [_event(said, actor, asked, id, of, versions) for id, (of, versions) in zip(ids, found.items(), strict=True)]


def by_reader(groups: Iterable[list[Any]], *, secret: bool = False) -> dict[_Of, list[str]]:
    """
    The versions in each patient's record, and those in nobody's, by what they are kept from readers by.

    secret: whether all that was done is kept from the representatives, as what is deposited then.  rule A15
    """
    found: dict[_Of, dict[str, None]] = {}
    for patients, references, *kept in groups:
        labels, deposited = kept[0] if kept else ([], 0)
        if secret and INVISIBLE_TO_REPRESENTATIVES not in labels:
            labels = [*labels, INVISIBLE_TO_REPRESENTATIVES]
        for patient in patients:
            of = _Of(patient, tuple(labels), deposited)
            found.setdefault(of, {}).update(dict.fromkeys(references))
    return {of: list(references) for of, references in found.items()} or {_Of(): []}


def _event(
    said: Mapping[str, Any], actor: Actor | None, asked: _Request, id: str, of: _Of, versions: list[str]
) -> Stored:
    patient = of.patient
    now = _START + timedelta(milliseconds=said["at"])
    interaction, outcome, why = said["do"], said.get("out", SUCCESS), said.get("why")
    named = asked.name is not None
    adds_patient = _adds_patient(versions, patient)
    resource: dict[str, Any] = {
        "resourceType": "AuditEvent",
        "id": id,
        "meta": {"versionId": "1", "lastUpdated": instant(now), **_security(of.labels)},
        **_kind(interaction),
        "recorded": instant(now),
        "outcome": outcome,
        **({"outcomeDesc": printable(why)} if why else {}),
        **_purpose(actor),
        "agent": _agents(interaction, actor, asked.address),
        "source": _SOURCE,
        "entity": _entities(asked, versions, patient),
    }
    common = _entry_of_kind(
        interaction, outcome, actor, asked.address, named=named, patient=adds_patient, labels=of.labels
    )
    own = _entry(asked, versions, patient, now)
    kept = {**common, **own, "keys": list(dict.fromkeys([*common["keys"], *own["keys"]])), "_id": id, "updated": now}
    if of.deposited:
        kept["deposited"] = _START + timedelta(milliseconds=of.deposited)
    return Stored("AuditEvent", id, 1, now, json.dumps(resource), "POST", origin="server", entry=kept)


def _entry(asked: _Request, versions: list[str], patient: str | None, now: datetime) -> Entry:
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
    if asked.name:
        name = escape(asked.name)
        keys += (f"entity:identifier={name}", f"entity:identifier=|{name}", "entity?")
    owner = {"owner": patient} if patient else {}
    return {**owner, "keys": keys, "dates": {"date": {"low": now, "high": now + MILLISECOND}}}


@lru_cache(maxsize=1024)
def _entry_of_kind(
    interaction: str,
    outcome: str,
    actor: Actor | None,
    address: str | None,
    *,
    named: bool,
    patient: bool,
    labels: tuple[str, ...],
) -> Entry:
    """What the events of one caller have in common: walked once."""
    return entry(
        "AuditEvent",
        {
            "meta": _security(labels),
            **_kind(interaction),
            "outcome": outcome,
            "agent": _agents(interaction, actor, address),
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


def _security(labels: tuple[str, ...]) -> dict[str, Any]:
    """The part of `meta` that says from whom it is kept."""
    codings = [{"system": SYSTEM, "code": label, "display": LABELS[label]} for label in labels]
    return {"security": codings} if codings else {}


def _purpose(actor: Actor | None) -> dict[str, Any]:
    if actor is None or actor.mode not in _PURPOSES:
        return {}
    code = _PURPOSES[actor.mode]
    coding = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": code}
    return {"purposeOfEvent": [{"coding": [coding], **({"text": actor.reason} if actor.reason else {})}]}


def _agents(interaction: str, actor: Actor | None, address: str | None) -> list[dict[str, Any]]:
    """Who asked, in what capacity, on whose behalf, and by which software.  IHE BALP: user, organization, client"""
    who: dict[str, Any] = {"display": actor.name if actor else "nobody who is known"}
    if actor and actor.reference:
        who = {"reference": actor.reference, **who}
    user: dict[str, Any] = {}
    if actor and actor.relation:
        user["role"] = [{"coding": [_CAPACITIES[actor.relation]]}]
    user["who"] = who
    if actor and actor.token_id:
        user["altId"] = actor.token_id
    user["requestor"] = True
    if address:
        user["network"] = {"address": address, "type": "2"}
    found = [user]
    for reference in (actor.role, actor.organization) if actor else ():
        if reference:
            found.append({"type": _ON_BEHALF, "who": {"reference": reference}, "requestor": False})
    if actor and (actor.software or actor.client_id):
        software: dict[str, Any] = {"identifier": {"value": actor.client_id}} if actor.client_id else {}
        if actor.software:
            software["display"] = actor.software
        reads = _kind(interaction)["action"] == "R"
        found.append({"type": _DESTINATION if reads else _SOURCE_ROLE, "who": software, "requestor": False})
    return found


def _entities(asked: _Request, versions: list[str], patient: str | None) -> list[dict[str, Any]]:
    """The versions disclosed or written, the patient they are of, the request, and its id."""
    found: list[dict[str, Any]] = [{"what": {"reference": reference}} for reference in versions]
    if _adds_patient(versions, patient):
        found.append({"what": {"reference": f"Patient/{patient}"}, "role": _PATIENT_ROLE})
    words = asked.query if patient is None else _of_this_record(asked)
    query = f"{asked.method} {asked.path}" + (f"?{words}" if words else "")
    found.append({"role": _QUERY_ROLE, "query": b64encode(query.encode("utf-8", "replace")).decode()})
    if asked.name:
        found.append({"what": {"identifier": {"value": asked.name}}, "type": _REQUEST_ID})
    return found


def _of_this_record(asked: _Request) -> str:
    """
    The query as the readers of one record are told it: of a list that may name others' records, the parameter alone.

    Whoever asked for several patients at once, or for several resources by their ids, has named people and resources
    that are none of the reader's.  The ledger keeps all of it.

    >>> _of_this_record(_Request("GET", "/Observation", "patient=a,b&code=x,y", None, None))
    'patient=...&code=x,y'
    """
    type = next((one for one in reversed(asked.path.split("/")) if one in TYPES), "")
    return "&".join(map(partial(_told, type), asked.query.split("&")))


def _told(type: str, pair: str) -> str:
    name, _, text = pair.partition("=")
    lists = "," in unquote(text) or unquote(name) == "_filter"
    return f"{name}=..." if lists and not _names_nobody(type, unquote(name)) else pair


def _names_nobody(type: str, name: str) -> bool:
    """Whether it says how the answer looks, or is a code, a date or an amount: of no person and no resource."""
    code = name.partition(":")[0]
    if code.startswith("_"):
        return code not in ("_id", "_has", "_list", "_filter", "_cursor")
    found = parameters(type).get(code) if type and "." not in name else None
    return found is not None and found.type in ("token", "date", "number", "quantity") and code != "identifier"


def _adds_patient(versions: list[str], patient: str | None) -> bool:
    """Whether whose record it is has yet to be said beside the versions."""
    return patient is not None and not any(reference.startswith(f"Patient/{patient}/") for reference in versions)


_SOURCE = {"observer": {"display": "fhir-server"}}
_ROLES = "http://terminology.hl7.org/CodeSystem/object-role"
_PATIENT_ROLE = {"system": _ROLES, "code": "1", "display": "Patient"}
_QUERY_ROLE = {"system": _ROLES, "code": "24", "display": "Query"}
_REQUEST_ID = {"system": "https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType", "code": "XrequestId"}
_SOURCE_ROLE = {"coding": [{"system": _DCM, "code": "110153", "display": "Source Role ID"}]}
_DESTINATION = {"coding": [{"system": _DCM, "code": "110152", "display": "Destination Role ID"}]}
_ROLE_CLASS = "http://terminology.hl7.org/CodeSystem/v3-RoleClass"
_ON_BEHALF = {"coding": [{"system": _ROLE_CLASS, "code": "AGNT", "display": "agent"}]}
_CAPACITIES = {
    "self": {"system": _ROLE_CLASS, "code": "PAT", "display": "patient"},
    "legal-representative": {"system": _ROLE_CLASS, "code": "GUARD", "display": "guardian"},
    "caregiver": {"system": _ROLE_CLASS, "code": "CAREGIVER", "display": "caregiver"},
}
