"""Labels: who sets which, when they fall, and what follows them.

rule A2, A3, A7, A9, A15, A16; PDSm flows 03 and 04; DMP TD3.3a and TD3.3b; CSP R1111-49, R1111-50, R1111-53
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from pymongo import MongoClient

from fhir_server.app import now
from tests.build import entry, observation, transaction
from tests.calls import Caller, Served, serve
from tests.spec.test_rules import JSON_PATCH, LABELS, Record, choice, doctor, document, everywhere, masking

MASKED, LATER, KEPT = "MASQUE_PS", "INVISIBLE_PATIENT", "INVISIBLE_REPRESENTANTS_LEGAUX"
CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"


@pytest.fixture
def record(served: Served, operator: Caller) -> Record:
    """A patient who has said nothing."""
    return record_of(served, operator)


def record_of(served: Served, operator: Caller) -> Record:
    id, holder = served.patient(name=[{"family": "Durand"}])
    return Record(served, id, holder, operator, doctor(served))


def patched(caller: Caller, reference: str, *labels: str) -> int:
    """The status of the answer to who says that these are its labels."""
    return caller("PATCH", reference, masking(*labels), Content_Type=JSON_PATCH).status_code


def labels_of(resource: dict[str, Any]) -> tuple[list[str], list[str]]:
    """The codes of `securityLabel`, and of `meta.security`."""
    stated = [coding["code"] for label in resource.get("securityLabel", ()) for coding in label["coding"]]
    return sorted(stated), sorted(coding["code"] for coding in resource["meta"].get("security", ()))


def meta_of(*labels: str) -> dict[str, Any]:
    security = [{"system": LABELS, "code": label} for label in labels]
    return {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": {"security": security}}]}


def deposited(record: Record, reference: str, days: int) -> None:
    """Have it that the document came so many days ago."""
    then = {"$set": {"deposited": now() - timedelta(days=days)}}
    record.served.database["DocumentReference"].update_one({"_id": reference.partition("/")[2]}, then)


# --- the two places of a label


def test_a_label_stands_in_both_its_places(record: Record) -> None:
    """R4 security-labels.html, documentreference.html: meta.security and securityLabel say the same"""
    caller = record.doctor.caller()
    stated = caller.create(document(record.id, MASKED))
    inside = caller.create(document(record.id, meta={"security": [{"system": LABELS, "code": MASKED}]}))
    for kept in (stated, inside):
        assert labels_of(record.operator.get(kept)) == ([MASKED], [MASKED])
        assert kept in _found(caller, f"DocumentReference?patient={record.id}&security-label={MASKED}")
        assert kept in _found(caller, f"DocumentReference?patient={record.id}&_security={MASKED}")


def _found(caller: Caller, path: str) -> list[str]:
    return [f"DocumentReference/{one['resource']['id']}" for one in caller.get(path).get("entry", ())]


def test_what_takes_a_label_off_one_place_takes_it_off_the_other(record: Record) -> None:
    """R4 resource-operation-meta-delete.html; PDSm flow 03: unmasked is unmasked, whichever way"""
    caller = record.doctor.caller()
    kept = caller.create(document(record.id, MASKED))
    assert caller("POST", f"{kept}/$meta-delete", meta_of(MASKED)).status_code == 200
    assert labels_of(caller.get(kept)) == ([], [])
    assert caller("POST", f"{kept}/$meta-add", meta_of(MASKED)).status_code == 200
    assert labels_of(caller.get(kept)) == ([MASKED], [MASKED])
    assert patched(caller, kept) == 200
    assert labels_of(caller.get(kept)) == (["N"], [])


def test_another_resource_has_its_labels_in_meta_alone(record: Record) -> None:
    """R4 security-labels.html"""
    record.holder.create(choice(record.id, "access", to=(record.doctor.reference,)))
    own = record.holder.create(observation(record.id))
    reader = record.doctor.caller()
    assert "read" in everywhere(reader, record.id, own)
    assert record.holder("POST", f"{own}/$meta-add", meta_of(MASKED)).status_code == 200
    assert labels_of(record.holder.get(own)) == ([], [MASKED])
    assert everywhere(reader, record.id, own) == []


def test_an_update_takes_no_label_off(record: Record) -> None:
    """P1: PUT that removes a label: it remains; a PUT adds what is its writer's to add"""
    degree = {"system": CONFIDENTIALITY, "code": "R"}
    own = record.holder.create(document(record.id, MASKED, code="90", meta={"security": [degree]}))
    body = record.holder.get(own)
    plain = {name: value for name, value in body.items() if name not in ("securityLabel", "meta")}
    assert record.holder("PUT", own, {**plain, "description": "mine"}).status_code == 200
    assert labels_of(record.holder.get(own)) == (["MASQUE_PS", "R"], ["MASQUE_PS", "R"])
    more = {**plain, "securityLabel": [{"coding": [{"system": LABELS, "code": KEPT}]}]}
    assert record.holder("PUT", own, more).status_code == 200
    assert labels_of(record.holder.get(own))[1] == [KEPT, MASKED, "R"]


# --- who sets which


@pytest.mark.parametrize("label", ["INVISIBLE_REP_LEGAUX", "MASQUE_PT", "masque_ps"])
def test_a_label_that_keeps_nothing_from_anybody_is_refused(record: Record, label: str) -> None:
    """French domain 2.2: who sets it would think that it does"""
    answer = record.doctor.caller()("POST", "DocumentReference", document(record.id, label))
    assert answer.status_code == 422, answer.text
    assert MASKED in answer.json["issue"][0]["diagnostics"]


def test_who_masked_it_unmasks_it(record: Record) -> None:
    """A3; CSP R1111-49: the holder's mask is the holder's, the depositor's the depositor's and the holder's"""
    caller = record.doctor.caller()
    theirs = caller.create(document(record.id, MASKED))
    assert patched(caller, theirs) == 200
    assert patched(caller, theirs, MASKED) == 200
    assert patched(record.holder, theirs) == 200
    assert patched(record.holder, theirs, MASKED) == 200
    assert patched(caller, theirs) == 403
    archived = {"url": "https://interop.esante.gouv.fr/ig/fhir/pdsm/StructureDefinition/pdsm-ext-is-archived",
                "valueBoolean": True}  # fmt: skip
    change = [{"op": "add", "path": "/extension", "value": [archived]}]
    assert caller("PATCH", theirs, change, Content_Type=JSON_PATCH).status_code == 200
    assert patched(caller, theirs) == 403
    assert patched(record.holder, theirs) == 200
    assert patched(caller, theirs, MASKED) == 200


def test_what_is_masked_by_default_is_the_holders_to_unmask(record: Record) -> None:
    """French domain 2.2: the default for what is new"""
    record.holder.create(choice(record.id, "new-documents", "deny"))
    caller = record.doctor.caller()
    kept = caller.create(document(record.id))
    assert labels_of(caller.get(kept)) == ([MASKED], [MASKED])
    assert patched(caller, kept) == 403
    assert patched(record.holder, kept) == 200
    later = caller.create(document(record.id, LATER))
    assert labels_of(caller.get(later))[0] == [LATER]


@pytest.fixture(scope="module")
def cumulating(mongodb_client: MongoClient[dict[str, Any]]) -> Iterator[Served]:
    """A server whose operator lets a document be kept from its patient and from professionals at once."""
    name = f"test_{secrets.token_hex(8)}"
    yield serve(mongodb_client, name, labels_together=True)
    mongodb_client.drop_database(name)


def test_the_two_labels_go_together_where_the_operator_says_so(cumulating: Served) -> None:
    """[HOM] cumul-invisible_patient-masque_ps; then the default masks what is to be announced, too"""
    record = record_of(cumulating, cumulating.caller())
    caller = record.doctor.caller()
    assert caller("POST", "DocumentReference", document(record.id, MASKED, LATER)).status_code == 201
    record.holder.create(choice(record.id, "new-documents", "deny"))
    assert labels_of(caller.get(caller.create(document(record.id, LATER))))[0] == [LATER, MASKED]


# --- what is to be announced


def test_any_professional_who_reads_it_records_the_announcement(record: Record) -> None:
    """A2; CSP R1111-53: by taking the label off, at once, as a version of its own; nothing else of another's deposit"""
    kept = record.doctor.caller().create(document(record.id, LATER, description="report"))
    colleague = doctor(record.served)
    caller = colleague.caller()
    assert patched(caller, kept) == 404
    record.holder.create(choice(record.id, "access", to=(colleague.reference,)))
    assert record.holder("GET", kept).status_code == 404
    for change in (
        masking(MASKED),
        masking(LATER, KEPT),
        [*masking(), {"op": "replace", "path": "/description", "value": "nothing"}],
        [*masking(), {"op": "replace", "path": "/status", "value": "entered-in-error"}],
    ):
        assert caller("PATCH", kept, change, Content_Type=JSON_PATCH).status_code == 403, change
    answer = caller("PATCH", kept, masking(), Content_Type=JSON_PATCH)
    assert answer.status_code == 200, answer.text
    assert answer.headers["ETag"] == 'W/"2"'
    (event,) = record.served.events(answer)
    assert event["agent"][0]["who"]["reference"] == colleague.reference
    assert "read" in everywhere(record.holder, record.id, kept)
    assert patched(caller, kept, LATER) == 403


def test_a_mask_is_not_found_by_who_might_announce(record: Record) -> None:
    """A7: what is masked is not there for who reads by a permit, whatever the method"""
    record.holder.create(choice(record.id, "access", to=(record.doctor.reference,)))
    masked = doctor(record.served).caller().create(document(record.id, MASKED))
    assert patched(record.doctor.caller(), masked) == 404


def test_it_falls_a_month_after_the_deposit_by_itself(record: Record) -> None:
    """CSP R1111-53: then the next version does not have it, and the holder may mask the document"""
    caller = record.doctor.caller()
    kept = caller.create(document(record.id, LATER))
    deposited(record, kept, 27)
    assert everywhere(record.holder, record.id, kept) == []
    deposited(record, kept, 32)
    assert "read" in everywhere(record.holder, record.id, kept)
    assert patched(record.holder, kept, MASKED) == 200
    assert labels_of(record.holder.get(kept)) == ([MASKED], [MASKED])


def test_it_is_set_within_the_month_and_not_later(record: Record) -> None:
    """CSP R1111-53: a label that would keep nothing from the patient is refused"""
    caller = record.doctor.caller()
    kept = caller.create(document(record.id))
    assert patched(caller, kept, LATER) == 200
    assert patched(caller, kept) == 200
    deposited(record, kept, 32)
    assert patched(caller, kept, LATER) == 422


# --- a secret session


def test_a_secret_session_deposits_in_secret_and_leaves_it_so(record: Record) -> None:
    """A15; CSP R1111-50: document, content and measure alike; its own label it does not take off"""
    secret = record.doctor.caller(secret=True)
    posted = transaction(
        {"fullUrl": "urn:uuid:6d1f3a0c-24c4-4f2e-9f2a-3f6f2a3f6f01",
         "resource": {"resourceType": "Binary", "contentType": "text/plain", "data": "QQ==",
                      "securityContext": {"reference": f"Patient/{record.id}"}},
         "request": {"method": "POST", "url": "Binary"}},
        {"resource": document(record.id, content=[{"attachment": {
            "contentType": "text/plain", "url": "urn:uuid:6d1f3a0c-24c4-4f2e-9f2a-3f6f2a3f6f01"}}]),
         "request": {"method": "POST", "url": "DocumentReference"}},
        entry("POST", "Observation", observation(record.id)),
    )  # fmt: skip
    answer = secret("POST", "", posted)
    assert answer.status_code == 200, answer.text
    made = ["/".join(one["response"]["location"].split("/")[-4:-2]) for one in answer.json["entry"]]
    for relation in ("legal-representative", "caregiver"):
        if relation == "caregiver":
            record.holder.create(choice(record.id, "caregiver", to=("RelatedPerson/parent",)))
        parent = record.served.caller(
            "patient/*.cruds", patient=record.id, person="RelatedPerson/parent", relation=relation
        )
        for reference in made:
            assert everywhere(parent, record.id, reference) == [], (relation, reference)
    for reference in made:
        assert secret("GET", reference).status_code == 200
        assert record.holder("GET", reference).status_code == 200
    assert patched(secret, made[1]) == 200
    assert labels_of(secret.get(made[1]))[1] == [KEPT]
