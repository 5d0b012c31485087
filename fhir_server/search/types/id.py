"""The `_id` parameter: the logical id.  R4: search.html#id

No index entry: it is the key of the document.
"""

from __future__ import annotations

from dataclasses import dataclass

from fhir_server.search.expression import Entry, Filter


@dataclass(frozen=True)
class IdTest:
    """Any of these ids."""

    ids: tuple[str, ...]

    def to_filter(self, field: str) -> Filter:
        return {"_id": self.ids[0] if len(self.ids) == 1 else {"$in": list(self.ids)}}

    def accepts(self, entry: Entry, field: str) -> bool:
        return entry["_id"] in self.ids


def parse(text: str) -> IdTest:
    """Read an id.  Raises ValueError."""
    if not text:
        raise ValueError("an empty value is not an id")
    return IdTest((text,))
