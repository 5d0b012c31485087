"""The CapabilityStatement, held to its word: every line of it is run, and what it does not say is not there.

R4: capabilitystatement.html, http.html#capabilities
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from fhir_server.fhir import xml
from fhir_server.interactions import capabilities
from fhir_server.interactions.routes import ROUTES
from fhir_server.operations.registry import OPERATIONS, Operation, of_system, of_type
from fhir_server.search.compartment import compartment
from fhir_server.search.parameters import parameters
from fhir_server.search.parser import RESULT_PARAMETERS
from fhir_server.search.query import MOST_INCLUDES
from fhir_server.validation import structure
from tests.build import entry, least, transaction
from tests.calls import Caller, ids

SEARCHES = {
    "token": "a|b",
    "reference": "Patient/none",
    "date": "ge2020-01-01",
    "string": "a",
    "uri": "http://a.example",
    "quantity": "ge5.4|http://unitsofmeasure.org|mg",
    "special": "48.85|2.35|10|km",
}
#: A value for each modifier that wants another one than its parameter does.
MODIFIED = {"of-type": "a|b|c", "missing": "true"}
#: Modifiers that ask the terminologies: what these do not know cannot be answered, and is not passed over.
OF_TERMINOLOGIES = {"token": ("in", "not-in", "above", "below")}
FORMATS = {"application/fhir+json": "application/fhir+json", "application/fhir+xml": "application/fhir+xml",
           "json": "application/fhir+json", "xml": "application/fhir+xml"}  # fmt: skip
META = {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": {"tag": [{"code": "a"}]}}]}
JSON_PATCH = "application/json-patch+json"


@pytest.fixture(scope="module")
def statement(nobody: Caller) -> dict[str, Any]:
    """What the server says of itself."""
    found: dict[str, Any] = nobody.get("metadata")
    return found


def test_it_is_good_r4_in_both_formats(nobody: Caller, statement: dict[str, Any]) -> None:
    """R4 capabilitystatement.html"""
    assert structure.faults(statement) == []
    assert statement["fhirVersion"] == "4.0.1"
    answer = nobody("GET", "metadata", Accept="application/fhir+xml")
    assert xml.parse(answer.data) == statement
    assert nobody("HEAD", "metadata").headers["Content-Type"] == "application/fhir+json; charset=utf-8"


def test_it_says_every_route_type_parameter_and_operation(statement: dict[str, Any]) -> None:
    """What is there is said: the tables hold nothing that the statement leaves out."""
    (rest,) = statement["rest"]
    system = {interaction["code"] for interaction in rest["interaction"]}
    for resource in rest["resource"]:
        said = {interaction["code"] for interaction in resource["interaction"]} | system
        assert {route.interaction for route in ROUTES} <= said
        assert {parameter["name"] for parameter in resource["searchParam"]} == set(parameters(resource["type"]))
        offered = {operation.definition for operation in of_type(resource["type"])}
        assert {operation["definition"] for operation in resource.get("operation", ())} == offered
    assert {operation["definition"] for operation in rest.get("operation", ())} == {o.definition for o in of_system()}


def test_every_interaction_of_every_type(operator: Caller, statement: dict[str, Any]) -> None:
    """Each type × interaction of the statement is run and answers with success."""
    for resource in statement["rest"][0]["resource"]:
        type = resource["type"]
        sound = least(type)
        made = operator("POST", type, sound)
        assert made.status_code == 201, (type, made.text)
        id = made.json["id"]
        kept = {**sound, "id": id}
        patch = [{"op": "add", "path": "/language", "value": "fr"}]
        runs = {
            "create": lambda type=type, sound=sound: operator("POST", type, sound),
            "read": lambda type=type, id=id: operator("GET", f"{type}/{id}"),
            "vread": lambda type=type, id=id: operator("GET", f"{type}/{id}/_history/1"),
            "update": lambda type=type, id=id, kept=kept: operator("PUT", f"{type}/{id}", kept),
            "patch": lambda type=type, id=id, patch=patch: operator(
                "PATCH", f"{type}/{id}", patch, Content_Type=JSON_PATCH
            ),
            "history-instance": lambda type=type, id=id: operator("GET", f"{type}/{id}/_history"),
            "history-type": lambda type=type: operator("GET", f"{type}/_history?_count=1"),
            "search-type": lambda type=type, id=id: operator("GET", f"{type}?_id={id}"),
            "delete": lambda type=type, id=id: operator("DELETE", f"{type}/{id}"),
        }
        said = [interaction["code"] for interaction in resource["interaction"]]
        assert set(said) == set(runs)
        for code, run in runs.items():
            answer = run()
            assert answer.status_code in (200, 201, 204), (type, code, answer.text)
        assert operator("GET", f"{type}/{id}").status_code == 410
        assert resource["versioning"] == "versioned"
        _conditional(operator, resource, type, sound)


def _conditional(operator: Caller, resource: dict[str, Any], type: str, sound: dict[str, Any]) -> None:
    """The flags of the statement: each conditional form, and an update that creates."""
    id = f"cap-{type.lower()}"
    assert operator("DELETE", f"{type}/{id}").status_code == 204
    kept = {**sound, "id": id}
    assert resource["updateCreate"] is True
    assert operator("PUT", f"{type}/{id}", kept).status_code == 201
    assert resource["conditionalUpdate"] is True
    assert operator("PUT", f"{type}?_id={id}", kept).status_code == 200
    assert resource["conditionalCreate"] is True
    assert operator("POST", type, sound, If_None_Exist=f"_id={id}").status_code == 200
    assert resource["conditionalRead"] == "full-support"
    read = operator("GET", f"{type}/{id}")
    assert operator("GET", f"{type}/{id}", If_None_Match=read.headers["ETag"]).status_code == 304
    assert operator("GET", f"{type}/{id}", If_Modified_Since=read.headers["Last-Modified"]).status_code == 304
    assert resource["readHistory"] is True
    assert operator("GET", f"{type}/{id}/_history/1").status_code == 200
    assert resource["conditionalDelete"] == "single"
    assert operator("DELETE", f"{type}?_id={id}").status_code == 204


def _asked(type: str, code: str) -> str:
    """A value that the parameter can be asked for."""
    parameter = parameters(type)[code]
    if parameter.type == "composite":
        _, components = parameter.components[0]
        return "$".join(_asked(type, half.code) for half in components)
    target = next(iter(parameter.named), "Patient")
    return f"{target}/none" if parameter.type == "reference" else SEARCHES[parameter.type]


def test_every_search_parameter_of_every_type(operator: Caller, statement: dict[str, Any]) -> None:
    """Each searchParam is answered; and a code that the statement does not name is a 400."""
    everywhere = {p["name"] for resource in statement["rest"][0]["resource"] for p in resource["searchParam"]}
    kinds = {p["type"] for resource in statement["rest"][0]["resource"] for p in resource["searchParam"]}
    assert kinds == {*SEARCHES, "composite", "reference"}
    for resource in statement["rest"][0]["resource"]:
        said = {parameter["name"]: parameter["type"] for parameter in resource["searchParam"]}
        for name in said:
            answer = operator("GET", f"{resource['type']}?{name}={_asked(resource['type'], name)}")
            assert answer.status_code == 200, (resource["type"], name, answer.text)
            assert f"{name}=" in answer.json["link"][0]["url"]
        for name in (*sorted(everywhere - set(said))[:2], "_foo"):
            assert operator("GET", f"{resource['type']}?{name}=a").status_code == 400, (resource["type"], name)
    for name in ("_content", "_has:Observation:patient", "_include", "subject", "_id:missing", "_filter", "_query"):
        assert operator("GET", f"Patient?{name}=a").status_code == 400, name


def test_every_modifier_of_every_kind(operator: Caller, statement: dict[str, Any]) -> None:
    """The modifiers that a searchParam names are taken, on one parameter of each kind and type; any other is a 400"""
    for resource in statement["rest"][0]["resource"]:
        asked: set[str] = set()
        for parameter in resource["searchParam"]:
            code, kind = parameter["name"], parameter["type"]
            if kind in asked or "documentation" not in parameter or code == "_id":
                continue
            asked.add(kind)
            modifiers = re.findall(r":([a-z-]+)", parameter["documentation"])
            assert "missing" in modifiers
            for modifier in modifiers:
                value = "s|a" if modifier == "identifier" else MODIFIED.get(modifier, _asked(resource["type"], code))
                answer = operator("GET", f"{resource['type']}?{code}:{modifier}={value}")
                wanted = 400 if modifier in OF_TERMINOLOGIES.get(kind, ()) else 200
                assert answer.status_code == wanted, (resource["type"], code, modifier, answer.text)
            for other in {"text", "exact", "below", "identifier", "of-type", "foo"} - set(modifiers):
                answer = operator("GET", f"{resource['type']}?{code}:{other}=a")
                assert answer.status_code == 400, (resource["type"], code, other)
        assert {"token", "date"} & asked or {"token", "reference"} & asked


def test_every_include_of_every_type(operator: Caller, statement: dict[str, Any]) -> None:
    """Each searchInclude and searchRevInclude is followed; and one that is not said is a 400"""
    for resource in statement["rest"][0]["resource"]:
        type = resource["type"]
        for name, said in (("_include", resource["searchInclude"]), ("_revinclude", resource["searchRevInclude"])):
            assert "*" in said
            alone = [value for value in said if value != "*"]
            for first in range(0, len(alone), MOST_INCLUDES):
                query = "&".join(f"{name}={value}" for value in alone[first : first + MOST_INCLUDES])
                answer = operator("GET", f"{type}?_count=1&{query}")
                assert answer.status_code == 200, (type, query, answer.text)
        referring = {f"{type}:{code}" for code, one in parameters(type).items() if one.type == "reference"}
        assert {f"{type}:*", *referring} == set(resource["searchInclude"]) - {"*"}
        for query in ("_include=*", "_revinclude=*", f"_include={type}:*"):
            assert operator("GET", f"{type}?_id=none&{query}").status_code == 200
        for query in (f"_include={type}:_foo", f"_revinclude={type}:_id", "_include=Foo:subject", "_revinclude=Foo:*"):
            assert operator("GET", f"{type}?{query}").status_code == 400, (type, query)


def test_every_type_of_the_compartment(operator: Caller, statement: dict[str, Any]) -> None:
    """`compartment`: each type of it is searched within; one that has no part in it is not there"""
    assert statement["rest"][0]["compartment"] == ["http://hl7.org/fhir/CompartmentDefinition/patient"]
    patient = operator.create({"resourceType": "Patient"})
    own = operator.create({**least("Observation"), "subject": {"reference": patient}})
    for resource in statement["rest"][0]["resource"]:
        type = resource["type"]
        answer = operator("GET", f"{patient}/{type}")
        assert answer.status_code == (200 if compartment(type) else 404), (type, answer.text)
        if compartment(type) and type != "AuditEvent":  # each question adds to those
            assert ids(answer.json) == {"Observation": [own]}.get(type, []), type
    assert set(ids(operator.get(f"{patient}/*"))) >= {own}


def test_a_parameter_finds_what_it_says(operator: Caller, statement: dict[str, Any]) -> None:
    """R4 search.html: `_id` finds the one, `_lastUpdated` in the future none; result parameters are all taken"""
    for resource in statement["rest"][0]["resource"]:
        type = resource["type"]
        reference = operator.create(least(type))
        found = operator.get(f"{type}?_id={reference.partition('/')[2]}&_lastUpdated=ge2020")
        assert [e["resource"]["id"] for e in found["entry"]] == [reference.partition("/")[2]]
        assert operator.get(f"{type}?_lastUpdated=gt2999&_summary=count")["total"] == 0
    values = {
        "_sort": "-birthdate,family",
        "_count": "1",
        "_include": "Patient:general-practitioner",
        "_revinclude": "Observation:subject",
        "_total": "none",
        "_summary": "true",
        "_elements": "id",
        "_contained": "both",
        "_containedType": "contained",
        "_maxresults": "5",
        "_format": "json",
        "_pretty": "true",
    }
    assert set(values) == set(RESULT_PARAMETERS)
    for name, value in values.items():
        answer = operator("GET", f"Patient?{name}={value}&_count=1" if name != "_count" else "Patient?_count=1")
        assert answer.status_code == 200, (name, answer.text)
    for name in ("_sort", "_count", "_include", "_revinclude", "_total", "_summary", "_contained", "_containedType"):
        assert operator("GET", f"Patient?{name}=foo").status_code == 400, name


#: What an operation needs to be asked, but for those of META: (the query, which names what is carried).
GENDER = "http://hl7.org/fhir/administrative-gender"
QUERIES = {
    "ValueSet-expand": "url=http://hl7.org/fhir/ValueSet/administrative-gender",
    "ValueSet-validate-code": f"url=http://hl7.org/fhir/ValueSet/administrative-gender&code=male&system={GENDER}",
    "CodeSystem-validate-code": f"url={GENDER}&code=male",
    "CodeSystem-lookup": f"system={GENDER}&code=male",
    "Observation-lastn": "patient=p1",
    "docref": "patient=p1",
    "CodeSystem-subsumes": f"system={GENDER}&codeA=male&codeB=female",
}
#: A resource that says enough for the operations on it.
TOLD = {
    "CodeSystem": {"url": "http://a.example", "concept": [{"code": "male"}, {"code": "female"}]},
    "ValueSet": {"compose": {"include": [{"system": "http://a.example", "concept": [{"code": "male"}]}]}},
}


def test_every_operation_of_every_type(operator: Caller, statement: dict[str, Any]) -> None:
    """Each operation answers where it is said to be, by GET where it changes nothing; and nowhere else"""
    names = {operation.name for operation in OPERATIONS}
    for resource in statement["rest"][0]["resource"]:
        type = resource["type"]
        reference = operator.create({**least(type), **TOLD.get(type, {})})
        said = {operation["definition"] for operation in resource["operation"]}
        for operation in of_type(type):
            assert operation.definition in said
            for level, path in (("type", type), ("instance", reference)):
                _offered(operator, operation, path, level in operation.levels)
        for name in names - {operation.name for operation in of_type(type)}:
            assert operator("GET", f"{reference}/${name}").status_code == 404
    for path in ("Patient/none/$none", "Patient/none/$META", "Patient/none/$", "Patient/$meta", "$meta", "$expand"):
        assert operator("GET", path).status_code == 404


def _offered(operator: Caller, operation: Operation, path: str, offered: bool) -> None:
    """Whether the operation answers at this path, and by which methods."""
    if not offered:
        assert operator("GET", f"{path}/${operation.name}").status_code == 404
        return
    if operation.name == "lookup-record":  # for professionals, and no operator: test_lookup_record.py
        statuses = [operator(method, f"{path}/$lookup-record").status_code for method in ("POST", "GET")]
        assert statuses == [403, 405]
        return
    query = QUERIES.get(operation.definition.rpartition("/")[2], "")
    if "/" in path:  # the instance says which
        query = "&".join(pair for pair in query.split("&") if not pair.startswith(("url=", "system=http://hl7")))
        query += "&system=http://a.example" if operation.definition.endswith("ValueSet-validate-code") else ""
    sent = META if operation.changes else least(path) if operation.name == "validate" and "/" not in path else None
    answer = operator("POST", f"{path}/${operation.name}?{query}", sent)
    assert answer.status_code == 200, (path, operation, answer.text)
    # A type alone is nothing to validate.
    by_get = 405 if operation.changes else 400 if sent else 200
    assert operator("GET", f"{path}/${operation.name}?{query}").status_code == by_get


def test_every_format(operator: Caller, statement: dict[str, Any]) -> None:
    """`format` by Accept and `_format`, in and out; and any other is a 406 or 415"""
    assert set(statement["format"]) == set(FORMATS)
    reference = operator.create({"resourceType": "Patient"})
    for said, media_type in FORMATS.items():
        answer = operator("GET", f"{reference}?_format={said.replace('+', '%2B')}", Accept="text/plain")
        assert answer.headers["Content-Type"].startswith(media_type)
        body = xml.dumps({"resourceType": "Patient"}) if media_type.endswith("xml") else b'{"resourceType":"Patient"}'
        if "/" in said:
            assert operator("GET", reference, Accept=said).headers["Content-Type"].startswith(said)
            assert operator("POST", "Patient", body, Content_Type=said).status_code == 201
    for other in ("text/turtle", "application/fhir+turtle", "ttl", "html", "application/pdf"):
        assert operator("GET", f"{reference}?_format={other.replace('+', '%2B')}").status_code == 406
        assert operator("POST", "Patient", b"x", Content_Type=other).status_code == 415


def test_every_patch_format(operator: Caller, statement: dict[str, Any]) -> None:
    """`patchFormat`; and any other is a 415"""
    reference = operator.create({"resourceType": "Patient"})
    parts = [
        {"name": "type", "valueCode": "add"},
        {"name": "path", "valueString": "Patient"},
        {"name": "name", "valueString": "active"},
        {"name": "value", "valueBoolean": True},
    ]
    add = {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": parts}]}
    bodies = {
        JSON_PATCH: json.dumps([{"op": "add", "path": "/active", "value": True}]).encode(),
        "application/fhir+json": json.dumps(add).encode(),
        "application/fhir+xml": xml.dumps(add),
    }
    assert set(statement["patchFormat"]) == set(bodies)
    for media_type, body in bodies.items():
        answer = operator("PATCH", reference, body, Content_Type=media_type)
        assert (answer.status_code, answer.json.get("active")) == (200, True), answer.text
        undo = [{"op": "remove", "path": "/active"}]
        assert operator("PATCH", reference, undo, Content_Type=JSON_PATCH).status_code == 200
    for other in ("application/merge-patch+json", "application/xml-patch+xml", "text/plain"):
        assert operator("PATCH", reference, b"{}", Content_Type=other).status_code == 415


def test_every_interaction_of_the_system(operator: Caller, statement: dict[str, Any]) -> None:
    """batch, transaction, history-system and search-system, with each parameter that is said of every type"""
    said = {i["code"] for i in statement["rest"][0]["interaction"]}
    assert said == {"transaction", "batch", "history-system", "search-system"}
    for type in ("transaction", "batch"):
        answer = operator("POST", "", transaction(entry("GET", "Patient?_count=1"), type=type))
        assert (answer.status_code, answer.json["type"]) == (200, f"{type}-response")
    assert operator.get("_history?_count=1")["type"] == "history"
    patient = operator.create({"resourceType": "Patient"})
    for parameter in statement["rest"][0]["searchParam"]:
        name = parameter["name"]
        value = patient.partition("/")[2] if name == "_id" else _asked("Patient", name)
        answer = operator("GET", f"?{name}={value}&_count=1")
        assert (answer.status_code, answer.json["type"]) == (200, "searchset"), (name, answer.text)
        assert name != "_id" or ids(answer.json) == [patient]
        form = f"{name}={value}&_count=1".encode()
        posted = operator("POST", "_search", form, Content_Type="application/x-www-form-urlencoded")
        assert ids(posted.json) == ids(answer.json)
    assert {parameter["name"] for parameter in statement["rest"][0]["searchParam"]} >= {"_id", "_lastUpdated", "_tag"}
    assert operator("GET", "?subject=Patient/1").status_code == 400


def test_nothing_else_is_there(operator: Caller, statement: dict[str, Any]) -> None:
    """A type or an interaction that the statement does not name is a 404 or a 405, whoever asks."""
    said = {resource["type"] for resource in statement["rest"][0]["resource"]}
    for other in ("Account", "Group", "Parameters", "OperationOutcome", "patient", "Foo", "DomainResource"):
        assert other not in said
        for method, path in (
            ("GET", other),
            ("GET", f"{other}/1"),
            ("GET", f"{other}/_history"),
            ("PUT", f"{other}/1"),
        ):
            assert (
                operator(method, path, {"resourceType": other, "id": "1"} if method == "PUT" else None).status_code
                == 404
            )
        assert operator("POST", other, {"resourceType": other}).status_code == 404
    routed = {(route.method, route.path.replace("{type}", "Patient")) for route in ROUTES}
    for path in ("Patient", "Patient/{id}", "Patient/_search", "_history", "Patient/_history", "Patient/{id}/_history"):
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
            if (method, path) in routed:
                continue
            answer = operator(method, path.replace("{id}", "none"))
            assert answer.status_code in (404, 405), (method, path, answer.text)
            if answer.status_code == 405:
                assert answer.headers["Allow"]


def test_the_statement_in_the_documentation_is_the_one_that_is_served() -> None:
    """conformance/capability-statement.json: written by `python -m fhir_server.interactions.capabilities`"""
    written = (Path(__file__).parents[2] / "conformance" / "capability-statement.json").read_bytes()

    assert json.loads(written) == json.loads(capabilities.document())
