"""The brand of the server.  SMART App Launch 2.2: brands.html"""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module")
def answer(suite):
    """The brand bundle as it comes."""
    url = suite.configuration.get("user_access_brand_bundle")
    if not url:
        pytest.skip("the server has no user_access_brand_bundle")
    return suite.http.get(url, headers={"Origin": "https://app.example"}, timeout=30)


@pytest.fixture(scope="module")
def resources(answer):
    """The Organizations and Endpoints in it, by type."""
    found = {"Organization": [], "Endpoint": []}
    for entry in answer.json()["entry"]:
        found[entry["resource"]["resourceType"]].append(entry["resource"])
    return found


def test_anybody_may_have_it(suite, answer):
    """brands.html#conformance-overview: public, CORS, a weak ETag"""
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] in ("*", "https://app.example")
    assert answer.headers["ETag"].startswith('W/"')
    again = suite.http.get(answer.url, headers={"If-None-Match": answer.headers["ETag"]}, timeout=30)
    assert again.status_code == 304


def test_the_bundle(answer):
    """StructureDefinition/user-access-brands-bundle"""
    assert answer.json()["type"] == "collection"
    assert answer.json()["timestamp"]


def test_endpoints(suite, resources):
    """StructureDefinition/user-access-endpoint; each is one of a brand, and a FHIR server"""
    referenced = {one["reference"] for brand in resources["Organization"] for one in brand.get("endpoint", [])}
    assert referenced == {f"Endpoint/{one['id']}" for one in resources["Endpoint"]}
    for endpoint in resources["Endpoint"]:
        assert endpoint["status"] and endpoint["name"] and endpoint["contact"]
        assert endpoint["connectionType"]["code"] == "hl7-fhir-rest"
        assert any(one["url"].endswith("/endpoint-fhir-version") for one in endpoint["extension"])
        assert endpoint["payloadType"][0]["coding"][0]["code"] == "none"
        metadata = suite.http.get(
            f"{endpoint['address']}/metadata", headers={"Accept": "application/fhir+json"}, timeout=30
        )
        assert metadata.json()["resourceType"] == "CapabilityStatement"


def test_brands(suite, resources):
    """StructureDefinition/user-access-brand; brands.html: the identifier of the configuration is that of exactly one"""
    for brand in resources["Organization"]:
        assert brand["name"]
        assert any(one["system"] == "url" for one in brand["telecom"])
        own = {one["reference"] for one in brand["endpoint"]}
        for portal in brand.get("extension", []):
            parts = [part for part in portal.get("extension", []) if part["url"] == "portalEndpoint"]
            assert {part["valueReference"]["reference"] for part in parts} <= own
    primary = suite.configuration["user_access_brand_identifier"]
    matching = [brand for brand in resources["Organization"] if primary in brand.get("identifier", [])]
    assert len(matching) == 1
    assert {one["reference"] for one in matching[0]["endpoint"]} == {
        f"Endpoint/{e['id']}" for e in resources["Endpoint"]
    }
