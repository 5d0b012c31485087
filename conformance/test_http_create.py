"""create.  R4 http.html#create, #ops (Prefer), #mime-type"""

from __future__ import annotations

import json
import re
from datetime import datetime
from email.utils import parsedate_to_datetime

import pytest


def test_create_answers_201_with_the_place_of_the_version(fhir, new_patient):
    """R4 http.html#create: SHALL return a Location header, [base]/[type]/[id]/_history/[vid], absolute or relative"""
    response = fhir.post("Patient", new_patient())

    assert response.status_code == 201
    location = response.headers["Location"]
    assert re.search(r"(^|/)Patient/[A-Za-z0-9.\-]{1,64}/_history/[A-Za-z0-9.\-]{1,64}$", location)
    if location.startswith("http"):
        assert location.startswith(fhir.base + "/")
        assert fhir.get(location).status_code == 200


def test_create_carries_etag_and_last_modified(fhir, new_patient):
    """R4 http.html#create: servers SHOULD return an ETag header with the versionId and a Last-Modified header"""
    response = fhir.post("Patient", new_patient())

    stored = fhir.read(fhir.local(response.headers["Location"]))
    assert response.headers["ETag"] == f'W/"{stored["meta"]["versionId"]}"'
    last_updated = datetime.fromisoformat(stored["meta"]["lastUpdated"]).replace(microsecond=0)
    assert parsedate_to_datetime(response.headers["Last-Modified"]) == last_updated
    assert response.headers["Location"].endswith(f"/_history/{stored['meta']['versionId']}")


def test_create_stores_what_was_sent(fhir, new_patient):
    """R4 http.html#create: a server SHOULD accept the resource as submitted and return the same content when read"""
    sent = new_patient(
        active=True,
        gender="female",
        birthDate="1987-06-05",
        telecom=[{"system": "phone", "value": "+33 6 00 00 00 00", "use": "mobile", "rank": 1}],
        address=[{"line": ["1 rue de la Paix"], "city": "Paris", "postalCode": "75002", "country": "FR"}],
    )

    assert fhir.content(fhir.create(sent)) == sent


def test_the_server_assigns_the_id(fhir, new_patient, tag):
    """R4 http.html#create: if an id is provided, the server SHALL ignore it"""
    stored = fhir.create(new_patient(id=f"mine-{tag}"))

    assert stored["id"] != f"mine-{tag}"
    assert re.fullmatch(r"[A-Za-z0-9.\-]{1,64}", stored["id"])
    fhir.issues(fhir.get(f"Patient/mine-{tag}"), 404)


def test_the_id_of_another_resource_is_ignored_too(fhir, patient, new_patient):
    """R4 http.html#create: a POST never writes over a resource"""
    there = patient()

    stored = fhir.create(new_patient(id=there["id"], birthDate="1999-09-09"))

    assert stored["id"] != there["id"]
    assert fhir.read(f"Patient/{there['id']}") == there


def test_version_and_instant_are_the_servers_the_rest_of_meta_is_the_clients(fhir, new_patient):
    """R4 http.html#create: SHALL ignore the existing versionId and lastUpdated; SHOULD NOT alter the other metadata"""
    tag = {"system": "https://conformance.example/tags", "code": "kept"}
    label = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}

    stored = fhir.create(
        new_patient(meta={"versionId": "777", "lastUpdated": "1999-01-01T00:00:00Z", "tag": [tag], "security": [label]})
    )

    assert stored["meta"]["versionId"] != "777"
    assert not stored["meta"]["lastUpdated"].startswith("1999")
    assert tag in stored["meta"]["tag"]
    assert label in stored["meta"]["security"]


def test_the_same_post_twice_makes_two(fhir, patient, by_tag):
    """R4 http.html#create: without If-None-Exist there is nothing to compare with"""
    first, second = patient(), patient()

    assert first["id"] != second["id"]
    assert fhir.found("Patient", by_tag) == {first["id"], second["id"]}


def test_a_created_resource_is_found_at_once(fhir, patient, by_tag):
    """R4 http.html#search: read your own write"""
    stored = patient()

    assert fhir.found("Patient", by_tag) == {stored["id"]}


def test_many_creates_at_once_make_as_many(fhir, new_patient, by_tag):
    """R4 http.html#create"""
    responses = fhir.at_once([lambda: fhir.post("Patient", new_patient())] * 24)

    assert [response.status_code for response in responses] == [201] * 24
    assert len({fhir.local(response.headers["Location"]) for response in responses}) == 24
    assert len(fhir.found("Patient", by_tag)) == 24


# -- Prefer --------------------------------------------------------------------------------------------------
def test_prefer_minimal_returns_no_body(fhir, new_patient):
    """R4 http.html#ops: Prefer: return=minimal"""
    response = fhir.post("Patient", new_patient(), headers={"Prefer": "return=minimal"})

    assert response.status_code == 201
    assert response.content == b""
    assert "Location" in response.headers


def test_prefer_representation_returns_what_a_read_returns(fhir, new_patient):
    """R4 http.html#ops: Prefer: return=representation"""
    response = fhir.post("Patient", new_patient(), headers={"Prefer": "return=representation"})

    assert response.status_code == 201
    assert response.json() == fhir.read(fhir.local(response.headers["Location"]))
    assert response.headers["Content-Type"].startswith(fhir.json)


def test_prefer_operation_outcome_returns_one_without_errors(fhir, new_patient):
    """R4 http.html#ops: Prefer: return=OperationOutcome, hints and warnings about the operation"""
    response = fhir.post("Patient", new_patient(), headers={"Prefer": "return=OperationOutcome"})

    assert response.status_code == 201
    outcome = response.json()
    assert outcome["resourceType"] == "OperationOutcome"
    assert outcome["issue"]
    assert {issue["severity"] for issue in outcome["issue"]} <= {"warning", "information"}


@pytest.mark.parametrize("prefer", ["return=everything", "nonsense", "", "return=minimal; foo=bar, handling=strict"])
def test_a_preference_that_is_not_understood_is_no_error(fhir, new_patient, prefer):
    """RFC 7240 s. 2: a server MUST ignore preferences it does not recognise"""
    assert fhir.post("Patient", new_patient(), headers={"Prefer": prefer}).status_code == 201


# -- what is refused -----------------------------------------------------------------------------------------
def test_type_in_body_and_url_must_agree(fhir, new_patient, by_tag):
    """R4 http.html#create: invalid syntax or data is 400"""
    fhir.issues(fhir.post("Observation", new_patient()), 400, 422)

    assert fhir.found("Patient", by_tag) == fhir.found("Observation", by_tag) == set()


@pytest.mark.parametrize(
    "type_name", [None, "", 7, ["Patient"], {"Patient": 1}, "Nonsense", "patient", "DomainResource"]
)
def test_a_body_must_say_what_it_is(fhir, new_patient, type_name):
    """R4 json.html#resources: the resource type is in the property resourceType"""
    fhir.issues(fhir.post("Patient", new_patient(resourceType=type_name)), 400, 422)


@pytest.mark.parametrize("path", ["Nonsense", "patient", "Resource", "Element", "HumanName", "__proto__", "patients"])
def test_an_unknown_type_is_404(fhir, path):
    """R4 http.html#create: 404, resource type not supported, or not a FHIR end-point"""
    fhir.issues(fhir.post(path, {"resourceType": path}), 404)


def test_post_to_an_instance_is_no_interaction(fhir, patient):
    """R4 http.html#create: POST goes to [base]/[type]"""
    stored = patient()

    fhir.issues(fhir.post(f"Patient/{stored['id']}", stored), 400, 404, 405)

    assert fhir.read(f"Patient/{stored['id']}") == stored


@pytest.mark.parametrize(
    "content_type",
    [
        "application/fhir+json",
        "application/json",
        "application/fhir+json; charset=utf-8",
        'application/fhir+json; charset="UTF-8"',
        "application/fhir+json; fhirVersion=4.0",
        "APPLICATION/FHIR+JSON",
        "application/fhir+json;charset=utf-8;fhirVersion=4.0",
    ],
)
def test_json_content_types(fhir, new_patient, content_type):
    """R4 http.html#mime-type; RFC 9110 s. 8.3.1: type and subtype are case-insensitive"""
    response = fhir.post("Patient", body=json.dumps(new_patient()), headers={"Content-Type": content_type})

    assert response.status_code == 201


@pytest.mark.parametrize("content_type", ["text/plain", "application/pdf", "image/png", "application/json-patch+json"])
def test_a_type_that_is_not_read_is_415(fhir, new_patient, content_type):
    """R4 http.html#mime-type: 415 when the client posts a format that is not supported"""
    response = fhir.post("Patient", body=json.dumps(new_patient()), headers={"Content-Type": content_type})

    fhir.issues(response, 415)


@pytest.mark.parametrize("content_type", ["banana", "", "/", "application/", ";charset=utf-8"])
def test_what_is_no_media_type_is_refused(fhir, new_patient, by_tag, content_type):
    """RFC 9110 s. 8.3: Content-Type"""
    response = fhir.post("Patient", body=json.dumps(new_patient()), headers={"Content-Type": content_type})

    if response.status_code != 201:  # a body without a type may be taken for what it looks like
        fhir.issues(response, 400, 415)
        assert fhir.found("Patient", by_tag) == set()


def test_json_declared_as_xml_is_400(fhir, new_patient):
    """R4 http.html#create: 400, resource could not be parsed"""
    response = fhir.post("Patient", body=json.dumps(new_patient()), headers={"Content-Type": fhir.xml})

    fhir.issues(response, 400)


def test_a_body_in_another_charset_is_read_right_or_refused(fhir, new_patient, by_tag):
    """R4 http.html#mime-type: UTF-8 encoding SHALL be used for the mime type application/fhir"""
    body = json.dumps(new_patient(name=[{"family": "Lefèvre"}]), ensure_ascii=False).encode("iso-8859-1")

    response = fhir.post("Patient", body=body, headers={"Content-Type": f"{fhir.json}; charset=iso-8859-1"})

    if response.status_code == 201:
        assert fhir.read(fhir.local(response.headers["Location"]))["name"][0]["family"] == "Lefèvre"
    else:
        fhir.issues(response, 400, 415)
        assert fhir.found("Patient", by_tag) == set()
