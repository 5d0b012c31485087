"""What may be deposited, and as what.  R4: binary.html#rest; rule A16"""

from __future__ import annotations

from base64 import b64encode

import pytest

from tests.build import least
from tests.calls import Caller, Served

CDA = b'<?xml version="1.0"?>\n<ClinicalDocument xmlns="urn:hl7-org:v3"><title>Compte rendu</title></ClinicalDocument>'
FHIR_XML = (
    b'<Binary xmlns="http://hl7.org/fhir"><contentType value="text/plain"/><data value="'
    + b64encode(b"hi")
    + b'"/></Binary>'
)


@pytest.mark.parametrize("media_type", ["text/xml", "application/xml"])
def test_a_cda_document_is_deposited_as_what_it_is(operator: Caller, media_type: str) -> None:
    """R4 binary.html#rest: content that is no FHIR resource is taken as it is, and comes back so"""
    made = operator("POST", "Binary", CDA, **{"Content-Type": media_type})

    assert made.status_code == 201, made.text
    location = made.headers["Location"].partition("/fhir/")[2].partition("/_history")[0]
    assert operator("GET", location, Accept="*/*").data == CDA


def test_a_fhir_binary_is_read_as_a_resource(operator: Caller) -> None:
    """R4 binary.html#rest"""
    made = operator(
        "POST", "Binary", FHIR_XML, **{"Content-Type": "application/xml", "Accept": "application/fhir+json"}
    )

    assert made.status_code == 201, made.text
    assert made.get_json()["contentType"] == "text/plain"


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_nobody_but_the_operator_says_who_did_what(served: Served, method: str) -> None:
    """A16: AuditEvents are the server's to write"""
    id, caller = served.patient("patient/*.cruds")
    forged = {**least("AuditEvent"), "entity": [{"what": {"reference": f"Patient/{id}"}}]}
    path = "AuditEvent" if method == "POST" else f"AuditEvent/forged-{id}"

    answer = caller(method, path, forged if method == "POST" else {**forged, "id": f"forged-{id}"})

    assert answer.status_code == 403, answer.text


def test_a_parameter_has_a_bound_on_its_values(operator: Caller) -> None:
    """docs/operating.md: a budget is answered with its limit, never with a truncation"""
    answer = operator("GET", "Observation?code=" + ",".join(map(str, range(600))))

    assert answer.status_code == 400
    assert "at most 500" in answer.text
