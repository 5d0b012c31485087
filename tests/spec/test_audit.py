"""Every request leaves its AuditEvents before its answer leaves: who, what, which versions of whose, and how it ended.

R4: auditevent.html; IHE BALP: "one AuditEvent is created for every Patient identified"
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from pymongo import MongoClient
from werkzeug.test import TestResponse

from fhir_server.accounts.rates import Rate
from fhir_server.storage.ledger import COLLECTIONS
from fhir_server.validation import structure
from tests.build import entry, observation, patient, transaction
from tests.calls import Caller, Served, follow, ids, serve

JSON_PATCH = "application/json-patch+json"
AMEND = [{"op": "replace", "path": "/status", "value": "amended"}]
META = {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": {"tag": [{"code": "a"}]}}]}


def _versions(event: dict[str, Any]) -> list[str]:
    """The versions that an AuditEvent names."""
    found = [entity.get("what", {}).get("reference", "") for entity in event["entity"]]
    return [reference for reference in found if "/_history/" in reference]


def _patients(event: dict[str, Any]) -> list[str]:
    """The patients that it says they are of."""
    return [e["what"]["reference"] for e in event["entity"] if e.get("role", {}).get("code") == "1"]


def _asked(event: dict[str, Any]) -> str:
    """The request that it says was made."""
    (query,) = (entity["query"] for entity in event["entity"] if "query" in entity)
    return base64.b64decode(query).decode()


def _what(event: dict[str, Any]) -> tuple[str, str, str]:
    """(interaction, action, outcome)"""
    return event["subtype"][0]["code"], event["action"], event["outcome"]


def only(served: Served, answer: TestResponse) -> dict[str, Any]:
    """The one AuditEvent of a request, which is good R4."""
    (event,) = served.events(answer)
    assert structure.faults(event) == []
    return event


@pytest.fixture(scope="module")
def own(served: Served) -> tuple[str, Caller, str]:
    """A patient, and an Observation of theirs with two versions and one behind it that is deleted."""
    id, caller = served.patient()
    reference = caller.create(observation(id))
    assert caller("PUT", reference, observation(id, id=reference[12:])).status_code == 200
    return id, caller, reference


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_read(served: Served, own: tuple[str, Caller, str], method: str) -> None:
    """R4 auditevent.html: the version, its patient, who asked, from where, for what, and that it was granted"""
    id, caller, reference = own
    answer = caller(method, f"{reference}?_pretty=true")
    event = only(served, answer)
    assert _what(event) == ("read", "R", "0")
    assert _versions(event) == [f"{reference}/_history/2"]
    assert _patients(event) == [f"Patient/{id}"]
    assert _asked(event) == f"{method} /{reference}?_pretty=true"
    (agent,) = event["agent"]
    assert agent["who"]["reference"] == f"Patient/{id}"
    assert agent["requestor"] is True
    assert agent["network"] == {"address": "127.0.0.1", "type": "2"}
    assert str(caller.token) not in str(event)


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("patient={a},{b}&code=x,29463-7", "patient=...&code=x,29463-7"),
        ("patient={a}%2C{b}&_sort=date,code", "patient=...&_sort=date,code"),
        ("subject:Patient={a},{b}", "subject:Patient=..."),
        ("patient.identifier={a}-id,{b}-id", "patient.identifier=..."),
        ("identifier={a}-o,{b}-o", "identifier=..."),
        ("_filter=patient eq {a} or patient eq {b}", "_filter=..."),
        ("patient={a}&code=29463-7", "patient={a}&code=29463-7"),
    ],
)
def test_a_patient_is_not_told_whom_else_a_search_was_about(served: Served, query: str, told: str) -> None:
    """C17, A17: who asked for several patients at once told the ledger, and none of them who the others are"""
    caller = served.caller()
    a, b = (f"{name}-{secrets.token_hex(8)}" for name in "pq")
    for id in (a, b):
        person = patient(id=id, identifier=[{"value": f"{id}-id"}])
        assert caller("PUT", f"Patient/{id}", person).status_code == 201
        kept = observation(id, id=f"o-{id}", identifier=[{"value": f"{id}-o"}])
        assert caller("PUT", f"Observation/o-{id}", kept).status_code == 201
    answer = caller("GET", f"Observation?{query.format(a=a, b=b)}".replace(" ", "%20"))
    assert answer.status_code == 200
    events = {_patients(event)[0]: event for event in served.events(answer)}
    assert f"Patient/{a}" in events
    for whose, event in events.items():
        other = a if whose == f"Patient/{b}" else b
        assert _asked(event) == f"GET /Observation?{told.format(a=a, b=b)}"
        assert other not in str(event) + _asked(event)


def test_reads_of_every_kind(served: Served, own: tuple[str, Caller, str]) -> None:
    """R4 http.html: each interaction by its code and with the versions that were served"""
    id, caller, reference = own
    one, two = f"{reference}/_history/1", f"{reference}/_history/2"
    form = {"Content_Type": "application/x-www-form-urlencoded"}
    for answer, what, versions in (
        (caller("GET", one), ("vread", "R", "0"), [one]),
        (caller("GET", f"{reference}/_history"), ("history-instance", "R", "0"), [two, one]),
        (caller("GET", "Observation/_history"), ("history-type", "R", "0"), [two, one]),
        (caller("GET", f"{reference}/_history?_count=1"), ("history-instance", "R", "0"), [two]),
        (caller("GET", f"{reference}/_history?_count=0"), ("history-instance", "R", "0"), []),
        (caller("GET", "Observation"), ("search-type", "E", "0"), [two]),
        (caller("POST", "Observation/_search", b"status=final", **form), ("search-type", "E", "0"), [two]),
        (caller("GET", "Observation?_summary=count"), ("search-type", "E", "0"), []),
        (caller("GET", "Observation?status=amended"), ("search-type", "E", "0"), []),
        (caller("GET", reference, If_None_Match='W/"2"'), ("read", "R", "0"), [two]),
        (caller("GET", f"{reference}/$meta"), ("operation", "E", "0"), [two]),
    ):
        event = only(served, answer)
        assert (_what(event), _versions(event)) == (what, versions)
        assert _patients(event) == ([f"Patient/{id}"] if versions else [])


def test_a_page_names_what_is_on_it_and_not_what_is_behind(served: Served, operator: Caller) -> None:
    """The row that tells that there are further pages is not disclosed."""
    id, caller = served.patient()
    for _ in range(3):
        caller.create(observation(id))
    for path in (
        "Observation?_count=2",
        "Observation/_history?_count=2",
        f"Patient/{id}/$everything?_count=2&_type=Observation",
    ):
        answer = caller("GET", path)
        named = {reference.rpartition("/_history")[0] for reference in _versions(only(served, answer))}
        assert named == set(ids(answer.json))
        assert len(ids(answer.json)) == 2


def test_what_is_asked_of_a_record_and_finds_nothing_is_said_to_its_patient(served: Served, operator: Caller) -> None:
    """BALP: no version was disclosed, the Patient neither; whose record was asked about is said all the same"""
    id, caller = served.patient()
    event = only(served, caller("GET", f"Patient/{id}/$everything?_type=Observation"))
    assert (_what(event), _versions(event), _patients(event)) == (("operation", "E", "0"), [], [f"Patient/{id}"])


def test_everything_names_the_record_and_the_directory_apart(served: Served, operator: Caller) -> None:
    """BALP: one AuditEvent for the patient; what is in nobody's record stands in one of its own"""
    practitioner = operator.create({"resourceType": "Practitioner"})
    id, caller = served.patient()
    reference = caller.create(observation(id, performer=[{"reference": practitioner}]))
    events = served.events(caller("GET", f"Patient/{id}/$everything"))
    second, first = sorted(events, key=lambda event: len(_versions(event)))
    assert _what(first) == _what(second) == ("operation", "E", "0")
    assert _versions(first) == [f"Patient/{id}/_history/1", f"{reference}/_history/1"]
    assert _versions(second) == [f"{practitioner}/_history/1"]


def test_writes_of_every_kind(served: Served) -> None:
    """R4 auditevent.html: one AuditEvent, naming the version that was made; valueset-audit-event-action"""
    id, caller = served.patient()
    made = caller("POST", "Observation", observation(id))
    reference = f"Observation/{made.json['id']}"
    kept = observation(id, id=reference[12:])
    for answer, what, versions in (
        (made, ("create", "C", "0"), [1]),
        (caller("PUT", reference, kept), ("update", "U", "0"), [2]),
        (caller("PUT", f"Observation?_id={reference[12:]}", kept), ("update", "U", "0"), [3]),
        (caller("PATCH", reference, AMEND, Content_Type=JSON_PATCH), ("patch", "U", "0"), [4]),
        (caller("POST", f"{reference}/$meta-add", META), ("patch", "U", "0"), [5]),
        (caller("DELETE", reference), ("delete", "D", "0"), [6]),
        (caller("DELETE", reference), ("delete", "D", "0"), []),
        (caller("DELETE", "Observation/none"), ("delete", "D", "0"), []),
        (caller("DELETE", "Observation?_id=none"), ("delete", "D", "0"), []),
        (caller("PUT", reference, kept), ("update", "U", "0"), [7]),
    ):
        assert answer.status_code < 300, answer.text
        event = only(served, answer)
        assert (_what(event), _versions(event)) == (what, [f"{reference}/_history/{version}" for version in versions])
        assert _patients(event) == ([f"Patient/{id}"] if versions else [])


def test_a_conditional_create_that_finds_its_like_discloses_it(served: Served) -> None:
    """R4 http.html#ccreate: 200 and what is there, which is named: a search is what was done"""
    id, caller = served.patient()
    reference = caller.create(observation(id))
    answer = caller("POST", "Observation", observation(id), If_None_Exist=f"_id={reference[12:]}")
    assert answer.status_code == 200
    event = only(served, answer)
    assert (_what(event), _versions(event)) == (("search-type", "E", "0"), [f"{reference}/_history/1"])


def test_refusals_of_every_kind(served: Served, own: tuple[str, Caller, str]) -> None:
    """R4 valueset-audit-event-outcome 4: what was asked for, and why it was not given; no version is named"""
    id, caller, reference = own
    narrow = served.caller("patient/Patient.r", patient=id)
    theirs, _ = served.patient()
    for answer, status, interaction in (
        (narrow("GET", reference), 403, "read"),
        (narrow("GET", "Observation"), 403, "search-type"),
        (narrow("POST", "Observation", observation(id)), 403, "create"),
        (caller("GET", f"Patient/{theirs}"), 404, "read"),
        (caller("GET", "Observation/none"), 404, "read"),
        (caller("GET", "Observation?foo=bar"), 400, "search-type"),
        (caller("GET", reference, Accept="application/pdf"), 406, "read"),
        (caller("POST", "Observation", b"{"), 400, "create"),
        (caller("POST", "Observation", {"resourceType": "Observation"}), 422, "create"),
        (caller("POST", "Observation", b"x", Content_Type="text/plain"), 415, "create"),
        (caller("POST", "Observation", observation(theirs)), 403, "create"),
        (caller("PUT", reference, observation(id, id=reference[12:]), If_Match='W/"1"'), 412, "update"),
        (
            caller("PATCH", reference, [{"op": "test", "path": "/status", "value": "x"}], Content_Type=JSON_PATCH),
            422,
            "patch",
        ),
        (caller("POST", "", {"resourceType": "Patient"}), 400, "batch"),
    ):
        assert answer.status_code == status, answer.text
        event = only(served, answer)
        assert _what(event)[::2] == (interaction, "4")
        assert event["outcomeDesc"] == "; ".join(issue["diagnostics"] for issue in answer.json["issue"])[:500]
        assert _versions(event) == []
        assert _patients(event) == []


@pytest.mark.parametrize("path", ["Foo", "Patient/1/$foo", "_foo", "a%00b", "Observation?x=%ff", "Observation?x=%00"])
def test_what_is_no_interaction_is_recorded_all_the_same(
    served: Served, own: tuple[str, Caller, str], path: str
) -> None:
    """An AuditEvent that is good R4, though what was asked for has no name and holds what no FHIR string may."""
    answer = own[1]("GET", path)
    assert answer.status_code in (400, 404)
    event = only(served, answer)
    assert event["outcome"] == "4"
    assert _asked(event).startswith("GET /")


@pytest.mark.parametrize("token", [None, "garbage"])
def test_strangers(served: Served, token: str | None) -> None:
    """Whoever is not known is recorded as that, with where they came from."""
    answer = Caller(served.app, token)("GET", "Patient/1?x=y")
    assert answer.status_code == 401
    event = only(served, answer)
    assert _what(event) == ("110122", "E", "4")
    assert "reference" not in event["agent"][0]["who"]
    assert event["agent"][0]["network"]["address"] == "127.0.0.1"
    assert _asked(event) == "GET /Patient/1?x=y"


def test_strangers_without_end(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """OWASP ASVS 5.0: 2.4.1: so many refusals of nobody are recorded of one address, then once that there are more"""
    monkeypatch.setattr("fhir_server.smart.recording.REFUSED", Rate(secrets.token_hex(4), 2, timedelta(hours=1)))
    monkeypatch.setattr("fhir_server.smart.recording.TOLD", Rate(secrets.token_hex(4), 1, timedelta(hours=1)))
    answers = [Caller(served.app)("GET", "Patient/1") for _ in range(5)]
    assert {answer.status_code for answer in answers} == {401}
    events = [served.events(answer) for answer in answers]
    assert [len(found) for found in events] == [1, 1, 1, 0, 0]
    assert "more" in events[2][0]["outcomeDesc"]
    form = {"grant_type": "client_credentials", "client_id": "nobody"}
    before = served.database["AuditEvent"].count_documents({})
    assert served.app.test_client().post("/oauth/token", data=form).status_code == 401
    follow(served.client, served.name)
    assert served.database["AuditEvent"].count_documents({}) == before


def test_a_transaction(served: Served, operator: Caller) -> None:
    """One AuditEvent for all that was written in a record, one for what was read; in a refused one, none was"""
    id, caller = served.patient()
    other, _ = served.patient()
    bundle = transaction(
        entry("POST", "Observation", observation(id)),
        entry("POST", "Observation", observation(id)),
        entry("GET", f"Patient/{id}"),
    )
    answer = caller("POST", "", bundle)
    assert answer.status_code == 200, answer.text
    read, written = sorted(served.events(answer), key=lambda event: len(_versions(event)))
    assert [_what(event) for event in (written, read)] == [("transaction", "E", "0")] * 2
    assert len(_versions(written)) == 2
    assert _versions(read) == [f"Patient/{id}/_history/1"]

    refused = caller("POST", "", transaction(*bundle["entry"], entry("POST", "Observation", observation(other))))
    assert refused.status_code == 403
    event = only(served, refused)
    assert (_what(event), _versions(event)) == (("transaction", "E", "4"), [])


def test_a_transaction_in_several_records(served: Served, operator: Caller) -> None:
    """BALP: an AuditEvent for each patient, which names nothing of the other's"""
    pairs = [served.patient() for _ in range(2)]
    bundle = transaction(*(entry("POST", "Observation", observation(id)) for id, _ in pairs))
    answer = operator("POST", "", bundle)
    events = served.events(answer)
    assert sorted(_patients(event)[0] for event in events) == sorted(f"Patient/{id}" for id, _ in pairs)
    for id, caller in pairs:
        (own,) = [e["resource"] for e in caller.get("AuditEvent?_count=1000")["entry"] if "transaction" in str(e)]
        assert structure.faults(own) == []
        assert _patients(own) == [f"Patient/{id}"]
        assert len(_versions(own)) == 1


def test_a_patient_learns_nothing_of_others_from_who_read_both(served: Served, operator: Caller) -> None:
    """What is in both records is named in both AuditEvents, and each says whose it is to its own patient alone."""
    (one, first), (two, second) = served.patient(), served.patient()
    participants = [{"actor": {"reference": f"Patient/{id}"}, "status": "accepted"} for id in (one, two)]
    shared = operator.create({"resourceType": "Appointment", "status": "proposed", "participant": participants})
    theirs = operator.create(observation(two))
    answer = operator("POST", "", transaction(entry("GET", theirs), entry("GET", shared), type="batch"))
    mine, others = sorted(served.events(answer), key=lambda event: len(_versions(event)))
    assert (_patients(mine), _versions(mine)) == ([f"Patient/{one}"], [f"{shared}/_history/1"])
    assert (_patients(others), len(_versions(others))) == ([f"Patient/{two}"], 2)
    assert two not in first("GET", "AuditEvent?_count=1000").text
    assert theirs not in first("GET", "AuditEvent?_count=1000").text
    assert theirs in second("GET", "AuditEvent?_count=1000").text


def test_a_batch(served: Served) -> None:
    """One AuditEvent for each write and each refusal, and one for all that was read"""
    id, caller = served.patient()
    other, _ = served.patient()
    answer = caller(
        "POST",
        "",
        transaction(
            entry("GET", f"Patient/{id}"),
            entry("POST", "Observation", observation(id)),
            entry("GET", f"Patient/{other}"),
            entry("POST", "Observation", observation(other)),
            entry("DELETE", "Observation/none"),
            entry("GET", "Foo"),
            type="batch",
        ),
    )
    events = served.events(answer)
    assert all(structure.faults(event) == [] for event in events)
    found = sorted((*_what(event), len(_versions(event))) for event in events)
    assert found == [
        ("batch", "E", "0", 1),
        ("batch", "E", "4", 0),
        ("batch", "E", "4", 0),
        ("batch", "E", "4", 0),
        ("create", "C", "0", 1),
    ]
    descriptions = " ".join(event.get("outcomeDesc", "") for event in events)
    assert f"Patient/{other} is not known" in descriptions


def _parameters(name: str, value: str) -> dict[str, Any]:
    return {"resourceType": "Parameters", "parameter": [{"name": name, "valueString": value}]}


@pytest.mark.parametrize(
    ("path", "name"),
    [("Observation/$lastn", "patient"), ("DocumentReference/$docref", "patient"), ("Patient/{}/$everything", "_type")],
)
def test_what_was_asked_for_in_the_body_is_said_as_in_a_query(
    served: Served, operator: Caller, path: str, name: str
) -> None:
    """R4 operations.html#request: by GET or by POST, it is one and the same question"""
    id, _ = served.patient()
    sent = _parameters(name, id if name == "patient" else "Patient")
    answer = operator("POST", path.format(id), sent)
    assert _asked(only(served, answer)).endswith(f"?{name}={sent['parameter'][0]['valueString']}")


def test_a_patient_is_not_told_what_another_entry_of_a_batch_asked_for(served: Served, operator: Caller) -> None:
    """IHE BALP: one AuditEvent for each patient; the body of one entry is not the question of the others"""
    id, other = served.patient()[0], served.patient()[0]
    batch = transaction(
        entry("POST", "Observation/$lastn", _parameters("patient", other)), entry("GET", f"Patient/{id}"), type="batch"
    )
    assert all(other not in repr(event) + _asked(event) for event in served.events(operator("POST", "", batch)))


def test_emergency_access_says_why(served: Served) -> None:
    """IHE BALP, v3-PurposeOfUse: the purpose, and the reason that was given"""
    id, _ = served.patient()
    for mode, code in (("bris_de_glace", "BTG"), ("centre_15", "ETREAT")):
        caller = served.caller("system/*.rs", practitioner="p", mode=mode, reason="inconscient")
        event = only(served, caller("GET", f"Patient/{id}"))
        (purpose,) = event["purposeOfEvent"]
        assert (purpose["coding"][0]["code"], purpose["text"]) == (code, "inconscient")


def test_the_record_is_there_when_the_answer_arrives(served: Served) -> None:
    """Asked of MongoDB with read concern majority, right behind each answer"""
    id, caller = served.patient()
    reference = caller.create(observation(id))
    for _ in range(20):
        answer = caller("GET", reference)
        asked = answer.headers["X-Request-Id"]
        assert any(asked.encode() in page["records"] for page in served.database["_ledger"].find())
        assert asked in str(caller.get(f"AuditEvent?entity:identifier={asked}"))


# --- a record that cannot be made


@pytest.fixture
def closed(mongodb_client: MongoClient[dict[str, Any]]) -> Iterator[tuple[Served, str, str]]:
    """An application whose records MongoDB refuses to keep; the id of a patient there, and of an Observation."""
    name = f"test_{secrets.token_hex(8)}"
    served = serve(mongodb_client, name)
    id, caller = served.patient()
    reference = caller.create(observation(id))
    for collection in COLLECTIONS:
        served.database.command("collMod", collection, validator={"no": {"$exists": True}}, validationLevel="strict")
    yield served, id, reference
    mongodb_client.drop_database(name)


def test_without_a_record_there_is_no_answer_and_no_write(closed: tuple[Served, str, str]) -> None:
    """Granted, refused and unknown alike fail with a reason to quote, disclose nothing and change nothing."""
    served, id, reference = closed
    caller = served.caller("patient/*.cruds", patient=id)
    nobody = Caller(served.app)
    history = served.database["_history"]
    before = history.count_documents({})
    kept = observation(id, id=reference[12:])
    for answer in (
        caller("GET", reference),
        caller("GET", f"{reference}/_history"),
        caller("GET", "Observation"),
        caller("GET", f"Patient/{id}/$everything"),
        caller("GET", "Observation/none"),
        caller("GET", "Foo"),
        caller("POST", "Observation", observation(id)),
        caller("PUT", reference, kept),
        caller("PATCH", reference, AMEND, Content_Type=JSON_PATCH),
        caller("DELETE", reference),
        caller("POST", f"{reference}/$meta-add", META),
        caller("POST", "", transaction(entry("POST", "Observation", observation(id)))),
        caller("POST", "", transaction(entry("POST", "Observation", observation(id)), type="batch")),
        caller("POST", "", transaction(entry("GET", reference), type="batch")),
        nobody("GET", reference),
    ):
        assert answer.status_code == 500
        assert answer.json["resourceType"] == "OperationOutcome"
        assert "29463-7" not in answer.text
        assert answer.json["issue"][0]["diagnostics"].startswith("The server failed; quote `")
    assert history.count_documents({}) == before
    assert served.database["Observation"].find_one({"_id": reference[12:]})["version"] == 1
    assert nobody("GET", "metadata").status_code == 200


# --- records are kept as they are


@pytest.fixture(scope="module")
def event(served: Served) -> tuple[str, str, dict[str, Any]]:
    """(patient, `AuditEvent/id`, the resource) of a read."""
    id, caller = served.patient()
    (found,) = served.events(caller("GET", f"Patient/{id}"))
    return id, f"AuditEvent/{found['id']}", found


def test_nobody_changes_a_record(served: Served, operator: Caller, event: tuple[str, str, dict[str, Any]]) -> None:
    """The patient, a professional, a backend, the operator: by no verb, in no Bundle, by no operation"""
    id, reference, resource = event
    forged = {**resource, "outcome": "0", "outcomeDesc": "forged"}
    query = f"AuditEvent?_id={resource['id']}"
    replace = [{"op": "replace", "path": "/outcome", "value": "12"}]
    callers = (
        operator,
        served.caller("patient/*.cruds", patient=id),
        served.caller("user/*.cruds", practitioner="p"),
        served.caller("system/*.cruds", kind="backend", client_id="x"),
    )
    for caller in callers:
        for answer in (
            caller("PUT", reference, forged),
            caller("PUT", query, forged),
            caller("PATCH", reference, replace, Content_Type=JSON_PATCH),
            caller("PATCH", query, replace, Content_Type=JSON_PATCH),
            caller("DELETE", reference),
            caller("DELETE", query),
            caller("POST", f"{reference}/$meta-add", META),
            caller("POST", f"{reference}/$meta-delete", META),
            caller("POST", "", transaction(entry("PUT", reference, forged))),
            caller("POST", "", transaction(entry("DELETE", reference))),
        ):
            # Nobody but the operator has a say in what an AuditEvent is.
            assert answer.status_code == (405 if caller is callers[0] else 403), (answer.status_code, answer.text)
        batch = caller("POST", "", transaction(entry("DELETE", reference), type="batch"))
        assert batch.status_code == 200
        assert operator.get(reference) == resource
    assert served.database["_history"].count_documents({"type": "AuditEvent", "id": resource["id"]}) == 0


def test_a_record_is_read_and_found(served: Served, operator: Caller, event: tuple[str, str, dict[str, Any]]) -> None:
    """R4 http.html: read, vread and search; by its patient too, and not by another"""
    id, reference, resource = event
    caller = served.caller("patient/*.rs", patient=id)
    assert caller.get(reference) == resource
    assert caller.get(f"{reference}/_history/1") == resource
    assert reference in ids(caller.get(f"AuditEvent?patient={id}"))
    assert reference in ids(caller.get(f"AuditEvent?agent=Patient/{id}"))
    _, other = served.patient()
    assert other("GET", reference).status_code == 404
    assert reference not in ids(other.get("AuditEvent?_count=1000"))


def test_its_history_is_the_one_version_there_is(served: Served, event: tuple[str, str, dict[str, Any]]) -> None:
    """R4 http.html#history"""
    id, reference, resource = event
    caller = served.caller("patient/*.rs", patient=id)
    history = caller.get(f"{reference}/_history")
    assert (history["total"], history["entry"][0]["resource"]) == (1, resource)
    assert caller.get(f"{reference}/_history?_since=2999")["total"] == 0
    assert caller.get(f"{reference}/_history?_at=2000")["total"] == 0


def test_a_claimed_request_id_is_kept_if_it_is_one(served: Served, own: tuple[str, Caller, str]) -> None:
    """Whatever the client calls its request, the AuditEvent is good R4."""
    for given, kept in (("a" * 64, True), ("a b", False), (" ", False), ("\t", False), ("a" * 65, False), ("é", False)):
        answer = own[1]("GET", "Patient/none", X_Request_Id=given)
        assert (answer.headers["X-Request-Id"] == given) == kept
        event = only(served, answer)
        assert structure.faults(event) == []


def test_a_claimed_author_or_time_is_not_taken_over(served: Served) -> None:
    """R4 http.html#create: meta.versionId and lastUpdated are the server's"""
    id, caller = served.patient()
    claimed = {"versionId": "7", "lastUpdated": "2001-01-01T00:00:00Z"}
    answer = caller("POST", "Observation", {**observation(id), "meta": claimed, "id": "mine"})
    assert answer.json["id"] != "mine"
    assert answer.json["meta"]["versionId"] == "1"
    assert answer.json["meta"]["lastUpdated"] > "2002"
    assert only(served, answer)["recorded"] > "2002"


def test_patients_are_named_in_what_is_made_for_them(served: Served, operator: Caller) -> None:
    """R4 auditevent.html: the Patient itself is its own patient, named once"""
    answer = operator("POST", "Patient", patient())
    assert _versions(only(served, answer)) == [f"Patient/{answer.json['id']}/_history/1"]


def test_what_a_merged_page_leaves_out_is_not_disclosed(served: Served, operator: Caller) -> None:
    """IHE BALP: the record lists what left the server; of several types sorted together, that is the page alone"""
    tag = {"system": "urn:merged", "code": secrets.token_hex(4)}
    for _ in range(2):
        owner = operator.create(patient(meta={"tag": [tag]}))
        operator.create(observation(owner.partition("/")[2], meta={"tag": [tag]}))
    name = secrets.token_hex(8)

    page = operator.get(
        f"?_type=Patient,Observation&_tag=urn:merged|{tag['code']}&_sort=-_lastUpdated&_count=1", X_Request_Id=name
    )

    (served_one,) = (f"{e['resource']['resourceType']}/{e['resource']['id']}" for e in page["entry"])
    follow(served.client, served.name)
    events = list(served.database["AuditEvent"].find({"keys": f"entity:identifier={name}"}))
    versions = {
        entity["what"]["reference"].partition("/_history/")[0]
        for event in events
        for entity in json.loads(event["body"])["entity"]
        if "/_history/" in entity.get("what", {}).get("reference", "")
    }
    assert versions == {served_one}
