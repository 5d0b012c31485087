"""A stand-in for Pro Santé Connect: an OpenID Connect provider for the professionals of the seed record.

It is one in earnest, so that a server beside the real one differs by three settings alone: S256 for everyone, codes and
tokens good once and for a minute, an id_token signed with a key of its own, the claims of the real one.

_demo_psc         _id provider: key, a private JWK; secret, that of its one client
_demo_psc_codes   _id  SHA-256 of the code, and of the access token made from it; the values of Code, expires_at

OpenID Connect Core s. 3.1; RFC 6749 s. 4.1; RFC 7636; RFC 9207; RP-Initiated Logout s. 2
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from authlib.common.urls import add_params_to_uri
from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import AuthorizationCodeMixin, ClientMixin, InvalidRequestError, grants
from authlib.oauth2.rfc6750 import BearerTokenGenerator
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oidc.core import OpenIDCode
from flask import Blueprint, Flask, Response, jsonify, redirect, request
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, RSAKey
from pymongo import IndexModel, WriteConcern
from pymongo.database import Database
from werkzeug.wrappers import Response as AnyResponse

from fhir_server.demo.professionals import Professional, professionals
from fhir_server.smart.psc import Provider
from fhir_server.storage.store import answering
from fhir_server.web.pages import page, protect

PATH = "/demo/psc"
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
class _SignedIn:
    """Who signs in now, and by which means."""

    professional: Professional
    means: str


@dataclass(frozen=True)
class _Client(ClientMixin):
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


def prepare(database: Database) -> None:
    """Make the key and the client's secret, once a database, and let MongoDB remove what is over."""
    made = {
        "key": RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256"}, auto_kid=True).as_dict(private=True),
        "secret": secrets.token_urlsafe(32),
    }
    database["_demo_psc"].update_one({"_id": "provider"}, {"$setOnInsert": made}, upsert=True)
    dead = IndexModel("expires_at", name="expires_at", expireAfterSeconds=0)
    database["_demo_psc_codes"].create_indexes([dead], commitQuorum=0)


def provider(database: Database, base_url: str) -> Provider:
    """The stand-in at this server, as the server is a client of it."""
    return Provider(f"{base_url}{PATH}", CLIENT_ID, _kept(database)["secret"])


def blueprint(
    app: Flask, database: Database, base_url: str, clock: Callable[[], datetime], *, callback: str, after_logout: str
) -> Blueprint:
    """
    The stand-in, to be registered at PATH of `app`; its pages say that nothing of it is in earnest.

    callback, after_logout: the URLs of this server that it sends people back to.
    """
    issuer = f"{base_url}{PATH}"
    codes = _Codes(database, clock)
    kept = _kept(database)
    key = RSAKey.import_key(kept["key"])
    people = professionals()
    server = _server(app, _Client(kept["secret"], callback), codes, people, key, issuer)
    routes = Blueprint("demo_psc", __name__)

    @routes.get("/.well-known/openid-configuration")
    @routes.get("/.well-known/wallet-openid-configuration")
    def configuration() -> Response:
        return jsonify(_configuration(issuer))

    @routes.get("/jwks")
    def jwks() -> Response:
        return jsonify(KeySet([key]).as_dict(private=False))

    @routes.get("/authorize")
    def authorize() -> Response:
        """The page to sign in at, once the request is found good."""
        try:
            server.get_consent_grant(end_user=None)
        except OAuth2Error as error:
            return _refused(error)
        return _sign_in_page(people)

    @routes.post("/authorize")
    def sign_in() -> AnyResponse:
        """The answer to the client, for who gives the right password, or declines."""
        try:
            grant = server.get_consent_grant(end_user=None)
        except OAuth2Error as error:
            return _refused(error)
        who = people.get(request.form.get("login", "").strip().lower())
        if "decline" in request.form:
            return _with_issuer(server.create_authorization_response(grant=grant, grant_user=None), issuer)
        if who is None or not who.has(request.form.get("password", "")):
            return _sign_in_page(people, failed=True)
        means = "phone" if request.form.get("means") == "phone" else "card"
        answer = server.create_authorization_response(grant=grant, grant_user=_SignedIn(who, means))
        return _with_issuer(answer, issuer)

    @routes.post("/token")
    def token() -> Response:
        if request.query_string:
            return server.handle_error_response(None, InvalidRequestError("a query"))
        return server.create_token_response()

    @routes.get("/userinfo")
    def user_info() -> Response | tuple[Response, int, dict[str, str]]:
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        code = codes.of_token(given) if scheme.lower() == "bearer" else None
        if code is None or code.login not in people:
            return jsonify(error="invalid_token"), 401, {"WWW-Authenticate": 'Bearer error="invalid_token"'}
        acr, mode = MEANS[code.means]
        return jsonify({**people[code.login].claims, "acr": acr, "authMode": mode})

    @routes.get("/logout")
    def log_out() -> AnyResponse:
        """Nobody stays signed in at the stand-in: it only sends the browser back."""
        back = request.args.get("post_logout_redirect_uri")
        if back != after_logout or not _is_own(request.args.get("id_token_hint", ""), key):
            return page("demo-psc-out")
        return redirect(after_logout, 303)

    @routes.after_request
    def strictly(response: Response) -> Response:
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers["Cache-Control"] = "no-store"
        return protect(response)

    return routes


def _kept(database: Database) -> Mapping[str, Any]:
    """The key and the secret; they are made when the first asks for them, if nobody has prepared."""
    kept = database["_demo_psc"].find_one({"_id": "provider"})
    if kept is None:
        prepare(database)
        kept = database["_demo_psc"].find_one({"_id": "provider"}) or {}
    return kept


class _Codes:
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


def _server(
    app: Flask,
    client: _Client,
    codes: _Codes,
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

        def get_client_claims(self, client: _Client) -> dict[str, Any]:
            now = int(codes.clock().timestamp())
            own = client.get_client_id()
            return {"iss": issuer, "aud": own, "azp": own, "iat": now, "exp": now + int(MINUTE.total_seconds())}

        def generate_user_info(self, user: Professional, scope: str) -> dict[str, Any]:
            return {name: user.claims[name] for name in ("sub", "preferred_username")}

    def save_token(token: Mapping[str, Any], request: Any) -> None:
        codes.keep(token["access_token"], request.authorization_code, "token")

    server = AuthorizationServer(
        app, query_client=lambda id: client if id == CLIENT_ID else None, save_token=save_token
    )
    server.register_token_generator(
        "default",
        BearerTokenGenerator(
            lambda **_: secrets.token_urlsafe(32), expires_generator=lambda *_: int(MINUTE.total_seconds())
        ),
    )
    server.register_grant(CodeGrant, [Challenge(required=True), IdToken(require_nonce=True)])
    return server


def _configuration(issuer: str) -> dict[str, Any]:
    """OpenID Connect Discovery s. 3"""
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/authorize",
        "token_endpoint": f"{issuer}/token",
        "userinfo_endpoint": f"{issuer}/userinfo",
        "end_session_endpoint": f"{issuer}/logout",
        "jwks_uri": f"{issuer}/jwks",
        "scopes_supported": list(SCOPES),
        "response_types_supported": ["code"],
        "grant_types_supported": ["authorization_code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic"],
        "code_challenge_methods_supported": ["S256"],
        "acr_values_supported": sorted({acr for acr, _ in MEANS.values()}),
        "authorization_response_iss_parameter_supported": True,
    }


def _sign_in_page(people: Mapping[str, Professional], *, failed: bool = False) -> Response:
    """The page, which keeps the request in its address."""
    kept = urlencode([(name, value) for name, value in request.args.items(multi=True) if name != "lang"])
    # Who signs in goes back to the server, and from there to an app that the stand-in does not know.
    anywhere = ("http:", "https:")
    status = 422 if failed else 200
    return page("demo-psc", status=status, form_action=anywhere, people=people.values(), failed=failed, kept=kept)


def _refused(error: OAuth2Error) -> Response:
    """A request that is not good stays here: the one client of the stand-in makes no such request."""
    return page("demo-psc-refused", reason=error.error, status=400)


def _with_issuer(answer: Response, issuer: str) -> Response:
    """The answer to the client, which says whose it is.  RFC 9207 s. 2"""
    if "Location" in answer.headers:
        answer.headers["Location"] = add_params_to_uri(answer.headers["Location"], [("iss", issuer)])
        answer.status_code = 303
    return answer


def _is_own(id_token: str, key: RSAKey) -> bool:
    """Whether the token was signed here, however long ago."""
    try:
        jwt.decode(id_token, key, algorithms=["RS256"])
    except (JoseError, ValueError):
        return False
    return True


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()
