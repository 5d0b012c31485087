"""An OpenID Connect provider on a port of this machine, which answers as a test has it answer: also wrongly."""

from __future__ import annotations

import hmac
import json
import threading
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from authlib.oidc.core.util import create_half_hash
from flask import Flask, Response, jsonify, request
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey
from werkzeug.serving import make_server

CLIENT_ID, CLIENT_SECRET = "fhir-server", "a secret of 43 characters or so"


@dataclass
class WrongProvider:
    """
    A provider whose answers a test changes.

    claims, header    what is changed in the id_token; a claim that is None is left out
    user_info         what is changed in UserInfo
    metadata          what is changed in the metadata
    signs_with        the key of the id_token, bytes for HS256; published is what `jwks_uri` has
    asked             how often each path was asked for
    """

    issuer: str
    own_key: RSAKey
    person: dict[str, Any]
    claims: dict[str, Any] = field(default_factory=dict)
    header: dict[str, Any] = field(default_factory=dict)
    user_info: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    signs_with: RSAKey | bytes | None = None
    published: list[RSAKey] = field(default_factory=list)
    token_status: int = 200
    asked: dict[str, int] = field(default_factory=dict)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    now: float = 0.0

    def authorize(self, url: str) -> dict[str, str]:
        """What the callback is called with for who signs in at this authorization URL."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        code = f"code-{len(self.codes)}"
        self.codes[code] = asked
        return {"code": code, "state": asked["state"]}

    def token(self) -> Any:
        """The token endpoint: the code has to be one of its own, and the client the one it knows."""
        asked = self.codes.pop(request.form["code"], None)
        auth = request.authorization
        if asked is None or not auth or (auth.username, auth.password) != (CLIENT_ID, CLIENT_SECRET):
            return jsonify(error="invalid_grant"), 400
        if self.token_status != 200:
            return Response("down", self.token_status)
        access_token = "an access token"
        hash = create_half_hash(access_token, "RS256")
        claims = {
            "iss": self.issuer,
            "sub": self.person["sub"],
            "aud": CLIENT_ID,
            "azp": CLIENT_ID,
            "iat": int(self.now),
            "exp": int(self.now) + 60,
            "auth_time": int(self.now),
            "nonce": asked["nonce"],
            "acr": "eidas1",
            "at_hash": hash.decode() if hash else None,
            **self.claims,
        }
        header = {"alg": "RS256", "kid": self.own_key.kid, **self.header}
        id_token = self._signed(*({name: v for name, v in part.items() if v is not None} for part in (header, claims)))
        return jsonify(access_token=access_token, token_type="Bearer", expires_in=60, id_token=id_token)

    def _signed(self, header: dict[str, Any], claims: dict[str, Any]) -> str:
        if isinstance(self.signs_with, RSAKey | None):
            return jwt.encode(header, claims, self.signs_with or self.own_key, algorithms=["RS256", "RS512", "PS256"])
        # A library refuses to sign so.
        parts = (json.dumps(part).encode() for part in (header, claims))
        signed = b".".join(urlsafe_b64encode(part).rstrip(b"=") for part in parts)
        mac = hmac.digest(self.signs_with, signed, "sha256")
        return (signed + b"." + urlsafe_b64encode(mac).rstrip(b"=")).decode()

    def configuration(self) -> dict[str, Any]:
        """Its metadata.  OpenID Connect Discovery s. 3"""
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "end_session_endpoint": f"{self.issuer}/logout",
            "jwks_uri": f"{self.issuer}/jwks",
            **self.metadata,
        }


@contextmanager
def provider(key: RSAKey, person: dict[str, Any], now: float) -> Iterator[WrongProvider]:
    """The provider, while it is listened for."""
    app = Flask("provider")
    server = make_server("127.0.0.1", 0, app, threaded=True)
    made = WrongProvider(f"http://127.0.0.1:{server.port}", key, person, published=[key], now=now)

    @app.before_request
    def count() -> None:
        made.asked[request.path] = made.asked.get(request.path, 0) + 1

    app.add_url_rule("/.well-known/openid-configuration", view_func=lambda: jsonify(made.configuration()), endpoint="m")
    app.add_url_rule("/token", view_func=made.token, methods=["POST"])
    app.add_url_rule(
        "/jwks", view_func=lambda: jsonify(KeySet(list(made.published)).as_dict(private=False)), endpoint="jwks"
    )
    app.add_url_rule("/userinfo", view_func=lambda: jsonify({**made.person, **made.user_info}), endpoint="userinfo")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
