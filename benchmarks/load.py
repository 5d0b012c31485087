"""The load generator: one thread, many keep-alive connections, requests built beforehand.

It shares the machine with what it measures, so it does as little as it can: a request costs it some 30 µs.  Every
answer is checked; the first wrong one ends the measure, since a fast wrong answer is not a figure.
"""

from __future__ import annotations

import gc
import selectors
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

ANSWER_LIMIT_SECONDS = 30


class BenchError(Exception):
    """What stops the benchmark, or one row of it; the message is one line for the person who runs it."""


@dataclass(frozen=True)
class Call:
    """A request as bytes, the status that it must get, and a check of the body: what is wrong with it, or None."""

    sent: bytes
    status: int
    fault: Callable[[bytes], str | None]

    @property
    def line(self) -> str:
        """The request line."""
        return self.sent.split(b"\r\n", 1)[0].decode()


@dataclass(frozen=True)
class Figures:
    """What one round measured; latencies are in milliseconds and sorted, none where only the whole was timed."""

    requests: int
    seconds: float
    latencies: tuple[float, ...]

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds

    def percentile(self, share: float) -> float:
        """The latency that `share` of the requests did not exceed, in ms."""
        return self.latencies[min(len(self.latencies) - 1, int(share * len(self.latencies)))]


def request(method: str, target: str, *, token: str | None = None, body: bytes = b"") -> bytes:
    """The bytes of an HTTP/1.1 request on a connection that stays open.  RFC 9112"""
    lines = [f"{method} {target} HTTP/1.1", "Host: 127.0.0.1", "Accept: application/fhir+json"]
    if token:
        lines.append(f"Authorization: Bearer {token}")
    if body:
        lines += ["Content-Type: application/fhir+json", f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class _Connection:
    """One keep-alive connection and the request under way on it."""

    __slots__ = ("_address", "_buffer", "_needed", "began", "call", "sock", "status")

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self.sock = self._open()
        self.status = 0

    def _open(self) -> socket.socket:
        sock = socket.create_connection(self._address, timeout=ANSWER_LIMIT_SECONDS)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def send(self, call: Call) -> None:
        """Start a request."""
        self.call, self._buffer, self._needed = call, b"", -1
        self.began = time.perf_counter_ns()
        self.sock.sendall(call.sent)

    def receive(self) -> bytes | None:
        """Take what has come: the whole body once it is here, else None.  Raises BenchError if it breaks off."""
        piece = self.sock.recv(262_144)
        if not piece:
            raise BenchError(f"{self.call.line}: the connection was closed before the answer was whole")
        self._buffer = self._buffer + piece if self._buffer else piece
        if self._needed < 0:
            self._read_head()
        if self._needed < 0 or len(self._buffer) < self._needed:
            return None
        return self._buffer[self._buffer.index(b"\r\n\r\n") + 4 :]

    def _read_head(self) -> None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._buffer[:end].lower()
        self.status = int(head[9:12])
        at = head.find(b"\r\ncontent-length:")
        if at < 0 and self.status not in (204, 304):
            raise BenchError(f"{self.call.line}: answer {self.status} without Content-Length")
        length = int(head[at + 17 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        self._needed = end + 4 + length


def _checked(connection: _Connection, body: bytes) -> None:
    call = connection.call
    if connection.status != call.status:
        said = body[:400].decode(errors="replace").replace("\n", " ")
        raise BenchError(f"{call.line}: answered {connection.status}, expected {call.status}: {said}")
    fault = call.fault(body)
    if fault:
        raise BenchError(f"{call.line}: {fault}")


def once(address: tuple[str, int], call: Call) -> bytes:
    """The checked body of one answer.  Raises BenchError as `drive` does."""
    try:
        connection = _Connection(address)
        try:
            connection.send(call)
            while (body := connection.receive()) is None:
                pass
        finally:
            connection.sock.close()
    except OSError as error:
        raise BenchError(f"{call.line}: {error}") from None
    _checked(connection, body)
    return body


def drive(address: tuple[str, int], calls: Iterator[Call], *, connections: int, seconds: float, warm: float) -> Figures:
    """Keep `connections` busy for `warm` + `seconds`; the figures are of the answers that came in the second part.

    Raises BenchError on the first answer that is not what its call expects, and when nothing comes for 30 s.
    """
    selector = selectors.DefaultSelector()
    opened: list[_Connection] = []
    gc.collect()
    gc.disable()
    try:
        for _ in range(connections):
            connection = _Connection(address)
            opened.append(connection)
            selector.register(connection.sock, selectors.EVENT_READ, connection)
        return _measure(selector, opened, calls, seconds=seconds, warm=warm)
    except OSError as error:
        raise BenchError(f"{address[0]}:{address[1]}: {error}") from None
    finally:
        gc.enable()
        for connection in opened:
            connection.sock.close()
        selector.close()


def _measure(
    selector: selectors.BaseSelector, opened: list[_Connection], calls: Iterator[Call], *, seconds: float, warm: float
) -> Figures:
    latencies: list[int] = []
    begin = time.perf_counter_ns() + int(warm * 1e9)
    end = begin + int(seconds * 1e9)
    for connection in opened:
        connection.send(next(calls))
    waiting = len(opened)
    while waiting:
        ready = selector.select(ANSWER_LIMIT_SECONDS)
        if not ready:
            raise BenchError(f"no answer for {ANSWER_LIMIT_SECONDS} s")
        for key, _ in ready:
            connection = key.data
            body = connection.receive()
            if body is None:
                continue
            now = time.perf_counter_ns()
            _checked(connection, body)
            if begin <= now < end:
                latencies.append(now - connection.began)
            if now < end:
                connection.send(next(calls))
            else:
                waiting -= 1
    if not latencies:
        raise BenchError(f"not one answer within {seconds} s")
    return Figures(len(latencies), seconds, tuple(sorted(ns / 1e6 for ns in latencies)))
