"""Proofs of a key that an access token is bound to: a stolen token is of no use without the key.  RFC 9449"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Callable
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from authlib.oauth2.rfc6749 import OAuth2Error
from pymongo.database import Database

from fhir_server.smart.key_sets import UnusableKey, public_key
from fhir_server.smart.signed import Once, Refused, Signed, read

COLLECTION = "_proofs"
#: "asymmetric digital signature algorithms": the metadata names them.
ALGORITHMS = ("ES256", "ES384", "RS256", "RS384", "PS256")
#: How old a proof may be, and how far ahead the client's clock.
OLDEST = timedelta(seconds=60)
SKEW = timedelta(seconds=10)

_FOREIGN = frozenset({"crit", "x5u", "x5c", "jku", "b64"})


class InvalidProof(OAuth2Error):
    """The proof proves nothing.  RFC 9449 s. 5"""

    error = "invalid_dpop_proof"


class Proofs:
    """Checks proofs, and remembers those that were used."""

    def __init__(self, database: Database, clock: Callable[[], datetime]):
        self._used = Once(database, COLLECTION)
        self._clock = clock

    def prepare(self) -> None:
        """Let MongoDB forget proofs that are past."""
        self._used.prepare()

    def key_of(self, proof: str, *, method: str, url: str, token: str | None = None) -> str:
        """
        The thumbprint of the key that made the proof, which is spent by this.

        method, url   of the request that brings it; token: the access token that came along, if one did.
        Raises InvalidProof.
        """
        try:
            signed = read(proof)
            thumbprint = _signer(signed)
            self._check(signed, method, url)
            if token is not None and signed.claims.get("ath") != _hash(token):
                raise Refused("ath is not the hash of the access token")
            self._used.spend(thumbprint, signed.claims.get("jti"), until=self._clock() + OLDEST + 2 * SKEW)
        except Refused as refusal:
            raise InvalidProof(f"In the proof, {refusal}.") from None
        return thumbprint

    def _check(self, signed: Signed, method: str, url: str) -> None:
        claims = signed.claims
        if claims.get("htm") != method:
            raise Refused("htm is not the method of the request")
        if not isinstance(claims.get("htu"), str) or _place(claims["htu"]) != _place(url):
            raise Refused("htu is not the URL of the request")
        issued = signed.time("iat")
        if issued is None or not -SKEW <= self._clock() - issued <= OLDEST:
            raise Refused("iat is missing, too long ago, or in the future")


def _signer(signed: Signed) -> str:
    """The thumbprint of the key in the header, which signed.  RFC 9449 s. 4.3, s. 6.1.  Raises Refused."""
    algorithm, key = signed.header.get("alg"), signed.header.get("jwk")
    if signed.header.get("typ") != "dpop+jwt":
        raise Refused("typ must be dpop+jwt")
    if algorithm not in ALGORITHMS:
        raise Refused("alg is not one of those that the metadata name")
    if not isinstance(key, dict) or _FOREIGN & signed.header.keys():
        raise Refused("the header must hold the public key as jwk, and no other")
    try:
        own = public_key(key, algorithm)
    except UnusableKey:
        raise Refused("the key in jwk cannot be used") from None
    signed.check_signature(own, algorithm)
    return str(own.thumbprint())


def _place(url: str) -> tuple[str, str, int | None, str] | None:
    """What of a URL is compared: without query and fragment, in the one spelling of RFC 3986 s. 6.2.2, s. 6.2.3."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    default = {"https": 443, "http": 80}.get(parts.scheme)
    return parts.scheme, (parts.hostname or "").lower(), port or default, parts.path or "/"


def _hash(token: str) -> str:
    return urlsafe_b64encode(hashlib.sha256(token.encode("utf-8", "replace")).digest()).rstrip(b"=").decode()
