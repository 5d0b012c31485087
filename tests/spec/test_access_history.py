"""Patient/[id]/$access-history: who has opened a record, told so that its patient can judge whether it was right.

CSP R1111-43; rule A17
"""

from __future__ import annotations

import secrets
from typing import Any

import pytest

from tests.build import observation
from tests.calls import Caller, Served
from tests.spec.test_rules import choice, doctor, document


class Opened:
    """A record, its holder, and a doctor who may read it."""

    def __init__(self, served: Served):
        self.served = served
        self.operator = served.caller()
        self.id, self.holder = served.patient()
        self.doctor = doctor(served)
        self.holder.create(choice(self.id, "access", to=(self.doctor.reference,)))
        self.document = self.operator.create(document(self.id))
        self.weight = self.operator.create(observation(self.id))

    def told(self, query: str = "", caller: Caller | None = None) -> list[dict[str, Any]]:
        """The lines, those of emergencies first."""
        found = (caller or self.holder).get(f"Patient/{self.id}/$access-history?{query}")
        return [_line(one) for name in ("emergency", "line") for one in found["parameter"] if one["name"] == name]

    def of(self, reference: str, **query: Any) -> list[dict[str, Any]]:
        """The lines of one actor."""
        return [line for line in self.told(**query) if line["who"].get("reference") == reference]


def _line(one: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"name": one["name"], "sections": []}
    for part in one["part"]:
        value = next(value for name, value in part.items() if name.startswith("value"))
        if part["name"] == "section":
            found["sections"].append(value)
        else:
            found[part["name"]] = value
    return found


@pytest.fixture
def opened(served: Served) -> Opened:
    """A new one."""
    return Opened(served)


def test_the_reads_of_a_day_are_one_line(opened: Opened) -> None:
    """By day, actor, mode and app: how many, which sections, what for"""
    caller = opened.doctor.caller(software="Logiciel")
    for path in (opened.document, opened.document, opened.weight, f"DocumentReference?patient={opened.id}"):
        caller.get(path)
    (line,) = opened.of(opened.doctor.reference)
    assert (line["count"], line["capacity"], line["mode"], line["app"]) == (4, "professional", "normal", "Logiciel")
    assert set(line["sections"]) == {"DOCUMENTS", "RESULTATS"}
    assert line["purpose"] == "Soins et suivi"
    assert not line["refused"]
    assert not line["automatic"]


def test_refused_attempts_are_told(opened: Opened) -> None:
    """A17: refused, too, where it was about the record"""
    emergency = opened.doctor.caller("patient/*.rs", patient=opened.id, mode="bris_de_glace", reason="Malaise")
    assert emergency("POST", "DocumentReference", document(opened.id)).status_code == 403
    caller = opened.doctor.caller()
    caller.create(document(opened.id))
    lines = opened.of(opened.doctor.reference)
    assert [line["written"] for line in lines if "written" in line] == [1]
    assert [line["mode"] for line in lines if line["refused"]] == ["bris_de_glace"]


def test_an_emergency_is_told_with_its_reason(opened: Opened) -> None:
    """A12: mode, purpose in words, and the reason as the professional typed it"""
    caller = opened.doctor.caller(
        "patient/*.rs", patient=opened.id, mode="bris_de_glace", reason="Menace vitale : malaise"
    )
    caller.get(opened.document)
    opened.doctor.caller().get(opened.document)
    by_mode = {line["mode"]: line for line in opened.of(opened.doctor.reference)}
    assert by_mode["bris_de_glace"]["reason"] == "Menace vitale : malaise"
    assert by_mode["bris_de_glace"]["purpose"] == "Urgence : bris de glace"
    assert opened.told("mode=bris_de_glace") == [by_mode["bris_de_glace"]]


def test_own_accesses_are_left_out_unless_asked_for(opened: Opened) -> None:
    """Own accesses hidden by default"""
    opened.holder.get(opened.document)
    own = f"Patient/{opened.id}"
    assert opened.of(own) == []
    (line,) = opened.of(own, query="own=true")
    assert line["capacity"] == "self"


def test_what_no_person_asked_is_automatic(opened: Opened) -> None:
    """Automatic accesses are marked, so that they can be folded"""
    backend = opened.served.caller(
        "system/DocumentReference.cr", kind="backend", client_id="lab", software="Laboratoire", name="lab"
    )
    backend.create(document(opened.id))
    line = next(line for line in opened.told() if line.get("app") == "Laboratoire")
    assert line["automatic"]
    assert line["capacity"] == "software"


def test_filters(opened: Opened) -> None:
    """By day and actor"""
    opened.doctor.caller().get(opened.document)
    assert opened.of(opened.doctor.reference, query=f"from=2020-01-01&actor={opened.doctor.reference}")
    assert opened.told(f"to=2020-01-01&actor={opened.doctor.reference}") == []
    assert opened.told("actor=Practitioner/none") == []


def test_pages_end_with_a_day(opened: Opened) -> None:
    """`next` says where the page before it ends; nothing is told twice, and nothing left out"""
    for _ in range(3):
        someone = doctor(opened.served)
        opened.holder.create(choice(opened.id, "access", to=(someone.reference,)))
        someone.caller().get(opened.document)
    found = opened.holder.get(f"Patient/{opened.id}/$access-history?_count=1")
    assert "next" not in {one["name"] for one in found["parameter"]}  # one day is never cut
    assert len([one for one in found["parameter"] if one["name"] == "line"]) >= 3


def test_who_may_ask(opened: Opened) -> None:
    """A17: the holder, the médecin traitant, and everybody for what they did themselves"""
    other = doctor(opened.served)
    opened.holder.create(choice(opened.id, "access", to=(other.reference,)))
    for one in (opened.doctor, other):
        one.caller().get(opened.document)
    told = opened.told("own=true", opened.doctor.caller())
    assert {line["who"].get("reference") for line in told} == {opened.doctor.reference}
    gp = [{"op": "add", "path": "/generalPractitioner", "value": [{"reference": other.reference}]}]
    patched = opened.operator("PATCH", f"Patient/{opened.id}", gp, Content_Type="application/json-patch+json")
    assert patched.status_code == 200
    told = opened.told("own=true", other.caller())
    assert {opened.doctor.reference, other.reference} <= {line["who"].get("reference") for line in told}
    _, stranger = opened.served.patient()
    assert stranger("GET", f"Patient/{opened.id}/$access-history").status_code == 404
    narrow = opened.served.caller("patient/Patient.r", patient=opened.id)
    assert narrow("GET", f"Patient/{opened.id}/$access-history").status_code == 403


def test_names_come_from_the_directory(opened: Opened) -> None:
    """Who: name, profession and structure"""
    id = f"x-{secrets.token_hex(6)}"
    system = "https://mos.esante.gouv.fr/NOS/TRE_G15-ProfessionSante/FHIR/TRE-G15-ProfessionSante"
    for resource in (
        {"resourceType": "Practitioner", "id": id, "name": [{"family": "Martin", "given": ["Anne"], "suffix": ["DR"]}]},
        {"resourceType": "Organization", "id": id, "name": "La clinique"},
        {
            "resourceType": "PractitionerRole",
            "id": id,
            "code": [{"coding": [{"system": system, "code": "10", "display": "Médecin"}]}],
        },
    ):
        assert opened.operator("PUT", f"{resource['resourceType']}/{id}", resource).status_code == 201
    opened.holder.create(choice(opened.id, "access", to=(f"Practitioner/{id}",)))
    facts = {"role": f"PractitionerRole/{id}", "organization": f"Organization/{id}", "profession": "10"}
    opened.served.caller("user/*.rs", kind="professional", practitioner=id, **facts).get(opened.document)
    (line,) = opened.of(f"Practitioner/{id}")
    told = (line["who"]["display"], line["profession"], line["organization"])
    assert told == ("Dr Anne Martin", "Médecin", "La clinique")


@pytest.mark.parametrize("query", ["from=yesterday", "mode=else", "own=maybe", "colour=red", "_count=-1"])
def test_what_cannot_be_asked(opened: Opened, query: str) -> None:
    """R4 operations.html: what is not understood is refused"""
    assert opened.holder("GET", f"Patient/{opened.id}/$access-history?{query}").status_code == 400
