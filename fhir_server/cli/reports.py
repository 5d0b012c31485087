"""`fhir-server reports`: the accesses that people do not recognise.  What came of each is audited."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fhir_server import app
from fhir_server.access import Actor
from fhir_server.accounts.reports import Reports
from fhir_server.cli import review
from fhir_server.config import Settings
from fhir_server.repository import Surroundings
from fhir_server.smart.recording import Recording

_COMMAND = review.Command(
    name="reports",
    help="review accesses that people do not recognise",
    description=__doc__,
    of_all="list all of them",
    columns=("id", "reported", "access", "day", "patient", "text", "review"),
    nothing="No report waits to be looked at.",
)


def add_to(commands: Any) -> None:
    """Add the subcommand."""
    _COMMAND.add_to(commands, _opened)


@dataclass(frozen=True)
class _Queue:
    reports: Reports
    record: Recording

    def rows(self, *, everything: bool) -> list[tuple[str, ...]]:
        return [
            (
                one["_id"],
                one["at"].isoformat(timespec="seconds"),
                f"AuditEvent/{one['event']}",
                one["day"],
                f"Patient/{one['patient']}",
                " ".join(one["text"].split()),
                review.outcome(one["review"]),
            )
            for one in self.reports.due(everything=everything)
        ]

    def review(self, id: str, *, by: str, note: str) -> None:
        found = self.reports.review(id, by=by, note=note)
        reviewer = Actor("operator", by, ())
        self.record("report-review", actor=reviewer, patient=found["patient"], description=f"report {found['_id']}")


def _opened(around: Surroundings, settings: Settings) -> _Queue:
    return _Queue(app.reports_of(around.store.database, settings), Recording(around.recorder, app.new_id, app.now))
