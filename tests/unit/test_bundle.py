"""Bundles built and read.  R4: bundle.html, http.html#transaction"""

import pytest

from fhir_server.fhir import bundle
from fhir_server.fhir.bundle import Request
from fhir_server.fhir.outcome import BadRequest

URN = "urn:uuid:61ebe359-bfdc-4613-8bf2-c5e300945f0a"


def transaction(*entries):
    return {"resourceType": "Bundle", "type": "transaction", "entry": list(entries)}


def entry(method, url, **elements):
    return {"request": {"method": method, "url": url}, **elements}


def test_a_searchset():
    """R4 bundle.html#searchset, search.html#entries"""
    patient = {"resourceType": "Patient", "id": "1"}
    built = bundle.bundle(
        "searchset",
        [
            bundle.search_entry("https://s.example/fhir/Patient/1", patient),
            bundle.outcome_entry({"resourceType": "OperationOutcome"}),
        ],
        links={"self": "https://s.example/fhir/Patient?_id=1"},
        total=1,
    )
    assert built == {
        "resourceType": "Bundle",
        "type": "searchset",
        "total": 1,
        "link": [{"relation": "self", "url": "https://s.example/fhir/Patient?_id=1"}],
        "entry": [
            {"fullUrl": "https://s.example/fhir/Patient/1", "resource": patient, "search": {"mode": "match"}},
            {"resource": {"resourceType": "OperationOutcome"}, "search": {"mode": "outcome"}},
        ],
    }
    assert list(built) == ["resourceType", "type", "total", "link", "entry"]


def test_an_empty_searchset_has_a_total_and_no_empty_list():
    """R4 json.html: no empty arrays"""
    assert bundle.bundle("searchset", total=0) == {"resourceType": "Bundle", "type": "searchset", "total": 0}


def test_elements_of_the_bundle_itself():
    built = bundle.bundle("history", timestamp="2024-01-01T00:00:00Z", id="a")
    assert built == {"resourceType": "Bundle", "timestamp": "2024-01-01T00:00:00Z", "id": "a", "type": "history"}


def test_a_deletion_in_a_history_has_no_resource():
    """R4 http.html#history"""
    answer = bundle.response("204 No Content", etag='W/"2"', last_modified="2024-01-01T00:00:00Z")
    built = bundle.history_entry("http://a/Patient/1", None, request=("DELETE", "Patient/1"), response=answer)
    assert built == {
        "fullUrl": "http://a/Patient/1",
        "request": {"method": "DELETE", "url": "Patient/1"},
        "response": {"status": "204 No Content", "etag": 'W/"2"', "lastModified": "2024-01-01T00:00:00Z"},
    }


def test_an_answer_with_an_outcome():
    """R4 http.html#transaction-response"""
    outcome = {"resourceType": "OperationOutcome"}
    built = bundle.response_entry(bundle.response("201 Created", location="Patient/1/_history/1", outcome=outcome))
    assert built == {"response": {"status": "201 Created", "location": "Patient/1/_history/1", "outcome": outcome}}


def test_order_of_a_transaction():
    """R4 http.html#trules: DELETE, POST, PUT and PATCH, GET and HEAD; each answered at its own place."""
    sent = transaction(
        entry("GET", "Patient/1"),
        entry("PATCH", "Patient/2"),
        entry("POST", "Patient"),
        entry("HEAD", "Patient/1"),
        entry("PUT", "Patient/3"),
        entry("DELETE", "Patient/4"),
        entry("POST", "Observation"),
    )
    assert [(request.index, request.method) for request in bundle.entries_in_order(sent)] == [
        (5, "DELETE"),
        (2, "POST"),
        (6, "POST"),
        (1, "PATCH"),
        (4, "PUT"),
        (0, "GET"),
        (3, "HEAD"),
    ]


def test_a_request_with_its_conditions():
    """R4 bundle.html#http"""
    sent = {
        "fullUrl": URN,
        "resource": {"resourceType": "Patient"},
        "request": {
            "method": "POST",
            "url": "Patient",
            "ifMatch": 'W/"1"',
            "ifNoneMatch": "*",
            "ifModifiedSince": "2024-01-01T00:00:00Z",
            "ifNoneExist": "identifier=1",
        },
    }
    request = bundle.read_request(sent, 3)
    assert request == Request(
        3,
        "POST",
        "Patient",
        URN,
        {"resourceType": "Patient"},
        if_match='W/"1"',
        if_none_match="*",
        if_modified_since="2024-01-01T00:00:00Z",
        if_none_exist="identifier=1",
    )
    assert request.expression == "Bundle.entry[3]"


@pytest.mark.parametrize(
    "sent, place",
    [
        ("text", "Bundle.entry[0]"),
        ({}, "Bundle.entry[0].request"),
        ({"request": "GET"}, "Bundle.entry[0].request"),
        ({"request": {"url": "Patient/1"}}, "Bundle.entry[0].request.method"),
        ({"request": {"method": "GET"}}, "Bundle.entry[0].request.url"),
        ({"request": {"method": "GET", "url": ""}}, "Bundle.entry[0].request.url"),
        ({"request": {"method": "GET", "url": 1}}, "Bundle.entry[0].request.url"),
        ({"request": {"method": "get", "url": "Patient/1"}}, "Bundle.entry[0].request.method"),
        ({"request": {"method": ["GET"], "url": "Patient/1"}}, "Bundle.entry[0].request.method"),
        ({"request": {"method": "GET", "url": "Patient/1", "ifMatch": 1}}, "Bundle.entry[0].request.ifMatch"),
        ({"request": {"method": "PUT", "url": "Patient/1"}, "resource": []}, "Bundle.entry[0].resource"),
        ({"request": {"method": "PUT", "url": "Patient/1"}, "fullUrl": 1}, "Bundle.entry[0].fullUrl"),
    ],
)
def test_a_request_that_cannot_be_read(sent, place):
    """bdl-3, valueset-http-verb.html"""
    with pytest.raises(BadRequest) as refusal:
        bundle.entries_in_order(transaction(sent))
    assert [issue.expression for issue in refusal.value.issues] == [(place,)]


@pytest.mark.parametrize(
    "first, second",
    [
        (entry("PUT", "Patient/1"), entry("DELETE", "Patient/1")),
        (entry("PUT", "Patient/1"), entry("PATCH", "/Patient/1")),
        (entry("DELETE", "https://s.example/fhir/Patient/1"), entry("PUT", "Patient/1")),
    ],
)
def test_a_resource_is_changed_once(first, second):
    """R4 http.html#trules: identities that overlap fail the transaction; both entries are named."""
    with pytest.raises(BadRequest) as refusal:
        bundle.entries_in_order(transaction(first, entry("GET", "Patient/1"), second), "https://s.example/fhir")
    (issue,) = refusal.value.issues
    assert issue.expression == ("Bundle.entry[0].request.url", "Bundle.entry[2].request.url")


def test_reading_and_creating_do_not_overlap():
    sent = transaction(
        entry("GET", "Patient/1"), entry("PUT", "Patient/1"), entry("POST", "Patient"), entry("POST", "Patient")
    )
    assert len(bundle.entries_in_order(sent)) == 4


def test_resolved_conditions_overlap():
    """R4 http.html#trules: conditional updates are compared once it is known what they update."""
    bundle.refuse_overlap({0: "Patient/1", 1: "Patient/2", 2: None, 3: None})
    with pytest.raises(BadRequest, match=r"Bundle\.entry\[0\], Bundle\.entry\[4\]"):
        bundle.refuse_overlap({0: "Patient/1", 4: "Patient/1"})


def test_a_full_url_is_given_once():
    """bdl-7"""
    twice = [entry("POST", "Patient", fullUrl=URN), entry("POST", "Observation", fullUrl=URN)]
    with pytest.raises(BadRequest) as refusal:
        bundle.entries_in_order(transaction(*twice))
    assert refusal.value.issues[0].expression == ("Bundle.entry[0].fullUrl", "Bundle.entry[1].fullUrl")


def test_versions_of_one_resource_may_share_a_full_url():
    """bdl-7"""
    versions = [
        entry(
            "POST",
            "Patient",
            fullUrl="http://a/Patient/1",
            resource={"resourceType": "Patient", "meta": {"versionId": version}},
        )
        for version in "12"
    ]
    assert len(bundle.entries_in_order(transaction(*versions))) == 2


def test_all_faults_are_told_at_once():
    with pytest.raises(BadRequest) as refusal:
        bundle.entries_in_order(
            transaction({}, entry("SEND", "a"), entry("PUT", "Patient/1"), entry("PUT", "Patient/1"))
        )
    assert [issue.expression[0] for issue in refusal.value.issues] == [
        "Bundle.entry[0].request",
        "Bundle.entry[1].request.method",
        "Bundle.entry[2].request.url",
    ]


@pytest.mark.parametrize(
    "sent, place",
    [
        ({"resourceType": "Patient"}, "Bundle"),
        ({"resourceType": "Bundle"}, "Bundle.type"),
        ({"resourceType": "Bundle", "type": "searchset"}, "Bundle.type"),
        ({"resourceType": "Bundle", "type": "transaction", "entry": {}}, "Bundle.entry"),
    ],
)
def test_what_is_not_a_transaction_is_refused(sent, place):
    with pytest.raises(BadRequest) as refusal:
        bundle.entries_in_order(sent)
    assert refusal.value.issues[0].expression == (place,)


def test_a_transaction_may_be_empty():
    assert bundle.entries_in_order({"resourceType": "Bundle", "type": "transaction"}) == []
