"""The two grants of people's apps at the token endpoint: Authlib's, with what it leaves open closed.  RFC 9700 s. 2

Of the stock classes: a code without a challenge, `plain`, and a code that two can use at once; refresh tokens that
nobody asked for, that can be used again, and whose scope is narrowed word by word.
"""

from __future__ import annotations

import re
import secrets
from typing import Any, ClassVar

from authlib.oauth2.rfc6749.errors import InvalidGrantError, InvalidRequestError, UnauthorizedClientError
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant, RefreshTokenGrant
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from fhir_server.smart.authentication import ALL_METHODS
from fhir_server.smart.clients import Client
from fhir_server.smart.refresh import Family

#: RFC 7636 s. 4.1
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")
#: By which a client says who it is.
_NAMES = frozenset({"client_id", "client_secret", "client_assertion", "client_assertion_type"})
_NO_CODE = "The code is not known, was used, or has expired."
_NO_KEY = "The proof of the key is missing, or of another key."
_NO_REFRESH = "The refresh token is not known, or has expired."


class CodeGrant(AuthorizationCodeGrant):
    """A code, with the verifier of its challenge, for tokens.  RFC 6749 s. 4.1.3; RFC 7636 s. 4.6"""

    TOKEN_ENDPOINT_AUTH_METHODS: ClassVar[list[str]] = list(ALL_METHODS)

    def validate_token_request(self) -> None:
        """Claim the code.  Raises OAuth2Error; one that was claimed before ends what it made."""
        client = self._client()
        form, server = self.request.form, self.server
        code, redirect_uri, verifier = (_text(form, name) for name in ("code", "redirect_uri", "code_verifier"))
        if not _VERIFIER.fullmatch(verifier):
            raise InvalidRequestError("code_verifier has 43 to 128 characters.")
        proven = server.proven(self.request)
        claimed = server.codes.claim(code, client.client_id)
        if claimed is None:
            if replayed := server.codes.replay(code, client.client_id):
                server.issuer.replayed(replayed)
            raise InvalidGrantError(_NO_CODE)
        challenge = create_s256_code_challenge(verifier)
        if redirect_uri != claimed.redirect_uri or not secrets.compare_digest(challenge, claimed.code_challenge):
            raise InvalidGrantError(_NO_CODE)
        if claimed.grounds.jkt not in (None, proven):
            raise InvalidGrantError(_NO_KEY)
        self.request.client, self.request.authorization_code = client, claimed
        self.request.credential = proven

    def create_token_response(self) -> tuple[int, dict[str, Any], Any]:
        """The tokens."""
        answer = self.server.issuer.first(self.request.authorization_code, self.request.credential)
        return 200, answer, self.TOKEN_RESPONSE_HEADER

    def _client(self) -> Client:
        return _permitted(self)


class RefreshGrant(RefreshTokenGrant):
    """A refresh token for new tokens, the next refresh token among them.  RFC 6749 s. 6"""

    TOKEN_ENDPOINT_AUTH_METHODS: ClassVar[list[str]] = list(ALL_METHODS)
    INCLUDE_NEW_REFRESH_TOKEN = True

    def validate_token_request(self) -> None:
        """Find the family.  Raises OAuth2Error."""
        family = self.server.families.find(self.request.form.get("refresh_token"))
        client = self._nameless(family) or _permitted(self)
        token = _text(self.request.form, "refresh_token")
        if family is None or family.grounds.client_id != client.client_id:
            raise InvalidGrantError(_NO_REFRESH)
        if not self.server.families.is_current(family, token):
            self.server.issuer.reused(family)
            raise InvalidGrantError(_NO_REFRESH)
        if family.grounds.jkt not in (None, self.server.proven(self.request)):
            raise InvalidGrantError(_NO_KEY)
        self.request.client, self.request.refresh_token = client, (family, token)

    def _nameless(self, family: Family | None) -> Client | None:
        """
        The public client whose refresh token this is, where the request does not say whose; None where it does.

        A public client proves nothing by its id, and RFC 6749 s. 6 does not ask for it here: the SMART community's
        library for browsers leaves it out.  Whoever has a secret or a key has to use it.
        """
        named = "Authorization" in self.request.headers or not self.request.form.keys().isdisjoint(_NAMES)
        client = None if named or family is None else self.server.find_client(family.grounds.client_id)
        if client is None or client.kind != "public":
            return None
        self.request.client = client
        return client

    def create_token_response(self) -> tuple[int, dict[str, Any], Any]:
        """The tokens."""
        family, token = self.request.refresh_token
        answer = self.server.issuer.again(family, token, self.request.form.get("scope"))
        return 200, answer, self.TOKEN_RESPONSE_HEADER


def _permitted(grant: CodeGrant | RefreshGrant) -> Client:
    """The client, authenticated, that may present such a grant.  Raises OAuth2Error."""
    client = grant.authenticate_token_endpoint_client()
    if not client.check_grant_type(grant.GRANT_TYPE):
        raise UnauthorizedClientError("The client may not use this grant type.")
    return client


def _text(form: Any, name: str) -> str:
    """The parameter.  Raises InvalidRequestError if it is missing."""
    value = form.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidRequestError(f"{name} is missing.")
    return value
