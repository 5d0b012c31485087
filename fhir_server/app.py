"""Joins the parts: settings and a database into the web application of one worker process."""

from __future__ import annotations

import os
import random
import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pymongo
from flask import Flask, Response, jsonify, request
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import PyMongoError
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.proxy_fix import ProxyFix

from fhir_server import audit
from fhir_server.access import Actor
from fhir_server.access.matrix import Matrix, carried_matrix
from fhir_server.access.matrix import load as load_matrix
from fhir_server.accounts import kept as accounts
from fhir_server.accounts.announcing import Announcing
from fhir_server.accounts.calendar import Calendar
from fhir_server.accounts.declarations import Declarations
from fhir_server.accounts.lookups import Lookups
from fhir_server.accounts.outbox import Outbox
from fhir_server.accounts.rates import Rates
from fhir_server.accounts.reports import Reports
from fhir_server.audit import Background, Follower, Recorder, Trail
from fhir_server.config import ConfigError, Settings
from fhir_server.demo import psc as demo_psc
from fhir_server.fhir.outcome import FhirError, NotFound
from fhir_server.fhir.terminology.carried import carried_terminologies
from fhir_server.interactions import conformance
from fhir_server.interactions.capabilities import capability_statement
from fhir_server.interactions.routes import Router
from fhir_server.loading import carried
from fhir_server.repository import Repository, Surroundings
from fhir_server.rest import blueprint as rest
from fhir_server.search.cursor import Cursors
from fhir_server.smart import blueprint as oauth
from fhir_server.smart import brands, cors, ehr_launch, emergencies, evidence, fetching, metadata, openings, psc, public
from fhir_server.smart import server as authorization
from fhir_server.smart.clients import Clients
from fhir_server.smart.directory import Directory
from fhir_server.smart.emergencies import Emergencies
from fhir_server.smart.emergency_notices import Notices as EmergencyNotices
from fhir_server.smart.grants import Together, alone
from fhir_server.smart.grounds import Grounds
from fhir_server.smart.provider import provider_of
from fhir_server.smart.recording import Recording, Strangers
from fhir_server.smart.sessions import Cookie
from fhir_server.smart.tokens import Opening, Tokens, nothing_opened
from fhir_server.storage import concepts
from fhir_server.storage.documents import SERVER
from fhir_server.storage.ledger import Ledger, keys_of
from fhir_server.storage.store import Store
from fhir_server.storage.terminology import StoredTerminology
from fhir_server.validation import demands
from fhir_server.web import account, apps, authorize, consent, demo_apps, demo_outbox, logos, privacy, sign_in
from fhir_server.web import emergency as web_emergency
from fhir_server.web import pages as web
from fhir_server.web import psc as web_psc
from fhir_server.web.notices import Notices
from fhir_server.web.patient_search import PatientSearch
from fhir_server.web.visits import visits

Clock = Callable[[], datetime]

#: Who asks whether this server is ready has another to go to, and does not wait.
READY_SECONDS = 2
#: Bytes of the largest body outside of the FHIR API.
LARGEST_FORM = 256_000


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
    brands.of(settings, (base or base_of(client, settings)).removesuffix("/fhir"))
    store = store_of(client, settings)
    store.prepare()
    concepts.prepare(store.database)
    ledger_of(client, settings).prepare()
    accounts.kept(store.database, settings, clock=now).prepare()
    kept_for_smart(store.database, settings, base or base_of(client, settings)).prepare()
    psc.prepare(store.database)
    emergencies.prepare(store.database)
    provider_of(settings)
    reports_of(store.database, settings).prepare()
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
        matrix=matrix_of(settings),
        labels_together=settings.labels_together,
        died=Tokens(store.database, clock).end_of_dead,
        terminology=StoredTerminology(store, carried_terminologies(), base=base, timeout_ms=settings.query_timeout_ms),
    )


def calendar(client: MongoClient, settings: Settings, *, clock: Clock = now) -> Calendar:
    """What is due by the calendar in the database that the settings name."""
    database = client[settings.mongodb_database]
    people = accounts.kept(database, settings, clock=clock)
    url = base_of(client, settings).removesuffix("fhir")
    announcing = Announcing(database, people.accounts, people.outbox, clock, url)
    return Calendar(database, {"announcements": announcing.run})


def reports_of(database: Database, settings: Settings, outbox: Outbox | None = None, *, clock: Clock = now) -> Reports:
    """What people do not recognise in the history of accesses."""
    return Reports(database, clock, outbox or Outbox(database, clock), settings.operator_email)


def matrix_of(settings: Settings) -> Matrix:
    """The habilitation matrix that the settings name.  Raises ConfigError."""
    return load_matrix(Path(settings.habilitation_matrix)) if settings.habilitation_matrix else carried_matrix()


def kept_for_smart(
    database: Database,
    settings: Settings,
    base: str,
    *,
    clock: Clock = now,
    together: Together = alone,
    emergency: Opening = nothing_opened,
) -> authorization.Kept:
    """What the authorization server in front of this FHIR base URL keeps.  together, emergency: `Grants`, `Tokens`."""
    return authorization.kept(
        database,
        base.removesuffix("/fhir"),
        clock=clock,
        fetch=partial(fetching.fetch, private=settings.fetch_private),
        sealing_key=settings.sealing_key,
        together=together,
        emergency=emergency,
    )


def emergencies_of(around: Surroundings, settings: Settings, people: accounts.Kept) -> Emergencies:
    """What opens records in an emergency."""
    page = f"{around.base.removesuffix('/fhir')}{sign_in.ACCOUNT}"
    return Emergencies(
        around,
        EmergencyNotices(people.accounts, people.outbox, page, around.zone),
        Recording(around.recorder, new_id, around.clock),
        lifetime=timedelta(seconds=settings.emergency_seconds),
        per_hour=settings.emergency_per_hour,
    )


def create_app(
    client: MongoClient,
    settings: Settings,
    base_url: str,
    *,
    clock: Clock = now,
    token_command: str | None = None,
    background: bool = False,
    demo: bool = False,
) -> Flask:
    """
    The application of one worker.  `base_url` is without `/fhir`; `client` is this process's own.

    token_command: what to type for an access token, where the pages may say so.
    background: do what can be done between requests, until the process ends.
    demo: whether the pages of the demonstration are there, too.
    """
    base = f"{base_url}/fhir"
    around = surroundings(client, settings, base, clock=clock)
    around = replace(around, lookups=Lookups(Rates(around.store.database)), test_identities=demo)
    signed_in = kept_for_smart(around.store.database, settings, base, clock=clock)
    people = accounts.kept(around.store.database, settings, clock=clock, shown=demo, ended=signed_in.end_of)
    around = replace(around, notify=Declarations(people.accounts, people.outbox, base_url + privacy.PRIVACY))
    if background:
        calendar(client, settings, clock=clock).start()
        Background(around.recorder, settings.audit_anchors).start()
    smart = _smart(around, settings, base_url, people)
    if background:
        ended = {"emergencies": smart.emergencies.tick}
        Calendar(around.store.database, ended, name="emergencies", every=15).start()

    def repository_for(actor: Actor, trail: Trail) -> Repository:
        return Repository(around, actor, trail)

    strangers = Strangers(Rates(around.store.database))

    def record_stranger(trail: Trail, refusal: FhirError) -> None:
        said = strangers.said(trail.address, str(refusal))
        if said is None:
            return
        around.recorder.record(
            audit.event(
                trail,
                None,
                id=new_id(),
                now=clock(),
                interaction=trail.interaction,
                versions={},
                outcome=audit.REFUSED,
                description=said,
            )
        )

    app = Flask(__name__, static_folder=None)
    if settings.proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=settings.proxies, x_proto=0, x_host=0)  # type: ignore[method-assign]
    app.config["PREFERRED_URL_SCHEME"] = base_url.partition(":")[0]  # what cookies and links go by, behind any proxy
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    app.url_map.redirect_defaults = False
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    app.before_request(_measured)
    app.register_blueprint(
        rest.blueprint(
            base=base,
            router=Router(rest.unforeseen, settings.max_bundle_entries),
            authenticate=smart.authenticate,
            repository_for=repository_for,
            record_stranger=record_stranger,
            under_way=around.recorder.expecting,
            capabilities=capability_statement(
                base,
                clock(),
                update_as_create=settings.update_as_create,
                withheld=around.store.readiness.withheld(),
                security=metadata.security(smart.metadata),
            ),
            configuration=smart.metadata.smart(),
        ),
        url_prefix="/fhir",
    )
    app.register_blueprint(web.blueprint(base=base, token_command=token_command))
    app.extensions.update(smart=smart, people=people)
    app.register_blueprint(oauth.blueprint(smart, local_error=authorize.problem, named=ehr_launch.named(around)))
    cors.add_to(app, cors.Origins(smart.kept.clients.has_origin))
    app.register_blueprint(public.blueprint(brands=_brands(around, settings, base_url)))
    professionals = _professionals(app, around, smart, settings, demo=demo)
    _people(app, around, smart, people, professionals, demo=demo)
    _decisions(app, around, smart, people, reports_of(around.store.database, settings, people.outbox, clock=clock))
    if demo:
        app.register_blueprint(demo_outbox.blueprint(people.outbox, zone=around.zone), url_prefix="/demo")
        app.register_blueprint(demo_apps.blueprint(base_url=base_url), url_prefix="/demo")
    _health(app, client)
    app.register_error_handler(HTTPException, _refused)
    return app


def _smart(around: Surroundings, settings: Settings, base_url: str, people: accounts.Kept) -> authorization.Smart:
    """The authorization server of this process."""
    database, clock = around.store.database, around.clock
    profiles = openings.of_the_living(around, people.accounts.profiles)
    opening = emergencies_of(around, settings, people)
    together = evidence.together(partial(Repository, around), Clients(database, clock), clock)
    kept = kept_for_smart(database, settings, around.base, clock=clock, together=together, emergency=opening.open)
    notices = Notices(people.accounts, people.outbox, base_url + apps.APPS)

    def notify(on: Grounds) -> None:
        client = kept.clients.find(on.client_id)
        if client and on.actor["kind"] == "patient":
            notices.disconnected(on.sub, client)

    def in_standing(on: Grounds) -> bool:
        """Whether the person may still let apps into the record."""
        if on.actor["kind"] != "patient":
            return True
        return on.actor.get("patient") in (None, *(profile.patient for profile in profiles(on.sub)))

    return authorization.smart(
        kept,
        base_url,
        clock=clock,
        profiles=profiles,
        constrain=around.constraint,
        record=Recording(around.recorder, new_id, clock, Strangers(Rates(database))),
        in_standing=in_standing,
        emergencies=opening,
        notify=notify,
        brand=brands.identifier(brands.of(settings, base_url)),
        rates=Rates(database),
        fetch_private=settings.fetch_private,
    )


def _professionals(
    app: Flask, around: Surroundings, smart: authorization.Smart, settings: Settings, *, demo: bool
) -> web_psc.SigningIn:
    """The pages where professionals sign in: with Pro Santé Connect, or in the demonstration its stand-in."""
    database, clock, base_url = around.store.database, around.clock, smart.issuer
    provider = demo_psc.provider(database, base_url) if demo else provider_of(settings)
    callback = f"{base_url}{web_psc.CALLBACK}"
    signing_in = web_psc.SigningIn(
        psc=psc.ProSanteConnect(provider, database, clock, callback=callback) if provider else None,
        sessions=smart.kept.sessions,
        cookie=Cookie.of(base_url),
        find=Directory(around).find,
        asked=web_psc.asked_of(smart.authorization),
        record=smart.record,
        rates=smart.rates,
        base_url=base_url,
    )
    app.register_blueprint(web_psc.blueprint(signing_in))
    if demo:
        after = f"{base_url}{sign_in.SIGN_OUT}"
        stand_in = demo_psc.blueprint(app, database, base_url, clock, callback=callback, after_logout=after)
        app.register_blueprint(stand_in, url_prefix=demo_psc.PATH)
    return signing_in


def _people(
    app: Flask,
    around: Surroundings,
    smart: authorization.Smart,
    people: accounts.Kept,
    professionals: web_psc.SigningIn,
    *,
    demo: bool,
) -> None:
    """The pages of who signs in with an account, and of the steps of an authorization request."""
    sessions, base_url = smart.kept.sessions, smart.issuer
    signing_in = sign_in.SigningIn(
        base_url=base_url,
        accounts=people.accounts,
        codes=people.codes,
        outbox=people.outbox,
        sessions=sessions,
        cookie=Cookie.of(base_url),
        clock=around.clock,
        zone=around.zone,
        asking=authorize.asking(smart.authorization),
        record=smart.record,
        there=professionals.psc,
    )
    search = PatientSearch(
        directory=Directory(around),
        sessions=sessions,
        rates=Rates(around.store.database),
        today=lambda: around.clock().astimezone(around.zone).date(),
        base_url=base_url,
        tests=demo,
    )
    steps = authorize.Steps(
        smart.authorization, sessions, base_url, smart.authorization.profiles, visits(around), search
    )
    app.register_blueprint(sign_in.blueprint(signing_in))
    app.register_blueprint(authorize.blueprint(steps))
    app.register_blueprint(
        web_emergency.blueprint(smart.authorization, sessions, base_url=base_url, lifetime=smart.emergencies.lifetime)
    )
    app.register_blueprint(
        account.blueprint(
            sessions,
            people.accounts,
            base_url=base_url,
            zone=around.zone,
            record=smart.record,
            emergencies=smart.emergencies.of_patient,
        )
    )
    if people.delivery:
        people.delivery.start()


def _decisions(
    app: Flask, around: Surroundings, smart: authorization.Smart, people: accounts.Kept, reports: Reports
) -> None:
    """The pages where a person decides about apps, and about who sees the record."""
    sessions, clients, base_url = smart.kept.sessions, smart.kept.clients, smart.issuer
    notices = Notices(people.accounts, people.outbox, base_url + apps.APPS)
    app.register_blueprint(
        consent.blueprint(smart.authorization, sessions, base_url=base_url, clock=around.clock, notices=notices)
    )
    app.register_blueprint(
        privacy.blueprint(privacy.Privacy(around, sessions, people.accounts.profiles, reports, base_url))
    )
    connected = apps.Apps(
        smart.kept.grants, clients, sessions, people.accounts.profiles, notices, smart.record, around.clock, base_url
    )
    app.register_blueprint(apps.blueprint(connected))
    app.register_blueprint(logos.blueprint(clients))


def _brands(around: Surroundings, settings: Settings, base_url: str) -> dict[str, Any]:
    """The brand bundle, with the time of its last change."""
    resources = brands.of(settings, base_url)
    return brands.bundle(resources, base_url, brands.changed(around.store.database, resources, around.clock()))


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


def _measured() -> None:
    """Bound what is no FHIR, since nobody has to be known to send it, and it is read whole."""
    if request.blueprint != "rest":
        request.max_content_length = LARGEST_FORM


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
