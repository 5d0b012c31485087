"""Whether a record may be opened in an emergency, and the reasons there are: rule A10, A11; CSP L1111-17 I.

What stands against it is the professional's own affair (no right to the mode) or the record's (closed, opposed, a
block).  Which of the latter it is nobody is told: a refusal must not say what the holder has chosen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Literal

from fhir_server.access.actor import Actor, Mode
from fhir_server.access.matrix import Matrix
from fhir_server.access.rules import (
    Case,
    a1_space_is_not_open,
    a5_is_blocked,
    a10_emergency_is_refused,
    a11_regulation_is_refused,
)
from fhir_server.config import carried
from fhir_server.fhir import json

SYSTEM = "https://fhir-server.example/CodeSystem/emergency-reason"
EMERGENCIES: tuple[Mode, ...] = ("bris_de_glace", "centre_15")
#: A reason is more than a keystroke, and fits on a line of the history; so many characters of the text are letters.
LETTERS_AT_LEAST, LONGEST = 3, 500

#: `right`: the mode is not for this professional.  `record`: it cannot be opened so.
Refusal = Literal["right", "record"]


@dataclass(frozen=True)
class Reason:
    """Why a record is opened: a code of SYSTEM, and what it is called in each language."""

    code: str
    display: Mapping[str, str]


def has_right(actor: Actor, matrix: Matrix) -> bool:
    """
    Whether the mode is for this professional: *bris de glace* for a profession that consults documents at all, Centre
    15 for who regulates calls, as the identity provider says it.
    """
    if actor.kind != "professional" or not actor.practitioner or matrix.row(actor.profession, actor.specialty) is None:
        return False
    return actor.mode == "bris_de_glace" or (actor.mode == "centre_15" and actor.regulator)


def refusal(case: Case) -> Refusal | None:
    """Why the actor may not open this record in the mode that the actor has; None if that is open."""
    if not has_right(case.actor, case.matrix):
        return "right"
    against = (a1_space_is_not_open, a5_is_blocked, a10_emergency_is_refused, a11_regulation_is_refused)
    return "record" if any(rule(case) for rule in against) else None


def stated(mode: Mode, code: str, text: str) -> str | None:
    """
    The reason as the record of accesses has it; None unless it has a code of the mode and words of the professional.

    >>> stated("bris_de_glace", "life-threat", " Hémorragie, arrivée aux urgences ")
    'Menace immédiate pour la vie : Hémorragie, arrivée aux urgences'
    """
    known = next((one for one in reasons(mode) if one.code == code), None)
    words = " ".join(text.split())
    if known is None or sum(character.isalpha() for character in words) < LETTERS_AT_LEAST:
        return None
    return f"{known.display['fr']} : {words[:LONGEST]}"


@cache
def reasons(mode: Mode) -> tuple[Reason, ...]:
    """The reasons for a mode, as the code system and the value set of that mode have them."""
    home = carried("terminologies")
    system = json.parse((home / "code-systems" / "emergency-reason.json").read_bytes())
    name = f"emergency-reason-{mode.replace('_', '-')}"
    (included,) = json.parse((home / "value-sets" / f"{name}.json").read_bytes())["compose"]["include"]
    codes = {one["code"] for one in included["concept"]}
    return tuple(
        Reason(
            one["code"],
            MappingProxyType({"fr": one["display"], **{n["language"]: n["value"] for n in one["designation"]}}),
        )
        for one in system["concept"]
        if one["code"] in codes
    )
