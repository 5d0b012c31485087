"""What waits to be announced to its patient: a document each in `_announcements`, written along with the resource.

    _id         `Type/id`
    patients    the ids of whose record it is
    private     whether it is kept from their representatives, too
    deposited   when
    due         when its patient is next to be told of it: two weeks after the deposit, then when its label has fallen

Nothing rests on it but those two letters: that a label has fallen, each query finds by itself.  CSP R1111-53
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from dateutil.relativedelta import relativedelta
from pymongo import DeleteOne, UpdateOne
from pymongo.database import Database

from fhir_server.fhir.labels import INVISIBLE_TO_PATIENT, INVISIBLE_TO_REPRESENTATIVES
from fhir_server.storage.documents import ANNOUNCEMENTS, Stored
from fhir_server.storage.store import Unit, answering

#: After so long without an announcement the patient is invited to see a professional.
INVITED = timedelta(weeks=2)
#: After so long the label falls, as `access/rules.py` has it; whatever the month, it has after 31 days.
FALLEN = relativedelta(months=1)
_SURELY_FALLEN = timedelta(days=31)
#: So many are looked at in one go.
AT_ONCE = 500


class Waiting(NamedTuple):
    """A resource of which its patient is to be told.  fallen: that it can be seen now, else that it is there."""

    reference: str
    patients: tuple[str, ...]
    private: bool
    fallen: bool


def follow(unit: Unit, written: Sequence[Stored], replaced: Sequence[Stored]) -> None:
    """Note what a transaction made wait, and strike out what waits no more."""
    before = {one.reference for one in replaced if _waits(one)}
    changes: list[Any] = []
    for reference, last in {one.reference: one for one in written}.items():
        if last.body is not None and _waits(last):
            changes.append(_noted(last))
        elif reference in before:
            changes.append(DeleteOne({"_id": reference}))
    if changes:
        unit.collection(ANNOUNCEMENTS).bulk_write(changes, session=unit.session)
        unit.wrote = True


def due(database: Database, now: datetime) -> tuple[Waiting, ...]:
    """Those that somebody is to be told of now, the longest due first."""
    with answering():
        found = database[ANNOUNCEMENTS].find({"due": {"$lte": now}}).sort("due", 1).limit(AT_ONCE)
        return tuple(
            Waiting(one["_id"], tuple(one["patients"]), one["private"], one["deposited"] <= now - FALLEN)
            for one in found
        )


def told(database: Database, waiting: Iterable[Waiting]) -> None:
    """Note that they have been told of these: the first time they wait for the second, then it is over."""
    later = {"$add": ["$deposited", int(_SURELY_FALLEN.total_seconds() * 1000)]}
    changes: list[Any] = [
        DeleteOne({"_id": one.reference})
        if one.fallen
        else UpdateOne({"_id": one.reference}, [{"$set": {"due": later}}])
        for one in waiting
    ]
    if changes:
        with answering():
            database[ANNOUNCEMENTS].bulk_write(changes)


def _waits(stored: Stored) -> bool:
    """Whether it waits to be announced; a Binary waits with its document."""
    hidden = INVISIBLE_TO_PATIENT in stored.entry.get("labels", ())
    return hidden and stored.type != "Binary" and "owner" in stored.entry


def _noted(stored: Stored) -> UpdateOne:
    patients = [stored.entry["owner"], *stored.entry.get("others", ())]
    private = INVISIBLE_TO_REPRESENTATIVES in stored.entry["labels"]
    deposited: datetime = stored.entry["deposited"]
    new = {"deposited": deposited, "due": deposited + INVITED}
    now = {"patients": patients, "private": private}
    return UpdateOne({"_id": stored.reference}, {"$set": now, "$setOnInsert": new}, upsert=True)
