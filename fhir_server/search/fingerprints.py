"""What the entries of a type are made by: for each name that is asked for, a short text that changes when they would.

Held against those that a database was indexed by, they tell which parameters it cannot answer yet: what is new, and
what is read or kept in another way than before.  storage/readiness.py
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache
from typing import Any

from fhir_server.fhir.types import TYPES
from fhir_server.search.expression import (
    And,
    Expression,
    InNoRecord,
    InRecord,
    InRecords,
    InSeveral,
    Match,
    Not,
    OfTypes,
    OnlyInRecords,
    Or,
    Present,
    ReferredBy,
    Refers,
    Within,
)
from fhir_server.search.index import OF_THE_DOCUMENT, VERSION
from fhir_server.search.parameters import Parameter, follow_types, parameters, parts, record_walk

#: Beside the parameters: whose record a resource belongs to, and that resources of the type are found where others
#: contain them.
OWNER, CONTAINED = "#owner", "#"


@cache
def fingerprints(type: str, zone: str) -> dict[str, str]:
    """{name: fingerprint} of all that entries of the type are asked for; zone: that of dates written without one."""
    known = parameters(type)
    made: dict[str, Any] = {CONTAINED: VERSION}
    for code, one in known.items():
        if code in OF_THE_DOCUMENT:
            continue
        if one.type == "composite":
            dated = any(known[half.code].type == "date" for _, halves in one.components for half in halves)
            made[code] = (VERSION, _composite(type, one), zone if dated else "")
        elif one.fields == (code,):
            facts = (one.type, one.repeated, one.record, one.walk)
            made[code] = (VERSION, facts, zone if one.type == "date" else "")
    found = {code: _short(facts) for code, facts in made.items()}
    # Kept as it is now ever since there were entries.
    found[OWNER] = _short((TYPES[type].patient, record_walk(type)))
    return found


def _composite(type: str, one: Parameter) -> Any:
    kept = parts(type)
    return [
        (
            element,
            [(half.code, half.kept_as, half.walk) for half in halves],
            [(field, walk) for field, (_, walk) in sorted(kept[element][1].items())] if element else (),
        )
        for element, halves in one.components
    ]


def _short(facts: Any) -> str:
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


def asked(type: str, expression: Expression) -> Iterator[tuple[str, str]]:
    """(type, name) of each entry that an expression over `type` asks for: `fingerprints` has the names, or `places`."""
    match expression:
        case And(terms) | Or(terms):
            for term in terms:
                yield from asked(type, term)
        case Not(term):
            yield from asked(type, term)
        case Match(field) | Present(field):
            yield from _of_field(type, field)
        case Within("contained", term):
            for held in _types(term):
                for kind, name in asked(held, term):
                    yield (type, name[1:]) if name[:1] == "@" else (kind, name)
        case Within("documents", term):
            for holder in _types(term):
                yield from asked(holder, term)
        case Within(part):
            yield type, part
        case InRecord() | InRecords() | OnlyInRecords() | InNoRecord() | InSeveral():
            yield type, OWNER
        case Refers(source, code, target, term):
            yield from ((source, code), (source, OWNER), *_urls(source, code, target), *asked(target, term))
        case ReferredBy(target, source, code, term):
            yield from ((source, code), (source, OWNER), *_urls(source, code, target), *asked(source, term))


def _of_field(type: str, field: str) -> Iterator[tuple[str, str]]:
    if field[:1] == "#":
        yield field[1:], CONTAINED
    elif field not in OF_THE_DOCUMENT:
        yield type, field.partition(":")[0]


def _types(term: Expression) -> tuple[str, ...]:
    """The types that a term about contained resources, or about what has a content, is of."""
    terms = term.terms if isinstance(term, And) else (term,)
    return next((one.types for one in terms if isinstance(one, OfTypes)), tuple(TYPES))


def _urls(source: str, code: str, target: str) -> Iterator[tuple[str, str]]:
    """What tells a target by its url, where it is referred to so."""
    if follow_types(parameters(source)[code].walk) & {"canonical", "uri"} and "url" in parameters(target):
        yield target, parameters(target)["url"].fields[0]


@cache
def places(type: str, name: str) -> frozenset[str]:
    """What an expression calls the entries of this name: those of a composite stand with the element that repeats."""
    one = parameters(type).get(name)
    return frozenset({name, *(f"parts.{element}" for element, _ in (one.components if one else ()) if element)})
