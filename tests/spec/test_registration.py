"""Publishers register what they make, if they were invited.  RFC 7591; RFC 9700 s. 4.1, s. 4.11"""

from __future__ import annotations

import json
import secrets
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from fhir_server.smart.clients import Client
from tests.clients import key, public
from tests.launches import Launching

SCOPE = "openid fhirUser launch/patient patient/*.rs offline_access"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)


@pytest.fixture
def invitation(launches: Launching) -> str:
    """An initial access token for one app of patients."""
    return invite(launches)


def invite(launches: Launching, audience: Any = "patient", scope: str = SCOPE) -> str:
    return launches.kept.invitations.invite("Éditions du Test", audience, scope, timedelta(days=1))


def metadata(**changes: Any) -> dict[str, Any]:
    """What a good app says of itself; a change to None leaves something out."""
    said = {
        "client_name": f"Carnet {secrets.token_hex(8).translate(str.maketrans('015', 'xyz'))}",
        "token_endpoint_auth_method": "none",
        "redirect_uris": ["https://app.example.org/back"],
        "scope": "launch/patient patient/Observation.rs",
        **changes,
    }
    return {name: value for name, value in said.items() if value is not None}


def register(launches: Launching, token: str | None, said: Any, query: str = ""):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    return launches.app.test_client().post(
        f"/oauth/register{query}", data=body, headers=headers, content_type="application/json"
    )


def registered(launches: Launching, **changes: Any) -> Client:
    """The client that was made of good metadata."""
    answer = register(launches, invite(launches), metadata(**changes))
    assert answer.status_code == 201, answer.text
    found = launches.kept.clients.find(answer.json["client_id"], any_status=True)
    assert found
    return found


def refused(launches: Launching, token: str, **changes: Any) -> str:
    """The error for metadata with these changes; the invitation is not used up, and no client is made."""
    before = len(launches.kept.clients.list())
    answer = register(launches, token, metadata(**changes))
    assert answer.status_code == 400, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    assert len(launches.kept.clients.list()) == before
    assert launches.kept.invitations.find(token)
    return str(answer.json["error"])


def test_what_is_registered_waits_to_be_looked_at(launches, invitation):
    """RFC 7591 s. 3.2.1; until then it is as if it were not there"""
    said = metadata(token_endpoint_auth_method="client_secret_basic", client_id="app-mine", client_secret="mine")

    answer = register(launches, invitation, said)

    assert answer.status_code == 201
    assert answer.headers["Cache-Control"] == "no-store"
    told = answer.json
    assert (told["status"], told["publisher"], told["audience"]) == ("pending", "Éditions du Test", "patient")
    assert told["client_id"] != "app-mine"
    assert len(told["client_secret"]) >= 43
    assert told["client_secret_expires_at"] == 0
    assert told["redirect_uris"] == said["redirect_uris"]
    kept = launches.kept.clients
    assert kept.find(told["client_id"]) is None
    basic = b64encode(f"{told['client_id']}:{told['client_secret']}".encode()).decode()
    ask = {"token": "x"}
    assert launches.post("/oauth/introspect", ask, Authorization=f"Basic {basic}").status_code == 401

    kept.resume(told["client_id"])

    assert launches.post("/oauth/introspect", ask, Authorization=f"Basic {basic}").status_code == 200


def test_the_secret_is_told_once_and_kept_as_its_hash(launches, invitation):
    told = register(launches, invitation, metadata(token_endpoint_auth_method="client_secret_basic")).json

    assert told["client_secret"] not in str(launches.database["_clients"].find_one({"_id": told["client_id"]}))


def test_a_public_client_has_no_secret(launches, invitation):
    """RFC 7591 s. 3.2.1"""
    told = register(launches, invitation, metadata()).json

    assert "client_secret" not in told
    assert "client_secret_expires_at" not in told


@pytest.mark.parametrize("token", [None, "unknown", ""])
def test_nobody_registers_uninvited(launches, token):
    """RFC 7591 s. 3: an initial access token"""
    answer = register(launches, token, metadata())

    assert (answer.status_code, answer.json["error"]) == (401, "invalid_token")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_an_invitation_is_for_one_client(launches, invitation):
    assert register(launches, invitation, metadata()).status_code == 201
    assert register(launches, invitation, metadata()).status_code == 401


def test_of_registrations_at_once_with_one_invitation_one_is_made(launches, invitation):
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: register(launches, invitation, metadata()).status_code, range(6)))

    assert sorted(answers) == [201] + [401] * 5


def test_an_invitation_ends(launches):
    token = launches.kept.invitations.invite("Éditions du Test", "patient", SCOPE, timedelta(seconds=0))

    assert register(launches, token, metadata()).status_code == 401


GOOD_REDIRECTS = [
    "https://app.example.org/back",
    "https://app.example.org",
    "https://app.example.org:8443/back?tenant=1",
    "http://127.0.0.1/back",
    "http://[::1]:5000/back",
    "http://localhost:3000/",
    "https://xn--sant-epa.example.org/back",
]


@pytest.mark.parametrize("uri", GOOD_REDIRECTS)
def test_people_come_back_by_https_or_to_their_own_machine(launches, uri):
    """RFC 9700 s. 2.1; RFC 8252 s. 7.3"""
    assert registered(launches, redirect_uris=[uri]).redirect_uris == (uri,)


BAD_REDIRECTS = [
    "http://app.example.org/back",
    "https://*.example.org/back",
    "https://app.example.org/*",
    "https://app.example.org/back#part",
    "https://app.example.org/back#",
    "https://user@app.example.org/back",
    "https://app.example.org@evil.test/back",
    "https://app.example.org\\@evil.test/back",
    "https://app.example.org/../evil",
    "https://app.example.org/%2e%2E/evil",
    "https://app.example.org//evil.test",
    "https://APP.example.org/back",
    "HTTPS://app.example.org/back",
    "https://app.example.org./back",
    "https://app.example.org:0443/back",
    "https://app.example.org:/back",
    "https://app.example.org:99999/back",
    "https://intranet/back",
    "https://santé.example.org/back",
    "https://app.example.org/ba ck",
    "https://app.example.org/back\n",
    "https://app.example.org/<script>",
    "https://app.example.org/?code=1",
    "https://app.example.org/?iss=1",
    "https://app.example.org/?a=1&state=",
    "https:app.example.org/back",
    "https:///back",
    "//app.example.org/back",
    "javascript:alert(1)",
    "data:text/html,x",
    "vbscript:x",
    "file:///etc/passwd",
    "com.example.app:/back",
    "http://127.0.0.1.evil.test/back",
    "http://localhost.evil.test/back",
    "http://2130706433/back",
    "http://0x7f.1/back",
    "https://app.example.org/" + "x" * 2_000,
    "",
]


@pytest.mark.parametrize("uri", BAD_REDIRECTS)
def test_where_people_could_be_led_astray_is_refused(launches, invitation, uri):
    """RFC 9700 s. 4.1; RFC 7591 s. 5"""
    assert refused(launches, invitation, redirect_uris=[uri]) == "invalid_redirect_uri"
    assert refused(launches, invitation, post_logout_redirect_uris=[uri]) == "invalid_redirect_uri"
    if uri:
        assert refused(launches, invitation, launch_uri=uri) == "invalid_redirect_uri"


BAD: dict[str, Callable[[], dict[str, Any]]] = {
    "no redirect": lambda: {"redirect_uris": []},
    "redirect twice": lambda: {"redirect_uris": ["https://app.example.org/"] * 2},
    "redirects are a string": lambda: {"redirect_uris": "https://app.example.org/"},
    "a redirect is an object": lambda: {"redirect_uris": [{"$ne": None}]},
    "very many redirects": lambda: {"redirect_uris": [f"https://app.example.org/{number}" for number in range(100)]},
    "no name": lambda: {"client_name": None},
    "empty name": lambda: {"client_name": "  "},
    "HTML in the name": lambda: {"client_name": "<b>Carnet</b>"},
    "script in the name": lambda: {"client_name": 'Carnet"><script>alert(1)</script>'},
    "bidi in the name": lambda: {"client_name": "Carnet \u202etenraC"},
    "zero width in the name": lambda: {"client_name": "Car\u200bnet"},
    "control in the name": lambda: {"client_name": "Carnet\r\n"},
    "Cyrillic in the name": lambda: {"client_name": "\u0421arnet"},
    "name not in NFC": lambda: {"client_name": "Sante\u0301"},
    "long name": lambda: {"client_name": "x" * 200},
    "name is a number": lambda: {"client_name": 1},
    "unknown method": lambda: {"token_endpoint_auth_method": "client_secret_post"},
    "method is a list": lambda: {"token_endpoint_auth_method": ["none"]},
    "implicit": lambda: {"grant_types": ["implicit"]},
    "password": lambda: {"grant_types": ["authorization_code", "password"]},
    "client credentials": lambda: {"grant_types": ["client_credentials"]},
    "refresh alone": lambda: {"grant_types": ["refresh_token"]},
    "token response": lambda: {"response_types": ["token"]},
    "malformed scope": lambda: {"scope": "patient/Observation.sr"},
    "system scope": lambda: {"scope": "system/*.rs"},
    "unknown scope": lambda: {"scope": "admin"},
    "emergency scope": lambda: {"scope": "patient/*.rs __bris_de_glace"},
    "introspection": lambda: {"scope": "patient/*.rs __introspect"},
    "scope beyond the invitation": lambda: {"scope": "patient/*.cruds"},
    "scope of others beyond the invitation": lambda: {"scope": "user/*.rs"},
    "chained scope": lambda: {"scope": "patient/Observation.rs?patient.name=x"},
    "scope with a modifier": lambda: {"scope": "patient/Observation.rs?code:in=x"},
    "scope is a list": lambda: {"scope": ["patient/*.rs"]},
    "essential beyond scope": lambda: {"essential": ["patient/Patient.rs"]},
    "keys without a use": lambda: {"jwks": public(key())},
    "keys by URL without a use": lambda: {"jwks_uri": "https://app.example.org/jwks"},
    "origin with a path": lambda: {"origins": ["https://app.example.org/x"]},
    "policy by http": lambda: {"policy_uri": "http://app.example.org/"},
    "terms as script": lambda: {"tos_uri": "javascript:alert(1)"},
    "logo elsewhere": lambda: {"logo": "https://app.example.org/logo.png"},
    "logo is SVG": lambda: {"logo": "data:image/svg+xml;base64,PHN2Zy8+"},
    "logo is no image": lambda: {"logo": "data:image/png;base64,PHN2Zy8+"},
    "logo is no base64": lambda: {"logo": "data:image/png;base64,%%%"},
    "large logo": lambda: {"logo": "data:image/png;base64," + b64encode(PNG + bytes(101_000)).decode()},
    "HTML in the description": lambda: {"description": {"fr": "<img src=x>"}},
    "bidi in the description": lambda: {"description": {"fr": "\u2067x"}},
    "description in another language": lambda: {"description": {"xx": "x"}},
    "dpop is a string": lambda: {"dpop_bound_access_tokens": "true"},
}


@pytest.mark.parametrize("name", BAD)
def test_metadata_that_do_harm_are_refused(launches, invitation, name):
    """RFC 7591 s. 2, s. 5"""
    assert refused(launches, invitation, **BAD[name]()) in ("invalid_client_metadata", "invalid_redirect_uri")


BAD_KEYS: dict[str, Callable[[], dict[str, Any]]] = {
    "none": dict,
    "both": lambda: {"jwks": public(key()), "jwks_uri": "https://app.example.org/jwks"},
    "no set": lambda: {"jwks": []},
    "empty set": lambda: {"jwks": {"keys": []}},
    "private key": lambda: {"jwks": {"keys": [key().as_dict(private=True)]}},
    "secret key": lambda: {"jwks": {"keys": [{"kty": "oct", "k": "AAAA", "kid": "x"}]}},
    "no kid": lambda: {"jwks": {"keys": [{**key().as_dict(private=False), "kid": None}]}},
    "kid twice": lambda: {"jwks": public(key(), key())},
    "wrong curve": lambda: {"jwks": public(key("ES256"))},
    "short RSA": lambda: {"jwks": {"keys": [{"kty": "RSA", "kid": "x", "n": "3Q", "e": "AQAB"}]}},
    "nonsense": lambda: {"jwks": {"keys": [{"kty": "EC", "crv": "P-384", "kid": "x", "x": "A", "y": "B"}]}},
    "http": lambda: {"jwks_uri": "http://app.example.org/jwks"},
    "loopback": lambda: {"jwks_uri": "https://127.0.0.1/jwks"},
    "link local": lambda: {"jwks_uri": "https://169.254.169.254/jwks"},
    "localhost": lambda: {"jwks_uri": "https://localhost/jwks"},
    "private": lambda: {"jwks_uri": "https://[fd00::1]/jwks"},
    "number": lambda: {"jwks_uri": "https://2130706433/jwks"},
}


@pytest.mark.parametrize("name", BAD_KEYS)
def test_keys_that_prove_nothing_are_refused(launches, invitation, name):
    """SMART 2.2 client-confidential-asymmetric.html#registering-a-client-communicating-public-keys; RFC 7517 s. 9.2"""
    said = {"token_endpoint_auth_method": "private_key_jwt", **BAD_KEYS[name]()}

    assert refused(launches, invitation, **said) == "invalid_client_metadata"


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"a":1,"a":2}', b"NaN", b"\xff", b"[" * 10_000, b'"x"', b"null"])
def test_what_is_no_json_object_is_refused(launches, invitation, body):
    answer = register(launches, invitation, body)

    assert (answer.status_code, answer.json["error"]) == (400, "invalid_client_metadata")


def test_nothing_is_said_in_the_url(launches, invitation):
    assert register(launches, invitation, metadata(), "?client_name=x").json["error"] == "invalid_request"


def test_a_name_that_looks_like_another_s_is_refused(launches):
    """Two apps that people cannot tell apart: the second is refused, and its publisher may choose another name."""
    registered(launches, client_name="Mon Carnet Bleu")

    for alike in ("Mon Carnet Bleu", "MON CARNET BLEU", "M0n Carnet B1eu", "Mon-Carnet Bléu", "Mon Camet Bleu"):
        assert refused(launches, invite(launches), client_name=alike) == "invalid_client_metadata"


def test_a_publisher_speaks_for_itself_alone(launches):
    """What the operator decides, the metadata do not change."""
    kept = registered(
        launches, publisher="Another", audience="backend", organization="Organization/x", resource_server=True
    )

    assert (kept.publisher, kept.audience, kept.organization) == ("Éditions du Test", "patient", None)
    assert (kept.resource_server, kept.verified) == (False, False)


def test_all_that_is_said_is_kept(launches):
    """RFC 7591 s. 3.2.1"""
    said = {
        "origins": ["https://pages.example.org"],
        "launch_uri": "https://app.example.org/launch",
        "post_logout_redirect_uris": ["https://app.example.org/bye"],
        "scope": "openid launch/patient patient/*.rs",
        "essential": ["patient/Observation.rs"],
        "description": {"fr": "Un carnet", "en": "A notebook"},
        "logo": "data:image/png;base64," + b64encode(PNG).decode(),
        "policy_uri": "https://app.example.org/policy",
        "tos_uri": "https://app.example.org/terms",
        "dpop_bound_access_tokens": True,
        "token_endpoint_auth_method": "private_key_jwt",
        "jwks": public(key("ES384"), key("RS384")),
    }

    kept = registered(launches, **said)

    assert (kept.kind, kept.dpop_bound, kept.scope) == ("asymmetric", True, said["scope"])
    assert (kept.origins, kept.launch_uri) == (("https://pages.example.org",), said["launch_uri"])
    assert (kept.essential, kept.description, kept.logo) == (
        ("patient/Observation.rs",),
        said["description"],
        said["logo"],
    )
    assert (kept.policy_uri, kept.tos_uri) == (said["policy_uri"], said["tos_uri"])
    assert kept.post_logout_redirect_uris == ("https://app.example.org/bye",)
    assert kept.jwks == said["jwks"]


def test_where_its_pages_are_follows_from_where_people_come_back_to(launches):
    """RFC 6454 s. 6.1"""
    kept = registered(launches, redirect_uris=["https://app.example.org/a", "https://app.example.org/b"])

    assert kept.origins == ("https://app.example.org",)


def test_a_publisher_of_backends_registers_a_backend(launches):
    """SMART 2.2 backend-services.html: a key, and nobody to come back"""
    token = invite(launches, "backend", "system/*.rs")
    said = metadata(
        redirect_uris=None, token_endpoint_auth_method="private_key_jwt", jwks=public(key()), scope="system/Patient.rs"
    )

    assert register(launches, token, {**said, "token_endpoint_auth_method": "none", "jwks": None}).status_code == 400
    assert register(launches, token, {**said, "redirect_uris": ["https://app.example.org/"]}).status_code == 400
    answer = register(launches, token, said)

    assert answer.status_code == 201
    assert answer.json["grant_types"] == ["client_credentials"]
    assert "response_types" not in answer.json


def test_without_a_scope_it_is_the_invitation_s(launches, invitation):
    """RFC 7591 s. 2: the server may register a default set"""
    assert register(launches, invitation, metadata(scope=None)).json["scope"] == SCOPE
