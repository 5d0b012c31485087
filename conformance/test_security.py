"""Who may come in, and what those outside are told.  R4 security.html, RFC 6750, SMART App Launch 2.2 s. discovery"""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest


@pytest.fixture
def guarded(fhir):
    """Skips on a server that is open: without a token there is nothing to be without."""
    if not fhir.token:
        pytest.skip("no --token was given")


def refused(fhir, response):
    """R4 security.html#AccessDenied: 401; RFC 9110 s. 15.5.2: it MUST send a WWW-Authenticate header"""
    issues = fhir.issues(response, 401)
    assert response.headers["WWW-Authenticate"].split()[0].lower() == "bearer"
    assert {issue["code"] for issue in issues} <= {"login", "security", "expired", "unknown"}


REQUESTS = [
    ("GET", "Patient/x", None),
    ("GET", "Patient/x/_history/1", None),
    ("GET", "Patient/x/_history", None),
    ("GET", "Patient/_history", None),
    ("GET", "_history", None),
    ("GET", "Patient", None),
    ("GET", "Patient?_id=x", None),
    ("GET", "Practitioner", None),
    ("GET", "ValueSet", None),
    ("GET", "AuditEvent", None),
    ("GET", "Patient/x/$everything", None),
    ("GET", "$meta", None),
    ("POST", "Patient", {"resourceType": "Patient"}),
    ("PUT", "Patient/x", {"resourceType": "Patient", "id": "x"}),
    ("PATCH", "Patient/x", {"resourceType": "Parameters"}),
    ("DELETE", "Patient/x", None),
    ("DELETE", "Basic?_id=x", None),
    ("POST", "Patient/_search", None),
    ("POST", "", {"resourceType": "Bundle", "type": "batch"}),
    ("POST", "", {"resourceType": "Bundle", "type": "transaction"}),
    ("GET", "Patient/x/Observation", None),
]


@pytest.mark.parametrize(("method", "path", "resource"), REQUESTS)
def test_without_a_token_nothing(fhir, guarded, method, path, resource):
    """RFC 6750 s. 3"""
    refused(fhir, fhir.request(method, path, resource=resource, token=False))


@pytest.mark.parametrize(
    "authorization",
    [
        "Bearer nosuchtoken",
        "Bearer ",
        "Bearer",
        "Bearer a b",
        "Basic dXNlcjpwYXNz",
        "nonsense",
        "",
        "Bearer " + "x" * 4_000,
        "Bearer é".encode("latin-1"),
        "Bearer null",
        "Bearer ../../x",
    ],
)
def test_a_token_that_is_none_is_none(fhir, guarded, patient, authorization):
    """RFC 6750 s. 3.1: invalid_token"""
    path = f"Patient/{patient()['id']}"

    refused(fhir, fhir.get(path, headers={"Authorization": authorization}))


@pytest.mark.parametrize(
    "change", [str.upper, str.lower, str.swapcase, lambda token: token[:-1], lambda token: token + "x"]
)
def test_a_token_that_is_almost_right_is_wrong(fhir, guarded, change):
    """RFC 6750 s. 3.1"""
    changed = change(fhir.token)
    if changed == fhir.token:
        pytest.skip("this change changes nothing in this token")

    refused(fhir, fhir.get("Patient/x", headers={"Authorization": f"Bearer {changed}"}))


def test_a_dead_token_is_told_so(fhir, guarded):
    """RFC 6750 s. 3.1: error="invalid_token"; s. 3: no error code where no token was sent"""
    wrong = fhir.get("Patient/x", headers={"Authorization": "Bearer nosuchtoken"})
    none = fhir.get("Patient/x", token=False)

    assert 'error="invalid_token"' in wrong.headers["WWW-Authenticate"]
    assert "error=" not in none.headers["WWW-Authenticate"]


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_is_case_insensitive(fhir, guarded, patient, scheme):
    """RFC 9110 s. 11.1"""
    response = fhir.get(f"Patient/{patient()['id']}", headers={"Authorization": f"{scheme} {fhir.token}"})

    assert response.status_code == 200


def test_a_token_in_the_url_is_none(fhir, guarded, patient):
    """RFC 6750 s. 2.3: SHOULD NOT be used; URLs are logged"""
    response = fhir.get(f"Patient/{patient()['id']}", params={"access_token": fhir.token}, token=False)

    refused(fhir, response)


def test_those_outside_cannot_tell_what_is_there(fhir, guarded, patient, tag):
    """R4 security.html#AccessDenied: an answer does not give away what exists"""
    there = fhir.get(f"Patient/{patient()['id']}", token=False)
    not_there = fhir.get(f"Patient/{tag}", token=False)

    assert (there.status_code, there.json()) == (not_there.status_code, not_there.json())
    assert "ETag" not in there.headers


def test_head_is_refused_without_a_body(fhir, guarded):
    """RFC 9110 s. 9.3.2"""
    response = fhir.head("Patient/x", token=False)

    assert response.status_code == 401
    assert response.content == b""


def test_a_conditional_read_is_refused_too(fhir, guarded, patient):
    """RFC 9110 s. 13.2.1: preconditions come after what would refuse the request anyway"""
    path = f"Patient/{patient()['id']}"
    etag = fhir.get(path).headers["ETag"]

    assert fhir.get(path, headers={"If-None-Match": etag}, token=False).status_code == 401


def test_a_refused_write_writes_nothing(fhir, guarded, new_patient, by_tag):
    """R4 security.html"""
    fhir.request("POST", "Patient", resource=new_patient(), token=False)

    assert fhir.found("Patient", by_tag) == set()


def test_smart_configuration_needs_no_token(fhir):
    """SMART App Launch 2.2: [base]/.well-known/smart-configuration, as application/json"""
    response = fhir.get(".well-known/smart-configuration", token=False, headers={"Accept": "application/json"})
    if response.status_code == 404:
        pytest.skip("the server is no SMART server")

    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("application/json")
    document = response.json()
    assert document["token_endpoint"].startswith("http")
    assert document["capabilities"]
    assert "S256" in document["code_challenge_methods_supported"]
    assert "plain" not in document["code_challenge_methods_supported"]


def test_answers_with_data_are_not_kept_by_caches_of_others(fhir, guarded, patient):
    """R4 security.html; RFC 9111 s. 3.5: an answer to an authorised request is not for shared caches"""
    response = fhir.get(f"Patient/{patient()['id']}")

    assert "public" not in response.headers.get("Cache-Control", "")


def test_urls_do_not_follow_the_host_header(fhir, patient):
    """RFC 9110 s. 7.2: a Host of the client's choice must not get into the links of others"""
    if urlsplit(fhir.base).scheme != "http":
        pytest.skip("behind TLS the name decides who answers")

    response = fhir.get("Patient", params={"_count": "1"}, headers={"Host": "evil.example"})

    assert response.status_code in (200, 400, 403, 404, 421)
    assert "evil.example" not in response.text


def test_no_answer_names_its_insides(fhir, tag):
    """R4 security.html; RFC 9110 s. 17.11: no stack traces, no versions of libraries"""
    for response in (fhir.get(f"Patient/{tag}"), fhir.get("Nonsense"), fhir.post("Patient", [])):
        assert "Traceback" not in response.text
        assert "site-packages" not in response.text
