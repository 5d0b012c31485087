"""What a document holds to be kept, and under which ids.  R4: bundle.html, http.html#trules"""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.loading.entries import Entry, Refused, entries
from fhir_server.loading.tally import KINDS, Tally

UUID = "9d92805b-c25a-c7ad-60ca-80c93ffb80b1"


def held(document: Any) -> list[Entry | Refused]:
    """What `entries` finds."""
    return list(entries(document, "f.json"))


def bundle(type: str, *items: dict[str, Any]) -> dict[str, Any]:
    """A Bundle."""
    return {"resourceType": "Bundle", "type": type, "entry": list(items)}


def one(item: dict[str, Any], type: str = "transaction") -> Entry:
    """The entry that the item of a Bundle is."""
    (found,) = held(bundle(type, item))
    assert isinstance(found, Entry), found
    return found


def post(resource: dict[str, Any], **request: str) -> dict[str, Any]:
    """An entry that creates."""
    return {"resource": resource, "request": {"method": "POST", "url": resource["resourceType"], **request}}


def test_a_resource_is_its_own_entry() -> None:
    """Under its own id."""
    (found,) = held({"resourceType": "Patient", "id": "1"})
    assert isinstance(found, Entry) and (found.type, found.id, found.place) == ("Patient", "1", "f.json")


@pytest.mark.parametrize("type", ["document", "message"])
def test_documents_and_messages_stay_whole(type: str) -> None:
    """R4: documents.html: a document Bundle is kept as such."""
    (found,) = held({**bundle(type, {"resource": {"resourceType": "Patient"}}), "id": "d"})
    assert isinstance(found, Entry) and (found.type, found.id) == ("Bundle", "d")


@pytest.mark.parametrize("type", ["transaction", "batch", "collection", "searchset", "history"])
def test_every_other_bundle_is_unpacked(type: str) -> None:
    """Each entry by itself, its place told."""
    item = {"fullUrl": f"urn:uuid:{UUID}", **post({"resourceType": "Patient"})}
    found = one(item, type)
    assert (found.id, found.place, found.full_url) == (UUID, "f.json: Bundle.entry[0]", f"urn:uuid:{UUID}")


def test_a_post_keeps_the_uuid_of_its_full_url() -> None:
    """So that it is found when it is loaded again."""
    assert one({"fullUrl": f"urn:uuid:{UUID}", **post({"resourceType": "Patient", "id": "x"})}).id == UUID


def test_a_put_has_the_id_of_its_url() -> None:
    """R4: http.html#update"""
    item = {
        "fullUrl": f"urn:uuid:{UUID}",
        "resource": {"resourceType": "Patient"},
        "request": {"method": "PUT", "url": "Patient/7"},
    }
    assert one(item).id == "7"


@pytest.mark.parametrize("url", ["Observation/7", "Patient", "Patient/ü", 7])
def test_a_put_to_elsewhere_is_refused(url: Any) -> None:
    """The URL and the resource must be of one type."""
    item = {"resource": {"resourceType": "Patient"}, "request": {"method": "PUT", "url": url}}
    assert isinstance(held(bundle("batch", item))[0], Refused)


def test_without_any_id_the_content_gives_one() -> None:
    """The same for the same content, whatever its version, its time and the order of its elements."""
    first = one(post({"resourceType": "Patient", "active": True, "meta": {"versionId": "1", "source": "#a"}}))
    again = one(post({"resourceType": "Patient", "meta": {"source": "#a", "versionId": "2"}, "active": True}))
    other = one(post({"resourceType": "Patient", "meta": {"source": "#a"}, "active": False}))
    assert first.id == again.id != other.id


def test_conditions_are_kept_apart() -> None:
    """R4: http.html#ccreate leaves what matches; http.html#cond-update replaces it."""
    create = one(post({"resourceType": "Patient"}, ifNoneExist="identifier=a|1"))
    update = one(
        {"resource": {"resourceType": "Patient"}, "request": {"method": "PUT", "url": "Patient?identifier=a|1"}}
    )
    assert (create.criteria, create.replaces) == ("identifier=a|1", False)
    assert (update.criteria, update.replaces) == ("identifier=a|1", True)


def test_a_history_is_its_newest_versions() -> None:
    """R4: http.html#history: newest first; what was deleted last is not there."""
    found = held(
        bundle(
            "history",
            {"resource": {"resourceType": "Patient", "id": "1", "active": True}},
            {"fullUrl": "http://s/Patient/2", "request": {"method": "DELETE", "url": "Patient/2"}},
            {"resource": {"resourceType": "Patient", "id": "2"}, "request": {"method": "PUT", "url": "Patient/2"}},
            {"resource": {"resourceType": "Patient", "id": "1", "active": False}},
        )
    )
    assert [each.resource for each in found if isinstance(each, Entry)] == [
        {"resourceType": "Patient", "id": "1", "active": True}
    ]
    assert len(found) == 1


@pytest.mark.parametrize(
    "item",
    [
        {"request": {"method": "GET", "url": "Patient/1"}},
        {"resource": {"resourceType": "OperationOutcome"}, "search": {"mode": "outcome"}},
    ],
)
def test_what_is_not_meant_to_be_kept_is_passed_over(item: dict[str, Any]) -> None:
    """R4: bundle.html: questions, and what a search says of itself."""
    assert held(bundle("batch", item)) == []


@pytest.mark.parametrize(
    "document",
    [
        [],
        "text",
        {"id": "1"},
        {"resourceType": 7},
        {"resourceType": "Bundle", "type": "collection", "entry": {}},
        bundle("transaction-response", {}),
        bundle("collection", {"fullUrl": "urn:uuid:1"}),
        bundle("batch", {"request": {"method": "DELETE", "url": "Patient/1"}}),
        bundle("collection", {"resource": {"resourceType": "Patient"}, "fullUrl": 7}),
        {"resourceType": "Bundle", "type": "collection", "entry": ["x"]},
    ],
)
def test_what_cannot_be_loaded_is_said(document: Any) -> None:
    """With its place, and nothing else of it."""
    (found,) = held(document)
    assert isinstance(found, Refused) and found.place.startswith("f.json") and found.reason


def test_faults_of_a_kind_are_told_together() -> None:
    """The same words but for indices and what is quoted; the first is the example."""
    tally = Tally()
    tally.fault("Patient", "Patient.name[0]: `a` is no b", "f:1")
    tally.fault("Patient", "Patient.name[3]: `c` is no b", "f:2")
    tally.fault("Observation", "Patient.name[3]: `c` is no b", "f:3")
    (_, first), (_, second) = tally.kinds("error")
    assert (first.count, first.message, first.place, second.count) == (2, "Patient.name[0]: `a` is no b", "f:1", 1)
    assert tally.faults() == 3 and tally.faults("warning") == 0


def test_tallies_add_up_and_stay_bounded() -> None:
    """Those of several processes; a million kinds of faults need no memory."""
    whole = Tally()
    for number in range(KINDS * 2):
        other = Tally()
        other.count("Patient", "created")
        other.fault("Patient", f"kind {number}", "f")
        whole.add(other)
    assert whole.of("created") == KINDS * 2 == whole.faults()
    assert len(whole.groups) <= KINDS + 1
