"""Tells people of what professionals wanted to tell them first: after two weeks that it is there, then that it is seen.

The letter says neither what it is nor who deposited it: it is read on a telephone that others see, and two weeks after
the deposit it is still a professional's to announce.  CSP R1111-53
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from pymongo.database import Database

from fhir_server.accounts.account import Account, Profile
from fhir_server.accounts.accounts import Accounts
from fhir_server.accounts.outbox import Outbox
from fhir_server.accounts.words import say
from fhir_server.storage import announcements
from fhir_server.storage.announcements import Waiting

#: Whoever acts for a child is told as the child would be; a caregiver is not.
_TOLD = ("self", "legal-representative")


@dataclass(frozen=True)
class Announcing:
    """Writes the letters of one server."""

    database: Database
    accounts: Accounts
    outbox: Outbox
    clock: Callable[[], datetime]
    url: str

    def run(self) -> int:
        """
        Write to whom something is to be told now, once for all of it; to how many.

        Done again, or by two at once, it tells nobody twice: a letter about the same has the same id.
        """
        letters = 0
        while waiting := announcements.due(self.database, self.clock()):
            for (patient, private, fallen), those in _together(waiting).items():
                for account, profile in self._readers(patient, private=private):
                    self._write(account, profile, those, fallen=fallen)
                    letters += 1
            announcements.told(self.database, waiting)
        return letters

    def _readers(self, patient: str, *, private: bool) -> Iterable[tuple[Account, Profile]]:
        """Who is told: the holder, and who acts for the holder, unless it is kept from them."""
        for account in self.accounts.holders(patient):
            profile = next(one for one in account.profiles if one.patient == patient)
            if profile.relation in _TOLD and (profile.relation == "self" or not private) and account.email:
                yield account, profile

    def _write(self, account: Account, profile: Profile, about: list[str], *, fallen: bool) -> None:
        subject, text = say(
            "visible_now" if fallen else "to_be_announced",
            account.language,
            name=account.name,
            record=profile.display,
            url=self.url,
        )
        said = "\0".join((account.id, str(fallen), *about))
        id = hashlib.sha256(said.encode()).hexdigest()
        self.outbox.put("email", account.destination("email"), subject, text, id=id)


def _together(waiting: Iterable[Waiting]) -> dict[tuple[str, bool, bool], list[str]]:
    """What is told in one letter: (patient, kept from representatives, visible by now) → the references."""
    found: dict[tuple[str, bool, bool], list[str]] = {}
    for one in waiting:
        for patient in one.patients:
            found.setdefault((patient, one.private, one.fallen), []).append(one.reference)
    return {key: sorted(references) for key, references in found.items()}
