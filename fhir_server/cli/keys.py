"""`fhir-server keys`: the keys that this server signs with.  Their change is audited."""

from __future__ import annotations

import argparse
import getpass
from typing import Any

from fhir_server import app, audit
from fhir_server.access import Actor
from fhir_server.audit import Recorder, Trail
from fhir_server.cli.arguments import add_data_dir, prepared
from fhir_server.cli.audit_key import with_audit_key
from fhir_server.config import Settings
from fhir_server.smart.keys import Keys


def add_to(commands: Any) -> None:
    """Add the subcommand."""
    parser = commands.add_parser("keys", help="list the signing keys, or sign with new ones", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, help in (
        ("list", "print the keys, the newest first"),
        ("rotate", "sign with new keys; the old ones stay published until what they signed is dead"),
    ):
        verb = verbs.add_parser(name, help=help, description=help.capitalize() + ".")
        add_data_dir(verb)
        verb.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> None:
    """Do what the verb says, and print the keys.  Raises ConfigError if the sealing key does not open them."""
    with prepared(arguments, settings) as client:
        database = client[settings.mongodb_database]
        keys = Keys(database, app.now, sealing_key=settings.sealing_key)
        if arguments.verb == "rotate":
            record = audit.event(
                Trail("client", "CLI", "fhir-server keys"),
                Actor("operator", "operator", ()),
                id=app.new_id(),
                now=app.now(),
                interaction="client",
                versions={},
                description=f"{getpass.getuser()}: new signing keys",
            )
            Recorder(app.ledger_of(client, with_audit_key(arguments, settings))).record(record)
            keys.rotate()
        for kept in keys.list():
            until = f" until {kept['expires_at']:%Y-%m-%d %H:%M} UTC" if "expires_at" in kept else ""
            print(f"{kept['_id']}  {kept['alg']}  {kept['state']}{until}")
