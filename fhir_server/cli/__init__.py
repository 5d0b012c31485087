"""The `fhir-server` command: one file per subcommand; a failure is one line and a non-zero exit."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Sequence

import structlog
from pymongo.errors import PyMongoError

from fhir_server import __version__, config
from fhir_server.cli import audit, check, client, demo, emergency, keys, load, reindex, serve, token
from fhir_server.config import ConfigError
from fhir_server.fhir.outcome import FhirError
from fhir_server.storage.connection import StartError

COMMANDS = (demo, serve, load, check, token, client, keys, reindex, audit, emergency)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 when done, 1 on a failure, 2 on a command that makes no sense."""
    parser = argparse.ArgumentParser(prog="fhir-server", description="A FHIR R4 health record server.")
    parser.add_argument("--version", action="version", version=f"fhir-server {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_to(commands)
    arguments = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, _stop)
    try:
        settings = config.from_environ(os.environ)
        _configure_log(settings.log_level)
        arguments.run(arguments, settings)
    except (ConfigError, StartError, FhirError, serve.Taken) as error:
        print(f"fhir-server: {error}", file=sys.stderr)
        sys.exit(1)
    except PyMongoError as error:
        print(f"fhir-server: MongoDB refused: {str(error).splitlines()[0][:300]}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("fhir-server: stopped.", file=sys.stderr)
        sys.exit(130)


def _stop(number: int, frame: object) -> None:
    """Unwind, so that what was opened is closed; once gunicorn runs, it listens to the signals itself."""
    sys.exit(128 + number)


def _configure_log(level: str) -> None:
    """JSON lines on standard error; ids and codes, never a resource or a token."""
    number = logging.getLevelName(level.upper())
    if not isinstance(number, int):
        raise ConfigError(f"FHIR_SERVER_LOG_LEVEL={level!r}: expected DEBUG, INFO, WARNING or ERROR.")
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
