"""Proofs of a key that an access token is bound to: a stolen token is of no use without the key.  RFC 9449

_id          whose and which proof, as their hash
expires_at   when it would be too old anyway
"""

from __future__ import annotations

import hashlib
import json
from base64 import urlsafe_b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from authlib.oauth2.rfc6749 import OAuth2Error
from joserfc import jws
from joserfc.errors import JoseError
from pymongo import IndexModel, WriteConcern
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from fhir_server.smart.key_sets import UnusableKey, public_key
from fhir_server.smart.tokens import digest
from fhir_server.storage.store import answering

COLLECTION = "_proofs"
#: "asymmetric digital signature algorithms": the metadata names them.
ALGORITHMS = ("ES256", "ES384", "RS256", "RS384", "PS256")
#: How old a proof may be, and how far ahead the client's clock.
OLDEST = timedelta(seconds=60)
SKEW = timedelta(seconds=10)

_LARGEST = 8_192
_LONGEST_JTI = 255
_FOREIGN = frozenset({"crit", "x5u", "x5c", "jku", "b64"})


class InvalidProof(OAuth2Error):
    """The proof proves nothing.  RFC 9449 s. 5"""

    error = "invalid_dpop_proof"


class Proofs:
    """Checks proofs, and remembers those that were used."""

    def __init__(self, database: Database, clock: Callable[[], datetime]):
        self._used = database[COLLECTION].with_options(write_concern=WriteConcern("majority", j=True))
        self._clock = clock

    def prepare(self) -> None:
        """Let MongoDB forget proofs that are past."""
        dead = IndexModel("expires_at", name="expires_at", expireAfterSeconds=0)
        self._used.create_indexes([dead], commitQuorum=0)  # as storage/indexes.py does, and for its reason

    def key_of(self, proof: str, *, method: str, url: str, token: str | None = None) -> str:
        """
        The thumbprint of the key that made the proof, which is spent by this.

        method, url   of the request that brings it; token: the access token that came along, if one did.
        Raises InvalidProof.
        """
        extracted, claims = _read(proof)
        thumbprint = _signer(extracted)
        self._check(claims, method, url)
        if token is not None and claims.get("ath") != _hash(token):
            raise InvalidProof("ath is not the hash of the access token.")
        self._spend(thumbprint, claims.get("jti"))
        return thumbprint

    def _check(self, claims: dict[str, Any], method: str, url: str) -> None:
        if claims.get("htm") != method:
            raise InvalidProof("htm is not the method of the request.")
        if not isinstance(claims.get("htu"), str) or _place(claims["htu"]) != _place(url):
            raise InvalidProof("htu is not the URL of the request.")
        issued = claims.get("iat")
        if isinstance(issued, bool) or not isinstance(issued, (int, float)) or not 0 <= issued < 1e11:
            raise InvalidProof("iat is no number of seconds.")
        age = self._clock() - datetime.fromtimestamp(issued, UTC)
        if not -SKEW <= age <= OLDEST:
            raise InvalidProof("iat is too long ago, or in the future.")

    def _spend(self, thumbprint: str, jti: object) -> None:
        if not isinstance(jti, str) or not jti or len(jti) > _LONGEST_JTI:
            raise InvalidProof("jti must be a string of up to 255 characters.")
        spent = {"_id": digest(json.dumps([thumbprint, jti])), "expires_at": self._clock() + OLDEST + 2 * SKEW}
        with answering():
            try:
                self._used.insert_one(spent)
            except DuplicateKeyError:
                raise InvalidProof("jti was used before.") from None


class _Registry(jws.JWSRegistry):
    """What the header may hold is looked at below; here, headers as long as a proof may be."""

    max_header_length = _LARGEST


_REGISTRY = _Registry(algorithms=ALGORITHMS, strict_check_header=False)


def _read(proof: str) -> tuple[jws.CompactSignature, dict[str, Any]]:
    if len(proof) > _LARGEST:
        raise InvalidProof("The proof is too long.")
    try:
        extracted = jws.extract_compact(proof.encode("ascii"), registry=_REGISTRY)
        claims = json.loads(extracted.payload)
    except (JoseError, ValueError, RecursionError):
        raise InvalidProof("The proof is no signed JWT.") from None
    if not isinstance(extracted.protected, dict) or not isinstance(claims, dict):
        raise InvalidProof("The proof is no signed JWT.")
    return extracted, claims


def _signer(extracted: jws.CompactSignature) -> str:
    """The thumbprint of the key in the header, which signed.  RFC 9449 s. 4.3, s. 6.1"""
    header = extracted.protected
    algorithm, key = header.get("alg"), header.get("jwk")
    if header.get("typ") != "dpop+jwt":
        raise InvalidProof("typ must be dpop+jwt.")
    if algorithm not in ALGORITHMS:
        raise InvalidProof("alg is not one of those that the metadata name.")
    if not isinstance(key, dict) or _FOREIGN & header.keys():
        raise InvalidProof("The header must hold the public key as jwk, and no other.")
    try:
        read = public_key(key, algorithm)
        signed = jws.validate_compact(extracted, read, [algorithm], _REGISTRY)
    except UnusableKey:
        raise InvalidProof("The key in jwk cannot be used.") from None
    except (JoseError, ValueError):
        signed = False
    if not signed:
        raise InvalidProof("The signature is not good.")
    return read.thumbprint()


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
