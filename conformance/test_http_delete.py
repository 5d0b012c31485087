"""delete, and what comes after.  R4 http.html#delete"""

from __future__ import annotations

from datetime import datetime

DONE = (200, 202, 204)


def test_delete_then_read_is_410(fhir, patient):
    """R4 http.html#delete: 200 with a payload, 204 without; subsequent reads return 410"""
    stored = patient()

    response = fhir.delete(f"Patient/{stored['id']}")

    assert response.status_code in DONE
    if response.status_code == 204:
        assert response.content == b""
    else:
        assert response.json()["resourceType"] == "OperationOutcome"
    fhir.issues(fhir.get(f"Patient/{stored['id']}"), 410)


def test_a_deleted_resource_is_not_found_any_more(fhir, patient, by_tag):
    """R4 http.html#delete: the resource is no longer found through search"""
    stored = patient()

    fhir.delete(f"Patient/{stored['id']}")

    assert fhir.found("Patient", by_tag) == set()
    assert fhir.found("Patient", ("_id", stored["id"])) == set()


def test_delete_again_has_no_effect(fhir, patient):
    """R4 http.html#delete: on a resource that is already deleted has no effect, 200 or 204"""
    stored = patient()
    fhir.delete(f"Patient/{stored['id']}")
    before = fhir.read(f"Patient/{stored['id']}/_history")

    assert fhir.delete(f"Patient/{stored['id']}").status_code in DONE

    after = fhir.read(f"Patient/{stored['id']}/_history")
    assert len(after["entry"]) == len(before["entry"]) == 2


def test_delete_of_what_never_was(fhir, tag):
    """R4 http.html#delete: if the resource does not exist at all, 200 or 204; the table of status codes adds 404"""
    assert fhir.delete(f"Patient/{tag}").status_code in (*DONE, 404)
    fhir.issues(fhir.get(f"Patient/{tag}"), 404)


def test_delete_of_an_unknown_type_is_404(fhir):
    """R4 http.html#Status-Codes"""
    fhir.issues(fhir.delete("Nonsense/1"), 404)


def test_delete_is_an_entry_of_the_history_without_resource(fhir, advertised, patient):
    """R4 http.html#delete, #history: a special kind of history entry that has no content and is marked as deleted"""
    advertised.need("Patient", "history-instance")
    stored = patient()
    fhir.delete(f"Patient/{stored['id']}")

    history = fhir.read(f"Patient/{stored['id']}/_history")

    deleted, created = history["entry"]
    assert "resource" not in deleted
    assert deleted["request"]["method"] == "DELETE"
    assert fhir.local(deleted["request"]["url"]) == f"Patient/{stored['id']}"
    deleted_at = datetime.fromisoformat(deleted["response"]["lastModified"])
    assert deleted_at >= datetime.fromisoformat(stored["meta"]["lastUpdated"])
    assert created["resource"] == stored


def test_put_brings_back_to_life_with_a_new_version(fhir, patient):
    """R4 http.html#delete, #update: 201 when brought back to life; version ids stay unique"""
    stored = patient()
    fhir.delete(f"Patient/{stored['id']}")

    response = fhir.put(f"Patient/{stored['id']}", {**stored, "gender": "female"})

    assert response.status_code in (200, 201)
    current = fhir.read(f"Patient/{stored['id']}")
    assert current["gender"] == "female"
    history = fhir.read(f"Patient/{stored['id']}/_history")
    assert [entry["request"]["method"] for entry in history["entry"]][1:] == ["DELETE", "POST"]
    assert current["meta"]["versionId"] != stored["meta"]["versionId"]


def test_what_is_back_is_found_again(fhir, patient, by_tag):
    """R4 http.html#delete"""
    stored = patient()
    fhir.delete(f"Patient/{stored['id']}")
    fhir.put(f"Patient/{stored['id']}", stored)

    assert fhir.found("Patient", by_tag) == {stored["id"]}


def test_delete_with_a_stale_if_match_deletes_nothing(fhir, versions):
    """RFC 9110 s. 13.1.1: an origin server MUST NOT perform the method if If-Match evaluates to false"""
    first, *_, last = versions()

    response = fhir.delete(f"Patient/{first['id']}", headers={"If-Match": f'W/"{first["meta"]["versionId"]}"'})

    fhir.issues(response, 409, 412)
    assert fhir.read(f"Patient/{first['id']}") == last


def test_delete_with_the_current_if_match_deletes(fhir, patient):
    """RFC 9110 s. 13.1.1"""
    stored = patient()

    response = fhir.delete(f"Patient/{stored['id']}", headers={"If-Match": f'W/"{stored["meta"]["versionId"]}"'})

    assert response.status_code in DONE
    fhir.issues(fhir.get(f"Patient/{stored['id']}"), 410)


def test_deletes_at_once_make_one_version(fhir, advertised, patient):
    """R4 http.html#delete"""
    advertised.need("Patient", "history-instance")
    stored = patient()

    responses = fhir.at_once([lambda: fhir.delete(f"Patient/{stored['id']}")] * 8)

    assert {response.status_code for response in responses} <= {*DONE, 409}
    history = fhir.read(f"Patient/{stored['id']}/_history")
    assert [entry["request"]["method"] for entry in history["entry"]] == ["DELETE", "POST"]


def test_delete_leaves_the_others(fhir, patient, by_tag):
    """R4 http.html#delete"""
    first, second = patient(), patient()

    fhir.delete(f"Patient/{first['id']}")

    assert fhir.found("Patient", by_tag) == {second["id"]}
