"""Discovery: three documents of one source, true of what there is.

SMART 2.2: conformance.html; RFC 8414; OpenID Connect Discovery 1.0
"""

from __future__ import annotations

from typing import Any

import pytest
from werkzeug.test import EnvironBuilder

from tests.calls import BASE
from tests.launches import ISSUER, Launching

SMART = "/fhir/.well-known/smart-configuration"
DOCUMENTS = (SMART, "/.well-known/oauth-authorization-server", "/.well-known/openid-configuration")


@pytest.mark.parametrize("path", DOCUMENTS)
@pytest.mark.parametrize("accept", ["application/json", "text/html", "application/fhir+xml", "*/*"])
def test_it_is_json_whatever_is_accepted(launches: Launching, path: str, accept: str) -> None:
    """SMART 2.2 conformance.html: "application/json, regardless of the Accept header" """
    answer = launches.get(path, Accept=accept)
    assert answer.status_code == 200
    assert answer.content_type == "application/json"
    assert isinstance(answer.json, dict)


def test_the_required_fields_are_there(launches: Launching) -> None:
    """SMART 2.2 conformance.html: the metadata of a server that does all of it"""
    told = launches.get(SMART).json
    assert told["issuer"] == ISSUER
    for name in (
        "token_endpoint",
        "authorization_endpoint",
        "jwks_uri",
        "introspection_endpoint",
        "revocation_endpoint",
        "registration_endpoint",
        "management_endpoint",
    ):
        assert told[name].startswith(f"{ISSUER}/"), name
    assert set(told["grant_types_supported"]) == {"authorization_code", "refresh_token", "client_credentials"}
    assert told["code_challenge_methods_supported"] == ["S256"]
    assert told["response_types_supported"] == ["code"]
    assert "private_key_jwt" in told["token_endpoint_auth_methods_supported"]
    assert {"RS384", "ES384"} <= set(told["token_endpoint_auth_signing_alg_values_supported"])
    assert {
        "launch-ehr",
        "launch-standalone",
        "authorize-post",
        "client-public",
        "client-confidential-symmetric",
        "client-confidential-asymmetric",
        "sso-openid-connect",
        "context-standalone-patient",
        "permission-offline",
        "permission-patient",
        "permission-user",
        "permission-v1",
        "permission-v2",
    } <= set(told["capabilities"])
    assert "smart_app_state_endpoint" not in told


def test_the_three_say_the_same(launches: Launching) -> None:
    """RFC 8414 s. 3; OIDC Discovery s. 3: whatever two of them say, they say alike"""
    told = [launches.get(path).json for path in DOCUMENTS]
    for name in set().union(*told):
        said = [document[name] for document in told if name in document]
        assert all(one == said[0] for one in said), name
    openid = told[2]
    assert openid["id_token_signing_alg_values_supported"] == ["RS256"]
    assert openid["subject_types_supported"] == ["public"]
    assert openid["userinfo_endpoint"] == f"{ISSUER}/oauth/userinfo"
    assert openid["authorization_response_iss_parameter_supported"] is True


def test_every_endpoint_that_is_named_is_there(launches: Launching) -> None:
    """SMART 2.2 conformance.html: nothing is published that does not work"""
    told = {**launches.get(DOCUMENTS[1]).json}
    for name, address in told.items():
        if name.endswith("_endpoint") or name == "jwks_uri":
            path = address.removeprefix(ISSUER)
            found = {launches.get(path).status_code, launches.post(path, {}).status_code}
            assert 404 not in found and not {code for code in found if code >= 500}, (name, found)


def test_every_scope_that_is_named_can_be_had(launches: Launching) -> None:
    """SMART 2.2 conformance.html: scopes_supported"""
    for scope in launches.get(SMART).json["scopes_supported"]:
        if scope.startswith("system/") or scope == "launch":
            continue  # for a backend, and for an EHR launch
        client = launches.register(scope=f"{scope} patient/*.rs")
        answer = launches.launch(client, scope=f"{scope} patient/Patient.r").begin()
        assert answer.headers["Location"].startswith(f"{ISSUER}/authorize/"), scope


def test_no_app_comes_to_an_emergency_by_asking_for_all_that_is_named(launches: Launching) -> None:
    """SMART 2.2 conformance.html: scopes_supported need not have all; those of an emergency are for who knows them"""
    for document in DOCUMENTS:
        told = launches.get(document).json
        assert not [scope for scope in told["scopes_supported"] if scope.startswith("__")]


def test_the_keys_are_public_and_bare(launches: Launching) -> None:
    """SMART 2.2; RFC 7517: an RSA key for RS256, and nothing private"""
    keys = launches.get("/oauth/jwks").json["keys"]
    assert any(key["kty"] == "RSA" and key["alg"] == "RS256" for key in keys)
    assert len({key["kid"] for key in keys}) == len(keys)
    assert not [key for key in keys if key.keys() & {"d", "p", "q", "dp", "dq", "qi", "x5c", "k"}]


def test_the_capability_statement_says_the_same(launches: Launching) -> None:
    """SMART 2.2 conformance.html: oauth-uris and capabilities, which some clients read there alone"""
    told = launches.get(SMART).json
    statement = launches.get("/fhir/metadata").json
    security = statement["rest"][0]["security"]
    assert security["cors"] is True
    (uris,) = [each for each in security["extension"] if each["url"].endswith("/oauth-uris")]
    said = {each["url"]: each["valueUri"] for each in uris["extension"]}
    assert said["authorize"] == told["authorization_endpoint"]
    assert said["token"] == told["token_endpoint"]
    assert said["revoke"] == told["revocation_endpoint"]
    capabilities = [each["valueCode"] for each in security["extension"] if each["url"].endswith("/capabilities")]
    assert capabilities == told["capabilities"]
    (service,) = security["service"]
    assert service["coding"][0]["code"] == "SMART-on-FHIR"


@pytest.mark.parametrize("path", [*DOCUMENTS, "/fhir/metadata", "/oauth/authorize"])
def test_the_host_header_says_nothing(launches: Launching, path: str) -> None:
    """RFC 9207 s. 2: the base URL of the settings alone"""
    given: Any = launches.launch(launches.register()).parameters() if path == "/oauth/authorize" else {}
    builder = EnvironBuilder(path, query_string=given, base_url="http://evil.example/")
    builder.headers["X-Forwarded-Host"] = "evil.example"
    answer = launches.app.test_client().open(builder)
    assert "evil.example" not in answer.text + str(answer.headers)
    assert answer.status_code in (200, 303)


def test_a_refusal_without_a_token_is_a_challenge(launches: Launching) -> None:
    """RFC 6750 s. 3; g10: Patient/[id] without a token is 401"""
    answer = launches.get("/fhir/Patient/1")
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert BASE.startswith(ISSUER)
