"""Emergency access as a whole: who is let in, into what, for how long, who is told, and who looks at it afterwards.

rule A5, A10 to A12; threats B1 to B8; CSP L1111-17; DICOM PS3.16 CID 401: 110127, 110138
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from werkzeug.test import TestResponse

from fhir_server.access.emergency import reasons
from fhir_server.access.patient_lookup import SPACE
from fhir_server.smart.emergencies import COLLECTION, Access, NotOpened
from tests.browsing import Browser, browser
from tests.build import entry, observation, transaction
from tests.calls import Caller
from tests.launches import ISSUER, Launch, Launching, answered
from tests.spec.test_rules import choice, document

SCOPE = "openid fhirUser launch/patient user/*.cruds patient/*.cruds offline_access online_access"
WORDS = {"bris_de_glace": "__bris_de_glace", "centre_15": "__centre_15"}
PURPOSES = {"bris_de_glace": "BTG", "centre_15": "ETREAT"}
WHY = "Arrêt cardiaque"


@pytest.fixture(autouse=True)
def _on_time(launches: Launching) -> Iterator[None]:
    """Whatever a test does with the clock, the next finds it right."""
    yield
    launches.clock.ahead = timedelta()


@dataclass
class Doctor:
    """A professional at a browser, with a software that may ask for both modes."""

    at: Launching
    name: str
    facts: dict[str, Any]
    browser: Browser = field(init=False)
    launch: Launch = field(init=False)

    def __post_init__(self) -> None:
        scope = f"{SCOPE} {' '.join(WORDS.values())}"
        self.client = self.at.register(audience="professional", scope=scope)
        self.signs_in()

    def signs_in(self) -> None:
        """Signed in, just now."""
        self.browser = browser(self.at)
        subject = self.browser.session.subject
        assert subject
        changed = type(subject)(
            **(vars(subject) | {"sub": f"psc-{self.name}", "practitioner": self.name, **self.facts})
        )
        secret, self.browser.session = self.at.kept.sessions.rotate(self.browser.session, subject=changed)
        self.browser.http.set_cookie("session", secret, domain="fhir.test")

    def page(self, patient: str, mode: str = "bris_de_glace", **given: Any) -> tuple[str, TestResponse]:
        """The path of the page that asks why, once the patient is named; and its answer."""
        scope = given.pop("scope", f"{SCOPE} {WORDS[mode]}")
        self.launch = self.at.launch(self.client, self.browser.session, scope=scope, **given)
        asked = self.launch.asked()
        if self.at.smart.authorization.step(asked, self.browser.session) == "patient":
            self.at.smart.authorization.choose_patient(asked, self.browser.session, patient, display="Anne Le Goff")
        path = f"/authorize/{asked.id}/emergency"
        return path, self.browser.get(path)

    def declare(self, patient: str, mode: str = "bris_de_glace", **form: str) -> TestResponse:
        """The answer to the form of that page."""
        path, page = self.page(patient, mode)
        assert page.status_code == 200, page.headers.get("Location")
        (token,) = re.findall(r'name="form" value="([^"]+)"', page.text)
        return self.browser.post(path, {"form": token, "code": "life-threat", "text": WHY, "decision": "open", **form})

    def code(self, patient: str, mode: str = "bris_de_glace", **form: str) -> str:
        """The code that comes back to the software."""
        answer = self.declare(patient, mode, **form)
        assert answer.status_code == 303, answer.text
        back = answered(self.browser.get(answer.headers["Location"]).headers["Location"])
        assert "code" in back, back
        return back["code"]

    def opens(self, patient: str, mode: str = "bris_de_glace", **form: str) -> dict[str, Any]:
        """The answer of the token endpoint."""
        answer = self.launch_of(self.code(patient, mode, **form))
        assert answer.status_code == 200, answer.text
        return dict(answer.json)

    def launch_of(self, code: str) -> TestResponse:
        """The token endpoint, asked with a code of this launch."""
        return self.launch.redeem(code)

    def caller(self, patient: str, mode: str = "bris_de_glace") -> Caller:
        """Who holds the token of an access to this record."""
        return self.at.caller(self.opens(patient, mode)["access_token"])

    def accesses(self) -> list[Access]:
        """Those of this professional, the latest first."""
        return [one for one in emergencies(self.at).queue(everything=True) if one.actor.practitioner == self.name]


def doctor(at: Launching, **facts: Any) -> Doctor:
    """One whom nobody knows yet."""
    return Doctor(at, f"d-{secrets.token_hex(6)}", {"name": "Dr Urgence", "profession": "10", **facts})


def regulator(at: Launching) -> Doctor:
    """One whose right to regulate calls the identity provider asserts."""
    return doctor(at, regulator=True)


def emergencies(at: Launching) -> Any:
    """Those of the application."""
    return at.smart.emergencies


def patient(at: Launching, **resource: Any) -> str:
    """The id of a new Patient."""
    return at.served().caller().create({"resourceType": "Patient", **resource}).partition("/")[2]


def choose(at: Launching, record: str, kind: str, type: str = "permit", to: tuple[str, ...] = ()) -> None:
    """The holder says so."""
    at.served().caller("patient/*.cruds", patient=record).create(choice(record, kind, type, to))


def events(at: Launching, record: str | None = None, **match: str) -> list[dict[str, Any]]:
    """The AuditEvents in this record, or all, by the code of their subtype."""
    query = f"AuditEvent?_count=1000{f'&patient=Patient/{record}' if record else ''}"
    answer = at.served().caller()("GET", query + "".join(f"&{name}={value}" for name, value in match.items()))
    assert answer.status_code == 200, answer.text
    return [one["resource"] for one in answer.json.get("entry", ())]


def written(at: Launching, to: str) -> list[Any]:
    """The messages to an address that wait to leave."""
    return [*at.database["_outbox"].find({"to": to, "state": "waiting"})]


def error(answer: TestResponse) -> str:
    """The error that the software is told."""
    assert answer.status_code == 303
    return answered(answer.headers["Location"])["error"]


# --- B1: who, and why


@pytest.mark.parametrize("profession", ["10", "21", "40", "50", "60", "70", "80"])
def test_any_care_profession_breaks_the_glass(launches: Launching, profession: str) -> None:
    """A10"""
    found = doctor(launches, profession=profession).opens(patient(launches))
    assert found["__mode"] == "bris_de_glace"


@pytest.mark.parametrize(
    ("facts", "mode"),
    [
        ({"profession": None}, "bris_de_glace"),
        ({"profession": "35"}, "bris_de_glace"),
        ({"profession": "36"}, "bris_de_glace"),
        ({"profession": "10"}, "centre_15"),
        ({"profession": "35", "regulator": True}, "centre_15"),
        ({"practitioner": None}, "bris_de_glace"),
    ],
    ids=str,
)
def test_who_has_no_right_is_not_asked_why(launches: Launching, facts: dict[str, Any], mode: str) -> None:
    """B1, B7; A10, A11: the software is told, the attempt recorded"""
    someone = doctor(launches, **facts)
    before = len(events(launches, outcome="4"))
    someone.launch = launches.launch(someone.client, someone.browser.session, scope=f"{SCOPE} {WORDS[mode]}")
    answer = someone.browser.get(f"/authorize/{someone.launch.request_id()}")
    assert error(answer) == "access_denied"
    assert someone.accesses() == []
    assert len(events(launches, outcome="4")) == before + 1


@pytest.mark.parametrize(
    ("form", "field"),
    [
        ({"code": ""}, "code-1"),
        ({"code": "curiosity"}, "code-1"),
        ({"code": "regulated-call"}, "code-1"),
        ({"text": ""}, "text"),
        ({"text": " \n\t "}, "text"),
        ({"text": ".."}, "text"),
        ({"text": "x" * 3000}, "text"),
    ],
    ids=str,
)
def test_a_reason_is_a_code_and_words(launches: Launching, form: dict[str, str], field: str) -> None:
    """B1: blank reason 400; WCAG 2.2 s. 3.3.1"""
    answer = doctor(launches).declare(patient(launches), **form)
    assert answer.status_code == 400
    assert f'href="#{field}"' in answer.text


def test_the_law_stands_before_the_button(launches: Launching) -> None:
    """Homologation DMP EX_0.2-1050: an explicit act; who it is, whose record, what follows"""
    path, page = doctor(launches).page(patient(launches))
    for said in (
        "L.\u00a01111\u201117",
        "Anne Le Goff",
        "Dr Urgence",
        "lecture seule",
        "médecin traitant",
        "30 minutes",
    ):
        assert said in page.text
        assert page.text.index(said) < page.text.index("<button")
    assert "no-store" in page.headers["Cache-Control"]
    assert {one.code for one in reasons("bris_de_glace")} == set(
        re.findall(r'name="code".*?value="([^"]+)"', page.text)
    )


def test_an_old_sign_in_is_no_sign_in(launches: Launching) -> None:
    """B1, A10: within five minutes, at the page and at the form"""
    record, someone = patient(launches), doctor(launches)
    path, page = someone.page(record)
    (token,) = re.findall(r'name="form" value="([^"]+)"', page.text)
    launches.clock.ahead = timedelta(minutes=5, seconds=5)
    late = someone.browser.post(path, {"form": token, "code": "life-threat", "text": WHY, "decision": "open"})
    assert late.headers["Location"].endswith(path.removesuffix("/emergency"))
    assert "/sign-in?request=" in someone.browser.get(late.headers["Location"]).headers["Location"]
    assert someone.accesses() == []


def test_a_form_of_another_page_opens_nothing(launches: Launching) -> None:
    """OWASP ASVS 5.0: 3.5.1; the page of consent is no way round"""
    record, someone = patient(launches), doctor(launches)
    path, page = someone.page(record)
    sent = {"code": "life-threat", "text": WHY, "decision": "open"}
    assert someone.browser.post(path, {**sent, "form": "x"}).status_code == 403
    (token,) = re.findall(r'name="form" value="([^"]+)"', page.text)
    assert someone.browser.post(path, {**sent, "form": token}, Origin="https://evil.example").status_code == 403
    consent = someone.browser.get(path.replace("/emergency", "/consent"))
    assert consent.headers["Location"].endswith(path.removesuffix("/emergency"))
    onward = someone.browser.get(consent.headers["Location"])
    assert onward.headers["Location"].endswith(path)
    assert someone.accesses() == []


def test_who_gives_up_opens_nothing(launches: Launching) -> None:
    """RFC 6749 s. 4.1.2.1"""
    record, someone = patient(launches), doctor(launches)
    assert error(someone.declare(record, decision="give-up", code="", text="")) == "access_denied"
    assert someone.accesses() == []


# --- B2: one record, read only, for a while


def test_the_token_says_what_it_is(launches: Launching) -> None:
    """A10; SMART 2.2 app-launch.html#response-5: names of our own begin with two underscores"""
    record = patient(launches)
    found = doctor(launches).opens(record)
    said = {name: found.get(name) for name in ("patient", "need_patient_banner", "__mode", "__reason")}
    assert said == {
        "patient": record,
        "need_patient_banner": True,
        "__mode": "bris_de_glace",
        "__reason": "life-threat",
    }
    assert "refresh_token" not in found
    assert 0 < found["expires_in"] <= 1800
    words = set(found["scope"].split())
    assert {"user/*.rs", "patient/*.rs", "__bris_de_glace"} <= words
    assert not words & {"offline_access", "online_access", "user/*.cruds"}


def test_nothing_widens_it(launches: Launching) -> None:
    """B2: another patient, write, bulk, refresh"""
    record, other = patient(launches), patient(launches)
    operator = launches.served().caller()
    report, elsewhere = operator.create(document(record)), operator.create(document(other))
    someone = doctor(launches)
    found = someone.opens(record)
    caller = launches.caller(found["access_token"])
    assert caller("GET", report).status_code == 200
    assert caller("GET", elsewhere).status_code == 404
    assert caller("GET", f"Patient/{other}").status_code == 404
    assert caller("GET", f"Patient/{other}/$everything").status_code == 404
    listed = caller("GET", "DocumentReference?_count=100").json
    assert [one["resource"]["id"] for one in listed["entry"]] == [report.partition("/")[2]]
    writes = [
        ("POST", "Observation", observation(record)),
        ("POST", "DocumentReference", document(record)),
        ("PUT", report, {**caller.get(report), "description": "x"}),
        ("DELETE", report, None),
        ("POST", "Consent", choice(record, "access", to=(f"Practitioner/{someone.name}",))),
        ("POST", "", transaction(entry("POST", "Observation", observation(record)))),
    ]
    for method, path, body in writes:
        assert caller(method, path, body).status_code == 403, (method, path)
    again = someone.launch.refresh(found["access_token"])
    assert (again.status_code, again.json["error"]) == (400, "invalid_grant")


@pytest.mark.parametrize("scope", ["user/*.cud __bris_de_glace", "openid __bris_de_glace"])
def test_a_scope_that_reads_nothing_is_none(launches: Launching, scope: str) -> None:
    """B2: read only"""
    someone = doctor(launches)
    launch = launches.launch(someone.client, someone.browser.session, scope=scope)
    assert error(launch.begin()) == "invalid_scope"


def test_it_is_dead_at_its_end_with_its_page_links(launches: Launching) -> None:
    """B2: paging links end with it; 110138 is recorded once, however many look"""
    record = patient(launches)
    for _ in range(3):
        launches.served().caller().create(document(record))
    someone = doctor(launches)
    caller = someone.caller(record)
    page = caller("GET", "DocumentReference?_count=1").json
    (following,) = [link["url"] for link in page["link"] if link["relation"] == "next"]
    (access,) = someone.accesses()
    assert timedelta(minutes=29) < access.until - access.started_at <= timedelta(minutes=30)
    launches.clock.ahead = timedelta(minutes=31)
    assert caller("GET", following).status_code == 401
    assert caller("GET", "DocumentReference").status_code == 401
    with ThreadPoolExecutor(4) as at_once:
        list(at_once.map(lambda _: emergencies(launches).tick(), range(4)))
    (ended,) = someone.accesses()
    assert (ended.ended_by, ended.ended_at) == ("expired", access.until)
    (stop,) = events(launches, record, subtype="110138")
    assert stop["agent"][0]["altId"] == access.id
    assert emergencies(launches).tick() == 0


def test_given_back_it_ends_at_once(launches: Launching) -> None:
    """RFC 7009; 110138 by who ends it"""
    record, someone = patient(launches), doctor(launches)
    token = someone.opens(record)["access_token"]
    form = {"token": token, "client_id": someone.client.client_id}
    for _ in range(2):
        assert launches.post("/oauth/revoke", form).status_code == 200
    assert launches.caller(token)("GET", f"Patient/{record}").status_code == 401
    assert len(events(launches, record, subtype="110138")) == 1
    assert someone.accesses()[0].ended_by == "given back"


@pytest.mark.parametrize("how", ["session", "client", "replay"])
def test_it_ends_with_what_it_was_opened_on(launches: Launching, how: str) -> None:
    """RFC 9700 s. 2.1.1; A13: sign-out, suspension, a code that comes twice: and what is over does not come back"""
    record, someone = patient(launches), doctor(launches)
    code = someone.code(record)
    token = someone.launch_of(code).json["access_token"]
    if how == "session":
        launches.kept.sessions.end(someone.browser.session.id)
    elif how == "client":
        launches.kept.clients.suspend(someone.client.client_id)
    else:
        assert someone.launch_of(code).status_code == 400
    assert launches.caller(token)("GET", f"Patient/{record}").status_code == 401
    emergencies(launches).tick()
    assert someone.accesses()[0].ended_by == "ended"
    assert len(events(launches, record, subtype="110138")) == 1
    if how == "client":
        launches.kept.clients.resume(someone.client.client_id)
        assert launches.caller(token)("GET", f"Patient/{record}").status_code == 401


def test_of_two_at_once_one_opens(launches: Launching) -> None:
    """Parallel grants: one decision a request, one token a code"""
    record, someone = patient(launches), doctor(launches)
    answer = someone.declare(record)
    with ThreadPoolExecutor(4) as at_once:
        went = list(at_once.map(lambda _: someone.browser.get(answer.headers["Location"]), range(4)))
    codes = [found["code"] for one in went if one.status_code == 303 and "code" in (found := answered(one.location))]
    assert len(codes) == 1
    with ThreadPoolExecutor(4) as at_once:
        got = list(at_once.map(lambda _: someone.launch_of(codes[0]).status_code, range(4)))
    assert sorted(got)[0] in (200, 400) and got.count(200) <= 1
    assert len(someone.accesses()) <= 1


# --- B3, A5: opposed, blocked, closed


@pytest.mark.parametrize("opposed", [(), ("BTG",), ("ETREAT",), ("BTG", "ETREAT")], ids=str)
@pytest.mark.parametrize("mode", list(PURPOSES))
def test_each_opposition_is_of_its_own_mode(launches: Launching, mode: str, opposed: tuple[str, ...]) -> None:
    """B3, A11: the two oppositions are independent, and both default to allowed"""
    record, someone = patient(launches), regulator(launches)
    for kind in opposed:
        choose(launches, record, kind, "deny")
    answer = someone.declare(record, mode, code="life-threat")
    if PURPOSES[mode] in opposed:
        assert answer.status_code == 403
        assert someone.accesses() == []
    else:
        assert answer.status_code == 303


def test_what_stands_against_it_is_not_told(launches: Launching) -> None:
    """A5, A1, B3: an opposition, a block and a closed space look the same; each attempt is recorded"""
    opposed, blocked = patient(launches), patient(launches)
    status = {"url": "status", "valueCode": "closed"}
    closed = patient(launches, extension=[{"url": SPACE, "extension": [status]}])
    someone = doctor(launches)
    choose(launches, opposed, "BTG", "deny")
    choose(launches, blocked, "access", "deny", (f"Practitioner/{someone.name}",))
    said = set()
    for record in (opposed, blocked, closed):
        answer = someone.declare(record)
        assert answer.status_code == 403
        (leads_to,) = re.findall(r'class="button primary" href="([^"]+)"', answer.text)
        assert "error=access_denied" in leads_to
        said.add(re.sub(r'(href|value)="[^"]*"', "", answer.text))
        (refused,) = events(launches, record, outcome="4")
        assert refused["purposeOfEvent"][0]["coding"][0]["code"] == "BTG"
        assert WHY in refused["purposeOfEvent"][0]["text"]
    answer = someone.declare("nobody-at-all")
    said.add(re.sub(r'(href|value)="[^"]*"', "", answer.text))
    assert len(said) == 1
    assert someone.accesses() == []


def test_who_opposes_between_code_and_token_is_heard(launches: Launching) -> None:
    """B3: the choices are read in the transaction that opens the record"""
    record, someone = patient(launches), doctor(launches)
    code = someone.code(record)
    choose(launches, record, "BTG", "deny")
    answer = someone.launch_of(code)
    assert (answer.status_code, answer.json["error"]) == (400, "invalid_grant")
    assert someone.accesses() == []
    assert events(launches, record, subtype="110127") == []


def test_who_opposes_later_ends_the_reading(launches: Launching) -> None:
    """B3: at the next request"""
    record, someone = patient(launches), doctor(launches)
    report = launches.served().caller().create(document(record))
    caller = someone.caller(record)
    assert caller("GET", report).status_code == 200
    choose(launches, record, "BTG", "deny")
    assert caller("GET", report).status_code == 404


# --- B4: what stays hidden


def test_what_is_masked_stays_so(launches: Launching) -> None:
    """B4, A10: unless the holder said otherwise for emergencies; and the sections that no emergency opens"""
    record, someone = patient(launches), doctor(launches)
    operator = launches.served().caller()
    masked, weight = operator.create(document(record, "MASQUE_PS")), operator.create(observation(record))
    caller = someone.caller(record)
    assert caller("GET", masked).status_code == 404
    assert caller("GET", "DocumentReference?_summary=count").json["total"] == 0
    assert caller("GET", weight).status_code == 404
    choose(launches, record, "MASKED")
    assert caller("GET", masked).status_code == 200


# --- B5, A12: who is told


def test_all_that_belongs_to_it_is_kept_at_once(launches: Launching) -> None:
    """B5, A12: the token, the start, the notices; the mailer is not running, and they wait"""
    record = patient(launches)
    account = launches.person(record)
    address = f"{record}@example.fr"
    launches.database["_accounts"].update_one({"_id": account.id}, {"$set": {"email": address}})
    someone = doctor(launches, name="Dr Yann Kervella")
    someone.opens(record)
    (access,) = someone.accesses()
    (start,) = events(launches, record, subtype="110127")
    assert start["type"]["code"] == "110113"
    assert start["action"] == "E"
    assert start["purposeOfEvent"][0]["coding"][0]["code"] == "BTG"
    assert start["purposeOfEvent"][0]["text"] == f"Menace immédiate pour la vie : {WHY}"
    assert start["agent"][0]["altId"] == access.id
    (message,) = written(launches, address)
    assert "Dr Yann Kervella" in message["text"]
    assert WHY not in message["text"] + message["subject"]
    assert {"whom": "holder", "channel": "email", "message": message["_id"]} in [dict(one) for one in access.notices]
    assert emergencies(launches).of_patient(record) == (access,)


def test_the_holder_sees_it_on_signing_in(launches: Launching) -> None:
    """B5: on top of the own page, with the words that the professional typed"""
    record = patient(launches)
    account = launches.person(record)
    doctor(launches, name="Dr Yann Kervella").opens(record, text="Chute <b>dans</b> l'escalier")
    page = browser(launches, account).get("/account")
    assert "Dr Yann Kervella a ouvert le dossier de The person (Bris de glace)." in page.text
    assert "Chute &lt;b&gt;dans&lt;/b&gt;" in page.text
    assert "Kervella" not in browser(launches, launches.person()).get("/account").text


def test_what_cannot_be_told_is_not_opened(launches: Launching, monkeypatch: pytest.MonkeyPatch) -> None:
    """B5: all of it or nothing"""
    record, someone = patient(launches), doctor(launches)
    code = someone.code(record)
    before = launches.database["_tokens"].count_documents({})

    def broken(*_: Any, **__: Any) -> Any:
        raise NotOpened("record")

    monkeypatch.setattr(type(emergencies(launches)._notices), "put", broken)
    assert someone.launch_of(code).status_code == 400
    assert launches.database["_tokens"].count_documents({}) == before
    assert someone.accesses() == []
    assert events(launches, record, subtype="110127") == []


def test_the_treating_doctor_is_told_and_no_more_than_needed(launches: Launching) -> None:
    """A12: by initials; not when that is who opens the record"""
    operator = launches.served().caller()
    treating = f"mt-{secrets.token_hex(4)}"
    address = f"{treating}@medecin.example"
    made = {"resourceType": "Practitioner", "id": treating, "telecom": [{"system": "email", "value": address}]}
    assert operator("PUT", f"Practitioner/{treating}", made).status_code == 201
    record = patient(
        launches,
        name=[{"use": "official", "family": "Le Goff", "given": ["Anne"]}],
        birthDate="1958-03-14",
        generalPractitioner=[{"reference": f"Practitioner/{treating}"}],
        telecom=[{"system": "phone", "value": "06 39 98 01 01"}],
    )
    doctor(launches).opens(record)
    (message,) = written(launches, address)
    assert "A. L. G." in message["text"] and "1958" in message["text"]
    assert "Le Goff" not in message["text"] + message["subject"]
    (to_holder,) = written(launches, "06 39 98 01 01")
    assert to_holder["channel"] == "sms"
    doctor(launches, practitioner=treating).opens(record)
    assert len(written(launches, address)) == 1


def test_who_cannot_be_written_to_is_not_forgotten(launches: Launching) -> None:
    """B5: a letter is due; the access says so"""
    record, someone = patient(launches), doctor(launches)
    someone.opens(record)
    assert [one["channel"] for one in someone.accesses()[0].notices] == [None]


def test_every_record_of_the_session_says_why_and_which(launches: Launching) -> None:
    """A10, A11, R4 auditevent.html: purposeOfEvent, and the session's id"""
    for mode, purpose in PURPOSES.items():
        record, someone = patient(launches), regulator(launches)
        caller = someone.caller(record, mode)
        assert caller("GET", f"Patient/{record}").status_code == 200
        assert caller("POST", "Observation", observation(record)).status_code == 403
        (access,) = someone.accesses()
        made = [
            event
            for event in events(launches)
            if event["agent"][0].get("who", {}).get("reference") == f"Practitioner/{someone.name}"
        ]
        assert len(made) >= 4
        assert {event["purposeOfEvent"][0]["coding"][0]["code"] for event in made} == {purpose}
        rest = [event for event in made if event["type"]["code"] == "rest" and event["agent"][0].get("altId")]
        assert {event["agent"][0]["altId"] for event in rest} == {access.id}


# --- B6: who looks at it


def test_more_than_five_in_an_hour_raise_an_alert(launches: Launching) -> None:
    """B6: the sixth, for the operator alone; an hour later it is the first again"""
    someone = doctor(launches)
    records = [patient(launches) for _ in range(6)]
    for record in records[:5]:
        someone.opens(record)
    assert not any(access.signs for access in someone.accesses())
    caller = someone.caller(records[5])
    latest, *_ = someone.accesses()
    assert latest.signs == ("many",)
    assert latest.review == {"state": "due"}
    alerts = [one for one in events(launches, subtype="110113") if latest.id in one.get("outcomeDesc", "")]
    (alert,) = alerts
    assert alert["type"]["code"] == "110113"
    assert caller("GET", f"AuditEvent/{alert['id']}").status_code == 404
    holder = launches.served().caller("patient/*.rs", patient=records[5])
    assert holder("GET", f"AuditEvent/{alert['id']}").status_code == 404
    another = patient(launches)
    launches.clock.ahead = timedelta(minutes=61)
    someone.signs_in()
    someone.opens(another)
    assert someone.accesses()[0].signs == ()


def test_those_at_the_same_time_are_all_counted(launches: Launching) -> None:
    """B6: six at once, one of them is the sixth"""
    someone = doctor(launches)
    waiting = []
    for _ in range(6):
        code = someone.code(patient(launches))
        waiting.append((someone.launch, code))
    with ThreadPoolExecutor(6) as at_once:
        got = list(at_once.map(lambda one: one[0].redeem(one[1]).status_code, waiting))
    assert got == [200] * 6
    assert sorted(access.signs for access in someone.accesses()) == [()] * 5 + [("many",)]


@pytest.mark.parametrize(
    ("changes", "signs"),
    [
        ({"name": [{"family": "LE-GOFF", "given": ["Anne"]}]}, ("same-family-name",)),
        ({"name": [{"family": "Morvan", "given": ["Anne"]}, {"use": "usual", "family": "Le Goff"}]}, ("own-record",)),
        ({"name": [{"family": "Le Goff", "given": ["Yann"]}]}, ("own-record",)),
        ({"address": [{"line": ["3, rue du Port"], "postalCode": "29200"}]}, ("same-address",)),
        ({"name": [{"family": "Morvan", "given": ["Yann"]}]}, ()),
    ],
    ids=str,
)
def test_relatives_and_neighbours_are_looked_at(
    launches: Launching, changes: dict[str, Any], signs: tuple[str, ...]
) -> None:
    """B6: the family name, the address, the own record; the access is open all the same"""
    someone = doctor(launches)
    known = {
        "resourceType": "Practitioner",
        "id": someone.name,
        "name": [{"family": "Le Goff", "given": ["Yann"]}],
        "address": [{"use": "home", "line": ["3 rue du port"], "postalCode": "29200"}],
    }
    assert launches.served().caller()("PUT", f"Practitioner/{someone.name}", known).status_code == 201
    if signs == ("own-record",) and len(changes["name"]) == 2:
        changes = {"name": [changes["name"][0] | {"given": ["Yann"]}, changes["name"][1]]}
    someone.opens(patient(launches, **changes))
    assert someone.accesses()[0].signs == signs


# --- B7: the purpose is the server's to say


@pytest.mark.parametrize("given", [{"purpose_of_use": "ERTREAT"}, {"claims": '{"id_token":{"purpose_of_use":null}}'}])
def test_what_a_client_claims_counts_for_nothing(launches: Launching, given: dict[str, str]) -> None:
    """B7: no parameter and no header makes a purpose"""
    record, someone = patient(launches), doctor(launches)
    report = launches.served().caller().create(document(record))
    launch = launches.launch(someone.client, someone.browser.session, scope="user/*.rs", **given)
    tokens = launch.tokens()
    assert "__mode" not in tokens
    caller = launches.caller(tokens["access_token"])
    headers = {"X-Purpose-Of-Use": "ERTREAT", "purpose_of_use": "BTG"}
    assert caller("GET", report, None, **headers).status_code == 404
    assert someone.accesses() == []


# --- the record of a token's making


def test_there_is_no_other_way_to_such_a_token(launches: Launching) -> None:
    """A12: neither without a reason, nor for longer"""
    record, someone = patient(launches), doctor(launches)
    someone.opens(record)
    actor = someone.accesses()[0].actor
    tokens = launches.smart.kept.tokens
    for changed, lifetime in (({"reason": None}, 60), ({}, 3601)):
        with pytest.raises(NotOpened):
            tokens.issue(type(actor)(**(vars(actor) | changed)), "user/*.rs", timedelta(seconds=lifetime))
    assert launches.database[COLLECTION].count_documents({"actor.practitioner": someone.name}) == 1


def test_introspection_says_the_mode(launches: Launching) -> None:
    """RFC 7662: what the token response said"""
    record, someone = patient(launches), doctor(launches)
    token = someone.opens(record)["access_token"]
    kept = launches.kept.tokens.find(token)
    assert kept and json.loads(json.dumps(kept["context"]))["__mode"] == "bris_de_glace"
    assert ISSUER in kept["audience"]
