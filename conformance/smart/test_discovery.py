"""What the server says of itself.  SMART App Launch 2.2: conformance.html; RFC 8414; OpenID Connect Discovery 1.0"""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
import requests

ORIGIN = "https://app.example"
#: The capabilities of conformance.html; a server may have others, as URIs.
KNOWN = frozenset(
    [
        "launch-ehr",
        "launch-standalone",
        "authorize-post",
        "client-public",
        "client-confidential-symmetric",
        "client-confidential-asymmetric",
        "sso-openid-connect",
        "context-banner",
        "context-style",
        "context-ehr-patient",
        "context-ehr-encounter",
        "context-standalone-patient",
        "context-standalone-encounter",
        "permission-offline",
        "permission-online",
        "permission-patient",
        "permission-user",
        "permission-v1",
        "permission-v2",
        "smart-app-state",
    ]
)


def well_known(suite, **headers):
    return suite.http.get(f"{suite.base}/.well-known/smart-configuration", headers=headers, timeout=30)


@pytest.mark.parametrize("accept", ["application/json", "application/fhir+json", "application/xml", "text/html", "*/*"])
def test_configuration_is_json_whatever_is_accepted(suite, accept):
    """conformance.html#using-well-known: responses SHALL use application/json, regardless of the Accept header"""
    answer = well_known(suite, Accept=accept)

    assert answer.status_code == 200
    assert answer.headers["Content-Type"].split(";")[0] == "application/json"
    assert isinstance(answer.json(), dict)


def test_required_fields(configuration):
    """conformance.html#metadata"""
    assert isinstance(configuration["token_endpoint"], str)
    assert isinstance(configuration["grant_types_supported"], list)
    assert "authorization_code" in configuration["grant_types_supported"]
    assert configuration["capabilities"] and all(isinstance(one, str) for one in configuration["capabilities"])
    assert "S256" in configuration["code_challenge_methods_supported"]
    assert "plain" not in configuration["code_challenge_methods_supported"]
    assert configuration["response_types_supported"] == ["code"]


def test_conditional_fields(configuration):
    """conformance.html#metadata: issuer and jwks_uri with OpenID Connect, and only then"""
    capabilities = set(configuration["capabilities"])

    if capabilities & {"launch-ehr", "launch-standalone"}:
        assert configuration["authorization_endpoint"]
    assert ("issuer" in configuration) == ("sso-openid-connect" in capabilities)
    assert "sso-openid-connect" not in capabilities or configuration["jwks_uri"]
    if "client-confidential-asymmetric" in capabilities:
        assert "private_key_jwt" in configuration["token_endpoint_auth_methods_supported"]
        algorithms = configuration["token_endpoint_auth_signing_alg_values_supported"]
        assert {"RS384", "ES384"} & set(algorithms)
        assert configuration["scopes_supported"]


def test_urls_are_absolute(configuration):
    """conformance.html#metadata"""
    urls = {name: value for name, value in configuration.items() if name.endswith(("_endpoint", "_uri", "_bundle"))}
    for name, url in (urls | {"issuer": configuration["issuer"]}).items():
        assert urlsplit(url).scheme in ("http", "https") and urlsplit(url).netloc, (name, url)


def test_capabilities_are_known_or_uris(configuration):
    """conformance.html#capability-sets: further capabilities are full URIs"""
    for capability in configuration["capabilities"]:
        assert capability in KNOWN or urlsplit(capability).scheme, capability


@pytest.mark.parametrize(
    "wanted",
    [
        "launch-standalone client-public client-confidential-symmetric client-confidential-asymmetric "
        "sso-openid-connect context-standalone-patient permission-offline permission-patient authorize-post "
        "permission-v1 permission-v2",
        "launch-ehr client-confidential-symmetric client-confidential-asymmetric sso-openid-connect context-banner "
        "context-style context-ehr-patient context-ehr-encounter permission-offline permission-user authorize-post "
        "permission-v1 permission-v2",
    ],
    ids=["standalone", "ehr"],
)
def test_capabilities_of_a_certified_server(configuration, wanted):
    """What the ONC (g)(10) criterion asks of standalone and of EHR launch"""
    assert set(wanted.split()) <= set(configuration["capabilities"])


def test_the_deprecated_is_not_there(configuration):
    """conformance.html#metadata: smart_app_state_endpoint is deprecated"""
    assert "smart_app_state_endpoint" not in configuration


def test_the_three_documents_agree(suite, configuration):
    """RFC 8414 s. 2; OpenID Connect Discovery 1.0 s. 3: what each says of the same thing is the same"""
    issuer = configuration["issuer"]
    documents = [
        suite.http.get(f"{issuer}/.well-known/{name}", timeout=30)
        for name in ("openid-configuration", "oauth-authorization-server")
    ]

    for answer in documents:
        assert answer.status_code == 200
        document = answer.json()
        assert document["issuer"] == issuer
        differing = [name for name in set(document) & set(configuration) if document[name] != configuration[name]]
        assert not differing, differing


def test_openid_configuration(suite, configuration):
    """OpenID Connect Discovery 1.0 s. 3"""
    document = suite.http.get(f"{configuration['issuer']}/.well-known/openid-configuration", timeout=30).json()

    for name in ("issuer", "authorization_endpoint", "token_endpoint", "jwks_uri"):
        assert document[name], name
    assert "code" in document["response_types_supported"]
    assert document["subject_types_supported"]
    assert "RS256" in document["id_token_signing_alg_values_supported"]
    assert document["authorization_response_iss_parameter_supported"] is True  # RFC 9207 s. 3


def test_any_origin_may_ask(suite):
    """conformance.html#cors: discovery and the CapabilityStatement"""
    for path in (".well-known/smart-configuration", "metadata"):
        answer = suite.http.get(f"{suite.base}/{path}", headers={"Origin": ORIGIN}, timeout=30)
        assert answer.headers.get("Access-Control-Allow-Origin") in ("*", ORIGIN), path


def test_the_capability_statement_names_the_endpoints(suite, configuration):
    """conformance.html#declaring-support-for-oauth2-endpoints: for clients that read no other place"""
    statement = suite.http.get(f"{suite.base}/metadata", headers={"Accept": "application/fhir+json"}, timeout=30).json()
    security = statement["rest"][0]["security"]

    codes = {coding["code"] for service in security["service"] for coding in service["coding"]}
    assert "SMART-on-FHIR" in codes
    extension = next(one for one in security["extension"] if one["url"].endswith("oauth-uris"))
    uris = {one["url"]: one["valueUri"] for one in extension["extension"]}
    assert uris["authorize"] == configuration["authorization_endpoint"]
    assert uris["token"] == configuration["token_endpoint"]


def test_a_foreign_host_header_changes_nothing(suite, configuration):
    """The addresses are the server's own, whatever a request says"""
    answer = requests.get(f"{suite.base}/.well-known/smart-configuration", headers={"Host": "evil.example"}, timeout=30)

    assert answer.status_code >= 400 or answer.json() == configuration


def test_registered_origins_may_use_the_token_endpoint(suite, public):
    """conformance.html#cors; any other origin learns nothing"""
    url = suite.endpoint("token")
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}

    allowed = suite.http.options(url, headers=asked | {"Origin": public.origin}, timeout=30)
    sent = public.post(grant_type="authorization_code", code="none", headers={"Origin": public.origin})
    foreign = suite.http.options(url, headers=asked | {"Origin": ORIGIN}, timeout=30)

    assert allowed.headers.get("Access-Control-Allow-Origin") in ("*", public.origin)
    assert sent.headers.get("Access-Control-Allow-Origin") in ("*", public.origin)
    assert "true" not in allowed.headers.get("Access-Control-Allow-Credentials", "")
    assert foreign.headers.get("Access-Control-Allow-Origin") != ORIGIN


@pytest.mark.parametrize("origin", ["null", "https://app.example.evil.example"])
def test_strange_origins_are_not_let_in(suite, origin):
    """Fetch s. 3.2: the token endpoint does not give back whatever origin it is told"""
    answer = suite.http.options(
        suite.endpoint("token"), headers={"Origin": origin, "Access-Control-Request-Method": "POST"}, timeout=30
    )

    assert answer.headers.get("Access-Control-Allow-Origin") != origin


def test_the_authorization_endpoint_has_no_cors(suite, public):
    """RFC 9700 s. 2.6: CORS SHALL NOT be supported at the authorization endpoint"""
    answer = suite.http.get(
        suite.endpoint("authorization"), headers={"Origin": public.origin}, allow_redirects=False, timeout=30
    )

    assert "Access-Control-Allow-Origin" not in answer.headers
