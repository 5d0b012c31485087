"""$lookup-record: whether a patient whom a professional names exactly has a record here, and whether they may read it.

By the INS, or by family name, birth date and sex; never a list, and no identity trait comes back, as TD0.2 of the DMP
has it.  What is asked stands in the body, not in an address, is counted, and is recorded in the patient's history.

    record          open; closed; several (the INS tells them apart); none: no such person, or one who opposed a record
    patient         Patient/…, to name in what comes next, where the record is open and the asker not blocked
    access          authorised: a permit lets read; unauthorised: what is deposited is taken, and nothing is read;
                    blocked: the patient lets the asker neither read nor deposit
    treatingDoctor  whether the asker is the patient's *médecin traitant*

rule A5, A6, A8, A18; DMP TD0.2
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any

from fhir_server.access import Actor, patient_lookup
from fhir_server.access import scopes as smart_scopes
from fhir_server.access.patient_lookup import INS, INS_OF_TESTS, Number, Traits
from fhir_server.fhir import json
from fhir_server.fhir.http import FhirRequest, FhirResponse
from fhir_server.fhir.outcome import BadRequest, Forbidden, NotSupported, TooManyRequests
from fhir_server.operations.parameters import Given, answer, given
from fhir_server.repository import Repository

_TAKES = {"identifier": "string", "family": "string", "given": "string", "birthdate": "date", "gender": "code"}
#: What the operation calls a trait → what the reader of traits does.
_TRAITS = {"family": "family", "given": "given", "birthdate": "birth_date", "gender": "sex"}
_SERVER = Actor("operator", "fhir-server", smart_scopes.parse("system/Patient.rs"))
#: More than so many who share a name and a birth date are not looked through.
MOST = 50


def lookup_record(request: FhirRequest, repository: Repository, type: str) -> FhirResponse:
    """
    200 and Parameters, as above.

    Raises Forbidden for who is no professional, in an emergency too, which is of one patient; BadRequest for traits
    that name nobody exactly; TooManyRequests.
    """
    _refuse_others(repository)
    who = _named(given(request, _TAKES))
    repository.asked_for(patient_lookup.parameters(who))
    lookups, asker = repository.lookups, repository.actor.reference or repository.actor.caller
    if lookups is None:
        raise NotSupported("This process does not look for patients.")
    wait = lookups.begin(asker)
    if wait:
        seconds = ceil(wait.total_seconds())
        raise TooManyRequests("Too many patients were looked for.", headers={"Retry-After": str(seconds)})
    found = _records(repository, who)
    if not found:
        return answer(("record", "code", "none"))
    if len(found) > 1:
        return answer(("record", "code", "several"))
    lookups.found(asker)
    return answer(*_told(repository, *found.items()))


def _refuse_others(repository: Repository) -> None:
    """Raise Forbidden unless it is a professional who may look for any patient."""
    actor = repository.actor
    repository.decide("search-type", "Patient")
    any_patient = any(
        scope.context == "user" and scope.type in ("*", "Patient") and "s" in scope.letters and not scope.constraints
        for scope in actor.scopes
    )
    if actor.kind != "professional" or actor.mode != "normal" or not any_patient:
        raise Forbidden("A professional looks for a patient's record, with the scope `user/Patient.s`.")


def _named(asked: Given) -> Number | Traits:
    """Whom it names.  Raises BadRequest."""
    identifier = asked.text("identifier")
    if identifier is not None:
        if any(name in asked for name in _TRAITS):
            raise BadRequest("Give `identifier`, or the traits: `family`, `birthdate`, `gender`, and `given`.")
        system, _, value = identifier.rpartition("|")
        number = patient_lookup.number_of(value)
        if number is None or (system and system not in (*INS, *INS_OF_TESTS)):
            raise BadRequest("`identifier` is the matricule INS, 15 digits with its key, of the system `INS-NIR`.")
        return Number(number)
    read = patient_lookup.read({of: asked.text(name) or "" for name, of in _TRAITS.items()}, number=False)
    if isinstance(read, dict):
        lacking = [name for name, of in _TRAITS.items() if of in read]
        raise BadRequest(
            f"Name the patient by `identifier`, or by `family`, `birthdate` (a day) and `gender`; `{lacking[0]}` is "
            "missing, or is none."
        )
    return read


def _records(repository: Repository, who: Number | Traits) -> dict[str, str]:
    """The state of each record, by the id of the Patient; of those that are open alone, if any is."""
    server = repository.imagined(_SERVER)

    def search(type: str, pairs: tuple[tuple[str, str], ...]) -> list[dict[str, Any]]:
        where = repository.reader().expression(type, pairs)
        return [json.parse(one.body or b"") for one in server.search(type, where, limit=MOST)]

    patients = patient_lookup.candidates(who, search, tests=repository.test_identities)
    states = {str(one["id"]): repository.case("Patient", str(one["id"])).choices for one in patients if _is_used(one)}
    opened = {id: "open" for id, choices in states.items() if choices.is_open}
    return opened or {id: "closed" for id, choices in states.items() if choices.space == "closed"}


def _is_used(patient: Mapping[str, Any]) -> bool:
    """Whether the identity is in use: one that was joined to another is not."""
    return patient.get("active") is not False


def _told(repository: Repository, of: tuple[str, str]) -> list[tuple[str, str, Any]]:
    """What is said of the one record."""
    id, state = of
    repository.disclose(repository.imagined(_SERVER).fetch("Patient", [id]))
    if state != "open":
        return [("record", "code", state)]
    case = repository.case("Patient", id)
    access = patient_lookup.access(case)
    named = [] if access == "blocked" else [("patient", "Reference", {"reference": f"Patient/{id}"})]
    return [
        ("record", "code", state),
        *named,
        ("access", "code", access),
        ("treatingDoctor", "boolean", case.is_treating_doctor),
    ]
