"""Patient/$lookup-record: exact traits in; existence and access out, and nothing else.

DMP TD0.2; rule A5, A6, A17, A18; CSP R1111-43
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from pymongo import MongoClient
from werkzeug.test import TestResponse

from fhir_server.access.patient_lookup import INS, INS_OF_TESTS, SPACE
from fhir_server.accounts.lookups import FAILURES
from tests.calls import Caller, Served, serve
from tests.spec.test_rules import Doctor, choice, doctor

NUMBER, OTHER_NUMBER, UNKNOWN_NUMBER = "269054958815780", "284058832102532", "253072A07300443"


@pytest.fixture(scope="module")
def at(mongodb_client: MongoClient[dict[str, Any]]) -> Iterator[Served]:
    """A server of its own, whose people are all of this file."""
    name = f"test_{secrets.token_hex(8)}"
    yield serve(mongodb_client, name)
    mongodb_client.drop_database(name)


@dataclass(frozen=True)
class Known:
    """A patient, and a doctor."""

    served: Served
    id: str
    family: str
    holder: Caller
    doctor: Doctor

    @property
    def traits(self) -> dict[str, str]:
        """What the doctor knows of the patient."""
        return {"family": self.family, "birthdate": "1969-05-12", "gender": "female"}


@pytest.fixture
def known(at: Served) -> Known:
    return _known(at)


def _known(at: Served, **more: Any) -> Known:
    family = "Lefèvre-" + secrets.token_hex(6).translate(str.maketrans("0123456789", "ghijklmnop"))
    name = [{"use": "official", "family": family, "given": ["Anne", "Marie"]}]
    id, holder = at.patient(name=name, birthDate="1969-05-12", gender="female", **more)
    return Known(at, id, family, holder, doctor(at))


def ask(caller: Caller, **named: str) -> TestResponse:
    kinds = {"birthdate": "valueDate", "gender": "valueCode"}
    given = [{"name": name, kinds.get(name, "valueString"): value} for name, value in named.items()]
    body = {"resourceType": "Parameters", **({"parameter": given} if given else {})}
    return caller("POST", "Patient/$lookup-record", body)


def told(answer: TestResponse) -> dict[str, Any]:
    """What the answer says, by name."""
    assert answer.status_code == 200, answer.text
    return {
        one["name"]: next(value for name, value in one.items() if name.startswith("value"))
        for one in answer.json["parameter"]
    }


def test_what_a_professional_learns_of_a_record(known: Known) -> None:
    """TD0.2: existence and authorisation, at the very next request; no identity trait comes back"""
    caller = known.doctor.caller()
    unauthorised = {
        "record": "open",
        "patient": {"reference": f"Patient/{known.id}"},
        "access": "unauthorised",
        "treatingDoctor": False,
    }
    answer = ask(caller, **known.traits)
    assert told(answer) == unauthorised
    assert known.family not in answer.text
    assert "1969" not in answer.text
    permit = known.holder.create(choice(known.id, "access", to=(known.doctor.reference,)))
    assert told(ask(caller, **known.traits)) == unauthorised | {"access": "authorised"}
    ended = [{"op": "replace", "path": "/status", "value": "inactive"}]
    patched = known.holder("PATCH", permit, ended, Content_Type="application/json-patch+json")
    assert patched.status_code == 200
    assert told(ask(caller, **known.traits)) == unauthorised
    known.holder.create(choice(known.id, "access", "deny", to=(known.doctor.reference,)))
    assert told(ask(caller, **known.traits)) == {"record": "open", "access": "blocked", "treatingDoctor": False}


def test_the_treating_doctor_is_told_so(known: Known) -> None:
    """PDSm4DMP dmp-medecin-traitant"""
    gp = [{"op": "add", "path": "/generalPractitioner", "value": [{"reference": known.doctor.reference}]}]
    put = known.served.caller()("PATCH", f"Patient/{known.id}", gp, Content_Type="application/json-patch+json")
    assert put.status_code == 200
    assert told(ask(known.doctor.caller(), **known.traits))["treatingDoctor"] is True


def test_a_profession_that_consults_nothing_is_not_authorised(known: Known) -> None:
    """R1111-46: a permit is within the habilitation matrix"""
    other = doctor(known.served, "no such profession")
    known.holder.create(choice(known.id, "access", to=(other.reference,)))
    assert told(ask(other.caller(), **known.traits))["access"] == "unauthorised"


@pytest.mark.parametrize(
    ("traits", "record"),
    [
        ({}, "open"),
        ({"given": "ANNE"}, "open"),
        ({"given": "Marie"}, "none"),
        ({"birthdate": "1969-05-13"}, "none"),
        ({"gender": "male"}, "none"),
        ({"family": "Lefèvre"}, "none"),
    ],
)
def test_traits_are_exact(known: Known, traits: dict[str, str], record: str) -> None:
    """A18; RNIV: each of them has to be right"""
    assert told(ask(known.doctor.caller(), **{**known.traits, **traits}))["record"] == record


@pytest.mark.parametrize(("status", "record"), [("opposed", "none"), ("closed", "closed"), ("not-activated", "open")])
def test_what_became_of_the_space(known: Known, status: str, record: str) -> None:
    """TD0.2, A1: closed is said; who opposed a space cannot be told from who is not known"""
    space = {"url": SPACE, "extension": [{"url": "status", "valueCode": status}]}
    put = [{"op": "add", "path": "/extension", "value": [space]}]
    answer = known.served.caller()("PATCH", f"Patient/{known.id}", put, Content_Type="application/json-patch+json")
    assert answer.status_code == 200, answer.text
    found = ask(known.doctor.caller(), **known.traits)
    assert told(found)["record"] == record
    if record == "none":
        nobody = ask(known.doctor.caller(), **{**known.traits, "family": "Nobody"})
        assert (found.data, found.status_code) == (nobody.data, nobody.status_code)


def test_a_space_that_the_holder_closes_is_closed(known: Known) -> None:
    """CSP L1111-13-1 IV: by a Consent, too"""
    known.holder.create(choice(known.id, "space", "deny"))
    assert told(ask(known.doctor.caller(), **known.traits)) == {"record": "closed"}


def test_two_who_share_the_traits_are_not_told_apart(known: Known) -> None:
    """A18: never a list"""
    name = [{"use": "official", "family": known.family, "given": ["Claire"]}]
    known.served.patient(name=name, birthDate="1969-05-12", gender="female")
    caller = known.doctor.caller()
    assert told(ask(caller, **known.traits)) == {"record": "several"}
    assert told(ask(caller, **known.traits, given="Anne"))["patient"] == {"reference": f"Patient/{known.id}"}


def test_by_the_number(at: Served) -> None:
    """GET Patient?identifier= of the draft PDSm4DMP: the qualified INS, with its system or alone; tests in none but the
    demonstration"""
    found = _known(at, identifier=[{"system": INS[0], "value": NUMBER}])
    _known(at, identifier=[{"system": INS_OF_TESTS[0], "value": OTHER_NUMBER}])
    caller = found.doctor.caller()
    for text in (NUMBER, f"{INS[0]}|{NUMBER}", "2 69 05 49 588 157 80"):
        assert told(ask(caller, identifier=text))["patient"] == {"reference": f"Patient/{found.id}"}
    for text in (OTHER_NUMBER, UNKNOWN_NUMBER):
        assert told(ask(caller, identifier=text)) == {"record": "none"}


@pytest.mark.parametrize(
    "named",
    [
        {},
        {"identifier": "269054958815781"},
        {"identifier": f"urn:oid:1.2.3|{NUMBER}"},
        {"identifier": NUMBER, "family": "Lefèvre"},
        {"family": "Lefèvre", "birthdate": "1969", "gender": "female"},
        {"family": "Lefèvre", "birthdate": "1969-05-12"},
        {"family": "*", "birthdate": "1969-05-12", "gender": "every"},
    ],
)
def test_what_names_nobody_exactly_is_refused(at: Served, named: dict[str, str]) -> None:
    """A18: exact identity"""
    assert ask(doctor(at).caller(), **named).status_code == 400


def test_it_is_for_professionals(known: Known) -> None:
    """A18: with a scope to look for any patient; an emergency is of one"""
    at = known.served
    scoped = ("user/Observation.rs", "user/Patient.r", "patient/*.rs", f"user/Patient.rs?_id={known.id}")
    refused = [
        known.holder,
        at.caller(),
        at.caller("system/*.rs", kind="backend", organization="Organization/lab", client_id="lab"),
        *(known.doctor.caller(scope, patient=known.id) for scope in scoped),
        known.doctor.caller("user/*.rs", patient=known.id, mode="bris_de_glace", reason="x"),
    ]
    for caller in refused:
        assert ask(caller, **known.traits).status_code == 403
    assert ask(Caller(at.app), **known.traits).status_code == 401


def test_no_identity_stands_in_an_address(known: Known) -> None:
    """RFC 9110 s. 17.9: by POST alone"""
    asked = f"Patient/$lookup-record?family={known.family}&birthdate=1969-05-12&gender=female"
    assert known.doctor.caller()("GET", asked).status_code == 405


def test_it_is_in_the_patients_history(known: Known) -> None:
    """R1111-43, A17: who looked, for whom, by what; who found nobody, too"""
    answer = ask(known.doctor.caller(), **known.traits)
    (event,) = known.served.events(answer)
    assert event["agent"][0]["who"]["reference"] == known.doctor.reference
    assert known.id in json.dumps(event["entity"])
    seen = known.holder.get(f"AuditEvent?patient={known.id}")
    assert event["id"] in [one["resource"]["id"] for one in seen["entry"]]
    nobody = ask(known.doctor.caller(), **{**known.traits, "family": "Nobody"})
    (event,) = known.served.events(nobody)
    assert "Patient/" + known.id not in json.dumps(event)


def test_who_guesses_has_to_wait(known: Known) -> None:
    """R1111-46: counted by the person, whatever the token; who finds is not held up"""
    for _ in range(3):
        assert told(ask(known.doctor.caller(), **known.traits))["record"] == "open"
    guesses = [
        ask(known.doctor.caller(), **{**known.traits, "family": f"Guess {n}"}) for n in range(FAILURES.amount + 1)
    ]
    assert [one.status_code for one in guesses] == [200] * FAILURES.amount + [429]
    assert int(guesses[-1].headers["Retry-After"]) > 0
    assert guesses[-1].json["issue"][0]["code"] == "throttled"
    assert ask(known.doctor.caller(), **known.traits).status_code == 429
    assert told(ask(doctor(known.served).caller(), **known.traits))["record"] == "open"
