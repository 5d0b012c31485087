"""`fhir-server token`: prints one access token, nothing else.  Its making is audited."""

from __future__ import annotations

import argparse
import getpass
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from pymongo import MongoClient

from fhir_server import app, audit
from fhir_server.access import Actor, emergency
from fhir_server.access import scopes as smart_scopes
from fhir_server.access.emergency import EMERGENCIES
from fhir_server.accounts import kept as accounts
from fhir_server.audit import Trail
from fhir_server.cli.arguments import add_data_dir, prepared
from fhir_server.cli.audit_key import with_audit_key
from fhir_server.config import Settings
from fhir_server.fhir.outcome import BadRequest
from fhir_server.repository import Surroundings
from fhir_server.smart import authorization
from fhir_server.smart.directory import Directory
from fhir_server.smart.emergencies import LONGEST, NotOpened
from fhir_server.smart.tokens import Tokens

LONGEST_SECONDS = 365 * 24 * 3600
DEFAULT_SECONDS = 3600


def add_to(commands: Any) -> None:
    """Add the subcommand."""
    parser = commands.add_parser("token", help="print one access token", description=__doc__)
    parser.add_argument("--scope", required=True, help='SMART scopes, such as "patient/*.rs"')
    parser.add_argument(
        "--patient",
        type=_id_of("Patient"),
        metavar="ID",
        help="the patient whose token it is, or whom a professional has before them",
    )
    parser.add_argument(
        "--practitioner", type=_id_of("Practitioner"), metavar="ID", help="the professional whose token it is"
    )
    parser.add_argument(
        "--mode",
        choices=("normal", *EMERGENCIES),
        default="normal",
        help="an emergency: of --practitioner, in the record of --patient, and they are told of it",
    )
    parser.add_argument(
        "--reason", metavar="TEXT", help="why, in an emergency mode; `CODE: text` with a code of emergency-reason"
    )
    parser.add_argument(
        "--ttl", type=int, metavar="SECONDS", help="lifetime (default: 3600; in an emergency mode as it is set)"
    )
    add_data_dir(parser)
    parser.set_defaults(run=run)


def _id_of(type: str) -> Callable[[str], str]:
    """The id, also from `Type/id` as the demo prints it."""
    return lambda text: text.removeprefix(f"{type}/")


def run(arguments: argparse.Namespace, settings: Settings) -> None:
    """Print the token.  Raises BadRequest for arguments that do not fit together."""
    if arguments.mode != "normal":
        _print_emergency(arguments, settings)
        return
    actor = _actor(arguments)
    with prepared(arguments, settings) as client:
        around = _surroundings(client, arguments, settings)
        for type, id in (("Patient", arguments.patient), ("Practitioner", arguments.practitioner)):
            if id and around.store.read(type, id) is None:
                raise BadRequest(f"{type}/{id} is not known.")
        if actor.practitioner:
            actor = replace(_professional(around, actor.practitioner), scopes=actor.scopes, patient=actor.patient)
        record = audit.event(
            Trail("token", "CLI", "fhir-server token", f"scope={arguments.scope}"),
            actor,
            id=app.new_id(),
            now=app.now(),
            interaction="token",
            versions={},
            description=getpass.getuser(),
        )
        around.recorder.record(record)
        lifetime = timedelta(seconds=DEFAULT_SECONDS if arguments.ttl is None else arguments.ttl)
        print(Tokens(around.store.database, app.now).issue(actor, arguments.scope, lifetime))


def _surroundings(client: MongoClient, arguments: argparse.Namespace, settings: Settings) -> Surroundings:
    return app.surroundings(client, with_audit_key(arguments, settings), app.base_of(client, settings))


def _professional(around: Surroundings, id: str) -> Actor:
    """The professional as the directory has them.  Raises BadRequest."""
    known = Directory(around).professional(id)
    if known is None:
        raise BadRequest(f"Practitioner/{id} is not known.")
    return known


def _print_emergency(arguments: argparse.Namespace, settings: Settings) -> None:
    """Print the token of an emergency, which is opened as from the software of a professional.  Raises BadRequest."""
    scope = authorization.read_only(arguments.scope)
    if not smart_scopes.parse(scope) or smart_scopes.faults(arguments.scope):
        raise BadRequest(f"`{arguments.scope}` reads nothing: an emergency takes a scope such as user/*.rs.")
    if any(one.context == "system" for one in smart_scopes.parse(scope)):
        raise BadRequest("A system/ scope is the operator's, and opens nothing in an emergency.")
    if not arguments.patient or not arguments.practitioner:
        raise BadRequest("An emergency is of one professional in one record: --practitioner and --patient.")
    code, reason = _reason(arguments)
    with prepared(arguments, settings) as client:
        around = _surroundings(client, arguments, settings)
        opening = app.emergencies_of(around, settings, accounts.kept(around.store.database, settings, clock=app.now))
        lifetime = opening.lifetime if arguments.ttl is None else timedelta(seconds=arguments.ttl)
        if not timedelta() < lifetime <= LONGEST:
            raise BadRequest(f"--ttl {arguments.ttl}: an emergency access lasts from one second to 3600.")
        known = _professional(around, arguments.practitioner)
        actor = replace(
            known, scopes=smart_scopes.parse(scope), patient=arguments.patient, mode=arguments.mode, reason=reason
        )
        context = {"patient": arguments.patient, "__mode": arguments.mode, "__reason": code}
        tokens = Tokens(around.store.database, app.now, emergency=opening.open)
        try:
            print(tokens.issue(actor, scope, lifetime, context=context))
        except NotOpened as refused:
            raise BadRequest(_REFUSED[refused.reason]) from None


_REFUSED = {
    "right": "This access mode is not for this professional.",
    "record": "The record cannot be opened in this access mode.",
}


def _reason(arguments: argparse.Namespace) -> tuple[str, str]:
    """The code and the words of --reason; `other` where it names no code.  Raises BadRequest."""
    said = arguments.reason or ""
    known = {reason.code for reason in emergency.reasons(arguments.mode)}
    code, _, text = said.partition(":") if said.partition(":")[0].strip() in known else ("other", "", said)
    reason = emergency.stated(arguments.mode, code.strip(), text)
    if reason is None:
        raise BadRequest(f"--reason is needed, `CODE: text`; codes: {', '.join(sorted(known))}.")
    return code.strip(), reason


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
    if arguments.ttl is not None and not 0 < arguments.ttl <= LONGEST_SECONDS:
        raise BadRequest(f"--ttl {arguments.ttl}: a token lives from one second to a year, {LONGEST_SECONDS} seconds.")
    if arguments.practitioner:
        return Actor(
            "professional",
            f"Practitioner/{arguments.practitioner}",
            scopes,
            patient=arguments.patient,
            practitioner=arguments.practitioner,
        )
    if arguments.patient:
        return Actor("patient", f"Patient/{arguments.patient}", scopes, patient=arguments.patient)
    return Actor("operator", "operator", scopes)
