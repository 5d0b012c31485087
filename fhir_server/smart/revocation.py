"""A client gives a token back; with a refresh token goes all that was made of it.  RFC 7009"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from authlib.oauth2.rfc6749 import InvalidGrantError, InvalidRequestError, OAuth2Request
from flask import Response

from fhir_server.smart.authentication import Authentication
from fhir_server.smart.introspection import HEADERS
from fhir_server.smart.refresh import Families
from fhir_server.smart.tokens import Tokens, digest

_NOT_YOURS = "The token was issued to another client."


@dataclass(frozen=True)
class Revocation:
    """Answers requests to the revocation endpoint.  end_emergency: ends the access with the token of this hash."""

    tokens: Tokens
    families: Families
    authentication: Authentication
    end_emergency: Callable[[str], bool]

    def __call__(self, request: OAuth2Request) -> Response:
        """
        200, with the token dead on every worker; 200 as well for what is no living token.

        Raises OAuth2Error, for a token of another client among others.
        """
        client = self.authentication(request, endpoint="revocation")
        token = request.form.get("token")
        if not token:
            raise InvalidRequestError("token is missing.")
        self._end(token, client.client_id)
        return Response("{}", 200, HEADERS)

    def _end(self, token: str, client_id: str) -> None:
        """End it, whichever kind it is: what the client takes it for is but a hint.  RFC 7009 s. 2.1"""
        held = self.tokens.find(token)
        if held is not None:
            if held["client_id"] != client_id:
                raise InvalidGrantError(_NOT_YOURS)
            if held["mode"] == "normal" or not self.end_emergency(digest(token)):
                self.tokens.end(_id=digest(token))
            return
        family = self.families.find(token)
        if family is None:
            return
        if family.grounds.client_id != client_id:
            raise InvalidGrantError(_NOT_YOURS)
        # The family first: who is making a token of it just now finds it ended, or has its token ended here.
        self.families.end(_id=family.id)
        self.tokens.end(family=family.id)
