"""Who is signed in, in which browser: a random secret in a cookie, everything else kept here.  OWASP ASVS 5.0: V7

_id           random, the same as long as the session lives: what requests and tokens are bound to
secret        SHA-256 of what the cookie holds; another one after each step (sign-in, code, step-up)
subject       who is signed in, once every step is done; account: who has given the password, and owes the code
auth_time, acr, amr     when and how; OpenID Connect Core s. 2
key           of the form tokens of this session
device        name of the browser, for the list of sessions that its holder sees
started_at, seen_at, expires_at     MongoDB removes the dead
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from flask import Request
from pymongo import IndexModel, ReturnDocument, WriteConcern
from pymongo.database import Database
from werkzeug.wrappers import Response

from fhir_server.accounts.accounts import network
from fhir_server.accounts.rates import Rate, Rates
from fhir_server.fhir.outcome import TooManyRequests
from fhir_server.smart.subject import Subject
from fhir_server.storage.store import answering

COLLECTION = "_sessions"
#: Bytes of randomness in a secret.
ENTROPY = 32
#: A session that nobody uses ends after this; any session after the second.
IDLE = timedelta(minutes=30)
LONGEST = timedelta(hours=12)
#: Its use is noted no more often than this.
NOTED = timedelta(seconds=30)
#: How many may be begun from one address, which may be a hospital's: each is kept for minutes, whoever asks.
STARTED = Rate("session", 1200, timedelta(minutes=1))
#: What a step of signing in may say of a session.
_CHANGES = frozenset({"subject", "account", "auth_time", "acr", "amr", "device"})


class Ended(Exception):
    """The session is not there any more: it expired, was ended, or another request has just renewed it."""


@dataclass(frozen=True)
class Session:
    """
    A session as a request finds it.

    id        the same through all its steps; names it, opens nothing
    digest    SHA-256 of the secret in the cookie
    subject   None until fully signed in
    account   id of the account whose password was given, while the code is still due
    csrf      the key of its form tokens
    """

    id: str
    digest: str = field(repr=False)
    subject: Subject | None
    account: str | None
    auth_time: datetime | None
    acr: str | None
    amr: tuple[str, ...]
    csrf: str = field(repr=False)
    device: str
    started_at: datetime
    seen_at: datetime
    expires_at: datetime


class Sessions:
    """
    The sessions of this server.

    ended: called with the id of each session that is ended, so that what hangs on it (online refresh tokens) ends too.
    """

    def __init__(
        self, database: Database, clock: Callable[[], datetime], *, ended: Callable[[str], None] | None = None
    ):
        self._sessions = database[COLLECTION].with_options(write_concern=WriteConcern("majority", j=True))
        self._clock = clock
        self._ended = ended
        self._rates = Rates(database)

    def prepare(self) -> None:
        """Let a session be found by its secret and by who is signed in, and MongoDB remove the dead."""
        self._sessions.create_indexes(
            [
                IndexModel("secret", name="secret", unique=True),
                IndexModel("subject.sub", name="sub", sparse=True),
                IndexModel("expires_at", name="expires_at", expireAfterSeconds=0),
            ],
            commitQuorum=0,  # as storage/indexes.py does, and for its reason
        )

    def start(self, device: str = "", *, address: str = "") -> tuple[str, Session]:
        """
        A new session of nobody, and the secret for its cookie.

        address: where it is asked for.  Raises TooManyRequests when that was done too often from there.
        """
        if address and not self._rates.hit(STARTED, network(address)):
            raise TooManyRequests("Too many sessions are begun from this address.", headers={"Retry-After": "60"})
        secret = secrets.token_urlsafe(ENTROPY)
        now = self._clock()
        kept: dict[str, Any] = {
            "_id": secrets.token_urlsafe(ENTROPY),
            "secret": _digest(secret),
            "subject": None,
            "account": None,
            "auth_time": None,
            "acr": None,
            "amr": [],
            "key": secrets.token_urlsafe(ENTROPY),
            "device": device,
            "started_at": now,
            "seen_at": now,
            "expires_at": now + IDLE,
        }
        with answering():
            self._sessions.insert_one(kept)
        return secret, _session(kept)

    def find(self, secret: str | None) -> Session | None:
        """The living session of this secret; to be found is to be used."""
        if not isinstance(secret, str) or not secret:
            return None
        return self._living({"secret": _digest(secret)}, used=True)

    def alive(self, id: str, *, used: bool = False) -> Session | None:
        """The living session of this id.  used: whether that counts as use of it, as an app's refresh may."""
        return self._living({"_id": id}, used=used)

    def rotate(self, session: Session, **changes: Any) -> tuple[str, Session]:
        """
        The session after a step: with `changes`, a new secret and a new form key; the secret before is dead.

        changes: subject, account, auth_time, acr, amr, device.  A subject other than the one before ends what hung on
        the session of the one before.  Raises Ended when the session is not there, or was renewed meanwhile.
        """
        if unknown := set(changes) - _CHANGES:
            raise TypeError(f"a step does not change {', '.join(sorted(unknown))}")
        secret = secrets.token_urlsafe(ENTROPY)
        now = self._clock()
        values: dict[str, Any] = {name: _kept(value) for name, value in changes.items()}
        renewed = {"secret": _digest(secret), "key": secrets.token_urlsafe(ENTROPY), "seen_at": now}
        until = min(now + IDLE, session.started_at + LONGEST)
        with answering():
            kept = self._sessions.find_one_and_update(
                {"_id": session.id, "secret": session.digest, "expires_at": {"$gt": now}},
                {"$set": values | renewed | {"expires_at": until}},
                return_document=ReturnDocument.AFTER,
            )
        if kept is None:
            raise Ended
        after = _session(kept)
        if session.subject and (after.subject is None or after.subject.sub != session.subject.sub):
            self._tell(session.id)
        return secret, after

    def end(self, id: str) -> None:
        """End the session with this id, and what hangs on it."""
        with answering():
            self._sessions.delete_one({"_id": id})
        self._tell(id)

    def end_all(self, sub: str, *, but: str | None = None) -> int:
        """End every session of this person, or every one but the one with that id; how many there were."""
        found = [session.id for session in self.of(sub) if session.id != but]
        for id in found:
            self.end(id)
        return len(found)

    def of(self, sub: str) -> tuple[Session, ...]:
        """The living sessions of this person, the one used last first."""
        with answering():
            found = self._sessions.find({"subject.sub": sub, "expires_at": {"$gt": self._clock()}})
            return tuple(_session(kept) for kept in found.sort("seen_at", -1))

    def form_token(self, session: Session, purpose: str) -> str:
        """What a form of this session for this purpose carries, and nobody else can know."""
        return hmac.new(session.csrf.encode(), purpose.encode(), hashlib.sha256).hexdigest()

    def check_form_token(self, session: Session, purpose: str, token: object) -> bool:
        """Whether the form came from a page of this session, since its last step, for this purpose."""
        if not isinstance(token, str) or not token.isascii():
            return False
        return hmac.compare_digest(token, self.form_token(session, purpose))

    def _living(self, query: Mapping[str, Any], *, used: bool) -> Session | None:
        now = self._clock()
        with answering():
            kept = self._sessions.find_one({**query, "expires_at": {"$gt": now}})
            if kept is None:
                return None
            if used and now - kept["seen_at"] >= NOTED:
                until = min(now + IDLE, kept["started_at"] + LONGEST)
                # Only what is still so: the session may have had a step, or its end, meanwhile.
                unchanged = {"_id": kept["_id"], "secret": kept["secret"]}
                self._sessions.update_one(unchanged, {"$set": {"seen_at": now, "expires_at": until}})
        return _session(kept)

    def _tell(self, id: str) -> None:
        if self._ended:
            self._ended(id)


@dataclass(frozen=True)
class Cookie:
    """
    The cookie of the session: for this host and every path of it, out of reach of scripts.  RFC 6265bis s. 4.1.3

    secure: whether the server is reached by https; only then can the name say so to the browser.
    """

    secure: bool

    @classmethod
    def of(cls, base_url: str) -> Cookie:
        """The cookie of the server with this URL."""
        return cls(base_url.startswith("https://"))

    @property
    def name(self) -> str:
        """Its name."""
        return "__Host-session" if self.secure else "session"

    def read(self, request: Request) -> str | None:
        """The secret that the request brings."""
        return request.cookies.get(self.name)

    def write(self, response: Response, secret: str) -> None:
        """Have the browser keep the secret, until it is closed or the server ends the session."""
        response.set_cookie(self.name, secret, secure=self.secure, httponly=True, samesite="Lax", path="/")

    def clear(self, response: Response) -> None:
        """Have the browser forget it."""
        response.delete_cookie(self.name, secure=self.secure, httponly=True, samesite="Lax", path="/")


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def _kept(value: Any) -> Any:
    if isinstance(value, Subject):
        return asdict(value)
    return list(value) if isinstance(value, tuple) else value


def _session(kept: Mapping[str, Any]) -> Session:
    return Session(
        id=kept["_id"],
        digest=kept["secret"],
        subject=Subject(**kept["subject"]) if kept["subject"] else None,
        account=kept["account"],
        auth_time=kept["auth_time"],
        acr=kept["acr"],
        amr=tuple(kept["amr"]),
        csrf=kept["key"],
        device=kept["device"],
        started_at=kept["started_at"],
        seen_at=kept["seen_at"],
        expires_at=kept["expires_at"],
    )
