"""What software says when it opens an app: which app, in whose record.  SMART 2.2: app-launch.html

{"client_id": …, "patient": id, "encounter": id, "intent": …, "need_patient_banner": true, "fhirContext": [{…}]}
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flask import request

from fhir_server.access import Actor
from fhir_server.access.patient_lookup import found
from fhir_server.audit import Trail
from fhir_server.fhir import json
from fhir_server.fhir.outcome import BadRequest, Forbidden, Gone, NotFound
from fhir_server.repository import Repository, Surroundings

_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")
#: SMART 2.2: scopes-and-launch-context.html#fhircontext-exp
_OF_CONTEXT = {"reference", "canonical", "identifier", "type", "role"}
_NAMES = {"client_id", "patient", "encounter", "intent", "need_patient_banner", "fhirContext"}
_MOST = 20


@dataclass(frozen=True)
class Wanted:
    """The app, and the context that it is to be opened in, as `Launches` keeps it."""

    client_id: str
    context: Mapping[str, Any]


def read_context(body: bytes, token: Mapping[str, Any], base: str) -> Wanted:
    """
    What the body asks for, for the holder of this token.  Raises BadRequest.

    Whoever holds a token for one patient opens apps in that patient's record, and in no other.
    """
    asked = json.parse(body)
    if not isinstance(asked, dict) or not asked.keys() <= _NAMES:
        raise BadRequest(f"An object is expected, of {', '.join(sorted(_NAMES))}.")
    client_id = asked.get("client_id")
    if not isinstance(client_id, str):
        raise BadRequest("client_id is the app that is to be opened.")
    patient, encounter = _id(asked, "patient"), _id(asked, "encounter")
    held = token.get("patient")
    if held and patient not in (None, held):
        raise BadRequest("The token is for another patient.")
    patient = patient or held
    if patient is None:
        raise BadRequest("patient is the id of the patient in whose record it is to be opened.")
    intent = asked.get("intent")
    if intent is not None and not (isinstance(intent, str) and re.fullmatch(r"[!-~ ]{1,64}", intent)):
        raise BadRequest("intent is a word.")
    context = {
        "patient": patient,
        "encounter": encounter,
        "intent": intent,
        "need_patient_banner": asked.get("need_patient_banner", True) is not False,
        "fhir_context": _fhir_context(asked.get("fhirContext", []), base),
    }
    return Wanted(client_id, {name: value for name, value in context.items() if value not in (None, [])})


def _id(asked: Mapping[str, Any], name: str) -> str | None:
    value = asked.get(name)
    if value is not None and not (isinstance(value, str) and _ID.fullmatch(value)):
        raise BadRequest(f"{name} is an id.")
    return value


def _fhir_context(entries: Any, base: str) -> list[dict[str, Any]]:
    """The entries, each of them an object that names something.  Patient and Encounter have a place of their own."""
    if not isinstance(entries, list) or len(entries) > _MOST:
        raise BadRequest(f"fhirContext is a list of up to {_MOST}.")
    for entry in entries:
        if not isinstance(entry, dict) or not entry or not entry.keys() <= _OF_CONTEXT:
            raise BadRequest(f"An entry of fhirContext is an object of {', '.join(sorted(_OF_CONTEXT))}.")
        if entry.keys().isdisjoint({"reference", "canonical", "identifier"}):
            raise BadRequest("An entry of fhirContext names something: reference, canonical or identifier.")
        texts = [entry[name] for name in ("reference", "canonical", "type", "role") if name in entry]
        if not all(isinstance(text, str) and 0 < len(text) <= 512 for text in texts):
            raise BadRequest("What an entry of fhirContext says is a text.")
        type = entry.get("reference", "").removeprefix(f"{base}/").partition("/")[0]
        if type in ("Patient", "Encounter") and entry.get("role", "launch") == "launch":
            raise BadRequest("Patient and Encounter are said by patient and encounter.")
    return entries


def named(around: Surroundings) -> Callable[[Actor, str], str | None]:
    """
    What tells the name of a patient to who opens an app in that record; None for who may not see it.

    It is read, and recorded, as that person's own access.
    """

    def name_of(actor: Actor, patient: str) -> str | None:
        trail = Trail("read", "GET", f"/Patient/{patient}", "", request.remote_addr)
        repository = Repository(around, actor, trail)
        try:
            stored = repository.read("Patient", patient)
        except (Forbidden, NotFound, Gone) as error:
            repository.record(error)
            return None
        repository.record()
        return found(json.parse(stored.body or b"{}")).name

    return name_of
