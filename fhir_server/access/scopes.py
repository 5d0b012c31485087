"""SMART scopes: what a token may be used for.  SMART App Launch 2.2: scopes-and-launch-context.html

>>> parse("patient/Observation.rs?category=vital-signs openid launch/patient")
(Scope(context='patient', type='Observation', letters='rs', constraints=(('category', 'vital-signs'),)),)
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl

from fhir_server.fhir.types import TYPES

_SCOPE = re.compile(
    r"(?P<context>patient|user|system)/(?P<type>\*|[A-Z][A-Za-z]+)\.(?P<letters>[a-z]+|\*)(?:\?(?P<query>[^\s]+))?"
)
_V2 = re.compile(r"(?=.)c?r?u?d?s?")
_V1 = {"read": "rs", "write": "cud", "*": "cruds"}


@dataclass(frozen=True)
class Scope:
    """`context`/`type`.`letters`?`constraints`."""

    context: str
    type: str
    letters: str
    constraints: tuple[tuple[str, str], ...] = ()


def parse(scope: str) -> tuple[Scope, ...]:
    """
    The resource scopes of an OAuth `scope` string; what is not one, or is malformed, grants nothing.

    >>> parse("openid patient/Observation. patient/Observation.sr patient/Observation.readx")
    ()
    """
    return tuple(found for word in scope.split(" ") if (found := _word(word)))


def faults(scope: str) -> list[str]:
    """The words of `scope` that look like resource scopes and are not."""
    return [word for word in scope.split(" ") if "/" in word and not word.startswith("launch") and _word(word) is None]


def _word(word: str) -> Scope | None:
    found = _SCOPE.fullmatch(word)
    if not found or (found["type"] != "*" and found["type"] not in TYPES):
        return None
    letters = _V1.get(found["letters"], found["letters"])
    if not _V2.fullmatch(letters):
        return None
    constraints: tuple[tuple[str, str], ...] = ()
    if found["query"] is not None:
        try:
            constraints = tuple(parse_qsl(found["query"], keep_blank_values=True, strict_parsing=True))
        except ValueError:
            return None
    return Scope(found["context"], found["type"], letters, constraints)
