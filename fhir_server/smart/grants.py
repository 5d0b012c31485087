"""The living grants: what a person allows an app, in whose record, until when; each can be withdrawn at any time.

_id             random
sub, client_id, patient     one living grant for the three; patient is None for a professional's software
the fields of Grant
RFC 6749 s. 1.3; smart-app-launch 2.2: best-practices.html
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any, Literal

from pymongo import IndexModel, WriteConcern
from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from fhir_server.access.actor import Relation
from fhir_server.access.scopes import narrow, parse
from fhir_server.smart import offer
from fhir_server.smart.tokens import ENTROPY
from fhir_server.storage.store import answering

COLLECTION = "_grants"

Status = Literal["live", "withdrawn"]


@dataclass(frozen=True)
class Grant:
    """
    What an app may do, and for whom.

    scope           the words as they were granted
    patient         the id of the patient whose record it is; None where the rights of a professional are lent
    person          the resource of who granted it: `Patient/…`, `RelatedPerson/…`, `Practitioner/…`
    lasting_until   how long the app may come back by itself; None if it may not
    ended_at        when it was withdrawn
    """

    id: str
    sub: str
    client_id: str
    patient: str | None
    relation: Relation | None
    person: str | None
    scope: str
    lasting_until: datetime | None
    granted_at: datetime
    last_used_at: datetime
    status: Status = "live"
    ended_at: datetime | None = None


#: Writes a grant and what stands for it elsewhere, both or neither: `write` is run in the session of one transaction.
Together = Callable[[Grant, Callable[[ClientSession | None], None]], None]


def alone(grant: Grant, write: Callable[[ClientSession | None], None]) -> None:
    """Write the grant where nothing else stands for it."""
    with answering():
        write(None)


class _Overtaken(Exception):
    """The grant is not any more what it was when it was looked at."""


class Grants:
    """
    The grants of this server.

    changed: called with each grant that is about to be made, narrowed or ended, and once more when it is. Its tokens
    follow each time: first, so that a process that ends in between leaves too little alive and never too much; then,
    for what was issued meanwhile.
    """

    def __init__(
        self,
        database: Database,
        clock: Callable[[], datetime],
        *,
        changed: Callable[[Grant], None],
        together: Together = alone,
    ):
        self._grants = database[COLLECTION].with_options(write_concern=WriteConcern("majority", j=True))
        self._clock = clock
        self._changed = changed
        self._together = together

    def prepare(self) -> None:
        """One living grant of a person to an app in a record; a person's grants are found by `sub`."""
        living = IndexModel(
            [("sub", 1), ("client_id", 1), ("patient", 1)],
            name="living",
            unique=True,
            partialFilterExpression={"status": "live"},
        )
        whose = IndexModel([("sub", 1), ("granted_at", -1)], name="whose")
        record = IndexModel([("patient", 1), ("granted_at", -1)], name="patient")
        self._grants.create_indexes([living, whose, record], commitQuorum=0)

    def find(self, id: str) -> Grant | None:
        """The grant with this id, living or not."""
        with answering():
            kept = self._grants.find_one({"_id": id})
        return _grant(kept) if kept else None

    def living(self, sub: str, client_id: str, patient: str | None) -> Grant | None:
        """What this person allows the app in this record, now."""
        with answering():
            kept = self._grants.find_one({"sub": sub, "client_id": client_id, "patient": patient, "status": "live"})
        return _grant(kept) if kept else None

    def of(self, sub: str) -> tuple[Grant, ...]:
        """All that this person ever granted, the last first."""
        with answering():
            return tuple(_grant(kept) for kept in self._grants.find({"sub": sub}).sort("granted_at", -1))

    def give(self, asked: str, given: Grant) -> Grant:
        """
        The grant once `given` was given where `asked` was asked for: what was granted before and was not asked for now
        stays; what was asked for and not given is withdrawn.
        """
        while True:
            before = self.living(given.sub, given.client_id, given.patient)
            after = _joined(before, asked, given) if before else given
            self._changed(after)
            if self._replaced(before, after):
                self._changed(after)
                return after

    def use(self, id: str) -> None:
        """Note that the app has come back."""
        with answering():
            self._grants.update_one({"_id": id}, {"$max": {"last_used_at": self._clock()}})

    def withdraw(self, id: str, rows: frozenset[str] | None = None) -> Grant | None:
        """
        The grant without these rows of `offer.rows`, or ended if none is given or nothing is left; its tokens are dead
        when this returns.  None if there is no such living grant.
        """
        while True:
            before = self.find(id)
            if before is None:
                return None
            if before.status != "live":
                self._changed(before)  # whoever ended it may have got no further than that
                return None
            after = self._without(before, rows)
            self._changed(after)
            if self._replaced(before, after):
                self._changed(after)
                return after

    def _without(self, grant: Grant, rows: frozenset[str] | None) -> Grant:
        scope = ""
        if rows is not None:
            professional = grant.patient is None
            drawn = offer.rows(grant.scope, professional=professional)
            scope = offer.granted(grant.scope, drawn, {row.id for row in drawn} - rows)
        now = self._clock()
        if not parse(scope):
            return Grant(**(asdict(grant) | {"status": "withdrawn", "ended_at": now}))
        lasting = grant.lasting_until if offer.OFFLINE in scope.split() else None
        return Grant(**(asdict(grant) | {"scope": scope, "lasting_until": lasting}))

    def _replaced(self, before: Grant | None, after: Grant) -> bool:
        """Whether the grant was still as before, or not there, and is now as after, with what stands for it."""

        def write(session: ClientSession | None) -> None:
            if before is None:
                try:
                    self._grants.insert_one(_document(after), session=session)
                except DuplicateKeyError:
                    raise _Overtaken from None
                return
            unchanged = {name: getattr(before, name) for name in ("status", "scope", "lasting_until")}
            values = {name: value for name, value in _document(after).items() if name not in ("_id", "last_used_at")}
            done = self._grants.update_one({"_id": before.id, **unchanged}, {"$set": values}, session=session)
            if not done.matched_count:
                raise _Overtaken

        try:
            self._together(after, write)
        except _Overtaken:
            return False
        return True


def new_grant_id() -> str:
    """An id for a new grant: it names it, and opens nothing."""
    return secrets.token_urlsafe(ENTROPY)


def _joined(before: Grant, asked: str, given: Grant) -> Grant:
    """The grant before with what was given now; of what it had, what was asked for again and not given goes."""
    refused = [scope for scope in parse(asked) if scope not in parse(narrow(given.scope, str(scope)))]
    kept = [word for word in before.scope.split() if not _touches(word, refused)]
    narrowed = [narrow(given.scope, word) for word in before.scope.split() if word not in kept]
    words = dict.fromkeys([*given.scope.split(), *kept, *" ".join(narrowed).split()])
    if offer.OFFLINE in asked.split() and offer.OFFLINE not in given.scope.split():
        words.pop(offer.OFFLINE, None)
    times = [until for until in (before.lasting_until, given.lasting_until) if until]
    until = max(times) if times and offer.OFFLINE in words else None
    return Grant(**(asdict(given) | {"id": before.id, "scope": " ".join(words), "lasting_until": until}))


def _touches(word: str, refused: list[Any]) -> bool:
    """Whether any of these scopes has a part in common with the word."""
    return any(narrow(str(scope), word) for scope in refused)


_FIELDS = tuple(each.name for each in fields(Grant))


def _document(grant: Grant) -> dict[str, Any]:
    kept = asdict(grant)
    return {"_id": kept.pop("id"), **kept}


def _grant(kept: Mapping[str, Any]) -> Grant:
    return Grant(**{name: kept[name] for name in _FIELDS if name in kept}, id=kept["_id"])
