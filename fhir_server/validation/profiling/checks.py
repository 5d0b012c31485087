"""Constraints of profiles/*.json as plain functions: the key of a matricule, which FHIRPath cannot compute, and those
that are asked of every measure, for which it takes ten times as long as all else.

Where a constraint has an expression too, the two give the same answer; tests/generative holds them to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from stdnum.fr import nir


class Check(NamedTuple):
    """A constraint as a function of the element, and where in it the fault is."""

    holds: Callable[[Any], bool]
    at: str = ""


_MESURES = "https://interop.esante.gouv.fr/ig/fhir/mesures/StructureDefinition"
_VITAL_SIGNS = "http://hl7.org/fhir/StructureDefinition/vitalsigns"
_BLOOD_PRESSURE = f"{_MESURES}/mesures-fr-observation-bp"
_GLUCOSE = f"{_MESURES}/mesures-observation-glucose"
_MOMENT = f"{_MESURES}/mesures-moment-of-measurement"
_DAYS = f"{_MESURES}/mesures-number-of-days"


def _matricule(identifier: Mapping[str, Any]) -> bool:
    """Thirteen characters and the key that they give.  A NIA is built as a NIR is; stdnum would forgive spaces."""
    value = identifier.get("value")
    return value is None or (nir.compact(value) == value and nir.is_valid(value))


def _says_something(element: Mapping[str, Any]) -> bool:
    """It has a value, or says why there is none."""
    return "dataAbsentReason" in element or any(key.startswith(("value", "_value")) for key in element)


def _vital_sign(observation: Mapping[str, Any]) -> bool:
    return "component" in observation or "hasMember" in observation or _says_something(observation)


def _codes(element: Mapping[str, Any]) -> Iterator[str]:
    return (coding.get("code") for coding in element.get("code", {}).get("coding", ()))


def _pressure(observation: Mapping[str, Any], code: str) -> Any:
    for component in observation.get("component", ()):
        if code in _codes(component):
            return component.get("valueQuantity", {}).get("value")
    return None


def _systolic_above(observation: Mapping[str, Any]) -> bool:
    systolic, diastolic = _pressure(observation, "8480-6"), _pressure(observation, "8462-4")
    return systolic is None or diastolic is None or systolic > diastolic


def _has_extension(element: Mapping[str, Any], url: str) -> bool:
    return any(one.get("url") == url for one in element.get("extension", ()))


def _of_blood(observation: Mapping[str, Any]) -> bool:
    return "2345-7" in _codes(observation)


def _unit_of_glucose(observation: Mapping[str, Any]) -> bool:
    unit = "%" if "MED-972" in _codes(observation) else "mg/dL"
    return "valueQuantity" not in observation or observation["valueQuantity"].get("code") == unit


#: (Who wrote the constraint, its key) → its function.
CHECKS: Mapping[tuple[str, str], Check] = {
    ("https://hl7.fr/ig/fhir/core/StructureDefinition/fr-core-patient-ins", "ins-1"): Check(_matricule, ".value"),
    (_VITAL_SIGNS, "vs-1"): Check(lambda time: len(time) >= len("YYYY-MM-")),
    (_VITAL_SIGNS, "vs-2"): Check(_vital_sign),
    (_VITAL_SIGNS, "vs-3"): Check(_says_something),
    (_BLOOD_PRESSURE, "mes-bp-1"): Check(_systolic_above, ".component"),
    (_GLUCOSE, "mes-glucose-1"): Check(
        lambda observation: not _of_blood(observation) or _has_extension(observation, _MOMENT),
        f".extension('{_MOMENT}')",
    ),
    (_GLUCOSE, "mes-glucose-2"): Check(
        lambda observation: _of_blood(observation) or _has_extension(observation, _DAYS),
        f".extension('{_DAYS}')",
    ),
    (_GLUCOSE, "mes-glucose-3"): Check(
        lambda observation: not (_of_blood(observation) and _has_extension(observation, _DAYS)),
        f".extension('{_DAYS}')",
    ),
    (_GLUCOSE, "mes-glucose-4"): Check(_unit_of_glucose, ".value.ofType(Quantity).code"),
}
