"""`fhir-server demo`: what `make demo` runs: the server with the seed record."""

from __future__ import annotations

import argparse
import shlex
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from rich.console import Console

from fhir_server import app
from fhir_server.access import Actor
from fhir_server.access import scopes as smart_scopes
from fhir_server.accounts import seed
from fhir_server.accounts.accounts import Accounts
from fhir_server.cli import load, sandbox
from fhir_server.cli.arguments import add_data_dir, port
from fhir_server.cli.audit_key import with_audit_key
from fhir_server.cli.serve import serve
from fhir_server.config import Settings, carried
from fhir_server.demo import psc
from fhir_server.fhir import json
from fhir_server.smart.tokens import Tokens
from fhir_server.storage.connection import connect
from fhir_server.storage.store import Store

#: The tokens that the demo prints live for a day.
LIFETIME = timedelta(days=1)


def add_to(commands: Any) -> None:
    """Add the subcommand."""
    parser = commands.add_parser("demo", help="serve with the seed record", description=__doc__)
    parser.add_argument("--port", type=port, default=8080, metavar="N", help="port (default: 8080)")
    add_data_dir(parser)
    parser.set_defaults(run=run, host="127.0.0.1", workers=2)


def run(arguments: argparse.Namespace, settings: Settings) -> None:
    """Load the seed record where it is not there yet, and serve until stopped."""

    def before(base_url: str, uri: str) -> None:
        with connect(uri) as client:
            bundles = [carried("seed_data") / "bundles"]
            load.load(client, with_audit_key(arguments, settings), bundles, base=f"{base_url}/fhir", quiet=True)
            seed.load(Accounts(client[settings.mongodb_database], app.now), carried("seed_data"))
            psc.prepare(client[settings.mongodb_database])
            sandbox.register(client[settings.mongodb_database], base_url, arguments.data_dir)

    def welcome(base_url: str, uri: str) -> None:
        with connect(uri) as client:
            _welcome(Store(client, settings.mongodb_database), base_url)

    serve(arguments, settings, before=before, welcome=welcome, token_command=_token_command(arguments), demo=True)


def _token_command(arguments: argparse.Namespace) -> str:
    """What to type for a token that reads everything, as this command was typed."""
    typed = Path(sys.argv[0])
    program = (str(typed),) if typed.name == "fhir-server" else ("python", "-m", "fhir_server")
    return shlex.join((*program, "token", "--scope", "system/*.rs", "--data-dir", str(arguments.data_dir)))


#: In what other capacity than its holder's an account opens a record.
_ALSO = ("legal-representative", "caregiver")


def _print_person(console: Console, person: dict[str, Any], remark: str) -> None:
    line = f"  {person['display']:<24}{person['login']:<22}{person['password']:<20}{person['resource']:<32}{remark}"
    console.print(line.rstrip(), markup=False)


def _welcome(store: Store, base_url: str) -> None:
    """Say what to open, who is there, and with which tokens."""
    tokens = Tokens(store.database, app.now)
    people = json.loads((carried("seed_data") / "people.json").read_bytes())
    patient = next(person for person in people if person["role"] == "patient")
    id = patient["resource"].partition("/")[2]
    scope = "patient/*.cruds"
    own = tokens.issue(Actor("patient", patient["resource"], smart_scopes.parse(scope), patient=id), scope, LIFETIME)
    scope = "system/*.cruds"
    operator = tokens.issue(Actor("operator", "operator", smart_scopes.parse(scope)), scope, LIFETIME)

    console = Console(highlight=False, soft_wrap=True)
    console.print(f"\n[bold]fhir-server[/bold] is ready at [bold]{base_url}/fhir[/bold]; Ctrl-C stops it.\n")
    console.print(f"Open [bold]{base_url}/[/bold] in a browser to explore it.\n")
    console.print("Patients and those who act for them sign in at", f"[bold]{base_url}/sign-in[/bold], with a password")
    console.print(f"and a code: what would be sent to them stays at [bold]{base_url}/demo/outbox[/bold].\n")
    for person in people:
        if person["role"] == "patient":
            opened = [row["display"] for row in people if row["login"] == person["login"] and row["role"] in _ALSO]
            also = f"also for {', '.join(name.partition(' pour ')[2] for name in opened)}" if opened else ""
            _print_person(console, person, also)
    console.print("\nProfessionals, and their passwords at the demonstration's Pro Santé Connect:\n")
    for person in people:
        if person["role"] in ("professional", "regulator"):
            _print_person(console, person, "regulates calls (SAMU)" if person["role"] == "regulator" else "")
    console.print(f"\nTokens for a day, of the operator and of {patient['display']} (paste into a shell):\n")
    console.print(f"  OPERATOR={operator}\n  TOKEN={own}\n", markup=False)
    console.print(
        f'  curl -H "Authorization: Bearer $TOKEN" "{base_url}/fhir/{patient["resource"]}?_pretty=true"', markup=False
    )
    console.print(
        f'  curl -H "Authorization: Bearer $TOKEN" "{base_url}/fhir/Observation?patient={id}&_count=5&_pretty=true"\n',
        markup=False,
    )
