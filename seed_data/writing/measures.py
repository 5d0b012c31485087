"""Section "Mesures": years of Observations from a few lines of a table, growth curves, and laboratory results."""

from datetime import date, timedelta

from . import terms
from .directory import organization_reference, practitioner_reference
from .identity import chance, instant, stable_oid
from .people import patient_reference
from .tables import ANCHOR, rows, rows_of
from .terms import coding, concept, quantity, reference, without_empty

_EDITOR = f"urn:oid:{stable_oid('editor')}"
_VITAL = coding(terms.hl7("observation-category"), "vital-signs", "Vital Signs")
_LABORATORY = coding(terms.hl7("observation-category"), "laboratory", "Laboratory")
_MOMENTS = {
    "53049-3": (terms.LOINC, "Glucose à jeun"),
    "88365-2": (terms.LOINC, "Glucose avant repas"),
    "16915-1": (terms.LOINC, "Glucose post prandial"),
}
_DAYS = {"GEN-275": "7 j", "GEN-276": "14 j", "GEN-277": "30 j", "GEN-278": "90 j"}


def measures(row: dict[str, str]) -> list[dict]:
    """The person's Device and Observations: series, growth, laboratory, blood group."""
    series = [_observation(row, kind, point) for kind, point in [*_series(row), *_growth(row)]]
    made = [*series, *_body_mass(series), *_laboratory(row), *_blood_group(row)]
    return [_device(row), *made] if series else made


def _device(row: dict[str, str]) -> dict:
    return {
        "resourceType": "Device",
        "id": f"{row['id']}-mesures",
        "meta": {"profile": ["http://hl7.org/fhir/uv/phd/StructureDefinition/PhdDevice"]},
        "identifier": [{"system": "urn:oid:1.2.840.10004.1.1.1.0.0.1.0.0.1.2680", "value": _eui64(row["id"])}],
        "status": "active",
        "deviceName": [{"name": row["measure_device"], "type": "user-friendly-name"}],
        "type": concept(
            coding("urn:iso:std:iso:11073:10101", "65573", "MDC_MOC_VMS_MDS_SIMP"), text=row["measure_device"]
        ),
        "patient": patient_reference(row),
    }


def _eui64(word: str) -> str:
    digits = f"{int(chance('device', word) * 2**48):012X}"
    return "-".join(["FE", "ED", *(digits[at : at + 2] for at in range(0, 12, 2))])


def _series(row: dict[str, str]) -> list[tuple[str, dict]]:
    points = []
    for line in rows_of("measures", row["id"]):
        first, last = date.fromisoformat(line["from"]), date.fromisoformat(line["to"])
        every = timedelta(days=int(line["every_days"]))
        count = (last - first) // every + 1
        for number in range(count):
            day = (first + every * number).isoformat()
            share = number / max(count - 1, 1)
            point = {"day": day, "hour": line["hour"], "moment": line["moment"], "days": line["days"]}
            values = [
                float(low) + (float(high) - float(low)) * share + _noise(line, day, nth)
                for nth, (low, high) in enumerate(zip(line["start"].split("/"), line["end"].split("/"), strict=True))
            ]
            reason = line["reason"] if number == 0 else ""
            points.append((line["measure"], point | {"values": values, "reason": reason, "by": line["by"]}))
    return points


def _noise(line: dict[str, str], day: str, nth: int) -> float:
    return float(line["noise"]) * (2 * chance(line["measure"], line["person"], day, nth) - 1)


def _growth(row: dict[str, str]) -> list[tuple[str, dict]]:
    child = rows_of("growing", row["id"])
    if not child:
        return []
    points = []
    for line in rows("growth"):
        age = timedelta(days=round(int(line["age_months"]) * 30.44))
        day = (date.fromisoformat(row["birth_date"]) + age).isoformat()
        if day > ANCHOR:
            break
        for kind in ("weight", "height", "head"):
            if line[f"{kind}_{row['sex']}"]:
                value = float(line[f"{kind}_{row['sex']}"]) * float(child[0][kind])
                point = {"day": day, "hour": "10:30", "moment": "", "days": "", "values": [value], "reason": ""}
                points.append((kind, point | {"by": child[0]["by"]}))
    return points


def _kind(identifier: str) -> dict[str, str]:
    return next(kind for kind in rows("measure_kinds") if kind["id"] == identifier)


def _rounded(value: float, digits: str) -> float | int:
    return round(value, int(digits)) if int(digits) else round(value)


def _observation(row: dict[str, str], measure: str, point: dict) -> dict:
    kind = _kind(measure)
    system = terms.TA_ASIP if kind["code"].startswith("MED-") else terms.LOINC
    at = instant(point["day"], point["hour"])
    performer = practitioner_reference(point["by"]) if point["by"] else patient_reference(row)
    values = [quantity(_rounded(value, kind["digits"]), kind["ucum"], kind["unit"]) for value in point["values"]]
    value: dict = {"valueQuantity": values[0]}
    if measure == "blood-pressure":
        parts = (("8480-6", "Pression systolique"), ("8462-4", "Pression diastolique"))
        value = {
            "component": [
                {"code": concept(coding(terms.LOINC, *part)), "valueQuantity": one}
                for part, one in zip(parts, values, strict=True)
            ]
        }
    return without_empty(
        {
            "resourceType": "Observation",
            "id": f"{row['id']}-{measure}-{at[:13].replace('T', '-')}h",
            "meta": {"source": _EDITOR, "profile": [f"{terms.MESURES}/{kind['profile']}"]},
            "extension": _extensions(point),
            "status": "final",
            "category": [concept(_LABORATORY if kind["category"] == "laboratory" else _VITAL)],
            "code": concept(coding(system, kind["code"], kind["name"])),
            "subject": patient_reference(row),
            "effectiveDateTime": at,
            "performer": [performer],
            **value,
            "device": reference(f"Device/{row['id']}-mesures"),
        }
    )


def _extensions(point: dict) -> list[dict]:
    found = []
    if point["reason"]:
        found.append({"url": f"{terms.MESURES}/mesures-reason-for-measurement", "valueString": point["reason"]})
    if point["moment"]:
        system, label = _MOMENTS[point["moment"]]
        moment = concept(coding(system, point["moment"], label))
        found.append({"url": f"{terms.MESURES}/mesures-moment-of-measurement", "valueCodeableConcept": moment})
    if point["days"]:
        days = concept(coding(terms.TA_ASIP, point["days"], _DAYS[point["days"]]))
        found.append({"url": f"{terms.MESURES}/mesures-number-of-days", "valueCodeableConcept": days})
    return found


def _body_mass(series: list[dict]) -> list[dict]:
    """An index for each weight, from the height known that day; computed here as the record computes it."""
    kind, found = _kind("bmi"), []
    heights = {o["effectiveDateTime"]: o for o in series if o["code"]["coding"][0]["code"] == "8302-2"}
    for weight in (o for o in series if o["code"]["coding"][0]["code"] == "29463-7"):
        known = [at for at in heights if at[:10] <= weight["effectiveDateTime"][:10]]
        if not known:
            continue
        height = heights[max(known)]
        metres = height["valueQuantity"]["value"] / 100
        value = quantity(round(weight["valueQuantity"]["value"] / metres**2, 1), kind["ucum"], kind["unit"])
        found.append(
            {name: item for name, item in weight.items() if name != "extension"}
            | {
                "id": weight["id"].replace("-weight-", "-bmi-"),
                "meta": weight["meta"] | {"profile": [f"{terms.MESURES}/{kind['profile']}"]},
                "code": concept(coding(terms.LOINC, kind["code"], kind["name"])),
                "valueQuantity": value,
                "derivedFrom": [reference(f"Observation/{o['id']}") for o in (weight, height)],
            }
        )
    return found


def _laboratory(row: dict[str, str]) -> list[dict]:
    found: list[dict] = []
    reports: dict[str, list[dict]] = {}
    for line in rows_of("laboratory", row["id"]):
        at = instant(line["date"], "08:15")
        observation = without_empty(
            {
                "resourceType": "Observation",
                "id": f"{row['id']}-labo-{line['loinc']}-{line['date']}",
                "status": "final",
                "category": [concept(_LABORATORY)],
                "code": concept(coding(terms.LOINC, line["loinc"], line["name"])),
                "subject": patient_reference(row),
                "effectiveDateTime": at,
                "performer": [organization_reference("labo-trois-ponts")],
                "valueQuantity": quantity(_rounded(float(line["value"]), line["digits"]), line["ucum"]),
                "interpretation": _interpretation(line),
                "referenceRange": _reference_range(line),
            }
        )
        found.append(observation)
        reports.setdefault(line["date"], []).append(reference(f"Observation/{observation['id']}"))
    return [*found, *(_report(row, day, results) for day, results in reports.items())]


def _interpretation(line: dict[str, str]) -> list[dict]:
    value, code = float(line["value"]), "N"
    if line["high"] and value > float(line["high"]):
        code = "H"
    if line["low"] and value < float(line["low"]):
        code = "L"
    label = {"N": "Normal", "H": "High", "L": "Low"}[code]
    return [concept(coding(terms.hl7("v3-ObservationInterpretation"), code, label))]


def _reference_range(line: dict[str, str]) -> list[dict]:
    bounds = {
        side: quantity(_rounded(float(line[side]), line["digits"]), line["ucum"])
        for side in ("low", "high")
        if line[side]
    }
    return [bounds] if bounds else []


def _report(row: dict[str, str], day: str, results: list[dict]) -> dict:
    return {
        "resourceType": "DiagnosticReport",
        "id": f"{row['id']}-labo-{day}",
        "status": "final",
        "category": [concept(coding(terms.hl7("v2-0074"), "LAB", "Laboratory"))],
        "code": concept(coding(terms.LOINC, "11502-2", "CR d'examens biologiques")),
        "subject": patient_reference(row),
        "effectiveDateTime": instant(day, "08:15"),
        "issued": instant(day, "16:40"),
        "performer": [organization_reference("labo-trois-ponts")],
        "resultsInterpreter": [practitioner_reference("claire-faure")],
        "result": results,
    }


_BLOOD_GROUPS = {
    "OPOS": ("278147001", "O+"),
    "ONEG": ("278148006", "O−"),
    "APOS": ("278149003", "A+"),
    "ANEG": ("278152006", "A−"),
    "BPOS": ("278150003", "B+"),
    "BNEG": ("278153001", "B−"),
    "ABPOS": ("278151004", "AB+"),
    "ABNEG": ("278154007", "AB−"),
}


def _blood_group(row: dict[str, str]) -> list[dict]:
    return [
        {
            "resourceType": "Observation",
            "id": f"{row['id']}-groupe-sanguin",
            "status": "final",
            "category": [concept(_LABORATORY)],
            "code": concept(coding(terms.LOINC, "882-1", "Groupe sanguin ABO et Rhésus")),
            "subject": patient_reference(row),
            "effectiveDateTime": line["date"],
            "performer": [organization_reference("labo-trois-ponts")],
            "valueCodeableConcept": concept(coding(terms.SNOMED, *_BLOOD_GROUPS[line["group"]])),
        }
        for line in rows_of("blood_groups", row["id"])
    ]
