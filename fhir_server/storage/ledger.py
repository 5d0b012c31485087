"""The ledger: every record of an access, in the order of its making, each bound to the one before by a keyed hash.

Records are bytes here; what they say is the business of `fhir_server.audit`.

`_ledger`, a page, which is what one insert made durable:

    _id         `chain/000000000012`: the number of its first record
    records     the records, one to a line
    macs        32 bytes for each: HMAC-SHA256 over the MAC before it, its chain and number, and itself

`_ledger_leaves`, a record that a transaction wrote along with its resources, until it is bound into a page:

    _id, record, mac

`_ledger_chains`, a chain, which one process appends to:

    _id         its name
    open        True until it is ended
    through     the number of the last record that AuditEvents have been made of
    mac         of that record
    at          when that was
    seal        HMAC over all this

docs/decisions/0011-a-ledger-of-accesses.md says why each thing is as it is.
"""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
from pymongo import IndexModel, WriteConcern, errors
from pymongo.database import Database

PAGES, LEAVES, CHAINS = "_ledger", "_ledger_leaves", "_ledger_chains"
COLLECTIONS = (PAGES, LEAVES, CHAINS)
MAC_BYTES = 32
#: What the first record of a chain is bound to.
NOTHING_BEFORE = bytes(MAC_BYTES)
#: A page holds so much at most, but for a single record that is larger.
PAGE_BYTES = 4_000_000
_DURABLE = WriteConcern("majority", j=True)
_NUMBER = 12
#: Greater than the number of any record.
LAST = 10**_NUMBER - 1


@dataclass(frozen=True)
class Key:
    """A secret that records are bound with, and the name that tells it from others."""

    secret: bytes = field(repr=False)

    @property
    def name(self) -> str:
        """Eight characters that tell nothing of it."""
        return self.mac(b"name").hex()[:8]

    def mac(self, *parts: bytes) -> bytes:
        """The HMAC of the parts, which hold no line feed but for the last."""
        return hmac.digest(self.secret, b"\n".join(parts), "sha256")

    def link(self, before: bytes, chain: str, number: int, record: bytes) -> bytes:
        """The MAC of a record in its place."""
        return hmac.digest(self.secret, before + f"{chain}/{number}\n".encode() + record, "sha256")

    def is_mac(self, mac: bytes, *parts: bytes) -> bool:
        """Whether it is the HMAC of the parts."""
        return hmac.compare_digest(bytes(mac), self.mac(*parts))


def keys_of(text: str) -> tuple[Key, ...]:
    """The keys of a setting or a file, a line each: the first one binds, the others are of earlier days."""
    return tuple(Key(line.strip().encode()) for line in text.splitlines() if line.strip()) or (Key(b""),)


@dataclass(frozen=True)
class Page:
    """Records that stand one behind the other in a chain, and the MAC of each."""

    chain: str
    first: int
    records: tuple[bytes, ...]
    macs: tuple[bytes, ...]

    @property
    def id(self) -> str:
        """Its key: the pages of a chain are a range of it."""
        return page_id(self.chain, self.first)

    @property
    def last(self) -> int:
        """The number of its last record."""
        return self.first + len(self.records) - 1

    def document(self) -> dict[str, Any]:
        """As it is kept."""
        return {"_id": self.id, "records": b"\n".join(self.records), "macs": b"".join(self.macs)}


def page_id(chain: str, number: int) -> str:
    """The key of the page that begins with this record."""
    return f"{chain}/{number:0{_NUMBER}d}"


def read_page(document: Mapping[str, Any]) -> Page:
    """The page that a document holds, whatever became of it: there may be more records than MACs, or fewer."""
    chain, _, number = document["_id"].partition("/")
    records, macs = bytes(document["records"]), bytes(document["macs"])
    return Page(
        chain,
        int(number) if number.isdigit() else 0,
        tuple(records.split(b"\n")) if records else (),
        tuple(macs[at : at + MAC_BYTES] for at in range(0, len(macs), MAC_BYTES)),
    )


@dataclass(frozen=True)
class Head:
    """How far a chain has come, as somebody says who has seen it."""

    chain: str
    number: int
    mac: bytes
    open: bool = True
    at: datetime | None = None

    def sealed(self, key: Key) -> bytes:
        """The HMAC over what it says."""
        return key.mac(b"chain", self.chain.encode(), str(self.number).encode(), b"%d" % self.open, self.mac)


class Ledger:
    """
    The ledger of one database.

    keys: the first one binds; the chains of the others can still be verified.
    """

    def __init__(self, database: Database, keys: tuple[Key, ...], clock: Callable[[], datetime]):
        self.keys = {key.name: key for key in keys}
        self.key = keys[0]
        self.clock = clock
        self.database = database
        self._pages = database[PAGES].with_options(write_concern=_DURABLE)
        self._leaves = database[LEAVES].with_options(write_concern=_DURABLE)
        self._chains = database[CHAINS].with_options(write_concern=_DURABLE)

    def prepare(self) -> None:
        """Create the collections: a transaction cannot wait for one."""
        there = set(self.database.list_collection_names())
        for name in COLLECTIONS:
            if name not in there:
                try:
                    self.database.create_collection(name)
                except (errors.CollectionInvalid, errors.OperationFailure) as error:
                    # Another command that starts at the same moment may be the one to make it.
                    if name not in self.database.list_collection_names():
                        raise error from None
        still_open = IndexModel("open", name="open", partialFilterExpression={"open": True})
        self._chains.create_indexes([still_open], commitQuorum=0)  # as storage/indexes.py does, and for its reason

    # --- pages

    def insert(self, page: Page) -> None:
        """Keep a page, durably.  Raises DuplicateKeyError if there is one in its place."""
        self._pages.insert_one(page.document())

    def page(self, chain: str, first: int) -> Page | None:
        """The page that begins with this record."""
        found = self._pages.find_one({"_id": page_id(chain, first)})
        return read_page(found) if found else None

    def page_of(self, chain: str, number: int) -> Page | None:
        """The page that this record should stand in."""
        where = {"_id": {"$gt": f"{chain}/", "$lte": page_id(chain, number)}}
        found = self._pages.find_one(where, sort=[("_id", -1)])
        return read_page(found) if found else None

    def pages(self, chain: str) -> Iterator[Page]:
        """All pages of a chain, from the first on."""
        for document in self._pages.find(_behind(chain, 0)).sort("_id", 1):
            yield read_page(document)

    def behind(self, heads: Iterable[Head], limit: int) -> list[Page]:
        """The first pages that stand behind these heads, chain by chain."""
        ranges = [_behind(head.chain, head.number) for head in heads]
        if not ranges:
            return []
        found = self._pages.find({"$or": ranges}).sort("_id", 1).limit(limit)
        return [read_page(document) for document in found]

    def waiting(self, heads: Iterable[Head], limit: int) -> int:
        """How many pages stand behind these heads; not more than `limit` are counted."""
        ranges = [_behind(head.chain, head.number) for head in heads]
        return self._pages.count_documents({"$or": ranges}, limit=limit) if ranges else 0

    def count(self) -> int:
        """About how many pages there are."""
        return self._pages.estimated_document_count()

    # --- leaves

    def leaf(self, id: str, record: bytes) -> dict[str, Any]:
        """What a transaction inserts into LEAVES with what it writes."""
        return {"_id": id, "record": record, "mac": self.key.mac(b"leaf", id.encode(), record)}

    def leaves(self, limit: int = 0) -> list[tuple[str, bytes, bool]]:
        """(id, record, whether it is as it was written) of those that are not bound yet."""
        found = self._leaves.find().sort("_id", 1).limit(limit)
        return [(leaf["_id"], bytes(leaf["record"]), self._is_whole(leaf)) for leaf in found]

    def drop_leaves(self, ids: Sequence[str]) -> None:
        """Forget leaves that have been bound."""
        self._leaves.delete_many({"_id": {"$in": list(ids)}})

    def _is_whole(self, leaf: Mapping[str, Any]) -> bool:
        parts = (b"leaf", str(leaf["_id"]).encode(), bytes(leaf["record"]))
        return any(key.is_mac(leaf["mac"], *parts) for key in self.keys.values())

    # --- chains

    def open(self, chain: str) -> None:
        """Make a chain known, before its first page is."""
        self._chains.insert_one(self._kept(Head(chain, 0, NOTHING_BEFORE)))

    def heads(self) -> list[Head]:
        """The chains that are open, and how far AuditEvents follow them."""
        return [_head(document) for document in self._chains.find({"open": True}).sort("_id", 1)]

    def advance(self, chain: str, number: int, mac: bytes, *, open: bool) -> None:
        """Note that AuditEvents follow the chain through this record.  Nothing if they are further already."""
        kept = self._kept(Head(chain, number, mac, open))
        change: dict[str, Any] = {"$set": kept} if open else {"$set": kept, "$unset": {"open": ""}}
        self._chains.update_one({"_id": chain, "through": {"$lt": number}}, change)

    def end(self, head: Head) -> None:
        """
        End a chain, by a record in the place of its next one; nothing if it has come further than its head says.

        Its process may live: then it begins another chain when it has something to record.
        """
        record = orjson.dumps({"end": head.chain, "key": self.key.name})
        mac = self.key.link(head.mac, head.chain, head.number + 1, record)
        with suppress(errors.DuplicateKeyError):
            self.insert(Page(head.chain, head.number + 1, (record,), (mac,)))

    def known(self) -> Iterator[tuple[Head, bool]]:
        """Every chain that is known, and whether its seal is good."""
        for document in self._chains.find().sort("_id", 1):
            head = _head(document)
            seal = bytes(document.get("seal", b""))
            yield head, any(hmac.compare_digest(seal, head.sealed(key)) for key in self.keys.values())

    def names(self) -> list[str]:
        """The names of the chains that have pages."""
        found: list[str] = []
        while True:
            after = {"_id": {"$gt": f"{found[-1]}0"}} if found else {}
            first = self._pages.find_one(after, {"_id": 1}, sort=[("_id", 1)])
            if first is None:
                return found
            found.append(str(first["_id"]).partition("/")[0])

    def _kept(self, head: Head) -> dict[str, Any]:
        kept = {
            "_id": head.chain,
            "through": head.number,
            "mac": head.mac,
            "at": self.clock(),
            "seal": head.sealed(self.key),
        }
        return {**kept, "open": True} if head.open else kept


def _behind(chain: str, number: int) -> dict[str, Any]:
    """The pages of a chain behind a record."""
    return {"_id": {"$gt": page_id(chain, number), "$lt": f"{chain}0"}}


def _head(document: Mapping[str, Any]) -> Head:
    return Head(
        document["_id"], document["through"], bytes(document["mac"]), document.get("open") is True, document.get("at")
    )


class Chain:
    """
    The end of a chain that this process appends to; one thread at a time.

    begin: the first record of a chain, by its name.  Anyone may end it by a page in the place of its next one: then
    this process begins another.
    """

    def __init__(self, ledger: Ledger, begin: Callable[[str], bytes]):
        self._ledger = ledger
        self._begin = begin
        self.name: str | None = None
        self._number = 0
        self._mac = NOTHING_BEFORE
        self._unsure: Page | None = None

    def append(self, records: Sequence[bytes]) -> None:
        """
        Make the records durable, as few pages.

        Raises what MongoDB raised.  A page of which nobody knows whether it was written is written again, the very
        same, before the next.
        """
        self._settle()
        for part in _parts(records):
            if self.name is None or not self._insert(part):
                self._open()
                if not self._insert(part):
                    raise errors.OperationFailure("a new chain of the ledger has been ended already")

    def _insert(self, records: Sequence[bytes]) -> bool:
        """Whether the records stand in this chain now; not if it has been ended."""
        page = self._page([*([self._begin(self.name or "")] if self._number == 0 else []), *records])
        try:
            self._ledger.insert(page)
        except errors.DuplicateKeyError:
            self.name = None
            return False
        except (errors.WriteError, errors.DocumentTooLarge):
            raise  # MongoDB has looked at it, and not kept it
        except errors.PyMongoError:
            self._unsure = page
            raise
        self._stands(page)
        return True

    def _settle(self) -> None:
        """Find out what became of the page that nobody knows of."""
        page = self._unsure
        if page is None:
            return
        try:
            self._ledger.insert(page)
        except errors.DuplicateKeyError:
            if self._ledger.page(page.chain, page.first) != page:
                self.name = None
        except errors.WriteError:
            self.name = None
        self._unsure = None
        if self.name is not None:
            self._stands(page)

    def _open(self) -> None:
        """Begin a chain, whose name sorts by its time."""
        self.name = None
        name = f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(4)}"
        self._ledger.open(name)
        self.name, self._number, self._mac = name, 0, NOTHING_BEFORE

    def _page(self, records: Sequence[bytes]) -> Page:
        chain, number, mac = self.name or "", self._number, self._mac
        macs = []
        for record in records:
            number += 1
            mac = self._ledger.key.link(mac, chain, number, record)
            macs.append(mac)
        return Page(chain, self._number + 1, tuple(records), tuple(macs))

    def _stands(self, page: Page) -> None:
        self._number, self._mac = page.last, page.macs[-1]


def _parts(records: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """The records as pages take them."""
    if sum(map(len, records)) <= PAGE_BYTES:
        if records:
            yield records
        return
    part: list[bytes] = []
    size = 0
    for record in records:
        if part and size + len(record) > PAGE_BYTES:
            yield part
            part, size = [], 0
        part.append(record)
        size += len(record)
    yield part
