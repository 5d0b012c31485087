"""Is the record of accesses as it was written?  Every chain is walked, and every AuditEvent held against it.

A record that was changed, removed, put elsewhere or cut off is named by its place, `chain/number`, and an AuditEvent by
its id.  What nobody can tell: whether the very last records of all chains are missing together with everything that
was written since, AuditEvents included.  An anchor that was kept elsewhere tells that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson
from pymongo.collection import Collection

from fhir_server.audit.follow import TYPE, made_of, read, sealed
from fhir_server.fhir.dates import instant
from fhir_server.storage.ledger import MAC_BYTES, NOTHING_BEFORE, Key, Ledger, Page

#: So many AuditEvents are looked up at a time.
BATCH = 500

#: Called with how many pages, or AuditEvents, were gone through since.
Advance = Callable[[int], None]


@dataclass(frozen=True)
class Anchor:
    """The heads of the chains at a time, as a line says that was kept elsewhere."""

    at: str
    heads: dict[str, tuple[int, bytes]]


@dataclass
class Verified:
    """What was gone through: records by chain, AuditEvents, those of before the ledger, and leaves not bound yet."""

    chains: dict[str, int] = field(default_factory=dict)
    audit_events: int = 0
    of_before: int = 0
    leaves: int = 0


def verify(
    ledger: Ledger, anchors: Iterable[Anchor], verified: Verified, advance: Advance = lambda number: None
) -> Iterator[str]:
    """Every fault, in words, as it is found; `verified` fills meanwhile."""
    seen = _Seen()
    for head, whole in ledger.known():
        if not whole:
            yield f"What is kept of chain {head.chain} (how far AuditEvents follow it) was changed."
            continue
        seen.note(head.chain, head.number, head.mac, "AuditEvents have followed it")
    through = {chain: number for chain, (number, _, _) in seen.heads.items()}
    for anchor in anchors:
        for chain, (number, mac) in anchor.heads.items():
            seen.note(chain, number, mac, f"the anchor of {anchor.at} has it")
    for chain in ledger.names():
        yield from _Walk(ledger, chain, seen, through.get(chain, 0), verified, advance).faults()
    yield from _missing(ledger, seen, verified)
    yield from _leaves(ledger, verified)
    yield from _audit_events(ledger, verified, advance)


class _Seen:
    """How far each chain has come, by whoever has seen it furthest: {chain: (number, MAC, who has seen it)}."""

    def __init__(self) -> None:
        self.heads: dict[str, tuple[int, bytes, str]] = {}

    def note(self, chain: str, number: int, mac: bytes, who: str) -> None:
        if number > self.heads.get(chain, (-1, b"", ""))[0]:
            self.heads[chain] = number, mac, who


class _Walk:
    """One chain, from its first record on."""

    def __init__(
        self, ledger: Ledger, chain: str, seen: _Seen, through: int, verified: Verified, advance: Advance
    ) -> None:
        self._ledger = ledger
        self._chain = chain
        self._seen = seen
        self._through = through
        self._verified = verified
        self._advance = advance
        self._key: Key = ledger.key
        self._before: bytes | None = NOTHING_BEFORE
        self._expected = 1

    def faults(self) -> Iterator[str]:
        """What is wrong with it, and with the AuditEvents of its records."""
        for page in self._ledger.pages(self._chain):
            yield from self._page(page)
            self._advance(1)
        self._verified.chains[self._chain] = self._expected - 1

    def _page(self, page: Page) -> Iterator[str]:
        if page.first > self._expected:
            yield f"{_places(self._chain, self._expected, page.first - 1)}: removed."
            self._before = None
        elif page.first < self._expected:
            yield f"{_places(self._chain, page.first, page.last)}: put in a place that is taken."
            return
        size = max(len(page.records), len(page.macs), 1)
        if not len(page.records) == len(page.macs) == size or any(len(mac) != MAC_BYTES for mac in page.macs):
            yield (
                f"{_places(self._chain, page.first, page.first + size - 1)}: "
                f"changed; {len(page.records)} records stand there with the MACs of {len(page.macs)}."
            )
            self._before, self._expected = None, page.first + size
            return
        good = []
        for number, (line, mac) in enumerate(zip(page.records, page.macs, strict=True), page.first):
            said = read(line)
            fault = self._fault(number, line, mac, said)
            if fault:
                yield f"{self._chain}/{number}: {fault}{_what(said)}."
            elif "bad" in said:
                yield f"{self._chain}/{number - 1}: changed before it was bound; it was the record {said['bad']}."
            else:
                good.append((number, line))
                for chain, (seen, its) in said.get("heads", {}).items():
                    self._seen.note(chain, seen, bytes.fromhex(its), f"{self._chain}/{number} has it")
            self._before = mac
        self._expected = page.last + 1
        yield from self._followed([(number, line) for number, line in good if number <= self._through])

    def _fault(self, number: int, line: bytes, mac: bytes, said: dict[str, Any]) -> str | None:
        key = self._key
        if "key" in said and (number == 1 or "end" in said):
            named = self._ledger.keys.get(str(said["key"]))
            if named is None:
                return f"bound with the key `{said['key']}`, which was not given"
            key = named
            if number == 1:
                self._key = key
        if self._before is None:
            return None  # what it was bound to is gone, which has been said
        return None if key.link(self._before, self._chain, number, line) == mac else "changed, or put there later"

    def _followed(self, records: list[tuple[int, bytes]]) -> Iterator[str]:
        """The records whose AuditEvents are not there, or differ."""
        made = [(number, stored.id) for number, line in records for stored in made_of(line)]
        for start in range(0, len(made), BATCH):
            part = made[start : start + BATCH]
            found = _found(self._ledger, [id for _, id in part])
            for number, id in part:
                if id not in found:
                    yield f"{TYPE}/{id}: removed; it was made of {self._chain}/{number}."


def _found(ledger: Ledger, ids: list[str]) -> set[str]:
    return {one["_id"] for one in ledger.database[TYPE].find({"_id": {"$in": ids}}, {"_id": 1})}


def _missing(ledger: Ledger, seen: _Seen, verified: Verified) -> Iterator[str]:
    """What somebody has seen of a chain, and is not there any more."""
    for chain, (number, mac, who) in seen.heads.items():
        last = verified.chains.get(chain, 0)
        if number > last:
            if last == 0:
                yield f"Chain {chain}: removed, with its {number} records or more; {who}."
            else:
                yield f"{_places(chain, last + 1, number)} and what may have followed: cut off; {who}."
            continue
        page = ledger.page_of(chain, number) if number else None
        at = number - page.first if page else 0
        if page and at < len(page.macs) and page.macs[at] != mac:
            yield f"{chain}/{number}: another record than the one that was there; {who} otherwise."


def _leaves(ledger: Ledger, verified: Verified) -> Iterator[str]:
    for id, record, whole in ledger.leaves():
        verified.leaves += 1
        if not whole:
            yield f"Record {id}, which is to be bound yet: changed{_what(read(record))}."


def _audit_events(ledger: Ledger, verified: Verified, advance: Advance) -> Iterator[str]:
    """The AuditEvents of the server that are not what was made of a record, or of one that is not there any more."""
    began = _began(ledger)
    collection: Collection[dict[str, Any]] = ledger.database[TYPE]
    fields = {"body": 1, "owner": 1, "place": 1, "mac": 1, "updated": 1}
    for number, document in enumerate(collection.find({"origin": "server"}, fields), 1):
        if number % BATCH == 0:
            advance(BATCH)
        verified.audit_events += 1
        if "mac" not in document:
            if began is None or not isinstance(document.get("updated"), datetime) or document["updated"] >= began:
                yield f"{TYPE}/{document['_id']}: it was not made of the ledger."
            else:
                verified.of_before += 1
            continue
        parts = sealed(document)
        if not any(key.is_mac(document["mac"], *parts) for key in ledger.keys.values()):
            yield f"{TYPE}/{document['_id']}: changed; it was made of {document.get('place')}."
            continue
        chain, _, place = document["place"].partition("/")
        if int(place) > verified.chains.get(chain, 0) and not _stands(ledger, chain, int(place)):
            yield f"{document['place']}: removed; {TYPE}/{document['_id']} was made of it."
    advance(verified.audit_events % BATCH)


def _stands(ledger: Ledger, chain: str, number: int) -> bool:
    """Whether there is a record in this place by now: a server goes on while the record is verified."""
    page = ledger.page_of(chain, number)
    return page is not None and number <= page.last


def _began(ledger: Ledger) -> datetime | None:
    """When the first chain began, by its own word."""
    for chain in ledger.names()[:1]:
        for page in ledger.pages(chain):
            at = read(page.records[0]).get("at") if page.records else None
            return datetime.fromtimestamp(at / 1000, UTC) if isinstance(at, int) else None
    return None


def read_anchors(lines: Iterable[bytes], ledger: Ledger) -> list[Anchor]:
    """The anchors of a file, a line each.  Raises ValueError with the line that is none, or none of these keys."""
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        said = read(line)
        mac = str(said.pop("mac", ""))
        key = ledger.keys.get(str(said.get("key")))
        if key is None or key.mac(b"anchor", orjson.dumps(said)).hex() != mac:
            raise ValueError(f"line {number} is no anchor that was made with this key")
        heads = {chain: (seen, bytes.fromhex(its)) for chain, (seen, its) in said["heads"].items()}
        found.append(Anchor(said["at"], heads))
    return found


def _places(chain: str, first: int, last: int) -> str:
    return f"{chain}/{first}" if first == last else f"{chain}/{first} to {last}"


def _what(said: dict[str, Any]) -> str:
    """What a record says it is, to know it by."""
    if "do" not in said:
        return ""
    try:
        at = instant(datetime.fromtimestamp(said["at"] / 1000, UTC))
    except (KeyError, OSError, OverflowError, TypeError, ValueError):
        at = "at no time that there is"
    return f" ({said.get('id')}, {said['do']}, {at})"
