"""What is read of a request on the wire: its headers, and a body where there is one.  R4: http.html"""

from __future__ import annotations

import doctest
from typing import Any

import pytest
from flask import Flask

from fhir_server.fhir.http import FhirRequest
from fhir_server.rest import blueprint
from fhir_server.rest.blueprint import read_request

BODY = b'{"resourceType": "Patient"}'


def read(**given: Any) -> FhirRequest:
    """A POST with that body in its stream; `given` says what gunicorn says of it."""
    app = Flask(__name__)
    with app.test_request_context("/fhir/Patient", method="POST", data=BODY) as context:
        del context.request.environ["CONTENT_LENGTH"]
        context.request.environ.update({"wsgi.input_terminated": True, **given})
        return read_request("Patient", "", "http://fhir.test/fhir")


def test_the_examples_hold() -> None:
    tried = doctest.testmod(blueprint)
    assert tried.attempted > 0
    assert tried.failed == 0


@pytest.mark.parametrize("given", [{"CONTENT_LENGTH": str(len(BODY))}, {"HTTP_TRANSFER_ENCODING": "chunked"}])
def test_a_body_has_a_length_or_a_coding(given: dict[str, str]) -> None:
    """RFC 9112 s. 6.3"""
    assert read(**given).body == BODY


@pytest.mark.parametrize("given", [{}, {"CONTENT_LENGTH": ""}, {"CONTENT_LENGTH": "0"}])
def test_there_is_no_body_without(given: dict[str, str]) -> None:
    """RFC 9112 s. 6.3: then the length is zero"""
    assert read(**given).body == b""


def test_headers_go_by_their_lower_case_names() -> None:
    """RFC 9110 s. 5.1; PEP 3333 names two of them apart, and no client says that it is an entry of a Bundle"""
    given = {"CONTENT_TYPE": "text/xml", "HTTP_IF_NONE_EXIST": "a=b", "HTTP_:BUNDLE": "entry", "HTTP_CONTENT_TYPE": "x"}

    asked = read(**given)

    assert dict(asked.headers) == {"host": "localhost", "content-type": "text/xml", "if-none-exist": "a=b"}
    assert not asked.in_bundle
