"""Clients as tests need them: a registered one, the keys it holds, and the assertions that it signs."""

from __future__ import annotations

import base64
import json
import secrets
import time
from functools import cache
from typing import Any

from joserfc import jws, jwt
from joserfc.jwk import ECKey, KeySet, RSAKey

from fhir_server import app as application
from fhir_server.smart.assertions import ASSERTION_TYPE
from fhir_server.smart.clients import Client

ISSUER = "http://fhir.test"
TOKEN_URL = f"{ISSUER}/oauth/token"


@cache
def key(algorithm: str = "ES384", name: str = "one") -> RSAKey | ECKey:
    """A private key, the same for the same name in the whole run."""
    named = {"kid": f"{algorithm}-{name}"}
    if algorithm.startswith("ES"):
        return ECKey.generate_key("P-384" if algorithm == "ES384" else "P-256", named)
    return RSAKey.generate_key(2048, named)


def public(*keys: RSAKey | ECKey) -> dict[str, Any]:
    """The JWK Set that a client publishes of its keys."""
    return {"keys": [one.as_dict(private=False) for one in keys]}


def client(kind: str = "asymmetric", **changes: Any) -> Client:
    """A live client of this kind; `asymmetric` ones are backends, with two keys."""
    values: dict[str, Any] = {
        "client_id": f"app-{secrets.token_hex(8)}",
        "name": f"Logiciel {secrets.token_hex(8).translate(str.maketrans('015', 'xyz'))}",
        "publisher": "Éditions du Test",
        "kind": kind,
        "audience": "backend" if kind == "asymmetric" else "patient",
        "status": "live",
        "created_at": application.now(),
        "scope": "system/*.rs" if kind == "asymmetric" else "openid fhirUser launch/patient patient/*.cruds",
    }
    if kind == "asymmetric":
        values["jwks"] = public(key("ES384"), key("RS384"))
    else:
        values["redirect_uris"] = ("https://app.test/back",)
    return Client(**(values | changes))


def claims(client_id: str, **changes: Any) -> dict[str, Any]:
    """The claims of a good assertion; a change to None leaves a claim out."""
    said = {
        "iss": client_id,
        "sub": client_id,
        "aud": TOKEN_URL,
        "exp": int(time.time()) + 240,
        "jti": secrets.token_urlsafe(16),
    } | changes
    return {name: value for name, value in said.items() if value is not None}


def assertion(
    client_id: str, signer: Any = None, *, header: dict[str, Any] | None = None, **changes: Any
) -> dict[str, str]:
    """The form fields of an assertion with these changes to header and claims, which a key of the client signed."""
    signer = signer or key("ES384")
    algorithm = "ES384" if isinstance(signer, ECKey) else "RS384"
    said = {"alg": algorithm, "kid": signer.kid, "typ": "JWT"} | (header or {})
    said = {name: value for name, value in said.items() if value is not None}
    signed = jwt.encode(said, claims(client_id, **changes), signer, [said["alg"]], Anything(), default_type=None)
    return {"client_assertion_type": ASSERTION_TYPE, "client_assertion": signed}


def compact(header: dict[str, Any], claims: dict[str, Any], signer: Any, algorithm: str) -> str:
    """A JWS with any header over any claims, which the library would not write."""
    parts = (json.dumps(one).encode() for one in (header, claims))
    said = ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)
    mark = jws.JWSRegistry.algorithms[algorithm].sign(said.encode(), signer)
    return f"{said}.{base64.urlsafe_b64encode(mark).rstrip(b'=').decode()}"


class Anything(jws.JWSRegistry):
    """Signs under any header: what is refused must be made first."""

    max_header_length = 100_000

    def __init__(self) -> None:
        super().__init__(algorithms=list(self.algorithms), strict_check_header=False)

    def check_header(self, header: dict[str, Any]) -> None:
        """Whatever it says."""


def key_set(found: dict[str, Any]) -> KeySet:
    """The keys of a JWK Set, to check with."""
    return KeySet.import_key_set(found)
