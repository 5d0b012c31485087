"""`fhir-server emergency`: the emergency accesses that somebody has to look at.  What came of it is audited."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fhir_server import app
from fhir_server.accounts import kept as accounts
from fhir_server.cli import review
from fhir_server.config import Settings
from fhir_server.repository import Surroundings
from fhir_server.smart.emergencies import Emergencies

_COMMAND = review.Command(
    name="emergency",
    help="review emergency accesses",
    description=__doc__,
    of_all="list all emergency accesses, the latest first",
    columns=("id", "started", "mode", "professional", "patient", "signs", "review"),
    nothing="No emergency access waits to be looked at.",
)


def add_to(commands: Any) -> None:
    """Add the subcommand."""
    _COMMAND.add_to(commands, _opened)


@dataclass(frozen=True)
class _Queue:
    emergencies: Emergencies

    def rows(self, *, everything: bool) -> list[tuple[str, ...]]:
        return [
            (
                access.id,
                access.started_at.isoformat(timespec="seconds"),
                access.actor.mode,
                f"Practitioner/{access.actor.practitioner}",
                f"Patient/{access.patient}",
                " ".join(access.signs),
                review.outcome(access.review) if access.review else "",
            )
            for access in self.emergencies.queue(everything=everything)
        ]

    def review(self, id: str, *, by: str, note: str) -> None:
        self.emergencies.review(id, by=by, note=note)


def _opened(around: Surroundings, settings: Settings) -> _Queue:
    people = accounts.kept(around.store.database, settings, clock=app.now)
    return _Queue(app.emergencies_of(around, settings, people))
