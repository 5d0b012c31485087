"""The standard's invariants: each fault is found where it is, with its key; what holds is left alone.

R4: conformance-rules.html#constraints
"""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from fhir_server.config import carried
from fhir_server.fhir import definitions, path
from fhir_server.validation import elements
from fhir_server.validation.invariants import invariants
from fhir_server.validation.structure import faults
from tests.build import least, observation

TABLE: dict[str, list[dict[str, str]]] = orjson.loads((carried("profiles") / "r4" / "invariants.json").read_bytes())
UCUM = "http://unitsofmeasure.org"
CODING = {"system": "http://loinc.org", "code": "29463-7"}
KG = {"value": 70, "unit": "kg", "system": UCUM, "code": "kg"}
_HL7 = "http://terminology.hl7.org/CodeSystem/"
RESOLVED = {"coding": [{"system": _HL7 + "condition-clinical", "code": "resolved"}]}
ACTIVE = {"coding": [{"system": _HL7 + "condition-clinical", "code": "active"}]}
ALLERGY_ERROR = {"coding": [{"system": _HL7 + "allergyintolerance-verification", "code": "entered-in-error"}]}
START, END = "2026-01-01T10:00:00Z", "2026-01-01T11:00:00Z"


def of(type: str, **changes: Any) -> dict[str, Any]:
    """The least of this type, with changes."""
    return {**least(type), **changes}


def questionnaire(**item: Any) -> dict[str, Any]:
    return of("Questionnaire", item=[{"linkId": "1", "type": "string", **item}])


def bundle(type: str, *entries: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": type, **more, **({"entry": list(entries)} if entries else {})}


def timing(**repeat: Any) -> dict[str, Any]:
    return of("MedicationRequest", dosageInstruction=[{"timing": {"repeat": repeat}}])


def resource(type: str = "Patient", **more: Any) -> dict[str, Any]:
    return {"resource": {"resourceType": type, **more}}


DOCUMENT = {"identifier": {"system": "urn:x", "value": "1"}, "timestamp": START}
COMPOSITION = {"resource": least("Composition")}
REPEAT = "MedicationRequest.dosageInstruction[0].timing.repeat"

#: What breaks the invariant, and where; and the same with the fault mended.
CASES: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    (
        "obs-6",
        "Observation.dataAbsentReason",
        observation(valueQuantity=KG, dataAbsentReason={"text": "x"}),
        observation(dataAbsentReason={"text": "x"}),
    ),
    (
        "obs-7",
        "Observation.component[1].code",
        observation(valueQuantity=KG, component=[{"code": {"text": "x"}}, {"code": {"coding": [CODING]}}]),
        observation(component=[{"code": {"text": "x"}}, {"code": {"coding": [CODING]}}]),
    ),
    (
        "obs-3",
        "Observation.referenceRange[0]",
        observation(referenceRange=[{"type": {"text": "x"}}]),
        observation(referenceRange=[{"text": "50 - 80"}]),
    ),
    (
        "sqty-1",
        "Observation.referenceRange[0].low.comparator",
        observation(referenceRange=[{"low": {**KG, "comparator": "<"}}]),
        observation(referenceRange=[{"low": KG}]),
    ),
    (
        "qty-3",
        "Observation.value.ofType(Quantity).system",
        observation(valueQuantity={"value": 70, "code": "kg"}),
        observation(valueQuantity=KG),
    ),
    (
        "rng-2",
        "Observation.value.ofType(Range).high",
        observation(valueRange={"low": KG, "high": {**KG, "value": 60}}),
        observation(valueRange={"low": KG, "high": {**KG, "value": 80}}),
    ),
    (
        "rat-1",
        "Observation.value.ofType(Ratio).denominator",
        observation(valueRatio={"numerator": KG}),
        observation(valueRatio={"numerator": KG, "denominator": KG}),
    ),
    (
        "per-1",
        "Observation.effective.ofType(Period).end",
        observation(effectivePeriod={"start": "2026-02-01", "end": "2026-01-31"}),
        observation(effectivePeriod={"start": "2026-02-01T10:00:00Z", "end": "2026-02-01"}),
    ),
    (
        "ext-1",
        "Patient.extension[0].value.ofType(string)",
        of("Patient", extension=[{"url": "urn:x", "valueString": "x", "extension": [{"url": "y", "valueCode": "y"}]}]),
        of("Patient", extension=[{"url": "urn:x", "extension": [{"url": "y", "valueCode": "y"}]}]),
    ),
    ("ext-1", "Patient.extension[0]", of("Patient", extension=[{"url": "urn:x"}]), of("Patient")),
    ("pat-1", "Patient.contact[0]", of("Patient", contact=[{"gender": "male"}]), of("Patient")),
    (
        "cpt-2",
        "Patient.telecom[0].system",
        of("Patient", telecom=[{"value": "01"}]),
        of("Patient", telecom=[{"system": "phone", "value": "01"}]),
    ),
    (
        "att-1",
        "DocumentReference.content[0].attachment.contentType",
        of("DocumentReference", content=[{"attachment": {"data": "AAEC"}}]),
        of("DocumentReference", content=[{"attachment": {"data": "AAEC", "contentType": "text/plain"}}]),
    ),
    (
        "app-1",
        "Appointment.participant[0].actor",
        of("Appointment", participant=[{"status": "accepted"}]),
        least("Slot"),
    ),
    (
        "app-2",
        "Appointment.end",
        of("Appointment", start=START),
        of("Appointment", start=START, end=END),
    ),
    ("app-3", "Appointment.start", of("Appointment", status="booked"), of("Appointment", status="cancelled")),
    (
        "app-4",
        "Appointment.cancelationReason",
        of("Appointment", cancelationReason={"text": "x"}),
        of("Appointment", status="cancelled", cancelationReason={"text": "x"}),
    ),
    (
        "ait-1",
        "AllergyIntolerance.clinicalStatus",
        {name: value for name, value in least("AllergyIntolerance").items() if name != "clinicalStatus"},
        least("AllergyIntolerance"),
    ),
    (
        "ait-2",
        "AllergyIntolerance.clinicalStatus",
        of("AllergyIntolerance", verificationStatus=ALLERGY_ERROR),
        {
            "resourceType": "AllergyIntolerance",
            "patient": {"display": "x"},
            "verificationStatus": ALLERGY_ERROR,
        },
    ),
    (
        "con-4",
        "Condition.abatement.ofType(dateTime)",
        of("Condition", abatementDateTime="2024", clinicalStatus=ACTIVE),
        of("Condition", abatementDateTime="2024", clinicalStatus=RESOLVED),
    ),
    ("imm-1", "Immunization.education[0]", of("Immunization", education=[{"publicationDate": "2024"}]), least("Slot")),
    ("org-1", "Organization.name", {"resourceType": "Organization"}, {"resourceType": "Organization", "name": "x"}),
    (
        "org-2",
        "Organization.address[1]",
        {"resourceType": "Organization", "name": "x", "address": [{"city": "x"}, {"city": "x", "use": "home"}]},
        {"resourceType": "Organization", "name": "x", "address": [{"city": "x"}, {"city": "x", "use": "work"}]},
    ),
    (
        "ppc-1",
        "Consent.policyRule",
        {name: value for name, value in least("Consent").items() if name != "policyRule"},
        least("Consent"),
    ),
    (
        "lst-2",
        "List.entry[0]",
        of("List", entry=[{"item": {"display": "x"}, "deleted": True}]),
        of("List", mode="changes", entry=[{"item": {"display": "x"}, "deleted": True}]),
    ),
    (
        "lst-1",
        "List.emptyReason",
        of("List", entry=[{"item": {"display": "x"}}], emptyReason={"text": "x"}),
        of("List", emptyReason={"text": "x"}),
    ),
    (
        "sev-1",
        "AuditEvent.entity[0].name",
        of("AuditEvent", entity=[{"name": "x", "query": "AAEC"}]),
        least("AuditEvent"),
    ),
    (
        "prr-1",
        "ServiceRequest.orderDetail[0]",
        of("ServiceRequest", orderDetail=[{"text": "x"}]),
        of("ServiceRequest", orderDetail=[{"text": "x"}], code={"text": "x"}),
    ),
    (
        "inv-1",
        "Task.lastModified",
        of("Task", authoredOn="2026-01-02", lastModified="2026-01-01"),
        of("Task", authoredOn="2026-01-01T10:00:00Z", lastModified="2026-01-01"),
    ),
    (
        "fhs-2",
        "FamilyMemberHistory.estimatedAge",
        of("FamilyMemberHistory", estimatedAge=True),
        of("FamilyMemberHistory", estimatedAge=True, ageString="x"),
    ),
    (
        "age-1",
        "FamilyMemberHistory.age.ofType(Age).value",
        of("FamilyMemberHistory", ageAge={"value": -1, "system": UCUM, "code": "a"}),
        of("FamilyMemberHistory", ageAge={"value": 1, "system": UCUM, "code": "a"}),
    ),
    (
        "cmp-1",
        "Composition.section[0]",
        of("Composition", section=[{"title": "x"}]),
        of("Composition", section=[{"section": [{"entry": [{"display": "x"}]}]}]),
    ),
    (
        "ctm-1",
        "CareTeam.participant[0].onBehalfOf",
        of(
            "CareTeam",
            participant=[{"member": {"reference": "Patient/1"}, "onBehalfOf": {"reference": "Organization/1"}}],
        ),
        of(
            "CareTeam",
            participant=[{"member": {"reference": "Practitioner/1"}, "onBehalfOf": {"reference": "Organization/1"}}],
        ),
    ),
    ("tim-1", f"{REPEAT}.durationUnit", timing(duration=1), timing(duration=1, durationUnit="h")),
    ("tim-5", f"{REPEAT}.period", timing(period=-1, periodUnit="d"), timing(period=1, periodUnit="d")),
    ("tim-9", f"{REPEAT}.offset", timing(offset=30, when=["C"]), timing(offset=30, when=["PC"])),
    ("tim-10", f"{REPEAT}.when[0]", timing(timeOfDay=["10:00:00"], when=["PC"]), timing(when=["PC"])),
    ("que-1", "Questionnaire.item[0].type", questionnaire(type="group"), questionnaire()),
    (
        "que-2",
        "Questionnaire.item[0].item[0].linkId",
        questionnaire(item=[{"linkId": "1", "type": "string"}]),
        questionnaire(item=[{"linkId": "2", "type": "string"}]),
    ),
    (
        "que-7",
        "Questionnaire.item[0].enableWhen[0].answer.ofType(string)",
        questionnaire(enableWhen=[{"question": "1", "operator": "exists", "answerString": "x"}]),
        questionnaire(enableWhen=[{"question": "1", "operator": "exists", "answerBoolean": True}]),
    ),
    (
        "qrs-1",
        "QuestionnaireResponse.item[0].answer[0]",
        of(
            "QuestionnaireResponse",
            item=[{"linkId": "1", "answer": [{"valueString": "x"}], "item": [{"linkId": "2"}]}],
        ),
        of(
            "QuestionnaireResponse", item=[{"linkId": "1", "answer": [{"valueString": "x", "item": [{"linkId": "2"}]}]}]
        ),
    ),
    (
        "csd-1",
        "CodeSystem.concept[1].concept[0].code",
        of("CodeSystem", concept=[{"code": "a"}, {"code": "b", "concept": [{"code": "a"}]}]),
        of("CodeSystem", concept=[{"code": "a"}, {"code": "b", "concept": [{"code": "c"}]}]),
    ),
    (
        "vsd-1",
        "ValueSet.compose.include[0].system",
        of("ValueSet", compose={"include": [{"version": "1"}]}),
        of("ValueSet", compose={"include": [{"system": "urn:x", "version": "1"}]}),
    ),
    (
        "sdf-6",
        "StructureDefinition.differential",
        {name: value for name, value in least("StructureDefinition").items() if name != "differential"},
        least("StructureDefinition"),
    ),
    (
        "eld-3",
        "StructureDefinition.differential.element[0].max",
        of("StructureDefinition", differential={"element": [{"id": "Patient", "path": "Patient", "max": "many"}]}),
        of("StructureDefinition", differential={"element": [{"id": "Patient", "path": "Patient", "max": "*"}]}),
    ),
    ("bdl-1", "Bundle.total", bundle("collection", total=1), bundle("searchset", total=1)),
    (
        "bdl-2",
        "Bundle.entry[0]",
        bundle("collection", {**resource(), "search": {"mode": "match"}}),
        bundle("searchset", {**resource(), "search": {"mode": "match"}}),
    ),
    (
        "bdl-3",
        "Bundle.entry[1].request",
        bundle("batch", {"request": {"method": "GET", "url": "Patient/1"}}, resource()),
        bundle("batch", {"request": {"method": "GET", "url": "Patient/1"}}),
    ),
    (
        "bdl-4",
        "Bundle.entry[0].response",
        bundle("collection", {**resource(), "response": {"status": "200"}}),
        bundle("batch-response", {**resource(), "response": {"status": "200"}}),
    ),
    ("bdl-5", "Bundle.entry[0].resource", bundle("collection", {"fullUrl": "urn:x"}), bundle("collection")),
    (
        "bdl-7",
        "Bundle.entry[1].fullUrl",
        bundle("collection", {"fullUrl": "urn:x", **resource()}, {"fullUrl": "urn:x", **resource()}),
        bundle(
            "collection",
            {"fullUrl": "urn:x", **resource(meta={"versionId": "1"})},
            {"fullUrl": "urn:x", **resource(meta={"versionId": "2"})},
        ),
    ),
    (
        "bdl-8",
        "Bundle.entry[0].fullUrl",
        bundle("collection", {"fullUrl": "http://x.example/Patient/1/_history/1", **resource(id="1")}),
        bundle("collection", {"fullUrl": "http://x.example/Patient/1", **resource(id="1")}),
    ),
    ("bdl-9", "Bundle.identifier", bundle("document", COMPOSITION, timestamp=START), bundle("collection")),
    (
        "bdl-10",
        "Bundle.timestamp",
        bundle("document", COMPOSITION, identifier=DOCUMENT["identifier"]),
        bundle("document", COMPOSITION, **DOCUMENT),
    ),
    ("bdl-11", "Bundle.entry", bundle("document", resource(), COMPOSITION, **DOCUMENT), bundle("collection")),
    ("bdl-12", "Bundle.entry[0]", bundle("message", resource()), bundle("collection")),
    (
        "dom-3",
        "Observation.contained[0]",
        observation(contained=[{"resourceType": "Patient", "id": "p"}]),
        observation(contained=[{"resourceType": "Patient", "id": "p"}], subject={"reference": "#p"}),
    ),
    (
        "dom-4",
        "Observation.contained[0].meta.versionId",
        observation(
            contained=[{"resourceType": "Patient", "id": "p", "meta": {"versionId": "1"}}], subject={"reference": "#p"}
        ),
        observation(
            contained=[
                {"resourceType": "Patient", "link": [{"other": {"reference": "#"}, "type": "seealso"}], "id": "p"}
            ]
        )
        | {"focus": [{"reference": "#p"}]},
    ),
    (
        "dom-5",
        "Observation.contained[0].meta.security",
        observation(
            contained=[{"resourceType": "Patient", "id": "p", "meta": {"security": [{"code": "R"}]}}],
            subject={"reference": "#p"},
        ),
        least("Observation"),
    ),
    (
        "ref-1",
        "Observation.subject.reference",
        observation(subject={"reference": "#p"}),
        observation(contained=[{"resourceType": "Patient", "id": "p"}], subject={"reference": "#p"}),
    ),
]


@pytest.mark.parametrize(("key", "place", "broken", "whole"), CASES, ids=[f"{case[0]} {case[1]}" for case in CASES])
def test_an_invariant_is_asked_where_it_holds(
    key: str, place: str, broken: dict[str, Any], whole: dict[str, Any]
) -> None:
    found = [issue for issue in faults(broken) if f"({key})" in issue.diagnostics]

    assert place in [each for issue in found for each in issue.expression]
    assert {(issue.severity, issue.code) for issue in found} == {("error", "invariant")}
    assert len(found) == len(faults(broken)) == 1
    assert [issue for issue in faults(whole) if f"({key})" in issue.diagnostics] == []


#: What the standard says beside its invariants.
BESIDE = [
    (bundle("collection", {"fullUrl": "Patient/1", **resource(id="1")}), "Bundle.entry[0].fullUrl", "absolute URL"),
    (of("Patient", extension=[{"url": "colour", "valueCode": "x"}]), "Patient.extension[0].url", "absolute URL"),
    (
        observation(
            contained=[
                {"resourceType": "Patient", "id": "p"},
                {"resourceType": "Group", "id": "p", "type": "person", "actual": True},
            ],
            subject={"reference": "#p"},
        ),
        "Observation.contained[1].id",
        "`p`",
    ),
]


@pytest.mark.parametrize(("broken", "place", "words"), BESIDE)
def test_what_the_standard_says_beside_its_invariants(broken: dict[str, Any], place: str, words: str) -> None:
    """R4: bundle.html (Bundle.entry.fullUrl), extensibility.html#Extension, references.html#contained"""
    (issue,) = faults(broken)

    assert place in issue.expression
    assert words in issue.diagnostics


def test_a_full_url_with_another_id_than_the_resource_is_a_warning() -> None:
    """R4: bundle.html, Bundle.entry.fullUrl: Bundles that the standard gives as examples have one"""
    sent = bundle("collection", {"fullUrl": "http://x.example/Patient/1", **resource(id="2")})

    assert faults(sent) == []
    (issue,) = (one for one in elements.advice(sent) if "Bundle.entry[0].fullUrl" in one.expression)
    assert issue.severity == "warning"
    assert "`2`" in issue.diagnostics


def test_the_ids_of_a_transaction_are_yet_to_be_given() -> None:
    """R4: http.html#create: the id in the body of a create is ignored"""
    request = {"method": "POST", "url": "Patient"}
    sent = bundle("transaction", {"fullUrl": "http://x.example/Patient/1", **resource(id="2"), "request": request})

    assert faults(sent) == []
    assert not any("fullUrl" in place for issue in elements.advice(sent) for place in issue.expression)


def test_all_faults_are_told_at_once_and_none_twice() -> None:
    """R4: http.html#create: 422 with an OperationOutcome, which lists the faults"""
    sent = of("Appointment", status="booked", participant=[{"status": "accepted"}], cancelationReason={"text": "x"})
    sent["comment"] = 5

    assert [issue.expression[0] for issue in faults(sent)] == [
        "Appointment.comment",
        "Appointment.participant[0].type",
        "Appointment.start",
        "Appointment.cancelationReason",
    ]


def test_an_invariant_is_not_asked_of_what_has_another_fault() -> None:
    """A misspelt or faulty element is told once, and not again as what is missing without it."""
    assert len(faults(of("Patient", telecom=[{"sytem": "phone", "value": "01"}]))) == 1
    assert len(faults(of("Appointment", status="booked", start=5, end=END))) == 1


def test_what_only_warns_refuses_nothing() -> None:
    """R4: conformance-rules.html#constraints: severity"""
    sent = of("ValueSet", name="not a name")

    assert faults(sent) == []
    assert [(issue.severity, *issue.expression) for issue in elements.advice(sent)] == [
        ("warning", "ValueSet.name", "ValueSet"),
        ("warning", "ValueSet.text", "ValueSet"),
    ]


#: Rules without a key of the standard's.
BY_NAME = ("contained", "fullUrl", "fullUrl-id", "url")


@pytest.mark.parametrize("structure", TABLE)
def test_every_invariant_is_compiled(structure: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """None is left to the slow evaluation, and each says something that ends with its key."""
    monkeypatch.setattr(path, "compile", None)
    for severity in ("error", "warning"):
        for invariant in invariants.__wrapped__(structure, severity):
            assert invariant.words.endswith(f"({invariant.key}).") or invariant.key in BY_NAME
            assert "SHALL" not in invariant.words


def test_each_resource_type_has_the_invariants_of_all() -> None:
    """R4: domainresource.html"""
    for type in ("Observation", "Substance"):
        assert {"dom-3", "dom-4", "dom-5"} <= {invariant.key for invariant in invariants(type)}
        assert definitions.is_resource(type)
    assert "dom-3" not in {invariant.key for invariant in invariants("Bundle")}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("count", [20_000])
def test_a_hostile_resource_costs_no_more_than_it_is_long(count: int) -> None:
    """Whatever is compared with whatever, the work grows with the length alone."""
    grouping = [{"id": f"g{number}", "name": "x"} for number in range(count)]
    inside = [{"reference": {"display": "x"}, "groupingId": f"g{number}"} for number in range(count)]
    guide = of("ImplementationGuide", definition={"grouping": grouping, "resource": inside})
    codes = [{"code": {"coding": [{"code": str(number)}]}} for number in range(count)]
    measure = observation(valueString="x", code={"coding": [{"code": str(-number)} for number in range(1, count)]})

    assert elements.faults(guide) == []
    assert elements.faults({**measure, "component": codes}) == []
