"""Invented patients and measures: the same seed gives the same bytes, so that two runs compare.

A series is one patient's weekly measures of one code.  A window of twenty weeks of a series therefore holds exactly
twenty Observations, whatever else is in the store.  R4: observation-vitalsigns.html
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

SEED = 20_260_101
PER_PATIENT = 250
PAGE = 20
LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"
FIRST = datetime(2023, 1, 2, 8, 30, tzinfo=timezone(timedelta(hours=1)))

FAMILIES = ("Martin", "Bernard", "Thomas", "Petit", "Robert", "Richard", "Durand", "Dubois", "Moreau", "Laurent")
GIVEN = ("Gabriel", "Léo", "Raphaël", "Arthur", "Louis", "Jade", "Louise", "Emma", "Alice", "Maël", "Zoé", "Inès")
CITIES = (("Rennes", "35000"), ("Nantes", "44000"), ("Lyon", "69003"), ("Lille", "59000"), ("Nîmes", "30000"))


@dataclass(frozen=True)
class Measure:
    """What is measured: a LOINC code, its usual range, its unit and its profile in R4."""

    code: str
    display: str
    profile: str
    unit: str
    ucum: str
    low: float
    high: float
    digits: int


MEASURES = (
    Measure("8867-4", "Heart rate", "heartrate", "battements par minute", "/min", 55, 100, 0),
    Measure("29463-7", "Body weight", "bodyweight", "kg", "kg", 48, 96, 1),
    Measure("8310-5", "Body temperature", "bodytemp", "°C", "Cel", 36, 38, 1),
    Measure("9279-1", "Respiratory rate", "resprate", "cycles par minute", "/min", 12, 20, 0),
    Measure("2708-6", "Oxygen saturation in Arterial blood", "oxygensat", "%", "%", 93, 100, 0),
)
MESURES = "https://interop.esante.gouv.fr/ig/fhir/mesures/StructureDefinition"
FRENCH_WEIGHT = f"{MESURES}/mesures-fr-observation-body-weight"
WEEKS = PER_PATIENT // len(MEASURES)


@dataclass(frozen=True)
class Window:
    """A search with exactly twenty matches: from `start` (included) to `end` (excluded), both local dates."""

    patient: str
    code: str
    start: str
    end: str


def patient_id(number: int, *, family: str = "b") -> str:
    """The id of a patient; `family` keeps the sets of one run apart."""
    return f"{family}p{number:06d}"


def observation_id(patient: int, number: int, *, family: str = "b") -> str:
    """The id of the patient's n-th Observation."""
    return f"{family}o{patient:06d}-{number:03d}"


def patient(number: int, *, family: str = "b") -> dict[str, Any]:
    """A Patient with a name, a birth date and an address."""
    chance = random.Random(f"{SEED} {family} {number}")
    city, code = chance.choice(CITIES)
    return {
        "resourceType": "Patient",
        "id": patient_id(number, family=family),
        "identifier": [{"system": "https://bench.example/patients", "value": f"{family}{number:06d}"}],
        "active": True,
        "name": [{"use": "official", "family": chance.choice(FAMILIES), "given": [chance.choice(GIVEN)]}],
        "telecom": [{"system": "email", "value": f"{family}{number}@bench.example", "use": "home"}],
        "gender": chance.choice(("female", "male")),
        "birthDate": f"{chance.randint(1935, 2015)}-{chance.randint(1, 12):02d}-{chance.randint(1, 28):02d}",
        "address": [{"line": [f"{chance.randint(1, 90)} rue des Lilas"], "city": city, "postalCode": code}],
    }


def observation(patient: int, number: int, *, family: str = "b") -> dict[str, Any]:
    """The patient's n-th Observation: code n modulo five, one week after the one before it in its series."""
    chance = random.Random(SEED + patient * 1_009 + number)
    measure = MEASURES[number % len(MEASURES)]
    moment = FIRST + timedelta(weeks=number // len(MEASURES), minutes=chance.randint(0, 600))
    value = round(chance.uniform(measure.low, measure.high), measure.digits or None)
    said = f"{measure.display} : {value} {measure.unit}, le {moment:%d/%m/%Y à %H:%M}"
    quantity = {"unit": measure.unit, "system": UCUM, "code": measure.ucum}
    return {
        "resourceType": "Observation",
        "id": observation_id(patient, number, family=family),
        "meta": {"profile": [f"http://hl7.org/fhir/StructureDefinition/{measure.profile}"]},
        "text": {"status": "generated", "div": f'<div xmlns="http://www.w3.org/1999/xhtml"><p>{said}</p></div>'},
        "identifier": [{"system": "https://bench.example/measures", "value": f"{family}{patient}-{number}"}],
        "status": "final",
        "category": [
            {
                "coding": [
                    {
                        "system": "http://terminology.hl7.org/CodeSystem/observation-category",
                        "code": "vital-signs",
                        "display": "Vital Signs",
                    }
                ]
            }
        ],
        "code": {"coding": [{"system": LOINC, "code": measure.code, "display": measure.display}]},
        "subject": {"reference": f"Patient/{patient_id(patient, family=family)}"},
        "effectiveDateTime": moment.isoformat(),
        "issued": (moment + timedelta(minutes=2)).isoformat(),
        "performer": [{"reference": f"Patient/{patient_id(patient, family=family)}"}],
        "valueQuantity": {"value": value, **quantity},
        "note": [{"text": "Mesure prise au repos, assis, après cinq minutes."}],
        "referenceRange": [{"low": {"value": measure.low, **quantity}, "high": {"value": measure.high, **quantity}}],
    }


def french_weight() -> dict[str, Any]:
    """A body weight that claims its profile of Mesures de santé, and follows it."""
    weight = observation(0, [measure.code for measure in MEASURES].index("29463-7"))
    return {
        **{name: value for name, value in weight.items() if name != "referenceRange"},
        "meta": {"profile": [FRENCH_WEIGHT], "source": "urn:oid:2.25.7"},
        "extension": [{"url": f"{MESURES}/mesures-reason-for-measurement", "valueString": "Suivi"}],
        "device": {"reference": "Device/scales"},
    }


def encode(resource: dict[str, Any]) -> bytes:
    """The resource as one line of UTF-8 JSON."""
    return json.dumps(resource, ensure_ascii=False, separators=(",", ":")).encode()


def observations(count: int, *, start: int = 0) -> Iterator[tuple[int, int]]:
    """Patient and number of `count` Observations, from the `start`-th on, patient after patient."""
    for position in range(start, start + count):
        yield divmod(position, PER_PATIENT)


def windows(patients: int, count: int) -> list[Window]:
    """Searches with exactly twenty matches each, spread over patients and codes."""
    chance = random.Random(SEED)
    found = []
    for _ in range(count):
        first = chance.randrange(WEEKS - PAGE + 1)
        start = FIRST.date() + timedelta(weeks=first)
        found.append(
            Window(
                patient=patient_id(chance.randrange(patients)),
                code=chance.choice(MEASURES).code,
                start=start.isoformat(),
                end=(start + timedelta(weeks=PAGE)).isoformat(),
            )
        )
    return found


def write_ndjson(path: Path, positions: Iterator[tuple[int, int]], *, family: str = "b") -> Iterator[int]:
    """Write Patients and their Observations as NDJSON; yields 1 for each line, for a progress bar."""
    previous = None
    with path.open("wb") as file:
        for number, item in positions:
            if number != previous:
                file.write(encode(patient(number, family=family)) + b"\n")
                previous = number
            file.write(encode(observation(number, item, family=family)) + b"\n")
            yield 1
