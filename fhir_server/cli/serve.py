"""`fhir-server serve`: gunicorn, without demo data or demo pages."""

from __future__ import annotations

import argparse
import ctypes
import errno
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import structlog
from gunicorn.app.base import BaseApplication
from pymongo.errors import PyMongoError

from fhir_server import app
from fhir_server.cli.arguments import add_data_dir, port
from fhir_server.cli.audit_key import with_audit_key
from fhir_server.cli.reindex import withheld
from fhir_server.config import Settings
from fhir_server.fhir.types import TYPES
from fhir_server.rest.worker import Worker
from fhir_server.storage.connection import StartError, connect, open_database
from fhir_server.storage.sessions import end_sessions
from fhir_server.validation import models

THREADS = 8
_PAUSE_SECONDS = 0.5
# A query that takes too long is ended by MongoDB; when it does not say so for so long, it has hung.
_MARGIN_MS = 5_000
_PR_SET_PDEATHSIG = 1

log = structlog.get_logger()


class Taken(Exception):
    """The port is someone else's.  The message is one line."""


def add_to(commands: Any) -> None:
    """Add the subcommand."""
    parser = commands.add_parser("serve", help="serve the FHIR API", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", metavar="H", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=port, default=8080, metavar="N", help="port (default: 8080)")
    parser.add_argument("--workers", type=_count, default=2, metavar="N", help="worker processes (default: 2)")
    add_data_dir(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> None:
    """Serve until stopped.  Raises StartError or Taken when it cannot."""
    serve(
        arguments, settings, welcome=lambda base_url, uri: print(f"fhir-server: {base_url}/fhir is ready.", flush=True)
    )


def serve(
    arguments: argparse.Namespace,
    settings: Settings,
    *,
    welcome: Callable[[str, str], None],
    before: Callable[[str, str], None] = lambda base_url, uri: None,
    token_command: str | None = None,
    demo: bool = False,
) -> None:
    """
    Open the database, serve, and close it at the end.

    before is called with the base url and the database's URI before the workers start; welcome when they have.
    token_command: what to type for an access token, where the pages may say so.
    demo: whether to serve the pages of the demonstration.
    """
    _refuse_taken(arguments.host, arguments.port)
    base_url = settings.base_url or url_of(arguments.host, arguments.port)
    opened = open_database(uri=settings.mongodb_uri, data_dir=arguments.data_dir, progress=_say)
    master = os.getpid()
    try:
        settings = with_audit_key(arguments, settings, _say)
        with connect(opened.uri) as client:
            app.prepare(client, settings, base=f"{base_url}/fhir")
            lacking = withheld(app.store_of(client, settings).readiness, arguments, settings)
            if lacking:
                _say(lacking)
        before(base_url, opened.uri)
        models.load(TYPES)
        ready = partial(welcome, base_url, opened.uri)
        _Gunicorn(arguments, settings, base_url, opened.uri, ready, token_command, demo).run()
    finally:
        # A worker that exits unwinds this stack too: it is a fork of the master.
        if os.getpid() == master:
            opened.close()


def url_of(host: str, port: int) -> str:
    """
    Where a client on this machine finds what listens there.  RFC 3986 s. 3.2.2

    >>> url_of("::1", 8080)
    'http://[::1]:8080'
    """
    near = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - not bound here
    return f"http://[{near}]:{port}" if ":" in near else f"http://{near}:{port}"


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} workers answer nobody")
    return number


def _refuse_taken(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise Taken(f"{host}:{port} is in use; choose another with --port.") from None
        other = "--port" if error.errno == errno.EACCES else "--host"
        raise Taken(f"{host}:{port} cannot be listened on ({error.strerror}); choose another with {other}.") from None


def _say(message: str) -> None:
    print(f"fhir-server: {message}", file=sys.stderr, flush=True)


class _Gunicorn(BaseApplication):
    """gunicorn as a part of this program: each worker builds an application, with a client, of its own."""

    def __init__(
        self,
        arguments: argparse.Namespace,
        settings: Settings,
        base_url: str,
        uri: str,
        ready: Callable[[], None],
        token_command: str | None,
        demo: bool,
    ):
        self._arguments = arguments
        self._settings = settings
        self._base_url = base_url
        self._uri = uri
        self._ready = ready
        self._token_command = token_command
        self._demo = demo
        # No other server of a shared database uses it.
        self._name = f"fhir-server {secrets.token_hex(8)}"
        super().__init__()

    def load_config(self) -> None:
        host = f"[{self._arguments.host}]" if ":" in self._arguments.host else self._arguments.host
        options = {
            "bind": f"{host}:{self._arguments.port}",
            "workers": self._arguments.workers,
            "worker_class": Worker,
            "threads": THREADS,
            "keepalive": 75,
            "timeout": 60,
            "graceful_timeout": 10,
            "loglevel": "warning",
            "limit_request_line": 8190,
            # A socket in the user's home, that every server of the user would share.
            "control_socket_disable": True,
            "when_ready": lambda server: self._ready(),
            "post_fork": lambda server, worker: _end_with(worker.ppid),
            "child_exit": lambda server, worker: end_sessions(self._uri, self._worker(worker.pid)),
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """The application of a worker.  It waits for a store that is away: gunicorn ends when a worker cannot start."""
        while True:
            try:
                client = connect(
                    self._uri,
                    answer_within_ms=self._settings.query_timeout_ms + _MARGIN_MS,
                    appName=self._worker(os.getpid()),
                )
                return app.create_app(
                    client,
                    self._settings,
                    self._base_url,
                    token_command=self._token_command,
                    background=True,
                    demo=self._demo,
                )
            except (StartError, PyMongoError) as error:
                log.warning("worker.waits", error=type(error).__name__)
                time.sleep(_PAUSE_SECONDS)

    def _worker(self, pid: int) -> str:
        """The name that a worker has at the database."""
        return f"{self._name} worker {pid}"


def _end_with(master: int) -> None:
    """Have the kernel kill this worker when its master dies: nobody else would, and it holds the port.  prctl(2)"""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != master:
        os.kill(os.getpid(), signal.SIGKILL)
