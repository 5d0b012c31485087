"""What anybody may fetch.  SMART App Launch 2.2: brands.html, scopes-and-launch-context.html#styling"""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime

import pytest

from fhir_server.smart.clients import Client, Clients
from tests.calls import Served

ORIGIN = {"Origin": "https://app.example"}
PICTURE = '<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


def test_the_brand_bundle_is_fetched_once(served: Served) -> None:
    """brands.html: CORS, a weak ETag, and 304 for who has it"""
    client = served.app.test_client()
    first = client.get("/fhir/.well-known/user-access-brands.json", headers=ORIGIN)
    assert first.json is not None

    again = client.get("/fhir/.well-known/user-access-brands.json", headers={"If-None-Match": first.headers["ETag"]})

    assert first.headers["Access-Control-Allow-Origin"] == "*"
    assert first.headers["ETag"].startswith('W/"')
    assert first.json["type"] == "collection"
    assert again.status_code == 304
    assert not again.data


def test_the_configuration_names_the_brand(served: Served) -> None:
    """brands.html: exactly one Organization has the identifier"""
    client = served.app.test_client()
    configuration = client.get("/fhir/.well-known/smart-configuration").json
    bundle = client.get("/fhir/.well-known/user-access-brands.json").json
    assert configuration is not None and bundle is not None

    primary = configuration["user_access_brand_identifier"]

    brands = [entry["resource"] for entry in bundle["entry"]]
    assert sum(primary in brand.get("identifier", []) for brand in brands) == 1


def test_the_style_is_json_for_anybody(served: Served) -> None:
    """scopes-and-launch-context.html#styling"""
    answer = served.app.test_client().get("/smart/style.json", headers=ORIGIN)

    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.json is not None
    assert set(answer.json) >= {"color_background", "color_highlight", "color_text", "dim_font_size"}
    assert all(isinstance(value, str) for value in answer.json.values())


def logo(served: Served, given: str | None, *, status: str = "live") -> Client:
    """A client with this logo, kept."""
    client = Client(
        "logo-app",
        "Logo",
        "Somebody",
        kind="public",
        audience="patient",
        status=status,  # type: ignore[arg-type]
        created_at=datetime(2026, 11, 22, tzinfo=UTC),
        logo=given,
    )
    Clients(served.database, lambda: client.created_at).keep(client)
    return client


def drawn(type: str = "image/svg+xml") -> str:
    """The picture as a `data:` URL of this type."""
    return f"data:{type};base64,{b64encode(PICTURE.encode()).decode()}"


def test_a_logo_runs_nothing(served: Served) -> None:
    """W3C CSP 3, sandbox: a drawing with a script in it stays a drawing"""
    logo(served, drawn())

    answer = served.app.test_client().get("/smart/logo/logo-app")

    assert answer.data == PICTURE.encode()
    assert answer.content_type == "image/svg+xml"
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "given", [None, "", "https://evil.example/logo.png", drawn("text/html"), "data:image/png;base64,a"]
)
def test_what_is_no_picture_is_not_there(served: Served, given: str | None) -> None:
    """Nothing is fetched from elsewhere, and nothing else than a picture is served"""
    logo(served, given)

    assert served.app.test_client().get("/smart/logo/logo-app").status_code == 404


def test_the_logo_of_a_suspended_app_is_not_there(served: Served) -> None:
    """A client that is not live is not there"""
    logo(served, drawn(), status="suspended")

    assert served.app.test_client().get("/smart/logo/logo-app").status_code == 404
