"""The endpoints under /oauth, and discovery: the wire to the authorization server and back.

RFC 6749 s. 3; RFC 9126; RFC 8414 s. 3; OpenID Connect Core s. 5.3; RP-Initiated Logout 1.0
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

from authlib.oauth2.rfc6749.errors import InvalidRequestError, OAuth2Error
from flask import Blueprint, Response, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from fhir_server.access import Actor
from fhir_server.accounts.accounts import network
from fhir_server.accounts.rates import Rate
from fhir_server.fhir import json
from fhir_server.fhir.outcome import BadRequest, FhirError
from fhir_server.smart.authentication import ALL_METHODS
from fhir_server.smart.authorization import AuthorizationError, LocalError, Refused
from fhir_server.smart.ehr_launch import read_context
from fhir_server.smart.requests import PUSHED_LIFETIME, Parameters
from fhir_server.smart.server import Smart, TokenRequest
from fhir_server.smart.tokens import holder_of

#: How the client says at an endpoint who it is; no part of what it asks for.
_OF_CLIENT = ("client_assertion", "client_assertion_type", "client_secret")
_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


#: How many requests may be begun or pushed from one address, which may be a hospital's: each is kept for minutes.
BEGUN = Rate("authorize", 1200, timedelta(minutes=1))


class _PushError(OAuth2Error):
    """What is wrong with a pushed request.  RFC 9126 s. 2.3"""


def blueprint(
    smart: Smart,
    *,
    local_error: Callable[[AuthorizationError], AnyResponse],
    named: Callable[[Actor, str], str | None],
    sign_out: str = "/sign-out",
) -> Blueprint:
    """
    The endpoints, to be registered at `/`.

    local_error   the page of an error that no client can be told of
    named         the name of a patient, for who may see it
    sign_out      the page that asks before it signs out
    """
    oauth = Blueprint("oauth", __name__)
    kept, server, authorization = smart.kept, smart.oauth, smart.authorization

    def may_begin() -> bool:
        return smart.rates.hit(BEGUN, network(request.remote_addr or ""))

    @oauth.route("/oauth/authorize", methods=["GET", "POST"])
    def authorize() -> AnyResponse:
        try:
            if request.method == "POST" and request.query_string:
                raise LocalError("request")
            if not may_begin():
                raise AuthorizationError("busy", 429)
            name = authorization.begin(_parameters())
            where = f"{smart.issuer}/authorize/{name}"
        except Refused as refused:
            where = refused.redirect
        except AuthorizationError as error:
            return local_error(error)
        except FhirError as error:
            return local_error(AuthorizationError("unavailable", error.status))
        answer = redirect(where, 303)
        answer.headers.update({**_NO_STORE, "Referrer-Policy": "no-referrer"})
        return answer

    @oauth.post("/oauth/par")
    def par() -> Response:
        def pushed(asked: TokenRequest) -> Response:
            client = smart.oauth.authenticate_client(asked, ALL_METHODS, "par")
            params = tuple(pair for pair in _parameters() if pair[0] not in _OF_CLIENT)
            if ("client_id", client.client_id) not in params:
                params = (*params, ("client_id", client.client_id))
            if not may_begin():
                answer = _json({"error": "temporarily_unavailable"}, 429)
                answer.headers["Retry-After"] = "60"
                return answer
            if any(name == "request_uri" for name, _ in params):
                raise InvalidRequestError("A pushed request has no request_uri.")
            if "DPoP" in asked.headers:
                params = (*params, ("dpop_jkt", str(server.proven(asked))))  # RFC 9449 s. 10.1
            try:
                authorization.check(client, params)
            except LocalError:
                raise InvalidRequestError("redirect_uri is not one of the client's.") from None
            except Refused as refused:
                raise _PushError(error=refused.error, description=refused.description) from None
            uri = kept.requests.push(client.client_id, params)
            return _json({"request_uri": uri, "expires_in": int(PUSHED_LIFETIME.total_seconds())}, 201)

        return server.respond(pushed)

    @oauth.post("/oauth/token")
    def token() -> Response:
        return server.respond(lambda asked: server.create_token_response())

    @oauth.post("/oauth/revoke")
    def revoke() -> Response:
        return server.respond(smart.revocation)

    @oauth.post("/oauth/introspect")
    def introspect() -> Response:
        return server.respond(smart.introspection)

    @oauth.post("/oauth/register")
    def register() -> Response:
        return server.respond(lambda asked: smart.registration(asked, request.get_data(cache=False)))

    @oauth.route("/oauth/userinfo", methods=["GET", "POST"])
    def userinfo() -> Response:
        found = _bearer(smart)
        if found is None:
            return _challenge("invalid_token", 401)
        if "openid" not in found["scope"].split():
            return _challenge("insufficient_scope", 403, scope="openid")
        return _json(smart.identity.userinfo(found))

    @oauth.get("/oauth/jwks")
    def jwks() -> Response:
        return _json(kept.keys.jwks(), cache="public, max-age=300")

    @oauth.route("/oauth/logout", methods=["GET", "POST"])
    def logout() -> AnyResponse:
        given = request.form if request.method == "POST" else request.args
        hint = smart.identity.hint(given.get("id_token_hint", ""))
        if hint is None or given.get("client_id", hint.client_id) != hint.client_id:
            # Whoever cannot say whom to sign out may not: the person is asked.
            return redirect(smart.issuer + sign_out, 303)
        session = kept.sessions.alive(hint.session) if hint.session else None
        if session and session.subject and session.subject.sub == hint.sub:
            kept.sessions.end(session.id)
            smart.record("logout", subject=session.subject, client_id=hint.client_id)
        client = kept.clients.find(hint.client_id)
        where = given.get("post_logout_redirect_uri", "")
        if client is None or where not in client.post_logout_redirect_uris:
            where = smart.issuer + "/"
        elif state := given.get("state"):
            parts = urlsplit(where)
            query = "&".join(filter(None, (parts.query, urlencode({"state": state}))))
            where = urlunsplit(parts._replace(query=query))
        answer = redirect(where, 303)
        answer.headers.update({**_NO_STORE, "Referrer-Policy": "no-referrer"})
        return answer

    @oauth.post("/oauth/launch")
    def launch() -> Response:
        found = _bearer(smart)
        if found is None or "sub" not in found:
            return _challenge("invalid_token", 401)
        try:
            wanted = read_context(request.get_data(cache=False), found, smart.issuer + "/fhir")
        except BadRequest as error:
            return _json({"error": "invalid_request", "error_description": str(error)}, 400)
        app = kept.clients.find(wanted.client_id)
        if app is None or app.launch_uri is None or app.audience != found["kind"]:
            return _json({"error": "invalid_request", "error_description": "No such app can be opened."}, 400)
        display = named(holder_of(found), wanted.context["patient"])
        value = kept.launches.make(found["sub"], app.client_id, {**wanted.context, "display": display})
        iss = smart.issuer + "/fhir"
        parts = urlsplit(app.launch_uri)
        query = "&".join(filter(None, (parts.query, urlencode({"iss": iss, "launch": value}))))
        return _json({"iss": iss, "launch": value, "url": urlunsplit(parts._replace(query=query))}, 201)

    @oauth.get("/.well-known/oauth-authorization-server")
    def authorization_server() -> Response:
        return _json(smart.metadata.oauth(), cache="public, max-age=300")

    @oauth.get("/.well-known/openid-configuration")
    def openid_configuration() -> Response:
        return _json(smart.metadata.openid(), cache="public, max-age=300")

    @oauth.errorhandler(FhirError)
    def failed(error: FhirError) -> Response:
        """The store does not answer, or what else no client has done."""
        word = "temporarily_unavailable" if error.status == 503 else "server_error"
        answer = _json({"error": word}, error.status)
        answer.headers.update(error.headers)
        return answer

    return oauth


def _parameters() -> Parameters:
    """The parameters as they came, each of them."""
    given = request.form if request.method == "POST" else request.args
    return tuple((name, value) for name, values in given.lists() for value in values)


def _bearer(smart: Smart) -> dict[str, Any] | None:
    """What is kept of the access token in the header, and nowhere else.  RFC 6750 s. 2.1"""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    proven = smart.oauth.proven_here(token.strip()) if scheme.lower() == "dpop" else None
    if scheme.lower() != "bearer" and proven is None:
        return None
    found = smart.kept.tokens.find(token.strip())
    if found is None or found.get("jkt") != proven or smart.kept.clients.find(found.get("client_id") or "") is None:
        return None
    return found


def _challenge(error: str, status: int, *, scope: str | None = None) -> Response:
    """RFC 6750 s. 3"""
    answer = _json({"error": error}, status)
    hint = f', scope="{scope}"' if scope else ""
    answer.headers["WWW-Authenticate"] = f'Bearer realm="fhir-server", error="{error}"{hint}'
    return answer


def _json(body: Any, status: int = 200, *, cache: str = "no-store") -> Response:
    headers = {"Cache-Control": cache, "X-Content-Type-Options": "nosniff"}
    if cache == "no-store":
        headers["Pragma"] = "no-cache"
    return Response(json.dumps(body), status, headers, content_type="application/json")
