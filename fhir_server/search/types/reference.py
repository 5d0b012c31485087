"""Reference parameters.  R4: search.html#reference

Keys: `field=Type/id` for a resource of this server, and `field=Type/id/_history/v` too where a version is named;
`field=url` for any other, and for a canonical with a version `field=url|version` beside it; and
`field:identifier=…`, as a token, for a logical reference (`:identifier`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fhir_server.search.expression import Entry, Filter
from fhir_server.search.types import token
from fhir_server.search.types.token import unescape

_LOCAL = re.compile(
    r"(?P<type>[A-Z][A-Za-z]+)/(?P<id>[A-Za-z0-9\-.]{1,64})(/_history/(?P<version>[A-Za-z0-9\-.]{1,64}))?"
)
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")


@dataclass(frozen=True)
class ReferenceTest:
    """Any of these: `Type/id`, `Type/id/_history/v`, a url."""

    targets: frozenset[str]

    def to_filter(self, field: str) -> Filter:
        keys = sorted(_key(field, target) for target in self.targets)
        return {"keys": keys[0] if len(keys) == 1 else {"$in": keys}}

    def narrow(self, field: str) -> None:
        return None

    def accepts(self, entry: Entry, field: str) -> bool:
        start = len(field) + 1
        return any(found[start:] in self.targets for found in entry["keys"] if found.startswith(f"{field}="))


def parse(text: str, targets: tuple[str, ...], base: str = "") -> ReferenceTest:
    """
    Read `id`, `Type/id` or a url.  A bare id may be of any of the parameter's target types.  Raises ValueError.

    >>> sorted(parse("23", ("Patient", "Group")).targets)
    ['Group/23', 'Patient/23']
    >>> parse("http://here/fhir/Patient/23", ("Patient",), "http://here/fhir")
    ReferenceTest(targets=frozenset({'Patient/23'}))
    """
    text = unescape(text)
    local = _below(text, base)
    if found := _LOCAL.fullmatch(local):
        if targets and found["type"] not in targets:
            raise ValueError(f"`{text}` cannot be: this parameter refers to {', '.join(targets)}")
        return ReferenceTest(frozenset({local}))
    if _ID.fullmatch(text):
        return ReferenceTest(frozenset(f"{target}/{text}" for target in targets))
    if ":" in text or _LOCAL.fullmatch(local.partition("|")[0]):  # the latter: a canonical, relative and with a version
        return ReferenceTest(frozenset({local if "|" in local else text}))
    raise ValueError(f"`{text}` is not a reference: id, Type/id or a url")


def relative(reference: str, base: str = "") -> str:
    """`Type/id` when the reference is to a resource of this server (its version left out), else as it is."""
    found = _LOCAL.fullmatch(_below(reference, base))
    return f"{found['type']}/{found['id']}" if found else reference


def keys(field: str, type: str, value: Any, base: str = "") -> Iterator[str]:
    """The keys of one value: a Reference, or a canonical or uri."""
    reference = value.get("reference") if isinstance(value, dict) else value
    if isinstance(reference, str) and not reference.startswith("#"):
        whole = relative(reference, base)
        yield _key(field, whole)
        local = _LOCAL.fullmatch(_below(reference, base))
        if local and local["version"]:
            yield _key(field, local.group())
        elif type == "canonical" and "|" in whole:
            yield _key(field, whole.partition("|")[0])
    identifier = value.get("identifier") if isinstance(value, dict) else None
    if isinstance(identifier, dict):
        yield from token.keys(f"{field}:identifier", "Identifier", identifier)


def _key(field: str, target: str) -> str:
    return f"{field}={target}"


def _below(reference: str, base: str) -> str:
    """The reference below this server's own base url."""
    return reference[len(base) + 1 :] if base and reference.startswith(base + "/") else reference
