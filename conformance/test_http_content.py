"""Content negotiation and the general parameters.

R4 http.html#mime-type, #parameters; search.html#summary, #elements
"""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

JSON_TYPES = ("application/fhir+json", "application/json", "text/json")
XML_TYPES = ("application/fhir+xml", "application/xml", "text/xml")


def family(response):
    """Either json or xml, by the Content-Type, checked against the body."""
    content_type = response.headers["Content-Type"].split(";")[0].strip().lower()
    if content_type in JSON_TYPES:
        response.json()
        return "json"
    assert content_type in XML_TYPES, content_type
    assert ET.fromstring(response.content).tag.startswith("{http://hl7.org/fhir}")
    return "xml"


@pytest.fixture(scope="session")
def formats(advertised):
    """The formats the server says it has."""
    return " ".join(advertised.statement["format"])


@pytest.fixture(autouse=True)
def both_formats(formats):
    """R4 http.html#mime-type: a server may have one format alone; these tests are about the choice."""
    if "json" not in formats or "xml" not in formats:
        pytest.skip(f"the server has {formats} alone")


# -- Accept --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("application/fhir+json", "json"),
        ("application/fhir+xml", "xml"),
        ("application/json", "json"),
        ("application/xml", "xml"),
        ("text/json", "json"),
        ("text/xml", "xml"),
        ("application/fhir+xml; charset=utf-8", "xml"),
        ("application/fhir+json; fhirVersion=4.0", "json"),
        ("APPLICATION/FHIR+XML", "xml"),
        ("application/fhir+json, application/fhir+xml;q=0.9", "json"),
        ("application/fhir+json;q=0.5, application/fhir+xml", "xml"),
        ("application/fhir+json; q=0.1, application/fhir+xml; q=0.2", "xml"),
        ("application/fhir+json;q=0, application/fhir+xml", "xml"),
        ("application/fhir+xml;q=0, */*", "json"),
        ("image/png, application/fhir+xml;q=0.1", "xml"),
        ("application/fhir+xml, */*;q=0.1", "xml"),
        ("text/html, application/xhtml+xml, application/fhir+xml;q=0.9, */*;q=0.8", None),
        ("*/*", None),
        ("application/*", None),
        (None, None),
        ("", None),
    ],
)
def test_accept_chooses_the_format(fhir, patient, accept, expected):
    """R4 http.html#mime-type: servers SHALL support server-driven content negotiation; RFC 9110 s. 12.5.1"""
    response = fhir.get(f"Patient/{patient()['id']}", headers={"Accept": accept})

    assert response.status_code == 200
    if accept and "text/html" in accept and response.headers["Content-Type"].startswith("text/html"):
        return
    assert family(response) in ((expected,) if expected else ("json", "xml"))


@pytest.mark.parametrize(
    "accept", ["image/png", "application/pdf", "application/fhir+json;q=0, application/fhir+xml;q=0"]
)
def test_a_format_that_is_not_offered_is_406(fhir, patient, accept):
    """R4 http.html#mime-type: 406 is the appropriate response"""
    response = fhir.get(f"Patient/{patient()['id']}", headers={"Accept": accept})

    assert response.status_code == 406


@pytest.mark.parametrize(
    "accept", ["nonsense", ";;;", "a/b/c", "application/fhir+json;q=two", ",", "*", "é/è".encode("latin-1")]
)
def test_an_unreadable_accept_is_read_as_any_or_refused(fhir, patient, accept):
    """RFC 9110 s. 12.5.1"""
    response = fhir.get(f"Patient/{patient()['id']}", headers={"Accept": accept})

    assert response.status_code in (200, 400, 406)


def test_the_type_is_the_fhir_type_with_utf8(fhir, patient):
    """R4 http.html#mime-type: the correct mime type SHALL be used; UTF-8 encoding SHALL be used"""
    path = f"Patient/{patient(name=[{'family': 'Éléonore 🩺'}])['id']}"

    for accept in (fhir.json, fhir.xml):
        response = fhir.get(path, headers={"Accept": accept})
        main, *parameters = (part.strip().lower() for part in response.headers["Content-Type"].split(";"))
        assert main == accept
        assert all(parameter == "charset=utf-8" for parameter in parameters if parameter.startswith("charset"))
        assert "Éléonore 🩺" in response.content.decode("utf-8")


@pytest.mark.parametrize("accept", ["application/fhir+xml", "application/fhir+json"])
def test_errors_come_in_the_format_asked_for(fhir, tag, accept):
    """R4 http.html#summary: all requests may include an Accept header; an OperationOutcome may be returned"""
    response = fhir.get(f"Patient/{tag}", headers={"Accept": accept})

    assert response.status_code == 404
    assert family(response) in accept
    assert "OperationOutcome" in response.text


def test_bundles_come_in_the_format_asked_for(fhir, patient, by_tag):
    """R4 xml.html, bundle.html"""
    stored = patient()

    response = fhir.get("Patient", params=[by_tag], headers={"Accept": fhir.xml})

    bundle = ET.fromstring(response.content)
    space = {"f": "http://hl7.org/fhir"}
    assert bundle.tag == "{http://hl7.org/fhir}Bundle"
    assert bundle.find("f:type", space).get("value") == "searchset"
    assert bundle.find("f:entry/f:resource/f:Patient/f:id", space).get("value") == stored["id"]


def test_what_is_sent_and_what_is_asked_for_are_apart(fhir, new_patient):
    """R4 http.html#parameters: _format does not override the Content-Type of the body of a request"""
    headers = {"Accept": fhir.xml, "Prefer": "return=representation"}

    response = fhir.post("Patient", new_patient(), headers=headers)

    assert response.status_code == 201
    assert family(response) == "xml"
    assert family(fhir.get(fhir.local(response.headers["Location"]))) == "json"


def test_caches_are_told_what_the_answer_depends_on(fhir, patient):
    """RFC 9110 s. 12.5.5: Vary"""
    response = fhir.get(f"Patient/{patient()['id']}")

    stored_by_caches = "no-store" not in response.headers.get("Cache-Control", "")
    assert "accept" in response.headers.get("Vary", "").lower() or not stored_by_caches


# -- _format -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("xml", "xml"),
        ("text/xml", "xml"),
        ("application/xml", "xml"),
        ("application/fhir+xml", "xml"),
        ("json", "json"),
        ("application/json", "json"),
        ("application/fhir+json", "json"),
    ],
)
@pytest.mark.parametrize("accept", ["application/fhir+json", "application/fhir+xml", "image/png", "*/*"])
def test_format_goes_before_accept(fhir, advertised, value, expected, accept):
    """R4 http.html#parameters: _format, SHALL be interpreted to mean; overrides the HTTP content negotiation"""
    response = fhir.get("Patient", params={"_format": value, "_count": "1"}, headers={"Accept": accept})

    assert response.status_code == 200
    assert family(response) == expected


def test_a_plus_in_format_may_come_unencoded(fhir):
    """R4 http.html#parameters: clients write _format=application/fhir+xml as it stands, where + reads as a blank"""
    assert family(fhir.get("Patient?_count=1&_format=application/fhir+xml")) == "xml"


@pytest.mark.parametrize("value", ["nonsense", "pdf", "application/pdf"])
def test_a_format_nobody_knows_is_refused(fhir, patient, value):
    """R4 http.html#mime-type: 406"""
    assert fhir.get(f"Patient/{patient()['id']}", params={"_format": value}).status_code in (400, 406, 415)


def test_format_on_a_write(fhir, new_patient):
    """R4 http.html#create: POST [base]/[type]{?_format=[mime-type]}"""
    response = fhir.post("Patient?_format=xml", new_patient(), headers={"Prefer": "return=representation"})

    assert response.status_code == 201
    assert family(response) == "xml"


def test_format_on_metadata(fhir):
    """R4 http.html#capabilities"""
    assert family(fhir.get("metadata?_format=xml")) == "xml"
    assert family(fhir.get("metadata?_format=json")) == "json"


# -- _pretty -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("format_", ["json", "xml"])
def test_pretty_makes_no_difference_to_the_content(fhir, patient, format_):
    """R4 http.html#parameters: pretty printed or not makes no difference to the content"""
    narrative = '<div xmlns="http://www.w3.org/1999/xhtml"><p>a <b>b</b> <i>c</i>  d</p></div>'
    path = f"Patient/{patient(text={'status': 'generated', 'div': narrative})['id']}"

    plain, pretty = (fhir.get(path, params={"_format": format_, "_pretty": value}) for value in ("false", "true"))

    if format_ == "json":
        assert plain.json() == pretty.json()
    else:
        div = "{http://hl7.org/fhir}text/{http://www.w3.org/1999/xhtml}div"
        paragraphs = [ET.fromstring(response.content).find(div)[0] for response in (plain, pretty)]
        assert [ET.tostring(paragraph).strip() for paragraph in paragraphs][0] == ET.tostring(paragraphs[1]).strip()
    assert pretty.text.count("\n") >= plain.text.count("\n")


# -- _summary and _elements on a read ------------------------------------------------------------------------
@pytest.fixture
def rich(patient):
    """A Patient with elements in and out of the summary."""
    return patient(
        text={"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">summary</div>'},
        birthDate="1970-01-01",
        gender="female",
        communication=[{"language": {"text": "français"}}],
        contact=[{"name": {"text": "somebody"}}],
    )


def is_subsetted(resource):
    """R4 http.html#read: servers SHOULD define a meta.tag with SUBSETTED"""
    return "SUBSETTED" in {tag.get("code") for tag in resource.get("meta", {}).get("tag", [])}


def test_summary_true(fhir, rich):
    """R4 search.html#summary: the elements marked as summary"""
    response = fhir.get(f"Patient/{rich['id']}", params={"_summary": "true"}).json()

    assert {"resourceType", "id", "meta", "identifier", "name", "birthDate", "gender"} <= set(response)
    assert not {"text", "contact", "communication"} & set(response)
    assert is_subsetted(response)


def test_summary_text(fhir, rich):
    """R4 search.html#summary: only text, id, meta, and top-level mandatory elements"""
    response = fhir.get(f"Patient/{rich['id']}", params={"_summary": "text"}).json()

    assert set(response) == {"resourceType", "id", "meta", "text"}
    assert is_subsetted(response)


def test_summary_data(fhir, rich):
    """R4 search.html#summary: remove the text element"""
    response = fhir.get(f"Patient/{rich['id']}", params={"_summary": "data"}).json()

    assert set(response) == set(rich) - {"text"}
    assert is_subsetted(response)


def test_summary_false(fhir, rich):
    """R4 search.html#summary: return all parts of the resource"""
    assert fhir.get(f"Patient/{rich['id']}", params={"_summary": "false"}).json() == rich


def test_summary_keeps_what_is_mandatory(fhir, observation):
    """R4 search.html#summary: text, and top-level mandatory elements"""
    stored = observation(valueString="x")

    response = fhir.get(f"Observation/{stored['id']}", params={"_summary": "text"}).json()

    assert {"status", "code"} <= set(response)
    assert "valueString" not in response


@pytest.mark.parametrize("elements", ["birthDate", "birthDate,gender", "id,birthDate"])
def test_elements(fhir, rich, elements):
    """R4 search.html#elements: mandatory elements and those asked for, marked as SUBSETTED"""
    response = fhir.get(f"Patient/{rich['id']}", params={"_elements": elements}).json()

    assert set(response) - {"resourceType", "id", "meta"} == set(elements.split(",")) - {"id"}
    assert response["id"] == rich["id"]
    assert is_subsetted(response)


def test_elements_keep_what_is_mandatory(fhir, observation):
    """R4 search.html#elements: servers SHOULD always include mandatory elements"""
    response = fhir.get(f"Observation/{observation(valueString='x')['id']}", params={"_elements": "identifier"}).json()

    assert {"status", "code", "identifier"} <= set(response)
    assert "valueString" not in response


def test_elements_in_a_search(fhir, rich, by_tag):
    """R4 search.html#elements: the elements of the matches, not of the Bundle"""
    (entry,) = fhir.search("Patient", by_tag, ("_elements", "gender"))["entry"]

    assert entry["resource"]["gender"] == "female"
    assert "birthDate" not in entry["resource"]
    assert entry["fullUrl"].endswith(f"Patient/{rich['id']}")


def test_a_subset_is_of_the_answer_alone(fhir, rich):
    """R4 http.html#read: a subset is not suitable for use as a base to update the resource"""
    fhir.get(f"Patient/{rich['id']}", params={"_elements": "gender"})

    assert fhir.read(f"Patient/{rich['id']}") == rich


def test_summary_in_xml(fhir, rich):
    """R4 search.html#summary, xml.html"""
    response = fhir.get(f"Patient/{rich['id']}", params={"_summary": "true", "_format": "xml"})

    names = {child.tag.removeprefix("{http://hl7.org/fhir}") for child in ET.fromstring(response.content)}
    assert "birthDate" in names
    assert not {"text", "contact"} & names
