"""`fhir-server token`: prints one access token, nothing else.  Its making is audited."""

from __future__ import annotations

import argparse
import getpass
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from fhir_server import app, audit
from fhir_server.access import Actor
from fhir_server.access import scopes as smart_scopes
from fhir_server.audit import Recorder, Trail
from fhir_server.cli.arguments import add_data_dir, prepared
from fhir_server.cli.audit_key import with_audit_key
from fhir_server.config import Settings
from fhir_server.fhir import json
from fhir_server.fhir.outcome import BadRequest
from fhir_server.search.expression import EVERYTHING, Match
from fhir_server.search.types.reference import ReferenceTest
from fhir_server.smart.tokens import Tokens
from fhir_server.storage.store import Store

LONGEST_SECONDS = 365 * 24 * 3600
LONGEST_EMERGENCY_SECONDS = 3600
DEFAULT_SECONDS = 3600
#: TRE_R85: who regulates calls in a SAMU-Centre 15.
REGULATOR = "FON-32"


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
        choices=("normal", "bris_de_glace", "centre_15"),
        default="normal",
        help="an emergency: of one patient, for an hour at most",
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
        if actor.practitioner:
            actor = _in_role(store, actor)
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
        _refuse_emergency(arguments)
    if arguments.practitioner:
        return Actor(
            "professional",
            f"Practitioner/{arguments.practitioner}",
            scopes,
            patient=arguments.patient,
            practitioner=arguments.practitioner,
            mode=arguments.mode,
            reason=arguments.reason,
        )
    if arguments.patient:
        return Actor("patient", f"Patient/{arguments.patient}", scopes, patient=arguments.patient)
    return Actor("operator", "operator", scopes)


def _refuse_emergency(arguments: argparse.Namespace) -> None:
    """Raise BadRequest for an emergency that is not one of one professional, for one patient, and soon over."""
    if not (arguments.practitioner and arguments.patient):
        raise BadRequest(f"--mode {arguments.mode} needs --practitioner and --patient: it is of one record.")
    if not (arguments.reason or "").strip():
        raise BadRequest(f"--mode {arguments.mode} needs --reason: the patient is told of it.")
    if arguments.ttl > LONGEST_EMERGENCY_SECONDS:
        raise BadRequest(f"--ttl {arguments.ttl}: an emergency lasts an hour at most.")


def _in_role(store: Store, actor: Actor) -> Actor:
    """
    The professional as the directory has them: role, structure, profession, and whether they regulate calls.

    Of several roles none is chosen.  Raises BadRequest for Centre 15 without the right to regulate.
    """
    asked = Match("practitioner", ReferenceTest(frozenset({f"Practitioner/{actor.practitioner}"})))
    found = store.find("PractitionerRole", asked, allowed=EVERYTHING, limit=2)
    if len(found) == 1:
        role = json.parse(found[0].body or b"")
        codes = _codes(role, "code")
        actor = replace(
            actor,
            role=found[0].reference,
            organization=role.get("organization", {}).get("reference"),
            profession=next((code for system, code in codes if "TRE_G15" in system), None),
            specialty=next((code for system, code in _codes(role, "specialty") if "TRE_R38" in system), None),
            regulator=any(code == REGULATOR for _, code in codes),
        )
    if actor.mode == "centre_15" and not actor.regulator:
        raise BadRequest(f"Practitioner/{actor.practitioner} does not regulate calls.")
    return actor


def _codes(role: dict[str, Any], element: str) -> list[tuple[str, str]]:
    return [
        (coding.get("system", ""), coding.get("code", ""))
        for concept in role.get(element, ())
        for coding in concept.get("coding", ())
    ]
