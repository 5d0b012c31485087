"""`fhir-server token`: prints one access token, nothing else.  Its making is audited."""

from __future__ import annotations

import argparse
import getpass
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from fhir_server import app, audit
from fhir_server.access import Actor
from fhir_server.access import scopes as smart_scopes
from fhir_server.audit import Recorder, Trail
from fhir_server.cli.arguments import add_data_dir, prepared
from fhir_server.cli.audit_key import with_audit_key
from fhir_server.config import Settings
from fhir_server.fhir.outcome import BadRequest
from fhir_server.smart.tokens import Tokens
from fhir_server.storage.store import Store

LONGEST_SECONDS = 365 * 24 * 3600
DEFAULT_SECONDS = 3600


def add_to(commands: Any) -> None:
    """Add the subcommand."""
    parser = commands.add_parser("token", help="print one access token", description=__doc__)
    parser.add_argument("--scope", required=True, help='SMART scopes, such as "patient/*.rs"')
    who = parser.add_mutually_exclusive_group()
    who.add_argument("--patient", type=_id_of("Patient"), metavar="ID", help="the patient whose token it is")
    who.add_argument(
        "--practitioner", type=_id_of("Practitioner"), metavar="ID", help="the professional whose token it is"
    )
    parser.add_argument(
        "--mode", choices=("normal", "bris_de_glace", "centre_15"), default="normal", help="only normal is offered yet"
    )
    parser.add_argument("--reason", metavar="TEXT", help="why; needed in the emergency modes")
    parser.add_argument("--ttl", type=int, default=DEFAULT_SECONDS, metavar="SECONDS", help="lifetime (default: 3600)")
    add_data_dir(parser)
    parser.set_defaults(run=run)


def _id_of(type: str) -> Callable[[str], str]:
    """The id, also from `Type/id` as the demo prints it."""
    return lambda text: text.removeprefix(f"{type}/")


def run(arguments: argparse.Namespace, settings: Settings) -> None:
    """Print the token.  Raises BadRequest for arguments that do not fit together."""
    actor = _actor(arguments)
    with prepared(arguments, settings) as client:
        store = Store(client, settings.mongodb_database)
        for type, id in (("Patient", arguments.patient), ("Practitioner", arguments.practitioner)):
            if id and store.read(type, id) is None:
                raise BadRequest(f"{type}/{id} is not known.")
        trail = Trail("token", "CLI", "fhir-server token", f"scope={arguments.scope}")
        record = audit.event(
            trail,
            actor,
            id=app.new_id(),
            now=app.now(),
            interaction="token",
            versions={},
            description=getpass.getuser(),
        )
        Recorder(app.ledger_of(client, with_audit_key(arguments, settings))).record(record)
        print(Tokens(store.database, app.now).issue(actor, arguments.scope, timedelta(seconds=arguments.ttl)))


def _actor(arguments: argparse.Namespace) -> Actor:
    """The holder that the arguments describe.  Raises BadRequest."""
    bad = smart_scopes.faults(arguments.scope)
    scopes = smart_scopes.parse(arguments.scope)
    if bad:
        raise BadRequest(
            f"`{bad[0]}` is not a scope: (patient|user|system)/(type|*).[c][r][u][d][s], in this order, "
            "with a type that is kept here."
        )
    if not scopes:
        raise BadRequest(f"`{arguments.scope}` grants nothing: it has no scope such as patient/*.rs.")
    if any(scope.context == "patient" for scope in scopes) and not arguments.patient:
        raise BadRequest("A patient/ scope needs --patient.")
    if any(scope.context == "user" for scope in scopes) and not (arguments.patient or arguments.practitioner):
        raise BadRequest("A user/ scope needs --patient or --practitioner.")
    if any(scope.context == "system" for scope in scopes) and (arguments.patient or arguments.practitioner):
        raise BadRequest("A system/ scope is the operator's: leave out --patient and --practitioner.")
    if not 0 < arguments.ttl <= LONGEST_SECONDS:
        raise BadRequest(f"--ttl {arguments.ttl}: a token lives from one second to a year, {LONGEST_SECONDS} seconds.")
    if arguments.mode != "normal":
        raise BadRequest(f"--mode {arguments.mode} is not offered yet.")
    if arguments.practitioner:
        return Actor(
            "professional", f"Practitioner/{arguments.practitioner}", scopes, practitioner=arguments.practitioner
        )
    if arguments.patient:
        return Actor("patient", f"Patient/{arguments.patient}", scopes, patient=arguments.patient)
    return Actor("operator", "operator", scopes)
