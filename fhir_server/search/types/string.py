"""String parameters: the start of a text, whatever its accents and case.  R4: search.html#string

Keys: `field=text`, folded, for each part of a name or an address; a long text goes on in further keys, `field>text`.
The texts as they were written stand in `strings.<field>`, for `:exact`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fhir_server.search.expression import Entry, Filter
from fhir_server.search.keys import any_of_field
from fhir_server.search.types.token import unescape

#: A longer text is not looked for within another ...
LONGEST = 200
#: ... so that a long one can be kept in keys of this length, each of which begins so long before the last one ends.
#: What it begins with is in the first of them, and is looked for however long that is.
LENGTH = 1_000
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
        return {"keys": {"$regex": "^" + re.escape(f"{field}={self.start}")}}

    def narrow(self, field: str) -> None:
        return None

    def accepts(self, entry: Entry, field: str) -> bool:
        return any(found.startswith(f"{field}={self.start}") for found in entry["keys"])


@dataclass(frozen=True)
class WholeTest:
    """A folded text, all of it.  R4: search_filter.html, `eq`"""

    text: str

    def to_filter(self, field: str) -> Filter:
        return {"keys": f"{field}={self.text}"}

    def narrow(self, field: str) -> None:
        return None

    def accepts(self, entry: Entry, field: str) -> bool:
        return f"{field}={self.text}" in entry["keys"]


@dataclass(frozen=True)
class ContainsTest:
    """A folded text that an indexed one has in it.  R4: search.html#string, `:contains`"""

    part: str

    def to_filter(self, field: str) -> Filter:
        # Two expressions, each with a beginning of its own: that is what bounds the part of the index that is read.
        return {
            "$or": [
                {"keys": {"$regex": f"^{re.escape(field + separator)}.*{re.escape(self.part)}", "$options": "s"}}
                for separator in "=>"
            ]
        }

    def narrow(self, field: str) -> None:
        return None

    def accepts(self, entry: Entry, field: str) -> bool:
        starts = (f"{field}=", f"{field}>")
        return any(self.part in found[len(field) + 1 :] for found in entry["keys"] if found.startswith(starts))


@dataclass(frozen=True)
class ExactTest:
    """The whole text as it was written.  R4: search.html#string, `:exact`"""

    text: str

    def to_filter(self, field: str) -> Filter:
        return {f"strings.{field}": self.text}

    def narrow(self, field: str) -> Filter | None:
        folded = fold(self.text)[:LENGTH]
        return StringTest(folded).to_filter(field) if folded else any_of_field(field)

    def accepts(self, entry: Entry, field: str) -> bool:
        return self.text in entry.get("strings", {}).get(field, ())


def parse(text: str) -> StringTest:
    """Read a text.  Raises ValueError if nothing of it is left to look for."""
    return StringTest(_folded(text))


def parse_whole(text: str) -> WholeTest:
    """Read a text.  Raises ValueError if nothing of it is left to look for."""
    return WholeTest(_folded(text))


def parse_contains(text: str) -> ContainsTest:
    """Read a text.  Raises ValueError if nothing of it is left to look for."""
    return ContainsTest(_folded(text, LONGEST))


def parse_exact(text: str) -> ExactTest:
    """Read a text.  Raises ValueError if there is none."""
    if not text:
        raise ValueError("an empty value matches nothing")
    return ExactTest(unescape(text))


def _folded(text: str, most: int = LENGTH - 1) -> str:
    folded = fold(unescape(text))
    if len(folded) > most:
        raise ValueError(f"a text of more than {most} characters is not looked for")
    if not folded:
        raise ValueError("an empty value matches nothing")
    return folded


def texts(type: str, value: Any) -> Iterator[str]:
    """The texts of one value, as they were written."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in PARTS.get(type, ("text",)):
            found = value.get(part)
            for text in found if isinstance(found, list) else [found]:
                if isinstance(text, str):
                    yield text


def keys(field: str, text: str) -> Iterator[str]:
    """The keys of one text."""
    folded = fold(text)
    if folded:
        yield f"{field}={folded[:LENGTH]}"
    for start in range(LENGTH - LONGEST, len(folded) - LONGEST, LENGTH - LONGEST):
        yield f"{field}>{folded[start : start + LENGTH]}"
