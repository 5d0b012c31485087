"""Why somebody would see a part of a record, or not: the same rules that `decide` goes by, asked for their reasons.

A reason is the number of a rule and the name of a sentence; `operations/catalogues` has the sentences.  Nothing is
decided here: `rules.verdicts` says which rule refuses, opens or hides, and this says in which words.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from fhir_server.access.choices import EVERYBODY, Permit
from fhir_server.access.rules import Case, Verdict, verdicts
from fhir_server.access.sections import ORDINARY, Section, sections_of
from fhir_server.search.expression import Entry, Expression, any_of
from fhir_server.search.matcher import matches

#: The sentence of a rule that refuses the whole record.
_REFUSED = {
    "a1_space_is_not_open": "space-not-open",
    "a5_is_blocked": "blocked",
    "a10_emergency_is_refused": "emergency-opposed",
    "a11_regulation_is_refused": "regulation-opposed",
}
#: The sentence of a rule that opens something, whatever the sections.
_OPENS = {
    "a8_own_deposits": "own-deposit",
    "a8_addressed": "addressed",
    "a17_treating_doctor_reads_the_accesses": "treating-doctor-accesses",
}
#: The sentence of a rule that hides something from a professional.
HIDES = {"a7_masked": "masked", "a10_another_patients": "another-patients", "a15_not_secret": "not-secret"}


@dataclass(frozen=True)
class Reason:
    """
    A rule, `A7`, and the name of the sentence that says what it did.

    to, until: of a permit, whom it names and when it ends.
    """

    rule: str
    sentence: str
    to: str | None = None
    until: datetime | None = None


def refusals(case: Case) -> tuple[Reason, ...]:
    """Why nothing at all of the record is seen; none if something may be."""
    refused = [one for one in verdicts(case, "read") if one.rule.effect == "refuses"]
    return tuple(_refusal(case, one) for one in refused)


def of_section(case: Case, section: Section) -> tuple[bool, tuple[Reason, ...]]:
    """
    Whether a permit, or the emergency, opens the section to the actor, and why or why not.

    case: of one of the section's types.  Single resources of it may be hidden nevertheless, or seen as own deposits.
    """
    refused = refusals(case)
    if refused:
        return False, refused
    if section.code not in case.opened:
        return False, (_not_opened(case),)
    row = case.row
    if row is None or (row.sections is not None and section.code not in row.sections):
        return False, (Reason("A6", "profession-consults-nothing" if row is None else "profession-not-section"),)
    opened = (_opened(case, section.code),)
    # Whether documents stand in the section, and the matrix leaves some of them out.
    if any(part.type == "DocumentReference" for part in section.parts) and row.documents:
        return True, (*opened, Reason("A6", "profession-documents"))
    return True, opened


def of_resource(case: Case, entry: Entry) -> tuple[Reason, ...]:
    """Why the actor would see the resource with this index entry, or why not: the rules that have a say in it."""
    refused = refusals(case)
    if refused:
        return refused
    said = [
        one
        for one in verdicts(case, "read")
        if one.rule.effect != "refuses" and not isinstance(one.said, bool) and matches(one.said, entry)
    ]
    hiding = [Reason(one.rule.number, HIDES[one.rule.ask.__name__]) for one in said if one.rule.effect == "hides"]
    opening = [one for one in said if one.rule.effect == "opens"]
    found = [section for section in sections_of(case.type) if matches(in_section(case, section), entry)]
    if opening and not hiding:
        return tuple(dict.fromkeys(_opening(case, one, found) for one in opening))
    closed = [] if opening else [reason for section in found for reason in _closed(case, section)]
    return tuple(dict.fromkeys(hiding + closed)) or (_not_opened(case),)


def in_section(case: Case, section: Section) -> Expression:
    """What of the case's type stands in the section."""
    parts = (part for part in section.parts if part.type == case.type)
    return any_of(*(case.constrain(case.type, part.constraints) for part in parts))


def hidden(case: Case) -> tuple[tuple[Reason, Expression], ...]:
    """What is hidden of the type though it is opened: the reason, and which resources it holds for."""
    return tuple(
        (Reason(one.rule.number, HIDES[one.rule.ask.__name__]), one.said)
        for one in verdicts(case, "read")
        if one.rule.effect == "hides" and not isinstance(one.said, bool)
    )


def opened_beside(case: Case) -> tuple[tuple[Reason, Expression], ...]:
    """What is opened of the type whatever its section: the reason, and which resources it holds for."""
    return tuple(
        (Reason(one.rule.number, _OPENS[one.rule.ask.__name__]), one.said)
        for one in verdicts(case, "read")
        if one.rule.ask.__name__ in _OPENS and not isinstance(one.said, bool)
    )


def about(case: Case) -> tuple[Reason, ...]:
    """What holds for the actor in the whole record: how it is open, and what of it is masked.  case: of documents."""
    refused = refusals(case)
    if refused:
        return refused
    found: list[Reason] = []
    if case.actor.mode != "normal":
        found.append(Reason(_number(case), "emergency" if _number(case) == "A10" else "regulation"))
    elif case.permits:
        found += [_by(case, permit) for permit in case.permits if not permit.administrator]
    else:
        found.append(Reason("A6", "no-permit"))
    if case.row is None:
        found.append(Reason("A6", "profession-consults-nothing"))
    masks = any(reason.rule == "A7" for reason, _ in hidden(case))
    found.append(Reason("A7", "masks-hide" if masks else _sees_masked(case)))
    found.append(Reason("A8", "own-deposits-stay"))
    return tuple(found)


def _closed(case: Case, section: Section) -> tuple[Reason, ...]:
    """Why what stands in the section is not opened."""
    is_open, reasons = of_section(case, section)
    if not is_open:
        return reasons
    return tuple(one for one in reasons if one.sentence == "profession-documents")


def _opening(case: Case, verdict: Verdict, found: list[Section]) -> Reason:
    sentence = _OPENS.get(verdict.rule.ask.__name__)
    if sentence:
        return Reason(verdict.rule.number, sentence)
    code = next((section.code for section in found if section.code in case.opened), None)
    return _opened(case, code) if code else Reason(verdict.rule.number, "permit")


def _opened(case: Case, code: str) -> Reason:
    if case.actor.mode != "normal":
        added = code in case.choices.emergency_sections
        return Reason(_number(case), "emergency-added" if added else "emergency-section")
    covering = [one for one in case.permits if code in (one.sections or ORDINARY)]
    # The one that lasts longest is the one that answers for it; who is named before those that come with a structure.
    covering.sort(key=lambda one: (one.end is not None, -(one.end.timestamp() if one.end else 0), _rank(case, one)))
    return _by(case, covering[0])


def _by(case: Case, permit: Permit) -> Reason:
    """The reason that a permit is."""
    sentence = ("permit", "permit-structure", "permit-team")[_rank(case, permit)]
    if permit.declared_by or permit.collection:
        sentence = "permit-declared"
    if permit.administrator:
        sentence = "permit-administrator"
    return Reason("A6", sentence, permit.to, permit.end)


def _rank(case: Case, permit: Permit) -> int:
    """0 for the person, 1 for the structure, 2 for a care team."""
    if permit.to.startswith("CareTeam/"):
        return 2
    return 1 if permit.to == case.actor.organization else 0


def _not_opened(case: Case) -> Reason:
    if case.actor.mode != "normal":
        return Reason(_number(case), "emergency-not-section")
    return Reason("A6", "permit-not-section" if case.permits else "no-permit")


def _sees_masked(case: Case) -> str:
    if case.actor.mode != "normal":
        return "masked-in-emergency"
    return "masked-treating-doctor" if case.is_treating_doctor else "masked-administrator"


def _refusal(case: Case, verdict: Verdict) -> Reason:
    sentence = _REFUSED[verdict.rule.ask.__name__]
    if sentence == "blocked" and all(block.to == EVERYBODY for block in case.choices.blocks):
        sentence = "blocked-everybody"
    opposed = {"emergency-opposed": case.choices.btg, "regulation-opposed": case.choices.etreat}
    if opposed.get(sentence):
        sentence = "no-right"
    return Reason(verdict.rule.number, sentence)


def _number(case: Case) -> str:
    return "A10" if case.actor.mode == "bris_de_glace" else "A11"
