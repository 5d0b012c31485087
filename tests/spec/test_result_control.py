"""What a search answers with, beside what it finds: order, pages, totals, parts, and what comes along.

R4: search.html#Summary, search.html#Paging, search.html#include, search.html#contained, http.html#search
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any
from urllib.parse import quote

import pytest

from fhir_server.storage import store
from tests.build import observation, patient
from tests.calls import BASE, Caller, Served, ids, seen

FORM = "application/x-www-form-urlencoded"
UCUM = "http://unitsofmeasure.org"
_NUMBERS = count()


def link(bundle: dict[str, Any], relation: str) -> str | None:
    """The url of this relation."""
    return next((one["url"] for one in bundle["link"] if one["relation"] == relation), None)


def walk(caller: Caller, path: str, relation: str = "next") -> Iterator[dict[str, Any]]:
    """The pages from this one on, by their links."""
    page = caller.get(path)
    while True:
        yield page
        onward = link(page, relation)
        if not onward:
            return
        page = caller.get(onward)


def labelled(caller: Caller, *resources: dict[str, Any]) -> str:
    """A code of `_tag` by which these, and no others, are found; each is told by its source, 1, 2, 3 …"""
    tag = f"result-{next(_NUMBERS)}"
    for number, resource in enumerate(resources, 1):
        caller.create({**resource, "meta": {"tag": [{"code": tag}], "source": f"urn:told:{number}"}})
    return tag


def told(page: dict[str, Any], mode: str = "match") -> str:
    """Which of them a page holds, as `1 2 3`."""
    found = [e["resource"] for e in page.get("entry", ()) if e["search"]["mode"] == mode]
    return " ".join(_number(resource) for resource in found)


def _number(resource: dict[str, Any]) -> str:
    return str(resource["meta"].get("source", "none")).rpartition(":")[2]


def coded(element: str, *codes: str) -> dict[str, Any]:
    """An Observation with these codes."""
    return observation(**{element: [{"coding": [{"code": code}]} for code in codes]})


def weighing(value: float, unit: str) -> dict[str, Any]:
    """An Observation of a quantity."""
    return observation(valueQuantity={"value": value, "system": UCUM, "code": unit})


# --- order

DATED = [
    observation(effectiveDateTime=day) if day else observation() for day in ("2024-02", None, "2022", "2023-12-31")
]
SEVERAL = [coded("category", "b", "z"), coded("category", "c"), coded("category", "a", "y"), observation()]
SORTS = [
    ("date", DATED, "2 3 4 1"),
    ("-date", DATED, "1 4 3 2"),
    ("-date,_id", DATED, "1 4 3 2"),
    ("_lastUpdated", DATED, "1 2 3 4"),
    ("-_lastUpdated", DATED, "4 3 2 1"),
    ("_id", DATED, "1 2 3 4"),
    ("-_id", DATED, "4 3 2 1"),
    (
        "status,-date",
        [
            observation(status=status, effectiveDateTime=day)
            for status, day in (("final", "2020"), ("amended", "2020"), ("final", "2021"), ("amended", "2021"))
        ],
        "4 2 3 1",
    ),
    ("category", SEVERAL, "4 3 1 2"),
    ("-category", SEVERAL, "1 3 2 4"),
    ("value-quantity", [weighing(5, "g"), weighing(400, "mg"), weighing(1, "kg"), observation()], "4 2 1 3"),
    ("-value-quantity", [weighing(5, "g"), weighing(400, "mg"), weighing(1, "kg"), observation()], "3 1 2 4"),
    ("value-string", [observation(valueString=text) for text in ("b", "Éa", "eb", "É")], "1 4 2 3"),
    ("subject", [observation(id) for id in ("sort-b", "sort-a", "sort-c")], "2 1 3"),
    ("-subject", [observation(id) for id in ("sort-b", "sort-a", "sort-c")], "3 1 2"),
    ("performer", [observation(performer=[{"reference": f"Practitioner/{id}"}]) for id in ("b", "c", "a")], "3 1 2"),
    (
        "combo-code",
        [
            {**observation(code={"coding": [{"code": code}]}), "component": [{"code": {"coding": [{"code": part}]}}]}
            for code, part in (("m", "b"), ("c", "x"), ("d", "a"))
        ],
        "3 1 2",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("sort", "resources", "order"), SORTS)
@pytest.mark.parametrize("size", [1000, 3, 2, 1])
def test_sort(operator: Caller, sort: str, resources: list[dict[str, Any]], order: str, size: int) -> None:
    """
    R4 search.html#sort: by several keys; of several values the lowest going up, the highest going down; a missing one
    first going up and last going down; on one page or on several
    """
    tag = labelled(operator, *resources)
    pages = list(walk(operator, f"Observation?_tag={tag}&_sort={sort}&_count={size}"))

    assert " ".join(map(told, pages)) == order
    assert [link(page, "previous") is not None for page in pages] == [False] + [True] * (len(pages) - 1)
    back = list(walk(operator, str(link(pages[-2], "next")), "previous")) if len(pages) > 1 else pages
    assert [told(page) for page in back[::-1]] == [told(page) for page in pages]


def test_a_resource_stays_where_it_is_among_equals(operator: Caller) -> None:
    """R4 search.html#sort: what the keys leave equal comes in one order, so that no page repeats or loses any"""
    tag = labelled(operator, *[observation(effectiveDateTime="2024")] * 7)
    pages = list(walk(operator, f"Observation?_tag={tag}&_sort=-date&_count=2"))

    assert sorted(" ".join(map(told, pages)).split()) == list("1234567")
    assert " ".join(map(told, pages)) == told(operator.get(f"Observation?_tag={tag}&_sort=-date"))


# --- totals and sizes


@pytest.mark.parametrize("query", ["_count=0", "_summary=count", "_summary=count&_count=2", "_count=0&_sort=date"])
def test_how_many_and_nothing_else(operator: Caller, query: str) -> None:
    """R4 search.html#count, search.html#summary: "treated the same as _summary=count"; a Bundle with the total alone"""
    tag = labelled(operator, *DATED)
    found = operator.get(f"Observation?_tag={tag}&{query}")

    assert found["total"] == 4
    assert "entry" not in found
    assert [one["relation"] for one in found["link"]] == ["self"]


@pytest.mark.parametrize(("asked", "total"), [("none", None), ("estimate", 4), ("accurate", 4)])
def test_total(operator: Caller, asked: str, total: int | None) -> None:
    """R4 search.html#total: on each page as it is asked for"""
    tag = labelled(operator, *DATED)

    assert {page.get("total") for page in walk(operator, f"Observation?_tag={tag}&_count=3&_total={asked}")} == {total}


@pytest.mark.parametrize("size", [1, 2, 3, 10])
@pytest.mark.parametrize("most", [1, 2, 3, 4, 9])
@pytest.mark.parametrize("sort", ["", "&_sort=-date"])
def test_maxresults(operator: Caller, size: int, most: int, sort: str) -> None:
    """`_maxresults` bounds what all pages hold together, and the total with it; back and forth alike"""
    tag = labelled(operator, *DATED)
    path = f"Observation?_tag={tag}&_maxresults={most}&_count={size}{sort}"
    whole = told(operator.get(f"Observation?_tag={tag}{sort}")).split()
    pages = list(walk(operator, path))

    assert " ".join(map(told, pages)).split() == whole[:most]
    assert {page["total"] for page in pages} == {min(most, 4)}
    if len(pages) > 1:
        back = operator.get(str(link(pages[-1], "previous")))
        assert (
            " ".join(map(told, walk(operator, str(link(back, "next"))))).split()
            == whole[:most][size * (len(pages) - 1) :]
        )


def test_a_page_is_never_larger_than_the_server_gives(served: Served, operator: Caller) -> None:
    """R4 search.html#count: "the server may return fewer"; the rest is behind the next link"""
    tag = labelled(operator, *DATED)

    assert operator("GET", f"Observation?_tag={tag}&_count=999999999").status_code == 200


# --- parts


@pytest.mark.parametrize(
    ("query", "there", "gone"),
    [
        ("_summary=true", {"id", "meta", "status", "code", "subject"}, {"note", "text"}),
        ("_summary=text", {"id", "meta", "text", "status", "code"}, {"note", "subject"}),
        ("_summary=data", {"id", "meta", "note", "subject"}, {"text"}),
        ("_summary=false", {"id", "note", "text", "subject"}, set()),
        ("_elements=note", {"id", "meta", "note", "status", "code"}, {"subject", "text"}),
        ("_elements=subject,note", {"subject", "note", "status"}, {"text"}),
    ],
)
@pytest.mark.parametrize("more", ["", "&_sort=-date", "&_count=1"])
def test_parts_of_a_resource(operator: Caller, query: str, there: set[str], gone: set[str], more: str) -> None:
    """R4 search.html#summary, search.html#elements: only that, and what must be; tagged SUBSETTED"""
    div = '<div xmlns="http://www.w3.org/1999/xhtml">A</div>'
    whole = observation(note=[{"text": "A"}], text={"status": "generated", "div": div})
    tag = labelled(operator, whole)
    [entry] = operator.get(f"Observation?_tag={tag}&{query}{more}")["entry"]

    assert there <= entry["resource"].keys()
    assert not gone & entry["resource"].keys()
    tags = [one["code"] for one in entry["resource"]["meta"]["tag"]]
    assert ("SUBSETTED" in tags) is (query != "_summary=false")


# --- pages


@pytest.mark.parametrize("sort", ["", "&_sort=-date", "&_sort=status,date", "&_sort=_lastUpdated"])
def test_writers_meanwhile_neither_repeat_nor_hide_what_they_do_not_touch(operator: Caller, sort: str) -> None:
    """R4 search.html#Paging: by keyset; with every page something is made, changed, moved and deleted around it"""
    tag = labelled(operator, *[observation(effectiveDateTime=f"2024-01-{day:02}") for day in range(1, 13)])
    touched = labelled(operator, *[observation(effectiveDateTime=f"2024-01-{day:02}") for day in range(1, 13)])
    moving = ids(operator.get(f"Observation?_tag={touched}&_count=50"))
    query = f"Observation?_tag={tag},{touched}&_count=5{sort}"
    found: list[str] = []
    for number, page in enumerate(walk(operator, query)):
        found += [_number(e["resource"]) for e in page["entry"] if e["resource"]["meta"]["tag"] == [{"code": tag}]]
        if moving:
            gone, changed = moving.pop(0), moving.pop()
            assert operator("DELETE", gone).status_code == 204
            moved = {
                **operator.get(changed),
                "effectiveDateTime": "2025" if number % 2 else "2023",
                "status": "amended",
            }
            assert operator("PUT", changed, moved).status_code == 200
            labelled_anew = observation(meta={"tag": [{"code": touched}]}, effectiveDateTime="2024-01-06")
            operator.create(labelled_anew)
        if number > 30:
            pytest.fail("the pages come to no end")

    assert len(found) == 12
    assert set(found) == {str(number) for number in range(1, 13)}


@pytest.mark.parametrize("sort", ["", "&_sort=date", "&_sort=-date"])
def test_a_page_of_which_nothing_is_left(operator: Caller, sort: str) -> None:
    """R4 search.html#Paging: what was behind a link may be gone by the time it is followed"""
    tag = labelled(operator, *DATED)
    path = f"Observation?_tag={tag}&_count=2{sort}"
    pages = list(walk(operator, path))
    for reference in ids(operator.get(f"Observation?_tag={tag}")):
        assert operator("DELETE", reference).status_code == 204
    for page in pages:
        for relation in ("next", "previous", "first"):
            if url := link(page, relation):
                empty = operator.get(url)
                assert ids(empty) == []
                assert link(empty, "next") is None
                assert relation == "first" or link(empty, "first")


def test_the_first_page_again(operator: Caller) -> None:
    """RFC 8288, R4 bundle.html#link: `first` from any page; `self` says what was applied"""
    tag = labelled(operator, *DATED)
    path = f"Observation?_tag={tag}&_count=1&_sort=-date"
    for page in walk(operator, path):
        first = link(page, "first")
        assert first
        assert told(operator.get(first)) == "1"
        assert str(link(page, "self")).startswith(f"{BASE}/Observation?_tag={tag}&_count=1&_sort=-date")


def test_a_cursor_is_its_callers_and_its_querys(served: Served, operator: Caller) -> None:
    """A page link is signed and opaque: nobody else's, of no other search, and not to be made up"""
    id, caller = served.patient()
    tag = labelled(operator, *[{**one, "subject": {"reference": f"Patient/{id}"}} for one in DATED])
    onward = str(link(caller.get(f"Observation?_tag={tag}&_count=1&_sort=date"), "next"))
    cursor = onward.partition("_cursor=")[2]
    again = served.caller("patient/*.rs", patient=id)
    assert ids(caller.get(onward)) == ids(again.get(onward)) != []
    _, stranger = served.patient()
    for other in (stranger, operator, served.caller("user/*.rs", practitioner=id)):
        assert other("GET", onward).status_code == 400
    for query in (
        f"_tag={tag}&_count=1&_sort=-date",
        f"_tag={tag}&_count=2&_sort=date",
        f"_tag={tag}&_sort=date",
        f"_tag={tag}&_count=1&_sort=date&status=final",
        "_count=1&_sort=date",
    ):
        assert caller("GET", f"Observation?{query}&_cursor={cursor}").status_code == 400, query
    assert caller("GET", f"Patient?_tag={tag}&_count=1&_cursor={cursor}").status_code == 400
    assert caller("GET", f"?_tag={tag}&_type=Observation&_count=1&_sort=date&_cursor={cursor}").status_code == 400
    for broken in (cursor[1:], cursor[:-1], cursor.swapcase(), "", "x", cursor + "A", f"{cursor}&_cursor={cursor}"):
        answer = caller("GET", onward.replace(cursor, broken))
        assert answer.status_code == 400, broken
        assert id not in cursor


# --- handling


def test_lenient_handling_says_what_it_dropped(operator: Caller) -> None:
    """R4 search.html#errors: `Prefer: handling=lenient` drops what is not understood; the self link shows the rest"""
    tag = labelled(operator, *DATED)
    wrong = "colour=red&date=soon&_sort=colour&code:exact=a&_include=Observation:colour&subject.colour=red&_foo=1"
    path = f"Observation?_tag={tag}&status=final&_count=3&{wrong}"
    assert operator("GET", path).status_code == 400
    assert operator("GET", path, Prefer="handling=strict").status_code == 400
    page = operator.get(path, Prefer="handling=lenient")

    assert link(page, "self") == f"{BASE}/Observation?_tag={tag}&status=final&_count=3"
    outcome = [e for e in page["entry"] if e["search"]["mode"] == "outcome"]
    assert len(outcome) == 1
    said = [issue["diagnostics"] for issue in outcome[0]["resource"]["issue"]]
    assert len(said) == 7
    assert {issue["severity"] for issue in outcome[0]["resource"]["issue"]} == {"warning"}
    assert len(told(page).split()) == 3
    assert len(told(operator.get(str(link(page, "next")))).split()) == 1


@pytest.mark.parametrize("query", ["_sort=_id", "_sort=date,_id"])
def test_what_was_dropped_is_not_done(operator: Caller, query: str) -> None:
    """R4 search.html#errors: across types there is no order by id; that it is dropped leaves no trace"""
    tag = labelled(operator, *DATED)
    path = f"?_type=Observation,Appointment&_tag={tag}&_count=2&_total=accurate"
    dropped = operator.get(f"{path}&{query}", Prefer="handling=lenient")

    assert link(dropped, "self") == link(operator.get(path), "self")
    assert told(dropped) == told(operator.get(path))


def test_get_and_post_are_equal(operator: Caller) -> None:
    """R4 http.html#search: in a form, in the url, or in both; the links of either are the same"""
    tag = labelled(operator, *DATED)
    asked = [f"_tag={tag}", "_sort=-date", "_count=2", "date=ge2022,lt2022", "_include=Observation:subject"]
    wanted = operator.get("Observation?" + "&".join(asked))
    for split in range(len(asked) + 1):
        url, form = "&".join(asked[:split]), "&".join(asked[split:]).encode()
        found = operator("POST", f"Observation/_search?{url}", form, Content_Type=FORM).json
        assert {**found, "link": None, "id": None} == {**wanted, "link": None, "id": None}
        assert link(found, "self") == link(wanted, "self")
        onward = operator.get(str(link(found, "next")))
        assert ids(onward) == ids(operator.get(str(link(wanted, "next"))))


# --- across types


@pytest.fixture(scope="module")
def several(operator: Caller) -> str:
    """Observations, Procedures and Conditions, told by their days."""
    made = []
    for day in range(1, 10):
        when = f"2024-01-{day:02}"
        subject = {"reference": f"Patient/several-{day % 3}"}
        procedure = {"resourceType": "Procedure", "status": "completed", "performedDateTime": when, "subject": subject}
        kind = (
            observation(effectiveDateTime=when),
            procedure,
            {"resourceType": "Encounter", "status": "finished", "class": {"code": "AMB"}, "period": {"start": when}},
        )[day % 3]
        made.append({**kind, "subject": subject})
    return labelled(operator, *made)


@pytest.mark.parametrize("size", [1, 2, 4, 50])
def test_types_are_merged_in_their_order(operator: Caller, several: str, size: int) -> None:
    """R4 search.html#searchcontexts: `_type`, sorted over all of them, page by page there and back"""
    path = f"?_type=Encounter,Observation,Procedure&_tag={several}&_count={size}&_sort="
    for sort, order in (
        ("date", "1 2 3 4 5 6 7 8 9"),
        ("-date", "9 8 7 6 5 4 3 2 1"),
        ("_lastUpdated", "1 2 3 4 5 6 7 8 9"),
    ):
        pages = list(walk(operator, path + sort))
        assert " ".join(map(told, pages)) == order
        assert " ".join(told(page) for page in walk(operator, path + "-" + sort.lstrip("-"))) == " ".join(
            sorted(order.split(), reverse=True)
        )
        if len(pages) > 1:
            back = list(walk(operator, str(link(pages[-2], "next")), "previous"))
            assert [told(page) for page in back[::-1]] == [told(page) for page in pages]
    patients = list(walk(operator, path + "patient"))
    assert [word[-1] for page in patients for word in _subjects(page)] == list("000111222")


def _subjects(page: dict[str, Any]) -> list[str]:
    return [e["resource"]["subject"]["reference"] for e in page["entry"]]


@pytest.mark.parametrize(("asked", "total"), [("", None), ("&_total=estimate", 9), ("&_total=accurate", 9)])
def test_a_total_that_is_asked_for_is_given_however_many_there_are(
    operator: Caller, several: str, asked: str, total: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R4 search.html#total: past what is counted unasked, too"""
    monkeypatch.setattr(store, "COUNTED", 2)
    found = operator.get(f"?_tag={several}&_count=2{asked}")
    procedures = operator.get(f"Procedure?_tag={several}&_count=1{asked}")

    assert found.get("total") == total
    assert procedures.get("total") == (total and 3)


@pytest.mark.parametrize("size", [1, 2, 4, 50])
def test_types_without_an_order(operator: Caller, several: str, size: int) -> None:
    """R4 search.html#searchcontexts: of all types, or of those named, each once, there and back"""
    for types, wanted in (
        ("", "123456789"),
        ("_type=Observation&", "369"),
        ("_type=Procedure,Observation&", "134679"),
        ("_type=Observation,Procedure,Observation&", "134679"),
    ):
        path = f"?{types}_tag={several}&_count={size}"
        pages = list(walk(operator, path))
        assert sorted("".join(map(told, pages)).replace(" ", "")) == list(wanted), path
        assert operator.get(f"{path}&_total=accurate")["total"] == len(wanted)
        if len(pages) > 1:
            back = list(walk(operator, str(link(pages[-2], "next")), "previous"))
            assert [told(page) for page in back[::-1]] == [told(page) for page in pages]


def test_type_is_asked_of_the_whole_system_alone(operator: Caller, several: str) -> None:
    """R4 search.html#searchcontexts: within a type, or one of the compartment, `_type` would be passed over"""
    for path in ("Observation", "Patient/several-1/Observation"):
        assert operator("GET", f"{path}?_tag={several}&_type=Procedure").status_code == 400
    assert operator("GET", f"?_type=Foo&_tag={several}").status_code == 400
    assert operator("GET", f"?_type=Observation&_type=Procedure&_tag={several}").status_code == 400


def test_a_compartment(operator: Caller, several: str) -> None:
    """R4 compartmentdefinition-patient.html: what a patient's is, of one type or of all"""
    assert told(operator.get(f"Patient/several-1/Procedure?_tag={several}")).split() == ["1", "4", "7"]
    assert told(operator.get(f"Patient/several-0/Procedure?_tag={several}")) == ""
    assert sorted(told(operator.get(f"Patient/several-2/*?_tag={several}")).split()) == ["2", "5", "8"]
    assert told(operator.get(f"Patient/several-2/*?_tag={several}&_type=Observation")) == ""
    assert operator("GET", "Patient/several-2/Organization").status_code == 404
    performed = observation("other", performer=[{"reference": "Patient/several-1"}])
    tag = labelled(operator, performed)
    assert told(operator.get(f"Patient/several-1/Observation?_tag={tag}")) == "1"
    pages = list(walk(operator, f"Patient/several-1/*?_type=Procedure,Observation&_tag={several}&_count=1&_sort=-date"))
    assert " ".join(map(told, pages)) == "7 4 1"


# --- what else is asked and brought along


def test_a_list(operator: Caller) -> None:
    """R4 search.html#list: what the items of a List name, and what of it else matches"""
    tag = labelled(operator, *DATED)
    named = ids(operator.get(f"Observation?_tag={tag}&_sort=date"))
    items = [{"item": {"reference": reference}} for reference in named[1:3]]
    listing = operator.create({"resourceType": "List", "status": "current", "mode": "working", "entry": items})
    id = listing.partition("/")[2]

    assert told(operator.get(f"Observation?_list={id}&_sort=date")) == "3 4"
    assert told(operator.get(f"Observation?_list={id}&date=2022&_tag={tag}")) == "3"
    assert told(operator.get(f"Observation?_list=none,{id}&_sort=-date")) == "4 3"
    assert operator.get(f"Patient?_list={id}")["total"] == 0
    assert operator.get("Observation?_list=none")["total"] == 0
    for query in ("_list=$current-problems", "_list:not=1", "_list="):
        assert operator("GET", f"Observation?{query}").status_code == 400


@pytest.fixture(scope="module")
def linked(operator: Caller) -> dict[str, str]:
    """`Type/id` of an organization, a doctor in it, their patient, an observation of it, one of a version of it."""
    made = {"parent": operator.create({"resourceType": "Organization", "name": "A"})}
    made["organization"] = operator.create(
        {"resourceType": "Organization", "name": "B", "partOf": {"reference": made["parent"]}}
    )
    made["doctor"] = operator.create({"resourceType": "Practitioner"})
    made["role"] = operator.create(
        {
            "resourceType": "PractitionerRole",
            "practitioner": {"reference": made["doctor"]},
            "organization": {"reference": made["organization"]},
        }
    )
    made["patient"] = operator.create(
        patient(
            generalPractitioner=[{"reference": made["doctor"]}],
            managingOrganization={"reference": made["organization"]},
        )
    )
    assert operator("PUT", made["patient"], {**operator.get(made["patient"]), "active": True}).status_code == 200
    id = made["patient"].partition("/")[2]
    made["observation"] = operator.create(observation(id, performer=[{"reference": made["doctor"]}]))
    made["member"] = operator.create(observation(id, hasMember=[{"reference": made["observation"]}]))
    made["versioned"] = operator.create(observation(id, focus=[{"reference": f"{made['patient']}/_history/1"}]))
    return made


@pytest.mark.parametrize(
    ("asked", "query", "comes"),
    [
        ("observation", "_include=Observation:subject", "patient"),
        ("observation", "_include=Observation:subject:Patient", "patient"),
        ("observation", "_include=Observation:subject:Device", ""),
        ("observation", "_include=Observation:performer&_include=Observation:patient", "doctor patient"),
        ("observation", "_include=Observation:*", "doctor patient"),
        ("observation", "_include=*", "doctor patient"),
        ("observation", "_include=Observation:subject&_include=Patient:organization", "400"),
        (
            "observation",
            "_include=Observation:subject&_include:iterate=Patient:organization",
            "patient organization",
        ),
        (
            "observation",
            "_include=Observation:subject&_include:iterate=Patient:organization&_include:iterate=Organization:partof",
            "patient organization parent",
        ),
        ("observation", "_include:iterate=Patient:organization", ""),
        ("member", "_include=Observation:has-member", "observation"),
        ("member", "_include:iterate=Observation:has-member", "observation"),
        (
            "member",
            "_include:iterate=Observation:has-member&_include:iterate=Observation:performer",
            "observation doctor",
        ),
        ("observation", "_revinclude=Observation:has-member", "member"),
        ("doctor", "_revinclude=PractitionerRole:practitioner", "role"),
        (
            "doctor",
            "_revinclude=PractitionerRole:practitioner&_include:iterate=PractitionerRole:organization",
            "role organization",
        ),
        (
            "parent",
            "_revinclude:iterate=Organization:partof&_revinclude:iterate=Patient:organization",
            "organization patient",
        ),
        ("patient", "_revinclude=Observation:subject", "observation member versioned"),
        ("patient", "_revinclude=Observation:focus", "versioned"),
        ("organization", "_revinclude=Patient:organization&_revinclude=PractitionerRole:*", "patient role"),
        ("organization", "_revinclude=*", "patient role"),
        ("versioned", "_include=Observation:subject", "patient"),
    ],
)
def test_includes(operator: Caller, linked: dict[str, str], asked: str, query: str, comes: str) -> None:
    """R4 search.html#include: what comes along, each once, and what it is there for"""
    type, _, id = linked[asked].partition("/")
    answer = operator("GET", f"{type}?_id={id}&{query}")
    if comes == "400":
        assert answer.status_code == 400
        return
    modes = {
        f"{e['resource']['resourceType']}/{e['resource']['id']}": e["search"]["mode"] for e in answer.json["entry"]
    }
    of_ours = {reference: mode for reference, mode in modes.items() if not reference.startswith("AuditEvent/")}

    assert of_ours == {linked[asked]: "match", **{linked[name]: "include" for name in comes.split()}}
    assert answer.json["total"] == 1


def test_a_version_that_is_referred_to_comes_along(operator: Caller, linked: dict[str, str]) -> None:
    """R4 search.html#include: a versioned reference brings that version"""
    id = linked["versioned"].partition("/")[2]
    [_, brought] = operator.get(f"Observation?_id={id}&_include=Observation:focus")["entry"]

    assert brought["resource"]["meta"]["versionId"] == "1"
    assert "active" not in brought["resource"]
    both = operator.get(f"Observation?_id={id}&_include=Observation:focus&_include=Observation:subject")["entry"]
    assert [entry["resource"]["meta"]["versionId"] for entry in both[1:]] == ["1", "2"]


def test_what_is_a_match_is_not_included_too(operator: Caller, linked: dict[str, str]) -> None:
    """R4 search.html#include: each resource once; and it is a match"""
    both = ",".join(linked[name].partition("/")[2] for name in ("observation", "member"))
    found = operator.get(f"Observation?_id={both}&_include=Observation:has-member&_revinclude=Observation:has-member")

    assert [entry["search"]["mode"] for entry in found["entry"]] == ["match", "match"]


# --- contained resources


@pytest.fixture(scope="module")
def holding(operator: Caller) -> str:
    """A MedicationRequest that holds a Medication, and a Medication by itself, of one code."""
    code = f"contained-{next(_NUMBERS)}"
    medication = {"resourceType": "Medication", "code": {"coding": [{"code": code}]}}
    request = {
        "resourceType": "MedicationRequest",
        "status": "active",
        "intent": "order",
        "contained": [{**medication, "id": "m"}, {"resourceType": "Medication", "id": "other", "status": "active"}],
        "medicationReference": {"reference": "#m"},
        "subject": {"reference": "Patient/holding"},
        "supportingInformation": [{"reference": "#other"}],
    }
    labelled(operator, medication, request)
    return code


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["Medication"]),
        ("&_contained=false", ["Medication"]),
        ("&_contained=true", ["MedicationRequest"]),
        ("&_contained=both", ["Medication", "MedicationRequest"]),
        ("&_contained=true&_containedType=container", ["MedicationRequest"]),
        ("&_contained=true&_containedType=contained", ["#m"]),
        ("&_contained=both&_containedType=contained", ["Medication", "#m"]),
        ("&_contained=true&status=active", []),
        ("&_contained=true&_lastUpdated=gt2000", []),
        ("&_contained=true&_containedType=contained&_lastUpdated=gt2000", []),
    ],
)
def test_contained(operator: Caller, holding: str, query: str, found: list[str]) -> None:
    """R4 search.html#contained: by what one contained resource says, itself or what holds it"""
    page = operator.get(f"Medication?code={holding}{query}")

    kinds = [e["fullUrl"][-2:] if "#" in e["fullUrl"] else e["resource"]["resourceType"] for e in page.get("entry", ())]

    assert sorted(kinds) == sorted(found)
    assert page["total"] == len(found)
    assert operator.get(f"Medication?code={holding}{query}&_summary=count")["total"] == len(found)


def test_a_chain_goes_into_what_is_contained(operator: Caller, holding: str) -> None:
    """R4 search.html#contained: chained searches go into them; by the reference that is asked"""
    assert [r.partition("/")[0] for r in ids(operator.get(f"MedicationRequest?medication.code={holding}"))] == [
        "MedicationRequest"
    ]
    assert operator.get(f"MedicationRequest?medication.code={holding}&medication.status=active")["total"] == 0
    assert operator.get(f"MedicationRequest?medication.code={holding}x")["total"] == 0


# --- nothing of another's record


@pytest.fixture(scope="module")
def two(served: Served, operator: Caller) -> tuple[str, Caller, str, Caller, Caller, str]:
    """(A, A's caller, B, B's caller, a professional's caller, their doctor): two records that refer to one another."""
    doctor = operator.create({"resourceType": "Practitioner", "name": [{"family": "Deux"}]})
    (a, first), (b, second) = (
        served.patient(generalPractitioner=[{"reference": doctor}], name=[{"family": family}])
        for family in ("Albert", "Bernard")
    )
    depositor = served.caller("user/*.cruds", practitioner=doctor.partition("/")[2])
    depositor.create(observation(a, performer=[{"reference": doctor}], status="preliminary"))
    theirs = [observation(b, performer=[{"reference": doctor}], effectiveDateTime=f"2024-0{n}-01") for n in range(1, 4)]
    named = [operator.create(one) for one in theirs]
    members = [{"reference": reference} for reference in named]
    operator.create(
        observation(a, hasMember=members, focus=[{"reference": f"Patient/{b}"}], performer=[{"reference": doctor}])
    )
    operator.create(observation(b, focus=[{"reference": f"Patient/{a}"}], status="amended"))
    items = [{"item": one} for one in members]
    whose = {"reference": f"Patient/{a}"}
    listing = {"resourceType": "List", "id": f"list-{a}", "status": "current", "mode": "working", "subject": whose}
    operator("PUT", f"List/list-{a}", {**listing, "entry": items})
    return a, first, b, second, depositor, doctor.partition("/")[2]


#: Questions that would tell of B, if A's scopes did not bound each step of them.
THROUGH = [
    "Observation?focus:Patient.name=bernard",
    "Observation?focus:Patient.name:missing=false&focus={b}",
    "Observation?has-member.status=final",
    "Observation?has-member.date=ge2024",
    "Observation?has-member.subject:Patient.name=bernard",
    "Observation?_has:Observation:has-member:status=final&subject={b}",
    "Patient?_has:Observation:focus:status=amended",
    "Patient?_has:Observation:subject:date=ge2024",
    "Patient?_has:Observation:subject:performer=Practitioner/{d}&_id={b}",
    "Patient?name=bernard",
    "Practitioner?_has:Patient:general-practitioner:name=bernard",
    "Practitioner?_has:Observation:performer:date=ge2024",
    "Practitioner?_has:Observation:performer:subject:Patient.name=bernard",
    "Practitioner?_has:Observation:performer:_has:Observation:has-member:status=final",
    "Observation?_list=list-{a}",
    "Patient/{b}/Observation",
    "Patient/{b}/*",
    "?_type=Observation,Patient&_id={b}",
    "?_type=Observation&subject={b}",
    "Observation?subject={b}&_sort=-date",
    "Observation?_tag:missing=true&subject=Patient/{b}&_contained=both",
]


@pytest.mark.parametrize("path", THROUGH)
def test_no_question_goes_through_another_record(two: Any, path: str) -> None:
    """A chain, `_has`, list, compartment or order is answered from what the caller may see, at each of its steps"""
    a, first, b, _, _, doctor = two
    path = path.replace("{a}", a).replace("{b}", b).replace("{d}", doctor)
    separator = "&" if "?" in path else "?"

    assert ids(first.get(path)) == []
    assert first.get(f"{path}{separator}_summary=count")["total"] == 0


@pytest.mark.parametrize(
    ("path", "number"),
    [
        ("Observation?_include=Observation:has-member&_include=Observation:focus", 2),
        ("Observation?_include=*&_include:iterate=*", 2),
        ("Practitioner?_id={d}&_revinclude=Observation:performer&_revinclude=Patient:general-practitioner", 1),
        ("Practitioner?_id={d}&_revinclude=*", 1),
        ("Patient?_revinclude=Observation:focus&_revinclude=Observation:subject", 1),
        ("Observation?_sort=-date&_count=1", 2),
        ("Observation?_total=accurate&_count=1", 2),
        ("Patient/{a}/*", 3),
        ("?_type=Observation,Patient,List&_sort=-_lastUpdated&_count=2&_total=accurate", 4),
    ],
)
def test_nothing_of_another_record_comes_along(two: Any, operator: Caller, path: str, number: int) -> None:
    """Includes, pages and totals of A's hold nothing of B's, though A's resources refer to it"""
    a, first, b, _, _, doctor = two
    hidden = {*ids(operator.get(f"Observation?subject={b}")), f"Patient/{b}"}
    pages = list(walk(first, path.replace("{a}", a).replace("{b}", b).replace("{d}", doctor)))
    found = {reference for page in pages for reference in ids(page)}
    matches = [e["resource"] for page in pages for e in page["entry"] if e["search"]["mode"] == "match"]

    assert len(hidden) == 5
    assert not hidden & found
    of_the_record = [one for one in matches if one["resourceType"] != "AuditEvent"]
    assert len(of_the_record) == number
    assert {page["total"] for page in pages if "total" in page} <= {len(matches)}


def test_a_professional_goes_through_what_they_deposited(two: Any) -> None:
    """user/ scopes: neither the patient nor what others deposited is felt for through the own deposit"""
    a, _, b, _, depositor, doctor = two

    assert len(ids(depositor.get("Observation?status=preliminary"))) == 1
    for path in (
        "Observation?subject:Patient.name=albert",
        "Observation?has-member.status=final",
        f"Practitioner?_has:Observation:performer:subject={b}",
        f"Patient/{b}/Observation",
        f"Observation?_list=list-{a}",
    ):
        assert ids(depositor.get(path)) == [], path
    assert f"Patient/{a}" not in ids(depositor.get("Observation?_include=Observation:subject"))
    assert ids(depositor.get(f"Practitioner?_has:Observation:performer:subject={a}")) == [f"Practitioner/{doctor}"]


def test_a_list_of_anothers_is_as_if_it_were_not_there(two: Any) -> None:
    """R4 search.html#list: in every byte as a List that never was"""
    a, _, _, second, _, _ = two
    here, nowhere = f"list-{a}", "list-of-nobody"

    assert seen(second("GET", f"Observation?_list={quote(here)}"), here) == seen(
        second("GET", f"Observation?_list={nowhere}"), nowhere
    )
