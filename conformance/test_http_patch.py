"""patch with JSON Patch.  R4 http.html#patch, RFC 6902"""

from __future__ import annotations

import pytest

REFUSED = (400, 409, 412, 422)


@pytest.fixture(autouse=True)
def offered(advertised):
    """R4 http.html#patch is optional."""
    advertised.need("Patient", "patch")


@pytest.mark.parametrize(
    ("operations", "expected"),
    [
        ([{"op": "add", "path": "/gender", "value": "female"}], {"gender": "female"}),
        ([{"op": "add", "path": "/birthDate", "value": "2000-02-29"}], {"birthDate": "2000-02-29"}),
        ([{"op": "replace", "path": "/birthDate", "value": "2000"}], {"birthDate": "2000"}),
        ([{"op": "remove", "path": "/birthDate"}], {"birthDate": None}),
        (
            [{"op": "add", "path": "/name/0/given/-", "value": "Zoé"}],
            {"name": [{"family": "A", "given": ["B", "Zoé"]}]},
        ),
        ([{"op": "add", "path": "/name/0/given/0", "value": "Z"}], {"name": [{"family": "A", "given": ["Z", "B"]}]}),
        ([{"op": "remove", "path": "/name/0/given"}], {"name": [{"family": "A"}]}),
        (
            [{"op": "add", "path": "/name/-", "value": {"text": "T"}}],
            {"name": [{"family": "A", "given": ["B"]}, {"text": "T"}]},
        ),
        (
            [{"op": "copy", "from": "/name/0/family", "path": "/name/0/text"}],
            {"name": [{"family": "A", "given": ["B"], "text": "A"}]},
        ),
        ([{"op": "move", "from": "/name/0/family", "path": "/name/0/text"}], {"name": [{"given": ["B"], "text": "A"}]}),
        (
            [
                {"op": "test", "path": "/name/0/family", "value": "A"},
                {"op": "replace", "path": "/name/0/family", "value": "C"},
            ],
            {"name": [{"family": "C", "given": ["B"]}]},
        ),
        ([{"op": "replace", "path": "/name", "value": [{"text": "one"}]}], {"name": [{"text": "one"}]}),
        ([{"op": "add", "path": "/gender", "value": "male", "ignored": 1}], {"gender": "male"}),
    ],
)
def test_each_operation(fhir, patient, operations, expected):
    """RFC 6902 s. 4; R4 http.html#patch: processed as an update"""
    stored = patient(name=[{"family": "A", "given": ["B"]}], birthDate="1999-12-31")

    response = fhir.json_patch(f"Patient/{stored['id']}", operations)

    assert response.status_code == 200, response.text
    current = fhir.read(f"Patient/{stored['id']}")
    assert {name: current.get(name) for name in expected} == expected
    assert current["meta"]["versionId"] != stored["meta"]["versionId"]
    assert response.headers["ETag"] == f'W/"{current["meta"]["versionId"]}"'
    assert "Last-Modified" in response.headers


@pytest.mark.parametrize(
    "operations",
    [
        [{"op": "test", "path": "/gender", "value": "female"}],
        [{"op": "test", "path": "/birthDate", "value": None}],
        [{"op": "add", "path": "/birthDate", "value": "2001"}, {"op": "test", "path": "/gender", "value": "female"}],
        [{"op": "add", "path": "/birthDate", "value": "2001"}, {"op": "remove", "path": "/photo"}],
        [{"op": "remove", "path": "/name/7"}],
        [{"op": "replace", "path": "/deceasedBoolean", "value": True}],
        [{"op": "add", "path": "/name/0/period/start", "value": "2001"}],
        [{"op": "add", "path": "/name/9", "value": {"text": "x"}}],
        [{"op": "move", "from": "/name/9", "path": "/name/0"}],
        [{"op": "add", "path": "/name/01", "value": {"text": "x"}}],
    ],
)
def test_what_cannot_be_applied_changes_nothing(fhir, patient, operations):
    """RFC 6902 s. 5: the PATCH is not successful, and RFC 5789 s. 2: never a part of it"""
    stored = patient(gender="male")

    fhir.issues(fhir.json_patch(f"Patient/{stored['id']}", operations), *REFUSED)

    assert fhir.read(f"Patient/{stored['id']}") == stored


@pytest.mark.parametrize(
    "document",
    [
        {},
        None,
        "replace",
        [1],
        [{}],
        [{"op": "replace"}],
        [{"op": "frobnicate", "path": "/gender", "value": "male"}],
        [{"op": "add", "path": "gender", "value": "male"}],
        [{"op": "add", "path": "/gender"}],
        [{"op": "copy", "path": "/gender"}],
        [{"op": "add", "path": 5, "value": "male"}],
        [{"op": ["add"], "path": "/gender", "value": "male"}],
        {"op": "add", "path": "/gender", "value": "male"},
    ],
)
def test_what_is_no_json_patch_is_refused(fhir, patient, document):
    """RFC 6902 s. 3, 4"""
    stored = patient()

    fhir.issues(fhir.json_patch(f"Patient/{stored['id']}", document), 400, 422)

    assert fhir.read(f"Patient/{stored['id']}") == stored


@pytest.mark.parametrize("body", ["", "not json", "[{]", "[" * 20000, "\ufeff[]x", "[NaN]"])
def test_a_body_that_is_no_json_is_400(fhir, patient, body):
    """R4 http.html#Status-Codes"""
    stored = patient()

    response = fhir.request(
        "PATCH", f"Patient/{stored['id']}", body=body, headers={"Content-Type": "application/json-patch+json"}
    )

    fhir.issues(response, 400, 422)
    assert fhir.read(f"Patient/{stored['id']}") == stored


@pytest.mark.parametrize(
    "operations",
    [
        [{"op": "replace", "path": "/birthDate", "value": "the other day"}],
        [{"op": "replace", "path": "/birthDate", "value": 19991231}],
        [{"op": "add", "path": "/nosuchelement", "value": "x"}],
        [{"op": "replace", "path": "/name", "value": {"text": "not a list"}}],
        [{"op": "remove", "path": "/resourceType"}],
        [{"op": "replace", "path": "/resourceType", "value": "Observation"}],
        [{"op": "replace", "path": "", "value": {}}],
        [{"op": "replace", "path": "", "value": []}],
        [{"op": "remove", "path": ""}],
    ],
)
def test_what_makes_no_good_resource_is_refused(fhir, patient, operations):
    """R4 http.html#patch: the resulting document is processed as an update; all the error handling applies"""
    stored = patient(birthDate="1999-12-31")

    fhir.issues(fhir.json_patch(f"Patient/{stored['id']}", operations), 400, 422)

    assert fhir.read(f"Patient/{stored['id']}") == stored


@pytest.mark.parametrize(
    "operations",
    [
        [{"op": "replace", "path": "/id", "value": "another"}],
        [{"op": "remove", "path": "/id"}],
        [{"op": "replace", "path": "", "value": {"resourceType": "Patient", "id": "another"}}],
    ],
)
def test_the_id_cannot_be_patched(fhir, patient, operations):
    """R4 http.html#patch, #update: an id that disagrees with the URL is 400"""
    stored = patient()

    fhir.issues(fhir.json_patch(f"Patient/{stored['id']}", operations), *REFUSED)

    assert fhir.read(f"Patient/{stored['id']}") == stored
    assert fhir.get("Patient/another").status_code in (404, 410)


def test_version_and_instant_cannot_be_patched(fhir, patient):
    """R4 http.html#patch, #update: the server SHALL ignore the provided versionId and lastUpdated"""
    stored = patient()

    response = fhir.json_patch(
        f"Patient/{stored['id']}",
        [
            {"op": "replace", "path": "/meta/versionId", "value": "777"},
            {"op": "replace", "path": "/meta/lastUpdated", "value": "1999-01-01T00:00:00Z"},
        ],
    )

    assert response.status_code in (200, *REFUSED)
    meta = fhir.read(f"Patient/{stored['id']}")["meta"]
    assert meta["versionId"] != "777"
    assert not meta["lastUpdated"].startswith("1999")


def test_patch_leaves_the_rest_as_it_was(fhir, new_observation):
    """R4 datatypes.html#decimal: the precision stays, also when something else is patched"""
    created = fhir.post(
        "Observation", new_observation(valueQuantity={"value": 1, "unit": "kg"}), headers={"Prefer": "return=minimal"}
    )
    path = fhir.local(created.headers["Location"])
    text = fhir.get(path).text.replace('"value":1', '"value":120.50').replace('"value": 1', '"value": 120.50')
    assert fhir.put(path, body=text, headers={"Content-Type": fhir.json}).status_code == 200

    response = fhir.json_patch(path, [{"op": "replace", "path": "/status", "value": "amended"}])

    assert response.status_code == 200
    current = fhir.exact(fhir.get(path).text)
    assert current["valueQuantity"]["value"] == "decimal 120.50"
    assert current["status"] == "amended"


def test_if_match_of_the_current_version_patches(fhir, patient):
    """R4 http.html#patch: works exactly the same as specified for update in concurrency management"""
    stored = patient()

    response = fhir.json_patch(
        f"Patient/{stored['id']}",
        [{"op": "add", "path": "/gender", "value": "other"}],
        headers={"If-Match": f'W/"{stored["meta"]["versionId"]}"'},
    )

    assert response.status_code == 200


def test_if_match_of_an_older_version_is_412(fhir, versions):
    """R4 http.html#patch"""
    first, *_, last = versions()

    response = fhir.json_patch(
        f"Patient/{first['id']}",
        [{"op": "add", "path": "/gender", "value": "other"}],
        headers={"If-Match": f'W/"{first["meta"]["versionId"]}"'},
    )

    fhir.issues(response, 409, 412)
    assert fhir.read(f"Patient/{first['id']}") == last


@pytest.mark.parametrize(
    ("prefer", "body"),
    [("return=minimal", None), ("return=representation", "Patient"), ("return=OperationOutcome", "OperationOutcome")],
)
def test_patch_honours_prefer(fhir, patient, prefer, body):
    """R4 http.html#patch, #ops"""
    stored = patient()

    response = fhir.json_patch(
        f"Patient/{stored['id']}", [{"op": "add", "path": "/gender", "value": "other"}], headers={"Prefer": prefer}
    )

    assert response.status_code == 200
    assert (response.json()["resourceType"] if response.content else None) == body


def test_patch_of_what_is_not_there(fhir, patient, tag):
    """R4 http.html#patch, #read"""
    stored = patient()
    fhir.delete(f"Patient/{stored['id']}")
    operations = [{"op": "add", "path": "/gender", "value": "other"}]

    fhir.issues(fhir.json_patch(f"Patient/{tag}", operations), 404)
    fhir.issues(fhir.json_patch(f"Patient/{stored['id']}", operations), 404, 410)
    fhir.issues(fhir.get(f"Patient/{stored['id']}"), 410)


@pytest.mark.parametrize("content_type", ["application/merge-patch+json", "text/plain", "application/octet-stream"])
def test_another_patch_format_is_415(fhir, patient, content_type):
    """R4 http.html#patch: SHALL be JSON Patch, XML Patch or FHIRPath Patch; RFC 5789 s. 2.2"""
    stored = patient()

    response = fhir.request(
        "PATCH", f"Patient/{stored['id']}", body='{"gender": "other"}', headers={"Content-Type": content_type}
    )

    fhir.issues(response, 400, 415)
    assert fhir.read(f"Patient/{stored['id']}") == stored


def test_what_is_patched_is_found_by_its_new_values(fhir, patient, tag):
    """R4 http.html#patch: as an update"""
    stored = patient()

    fhir.json_patch(
        f"Patient/{stored['id']}", [{"op": "replace", "path": "/identifier/0/value", "value": f"new-{tag}"}]
    )

    assert fhir.found("Patient", ("identifier", f"{fhir.identifiers}|{tag}")) == set()
    assert fhir.found("Patient", ("identifier", f"{fhir.identifiers}|new-{tag}")) == {stored["id"]}


def test_patches_at_once_lose_nothing(fhir, patient):
    """R4 http.html#concurrency: the server processes its own copy; each acknowledged patch is in the result"""
    stored = patient(name=[{"given": ["first"]}])

    def append(given):
        return fhir.json_patch(f"Patient/{stored['id']}", [{"op": "add", "path": "/name/0/given/-", "value": given}])

    responses = fhir.at_once([lambda number=number: append(f"given-{number}") for number in range(10)])

    assert {response.status_code for response in responses} <= {200, 409, 412}
    acknowledged = {f"given-{number}" for number, response in enumerate(responses) if response.status_code == 200}
    assert acknowledged
    assert set(fhir.read(f"Patient/{stored['id']}")["name"][0]["given"]) == {"first", *acknowledged}
