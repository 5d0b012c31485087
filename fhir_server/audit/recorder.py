"""Makes records durable, several requests' in one insert: by whichever of them came first, for all that wait.

A write's record is part of its transaction, as a leaf, and comes into the chain afterwards.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import orjson

from fhir_server.audit.record import Record
from fhir_server.storage.ledger import Chain, Ledger
from fhir_server.storage.store import answering
from fhir_server.storage.together import Together

#: How long a record waits for those of the requests under way, to share its insert with.
COMPANY_SECONDS = 0.003


class _UnderWay:
    """Holds while a request is answered."""

    __slots__ = ("_together",)

    def __init__(self, together: Together[list[bytes], None]):
        self._together = together

    def __enter__(self) -> None:
        self._together.expect(1)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._together.expect(-1)


class Recorder:
    """What one process records; it appends to a chain of its own."""

    def __init__(self, ledger: Ledger):
        self.ledger = ledger
        self._chain = Chain(ledger, self._begin)
        # The requests under way bring their records soon, and a record costs a third when it shares its insert.
        self._together = Together(self._append_all, patience=COMPANY_SECONDS)
        self._under_way = _UnderWay(self._together)

    @property
    def chain(self) -> str | None:
        """The chain that it appends to now."""
        return self._chain.name

    def expecting(self) -> _UnderWay:
        """A request is under way; whoever records meanwhile waits a moment for its record to come along."""
        return self._under_way

    def leaf(self, record: Record) -> dict[str, Any]:
        """The record as a transaction takes it along, to be durable with what it writes or not at all."""
        return self.ledger.leaf(record.id, record.line)

    def record(self, *records: Record) -> None:
        """Return once the records are durable.  Raises Unavailable, or what else MongoDB raised, if they cannot be."""
        self.append([record.line for record in records])

    def append(self, lines: list[bytes]) -> None:
        """As `record`, of lines."""
        with answering():
            self._together.ask(lines)

    def _append_all(self, asked: Sequence[list[bytes]]) -> Sequence[None]:
        self._chain.append([line for lines in asked for line in lines])
        return [None] * len(asked)

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
