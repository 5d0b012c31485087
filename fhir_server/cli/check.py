"""`fhir-server check`: are the resources in these files good?  Nothing is stored, and no database is needed."""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from rich import progress as bars
from rich.console import Console

from fhir_server.config import Settings
from fhir_server.fhir import definitions, xml
from fhir_server.fhir.outcome import FhirError, Issue
from fhir_server.loading.entries import unpack
from fhir_server.loading.sources import Part, Piece, SourceError, find, pieces
from fhir_server.validation import structure

_XML = re.compile(rb"(?:\xef\xbb\xbf)?\s*<")
#: From so many bytes on, or so many files, a terminal is shown how far it is.
_LONG = 2_000_000
_MANY = 20
#: A warning is shown so often; how often it came besides is told at the end.
_ALIKE = 3


@dataclass
class Report:
    """What was found, counted."""

    checked: int = 0
    passed_over: int = 0
    """Files of a folder that hold no resource, and none that lost its type."""
    faulty: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    warned: Counter[str] = field(default_factory=Counter)
    """How often the same was said that is no error."""

    @property
    def failed(self) -> bool:
        """Whether anything is wrong, or could not be read."""
        return self.counts["error"] > 0


def add_to(commands: Any) -> None:
    """Add the subcommand."""
    parser = commands.add_parser("check", help="validate files of resources", description=__doc__)
    parser.add_argument(
        "paths", nargs="+", type=Path, metavar="FILE", help="JSON, XML or NDJSON, perhaps .gz or in a .zip; or a folder"
    )
    parser.add_argument("--errors-only", action="store_true", help="say nothing of warnings")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> None:
    """Check, print each finding with its place, and exit 1 if there was an error among them."""
    console = Console(stderr=True)
    report = check(arguments.paths, errors_only=arguments.errors_only, console=console)
    if report.failed:
        sys.exit(1)


def check(
    paths: Iterable[Path], *, errors_only: bool = False, say: Callable[[str], None] = print, console: Console
) -> Report:
    """What came of checking all that is in `paths`; `say` hears each finding, and at the end how many there are."""
    report = Report()

    def tell(place: str, issues: Iterable[Issue]) -> None:
        for issue in issues:
            report.counts[issue.severity] += 1
            if issue.severity != "error":
                report.warned[issue.diagnostics] += 1
            if issue.severity == "error" or (not errors_only and report.warned[issue.diagnostics] <= _ALIKE):
                where = f" {issue.expression[0]}" if issue.expression else ""
                say(f"{place}:{where} {issue.severity}: {issue.diagnostics}")

    def unreadable(error: SourceError) -> None:
        place, _, words = str(error).partition(": ")
        tell(place, [Issue("exception", words)])

    paths = list(paths)
    named = set(map(str, paths))
    sources, faults = find(paths)
    for fault in faults:
        unreadable(fault)
    size = sum(source.size for source in sources)
    long = size > _LONG or len(sources) > _MANY
    with _bar(size, console) if long and console.is_terminal else nullcontext(_silent) as advance:
        for piece in pieces(sources, unreadable):
            for place, document in _documents(piece):
                issues = _issues(document, lone=place in named)
                if issues is None:
                    report.passed_over += 1
                    continue
                report.checked += 1
                report.faulty += any(issue.severity == "error" for issue in issues)
                tell(place, issues)
            advance(piece.advance)
    for words, count in report.warned.items() if not errors_only else ():
        if count > _ALIKE:
            say(f"{count - _ALIKE} more: {words}")
    if report.passed_over:
        say(f"{report.passed_over} passed over: no resource is in {'it' if report.passed_over == 1 else 'them'}.")
    say(_summary(report))
    return report


def _documents(piece: Piece) -> Iterator[tuple[str, bytes]]:
    """Each document with its place: a file, or a line of one."""
    for part in piece.parts:
        yield from _lines(part) if part.line is not None else [(part.place, part.data)]


def _lines(part: Part) -> Iterator[tuple[str, bytes]]:
    for number, line in enumerate(part.data.split(b"\n"), part.line or 1):
        if line.strip():
            yield f"{part.place}:{number}", line


def _issues(document: bytes, *, lone: bool) -> list[Issue] | None:
    """What is to be said of it; None for a table that lies among resources.  lone: it was named, not found."""
    try:
        resource = xml.parse(document) if _XML.match(document) else unpack(document)
        if not lone and isinstance(resource, dict) and _is_table(resource):
            return None
        return structure.findings(resource)
    except FhirError as error:
        return list(error.issues)


def _is_table(value: dict[str, Any]) -> bool:
    """Whether it is no resource, and none that lost its `resourceType` either: most of it is no element of any."""
    return "resourceType" not in value and 2 * sum(name in _elements() for name in value) < len(value)


@cache
def _elements() -> frozenset[str]:
    """The elements of all resources."""
    return frozenset(name for type in definitions.resources() for name in definitions.structure(type))


def _summary(report: Report) -> str:
    resources = "1 resource" if report.checked == 1 else f"{report.checked} resources"
    found = ", ".join(
        f"{report.counts[severity]} {severity}{'' if report.counts[severity] == 1 else 's'}"
        for severity in ("error", "warning")
    )
    return f"{resources} checked, {report.faulty} faulty: {found}."


def _silent(advanced: int) -> None:
    """Where progress goes when nobody would look at it."""


@contextmanager
def _bar(size: int, console: Console) -> Iterator[Callable[[int], None]]:
    """How far it is, on a terminal."""
    columns = (bars.BarColumn(None), bars.DownloadColumn(), bars.TimeRemainingColumn())
    with bars.Progress(*columns, console=console, transient=True, expand=True) as bar:
        task = bar.add_task("", total=size)
        yield lambda advanced: bar.update(task, advance=advanced)
