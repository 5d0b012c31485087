"""fhir/xml.py and fhir/narrative.py: the same values as in JSON, nothing lost, nothing hostile let in."""

from __future__ import annotations

import pytest
from lxml import etree

from fhir_server.fhir import json, narrative, xml
from fhir_server.fhir.outcome import BadRequest, Unprocessable

DIV = '<div xmlns="http://www.w3.org/1999/xhtml">'


def read(body: str, root: str = "Patient"):
    return xml.parse(f'<{root} xmlns="http://hl7.org/fhir">{body}</{root}>'.encode())


def written(resource: dict) -> str:
    return xml.dumps(resource).decode().removeprefix('<?xml version="1.0" encoding="UTF-8"?>')


def issues(document: str | bytes):
    with pytest.raises(BadRequest) as raised:
        xml.parse(document if isinstance(document, bytes) else document.encode())
    json.dumps(raised.value.outcome())  # what is said of it can always be sent
    return raised.value.issues


PAIRS = [
    pytest.param(
        '{"resourceType":"Patient","id":"p","active":true,"birthDate":"1970-03","multipleBirthInteger":2}',
        '<id value="p"/><active value="true"/><birthDate value="1970-03"/><multipleBirthInteger value="2"/>',
        id="primitives are attributes",
    ),
    pytest.param(
        '{"resourceType":"Patient","_birthDate":{"id":"b","extension":[{"url":"urn:x","valueString":"?"}]}}',
        '<birthDate id="b"><extension url="urn:x"><valueString value="?"/></extension></birthDate>',
        id="a primitive without a value",
    ),
    pytest.param(
        '{"resourceType":"Patient","birthDate":"1970","_birthDate":{"id":"b"}}',
        '<birthDate id="b" value="1970"/>',
        id="a primitive with an id",
    ),
    pytest.param(
        '{"resourceType":"Patient","name":[{"given":["A",null,"C"],"_given":[null,{"id":"g"},{"id":"h"}]}]}',
        '<name><given value="A"/><given id="g"/><given id="h" value="C"/></name>',
        id="nulls pair arrays",
    ),
    pytest.param(
        '{"resourceType":"Patient","name":[{"_given":[{"id":"g"}]}]}',
        '<name><given id="g"/></name>',
        id="an array of ids alone",
    ),
    pytest.param(
        '{"resourceType":"Patient","contact":[{"id":"c","name":{"text":"X"}}]}',
        '<contact id="c"><name><text value="X"/></name></contact>',
        id="ids of elements are attributes",
    ),
    pytest.param(
        '{"resourceType":"Patient","contained":[{"resourceType":"Group","id":"g"},{"resourceType":"Practitioner"}]}',
        '<contained><Group><id value="g"/></Group></contained><contained><Practitioner></Practitioner></contained>',
        id="contained resources, supported or not",
    ),
    pytest.param(
        '{"resourceType":"Bundle","type":"collection","entry":[{"fullUrl":"urn:uuid:1",'
        '"resource":{"resourceType":"Basic","id":"1"}}]}',
        '<type value="collection"/><entry><fullUrl value="urn:uuid:1"/>'
        '<resource><Basic><id value="1"/></Basic></resource></entry>',
        id="entries of a Bundle",
    ),
    pytest.param(
        '{"resourceType":"Parameters","parameter":[{"name":"a","part":[{"name":"b","valueDecimal":1.0E-10},'
        '{"name":"c","resource":{"resourceType":"Basic"}}]}]}',
        '<parameter><name value="a"/><part><name value="b"/><valueDecimal value="1.0E-10"/></part>'
        '<part><name value="c"/><resource><Basic></Basic></resource></part></parameter>',
        id="Parameters",
    ),
    pytest.param(
        '{"resourceType":"Observation","valueQuantity":{"value":120.50,"unit":"mm[Hg]"}}',
        '<valueQuantity><value value="120.50"/><unit value="mm[Hg]"/></valueQuantity>',
        id="decimals digit for digit",
    ),
    pytest.param(
        '{"resourceType":"Questionnaire","item":[{"linkId":"1","item":[{"linkId":"1.1"}]}]}',
        '<item><linkId value="1"/><item><linkId value="1.1"/></item></item>',
        id="structures within themselves",
    ),
    pytest.param(
        '{"resourceType":"Basic","language":"<&>\\"\'\\n\\t\\r é🩺"}',
        '<language value="&lt;&amp;&gt;&quot;\'&#10;&#9;&#13; é🩺"/>',
        id="every character of an attribute",
    ),
]


@pytest.mark.parametrize(("as_json", "as_xml"), PAIRS)
def test_json_and_xml_say_the_same(as_json, as_xml):
    """R4 xml.html, json.html"""
    resource = json.parse(as_json.encode())
    type_ = resource["resourceType"]

    assert written(resource) == f'<{type_} xmlns="http://hl7.org/fhir">{as_xml}</{type_}>'
    assert json.dumps(xml.parse(xml.dumps(resource))) == as_json.encode()


def test_elements_are_written_in_the_order_of_the_standard():
    """R4 xml.html: elements SHALL appear in the order of the definition"""
    resource = {"birthDate": "1970", "resourceType": "Patient", "active": True, "_gender": {"id": "g"}, "id": "1"}

    names = [child.tag.rpartition("}")[2] for child in etree.fromstring(xml.dumps(resource))]

    assert names == ["id", "active", "gender", "birthDate"]


def test_elements_are_read_in_any_order():
    assert read('<active value="true"/><id value="1"/>') == {"resourceType": "Patient", "active": True, "id": "1"}


def test_a_prefix_a_schema_location_comments_and_instructions_are_read():
    """R4 xml.html: xsi:schemaLocation may be there"""
    document = """<?xml version="1.0" encoding="utf-8"?><?xml-stylesheet href="a.xsl"?><!-- c -->
        <f:Patient xmlns:f="http://hl7.org/fhir" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
                   xsi:schemaLocation="http://hl7.org/fhir patient.xsd"><!-- c --><?x y?>
          <f:id value="1"></f:id>
        </f:Patient>"""

    assert xml.parse(document.encode()) == {"resourceType": "Patient", "id": "1"}
    assert xml.parse(b"\xef\xbb\xbf" + document.encode()) == {"resourceType": "Patient", "id": "1"}


def test_pretty_is_indented_and_says_the_same():
    resource = {
        "resourceType": "Patient",
        "text": {"status": "additional", "div": f"{DIV}a\n<p> b</p></div>"},
        "name": [{"given": ["A"]}],
    }

    document = xml.dumps(resource, pretty=True)

    assert b'\n  <name>\n    <given value="A"/>\n  </name>\n</Patient>' in document
    assert xml.parse(document) == resource


def test_what_is_not_of_its_type_is_left_to_the_structure_check():
    resource = read('<active value="maybe"/><multipleBirthInteger value="two"/><gender value=""/><contact/>')

    assert resource == {
        "resourceType": "Patient",
        "active": "maybe",
        "multipleBirthInteger": "two",
        "gender": "",
        "contact": [{}],
    }
    assert read('<valueQuantity><value value="1,5"/></valueQuantity>', "Observation")["valueQuantity"] == {
        "value": "1,5"
    }


def test_all_faults_are_told_at_once_each_with_its_place():
    """R4 operationoutcome.html: expression"""
    found = issues(
        '<Patient xmlns="http://hl7.org/fhir" foo="1">\n'
        '<nom value="x"><a/><b>c</b></nom>\n'
        '<active value="true"/>hello<active value="false"/>\n'
        '<name><given value="A"/><given/></name><photo value="x"/>\n'
        "<contained><Patient/><Patient/></contained><contained/>\n"
        '<text><status value="empty"/><div>x</div></text><gender xmlns="urn:x" value="male"/>\n'
        '<identifier><id value="1"/></identifier></Patient>'
    )

    assert [(issue.code, issue.expression, issue.diagnostics) for issue in found] == [
        ("structure", ("Patient",), "Unknown attribute `foo`, line 1."),
        ("structure", ("Patient",), "Unknown element `nom`, line 2."),
        ("structure", ("Patient",), "Text outside of a narrative: `hello`; values stand in `value`, line 3."),
        ("structure", ("Patient",), "`active` may stand here once, line 3."),
        ("structure", ("Patient.name[0].given[1]",), "Neither a value nor an extension, line 4."),
        ("structure", ("Patient.photo[0]",), "Unknown attribute `value`, line 4."),
        ("structure", ("Patient.contained[0]",), "A second resource, `Patient`, in one element, line 5."),
        ("structure", ("Patient.contained[1]",), "No resource in this element, line 5."),
        (
            "structure",
            ("Patient.text",),
            "The narrative is not XHTML: its `div` is in `http://hl7.org/fhir`; "
            "expected `http://www.w3.org/1999/xhtml`, line 6.",
        ),
        (
            "structure",
            ("Patient",),
            "Element `gender` is in namespace `urn:x`; expected `http://hl7.org/fhir`, line 6.",
        ),
        ("structure", ("Patient.identifier[0]",), "Unknown element `id`, line 7."),
    ]


def test_faults_without_number_are_not_all_told():
    assert len(issues('<Patient xmlns="http://hl7.org/fhir">' + "<x/>" * 10_000 + "</Patient>")) == 100


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ("<a", "Not XML"),
        ("{}", "Not XML"),
        ("<Patient xmlns='http://hl7.org/fhir'>", "line 1"),
        ("<Patient xmlns='http://hl7.org/fhir'/><Patient/>", "line 1"),
        ("<Patient/>", "`Patient` is in no namespace"),
        ("<Patient xmlns='http://www.w3.org/1999/xhtml'/>", "namespace"),
        ("<Patients xmlns='http://hl7.org/fhir'/>", "`Patients` is not an R4 resource type"),
        ("<DomainResource xmlns='http://hl7.org/fhir'/>", "`DomainResource` is not"),
        ("<HumanName xmlns='http://hl7.org/fhir'/>", "`HumanName` is not"),
        ("<!DOCTYPE Patient><Patient xmlns='http://hl7.org/fhir'/>", "DOCTYPE"),
        (
            '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]>'
            "<Patient xmlns='http://hl7.org/fhir'><id value='&b;'/></Patient>",
            "DOCTYPE",
        ),
        (
            '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
            "<Patient xmlns='http://hl7.org/fhir'><id value='1'/>&x;</Patient>",
            "DOCTYPE",
        ),
        ('<!DOCTYPE a SYSTEM "http://localhost/a.dtd"><a/>', "DOCTYPE"),
        ("<Patient xmlns='http://hl7.org/fhir'><id value='&nbsp;'/></Patient>", "undefined entity"),
        ("<Patient xmlns='http://hl7.org/fhir'><id value='&#1;'/></Patient>", "Not XML"),
        (b"<Patient xmlns='http://hl7.org/fhir'><id value='\xff'/></Patient>", "UTF-8"),
        (b"<Patient xmlns='http://hl7.org/fhir'><id value='\xed\xa0\x80'/></Patient>", "UTF-8"),
        ("<Patient xmlns='http://hl7.org/fhir'><id value='\uffff'/></Patient>", "Not XML"),
        ("<?xml version='1.0' encoding='ISO-8859-1'?><Patient xmlns='http://hl7.org/fhir'/>", "UTF-8"),
        ("<Patient xmlns='http://hl7.org/fhir'/>".encode("utf-16"), "UTF-8"),
        ("<Patient xmlns='http://hl7.org/fhir'/>".encode("utf-16-le"), "UTF-8"),
        ("<Patient xmlns='http://hl7.org/fhir'/>".encode("utf-16-be"), "UTF-8"),
        (
            "<Patient xmlns='http://hl7.org/fhir' " + " ".join(f"xmlns:n{i}='urn:{i}'" for i in range(100)) + "/>",
            "namespaces",
        ),
        (f"<Patient xmlns='http://hl7.org/fhir' xmlns:n='urn:{'n' * 1000}'/>", "namespace is longer"),
        ("<x:Patient xmlns='http://hl7.org/fhir'/>", "unbound prefix"),
    ],
)
def test_hostile_or_broken_documents_are_a_bad_request(document, words):
    """XML 1.0; R4 xml.html: UTF-8, http://hl7.org/fhir; security.html#narrative"""
    assert words in issues(document)[0].diagnostics


@pytest.mark.parametrize("depth", [101, 1_000, 100_000])
def test_depth_is_bounded(depth):
    opening = '<Parameters xmlns="http://hl7.org/fhir"><parameter>'
    assert "Nested deeper" in issues(opening + "<part>" * depth)[0].diagnostics
    div = opening + f'<resource><Basic><text>{DIV}<div xmlns="urn:x">' + "<b>" * depth
    assert "Nested deeper" in issues(div)[0].diagnostics
    assert "Nested deeper" in issues(opening + "<unknown>" * depth)[0].diagnostics


@pytest.mark.parametrize(
    ("resource", "expression"),
    [
        ({"resourceType": "Patients"}, "Resource"),
        ({}, "Resource"),
        ({"resourceType": "Patient", "nom": "x"}, "Patient"),
        ({"resourceType": "Patient", "_name": [{}]}, "Patient"),
        ({"resourceType": "Patient", "name": {"text": "x"}}, "Patient.name"),
        ({"resourceType": "Patient", "name": [{"given": "x"}]}, "Patient.name[0].given"),
        ({"resourceType": "Patient", "name": ["x"]}, "Patient.name[0]"),
        ({"resourceType": "Patient", "maritalStatus": [{}]}, "Patient.maritalStatus"),
        ({"resourceType": "Patient", "gender": {}}, "Patient.gender"),
        ({"resourceType": "Patient", "_gender": "x"}, "Patient.gender"),
        ({"resourceType": "Patient", "contained": [{"resourceType": 1}]}, "Patient.contained[0]"),
        ({"resourceType": "Patient", "extension": [{"_url": {}}]}, "Patient.extension[0]"),
        ({"resourceType": "Patient", "text": {"div": 1}}, "Patient.text.div"),
        ({"resourceType": "Patient", "text": {"div": "<div><p></div>"}}, "Patient.text.div"),
        ({"resourceType": "Patient", "text": {"_div": {}}}, "Patient.text"),
    ],
)
def test_what_has_no_place_in_xml_is_named(resource, expression):
    with pytest.raises(Unprocessable) as raised:
        xml.dumps(resource)

    assert raised.value.issues[0].expression == (expression,)


@pytest.mark.parametrize(
    "div",
    [
        DIV + "</div>",
        DIV.replace(">", "/>"),
        DIV.replace(">", " />"),
        DIV + "a</div >",
        DIV + "<br/></div>",
        DIV + "<div/></div>",
        DIV + "<div></div></div>",
        DIV + "/></div>",
        "<div\n class='a' xmlns='http://www.w3.org/1999/xhtml'\ttitle='>' >\r\n <b>é</b>&#233;&amp;&lt; </div>",
        DIV + "<!-- </div> --><![CDATA[</div>&nbsp;]]></div>",
        '<h:div xmlns:h="http://www.w3.org/1999/xhtml"><h:p id="1"/></h:div>',
    ],
)
def test_a_narrative_comes_back_byte_for_byte(div):
    """R4 json.html#xhtml, xml.html#xhtml"""
    resource = {"resourceType": "Basic", "text": {"status": "additional", "div": div}, "id": "1"}

    document = xml.dumps(resource)

    assert xml.parse(document) == resource
    assert etree.fromstring(document)[-1][-1].tag == "{http://www.w3.org/1999/xhtml}div"


@pytest.mark.parametrize(
    ("div", "embedded"),
    [
        (DIV + "a&nbsp;b &eacute;&hearts;&amp;</div>", DIV + "a&#160;b &#233;&#9829;&amp;</div>"),
        ("<div><p>a</p></div>", DIV + "<p>a</p></div>"),
        ("<div/>", DIV.replace(">", "/>")),
        (f" <!-- c -->\n{DIV}a</div>\n", DIV + "a</div>"),
        (f'<?xml version="1.0"?>{DIV}a</div>', DIV + "a</div>"),
    ],
)
def test_a_narrative_is_made_fit_for_xml(div, embedded):
    """R4 narrative.html: there is no support for HTML entities in XML"""
    assert narrative.element(div) == embedded
    assert xml.parse(xml.dumps({"resourceType": "Basic", "text": {"div": div}}))["text"] == {"div": embedded}


@pytest.mark.parametrize(
    "div",
    [
        "",
        "text",
        DIV,
        DIV + "<p></div>",
        DIV + "]]></div>",
        DIV + "<?php echo 1 ?></div>",
        DIV + "&nosuch;</div>",
        DIV + "a & b</div>",
        DIV + "\x01</div>",
        DIV + "\ud800</div>",
        DIV + "<o:p/></div>",
        DIV + '</div></text><active value="false"/><text>' + DIV + "</div>",
        "<!DOCTYPE div>" + DIV + "</div>",
        '<!DOCTYPE div [<!ENTITY a "b">]>' + DIV + "&a;</div>",
        '<p xmlns="http://www.w3.org/1999/xhtml"/>',
        '<div xmlns="">a</div>',
        '<div xmlns="http://hl7.org/fhir"/>',
        DIV + "<b>" * 200 + "</b>" * 200 + "</div>",
    ],
)
def test_a_hostile_narrative_breaks_no_document(div):
    """R4 security.html#narrative"""
    with pytest.raises(Unprocessable):
        xml.dumps({"resourceType": "Basic", "text": {"status": "additional", "div": div}})


@pytest.mark.parametrize(
    ("document", "div"),
    [
        (
            '<f:Basic xmlns:f="http://hl7.org/fhir" xmlns="http://www.w3.org/1999/xhtml">'
            '<f:text><div title="1">x<p>y</p> z<!-- c --></div> </f:text></f:Basic>',
            DIV.replace(">", ' title="1">') + "x<p>y</p> z<!-- c --></div>",
        ),
        (
            '<Basic xmlns="http://hl7.org/fhir" xmlns:h="http://www.w3.org/1999/xhtml" xmlns:q="urn:a&amp;b">'
            '<text><h:div xml:lang="fr">x<h:p>y&amp;</h:p>z</h:div></text></Basic>',
            DIV.replace(">", ' xml:lang="fr">') + "x<p>y&amp;</p>z</div>",
        ),
        (
            '<div:Basic xmlns:div="http://hl7.org/fhir"><div:text>'
            '<div xmlns="http://www.w3.org/1999/xhtml"/></div:text></div:Basic>',
            DIV.replace(">", "/>"),
        ),
        (
            f'<Basic xmlns="http://hl7.org/fhir"><text>{DIV}x<?pi y?>z</div></text></Basic>',
            DIV + "xz</div>",
        ),
    ],
)
def test_a_narrative_that_leans_on_its_document_is_made_to_stand_alone(document, div):
    """R4 json.html#xhtml: the string is XHTML by itself"""
    resource = xml.parse(document.encode())

    assert resource["text"]["div"] == div
    assert narrative.element(div) == div


def test_no_markup_of_a_narrative_reaches_the_resource():
    body = f'<text><status value="empty"/>{DIV}<active xmlns="http://hl7.org/fhir" value="true"/></div></text>'

    assert read(body) == {
        "resourceType": "Patient",
        "text": {"status": "empty", "div": f'{DIV}<active xmlns="http://hl7.org/fhir" value="true"/></div>'},
    }
