"""What goes in as JSON comes out as it was.  R4 json.html, datatypes.html"""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def echo(fhir):
    """Sends a body as it stands and returns the text a read answers."""

    def send(type_name, body):
        response = fhir.post(type_name, body=body, headers={"Content-Type": fhir.json})
        assert response.status_code == 201, response.text[:1000]
        return fhir.get(fhir.local(response.headers["Location"])).text

    return send


@pytest.fixture
def same(fhir, echo):
    """Asserts that a resource comes back as it was sent."""

    def check(resource):
        stored = json.loads(echo(resource["resourceType"], json.dumps(resource, ensure_ascii=False)))
        assert fhir.content(stored) == resource

    return check


@pytest.mark.parametrize(
    "digits",
    [
        "120.50",
        "0.000",
        "0",
        "-0.5",
        "100",
        "100.00",
        "1.0E-10",
        "1.0e-10",
        "1e3",
        "6.02E+23",
        "0.1",
        "0.30000000000000004",
        "0.000000000000000001",
        "3.14159265358979323846264338327950288",
        "123456789012345678901234567890",
        "123456789012345.678901234567890",
        "9007199254740993",
        "-0.0",
    ],
)
def test_decimals_keep_their_precision(fhir, echo, digits):
    """R4 datatypes.html#decimal: 0.010 is different to 0.01, and the original precision SHALL be preserved"""
    resource = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "d"},
        "valueQuantity": {"value": "DIGITS"},
        "component": [{"code": {"text": "d"}, "valueQuantity": {"value": "DIGITS"}}],
        "extension": [{"url": "https://conformance.example/d", "valueDecimal": "DIGITS"}],
    }
    body = json.dumps(resource).replace('"DIGITS"', digits)

    stored = fhir.exact(echo("Observation", body))

    sent = fhir.exact(digits)
    assert stored["valueQuantity"]["value"] == sent
    assert stored["component"][0]["valueQuantity"]["value"] == sent
    assert stored["extension"][0]["valueDecimal"] == sent


@pytest.mark.parametrize("date", ["1970", "1970-03", "1970-03-31", "2000-02-29", "0001-01-01", "9999-12-31"])
def test_dates_stay_as_written(same, date):
    """R4 datatypes.html#date: YYYY, YYYY-MM, or YYYY-MM-DD"""
    same({"resourceType": "Patient", "birthDate": date})


@pytest.mark.parametrize(
    "moment",
    [
        "2015",
        "2015-02",
        "2015-02-07",
        "2015-02-07T13:28:17Z",
        "2015-02-07T13:28:17+02:00",
        "2015-02-07T13:28:17.239-05:00",
        "2015-02-07T13:28:17.000Z",
        "2015-02-07T13:28:17.5+00:00",
        "2015-02-07T13:28:17.123456789+14:00",
        "2015-02-07T00:00:00-00:00",
        "2016-12-31T23:59:60Z",
    ],
)
def test_moments_stay_as_written(same, moment):
    """R4 datatypes.html#dateTime: zone, precision and trailing zeros; seconds may be 60"""
    same(
        {
            "resourceType": "Observation",
            "status": "final",
            "code": {"text": "m"},
            "effectiveDateTime": moment,
        }
    )


@pytest.mark.parametrize(
    "instant", ["2015-02-07T13:28:17.239+02:00", "2015-02-07T13:28:17Z", "2015-02-07T13:28:17.00Z"]
)
def test_instants_stay_as_written(same, instant):
    """R4 datatypes.html#instant"""
    same({"resourceType": "Observation", "status": "final", "code": {"text": "i"}, "issued": instant})


@pytest.mark.parametrize(
    "text",
    [
        "Éléonore Çelik-Šimůnek",
        "e\u0301 is not \u00e9",
        "👩‍👩‍👧‍👦 🩺 𝒜",
        "שלום مرحبا",
        "你好",
        "zero\u200bwidth\u2060joiner\u00a0nbsp",
        "tab\there",
        'quotes " and \\ and / and \u2028',
        "<b>&amp; &lt;",
        "\ufffd\ufeff",
        "a" * 100_000,
    ],
)
def test_text_stays_as_written(same, text):
    """R4 datatypes.html#string: Unicode, not normalised, not escaped twice"""
    same({"resourceType": "Observation", "status": "final", "code": {"text": text}, "valueString": text})


def test_lines_of_markdown_stay_as_written(same):
    """R4 datatypes.html#markdown: carriage return, line feed and tab are allowed"""
    same(
        {
            "resourceType": "Observation",
            "status": "final",
            "code": {"text": "n"},
            "note": [{"text": "# a\r\n\n* b\n\t* c  \n"}],
        }
    )


def test_escapes_are_the_characters_they_stand_for(echo):
    """R4 json.html; RFC 8259 s. 7"""
    body = r'{"resourceType":"Patient","name":[{"family":"\u00c9l\u00e9onore \ud83e\ude7a \u0022\/"}]}'

    assert json.loads(echo("Patient", body))["name"][0]["family"] == 'Éléonore 🩺 "/'


@pytest.mark.parametrize(
    "div",
    [
        "<p>plain</p>",
        "<p>a <b>b</b> <i>c</i>  d</p>\n  <p/>",
        "<p>&lt;5 &amp; &gt;3 &quot;q&quot; &#160;&#233;</p>",
        '<p class="x" style="color: red" title=\'a "b"\'>é 🩺</p>',
        '<table><tbody><tr><td colspan="2">1</td></tr></tbody></table>',
        '<ul><li><a href="#x" name="y">z</a></li></ul><br/><hr />',
    ],
)
def test_narrative_stays_as_written(same, div):
    """R4 narrative.html, json.html#xhtml: one escaped text"""
    narrative = {"status": "generated", "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{div}</div>'}

    same({"resourceType": "Patient", "text": narrative})


@pytest.mark.parametrize(
    "resource",
    [
        # the id, extension and absence of a primitive
        {
            "birthDate": "1970-03-30",
            "_birthDate": {
                "id": "b1",
                "extension": [{"url": "https://x.example/t", "valueDateTime": "1970-03-30T05:00:00Z"}],
            },
        },
        {
            "_birthDate": {
                "extension": [
                    {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}
                ]
            }
        },
        {"gender": "male", "_gender": {"id": "g"}},
        {"active": False, "_active": {"id": "a"}},
        # lists of primitives, with null where there is nothing to say
        {
            "name": [
                {
                    "given": ["A", None, "C"],
                    "_given": [None, {"extension": [{"url": "https://x.example/n", "valueBoolean": True}]}, None],
                }
            ]
        },
        {"name": [{"given": ["A", "B"], "_given": [{"id": "one"}, None]}]},
        {"name": [{"given": ["A", "B"], "_given": [None, {"id": "two"}]}]},
        {"name": [{"_given": [{"extension": [{"url": "https://x.example/n", "valueCode": "masked"}]}]}]},
        # extensions within extensions, of many types
        {
            "extension": [
                {
                    "url": "https://x.example/c",
                    "extension": [
                        {"url": "a", "valueInteger": 0},
                        {"url": "b", "extension": [{"url": "d", "valueBoolean": False}]},
                    ],
                }
            ]
        },
        {
            "extension": [
                {
                    "url": "https://x.example/q",
                    "valueQuantity": {"value": 1, "unit": "kg", "system": "http://unitsofmeasure.org", "code": "kg"},
                }
            ]
        },
        {"modifierExtension": [{"url": "https://x.example/m", "valueString": "changes the meaning"}]},
        {
            "name": [
                {
                    "id": "n1",
                    "family": "A",
                    "_family": {
                        "extension": [
                            {"url": "http://hl7.org/fhir/StructureDefinition/humanname-own-name", "valueString": "A"}
                        ]
                    },
                }
            ]
        },
        # contained
        {
            "contained": [{"resourceType": "Organization", "id": "o", "name": "Cabinet"}],
            "managingOrganization": {"reference": "#o"},
        },
        # falsy, but there
        {"active": False, "deceasedBoolean": False, "multipleBirthInteger": 0},
        # metadata of the client's
        {
            "meta": {
                "source": "https://x.example/s#1",
                "profile": ["https://x.example/p"],
                "tag": [{"system": "https://x.example/t", "code": "c", "display": "d"}],
            }
        },
        {"language": "fr-FR", "_language": {"id": "l"}},
    ],
    ids=lambda resource: ",".join(resource)[:40],
)
def test_every_shape_of_json(same, resource):
    """R4 json.html#primitive, #inherits; extensibility.html; references.html#contained"""
    same({"resourceType": "Patient", **resource})


def test_resource_type_may_come_last(fhir, echo):
    """R4 json.html: the order of properties has no meaning"""
    stored = json.loads(echo("Patient", '{"gender":"male","active":true,"resourceType":"Patient"}'))

    assert fhir.content(stored) == {"resourceType": "Patient", "gender": "male", "active": True}


def test_whitespace_has_no_meaning(fhir, echo):
    """RFC 8259 s. 2"""
    stored = json.loads(echo("Patient", ' \r\n\t{ "resourceType" :\n"Patient" , "active":true }\n \n'))

    assert fhir.content(stored) == {"resourceType": "Patient", "active": True}


@pytest.mark.parametrize(
    "changes",
    [
        {"name": []},
        {"name": [{}]},
        {"name": None},
        {"name": [None]},
        {"name": [{"family": ""}]},
        {"name": [{"given": []}]},
        {"name": [{"given": [None]}]},
        {"name": [{"given": ["A", None]}]},
        {"name": [{"given": ["A"], "_given": [{"id": "x"}, {"id": "y"}, {}]}]},
        {"_birthDate": {}},
        {"_birthDate": []},
        {"meta": {}},
        {"contained": []},
        {"extension": []},
    ],
    ids=json.dumps,
)
def test_nothing_is_ever_empty(fhir, by_tag, new_patient, changes):
    """R4 json.html: no empty array, object, string; null in lists of primitives alone"""
    body = json.dumps({**new_patient(), **changes})
    response = fhir.post("Patient", body=body, headers={"Content-Type": fhir.json})

    if response.status_code != 201:  # refused, or left out
        fhir.issues(response, 400, 422)
        assert fhir.found("Patient", by_tag) == set()
        return
    served = fhir.read(fhir.local(response.headers["Location"]))
    assert not list(empties(served)), served


def empties(value, in_primitives=False):
    """Each part of a resource that json.html says cannot be."""
    if value is None:
        if not in_primitives:
            yield value
    elif value in ({}, [], ""):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from empties(part)
    elif isinstance(value, list):
        if all(part is None for part in value):
            yield value
        for part in value:
            yield from empties(part, in_primitives=True)


def test_comments_are_not_part_of_r4(fhir, new_patient):
    """R4 json.html: fhir_comments was withdrawn after DSTU 2"""
    response = fhir.post("Patient", new_patient(fhir_comments=["a comment"]))

    if response.status_code != 201:
        fhir.issues(response, 400, 422)
    else:
        assert "fhir_comments" not in fhir.read(fhir.local(response.headers["Location"]))


@pytest.mark.parametrize(
    "div",
    [
        '<div xmlns="http://www.w3.org/1999/xhtml"><script>alert(1)</script></div>',
        '<div xmlns="http://www.w3.org/1999/xhtml"><p onclick="alert(1)">x</p></div>',
        '<div xmlns="http://www.w3.org/1999/xhtml"><a href="javascript:alert(1)">x</a></div>',
        '<div xmlns="http://www.w3.org/1999/xhtml"><iframe src="https://x.example"/></div>',
        '<div xmlns="http://www.w3.org/1999/xhtml"><form action="https://x.example"><input name="x"/></form></div>',
    ],
)
def test_active_narrative_is_not_served(fhir, new_patient, div):
    """R4 narrative.html, txt-1: no scripts, forms, event attributes; security.html#narrative"""
    response = fhir.post("Patient", new_patient(text={"status": "generated", "div": div}))

    if response.status_code != 201:
        fhir.issues(response, 400, 422)
        return
    served = fhir.get(fhir.local(response.headers["Location"])).json().get("text", {}).get("div", "")
    assert not any(word in served for word in ("<script", "onclick", "javascript:", "<iframe", "<form"))
