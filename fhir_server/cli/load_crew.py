"""Who works off the pieces of a load: this process alone, or several, each with a client of its own."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Any, Protocol

from fhir_server.fhir.outcome import FhirError, Unavailable
from fhir_server.loading.sources import Piece
from fhir_server.loading.waiting import Waiting
from fhir_server.loading.work import Done, Loader

#: Below this many bytes, further processes are not worth their start.
WORTH = 4_000_000
MOST = 8

Stopped = Callable[[], bool]


def processes_for(size: int) -> int:
    """How many processes are to load files of `size` bytes."""
    if size < WORTH:
        return 1
    return max(1, min(MOST, len(os.sched_getaffinity(0))))


class Workers(Protocol):
    """What a load is given to."""

    def work(self, pieces: Iterable[Piece], stopped: Stopped) -> Iterator[tuple[Piece, Done]]:
        """Each piece with what came of it, in any order, until it is stopped."""

    def settle(
        self, handfuls: Iterable[list[Waiting]], names: dict[str, str], roots: set[str], stopped: Stopped
    ) -> Iterator[Done]:
        """What came of those that had to wait."""


class Alone:
    """One loader in this process."""

    def __init__(self, loader: Loader):
        self._loader = loader

    def work(self, pieces: Iterable[Piece], stopped: Stopped) -> Iterator[tuple[Piece, Done]]:
        """As Workers."""
        for piece in pieces:
            if stopped():
                return
            yield piece, self._loader.work(piece)

    def settle(
        self, handfuls: Iterable[list[Waiting]], names: dict[str, str], roots: set[str], stopped: Stopped
    ) -> Iterator[Done]:
        """As Workers."""
        for handful in handfuls:
            if stopped():
                return
            yield self._loader.settle(handful, names, roots)


class Crew:
    """
    Several loaders, each in a process forked from this one, which must not have a client yet.

    make: the loader of a process, made and used in it.
    """

    def __init__(self, number: int, make: Callable[[], AbstractContextManager[Loader]]):
        self._number = number
        self._make = make
        self._members: list[tuple[Any, Connection[Any, Any]]] = []

    def __enter__(self) -> Crew:
        context = get_context("fork")
        for _ in range(self._number):
            ours, theirs = context.Pipe()
            # What is forked has our ends too; as long as it does not close them, nobody's end is told to anybody.
            inherited = [ours, *(connection for _, connection in self._members)]
            process = context.Process(target=_member, args=(theirs, inherited, self._make), daemon=True)
            process.start()
            theirs.close()
            self._members.append((process, ours))
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        for process, connection in self._members:
            connection.close()
            if kind is not None:
                process.terminate()
        for process, _ in self._members:
            process.join()

    def work(self, pieces: Iterable[Piece], stopped: Stopped) -> Iterator[tuple[Piece, Done]]:
        """As Workers.  A piece with conditional creates runs by itself: it must see what the others made."""
        yield from self._spread(((piece, "work", (piece,), piece.has_conditions) for piece in pieces), stopped)

    def settle(
        self, handfuls: Iterable[list[Waiting]], names: dict[str, str], roots: set[str], stopped: Stopped
    ) -> Iterator[Done]:
        """As Workers."""

        def jobs() -> Iterator[tuple[None, str, tuple[Any, ...], bool]]:
            for handful in handfuls:
                wanted = {text for each in handful for text in each.wanted}
                yield None, "settle", (handful, {n: names[n] for n in wanted & names.keys()}, roots), False

        for _, done in self._spread(jobs(), stopped):
            yield done

    def _spread(self, jobs: Iterator[tuple[Any, str, tuple[Any, ...], bool]], stopped: Stopped) -> Iterator[Any]:
        """Each job's tag with what came of it.  A job that must be alone waits for the others, and they for it."""
        idle = [connection for _, connection in self._members]
        busy: dict[Connection[Any, Any], Any] = {}
        alone = False
        for tag, method, arguments, exclusive in jobs:
            while busy and (not idle or exclusive or alone):
                yield from self._finished(busy, idle)
            if stopped():
                break
            connection = idle.pop()
            connection.send((method, arguments))
            busy[connection] = tag
            alone = exclusive
        while busy:
            yield from self._finished(busy, idle)

    @staticmethod
    def _finished(busy: dict[Connection[Any, Any], Any], idle: list[Connection[Any, Any]]) -> Iterator[Any]:
        for ready in [connection for connection in wait(list(busy)) if isinstance(connection, Connection)]:
            try:
                done = ready.recv()
            except (EOFError, OSError):
                raise Unavailable("A process of the load has ended.") from None
            if isinstance(done, str):
                raise Unavailable(done)
            idle.append(ready)
            yield busy.pop(ready), done


def _member(
    connection: Connection[Any, Any],
    inherited: list[Connection[Any, Any]],
    make: Callable[[], AbstractContextManager[Loader]],
) -> None:
    """Work off what comes through the connection until its other end is closed."""
    # Ctrl-C goes to all processes of a terminal; the first of them says when to stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for end in inherited:
        end.close()
    with make() as loader:
        while True:
            try:
                method, arguments = connection.recv()
                connection.send(_outcome(loader, method, arguments))
            except (EOFError, BrokenPipeError):
                # Nobody waits for it any more; what is written, the next load finds.
                return


def _outcome(loader: Loader, method: str, arguments: tuple[Any, ...]) -> Done | str:
    """What came of a piece, or why the store did not take it."""
    try:
        done: Done = getattr(loader, method)(*arguments)
    except FhirError as error:
        return str(error)
    return done
