"""A professional names a patient: exactly, counted, recorded, and nothing to browse.

DMP TD0.2; rule A15 (a minor's secret care), A18 (exact identity); RNIV: identity traits
"""

from __future__ import annotations

import base64
import json
import re
import secrets
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any
from urllib.parse import parse_qs

import pytest
from pymongo import MongoClient
from werkzeug.test import TestResponse

from fhir_server.access import patient_lookup
from fhir_server.access.patient_lookup import INS, INS_OF_TESTS, SPACE, Found, Number, Traits
from fhir_server.smart.professionals import Pairs
from fhir_server.web.patient_search import FAILURES
from tests.calls import follow
from tests.professionals import SOFTWARE, Browser, Practice, practising

NUMBER, OTHER_NUMBER = "269054958815780", "284058832102532"
BORN = date(1969, 5, 12)


# --- what is asked


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (NUMBER, NUMBER),
        ("2 69 05 49 588 157 80", NUMBER),
        (" 269054958815780 ", NUMBER),
        ("253072A07300443", "253072A07300443"),
        ("2 53 07 2b 073 004 70", "253072B07300470"),
        ("269054958815781", None),
        ("2690549588157", None),
        ("26905495881578", None),
        ("2690549588157801", None),
        ("369054958815783", None),
        ("269154958815783", None),
        ("２69054958815780", None),
        ("*", None),
        ("", None),
        ("269054958815780,284058832102532", None),
        ("urn:oid:1.2.250.1.213.1.4.8|269054958815780", None),
    ],
)
def test_a_number_is_whole_and_its_key_is_right(text: str, number: str | None) -> None:
    """13 characters and `97 − (n mod 97)`, `2A` as 19 and `2B` as 18"""
    assert patient_lookup.number_of(text) == number
    expected = Number(number) if number else {"ins": "ins_wrong"}
    assert patient_lookup.read({"ins": text}, number=True) == expected


TRAITS = {"family": "Lefèvre", "birth_date": "1969-05-12", "sex": "female", "given": ""}


def test_traits() -> None:
    assert patient_lookup.read(TRAITS, number=False) == Traits("Lefèvre", BORN, "female")
    assert patient_lookup.read({**TRAITS, "given": " Anne "}, number=False) == Traits("Lefèvre", BORN, "female", "Anne")
    assert patient_lookup.read({**TRAITS, "birth_date": "12/05/1969"}, number=False) == Traits(
        "Lefèvre", BORN, "female"
    )


@pytest.mark.parametrize(
    ("changed", "wrong"),
    [
        ({"family": ""}, {"family": "family_missing"}),
        ({"family": " -'"}, {"family": "family_missing"}),
        ({"birth_date": ""}, {"birth_date": "birth_date_wrong"}),
        ({"birth_date": "1969"}, {"birth_date": "birth_date_wrong"}),
        ({"birth_date": "1969-05"}, {"birth_date": "birth_date_wrong"}),
        ({"birth_date": "1969-02-30"}, {"birth_date": "birth_date_wrong"}),
        ({"birth_date": "ge1969-01-01"}, {"birth_date": "birth_date_wrong"}),
        ({"sex": ""}, {"sex": "sex_missing"}),
        ({"sex": "other"}, {"sex": "sex_missing"}),
        ({"family": "", "sex": "*"}, {"family": "family_missing", "sex": "sex_missing"}),
    ],
)
def test_all_the_traits_are_needed(changed: dict[str, str], wrong: dict[str, str]) -> None:
    assert patient_lookup.read({**TRAITS, **changed}, number=False) == wrong


@pytest.mark.parametrize(
    ("today", "minor"),
    [(date(2026, 1, 1), True), (date(2029, 2, 16), True), (date(2029, 2, 17), False), (date(2040, 1, 1), False)],
)
def test_until_when_somebody_is_a_minor(today: date, minor: bool) -> None:
    """French Civil code, art. 414"""
    assert Found("p", "Nolan Lefèvre", date(2011, 2, 17)).is_minor(today) is minor
    assert not Found("p", "?", None).is_minor(today)


# --- who that is


def person(id: str = "anne", **changes: Any) -> dict[str, Any]:
    """Anne-Marie Lefèvre, born Le Goff."""
    return {
        "resourceType": "Patient",
        "id": id,
        "identifier": [{"system": INS[0], "value": NUMBER}],
        "name": [
            {"use": "official", "family": "Le Goff", "given": ["Anne-Marie", "Louise"]},
            {"use": "usual", "family": "Lefèvre", "given": ["Annie"]},
            {"use": "old", "family": "Martin"},
        ],
        "gender": "female",
        "birthDate": "1969-05-12",
        **changes,
    }


class Store:
    """Patients, found as a search would find at least: by what their names begin with."""

    def __init__(self, *patients: dict[str, Any]):
        self.patients = patients
        self.asked: list[Pairs] = []

    def find(self, type: str, pairs: Pairs) -> Sequence[dict[str, Any]]:
        assert type == "Patient"
        self.asked.append(pairs)
        named = dict(pairs)
        if "identifier" not in named:
            return self.patients
        wanted = named["identifier"].split(",")
        return [
            patient
            for patient in self.patients
            if any(f"{one['system']}|{one['value']}" in wanted for one in patient["identifier"])
        ]


@pytest.mark.parametrize(
    ("family", "given", "is_found"),
    [
        ("Lefèvre", None, True),
        ("LEFEVRE", None, True),
        ("le goff", None, True),
        ("LE-GOFF", None, True),
        ("Le  Goff", "Anne Marie", True),
        ("Le Goff", "ANNE-MARIE", True),
        ("Lefèvre", "Annie", True),
        ("Lefèvre", "Anne-Marie", True),
        ("Le Goff", "Anne", False),
        ("Le Goff", "Louise", False),
        ("Legoff", None, False),
        ("Le", None, False),
        ("Lef", None, False),
        ("Martin", None, False),
        ("Goff", None, False),
        ("Le Goff Lefèvre", None, False),
    ],
)
def test_a_whole_name_in_force(family: str, given: str | None, is_found: bool) -> None:
    """Whatever the accents, the case and the marks; never a part of it, nor a name of before"""
    found = patient_lookup.find(Traits(family, BORN, "female", given), Store(person()).find, tests=False)
    assert found == (Found("anne", "Anne-Marie Le Goff", BORN) if is_found else "nobody")


@pytest.mark.parametrize(("born", "sex"), [(date(1969, 5, 13), "female"), (BORN, "male"), (BORN, "unknown")])
def test_the_other_traits_are_exact(born: date, sex: str) -> None:
    assert patient_lookup.find(Traits("Lefèvre", born, sex), Store(person()).find, tests=False) == "nobody"


@pytest.mark.parametrize("born", ["1969", "1969-05"])
def test_a_birth_date_that_is_known_in_part_is_not_it(born: str) -> None:
    store = Store(person(birthDate=born))
    assert patient_lookup.find(Traits("Lefèvre", BORN, "female"), store.find, tests=False) == "nobody"


def test_several_are_not_told_apart() -> None:
    """The INS does; nothing of either is said"""
    twin = person("twin", name=[{"use": "official", "family": "Le Goff", "given": ["Rose"]}])
    store = Store(person(), twin)
    assert patient_lookup.find(Traits("Le Goff", BORN, "female"), store.find, tests=False) == "several"
    found = patient_lookup.find(Traits("Le Goff", BORN, "female", "Rose"), store.find, tests=False)
    assert found == Found("twin", "Rose Le Goff", BORN)


def space(status: str) -> dict[str, Any]:
    """Where the space stands."""
    return {"extension": [{"url": SPACE, "extension": [{"url": "status", "valueCode": status}]}]}


@pytest.mark.parametrize(
    ("changes", "is_open"),
    [
        ({}, True),
        (space("open"), True),
        (space("not-activated"), True),
        (space("opposed"), False),
        (space("closed"), False),
        ({"active": False}, False),
    ],
)
def test_a_space_that_is_not_open_cannot_be_told_from_none(changes: dict[str, Any], is_open: bool) -> None:
    """rule A1"""
    for asked in (Number(NUMBER), Traits("Lefèvre", BORN, "female")):
        found = patient_lookup.find(asked, Store(person(**changes)).find, tests=False)
        assert (found == "nobody") is not is_open


@pytest.mark.parametrize("system", [*INS, *INS_OF_TESTS])
@pytest.mark.parametrize("tests", [False, True])
def test_people_who_do_not_exist_are_found_where_they_may(system: str, tests: bool) -> None:
    """Test and demonstration numbers have systems of their own"""
    store = Store(person(identifier=[{"system": system, "value": NUMBER}]))
    found = patient_lookup.find(Number(NUMBER), store.find, tests=tests)
    assert isinstance(found, Found) is (system in INS or tests)


def test_the_number_of_something_else() -> None:
    store = Store(person(identifier=[{"system": "urn:oid:1.2.250.1.213.1.4.2", "value": NUMBER}]))
    assert patient_lookup.find(Number(NUMBER), store.find, tests=True) == "nobody"


# --- the page


@pytest.fixture(scope="module")
def practice(mongodb_client: MongoClient[dict[str, Any]]) -> Iterator[Practice]:
    name = f"test_{secrets.token_hex(8)}"
    with practising(mongodb_client, name) as made:
        made.knows("helene.lemoine")
        put = made.at.served().caller()
        other = [{"system": "urn:example:files", "value": "1"}]
        child = {
            "birthDate": f"{made.at.clock().year - 10}-03-04",
            "gender": "male",
            "name": [{"family": "O’Brien-Petit"}],
        }
        two = {"identifier": other, "birthDate": "1990-01-01", "name": [{"family": "Durand"}]}
        for patient in (
            person(),
            person("opposed", identifier=[{"system": INS[0], "value": OTHER_NUMBER}], **space("opposed")),
            person("child", identifier=other, **child),
            person("one", **two),
            person("two", **two),
        ):
            assert put("PUT", f"Patient/{patient['id']}", patient).status_code == 201
        yield made
    mongodb_client.drop_database(name)


class Searching:
    """Dr Hélène Lemoine at the page."""

    def __init__(self, practice: Practice, **given: str):
        self.practice = practice
        software = practice.at.register(audience="professional", scope=SOFTWARE)
        self.name = practice.at.launch(software, **given).begin().headers["Location"].rpartition("/")[2]
        self.browser: Browser = practice.browser()
        self.browser.sign_in(f"?request={self.name}")
        self.address = f"/authorize/{self.name}/patient"
        self.page = self.browser.get(self.address)
        assert self.page.status_code == 200, self.page.text

    def by_number(self, number: str) -> TestResponse:
        """The answer to an INS."""
        return self.browser.send(self.address, self.page, by="number", ins=number)

    def by_traits(self, family: str, birth_date: str, sex: str, **more: str) -> TestResponse:
        """The answer to identity traits."""
        traits = {"family": family, "birth_date": birth_date, "sex": sex, **more}
        return self.browser.send(self.address, self.page, by="traits", **traits)

    @property
    def request(self) -> Any:
        """What is kept of the authorization request."""
        return self.practice.at.smart.authorization.find(self.name, self.browser.session)


@pytest.fixture
def searching(practice: Practice) -> Searching:
    practice.at.database["_rates"].delete_many({})
    return Searching(practice)


def test_found_and_opened(searching: Searching) -> None:
    for answer in (
        searching.by_number("2 69 05 49 588 157 80"),
        searching.by_traits("lefevre", "1969-05-12", "female"),
        searching.by_traits("LE GOFF", "12/05/1969", "female", given="anne marie"),
    ):
        assert answer.status_code == 200
        assert answer.headers["Cache-Control"] == "no-store"
        assert "Anne-Marie Le Goff" in answer.text
        assert "12/05/1969" in answer.text
        assert NUMBER not in answer.text
    assert searching.request.patient is None
    opened = searching.browser.send(searching.address, answer)
    assert opened.status_code == 303
    assert opened.headers["Location"] == f"/authorize/{searching.name}"
    assert (searching.request.patient, searching.request.display) == ("anne", "Anne-Marie Le Goff")
    assert searching.request.secret is False


def consent(to: str, **changes: Any) -> dict[str, Any]:
    """A permit of Anne-Marie Le Goff for whom the reference names."""
    role = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "PRCP"}]}
    return {
        "resourceType": "Consent",
        "id": "permit",
        "status": "active",
        "scope": {
            "coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]
        },
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "patient": {"reference": "Patient/anne"},
        "policyRule": {"text": "CSP R1111-46"},
        "provision": {"type": "permit", "actor": [{"role": role, "reference": {"reference": to}}]},
        **changes,
    }


@pytest.mark.parametrize(
    ("to", "changes", "authorised"),
    [
        (None, {}, False),
        ("Practitioner/helene.lemoine", {}, True),
        ("Organization/370099027", {}, True),
        ("Practitioner/somebody", {}, False),
        ("Practitioner/helene.lemoine", {"status": "inactive"}, False),
    ],
)
def test_whether_access_is_authorised(
    searching: Searching, to: str | None, changes: dict[str, str], authorised: bool
) -> None:
    """DMP TD0.2: existence and conditions of access"""
    caller = searching.practice.at.served().caller()
    if to:
        answer = caller("PUT", "Consent/permit", consent(to, **changes))
        assert answer.status_code in (200, 201), answer.text
    shown = searching.by_number(NUMBER).text
    assert ("recueillez l’accord" not in shown) is authorised
    caller("DELETE", "Consent/permit")


@pytest.mark.parametrize("spelt", ["O'Brien-Petit", "o’brien petit", "O Brien Petit"])
def test_names_with_marks(searching: Searching, spelt: str) -> None:
    born = f"{searching.practice.at.clock().year - 10}-03-04"
    assert 'name="patient" value="child"' in searching.by_traits(spelt, born, "male").text


@pytest.mark.parametrize("family", ["*", "L", "", "%", ".*", "Lefèvre,Durand", "Lefèvre|", "$", "\\", "{}", "a\0b"])
def test_nothing_to_browse(searching: Searching, family: str) -> None:
    answer = searching.by_traits(family, "1969-05-12", "female")
    assert answer.status_code in (200, 422)
    assert "Le Goff" not in answer.text
    assert 'name="patient"' not in answer.text


def test_who_opposed_cannot_be_told_from_who_is_not_there(searching: Searching) -> None:
    """rule A1; the answer to both is the same to the letter"""

    def same(answer: TestResponse) -> str:
        return re.sub(r'value="[^"]*"', "", answer.text)

    nobody = "269054958815783"[:13]
    unknown = f"{nobody[:-1]}8"
    key = f"{97 - int(unknown) % 97:02d}"
    opposed = searching.by_number(OTHER_NUMBER)
    absent = searching.by_number(unknown + key)
    assert opposed.status_code == absent.status_code == 200
    assert same(opposed) == same(absent)


def test_several(searching: Searching) -> None:
    answer = searching.by_traits("Durand", "1990-01-01", "female")
    assert answer.status_code == 200
    assert "Plusieurs personnes" in answer.text
    assert 'name="patient"' not in answer.text


def test_what_is_wrong_is_said_beside_it(searching: Searching) -> None:
    answer = searching.by_traits("Lefèvre", "1969", "")
    assert answer.status_code == 422
    for field in ("birth_date", "sex-female"):
        assert f'href="#{field}"' in answer.text
        assert f'id="{field}"' in answer.text
    assert 'value="Lefèvre"' in answer.text
    assert searching.by_number("269054958815781").status_code == 422


def test_only_who_was_found_can_be_opened(searching: Searching) -> None:
    """The page that found the patient is the only one to name the patient: no id can be put in its place"""
    answer = searching.by_number(NUMBER)
    for other in ("opposed", "child", "one"):
        assert searching.browser.send(searching.address, answer, patient=other).status_code == 403
    assert searching.browser.send(searching.address, searching.page, patient="anne").status_code == 422
    second = Searching(searching.practice)
    assert second.browser.send(second.address, answer).status_code == 403
    assert searching.request.patient is None
    assert second.request.patient is None


def test_the_form_is_of_this_page(searching: Searching) -> None:
    """Cross-site request forgery"""
    assert searching.browser.send(searching.address, None, by="number", ins=NUMBER).status_code == 403


def test_failures_are_counted_and_who_has_many_waits(searching: Searching) -> None:
    """DMP: an identity search is no way to list people; a search that finds somebody does not count"""
    for _ in range(FAILURES.amount + 5):
        assert searching.by_number(NUMBER).status_code == 200
    for _ in range(FAILURES.amount):
        assert searching.by_traits("Nobody", "1969-05-12", "female").status_code == 200
    for answer in (searching.by_traits("Nobody", "1969-05-12", "female"), searching.by_number(NUMBER)):
        assert answer.status_code == 429
        assert 0 < int(answer.headers["Retry-After"]) <= 3600
        assert "Le Goff" not in answer.text
    # It is the professional who waits, in whichever browser and with whichever software.
    assert Searching(searching.practice).by_number(NUMBER).status_code == 429


def test_failures_at_the_same_time_are_all_counted(searching: Searching) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(
                lambda _: Searching.by_traits(searching, "Nobody", "1969-05-12", "female").status_code,
                range(FAILURES.amount + 10),
            )
        )
    assert answers.count(200) == FAILURES.amount
    assert answers.count(429) == 10


def events(practice: Practice) -> list[dict[str, Any]]:
    """The AuditEvents of searches on this page, by the time of their making."""
    follow(practice.at.database.client, practice.at.database.name)
    kept = practice.at.database["AuditEvent"].find({}, {"body": 1}).sort("_id")
    found = [json.loads(document["body"]) for document in kept]
    return [event for event in found if event.get("outcomeDesc", "").startswith("patient lookup")]


def test_each_search_is_recorded_found_or_not(searching: Searching) -> None:
    """CSP R1111-43; rule A17: by whom, what was asked, and in whose record the answer is to be read"""
    before = len(events(searching.practice))
    searching.by_number(NUMBER)
    searching.by_traits("Nobody", "1969-05-12", "female")
    found, nobody = events(searching.practice)[before:]
    for event in (found, nobody):
        assert event["agent"][0]["who"]["reference"] == "Practitioner/helene.lemoine"
    assert "Patient/anne" in json.dumps(found["entity"])
    assert (found["outcome"], nobody["outcome"]) == ("0", "4")
    assert "Patient/" not in json.dumps([one.get("what", {}) for one in nobody["entity"]])
    asked = base64.b64decode(next(one["query"] for one in nobody["entity"] if "query" in one)).decode()
    assert parse_qs(asked.partition("?")[2])["family"] == ["Nobody"]


def test_a_secret_session_of_a_minor(searching: Searching) -> None:
    """rule A15; CSP R1111-50"""
    born = f"{searching.practice.at.clock().year - 10}-03-04"
    answer = searching.by_traits("O'Brien-Petit", born, "male")
    assert 'name="secret"' in answer.text
    searching.browser.send(searching.address, answer, secret="yes")
    assert (searching.request.patient, searching.request.secret) == ("child", True)


def test_there_is_no_secret_session_of_an_adult(searching: Searching) -> None:
    answer = searching.by_number(NUMBER)
    assert 'name="secret"' not in answer.text
    searching.browser.send(searching.address, answer, secret="yes")
    assert (searching.request.patient, searching.request.secret) == ("anne", False)


def test_the_same_under_an_emergency_mode(practice: Practice) -> None:
    """B8: wildcards find nobody, and the searches that find nobody are counted"""
    practice.at.database["_rates"].delete_many({})
    software = practice.at.register(audience="professional", scope=f"{SOFTWARE} __bris_de_glace")
    name = practice.at.launch(software).begin().headers["Location"].rpartition("/")[2]
    browser = practice.browser()
    browser.sign_in(f"?request={name}")
    page = browser.get(f"/authorize/{name}/patient")
    assert (
        "Le Goff" not in browser.send(f"/authorize/{name}/patient", page, by="traits", family="L*", sex="female").text
    )
    assert browser.send(f"/authorize/{name}/patient", page, by="number", ins=NUMBER).status_code == 200
