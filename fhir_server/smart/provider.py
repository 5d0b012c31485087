"""The provider that professionals sign in with: its metadata and keys, asked for seldom and believed for an hour.

OpenID Connect Discovery s. 4; RFC 7517
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from urllib.parse import urlsplit

import requests
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from fhir_server.config import ConfigError, Settings

ALGORITHM = "RS256"
#: Seconds to connect and to answer: a sign-in that waits longer has failed.
TIMEOUT = (3, 7)
#: Metadata and keys are asked for again after this; on a key that is not known sooner, but not for each sign-in.
FRESH, AGAIN = timedelta(hours=1), timedelta(minutes=1)
#: A provider with more keys than this is not believed.
MOST_KEYS = 20
#: Pro Santé Connect describes its sign-in with the wallet under a name of its own; OpenID Connect Discovery s. 4
METADATA = ("/.well-known/wallet-openid-configuration", "/.well-known/openid-configuration")

#: Why a sign-in came to nothing; a page has the words.
Reason = Literal["expired", "declined", "unavailable", "untrusted", "level", "stale"]


class SignInRefused(Exception):
    """
    The sign-in came to nothing.

    reason: expired (not begun in this session, or over), declined (by the person), unavailable (the provider),
    untrusted (its answer), level (of assurance, too low), stale (not signed in anew, where that was asked for).
    detail: for the log, free of personal data.  onward: where the sign-in would have led, as far as that is known.
    """

    def __init__(self, reason: Reason, detail: str = "", onward: str = ""):
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
        self.onward = onward


@dataclass(frozen=True)
class Provider:
    """A Pro Santé Connect, and how this server is known there.  `least`: the level of assurance asked for."""

    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    least: str = "eidas1"


def provider_of(settings: Settings) -> Provider | None:
    """The provider that the settings name, if they name one.  Raises ConfigError for half of one."""
    given = (settings.psc_issuer, settings.psc_client_id, settings.psc_client_secret)
    issuer, client_id, client_secret = given
    if issuer and client_id and client_secret:
        return Provider(issuer, client_id, client_secret)
    if any(given):
        raise ConfigError("FHIR_SERVER_PSC_ISSUER, _PSC_CLIENT_ID and _PSC_CLIENT_SECRET go together: set all or none.")
    return None


class Published:
    """What the provider publishes of itself: its metadata and keys, asked for seldom and believed for an hour."""

    def __init__(self, provider: Provider, clock: Callable[[], datetime]):
        self._issuer = provider.issuer
        self._clock = clock
        self._lock = threading.Lock()
        self._metadata: dict[str, Any] | None = None
        self._read_at = _NEVER
        self._keys: KeySet | None = None
        self._keys_at = _NEVER

    def endpoint(self, name: str) -> str:
        """The URL of an endpoint.  Raises SignInRefused."""
        url = self._document().get(name)
        if not isinstance(url, str) or not self._is_trusted(url):
            raise SignInRefused("unavailable", f"no {name}")
        return url

    def method(self) -> str:
        """How a client authenticates itself there."""
        offered = self._document().get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        return "client_secret_basic" if "client_secret_basic" in offered else "client_secret_post"

    def key(self, kid: str) -> Any:
        """The public key of this id; one that is not known is looked for anew, but not more often than AGAIN."""
        now = self._clock()
        with self._lock:
            keys = self._keys if now < self._keys_at + FRESH else None
            if keys is None or (not _has(keys, kid) and now >= self._keys_at + AGAIN):
                self._keys, self._keys_at = keys, now
                self._keys = keys = self._fetched_keys()
        if not _has(keys, kid):
            raise SignInRefused("untrusted", "id_token: kid")
        return keys.get_by_kid(kid)

    def _document(self) -> dict[str, Any]:
        now = self._clock()
        with self._lock:
            if self._metadata is None or now >= self._read_at + FRESH:
                self._metadata, self._read_at = self._fetched_document(), now
            return self._metadata

    def _fetched_document(self) -> dict[str, Any]:
        """The metadata.  OpenID Connect Discovery s. 4.3: its issuer is the one that was asked."""
        for place in METADATA:
            document = self._fetch(f"{self._issuer}{place}")
            if document is not None:
                if document.get("issuer") != self._issuer:
                    raise SignInRefused("unavailable", "the metadata is another issuer's")
                return document
        raise SignInRefused("unavailable", "no metadata")

    def _fetched_keys(self) -> KeySet:
        uri = (self._metadata or {}).get("jwks_uri")
        document = self._fetch(uri) if isinstance(uri, str) and self._is_trusted(uri) else None
        found = document.get("keys") if document else None
        if not isinstance(found, list) or len(found) > MOST_KEYS:
            raise SignInRefused("unavailable", "no keys")
        signing = [key for key in found if isinstance(key, dict) and _may_sign(key)]
        try:
            return KeySet.import_key_set({"keys": signing})
        except (JoseError, ValueError, KeyError) as error:
            raise SignInRefused("unavailable", f"keys: {type(error).__name__}") from None

    def _fetch(self, url: str) -> dict[str, Any] | None:
        """The JSON object at this URL; None for 404.  Raises SignInRefused."""
        try:
            with requests.Session() as session:
                session.trust_env = not is_loopback(url)
                answer = session.get(
                    url, timeout=TIMEOUT, allow_redirects=False, headers={"Accept": "application/json"}
                )
            if answer.status_code == 404:
                return None
            answer.raise_for_status()
            document = answer.json()
        except (requests.RequestException, ValueError) as error:
            raise SignInRefused("unavailable", type(error).__name__) from None
        if answer.status_code != 200 or not isinstance(document, dict):
            raise SignInRefused("unavailable", "not a document")
        return document

    def _is_trusted(self, url: str) -> bool:
        """Whether the URL is https; http is for a provider on this machine, that itself is asked so."""
        parts = urlsplit(url)
        return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(url) and is_loopback(self._issuer))


_NEVER = datetime.fromtimestamp(0, UTC)


def _has(keys: KeySet, kid: str) -> bool:
    return any(key.kid == kid for key in keys.keys)


def _may_sign(key: Mapping[str, Any]) -> bool:
    return (
        key.get("kty") == "RSA"
        and key.get("use", "sig") == "sig"
        and key.get("alg", ALGORITHM) == ALGORITHM
        and isinstance(key.get("kid"), str)
        and "d" not in key
    )


def is_loopback(url: str) -> bool:
    return urlsplit(url).hostname in ("127.0.0.1", "::1", "localhost")
