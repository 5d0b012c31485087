"""`python -m benchmarks`: measure the server and the bare ceiling in turns, print the table.

docs/performance.md says how, and how to read it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from pymongo.errors import PyMongoError
from rich.console import Console

from benchmarks import data, rows
from benchmarks.bench import Bench, Plan
from benchmarks.load import BenchError
from benchmarks.report import Failed, Measured, Result, table

NAMES = ("start", *(row.name for row in rows.ROWS), "load", "validate", "memory", "growth")


def _names(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise argparse.ArgumentTypeError(f"unknown row {', '.join(unknown)}; known: {', '.join(NAMES)}")
    return names


def _whole(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("expected a whole number above 0")
    return number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure the server against a bare ceiling."
    )
    parser.add_argument("--only", type=_names, default=NAMES, metavar="ROW,…", help=f"rows to run: {', '.join(NAMES)}")
    parser.add_argument("--quick", action="store_true", help="a small store and two short rounds: does it run at all?")
    parser.add_argument("--concurrency", type=_whole, default=8, help="keep-alive connections (default 8)")
    parser.add_argument("--seconds", type=float, help="length of one measure of one side (default 1.5)")
    parser.add_argument("--rounds", type=_whole, help="measures of each side in each row (default 9)")
    parser.add_argument("--workers", type=_whole, default=2, help="worker processes of each side (default 2)")
    parser.add_argument(
        "--threads", type=_whole, default=8, help="threads of a ceiling's worker (default 8, as the server)"
    )
    parser.add_argument(
        "--scale",
        type=_whole,
        nargs="+",
        metavar="N",
        help="Observations in the store (default 50000); with several, grow to each and compare the search's p50",
    )
    parser.add_argument("--bulk", type=_whole, help="resources of one bulk load (default 20000)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    parser.add_argument(
        "--self-check", action="store_true", help="a second ceiling plays the server: how far from 1 the noise goes"
    )
    return parser


def _plan(given: argparse.Namespace) -> Plan:
    sizes = given.scale or [5_000 if given.quick else 50_000]
    if sizes != sorted(set(sizes)):
        raise BenchError("--scale: give growing sizes, for example --scale 10000 1000000")
    return Plan(
        only=given.only,
        connections=given.concurrency,
        seconds=given.seconds or (1.0 if given.quick else 1.5),
        rounds=given.rounds or (2 if given.quick else 9),
        workers=given.workers,
        threads=given.threads,
        # Whole patients only, so that each has all of its series.
        sizes=tuple(max(size // data.PER_PATIENT, 4) * data.PER_PATIENT for size in sizes),
        bulk=given.bulk or (5_000 if given.quick else 20_000),
        self_check=given.self_check,
    )


def _as_json(plan: Plan, results: list[Result], mongodb: str) -> dict[str, object]:
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "mongodb": mongodb,
            "load_before": os.getloadavg()[0],
        },
        "plan": {name: getattr(plan, name) for name in plan.__dataclass_fields__},
        "rows": [result.as_json() for result in results],
    }


def _closing(console: Console, results: list[Result]) -> None:
    for result in results:
        if isinstance(result, Failed):
            console.print(f"[bold red]FAILED[/] {result.name}: ", end="")
            console.print(result.why, markup=False, highlight=False)
    spreads = [
        max(p.ratio for p in r.pairs) / min(p.ratio for p in r.pairs) for r in results if isinstance(r, Measured)
    ]
    if spreads and statistics.median(spreads) > 1.5:
        console.print(
            "[yellow]The rounds differ by more than half: the machine is busy; more --rounds will tell more.[/]"
        )


def main() -> int:
    """Run the rows; 0 when every row gave its figure, whatever the goals; 1 when one failed."""
    given = _parser().parse_args()
    console = Console(width=None if sys.stdout.isatty() else 150)
    folder = Path(tempfile.mkdtemp(prefix="fhir-bench-"))
    try:
        plan = _plan(given)
        with Bench(plan, folder=folder, console=console) as bench:
            results = list(bench.results())
            mongodb = bench.mongodb_version()
    except BenchError as error:
        Console(stderr=True).print(f"benchmarks: {error}", markup=False, highlight=False, soft_wrap=True)
        return 1
    except PyMongoError as error:
        said = str(error).partition(", Timeout:")[0]
        Console(stderr=True).print(f"benchmarks: MongoDB: {said}", markup=False, highlight=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        Console(stderr=True).print("benchmarks: stopped")
        return 130
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    console.print(table(results))
    _closing(console, results)
    if given.json:
        given.json.write_text(json.dumps(_as_json(plan, results, mongodb), indent=2, ensure_ascii=False) + "\n")
        console.print(f"Figures written to {given.json}")
    return 1 if any(isinstance(result, Failed) for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
