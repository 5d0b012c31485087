"""One run: a store filled as a user would fill it, server and ceiling side by side, measured in turns.

Both run throughout; the one that is not being measured is idle.  Who goes first changes with each round, so that a
machine that grows slower or faster meanwhile favours neither.
"""

from __future__ import annotations

import itertools
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import bson
from pymongo import MongoClient
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from benchmarks import ceiling, data, processes, rows, written
from benchmarks.load import BenchError, Call, Figures, drive, once, request
from benchmarks.processes import BIN, Running
from benchmarks.report import Failed, Measured, Pair, Plain, Result
from benchmarks.validate import microseconds
from fhir_server.storage.connection import StartError, open_database
from fhir_server.storage.ledger import Ledger, keys_of
from fhir_server.validation.structure import faults

SERVER_DATABASE = "fhir_bench"
CEILING_DATABASE = "fhir_bench_ceiling"
SERVER_LOG = "server.log"
PART = 100_000
WARM_SHARE = 0.15
STARTS = 3
READY_LIMIT_SECONDS = 5.0
MEMORY_LIMIT_MB = 200.0
VALIDATE_LIMIT_MS = 1.0
GROWTH_LIMIT = 1.5
LOAD_GOAL = 0.3
SETTLE_LIMIT_SECONDS, SETTLE_PAUSE_SECONDS = 60.0, 0.1


@dataclass(frozen=True)
class Plan:
    """What to run, from the command line."""

    only: tuple[str, ...]
    connections: int
    seconds: float
    rounds: int
    workers: int
    threads: int
    sizes: tuple[int, ...]
    bulk: int
    self_check: bool


class Bench:
    """The processes and databases of one run; leaving it stops the former and drops the latter."""

    def __init__(self, plan: Plan, *, folder: Path, console: Console) -> None:
        self._plan = plan
        self._folder = folder
        self._data_dir = folder / "data"
        self._console = console
        self._closing = ExitStack()
        self._uri = os.environ.get("FHIR_SERVER_MONGODB_URI")
        if self._uri:
            self._closing.callback(self._drop, self._uri)
        self._client: MongoClient[dict[str, Any]] | None = None
        self._server: Running | None = None
        self._token = ""
        self._bulk_loads = itertools.count()

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._closing.close()

    def _drop(self, uri: str) -> None:
        """Leave nothing in a MongoDB that was not ours; ours goes with its folder."""
        with MongoClient[dict[str, Any]](uri) as client:
            client.drop_database(CEILING_DATABASE)
            client.drop_database(SERVER_DATABASE)

    def mongodb_version(self) -> str:
        """The version of the MongoDB under both sides."""
        return str(self._mongodb().server_info()["version"])

    def results(self) -> Iterator[Result]:
        """Run the chosen rows; each comes as soon as it is measured.  Raises BenchError when a side does not start."""
        stored = self._plan.sizes[0]
        if not self._plan.self_check:
            self._load(0, stored)
            yield from self._starts()
        self._fill_ceiling(stored)
        server, bare = self._sides()
        for row in rows.ROWS:
            if row.name in self._plan.only:
                yield self._row(row, server, bare, stored)
        if self._plan.self_check:
            return
        if "load" in self._plan.only:
            yield self._guarded("load", "bulk load, validated (resources/s)", self._bulk)
        if "validate" in self._plan.only:
            milliseconds = microseconds(partial(faults, data.french_weight())) / 1000
            yield Plain("validate", "validate a measure, base and profile", milliseconds, " ms", VALIDATE_LIMIT_MS)
        if "memory" in self._plan.only:
            megabytes = processes.worker_megabytes(server.process.pid)
            yield Plain("memory", "heaviest worker after the rows above", megabytes, " MB", MEMORY_LIMIT_MB)
        if "growth" in self._plan.only and len(self._plan.sizes) > 1:
            yield self._guarded("growth", "search p50, store grown", lambda: self._growth(server, bare))

    # -- the store ----------------------------------------------------------------------------------------------------

    def _env(self) -> dict[str, str]:
        return {"FHIR_SERVER_MONGODB_DATABASE": SERVER_DATABASE}

    def _fhir_server(self, *arguments: str) -> list[str]:
        return [str(BIN / "fhir-server"), *arguments, "--data-dir", str(self._data_dir)]

    def _track(self, title: str, steps: Iterable[int], total: int) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=self._console, refresh_per_second=2) as progress:
            task = progress.add_task(title, total=total)
            pending = 0
            for step in steps:
                pending += step
                if pending >= 500:
                    progress.advance(task, pending)
                    pending = 0
            progress.advance(task, pending)

    def _load(self, start: int, end: int) -> None:
        """Bring the server's store from `start` to `end` Observations with `fhir-server load`."""
        for first in range(start, end, PART):
            count = min(PART, end - first)
            path = self._folder / "store.ndjson"
            steps = data.write_ndjson(path, data.observations(count, start=first))
            self._track(f"writing {count} Observations", steps, count)
            self._console.print(f"fhir-server load: {first} to {first + count} Observations …")
            _, seconds = processes.run(self._fhir_server("load", str(path)), log=self._log("load.log"), env=self._env())
            self._console.print(f"  {count / seconds:.0f}/s")
        if start == 0:
            path = self._folder / "created.ndjson"
            others = ((number, 0) for number in range(rows.CREATED_PATIENTS))
            list(data.write_ndjson(path, others, family=rows.CREATED_FAMILY))
            processes.run(self._fhir_server("load", str(path)), log=self._log("load.log"), env=self._env())

    def _mongodb(self) -> MongoClient[dict[str, Any]]:
        if self._client is None:
            self._uri = self._uri or self._join_embedded()
            self._client = MongoClient[dict[str, Any]](self._uri, w="majority", journal=True)
            self._closing.callback(self._client.close)
        return self._client

    def _join_embedded(self) -> str:
        try:
            opened = open_database(uri=None, data_dir=self._data_dir)
        except StartError as error:
            raise BenchError(str(error)) from None
        self._closing.callback(opened.close)
        if "proc%2Fself" in opened.uri:  # a name that only this process knows: the ceiling could not connect
            raise BenchError(f"{self._folder} is too long a path for MongoDB's socket; set TMPDIR to a shorter one.")
        return opened.uri

    def _fill_ceiling(self, stored: int) -> None:
        database = self._mongodb()[CEILING_DATABASE]
        self._mongodb().drop_database(CEILING_DATABASE)
        steps = ceiling.fill(database, data.observations(stored))
        self._track(f"filling the ceiling with {stored}", steps, stored)

    # -- the two sides ------------------------------------------------------------------------------------------------

    def _log(self, name: str) -> Path:
        return self._folder / name

    def _starts(self) -> Iterator[Result]:
        """Start the server on the loaded store, several times if the row is asked for; the last one stays."""
        times = []
        for _ in range(STARTS if "start" in self._plan.only else 1):
            if self._server is not None:
                self._server.stop()
            port = processes.free_port()
            command = self._fhir_server("serve", "--port", str(port), "--workers", str(self._plan.workers))
            self._server = processes.start("the server", command, port=port, log=self._log(SERVER_LOG), env=self._env())
            times.append(self._server.seconds)
        assert self._server is not None
        self._closing.callback(self._server.stop)
        if "start" in self._plan.only:
            seconds = statistics.median(times)
            yield Plain(
                "start", "ready after start on existing data", seconds, " s", READY_LIMIT_SECONDS, {"rounds": times}
            )

    def _sides(self) -> tuple[Running, Running]:
        if self._server is None:
            shapes = written.assumed()
            return self._ceiling("a ceiling as server", shapes), self._ceiling("the ceiling", shapes)
        command = self._fhir_server("token", "--scope", "system/*.cruds", "--ttl", "86400")
        said, _ = processes.run(command, log=self._log("token.log"), env=self._env())
        self._token = said.strip()
        return self._server, self._ceiling("the ceiling", self._shapes(self._server))

    def _shapes(self, server: Running) -> written.Written:
        call = rows.CREATE.calls(self._plan.sizes[0], self._token)[0]
        shapes = written.observed(self._mongodb(), SERVER_DATABASE, lambda: once(server.address, call))
        if shapes is None:
            self._console.print(
                "[yellow]What a create writes cannot be seen here: the ceiling writes assumed documents.[/]"
            )
            return written.assumed()
        sizes = [f"{row['collection']} {len(bson.encode(row['document']))} B" for row in shapes]
        self._console.print(f"a create writes {len(shapes)} documents, and so does the ceiling: {', '.join(sizes)}")
        return shapes

    def _ceiling(self, name: str, shapes: written.Written) -> Running:
        path = self._folder / "written.bson"
        path.write_bytes(bson.encode({"documents": shapes}))
        env = {
            "BENCH_URI": str(self._uri),
            "BENCH_DATABASE": CEILING_DATABASE,
            "BENCH_WRITTEN": str(path),
        }
        port = processes.free_port()
        command = [sys.executable, "-m", "gunicorn", "--bind", f"{processes.HOST}:{port}", "--worker-class", "gthread"]
        command += ["--workers", str(self._plan.workers), "--threads", str(self._plan.threads), "--keep-alive", "75"]
        command += ["--log-level", "warning", "benchmarks.ceiling:create_app()"]
        running = processes.start(name, command, port=port, log=self._log(f"{port}.log"), env=env)
        self._closing.callback(running.stop)
        return running

    # -- the measures -------------------------------------------------------------------------------------------------

    def _guarded(self, name: str, title: str, measure: Callable[[], Result]) -> Result:
        try:
            return measure()
        except BenchError as error:
            self._console.print(f"[bold red]FAILED[/] {name}")
            return Failed(name, title, str(error))

    def _row(self, row: rows.Row, server: Running, bare: Running, stored: int) -> Result:
        return self._guarded(row.name, row.title, lambda: self._measured(row, server, bare, stored))

    def _measured(self, row: rows.Row, server: Running, bare: Running, stored: int) -> Measured:
        calls = row.calls(stored, self._token)
        for side in (server, bare):
            rows.tried(row, calls[0], once(side.address, calls[0]))
            self._drive(side, calls, seconds=self._plan.seconds / 2)
        pairs = []
        for number in range(self._plan.rounds):
            pairs.append(self._pair(server, bare, calls, ceiling_first=number % 2 == 0))
            self._say(row, number, pairs[-1])
        return Measured(row.name, row.title, row.goal, row.each, tuple(pairs))

    def _pair(self, server: Running, bare: Running, calls: list[Call], *, ceiling_first: bool) -> Pair:
        if ceiling_first:
            self._settle()
            figures = self._drive(bare, calls)
            return Pair(self._drive(server, calls), figures)
        figures = self._drive(server, calls)
        self._settle()
        return Pair(figures, self._drive(bare, calls))

    def _settle(self) -> None:
        """Wait until the server has made AuditEvents of what it has recorded, or that would slow the ceiling down."""
        ledger = Ledger(self._mongodb()[SERVER_DATABASE], keys_of(""), lambda: datetime.now(UTC))
        until = time.monotonic() + SETTLE_LIMIT_SECONDS
        while (ledger.waiting(ledger.heads(), 1) or ledger.leaves(1)) and time.monotonic() < until:
            time.sleep(SETTLE_PAUSE_SECONDS)

    def _drive(self, side: Running, calls: list[Call], *, seconds: float | None = None) -> Figures:
        length = seconds or self._plan.seconds
        try:
            return drive(
                side.address,
                itertools.cycle(calls),
                connections=self._plan.connections,
                seconds=length,
                warm=length * WARM_SHARE,
            )
        except BenchError as error:
            raise BenchError(f"{side.name}: {error}") from None

    def _say(self, row: rows.Row, number: int, pair: Pair) -> None:
        server, bare = pair.server.rate * row.each, pair.ceiling.rate * row.each
        turn = f"{row.name} {number + 1}/{self._plan.rounds}"
        self._console.print(f"{turn}: server {server:.0f}/s, ceiling {bare:.0f}/s, {pair.ratio:.2f}", highlight=False)

    # -- bulk load ----------------------------------------------------------------------------------------------------

    def _bulk(self) -> Measured:
        """`fhir-server load` of NDJSON files against insert_many of their lines.

        The command's own start is taken off: it is what a load of one resource takes.
        """
        pairs = []
        for number in range(min(self._plan.rounds, STARTS)):
            path = self._bulk_file(self._plan.bulk)
            if number % 2:
                loaded = self._loaded(path)
                inserted = self._inserted(path)
            else:
                inserted = self._inserted(path)
                loaded = self._loaded(path)
            pairs.append(Pair(loaded, inserted))
            self._console.print(
                f"load {number + 1}: {loaded.rate:.0f}/s, insert_many {inserted.rate:.0f}/s", highlight=False
            )
        return Measured("load", "bulk load, validated (resources/s)", LOAD_GOAL, 1, tuple(pairs))

    def _bulk_file(self, count: int) -> Path:
        path = self._folder / "bulk.ndjson"
        steps = data.write_ndjson(path, data.observations(count), family=f"l{next(self._bulk_loads)}")
        self._track(f"writing {count} resources", steps, count)
        return path

    def _loaded(self, path: Path) -> Figures:
        lines = path.read_bytes().count(b"\n")
        single = self._folder / "single.ndjson"
        list(data.write_ndjson(single, iter([(0, 0)]), family=f"l{next(self._bulk_loads)}"))
        _, idle = processes.run(self._fhir_server("load", str(single)), log=self._log("load.log"), env=self._env())
        _, whole = processes.run(self._fhir_server("load", str(path)), log=self._log("load.log"), env=self._env())
        self._is_loaded(path)
        # The less there is to load, the more of it is start: half is always kept, or noise would make a figure.
        return Figures(lines, max(whole - idle, whole / 2), ())

    def _is_loaded(self, path: Path) -> None:
        """The file's last resource can be read.  Raises BenchError if not."""
        last = json.loads(path.read_bytes().splitlines()[-1])
        target = f"/fhir/{last['resourceType']}/{last['id']}"
        assert self._server is not None
        once(self._server.address, Call(request("GET", target, token=self._token), 200, lambda body: None))

    def _inserted(self, path: Path) -> Figures:
        collection = self._mongodb()[CEILING_DATABASE]["bulk"]
        collection.drop()
        lines = path.read_bytes().splitlines()
        began = time.perf_counter()
        for first in range(0, len(lines), ceiling.FILL_BATCH):
            batch = lines[first : first + ceiling.FILL_BATCH]
            collection.insert_many([{"body": body} for body in batch], ordered=False)
        seconds = time.perf_counter() - began
        return Figures(len(lines), seconds, ())

    # -- growth -------------------------------------------------------------------------------------------------------

    def _growth(self, server: Running, bare: Running) -> Plain:
        """How the search's p50 grows with the store, less what the machine's own mood did to the unchanged ceiling."""
        small, large = self._plan.sizes[0], self._plan.sizes[-1]
        before = self._search_medians(server, bare, small)
        self._load(small, large)
        after = self._search_medians(server, bare, large)
        growth, drift = after[0] / before[0], after[1] / before[1]
        self._console.print(
            f"growth {small} to {large}: server p50 {before[0]:.2f} → {after[0]:.2f} ms ({growth:.2f}-fold), "
            f"unchanged ceiling {before[1]:.2f} → {after[1]:.2f} ms ({drift:.2f}-fold)",
            highlight=False,
        )
        detail = {"server_p50_ms": (before[0], after[0]), "unchanged_ceiling_p50_ms": (before[1], after[1])}
        title = f"search p50, store grown {large // small}-fold, less the ceiling's drift"
        return Plain("growth", title, growth / drift, "-fold", GROWTH_LIMIT, detail)

    def _search_medians(self, server: Running, bare: Running, stored: int) -> tuple[float, float]:
        wide, narrow = rows.SEARCH.calls(stored, self._token), rows.SEARCH.calls(self._plan.sizes[0], self._token)
        found: tuple[list[float], list[float]] = ([], [])
        for _ in range(self._plan.rounds):
            found[0].append(self._drive(server, wide).percentile(0.5))
            found[1].append(self._drive(bare, narrow).percentile(0.5))
        return statistics.median(found[0]), statistics.median(found[1])
