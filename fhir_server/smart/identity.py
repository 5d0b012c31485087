"""Who signed in, told to apps: the id_token, userinfo, and what an app says when it signs the person out.

OpenID Connect Core s. 2, s. 5.3; RP-Initiated Logout 1.0; SMART 2.2: scopes-and-launch-context.html
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from fhir_server.smart.grounds import Grounds
from fhir_server.smart.keys import Algorithm, Keys

#: Long enough for a client whose clock is behind; it opens nothing.
LIFETIME = timedelta(minutes=10)
ALGORITHM: Algorithm = "RS256"
_LARGEST = 16_384


@dataclass(frozen=True)
class Hint:
    """What an id_token of this server says of whom to sign out, however old it is."""

    sub: str
    client_id: str
    session: str | None


@dataclass(frozen=True)
class Identity:
    """Signs and reads statements of who signed in, as `issuer`."""

    issuer: str
    keys: Keys
    clock: Callable[[], datetime]

    def id_token(self, on: Grounds, access_token: str) -> str:
        """The id_token of a first answer: to whom, of whom, when and how they signed in."""
        now = self.clock()
        claims = {
            "iss": self.issuer,
            "sub": on.sub,
            "aud": on.client_id,
            "iat": int(now.timestamp()),
            "exp": int((now + LIFETIME).timestamp()),
            "auth_time": int(on.auth_time.timestamp()),
            "nonce": on.nonce,
            "acr": on.acr,
            "amr": list(on.amr) or None,
            "at_hash": _half_hash(access_token),
            "sid": on.session,
            "fhirUser": on.fhir_user if "fhirUser" in on.words else None,
        }
        return self.keys.sign({name: value for name, value in claims.items() if value is not None}, ALGORITHM)

    def userinfo(self, kept: Mapping[str, Any]) -> dict[str, Any]:
        """What the token's holder may know of who signed in; `kept` is what `Tokens.find` gave."""
        claims = {"sub": kept["sub"], "fhirUser": kept.get("fhir_user")}
        return {name: value for name, value in claims.items() if value is not None}

    def hint(self, id_token: str) -> Hint | None:
        """What an id_token of this server says, be it past; None if it is not one."""
        if len(id_token) > _LARGEST:
            return None
        published: Any = self.keys.jwks()
        try:
            claims = jwt.decode(id_token, KeySet.import_key_set(published), algorithms=[ALGORITHM]).claims
        except (JoseError, ValueError, TypeError, RecursionError):  # the library trusts the types in a header
            return None
        sub, client_id, session = claims.get("sub"), claims.get("aud"), claims.get("sid")
        if claims.get("iss") != self.issuer or not isinstance(sub, str) or not isinstance(client_id, str):
            return None
        return Hint(sub, client_id, session if isinstance(session, str) else None)


def _half_hash(token: str) -> str:
    """The left half of the token's SHA-256.  OpenID Connect Core s. 3.1.3.6"""
    half = hashlib.sha256(token.encode()).digest()[:16]
    return urlsafe_b64encode(half).decode().rstrip("=")
