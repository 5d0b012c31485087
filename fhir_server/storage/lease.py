"""Work that one process of a database does at a time: it holds a lease, by MongoDB's own clock, until it is done."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

from pymongo import WriteConcern
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from fhir_server.storage.documents import SERVER
from fhir_server.storage.store import answering


@contextmanager
def lease(database: Database, name: str, length: timedelta) -> Iterator[bool]:
    """Whether it is ours; given back at the end.  length: who says nothing for so long has died with it."""
    kept = database[SERVER].with_options(write_concern=WriteConcern("majority", j=True))
    holder = secrets.token_hex(8)
    with answering(), suppress(DuplicateKeyError):
        kept.update_one({"_id": name}, {"$setOnInsert": {"until": None}}, upsert=True)
    free = {"_id": name, "$expr": {"$lt": [{"$ifNull": ["$until", 0]}, "$$NOW"]}}
    until = {"$add": ["$$NOW", int(length.total_seconds() * 1000)]}
    with answering():
        ours = kept.update_one(free, [{"$set": {"holder": holder, "until": until}}]).modified_count == 1
    try:
        yield ours
    finally:
        if ours:
            with answering():
                kept.update_one({"_id": name, "holder": holder}, {"$set": {"until": None}})
