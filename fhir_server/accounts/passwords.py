"""Password hashes: Argon2id, and the same work whether there is a hash to check or not.  RFC 9106"""

from __future__ import annotations

import secrets
import threading
import unicodedata
from functools import cached_property

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

#: Longer ones are refused unread: nobody types them.
LONGEST = 256
#: Each check takes memory, 64 MiB with the parameters of RFC 9106 s. 4; so many are made at once by a process.
AT_ONCE = 2


class Passwords:
    """Makes and checks hashes."""

    def __init__(self, hasher: PasswordHasher | None = None):
        self._hasher = hasher or PasswordHasher()
        self._turn = threading.BoundedSemaphore(AT_ONCE)

    def hash(self, password: str) -> str:
        """The hash to keep.  Raises ValueError for a password that is empty or too long."""
        if not 0 < len(password) <= LONGEST:
            raise ValueError(f"a password has 1 to {LONGEST} characters")
        with self._turn:
            return self._hasher.hash(_same(password))

    def verify(self, hash: str | None, password: str) -> bool:
        """Whether it is the password of `hash`; with no hash, the work of finding out, and False."""
        given = _same(password[: LONGEST + 1])
        with self._turn:
            try:
                self._hasher.verify(hash or self._nobody, given)
            except (VerifyMismatchError, VerificationError, InvalidHashError):
                return False
        return hash is not None and len(password) <= LONGEST

    def outdated(self, hash: str) -> bool:
        """Whether it was made with other parameters than those of today."""
        return self._hasher.check_needs_rehash(hash)

    @cached_property
    def _nobody(self) -> str:
        """A hash that no password has."""
        return self._hasher.hash(secrets.token_urlsafe(32))


def _same(password: str) -> str:
    """The same characters however a keyboard composed them.  NIST SP 800-63B-4 s. 3.1.1.2"""
    return unicodedata.normalize("NFKC", password).encode("utf-8", "replace").decode()
