"""`fhir-server emergency`: the emergency accesses that somebody has to look at.  What came of it is audited."""

from __future__ import annotations

import argparse
from typing import Any

from rich.console import Console
from rich.table import Table

from fhir_server import app
from fhir_server.accounts import kept as accounts
from fhir_server.cli.arguments import add_data_dir, prepared
from fhir_server.cli.audit_key import with_audit_key
from fhir_server.config import Settings
from fhir_server.fhir.outcome import BadRequest
from fhir_server.smart.emergencies import Access, Emergencies


def add_to(commands: Any) -> None:
    """Add the subcommand, with what it does in turn."""
    parser = commands.add_parser("emergency", help="review emergency accesses", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    shown = verbs.add_parser("list", help="list those that wait to be looked at", description="List them.")
    shown.add_argument("--all", action="store_true", help="list all emergency accesses, the latest first")
    looked = verbs.add_parser("review", help="note what came of looking at one", description="Note it, once.")
    looked.add_argument("id", metavar="ID", help="as `list` shows it")
    looked.add_argument("--by", required=True, metavar="NAME", help="who looked at it")
    looked.add_argument("--note", required=True, metavar="TEXT", help="what came of it")
    for verb, work in ((shown, _list), (looked, _review)):
        add_data_dir(verb)
        verb.set_defaults(run=run, work=work)


def run(arguments: argparse.Namespace, settings: Settings) -> None:
    """Do what the verb says.  Raises BadRequest, NotFound, Conflict."""
    with prepared(arguments, settings) as client:
        around = app.surroundings(client, with_audit_key(arguments, settings), app.base_of(client, settings))
        people = accounts.kept(around.store.database, settings, clock=app.now)
        arguments.work(arguments, app.emergencies_of(around, settings, people))


def _list(arguments: argparse.Namespace, emergencies: Emergencies) -> None:
    found = emergencies.queue(everything=arguments.all)
    table = Table("id", "started", "mode", "professional", "patient", "signs", "review", box=None, pad_edge=False)
    for access in found:
        table.add_row(
            access.id,
            access.started_at.isoformat(timespec="seconds"),
            access.actor.mode,
            f"Practitioner/{access.actor.practitioner}",
            f"Patient/{access.patient}",
            " ".join(access.signs),
            _looked_at(access),
        )
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = 400
    console.print(table if found else "No emergency access waits to be looked at.")


def _looked_at(access: Access) -> str:
    if access.review is None:
        return ""
    return f"{access.review['by']}: {access.review['note']}" if access.review["state"] == "done" else "due"


def _review(arguments: argparse.Namespace, emergencies: Emergencies) -> None:
    if not arguments.by.strip() or not arguments.note.strip():
        raise BadRequest("--by and --note say who looked at it, and what came of it.")
    emergencies.review(arguments.id, by=arguments.by.strip()[:200], note=arguments.note.strip()[:2000])
