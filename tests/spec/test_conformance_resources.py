"""The conformance resources that come along, as clients find them: read, searched, versioned, and not to be changed.

R4: structuredefinition.html, searchparameter.html, operationdefinition.html, capabilitystatement.html
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from fhir_server.fhir import xml
from fhir_server.interactions import conformance
from tests.calls import Caller, Served, ids

FR_PATIENT = "https://hl7.fr/ig/fhir/core/StructureDefinition/fr-core-patient"
OURS = {"resourceType": "StructureDefinition", "url": FR_PATIENT, "name": "Mine", "status": "draft", "kind": "resource",
        "abstract": False, "type": "Patient", "derivation": "constraint",
        "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Patient",
        "differential": {"element": [{"id": "Patient", "path": "Patient"}]}}  # fmt: skip


@pytest.fixture(scope="module")
def statement(nobody: Caller) -> dict[str, Any]:
    """What the server says of itself."""
    found: dict[str, Any] = nobody.get("metadata")
    return found


@pytest.mark.parametrize(
    "type",
    ["StructureDefinition", "ValueSet", "CodeSystem", "NamingSystem", "SearchParameter", "OperationDefinition",
     "CompartmentDefinition"],
)  # fmt: skip
def test_each_is_read_as_it_comes_along(operator: Caller, type: str) -> None:
    """R4 http.html#read, #vread, #history: one of each type"""
    one = next(each for each in conformance.resources() if each["resourceType"] == type)
    found = operator.get(f"{type}/{one['id']}")

    assert {name: value for name, value in found.items() if name != "meta"} == one
    assert operator.get(f"{type}/{one['id']}/_history/1") == found
    assert ids(operator.get(f"{type}/{one['id']}/_history")) == [f"{type}/{one['id']}"]
    assert xml.parse(operator("GET", f"{type}/{one['id']}", Accept="application/fhir+xml").data) == found


def test_they_are_found_by_their_parameters(operator: Caller) -> None:
    """R4 structuredefinition.html#search, searchparameter.html#search, namingsystem.html#search"""

    def found(query: str) -> list[str]:
        return ids(operator.get(f"{query}&status=active"))

    patient = "StructureDefinition/fr-core-patient"
    assert found(f"StructureDefinition?url={quote(FR_PATIENT)}") == [patient]
    assert found("StructureDefinition?type=Patient&base=http://hl7.org/fhir/StructureDefinition/Patient&_sort=_id") == [
        patient
    ]
    assert patient in found("StructureDefinition?name=FrCorePatient&_summary=true")
    assert found("SearchParameter?base=CareTeam&code=start") == ["SearchParameter/careteam-start"]
    assert found("OperationDefinition?code=expand") == ["OperationDefinition/ValueSet-expand"]
    assert found("NamingSystem?value=urn:oid:1.2.250.1.213.1.4.8") == ["NamingSystem/ins-nir"]
    assert found("NamingSystem?value=1.2.250.1.71.4.2.1") == ["NamingSystem/idnps"]
    assert found("CompartmentDefinition?code=Patient") == ["CompartmentDefinition/patient"]


def test_what_the_statement_points_at_is_there(operator: Caller, statement: dict[str, Any]) -> None:
    """R4 capabilitystatement.html: supportedProfile, searchParam.definition, operation.definition, compartment"""
    (rest,) = statement["rest"]
    pointed = {("CompartmentDefinition", url) for url in rest["compartment"]}
    for part in (rest, *rest["resource"]):
        pointed |= {("StructureDefinition", url) for url in part.get("supportedProfile", ())}
        pointed |= {("SearchParameter", one["definition"]) for one in part["searchParam"]}
        pointed |= {("OperationDefinition", one["definition"]) for one in part.get("operation", ())}

    assert ("StructureDefinition", FR_PATIENT) in pointed
    there = {
        (type, entry["resource"]["url"])
        for type in {type for type, _ in pointed}
        for entry in operator.get(f"{type}?_count=1000&_elements=url&status=active")["entry"]
        if "url" in entry["resource"]
    }
    assert pointed - there == set()


def test_every_claimed_type_supports_its_profiles(statement: dict[str, Any]) -> None:
    """R4 capabilitystatement.html#CapabilityStatement.rest.resource.supportedProfile"""
    supported = {one["type"]: one.get("supportedProfile", []) for one in statement["rest"][0]["resource"]}

    assert FR_PATIENT in supported["Patient"]
    assert len(supported["Observation"]) == 15
    assert supported["Goal"] == []
    assert not any(url.endswith("fr-core-address") for urls in supported.values() for url in urls)


def test_they_say_what_the_server_does_and_are_not_changed(operator: Caller) -> None:
    """405, also for the operator; the same definition under another id is the operator's own"""
    place = "StructureDefinition/fr-core-patient"
    tag = {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": {"tag": [{"code": "a"}]}}]}
    patch = [{"op": "replace", "path": "/status", "value": "retired"}]
    before = operator("GET", place).data
    answers = [
        operator("PUT", place, {**OURS, "id": "fr-core-patient"}),
        operator("PATCH", place, patch, Content_Type="application/json-patch+json"),
        operator("DELETE", place),
        operator("POST", f"{place}/$meta-add", tag),
        operator("PUT", "StructureDefinition?_id=fr-core-patient", OURS),
    ]

    assert [answer.status_code for answer in answers] == [405] * 5
    assert "another id" in answers[0].text
    assert operator("GET", place).data == before
    made = operator.create(OURS)
    assert operator("DELETE", made).status_code == 204


def test_the_text_of_the_standard_takes_the_place_of_ours(operator: Caller) -> None:
    """R4 searchparameter.html: HL7's definition, which is longer than ours, is kept as it was sent; another is not"""
    place = "SearchParameter/Basic-author"
    ours = operator("GET", place).json
    longer = {**ours, "publisher": "Health Level Seven International (FHIR Infrastructure)", "status": "draft"}

    for told in ({"code": "writer"}, {"type": "token"}, {"url": "http://example.org/SearchParameter/author"}):
        assert operator("PUT", place, {**longer, **told}).status_code == 405, told
    assert operator("PUT", place, longer).status_code == 200
    read = operator("GET", place).json
    assert (read["publisher"], read["status"]) == (longer["publisher"], "draft")


def test_whoever_has_a_token_reads_them_and_changes_none(served: Served) -> None:
    """rule A18: directory resources and terminologies are readable by any authenticated client"""
    _, patient = served.patient("patient/*.cruds")

    assert patient("GET", "StructureDefinition/fr-core-patient").status_code == 200
    changed = {"resourceType": "ValueSet", "id": "tobacco", "status": "draft"}
    assert patient("PUT", "ValueSet/tobacco", changed).status_code in (403, 404)
    assert patient("DELETE", "ValueSet/tobacco").status_code in (403, 404)


def test_a_value_set_is_expanded_by_its_address(operator: Caller) -> None:
    """R4 valueset-operation-expand.html: on the instance as by its url"""
    stored = operator.get("ValueSet/tobacco")
    by_id = operator.get("ValueSet/tobacco/$expand")["expansion"]["contains"]

    assert by_id == operator.get(f"ValueSet/$expand?url={quote(stored['url'])}")["expansion"]["contains"]
