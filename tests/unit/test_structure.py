"""The structure check: what R4 allows passes, and each fault is found, placed and said in words."""

from __future__ import annotations

import copy
from typing import Any

import fhirpathpy
import pytest
from fhirpathpy.models import models as fhirpath_models

from fhir_server.fhir import definitions
from fhir_server.fhir.json import FhirDecimal
from fhir_server.fhir.outcome import Issue, Unprocessable
from fhir_server.fhir.types import TYPES
from fhir_server.validation import elements, models
from fhir_server.validation.bindings import Binding, binding
from fhir_server.validation.structure import check, faults, warnings

DIV = '<div xmlns="http://www.w3.org/1999/xhtml">%s</div>'
OBSERVATION: dict[str, Any] = {
    "resourceType": "Observation",
    "id": "tension",
    "text": {"status": "generated", "div": DIV % '<p class="x" xml:lang="fr">Tension&#160;: 120/80</p>'},
    "status": "final",
    "category": [
        {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "vital"}]}
    ],
    "code": {"coding": [{"system": "http://loinc.org", "code": "85354-9"}], "text": "Tension artérielle"},
    "subject": {"reference": "Patient/1", "display": "Zoé"},
    "effectiveDateTime": "2024-02-29T08:30:00+01:00",
    "component": [
        {"code": {"text": "systolique"}, "valueQuantity": {"value": FhirDecimal("120.50"), "unit": "mm[Hg]"}},
        {"code": {"text": "diastolique"}, "valueQuantity": {"value": 80, "unit": "mm[Hg]"}},
    ],
}
PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "name": [
        {
            "family": "Durand",
            "given": ["Zoé", None],
            "_given": [None, {"extension": [{"url": "urn:x", "valueCode": "x"}]}],
        }
    ],
    "active": True,
    "birthDate": "1975-08-30",
    "_birthDate": {"id": "b", "extension": [{"url": "urn:time", "valueDateTime": "1975-08-30T11:00:00Z"}]},
    "multipleBirthInteger": 2,
    "contact": [{"name": {"family": "Durand"}}],
}
ABSENT = {"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}]}


def with_(resource: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {**resource, **members}


def without(resource: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in resource.items() if key not in keys}


def extension(value_key: str, value: Any) -> dict[str, Any]:
    return {"resourceType": "Basic", "code": {"text": "x"}, "extension": [{"url": "urn:x", value_key: value}]}


def only(issues: list[Issue]) -> Issue:
    assert len(issues) == 1, issues
    return issues[0]


def ascii_start(value: Any) -> str:
    """The name of a case, however long or odd its value."""
    return "huge" if isinstance(value, int) and value > 10**20 else ascii(value)[:30]


GOOD = {
    "primitives, decimals, narrative, choices, backbone": OBSERVATION,
    "nulls and extensions side by side (json.html#primitive)": PATIENT,
    "only an id (resource.html)": {"resourceType": "Patient"},
    "a required primitive with extensions alone (extensibility.html#Special-Case)": with_(
        without(OBSERVATION, "status"), _status=ABSENT
    ),
    "a required choice with extensions alone": {
        "resourceType": "Immunization",
        "status": "completed",
        "vaccineCode": {"text": "ROR"},
        "patient": {"reference": "Patient/1"},
        "_occurrenceDateTime": ABSENT,
    },
    "a required primitive that repeats with extensions alone": {
        "resourceType": "SearchParameter",
        "url": "http://example.org/SearchParameter/x",
        "name": "x",
        "status": "draft",
        "description": "x",
        "code": "x",
        "_base": [ABSENT],
        "type": "token",
    },
    "a value in an extension with an extension (the models of R4B lack it)": with_(
        OBSERVATION, extension=[{"url": "urn:x", "_valueString": ABSENT}]
    ),
    "a type R4 has and R4B has not, as the value of an extension": extension("valueMeta", {"versionId": "1"}),
    "contained, also of a type that is not stored here": with_(
        OBSERVATION,
        contained=[{"resourceType": "Substance", "id": "s", "code": {"text": "latex"}}],
        focus=[{"reference": "#s"}],
    ),
    "contained, of a type that R4B dropped": with_(
        OBSERVATION,
        contained=[{"resourceType": "SubstanceNucleicAcid", "id": "s", "text": OBSERVATION["text"]}],
        focus=[{"reference": "#s"}],
    ),
    "entries of a Bundle": {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [{"fullUrl": "urn:uuid:c757873d-ec9a-4326-a141-556f43239520", "resource": OBSERVATION}],
    },
    "Parameters in Parameters": {
        "resourceType": "Parameters",
        "parameter": [{"name": "a", "part": [{"name": "b", "resource": {"resourceType": "Parameters"}}]}],
    },
    "an element that refers to itself by contentReference": {
        "resourceType": "Questionnaire",
        "status": "draft",
        "item": [{"linkId": "1", "type": "group", "item": [{"linkId": "1.1", "type": "boolean"}]}],
    },
}


@pytest.mark.parametrize("resource", GOOD.values(), ids=GOOD.keys())
def test_what_r4_allows_has_no_fault(resource):
    before = copy.deepcopy(resource)
    assert faults(resource) == []
    check(resource)
    assert resource == before


FAULTS = {
    "unknown element": (
        with_(OBSERVATION, statuss="final"),
        "structure",
        "Observation.statuss",
        "`statuss` is not an element of Observation; did you mean `status`?",
    ),
    "unknown element that is like no other": (
        with_(OBSERVATION, zzz=1),
        "structure",
        "Observation.zzz",
        "`zzz` is not an element of Observation.",
    ),
    "unknown element with a name FHIRPath cannot take": (
        with_(OBSERVATION, **{"a`\n": 1}),
        "structure",
        r"Observation.`a\u0060\u000a`",
        r"`a`\n` is not an element of Observation.",
    ),
    "choice without its type": (
        {"resourceType": "Patient", "deceased": True},
        "structure",
        "Patient.deceased",
        "`deceased` is not an element of Patient: it is one of `deceasedBoolean`, `deceasedDateTime`.",
    ),
    "choice of a type it cannot have": (
        {"resourceType": "Patient", "deceasedInteger": 1},
        "structure",
        "Patient.deceasedInteger",
        "`deceasedInteger` is not an element of Patient: it is one of `deceasedBoolean`, `deceasedDateTime`.",
    ),
    "two types of a choice": (
        with_(OBSERVATION, valueString="x", valueInteger=1),
        "structure",
        "Observation.value",
        "`valueString` and `valueInteger` are both there; at most one type of `value` may be.",
    ),
    "required element missing": (
        without(OBSERVATION, "status"),
        "required",
        "Observation.status",
        "`status` is required.",
    ),
    "required choice missing": (
        without(GOOD["a required choice with extensions alone"], "_occurrenceDateTime"),
        "required",
        "Immunization.occurrence",
        "`occurrence` is required: one of `occurrenceDateTime`, `occurrenceString`.",
    ),
    "required element missing, deep": (
        with_(OBSERVATION, component=[OBSERVATION["component"][0], {"valueString": "x"}]),
        "required",
        "Observation.component[1].code",
        "`code` is required.",
    ),
    "required primitive with an id alone": (
        with_(without(OBSERVATION, "status"), _status={"id": "x"}),
        "required",
        "Observation.status",
        "`status` has neither a value nor extensions (ele-1).",
    ),
    "element with an id alone": (
        with_(OBSERVATION, code={"id": "x"}),
        "required",
        "Observation.code",
        "`code` has an id and nothing else (ele-1).",
    ),
    "list for a single value": (
        {"resourceType": "Patient", "gender": ["male"]},
        "structure",
        "Patient.gender",
        "`gender` must be a single value, not a list.",
    ),
    "single value for a list": (
        {"resourceType": "Patient", "name": {"family": "Durand"}},
        "structure",
        "Patient.name",
        "`name` must be a list: write it in `[` `]`, even with one value.",
    ),
    "text for an object": (
        with_(OBSERVATION, subject="Patient/1"),
        "structure",
        "Observation.subject",
        "`subject` must be an object of type Reference, not the text `Patient/1`.",
    ),
    "number for a backbone element": (
        with_(OBSERVATION, component=[5]),
        "structure",
        "Observation.component[0]",
        "`component` must be an object, not the number `5`.",
    ),
    "null": (
        {"resourceType": "Patient", "gender": None},
        "structure",
        "Patient.gender",
        "`gender` is null: leave it out.",
    ),
    "null in a list of objects": (
        {"resourceType": "Patient", "name": [None]},
        "structure",
        "Patient.name[0]",
        "`name` must be an object of type HumanName, not null.",
    ),
    "null in a list of primitives without an extension": (
        {"resourceType": "Patient", "name": [{"given": ["Zoé", None]}]},
        "structure",
        "Patient.name[0].given[1]",
        "`given` holds a null without an extension in `_given` at the same place: leave it out.",
    ),
    "null in a list of extensions without a value": (
        {"resourceType": "Patient", "name": [{"given": ["Zoé"], "_given": [None, None]}]},
        "structure",
        "Patient.name[0].given[1]",
        "`_given` holds a null without a value in `given` at the same place: leave it out.",
    ),
    "empty list": (
        {"resourceType": "Patient", "name": []},
        "structure",
        "Patient.name",
        "`name` is an empty list: leave it out.",
    ),
    "empty object": (
        with_(OBSERVATION, code={}),
        "structure",
        "Observation.code",
        "`code` is an empty object: leave it out.",
    ),
    "fault inside a choice": (
        with_(OBSERVATION, component=[{"code": {"text": "x"}, "valueQuantity": {"value": "120"}}]),
        "value",
        "Observation.component[0].value.ofType(Quantity).value",
        "`value` must be a number, without quotes, not the text `120`.",
    ),
    "fault inside the extension of a primitive": (
        {"resourceType": "Patient", "_birthDate": {"extension": [{"valueCode": "x"}]}},
        "required",
        "Patient.birthDate.extension[0].url",
        "`url` is required.",
    ),
    "extensions of a primitive that are no object": (
        {"resourceType": "Patient", "birthDate": "2000", "_birthDate": "x"},
        "structure",
        "Patient.birthDate",
        "`_birthDate` holds the extensions of `birthDate`: it must be an object, not the text `x`.",
    ),
    "extensions beside an object": (
        with_(OBSERVATION, _code=ABSENT),
        "structure",
        "Observation._code",
        "`_code` is not used: `code` is an object, which holds its id and extensions itself.",
    ),
    "extensions of what cannot have any": (
        with_(OBSERVATION, extension=[{"url": "urn:x", "_url": ABSENT, "valueCode": "x"}]),
        "structure",
        "Observation.extension[0]._url",
        "`url` cannot have extensions of its own.",
    ),
    "resourceType where there is no resource": (
        with_(OBSERVATION, code={"resourceType": "CodeableConcept", "text": "x"}),
        "structure",
        "Observation.code.resourceType",
        "`resourceType` may stand in a resource only, not in a CodeableConcept.",
    ),
    "unknown resource type": (
        {"resourceType": "Patiant"},
        "value",
        "Resource.resourceType",
        "`resourceType`: the text `Patiant` is not a resource type of R4; did you mean `Patient`?",
    ),
    "abstract resource type": (
        {"resourceType": "DomainResource"},
        "value",
        "Resource.resourceType",
        "`resourceType`: the text `DomainResource` is not a resource type of R4.",
    ),
    "no resource type": (
        {"id": "1"},
        "required",
        "Resource.resourceType",
        "`resourceType` is required: it says what the resource is.",
    ),
    "no object": ([], "structure", "Resource", "A resource is a JSON object, not a list."),
    "fault in a contained resource": (
        with_(OBSERVATION, contained=[{"resourceType": "Patient", "gendre": "female"}]),
        "structure",
        "Observation.contained[0].gendre",
        "`gendre` is not an element of Patient; did you mean `gender`?",
    ),
    "contained in a contained resource": (
        with_(OBSERVATION, contained=[{"resourceType": "Patient", "contained": [{"resourceType": "Patient"}]}]),
        "invariant",
        "Observation.contained[0].contained",
        "A contained resource may not contain others: put them all into the outer one (dom-2).",
    ),
    "fault in an entry of a Bundle": (
        {"resourceType": "Bundle", "type": "batch", "entry": [{"resource": without(OBSERVATION, "code")}]},
        "required",
        "Bundle.entry[0].resource.code",
        "`code` is required.",
    ),
    "empty entry": (
        {"resourceType": "Bundle", "type": "batch", "entry": [{"resource": {}}]},
        "structure",
        "Bundle.entry[0].resource",
        "`resource` holds an empty object: leave it out.",
    ),
    "entry without a type": (
        {"resourceType": "Bundle", "type": "batch", "entry": [{"resource": {"id": "x"}}]},
        "required",
        "Bundle.entry[0].resource.resourceType",
        "`resourceType` is required: it says what the resource is.",
    ),
    "fault in a resource in Parameters": (
        {
            "resourceType": "Parameters",
            "parameter": [{"name": "a", "resource": {"resourceType": "Patient", "id": "/"}}],
        },
        "value",
        "Parameters.parameter[0].resource.id",
        "`id`: `/` is not an id (1 to 64 letters A-Z a-z, digits, `-` and `.`).",
    ),
    "element id with a space": (
        with_(OBSERVATION, code={"id": "a b", "text": "x"}),
        "value",
        "Observation.code.id",
        "`id`: `a b` is not an element id (it holds white space).",
    ),
    "a long value is cut short": (
        {"resourceType": "Patient", "birthDate": "9" * 100},
        "value",
        "Patient.birthDate",
        f"`birthDate`: `{'9' * 60}…` is not a date (YYYY, YYYY-MM or YYYY-MM-DD).",
    ),
}


@pytest.mark.parametrize(("resource", "code", "expression", "words"), FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_is_placed_and_said(resource, code, expression, words):
    """R4: operationoutcome.html, valueset-issue-type.html"""
    assert only(faults(resource)) == Issue(code, words, (expression,))


GOOD_PRIMITIVES = [
    ("Base64Binary", "AAEC"),
    ("Base64Binary", "AAEC\r\n AwQ="),
    ("Boolean", False),
    ("Canonical", "http://example.org/StructureDefinition/x|1.0"),
    ("Code", "a b"),
    ("Code", "CHEST\u00a0"),
    ("Date", "0001"),
    ("Date", "1973-06"),
    ("Date", "2000-02-29"),
    ("DateTime", "2015-02-07T13:28:17.239-05:00"),
    ("DateTime", "2015-02-07T13:28:17+14:00"),
    ("DateTime", "2015"),
    ("Decimal", 1),
    ("Decimal", FhirDecimal("1.0E-10")),
    ("Id", "A-1." + "x" * 60),
    ("Instant", "2016-12-31T23:59:60Z"),
    ("Integer", -(2**31)),
    ("Integer", 2**31 - 1),
    ("Markdown", "# titre\n\n\ttexte"),
    ("Oid", "urn:oid:2.16.840.1.113883"),
    ("PositiveInt", 1),
    ("String", "é\u2028😀"),
    ("String", " "),
    ("Time", "23:59:59.123456789"),
    ("UnsignedInt", 0),
    ("Uri", "urn:isbn:0451450523"),
    ("Uri", "#p1"),
    ("Url", "mailto:a@example.org"),
    ("Uuid", "urn:uuid:c757873d-ec9a-1326-a141-556f43239520"),
]


@pytest.mark.parametrize(("type_", "value"), GOOD_PRIMITIVES, ids=ascii_start)
def test_a_primitive_of_its_format_has_no_fault(type_, value):
    """R4: datatypes.html#primitive"""
    assert faults(extension(f"value{type_}", value)) == []


def test_a_string_may_be_a_megabyte():
    """R4: datatypes.html#string: no more than 1024*1024 characters"""
    assert faults(extension("valueString", "x" * 1024 * 1024)) == []


def full(structure: str, turn: int, depth: int = 0) -> dict[str, Any]:
    """An object with all that R4 lets it have, in one type of each choice; deep down, no more than a primitive."""
    values: dict[str, list[Any]] = {"xhtml": [DIV % "x"], "language": ["fr", "fr-FR"], "currency": ["EUR"]}
    for type_, value in GOOD_PRIMITIVES:
        values.setdefault(type_[0].lower() + type_[1:], []).append(value)
    groups: dict[str, list[definitions.Element]] = {}
    for element in definitions.structure(structure).values():
        groups.setdefault(element.choice or element.name, []).append(element)
    made: dict[str, Any] = {}
    for group in groups.values():
        element = group[turn % len(group)]
        if depth > 2 and not element.min and not (element.primitive and element.name != "id"):
            continue
        bound = binding(element.binding)
        if isinstance(bound, Binding):
            system, codes = next(iter(bound.systems.items()))
            code = codes[turn % len(codes)]
            value: Any = code if element.primitive else {"coding": [{"system": system, "code": code}]}
        elif structure == "Reference" and element.name == "type":
            value = "http://example.org/StructureDefinition/thing"
        elif element.primitive:
            good = values[element.name if bound or element.name == "id" else element.type]
            value = good[turn % len(good)]
        elif element.structure == "Resource":
            value = {"resourceType": "Patient", "id": "x"}
        else:
            value = full(str(element.structure), turn, depth + 1) or {"extension": [{"url": "urn:x"}]}
        made[element.name] = [value] if element.many else value
    return made


@pytest.mark.parametrize("type_", TYPES)
def test_all_that_a_type_may_have_has_no_fault(type_):
    """R4: each element of the type's page; the models of fhir.resources refuse none of it."""
    for turn in range(6):
        found = faults({"resourceType": type_, **full(type_, turn)})
        assert [issue for issue in found if issue.code != "invariant"] == []  # what rules out each other is all there


BAD_PRIMITIVES = [
    ("Base64Binary", "AAE"),
    ("Base64Binary", "AA-_"),
    ("Base64Binary", "  "),
    ("Base64Binary", "é"),
    ("Boolean", "true"),
    ("Boolean", 1),
    ("Canonical", "a b"),
    ("Code", " a"),
    ("Code", "a "),
    ("Code", "a  b"),
    ("Code", "a\n"),
    ("Date", "2023-02-29"),
    ("Date", "1900-02-29"),
    ("Date", "2023-04-31"),
    ("Date", "2020-13-01"),
    ("Date", "2020-1-1"),
    ("Date", "0000"),
    ("Date", "2020-01-01T00:00:00Z"),
    ("Date", "2020-01-01\n"),
    ("Date", "２０２０"),
    ("Date", 2020),
    ("DateTime", "2020-01-01T10:00:00"),
    ("DateTime", "2020-01-01T24:00:00Z"),
    ("DateTime", "2020-01-01T10:00Z"),
    ("DateTime", "2020-01-01T10Z"),
    ("DateTime", "2020-02-30T10:00:00Z"),
    ("DateTime", "2020-01-01T10:00:00+14:30"),
    ("DateTime", "2020-01T10:00:00Z"),
    ("DateTime", "2020-01-01 10:00:00Z"),
    ("Decimal", "1.5"),
    ("Decimal", True),
    ("Decimal", float("nan")),
    ("Id", "a/b"),
    ("Id", "a_b"),
    ("Id", "x" * 65),
    ("Id", "a\n"),
    ("Instant", "2020-01-01"),
    ("Instant", "2021-02-29T00:00:00Z"),
    ("Integer", FhirDecimal("1.0")),
    ("Integer", 2**31),
    ("Integer", 10**5000),
    ("Integer", "1"),
    ("Markdown", "\x07"),
    ("Oid", "1.2.3"),
    ("Oid", "urn:oid:1.02"),
    ("PositiveInt", 0),
    ("String", ""),
    ("String", "a\x00"),
    ("String", "\ufffe"),
    ("String", "\ud800"),
    ("String", "x" * (1024 * 1024 + 1)),
    ("String", 5),
    ("String", {"a": 1}),
    ("Time", "24:00:00"),
    ("Time", "10:00"),
    ("Time", "10:00:00Z"),
    ("UnsignedInt", -1),
    ("Uri", "a b"),
    ("Url", ""),
    ("Uuid", "c757873d-ec9a-4326-a141-556f43239520"),
]


@pytest.mark.parametrize(("type_", "value"), BAD_PRIMITIVES, ids=ascii_start)
def test_a_primitive_of_another_format_is_refused(type_, value):
    """R4: datatypes.html#primitive"""
    issue = only(faults(extension(f"value{type_}", value)))
    assert issue.expression == (f"Basic.extension[0].value.ofType({type_[0].lower()}{type_[1:]})",)
    assert issue.code == "value"
    # It can be written as JSON and as XML, whatever was sent.
    assert issue.diagnostics.isprintable()


def test_a_time_without_a_zone_is_told_what_it_lacks():
    """R4: datatypes.html#dateTime: if hours and minutes are specified, a time zone SHALL be populated."""
    words = only(faults(extension("valueDateTime", "2020-01-01T10:00:00"))).diagnostics
    assert words == (
        "`valueDateTime`: `2020-01-01T10:00:00` has a time but no zone: end it with `Z` or an offset such as `+01:00`."
    )


BAD_NARRATIVES = {
    "no markup": ("Bonjour", "is not well-formed XHTML"),
    "not closed": (DIV % "<p>", "is not well-formed XHTML"),
    "two roots": ((DIV % "a") * 2, "is not well-formed XHTML"),
    "no namespace": ("<div>a</div>", 'must be `<div xmlns="http://www.w3.org/1999/xhtml">`, not `<div>` without'),
    "another element": ('<p xmlns="http://www.w3.org/1999/xhtml">a</p>', "not `<p>`"),
    "an HTML entity": (DIV % "a&nbsp;b", "`&nbsp;` is not known to XML; write the character itself"),
    "an entity bomb": (f'<!DOCTYPE div [<!ENTITY a "aaa">]>{DIV % "&a;"}', "holds a DOCTYPE"),
    "a processing instruction": (DIV % "<?php x?>", "holds a processing instruction"),
    "an XML declaration": (f'<?xml version="1.0"?>{DIV % "x"}', "holds a processing instruction"),
    "a script": (DIV % "<script>x</script>", "holds `<script>`, which a narrative may not have (txt-1)"),
    "an element of another namespace": (
        DIV % '<svg xmlns="http://www.w3.org/2000/svg"/>',
        "holds `<svg>` in the namespace",
    ),
    "an event": (DIV % '<p onclick="x()">a</p>', "holds the attribute `onclick`"),
    "a script in a link": (DIV % '<a href=" java&#10;script:x()">a</a>', "holds a script in the attribute `href`"),
    "too deep": (DIV % ("<b>" * 200 + "</b>" * 200), "is nested deeper than 100 levels"),
}


@pytest.mark.parametrize(("div", "words"), BAD_NARRATIVES.values(), ids=BAD_NARRATIVES.keys())
def test_a_narrative_is_well_formed_and_runs_nothing(div, words):
    """R4: narrative.html#xhtml, txt-1"""
    issue = only(faults({"resourceType": "Patient", "text": {"status": "additional", "div": div}}))
    assert issue.expression == ("Patient.text.`div`",)
    assert words in issue.diagnostics


@pytest.mark.parametrize(
    "content", ["<b>x</b>" * 200, "<b>" * 99 + "x" + "</b>" * 99, "<b>" * 98 + "<i/>x" * 99 + "</b>" * 98]
)
def test_a_narrative_may_be_as_long_as_it_likes_and_deep(content):
    assert faults({"resourceType": "Patient", "text": {"status": "additional", "div": DIV % content}}) == []


def test_all_faults_are_reported_in_the_order_of_the_text():
    resource = {"resourceType": "Patient", "gender": 1, "foo": 1, "birthDate": "x", "contact": [{"nom": 1}, {}]}
    assert [issue.expression[0] for issue in faults(resource)] == [
        "Patient.gender",
        "Patient.foo",
        "Patient.birthDate",
        "Patient.contact[0].nom",
        "Patient.contact[1]",
    ]


def test_check_raises_all_of_them_as_one_outcome():
    """R4: http.html#create: 422 with an OperationOutcome"""
    with pytest.raises(Unprocessable) as refused:
        check({"resourceType": "Observation", "foo": 1})
    assert refused.value.status == 422
    assert [issue["expression"] for issue in refused.value.outcome()["issue"]] == [
        ["Observation.foo"],
        ["Observation.status"],
        ["Observation.code"],
    ]


def test_a_million_faults_do_not_make_a_million_issues():
    issues = faults({"resourceType": "Patient", "name": [{"x" * 5: 1}] * 1_000_000})
    assert len(issues) == elements.LIMIT + 1
    assert issues[-1].severity == "information"


def test_bottomless_nesting_is_a_fault():
    nested: dict[str, Any] = {"url": "urn:x", "valueCode": "x"}
    for _ in range(5000):
        nested = {"url": "urn:x", "extension": [nested]}
    issue = only(faults({"resourceType": "Patient", "extension": [nested]}))
    assert issue.code == "too-costly"


def test_the_path_of_a_fault_leads_to_it():
    """FHIRPath, with the model of R4, finds the very element."""
    cases = {
        "Observation.component[1].value.ofType(Quantity).unit": "mm[Hg]",
        "Observation.text.`div`": OBSERVATION["text"]["div"],
        "Observation.effective.ofType(dateTime)": "2024-02-29T08:30:00+01:00",
    }
    broken = copy.deepcopy(OBSERVATION)
    broken["component"][1]["valueQuantity"]["unit"] = ""
    broken["text"]["div"] = "x"
    broken["effectiveDateTime"] = "hier"
    assert {issue.expression[0] for issue in faults(broken)} == set(cases)
    plain = {**OBSERVATION, "component": [{}, {"valueQuantity": {"unit": "mm[Hg]"}}]}
    for path, value in cases.items():
        assert fhirpathpy.evaluate(plain, path, model=fhirpath_models["r4"]) == [value]


@pytest.mark.parametrize("type_", TYPES)
def test_every_supported_type_has_a_definition_and_a_model(type_):
    resource = {"resourceType": type_, "id": "x", "nom": 1}
    assert "nom" in elements.faults(resource)[0].diagnostics
    assert isinstance(models.faults({"resourceType": type_, "id": ["x"]}), list)
    assert models.faults({"resourceType": type_, "id": ["x"]})[0].expression == (f"{type_}.id",)


OTHERS = "https://others.example/StructureDefinition/patient"


@pytest.mark.parametrize(
    ("profiles", "unknown"),
    [
        (None, []),
        (["http://hl7.org/fhir/StructureDefinition/Patient"], []),
        (["http://hl7.org/fhir/StructureDefinition/Patient|4.0.1"], []),
        ([OTHERS], [0]),
        (["http://hl7.org/fhir/StructureDefinition/DomainResource", f"{OTHERS}|2.1.0", OTHERS], [1, 2]),
        (["http://hl7.org/fhir/StructureDefinition/cqllibrary"], [0]),
        ([None], []),
    ],
)
def test_a_claimed_profile_that_is_not_known_is_a_warning_and_no_fault(profiles, unknown):
    """R4: resource.html#Meta.profile"""
    meta: dict[str, Any] = {"versionId": "1"}
    if profiles:
        meta["profile"] = profiles
    if profiles == [None]:
        meta["_profile"] = [ABSENT]
    patient = {"resourceType": "Patient", "meta": meta}

    assert faults(patient) == []
    issues = warnings(patient)
    assert [issue.expression for issue in issues] == [(f"Patient.meta.profile[{index}]",) for index in unknown]
    assert {(issue.severity, issue.code) for issue in issues} <= {("warning", "not-found")}
    assert all(f"`{profiles[place]}`" in issue.diagnostics for issue, place in zip(issues, unknown, strict=True))


def test_a_claimed_profile_that_is_known_is_held_to_the_resource():
    """R4: profiling.html: R4, every profile that is claimed, and those that are demanded"""
    ins = "https://hl7.fr/ig/fhir/core/StructureDefinition/fr-core-patient-ins"
    patient = {"resourceType": "Patient", "meta": {"profile": [ins]}, "gender": "masculin"}

    issues = faults(patient)

    assert [issue.expression for issue in issues][0] == ("Patient.gender",)
    assert "FR Core Patient INS" in " ".join(issue.diagnostics for issue in issues)
    assert {issue.severity for issue in issues} == {"error"}
    assert len([issue for issue in issues if issue.expression == ("Patient.gender",)]) == 1


def test_a_demanded_profile_is_asked_of_what_claims_none():
    """README.md, FHIR_SERVER_DEMANDED_PROFILES: which further profiles are demanded is a setting"""
    weight = "https://interop.esante.gouv.fr/ig/fhir/mesures/StructureDefinition/mesures-fr-observation-body-weight"
    observation = {"resourceType": "Observation", "status": "final", "code": {"text": "poids"}}

    assert faults(observation) == []
    assert faults(observation, lambda resource: (weight,)) != []
    assert faults({**observation, "status": "x"}, lambda resource: (weight,))[0].expression == ("Observation.status",)


def test_a_resource_without_meta_claims_nothing():
    assert warnings({"resourceType": "Patient"}) == []


SECOND_OPINIONS = [
    ({"resourceType": "Patient", "gender": ["male"]}, "Patient.gender"),
    ({"resourceType": "Patient", "birthDate": "hier"}, "Patient.birthDate"),
    ({"resourceType": "Patient", "birthDate": "2023-02-30"}, "Patient.birthDate"),
    ({"resourceType": "Patient", "deceasedBoolean": True, "deceasedDateTime": "2020"}, "Patient"),
    ({"resourceType": "Patient", "name": {"family": "x"}}, "Patient.name"),
    ({"resourceType": "Patient", "name": [{"given": [5]}]}, "Patient.name[0].given[0]"),
    ({"resourceType": "Patient", "deceasedDateTime": "hier"}, "Patient.deceased.ofType(dateTime)"),
    (
        {"resourceType": "Bundle", "type": "batch", "entry": [{"resource": {"resourceType": "Patient", "active": 7}}]},
        "Bundle.entry[0].resource.active",
    ),
]


@pytest.mark.parametrize(("resource", "expression"), SECOND_OPINIONS)
def test_what_the_models_find_is_placed_too(resource, expression):
    assert (expression,) in [issue.expression for issue in models.faults(resource)]
