"""Client assertions: how a client proves with a key that it is itself, by the rules of SMART, and each proof once.

SMART App Launch 2.2: client-confidential-asymmetric.html; RFC 7523 s. 3; RFC 8725
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from pymongo.database import Database

from fhir_server.smart.clients import Client
from fhir_server.smart.key_sets import KeySets, UnusableKey
from fhir_server.smart.signed import Once, Refused, Signed, read

COLLECTION = "_assertions"

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
#: SMART names these two.
ALGORITHMS = ("RS384", "ES384")
LONGEST_LIFETIME = timedelta(minutes=5)
#: How far a client's clock may be from ours.
SKEW = timedelta(seconds=30)

#: What would have us take a key from the assertion itself, or read it otherwise than we do.  RFC 8725 s. 3.10
_FOREIGN = frozenset({"crit", "jwk", "x5u", "x5c", "x5t", "x5t#S256", "b64", "zip", "enc"})


class Assertions:
    """Checks client assertions, and remembers those that were used."""

    def __init__(
        self, database: Database, clock: Callable[[], datetime], *, audiences: tuple[str, ...], key_sets: KeySets
    ):
        """audiences: what an assertion may be for: the token endpoint, and the issuer."""
        self._used = Once(database, COLLECTION)
        self._clock = clock
        self._audiences = audiences
        self._key_sets = key_sets

    def prepare(self) -> None:
        """Let MongoDB forget assertions that are past."""
        self._used.prepare()

    def client(self, assertion: str, find: Callable[[str], Client | None]) -> Client:
        """The client that made the assertion, which is spent by this.  Raises Refused."""
        signed = read(assertion)
        client_id = signed.claims.get("sub")
        if not isinstance(client_id, str) or signed.claims.get("iss") != client_id:
            raise Refused("iss and sub must both be the client id")
        client = find(client_id)
        if client is None or client.kind != "asymmetric":
            raise Refused("there is no such client that has keys")
        self._check_signature(signed, client)
        expires_at = self._check_claims(signed)
        self._used.spend(client_id, signed.claims.get("jti"), until=expires_at + SKEW)
        return client

    def _check_signature(self, signed: Signed, client: Client) -> None:
        header = signed.header
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
        except UnusableKey as error:
            raise Refused(str(error)) from None
        signed.check_signature(key, algorithm)

    def _check_claims(self, signed: Signed) -> datetime:
        """Until when the assertion is good."""
        now = self._clock()
        audience = signed.claims.get("aud")
        if not isinstance(audience, str) or audience not in self._audiences:
            raise Refused("aud must be one string: the URL of the token endpoint, or the issuer")
        expires_at = signed.time("exp")
        if expires_at is None or expires_at + SKEW <= now:
            raise Refused("exp is past, or missing")
        if expires_at > now + LONGEST_LIFETIME + SKEW:
            raise Refused("exp is more than five minutes ahead")
        if any((signed.time(name) or now) > now + SKEW for name in ("nbf", "iat")):
            raise Refused("nbf or iat is in the future")
        return expires_at


def claimed_in(assertion: str) -> str:
    """The client that an assertion says it is of; nothing of it is proven.  Raises Refused."""
    claimed = read(assertion).claims.get("sub")
    return claimed if isinstance(claimed, str) else ""
