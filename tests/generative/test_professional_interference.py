"""What a professional may not see changes no answer to them, and less permission never shows more.

The same questions, before and after what is hidden changes: masked documents, sections that no permit covers, and the
records of those who permitted nothing.  rule A5 to A7; the threat list's properties 1 and 2.
"""

from __future__ import annotations

import secrets
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.build import entry, observation, transaction
from tests.calls import Caller, Served, ids, seen

OWN = "https://fhir-server.example"
CLASSES = "https://mos.esante.gouv.fr/NOS/TRE_A03-ClasseDocument/FHIR/TRE-A03-ClasseDocument"
SYSTEM = "http://identifiers.example"
TYPES = ("DocumentReference", "Observation", "Binary", "List", "Patient")
HIDDEN = ["m-1", "m-new", "h-1", "h-new", "b-1", "b-new", "b-gone"]
IDS = ["{a}", "{b}", "v-1", "v-2", *HIDDEN, "none"]

VALUES = {
    "_id": IDS,
    "subject": ["Patient/{a}", "Patient/{b}", "Patient/{a},Patient/{b}", "none"],
    "patient": ["{a}", "Patient/{b}"],
    "identifier": [f"{SYSTEM}|shared", f"{SYSTEM}|hidden", "shared"],
    "status": ["current", "final"],
    "category": [f"{CLASSES}|10", "laboratory"],
    "security-label": ["MASQUE_PS"],
    "_lastUpdated": ["ge2020"],
    "item": ["DocumentReference/m-1", "DocumentReference/v-1"],
    "item:DocumentReference.identifier": [f"{SYSTEM}|shared", f"{SYSTEM}|hidden"],
    "subject:Patient._id": ["{a}", "{b}"],
    "_has:DocumentReference:subject:identifier": [f"{SYSTEM}|hidden", f"{SYSTEM}|shared"],
    "_has:Observation:subject:status": ["final"],
    "_has:List:item:status": ["current"],
    "_list": ["v-list"],
    "location": ["Binary/v-1", "Binary/m-1"],
}
CRITERIA = st.sampled_from(sorted(VALUES)).flatmap(lambda n: st.sampled_from(VALUES[n]).map(lambda v: f"{n}={v}"))
RESULTS = st.sampled_from(
    [
        "_count=1",
        "_summary=count",
        "_total=accurate",
        "_sort=-_lastUpdated&_count=1&_total=accurate",
        "_include=List:item&_include=DocumentReference:subject",
        "_include=*",
        "_revinclude=DocumentReference:subject&_revinclude=Observation:subject",
        "_revinclude=List:item",
        "_elements=id",
    ]
)
QUERIES = st.lists(CRITERIA, max_size=2).flatmap(lambda c: st.lists(RESULTS, max_size=1).map(lambda r: "&".join(c + r)))
PLACES = st.sampled_from([*TYPES, *TYPES, "Patient/{a}/DocumentReference", "Patient/{b}/Observation"])
SEARCHES = st.builds(lambda place, query: f"{place}?{query}", PLACES, QUERIES)
AFTER = st.sampled_from(["", "", "/_history", "/_history/1", "/_history/2", "/$meta", "/$everything?_count=50"])
INSTANCES = st.builds(
    lambda type, id, after: f"{type}/{id}{after}", st.sampled_from(TYPES), st.sampled_from(IDS), AFTER
)
HISTORIES = st.sampled_from(["_history?_count=3", *(f"{type}/_history?_count=3" for type in TYPES)])
SYSTEM_WIDE = st.sampled_from([f"?_type={','.join(TYPES)}&_count=2", f"?_type={','.join(TYPES)}&_summary=count"])
QUESTIONS = st.one_of(SEARCHES, SEARCHES, INSTANCES, INSTANCES, HISTORIES, SYSTEM_WIDE)
CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "delete"]),
        st.sampled_from(HIDDEN),
        st.sampled_from(["shared", "hidden", None]),
    ),
    min_size=1,
    max_size=4,
)


def _kept(id: str, a: str, b: str, identifier: str | None) -> dict[str, Any]:
    """The resource of this id: what its beginning says is v(isible), m(asked), h(idden section) or b(elongs to B)."""
    known = {"identifier": [{"system": SYSTEM, "value": identifier}]} if identifier else {}
    if id.startswith("h"):
        return observation(a, id=id, category=[{"coding": [{"code": "laboratory"}]}], **known)
    labels = {"securityLabel": [{"coding": [{"code": "MASQUE_PS"}]}]} if id.startswith("m") else {}
    return {
        "resourceType": "DocumentReference",
        "id": id,
        "status": "current",
        "category": [{"coding": [{"system": CLASSES, "code": "10"}]}],
        "subject": {"reference": f"Patient/{b if id.startswith('b') else a}"},
        "content": [{"attachment": {"url": f"Binary/{id}"}}],
        **labels,
        **known,
    }


def _permit(patient: str, to: str, *sections: str) -> dict[str, Any]:
    within = {"class": [{"system": f"{OWN}/CodeSystem/profile-section", "code": code} for code in sections]}
    return {
        "resourceType": "Consent",
        "status": "active",
        "scope": {"coding": [{"code": "patient-privacy"}]},
        "category": [{"coding": [{"system": f"{OWN}/CodeSystem/consent-kind", "code": "access"}]}],
        "patient": {"reference": f"Patient/{patient}"},
        "policyRule": {"text": "choice"},
        "provision": {
            "type": "permit",
            "actor": [{"role": {"text": "reader"}, "reference": {"reference": to}}],
            **(within if sections else {}),
        },
    }


@pytest.fixture(scope="module")
def world(served: Served) -> tuple[str, str, Caller, Caller, Caller]:
    """(A, B, a doctor whom A permits documents, the same to whom B does, too, the operator)."""
    operator = served.caller()
    (a, holder), (b, other) = (served.patient(name=[{"family": family}]) for family in ("Durand", "Moreau"))
    names = [f"d-{secrets.token_hex(6)}" for _ in range(2)]
    for name in names:
        holder.create(_permit(a, f"Practitioner/{name}", "DOCUMENTS", "IDENTITE"))
    other.create(_permit(b, f"Practitioner/{names[1]}"))
    for id in ("v-1", "v-2", "m-1", "h-1", "b-1", "b-gone"):
        _put(operator, id, a, b, "shared")
    _delete(operator, "b-gone")
    items = [{"item": {"reference": f"DocumentReference/{id}", "display": id}} for id in ("v-1", "m-1", "m-new", "b-1")]
    listed = {"resourceType": "List", "id": "v-list", "status": "current", "mode": "working", "entry": items,
              "subject": {"reference": f"Patient/{a}"}}  # fmt: skip
    assert operator("PUT", "List/v-list", listed).status_code == 201
    scopes = " ".join(f"user/{type}.rs" for type in TYPES)
    one, both = (served.caller(scopes, practitioner=name, profession="10") for name in names)
    return a, b, one, both, operator


def _put(operator: Caller, id: str, a: str, b: str, identifier: str | None) -> None:
    made = _kept(id, a, b, identifier)
    if not id.startswith("h"):
        whose = {"reference": made["subject"]["reference"]}
        content = {"resourceType": "Binary", "id": id, "contentType": "text/plain", "securityContext": whose}
        assert operator("PUT", f"Binary/{id}", content).status_code in (200, 201)
    answer = operator("PUT", f"{made['resourceType']}/{id}", made)
    assert answer.status_code in (200, 201), answer.text


def _delete(operator: Caller, id: str) -> None:
    for type in ("Observation",) if id.startswith("h") else ("DocumentReference",):
        assert operator("DELETE", f"{type}/{id}").status_code == 204


def _answers(caller: Caller, a: str, b: str, questions: list[str]) -> list[Any]:
    """All that is told, with the pages behind each page, by itself and in a batch."""
    found: list[Any] = []
    paths = [path.replace("{a}", a).replace("{b}", b) for path in questions]
    for path in paths:
        for headers in ({}, {"Prefer": "handling=lenient"}):
            answer = caller("GET", path, **headers)
            found.append((path, seen(answer)))
            for _ in range(2):
                links = (answer.json or {}).get("link", ()) if answer.status_code == 200 and answer.data else ()
                onward = next((link["url"] for link in links if link["relation"] == "next"), None)
                if not onward:
                    break
                answer = caller("GET", onward)
                found.append((onward, seen(answer)))
    found.append(seen(caller("POST", "", transaction(*(entry("GET", path) for path in paths), type="batch"))))
    return found


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(questions=st.lists(QUESTIONS, min_size=1, max_size=5), changes=CHANGES)
def test_what_a_professional_may_not_see_changes_no_answer(
    world: Any, questions: list[str], changes: list[tuple[str, str, str | None]]
) -> None:
    """A6, A7, C1 to C19: every answer in every byte and header"""
    a, b, caller, _, operator = world
    before = _answers(caller, a, b, questions)
    for verb, id, identifier in changes:
        if verb == "put":
            _put(operator, id, a, b, identifier)
        else:
            _delete(operator, id)
    assert _answers(caller, a, b, questions) == before


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(query=QUERIES.filter(lambda query: "_count=" not in query and "_has" not in query), type=st.sampled_from(TYPES))
def test_whom_fewer_permit_is_shown_no_more(world: Any, query: str, type: str) -> None:
    """Permit monotonicity, over HTTP: one patient's permit more never takes a resource away"""
    a, b, one, both, _ = world
    path = f"{type}?{query}".replace("{a}", a).replace("{b}", b)
    fewer, more = (caller("GET", path, Prefer="handling=lenient") for caller in (one, both))
    assert fewer.status_code == more.status_code
    if fewer.status_code == 200:
        assert _found(fewer.json) <= _found(more.json), path


def _found(bundle: dict[str, Any]) -> set[str]:
    """What a search found and brought along, its OperationOutcome aside."""
    entries = [one for one in bundle.get("entry", ()) if one["search"]["mode"] != "outcome"]
    return set(ids({"entry": entries}))
