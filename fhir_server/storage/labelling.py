"""What keeps a resource from some keeps every version of it from them: its labels of now stand on its past, too.

A document that is masked is masked with all that it said before; unmasked, all of it is seen again.  The transaction
that changes the labels puts them there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pymongo import UpdateMany

from fhir_server.storage.documents import HISTORY, Stored
from fhir_server.storage.store import Unit


def follow(unit: Unit, written: Sequence[Stored], replaced: Sequence[Stored]) -> None:
    """Put the labels of what a transaction wrote on its earlier versions, where they have changed."""
    before = {one.reference: _labels(one) for one in reversed(replaced)}
    changes: list[Any] = []
    for reference, labels in {one.reference: _labels(one) for one in written}.items():
        if before.get(reference, labels) != labels:
            versions = {"_id": {"$gt": f"{reference}/", "$lt": f"{reference}0"}}
            change = {"$set": {"labels": labels}} if labels else {"$unset": {"labels": ""}}
            changes.append(UpdateMany(versions, change))
    if changes:
        unit.flush()
        unit.collection(HISTORY).bulk_write(changes, session=unit.session)
        unit.wrote = True


def _labels(stored: Stored) -> list[str]:
    return list(stored.entry.get("labels", ()))
