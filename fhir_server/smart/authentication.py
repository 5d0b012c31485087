"""How a client shows at an endpoint that it is itself: in one way, the one that it is registered with.

    public        its client_id
    symmetric     its secret, by HTTP Basic
    asymmetric    an assertion that it signed

Whatever is wrong is `invalid_client`, 401.  RFC 6749 s. 2.3; SMART App Launch 2.2: client-confidential-asymmetric.html
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote_plus

import structlog
from authlib.oauth2.rfc6749 import InvalidClientError, InvalidRequestError, OAuth2Request
from werkzeug.datastructures import MultiDict

from fhir_server.smart.assertions import ASSERTION_TYPE, Assertions, claimed_in
from fhir_server.smart.clients import METHODS, Client
from fhir_server.smart.signed import Refused

_log = structlog.get_logger(__name__)

#: For the `CLIENT_AUTH_METHODS` of an endpoint that every client may use.
ALL_METHODS = tuple(METHODS.values())


def refuse_query(query: str, form: MultiDict[str, str]) -> None:
    """
    Raise InvalidRequestError for a request whose URL has a query, or whose form says something twice.

    What an OAuth endpoint is asked stands in the body, and is not left in logs.  RFC 6749 s. 2.3.1, s. 3.2
    """
    if query:
        raise InvalidRequestError("The parameters belong into the body, not into the URL.")
    if any(len(values) > 1 for _, values in form.lists()):
        raise InvalidRequestError("A parameter is there more than once.")


class Authentication:
    """Finds out which client sent a request; instead of Authlib's own `ClientAuthentication`."""

    def __init__(self, find: Callable[[str], Client | None], assertions: Assertions, record: Callable[..., None]):
        """find: the live client with an id.  record: records that one was refused, see `recording.py`."""
        self._find = find
        self._record = record
        self._assertions = assertions

    def __call__(self, request: OAuth2Request, methods: Any = ALL_METHODS, endpoint: str = "token") -> Client:
        """
        The live client that sent the request.  Raises InvalidClientError, which is 401.

        methods: those that the endpoint takes.
        """
        form, authorization = request.form, request.headers.get("Authorization")
        try:
            client, method = self._client(form, authorization)
            if form.get("client_id", client.client_id) != client.client_id:
                raise Refused("client_id is another client's")
            if method not in methods or not client.check_endpoint_auth_method(method, endpoint):
                raise Refused(f"this client does not authenticate itself by {method} here")
        except Refused as refusal:
            _log.info("client.refused", endpoint=endpoint, reason=str(refusal))
            self._record("token", description=f"{self._named(form, authorization)}: {refusal}.", refused=True)
            raise InvalidClientError(f"The client is not authenticated: {refusal}.", status_code=401) from None
        request.client, request.auth_method = client, method
        return client

    def _client(self, form: Mapping[str, str], authorization: str | None) -> tuple[Client, str]:
        """Who it is, and by what it shows that."""
        asserts = "client_assertion" in form or "client_assertion_type" in form
        if authorization is not None and asserts:
            raise Refused("it uses more than one way")
        if "client_secret" in form:
            raise Refused("a secret belongs into the Authorization header")
        if authorization is not None:
            return self._by_secret(authorization), METHODS["symmetric"]
        if asserts:
            return self._by_assertion(form), METHODS["asymmetric"]
        return self._known(form.get("client_id")), METHODS["public"]

    def _named(self, form: Mapping[str, str], authorization: str | None) -> str:
        """Whom the request says that it is of, for the record: a name that is no client's may be a mistyped secret."""
        try:
            if authorization is not None:
                claimed = _basic(authorization)[0]
            elif "client_assertion" in form:
                claimed = claimed_in(form["client_assertion"])
            else:
                claimed = form.get("client_id", "")
        except Refused:
            claimed = ""
        client = self._find(claimed)
        return f"client {client.client_id} was not authenticated" if client else "a client was not authenticated"

    def _by_secret(self, authorization: str) -> Client:
        client_id, secret = _basic(authorization)
        client = self._find(client_id)
        if client is None or not client.check_client_secret(secret):
            raise Refused("the client id or the secret is wrong")
        return client

    def _by_assertion(self, form: Mapping[str, str]) -> Client:
        if form.get("client_assertion_type") != ASSERTION_TYPE:
            raise Refused(f"client_assertion_type must be {ASSERTION_TYPE}")
        try:
            return self._assertions.client(form.get("client_assertion", ""), self._find)
        except Refused as refusal:
            raise Refused(f"in its assertion, {refusal}") from None

    def _known(self, client_id: str | None) -> Client:
        if not client_id:
            raise Refused("it does not say who it is")
        client = self._find(client_id)
        if client is None:
            raise Refused("there is no such client")
        return client


def _basic(authorization: str) -> tuple[str, str]:
    """
    The client id and the secret of an Authorization header.  RFC 6749 s. 2.3.1

    They are form-encoded or, as many clients have it, raw: no id and no secret has a character that encoding changes.
    """
    scheme, _, text = authorization.partition(" ")
    if scheme.lower() != "basic":
        raise Refused("its Authorization header is not of the kind Basic")
    try:
        client_id, colon, secret = b64decode(text.strip(), validate=True).decode("utf-8").partition(":")
    except (binascii.Error, ValueError):
        raise Refused("its Authorization header cannot be read") from None
    if not colon:
        raise Refused("its Authorization header cannot be read")
    return unquote_plus(client_id), unquote_plus(secret)
