"""Codes under a required binding: those of R4's value sets pass, every other is refused with the ones that would do."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from fhir_server.config import carried
from fhir_server.fhir import derive
from fhir_server.fhir.outcome import Issue
from fhir_server.validation.bindings import Binding, binding
from fhir_server.validation.structure import faults

TABLE = orjson.loads((carried("profiles") / "r4" / "bindings.json").read_bytes())
ROWS = orjson.loads((carried("profiles") / "r4" / "elements.json").read_bytes())["structures"]
VALUE_SET = "http://hl7.org/fhir/ValueSet/"
CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"
REASON = {"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}]}


def observation(**members: Any) -> dict[str, Any]:
    return {"resourceType": "Observation", "status": "final", "code": {"text": "x"}, **members}


def condition(status: Any) -> dict[str, Any]:
    return {"resourceType": "Condition", "subject": {"reference": "Patient/1"}, "clinicalStatus": status}


def codes(value_set: str) -> list[str]:
    return [code for listed in TABLE["codes"][VALUE_SET + value_set].values() for code in listed]


def test_every_value_set_that_must_be_kept_to_has_its_codes_but_for_these():
    """R4: those whose codes a standard outside FHIR holds"""
    bound = {row["binding"] for rows in ROWS.values() for row in rows if "binding" in row}
    outside = {
        VALUE_SET + "all-languages",
        VALUE_SET + "currencies",
        VALUE_SET + "mimetypes",
        VALUE_SET + "ucum-units",
        "http://loinc.org/vs/LL379-9",
        "http://www.rfc-editor.org/bcp/bcp13.txt",
    }
    assert set(TABLE["open"]) == outside
    assert set(TABLE["codes"]) == bound - outside
    assert all(codes for systems in TABLE["codes"].values() for codes in systems.values())


def test_what_is_bound_is_a_code_or_one_concept():
    """R4: the only shapes that the check need know"""
    bound = {(tuple(row["types"]), row["max"]) for rows in ROWS.values() for row in rows if "binding" in row}
    assert bound == {(("code",), "1"), (("code",), "*"), (("CodeableConcept",), "1")}


def test_the_codes_are_those_of_the_standard():
    """R4 valueset-observation-status.html, valueset-issue-type.html (a tree), valueset-days-of-week.html and others"""
    assert codes("observation-status") == [
        "registered",
        "preliminary",
        "final",
        "amended",
        "corrected",
        "cancelled",
        "entered-in-error",
        "unknown",
    ]
    assert {"invalid", "code-invalid", "not-found"} <= set(codes("issue-type"))
    assert codes("days-of-week") == ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    assert len(codes("resource-types")) == 148
    # Two systems in one set: FHIR's types and its resources.
    assert {"Patient", "HumanName", "code"} <= set(codes("defined-types"))
    # A part of a system: without those of the old confidentiality codes.
    assert TABLE["codes"]["http://terminology.hl7.org/ValueSet/v3-ConfidentialityClassification"] == {
        "http://terminology.hl7.org/CodeSystem/v3-Confidentiality": ["U", "L", "M", "N", "R", "V"]
    }
    # `question` only groups others, and is no type of an item.  R4: valueset-item-type.html
    assert "group" in codes("item-type")
    assert "question" not in codes("item-type")


GOOD = {
    "a code (observation.html#bindings)": observation(status="entered-in-error"),
    "extensions in place of a code (extensibility.html#Special-Case)": {
        "resourceType": "Observation",
        "_status": REASON,
        "code": {"text": "x"},
    },
    "a null in a list of codes, with its extension": observation(
        effectiveTiming={"repeat": {"dayOfWeek": ["mon", None], "_dayOfWeek": [None, REASON]}}
    ),
    "a concept with one coding of the set among others": condition(
        {"coding": [{"code": "55561003"}, {"system": CLINICAL, "code": "active"}], "text": "en cours"}
    ),
    "a concept with extensions alone": condition(REASON),
    "languages (BCP 47)": {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [
            {"resource": {"resourceType": "Basic", "code": {"text": "x"}, "language": tag}}
            for tag in ("fr", "fr-FR", "EN-us", "zh-Hant-TW", "de-CH-1996", "x-patois", "i-klingon", "gsw")
        ],
    },
    "a media type of any form (attachment.contentType)": {
        "resourceType": "Binary",
        "contentType": "application/x; charset=utf-8",
    },
    "a currency": {"resourceType": "Basic", "code": {"text": "x"}, "extension": [{"url": "urn:x", "valueMoney": {}}]},
    "a code under a weaker binding": observation(code={"coding": [{"system": "urn:x", "code": "anything"}]}),
}
GOOD["a currency"]["extension"][0]["valueMoney"] = {"value": 12, "currency": "EUR"}


@pytest.mark.parametrize("resource", GOOD.values(), ids=GOOD.keys())
def test_what_a_binding_allows_has_no_fault(resource):
    """R4: terminologies.html#required"""
    assert faults(resource) == []


OBSERVATION_STATUS = (
    "`registered`, `preliminary`, `final`, `amended`, `corrected`, `cancelled`, `entered-in-error`, `unknown`"
)
CLINICAL_STATUS = (
    "`clinicalStatus` has no coding of condition-clinical; known: "
    f"`active`, `recurrence`, `relapse`, `inactive`, `remission`, `resolved` of {CLINICAL}."
)
REFUSED = {
    "a code of no kind": (
        observation(status="nope"),
        "Observation.status",
        f"`status`: `nope` is not a code of observation-status; known: {OBSERVATION_STATUS}.",
    ),
    "a code misspelt": (
        observation(status="finall"),
        "Observation.status",
        f"`status`: `finall` is not a code of observation-status; did you mean `final`? Known: {OBSERVATION_STATUS}.",
    ),
    "a code in capitals (codes are case sensitive)": (
        {"resourceType": "Patient", "gender": "MALE"},
        "Patient.gender",
        "`gender`: `MALE` is not a code of administrative-gender; did you mean `male`? "
        "Known: `male`, `female`, `other`, `unknown`.",
    ),
    "a code of a long list": (
        {
            "resourceType": "CompartmentDefinition",
            "url": "urn:x",
            "name": "x",
            "status": "draft",
            "code": "Patient",
            "search": True,
            "resource": [{"code": "Dossier"}],
        },
        "CompartmentDefinition.resource[0].code",
        "`code`: `Dossier` is not a code of resource-types; known: `Account`, `ActivityDefinition`, `AdverseEvent`, "
        "`AllergyIntolerance`, `Appointment`, `AppointmentResponse`, `AuditEvent`, `Basic`, `Binary`, "
        "`BiologicallyDerivedProduct`, `BodyStructure`, `Bundle` and 136 more.",
    ),
    "a code in a list": (
        observation(effectiveTiming={"repeat": {"dayOfWeek": ["mon", "lun"]}}),
        "Observation.effective.ofType(Timing).repeat.dayOfWeek[1]",
        "`dayOfWeek`: `lun` is not a code of days-of-week; known: `mon`, `tue`, `wed`, `thu`, `fri`, `sat`, `sun`.",
    ),
    "a code in a contained resource": (
        observation(contained=[{"resourceType": "Patient", "gender": "femme"}]),
        "Observation.contained[0].gender",
        "`gender`: `femme` is not a code of administrative-gender; did you mean `female`? "
        "Known: `male`, `female`, `other`, `unknown`.",
    ),
    "a concept with a coding of another system": (
        condition({"coding": [{"system": "http://snomed.info/sct", "code": "active"}]}),
        "Condition.clinicalStatus",
        CLINICAL_STATUS,
    ),
    "a concept with a coding of no system": (
        condition({"coding": [{"code": "active"}]}),
        "Condition.clinicalStatus",
        CLINICAL_STATUS,
    ),
    "a concept with text alone": (condition({"text": "en cours"}), "Condition.clinicalStatus", CLINICAL_STATUS),
    "a language with an underscore": (
        {"resourceType": "Patient", "language": "fr_FR"},
        "Patient.language",
        "`language`: `fr_FR` is not a language tag such as `fr` or `fr-CA` (BCP 47).",
    ),
    "a sign for a currency": (
        {**GOOD["a currency"], "extension": [{"url": "urn:x", "valueMoney": {"value": 12, "currency": "€"}}]},
        "Basic.extension[0].value.ofType(Money).currency",
        "`currency`: `€` is not a currency such as `EUR` (ISO 4217).",
    ),
}


@pytest.mark.parametrize(("resource", "expression", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_what_a_binding_does_not_allow_is_said_with_what_would_do(resource, expression, words):
    """R4: terminologies.html#required, valueset-issue-type.html (code-invalid)"""
    assert faults(resource) == [Issue("code-invalid", words, (expression,))]


@pytest.mark.parametrize(
    ("resource", "codes"),
    [
        (observation(status=5), ["value"]),
        (observation(status=" final"), ["value"]),
        (observation(status=["final"]), ["structure"]),
        (condition({"coding": [{"system": CLINICAL, "code": 5}]}), ["value"]),
        (condition({"coding": "active"}), ["structure"]),
    ],
)
def test_what_has_not_the_form_of_a_code_is_not_looked_up(resource, codes):
    assert [issue.code for issue in faults(resource)] == codes


@pytest.mark.parametrize("value_set", TABLE["codes"])
def test_each_code_of_a_value_set_is_allowed(value_set):
    bound = binding(value_set)
    assert isinstance(bound, Binding)
    for system, listed in TABLE["codes"][value_set].items():
        for code in listed:
            assert bound.fault(code) is None
            assert bound.concept_fault({"coding": [{"system": system, "code": code}]}) is None
            assert bound.concept_fault({"coding": [{"system": f"{system}/", "code": code}]})


def test_a_value_set_that_nothing_is_known_of_holds_nothing_back():
    assert binding(VALUE_SET + "mimetypes") is None
    assert binding(None) is None


def test_codes_are_derived_as_far_as_the_definitions_go():
    """R4: valueset.html#compositions, codesystem.html#status"""
    tree = {
        "url": "urn:tree",
        "content": "complete",
        "concept": [
            {"code": "a", "concept": [{"code": "b", "concept": [{"code": "c"}]}]},
            {
                "code": "group",
                "property": [{"code": "notSelectable", "valueBoolean": True}],
                "concept": [{"code": "d", "property": [{"code": "status", "valueCode": "retired"}]}],
            },
        ],
    }
    fragment = {"url": "urn:fragment", "content": "fragment", "concept": [{"code": "x"}]}
    includes: dict[str, Any] = {
        "whole": [{"system": "urn:tree"}],
        "listed": [
            {"system": "urn:tree", "concept": [{"code": "b"}]},
            {"system": "urn:out", "concept": [{"code": "x"}]},
        ],
        "twice": [
            {"system": "urn:tree", "concept": [{"code": "b"}]},
            {"system": "urn:tree", "concept": [{"code": "c"}]},
        ],
        "filtered": [{"system": "urn:tree", "filter": [{"property": "concept", "op": "is-a", "value": "a"}]}],
        "of another set": [{"system": "urn:tree"}, {"valueSet": ["urn:whole"]}],
        "of a fragment": [{"system": "urn:fragment"}],
        "of a system elsewhere": [{"system": "urn:out"}],
    }
    sets: list[dict[str, Any]] = [
        {"url": f"urn:{name}", "compose": {"include": include}} for name, include in includes.items()
    ]
    sets.append({"url": "urn:less", "compose": {"include": includes["whole"], "exclude": includes["listed"]}})
    sets.append({"url": "urn:empty"})
    names = [*includes, "less", "empty", "nowhere"]
    rows = {"Thing": [{"name": name, "binding": f"urn:{name}"} for name in names] + [{"name": "free"}]}

    assert derive.bindings(rows, [*sets, {}], [tree, fragment, {}]) == {
        "codes": {
            "urn:listed": {"urn:tree": ["b"], "urn:out": ["x"]},
            "urn:twice": {"urn:tree": ["b", "c"]},
            "urn:whole": {"urn:tree": ["a", "b", "c", "d"]},
        },
        "open": [
            "urn:empty",
            "urn:filtered",
            "urn:less",
            "urn:nowhere",
            "urn:of a fragment",
            "urn:of a system elsewhere",
            "urn:of another set",
        ],
    }


def test_an_element_is_bound_to_the_outermost_value_set():
    """R4: extension-elementdefinition-maxvalueset.html: codes outside it are not allowed"""
    languages = {
        "strength": "preferred",
        "valueSet": "urn:common",
        "extension": [
            {"url": "urn:name", "valueString": "x"},
            {
                "url": "http://hl7.org/fhir/StructureDefinition/elementdefinition-maxValueSet",
                "valueCanonical": "urn:all",
            },
        ],
    }
    paths = {
        "one": ("code", languages),
        "many": ("CodeableConcept", languages),
        "free": ("code", {"strength": "example"}),
    }
    definition = {
        "id": "Thing",
        "kind": "complex-type",
        "snapshot": {
            "element": [
                {"path": "Thing"},
                *(
                    {"path": f"Thing.{name}", "min": 0, "max": "1", "type": [{"code": type_}], "binding": bound}
                    for name, (type_, bound) in paths.items()
                ),
            ]
        },
    }

    rows = derive.elements([definition])["structures"]["Thing"]

    assert {row["name"]: row.get("binding") for row in rows} == {"one": "urn:all", "many": None, "free": None}
