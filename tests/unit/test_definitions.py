"""What fhir/definitions.py says of R4, checked against the pages of the standard."""

from __future__ import annotations

import json

import pytest

from fhir_server.config import carried
from fhir_server.fhir import derive
from fhir_server.fhir.definitions import PRIMITIVES, Element, is_resource, structure
from fhir_server.fhir.types import TYPES


def test_every_supported_type_is_a_resource_with_a_structure():
    for type_ in (*TYPES, "Parameters", "OperationOutcome", "Bundle"):
        assert is_resource(type_)
        assert "id" in structure(type_)


def test_every_structure_that_is_named_exists():
    seen, waiting = set(), list(TYPES)
    while waiting:
        key = waiting.pop()
        seen.add(key)
        for element in structure(key).values():
            assert element.primitive == (element.type in PRIMITIVES) == (element.structure is None)
            if element.structure and element.structure not in seen:
                waiting.append(element.structure)

    assert {"Observation.component", "Timing.repeat", "Quantity", "Resource"} <= seen


def test_elements_stand_in_the_order_of_the_standard():
    """R4 xml.html: elements SHALL be in the order of the definition; datatypes.html#Quantity"""
    assert list(structure("Quantity")) == ["id", "extension", "value", "comparator", "unit", "system", "code"]


def test_an_element_carries_its_facts():
    """R4 observation.html#tabs-snap"""
    assert structure("Observation")["status"] == Element(
        name="status",
        choice=None,
        type="code",
        structure=None,
        min=1,
        many=False,
        summary=True,
        modifier=True,
        targets=(),
        binding="http://hl7.org/fhir/ValueSet/observation-status",
        primitive=True,
        attribute=False,
    )


def test_a_choice_is_a_property_for_each_type():
    """R4 formats.html#choice"""
    values = [e for e in structure("Observation").values() if e.choice == "value[x]"]

    assert [e.name for e in values] == [
        "valueQuantity",
        "valueCodeableConcept",
        "valueString",
        "valueBoolean",
        "valueInteger",
        "valueRange",
        "valueRatio",
        "valueSampledData",
        "valueTime",
        "valueDateTime",
        "valuePeriod",
    ]
    assert [e.structure for e in values if not e.primitive] == [
        "Quantity",
        "CodeableConcept",
        "Range",
        "Ratio",
        "SampledData",
        "Period",
    ]


@pytest.mark.parametrize(
    ("key", "name", "expected"),
    [
        ("Questionnaire.item", "item", "Questionnaire.item"),
        ("Observation.component", "referenceRange", "Observation.referenceRange"),
        ("Bundle.entry", "link", "Bundle.link"),
        ("Parameters.parameter", "part", "Parameters.parameter"),
    ],
)
def test_a_content_reference_leads_to_the_structure_it_names(key, name, expected):
    """R4 elementdefinition.html#ElementDefinition.contentReference"""
    assert structure(key)[name].structure == expected


def test_targets_are_those_of_the_reference_and_none_means_any():
    """R4 references.html#Reference"""
    assert structure("Immunization")["patient"].targets == ("Patient",)
    assert structure("Provenance")["target"].targets == ()


def test_ids_are_attributes_in_elements_and_not_in_resources():
    """R4 xml.html: ids of elements, Extension.url"""
    assert structure("Quantity")["id"].attribute
    assert structure("Questionnaire.item")["id"].attribute
    assert structure("Extension")["url"].attribute
    assert not structure("Patient")["id"].attribute
    assert structure("Patient")["id"].type == "id"


def test_nothing_but_r4_is_there():
    """Meta and AuditEvent.source as on R4's pages: elements that other servers add are not R4"""
    assert list(structure("Meta")) == [
        "id",
        "extension",
        "versionId",
        "lastUpdated",
        "source",
        "profile",
        "security",
        "tag",
    ]
    assert structure("AuditEvent.source")["observer"].targets == (
        "PractitionerRole",
        "Practitioner",
        "Organization",
        "Device",
        "Patient",
        "RelatedPerson",
    )
    assert not is_resource("SubscriptionStatus")
    assert not is_resource("DomainResource")


@pytest.mark.parametrize("key", ["Patients", "Patient.nom", "http://hl7.org/fhirpath/System.String", ""])
def test_an_unknown_structure_is_a_key_error(key):
    with pytest.raises(KeyError):
        structure(key)


def test_search_parameters_begin_at_their_type():
    """R4 searchparameter-registry.html: a shared parameter keeps only the part of the type"""
    table = json.loads((carried("profiles") / "r4" / "search-parameters.json").read_text())

    assert set(table) == {"Resource", *TYPES}
    for type_, parameters in table.items():
        for parameter in parameters.values():
            for part in parameter.get("expression", type_).split(" | "):
                assert part.lstrip("(").partition(".")[0] == type_
    assert table["Observation"]["code"]["expression"] == "Observation.code"
    assert table["Observation"]["code-value-quantity"]["component"] == [
        {"definition": "code", "expression": "code"},
        {"definition": "value-quantity", "expression": "value.as(Quantity)"},
    ]


def test_components_of_composites_are_parameters_of_the_type():
    """R4 search.html#composite"""
    table = json.loads((carried("profiles") / "r4" / "search-parameters.json").read_text())

    for parameters in table.values():
        for parameter in parameters.values():
            for component in parameter.get("component", ()):
                assert component["definition"] in parameters


def test_the_patient_compartment_is_that_of_r4():
    """R4 compartmentdefinition-patient.html"""
    table = json.loads((carried("profiles") / "r4" / "compartment-patient.json").read_text())

    assert table["Observation"] == ["subject", "performer"]
    assert table["Encounter"] == ["patient"]
    assert "Task" not in table


def test_elements_are_derived_from_a_definition():
    """R4 elementdefinition.html"""
    fhir = "http://hl7.org/fhir/StructureDefinition/"
    definition = {
        "id": "Thing",
        "kind": "resource",
        "abstract": False,
        "derivation": "specialization",
        "snapshot": {
            "element": [
                {"path": "Thing"},
                {"path": "Thing.id", "min": 0, "max": "1", "type": [{"code": "string"}]},
                {"path": "Thing.part", "min": 1, "max": "*", "type": [{"code": "BackboneElement"}], "isModifier": True},
                {
                    "path": "Thing.part.value[x]",
                    "min": 0,
                    "max": "1",
                    "type": [
                        {"code": "code"},
                        {"code": "Reference", "targetProfile": [fhir + "Patient"]},
                        {"code": "canonical", "targetProfile": [fhir + "Resource"]},
                    ],
                    "binding": {"strength": "required", "valueSet": "urn:codes|4.0.1"},
                    "isSummary": True,
                },
                {"path": "Thing.part.part", "min": 0, "max": "*", "contentReference": "#Thing.part"},
            ]
        },
    }
    profile = definition | {"id": "thing-profile", "derivation": "constraint"}

    assert derive.elements([profile, definition]) == {
        "resources": ["Thing"],
        "structures": {
            "Thing": [
                {"name": "id", "types": {"id": []}, "min": 0, "max": "1"},
                {
                    "name": "part",
                    "types": {"BackboneElement": []},
                    "min": 1,
                    "max": "*",
                    "flags": "M",
                    "structure": "Thing.part",
                },
            ],
            "Thing.part": [
                {
                    "name": "value[x]",
                    "types": {"code": [], "Reference": ["Patient"], "canonical": []},
                    "min": 0,
                    "max": "1",
                    "flags": "S",
                    "binding": "urn:codes",
                },
                {
                    "name": "part",
                    "types": {"BackboneElement": []},
                    "min": 0,
                    "max": "*",
                    "structure": "Thing.part",
                },
            ],
        },
    }


def test_search_parameters_are_derived_for_each_of_their_types():
    """R4 searchparameter.html"""
    shared = {
        "url": "urn:code",
        "version": "4.0.1",
        "experimental": False,
        "code": "code",
        "base": ["Condition", "Observation", "Nothing"],
        "type": "token",
        "expression": "Condition.code | (Observation.value as (A | B)) | Observation.code",
    }
    example = shared | {"url": "urn:example", "version": "1"}

    table = derive.search_parameters([shared, example])

    assert table["Condition"] == {"code": {"url": "urn:code", "type": "token", "expression": "Condition.code"}}
    assert table["Observation"]["code"]["expression"] == "(Observation.value as (A | B)) | Observation.code"
    assert "Nothing" not in table
    with pytest.raises(ValueError, match="two search parameters"):
        derive.search_parameters([shared, shared])
    with pytest.raises(ValueError, match="no expression"):
        derive.search_parameters([shared | {"base": ["Flag"]}])


def test_derive_asks_for_its_folder(capsys):
    assert derive.main([]) == 2
    assert "FOLDER" in capsys.readouterr().err
