"""Patient/[id]/$access-history: who has opened a record, told so that its patient can judge whether it was right.

The AuditEvents that the caller may read (A17), folded: a line for a day, a person or a software, a capacity, a mode and
an app.  Emergencies come first, with the reason that was typed; what no person asked is marked as automatic; the
caller's own accesses are left out unless they are asked for; refused attempts are told.
CSP R1111-43
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from fhir_server.access import Actor
from fhir_server.access import scopes as smart_scopes
from fhir_server.access.explain import in_section
from fhir_server.access.sections import sections_of
from fhir_server.fhir import json
from fhir_server.fhir.http import FhirRequest, FhirResponse
from fhir_server.fhir.outcome import BadRequest, Forbidden, NotFound
from fhir_server.fhir.types import TYPES
from fhir_server.operations.explain_access import MODES, name_of
from fhir_server.operations.parameters import given, parameters
from fhir_server.operations.words import language_of, words
from fhir_server.repository import Repository
from fhir_server.search.expression import Expression, InRecord, Match, all_of, none_of
from fhir_server.search.query import Order
from fhir_server.search.types.id import IdTest

TAKES = {
    "from": "date",
    "to": "date",
    "actor": "uri",
    "mode": "code",
    "own": "boolean",
    "_count": "integer",
    "before": "date",
}
#: So many lines a page has at least where none is asked for, and so many at most are asked for.
LINES, MOST_LINES = 50, 1000
#: So many AuditEvents are read at a time, and so many ids asked for at once.
EVENTS = 500
#: So many days with an emergency access are told on top.
MOST_EMERGENCIES = 50
_MODES = {"BTG": "bris_de_glace", "ETREAT": "centre_15"}
_CAPACITIES = {"PAT": "self", "GUARD": "legal-representative", "CAREGIVER": "caregiver"}
#: What people do about the access of apps, rather than in the record.
_OF_ACCOUNTS = ("grant", "refusal", "withdrawal", "login", "logout")
_EMERGENCY_EVENTS = (
    "http://dicom.nema.org/resources/ontology/DCM|110127,http://dicom.nema.org/resources/ontology/DCM|110138"
)
_NOBODY = "nobody who is known"
_DIRECTORY = Actor(
    "operator",
    "fhir-server",
    smart_scopes.parse("system/Practitioner.rs system/PractitionerRole.rs system/Organization.rs"),
)


@dataclass(frozen=True)
class Asked:
    """Which accesses: from and to which day, whose, in which mode; before: the page that ends before this day."""

    start: date | None = None
    end: date | None = None
    actor: str | None = None
    mode: str | None = None
    own: bool = False
    count: int = LINES
    before: date | None = None


@dataclass(frozen=True)
class Who:
    """What makes two accesses of one day stand in one line."""

    reference: str | None
    name: str
    capacity: str
    mode: str
    reason: str | None
    app: str | None
    role: str | None
    organization: str | None
    refused: bool

    @property
    def automatic(self) -> bool:
        """Whether no person asked."""
        return self.capacity in ("software", "system")


@dataclass
class Line:
    """The accesses of one day, by who and how.  touched: the resources, by type."""

    day: date
    who: Who
    id: str
    first: datetime
    last: datetime
    count: int = 0
    written: int = 0
    touched: dict[str, set[str]] = field(default_factory=dict)
    sections: tuple[str, ...] = ()
    name: str = ""
    profession: str | None = None
    organization: str | None = None


@dataclass(frozen=True)
class Page:
    """Some days, the latest first; emergencies: of the whole period.  following: `before` of the next page."""

    emergencies: tuple[Line, ...]
    lines: tuple[Line, ...]
    following: date | None


def access_history(request: FhirRequest, repository: Repository, type: str, id: str) -> FhirResponse:
    """200 and Parameters.  Raises NotFound, Forbidden, BadRequest."""
    sent = given(request, TAKES)
    mode = sent.text("mode")
    if mode is not None and mode not in MODES:
        raise BadRequest(f"`mode={mode}`: expected one of {', '.join(MODES)}.")
    count = sent.number("_count")
    asked = Asked(
        start=_day("from", sent.text("from")),
        end=_day("to", sent.text("to")),
        actor=sent.text("actor"),
        mode=mode,
        own=bool(sent.flag("own")),
        count=LINES if count is None else max(1, min(count, MOST_LINES)),
        before=_day("before", sent.text("before")),
    )
    return FhirResponse.of(200, _parameters(history(repository, id, asked), request))


def history(repository: Repository, patient: str, asked: Asked) -> Page:
    """The accesses to Patient/`patient` that the actor may be told of.  Raises NotFound, Forbidden."""
    actor = repository.actor
    if actor.kind in ("patient", "operator"):
        if actor.kind == "patient" and actor.patient != patient:
            raise NotFound(f"Patient/{patient} is not known.")
        repository.open(patient)
    where = _where(repository, patient, asked)
    lines, following = _days(repository, where, asked)
    emergencies = _emergencies(repository, where, asked) if asked.before is None else ()
    on_top = {(line.day, line.who) for line in emergencies}
    lines = [line for line in lines if (line.day, line.who) not in on_top]
    if asked.before is None:  # those of the first page that nothing announced
        emergencies += tuple(line for line in lines if line.who.mode != "normal")
        emergencies = tuple(sorted(emergencies, key=lambda line: line.last, reverse=True))
        lines = [line for line in lines if line.who.mode == "normal"]
    shown = tuple(lines)
    _complete(repository, patient, (*emergencies, *shown))
    return Page(emergencies, shown, following)


def _where(repository: Repository, patient: str, asked: Asked) -> Expression:
    reader = repository.reader()
    found: list[Expression] = [InRecord(patient)]
    if asked.start:
        found.append(reader.term("AuditEvent", "date", f"ge{asked.start.isoformat()}"))
    if asked.end:
        found.append(reader.term("AuditEvent", "date", f"le{asked.end.isoformat()}"))
    if asked.actor:
        found.append(reader.term("AuditEvent", "agent", asked.actor))
    own = repository.actor.reference
    if not asked.own and own:
        found.append(none_of(reader.term("AuditEvent", "agent", own)))
    return all_of(*found)


def _days(repository: Repository, where: Expression, asked: Asked) -> tuple[list[Line], date | None]:
    """The lines of whole days, until there are enough; and the day before which the next page is."""
    if asked.before:
        where = all_of(where, repository.reader().term("AuditEvent", "date", f"lt{asked.before.isoformat()}"))
    found: dict[tuple[date, Who], Line] = {}
    day: date | None = None
    for event in _events(repository, where):
        today = _day_of(event, repository)
        if day is not None and today != day and len(found) >= asked.count:
            return _latest_first(found), day
        _fold(found, event, today, repository, asked)
        day = today
    return _latest_first(found), None


def _emergencies(repository: Repository, where: Expression, asked: Asked) -> tuple[Line, ...]:
    """The emergency accesses of the whole period: the days of those that began or ended, whole."""
    reader = repository.reader()
    began = all_of(where, reader.term("AuditEvent", "subtype", _EMERGENCY_EVENTS))
    days = dict.fromkeys(
        (_day_of(event, repository), event["agent"][0]["who"].get("reference")) for event in _events(repository, began)
    )
    lines: list[Line] = []
    for day, whom in list(days)[:MOST_EMERGENCIES]:
        if not whom:
            continue
        terms = [reader.term("AuditEvent", "date", f"eq{day.isoformat()}"), reader.term("AuditEvent", "agent", whom)]
        found: dict[tuple[date, Who], Line] = {}
        for event in _events(repository, all_of(where, *terms)):
            _fold(found, event, day, repository, asked)
        lines += [line for line in _latest_first(found) if line.who.mode != "normal"]
    return tuple(lines)


def _events(repository: Repository, where: Expression) -> Iterator[dict[str, Any]]:
    """The AuditEvents, the latest first."""
    after = None
    while True:
        found = repository.search(
            "AuditEvent", where, limit=EVENTS, order=(Order("date", descending=True),), after=after, served=False
        )
        for stored in found:
            yield json.parse(stored.body or b"")
        if len(found) < EVENTS:
            return
        after = found[-1].place


def _fold(
    found: dict[tuple[date, Who], Line], event: dict[str, Any], day: date, repository: Repository, asked: Asked
) -> None:
    who = _who(event)
    if asked.mode and who.mode != asked.mode:
        return
    if not asked.own and who.capacity == "account" and who.name == repository.actor.name:
        return
    at = datetime.fromisoformat(event["recorded"])
    line = found.setdefault((day, who), Line(day, who, event["id"], at, at))
    line.id, line.first, line.last = event["id"], min(line.first, at), max(line.last, at)
    line.count += 1
    line.written += event["action"] in ("C", "U", "D") and not who.refused
    for entity in event.get("entity", ()):
        type, _, rest = entity.get("what", {}).get("reference", "").partition("/")
        if type in TYPES and "/_history/" in rest:
            line.touched.setdefault(type, set()).add(rest.partition("/")[0])


def _who(event: Mapping[str, Any]) -> Who:
    agents = event["agent"]
    who, user = agents[0]["who"], agents[0]
    others = [agent["who"] for agent in agents[1:]]
    references = [one.get("reference", "") for one in others]
    software = next((one for one in others if "reference" not in one), None)
    purpose: dict[str, Any] = next(iter(event.get("purposeOfEvent", ())), {})
    code = next((coding["code"] for coding in purpose.get("coding", ())), None)
    return Who(
        reference=who.get("reference"),
        name=who.get("display", ""),
        capacity=_capacity(event, user, software),
        mode=_MODES.get(str(code), "normal"),
        reason=purpose.get("text"),
        app=(software or {}).get("display") or (software or {}).get("identifier", {}).get("value"),
        role=next((one for one in references if one.startswith("PractitionerRole/")), None),
        organization=next((one for one in references if one.startswith("Organization/")), None),
        refused=event["outcome"] != "0",
    )


def _capacity(event: Mapping[str, Any], user: Mapping[str, Any], software: Mapping[str, Any] | None) -> str:
    codes = [coding.get("code") for role in user.get("role", ()) for coding in role.get("coding", ())]
    reference = user["who"].get("reference", "")
    said = next((_CAPACITIES[code] for code in codes if code in _CAPACITIES), None)
    if said or reference.startswith("Patient/"):
        return said or "self"
    if reference.startswith("Practitioner/"):
        return "professional"
    if user["who"].get("display") == _NOBODY:
        return "unknown"
    if any(coding.get("code") in _OF_ACCOUNTS for coding in event.get("subtype", ())):
        return "account"
    return "software" if software else "system"


def _latest_first(found: Mapping[tuple[date, Who], Line]) -> list[Line]:
    return sorted(found.values(), key=lambda line: (line.day, line.last), reverse=True)


def _day_of(event: Mapping[str, Any], repository: Repository) -> date:
    return datetime.fromisoformat(event["recorded"]).astimezone(repository.zone).date()


def _complete(repository: Repository, patient: str, lines: Iterable[Line]) -> None:
    """Say of each line which sections it is about, and who and where the professional is."""
    lines = tuple(lines)
    stands = _stands_in(repository, patient, lines)
    named = _names(repository, lines)
    for line in lines:
        codes = {code for type, ids in line.touched.items() for id in ids for code in stands[type, id]}
        line.sections = tuple(sorted(codes))
        line.name = line.who.name
        if line.who.reference in named:
            line.name = name_of(named[line.who.reference]) or line.name
        line.profession = profession_of(named.get(line.who.role or "")) or profession_of(
            named.get(line.who.reference or "")
        )
        line.organization = named.get(line.who.organization or "", {}).get("name")


def _stands_in(repository: Repository, patient: str, lines: Iterable[Line]) -> dict[tuple[str, str], tuple[str, ...]]:
    """The sections of each resource: by its type where that is enough, else by what the caller sees of it."""
    ids: dict[str, set[str]] = {}
    for line in lines:
        for type, touched in line.touched.items():
            ids.setdefault(type, set()).update(touched)
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    for type, wanted in ids.items():
        sections = sections_of(type)
        # What is not seen any more, or not yet, is told by its type alone.
        found |= {(type, id): tuple(section.code for section in sections[:1]) for id in wanted}
        if len(sections) < 2:  # noqa: PLR2004 - several
            continue
        case = repository.case(type, patient)
        for section in sections:
            for chunk in _chunks(sorted(wanted)):
                where = all_of(InRecord(patient), Match("_id", IdTest(frozenset(chunk))), in_section(case, section))
                try:
                    there = repository.search(type, where, limit=len(chunk), served=False)
                except Forbidden:
                    break
                found |= {(type, stored.id): (section.code,) for stored in there}
    return found


def _names(repository: Repository, lines: Iterable[Line]) -> dict[str, dict[str, Any]]:
    """What the directory says of the professionals, roles and structures of the lines."""
    wanted: dict[str, set[str]] = {}
    for line in lines:
        for reference in (line.who.reference, line.who.role, line.who.organization):
            type, _, id = (reference or "").partition("/")
            if type in ("Practitioner", "PractitionerRole", "Organization"):
                wanted.setdefault(type, set()).add(id)
    directory = repository.imagined(_DIRECTORY)
    return {
        stored.reference: json.parse(stored.body or b"")
        for type, ids in wanted.items()
        for chunk in _chunks(sorted(ids))
        for stored in directory.fetch(type, chunk)
    }


def profession_of(entry: Mapping[str, Any] | None) -> str | None:
    """The profession that a PractitionerRole, or a Practitioner, has: the specialty, where one is said."""
    if entry is None:
        return None
    concepts = [*entry.get("specialty", ()), *entry.get("code", ())]
    concepts += [one["code"] for one in entry.get("qualification", ())]
    for concept in concepts:
        for coding in concept.get("coding", ()):
            if "display" in coding:
                return str(coding["display"])
    return None


def _chunks(ids: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(ids), EVENTS):
        yield ids[start : start + EVENTS]


def _day(name: str, text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise BadRequest(f"`{name}={text}`: expected a day, `2026-03-01`.") from None


def purpose(line: Line, language: str) -> str:
    """What the accesses were for, in words."""
    said = words(language)["purposes"]
    return str(said[line.who.mode if line.who.mode != "normal" else line.who.capacity])


def _parameters(page: Page, request: FhirRequest) -> dict[str, Any]:
    language = language_of(request.headers.get("accept-language", ""))

    def told(line: Line) -> list[tuple[str, str, Any]]:
        who = {"reference": line.who.reference} if line.who.reference else {}
        return [
            ("id", "string", line.id),
            ("date", "date", line.day.isoformat()),
            ("first", "instant", _instant(line.first)),
            ("last", "instant", _instant(line.last)),
            ("who", "Reference", {**who, "display": line.name}),
            ("profession", "string", line.profession),
            ("organization", "string", line.organization),
            ("capacity", "code", line.who.capacity),
            ("mode", "code", line.who.mode),
            ("reason", "string", line.who.reason),
            ("purpose", "string", purpose(line, language)),
            ("app", "string", line.who.app),
            *(("section", "code", code) for code in line.sections),
            ("count", "unsignedInt", line.count),
            ("written", "unsignedInt", line.written or None),
            ("refused", "boolean", line.who.refused),
            ("automatic", "boolean", line.who.automatic),
        ]

    return parameters(
        ("next", "date", page.following.isoformat() if page.following else None),
        parts={
            "emergency": [told(line) for line in page.emergencies],
            "line": [told(line) for line in page.lines],
        },
    )


def _instant(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")
