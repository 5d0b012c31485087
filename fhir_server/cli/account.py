"""`fhir-server account`: what the accounts of people need now and then."""

from __future__ import annotations

import argparse
from typing import Any

from fhir_server import app
from fhir_server.cli.arguments import add_data_dir, prepared
from fhir_server.config import Settings


def add_to(commands: Any) -> None:
    """Add the subcommand."""
    parser = commands.add_parser("account", help="do what is due for the accounts of people", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    tick = verbs.add_parser(
        "tick",
        help="write the letters that are due; a running server does it by itself",
        description="Write the letters that are due, each once, however often it is run.",
    )
    add_data_dir(tick)
    tick.set_defaults(run=run_tick)


def run_tick(arguments: argparse.Namespace, settings: Settings) -> None:
    """Do what is due, and print how much it was."""
    with prepared(arguments, settings) as client:
        done = app.calendar(client, settings).once()
    if done is None:
        print("A server is at it.")
        return
    print(", ".join(f"{name}: {number}" for name, number in done.items()))
