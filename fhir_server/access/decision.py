"""`decide`: may this actor do this interaction on this type, and on which resources?

One pure function over plain values: the scopes of the token, and within them the rules (`rules.py`) of each patient
whose choices are at hand.  Deny is the default.  A refusal of the whole type or interaction is Forbidden (403);
anything finer is a filter, so that what may not be seen cannot be told from what is not there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property

from fhir_server.access.actor import Actor
from fhir_server.access.choices import Choices
from fhir_server.access.matrix import Matrix, carried_matrix
from fhir_server.access.rules import TABLE, Case, Constrain, in_record, names_in_a_block, references
from fhir_server.access.scopes import Scope
from fhir_server.fhir.outcome import BadRequest, Forbidden
from fhir_server.fhir.types import TYPES
from fhir_server.search.expression import (
    EVERYTHING,
    NOTHING,
    DepositedBy,
    Expression,
    InNoRecord,
    InRecord,
    InRecords,
    Match,
    OfTypes,
    OnlyInRecords,
    Within,
    all_of,
    any_of,
    none_of,
)
from fhir_server.search.parameters import several_records
from fhir_server.search.types.reference import ReferenceTest

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
#: The documents whose content a Binary is, and what else has it as an attachment.
DOCUMENTS = "documents"
#: The types of a record that have attachments: a Binary is seen with the one that it belongs to.
ATTACHING = (
    "DocumentReference",
    "DiagnosticReport",
    "Communication",
    "Consent",
    "QuestionnaireResponse",
    "Patient",
    "RelatedPerson",
)


@dataclass(frozen=True)
class Decision:
    """
    The answer.

    where       which resources.  Always applied
    record      the id of the patient whose record alone a write may touch; None where there is no such bound
    """

    where: Expression
    record: str | None = None


@dataclass(frozen=True)
class Known:
    """
    The choices at hand.

    choices     of the patients who are asked about, or, where none is named, of all whose choices concern the actor
    named       whether they are those of the patients who are asked about, and nobody else's record is reached
    """

    choices: tuple[Choices, ...] = ()
    named: bool = True


def rests_on_choices(actor: Actor, interaction: str) -> bool:
    """Whether a decision takes more than the actor: the choices of patients."""
    if actor.kind == "operator":
        return False
    if actor.kind == "patient":
        return actor.relation not in (None, "self") or interaction in TABLE
    return True


def decide(
    actor: Actor,
    known: Known,
    interaction: str,
    type: str,
    constrain: Constrain,
    now: datetime,
    matrix: Matrix | None = None,
) -> Decision:
    """What `actor` may do.  Raises Forbidden when no scope of the token covers the interaction on the type."""
    letter = LETTERS[interaction]
    asked = [scope for scope in actor.scopes if scope.type in ("*", type) and letter in scope.letters]
    within = _Within(actor, known, interaction, type, constrain, now, matrix or carried_matrix())
    reached = [(scope, found) for scope in asked if (found := within.reach(scope)) != NOTHING]
    if not reached and not any(within.may_reach(scope) for scope in asked):
        raise Forbidden(
            f"The access token has no scope for `{interaction}` on {type}; it would take `{type}.{letter}`."
        )
    bound = all(scope.context == "patient" or actor.kind == "patient" for scope, _ in reached)
    bound = bound and not TYPES[type].directory
    return Decision(any_of(*(found for _, found in reached)), actor.patient if bound else None)


@dataclass(frozen=True)
class _Within:
    """A decision that is being made."""

    actor: Actor
    known: Known
    interaction: str
    type: str
    constrain: Constrain
    now: datetime
    matrix: Matrix

    @property
    def _reads(self) -> bool:
        return LETTERS[self.interaction] in READING

    def may_reach(self, scope: Scope) -> bool:
        """Whether the scope reaches any resource of the type at all, in the record of one who permits it."""
        if self._constraint(scope) == NOTHING or not self._is_served(scope):
            return False
        if TYPES[self.type].directory:
            return self._reads or self.actor.kind == "operator"
        return self.type != "AuditEvent" or self._reads or self.actor.kind == "operator"

    def reach(self, scope: Scope) -> Expression:
        """Which resources of the type the scope reaches."""
        if not self.may_reach(scope):
            return NOTHING
        if TYPES[self.type].directory:
            return self._constraint(scope)
        if self.actor.kind == "operator":
            in_context = InRecord(str(self.actor.patient)) if scope.context == "patient" else EVERYTHING
            return all_of(in_context, self._constraint(scope))
        if scope.context == "patient" and self.actor.kind != "patient":
            found = all_of(InRecord(str(self.actor.patient)), self._in_context)
        else:
            found = self._by_rules
        if self.type == "Binary" and self._reads:
            found = self._as_its_documents(found)
        elif self.type == "Binary" and self.interaction != "create":
            found = all_of(found, self._readable(scope))
        return all_of(found, self._constraint(scope))

    def _is_served(self, scope: Scope) -> bool:
        """Whether a scope of this context means something, held by such an actor."""
        match scope.context:
            case "system":
                return self.actor.kind in ("operator", "backend")
            case "patient":
                return self.actor.patient is not None
            case _:
                return self.actor.kind in ("patient", "professional") and bool(references(self.actor))

    def _constraint(self, scope: Scope) -> Expression:
        """The resources that a granular scope is cut to; none where the type cannot be searched so."""
        try:
            return self.constrain(self.type, scope.constraints)
        except BadRequest:
            return NOTHING

    @cached_property
    def _by_rules(self) -> Expression:
        """Which resources of the type the rules let the actor reach, in all the records that are known."""
        if self.actor.kind == "patient":
            return self._of_the_person()
        return self._unless_barred(any_of(self._opened(self.known.choices), self._elsewhere()))

    @cached_property
    def _in_context(self) -> Expression:
        """Which of them the record of the patient in context opens, whatever others open."""
        of_the_patient = tuple(one for one in self.known.choices if one.patient == self.actor.patient)
        if not of_the_patient and not self.known.named:
            return self._by_rules
        return self._unless_barred(self._opened(of_the_patient))

    def _opened(self, choices: Iterable[Choices]) -> Expression:
        """What these records open."""
        groups: dict[Expression, set[str]] = {}
        for one in choices:
            groups.setdefault(in_record(self._case(one), self.interaction), set()).add(one.patient)
        groups.pop(NOTHING, None)
        return any_of(*(all_of(InRecords(frozenset(patients)), found) for found, patients in groups.items()))

    def _unless_barred(self, found: Expression) -> Expression:
        """
        What is found, less what is shared with one who bars it.

        What stands in an open record is read there, whatever is closed besides, but for whom any of the patients
        blocks; nothing is written that is in a record which is shut.
        """
        if not several_records(self.type):
            return found
        barring = frozenset(one.patient for one in self.known.choices if self._bars(self._case(one)))
        return all_of(found, none_of(InRecords(barring))) if barring else found

    def _bars(self, case: Case) -> bool:
        return names_in_a_block(case) if self._reads else in_record(case, self.interaction) == NOTHING

    def _of_the_person(self) -> Expression:
        patient = str(self.actor.patient)
        choices = next((one for one in self.known.choices if one.patient == patient), Choices(patient))
        return all_of(InRecord(patient), in_record(self._case(choices), self.interaction))

    def _elsewhere(self) -> Expression:
        """Outside of the records that are known: what the actor deposited, or did; what it deposits."""
        if self.actor.mode != "normal":
            return NOTHING
        of_nobody = in_record(self._case(Choices("")), self.interaction)
        if self.type == "AuditEvent":
            acted = Match("agent", ReferenceTest(frozenset(references(self.actor))))
            return acted if self._reads else NOTHING
        if self.known.named:
            return all_of(InNoRecord(), of_nobody)
        known = frozenset(one.patient for one in self.known.choices)
        return all_of(none_of(OnlyInRecords(known) if several_records(self.type) else InRecords(known)), of_nobody)

    def _as_its_documents(self, found: Expression) -> Expression:
        """
        A Binary is judged by what has it as its content.

        One that nothing has yet is its depositor's alone: nobody knows whom the document that is to come will be kept
        from.  What nobody is known to have deposited was put there by the operator, as it is to be seen.
        """
        by_type: dict[Expression, list[str]] = {}
        for type in ATTACHING:
            try:
                where = self._decided(self.actor, self.interaction, type)
            except Forbidden:
                continue
            if where != NOTHING:
                by_type.setdefault(where, []).append(type)
        held = [Within(DOCUMENTS, all_of(OfTypes(tuple(types)), where)) for where, types in by_type.items()]
        own = any_of(DepositedBy(None), *(DepositedBy(reference) for reference in references(self.actor)))
        return any_of(all_of(none_of(Within(DOCUMENTS, EVERYTHING)), own, found), *held)

    def _readable(self, scope: Scope) -> Expression:
        """Of this type what the rules let the actor read, with whatever scope: nobody changes what is hidden."""
        seeing = replace(self.actor, scopes=(Scope(scope.context, "*", "r"),))
        return self._decided(seeing, "read", self.type)

    def _decided(self, actor: Actor, interaction: str, type: str) -> Expression:
        return decide(actor, self.known, interaction, type, self.constrain, self.now, self.matrix).where

    def _case(self, choices: Choices) -> Case:
        return Case(self.actor, choices.in_force(self.now), self.type, self.now, self.constrain, self.matrix)
