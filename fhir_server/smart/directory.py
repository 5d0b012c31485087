"""What the pages of professionals ask of the record in the server's own name, and the record of their asking.

Nothing of it leaves the server but what the pages say: who the directory knows, and the one patient who was named.
R4: auditevent.html; DMP TD0.2
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal
from urllib.parse import urlencode

from fhir_server import audit
from fhir_server.access import Actor
from fhir_server.access import scopes as smart_scopes
from fhir_server.access.rules import Case, a5_is_blocked
from fhir_server.audit import Trail
from fhir_server.fhir import json
from fhir_server.repository import Repository, Surroundings
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
