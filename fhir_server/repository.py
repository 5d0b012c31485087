"""The one door to resources: decide, find or write, audit, for one actor and one request.

Read, search, history, `$everything`, batch entries, conditional matches: each goes through here, so that none of them
can forget a step.  What may not be seen and what is not there are the same answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, tzinfo
from functools import cached_property
from typing import Any, Literal, Protocol, TypeVar
from urllib.parse import urlencode

from fhir_server import audit
from fhir_server.access import Actor, Choices, Decision, Known, changes, consents, decide, displays, visibility
from fhir_server.access.choices import read as read_choices
from fhir_server.access.decision import DOCUMENTS, rests_on_choices
from fhir_server.access.matrix import Matrix, carried_matrix
from fhir_server.access.rules import Case
from fhir_server.access.rules import references as standing_for
from fhir_server.access.scopes import Scope
from fhir_server.access.sections import CONSTRAINTS, Pairs
from fhir_server.access.visibility import Before
from fhir_server.audit import Record, Recorder, Trail
from fhir_server.fhir import json, references
from fhir_server.fhir.dates import MILLISECOND, PARIS, Interval, instant
from fhir_server.fhir.labels import MASKED
from fhir_server.fhir.outcome import (
    BadRequest,
    Conflict,
    FhirError,
    Forbidden,
    Gone,
    Issue,
    MethodNotAllowed,
    MultipleMatches,
    NotFound,
    PreconditionFailed,
    Unprocessable,
)
from fhir_server.fhir.terminology.systems import Source
from fhir_server.fhir.types import TYPES
from fhir_server.search import index
from fhir_server.search.cursor import Cursors
from fhir_server.search.expression import (
    EVERYTHING,
    NOTHING,
    And,
    Entry,
    Expression,
    InRecord,
    InRecords,
    Match,
    OfTypes,
    Or,
    all_of,
    any_of,
    has_joins,
)
from fhir_server.search.index import entry
from fhir_server.search.parameters import is_deceased, several_records
from fhir_server.search.parser import Reader
from fhir_server.search.query import Order
from fhir_server.search.recent import Last
from fhir_server.search.types.id import IdTest
from fhir_server.storage import announcements, contents, labelling
from fhir_server.storage import choices as stored_choices
from fhir_server.storage.choices import patients_of
from fhir_server.storage.documents import CARRIED, CHOICES, Stored
from fhir_server.storage.joins import Joins
from fhir_server.storage.ledger import LEAVES
from fhir_server.storage.store import Ahead, Brought, Place, Store, Unit, ahead_of_read, allowed_by
from fhir_server.storage.terminology import StoredTerminology
from fhir_server.validation import structure
from fhir_server.validation.demands import Table, demanded

T = TypeVar("T")
Resource = dict[str, Any]

#: So many records a professional is told of at once; beyond, the query has to name the patient.
MOST_RECORDS = 1_000
#: Nobody in particular: what is asked of no patient's record.
NOBODY: frozenset[str] = frozenset()
#: The id of no patient: asked about where there is nobody, so that it takes what it would take if there were.
_NO_PATIENT = ""
#: What changes a resource that is there: whoever sees it is told that it is not theirs to change.
_CHANGES = frozenset({"update", "patch", "delete"})


class Lookups(Protocol):
    """Counts how often each professional looks for a patient by identity."""

    def begin(self, who: str) -> timedelta | None:
        """Count one; how long to wait instead, where there were too many."""

    def found(self, who: str) -> None:
        """It found somebody."""


#: Told, within the transaction, of what an actor writes in it: the notice is durable with the write, or not at all.
Notify = Callable[[Unit, Sequence[Stored], Actor], None]
#: Told of the patients who have died: within the transaction that says so, and, without its session, once it is over.
Died = Callable[[frozenset[str], Any], None]


@dataclass(frozen=True)
class Surroundings:
    """
    What every repository of one process shares.

    lookups: None where patients are not looked for.  test_identities: whether people who do not exist are found, too.
    died: ends what the dead had allowed.
    """

    store: Store
    recorder: Recorder
    clock: Callable[[], datetime]
    new_id: Callable[[], str]
    base: str
    cursors: Cursors
    terminology: StoredTerminology
    zone: tzinfo = PARIS
    page_sizes: tuple[int, int] = (20, 1000)
    update_as_create: bool = True
    check_references: bool = False
    demands: Table = field(default_factory=dict)
    matrix: Matrix = field(default_factory=carried_matrix)
    labels_together: bool = False
    lookups: Lookups | None = None
    test_identities: bool = False
    notify: Notify | None = None
    died: Died | None = None
    _read: dict[tuple[str, Pairs], Expression] = field(default_factory=dict, repr=False)

    @cached_property
    def _fixed(self) -> frozenset[Pairs]:
        """The constraints that the rules ask again and again, and that mean the same at any time: read once."""
        return CONSTRAINTS | self.matrix.constraints

    def reader(self) -> Reader:
        """The reader of the server's own queries, now, and of what scopes are cut to: it knows every terminology."""
        return Reader(self.base, self.zone, self.clock(), self.terminology)

    def constraint(self, type: str, pairs: tuple[tuple[str, str], ...]) -> Expression:
        """What the constraint of a granular scope, or of a section, asks.  Raises BadRequest, Unavailable."""
        if not pairs:
            return EVERYTHING
        if pairs in self._fixed:
            found = self._read.get((type, pairs)) or self.reader().expression(type, pairs)
            self._read[type, pairs] = found
        else:
            found = self.reader().expression(type, pairs)
        if has_joins(found):
            raise BadRequest("A scope is constrained by what stands in the resource itself.")
        self.store.refuse(type, found)  # what is held against it in memory has to be indexed, too
        return found


@dataclass(frozen=True)
class Criteria:
    """The search of a conditional interaction: its text, to meet others at, and what it asks."""

    text: str
    where: Expression


class Repository:
    """
    The resources, as one actor may see and change them during one request.

    What it foresees to be asked for may be brought to it, looked up in the same round trip as the access token.
    """

    def __init__(
        self,
        surroundings: Surroundings,
        actor: Actor,
        trail: Trail,
        *,
        unit: Unit | None = None,
    ):
        self._around = surroundings
        self._store = surroundings.store
        self.actor = actor
        self._trail = trail
        self._unit = unit
        self._brought: Brought | None = None
        self._written: dict[str, Stored] = {}
        self._replaced: list[Stored] = []
        self._decisions: dict[tuple[str, str, frozenset[str] | None], Decision] = {}
        self._choices: dict[str, Choices] = {}
        self._concerning: tuple[Choices, ...] | None = None

    # --- is it good

    def faults(self, resource: Resource) -> list[Issue]:
        """Every fault of a resource that the actor would write; the profiles demanded of the actor are asked, too."""
        return structure.faults(resource, self._demanded)

    def check(self, resource: Resource) -> None:
        """Raises Unprocessable with the faults."""
        structure.check(resource, self._demanded)

    def _demanded(self, resource: Mapping[str, Any]) -> tuple[str, ...]:
        return demanded(resource, self.actor.kind, self._around.demands)

    # --- ahead of the access token

    def ahead(self, type: str, where: Expression, limit: int) -> Ahead | None:
        """
        The first page of this search, by id, one more included, or the choices of those whom it is about.

        None for what is not looked up ahead.
        """
        if rests_on_choices(self.actor, "search-type"):
            self.decide("search-type", type)
            about = self._asked_about(type, where)
            return stored_choices.ahead(about, standing_for(self.actor), limit=MOST_RECORDS)
        if has_joins(where) or self._store.follows(type):
            return None
        return self._store.ahead(type, where, allowed=self.decide("search-type", type).where, limit=limit + 1)

    def ahead_of_read(self, type: str, id: str) -> Ahead | None:
        """This resource; None for what is not looked up ahead."""
        if self._store.follows(type):
            return None
        if rests_on_choices(self.actor, "read"):
            return ahead_of_read(type, id)
        return self._store.ahead_of_read(type, id, allowed=self.decide("read", type).where)

    def bring(self, brought: Brought) -> None:
        """What was looked up ahead, for the very actor of this repository."""
        self._brought = brought
        if brought.asked[0] != CHOICES:
            return
        about = brought.asked[1]
        if about is not None:
            self._choices |= {one.patient: one for one in stored_choices.said(about, brought.plain)}
        else:
            self._concerning = tuple(read_choices(document) for document in brought.plain)

    # --- reading

    def read(self, type: str, id: str, interaction: str = "read", *, served: bool = True) -> Stored:
        """
        The current version of `type/id`.

        served: False for whoever serves nothing of it, and asks only whether it may be seen.
        Raises NotFound both when there is none and when the actor may not see it, Gone when it was deleted and the
        actor might have seen it.  R4: http.html#read
        """
        decision = self.decide(interaction, type)
        if self._brought and self._brought.found and self._brought.asked == (type, id, decision.where):
            self.disclose(self._brought.found if served else ())
            return self._shown(self._brought.found)[0]
        stored, may = self._reach(interaction, type, id)
        if stored is None or not may:
            raise NotFound(f"{type}/{id} is not known.")
        if stored.body is None:
            raise Gone(f"{type}/{id} was deleted.", headers={"ETag": stored.etag})
        self.disclose([stored] if served else ())
        return self._shown([stored])[0]

    def vread(self, type: str, id: str, version_id: str) -> Stored:
        """That version.  Raises NotFound, or Gone for the version that a delete made.  R4: http.html#vread"""
        self.decide("vread", type)
        unknown = NotFound(f"{type}/{id} has no version `{version_id}`.")
        if not version_id.isascii() or not version_id.isdigit() or len(version_id) > 9 or version_id[0] == "0":
            raise unknown
        source = self._unit or self._store
        stored = source.version(type, id, int(version_id))
        if stored is None and self._store.follows(type):
            stored = self._current(type, id) if version_id == "1" else None
        if not self._judged("vread", [stored] if stored else [], wanted=1) or stored is None:
            raise unknown
        if stored.body is None:
            raise Gone(f"Version {version_id} of {type}/{id} is its deletion.")
        self._trail.disclose([stored])
        return self._shown([stored])[0]

    def search(
        self,
        type: str,
        where: Expression,
        *,
        limit: int,
        order: tuple[Order, ...] = (),
        after: Place | None = None,
        back: bool = False,
        beyond: bool = False,
        served: bool = True,
        interaction: str = "search-type",
    ) -> list[Stored]:
        """
        Up to `limit` resources that match and may be seen, in order, from behind the place `after` on.

        back: from there towards the beginning, still in order.  beyond: one more at the far end, if there is one, to
        tell that there are further pages; it is not to be served.  served: False for whoever serves a part of what is
        found, and says which part with `disclose`.
        """
        decision = self.decide(interaction, type, self._asked_about(type, where))
        most = limit + 1 if beyond else limit
        where = self._blind(type, where)
        if self._brought and not order and after is None and self._brought.asked == (type, where, most):
            found = self._brought.found
            self.disclose(found[:limit] if served else ())
            return self._shown(found)
        found = self._finder(where).find(
            type, where, allowed=decision.where, limit=most, order=order, after=after, back=back
        )
        self.disclose(() if not served else found[-limit:] if back and limit else found[:limit])
        return self._shown(found)

    def open(self, patient: str) -> None:
        """
        Note that the request is about the record of Patient/`patient`, whatever of it is served.

        Raises NotFound where the actor may not see that there is one, Gone.
        """
        self.read("Patient", patient, served=False)
        self._trail.about = patient

    def disclose(self, found: Iterable[Stored]) -> None:
        """Note that these versions leave the server."""
        self._trail.disclose(found)

    def count(self, type: str, where: Expression, *, exactly: bool = False) -> int | None:
        """How many match and may be seen; None when that is more than are counted unless it is asked for exactly."""
        decision = self.decide("search-type", type, self._asked_about(type, where))
        where = self._blind(type, where)
        return self._finder(where).count(type, where, allowed=decision.where, exactly=exactly)

    def last_of_each(self, type: str, where: Expression, *, most: int) -> Last:
        """
        The last `most` of each code, of those that match and may be seen; R4: observation-operation-lastn.html

        To be searched for, along with `where`: nothing is disclosed by it.
        """
        decision = self.decide("search-type", type, self._asked_about(type, where))
        where = self._blind(type, where)
        return self._joins().last_of_each(type, where, allowed=decision.where, most=most)

    def _finder(self, where: Expression) -> Store | Unit | Joins:
        """What finds: the store, or a search across resources on it."""
        return self._joins() if has_joins(where) else self._unit or self._store

    def _joins(self) -> Joins:
        """Searches across resources, each type of them within its own decision."""
        return Joins(
            self._unit or self._store,
            lambda type: self.decide("search-type", type, self._all_asked(type)).where,
            self._store.timeout_ms,
        )

    def fetch(self, type: str, ids: Iterable[str]) -> list[Stored]:
        """Those of these resources that may be seen, by the actor's rules for the type; none without a scope for it."""
        wanted = frozenset(ids)
        if not wanted:
            return []
        asked = Match("_id", IdTest(wanted))
        try:
            if not rests_on_choices(self.actor, "read"):
                return self.search(type, asked, limit=len(wanted), interaction="read")
            self.decide("read", type)
        except Forbidden:
            return []
        # By whose they are: the choices of these patients, and not of all who permitted something.
        source = self._unit or self._store
        there = source.find(type, asked, allowed=EVERYTHING, limit=len(wanted), entries=True)
        found = self._judged("read", there, wanted=len(wanted))
        self.disclose(found)
        return self._shown(found)

    def history(
        self,
        type: str | None,
        id: str | None,
        *,
        limit: int,
        since: datetime | None = None,
        at: Interval | None = None,
        after: tuple[datetime, str] | None = None,
    ) -> tuple[list[Stored], int | None]:
        """
        The versions of an instance, a type or the system that may be seen, newest first, and how many in all.

        Behind the `limit` there is one more, if there is one, to tell that there are further pages; it is not to be
        served.  Raises NotFound for an instance that never was, or may not be seen.  R4: http.html#history
        """
        interaction = "history-instance" if id else "history-type" if type else "history-system"
        last = None
        if type and id:
            last = self._current(type, id) if self._store.follows(type) else self._last_version(type, id)
            about = self._ever_about(type, id, last) if rests_on_choices(self.actor, interaction) else NOBODY
            allowed = self.decide(interaction, type, about).where
        elif type:
            allowed = self.decide(interaction, type, self._all_asked(type)).where
        else:
            allowed = self._in_all_types(interaction)
        bounds = (at.low, at.high) if at else None
        found, total = self._store.history(
            type, id, allowed=allowed, limit=limit + 1, since=since, at=bounds, after=after
        )
        if id and not found and (last is None or not allowed_by(allowed, last)):
            raise NotFound(f"{type}/{id} is not known.")
        # What the server writes of itself has one version and no history: it is its own.
        if last and last.origin == "server" and not found and not after and last.updated >= (since or last.updated):
            found = [last] if at is None or last.updated < at.high else []
            total = len(found)
        self._trail.disclose(found[:limit])
        return self._shown(found), total

    def _ever_about(self, type: str, id: str, last: Stored | None) -> frozenset[str]:
        """Whose record any version belongs to: what has moved is judged by all of these, each version by its own."""
        known = (_about(last) if last else NOBODY) | self._store.records_of(type, id)
        return known or frozenset({_NO_PATIENT})

    @property
    def base(self) -> str:
        """The server's base url."""
        return self._around.base

    @property
    def page_sizes(self) -> tuple[int, int]:
        """The page size where none is asked for, and the largest."""
        return self._around.page_sizes

    def reader(self) -> Reader:
        """The reader of the actor's queries, now: it knows the terminologies that the actor may read."""
        return replace(self._around.reader(), terminology=self.terminology)

    def cursor(self, position: Any, query: str) -> str:
        """An opaque text for `position` in the answer to `query`, of use to this actor alone."""
        return self._around.cursors.write(position, self.actor.caller, query)

    def position(self, cursor: str, query: str) -> Any:
        """The position of a cursor.  Raises BadRequest for one that is not this actor's and this query's."""
        return self._around.cursors.read(cursor, self.actor.caller, query)

    # --- writing

    def create(self, type: str, resource: Resource, *, if_none_exist: Criteria | None = None, id: str | None = None):
        """
        (the resource, whether it was created): a new one, or the one that `if_none_exist` finds.

        id: a new id that a transaction has already given out.  Raises MultipleMatches.  R4: http.html#create
        """
        self.decide("create", type)

        def work(inside: Repository, unit: Unit) -> tuple[Stored, bool]:
            if if_none_exist:
                unit.meet(f"{type}?{if_none_exist.text}")
                found = inside.match(type, if_none_exist)
                existing = unit.read(type, found.id) if found else None
                if existing:
                    if inside._trail.interaction == "create":
                        inside._trail.interaction = "search-type"  # nothing is created: the record says what was done
                    inside._trail.disclose([existing])
                    return inside._shown([existing])[0], False
            return inside._put(type, id or self._around.new_id(), resource, "POST", None, 0, "create"), True

        return self._write("create", work)

    def update(
        self, type: str, id: str, resource: Resource, *, if_match: str | None = None, unless_there: bool = False
    ) -> tuple[Stored, bool]:
        """
        (the new version, whether the resource was created by it).

        unless_there: raises PreconditionFailed if there is one.  R4: http.html#update, http.html#upsert
        """

        def work(inside: Repository, unit: Unit) -> tuple[Stored, bool]:
            if unless_there and inside._is_to_be_changed(type, id):
                raise PreconditionFailed(f"{type}/{id} is there already, and `If-None-Match: *` asks that it is not.")
            return inside._update(type, id, resource, if_match)

        return self._write("update", work)

    def update_matching(
        self,
        type: str,
        criteria: Criteria,
        resource: Resource,
        *,
        if_match: str | None = None,
        new_id: str | None = None,
    ) -> tuple[Stored, bool]:
        """As update, of the one resource that matches; created when none does.  R4: http.html#cond-update"""
        self.decide("update", type)

        def work(inside: Repository, unit: Unit) -> tuple[Stored, bool]:
            unit.meet(f"{type}?{criteria.text}")
            existing = inside.match(type, criteria)
            given = resource.get("id")
            if existing is None:
                if given is not None:
                    if inside._is_to_be_changed(type, given):
                        raise Conflict(f"{type}/{given} is there, and does not match `{criteria.text}`.", f"{type}.id")
                    return inside._update(type, given, resource, if_match)
                if if_match:
                    raise PreconditionFailed("Nothing matches, so there is no version to match either.")
                inside.decide("create", type)
                return inside._put(type, new_id or self._around.new_id(), resource, "PUT", None, 0, "create"), True
            if given is not None and given != existing.id:
                raise BadRequest(f"The body is {type}/{given}, and what matches is {existing.reference}.", f"{type}.id")
            return inside._update(type, existing.id, {**resource, "id": existing.id}, if_match)

        return self._write("update", work)

    def patch(
        self, type: str, target: str | Criteria, change: Callable[[Resource], Resource], *, if_match: str | None = None
    ) -> Stored:
        """The new version, made by `change` from the current one.  R4: http.html#patch"""
        self.decide("patch", type)

        def work(inside: Repository, unit: Unit) -> Stored:
            existing = inside._target(type, target, "patch")
            _refuse_sealed(existing)
            inside._refuse_guessing(existing)
            _hold(if_match, existing)
            changed = change(json.parse(existing.body or b""))
            if changed.get("id") != existing.id or changed.get("resourceType") != type:
                raise Unprocessable("A patch cannot change `id` or `resourceType`.", f"{type}.id")
            return inside._put(type, existing.id, changed, "PATCH", existing, existing.version, "patch")

        return self._write("patch", work)

    def delete(self, type: str, id: str, *, if_match: str | None = None) -> Stored | None:
        """The version that says it is gone; None when there was nothing to delete.  R4: http.html#delete"""
        self.decide("delete", type)

        def work(inside: Repository, unit: Unit) -> Stored | None:
            existing, may = inside._reach("delete", type, id)
            if existing is not None and existing.body is not None and may:
                return inside._remove(existing, if_match)
            if if_match:
                raise PreconditionFailed(f"{type}/{id} is not there, so it has no version {if_match}.")
            return existing if may else None

        return self._write("delete", work)

    def delete_matching(self, type: str, criteria: Criteria, *, if_match: str | None = None) -> Stored | None:
        """As delete, of the one resource that matches.  Raises MultipleMatches.  R4: http.html#3.1.0.7.1"""
        self.decide("delete", type)

        def work(inside: Repository, unit: Unit) -> Stored | None:
            existing = inside.match(type, criteria)
            if existing is None:
                return None
            whole = unit.read(type, existing.id)
            if whole is None or not inside._may("delete", whole):
                inside._refuse_another(whole)
                raise NotFound(f"{type}/{existing.id} is not known.")
            return inside._remove(whole, if_match)

        return self._write("delete", work)

    def load(
        self, resources: Sequence[Resource], check: Callable[[Resource], None], *, origin: str | None = None
    ) -> list[Literal["created", "updated", "unchanged"] | FhirError]:
        """
        What came of each of `resources`, kept under their own ids in one transaction; a fault of one leaves the others.

        One that is there with the same content, whatever its version and time, stays as it is.  check: raises the
        fault of a resource that is not to be kept; it is asked of those that would be written.  origin: what they are
        kept as; then a resource that is there and is of another stays as it is, too.
        """

        def work(inside: Repository, unit: Unit) -> list[Literal["created", "updated", "unchanged"] | FhirError]:
            last = unit.newest((resource["resourceType"], resource["id"]) for resource in resources)
            return [inside._load(resource, last, check, origin) for resource in resources]

        return self._write("batch", work)

    def match(self, type: str, criteria: Criteria) -> Stored | None:
        """The one resource that matches and may be seen, None if there is none.  Raises MultipleMatches."""
        decision = self.decide("search-type", type, self._asked_about(type, criteria.where))
        where = self._blind(type, criteria.where)
        found = self._finder(where).find(type, where, allowed=decision.where, limit=2)
        if len(found) > 1:
            raise MultipleMatches(f"`{type}?{criteria.text}` matches more than one resource.")
        return found[0] if found else None

    def transaction(self, work: Callable[[Repository], T]) -> T:
        """Run `work` with a repository whose writes all happen, or none.  It may be run more than once."""
        self._trail.interaction = "transaction"
        return self._write("transaction", lambda inside, unit: work(inside))

    def alongside(self, work: Callable[[Any], T]) -> T:
        """Run `work` as a part of the transaction under way: it is given what MongoDB calls the session."""
        return self._inside.alongside(work)

    def new_id(self) -> str:
        """An id that no resource has."""
        return self._around.new_id()

    def imagined(self, actor: Actor) -> Repository:
        """What another actor would be answered, to be told of and not to be served: nothing of it is recorded."""
        return Repository(self._around, actor, Trail("", "", ""), unit=self._unit)

    def case(self, type: str, patient: str) -> Case:
        """What the rules are asked of the actor and the type, in the record of the Patient with this id."""
        self._learn(frozenset({patient}))
        around, now = self._around, self._around.clock()
        choices = self._choices[patient].in_force(now)
        return Case(self.actor, choices, type, now, around.constraint, around.matrix)

    def asked_for(self, parameters: Mapping[str, str] | Sequence[tuple[str, str]]) -> None:
        """Note in the record of the request what was asked for in its body; of a batch that is no entry's alone."""
        if self._trail.interaction not in ("batch", "transaction"):
            self._trail.query = urlencode(parameters)

    @property
    def lookups(self) -> Lookups | None:
        """What counts how often patients are looked for."""
        return self._around.lookups

    @property
    def test_identities(self) -> bool:
        """Whether people who do not exist are found, too, as in the demonstration."""
        return self._around.test_identities

    @property
    def zone(self) -> tzinfo:
        """Where the server is."""
        return self._around.zone

    def now(self) -> datetime:
        """The time."""
        return self._around.clock()

    @property
    def terminology(self) -> Source:
        """
        Where code systems and value sets are found: those that come along, and of the store those the actor may read.

        What an answer goes by of the store is recorded as disclosed.
        """
        return self._around.terminology.read_by(self._readable, self._trail.disclose)

    def _readable(self, type: str) -> Expression:
        """Which resources of a directory type the actor may read; none without a scope for it."""
        try:
            return self.decide("read", type).where
        except Forbidden:
            return NOTHING

    def may_read(self, stored: Stored) -> bool:
        """Whether the actor, who may have written this version, may read it too."""
        try:
            return self._may("read", stored)
        except Forbidden:
            return False

    def _shown(self, found: list[Stored]) -> list[Stored]:
        """The versions as the actor sees them: a reference says nothing of what is hidden from who did not write it."""
        if self.actor.kind == "operator":
            return found
        if self.actor.kind == "patient":
            found = self._accesses_shown(found)
        own = set(standing_for(self.actor))
        telling = [
            n for n, one in enumerate(found) if displays.may_tell(one.body or b"") and not own & {*one.depositor}
        ]
        if not telling:
            return found
        parsed = {n: json.parse(found[n].body or b"") for n in telling}
        told = {n: displays.told(resource, self.base) for n, resource in parsed.items()}
        for n, targets in told.items():
            targets -= {("Patient", patient) for patient in patients_of(found[n])}
        hidden = self._hidden(frozenset().union(*told.values()))
        return [
            one._replace(body=json.dumps(displays.without(parsed[n], hidden, self.base)))
            if n in told and told[n] & hidden
            else one
            for n, one in enumerate(found)
        ]

    def _accesses_shown(self, found: list[Stored]) -> list[Stored]:
        """The AuditEvents among these as who reads their own record sees them: what is hidden by now is left out."""
        told = {n: json.parse(one.body or b"") for n, one in enumerate(found) if one.type == audit.TYPE}
        named = {n: audit.labels.named(event) for n, event in told.items()}
        hidden = self._hidden_since(set().union(*named.values()))
        return [
            one._replace(body=json.dumps(audit.labels.without(told[n], hidden)))
            if n in told and named[n] & hidden
            else one
            for n, one in enumerate(found)
        ]

    def _blind(self, type: str, where: Expression) -> Expression:
        """A search among AuditEvents by what they name, which finds nothing by what is hidden by now."""
        if self.actor.kind != "patient":
            return where
        hidden = self._hidden_since(set(audit.labels.asked(type, where)))
        return audit.labels.blind(type, where, hidden) if hidden else where

    def _hidden_since(self, named: set[str]) -> frozenset[str]:
        """Those of these resources, `Type/id`, deleted ones too, that their labels hide, whatever the scopes."""
        known = {one for one in named if one.partition("/")[0] in TYPES}
        if not known:
            return frozenset()
        there = (self._unit or self._store).first_versions(known)
        held = [one for one in there if "labels" in one.entry or DOCUMENTS in one.entry]
        seen = {one.reference for one in self._unscoped()._judged("read", held, wanted=len(held))}
        return frozenset(one.reference for one in held if one.reference not in seen)

    def _hidden(self, named: frozenset[tuple[str, str]]) -> frozenset[tuple[str, str]]:
        """
        Those of these resources, (type, id), that the rules hide, whatever the scopes of the token.

        What is not there is hidden, too: its coming would show.
        """
        unscoped = self._unscoped()
        source = self._unit or self._store
        hidden = set(named)
        for type in sorted({type for type, _ in named}):
            ids = frozenset(id for one, id in named if one == type)
            there = source.find(type, Match("_id", IdTest(ids)), allowed=EVERYTHING, limit=len(ids), entries=True)
            hidden -= {(type, one.id) for one in unscoped._judged("read", there, wanted=len(ids))}
        self._choices = unscoped._choices
        return frozenset(hidden)

    def _unscoped(self) -> Repository:
        """The same for who acts, with a scope to read everything: what the rules alone let them see."""
        context = {"patient": "patient", "backend": "system"}.get(self.actor.kind, "user")
        actor = replace(self.actor, scopes=(Scope(context, "*", "r"),))
        found = Repository(self._around, actor, self._trail, unit=self._unit)
        found._choices = dict(self._choices)  # what it comes to know of who is hidden is not known from here on
        return found

    # --- the record of the request

    def record(self, error: FhirError | None = None) -> None:
        """
        Make the record of what was disclosed or refused durable; to be called before the answer leaves.

        error: what the request, or one entry of a batch, was refused for; it discloses nothing.
        """
        trail = self._trail
        if error is None:
            if trail.disclosed or not trail.recorded:
                self._around.recorder.record(self._event(trail.interaction, trail.disclosed, patient=trail.about))
        else:
            outcome = audit.FAILED if error.status >= 500 else audit.REFUSED
            description = "; ".join(issue.diagnostics for issue in error.issues)[:500]
            # Whose record a professional meant is known of a token that is for one: nothing else of a refusal may be
            # told, since who was refused reads this record, too.
            meant = self.actor.patient if self.actor.kind == "professional" else None
            self._around.recorder.record(self._event(trail.interaction, {}, outcome, description, patient=meant))
        trail.recorded = True

    def _event(
        self,
        interaction: str,
        versions: dict[str, Stored],
        outcome: str = audit.SUCCESS,
        description: str | None = None,
        patient: str | None = None,
    ) -> Record:
        """The record of what was done."""
        return audit.event(
            self._trail,
            self.actor,
            id=self._around.new_id(),
            now=self._around.clock(),
            interaction=interaction,
            versions=versions,
            outcome=outcome,
            description=description,
            patient=patient,
        )

    # --- the steps

    def decide(self, interaction: str, type: str, about: frozenset[str] | None = NOBODY) -> Decision:
        """
        What the actor may do; asked once a request.  Raises Forbidden.

        about: the ids of the patients whose records are asked about; None for every record that the actor is told of.
        """
        resting = rests_on_choices(self.actor, interaction)
        asked = (interaction, type, about if resting else NOBODY)
        if asked not in self._decisions:
            known = self._known(about) if resting else Known()
            around = self._around
            self._decisions[asked] = decide(
                self.actor, known, interaction, type, around.constraint, around.clock(), around.matrix
            )
        return self._decisions[asked]

    def _may(self, interaction: str, stored: Stored) -> bool:
        """Whether the actor may do this with a version, by the choices of whose record it belongs to."""
        return allowed_by(self.decide(interaction, stored.type, _about(stored)).where, stored)

    def _reach(self, interaction: str, type: str, id: str) -> tuple[Stored | None, bool]:
        """
        The current version of `type/id`, or else the one that says that it is gone; and whether the actor may do this.

        What is hidden takes the look-ups that it takes to find out that there never was such a resource: how long it
        takes tells neither.  Raises Forbidden for what the actor sees, and may not change so.
        """
        stored = self._current(type, id)
        if stored is not None and self._judged(interaction, [stored], wanted=1):
            return stored, True
        last = self._last_version(type, id)
        if stored is not None:
            return stored, False
        gone = last if last is not None and last.body is None else None
        return gone, bool(self._judged(interaction, [gone] if gone else [], wanted=1))

    def _judged(self, interaction: str, there: Sequence[Stored], *, wanted: int) -> list[Stored]:
        """
        Those of these versions with which the actor may do this; `wanted` were looked for.

        Where it is not all of them, choices are asked for just once, whether or not there is anybody whose they are;
        and what they say of who is hidden is not remembered, so that what comes next takes no less for it.
        Raises Forbidden for what the actor sees, and may not change so.
        """
        choices, decisions = dict(self._choices), dict(self._decisions)
        rests = rests_on_choices(self.actor, interaction)
        asked = rests and self._learn(frozenset().union(*map(patients_of, there)))
        found = [one for one in there if self._may(interaction, one)]
        if len(found) == wanted:
            return found
        for one in there if interaction in _CHANGES and not found else ():
            self._refuse_another(one if one.body is not None else None)
        if rests and not asked:
            self._ask([_NO_PATIENT])
        visible = frozenset().union(*map(patients_of, found))
        self._choices = choices | {one: self._choices[one] for one in visible & self._choices.keys()}
        self._decisions = decisions
        return found

    def _known(self, about: frozenset[str] | None) -> Known:
        """The choices that a decision rests on."""
        if about is None:
            return Known(self._all_that_concern(), named=False)
        self._learn(about)
        return Known(tuple(self._choices[patient] for patient in sorted(about)))

    def _learn(self, patients: frozenset[str]) -> bool:
        """Read the choices of these patients, where they are not known yet; whether there was anything to read."""
        wanted = patients - self._choices.keys()
        if wanted:
            self._choices |= {one.patient: one for one in self._ask(wanted)}
        return bool(wanted)

    def _ask(self, patients: Iterable[str]) -> tuple[Choices, ...]:
        session = self._unit.session if self._unit else None
        return stored_choices.of_patients(self._store, patients, session=session)

    def _all_that_concern(self) -> tuple[Choices, ...]:
        """The choices that concern the actor.  Raises BadRequest where there are too many to be asked all at once."""
        if self._concerning is None:
            session = self._unit.session if self._unit else None
            found = stored_choices.concerning(
                self._store, standing_for(self.actor), limit=MOST_RECORDS, session=session
            )
            self._concerning = found
        if len(self._concerning) > MOST_RECORDS:
            raise BadRequest(
                f"More than {MOST_RECORDS} patients' choices concern you: name whose record you ask about (`patient=`)."
            )
        return self._concerning

    def _all_asked(self, type: str) -> frozenset[str] | None:
        """The patients whose records this token is for, and who keep from the actor what they share; None if any."""
        in_context = self.actor.kind == "patient" or self.actor.mode != "normal"
        in_context = in_context or all(scope.context == "patient" for scope in self.actor.scopes)
        if not self.actor.patient or not in_context:
            return None
        asked = frozenset({self.actor.patient})
        return asked | self._blocking if several_records(type) else asked

    @cached_property
    def _blocking(self) -> frozenset[str]:
        """The patients who block a professional, or a backend: what they share with another is kept from those, too."""
        if self.actor.kind == "patient":
            return NOBODY
        session = self._unit.session if self._unit else None
        found = stored_choices.blocking(self._store, standing_for(self.actor), session=session)
        self._choices |= {one.patient: one for one in found}
        return frozenset(one.patient for one in found)

    def _asked_about(self, type: str, where: Expression) -> frozenset[str] | None:
        """The patients whose records a search is about; None if it does not say."""
        if not rests_on_choices(self.actor, "search-type"):
            return NOBODY
        asked = self._all_asked(type)
        return asked if asked is not None or several_records(type) else _named(type, where)

    def _in_all_types(self, interaction: str) -> Expression:
        """What the actor may see across types: for each rule, the types that it holds for."""
        rules: dict[Expression, list[str]] = {}
        for type in TYPES:
            try:
                rules.setdefault(self.decide(interaction, type, self._all_asked(type)).where, []).append(type)
            except Forbidden as error:
                refusal = error
        if not rules:
            raise refusal
        if len(rules.get(EVERYTHING, ())) == len(TYPES):
            return EVERYTHING
        return any_of(*(all_of(OfTypes(tuple(types)), where) for where, types in rules.items() if where != NOTHING))

    def _current(self, type: str, id: str) -> Stored | None:
        if self._unit:
            return self._unit.read(type, id)
        if self._brought and self._brought.asked == (type, id):
            return self._brought.found[0] if self._brought.found else None
        return self._store.read(type, id)

    def _last_version(self, type: str, id: str) -> Stored | None:
        return (self._unit or self._store).last_version(type, id)

    def _write(self, interaction: str, work: Callable[[Repository, Unit], T]) -> T:
        """Run `work` in a transaction, its audit record included, or as a part of the one that runs already."""
        if self._unit:
            return work(self, self._unit)
        disclosed = dict(self._trail.disclosed)

        def whole(unit: Unit) -> tuple[T, bool, frozenset[str]]:
            self._trail.disclosed = dict(disclosed)  # not what another run of the work has come upon
            inside = Repository(self._around, self.actor, self._trail, unit=unit)
            if self.actor.kind == "operator":
                inside._decisions = self._decisions
            result = work(inside, unit)
            if inside._written:
                inside._follow(unit)
                unit.insert(LEAVES, self._around.recorder.leaf(self._event(interaction, inside._written)))
            return result, bool(inside._written), inside._dead()

        result, wrote, dead = self._store.run(whole)
        if dead and self._around.died:
            self._around.died(dead, None)  # again, for what was allowed while the transaction was under way
        self._trail.recorded = self._trail.recorded or wrote
        return result

    def _dead(self) -> frozenset[str]:
        """The patients who are dead by what was written, and were not before."""
        before = {stored.id for stored in self._replaced if _says_dead(stored)}
        return frozenset(stored.id for stored in self._written.values() if _says_dead(stored)) - before

    def _is_to_be_changed(self, type: str, id: str) -> bool:
        """Whether it is there, for one who may change it: to anyone else it is as if it were not."""
        existing, may = self._reach("update", type, id)
        return existing is not None and existing.body is not None and may

    def _refuse_another(self, existing: Stored | None) -> None:
        """Raise Forbidden for what the actor sees, and may not change so."""
        if existing is not None and existing.origin is None and self.may_read(existing):
            raise Forbidden(f"{existing.reference} was entered by another, who alone changes it so.")

    def _refuse_guessing(self, existing: Stored) -> None:
        """
        Raise Forbidden for a patch of what another entered, by a token that does not read it.

        What a patch fails on tells what there is: a `test`, a path with a condition, an element that is to go.
        """
        entered = set(existing.depositor) & set(standing_for(self.actor))
        if self.actor.kind in ("patient", "professional") and not entered and not self.may_read(existing):
            raise Forbidden(f"To patch what another entered, the access token has to read it: `{existing.type}.r`.")

    def _follow(self, unit: Unit) -> None:
        """What a write brings about in the same transaction: contents are judged anew, and choices are in force."""
        around = self._around
        written = list(self._written.values())
        labelling.follow(unit, written, self._replaced)
        announcements.follow(unit, written, self._replaced)
        held = contents.follow(unit, written, self._replaced, base=around.base, attaches=self._attaches)
        audit.labels.follow(unit, written, self._replaced, held)
        stored_choices.follow(unit, written, self._replaced, base=around.base, zone=around.zone)
        if around.notify:
            around.notify(unit, written, self.actor)
        died, dead = around.died, self._dead()
        if died and dead:
            unit.alongside(lambda session: died(dead, session))

    def _attaches(self, document: Stored, content: Stored) -> bool:
        """Whether a document is one that its content is judged by: of the same record, and its writer's to see."""
        if patients_of(document) != patients_of(content):
            return False
        if self.actor.kind == "operator" or set(document.depositor) & set(content.depositor):
            return True
        return document.reference in self._references_written and self.may_read(content)

    @property
    def _references_written(self) -> frozenset[str]:
        return frozenset(stored.reference for stored in self._written.values())

    def _update(self, type: str, id: str, resource: Resource, if_match: str | None) -> tuple[Stored, bool]:
        self.decide("update", type)
        existing, may = self._reach("update", type, id)
        if existing is not None and existing.body is not None and may:
            _refuse_sealed(existing, resource)
            _hold(if_match, existing)
            return self._put(type, id, resource, "PUT", existing, existing.version, "update"), False
        # From here on what is hidden and what is not there are the same, as long as they can be.
        if if_match:
            raise PreconditionFailed(f"{type}/{id} is not there, so it has no version {if_match}.")
        if not self._around.update_as_create:
            raise MethodNotAllowed(f"{type}/{id} is not known, and this server gives out ids itself: POST to {type}.")
        stored = self._made(type, id, resource, "PUT", existing.version if existing else 0, "create", existing)
        if existing is not None and not may:
            raise NotFound(f"{type}/{id} is not known.")
        return self._keep(stored, None), True

    def _load(
        self,
        resource: Resource,
        newest: dict[tuple[str, str], Stored],
        check: Callable[[Resource], None],
        origin: str | None,
    ) -> Literal["created", "updated", "unchanged"] | FhirError:
        """One of the resources of a load.  newest: the last version of each, a deletion's too; kept up to date."""
        key = type, id = resource["resourceType"], resource["id"]
        last = newest.get(key)
        current = last if last and last.body is not None else None
        try:
            if current and not self._may("update", current):
                raise NotFound(f"{type}/{id} is not known.")
            if current and (_is_same(resource, current) or (origin and current.origin != origin)):
                return "unchanged"
            check(resource)
            if current and not origin:
                _refuse_sealed(current, resource)
            interaction = "update" if current else "create"
            made = self._made(type, id, resource, "PUT", last.version if last else 0, interaction, last, loaded=True)
            newest[key] = self._keep(made._replace(origin=origin), current)
        except FhirError as error:
            return error
        return "updated" if current else "created"

    def _target(self, type: str, target: str | Criteria, interaction: str) -> Stored:
        """The current version of what a patch is of."""
        id = target
        if isinstance(target, Criteria):
            found = self.match(type, target)
            if found is None:
                raise NotFound(f"Nothing matches `{type}?{target.text}`.")
            id = found.id
        existing, may = self._reach(interaction, type, str(id))
        if existing is None or not may:
            raise NotFound(f"{type}/{id} is not known.")
        if existing.body is None:
            raise Gone(f"{type}/{id} was deleted.")
        return existing

    def _put(
        self,
        type: str,
        id: str,
        resource: Resource,
        method: str,
        replaces: Stored | None,
        last: int,
        interaction: str,
    ) -> Stored:
        """Keep `resource` as the version behind `last`, if it may be."""
        return self._keep(self._made(type, id, resource, method, last, interaction, replaces), replaces)

    def _made(
        self,
        type: str,
        id: str,
        resource: Resource,
        method: str,
        last: int,
        interaction: str,
        before: Stored | None,
        *,
        loaded: bool = False,
    ) -> Stored:
        """
        `resource` as the version behind `last`; the server sets id, version and time, and who deposited it.

        loaded: by who holds what others made; then it says itself who deposited it.
        Raises Forbidden if the actor may not have it so.
        """
        updated = self._around.clock()
        if before and updated <= before.updated:
            updated = before.updated + MILLISECOND
        version = last + 1
        # What is hidden from one who creates is as if it were not there.
        replaced = before if before and before.body is not None and interaction != "create" else None
        resource = self._settled(interaction, {**resource, "resourceType": type, "id": id}, replaced)
        whole = _stamped(resource, type, id, version, updated)
        kept = {"_id": id, "updated": updated, **entry(type, whole, base=self._around.base, zone=self._around.zone)}
        kept |= self._deposit(whole, kept, replaced, loaded=loaded)
        stored = Stored(
            type, id, version, updated, json.dumps(whole), method, tuple(kept.get("depositor", ())), entry=kept
        )
        if replaced and self.actor.kind not in ("operator", "patient") and patients_of(stored) != patients_of(replaced):
            raise Forbidden(f"{replaced.reference} stays in the record that it was deposited in.")
        decision = self.decide(interaction, type, _about(stored))
        if not allowed_by(decision.where, stored):
            raise Forbidden(f"This {type} would be outside of what the access token reaches.")
        _refuse_in_other_records(decision, stored)
        if self._around.check_references:
            self._refuse_dangling(whole, replaced)
        return stored

    def _settled(self, interaction: str, resource: Resource, before: Stored | None) -> Resource:
        """The resource as the actor may have it kept.  Raises Forbidden, MethodNotAllowed, Unprocessable."""
        if self.actor.kind == "operator":
            return resource
        return changes.settled(
            self.actor,
            interaction,
            resource,
            _before(before),
            entered=before is None or bool(set(before.depositor) & set(standing_for(self.actor))),
            choices=self._chosen_for(resource),
            now=self._around.clock(),
            together=self._around.labels_together,
            base=self._around.base,
        )

    def _chosen_for(self, resource: Resource) -> Choices | None:
        """The choices in force of the patient whose record the resource belongs to; None if it belongs to none."""
        patients = index.patients_of(resource["resourceType"], resource, self._around.base)
        self._learn(frozenset(patients))
        return self._choices[patients[0]].in_force(self._around.clock()) if patients else None

    def _deposit(self, resource: Resource, kept: Entry, before: Stored | None, *, loaded: bool) -> Entry:
        """
        Who deposited it and when, and the documents whose content it is: as they are, once they are.

        And whether it is its holder who masked it.
        """
        masked = {"held": True} if self._is_held(resource, kept, before) else {}
        if before is None:
            by = standing_for(self.actor)
            if loaded and self.actor.kind == "operator":
                by = changes.said_depositor(resource, kept.get("owner"), self._around.base)
            if consents.is_app(resource):
                by = ()  # evidence is nobody's to change or delete
            return {"deposited": kept["updated"], **({"depositor": list(by)} if by else {}), **masked}
        return masked | {
            name: before.entry[name] for name in ("depositor", "deposited", DOCUMENTS) if name in before.entry
        }

    def _is_held(self, resource: Resource, kept: Entry, before: Stored | None) -> bool:
        if MASKED not in kept.get("labels", ()):
            return False
        if before and MASKED in before.entry.get("labels", ()):
            return bool(before.entry.get("held"))
        return visibility.is_held(self.actor, self._chosen_for(resource), is_new=before is None)

    def _keep(self, stored: Stored, replaces: Stored | None) -> Stored:
        if replaces:
            _refuse_in_other_records(self.decide("update", stored.type, _about(replaces)), replaces)
            self._replaced.append(replaces)
        self._inside.write(stored, replaces)
        self._written[f"{stored.reference}/_history/{stored.version}"] = stored
        return stored

    def _remove(self, existing: Stored, if_match: str | None) -> Stored:
        _refuse_sealed(existing)
        changes.refuse_removal(self.actor, existing.type)
        _refuse_in_other_records(self.decide("delete", existing.type, _about(existing)), existing)
        _hold(if_match, existing)
        updated = max(self._around.clock(), existing.updated + MILLISECOND)
        gone = existing._replace(
            version=existing.version + 1,
            updated=updated,
            body=None,
            method="DELETE",
            entry={**existing.entry, "updated": updated},
        )
        self._inside.write(gone, existing)
        self._replaced.append(existing)
        self._written[f"{gone.reference}/_history/{gone.version}"] = gone
        return gone

    def _refuse_dangling(self, resource: Resource, before: Stored | None) -> None:
        """Raise Unprocessable for new references to resources of this server that are not here."""
        had = {one.value for one in references.walk_references(json.parse(before.body or b""))} if before else set()
        lacking = [
            Issue("not-found", f"`{found.value}` is not here.", (found.expression,))
            for found in references.walk_references(resource)
            if found.value not in had and not self._is_there(references.parse(found.value, self._around.base))
        ]
        if lacking:
            raise Unprocessable.of(lacking)

    def _is_there(self, reference: references.Reference) -> bool:
        """
        Whether a reference leads somewhere: elsewhere always, here only to what is here.

        What the rules hide from who writes is not here, or whoever refers to it would be told that it is.  A Patient
        is, since everybody may deposit in a record.
        """
        if not reference.local or reference.type not in TYPES:
            return True
        if self.actor.kind == "operator" or reference.type == "Patient":
            return self._inside.read(reference.type, str(reference.id)) is not None
        stored, may = self._unscoped()._reach("read", reference.type, str(reference.id))
        return stored is not None and stored.body is not None and may

    @property
    def _inside(self) -> Unit:
        """The transaction that a write is part of."""
        if self._unit is None:
            raise RuntimeError("a write outside of a transaction")
        return self._unit


def _before(stored: Stored | None) -> Before | None:
    """What is replaced, as the rules on what is written take it."""
    if stored is None:
        return None
    return Before(json.parse(stored.body or b""), stored.entry.get("deposited"), stored.entry.get("held", False))


def _says_dead(stored: Stored) -> bool:
    """R4: patient.html#death"""
    if stored.type != "Patient" or stored.body is None or b"deceased" not in stored.body:  # as most are
        return False
    return is_deceased(json.parse(stored.body))


def _about(stored: Stored) -> frozenset[str]:
    """The patients whose record a version belongs to."""
    return frozenset(patients_of(stored))


def _named(type: str, where: Expression) -> frozenset[str] | None:
    """The patients, ids, whose records alone a search can find something in; None if it does not say."""
    match where:
        case InRecord(patient):
            return frozenset({patient})
        case InRecords(patients):
            return patients
        case Match("_id", IdTest(ids)) if TYPES[type].patient == ("id",):
            return ids
        case And(terms):
            return next((found for term in terms if (found := _named(type, term)) is not None), None)
        case Or(terms) if terms:
            each = [_named(type, term) for term in terms]
            return frozenset().union(*(one for one in each if one)) if None not in each else None
    return None


def _stamped(resource: Resource, type: str, id: str, version: int, updated: datetime) -> Resource:
    """The resource under its id, its version and time set by the server; the rest of `meta` is the client's."""
    meta = {"versionId": str(version), "lastUpdated": instant(updated)}
    given = resource.get("meta") or {}
    meta |= {name: value for name, value in given.items() if name.lstrip("_") not in meta}
    rest = {name: value for name, value in resource.items() if name not in ("resourceType", "id", "meta", "_id")}
    return {"resourceType": type, "id": id, "meta": meta, **rest}


def _is_same(resource: Resource, stored: Stored) -> bool:
    """Whether `resource` says what is stored, version and time aside; the order of its elements says nothing."""
    if not isinstance(resource.get("meta", {}), dict):
        return False
    body = json.dumps(_stamped(resource, stored.type, stored.id, stored.version, stored.updated))
    return body == stored.body or _equal(json.loads(body), json.loads(stored.body or b"{}"))


def _equal(one: Any, other: Any) -> bool:
    """Whether two JSON values are the same, decimals digit for digit."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_equal(value, other[name]) for name, value in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    return bool(one == other) and getattr(one, "text", None) == getattr(other, "text", None)


def _hold(if_match: str | None, existing: Stored) -> None:
    """Raise PreconditionFailed if the client did not mean this version.  R4: http.html#concurrency"""
    if if_match is None or if_match == "*":
        return
    wanted = [tag.strip().removeprefix("W/").strip('"') for tag in if_match.split(",")]
    if str(existing.version) not in wanted:
        raise PreconditionFailed(
            f"{existing.reference} is at version {existing.version}, not {', '.join(wanted)}: read it again first.",
            headers={"ETag": existing.etag},
        )


def _refuse_in_other_records(decision: Decision, stored: Stored) -> None:
    """Raise Forbidden if one who writes in one record would write in another, too."""
    if decision.record and {decision.record} != {stored.entry.get("owner"), *stored.entry.get("others", ())}:
        raise Forbidden(f"This {stored.type} belongs to another patient's record, too.")


#: What makes a definition of HL7's the one that it is, whoever writes down the rest of it.
_OF_THE_DEFINITION = {
    "CompartmentDefinition": ("url", "code"),
    "OperationDefinition": ("url", "code", "kind"),
    "SearchParameter": ("url", "code", "type"),
    "StructureDefinition": ("url", "kind", "type"),
}
_HL7 = "http://hl7.org/fhir/"


def _refuse_sealed(existing: Stored, instead: Resource | None = None) -> None:
    """
    Raise MethodNotAllowed for what the server wrote of itself, and for the conformance resources that say what it does.

    Terminologies that come along may give way: what is loaded goes before what is carried.  And so may our short form
    of a definition of HL7's, to HL7's own text of it.  instead: what is to take its place, if it is not a part of it.
    """
    if existing.origin == "server":
        raise MethodNotAllowed(f"{existing.reference} is the server's own record and cannot be changed.")
    if existing.origin != CARRIED or existing.type in ("CodeSystem", "ValueSet"):
        return
    if instead is None or not _is_of_hl7(instead, json.parse(existing.body or b"")):
        raise MethodNotAllowed(
            f"{existing.reference} comes with the server and says what it does: it cannot be changed; "
            f"a {existing.type} of yours needs another id."
        )


def _is_of_hl7(instead: Resource, carried: Resource) -> bool:
    """Whether both are one and the same definition of HL7's, in other words."""
    names = _OF_THE_DEFINITION.get(carried["resourceType"], ())
    if not names or not str(carried.get("url", "")).startswith(_HL7):
        return False
    return all(instead.get(name) == carried.get(name) for name in names)
