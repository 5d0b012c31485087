"""A JWT that a client signed: taken apart before anything of it is believed, and good for once.

RFC 7515; RFC 7519; RFC 8725
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey
from pymongo import IndexModel, WriteConcern
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from fhir_server.smart.tokens import digest
from fhir_server.storage.store import answering

_LARGEST = 8_192
_LONGEST_JTI = 255


class Refused(Exception):
    """It proves nothing.  The message says why, and repeats nothing of it."""


class _Registry(jws.JWSRegistry):
    """What a header may hold is looked at by who reads it; here, headers as long as the whole may be."""

    max_header_length = _LARGEST


@dataclass(frozen=True)
class Signed:
    """A JWT of which nothing is proven."""

    header: dict[str, Any]
    claims: dict[str, Any]
    extracted: jws.CompactSignature

    def check_signature(self, key: RSAKey | ECKey, algorithm: str) -> None:
        """Raise Refused unless this key signed it, with this algorithm.  RFC 8725 s. 3.1"""
        registry = _Registry(algorithms=[algorithm], strict_check_header=False)
        try:
            good = jws.validate_compact(self.extracted, key, registry=registry)
        except (JoseError, ValueError, TypeError):  # the library trusts the types in a header
            good = False
        if not good:
            raise Refused("the signature is not good")

    def time(self, name: str) -> datetime | None:
        """A claim that is a NumericDate, if it is there.  RFC 7519 s. 2.  Raises Refused for what is none."""
        if name not in self.claims:
            return None
        value = self.claims[name]
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e11:
            raise Refused(f"{name} is no number of seconds")
        return datetime.fromtimestamp(value, UTC)


def read(token: str) -> Signed:
    """The parts of a JWT.  Raises Refused for what is none."""
    if len(token) > _LARGEST:
        raise Refused("it is too long")
    try:
        extracted = jws.extract_compact(token.encode("ascii"), registry=_Registry())
        claims = json.loads(extracted.payload)
    except (JoseError, ValueError, RecursionError):
        raise Refused("it is no signed JWT") from None
    if not isinstance(extracted.protected, dict) or not isinstance(claims, dict):
        raise Refused("it is no signed JWT")
    return Signed(extracted.protected, claims, extracted)


class Once:
    """
    Remembers those that were used, in a collection of documents of two fields:

    _id          whose and which, as their hash
    expires_at   until when it would have been good
    """

    def __init__(self, database: Database, collection: str):
        self._used = database[collection].with_options(write_concern=WriteConcern("majority", j=True))

    def prepare(self) -> None:
        """Let MongoDB forget those that are past."""
        dead = IndexModel("expires_at", name="expires_at", expireAfterSeconds=0)
        self._used.create_indexes([dead], commitQuorum=0)  # as storage/indexes.py does, and for its reason

    def spend(self, who: str, jti: object, *, until: datetime) -> None:
        """Note that `who` has used this one.  Raises Refused for the second time, and for what names none."""
        if not isinstance(jti, str) or not jti or len(jti) > _LONGEST_JTI:
            raise Refused("jti must be a string of up to 255 characters")
        with answering():
            try:
                self._used.insert_one({"_id": digest(json.dumps([who, jti])), "expires_at": until})
            except DuplicateKeyError:
                raise Refused("jti was used before") from None
