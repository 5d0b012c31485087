"""Patient/[id]/$explain-access: who would see what of a record, and by which rule.

Of a professional, a structure, or anybody of a profession; in normal mode or in an emergency; by section, and for
single resources.  What it says is counted and looked up through the very decisions that a read of that professional
meets, so that it cannot say anything else; `access/explain.py` says why.
docs/access.md; CSP R1111-46
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from fhir_server.access import Actor
from fhir_server.access import scopes as smart_scopes
from fhir_server.access.actor import Mode
from fhir_server.access.decision import DOCUMENTS
from fhir_server.access.explain import Reason, about, hidden, in_section, of_resource, of_section, opened_beside
from fhir_server.access.sections import SECTIONS, SYSTEM, Section
from fhir_server.fhir import json
from fhir_server.fhir.http import FhirRequest, FhirResponse
from fhir_server.fhir.outcome import BadRequest, Forbidden
from fhir_server.fhir.types import TYPES
from fhir_server.operations.parameters import given, parameters
from fhir_server.operations.words import language_of, say
from fhir_server.repository import Repository
from fhir_server.search.expression import InRecord, all_of
from fhir_server.search.types.reference import relative

TAKES = {
    "practitioner": "uri",
    "organization": "uri",
    "profession": "code",
    "specialty": "code",
    "mode": "code",
    "resource": "uri",
}
MODES: tuple[Mode, ...] = ("normal", "bris_de_glace", "centre_15")
#: Whoever nobody has named: a doctor.
DOCTOR = "10"
#: So many single resources are explained at once.
MOST_RESOURCES = 100
_SCOPES = "user/*.rs"
_DIRECTORY = Actor(
    "operator",
    "fhir-server",
    smart_scopes.parse("system/Practitioner.rs system/PractitionerRole.rs system/Organization.rs"),
)
#: What is in a record and in no section of its own: a content is judged by its document.
_JUDGED_OTHERWISE = frozenset({"Binary"})


@dataclass(frozen=True)
class Asked:
    """Whose eyes: `Practitioner/…` or `PractitionerRole/…`, `Organization/…`, codes of profession and specialty."""

    practitioner: str | None = None
    organization: str | None = None
    profession: str | None = None
    specialty: str | None = None
    mode: Mode = "normal"
    resources: tuple[str, ...] = ()


@dataclass(frozen=True)
class SectionSeen:
    """
    A section, through these eyes.

    is_open     whether a permit, or the emergency, opens it
    there       how much the asker sees in it, and seen: how much of that is seen through these eyes
    hidden      how much of it is hidden by a rule though the section is open
    """

    code: str
    is_open: bool
    there: int
    seen: int
    reasons: tuple[Reason, ...]
    hidden: tuple[tuple[Reason, int], ...]

    @property
    def access(self) -> str:
        """`open`: all of it; `part`; `closed`."""
        if self.is_open:
            return "open" if self.seen == self.there else "part"
        return "part" if self.seen else "closed"


@dataclass(frozen=True)
class ResourceSeen:
    """A single resource, through these eyes."""

    reference: str
    seen: bool
    reasons: tuple[Reason, ...]


@dataclass(frozen=True)
class Explanation:
    """What these eyes see; actor: whose they are."""

    actor: Actor
    about: tuple[Reason, ...]
    sections: tuple[SectionSeen, ...]
    resources: tuple[ResourceSeen, ...]


def explain_access(request: FhirRequest, repository: Repository, type: str, id: str) -> FhirResponse:
    """200 and Parameters.  Raises NotFound, Forbidden for who does not decide about the record, BadRequest."""
    sent = given(request, TAKES)
    mode = sent.text("mode") or "normal"
    if mode not in MODES:
        raise BadRequest(f"`mode={mode}`: expected one of {', '.join(MODES)}.")
    asked = Asked(
        practitioner=sent.text("practitioner"),
        organization=sent.text("organization"),
        profession=sent.text("profession"),
        specialty=sent.text("specialty"),
        mode=mode,
        resources=tuple(dict.fromkeys(sent.texts("resource"))),
    )
    found = explained(repository, id, asked)
    return FhirResponse.of(200, _parameters(found, language_of(request.headers.get("accept-language", "")), repository))


def explained(repository: Repository, patient: str, asked: Asked) -> Explanation:
    """What of the record of Patient/`patient` these eyes see.  Raises as `explain_access` does."""
    refuse_who_does_not_decide(repository, patient)
    actor = _actor(repository, patient, asked)
    eyes = repository.imagined(actor)
    return Explanation(
        actor,
        about(eyes.case("DocumentReference", patient)),
        tuple(_section(repository, eyes, patient, section) for section in SECTIONS if _is_told(section)),
        tuple(_resource(repository, eyes, patient, reference) for reference in asked.resources[:MOST_RESOURCES]),
    )


def refuse_who_does_not_decide(repository: Repository, patient: str) -> None:
    """
    Raise unless the actor decides who sees the record: its holder, who represents the holder, or the operator.

    NotFound for a record that the actor does not see.  The token has to cover Consents, since this tells of them.
    """
    actor = repository.actor
    if actor.kind not in ("patient", "operator") or actor.relation == "caregiver":
        raise Forbidden("The holder asks who would see what, or who represents the holder.")
    repository.open(patient)
    repository.decide("search-type", "Consent")


def _is_told(section: Section) -> bool:
    return any(part.type not in _JUDGED_OTHERWISE for part in section.parts)


def _section(repository: Repository, eyes: Repository, patient: str, section: Section) -> SectionSeen:
    types = dict.fromkeys(part.type for part in section.parts if part.type not in _JUDGED_OTHERWISE)
    there = seen = 0
    kept_back: dict[Reason, int] = {}
    beside: dict[Reason, int] = {}
    for type in types:
        case = eyes.case(type, patient)
        try:
            mine = repository.decide("search-type", type, frozenset({patient})).where
        except Forbidden:  # the asker's token leaves this type out
            continue
        where = all_of(InRecord(patient), in_section(case, section), mine)
        of_type = repository.count(type, where, exactly=True) or 0
        there += of_type
        if not of_type:
            continue
        seen += _count(eyes, type, where)
        for tally, rules in ((kept_back, hidden(case)), (beside, opened_beside(case))):
            for reason, held_by in rules:
                held = repository.count(type, all_of(where, held_by), exactly=True) or 0
                tally[reason] = tally.get(reason, 0) + held
    is_open, reasons = of_section(eyes.case(next(iter(types)), patient), section)
    shown = tuple((reason, count) for reason, count in kept_back.items() if count) if is_open else ()
    if seen and not is_open:
        reasons = (*reasons, *(reason for reason, count in beside.items() if count))
    return SectionSeen(section.code, is_open, there, seen, reasons, shown)


def _count(eyes: Repository, type: str, where: Any) -> int:
    try:
        return eyes.count(type, where, exactly=True) or 0
    except Forbidden:
        return 0


def _resource(repository: Repository, eyes: Repository, patient: str, reference: str) -> ResourceSeen:
    type, _, id = relative(reference, repository.base).partition("/")
    if not id or type not in TYPES or (not TYPES[type].patient and type != "Binary"):
        raise BadRequest(f"`resource={reference}`: expected a resource of the record, `Type/id`.")
    stored = repository.read(type, id)
    owners = {stored.entry.get("owner"), *stored.entry.get("others", ())}
    if patient not in owners:
        raise BadRequest(f"`resource={reference}`: it is not in the record of Patient/{patient}.")
    documents = stored.entry.get(DOCUMENTS) or ()
    if documents:  # a content is judged by its documents
        judged = [reason for each in documents for reason in of_resource(eyes.case(each["type"], patient), each)]
        reasons = tuple(dict.fromkeys(judged))
    else:
        reasons = of_resource(eyes.case(type, patient), stored.entry)
    return ResourceSeen(f"{type}/{id}", eyes.may_read(stored), reasons)


def _actor(repository: Repository, patient: str, asked: Asked) -> Actor:
    """Who is asked about: with the role, the structure and the profession that the directory knows."""
    directory = repository.imagined(_DIRECTORY)
    actor = Actor(
        kind="professional",
        name="",
        scopes=smart_scopes.parse(_SCOPES),
        patient=patient,
        practitioner=repository.new_id(),  # somebody of whom nothing is known
        organization=_reference(asked.organization, ("Organization",), "organization", repository.base),
        profession=asked.profession,
        specialty=asked.specialty,
        mode=asked.mode,
        regulator=asked.mode == "centre_15",
    )
    whom = _reference(asked.practitioner, ("Practitioner", "PractitionerRole"), "practitioner", repository.base)
    role = _role(directory, whom, actor.organization) if whom else None
    if role:
        codes = [_code(role, name) for name in ("code", "specialty")]
        actor = replace(
            actor,
            practitioner=_named(role, "practitioner", repository.base).partition("/")[2] or actor.practitioner,
            role=f"PractitionerRole/{role['id']}",
            organization=actor.organization or _named(role, "organization", repository.base) or None,
            profession=actor.profession or codes[0],
            specialty=actor.specialty or codes[1],
        )
    elif whom:
        actor = replace(actor, practitioner=whom.partition("/")[2])
    if actor.organization:
        directory.read(*actor.organization.split("/"))
    if whom:
        person = json.parse(directory.read("Practitioner", str(actor.practitioner)).body or b"")
        codings = [coding for one in person.get("qualification", ()) for coding in one["code"].get("coding", ())]
        actor = replace(
            actor, name=name_of(person), profession=actor.profession or _of_system(codings, "TRE_G15-ProfessionSante")
        )
    return actor if actor.profession else replace(actor, profession=DOCTOR)


def _role(directory: Repository, whom: str, organization: str | None) -> dict[str, Any] | None:
    """The role that is meant: the one that is named, or the first active one of the person, at this structure."""
    type, _, id = whom.partition("/")
    if type == "PractitionerRole":
        found: dict[str, Any] = json.parse(directory.read(type, id).body or b"")
        return found
    pairs = [("practitioner", whom), *([("organization", organization)] if organization else [])]
    roles = [
        json.parse(stored.body or b"")
        for stored in directory.search(
            "PractitionerRole", directory.reader().expression("PractitionerRole", tuple(pairs)), limit=50, served=False
        )
    ]
    return next((role for role in roles if role.get("active") is not False), None)


def _reference(said: str | None, types: tuple[str, ...], name: str, base: str) -> str | None:
    if said is None:
        return None
    found = relative(said, base)
    if found.partition("/")[0] not in types or not found.partition("/")[2] or found.count("/") != 1:
        raise BadRequest(f"`{name}={said}`: expected {' or '.join(f'{type}/id' for type in types)}.")
    return found


def _named(role: Mapping[str, Any], name: str, base: str) -> str:
    return relative(str((role.get(name) or {}).get("reference", "")), base)


def _code(role: Mapping[str, Any], name: str) -> str | None:
    codings = [coding for concept in role.get(name, ()) for coding in concept.get("coding", ())]
    system = {"code": "TRE_G15-ProfessionSante", "specialty": "TRE_R38-SpecialiteOrdinale"}[name]
    return _of_system(codings, system)


def _of_system(codings: list[Mapping[str, Any]], system: str) -> str | None:
    return next((str(one["code"]) for one in codings if f"/{system}/" in str(one.get("system"))), None)


def name_of(person: Mapping[str, Any]) -> str:
    """How a Practitioner is called: `Dr Anne Martin`."""
    for name in person.get("name", ()):
        title = "Dr" if "DR" in name.get("suffix", ()) or "DR" in name.get("prefix", ()) else None
        parts = [title, *name.get("given", ())[:1], name.get("family")]
        found = " ".join(part for part in parts if part) or name.get("text", "")
        if found:
            return str(found)
    return ""


def _parameters(found: Explanation, language: str, repository: Repository) -> dict[str, Any]:
    zone, actor = repository.zone, found.actor

    def told(reason: Reason, count: int | None = None) -> tuple[str, str, Any]:
        said = [("rule", "code", reason.rule), ("sentence", "string", say(reason, language, zone))]
        return ("reason", "part", [*said, ("hidden", "unsignedInt", count)])

    def of(section: SectionSeen) -> list[tuple[str, str, Any]]:
        rows: list[tuple[str, str, Any]] = [
            ("code", "Coding", {"system": SYSTEM, "code": section.code}),
            ("access", "code", section.access),
            ("there", "unsignedInt", section.there),
            ("seen", "unsignedInt", section.seen),
        ]
        rows += [told(reason) for reason in section.reasons]
        return rows + [told(reason, count) for reason, count in section.hidden]

    named = f"Practitioner/{actor.practitioner}" if actor.name else None
    return parameters(
        ("practitioner", "Reference", {"reference": named, "display": actor.name} if named else None),
        ("role", "Reference", {"reference": actor.role} if actor.role else None),
        ("organization", "Reference", {"reference": actor.organization} if actor.organization else None),
        ("profession", "code", actor.profession),
        ("mode", "code", actor.mode),
        parts={
            "overall": [told(reason)[2] for reason in found.about],
            "section": [of(section) for section in found.sections],
            "resource": [
                [
                    ("reference", "Reference", {"reference": one.reference}),
                    ("seen", "boolean", one.seen),
                    *(told(reason) for reason in one.reasons),
                ]
                for one in found.resources
            ],
        },
    )
