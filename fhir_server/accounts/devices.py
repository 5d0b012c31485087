"""The browsers that a person has signed in with before: a random secret in a cookie, kept as its hash.

It proves nothing by itself: a password and a code are asked for all the same.  A known browser is spared the delay that
a stranger's failures cause, and an unknown one is told to the holder of the account.

account, secret     whose, and SHA-256 of the secret; another one after each sign-in
name                of the browser, as it is shown
created_at, used_at, expires_at
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta

from pymongo import IndexModel, WriteConcern
from pymongo.database import Database

from fhir_server.storage.store import answering

COLLECTION = "_devices"
ENTROPY = 32
KEPT = timedelta(days=365)


class Devices:
    """The browsers that are known, by account."""

    def __init__(self, database: Database, clock: Callable[[], datetime]):
        self._devices = database[COLLECTION].with_options(write_concern=WriteConcern("majority", j=True))
        self._clock = clock

    def prepare(self) -> None:
        """Let them be found, and MongoDB forget those that nobody comes back with."""
        self._devices.create_indexes(
            [
                IndexModel([("secret", 1), ("account", 1)], name="secret", unique=True),
                IndexModel("account", name="account"),
                IndexModel("expires_at", name="expires_at", expireAfterSeconds=0),
            ],
            commitQuorum=0,  # as storage/indexes.py does, and for its reason
        )

    def knows(self, account: str, secret: str | None) -> bool:
        """Whether the holder of this account has signed in with the browser that brings this secret."""
        if not isinstance(secret, str) or not secret:
            return False
        with answering():
            kept = self._devices.find_one(
                {"secret": _digest(secret), "account": account, "expires_at": {"$gt": self._clock()}}
            )
        return kept is not None

    def keep(self, account: str, secret: str | None, name: str) -> tuple[str, bool]:
        """
        Remember the browser, once its user is signed in: the new secret for its cookie, and whether it is a new one.

        The other people who use the same browser are known by the new secret too.
        """
        known = self.knows(account, secret)
        renewed = secrets.token_urlsafe(ENTROPY)
        now = self._clock()
        with answering():
            if isinstance(secret, str) and secret:
                self._devices.update_many({"secret": _digest(secret)}, {"$set": {"secret": _digest(renewed)}})
            self._devices.update_one(
                {"secret": _digest(renewed), "account": account},
                {
                    "$set": {"name": name, "used_at": now, "expires_at": now + KEPT},
                    "$setOnInsert": {"created_at": now},
                },
                upsert=True,
            )
        return renewed, not known

    def forget(self, account: str) -> None:
        """Know none of this account's browsers any more, as after a theft."""
        with answering():
            self._devices.delete_many({"account": account})


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()
