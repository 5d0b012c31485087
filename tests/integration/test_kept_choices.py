"""The compact choices of each patient: whole whoever writes at the same time, and made anew where they are not there.

docs/access.md: how it is in force; storage/choices.py
"""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor

from fhir_server.fhir.dates import PARIS
from fhir_server.storage import choices
from fhir_server.storage.reindex import Reindex
from fhir_server.storage.store import Store
from tests.build import observation
from tests.calls import BASE, Caller, Served
from tests.spec.test_rules import choice, doctor, document, masking


def test_statements_written_at_once_are_all_in_force(served: Served) -> None:
    """A6: two writers of one patient's choices do not lose each other's"""
    patient, holder = served.patient()
    doctors = [doctor(served) for _ in range(8)]
    kept = served.caller().create(observation(patient))
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda one: holder.create(choice(patient, "access", to=(one.reference,))), doctors))
    assert len(set(made)) == 8
    assert [one.caller()("GET", kept).status_code for one in doctors] == [200] * 8
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda one: holder("DELETE", one).status_code, made)) == {204}
    assert [one.caller()("GET", kept).status_code for one in doctors] == [404] * 8


def test_a_transaction_that_fails_changes_no_choice(served: Served, operator: Caller) -> None:
    """One write, one transaction: a permit that is not kept is not in force"""
    patient, holder = served.patient()
    someone = doctor(served)
    kept = operator.create(observation(patient))
    permit = choice(patient, "access", to=(someone.reference,))
    bundle = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {"resource": permit, "request": {"method": "POST", "url": "Consent"}},
            {"resource": observation("somebody-else"), "request": {"method": "POST", "url": "Observation"}},
        ],
    }
    assert holder("POST", "", bundle).status_code == 403
    assert someone.caller()("GET", kept).status_code == 404
    bundle["entry"] = bundle["entry"][:1]
    assert holder("POST", "", bundle).status_code == 200
    assert someone.caller()("GET", kept).status_code == 200


def test_choices_are_made_anew(served: Served, operator: Caller) -> None:
    """A database of an earlier version has none: a reindex makes them"""
    patient, holder = served.patient()
    someone = doctor(served)
    kept = operator.create(observation(patient))
    holder.create(choice(patient, "access", to=(someone.reference,)))
    served.database["_choices"].delete_one({"_id": patient})
    assert someone.caller()("GET", kept).status_code == 404
    store = Store(served.client, served.name)
    assert choices.rewrite_all(store, base=BASE, zone=PARIS)
    assert someone.caller()("GET", kept).status_code == 200
    assert not choices.rewrite_all(store, base=BASE, zone=PARIS, stopped=lambda: True)


def test_a_reindex_leaves_the_past_masked(served: Served, operator: Caller) -> None:
    """A7: the labels of a past version are those of now, whatever it said itself"""
    patient, holder = served.patient()
    someone = doctor(served)
    holder.create(choice(patient, "access", to=(someone.reference,)))
    kept = operator.create(document(patient))
    assert holder("PATCH", kept, masking("MASQUE_PS"), Content_Type="application/json-patch+json").status_code == 200
    history = served.database["_history"]
    before = {one["_id"]: one.get("labels") for one in history.find({"id": kept[18:]})}
    run = Reindex(Store(served.client, served.name), ["DocumentReference"], base=BASE, zone="Europe/Paris")
    assert not run.run(lambda: False, lambda *counted: None).stopped
    assert {one["_id"]: one.get("labels") for one in history.find({"id": kept[18:]})} == before
    assert list(before.values()) == [["MASQUE_PS"]] * 2
    assert someone.caller()("GET", f"{kept}/_history/1").status_code == 404


def test_a_document_that_comes_before_its_content_judges_it(served: Served, operator: Caller) -> None:
    """C16: whichever of the two is written first"""
    patient, holder = served.patient()
    someone, depositor = doctor(served), doctor(served).caller()
    holder.create(choice(patient, "access", to=(someone.reference,)))
    name = f"content-{secrets.token_hex(8)}"
    content = {"resourceType": "Binary", "id": name, "contentType": "text/plain",
               "securityContext": {"reference": f"Patient/{patient}"}}  # fmt: skip
    kept = depositor.create(document(patient, "MASQUE_PS", content=[{"attachment": {"url": f"Binary/{name}"}}]))
    assert depositor("PUT", f"Binary/{name}", content).status_code == 201
    assert someone.caller()("GET", f"Binary/{name}").status_code == 404
    assert depositor("PATCH", kept, masking(), Content_Type="application/json-patch+json").status_code == 200
    assert someone.caller()("GET", f"Binary/{name}").status_code == 200
    assert operator("DELETE", kept).status_code == 204
    assert someone.caller()("GET", f"Binary/{name}").status_code == 200  # by the document that it was last
