"""What people do not recognise in the history of accesses: kept until the operator has looked at it.

_id             the report's name
event           id of the AuditEvent that stands for the accesses; day: of them
patient, sub    whose record it is, and the account of who reports
text            what the person wrote
at              when
review          {"state": "due"}, or {"state": "done", "by", "note", "at"}
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from pymongo import IndexModel, WriteConcern
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from fhir_server.accounts import words as letters
from fhir_server.accounts.outbox import Outbox
from fhir_server.fhir.outcome import Conflict, NotFound
from fhir_server.storage.store import answering

COLLECTION = "_reports"
#: So many are shown.
MOST = 500


class Reports:
    """The reports; operator: the address that is told of each, if there is one."""

    def __init__(self, database: Database, clock: Callable[[], datetime], outbox: Outbox, operator: str | None = None):
        self._database = database
        self._reports = database[COLLECTION].with_options(write_concern=WriteConcern("majority", j=True))
        self._clock = clock
        self._outbox = outbox
        self._operator = operator

    def prepare(self) -> None:
        """Let those be found that wait, and one access be reported once by one person."""
        self._reports.create_indexes(
            [
                IndexModel([("review.state", 1), ("at", 1)], name="review"),
                IndexModel([("event", 1), ("sub", 1)], name="event", unique=True),
            ],
            commitQuorum=0,  # as storage/indexes.py does, and for its reason
        )

    def put(self, *, event: str, day: str, patient: str, sub: str, text: str) -> str:
        """Keep the report and, in the same transaction, the notice to the operator; the name of the report."""
        kept = {"event": event, "day": day, "patient": patient, "sub": sub, "text": text[:2000]}
        id = secrets.token_hex(8)  # hexadecimal: typed at a command line, where a leading hyphen is an option
        with suppress(DuplicateKeyError), answering():
            before = self._reports.find_one({"event": event, "sub": sub}, {"_id": 1})
            if before:
                return str(before["_id"])
            with self._database.client.start_session() as session, session.start_transaction():
                self._reports.insert_one(
                    {"_id": id, **kept, "at": self._clock(), "review": {"state": "due"}}, session=session
                )
                if self._operator:
                    title, words = letters.say("access_reported", "fr", id=id, event=event, day=day, patient=patient)
                    self._outbox.put("email", self._operator, title, words, session=session)
            return id
        with answering():
            first = self._reports.find_one({"event": event, "sub": sub}, {"_id": 1})
        return str(first["_id"]) if first else id

    def of(self, sub: str, patient: str) -> frozenset[str]:
        """The AuditEvents that this person has reported in the record."""
        with answering():
            return frozenset(one["event"] for one in self._reports.find({"sub": sub, "patient": patient}, {"event": 1}))

    def due(self, *, everything: bool = False) -> list[Mapping[str, Any]]:
        """Those that wait to be looked at, the oldest first; or all of them."""
        with answering():
            return list(self._reports.find({} if everything else {"review.state": "due"}).sort("at", 1).limit(MOST))

    def review(self, id: str, *, by: str, note: str) -> Mapping[str, Any]:
        """Note what came of looking at one, once.  Raises NotFound, Conflict."""
        done = {"state": "done", "by": by, "note": note, "at": self._clock()}
        with answering():
            found = self._reports.find_one_and_update({"_id": id, "review.state": "due"}, {"$set": {"review": done}})
            if found is None and self._reports.find_one({"_id": id}, {"_id": 1}):
                raise Conflict(f"The report {id} has been looked at already.")
        if found is None:
            raise NotFound(f"There is no report {id}.")
        return found
