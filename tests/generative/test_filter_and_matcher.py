"""The two readers of the expression tree agree: MongoDB's filter, narrowed or not, and the matcher.  R4: search.html

Each round keeps some resources of one type and asks some dozen questions of them.  Values are drawn from small sets
that meet often: the same word with and without its accents, the same moment in two zones, the same weight in two units.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest

from fhir_server.fhir.dates import PARIS
from fhir_server.fhir.json import FhirDecimal
from fhir_server.fhir.labels import LABELS
from fhir_server.fhir.outcome import BadRequest
from fhir_server.search.expression import (
    EVERYTHING,
    NOTHING,
    And,
    DepositedAfter,
    DepositedBy,
    Expression,
    InNoRecord,
    InRecord,
    InRecords,
    InSeveral,
    Labelled,
    Match,
    Not,
    OfTypes,
    OnlyInRecords,
    Or,
    Present,
    Within,
    all_of,
    replace_joins,
)
from fhir_server.search.index import entry
from fhir_server.search.matcher import matches
from fhir_server.search.mongo import to_filter
from fhir_server.search.parameters import parameters, several_records
from fhir_server.search.parser import Reader, contains
from fhir_server.search.types import number
from fhir_server.search.types.token import TokensTest
from fhir_server.storage.documents import Stored, current_document

UCUM = "http://unitsofmeasure.org"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


READER = Reader("http://here/fhir", PARIS, NOW)


class Drawn:
    """Values drawn at random; strategies that shrink what they find would seldom let two of these values meet."""

    def __init__(self, draw: Callable[[Random], Any]):
        self.draw = draw

    def map(self, change: Callable[[Any], Any]) -> Drawn:
        """What becomes of the values."""
        return Drawn(lambda random: change(self.draw(random)))

    def __or__(self, other: Drawn) -> Drawn:
        return one_of(self, other)


def sampled(values: Iterable[Any]) -> Drawn:
    """One of the values."""
    known = list(values)
    return Drawn(lambda random: random.choice(known))


def one_of(*choices: Drawn) -> Drawn:
    """A value of one of these."""
    return Drawn(lambda random: random.choice(choices).draw(random))


def built(make: Callable[..., Any], *parts: Drawn) -> Drawn:
    """What is made of a value of each part."""
    return Drawn(lambda random: make(*(part.draw(random) for part in parts)))


def some(**fields: Drawn) -> Drawn:
    """An object with most of these properties."""
    return Drawn(lambda random: {name: value.draw(random) for name, value in fields.items() if random.random() < 0.8})


def many(items: Drawn, most: int = 2) -> Drawn:
    """Up to so many of them."""
    return Drawn(lambda random: [items.draw(random) for _ in range(random.randint(0, most))])


ids = sampled(["a", "b", "c"])
systems = sampled(["s", "t", "s|t"])
codes = sampled(["x", "y", "x|y", "x,y", "\\", "X", "x" * 300])
#: Words that are one another, begin as another, or are nothing once they are folded.
WORDS = ["Lefèvre", "lefevre", "LEFÈVRE", "Le Fèvre", "Le  fevre", "Straße", "strasse", "ﬁn", "x,y", "a|b$c\\", "日本"]
WORDS += [".*", "\u0301", "ﷺ" * 20]
LONG = ("un long récit de sa maladie " * 90).strip()
long_texts = built(
    lambda length, end: LONG[:length] + end,
    sampled([255, 256, 799, 800, 801, 999, 1000, 1001, 1599, 1600, 1601, 1801, 2400]),
    sampled(["", "fin", "Straße" * 50]),
)
texts = sampled(WORDS) | sampled(WORDS) | long_texts
days = sampled(
    ["2023", "2024", "2024-02", "2024-02-15", "2024-02-15T10:00:00Z", "2024-02-15T11:00:00.5+01:00", "2024-12-31"]
)
dates = sampled(["2023", "2024", "2024-02", "2024-02-15", "2024-12-31"])
numbers = sampled(["5.4", "5.40", "5400", "5", "0", "-5.4", "5.35", "5.45", "1e3", "0.0054", "6"])
decimals = numbers.map(FhirDecimal)
units = sampled(
    [{}, {"unit": "g"}, {"system": UCUM, "code": "g"}, {"system": UCUM, "code": "mg"}, {"system": "s", "code": "g"}]
)
quantities = built(
    lambda value, unit, comparator: {**value, **unit, **comparator},
    some(value=decimals),
    units,
    sampled([{}, {}, {"comparator": "<"}, {"comparator": ">="}]),
)
codings = some(system=systems, code=codes, display=texts)
concepts = some(coding=many(codings), text=texts)
identifiers = some(system=systems, value=codes, type=concepts)
periods = some(start=days, end=days)
REFERENCES = [
    "Patient/a",
    "Patient/b",
    "Patient/a/_history/1",
    "http://here/fhir/Patient/a",
    "http://here/fhir/Patient/b/_history/2",
    "http://there/fhir/Patient/a",
    "Practitioner/a",
    "Device/a",
    "#a",
    "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0",
]
references = some(reference=sampled(REFERENCES), type=sampled(["Patient"]), identifier=identifiers)
URLS = ["http://a.example", "http://a.example/x", "http://a.example/x/y", "http://a.example/xy", "urn:oid:1.2", "a"]
urls = sampled(URLS)
canonicals = built(lambda url, version: url + version, urls, sampled(["", "|1", "|1.0"]))
POINTS = [(48.85, 2.35), (48.9, 2.3), (43.3, 5.4), (-48.85, -177.65), (90, 0), (0, 180), (0, -179.5), (0, 0)]
names = some(family=texts, given=many(texts), text=texts)
medications = some(code=concepts, identifier=many(identifiers, 1), status=sampled(["active", "inactive"]))
people = some(name=many(names, 1), birthDate=dates)
appointments = some(
    participant=many(some(actor=references), 3),
    start=sampled(["2024-02-15T10:00:00Z", "2024-12-31T23:30:00+01:00"]),
    status=sampled(["booked", "pending"]),
)
contained = one_of(
    medications.map(lambda found: {"resourceType": "Medication", **found}),
    people.map(lambda found: {"resourceType": "Patient", **found}),
    some(subject=references).map(lambda found: {"resourceType": "Condition", **found}),
    appointments.map(lambda found: {"resourceType": "Appointment", **found}),
    sampled([{"resourceType": "Endpoint"}]),
)

#: What is kept of each type, beside its name and id.
RESOURCES: dict[str, Drawn] = {
    "Observation": some(
        code=concepts,
        category=many(concepts),
        identifier=many(identifiers),
        status=sampled(["final", "amended"]),
        subject=references,
        focus=many(references),
        effectiveDateTime=days,
        effectivePeriod=periods,
        valueQuantity=quantities,
        valueString=texts,
        valueCodeableConcept=concepts,
        component=many(some(code=concepts, valueQuantity=quantities, valueCodeableConcept=concepts), 3),
    ),
    "Patient": some(
        name=many(names),
        address=many(some(line=many(texts), city=texts, text=texts), 1),
        identifier=many(identifiers),
        birthDate=dates,
        telecom=many(some(system=sampled(["phone", "email"]), value=codes), 1),
        deceasedBoolean=sampled([True, False]),
        deceasedDateTime=days,
        active=sampled([True, False]),
        generalPractitioner=many(references),
    ),
    "Appointment": appointments,
    "Encounter": some(
        identifier=many(identifiers),
        subject=references,
        period=periods,
        length=quantities,
        location=many(some(period=periods), 3),
    ),
    "ValueSet": some(
        url=urls,
        version=codes,
        name=texts,
        date=days,
        useContext=many(
            some(code=codings, valueQuantity=quantities, valueRange=some(low=quantities), valueCodeableConcept=concepts)
        ),
        compose=some(include=many(some(system=urls, valueSet=many(canonicals)))),
    ),
    "Location": some(
        address=some(city=texts, text=texts),
        position=sampled(POINTS).map(
            lambda found: {"latitude": FhirDecimal(str(found[0])), "longitude": FhirDecimal(str(found[1]))}
        )
        | sampled([{"latitude": FhirDecimal("91"), "longitude": FhirDecimal("0")}]),
        name=texts,
        alias=many(texts),
    ),
    "QuestionnaireResponse": some(questionnaire=canonicals, subject=references, authored=days, identifier=identifiers),
    "MedicationRequest": some(
        contained=many(contained.map(lambda held: {**held, "id": "a"}) | contained.map(lambda h: {**h, "id": "b"}), 3),
        medicationReference=references,
        subject=references,
        reasonReference=many(references),
        authoredOn=days,
    ),
}


def _escaped(text: str) -> str:
    for character in "\\,|$":
        text = text.replace(character, "\\" + character)
    return text


def _pairs(codes: list[str], values: Drawn, *modifiers: str) -> Drawn:
    return built(
        lambda *pair: pair, sampled(code + modifier for code in codes for modifier in ("", *modifiers)), values
    )


tokens = one_of(
    codes.map(_escaped),
    built(lambda system, code: f"{_escaped(system)}|{_escaped(code)}", systems, codes),
    systems.map(lambda system: f"{_escaped(system)}|"),
    codes.map(lambda code: f"|{_escaped(code)}"),
)
of_type = built(lambda *parts: "|".join(map(_escaped, parts)), sampled([""]) | systems, codes, codes)
asked_days = built(
    lambda prefix, day: prefix + day, sampled(["", "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"]), days
)
asked_numbers = built(
    lambda prefix, value: prefix + value,
    sampled(["", "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"]),
    numbers,
)
asked_quantities = built(
    lambda value, unit: value + unit, asked_numbers, sampled(["", "||g", f"|{UCUM}|g", f"|{UCUM}|mg", "|s|g"])
)
asked_texts = one_of(
    sampled([*WORDS, "le", "L", "evre", "SS", "recit", "un long", "fin", "mal"]),
    built(lambda start, length: LONG[start : start + length], sampled(range(2401)), sampled(range(1, 201))),
).map(_escaped)
asked_patients = sampled(["a", "b", "Patient/a", "Patient/a/_history/1", "http://there/fhir/Patient/a", "a,b"])
asked_references = sampled(["a", "b", *(found for found in REFERENCES if not found.startswith("#"))])
asked_places = built(
    lambda point, distance: f"{point[0]}|{point[1]}|{distance}|km",
    sampled(POINTS),
    sampled(["1", "6.9", "661.3", "10011.3", "19999.1"]),
)
IDENTIFIER = one_of(
    _pairs(["identifier"], tokens, ":not"),
    _pairs(["identifier:of-type"], of_type),
    _pairs(["identifier:text"], asked_texts),
)
MISSING = sampled(["true", "false"])


#: What is asked of each type: (name, value).
QUESTIONS: dict[str, Drawn] = {
    "Observation": one_of(
        _pairs(["code", "combo-code", "category", "component-code", "value-concept"], tokens, ":not"),
        _pairs(["code:text", "category:text", "combo-value-concept:text"], asked_texts),
        _pairs(["status"], sampled(["final", "http://hl7.org/fhir/observation-status|final", "|final"]), ":not"),
        IDENTIFIER,
        _pairs(["date", "_lastUpdated"], asked_days),
        _pairs(["subject", "focus"], asked_references),
        _pairs(["patient"], asked_patients),
        _pairs(["subject:identifier", "focus:identifier", "patient:identifier"], tokens),
        _pairs(["subject:Patient", "focus:Device"], ids),
        _pairs(["value-quantity", "combo-value-quantity", "component-value-quantity"], asked_quantities),
        _pairs(["value-string"], asked_texts, ":contains", ":exact"),
        _pairs(
            ["code-value-quantity", "component-code-value-quantity", "combo-code-value-quantity"],
            built(lambda code, value: f"{code}${value}", tokens, asked_quantities),
        ),
        _pairs(
            ["code-value-concept", "component-code-value-concept", "combo-code-value-concept"],
            built(lambda code, value: f"{code}${value}", tokens, tokens),
        ),
        _pairs(["code-value-date"], built(lambda code, value: f"{code}${value}", tokens, asked_days)),
        _pairs(["code-value-string"], built(lambda code, value: f"{code}${value}", tokens, asked_texts)),
    ),
    "Patient": one_of(
        _pairs(["name", "family", "given", "address", "address-city", "phonetic"], asked_texts, ":contains", ":exact"),
        _pairs(["name", "address"], texts.map(_escaped)).map(lambda pair: (f"{pair[0]}:exact", pair[1])),
        IDENTIFIER,
        _pairs(["telecom", "phone", "email", "active", "deceased"], tokens | sampled(["true", "false"]), ":not"),
        _pairs(["birthdate", "death-date"], asked_days),
        _pairs(
            ["general-practitioner"], sampled(["a", "Practitioner/a", "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0"])
        ),
        _pairs(["general-practitioner:identifier"], tokens),
        _pairs(["_id"], ids, ":not"),
    ),
    "Appointment": one_of(
        _pairs(["actor"], asked_references),
        _pairs(["patient"], asked_patients),
        _pairs(["actor:identifier", "patient:identifier"], tokens),
        _pairs(["actor:Practitioner", "actor:Patient"], ids),
        _pairs(["date", "_lastUpdated"], asked_days),
        _pairs(["status"], sampled(["booked", "pending"]), ":not"),
    ),
    "Encounter": one_of(
        _pairs(["date", "location-period"], asked_days),
        _pairs(["length"], asked_quantities),
        _pairs(["subject", "patient"], asked_patients),
        IDENTIFIER,
    ),
    "ValueSet": one_of(
        _pairs(["url", "reference", "expansion"], urls, ":above", ":below"),
        _pairs(["url:above", "reference:above"], urls.map(lambda url: f"{url}/x/y/z")),
        _pairs(["name", "title"], asked_texts, ":contains", ":exact"),
        _pairs(["version", "context", "context-type"], tokens, ":not"),
        _pairs(["context-quantity"], asked_quantities),
        _pairs(["context-type-quantity"], built(lambda code, value: f"{code}${value}", tokens, asked_quantities)),
        _pairs(["context-type-value"], built(lambda code, value: f"{code}${value}", tokens, tokens)),
    ),
    "Location": one_of(_pairs(["near"], asked_places), _pairs(["name", "address"], asked_texts, ":contains", ":exact")),
    "QuestionnaireResponse": one_of(
        _pairs(["questionnaire"], canonicals),
        _pairs(["subject", "patient"], asked_patients),
        _pairs(["authored"], asked_days),
        IDENTIFIER,
    ),
    "MedicationRequest": one_of(
        _pairs(["medication.code", "medication:Medication.code"], tokens, ":not"),
        _pairs(["medication.code:text"], asked_texts),
        _pairs(["patient.birthdate", "subject:Patient.birthdate"], asked_days),
        _pairs(["subject:Patient._lastUpdated", "medication._lastUpdated"], asked_days),
        _pairs(["patient.name", "subject:Patient.name"], asked_texts, ":contains", ":exact"),
        _pairs(["subject:Patient._id", "medication._id"], ids),
        _pairs(["medication.identifier:missing", "subject:Patient.name:missing"], MISSING),
        _pairs(["subject:identifier", "medication:identifier"], tokens),
        _pairs(["authoredon"], asked_days),
    ),
}


def _read(type: str, name: str, value: str, *, whole: bool = False) -> Expression:
    """What is asked, within the resource alone; everything for what is refused."""
    try:
        return replace_joins(READER.term(type, name, value, whole=whole), lambda join, positive: NOTHING)
    except BadRequest:
        return EVERYTHING


#: What is asked of contained resources by `_contained=true`.
OF_CONTAINED = {
    "Medication": [("code", "x"), ("code:not", "s|x"), ("_id", "a"), ("_lastUpdated", "gt2020"), ("code:text", "le")],
    "Patient": [("name", "le"), ("name:exact", "Lefèvre"), ("birthdate", "ge2024"), ("name:missing", "true")],
    "Condition": [("subject", "Patient/a"), ("patient", "b"), ("patient:missing", "true"), ("subject", "Patient/b")],
    "Appointment": [("patient", "Patient/a"), ("patient", "b"), ("date", "2024"), ("patient:missing", "false")],
}


def _held(random: Random) -> Expression:
    """That one and the same contained resource of the type passes."""
    type = random.choice(sorted(OF_CONTAINED))
    asked = [_read(type, *random.choice(OF_CONTAINED[type])) for _ in range(random.randint(1, 2))]
    asked = [Not(term) if random.random() < 0.2 else term for term in asked]
    return And((contains(type), Within("contained", all_of(OfTypes((type,)), *asked))))


def _leaf(type: str, random: Random) -> Expression:
    """A question, or what the decisions of access and the joins put beside one."""
    choice = random.random()
    if choice < 0.6:
        return _read(type, *QUESTIONS[type].draw(random), whole=random.random() < 0.1)
    known = sorted(code for code, one in parameters(type).items() if one.type != "composite" and code != "_id")
    others: list[Callable[[], Expression]] = [
        lambda: READER.term(type, f"{random.choice(known)}:missing", random.choice(["true", "false"])),
        lambda: Present(random.choice(known), random.random() < 0.5),
        lambda: InRecord(ids.draw(random)),
        lambda: InRecords(frozenset(many(ids).draw(random))),
        lambda: OnlyInRecords(frozenset(many(ids).draw(random))),
        lambda: InNoRecord(),
        lambda: InSeveral(),
        lambda: DepositedBy(random.choice(["Practitioner/a", "Practitioner/b", "Organization/a", None])),
        lambda: DepositedAfter(NOW - timedelta(days=random.choice([0, 1, 2, 400]))),
        lambda: Labelled(random.choice(list(LABELS))),
        lambda: Within("documents", random.choice([EVERYTHING, NOTHING, Labelled("MASQUE_PS"), InRecord("p1")])),
        lambda: OfTypes(random.choice([(type,), ("Flag",), (type, "Flag"), ()])),
    ]
    if type == "Observation":
        others.append(lambda: Match("value-quantity", number.parse(asked_numbers.draw(random))))
        # What a value set holds, or what is above or below a code: any of these.
        coded = built(lambda system, code: (system, code), systems, codes)
        others.append(
            lambda: Match(random.choice(["code", "category"]), TokensTest(frozenset(many(coded, 4).draw(random))))
        )
    if type == "MedicationRequest":
        others += [lambda: _held(random)] * 6
    return random.choice(others)()


def _expression(type: str, random: Random, depth: int = 0) -> Expression:
    """Questions, combined."""
    choice = random.random() if depth < 3 else 0
    if choice < 0.6:
        return _leaf(type, random)
    if choice < 0.75:
        return Not(_expression(type, random, depth + 1))
    terms = tuple(_expression(type, random, depth + 1) for _ in range(random.randint(0, 3)))
    return And(terms) if choice < 0.9 else Or(terms)


#: So many rounds for each type, so many resources at once, and so many questions of them.
ROUNDS, RESOURCES_AT_ONCE, QUESTIONS_AT_ONCE = 16, 12, 40


@pytest.mark.parametrize("type", sorted(RESOURCES))
def test_filter_and_matcher_agree(type: str, database: Any) -> None:
    """R4 search.html: a resource is found if and only if it matches, whichever reader is asked, by whichever index"""
    collection = database["documents"]
    random = Random()
    for _ in range(ROUNDS):
        resources, entries = {}, {}
        for id in "abcdefghijkl"[:RESOURCES_AT_ONCE]:
            updated = NOW - timedelta(days=random.choice([0, 1, 686, 687, 900]))
            depositor = random.choice([(), ("Practitioner/a",), ("Practitioner/b", "Organization/a")])
            labelled = [{"code": label} for label in LABELS if random.random() < 0.2]
            resources[id] = {"resourceType": type, "id": id, **RESOURCES[type].draw(random)}
            meta = resources[id].get("meta", {})
            resources[id]["meta"] = {**meta, "security": [*meta.get("security", ()), *labelled]}
            kept = {"_id": id, "type": type, "updated": updated, **entry(type, resources[id], base=READER.base)}
            if depositor:
                kept |= {"depositor": list(depositor), "deposited": updated - timedelta(days=random.choice([0, 1]))}
            if random.random() < 0.3:
                kept["documents"] = [{"keys": [], "owner": "p1"}, {"keys": [], "labels": ["MASQUE_PS"]}][
                    : random.randint(1, 2)
                ]
            entries[id] = kept
        collection.delete_many({})
        collection.insert_many(
            current_document(
                Stored(type, id, 1, kept["updated"], b"{}", depositor=tuple(kept.get("depositor", ())), entry=kept)
            )
            for id, kept in entries.items()
        )
        for _ in range(QUESTIONS_AT_ONCE):
            expression = _expression(type, random)
            wanted = {id for id, kept in entries.items() if matches(expression, kept)}
            for narrowed in (True, False):
                query = to_filter(expression, several_records=several_records(type), narrowed=narrowed)
                found = {document["_id"] for document in collection.find(query, {"_id": 1})}
                differing = [resources[id] for id in sorted(found ^ wanted)]
                assert not differing, (expression, narrowed, "found" if found > wanted else "matches", differing)
