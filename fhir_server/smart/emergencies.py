"""Emergency access, from its beginning to its end: opened in one transaction, over in an hour, looked at afterwards.

`open` keeps, all of it or nothing: the access token, the AuditEvent of its start, the notices, the access itself, and
what makes it worth a second look.  There is no other way to a token of these modes (`Tokens.issue`).

_emergencies:
    _id             the first sixteen digits of the token's hash: AuditEvents name the session by it, `agent.altId`
    token           that hash
    actor           the fields of the Actor but its scopes
    code            of the reason; its words are the actor's `reason`
    started_at, until, ended_at, ended_by      ended_at is None as long as it is open
    notices         [{whom, channel, message}], see `emergency_notices.py`
    signs           see `emergency_signs.py`; where there are any it stands in the queue of the operator:
    review          None, {"state": "due"}, or {"state": "done", "by", "note", "at"}
rule A10 to A12; DICOM PS3.16 CID 401: 110127, 110138
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, timedelta
from typing import Any, Literal

import structlog
from pymongo import DESCENDING, IndexModel, WriteConcern
from pymongo.client_session import ClientSession
from pymongo.database import Database

from fhir_server.access import Actor
from fhir_server.access.choices import Choices
from fhir_server.access.emergency import Refusal, has_right, refusal
from fhir_server.access.rules import Case
from fhir_server.fhir import json
from fhir_server.fhir.outcome import Conflict, NotFound
from fhir_server.repository import Surroundings
from fhir_server.smart.emergency_notices import Notices
from fhir_server.smart.emergency_signs import Sign, signs
from fhir_server.smart.recording import Recording
from fhir_server.smart.tokens import COLLECTION as TOKENS
from fhir_server.smart.tokens import LIVE, NotIssued
from fhir_server.storage import choices
from fhir_server.storage.store import Store, Unit, answering

COLLECTION = "_emergencies"
#: However it is set, no access lasts longer.  rule A10
LONGEST = timedelta(hours=1)
HOUR = timedelta(hours=1)
#: So many are looked at in one round of `tick`, or shown in the queue.
MOST = 500

#: given back: by the software.  ended: with the session, the client or the code.  expired: by itself.
EndedBy = Literal["given back", "ended", "expired"]
log = structlog.get_logger()

_SERVER = Actor("operator", "fhir-server", ())


class NotOpened(NotIssued):
    """The record cannot be opened so."""

    def __init__(self, reason: Refusal):
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Access:
    """An emergency access, as it is kept."""

    id: str
    token: str = field(repr=False)
    actor: Actor
    code: str | None
    started_at: datetime
    until: datetime
    ended_at: datetime | None
    ended_by: EndedBy | None
    notices: tuple[Mapping[str, Any], ...]
    signs: tuple[str, ...]
    review: Mapping[str, Any] | None

    @property
    def patient(self) -> str:
        """Whose record it is."""
        return str(self.actor.patient)


def prepare(database: Database) -> None:
    """Let those be found that are open, of a professional, of a record, or to be looked at."""
    latest = ("started_at", DESCENDING)
    database[COLLECTION].create_indexes(
        [
            IndexModel([("until", 1)], name="open", partialFilterExpression={"ended_at": None}),
            IndexModel([("actor.practitioner", 1), latest], name="practitioner"),
            IndexModel([("actor.patient", 1), latest], name="patient"),
            IndexModel([("review.state", 1), latest], name="review"),
        ],
        commitQuorum=0,  # as storage/indexes.py does, and for its reason
    )


class Emergencies:
    """
    The emergency accesses of this server.

    lifetime    how long one lasts, LONGEST at most
    per_hour    more of one professional in an hour are told of
    """

    def __init__(
        self, around: Surroundings, notices: Notices, record: Recording, *, lifetime: timedelta, per_hour: int
    ):
        self._around = around
        self._notices = notices
        self._record = record
        self._per_hour = per_hour
        self.lifetime = min(lifetime, LONGEST)
        concern = WriteConcern("majority", j=True)
        self._accesses = around.store.database[COLLECTION].with_options(write_concern=concern)
        self._tokens = around.store.database[TOKENS].with_options(write_concern=concern)

    def has_right(self, actor: Actor) -> bool:
        """Whether the actor's mode is for this professional."""
        return has_right(actor, self._around.matrix)

    def refusal(self, actor: Actor) -> Refusal | None:
        """Why the actor may not open the record in the actor's mode; None if that is open."""
        if self._patient(str(actor.patient)) is None:
            return "record"
        return self._why(actor)

    def open(self, actor: Actor, token: Mapping[str, Any], write: Callable[[ClientSession | None], None]) -> None:
        """
        Keep the token by `write`, with all that goes with it.  Raises NotOpened, with nothing kept but that.

        token: the document that `write` keeps.
        """
        try:
            found = self._around.store.run(lambda unit: self._open(unit, actor, token, write))
        except NotOpened as error:
            self._record("refusal", actor=actor, patient=actor.patient, description=error.reason, refused=True)
            raise
        if found:
            log.warning("emergency.alert", access=actor.token_id, signs=found)

    def end(self, token: str) -> bool:
        """End the access that holds the token of this hash, which is dead then; whether it was open."""
        with answering():
            found = self._accesses.find_one({"_id": token[:16], "token": token, "ended_at": None})
        return found is not None and self._end(_access(found), "given back")

    def tick(self) -> int:
        """Record the end of the accesses that are over, each once however many look; how many there were."""
        now = self._around.clock()
        with answering():
            found = [*self._accesses.find({"ended_at": None}).sort("until", 1).limit(MOST)]
            held = {"_id": {"$in": [kept["token"] for kept in found]}, "status": LIVE}
            living = {kept["_id"] for kept in self._tokens.find(held, {"_id": 1})} if found else set()
        over: list[tuple[Access, EndedBy]] = []
        for kept in found:
            if kept["until"] <= now:
                over.append((_access(kept), "expired"))
            elif kept["token"] not in living:
                over.append((_access(kept), "ended"))
        return sum(self._end(access, by) for access, by in over)

    def of_patient(self, patient: str, *, limit: int = 50) -> tuple[Access, ...]:
        """The accesses to this record, the latest first: what its history has on top."""
        with answering():
            found = self._accesses.find({"actor.patient": str(patient)}).sort("started_at", DESCENDING).limit(limit)
            return tuple(_access(kept) for kept in found)

    def queue(self, *, everything: bool = False) -> tuple[Access, ...]:
        """The accesses that wait to be looked at, the latest first; or all of them."""
        with answering():
            found = self._accesses.find({} if everything else {"review.state": "due"})
            return tuple(_access(kept) for kept in found.sort("started_at", DESCENDING).limit(MOST))

    def review(self, id: str, *, by: str, note: str) -> None:
        """Note what came of looking at an access; it is recorded.  Raises NotFound, and Conflict if that was done."""

        def work(unit: Unit) -> None:
            with_review = {"review": {"state": "done", "by": by, "note": note, "at": self._around.clock()}}
            done = unit.alongside(
                lambda session: self._accesses.update_one(
                    {"_id": id, "review.state": {"$ne": "done"}}, {"$set": with_review}, session=session
                )
            )
            if not done.matched_count:
                raise Conflict(f"The emergency access `{id}` was looked at already.")
            self._record.within(unit, "emergency-review", actor=_SERVER, description=f"{id} by {by}: {note}")

        with answering():
            if self._accesses.find_one({"_id": id}, {"_id": 1}) is None:
                raise NotFound(f"There is no emergency access `{id}`.")
        self._around.store.run(work)

    # --- the steps

    def _open(
        self,
        unit: Unit,
        actor: Actor,
        token: Mapping[str, Any],
        write: Callable[[ClientSession | None], None],
    ) -> tuple[Sign, ...]:
        """The signs of what is opened.  Raises NotOpened."""
        if token["expires_at"] - token["created_at"] > LONGEST or not actor.reason:
            raise NotOpened("right")
        patient = self._patient(str(actor.patient), unit)
        if patient is None:
            raise NotOpened("record")
        said = self._choices(actor, unit.session)
        if why := self._why(actor, said):
            raise NotOpened(why)
        # Those of one professional wait for each other: each counts all that came before.
        unit.meet(f"emergency {actor.practitioner}")
        since = {"$gt": token["created_at"] - HOUR}
        earlier = self._accesses.count_documents(
            {"actor.practitioner": actor.practitioner, "started_at": since}, session=unit.session
        )
        practitioner = _body(unit, "Practitioner", actor.practitioner)
        found = signs(patient, practitioner, within_the_hour=earlier + 1, per_hour=self._per_hour)
        unit.alongside(write)
        notices = unit.alongside(
            lambda session: self._notices.put(
                actor, patient, self._doctor(unit, actor, said), token["created_at"], session
            )
        )
        kept = {
            "_id": actor.token_id,
            "token": token["_id"],
            "actor": {name: value for name, value in asdict(actor).items() if value and name not in ("scopes",)},
            "code": token.get("context", {}).get("__reason"),
            "started_at": token["created_at"],
            "until": token["expires_at"],
            "ended_at": None,
            "ended_by": None,
            "notices": [asdict(notice) for notice in notices],
            "signs": list(found),
            "review": {"state": "due"} if found else None,
        }
        unit.alongside(lambda session: self._accesses.insert_one(kept, session=session))
        self._record.within(unit, "emergency-start", actor=actor, patient=actor.patient)
        if found:
            # Of nobody's record: it is for the operator alone.
            who = f"{actor.token_id} Practitioner/{actor.practitioner}: {', '.join(found)}"
            self._record.within(unit, "emergency-alert", actor=_SERVER, description=who)
        return found

    def _end(self, access: Access, by: EndedBy) -> bool:
        """Whether it was this that ended the access: its token is dead, and its end recorded, or neither."""
        at = access.until if by == "expired" else self._around.clock()

        def work(unit: Unit) -> bool:
            def close(session: ClientSession) -> bool:
                open_still = {"_id": access.id, "ended_at": None}
                done = self._accesses.update_one(
                    open_still, {"$set": {"ended_at": at, "ended_by": by}}, session=session
                )
                if not done.matched_count:
                    return False
                self._tokens.update_one({"_id": access.token}, {"$set": {"status": "ended"}}, session=session)
                return True

            if not unit.alongside(close):
                return False
            self._record.within(unit, "emergency-stop", actor=access.actor, patient=access.patient, description=by)
            return True

        return self._around.store.run(work)

    def _why(self, actor: Actor, said: Choices | None = None) -> Refusal | None:
        around, now = self._around, self._around.clock()
        held = (said or self._choices(actor)).in_force(now)
        return refusal(Case(actor, held, "Patient", now, around.constraint, around.matrix))

    def _choices(self, actor: Actor, session: ClientSession | None = None) -> Choices:
        (said,) = choices.of_patients(self._around.store, {str(actor.patient)}, session=session)
        return said

    def _patient(self, id: str, unit: Unit | None = None) -> Mapping[str, Any] | None:
        """The Patient; None for one that is not there, or whose identity is no longer used."""
        found = _body(unit or self._around.store, "Patient", id)
        return None if found is None or found.get("active") is False else found

    def _doctor(self, unit: Unit, actor: Actor, said: Choices) -> Mapping[str, Any] | None:
        """The *médecin traitant*, where that is somebody else than who opens the record."""
        named = said.treating_doctor or ""
        if named.startswith("PractitionerRole/"):
            role = _body(unit, *named.split("/")) or {}
            named = str(role.get("practitioner", {}).get("reference", ""))
        id = named.removeprefix("Practitioner/")
        return _body(unit, "Practitioner", id) if id not in ("", actor.practitioner) else None


def _body(store: Store | Unit, type: str, id: str | None) -> dict[str, Any] | None:
    """The resource, as the server itself sees it, to tell who is who."""
    found = store.read(type, id) if id else None
    return json.parse(found.body) if found and found.body else None


_FIELDS = tuple(each.name for each in fields(Access) if each.name not in ("id", "actor"))


def _access(kept: Mapping[str, Any]) -> Access:
    values = {name: kept[name] for name in _FIELDS}
    listed = {name: tuple(values[name]) for name in ("notices", "signs")}
    return Access(id=kept["_id"], actor=Actor(scopes=(), **kept["actor"]), **(values | listed))
