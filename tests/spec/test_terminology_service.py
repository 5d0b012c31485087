"""The operations on terminologies, over HTTP: what they take, what they answer, how they refuse.

R4: terminology-service.html, valueset-operations.html, codesystem-operations.html, operations.html
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

import pytest

from fhir_server.fhir import xml
from tests.build import entry, transaction
from tests.calls import Caller, Served

ANIMALS = "http://animals.example/CodeSystem/animals"
PETS = "http://animals.example/ValueSet/pets"
NOS = "https://mos.esante.gouv.fr/NOS"
CLASSES = f"{NOS}/JDV_J06-XdsClassCode-CISIS/FHIR/JDV-J06-XdsClassCode-CISIS"
GENDER = "http://hl7.org/fhir/administrative-gender"
SYSTEM = {
    "resourceType": "CodeSystem",
    "id": "animals",
    "url": ANIMALS,
    "version": "1",
    "name": "Animals",
    "title": "All animals",
    "status": "active",
    "content": "complete",
    "language": "en",
    "hierarchyMeaning": "is-a",
    "property": [{"code": "legs", "type": "integer", "description": "How many legs"}],
    "concept": [
        {
            "code": "mammal",
            "display": "Mammal",
            "property": [{"code": "notSelectable", "valueBoolean": True}],
            "concept": [
                {
                    "code": "cat",
                    "display": "Cat",
                    "definition": "Felis catus",
                    "designation": [{"language": "fr", "value": "Chat"}, {"language": "de", "value": "Katze"}],
                    "property": [{"code": "legs", "valueInteger": 4}],
                    "concept": [{"code": "kitten", "display": "Kitten"}],
                },
                {"code": "dodo", "display": "Dodo", "property": [{"code": "inactive", "valueBoolean": True}]},
            ],
        }
    ],
}
VALUE_SET = {
    "resourceType": "ValueSet",
    "id": "pets",
    "url": PETS,
    "status": "active",
    "compose": {"include": [{"system": ANIMALS}], "exclude": [{"system": ANIMALS, "concept": [{"code": "kitten"}]}]},
}


@pytest.fixture(scope="module")
def asked(operator: Caller) -> Caller:
    """Who may ask, with the animals in the store."""
    for resource in (SYSTEM, VALUE_SET):
        answer = operator("PUT", f"{resource['resourceType']}/{resource['id']}", resource)
        assert answer.status_code in (200, 201), answer.text
    return operator


def parameters(**values: Any) -> dict[str, Any]:
    """Parameters; a value is (type, value), or a resource."""
    rows = []
    for name, value in values.items():
        key = name.replace("_", "-")
        rows.append(
            {"name": key, "resource": value}
            if isinstance(value, dict) and "resourceType" in value
            else {"name": key, f"value{value[0]}": value[1]}
        )
    return {"resourceType": "Parameters", "parameter": rows}


def out(answer: Any) -> dict[str, Any]:
    """The plain values of the Parameters that came back."""
    assert answer.status_code == 200, answer.text
    found = {}
    for row in answer.json["parameter"]:
        value = next((row[key] for key in row if key.startswith("value")), None)
        if value is not None:
            found[row["name"]] = value
    return found


def parts(answer: Any, name: str) -> list[dict[str, Any]]:
    """The parts of each parameter of that name."""
    assert answer.status_code == 200, answer.text
    return [
        {part["name"]: next(part[key] for key in part if key.startswith("value")) for part in row["part"]}
        for row in answer.json["parameter"]
        if row["name"] == name and "part" in row
    ]


def codes(answer: Any) -> list[str]:
    """The codes of an expansion."""
    assert answer.status_code == 200, answer.text
    return [row["code"] for row in answer.json["expansion"].get("contains", ())]


def refused(answer: Any) -> tuple[int, str]:
    """Status and code of a refusal."""
    return answer.status_code, answer.json["issue"][0]["code"]


# --- $expand


def test_expand_by_url_by_instance_and_of_what_is_sent(asked: Caller) -> None:
    """R4 valueset-operation-expand.html: url, [id], valueSet; operations.html: a resource alone may be the body"""
    unstored = {**VALUE_SET, "url": "http://nowhere.example"}
    for answer in (
        asked("GET", f"ValueSet/$expand?url={PETS}"),
        asked("GET", "ValueSet/pets/$expand"),
        asked("POST", "ValueSet/pets/$expand"),
        asked("POST", "ValueSet/$expand", parameters(url=("Uri", PETS))),
        asked("POST", "ValueSet/$expand", parameters(valueSet=unstored)),
        asked("POST", "ValueSet/$expand", unstored),
        asked("POST", f"ValueSet/$expand?url={PETS}", parameters(count=("Integer", 10))),
    ):
        assert codes(answer) == ["mammal", "cat", "dodo"]
        assert answer.json["expansion"]["total"] == 3
        assert answer.json["expansion"]["identifier"].startswith("urn:uuid:")
        assert "compose" not in answer.json


def test_expand_of_what_is_carried(asked: Caller) -> None:
    """terminologies/: the class of a document in both languages; a required binding of R4"""
    answer = asked("GET", f"ValueSet/$expand?url={CLASSES}&displayLanguage=en&filter=imag&includeDesignations=true")
    assert answer.json["expansion"]["contains"] == [
        {
            "system": f"{NOS}/TRE_A03-ClasseDocument/FHIR/TRE-A03-ClasseDocument",
            "code": "31",
            "display": "Medical imaging",
            "designation": [
                {"language": "fr", "value": "Imagerie médicale"},
                {"language": "en", "value": "Medical imaging"},
            ],
        }
    ]
    assert codes(asked("GET", "ValueSet/$expand?url=http://hl7.org/fhir/ValueSet/list-mode")) == [
        "working",
        "snapshot",
        "changes",
    ]


def test_expand_by_page_nested_and_in_use(asked: Caller) -> None:
    """R4 valueset-operation-expand.html: offset, count, activeOnly, excludeNested, excludeNotForUI"""

    def of(**query: str) -> Any:
        return asked("GET", f"ValueSet/pets/$expand?{urlencode(query)}")

    page = of(offset="1", count="1")
    assert codes(page) == ["cat"]
    assert (page.json["expansion"]["offset"], page.json["expansion"]["total"]) == (1, 3)
    assert codes(of(count="0")) == []
    assert codes(of(activeOnly="true")) == ["mammal", "cat"]
    assert codes(of(excludeNotForUI="true")) == ["cat", "dodo"]
    assert codes(of(filter="CHAT")) == ["cat"]
    nested = of(excludeNested="false").json["expansion"]["contains"]
    assert [row["code"] for row in nested] == ["mammal"]
    assert [row["code"] for row in nested[0]["contains"]] == ["cat", "dodo"]
    assert nested[0]["abstract"] is True
    assert of(includeDefinition="true").json["compose"] == VALUE_SET["compose"]
    said = {row["name"]: row for row in of(filter="c", displayLanguage="de").json["expansion"]["parameter"]}
    assert said["filter"]["valueString"] == "c"
    assert said["displayLanguage"]["valueCode"] == "de"
    assert said["version"]["valueUri"] == f"{ANIMALS}|1"


def test_expand_in_xml(asked: Caller) -> None:
    """R4 operations.html: operations speak both formats"""
    sent = xml.dumps(parameters(url=("Uri", PETS), displayLanguage=("Code", "fr")))
    answer = asked("POST", "ValueSet/$expand", sent, Content_Type="application/fhir+xml", Accept="application/fhir+xml")

    assert [row["display"] for row in xml.parse(answer.data)["expansion"]["contains"]] == ["Mammal", "Chat", "Dodo"]


@pytest.mark.parametrize(
    ("path", "refusal"),
    [
        ("ValueSet/$expand", (400, "invalid")),
        ("ValueSet/$expand?url=http://none.example", (404, "not-found")),
        (f"ValueSet/$expand?url={PETS}&valueSetVersion=9", (404, "not-found")),
        ("ValueSet/none/$expand", (404, "not-found")),
        (f"ValueSet/pets/$expand?url={PETS}", (400, "invalid")),
        (f"ValueSet/$expand?url={PETS}&url={PETS}", (400, "invalid")),
        (f"ValueSet/$expand?url={PETS}&count=-1", (400, "invalid")),
        (f"ValueSet/$expand?url={PETS}&activeOnly=1", (400, "invalid")),
        (f"ValueSet/$expand?url={PETS}&foo=1", (400, "invalid")),
        (f"ValueSet/$expand?url={PETS}&filter=", (400, "invalid")),
        ("ValueSet/$expand?valueSet=x", (400, "invalid")),
        ("ValueSet/$expand?context=http://a.example#b", (422, "not-supported")),
        (f"ValueSet/$expand?url={PETS}&date=2020", (422, "not-supported")),
        (f"ValueSet/$expand?url={PETS}&system-version={quote('http://a|1')}", (422, "not-supported")),
        ("ValueSet/$expand?url=http://hl7.org/fhir/ValueSet/mimetypes", (422, "too-costly")),
    ],
)
def test_expand_refuses(asked: Caller, path: str, refusal: tuple[int, str]) -> None:
    """R4 valueset-operation-expand.html: a wrong or partial answer is no answer"""
    assert refused(asked("GET", path)) == refusal


def test_expand_refuses_what_is_no_value_set(asked: Caller) -> None:
    """R4 valueset.html: each fault with its place"""

    def of(include: Any) -> Any:
        return asked("POST", "ValueSet/$expand", {**VALUE_SET, "compose": {"include": include}})

    unknown = of([{"system": "http://none.example"}])
    assert refused(unknown) == (404, "not-found")
    operator = of([{"system": ANIMALS, "filter": [{"property": "concept", "op": "regex", "value": "("}]}])
    assert operator.json["issue"][0]["expression"] == ["ValueSet.compose.include[0].filter[0].value"]
    assert of([{"system": 3}]).status_code == 422
    assert refused(asked("POST", "ValueSet/$expand", {"resourceType": "Patient"})) == (400, "invalid")
    assert refused(asked("POST", "ValueSet/$expand", {"resourceType": "ValueSet", "status": "draft"}))[0] == 422


def test_an_update_is_seen_at_once(asked: Caller) -> None:
    """R4 terminology-service.html: what is asked is what is there"""
    url = "http://animals.example/ValueSet/changing"
    for code in ("cat", "dodo"):
        include = [{"system": ANIMALS, "concept": [{"code": code}]}]
        changing = {**VALUE_SET, "id": "changing", "url": url, "compose": {"include": include}}
        assert asked("PUT", "ValueSet/changing", changing).status_code in (200, 201)
        assert codes(asked("GET", f"ValueSet/$expand?url={url}")) == [code]
    assert asked("DELETE", "ValueSet/changing").status_code == 204
    assert refused(asked("GET", f"ValueSet/$expand?url={url}")) == (404, "not-found")


# --- $validate-code


@pytest.mark.parametrize(
    ("query", "result", "display"),
    [
        (f"code=cat&system={ANIMALS}", True, "Cat"),
        (f"code=cat&system={ANIMALS}&display=chat", True, "Cat"),
        (f"code=cat&system={ANIMALS}&displayLanguage=fr", True, "Chat"),
        (f"code=cat&system={ANIMALS}&display=Dog", False, "Cat"),
        (f"code=cat&system={ANIMALS}&systemVersion=1", True, "Cat"),
        (f"code=kitten&system={ANIMALS}", False, "Kitten"),
        (f"code=none&system={ANIMALS}", False, None),
        ("code=cat&system=http://other.example", False, None),
        ("code=cat", False, None),
        ("code=cat&inferSystem=true", True, "Cat"),
        (f"code=mammal&system={ANIMALS}", False, "Mammal"),
        (f"code=mammal&system={ANIMALS}&abstract=true", True, "Mammal"),
        (f"code=dodo&system={ANIMALS}", True, "Dodo"),
    ],
)
def test_validate_a_code_in_a_value_set(asked: Caller, query: str, result: bool, display: str | None) -> None:
    """R4 valueset-operation-validate-code.html"""
    for answer in (
        asked("GET", f"ValueSet/$validate-code?url={PETS}&{query}"),
        asked("GET", f"ValueSet/pets/$validate-code?{query}"),
    ):
        found = out(answer)
        assert found["result"] is result
        assert found.get("display") == display
        assert result or found["message"]


def test_validate_a_coding_and_a_concept(asked: Caller) -> None:
    """R4 valueset-operation-validate-code.html: coding, codeableConcept: one good coding is enough"""
    cat, other = {"system": ANIMALS, "code": "cat"}, {"system": "http://o.example", "code": "x"}

    def of(**values: Any) -> Any:
        return asked("POST", "ValueSet/pets/$validate-code", parameters(**values))

    assert out(of(coding=("Coding", cat)))["result"] is True
    assert out(of(codeableConcept=("CodeableConcept", {"coding": [other, cat]})))["result"] is True
    assert out(of(codeableConcept=("CodeableConcept", {"coding": [other]})))["result"] is False
    assert out(of(codeableConcept=("CodeableConcept", {"text": "cat"})))["result"] is False
    sent = parameters(valueSet={**VALUE_SET, "url": "http://n.example"}, coding=("Coding", cat))
    assert out(asked("POST", "ValueSet/$validate-code", sent))["result"] is True
    inferred = out(asked("GET", "ValueSet/pets/$validate-code?code=cat&inferSystem=true"))
    assert (inferred["system"], inferred["code"]) == (ANIMALS, "cat")
    for nothing in (
        of(abstract=("Boolean", True)),
        of(coding=("Coding", {"system": ANIMALS})),
        of(coding=("Coding", cat), code=("Code", "cat")),
    ):
        assert refused(nothing) == (400, "invalid")
    assert refused(of(coding=("Coding", cat), date=("DateTime", "2020"))) == (422, "not-supported")


@pytest.mark.parametrize(
    ("query", "result"),
    [("code=cat", True), ("code=cat&display=Katze", True), ("code=cat&display=Dog", False), ("code=none", False),
     ("code=mammal", False), ("code=mammal&abstract=true", True)],
)  # fmt: skip
def test_validate_a_code_of_a_system(asked: Caller, query: str, result: bool) -> None:
    """R4 codesystem-operation-validate-code.html"""
    for answer in (
        asked("GET", f"CodeSystem/$validate-code?url={ANIMALS}&{query}"),
        asked("GET", f"CodeSystem/$validate-code?url={ANIMALS}&version=1&{query}"),
        asked("GET", f"CodeSystem/animals/$validate-code?{query}"),
    ):
        found = out(answer)
        assert found["result"] is result
        assert result or found["message"]


def test_validate_in_a_system_that_is_sent_or_unknown(asked: Caller) -> None:
    """R4 codesystem-operation-validate-code.html: codeSystem, coding"""
    sent = {**SYSTEM, "url": "http://sent.example"}
    cat = {"system": "http://sent.example", "code": "cat"}

    assert out(asked("POST", "CodeSystem/$validate-code", parameters(codeSystem=sent, coding=("Coding", cat))))[
        "result"
    ]
    other = parameters(codeSystem=sent, coding=("Coding", {**cat, "system": ANIMALS}))
    assert out(asked("POST", "CodeSystem/$validate-code", other))["result"] is False
    assert out(asked("GET", f"CodeSystem/$validate-code?url={GENDER}&code=male&display=Masculin"))["result"] is True
    assert refused(asked("GET", "CodeSystem/$validate-code?url=http://none.example&code=a")) == (404, "not-found")
    assert refused(asked("GET", f"CodeSystem/$validate-code?url={ANIMALS}&version=2&code=a")) == (404, "not-found")
    assert refused(asked("GET", "CodeSystem/$validate-code?code=a")) == (400, "invalid")


# --- $lookup


def test_lookup_tells_all_of_a_code(asked: Caller) -> None:
    """R4 codesystem-operation-lookup.html"""
    answer = asked("GET", f"CodeSystem/$lookup?system={ANIMALS}&code=cat")
    assert out(answer) == {"name": "All animals", "version": "1", "display": "Cat"}
    assert parts(answer, "designation") == [
        {"language": "en", "value": "Cat"},
        {"language": "fr", "value": "Chat"},
        {"language": "de", "value": "Katze"},
    ]
    properties = parts(answer, "property")
    assert {"code": "parent", "value": "mammal", "description": "Mammal"} in properties
    assert {"code": "child", "value": "kitten", "description": "Kitten"} in properties
    assert {"code": "legs", "value": 4, "description": "How many legs"} in properties
    assert {"code": "definition", "value": "Felis catus"} in properties
    assert {"code": "inactive", "value": False} in properties


def test_lookup_of_a_coding_in_a_language_and_of_some_properties(asked: Caller) -> None:
    """R4 codesystem-operation-lookup.html: coding, displayLanguage, property, lang.X"""
    cat = {"system": ANIMALS, "version": "1", "code": "cat"}
    answer = asked("POST", "CodeSystem/$lookup", parameters(coding=("Coding", cat), displayLanguage=("Code", "fr")))
    assert out(answer)["display"] == "Chat"
    some = asked("GET", f"CodeSystem/$lookup?system={ANIMALS}&code=cat&property=legs&property=lang.de")
    assert [each["code"] for each in parts(some, "property")] == ["legs"]
    assert parts(some, "designation") == [{"language": "de", "value": "Katze"}]
    vaccine = asked("GET", "CodeSystem/$lookup?system=http://www.whocc.no/atc&code=J07BD52&property=protects-from")
    assert {each["value"]["code"] for each in parts(vaccine, "property")} == {"14189004", "36989005", "36653000"}


@pytest.mark.parametrize(
    ("query", "refusal"),
    [
        ("", (400, "invalid")),
        ("code=cat", (400, "invalid")),
        (f"system={ANIMALS}", (400, "invalid")),
        (f"system={ANIMALS}&code=none", (404, "not-found")),
        ("system=http://none.example&code=cat", (404, "not-found")),
        (f"system={ANIMALS}&code=cat&date=2020", (422, "not-supported")),
        (f"system={ANIMALS}&code=cat&foo=1", (400, "invalid")),
    ],
)
def test_lookup_refuses(asked: Caller, query: str, refusal: tuple[int, str]) -> None:
    """R4 codesystem-operation-lookup.html"""
    assert refused(asked("GET", f"CodeSystem/$lookup?{query}")) == refusal


# --- $subsumes


@pytest.mark.parametrize(
    ("one", "other", "outcome"),
    [("mammal", "kitten", "subsumes"), ("kitten", "cat", "subsumed-by"), ("cat", "cat", "equivalent"),
     ("cat", "dodo", "not-subsumed")],
)  # fmt: skip
def test_subsumes(asked: Caller, one: str, other: str, outcome: str) -> None:
    """R4 codesystem-operation-subsumes.html"""
    codings = {
        f"coding{name}": ("Coding", {"system": ANIMALS, "code": code}) for name, code in (("A", one), ("B", other))
    }
    for answer in (
        asked("GET", f"CodeSystem/$subsumes?system={ANIMALS}&codeA={one}&codeB={other}"),
        asked("GET", f"CodeSystem/animals/$subsumes?codeA={one}&codeB={other}"),
        asked("POST", "CodeSystem/$subsumes", parameters(**codings)),
        asked("POST", "CodeSystem/animals/$subsumes", parameters(**codings)),
    ):
        assert out(answer) == {"outcome": outcome}


@pytest.mark.parametrize(
    ("query", "refusal"),
    [
        (f"system={ANIMALS}&codeA=cat", (400, "invalid")),
        ("codeA=cat&codeB=dodo", (400, "invalid")),
        (f"system={ANIMALS}&codeA=cat&codeB=none", (404, "not-found")),
        ("system=http://none.example&codeA=cat&codeB=none", (404, "not-found")),
    ],
)
def test_subsumes_refuses(asked: Caller, query: str, refusal: tuple[int, str]) -> None:
    """R4 codesystem-operation-subsumes.html"""
    assert refused(asked("GET", f"CodeSystem/$subsumes?{query}")) == refusal


def test_subsumes_refuses_codes_of_two_systems(asked: Caller) -> None:
    """R4 codesystem-operation-subsumes.html: codingA, codingB"""
    a, b = {"system": ANIMALS, "code": "cat"}, {"system": GENDER, "code": "male"}

    assert refused(asked("POST", "CodeSystem/$subsumes", parameters(codingA=("Coding", a), codingB=("Coding", b)))) == (
        400,
        "invalid",
    )


# --- who may, and what is recorded


PATHS = (
    f"ValueSet/$expand?url={PETS}",
    "ValueSet/pets/$expand",
    f"ValueSet/$validate-code?url={PETS}&code=cat&system={ANIMALS}",
    f"CodeSystem/$validate-code?url={ANIMALS}&code=cat",
    "CodeSystem/animals/$validate-code?code=cat",
    f"CodeSystem/$lookup?system={ANIMALS}&code=cat",
    f"CodeSystem/$subsumes?system={ANIMALS}&codeA=cat&codeB=dodo",
)


@pytest.mark.parametrize("path", PATHS)
def test_any_authenticated_client_may_ask(asked: Caller, served: Served, nobody: Caller, path: str) -> None:
    """rule A18: terminologies are readable by any authenticated client; its scopes narrow that"""
    id, patient = served.patient()
    professional = served.caller("user/*.rs", practitioner="p1")
    assert patient("GET", path).status_code == 200
    assert professional("GET", path).status_code == 200
    assert served.caller("patient/Observation.rs", patient=id)("GET", path).status_code == 403
    assert nobody("GET", path).status_code == 401


def test_each_call_is_recorded(asked: Caller, served: Served) -> None:
    """rule A17: every access is recorded, an instance with its version"""
    by_url = served.events(asked("GET", f"ValueSet/$expand?url={PETS}"))
    instance = served.events(asked("GET", "ValueSet/pets/$expand"))
    refusal = served.events(asked("GET", "ValueSet/$expand?url=http://none.example"))

    assert [event["outcome"] for event in (*by_url, *instance)] == ["0", "0"]
    assert any("ValueSet/pets" in str(entity.get("what")) for entity in instance[0]["entity"])
    assert [event["outcome"] for event in refusal] != ["0"]


def test_operations_in_a_batch(asked: Caller) -> None:
    """R4 http.html#transaction: an entry may be an operation"""
    entries = [entry("GET", f"CodeSystem/$lookup?system={ANIMALS}&code=cat"), entry("GET", "ValueSet/pets/$expand")]
    answer = asked("POST", "", transaction(*entries, type="batch"))

    assert [each["response"]["status"][:3] for each in answer.json["entry"]] == ["200", "200"]


@pytest.mark.parametrize("path", ["ValueSet/$lookup", "CodeSystem/$expand", "$expand", "CodeSystem/animals/$lookup"])
def test_an_operation_is_where_it_is_said_to_be(asked: Caller, path: str) -> None:
    """R4 operations.html: 404 elsewhere, and the answer says where"""
    answer = asked("GET", path)

    assert refused(answer) == (404, "not-found")
    assert "CodeSystem/$lookup" in answer.json["issue"][0]["diagnostics"]
    assert asked("PUT", "ValueSet/pets/$expand", {}).status_code == 405
