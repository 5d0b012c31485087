"""A JWT is taken apart before anything of it is believed, whatever it holds.  RFC 7515; RFC 8725"""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from typing import Any

import pytest
from joserfc.jwk import ECKey

from fhir_server.smart.signed import Refused, read

ODD: tuple[Any, ...] = (1, -1.5, None, True, {}, {"a": 1}, [], [1], "x")


def _encoded(part: Any) -> str:
    return urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")


@pytest.mark.parametrize("name", ["alg", "kid", "typ", "cty", "crit", "b64", "jku", "jwk", "x5c", "x5u", "zip", "enc"])
def test_a_header_of_odd_types_is_refused(name: str) -> None:
    """RFC 8725 s. 2.1: nothing in it is proven, nor is it of the types that it should have"""
    key = ECKey.generate_key("P-384")
    for value in ODD:
        with pytest.raises(Refused):
            read(f"{_encoded({'alg': 'ES384', name: value})}.{_encoded({})}.AAAA").check_signature(key, "ES384")


@pytest.mark.parametrize("token", ["", "..", "a.b", "a.b.c.d", "é.a.b", *(f"{_encoded(odd)}.e30.AA" for odd in ODD)])
def test_what_is_no_jwt_is_refused(token: str) -> None:
    """RFC 7519 s. 7.2"""
    with pytest.raises(Refused):
        read(token)


@pytest.mark.parametrize("value", ["1", None, True, [], -1, 1e12, float("nan"), float("inf")])
def test_a_time_is_a_number_of_seconds(value: Any) -> None:
    """RFC 7519 s. 2: NumericDate"""
    with pytest.raises(Refused):
        read(f"{_encoded({'alg': 'ES384'})}.{_encoded({'iat': value})}.AA").time("iat")
