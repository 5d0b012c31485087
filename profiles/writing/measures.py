"""Mesures de santé, what a person measures: https://interop.esante.gouv.fr/ig/fhir/mesures

A row of MEASURES is a profile: what is measured, by which code, in which unit, and what must be said with it.
"""

from __future__ import annotations

from typing import NamedTuple

from . import fr_core
from .international import PHD_DEVICE, VITAL_SIGNS
from .shorthand import (
    HL7,
    LOINC,
    UCUM,
    ans,
    extension,
    extension_slice,
    invariant,
    nos,
    profile,
    rule,
    told_by,
)

VERSION = "3.1.1"
REASON = ans("mesures", "mesures-reason-for-measurement")
MOMENT = ans("mesures", "mesures-moment-of-measurement")
DAYS = ans("mesures", "mesures-number-of-days")
ORIGIN = ans("mesures", "mesures-origin-of-data")
GLUCOSE = ans("mesures", "mesures-observation-glucose")
BLOOD_PRESSURE = ans("mesures", "mesures-fr-observation-bp")

TA_ASIP = nos("TRE_R308-TAASIP")
_PERFORMERS = (
    f"{HL7}/CareTeam",
    fr_core.RELATED_PERSON,
    fr_core.PATIENT,
    fr_core.PRACTITIONER,
    f"{HL7}/PractitionerRole",
    fr_core.ORGANIZATION,
)


class Measure(NamedTuple):
    """A measure of one value in one unit."""

    id: str
    french: str
    english: str
    codes: tuple[str, ...]
    unit: str
    method: str = ""
    site: str = ""
    least: int | None = 0
    most: int | None = None


MEASURES = (
    Measure(
        "mesures-fr-observation-body-weight", "Poids", "weight", ("29463-7",), "kg", method="J145-MethodBodyWeight"
    ),
    Measure("mesures-fr-observation-bodyheight", "Taille", "height", ("8302-2",), "cm", method="J146-MethodBodyHeight"),
    Measure("mesures-fr-observation-bmi", "Indice de masse corporelle", "body mass index", ("39156-5",), "kg/m2"),
    Measure(
        "mesures-fr-observation-heartrate",
        "Fréquence cardiaque",
        "heart rate",
        ("8867-4",),
        "/min",
        method="J147-MethodHeartrate",
    ),
    Measure(
        "mesures-fr-observation-body-temperature",
        "Température",
        "body temperature",
        ("8310-5",),
        "Cel",
        method="J152-MethodBodyTemperature",
        site="J151-BodySiteBodyTemperature",
    ),
    Measure(
        "mesures-fr-observation-oxygen-sat",
        "Saturation en oxygène",
        "oxygen saturation",
        ("2708-6", "59408-5"),
        "%",
        most=100,
    ),
    Measure("mesures-fr-observation-resp-rate", "Fréquence respiratoire", "respiratory rate", ("9279-1",), "/min"),
    Measure("mesures-observation-hb1ac", "Hémoglobine glyquée", "glycated haemoglobin", ("4548-4",), "%", most=100),
    Measure("mesures-observation-waist-circumference", "Tour de taille", "waist circumference", ("8280-0",), "cm"),
    Measure(
        "mesures-observation-head-circumference", "Périmètre crânien", "head circumference", ("8287-5", "9843-4"), "cm"
    ),
    Measure(
        "mesures-observation-steps-by-day",
        "Nombre de pas par jour",
        "steps in a day",
        ("41950-7",),
        "1/(24.h)",
        method="J158-MethodStepsByDay",
    ),
    Measure(
        "mesures-observation-pain-severity",
        "Niveau de douleur",
        "severity of pain",
        ("72514-3",),
        "1",
        method="J159-MethodPainSeverity",
        most=10,
    ),
)


def _values(name: str) -> str:
    """The address of a value set of the guide: `J157-MomentGlucose`."""
    return nos(f"JDV_{name}-ENS")


def _common() -> list[dict]:
    """What every measure of the guide has in common: RuleSet ObservationResultsMesures."""
    return [
        rule("meta.source", "the OID of the software that sent the measure", must=True),
        rule("extension", slicing=told_by("url")),
        extension_slice("reason", REASON, "why it was measured"),
        rule("subject", "whose measure it is", to=(fr_core.PATIENT,)),
        rule("effective[x]", "when it was measured", types=("dateTime",)),
        rule("performer", "who measured", to=_PERFORMERS),
        rule("dataAbsentReason.coding.system", "the system of the reason", card="1.."),
        rule("dataAbsentReason.coding.code", "the code of the reason", card="1.."),
        rule("device", "the device that measured, when one did", must=True, to=(PHD_DEVICE,)),
    ]


def _code(codes: tuple[str, ...], what: str) -> list[dict]:
    if len(codes) == 1:
        coding = {"coding": [{"system": LOINC, "code": codes[0]}]}
        return [rule("code", f"LOINC {codes[0]}, {what}", must=True, patternCodeableConcept=coding)]
    tests = " or ".join(f"code = '{code}'" for code in codes)
    named = " or ".join(codes)
    known = invariant(
        "mes-code",
        f"The code of this measure is LOINC {named}",
        f"coding.where(system = '{LOINC}' and ({tests})).exists()",
    )
    return [rule("code", f"LOINC {named}, {what}", must=True, constraints=(known,))]


def _quantity(at: str, unit: str, what: str, *, least: int | None = None, most: int | None = None) -> list[dict]:
    """A value in one unit; `at` is the choice that it is of."""
    bounds = {} if least is None else {"minValueDecimal": least}
    bounds |= {} if most is None else {"maxValueDecimal": most}
    return [
        rule(at, f"{what} in {unit}", must=True, types=("Quantity",)),
        rule(f"{at}.value", what, card="1..", **bounds),
        rule(f"{at}.system", "UCUM", card="1..", fixedUri=UCUM),
        rule(f"{at}.code", f"the unit of {what}", card="1..", fixedCode=unit),
    ]


def _measure(row: Measure) -> dict:
    rules = [*_common(), *_code(row.codes, row.english)]
    rules += _quantity("value[x]", row.unit, row.english, least=row.least, most=row.most)
    if row.method:
        rules.append(rule("method", "how it was measured", must=True, extensible=_values(row.method)))
    if row.site:
        rules.append(rule("bodySite", "where on the body", required=_values(row.site)))
    return profile(
        ans("mesures", row.id),
        "Observation",
        base=VITAL_SIGNS,
        title=f"Mesures de santé – {row.french}",
        french=f"{row.french}, en {row.unit} (UCUM).",
        english=f"{row.english.capitalize()}, in {row.unit} (UCUM).",
        version=VERSION,
        rules=rules,
    )


def _component(name: str, code: str, what: str) -> list[dict]:
    at = f"component:{name}"
    coding = {"coding": [{"system": LOINC, "code": code}]}
    return [
        rule(at, f"LOINC {code}, {what}", card="1..1" if name != "meanBP" else "0..1", must=True),
        rule(f"{at}.code", f"LOINC {code}", patternCodeableConcept=coding),
        *_quantity(f"{at}.value[x]", "mm[Hg]", what, least=0),
    ]


def _pressure(code: str) -> str:
    return f"component.where(code.coding.where(code = '{code}').exists()).value.value"


_BLOOD_PRESSURE = profile(
    BLOOD_PRESSURE,
    "Observation",
    base=VITAL_SIGNS,
    title="Mesures de santé – Pression artérielle",
    french="Pression artérielle systolique et diastolique, en mm[Hg].",
    english="Systolic and diastolic blood pressure, in mm[Hg].",
    version=VERSION,
    constraints=(
        invariant(
            "mes-bp-1",
            "The systolic pressure is above the diastolic",
            f"{_pressure('8480-6')}.empty() or {_pressure('8462-4')}.empty()"
            f" or {_pressure('8480-6')} > {_pressure('8462-4')}",
        ),
    ),
    rules=[
        *_common(),
        extension_slice("moment", MOMENT, "when in the day or in the meal it was measured"),
        *_code(("85354-9",), "blood pressure"),
        rule("value[x]", "the pressures are components", card="0..0"),
        rule("bodySite", "where on the body", required=_values("J149-BodySiteBP")),
        rule("method", "how it was measured", must=True, extensible=_values("J150-MethodBP")),
        rule("component", slicing=told_by("code", kind="pattern"), card="2..", must=True),
        *_component("systolicBP", "8480-6", "the systolic pressure"),
        *_component("diastolicBP", "8462-4", "the diastolic pressure"),
        *_component("meanBP", "8478-0", "the mean pressure"),
    ],
)


def _is(code: str) -> str:
    return f"code.coding.where(code = '{code}').exists()"


_GLUCOSE = profile(
    GLUCOSE,
    "Observation",
    base=VITAL_SIGNS,
    title="Mesures de santé – Glycémie",
    french="Glucose sanguin ou interstitiel en mg/dL, index de gestion de la glycémie (IGG) en %.",
    english="Blood or interstitial glucose in mg/dL, glucose management index (GMI) in %.",
    version=VERSION,
    constraints=(
        invariant(
            "mes-glucose-1",
            "A blood glucose (2345-7) says at which moment it was measured",
            f"{_is('2345-7')}.not() or extension('{MOMENT}').exists()",
        ),
        invariant(
            "mes-glucose-2",
            "An interstitial glucose (MED-969) and a glucose management index (MED-972) say over how many days",
            f"{_is('2345-7')} or extension('{DAYS}').exists()",
        ),
        invariant(
            "mes-glucose-3",
            "A blood glucose (2345-7) is measured at one moment, not over days",
            f"{_is('2345-7')}.not() or extension('{DAYS}').empty()",
        ),
        invariant(
            "mes-glucose-4",
            "A glucose is in mg/dL, a glucose management index (MED-972) in %",
            f"value.empty() or value.code = iif({_is('MED-972')}, '%', 'mg/dL')",
        ),
    ),
    rules=[
        *_common(),
        extension_slice("moment", MOMENT, "before or after which meal a blood glucose was measured"),
        extension_slice("days", DAYS, "over how many days an interstitial glucose was measured"),
        extension_slice("origin", ORIGIN, "the laboratory report that the value was taken from"),
        rule(
            "extension:moment.value[x]",
            "the moment of the measure",
            types=("CodeableConcept",),
            required=_values("J157-MomentGlucose"),
        ),
        rule(
            "extension:days.value[x]",
            "the number of days",
            types=("CodeableConcept",),
            required=_values("J164-GlucoseNumberOfDays"),
        ),
        rule(
            "code",
            "LOINC 2345-7, or MED-969 or MED-972 of TA_ASIP",
            must=True,
            constraints=(
                invariant(
                    "mes-code",
                    f"The code of this measure is LOINC 2345-7, or MED-969 or MED-972 of {TA_ASIP}",
                    f"coding.where((system = '{LOINC}' and code = '2345-7') or "
                    f"(system = '{TA_ASIP}' and (code = 'MED-969' or code = 'MED-972'))).exists()",
                ),
            ),
        ),
        rule("value[x]", "the value", must=True, types=("Quantity",)),
        rule("value[x].value", "the value", card="1..", minValueDecimal=0),
        rule("value[x].system", "UCUM", card="1..", fixedUri=UCUM),
        rule("value[x].code", "the unit", card="1..", must=True),
    ],
)

PROFILES = [
    extension(
        REASON,
        on=("Observation",),
        title="Mesures de santé – motif de la mesure",
        french="Motif de la mesure, en texte libre.",
        english="Why it was measured, in plain text.",
        version=VERSION,
        value=rule("", "why it was measured", types=("string",)),
    ),
    extension(
        MOMENT,
        on=("Observation",),
        title="Mesures de santé – moment de la mesure",
        french="Moment de la mesure, par rapport à un repas ou à un effort.",
        english="The moment of the measure, before or after a meal or an effort.",
        version=VERSION,
        value=rule("", "the moment of the measure", types=("CodeableConcept",)),
    ),
    extension(
        DAYS,
        on=("Observation",),
        title="Mesures de santé – nombre de jours",
        french="Nombre de jours d'une mesure continue.",
        english="The number of days of a continuous measure.",
        version=VERSION,
        value=rule("", "the number of days", types=("CodeableConcept",)),
    ),
    extension(
        ORIGIN,
        on=("Observation",),
        title="Mesures de santé – origine de la donnée",
        french="Compte rendu de biologie d'où la valeur est tirée, et conversion éventuelle.",
        english="The laboratory report that the value was taken from, and whether it was converted.",
        version=VERSION,
        parts=(
            ("hasBeenConverted", "1..1", rule("", "whether the value was converted", types=("boolean",))),
            ("documentId", "1..1", rule("", "the document it was taken from", types=("Identifier",))),
            ("originalLoincCode", "1..1", rule("", "the code it had there", types=("CodeableConcept",))),
        ),
    ),
    *(_measure(row) for row in MEASURES),
    _BLOOD_PRESSURE,
    _GLUCOSE,
]
