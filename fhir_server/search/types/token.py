"""Token parameters: codes, identifiers, booleans.  R4: search.html#token

Index entry: strings in the shared array `tokens`, one for each form a token can be asked in:
`field=code`, `field=system|code`, `field=system|`, and `field=|code` where there is no system.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fhir_server.search.expression import Entry, Filter

#: Longer values are indexed, and asked for, by their hash: a B-tree key should stay short.
LONGEST = 256


def key(field: str, text: str) -> str:
    """The string that stands in `tokens` for this form of a value."""
    if len(text) > LONGEST:
        text = "#" + hashlib.sha256(text.encode()).hexdigest()
    return f"{field}={text}"


def escape(text: str) -> str:
    r"""A part of a token, with its own bars told from the one between system and code.

    >>> escape("a|b")
    'a\\|b'
    """
    return text.replace("\\", "\\\\").replace("|", "\\|") if "|" in text or "\\" in text else text


@dataclass(frozen=True)
class TokenTest:
    """`[system|]code`: None means "not asked"; system "" means "has no system"."""

    system: str | None
    code: str | None

    def text(self) -> str:
        """The form in which the index holds what is asked."""
        code = escape(self.code or "")
        return code if self.system is None else f"{escape(self.system)}|{code}"

    def to_filter(self, field: str) -> Filter:
        return {"tokens": key(field, self.text())}

    def accepts(self, entry: Entry, field: str) -> bool:
        return key(field, self.text()) in entry["tokens"]


def parse(text: str) -> TokenTest:
    r"""
    Read `code`, `system|code`, `|code` or `system|`; `\|` is a bar that belongs to a part.  Raises ValueError.

    >>> parse("http://loinc.org|8480-6")
    TokenTest(system='http://loinc.org', code='8480-6')
    >>> parse("male")
    TokenTest(system=None, code='male')
    >>> parse("|male")
    TokenTest(system='', code='male')
    """
    parts = split(text, "|")
    if len(parts) > 2:
        raise ValueError(f"`{text}` is not a token: code, system|code, |code or system|")
    if len(parts) == 1:
        if not parts[0]:
            raise ValueError("an empty value is not a token")
        return TokenTest(None, unescape(parts[0]))
    system, code = unescape(parts[0]), unescape(parts[1])
    if not system and not code:
        raise ValueError(f"`{text}` is not a token: code, system|code, |code or system|")
    return TokenTest(system, code or None)


def forms(field: str, type: str, value: Any) -> Iterator[str]:
    """The keys of one value of FHIR type `type`."""
    for system, code in _codings(type, value):
        if code is not None:
            yield key(field, escape(code))
            yield key(field, f"{escape(system or '')}|{escape(code)}")
        if system:
            yield key(field, f"{escape(system)}|")


def _codings(type: str, value: Any) -> Iterator[tuple[str | None, str | None]]:
    """(system, code) of each thing in the value that a token can name."""
    if isinstance(value, bool):
        yield None, "true" if value else "false"
    elif isinstance(value, dict):
        if type == "CodeableConcept":
            for coding in value.get("coding", ()):
                yield coding.get("system"), coding.get("code")
        elif type in ("Identifier", "ContactPoint"):
            # The system of a ContactPoint says phone or email: it is no code system.  R4: search.html#token
            yield value.get("system") if type == "Identifier" else None, value.get("value")
        else:
            yield value.get("system"), value.get("code")
    elif value is not None:
        yield None, str(value)


def split(text: str, separator: str) -> list[str]:
    r"""`text` cut at each separator that no backslash stands before; the backslashes stay.

    >>> split(r"a\,b,c", ",")
    ['a\\,b', 'c']
    """
    parts, part, position = [], "", 0
    while position < len(text):
        character = text[position]
        if character == "\\" and position + 1 < len(text):
            part += text[position : position + 2]
            position += 2
            continue
        if character == separator:
            parts.append(part)
            part = ""
        else:
            part += character
        position += 1
    return [*parts, part]


def unescape(text: str) -> str:
    r"""`\,` `\|` `\$` and `\\` as the characters they stand for.  R4: search.html#escaping"""
    for character in ",|$":
        text = text.replace("\\" + character, character)
    return text.replace("\\\\", "\\")
