"""What one patient chose about who sees the record, as one value: what every decision about a professional rests on.

`consents.py` makes it of the Consents, the CareTeams and the Patient; `storage/choices.py` keeps it, a document for
each patient.  Each statement carries its period, and `in_force` leaves out what is not in force: nothing has to run for
a permit to expire.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Any, Literal, Protocol, TypeVar

Space = Literal["open", "not-activated", "opposed", "closed"]
#: The spaces that are read and fed: one that is not activated yet is, by law, open.  CSP L1111-13-1
OPEN_SPACES = frozenset({"open", "not-activated"})
Emergency = Literal["BTG", "ETREAT", "MASKED"]
#: What is allowed where the holder has said nothing.
ALLOWED_UNSAID: dict[Emergency, bool] = {"BTG": True, "ETREAT": True, "MASKED": False}
#: Everybody: what a statement that cannot be evaluated, and denies, is about.
EVERYBODY = "*"


class _Dated(Protocol):
    @property
    def start(self) -> datetime | None: ...
    @property
    def end(self) -> datetime | None: ...


_D = TypeVar("_D", bound=_Dated)


@dataclass(frozen=True)
class Permit:
    """
    Who may read.

    to              `Practitioner/…`, `PractitionerRole/…`, `Organization/…`, or `CareTeam/…` for its members
    sections        codes of sections; None for those that are open to professionals.  access/sections.py
    start, end      from when and until when, half open; None for no bound
    administrator   also what is masked, and may manage who else gets in
    declared_by     the professional who collected the patient's consent, if it is not the patient who says it
    collection      how it was collected
    """

    to: str
    sections: frozenset[str] | None = None
    start: datetime | None = None
    end: datetime | None = None
    administrator: bool = False
    declared_by: str | None = None
    collection: str | None = None


@dataclass(frozen=True)
class Block:
    """Who sees and deposits nothing."""

    to: str
    start: datetime | None = None
    end: datetime | None = None


@dataclass(frozen=True)
class Member:
    """Who is in a care team, or a caregiver, or no longer acts for the patient (`team` is None), and when."""

    reference: str
    team: str | None = None
    start: datetime | None = None
    end: datetime | None = None


@dataclass(frozen=True)
class InEmergency:
    """What the holder said of an emergency mode, or of masked documents in one; `sections` are opened besides."""

    kind: Emergency
    allowed: bool
    sections: frozenset[str] = frozenset()
    start: datetime | None = None
    end: datetime | None = None


@dataclass(frozen=True)
class Choices:
    """The choices of a patient; of one of whom nothing is known, those that the law supposes."""

    patient: str
    space: Space = "open"
    permits: tuple[Permit, ...] = ()
    blocks: tuple[Block, ...] = ()
    emergencies: tuple[InEmergency, ...] = ()
    care_team: tuple[Member, ...] = ()
    caregivers: tuple[Member, ...] = ()
    former: tuple[Member, ...] = ()
    treating_doctor: str | None = None
    masked_by_default: bool = False
    birth_date: str | None = None

    def in_force(self, now: datetime) -> Choices:
        """The same, without what does not hold at this time."""
        said = self.permits, self.blocks, self.emergencies, self.care_team, self.caregivers, self.former
        if not any(said):
            return self
        return replace(
            self,
            permits=_holding(self.permits, now),
            blocks=_holding(self.blocks, now),
            emergencies=_holding(self.emergencies, now),
            care_team=_holding(self.care_team, now),
            caregivers=_holding(self.caregivers, now),
            former=_holding(self.former, now),
        )

    @property
    def is_open(self) -> bool:
        """Whether the space is read and fed."""
        return self.space in OPEN_SPACES

    @property
    def btg(self) -> bool:
        """Whether *bris de glace* is allowed."""
        return self.allows("BTG")

    @property
    def etreat(self) -> bool:
        """Whether a SAMU-Centre 15 may read."""
        return self.allows("ETREAT")

    @property
    def masked(self) -> bool:
        """Whether what is masked is seen in an emergency."""
        return self.allows("MASKED")

    def allows(self, kind: Emergency) -> bool:
        """What was said of it, of what is in force; one that denies goes before those that permit."""
        said = [one.allowed for one in self.emergencies if one.kind == kind]
        return all(said) if said else ALLOWED_UNSAID[kind]

    @cached_property
    def emergency_sections(self) -> frozenset[str]:
        """The sections that are opened in an emergency beside those that always are."""
        return frozenset(code for one in self.emergencies if one.allowed for code in one.sections)

    @cached_property
    def concerns(self) -> frozenset[str]:
        """Everybody whom a statement is about, be it in force or not: who has to be told of these choices."""
        members: dict[str, list[str]] = {}
        for one in self.care_team:
            members.setdefault(one.team or "", []).append(one.reference)
        named = [permit.to for permit in self.permits] + [block.to for block in self.blocks]
        found = {reference for to in named for reference in (to, *members.get(to, ()))}
        return frozenset(found | ({self.treating_doctor} if self.treating_doctor else set()))


def _holding(statements: tuple[_D, ...], now: datetime) -> tuple[_D, ...]:
    return tuple(
        one for one in statements if (one.start is None or one.start <= now) and (one.end is None or now < one.end)
    )


def document(choices: Choices) -> dict[str, Any]:
    """
    The choices as they are kept.

    _id, space, permits, blocks, emergencies, care_team, caregivers, former, treating_doctor, masked_by_default,
    birth_date
              the fields of `Choices`; of each statement those that say something
    concerns  the references of whom they are about, to find them by
    """
    return {
        "_id": choices.patient,
        "space": choices.space,
        "permits": [_kept(one) for one in choices.permits],
        "blocks": [_kept(one) for one in choices.blocks],
        "emergencies": [_kept(one) for one in choices.emergencies],
        "care_team": [_kept(one) for one in choices.care_team],
        "caregivers": [_kept(one) for one in choices.caregivers],
        "former": [_kept(one) for one in choices.former],
        "treating_doctor": choices.treating_doctor,
        "masked_by_default": choices.masked_by_default,
        "birth_date": choices.birth_date,
        "concerns": sorted(choices.concerns),
    }


def read(kept: dict[str, Any]) -> Choices:
    """The choices that a document holds."""
    return Choices(
        patient=kept["_id"],
        space=kept["space"],
        permits=tuple(Permit(**_read(one)) for one in kept["permits"]),
        blocks=tuple(Block(**one) for one in kept["blocks"]),
        emergencies=tuple(InEmergency(**_read(one)) for one in kept["emergencies"]),
        care_team=tuple(Member(**one) for one in kept["care_team"]),
        caregivers=tuple(Member(**one) for one in kept["caregivers"]),
        former=tuple(Member(**one) for one in kept.get("former", ())),
        treating_doctor=kept["treating_doctor"],
        masked_by_default=kept["masked_by_default"],
        birth_date=kept["birth_date"],
    )


def _kept(statement: Permit | Block | Member | InEmergency) -> dict[str, Any]:
    said = {name: value for name, value in vars(statement).items() if value is not None}
    return {name: sorted(value) if isinstance(value, frozenset) else value for name, value in said.items()}


def _read(kept: dict[str, Any]) -> dict[str, Any]:
    return kept | {"sections": frozenset(kept["sections"])} if "sections" in kept else kept
