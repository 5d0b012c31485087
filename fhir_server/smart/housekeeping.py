"""What a server does by itself, now and then, however many of its processes do it at the same time."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence

import structlog
from pymongo.errors import PyMongoError

from fhir_server.fhir.outcome import FhirError

#: How often, in the mean; each process at times of its own.
EVERY_SECONDS = 15.0

log = structlog.get_logger()


class Housekeeping:
    """A thread that does each of the works now and then.  A work may be done by several at once, to the same effect."""

    def __init__(self, works: Sequence[Callable[[], object]], *, every: float = EVERY_SECONDS):
        self._works = works
        self._every = every
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)

    def start(self) -> None:
        """Begin; what is not done when the process ends, the next one does."""
        self._thread.start()

    def stop(self) -> None:
        """End it, after the work under way."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(self._every * random.uniform(0.5, 1.5)):  # noqa: S311 - no secret
            for work in self._works:
                try:
                    work()
                except (PyMongoError, FhirError) as error:  # the store is away: what waits there waits
                    log.warning("housekeeping.waits", error=type(error).__name__)
