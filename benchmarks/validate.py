"""`python -m benchmarks.validate`: what parsing, checking and writing one resource costs, in microseconds.

A resource that claims a profile is held to R4 and to the profile.  Last comes the memory that every profile that comes
along takes once it is compiled.
"""

from __future__ import annotations

import gc
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import data, rows
from fhir_server.fhir.json import dumps, parse
from fhir_server.fhir.terminology.carried import carried_terminologies
from fhir_server.validation.profiles import Profiles, carried_profiles
from fhir_server.validation.structure import faults

ROUNDS = 7
ROUND_SECONDS = 0.15


def microseconds(work: Callable[[], Any]) -> float:
    """The median over short rounds of what one call takes."""
    work()
    costs = []
    for _ in range(ROUNDS):
        calls, began = 0, time.perf_counter()
        while (spent := time.perf_counter() - began) < ROUND_SECONDS:
            work()
            calls += 1
        costs.append(spent / calls * 1e6)
    return statistics.median(costs)


def samples() -> dict[str, bytes]:
    """Resources by title, as bytes."""
    twenty = data.encode(rows.transaction_bundle(0))
    return {
        "Patient": data.encode(data.patient(0)),
        "Observation": data.encode(data.observation(0, 0)),
        "Observation, Mesures de santé": data.encode(data.french_weight()),
        f"Bundle of {data.PAGE} Observations": twenty,
    }


def profiles_megabytes() -> tuple[int, float]:
    """How many profiles there are, and the memory that they take, compiled, with the codes of their value sets."""
    before = _resident_bytes()
    known = Profiles(members=carried_terminologies().enumerated)
    for url in carried_profiles():
        known.compiled(url)
    gc.collect()
    return len(carried_profiles()), (_resident_bytes() - before) / 1e6


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> int:
    """Print the table; 1 when a resource that should be good is not."""
    count, megabytes = profiles_megabytes()
    table = Table(title="µs for one resource")
    table.add_column("resource")
    for heading in ("bytes", "parse", "faults", "dumps", "sum"):
        table.add_column(heading, justify="right")
    for title, sent in samples().items():
        resource = parse(sent)
        found = list(faults(resource))
        if found:
            print(f"{title} should have no fault, but has {len(found)}: {found[0]}", file=sys.stderr)
            return 1
        costs = [
            microseconds(lambda sent=sent: parse(sent)),  # type: ignore[misc]
            microseconds(lambda resource=resource: list(faults(resource))),  # type: ignore[misc]
            microseconds(lambda resource=resource: dumps(resource)),  # type: ignore[misc]
        ]
        table.add_row(title, str(len(sent)), *(f"{cost:.0f}" for cost in (*costs, sum(costs))))
    Console().print(table)
    print(f"{count} profiles compiled: {megabytes:.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
