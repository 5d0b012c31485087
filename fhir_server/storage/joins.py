"""Searches across resources: chains and `_has`, exactly and at any size.

What a join stands for is looked up from the inside out, each type within what may be seen of it: a resource that may
not be read cannot be felt for through another either.

    few found      the ids take the place of the join, and the search is one on a single collection
    many found     the candidates of the rest are walked in batches, in the order that was asked for, and the join is
                   answered for each batch, about what that batch refers to

There is no bound on either way, but time.  R4: search.html#chaining, search.html#has
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from fhir_server.fhir.outcome import Forbidden, Unavailable
from fhir_server.search.expression import (
    EVERYTHING,
    NOTHING,
    Expression,
    Join,
    Match,
    ReferredBy,
    Refers,
    all_of,
    any_of,
    has_joins,
    replace_joins,
)
from fhir_server.search.matcher import matches
from fhir_server.search.parameters import Parameter, by_url, parameters
from fhir_server.search.parser import naming
from fhir_server.search.query import Order
from fhir_server.search.recent import Last
from fhir_server.search.types.id import IdTest
from fhir_server.search.types.reference import ReferenceTest
from fhir_server.search.types.uri import UriTest
from fhir_server.storage import last
from fhir_server.storage.documents import Stored
from fhir_server.storage.store import COUNTED, Store, Unit

#: So many ids may take the place of a join.
MOST_IDS = 2_000
#: So many candidates are looked at in one go.
BATCH = 500


class Joins:
    """
    Searches on behalf of one actor.

    allowed: what the actor may see of a type; raises Forbidden for one that no scope reaches.
    """

    def __init__(self, source: Store | Unit, allowed: Callable[[str], Expression], timeout_ms: int):
        self._source = source
        self._allowed = allowed
        self._until = time.monotonic() + timeout_ms / 1000

    def find(
        self,
        type: str,
        where: Expression,
        *,
        allowed: Expression,
        limit: int,
        order: tuple[Order, ...] = (),
        after: Any = None,
        back: bool = False,
    ) -> list[Stored]:
        """As Store.find, of any expression."""
        self._source.refuse(type, where)
        where = self.resolved(where)
        if not has_joins(where):
            return self._source.find(type, where, allowed=allowed, limit=limit, order=order, after=after, back=back)
        found: list[Stored] = []
        for stored in self._walk(type, where, allowed=allowed, order=order, after=after, back=back):
            found.append(stored)
            if len(found) == limit:
                break
        return found[::-1] if back else found

    def count(self, type: str, where: Expression, *, allowed: Expression, exactly: bool = False) -> int | None:
        """As Store.count, of any expression."""
        self._source.refuse(type, where)
        where = self.resolved(where)
        if not has_joins(where):
            return self._source.count(type, where, allowed=allowed, exactly=exactly)
        found = 0
        for _ in self._walk(type, where, allowed=allowed):
            found += 1
            if found > COUNTED and not exactly:
                return None
        return found

    def last_of_each(self, type: str, where: Expression, *, allowed: Expression, most: int) -> Last:
        """As last.last_of_each, of any expression."""
        self._source.refuse(type, where)
        where = self.resolved(where)
        if not has_joins(where):
            return last.last_of_each(self._source, type, where, allowed=allowed, most=most)
        return last.last_of_these(self._walk(type, where, allowed=allowed), most=most)

    def resolved(self, where: Expression) -> Expression:
        """The expression with the ids in the place of each join that finds few.  Raises Forbidden."""
        if not has_joins(where):
            return where
        refused: dict[tuple[str, str], Forbidden | None] = {}

        def resolve(join: Join, positive: bool) -> Expression:
            step = (join.source, join.code) if isinstance(join, Refers) else (join.type, join.code)
            try:
                found = self._found(join)
            except Forbidden as error:
                refused.setdefault(step, error)
                return NOTHING
            refused[step] = None
            return found

        found = replace_joins(where, resolve)
        for refusal in refused.values():
            if refusal is not None:  # no type that the step can lead to may be searched
                raise refusal
        return found

    def _found(self, join: Join) -> Expression:
        """The ids that the join stands for, or the join itself when there are too many."""
        type = join.type
        term = all_of(self._allowed(type), self.resolved(join.term))
        if isinstance(join, Refers):
            if has_joins(term):
                return Refers(join.source, join.code, type, term)
            found = self._targets(join, term, MOST_IDS + 1)
            if len(found) <= MOST_IDS:
                return naming(parameters(join.source)[join.code], frozenset(found)) if found else NOTHING
            return Refers(join.source, join.code, type, term)
        if has_joins(term):
            return ReferredBy(join.target, type, join.code, term)
        texts = self._source.texts(type, join.code, term, allowed=EVERYTHING, limit=MOST_IDS + 1)
        if len(texts) <= MOST_IDS:
            return _named(join.target, texts)
        return ReferredBy(join.target, type, join.code, term)

    def _targets(self, join: Refers, term: Expression, limit: int) -> list[str]:
        """What refers to one of the resources of the term, by reference or canonical."""
        ids = self._source.ids(join.type, term, allowed=EVERYTHING, limit=limit)
        found = [f"{join.type}/{id}" for id in ids]
        if by_url(parameters(join.source)[join.code]) and "url" in parameters(join.type):
            found += self._source.texts(join.type, _url(join.type), term, allowed=EVERYTHING, limit=limit)
        return found

    def _walk(
        self,
        type: str,
        where: Expression,
        *,
        allowed: Expression,
        order: tuple[Order, ...] = (),
        after: Any = None,
        back: bool = False,
    ) -> Iterator[Stored]:
        """All that match, in order (back: the other way round), whatever joins are left in the expression."""
        candidates = replace_joins(where, lambda join, positive: EVERYTHING if positive else NOTHING)
        while True:
            if time.monotonic() > self._until:
                raise Unavailable("The query took too long; narrow it, or try again.", headers={"Retry-After": "5"})
            batch = self._source.find(
                type, candidates, allowed=allowed, limit=BATCH, order=order, after=after, back=back, entries=True
            )
            answered = replace_joins(where, lambda join, positive: self._among(join, batch))  # noqa: B023 - used at once
            yield from (stored for stored in (reversed(batch) if back else batch) if matches(answered, stored.entry))
            if len(batch) < BATCH:
                return
            after = batch[0 if back else -1].place

    def _among(self, join: Join, batch: list[Stored]) -> Expression:
        """What the join stands for among these candidates."""
        if isinstance(join, Refers):
            parameter = parameters(join.source)[join.code]
            texts = {text for stored in batch for text in referred(parameter, stored)}
            ids = frozenset(text.partition("/")[2] for text in texts if text.startswith(f"{join.type}/"))
            asked: list[Expression] = [Match("_id", IdTest(ids))] if ids else []
            urls = tuple(text for text in texts if ":" in text)
            if urls and "url" in parameters(join.type):
                asked.append(Match(_url(join.type), UriTest(urls)))
            if not asked:
                return NOTHING
            term = all_of(any_of(*asked), join.term)
            found = {text for stored in self._every(join.type, term) for text in (stored.reference, *_urls(stored))}
            return naming(parameter, frozenset(found & texts)) if found else NOTHING
        parameter = parameters(join.type)[join.code]
        named = naming(parameter, frozenset(stored.reference for stored in batch))
        if by_url(parameter):
            named_so = frozenset(url for stored in batch for url in _urls(stored))
            named = any_of(named, Match(join.code, ReferenceTest(named_so)))
        term = all_of(named, join.term)
        if has_joins(term):
            texts = {text for stored in self._every(join.type, term) for text in referred(parameter, stored)}
        else:
            texts = set(self._source.texts(join.type, join.code, term, allowed=EVERYTHING, limit=2**31 - 1))
        return _named(join.target, texts)

    def _every(self, type: str, where: Expression) -> Iterator[Stored]:
        return self._walk(type, where, allowed=EVERYTHING)


def referred(parameter: Parameter, stored: Stored) -> Iterator[str]:
    """What the resource refers to by the parameter, `Type/id` or a url, or is named by."""
    if parameter.record:
        patients = (stored.entry.get("owner"), *stored.entry.get("others", ()))
        yield from (f"Patient/{patient}" for patient in patients if patient)
    start = f"{parameter.code}="
    yield from (found[len(start) :] for found in stored.entry["keys"] if found.startswith(start))


def _named(type: str, texts: Any) -> Expression:
    """That it is one of these, named by reference or by canonical url."""
    ids = frozenset(
        text.partition("/")[2] for text in texts if text.startswith(f"{type}/") and "/_history/" not in text
    )
    terms: list[Expression] = [Match("_id", IdTest(ids))] if ids else []
    urls = tuple(text for text in texts if ":" in text)
    if urls and "url" in parameters(type):
        terms.append(Match(_url(type), UriTest(urls)))
    return any_of(*terms)


def _urls(stored: Stored) -> Iterator[str]:
    """The canonical urls of the resource."""
    if "url" in parameters(stored.type):
        yield from referred(parameters(stored.type)[_url(stored.type)], stored)


def _url(type: str) -> str:
    """The field that the urls of a type are kept under."""
    return parameters(type)["url"].fields[0]
