"""transaction: all or nothing, in the order of the standard, with references made good.

R4 http.html#transaction, #trules, #transaction-response; bundle.html#references
"""

from __future__ import annotations

import uuid

import pytest

REFUSED = (400, 404, 409, 412, 422)


@pytest.fixture(autouse=True)
def offered(advertised):
    """R4 http.html#transaction is optional."""
    advertised.need_system("transaction")


@pytest.fixture
def transact(fhir):
    """The answered entries of a transaction that must succeed."""
    return lambda *entries, **headers: fhir.answers(fhir.bundle("transaction", *entries, **headers), "transaction")


def urn():
    return f"urn:uuid:{uuid.uuid4()}"


def codes(entries):
    return [entry["response"]["status"][:3] for entry in entries]


def place(fhir, entry):
    """`Type/id` of what an answered entry wrote."""
    return fhir.local(entry["response"]["location"])


def test_entries_are_answered_in_their_order(fhir, transact, patient, new_patient, new_observation):
    """R4 http.html#transaction-response: one entry for each entry in the request, in the same order"""
    there, leaving = patient(), patient()

    entries = transact(
        fhir.entry("GET", f"Patient/{there['id']}"),
        fhir.entry("PUT", f"Patient/{there['id']}", {**there, "gender": "other"}),
        fhir.entry("POST", "Observation", new_observation()),
        fhir.entry("DELETE", f"Patient/{leaving['id']}"),
        fhir.entry("POST", "Patient", new_patient()),
    )

    assert codes(entries)[:3] == ["200", "200", "201"]
    assert codes(entries)[3] in ("200", "202", "204")
    assert codes(entries)[4] == "201"
    assert place(fhir, entries[2]).startswith("Observation/")
    assert place(fhir, entries[4]).startswith("Patient/")


def test_written_entries_carry_location_etag_and_instant(fhir, transact, patient, new_patient):
    """R4 http.html#transaction-response, bundle.html#Bundle.entry.response"""
    there = patient()

    created, updated = transact(
        fhir.entry("POST", "Patient", new_patient()),
        fhir.entry("PUT", f"Patient/{there['id']}", {**there, "gender": "other"}),
    )

    assert "/_history/" in created["response"]["location"]
    for path, entry in ((place(fhir, created), created), (f"Patient/{there['id']}", updated)):
        stored = fhir.read(path)
        assert entry["response"]["etag"] == f'W/"{stored["meta"]["versionId"]}"'
        assert entry["response"]["lastModified"][:19] == stored["meta"]["lastUpdated"][:19], "to the second, at least"


def test_an_empty_transaction_is_no_error(fhir):
    """R4 http.html#trules: it is not an error if the submitted bundle has no resources in it"""
    response = fhir.bundle("transaction")

    assert fhir.answers(response, "transaction") == []
    assert "entry" not in response.json()


@pytest.mark.parametrize(("prefer", "whole"), [("return=minimal", False), ("return=representation", True)])
def test_prefer_says_whether_resources_come_back(fhir, transact, new_patient, prefer, whole):
    """R4 http.html#ops"""
    (entry,) = transact(fhir.entry("POST", "Patient", new_patient()), Prefer=prefer)

    assert ("resource" in entry) is whole
    if whole:
        last_updated = entry["resource"]["meta"]["lastUpdated"]
        assert entry["response"]["lastModified"] == last_updated, (
            "bundle.html: it has to match if a resource is included"
        )
    if whole:
        assert entry["resource"] == fhir.read(place(fhir, entry))


def test_sixty_entries(fhir, transact, new_patient, new_observation, by_tag):
    """R4 http.html#trules"""
    name = urn()
    observations = [
        fhir.entry("POST", "Observation", new_observation(subject={"reference": name}), urn()) for _ in range(59)
    ]

    entries = transact(*observations, fhir.entry("POST", "Patient", new_patient(), name))

    assert codes(entries) == ["201"] * 60
    patient_id = place(fhir, entries[59]).removeprefix("Patient/")
    assert len(fhir.found("Observation", ("patient", patient_id))) == 59


# -- references ----------------------------------------------------------------------------------------------
def test_references_to_what_is_created_are_made_good(fhir, transact, new_patient, new_observation):
    """R4 http.html#trules: it SHALL also update any references to that resource in the same bundle"""
    name = urn()

    observed, created = transact(
        fhir.entry("POST", "Observation", new_observation(subject={"reference": name, "display": name}), urn()),
        fhir.entry("POST", "Patient", new_patient(), name),
    )

    stored = fhir.read(place(fhir, observed))
    assert stored["subject"] == {"reference": place(fhir, created), "display": name}
    assert fhir.found("Observation", ("subject", place(fhir, created))) == {stored["id"]}


def test_circular_references_are_made_good(fhir, transact, new_observation):
    """R4 http.html#trules: including circular references where resources refer to each other"""
    first, second = urn(), urn()

    one, two = transact(
        fhir.entry("POST", "Observation", new_observation(hasMember=[{"reference": second}]), first),
        fhir.entry("POST", "Observation", new_observation(derivedFrom=[{"reference": first}]), second),
    )

    assert fhir.read(place(fhir, one))["hasMember"] == [{"reference": place(fhir, two)}]
    assert fhir.read(place(fhir, two))["derivedFrom"] == [{"reference": place(fhir, one)}]


def test_links_are_made_good_wherever_the_standard_says(fhir, transact, new_patient, tag):
    """R4 http.html#trules: references, uri, url, oid, uuid, <a href> and <img src> in the narrative; not canonical"""
    person, scan = urn(), urn()
    div = (
        f'<div xmlns="http://www.w3.org/1999/xhtml"><p>{person} <a href="{person}">the person</a>'
        f' <img src="{scan}" alt="{scan}"/> <a href="#local">local</a></p></div>'
    )
    document = {
        "resourceType": "DocumentReference",
        "status": "current",
        "text": {"status": "generated", "div": div},
        "extension": [
            {"url": "https://conformance.example/uri", "valueUri": person},
            {"url": "https://conformance.example/url", "valueUrl": person},
            {"url": "https://conformance.example/uuid", "valueUuid": person},
            {"url": "https://conformance.example/canonical", "valueCanonical": person},
            {"url": "https://conformance.example/string", "valueString": person},
        ],
        "identifier": [{"system": fhir.identifiers, "value": tag}],
        "subject": {"reference": person},
        "content": [{"attachment": {"contentType": "text/plain", "url": scan, "title": scan}}],
    }
    binary = {"resourceType": "Binary", "contentType": "text/plain", "data": "Ym9uam91cg=="}

    documented, created, scanned = transact(
        fhir.entry("POST", "DocumentReference", document, urn()),
        fhir.entry("POST", "Patient", new_patient(), person),
        fhir.entry("POST", "Binary", binary, scan),
    )

    stored = fhir.read(place(fhir, documented))
    at_person, at_scan = place(fhir, created), place(fhir, scanned)
    assert stored["subject"]["reference"] == at_person
    assert stored["content"][0]["attachment"]["url"] in (at_scan, f"{fhir.base}/{at_scan}")
    assert stored["content"][0]["attachment"]["title"] == scan
    uri, url, uuid_, canonical, string = stored["extension"]
    assert uri["valueUri"] in (at_person, f"{fhir.base}/{at_person}")
    assert url["valueUrl"] in (at_person, f"{fhir.base}/{at_person}")
    assert uuid_.get("valueUuid") in (person, at_person, f"{fhir.base}/{at_person}"), (
        "an id is no uuid: either is defensible"
    )
    assert canonical["valueCanonical"] == person
    assert string["valueString"] == person
    assert f'href="{at_person}"' in stored["text"]["div"] or f'href="{fhir.base}/{at_person}"' in stored["text"]["div"]
    assert f'src="{at_scan}"' in stored["text"]["div"] or f'src="{fhir.base}/{at_scan}"' in stored["text"]["div"]
    assert f'alt="{scan}"' in stored["text"]["div"]
    assert 'href="#local"' in stored["text"]["div"]
    assert f"<p>{person} <a" in stored["text"]["div"], "text of the narrative is no link"


def test_references_in_contained_resources_are_made_good(fhir, transact, new_patient, new_observation):
    """R4 http.html#trules, references.html#contained"""
    name = urn()
    device = {"resourceType": "Device", "id": "scale", "patient": {"reference": name}}

    observed, created = transact(
        fhir.entry(
            "POST",
            "Observation",
            new_observation(contained=[device], device={"reference": "#scale"}, subject={"reference": name}),
        ),
        fhir.entry("POST", "Patient", new_patient(), name),
    )

    stored = fhir.read(place(fhir, observed))
    assert stored["contained"][0]["patient"]["reference"] == place(fhir, created)
    assert stored["device"]["reference"] == "#scale"


def test_a_prefix_of_a_name_is_not_the_name(fhir, transact, new_patient, new_observation):
    """R4 bundle.html#references: fullUrls are compared whole"""
    name = urn()

    observed, created = transact(
        fhir.entry(
            "POST",
            "Observation",
            new_observation(subject={"reference": name}, focus=[{"reference": name[:-1]}, {"reference": name + "0"}]),
        ),
        fhir.entry("POST", "Patient", new_patient(), name),
    )

    stored = fhir.read(place(fhir, observed))
    assert stored["subject"]["reference"] == place(fhir, created)
    assert stored["focus"] == [{"reference": name[:-1]}, {"reference": name + "0"}]


def test_absolute_and_relative_references_resolve_by_full_url(fhir, transact, new_patient, new_observation):
    """R4 bundle.html#references: a relative reference is appended to the base of the entry's fullUrl"""
    base = "https://source.example/fhir"

    relative, absolute, created = transact(
        fhir.entry(
            "POST", "Observation", new_observation(subject={"reference": "Patient/p"}), f"{base}/Observation/o1"
        ),
        fhir.entry(
            "POST", "Observation", new_observation(subject={"reference": f"{base}/Patient/p"}), f"{base}/Observation/o2"
        ),
        fhir.entry("POST", "Patient", new_patient(id="p"), f"{base}/Patient/p"),
    )

    assert fhir.read(place(fhir, relative))["subject"]["reference"] == place(fhir, created)
    assert fhir.read(place(fhir, absolute))["subject"]["reference"] == place(fhir, created)


def test_references_to_what_is_elsewhere_are_left(fhir, transact, new_observation):
    """R4 http.html#trules: references to resources that are not part of the bundle are left untouched"""
    elsewhere = "https://elsewhere.example/fhir/Patient/1"

    (observed,) = transact(fhir.entry("POST", "Observation", new_observation(subject={"reference": elsewhere})))

    assert fhir.read(place(fhir, observed))["subject"]["reference"] == elsewhere


def test_a_name_that_no_entry_has_is_left_or_refused(fhir, new_observation, by_tag):
    """R4 http.html#trules: references to resources that are not part of the bundle are left untouched"""
    name = urn()

    response = fhir.bundle(
        "transaction", fhir.entry("POST", "Observation", new_observation(subject={"reference": name}))
    )

    if response.status_code == 200:
        stored = fhir.read(place(fhir, fhir.answers(response, "transaction")[0]))
        assert stored["subject"]["reference"] == name
    else:
        fhir.issues(response, 400, 409, 422)
        assert fhir.found("Observation", by_tag) == set()


def test_references_to_what_is_updated_are_made_good(fhir, transact, patient, new_observation):
    """R4 http.html#trules: for updates, a mapping between the fullUrl specified and the local URL"""
    there, name = patient(), urn()

    _, observed = transact(
        fhir.entry("PUT", f"Patient/{there['id']}", {**there, "gender": "other"}, name),
        fhir.entry("POST", "Observation", new_observation(subject={"reference": name})),
    )

    assert fhir.read(place(fhir, observed))["subject"]["reference"] == f"Patient/{there['id']}"


def test_references_to_what_already_exists_are_made_good(
    fhir, advertised, transact, patient, new_patient, new_observation, criteria
):
    """R4 http.html#ccreate within http.html#trules"""
    advertised.need_on("Patient", "conditionalCreate")
    there, name = patient(), urn()

    observed, kept = transact(
        fhir.entry("POST", "Observation", new_observation(subject={"reference": name})),
        fhir.entry("POST", "Patient", new_patient(gender="male"), name, ifNoneExist=criteria),
    )

    assert kept["response"]["status"].startswith("200")
    assert fhir.read(place(fhir, observed))["subject"]["reference"] == f"Patient/{there['id']}"
    assert fhir.read(f"Patient/{there['id']}") == there


@pytest.mark.parametrize("exists", [True, False])
def test_references_to_a_conditional_update_are_made_good(
    fhir, advertised, transact, patient, new_patient, new_observation, criteria, exists
):
    """R4 http.html#cond-update within http.html#trules"""
    advertised.need_on("Patient", "conditionalUpdate")
    name = urn()
    if exists:
        patient()

    observed, _ = transact(
        fhir.entry("POST", "Observation", new_observation(subject={"reference": name})),
        fhir.entry("PUT", f"Patient?{criteria}", new_patient(gender="other"), name),
    )

    reference = fhir.read(place(fhir, observed))["subject"]["reference"]
    assert fhir.read(reference)["gender"] == "other"


def test_a_conditional_reference_is_replaced(fhir, transact, patient, new_observation, criteria):
    """R4 http.html#trules, Conditional References: if there is a single match, the search URI is replaced"""
    there = patient()

    (observed,) = transact(
        fhir.entry("POST", "Observation", new_observation(subject={"reference": f"Patient?{criteria}"}))
    )

    assert fhir.read(place(fhir, observed))["subject"]["reference"] == f"Patient/{there['id']}"


def test_a_conditional_reference_finds_what_the_transaction_creates(
    fhir, transact, new_patient, new_observation, criteria
):
    """R4 http.html#trules: conditional references are resolved last, after DELETE, POST, PUT and GET"""
    observed, created = transact(
        fhir.entry("POST", "Observation", new_observation(subject={"reference": f"Patient?{criteria}"})),
        fhir.entry("POST", "Patient", new_patient()),
    )

    assert fhir.read(place(fhir, observed))["subject"]["reference"] == place(fhir, created)


@pytest.mark.parametrize("many", [0, 2])
def test_a_conditional_reference_to_none_or_many_fails(fhir, patient, new_observation, criteria, by_tag, many):
    """R4 http.html#trules: if there are no matches, or multiple matches, the transaction fails"""
    for _ in range(many):
        patient()

    response = fhir.bundle(
        "transaction",
        fhir.entry("POST", "Observation", new_observation()),
        fhir.entry("POST", "Observation", new_observation(subject={"reference": f"Patient?{criteria}"})),
    )

    fhir.issues(response, *REFUSED)
    assert fhir.found("Observation", by_tag) == set()


def test_a_conditional_reference_that_is_not_understood_fails(fhir, patient, new_observation, criteria, by_tag):
    """R4 http.html#trules: only filtering parameters are allowed"""
    patient()

    for query in (f"{criteria}&nosuchparameter=1", "nosuchparameter=1", ""):
        reference = {"reference": f"Patient?{query}"}
        response = fhir.bundle("transaction", fhir.entry("POST", "Observation", new_observation(subject=reference)))
        fhir.issues(response, *REFUSED)

    assert fhir.found("Observation", by_tag) == set()


# -- all or nothing ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    "bad",
    [
        {"request": {"method": "POST", "url": "Patient"}, "resource": {"resourceType": "Patient", "birthDate": "soon"}},
        {"request": {"method": "POST", "url": "Patient"}},
        {"request": {"method": "POST", "url": "Patient"}, "resource": {"resourceType": "Observation"}},
        {"request": {"method": "PUT", "url": "Patient/a"}, "resource": {"resourceType": "Patient", "id": "b"}},
        {"request": {"method": "PUT", "url": "Patient/a"}, "resource": {"resourceType": "Patient"}},
        {"request": {"method": "POST", "url": "Nonsense"}, "resource": {"resourceType": "Nonsense"}},
        {"request": {"method": "FROB", "url": "Patient/a"}},
        {"request": {"method": "GET", "url": "Patient?birthdate=yesterday"}},
        {"request": {"method": "PATCH", "url": "Patient/no-such-patient"}, "resource": {"resourceType": "Parameters"}},
        {"resource": {"resourceType": "Patient"}},
        {},
        {
            "request": {"method": "POST", "url": "Patient", "ifNoneExist": "nosuchparameter=1"},
            "resource": {"resourceType": "Patient"},
        },
        {"request": {"method": "POST", "url": ""}, "resource": {"resourceType": "Bundle", "type": "transaction"}},
        {"request": {"method": "POST", "url": "/"}, "resource": {"resourceType": "Bundle", "type": "batch"}},
    ],
)
def test_one_bad_entry_refuses_all(fhir, patient, new_patient, by_tag, bad, first):
    """R4 http.html#trules: accept all actions or reject all; a failed one returns a single OperationOutcome"""
    there, leaving = patient(), patient()
    good = [
        fhir.entry("POST", "Patient", new_patient()),
        fhir.entry("PUT", f"Patient/{there['id']}", {**there, "gender": "other"}),
        fhir.entry("DELETE", f"Patient/{leaving['id']}"),
    ]

    response = fhir.bundle("transaction", *([bad, *good] if first else [*good, bad]))

    fhir.issues(response, *REFUSED)
    assert fhir.found("Patient", by_tag) == {there["id"], leaving["id"]}
    assert fhir.read(f"Patient/{there['id']}") == there
    assert fhir.read(f"Patient/{leaving['id']}") == leaving


def test_a_stale_if_match_refuses_all(fhir, versions, new_observation, by_tag):
    """R4 bundle.html#Bundle.entry.request.ifMatch"""
    first, *_, last = versions()

    response = fhir.bundle(
        "transaction",
        fhir.entry("POST", "Observation", new_observation()),
        fhir.entry("PUT", f"Patient/{first['id']}", first, ifMatch=f'W/"{first["meta"]["versionId"]}"'),
    )

    fhir.issues(response, 409, 412)
    assert fhir.found("Observation", by_tag) == set()
    assert fhir.read(f"Patient/{first['id']}") == last


def test_a_refused_transaction_leaves_no_trace(fhir, patient, new_patient):
    """R4 http.html#trules, #history"""
    there = patient()
    fhir.bundle(
        "transaction",
        fhir.entry("PUT", f"Patient/{there['id']}", {**there, "gender": "other"}),
        fhir.entry("POST", "Patient", new_patient(birthDate="soon")),
    )

    assert len(fhir.read(f"Patient/{there['id']}/_history")["entry"]) == 1
    assert fhir.put(f"Patient/{there['id']}", {**there, "gender": "male"}).status_code == 200


@pytest.mark.parametrize(
    "pair",
    [("PUT", "PUT"), ("PUT", "DELETE"), ("DELETE", "DELETE"), ("PUT", "PUT?"), ("DELETE?", "PUT")],
)
def test_a_resource_can_only_appear_once(fhir, advertised, patient, criteria, pair):
    """R4 http.html#trules: if any resource identities overlap in steps 1-3, then the transaction SHALL fail"""
    advertised.need_on("Patient", "conditionalUpdate")
    advertised.need_on("Patient", "conditionalDelete")
    there = patient()

    def entry(method, gender):
        url = f"Patient?{criteria}" if method.endswith("?") else f"Patient/{there['id']}"
        resource = {**there, "gender": gender} if method.startswith("PUT") else None
        return fhir.entry(method.rstrip("?"), url, resource)

    response = fhir.bundle("transaction", entry(pair[0], "male"), entry(pair[1], "female"))

    fhir.issues(response, *REFUSED)
    assert fhir.read(f"Patient/{there['id']}") == there


def test_two_entries_of_the_same_full_url_are_refused(fhir, new_patient, by_tag):
    """R4 bundle.html: bdl-7, fullUrl must be unique in a bundle"""
    name = urn()

    response = fhir.bundle(
        "transaction",
        fhir.entry("POST", "Patient", new_patient(), name),
        fhir.entry("POST", "Patient", new_patient(), name),
    )

    fhir.issues(response, *REFUSED)
    assert fhir.found("Patient", by_tag) == set()


def test_the_same_conditional_create_twice_makes_one_at_most(fhir, advertised, new_patient, criteria, by_tag):
    """R4 http.html#trules: a resource can only appear in a transaction once"""
    advertised.need_on("Patient", "conditionalCreate")
    entry = fhir.entry("POST", "Patient", new_patient(), ifNoneExist=criteria)

    response = fhir.bundle("transaction", entry, entry)

    if response.status_code != 200:
        fhir.issues(response, *REFUSED)
    assert len(fhir.found("Patient", by_tag)) <= 1


def test_a_full_url_that_disagrees_with_the_id_does_not_mislead(fhir, patient):
    """R4 bundle.html#Bundle.entry.fullUrl: SHALL NOT disagree with the id in the resource"""
    there, other = patient(), patient()

    response = fhir.bundle(
        "transaction",
        fhir.entry("PUT", f"Patient/{there['id']}", {**there, "gender": "other"}, f"{fhir.base}/Patient/{other['id']}"),
    )

    assert fhir.read(f"Patient/{other['id']}") == other
    if response.status_code == 200:
        assert fhir.read(f"Patient/{there['id']}")["gender"] == "other"
    else:
        fhir.issues(response, 400, 422)
        assert fhir.read(f"Patient/{there['id']}") == there


# -- order ---------------------------------------------------------------------------------------------------
def test_delete_goes_before_post(fhir, advertised, transact, patient, new_patient, criteria, by_tag):
    """R4 http.html#trules: 1. DELETE, 2. POST: what is deleted no longer hinders a conditional create"""
    advertised.need_on("Patient", "conditionalCreate")
    there = patient()

    created, _ = transact(
        fhir.entry("POST", "Patient", new_patient(gender="female"), ifNoneExist=criteria),
        fhir.entry("DELETE", f"Patient/{there['id']}"),
    )

    assert created["response"]["status"].startswith("201")
    assert fhir.found("Patient", by_tag) == {place(fhir, created).removeprefix("Patient/")} - {there["id"]}


def test_get_goes_last(fhir, transact, patient, new_patient, by_tag):
    """R4 http.html#trules: 4. GET: a read sees the update, a search what is created"""
    there = patient()

    read, search, created, _ = transact(
        fhir.entry("GET", f"Patient/{there['id']}"),
        fhir.entry("GET", "Patient?" + "=".join(by_tag)),
        fhir.entry("POST", "Patient", new_patient()),
        fhir.entry("PUT", f"Patient/{there['id']}", {**there, "gender": "other"}),
    )

    assert read["resource"]["gender"] == "other"
    assert set(fhir.matches(search["resource"])) == {there["id"], place(fhir, created).removeprefix("Patient/")}


def test_the_outcome_does_not_depend_on_the_order(fhir, transact, new_patient, new_observation):
    """R4 http.html#trules: the outcome SHALL NOT depend on the order of the resources in the transaction"""
    for turn in (1, -1):
        name = urn()
        entries = [
            fhir.entry("POST", "Patient", new_patient(), name),
            fhir.entry("POST", "Observation", new_observation(subject={"reference": name})),
        ][::turn]

        created, observed = transact(*entries)[::turn]

        assert fhir.read(place(fhir, observed))["subject"]["reference"] == place(fhir, created)


# -- and the rest --------------------------------------------------------------------------------------------
def test_put_with_a_new_id_creates(fhir, advertised, transact, new_patient, new_observation, tag):
    """R4 http.html#upsert within http.html#trules"""
    advertised.need_on("Patient", "updateCreate")

    created, observed = transact(
        fhir.entry("PUT", f"Patient/{tag}", new_patient(id=tag)),
        fhir.entry("POST", "Observation", new_observation(subject={"reference": f"Patient/{tag}"})),
    )

    assert created["response"]["status"].startswith("201")
    assert fhir.read(place(fhir, observed))["subject"]["reference"] == f"Patient/{tag}"
    assert fhir.found("Observation", ("patient", tag)) == {place(fhir, observed).removeprefix("Observation/")}


def test_transactions_at_once_create_a_shared_patient_once(
    fhir, advertised, new_patient, new_observation, criteria, by_tag
):
    """R4 http.html#ccreate within http.html#trules: what senders of laboratory results do all day"""
    advertised.need_on("Patient", "conditionalCreate")

    def send():
        name = urn()
        return fhir.bundle(
            "transaction",
            fhir.entry("POST", "Patient", new_patient(), name, ifNoneExist=criteria),
            fhir.entry("POST", "Observation", new_observation(subject={"reference": name})),
        )

    responses = fhir.at_once([send] * 8)

    assert {response.status_code for response in responses} <= {200, 409, 412}
    (patient_id,) = fhir.found("Patient", by_tag)
    done = sum(response.status_code == 200 for response in responses)
    assert done >= 1
    assert len(fhir.found("Observation", by_tag)) == done
    assert len(fhir.found("Observation", ("patient", patient_id))) == done


def test_decimals_keep_their_digits(fhir, tag):
    """R4 datatypes.html#decimal: also through a transaction"""
    body = (
        '{"resourceType":"Bundle","type":"transaction","entry":[{"resource":{"resourceType":"Observation",'
        '"status":"final","code":{"text":"weight"},"valueQuantity":{"value":120.50}},'
        '"request":{"method":"POST","url":"Observation"}}]}'
    )

    (entry,) = fhir.answers(fhir.post("", body=body, headers={"Content-Type": fhir.json}), "transaction")

    assert fhir.exact(fhir.get(place(fhir, entry)).text)["valueQuantity"]["value"] == "decimal 120.50"


def test_a_transaction_in_xml(fhir, tag, by_tag):
    """R4 http.html#transaction, xml.html"""
    name = urn()
    identifier = f'<identifier><system value="{fhir.identifiers}"/><value value="{tag}"/></identifier>'
    xml = f"""<Bundle xmlns="http://hl7.org/fhir"><type value="transaction"/>
      <entry>
        <fullUrl value="{name}"/><resource><Patient>{identifier}</Patient></resource>
        <request><method value="POST"/><url value="Patient"/></request>
      </entry>
      <entry>
        <resource><Observation>{identifier}<status value="final"/><code><text value="weight"/></code>
          <subject><reference value="{name}"/></subject></Observation></resource>
        <request><method value="POST"/><url value="Observation"/></request>
      </entry>
    </Bundle>"""

    created, observed = fhir.answers(fhir.post("", body=xml, headers={"Content-Type": fhir.xml}), "transaction")

    assert fhir.read(place(fhir, observed))["subject"]["reference"] == place(fhir, created)
    assert fhir.found("Patient", by_tag) == {place(fhir, created).removeprefix("Patient/")}
