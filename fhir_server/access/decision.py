"""`decide`: may this actor do this interaction on this type, and on which resources?

One pure function over plain values.  Deny is the default.  A refusal of the whole type or interaction is Forbidden
(403); anything finer is a filter, so that what may not be seen cannot be told from what is not there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fhir_server.access.actor import Actor
from fhir_server.access.scopes import Scope
from fhir_server.fhir.outcome import BadRequest, Forbidden
from fhir_server.fhir.types import TYPES
from fhir_server.search.expression import EVERYTHING, NOTHING, DepositedBy, Expression, InRecord, all_of, any_of

#: The letter that an interaction needs.  SMART App Launch 2.2: scopes-and-launch-context.html
LETTERS = {
    "create": "c",
    "read": "r",
    "vread": "r",
    "history-instance": "r",
    "update": "u",
    "patch": "u",
    "delete": "d",
    "search-type": "s",
    "search-system": "s",
    "history-type": "s",
    "history-system": "s",
}
READING = frozenset("rs")

#: Reads the constraint of a granular scope as a search of the type.
Constrain = Callable[[str, tuple[tuple[str, str], ...]], Expression]


@dataclass(frozen=True)
class Decision:
    """
    The answer.

    where       which resources.  Always applied
    record      the id of the patient whose record alone a write may touch; None where there is no such bound
    """

    where: Expression
    record: str | None = None


def decide(actor: Actor, interaction: str, type: str, constrain: Constrain) -> Decision:
    """What `actor` may do.  Raises Forbidden when no scope of the token covers the interaction on the type."""
    letter = LETTERS[interaction]
    reached: list[tuple[Expression, Expression]] = []
    for scope in actor.scopes:
        if scope.type in ("*", type) and letter in scope.letters:
            reach, constraint = _reach(actor, scope, letter, type), _constraint(scope, type, constrain)
            if NOTHING not in (reach, constraint):
                reached.append((reach, constraint))
    if not reached:
        raise Forbidden(
            f"The access token has no scope for `{interaction}` on {type}; it would take `{type}.{letter}`."
        )
    where = any_of(*(all_of(reach, constraint) for reach, constraint in reached))
    in_record = actor.patient and all(reach == InRecord(actor.patient) for reach, _ in reached)
    return Decision(where, actor.patient if in_record else None)


def _constraint(scope: Scope, type: str, constrain: Constrain) -> Expression:
    """The resources that a granular scope is cut to; none where the type cannot be searched so."""
    try:
        return constrain(type, scope.constraints)
    except BadRequest:
        return NOTHING


def _reach(actor: Actor, scope: Scope, letter: str, type: str) -> Expression:
    """Which resources of the type the scope reaches, its own constraint aside."""
    if type == "AuditEvent" and letter not in READING and actor.kind != "operator":
        return NOTHING  # who did what is for the server to say, and not for those who did it
    if scope.context == "system":
        return EVERYTHING
    if scope.context == "patient" and not actor.patient:
        return NOTHING
    if TYPES[type].directory:
        return EVERYTHING if letter in READING else NOTHING
    if scope.context == "patient" or actor.kind == "patient":
        return InRecord(actor.patient) if actor.patient else NOTHING
    if actor.practitioner:
        # Depositing needs no permit, and a depositor reads back what it deposited (CSP R1111-47); what others
        # deposited needs one.
        return EVERYTHING if letter == "c" else DepositedBy(f"Practitioner/{actor.practitioner}")
    return NOTHING
