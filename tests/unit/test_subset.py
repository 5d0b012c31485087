"""_summary and _elements.  R4: search.html#summary, search.html#elements"""

import copy

import pytest

from fhir_server.fhir.subset import SUBSETTED, elements, summarise

OBSERVATION = {
    "resourceType": "Observation",
    "id": "1",
    "meta": {"versionId": "2", "tag": [{"code": "mine"}]},
    "implicitRules": "http://example.org/rules",
    "language": "fr",
    "text": {"status": "generated", "div": "<div>x</div>"},
    "contained": [{"resourceType": "Patient", "id": "p"}],
    "extension": [{"url": "http://x", "valueCode": "a"}],
    "modifierExtension": [{"url": "http://m", "valueCode": "a"}],
    "status": "final",
    "_status": {"extension": [{"url": "http://x", "valueCode": "a"}]},
    "category": [{"text": "c"}],
    "code": {
        "extension": [{"url": "http://x", "valueCode": "a"}],
        "text": "Poids",
        "coding": [{"code": "1", "id": "z"}],
    },
    "subject": {"reference": "#p"},
    "_effectiveDateTime": {"extension": [{"url": "http://x", "valueCode": "unknown"}]},
    "valueQuantity": {"value": 1, "unit": "kg", "id": "q"},
    "note": [{"text": "n"}],
    "component": [
        {"code": {"text": "k"}, "valueInteger": 1, "interpretation": [{"text": "i"}]},
        {"code": {"text": "l"}, "extension": [{"url": "http://x", "valueCode": "a"}]},
    ],
}


def subset_meta(**meta):
    return {**meta, "tag": [{"code": "mine"}, SUBSETTED]}


def test_summary_true():
    """Elements marked isSummary, recursively; modifiers and mandatory elements stay; extensions go."""
    before = copy.deepcopy(OBSERVATION)
    assert summarise(OBSERVATION, "true") == {
        "resourceType": "Observation",
        "id": "1",
        "meta": subset_meta(versionId="2"),
        "implicitRules": "http://example.org/rules",
        "modifierExtension": [{"url": "http://m", "valueCode": "a"}],
        "status": "final",
        "code": {"text": "Poids", "coding": [{"code": "1"}]},
        "subject": {"reference": "#p"},
        "_effectiveDateTime": {"extension": [{"url": "http://x", "valueCode": "unknown"}]},
        "valueQuantity": {"value": 1, "unit": "kg"},
        "component": [{"code": {"text": "k"}, "valueInteger": 1}, {"code": {"text": "l"}}],
    }
    assert before == OBSERVATION


def test_summary_text():
    """R4 search.html#summary: text, id, meta and the mandatory elements at the top."""
    part = summarise(OBSERVATION, "text")
    assert list(part) == [
        "resourceType",
        "id",
        "meta",
        "implicitRules",
        "text",
        "modifierExtension",
        "status",
        "_status",
        "code",
    ]
    assert part["code"] == OBSERVATION["code"]


def test_summary_data():
    """R4 search.html#summary: everything but the narrative."""
    part = summarise(OBSERVATION, "data")
    assert set(OBSERVATION) - set(part) == {"text"}
    assert part["meta"] == subset_meta(versionId="2")


@pytest.mark.parametrize("mode", ["false", "count", "other"])
def test_other_modes_are_not_parts_of_a_resource(mode):
    with pytest.raises(KeyError):
        summarise(OBSERVATION, mode)


@pytest.mark.parametrize(
    "names",
    [
        ["subject", "value"],
        ["Observation.subject", "Observation.value"],
        ["subject.reference", "valueQuantity", "Patient.note"],
    ],
)
def test_elements(names):
    """R4 search.html#elements: those asked for, mandatory ones and modifiers."""
    part = elements(OBSERVATION, names)
    assert set(part) == {
        "resourceType",
        "id",
        "meta",
        "implicitRules",
        "modifierExtension",
        "status",
        "_status",
        "code",
        "subject",
        "valueQuantity",
    }
    assert part["valueQuantity"] == OBSERVATION["valueQuantity"]


def test_elements_brings_the_extensions_of_a_primitive():
    """R4 json.html#primitive"""
    patient = {"resourceType": "Patient", "birthDate": "2000", "_birthDate": {"id": "a"}, "gender": "male"}
    assert elements(patient, ["birthDate"]) == {
        "resourceType": "Patient",
        "meta": {"tag": [SUBSETTED]},
        "birthDate": "2000",
        "_birthDate": {"id": "a"},
    }


def test_meta_follows_the_id_and_is_tagged_once():
    """R4 search.html#summary: the tag SUBSETTED"""
    patient = {"active": True, "id": "1", "resourceType": "Patient"}
    once = summarise(patient, "data")
    assert list(once) == ["resourceType", "id", "meta", "active"]
    assert summarise(once, "data") == once


def test_a_list_with_gaps_keeps_what_fills_them():
    """R4 json.html#primitive: null has its counterpart in `_given`."""
    gap = {"extension": [{"url": "http://x", "valueCode": "masked"}]}
    patient = {"resourceType": "Patient", "name": [{"given": [None, "Jim"], "_given": [gap, None]}]}
    assert summarise(patient, "true")["name"] == patient["name"]


def test_a_mandatory_element_is_never_emptied():
    """Patient.communication.language is mandatory, though no summary: a part must be a valid resource."""
    reply = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"extension": [{"url": "http://x", "valueCode": "a"}]},
    }
    assert summarise(reply, "true")["code"] == reply["code"]


def test_what_has_no_summary_inside_goes():
    name = [{"extension": [{"url": "http://x", "valueCode": "a"}]}]
    patient = {"resourceType": "Patient", "name": name, "managingOrganization": name[0]}
    assert set(summarise(patient, "true")) == {"resourceType", "meta"}


def test_resources_in_a_bundle_are_summarised_by_their_own_type():
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": OBSERVATION}]}
    resource = summarise(bundle, "true")["entry"][0]["resource"]
    assert resource["resourceType"] == "Observation" and resource["id"] == "1" and "note" not in resource
