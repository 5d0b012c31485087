"""What the pages of professionals ask of the record in the server's own name, and the record of their asking.

Nothing of it leaves the server but what the pages say: who the directory knows, and the one patient who was named.
R4: auditevent.html; DMP TD0.2
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal
from urllib.parse import urlencode

from fhir_server import audit
from fhir_server.access import Actor
from fhir_server.access import scopes as smart_scopes
from fhir_server.access.rules import Case, a5_is_blocked
from fhir_server.audit import Trail
from fhir_server.fhir import json
from fhir_server.repository import Repository, Surroundings
from fhir_server.smart.emergency_notices import called
from fhir_server.smart.professionals import Pairs
from fhir_server.smart.subject import Subject
from fhir_server.storage import choices

#: Who looks: this server, at what it needs to tell who somebody is.
_SERVER = Actor(
    kind="operator",
    name="fhir-server",
    scopes=smart_scopes.parse(
        "system/Practitioner.rs system/PractitionerRole.rs system/Organization.rs system/Patient.rs"
    ),
)
#: What is known, before any access, of what a professional may do in a record.
Access = Literal["authorised", "unauthorised"]
#: The function of who regulates the calls of a SAMU.  TRE_R85
_REGULATOR = "FON-32"
#: More than this are not looked through: who is meant has to be said more exactly.
MOST = 50


class Directory:
    """The record of one server, as its pages of professionals use it."""

    def __init__(self, around: Surroundings):
        self._around = around

    def find(self, type: str, pairs: Pairs) -> Sequence[Mapping[str, Any]]:
        """Up to MOST resources of the type that a search finds.  What comes of it is recorded with `record`."""
        repository = Repository(self._around, _SERVER, Trail("search-type", "GET", type))
        where = self._around.reader().expression(type, pairs)
        found = repository.search(type, where, limit=MOST, served=False)
        return [json.parse(stored.body or b"") for stored in found]

    def professional(self, practitioner: str) -> Actor | None:
        """
        The professional of this id as the directory alone has it, for the command line; None if there is none.

        Who regulates calls is what an active role says there: the function FON-32 of TRE_R85.
        """
        found = self.find("Practitioner", (("_id", practitioner),))
        if len(found) != 1 or found[0].get("active") is False:
            return None
        held = [one.get("code", {}) for one in found[0].get("qualification", ())]
        roles = self.find("PractitionerRole", (("practitioner", f"Practitioner/{practitioner}"),))
        active = [role for role in roles if role.get("active") is not False]
        codes = [code for role in active for code in role.get("code", ())]
        role = active[0] if len(active) == 1 else {}
        organization = role.get("organization", {}).get("reference")
        return Actor(
            kind="professional",
            name=called(found[0]),
            scopes=(),
            practitioner=practitioner,
            role=f"PractitionerRole/{role['id']}" if role else None,
            organization=organization,
            profession=_code(held + codes, "TRE-G15-ProfessionSante"),
            specialty=_code(held + [one for each in active for one in each.get("specialty", ())], "TRE-R38-"),
            regulator=any(coding.get("code") == _REGULATOR for one in codes for coding in one.get("coding", ())),
        )

    def access(self, subject: Subject, patient: str) -> Access:
        """Whether a permit of this patient lets the professional read, outside emergencies.  DMP TD0.2"""
        around = self._around
        now = around.clock()
        (said,) = choices.of_patients(around.store, {patient})
        actor = _actor(subject)
        case = Case(actor, said.in_force(now), "Patient", now, around.constraint, around.matrix)
        covered = around.matrix.row(subject.profession, subject.specialty)
        if covered is None or not case.permits or a5_is_blocked(case):
            return "unauthorised"
        return "authorised"

    def record_lookup(
        self, subject: Subject, asked: Mapping[str, str], *, address: str | None, patient: str | None, answer: str
    ) -> None:
        """Record that a professional looked for a patient by these traits, and what the answer was."""
        trail = Trail("search-type", "POST", "/Patient/_search", urlencode(asked), address=address)
        around = self._around
        event = audit.event(
            trail,
            _actor(subject),
            id=around.new_id(),
            now=around.clock(),
            interaction=trail.interaction,
            versions={},
            patient=patient,
            outcome=audit.SUCCESS if patient else audit.REFUSED,
            description=f"patient lookup: {answer}",
        )
        around.recorder.record(event)


def _code(concepts: Iterable[Mapping[str, Any]], system: str) -> str | None:
    """The first code of the system whose address ends with, or goes on after, this name."""
    codings = (coding for one in concepts for coding in one.get("coding", ()))
    return next((str(one["code"]) for one in codings if system in one.get("system", "")), None)


def _actor(subject: Subject) -> Actor:
    """The professional, as the record of accesses names an actor."""
    return Actor(
        kind="professional",
        name=subject.name,
        scopes=(),
        practitioner=subject.practitioner,
        role=subject.role,
        organization=subject.organization,
        profession=subject.profession,
        specialty=subject.specialty,
        regulator=subject.regulator,
    )
