"""The shapes of what is kept in MongoDB.

A collection per resource type holds current versions, under the resource's own type name:

    _id         the logical id
    version     1, 2, 3 …
    updated     datetime, milliseconds
    body        the exact JSON bytes that are served
    depositor   who deposited it, `Practitioner/123`, and for which structure, `Organization/45`: the same in each
                version; absent where nobody is known to have
    deposited   when: the time of its first version
    held        that its holder masked it, and not who deposited it; else absent
    documents   of a Binary: the entries, with their `type`, of the DocumentReferences whose content it is, and of what
                else has it as an attachment; it is judged by them
    origin      "server" on what the server itself wrote and nobody may change; "carried" on the conformance resources
                that come along with it
    place, mac  of an AuditEvent that was made of the ledger: audit/follow.py
    + the entry of search/index.py: owner, others, labels, keys, dates, numbers, strings, near, parts, contained

`_history` holds every version of every type, the current one too:

    _id         `Type/id/0000000003`: an instance's versions are a range of the index
    type, id, version, updated, body, depositor, deposited, and the entry     as above
    method      POST, PUT, PATCH or DELETE; a DELETE has no body

`_conditional` holds a document per criteria of a conditional create or update: writers of the same meet there.  The
criteria name people; MongoDB removes the document within hours, by the time `met`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from fhir_server.search.expression import Entry

HISTORY = "_history"
CARRIED = "carried"
CONDITIONAL = "_conditional"
CHOICES = "_choices"
ANNOUNCEMENTS = "_announcements"
#: What the servers of one database know in common, a document each.
SERVER = "_server"
MET = "met"


class Stored(NamedTuple):
    """One version of one resource, as it is kept.  `body` is None on the version that a delete makes."""

    type: str
    id: str
    version: int
    updated: datetime
    body: bytes | None
    method: str = "PUT"
    depositor: tuple[str, ...] = ()
    origin: str | None = None
    entry: Entry = {}  # nobody changes an entry, so that all can share the empty one
    place: tuple[Any, ...] = ()  # where it stands in the order that was asked for: search/sorting.py

    @property
    def reference(self) -> str:
        """`Type/id`."""
        return f"{self.type}/{self.id}"

    @property
    def etag(self) -> str:
        """The version as a weak entity tag.  R4: http.html#versioning"""
        return f'W/"{self.version}"'


def history_key(type: str, id: str, version: int) -> str:
    """The `_id` of a version in `_history`."""
    return f"{type}/{id}/{version:010d}"


def current_document(stored: Stored) -> dict[str, Any]:
    """What stands in the collection of the type."""
    document = {
        **stored.entry,
        "_id": stored.id,
        "version": stored.version,
        "updated": stored.updated,
        "body": stored.body,
    }
    return _marked(document, stored)


def history_document(stored: Stored) -> dict[str, Any]:
    """What stands in `_history`."""
    document = {
        **stored.entry,
        "_id": history_key(stored.type, stored.id, stored.version),
        "type": stored.type,
        "id": stored.id,
        "version": stored.version,
        "updated": stored.updated,
        "method": stored.method,
        "body": stored.body,
    }
    return _marked(document, stored)


def read_current(type: str, document: Mapping[str, Any], place: tuple[Any, ...] = ()) -> Stored:
    """The current version that a document holds, which was found at this place of an order."""
    return _stored(type, document["_id"], document, place)


def read_history(document: Mapping[str, Any]) -> Stored:
    """The version that a document of `_history` holds."""
    return _stored(document["type"], document["id"], document)


def _marked(document: dict[str, Any], stored: Stored) -> dict[str, Any]:
    if stored.depositor:
        document["depositor"] = list(stored.depositor)
    if stored.origin:
        document["origin"] = stored.origin
    return document


_OF_THE_INDEX = ("owner", "others", "labels", "keys", "dates", "numbers", "strings", "near", "parts", "contained")
_ENTRY = frozenset((*_OF_THE_INDEX, "depositor", "deposited", "held", "documents", "updated"))
#: What stands in a document beside its index entry.
NOT_OF_THE_INDEX = frozenset(
    (
        "_id",
        "type",
        "id",
        "version",
        "updated",
        "until",
        "method",
        "body",
        "depositor",
        "deposited",
        "held",
        "documents",
        "origin",
        "place",
        "mac",
    )
)


def _stored(type: str, id: str, document: Mapping[str, Any], place: tuple[Any, ...] = ()) -> Stored:
    return Stored(
        type=type,
        id=id,
        version=document["version"],
        updated=document["updated"],
        body=document.get("body"),
        method=document.get("method", "PUT"),
        depositor=tuple(document.get("depositor", ())),
        origin=document.get("origin"),
        entry={"_id": id, "type": type} | {name: value for name, value in document.items() if name in _ENTRY},
        place=place,
    )
