"""String parameters: the start of a text, whatever its accents and case.  R4: search.html#string

Index entry: `strings.<field>`, an array of folded texts: each part of a name or an address, and its words.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fhir_server.search.expression import Entry, Filter
from fhir_server.search.types.token import unescape

#: A regular expression of MongoDB's has a bound.
LONGEST = 1_000
_SPACE = re.compile(r"\s+")
#: The parts of the types that a string parameter reads as several texts.
PARTS = {
    "HumanName": ("text", "family", "given", "prefix", "suffix"),
    "Address": ("text", "line", "city", "district", "state", "postalCode", "country"),
}


def fold(text: str) -> str:
    """The text without accents, case and spare spaces.

    >>> fold("Éloïse  Lefèvre")
    'eloise lefevre'
    """
    plain = unicodedata.normalize("NFKD", text)
    letters = "".join(character for character in plain if not unicodedata.combining(character))
    return _SPACE.sub(" ", letters.casefold()).strip()


@dataclass(frozen=True)
class StringTest:
    """A folded text that an indexed one begins with."""

    start: str

    def to_filter(self, field: str) -> Filter:
        return {f"strings.{field}": {"$regex": "^" + re.escape(self.start)}}

    def accepts(self, entry: Entry, field: str) -> bool:
        return any(text.startswith(self.start) for text in entry.get("strings", {}).get(field, ()))


def parse(text: str) -> StringTest:
    """Read a text.  Raises ValueError if nothing of it is left to look for."""
    if len(text) > LONGEST:
        raise ValueError(f"a text of more than {LONGEST} characters is not looked for")
    start = fold(unescape(text))
    if not start:
        raise ValueError("an empty value matches nothing")
    return StringTest(start)


def texts(type: str, value: Any) -> Iterator[str]:
    """The folded texts of one value."""
    if isinstance(value, str):
        yield fold(value)
    elif isinstance(value, dict):
        for part in PARTS.get(type, ("text",)):
            found = value.get(part)
            for text in found if isinstance(found, list) else [found]:
                if isinstance(text, str):
                    yield fold(text)
