"""The conformance resources that come along: good R4, each under an id of its own, and true to the tables."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from fhir_server.cli.check import check
from fhir_server.config import carried
from fhir_server.fhir.types import TYPES
from fhir_server.interactions import conformance
from fhir_server.operations.registry import OPERATIONS
from fhir_server.search.compartment import compartment
from fhir_server.search.parameters import parameters
from fhir_server.validation import structure

HOME = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def resources() -> dict[str, dict[str, Any]]:
    """By `Type/id`."""
    found = list(conformance.resources())
    counted = Counter(f"{one['resourceType']}/{one['id']}" for one in found)
    assert [name for name, count in counted.items() if count > 1] == []
    return {f"{one['resourceType']}/{one['id']}": one for one in found}


def test_each_is_good(resources: dict[str, dict[str, Any]]) -> None:
    """R4 structuredefinition.html, searchparameter.html, operationdefinition.html, namingsystem.html"""
    faults = {name: structure.faults(one) for name, one in resources.items()}

    assert {name: found for name, found in faults.items() if found} == {}
    assert all(one["status"] == "active" for one in resources.values())


def test_the_files_pass_the_command_that_operators_check_theirs_with() -> None:
    """profiles/, terminologies/, conformance/: `fhir-server check` finds no error"""
    said: list[str] = []
    files = [carried("profiles"), carried("terminologies"), HOME / "conformance" / "capability-statement.json"]
    report = check(files, errors_only=True, say=said.append, console=Console())

    assert not report.failed, said
    assert report.checked >= 233
    tables = [*(carried("profiles") / "r4").glob("*.json"), carried("terminologies") / "r4" / "names.json"]
    assert (
        report.passed_over == len(tables) + 4
    )  # and those of units, of the guides and our own operations, of habilitation


def test_every_search_parameter_has_its_definition(resources: dict[str, dict[str, Any]]) -> None:
    """R4 searchparameter.html: one for each url, of all the types that have it"""
    by_url = {one["url"]: one for one in resources.values() if one["resourceType"] == "SearchParameter"}

    for type in TYPES:
        for code, parameter in parameters(type).items():
            definition = by_url[parameter.url]
            assert (definition["code"], definition["type"]) == (code, parameter.type)
            assert {type, "Resource"} & set(definition["base"]), (type, code)
            assert set(parameter.targets) <= set(definition.get("target", ()))
    assert {parameter.url for type in TYPES for parameter in parameters(type).values()} == set(by_url)


def test_a_parameter_that_several_types_have_is_one(resources: dict[str, dict[str, Any]]) -> None:
    """R4 searchparameter.html#SearchParameter.base; patient.html#search: `address` is shared"""
    address = resources["SearchParameter/individual-address"]

    assert address["base"] == ["Patient", "Practitioner", "RelatedPerson"]
    assert address["expression"] == "Patient.address | Practitioner.address | RelatedPerson.address"
    assert address["modifier"] == ["missing", "contains", "exact"]
    assert resources["SearchParameter/Resource-id"]["base"] == ["Resource"]


def test_a_composite_names_its_halves(resources: dict[str, dict[str, Any]]) -> None:
    """R4 searchparameter.html#SearchParameter.component: definitions that are here, too"""
    urls = {one.get("url") for one in resources.values()}
    composites = [one for one in resources.values() if one.get("type") == "composite"]

    assert len(composites) >= 13
    for one in composites:
        assert {half["definition"] for half in one["component"]} <= urls
    quantity = resources["SearchParameter/Observation-code-value-quantity"]
    assert [half["expression"] for half in quantity["component"]] == ["code", "value.as(Quantity)"]


def test_every_operation_has_its_definition(resources: dict[str, dict[str, Any]]) -> None:
    """R4 operationdefinition.html: levels and types as they are answered, without what is refused"""
    by_url = {one["url"]: one for one in resources.values() if one["resourceType"] == "OperationDefinition"}

    assert set(by_url) == {operation.definition for operation in OPERATIONS}
    for operation in OPERATIONS:
        definition = by_url[operation.definition]
        levels = tuple(level for level in ("system", "type", "instance") if definition[level])
        assert (definition["code"], levels, definition["affectsState"]) == (
            operation.name,
            operation.levels,
            operation.changes,
        )
        assert set(definition["resource"]) in ({"Resource"}, set(operation.types))
        asked = {one["name"] for one in definition["parameter"] if one["use"] == "in"}
        assert asked.isdisjoint(operation.refused)
        assert any(one["use"] == "out" for one in definition["parameter"])
    expand = {one["name"]: one for one in by_url[f"{_HL7}/ValueSet-expand"]["parameter"]}
    assert expand["filter"] == {"name": "filter", "use": "in", "min": 0, "max": "1", "type": "string"}
    assert "context" not in expand


def test_the_compartment_is_that_of_searches(resources: dict[str, dict[str, Any]]) -> None:
    """R4 compartmentdefinition-patient.html"""
    definition = resources["CompartmentDefinition/patient"]

    assert {row["code"]: tuple(row.get("param", ())) for row in definition["resource"]} == {
        type: compartment(type) for type in TYPES
    }


def test_the_systems_of_identifiers_are_those_of_the_guides(resources: dict[str, dict[str, Any]]) -> None:
    """FR Core, Annuaire Santé: the addresses and OIDs of INS, RPPS, FINESS, SIRET; R4 namingsystem.html"""
    systems = [one for one in resources.values() if one["resourceType"] == "NamingSystem"]
    preferred = {one["id"]: next(u["value"] for u in one["uniqueId"] if u["preferred"]) for one in systems}

    assert preferred["ins-nir"] == "urn:oid:1.2.250.1.213.1.4.8"
    assert preferred["ins-nia"] == "urn:oid:1.2.250.1.213.1.4.9"
    assert preferred["ins-nir-test"] == "urn:oid:1.2.250.1.213.1.4.10"
    assert preferred["rpps"] == "https://rpps.esante.gouv.fr"
    profiles = "".join(path.read_text(encoding="utf-8") for path in carried("profiles").glob("*.json"))
    assert [id for id, uri in preferred.items() if f'"{uri}"' not in profiles and f"'{uri}'" not in profiles] == []


_HL7 = "http://hl7.org/fhir/OperationDefinition"
