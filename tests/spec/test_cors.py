"""Which pages may call from a browser: any for discovery, those of registered apps for the rest, none for sign-in.

SMART 2.2: app-launch.html ("CORS"); Fetch: "CORS protocol"; RFC 9700 s. 2.6
"""

from __future__ import annotations

import secrets
from typing import Any

import pytest

from tests.launches import ISSUER, Launching

PUBLIC = (
    "/fhir/metadata",
    "/fhir/.well-known/smart-configuration",
    "/.well-known/openid-configuration",
    "/.well-known/oauth-authorization-server",
    "/oauth/jwks",
)
CALLED = ("/oauth/token", "/fhir/Patient/1", "/fhir/Patient", "/fhir", "/oauth/userinfo", "/oauth/revoke")


@pytest.fixture
def origin(launches: Launching) -> str:
    """The origin of a registered app's pages."""
    made = f"https://{secrets.token_hex(6)}.example"
    launches.register(origins=(made,))
    return made


def preflight(launches: Launching, path: str, origin: str, method: str = "PUT") -> Any:
    """What a browser asks beforehand."""
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization,content-type,if-match",
    }
    return launches.app.test_client().options(path, headers=asked, base_url=f"{ISSUER}/")


@pytest.mark.parametrize("path", PUBLIC)
def test_discovery_is_for_any_page(launches: Launching, path: str) -> None:
    """SMART 2.2 conformance.html; Inferno: allow-origin is the caller's, or any"""
    answer = launches.get(path, Origin="https://any.example")
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    asked = preflight(launches, path, "https://any.example", "GET")
    assert asked.status_code == 204
    assert asked.headers["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize("path", CALLED)
def test_registered_origins_may_call(launches: Launching, path: str, origin: str) -> None:
    """SMART 2.2 app-launch.html: the token endpoint and the FHIR API, for registered origins; errors can be read too"""
    asked = preflight(launches, path, origin)
    assert asked.status_code == 204
    assert asked.headers["Access-Control-Allow-Origin"] == origin
    assert "PUT" in asked.headers["Access-Control-Allow-Methods"]
    allowed = asked.headers["Access-Control-Allow-Headers"].lower()
    for name in ("authorization", "content-type", "if-match", "if-none-match", "if-none-exist", "prefer"):
        assert name in allowed
    answer = launches.get(path, Origin=origin)
    assert answer.headers["Access-Control-Allow-Origin"] == origin
    assert "Origin" in answer.headers["Vary"]
    exposed = answer.headers["Access-Control-Expose-Headers"]
    for name in ("Location", "ETag", "Last-Modified", "Content-Location"):
        assert name in exposed
    assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize("path", CALLED)
@pytest.mark.parametrize("change", ["null", "sub", "suffix", "upper", "http", "port", "none"])
def test_no_other_origin_may(launches: Launching, path: str, origin: str, change: str) -> None:
    """Fetch: CORS protocol: null, a sub-domain, another case, another scheme; Vary stands there all the same"""
    other = {
        "null": "null",
        "sub": origin.replace("https://", "https://sub."),
        "suffix": f"{origin}.evil.example",
        "upper": origin.upper(),
        "http": origin.replace("https", "http"),
        "port": f"{origin}:8443",
        "none": "https://never.example",
    }[change]
    answer = launches.get(path, Origin=other)
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert "Origin" in answer.headers["Vary"]
    assert "Access-Control-Allow-Origin" not in preflight(launches, path, other).headers


@pytest.mark.parametrize("path", ["/oauth/authorize", "/oauth/logout", "/oauth/introspect", "/sign-in", "/"])
def test_no_page_may_call_where_people_decide(launches: Launching, path: str, origin: str) -> None:
    """RFC 9700 s. 2.6: "CORS MUST NOT be supported at the authorization endpoint" """
    assert "Access-Control-Allow-Origin" not in preflight(launches, path, origin).headers
    assert "Access-Control-Allow-Origin" not in launches.get(path, Origin=origin).headers


def test_the_origin_of_a_suspended_app_may_not(launches: Launching) -> None:
    """smart-app-launch: an app that was stopped"""
    gone = f"https://{secrets.token_hex(6)}.example"
    client = launches.register(origins=(gone,))
    launches.kept.clients.suspend(client.client_id)
    assert "Access-Control-Allow-Origin" not in launches.get("/fhir/Patient", Origin=gone).headers
