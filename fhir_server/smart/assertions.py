"""Client assertions: how a client proves with a key that it is itself, by the rules of SMART, and each proof once.

_id          whose and which, as their hash
expires_at   until when the assertion would have been good

SMART App Launch 2.2: client-confidential-asymmetric.html; RFC 7523 s. 3; RFC 8725
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from pymongo import IndexModel, WriteConcern
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from fhir_server.smart.clients import Client
from fhir_server.smart.key_sets import KeySets, UnusableKey
from fhir_server.smart.tokens import digest
from fhir_server.storage.store import answering

COLLECTION = "_assertions"

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
#: SMART names these two.
ALGORITHMS = ("RS384", "ES384")
LONGEST_LIFETIME = timedelta(minutes=5)
#: How far a client's clock may be from ours.
SKEW = timedelta(seconds=30)

_LARGEST = 8_192
_LONGEST_JTI = 255
#: What would have us take a key from the assertion itself, or read it otherwise than we do.  RFC 8725 s. 3.10
_FOREIGN = frozenset({"crit", "jwk", "x5u", "x5c", "x5t", "x5t#S256", "b64", "zip", "enc"})


class Refused(Exception):
    """The assertion proves nothing.  The message says why, and repeats nothing of it."""


class Assertions:
    """Checks client assertions, and remembers those that were used."""

    def __init__(
        self, database: Database, clock: Callable[[], datetime], *, audiences: tuple[str, ...], key_sets: KeySets
    ):
        """audiences: what an assertion may be for: the token endpoint, and the issuer."""
        self._used = database[COLLECTION].with_options(write_concern=WriteConcern("majority", j=True))
        self._clock = clock
        self._audiences = audiences
        self._key_sets = key_sets

    def prepare(self) -> None:
        """Let MongoDB forget assertions that are past."""
        dead = IndexModel("expires_at", name="expires_at", expireAfterSeconds=0)
        self._used.create_indexes([dead], commitQuorum=0)  # as storage/indexes.py does, and for its reason

    def client(self, assertion: str, find: Callable[[str], Client | None]) -> Client:
        """The client that made the assertion, which is spent by this.  Raises Refused."""
        extracted, claims = _read(assertion)
        client_id = claims.get("sub")
        if not isinstance(client_id, str) or claims.get("iss") != client_id:
            raise Refused("iss and sub must both be the client id")
        client = find(client_id)
        if client is None or client.kind != "asymmetric":
            raise Refused("there is no such client that has keys")
        self._check_signature(extracted, client)
        expires_at = self._check_claims(claims)
        self._spend(client_id, claims.get("jti"), expires_at)
        return client

    def _check_signature(self, extracted: jws.CompactSignature, client: Client) -> None:
        header = extracted.protected
        algorithm, kid = header.get("alg"), header.get("kid")
        if algorithm not in ALGORITHMS:
            raise Refused("alg must be RS384 or ES384")
        if not isinstance(kid, str) or not kid:
            raise Refused("kid must name a key")
        if header.get("typ", "JWT") != "JWT":
            raise Refused("typ must be JWT")
        if _FOREIGN & header.keys():
            raise Refused("the header holds what is not accepted: crit, or a key or certificate")
        if "jku" in header and (client.jwks_uri is None or header["jku"] != client.jwks_uri):
            raise Refused("jku is not the registered jwks_uri")
        try:
            key = self._key_sets.key(client, kid, algorithm)
            signed = jws.validate_compact(extracted, key, [algorithm], _REGISTRY)
        except UnusableKey as error:
            raise Refused(str(error)) from None
        except (JoseError, ValueError):
            signed = False
        if not signed:
            raise Refused("the signature is not good")

    def _check_claims(self, claims: dict[str, Any]) -> datetime:
        """Until when the assertion is good."""
        now = self._clock()
        if claims.get("aud") not in self._audiences or not isinstance(claims["aud"], str):
            raise Refused("aud must be one string: the URL of the token endpoint, or the issuer")
        expires_at = _time(claims, "exp")
        if expires_at is None or expires_at + SKEW <= now:
            raise Refused("exp is past, or missing")
        if expires_at > now + LONGEST_LIFETIME + SKEW:
            raise Refused("exp is more than five minutes ahead")
        if any((_time(claims, name) or now) > now + SKEW for name in ("nbf", "iat")):
            raise Refused("nbf or iat is in the future")
        return expires_at

    def _spend(self, client_id: str, jti: object, expires_at: datetime) -> None:
        if not isinstance(jti, str) or not jti or len(jti) > _LONGEST_JTI:
            raise Refused("jti must be a string of up to 255 characters")
        spent = {"_id": digest(json.dumps([client_id, jti])), "expires_at": expires_at + SKEW}
        with answering():
            try:
                self._used.insert_one(spent)
            except DuplicateKeyError:
                raise Refused("jti was used before") from None


def claimed_in(assertion: str) -> str:
    """The client that an assertion says it is of; nothing of it is proven.  Raises Refused."""
    claimed = _read(assertion)[1].get("sub")
    return claimed if isinstance(claimed, str) else ""


class _Registry(jws.JWSRegistry):
    """What the header may hold is looked at above; here, headers as long as an assertion may be."""

    max_header_length = _LARGEST


_REGISTRY = _Registry(algorithms=ALGORITHMS, strict_check_header=False)


def _read(assertion: str) -> tuple[jws.CompactSignature, dict[str, Any]]:
    """The parts of an assertion and its claims, of which nothing is proven.  Raises Refused."""
    if len(assertion) > _LARGEST:
        raise Refused("it is too long")
    try:
        extracted = jws.extract_compact(assertion.encode("ascii"), registry=_REGISTRY)
        claims = json.loads(extracted.payload)
    except (JoseError, ValueError, RecursionError):
        raise Refused("it is no signed JWT") from None
    if not isinstance(extracted.protected, dict) or not isinstance(claims, dict):
        raise Refused("it is no signed JWT")
    return extracted, claims


def _time(claims: dict[str, Any], name: str) -> datetime | None:
    """A NumericDate, if there is one.  RFC 7519 s. 2.  Raises Refused for what is none."""
    if name not in claims:
        return None
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e11:
        raise Refused(f"{name} is no number of seconds")
    return datetime.fromtimestamp(value, UTC)
