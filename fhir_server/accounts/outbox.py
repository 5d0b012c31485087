"""What is to leave by e-mail or text message: kept until it has left, tried again when it could not.

_id, channel, to, subject, text, created_at
state           waiting, sent, or failed (given up)
tries, not_before, error
until           worthless afterwards, as a code is; then it is not sent any more
expires_at      MongoDB removes it; the text of what was sent goes at once, where nobody has to read it here
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from pymongo import IndexModel, ReturnDocument, WriteConcern
from pymongo.client_session import ClientSession
from pymongo.database import Database

from fhir_server.accounts.account import Channel
from fhir_server.storage.store import answering

COLLECTION = "_outbox"
KEPT = timedelta(days=30)
#: How long after each failure the next try comes; after the last it is given up.
PAUSES = tuple(timedelta(minutes=minutes) for minutes in (0.25, 1, 5, 15, 60, 180, 720))
#: Who has taken a message and says nothing for so long has died with it.
LEASE = timedelta(minutes=2)


@dataclass(frozen=True)
class Message:
    """A message as it is kept.  No repr has what it says, or to whom: it may be logged."""

    id: str
    channel: Channel
    to: str = field(repr=False)
    subject: str = field(repr=False)
    text: str = field(repr=False)
    created_at: datetime
    state: str
    tries: int


class Outbox:
    """
    The messages of this server.

    channels    what can leave; a message for another channel waits for the operator to set it up
    shown       the messages stay here to be read, as in the demo, and none leaves
    """

    def __init__(
        self,
        database: Database,
        clock: Callable[[], datetime],
        *,
        channels: frozenset[Channel] = frozenset(),
        shown: bool = False,
    ):
        self._outbox = database[COLLECTION].with_options(write_concern=WriteConcern("majority", j=True))
        self._clock = clock
        self._channels = channels
        self.shown = shown
        self._listeners: list[Callable[[], None]] = []

    def prepare(self) -> None:
        """Let what is due be found, and MongoDB remove the old."""
        self._outbox.create_indexes(
            [
                IndexModel([("state", 1), ("not_before", 1)], name="due"),
                IndexModel([("created_at", -1)], name="created_at"),
                IndexModel("expires_at", name="expires_at", expireAfterSeconds=0),
            ],
            commitQuorum=0,  # as storage/indexes.py does, and for its reason
        )

    def delivers(self, channel: Channel) -> bool:
        """Whether a message by this channel arrives somewhere."""
        return self.shown or channel in self._channels

    def put(
        self,
        channel: Channel,
        to: str,
        subject: str,
        text: str,
        *,
        until: datetime | None = None,
        session: ClientSession | None = None,
    ) -> str:
        """
        Keep the message until it has left; its id.

        until: when it is worth nothing any more.
        session: of the transaction that it is a part of; whoever sends finds it there in due time, once that is over.
        """
        now = self._clock()
        id = secrets.token_urlsafe(16)
        kept = {
            "_id": id,
            "channel": channel,
            "to": to,
            "subject": subject,
            "text": text,
            "created_at": now,
            "state": "waiting",
            "tries": 0,
            "not_before": now,
            "error": None,
            "until": until,
            "expires_at": now + KEPT,
        }
        with answering():
            self._outbox.insert_one(kept, session=session)
        if session is not None:
            return id
        for listener in self._listeners:
            listener()
        return id

    def on_put(self, listener: Callable[[], None]) -> None:
        """Have it called after each message that this process puts."""
        self._listeners.append(listener)

    def latest(self, count: int = 50) -> tuple[Message, ...]:
        """The latest messages, newest first."""
        with answering():
            return tuple(
                _message(kept) for kept in self._outbox.find().sort([("created_at", -1), ("_id", 1)]).limit(count)
            )

    def take(self) -> Message | None:
        """The next message that is due, for the caller alone to send, then to say `sent` or `failed`."""
        now = self._clock()
        due = {
            "state": "waiting",
            "not_before": {"$lte": now},
            "channel": {"$in": sorted(self._channels)},
        }
        with answering():
            # What has come too late never leaves.
            self._outbox.update_many(
                {"state": "waiting", "until": {"$lte": now}}, {"$set": {"state": "failed", "text": "", "error": "late"}}
            )
            kept = self._outbox.find_one_and_update(
                due,
                {"$set": {"not_before": now + LEASE}, "$inc": {"tries": 1}},
                sort=[("not_before", 1)],
                return_document=ReturnDocument.AFTER,
            )
        return _message(kept) if kept else None

    def sent(self, message: Message) -> None:
        """It has left; what it said is not kept."""
        self._set(message, {"state": "sent", "text": "", "error": None})

    def failed(self, message: Message, error: str) -> None:
        """It could not leave: try again later, or give it up after the last try.  `error` names the fault."""
        if message.tries > len(PAUSES):
            self._set(message, {"state": "failed", "text": "", "error": error})
            return
        self._set(message, {"not_before": self._clock() + PAUSES[message.tries - 1], "error": error})

    def _set(self, message: Message, values: Mapping[str, Any]) -> None:
        with answering():
            self._outbox.update_one({"_id": message.id, "state": "waiting"}, {"$set": dict(values)})


def _message(kept: Mapping[str, Any]) -> Message:
    return Message(
        id=kept["_id"],
        channel=kept["channel"],
        to=kept["to"],
        subject=kept["subject"],
        text=kept["text"],
        created_at=kept["created_at"],
        state=kept["state"],
        tries=kept["tries"],
    )
