"""How a StructureDefinition is compiled, one feature at a time; and what the seed record claims is true."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from fhir_server.config import carried
from fhir_server.fhir import json as fhir_json
from fhir_server.fhir.json import FhirDecimal
from fhir_server.validation import demands
from fhir_server.validation.profiles import LIMIT, MOST, ProfileError, Profiles, carried_profiles
from fhir_server.validation.profiling import invariants
from fhir_server.validation.profiling.quick import accepts
from tests.french import (
    DOCUMENT_COMPREHENSIVE,
    DOCUMENT_SIMPLIFIED,
    MESURES,
    PDSM,
    VALUE_SETS,
    WEIGHT,
    edited,
)

BASE = "http://hl7.org/fhir/StructureDefinition"
URL = "http://example.org/p"
OTHER = "http://example.org/other"


def definition(type: str, *elements: dict[str, Any], url: str = URL, **more: Any) -> dict[str, Any]:
    """A profile with these rows; each has its id without the type."""
    rows = [{**row, "id": f"{type}.{row['id']}", "path": "unused"} for row in elements]
    return {
        "resourceType": "StructureDefinition",
        "url": url,
        "name": "P",
        "type": type,
        "baseDefinition": f"{BASE}/{type}",
        "derivation": "constraint",
        "differential": {"element": [{"id": type, "path": type}, *rows]},
        **more,
    }


def told(
    resource: dict[str, Any], *definitions: dict[str, Any], members: Any = lambda url: None
) -> list[tuple[str, ...]]:
    """The code and place of what the first of these profiles finds."""
    known = {one["url"]: one for one in definitions}
    profiles = Profiles(known.get, members)
    return [(issue.code, *issue.expression) for issue in profiles.faults(resource, definitions[0]["url"])]


def patient(**more: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", **more}


def observation(**more: Any) -> dict[str, Any]:
    return {"resourceType": "Observation", "status": "final", "code": {"text": "x"}, **more}


def by(*paths: str, kind: str = "value", rules: str = "open") -> dict[str, Any]:
    return {"discriminator": [{"type": kind, "path": path} for path in paths], "rules": rules}


def test_an_element_may_be_required() -> None:
    """R4: elementdefinition.html: min"""
    profile = definition("Patient", {"id": "birthDate", "min": 1}, {"id": "name", "min": 2})
    names = [{"family": "A"}, {"family": "B"}]

    assert told(patient(birthDate="2000", name=names), profile) == []
    assert told(patient(name=names[:1]), profile) == [("required", "Patient.birthDate"), ("required", "Patient.name")]


def test_the_extensions_of_a_primitive_stand_for_its_value() -> None:
    """R4: json.html#primitive, extensibility.html#Special-Case"""
    profile = definition("Patient", {"id": "birthDate", "min": 1})

    assert told(patient(_birthDate={"extension": [{"url": "urn:x"}]}), profile) == []


def test_an_element_may_be_forbidden_or_limited() -> None:
    """R4: elementdefinition.html: max"""
    profile = definition(
        "Patient", {"id": "photo", "max": "0"}, {"id": "name", "max": "1"}, {"id": "deceased[x]", "max": "0"}
    )
    names = [{"family": "A"}, {"family": "B"}]

    assert told(patient(name=names[:1]), profile) == []
    assert told(patient(name=names, photo=[{}], deceasedBoolean=True), profile) == [
        ("structure", "Patient.photo"),
        ("structure", "Patient.name"),
        ("structure", "Patient.deceased"),
    ]


def test_a_rule_below_an_element_holds_where_the_element_is() -> None:
    """R4: conformance-rules.html#cardinality"""
    profile = definition("Patient", {"id": "contact.name", "min": 1}, {"id": "contact.name.family", "min": 1})

    assert told(patient(), profile) == []
    assert told(patient(contact=[{"name": {"family": "A"}}, {"name": {"text": "B"}}, {}]), profile) == [
        ("required", "Patient.contact[1].name.family"),
        ("required", "Patient.contact[2].name"),
    ]


def test_a_fixed_value_is_the_whole_and_a_pattern_a_part() -> None:
    """R4: elementdefinition.html: fixed[x], pattern[x]"""
    code = {"coding": [{"system": "urn:s", "code": "a"}]}
    pattern = definition("Observation", {"id": "code", "patternCodeableConcept": code})
    fixed = definition("Observation", {"id": "code", "fixedCodeableConcept": code})
    more = {"coding": [{"system": "urn:s", "code": "a", "display": "A"}, {"system": "urn:t", "code": "b"}], "text": "x"}

    assert told(observation(code=more), pattern) == []
    assert told(observation(code=more), fixed) == [("value", "Observation.code")]
    assert told(observation(code=code), fixed) == []
    assert told(observation(code={"coding": [{"system": "urn:s", "code": "c"}]}), pattern) == [
        ("value", "Observation.code.coding[0].code")
    ]
    assert told(observation(code={"text": "x"}), pattern) == [("required", "Observation.code.coding")]


def test_a_number_may_have_bounds_and_a_text_a_length() -> None:
    """R4: elementdefinition.html: minValue[x], maxValue[x], maxLength"""
    profile = definition(
        "Observation",
        {"id": "value[x]", "type": [{"code": "Quantity"}]},
        {"id": "value[x].value", "minValueDecimal": FhirDecimal("0.5"), "maxValueDecimal": 10},
        {"id": "value[x].unit", "maxLength": 2},
    )

    def of(value: Any) -> list[tuple[str, ...]]:
        return told(observation(valueQuantity={"value": value, "unit": "kg"}), profile)

    assert of(FhirDecimal("0.50")) == of(10) == []
    assert of(FhirDecimal("0.49")) == of(11) == [("value", "Observation.value.ofType(Quantity).value")]
    assert told(observation(valueQuantity={"unit": "kgs"}), profile) == [
        ("too-long", "Observation.value.ofType(Quantity).unit")
    ]


def test_a_fixed_boolean_is_no_number() -> None:
    """R4: json.html#primitive"""
    profile = definition("Patient", {"id": "active", "fixedBoolean": True})

    assert told(patient(active=True), profile) == []
    assert told(patient(active=False), profile) == [("value", "Patient.active")]
    assert not accepts({"const": True})(1) and not accepts({"const": 1})(True)


def test_a_choice_is_narrowed_to_some_of_its_types() -> None:
    """R4: profiling.html, formats.html#choice"""
    profile = definition(
        "Observation",
        {"id": "value[x]", "type": [{"code": "Quantity"}, {"code": "string"}], "min": 1},
        {"id": "value[x]:valueQuantity.unit", "min": 1},
    )

    assert told(observation(valueString="x"), profile) == []
    assert told(observation(valueQuantity={"value": 1}), profile) == [
        ("required", "Observation.value.ofType(Quantity).unit")
    ]
    assert told(observation(valueInteger=1), profile) == [
        ("structure", "Observation.value.ofType(integer)"),
        ("required", "Observation.value"),
    ]


def test_a_type_of_a_choice_may_be_demanded_by_its_slice() -> None:
    """R4: profiling.html#slicing; written `valueQuantity`, or in full"""
    for id in ("valueQuantity", "value[x]:valueQuantity"):
        assert told(observation(valueString="x"), definition("Observation", {"id": id, "min": 1})) == [
            ("required", "Observation.value.ofType(Quantity)")
        ]


def test_a_closed_choice_has_its_slices_alone() -> None:
    """R4: profiling.html#slicing"""
    profile = definition(
        "Observation",
        {"id": "value[x]", "slicing": by("$this", kind="type", rules="closed")},
        {"id": "value[x]:valueQuantity"},
    )

    assert told(observation(valueQuantity={"value": 1}), profile) == []
    assert told(observation(valueString="x"), profile) == [("structure", "Observation.value.ofType(string)")]


@pytest.mark.parametrize(
    ("kind", "path", "row"),
    [
        ("value", "system", {"id": "identifier:a.system", "fixedUri": "urn:a"}),
        ("pattern", "$this", {"id": "identifier:a", "patternIdentifier": {"system": "urn:a"}}),
        ("value", "system", {"id": "identifier:a", "patternIdentifier": {"system": "urn:a"}}),
        ("pattern", "type", {"id": "identifier:a.type", "patternCodeableConcept": {"coding": [{"code": "a"}]}}),
        ("value", "type.coding.code", {"id": "identifier:a.type.coding.code", "fixedCode": "a"}),
        ("exists", "assigner", {"id": "identifier:a.assigner", "min": 1}),
    ],
)
def test_slices_are_told_apart(kind: str, path: str, row: dict[str, Any]) -> None:
    """R4: profiling.html#discriminator"""
    profile = definition(
        "Patient",
        {"id": "identifier", "slicing": by(path, kind=kind)},
        {"id": "identifier:a", "min": 1, "max": "1"},
        row,
        {"id": "identifier:a.value", "min": 1},
    )
    meant = {"system": "urn:a", "type": {"coding": [{"code": "a"}]}, "assigner": {"display": "A"}}
    other = {"system": "urn:b", "type": {"coding": [{"code": "b"}]}}

    def codes(*identifiers: dict[str, Any]) -> list[tuple[str, ...]]:
        return told(patient(identifier=list(identifiers)), profile)

    assert codes({**meant, "value": "1"}, other, other) == []
    assert codes(other, meant) == [("required", "Patient.identifier[1].value")]
    assert [code for code, _ in codes(other)] == ["required"]
    assert [code for code, _ in codes({**meant, "value": "1"}, {**meant, "value": "2"})] == ["structure"]
    assert [code for code, _ in told(patient(), profile)] == ["required"]


def test_a_slice_may_be_the_absence_of_an_element() -> None:
    """R4: profiling.html#discriminator: exists"""
    profile = definition(
        "Patient",
        {"id": "name", "slicing": by("period", kind="exists")},
        {"id": "name:current.period", "max": "0"},
        {"id": "name:current", "max": "1"},
        {"id": "name:former.period", "min": 1},
        {"id": "name:former.family", "min": 1},
    )
    former = {"family": "A", "period": {"end": "2000"}}

    assert told(patient(name=[{"text": "x"}, former, former]), profile) == []
    assert told(patient(name=[{"text": "x"}, {"text": "y"}]), profile) == [("structure", "Patient.name")]
    assert told(patient(name=[{"period": {"end": "2000"}}]), profile) == [("required", "Patient.name[0].family")]


def test_slices_by_type_tell_what_a_bundle_holds() -> None:
    """R4: profiling.html#discriminator: type"""
    profile = definition(
        "Bundle",
        {"id": "entry", "slicing": by("resource", kind="type", rules="closed")},
        {"id": "entry:one", "min": 1},
        {"id": "entry:one.resource", "type": [{"code": "Patient"}]},
        {"id": "entry:many.resource", "type": [{"code": "Observation"}]},
    )

    def bundle(*types: str) -> dict[str, Any]:
        return {"resourceType": "Bundle", "entry": [{"resource": {"resourceType": type}} for type in types]}

    assert told(bundle("Patient", "Observation", "Observation"), profile) == []
    assert told(bundle("Observation"), profile) == [("required", "Bundle.entry")]
    assert told(bundle("Patient", "Device"), profile) == [("structure", "Bundle.entry[1]")]


def test_slices_by_the_type_of_what_is_pointed_at() -> None:
    """R4: profiling.html#discriminator: resolve()"""
    profile = definition(
        "CareTeam",
        {"id": "participant", "slicing": by("member.resolve()", kind="type")},
        {"id": "participant:p", "max": "1"},
        {"id": "participant:p.member", "type": [{"code": "Reference", "targetProfile": [f"{BASE}/Practitioner"]}]},
    )
    one, two = ({"member": {"reference": f"{type}/1"}} for type in ("Practitioner", "Organization"))

    assert told({"resourceType": "CareTeam", "participant": [one, two, two]}, profile) == []
    assert told({"resourceType": "CareTeam", "participant": [one, one]}, profile) == [
        ("structure", "CareTeam.participant")
    ]


def test_a_closed_slicing_takes_nothing_else() -> None:
    """R4: profiling.html#slicing"""
    profile = definition(
        "Patient",
        {"id": "telecom", "slicing": by("system", rules="closed")},
        {"id": "telecom:p.system", "fixedCode": "phone"},
        {"id": "telecom:e.system", "fixedCode": "email"},
    )
    phone, email, fax = ({"system": system} for system in ("phone", "email", "fax"))

    assert told(patient(telecom=[phone, email, phone]), profile) == []
    assert told(patient(telecom=[phone, fax]), profile) == [("structure", "Patient.telecom[1]")]


def test_an_extension_is_checked_where_it_stands() -> None:
    """R4: profiling.html#extensions"""
    inner = definition(
        "Extension",
        {"id": "url", "fixedUri": OTHER},
        {"id": "value[x]", "min": 1, "type": [{"code": "code"}]},
        url=OTHER,
    )
    profile = definition(
        "Patient", {"id": "extension:x", "min": 1, "max": "1", "type": [{"code": "Extension", "profile": [OTHER]}]}
    )
    good = {"url": OTHER, "valueCode": "a"}

    assert told(patient(extension=[good, {"url": "urn:y"}]), profile, inner) == []
    assert told(patient(extension=[{"url": "urn:y"}]), profile, inner) == [
        ("required", f"Patient.extension('{OTHER}')")
    ]
    assert told(patient(extension=[good, good]), profile, inner) == [("structure", f"Patient.extension('{OTHER}')")]
    assert told(patient(extension=[{"url": OTHER}]), profile, inner) == [("required", "Patient.extension[0].value")]
    assert told(patient(extension=[good]), profile) == [], "of an extension that is not known the url is enough"


def test_the_extensions_of_a_primitive_may_be_demanded() -> None:
    """R4: json.html#primitive"""
    profile = definition(
        "Patient", {"id": "birthDate.extension:t", "min": 1, "type": [{"code": "Extension", "profile": [OTHER]}]}
    )

    assert told(patient(birthDate="2000", _birthDate={"extension": [{"url": OTHER}]}), profile) == []
    assert told(patient(birthDate="2000", _birthDate={"id": "b"}), profile) == [
        ("required", f"Patient.birthDate.extension('{OTHER}')")
    ]


def test_a_data_type_may_have_a_profile() -> None:
    """R4: elementdefinition.html: type.profile"""
    city = definition("Address", {"id": "city", "min": 1}, url=OTHER)
    profile = definition("Patient", {"id": "address", "type": [{"code": "Address", "profile": [OTHER]}]})

    assert told(patient(address=[{"city": "A"}, {"text": "B"}]), profile, city) == [
        ("required", "Patient.address[1].city")
    ]


def test_a_required_binding_is_asked_of_codes_codings_and_concepts() -> None:
    """R4: terminologies.html#required"""
    members = {"urn:vs": frozenset({("urn:s", "a"), ("urn:t", "b")})}.get
    bound = {"binding": {"strength": "required", "valueSet": "urn:vs|1.0"}}
    concept = definition("Observation", {"id": "code", **bound})
    coding = definition("Encounter", {"id": "class", **bound})
    code = definition("Binary", {"id": "contentType", **bound})

    def of(*codings: tuple[str, str]) -> dict[str, Any]:
        return observation(code={"coding": [{"system": system, "code": code} for system, code in codings]})

    assert told(of(("urn:x", "a"), ("urn:t", "b")), concept, members=members) == []
    assert told(of(("urn:t", "a")), concept, members=members) == [("code-invalid", "Observation.code.coding[0].code")]
    assert told(of(("urn:x", "a")), concept, members=members) == [("code-invalid", "Observation.code")]
    assert told(observation(code={"text": "a"}), concept, members=members) == [("code-invalid", "Observation.code")]
    assert told(observation(code={"extension": [{"url": "urn:x"}]}), concept, members=members) == []
    encounter = {"resourceType": "Encounter", "class": {"system": "urn:s", "code": "a"}}
    assert told(encounter, coding, members=members) == []
    assert told(edited(encounter, {"class.system": "urn:t"}), coding, members=members) == [
        ("code-invalid", "Encounter.class")
    ]
    assert told({"resourceType": "Binary", "contentType": "b"}, code, members=members) == []
    assert told({"resourceType": "Binary", "contentType": "c"}, code, members=members) == [
        ("code-invalid", "Binary.contentType")
    ]


@pytest.mark.parametrize(
    ("strength", "known", "expected"),
    [
        ("required", True, [("error", "code-invalid")]),
        ("required", False, [("warning", "not-found")]),
        ("extensible", True, [("warning", "code-invalid")]),
        ("extensible", False, []),
        ("preferred", True, []),
    ],
)
def test_how_strict_a_binding_is(strength: str, known: bool, expected: list[tuple[str, str]]) -> None:
    """R4: terminologies.html#strength; of a value set that is not known, a warning"""
    profile = definition("Observation", {"id": "code", "binding": {"strength": strength, "valueSet": "urn:vs"}})
    members = {"urn:vs": frozenset({("urn:s", "a")})} if known else {}
    resource = observation(code={"coding": [{"system": "urn:s", "code": "b"}]})

    found = Profiles({URL: profile}.get, members.get).faults(resource, URL)

    assert [(issue.severity, issue.code) for issue in found] == expected


def test_a_reference_may_point_at_the_types_of_the_profiles_that_are_named() -> None:
    """R4: elementdefinition.html: type.targetProfile"""
    profile = definition(
        "Observation",
        {"id": "subject", "type": [{"code": "Reference", "targetProfile": [OTHER, f"{BASE}/Group"]}]},
    )
    french = definition("Patient", url=OTHER)

    for good in ("Patient/1", "http://a.example/fhir/Group/1/_history/2", "#x", "urn:uuid:1", "Device?identifier=1"):
        assert told(observation(subject={"reference": good}), profile, french) == []
    assert told(observation(subject={"identifier": {"value": "1"}, "type": "Patient"}), profile, french) == []
    assert told(observation(subject={"reference": "Device/1"}), profile, french) == [
        ("value", "Observation.subject.reference")
    ]
    assert told(observation(subject={"type": "Device"}), profile, french) == [("value", "Observation.subject.type")]


def test_an_invariant_is_asked_of_each_element_that_it_is_of() -> None:
    """R4: elementdefinition.html#constraint"""
    rule = {
        "key": "k-1",
        "severity": "error",
        "human": "A family name is no given name.",
        "expression": "family != given",
    }
    soft = {"key": "k-2", "severity": "warning", "human": "A name says its use", "expression": "use.exists()"}
    profile = definition(
        "Patient",
        {"id": "name", "slicing": by("use"), "constraint": [rule]},
        {"id": "name:o.use", "fixedCode": "official"},
        {"id": "name:o.period", "constraint": [{**soft, "key": "k-3", "expression": "%resource.active"}]},
        {"id": "contact.name", "constraint": [soft]},
    )
    resource = patient(
        active=False,
        name=[{"family": "A", "given": ["B"]}, {"family": "C", "given": ["C"], "use": "official", "period": {}}],
        contact=[{}, {"name": {"family": "D"}}],
    )

    found = Profiles({URL: profile}.get).faults(resource, URL)

    assert [(issue.severity, *issue.expression, issue.diagnostics) for issue in found] == [
        ("error", "Patient.name[1]", "A family name is no given name (P: k-1)."),
        ("warning", "Patient.name[1].period", "A name says its use (P: k-3)."),
        ("warning", "Patient.contact[1].name", "A name says its use (P: k-2)."),
    ]


def test_a_primitive_and_its_extensions_have_rules_of_their_own() -> None:
    """R4: json.html#primitive"""
    value = {"key": "k-1", "severity": "error", "human": "x", "expression": "$this.toString().length() = 10"}
    inner = {"key": "k-2", "severity": "error", "human": "y", "expression": "url = 'urn:x'"}
    profile = definition(
        "Patient",
        {"id": "birthDate", "constraint": [value]},
        {"id": "birthDate.extension", "constraint": [inner]},
    )
    extensions = {"extension": [{"url": "urn:x"}, {"url": "urn:y"}]}

    assert told(patient(birthDate="2000-01-01"), profile) == []
    assert told(patient(birthDate="2000", _birthDate=extensions), profile) == [
        ("invariant", "Patient.birthDate"),
        ("invariant", "Patient.birthDate.extension[1]"),
    ]


def test_a_resource_of_very_many_elements_does_not_take_for_ever() -> None:
    """Of a hundred thousand names only the first are asked"""
    rule = {"key": "k-1", "severity": "warning", "human": "x", "expression": "text.exists()"}
    names = [{"text": "x"}] * (invariants.MOST + 5)

    assert told(patient(name=names[:-5]), definition("Patient", {"id": "name", "constraint": [rule]})) == []
    assert told(patient(name=names), definition("Patient", {"id": "name", "constraint": [rule]})) == [
        ("too-costly", f"Patient.name[{invariants.MOST}]")
    ]


def test_what_cannot_be_evaluated_does_not_hold() -> None:
    """A profile is not satisfied by what nobody can judge"""
    rule = {"key": "k-1", "severity": "error", "human": "x", "expression": "name.family > 1"}

    profile = definition("Patient")
    profile["differential"]["element"][0]["constraint"] = [rule]
    assert told(patient(name=[{"family": "A"}, {"family": "B"}]), profile) == [("invariant", "Patient")]


def test_a_profile_adds_to_the_one_it_is_derived_from() -> None:
    """R4: profiling.html: derivation"""
    base = definition(
        "Patient",
        {"id": "identifier", "slicing": by("system")},
        {"id": "identifier:a.system", "fixedUri": "urn:a"},
        {"id": "birthDate", "min": 1},
        url=OTHER,
    )
    profile = definition("Patient", {"id": "identifier:a", "min": 1}, {"id": "gender", "min": 1}, baseDefinition=OTHER)

    assert told(patient(), profile, base) == [
        ("required", "Patient.identifier.where(system = 'urn:a')"),
        ("required", "Patient.birthDate"),
        ("required", "Patient.gender"),
    ]


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (definition("Patient", {"id": "birthdate", "min": 1}), "Patient.birthdate is not an element of Patient"),
        (definition("Patient", baseDefinition=OTHER), "derived from http://example.org/other, which is not known"),
        (definition("Patient", baseDefinition=URL), "derived from http://example.org/p, which is not known"),
        (
            definition("Extension", {"id": "extension:x", "type": [{"code": "Extension", "profile": [URL]}]}),
            "is made of itself",
        ),
        (
            definition("Patient", {"id": "name", "slicing": by("use")}, {"id": "name:a", "min": 1}),
            "a slice of `name` is not told from others",
        ),
        (
            definition("Patient", {"id": "name", "constraint": [{"key": "k", "severity": "error", "human": "h"}]}),
            "the constraint k has no expression",
        ),
        (
            definition(
                "Patient",
                {"id": "name", "constraint": [{"key": "k", "severity": "error", "human": "h", "expression": "a b"}]},
            ),
            "the constraint k",
        ),
        (
            definition("Patient", {"id": "link.other", "type": [{"code": "Reference", "targetProfile": ["urn:x"]}]}),
            "the profile of a reference, is not known",
        ),
    ],
    ids=["element", "base", "circle", "within itself", "slice", "no expression", "no FHIRPath", "target"],
)
def test_a_definition_that_cannot_be_used_says_why(broken: dict[str, Any], words: str) -> None:
    """R4: profiling.html"""
    with pytest.raises(ProfileError, match=words.replace("(", r"\(")):
        Profiles({URL: broken}.get).compiled(URL)


def test_a_profile_of_another_type_is_told_as_such() -> None:
    """R4: resource.html#Meta.profile"""
    profiles = Profiles({URL: definition("Patient")}.get)

    assert [(issue.code, *issue.expression) for issue in profiles.faults(observation(), URL)] == [
        ("value", "Observation")
    ]
    assert [(issue.code, *issue.expression) for issue in profiles.claimed(observation(meta={"profile": [URL]}))] == [
        ("value", "Observation.meta.profile[0]")
    ]


def test_what_is_claimed_is_checked_and_what_is_not_known_is_a_warning() -> None:
    """R4: resource.html#Meta.profile"""
    known = definition("Patient", {"id": "birthDate", "min": 1}, version="2.0")
    profiles = Profiles({URL: known}.get)
    claims = [f"{BASE}/Patient", "urn:unknown", f"{URL}|2.0", None, f"{URL}|1.0"]

    found = profiles.claimed(patient(meta={"profile": claims, "_profile": [None, None, None, {"id": "x"}]}))

    assert [(issue.severity, issue.code, *issue.expression) for issue in found] == [
        ("warning", "not-found", "Patient.meta.profile[1]"),
        ("error", "required", "Patient.birthDate"),
        ("error", "required", "Patient.birthDate"),
        ("warning", "not-found", "Patient.meta.profile[4]"),
    ]
    assert profiles.claimed(patient()) == []
    with pytest.raises(KeyError):
        profiles.faults(patient(), "urn:unknown")


def test_a_resource_of_very_many_claims_does_not_take_for_ever() -> None:
    """R4: resource.html#Meta.profile: a claim is looked at once, and not without end"""
    profiles = Profiles({URL: definition("Patient", {"id": "birthDate", "min": 1})}.get)

    assert len(profiles.claimed(patient(meta={"profile": [URL] * 5}))) == 1
    assert len(profiles.claimed(patient(meta={"profile": [f"urn:{n}" for n in range(LIMIT + 5)]}))) == LIMIT


def test_compiled_profiles_are_kept_and_not_without_end() -> None:
    """Memory is bounded"""
    asked: list[str] = []

    def find(url: str) -> dict[str, Any]:
        asked.append(url)
        return definition("Basic", url=url)

    profiles = Profiles(find)
    for number in range(MOST + 1):
        profiles.compiled(f"urn:{number}")
    count = len(asked)

    profiles.compiled(f"urn:{MOST}")
    assert len(asked) == count
    profiles.compiled("urn:0")
    assert len(asked) == count + 1
    profiles.forget()
    profiles.compiled(f"urn:{MOST}")
    assert len(asked) == count + 2


def test_the_profiles_are_those_that_the_tables_say() -> None:
    """profiles/README.md: tables and JSON are committed together"""
    home = carried("profiles")
    code = "import sys; sys.path.insert(0, sys.argv[1]); import json, write; print(json.dumps(write.made()))"
    run = subprocess.run([sys.executable, "-c", code, str(home)], capture_output=True, text=True, check=True)

    assert json.loads(run.stdout) == {one["id"]: one for one in carried_profiles().values()}


def test_what_the_seed_record_claims_is_true() -> None:
    """Every profile in meta.profile of the seed record is known, and satisfied"""
    profiles = Profiles(members=VALUE_SETS.get)
    claims = 0
    found: set[tuple[str, ...]] = set()
    for file in sorted((carried("seed_data") / "bundles").glob("*.json")):
        for entry in fhir_json.parse(file.read_bytes())["entry"]:
            claimed = entry["resource"].get("meta", {}).get("profile", [])
            claims += len(claimed)
            for issue in profiles.claimed(entry["resource"]):
                if issue.severity == "error" or issue.expression[0].endswith("profile[0]"):
                    found.add((claimed[0].rpartition("/")[2], issue.code, *issue.expression))

    assert claims > 1_000
    assert found == set()


@pytest.mark.parametrize(
    ("caller", "expected"),
    [("operator", ()), ("patient", ()), ("measures", (f"{MESURES}/mesures-fr-observation-body-weight",))],
)
def test_services_demand_their_profiles_and_the_operator_none(caller: str, expected: tuple[str, ...]) -> None:
    """README.md: FHIR_SERVER_DEMANDED_PROFILES; validation/demands.py"""
    assert demands.demanded(WEIGHT, caller) == expected


def test_every_demand_is_a_profile_that_is_known_of_its_type() -> None:
    """README.md: FHIR_SERVER_DEMANDED_PROFILES; validation/demands.py"""
    for types in demands.SERVICES.values():
        for type, urls in types.items():
            for url in set(urls) - {demands.MEASURES, demands.PDSM}:
                assert carried_profiles()[url]["type"] == type
    codes = {f"{MESURES}/{name}" for name in set(demands._MEASURE_OF.values())}
    assert codes <= set(carried_profiles())


def test_a_document_is_of_the_profile_that_its_place_tells() -> None:
    """PDSm: ITI-105 holds the document in `data`, ITI-65 in a Binary"""
    for resource, name in (
        (DOCUMENT_SIMPLIFIED, "pdsm-simplified-publish"),
        (DOCUMENT_COMPREHENSIVE, "pdsm-comprehensive-document-reference"),
    ):
        assert demands.demanded(resource, "dossier") == (f"{PDSM}/{name}",)


def test_a_measure_is_known_by_its_code() -> None:
    """Mesures de santé: code"""
    assert demands.measure(WEIGHT) == f"{MESURES}/mesures-fr-observation-body-weight"
    assert demands.demanded(edited(WEIGHT, {"code": {"text": "Poids"}}), "measures") == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [("somebody:Patient=urn:x", "unknown caller"), ("patient:Patiant=urn:x", "unknown resource type")],
)
def test_a_setting_that_cannot_be_read_says_why(text: str, words: str) -> None:
    """README.md, FHIR_SERVER_DEMANDED_PROFILES: which profiles are demanded is a setting"""
    with pytest.raises(ValueError, match=words):
        demands.read(text)


def test_a_setting_changes_what_it_names_and_nothing_else() -> None:
    """README.md, FHIR_SERVER_DEMANDED_PROFILES: which profiles are demanded is a setting"""
    table = demands.read("backend:Observation=MEASURES,urn:x dossier:DocumentReference=")

    assert demands.demanded(WEIGHT, "backend", table) == (f"{MESURES}/mesures-fr-observation-body-weight", "urn:x")
    assert demands.demanded({"resourceType": "DocumentReference"}, "dossier", table) == ()
    assert table["messaging"] == demands.SERVICES["messaging"]
