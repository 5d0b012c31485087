"""What is hidden and what was never there are looked for by the same commands: how long an answer takes tells nothing.

Listened to at the driver: for each way to a resource, and each kind of caller, the commands with their collections and
the shapes of what they ask are the same for a resource that is hidden, one that was deleted while it was hidden, and
one that never was.

docs/decisions/0015; R4 security.html#AccessDenied
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from pymongo.monitoring import CommandListener

from fhir_server.storage.connection import connect
from tests.build import entry, observation, transaction
from tests.calls import Caller, Served, serve
from tests.choices import choice, document

JSON_PATCH = "application/json-patch+json"
SYSTEM = "http://identifiers.example"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
#: What a command is told beside what it asks: of the session it is part of, and not of what is asked.
_OF_THE_SESSION = ("lsid", "$db", "$clusterTime", "txnNumber", "startTransaction", "autocommit", "readConcern")


class Commands(CommandListener):
    """The commands that are sent, as (name, collection, shape)."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str, str]] = []

    def started(self, event: Any) -> None:
        """Note it."""
        name = event.command_name
        said = {key: value for key, value in event.command.items() if key not in (*_OF_THE_SESSION, name)}
        self.sent.append((name, str(event.command[name]), repr(shape(said)) if name != "insert" else ""))

    def succeeded(self, event: Any) -> None:
        """Nothing."""

    def failed(self, event: Any) -> None:
        """Nothing."""


def shape(value: Any) -> Any:
    """What is asked, without the values."""
    if isinstance(value, dict):
        return {key: shape(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        shapes = [shape(one) for one in value]
        return shapes if any(isinstance(one, dict | list) for one in value) else sorted(set(shapes))
    return type(value).__name__


@pytest.fixture(scope="module")
def listened(mongodb_uri: str) -> Iterator[tuple[Served, Commands]]:
    """The application on a connection that is listened to."""
    commands, name = Commands(), f"test_{secrets.token_hex(8)}"
    with connect(mongodb_uri, event_listeners=[commands]) as client:
        yield serve(client, name), commands
        client.drop_database(name)


CAREGIVER = {"person": "RelatedPerson/looks-carer", "relation": "caregiver"}
REPRESENTATIVE = {"person": "RelatedPerson/looks-parent", "relation": "legal-representative"}
DOCTOR = {"practitioner": "looks", "profession": "10"}
#: kind of caller: (what hides it from them, scopes, facts)
WHO: dict[str, tuple[str, str, dict[str, Any]]] = {
    "holder": ("INVISIBLE_PATIENT", "patient/*.cruds", {"patient": "{p}"}),
    "app for documents of a class": ("", "patient/*.cruds?category=x", {"patient": "{p}"}),
    "representative": ("INVISIBLE_REPRESENTANTS_LEGAUX", "patient/*.cruds", {"patient": "{p}", **REPRESENTATIVE}),
    "caregiver": ("INVISIBLE_PATIENT", "patient/*.cruds", {"patient": "{p}", **CAREGIVER}),
    "another patient": ("", "patient/*.cruds", {"patient": "{other}"}),
    "permitted": ("MASQUE_PS", "user/*.cruds", DOCTOR),
    "unpermitted": ("", "user/*.cruds", {"practitioner": "looks-nobody", "profession": "10"}),
    "in an emergency": ("MASQUE_PS", "patient/*.rs",
                        {**DOCTOR, "kind": "professional", "patient": "{p}", "mode": "bris_de_glace", "reason": "c"}),
    "backend": ("", "system/*.cruds", {"kind": "backend", "client_id": "looks"}),
}  # fmt: skip

UNMET = [{"op": "test", "path": "/status", "value": "no"}]
#: (method, path, body, headers)
WAYS: dict[str, tuple[str, str, Any, dict[str, str]]] = {
    "read": ("GET", "{type}/{id}", None, {}),
    "head": ("HEAD", "{type}/{id}", None, {}),
    "conditional read": ("GET", "{type}/{id}", None, {"If-None-Match": 'W/"1"'}),
    "vread": ("GET", "{type}/{id}/_history/1", None, {}),
    "history": ("GET", "{type}/{id}/_history", None, {}),
    "meta": ("GET", "{type}/{id}/$meta", None, {}),
    "meta added": ("POST", "{type}/{id}/$meta-add", {"resourceType": "Parameters", "parameter": [
        {"name": "meta", "valueMeta": {"tag": [{"code": "x"}]}}]}, {}),
    "content": ("GET", "Binary/{id}", None, {}),
    "content as it is": ("GET", "Binary/{id}", None, {"Accept": "text/plain"}),
    "content, its version": ("GET", "Binary/{id}/_history/1", None, {}),
    "by id": ("GET", "{type}?_id={id}", None, {}),
    "by id, counted": ("GET", "{type}?_id={id}&_summary=count", None, {}),
    "by id, POST": ("POST", "{type}/_search", b"_id={id}", FORM),
    "by identifier": ("GET", "{type}?identifier={system}|{id}", None, {}),
    "of the patient": ("GET", "{type}?patient={p}&_id={id}", None, {}),
    "by what names it": ("GET", "List?_id={id}&_include=List:item", None, {}),
    "what names it": ("GET", "List/{id}", None, {}),
    "chain": ("GET", "List?item:{type}.identifier={system}|{id}", None, {}),
    "has": ("GET", "Patient?_has:{type}:patient:_id={id}", None, {}),
    "patch": ("PATCH", "{type}/{id}", UNMET, {"Content-Type": JSON_PATCH}),
    "patch of a version": ("PATCH", "{type}/{id}", UNMET, {"Content-Type": JSON_PATCH, "If-Match": 'W/"1"'}),
    "conditional patch": ("PATCH", "{type}?identifier={system}|{id}", UNMET, {"Content-Type": JSON_PATCH}),
    "update of a version": ("PUT", "{type}/{id}", "{own}", {"If-Match": 'W/"1"'}),
    "conditional update": ("PUT", "{type}?identifier={system}|{id}", "{own}", {"If-Match": 'W/"1"'}),
    "delete": ("DELETE", "{type}/{id}", None, {}),
    "delete of a version": ("DELETE", "{type}/{id}", None, {"If-Match": 'W/"1"'}),
    "conditional delete": ("DELETE", "{type}?identifier={system}|{id}", None, {}),
    "validated": ("POST", "{type}/{id}/$validate?mode=delete", None, {}),
    "in a batch": ("POST", "", "{batch}", {}),
    "in a transaction": ("POST", "", "{transaction}", {}),
}  # fmt: skip


@pytest.fixture(scope="module")
def record(listened: tuple[Served, Commands]) -> dict[str, Any]:
    """A patient with what is hidden from each kind of caller, and the ids of what never was; {kind: ids}"""
    served = listened[0]
    operator = served.caller()
    patient, other = served.patient()[0], served.patient()[0]
    operator.create(choice(patient, "access", to=("Practitioner/looks",)))
    operator.create(choice(patient, "caregiver", to=("RelatedPerson/looks-carer",)))
    found: dict[str, Any] = {"p": patient, "other": other}
    for kind, (label, _, _) in WHO.items():
        for how in ("hidden", "deleted", "absent"):
            id = found[f"{kind}, {how}"] = f"{how[0]}{secrets.token_hex(8)}"
            keep(operator, patient, id, label, how)
    return found


def keep(operator: Caller, patient: str, id: str, label: str, how: str) -> None:
    """Keep a document, an Observation, the document's content, and the List that names them; but for the absent."""
    labels = (label,) if label else ()
    subject = {"reference": f"Patient/{patient}"}
    known = {"id": id, "identifier": [{"system": SYSTEM, "value": id}]}
    security = {"meta": {"security": [{"code": label}]}} if label else {}
    content = [{"attachment": {"contentType": "text/plain", "url": f"Binary/{id}"}}]
    items = [{"item": {"reference": f"{type}/{id}", "display": "x"}} for type in ("DocumentReference", "Observation")]
    kept: list[dict[str, Any]] = [
        {"resourceType": "Binary", "id": id, "contentType": "text/plain", "data": "QQ==", "securityContext": subject},
        {**document(patient, *labels, content=content), **known},
        {**observation(patient), **known, **security},
    ]
    for one in kept if how != "absent" else ():
        assert operator("PUT", f"{one['resourceType']}/{id}", one).status_code == 201
    for one in kept if how == "deleted" else ():
        assert operator("DELETE", f"{one['resourceType']}/{id}").status_code == 204
    named = {"resourceType": "List", "id": id, "status": "current", "mode": "working", "subject": subject}
    assert operator("PUT", f"List/{id}", named | {"entry": items}).status_code == 201


@pytest.mark.parametrize("kind", WHO)
def test_what_is_hidden_is_looked_for_as_what_is_not_there(
    listened: tuple[Served, Commands], record: dict[str, Any], kind: str
) -> None:
    """docs/decisions/0015: of what is hidden, deleted and absent, for each way and kind of caller"""
    served, commands = listened
    _, scope, facts = WHO[kind]
    facts = {name: value.format(**record) if isinstance(value, str) else value for name, value in facts.items()}
    caller = served.caller(scope, **facts)
    different = {}
    for name, way in WAYS.items():
        for type in ("DocumentReference", "Observation"):
            sent = {how: ask(caller, commands, way, type, record[f"{kind}, {how}"], record["p"])
                    for how in ("absent", "hidden", "deleted")}  # fmt: skip
            for how in ("hidden", "deleted"):
                if sent[how] != sent["absent"]:
                    more, less = sent[how][1] - sent["absent"][1], sent["absent"][1] - sent[how][1]
                    different[name, type, how] = (sent[how][0], sent["absent"][0], dict(more), dict(less))
    assert not different, "\n".join(f"{key}: {value}" for key, value in different.items())


def ask(
    caller: Caller, commands: Commands, way: tuple[str, str, Any, dict[str, str]], type: str, id: str, patient: str
) -> tuple[int, Counter[tuple[str, str, str]]]:
    """The status, and the commands that were sent."""
    method, path, body, headers = way
    names = {"type": type, "id": id, "p": patient, "system": SYSTEM}
    own = document(patient) if type == "DocumentReference" else observation(patient)
    match body:
        case "{own}":
            body = {**own, "id": id} if "?" not in path else own
        case "{batch}":
            body = transaction(entry("GET", f"{type}/{id}"), entry("DELETE", f"{type}/{id}"), type="batch")
        case "{transaction}":
            body = transaction({"fullUrl": "urn:uuid:a", "resource": observation(patient, hasMember=[
                {"reference": f"Observation?identifier={SYSTEM}|{id}"}]),
                "request": {"method": "POST", "url": "Observation"}})  # fmt: skip
        case bytes():
            body = body.decode().format(**names).encode()
    caller("GET", "Practitioner?_id=none")  # who holds the token is known from here on
    commands.sent.clear()
    answer = caller(method, path.format(**names), body, **headers)
    if path.endswith("/_history"):  # its filter of access is of the patients that the versions name
        return answer.status_code, Counter((name, where, "") for name, where, _ in commands.sent)
    return answer.status_code, Counter(commands.sent)


def test_whose_record_something_hidden_is_of_is_not_told_by_what_comes_next(
    listened: tuple[Served, Commands], record: dict[str, Any]
) -> None:
    """The threat list's C2: what is looked up to leave out a display is not remembered for the rest of a transaction"""
    served, commands = listened
    operator, caller = served.caller(), served.caller("user/*.cruds", **DOCTOR)
    hidden = operator.create(observation(record["other"]))
    looks = []
    for named in (hidden, "Observation/none"):
        items = [{"item": {"reference": named, "display": "x"}}]
        subject = {"reference": f"Patient/{record['p']}"}
        listed = {"resourceType": "List", "status": "current", "mode": "working", "subject": subject, "entry": items}
        kept = operator.create(listed)
        caller.get("Practitioner?_id=none")  # who holds the token is known from here on
        commands.sent.clear()
        asked = (entry("GET", kept), entry("GET", f"Observation?patient={record['other']}"))
        answer = caller("POST", "", transaction(*asked))
        assert [one["response"]["status"][:3] for one in answer.json["entry"]] == ["200", "200"]
        assert "display" not in answer.text
        looks.append(Counter(commands.sent))
    assert looks[0] == looks[1]
