"""Mesures de santé: each measure with its code, its unit, and what must be said with it.

https://interop.esante.gouv.fr/ig/fhir/mesures
"""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.fhir.json import FhirDecimal
from tests.french import (
    BLOOD_PRESSURE,
    DEVICE,
    GLUCOSE,
    GLUCOSE_MANAGEMENT,
    GONE,
    INTERSTITIAL_GLUCOSE,
    LOINC,
    MESURES,
    PROFILES,
    SIMPLE_MEASURES,
    SNOMED,
    TA_ASIP,
    WEIGHT,
    concept,
    edited,
    faults,
    told,
)

BP = f"{MESURES}/mesures-fr-observation-bp"
SUGAR = f"{MESURES}/mesures-observation-glucose"
MOMENT = f"Observation.extension('{MESURES}/mesures-moment-of-measurement')"
DAYS = f"Observation.extension('{MESURES}/mesures-number-of-days')"
QUANTITY = "Observation.value.ofType(Quantity)"

#: What is wrong with any measure of one value → where it is told.
FAULTS: list[tuple[dict[str, Any], list[tuple[str, str]]]] = [
    ({"subject": GONE}, [("required", "Observation.subject")]),
    ({"subject.reference": "Device/1"}, [("value", "Observation.subject.reference")]),
    ({"category": GONE}, [("required", "Observation.category")]),
    ({"category.0.coding.0.code": "laboratory"}, [("required", "Observation.category")]),
    ({"effectiveDateTime": GONE}, [("required", "Observation.effective")]),
    ({"effectiveDateTime": "2026-11"}, [("invariant", "Observation.effective.ofType(dateTime)")]),
    (
        {"effectiveDateTime": GONE, "effectivePeriod": {"start": "2026-11-20"}},
        [("structure", "Observation.effective.ofType(Period)"), ("required", "Observation.effective")],
    ),
    ({"valueQuantity": GONE}, [("invariant", "Observation")]),
    ({"valueQuantity": GONE, "valueString": "72"}, [("structure", "Observation.value.ofType(string)")]),
    ({"valueQuantity.value": GONE}, [("required", f"{QUANTITY}.value")]),
    ({"valueQuantity.value": -1}, [("value", f"{QUANTITY}.value")]),
    ({"valueQuantity.system": GONE}, [("required", f"{QUANTITY}.system")]),
    ({"valueQuantity.system": "urn:x"}, [("value", f"{QUANTITY}.system")]),
    ({"valueQuantity.code": GONE}, [("required", f"{QUANTITY}.code")]),
    ({"valueQuantity.code": "furlong"}, [("value", f"{QUANTITY}.code")]),
    ({"performer.0.reference": "Device/1"}, [("value", "Observation.performer[0].reference")]),
    ({"device.reference": "Patient/1"}, [("value", "Observation.device.reference")]),
    ({"extension.+": WEIGHT["extension"][0]}, [
        ("structure", f"Observation.extension('{MESURES}/mesures-reason-for-measurement')")]),
    ({"extension.0.valueString": GONE, "extension.0.valueBoolean": True}, [
        ("structure", "Observation.extension[0].value.ofType(boolean)"),
        ("required", "Observation.extension[0].value")]),
]  # fmt: skip


@pytest.mark.parametrize("measure", SIMPLE_MEASURES)
@pytest.mark.parametrize(("changes", "expected"), FAULTS, ids=[" ".join(changes) for changes, _ in FAULTS])
def test_one_fault_of_a_measure(measure: str, changes: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    """Mesures de santé: subject, category, time, value and unit, performer, device, reason"""
    assert told(edited(SIMPLE_MEASURES[measure], changes), f"{MESURES}/{measure}") == expected


@pytest.mark.parametrize("measure", SIMPLE_MEASURES)
def test_a_measure_has_the_code_of_its_profile(measure: str) -> None:
    """Mesures de santé: code"""
    ((code, place),) = told(edited(SIMPLE_MEASURES[measure], {"code": concept(LOINC, "1-8")}), f"{MESURES}/{measure}")

    assert (code, place) in [("value", "Observation.code.coding[0].code"), ("invariant", "Observation.code")]


@pytest.mark.parametrize("measure", SIMPLE_MEASURES)
def test_a_measure_may_say_why_there_is_no_value(measure: str) -> None:
    """Vital signs: vs-2"""
    absent = concept("http://terminology.hl7.org/CodeSystem/data-absent-reason", "error")
    resource = edited(SIMPLE_MEASURES[measure], {"valueQuantity": GONE, "dataAbsentReason": absent})

    assert told(resource, f"{MESURES}/{measure}") == []
    assert told(edited(resource, {"dataAbsentReason.coding.0.system": GONE}), f"{MESURES}/{measure}") == [
        ("required", "Observation.dataAbsentReason.coding[0].system")
    ]


def test_a_value_may_be_a_decimal_of_any_digits() -> None:
    """R4: datatypes.html#decimal"""
    decimal = edited(WEIGHT, {"valueQuantity.value": FhirDecimal("72.50")})
    negative = edited(WEIGHT, {"valueQuantity.value": FhirDecimal("-0.5")})

    assert told(decimal, f"{MESURES}/mesures-fr-observation-body-weight") == []
    assert told(negative, f"{MESURES}/mesures-fr-observation-body-weight") == [("value", f"{QUANTITY}.value")]


@pytest.mark.parametrize(
    ("measure", "value"),
    [("mesures-observation-pain-severity", 11), ("mesures-fr-observation-oxygen-sat", 101)],
)
def test_what_has_a_scale_stays_on_it(measure: str, value: int) -> None:
    """Mesures de santé: pain from 0 to 10, a saturation of at most 100 %"""
    resource = edited(SIMPLE_MEASURES[measure], {"valueQuantity.value": value})

    assert told(resource, f"{MESURES}/{measure}") == [("value", f"{QUANTITY}.value")]


@pytest.mark.parametrize(
    ("measure", "code"),
    [("mesures-observation-head-circumference", "9843-4"), ("mesures-fr-observation-oxygen-sat", "59408-5")],
)
def test_two_codes_are_in_use_for_one_measure(measure: str, code: str) -> None:
    """Mesures de santé 3.1: head circumference, oxygen saturation"""
    assert told(edited(SIMPLE_MEASURES[measure], {"code.coding.0.code": code}), f"{MESURES}/{measure}") == []


def test_a_fault_is_told_in_the_words_of_the_guide() -> None:
    """R4 operationoutcome.html#OperationOutcome.issue.diagnostics: one plain sentence"""
    resource = edited(WEIGHT, {"valueQuantity.code": "g", "code.coding.0.code": "8302-2"})

    assert [issue.diagnostics for issue in faults(resource, f"{MESURES}/mesures-fr-observation-body-weight")] == [
        "`coding` must hold `29463-7` of http://loinc.org, not `8302-2` (Mesures de santé – Poids: LOINC 29463-7, "
        "weight).",
        "`code` must be `kg`, not `g` (Mesures de santé – Poids: the unit of weight).",
    ]


def test_a_method_of_ones_own_is_allowed_with_a_word_of_warning() -> None:
    """Mesures de santé: method, extensible to JDV_J145"""
    resource = edited(WEIGHT, {"method": concept(SNOMED, "1")})

    found = PROFILES.faults(resource, f"{MESURES}/mesures-fr-observation-body-weight")

    assert [(issue.severity, issue.code, *issue.expression) for issue in found] == [
        ("warning", "code-invalid", "Observation.method")
    ]
    assert "JDV-J145-MethodBodyWeight-ENS" in found[0].diagnostics


def test_where_a_temperature_was_taken_is_of_the_value_set() -> None:
    """Mesures de santé: bodySite, required JDV_J151"""
    url = f"{MESURES}/mesures-fr-observation-body-temperature"
    resource = SIMPLE_MEASURES["mesures-fr-observation-body-temperature"]

    assert told(edited(resource, {"bodySite": concept(SNOMED, "34402009")}), url) == []
    assert told(edited(resource, {"bodySite": concept(SNOMED, "8205005")}), url) == [
        ("code-invalid", "Observation.bodySite.coding[0].code")
    ]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"component.0.valueQuantity.value": 70}, [("invariant", "Observation.component")]),
        ({"component.0.valueQuantity.value": 76}, [("invariant", "Observation.component")]),
        ({"component.1": GONE}, [("required", "Observation.component")]),
        ({"component.1.code.coding.0.code": "8478-0"}, [("required", "Observation.component")]),
        ({"component.0.valueQuantity.code": "kPa"}, [
            ("value", "Observation.component[0].value.ofType(Quantity).code")]),
        ({"component.0.valueQuantity": GONE}, [("invariant", "Observation.component[0]")]),
        ({"component.0.valueQuantity": GONE, "component.0.valueInteger": 128}, [
            ("structure", "Observation.component[0].value.ofType(integer)")]),
        ({"component.+": BLOOD_PRESSURE["component"][0]}, [("structure", "Observation.component")]),
        ({"valueQuantity": BLOOD_PRESSURE["component"][0]["valueQuantity"]}, [("structure", "Observation.value")]),
        ({"bodySite": concept(SNOMED, "1")}, [("code-invalid", "Observation.bodySite.coding[0].code")]),
        ({"code.coding.0.code": "29463-7"}, [("value", "Observation.code.coding[0].code")]),
    ],
)  # fmt: skip
def test_one_fault_of_a_blood_pressure(changes: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    """Mesures de santé: two pressures in mm[Hg], the systolic above the diastolic"""
    assert told(edited(BLOOD_PRESSURE, changes), BP) == expected


def test_the_mean_pressure_may_be_there_too() -> None:
    """Mesures de santé: component 8478-0"""
    mean = edited(BLOOD_PRESSURE["component"][1], {"code.coding.0.code": "8478-0"})

    assert told(edited(BLOOD_PRESSURE, {"component.+": mean}), BP) == []


@pytest.mark.parametrize(
    ("resource", "changes", "expected"),
    [
        (GLUCOSE, {"extension": GONE}, [("invariant", MOMENT)]),
        (GLUCOSE, {"extension.0.valueCodeableConcept.coding.0.code": "LA46-8"}, [
            ("code-invalid", "Observation.extension[0].value.ofType(CodeableConcept).coding[0].code")]),
        (GLUCOSE, {"extension.+": INTERSTITIAL_GLUCOSE["extension"][0]}, [("invariant", DAYS)]),
        (GLUCOSE, {"valueQuantity.code": "mmol/L"}, [("invariant", f"{QUANTITY}.code")]),
        (GLUCOSE, {"valueQuantity.value": -3}, [("value", f"{QUANTITY}.value")]),
        (GLUCOSE, {"code": concept(LOINC, "2339-0")}, [
            ("invariant", DAYS), ("invariant", "Observation.code")]),
        (INTERSTITIAL_GLUCOSE, {"extension": GONE}, [("invariant", DAYS)]),
        (INTERSTITIAL_GLUCOSE, {"extension.0.valueCodeableConcept": concept(TA_ASIP, "GEN-1")}, [
            ("code-invalid", "Observation.extension[0].value.ofType(CodeableConcept).coding[0].code")]),
        (GLUCOSE_MANAGEMENT, {"valueQuantity.code": "mg/dL"}, [("invariant", f"{QUANTITY}.code")]),
        (GLUCOSE_MANAGEMENT, {"extension": GONE}, [("invariant", DAYS)]),
    ],
)  # fmt: skip
def test_one_fault_of_a_glucose(
    resource: dict[str, Any], changes: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    """Mesures de santé: the moment of a blood glucose, the days of an interstitial one, neither of them otherwise"""
    assert told(edited(resource, changes), SUGAR) == expected


def test_the_report_that_a_value_was_taken_from_is_told_in_full() -> None:
    """Mesures de santé: mesures-origin-of-data"""
    origin = {
        "url": f"{MESURES}/mesures-origin-of-data",
        "extension": [
            {"url": "hasBeenConverted", "valueBoolean": True},
            {"url": "documentId", "valueIdentifier": {"value": "cr-1"}},
            {"url": "originalLoincCode", "valueCodeableConcept": concept(LOINC, "14749-6")},
        ],
    }
    whole = edited(GLUCOSE, {"extension.+": origin})

    assert told(whole, SUGAR) == []
    assert told(edited(whole, {"extension.1.extension.1": GONE}), SUGAR) == [
        ("required", "Observation.extension[1].extension('documentId')")
    ]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"identifier": GONE}, [("required", "Device.identifier")]),
        ({"identifier.0.value": "FEEDABEFDEAD77C3"}, [("invariant", "Device.identifier[0]")]),
        ({"identifier.1.system": GONE}, [("required", "Device.identifier[1].system")]),
        ({"type": GONE}, [("required", "Device.type")]),
        ({"type.coding.0.code": "1"}, [("value", "Device.type.coding[0].code")]),
    ],
)
def test_one_fault_of_the_device(changes: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    """PhdDevice: identifier, type"""
    device = edited(DEVICE, changes)

    assert told(device, "http://hl7.org/fhir/uv/phd/StructureDefinition/PhdDevice") == expected
