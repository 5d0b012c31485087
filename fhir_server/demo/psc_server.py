"""How the stand-in for Pro Santé Connect gives codes and tokens: Authlib's server with one grant, and S256 demanded.

_demo_psc_codes   _id  SHA-256 of the code, and of the access token made from it; kind, the values of Code, expires_at

RFC 6749 s. 4.1; RFC 7636; RFC 9700 s. 2.1.1; OpenID Connect Core s. 3.1.3
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.integrations.flask_oauth2.requests import FlaskOAuth2Payload, FlaskOAuth2Request
from authlib.oauth2.rfc6749 import AuthorizationCodeMixin, ClientMixin, InvalidRequestError, OAuth2Request, grants
from authlib.oauth2.rfc6750 import BearerTokenGenerator
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oidc.core import OpenIDCode
from flask import Flask, Request
from flask import request as flask_request
from joserfc.jwk import RSAKey
from pymongo import WriteConcern
from pymongo.database import Database

from fhir_server.demo.professionals import Professional
from fhir_server.storage.store import answering

CLIENT_ID = "fhir-server"
SCOPES = ("openid", "scope_all")
MINUTE = timedelta(minutes=1)
#: By the means that somebody signs in with: the level of assurance, and `authMode`.
MEANS = {"card": ("eidas2", "CARD"), "phone": ("eidas1", "MOBILE")}


@dataclass(frozen=True)
class Code(AuthorizationCodeMixin):
    """What a code is good for.  RFC 6749 s. 4.1.2"""

    login: str
    means: str
    redirect_uri: str
    scope: str
    nonce: str | None
    code_challenge: str
    code_challenge_method: str
    auth_time: int

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope

    def get_nonce(self) -> str | None:
        return self.nonce

    def get_auth_time(self) -> int:
        return self.auth_time

    def get_acr(self) -> str:
        return MEANS[self.means][0]

    def get_amr(self) -> None:
        return None


@dataclass(frozen=True)
class SignedIn:
    """Who signs in now, and by which means."""

    professional: Professional
    means: str


@dataclass(frozen=True)
class Client(ClientMixin):
    """The server itself, the one client of the stand-in."""

    secret: str
    redirect_uri: str

    def get_client_id(self) -> str:
        return CLIENT_ID

    def get_default_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_allowed_scope(self, scope: str) -> str:
        return " ".join(one for one in (scope or "").split() if one in SCOPES)

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri == self.redirect_uri

    def check_client_secret(self, client_secret: str) -> bool:
        return secrets.compare_digest(client_secret.encode(), self.secret.encode())

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == "client_secret_basic"

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "authorization_code"


class Codes:
    """The codes of the stand-in, and the access tokens made from them: each is a hash, good for a minute."""

    def __init__(self, database: Database, clock: Callable[[], datetime]):
        self._codes = database["_demo_psc_codes"].with_options(write_concern=WriteConcern("majority", j=True))
        self.clock = clock

    def keep(self, secret: str, code: Code, kind: str) -> None:
        kept = {"_id": _digest(secret), "kind": kind, "code": asdict(code), "expires_at": self.clock() + MINUTE}
        with answering():
            self._codes.insert_one(kept)

    def claim(self, secret: str) -> Code | None:
        """What the code is good for: found once, and gone."""
        query = {"_id": _digest(secret), "kind": "code", "expires_at": {"$gt": self.clock()}}
        with answering():
            return self._code(self._codes.find_one_and_delete(query))

    def of_token(self, token: str) -> Code | None:
        """The code that an access token was made from."""
        query = {"_id": _digest(token), "kind": "token", "expires_at": {"$gt": self.clock()}}
        with answering():
            return self._code(self._codes.find_one(query))

    def _code(self, kept: Mapping[str, Any] | None) -> Code | None:
        return Code(**kept["code"]) if kept else None


class _Request(FlaskOAuth2Request):
    """A request, as Authlib reads it: which refuses plain http but to localhost, and knows nothing of proxies."""

    def __init__(self, request: Request, issuer: str):
        OAuth2Request.__init__(self, request.method, f"https:{issuer.partition(':')[2]}")
        self.headers = request.headers
        self._request = request
        self.payload = FlaskOAuth2Payload(request)


class _Server(AuthorizationServer):
    """Authlib's server, of this issuer."""

    issuer: str

    def create_oauth2_request(self, request: Request | None) -> _Request:
        return _Request(request or flask_request, self.issuer)


def server(
    app: Flask,
    client: Client,
    codes: Codes,
    people: Mapping[str, Professional],
    key: RSAKey,
    issuer: str,
) -> AuthorizationServer:
    """Authlib's server with one grant, S256 demanded."""

    class CodeGrant(grants.AuthorizationCodeGrant):
        TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic"]

        def save_authorization_code(self, code: str, request: Any) -> None:
            asked = request.payload.data
            codes.keep(
                code,
                Code(
                    login=request.user.professional.login,
                    means=request.user.means,
                    redirect_uri=request.payload.redirect_uri or client.redirect_uri,
                    scope=client.get_allowed_scope(request.payload.scope),
                    nonce=asked.get("nonce"),
                    code_challenge=asked["code_challenge"],
                    code_challenge_method="S256",
                    auth_time=int(codes.clock().timestamp()),
                ),
                "code",
            )

        def query_authorization_code(self, code: str, client: ClientMixin) -> Code | None:
            return codes.claim(code)

        def delete_authorization_code(self, authorization_code: Code) -> None:
            """It was deleted when it was found, so that no second request finds it."""

        def authenticate_user(self, authorization_code: Code) -> Professional | None:
            return people.get(authorization_code.login)

    class Challenge(CodeChallenge):
        SUPPORTED_CODE_CHALLENGE_METHOD = ["S256"]

        def validate_code_challenge(self, grant: Any, redirect_uri: str) -> None:
            asked = grant.request.payload.data
            if not asked.get("code_challenge") or asked.get("code_challenge_method") != "S256":
                raise InvalidRequestError("S256 is demanded.", redirect_uri=redirect_uri)
            super().validate_code_challenge(grant, redirect_uri)

    class IdToken(OpenIDCode):
        def exists_nonce(self, nonce: str, request: Any) -> bool:
            return False

        def resolve_client_private_key(self, client: ClientMixin) -> RSAKey:
            return key

        def get_encode_header(self, client: ClientMixin) -> dict[str, Any]:
            return {"alg": "RS256", "kid": key.kid}

        def get_client_claims(self, client: Client) -> dict[str, Any]:
            now = int(codes.clock().timestamp())
            own = client.get_client_id()
            return {"iss": issuer, "aud": own, "azp": own, "iat": now, "exp": now + int(MINUTE.total_seconds())}

        def generate_user_info(self, user: Professional, scope: str) -> dict[str, Any]:
            return {name: user.claims[name] for name in ("sub", "preferred_username")}

    def save_token(token: Mapping[str, Any], request: Any) -> None:
        codes.keep(token["access_token"], request.authorization_code, "token")

    made = _Server(app, query_client=lambda id: client if id == CLIENT_ID else None, save_token=save_token)
    made.issuer = issuer
    made.register_token_generator(
        "default",
        BearerTokenGenerator(
            lambda **_: secrets.token_urlsafe(32), expires_generator=lambda *_: int(MINUTE.total_seconds())
        ),
    )
    made.register_grant(CodeGrant, [Challenge(required=True), IdToken(require_nonce=True)])
    return made


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()
