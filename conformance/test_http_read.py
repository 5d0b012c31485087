"""read, vread, conditional read and HEAD.  R4 http.html#read, #vread, #cread, #head; RFC 9110 s. 13"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime

import pytest


def http_date(moment):
    return format_datetime(moment.astimezone(UTC), usegmt=True)


def test_read_returns_the_resource_with_its_id_and_version(fhir, patient):
    """R4 http.html#read: the returned resource SHALL have an id; resource.html#Meta"""
    stored = patient()

    response = fhir.get(f"Patient/{stored['id']}")

    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith(fhir.json)
    body = response.json()
    assert (body["resourceType"], body["id"]) == ("Patient", stored["id"])
    assert body["meta"]["versionId"]
    assert datetime.fromisoformat(body["meta"]["lastUpdated"]).tzinfo is not None


def test_etag_is_weak_and_quotes_the_version_id(fhir, patient):
    """R4 http.html#versioning: ETag headers should be prefixed with W/ and enclosed in quotes"""
    stored = patient()

    response = fhir.get(f"Patient/{stored['id']}")

    assert response.headers["ETag"] == f'W/"{stored["meta"]["versionId"]}"'


def test_last_modified_is_meta_last_updated(fhir, patient):
    """R4 http.html#versioning"""
    response = fhir.get(f"Patient/{patient()['id']}")

    last_updated = datetime.fromisoformat(response.json()["meta"]["lastUpdated"])
    assert parsedate_to_datetime(response.headers["Last-Modified"]) == last_updated.replace(microsecond=0)


def test_last_updated_is_now(patient):
    """R4 resource.html#Meta: lastUpdated, when the resource version last changed"""
    last_updated = datetime.fromisoformat(patient()["meta"]["lastUpdated"])

    assert abs(datetime.now(UTC) - last_updated) < timedelta(minutes=5)


def test_unknown_id_is_404(fhir, tag):
    """R4 http.html#read: a GET for an unknown resource returns 404"""
    fhir.issues(fhir.get(f"Patient/{tag}"), 404)


def test_id_of_another_type_is_404(fhir, patient):
    """R4 resource.html#id: the id is unique within the type"""
    fhir.issues(fhir.get(f"Observation/{patient()['id']}"), 404)


def test_type_names_are_case_sensitive(fhir, patient):
    """R4 http.html#general: all URLs are case sensitive"""
    fhir.issues(fhir.get(f"patient/{patient()['id']}"), 404)


@pytest.mark.parametrize("id_", ["a" * 65, "a_b", "%C3%A9", "a%20b", "%24ne", "a%2Fb"])
def test_what_is_no_id_finds_nothing(fhir, id_):
    """R4 datatypes.html#id: [A-Za-z0-9\\-\\.]{1,64}"""
    fhir.issues(fhir.get(f"Patient/{id_}"), 400, 404)


def test_read_after_delete_is_410(fhir, patient):
    """R4 http.html#read: a GET for a deleted resource returns 410"""
    stored = patient()
    fhir.delete(f"Patient/{stored['id']}")

    fhir.issues(fhir.get(f"Patient/{stored['id']}"), 410)


# -- vread ---------------------------------------------------------------------------------------------------
def test_vread_returns_each_version_as_it_was(fhir, versions):
    """R4 http.html#vread"""
    for version in versions():
        response = fhir.get(f"Patient/{version['id']}/_history/{version['meta']['versionId']}")

        assert response.status_code == 200
        assert response.json() == version
        assert response.headers["ETag"] == f'W/"{version["meta"]["versionId"]}"'
        assert "Last-Modified" in response.headers


@pytest.mark.parametrize("version_id", ["999999", "0", "-1", "nosuchversion", "1.0", "01", "9" * 60])
def test_vread_of_a_version_that_never_was_is_404(fhir, patient, version_id):
    """R4 http.html#vread"""
    fhir.issues(fhir.get(f"Patient/{patient()['id']}/_history/{version_id}"), 400, 404)


def test_vread_of_an_unknown_id_is_404(fhir, tag):
    """R4 http.html#vread"""
    fhir.issues(fhir.get(f"Patient/{tag}/_history/1"), 404)


def test_vread_of_the_version_that_deleted_is_410(fhir, patient):
    """R4 http.html#vread: if the version is one where the resource was deleted, the server should return 410"""
    stored = patient()
    fhir.delete(f"Patient/{stored['id']}")
    history = fhir.read(f"Patient/{stored['id']}/_history")
    etag = history["entry"][0].get("response", {}).get("etag")
    if etag is None:
        pytest.skip("the server does not name the version of a delete")

    version_id = etag.removeprefix("W/").strip('"')
    fhir.issues(fhir.get(f"Patient/{stored['id']}/_history/{version_id}"), 410)


def test_vread_of_an_older_version_survives_the_delete(fhir, patient):
    """R4 http.html#delete: the delete interaction does not remove a resource's version history"""
    stored = patient()
    fhir.delete(f"Patient/{stored['id']}")

    response = fhir.get(f"Patient/{stored['id']}/_history/{stored['meta']['versionId']}")

    assert response.status_code == 200
    assert response.json() == stored


# -- conditional read ----------------------------------------------------------------------------------------
def not_modified_or_whole(response, etag):
    """R4 http.html#cread lets a server answer 304 or the full content."""
    assert response.status_code in (200, 304)
    if response.status_code == 304:
        assert response.content == b""
        assert response.headers["ETag"] == etag, "RFC 9110 s. 15.4.5: a 304 carries the ETag of the 200"


@pytest.mark.parametrize("form", ["{etag}", 'W/"other", {etag}', "*"])
def test_if_none_match_of_the_current_version(fhir, patient, form):
    """R4 http.html#cread; RFC 9110 s. 13.1.2"""
    path = f"Patient/{patient()['id']}"
    etag = fhir.get(path).headers["ETag"]

    not_modified_or_whole(fhir.get(path, headers={"If-None-Match": form.format(etag=etag)}), etag)


@pytest.mark.parametrize("header", ['W/"other"', 'W/"other", W/"another"', "garbage", "", '"'])
def test_if_none_match_of_no_current_version_reads(fhir, patient, header):
    """R4 http.html#cread"""
    response = fhir.get(f"Patient/{patient()['id']}", headers={"If-None-Match": header})

    assert response.status_code == 200


def test_if_none_match_of_an_older_version_reads_the_newer(fhir, versions):
    """R4 http.html#cread"""
    first, *_, last = versions()

    response = fhir.get(f"Patient/{first['id']}", headers={"If-None-Match": f'W/"{first["meta"]["versionId"]}"'})

    assert response.status_code == 200
    assert response.json() == last


def test_if_none_match_does_not_hide_a_delete(fhir, patient):
    """R4 http.html#read: 410 first; RFC 9110 s. 13.2.1: preconditions are for what would be a 2xx"""
    stored = patient()
    fhir.delete(f"Patient/{stored['id']}")

    response = fhir.get(f"Patient/{stored['id']}", headers={"If-None-Match": f'W/"{stored["meta"]["versionId"]}"'})

    fhir.issues(response, 410)


def test_if_modified_since_the_last_change(fhir, patient):
    """R4 http.html#cread; RFC 9110 s. 13.1.3"""
    path = f"Patient/{patient()['id']}"
    first = fhir.get(path)

    not_modified_or_whole(
        fhir.get(path, headers={"If-Modified-Since": first.headers["Last-Modified"]}), first.headers["ETag"]
    )


@pytest.mark.parametrize("since", ["Sat, 01 Jan 2000 00:00:00 GMT", "yesterday", "", "2024-01-01T00:00:00Z"])
def test_if_modified_since_before_the_last_change_or_unreadable_reads(fhir, patient, since):
    """RFC 9110 s. 13.1.3: a recipient MUST ignore If-Modified-Since if it is not a valid HTTP-date"""
    response = fhir.get(f"Patient/{patient()['id']}", headers={"If-Modified-Since": since})

    assert response.status_code == 200


def test_if_none_match_goes_before_if_modified_since(fhir, patient):
    """RFC 9110 s. 13.1.3: a recipient MUST ignore If-Modified-Since if the request contains If-None-Match"""
    response = fhir.get(
        f"Patient/{patient()['id']}",
        headers={"If-None-Match": 'W/"other"', "If-Modified-Since": http_date(datetime.now(UTC))},
    )

    assert response.status_code == 200


# -- HEAD ----------------------------------------------------------------------------------------------------
def test_head_answers_like_get_without_a_body(fhir, patient):
    """R4 http.html#head"""
    path = f"Patient/{patient()['id']}"
    head, get = fhir.head(path), fhir.get(path)
    if head.status_code in (405, 501):
        pytest.skip("the server does not support HEAD")

    assert head.status_code == 200
    assert head.content == b""
    for name in ("ETag", "Last-Modified", "Content-Type"):
        assert head.headers[name] == get.headers[name]
    if "Content-Length" in head.headers and "Content-Encoding" not in get.headers:
        assert head.headers["Content-Length"] == str(len(get.content)), "RFC 9110 s. 8.6"


@pytest.mark.parametrize("path", ["metadata", "Patient?_count=1", "Patient/_history?_count=1"])
def test_head_works_wherever_get_does(fhir, path):
    """R4 http.html#head: anywhere that a GET request can be used, a HEAD request is also allowed"""
    head = fhir.head(path)

    assert head.status_code in (200, 405)
    assert head.content == b""


def test_head_of_what_is_not_there(fhir, patient, tag):
    """R4 http.html#head: same response as a GET, but with no body"""
    stored = patient()
    fhir.delete(f"Patient/{stored['id']}")

    unknown, deleted = fhir.head(f"Patient/{tag}"), fhir.head(f"Patient/{stored['id']}")

    assert (unknown.status_code, deleted.status_code) in ((404, 410), (405, 405))
    assert unknown.content == deleted.content == b""


def test_trailing_slash_is_the_same_place(fhir, patient, by_tag):
    """R4 http.html#general: servers SHALL support both forms, [base]/[type]/ and [base]/[type]"""
    stored = patient()

    assert fhir.found("Patient/", by_tag) == fhir.found("Patient", by_tag) == {stored["id"]}
