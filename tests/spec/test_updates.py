"""Updates that must not change what their sender does not know of.  R4: http.html#update, #cond-update; RFC 9110"""

from __future__ import annotations

import pytest

from tests.build import entry, observation, patient, transaction
from tests.calls import Caller, Served, seen


def test_an_update_unless_it_is_there(operator: Caller) -> None:
    """RFC 9110 s. 13.1.2: If-None-Match: * guards against a lost update when two create under one id"""
    sent = patient(id="unless-there")
    first = operator("PUT", "Patient/unless-there", sent, If_None_Match="*")
    again = operator("PUT", "Patient/unless-there", {**sent, "gender": "male"}, If_None_Match="*")

    assert (first.status_code, again.status_code) == (201, 412), again.text
    assert operator.get("Patient/unless-there")["meta"]["versionId"] == "1"


def test_an_update_unless_it_is_there_of_a_bundle(operator: Caller) -> None:
    """R4 bundle.html Bundle.entry.request.ifNoneMatch"""
    id = operator.create(patient()).partition("/")[2]
    answer = operator("POST", "", transaction(entry("PUT", f"Patient/{id}", patient(id=id), ifNoneMatch="*")))

    assert answer.status_code == 412, answer.text


def test_a_conditional_update_of_what_does_not_match(operator: Caller) -> None:
    """http.html#cond-update, as R5 words it: no match, and the id is taken by another: 409"""
    id = operator.create(patient()).partition("/")[2]
    answer = operator("PUT", "Patient?identifier=urn:updates|none", patient(id=id, gender="male"))

    assert answer.status_code == 409, answer.text
    assert operator.get(f"Patient/{id}")["meta"]["versionId"] == "1"


def test_what_is_gone_is_nobodys_to_refuse(served: Served, operator: Caller) -> None:
    """http.html#delete: to delete what is gone is no error, whoever had entered it; it is not taken over either"""
    id, holder = served.patient()
    kept = operator.create(observation(id))
    assert holder("DELETE", kept).status_code == 403
    assert operator("DELETE", kept).status_code == 204
    assert holder("DELETE", kept).status_code == 204
    again = holder("PUT", kept, observation(id, id=kept.partition("/")[2]))
    assert again.status_code == 404


@pytest.mark.parametrize("headers", [{}, {"If_None_Match": "*"}])
def test_what_is_hidden_is_not_told_by_it(served: Served, operator: Caller, headers: dict[str, str]) -> None:
    """R4 security.html#AccessDenied: what may not be seen cannot be told from what is not there"""
    hidden = operator.create(patient()).partition("/")[2]
    _, other = served.patient()
    there, none = (other("PUT", f"Patient/{id}", patient(id=id), **headers) for id in (hidden, "updates-none"))

    assert seen(there, hidden) == seen(none, "updates-none")
