"""JSON and XML are two forms of one content.  R4 xml.html, json.html"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import pytest

FHIR = "{http://hl7.org/fhir}"
XHTML = "{http://www.w3.org/1999/xhtml}"


@pytest.fixture(autouse=True)
def offered(advertised):
    """R4 http.html#mime-type: a server may have JSON alone."""
    if "xml" not in " ".join(advertised.statement["format"]):
        pytest.skip("the server has no XML")


@pytest.fixture
def in_xml(fhir):
    """The XML text of a resource."""

    def read(path):
        response = fhir.get(path, headers={"Accept": fhir.xml})
        assert response.status_code == 200
        return response.content.decode("utf-8")

    return read


@pytest.fixture
def create_xml(fhir):
    """Creates from XML and returns the resource as its exact JSON, and its place."""

    def send(type_name, xml):
        response = fhir.post(type_name, body=xml, headers={"Content-Type": fhir.xml})
        assert response.status_code == 201, response.text[:1000]
        path = fhir.local(response.headers["Location"])
        return fhir.exact(fhir.get(path).text), path

    return send


WHOLE = """{
  "resourceType": "Observation",
  "meta": {
    "profile": ["https://x.example/p|1"],
    "tag": [{"system": "https://x.example/t", "code": "c", "userSelected": false}]
  },
  "language": "fr",
  "text": {
    "status": "additional",
    "div": "<div xmlns=\\"http://www.w3.org/1999/xhtml\\"><p>é &lt; 5 &amp; <b>b</b> <i>c</i></p></div>"
  },
  "contained": [
    {"resourceType": "Device", "id": "scale", "deviceName": [{"name": "Balance", "type": "user-friendly-name"}]},
    {
      "resourceType": "Patient", "id": "p", "name": [{"text": "contenu"}],
      "_birthDate": {"extension": [{"url": "https://x.example/e", "valueCode": "unknown"}]}
    }
  ],
  "extension": [
    {
      "url": "https://x.example/nested",
      "extension": [{"url": "a", "valueDecimal": 1.00}, {"url": "b", "valueBoolean": false}]
    },
    {"url": "https://x.example/m", "valueMarkdown": "# a\\n\\n* b\\tc"}
  ],
  "identifier": [{"use": "official", "system": "https://x.example/i", "value": "a \\"b\\" <c> & 'd'"}],
  "status": "final",
  "_status": {"id": "s1", "extension": [{"url": "https://x.example/s", "valueInteger": 0}]},
  "category": [
    {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "vital-signs"}]}
  ],
  "code": {
    "coding": [{"system": "http://loinc.org", "code": "85354-9", "display": "Pression artérielle 🩺"}],
    "text": "pression"
  },
  "subject": {"reference": "#p", "identifier": {"system": "https://x.example/i", "value": "1"}},
  "effectivePeriod": {"start": "2015-02-07T13:28:17.000+02:00", "end": "2015"},
  "issued": "2015-02-07T13:28:17.239Z",
  "performer": [
    {"display": "A"},
    {
      "type": "Practitioner",
      "_display": {"id": "d", "extension": [{"url": "https://x.example/d", "valueCode": "masked"}]}
    }
  ],
  "valueQuantity": {
    "value": 120.50, "comparator": "<", "unit": "mmHg", "system": "http://unitsofmeasure.org", "code": "mm[Hg]"
  },
  "note": [{"authorString": "A", "time": "2015-02", "text": "line 1\\nline 2\\r\\n\\tline 3"}],
  "device": {"reference": "#scale"},
  "referenceRange": [{"low": {"value": 0.000}, "high": {"value": 1.0E-10}, "text": "t"}],
  "component": [
    {
      "code": {"text": "c1"},
      "valueSampledData": {"origin": {"value": 0}, "period": 10.0, "dimensions": 1, "data": "1 2 E U L"}
    },
    {"code": {"text": "c2"}, "valueBoolean": false},
    {"id": "c3", "code": {"text": "c3"}, "valueInteger": 0}
  ]
}"""


def test_json_to_xml_to_json(fhir, in_xml, create_xml):
    """R4 json.html, xml.html: the formats carry the same content"""
    created = fhir.post("Observation", body=WHOLE, headers={"Content-Type": fhir.json})
    assert created.status_code == 201, created.text
    path = fhir.local(created.headers["Location"])

    again, _ = create_xml("Observation", in_xml(path))

    assert fhir.content(again) == fhir.content(fhir.exact(fhir.get(path).text)) == fhir.exact(WHOLE)


def test_lists_of_primitives_with_extensions(fhir, in_xml, create_xml):
    """R4 json.html#primitive: repeating primitives, where null stands for nothing to say"""
    extension = {"extension": [{"url": "https://x.example/n", "valueBoolean": True}]}
    for given, _given in [
        (["A", None, "C"], [None, extension, None]),
        (["A", "B"], [None, {"id": "two"}]),
        ([None, "B"], [{"id": "one", **extension}, extension]),
        (None, [extension]),
    ]:
        name = {"given": given, "_given": _given} if given else {"_given": _given}
        stored = fhir.create({"resourceType": "Patient", "name": [name]})

        again, _ = create_xml("Patient", in_xml(f"Patient/{stored['id']}"))

        assert again["name"] == stored["name"] == [name]


def test_the_form_of_xml(fhir, in_xml, patient):
    """R4 xml.html: namespace, value attributes, id and url as attributes, the order of elements"""
    stored = patient(
        active=True,
        gender="female",
        birthDate="1970-01-01",
        _birthDate={"id": "b", "extension": [{"url": "https://x.example/e", "valueString": "s"}]},
        text={"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml"><p>n</p></div>'},
        contained=[{"resourceType": "Organization", "id": "o", "name": "O"}],
        managingOrganization={"reference": "#o"},
    )

    root = ET.fromstring(in_xml(f"Patient/{stored['id']}"))

    assert root.tag == f"{FHIR}Patient"
    names = [child.tag.removeprefix(FHIR) for child in root]
    assert names == [
        "id",
        "meta",
        "text",
        "contained",
        "identifier",
        "active",
        "name",
        "gender",
        "birthDate",
        "managingOrganization",
    ]
    birth = root.find(f"{FHIR}birthDate")
    assert (birth.get("value"), birth.get("id")) == ("1970-01-01", "b")
    assert birth[0].get("url") == "https://x.example/e"
    assert birth[0][0].tag == f"{FHIR}valueString"
    assert root.find(f"{FHIR}text/{XHTML}div/{XHTML}p").text == "n"
    assert root.find(f"{FHIR}contained/{FHIR}Organization/{FHIR}id").get("value") == "o"
    assert root.find(f"{FHIR}active").get("value") == "true"


@pytest.mark.parametrize("digits", ["120.50", "0.000", "1.0E-10", "1e3", "123456789012345678901234567890.10", "-0.0"])
def test_decimals_keep_their_digits_both_ways(fhir, in_xml, create_xml, digits):
    """R4 datatypes.html#decimal"""
    xml = (
        '<Observation xmlns="http://hl7.org/fhir"><status value="final"/><code><text value="d"/></code>'
        f'<valueQuantity><value value="{digits}"/></valueQuantity></Observation>'
    )

    stored, path = create_xml("Observation", xml)

    assert stored["valueQuantity"]["value"] == fhir.exact(digits)
    value = ET.fromstring(in_xml(path)).find(f"{FHIR}valueQuantity/{FHIR}value").get("value")
    assert fhir.exact(value) == fhir.exact(digits)


@pytest.mark.parametrize("text", ["a\nb", "a\r\nb\tc", "\"<&>'", "é 🩺 e\u0301", "]]>", "\u2028\u0085"])
def test_text_survives_attributes(fhir, in_xml, create_xml, text):
    """R4 xml.html: text stands in attributes, where XML 1.0 s. 3.3.3 makes blanks of what is not escaped"""
    resource = {"resourceType": "Observation", "status": "final", "code": {"text": "n"}, "note": [{"text": text}]}
    stored = fhir.create(resource)

    xml = in_xml(f"Observation/{stored['id']}")

    assert ET.fromstring(xml).find(f"{FHIR}note/{FHIR}text").get("value") == text
    again, _ = create_xml("Observation", xml)
    assert again["note"] == [{"text": text}]


@pytest.mark.parametrize(
    "div",
    [
        "<p>a <b>b</b> <i>c</i>  d</p>\n  <p>e</p>",
        "<p>&lt;5 &amp; 3</p>",
        '<p class="x" title="é">é 🩺</p><br/>',
        "<pre>a\n  b\n\tc</pre>",
    ],
)
def test_narrative_is_the_same_xhtml(fhir, in_xml, create_xml, div):
    """R4 narrative.html, xml.html: in JSON as one text, in XML as elements, equal under XML canonicalisation"""
    div = f'<div xmlns="http://www.w3.org/1999/xhtml">{div}</div>'
    stored = fhir.create({"resourceType": "Patient", "text": {"status": "generated", "div": div}})

    xml = in_xml(f"Patient/{stored['id']}")

    served = ET.tostring(ET.fromstring(xml).find(f"{FHIR}text/{XHTML}div"), encoding="unicode")
    assert ET.canonicalize(served, rewrite_prefixes=True) == ET.canonicalize(div, rewrite_prefixes=True)
    again, _ = create_xml("Patient", xml)
    assert ET.canonicalize(again["text"]["div"], rewrite_prefixes=True) == ET.canonicalize(div, rewrite_prefixes=True)


@pytest.mark.parametrize(
    "xml",
    [
        '<Patient xmlns="http://hl7.org/fhir"><gender value="male"/></Patient>',
        "<?xml version='1.0' encoding='UTF-8'?>\n"
        "<Patient xmlns='http://hl7.org/fhir'>\n\t<gender value='male'/>\n</Patient>\n",
        '<f:Patient xmlns:f="http://hl7.org/fhir"><f:gender value="male"/></f:Patient>',
        '<Patient xmlns="http://hl7.org/fhir"><!-- one --><gender value="male"></gender><!-- two --></Patient>',
        '<?xml-stylesheet href="x"?><Patient xmlns="http://hl7.org/fhir"><gender value="&#109;ale"/></Patient>',
        '<Patient xmlns="http://hl7.org/fhir" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
        ' xsi:schemaLocation="http://hl7.org/fhir ../patient.xsd"><gender value="male"/></Patient>',
    ],
)
def test_any_way_to_write_xml(fhir, create_xml, xml):
    """R4 xml.html; XML Namespaces 1.0: a prefix is as good as none; comments and whitespace carry nothing"""
    stored, _ = create_xml("Patient", xml)

    assert fhir.content(stored) == {"resourceType": "Patient", "gender": "male"}


def test_types_of_json_come_from_the_definitions(fhir, create_xml):
    """R4 json.html: numbers, booleans and lists, which XML does not tell from texts"""
    stored, _ = create_xml(
        "Patient",
        '<Patient xmlns="http://hl7.org/fhir"><active value="false"/><name><given value="1"/></name>'
        '<telecom><rank value="1"/></telecom><multipleBirthInteger value="0"/></Patient>',
    )

    assert fhir.content(stored) == {
        "resourceType": "Patient",
        "active": False,
        "name": [{"given": ["1"]}],
        "telecom": [{"rank": 1}],
        "multipleBirthInteger": 0,
    }


@pytest.mark.parametrize(
    "xml",
    [
        '<Patient><gender value="male"/></Patient>',
        '<Patient xmlns="urn:hl7-org:v3"><gender value="male"/></Patient>',
        '<Patient xmlns="http://hl7.org/fhir"><gender xmlns="urn:x" value="male"/></Patient>',
        '<Patient xmlns="http://hl7.org/fhir"><nosuchelement value="x"/></Patient>',
        '<Patient xmlns="http://hl7.org/fhir"><gender value="male" other="x"/></Patient>',
        '<Patient xmlns="http://hl7.org/fhir"><gender value="male"/><gender value="female"/></Patient>',
        '<Patient xmlns="http://hl7.org/fhir"><gender>male</gender></Patient>',
        '<Patient xmlns="http://hl7.org/fhir">male</Patient>',
        '<Patient xmlns="http://hl7.org/fhir"><active value="yes"/></Patient>',
        '<Patient xmlns="http://hl7.org/fhir"><birthDate value="soon"/></Patient>',
        '<Patient xmlns="http://hl7.org/fhir"><contained><Nonsense/></contained></Patient>',
        '<Patient xmlns="http://hl7.org/fhir"><text><status value="generated"/><div>n</div></text></Patient>',
        '<Nonsense xmlns="http://hl7.org/fhir"/>',
        '<Observation xmlns="http://hl7.org/fhir"><status value="final"/><code><text value="c"/></code></Observation>',
    ],
)
def test_what_is_not_in_the_schema_is_refused(fhir, xml):
    """R4 xml.html: a namespace, elements and attributes that are defined, values where values are"""
    fhir.issues(fhir.post("Patient", body=xml, headers={"Content-Type": fhir.xml}), 400, 422)


def test_put_what_was_read_in_xml(fhir, in_xml, patient):
    """R4 http.html#update: XML in and out"""
    stored = patient(gender="male")
    path = f"Patient/{stored['id']}"

    response = fhir.put(path, body=in_xml(path).replace('"male"', '"female"'), headers={"Content-Type": fhir.xml})

    assert response.status_code == 200, response.text
    assert fhir.content(fhir.read(path)) == {**fhir.content(stored), "gender": "female"}


def test_history_and_outcomes_are_good_xml(fhir, versions):
    """R4 xml.html, bundle.html, operationoutcome.html"""
    path = f"Patient/{versions()[0]['id']}"

    history = fhir.get(f"{path}/_history", headers={"Accept": fhir.xml})
    refusal = fhir.put(
        path, body=json.dumps({"resourceType": "Patient"}), headers={"Content-Type": fhir.json, "Accept": fhir.xml}
    )

    root = ET.fromstring(history.content)
    assert [child.get("value") for child in root.findall(f"{FHIR}entry/{FHIR}request/{FHIR}method")] == [
        "PUT",
        "PUT",
        "POST",
    ]
    assert refusal.status_code == 400
    assert ET.fromstring(refusal.content).tag == f"{FHIR}OperationOutcome"
