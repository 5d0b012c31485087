"""Sends what the outbox holds: e-mail by SMTP, text messages by the operator's gateway.  RFC 5321, RFC 3207

The gateway is sent `POST {"to": …, "text": …}` as JSON; any 2xx is taken for sent.
"""

from __future__ import annotations

import json
import smtplib
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime
from urllib.parse import SplitResult, unquote, urlsplit

import structlog
from pymongo.errors import PyMongoError

from fhir_server.accounts.account import Channel
from fhir_server.accounts.outbox import Message, Outbox
from fhir_server.fhir.outcome import FhirError

#: How often a worker looks for what another one, or an earlier try, has left.
LOOK_SECONDS = 5.0
TIMEOUT_SECONDS = 20.0
_NEAR = frozenset({"localhost", "127.0.0.1", "::1"})

log = structlog.get_logger()

Send = Callable[[Message], None]


class Delivery:
    """A thread that sends; one in each worker, and each message by one of them."""

    def __init__(self, outbox: Outbox, by: Mapping[Channel, Send]):
        self._outbox = outbox
        self._by = by
        self._something = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)
        outbox.on_put(self._something.set)

    def start(self) -> None:
        """Begin; the process need not wait for it at its end: what has not left waits for the next."""
        self._thread.start()

    def stop(self) -> None:
        """End it, after the message that is under way."""
        self._stopping.set()
        self._something.set()
        self._thread.join(TIMEOUT_SECONDS)

    def once(self) -> int:
        """Send what is due now; how many messages were tried."""
        tried = 0
        while not self._stopping.is_set() and (message := self._outbox.take()):
            tried += 1
            try:
                self._by[message.channel](message)
            except (smtplib.SMTPException, OSError, ValueError) as error:
                log.warning("outbox.failed", message=message.id, channel=message.channel, error=type(error).__name__)
                self._outbox.failed(message, type(error).__name__)
                continue
            self._outbox.sent(message)
            log.info("outbox.sent", message=message.id, channel=message.channel)
        return tried

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._something.clear()
            try:
                self.once()
            except (PyMongoError, FhirError) as error:  # the store is away: what waits there waits
                log.warning("outbox.waits", error=type(error).__name__)
            self._something.wait(LOOK_SECONDS)


def by_smtp(url: str, sender: str, clock: Callable[[], datetime]) -> Send:
    """
    What sends an e-mail: `smtps://` by TLS, `smtp://` by STARTTLS, without which it sends to this machine alone.

    url: `smtp://user:password@host:port`.  sender: the address that it comes from.
    """
    parts = urlsplit(url)

    def send(message: Message) -> None:
        email = EmailMessage()
        email["From"], email["To"], email["Subject"] = sender, message.to, message.subject
        email["Date"] = format_datetime(clock())
        # The same for each try: a mailbox may leave out the second.
        email["Message-ID"] = f"<{message.id}@{sender.rpartition('@')[2].rstrip('>')}>"
        email["Auto-Submitted"] = "auto-generated"
        email.set_content(message.text)
        with _connected(parts) as server:
            if parts.username:
                server.login(unquote(parts.username), unquote(parts.password or ""))
            server.send_message(email)

    return send


def by_gateway(url: str) -> Send:
    """What sends a text message by the gateway at `url`."""

    def send(message: Message) -> None:
        body = json.dumps({"to": message.to, "text": message.text}).encode()
        asked = urllib.request.Request(url, body, {"Content-Type": "application/json"}, method="POST")  # noqa: S310
        with _opener.open(asked, timeout=TIMEOUT_SECONDS):
            """A refusal is raised."""

    return send


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """What is written to a person goes where the operator said, and nowhere else."""

    def redirect_request(self, *_: object, **__: object) -> None:
        return None


_opener = urllib.request.build_opener(_NoRedirect)


def _connected(parts: SplitResult) -> smtplib.SMTP:
    host = parts.hostname or ""
    context = ssl.create_default_context()
    if parts.scheme == "smtps":
        return smtplib.SMTP_SSL(host, parts.port or 465, timeout=TIMEOUT_SECONDS, context=context)
    server = smtplib.SMTP(host, parts.port or 587, timeout=TIMEOUT_SECONDS)
    try:
        server.ehlo()
        if server.has_extn("starttls") and host not in _NEAR:
            server.starttls(context=context)
            server.ehlo()
        elif host not in _NEAR:
            raise smtplib.SMTPNotSupportedError("the mail server does not offer STARTTLS")
    except (smtplib.SMTPException, OSError):
        server.close()
        raise
    return server
