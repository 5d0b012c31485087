"""The `scope` of an authorization request: what is malformed is refused, what is not known or not allowed is left out.

SMART App Launch 2.2: scopes-and-launch-context.html; RFC 6749 s. 3.3

>>> allowed("openid launch/patient patient/Observation.rs patient/Weather.rs", "patient/*.rs")
'openid launch/patient patient/Observation.rs'
>>> allowed("patient/Observation.sr", "patient/*.rs")
Traceback (most recent call last):
authlib.oauth2.rfc6749.errors.InvalidScopeError: invalid_scope: A scope is malformed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from authlib.oauth2.rfc6749.errors import InvalidScopeError

from fhir_server.access.actor import Mode
from fhir_server.access.scopes import Scope, narrow, parse
from fhir_server.fhir.outcome import BadRequest
from fhir_server.smart import offer
from fhir_server.smart.grounds import OFFLINE, ONLINE

#: Of no resource; anyone may ask for them.
FREE = ("openid", "fhirUser", "launch", "launch/patient", "launch/encounter", ONLINE)
#: Words of the server's own.  SMART 2.2: they begin with two underscores
MODES: dict[str, Mode] = {"__bris_de_glace": "bris_de_glace", "__centre_15": "centre_15"}
#: Kept only if the client is registered with them.
HELD = (OFFLINE, *MODES)
LONGEST = 16_000

#: A scope-token.  RFC 6749 s. 3.3
_TOKEN = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
_RESOURCE = re.compile(r"(patient|user|system)/(\*|[A-Z][A-Za-z]+)\.([a-z]+|\*)(\?\S+)?")
_LETTERS = re.compile(r"read|write|\*|(?=.)c?r?u?d?s?")

#: Raises BadRequest for constraints that are no search of the type.
Constrain = Callable[[str, tuple[tuple[str, str], ...]], object]


def allowed(asked: str, registered: str, constrain: Constrain = lambda type, pairs: None) -> str:
    """
    What of `asked` a client that is registered with `registered` may ask for, in the words and the order of `asked`.

    Raises InvalidScopeError for what is malformed, for constraints that a scope does not take, and if nothing is left.
    """
    words = asked.split(" ")
    if len(asked) > LONGEST or any(word and not _TOKEN.fullmatch(word) for word in words):
        raise InvalidScopeError("A scope is malformed.")
    kept = [one for word in dict.fromkeys(words) if word for one in _kept(word, registered, constrain)]
    if not kept:
        raise InvalidScopeError("Nothing of the scope can be had by this client.")
    return " ".join(dict.fromkeys(kept))


def mode_of(scope: str) -> Mode:
    """The access mode that the words ask for.  Raises InvalidScopeError for two at once."""
    found = [mode for word, mode in MODES.items() if word in scope.split()]
    if len(found) > 1:
        raise InvalidScopeError("One access mode at a time.")
    return found[0] if found else "normal"


def needs_patient(scope: str) -> bool:
    """Whether there has to be a patient in context.  SMART 2.2: a `patient/` scope is of the patient in context"""
    return "launch/patient" in scope.split() or any(one.context == "patient" for one in parse(scope))


def _kept(word: str, registered: str, constrain: Constrain) -> list[str]:
    if word in FREE or (word in HELD and word in registered.split()):
        return [word]
    found = _RESOURCE.fullmatch(word)
    if found is None:
        if word.startswith(("patient/", "user/", "system/")):
            raise InvalidScopeError("A scope is malformed.")
        return []
    if not _LETTERS.fullmatch(found[3]):
        raise InvalidScopeError("A scope is malformed.")
    if found[1] == "system":
        raise InvalidScopeError("A system scope is for backend services.")
    scopes = parse(word)
    if not scopes:
        if found[4] is not None and parse(word.partition("?")[0]):
            raise InvalidScopeError("A scope is malformed.")
        return []  # of a type that is not kept here
    _check(scopes[0], constrain)
    return narrow(registered, word).split()


def _check(scope: Scope, constrain: Constrain) -> None:
    """
    Raise InvalidScopeError unless each constraint is a plain parameter of the type, or all stand as they are granted.

    Chains, modifiers and _filter in a scope are experimental in SMART, and would cost a join on every access.
    """
    if not scope.constraints:
        return
    if scope.type == "*":
        raise InvalidScopeError("A scope for every type takes no constraint.")
    if scope.constraints in _own(scope.context, scope.type, scope.letters):
        return
    for name, value in scope.constraints:
        if not re.fullmatch(r"_?[a-z][a-z0-9-]*", name) or name == "_filter" or not value:
            raise InvalidScopeError("A scope takes plain search parameters only.")
    try:
        constrain(scope.type, scope.constraints)
    except BadRequest:
        raise InvalidScopeError("A scope has a constraint that is no search of its type.") from None


@lru_cache(maxsize=1024)
def _own(context: str, type: str, letters: str) -> frozenset[tuple[tuple[str, str], ...]]:
    """The constraints that the rows of consent cut such a scope to: an app may ask for what it was granted."""
    rows = offer.rows(str(Scope(context, type, letters)))
    return frozenset(piece.part.constraints for row in rows for piece in row.pieces if piece.part)
