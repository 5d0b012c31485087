"""What is hidden shows nowhere: every way out, for each kind of caller, before and after it is there.

A cell of the matrix is a caller, and what is hidden from them by one of the holder's choices.  All the ways out are
asked before it is kept and once it is, and every answer has to be the same in every byte and header.  The last test
asks the same of somebody who may see it: a way out that tells nothing even then would prove nothing.
rule A1 to A18; the threat list's C1 to C33
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from fhir_server.app import now
from tests.build import entry, observation, transaction
from tests.calls import Caller, Served, seen
from tests.choices import LABELS, OWN, choice, document

JSON_PATCH = "application/json-patch+json"
SYSTEM = "http://identifiers.example"
#: AuditEvents aside, which grow by asking.
TYPES = ("Patient", "DocumentReference", "Observation", "Binary", "List", "Composition", "Provenance", "Condition",
         "DiagnosticReport", "CareTeam", "Communication", "Practitioner", "Bundle")  # fmt: skip
UNMET = [{"op": "test", "path": "/status", "value": "no"}]

TAG = {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": {"tag": [{"code": "x"}]}}]}

Resource = dict[str, Any]


# --- what is hidden


def report(patient: str, id: str, *labels: str, code: str = "10") -> Resource:
    """A document whose content is a Binary."""
    content = [{"attachment": {"contentType": "text/plain", "url": f"Binary/{id}", "title": "Titre caché"}}]
    more = {"description": "Titre caché", "date": "2024-01-05T12:00:00Z"}
    return _known(document(patient, *labels, code=code, content=content, **more), id)


def result(patient: str, id: str, *labels: str, category: str | None = "laboratory") -> Resource:
    """An Observation."""
    concept = {"category": [{"coding": [{"code": category}]}]} if category else {}
    security = {"meta": {"security": [{"system": LABELS, "code": label} for label in labels]}} if labels else {}
    made = observation(patient, effectiveDateTime="2024-01-05", **concept, **security)
    return _known(made | {"performer": [{"reference": "Practitioner/leaks", "display": "Dr Caché"}]}, id)


def problem(patient: str, id: str, *labels: str) -> Resource:
    """A Condition."""
    security = {"meta": {"security": [{"system": LABELS, "code": label} for label in labels]}} if labels else {}
    return _known(
        {"resourceType": "Condition", "subject": {"reference": f"Patient/{patient}"}, "code": {"text": "caché"}}
        | security,
        id,
    )


def _known(resource: Resource, id: str) -> Resource:
    return {**resource, "id": id, "identifier": [{"system": SYSTEM, "value": f"secret-{id}"}]}


Made = Callable[[str, str], Resource]


def labelled(label: str) -> dict[str, Made]:
    """One of each, with the label."""
    return {
        "report": lambda patient, id: report(patient, id, label),
        "result": lambda patient, id: result(patient, id, label),
    }


ANYTHING: dict[str, Made] = {"report": report, "result": result}
MASKED, UNANNOUNCED = labelled("MASQUE_PS"), labelled("INVISIBLE_PATIENT")
FROM_REPRESENTATIVES = labelled("INVISIBLE_REPRESENTANTS_LEGAUX")
BOTH = labelled("INVISIBLE_PATIENT") | {f"minor's {name}": made for name, made in FROM_REPRESENTATIVES.items()}
OF_OTHER_SECTIONS: dict[str, Made] = {"result": result, "problem": problem}
OF_OTHER_CLASSES: dict[str, Made] = {
    "report": lambda patient, id: report(patient, id, code="31"),
    "administrative": lambda patient, id: report(patient, id, code="95"),
}
OF_NO_LABORATORY: dict[str, Made] = {
    "vital signs": lambda patient, id: result(patient, id, category="vital-signs"),
    "uncategorised": lambda patient, id: result(patient, id, category=None),
    "problem": problem,
}


# --- who asks

USER = " ".join(f"user/{type}.cruds" for type in TYPES)
PATIENT = " ".join(f"patient/{type}.cruds" for type in TYPES)
SYSTEMS = " ".join(f"system/{type}.cruds" for type in TYPES)
LABORATORY = "patient/Observation.cruds?category=laboratory patient/Patient.rs patient/List.rs patient/Provenance.rs"


@dataclass(frozen=True)
class Who:
    """One cell: the scopes and the facts of the caller, what the holder said, and what is hidden by it."""

    hidden: dict[str, Made]
    scope: str = USER
    kind: str = "professional"
    profession: str | None = "10"
    facts: dict[str, Any] = field(default_factory=dict)
    choices: tuple[tuple[Any, ...], ...] = ()
    space: str | None = None
    elsewhere: bool = False  # the patient in context is another
    titled: bool = True  # what names it says its title, too: an app is told it where the person may see it


def _past() -> dict[str, Any]:
    return {"period": {"start": "2020-01-01", "end": str(now().date() - timedelta(days=2))}}


def _sections(*codes: str) -> dict[str, Any]:
    return {"class": [{"system": f"{OWN}/CodeSystem/profile-section", "code": code} for code in codes]}


PERMIT = ("access", "permit", ("{me}",), {})
EMERGENCY: dict[str, Any] = {"mode": "bris_de_glace", "reason": "coma"}
REGULATION: dict[str, Any] = {"mode": "centre_15", "reason": "appel", "regulator": True}
REPRESENTATIVE: dict[str, Any] = {"person": "RelatedPerson/leaks-parent", "relation": "legal-representative"}
CAREGIVER: dict[str, Any] = {"person": "RelatedPerson/leaks-carer", "relation": "caregiver"}
CARING = ("caregiver", "permit", ("RelatedPerson/leaks-carer",), {})

WHO: dict[str, Who] = {
    "holder": Who(UNANNOUNCED, PATIENT, "patient"),
    "holder, by user scopes": Who(UNANNOUNCED, USER, "patient"),
    "representative": Who(BOTH, PATIENT, "patient", facts=REPRESENTATIVE),
    "caregiver": Who(BOTH, PATIENT, "patient", facts=CAREGIVER, choices=(CARING,)),
    "caregiver no longer": Who(ANYTHING, PATIENT, "patient", facts=CAREGIVER, choices=((*CARING[:3], _past()),)),
    "caregiver whom nobody named": Who(ANYTHING, PATIENT, "patient", facts=CAREGIVER),
    "another patient": Who(ANYTHING, PATIENT, "patient", elsewhere=True),
    "app for laboratory results": Who(OF_NO_LABORATORY, LABORATORY, "patient", titled=False),
    "permitted": Who(MASKED, choices=(PERMIT,)),
    "permitted, in context": Who(MASKED, PATIENT, choices=(PERMIT,), facts={"patient": "{p}"}),
    "structure permitted": Who(
        MASKED, facts={"organization": "Organization/{me}"}, choices=(("access", "permit", ("Organization/{me}",), {}),)
    ),
    "permitted some sections": Who(
        OF_OTHER_SECTIONS, choices=((*PERMIT[:3], _sections("DOCUMENTS", "IDENTITE", "CONFIDENTIALITE")),)
    ),
    "pharmacist": Who(OF_OTHER_CLASSES, profession="21", choices=(PERMIT,)),
    "of no profession": Who(ANYTHING, profession=None, choices=(PERMIT,)),
    "permitted once": Who(ANYTHING, choices=((*PERMIT[:3], _past()),)),
    "unpermitted": Who(ANYTHING),
    "blocked": Who(ANYTHING, choices=(PERMIT, ("access", "deny", ("{me}",), {}))),
    "secret session": Who(ANYTHING, choices=(PERMIT,), facts={"secret": True}),
    "treating, of what is not permitted": Who(ANYTHING, choices=(("treating",),)),
    "administrator, blocked": Who(
        ANYTHING, choices=(("administrator", "permit", ("{me}",), {}), ("access", "deny", ("{me}",), {}))
    ),
    "bris de glace": Who(MASKED | OF_OTHER_SECTIONS, PATIENT, facts={**EMERGENCY, "patient": "{p}"}),
    "bris de glace, opposed": Who(
        ANYTHING, PATIENT, facts={**EMERGENCY, "patient": "{p}"}, choices=(("BTG", "deny", (), {}),)
    ),
    "bris de glace, of another": Who(ANYTHING, PATIENT, facts=EMERGENCY, elsewhere=True, choices=(PERMIT,)),
    "centre 15": Who(MASKED | OF_OTHER_SECTIONS, PATIENT, facts={**REGULATION, "patient": "{p}"}),
    "centre 15, opposed": Who(
        ANYTHING, PATIENT, facts={**REGULATION, "patient": "{p}"}, choices=(("ETREAT", "deny", (), {}),)
    ),
    "space opposed": Who(ANYTHING, choices=(PERMIT,), space="opposed"),
    "space closed": Who(ANYTHING, choices=(PERMIT,), space="closed"),
    "backend": Who(ANYTHING, SYSTEMS, "backend", facts={"client_id": "leaks"}),
    "backend of a structure, permitted": Who(
        ANYTHING, SYSTEMS, "backend", facts={"client_id": "leaks", "organization": "Organization/{me}"},
        choices=(("access", "permit", ("Organization/{me}",), {}),),
    ),
}  # fmt: skip


# --- every way out

GET = {
    "read": "{h}",
    "summary of one": "{h}?_summary=text",
    "elements of one": "{h}?_elements=status",
    "vread": "{h}/_history/1",
    "vread of none": "{h}/_history/2",
    "history": "{h}/_history",
    "history since": "{h}/_history?_since=2020-01-01T00:00:00Z&_count=1",
    "type history": "{type}/_history?_count=100",
    "system history": "_history?_count=200",
    "history, counted": "{type}/_history?_summary=count",
    "meta": "{h}/$meta",
    "by id": "{type}?_id={id}",
    "by id, counted": "{type}?_id={id}&_summary=count",
    "by identifier": "{type}?identifier={system}|secret-{id}",
    "but the identifier": "{type}?patient={p}&identifier:not={system}|nothing",
    "by missing": "{type}?patient={p}&identifier:missing=false",
    "of the patient": "{type}?patient={p}&_count=100",
    "of the patient, counted": "{type}?patient={p}&_summary=count",
    "of the patient, a total": "{type}?patient={p}&_total=accurate&_count=1",
    "of the patient, none shown": "{type}?patient={p}&_total=accurate&_count=0",
    "pages": "{type}?patient={p}&_count=1&_sort=-_lastUpdated&_total=accurate",
    "last": "{type}?patient={p}&_count=1&_sort=-_id",
    "sorted by date": "{type}?patient={p}&_sort=date&_count=2",
    "elements": "{type}?patient={p}&_elements=id",
    "changed": "{type}?_lastUpdated=ge2020-01-01&patient={p}",
    "by label": "{type}?_security=MASQUE_PS,INVISIBLE_PATIENT,INVISIBLE_REPRESENTANTS_LEGAUX&patient={p}",
    "everything there is": "{type}?_count=500",
    "filter": '{type}?_filter=identifier eq "secret-{id}"',
    "in a list": "{type}?_list={p}-list",
    "in the list, counted": "{type}?_list={p}-list&_summary=count",
    "has a list": "{type}?_has:List:item:_id={p}-list",
    "has a provenance": "{type}?_has:Provenance:target:_id={p}-provenance",
    "patient who has": "Patient?_id={p}&_has:{type}:patient:identifier={system}|secret-{id}",
    "patient who has, counted": "Patient?_has:{type}:patient:_id={id}&_summary=count",
    "chain": "List?item:{type}.identifier={system}|secret-{id}",
    "chain to missing": "List?_id={p}-list&item:{type}.identifier:missing=false",
    "chain of provenance": "Provenance?target:{type}.identifier={system}|secret-{id}",
    "chain of composition": "Composition?entry:{type}.identifier={system}|secret-{id}",
    "chain within": "{type}?patient={p}&subject:Patient._has:{type}:patient:_id={id}",
    "chain of members": "Observation?has-member.identifier={system}|secret-{id}",
    "include": "List?_id={p}-list&_include=List:item",
    "include of provenance": "Provenance?_id={p}-provenance&_include=Provenance:target",
    "include of composition": "Composition?_id={p}-composition&_include=Composition:entry",
    "include all": "List?_id={p}-list&_include=*&_include:iterate=*",
    "revinclude": "Patient?_id={p}&_revinclude={type}:patient",
    "revinclude all": "Patient?_id={p}&_revinclude=*&_count=1",
    "revinclude, iterated": "Patient?_id={p}&_revinclude=List:subject&_include:iterate=List:item",
    "of a directory": "Practitioner?_id=leaks&_revinclude=Observation:performer",
    "compartment": "Patient/{p}/{type}?_count=100",
    "compartment, any type": "Patient/{p}/*?_type=DocumentReference,Observation,Condition,List&_count=100",
    "system": "?_type={types}&_count=100",
    "system, counted": "?_type={types}&_summary=count",
    "everything": "Patient/{p}/$everything",
    "everything of the type": "Patient/{p}/$everything?_type={type}&_count=1",
    "everything since": "Patient/{p}/$everything?_since=2020-01-01T00:00:00Z",
    "last of each code": "Observation/$lastn?patient={p}&max=5",
    "last of a time": "Observation/$lastn?subject=Patient/{p}&date=lt2024-02",
    "last of each code, counted": "Observation/$lastn?patient={p}&max=5&_summary=count",
    "last of each code, in pages": "Observation/$lastn?patient={p}&max=5&_count=1",
    "documents of now": "DocumentReference/$docref?patient={p}",
    "documents of a type": "DocumentReference/$docref?patient={p}&type=11488-4",
    "documents of a time": "DocumentReference/$docref?patient={p}&start=2024-01-01&_count=1",
    "documents of a time, counted": "DocumentReference/$docref?patient={p}&end=2025-01-01&_summary=count",
    "content": "Binary/{id}",
    "content, history": "Binary/{id}/_history/1",
    "contents": "Binary?_id={id}",
    "list": "List/{p}-list",
    "composition": "Composition/{p}-composition",
    "members": "Observation?_id={p}-o&_include=Observation:has-member",
}
#: Those that are asked in a batch, too.
BATCHED = ("read", "vread", "history", "by identifier", "of the patient, a total", "include", "content", "everything",
           "last of each code", "documents of now")  # fmt: skip
#: What tells nothing to anybody: of no label, of one version, and of what is yet to be created.
SILENT = {"vread of none", "by label", "validated, as a new one", "validated, as an update"}
_NAMED = b'{{"resourceType": "Parameters", "parameter": [{{"name": "patient", "valueString": "{p}"}}]}}'
#: By other verbs, so that nothing comes of it: the condition does not hold, or it is not the caller's.
OTHERWISE: dict[str, tuple[str, str, Any, dict[str, str]]] = {
    "head": ("HEAD", "{h}", None, {}),
    "read, with its tag": ("GET", "{h}", None, {"If-None-Match": 'W/"1"'}),
    "read, since it changed": ("GET", "{h}", None, {"If-Modified-Since": "Mon, 01 Jan 2035 00:00:00 GMT"}),
    "content, as it is": ("GET", "Binary/{id}", None, {"Accept": "text/plain"}),
    "content, with its tag": ("GET", "Binary/{id}", None, {"If-None-Match": 'W/"1"'}),
    "search by POST": ("POST", "{type}/_search", b"patient={p}&_total=accurate",
                       {"Content-Type": "application/x-www-form-urlencoded"}),
    "compartment by POST": ("POST", "Patient/{p}/{type}/_search", b"_total=accurate",
                            {"Content-Type": "application/x-www-form-urlencoded"}),
    "last of each code by POST": ("POST", "Observation/$lastn?max=5", _NAMED, {}),
    "documents by POST": ("POST", "DocumentReference/$docref?start=2024-01-01", _NAMED, {}),
    "update of a version": ("PUT", "{h}", "{own}", {"If-Match": 'W/"99"'}),
    "patch": ("PATCH", "{h}", UNMET, {"Content-Type": JSON_PATCH}),
    "patch of a version": ("PATCH", "{h}", UNMET, {"Content-Type": JSON_PATCH, "If-Match": 'W/"99"'}),
    "conditional patch": ("PATCH", "{type}?identifier={system}|secret-{id}", UNMET, {"Content-Type": JSON_PATCH}),
    "delete of a version": ("DELETE", "{h}", None, {"If-Match": 'W/"99"'}),
    "conditional delete": ("DELETE", "{type}?identifier={system}|secret-{id}", None, {"If-Match": 'W/"99"'}),
    "conditional update": ("PUT", "{type}?identifier={system}|secret-{id}", "{own}", {"If-Match": 'W/"99"'}),
    "meta added": ("POST", "{h}/$meta-add", TAG, {"If-Match": 'W/"99"'}),
    "validated": ("POST", "{h}/$validate?mode=delete", None, {}),
    "validated, as an update": ("POST", "{h}/$validate?mode=update", "{own}", {}),
    "validated, as a new one": ("POST", "{type}/$validate?mode=create", "{own}", {}),
}  # fmt: skip


def ask(caller: Caller, patient: str, hidden: dict[str, Resource]) -> dict[str, Any]:
    """All that is answered, by the names of the question and of what is hidden; the pages behind pages, too."""
    found: dict[str, Any] = {}
    asked: dict[str, str] = {}
    for kind, resource in hidden.items():
        names = {"h": f"{resource['resourceType']}/{resource['id']}", "type": resource["resourceType"]}
        names |= {"id": resource["id"], "p": patient, "system": SYSTEM, "types": ",".join(TYPES)}
        for name, path in GET.items():
            path = path.format(**names)
            if path in asked.values():
                continue
            asked[f"{name}: {kind}"] = path
            answer = caller("GET", path, Prefer="handling=lenient" if "pages" in name else "handling=strict")
            found[f"{name}: {kind}"] = seen(answer)
            if name in ("pages", "everything of the type", "last of each code, in pages"):
                found[f"{name}: {kind}, on"] = _pages(caller, answer)
        for name, (method, path, body, headers) in OTHERWISE.items():
            sent = body
            if body == "{own}":
                sent = {**resource, "id": resource["id"]}
            elif isinstance(body, bytes):
                sent = body.decode().format(**names).encode()
            found[f"{name}: {kind}"] = seen(caller(method, path.format(**names), sent, **headers))
    together = {name: path for name, path in asked.items() if name.partition(":")[0] in BATCHED}
    bundle = transaction(*(entry("GET", path) for path in together.values()), type="batch")
    answer = caller("POST", "", bundle).json
    return found | {f"batch: {name}": one for name, one in zip(together, answer["entry"], strict=True)}


def _pages(caller: Caller, answer: Any) -> list[Any]:
    found: list[Any] = []
    for _ in range(8):
        links = (answer.json or {}).get("link", ()) if answer.status_code == 200 else ()
        onward = next((link["url"] for link in links if link["relation"] == "next"), None)
        if not onward:
            break
        answer = caller("GET", onward)
        found.append(seen(answer))
    return found


def ask_to_create(caller: Caller, resource: Resource, known: str) -> Any:
    """What is answered to who creates it unless there is one."""
    plain = {name: value for name, value in resource.items() if name not in ("id", "identifier")}
    answer = caller("POST", resource["resourceType"], plain, If_None_Exist=f"identifier={SYSTEM}|{known}")
    return answer.status_code, answer.json.get("resourceType"), answer.json.get("issue")


# --- the record


def _fill(operator: Caller, patient: str, names: list[str], title: dict[str, str]) -> None:
    """What stands in the record from the beginning; some of it names what is hidden, by reference and by title."""
    subject = {"subject": {"reference": f"Patient/{patient}"}}
    items = [{"reference": reference, **title} for reference in names]
    members = [one for one in items if one["reference"].startswith("Observation")]
    kept: list[Resource] = [
        {**document(patient), "id": f"{patient}-v", "context": {"related": items}},
        {**observation(patient, hasMember=members or [{"display": "none"}]), "id": f"{patient}-o",
         "category": [{"coding": [{"code": "laboratory"}]}], "effectiveDateTime": "2024-02-01"},
        {"resourceType": "List", "id": f"{patient}-list", "status": "current", "mode": "working", **subject,
         "entry": [{"item": item} for item in items]},
        {"resourceType": "Composition", "id": f"{patient}-composition", "status": "final", "type": {"text": "a"},
         "date": "2024-01-01", "author": [{"display": "a"}], "title": "a", **subject,
         "section": [{"title": "a", "entry": items}]},
        {"resourceType": "Provenance", "id": f"{patient}-provenance", "recorded": "2024-01-01T00:00:00Z",
         "agent": [{"who": {"display": "a"}}], "target": [{"reference": f"Patient/{patient}"}, *items]},
    ]  # fmt: skip
    for one in kept:
        answer = operator("PUT", f"{one['resourceType']}/{one['id']}", one)
        assert answer.status_code == 201, answer.text


def _keep(operator: Caller, patient: str, resource: Resource) -> None:
    """Keep what is hidden, its content first."""
    if resource["resourceType"] == "DocumentReference":
        binary = {"resourceType": "Binary", "id": resource["id"], "contentType": "text/plain", "data": "Y2FjaMOp",
                  "securityContext": {"reference": f"Patient/{patient}"}}  # fmt: skip
        assert operator("PUT", f"Binary/{resource['id']}", binary).status_code in (200, 201)
    answer = operator("PUT", f"{resource['resourceType']}/{resource['id']}", resource)
    assert answer.status_code in (200, 201), answer.text


@dataclass(frozen=True)
class Cell:
    """A record, and who asks about it."""

    patient: str
    holder: Caller
    caller: Caller
    hidden: dict[str, Resource]


def _space(status: str) -> Resource:
    extension = [{"url": "status", "valueCode": status}]
    return {"url": f"{OWN}/StructureDefinition/space-status", "extension": extension}


def laid(served: Served, operator: Caller, who: Who) -> Cell:
    """The record of the cell, with what the holder said, and nothing hidden in it yet."""
    id, holder = served.patient(name=[{"family": "Durand"}])
    other, _ = served.patient(name=[{"family": "Moreau"}]) if who.elsewhere else (id, None)
    me = f"leaks-{secrets.token_hex(6)}"
    assert operator("PUT", "Practitioner/leaks", {"resourceType": "Practitioner", "id": "leaks"}).status_code in (
        200,
        201,
    )
    for said in who.choices:
        if said[0] == "treating":
            gp = [{"op": "add", "path": "/generalPractitioner", "value": [{"reference": f"Practitioner/{me}"}]}]
            assert operator("PATCH", f"Patient/{id}", gp, Content_Type=JSON_PATCH).status_code == 200
            continue
        kind, type, to, provision = said
        names = tuple(one.format(me=me) if "/" in one else f"Practitioner/{me}" for one in to)
        operator.create(choice(id, kind, type, to=names, **provision))
    facts = {k: v.format(p=id, me=me) if isinstance(v, str) else v for k, v in who.facts.items()}
    if who.kind == "patient" or who.elsewhere:
        facts["patient"] = other
    if who.kind == "professional":
        facts |= {"practitioner": me, "profession": who.profession}
    hidden = {name: made(id, f"{id}-{n}") for n, (name, made) in enumerate(who.hidden.items())}
    title = {"display": "Titre caché"} if who.titled else {}
    _fill(operator, id, [f"{one['resourceType']}/{one['id']}" for one in hidden.values()], title)
    if who.space:
        space = [{"op": "add", "path": "/extension", "value": [_space(who.space)]}]
        assert operator("PATCH", f"Patient/{id}", space, Content_Type=JSON_PATCH).status_code == 200
    return Cell(id, holder, served.caller(who.scope, kind=who.kind, **facts), hidden)


@pytest.mark.parametrize("name", WHO)
def test_what_is_hidden_shows_nowhere(served: Served, operator: Caller, name: str) -> None:
    """C1 to C21, C29 to C33: the answer to every question is the same as if it were not there"""
    cell = laid(served, operator, WHO[name])
    before = ask(cell.caller, cell.patient, cell.hidden)
    for resource in cell.hidden.values():
        _keep(operator, cell.patient, resource)
        _keep(operator, cell.patient, {**resource, "language": "fr"})
    assert _differing(before, ask(cell.caller, cell.patient, cell.hidden)) == {}
    for resource in cell.hidden.values():
        assert operator("DELETE", f"{resource['resourceType']}/{resource['id']}").status_code == 204
    assert _differing(before, ask(cell.caller, cell.patient, cell.hidden)) == {}, "once it was deleted"
    for resource in cell.hidden.values():
        _keep(operator, cell.patient, resource)
        there, unknown = (ask_to_create(cell.caller, resource, known) for known in (f"secret-{resource['id']}", "none"))
        assert there == unknown


def test_what_is_not_hidden_shows_everywhere(served: Served, operator: Caller) -> None:
    """Each question tells whether something is there, to one who may see it: else it would find no leak either"""
    cell = laid(served, operator, Who(dict(ANYTHING), PATIENT, "patient"))
    before = ask(cell.caller, cell.patient, cell.hidden)
    for resource in cell.hidden.values():
        _keep(operator, cell.patient, {**resource, "language": "en"})
    telling = {name.partition(":")[0] for name in _differing(before, ask(cell.caller, cell.patient, cell.hidden))}
    silent = {*GET, *OTHERWISE, "batch"} - telling
    assert silent == SILENT, silent ^ SILENT


def _differing(before: dict[str, Any], after: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """What is answered otherwise than before, from where the answers part."""
    found = {}
    for name, answer in before.items():
        one, other = repr(answer), repr(after[name])
        if one != other:
            parting = next((n for n, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), 0)
            found[name] = one[max(parting - 60, 0) :][:160], other[max(parting - 60, 0) :][:160]
    return found


@pytest.mark.parametrize(
    ("facts", "label"),
    [({}, "INVISIBLE_PATIENT"), (REPRESENTATIVE, "INVISIBLE_REPRESENTANTS_LEGAUX"), (REPRESENTATIVE, None)],
)
def test_the_record_of_accesses_names_nothing_hidden(served: Served, facts: dict[str, Any], label: str | None) -> None:
    """A15, A17: who deposited and who read what is hidden is in the record, and hidden with it; no label: in secret"""
    id, holder = served.patient(name=[{"family": "Durand"}])
    name = f"leaks-{secrets.token_hex(6)}"
    holder.create(choice(id, "access", to=(f"Practitioner/{name}",)))
    doctor: dict[str, Any] = {"kind": "professional", "practitioner": name, "profession": "10"}
    own = served.caller(USER, **doctor, secret=label is None)
    headers = {"Content_Type": "text/plain", "X_Security_Context": f"Patient/{id}"}
    content = own("POST", "Binary", b"secret", **headers) if label else None
    attached = {} if content is None else {"content": [{"attachment": {"url": _location(content)}}]}
    kept = own.create(document(id, label or "INVISIBLE_REPRESENTANTS_LEGAUX", **attached))
    for path in (kept, f"DocumentReference?patient={id}", *([_location(content)] if content else ())):
        assert own("GET", path).status_code == 200
    scopes = "patient/AuditEvent.rs patient/DocumentReference.rs"
    person = served.caller(scopes, kind="patient", patient=id, **facts)
    hidden = [kept.partition("/")[2], *([_location(content).partition("/")[2]] if content else ())]
    for path in (
        f"AuditEvent?patient={id}&_count=200",
        f"AuditEvent?entity={kept}",
        f"AuditEvent?entity:DocumentReference.status=current&_include=AuditEvent:entity&patient={id}",
        "AuditEvent/_history?_count=200",
    ):
        answer = person("GET", path)
        assert answer.status_code == 200
        events = [one["resource"] for one in answer.json.get("entry", ())]
        assert not [one for one in events if any(each in repr(one) for each in hidden)], path
    if label is None:
        assert name not in repr(person.get(f"AuditEvent?patient={id}&entity-type:not=nothing&_count=200").get("entry"))
    operator = served.caller()
    shown = operator.get(f"AuditEvent?entity={kept}&_count=200")
    assert len(shown["entry"]) >= 3, "it is all there, for who may see it"


def _location(answer: Any) -> str:
    """`Type/id` of what was created."""
    assert answer.status_code == 201, answer.text
    return "/".join(answer.headers["Location"].split("/")[-4:-2])
