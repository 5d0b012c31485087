"""What a search asks for, once parsed.

    And(terms)  Or(terms)  Not(term)      combine
    Match(parameter, test)                some indexed value of the parameter passes `test`
    InRecord(patient)                     the resource belongs to the record of Patient/`patient`
    OfTypes(types)                        the resource is of one of these types
    DepositedBy(reference)                the resource was last written by `reference`

Expressions are values: frozen, comparable, printable.  They know nothing of HTTP or MongoDB.  Two functions read
them, `mongo.to_filter` and `matcher.matches`; tests/generative holds the two to the same answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

#: What is kept beside a resource to find it by: see `index.entry`.
Entry: TypeAlias = dict[str, Any]
Filter: TypeAlias = dict[str, Any]


class ValueTest(Protocol):
    """What a parameter type knows of its values, said twice: to MongoDB and in memory."""

    def to_filter(self, field: str) -> Filter:
        """The MongoDB filter over documents whose entry keeps the parameter under `field`."""

    def accepts(self, entry: Entry, field: str) -> bool:
        """The same, of an entry in memory."""


@dataclass(frozen=True)
class And:
    """Every term holds; And(()) is everything."""

    terms: tuple[Expression, ...]


@dataclass(frozen=True)
class Or:
    """Some term holds; Or(()) is nothing."""

    terms: tuple[Expression, ...]


@dataclass(frozen=True)
class Not:
    """The term does not hold."""

    term: Expression


@dataclass(frozen=True)
class Match:
    """Some value that is indexed for the parameter under `field` passes `test`."""

    field: str
    test: ValueTest


@dataclass(frozen=True)
class InRecord:
    """The resource belongs to the record of this patient (an id)."""

    patient: str


@dataclass(frozen=True)
class OfTypes:
    """The resource is of one of these types; asked of the history of the whole system."""

    types: tuple[str, ...]


@dataclass(frozen=True)
class DepositedBy:
    """The resource was last written by this actor, `Practitioner/123`."""

    reference: str


Expression: TypeAlias = And | Or | Not | Match | InRecord | OfTypes | DepositedBy

EVERYTHING = And(())
NOTHING = Or(())


def all_of(*terms: Expression) -> Expression:
    """And(terms), flattened; EVERYTHING is left out."""
    flat: list[Expression] = []
    for term in terms:
        flat.extend(term.terms if isinstance(term, And) else (term,))
    return flat[0] if len(flat) == 1 else And(tuple(flat))


def any_of(*terms: Expression) -> Expression:
    """Or(terms), flattened; EVERYTHING if one of them is."""
    flat: list[Expression] = []
    for term in terms:
        flat.extend(term.terms if isinstance(term, Or) else (term,))
    if EVERYTHING in flat:
        return EVERYTHING
    return flat[0] if len(flat) == 1 else Or(tuple(flat))
