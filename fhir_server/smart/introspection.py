"""What a token is, told to those who may know: the client it was issued to, and servers that take our tokens.

RFC 7662; SMART App Launch 2.2: token-introspection.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog
from authlib.oauth2.rfc6749 import InvalidRequestError, OAuth2Request
from flask import Response

from fhir_server.accounts.rates import Rate, Rates
from fhir_server.fhir import json
from fhir_server.smart.authentication import Authentication
from fhir_server.smart.refresh import Families
from fhir_server.smart.tokens import Tokens

_log = structlog.get_logger(__name__)

#: The scope of an access token that may be shown to introspect others.  A name of our own: SMART 2.2,
#: scopes-and-launch-context.html#scopes-for-requesting-fhir-resources
INTROSPECT = "__introspect"
#: For each caller.  A server that takes many tokens remembers what it was told for a moment.
LIMIT = Rate("introspect", 600, timedelta(minutes=1))

HEADERS = {"Cache-Control": "no-store", "Pragma": "no-cache", "Content-Type": "application/json"}
_INACTIVE: dict[str, Any] = {"active": False}


@dataclass(frozen=True)
class Introspection:
    """
    Answers requests to the introspection endpoint.

    Who calls is a client, authenticated in its own way, which hears of its own tokens, and of all if it is a resource
    server; or the holder of an access token with the scope `__introspect`, who hears of all.
    """

    issuer: str
    tokens: Tokens
    families: Families
    authentication: Authentication
    rates: Rates

    def __call__(self, request: OAuth2Request) -> Response:
        """
        200 with what the token is; what is no living token of ours, or not the caller's to know, is not active.

        429 for who asks too often.  Raises OAuth2Error.
        """
        caller, knows_all = self._caller(request)
        if not self.rates.hit(LIMIT, caller):
            _log.warning("introspection.limited", caller=caller)
            return Response('{"error": "temporarily_unavailable"}', 429, {**HEADERS, "Retry-After": "60"})
        token = request.form.get("token")
        if not token:
            raise InvalidRequestError("token is missing.")
        found = self._access(token, caller, knows_all=knows_all) or self._refresh(token, caller) or _INACTIVE
        return Response(json.dumps(found), 200, HEADERS)

    def _caller(self, request: OAuth2Request) -> tuple[str, bool]:
        """Who asks, and whether it may know of any token."""
        scheme, _, presented = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            held = self.tokens.find(presented.strip())
            if held and "jkt" not in held and INTROSPECT in held["scope"].split():
                return held["client_id"] or held["name"], True
        client = self.authentication(request, endpoint="introspection")
        return client.client_id, client.resource_server

    def _access(self, token: str, caller: str, *, knows_all: bool) -> dict[str, Any] | None:
        kept = self.tokens.find(token)
        if kept is None or not (knows_all or kept["client_id"] == caller):
            return None
        found = {
            "active": True,
            "token_type": "DPoP" if "jkt" in kept else "Bearer",
            "scope": kept["scope"],
            "client_id": kept["client_id"],
            "iss": self.issuer,
            "sub": kept.get("sub"),
            "aud": kept.get("audience", f"{self.issuer}/fhir"),
            "iat": _seconds(kept, "created_at"),
            "exp": _seconds(kept, "expires_at"),
            "fhirUser": kept.get("fhir_user"),
            "cnf": {"jkt": kept["jkt"]} if "jkt" in kept else None,
            **kept.get("context", {}),
        }
        return {name: value for name, value in found.items() if value is not None}

    def _refresh(self, token: str, caller: str) -> dict[str, Any] | None:
        """Of a refresh token only its own client hears: another server would take it for an access token."""
        family = self.families.find(token)
        if family is None or family.grounds.client_id != caller or not self.families.is_current(family, token):
            return None
        on = family.grounds
        return {
            "active": True,
            "scope": on.scope,
            "client_id": on.client_id,
            "iss": self.issuer,
            "sub": on.sub,
            "exp": int(family.ends_at.timestamp()),
        }


def _seconds(kept: Mapping[str, Any], name: str) -> int:
    return int(kept[name].timestamp())
