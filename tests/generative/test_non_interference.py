"""What a patient may not see changes no answer to them: the same questions, before and after others' records change.

The threat list's property: for any two stores that are equal in A's part, every answer to A is equal.  It covers
searches, totals, pages, histories, conditions, operations, entries of Bundles and refusals at once.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.build import entry, observation, patient, transaction
from tests.calls import Caller, Served, seen

JSON_PATCH = "application/json-patch+json"
SYSTEM = "http://identifiers.example"
CODES = ["laboratory", "vital-signs"]
#: What is asked for, with the ids of A's and of B's: the second of each pair is hidden, deleted or not there yet.
IDS = ["{a}", "{b}", "a-1", "a-2", "a-3", "a-gone", "b-1", "b-2", "b-gone", "b-new", "none"]
TYPES = ["Observation", "Patient", "Appointment", "Binary", "List"]

VALUES = {
    "_id": IDS,
    "subject": ["{a}", "Patient/{b}", "{a},{b}", "none"],
    "patient": ["{a}", "Patient/{b}", "{a},{b}", "none"],
    "identifier": [f"{SYSTEM}|shared", f"{SYSTEM}|b", f"{SYSTEM}|a", "shared", f"{SYSTEM}|"],
    "category": CODES,
    "status": ["final", "amended", "proposed"],
    "date": ["ge2020", "lt2020", "2024-01"],
    "_lastUpdated": ["ge2020", "gt2999"],
    "name": ["dur", "mor"],
    "focus": ["Patient/{b}", "{a}"],
    "subject:Patient.name": ["dur", "mor"],
    "focus:Patient.name": ["mor"],
    "focus:Patient.name:missing": ["true", "false"],
    "has-member.category": CODES,
    "has-member.focus:Patient.name": ["dur", "mor"],
    "has-member.status:not": ["final"],
    "_has:Observation:subject:category": CODES,
    "_has:Observation:focus:status": ["final"],
    "_has:Observation:has-member:category": CODES,
    "_has:Observation:has-member:subject:Patient.name": ["dur", "mor"],
    "_has:Appointment:actor:status": ["proposed"],
    "_list": ["a-list", "b-list", "none", "a-list,b-list"],
    "category:missing": ["true", "false"],
    "identifier:of-type": ["|x|shared"],
    "_contained": ["both"],
}
CRITERIA = st.sampled_from(sorted(VALUES)).flatmap(
    lambda name: st.sampled_from(VALUES[name]).map(lambda v: f"{name}={v}")
)
RESULTS = st.sampled_from(
    [
        "_count=1",
        "_count=2",
        "_count=0",
        "_summary=count",
        "_total=accurate",
        "_elements=id",
        "_sort=-date&_count=1",
        "_sort=category,-_lastUpdated",
        "_sort=name&_count=2&_total=accurate",
        "_sort=-_lastUpdated&_count=1&_total=accurate",
        "_maxresults=2&_total=accurate",
        "_include=Observation:focus&_include=Observation:has-member",
        "_include=*&_include:iterate=*",
        "_revinclude=Observation:subject&_revinclude=Observation:focus&_revinclude=List:item",
        "_revinclude=Observation:has-member&_revinclude:iterate=Observation:has-member",
        "_include=Observation:subject&_revinclude:iterate=Appointment:actor",
    ]
)
QUERIES = st.lists(CRITERIA, max_size=2).flatmap(lambda c: st.lists(RESULTS, max_size=1).map(lambda r: "&".join(c + r)))
PLACES = [*TYPES, *TYPES, "", "Patient/{a}/Observation", "Patient/{b}/Observation", "Patient/{b}/Appointment"]
#: Across types, those alone to which asking adds nothing.
ACROSS = {
    "": "_type=Observation,Patient,Appointment,Binary,List&",
    "Patient/{b}/*": "_type=Observation,Appointment,List&",
}
SEARCHES = st.builds(
    lambda place, query: f"{place}?{ACROSS.get(place, '')}{query}", st.sampled_from([*PLACES, *ACROSS]), QUERIES
)
AFTER = st.sampled_from(
    ["", "", "/_history", "/_history/1", "/_history/2", "/$meta", "/$everything", "/$everything?_count=2"]
)
INSTANCES = st.builds(
    lambda type, id, after: f"{type}/{id}{after}", st.sampled_from(TYPES), st.sampled_from(IDS), AFTER
)
HISTORIES = st.sampled_from(["_history", "_history?_count=2", *(f"{type}/_history?_count=3" for type in TYPES)])
PATHS = SEARCHES | SEARCHES | INSTANCES | INSTANCES | HISTORIES
LENIENT = {"Prefer": "handling=lenient"}
UNMET = [{"op": "test", "path": "/status", "value": "no"}]
#: Questions that change nothing, by other verbs: what they would change is not A's, or their condition does not hold.
REFUSED = st.sampled_from(
    [
        ("DELETE", "Observation/{id}", None, {"If-Match": 'W/"99"'}),
        ("PATCH", "Observation/{id}", UNMET, {"Content-Type": JSON_PATCH}),
        ("PUT", "Observation/{id}", "own", {"If-Match": 'W/"99"'}),
        ("PUT", "Observation/{id}", "others", {}),
        ("DELETE", "Patient/{b}", None, {}),
        ("DELETE", f"Observation?identifier={SYSTEM}|b", None, {}),
        ("PATCH", f"Observation?identifier={SYSTEM}|b", [], {"Content-Type": JSON_PATCH}),
        ("PATCH", f"Observation?identifier={SYSTEM}|shared", UNMET, {"Content-Type": JSON_PATCH}),
        ("POST", "Observation", "others", {"If-None-Exist": f"identifier={SYSTEM}|b"}),
        ("POST", "Observation", "own", {"If-None-Exist": f"identifier={SYSTEM}|shared"}),
    ]
)  # fmt: skip
#: Leniently, too: a type that does not have one of the parameters is then asked by the other.
ASKED = st.builds(lambda path, headers: ("GET", path, None, headers), PATHS, st.sampled_from([{}, LENIENT, LENIENT]))
QUESTIONS = (
    ASKED
    | ASKED
    | st.builds(
        lambda asked, id: (asked[0], asked[1].replace("{id}", id), *asked[2:]), REFUSED, st.sampled_from(IDS[2:])
    )
)

OTHERS = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "delete", "patch", "move"]),
        st.sampled_from(["b-1", "b-2", "b-gone", "b-new", "b-other", "b-list"]),
        st.sampled_from([*CODES, None]),
        st.sampled_from(["shared", "b", None]),
        st.sampled_from(["Observation", "Observation", "Appointment", "Binary", "Patient", "List"]),
    ),
    min_size=1,
    max_size=4,
)


MEMBERS_NAMED = [f"Observation/{id}" for id in ("a-1", "a-2", "b-1", "b-2", "b-new", "b-gone")]
MEMBERS = [{"reference": reference} for reference in MEMBERS_NAMED]


def _observed(patient: str, other: str, id: str, category: str | None, identifier: str | None) -> dict[str, Any]:
    concept = {"category": [{"coding": [{"code": category}]}]} if category else {}
    known = {"identifier": [{"system": SYSTEM, "value": identifier}]} if identifier else {}
    # Each refers to the other record, as a resource may: that is no way in.
    links = {"focus": [{"reference": f"Patient/{other}"}], "hasMember": MEMBERS}
    return observation(patient, id=id, effectiveDateTime="2024-01-05", **concept, **known, **links)


def _kept(
    type: str, patient_id: str, other: str, id: str, category: str | None, identifier: str | None
) -> dict[str, Any]:
    participant = [{"actor": {"reference": f"Patient/{patient_id}"}, "status": "accepted"}]
    security = {"reference": f"Patient/{patient_id}"}
    return {
        "Observation": _observed(patient_id, other, id, category, identifier),
        "Appointment": {"resourceType": "Appointment", "id": id, "status": "proposed", "participant": participant},
        "Binary": {"resourceType": "Binary", "id": id, "contentType": "text/plain", "securityContext": security},
        "Patient": patient(id=id, name=[{"family": "Moreau"}]),
        "List": {
            "resourceType": "List",
            "id": id,
            "status": "current",
            "mode": "working",
            "subject": security,
            "entry": [{"item": {"reference": reference}} for reference in (f"Patient/{other}", *MEMBERS_NAMED)],
        },
    }[type]


@pytest.fixture(scope="module")
def world(served: Served) -> tuple[str, str, Caller, Caller, Caller]:
    """(A, B, A's caller, a caller for A with narrow scopes, the operator): two records much alike."""
    operator = served.caller()
    (a, caller), (b, _) = (served.patient(name=[{"family": name}]) for name in ("Durand", "Moreau"))
    for whose, prefix in ((a, "a"), (b, "b")):
        for id, category, identifier in (
            ("1", "laboratory", "shared"),
            ("2", "vital-signs", prefix),
            ("3", None, None),
        ):
            made = _observed(whose, b if whose == a else a, f"{prefix}-{id}", category, identifier)
            assert operator("PUT", f"Observation/{prefix}-{id}", made).status_code == 201
        made = _kept("List", whose, b if whose == a else a, f"{prefix}-list", None, None)
        assert operator("PUT", f"List/{prefix}-list", made).status_code == 201
        for type in ("Observation", "Appointment", "Binary"):
            for id in (f"{prefix}-1", f"{prefix}-gone"):
                operator("PUT", f"{type}/{id}", _kept(type, whose, b if whose == a else a, id, "laboratory", "shared"))
            assert operator("DELETE", f"{type}/{prefix}-gone").status_code == 204
    scopes = " ".join(f"patient/{type}.cruds" for type in TYPES)  # its own AuditEvents would grow by asking
    caller = served.caller(scopes, patient=a)
    narrow = served.caller("patient/Observation.cruds?category=laboratory patient/Patient.rs", patient=a)
    return a, b, caller, narrow, operator


def _answers(world: Any, questions: list[tuple[str, str, Any, dict[str, str]]]) -> list[Any]:
    """All that A is told, with the pages behind each page."""
    a, b, *callers, _ = world
    found: list[Any] = []
    for caller in callers:
        for method, path, body, headers in questions:
            path = path.replace("{a}", a).replace("{b}", b)
            sent = body
            if body in ("own", "others"):
                sent = _observed(
                    *((a, b) if body == "own" else (b, a)), path.rpartition("/")[2], "laboratory", "shared"
                )
            answer = caller(method, path, sent, **headers)
            found.append((method, path, seen(answer)))
            for _ in range(3):
                link = _next(answer)
                if not link:
                    break
                answer = caller("GET", link)
                found.append((method, link, seen(answer)))
        if questions:
            reads = [entry("GET", path.replace("{a}", a).replace("{b}", b)) for m, path, *_ in questions if m == "GET"]
            found.append(seen(caller("POST", "", transaction(*reads, type="batch"))))
    return found


def _next(answer: Any) -> str | None:
    links = (answer.json or {}).get("link", ()) if answer.status_code == 200 and answer.data else ()
    return next((link["url"] for link in links if link["relation"] == "next"), None)


def _change(world: Any, changes: list[Any]) -> None:
    """Write in the records of others, as the operator may."""
    a, b, _, _, operator = world
    for verb, id, category, identifier, type in changes:
        whose = "somebody-else" if verb == "move" else b
        if type == "Patient" and id == "b-1":
            id = b
        if verb == "delete":
            assert operator("DELETE", f"{type}/{id}").status_code == 204
        elif verb == "patch":
            tag = {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": {"tag": [{"code": "x"}]}}]}
            assert operator("POST", f"{type}/{id}/$meta-add", tag).status_code in (200, 404, 410)
        else:
            answer = operator("PUT", f"{type}/{id}", _kept(type, whose, a, id, category, identifier))
            assert answer.status_code in (200, 201), answer.text


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(questions=st.lists(QUESTIONS, min_size=1, max_size=6), changes=OTHERS)
def test_what_a_patient_may_not_see_changes_no_answer(world: Any, questions: list[Any], changes: list[Any]) -> None:
    """SMART App Launch 2.2: scopes-and-launch-context.html; every answer in every byte and header"""
    before = _answers(world, questions)
    _change(world, changes)
    assert _answers(world, questions) == before
