"""What several requests ask for at the same moment, done at once: by whichever of them came first, for all that wait.

Each round trip to MongoDB costs both ends more than what a request has it look up or write, so that requests share it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


class _Ticket(Generic[Asked, Answer]):
    """What one request asks for.  `gate` is held until there is something to do or to say."""

    __slots__ = ("answer", "asked", "failure", "gate", "leads")

    answer: Answer

    def __init__(self, asked: Asked):
        self.asked = asked
        self.gate = threading.Lock()
        self.gate.acquire()
        self.leads = False
        self.failure: BaseException | None = None


class Together(Generic[Asked, Answer]):
    """
    Does `go` for all who ask while it is being done for others: one thread at a time, the others wait.

    go          an answer for each that was asked, in their order; what it raises, each of them raises
    patience    how long, in seconds, whoever goes first waits for those who are expected to ask, too
    """

    def __init__(self, go: Callable[[Sequence[Asked]], Sequence[Answer]], *, patience: float = 0.0):
        self._go = go
        self._patience = patience
        self._lock = threading.Lock()
        self._waiting: list[_Ticket[Asked, Answer]] = []
        self._leader: _Ticket[Asked, Answer] | None = None
        self._busy = False
        self._expected = 0

    def expect(self, more: int) -> None:
        """So many more are expected to ask; fewer, where it is less than zero."""
        with self._lock:
            self._expected += more

    def ask(self, asked: Asked) -> Answer:
        """The answer to this, once `go` has given it.  Raises what `go` raises."""
        ticket = _Ticket[Asked, Answer](asked)
        with self._lock:
            self._waiting.append(ticket)
            leads, self._busy = not self._busy, True
            # All that are expected are here: whoever leads need not wait any longer.
            if self._leader and len(self._waiting) >= self._expected:
                self._leader.gate.release()
                self._leader = None
        if not leads:
            ticket.gate.acquire()
            leads = ticket.leads
        if leads:
            self._lead(ticket)
        if ticket.failure:
            raise ticket.failure
        return ticket.answer

    def _lead(self, ticket: _Ticket[Asked, Answer]) -> None:
        """Go for all that wait, wake those it was for, and hand the lead to the first that has come since."""
        if self._patience:
            with self._lock:
                alone = len(self._waiting) < self._expected
                self._leader = ticket if alone else None
            if alone:
                ticket.gate.acquire(timeout=self._patience)
        with self._lock:
            self._leader = None
            batch, self._waiting = self._waiting, []
        try:
            for one, answer in zip(batch, self._go([one.asked for one in batch]), strict=True):
                one.answer = answer
        except BaseException as error:  # the others must be woken whatever happened; each raises it
            for one in batch:
                one.failure = error
        with self._lock:
            self._busy = bool(self._waiting)
            if self._waiting:
                self._waiting[0].leads = True
                self._waiting[0].gate.release()
        for one in batch:
            if one is not ticket:
                one.gate.release()
