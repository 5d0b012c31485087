"""Binary: bytes as they are, or in a resource.  R4 binary.html#rest"""

from __future__ import annotations

import base64

import pytest

PDF = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n" + bytes(range(256)) + b"\n%%EOF\n"


@pytest.fixture(autouse=True)
def offered(advertised):
    """R4 binary.html is optional."""
    advertised.need("Binary", "create", "read")


@pytest.fixture
def binary(fhir):
    """A Binary created from its resource."""
    return fhir.create(
        {"resourceType": "Binary", "contentType": "application/pdf", "data": base64.b64encode(PDF).decode()}
    )


def test_a_binary_is_a_resource_for_who_asks_for_one(fhir, binary):
    """R4 binary.html#rest: the FHIR content types get the resource"""
    response = fhir.get(f"Binary/{binary['id']}", headers={"Accept": fhir.json})

    assert response.headers["Content-Type"].startswith(fhir.json)
    assert base64.b64decode(response.json()["data"]) == PDF
    assert response.json()["contentType"] == "application/pdf"


def test_a_binary_is_a_resource_in_xml(fhir, advertised, binary):
    """R4 binary.html#rest"""
    if "xml" not in " ".join(advertised.statement["format"]):
        pytest.skip("the server has no XML")

    response = fhir.get(f"Binary/{binary['id']}", headers={"Accept": fhir.xml})

    assert response.headers["Content-Type"].startswith(fhir.xml)
    assert base64.b64encode(PDF).decode() in response.text


@pytest.mark.parametrize("accept", ["application/pdf", "*/*", None, "application/pdf, */*;q=0.1", "application/*"])
def test_a_binary_is_its_bytes_for_all_others(fhir, binary, accept):
    """R4 binary.html#rest: the content should be returned using the content type stated in the resource"""
    response = fhir.get(f"Binary/{binary['id']}", headers={"Accept": accept})

    assert response.status_code == 200
    if accept == "application/*" and response.headers["Content-Type"].startswith("application/fhir+"):
        return
    assert response.headers["Content-Type"].split(";")[0] == "application/pdf"
    assert response.content == PDF
    assert response.headers["ETag"] == f'W/"{binary["meta"]["versionId"]}"'


def test_bytes_become_a_binary(fhir):
    """R4 binary.html#rest: a body of another content type is the content"""
    response = fhir.post("Binary", body=PDF, headers={"Content-Type": "application/pdf"})

    assert response.status_code == 201, response.text[:500]
    stored = fhir.read(fhir.local(response.headers["Location"]))
    assert stored["contentType"] == "application/pdf"
    assert base64.b64decode(stored["data"]) == PDF


def test_active_content_is_not_run_where_it_is_read(fhir):
    """R4 binary.html#security-context, security.html: what others deposited is not run in the server's name"""
    html = base64.b64encode(b"<script>alert(1)</script>").decode()
    stored = fhir.create({"resourceType": "Binary", "contentType": "text/html", "data": html})

    response = fhir.get(f"Binary/{stored['id']}", headers={"Accept": "text/html"})

    policy = response.headers.get("Content-Security-Policy", "")
    disposition = response.headers.get("Content-Disposition", "")
    guarded = (
        "sandbox" in policy
        or "attachment" in disposition
        or not response.headers["Content-Type"].startswith("text/html")
    )
    assert guarded
