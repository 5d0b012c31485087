"""EHR launches: the context in which a professional's software opens an app.  SMART 2.2: app-launch.html

_id           SHA-256 of the `launch` value: opaque, for one use, within minutes
client_id     the app that is opened; sub: who is signed in at the software
context       patient, display, encounter, intent, need_patient_banner, fhir_context
expires_at    datetime; MongoDB removes the dead
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from pymongo import IndexModel, WriteConcern
from pymongo.database import Database

from fhir_server.smart.tokens import ENTROPY, digest
from fhir_server.storage.store import answering

COLLECTION = "_launches"
LIFETIME = timedelta(minutes=5)


class Launches:
    """The launches under way."""

    def __init__(self, database: Database, clock: Callable[[], datetime]):
        self._launches = database[COLLECTION].with_options(write_concern=WriteConcern("majority", j=True))
        self._clock = clock

    def prepare(self) -> None:
        """Let MongoDB remove the dead."""
        dead = IndexModel("expires_at", name="expires_at", expireAfterSeconds=0)
        self._launches.create_indexes([dead], commitQuorum=0)

    def make(self, sub: str, client_id: str, context: Mapping[str, Any]) -> str:
        """The `launch` value with which this app can be opened for this person."""
        launch = secrets.token_urlsafe(ENTROPY)
        kept = {
            "_id": digest(launch),
            "client_id": client_id,
            "sub": sub,
            "context": dict(context),
            "expires_at": self._clock() + LIFETIME,
        }
        with answering():
            self._launches.insert_one(kept)
        return launch

    def claim(self, launch: str, client_id: str) -> dict[str, Any] | None:
        """The context with `sub` in it, once; None for a launch that is not there, or is another app's."""
        with answering():
            kept = self._launches.find_one_and_delete(
                {"_id": digest(launch), "client_id": client_id, "expires_at": {"$gt": self._clock()}}
            )
        return {**kept["context"], "sub": kept["sub"]} if kept else None
