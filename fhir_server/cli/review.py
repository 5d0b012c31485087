"""What somebody has to look at, as a subcommand: `list` shows what waits, `review` notes what came of one, once."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from rich.console import Console
from rich.table import Table

from fhir_server import app
from fhir_server.cli.arguments import add_data_dir, prepared
from fhir_server.cli.audit_key import with_audit_key
from fhir_server.config import Settings
from fhir_server.fhir.outcome import BadRequest
from fhir_server.repository import Surroundings


class Queue(Protocol):
    """What waits, and what was looked at."""

    def rows(self, *, everything: bool) -> list[tuple[str, ...]]:
        """A row of the table for each that waits, or for all."""

    def review(self, id: str, *, by: str, note: str) -> None:
        """Note what came of looking at one, which is audited.  Raises NotFound, Conflict."""


@dataclass(frozen=True)
class Command:
    """
    The words of a subcommand.

    of_all: what `list --all` shows.  columns: of the table.  nothing: what is said when it has no row.
    """

    name: str
    help: str
    description: str | None
    of_all: str
    columns: tuple[str, ...]
    nothing: str

    def add_to(self, commands: Any, opened: Callable[[Surroundings, Settings], Queue]) -> None:
        """Add it, with what it does in turn.  opened: the queue, of this database."""
        parser = commands.add_parser(self.name, help=self.help, description=self.description)
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
        shown = verbs.add_parser("list", help="list those that wait to be looked at", description="List them.")
        shown.add_argument("--all", action="store_true", help=self.of_all)
        looked = verbs.add_parser("review", help="note what came of looking at one", description="Note it, once.")
        looked.add_argument("id", metavar="ID", help="as `list` shows it")
        looked.add_argument("--by", required=True, metavar="NAME", help="who looked at it")
        looked.add_argument("--note", required=True, metavar="TEXT", help="what came of it")
        for verb, work in ((shown, self._list), (looked, _review)):
            add_data_dir(verb)
            verb.set_defaults(run=_run, work=work, opened=opened)

    def _list(self, arguments: argparse.Namespace, queue: Queue) -> None:
        found = queue.rows(everything=arguments.all)
        table = Table(*self.columns, box=None, pad_edge=False)
        for row in found:
            table.add_row(*row)
        console = Console(highlight=False, markup=False)
        if not console.is_terminal:
            console.width = 400
        console.print(table if found else self.nothing)


def outcome(review: Mapping[str, Any]) -> str:
    """What came of looking at one, as its row says it."""
    return f"{review['by']}: {review['note']}" if review["state"] == "done" else "due"


def _run(arguments: argparse.Namespace, settings: Settings) -> None:
    """Do what the verb says.  Raises BadRequest, NotFound, Conflict."""
    with prepared(arguments, settings) as client:
        around = app.surroundings(client, with_audit_key(arguments, settings), app.base_of(client, settings))
        arguments.work(arguments, arguments.opened(around, settings))


def _review(arguments: argparse.Namespace, queue: Queue) -> None:
    by, note = arguments.by.strip()[:200], arguments.note.strip()[:2000]
    if not by or not note:
        raise BadRequest("--by and --note say who looked at it, and what came of it.")
    queue.review(arguments.id, by=by, note=note)
