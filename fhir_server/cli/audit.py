"""`fhir-server audit`: whether the record of accesses is as it was written, and a proof of it to keep elsewhere."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich import progress as bars
from rich.console import Console

from fhir_server import app
from fhir_server.audit.follow import TYPE, anchor, append_anchor
from fhir_server.audit.verify import Anchor, Verified, read_anchors, verify
from fhir_server.cli.arguments import add_data_dir
from fhir_server.cli.audit_key import with_audit_key
from fhir_server.config import ConfigError, Settings
from fhir_server.storage.connection import connect, open_database
from fhir_server.storage.ledger import Ledger

#: So many faults are named in full; further ones are counted.
SHOWN = 1_000


def add_to(commands: Any) -> None:
    """Add the subcommand."""
    parser = commands.add_parser("audit", help="verify the record of accesses", description=__doc__)
    what = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    verifying = what.add_parser("verify", help="name every record that was changed, removed or put elsewhere")
    verifying.add_argument("--anchor", type=Path, metavar="FILE", help="anchors that were kept elsewhere, a line each")
    add_data_dir(verifying)
    verifying.set_defaults(run=run_verify)
    anchoring = what.add_parser("anchor", help="print the heads of all chains, as a line to be kept elsewhere")
    anchoring.add_argument("--to", type=Path, metavar="FILE", help="append it to this file instead")
    add_data_dir(anchoring)
    anchoring.set_defaults(run=run_anchor)


def run_verify(arguments: argparse.Namespace, settings: Settings) -> None:
    """Go through it all; exit 1 if anything is not as it was written."""
    faults, verified = 0, Verified()
    with _ledger(arguments, settings) as ledger:
        anchors = _anchors(arguments.anchor, ledger)
        size = ledger.count() + ledger.database[TYPE].estimated_document_count()
        with _progress(size) as advance:
            for fault in verify(ledger, anchors, verified, advance):
                faults += 1
                if faults <= SHOWN:
                    print(fault, flush=True)
    if faults > SHOWN:
        print(f"… and {faults - SHOWN} more.")
    records = sum(verified.chains.values())
    print(
        f"{records} records in {len(verified.chains)} chains, {verified.audit_events} AuditEvents: "
        + (f"{faults} faults." if faults else "as they were written.")
    )
    if verified.leaves:
        print(f"{verified.leaves} records of writes are to be bound into a chain yet, which a running server does.")
    if verified.of_before:
        print(f"{verified.of_before} AuditEvents are from before there was a ledger, and nothing vouches for them.")
    if faults:
        sys.exit(1)


def run_anchor(arguments: argparse.Namespace, settings: Settings) -> None:
    """Print the anchor of this moment, or append it to a file."""
    with _ledger(arguments, settings) as ledger:
        if arguments.to:
            try:
                append_anchor(ledger, arguments.to)
            except OSError as error:
                raise ConfigError(f"{arguments.to} cannot be written: {error.strerror}.") from None
        else:
            print(anchor(ledger).decode())


@contextmanager
def _ledger(arguments: argparse.Namespace, settings: Settings) -> Iterator[Ledger]:
    """The ledger, as it is: nothing is made ready for it."""
    with open_database(uri=settings.mongodb_uri, data_dir=arguments.data_dir) as opened, connect(opened.uri) as client:
        yield app.ledger_of(client, with_audit_key(arguments, settings))


def _anchors(file: Path | None, ledger: Ledger) -> list[Anchor]:
    if file is None:
        return []
    try:
        return read_anchors(file.read_bytes().splitlines(), ledger)
    except (OSError, ValueError) as error:
        raise ConfigError(f"The anchors of {file} cannot be read: {error}.") from None


@contextmanager
def _progress(size: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, nothing elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda number: None
        return
    columns = (bars.BarColumn(None), bars.MofNCompleteColumn(), bars.TimeRemainingColumn())
    with bars.Progress(*columns, console=console, transient=True, expand=True) as bar:
        task = bar.add_task("", total=size)
        yield lambda number: bar.advance(task, number)
