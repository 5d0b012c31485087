"""`fhir-server load`: Bundles, NDJSON, .gz, .zip and folders of them; safe to run again.

With `--code-system`, the concepts of one code system instead: CSV or NDJSON.

What is there already with the same content is left alone, so that running the same command again goes on where it was
broken off.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NoReturn

from pymongo import MongoClient
from rich.console import Console
from rich.table import Table

from fhir_server import app
from fhir_server.cli.arguments import add_data_dir
from fhir_server.cli.audit_key import with_audit_key
from fhir_server.cli.load_crew import Alone, Crew, Workers, processes_for
from fhir_server.cli.load_progress import Progress, no_progress, progress_on
from fhir_server.cli.stopping import Stop, stopped_by_interrupt
from fhir_server.config import Settings
from fhir_server.fhir.outcome import FhirError, Unavailable
from fhir_server.loading import concepts
from fhir_server.loading.sources import Source, SourceError, find, pieces
from fhir_server.loading.tally import Fate, Severity, Tally
from fhir_server.loading.waiting import WaitingRoom
from fhir_server.loading.work import Done, Loader
from fhir_server.storage.concepts import identity as concepts_of
from fhir_server.storage.connection import connect, open_database

#: So many kinds of faults are printed; the rest is counted.
SHOWN = 25


@dataclass(frozen=True)
class CodeSystem:
    """Which code system files of concepts are of; `language` is that of their displays."""

    url: str
    version: str | None = None
    language: str | None = None


@dataclass
class Summary:
    """What came of a load."""

    tally: Tally = field(default_factory=Tally)
    unreadable: list[str] = field(default_factory=list)
    seconds: float = 0.0
    stopped: bool = False
    broken: str | None = None

    @property
    def failed(self) -> bool:
        """Whether anything could not be loaded that was meant to be."""
        return bool(self.unreadable) or self.broken is not None or self.tally.faults() > 0

    @property
    def kept(self) -> int:
        """How many resources are there now as the files have them."""
        return self.tally.of("created", "updated", "unchanged")


def add_to(commands: Any) -> None:
    """Add the subcommand."""
    parser = commands.add_parser("load", help="load files of resources", description=__doc__)
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="file or folder")
    parser.add_argument(
        "--code-system", metavar="URL", help="the files hold the concepts of this code system: CSV or NDJSON"
    )
    parser.add_argument("--code-system-version", metavar="VERSION", help="the version of that code system")
    parser.add_argument("--language", metavar="TAG", help="the language of its displays, such as fr")
    add_data_dir(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> None:
    """Load, say what came of it, and exit 1 if anything was faulty, 130 if it was stopped."""
    base = f"{settings.base_url or 'http://127.0.0.1:8080'}/fhir"
    sources, faults = find(arguments.paths)
    if not sources:
        for fault in faults:
            print(f"fhir-server: {fault}", file=sys.stderr)
        sys.exit(1)
    with open_database(uri=settings.mongodb_uri, data_dir=arguments.data_dir) as opened:
        settings = with_audit_key(arguments, settings)
        with connect(opened.uri) as client:
            app.prepare(client, settings)
            if arguments.code_system:
                system = CodeSystem(arguments.code_system, arguments.code_system_version, arguments.language)
                _end(load_concepts(client, settings, sources, system, base=base, faults=faults))
        # Processes are forked while this one has no client: a client is for the process that made it.
        stop = get_context("fork").Event()
        with stopped_by_interrupt(stop), _workers(opened.uri, settings, base, sources, stop) as workers:
            summary = _load(workers, sources, faults, stop, progress_on(Console(stderr=True)))
    _end(summary)


def _end(summary: Summary) -> NoReturn:
    """Say what came of it, and exit."""
    _say(summary)
    sys.exit(130 if summary.stopped else 1 if summary.failed else 0)


def load_concepts(
    client: MongoClient,
    settings: Settings,
    sources: list[Source],
    system: CodeSystem,
    *,
    base: str,
    faults: Iterable[SourceError] = (),
    quiet: bool = False,
) -> Summary:
    """What came of loading the concepts of a code system into the prepared database of `client`, in this process."""
    summary = Summary(unreadable=[str(fault) for fault in faults])
    if summary.unreadable:
        return summary  # half a code system would say of the other half that it is not there
    began = time.monotonic()
    stop = threading.Event()
    around = app.surroundings(client, settings, base)
    progress = no_progress if quiet else progress_on(Console(stderr=True))
    of = concepts_of(system.url, system.version)
    with stopped_by_interrupt(stop), progress(2 * sum(source.size for source in sources)) as advance:

        def told(size: int, tally: Tally) -> None:
            summary.tally.add(tally)
            advance(size, tally)

        try:
            graph = concepts.load(around.store.database, sources, of, advance=told, stopped=stop.is_set)
            if not stop.is_set():
                resource = concepts.head(system.url, system.version, system.language, graph)
                summary.tally.add(Loader(around, stop.is_set).keep(resource, system.url))
        except SourceError as error:
            summary.unreadable.append(str(error))
        except FhirError as error:
            summary.broken = str(error)
    summary.stopped = stop.is_set()
    summary.seconds = time.monotonic() - began
    return summary


def load(client: MongoClient, settings: Settings, paths: list[Path], *, base: str, quiet: bool = False) -> Summary:
    """
    What came of loading `paths` in this process, into the prepared database of `client`.

    base: this server's own, as absolute references to it have it.  quiet: without progress.  Raises Unavailable when
    the store goes away, KeyboardInterrupt when it is stopped; what is loaded by then stays.
    """
    sources, faults = find(paths)
    stop = threading.Event()
    progress = no_progress if quiet else progress_on(Console(stderr=True))
    with stopped_by_interrupt(stop):
        alone = Alone(Loader(app.surroundings(client, settings, base), stop.is_set))
        summary = _load(alone, sources, faults, stop, progress)
    if summary.broken:
        raise Unavailable(summary.broken)
    if summary.stopped:
        raise KeyboardInterrupt
    return summary


@contextmanager
def _workers(uri: str, settings: Settings, base: str, sources: list[Source], stop: Any) -> Iterator[Workers]:
    """This process alone, or several where there is much to do."""
    number = processes_for(sum(source.size for source in sources))

    @contextmanager
    def make() -> Iterator[Loader]:
        with connect(uri) as client:
            yield Loader(app.surroundings(client, settings, base), stop.is_set)

    if number == 1:
        with make() as loader:
            yield Alone(loader)
        return
    with Crew(number, make) as crew:
        yield crew


def _load(
    workers: Workers, sources: list[Source], faults: list[SourceError], stop: Stop, progress: Progress
) -> Summary:
    """Have the sources loaded, those that others refer to before the others, and what had to wait last."""
    summary = Summary(unreadable=[str(fault) for fault in faults])
    began = time.monotonic()
    names: dict[str, str] = {}
    roots: set[str] = set()

    def take(done: Done) -> None:
        summary.tally.add(done.tally)
        room.add(done.waiting)
        names.update(done.names)
        roots.update(done.roots)

    def failed(error: SourceError) -> None:
        summary.unreadable.append(str(error))

    with progress(sum(source.size for source in sources)) as advance, WaitingRoom() as room:
        try:
            for first in (True, False):
                group = (source for source in sources if source.first == first)
                for piece, done in workers.work(pieces(group, failed), stop.is_set):
                    take(done)
                    advance(piece.advance, done.tally)
            for done in workers.settle(room.handfuls(), names, roots, stop.is_set):
                summary.tally.add(done.tally)
                advance(0, done.tally)
        except FhirError as error:
            summary.broken = str(error)
    summary.stopped = stop.is_set()
    summary.seconds = time.monotonic() - began
    return summary


def _say(summary: Summary, say: Callable[[str], None] = print) -> None:
    """The end of a load: per type, per kind of fault, and in all."""
    tally = summary.tally
    if tally.types():
        Console(highlight=False).print(_table(tally))
    titles: dict[Severity, str] = {"warning": "Loaded, but look at it", "error": "Not loaded"}
    for severity, title in titles.items():
        kinds = tally.kinds(severity)
        if kinds:
            say(f"\n{title}:")
        for _, group in kinds[:SHOWN]:
            say(f"  {group.count} × {group.message}\n      {'first ' if group.count > 1 else ''}in {group.place}")
        if len(kinds) > SHOWN:
            rest = sum(group.count for _, group in kinds[SHOWN:])
            say(f"  {rest} further, of {len(kinds) - SHOWN} kinds")
    for line in summary.unreadable:
        say(f"fhir-server: {line}")
    rate = (summary.kept + tally.of("faulty")) / max(summary.seconds, 0.001)
    left = f"{tally.of('not kept')} of a type that is not kept here, " if tally.of("not kept") else ""
    say(
        f"\n{tally.of('created')} loaded, {tally.of('updated')} updated, {tally.of('unchanged')} already there, "
        f"{tally.of('faulty')} faulty, {left}in {summary.seconds:.1f} s ({rate:.0f}/s)"
    )
    if summary.stopped or summary.broken:
        say(f"{summary.broken or 'Stopped.'} Run the same command again to go on from here.")


def _table(tally: Tally) -> Table:
    columns: dict[str, tuple[Fate, ...]] = {
        "loaded": ("created",),
        "updated": ("updated",),
        "already there": ("unchanged",),
        "faulty": ("faulty",),
        "not kept here": ("not kept",),
    }
    shown = {title: fates for title, fates in columns.items() if title == "loaded" or tally.of(*fates)}
    table = Table("type", box=None, header_style="bold")
    for title in shown:
        table.add_column(title, justify="right")
    for type in tally.types():
        table.add_row(type, *(str(sum(tally.fates[type, fate] for fate in fates) or "") for fates in shown.values()))
    return table
