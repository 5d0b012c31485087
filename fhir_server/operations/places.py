"""Pages of what is sorted by time, the most recent first: where one ends, as a cursor has it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fhir_server.search.recent import Moment
from fhir_server.storage.documents import Stored


def moment_of(stored: Stored) -> Moment:
    """When it was, and its id: its place in a search that is sorted by one date."""
    time, id = stored.place
    return time, id


def written(stored: Stored) -> list[str | None]:
    """The place, as JSON can say it."""
    time, id = moment_of(stored)
    return [time.isoformat() if time else None, id]


def read(place: Any) -> Moment:
    """What `written` wrote."""
    time, id = place
    return datetime.fromisoformat(time) if time else None, id
