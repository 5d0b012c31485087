"""capabilities: the statement is there, is well formed, and every line of it is true.

R4 http.html#capabilities, capabilitystatement.html
"""

from __future__ import annotations

import pytest

#: R4 valueset-type-restful-interaction.html, valueset-system-restful-interaction.html
TYPE_INTERACTIONS = frozenset(
    ["read", "vread", "update", "patch", "delete", "history-instance", "history-type", "create", "search-type"]
)
SYSTEM_INTERACTIONS = frozenset({"transaction", "batch", "search-system", "history-system"})

#: A value that each type of search parameter must be able to take.  R4 search.html#ptypes
VALUES = {
    "number": "1",
    "date": "2024",
    "string": "x",
    "token": "x",
    "reference": "x",
    "quantity": "1",
    "uri": "https://conformance.example/x",
}


def test_the_statement_needs_no_token(fhir):
    """R4 http.html#capabilities; security.html: a client must be able to find out how to be let in"""
    response = fhir.get("metadata", token=False)

    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith(fhir.json)


def test_the_statement_has_what_it_must(advertised):
    """R4 capabilitystatement.html: status, date, kind, fhirVersion, format 1..*; cpb-1 to cpb-4, cpb-14, cpb-15"""
    statement = advertised.statement

    assert statement["resourceType"] == "CapabilityStatement"
    assert statement["fhirVersion"] == "4.0.1"
    assert statement["status"] in ("draft", "active", "retired", "unknown")
    assert statement["kind"] == "instance"
    assert statement["date"]
    assert statement["format"]
    assert statement.get("implementation", {}).get("description"), "cpb-15: an instance says which"
    assert [rest["mode"] for rest in statement["rest"]].count("server") == 1


def test_resource_types_and_parameters_are_named_once(advertised):
    """R4 capabilitystatement.html: cpb-9, cpb-12"""
    types = [row["type"] for row in advertised.rest["resource"]]

    assert len(types) == len(set(types))
    for row in advertised.rest["resource"]:
        names = [parameter["name"] for parameter in row.get("searchParam", [])]
        assert len(names) == len(set(names)), row["type"]


def test_codes_are_of_their_value_sets(advertised):
    """R4 capabilitystatement.html: interaction.code, versioning, conditionalRead, conditionalDelete"""
    assert advertised.system() <= SYSTEM_INTERACTIONS
    for row in advertised.rest["resource"]:
        assert {interaction["code"] for interaction in row.get("interaction", [])} <= TYPE_INTERACTIONS, row["type"]
        assert row.get("versioning", "versioned") in ("no-version", "versioned", "versioned-update")
        assert row.get("conditionalRead", "full-support") in (
            "not-supported",
            "modified-since",
            "not-match",
            "full-support",
        )
        assert row.get("conditionalDelete", "single") in ("not-supported", "single", "multiple")


def test_the_base_url_is_the_one_that_was_asked(fhir, advertised):
    """R4 capabilitystatement.html#CapabilityStatement.implementation.url"""
    assert advertised.statement["implementation"].get("url", fhir.base).rstrip("/") == fhir.base


def test_the_statement_has_an_etag(fhir):
    """R4 http.html#capabilities: an ETag header SHOULD be returned; it changes if the resource changes"""
    first, second = fhir.get("metadata"), fhir.get("metadata")

    assert first.headers.get("ETag")
    assert first.headers["ETag"] == second.headers["ETag"]


@pytest.mark.parametrize("mode", ["full", "normative", "terminology", "nonsense"])
def test_a_mode_is_taken(fhir, mode):
    """R4 http.html#capabilities: servers MAY ignore the mode parameter and return a CapabilityStatement"""
    response = fhir.get("metadata", params={"mode": mode})

    if response.status_code != 200:
        fhir.issues(response, 400, 404)
    else:
        assert response.json()["resourceType"] in ("CapabilityStatement", "TerminologyCapabilities")


def failures(fhir, calls):
    """The calls, eight at a time, that did not answer one of their statuses, each in a line."""

    def failure(name, method, path, statuses, options):
        response = fhir.request(method, path, **options)
        if response.status_code not in statuses:
            return f"{name}: {response.status_code} {response.text[:150]}"
        return None

    calls = list(calls)
    found = []
    for start in range(0, len(calls), 8):
        found += fhir.at_once([lambda call=call: failure(*call) for call in calls[start : start + 8]])
    return [line for line in found if line]


def test_every_interaction_of_a_type_answers(fhir, advertised, tag):
    """R4 capabilitystatement.html#CapabilityStatement.rest.resource.interaction"""

    def calls():
        for type_name in advertised.resources:
            wrong_id = {"resourceType": type_name, "id": "other"}
            patch = {"body": "[]", "headers": {"Content-Type": "application/json-patch+json"}}
            by_code = {
                "read": ("GET", f"{type_name}/{tag}", (404,), {}),
                "vread": ("GET", f"{type_name}/{tag}/_history/1", (404,), {}),
                "update": ("PUT", f"{type_name}/{tag}", (400, 422), {"resource": wrong_id}),
                "patch": ("PATCH", f"{type_name}/{tag}", (404,), patch),
                "delete": ("DELETE", f"{type_name}/{tag}", (200, 202, 204, 404), {}),
                "history-instance": ("GET", f"{type_name}/{tag}/_history", (404,), {}),
                "history-type": ("GET", f"{type_name}/_history?_count=1", (200,), {}),
                "create": ("POST", type_name, (400, 422), {"resource": {"resourceType": type_name, "nonsense": [1]}}),
                "search-type": ("GET", f"{type_name}?_count=1", (200,), {}),
            }
            for code in sorted(advertised.interactions(type_name)):
                yield (f"{code} {type_name}", *by_code[code])

    assert failures(fhir, calls()) == []


def test_every_interaction_of_the_system_answers(fhir, advertised):
    """R4 capabilitystatement.html#CapabilityStatement.rest.interaction"""
    bundles = {kind: {"resource": {"resourceType": "Bundle", "type": kind}} for kind in ("transaction", "batch")}
    by_code = {
        "transaction": ("POST", "", (200,), bundles["transaction"]),
        "batch": ("POST", "", (200,), bundles["batch"]),
        "search-system": ("GET", "?_id=nobody", (200,), {}),
        "history-system": ("GET", "_history?_count=1", (200,), {}),
    }
    if "search-system" in advertised.system():
        by_code["search-system"] = ("GET", f"{fhir.base}?_id=nobody", (200,), {})

    assert failures(fhir, [(code, *by_code[code]) for code in sorted(advertised.system())]) == []


def test_every_search_parameter_answers(fhir, advertised):
    """R4 capabilitystatement.html#CapabilityStatement.rest.resource.searchParam: also when strictly handled"""

    def calls():
        for type_name in advertised.resources:
            for name, kind in advertised.search_parameters(type_name).items():
                if kind in VALUES:
                    params = [(name, VALUES[kind]), ("_count", "1")]
                    options = {"params": params, "headers": {"Prefer": "handling=strict"}}
                    yield (f"{type_name}?{name}", "GET", type_name, (200,), options)

    assert failures(fhir, calls()) == []


def test_every_search_parameter_of_the_system_answers(fhir, advertised):
    """R4 capabilitystatement.html#CapabilityStatement.rest.searchParam"""

    def calls():
        for parameter in advertised.rest.get("searchParam", []):
            if parameter["type"] in VALUES:
                params = [(parameter["name"], VALUES[parameter["type"]]), ("_count", "1")]
                for type_name in list(advertised.resources)[:3]:
                    yield (f"{type_name}?{parameter['name']}", "GET", type_name, (200,), {"params": params})

    assert failures(fhir, calls()) == []


def test_every_operation_is_there(fhir, advertised, tag):
    """R4 capabilitystatement.html#CapabilityStatement.rest.resource.operation: none is an unknown operation"""

    def calls():
        for type_name, row in advertised.resources.items():
            for operation in row.get("operation", []):
                assert operation["definition"]
                name = operation["name"].lstrip("$")
                options = {"resource": {"resourceType": "Parameters"}}
                for path in (f"{type_name}/${name}", f"{type_name}/{tag}/${name}"):
                    yield (f"{path}", "POST", path, (200, 400, 403, 404, 405, 415, 422), options)

    assert failures(fhir, calls()) == []


def test_what_is_not_advertised_is_not_there(fhir, advertised):
    """R4 capabilitystatement.html: types of R4 that the server does not list are 404"""
    for type_name in ("MolecularSequence", "VerificationResult", "SubstancePolymer", "Linkage"):
        if type_name not in advertised.resources:
            fhir.issues(fhir.get(f"{type_name}/1"), 404)
            fhir.issues(fhir.get(type_name), 404)
