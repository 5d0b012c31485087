"""The choices of each patient, compact: a document each in `_choices`, written by the transaction that changes them.

    the document of `access.choices`, and
    involved    of a space that is not open, or that is closed to everybody: who deposited in it, or is addressed in it,
                so that they learn of it, though no statement names them

A decision about a professional reads those of the patients who are asked about, or those that concern the professional:
`concerns` and `involved` are what they are found by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import tzinfo
from functools import partial
from typing import Any

from pymongo import ReplaceOne
from pymongo.client_session import ClientSession

from fhir_server.access import choices as kept
from fhir_server.access.choices import EVERYBODY, Choices
from fhir_server.access.consents import choices
from fhir_server.access.rules import ADDRESSED
from fhir_server.fhir import json
from fhir_server.fhir.types import TYPES
from fhir_server.search.expression import EVERYTHING, Filter, InRecord, InRecords, Match, Present
from fhir_server.search.types.id import IdTest
from fhir_server.storage.documents import CHOICES, HISTORY, Stored
from fhir_server.storage.store import Ahead, Store, Unit, answering

#: What the choices of a patient are made of.
SOURCES = frozenset({"Patient", "Consent", "CareTeam", "RelatedPerson"})
#: So many Consents, CareTeams and RelatedPersons of one patient are read.
MOST_STATEMENTS = 5_000
#: So many patients' are written anew in one transaction.
AT_ONCE = 200


def of_patients(store: Store, patients: Iterable[str], *, session: ClientSession | None = None) -> tuple[Choices, ...]:
    """The choices of these patients; those that the law supposes, of one who has said nothing."""
    wanted = frozenset(patients)
    if not wanted:
        return ()
    with answering():
        return said(wanted, store.collection(CHOICES).find(_of(wanted), session=session))


def concerning(
    store: Store, references: Sequence[str], *, limit: int, session: ClientSession | None = None
) -> tuple[Choices, ...]:
    """The choices that concern one of these references; not more than `limit`, and one more if there are more."""
    with answering():
        found = store.collection(CHOICES).find(_concerning(references), session=session, max_time_ms=store.timeout_ms)
        return tuple(kept.read(document) for document in found.limit(limit + 1))


def blocking(store: Store, references: Sequence[str], *, session: ClientSession | None = None) -> tuple[Choices, ...]:
    """The choices of those who block one of these references by its name."""
    named = {"$in": list(references)}
    with answering():
        found = store.collection(CHOICES).find({"concerns": named, "blocks.to": named}, session=session)
        return tuple(kept.read(document) for document in found)


def ahead(patients: frozenset[str] | None, references: Sequence[str], *, limit: int) -> Ahead:
    """As `of_patients`, or `concerning` where none are named, to be looked up along with the access token."""
    if patients is not None:
        return Ahead(CHOICES, (CHOICES, patients), ({"$match": _of(patients)},), by_key=True, ids=patients, plain=True)
    pipeline = ({"$match": _concerning(references)}, {"$limit": limit + 1})
    return Ahead(CHOICES, (CHOICES, None), pipeline, plain=True)


def said(patients: frozenset[str], documents: Iterable[Mapping[str, Any]]) -> tuple[Choices, ...]:
    """The choices of these patients, of whom some have said nothing."""
    found = {document["_id"]: kept.read(dict(document)) for document in documents}
    return tuple(found.get(patient) or Choices(patient) for patient in sorted(patients))


def _of(patients: frozenset[str]) -> Filter:
    return {"_id": {"$in": sorted(patients)}}


def _concerning(references: Sequence[str]) -> Filter:
    named = {"$in": list(references)}
    return {"$or": [{"concerns": named}, {"involved": named}]}


def follow(unit: Unit, written: Sequence[Stored], replaced: Sequence[Stored], *, base: str, zone: tzinfo) -> None:
    """
    Write anew the choices that a transaction has changed: those of whose Patient, Consents, CareTeams or
    RelatedPersons it wrote.

    Also of a space that is closed and that something was deposited in: who did has to be told.
    """
    written = [*written, *replaced]
    changed = {patient for one in written if one.type in SOURCES for patient in patients_of(one)}
    others = {patient for one in written for patient in patients_of(one)} - changed
    if others:
        shut = {"_id": {"$in": sorted(others)}, "involved": {"$exists": True}}
        changed |= {one["_id"] for one in unit.collection(CHOICES).find(shut, {"_id": 1}, session=unit.session)}
    if changed:
        unit.flush()
        rewrite(unit, sorted(changed), base=base, zone=zone)


def rewrite(unit: Unit, patients: Sequence[str], *, base: str, zone: tzinfo) -> None:
    """Write anew the choices of these patients, from what there is now."""
    where = InRecords(frozenset(patients))
    there = {
        type: [json.parse(one.body or b"") for one in unit.find(type, where, allowed=EVERYTHING, limit=MOST_STATEMENTS)]
        for type in sorted(SOURCES)
    }
    practitioners = _practitioners(unit, there["Consent"])
    changes = []
    for patient in patients:
        own = f"Patient/{patient}"
        made = choices(
            next((one for one in there["Patient"] if one["id"] == patient), None),
            patient,
            [one for one in there["Consent"] if _is_of(one.get("patient"), own, base)],
            [one for one in there["CareTeam"] if _is_of(one.get("subject"), own, base)],
            [one for one in there["RelatedPerson"] if _is_of(one.get("patient"), own, base)],
            practitioners=practitioners,
            base=base,
            zone=zone,
        )
        document = kept.document(made)
        if not made.is_open or any(block.to == EVERYBODY for block in made.blocks):
            document["involved"] = sorted(_involved(unit, patient))
        changes.append(ReplaceOne({"_id": patient}, document, upsert=True))
    unit.collection(CHOICES).bulk_write(changes, session=unit.session)
    unit.wrote = True


def rewrite_all(store: Store, *, base: str, zone: tzinfo, stopped: Callable[[], bool] = lambda: False) -> bool:
    """Write anew the choices of every patient, as after an update of the server; False if it was stopped meanwhile."""
    last = ""
    while not stopped():
        with answering():
            found = store.collection("Patient").find({"_id": {"$gt": last}}, {"_id": 1}).sort("_id", 1).limit(AT_ONCE)
            ids = [document["_id"] for document in found]
        if not ids:
            return True
        store.run(partial(_rewrite_some, ids, base, zone))
        last = ids[-1]
    return False


def _rewrite_some(ids: Sequence[str], base: str, zone: tzinfo, unit: Unit) -> None:
    rewrite(unit, ids, base=base, zone=zone)


def patients_of(stored: Stored) -> set[str]:
    """The ids of the patients whose record a version belongs to."""
    return {one for one in (stored.entry.get("owner"), *stored.entry.get("others", ())) if one}


def _is_of(reference: Mapping[str, Any] | None, patient: str, base: str) -> bool:
    said = (reference or {}).get("reference", "")
    return said == patient or said == f"{base}/{patient}" or said.startswith((f"{patient}/", f"{base}/{patient}/"))


def _practitioners(unit: Unit, consents: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """`PractitionerRole/…` → `Practitioner/…`, of the roles that a Consent names."""
    roles = {
        actor.get("reference", {}).get("reference", "").rpartition("PractitionerRole/")[2]
        for consent in consents
        for actor in consent.get("provision", {}).get("actor", ())
        if "PractitionerRole/" in actor.get("reference", {}).get("reference", "")
    }
    if not roles:
        return {}
    asked = Match("_id", IdTest(frozenset(roles)))
    found = unit.find("PractitionerRole", asked, allowed=EVERYTHING, limit=len(roles))
    named = {one.reference: json.parse(one.body or b"").get("practitioner", {}).get("reference") for one in found}
    return {role: str(practitioner) for role, practitioner in named.items() if practitioner}


def _involved(unit: Unit, patient: str) -> set[str]:
    """Who deposited in the record, be it there still or not, or is addressed in it."""
    found: set[str] = set()
    for type in (*(name for name, row in TYPES.items() if row.patient), HISTORY):
        pipeline: list[dict[str, Any]] = [
            {"$match": {"$or": [{"owner": patient}, {"others": patient}], "depositor": {"$exists": True}}},
            {"$unwind": "$depositor"},
            {"$group": {"_id": "$depositor"}},
        ]
        found |= {one["_id"] for one in unit.collection(type).aggregate(pipeline, session=unit.session)}
    for type, parameter in ((type, one) for type, parameters in ADDRESSED.items() for one in parameters):
        where = InRecord(patient)
        found |= set(unit.texts(type, parameter, where, allowed=Present(parameter), limit=MOST_STATEMENTS))
    return {one for one in found if not one.startswith(("Patient/", "RelatedPerson/"))}
