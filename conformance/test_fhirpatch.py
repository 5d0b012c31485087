"""patch with FHIRPath Patch.  R4 fhirpatch.html"""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def offered(advertised):
    """R4 http.html#patch is optional."""
    advertised.need("Patient", "patch")


def operation(kind, path, name=None, value=None, parts=None, **numbers):
    """One operation.  `value` is e.g. {"valueDate": "1930"}; `parts` those of an anonymous type."""
    made = [{"name": "type", "valueCode": kind}, {"name": "path", "valueString": path}]
    if name is not None:
        made.append({"name": "name", "valueString": name})
    if value is not None:
        made.append({"name": "value", **value})
    if parts is not None:
        made.append({"name": "value", "part": parts})
    made.extend({"name": number, "valueInteger": at} for number, at in numbers.items())
    return {"name": "operation", "part": made}


@pytest.fixture
def patch(fhir):
    """Sends these operations to a Patient."""

    def send(stored, *operations, **headers):
        parameters = {"resourceType": "Parameters", "parameter": list(operations)}
        return fhir.request("PATCH", f"Patient/{stored['id']}", resource=parameters, headers=headers)

    return send


@pytest.fixture
def somebody(patient):
    """A Patient with lists to work on."""
    return patient(
        name=[{"family": "A", "given": ["B", "C", "D"]}, {"family": "E", "use": "maiden"}],
        birthDate="1999-12-31",
        telecom=[{"system": "phone", "value": "1"}, {"system": "email", "value": "2"}],
    )


@pytest.mark.parametrize(
    ("operations", "expected"),
    [
        # add
        ([operation("add", "Patient", "gender", {"valueCode": "female"})], {"gender": "female"}),
        ([operation("add", "Patient", "active", {"valueBoolean": False})], {"active": False}),
        (
            [operation("add", "Patient", "telecom", {"valueContactPoint": {"system": "fax", "value": "3"}})],
            {
                "telecom": [
                    {"system": "phone", "value": "1"},
                    {"system": "email", "value": "2"},
                    {"system": "fax", "value": "3"},
                ]
            },
        ),
        (
            [operation("add", "Patient.name[1]", "given", {"valueString": "F"})],
            {"name": [{"family": "A", "given": ["B", "C", "D"]}, {"family": "E", "use": "maiden", "given": ["F"]}]},
        ),
        (
            [operation("add", "Patient.name.where(use = 'maiden')", "text", {"valueString": "T"})],
            {"name": [{"family": "A", "given": ["B", "C", "D"]}, {"family": "E", "use": "maiden", "text": "T"}]},
        ),
        (
            [operation("add", "Patient", "maritalStatus", {"valueCodeableConcept": {"text": "pacsée"}})],
            {"maritalStatus": {"text": "pacsée"}},
        ),
        # the value of an anonymous type
        (
            [operation("add", "Patient", "contact", parts=[{"name": "name", "valueHumanName": {"text": "a name"}}])],
            {"contact": [{"name": {"text": "a name"}}]},
        ),
        # insert
        (
            [operation("insert", "Patient.name[0].given", value={"valueString": "X"}, index=1)],
            {"name": [{"family": "A", "given": ["B", "X", "C", "D"]}, {"family": "E", "use": "maiden"}]},
        ),
        (
            [operation("insert", "Patient.name[0].given", value={"valueString": "X"}, index=3)],
            {"name": [{"family": "A", "given": ["B", "C", "D", "X"]}, {"family": "E", "use": "maiden"}]},
        ),
        # delete
        ([operation("delete", "Patient.birthDate")], {"birthDate": None}),
        ([operation("delete", "Patient.telecom[0]")], {"telecom": [{"system": "email", "value": "2"}]}),
        (
            [operation("delete", "Patient.telecom.where(system = 'email')")],
            {"telecom": [{"system": "phone", "value": "1"}]},
        ),
        ([operation("delete", "Patient.maritalStatus")], {"maritalStatus": None}),
        # replace
        ([operation("replace", "Patient.birthDate", value={"valueDate": "2000-02-29"})], {"birthDate": "2000-02-29"}),
        (
            [operation("replace", "Patient.telecom[1].value", value={"valueString": "9"})],
            {"telecom": [{"system": "phone", "value": "1"}, {"system": "email", "value": "9"}]},
        ),
        # move
        (
            [operation("move", "Patient.name[0].given", source=2, destination=0)],
            {"name": [{"family": "A", "given": ["D", "B", "C"]}, {"family": "E", "use": "maiden"}]},
        ),
        (
            [operation("move", "Patient.name[0].given", source=0, destination=2)],
            {"name": [{"family": "A", "given": ["C", "D", "B"]}, {"family": "E", "use": "maiden"}]},
        ),
        # in order, each on the result of the one before
        (
            [
                operation("delete", "Patient.name[0]"),
                operation("replace", "Patient.name[0].family", value={"valueString": "Z"}),
            ],
            {"name": [{"family": "Z", "use": "maiden"}]},
        ),
    ],
)
def test_each_operation(fhir, patch, somebody, operations, expected):
    """R4 fhirpatch.html#concept"""
    response = patch(somebody, *operations)

    assert response.status_code == 200, response.text
    current = fhir.read(f"Patient/{somebody['id']}")
    assert {name: current.get(name) for name in expected} == expected
    untouched = set(somebody) - set(expected) - {"meta"}
    assert {name: current.get(name) for name in untouched} == {name: somebody[name] for name in untouched}


@pytest.mark.parametrize(
    "operations",
    [
        # except for delete, it is an error if no element matches
        [operation("replace", "Patient.gender", value={"valueCode": "male"})],
        [operation("add", "Patient.contact", "gender", {"valueCode": "male"})],
        [operation("insert", "Patient.contact[0].telecom", value={"valueContactPoint": {"value": "1"}}, index=0)],
        # the path must return a single element
        [operation("replace", "Patient.telecom.value", value={"valueString": "9"})],
        [operation("delete", "Patient.telecom")],
        # index out of the list
        [operation("insert", "Patient.name[0].given", value={"valueString": "X"}, index=7)],
        [operation("insert", "Patient.name[0].given", value={"valueString": "X"}, index=-1)],
        [operation("insert", "Patient.name[0].given", value={"valueString": "X"})],
        [operation("move", "Patient.name[0].given", source=9, destination=0)],
        [operation("move", "Patient.name[0].given", source=0, destination=9)],
        # add of what is there and does not repeat
        [operation("add", "Patient", "birthDate", {"valueDate": "2000"})],
        # the type of the value must be right, and the outcome a good resource
        [operation("replace", "Patient.birthDate", value={"valueBoolean": True})],
        [operation("replace", "Patient.birthDate", value={"valueDate": "the other day"})],
        [operation("add", "Patient", "nosuchelement", {"valueString": "x"})],
        [operation("replace", "Patient.name[0]", value={"valueString": "x"})],
        # the first is good, the second is not: none is done
        [operation("delete", "Patient.birthDate"), operation("replace", "Patient.gender", value={"valueCode": "male"})],
        # what is no operation
        [operation("frobnicate", "Patient.birthDate")],
        [operation("replace", "Patient.birthDate")],
        [operation("add", "Patient", value={"valueCode": "male"})],
        [operation("replace", "Patient.birthDate +", value={"valueDate": "2000"})],
        [operation("replace", "", value={"valueDate": "2000"})],
        [operation("replace", "Observation.status", value={"valueCode": "final"})],
        [operation("replace", "Patient.managingOrganization.resolve().name", value={"valueString": "x"})],
        [{"name": "operation"}],
        [{"name": "operation", "part": [{"name": "type", "valueCode": "delete"}]}],
        [{"name": "surprise", "valueString": "x"}],
    ],
)
def test_what_cannot_be_done_changes_nothing(fhir, patch, somebody, operations):
    """R4 fhirpatch.html#concept: the base rules for all operations"""
    fhir.issues(patch(somebody, *operations), 400, 409, 422)

    assert fhir.read(f"Patient/{somebody['id']}") == somebody


@pytest.mark.parametrize("path", ["Patient.id", "Patient.meta.versionId"])
def test_identity_cannot_be_patched(fhir, patch, somebody, path):
    """R4 http.html#patch, #update"""
    response = patch(somebody, operation("replace", path, value={"valueId": "another"}))

    current = fhir.read(f"Patient/{somebody['id']}")
    assert current["meta"]["versionId"] != "another"
    if response.status_code != 200:  # versionId may be ignored, an id that disagrees may not
        fhir.issues(response, 400, 409, 422)
        assert current == somebody
    else:
        assert path != "Patient.id"


def test_another_resource_than_parameters_is_refused(fhir, somebody):
    """R4 http.html#patch: a FHIRPath Patch Parameters resource"""
    fhir.issues(fhir.request("PATCH", f"Patient/{somebody['id']}", resource=somebody), 400, 415, 422)

    assert fhir.read(f"Patient/{somebody['id']}") == somebody


def test_patch_in_xml(fhir, somebody):
    """R4 fhirpatch.html#format, the example of adding an element"""
    xml = """<Parameters xmlns="http://hl7.org/fhir">
      <parameter><name value="operation"/>
        <part><name value="type"/><valueCode value="replace"/></part>
        <part><name value="path"/><valueString value="Patient.birthDate"/></part>
        <part><name value="value"/><valueDate value="1930-01-01"/></part>
      </parameter>
    </Parameters>"""

    response = fhir.request("PATCH", f"Patient/{somebody['id']}", body=xml, headers={"Content-Type": fhir.xml})

    assert response.status_code == 200, response.text
    assert fhir.read(f"Patient/{somebody['id']}")["birthDate"] == "1930-01-01"


def test_if_match_of_an_older_version_is_412(fhir, patch, versions):
    """R4 http.html#patch"""
    first, *_, last = versions()

    response = patch(
        first, operation("delete", "Patient.birthDate"), **{"If-Match": f'W/"{first["meta"]["versionId"]}"'}
    )

    fhir.issues(response, 409, 412)
    assert fhir.read(f"Patient/{first['id']}") == last


def test_precision_survives_a_patch(fhir):
    """R4 datatypes.html#decimal"""
    body = '{"resourceType":"Observation","status":"final","code":{"text":"weight"},"valueQuantity":{"value":70.0}}'
    path = fhir.local(fhir.post("Observation", body=body, headers={"Content-Type": fhir.json}).headers["Location"])
    parameters = (
        '{"resourceType":"Parameters","parameter":[{"name":"operation","part":['
        '{"name":"type","valueCode":"replace"},{"name":"path","valueString":"Observation.value.value"},'
        '{"name":"value","valueDecimal":70.100}]}]}'
    )

    response = fhir.request("PATCH", path, body=parameters, headers={"Content-Type": fhir.json})

    assert response.status_code == 200, response.text
    assert fhir.exact(fhir.get(path).text)["valueQuantity"]["value"] == "decimal 70.100"


def test_patch_in_a_batch_and_a_transaction(fhir, advertised, somebody):
    """R4 http.html#patch: as part of batch or transaction using the FHIRPath Patch format"""
    advertised.need_system("transaction")
    for kind, year in (("batch", "2011"), ("transaction", "2012")):
        change = operation("replace", "Patient.birthDate", value={"valueDate": year})
        parameters = {"resourceType": "Parameters", "parameter": [change]}

        answer = fhir.bundle(kind, fhir.entry("PATCH", f"Patient/{somebody['id']}", parameters))

        assert fhir.answers(answer, kind)[0]["response"]["status"].startswith("200"), answer.text
        assert fhir.read(f"Patient/{somebody['id']}")["birthDate"] == year
