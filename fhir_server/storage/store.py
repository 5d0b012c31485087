"""Documents in and out of MongoDB: exact bytes beside an index entry, one transaction per write.

`allowed` has no default anywhere: whoever means to see everything writes `allowed=EVERYTHING`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias, TypeVar

from bson.codec_options import CodecOptions, TypeRegistry
from bson.decimal128 import DecimalEncoder
from pymongo import DeleteOne, InsertOne, MongoClient, ReplaceOne, UpdateOne, WriteConcern, errors
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.read_concern import ReadConcern

from fhir_server.fhir.outcome import Conflict, FhirError, TooLarge, Unavailable
from fhir_server.search import sorting
from fhir_server.search.expression import EVERYTHING, Expression, Filter, all_of
from fhir_server.search.matcher import matches
from fhir_server.search.mongo import to_filter
from fhir_server.search.parameters import parameters, several_records
from fhir_server.search.query import Order
from fhir_server.storage import indexes
from fhir_server.storage.documents import (
    CONDITIONAL,
    HISTORY,
    MET,
    Stored,
    current_document,
    history_document,
    history_key,
    read_current,
    read_history,
)
from fhir_server.storage.readiness import Readiness
from fhir_server.storage.slow import SlowQueries

T = TypeVar("T")
#: Where a resource stands in an order: (the value of each key, and the id).  search/sorting.py
Place: TypeAlias = tuple[Any, ...]

#: How long a write keeps trying against other writers of the same resource.
PATIENCE = 10.0
#: A total is counted up to here; a larger result has none.  R4: bundle.html total is optional
COUNTED = 10_000

_TOO_LARGE = "The resource is too large to be kept: 16 MB with its index."
_BSON_OBJECT_TOO_LARGE = 10334
_WRITE_CONFLICT = 112
_SERVED = {"version": 1, "updated": 1, "body": 1, "owner": 1, "others": 1, "labels": 1, "depositor": 1, "deposited": 1}
_MAJORITY = WriteConcern("majority", j=True)
#: For documents that are read without the numbers of their index entry: a registry that decodes is asked about each
#: value, which takes longer than all else.  What is asked may hold decimals.
SERVED_OPTIONS: CodecOptions[dict[str, Any]] = CodecOptions(
    tz_aware=True, type_registry=TypeRegistry([DecimalEncoder()])
)


class Retry(Exception):
    """Another writer came first: run the work again on what is there now."""


class _Answering:
    """What `answering` holds.  It keeps nothing, so there is one for all."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        ours = None if error is None else _as_ours(error)
        if ours:
            raise ours from error


_ANSWERING = _Answering()


def answering() -> _Answering:
    """MongoDB's failures as ours, within this.  A conflict between writers is left to `Store.run`."""
    return _ANSWERING


def _as_ours(error: BaseException) -> FhirError | None:
    if isinstance(error, errors.ExecutionTimeout | errors.NetworkTimeout):
        return Unavailable("The query took too long; narrow it, or try again.", headers={"Retry-After": "5"})
    if isinstance(error, errors.DocumentTooLarge):
        return TooLarge(_TOO_LARGE)
    if isinstance(error, errors.OperationFailure):
        # A few kilobytes over the limit, the client lets it pass and the server refuses it.
        return TooLarge(_TOO_LARGE) if error.code == _BSON_OBJECT_TOO_LARGE else None
    if isinstance(error, errors.ConnectionFailure) and not error.has_error_label("TransientTransactionError"):
        return _away()
    return None


@dataclass(frozen=True)
class Ahead:
    """
    What is looked up in one round trip with the access token: an aggregation over the resources of a type.

    asked     what it answers, for whoever asks it afterwards
    by_key    whoever asks, it is whole documents by their ids, that are decided on when they are there
    ids       the `_id`s of all that it may find; None where that cannot be said
    watching  to be held while it runs, where it is not by ids: tells of it if it is slow
    options   of the aggregation that it becomes a part of, where it is not by ids: how long it may take
    plain     whether it is documents of the server's own, and no resources
    """

    type: str
    asked: tuple[Any, ...]
    pipeline: tuple[dict[str, Any], ...]
    by_key: bool = False
    ids: frozenset[str] | None = None
    watching: Callable[[], AbstractContextManager[None]] = field(default=nullcontext, compare=False)
    options: Mapping[str, Any] = field(default_factory=dict, compare=False)
    plain: bool = False

    @property
    def stage(self) -> dict[str, Any]:
        """The stage that puts what it finds behind what was found before."""
        return {"$unionWith": {"coll": self.type, "pipeline": list(self.pipeline)}}

    def read(self, documents: Iterable[dict[str, Any]]) -> Brought:
        """What was found."""
        if self.plain:
            return Brought(self.asked, [], list(documents))
        return Brought(self.asked, [read_current(self.type, one, (one["_id"],)) for one in documents])


@dataclass(frozen=True)
class Brought:
    """What was looked up ahead: the answer to `asked`."""

    asked: tuple[Any, ...]
    found: list[Stored]
    plain: list[dict[str, Any]] = field(default_factory=list)


def ahead_of_read(type: str, id: str) -> Ahead:
    """The current version of one resource, with all that it may be decided on by."""
    return Ahead(type, (type, id), ({"$match": {"_id": id}},), by_key=True, ids=frozenset((id,)))


class Store:
    """The collections of one database."""

    def __init__(
        self,
        client: MongoClient,
        name: str,
        *,
        query_timeout_ms: int = 20_000,
        slow_query_ms: int = 0,
        zone: str = "Europe/Paris",
    ):
        self._client = client
        self.database = client[name]
        self.timeout_ms = query_timeout_ms
        self.readiness = Readiness(self.database, zone)
        self._slow = SlowQueries(self.database, slow_query_ms)
        self._collections: dict[str, Collection] = {}
        self._following: dict[str, Callable[[], None]] = {}

    def follow(self, type: str, bring_up: Callable[[], None]) -> None:
        """Have the resources of this type brought up to date by `bring_up` whenever they are asked for."""
        self._following[type] = bring_up

    def follows(self, type: str) -> bool:
        """Whether the resources of this type have to be brought up to date first: nothing is looked up ahead then."""
        return type in self._following

    def bring_up(self, type: str, session: ClientSession | None = None) -> None:
        """Bring the resources of this type up to date.  Nothing within a transaction, which sees to it itself."""
        if type in self._following and session is None:
            self._following[type]()

    def _served(self, type: str) -> Collection:
        """The collection for what is read to be served: no numbers, whose decoding makes all of it slow."""
        name = f"{type} served"
        if name not in self._collections:
            self._collections[name] = self.database[type].with_options(codec_options=SERVED_OPTIONS)
        return self._collections[name]

    def collection(self, name: str) -> Collection:
        """The collection of this name: made once, since it is asked for by every request."""
        if name not in self._collections:
            self._collections[name] = self.database[name]
        return self._collections[name]

    def prepare(self) -> None:
        """Create collections and indexes; RuntimeError if an advertised parameter has none."""
        indexes.create(self.database)
        lacking = indexes.missing(self.database)
        if lacking:
            raise RuntimeError(f"these indexes could not be made: {', '.join(lacking)}")
        self.readiness.prepare()

    def refuse(self, type: str, *expressions: Expression, codes: Iterable[str] = ()) -> None:
        """Raise Unavailable if they ask of the type what is not indexed yet: see Readiness.refuse."""
        if self.readiness.whole:
            return
        with answering():
            self.readiness.refuse(type, *expressions, codes=codes)

    def read(self, type: str, id: str, *, session: ClientSession | None = None) -> Stored | None:
        """The current version, if there is one.  Whoever calls must hold it against the decision."""
        self.bring_up(type, session)
        with answering():
            found = self.collection(type).find_one({"_id": id}, session=session)
        return read_current(type, found) if found else None

    def version(self, type: str, id: str, version: int, *, session: ClientSession | None = None) -> Stored | None:
        """One version, a deletion's too.  Whoever calls must hold it against the decision."""
        with answering():
            found = self.collection(HISTORY).find_one({"_id": history_key(type, id, version)}, session=session)
        return read_history(found) if found else None

    def first_versions(self, references: Iterable[str], *, session: ClientSession | None = None) -> list[Stored]:
        """
        The first versions of these resources, `Type/id`, without their bytes: with the labels of now, as each version.

        Of what is not there, or has no history, none.
        """
        keys = sorted(history_key(type, id, 1) for type, _, id in (one.partition("/") for one in references))
        with answering():
            found = self.collection(HISTORY).find({"_id": {"$in": keys}}, {"body": 0}, session=session)
            return [read_history(document) for document in found]

    def last_version(self, type: str, id: str, *, session: ClientSession | None = None) -> Stored | None:
        """The newest version, a deletion's too."""
        with answering():
            found = self.collection(HISTORY).find_one(_instance(type, id), sort=[("_id", -1)], session=session)
        return read_history(found) if found else None

    def find(
        self,
        type: str,
        where: Expression,
        *,
        allowed: Expression,
        limit: int,
        order: tuple[Order, ...] = (),
        after: Place | None = None,
        back: bool = False,
        entries: bool = False,
        session: ClientSession | None = None,
    ) -> list[Stored]:
        """
        The current versions that match and are allowed, in order, from behind the place `after` on.

        back: from there towards the beginning, still in order.  entries: with their whole index entries.
        """
        codes = [one.code for one in order]
        self.refuse(type, codes=codes)
        self.bring_up(type, session)
        query = self._filter(type, where, allowed)
        behind = sorting.behind(after, order, back=back) if after is not None else {}
        by = sorting.direction(order, back=back)
        computed = sorting.computed(type, order)
        collection = self.collection(type)
        pipeline: list[dict[str, Any]] = []
        if computed:
            pipeline = [
                {"$match": query},
                {"$set": computed},
                *([{"$match": behind}] if behind else []),
                {"$sort": dict(by)},
                {"$limit": limit},
                *([] if entries else [{"$project": {**_SERVED, **dict.fromkeys(computed, 1)}}]),
            ]
        elif behind:
            query = {"$and": [query, behind]}
        with answering(), self._slow.watching(type, query, pipeline=pipeline, order=codes):
            if pipeline:
                found = collection.aggregate(pipeline, session=session, maxTimeMS=self.timeout_ms).to_list()
            else:
                projection, source = (None, collection) if entries else (_SERVED, self._served(type))
                cursor = source.find(query, projection, session=session, max_time_ms=self.timeout_ms)
                found = cursor.sort(by).limit(limit).to_list()
        if back:
            found.reverse()
        return [read_current(type, one, sorting.place(one, order)) for one in found]

    def ahead(self, type: str, where: Expression, *, allowed: Expression, limit: int) -> Ahead:
        """As `find`, by id from the first on, to be looked up along with something else."""
        query = self._filter(type, where, allowed)
        return Ahead(
            type,
            (type, where, limit),
            ({"$match": query}, {"$sort": {"_id": 1}}, {"$limit": limit}, {"$project": _SERVED}),
            watching=lambda: self._slow.watching(type, query),
            options={"maxTimeMS": self.timeout_ms},
        )

    def ahead_of_read(self, type: str, id: str, *, allowed: Expression) -> Ahead:
        """As `read`, where that is allowed, to be looked up along with something else."""
        query: Filter = {"_id": id}
        permitted = self._filter(type, EVERYTHING, allowed)
        if permitted:  # alone, the id leads straight to the document
            query = {"$and": [query, permitted]}
        return Ahead(type, (type, id, allowed), ({"$match": query}, {"$project": _SERVED}), ids=frozenset((id,)))

    def ids(
        self, type: str, where: Expression, *, allowed: Expression, limit: int, session: ClientSession | None = None
    ) -> list[str]:
        """The ids of those that match and are allowed, in no order."""
        self.bring_up(type, session)
        query = self._filter(type, where, allowed)
        with answering(), self._slow.watching(type, query):
            found = self.collection(type).find(query, {"_id": 1}, session=session, max_time_ms=self.timeout_ms)
            return [document["_id"] for document in found.limit(limit)]

    def texts(
        self,
        type: str,
        code: str,
        where: Expression,
        *,
        allowed: Expression,
        limit: int,
        session: ClientSession | None = None,
    ) -> list[str]:
        """What those that match and are allowed refer to by a reference parameter, or are named by a uri: each once."""
        start = f"{code}="
        keys: Any = {
            "$map": {
                "input": {
                    "$filter": {
                        "input": "$keys",
                        "cond": {"$and": [{"$gte": ["$$this", start]}, {"$lt": ["$$this", f"{code}>"]}]},
                    }
                },
                "in": {"$substrCP": ["$$this", len(start), {"$strLenCP": "$$this"}]},
            }
        }
        if parameters(type)[code].record:
            keys = {"$concatArrays": [sorting.PATIENTS, keys]}
        self.refuse(type, codes=[code])
        stages: list[dict[str, Any]] = [
            {"$project": {"text": keys}},
            {"$unwind": "$text"},
            {"$group": {"_id": "$text"}},
            {"$limit": limit},
        ]
        found = self.aggregate(type, where, stages, allowed=allowed, session=session)
        return [document["_id"] for document in found]

    def aggregate(
        self,
        type: str,
        where: Expression,
        stages: Sequence[dict[str, Any]],
        *,
        allowed: Expression,
        session: ClientSession | None = None,
    ) -> Iterator[dict[str, Any]]:
        """What these stages make of those that match and are allowed, as it comes."""
        self.bring_up(type, session)
        query = self._filter(type, where, allowed)
        pipeline = [{"$match": query}, *stages]
        with answering(), self._slow.watching(type, query, pipeline=pipeline):
            yield from self.collection(type).aggregate(pipeline, session=session, maxTimeMS=self.timeout_ms)

    def count(
        self,
        type: str,
        where: Expression,
        *,
        allowed: Expression,
        exactly: bool = False,
        session: ClientSession | None = None,
    ) -> int | None:
        """How many match and are allowed; None past COUNTED unless it is asked for exactly."""
        self.bring_up(type, session)
        return self._count(type, self._filter(type, where, allowed), session, exactly=exactly)

    def history(
        self,
        type: str | None,
        id: str | None,
        *,
        allowed: Expression,
        limit: int,
        since: datetime | None = None,
        at: tuple[datetime, datetime] | None = None,
        after: tuple[datetime, str] | None = None,
    ) -> tuple[list[Stored], int | None]:
        """
        The versions of an instance, a type or the system, newest first, and how many there are in all.

        since: changed then or later.  at: in force at some time from the first to before the second.
        after: (updated, key) of the last version of the page before.
        """
        query: Filter = {} if type is None else {"type": type} if id is None else _instance(type, id)
        terms = [query, to_filter(allowed)]
        if since:
            terms.append({"updated": {"$gte": since}})
        if at:
            terms += [{"updated": {"$lt": at[1]}}, {"$or": [{"until": {"$gt": at[0]}}, {"until": {"$exists": False}}]}]
        terms = [term for term in terms if term]
        whole = {"$and": terms} if terms else {}
        page = terms
        if after:
            moment, key = after
            page = [*terms, {"$or": [{"updated": {"$lt": moment}}, {"updated": moment, "_id": {"$lt": key}}]}]
        query = {"$and": page} if page else {}
        with answering(), self._slow.watching(HISTORY, query):
            found = self.collection(HISTORY).find(query, max_time_ms=self.timeout_ms)
            versions = [read_history(d) for d in found.sort([("updated", -1), ("_id", -1)]).limit(limit)]
        return versions, self._count(HISTORY, whole, None)

    def records_of(self, type: str, id: str) -> frozenset[str]:
        """The ids of the patients in whose records any version of the instance is, or was."""
        with answering():
            found = self.collection(HISTORY).find(_instance(type, id), {"_id": 0, "owner": 1, "others": 1})
            return frozenset(
                patient for one in found for patient in (one.get("owner"), *one.get("others", ())) if patient
            )

    def run(self, work: Callable[[Unit], T]) -> T:
        """
        Run `work` in one transaction, majority-committed and journaled; run it again when another writer came first.

        Raises Conflict when that goes on for too long, Unavailable when the store is away for as long, and whatever
        `work` raises, with nothing written.
        """
        deadline = time.monotonic() + PATIENCE
        pause = 0.002
        brought_up: set[str] = set()
        # Once the store was away that is the reason, even if the writers that waited for it meet when it is back.
        failure: FhirError = Conflict("Other writers keep changing the same resources; try again.")
        with answering(), self._client.start_session() as session:
            while True:
                try:
                    return self._once(session, work, brought_up)
                except Retry:
                    pass
                except errors.BulkWriteError as error:
                    if not _is_duplicate(error):
                        raise
                except errors.PyMongoError as error:
                    if not error.has_error_label("TransientTransactionError"):
                        raise
                    if not _is_conflict(error):
                        failure = _away()
                if time.monotonic() + pause > deadline:
                    raise failure from None
                time.sleep(pause)
                pause = min(pause * 2, 0.25)

    def _once(self, session: ClientSession, work: Callable[[Unit], T], brought_up: set[str]) -> T:
        session.start_transaction(read_concern=ReadConcern("snapshot"), write_concern=_MAJORITY)
        try:
            unit = Unit(self, session, brought_up)
            result = work(unit)
            unit.flush()
        except BaseException:
            session.abort_transaction()
            raise
        if unit.wrote:
            self._commit(session)
        else:
            session.abort_transaction()
        return result

    @staticmethod
    def _commit(session: ClientSession) -> None:
        """Commit, and ask again while it is not known whether it did: it applies once however often it is asked."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return session.commit_transaction()
            except errors.PyMongoError as error:
                if not error.has_error_label("UnknownTransactionCommitResult") or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def _filter(self, type: str, where: Expression, allowed: Expression) -> Filter:
        self.refuse(type, where, allowed)
        return to_filter(all_of(allowed, where), several_records=several_records(type))

    def _count(self, name: str, query: Filter, session: ClientSession | None, *, exactly: bool = False) -> int | None:
        bound = {} if exactly else {"limit": COUNTED + 1}
        with answering(), self._slow.watching(name, query):
            found = self.collection(name).count_documents(query, maxTimeMS=self.timeout_ms, session=session, **bound)
        return found if exactly or found <= COUNTED else None


class Unit:
    """
    What one transaction reads and writes.  Writes wait until something has to see them, or the end: twenty creates
    are one insert a collection.

    brought_up: the types that were brought up to date before the transaction began.
    """

    def __init__(self, store: Store, session: ClientSession, brought_up: set[str]):
        self._store = store
        self._session = session
        self._brought_up = brought_up
        self._fresh: dict[tuple[str, str], Stored | None] = {}
        self._pending: dict[str, list[Any]] = {}
        self.wrote = False

    def read(self, type: str, id: str) -> Stored | None:
        """The current version, this transaction's own writes included."""
        if (type, id) in self._fresh:
            return self._fresh[type, id]
        self._bring_up(type)
        return self._store.read(type, id, session=self._session)

    def last_version(self, type: str, id: str) -> Stored | None:
        """The newest version, a deletion's too."""
        self.flush()
        return self._store.last_version(type, id, session=self._session)

    def first_versions(self, references: Iterable[str]) -> list[Stored]:
        """As Store.first_versions, this transaction's own writes included."""
        self.flush()
        return self._store.first_versions(references, session=self._session)

    def newest(self, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Stored]:
        """The last version, a deletion's too, of each (type, id) that ever was; a few hundred are asked at a time."""
        self.flush()
        ids: dict[str, list[str]] = {}
        for type, id in keys:
            ids.setdefault(type, []).append(id)
        found: dict[tuple[str, str], Stored] = {}
        for type, wanted in ids.items():
            current = self._store.collection(type).find({"_id": {"$in": wanted}}, session=self._session)
            found.update({(type, document["_id"]): read_current(type, document) for document in current})
        firsts = [history_key(type, id, 1) for type in ids for id in ids[type] if (type, id) not in found]
        deleted = self._store.collection(HISTORY).find(
            {"_id": {"$in": firsts}}, {"type": 1, "id": 1}, session=self._session
        )
        for document in list(deleted):
            last = self.last_version(document["type"], document["id"])
            if last:
                found[last.type, last.id] = last
        return found

    def find(self, type: str, where: Expression, **asked: Any) -> list[Stored]:
        """As Store.find, this transaction's own writes included."""
        self._bring_up(type)
        self.flush()
        return self._store.find(type, where, session=self._session, **asked)

    def ids(self, type: str, where: Expression, **asked: Any) -> list[str]:
        """As Store.ids, this transaction's own writes included."""
        self._bring_up(type)
        self.flush()
        return self._store.ids(type, where, session=self._session, **asked)

    def texts(self, type: str, code: str, where: Expression, **asked: Any) -> list[str]:
        """As Store.texts, this transaction's own writes included."""
        self._bring_up(type)
        self.flush()
        return self._store.texts(type, code, where, session=self._session, **asked)

    def aggregate(
        self, type: str, where: Expression, stages: Sequence[dict[str, Any]], **asked: Any
    ) -> Iterator[dict[str, Any]]:
        """As Store.aggregate, this transaction's own writes included."""
        self._bring_up(type)
        self.flush()
        return self._store.aggregate(type, where, stages, session=self._session, **asked)

    def count(self, type: str, where: Expression, **asked: Any) -> int | None:
        """As Store.count, this transaction's own writes included."""
        self._bring_up(type)
        self.flush()
        return self._store.count(type, where, session=self._session, **asked)

    @property
    def session(self) -> ClientSession:
        """What its reads and writes are part of."""
        return self._session

    def collection(self, name: str) -> Collection:
        """As Store.collection; what is asked of it names the session."""
        return self._store.collection(name)

    def refuse(self, type: str, *expressions: Expression) -> None:
        """As Store.refuse."""
        self._store.refuse(type, *expressions)

    def version(self, type: str, id: str, version: int) -> Stored | None:
        """As Store.version, this transaction's own writes included."""
        self._bring_up(type)
        self.flush()
        return self._store.version(type, id, version, session=self._session)

    def meet(self, criteria: str) -> None:
        """Make every other transaction that meets at the same criteria wait its turn or run again."""
        self._store.collection(CONDITIONAL).update_one(
            {"_id": criteria}, {"$inc": {"turn": 1}, "$currentDate": {MET: True}}, upsert=True, session=self._session
        )
        self.wrote = True

    def alongside(self, work: Callable[[ClientSession], T]) -> T:
        """Run `work`, which writes elsewhere, as a part of this transaction; it handles no failure of MongoDB's."""
        self.wrote = True
        return work(self._session)

    def write(self, stored: Stored, replaces: Stored | None) -> None:
        """Keep a version: it becomes the current one, or takes the current one away if it has no body."""
        if (stored.type, stored.id) in self._fresh:
            self.flush()
        changes = self._pending.setdefault(stored.type, [])
        if replaces is None:
            changes.append(InsertOne(current_document(stored)))
        elif stored.body is None:
            changes.append(DeleteOne({"_id": stored.id, "version": replaces.version}))
        else:
            changes.append(ReplaceOne({"_id": stored.id, "version": replaces.version}, current_document(stored)))
        history = self._pending.setdefault(HISTORY, [])
        history.append(InsertOne(history_document(stored)))
        if replaces is not None:
            superseded = history_key(replaces.type, replaces.id, replaces.version)
            history.append(UpdateOne({"_id": superseded}, {"$set": {"until": stored.updated}}))
        self._fresh[stored.type, stored.id] = stored if stored.body is not None else None
        self.wrote = True

    def insert(self, collection: str, document: dict[str, Any]) -> None:
        """Keep what the server writes of itself."""
        self._pending.setdefault(collection, []).append(InsertOne(document))
        self.wrote = True

    def _bring_up(self, type: str) -> None:
        """Have the type brought up to date.  Raises Retry when it was: what the transaction sees is of before."""
        if self._store.follows(type) and type not in self._brought_up:
            self._store.bring_up(type)
            self._brought_up.add(type)
            raise Retry

    def flush(self) -> None:
        """Send the writes that wait.  Raises Retry if a current version is no longer the one that was read."""
        pending, self._pending = self._pending, {}
        for name, changes in pending.items():
            collection = self._store.collection(name)
            done = collection.bulk_write(changes, session=self._session)
            expected = sum(1 for change in changes if not isinstance(change, InsertOne))
            if done.matched_count + done.deleted_count != expected and name != HISTORY:
                raise Retry


def _away() -> Unavailable:
    return Unavailable("The store does not answer just now; try again.", headers={"Retry-After": "2"})


def _is_conflict(error: errors.PyMongoError) -> bool:
    """Whether another writer came first; else the store lost the transaction: it was away, or it is just back."""
    return isinstance(error, errors.OperationFailure) and error.code == _WRITE_CONFLICT


def _is_duplicate(error: errors.BulkWriteError) -> bool:
    """Whether a key was there already: another writer made it since this transaction looked."""
    return any(fault.get("code") == 11000 for fault in (error.details or {}).get("writeErrors", ()))


def _instance(type: str, id: str) -> Filter:
    """The versions of one resource: a range of `_id`."""
    return {"_id": {"$gt": f"{type}/{id}/", "$lt": f"{type}/{id}0"}}


def allowed_by(where: Expression, stored: Stored) -> bool:
    """Whether a decision's filter selects this version, in memory."""
    return where == EVERYTHING or matches(where, stored.entry)
