"""The documents that one create writes, as the replica set's own log shows them, for the ceiling to write as well.

Reading them from the log keeps the ceiling honest without knowing how the server stores: a server that writes less
gets a faster ceiling to be measured against, not a better figure.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

from bson import Binary
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from benchmarks import data, rows
from benchmarks.ceiling import OBSERVATIONS

Written = list[dict[str, Any]]
SETTLE_SECONDS = 0.5
# Of a patient that no search asks for, so that every search of the ceiling keeps its twenty matches.
_SEEN = {
    "patient": data.patient_id(0, family=rows.CREATED_FAMILY),
    "code": data.MEASURES[0].code,
    "date": data.FIRST.isoformat(),
}


def assumed() -> Written:
    """What a create has to write at the least: the current version with its index, its history, and who did it."""
    resource = data.observation(0, 0, family=rows.CREATED_FAMILY)
    body, code = data.encode(resource), data.MEASURES[0].code
    token = [code, f"{data.LOINC}|{code}"]
    index = {"token": token, "category": ["vital-signs"], "status": ["final"], "at": [data.FIRST, data.FIRST]}
    return [
        {"collection": OBSERVATIONS, "document": {"_id": "", "body": body, "version": 1, **_SEEN, "index": index}},
        {"collection": "history", "document": {"_id": "", "body": body, "version": 1, "type": "Observation"}},
        {
            "collection": "audit",
            "document": {
                "_id": "",
                "recorded": data.FIRST,
                "actor": "operator",
                "interaction": "create",
                "entity": [f"Observation/{resource['id']}", resource["subject"]["reference"]],
                "hash": bytes(32),
            },
        },
    ]


def observed(client: MongoClient[dict[str, Any]], database: str, create: Callable[[], bytes]) -> Written | None:
    """The documents that `create` inserts into the database; None where the log cannot be read (a sharded cluster).

    `create` returns the resource made.  Its current version comes first, in the shape that the ceiling searches.
    """
    try:
        before = client.admin.command("ping")["operationTime"]
        id = json.loads(create())["id"]
        time.sleep(SETTLE_SECONDS)
        log = client["local"]["oplog.rs"]
        entries = list(log.find({"ts": {"$gt": before}}))
    except (PyMongoError, KeyError):
        return None
    inserted = [
        {"collection": operation["ns"].partition(".")[2], "document": operation["o"]}
        for entry in entries
        for operation in _operations(entry)
        if operation["op"] == "i" and operation["ns"].partition(".")[0] == database
    ]
    if not inserted:
        return None
    # The log lists the current version wherever the transaction put it: it is the one that the id alone names.
    inserted.sort(key=lambda row: row["document"]["_id"] != id)
    current, *others = inserted
    return [{"collection": OBSERVATIONS, "document": _searchable(current["document"])}, *others]


def _operations(entry: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The single operations of a log entry; a transaction is one entry that holds them all."""
    if entry["op"] == "c":
        yield from entry["o"].get("applyOps", ())
        return
    yield entry


def _searchable(document: dict[str, Any]) -> dict[str, Any]:
    """The document with its bytes under `body` and with the fields of the ceiling's one index."""
    held = next((name for name, value in document.items() if isinstance(value, bytes | Binary)), None)
    rest = {name: value for name, value in document.items() if name != held}
    body = document[held] if held else data.encode(data.observation(0, 0))
    return {**rest, "body": bytes(body), **_SEEN}
