"""$everything, $meta, $meta-add, $meta-delete.

R4 operations.html, patient-operation-everything.html, resource-operations.html
"""

from __future__ import annotations

import pytest

TAG = {"system": "https://conformance.example/tags", "code": "seen", "display": "seen"}
LABEL = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}
PROFILE = "https://conformance.example/profiles/any"


def parameters(**meta):
    return {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": meta}]}


def returned(response):
    """The Meta that a $meta operation returns."""
    assert response.status_code == 200, response.text[:1000]
    body = response.json()
    assert body["resourceType"] == "Parameters"
    (parameter,) = body["parameter"]
    assert parameter["name"] == "return"
    return parameter["valueMeta"]


def codes(meta, name="tag"):
    return {coding["code"] for coding in meta.get(name, [])}


# -- $everything ---------------------------------------------------------------------------------------------
@pytest.fixture
def record(fhir, advertised, patient, observation):
    """A patient, three observations of theirs, and one of somebody else's."""
    advertised.need_operation("Patient", "everything")
    holder, other = patient(), patient()
    subject = {"reference": f"Patient/{holder['id']}"}
    mine = {observation(subject=subject)["id"] for _ in range(3)}
    theirs = observation(subject={"reference": f"Patient/{other['id']}"})
    return holder["id"], {holder["id"], *mine}, {other["id"], theirs["id"]}


def test_everything_is_the_record_of_one_patient(fhir, record):
    """R4 patient-operation-everything.html: the patient and all that is in their compartment, as a searchset"""
    id_, inside, outside = record

    response = fhir.get(f"Patient/{id_}/$everything")

    assert response.status_code == 200
    bundle = response.json()
    assert (bundle["resourceType"], bundle["type"]) == ("Bundle", "searchset")
    ids = {entry["resource"]["id"] for page in fhir.pages(bundle) for entry in page["entry"]}
    assert inside <= ids
    assert not outside & ids
    assert all(entry["fullUrl"] for entry in bundle["entry"])


def test_everything_can_be_posted(fhir, record):
    """R4 operations.html#request: an operation can be invoked by POST with Parameters"""
    id_, inside, _ = record

    response = fhir.post(f"Patient/{id_}/$everything", {"resourceType": "Parameters"})

    assert response.status_code == 200
    assert inside <= {entry["resource"]["id"] for page in fhir.pages(response.json()) for entry in page["entry"]}


def test_everything_is_paged(fhir, record):
    """R4 patient-operation-everything.html: _count"""
    id_, inside, _ = record

    pages = list(fhir.pages(fhir.get(f"Patient/{id_}/$everything", params={"_count": "2"}).json()))

    assert all(len(page["entry"]) <= 2 for page in pages)
    ids = [entry["resource"]["id"] for page in pages for entry in page["entry"]]
    assert len(ids) == len(set(ids))
    assert inside <= set(ids)


def test_everything_of_nobody_is_404(fhir, advertised, tag):
    """R4 patient-operation-everything.html"""
    advertised.need_operation("Patient", "everything")

    fhir.issues(fhir.get(f"Patient/{tag}/$everything"), 404)


def test_everything_leaves_out_what_is_deleted(fhir, record, observation):
    """R4 http.html#delete"""
    id_, _, _ = record
    gone = observation(subject={"reference": f"Patient/{id_}"})
    fhir.delete(f"Observation/{gone['id']}")

    bundle = fhir.get(f"Patient/{id_}/$everything").json()

    assert gone["id"] not in {entry["resource"]["id"] for page in fhir.pages(bundle) for entry in page["entry"]}


# -- $meta ---------------------------------------------------------------------------------------------------
def test_meta_of_a_resource(fhir, advertised, patient):
    """R4 resource-operation-meta.html: profiles, tags and security labels of a resource"""
    advertised.need_operation("Patient", "meta")
    stored = patient(meta={"tag": [TAG], "security": [LABEL], "profile": [PROFILE]})

    meta = returned(fhir.get(f"Patient/{stored['id']}/$meta"))

    assert (codes(meta), codes(meta, "security"), meta["profile"]) == ({"seen"}, {"R"}, [PROFILE])


@pytest.mark.parametrize("path", ["Patient/$meta", "$meta"])
def test_meta_of_a_type_and_of_the_system(fhir, advertised, patient, path):
    """R4 resource-operation-meta.html: summarised over all resources; versionId and lastUpdated mean nothing there"""
    advertised.need_operation("Patient", "meta")
    patient(meta={"tag": [TAG]})

    response = fhir.get(path)

    if response.status_code in (404, 405):
        pytest.skip(f"the server does not offer {path}")
    assert "seen" in codes(returned(response))


def test_meta_add_adds(fhir, advertised, patient):
    """R4 resource-operation-meta-add.html: adds to what is there, and returns the meta of the resource"""
    advertised.need_operation("Patient", "meta-add")
    stored = patient(meta={"tag": [{"system": TAG["system"], "code": "first"}]})

    meta = returned(
        fhir.post(f"Patient/{stored['id']}/$meta-add", parameters(tag=[TAG], security=[LABEL], profile=[PROFILE]))
    )

    assert codes(meta) == {"first", "seen"}
    now = fhir.read(f"Patient/{stored['id']}")
    assert (codes(now["meta"]), codes(now["meta"], "security")) == ({"first", "seen"}, {"R"})
    assert now["meta"]["profile"] == [PROFILE]
    assert {k: v for k, v in now.items() if k != "meta"} == {k: v for k, v in stored.items() if k != "meta"}


def test_meta_add_twice_adds_once(fhir, advertised, patient):
    """R4 resource-operation-meta-add.html: a set, by system and code"""
    advertised.need_operation("Patient", "meta-add")
    stored = patient()

    for _ in range(2):
        meta = returned(fhir.post(f"Patient/{stored['id']}/$meta-add", parameters(tag=[TAG])))

    assert [tag["code"] for tag in meta["tag"]] == ["seen"]


def test_meta_delete_deletes(fhir, advertised, patient):
    """R4 resource-operation-meta-delete.html: what is named is taken away, what is not there is no error"""
    advertised.need_operation("Patient", "meta-delete")
    stored = patient(meta={"tag": [TAG, {"system": TAG["system"], "code": "stays"}], "security": [LABEL]})
    named = {"system": TAG["system"], "code": "seen"}

    meta = returned(fhir.post(f"Patient/{stored['id']}/$meta-delete", parameters(tag=[named, {"code": "never there"}])))

    assert (codes(meta), codes(meta, "security")) == ({"stays"}, {"R"})
    assert codes(fhir.read(f"Patient/{stored['id']}")["meta"]) == {"stays"}


def test_meta_is_not_forged(fhir, advertised, patient):
    """R4 resource.html#Meta: versionId and lastUpdated are the server's"""
    advertised.need_operation("Patient", "meta-add")
    stored = patient()

    response = fhir.post(
        f"Patient/{stored['id']}/$meta-add",
        parameters(versionId="777", lastUpdated="1999-01-01T00:00:00Z", tag=[TAG]),
    )

    assert response.status_code in (200, 400, 422)
    meta = fhir.read(f"Patient/{stored['id']}")["meta"]
    assert meta["versionId"] != "777"
    assert not meta["lastUpdated"].startswith("1999")


@pytest.mark.parametrize(
    "body",
    [
        {"resourceType": "Parameters"},
        {"resourceType": "Parameters", "parameter": [{"name": "other", "valueMeta": {"tag": [TAG]}}]},
        {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueString": "x"}]},
        {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": {"tag": "x"}}]},
        {"resourceType": "Patient"},
        [],
    ],
)
@pytest.mark.parametrize("name", ["meta-add", "meta-delete"])
def test_a_request_without_meta_is_refused(fhir, advertised, patient, name, body):
    """R4 resource-operation-meta-add.html: meta 1..1"""
    advertised.need_operation("Patient", name)
    stored = patient()

    fhir.issues(fhir.post(f"Patient/{stored['id']}/${name}", body), 400, 422)

    assert fhir.read(f"Patient/{stored['id']}") == stored


@pytest.mark.parametrize("name", ["meta-add", "meta-delete"])
def test_what_changes_something_is_no_get(fhir, advertised, patient, name):
    """R4 operations.html#request: GET only where affectsState is false"""
    advertised.need_operation("Patient", name)

    fhir.issues(fhir.get(f"Patient/{patient()['id']}/${name}"), 400, 404, 405)


@pytest.mark.parametrize("path", ["$nosuchoperation", "Patient/$nosuchoperation", "Patient/1/$nosuchoperation"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_unknown_operation_is_refused(fhir, path, method):
    """R4 operations.html"""
    resource = {"resourceType": "Parameters"} if method == "POST" else None

    fhir.issues(fhir.request(method, path, resource=resource), 400, 404, 405)


@pytest.mark.parametrize("path", ["$meta", "$everything", "$meta-add"])
def test_an_operation_on_what_is_not_there_is_404(fhir, advertised, tag, path):
    """R4 operations.html, http.html#read"""
    advertised.need_operation("Patient", path.lstrip("$"))
    post = path.endswith("-add")

    response = fhir.request(
        "POST" if post else "GET", f"Patient/{tag}/{path}", resource=parameters(tag=[TAG]) if post else None
    )

    fhir.issues(response, 404)
