"""Makes records durable, several requests' in one insert: by whichever of them came first, for all that wait.

A write's record is part of its transaction, as a leaf, and comes into the chain afterwards.
"""

from __future__ import annotations

import os
import socket
import threading
from types import TracebackType
from typing import Any

import orjson

from fhir_server.audit.record import Record
from fhir_server.storage.ledger import Chain, Ledger
from fhir_server.storage.store import answering

#: How long a record waits for those of the requests under way, to share its insert with.
COMPANY_SECONDS = 0.003


class _Ticket:
    """The records of one request, that wait to be durable.  `gate` is held until there is something to do or to say."""

    __slots__ = ("lines", "gate", "leads", "failure")

    def __init__(self, lines: list[bytes]):
        self.lines = lines
        self.gate = threading.Lock()
        self.gate.acquire()
        self.leads = False
        self.failure: BaseException | None = None


class _UnderWay:
    """Holds while a request is answered."""

    __slots__ = ("_recorder",)

    def __init__(self, recorder: Recorder):
        self._recorder = recorder

    def __enter__(self) -> None:
        self._recorder.begins()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._recorder.ends()


class Recorder:
    """What one process records; it appends to a chain of its own."""

    def __init__(self, ledger: Ledger):
        self.ledger = ledger
        self._chain = Chain(ledger, self._begin)
        self._lock = threading.Lock()
        self._waiting: list[_Ticket] = []
        self._leader: _Ticket | None = None
        self._busy = False
        self._expected = 0
        self._under_way = _UnderWay(self)

    @property
    def chain(self) -> str | None:
        """The chain that it appends to now."""
        return self._chain.name

    def expecting(self) -> _UnderWay:
        """A request is under way; whoever records meanwhile waits a moment for its record to come along."""
        return self._under_way

    def begins(self) -> None:
        """A request is under way."""
        with self._lock:
            self._expected += 1

    def ends(self) -> None:
        """It no longer is."""
        with self._lock:
            self._expected -= 1

    def leaf(self, record: Record) -> dict[str, Any]:
        """The record as a transaction takes it along, to be durable with what it writes or not at all."""
        return self.ledger.leaf(record.id, record.line)

    def record(self, *records: Record) -> None:
        """Return once the records are durable.  Raises Unavailable, or what else MongoDB raised, if they cannot be."""
        self.append([record.line for record in records])

    def append(self, lines: list[bytes]) -> None:
        """As `record`, of lines."""
        ticket = _Ticket(lines)
        with self._lock:
            waiting = self._waiting
            waiting.append(ticket)
            leads, self._busy = not self._busy, True
            # All that are under way are here: whoever leads need not wait any longer.
            if self._leader and len(waiting) >= self._expected:
                self._leader.gate.release()
                self._leader = None
        if not leads:
            ticket.gate.acquire()
            leads = ticket.leads
        if leads:
            self._append_all(ticket)
        if ticket.failure:
            with answering():
                raise ticket.failure

    def _append_all(self, ticket: _Ticket) -> None:
        """Append all that waits, wake those it was for, and hand the lead to the first that has come since."""
        with self._lock:
            alone = len(self._waiting) < self._expected
            self._leader = ticket if alone else None
        if alone:
            # The requests under way bring their records soon, and a record costs a third when it shares its insert.
            ticket.gate.acquire(timeout=COMPANY_SECONDS)
        with self._lock:
            self._leader = None
            batch, self._waiting = self._waiting, []
        failure: BaseException | None = None
        try:
            self._chain.append([line for one in batch for line in one.lines])
        except BaseException as error:  # the others must be woken whatever happened; each raises it
            failure = error
        with self._lock:
            self._busy = bool(self._waiting)
            if self._waiting:
                self._waiting[0].leads = True
                self._waiting[0].gate.release()
        for one in batch:
            one.failure = failure
            if one is not ticket:
                one.gate.release()

    def _begin(self, chain: str) -> bytes:
        """The first record of a chain: who makes it, with which key, and how far the others had come."""
        others = {head.chain: [head.number, head.mac.hex()] for head in self.ledger.heads() if head.chain != chain}
        return orjson.dumps(
            {
                "begin": chain,
                "at": round(self.ledger.clock().timestamp() * 1000),
                "key": self.ledger.key.name,
                "by": f"{socket.gethostname()} {os.getpid()}",
                "heads": others,
            }
        )
