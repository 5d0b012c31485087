"""A stand-in for Pro Santé Connect: an OpenID Connect provider for the professionals of the seed record.

It is one in earnest, so that a server beside the real one differs by three settings alone: S256 for everyone, codes and
tokens good once and for a minute, an id_token signed with a key of its own, the claims of the real one.

_demo_psc   _id provider: key, a private JWK; secret, that of its one client

OpenID Connect Core s. 3.1; RFC 6749 s. 4.1; RFC 7636; RFC 9207; RP-Initiated Logout s. 2
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from authlib.common.urls import add_params_to_uri
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import InvalidRequestError
from flask import Blueprint, Flask, Response, jsonify, redirect, request
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, RSAKey
from pymongo import IndexModel
from pymongo.database import Database
from werkzeug.wrappers import Response as AnyResponse

from fhir_server.demo.professionals import Professional, professionals
from fhir_server.demo.psc_server import CLIENT_ID, MEANS, SCOPES, Client, Codes, SignedIn
from fhir_server.demo.psc_server import server as authorization_server
from fhir_server.smart.provider import Provider
from fhir_server.web.pages import page, protect

PATH = "/demo/psc"


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
    codes = Codes(database, clock)
    kept = _kept(database)
    key = RSAKey.import_key(kept["key"])
    people = professionals()
    server = authorization_server(app, Client(kept["secret"], callback), codes, people, key, issuer)
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
        answer = server.create_authorization_response(grant=grant, grant_user=SignedIn(who, means))
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
