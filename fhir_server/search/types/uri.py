"""Uri parameters: equal as written.  R4: search.html#uri

Index entry: `field=uri` in the shared array `tokens`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fhir_server.search.expression import Entry, Filter
from fhir_server.search.types.token import key, unescape


@dataclass(frozen=True)
class UriTest:
    """The uri itself."""

    uri: str

    def to_filter(self, field: str) -> Filter:
        return {"tokens": key(field, self.uri)}

    def accepts(self, entry: Entry, field: str) -> bool:
        return key(field, self.uri) in entry["tokens"]


def parse(text: str) -> UriTest:
    """Read a uri.  Raises ValueError."""
    if not text:
        raise ValueError("an empty value is not a uri")
    return UriTest(unescape(text))


def forms(field: str, type: str, value: Any) -> Iterator[str]:
    """The key of one value."""
    if isinstance(value, str):
        yield key(field, value)
