"""What anybody may fetch.  SMART App Launch 2.2: brands.html, scopes-and-launch-context.html#styling"""

from __future__ import annotations

from tests.calls import Served

ORIGIN = {"Origin": "https://app.example"}


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


def test_the_logo_of_the_brand_is_a_drawing(served: Served) -> None:
    """brands.html: brandLogo, an SVG; W3C CSP 3, sandbox"""
    answer = served.app.test_client().get("/smart/logo.svg", headers=ORIGIN)

    assert answer.content_type == "image/svg+xml"
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_server_that_is_no_demonstration_has_no_demonstration(served: Served) -> None:
    """Logins and passwords of invented people are for the demonstration alone"""
    for path in ("/demo/app/", "/demo/software/", "/demo/settings.json", "/demo/smart.js"):
        assert served.app.test_client().get(path).status_code == 404
