"""The public keys of clients: as registered, or where they publish them, remembered no longer than they allow.

One process remembers for itself.  A key that is not in what is remembered has the set fetched anew, for clients rotate
their keys; but an address is asked only so often, whoever asks.
SMART App Launch 2.2: client-confidential-asymmetric.html; RFC 7517 s. 5
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from fhir_server.smart.clients import Client
from fhir_server.smart.fetching import Fetched, FetchError

#: What is remembered where nothing is said, and at most.
DEFAULT_LIFETIME = timedelta(minutes=5)
LONGEST_LIFETIME = timedelta(hours=1)
#: So often may an address be asked in PERIOD; after that, what it says is taken to be nothing.
FETCHES = 6
PERIOD = timedelta(minutes=1)

_MOST_KEYS = 100
_MOST_SETS = 1_000
_SHORTEST_RSA_BITS = 2048
#: What a key has to be for each algorithm.  RFC 7518 s. 3.3, s. 3.4
_TYPES: dict[str, tuple[type[RSAKey | ECKey], str | None]] = {
    "RS256": (RSAKey, None),
    "RS384": (RSAKey, None),
    "PS256": (RSAKey, None),
    "ES256": (ECKey, "P-256"),
    "ES384": (ECKey, "P-384"),
}
PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


class UnusableKey(Exception):
    """There is not exactly one key that fits.  The message says why."""


@dataclass
class _Kept:
    """What is remembered of an address."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    keys: list[dict[str, Any]] | None = None
    until: datetime | None = None
    asked: deque[datetime] = field(default_factory=lambda: deque(maxlen=FETCHES))


class KeySets:
    """Finds the key that a client signed with."""

    def __init__(self, clock: Callable[[], datetime], fetch: Callable[[str], Fetched]):
        """fetch: what is at a URL, or FetchError."""
        self._clock = clock
        self._fetch = fetch
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._lock = threading.Lock()

    def key(self, client: Client, kid: str, algorithm: str) -> RSAKey | ECKey:
        """The one public key of the client with this id that fits the algorithm.  Raises UnusableKey."""
        if client.jwks is not None:
            return only(listed(client.jwks), kid, algorithm)
        if client.jwks_uri is None:
            raise UnusableKey("the client has no keys")
        keys, fresh = self._published(client.jwks_uri)
        if fresh or any(key.get("kid") == kid for key in keys):
            return only(keys, kid, algorithm)
        keys, _ = self._published(client.jwks_uri, again=True)
        return only(keys, kid, algorithm)

    def _published(self, url: str, *, again: bool = False) -> tuple[list[dict[str, Any]], bool]:
        """The keys at the URL, and whether they have just been fetched."""
        with self._lock:
            kept = self._kept.setdefault(url, _Kept())
            self._kept.move_to_end(url)
            if len(self._kept) > _MOST_SETS:
                self._kept.popitem(last=False)
        with kept.lock:
            now = self._clock()
            if not again and kept.keys is not None and kept.until is not None and now < kept.until:
                return kept.keys, False
            if len(kept.asked) == FETCHES and now - kept.asked[0] < PERIOD:
                raise UnusableKey("its jwks_uri was asked too often just now")
            kept.asked.append(now)
            try:
                fetched = self._fetch(url)
            except FetchError as error:
                raise UnusableKey(f"its jwks_uri cannot be fetched: {error}") from None
            kept.keys = listed(_object(fetched.body))
            kept.until = now + _lifetime(fetched.max_age_seconds)
            return kept.keys, True


def listed(jwks: dict[str, Any]) -> list[dict[str, Any]]:
    """The keys of a JWK Set.  Raises UnusableKey for what is none."""
    keys = jwks.get("keys")
    if not isinstance(keys, list) or len(keys) > _MOST_KEYS or not all(isinstance(key, dict) for key in keys):
        raise UnusableKey("its key set is none")
    return keys


def only(keys: list[dict[str, Any]], kid: str, algorithm: str) -> RSAKey | ECKey:
    """The one key with this id and of the type that the algorithm needs.  Raises UnusableKey."""
    type, _ = _TYPES[algorithm]
    fitting = [key for key in keys if key.get("kid") == kid and key.get("kty") == type.key_type]
    if not fitting:
        raise UnusableKey("no key has this kid and type")
    if len(fitting) > 1:
        raise UnusableKey("several keys have this kid")
    return public_key(fitting[0], algorithm)


def public_key(key: dict[str, Any], algorithm: str) -> RSAKey | ECKey:
    """The key, if signatures of this algorithm may be checked with it.  Raises UnusableKey."""
    type, curve = _TYPES[algorithm]
    if PRIVATE & key.keys():
        raise UnusableKey("its key has a private part")
    if key.get("use", "sig") != "sig" or key.get("alg", algorithm) != algorithm:
        raise UnusableKey("its key is for another use")
    if "key_ops" in key and (not isinstance(key["key_ops"], list) or "verify" not in key["key_ops"]):
        raise UnusableKey("its key is for another use")
    if key.get("kty") != type.key_type or (curve and key.get("crv") != curve):
        raise UnusableKey("its key does not fit the algorithm")
    members = ("kty", "n", "e") if type is RSAKey else ("kty", "crv", "x", "y")
    try:
        read = type.import_key({name: key[name] for name in members})
        bits = read.public_key.key_size
    except (JoseError, ValueError, TypeError, KeyError):
        raise UnusableKey("its key cannot be read") from None
    if type is RSAKey and bits < _SHORTEST_RSA_BITS:
        raise UnusableKey(f"its key has fewer than {_SHORTEST_RSA_BITS} bits")
    return read


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise UnusableKey("its jwks_uri holds no JSON") from None
    if not isinstance(found, dict):
        raise UnusableKey("its key set is none")
    return found


def _lifetime(max_age_seconds: int | None) -> timedelta:
    if max_age_seconds is None:
        return DEFAULT_LIFETIME
    return min(timedelta(seconds=max_age_seconds), LONGEST_LIFETIME)
