"""Records to search: people, their care and who gives it, all linked, with an edge case in every field.

The same seed gives the same resources.  Values are drawn from small pools, so that what one resource holds finds others
too.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

BASE = "http://fhir.test/fhir"
LOINC, SNOMED, UCUM = "http://loinc.org", "http://snomed.info/sct", "http://unitsofmeasure.org"
LOCAL = "https://hospital.example/codes"
ACT, IDENTIFIER_TYPES = (
    "http://terminology.hl7.org/CodeSystem/v3-ActCode",
    "http://terminology.hl7.org/CodeSystem/v2-0203",
)
INS, FILE_NUMBER = "urn:oid:1.2.250.1.213.1.4.8", "https://hospital.example/ids"

Resource = dict[str, Any]

_FAMILIES = [
    "Lefèvre",
    "LEFEVRE",
    "Le Goff",
    "Dupont-Martin",
    "O'Brien",
    "Núñez",
    "Šimková",
    "Élie",
    "Müller",
    "Haddad",
]
_GIVENS = ["Zoé", "zoe", "Jean-Luc", "Marie Claire", "François", "Inès", "Åsa", "Élodie", "Luc", "Noël"]
_CITIES = ["Besançon", "BESANCON", "Saint-Étienne", "Évry", "Le Havre", "Nîmes"]
_DAYS = [
    *("2019", "2020-02", "2020-02-29", "2023-12-31", "2024", "2024-01-01", "2024-02", "2024-03-31", "2024-10-27"),
    *("2024-03-31T01:30:00+01:00", "2024-03-31T03:30:00+02:00", "2024-03-31T22:30:00Z", "2024-10-27T02:30:00+02:00"),
    *("2024-10-27T02:30:00+01:00", "2023-12-31T23:30:00Z", "2024-02-29T10:00:00.250+01:00", "2024-02-29T09:00:00Z"),
    *("1958-07-14", "2021-06-30T12:00:00-05:00", "2024-06-15T08:15:30Z", "2025-01-01T00:00:00+01:00"),
]
_INSTANTS = [day for day in _DAYS if "T" in day]
_WHOLE_DAYS = [day for day in _DAYS if "T" not in day]
_LOTS = ["AB-1,2", "L|77", "C$5", "back\\slash", "ab-19", "Été24"]

_OBSERVED = [
    (LOINC, "29463-7", "Body weight"),
    (LOINC, "8867-4", "Heart rate"),
    (LOINC, "85354-9", "Blood pressure panel"),
    (LOINC, "2339-0", "Glucose"),
    (SNOMED, "27113001", "Poids corporel"),
    (LOCAL, "29463-7", "Poids à l'hôpital"),
]
_PARTS = [(LOINC, "8480-6", "Systolic"), (LOINC, "8462-4", "Diastolic"), (LOCAL, "8480-6", "Tension haute")]
_FINDINGS = [
    (SNOMED, "38341003", "Hypertension"),
    (SNOMED, "44054006", "Diabète de type 2"),
    (SNOMED, "195967001", "Asthme"),
    (LOCAL, "A,B|C", "Code with separators"),
]
_SUBSTANCES = [
    (SNOMED, "91936005", "Pénicilline"),
    (SNOMED, "256349002", "Arachide"),
    (LOCAL, "LATEX", "Latex"),
]
_DRUGS = [(LOCAL, "D-01", "Amoxicilline"), (LOCAL, "D-02", "Paracétamol"), (SNOMED, "387207008", "Ibuprofène")]
_VACCINES = [(LOCAL, "V-ROR", "Rougeole, oreillons, rubéole"), (SNOMED, "836374004", "Hépatite B")]
_KINDS = [(LOCAL, "K-1", "Consultation"), (LOCAL, "K-2", "Compte rendu"), (SNOMED, "11429006", "Consultation")]
_UNITS = {
    "29463-7": [("kg", 72.5), ("kg", 72), ("g", 72500), ("kg", 3.25), ("g", 3250)],
    "2339-0": [("g/L", 0.9), ("mg/dL", 90), ("mg/dL", 126), ("mmol/L", 5.4), ("umol/L", 5400)],
    "8867-4": [("/min", 60), ("/min", 61), ("/s", 1)],
}


class _Draw:
    """Chance, and what is made of it."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.names: dict[str, list[str]] = {}

    def chance(self, of: float) -> bool:
        return self._random.random() < of

    def one(self, pool: Sequence[Any]) -> Any:
        return self._random.choice(pool)

    def some(self, make: Callable[[], Any], most: int = 2) -> list[Any]:
        return [make() for _ in range(self._random.randint(1, most))]

    def resource(self, type: str, id: str, /, **fields: Any) -> Resource:
        """The fields that are there, of a resource that others may refer to from now on."""
        self.names.setdefault(type, []).append(f"{type}/{id}")
        meta = {
            "tag": [{"system": LOCAL, "code": "corpus"}] if self.chance(0.3) else None,
            "security": [{"system": LOCAL, "code": self.one(["N", "R"])}] if self.chance(0.2) else None,
            "profile": [f"https://hospital.example/profiles/{type}"] if self.chance(0.2) else None,
            "source": self.one(["https://hospital.example/lab", "https://hospital.example/lab/2"])
            if self.chance(0.2)
            else None,
        }
        kept = {"meta": {name: value for name, value in meta.items() if value} or None, **fields}
        return {"resourceType": type, "id": id, **{name: value for name, value in kept.items() if value is not None}}

    def maybe(self, value: Any, of: float = 0.6) -> Any:
        """The value, or nothing."""
        return value if self.chance(of) else None

    def coding(self, pool: Sequence[tuple[str, str, str]]) -> Resource:
        system, code, display = self.one(pool)
        if self.chance(0.12):
            return {"code": code}
        return {"system": system, "code": code, **({"display": display} if self.chance(0.6) else {})}

    def concept(self, pool: Sequence[tuple[str, str, str]]) -> Resource:
        if self.chance(0.1):
            return {"text": self.one(pool)[2]}
        found = {"coding": self.some(lambda: self.coding(pool))}
        return {**found, "text": self.one(pool)[2]} if self.chance(0.3) else found

    def fixed(self, system: str, codes: Sequence[str]) -> Resource:
        return {"coding": [{"system": system, "code": self.one(codes)}]}

    def identifier(self, number: int) -> Resource:
        value = f"N{number % 7:03d}"
        if self.chance(0.2):
            return {"value": value}
        system = self.one([INS, FILE_NUMBER])
        kind = {"coding": [{"system": IDENTIFIER_TYPES, "code": self.one(["MR", "NH"])}], "text": "Dossier"}
        return {**({"type": kind} if self.chance(0.5) else {}), "system": system, "value": value}

    def to(self, *types: str, of: float = 1.0) -> Resource | None:
        """A reference to something of these types that is there, in one of the ways to write it."""
        name = self.one(self.names[self.one([type for type in types if type in self.names])])
        if not self.chance(of):
            return None
        way = self._random.random()
        if way < 0.70:
            return {"reference": name}
        if way < 0.78:
            return {"reference": f"{BASE}/{name}"}
        if way < 0.84:
            return {"reference": f"{name}/_history/1", "display": "one version"}
        if way < 0.90:
            return {"reference": f"http://elsewhere.example/fhir/{name}"}
        return {"type": name.partition("/")[0], "identifier": {"system": INS, "value": f"N{len(name) % 7:03d}"}}

    def day(self) -> str:
        return self.one(_DAYS)

    def period(self) -> Resource:
        start, end = sorted([self.day(), self.day()], key=_rough)
        if self.chance(0.2):
            return {"start": start}
        return {"end": end} if self.chance(0.15) else {"start": start, "end": end}

    def quantity(self, unit: str, value: float) -> Resource:
        if self.chance(0.1):
            return {"value": value, "unit": unit}
        found = {"value": value, "unit": unit, "system": UCUM, "code": unit}
        if self.chance(0.1):
            return {**found, "value": value + 0.37, "comparator": self.one(["<", "<=", ">", ">="])}
        return {"value": value} if self.chance(0.05) else found

    def name(self) -> Resource:
        if self.chance(0.1):
            return {"text": f"{self.one(_GIVENS)} {self.one(_FAMILIES)}"}
        found = {
            "use": self.one(["official", "usual"]),
            "family": self.maybe(self.one(_FAMILIES), 0.9),
            "given": self.maybe(self.some(lambda: self.one(_GIVENS)), 0.9),
            "prefix": self.maybe(["Dr"], 0.2),
        }
        return {key: value for key, value in found.items() if value}

    def address(self, *, of_people: bool = True) -> Resource:
        found = {
            "use": self.one(["home", "work", "old"] if of_people else ["work", "work", "old"]),
            "line": self.maybe([self.one(["3 rue de l'Église", "12 bis, allée des Érables"])]),
            "city": self.maybe(self.one(_CITIES), 0.9),
            "state": self.maybe("Doubs", 0.3),
            "postalCode": self.maybe(self.one(["25000", "42000", "2A004"])),
            "country": self.maybe(self.one(["FR", "France"])),
        }
        return {key: value for key, value in found.items() if value}

    def telecom(self) -> Resource:
        system, value = self.one([("phone", "+33 3 81 00 00 01"), ("email", "a.b@mail.example"), ("sms", "0600000001")])
        return {"system": system, "value": value}


def _of_time(unit: str, value: float) -> Resource:
    return {"value": value, "unit": unit, "system": UCUM, "code": unit}


def _rough(day: str) -> str:
    """A key by which a period begins before it ends, whatever the parts that a date leaves out."""
    return (day + "-01-01")[:10] if "T" not in day else day[:10] + "~"


def corpus(seed: int = 4001, patients: int = 24) -> list[Resource]:
    """The resources, each after those that it refers to."""
    draw = _Draw(seed)
    return [
        *_directory(draw),
        *(_patient(draw, number) for number in range(patients)),
        *(one for number in range(0, patients, 4) for one in _wishes(draw, number)),
        *(one for number in range(patients) for one in _care(draw, number)),
        *(one for number in range(patients) for one in _results(draw, number)),
        *(one for number in range(patients) for one in _papers(draw, number)),
        *_seldom(),
    ]


def _seldom() -> list[Resource]:
    """Series of samples, a patient within the resource, references to types not kept here, relative canonicals."""
    samples = {"period": 10, "dimensions": 1, "factor": 0.5}
    given = {
        "sampled": {
            "valueSampledData": {"origin": {"value": 2, "system": UCUM, "code": "g"}, **samples, "data": "4 E 10 U -2"}
        },
        "sampled-part": {
            "component": [
                {
                    "code": {"coding": [{"system": LOINC, "code": "8480-6"}]},
                    "valueSampledData": {"origin": {"value": 100}, **samples, "data": "20 40"},
                }
            ]
        },
        "not-sampled": {
            "valueSampledData": {"origin": {"value": 0, "system": UCUM, "code": "g"}, **samples, "data": "E L U"}
        },
        "newborn": {
            "contained": [{"resourceType": "Patient", "id": "child", "name": [{"family": "Núñez", "given": ["Inès"]}]}],
            "subject": {"reference": "#child"},
        },
        "of-a-group": {"subject": {"reference": "Group/herd"}, "device": {"reference": "DeviceMetric/meter"}},
    }
    code = {"coding": [{"system": LOCAL, "code": "seldom"}]}
    filled = {"resourceType": "QuestionnaireResponse", "status": "completed"}
    return [
        *(
            {"resourceType": "Observation", "id": name, "status": "final", "code": code, **more}
            for name, more in given.items()
        ),
        {**filled, "id": "of-here", "questionnaire": "Questionnaire/quest-0"},
        {**filled, "id": "of-one-version", "questionnaire": "Questionnaire/quest-1|1.0"},
    ]


def _directory(draw: _Draw) -> list[Resource]:
    found = []
    for number in range(6):
        found.append(
            draw.resource(
                "Organization",
                f"org-{number}",
                identifier=[draw.identifier(number)],
                active=draw.maybe(draw.chance(0.7)),
                type=draw.maybe([draw.concept(_KINDS)]),
                name=draw.one(["Clinique de l'Étoile", "CHU Besançon", "Laboratoire Élan", "chu nîmes"]),
                alias=draw.maybe(["L'Étoile"], 0.3),
                address=draw.maybe([draw.address(of_people=False)]),
                partOf={"reference": f"Organization/org-{number // 2}"} if number > 1 else None,
            )
        )
    for number in range(7):
        latitude, longitude = draw.one([(47.2378, 6.0241), (48.8566, 2.3522), (45.4397, 4.3872), (47.25, 6.05)])
        found.append(
            draw.resource(
                "Location",
                f"loc-{number}",
                identifier=draw.maybe([draw.identifier(number)]),
                status=draw.maybe(draw.one(["active", "suspended"])),
                name=draw.one(["Étage 2", "Urgences", "urgences pédiatriques"]),
                type=draw.maybe([draw.concept(_KINDS)]),
                address=draw.maybe(draw.address()),
                position=draw.maybe({"longitude": longitude, "latitude": latitude}, 0.8),
                managingOrganization=draw.to("Organization", of=0.7),
                partOf={"reference": f"Location/loc-{number // 2}"} if number > 2 else None,
            )
        )
    for number in range(8):
        found.append(
            draw.resource(
                "Practitioner",
                f"prac-{number}",
                identifier=draw.some(lambda number=number: draw.identifier(number)),
                active=draw.maybe(draw.chance(0.8)),
                name=draw.some(draw.name),
                telecom=draw.maybe(draw.some(draw.telecom)),
                gender=draw.maybe(draw.one(["male", "female"])),
                address=draw.maybe([draw.address()]),
                communication=draw.maybe([{"coding": [{"system": "urn:ietf:bcp:47", "code": draw.one(["fr", "en"])}]}]),
            )
        )
    for number in range(8):
        found.append(
            draw.resource(
                "PractitionerRole",
                f"role-{number}",
                active=draw.maybe(draw.chance(0.8)),
                period=draw.maybe(draw.period()),
                practitioner=draw.to("Practitioner", of=0.9),
                organization=draw.to("Organization", of=0.8),
                location=draw.maybe([{"reference": draw.one(draw.names["Location"])}]),
                code=draw.maybe([draw.concept(_KINDS)]),
                specialty=draw.maybe([draw.concept(_KINDS)]),
                telecom=draw.maybe([draw.telecom()]),
            )
        )
    for number in range(4):
        found.append(
            draw.resource(
                "Medication",
                f"med-{number}",
                identifier=draw.maybe([draw.identifier(number)]),
                code=draw.concept(_DRUGS),
                status=draw.maybe("active"),
                manufacturer=draw.to("Organization", of=0.6),
                form=draw.maybe(draw.concept(_KINDS)),
                ingredient=draw.maybe([{"itemCodeableConcept": draw.concept(_SUBSTANCES)}]),
                batch=draw.maybe({"lotNumber": draw.one(_LOTS), "expirationDate": draw.day()}),
            )
        )
    for number in range(3):
        found.append(_questionnaire(draw, number))
    return found


def _questionnaire(draw: _Draw, number: int) -> Resource:
    measure = {"value": 18 + number, "unit": "a", "system": UCUM, "code": "a"}
    kind = {"system": "http://terminology.hl7.org/CodeSystem/usage-context-type", "code": "age"}
    return draw.resource(
        "Questionnaire",
        f"quest-{number}",
        url=f"https://hospital.example/forms/{number}/intake",
        version=f"{number}.0",
        name=f"Intake{number}",
        title=draw.one(["Entrée à l'hôpital", "entree"]),
        status=draw.one(["active", "draft"]),
        subjectType=["Patient"],
        date=draw.maybe(draw.day()),
        publisher=draw.maybe("Clinique de l'Étoile"),
        description=draw.maybe("Avant l'entrée"),
        useContext=draw.maybe(
            [
                {"code": kind, "valueQuantity": measure},
                {"code": {**kind, "code": "focus"}, "valueCodeableConcept": draw.concept(_FINDINGS)},
            ],
            0.8,
        ),
        jurisdiction=draw.maybe([{"coding": [{"system": "urn:iso:std:iso:3166", "code": "FR"}]}]),
        effectivePeriod=draw.maybe(draw.period()),
        item=[{"linkId": "1", "type": "string", "text": "Allergies ?", "code": [draw.coding(_FINDINGS)]}],
    )


def _patient(draw: _Draw, number: int) -> Resource:
    deceased = draw.one(
        [{}, {}, {"deceasedBoolean": False}, {"deceasedBoolean": True}, {"deceasedDateTime": draw.day()}]
    )
    linked = [{"other": {"reference": f"Patient/pat-{number - 1}"}, "type": "seealso"}]
    return draw.resource(
        "Patient",
        f"pat-{number}",
        identifier=draw.maybe(draw.some(lambda: draw.identifier(number)), 0.8),
        active=draw.maybe(draw.chance(0.8)),
        name=draw.maybe(draw.some(draw.name), 0.9),
        telecom=draw.maybe(draw.some(draw.telecom)),
        gender=draw.maybe(draw.one(["male", "female", "other", "unknown"]), 0.8),
        birthDate=draw.maybe(draw.one(_WHOLE_DAYS), 0.8),
        **deceased,
        address=draw.maybe(draw.some(draw.address)),
        communication=draw.maybe(
            [{"language": {"coding": [{"system": "urn:ietf:bcp:47", "code": draw.one(["fr", "en"])}]}}]
        ),
        generalPractitioner=draw.maybe([draw.to("Practitioner", "PractitionerRole", "Organization")]),
        managingOrganization=draw.to("Organization", of=0.5),
        link=linked if number and draw.chance(0.2) else None,
    )


def _subject(draw: _Draw, number: int) -> Resource:
    """Mostly the patient; now and then another, elsewhere or nobody that is known."""
    name = f"Patient/pat-{number}"
    return draw.one(
        [
            *[{"reference": name}] * 8,
            {"reference": f"{BASE}/{name}"},
            {"reference": f"{name}/_history/1"},
            {"reference": f"http://elsewhere.example/fhir/{name}"},
            {"type": "Patient", "identifier": {"system": INS, "value": f"N{number % 7:03d}"}},
        ]
    )


def _wishes(draw: _Draw, number: int) -> list[Resource]:
    """What is asked for, planned with and taken."""
    patient = {"reference": f"Patient/pat-{number}"}
    schedule = draw.resource("Schedule", f"sched-{number}", actor=[{"reference": draw.one(draw.names["Location"])}])
    slot = draw.resource(
        "Slot",
        f"slot-{number}",
        schedule={"reference": "Schedule/" + schedule["id"]},
        status=draw.one(["free", "busy"]),
        start="2024-03-31T01:30:00+01:00",
        end="2024-03-31T03:30:00+02:00",
    )
    device = draw.resource(
        "Device",
        f"dev-{number}",
        identifier=draw.maybe([draw.identifier(number)]),
        type=draw.concept(_KINDS),
        patient=patient,
        manufacturer=draw.maybe("Établissements Noël"),
    )
    specimen = draw.resource(
        "Specimen",
        f"spec-{number}",
        identifier=draw.maybe([draw.identifier(number)]),
        type=draw.concept(_KINDS),
        subject=patient,
        collection=draw.maybe({"collectedDateTime": draw.day()}),
    )
    request = draw.resource(
        "ServiceRequest",
        f"sreq-{number}",
        status="active",
        intent="order",
        code=draw.concept(_OBSERVED),
        subject=patient,
        **draw.one([{"occurrenceDateTime": draw.day()}, {"occurrencePeriod": draw.period()}, {}]),
        requester=draw.to("Practitioner"),
    )
    return [schedule, slot, device, specimen, request]


def _care(draw: _Draw, number: int) -> list[Resource]:
    patient = {"reference": f"Patient/pat-{number}"}
    clinical = "http://terminology.hl7.org/CodeSystem/condition-clinical"
    onset = draw.one(
        [
            {"onsetDateTime": draw.day()},
            {"onsetPeriod": draw.period()},
            {"onsetAge": draw.one([_of_time("a", 6), _of_time("mo", 72), _of_time("a", 30)])},
            {"onsetRange": {"low": _of_time("a", 10.3), "high": _of_time("a", 20.7)}},
            {"onsetString": draw.one(["dans l'enfance", "Depuis l'été"])},
            {},
        ]
    )
    abatement = draw.one(
        [
            {},
            {},
            {"abatementString": "à l'âge adulte"},
            {"abatementDateTime": draw.day()},
            {"abatementPeriod": draw.period()},
            {"abatementAge": _of_time("a", 40)},
        ]
    )
    encounter = draw.resource(
        "Encounter",
        f"enc-{number}",
        identifier=draw.maybe([draw.identifier(number)]),
        status=draw.one(["finished", "in-progress", "planned"]),
        **{"class": {"system": ACT, "code": draw.one(["AMB", "IMP", "EMER"])}},
        type=draw.maybe([draw.concept(_KINDS)]),
        subject=patient,
        participant=draw.maybe(
            [
                {
                    "type": [draw.concept(_KINDS)],
                    "individual": draw.to("Practitioner", "PractitionerRole"),
                }
            ]
        ),
        period=draw.maybe(draw.period(), 0.9),
        length=draw.maybe(draw.one([_of_time("min", 90), _of_time("h", 1.5), _of_time("d", 2), _of_time("h", 48)])),
        reasonCode=draw.maybe([draw.concept(_FINDINGS)]),
        location=draw.maybe([{"location": {"reference": draw.one(draw.names["Location"])}, "period": draw.period()}]),
        serviceProvider=draw.to("Organization", of=0.6),
        partOf={"reference": f"Encounter/enc-{number - 1}"} if number and draw.chance(0.5) else None,
    )
    condition = draw.resource(
        "Condition",
        f"cond-{number}",
        identifier=draw.maybe([draw.identifier(number)]),
        clinicalStatus=draw.fixed(clinical, ["active"])
        if not abatement
        else draw.fixed(clinical, ["resolved", "inactive"]),
        verificationStatus=draw.fixed("http://terminology.hl7.org/CodeSystem/condition-ver-status", ["confirmed"]),
        category=[
            draw.fixed(
                "http://terminology.hl7.org/CodeSystem/condition-category",
                ["problem-list-item", "encounter-diagnosis"],
            )
        ],
        severity=draw.maybe(draw.concept(_KINDS)),
        code=draw.concept(_FINDINGS),
        bodySite=draw.maybe([draw.concept(_KINDS)]),
        stage=draw.maybe([{"summary": draw.concept(_KINDS)}], 0.3),
        subject=patient,
        encounter=draw.to("Encounter", of=0.6),
        **onset,
        **abatement,
        recordedDate=draw.maybe(draw.day()),
        asserter=draw.to("Practitioner", "Patient", of=0.5),
        evidence=draw.maybe([{"code": [draw.concept(_FINDINGS)], "detail": [draw.to("Encounter")]}], 0.4),
    )
    statuses = "http://terminology.hl7.org/CodeSystem/allergyintolerance-"
    allergy = draw.resource(
        "AllergyIntolerance",
        f"all-{number}",
        identifier=draw.maybe([draw.identifier(number)]),
        clinicalStatus=draw.fixed(statuses + "clinical", ["active", "inactive", "resolved"]),
        verificationStatus=draw.fixed(statuses + "verification", ["confirmed", "unconfirmed"]),
        type=draw.maybe(draw.one(["allergy", "intolerance"])),
        category=draw.maybe(draw.one([["food"], ["medication", "food"], ["environment"]])),
        criticality=draw.maybe(draw.one(["low", "high", "unable-to-assess"])),
        code=draw.maybe(draw.concept(_SUBSTANCES), 0.9),
        patient=_subject(draw, number),
        recordedDate=draw.maybe(draw.day()),
        recorder=draw.to("Practitioner", "PractitionerRole", "Patient", of=0.6),
        asserter=draw.to("Practitioner", "Patient", of=0.6),
        lastOccurrence=draw.maybe(draw.day()),
        reaction=draw.maybe(
            draw.some(
                lambda: {
                    "substance": draw.concept(_SUBSTANCES),
                    "manifestation": [draw.concept(_FINDINGS)],
                    "onset": draw.day(),
                    "severity": draw.one(["mild", "moderate", "severe"]),
                    "exposureRoute": draw.concept(_KINDS),
                }
            )
        ),
    )
    procedure = draw.resource(
        "Procedure",
        f"proc-{number}",
        identifier=draw.maybe([draw.identifier(number)]),
        status=draw.one(["completed", "in-progress"]),
        category=draw.maybe(draw.concept(_KINDS)),
        code=draw.concept(_KINDS),
        subject=patient,
        encounter=draw.to("Encounter", of=0.6),
        **draw.one(
            [
                {"performedDateTime": draw.day()},
                {"performedPeriod": draw.period()},
                {"performedString": "au printemps"},
                {"performedAge": _of_time("a", 30)},
                {},
            ]
        ),
        performer=draw.maybe([{"actor": draw.to("Practitioner", "PractitionerRole", "Organization")}]),
        location=draw.to("Location", of=0.5),
        reasonCode=draw.maybe([draw.concept(_FINDINGS)]),
        reasonReference=draw.maybe([draw.to("Condition")]),
        partOf=[{"reference": f"Procedure/proc-{number - 1}"}] if number and draw.chance(0.3) else None,
        instantiatesUri=draw.maybe(["https://hospital.example/protocols/asthma/2"], 0.3),
        instantiatesCanonical=draw.maybe([f"https://hospital.example/forms/{number % 3}/intake|{number % 3}.0"], 0.3),
    )
    relative = draw.resource(
        "RelatedPerson",
        f"rel-{number}",
        identifier=draw.maybe([draw.identifier(number)]),
        active=draw.maybe(draw.chance(0.8)),
        patient=patient,
        relationship=draw.maybe(
            [draw.fixed("http://terminology.hl7.org/CodeSystem/v3-RoleCode", ["MTH", "FTH", "SPS"])]
        ),
        name=draw.maybe(draw.some(draw.name)),
        telecom=draw.maybe(draw.some(draw.telecom)),
        gender=draw.maybe(draw.one(["male", "female"])),
        birthDate=draw.maybe(draw.one(_WHOLE_DAYS)),
        address=draw.maybe([draw.address()]),
    )
    return [encounter, condition, allergy, procedure, relative]


def _observation(draw: _Draw, number: int, at: int) -> Resource:
    code = draw.concept(_OBSERVED)
    measured = next((_UNITS[c["code"]] for c in code.get("coding", ()) if c["code"] in _UNITS), [("%", 97)])
    value = draw.one(
        [
            *[{"valueQuantity": draw.quantity(*draw.one(measured))}] * 4,
            {"valueCodeableConcept": draw.concept(_FINDINGS)},
            {"valueString": draw.one(["Négatif", "négatif à J3", "positif"])},
            {"valueDateTime": draw.day()},
            {"valuePeriod": draw.period()},
            {
                "dataAbsentReason": draw.fixed(
                    "http://terminology.hl7.org/CodeSystem/data-absent-reason", ["unknown", "masked"]
                )
            },
        ]
    )
    when = draw.one(
        [
            *[{"effectiveDateTime": draw.day()}] * 3,
            {"effectivePeriod": draw.period()},
            {"effectiveInstant": draw.one(_INSTANTS)},
            {"effectiveTiming": {"event": [draw.day(), draw.day()]}},
            {
                "effectiveTiming": {
                    "repeat": {"boundsPeriod": draw.period(), "frequency": 1, "period": 1, "periodUnit": "d"}
                }
            },
            {},
        ]
    )

    def component() -> Resource:
        held = draw.one(
            [
                {"valueQuantity": draw.quantity("mm[Hg]", draw.one([80, 120, 121, 139.5]))},
                {"valueQuantity": draw.quantity("cm[Hg]", draw.one([8, 12]))},
                {"valueCodeableConcept": draw.concept(_FINDINGS)},
                {
                    "dataAbsentReason": draw.fixed(
                        "http://terminology.hl7.org/CodeSystem/data-absent-reason", ["unknown"]
                    )
                },
            ]
        )
        return {"code": draw.concept(_PARTS), **held}

    earlier = draw.names.get("Observation", [])
    return draw.resource(
        "Observation",
        f"obs-{number}-{at}",
        identifier=draw.maybe([draw.identifier(number + at)], 0.4),
        status=draw.one(["final", "amended", "preliminary"]),
        category=draw.maybe(
            [draw.fixed("http://terminology.hl7.org/CodeSystem/observation-category", ["vital-signs", "laboratory"])]
        ),
        code=code,
        subject=_subject(draw, number),
        focus=draw.maybe([draw.to("Condition")], 0.2),
        basedOn=draw.maybe([draw.to("ServiceRequest")], 0.2),
        device=draw.to("Device", of=0.2),
        specimen=draw.to("Specimen", of=0.2),
        encounter=draw.to("Encounter", of=0.5),
        **when,
        performer=draw.maybe([draw.to("Practitioner", "Organization", "PractitionerRole", "Patient")]),
        **value,
        method=draw.maybe(draw.concept(_KINDS), 0.3),
        hasMember=[{"reference": draw.one(earlier)}] if earlier and draw.chance(0.2) else None,
        derivedFrom=[{"reference": draw.one(earlier)}] if earlier and draw.chance(0.2) else None,
        component=draw.maybe(draw.some(component, 3), 0.4),
        partOf=draw.maybe([draw.to("Procedure")], 0.2),
    )


def _results(draw: _Draw, number: int) -> list[Resource]:
    patient = {"reference": f"Patient/pat-{number}"}
    observations = [_observation(draw, number, at) for at in range(4)]
    within = [{"resourceType": "Medication", "id": "inside", "code": draw.concept(_DRUGS)}]
    holds = draw.chance(0.4)
    medication = draw.one(
        [{"medicationCodeableConcept": draw.concept(_DRUGS)}, {"medicationReference": draw.to("Medication")}]
    )
    chosen = {"medicationReference": {"reference": "#inside"}} if holds else medication
    request = draw.resource(
        "MedicationRequest",
        f"req-{number}",
        contained=within if holds else None,
        identifier=draw.maybe([draw.identifier(number)]),
        status=draw.one(["active", "completed", "on-hold"]),
        intent=draw.one(["order", "plan"]),
        category=draw.maybe([draw.concept(_KINDS)]),
        priority=draw.maybe(draw.one(["routine", "urgent"])),
        **chosen,
        subject=patient,
        encounter=draw.to("Encounter", of=0.6),
        authoredOn=draw.maybe(draw.day()),
        requester=draw.to("Practitioner", "PractitionerRole", of=0.8),
        performer=draw.to("Practitioner", "Organization", of=0.4),
        dosageInstruction=draw.maybe([{"timing": {"event": [draw.day(), draw.day()]}}], 0.5),
        dispenseRequest=draw.maybe({"performer": draw.to("Organization")}, 0.4),
    )
    statement = draw.resource(
        "MedicationStatement",
        f"stat-{number}",
        status=draw.one(["active", "completed", "stopped"]),
        category=draw.maybe(draw.concept(_KINDS)),
        **medication,
        subject=patient,
        context=draw.to("Encounter", of=0.5),
        **draw.one([{"effectiveDateTime": draw.day()}, {"effectivePeriod": draw.period()}, {}]),
        informationSource=draw.to("Patient", "Practitioner", of=0.6),
        partOf=draw.maybe([draw.to("Procedure")], 0.2),
    )
    report = draw.resource(
        "DiagnosticReport",
        f"rep-{number}",
        identifier=draw.maybe([draw.identifier(number)]),
        status=draw.one(["final", "partial"]),
        category=draw.maybe([draw.concept(_KINDS)]),
        code=draw.concept(_OBSERVED),
        subject=patient,
        encounter=draw.to("Encounter", of=0.4),
        **draw.one([{"effectiveDateTime": draw.day()}, {"effectivePeriod": draw.period()}, {}]),
        issued=draw.maybe(draw.one(_INSTANTS)),
        performer=draw.maybe([draw.to("Practitioner", "Organization")]),
        resultsInterpreter=draw.maybe([draw.to("Practitioner")], 0.3),
        result=[{"reference": f"Observation/{one['id']}"} for one in observations[:2]] if draw.chance(0.8) else None,
        conclusionCode=draw.maybe([draw.concept(_FINDINGS)], 0.5),
        basedOn=draw.maybe([draw.to("ServiceRequest")], 0.3),
        specimen=draw.maybe([draw.to("Specimen")], 0.3),
    )
    injection = draw.resource(
        "Immunization",
        f"imm-{number}",
        identifier=draw.maybe([draw.identifier(number)]),
        status=draw.one(["completed", "not-done"]),
        statusReason=draw.maybe(draw.concept(_KINDS), 0.3),
        vaccineCode=draw.concept(_VACCINES),
        patient=_subject(draw, number),
        **draw.one([{"occurrenceDateTime": draw.day()}, {"occurrenceString": "à la naissance"}]),
        location=draw.to("Location", of=0.5),
        manufacturer=draw.to("Organization", of=0.5),
        lotNumber=draw.maybe(draw.one(_LOTS), 0.8),
        performer=draw.maybe([{"actor": draw.to("Practitioner", "Organization")}]),
        reasonCode=draw.maybe([draw.concept(_FINDINGS)], 0.3),
        reasonReference=draw.maybe([draw.to("Condition", "Observation")], 0.3),
        reaction=draw.maybe([{"date": draw.day(), "detail": draw.to("Observation")}], 0.4),
        protocolApplied=draw.maybe(
            [
                {
                    "series": draw.one(["Série 1", "serie 2"]),
                    "targetDisease": [draw.concept(_FINDINGS)],
                    "doseNumberPositiveInt": 1,
                }
            ]
        ),
    )
    return [*observations, request, statement, report, injection]


def _papers(draw: _Draw, number: int) -> list[Resource]:
    patient = {"reference": f"Patient/pat-{number}"}
    earlier = draw.names.get("DocumentReference", [])
    document = draw.resource(
        "DocumentReference",
        f"doc-{number}",
        masterIdentifier=draw.maybe({"system": "urn:ietf:rfc:3986", "value": f"urn:oid:1.2.3.{number}"}),
        identifier=draw.maybe([draw.identifier(number)]),
        status=draw.one(["current", "superseded"]),
        type=draw.maybe(draw.concept(_KINDS), 0.9),
        category=draw.maybe([draw.concept(_KINDS)]),
        subject=_subject(draw, number),
        date=draw.maybe(draw.one(_INSTANTS), 0.8),
        author=draw.maybe([draw.to("Practitioner", "Organization", "PractitionerRole", "Patient")]),
        authenticator=draw.to("Practitioner", of=0.4),
        custodian=draw.to("Organization", of=0.5),
        relatesTo=[{"code": draw.one(["replaces", "appends"]), "target": {"reference": draw.one(earlier)}}]
        if earlier and draw.chance(0.5)
        else None,
        description=draw.maybe(draw.one(["Compte rendu d'échographie", "compte-rendu opératoire"])),
        securityLabel=draw.maybe([draw.fixed("http://terminology.hl7.org/CodeSystem/v3-Confidentiality", ["N", "R"])]),
        content=[
            {
                "attachment": {
                    "contentType": draw.one(["application/pdf", "text/plain"]),
                    **draw.one([{}, {"language": "fr"}]),
                    **draw.one([{}, {"url": f"https://hospital.example/files/{number % 3}/{number}.pdf"}]),
                },
                **draw.one([{}, {"format": draw.coding(_KINDS)}]),
            }
        ],
        context={
            key: value
            for key, value in {
                "encounter": draw.maybe([draw.to("Encounter")]),
                "event": draw.maybe([draw.concept(_KINDS)]),
                "period": draw.maybe(draw.period()),
                "facilityType": draw.maybe(draw.concept(_KINDS)),
                "practiceSetting": draw.maybe(draw.concept(_KINDS)),
                "related": draw.maybe([draw.to("Observation", "DiagnosticReport")], 0.4),
            }.items()
            if value
        }
        or None,
    )
    start = draw.one(["2024-03-31T01:30:00+01:00", "2024-10-27T00:30:00Z", "2024-06-15T08:15:30Z"])
    people = [draw.to("Practitioner", "PractitionerRole"), {"reference": draw.one(draw.names["Location"])}]
    appointment = draw.resource(
        "Appointment",
        f"app-{number}",
        identifier=draw.maybe([draw.identifier(number)]),
        status=draw.one(["booked", "fulfilled", "cancelled"]),
        serviceCategory=draw.maybe([draw.concept(_KINDS)]),
        serviceType=draw.maybe([draw.concept(_KINDS)]),
        specialty=draw.maybe([draw.concept(_KINDS)]),
        appointmentType=draw.maybe(draw.concept(_KINDS)),
        reasonCode=draw.maybe([draw.concept(_FINDINGS)]),
        reasonReference=draw.maybe([draw.to("Condition")], 0.4),
        supportingInformation=draw.maybe([draw.to("DiagnosticReport")], 0.3),
        basedOn=draw.maybe([draw.to("ServiceRequest")], 0.4),
        slot=draw.maybe([draw.to("Slot")], 0.4),
        start=start,
        end="2024-12-01T10:00:00Z",
        participant=[
            {"actor": actor, "status": draw.one(["accepted", "tentative", "needs-action"])}
            for actor in (_subject(draw, number), *people)
        ],
    )
    message = draw.resource(
        "Communication",
        f"com-{number}",
        identifier=draw.maybe([draw.identifier(number)]),
        instantiatesUri=draw.maybe(["https://hospital.example/protocols/asthma"], 0.3),
        instantiatesCanonical=draw.maybe([f"https://hospital.example/forms/{number % 3}/intake"], 0.3),
        basedOn=draw.maybe([draw.to("ServiceRequest")], 0.4),
        partOf=draw.maybe([{"reference": "Appointment/" + appointment["id"]}], 0.3),
        status=draw.one(["completed", "in-progress"]),
        category=draw.maybe([draw.concept(_KINDS)]),
        medium=draw.maybe([draw.concept(_KINDS)]),
        subject=_subject(draw, number),
        encounter=draw.to("Encounter", of=0.4),
        sent=draw.maybe(draw.day()),
        received=draw.maybe(draw.day()),
        recipient=draw.maybe([draw.to("Practitioner", "Patient", "RelatedPerson")]),
        sender=draw.to("Practitioner", "Patient", of=0.7),
    )
    answers = draw.resource(
        "QuestionnaireResponse",
        f"ans-{number}",
        identifier=draw.maybe(draw.identifier(number)),
        questionnaire=f"https://hospital.example/forms/{number % 3}/intake" + draw.one(["", f"|{number % 3}.0"]),
        status=draw.one(["completed", "in-progress"]),
        subject=patient,
        encounter=draw.to("Encounter", of=0.4),
        authored=draw.maybe(draw.day()),
        author=draw.to("Practitioner", "Patient", of=0.6),
        source=draw.to("Patient", "RelatedPerson", of=0.5),
    )
    former = draw.one(
        [
            {"targetIdentifier": draw.identifier(number)},
            {"targetReference": {"reference": f"Composition/comp-{max(0, number - 1)}"}},
        ]
    )
    composition = draw.resource(
        "Composition",
        f"comp-{number}",
        identifier=draw.maybe(draw.identifier(number)),
        status=draw.one(["final", "preliminary"]),
        type=draw.concept(_KINDS),
        category=draw.maybe([draw.concept(_KINDS)]),
        subject=patient,
        encounter=draw.to("Encounter", of=0.4),
        date=draw.day(),
        author=[draw.to("Practitioner", "PractitionerRole", "Patient")],
        title=draw.one(["Synthèse médicale", "synthese"]),
        confidentiality=draw.maybe(draw.one(["N", "R"])),
        attester=draw.maybe([{"mode": "legal", "party": draw.to("Practitioner")}], 0.4),
        relatesTo=draw.maybe([{"code": "replaces", **former}]),
        event=draw.maybe([{"code": [draw.concept(_KINDS)], "period": draw.period()}]),
        section=draw.maybe(
            [{"title": "Allergies", "code": draw.concept(_KINDS), "entry": [draw.to("AllergyIntolerance")]}]
        ),
    )
    team = draw.resource(
        "CareTeam",
        f"team-{number}",
        identifier=draw.maybe([draw.identifier(number)]),
        status=draw.maybe(draw.one(["active", "inactive"])),
        category=draw.maybe([draw.concept(_KINDS)]),
        subject=patient,
        period=draw.maybe(draw.period()),
        participant=draw.maybe([{"member": draw.to("Practitioner", "PractitionerRole", "Organization", "Patient")}]),
    )
    cover = draw.resource(
        "Coverage",
        f"cov-{number}",
        identifier=draw.maybe([draw.identifier(number)]),
        status="active",
        type=draw.maybe(draw.concept(_KINDS)),
        policyHolder=draw.to("Patient", "Organization", of=0.4),
        subscriber=draw.to("Patient", of=0.4),
        beneficiary=patient,
        dependent=draw.maybe("01"),
        payor=[draw.to("Organization", "Patient")],
        **({"class": [{"type": draw.concept(_KINDS), "value": "Régime général"}]} if draw.chance(0.5) else {}),
    )
    listed = [{"item": draw.to("Condition", "AllergyIntolerance", "Observation")} for _ in range(4)]
    roll = draw.resource(
        "List",
        f"list-{number}",
        identifier=draw.maybe([draw.identifier(number)]),
        status="current",
        mode="working",
        title=draw.maybe("Problèmes à suivre"),
        code=draw.maybe(draw.concept(_KINDS)),
        subject=patient,
        encounter=draw.to("Encounter", of=0.3),
        date=draw.maybe(draw.day()),
        source=draw.to("Practitioner", "Patient", of=0.5),
        note=draw.maybe([{"text": "À revoir"}], 0.3),
        entry=listed,
    )
    origin = draw.resource(
        "Provenance",
        f"prov-{number}",
        target=[{"reference": "DocumentReference/" + document["id"]}, patient],
        **draw.one([{"occurredDateTime": draw.day()}, {"occurredPeriod": draw.period()}, {}]),
        recorded=draw.one(_INSTANTS),
        location=draw.to("Location", of=0.4),
        agent=[
            {
                "type": draw.concept(_KINDS),
                "role": [draw.concept(_KINDS)],
                "who": draw.to("Practitioner", "Organization"),
            }
        ],
        entity=draw.maybe([{"role": "source", "what": draw.to("Observation")}], 0.4),
    )
    return [document, appointment, message, answers, composition, team, cover, roll, origin]
