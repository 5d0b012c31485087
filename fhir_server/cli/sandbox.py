"""What the sandbox's clients authenticate themselves with: made once, in `DATA_DIR/sandbox`, for the developer alone.

secret.txt        the secret of `sandbox-symmetric`
asymmetric.pem    the private key (EC P-384, for ES384) of `sandbox-asymmetric`; asymmetric.jwk, the same
backend.pem       the private key (RSA, for RS384) of `sandbox-backend`; backend.jwk, the same
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from joserfc.jwk import ECKey, RSAKey
from pymongo.database import Database

from fhir_server import app
from fhir_server.smart import sandbox
from fhir_server.smart.clients import Clients, new_secret
from fhir_server.smart.sandbox import ASYMMETRIC, BACKEND, Credentials
from fhir_server.smart.tokens import digest
from fhir_server.web import demo_apps

FOLDER = "sandbox"


def register(database: Database, base_url: str, data_dir: Path) -> None:
    """Keep the clients of the demonstration."""
    sandbox.register(
        Clients(database, app.now),
        base_url,
        credentials=credentials(data_dir),
        logos=demo_apps.logos(),
        now=app.now(),
    )


def credentials(data_dir: Path) -> Credentials:
    """What the server keeps of them; they are made now if they are not there."""
    folder = data_dir / FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    secret = folder / "secret.txt"
    if not secret.exists():
        _write(secret, f"{new_secret()}\n")
    return Credentials(
        secret_hash=digest(secret.read_text().strip()),
        asymmetric=_public(folder / "asymmetric.pem", ASYMMETRIC, "ES384"),
        backend=_public(folder / "backend.pem", BACKEND, "RS384"),
    )


def _public(path: Path, client_id: str, algorithm: str) -> dict[str, Any]:
    """The public half of the key in this file, as a JWK set.  RFC 7517 s. 5"""
    named = {"kid": f"{client_id}-1", "alg": algorithm, "use": "sig"}
    kinds: dict[str, Any] = {"ES384": ECKey, "RS384": RSAKey}
    kind = kinds[algorithm]
    if not path.exists():
        made = kind.generate_key("P-384" if kind is ECKey else 2048, named, private=True)
        _write(path, made.as_pem(private=True).decode())
    key = kind.import_key(path.read_text(), named)
    jwk = path.with_suffix(".jwk")
    if not jwk.exists():
        _write(jwk, json.dumps(key.as_dict(private=True), indent=2) + "\n")
    return {"keys": [key.as_dict(private=False)]}


def _write(path: Path, text: str) -> None:
    """A file that only its owner can read, from the first moment on."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
