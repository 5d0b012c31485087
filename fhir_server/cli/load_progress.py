"""How far a load is: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from rich import progress as bars
from rich.console import Console

from fhir_server.loading.tally import Tally

#: Called with the bytes that are done, and what came of them.
Advance = Callable[[int, Tally], None]
#: Called with the bytes in all.
Progress = Callable[[int], AbstractContextManager[Advance]]

EVERY_SECONDS = 5.0


@contextmanager
def no_progress(size: int) -> Iterator[Advance]:
    """Nothing is shown."""
    yield lambda advanced, tally: None


def progress_on(console: Console) -> Progress:
    """Progress on `console`: a bar if it is a terminal, lines if not."""
    return _bar(console) if console.is_terminal else _lines(console)


def _bar(console: Console) -> Progress:
    @contextmanager
    def shown(size: int) -> Iterator[Advance]:
        columns = (
            bars.BarColumn(None),
            bars.DownloadColumn(),
            bars.TextColumn("{task.fields[resources]} resources, {task.fields[rate]}/s"),
            bars.TimeRemainingColumn(),
        )
        with bars.Progress(*columns, console=console, transient=True, expand=True) as bar:
            task = bar.add_task("", total=size, resources=0, rate=0)
            count = _Count()

            def advance(advanced: int, tally: Tally) -> None:
                count.add(tally)
                bar.update(task, advance=advanced, resources=count.resources, rate=f"{count.rate:.0f}")

            yield advance

    return shown


def _lines(console: Console) -> Progress:
    @contextmanager
    def shown(size: int) -> Iterator[Advance]:
        count, done, told = _Count(), 0, time.monotonic()

        def advance(advanced: int, tally: Tally) -> None:
            nonlocal done, told
            count.add(tally)
            done += advanced
            if time.monotonic() - told >= EVERY_SECONDS:
                told = time.monotonic()
                left = (size - done) / done * count.seconds if done else 0
                console.print(
                    f"fhir-server: {done / max(size, 1):.0%}, {count.resources} resources, {count.rate:.0f}/s, "
                    f"about {left:.0f} s left",
                    highlight=False,
                    soft_wrap=True,
                )

        yield advance

    return shown


class _Count:
    """Resources since the beginning."""

    def __init__(self) -> None:
        self.resources = 0
        self._began = time.monotonic()

    def add(self, tally: Tally) -> None:
        self.resources += sum(tally.fates.values())

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    @property
    def rate(self) -> float:
        return self.resources / max(self.seconds, 0.001)
