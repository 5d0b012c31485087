"""The rules of access, A1 to A18: what one actor may do with the resources of one type in one patient's record.

Each rule is a small function of a `Case`, named after its number.  A rule refuses the whole record, opens a part of it,
or hides a part of what is open.  `READING`, `DEPOSITING` and `CHANGING` are the table: which rule is asked of whom, and
what it does.  Nothing is open that no rule opens.

    A1   a space that is not open is the holder's alone, and is not fed
    A2   the holder reads everything but what was made invisible less than a month ago
    A3   the holder changes what the holder entered; of the rest, who sees it
    A4   a representative and a caregiver likewise, but for what is kept from them
    A5   who is blocked sees and deposits nothing
    A6   a professional reads by a permit: the sections it covers, within the habilitation matrix
    A7   what is masked is hidden from professionals
    A8   depositing needs no permit, and a depositor reads back what it deposited
    A9   only the depositor corrects a deposit
    A10  *bris de glace*; A11 SAMU-Centre 15: one patient, read only, unless opposed
    A14  a backend reads what it deposited
    A15  a secret session is about what is kept from the representatives
    A17  the record of accesses is read by the holder, the *médecin traitant* and who acted
    A18  directories and terminologies are everybody's (`decision.py`)

A13 is the scopes (`decision.py`), A16 is `changes.py` and `visibility.py`, A12 belongs to whoever grants the access.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Literal

from dateutil.relativedelta import relativedelta

from fhir_server.access.actor import Actor
from fhir_server.access.choices import EVERYBODY, Choices, Permit
from fhir_server.access.matrix import Matrix, Row
from fhir_server.access.sections import EMERGENCY, ORDINARY, Pairs, parts
from fhir_server.fhir.labels import INVISIBLE_TO_PATIENT, INVISIBLE_TO_REPRESENTATIVES, MASKED
from fhir_server.search.expression import (
    EVERYTHING,
    NOTHING,
    DepositedAfter,
    DepositedBy,
    Expression,
    InSeveral,
    Labelled,
    Match,
    all_of,
    any_of,
    none_of,
)
from fhir_server.search.parameters import several_records
from fhir_server.search.types.reference import ReferenceTest

#: Reads the constraint of a granular scope, or of a section, as a search of the type.
Constrain = Callable[[str, Pairs], Expression]

#: How long a label keeps a document from its patient.  CSP R1111-53
ANNOUNCEMENT = relativedelta(months=1)
#: In an emergency the patient has to be known, whatever is opened besides.
_IDENTITY = frozenset({"IDENTITE"})
#: What names a professional in a resource that is addressed to them.
ADDRESSED = {
    "Communication": ("recipient", "sender"),
    "Appointment": ("actor",),
    "Task": ("owner", "requester"),
    "Consent": ("actor",),
}
#: What is not deposited by professionals and backends: who the patients are, and who cares for them.
_NOT_DEPOSITED = frozenset({"Patient", "CareTeam", "AuditEvent"})
#: What no section opens: a Binary is judged by the documents whose content it is, and the record of accesses, which
#: names what is masked, is read by whom A17 names.
_OPENED_OTHERWISE = frozenset({"Binary", "AuditEvent"})
#: The Consents of the holder's privacy are not a caregiver's to write; a wish is.
_NO_CHOICE: Pairs = (("scope:not", "patient-privacy"),)


@dataclass(frozen=True)
class Case:
    """What a rule is asked: this actor, this record, this type, now.  `choices` are those in force."""

    actor: Actor
    choices: Choices
    type: str
    now: datetime
    constrain: Constrain
    matrix: Matrix

    @cached_property
    def references(self) -> tuple[str, ...]:
        """The references that stand for the actor, as who deposits and as whom permits and blocks name."""
        return references(self.actor)

    @property
    def patient(self) -> str:
        """The reference of whose record it is."""
        return f"Patient/{self.choices.patient}"

    @cached_property
    def own(self) -> Expression:
        """What the actor deposited."""
        return any_of(*(DepositedBy(reference) for reference in self.references))

    @cached_property
    def permits(self) -> tuple[Permit, ...]:
        """The permits for the actor: for the person, the structure, or a care team that one of them is in."""
        teams = {one.team for one in self.choices.care_team if one.reference in self.references}
        return tuple(one for one in self.choices.permits if one.to in self.references or one.to in teams)

    @cached_property
    def opened(self) -> frozenset[str]:
        """The sections that the permits cover, or the emergency; of these a profession sees what it consults."""
        if self.actor.mode != "normal":
            return EMERGENCY | self.choices.emergency_sections | _IDENTITY
        return frozenset(code for permit in self.permits for code in permit.sections or ORDINARY)

    @cached_property
    def row(self) -> Row | None:
        """What the profession consults; None if nothing."""
        return self.matrix.row(self.actor.profession, self.actor.specialty)

    @property
    def is_treating_doctor(self) -> bool:
        """Whether the actor is the *médecin traitant*."""
        return self.choices.treating_doctor in self.references

    def part(self, *pairs: tuple[str, str]) -> Expression:
        """The resources of the type that meet these constraints."""
        return self.constrain(self.type, pairs)


def references(actor: Actor) -> tuple[str, ...]:
    """The references that stand for an actor: the person, in this role, for this structure; a backend's client."""
    if actor.kind == "patient":
        return tuple(dict.fromkeys(one for one in (actor.person, f"Patient/{actor.patient}") if one))
    person = f"Practitioner/{actor.practitioner}" if actor.practitioner else None
    client = f"Client/{actor.client_id}" if actor.kind == "backend" and actor.client_id else None
    return tuple(one for one in (person, actor.role, actor.organization, client) if one)


# --- what refuses


def a1_space_is_not_open(case: Case) -> bool:
    """Nobody but its holder reads a space that is opposed or closed, and nobody feeds it.  CSP L1111-13-1"""
    return not case.choices.is_open


def a4_caregiver_is_not_in_force(case: Case) -> bool:
    """A caregiver acts from when until when the holder said, and no longer than the space is open."""
    if case.actor.relation != "caregiver":
        return False
    named = any(one.reference in case.references for one in case.choices.caregivers)
    return not named or not case.choices.is_open


def a4_represents_no_longer(case: Case) -> bool:
    """A legal representative acts as long as the record has them so."""
    if case.actor.relation != "legal-representative":
        return False
    return any(one.reference == case.actor.person for one in case.choices.former)


def a5_is_blocked(case: Case) -> bool:
    """Blocked: the person, in whatever role, or the structure; in every mode.  DMP TD0.2"""
    return any(block.to == EVERYBODY or block.to in case.references for block in case.choices.blocks)


def names_in_a_block(case: Case) -> bool:
    """Whether the holder blocked the very person, role or structure: then what the record shares is kept, too.  A5"""
    return any(block.to in case.references for block in case.choices.blocks)


def a10_emergency_is_refused(case: Case) -> bool:
    """*Bris de glace* is of one patient, by a care profession, unless the holder opposed it.  CSP L1111-17 I"""
    if case.actor.mode != "bris_de_glace":
        return False
    return case.actor.patient != case.choices.patient or not case.actor.profession or not case.choices.btg


def a11_regulation_is_refused(case: Case) -> bool:
    """Centre 15 is of one patient, by a regulator, unless the holder opposed it.  CSP L1111-17 I"""
    if case.actor.mode != "centre_15":
        return False
    return case.actor.patient != case.choices.patient or not case.actor.regulator or not case.choices.etreat


def a10_emergency_writes_nothing(case: Case) -> bool:
    """Read only."""
    return case.actor.mode != "normal"


# --- what opens


def a2_holder(case: Case) -> Expression:
    """Everything in the record."""
    return EVERYTHING


def a3_holder_changes(case: Case) -> Expression:
    """What the holder entered, or who acts for the holder; and how to reach them, which the Patient says."""
    if case.type == "Patient":
        return NOTHING if case.actor.relation == "caregiver" else EVERYTHING
    return DepositedBy(case.patient)


def a3_holder_deletes(case: Case) -> Expression:
    """What the holder entered; the Patient goes when the space is closed, and not before."""
    return NOTHING if case.type == "Patient" else DepositedBy(case.patient)


def a3_holder_masks(case: Case) -> Expression:
    """Of the rest, who sees it: a patch of the label, and the end of a permit.  `changes.py` holds it to that."""
    return NOTHING if case.actor.relation == "caregiver" or case.type == "Patient" else EVERYTHING


def a2_professional_announces(case: Case) -> Expression:
    """What a permit lets read: to record that the patient has been told; `changes.py` holds it to that.  R1111-53"""
    if case.type in _NOT_DEPOSITED or case.type == "Consent":
        return NOTHING
    return all_of(a6_permit(case), none_of(a7_masked(case)))


def a6_permit(case: Case) -> Expression:
    """By a permit in force: the sections that it covers, within the matrix.  CSP R1111-46"""
    return _sections(case, case.opened) if case.actor.mode == "normal" else NOTHING


def a8_own_deposits(case: Case) -> Expression:
    """What the person, or the structure, deposited.  CSP R1111-49"""
    return case.own


def a8_addressed(case: Case) -> Expression:
    """What is addressed to the professional: a message to them, a meeting with them, a task of theirs, a permit."""
    if case.actor.mode != "normal" or not case.references:
        return NOTHING
    named = ReferenceTest(frozenset(case.references))
    return any_of(*(Match(parameter, named) for parameter in ADDRESSED.get(case.type, ())))


def a8_deposits(case: Case) -> Expression:
    """Anything, into any record that is open: no permit is needed.  CSP R1111-47"""
    return NOTHING if case.type in _NOT_DEPOSITED else EVERYTHING


def a9_depositor_changes(case: Case) -> Expression:
    """What the depositor deposited; of a document's only what `changes.py` lets pass."""
    return NOTHING if case.type in _NOT_DEPOSITED else case.own


def a10_emergency(case: Case) -> Expression:
    """The sections of an emergency, and those that the holder added, within the matrix."""
    return _sections(case, case.opened) if case.actor.mode != "normal" else NOTHING


def a17_treating_doctor_reads_the_accesses(case: Case) -> Expression:
    """The *médecin traitant* sees who opened the record.  CSP R1111-43"""
    return EVERYTHING if case.type == "AuditEvent" and case.is_treating_doctor else NOTHING


def _sections(case: Case, codes: frozenset[str]) -> Expression:
    """The part of the type in these sections that the profession consults."""
    row = case.row
    if row is None or case.type in _OPENED_OTHERWISE:
        return NOTHING
    covered = codes if row.sections is None else codes & row.sections
    found = any_of(*(case.part(*part.constraints) for part in parts(covered, case.type)))
    if case.type == "DocumentReference":
        found = all_of(found, any_of(*(case.part(*pairs) for pairs in row.documents)))
    return found


# --- what hides


def a2_not_announced(case: Case) -> Expression:
    """What a professional has to tell the patient first, for a month at most.  CSP R1111-53"""
    return all_of(Labelled(INVISIBLE_TO_PATIENT), DepositedAfter(case.now - ANNOUNCEMENT))


def a4_kept_from_representatives(case: Case) -> Expression:
    """What a minor asked to be kept from who represents them.  CSP R1111-50"""
    return NOTHING if case.actor.relation in (None, "self") else Labelled(INVISIBLE_TO_REPRESENTATIVES)


def a10_another_patients(case: Case) -> Expression:
    """In an emergency, what is in another patient's record, too: the emergency is of one."""
    return InSeveral() if case.actor.mode != "normal" and several_records(case.type) else NOTHING


def a7_masked(case: Case) -> Expression:
    """What is masked, but for who deposited it, the *médecin traitant*, and an administrator.  CSP R1111-49"""
    if case.actor.mode != "normal":
        return NOTHING if case.choices.masked else all_of(Labelled(MASKED), none_of(case.own))
    if case.is_treating_doctor or any(permit.administrator for permit in case.permits):
        return NOTHING
    return all_of(Labelled(MASKED), none_of(case.own))


def a15_not_secret(case: Case) -> Expression:
    """In a secret session, all that is not kept from the representatives; who the patient is, is no secret."""
    return none_of(Labelled(INVISIBLE_TO_REPRESENTATIVES)) if case.actor.secret and case.type != "Patient" else NOTHING


def a4_choices_are_the_holders(case: Case) -> Expression:
    """A caregiver does not decide who sees the record."""
    if case.actor.relation != "caregiver" or case.type != "Consent":
        return NOTHING
    return none_of(case.part(*_NO_CHOICE))


# --- the table

Kinds = frozenset[str]
PERSON, PROFESSIONAL, BACKEND = frozenset({"patient"}), frozenset({"professional"}), frozenset({"backend"})
OTHERS = PROFESSIONAL | BACKEND
EVERYONE = PERSON | OTHERS


@dataclass(frozen=True)
class Rule:
    """A rule of the table: of whom it is asked, and what becomes of its answer."""

    kinds: Kinds
    effect: Literal["refuses", "opens", "hides"]
    ask: Callable[[Case], bool | Expression]

    @property
    def number(self) -> str:
        """`A7`."""
        return self.ask.__name__.partition("_")[0].upper()


READING = (
    Rule(OTHERS, "refuses", a1_space_is_not_open),
    Rule(PERSON, "refuses", a4_caregiver_is_not_in_force),
    Rule(PERSON, "refuses", a4_represents_no_longer),
    Rule(OTHERS, "refuses", a5_is_blocked),
    Rule(PROFESSIONAL, "refuses", a10_emergency_is_refused),
    Rule(PROFESSIONAL, "refuses", a11_regulation_is_refused),
    Rule(PERSON, "opens", a2_holder),
    Rule(PROFESSIONAL, "opens", a6_permit),
    Rule(OTHERS, "opens", a8_own_deposits),
    Rule(PROFESSIONAL, "opens", a8_addressed),
    Rule(PROFESSIONAL, "opens", a10_emergency),
    Rule(PROFESSIONAL, "opens", a17_treating_doctor_reads_the_accesses),
    Rule(PERSON, "hides", a2_not_announced),
    Rule(PERSON, "hides", a4_kept_from_representatives),
    Rule(OTHERS, "hides", a7_masked),
    Rule(PROFESSIONAL, "hides", a10_another_patients),
    Rule(PROFESSIONAL, "hides", a15_not_secret),
)
_WRITING = (
    Rule(EVERYONE, "refuses", a1_space_is_not_open),
    Rule(PERSON, "refuses", a4_caregiver_is_not_in_force),
    Rule(PERSON, "refuses", a4_represents_no_longer),
    Rule(OTHERS, "refuses", a5_is_blocked),
    Rule(OTHERS, "refuses", a10_emergency_writes_nothing),
    Rule(PERSON, "hides", a4_choices_are_the_holders),
    Rule(PROFESSIONAL, "hides", a15_not_secret),
)
DEPOSITING = (
    *_WRITING,
    Rule(PERSON, "opens", a2_holder),
    Rule(OTHERS, "opens", a8_deposits),
)
_CHANGING = (
    *_WRITING,
    Rule(OTHERS, "opens", a9_depositor_changes),
    Rule(PERSON, "hides", a2_not_announced),
    Rule(PERSON, "hides", a4_kept_from_representatives),
)
UPDATING = (*_CHANGING, Rule(PERSON, "opens", a3_holder_changes))
PATCHING = (
    *UPDATING,
    Rule(PERSON, "opens", a3_holder_masks),
    Rule(PROFESSIONAL, "opens", a2_professional_announces),
)
DELETING = (*_CHANGING, Rule(PERSON, "opens", a3_holder_deletes))

#: The rules of each interaction.
TABLE: dict[str, tuple[Rule, ...]] = {
    "create": DEPOSITING,
    "update": UPDATING,
    "patch": PATCHING,
    "delete": DELETING,
}


@dataclass(frozen=True)
class Verdict:
    """What a rule said: for who wants to know why."""

    rule: Rule
    said: bool | Expression


def verdicts(case: Case, interaction: str) -> tuple[Verdict, ...]:
    """What each rule says that is asked of such an actor, those aside that say nothing."""
    asked = (rule for rule in TABLE.get(interaction, READING) if case.actor.kind in rule.kinds)
    said = (Verdict(rule, rule.ask(case)) for rule in asked)
    return tuple(one for one in said if one.said is not False and one.said != NOTHING)


def in_record(case: Case, interaction: str) -> Expression:
    """Which resources of the type in the record the actor may reach by the interaction."""
    said = verdicts(case, interaction)
    if any(one.rule.effect == "refuses" for one in said):
        return NOTHING
    opened = [one.said for one in said if one.rule.effect == "opens" and not isinstance(one.said, bool)]
    hidden = [one.said for one in said if one.rule.effect == "hides" and not isinstance(one.said, bool)]
    return all_of(any_of(*opened), none_of(any_of(*hidden)))
