"""history of an instance, a type, the system.  R4 http.html#history, bundle.html"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest


@pytest.fixture(autouse=True)
def offered(advertised):
    """R4 http.html#history is optional."""
    advertised.need("Patient", "history-instance")


def instant(text):
    return datetime.fromisoformat(text)


def entry_instant(entry):
    """When the version of an entry came to be."""
    return instant(entry["response"]["lastModified"])


def written(fhir, entry):
    """The id of what an entry wrote, or deleted."""
    return entry["resource"]["id"] if "resource" in entry else fhir.local(entry["request"]["url"]).split("/")[1]


def history(fhir, path, **params):
    """The first page of a history that must be there."""
    response = fhir.get(path, params=params)
    assert response.status_code == 200, response.text[:1000]
    bundle = response.json()
    assert (bundle["resourceType"], bundle["type"]) == ("Bundle", "history")
    return bundle


@pytest.fixture(scope="module")
def lived(fhir):
    """A Patient created, changed, deleted and brought back, each over a second after the other."""
    stored = fhir.create({"resourceType": "Patient", "birthDate": "2001-01-01"})
    path = f"Patient/{stored['id']}"
    time.sleep(1.1)
    fhir.put(path, {**stored, "birthDate": "2002-01-01"})
    time.sleep(1.1)
    fhir.delete(path)
    time.sleep(1.1)
    fhir.put(path, {**stored, "birthDate": "2004-01-01"})
    return path


def test_versions_come_newest_first_with_deletes(fhir, lived):
    """R4 http.html#history: sorted with oldest versions last, and including deleted resources"""
    bundle = history(fhir, f"{lived}/_history")

    assert [entry["request"]["method"] for entry in bundle["entry"]] == ["PUT", "DELETE", "PUT", "POST"]
    births = [entry.get("resource", {}).get("birthDate") for entry in bundle["entry"]]
    assert births == ["2004-01-01", None, "2002-01-01", "2001-01-01"]
    instants = [entry_instant(entry) for entry in bundle["entry"]]
    assert instants == sorted(instants, reverse=True)


def test_each_entry_says_what_was_asked_and_answered(fhir, lived):
    """R4 bundle.html: bdl-3 and bdl-4, request and response are mandatory in a history; bdl-8, no version in fullUrl"""
    bundle = history(fhir, f"{lived}/_history")

    assert [entry["response"]["status"][:3] for entry in bundle["entry"][1:3]] in (["204", "200"], ["200", "200"])
    assert bundle["entry"][0]["response"]["status"][:3] in ("200", "201")
    assert bundle["entry"][3]["response"]["status"][:3] in ("200", "201")
    for entry in bundle["entry"]:
        assert entry["request"]["url"] in (lived, "Patient", f"{fhir.base}/{lived}")
        if "fullUrl" in entry:
            assert entry["fullUrl"] == f"{fhir.base}/{lived}"
        if "resource" in entry:
            assert entry["response"]["lastModified"] == entry["resource"]["meta"]["lastUpdated"]
            if "etag" in entry["response"]:
                assert entry["response"]["etag"] == f'W/"{entry["resource"]["meta"]["versionId"]}"'
        else:
            assert entry["request"]["method"] == "DELETE"


def test_each_entry_is_what_vread_returns(fhir, versions):
    """R4 http.html#history, #vread"""
    stored = versions()

    bundle = history(fhir, f"Patient/{stored[0]['id']}/_history")

    assert [entry["resource"] for entry in bundle["entry"]] == stored[::-1]


def test_total_counts_versions(fhir, lived):
    """R4 bundle.html#Bundle.total: for history, the number of versions"""
    bundle = history(fhir, f"{lived}/_history", _count=2)

    assert bundle.get("total", 4) == 4


def test_a_self_link_is_there(fhir, patient):
    """R4 http.html#paging: all searches SHALL return this value"""
    stored = patient()

    assert f"Patient/{stored['id']}/_history" in fhir.link(history(fhir, f"Patient/{stored['id']}/_history"), "self")


def test_the_history_of_a_deleted_resource_can_be_read(fhir, patient):
    """R4 http.html#delete: the version history is not removed"""
    stored = patient()
    fhir.delete(f"Patient/{stored['id']}")

    assert len(history(fhir, f"Patient/{stored['id']}/_history")["entry"]) == 2


def test_the_history_of_what_never_was_is_404(fhir, tag):
    """R4 http.html#history"""
    fhir.issues(fhir.get(f"Patient/{tag}/_history"), 404)
    fhir.issues(fhir.get("Nonsense/_history"), 404)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 50])
def test_pages_hold_each_version_once(fhir, lived, size):
    """R4 http.html#paging: _count is respected across pages, next leads on"""
    pages = list(fhir.pages(history(fhir, f"{lived}/_history", _count=size)))

    assert all(len(page.get("entry", [])) <= size for page in pages)
    assert all(page["type"] == "history" for page in pages)
    methods = [entry["request"]["method"] for page in pages for entry in page.get("entry", [])]
    assert methods == ["PUT", "DELETE", "PUT", "POST"]


def test_pages_hold_each_version_once_while_it_changes(fhir, versions):
    """R4 http.html#paging: integrity in the context of ongoing changes"""
    stored = versions()
    path = f"Patient/{stored[0]['id']}"
    seen = []

    for number, page in enumerate(fhir.pages(history(fhir, f"{path}/_history", _count=1))):
        seen += [entry["resource"]["meta"]["versionId"] for entry in page["entry"]]
        fhir.put(path, {**stored[-1], "birthDate": f"1900-01-{number + 1:02}"})
        assert number < 20, "the walk does not end"

    before = [version["meta"]["versionId"] for version in stored]
    assert len(seen) == len(set(seen))
    assert [version_id for version_id in seen if version_id in before] == before[::-1]


def test_since_leaves_out_what_is_older(fhir, lived):
    """R4 http.html#history: _since, versions created at or after the instant"""
    newest_first = history(fhir, f"{lived}/_history")["entry"]

    bundle = history(fhir, f"{lived}/_history", _since=newest_first[1]["response"]["lastModified"])

    assert bundle["entry"] == newest_first[:2]
    assert bundle.get("total", 2) == 2


def test_since_takes_an_instant_of_any_zone(fhir, lived):
    """R4 datatypes.html#instant"""
    newest_first = history(fhir, f"{lived}/_history")["entry"]
    moment = entry_instant(newest_first[1]).astimezone(UTC) + timedelta(hours=5, minutes=30)

    bundle = history(fhir, f"{lived}/_history", _since=moment.strftime("%Y-%m-%dT%H:%M:%S.%f+05:30"))

    assert [entry["request"]["method"] for entry in bundle["entry"]][:1] == ["PUT"]
    assert len(bundle["entry"]) == 2


def test_since_the_future_is_empty(fhir, patient):
    """R4 http.html#history, json.html: an array is never empty"""
    bundle = history(fhir, f"Patient/{patient()['id']}/_history", _since="2999-01-01T00:00:00Z")

    assert "entry" not in bundle
    assert bundle.get("total", 0) == 0


def test_at_an_instant_gives_what_was_current_then(fhir, lived):
    """R4 http.html#history: _at, versions that were current at some point during the time period"""
    newest_first = history(fhir, f"{lived}/_history")["entry"]
    between = entry_instant(newest_first[2]) + (entry_instant(newest_first[1]) - entry_instant(newest_first[2])) / 2

    bundle = history(fhir, f"{lived}/_history", _at=between.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"))

    assert [entry["resource"]["birthDate"] for entry in bundle["entry"]] == ["2002-01-01"]


def test_at_a_period_gives_all_that_was_current_in_it(fhir, lived):
    """R4 http.html#history: a year is a period; search.html#date"""
    year = str(datetime.now(UTC).year)
    if (datetime.now(UTC) + timedelta(days=1)).year != datetime.now(UTC).year or datetime.now(
        UTC
    ).timetuple().tm_yday == 1:
        pytest.skip("the year turns, somewhere")

    assert len(history(fhir, f"{lived}/_history", _at=year)["entry"]) == 4
    assert "entry" not in history(fhir, f"{lived}/_history", _at="2001")


@pytest.mark.parametrize("parameter", ["_since", "_at"])
@pytest.mark.parametrize("value", ["garbage", "2024-13-01", "24", "2024-02-30T00:00:00Z", "", "$ne"])
def test_an_unreadable_instant_is_400(fhir, patient, parameter, value):
    """R4 http.html#history: an instant, a date(Time)"""
    response = fhir.get(f"Patient/{patient()['id']}/_history", params={parameter: value})

    if value or response.status_code != 200:  # an empty parameter may count as none
        fhir.issues(response, 400)


@pytest.mark.parametrize("value", ["abc", "-1", "1.5", "9" * 30])
def test_an_odd_count_is_refused_or_ignored(fhir, patient, value):
    """R4 http.html#history: _count is an integer"""
    response = fhir.get(f"Patient/{patient()['id']}/_history", params={"_count": value})

    if response.status_code != 200:
        fhir.issues(response, 400)


def test_a_patch_is_in_the_history_with_its_resource(fhir, advertised, patient):
    """R4 http.html#patch: processed as an update"""
    advertised.need("Patient", "patch")
    stored = patient()
    fhir.json_patch(f"Patient/{stored['id']}", [{"op": "add", "path": "/gender", "value": "other"}])

    newest = history(fhir, f"Patient/{stored['id']}/_history")["entry"][0]

    assert newest["request"]["method"] in ("PUT", "PATCH")
    assert newest["resource"]["gender"] == "other"


def test_conditional_interactions_appear_as_direct_ones(fhir, advertised, criteria, new_patient):
    """R4 http.html#history: conditional updates and deletes are converted to direct ones in a history list"""
    advertised.need_on("Patient", "conditionalUpdate")
    advertised.need_on("Patient", "conditionalDelete")
    path = fhir.local(fhir.put(f"Patient?{criteria}", new_patient()).headers["Location"])
    fhir.put(f"Patient?{criteria}", new_patient(gender="other"))
    fhir.delete(f"Patient?{criteria}")

    entries = history(fhir, f"{path}/_history")["entry"]

    assert [entry["request"]["method"] for entry in entries][:2] == ["DELETE", "PUT"]
    assert [entry["request"]["url"].removeprefix(f"{fhir.base}/") for entry in entries][:2] == [path, path]


# -- type and system -----------------------------------------------------------------------------------------
def test_the_history_of_a_type_holds_all_its_resources(fhir, advertised, patient, observation):
    """R4 http.html#history: GET [base]/[type]/_history"""
    advertised.need("Patient", "history-type")
    first, second, other = patient(), patient(), observation()
    fhir.delete(f"Patient/{first['id']}")

    pages = fhir.pages(history(fhir, "Patient/_history", _since=first["meta"]["lastUpdated"], _count=50))

    entries = [entry for page in pages for entry in page["entry"]]
    ours = [
        (entry["request"]["method"], written(fhir, entry))
        for entry in entries
        if written(fhir, entry) in (first["id"], second["id"])
    ]
    assert ours == [("DELETE", first["id"]), ("POST", second["id"]), ("POST", first["id"])]
    assert {entry["resource"]["resourceType"] for entry in entries if "resource" in entry} == {"Patient"}
    assert other["id"] not in {entry.get("resource", {}).get("id") for entry in entries}


def test_the_history_of_the_system_holds_all_types(fhir, advertised, patient, observation):
    """R4 http.html#history: GET [base]/_history"""
    advertised.need_system("history-system")
    first, second = patient(), observation()
    fhir.delete(f"Patient/{first['id']}")

    pages = fhir.pages(history(fhir, "_history", _since=first["meta"]["lastUpdated"], _count=50))

    entries = [entry for page in pages for entry in page["entry"]]
    instants = [entry_instant(entry) for entry in entries]
    assert instants == sorted(instants, reverse=True)
    ours = [entry["request"]["method"] for entry in entries if written(fhir, entry) in (first["id"], second["id"])]
    assert ours == ["DELETE", "POST", "POST"]


@pytest.mark.parametrize(
    ("path", "interaction"), [("Patient/_history", "history-type"), ("_history", "history-system")]
)
def test_count_bounds_the_page_at_every_level(fhir, advertised, patient, path, interaction):
    """R4 http.html#history: the server cannot return more than _count"""
    if interaction not in advertised.system() | advertised.interactions("Patient"):
        pytest.skip(f"the server does not offer {interaction}")
    first = patient()
    patient(), patient()

    bundle = history(fhir, path, _count=2, _since=first["meta"]["lastUpdated"])

    assert len(bundle["entry"]) <= 2
    assert fhir.link(bundle, "next")


def test_a_write_is_in_the_history_at_once(fhir, advertised, patient):
    """R4 http.html#history: a subscriber that starts from its last instant misses nothing"""
    advertised.need("Patient", "history-type")
    for _ in range(5):
        stored = patient()

        bundle = history(fhir, "Patient/_history", _since=stored["meta"]["lastUpdated"], _count=50)

        assert stored["id"] in {entry["resource"]["id"] for entry in bundle["entry"] if "resource" in entry}
