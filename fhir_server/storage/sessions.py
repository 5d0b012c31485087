"""What a process that was killed has left open in MongoDB, ended at once.

mongod lets an open transaction keep what it has locked for a minute, whatever became of its client.
MongoDB 6.0: $currentOp, killSessions, transactionLifetimeLimitSeconds
"""

from __future__ import annotations

from typing import Any

import structlog
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern

from fhir_server.storage.connection import StartError, connect

# Whoever calls has other children to look after.
_PATIENCE_MS = 1_000

log = structlog.get_logger(__name__)


def end_sessions(uri: str, app_name: str) -> None:
    """End every session of the clients that connected under this name; without the store, there is none to end."""
    try:
        with connect(uri, answer_within_ms=_PATIENCE_MS, serverSelectionTimeoutMS=_PATIENCE_MS) as client:
            admin = client.get_database("admin", read_concern=ReadConcern("local"))
            theirs: list[dict[str, Any]] = [
                {"$currentOp": {"idleSessions": True}},
                {"$match": {"appName": app_name, "lsid": {"$exists": True}}},
            ]
            sessions = [{"id": operation["lsid"]["id"]} for operation in admin.aggregate(theirs)]
            if sessions:
                admin.command("killSessions", sessions, codec_options=client.codec_options)
                log.warning("sessions.ended", count=len(sessions))
    except (StartError, PyMongoError) as error:
        log.warning("sessions.not_ended", error=type(error).__name__)
