"""Backend services: a client that nobody signs in with gets a token of its own, for a few minutes.

SMART App Launch 2.2: backend-services.html; RFC 6749 s. 4.4
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar

from authlib.oauth2.rfc6749.errors import InvalidScopeError, UnauthorizedClientError
from authlib.oauth2.rfc6749.grants import ClientCredentialsGrant

from fhir_server.access import Actor
from fhir_server.access.scopes import narrow, parse
from fhir_server.smart.authentication import ALL_METHODS
from fhir_server.smart.clients import Client
from fhir_server.smart.introspection import INTROSPECT
from fhir_server.smart.tokens import NotIssued

#: "The expiration SHOULD NOT exceed 300 seconds."
LIFETIME = timedelta(seconds=300)


class BackendGrant(ClientCredentialsGrant):
    """A token for what the client was let do beforehand; no refresh token, for it can always ask again."""

    TOKEN_ENDPOINT_AUTH_METHODS: ClassVar[list[str]] = list(ALL_METHODS)

    def validate_token_request(self) -> None:
        """Find out who asks and for what.  Raises OAuth2Error."""
        client = self.authenticate_token_endpoint_client()
        if not client.check_grant_type(self.GRANT_TYPE):
            raise UnauthorizedClientError("The client may not use this grant type; only a backend that has a key may.")
        self.request.client = client
        self.request.scope = granted(client, self.request.form.get("scope", ""))
        self.request.credential = self.server.proven(self.request)

    def create_token_response(self) -> tuple[int, dict[str, Any], Any]:
        """The token, recorded.  Raises UnauthorizedClientError if the client was suspended meanwhile."""
        issuer, scope, jkt = self.server.issuer, self.request.scope, self.request.credential
        actor = actor_of(self.request.client, scope)
        try:
            token = issuer.tokens.issue(
                actor, scope, LIFETIME, audience=f"{issuer.identity.issuer}/fhir", jkt=jkt, sub=actor.client_id
            )
        except NotIssued:
            raise UnauthorizedClientError("The client has been suspended.") from None
        issuer.record("token", actor=actor, description=scope)
        answer = {
            "access_token": token,
            "token_type": "DPoP" if jkt else "Bearer",
            "expires_in": int(LIFETIME.total_seconds()),
            "scope": scope,
        }
        return 200, answer, self.TOKEN_RESPONSE_HEADER


def granted(client: Client, asked: str) -> str:
    """
    What of the scopes asked for the client gets.

    Raises InvalidScopeError if one is not for backends, or none is left.
    """
    if not asked.strip():
        raise InvalidScopeError("scope is missing.")
    for word in asked.split():
        if word != INTROSPECT and not any(scope.context == "system" for scope in parse(word)):
            raise InvalidScopeError(
                "A backend asks for system/ scopes, such as system/Patient.rs, and for those alone."
            )
    scope = narrow(client.scope, asked)
    if not scope:
        raise InvalidScopeError("The client was registered for none of these scopes.")
    return scope


def actor_of(client: Client, scope: str) -> Actor:
    """Who holds a token of a backend."""
    return Actor(
        kind="backend",
        name=client.name,
        scopes=parse(scope),
        client_id=client.client_id,
        organization=client.organization,
        software=client.name,
    )
