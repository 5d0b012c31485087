"""batch.  R4 http.html#transaction, #brules, #transaction-response; bundle.html"""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def offered(advertised):
    """R4 http.html#transaction: batch is optional."""
    advertised.need_system("batch")


def codes(entries):
    return [entry["response"]["status"][:3] for entry in entries]


def test_each_entry_is_answered_in_its_place(fhir, patient, new_patient, new_observation):
    """R4 http.html#transaction-response: one entry for each entry in the request, in the same order"""
    there, leaving = patient(), patient()

    entries = fhir.answers(
        fhir.bundle(
            "batch",
            fhir.entry("GET", f"Patient/{there['id']}"),
            fhir.entry("POST", "Observation", new_observation()),
            fhir.entry("GET", "Patient/no-such-patient"),
            fhir.entry("DELETE", f"Patient/{leaving['id']}"),
            fhir.entry("POST", "Patient", new_patient(gender="female")),
        ),
        "batch",
    )

    assert codes(entries)[:3] == ["200", "201", "404"]
    assert codes(entries)[3] in ("200", "202", "204")
    assert codes(entries)[4] == "201"
    assert entries[0]["resource"] == there
    assert fhir.local(entries[1]["response"]["location"]).startswith("Observation/")
    assert fhir.local(entries[4]["response"]["location"]).startswith("Patient/")
    fhir.issues(fhir.get(f"Patient/{leaving['id']}"), 410)


def test_one_failure_leaves_the_others(fhir, patient, new_patient, by_tag):
    """R4 http.html#brules: the success or failure of one change SHOULD not alter that of another; 200 OK regardless"""
    there = patient()

    entries = fhir.answers(
        fhir.bundle(
            "batch",
            fhir.entry("POST", "Patient", new_patient(birthDate="not a date")),
            fhir.entry("POST", "Patient", new_patient(gender="female")),
            fhir.entry("PUT", f"Patient/{there['id']}", {**there, "gender": "male"}, ifMatch='W/"no-such-version"'),
            fhir.entry("POST", "Nonsense", {"resourceType": "Nonsense"}),
            fhir.entry("GET", "Patient?birthdate=yesterday"),
        ),
        "batch",
    )

    assert codes(entries)[0] in ("400", "422")
    assert codes(entries)[1] == "201"
    assert codes(entries)[2] in ("409", "412")
    assert codes(entries)[3:] == ["404", "400"]
    for place in (0, 2, 3, 4):
        outcome = entries[place]["response"].get("outcome") or entries[place]["resource"]
        assert outcome["resourceType"] == "OperationOutcome"
        assert outcome["issue"]
    assert len(fhir.found("Patient", by_tag)) == 2
    assert fhir.read(f"Patient/{there['id']}") == there


def test_what_was_written_is_identified(fhir, patient, new_patient):
    """R4 http.html#transaction-response: the status, and the location and ETag header values"""
    there = patient()

    created, updated = fhir.answers(
        fhir.bundle(
            "batch",
            fhir.entry("POST", "Patient", new_patient()),
            fhir.entry("PUT", f"Patient/{there['id']}", {**there, "gender": "other"}),
        ),
        "batch",
    )

    for entry in (created, updated):
        path = fhir.local(entry["response"].get("location", f"Patient/{there['id']}"))
        stored = fhir.read(path)
        assert entry["response"]["etag"] == f'W/"{stored["meta"]["versionId"]}"'
        assert entry["response"]["lastModified"][:19] == stored["meta"]["lastUpdated"][:19], "to the second, at least"
    assert "/_history/" in created["response"]["location"]


@pytest.mark.parametrize(("prefer", "whole"), [("return=minimal", False), ("return=representation", True)])
def test_prefer_says_whether_resources_come_back(fhir, new_patient, prefer, whole):
    """R4 http.html#ops, #transaction-response: a resource may be included, as specified by the Prefer header"""
    (entry,) = fhir.answers(fhir.bundle("batch", fhir.entry("POST", "Patient", new_patient()), Prefer=prefer), "batch")

    assert ("resource" in entry) is whole
    if whole:
        last_updated = entry["resource"]["meta"]["lastUpdated"]
        assert entry["response"]["lastModified"] == last_updated, (
            "bundle.html: it has to match if a resource is included"
        )


def test_read_only_interactions(fhir, advertised, versions, by_tag):
    """R4 http.html#transaction: read, search, vread, history as otherwise described on this page"""
    first, *_, last = versions()
    path = f"Patient/{first['id']}"

    read, vread, search, history = fhir.answers(
        fhir.bundle(
            "batch",
            fhir.entry("GET", path),
            fhir.entry("GET", f"{path}/_history/{first['meta']['versionId']}"),
            fhir.entry("GET", "Patient?" + "=".join(by_tag)),
            fhir.entry("GET", f"{path}/_history"),
        ),
        "batch",
    )

    assert read["resource"] == last
    assert vread["resource"] == first
    assert (search["resource"]["type"], fhir.matches(search["resource"])) == ("searchset", [first["id"]])
    assert (history["resource"]["type"], len(history["resource"]["entry"])) == ("history", 3)


def test_conditions_of_an_entry(fhir, advertised, patient, new_patient, criteria):
    """R4 bundle.html: entry.request.ifNoneMatch, ifMatch, ifNoneExist"""
    advertised.need_on("Patient", "conditionalCreate")
    there = patient()
    etag = f'W/"{there["meta"]["versionId"]}"'

    entries = fhir.answers(
        fhir.bundle(
            "batch",
            fhir.entry("GET", f"Patient/{there['id']}", ifNoneMatch=etag),
            fhir.entry("POST", "Patient", new_patient(gender="male"), ifNoneExist=criteria),
        ),
        "batch",
    )

    assert codes(entries)[0] in ("200", "304")
    assert codes(entries)[1] == "200"
    updated = fhir.answers(
        fhir.bundle("batch", fhir.entry("PUT", f"Patient/{there['id']}", {**there, "gender": "other"}, ifMatch=etag)),
        "batch",
    )
    assert codes(updated) == ["200"]


def test_conditional_urls(fhir, advertised, new_patient, patient, criteria):
    """R4 http.html#transaction: conditional update and delete as entries"""
    advertised.need_on("Patient", "conditionalUpdate")
    advertised.need_on("Patient", "conditionalDelete")
    there = patient()

    (updated,) = fhir.answers(
        fhir.bundle("batch", fhir.entry("PUT", f"Patient?{criteria}", new_patient(gender="other"))), "batch"
    )
    (deleted,) = fhir.answers(fhir.bundle("batch", fhir.entry("DELETE", f"Patient?{criteria}")), "batch")

    assert updated["response"]["status"].startswith("200")
    assert deleted["response"]["status"][:3] in ("200", "202", "204")
    fhir.issues(fhir.get(f"Patient/{there['id']}"), 410)


def test_an_empty_batch_is_no_error(fhir):
    """R4 http.html#trules, json.html: an array is never empty"""
    response = fhir.bundle("batch")

    assert fhir.answers(response, "batch") == []
    assert "entry" not in response.json()


def test_fifty_entries(fhir, new_patient, by_tag):
    """R4 http.html#transaction-response"""
    answer = fhir.bundle("batch", *[fhir.entry("POST", "Patient", new_patient()) for _ in range(50)])

    assert codes(fhir.answers(answer, "batch")) == ["201"] * 50
    assert len(fhir.found("Patient", by_tag)) == 50


@pytest.mark.parametrize(
    "entry",
    [
        {"request": {"method": "FROB", "url": "Patient/1"}},
        {"request": {"method": "GET"}},
        {"request": {"url": "Patient/1"}},
        {"request": {"method": "POST", "url": "Patient"}},
        {"request": {"method": "PUT", "url": "Patient/1"}},
        {"request": {"method": "GET", "url": "Nonsense/1"}},
        {"request": {"method": "GET", "url": "../../etc/passwd"}},
        {"request": {"method": "GET", "url": "Patient/1/2/3/4"}},
        {"request": {"method": "GET", "url": "%ff"}},
        {"request": {"method": "GET", "url": 7}},
        {"request": []},
        {"resource": {"resourceType": "Patient"}},
        {},
        None,
        "POST",
        # a batch in a batch
        {
            "request": {"method": "POST", "url": ""},
            "resource": {"resourceType": "Bundle", "type": "batch", "entry": []},
        },
        {"request": {"method": "POST", "url": "/"}, "resource": {"resourceType": "Bundle", "type": "transaction"}},
    ],
)
def test_an_entry_that_is_no_request_fails_alone_or_with_the_batch(fhir, new_patient, by_tag, entry):
    """R4 http.html#transaction: each entry SHALL carry request details; bundle.html bdl-3, bdl-5"""
    good = fhir.entry("POST", "Patient", new_patient())
    response = fhir.post("", {"resourceType": "Bundle", "type": "batch", "entry": [entry, good]})

    if response.status_code == 200:
        bad, done = codes(fhir.answers(response, "batch"))
        assert bad.startswith("4"), bad
        assert done == "201"
        assert len(fhir.found("Patient", by_tag)) == 1
    else:
        fhir.issues(response, 400, 422)
        assert fhir.found("Patient", by_tag) == set()


@pytest.mark.parametrize("kind", [None, "", "nonsense", 5, "Batch"])
def test_a_bundle_must_be_of_a_type(fhir, kind):
    """R4 bundle.html: type 1..1, from bundle-type"""
    fhir.issues(fhir.post("", {"resourceType": "Bundle", "type": kind}), 400, 422)


@pytest.mark.parametrize("kind", ["collection", "searchset", "history", "document", "message", "batch-response"])
def test_other_bundle_types_are_refused_or_answered(fhir, new_patient, kind):
    """R4 http.html#other-bundles: a server may choose to accept other types"""
    response = fhir.post("", {"resourceType": "Bundle", "type": kind, "entry": [{"resource": new_patient()}]})

    if response.status_code not in (200, 201):
        fhir.issues(response, 400, 404, 405, 422)


@pytest.mark.parametrize("resource_type", ["Patient", "Parameters", "OperationOutcome"])
def test_base_takes_bundles_alone(fhir, resource_type):
    """R4 http.html#transaction: the content of the post submission is a Bundle"""
    fhir.issues(fhir.post("", {"resourceType": resource_type}), 400, 404, 405, 422)


def test_a_batch_in_xml(fhir, new_patient, tag, by_tag):
    """R4 http.html#transaction, xml.html"""
    xml = f"""<Bundle xmlns="http://hl7.org/fhir"><type value="batch"/>
      <entry>
        <resource><Patient>
          <identifier><system value="{fhir.identifiers}"/><value value="{tag}"/></identifier>
        </Patient></resource>
        <request><method value="POST"/><url value="Patient"/></request>
      </entry>
    </Bundle>"""

    response = fhir.post("", body=xml, headers={"Content-Type": fhir.xml})

    assert codes(fhir.answers(response, "batch")) == ["201"]
    assert len(fhir.found("Patient", by_tag)) == 1
