"""Who sees and changes what: scopes over the patient's record, on every route, with what is hidden as if it were not.

SMART App Launch 2.2: scopes-and-launch-context.html; RFC 6750 s. 3; R4: http.html, compartmentdefinition-patient.html
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo import MongoClient

from fhir_server.app import create_app, now
from fhir_server.config import Settings
from fhir_server.fhir.types import TYPES
from fhir_server.interactions.routes import ROUTES
from fhir_server.operations.registry import OPERATIONS
from tests.build import entry, least, observation, patient, transaction
from tests.calls import BASE, Caller, Served, ids, seen

#: SMART App Launch 2.2, scopes-and-launch-context.html: the letter each interaction needs.
LETTERS = {
    "create": "c",
    "read": "r",
    "vread": "r",
    "history-instance": "r",
    "update": "u",
    "patch": "u",
    "delete": "d",
    "search-type": "s",
    "search-system": "s",
    "history-type": "s",
    "history-system": "s",
    "everything": "r",
    "validate": "r",
    "meta": "r",
    "meta-add": "u",
    "meta-delete": "u",
}
#: The operations on a Patient whose answer is made of other resources: it takes a scope for these.
ASKED_OF_OTHERS = {"explain-access": "{id}/$explain-access", "access-history": "{id}/$access-history",
                   "lookup-record": "$lookup-record"}  # fmt: skip
#: (interaction, method, path), a row for each row of the tables of routes and of operations on records.
ASKED = [(route.interaction, route.method, route.path) for route in ROUTES] + [
    (operation.name, method, f"{{type}}/{{id}}/${operation.name}")
    for operation in OPERATIONS
    if "Patient" in operation.types and operation.name not in ASKED_OF_OTHERS
    for method in (["POST"] if operation.changes else ["GET", "POST"])
]
META = {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": {"tag": [{"code": "a"}]}}]}
AMEND = [{"op": "replace", "path": "/status", "value": "amended"}]
JSON_PATCH = "application/json-patch+json"
IDENTIFIERS = "http://identifiers.example"


def ask(caller: Caller, row: tuple[str, str, str], resource: dict[str, Any], **headers: str) -> Any:
    """Ask for the interaction of `row`, on this resource as it is there or would be."""
    interaction, method, path = row
    type, id = resource["resourceType"], resource["id"]
    filled = path.replace("{type}", type).replace("{id}", id).replace("{version_id}", "1")
    body: Any = None
    if method == "PATCH":
        body, headers["Content-Type"] = AMEND, JSON_PATCH
    elif interaction in ("create", "update"):
        body = resource
    elif interaction.startswith("meta-"):
        body = META
    if "{id}" not in path and method in ("PUT", "PATCH", "DELETE"):
        filled += f"?_id={id}"
    return caller(method, filled, body, **headers)


def named(row: tuple[str, str, str]) -> str:
    """The row in a test's name."""
    return " ".join(row[:2]) + (" conditional" if "{id}" not in row[2] and row[1] in ("PUT", "PATCH", "DELETE") else "")


def patched(type: str, path: str, value: dict[str, Any]) -> dict[str, Any]:
    """A FHIRPath Patch that replaces `path`."""
    parts = [{"name": "type", "valueCode": "replace"}, {"name": "path", "valueString": f"{type}.{path}"}, value]
    return {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": parts}]}


def appointment(*patients: str) -> dict[str, Any]:
    """An Appointment of these patients."""
    participants = [{"actor": {"reference": f"Patient/{id}"}, "status": "accepted"} for id in patients]
    return {"resourceType": "Appointment", "status": "proposed", "participant": participants}


def binary(patient: str) -> dict[str, Any]:
    """A Binary of this patient's."""
    security = {"reference": f"Patient/{patient}"}
    return {"resourceType": "Binary", "contentType": "text/plain", "securityContext": security, "data": "QQ=="}


# --- without a token, or with a dead one


@pytest.mark.parametrize("row", ASKED, ids=named)
def test_nobody_gets_in(nobody: Caller, row: tuple[str, str, str]) -> None:
    """RFC 6750 s. 3: without a token, 401 and a challenge without an error code."""
    answer = ask(nobody, row, observation(id="any"))
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="fhir-server"'
    assert answer.json["issue"][0]["code"] == "login"


@pytest.mark.parametrize(
    "path", ["", "/", "Foo", "Patient/1/$foo", "metadata/x", "_foo", "metadata/", "Patient/1/2/3/4"]
)
def test_nobody_learns_what_paths_there_are(nobody: Caller, path: str) -> None:
    """RFC 6750 s. 3: everything but discovery is 401."""
    for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS"):
        assert nobody(method, path).status_code == 401 or (method, path) == ("GET", "metadata/")


@pytest.mark.parametrize("path", ["metadata", ".well-known/smart-configuration"])
def test_discovery_is_for_everybody(nobody: Caller, path: str) -> None:
    """R4 http.html#capabilities; SMART App Launch 2.2: conformance"""
    assert nobody("GET", path).status_code == 200
    assert nobody("HEAD", path).status_code == 200
    assert nobody("POST", path, {}).status_code == 401


def test_health_is_for_everybody(served: Served) -> None:
    """Whoever watches the server has no token."""
    client = served.app.test_client()
    assert client.get("/health/live").status_code == 200
    assert client.get("/health/ready").status_code == 200


@pytest.mark.parametrize(
    "authorization",
    ["Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "Token x", "bearerx", "Bearer\u00a0x", "x" * 5000, "", "{token}"],
)
def test_what_is_no_bearer_token_is_none(served: Served, operator: Caller, authorization: str) -> None:
    """RFC 6750 s. 2.1"""
    nobody = Caller(served.app)
    answer = nobody("GET", "Patient", Authorization=authorization.replace("{token}", str(operator.token)))
    assert answer.status_code == 401
    assert "error=" not in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize("token", ["x", "é\u00ff", "a b", "$where", '{"$gt": ""}', "0" * 64, "x" * 5000])
def test_a_token_that_is_not_known_is_refused(served: Served, token: str) -> None:
    """RFC 6750 s. 3.1 invalid_token"""
    answer = Caller(served.app, token)("GET", "Patient")
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


def test_the_hash_of_a_token_is_not_the_token(served: Served, operator: Caller) -> None:
    """RFC 9700 s. 2: what is kept lets nobody in."""
    kept = served.database["_tokens"].find_one({"kind": "operator"})
    assert kept is not None
    assert Caller(served.app, kept["_id"])("GET", "Patient").status_code == 401
    assert operator.token not in str(list(served.database["_tokens"].find()))


def test_an_expired_token_is_refused(served: Served) -> None:
    """RFC 6750 s. 3.1, before MongoDB has removed it"""
    answer = served.caller(lifetime=-1)("GET", "Patient")
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


def test_a_token_that_is_taken_back_is_dead_at_once(served: Served) -> None:
    """RFC 7009: the next request is refused, a page link's too"""
    id, caller = served.patient()
    link = _next(caller, id)
    served.database["_tokens"].delete_many({"patient": id})
    assert caller("GET", "Patient").status_code == 401
    assert caller("GET", link).status_code == 401


# --- types and interactions outside of the scopes


@pytest.mark.parametrize("context", ["patient", "user", "system"])
@pytest.mark.parametrize("row", ASKED, ids=named)
def test_every_route_needs_its_letter(
    served: Served, operator: Caller, row: tuple[str, str, str], context: str
) -> None:
    """SMART scopes: 403 without the letter of the interaction, though all the others are granted; nothing changes."""
    id, _ = served.patient()
    kept = operator.get(operator.create(observation(id))) if "everything" not in row else operator.get(f"Patient/{id}")
    others = "".join(letter for letter in "cruds" if letter != LETTERS[row[0]])
    caller = served.caller(f"{context}/*.{others}", **({"patient": id} if context != "system" else {}))
    before = served.database["_history"].count_documents({})
    answer = ask(caller, row, kept)
    assert answer.status_code == 403, answer.text
    assert answer.json["issue"][0]["code"] == "forbidden"
    assert served.database["_history"].count_documents({}) == before


@pytest.mark.parametrize("context", ["patient", "user", "system"])
@pytest.mark.parametrize("name", ASKED_OF_OTHERS)
def test_an_answer_made_of_others_needs_a_scope_for_them(served: Served, name: str, context: str) -> None:
    """docs/access.md: a scope narrows what an operation answers of; without any for it, 403"""
    id, _ = served.patient()
    path = ASKED_OF_OTHERS[name].replace("{id}", id)
    for scope in (f"{context}/Immunization.cruds", f"{context}/Patient.cud"):
        caller = served.caller(scope, **({"patient": id} if context != "system" else {}))
        answer = caller("POST", f"Patient/{path}", {"resourceType": "Parameters"})
        assert answer.status_code == 403, answer.text


@pytest.mark.parametrize("context", ["patient", "user", "system"])
@pytest.mark.parametrize("row", [row for row in ASKED if not row[0].endswith("-system")], ids=named)
def test_every_route_needs_its_type(served: Served, operator: Caller, row: tuple[str, str, str], context: str) -> None:
    """SMART scopes: 403 for a type that no scope names."""
    id, _ = served.patient()
    kept = operator.get(operator.create(observation(id))) if "everything" not in row else operator.get(f"Patient/{id}")
    caller = served.caller(f"{context}/Immunization.cruds", **({"patient": id} if context != "system" else {}))
    answer = ask(caller, row, kept)
    assert answer.status_code == (404 if row[0] == "everything" and kept["resourceType"] != "Patient" else 403)


@pytest.mark.parametrize("context", ["patient", "user", "system"])
@pytest.mark.parametrize("row", [row for row in ASKED if row[0].endswith("-system")], ids=named)
def test_across_types_no_other_type_comes_along(
    served: Served, operator: Caller, row: tuple[str, str, str], context: str
) -> None:
    """SMART scopes: of all types those that a scope names; 403 for one that none names, and for `_type` that asks it"""
    id, _ = served.patient()
    operator.create(observation(id))
    appointment_id = operator.create(appointment(id))
    caller = served.caller(f"{context}/Appointment.cruds", **({"patient": id} if context != "system" else {}))
    path = row[2].replace("{id}", id)
    answer = caller(row[1], f"{path}?_count=500")
    assert answer.status_code == 200, answer.text
    assert {reference.partition("/")[0] for reference in ids(answer.json)} == {"Appointment"}
    assert context == "system" or ids(answer.json) == [appointment_id]
    if row[0] == "search-system":
        assert caller(row[1], f"{path}?_type=Observation").status_code == 403
        assert caller(row[1], f"{path}?_type=Appointment,Observation").status_code == 403


@pytest.mark.parametrize(
    "scope",
    [
        "",
        "openid fhirUser launch/patient offline_access",
        "patient/Observation.",
        "patient/Observation.sr",
        "patient/Observation.rr",
        "patient/Observation.R",
        "patient/observation.rs",
        "patient/Observation.reads",
        "patient/Observation.write.read",
        "patient/Foo.rs",
        "patient/Observation.rs?",
        "patient/Observation.rs?category",
        "patient/Observation.rs?unheard-of=1",
        "patient/Observation.rs?category:in=x",
        "patient/Observation.rs?_count=1",
        "patient/Observation.rs?category=",
        "patients/Observation.rs",
        "Patient/Observation.rs",
        "patient/Observation.rs,patient/Observation.rs",
        "patient /Observation.rs",
        "patient/**.rs",
        "patient/Obs*.rs",
        "patient/Observation.rs\u00a0",
        "/Observation.rs",
    ],
)
def test_a_malformed_scope_grants_nothing(served: Served, operator: Caller, scope: str) -> None:
    """SMART scopes: what is not understood is not repaired."""
    id, _ = served.patient()
    reference = operator.create(observation(id))
    caller = served.caller(scope, patient=id)
    for path in (reference, "Observation", f"{reference}/_history", "_history"):
        assert caller("GET", path).status_code == 403, path


@pytest.mark.parametrize(("v1", "allowed"), [("read", "rs"), ("write", "cud"), ("*", "cruds")])
def test_the_words_of_version_1(served: Served, v1: str, allowed: str) -> None:
    """SMART App Launch 1.0: read is rs, write is cud"""
    id, _ = served.patient()
    caller = served.caller(f"patient/Observation.{v1}", patient=id)
    assert (caller("GET", "Observation").status_code == 200) == ("s" in allowed)
    assert (caller("POST", "Observation", observation(id)).status_code == 201) == ("c" in allowed)


def test_patient_scopes_without_a_patient_reach_nothing(served: Served, operator: Caller) -> None:
    """SMART scopes: a patient/ scope requires a patient in context."""
    reference = operator.create({**observation(), "subject": {"reference": "Patient/None"}})
    for kind in ("operator", "patient", "professional", "backend"):
        caller = served.caller("patient/*.cruds", kind=kind)
        for path in (reference, "Observation", "Patient", "Practitioner", "_history"):
            assert caller("GET", path).status_code == 403


# --- what is hidden is as if it were not there

ON_AN_ID: list[tuple[str, str, Any, dict[str, str]]] = [
    ("GET", "", None, {}),
    ("HEAD", "", None, {}),
    ("GET", "?_summary=true", None, {}),
    ("GET", "", None, {"If-None-Match": 'W/"1"'}),
    ("GET", "", None, {"If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"}),
    ("GET", "", None, {"Accept": "application/fhir+xml"}),
    ("GET", "", None, {"Accept": "application/pdf"}),
    ("GET", "/_history/1", None, {}),
    ("GET", "/_history/2", None, {}),
    ("GET", "/_history/99", None, {}),
    ("GET", "/_history", None, {}),
    ("GET", "/_history?_since=2100-01-01", None, {}),
    ("GET", "/_history?_at=2000-01-01", None, {}),
    ("GET", "/_history?_count=0", None, {}),
    ("DELETE", "", None, {}),
    ("DELETE", "", None, {"If-Match": 'W/"1"'}),
    ("PATCH", "", AMEND, {"Content-Type": JSON_PATCH}),
    ("PATCH", "", AMEND, {"Content-Type": JSON_PATCH, "If-Match": 'W/"1"'}),
    ("PATCH", "", [{"op": "test", "path": "/status", "value": "x"}], {"Content-Type": JSON_PATCH}),
    ("PUT", "", "theirs", {}),
    ("PUT", "", "theirs", {"If-Match": 'W/"1"'}),
    ("PUT", "", "mine", {"If-Match": 'W/"1"'}),
    ("PUT", "", "mine", {"If-Match": 'W/"99"'}),
    ("GET", "/$meta", None, {}),
    ("POST", "/$meta", None, {}),
    ("POST", "/$meta-add", META, {}),
    ("POST", "/$meta-delete", META, {}),
    ("GET", "/$everything", None, {}),
    ("POST", "/$everything", None, {}),
]


@pytest.fixture(scope="module")
def others(served: Served) -> dict[str, Any]:
    """The ids of another patient and of what they have: there, changed, deleted, of several kinds."""
    operator = served.caller()
    theirs, _ = served.patient(identifier=[{"system": IDENTIFIERS, "value": "theirs"}])
    found: dict[str, Any] = {"patient": theirs, "Patient": [theirs]}
    for resource in (observation(theirs), appointment(theirs), binary(theirs)):
        kept = operator.create(resource)
        changed = operator.create(resource)
        body = operator.get(changed)
        assert operator("PUT", changed, body).status_code == 200
        gone = operator.create(resource)
        assert operator("DELETE", gone).status_code == 204
        found[resource["resourceType"]] = [reference.partition("/")[2] for reference in (kept, changed, gone)]
    return found


@pytest.mark.parametrize(("method", "after", "body", "headers"), ON_AN_ID)
@pytest.mark.parametrize("context", ["patient", "user"])
def test_what_is_hidden_is_as_if_it_were_not_there(
    served: Served, others: dict[str, Any], method: str, after: str, body: Any, headers: dict[str, str], context: str
) -> None:
    """The answer for another's id, deleted or not, is in every byte that for an id that nothing has."""
    mine, caller = served.patient(f"{context}/*.cruds")
    before = served.database["_history"].count_documents({})
    for type in ("Patient", "Observation", "Appointment", "Binary"):
        if after == "/$everything" and type != "Patient":
            continue
        answers = []
        for id in ("00000000-0000-7000-8000-000000000000", *others[type]):
            sent = body
            if body in ("mine", "theirs"):
                whose = mine if body == "mine" else others["patient"]
                resource = {
                    "Observation": observation(whose),
                    "Appointment": appointment(whose),
                    "Binary": binary(whose),
                }
                sent = {**resource.get(type, patient()), "id": id}
            if type == "Patient" and body == "mine" and "If-Match" not in headers:
                continue
            answers.append(seen(caller(method, f"{type}/{id}{after}", sent, **headers), id))
        assert all(answer == answers[0] for answer in answers), (type, answers)
        assert 400 <= answers[0][0] < 500 or answers[0][0] == 204
    assert served.database["_history"].count_documents({}) == before


def test_an_id_of_anothers_cannot_be_taken(served: Served, operator: Caller, others: dict[str, Any]) -> None:
    """R4 http.html#upsert: not over what is hidden, nor over what another deleted; both stay as they were."""
    mine, caller = served.patient()
    for id in others["Observation"]:
        before = operator.get(f"Observation/{id}/_history")
        assert caller("PUT", f"Observation/{id}", observation(mine, id=id)).status_code == 404
        assert operator.get(f"Observation/{id}/_history") == before


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "If-None-Exist"])
def test_conditions_do_not_find_what_is_hidden(served: Served, operator: Caller, method: str) -> None:
    """R4 http.html#cond-update: the criteria are asked of what the caller may see, so that another's is no match."""
    theirs, _ = served.patient()
    mine, caller = served.patient()
    tag = {"system": IDENTIFIERS, "value": f"{method}-{theirs}"}
    reference = operator.create(observation(theirs, identifier=[tag]))
    operator.create(observation(theirs, identifier=[{**tag, "value": f"twice-{method}-{theirs}"}]))
    operator.create(observation(theirs, identifier=[{**tag, "value": f"twice-{method}-{theirs}"}]))
    statuses = []
    for value in (tag["value"], f"twice-{tag['value']}", f"none-{theirs}"):
        criteria = f"identifier={IDENTIFIERS}|{value}"
        if method == "If-None-Exist":
            answer = caller("POST", "Observation", observation(mine), If_None_Exist=criteria)
        elif method == "PATCH":
            answer = caller("PATCH", f"Observation?{criteria}", AMEND, Content_Type=JSON_PATCH)
        else:
            body = observation(mine) if method == "PUT" else None
            answer = caller(method, f"Observation?{criteria}", body)
        statuses.append(answer.status_code)
    assert statuses == [{"PUT": 201, "PATCH": 404, "DELETE": 204, "If-None-Exist": 201}[method]] * 3
    assert operator.get(reference)["meta"]["versionId"] == "1"


# --- a record is all that its patient sees


@pytest.fixture(scope="module")
def records(served: Served) -> tuple[str, Caller, str, set[str], set[str]]:
    """(patient, caller, other patient, `Type/id` of the patient's, `Type/id` of the other's), the two much alike."""
    operator = served.caller()
    practitioner = operator.create({"resourceType": "Practitioner", "name": [{"family": "Moreau"}]})
    mine, caller = served.patient()
    theirs, _ = served.patient()
    kept: dict[str, set[str]] = {mine: {f"Patient/{mine}"}, theirs: {f"Patient/{theirs}"}}
    for _ in range(7):
        for id in (mine, theirs):
            measured = observation(id, performer=[{"reference": practitioner}], effectiveDateTime="2024-02-01")
            for resource in (measured, appointment(id), binary(id)):
                kept[id].add(operator.create(resource))
    for id in (mine, theirs):
        reference = operator.create(observation(id))
        kept[id].add(reference)
        for _ in range(3):
            assert operator("PUT", reference, operator.get(reference)).status_code == 200
    return mine, caller, theirs, kept[mine], kept[theirs]


def _pages(caller: Caller, path: str) -> list[dict[str, Any]]:
    """The Bundles of a search or history, by its next links."""
    pages = [caller.get(path)]
    while link := _link(pages[-1], "next"):
        pages.append(caller.get(link))
    return pages


def _link(bundle: dict[str, Any], relation: str) -> str | None:
    return next((link["url"] for link in bundle["link"] if link["relation"] == relation), None)


def _next(caller: Caller, id: str) -> str:
    """The next link of a search of two Observations, one a page."""
    for _ in range(2):
        caller.create(observation(id))
    link = _link(caller.get("Observation?_count=1"), "next")
    assert link
    return link


@pytest.mark.parametrize("type", ["Patient", "Observation", "Appointment", "Binary"])
@pytest.mark.parametrize("count", ["", "?_count=3", "?_count=1", "?_total=accurate", "?_total=accurate&_count=2"])
def test_a_search_finds_the_own_record_alone(records: Any, type: str, count: str) -> None:
    """R4 search.html: pages and totals of what the caller may see, as if there were nothing else"""
    _, caller, _, mine, _ = records
    pages = _pages(caller, f"{type}{count}")
    found = [reference for page in pages for reference in ids(page)]
    wanted = {reference for reference in mine if reference.startswith(f"{type}/")}
    assert len(found) == len(wanted)
    assert set(found) == wanted
    totals = {page["total"] for page in pages if "total" in page}
    assert totals == {len(wanted)}


def test_a_count_counts_the_own_record_alone(records: Any) -> None:
    """R4 search.html#summary"""
    _, caller, theirs, _, _ = records
    for query in ("_summary=count", "_count=0", "_summary=count&status=final"):
        assert caller.get(f"Observation?{query}")["total"] == 8
        assert caller.get(f"Observation?{query}&subject={theirs}")["total"] == 0


def test_no_criterion_reaches_another_record(records: Any) -> None:
    """R4 search.html: by id, patient, performer, by GET and by POST"""
    _, caller, theirs, _, hidden = records
    for type, name in (("Observation", "subject"), ("Observation", "patient"), ("Appointment", "patient")):
        for value in (theirs, f"Patient/{theirs}", f"{BASE}/Patient/{theirs}", f"Patient/x,Patient/{theirs}"):
            body = f"{name}={value}".encode()
            form = caller("POST", f"{type}/_search", body, Content_Type="application/x-www-form-urlencoded")
            for answer in (caller("GET", f"{type}?{name}={value}"), form):
                assert answer.status_code == 200, answer.text
                assert answer.json["total"] == 0, answer.text
                assert ids(answer.json) == []
    for reference in hidden:
        type, _, id = reference.partition("/")
        assert caller.get(f"{type}?_id={id}")["total"] == 0


@pytest.mark.parametrize("path", ["_history", "Observation/_history", "Appointment/_history", "Patient/_history"])
@pytest.mark.parametrize("count", ["", "?_count=2", "?_since=2020-01-01", "?_at=2100"])
def test_a_history_shows_the_own_record_alone(records: Any, path: str, count: str) -> None:
    """R4 http.html#history: of a type and of the system"""
    _, caller, _, mine, _ = records
    pages = _pages(caller, path + count)
    found = [reference for page in pages for reference in ids(page)]
    assert {page["total"] for page in pages} == {len(found)}
    type = path.rpartition("/")[0]
    in_records = {reference for reference in found if not TYPES[reference.partition("/")[0]].directory}
    assert in_records == {reference for reference in mine if reference.startswith(type)}


def test_an_instance_history_is_for_its_patient(records: Any) -> None:
    """R4 http.html#history, vread"""
    _, caller, _, mine, hidden = records
    for reference in mine:
        assert set(ids(caller.get(f"{reference}/_history"))) == {reference}
        assert caller.get(f"{reference}/_history/1")["meta"]["versionId"] == "1"
    for reference in hidden:
        assert caller("GET", f"{reference}/_history").status_code == 404


def test_everything_is_the_own_record_and_the_directory_it_names(records: Any) -> None:
    """R4 patient-operation-everything.html"""
    me, caller, theirs, mine, _ = records
    for count in ("", "?_count=4"):
        pages = _pages(caller, f"Patient/{me}/$everything{count}")
        entries = [entry for page in pages for entry in page["entry"]]
        modes = {mode: {e["fullUrl"] for e in entries if e["search"]["mode"] == mode} for mode in ("match", "include")}
        assert {url.removeprefix(f"{BASE}/") for url in modes["match"]} == mine
        assert all(url.startswith(f"{BASE}/Practitioner/") for url in modes["include"])
        assert len(modes["include"]) == 1
    assert caller("GET", f"Patient/{theirs}/$everything").status_code == 404


def test_everything_leaves_out_types_outside_of_the_scopes(served: Served, records: Any) -> None:
    """SMART scopes: $everything is no way round them; nor to the directory"""
    me, _, _, mine, _ = records
    caller = served.caller("patient/Patient.r patient/Observation.rs", patient=me)
    observations = {reference for reference in mine if reference.startswith("Observation/")}
    assert set(ids(caller.get(f"Patient/{me}/$everything"))) == observations


def test_everything_refers_to_another_patient_without_showing_them(served: Served, operator: Caller) -> None:
    """A reference from the own record to another's resource is no way in."""
    theirs, _ = served.patient()
    hidden = operator.create(observation(theirs))
    me, caller = served.patient()
    caller.create(observation(me, hasMember=[{"reference": hidden}], performer=[{"reference": f"Patient/{theirs}"}]))
    assert {reference.partition("/")[0] for reference in ids(caller.get(f"Patient/{me}/$everything"))} <= {
        "Patient",
        "Observation",
    }
    assert hidden not in caller("GET", f"Patient/{me}/$everything").text.replace(f'"reference":"{hidden}"', "")


@pytest.mark.parametrize("type", ["batch", "transaction"])
def test_entries_go_through_the_same_door(records: Any, type: str) -> None:
    """R4 http.html#transaction; SMART scopes: every inner request by its own rule"""
    _, caller, theirs, mine, hidden = records
    reference = next(r for r in sorted(mine) if r.startswith("Observation/"))
    reads = transaction(
        entry("GET", reference), entry("GET", "Observation?_count=50"), entry("GET", "_history?_count=500"), type=type
    )
    answer = caller("POST", "", reads)
    assert answer.status_code == 200, answer.text
    read, searched, listed = (e["resource"] for e in answer.json["entry"])
    assert f"Observation/{read['id']}" == reference
    assert searched["total"] == 8
    assert not hidden & set(ids(listed))
    for secret in sorted(hidden):
        refused = caller("POST", "", transaction(entry("GET", secret), type=type))
        status = refused.json["entry"][0]["response"]["status"][:3] if type == "batch" else str(refused.status_code)
        assert status == "404", refused.text


def test_page_links_are_their_callers_own(served: Served) -> None:
    """A cursor is of use to the person it was given to, with the next token too, and to no one else."""
    me, caller = served.patient()
    _, other = served.patient()
    operator = served.caller()
    pages = ("_history?_count=1", f"Patient/{me}/$everything?_count=1")
    for path in (_next(caller, me), *(_link(caller.get(page), "next") for page in pages)):
        assert path
        assert caller("GET", path).status_code == 200
        assert served.caller("patient/*.rs", patient=me)("GET", path).status_code == 200
        for stranger in (other, operator, served.caller("user/*.rs", practitioner=me)):
            refused = stranger("GET", path)
            assert refused.status_code in ((404,) if "$everything" in path and stranger is not operator else (400,))
        for broken in (path[:-9] + ("A" if path[-9] != "A" else "B") + path[-8:], path + "x", path + "&_count=2"):
            assert caller("GET", broken).status_code == 400
    narrow = served.caller("patient/Immunization.rs", patient=me)
    assert narrow("GET", _next(caller, me)).status_code == 403


def test_each_version_is_judged_by_itself(served: Served, operator: Caller) -> None:
    """What moved from one record to another shows to each patient the versions that were theirs."""
    first, one = served.patient()
    second, two = served.patient()
    reference = operator.create(observation(first))
    id = reference.partition("/")[2]
    assert operator("PUT", reference, observation(second, id=id)).status_code == 200
    assert [e["response"]["etag"] for e in one.get("Observation/_history")["entry"]] == ['W/"1"']
    assert [e["response"]["etag"] for e in two.get(f"{reference}/_history")["entry"]] == ['W/"2"']
    assert one("GET", reference).status_code == 404
    assert one("GET", f"{reference}/_history/2").status_code == 404
    assert two("GET", f"{reference}/_history/1").status_code == 404
    assert two("GET", reference).status_code == 200


# --- granular scopes

LABORATORY = "http://terminology.hl7.org/CodeSystem/observation-category|laboratory"


def _category(code: str) -> dict[str, Any]:
    system = "http://terminology.hl7.org/CodeSystem/observation-category"
    return {"category": [{"coding": [{"system": system, "code": code}]}]}


def test_granular_scopes_cut_every_way_to_read(served: Served, operator: Caller) -> None:
    """SMART scopes, finer-grained: only what a search by the constraint would find"""
    id, _ = served.patient()
    laboratory = operator.create(observation(id, **_category("laboratory")))
    outside = ({}, _category("vital-signs"), {"category": [{"text": "laboratory"}]})
    hidden = [operator.create(observation(id, **more)) for more in outside]
    caller = served.caller(f"patient/Observation.rs?category={LABORATORY}", patient=id)
    assert caller("GET", laboratory).status_code == 200
    assert ids(caller.get("Observation")) == [laboratory]
    assert caller.get("Observation?_summary=count")["total"] == 1
    assert ids(caller.get("_history")) == [laboratory]
    assert caller.get("Observation/_history")["total"] == 1
    for reference in hidden:
        for after in ("", "/_history", "/_history/1", "/$meta"):
            assert caller("GET", reference + after).status_code == 404
        assert caller.get(f"Observation?_id={reference.partition('/')[2]}")["total"] == 0


def test_granular_scopes_hold_for_writes(served: Served, operator: Caller) -> None:
    """SMART scopes, finer-grained: neither into what they reach nor out of it, nothing changed"""
    id, _ = served.patient()
    inside = operator.create(observation(id, **_category("laboratory")))
    outside = operator.create(observation(id))
    caller = served.caller(f"patient/Observation.cruds?category={LABORATORY}", patient=id)
    assert caller("POST", "Observation", observation(id)).status_code == 403
    assert caller("POST", "Observation", observation(id, **_category("laboratory"))).status_code == 201
    assert caller("PUT", inside, observation(id, id=inside[12:])).status_code == 403
    assert caller("PUT", outside, observation(id, id=outside[12:], **_category("laboratory"))).status_code == 404
    remove = [{"op": "remove", "path": "/category"}]
    assert caller("PATCH", inside, remove, Content_Type=JSON_PATCH).status_code == 403
    assert caller("DELETE", outside).status_code == 204
    for reference in (inside, outside):
        assert operator.get(reference)["meta"]["versionId"] == "1"


def test_granular_scopes_unite(served: Served, operator: Caller) -> None:
    """SMART scopes: what any of the scopes reaches; two constraints in one scope both hold"""
    id, _ = served.patient()
    kept = {code: operator.create(observation(id, **_category(code))) for code in ("laboratory", "vital-signs", "exam")}
    two = served.caller("patient/Observation.rs?category=laboratory patient/Observation.rs?category=exam", patient=id)
    assert set(ids(two.get("Observation"))) == {kept["laboratory"], kept["exam"]}
    both = served.caller("patient/Observation.rs?category=laboratory&status=amended", patient=id)
    assert ids(both.get("Observation")) == []
    mixed = served.caller("patient/Observation.rs?category=laboratory patient/Observation.r", patient=id)
    assert ids(mixed.get("Observation")) == [kept["laboratory"]]
    assert mixed("GET", kept["exam"]).status_code == 200


def test_a_constraint_that_a_type_cannot_be_searched_by_reaches_nothing_of_it(served: Served, operator: Caller) -> None:
    """A wildcard with a constraint reaches the types that have the parameter, and harms no others."""
    id, _ = served.patient()
    reference = operator.create(observation(id, **_category("laboratory")))
    caller = served.caller("patient/*.rs?category=laboratory patient/Patient.r", patient=id)
    assert caller("GET", reference).status_code == 200
    assert caller("GET", "Appointment").status_code == 403
    assert caller("GET", f"Patient/{id}").status_code == 200
    assert ids(caller.get("_history")) == [reference]


# --- a write stays within the record


@pytest.mark.parametrize("by", ["PUT", "JSON Patch", "FHIRPath Patch", "conditional", "transaction", "batch"])
@pytest.mark.parametrize("context", ["patient", "user"])
def test_nothing_is_moved_into_another_record(served: Served, operator: Caller, by: str, context: str) -> None:
    """The subject of the own resource cannot be made another patient: 403, and nothing changes."""
    theirs, _ = served.patient()
    mine, caller = served.patient(f"{context}/*.cruds")
    reference = caller.create(observation(mine))
    before = served.database["_history"].count_documents({})
    for value in (f"Patient/{theirs}", f"{BASE}/Patient/{theirs}", f"Patient/{theirs}/_history/1"):
        moved = observation(theirs, id=reference[12:], subject={"reference": value})
        assert _moved(caller, by, reference, moved) == 403
    assert _moved(caller, by, reference, {k: v for k, v in moved.items() if k != "subject"}) in (403, 422)
    assert served.database["_history"].count_documents({}) == before
    assert operator.get(reference)["subject"]["reference"] == f"Patient/{mine}"


def _moved(caller: Caller, by: str, reference: str, moved: dict[str, Any]) -> int:
    """The status of the attempt."""
    if by == "PUT":
        return caller("PUT", reference, moved).status_code
    if by == "conditional":
        return caller("PUT", f"Observation?_id={moved['id']}", moved).status_code
    if by in ("batch", "transaction"):
        answer = caller("POST", "", transaction(entry("PUT", reference, moved), type=by))
        return int(answer.json["entry"][0]["response"]["status"][:3]) if by == "batch" else answer.status_code
    if by == "JSON Patch":
        operation = {"op": "replace", "path": "/subject", "value": moved.get("subject")}
        body: Any = [operation if "subject" in moved else {"op": "remove", "path": "/subject"}]
        return caller("PATCH", reference, body, Content_Type=JSON_PATCH).status_code
    value = {"name": "value", "valueReference": moved.get("subject", {"display": "nobody"})}
    return caller("PATCH", reference, patched("Observation", "subject", value)).status_code


def test_nothing_is_moved_out_of_another_record(served: Served, operator: Caller) -> None:
    """Another's resource cannot be drawn into the own record, by any verb."""
    theirs, _ = served.patient()
    mine, caller = served.patient()
    reference = operator.create(observation(theirs))
    for by in ("PUT", "JSON Patch", "FHIRPath Patch", "transaction", "batch"):
        assert _moved(caller, by, reference, observation(mine, id=reference[12:])) == 404
    history = operator.get(f"{reference}/_history")
    assert history["total"] == 1


def test_nothing_is_created_in_another_record(served: Served, operator: Caller) -> None:
    """R4 http.html#create: by POST, PUT, with a condition, in a Bundle, without any patient at all; all 403"""
    theirs, _ = served.patient()
    mine, caller = served.patient()
    before = served.database["_history"].count_documents({})
    nobodys = {key: value for key, value in observation().items() if key != "subject"}
    for resource in (
        observation(theirs),
        nobodys,
        appointment(theirs),
        binary(theirs),
        patient(),
        appointment(mine, theirs),
    ):
        type = resource["resourceType"]
        assert caller("POST", type, resource).status_code == 403
        assert caller("POST", type, resource, If_None_Exist="_id=none").status_code == 403
        assert caller("PUT", f"{type}/new-{mine}", {**resource, "id": f"new-{mine}"}).status_code == 403
        assert caller("PUT", f"{type}?_id=none", resource).status_code == 403
        both = transaction(entry("POST", "Observation", observation(mine)), entry("POST", type, resource))
        assert caller("POST", "", both).status_code == 403
    assert served.database["_history"].count_documents({}) == before


def test_what_is_in_two_records_is_for_both_to_see_and_for_neither_to_change(served: Served, operator: Caller) -> None:
    """A write by one patient would be one in the other's record."""
    one, first = served.patient()
    two, second = served.patient()
    reference = operator.create(appointment(one, two))
    for caller, id in ((first, one), (second, two)):
        assert caller("GET", reference).status_code == 200
        assert ids(caller.get("Appointment")) == [reference]
        assert caller("PUT", reference, {**appointment(id), "id": reference[12:]}).status_code == 403
        assert caller("PATCH", reference, AMEND, Content_Type=JSON_PATCH).status_code in (403, 422)
        assert caller("DELETE", reference).status_code == 403
    own = first.create(appointment(one))
    assert first("PUT", own, {**appointment(one, two), "id": own[12:]}).status_code == 403
    assert operator.get(reference)["meta"]["versionId"] == "1"


@pytest.mark.parametrize("type", ["Practitioner", "Organization", "Location", "CodeSystem", "Medication"])
def test_a_patient_reads_the_directory_and_does_not_write_it(served: Served, operator: Caller, type: str) -> None:
    """403: no patient/ or user/ scope reaches a write to what all share."""
    reference = operator.create(least(type))
    id, _ = served.patient()
    for caller in (
        served.caller("patient/*.cruds", patient=id),
        served.caller("user/*.cruds", patient=id),
        served.caller("user/*.cruds", practitioner="p"),
    ):
        assert caller("GET", reference).status_code == 200
        assert caller("POST", type, least(type)).status_code == 403
        assert caller("PUT", reference, {**least(type), "id": reference.partition("/")[2]}).status_code == 403
        assert caller("PATCH", reference, [], Content_Type=JSON_PATCH).status_code in (403, 400)
        assert caller("DELETE", reference).status_code == 403
        assert caller("POST", f"{reference}/$meta-add", META).status_code == 403
    assert operator.get(reference)["meta"]["versionId"] == "1"


def test_a_refused_entry_undoes_the_whole_transaction(served: Served, operator: Caller) -> None:
    """R4 http.html#trules: all or nothing; a batch refuses its own entry alone"""
    theirs, _ = served.patient()
    mine, caller = served.patient()
    bundle = transaction(
        entry("POST", "Observation", observation(mine)), entry("POST", "Observation", observation(theirs))
    )
    assert caller("POST", "", bundle).status_code == 403
    assert caller.get("Observation")["total"] == 0
    answers = caller("POST", "", {**bundle, "type": "batch"}).json["entry"]
    assert [answer["response"]["status"][:3] for answer in answers] == ["201", "403"]


def test_who_may_write_and_not_read_gets_nothing_to_read(served: Served, operator: Caller) -> None:
    """SMART scopes: c and u do not come with r"""
    id, _ = served.patient()
    caller = served.caller("patient/Observation.cu", patient=id)
    reference = f"Observation/{caller('POST', 'Observation', observation(id)).headers['Location'].split('/')[-3]}"
    created = caller("POST", "Observation", observation(id), Prefer="return=representation")
    changed = caller("PATCH", reference, AMEND, Content_Type=JSON_PATCH, Prefer="return=representation")
    assert (created.status_code, created.data) == (201, b"")
    assert (changed.status_code, changed.data) == (200, b"")
    assert caller("POST", f"{reference}/$meta-add", META).status_code == 403


# --- professionals and backends


def test_a_professional_sees_what_they_deposited(served: Served, operator: Caller) -> None:
    """user/ scopes: deposits go anywhere and are read back; what others deposited is hidden"""
    id, _ = served.patient()
    theirs = operator.create(observation(id))
    one, other = served.caller("user/*.cruds", practitioner="one"), served.caller("user/*.cruds", practitioner="other")
    mine = one.create(observation(id))
    assert set(ids(one.get(f"Observation?subject={id}"))) == {mine}
    assert ids(other.get(f"Observation?subject={id}")) == []
    for hidden, caller in ((theirs, one), (mine, other)):
        unknown = seen(caller("GET", "Observation/none"), "none")
        assert seen(caller("GET", hidden), hidden[12:]) == unknown
        assert caller("PATCH", hidden, AMEND, Content_Type=JSON_PATCH).status_code == 404
    assert one("GET", f"Patient/{id}").status_code == 404


def test_a_backend_reaches_what_it_deposited(served: Served, operator: Caller) -> None:
    """A14; SMART scopes: system/ is of the type, and of none of any other; the operator's is every record"""
    id, _ = served.patient()
    theirs = operator.create(observation(id))
    backend = served.caller("system/Observation.crs", kind="backend", client_id=f"client-{id}")
    mine = backend.create(observation(id))
    assert backend("GET", theirs).status_code == 404
    assert ids(backend.get(f"Observation?patient={id}")) == [mine]
    assert ids(backend.get("Observation")) == [mine]
    assert backend("GET", f"Patient/{id}").status_code == 403
    assert ids(backend.get("_history")) == [mine]
    assert {theirs, mine} <= set(ids(operator.get(f"Observation?patient={id}")))


# --- ways around


@pytest.mark.parametrize("path", ["{}//{}", "/{}/{}", "{}/{}/", "{}/%2e/{}", "{};x/{}", "{}%2F{}", "{}/./{}"])
def test_no_spelling_of_a_path_leads_round_the_door(served: Served, others: dict[str, Any], path: str) -> None:
    """RFC 3986 s. 6: whichever resource a path is taken for, it is not another's"""
    _, caller = served.patient()
    for method in ("GET", "PATCH", "DELETE"):
        answer = caller(method, path.format("Observation", others["Observation"][0]))
        assert answer.status_code in (204, 400, 403, 404, 405, 415)
    assert served.caller()("GET", f"Observation/{others['Observation'][0]}").status_code == 200


def test_no_header_changes_the_method(served: Served, operator: Caller) -> None:
    """A GET stays a GET."""
    id, caller = served.patient()
    reference = caller.create(observation(id))
    for name in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
        assert caller("GET", reference, **{name: "DELETE"}).status_code == 200
    assert caller("POST", f"{reference}?_method=DELETE", {}).status_code == 405
    assert operator("GET", reference).status_code == 200


def test_no_header_names_another_patient_or_server(served: Served, others: dict[str, Any]) -> None:
    """Who asks, and where the server is, come from the token and the settings."""
    _, caller = served.patient()
    headers = {"X-Patient": others["patient"], "X-Forwarded-User": "operator", "X-Forwarded-Host": "evil.example"}
    assert caller("GET", f"Patient/{others['patient']}", **headers).status_code == 404
    assert "evil" not in caller("GET", "Patient", Host="evil.example", **headers).text


def test_nothing_may_be_kept_by_a_proxy(served: Served) -> None:
    """RFC 9111 s. 5.2.2.5: on answers and refusals alike"""
    id, caller = served.patient()
    for answer in (caller("GET", f"Patient/{id}"), caller("GET", "Patient/none"), Caller(served.app)("GET", "Patient")):
        assert "no-store" in answer.headers["Cache-Control"]


def test_a_token_lives_as_long_as_it_was_made_for(mongodb_client: MongoClient[dict[str, Any]], served: Served) -> None:
    """RFC 6749 s. 5.1 expires_in"""
    before = now()
    token = served.caller(lifetime=60).token
    after = now()

    def at(moment: datetime) -> Caller:
        settings = Settings(mongodb_database=served.name)
        return Caller(
            create_app(mongodb_client, settings, "http://fhir.test", clock=lambda: moment.astimezone(UTC)), token
        )

    assert at(before + timedelta(seconds=59))("GET", "Patient/none").status_code == 404
    assert at(after + timedelta(seconds=61))("GET", "Patient/none").status_code == 401
