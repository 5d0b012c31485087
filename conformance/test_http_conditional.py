"""Conditional create, update, patch and delete.  R4 http.html#ccreate, #cond-update, #patch, #delete"""

from __future__ import annotations

import pytest

DONE = (200, 202, 204)

#: Criteria that a server cannot mean anything by: to ignore them would be to match everything.
NOT_UNDERSTOOD = ["nosuchparameter=1", "identifier:nosuchmodifier=1", "birthdate=yesterday", "_lastUpdated=xx2024"]


@pytest.fixture
def create_unless(fhir, advertised, new_patient):
    """A conditional create of this test's patient."""
    advertised.need_on("Patient", "conditionalCreate")

    def send(criteria, prefer="return=representation", **changes):
        headers = {"If-None-Exist": criteria, "Prefer": prefer}
        return fhir.post("Patient", new_patient(**changes), headers=headers)

    return send


# -- conditional create --------------------------------------------------------------------------------------
def test_create_where_nothing_matches(fhir, create_unless, criteria, by_tag):
    """R4 http.html#ccreate: no matches, the server processes the create as above"""
    response = create_unless(criteria)

    assert response.status_code == 201
    assert fhir.found("Patient", by_tag) == {response.json()["id"]}


def test_create_where_one_matches_returns_200_and_creates_nothing(fhir, create_unless, criteria, by_tag, patient):
    """R4 http.html#ccreate: one match, the server ignores the post and returns 200 OK"""
    there = patient(gender="male")

    response = create_unless(criteria, gender="female")

    assert response.status_code == 200
    assert fhir.found("Patient", by_tag) == {there["id"]}
    assert fhir.read(f"Patient/{there['id']}") == there
    if "Location" in response.headers:
        assert fhir.local(response.headers["Location"]) == f"Patient/{there['id']}"
    if response.content:
        assert response.json() == there, "the representation is that of the one that is there"


def test_create_where_many_match_is_412(fhir, create_unless, criteria, by_tag, patient):
    """R4 http.html#ccreate: multiple matches, 412"""
    there = {patient()["id"], patient()["id"]}

    fhir.issues(create_unless(criteria), 412)

    assert fhir.found("Patient", by_tag) == there


def test_create_twice_in_a_row_creates_once(fhir, create_unless, criteria, by_tag):
    """R4 http.html#ccreate"""
    assert [create_unless(criteria).status_code for _ in range(3)] == [201, 200, 200]
    assert len(fhir.found("Patient", by_tag)) == 1


def test_create_at_once_creates_once(fhir, create_unless, criteria, by_tag):
    """R4 http.html#ccreate: avoids the risk of two clients creating duplicate resources for the same record"""
    responses = fhir.at_once([lambda: create_unless(criteria)] * 16)

    statuses = [response.status_code for response in responses]
    assert statuses.count(201) == 1, statuses
    assert set(statuses) <= {200, 201, 409, 412}
    assert len(fhir.found("Patient", by_tag)) == 1


def test_many_records_at_once_are_each_created_once(fhir, advertised, new_patient, new_tag):
    """R4 http.html#ccreate: four records, each sent by four clients at the same time"""
    advertised.need_on("Patient", "conditionalCreate")
    values = [new_tag() for _ in range(4)]

    def send(value):
        resource = new_patient(identifier=[{"system": fhir.identifiers, "value": value}])
        return fhir.post("Patient", resource, headers={"If-None-Exist": f"identifier={fhir.identifiers}|{value}"})

    fhir.at_once([lambda value=value: send(value) for value in values * 4])

    for value in values:
        assert len(fhir.found("Patient", ("identifier", f"{fhir.identifiers}|{value}"))) == 1


def test_criteria_may_be_percent_encoded(fhir, create_unless, criteria, by_tag, patient):
    """R4 http.html#ccreate: what would be in the URL following the ?"""
    there = patient()

    response = create_unless(criteria.replace("|", "%7C").replace(":", "%3A").replace("/", "%2F"))

    assert response.status_code == 200
    assert fhir.found("Patient", by_tag) == {there["id"]}


def test_a_deleted_match_is_no_match(create_unless, criteria, fhir):
    """R4 http.html#ccreate: the criteria are a search, and a search finds what is there now"""
    first = create_unless(criteria).json()
    fhir.delete(f"Patient/{first['id']}")

    response = create_unless(criteria)

    assert response.status_code == 201
    assert response.json()["id"] != first["id"]


def test_a_match_that_was_changed_is_no_match(create_unless, criteria, fhir, new_patient):
    """R4 http.html#ccreate: the criteria are a search, and a search finds what is there now"""
    first = create_unless(criteria).json()
    other = [{"system": fhir.identifiers, "value": "changed-" + first["id"]}]
    fhir.put(f"Patient/{first['id']}", new_patient(id=first["id"], identifier=other))

    assert create_unless(criteria).status_code == 201


def test_the_criteria_need_not_be_true_of_the_body(create_unless, fhir, tag):
    """R4 http.html#ccreate: nothing matches, before or after, so each create is a create"""
    criteria = f"identifier={fhir.identifiers}|never-{tag}"

    assert [create_unless(criteria).status_code for _ in range(2)] == [201, 201]


def test_criteria_of_several_parameters_must_all_hold(create_unless, criteria, patient, advertised):
    """R4 http.html#ccreate, search.html#combining"""
    if not {"_id", "identifier"} <= set(advertised.search_parameters("Patient")):
        pytest.skip("the server does not offer these parameters")
    there = patient()

    assert create_unless(f"{criteria}&_id={there['id']}").status_code == 200
    assert create_unless(f"{criteria}&_id=another").status_code == 201


@pytest.mark.parametrize("not_understood", NOT_UNDERSTOOD)
def test_create_by_criteria_that_are_not_understood_creates_nothing(
    fhir, create_unless, criteria, by_tag, not_understood
):
    """R4 http.html#ccreate: to ignore a criterion is to answer another question"""
    fhir.issues(create_unless(f"{criteria}&{not_understood}"), 400, 412)

    assert fhir.found("Patient", by_tag) == set()


# -- conditional update --------------------------------------------------------------------------------------
@pytest.fixture
def update_where(fhir, advertised, new_patient):
    """A conditional update to this test's patient."""
    advertised.need_on("Patient", "conditionalUpdate")

    def send(criteria, headers=None, **changes):
        return fhir.put(f"Patient?{criteria}", new_patient(gender="other", **changes), headers=headers)

    return send


def test_update_where_nothing_matches_and_no_id_creates(fhir, update_where, criteria, by_tag):
    """R4 http.html#cond-update: no matches, no id provided: the server creates the resource"""
    response = update_where(criteria)

    assert response.status_code == 201
    assert fhir.found("Patient", by_tag) == {fhir.local(response.headers["Location"]).removeprefix("Patient/")}


def test_update_where_nothing_matches_with_an_id_is_update_as_create(fhir, advertised, update_where, criteria, tag):
    """R4 http.html#cond-update: no matches, id provided: update as create, or rejected without it"""
    response = update_where(criteria, id=tag)

    if advertised.is_on("Patient", "updateCreate"):
        assert response.status_code == 201
        assert fhir.read(f"Patient/{tag}")["gender"] == "other"
    else:
        fhir.issues(response, 400, 404, 405, 409, 412, 422)


def test_update_where_one_matches_updates_it(fhir, update_where, criteria, patient, by_tag):
    """R4 http.html#cond-update: one match, no id provided: the server performs the update"""
    there = patient()

    response = update_where(criteria)

    assert response.status_code == 200
    current = fhir.read(f"Patient/{there['id']}")
    assert current["gender"] == "other"
    assert response.headers["ETag"] == f'W/"{current["meta"]["versionId"]}"'
    assert fhir.found("Patient", by_tag) == {there["id"]}


def test_update_where_one_matches_with_its_id_updates_it(fhir, update_where, criteria, patient):
    """R4 http.html#cond-update: one match, resource id provided and it matches"""
    there = patient()

    assert update_where(criteria, id=there["id"]).status_code == 200
    assert fhir.read(f"Patient/{there['id']}")["gender"] == "other"


def test_update_where_one_matches_with_another_id_is_400(fhir, update_where, criteria, patient):
    """R4 http.html#cond-update: one match, resource id provided but does not match: 400"""
    there = patient()

    fhir.issues(update_where(criteria, id="another"), 400)

    assert fhir.read(f"Patient/{there['id']}") == there
    assert fhir.get("Patient/another").status_code in (404, 410)


def test_update_where_many_match_is_412(fhir, update_where, criteria, patient):
    """R4 http.html#cond-update: multiple matches, 412"""
    there = [patient(), patient()]

    fhir.issues(update_where(criteria), 412)

    assert [fhir.read(f"Patient/{stored['id']}") for stored in there] == there


def test_update_at_once_makes_one_resource(fhir, update_where, criteria, by_tag):
    """R4 http.html#cond-update: a stateless client's results, sent again and again, stay one resource"""
    responses = fhir.at_once([lambda: update_where(criteria)] * 16)

    statuses = [response.status_code for response in responses]
    assert statuses.count(201) == 1, statuses
    assert set(statuses) <= {200, 201, 409, 412}
    assert len(fhir.found("Patient", by_tag)) == 1


def test_update_where_with_a_stale_if_match_changes_nothing(fhir, update_where, criteria, versions):
    """R4 http.html#concurrency: also when the resource is found by criteria"""
    first, *_, last = versions()

    response = update_where(criteria, headers={"If-Match": f'W/"{first["meta"]["versionId"]}"'})

    fhir.issues(response, 409, 412)
    assert fhir.read(f"Patient/{first['id']}") == last


@pytest.mark.parametrize("not_understood", NOT_UNDERSTOOD)
def test_update_by_criteria_that_are_not_understood_changes_nothing(
    fhir, update_where, criteria, patient, by_tag, not_understood
):
    """R4 http.html#cond-update"""
    there = patient()

    fhir.issues(update_where(f"{criteria}&{not_understood}"), 400, 412)

    assert fhir.read(f"Patient/{there['id']}") == there
    assert fhir.found("Patient", by_tag) == {there["id"]}


# -- conditional patch ---------------------------------------------------------------------------------------
PATCH = [{"op": "add", "path": "/gender", "value": "other"}]


@pytest.fixture
def patch_where(fhir, advertised):
    """A conditional patch."""
    advertised.need("Patient", "patch")
    advertised.need_on("Patient", "conditionalUpdate")
    return lambda criteria: fhir.json_patch(f"Patient?{criteria}", PATCH)


def test_patch_where_nothing_matches_is_404(fhir, patch_where, criteria):
    """R4 http.html#patch: no matches, 404"""
    fhir.issues(patch_where(criteria), 404)


def test_patch_where_one_matches(fhir, patch_where, criteria, patient):
    """R4 http.html#patch: one match, the update is performed"""
    there = patient()

    assert patch_where(criteria).status_code == 200
    assert fhir.read(f"Patient/{there['id']}")["gender"] == "other"


def test_patch_where_many_match_is_412(fhir, patch_where, criteria, patient):
    """R4 http.html#patch: multiple matches, 412"""
    there = [patient(), patient()]

    fhir.issues(patch_where(criteria), 412)

    assert [fhir.read(f"Patient/{stored['id']}") for stored in there] == there


@pytest.mark.parametrize("not_understood", NOT_UNDERSTOOD)
def test_patch_by_criteria_that_are_not_understood_changes_nothing(
    fhir, patch_where, criteria, patient, not_understood
):
    """R4 http.html#patch"""
    there = patient()

    fhir.issues(patch_where(f"{criteria}&{not_understood}"), 400, 412)

    assert fhir.read(f"Patient/{there['id']}") == there


# -- conditional delete --------------------------------------------------------------------------------------
@pytest.fixture
def delete_where(fhir, advertised):
    """A conditional delete."""
    advertised.need_on("Patient", "conditionalDelete")
    return lambda criteria: fhir.delete(f"Patient?{criteria}")


def test_delete_where_nothing_matches(delete_where, criteria):
    """R4 http.html#delete: no matches, an ordinary delete, of what does not exist"""
    assert delete_where(criteria).status_code in (*DONE, 404)


def test_delete_where_one_matches(fhir, delete_where, criteria, patient):
    """R4 http.html#delete: one match, an ordinary delete"""
    there = patient()

    assert delete_where(criteria).status_code in DONE
    fhir.issues(fhir.get(f"Patient/{there['id']}"), 410)


def test_delete_where_many_match_is_as_advertised(fhir, advertised, delete_where, criteria, patient):
    """R4 http.html#delete: all of them, or 412, as CapabilityStatement.rest.resource.conditionalDelete says"""
    there = [patient(), patient()]

    response = delete_where(criteria)

    if advertised.resources["Patient"]["conditionalDelete"] == "single":
        fhir.issues(response, 412)
        assert [fhir.read(f"Patient/{stored['id']}") for stored in there] == there
    else:
        assert response.status_code in DONE
        assert {fhir.get(f"Patient/{stored['id']}").status_code for stored in there} == {410}


@pytest.mark.parametrize("not_understood", NOT_UNDERSTOOD)
def test_delete_by_criteria_that_are_not_understood_deletes_nothing(
    fhir, delete_where, criteria, patient, not_understood
):
    """R4 http.html#delete"""
    there = patient()

    fhir.issues(delete_where(f"{criteria}&{not_understood}"), 400, 412)

    assert fhir.read(f"Patient/{there['id']}") == there
