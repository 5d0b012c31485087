"""gunicorn's worker, as this server wants it."""

from __future__ import annotations

import select
import time
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from gunicorn.http.errors import LimitRequestHeaders, LimitRequestLine, ParseException
from gunicorn.workers.gthread import ThreadWorker

from fhir_server.fhir import json
from fhir_server.fhir.outcome import Issue, operation_outcome

#: How long a thread waits for the next request of its connection, before it leaves that to the poller.
STAY_MS = 50
#: How much slower a connection makes a worker, and how many of them count: a millisecond in all.
SECONDS_EACH, MOST_COUNTED = 0.000125, 8


class Worker(ThreadWorker):
    """
    A worker with threads.

    It answers in FHIR what gunicorn itself refuses: a request line or a header that is none.  It is the slower to
    take a connection the more it has, so that the few that a client keeps open do not all end at one worker.  And while
    there are threads enough, one stays with its connection: to hand each request from the poller to a thread and back
    costs as much as to answer it.
    """

    def handle(self, conn: Any) -> Any:
        """Answer the requests of a connection, as long as the next one comes soon and nobody else wants the thread."""
        while True:
            kept = super().handle(conn)
            if kept is not True or not self.alive or self.nr_conns >= self.cfg.threads:
                return kept
            if not conn.parser.unreader.buf.getvalue() and not _comes(conn.sock):
                return kept

    def accept(self, listener: Any) -> None:
        """Take a connection, if no worker with fewer of them was quicker."""
        time.sleep(min(self.nr_conns, MOST_COUNTED) * SECONDS_EACH)
        super().accept(listener)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Send an OperationOutcome; the connection is over, whatever the socket says to that."""
        status = _status(exc)
        self.log.warning("Answered %s to a connection: %s", status, type(exc).__name__)
        said = "This is not a good HTTP request" if status < 500 else "The server failed"
        body = json.dumps(operation_outcome([Issue("invalid", f"{said}: {type(exc).__name__}.")]))
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: application/fhir+json; charset=utf-8\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        with suppress(OSError):
            client.sendall(head.encode() + body)


def _comes(sock: Any) -> bool:
    """Whether there is something to read within the time that a thread stays."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(STAY_MS))


def _status(error: BaseException) -> int:
    """RFC 9110 s. 15.5.15, RFC 6585 s. 5"""
    if isinstance(error, LimitRequestLine):
        return 414
    if isinstance(error, LimitRequestHeaders):
        return 431
    return 400 if isinstance(error, ParseException) else 500
