"""What the authorization server has done, in the same record as every access: who came in, who was let do what.

IHE BALP: "Basic Audit", s. 3:5.7.5; R4: auditevent.html
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from flask import has_request_context, request

from fhir_server import audit
from fhir_server.access import Actor
from fhir_server.accounts.accounts import network
from fhir_server.accounts.rates import Rate, Rates
from fhir_server.audit import Record, Recorder, Trail
from fhir_server.smart.subject import Subject
from fhir_server.storage.ledger import LEAVES
from fhir_server.storage.store import Unit

#: How many refusals of nobody in particular are recorded of one address: what is recorded stays.
REFUSED = Rate("refused", 1200, timedelta(hours=1))
TOLD = Rate("refused-told", 1, timedelta(hours=1))
MORE = "There were too many refusals from this address: more of them in this hour are not recorded."


@dataclass(frozen=True)
class Strangers:
    """What is recorded of those whom nobody knows: enough to see what goes on, and no more than the store can hold."""

    rates: Rates

    def said(self, address: str | None, description: str | None) -> str | None:
        """What is to be recorded of a refusal: `description`, once that there are more, and then nothing."""
        where = network(address or "")
        if self.rates.hit(REFUSED, where):
            return description or ""
        return MORE if self.rates.hit(TOLD, where) else None


@dataclass(frozen=True)
class Recording:
    """
    Records what happened, durably, before it returns.

    strangers: None where none can come.
    """

    recorder: Recorder
    new_id: Callable[[], str]
    clock: Callable[[], datetime]
    strangers: Strangers | None = None

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
        if self.strangers and refused and actor is None and subject is None and has_request_context():
            said = self.strangers.said(request.remote_addr, description)
            if said is None:
                return
            description = said or None
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
