"""Paging of searches.  R4 http.html#paging, search.html#count, #total"""

from __future__ import annotations

import pytest

SIZE = 23


@pytest.fixture(scope="module")
def many(fhir, advertised, new_tag):
    """A tag and the ids of the patients that carry it."""
    tag = new_tag()
    resource = {"resourceType": "Patient", "identifier": [{"system": fhir.identifiers, "value": tag}]}
    ids = {fhir.create(resource)["id"] for _ in range(SIZE)}
    return ("identifier", f"{fhir.identifiers}|{tag}"), ids


def page_ids(page):
    return [entry["resource"]["id"] for entry in page.get("entry", [])]


@pytest.mark.parametrize("count", [1, 2, 5, 22, 23, 24, 100])
def test_a_walk_finds_each_match_once(fhir, many, count):
    """R4 http.html#paging, search.html#count: the server SHALL NOT return more than _count"""
    criterion, ids = many

    pages = list(fhir.pages(fhir.search("Patient", criterion, ("_count", str(count)))))

    assert all(len(page.get("entry", [])) <= count for page in pages)
    walked = [id_ for page in pages for id_ in page_ids(page)]
    assert sorted(walked) == sorted(ids)
    assert len(pages) <= SIZE // count + 1
    assert {page["type"] for page in pages} == {"searchset"}
    assert all(fhir.link(page, "self") for page in pages)


def test_every_page_tells_the_total(fhir, many):
    """R4 search.html#total: if given, the number of matches, not of the entries of the page"""
    criterion, _ = many

    for page in fhir.pages(fhir.search("Patient", criterion, ("_count", "10"))):
        assert page.get("total", SIZE) == SIZE


def test_the_order_is_the_same_each_time(fhir, many):
    """R4 http.html#search: a collection of zero or more resources in a defined order"""
    criterion, _ = many

    whole = fhir.matches(fhir.search("Patient", criterion, ("_count", "100")))
    paged = fhir.matches(fhir.search("Patient", criterion, ("_count", "4")))

    assert whole == paged


def test_a_count_of_nought_is_the_total(fhir, many):
    """R4 search.html#count: if _count has the value 0, this shall be treated the same as _summary=count"""
    criterion, _ = many

    bundle = fhir.search("Patient", criterion, ("_count", "0"))

    assert "entry" not in bundle
    assert bundle["total"] == SIZE


def test_summary_count_is_the_total(fhir, many):
    """R4 search.html#summary: count, just return a count of the matching resources"""
    criterion, _ = many

    bundle = fhir.search("Patient", criterion, ("_summary", "count"))

    assert "entry" not in bundle
    assert bundle["total"] == SIZE


def test_a_post_is_walked_by_get(fhir, many):
    """R4 http.html#paging: the initial request may be made via a POST, the follow up pages via GET"""
    (name, value), ids = many
    response = fhir.post(
        "Patient/_search",
        body=f"{name}={value.replace('|', '%7C')}&_count=9",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )

    assert sorted(fhir.matches(response.json())) == sorted(ids)


def test_pages_come_in_the_format_of_the_first(fhir, many):
    """R4 http.html#parameters: _format, _elements and _summary hold for the pages that follow"""
    criterion, _ = many

    bundle = fhir.search("Patient", criterion, ("_count", "9"), ("_elements", "name"))
    second = fhir.get(fhir.link(bundle, "next")).json()

    assert all("identifier" not in entry["resource"] for entry in second["entry"])


@pytest.mark.parametrize("count", [3, 7])
def test_a_walk_is_whole_while_others_write(fhir, new_patient, by_tag, count):
    """R4 http.html#paging: retains integrity in the context of ongoing changes"""
    before = {fhir.create(new_patient())["id"] for _ in range(15)}
    walked = []

    for number, page in enumerate(fhir.pages(fhir.search("Patient", by_tag, ("_count", str(count))))):
        walked += page_ids(page)
        fhir.create(new_patient())
        assert number < 30, "the walk does not end"

    assert len(walked) == len(set(walked))
    assert before <= set(walked)


def test_a_walk_is_whole_while_others_delete(fhir, new_patient, by_tag):
    """R4 http.html#paging: what stays is found, also when what is deleted was on a page already read"""
    before = [fhir.create(new_patient())["id"] for _ in range(15)]
    walked = []

    for page in fhir.pages(fhir.search("Patient", by_tag, ("_count", "4"))):
        walked += page_ids(page)
        fhir.delete(f"Patient/{page_ids(page)[-1]}")

    assert len(walked) == len(set(walked))
    assert set(walked) == set(before)


def test_a_walk_is_whole_while_others_update(fhir, new_patient, by_tag):
    """R4 http.html#paging: an update moves nothing out of sight"""
    before = {fhir.create(new_patient())["id"] for _ in range(12)}
    walked = []

    for page in fhir.pages(fhir.search("Patient", by_tag, ("_count", "4"))):
        walked += page_ids(page)
        for id_ in before:
            fhir.put(f"Patient/{id_}", new_patient(id=id_, gender="other"))
        assert len(walked) < 100, "the walk does not end"

    assert before <= set(walked)


def test_no_page_link_breaks_the_server(fhir, many):
    """R4 http.html#paging: the links are opaque to the client"""
    criterion, _ = many
    link = fhir.link(fhir.search("Patient", criterion, ("_count", "5")), "next")

    for tampered in (
        link + "x",
        link[:-1],
        link[:-4] + "%00",
        link.replace("=", "=%ff", 9),
        link + "&" + link.split("?")[-1],
    ):
        assert fhir.get(tampered).status_code in (200, 400, 404, 410)
