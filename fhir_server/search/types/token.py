"""Token parameters: codes, identifiers, booleans.  R4: search.html#token

Keys: `field=code` and `field=system|code`, the latter `field=|code` where there is no system; `field:text=…` for what
people read (`:text`), `field:of-type=system|code|value` for an identifier with its type (`:of-type`).  What can have no
system, a `code` or a boolean, has the first key alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from fhir_server.search.expression import Entry, Filter
from fhir_server.search.keys import LONGEST, key


def escape(text: str) -> str:
    r"""A part of a token, with its own bars told from the one between system and code.

    >>> escape("a|b")
    'a\\|b'
    """
    return text.replace("\\", "\\\\").replace("|", "\\|") if "|" in text or "\\" in text else text


#: The types whose values name no system.  That of a ContactPoint says phone or email.  R4: search.html#token
WITHOUT_SYSTEM = frozenset({"code", "boolean", "string", "id", "uri", "ContactPoint"})


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
        if self.code is None:
            return {"keys": {"$regex": "^" + re.escape(f"{field}={self.text()}")}}
        return {"keys": key(field, self.text())}

    def narrow(self, field: str) -> None:
        return None

    def accepts(self, entry: Entry, field: str) -> bool:
        if self.code is None:
            return any(found.startswith(f"{field}={self.text()}") for found in entry["keys"])
        return key(field, self.text()) in entry["keys"]


@dataclass(frozen=True)
class TokensTest:
    """Any of these (system, code): the members of a value set, or a code and those below it."""

    members: frozenset[tuple[str, str]]

    def _keys(self, field: str) -> list[str]:
        return sorted(key(field, f"{escape(system)}|{escape(code)}") for system, code in self.members)

    def to_filter(self, field: str) -> Filter:
        return {"keys": {"$in": self._keys(field)}}

    def narrow(self, field: str) -> None:
        return None

    def accepts(self, entry: Entry, field: str) -> bool:
        return not set(entry["keys"]).isdisjoint(self._keys(field))


@dataclass(frozen=True)
class OfTypeTest:
    """`:of-type`: an identifier's type and value.  R4: search.html#token"""

    system: str
    code: str
    value: str

    def _key(self, field: str) -> str:
        return key(f"{field}:of-type", f"{escape(self.system)}|{escape(self.code)}|{escape(self.value)}")

    def to_filter(self, field: str) -> Filter:
        return {"keys": self._key(field)}

    def narrow(self, field: str) -> None:
        return None

    def accepts(self, entry: Entry, field: str) -> bool:
        return self._key(field) in entry["keys"]


@dataclass(frozen=True)
class KeysTest:
    """Any of these keys, as `codings` has them."""

    keys: frozenset[str]

    def to_filter(self, field: str) -> Filter:
        return {"keys": {"$in": sorted(self.keys)}}

    def narrow(self, field: str) -> None:
        return None

    def accepts(self, entry: Entry, field: str) -> bool:
        return not self.keys.isdisjoint(entry["keys"])


#: `system|code`, where there is a code; or the hash of one that is long.
_CODING = re.compile(r"(?:[^\\|]|\\.)*\|.+|#[0-9a-f]{64}", re.DOTALL)


def codings(keys: Iterable[str], field: str) -> frozenset[str]:
    r"""
    Those of the keys that are of one coding: of a system, or of none, and a code.

    >>> sorted(codings(["code=a", "code=s|a", "code=|b", r"code=a\|b", "code=s|", "code:text=a"], "code"))
    ['code=s|a', 'code=|b']
    """
    start = f"{field}="
    return frozenset(each for each in keys if each.startswith(start) and _CODING.fullmatch(each, len(start)))


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


def parse_of_type(text: str) -> OfTypeTest:
    """Read `system|code|value`.  Raises ValueError."""
    parts = [unescape(part) for part in split(text, "|")]
    if len(parts) != 3 or not parts[1] or not parts[2]:
        raise ValueError(f"`{text}` is not system|code|value, of the identifier's type and of the identifier")
    return OfTypeTest(*parts)


def keys(field: str, type: str, value: Any) -> Iterator[str]:
    """The keys of one value of FHIR type `type`."""
    for system, code in _codings(type, value):
        if code is not None:
            yield key(field, escape(code))
        if type not in WITHOUT_SYSTEM and (system or code is not None):
            whole = f"{escape(system or '')}|{escape(code or '')}"
            yield key(field, whole)
            if system and len(whole) > LONGEST:  # kept as a hash, which does not begin with the system
                yield f"{field}={escape(system)}|"
    if type == "Identifier" and "value" in value:
        for coding in value.get("type", {}).get("coding", ()):
            if "code" in coding:
                parts = (coding.get("system", ""), coding["code"], value["value"])
                yield key(f"{field}:of-type", "|".join(map(escape, parts)))


def texts(type: str, value: Any) -> Iterator[str]:
    """What people read of a value: `:text` looks there.  R4: search.html#token"""
    if type == "CodeableConcept":
        concept = value
    elif type == "Identifier":
        concept = value.get("type", {})
    else:
        concept = {"coding": [value]} if type == "Coding" else {}
    found = [concept.get("text"), *(coding.get("display") for coding in concept.get("coding", ()))]
    yield from (text for text in found if isinstance(text, str))


def _codings(type: str, value: Any) -> Iterator[tuple[str | None, str | None]]:
    """(system, code) of each thing in the value that a token can name."""
    if isinstance(value, bool):
        yield None, "true" if value else "false"
    elif isinstance(value, dict):
        if type == "CodeableConcept":
            for coding in value.get("coding", ()):
                yield coding.get("system"), coding.get("code")
        elif type in ("Identifier", "ContactPoint"):
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


_ESCAPED = re.compile(r"\\([\\,|$])")


def escaped(text: str) -> str:
    r"""The text as a part of a value in a query: `unescape` of it is the text again.  R4: search.html#escaping"""
    return re.sub(r"([\\,$|])", r"\\\1", text)


def unescape(text: str) -> str:
    r"""`\,` `\|` `\$` and `\\` as the characters they stand for.  R4: search.html#escaping"""
    return _ESCAPED.sub(r"\1", text)
