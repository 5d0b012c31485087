"""AuditEvents follow the ledger: made of its records in batches, in the background, and before anybody reads them.

Whoever does it does the same: leaves are bound into a chain, the pages behind each chain's head are read, their
AuditEvents inserted, and the heads moved on.  Done twice, or broken off anywhere, it comes to the same, since an
AuditEvent's id is its record's.  Beside the index entry an AuditEvent has

    place       `chain/number` of its record
    mac         HMAC over its place, id, patient and bytes

What the ledger keeps of its own affairs, beside the records of requests:

    begin       the first record of a chain: its name; `key`: the name of its key; `by`: host and process; `heads`
    end         the last one: its name
    heads       {chain: [number, MAC]} of the others, as one process has seen them: a chain that is cut behind its
                head, or is gone, is missed by this
    bad         the id of a leaf that was no longer what its transaction had written when it was bound, right before
"""

from __future__ import annotations

import random
import secrets
import threading
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import structlog
from pymongo import WriteConcern, errors

from fhir_server.audit.recorder import Recorder
from fhir_server.audit.resource import events
from fhir_server.fhir.outcome import FhirError
from fhir_server.storage.documents import SERVER, Stored, current_document
from fhir_server.storage.ledger import LAST, Head, Ledger, Page
from fhir_server.storage.store import answering

TYPE = "AuditEvent"
#: So many pages, and leaves, are read at a time, and so many AuditEvents inserted.
PAGES, LEAVES, EVENTS = 64, 256, 200

#: How often the background looks, and how often it tries to become the one that works.
LOOK_SECONDS, TRY_SECONDS = 0.5, 3.0
#: Who has not renewed its lease for so long is dead.
LEASE_MS = 10_000
#: While requests go on, AuditEvents wait; but not longer than this, nor more of them than this.
LATEST_SECONDS, MOST_PAGES = 10.0, 1_000
#: So many new pages since the last look are no load.
FEW_PAGES = 5
#: A chain that nothing is appended to for so long is ended; its process begins another when it needs one.
QUIET = timedelta(minutes=10)
#: How often the heads of all chains are written into a chain, and to the file of anchors.
HEADS_SECONDS, ANCHOR_SECONDS = 60.0, 300.0

_DUPLICATE = 11000
_LEASE = "ledger"

log = structlog.get_logger(__name__)


class Follower:
    """Brings AuditEvents up to the ledger's end.  recorder: of this process, which binds leaves."""

    def __init__(self, recorder: Recorder):
        self._ledger = ledger = recorder.ledger
        self._recorder = recorder
        self._events = ledger.database[TYPE].with_options(write_concern=WriteConcern("majority", j=True))
        self._lock = threading.Lock()

    def bring_up(self) -> None:
        """
        Return when there is an AuditEvent for every record that was durable when this was called.

        Raises Unavailable, and what else MongoDB raised.
        """
        with self._lock, answering():
            self.bind()
            while self.follow() == PAGES:
                pass

    def bind(self) -> int:
        """Bind the leaves that there are into this process's chain; how many there were."""
        bound = 0
        while leaves := self._ledger.leaves(LEAVES):
            lines = [line for leaf in leaves for line in _bound(*leaf)]
            self._recorder.append(lines)
            self._ledger.drop_leaves([id for id, _, _ in leaves])
            bound += len(leaves)
            if len(leaves) < LEAVES:
                break
        return bound

    def follow(self) -> int:
        """Make AuditEvents of the first pages that have none yet; how many pages there were."""
        pages = self._ledger.behind(self._ledger.heads(), PAGES)
        documents: list[dict[str, Any]] = []
        for page in pages:
            documents += self._documents(page)
            if len(documents) >= EVENTS:
                self._insert(documents)
                documents = []
        self._insert(documents)
        for page in {page.chain: page for page in pages}.values():
            self._ledger.advance(page.chain, page.last, page.macs[-1], open=not _ends(page))
        return len(pages)

    def _documents(self, page: Page) -> list[dict[str, Any]]:
        found = []
        for number, line in enumerate(page.records, page.first):
            try:
                made = made_of(line)
            except (KeyError, TypeError, ValueError):
                log.error("ledger.changed", place=f"{page.chain}/{number}")  # whoever verifies is told the rest
                continue
            for stored in made:
                document = current_document(stored)
                document["place"] = f"{page.chain}/{number}"
                document["mac"] = self._ledger.key.mac(*sealed(document))
                found.append(document)
        return found

    def _insert(self, documents: list[dict[str, Any]]) -> None:
        """Insert the AuditEvents that are not there yet."""
        if not documents:
            return
        try:
            self._events.insert_many(documents, ordered=False)
        except errors.BulkWriteError as error:
            details = error.details or {}
            others = [fault for fault in details.get("writeErrors", ()) if fault.get("code") != _DUPLICATE]
            if others or details.get("writeConcernErrors"):
                raise


def made_of(line: bytes) -> list[Stored]:
    """The AuditEvents of a line of the ledger; none of what it keeps of its own affairs."""
    said = read(line)
    return events(said) if "do" in said else []


def read(line: bytes) -> dict[str, Any]:
    """What a line says; nothing where somebody has made it unreadable, which `verify` finds."""
    try:
        said = orjson.loads(line)
    except orjson.JSONDecodeError:
        return {}
    return said if isinstance(said, dict) else {}


def sealed(document: dict[str, Any]) -> tuple[bytes, ...]:
    """What the MAC of an AuditEvent is over."""
    texts = (document.get("place"), document["_id"], document.get("owner"))
    return (b"event", *(str(text).encode() for text in texts), bytes(document["body"]))


def _bound(id: str, record: bytes, whole: bool) -> list[bytes]:
    """The lines that a leaf becomes: itself, and a word that it was changed, if it was."""
    return [record] if whole else [record.replace(b"\n", b" "), orjson.dumps({"bad": id})]


def _ends(page: Page) -> bool:
    return "end" in read(page.records[-1])


class Background:
    """
    The work of one server process between its requests.  Of all the processes of a database, one does it at a time.

    anchors: the file that the heads of all chains are appended to now and then.
    """

    def __init__(self, recorder: Recorder, anchors: Path | None = None):
        self._ledger = ledger = recorder.ledger
        self._recorder = recorder
        self._follower = Follower(recorder)
        self._anchors = anchors
        self._name = secrets.token_hex(8)
        self._lease = ledger.database[SERVER]
        self._told: dict[str, list[Any]] = {}
        self._told_at = self._anchored_at = time.monotonic()
        self._behind_since: float | None = None
        self._waited = 0

    def start(self) -> None:
        """Begin, in a thread that ends with the process."""
        threading.Thread(target=self._run, name="ledger", daemon=True).start()

    def _run(self) -> None:
        while True:
            pause = TRY_SECONDS * (1 + random.random() / 2)  # noqa: S311 - no secret
            try:
                if self.holds():
                    pause = LOOK_SECONDS
                    self.work()
            except (FhirError, errors.PyMongoError, OSError) as error:  # the store is away, or the file: later, then
                log.warning("ledger.waits", error=type(error).__name__)
            time.sleep(pause)

    def holds(self) -> bool:
        """Whether this process is the one that works, for some seconds from now on."""
        with suppress(errors.DuplicateKeyError):
            if not self._lease.find_one({"_id": _LEASE}, {"_id": 1}):
                self._lease.insert_one({"_id": _LEASE})
        free = {"$or": [{"holder": self._name}, {"$expr": {"$lt": [{"$ifNull": ["$until", 0]}, "$$NOW"]}}]}
        held = [{"$set": {"holder": self._name, "until": {"$add": ["$$NOW", LEASE_MS]}}}]
        return self._lease.update_one({"_id": _LEASE, **free}, held).matched_count == 1

    def work(self) -> None:
        """One look: leaves are bound, records followed unless requests go on, and what is due is written."""
        self._follower.bind()
        heads = self._ledger.heads()
        self._follow(heads)
        now = time.monotonic()
        if now - self._told_at >= HEADS_SECONDS:
            self._told_at = now
            self.end_quiet(heads)
            self.tell(heads)
        if self._anchors and now - self._anchored_at >= ANCHOR_SECONDS:
            self._anchored_at = now
            append_anchor(self._ledger, self._anchors)

    def _follow(self, heads: list[Head]) -> None:
        waiting, waited = self._ledger.waiting(heads, MOST_PAGES), self._waited
        self._waited = waiting
        now = time.monotonic()
        self._behind_since = (self._behind_since or now) if waiting else None
        if self._behind_since is None:
            return
        requests_go_on = waiting - waited > FEW_PAGES
        if requests_go_on and waiting < MOST_PAGES and now - self._behind_since < LATEST_SECONDS:
            return
        while (began := time.monotonic()) < now + LEASE_MS / 2000:
            followed = self._follower.follow()
            if followed < PAGES:
                self._behind_since = None
                self._waited = 0
                return
            if requests_go_on:
                time.sleep(time.monotonic() - began)

    def end_quiet(self, heads: list[Head]) -> None:
        """End the chains that nobody appends to any more."""
        for head in heads:
            if head.at and self._ledger.clock() - head.at > QUIET:
                self._ledger.end(head)

    def tell(self, heads: list[Head]) -> None:
        """Write into a chain how far the others have come, if they have."""
        seen = {head.chain: [head.number, head.mac.hex()] for head in heads}
        news = {chain: place for chain, place in seen.items() if self._told.get(chain) != place}
        if news.keys() - {self._recorder.chain}:
            at = round(self._ledger.clock().timestamp() * 1000)
            self._recorder.append([orjson.dumps({"heads": news, "at": at})])
        self._told = seen


def anchor(ledger: Ledger) -> bytes:
    """
    The heads of all open chains at this moment, as a line that is worth keeping where nobody who has the database is.

    {"at": …, "heads": {chain: [number, MAC]}, "key": name, "mac": HMAC over the rest}
    """
    heads = {}
    for head in ledger.heads():
        page = ledger.page_of(head.chain, LAST)
        if page:
            heads[head.chain] = [page.last, page.macs[-1].hex()]
    at = ledger.clock().isoformat(timespec="milliseconds")
    said = {"at": at, "heads": heads, "key": ledger.key.name}
    return orjson.dumps({**said, "mac": ledger.key.mac(b"anchor", orjson.dumps(said)).hex()})


def append_anchor(ledger: Ledger, file: Path) -> None:
    """Append the anchor of this moment to the file."""
    with file.open("ab") as anchors:
        anchors.write(anchor(ledger) + b"\n")
