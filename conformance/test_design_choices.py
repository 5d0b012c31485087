"""What this server promises where R4 leaves the choice.

The other files accept whatever the standard allows; here stands the one answer of the design.
"""

from __future__ import annotations

import json
import uuid

import pytest

TYPES = [
    "Patient",
    "DocumentReference",
    "AllergyIntolerance",
    "Immunization",
    "Observation",
    "Appointment",
    "Communication",
    "Binary",
    "List",
    "Bundle",
    "Consent",
    "AuditEvent",
    "Provenance",
    "Practitioner",
    "PractitionerRole",
    "Organization",
    "Location",
    "HealthcareService",
    "CareTeam",
    "RelatedPerson",
    "Device",
    "Condition",
    "MedicationStatement",
    "MedicationRequest",
    "Medication",
    "Procedure",
    "Encounter",
    "EpisodeOfCare",
    "FamilyMemberHistory",
    "DiagnosticReport",
    "Specimen",
    "ServiceRequest",
    "Goal",
    "CarePlan",
    "Coverage",
    "Schedule",
    "Slot",
    "Task",
    "Flag",
    "QuestionnaireResponse",
    "Questionnaire",
    "Composition",
    "Subscription",
    "Basic",
    "StructureDefinition",
    "ValueSet",
    "CodeSystem",
]
INTERACTIONS = {
    "read",
    "vread",
    "update",
    "patch",
    "delete",
    "history-instance",
    "history-type",
    "create",
    "search-type",
}


# -- what is offered: nothing that the other files test may be skipped here ----------------------------------
@pytest.mark.parametrize("type_name", TYPES)
def test_every_type_is_offered(advertised, type_name):
    """docs/operating.md: supported types"""
    assert {"read", "search-type"} <= advertised.interactions(type_name)


@pytest.mark.parametrize("type_name", ["Patient", "Observation", "DocumentReference", "Appointment", "Communication"])
def test_every_interaction_is_offered(advertised, type_name):
    """docs/operating.md: all R4 interactions, conditional ones and update as create among them"""
    row = advertised.resources[type_name]

    assert advertised.interactions(type_name) == INTERACTIONS
    assert row["conditionalCreate"] is True
    assert row["conditionalUpdate"] is True
    assert row["conditionalDelete"] == "single"
    assert row["updateCreate"] is True
    assert row["versioning"] in ("versioned", "versioned-update")
    assert row["conditionalRead"] == "full-support"


def test_the_system_offers_batch_transaction_and_history(advertised):
    """docs/operating.md"""
    assert {"batch", "transaction", "history-system"} <= advertised.system()


def test_the_basic_parameters_are_offered(advertised):
    """docs/operating.md"""
    every = {parameter["name"] for parameter in advertised.rest.get("searchParam", [])}

    assert {"_id", "_lastUpdated"} <= every | set(advertised.search_parameters("Patient"))
    assert {"identifier", "patient", "subject", "code", "status", "date"} <= set(
        advertised.search_parameters("Observation")
    )


def test_the_operations_are_offered(advertised):
    """docs/operating.md"""
    assert {"everything", "meta", "meta-add", "meta-delete"} <= advertised.operations("Patient")


def test_both_formats_are_offered(advertised):
    """docs/operating.md: JSON and XML"""
    formats = " ".join(advertised.statement["format"])

    assert "json" in formats
    assert "xml" in formats


# -- reading -------------------------------------------------------------------------------------------------
def test_what_did_not_change_is_304(fhir, patient):
    """docs/operating.md: If-None-Match, If-Modified-Since"""
    path = f"Patient/{patient()['id']}"
    first = fhir.get(path)

    by_etag = fhir.get(path, headers={"If-None-Match": first.headers["ETag"]})
    by_date = fhir.get(path, headers={"If-Modified-Since": first.headers["Last-Modified"]})

    assert (by_etag.status_code, by_date.status_code) == (304, 304)


def test_head_is_offered(fhir, patient):
    """docs/operating.md"""
    assert fhir.head(f"Patient/{patient()['id']}").status_code == 200
    assert fhir.head("metadata").status_code == 200
    assert fhir.head("Patient?_count=1").status_code == 200


def test_versions_are_counted_from_one(versions):
    """docs/operating.md: a version id a person can follow"""
    assert [version["meta"]["versionId"] for version in versions()] == ["1", "2", "3"]


@pytest.mark.parametrize("digits", ["1.0e-10", "1.0E-10", "6.02E+23", "120.50", "0.000", "-0.0", "1E3"])
def test_decimals_stay_digit_for_digit(fhir, digits):
    """The exact JSON bytes served, decimals keep their digits, down to the letter of the exponent"""
    body = '{"resourceType":"Observation","status":"final","code":{"text":"d"},"valueQuantity":{"value":DIGITS}}'
    body = body.replace("DIGITS", digits)
    created = fhir.post("Observation", body=body, headers={"Content-Type": fhir.json})

    text = fhir.get(fhir.local(created.headers["Location"])).text.replace(" ", "")

    assert f'"value":{digits}}}' in text


def test_the_order_of_properties_is_the_clients(fhir):
    """The exact JSON"""
    body = '{"resourceType":"Patient","gender":"male","active":true,"name":[{"given":["a"],"family":"b"}]}'
    created = fhir.post("Patient", body=body, headers={"Content-Type": fhir.json})

    stored = fhir.read(fhir.local(created.headers["Location"]))

    assert [name for name in stored if name not in ("id", "meta")] == list(json.loads(body))
    assert list(stored["name"][0]) == ["given", "family"]


def test_an_unknown_summary_is_400(fhir, patient):
    """docs/operating.md: what is not understood is a 400 that lists what is"""
    (issue,) = fhir.issues(fhir.get(f"Patient/{patient()['id']}", params={"_summary": "nonsense"}), 400)

    assert "count" in issue["diagnostics"]


# -- writing -------------------------------------------------------------------------------------------------
def test_delete_is_204_again_and_again(fhir, patient, tag):
    """docs/operating.md: delete (and again)"""
    path = f"Patient/{patient()['id']}"

    assert [fhir.delete(path).status_code for _ in range(2)] == [204, 204]


def test_a_failed_test_of_a_patch_is_422(fhir, patient):
    """docs/operating.md: understood, but not to be done"""
    operations = [{"op": "test", "path": "/gender", "value": "female"}]

    fhir.issues(fhir.json_patch(f"Patient/{patient()['id']}", operations), 422)


def test_a_stale_if_match_is_412(fhir, versions):
    """docs/operating.md"""
    first, *_ = versions()
    headers = {"If-Match": f'W/"{first["meta"]["versionId"]}"'}
    path = f"Patient/{first['id']}"

    fhir.issues(fhir.put(path, first, headers=headers), 412)
    fhir.issues(fhir.json_patch(path, [{"op": "add", "path": "/active", "value": True}], headers=headers), 412)
    fhir.issues(fhir.delete(path, headers=headers), 412)


def test_what_is_created_by_put_is_201_also_after_a_delete(fhir, patient):
    """docs/operating.md: the version goes on where the delete left it"""
    stored = patient()
    fhir.delete(f"Patient/{stored['id']}")

    response = fhir.put(f"Patient/{stored['id']}", stored)

    assert response.status_code == 201
    assert response.headers["ETag"] == 'W/"3"'


@pytest.mark.parametrize("criteria", ["", "?", "_count=1", "_sort=_id", "_format=json", "_summary=true", "&"])
def test_criteria_that_choose_nothing_are_refused(fhir, criteria):
    """docs/operating.md: a conditional interaction without a criterion is a mistake, not a match of everything"""
    resource = {"resourceType": "Basic", "code": {"text": "x"}}

    fhir.issues(fhir.post("Basic", resource, headers={"If-None-Exist": criteria}), 400, 412)
    fhir.issues(fhir.put(f"Basic?{criteria}", resource), 400, 405, 412)
    fhir.issues(fhir.delete(f"Basic?{criteria}"), 400, 405, 412)
    fhir.issues(fhir.json_patch(f"Basic?{criteria}", []), 400, 405, 412)


@pytest.mark.parametrize("many", [2, 25])
def test_a_conditional_delete_deletes_one_or_none(fhir, new_tag, many):
    """docs/operating.md: single"""
    tag = new_tag()
    resource = {
        "resourceType": "Basic",
        "identifier": [{"system": fhir.identifiers, "value": tag}],
        "code": {"text": "x"},
    }
    for _ in range(many):
        fhir.create(resource)

    (issue,) = fhir.issues(fhir.delete(f"Basic?identifier={fhir.identifiers}|{tag}"), 412)

    assert issue["code"] == "multiple-matches"
    assert len(fhir.found("Basic", ("identifier", f"{fhir.identifiers}|{tag}"))) == many


def test_references_to_what_is_not_here_are_accepted(fhir, observation):
    """docs/operating.md: a setting refuses them"""
    stored = observation(subject={"reference": f"Patient/{uuid.uuid4().hex}"})

    assert fhir.read(f"Observation/{stored['id']}") == stored


def test_an_unknown_profile_is_a_warning(fhir, new_patient):
    """docs/operating.md"""
    response = fhir.post(
        "Patient",
        new_patient(meta={"profile": ["https://conformance.example/unknown"]}),
        headers={"Prefer": "return=OperationOutcome"},
    )

    assert response.status_code == 201
    assert "warning" in {issue["severity"] for issue in response.json()["issue"]}


def test_a_body_over_the_limit_is_413(fhir):
    """RFC 9110 s. 15.5.14: with an outcome, and read by the client"""
    body = b'{"resourceType":"Patient","name":[{"family":"' + b"x" * 20_000_000 + b'"}]}'

    issues = fhir.issues(fhir.post("Patient", body=body, headers={"Content-Type": fhir.json}), 413)

    assert issues[0]["code"] == "too-long"


@pytest.mark.parametrize("version", ["3.0", '"5.0"', "4.3"])
def test_a_resource_of_another_fhir_is_415(fhir, new_patient, by_tag, version):
    """R4 http.html#version-parameter: what is not of the server's version is not taken for it"""
    headers = {"Content-Type": f"application/fhir+json; fhirVersion={version}"}
    response = fhir.post("Patient", body=json.dumps(new_patient()), headers=headers)

    fhir.issues(response, 415)
    assert fhir.found("Patient", by_tag) == set()


@pytest.mark.parametrize("criteria", ["_count=1", "_sort=family", "_total=none"])
def test_what_shapes_an_answer_is_no_criterion(fhir, criteria):
    """R4 http.html#cdelete: a parameter that says nothing of the resources must not mean all of them"""
    (issue,) = fhir.issues(fhir.request("DELETE", f"Patient?{criteria}"), 400)

    assert "criteria" in issue["diagnostics"]
    assert "did you mean" not in issue["diagnostics"]


def test_xml_patch_is_415_with_what_is_read(fhir, patient):
    """docs/operating.md: JSON Patch and FHIRPath Patch"""
    response = fhir.request(
        "PATCH", f"Patient/{patient()['id']}", body="<diff/>", headers={"Content-Type": "application/xml-patch+xml"}
    )

    (issue,) = fhir.issues(response, 415)
    assert "application/json-patch+json" in issue["diagnostics"]


# -- bundles -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("place", [0, 1, 2])
def test_the_outcome_of_a_transaction_names_the_entry(fhir, new_patient, by_tag, place):
    """docs/operating.md: Bundle.entry[i] in the expression"""
    resources = [new_patient() for _ in range(3)]
    resources[place] = new_patient(birthDate="soon")

    response = fhir.bundle("transaction", *[fhir.entry("POST", "Patient", resource) for resource in resources])

    expressions = [
        expression for issue in fhir.issues(response, 400, 422) for expression in issue.get("expression", [])
    ]
    assert any(expression.startswith(f"Bundle.entry[{place}]") for expression in expressions), expressions
    assert any(expression.endswith("birthDate") for expression in expressions), expressions
    assert fhir.found("Patient", by_tag) == set()


@pytest.mark.parametrize("kind", ["collection", "searchset", "history", "document", "message", "batch-response"])
def test_other_bundles_are_refused_at_base(fhir, new_patient, by_tag, kind):
    """docs/operating.md: batch and transaction"""
    response = fhir.post("", {"resourceType": "Bundle", "type": kind, "entry": [{"resource": new_patient()}]})

    fhir.issues(response, 400, 422)
    assert fhir.found("Patient", by_tag) == set()


def test_a_failing_read_fails_the_transaction(fhir, new_patient, by_tag):
    """docs/operating.md: all or nothing"""
    response = fhir.bundle(
        "transaction", fhir.entry("POST", "Patient", new_patient()), fhir.entry("GET", "Patient/no-such-patient")
    )

    fhir.issues(response, 404)
    assert fhir.found("Patient", by_tag) == set()


# -- searching -----------------------------------------------------------------------------------------------
def test_an_unknown_parameter_is_400_and_lists_what_is_known(fhir):
    """docs/operating.md: strict by default"""
    (issue,) = fhir.issues(fhir.get("Patient?nosuchparameter=1"), 400)

    assert "nosuchparameter" in issue["diagnostics"]
    for known in ("identifier", "_id", "_lastUpdated"):
        assert known in issue["diagnostics"]


@pytest.mark.parametrize(
    "query", ["nosuchparameter=1", "identifier:nosuchmodifier=1", "_nosuch=1", "Identifier=1", "_ID=1"]
)
def test_what_is_not_understood_is_400(fhir, query):
    """docs/operating.md: parameters, modifiers; names are case sensitive"""
    fhir.issues(fhir.get(f"Patient?{query}"), 400)
    fhir.issues(fhir.get(f"Patient?{query}", headers={"Prefer": "handling=strict"}), 400)


@pytest.mark.parametrize("count", ["abc", "-1", "1.5", "1e3"])
def test_a_bad_count_is_400(fhir, count):
    """docs/operating.md"""
    fhir.issues(fhir.get("Patient", params={"_count": count}), 400)
    fhir.issues(fhir.get("Patient/_history", params={"_count": count}), 400)


def test_the_total_is_there(fhir, patient, by_tag):
    """docs/operating.md"""
    patient(), patient()

    assert fhir.search("Patient", by_tag, ("_count", "1"))["total"] == 2


def test_a_search_of_a_compartment(fhir, patient, observation):
    """docs/operating.md: search at compartment level"""
    holder, other = patient(), patient()
    mine = observation(subject={"reference": f"Patient/{holder['id']}"})
    observation(subject={"reference": f"Patient/{other['id']}"})

    assert fhir.found(f"Patient/{holder['id']}/Observation", ("status", "final")) == {mine["id"]}
    assert fhir.found(f"Patient/{holder['id']}/Observation", ("status", "amended")) == set()


# -- the door ------------------------------------------------------------------------------------------------
def test_discovery_needs_no_token(fhir):
    """R4 http.html#capabilities"""
    assert fhir.get("metadata", token=False).status_code == 200
    assert fhir.get(".well-known/smart-configuration", token=False).status_code == 200


@pytest.mark.parametrize("path", ["Nonsense", "Nonsense/1", "nosuchplace/x/y/z", "Patient/1/$nosuchoperation"])
def test_even_what_is_not_there_needs_a_token(fhir, path):
    """docs/access.md: deny is the default"""
    response = fhir.get(path, token=False)

    fhir.issues(response, 401, 404)
