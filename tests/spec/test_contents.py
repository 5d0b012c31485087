"""The content of a document, and of what else has attachments, is seen with it; before it is of anything, by nobody.

R4: binary.html#security; rule A2, A7; CSP R1111-53
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.calls import Caller, Served, seen
from tests.choices import choice, document

JSON_PATCH = "application/json-patch+json"
Resource = dict[str, Any]


def deposited(caller: Caller, patient: str) -> str:
    """The `Binary/id` of what the caller deposits."""
    answer = caller("POST", "Binary", b"secret", Content_Type="text/plain", X_Security_Context=f"Patient/{patient}")
    assert answer.status_code == 201, answer.text
    return "/".join(answer.headers["Location"].split("/")[-4:-2])


@pytest.fixture
def laboratory(served: Served) -> Caller:
    """Whom nobody permitted to read."""
    return served.caller("user/*.cruds", kind="professional", practitioner="contents-lab", profession="10")


@pytest.fixture
def doctor(served: Served) -> Caller:
    """Whom the holder permits to read."""
    return served.caller("user/*.cruds", kind="professional", practitioner="contents-dr", profession="10")


def ways(binary: str) -> list[tuple[str, str, Any, dict[str, str]]]:
    """Every way to a content."""
    id = binary.partition("/")[2]
    patch, whole = {"Content-Type": JSON_PATCH}, {"Prefer": "return=representation"}
    label = [{"op": "add", "path": "/meta/security", "value": [{"code": "MASQUE_PS"}]}]
    return [
        ("GET", binary, None, {}),
        ("GET", binary, None, {"Accept": "text/plain"}),
        ("GET", f"{binary}/_history/1", None, {}),
        ("GET", f"{binary}/_history", None, {}),
        ("GET", f"Binary?_id={id}", None, {}),
        ("PATCH", binary, [], {**patch, **whole}),
        ("PATCH", binary, label, {**patch, **whole}),
        ("DELETE", binary, None, {"If-Match": 'W/"1"'}),
    ]


def is_as_if_it_were_not_there(caller: Caller, binary: str) -> None:
    """Whichever way it is asked for."""
    id, none = binary.partition("/")[2], "00000000-0000-7000-8000-000000000000"
    for there, absent in zip(ways(binary), ways(f"Binary/{none}"), strict=True):
        answers = [seen(caller(method, path, body, **headers)) for method, path, body, headers in (there, absent)]
        assert repr(answers[0]).replace(id, none) == repr(answers[1]), there


@pytest.mark.parametrize("label", ["INVISIBLE_PATIENT", None])
def test_a_content_waits_for_its_document(served: Served, laboratory: Caller, label: str | None) -> None:
    """R1111-53: what is sent before its document is nobody's but the sender's, until the document says whose it is"""
    patient, holder = served.patient()
    binary = deposited(laboratory, patient)
    is_as_if_it_were_not_there(holder, binary)
    assert laboratory("GET", binary).status_code == 200
    laboratory.create(document(patient, *([label] if label else []), content=[{"attachment": {"url": binary}}]))
    assert laboratory("GET", binary).status_code == 200
    if label:
        is_as_if_it_were_not_there(holder, binary)
    else:
        assert holder("GET", binary).status_code == 200


def test_what_the_holder_or_the_operator_sent_needs_no_document(served: Served, operator: Caller) -> None:
    """A2, A3: the holder's own, and those who act for the holder see it; what was loaded is as it was loaded"""
    patient, holder = served.patient()
    parent = served.caller(
        "patient/*.rs", patient=patient, person="RelatedPerson/contents", relation="legal-representative"
    )
    for one in (holder, operator):
        binary = deposited(one, patient)
        assert (holder("GET", binary).status_code, parent("GET", binary).status_code) == (200, 200)


def report(patient: str, attachment: Resource) -> Resource:
    """A report with a form of it to be shown."""
    return {"resourceType": "DiagnosticReport", "status": "final", "code": {"text": "r"},
            "category": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": "LAB"}]}],
            "subject": {"reference": f"Patient/{patient}"}, "presentedForm": [attachment]}  # fmt: skip


def message(patient: str, attachment: Resource) -> Resource:
    """A message to the holder, and to the doctor."""
    return {"resourceType": "Communication", "status": "completed", "subject": {"reference": f"Patient/{patient}"},
            "recipient": [{"reference": "Practitioner/contents-dr"}],
            "payload": [{"contentAttachment": attachment}]}  # fmt: skip


def answers(patient: str, attachment: Resource) -> Resource:
    """Answers to questions, one of them with a picture."""
    return {"resourceType": "QuestionnaireResponse", "status": "completed",
            "subject": {"reference": f"Patient/{patient}"},
            "item": [{"linkId": "1", "answer": [{"valueAttachment": attachment}]}]}  # fmt: skip


@pytest.mark.parametrize("made", [report, message, answers])
def test_an_attachment_is_seen_with_what_has_it(
    served: Served, laboratory: Caller, doctor: Caller, made: Callable[[str, Resource], Resource]
) -> None:
    """R4 datatypes.html#Attachment: the url of an attachment, of whatever resource"""
    patient, holder = served.patient()
    binary = deposited(laboratory, patient)
    kept = laboratory.create(made(patient, {"contentType": "text/plain", "url": binary}))
    assert holder("GET", binary).status_code == 200
    holder.create(choice(patient, "access", to=("Practitioner/contents-dr",)))
    assert doctor("GET", binary).status_code == doctor("GET", kept).status_code
    mask = [{"op": "add", "path": "/meta/security", "value": [{"code": "MASQUE_PS"}]}]
    assert holder("PATCH", kept, mask, Content_Type=JSON_PATCH).status_code == 200
    is_as_if_it_were_not_there(doctor, binary)
    assert laboratory("GET", binary).status_code == 200
    if made is report:
        assert doctor("GET", kept).status_code == 404


def test_a_content_of_two_is_seen_with_either(served: Served, laboratory: Caller, doctor: Caller) -> None:
    """A7: of one id, a report and a document; what is masked of one is not masked of the other"""
    patient, holder = served.patient()
    holder.create(choice(patient, "access", to=("Practitioner/contents-dr",)))
    binary = deposited(laboratory, patient)
    attachment = {"contentType": "text/plain", "url": binary}
    kept = laboratory.create(document(patient, "MASQUE_PS", content=[{"attachment": attachment}]))
    is_as_if_it_were_not_there(doctor, binary)
    same = {**report(patient, attachment), "id": kept.partition("/")[2]}
    assert laboratory("PUT", f"DiagnosticReport/{same['id']}", same).status_code == 201
    assert doctor("GET", binary).status_code == 200
    assert laboratory("DELETE", f"DiagnosticReport/{same['id']}").status_code == 204
    is_as_if_it_were_not_there(doctor, binary)
