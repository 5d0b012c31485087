"""Reference parameters.  R4: search.html#reference

Index entry: `field=Type/id` in the shared array `tokens` for a resource of this server, `field=url` for any other.
A version in the reference is not indexed: a search asks for the resource.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fhir_server.search.expression import Entry, Filter
from fhir_server.search.types.token import key, unescape

_LOCAL = re.compile(r"(?P<type>[A-Z][A-Za-z]+)/(?P<id>[A-Za-z0-9\-.]{1,64})(/_history/[A-Za-z0-9\-.]{1,64})?")
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")


@dataclass(frozen=True)
class ReferenceTest:
    """Any of these, `Type/id` or an absolute url."""

    targets: tuple[str, ...]

    def to_filter(self, field: str) -> Filter:
        keys = [key(field, target) for target in self.targets]
        return {"tokens": keys[0] if len(keys) == 1 else {"$in": keys}}

    def accepts(self, entry: Entry, field: str) -> bool:
        return any(key(field, target) in entry["tokens"] for target in self.targets)


def parse(text: str, targets: tuple[str, ...], base: str = "") -> ReferenceTest:
    """
    Read `id`, `Type/id` or a url.  A bare id may be of any of the parameter's target types.  Raises ValueError.

    >>> parse("23", ("Patient", "Group"))
    ReferenceTest(targets=('Patient/23', 'Group/23'))
    >>> parse("http://here/fhir/Patient/23", ("Patient",), "http://here/fhir")
    ReferenceTest(targets=('Patient/23',))
    """
    text = unescape(text)
    local = relative(text, base)
    if _LOCAL.fullmatch(local):
        type = local.partition("/")[0]
        if targets and type not in targets:
            raise ValueError(f"`{text}` cannot be: this parameter refers to {', '.join(targets)}")
        return ReferenceTest((local,))
    if _ID.fullmatch(text):
        return ReferenceTest(tuple(f"{target}/{text}" for target in targets))
    if ":" in text:
        return ReferenceTest((text,))
    raise ValueError(f"`{text}` is not a reference: id, Type/id or a url")


def relative(reference: str, base: str = "") -> str:
    """`Type/id` when the reference is to a resource of this server (its version left out), else as it is."""
    if base and reference.startswith(base + "/"):
        reference = reference[len(base) + 1 :]
    found = _LOCAL.fullmatch(reference)
    return f"{found['type']}/{found['id']}" if found else reference


def forms(field: str, type: str, value: Any, base: str = "") -> Iterator[str]:
    """The key of one value: a Reference, or a canonical or uri."""
    reference = value.get("reference") if isinstance(value, dict) else value
    if isinstance(reference, str) and not reference.startswith("#"):
        yield key(field, relative(reference, base))
