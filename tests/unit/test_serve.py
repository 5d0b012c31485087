"""The address that a server gives as its own."""

from __future__ import annotations

import pytest

from fhir_server.cli.serve import url_of


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8080"),
        ("0.0.0.0", "http://127.0.0.1:8080"),  # noqa: S104 - not bound
        ("::", "http://[::1]:8080"),
        ("::1", "http://[::1]:8080"),
        ("records.example", "http://records.example:8080"),
    ],
)
def test_the_address_of_a_host(host: str, url: str) -> None:
    """RFC 3986 s. 3.2.2: an IPv6 address stands in brackets"""
    assert url_of(host, 8080) == url
