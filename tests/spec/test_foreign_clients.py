"""Client libraries that are not ours, against the demonstration, as their own documentation has them used.

fhirclient, the SMART client of the Boston Children's Hospital, and Authlib's OAuth client.  `docs/connect-an-app.md`
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import requests
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from authlib.oidc.core import CodeIDToken
from fhirclient.client import FHIRClient
from fhirclient.models.observation import Observation
from joserfc import jwt
from joserfc.jwk import KeySet

from tests.people import Person, martine
from tests.servers import Server

REDIRECT = "http://localhost:3000/callback"


@pytest.fixture(scope="module")
def person(demonstration: Server) -> Person:
    """Who connects the apps."""
    return martine(demonstration)


@pytest.fixture(scope="module")
def discovered(demonstration: Server) -> dict[str, Any]:
    """What a generic OpenID Connect client learns of the server."""
    url = f"{demonstration.base.removesuffix('/fhir')}/.well-known/openid-configuration"
    found: dict[str, Any] = requests.get(url, timeout=30).json()
    return found


def sandbox(demonstration: Server, name: str) -> Path:
    """A file of the sandbox's credentials."""
    return demonstration.data_dir / "sandbox" / name


def test_fhirclient_launches_reads_and_refreshes(demonstration: Server, person: Person) -> None:
    """SMART App Launch 2.2: app-launch.html, standalone: by the endpoints in the CapabilityStatement alone"""
    smart = FHIRClient(
        settings={
            "app_id": "sandbox-public",
            "api_base": demonstration.base,
            "redirect_uri": REDIRECT,
            "scope": "launch/patient openid fhirUser offline_access patient/*.rs",
        }
    )

    smart.handle_callback(person.visit(smart.authorize_url))

    assert smart.ready
    assert smart.patient_id == "martine-dubreuil"
    assert smart.human_name(smart.patient.name[1]) == "Martine Dubreuil"
    weights = Observation.where({"code": "http://loinc.org|29463-7"}).perform_resources_iter(smart.server)
    assert {weight.code.coding[0].code for weight in weights} == {"29463-7"}
    before = smart.server.auth.access_token
    assert smart.reauthorize()
    assert smart.server.auth.access_token != before
    assert smart.patient_id == "martine-dubreuil"


def test_fhirclient_with_a_secret(demonstration: Server, person: Person) -> None:
    """SMART App Launch 2.2: client-confidential-symmetric.html"""
    smart = FHIRClient(
        settings={
            "app_id": "sandbox-symmetric",
            "app_secret": sandbox(demonstration, "secret.txt").read_text().strip(),
            "api_base": demonstration.base,
            "redirect_uri": REDIRECT,
            "scope": "launch/patient patient/*.read",
        }
    )

    smart.handle_callback(person.visit(smart.authorize_url))

    assert smart.patient.birthDate.isostring == "1958-03-14"


def test_a_generic_openid_client(demonstration: Server, person: Person, discovered: dict[str, Any]) -> None:
    """OpenID Connect Core 1.0 s. 3.1; RFC 7636; RFC 7009: discovery, code, id_token, userinfo, refresh, end"""
    client = OAuth2Session(
        "sandbox-symmetric",
        sandbox(demonstration, "secret.txt").read_text().strip(),
        scope="openid fhirUser launch/patient offline_access patient/Patient.rs",
        redirect_uri=REDIRECT,
        code_challenge_method="S256",
        token_endpoint=discovered["token_endpoint"],
    )
    verifier = "verifier-" * 6
    url, state = client.create_authorization_url(
        discovered["authorization_endpoint"], code_verifier=verifier, nonce="n-0S6_WzA2Mj", aud=demonstration.base
    )

    token = client.fetch_token(
        discovered["token_endpoint"], authorization_response=person.visit(url), state=state, code_verifier=verifier
    )

    keys = KeySet.import_key_set(requests.get(discovered["jwks_uri"], timeout=30).json())
    read = jwt.decode(token["id_token"], keys, algorithms=discovered["id_token_signing_alg_values_supported"])
    claims = CodeIDToken(
        read.claims,
        read.header,
        {
            "iss": {"essential": True, "value": discovered["issuer"]},
            "aud": {"essential": True, "value": "sandbox-symmetric"},
            "nonce": {"essential": True, "value": "n-0S6_WzA2Mj"},
        },
        {"access_token": token["access_token"], "client_id": "sandbox-symmetric"},
    )
    claims.validate()
    assert claims["fhirUser"] == f"{demonstration.base}/Patient/martine-dubreuil"
    assert client.get(discovered["userinfo_endpoint"]).json()["sub"] == claims["sub"]
    assert client.get(claims["fhirUser"]).json()["id"] == "martine-dubreuil"

    renewed = client.refresh_token()
    assert renewed["access_token"] != token["access_token"]
    assert renewed["refresh_token"] != token["refresh_token"]
    assert client.get(claims["fhirUser"]).status_code == 200

    client.revoke_token(discovered["revocation_endpoint"], renewed["refresh_token"], "refresh_token")
    assert requests.get(claims["fhirUser"], headers=_bearer(renewed), timeout=30).status_code == 401


def test_a_generic_backend(demonstration: Server, discovered: dict[str, Any]) -> None:
    """SMART App Launch 2.2: backend-services.html; RFC 7523 s. 2.2: private_key_jwt as the library makes it"""
    key = json.loads(sandbox(demonstration, "backend.jwk").read_text())
    endpoint = discovered["token_endpoint"]
    scope = "system/DocumentReference.rs system/Patient.rs"
    # The library's own end is an hour ahead; SMART allows five minutes.
    ends = {"exp": int(time.time()) + 240}
    client = OAuth2Session(
        "sandbox-backend",
        key,
        scope=scope,
        token_endpoint_auth_method=PrivateKeyJWT(endpoint, claims=ends, headers={"kid": key["kid"]}, alg="RS384"),
    )

    token = client.fetch_token(endpoint, grant_type="client_credentials")

    assert token["token_type"] == "Bearer"
    assert token["scope"] == scope
    answer = client.get(f"{demonstration.base}/DocumentReference?_count=1")
    assert answer.status_code == 200
    assert client.get(f"{demonstration.base}/Observation?_count=1").status_code == 403


@pytest.mark.skipif(not all(map(shutil.which, ("curl", "openssl"))), reason="there is no curl, or no openssl, here")
def test_curl_and_openssl_as_the_documentation_has_it(demonstration: Server, tmp_path: Path) -> None:
    """docs/connect-an-app.md: a backend that deposits a document, and reads it back"""
    guide = (Path(__file__).resolve().parents[2] / "docs" / "connect-an-app.md").read_text("utf-8")
    script = guide.partition("```sh\n")[2].partition("```")[0]
    here = f"BASE={demonstration.base.removesuffix('/fhir')} KEY={sandbox(demonstration, 'backend.pem')}"
    assert "BASE=http://127.0.0.1:8080 KEY=var/sandbox/backend.pem" in script

    done = subprocess.run(
        ["sh", "-euc", script.replace("BASE=http://127.0.0.1:8080 KEY=var/sandbox/backend.pem", here)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    deposited, _, found = done.stdout.partition("}{")
    assert '"resourceType":"DocumentReference"' in deposited
    assert json.loads("{" + found)["total"] >= 1


def _bearer(token: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {token['access_token']}"}
