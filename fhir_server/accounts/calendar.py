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
    """The work, by name.  Each piece may be done again without harm."""

    def __init__(self, database: Database, tasks: Mapping[str, Task]):
        self._database = database
        self._tasks = tasks
        self._stopping = threading.Event()

    def once(self) -> dict[str, int] | None:
        """Do what is due: how much of each there was.  None where another process is at it."""
        with lease(self._database, "calendar", LEASE) as ours:
            if not ours:
                return None
            done = {}
            for name, task in self._tasks.items():
                done[name] = task()
                if done[name]:
                    log.info("calendar.done", task=name, number=done[name])
            return done

    def start(self) -> None:
        """Begin, in a thread that ends with the process."""
        threading.Thread(target=self._run, name="calendar", daemon=True).start()

    def stop(self) -> None:
        """End it, after the work that is under way."""
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.wait(LOOK_SECONDS * random.random()):  # noqa: S311 - no secret
            try:
                self.once()
            except (PyMongoError, FhirError) as error:  # the store is away: what is due is due later, too
                log.warning("calendar.waits", error=type(error).__name__)
            self._stopping.wait(LOOK_SECONDS)
