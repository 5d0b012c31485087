"""JSON Patch and FHIRPath Patch.  R4: http.html#patch, fhirpatch.html; RFC 6902"""

import copy
import re

import pytest

from fhir_server.fhir import json, patch
from fhir_server.fhir.json import FhirDecimal
from fhir_server.fhir.outcome import BadRequest, FhirError, TooLarge, Unprocessable


def resource(**elements):
    return {"resourceType": "Basic", "id": "1", **elements}


def op(op, path, *value, **members):
    return {"op": op, "path": path, **members, **({"value": value[0]} if value else {})}


# What RFC 6902 and its appendix A ask, and what the public json-patch tests check, told again on a resource.
JSON_CASES = {
    "nothing to do": ({"a": 1}, [], {"a": 1}),
    "add replaces a member": ({"a": None}, [op("add", "/a", 1)], {"a": 1}),
    "add a member": ({"a": 1}, [op("add", "/b", [1, 2])], {"a": 1, "b": [1, 2]}),
    "add false": ({"a": 1}, [op("add", "/b", False)], {"a": 1, "b": False}),
    "add null": ({"a": 1}, [op("add", "/b", None)], {"a": 1, "b": None}),
    "add inside": ({"b": [{"q": "h"}]}, [op("add", "/b/0/f", "w")], {"b": [{"q": "h", "f": "w"}]}),
    "add at the start of a list": ({"a": ["x", "y"]}, [op("add", "/a/0", "z")], {"a": ["z", "x", "y"]}),
    "add in a list": ({"a": ["x", "y"]}, [op("add", "/a/1", "z")], {"a": ["x", "z", "y"]}),
    "add at the end by index": ({"a": ["x"]}, [op("add", "/a/1", "z")], {"a": ["x", "z"]}),
    "add at the end by -": (
        {"a": [1, [2, [3]]]},
        [op("add", "/a/1/1/-", {"f": [4]})],
        {"a": [1, [2, [3, {"f": [4]}]]]},
    ),
    "a list is added as one": ({"a": ["x"]}, [op("add", "/a/0", ["b", "c"])], {"a": [["b", "c"], "x"]}),
    "a number may be a name": ({"a": {}}, [op("add", "/a/0", 1)], {"a": {"0": 1}}),
    "1e0 may be a name": ({"1e0": "x"}, [op("test", "/1e0", "x")], {"1e0": "x"}),
    "the empty name": ({"": 1}, [op("test", "/", 1), op("add", "/b", {"c": {"": 2}})], {"": 1, "b": {"c": {"": 2}}}),
    "escapes": (
        {"a/b": 1, "m~n": 8, "~1": 10, "c%d": 2},
        [op("test", "/a~1b", 1), op("test", "/m~0n", 8), op("test", "/~01", 10), op("test", "/c%d", 2)],
        {"a/b": 1, "m~n": 8, "~1": 10, "c%d": 2},
    ),
    "remove a member": ({"a": 1, "b": [1]}, [op("remove", "/b")], {"a": 1}),
    "remove a null": ({"a": None}, [op("remove", "/a")], {}),
    "remove twice": ({"a": [1, 2, 3, 4]}, [op("remove", "/a/1"), op("remove", "/a/2")], {"a": [1, 3]}),
    "replace": ({"a": 1, "b": [{"q": "h"}]}, [op("replace", "/b/0/q", "w")], {"a": 1, "b": [{"q": "w"}]}),
    "replace in a list": ({"a": ["x", "y"]}, [op("replace", "/a/1", ["b"])], {"a": ["x", ["b"]]}),
    "replace by null": ({"a": "x"}, [op("replace", "/a", None)], {"a": None}),
    "replace the whole": ({"a": 1}, [op("replace", "", resource(b=2))], {"b": 2}),
    "move": ({"a": 1, "b": 2}, [op("move", "/c", **{"from": "/a"})], {"b": 2, "c": 1}),
    "move into a list": (
        {"b": [{"q": "h", "r": 1}]},
        [op("move", "/b/1", **{"from": "/b/0/q"})],
        {"b": [{"r": 1}, "h"]},
    ),
    "move in a list": ({"a": [1, 2, 3, 4]}, [op("move", "/a/3", **{"from": "/a/1"})], {"a": [1, 3, 4, 2]}),
    "move to where it is": ({"a": 1}, [op("move", "/a", **{"from": "/a"})], {"a": 1}),
    "copy": ({"b": [{"q": "h"}]}, [op("copy", "/c", **{"from": "/b/0"})], {"b": [{"q": "h"}], "c": {"q": "h"}}),
    "copy a list": ({"a": ["x", 1]}, [op("copy", "/b", **{"from": "/a"})], {"a": ["x", 1], "b": ["x", 1]}),
    "a copy is its own": (
        {"a": {"x": 1}},
        [op("copy", "/b", **{"from": "/a"}), op("replace", "/b/x", 2)],
        {"a": {"x": 1}, "b": {"x": 2}},
    ),
    "test in any order": ({"a": [{"x": 1, "y": 2}]}, [op("test", "/a", [{"y": 2, "x": 1}])], {"a": [{"x": 1, "y": 2}]}),
    "test null": ({"a": None}, [op("test", "/a", None)], {"a": None}),
    "members of no meaning": ({"a": 1}, [op("test", "/a", 1, spurious=1)], {"a": 1}),
    "what is emptied goes": (
        {"a": [{"b": [1]}], "c": 1},
        [op("remove", "/a/0/b/0")],
        {"c": 1},
    ),
    "emptied and filled again": ({"a": [1]}, [op("remove", "/a/0"), op("add", "/a/-", 2)], {"a": [2]}),
    "extensions keep their places": (
        {"a": ["x", "y"], "_a": [{"extension": [1]}, {"id": "i"}]},
        [op("remove", "/_a/0/extension/0")],
        {"a": ["x", "y"], "_a": [None, {"id": "i"}]},
    ),
    "the last extension of a primitive": (
        {"a": 1, "_a": {"extension": [1]}},
        [op("remove", "/_a/extension/0")],
        {"a": 1},
    ),
    "the last extension of a list": (
        {"a": ["x", "y"], "_a": [None, {"id": "i"}]},
        [op("remove", "/_a/1/id")],
        {"a": ["x", "y"]},
    ),
}


@pytest.mark.parametrize("elements, operations, expected", JSON_CASES.values(), ids=JSON_CASES.keys())
def test_json_patch(elements, operations, expected):
    """RFC 6902 s. 4, app. A"""
    before = resource(**elements)
    untouched = copy.deepcopy((before, operations))
    assert patch.json_patch(before, operations) == resource(**expected)
    assert (before, operations) == untouched


@pytest.mark.parametrize(
    "operation",
    [
        op("add", "/list/8", 5),
        op("add", "/list/-1", 5),
        op("add", "/list/name", 5),
        op("add", "/list/1e0", 5),
        op("add", "/list/01", 5),
        op("add", "/none/a", 5),
        op("add", "/text/a", 5),
        op("add", "/number/a", 5),
        op("add", "/null/a", 5),
        op("remove", "/none"),
        op("remove", "/list/2"),
        op("remove", "/list/-"),
        op("remove", "/list/1e0"),
        op("remove", ""),
        op("replace", "/none", 1),
        op("replace", "/none/a", 1),
        op("replace", "/list/2", 1),
        op("replace", "/list/-", 1),
        op("move", "/a", **{"from": "/none"}),
        op("move", "/a", **{"from": "/list/1e0"}),
        op("move", "/object/a/b", **{"from": "/object"}),
        op("copy", "/a", **{"from": "/none"}),
        op("copy", "/a", **{"from": "/list/7"}),
        op("test", "/number", 2),
        op("test", "/number", True),
        op("test", "/number", "1"),
        op("test", "/null", False),
        op("test", "/none", None),
        op("test", "/list/00", 1),
        op("test", "/list", [1]),
        op("test", "/object", {"a": 1}),
    ],
    ids=str,
)
def test_json_patch_that_does_not_apply(operation):
    """RFC 6902 s. 5: the whole patch fails; the fault names the operation and its pointer, never the document."""
    before = resource(list=[1, 2], text="secret", number=1, null=None, object={"a": 1, "b": 2})
    untouched = copy.deepcopy(before)
    with pytest.raises(
        Unprocessable, match=re.escape(f"Operation 1 (`{operation['op']}` at `{operation['path']}`)")
    ) as fault:
        patch.json_patch(before, [op("add", "/first", 1), operation])
    assert "secret" not in str(fault.value)
    assert before == untouched


@pytest.mark.parametrize(
    "operations",
    [
        ["text"],
        [{}],
        [{"path": "/a"}],
        [op("spam", "/a", 1)],
        [{"op": ["add"], "path": "/a", "value": 1}],
        [{"op": "add", "value": 1}],
        [op("add", "/a")],
        [op("replace", "/a")],
        [op("test", "/a")],
        [op("copy", "/a")],
        [op("move", "/a")],
        [op("add", "a", 1)],
        [op("add", 1, 1)],
        [op("add", "/a~2", 1)],
        [op("move", "/a", **{"from": "b"})],
        [op("move", "/a", **{"from": None})],
        [op("test", "/a" * 101, 1)],
    ],
    ids=str,
)
def test_a_malformed_json_patch(operations):
    """RFC 6902 s. 4: told before anything is tried."""
    with pytest.raises(BadRequest, match="Operation 1"):
        patch.json_patch(resource(), [op("remove", "/none"), *operations])


def test_json_patch_compares_numbers_by_value_and_keeps_digits():
    """RFC 6902 s. 4.6; R4 datatypes.html#decimal"""
    before = resource(a=FhirDecimal("1.50"), b=FhirDecimal("1.0"))
    operations = patch.parse_json_patch(
        b'[{"op":"test","path":"/a","value":1.5},{"op":"test","path":"/b","value":1},'
        b'{"op":"add","path":"/c","value":0.00010},{"op":"copy","from":"/a","path":"/d"}]'
    )
    result = patch.json_patch(before, operations)
    assert json.dumps(result) == b'{"resourceType":"Basic","id":"1","a":1.50,"b":1.0,"c":0.00010,"d":1.50}'


@pytest.mark.parametrize("data", [b"{}", b"1", b"[", b"", b'[{"op":"add","op":"remove"}]'])
def test_a_json_patch_is_an_array(data):
    """RFC 6902 s. 3; two `op` in one operation have no meaning."""
    with pytest.raises(BadRequest):
        patch.parse_json_patch(data)


@pytest.mark.parametrize(
    "operation",
    [
        op("replace", "/id", "2"),
        op("remove", "/id"),
        op("replace", "/resourceType", "Patient"),
        op("move", "/a", **{"from": "/resourceType"}),
        op("replace", "", {"resourceType": "Basic", "id": "2"}),
        op("replace", "", []),
        op("add", "", None),
    ],
    ids=str,
)
def test_json_patch_keeps_type_and_id(operation):
    """R4 http.html#patch"""
    with pytest.raises(Unprocessable, match="may not change"):
        patch.json_patch(resource(), [operation])


def test_copies_do_not_grow_without_end():
    """Forty copies of a copy would be a million million values."""
    doubling = [op("copy", f"/a/{level}", **{"from": "/a"}) for level in range(40)]
    with pytest.raises(TooLarge, match="copies"):
        patch.json_patch(resource(a={"x": "y" * 100}), doubling)


def test_a_patch_does_not_nest_without_end():
    deeper = [op("move", "/b", **{"from": "/a"}), op("add", "/a", {"x": {}}), op("move", "/a/x/y", **{"from": "/b"})]
    with pytest.raises(Unprocessable, match="nested deeper"):
        patch.json_patch(resource(a=1), deeper * 60)
    with pytest.raises(Unprocessable, match="nested too deeply"):
        patch.json_patch(resource(a=1), [*deeper * 600, op("copy", "/c", **{"from": "/a"})])


def test_a_patch_has_a_bounded_number_of_operations():
    with pytest.raises(TooLarge):
        patch.json_patch(resource(), [op("add", "/a", 1)] * (patch.MOST_OPERATIONS + 1))


# ------------------------------------------------------------------------------------------------- FHIRPath Patch


def part(name, **value):
    return {"name": name, **value}


def operation(type, path, *parts):
    return part("operation", part=[part("type", valueCode=type), part("path", valueString=path), *parts])


def add(path, name, **value):
    return operation("add", path, part("name", valueString=name), part("value", **value))


def insert(path, index, **value):
    return operation("insert", path, part("index", valueInteger=index), part("value", **value))


def delete(path):
    return operation("delete", path)


def replace(path, **value):
    return operation("replace", path, part("value", **value))


def move(path, source, destination):
    return operation("move", path, part("source", valueInteger=source), part("destination", valueInteger=destination))


def patient(**elements):
    return {"resourceType": "Patient", "id": "1", **elements}


def apply(before, *operations):
    return patch.fhirpath_patch(before, {"resourceType": "Parameters", "parameter": list(operations)})


def identifiers(*values):
    return [{"system": "http://example.org", "value": value} for value in values]


EXTENSION = {"url": "http://x", "valueCode": "a"}
EXTENSION_PARTS = [part("url", valueUri="http://x"), part("value", valueCode="a")]
CONTACT = {"name": {"text": "a name"}, "gender": "male"}

# The cases of the public test suite for FHIRPath Patch, told again in JSON, and those it does not have.
FHIRPATH_CASES = {
    "no difference": (patient(birthDate="1920-01-01"), [], patient(birthDate="1920-01-01")),
    "replace a primitive": (
        patient(birthDate="1920-01-01"),
        [replace("Patient.birthDate", valueDate="1930-01-01")],
        patient(birthDate="1930-01-01"),
    ),
    "delete a primitive": (patient(birthDate="1920-01-01"), [delete("Patient.birthDate")], patient()),
    "add a primitive": (patient(), [add("Patient", "birthDate", valueDate="1930")], patient(birthDate="1930")),
    "replace inside": (
        patient(contact=[CONTACT]),
        [replace("Patient.contact[0].gender", valueCode="female")],
        patient(contact=[{**CONTACT, "gender": "female"}]),
    ),
    "replace deeper inside": (
        patient(contact=[CONTACT]),
        [replace("Patient.contact[0].name.text", valueString="the name")],
        patient(contact=[{**CONTACT, "name": {"text": "the name"}}]),
    ),
    "delete inside": (
        patient(contact=[CONTACT]),
        [delete("Patient.contact[0].gender")],
        patient(contact=[{"name": {"text": "a name"}}]),
    ),
    "delete takes what it empties": (
        patient(contact=[CONTACT]),
        [delete("Patient.contact[0].name.text")],
        patient(contact=[{"gender": "male"}]),
    ),
    "delete takes all that it empties": (
        patient(contact=[{"name": {"text": "a"}}]),
        [delete("Patient.contact.name.text")],
        patient(),
    ),
    "add inside": (
        patient(contact=[{"name": {"text": "a"}}]),
        [add("Patient.contact[0]", "gender", valueCode="male")],
        patient(contact=[{"name": {"text": "a"}, "gender": "male"}]),
    ),
    "add a complex element": (
        patient(),
        [add("Patient", "maritalStatus", valueCodeableConcept={"text": "married"})],
        patient(maritalStatus={"text": "married"}),
    ),
    "replace a complex element": (
        patient(maritalStatus={"id": "1", "text": "married"}),
        [replace("Patient.maritalStatus", valueCodeableConcept={"id": "2", "text": "not married"})],
        patient(maritalStatus={"id": "2", "text": "not married"}),
    ),
    "delete a complex element": (patient(maritalStatus={"text": "a"}), [delete("Patient.maritalStatus")], patient()),
    "add an anonymous type": (
        patient(),
        [add("Patient", "contact", part=[part("name", valueHumanName={"text": "a name"})])],
        patient(contact=[{"name": {"text": "a name"}}]),
    ),
    "delete an anonymous type": (patient(contact=[CONTACT]), [delete("Patient.contact[0]")], patient()),
    "lists of the same": (
        patient(identifier=identifiers("1", "2")),
        [
            replace("Patient.identifier[0].value", valueString="2"),
            replace("Patient.identifier[1].value", valueString="1"),
        ],
        patient(identifier=identifiers("2", "1")),
    ),
    "insert at the end": (
        patient(identifier=identifiers("1", "2")),
        [insert("Patient.identifier", 2, valueIdentifier=identifiers("3")[0])],
        patient(identifier=identifiers("1", "2", "3")),
    ),
    "insert in the middle": (
        patient(identifier=identifiers("1", "2")),
        [insert("Patient.identifier", 1, valueIdentifier=identifiers("3")[0])],
        patient(identifier=identifiers("1", "3", "2")),
    ),
    "insert at the start": (
        patient(identifier=identifiers("1", "2")),
        [insert("Patient.identifier", 0, valueIdentifier=identifiers("3")[0])],
        patient(identifier=identifiers("3", "1", "2")),
    ),
    "insert in a list that is not there": (
        patient(),
        [insert("Patient.identifier", 0, valueIdentifier=identifiers("3")[0])],
        patient(identifier=identifiers("3")),
    ),
    "delete the first": (
        patient(identifier=identifiers("1", "2", "3")),
        [delete("Patient.identifier[0]")],
        patient(identifier=identifiers("2", "3")),
    ),
    "delete the last": (
        patient(identifier=identifiers("1", "2", "3")),
        [delete("Patient.identifier.last()")],
        patient(identifier=identifiers("1", "2")),
    ),
    "move up": (
        patient(identifier=identifiers("1", "2", "3", "4")),
        [move("Patient.identifier", 3, 1)],
        patient(identifier=identifiers("1", "4", "2", "3")),
    ),
    "move to the start": (
        patient(identifier=identifiers("1", "2", "3", "4")),
        [move("Patient.identifier", 3, 0)],
        patient(identifier=identifiers("4", "1", "2", "3")),
    ),
    "move down": (
        patient(identifier=identifiers("1", "2", "3", "4")),
        [move("Patient.identifier", 0, 3)],
        patient(identifier=identifiers("2", "3", "4", "1")),
    ),
    "move twice": (
        patient(identifier=identifiers("1", "2", "3", "4")),
        [move("Patient.identifier", 1, 0), move("Patient.identifier", 2, 1)],
        patient(identifier=identifiers("2", "3", "1", "4")),
    ),
    "turn round": (
        patient(identifier=identifiers("1", "2", "3", "4")),
        [move("Patient.identifier", 3, 0), move("Patient.identifier", 3, 1), move("Patient.identifier", 3, 2)],
        patient(identifier=identifiers("4", "3", "2", "1")),
    ),
    "add to a list that is not there": (
        patient(),
        [add("Patient", "identifier", valueIdentifier=identifiers("3")[0])],
        patient(identifier=identifiers("3")),
    ),
    "add to a list": (
        patient(identifier=identifiers("1")),
        [add("Patient", "identifier", valueIdentifier=identifiers("2")[0])],
        patient(identifier=identifiers("1", "2")),
    ),
    "the narrative": (
        patient(text={"status": "generated", "div": "<div>a</div>"}),
        [replace("Patient.text.div", valueString="<div>b</div>")],
        patient(text={"status": "generated", "div": "<div>b</div>"}),
    ),
    "by criterion": (
        patient(name=[{"use": "usual", "given": ["Jim"]}, {"use": "official", "family": "Chalmers"}]),
        [replace("Patient.name.where(use = 'official').family", valueString="Chalmers1")],
        patient(name=[{"use": "usual", "given": ["Jim"]}, {"use": "official", "family": "Chalmers1"}]),
    ),
    "delete of nothing": (
        patient(active=True),
        [delete("Patient.birthDate"), delete("Patient.name[3]")],
        patient(active=True),
    ),
    "add a choice by its name": (
        patient(),
        [add("Patient", "deceased", valueDateTime="2020")],
        patient(deceasedDateTime="2020"),
    ),
    "add a choice by its JSON name": (
        patient(),
        [add("Patient", "deceasedBoolean", valueBoolean=False)],
        patient(deceasedBoolean=False),
    ),
    "delete a choice": (patient(deceasedBoolean=False), [delete("Patient.deceased")], patient()),
    "replace keeps the type of a choice or changes it": (
        patient(deceasedBoolean=True, _deceasedBoolean={"id": "a"}, active=True),
        [replace("Patient.deceased", valueDateTime="2020")],
        patient(deceasedDateTime="2020", active=True),
    ),
    "a decimal for an integer is told by the structure check, an integer for a decimal is fine": (
        {"resourceType": "Observation", "valueQuantity": {"value": 1}},
        [replace("Observation.value.value", valueInteger=2)],
        {"resourceType": "Observation", "valueQuantity": {"value": 2}},
    ),
    "a duration is a quantity": (
        {"resourceType": "Encounter"},
        [add("Encounter", "length", valueDuration={"value": 1})],
        {"resourceType": "Encounter", "length": {"value": 1}},
    ),
    "add a primitive with an extension": (
        patient(),
        [add("Patient", "birthDate", valueDate="1930", _valueDate={"extension": [EXTENSION]})],
        patient(birthDate="1930", _birthDate={"extension": [EXTENSION]}),
    ),
    "add a primitive that is only an extension": (
        patient(),
        [add("Patient", "birthDate", _valueDate={"extension": [EXTENSION]})],
        patient(_birthDate={"extension": [EXTENSION]}),
    ),
    "add an extension to a primitive": (
        patient(birthDate="1930"),
        [add("Patient.birthDate", "extension", part=EXTENSION_PARTS)],
        patient(birthDate="1930", _birthDate={"extension": [EXTENSION]}),
    ),
    "insert an extension of a primitive": (
        patient(birthDate="1930"),
        [insert("Patient.birthDate.extension", 0, part=EXTENSION_PARTS)],
        patient(birthDate="1930", _birthDate={"extension": [EXTENSION]}),
    ),
    "delete the extension of a primitive": (
        patient(deceasedBoolean=False, _deceasedBoolean={"extension": [EXTENSION]}),
        [delete("Patient.deceased.extension('http://x')")],
        patient(deceasedBoolean=False),
    ),
    "delete a primitive that is only an extension": (
        patient(name=[{"_given": [{"extension": [EXTENSION]}]}], active=True),
        [delete("Patient.name.given.extension")],
        patient(active=True),
    ),
    "replace a primitive with its extensions": (
        patient(birthDate="1930", _birthDate={"extension": [EXTENSION]}),
        [replace("Patient.birthDate", valueDate="1931")],
        patient(birthDate="1931"),
    ),
    "replace the value of an extension": (
        patient(extension=[EXTENSION, {"url": "http://y", "valueCode": "b"}]),
        [replace("Patient.extension('http://x').value", valueString="c")],
        patient(extension=[{"url": "http://x", "valueString": "c"}, {"url": "http://y", "valueCode": "b"}]),
    ),
    "lists of primitives and of their extensions run side by side": (
        patient(name=[{"given": ["a", "b"], "_given": [None, {"id": "b"}]}]),
        [
            insert("Patient.name[0].given", 1, valueString="c", _valueString={"id": "c"}),
            move("Patient.name[0].given", 2, 0),
            add("Patient.name[0]", "given", valueString="d"),
            delete("Patient.name[0].given.where($this = 'a')"),
        ],
        patient(name=[{"given": ["b", "c", "d"], "_given": [{"id": "b"}, {"id": "c"}, None]}]),
    ),
    "the last id of a list of primitives": (
        patient(name=[{"given": ["a", "b"], "_given": [None, {"id": "b"}]}]),
        [delete("Patient.name.given.last()")],
        patient(name=[{"given": ["a"]}]),
    ),
    "nested parts": (
        patient(),
        [
            add(
                "Patient",
                "contact",
                part=[
                    part("relationship", valueCodeableConcept={"text": "a"}),
                    part("relationship", valueCodeableConcept={"text": "b"}),
                    part("name", part=[part("given", valueString="c"), part("given", valueString="d")]),
                ],
            )
        ],
        patient(contact=[{"relationship": [{"text": "a"}, {"text": "b"}], "name": {"given": ["c", "d"]}}]),
    ),
    "a choice among the parts": (
        {"resourceType": "Observation"},
        [
            add(
                "Observation",
                "component",
                part=[part("code", valueCodeableConcept={"text": "a"}), part("value", valueInteger=1)],
            )
        ],
        {"resourceType": "Observation", "component": [{"code": {"text": "a"}, "valueInteger": 1}]},
    ),
    "a contained resource": (
        patient(),
        [
            add("Patient", "contained", resource={"resourceType": "Organization", "id": "o"}),
            add("Patient.contained[0]", "name", valueString="x"),
        ],
        patient(contained=[{"resourceType": "Organization", "id": "o", "name": "x"}]),
    ),
    "one after the other": (
        patient(contact=[{"gender": "female"}]),
        [
            add("Patient", "contact", part=[part("gender", valueCode="male")]),
            add("Patient.contact[1]", "name", valueHumanName={"text": "a"}),
        ],
        patient(contact=[{"gender": "female"}, {"gender": "male", "name": {"text": "a"}}]),
    ),
}


@pytest.mark.parametrize("before, operations, expected", FHIRPATH_CASES.values(), ids=FHIRPATH_CASES.keys())
def test_fhirpath_patch(before, operations, expected):
    """R4 fhirpatch.html"""
    untouched = copy.deepcopy((before, operations))
    assert apply(before, *operations) == expected
    assert (before, operations) == untouched


def test_the_order_of_the_elements_stays():
    before = patient(deceasedBoolean=True, name=[{"text": "a"}], active=True)
    result = apply(
        before, replace("Patient.deceased", valueDateTime="2020"), replace("Patient.name", valueHumanName={})
    )
    assert list(result) == ["resourceType", "id", "deceasedDateTime", "name", "active"]


def test_fhirpath_patch_keeps_digits():
    """R4 datatypes.html#decimal"""
    before = {"resourceType": "Observation", "valueQuantity": {"value": FhirDecimal("1.50")}}
    result = apply(
        before, add("Observation", "component", part=[part("value", valueQuantity={"value": FhirDecimal("2.0")})])
    )
    assert json.dumps(result).endswith(b'{"value":1.50},"component":[{"valueQuantity":{"value":2.0}}]}')


@pytest.mark.parametrize(
    "refused, why",
    [
        (add("Patient.identifier.where(use = 'official').period", "end", valueDate="2021"), "no elements"),
        (add("Patient.identifier", "use", valueCode="usual"), "2 elements"),
        (add("Patient", "birthDate", valueDate="2021"), "there already"),
        (add("Patient", "deceased", valueDateTime="2021"), "there already"),
        (add("Patient", "nmae", valueString="a"), "`nmae` is not an element"),
        (add("Patient", "birthDate", valueHumanName={"text": "a"}), "its type: date"),
        (add("Patient", "active", valueString="true"), "its type: boolean"),
        (add("Patient", "multipleBirth", valueString="1"), "its type: boolean, integer"),
        (add("Patient", "multipleBirth", part=[part("a", valueString="1")]), "its type: boolean, integer"),
        (add("Patient", "maritalStatus", valueCoding={"code": "M"}), "its type: CodeableConcept"),
        (
            add("Patient", "contact", part=[part("nmae", valueString="1")]),
            "`nmae` is not an element of Patient.contact",
        ),
        (add("Patient", "contact", part=[part("gender", valueCode=code) for code in "ab"]), "given twice"),
        (add("Patient.identifier[0].id", "extension", part=EXTENSION_PARTS), "has no extensions"),
        (insert("Patient.identifier", 3, valueIdentifier={}), "outside the list, which has 2"),
        (insert("Patient.identifier", -1, valueIdentifier={}), "outside the list"),
        (insert("Patient.birthDate", 0, valueDate="2000"), "not a list"),
        (insert("Patient.identifier[0]", 0, valueIdentifier={}), "name of a list"),
        (insert("Patient", 0, valueIdentifier={}), "name of a list"),
        (insert("Patient.identifier.extension", 0, part=EXTENSION_PARTS), "2 elements"),
        (insert("Patient.contact.telecom", 0, valueContactPoint={}), "no elements"),
        (insert("Patient.identifier", 0, valueHumanName={}), "its type: Identifier"),
        (delete("Patient.identifier"), "2 elements"),
        (delete("Patient"), "resource as a whole"),
        (delete("Patient.nmae"), "`nmae` is not an element"),
        (delete("Patient.id"), "may not change"),
        (replace("Patient.gender", valueCode="male"), "no elements"),
        (replace("Patient.identifier", valueIdentifier={}), "2 elements"),
        (replace("Patient", resource={"resourceType": "Patient"}), "resource as a whole"),
        (replace("Patient.birthDate", valueBoolean=True), "its type: date"),
        (replace("Patient.id", valueId="2"), "may not change"),
        (move("Patient.identifier", 2, 0), "source 2 is outside"),
        (move("Patient.identifier", 0, 2), "destination 2 is outside"),
        (move("Patient.identifier", -1, 0), "source -1 is outside"),
        (move("Patient.name", 0, 0), "source 0 is outside the list, which has 0"),
        (move("Patient.birthDate", 0, 0), "not a list"),
    ],
    ids=str,
)
def test_fhirpath_patch_that_does_not_apply(refused, why):
    """R4 fhirpatch.html: one element, of the right type, in the list; nothing changes, and the operation is named."""
    before = patient(identifier=[{"id": "a", "value": "1"}, {"value": "2"}], birthDate="2000", deceasedBoolean=False)
    untouched = copy.deepcopy(before)
    with pytest.raises(Unprocessable, match=why) as fault:
        apply(before, delete("Patient.active"), refused)
    (issue,) = fault.value.issues
    assert issue.expression == ("Parameters.parameter[1]",)
    assert issue.diagnostics.startswith("Operation 1 (`")
    assert before == untouched


@pytest.mark.parametrize(
    "refused, why",
    [
        ("text", "named `operation`"),
        (part("other"), "named `operation`"),
        (part("operation"), "no `type`"),
        (part("operation", part={}), "`part` is a list"),
        (part("operation", part=["a"]), "has a name"),
        (operation("upsert", "Patient"), "known: add, insert, delete, replace, move"),
        (operation("add", "Patient", part("value", valueString="a")), "`add` needs `name`"),
        (operation("add", "Patient", part("name", valueString="active")), "`add` needs `value`"),
        (operation("insert", "Patient.name", part("value", valueString="a")), "`insert` needs `index`"),
        (operation("replace", "Patient.active"), "`replace` needs `value`"),
        (operation("move", "Patient.name", part("source", valueInteger=1)), "`move` needs `destination`"),
        (part("operation", part=[part("type", valueCode="delete")]), "`delete` needs `path`"),
        (operation("delete", "Patient.name", part("index", valueInteger=1)), "`delete` has no `index`"),
        (operation("delete", "Patient.name", part("path", valueString="a")), "given twice"),
        (operation("delete", "Patient.name", part("other", valueString="a")), "unknown part `other`"),
        (operation("delete", 1), "`path` is a text"),
        (insert("Patient.name", "1", valueHumanName={}), "`index` is a whole number"),
        (insert("Patient.name", True, valueHumanName={}), "`index` is a whole number"),
        (insert("Patient.name", FhirDecimal("1.0"), valueHumanName={}), "`index` is a whole number"),
        (add("Patient", "active"), "`value` has one value"),
        (add("Patient", "active", valueBoolean=True, valueString="a"), "`value` has one value"),
        (add("Patient", "active", valueBoolean=None), "`value` has no value"),
        (add("Patient", "active", valueNothing=1), "`valueNothing` is not a value"),
        (add("Patient", "contact", part=[]), "`value` has no parts"),
        (delete("Patient.name[x]"), "Not a path"),
        (delete("Patient.name.where(text.matches('(a+)+'))"), "`matches` cannot be used"),
        (delete("Patient.generalPractitioner.resolve()"), "cannot be used in the path"),
    ],
    ids=str,
)
def test_a_malformed_fhirpath_patch(refused, why):
    """R4 fhirpatch.html, parameters.html"""
    with pytest.raises(BadRequest, match=re.escape(why)) as fault:
        apply(patient(), delete("Patient.active"), refused)
    (issue,) = fault.value.issues
    assert issue.expression == ("Parameters.parameter[1]",)
    assert issue.diagnostics.startswith("Operation 1")


@pytest.mark.parametrize(
    "parameters", [{}, {"resourceType": "Patient"}, {"resourceType": "Parameters", "parameter": {}}]
)
def test_what_is_not_parameters(parameters):
    with pytest.raises(BadRequest):
        patch.fhirpath_patch(patient(), parameters)


def test_a_fhirpath_patch_has_a_bounded_size():
    with pytest.raises(FhirError, match="at most"):
        apply(patient(), *[delete("Patient.active")] * (patch.MOST_OPERATIONS + 1))
    deeper = [add("Patient" + ".extension" * level, "extension", part=EXTENSION_PARTS[:1]) for level in range(110)]
    with pytest.raises(Unprocessable, match="nested deeper"):
        apply(patient(), *deeper)
