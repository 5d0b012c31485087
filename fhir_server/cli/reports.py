"""`fhir-server reports`: the accesses that people do not recognise.  What came of each is audited."""

from __future__ import annotations

import argparse
from typing import Any

from rich.console import Console
from rich.table import Table

from fhir_server import app
from fhir_server.access import Actor
from fhir_server.accounts.reports import Reports
from fhir_server.cli.arguments import add_data_dir, prepared
from fhir_server.cli.audit_key import with_audit_key
from fhir_server.config import Settings
from fhir_server.fhir.outcome import BadRequest
from fhir_server.smart.recording import Recording


def add_to(commands: Any) -> None:
    """Add the subcommand, with what it does in turn."""
    parser = commands.add_parser("reports", help="review accesses that people do not recognise", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    shown = verbs.add_parser("list", help="list those that wait to be looked at", description="List them.")
    shown.add_argument("--all", action="store_true", help="list all of them")
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
        record = Recording(around.recorder, app.new_id, app.now)
        arguments.work(arguments, app.reports_of(around.store.database, settings), record)


def _list(arguments: argparse.Namespace, reports: Reports, record: Recording) -> None:
    found = reports.due(everything=arguments.all)
    table = Table("id", "reported", "access", "day", "patient", "text", "review", box=None, pad_edge=False)
    for one in found:
        table.add_row(
            one["_id"],
            one["at"].isoformat(timespec="seconds"),
            f"AuditEvent/{one['event']}",
            one["day"],
            f"Patient/{one['patient']}",
            " ".join(one["text"].split()),
            "due" if one["review"]["state"] == "due" else f"{one['review']['by']}: {one['review']['note']}",
        )
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = 400
    console.print(table if found else "No report waits to be looked at.")


def _review(arguments: argparse.Namespace, reports: Reports, record: Recording) -> None:
    if not arguments.by.strip() or not arguments.note.strip():
        raise BadRequest("--by and --note say who looked at it, and what came of it.")
    found = reports.review(arguments.id, by=arguments.by.strip()[:200], note=arguments.note.strip()[:2000])
    reviewer = Actor("operator", arguments.by.strip()[:200], ())
    record("report-review", actor=reviewer, patient=found["patient"], description=f"report {found['_id']}")
