"""The pages of privacy: what is chosen there is in force at the next request, and only who decides chooses.

docs/access.md; CSP R1111-43, R1111-46; OWASP ASVS 5.0: 3.5.1
"""

from __future__ import annotations

import csv
import io
import secrets
from dataclasses import dataclass
from typing import Any

import pytest

from fhir_server.access import consents
from fhir_server.accounts.account import Account, Profile
from fhir_server.accounts.accounts import Accounts
from fhir_server.accounts.outbox import Outbox
from fhir_server.accounts.reports import Reports
from fhir_server.validation import structure
from fhir_server.web.privacy import harmless
from tests.browsing import Browser, browser, dom
from tests.calls import Caller
from tests.launches import Launching
from tests.spec.test_rules import choice, document

PROFESSIONS = "https://mos.esante.gouv.fr/NOS/TRE_G15-ProfessionSante/FHIR/TRE-G15-ProfessionSante"


@dataclass
class Home:
    """A person at the pages, a record with a document, and a doctor of the directory."""

    at: Launching
    person: Browser
    patient: str
    doctor: str
    document: str

    @property
    def role(self) -> str:
        """How the directory names the doctor's post."""
        return f"PractitionerRole/{self.doctor}"

    def caller(self, **more: Any) -> Caller:
        """The doctor, with a new token."""
        facts = {"practitioner": self.doctor, "role": self.role, "profession": "10", "name": "Dr Anne Martin"}
        return self.at.served().caller("user/*.cruds", kind="professional", **{**facts, **more})

    def reads(self, **more: Any) -> bool:
        """Whether the doctor reads the document."""
        return self.caller(**more)("GET", self.document).status_code == 200

    def choose(self, what: str, **fields: Any) -> str:
        """A form of the page, sent; where it leads."""
        page = dom(self.person.get(f"/privacy?patient={self.patient}"))
        token = page.find(".//form[@method='post']/input[@name='form']").get("value")
        answer = self.person.post("/privacy", {"form": token, "patient": self.patient, "do": what, **fields})
        assert answer.status_code == 303, answer.text
        return str(answer.headers["Location"])

    def holder(self) -> Caller:
        """The record's holder, with a token."""
        return self.at.served().caller("patient/*.cruds", patient=self.patient)


def home(at: Launching, relation: str = "self") -> Home:
    """A new one."""
    operator = at.served().caller()
    patient, name = at.patient(), f"d-{secrets.token_hex(6)}"
    code = [{"coding": [{"system": PROFESSIONS, "code": "10", "display": "Médecin"}]}]
    for resource in (
        {"resourceType": "Practitioner", "name": [{"family": f"Martin-{name[2:]}", "given": ["Anne"]}]},
        {"resourceType": "PractitionerRole", "practitioner": {"reference": f"Practitioner/{name}"}, "code": code},
    ):
        assert operator("PUT", f"{resource['resourceType']}/{name}", {**resource, "id": name}).status_code == 201
    id = f"acc-{secrets.token_hex(8)}"
    who = f"Patient/{patient}" if relation == "self" else f"RelatedPerson/{id}"
    profile = Profile(who, patient, relation, "Camille Durand")  # type: ignore[arg-type]
    made = Account(id, id, "Camille Durand", f"{id}@example.fr", None, "fr", (profile,))
    account = Accounts(at.database, at.clock).keep(made, "a long password of no use")
    return Home(at, browser(at, account), patient, name, operator.create(document(patient)))


@pytest.fixture
def at_home(launches: Launching) -> Home:
    """The holder of a record."""
    return home(launches)


def test_allowing_and_withdrawing(at_home: Home) -> None:
    """A6: at the next request; the Consent is the one that a portal writes"""
    found = dom(at_home.person.get(f"/privacy?patient={at_home.patient}&q=Martin-{at_home.doctor[2:]}"))
    assert found.find(".//article[@class='card found']//h3").text.startswith("Anne Martin")
    assert not at_home.reads()
    assert at_home.choose("allow", whom=at_home.role, section=["DOCUMENTS"], lasting="month").endswith("done=allow")
    assert at_home.reads()
    bundle = at_home.holder().get(f"Consent?patient={at_home.patient}")
    (consent,) = [entry["resource"] for entry in bundle["entry"]]
    assert structure.faults(consent) == []
    assert consents.faults(consent) == []
    assert {one["code"] for one in consent["provision"]["class"]} == {"DOCUMENTS", "IDENTITE"}
    assert "end" in consent["provision"]["period"]
    assert at_home.choose("end", consent=consent["id"]).endswith("done=end")
    assert not at_home.reads()


def test_an_administrator(at_home: Home) -> None:
    """A7: an administrator sees what is masked"""
    operator = at_home.at.served().caller()
    at_home.document = operator.create(document(at_home.patient, "MASQUE_PS"))
    at_home.choose("allow", whom=at_home.role, section=["DOCUMENTS"], lasting="year")
    assert not at_home.reads()
    at_home.choose("allow", whom=at_home.role, section=["DOCUMENTS"], lasting="year", administrator="1")
    assert at_home.reads()


def test_blocking_and_unblocking(at_home: Home) -> None:
    """A5: a block takes the place of a permit, also in an emergency"""
    at_home.choose("allow", whom=at_home.role, section=["DOCUMENTS"], lasting="none")
    at_home.choose("block", whom=at_home.role)
    emergency = {"patient": at_home.patient, "mode": "bris_de_glace", "reason": "x"}
    assert not at_home.reads()
    assert not at_home.reads(**emergency)
    (consent,) = at_home.holder().get(f"Consent?patient={at_home.patient}&status=active")["entry"]
    at_home.choose("end", consent=consent["resource"]["id"])
    assert at_home.reads(**emergency)


@pytest.mark.parametrize(
    ("allowed", "seen"),
    [
        (["BTG", "ETREAT"], {"bris_de_glace", "centre_15"}),
        (["ETREAT"], {"centre_15"}),
        (["BTG"], {"bris_de_glace"}),
        ([], set()),
    ],
)
def test_the_choices_for_emergencies(at_home: Home, allowed: list[str], seen: set[str]) -> None:
    """A10, A11: the two oppositions are independent"""
    at_home.choose("emergency", allowed=allowed)
    modes = {
        mode
        for mode in ("bris_de_glace", "centre_15")
        if at_home.reads(patient=at_home.patient, mode=mode, reason="x", regulator=True)
    }
    assert modes == seen


def test_masked_documents_in_an_emergency_and_by_default(at_home: Home) -> None:
    """MASKED, and the visibility of new documents"""
    at_home.choose("documents", visibility="masked")
    depositor = at_home.at.served().caller("user/*.cruds", kind="professional", practitioner="other", profession="10")
    at_home.document = depositor.create(document(at_home.patient))
    emergency = {"patient": at_home.patient, "mode": "bris_de_glace", "reason": "x"}
    assert not at_home.reads(**emergency)
    at_home.choose("emergency", allowed=["BTG", "ETREAT", "MASKED"])
    assert at_home.reads(**emergency)
    at_home.choose("documents", visibility="visible")
    at_home.choose("emergency", allowed=["BTG", "ETREAT"])
    at_home.document = depositor.create(document(at_home.patient))
    assert at_home.reads(**emergency)


@pytest.mark.parametrize(
    "fields",
    [
        {"do": "allow", "whom": "Practitioner/none", "section": "DOCUMENTS", "lasting": "year"},
        {"do": "allow", "whom": "Patient/x", "section": "DOCUMENTS", "lasting": "year"},
        {"do": "allow", "section": "DOCUMENTS", "lasting": "for ever", "whom": "*"},
        {"do": "end", "consent": "of another"},
        {"do": "everything"},
    ],
)
def test_what_cannot_be_chosen_changes_nothing(at_home: Home, fields: dict[str, str]) -> None:
    """Whatever is posted"""
    fields = {"whom": at_home.role, **fields}
    assert at_home.choose(fields.pop("do"), **fields).endswith("wrong=1")
    assert "entry" not in at_home.holder().get(f"Consent?patient={at_home.patient}")


@pytest.mark.parametrize(
    ("changes", "headers"),
    [({"form": ""}, {}), ({"form": "0" * 64}, {}), ({}, {"Origin": "https://evil.example"})],
    ids=["no token", "another token", "another origin"],
)
def test_only_the_page_itself_chooses(at_home: Home, changes: dict[str, str], headers: dict[str, str]) -> None:
    """RFC 6749 s. 10.12; the token is of this record, too"""
    page = dom(at_home.person.get(f"/privacy?patient={at_home.patient}"))
    token = page.find(".//form[@method='post']/input[@name='form']").get("value")
    form = {"form": token, "patient": at_home.patient, "do": "block", "whom": at_home.role, **changes}
    assert at_home.person.post("/privacy", form, **headers).status_code == 403
    assert "entry" not in at_home.holder().get(f"Consent?patient={at_home.patient}")


def test_a_caregiver_decides_nothing(launches: Launching) -> None:
    """A4: a caregiver sees who has opened the record, and does not decide who does"""
    cares = home(launches, "caregiver")
    for path in ("/privacy", "/privacy/explain"):
        answer = cares.person.get(f"{path}?patient={cares.patient}")
        assert answer.status_code == 403
        assert "<form" not in answer.text
    assert cares.person.post("/privacy", {"patient": cares.patient, "do": "block"}).status_code == 403


def test_a_representative_decides_and_the_record_is_named(launches: Launching) -> None:
    """A4: a legal representative has the holder's rights; the record of a child is told apart"""
    parent = home(launches, "legal-representative")
    page = dom(parent.person.get("/privacy"))
    assert page.find(".//section[@class='record theirs']//h2").text == "Camille Durand"
    parent.choose("allow", whom=parent.role, section=["DOCUMENTS"], lasting="year")
    assert parent.reads()


def test_nobody_opens_what_is_not_theirs(launches: Launching, at_home: Home) -> None:
    """Another's record, a professional, and who is not signed in"""
    other = home(launches)
    for path in ("/privacy", "/privacy/explain", "/privacy/history", "/privacy/history.csv"):
        assert other.person.get(f"{path}?patient={at_home.patient}").status_code == 403
        assert browser(launches).get(path).status_code == 403
        nobody = launches.get(path)
        assert (nobody.status_code, nobody.headers["Location"]) == (303, "/sign-in?page=privacy")


def test_what_they_see_and_why(at_home: Home) -> None:
    """The page says what $explain-access says"""
    at_home.choose("allow", whom=at_home.role, section=["DOCUMENTS"], lasting="year")
    text = at_home.person.get(f"/privacy/explain?patient={at_home.patient}&whom={at_home.role}").text
    assert "Le titulaire a autorisé ce professionnel" in text
    assert "1 sur 1" in text
    other = at_home.person.get(f"/privacy/explain?patient={at_home.patient}&whom=10&mode=centre_15").text
    assert "Le médecin du SAMU" in other


def test_a_declared_permit_is_told_and_ended(at_home: Home) -> None:
    """A6; CSP R1111-46: notified in the same step, marked on the page, revocable there"""
    how = [{"url": "https://fhir-server.example/StructureDefinition/consent-collection", "valueCode": "oral"}]
    reference = f"Practitioner/{at_home.doctor}"
    declared = {**choice(at_home.patient, "access", to=(reference,)), "extension": how}
    made = at_home.caller().create({**declared, "performer": [{"reference": reference}]})
    account = at_home.person.session.subject.account
    messages = Outbox(at_home.at.database, at_home.at.clock).latest()
    (told,) = [one for one in messages if one.to == f"{account}@example.fr"]
    assert "Dr Anne Martin a déclaré votre accord" in told.subject
    assert f"/privacy?patient={at_home.patient}" in told.text
    assert "de vive voix" in told.text
    assert "Déclaré par un professionnel" in at_home.person.get("/privacy").text
    assert at_home.reads()
    at_home.choose("end", consent=made.partition("/")[2])
    assert not at_home.reads()
    refused = at_home.caller()("POST", "Consent", choice(at_home.patient, "access", to=(reference,)))
    assert refused.status_code == 403
    assert len(Outbox(at_home.at.database, at_home.at.clock).latest()) == len(messages)


def test_the_history_and_what_is_not_recognised(at_home: Home) -> None:
    """CSP R1111-43: who, when, why; a report is kept once, and waits for the operator"""
    caller = at_home.caller(patient=at_home.patient, mode="bris_de_glace", reason="Menace vitale : malaise")
    caller.get(at_home.document)
    page = dom(at_home.person.get(f"/privacy/history?patient={at_home.patient}"))
    card = page.find(".//article[@class='card access urgent']")
    assert "Menace vitale : malaise" in card.text_content()
    form = {each.get("name"): each.get("value") for each in card.findall(".//input[@type='hidden']")}
    reports = Reports(at_home.at.database, at_home.at.clock, Outbox(at_home.at.database, at_home.at.clock))
    for _ in range(2):
        answer = at_home.person.post("/privacy/history", {**form, "text": "Je ne connais pas"})
        assert answer.headers["Location"].endswith("done=reported")
    (report,) = [one for one in reports.due() if one["patient"] == at_home.patient]
    assert (report["event"], report["text"]) == (form["event"], "Je ne connais pas")
    assert "Vous avez signalé cet accès" in at_home.person.get("/privacy/history").text
    unknown = at_home.person.post("/privacy/history", {**form, "event": "none"})
    assert unknown.headers["Location"].endswith("done=unknown")
    reports.review(report["_id"], by="Nadia", note="appelée")
    assert [one for one in reports.due() if one["patient"] == at_home.patient] == []


def test_the_export_holds_no_formula(at_home: Home) -> None:
    """OWASP: CSV Injection"""
    caller = at_home.caller(patient=at_home.patient, mode="bris_de_glace", reason="=HYPERLINK(1)")
    caller.get(at_home.document)
    text = at_home.person.get(f"/privacy/history.csv?patient={at_home.patient}").data.decode("utf-8-sig")
    cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
    assert "'=HYPERLINK(1)" in cells
    assert [harmless(value)[0] for value in ("+1", "-1", "@a", "\tx")] == ["'"] * 4
