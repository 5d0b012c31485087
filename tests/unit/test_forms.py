"""Where a form came from, as the browser says."""

from __future__ import annotations

import pytest
from flask import Flask, request

from fhir_server.web import forms

HERE = "https://record.example"


@pytest.mark.parametrize(
    ("headers", "ours"),
    [
        ({"Origin": HERE}, True),
        ({"Origin": HERE, "Sec-Fetch-Site": "same-origin"}, True),
        ({"Origin": "null", "Sec-Fetch-Site": "same-origin"}, True),
        ({"Origin": "null"}, True),
        ({}, True),
        ({"Origin": "null", "Sec-Fetch-Site": "cross-site"}, False),
        ({"Origin": "null", "Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "none"}, False),
        ({"Origin": "https://evil.example"}, False),
        ({"Origin": "https://evil.example", "Sec-Fetch-Site": "same-origin"}, False),
        ({"Origin": f"{HERE}.evil.example"}, False),
        ({"Origin": f"{HERE}:8443"}, False),
        ({"Origin": "http://record.example"}, False),
        ({"Origin": ""}, False),
    ],
)
def test_where_a_form_comes_from(headers: dict[str, str], ours: bool) -> None:
    """Fetch: Origin; Fetch Metadata s. 2.3.  What says nothing is left to the form token."""
    with Flask(__name__).test_request_context("/", method="POST", headers=headers):
        assert forms.from_here(request, f"{HERE}/base") is ours


@pytest.mark.parametrize(
    ("body", "read"),
    [("login=a", "a"), ("", ""), ("login=a&login=b", ""), ("login=" + "a" * 600, ""), ("other=a", "")],
)
def test_a_field_is_one_text(body: str, read: str) -> None:
    kind = "application/x-www-form-urlencoded"
    with Flask(__name__).test_request_context("/?login=x", method="POST", data=body, content_type=kind):
        assert forms.text(request, "login") == read
