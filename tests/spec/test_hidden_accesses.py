"""The record of accesses follows what it names: hidden later, it is hidden there; shown again, it is there again.

Rule A2, A4, A17; docs/decisions/0016; R4 security.html#AccessDenied: what may not be seen is as what is not there
"""

from __future__ import annotations

from base64 import b64decode
from typing import Any

import pytest

from tests.build import observation
from tests.calls import Caller, Served
from tests.choices import LABELS, document

JSON_PATCH = "application/json-patch+json"
SCOPES = (
    "patient/AuditEvent.rs patient/DocumentReference.rs patient/Binary.rs patient/Observation.rs patient/Patient.rs"
)
PARENT: dict[str, Any] = {"person": "RelatedPerson/accesses-parent", "relation": "legal-representative"}


@pytest.fixture
def laboratory(served: Served) -> Caller:
    """Who deposits, and says who sees it."""
    return served.caller("user/*.cruds", kind="professional", practitioner="accesses-lab", profession="10")


def label(caller: Caller, kept: str, *codes: str) -> None:
    """Let these be the labels of the document."""
    said = [{"coding": [{"code": code}]} for code in codes]
    current = caller.get(kept).get("securityLabel")
    change = (
        [{"op": "add", "path": "/securityLabel", "value": said}]
        if said
        else [{"op": "remove", "path": "/securityLabel"}]
    )
    assert current or said
    assert caller("PATCH", kept, change, Content_Type=JSON_PATCH).status_code == 200


def accesses(person: Caller, query: str) -> list[dict[str, Any]]:
    """The AuditEvents that a person finds, without those of finding them; the total is of the same."""
    bundle = person.get(f"AuditEvent?{query}&_count=500&_total=accurate")
    found = [one["resource"] for one in bundle.get("entry", ())]
    assert bundle["total"] == len(found)
    return [event for event in found if "/AuditEvent" not in asked(event)]


def asked(event: dict[str, Any]) -> str:
    """The request that an AuditEvent is of."""
    return next(b64decode(entity["query"]).decode() for entity in event["entity"] if "query" in entity)


def names(events: list[dict[str, Any]], kept: str) -> list[str]:
    """The ids of the events that tell of a resource, in whatever form."""
    id = kept.partition("/")[2]
    return [event["id"] for event in events if id in repr(event) or id in asked(event)]


@pytest.mark.parametrize(("code", "facts"), [("INVISIBLE_PATIENT", {}), ("INVISIBLE_REPRESENTANTS_LEGAUX", PARENT)])
def test_what_is_hidden_later_is_hidden_in_the_record_of_its_accesses(
    served: Served, laboratory: Caller, code: str, facts: dict[str, Any]
) -> None:
    """A2, A4, A17: of an access to it alone nothing is told; of one to more, nothing of it"""
    patient, _ = served.patient()
    person = served.caller(SCOPES, patient=patient, **facts)
    kept, other = laboratory.create(document(patient)), laboratory.create(document(patient))
    laboratory.get(kept)
    laboratory.get(f"{kept}/_history/1")
    laboratory.get(f"DocumentReference?patient={patient}&_id={kept.partition('/')[2]},{other.partition('/')[2]}")
    laboratory.create(observation(patient))
    before = accesses(person, f"patient={patient}")
    alone = {event for event in names(before, kept) if event not in names(before, other)}
    assert len(alone) == 3 and len(names(before, kept)) == 4
    label(laboratory, kept, code)
    after = accesses(person, f"patient={patient}")
    assert names(after, kept) == []
    assert {event["id"] for event in after} == {event["id"] for event in before} - alone
    both = [event for event in after if event["id"] in names(before, kept)]
    assert [asked(event) for event in both] == ["GET /DocumentReference"]
    for query in (f"entity={kept}", f"entity={kept}/_history/1", f"entity={kept},DocumentReference/none"):
        assert accesses(person, query) == []
    events = person.get(f"AuditEvent/{both[0]['id']}")
    assert names([events], kept) == [] and names([events], other)
    assert all(person("GET", f"AuditEvent/{event}").status_code == 404 for event in alone)
    found = person.get(f"Patient?_id={patient}&_has:AuditEvent:patient:entity={kept}")
    assert found["total"] == 0
    assert len(accesses(served.caller(), f"entity={kept}&patient={patient}")) >= 5, "it is all there"


def test_what_is_counted_by_what_is_hidden_is_nothing(served: Served, laboratory: Caller) -> None:
    """A2, A17: what was answered along with it is not found by it, by a search nor by $lastn"""
    patient, _ = served.patient()
    person = served.caller(SCOPES, patient=patient)
    shown, hidden = (laboratory.create(observation(patient)) for _ in range(2))
    laboratory.get(f"Observation?patient={patient}")
    by_it = f"patient={patient}&_has:AuditEvent:entity:entity={hidden}"
    ways = (f"Observation?{by_it}", f"Observation/$lastn?{by_it}", f"Observation/$lastn?{by_it}&_count=0")
    assert all(person.get(way)["total"] for way in ways)
    said = [{"name": "meta", "valueMeta": {"security": [{"system": LABELS, "code": "INVISIBLE_PATIENT"}]}}]
    hiding = laboratory("POST", f"{hidden}/$meta-add", {"resourceType": "Parameters", "parameter": said})
    assert hiding.status_code == 200
    assert [person.get(way)["total"] for way in ways] == [0, 0, 0]
    assert person.get(f"Observation/$lastn?patient={patient}&_has:AuditEvent:entity:entity={shown}")["total"] == 1


def test_what_is_announced_shows_who_has_seen_it(served: Served, laboratory: Caller) -> None:
    """A2, R1111-53: once the patient knows of it, so the patient does of what was done with it before"""
    patient, _ = served.patient()
    person = served.caller(SCOPES, patient=patient)
    kept = laboratory.create(document(patient, "INVISIBLE_PATIENT"))
    laboratory.get(kept)
    assert names(accesses(person, f"patient={patient}"), kept) == []
    label(laboratory, kept)
    shown = accesses(person, f"patient={patient}")
    assert len(names(shown, kept)) >= 3
    assert len(accesses(person, f"entity={kept}")) >= 3


def test_a_content_that_came_before_its_document_is_hidden_with_it(served: Served, laboratory: Caller) -> None:
    """A2: that something came is not told either"""
    patient, _ = served.patient()
    person = served.caller(SCOPES, patient=patient)
    sent = laboratory("POST", "Binary", b"x", Content_Type="text/plain", X_Security_Context=f"Patient/{patient}")
    binary = "/".join(sent.headers["Location"].split("/")[-4:-2])
    kept = laboratory.create(
        document(patient, "INVISIBLE_PATIENT", content=[{"attachment": {"contentType": "text/plain", "url": binary}}])
    )
    assert names(accesses(person, f"patient={patient}"), binary) == []
    assert accesses(person, f"entity={binary}") == []
    label(laboratory, kept)
    assert names(accesses(person, f"patient={patient}"), binary)


def test_a_secret_session_stays_secret(served: Served) -> None:
    """A15: what is shown to the representatives later does not tell them of the session"""
    patient, _ = served.patient()
    parent = served.caller(SCOPES, patient=patient, **PARENT)
    facts: dict[str, Any] = {"kind": "professional", "practitioner": "accesses-secret", "profession": "10"}
    own = served.caller("user/*.cruds", secret=True, **facts)
    kept = own.create(document(patient))
    shown = [{"op": "remove", "path": path} for path in ("/securityLabel", "/meta/security")]
    assert served.caller()("PATCH", kept, shown, Content_Type=JSON_PATCH).status_code == 200
    assert parent("GET", kept).status_code == 200
    assert "accesses-secret" not in repr(accesses(parent, f"patient={patient}"))
