"""The server's signing keys: one for each algorithm signs, those before it stay published while something needs them.

_id                                 the key's id: its thumbprint.  RFC 7638
alg, state                          `signing`, of which each algorithm has one, or `retired`
public, private                     as JWK; the private one inside a JWE where the operator gave a sealing key
created_at, expires_at              a retired key goes when all that it signed is dead

RFC 7517 (JWK), s. 7 (sealed keys); OpenID Connect Core s. 10.1.1 (rotation); RFC 7518
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Literal

from joserfc import jwe, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OctKey, RSAKey
from pymongo import IndexModel, WriteConcern
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from fhir_server.config import ConfigError
from fhir_server.storage.store import answering

COLLECTION = "_keys"

Algorithm = Literal["RS256", "ES384"]
#: RS256 is what every OpenID Connect client can check; ES384 is what SMART prefers.
ALGORITHMS: tuple[Algorithm, ...] = ("RS256", "ES384")
#: Nothing that is signed here lives longer.
LONGEST_LIVED = timedelta(days=1)

_RSA_BITS = 3072
_SEAL = {"alg": "dir", "enc": "A256GCM"}


class Keys:
    """The signing keys of this server."""

    def __init__(self, database: Database, clock: Callable[[], datetime], *, sealing_key: str | None = None):
        """sealing_key: what the private keys are encrypted with in the database; None keeps them as they are."""
        self._keys = database[COLLECTION].with_options(write_concern=WriteConcern("majority", j=True))
        self._clock = clock
        self._seal = OctKey.import_key(hashlib.sha256(sealing_key.encode()).digest()) if sealing_key else None
        #: Reading a private key takes milliseconds; by id it is always the same.
        self._read: dict[str, RSAKey | ECKey] = {}

    def prepare(self) -> None:
        """
        Let MongoDB forget keys that nothing needs, and have one key at most sign for each algorithm.

        The keys themselves are made when they are first asked for, by whichever process that is.
        Raises ConfigError if a key is there that the sealing key does not open.
        """
        dead = IndexModel("expires_at", name="expires_at", expireAfterSeconds=0)
        one = IndexModel("alg", name="signing", unique=True, partialFilterExpression={"state": "signing"})
        self._keys.create_indexes([dead, one], commitQuorum=0)  # as storage/indexes.py does, and for its reason
        for kept in self._keys.find({"state": "signing"}):
            self._opened(kept)

    def rotate(self) -> None:
        """Sign with new keys from now on; the old ones stay published until all that they signed is dead."""
        now = self._clock()
        for algorithm in ALGORITHMS:
            with answering():
                self._keys.update_one(
                    {"alg": algorithm, "state": "signing"},
                    {"$set": {"state": "retired", "expires_at": now + LONGEST_LIVED}},
                )
            self._signing(algorithm)

    def sign(self, claims: dict[str, Any], algorithm: Algorithm = "RS256", *, type: str = "JWT") -> str:
        """A JWT with these claims; its header names the key and the type.  RFC 7519; RFC 8725 s. 3.11"""
        key = self._signing(algorithm)
        return jwt.encode({"alg": algorithm, "kid": key.kid, "typ": type}, claims, key, [algorithm])

    def jwks(self) -> dict[str, Any]:
        """The public keys, bare: those that sign and those that have not been forgotten.  RFC 7517 s. 5"""
        for algorithm in ALGORITHMS:
            self._signing(algorithm)
        with answering():
            found = self._keys.find(
                {"$or": [{"state": "signing"}, {"expires_at": {"$gt": self._clock()}}]}, {"public": 1}
            )
            return {"keys": [kept["public"] for kept in found.sort([("created_at", -1), ("alg", 1)])]}

    def list(self) -> list[dict[str, Any]]:
        """Of each key its id, algorithm, state, and when it was made and will be gone; the newest first."""
        with answering():
            return [*self._keys.find({}, {"public": 0, "private": 0}).sort([("created_at", -1), ("alg", 1)])]

    def _signing(self, algorithm: Algorithm) -> RSAKey | ECKey:
        """The key that signs, made now if there is none."""
        while True:
            with answering():
                kept = self._keys.find_one({"alg": algorithm, "state": "signing"})
                if kept is not None:
                    return self._opened(kept)
                try:
                    self._keys.insert_one(self._made(algorithm))
                except DuplicateKeyError:
                    continue  # another process was first: its key it is

    def _made(self, algorithm: Algorithm) -> dict[str, Any]:
        key = RSAKey.generate_key(_RSA_BITS) if algorithm == "RS256" else ECKey.generate_key("P-384")
        id = key.thumbprint()
        named = {"kid": id, "alg": algorithm, "use": "sig"}
        private: Any = {**key.as_dict(private=True), **named}
        return {
            "_id": id,
            "alg": algorithm,
            "state": "signing",
            "public": {**key.as_dict(private=False), **named},
            "private": private if self._seal is None else self._sealed(private),
            "created_at": self._clock(),
        }

    def _sealed(self, private: dict[str, Any]) -> str:
        assert self._seal is not None
        return jwe.encrypt_compact(_SEAL, json.dumps(private), self._seal, list(_SEAL.values()))

    def _opened(self, kept: dict[str, Any]) -> RSAKey | ECKey:
        known = self._read.get(kept["_id"])
        if known is not None:
            return known
        private = kept["private"]
        if isinstance(private, str):
            private = self._unsealed(private)
        key = RSAKey.import_key(private) if kept["alg"] == "RS256" else ECKey.import_key(private)
        self._read[kept["_id"]] = key
        return key

    def _unsealed(self, private: str) -> dict[str, Any]:
        if self._seal is None:
            raise ConfigError("The signing keys are sealed: set FHIR_SERVER_SEALING_KEY to what it was.")
        try:
            opened = jwe.decrypt_compact(private, self._seal, list(_SEAL.values()))
        except JoseError:
            raise ConfigError("FHIR_SERVER_SEALING_KEY does not open the signing keys: it was another.") from None
        return dict(json.loads(opened.plaintext or b"{}"))
