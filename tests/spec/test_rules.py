"""The patient's choices in force, on every way out and at the very next request.

rule A1 to A18; CSP R1111-40 to R1111-53
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from fhir_server.app import now
from tests.build import entry, observation, transaction
from tests.calls import Caller, Served, ids, seen
from tests.choices import LABELS, OWN, choice, document

JSON_PATCH = "application/json-patch+json"
ALL = "user/*.cruds"


@dataclass(frozen=True)
class Doctor:
    """A professional, in a role, for a structure."""

    served: Served
    name: str
    profession: str = "10"

    @property
    def reference(self) -> str:
        """Who it is."""
        return f"Practitioner/{self.name}"

    def caller(self, scope: str = ALL, **more: Any) -> Caller:
        """With a new token."""
        facts = {"practitioner": self.name, "role": f"PractitionerRole/{self.name}", "profession": self.profession}
        return self.served.caller(scope, kind="professional", **facts, **more)


def doctor(served: Served, profession: str = "10") -> Doctor:
    """One whom nobody knows yet."""
    return Doctor(served, f"d-{secrets.token_hex(6)}", profession)


def masking(*labels: str) -> list[dict[str, Any]]:
    """A patch that says which labels a document has."""
    said = [{"coding": [{"system": LABELS, "code": label}]} for label in labels] or [{"coding": [{"code": "N"}]}]
    return [{"op": "add", "path": "/securityLabel", "value": said}]


def sections(*codes: str) -> dict[str, Any]:
    """The part of a choice's provision that names sections of the record."""
    return {"class": [{"system": f"{OWN}/CodeSystem/profile-section", "code": code} for code in codes]}


def everywhere(caller: Caller, patient: str, reference: str) -> list[str]:
    """The ways by which the resource comes out to the caller, or shows that it is there."""
    type, _, id = reference.partition("/")
    plain = {
        "read": reference,
        "vread": f"{reference}/_history/1",
        "history": f"{reference}/_history",
        "meta": f"{reference}/$meta",
    }
    found = [name for name, path in plain.items() if caller("GET", path).status_code != 404]
    searches = {
        "by id": f"{type}?_id={id}",
        "by patient": f"{type}?patient=Patient/{patient}&_count=1000",
        "with all": f"{type}?_count=1000",
        "type history": f"{type}/_history?_count=1000",
        "system": f"?_type={type}&_count=1000",
        "system history": "_history?_count=1000",
        "compartment": f"Patient/{patient}/{type}?_count=1000",
        "include": "List?_include=List:item",
        "revinclude": f"Patient?_id={patient}&_revinclude={type}:patient&_count=100",
        "everything": f"Patient/{patient}/$everything?_count=1000",
        "batch": "",
    }
    for name, path in searches.items():
        if name == "batch":
            answer = caller("POST", "", transaction(entry("GET", reference), type="batch"))
            found += [name] if answer.json["entry"][0]["response"]["status"][:3] != "404" else []
            continue
        answer = caller("GET", path)
        found += [name] if answer.status_code == 200 and reference in ids(answer.json) else []
    oracles = {
        "total": f"{type}?_id={id}&_summary=count",
        "has": f"Patient?_id={patient}&_has:{type}:patient:_id={id}",
        "list": f"List?item={reference}&item.status:not=none",
    }
    for name, path in oracles.items():
        answer = caller("GET", path)
        found += [name] if answer.status_code == 200 and (answer.json.get("total") or ids(answer.json)) else []
    return found


@dataclass(frozen=True)
class Record:
    """A record: its patient, with a caller, and a doctor who knows nothing of it yet."""

    served: Served
    id: str
    holder: Caller
    operator: Caller
    doctor: Doctor


@pytest.fixture
def record(served: Served, operator: Caller) -> Record:
    """A patient who has said nothing."""
    id, holder = served.patient(name=[{"family": "Durand"}])
    return Record(served, id, holder, operator, doctor(served))


# --- permits


def test_a_permit_opens_at_the_next_request_and_closes_with_its_end(record: Record) -> None:
    """A6; L1111-19: the holder gives and takes access, in force at once"""
    caller = record.doctor.caller()
    kept = record.operator.create(document(record.id))
    assert everywhere(caller, record.id, kept) == []
    permit = record.holder.create(choice(record.id, "access", to=(record.doctor.reference,)))
    shown = everywhere(caller, record.id, kept)
    assert {"read", "vread", "history", "by id", "by patient", "with all", "everything", "total", "has"} <= set(shown)
    ended = [{"op": "replace", "path": "/status", "value": "inactive"}]
    assert record.holder("PATCH", permit, ended, Content_Type=JSON_PATCH).status_code == 200
    assert everywhere(caller, record.id, kept) == []


def test_a_permit_ends_by_itself(record: Record) -> None:
    """A6: no job has to run for a period to end, or to begin"""
    caller = record.doctor.caller()
    kept = record.operator.create(observation(record.id))
    today = now().date()
    for period, status in (
        ({"start": "2020-01-01", "end": str(today - timedelta(days=2))}, 404),
        ({"start": str(today + timedelta(days=2))}, 404),
        ({"start": "2020-01-01", "end": str(today + timedelta(days=2))}, 200),
    ):
        record.holder.create(choice(record.id, "access", to=(record.doctor.reference,), period=period))
        assert caller("GET", kept).status_code == status, period


def test_a_permit_of_sections_opens_them_and_no_others(record: Record) -> None:
    """A6: the sections that the permit covers"""
    caller = record.doctor.caller()
    report = record.operator.create(document(record.id))
    weight = record.operator.create(observation(record.id))
    sections = [{"system": f"{OWN}/CodeSystem/profile-section", "code": "DOCUMENTS"}]
    record.holder.create(
        choice(record.id, "access", to=(f"PractitionerRole/{record.doctor.name}",), **{"class": sections})
    )
    assert caller("GET", report).status_code == 200
    assert everywhere(caller, record.id, weight) == []


def test_the_matrix_cuts_what_a_profession_consults(record: Record) -> None:
    """A6; CSP R1111-46: profession × class of document; what is not said is not consulted"""
    kept = {code: record.operator.create(document(record.id, code=code)) for code in ("10", "31", "95")}
    for profession, seen_classes in (("10", {"10", "31"}), ("21", {"10"}), ("35", set()), (None, set())):
        someone = Doctor(record.served, f"x-{secrets.token_hex(4)}", profession)  # type: ignore[arg-type]
        record.holder.create(choice(record.id, "access", to=(someone.reference,)))
        caller = someone.caller()
        assert {code for code, one in kept.items() if caller("GET", one).status_code == 200} == seen_classes, profession


def test_a_care_team_reads_by_a_permit_for_it(record: Record) -> None:
    """A6: a team that the holder permitted; to be in it says nothing by itself, and nobody joins it by himself"""
    caller = record.doctor.caller()
    kept = record.operator.create(observation(record.id))
    team = {
        "resourceType": "CareTeam",
        "status": "active",
        "subject": {"reference": f"Patient/{record.id}"},
        "participant": [{"member": {"reference": record.doctor.reference}}],
    }
    assert caller("POST", "CareTeam", team).status_code == 403
    made = record.holder.create(team)
    assert caller("GET", kept).status_code == 404
    record.holder.create(choice(record.id, "access", to=(made,)))
    assert caller("GET", kept).status_code == 200
    assert record.holder("DELETE", made).status_code == 204
    assert caller("GET", kept).status_code == 404


def test_a_professional_declares_what_the_patient_said(record: Record) -> None:
    """A6; CSP R1111-46: in its own name, with how it was collected; the holder ends it"""
    caller, other = record.doctor.caller(), doctor(record.served)
    kept = record.operator.create(observation(record.id))
    bare = choice(record.id, "access", to=(record.doctor.reference,))
    how = [{"url": f"{OWN}/StructureDefinition/consent-collection", "valueCode": "oral"}]
    declared = {**bare, "extension": how, "performer": [{"reference": record.doctor.reference}]}
    foreign = {**declared, "performer": [{"reference": other.reference}]}
    for_other = {**declared, "provision": choice(record.id, "access", to=(other.reference,))["provision"]}
    for refused in (bare, foreign, for_other, {**declared, **choice(record.id, "BTG"), "extension": how}):
        assert caller("POST", "Consent", refused).status_code == 403
    permit = caller.create(declared)
    assert caller("GET", kept).status_code == 200
    caller.create(for_other)
    assert other.caller()("GET", kept).status_code == 200
    ended = [{"op": "replace", "path": "/status", "value": "inactive"}]
    assert record.holder("PATCH", permit, ended, Content_Type=JSON_PATCH).status_code == 200
    assert caller("GET", kept).status_code == 404


def test_no_permit_opens_the_record_of_accesses(record: Record) -> None:
    """A7, A17: it names what is masked, and is for the holder, the médecin traitant and who acted"""
    name = {"to": (record.doctor.reference,), **sections("DOCUMENTS", "CONFIDENTIALITE")}
    record.holder.create(choice(record.id, "access", **name))
    record.holder.create(choice(record.id, "BTG", **sections("CONFIDENTIALITE")))
    seen_by_all, masked = (record.operator.create(document(record.id, *labels)) for labels in ((), ("MASQUE_PS",)))
    assert record.holder.get(f"AuditEvent?entity={masked}&_count=100")["entry"]
    emergency = record.doctor.caller("user/*.rs", patient=record.id, mode="bris_de_glace", reason="coma")
    for caller in (record.doctor.caller(), emergency):
        assert caller.get(seen_by_all)
        assert everywhere(caller, record.id, masked) == []
        assert caller.get(f"AuditEvent?entity={masked}")["total"] == 0
        assert caller.get(f"AuditEvent?patient={record.id}&action=C")["total"] == 0
    own = record.doctor.caller().get(f"AuditEvent?entity={seen_by_all}")
    assert own["entry"], "what the professional did"


@pytest.mark.parametrize(
    "changes",
    [
        {"provision": {"type": "permit"}},
        {"provision": {"type": "permit", "actor": [{"role": {"text": "r"}, "reference": {"reference": "Group/g"}}]}},
        {"provision": {"type": "deny", "provision": [{"type": "permit"}], "actor": []}},
        {"category": [{"coding": [{"system": f"{OWN}/CodeSystem/consent-kind", "code": "everything"}]}]},
        {"category": [{"text": "research"}], "provision": {"type": "permit"}},
    ],
)
def test_a_choice_that_cannot_be_evaluated_is_refused(record: Record, changes: dict[str, Any]) -> None:
    """What a Consent says is in force or refused, and never passed over"""
    answer = record.holder("POST", "Consent", {**choice(record.id, "access", to=("Practitioner/d",)), **changes})
    assert answer.status_code == 422 or (answer.status_code == 400 and "actor" in str(changes)), answer.text


@pytest.mark.parametrize("element", ["securityLabel", "dataPeriod", "code", "data"])
def test_a_choice_with_what_is_not_evaluated_is_refused(record: Record, element: str) -> None:
    """R4 consent.html: a finer provision than is evaluated here would open more than it says"""
    values = {
        "securityLabel": [{"code": "R"}],
        "dataPeriod": {"start": "2020-01-01"},
        "code": [{"text": "x"}],
        "data": [{"meaning": "instance", "reference": {"reference": "Observation/o"}}],
    }
    asked = choice(record.id, "access", to=(record.doctor.reference,), **{element: values[element]})
    assert record.holder("POST", "Consent", asked).status_code == 422


# --- blocks


def test_who_is_blocked_sees_and_deposits_nothing(record: Record) -> None:
    """A5; DMP TD0.2: whatever else was permitted, in whatever role, in every mode, own deposits included"""
    caller = record.doctor.caller()
    record.holder.create(choice(record.id, "access", to=(record.doctor.reference,)))
    own = caller.create(document(record.id))
    assert "read" in everywhere(caller, record.id, own)
    role = {
        "resourceType": "PractitionerRole",
        "id": record.doctor.name,
        "practitioner": {"reference": record.doctor.reference},
    }
    assert record.operator("PUT", f"PractitionerRole/{record.doctor.name}", role).status_code == 201
    record.holder.create(choice(record.id, "access", "deny", to=(f"PractitionerRole/{record.doctor.name}",)))
    elsewhere = record.served.caller(
        ALL, kind="professional", practitioner=record.doctor.name, role="PractitionerRole/other", profession="10"
    )
    emergency = record.doctor.caller("patient/*.rs", patient=record.id, mode="bris_de_glace", reason="x")
    for one in (caller, elsewhere, emergency):
        assert everywhere(one, record.id, own) == []
    assert caller("POST", "DocumentReference", document(record.id)).status_code == 403
    status = [{"op": "replace", "path": "/status", "value": "entered-in-error"}]
    assert caller("PATCH", own, status, Content_Type=JSON_PATCH).status_code == 404


# --- what is masked


def test_what_is_masked_is_hidden_on_every_way_out(record: Record) -> None:
    """A7, C16, C17; CSP R1111-49: but from who deposited it, the médecin traitant and an administrator"""
    depositor, reader, administrator = doctor(record.served), record.doctor, doctor(record.served)
    for one in (depositor, reader):
        record.holder.create(choice(record.id, "access", to=(one.reference,)))
    record.holder.create(choice(record.id, "administrator", to=(administrator.reference,)))
    own = depositor.caller()
    content = own("POST", "Binary", b"secret", Content_Type="text/plain", X_Security_Context=f"Patient/{record.id}")
    assert content.status_code == 201, content.text
    binary = "/".join(content.headers["Location"].split("/")[-4:-2])
    attached = [{"attachment": {"contentType": "text/plain", "url": binary}}]
    kept = own.create(document(record.id, content=attached))
    listed = {"resourceType": "List", "status": "current", "mode": "working", "entry": [{"item": {"reference": kept}}],
              "subject": {"reference": f"Patient/{record.id}"}}  # fmt: skip
    record.operator.create(listed)
    caller = reader.caller()
    before = set(everywhere(caller, record.id, kept))
    assert before >= {"read", "vread", "history", "meta", "by id", "by patient", "with all", "type history", "system",
                      "system history", "compartment", "include", "revinclude", "everything", "batch", "total", "has",
                      "list"}  # fmt: skip
    assert {"read", "with all", "history", "total"} <= set(everywhere(caller, record.id, binary))
    assert record.holder("PATCH", kept, masking("MASQUE_PS"), Content_Type=JSON_PATCH).status_code == 200
    assert everywhere(caller, record.id, kept) == []
    assert caller("GET", f"{kept}/_history/2").status_code == 404
    assert everywhere(caller, record.id, binary) == []
    for one in (own, administrator.caller()):
        assert "read" in everywhere(one, record.id, kept)
        assert one("GET", binary).status_code == 200
    gp = [{"op": "add", "path": "/generalPractitioner", "value": [{"reference": reader.reference}]}]
    assert record.operator("PATCH", f"Patient/{record.id}", gp, Content_Type=JSON_PATCH).status_code == 200
    assert "read" in everywhere(caller, record.id, kept)
    assert record.holder("PATCH", kept, masking(), Content_Type=JSON_PATCH).status_code == 200
    assert caller("GET", f"{kept}/_history/3").status_code == 200


def test_the_holder_masks_and_does_nothing_else_to_what_was_deposited(record: Record) -> None:
    """A3: of a professional's deposit the label alone; what the holder entered, all of it"""
    kept = record.doctor.caller().create(document(record.id, description="report"))
    body = record.holder.get(kept)
    for method, change in (
        ("PUT", body),
        ("DELETE", None),
        ("PATCH", [{"op": "replace", "path": "/description", "value": "nothing"}]),
        ("PATCH", [{"op": "replace", "path": "/status", "value": "entered-in-error"}]),
        ("PATCH", masking("INVISIBLE_PATIENT")),
        ("PATCH", masking("MASQUE_PS", "INVISIBLE_REPRESENTANTS_LEGAUX")),
    ):
        headers = {"Content-Type": JSON_PATCH} if method == "PATCH" else {}
        assert record.holder(method, kept, change, **headers).status_code == 403, (method, change)
    assert record.operator.get(kept)["meta"]["versionId"] == "1"
    own = record.holder.create(document(record.id, code="90"))
    assert record.holder("PUT", own, {**record.holder.get(own), "description": "mine"}).status_code == 200
    assert record.holder("DELETE", own).status_code == 204


def test_a_token_that_does_not_read_finds_nothing_out_by_patches(record: Record) -> None:
    """C26: whether a patch can be applied would tell what a professional deposited"""
    kept = record.doctor.caller().create(document(record.id, description="secret"))
    writes = record.served.caller("patient/DocumentReference.u", patient=record.id)
    for value in ("secret", "other"):
        guess = [{"op": "test", "path": "/description", "value": value}, *masking("MASQUE_PS")]
        assert writes("PATCH", kept, guess, Content_Type=JSON_PATCH).status_code == 403
    own = record.holder.create(document(record.id))
    assert writes("PATCH", own, masking("MASQUE_PS"), Content_Type=JSON_PATCH).status_code == 200
    both = record.served.caller("patient/DocumentReference.ru", patient=record.id)
    assert both("PATCH", kept, masking("MASQUE_PS"), Content_Type=JSON_PATCH).status_code == 200


def test_the_depositor_patches_metadata_and_nothing_else(record: Record) -> None:
    """A9; PDSm flows 03 and 04: status, visibility, archived; any other path is 405, another's document unknown"""
    caller, other = record.doctor.caller(), doctor(record.served).caller()
    kept = caller.create(document(record.id))
    archived = {"url": "https://interop.esante.gouv.fr/ig/fhir/pdsm/StructureDefinition/pdsm-ext-is-archived",
                "valueBoolean": True}  # fmt: skip
    for change, status in (
        (masking("MASQUE_PS"), 200),
        (masking("INVISIBLE_PATIENT"), 200),
        (masking("INVISIBLE_PATIENT", "MASQUE_PS"), 422),
        ([{"op": "add", "path": "/extension", "value": [archived]}], 200),
        ([{"op": "add", "path": "/description", "value": "other"}], 405),
        ([{"op": "replace", "path": "/subject/reference", "value": "Patient/other"}], 405),
        ([{"op": "replace", "path": "/status", "value": "entered-in-error"}], 200),
    ):
        assert caller("PATCH", kept, change, Content_Type=JSON_PATCH).status_code == status, change
        assert other("PATCH", kept, change, Content_Type=JSON_PATCH).status_code == 404
    assert caller("PUT", kept, caller.get(kept)).status_code == 405
    assert caller("DELETE", kept).status_code == 405


def test_a_deposit_stays_in_its_record(record: Record) -> None:
    """C12: neither by PUT nor by PATCH"""
    other, _ = record.served.patient()
    caller = record.doctor.caller()
    kept = caller.create(observation(record.id))
    assert caller("PUT", kept, observation(other, id=kept[12:])).status_code == 403
    moved = [{"op": "replace", "path": "/subject/reference", "value": f"Patient/{other}"}]
    assert caller("PATCH", kept, moved, Content_Type=JSON_PATCH).status_code == 403


def test_what_is_to_be_announced_first_is_hidden_from_the_patient(record: Record) -> None:
    """A2; CSP R1111-53: on every way out, until the label is taken off"""
    caller = record.doctor.caller()
    kept = caller.create(document(record.id, "INVISIBLE_PATIENT"))
    assert everywhere(record.holder, record.id, kept) == []
    assert record.holder("PATCH", kept, masking(), Content_Type=JSON_PATCH).status_code == 404
    assert caller("GET", kept).status_code == 200
    assert caller("PATCH", kept, masking(), Content_Type=JSON_PATCH).status_code == 200
    assert "by patient" in everywhere(record.holder, record.id, kept)
    month = now() - timedelta(days=32)
    assert caller("PATCH", kept, masking("INVISIBLE_PATIENT"), Content_Type=JSON_PATCH).status_code == 200
    assert record.holder("GET", kept).status_code == 404
    record.served.database["DocumentReference"].update_one({"_id": kept[18:]}, {"$set": {"deposited": month}})
    assert record.holder("GET", kept).status_code == 200


def test_what_is_kept_from_representatives_is_hidden_from_them(record: Record) -> None:
    """A4, A15; CSP R1111-50: and a secret session is about nothing else"""
    secret = record.doctor.caller(secret=True)
    open_one = record.operator.create(document(record.id))
    record.holder.create(choice(record.id, "access", to=(record.doctor.reference,)))
    kept = secret.create(document(record.id))
    parent = record.served.caller(
        "patient/*.cruds", patient=record.id, person="RelatedPerson/parent", relation="legal-representative"
    )
    assert everywhere(parent, record.id, kept) == []
    assert parent("GET", open_one).status_code == 200
    assert "read" in everywhere(record.holder, record.id, kept)
    assert "read" in everywhere(secret, record.id, kept)
    assert everywhere(secret, record.id, open_one) == []
    assert secret("GET", f"Patient/{record.id}").status_code == 200


def test_labels_are_not_anybodys_to_set(record: Record) -> None:
    """A16: a patient keeps nothing from himself, and a representative decides nothing about what is kept from them"""
    assert record.holder("POST", "DocumentReference", document(record.id, "INVISIBLE_PATIENT")).status_code == 403
    parent = record.served.caller("patient/*.cruds", patient=record.id, person="RelatedPerson/p",
                                  relation="legal-representative")  # fmt: skip
    label = "INVISIBLE_REPRESENTANTS_LEGAUX"
    assert parent("POST", "DocumentReference", document(record.id, label)).status_code == 403
    assert record.holder("POST", "DocumentReference", document(record.id, label)).status_code == 201
    both = document(record.id, "MASQUE_PS", "INVISIBLE_PATIENT")
    assert record.doctor.caller()("POST", "DocumentReference", both).status_code == 422


def test_new_documents_are_masked_where_the_holder_wants_it(record: Record) -> None:
    """French domain 2.2: the default setting is for what is new"""
    before = record.doctor.caller().create(document(record.id))
    record.holder.create(choice(record.id, "new-documents", "deny"))
    caller = record.doctor.caller()
    kept = caller.create(document(record.id))
    codes = [coding["code"] for label in caller.get(kept)["securityLabel"] for coding in label["coding"]]
    assert codes == ["MASQUE_PS"]
    assert "securityLabel" not in caller.get(before)


# --- contents


def test_a_document_is_no_way_to_another_ones_content(record: Record) -> None:
    """C16: whoever names a Binary that is not theirs to see does not get at it by that"""
    other, theirs = record.served.patient()
    content = record.operator.create(
        {
            "resourceType": "Binary",
            "contentType": "text/plain",
            "securityContext": {"reference": f"Patient/{record.id}"},
        }
    )
    attached = [{"attachment": {"url": content}}]
    caller = record.doctor.caller()
    for patient, one in ((record.id, caller), (other, caller), (other, theirs)):
        one.create(document(patient, content=attached))
        assert everywhere(one, record.id, content) == []
    assert record.holder("GET", content).status_code == 200


def test_without_a_scope_for_documents_there_is_no_content(record: Record) -> None:
    """C16"""
    binary = {
        "resourceType": "Binary",
        "contentType": "text/plain",
        "securityContext": {"reference": f"Patient/{record.id}"},
    }
    content = record.holder.create(binary)
    record.holder.create(document(record.id, content=[{"attachment": {"url": f"http://fhir.test/fhir/{content}"}}]))
    alone = record.served.caller("patient/Binary.rs", patient=record.id)
    both = record.served.caller("patient/Binary.rs patient/DocumentReference.rs", patient=record.id)
    assert (alone("GET", content).status_code, both("GET", content).status_code) == (404, 200)


# --- the space


@pytest.mark.parametrize("status", ["closed", "opposed"])
def test_a_space_that_is_not_open_is_the_holders_alone(record: Record, status: str) -> None:
    """A1; CSP L1111-13-1: neither read nor fed, by whoever deposited or was addressed in it before either"""
    caller = record.doctor.caller()
    record.holder.create(choice(record.id, "access", to=(record.doctor.reference,)))
    own = caller.create(document(record.id))
    stranger = doctor(record.served).caller()
    theirs = stranger.create(observation(record.id))
    extension = [{"url": "status", "valueCode": status}]
    change = [{"op": "add", "path": "/extension",
               "value": [{"url": f"{OWN}/StructureDefinition/space-status", "extension": extension}]}]  # fmt: skip
    assert record.operator("PATCH", f"Patient/{record.id}", change, Content_Type=JSON_PATCH).status_code == 200
    assert everywhere(caller, record.id, own) == []
    assert everywhere(stranger, record.id, theirs) == []
    for one in (caller, record.holder):
        assert one("POST", "Observation", observation(record.id)).status_code == 403
    assert "read" in everywhere(record.holder, record.id, own)
    caregiver = record.served.caller("patient/*.rs", patient=record.id, person="RelatedPerson/c", relation="caregiver")
    assert caregiver("GET", own).status_code == 404


def test_what_was_deleted_is_in_no_history_of_a_space_that_is_not_open(record: Record) -> None:
    """A1: who deposited it and has nothing else in the record is told that it is shut, too"""
    caller = record.doctor.caller()
    kept = caller.create(observation(record.id))
    assert caller("DELETE", kept).status_code == 204
    ways = ("Observation/_history?_count=100", "_history?_count=100")
    assert all(kept in caller("GET", way).text for way in ways)
    record.holder.create(choice(record.id, "space", "deny"))
    assert not any(kept in caller("GET", way).text for way in ways)


def addressing(patient: str, who: str) -> dict[str, dict[str, Any]]:
    """By what a professional is addressed in a record -> a resource that addresses them so."""
    whom, of = {"reference": who}, {"reference": f"Patient/{patient}"}
    message = {"resourceType": "Communication", "status": "completed", "subject": of}
    task = {"resourceType": "Task", "status": "requested", "intent": "order", "for": of}
    meeting = [{"actor": one, "status": "accepted"} for one in (of, whom)]
    return {
        "recipient": message | {"recipient": [whom]},
        "sender": message | {"sender": whom},
        "owner": task | {"owner": whom},
        "requester": task | {"requester": whom},
        "participant": {"resourceType": "Appointment", "status": "proposed", "participant": meeting},
        "permit": choice(patient, "access", to=(who,)) | {"status": "inactive"},
    }


@pytest.mark.parametrize("by", addressing("", ""))
@pytest.mark.parametrize("shut", ["opposed", "blocked for everybody"])
def test_who_is_addressed_in_a_record_loses_it_with_the_rest(record: Record, by: str, shut: str) -> None:
    """A1, A5: a search that names no patient finds it no more than a read, though no other statement is about them"""
    caller = record.doctor.caller()
    kept = record.operator.create(addressing(record.id, record.doctor.reference)[by])
    type, _, id = kept.partition("/")
    assert caller.get(kept)
    assert caller.get(f"{type}?_id={id}")["total"] == 1
    if shut == "opposed":
        record.holder.create(choice(record.id, "space", "deny"))
    else:  # nobody can tell what it refuses, so that it refuses all
        record.operator.create(choice(record.id, "access", "deny", to=("Group/all",)))
    assert everywhere(caller, record.id, kept) == []


def test_the_holder_does_not_open_a_space_nor_change_who_he_is(record: Record) -> None:
    """A16: identity traits, the space and the médecin traitant are the server's to say; a client changes nothing"""
    path = f"Patient/{record.id}"
    before = record.holder.get(path)
    claimed = {
        **before,
        "name": [{"family": "Other"}],
        "birthDate": "1950-01-01",
        "identifier": [{"system": "urn:oid:1.2.250.1.213.1.4.10", "value": "279035121518989"}],
        "generalPractitioner": [{"reference": record.doctor.reference}],
        "link": [{"other": {"reference": "Patient/other"}, "type": "seealso"}],
        "extension": [{"url": f"{OWN}/StructureDefinition/space-status",
                       "extension": [{"url": "status", "valueCode": "open"}]}],
        "telecom": [{"system": "phone", "value": "0639980100"}],
    }  # fmt: skip
    assert record.holder("PUT", path, claimed).status_code == 200
    after = record.holder.get(path)
    assert {name: after.get(name) for name in claimed if name not in ("meta", "telecom")} == {
        name: before.get(name) for name in claimed if name not in ("meta", "telecom")
    }
    assert after["telecom"] == claimed["telecom"]
    assert record.holder("DELETE", path).status_code == 403


def test_a_caregiver_acts_as_long_as_the_holder_says(record: Record) -> None:
    """A4: reads and enters, and decides neither who sees the record nor who the patient is"""
    kept = record.operator.create(observation(record.id))
    caregiver = record.served.caller(
        "patient/*.cruds", patient=record.id, person="RelatedPerson/c", relation="caregiver"
    )
    assert caregiver("GET", kept).status_code == 404
    permit = record.holder.create(choice(record.id, "caregiver", to=("RelatedPerson/c",)))
    assert caregiver("GET", kept).status_code == 200
    own = caregiver.create(observation(record.id))
    assert caregiver("DELETE", own).status_code == 204
    assert caregiver("POST", "Consent", choice(record.id, "access", to=("Practitioner/x",))).status_code == 403
    assert caregiver("PUT", f"Patient/{record.id}", caregiver.get(f"Patient/{record.id}")).status_code == 403
    assert record.holder("DELETE", permit).status_code == 204
    assert caregiver("GET", kept).status_code == 404


# --- in an emergency


@pytest.mark.parametrize(
    ("mode", "kind", "other"), [("bris_de_glace", "BTG", "ETREAT"), ("centre_15", "ETREAT", "BTG")]
)
def test_an_emergency_opens_one_record_to_be_read(record: Record, mode: str, kind: str, other: str) -> None:
    """A10, A11, B2, B3: its sections, read only, unless the holder opposed that very mode"""
    more = {"mode": mode, "reason": "inconscient", "patient": record.id, "regulator": mode == "centre_15"}
    emergency = record.doctor.caller("user/*.cruds", **more)
    somebody, _ = record.served.patient()
    elsewhere = record.operator.create(document(somebody))
    report, masked = (record.operator.create(document(record.id, *labels)) for labels in ((), ("MASQUE_PS",)))
    weight = record.operator.create(observation(record.id))
    assert "read" in everywhere(emergency, record.id, report)
    assert emergency("GET", f"Patient/{record.id}").status_code == 200
    for hidden in (weight, masked):
        assert everywhere(emergency, record.id, hidden) == []
    assert everywhere(emergency, somebody, elsewhere) == []
    assert emergency("POST", "Observation", observation(record.id)).status_code == 403
    record.holder.create(choice(record.id, "MASKED"))
    assert emergency("GET", masked).status_code == 200
    record.holder.create(choice(record.id, other, "deny"))
    assert emergency("GET", report).status_code == 200
    record.holder.create(choice(record.id, kind, "deny"))
    assert everywhere(emergency, record.id, report) == []


def test_no_regulation_without_the_right_to_regulate(record: Record) -> None:
    """A11, B7: the identity provider asserts it, never the client"""
    report = record.operator.create(document(record.id))
    caller = record.doctor.caller("user/*.rs", mode="centre_15", patient=record.id)
    assert everywhere(caller, record.id, report) == []


# --- professionals, across records


def test_what_is_addressed_to_a_professional_is_read_by_them(record: Record) -> None:
    """A8: messages to them, meetings with them; no permit, and nobody else's"""
    caller, other = record.doctor.caller(), doctor(record.served).caller()
    message = {
        "resourceType": "Communication",
        "status": "completed",
        "subject": {"reference": f"Patient/{record.id}"},
        "recipient": [{"reference": f"PractitionerRole/{record.doctor.name}"}],
    }
    meeting = {
        "resourceType": "Appointment",
        "status": "proposed",
        "participant": [
            {"actor": {"reference": f"Patient/{record.id}"}, "status": "accepted"},
            {"actor": {"reference": record.doctor.reference}, "status": "needs-action"},
        ],
    }
    for resource in (message, meeting):
        kept = record.holder.create(resource)
        assert caller("GET", kept).status_code == 200
        assert ids(caller.get(kept.partition("/")[0])) == [kept]
        assert other("GET", kept).status_code == 404


def test_a_meeting_of_two_patients_is_seen_by_whom_neither_bars(record: Record) -> None:
    """A5: one of them is enough"""
    second, theirs = record.served.patient()
    caller = record.doctor.caller()
    participants = [{"actor": {"reference": f"Patient/{id}"}, "status": "accepted"} for id in (record.id, second)]
    participants.append({"actor": {"reference": record.doctor.reference}, "status": "accepted"})
    kept = record.operator.create({"resourceType": "Appointment", "status": "proposed", "participant": participants})
    assert "with all" in everywhere(caller, record.id, kept)
    theirs.create(choice(second, "access", "deny", to=(record.doctor.reference,)))
    assert everywhere(caller, record.id, kept) == []


@pytest.mark.parametrize("bars", [True, False])
def test_a_launch_for_one_patient_shows_no_meeting_that_another_bars(record: Record, bars: bool) -> None:
    """A5, C23: a token for one record is told what the other patient of a meeting says of its professional, too"""
    second, theirs = record.served.patient()
    record.holder.create(choice(record.id, "access", to=(record.doctor.reference,), **sections("AGENDA", "IDENTITE")))
    participants = [{"actor": {"reference": f"Patient/{id}"}, "status": "accepted"} for id in (record.id, second)]
    kept = record.operator.create({"resourceType": "Appointment", "status": "proposed", "participant": participants})
    if bars:
        theirs.create(choice(second, "access", "deny", to=(record.doctor.reference,)))
    found = everywhere(record.doctor.caller("patient/*.rs", patient=record.id), record.id, kept)
    assert (found == []) == bars


@pytest.mark.parametrize(("mode", "kind"), [("bris_de_glace", "BTG"), ("centre_15", "ETREAT")])
def test_an_emergency_shows_no_meeting_with_another_patient(record: Record, mode: str, kind: str) -> None:
    """A10, A11: it is of one patient, whatever that one opened besides"""
    second, _ = record.served.patient()
    record.holder.create(choice(record.id, kind, **sections("AGENDA")))
    caller = record.doctor.caller("user/*.rs", patient=record.id, mode=mode, reason="coma", regulator=True)
    for patients, is_seen in (((record.id,), True), ((record.id, second), False), ((second, record.id), False)):
        participants = [{"actor": {"reference": f"Patient/{id}"}, "status": "accepted"} for id in patients]
        meeting = {"resourceType": "Appointment", "status": "proposed", "participant": participants}
        kept = record.operator.create(meeting)
        assert bool(everywhere(caller, record.id, kept)) == is_seen


def test_an_emergency_lists_changes_as_it_finds_what_there_is(record: Record) -> None:
    """A10: the record that it is about is known, whichever way it is asked"""
    caller = record.doctor.caller("patient/*.rs", patient=record.id, mode="bris_de_glace", reason="coma")
    kept = record.operator.create(document(record.id))
    ways = {"by id", "with all", "type history", "system", "system history"}
    assert ways <= set(everywhere(caller, record.id, kept))


def test_too_many_records_are_asked_for_by_name(record: Record) -> None:
    """A bounded decision: beyond it the query names whose record it asks about"""
    caller = record.doctor.caller()
    empty = {"space": "open", "permits": [], "blocks": [], "emergencies": [], "care_team": [], "caregivers": [],
             "treating_doctor": None, "masked_by_default": False, "birth_date": None}  # fmt: skip
    concerns = [record.doctor.reference]
    name = record.doctor.name
    record.served.database["_choices"].insert_many(
        {"_id": f"{name}-{number}", **empty, "concerns": concerns} for number in range(1001)
    )
    record.holder.create(choice(record.id, "access", to=(record.doctor.reference,)))
    kept = record.operator.create(observation(record.id))
    answer = caller("GET", "Observation")
    assert (answer.status_code, "patient=" in answer.text) == (400, True)
    assert caller("GET", kept).status_code == 200
    assert ids(caller.get(f"Observation?patient={record.id}")) == [kept]
    assert ids(caller.get(f"Patient?_id={record.id}")) == [f"Patient/{record.id}"]
    record.served.database["_choices"].delete_many({"_id": {"$regex": f"^{name}-"}})


def test_what_nobody_permitted_looks_like_what_is_not_there(record: Record) -> None:
    """C19: status, body and headers, by every verb"""
    caller = record.doctor.caller()
    hidden = record.operator.create(document(record.id))
    for method, after, body in (
        ("GET", "", None),
        ("GET", "/_history", None),
        ("GET", "/_history/1", None),
        ("GET", "/$meta", None),
        ("PATCH", "", masking()),
        ("DELETE", "", None),
    ):
        headers = {"Content-Type": JSON_PATCH} if method == "PATCH" else {}
        answers = [
            seen(caller(method, f"{reference}{after}", body, **headers), reference.partition("/")[2])
            for reference in (hidden, "DocumentReference/none")
        ]
        assert answers[0] == answers[1], (method, after)


def test_an_administrator_blocks_and_is_not_blocked_by_others(record: Record) -> None:
    """French domain 2.5: who was named by the holder may block other professionals; nobody else may"""
    administrator, plain, target = (doctor(record.served) for _ in range(3))
    record.holder.create(choice(record.id, "administrator", to=(administrator.reference,)))
    for one in (plain, target):
        record.holder.create(choice(record.id, "access", to=(one.reference,)))
    kept = record.operator.create(observation(record.id))
    block = choice(record.id, "access", "deny", to=(target.reference,))
    assert plain.caller()("POST", "Consent", block).status_code == 403
    assert target.caller()("GET", kept).status_code == 200
    assert administrator.caller()("POST", "Consent", block).status_code == 201
    assert target.caller()("GET", kept).status_code == 404


def test_a_reference_tells_nothing_of_what_is_hidden(record: Record) -> None:
    """C33: the display of a masked document is left out, wherever it is named; who sees the document sees it"""
    record.holder.create(choice(record.id, "access", to=(record.doctor.reference,)))
    masked, shown = (record.operator.create(document(record.id, *labels)) for labels in (("MASQUE_PS",), ()))
    items = [
        {"item": {"reference": one, "display": f"title of {one}"}} for one in (masked, f"http://fhir.test/fhir/{shown}")
    ]
    listed = {
        "resourceType": "List",
        "status": "current",
        "mode": "working",
        "subject": {"reference": f"Patient/{record.id}", "display": "Durand"},
        "entry": items,
    }
    kept = record.operator.create(listed)
    caller = record.doctor.caller()
    ways = (kept, f"{kept}/_history/1", f"{kept}/_history", f"List?patient={record.id}", f"{kept}?_elements=entry")
    for path in ways:
        text = caller("GET", path).text
        assert f"title of {masked}" not in text, path
        assert f"title of http://fhir.test/fhir/{shown}" in text, path
        assert f"title of {masked}" in record.holder("GET", path).text
    assert masked in caller("GET", kept).text
    assert "Durand" in caller("GET", kept).text


def test_the_record_of_accesses_tells_nothing_of_what_is_hidden(record: Record) -> None:
    """A17, with the limits of A2 and A4: an access to what is to be announced first stands apart, and is told later"""
    caller = record.doctor.caller()
    hidden, shown = (caller.create(document(record.id, *labels)) for labels in (("INVISIBLE_PATIENT",), ()))
    assert len(ids(caller.get(f"DocumentReference?patient={record.id}"))) == 2
    told = record.holder("GET", "AuditEvent?_count=100").text
    assert shown in told
    assert hidden not in told
    assert record.holder("GET", f"AuditEvent?entity={hidden}&_summary=count").json["total"] == 0
    assert hidden in record.operator("GET", f"AuditEvent?entity={hidden}").text
    month = now() - timedelta(days=32)
    for type in ("AuditEvent", "DocumentReference", "_history"):
        record.served.database[type].update_many({"owner": record.id}, {"$set": {"deposited": month}})
    assert hidden in record.holder("GET", "AuditEvent?_count=100").text


# --- what has been in two records, and what is in two


def test_the_history_of_what_has_moved_shows_what_its_versions_show(record: Record) -> None:
    """A6, A8: each version is judged by the record that it was in; the history has those that a vread has"""
    other, _ = record.served.patient()
    record.operator.create(choice(other, "access", "deny", to=("Practitioner/somebody",)))
    caller = record.doctor.caller()
    kept = caller.create(document(record.id))
    moved = {**document(other), "id": kept.partition("/")[2]}
    assert record.operator("PUT", kept, moved).status_code == 200
    assert [caller("GET", f"{kept}/_history/{version}").status_code for version in (1, 2)] == [200, 200]
    assert caller.get(f"{kept}/_history")["total"] == 2


@pytest.fixture
def meeting(record: Record) -> tuple[str, str]:
    """An Appointment of the record's patient and of another: the reference of it, and the other's id."""
    other, _ = record.served.patient()
    participants = [{"actor": {"reference": f"Patient/{id}"}, "status": "accepted"} for id in (record.id, other)]
    made = {"resourceType": "Appointment", "status": "proposed", "participant": participants}
    agenda = [{"system": f"{OWN}/CodeSystem/profile-section", "code": "AGENDA"}]
    record.operator.create(choice(record.id, "access", to=(record.doctor.reference,), **{"class": agenda}))
    return record.operator.create(made), other


def _callers(record: Record) -> list[Caller]:
    return [record.doctor.caller(), record.doctor.caller("patient/*.rs", patient=record.id)]


def test_what_two_share_is_read_and_found_where_one_opens_it(record: Record, meeting: tuple[str, str]) -> None:
    """A6: a permit of the one opens it, whatever the other has said nothing of, or closed"""
    shared, other = meeting
    for closed in (False, True):
        if closed:
            record.operator.create(choice(other, "space", "deny"))
        for caller in _callers(record):
            assert caller("GET", shared).status_code == 200
            found = caller.get("Appointment?_total=accurate")
            assert (ids(found), found["total"]) == ([shared], 1)


def test_what_two_share_is_kept_from_whom_one_of_them_blocks(record: Record, meeting: tuple[str, str]) -> None:
    """A5: sees nothing, in any mode; by a read, and by a search for the record of the other"""
    shared, other = meeting
    record.operator.create(choice(other, "access", "deny", to=(record.doctor.reference,)))
    for caller in _callers(record):
        assert caller("GET", shared).status_code == 404
        assert caller.get("Appointment?_total=accurate")["total"] == 0


def test_nothing_is_written_into_two_records_of_which_one_is_closed(record: Record, meeting: tuple[str, str]) -> None:
    """A1: what is closed is not fed, by way of another's record neither"""
    shared, other = meeting
    made = record.operator.get(shared)
    record.operator.create(choice(other, "space", "deny"))
    again = {name: value for name, value in made.items() if name not in ("id", "meta")}
    assert record.doctor.caller()("POST", "Appointment", again).status_code == 403
