"""DocumentReference/$docref: what it takes, what it answers, and what it refuses.

IPA 1.1.0: OperationDefinition-docref.html; US Core 6.1.0: OperationDefinition-docref.html
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.calls import Caller, Served, ids
from tests.choices import document

DOCREF = "DocumentReference/$docref"
LOINC = "http://loinc.org"
SUMMARY, EPISODE, LETTER, REPORT = "60591-5", "34133-9", "57133-1", "11502-2"


class Record:
    """A patient's documents, by the names that a test gives them."""

    def __init__(self, served: Served, operator: Caller):
        self.id, self.holder = served.patient()
        self._operator = operator
        self._names: dict[str, str] = {}

    def keep(self, name: str, type: str, date: str | None, care: str | None = None, **more: Any) -> None:
        """Keep a document of this type of LOINC, and of this date; care: when it began and ended."""
        concept = {"type": {"coding": [{"system": LOINC, "code": type}]}}
        context = {"context": {"period": dict(zip(("start", "end"), care.split("/"), strict=False))}} if care else {}
        dated = {"date": f"{date}T12:00:00Z"} if date else {}
        reference = self._operator.create({**document(self.id), **concept, **dated, **context, **more})
        self._names[reference] = name

    def found(self, query: str = "", caller: Caller | None = None) -> list[str]:
        """The names of what is answered, in the order of the answer."""
        answer = (caller or self.holder).get(f"{DOCREF}?patient={self.id}{query}")
        assert answer["type"] == "searchset"
        return [self._names[one] for one in ids(answer)]


@pytest.fixture
def record(served: Served, operator: Caller) -> Record:
    """An empty one."""
    return Record(served, operator)


def test_without_parameters_the_most_recent_summary(record: Record) -> None:
    """IPA: if no parameters are specified, the patient's most current summary document"""
    assert record.found() == []
    record.keep("letter", LETTER, "2023-01-01")
    record.keep("report", REPORT, "2024-05-01")
    assert record.found() == ["report"], "without a summary, what is most recent"
    record.keep("old", SUMMARY, "2020-01-01")
    record.keep("episode", EPISODE, "2021-01-01")
    record.keep("undated", SUMMARY, None)
    assert record.found() == ["episode"]
    record.keep("summary", SUMMARY, "2022-01-01")
    record.keep("replaced", SUMMARY, "2025-01-01", status="superseded")
    assert record.found() == ["summary"]
    assert record.found("&on-demand=false") == ["summary"]


def test_a_type_without_a_time(record: Record) -> None:
    """IPA start, end: if there is neither, the most recent document is in scope; type: any of the types"""
    for name, type, date in (("l1", LETTER, "2020-01-01"), ("l2", LETTER, "2022-01-01"), ("r1", REPORT, "2021-01-01")):
        record.keep(name, type, date)
    assert record.found(f"&type={LOINC}|{LETTER}") == ["l2"]
    assert record.found(f"&type={REPORT}") == ["r1"]
    assert record.found(f"&type={LOINC}|{LETTER}&type={LOINC}|{REPORT}") == ["l2", "r1"]
    assert record.found(f"&type={LOINC}|{REPORT},{LETTER},{LETTER}") == ["l2", "r1"]
    assert record.found(f"&type={LOINC}|{SUMMARY}") == []


def test_a_time_of_care(record: Record) -> None:
    """IPA start, end: the date range relates to care dates, not to record currency dates"""
    record.keep("stay", LETTER, "2024-06-01", "2019-01-10/2019-02-10")
    record.keep("visit", REPORT, "2019-03-02", "2019-03-01/2019-03-01")
    record.keep("unsaid", REPORT, "2019-02-01")
    record.keep("wrong", REPORT, "2019-02-02", status="entered-in-error")
    assert record.found("&start=2019-01-01&end=2019-12-31") == ["stay", "visit", "unsaid"]
    assert record.found("&start=2019-02-01T00:00:00Z&end=2019-02-20") == ["stay", "unsaid"]
    assert record.found("&start=2019-02-20") == ["visit"]
    assert record.found("&end=2019-01-15") == ["stay"]
    assert record.found("&start=2024") == []
    assert record.found(f"&start=2019&type={LOINC}|{REPORT}") == ["visit", "unsaid"]


def test_on_demand_and_profile(record: Record) -> None:
    """IPA on-demand: only those made on demand, of which there are none; profile: by its canonical"""
    profile = "https://hospital.example/profiles/report"
    record.keep("claiming", REPORT, "2020-01-01", meta={"profile": [profile]})
    record.keep("plain", REPORT, "2021-01-01")
    assert record.found("&on-demand=true") == record.found("&on-demand=true&start=2000") == []
    assert record.found(f"&profile={profile}") == ["claiming"]
    assert record.found(f"&profile={profile}&profile=urn:other&start=2000") == ["claiming"]
    assert record.found("&profile=urn:other") == []


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("", "patient="),
        ("patient=p1,p2", "patient="),
        ("patient=p1&patient=p2", "patient"),
        ("patient=p1&on-demand=yes", "on-demand=yes"),
        ("patient=p1&start=x", "start=x"),
        ("patient=p1&end=ge2020", "end=ge2020"),
        ("patient=p1&start=2020&start=2021", "start"),
        ("patient=p1&status=current", "status"),
        ("patient=p1&type=", "type"),
        ("patient=p1&_count=x", "_count=x"),
        ("patient=p1&start=2020&_cursor=x", "_cursor"),
    ],
)
def test_what_is_refused(operator: Caller, query: str, said: str) -> None:
    """IPA: without a nominated patient an error; operations.html: 400 for what is not known"""
    answer = operator("GET", f"{DOCREF}?{query}")
    assert answer.status_code == 400
    assert said in answer.json["issue"][0]["diagnostics"]


def test_whose_documents(record: Record, served: Served, operator: Caller) -> None:
    """IPA patient: no match is an empty Bundle; the context may name the patient"""
    record.keep("own", REPORT, "2020-01-01")
    other, _ = served.patient()
    assert len(ids(record.holder.get(DOCREF))) == 1
    assert len(ids(operator.get(f"{DOCREF}?patient=Patient/{record.id}"))) == 1
    assert record.holder.get(f"{DOCREF}?patient={other}")["total"] == 0
    assert operator.get(f"{DOCREF}?patient=nobody")["total"] == 0
    stranger = served.caller("user/*.rs", kind="professional", practitioner="docref", profession="10")
    assert stranger.get(f"{DOCREF}?patient={record.id}&start=2000")["total"] == 0, "without a permit"
    assert served.caller("patient/Patient.rs", patient=record.id)("GET", DOCREF).status_code == 403


def test_by_post(record: Record) -> None:
    """US Core: POST with Parameters, where a type is a Coding"""
    record.keep("letter", LETTER, "2023-01-01", "2022-12-01/2022-12-24")
    record.keep("report", REPORT, "2023-01-02", "2022-12-01/2022-12-24")
    parameters = [
        {"name": "patient", "valueId": record.id},
        {"name": "start", "valueDateTime": "2022-12-01T00:00:00+01:00"},
        {"name": "end", "valueDateTime": "2022-12-31"},
        {"name": "on-demand", "valueBoolean": False},
    ]
    letter = {"system": LOINC, "code": LETTER}
    for type in ({"valueCoding": letter}, {"valueCodeableConcept": {"coding": [letter, {"code": "other"}]}}):
        body = {"resourceType": "Parameters", "parameter": [*parameters, {"name": "type", **type}]}
        answer = record.holder("POST", DOCREF, body)
        assert (answer.status_code, answer.json["total"]) == (200, 1), answer.text
        assert LETTER in answer.text
    for wrong in ({"name": "type", "valueCodeableConcept": {"text": "a"}}, {"name": "type", "valueCoding": {}}):
        body = {"resourceType": "Parameters", "parameter": [*parameters, wrong]}
        assert record.holder("POST", DOCREF, body).status_code in (400, 422)
    assert record.holder("DELETE", DOCREF).status_code == 405


def test_pages_and_the_record_of_them(record: Record, served: Served) -> None:
    """R4 http.html#paging; A17: what is on the page is in the record of it, and nothing else"""
    for n in range(5):
        record.keep(f"d{n}", REPORT, f"2020-01-0{n + 1}" if n else None)
    path: str | None = f"{DOCREF}?patient={record.id}&end=2030&start=1900&_count=2"
    for name, on_page in (("first", 2), ("second", 2)):
        answer = record.holder("GET", str(path))
        assert (answer.json["total"], len(ids(answer.json))) == (4, on_page), name
        [event] = served.events(answer)
        named = [one["what"]["reference"] for one in event["entity"] if "reference" in one.get("what", {})]
        documents = [one.partition("/_history")[0] for one in named if one.startswith("DocumentReference/")]
        assert sorted(documents) == sorted(ids(answer.json))
        path = next((link["url"] for link in answer.json["link"] if link["relation"] == "next"), None)
    assert path is None
    for query in ("&_count=0", "&_summary=count"):
        for time, total in (("", 1), ("&start=1900", 4)):
            counted = record.holder.get(f"{DOCREF}?patient={record.id}{time}{query}")
            assert (counted["total"], "entry" in counted) == (total, False)
