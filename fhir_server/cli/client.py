"""`fhir-server client`: the apps, the professional software and the backends that this server knows.  Audited."""

from __future__ import annotations

import argparse
import getpass
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from authlib.oauth2.rfc6749 import OAuth2Error
from pymongo.database import Database
from rich.console import Console
from rich.table import Table

from fhir_server import app, audit
from fhir_server.access import Actor
from fhir_server.audit import Recorder, Trail
from fhir_server.cli.arguments import add_data_dir, prepared
from fhir_server.cli.audit_key import with_audit_key
from fhir_server.config import Settings
from fhir_server.fhir import json
from fhir_server.fhir.outcome import BadRequest, NotFound
from fhir_server.smart import client_metadata, names
from fhir_server.smart.client_metadata import AUDIENCES, KINDS
from fhir_server.smart.clients import METHODS, Clients
from fhir_server.smart.registration import Invitations, told
from fhir_server.storage.ledger import Ledger

#: The kinds of image that a logo may be, by how their files are called.
_IMAGES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp"}

Work = Callable[[argparse.Namespace, Database, Settings], str | None]


def add_to(commands: Any) -> None:
    """Add the subcommand, with what it does in turn."""
    parser = commands.add_parser("client", help="register, list, suspend and resume clients", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    _add_add(verbs)
    _add_invite(verbs)
    _verb(verbs, "list", _list, "list all clients")
    for name, work, help in (
        ("show", _show, "print what is registered of a client, as JSON"),
        ("suspend", _suspend, "let a client do nothing more, from its next request on"),
        ("resume", _resume, "let a client work that was suspended, or that waits to be looked at"),
        ("secret", _secret, "make a new secret for a symmetric client; the old one is dead"),
    ):
        _verb(verbs, name, work, help).add_argument("id", metavar="ID", help="the client id")


def run(arguments: argparse.Namespace, settings: Settings) -> None:
    """Do what the verb says.  Raises BadRequest, NotFound, Conflict."""
    with prepared(arguments, settings) as client:
        database = client[settings.mongodb_database]
        Clients(database, app.now).prepare()
        Invitations(database, app.now).prepare()
        work: Work = arguments.work
        done = work(arguments, database, settings)
        if done is not None:
            _record(app.ledger_of(client, with_audit_key(arguments, settings)), done)


def _verb(verbs: Any, name: str, work: Work, help: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=help, description=help.capitalize() + ".")
    add_data_dir(parser)
    parser.set_defaults(run=run, work=work)
    return parser


def _add_add(verbs: Any) -> None:
    add = _verb(verbs, "add", _add, "register a client, from a file or from options; it is live at once")
    add.add_argument("metadata", nargs="?", type=Path, metavar="FILE", help="its metadata as JSON (RFC 7591 s. 2)")
    add.add_argument("--id", dest="client_id", metavar="ID", help="its client id (default: a random one)")
    add.add_argument("--name", dest="client_name", help="what people are shown")
    add.add_argument("--publisher", help="who answers for it")
    add.add_argument("--kind", choices=tuple(METHODS), help="how it authenticates itself: not, by a secret, by a key")
    add.add_argument("--audience", choices=AUDIENCES, help="who signs in with it (default: patient)")
    add.add_argument("--scope", help='what it may ask for at most, such as "launch/patient patient/*.rs"')
    add.add_argument("--redirect-uri", dest="redirect_uris", action="append", metavar="URL", help="repeatable")
    add.add_argument("--origin", dest="origins", action="append", metavar="ORIGIN", help="of its pages; repeatable")
    add.add_argument("--launch-uri", dest="launch_uri", metavar="URL", help="where an EHR launches it")
    add.add_argument("--jwks", type=Path, metavar="FILE", help="its public keys, for --kind asymmetric")
    add.add_argument("--jwks-uri", dest="jwks_uri", metavar="URL", help="or where it publishes them")
    add.add_argument("--organization", metavar="Organization/ID", help="whom a backend acts for")
    add.add_argument("--logo", type=Path, metavar="FILE", help="PNG, JPEG or WebP, up to 100 kB")
    for flag, name, help in (
        ("--dpop", "dpop_bound_access_tokens", "its tokens are bound to a key of its own (RFC 9449)"),
        ("--resource-server", "resource_server", "it may introspect the tokens of all clients"),
        ("--verified", "verified", "the publisher was checked"),
    ):
        add.add_argument(flag, dest=name, action="store_true", default=None, help=help)


def _add_invite(verbs: Any) -> None:
    invite = _verb(
        verbs, "invite", _invite, "print an initial access token, with which a publisher registers one client"
    )
    invite.add_argument("--publisher", required=True, help="who will answer for it")
    invite.add_argument("--scope", required=True, help="what the client may ask for at most")
    invite.add_argument("--audience", choices=AUDIENCES, default="patient", help="who signs in with it")
    invite.add_argument("--days", type=int, default=14, metavar="N", help="how long the token is good (default: 14)")


def _add(arguments: argparse.Namespace, database: Database, settings: Settings) -> str:
    metadata = _metadata(arguments)
    try:
        client, secret = client_metadata.read(metadata, now=app.now(), private=settings.fetch_private)
    except OAuth2Error as error:
        raise BadRequest(f"The client cannot be registered: {error.description}") from None
    clients = Clients(database, app.now)
    clients.add(replace(client, status="live", verified=metadata.get("verified") is True))
    print(f"client_id      {client.client_id}")
    if secret:
        print(f"client_secret  {secret}")
    return f"registered {client.client_id}"


def _invite(arguments: argparse.Namespace, database: Database, settings: Settings) -> str:
    if fault := names.fault(arguments.publisher):
        raise BadRequest(f"--publisher {fault}.")
    if not 0 < arguments.days <= 365:
        raise BadRequest(f"--days {arguments.days}: from one day to a year.")
    try:
        scope = client_metadata.scope_of(arguments.scope, arguments.audience)
    except OAuth2Error as error:
        raise BadRequest(f"--scope: {error.description}") from None
    lifetime = timedelta(days=arguments.days)
    print(Invitations(database, app.now).invite(arguments.publisher, arguments.audience, scope, lifetime))
    return f"invited {arguments.publisher}: {arguments.audience} {scope}"


def _list(arguments: argparse.Namespace, database: Database, settings: Settings) -> None:
    found = Clients(database, app.now).list()
    table = Table("id", "name", "publisher", "audience", "kind", "status", box=None, pad_edge=False)
    for client in found:
        table.add_row(client.client_id, client.name, client.publisher, client.audience, client.kind, client.status)
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = 400
    console.print(table if found else "There are no clients yet: fhir-server client add --help")


def _show(arguments: argparse.Namespace, database: Database, settings: Settings) -> None:
    client = Clients(database, app.now).find(arguments.id, any_status=True)
    if client is None:
        raise NotFound(f"There is no client `{arguments.id}`.")
    print(json.dumps(told(client), pretty=True).decode())


def _suspend(arguments: argparse.Namespace, database: Database, settings: Settings) -> str:
    Clients(database, app.now).suspend(arguments.id)
    return f"suspended {arguments.id}"


def _resume(arguments: argparse.Namespace, database: Database, settings: Settings) -> str:
    Clients(database, app.now).resume(arguments.id)
    return f"resumed {arguments.id}"


def _secret(arguments: argparse.Namespace, database: Database, settings: Settings) -> str:
    print(Clients(database, app.now).renew_secret(arguments.id))
    return f"new secret for {arguments.id}"


def _metadata(arguments: argparse.Namespace) -> dict[str, Any]:
    """What the file says, and then what the options say.  Raises BadRequest."""
    metadata = _object(arguments.metadata) if arguments.metadata else {}
    options = ("client_id", "client_name", "publisher", "audience", "scope", "redirect_uris", "origins", "launch_uri")
    more = ("jwks_uri", "organization", "dpop_bound_access_tokens", "resource_server", "verified")
    metadata |= {name: value for name in options + more if (value := getattr(arguments, name)) is not None}
    if arguments.kind:
        metadata["token_endpoint_auth_method"] = METHODS[arguments.kind]
    if metadata.get("token_endpoint_auth_method") not in KINDS:
        raise BadRequest(f"Say how it authenticates itself: --kind {', '.join(METHODS)}.")
    if arguments.jwks:
        metadata["jwks"] = _object(arguments.jwks)
    if arguments.logo:
        metadata["logo"] = _image(arguments.logo)
    return metadata


def _object(path: Path) -> dict[str, Any]:
    found = json.loads(_content(path))
    if not isinstance(found, dict):
        raise BadRequest(f"{path} holds no JSON object.")
    return found


def _image(path: Path) -> str:
    kind = _IMAGES.get(path.suffix.lower())
    if kind is None:
        raise BadRequest(f"{path} is no image of the kinds {', '.join(_IMAGES)}.")
    return f"data:{kind};base64,{b64encode(_content(path)).decode()}"


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadRequest(f"{path} cannot be read: {error.strerror}.") from None


def _record(ledger: Ledger, done: str) -> None:
    record = audit.event(
        Trail("client", "CLI", "fhir-server client"),
        Actor("operator", "operator", ()),
        id=app.new_id(),
        now=app.now(),
        interaction="client",
        versions={},
        description=f"{getpass.getuser()}: {done}",
    )
    Recorder(ledger).record(record)
