"""Observation/$lastn: what it takes, what it answers, and what it refuses.  R4: observation-operation-lastn.html"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.build import entry, observation, transaction
from tests.calls import Caller, Served, ids
from tests.choices import LABELS, choice

CATEGORIES = "http://terminology.hl7.org/CodeSystem/observation-category"
LASTN = "Observation/$lastn"


def of(patient: str, code: str | list[str] | dict[str, Any], when: str | None = None, **more: Any) -> dict[str, Any]:
    """An Observation of these codes of one system, or of this concept."""
    codes = [code] if isinstance(code, str) else code
    concept = codes if isinstance(codes, dict) else {"coding": [{"system": "urn:c", "code": each} for each in codes]}
    return observation(patient, code=concept, **({"effectiveDateTime": when} if when else {}), **more)


class Record:
    """A patient's observations, by the names that a test gives them."""

    def __init__(self, served: Served, operator: Caller):
        self.id, self.holder = served.patient()
        self._operator = operator
        self._names: dict[str, str] = {}

    def keep(self, **observations: dict[str, Any]) -> None:
        """Keep them."""
        for name, one in observations.items():
            self._names[self._operator.create(one)] = name

    def last(self, query: str = "", caller: Caller | None = None) -> list[str]:
        """The names of what is answered, in the order of the answer."""
        answer = (caller or self.holder).get(f"{LASTN}?patient={self.id}{query}")
        assert answer["type"] == "searchset"
        return [self._names[one] for one in ids(answer)]


@pytest.fixture
def record(served: Served, operator: Caller) -> Record:
    """An empty one."""
    return Record(served, operator)


TEXTS = ({"text": "textM"}, {"text": "Text"}, {"text": "t e x t"})


@pytest.mark.parametrize(
    ("codes", "groups"),
    [
        (("a", "b", "c"), 3),
        (("a", "b", ["a", "c"]), 2),
        (("a", "b", ["a", "b"]), 1),
        (TEXTS, 3),
        (({"text": "x"}, {"text": "x"}, {"text": "X"}), 2),
        (({"text": "x"}, {"text": "x", "coding": [{"system": "urn:c", "code": "a"}]}, "a"), 2),
        ((["a", "b"], ["b", "c"], ["c", "d"]), 1),
        (({"coding": [{"code": "a"}]}, "a", {"coding": [{"system": "urn:d", "code": "a"}]}), 3),
        (({"coding": [{"code": "a"}]}, {"coding": [{"code": "a", "display": "A"}]}, "b"), 2),
        (({"coding": [{"system": "urn:c"}], "text": "x"}, {"text": "x"}, "c"), 2),
        ((["x" * 300], ["x" * 299], ["x" * 300]), 2),
        (("a|b", {"coding": [{"system": "urn:c|a", "code": "b"}]}, "a"), 3),
    ],
)
def test_what_is_of_the_same_code(record: Record, codes: tuple[Any, ...], groups: int) -> None:
    """R4 observation-operation-lastn.html: the table of its page; system and code, else the text, and transitively"""
    record.keep(**{f"o{n}": of(record.id, code, f"2024-01-0{n + 1}") for n, code in enumerate(codes)})
    assert len(record.last()) == groups
    assert record.last("&max=3") == ["o2", "o1", "o0"]


def test_the_most_recent_and_no_more_than_asked_for(record: Record) -> None:
    """R4 observation-operation-lastn.html: max, 1 if not given; sorted from most recent to oldest"""
    record.keep(**{f"a{day}": of(record.id, "a", f"2024-01-0{day}") for day in (2, 4, 1, 3)})
    record.keep(b1=of(record.id, "b", "2024-01-02T12:00:00Z"), b2=of(record.id, "b", "2023"))
    assert record.last() == ["a4", "b1"]
    assert record.last("&max=2") == ["a4", "a3", "b1", "b2"]
    assert record.last("&max=1000") == ["a4", "a3", "b1", "a2", "a1", "b2"]


def test_equally_recent_ones(record: Record) -> None:
    """R4 observation-operation-lastn.html: in case of a tie both are returned, the 4th as recent as the 3rd"""
    days = {"one": "05", "two": "04", "three": "03", "four": "03", "five": "02"}
    record.keep(**{name: of(record.id, "a", f"2024-01-{day}") for name, day in days.items()})
    assert record.last("&max=2") == ["one", "two"]
    assert sorted(record.last("&max=3")) == ["four", "one", "three", "two"]
    # The same moment, written otherwise.
    record.keep(six=of(record.id, "a", "2024-01-05T00:00:00+01:00"))
    assert sorted(record.last()) == ["one", "six"]


def test_many_equally_recent_ones(record: Record) -> None:
    """R4 observation-operation-lastn.html: all of them, however many more than asked for; with and without a time"""
    kept = {f"a{n}": of(record.id, ["a"] if n % 2 else ["a", "b"], "2024-01-05") for n in range(16)}
    kept |= {f"u{n}": of(record.id, "untimed") for n in range(16)}
    record.keep(**kept, older=of(record.id, "b", "2023"), single=of(record.id, "c", "2024-02-01"))
    assert sorted(record.last()) == sorted([*kept, "single"])
    assert record.last("&code=urn:c|b,urn:c|c&max=9")[0] == "single"
    assert record.last("&code=urn:c|b,urn:c|c&max=9")[-1] == "older"
    first = record.holder.get(f"{LASTN}?patient={record.id}&_count=20")
    onward = next(link["url"] for link in first["link"] if link["relation"] == "next")
    assert (first["total"], len(ids(first)), len(ids(record.holder.get(onward)))) == (33, 20, 13)


def test_periods_and_what_has_no_time(record: Record) -> None:
    """R4 search.html#date: it was when its effective time begins; without one it is the least recent"""
    record.keep(
        period=of(record.id, "a", effectivePeriod={"start": "2024-03-01", "end": "2024-05-01"}),
        moment=of(record.id, "a", "2024-04-01"),
        never=of(record.id, "a"),
        neither=of(record.id, "a"),
        unknown=of(record.id, {"text": "t"}),
        unsaid=of(record.id, {"text": "t"}),
        told=of(record.id, {"text": "t"}, "2020"),
    )
    assert record.last() == ["moment", "told"]
    assert record.last("&max=2")[:2] == ["moment", "period"]
    assert sorted(record.last("&max=2")[2:]) == ["told", "unknown", "unsaid"]
    assert sorted(record.last("&max=3&code=urn:c|a")) == ["moment", "neither", "never", "period"]


def test_other_search_parameters_narrow(record: Record) -> None:
    """R4 observation-operation-lastn.html: filtered first; not by status, unless it is asked for"""
    vital = {"category": [{"coding": [{"system": CATEGORIES, "code": "vital-signs"}]}]}
    record.keep(
        old=of(record.id, "a", "2020", **vital),
        recent=of(record.id, "a", "2024-01-01"),
        wrong=of(record.id, "a", "2024-02-01", status="entered-in-error"),
        other=of(record.id, "b", "2021", **vital, valueQuantity={"value": 5, "unit": "mg"}),
    )
    assert record.last() == ["wrong", "other"]
    assert record.last(f"&category={CATEGORIES}|vital-signs") == ["other", "old"]
    assert record.last("&status=final&code=urn:c|a") == ["recent"]
    assert record.last("&status:not=entered-in-error") == ["recent", "other"]
    assert record.last("&date=lt2024") == ["other", "old"]
    assert record.last("&value-quantity=gt4") == ["other"]
    assert record.last("&code=urn:c|none") == []


def test_translations_join_only_among_what_matches(record: Record) -> None:
    """R4 observation-operation-lastn.html: filtered, then grouped"""
    record.keep(
        a=of(record.id, "a", "2024-01-01"),
        b=of(record.id, "b", "2024-01-02"),
        both=of(record.id, ["a", "b"], "2020", status="amended"),
    )
    assert record.last() == ["b"]
    assert record.last("&status=final") == ["b", "a"]


def test_across_resources(served: Served, operator: Caller, record: Record) -> None:
    """R4 search.html#chaining: a chain narrows as any other parameter does"""
    encounters = [
        operator.create({"resourceType": "Encounter", "status": status, "class": {"code": "AMB"},
                         "subject": {"reference": f"Patient/{record.id}"}})
        for status in ("finished", "planned")
    ]  # fmt: skip
    for n, encounter in enumerate(encounters):
        record.keep(**{f"o{n}": of(record.id, "a", f"2024-01-0{n + 1}", encounter={"reference": encounter})})
    assert record.last("&encounter.status=finished") == ["o0"]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("", "patient="),
        ("patient=p1,p2", "patient="),
        ("subject:identifier=a|b", "patient="),
        ("patient=p1&max=0", "max=0"),
        ("patient=p1&max=1001", "1000"),
        ("patient=p1&max=1&max=2", "max"),
        ("patient=p1&max=x", "max=x"),
        ("patient=p1&_sort=date", "_sort"),
        ("patient=p1&_include=Observation:subject", "_include"),
        ("patient=p1&foo=1", "foo"),
        ("patient=p1&date=x", "date=x"),
        ("patient=p1&_cursor=x", "_cursor"),
    ],
)
def test_what_is_refused(operator: Caller, query: str, said: str) -> None:
    """R4 observation-operation-lastn.html: without a patient an error; operations.html: 400 for what is not known"""
    answer = operator("GET", f"{LASTN}?{query}")
    assert answer.status_code == 400
    assert said in answer.json["issue"][0]["diagnostics"]


def test_the_patient_whom_the_token_is_for(record: Record, served: Served, operator: Caller) -> None:
    """R4 observation-operation-lastn.html: the context may name the patient; another's observations are not there"""
    record.keep(own=of(record.id, "a", "2024"))
    other = Record(served, operator)
    other.keep(other=of(other.id, "a", "2025"))
    assert len(ids(record.holder.get(LASTN))) == 1
    assert record.holder.get(f"{LASTN}?patient={other.id}")["total"] == 0
    assert len(ids(operator.get(f"{LASTN}?subject=Patient/{record.id}"))) == 1
    assert len(ids(operator.get(f"{LASTN}?subject:Patient={record.id}&patient={record.id}"))) == 1
    elsewhere = served.caller("patient/Patient.rs", patient=record.id)
    assert elsewhere("GET", f"{LASTN}?patient={record.id}").status_code == 403


def test_what_may_not_be_seen_does_not_count(record: Record, served: Served, operator: Caller) -> None:
    """A7: what is masked is neither the last, nor does it make others of the same code"""
    masked = {"security": [{"system": LABELS, "code": "MASQUE_PS"}]}
    record.keep(a=of(record.id, "a", "2020"), b=of(record.id, "b", "2021"))
    record.keep(hidden=of(record.id, ["a", "b"], "2024", meta=masked))
    doctor = served.caller("user/*.rs", kind="professional", practitioner="lastn", profession="10")
    assert doctor.get(f"{LASTN}?patient={record.id}")["total"] == 0, "without a permit"
    operator.create(choice(record.id, "access", "permit", to=("Practitioner/lastn",)))
    assert record.last(caller=doctor) == ["b", "a"]


def test_by_post(record: Record) -> None:
    """R4 operations.html#executing: Parameters, and what is in the url beside them"""
    record.keep(a=of(record.id, "a", "2024"), old=of(record.id, "a", "2020"), b=of(record.id, "b", "2021"))
    body = {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "patient", "valueString": record.id},
            {"name": "max", "valuePositiveInt": 2},
            {"name": "code", "valueCoding": {"system": "urn:c", "code": "a"}},
        ],
    }
    answer = record.holder("POST", LASTN, body)
    assert answer.status_code == 200, answer.text
    assert len(ids(answer.json)) == 2
    assert parse_qs(urlsplit(answer.json["link"][0]["url"]).query)["code"] == ["urn:c|a"]
    assert (
        record.holder("POST", f"{LASTN}?code=urn:c|b", {**body, "parameter": body["parameter"][:2]}).json["total"] == 1
    )
    for part in ({"name": "max"}, {"name": "max", "valueQuantity": {"value": 1}}, "max"):
        assert record.holder("POST", LASTN, {**body, "parameter": [part]}).status_code in (400, 422)
    assert record.holder("PUT", LASTN, body).status_code == 405


def test_pages(record: Record) -> None:
    """R4 http.html#paging: each once, in order; the total is of all of them"""
    for n in range(7):
        record.keep(**{f"{code}{n}": of(record.id, code, f"2024-01-0{n + 1}") for code in "ab"})
    record.keep(untimed=of(record.id, "c"))
    whole = ids(record.holder.get(f"{LASTN}?patient={record.id}&max=5"))
    assert len(whole) == 11
    answer = record.holder.get(f"{LASTN}?patient={record.id}&max=5&_count=3")
    found = ids(answer)
    while nexts := [link["url"] for link in answer["link"] if link["relation"] == "next"]:
        assert answer["total"] == 11
        answer = record.holder.get(nexts[0])
        found += ids(answer)
    assert found == whole
    for query in ("_count=0", "_summary=count"):
        counted = record.holder.get(f"{LASTN}?patient={record.id}&max=5&{query}")
        assert (counted["total"], "entry" in counted) == (11, False)
    assert set(record.holder.get(f"{LASTN}?_elements=status")["entry"][0]["resource"]) >= {"id", "status", "code"}


def test_many_codes(record: Record, operator: Caller) -> None:
    """Exact however many codes there are: several searches, one order"""
    kept = [of(record.id, f"c{n}", f"20{n % 23:02d}") for n in range(230)]
    kept += [of(record.id, f"c{n}", f"19{n % 97:02d}") for n in range(230)]
    answer = operator("POST", "", transaction(*(entry("POST", "Observation", one) for one in kept)))
    assert answer.status_code == 200
    found = record.holder.get(f"{LASTN}?_count=1000")
    codes = [one["resource"]["code"]["coding"][0]["code"] for one in found["entry"]]
    assert sorted(codes) == sorted(f"c{n}" for n in range(230))
    years = [one["resource"]["effectiveDateTime"] for one in found["entry"]]
    assert years == sorted(years, reverse=True)
    assert years[-1] >= "2000"


def test_the_record_of_it(record: Record, served: Served) -> None:
    """A17: one record, of what is on the page and of nothing else that was looked at"""
    record.keep(a=of(record.id, "a", "2024"), old=of(record.id, "a", "2020"), b=of(record.id, "b", "2021"))
    answer = record.holder("GET", f"{LASTN}?patient={record.id}&_count=1")
    [event] = served.events(answer)
    named = [one["what"]["reference"] for one in event["entity"] if "reference" in one.get("what", {})]
    assert [one for one in named if one.startswith("Observation/")] == [f"{ids(answer.json)[0]}/_history/1"]
    assert event["subtype"][0]["code"] == "operation"


def test_in_a_batch_and_a_transaction(record: Record, operator: Caller) -> None:
    """R4 http.html#transaction: a GET in a Bundle, which sees what the other entries wrote"""
    record.keep(a=of(record.id, "a", "2020"))
    bundle = transaction(
        entry("POST", "Observation", of(record.id, "a", "2024")), entry("GET", f"{LASTN}?patient={record.id}")
    )
    for type in ("batch", "transaction"):
        answer = operator("POST", "", {**bundle, "type": type})
        assert answer.status_code == 200, answer.text
        found = answer.json["entry"][1]["resource"]
        assert {one["resource"]["effectiveDateTime"] for one in found["entry"]} == {"2024"}
