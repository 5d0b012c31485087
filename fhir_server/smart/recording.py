"""What the authorization server has done, in the same record as every access: who came in, who was let do what.

IHE BALP: "Basic Audit", s. 3:5.7.5; R4: auditevent.html
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from flask import has_request_context, request

from fhir_server import audit
from fhir_server.access import Actor
from fhir_server.audit import Record, Recorder, Trail
from fhir_server.smart.subject import Subject
from fhir_server.storage.ledger import LEAVES
from fhir_server.storage.store import Unit


@dataclass(frozen=True)
class Recording:
    """Records what happened, durably, before it returns."""

    recorder: Recorder
    new_id: Callable[[], str]
    clock: Callable[[], datetime]

    def __call__(
        self,
        interaction: str,
        *,
        actor: Actor | None = None,
        subject: Subject | None = None,
        client_id: str | None = None,
        patient: str | None = None,
        description: str | None = None,
        refused: bool = False,
    ) -> None:
        """
        Record the interaction of `actor`, or of who is signed in.

        interaction: login, logout, token, grant, refusal, withdrawal, reuse.  patient: id of whose record it is about.
        """
        self.recorder.record(
            self._event(
                interaction,
                actor=actor,
                subject=subject,
                client_id=client_id,
                patient=patient,
                description=description,
                refused=refused,
            )
        )

    def within(
        self, unit: Unit, interaction: str, *, actor: Actor, patient: str | None = None, description: str | None = None
    ) -> None:
        """Record the interaction as a part of a transaction: it is recorded if that happens, and only then."""
        event = self._event(interaction, actor=actor, patient=patient, description=description)
        unit.insert(LEAVES, self.recorder.leaf(event))

    def _event(
        self,
        interaction: str,
        *,
        actor: Actor | None,
        subject: Subject | None = None,
        client_id: str | None = None,
        patient: str | None,
        description: str | None,
        refused: bool = False,
    ) -> Record:
        if actor is None and subject is not None:
            actor = Actor(
                kind=subject.kind,
                name=subject.name,
                scopes=(),
                practitioner=subject.practitioner,
                role=subject.role,
                organization=subject.organization,
                client_id=client_id,
            )
        trail = Trail(interaction, "CLI", "")
        if has_request_context():
            trail = Trail(interaction, request.method, request.path, "", request.remote_addr)
        return audit.event(
            trail,
            actor,
            id=self.new_id(),
            now=self.clock(),
            interaction=interaction,
            versions={},
            patient=patient,
            outcome=audit.REFUSED if refused else audit.SUCCESS,
            description=description,
        )
