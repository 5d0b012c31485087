"""update, update as create, and resource contention.  R4 http.html#update, #upsert, #concurrency"""

from __future__ import annotations

from datetime import datetime
from email.utils import parsedate_to_datetime

import pytest


def test_update_makes_a_new_current_version(fhir, patient):
    """R4 http.html#update: 200, a new current version, with Last-Modified and ETag of the new version"""
    stored = patient(birthDate="1980-01-01")

    response = fhir.put(f"Patient/{stored['id']}", {**stored, "birthDate": "1980-01-02"})

    assert response.status_code == 200
    current = fhir.read(f"Patient/{stored['id']}")
    assert current["birthDate"] == "1980-01-02"
    assert current["meta"]["versionId"] != stored["meta"]["versionId"]
    assert response.headers["ETag"] == f'W/"{current["meta"]["versionId"]}"'
    last_updated = datetime.fromisoformat(current["meta"]["lastUpdated"])
    assert parsedate_to_datetime(response.headers["Last-Modified"]) == last_updated.replace(microsecond=0)
    assert last_updated >= datetime.fromisoformat(stored["meta"]["lastUpdated"])


def test_update_replaces_the_whole_content(fhir, patient, new_patient):
    """R4 http.html#update: update generally updates the whole content; what is left out is gone"""
    stored = patient(birthDate="1980-01-01", gender="male")

    fhir.put(f"Patient/{stored['id']}", new_patient(id=stored["id"], gender="male"))

    current = fhir.read(f"Patient/{stored['id']}")
    assert "birthDate" not in current
    assert current["gender"] == "male"


def test_update_ignores_the_clients_version_and_instant(fhir, patient):
    """R4 http.html#update: the server SHALL ignore the provided versionId and lastUpdated values"""
    stored = patient()

    meta = {"versionId": "777", "lastUpdated": "1999-01-01T00:00:00Z"}
    response = fhir.put(f"Patient/{stored['id']}", {**stored, "meta": meta, "gender": "other"})

    assert response.status_code == 200
    current = fhir.read(f"Patient/{stored['id']}")
    assert current["meta"]["versionId"] not in ("777", stored["meta"]["versionId"])
    assert not current["meta"]["lastUpdated"].startswith("1999")


def test_update_without_meta_is_as_good(fhir, patient, new_patient):
    """R4 http.html#update: meta is the server's to fill"""
    stored = patient()

    assert fhir.put(f"Patient/{stored['id']}", new_patient(id=stored["id"], gender="other")).status_code == 200
    assert fhir.read(f"Patient/{stored['id']}")["meta"]["versionId"]


def test_update_with_the_same_content_is_no_error(fhir, patient):
    """R4 http.html#update: a server may or may not make a version of it, but says which"""
    stored = patient()

    response = fhir.put(f"Patient/{stored['id']}", stored)

    current = fhir.read(f"Patient/{stored['id']}")
    assert response.status_code == 200
    assert response.headers["ETag"] == f'W/"{current["meta"]["versionId"]}"'
    assert fhir.content(current) == fhir.content(stored)


def test_every_version_has_an_id_of_its_own(versions):
    """R4 http.html#concurrency: version ids are unique within all versions of the same resource"""
    version_ids = [version["meta"]["versionId"] for version in versions()]

    assert len(set(version_ids)) == 3


@pytest.mark.parametrize(
    ("prefer", "body"),
    [("return=minimal", None), ("return=representation", "Patient"), ("return=OperationOutcome", "OperationOutcome")],
)
def test_update_honours_prefer(fhir, patient, prefer, body):
    """R4 http.html#ops"""
    stored = patient()

    response = fhir.put(f"Patient/{stored['id']}", {**stored, "gender": "other"}, headers={"Prefer": prefer})

    assert response.status_code == 200
    assert (response.json()["resourceType"] if response.content else None) == body


# -- what is refused -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("id_", ["", 5, "a b", "a" * 65, ["x"]])
def test_an_id_that_is_none_is_refused(fhir, patient, new_patient, id_):
    """R4 datatypes.html#id, http.html#rejecting-updates"""
    stored = patient()

    fhir.issues(fhir.put(f"Patient/{stored['id']}", new_patient(id=id_, gender="male")), 400, 422)

    assert fhir.read(f"Patient/{stored['id']}") == stored


@pytest.mark.parametrize("id_", [None, "another"])
def test_the_body_must_carry_the_id_of_the_url(fhir, patient, new_patient, id_):
    """R4 http.html#update: no id, or one that disagrees with the URL: the server SHALL respond with 400"""
    stored = patient()

    fhir.issues(fhir.put(f"Patient/{stored['id']}", new_patient(id=id_, gender="male")), 400)

    assert fhir.read(f"Patient/{stored['id']}") == stored


def test_the_body_must_be_of_the_type_of_the_url(fhir, patient, new_observation):
    """R4 http.html#update: 400"""
    stored = patient()

    fhir.issues(fhir.put(f"Patient/{stored['id']}", new_observation(id=stored["id"])), 400, 422)

    assert fhir.read(f"Patient/{stored['id']}") == stored


def test_an_invalid_update_changes_nothing(fhir, patient):
    """R4 http.html#rejecting-updates"""
    stored = patient()

    fhir.issues(fhir.put(f"Patient/{stored['id']}", {**stored, "birthDate": "not a date"}), 400, 422)

    assert fhir.read(f"Patient/{stored['id']}") == stored


def test_an_unknown_type_is_404(fhir):
    """R4 http.html#rejecting-updates: 404, resource type not supported"""
    fhir.issues(fhir.put("Nonsense/1", {"resourceType": "Nonsense", "id": "1"}), 404)


def test_put_without_id_or_criteria_is_refused(fhir, new_patient, by_tag):
    """R4 http.html#update, #cond-update: PUT needs an id or search parameters"""
    fhir.issues(fhir.put("Patient", new_patient()), 400, 404, 405, 412)

    assert fhir.found("Patient", by_tag) == set()


@pytest.mark.parametrize("id_", ["a_b", "a" * 65, "é", "a b", "a/b"])
def test_a_new_id_must_be_an_id(fhir, new_patient, by_tag, id_):
    """R4 datatypes.html#id"""
    fhir.issues(fhir.put(f"Patient/{id_}", new_patient(id=id_)), 400, 404, 405, 422)

    assert fhir.found("Patient", by_tag) == set()


# -- update as create ----------------------------------------------------------------------------------------
def test_update_as_create(fhir, advertised, new_patient, tag):
    """R4 http.html#upsert: 201 with a Location when the resource was created"""
    advertised.need_on("Patient", "updateCreate")

    response = fhir.put(f"Patient/{tag}", new_patient(id=tag))

    assert response.status_code == 201
    assert fhir.local(response.headers["Location"]) == f"Patient/{tag}"
    stored = fhir.read(f"Patient/{tag}")
    assert response.headers["ETag"] == f'W/"{stored["meta"]["versionId"]}"'
    assert fhir.content(stored) == fhir.content(new_patient())


@pytest.mark.parametrize("end", ["-A.b", "." * 10, "0" * 32])
def test_any_id_may_be_brought_along(fhir, advertised, new_patient, tag, end):
    """R4 datatypes.html#id: letters in both cases, digits, - and ., 64 at most"""
    advertised.need_on("Patient", "updateCreate")

    assert fhir.put(f"Patient/{tag}{end}", new_patient(id=tag + end)).status_code == 201
    assert fhir.read(f"Patient/{tag}{end}")["id"] == tag + end


def test_ids_are_case_sensitive(fhir, advertised, new_patient, tag):
    """R4 resource.html#id: ids are always opaque, and case sensitive"""
    advertised.need_on("Patient", "updateCreate")

    fhir.put(f"Patient/x{tag}", new_patient(id=f"x{tag}"))

    fhir.issues(fhir.get(f"Patient/X{tag}"), 404)


def test_update_as_create_at_once_creates_once(fhir, advertised, new_patient, tag):
    """R4 http.html#upsert"""
    advertised.need_on("Patient", "updateCreate")

    responses = fhir.at_once([lambda: fhir.put(f"Patient/{tag}", new_patient(id=tag))] * 12)

    statuses = [response.status_code for response in responses]
    assert statuses.count(201) == 1, statuses
    assert set(statuses) <= {200, 201, 409, 412}
    history = fhir.read(f"Patient/{tag}/_history?_count=50")
    created = [entry for entry in history["entry"] if entry["response"]["status"].startswith("201")]
    assert len(created) <= 1


# -- contention ----------------------------------------------------------------------------------------------
def test_if_match_of_the_current_version_updates(fhir, patient):
    """R4 http.html#concurrency"""
    stored = patient()
    etag = fhir.get(f"Patient/{stored['id']}").headers["ETag"]

    response = fhir.put(f"Patient/{stored['id']}", {**stored, "gender": "other"}, headers={"If-Match": etag})

    assert response.status_code == 200


def test_if_match_of_an_older_version_is_412(fhir, versions):
    """R4 http.html#concurrency: the server returns 412 instead of updating the resource"""
    first, *_, last = versions()

    response = fhir.put(
        f"Patient/{first['id']}",
        {**first, "gender": "other"},
        headers={"If-Match": f'W/"{first["meta"]["versionId"]}"'},
    )

    fhir.issues(response, 409, 412)
    assert fhir.read(f"Patient/{first['id']}") == last


@pytest.mark.parametrize("header", ['W/"no-such-version"', "garbage", '"', 'W/""'])
def test_if_match_of_no_version_changes_nothing(fhir, patient, header):
    """R4 http.html#concurrency"""
    stored = patient()

    response = fhir.put(f"Patient/{stored['id']}", {**stored, "gender": "other"}, headers={"If-Match": header})

    fhir.issues(response, 400, 409, 412)
    assert fhir.read(f"Patient/{stored['id']}") == stored


@pytest.mark.parametrize("header", ['W/"1"', "*"])
def test_if_match_does_not_create(fhir, new_patient, tag, header):
    """RFC 9110 s. 13.1.1: the condition is false where there is no current representation"""
    response = fhir.put(f"Patient/{tag}", new_patient(id=tag), headers={"If-Match": header})

    fhir.issues(response, 404, 405, 409, 412)
    fhir.issues(fhir.get(f"Patient/{tag}"), 404)


def test_one_of_many_writers_with_the_same_if_match_wins(fhir, patient):
    """R4 http.html#concurrency: lost updates are prevented"""
    stored = patient()
    etag = fhir.get(f"Patient/{stored['id']}").headers["ETag"]

    def write(day):
        changed = {**stored, "birthDate": f"1990-01-{day:02}"}
        return fhir.put(f"Patient/{stored['id']}", changed, headers={"If-Match": etag})

    responses = fhir.at_once([lambda day=day: write(day) for day in range(1, 17)])

    statuses = [response.status_code for response in responses]
    assert statuses.count(200) == 1, statuses
    assert set(statuses) <= {200, 409, 412}
    assert fhir.read(f"Patient/{stored['id']}")["birthDate"] == f"1990-01-{statuses.index(200) + 1:02}"


def test_writers_without_if_match_each_make_a_version(fhir, advertised, patient):
    """R4 http.html#update, #history: no acknowledged write is lost from the history"""
    advertised.need("Patient", "history-instance")
    stored = patient()

    def write(day):
        return fhir.put(f"Patient/{stored['id']}", {**stored, "birthDate": f"1990-01-{day:02}"})

    responses = fhir.at_once([lambda day=day: write(day) for day in range(1, 13)])

    acknowledged = {f"1990-01-{day:02}" for day, response in enumerate(responses, 1) if response.status_code == 200}
    assert {response.status_code for response in responses} <= {200, 409}
    history = fhir.read(f"Patient/{stored['id']}/_history?_count=50")
    kept = [entry["resource"] for entry in history["entry"]]
    assert {version.get("birthDate") for version in kept} == acknowledged | {None}
    assert len({version["meta"]["versionId"] for version in kept}) == len(kept)
