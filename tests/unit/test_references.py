"""References: parsing, finding and rewriting.  R4: references.html, http.html#trules"""

import copy

import pytest

from fhir_server.fhir import references
from fhir_server.fhir.references import Found, Reference, parse, rewrite, walk_references

BASE = "https://record.example/fhir"
URN = "urn:uuid:61ebe359-bfdc-4613-8bf2-c5e300945f0a"
OTHER = "urn:uuid:88f151c0-a954-468a-88bd-5ae15c08e059"


@pytest.mark.parametrize(
    "text, reference",
    [
        ("Patient/1", Reference("Patient", "1")),
        ("Patient/1/_history/2", Reference("Patient", "1", "2")),
        ("Observation/a-b.C9", Reference("Observation", "a-b.C9")),
        (f"{BASE}/Patient/1", Reference("Patient", "1")),
        (f"{BASE}/Patient/1/_history/3", Reference("Patient", "1", "3")),
        ("https://other.example/r4/Patient/1", Reference("Patient", "1", url="https://other.example/r4/Patient/1")),
        (
            "https://record.example/fhirX/Patient/1",
            Reference("Patient", "1", url="https://record.example/fhirX/Patient/1"),
        ),
        ("#med", Reference(url="#med")),
        ("#", Reference(url="#")),
        (URN, Reference(url=URN)),
        ("urn:oid:1.2.250.1.213", Reference(url="urn:oid:1.2.250.1.213")),
        ("Patient?identifier=urn:oid:1.2|3", Reference("Patient", query="identifier=urn:oid:1.2|3")),
        (f"{BASE}/Patient?identifier=1", Reference("Patient", query="identifier=1")),
        ("Patient", Reference(url="Patient")),
        ("Patient/", Reference(url="Patient/")),
        ("Patient/" + "a" * 65, Reference(url="Patient/" + "a" * 65)),
        ("Patient/1\n", Reference(url="Patient/1\n")),
        ("", Reference(url="")),
    ],
)
def test_parse(text, reference):
    """R4 references.html#literal, #regex; http.html#trules (conditional references)"""
    assert parse(text, BASE) == reference


@pytest.mark.parametrize(
    "text", ["Patient/1", "Patient/1/_history/2", "Patient?a=b", "#x", URN, "https://a.example/Patient/1"]
)
def test_written_as_read(text):
    assert str(parse(text)) == text


def test_local_and_contained():
    """R4 references.html#contained"""
    assert (
        parse("Patient/1").local and not parse("Patient?a=b").local and not parse("https://a.example/Patient/1").local
    )
    assert parse("#x").contained and parse("#").contained and not parse("Patient/1").contained


OBSERVATION = {
    "resourceType": "Observation",
    "contained": [{"resourceType": "Patient", "id": "p", "managingOrganization": {"reference": "Organization/9"}}],
    "extension": [
        {"url": "http://x", "valueReference": {"reference": "Device/1"}},
        {"url": "http://y", "valueUri": URN},
        {"url": "http://z", "extension": [{"url": "n", "valueCanonical": "http://c.example/q|1.0"}]},
    ],
    "_status": {"extension": [{"url": "http://x", "valueReference": {"reference": "Device/2"}}]},
    "subject": {"reference": "#p", "type": "Patient"},
    "performer": [{"identifier": {"value": "1"}}, {"reference": "Practitioner/1", "display": "Practitioner/2"}],
    "valueString": "Patient/3",
}


def test_walk_finds_each_literal_reference():
    """R4 references.html: contained resources, extensions of primitives and uris among them; logical ones hold none."""
    found = list(walk_references(OBSERVATION))
    assert [(one.expression, one.value) for one in found if one.type == "Reference"] == [
        ("Observation.contained[0].managingOrganization", "Organization/9"),
        ("Observation.extension[0].value", "Device/1"),
        ("Observation.status.extension[0].value", "Device/2"),
        ("Observation.subject", "#p"),
        ("Observation.performer[1]", "Practitioner/1"),
    ]
    assert Found("Observation.extension[1].value", "uri", URN) in found
    assert [one.value for one in found if one.type == "canonical"] == ["http://c.example/q|1.0"]
    assert "http://x" not in [one.value for one in found]


def test_walk_gives_the_types_an_element_may_point_at():
    """R4 references.html#Reference: the targets of Observation.subject"""
    (subject,) = [one for one in walk_references(OBSERVATION) if one.expression == "Observation.subject"]
    assert set(subject.targets) == {"Patient", "Group", "Device", "Location"}


def test_walk_finds_the_address_of_an_attachment():
    """R4 datatypes.html#attachment"""
    document = {"resourceType": "DocumentReference", "content": [{"attachment": {"url": "Binary/1"}}]}
    assert list(walk_references(document)) == [Found("DocumentReference.content[0].attachment.url", "url", "Binary/1")]


def test_rewrite_reaches_every_place_of_the_rule():
    """R4 http.html#trules: references, uri-like elements, narrative links; text that merely contains it stays."""
    document = {
        "resourceType": "DocumentReference",
        "text": {
            "status": "generated",
            "div": f'<div xmlns="http://www.w3.org/1999/xhtml"><p>{URN} &amp; <a class="x > y" href="{URN}">a</a>'
            f"<img alt='{URN}'  src = '{OTHER}#p'/><b title=\"{URN}\"/></p></div>",
        },
        "contained": [{"resourceType": "Patient", "id": "p", "managingOrganization": {"reference": OTHER}}],
        "extension": [
            {"url": URN, "valueUri": URN},
            {"url": "http://x", "valueUuid": URN},
            {"url": "http://x", "valueString": URN},
            {"url": "http://x", "valueMarkdown": URN},
        ],
        "description": URN,
        "_description": {"extension": [{"url": "http://x", "valueReference": {"reference": URN}}]},
        "masterIdentifier": {"system": "urn:ietf:rfc:3986", "value": URN},
        "subject": {"reference": f"{URN}", "display": URN},
        "context": {
            "related": [{"reference": f"{OTHER}#c"}, {"reference": f"{URN}/_history/2"}, {"reference": "Patient/5"}]
        },
        "content": [{"attachment": {"url": OTHER, "title": URN}}],
        "meta": {"profile": [f"{OTHER}|1.0"]},
    }
    before = copy.deepcopy(document)
    result = rewrite(document, {URN: "Patient/1", OTHER: "Binary/2"})
    assert document == before
    assert result == {
        "resourceType": "DocumentReference",
        "text": {
            "status": "generated",
            "div": f'<div xmlns="http://www.w3.org/1999/xhtml"><p>{URN} &amp; <a class="x > y" href="Patient/1">a</a>'
            f"<img alt='{URN}'  src = 'Binary/2#p'/><b title=\"{URN}\"/></p></div>",
        },
        "contained": [{"resourceType": "Patient", "id": "p", "managingOrganization": {"reference": "Binary/2"}}],
        "extension": [
            {"url": URN, "valueUri": "Patient/1"},
            {"url": "http://x", "valueUuid": URN},
            {"url": "http://x", "valueString": URN},
            {"url": "http://x", "valueMarkdown": URN},
        ],
        "description": URN,
        "_description": {"extension": [{"url": "http://x", "valueReference": {"reference": "Patient/1"}}]},
        "masterIdentifier": {"system": "urn:ietf:rfc:3986", "value": URN},
        "subject": {"reference": "Patient/1", "display": URN},
        "context": {
            "related": [{"reference": "Binary/2#c"}, {"reference": "Patient/1/_history/2"}, {"reference": "Patient/5"}]
        },
        "content": [{"attachment": {"url": "Binary/2", "title": URN}}],
        "meta": {"profile": [f"{OTHER}|1.0"]},
    }
    assert list(result) == list(document)


def test_rewrite_of_an_address_with_an_entity():
    """XML writes & as &amp; in an attribute."""
    div = '<div><a href="http://x.example/a?b=1&amp;c=2">a</a><a href="http://x.example/a?b=1&amp;c=3">b</a></div>'
    patient = {"resourceType": "Patient", "text": {"status": "generated", "div": div}}
    result = rewrite(patient, {"http://x.example/a?b=1&c=2": "Patient/1"})
    assert result["text"]["div"] == '<div><a href="Patient/1">a</a><a href="http://x.example/a?b=1&amp;c=3">b</a></div>'


def test_rewrite_resolves_a_relative_reference_against_the_full_url():
    """R4 bundle.html#references: relative references are resolved with the base of the entry's fullUrl."""
    observation = {
        "resourceType": "Observation",
        "subject": {"reference": "Patient/1"},
        "focus": [{"reference": "Patient/2"}],
    }
    mapping = {"https://other.example/r4/Patient/1": "Patient/new"}
    result = rewrite(observation, mapping, base="https://other.example/r4")
    assert result["subject"] == {"reference": "Patient/new"}
    assert result["focus"] == [{"reference": "Patient/2"}]
    assert rewrite(observation, mapping) == observation


@pytest.mark.parametrize(
    "full_url, root",
    [
        ("https://a.example/r4/Patient/1", "https://a.example/r4"),
        ("https://a.example/r4/Patient/1/_history/2", "https://a.example/r4"),
        ("https://a.example/Patient", None),
        (URN, None),
        ("Patient/1", None),
    ],
)
def test_service_root(full_url, root):
    """R4 bundle.html#references"""
    assert references.service_root(full_url) == root


def test_the_entries_of_a_bundle_keep_their_own_references():
    """R4 bundle.html#references: a document sent inside a transaction resolves within itself."""
    entry = {"fullUrl": URN, "resource": {"resourceType": "Observation", "subject": {"reference": URN}}}
    document = {"resourceType": "Bundle", "type": "document", "entry": [entry]}
    assert rewrite(document, {URN: "Patient/1"}) == document
    assert list(walk_references(document)) == []


@pytest.mark.parametrize(
    "resource",
    [{"resourceType": "Nothing", "a": URN}, {"resourceType": "Patient", "contained": [{"b": 1}], "implicitRules": 1}],
)
def test_what_is_not_a_resource_is_left_as_it_is(resource):
    assert references.rewrite(resource, {URN: "Patient/1"}) == resource
    assert list(walk_references(resource)) == []
