"""Uri parameters: equal as written.  R4: search.html#uri

Keys: `field=uri`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fhir_server.search.expression import Entry, Filter
from fhir_server.search.types.token import unescape

#: A regular expression of MongoDB's has a bound; and so has what stands for each beginning of a url.
LONGEST = 1_000


@dataclass(frozen=True)
class UriTest:
    """One of these uris."""

    uris: tuple[str, ...]

    def _keys(self, field: str) -> list[str]:
        return [_key(field, uri) for uri in self.uris]

    def to_filter(self, field: str) -> Filter:
        wanted = self._keys(field)
        return {"keys": wanted[0] if len(wanted) == 1 else {"$in": wanted}}

    def narrow(self, field: str) -> None:
        return None

    def accepts(self, entry: Entry, field: str) -> bool:
        return any(wanted in entry["keys"] for wanted in self._keys(field))


@dataclass(frozen=True)
class UriBelow:
    """A uri that begins so.  R4: search.html#uri, `:below`"""

    start: str

    def to_filter(self, field: str) -> Filter:
        return {"keys": {"$regex": "^" + re.escape(f"{field}={self.start}")}}

    def narrow(self, field: str) -> None:
        return None

    def accepts(self, entry: Entry, field: str) -> bool:
        return any(found.startswith(f"{field}={self.start}") for found in entry["keys"])


def parse(text: str) -> UriTest:
    """Read a uri.  Raises ValueError."""
    if not text:
        raise ValueError("an empty value is not a uri")
    return UriTest((unescape(text),))


def parse_below(text: str) -> UriBelow:
    """Read the beginning of a url.  Raises ValueError."""
    start = unescape(text)
    if not start or len(start) > LONGEST:
        raise ValueError(f"`:below` takes the beginning of a url, of at most {LONGEST} characters")
    return UriBelow(start)


def parse_above(text: str) -> UriTest:
    """Read a url; what stands above it is each of its beginnings.  R4: search.html#uri, `:above`"""
    whole = unescape(text)
    if not whole or len(whole) > LONGEST:
        raise ValueError(f"`:above` takes a url of at most {LONGEST} characters")
    return UriTest(tuple(whole[:end] for end in range(1, len(whole) + 1)))


def keys(field: str, type: str, value: Any) -> Iterator[str]:
    """The key of one value."""
    if isinstance(value, str):
        yield _key(field, value)


def _key(field: str, uri: str) -> str:
    """Whole, however long: `:below` asks for its beginning."""
    return f"{field}={uri}"
