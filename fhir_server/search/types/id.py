"""The `_id` parameter: the logical id.  R4: search.html#id

No index entry: it is the key of the document.
"""

from __future__ import annotations

from dataclasses import dataclass

from fhir_server.search.expression import Entry, Filter


@dataclass(frozen=True)
class IdTest:
    """Any of these ids."""

    ids: frozenset[str]

    def to_filter(self, field: str) -> Filter:
        return {"_id": next(iter(self.ids)) if len(self.ids) == 1 else {"$in": sorted(self.ids)}}

    def narrow(self, field: str) -> None:
        return None

    def accepts(self, entry: Entry, field: str) -> bool:
        return entry["_id"] in self.ids


def parse(text: str) -> IdTest:
    """Read an id: a token without a system, and `|id` says so.  Raises ValueError."""
    id = text.removeprefix("|")
    if not id:
        raise ValueError("an empty value is not an id")
    return IdTest(frozenset({id}))
