"""What a search asks for, once parsed.

    And(terms)  Or(terms)  Not(term)      combine
    Match(field, test)                    some indexed value of the field passes `test`
    Present(field)                        the field has a value
    Within(part, term)                    one and the same part of the resource (a component, a contained resource)
                                          passes `term`
    InRecord(patient)                     the resource belongs to the record of Patient/`patient`
    OnlyInRecords(patients)               it belongs to records of theirs, and to nobody else's
    OfTypes(types)                        the resource is of one of these types
    InNoRecord()                          it belongs to nobody's record
    InSeveral()                           it belongs to the records of several patients
    DepositedBy(reference)                it was deposited by `reference`, a person or a structure; None: by nobody
                                          who is known
    DepositedAfter(moment)                it was deposited later than that
    Labelled(label)                       it has this label: fhir/labels.py

and, across resources, what `storage/joins.py` turns into the above before anything is read:

    Refers(parameter, type, term)         by that parameter it refers to a `type` that passes `term`
    ReferredBy(type, parameter, term)     a `type` that passes `term` refers to it by that parameter

Expressions are values: frozen, comparable, printable.  They know nothing of HTTP or MongoDB.  Two functions read
them, `mongo.to_filter` and `matcher.matches`; tests/generative holds the two to the same answers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol, TypeAlias

#: What is kept beside a resource to find it by: see `index.entry`.
Entry: TypeAlias = dict[str, Any]
Filter: TypeAlias = dict[str, Any]


class ValueTest(Protocol):
    """What a parameter type knows of its values, said twice: to MongoDB and in memory."""

    def to_filter(self, field: str) -> Filter:
        """The MongoDB filter over documents whose entry keeps the parameter under `field`."""

    def narrow(self, field: str) -> Filter | None:
        """A filter on `keys` that holds wherever the test does, for an index; None if `to_filter` is one."""

    def accepts(self, entry: Entry, field: str) -> bool:
        """The same as to_filter, of an entry in memory."""


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
class Present:
    """The parameter under `field` has a value; `record`: naming the patient whose record it is, is one."""

    field: str
    record: bool = False


@dataclass(frozen=True)
class Within:
    """One and the same sub-entry of the part passes the term."""

    part: str
    term: Expression


@dataclass(frozen=True)
class InRecord:
    """The resource belongs to the record of this patient (an id)."""

    patient: str


@dataclass(frozen=True)
class InRecords:
    """The resource belongs to the record of one of these patients (ids)."""

    patients: frozenset[str]


@dataclass(frozen=True)
class OnlyInRecords:
    """The resource belongs to records of these patients (ids), and to nobody else's."""

    patients: frozenset[str]


@dataclass(frozen=True)
class OfTypes:
    """The resource is of one of these types; asked of the history of the whole system, and of contained resources."""

    types: tuple[str, ...]


@dataclass(frozen=True)
class DepositedBy:
    """The resource was deposited by this actor, or for this structure: `Practitioner/123`; None: by nobody known."""

    reference: str | None


@dataclass(frozen=True)
class DepositedAfter:
    """The resource was deposited later than this."""

    moment: datetime


@dataclass(frozen=True)
class Labelled:
    """The resource has this label."""

    label: str


@dataclass(frozen=True)
class InNoRecord:
    """The resource belongs to no patient's record."""


@dataclass(frozen=True)
class InSeveral:
    """The resource belongs to the records of several patients."""


@dataclass(frozen=True)
class Refers:
    """By the parameter `code` of `source` it refers to a resource of `type` that passes the term."""

    source: str
    code: str
    type: str
    term: Expression


@dataclass(frozen=True)
class ReferredBy:
    """A resource of `type` that passes the term refers to this one, of type `target`, by its parameter `code`."""

    target: str
    type: str
    code: str
    term: Expression


Join: TypeAlias = Refers | ReferredBy
Expression: TypeAlias = (
    And
    | Or
    | Not
    | Match
    | Present
    | Within
    | InRecord
    | InRecords
    | OnlyInRecords
    | InNoRecord
    | InSeveral
    | OfTypes
    | DepositedBy
    | DepositedAfter
    | Labelled
    | Refers
    | ReferredBy
)

EVERYTHING = And(())
NOTHING = Or(())


def all_of(*terms: Expression) -> Expression:
    """And(terms), flattened; EVERYTHING is left out, and NOTHING is all that is left of what holds it."""
    flat: list[Expression] = []
    for term in terms:
        flat.extend(term.terms if isinstance(term, And) else (term,))
    if NOTHING in flat:
        return NOTHING
    return flat[0] if len(flat) == 1 else And(tuple(flat))


def any_of(*terms: Expression) -> Expression:
    """Or(terms), flattened; EVERYTHING if one of them is."""
    flat: list[Expression] = []
    for term in terms:
        flat.extend(term.terms if isinstance(term, Or) else (term,))
    if EVERYTHING in flat:
        return EVERYTHING
    return flat[0] if len(flat) == 1 else Or(tuple(flat))


def none_of(term: Expression) -> Expression:
    """Not(term), with what is always and what is never turned round."""
    if term == EVERYTHING:
        return NOTHING
    return EVERYTHING if term == NOTHING else Not(term)


def has_joins(expression: Expression) -> bool:
    """Whether it asks of other resources, too."""
    match expression:
        case Refers() | ReferredBy():
            return True
        case And(terms) | Or(terms):
            return any(has_joins(term) for term in terms)
        case Not(term) | Within(_, term):
            return has_joins(term)
    return False


def replace_joins(expression: Expression, by: Callable[[Join, bool], Expression], positive: bool = True) -> Expression:
    """
    The expression with each join (not those inside of one) as `by(join, positive)`; positive: under an even number of
    Not, where more of it selects more.
    """
    match expression:
        case Refers() | ReferredBy():
            return by(expression, positive)
        case And(terms):
            return all_of(*(replace_joins(term, by, positive) for term in terms))
        case Or(terms):
            return any_of(*(replace_joins(term, by, positive) for term in terms))
        case Not(term):
            return none_of(replace_joins(term, by, not positive))
        case Within(_, term) if has_joins(term):
            return replace(expression, term=replace_joins(term, by, positive))
    return expression
