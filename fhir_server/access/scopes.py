"""SMART scopes: what a token may be used for, and which scope is a part of which.

SMART App Launch 2.2: scopes-and-launch-context.html

>>> parse("patient/Observation.rs?category=vital-signs openid launch/patient")
(Scope(context='patient', type='Observation', letters='rs', constraints=(('category', 'vital-signs'),)),)
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl, quote

from fhir_server.fhir.types import TYPES

_SCOPE = re.compile(
    r"(?P<context>patient|user|system)/(?P<type>\*|[A-Z][A-Za-z]+)\.(?P<letters>[a-z]+|\*)(?:\?(?P<query>[^\s]+))?"
)
_V2 = re.compile(r"(?=.)c?r?u?d?s?")
_V1 = {"read": "rs", "write": "cud", "*": "cruds"}
_SAFE = "/:|,$*!'()@[];"
_V1_WORDS = {letters: word for word, letters in _V1.items()}


@dataclass(frozen=True)
class Scope:
    """`context`/`type`.`letters`?`constraints`."""

    context: str
    type: str
    letters: str
    constraints: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        """The scope as it is written: `parse` of it is the scope again."""
        return f"{self.context}/{self.type}.{self.letters}{self.query}"

    @property
    def query(self) -> str:
        """The constraints as they are written, `?` included."""
        pairs = "&".join(f"{quote(name, safe=_SAFE)}={quote(value, safe=_SAFE)}" for name, value in self.constraints)
        return f"?{pairs}" if pairs else ""


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


def covers(granted: Scope, asked: Scope) -> bool:
    """
    Whether whatever `asked` allows, `granted` allows, too.  The contexts are three worlds: none is a part of another.

    >>> broad, narrow = parse("patient/*.cruds patient/Observation.rs?category=vital-signs")
    >>> covers(broad, narrow), covers(narrow, broad)
    (True, False)
    """
    return (
        granted.context == asked.context
        and granted.type in ("*", asked.type)
        and set(granted.letters) >= set(asked.letters)
        and set(granted.constraints) <= set(asked.constraints)
    )


def narrow(granted: str, asked: str) -> str:
    """
    What of `asked` is within `granted`, in the order and the words of `asked`; of what is granted in part, that part.

    A word that is no resource scope (`openid`, `launch/patient`) is kept if it was granted.  RFC 6749 s. 6

    >>> narrow("openid patient/*.rs", "patient/Observation.cruds patient/Patient.read offline_access openid")
    'patient/Observation.rs patient/Patient.read openid'
    """
    given = [scope for word in granted.split() if (scope := _word(word))]
    kept: dict[str, Scope | None] = {}
    for word in asked.split():
        scope = _word(word)
        if scope is None:
            if "/" not in word.removeprefix("launch/") and word in granted.split():
                kept[word] = None
        elif _is_granted(given, scope):
            kept[word] = scope
        else:
            v1 = _is_v1(word)
            kept.update({_written(part, v1=v1): part for one in given if (part := _meet(one, scope))})
    return " ".join(word for word, scope in kept.items() if scope is None or not _is_superfluous(scope, kept))


def _is_granted(given: list[Scope], asked: Scope) -> bool:
    """Whether each letter of `asked` is granted, be it by several scopes."""
    return all(any(covers(one, replace(asked, letters=letter)) for one in given) for letter in asked.letters)


def _is_superfluous(scope: Scope, kept: dict[str, Scope | None]) -> bool:
    """Whether another of those kept allows all of it, and more."""
    return any(other and covers(other, scope) and not covers(scope, other) for other in kept.values())


def _meet(one: Scope, other: Scope) -> Scope | None:
    """What both allow; None if nothing."""
    letters = "".join(letter for letter in one.letters if letter in other.letters)
    if one.context != other.context or not letters or (one.type != other.type and "*" not in (one.type, other.type)):
        return None
    type = other.type if one.type == "*" else one.type
    return Scope(one.context, type, letters, tuple(dict.fromkeys(one.constraints + other.constraints)))


def _is_v1(word: str) -> bool:
    return word.partition("?")[0].rpartition(".")[2] in _V1


def _written(scope: Scope, *, v1: bool) -> str:
    """The scope in the words of SMART 1 for who asked in them, if it can be said so: they know no constraints."""
    if v1 and scope.letters in _V1_WORDS and not scope.constraints:
        return f"{scope.context}/{scope.type}.{_V1_WORDS[scope.letters]}"
    return str(scope)


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
