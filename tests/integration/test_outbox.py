"""The outbox on a real MongoDB, and what it sends to a real mail server and a real gateway on this machine."""

from __future__ import annotations

import email
import json
import socketserver
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.policy import default
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from pymongo.database import Database

from fhir_server.accounts.delivery import Delivery, by_gateway, by_smtp
from fhir_server.accounts.outbox import LEASE, PAUSES, Outbox
from tests.servers import free_port, wait_until

SENDER = "Mon espace <no-reply@record.example>"


@dataclass
class Clock:
    """A clock that a test sets."""

    now: datetime = datetime(2026, 3, 1, 9, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@dataclass
class MailServer:
    """As much of RFC 5321 as a client without TLS needs, and what it was sent."""

    port: int = 0
    refuse: bool = False
    received: list[tuple[str, Any]] = field(default_factory=list)


class _Smtp(socketserver.StreamRequestHandler):
    server: Any

    def handle(self) -> None:
        mail: MailServer = self.server.mail
        to = ""
        self.say("220 mail.test")
        while line := self.rfile.readline().decode().strip():
            verb = line.upper().split(" ")[0]
            if verb == "DATA":
                self.say("354 go on")
                body = b"".join(iter(self.rfile.readline, b".\r\n"))
                mail.received.append((to, email.message_from_bytes(body, policy=default)))
                self.say("250 kept")
            elif verb == "RCPT" and mail.refuse:
                self.say("450 not now")
            elif verb == "QUIT":
                self.say("221 bye")
                return
            else:
                to = line.partition("<")[2].partition(">")[0] if verb == "RCPT" else to
                self.say("250 mail.test")

    def say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())


@pytest.fixture
def mail() -> Iterator[MailServer]:
    """A mail server on a free port."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Smtp) as server:
        server.daemon_threads = True
        server.mail = MailServer(server.server_address[1])  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server.mail  # type: ignore[attr-defined]
        server.shutdown()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def outbox(database: Database[dict[str, Any]], clock: Clock) -> Outbox:
    """An outbox that sends e-mail."""
    made = Outbox(database, clock, channels=frozenset({"email"}))
    made.prepare()
    return made


def test_an_e_mail_leaves(outbox: Outbox, mail: MailServer, clock: Clock) -> None:
    """RFC 5322 s. 3.6; what it said is not kept"""
    outbox.put("email", "camille@example.org", "Votre code", "Code : 123456\nÀ bientôt")
    delivery = Delivery(outbox, {"email": by_smtp(f"smtp://127.0.0.1:{mail.port}", SENDER, clock)})
    assert delivery.once() == 1
    [(to, message)] = mail.received
    assert to == message["To"] == "camille@example.org"
    assert message["From"] == SENDER
    assert message["Subject"] == "Votre code"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Message-ID"] == f"<{outbox.latest()[0].id}@record.example>"
    assert message.get_content().splitlines() == ["Code : 123456", "À bientôt"]
    assert [(kept.state, kept.text) for kept in outbox.latest()] == [("sent", "")]
    assert delivery.once() == 0


def test_a_message_is_sent_by_one_worker(outbox: Outbox, mail: MailServer, clock: Clock) -> None:
    for number in range(12):
        outbox.put("email", f"p{number}@example.org", "s", "t")
    send = by_smtp(f"smtp://127.0.0.1:{mail.port}", SENDER, clock)
    workers = [Delivery(outbox, {"email": send}) for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(lambda worker: worker.once(), workers)) == 12
    assert sorted(to for to, _ in mail.received) == sorted(f"p{number}@example.org" for number in range(12))


def test_what_could_not_leave_is_tried_again(outbox: Outbox, mail: MailServer, clock: Clock) -> None:
    outbox.put("email", "camille@example.org", "s", "t")
    delivery = Delivery(outbox, {"email": by_smtp(f"smtp://127.0.0.1:{mail.port}", SENDER, clock)})
    mail.refuse = True
    assert delivery.once() == 1
    assert delivery.once() == 0
    clock.now += PAUSES[0]
    mail.refuse = False
    assert delivery.once() == 1
    assert len(mail.received) == 1


def test_it_is_given_up_in_the_end(outbox: Outbox, clock: Clock) -> None:
    outbox.put("email", "camille@example.org", "s", "t")
    delivery = Delivery(outbox, {"email": by_smtp(f"smtp://127.0.0.1:{free_port()}", SENDER, clock)})
    tries = 0
    for _ in range(20):
        tries += delivery.once()
        clock.now += timedelta(days=1)
    assert tries == len(PAUSES) + 1
    assert [(kept.state, kept.text) for kept in outbox.latest()] == [("failed", "")]


def test_who_died_with_a_message_lets_it_go(outbox: Outbox, clock: Clock) -> None:
    outbox.put("email", "camille@example.org", "s", "t")
    assert outbox.take()
    assert outbox.take() is None
    clock.now += LEASE
    assert outbox.take()


def test_what_is_too_late_never_leaves(outbox: Outbox, clock: Clock) -> None:
    outbox.put("email", "camille@example.org", "Votre code", "123456", until=clock() + timedelta(minutes=15))
    clock.now += timedelta(minutes=15)
    assert outbox.take() is None
    assert [(kept.state, kept.text) for kept in outbox.latest()] == [("failed", "")]


def test_a_channel_that_is_not_set_up_waits(outbox: Outbox, database: Database[dict[str, Any]], clock: Clock) -> None:
    outbox.put("sms", "0639980103", "s", "t")
    assert not outbox.delivers("sms")
    assert outbox.take() is None
    both = Outbox(database, clock, channels=frozenset({"email", "sms"}))
    assert both.take()


def test_no_line_of_a_message_becomes_a_header(outbox: Outbox, mail: MailServer, clock: Clock) -> None:
    """RFC 5322 s. 2.2: it is refused, and tried no differently the next time"""
    outbox.put("email", "camille@example.org", "s\r\nBcc: stranger@example.org", "t")
    Delivery(outbox, {"email": by_smtp(f"smtp://127.0.0.1:{mail.port}", SENDER, clock)}).once()
    assert mail.received == []
    assert outbox.latest()[0].state == "waiting"


def test_no_plain_text_to_another_machine(outbox: Outbox, mail: MailServer, clock: Clock) -> None:
    """RFC 3207: without STARTTLS it is not sent, unless the mail server is this machine's.  0.0.0.0 is not by name."""
    outbox.put("email", "camille@example.org", "s", "t")
    Delivery(outbox, {"email": by_smtp(f"smtp://0.0.0.0:{mail.port}", SENDER, clock)}).once()
    assert mail.received == []
    assert outbox.latest()[0].state == "waiting"


def test_the_thread_sends_what_is_put(
    outbox: Outbox, mail: MailServer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, and not when it next looks by itself"""
    monkeypatch.setattr("fhir_server.accounts.delivery.LOOK_SECONDS", 600.0)
    delivery = Delivery(outbox, {"email": by_smtp(f"smtp://127.0.0.1:{mail.port}", SENDER, clock)})
    delivery.start()
    outbox.put("email", "camille@example.org", "s", "t")
    wait_until(lambda: mail.received)
    delivery.stop()


class _Gateway(BaseHTTPRequestHandler):
    server: Any

    def do_POST(self) -> None:
        self.server.received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(self.server.status)
        self.send_header("Location", "/elsewhere")
        self.end_headers()

    do_GET = do_POST

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.mark.parametrize(("status", "state"), [(200, "sent"), (202, "sent"), (500, "waiting"), (302, "waiting")])
def test_a_text_message_leaves(database: Database[dict[str, Any]], clock: Clock, status: int, state: str) -> None:
    outbox = Outbox(database, clock, channels=frozenset({"sms"}))
    outbox.put("sms", "0639980103", "s", "Code : 123456")
    with HTTPServer(("127.0.0.1", 0), _Gateway) as server:
        server.received, server.status = [], status  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        Delivery(outbox, {"sms": by_gateway(f"http://127.0.0.1:{server.server_address[1]}/send")}).once()
        server.shutdown()
        assert server.received == [{"to": "0639980103", "text": "Code : 123456"}]  # type: ignore[attr-defined]
    assert outbox.latest()[0].state == state
