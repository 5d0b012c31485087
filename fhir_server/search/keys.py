"""The keys of a resource: one array of strings, kept in one index, that every kind of search parameter is found by.

    field=text       a value that is equal, or begins so: `code=http://loinc.org|8480-6`, `family=lefevre`
    field<bound      the lower end of a value on an axis, a time or a number, in a form that sorts as the axis does
    field>bound      its upper end; a text that is too long for one key goes on here, too
    field?           a value that has no other key

`field` is the code of the parameter, or `code:form` for a further form of its values (`code:text`).  The separators
stand side by side in ASCII, and in no field, so that the range from `field<` up to `field@` is all keys of a field.
"""

from __future__ import annotations

import hashlib
from typing import Any, TypeAlias

Filter: TypeAlias = dict[str, Any]

#: Longer values are indexed, and asked for, by their hash: a B-tree key should stay short.
LONGEST = 256


def key(field: str, text: str) -> str:
    """The key of an equal value."""
    if len(text) > LONGEST:
        text = "#" + hashlib.sha256(text.encode()).hexdigest()
    return f"{field}={text}"


def presence(field: str) -> str:
    """The key of a value that has no other."""
    return f"{field}?"


def any_of_field(field: str) -> Filter:
    """The documents that have a key of the field."""
    return between(f"{field}<", f"{field}@")


def between(low: str, high: str) -> Filter:
    """The documents with a key from `low` up to but without `high`."""
    return {"keys": {"$elemMatch": {"$gte": low, "$lt": high}}}


def has_field(keys: list[str], field: str) -> bool:
    """Whether one of the keys is of the field."""
    return any(f"{field}<" <= found < f"{field}@" for found in keys)
