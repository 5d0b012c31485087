"""One-time codes: six digits by e-mail or text message, for one session and one purpose.  NIST SP 800-63B-4 s. 3.1.3

_id             session and purpose: a new code takes the place of the one before
hash, salt      SHA-256 of the digits: they can be guessed from it, and live for minutes; nothing shows them by accident
account, channel, to      whose; where it was sent, masked
attempts        guesses so far
sent_at, expires_at
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from pymongo import IndexModel, ReturnDocument, WriteConcern
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from fhir_server.accounts.account import Account, Channel, masked
from fhir_server.accounts.attempts import Wait
from fhir_server.accounts.outbox import Outbox
from fhir_server.accounts.rates import Rate, Rates
from fhir_server.accounts.words import say
from fhir_server.storage.store import answering

COLLECTION = "_one_time_codes"
DIGITS = 6
LIFETIME = timedelta(minutes=15)
#: Guesses at one code; after them it opens nothing, right or wrong.
GUESSES = 5
BETWEEN = timedelta(seconds=30)

#: Codes sent for one account, from browsers that its holder never used, and from each that is known.
BY_ACCOUNT = Rate("code-account", 20, timedelta(hours=1))
BY_ADDRESS = Rate("code-address", 60, timedelta(hours=1))
OF_ALL = Rate("code", 6000, timedelta(hours=1))
#: Wrong codes in a day, far below what chance needs.  NIST SP 800-63B-4 s. 3.2.2: no more than 100
WRONG = Rate("code-wrong", 50, timedelta(days=1))

Purpose = Literal["sign-in", "step-up"]


class Undeliverable(Exception):
    """This server cannot send by this channel, or the account has none.  For the operator to set up."""


@dataclass(frozen=True)
class Sent:
    """A code that was sent.  to: the destination, masked.  left: guesses."""

    channel: Channel
    to: str
    sent_at: datetime
    again_at: datetime
    expires_at: datetime
    left: int


class OneTimeCodes:
    """The codes that are under way."""

    def __init__(self, database: Database, clock: Callable[[], datetime], outbox: Outbox):
        self._codes = database[COLLECTION].with_options(write_concern=WriteConcern("majority", j=True))
        self._clock = clock
        self._outbox = outbox
        self._rates = Rates(database)

    def prepare(self) -> None:
        """Let MongoDB remove the dead."""
        self._codes.create_indexes(
            [IndexModel("expires_at", name="expires_at", expireAfterSeconds=0)],
            commitQuorum=0,  # as storage/indexes.py does, and for its reason
        )

    def channels(self, account: Account) -> tuple[Channel, ...]:
        """How a code can reach the holder of the account from this server."""
        return tuple(channel for channel in account.channels if self._outbox.delivers(channel))

    def send(
        self,
        account: Account,
        session: str,
        purpose: Purpose,
        *,
        channel: Channel | None = None,
        address: str = "",
        device: str | None = None,
    ) -> Sent:
        """
        Send a new code; the one before is worth nothing from now on.

        session: the id of the session that it will be good for.  channel: one of `channels`, or the first of them.
        device: what names the browser, if its user has signed in with it before.
        Raises Undeliverable, and Wait when the last one was sent just now, or too many were.
        """
        offered = self.channels(account)
        by = channel or (offered[0] if offered else None)
        if by is None or by not in offered:
            raise Undeliverable(by or "no channel")
        now = self._clock()
        digits = "".join(secrets.choice("0123456789") for _ in range(DIGITS))
        salt = secrets.token_hex(16)
        to = account.destination(by)
        values: dict[str, Any] = {
            "hash": _hash(salt, digits),
            "salt": salt,
            "account": account.id,
            "channel": by,
            "to": masked(to),
            "attempts": 0,
            "sent_at": now,
            "expires_at": now + LIFETIME,
        }
        key = _key(session, purpose)
        before = self.sent(session, purpose)
        if before and now < before.again_at:
            raise Wait(before.again_at - now)
        self._may_send(account, address, device)
        with answering():
            try:
                self._codes.update_one({"_id": key, "sent_at": {"$lte": now - BETWEEN}}, {"$set": values}, upsert=True)
            except DuplicateKeyError:
                kept = self._codes.find_one({"_id": key}) or {}
                raise Wait(kept.get("sent_at", now) + BETWEEN - now) from None
        subject, text = say("code", account.language, code=digits, minutes=int(LIFETIME.total_seconds() // 60))
        self._outbox.put(by, to, subject, text, until=now + LIFETIME)
        return _sent(values)

    def sent(self, session: str, purpose: Purpose) -> Sent | None:
        """The code that is under way, if there is one."""
        with answering():
            kept = self._codes.find_one({"_id": _key(session, purpose), "expires_at": {"$gt": self._clock()}})
        return _sent(kept) if kept else None

    def check(self, session: str, purpose: Purpose, digits: str) -> bool:
        """
        Whether these are the digits of the latest code of this session, for this purpose; a code is right once.

        The guess is counted in the write that reads the code, before it is compared; after the last, nothing is right.
        """
        key = _key(session, purpose)
        living = {"_id": key, "expires_at": {"$gt": self._clock()}, "attempts": {"$lt": GUESSES}}
        with answering():
            kept = self._codes.find_one_and_update(
                living, {"$inc": {"attempts": 1}}, return_document=ReturnDocument.AFTER
            )
        if kept is None:
            return False
        given = re.sub(r"[\s.-]", "", digits) if isinstance(digits, str) else ""
        right = hmac.compare_digest(_hash(kept["salt"], given), kept["hash"])
        if not right:
            self._rates.hit(WRONG, kept["account"])
            return False
        with answering():
            # Of two who bring it at once, one has it.
            spent = self._codes.find_one_and_delete({"_id": key, "hash": kept["hash"]})
        return spent is not None

    def _may_send(self, account: Account, address: str, device: str | None) -> None:
        """Raises Wait when too many codes were sent, or too many wrong ones given."""
        who = (account.id, device) if device else (account.id,)
        if not device and not self._rates.allows(WRONG, account.id):
            raise Wait(self._rates.wait(WRONG, account.id))
        for rate, whom in ((OF_ALL, ("",)), (BY_ADDRESS, (address,)), (BY_ACCOUNT, who)):
            if (any(whom) or rate is OF_ALL) and not self._rates.hit(rate, *whom):
                raise Wait(self._rates.wait(rate, *whom))


def _sent(kept: Mapping[str, Any]) -> Sent:
    return Sent(
        channel=kept["channel"],
        to=kept["to"],
        sent_at=kept["sent_at"],
        again_at=kept["sent_at"] + BETWEEN,
        expires_at=kept["expires_at"],
        left=max(0, GUESSES - kept["attempts"]),
    )


def _key(session: str, purpose: str) -> str:
    return f"{session}|{purpose}"


def _hash(salt: str, digits: str) -> str:
    return hashlib.sha256(f"{salt}|{digits}".encode("utf-8", "replace")).hexdigest()
