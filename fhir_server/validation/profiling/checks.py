"""Constraints of profiles/*.json as plain functions: the key of a matricule, which FHIRPath cannot compute; those that
every measure is asked, for which it takes ten times as long as all else; and those whose fault has a place of its own.

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


_FR_CORE = "https://hl7.fr/ig/fhir/core/StructureDefinition"
_INS = f"{_FR_CORE}/fr-core-patient-ins"
_RELIABILITY = f"{_FR_CORE}/fr-core-identity-reliability"
#: The roots of the matricules: NIR, NIA, those of tests and of demonstrations.
_ROOTS = frozenset(f"urn:oid:1.2.250.1.213.1.4.{last}" for last in (8, 9, 10, 11))

_MESURES = "https://interop.esante.gouv.fr/ig/fhir/mesures/StructureDefinition"
_VITAL_SIGNS = "http://hl7.org/fhir/StructureDefinition/vitalsigns"
_BLOOD_PRESSURE = f"{_MESURES}/mesures-fr-observation-bp"
_GLUCOSE = f"{_MESURES}/mesures-observation-glucose"
_LOINC = "http://loinc.org"
_TA_ASIP = "https://mos.esante.gouv.fr/NOS/TRE_R308-TAASIP/FHIR/TRE-R308-TAASIP"
_MOMENT = f"{_MESURES}/mesures-moment-of-measurement"
_DAYS = f"{_MESURES}/mesures-number-of-days"


def _matricule(identifier: Mapping[str, Any]) -> bool:
    """Thirteen characters and the key that they give.  A NIA is built as a NIR is; stdnum would forgive spaces."""
    value = identifier.get("value")
    return value is None or (nir.compact(value) == value and nir.is_valid(value))


def _ins_in_use(patient: Mapping[str, Any]) -> tuple[int, int]:
    """How many INS there are, and how many of them in use."""
    found = [one.get("use") for one in patient.get("identifier", ()) if one.get("system") in _ROOTS]
    return len(found), sum(use in ("official", "temp") for use in found)


def _qualified(patient: Mapping[str, Any]) -> bool:
    return any(
        part.get("url") == "identityStatus" and part.get("valueCoding", {}).get("code") in ("VALI", "QUAL")
        for one in patient.get("extension", ())
        if one.get("url") == _RELIABILITY
        for part in one.get("extension", ())
    )


def _has_ins(patient: Mapping[str, Any]) -> bool:
    return _ins_in_use(patient)[0] > 0


def _has_ins_in_use(patient: Mapping[str, Any]) -> bool:
    count, in_use = _ins_in_use(patient)
    return not _qualified(patient) or not count or in_use > 0


def _has_one_ins_in_use(patient: Mapping[str, Any]) -> bool:
    return not _qualified(patient) or _ins_in_use(patient)[1] <= 1


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


def _one_of(*known: tuple[str, str]) -> Check:
    """A concept has one of these codings."""
    return Check(
        lambda concept: any((one.get("system"), one.get("code")) in known for one in concept.get("coding", ())),
    )


def _unit_of_glucose(observation: Mapping[str, Any]) -> bool:
    unit = "%" if "MED-972" in _codes(observation) else "mg/dL"
    return "valueQuantity" not in observation or observation["valueQuantity"].get("code") == unit


#: (Who wrote the constraint, its key) → its function.
CHECKS: Mapping[tuple[str, str], Check] = {
    (_INS, "ins-0"): Check(_has_ins, ".identifier"),
    (_INS, "ins-1"): Check(_matricule, ".value"),
    (_INS, "fr-core-1"): Check(_has_ins_in_use, ".identifier"),
    (_INS, "fr-core-2"): Check(_has_one_ins_in_use, ".identifier"),
    (_VITAL_SIGNS, "vs-1"): Check(lambda time: len(time) >= len("YYYY-MM-")),
    (_VITAL_SIGNS, "vs-2"): Check(_vital_sign),
    (_VITAL_SIGNS, "vs-3"): Check(_says_something),
    (_BLOOD_PRESSURE, "mes-bp-1"): Check(_systolic_above, ".component"),
    (f"{_MESURES}/mesures-fr-observation-oxygen-sat", "mes-code"): _one_of((_LOINC, "2708-6"), (_LOINC, "59408-5")),
    (f"{_MESURES}/mesures-observation-head-circumference", "mes-code"): _one_of((_LOINC, "8287-5"), (_LOINC, "9843-4")),
    (_GLUCOSE, "mes-code"): _one_of((_LOINC, "2345-7"), (_TA_ASIP, "MED-969"), (_TA_ASIP, "MED-972")),
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
