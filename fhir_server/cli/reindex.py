"""`fhir-server reindex`: makes the search index of what is there anew, while servers go on.

For after an upgrade that brings parameters.  Broken off, however, it goes on when the same command is run again.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rich import progress as bars
from rich.console import Console
from rich.table import Table

from fhir_server import app
from fhir_server.cli.arguments import add_data_dir, prepared
from fhir_server.cli.stopping import stopped_by_interrupt
from fhir_server.config import Settings
from fhir_server.fhir.types import TYPES
from fhir_server.storage.readiness import Readiness
from fhir_server.storage.reindex import Done, Reindex

EVERY_SECONDS = 5.0
#: So many documents that are too large are named.
SHOWN = 25
#: So many parameters are named in one line.
FEW = 5


@dataclass
class Counts:
    """What has been done so far: documents read, changed, and left to a writer that came first, by type."""

    read: dict[str, int] = field(default_factory=dict)
    changed: dict[str, int] = field(default_factory=dict)
    overtaken: dict[str, int] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)

    def add(self, type: str, read: int, changed: int, overtaken: int) -> None:
        """A batch of a type."""
        for counts, number in ((self.read, read), (self.changed, changed), (self.overtaken, overtaken)):
            counts[type] = counts.get(type, 0) + number

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return max(time.monotonic() - self.began, 0.001)


def add_to(commands: Any) -> None:
    """Add the subcommand."""
    parser = commands.add_parser("reindex", help="make the search index anew", description=__doc__)
    parser.add_argument("types", nargs="*", type=_type, metavar="TYPE", help="resource type (default: all)")
    add_data_dir(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> None:
    """Go through it all, say what came of it; exit 130 if it was stopped, 1 if anything is left that does not fit."""
    stop = threading.Event()
    with prepared(arguments, settings) as client:
        store = app.store_of(client, settings)
        reindex = Reindex(store, arguments.types, base=app.base_of(client, settings), zone=settings.timezone)
        counts = Counts()
        with stopped_by_interrupt(stop), _progress(reindex.size(), counts) as advance:
            done = reindex.run(stop.is_set, advance)
        _say(done, counts)
    if done.stopped:
        sys.exit(130)
    if done.too_large:
        sys.exit(1)


def withheld(readiness: Readiness, arguments: argparse.Namespace, settings: Settings) -> str | None:
    """One line about what cannot be searched by yet, and what to type; None if there is nothing."""
    found = readiness.withheld()
    if not found:
        return None
    where = "" if settings.mongodb_uri else f" --data-dir {shlex.quote(str(arguments.data_dir))}"
    codes = [f"{type}.{code}" for type, codes in found.items() for code in codes]
    if readiness.of_earlier_version():
        what = "what is here was indexed by an earlier version, and searches by"
    else:
        what = "searches by"
    named = ", ".join(codes) if len(codes) <= FEW else f"{len(codes)} parameters of {len(found)} types"
    return f"{what} {named} are answered 503 until `fhir-server reindex{where}` is through; run it beside the server."


def _type(text: str) -> str:
    if text not in TYPES:
        raise argparse.ArgumentTypeError(f"{text} is not a type that is kept here")
    return text


@contextmanager
def _progress(size: int, counts: Counts) -> Iterator[Callable[[str, int, int, int], None]]:
    """A bar on a terminal, a line now and then elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines(console, size, counts)
        return
    columns = (
        bars.TextColumn("{task.fields[type]}"),
        bars.BarColumn(None),
        bars.MofNCompleteColumn(),
        bars.TextColumn("{task.fields[rate]}/s"),
        bars.TimeRemainingColumn(),
    )
    with bars.Progress(*columns, console=console, transient=True, expand=True) as bar:
        task = bar.add_task("", total=size, type="", rate="0")

        def advance(type: str, read: int, changed: int, overtaken: int) -> None:
            counts.add(type, read, changed, overtaken)
            rate = sum(counts.read.values()) / counts.seconds
            bar.update(task, advance=read, type=type, rate=f"{rate:.0f}")

        yield advance


def _lines(console: Console, size: int, counts: Counts) -> Callable[[str, int, int, int], None]:
    told = time.monotonic()

    def advance(type: str, read: int, changed: int, overtaken: int) -> None:
        nonlocal told
        counts.add(type, read, changed, overtaken)
        if time.monotonic() - told >= EVERY_SECONDS:
            told = time.monotonic()
            done = sum(counts.read.values())
            console.print(
                f"fhir-server: {type}, {done} of about {size}, {done / counts.seconds:.0f}/s",
                highlight=False,
                soft_wrap=True,
            )

    return advance


def _say(done: Done, counts: Counts) -> None:
    """The end of a run: by type, and in all."""
    table = Table("type", box=None, header_style="bold")
    for title in ("looked at", "indexed anew", "left to a writer"):
        table.add_column(title, justify="right")
    for type, read in counts.read.items():
        if read or counts.changed[type]:
            table.add_row(type, *(str(number or "") for number in (read, counts.changed[type], counts.overtaken[type])))
    if table.row_count:
        Console(highlight=False).print(table)
    for name in done.too_large[:SHOWN]:
        print(f"fhir-server: {name} does not fit with its index entry: 16 MB.")
    if len(done.too_large) > SHOWN:
        print(f"fhir-server: {len(done.too_large) - SHOWN} more do not fit.")
    read, changed = sum(counts.read.values()), sum(counts.changed.values())
    rate = f"{counts.seconds:.1f} s ({read / counts.seconds:.0f}/s)"
    print(f"\n{read} versions looked at, {changed} indexed anew, in {rate}")
    if done.stopped:
        print("Stopped. Run the same command again to go on from here.")
