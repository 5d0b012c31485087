"""The holder's choices as FHIR Consents, and what they and what else says who gets in mean: → `Choices`.

A choice is an active Consent of scope `patient-privacy`, of one kind:

    access          permit: whom it names may read, the sections of `provision.class` or all that are open to
                    professionals.  deny: whom it names is blocked
    administrator   permit: whom it names reads what is masked, too, and may manage who else gets in
    caregiver       permit: whom it names acts for the holder
    BTG, ETREAT     whether the *bris de glace*, and a SAMU-Centre 15, may read; the sections of `provision.class`, too
    MASKED          whether they see what is masked
    new-documents   deny: new documents are masked
    space           deny: the holder opposes the space, or closes it

A professional may declare a permit, with how the patient's consent was collected: extension `consent-collection`.  What
cannot be evaluated is refused on write; where it stands nevertheless, and denies, it blocks everybody.
CareTeams say who is in them, the Patient the space and the *médecin traitant*, RelatedPersons until when they are.
R4: consent.html; CSP R1111-46
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, tzinfo
from typing import Any

from fhir_server.access.choices import EVERYBODY, OPEN_SPACES, Block, Choices, InEmergency, Member, Permit, Space
from fhir_server.access.sections import BY_CODE
from fhir_server.access.sections import SYSTEM as SECTION
from fhir_server.fhir import dates
from fhir_server.fhir.outcome import Issue
from fhir_server.search.types.reference import relative

OWN = "https://fhir-server.example"
KIND = f"{OWN}/CodeSystem/consent-kind"
COLLECTION = f"{OWN}/StructureDefinition/consent-collection"
SPACE_STATUS = f"{OWN}/StructureDefinition/space-status"
PRIVACY = "patient-privacy"
KINDS = ("access", "administrator", "caregiver", "BTG", "ETREAT", "MASKED", "new-documents", "space")
#: What a person allowed an app: the authorization server writes it down, and its grant is what holds.
APP = "app"
EMERGENCIES = ("BTG", "ETREAT", "MASKED")
#: How a professional may have collected what the patient said.  CSP R1111-46, L1110-4 III
COLLECTIONS = ("oral", "written", "electronic", "care-team", "representative")
#: Whom a permit, a block, and a delegation may name.
_READERS = ("Practitioner", "PractitionerRole", "Organization", "CareTeam")
_BLOCKED = ("Practitioner", "PractitionerRole", "Organization")
_CAREGIVERS = ("RelatedPerson", "Patient")
_EVALUATED = {"id", "type", "period", "actor", "action", "purpose", "class"}


def is_choice(consent: Mapping[str, Any]) -> bool:
    """Whether the Consent is about privacy; a wish, a treatment or a study are other matters."""
    return any(coding.get("code") == PRIVACY for coding in _codings(consent.get("scope")))


def is_app(consent: Mapping[str, Any]) -> bool:
    """Whether the Consent is the evidence of what an app was allowed; it lets nobody else in, and keeps nobody out."""
    return consent["resourceType"] == "Consent" and any(
        coding.get("system") == KIND and coding.get("code") == APP
        for category in consent.get("category", ())
        for coding in _codings(category)
    )


def kind(consent: Mapping[str, Any]) -> str | None:
    """The kind of the choice: as it says, else as its purpose or the one whom it names tells; None if nothing does."""
    said = [
        coding.get("code")
        for category in consent.get("category", ())
        for coding in _codings(category)
        if coding.get("system") == KIND
    ]
    if said:
        return str(said[0]) if len(set(said)) == 1 and said[0] in KINDS else None
    provision = consent.get("provision", {})
    purposes = {coding.get("code") for coding in provision.get("purpose", ())}
    if purposes:
        return str(*purposes) if len(purposes) == 1 and purposes <= set(EMERGENCIES) else None
    return "access" if provision.get("actor") else None


def collection(consent: Mapping[str, Any]) -> str | None:
    """How a professional collected what the consent says; None if it does not say so in a way that is known."""
    found = _extension(consent, COLLECTION, "valueCode")
    return found if found in COLLECTIONS else None


def named(consent: Mapping[str, Any], base: str = "") -> list[str]:
    """Whom a choice names, `Type/id`."""
    return _actors(consent.get("provision", {}), base)


def period(consent: Mapping[str, Any], zone: tzinfo = dates.PARIS) -> tuple[datetime | None, datetime | None]:
    """From when and until when a choice holds, half open."""
    return _period(consent.get("provision", {}).get("period"), zone)


def faults(consent: Mapping[str, Any], base: str = "") -> list[Issue]:
    """Why a choice cannot be evaluated; nothing for one that can, or that is over, or about another matter."""
    if consent.get("status") != "active" or not is_choice(consent) or is_app(consent):
        return []
    found = kind(consent)
    if found is None:
        return [Issue("not-supported", f"A choice is of one kind: {', '.join(KINDS)}.", ("Consent.category",))]
    provision = consent.get("provision")
    if provision is None or provision.get("type") not in ("permit", "deny"):
        return [Issue("not-supported", "A choice permits or denies.", ("Consent.provision.type",))]
    lacking = [name for name in provision if name.lstrip("_") not in _EVALUATED]
    issues = [
        Issue("not-supported", f"`{name}` is not evaluated here: leave it out.", (f"Consent.provision.{name}",))
        for name in lacking
    ]
    return issues + _faults_of_kind(found, provision, base)


def _faults_of_kind(kind: str, provision: Mapping[str, Any], base: str) -> list[Issue]:
    denies, actors = provision["type"] == "deny", _actors(provision, base)
    issues = []
    named = _whom(kind, denies=denies)
    if named:
        bad = [actor for actor in actors if actor.partition("/")[0] not in named]
        if not actors or bad:
            expected = f"This choice names a {', '.join(named)}."
            issues.append(Issue("not-supported", expected, ("Consent.provision.actor",)))
    elif provision.get("actor"):
        issues.append(Issue("not-supported", "This choice names nobody.", ("Consent.provision.actor",)))
    if denies and kind in ("administrator", "caregiver"):
        issues.append(Issue("not-supported", "To take it back, end the permit.", ("Consent.provision.type",)))
    if kind not in EMERGENCIES and provision.get("purpose"):
        issues.append(Issue("not-supported", "This choice has no purpose.", ("Consent.provision.purpose",)))
    for action in provision.get("action", ()):
        if {coding.get("code") for coding in _codings(action)} - {"access"}:
            issues.append(Issue("not-supported", "A choice is about access.", ("Consent.provision.action",)))
    sections = provision.get("class", ())
    if sections and (denies or kind not in ("access", "BTG", "ETREAT")):
        issues.append(Issue("not-supported", "This choice is about the whole record.", ("Consent.provision.class",)))
    if any(one.get("system") != SECTION or one.get("code") not in BY_CODE for one in sections):
        issues.append(
            Issue(
                "not-supported",
                f"A class is a section of the record: {', '.join(BY_CODE)}, of {SECTION}.",
                ("Consent.provision.class",),
            )
        )
    return issues


def _whom(kind: str, *, denies: bool) -> tuple[str, ...]:
    """The types that a choice of this kind names; none if it names nobody."""
    if kind == "access":
        return _BLOCKED if denies else _READERS
    return {"administrator": _BLOCKED, "caregiver": _CAREGIVERS}.get(kind, ())


def choices(
    patient: Mapping[str, Any] | None,
    id: str,
    consents: Iterable[Mapping[str, Any]],
    care_teams: Iterable[Mapping[str, Any]],
    related: Iterable[Mapping[str, Any]] = (),
    *,
    practitioners: Mapping[str, str] | None = None,
    base: str = "",
    zone: tzinfo = dates.PARIS,
) -> Choices:
    """
    What Patient/`id` chose; `patient` is None where there is none yet.

    related: the RelatedPersons of the patient, of whom some may act for the patient no longer, or not yet.
    practitioners: `PractitionerRole/…` → `Practitioner/…`; who is blocked in one role is blocked in every other.
    """
    known = practitioners or {}
    permits: list[Permit] = []
    blocks: list[Block] = []
    emergencies: list[InEmergency] = []
    caregivers: list[Member] = []
    closed = masked = False
    for consent in consents:
        if consent.get("status") != "active" or not is_choice(consent) or is_app(consent):
            continue
        provision = consent.get("provision", {})
        denies = provision.get("type") == "deny"
        start, end = _period(provision.get("period"), zone)
        if faults(consent, base):
            # A permit that is not understood opens nothing; a refusal that is not understood is one.
            blocks += [Block(EVERYBODY, start, end)] if _denies_somewhere(provision) else []
            continue
        sections = frozenset(str(one["code"]) for one in provision.get("class", ()))
        actors = _actors(provision, base)
        what = str(kind(consent))
        match what:
            case "access" if denies:
                blocked = dict.fromkeys(one for actor in actors for one in (actor, known.get(actor)) if one)
                blocks += [Block(actor, start, end) for actor in blocked]
            case "access" | "administrator":
                how = collection(consent)
                by = _declared_by(consent, base) if how else None
                permits += [
                    Permit(actor, sections or None, start, end, what == "administrator", by, how) for actor in actors
                ]
            case "caregiver":
                caregivers += [Member(actor, None, start, end) for actor in actors]
            case "BTG" | "ETREAT" | "MASKED":
                emergencies.append(InEmergency(what, not denies, sections, start, end))
            case "new-documents":
                masked = masked or denies
            case "space":
                closed = closed or denies
    return Choices(
        patient=id,
        space=_space(patient, closed=closed),
        permits=tuple(permits),
        blocks=tuple(blocks),
        emergencies=tuple(emergencies),
        care_team=tuple(member for team in care_teams for member in _members(team, base, zone)),
        caregivers=tuple(caregivers),
        former=tuple(member for one in related for member in _not_in_force(one, zone)),
        treating_doctor=_treating_doctor(patient, base),
        masked_by_default=masked,
        birth_date=(patient or {}).get("birthDate"),
    )


def _denies_somewhere(provision: Mapping[str, Any]) -> bool:
    return provision.get("type") == "deny" or any(map(_denies_somewhere, provision.get("provision", ())))


def _space(patient: Mapping[str, Any] | None, *, closed: bool) -> Space:
    """The state of the space: as the Patient says; a holder's refusal closes one that it says is open."""
    for extension in (patient or {}).get("extension", ()):
        if extension.get("url") == SPACE_STATUS:
            said = _extension(extension, "status", "valueCode")
            if said in ("opposed", "closed"):
                return "opposed" if said == "opposed" else "closed"
            if said in OPEN_SPACES and not closed:
                return "open" if said == "open" else "not-activated"
    return "closed" if closed else "open"


def _members(team: Mapping[str, Any], base: str, zone: tzinfo) -> list[Member]:
    """Who is in a care team that is at work, of those who may be permitted to read."""
    if team.get("status", "active") != "active":
        return []
    start, end = _period(team.get("period"), zone)
    found = []
    for participant in team.get("participant", ()):
        reference = relative(participant.get("member", {}).get("reference", ""), base)
        if reference.partition("/")[0] in _BLOCKED:
            since, until = _period(participant.get("period"), zone)
            since = max((one for one in (start, since) if one), default=None)
            until = min((one for one in (end, until) if one), default=None)
            found.append(Member(reference, f"CareTeam/{team['id']}", since, until))
    return found


def _not_in_force(related: Mapping[str, Any], zone: tzinfo) -> list[Member]:
    """When a RelatedPerson is none: if it is not active, always.  R4: relatedperson.html RelatedPerson.active"""
    reference = f"RelatedPerson/{related['id']}"
    if related.get("active") is False:
        return [Member(reference)]
    start, end = _period(related.get("period"), zone)
    before = [Member(reference, end=start)] if start else []
    return before + ([Member(reference, start=end)] if end else [])


def _treating_doctor(patient: Mapping[str, Any] | None, base: str) -> str | None:
    """The *médecin traitant*: as the insurer's feed says it of the Patient."""
    for one in (patient or {}).get("generalPractitioner", ()):
        reference = relative(one.get("reference", ""), base)
        if reference.partition("/")[0] in _BLOCKED:
            return reference
    return None


def _declared_by(consent: Mapping[str, Any], base: str) -> str | None:
    for performer in consent.get("performer", ()):
        reference = relative(performer.get("reference", ""), base)
        if reference.partition("/")[0] in _BLOCKED:
            return reference
    return None


def _actors(provision: Mapping[str, Any], base: str) -> list[str]:
    """Whom the provision names, `Type/id`; what cannot be read so is an empty text."""
    return [relative(one.get("reference", {}).get("reference", ""), base) for one in provision.get("actor", ())]


def _period(period: Mapping[str, Any] | None, zone: tzinfo) -> tuple[datetime | None, datetime | None]:
    """From when and until when, the end included as FHIR has it.  R4: datatypes.html#Period"""
    if not period:
        return None, None
    start, end = period.get("start"), period.get("end")
    return (dates.parse(start, zone).low if start else None), (dates.parse(end, zone).high if end else None)


def _codings(concept: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    return (concept or {}).get("coding", [])


def _extension(element: Mapping[str, Any], url: str, value: str) -> str | None:
    for extension in element.get("extension", ()):
        if extension.get("url") == url:
            found = extension.get(value)
            return found if isinstance(found, str) else None
    return None
