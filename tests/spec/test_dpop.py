"""A stolen token is of no use without the key that it is bound to.  RFC 9449"""

from __future__ import annotations

import hashlib
import time
from base64 import urlsafe_b64encode
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from fhir_server.smart.clients import Client
from fhir_server.smart.dpop import ALGORITHMS
from tests.calls import BASE
from tests.clients import TOKEN_URL, Anything, assertion, client, key
from tests.launches import ISSUER, Launch, Launching

HOLDER = key("ES256", "holder")


def proof(
    method: str = "POST",
    url: str = TOKEN_URL,
    *,
    token: str | None = None,
    signer: Any = HOLDER,
    header: dict[str, Any] | None = None,
    **changes: Any,
) -> str:
    """A proof of the key, for one request; a change to None leaves something out."""
    said = {"typ": "dpop+jwt", "alg": "ES256", "jwk": signer.as_dict(private=False), **(header or {})}
    claims = {"htm": method, "htu": url, "iat": int(time.time()), "jti": str(uuid4()), **changes}
    if token is not None:
        claims.setdefault("ath", ath(token))
    said = {name: value for name, value in said.items() if value is not None}
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(said, claims, signer, [said["alg"]], Anything(), default_type=None)


def ath(token: str) -> str:
    """RFC 9449 s. 4.2"""
    return urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).rstrip(b"=").decode()


@pytest.fixture
def launch(launches: Launching) -> Launch:
    """An app whose tokens are bound to a key."""
    return launches.launch(launches.register(dpop_bound=True), launches.sign_in(launches.person()))


def redeem(launch: Launch, code: str, *proofs: str):
    headers = {"DPoP": proofs[0]} if proofs else {}
    return launch.at.post("/oauth/token", launch.token_form(code), **headers)


def read(launches: Launching, tokens: dict[str, Any], scheme: str = "DPoP", **headers: str):
    """The patient, read with the token."""
    caller = launches.caller(tokens["access_token"])
    return caller("GET", f"Patient/{tokens['patient']}", Authorization=f"{scheme} {tokens['access_token']}", **headers)


def of(tokens: dict[str, Any], **changes: Any) -> str:
    """A proof for reading the patient."""
    return proof("GET", f"{BASE}/Patient/{tokens['patient']}", token=tokens["access_token"], **changes)


def test_a_token_is_bound_to_the_key_that_was_proven(launches, launch):
    """RFC 9449 s. 5, s. 6.2, s. 7.1"""
    tokens = redeem(launch, launch.code(), proof()).json

    assert tokens["token_type"] == "DPoP"
    assert read(launches, tokens, DPoP=of(tokens)).status_code == 200
    told = launches.post(
        "/oauth/introspect", {"token": tokens["access_token"], "client_id": launch.client.client_id}
    ).json
    assert (told["token_type"], told["cnf"]) == ("DPoP", {"jkt": HOLDER.thumbprint()})


def test_the_token_without_the_key_opens_nothing(launches, launch):
    """RFC 9449 s. 7.2: not as a bearer token either"""
    tokens = redeem(launch, launch.code(), proof()).json
    thief = key("ES256", "thief")

    assert read(launches, tokens, "Bearer").status_code == 401
    assert read(launches, tokens, "Bearer", DPoP=of(tokens)).status_code == 401
    assert read(launches, tokens).status_code == 401
    assert read(launches, tokens, DPoP=of(tokens, signer=thief)).status_code == 401
    assert read(launches, tokens, DPoP=of(tokens)).status_code == 200


def test_a_bearer_token_is_not_taken_with_a_proof(launches):
    """RFC 9449 s. 7.1: a token that is bound to nothing is no DPoP token"""
    launch = launches.launch(launches.register(), launches.sign_in(launches.person()))
    tokens = launch.tokens()

    assert read(launches, tokens, DPoP=of(tokens)).status_code == 401


def test_a_proof_is_for_one_request_with_one_token(launches, launch):
    """RFC 9449 s. 4.3, s. 7.1"""
    tokens = redeem(launch, launch.code(), proof()).json
    other = f"{BASE}/Patient/other"

    for change in ({"ath": None}, {"ath": "x"}, {"htm": "POST"}, {"htu": other}, {"iat": 1}):
        answer = read(launches, tokens, DPoP=of(tokens, **change))

        assert answer.status_code == 401, change
        assert 'error="invalid_dpop_proof"' in answer.headers["WWW-Authenticate"]


def test_the_query_is_no_part_of_what_is_proven(launches, launch):
    """RFC 9449 s. 4.2: htu has neither query nor fragment; s. 4.3: normalized"""
    tokens = redeem(launch, launch.code(), proof()).json
    caller = launches.caller(tokens["access_token"])
    named = {"Authorization": f"DPoP {tokens['access_token']}"}
    where = f"{BASE}/Patient".replace("http://fhir.test", "HTTP://FHIR.test:80")

    for htu in (f"{BASE}/Patient", f"{BASE}/Patient?_count=1#x", where):
        shown = proof("GET", htu, token=tokens["access_token"])
        assert caller("GET", "Patient?_count=1", **named, DPoP=shown).status_code == 200


def test_a_proof_is_spent_once(launches, launch):
    """RFC 9449 s. 11.1; one write decides"""
    tokens = redeem(launch, launch.code(), proof()).json
    shown = of(tokens)

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: read(launches, tokens, DPoP=shown).status_code, range(8)))

    assert sorted(answers) == [200] + [401] * 7


def _symmetric() -> dict[str, Any]:
    secret = OctKey.generate_key(512)
    return {"signer": secret, "header": {"alg": "HS256", "jwk": secret.as_dict(private=True)}}


BAD = {
    "typ": lambda: {"header": {"typ": "JWT"}},
    "no typ": lambda: {"header": {"typ": None}},
    "HS256": _symmetric,
    "RS512": lambda: {"signer": key("RS384"), "header": {"alg": "RS512"}},
    "no jwk": lambda: {"header": {"jwk": None}},
    "private jwk": lambda: {"header": {"jwk": HOLDER.as_dict(private=True)}},
    "another jwk": lambda: {"header": {"jwk": key("ES256", "thief").as_dict(private=False)}},
    "jwk of another curve": lambda: {"header": {"jwk": key("ES384").as_dict(private=False)}},
    "jwk is a string": lambda: {"header": {"jwk": "x"}},
    "crit": lambda: {"header": {"crit": ["exp"], "exp": 1}},
    "x5c": lambda: {"header": {"x5c": ["MIIB"]}},
    "jku": lambda: {"header": {"jku": "https://attacker.test/"}},
    "htm": lambda: {"htm": "GET"},
    "htu": lambda: {"htu": f"{ISSUER}/oauth/authorize"},
    "htu is no URL": lambda: {"htu": "http://[x"},
    "htu is a list": lambda: {"htu": [TOKEN_URL]},
    "no htu": lambda: {"htu": None},
    "old": lambda: {"iat": int(time.time()) - 120},
    "from the future": lambda: {"iat": int(time.time()) + 60},
    "iat is a string": lambda: {"iat": "now"},
    "no iat": lambda: {"iat": None},
    "no jti": lambda: {"jti": None},
    "jti is long": lambda: {"jti": "x" * 300},
    "jti is an object": lambda: {"jti": {"$ne": ""}},
}


@pytest.fixture(scope="module")
def backend(launches: Launching) -> Client:
    """A backend whose tokens are bound to a key."""
    kept = client(dpop_bound=True)
    launches.kept.clients.keep(kept)
    return kept


def ask(launches: Launching, backend: Client, *proofs: str):
    """The answer of the token endpoint to the backend."""
    form = {"grant_type": "client_credentials", "scope": "system/Patient.rs", **assertion(backend.client_id)}
    return launches.post("/oauth/token", form, **({"DPoP": proofs[0]} if proofs else {}))


@pytest.mark.parametrize("name", BAD)
def test_a_proof_that_proves_nothing_is_refused(launches, backend, name):
    """RFC 9449 s. 4.3, s. 5: invalid_dpop_proof"""
    answer = ask(launches, backend, proof(**BAD[name]()))

    assert (answer.status_code, answer.json["error"]) == (400, "invalid_dpop_proof")


@pytest.mark.parametrize("text", ["x", "a.b.c", "é.é.é", "W10.e30.AA", "x" * 20_000, ""])
def test_what_is_no_proof_is_refused(launches, backend, text):
    answer = ask(launches, backend, text)

    assert (answer.status_code, answer.json["error"]) == (400, "invalid_dpop_proof")


def test_a_client_that_asked_for_it_always_needs_the_proof(launches, launch):
    """RFC 9449 s. 5.2: dpop_bound_access_tokens"""
    answer = redeem(launch, launch.code())

    assert (answer.status_code, answer.json["error"]) == (400, "invalid_dpop_proof")


def test_any_other_client_may_have_its_tokens_bound(launches):
    """RFC 9449 s. 5"""
    launch = launches.launch(launches.register(), launches.sign_in(launches.person()))

    tokens = redeem(launch, launch.code(), proof()).json

    assert tokens["token_type"] == "DPoP"
    assert read(launches, tokens, "Bearer").status_code == 401


def test_a_refresh_token_of_a_public_client_is_bound_too(launches, launch):
    """RFC 9449 s. 5: "MUST be bound to the respective public key" """
    tokens = redeem(launch, launch.code(), proof()).json
    form = {
        "grant_type": "refresh_token",
        "refresh_token": tokens["refresh_token"],
        "client_id": launch.client.client_id,
    }

    thief = launches.post("/oauth/token", form, DPoP=proof(signer=key("ES256", "thief")))
    assert thief.status_code == 400
    assert launches.post("/oauth/token", form).status_code == 400
    answer = launches.post("/oauth/token", form, DPoP=proof())
    assert (answer.status_code, answer.json["token_type"]) == (200, "DPoP")


def test_a_backend_may_have_its_token_bound(launches, backend):
    assert ask(launches, backend).json["error"] == "invalid_dpop_proof"

    answer = ask(launches, backend, proof())

    assert answer.json["token_type"] == "DPoP"
    token = answer.json["access_token"]
    caller = launches.caller(token)
    shown = proof("GET", f"{BASE}/Patient", token=token)
    assert caller("GET", "Patient?_summary=count", Authorization=f"DPoP {token}", DPoP=shown).status_code == 200
    assert caller("GET", "Patient?_summary=count").status_code == 401


def test_the_metadata_name_the_algorithms(launches):
    """RFC 9449 s. 5.1"""
    told = launches.get("/.well-known/oauth-authorization-server").json

    assert told["dpop_signing_alg_values_supported"] == list(ALGORITHMS)
