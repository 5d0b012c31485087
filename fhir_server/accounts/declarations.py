"""A professional declares that a patient has agreed: the patient is told in the same step, and can end it.

rule A6; CSP R1111-46
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fhir_server.access import Actor, consents
from fhir_server.accounts import words as letters
from fhir_server.accounts.accounts import Accounts
from fhir_server.accounts.outbox import Outbox
from fhir_server.fhir import json
from fhir_server.storage.documents import Stored
from fhir_server.storage.store import Unit


@dataclass(frozen=True)
class Declarations:
    """Tells those who open the record; page: where a permit is ended."""

    accounts: Accounts
    outbox: Outbox
    page: str

    def __call__(self, unit: Unit, written: Sequence[Stored], actor: Actor) -> None:
        """Put a notice of each permit that this professional declares into the transaction."""
        if actor.kind != "professional":
            return
        for stored in written:
            if stored.type != "Consent" or stored.body is None:
                continue
            consent = json.parse(stored.body)
            how = consents.collection(consent)
            if consent.get("status") == "active" and consents.is_choice(consent) and how:
                self._tell(unit, str(stored.entry.get("owner")), consent, how, actor)

    def _tell(self, unit: Unit, patient: str, consent: dict[str, Any], how: str, actor: Actor) -> None:
        for account in self.accounts.holders(patient):
            profile = next(one for one in account.profiles if one.patient == patient)
            if profile.relation == "caregiver" or "email" not in account.channels:
                continue
            title, text = letters.say(
                "declared_permit",
                account.language,
                name=account.name,
                who=actor.name,
                record=profile.display,
                how=letters.say(f"collected_{how.replace('-', '_')}", account.language)[0],
                day=str(consent.get("dateTime", ""))[:10],
                url=f"{self.page}?patient={patient}",
            )
            self.outbox.put("email", account.destination("email"), title, text, session=unit.session)
