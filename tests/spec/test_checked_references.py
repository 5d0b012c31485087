"""References to what is not here are refused where the operator wants it so.  R4: http.html#create, references.html"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from pymongo import MongoClient

from tests.build import observation
from tests.calls import Served, seen, serve
from tests.choices import LABELS, choice

JSON_PATCH = "application/json-patch+json"


@pytest.fixture(scope="module")
def checking(mongodb_client: MongoClient[dict[str, Any]]) -> Iterator[Served]:
    """A server that checks them."""
    name = f"test_{secrets.token_hex(8)}"
    yield serve(mongodb_client, name, check_references=True)
    mongodb_client.drop_database(name)


def test_what_is_hidden_is_not_told_by_a_check(checking: Served) -> None:
    """docs/decisions/0015: a reference to what is hidden is answered as one to what is not there"""
    operator = checking.caller()
    patient, holder = checking.patient()
    operator("PUT", "Practitioner/dr", {"resourceType": "Practitioner", "id": "dr"})
    holder.create(choice(patient, "access", to=("Practitioner/dr",)))
    security = {"meta": {"security": [{"system": LABELS, "code": "MASQUE_PS"}]}}
    masked, plain = operator.create(observation(patient) | security), operator.create(observation(patient))
    doctor = checking.caller("user/Observation.cruds", kind="professional", practitioner="dr", profession="10")
    none = "Observation/00000000-0000-7000-8000-000000000000"
    said = [
        doctor("POST", "Observation", observation(patient, hasMember=[{"reference": reference}]))
        for reference in (masked, none, plain)
    ]
    assert [answer.status_code for answer in said] == [422, 422, 201]
    assert seen(said[0], masked) == seen(said[1], none)
    blind = checking.caller("system/Observation.c", kind="backend", client_id="checked")
    assert blind("POST", "Observation", observation(patient, hasMember=[{"reference": plain}])).status_code == 422
    assert blind("POST", "Observation", observation(patient)).status_code == 201
    assert blind("POST", "Observation", observation("nobody")).status_code == 422


def test_what_it_referred_to_before_it_may_refer_to_still(checking: Served) -> None:
    """A3: who masks a resource need not see what its depositor refers to"""
    operator = checking.caller()
    patient, holder = checking.patient()
    security = {"meta": {"security": [{"system": LABELS, "code": "INVISIBLE_PATIENT"}]}}
    lab = checking.caller("user/Observation.cruds", kind="professional", practitioner="dr", profession="10")
    hidden = lab.create(observation(patient) | security)
    kept = lab.create(observation(patient, hasMember=[{"reference": hidden}]))
    mask = [{"op": "add", "path": "/meta/security", "value": [{"system": LABELS, "code": "MASQUE_PS"}]}]
    assert holder("PATCH", kept, mask, Content_Type=JSON_PATCH).status_code == 200
    assert operator("DELETE", hidden).status_code == 204
    assert lab("PUT", kept, lab.get(kept)).status_code == 200
