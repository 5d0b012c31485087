"""Joins the parts: settings and a database into the web application of one worker process."""

from __future__ import annotations

import os
import random
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pymongo
from flask import Flask, Response, jsonify, request
from pymongo import MongoClient
from pymongo.errors import PyMongoError
from werkzeug.exceptions import HTTPException

from fhir_server import audit
from fhir_server.access import Actor
from fhir_server.audit import Background, Follower, Recorder, Trail
from fhir_server.config import ConfigError, Settings
from fhir_server.fhir.outcome import FhirError, NotFound
from fhir_server.fhir.terminology.carried import carried_terminologies
from fhir_server.interactions import conformance
from fhir_server.interactions.capabilities import capability_statement
from fhir_server.interactions.routes import Router
from fhir_server.loading import carried
from fhir_server.repository import Repository, Surroundings
from fhir_server.rest import blueprint as rest
from fhir_server.search.cursor import Cursors
from fhir_server.smart.tokens import Tokens
from fhir_server.storage import concepts
from fhir_server.storage.documents import SERVER
from fhir_server.storage.ledger import Ledger, keys_of
from fhir_server.storage.store import Store
from fhir_server.storage.terminology import StoredTerminology
from fhir_server.validation import demands
from fhir_server.web import pages as web

Clock = Callable[[], datetime]

#: Who asks whether this server is ready has another to go to, and does not wait.
READY_SECONDS = 2


#: For ids, which are no secrets: the system's own randomness costs a call of it for each.  No two processes share it.
_chance = random.Random()  # noqa: S311
os.register_at_fork(after_in_child=_chance.seed)


def now() -> datetime:
    """The time, to the millisecond that MongoDB keeps."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def new_id() -> str:
    """A random id that sorts by its time, so that new keys stand together in the index.  RFC 9562 s. 5.7"""
    stamp = time.time_ns() // 1_000_000
    text = f"{stamp << 80 | _chance.getrandbits(80):032x}"
    variant = "89ab"[int(text[16], 16) & 3]
    return f"{text[:8]}-{text[8:12]}-7{text[13:16]}-{variant}{text[17:20]}-{text[20:]}"


def prepare(client: MongoClient, settings: Settings, *, base: str | None = None) -> None:
    """
    Create what the database needs: collections, indexes, the server's secret, the conformance resources.

    To be done before workers start.
    base: the FHIR base URL of the server that is about to serve it; other commands find it by `base_of`.
    """
    try:
        demands.read(settings.demanded_profiles)
    except ValueError as error:
        raise ConfigError(f"FHIR_SERVER_DEMANDED_PROFILES: {error}.") from None
    store = store_of(client, settings)
    store.prepare()
    concepts.prepare(store.database)
    ledger_of(client, settings).prepare()
    Tokens(store.database, now).prepare()
    store.database[SERVER].update_one(
        {"_id": "signing"}, {"$setOnInsert": {"key": secrets.token_bytes(32)}}, upsert=True
    )
    if base:
        store.database[SERVER].update_one({"_id": "base"}, {"$set": {"url": base}}, upsert=True)
    carried.keep(surroundings(client, settings, base or base_of(client, settings)), conformance.resources())


def base_of(client: MongoClient, settings: Settings) -> str:
    """The FHIR base URL: as it is set, or else of the server that served the database last."""
    if settings.base_url:
        return f"{settings.base_url}/fhir"
    kept = client[settings.mongodb_database][SERVER].find_one({"_id": "base"})
    return str(kept["url"]) if kept else "http://127.0.0.1:8080/fhir"


def store_of(client: MongoClient, settings: Settings) -> Store:
    """The store that the settings name."""
    return Store(
        client,
        settings.mongodb_database,
        query_timeout_ms=settings.query_timeout_ms,
        slow_query_ms=settings.slow_query_ms,
        zone=settings.timezone,
    )


def ledger_of(client: MongoClient, settings: Settings, *, clock: Clock = now) -> Ledger:
    """The record of accesses of the database that the settings name."""
    return Ledger(client[settings.mongodb_database], keys_of(settings.audit_key or ""), clock)


def surroundings(client: MongoClient, settings: Settings, base: str, *, clock: Clock = now) -> Surroundings:
    """What the repositories of this process share.  `prepare` has been done."""
    store = store_of(client, settings)
    key = store.database[SERVER].find_one({"_id": "signing"})
    if key is None:
        raise RuntimeError("the database has not been prepared")
    recorder = Recorder(ledger_of(client, settings, clock=clock))
    store.follow(audit.TYPE, Follower(recorder).bring_up)
    return Surroundings(
        store=store,
        recorder=recorder,
        clock=clock,
        new_id=new_id,
        base=base,
        cursors=Cursors(key["key"]),
        zone=ZoneInfo(settings.timezone),
        page_sizes=(settings.default_count, settings.max_count),
        update_as_create=settings.update_as_create,
        check_references=settings.check_references,
        demands=demands.read(settings.demanded_profiles),
        terminology=StoredTerminology(store, carried_terminologies(), base=base, timeout_ms=settings.query_timeout_ms),
    )


def create_app(
    client: MongoClient,
    settings: Settings,
    base_url: str,
    *,
    clock: Clock = now,
    token_command: str | None = None,
    background: bool = False,
) -> Flask:
    """
    The application of one worker.  `base_url` is without `/fhir`; `client` is this process's own.

    token_command: what to type for an access token, where the pages may say so.
    background: do what can be done between requests, until the process ends.
    """
    base = f"{base_url}/fhir"
    around = surroundings(client, settings, base, clock=clock)
    tokens = Tokens(around.store.database, clock)
    if background:
        Background(around.recorder, settings.audit_anchors).start()

    def repository_for(actor: Actor, trail: Trail) -> Repository:
        return Repository(around, actor, trail)

    def record_stranger(trail: Trail, refusal: FhirError) -> None:
        around.recorder.record(
            audit.event(
                trail,
                None,
                id=new_id(),
                now=clock(),
                interaction=trail.interaction,
                versions={},
                outcome=audit.REFUSED,
                description=str(refusal),
            )
        )

    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    app.url_map.redirect_defaults = False
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    app.register_blueprint(
        rest.blueprint(
            base=base,
            router=Router(rest.unforeseen, settings.max_bundle_entries),
            authenticate=tokens.authenticate,
            repository_for=repository_for,
            record_stranger=record_stranger,
            under_way=around.recorder.expecting,
            capabilities=capability_statement(
                base,
                clock(),
                update_as_create=settings.update_as_create,
                withheld=around.store.readiness.withheld(),
            ),
            configuration=smart_configuration(),
        ),
        url_prefix="/fhir",
    )
    app.register_blueprint(web.blueprint(base=base, token_command=token_command))
    _health(app, client)
    app.register_error_handler(HTTPException, _refused)
    return app


def smart_configuration() -> dict[str, Any]:
    """Which scopes a token of this server can have.  SMART App Launch 2.2: conformance"""
    return {
        "scopes_supported": ["patient/*.cruds", "user/*.cruds", "system/*.cruds"],
        "capabilities": ["permission-v1", "permission-v2", "permission-patient", "permission-user"],
    }


def _health(app: Flask, client: MongoClient) -> None:
    @app.get("/health/live")
    def live() -> Response:
        return jsonify(status="live", pid=os.getpid())

    @app.get("/health/ready")
    def ready() -> tuple[Response, int] | Response:
        try:
            with pymongo.timeout(READY_SECONDS):
                client.admin.command("ping")
        except PyMongoError as error:  # whatever MongoDB says, the answer is: not now
            return jsonify(status="the store does not answer", reason=type(error).__name__), 503
        return jsonify(status="ready")


_NOTHING_HERE = """<!DOCTYPE html>
<html lang="en"><title>Not found: fhir-server</title>
<p>There is nothing here; the FHIR API is under <code>/fhir</code>, for programs with an access token.</p>
</html>
"""


def _refused(error: HTTPException) -> Response:
    """The answer to what no route takes."""
    if error.code != 404:
        return rest.write_error(rest.of_http(error), "", "")
    if "text/html" in request.headers.get("Accept", ""):
        # A browser shows no FHIR: it would call the answer invalid.
        return Response(_NOTHING_HERE, 404, {"Cache-Control": "no-store"}, content_type="text/html; charset=utf-8")
    return rest.write_error(NotFound("There is nothing here; the FHIR API is under /fhir."), "", "")
