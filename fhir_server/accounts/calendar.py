"""What falls due by the calendar: looked for now and then by each worker of the server, done by one at a time."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping
from datetime import timedelta

import structlog
from pymongo.database import Database
from pymongo.errors import PyMongoError

from fhir_server.fhir.outcome import FhirError
from fhir_server.storage.lease import lease

#: How often a worker looks; they do not all look at once.
LOOK_SECONDS = 300.0
LEASE = timedelta(minutes=10)

log = structlog.get_logger()

#: A piece of work: does what is due, and says how much that was.
Task = Callable[[], int]


class Calendar:
    """
    The work, by name.  Each piece may be done again without harm.

    name: what is done by one process at a time.  every: how often it is looked for, in seconds.
    """

    def __init__(
        self, database: Database, tasks: Mapping[str, Task], *, name: str = "calendar", every: float | None = None
    ):
        self._database = database
        self._tasks = tasks
        self._name = name
        self._every = LOOK_SECONDS if every is None else every
        self._stopping = threading.Event()

    def once(self) -> dict[str, int] | None:
        """Do what is due: how much of each there was.  None where another process is at it."""
        with lease(self._database, self._name, LEASE) as ours:
            return {name: self._done(name) for name in self._tasks} if ours else None

    def start(self) -> None:
        """Begin, in a thread that ends with the process."""
        threading.Thread(target=self._run, name=self._name, daemon=True).start()

    def stop(self) -> None:
        """End it, after the work that is under way."""
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.wait(self._every * random.uniform(0.5, 1.5)):  # noqa: S311 - no secret
            try:
                with lease(self._database, self._name, LEASE) as ours:
                    for name in self._tasks if ours else ():
                        self._attempt(name)
            except (PyMongoError, FhirError) as error:
                log.warning("calendar.waits", error=type(error).__name__)

    def _attempt(self, name: str) -> None:
        """Do it; what cannot be done now is due later too, and keeps the others from nothing."""
        try:
            self._done(name)
        except (PyMongoError, FhirError) as error:
            log.warning("calendar.waits", task=name, error=type(error).__name__)

    def _done(self, name: str) -> int:
        done = self._tasks[name]()
        if done:
            log.info("calendar.done", task=name, number=done)
        return done
