"""The pages `/privacy`: who may see a record, what they would see and why, and who has opened it.

They write the Consents that a portal writes, through the repository, as the person who is signed in.  Whose record it
is stands on top of each; a caregiver sees who has opened it, and decides nothing.
docs/access.md; CSP R1111-43, R1111-46; OWASP ASVS 5.0: 3.5.1
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, request
from werkzeug.wrappers import Response as AnyResponse

from fhir_server.access import Actor, consents, written
from fhir_server.access import scopes as smart_scopes
from fhir_server.access.actor import Mode
from fhir_server.access.choices import ALLOWED_UNSAID, Emergency
from fhir_server.access.sections import EMERGENCY, ORDINARY, SECTIONS
from fhir_server.accounts.account import Profile
from fhir_server.accounts.reports import Reports
from fhir_server.audit import Trail
from fhir_server.fhir import json
from fhir_server.fhir.dates import instant
from fhir_server.fhir.outcome import FhirError
from fhir_server.operations import access_history, explain_access
from fhir_server.operations.access_history import Line
from fhir_server.operations.explain_access import MODES, name_of
from fhir_server.operations.words import day as last_day
from fhir_server.operations.words import say
from fhir_server.repository import Repository, Surroundings
from fhir_server.search.expression import InRecord, all_of
from fhir_server.smart.sessions import Cookie, Session, Sessions
from fhir_server.web import forms
from fhir_server.web.moments import day as in_figures
from fhir_server.web.pages import language, page, strict
from fhir_server.web.sign_in import SIGN_IN, go, stale
from fhir_server.web.words import words

PRIVACY, EXPLAIN, HISTORY = "/privacy", "/privacy/explain", "/privacy/history"
SCOPES = "patient/*.cruds"
#: How long a permit may last, in days.
LASTING = {"month": 31, "year": 365, "none": None}
#: So many professionals and structures a search shows.
MOST_FOUND = 20
MOST_STATEMENTS = 500
#: The professions that one asks about without naming anybody.  TRE_G15
PROFESSIONS = ("10", "60", "21", "40", "70")
_REFERENCE = re.compile(r"(Practitioner|PractitionerRole|Organization|CareTeam)/[A-Za-z0-9.-]{1,64}")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_DIRECTORY = Actor(
    "operator",
    "fhir-server",
    smart_scopes.parse("system/Practitioner.rs system/PractitionerRole.rs system/Organization.rs"),
)


@dataclass(frozen=True)
class Privacy:
    """What the pages need.  profiles: the records that an account opens."""

    around: Surroundings
    sessions: Sessions
    profiles: Callable[[str | None], Iterable[Profile]]
    reports: Reports
    base_url: str


@dataclass(frozen=True)
class Visit:
    """Who is here, in whose record, and the door to it."""

    session: Session
    profile: Profile
    others: tuple[Profile, ...]
    repository: Repository

    @property
    def decides(self) -> bool:
        """Whether this person decides who sees the record."""
        return self.profile.relation != "caregiver"


class _Elsewhere(Exception):
    """There is another page to go to first."""

    def __init__(self, answer: AnyResponse):
        super().__init__()
        self.answer = answer


def blueprint(privacy: Privacy) -> Blueprint:
    """The pages, to be registered at `/`."""
    pages = strict(Blueprint("privacy", __name__))
    steps = _Pages(privacy)
    pages.get(PRIVACY)(steps.show)
    pages.post(PRIVACY)(steps.change)
    pages.get(EXPLAIN)(steps.explain)
    pages.get(HISTORY)(steps.history)
    pages.post(HISTORY)(steps.report)
    pages.get(f"{HISTORY}.csv")(steps.export)

    @pages.errorhandler(_Elsewhere)
    def elsewhere(error: _Elsewhere) -> AnyResponse:
        return error.answer

    return pages


class _Pages:
    def __init__(self, privacy: Privacy):
        self._at = privacy
        self._cookie = Cookie.of(privacy.base_url)

    # --- who may see

    def show(self) -> AnyResponse:
        """Who is allowed and who is blocked, the choices for emergencies, and what new documents are."""
        visit = self._decider("operation-privacy")
        found = _statements(visit)
        known = _named(visit.repository, [actor for one in found for actor in one["actors"]])
        asked = request.args.get("q", "").strip()[:100]
        return self._page(
            visit,
            "privacy",
            allowed=[
                _card(one, known) for one in found if one["kind"] in ("access", "administrator") and one["permits"]
            ],
            blocked=[_card(one, known) for one in found if one["kind"] == "access" and not one["permits"]],
            emergencies=[(kind, _allows(found, kind)) for kind in ("BTG", "ETREAT", "MASKED")],
            masked_by_default=any(one["kind"] == "new-documents" and not one["permits"] for one in found),
            sections=[section.code for section in SECTIONS if section.code not in ("IDENTITE", "CONFIDENTIALITE")],
            ordinary=ORDINARY,
            in_emergency=[section.code for section in SECTIONS if section.code in EMERGENCY],
            asked=asked,
            found=_search(visit.repository, asked) if len(asked) > 1 else None,
            done=request.args.get("done"),
            wrong=request.args.get("wrong"),
        )

    def change(self) -> AnyResponse:
        """One choice is made or taken back, and is in force at the next request."""
        visit = self._decider("transaction")
        self._refuse_others_forms(visit, PRIVACY)
        what, again = forms.text(request, "do"), f"{PRIVACY}?patient={visit.profile.patient}"
        changes: dict[str, Callable[[Visit], bool]] = {
            "allow": _allow,
            "block": _block,
            "end": _end,
            "emergency": _emergency,
            "documents": _documents,
        }
        try:
            done = what in changes and changes[what](visit)
        except FhirError as error:
            visit.repository.record(error)
            done = False
        if done:
            visit.repository.record()
        return go(f"{request.script_root}{again}&{f'done={what}' if done else 'wrong=1'}")

    # --- what they would see

    def explain(self) -> AnyResponse:
        """What a professional would see, by section, and by which rule."""
        visit = self._decider("operation-explain-access")
        spoken, zone = language(), visit.repository.zone
        known = _named(
            visit.repository,
            [actor for one in _statements(visit) for actor in one["actors"] if not actor.startswith("CareTeam/")],
        )
        whom = request.args.get("whom", "")
        mode: Mode = next((one for one in MODES if one == request.args.get("mode")), "normal")
        if whom not in known and whom not in PROFESSIONS:
            whom = next(iter(known), PROFESSIONS[0])
        found = explain_access.explained(visit.repository, visit.profile.patient, _eyes(whom, mode))
        visit.repository.record()
        return self._page(
            visit,
            "privacy-explain",
            whom=whom,
            mode=mode,
            modes=MODES,
            professions=PROFESSIONS,
            known=known,
            about=[(one.rule, say(one, spoken, zone)) for one in found.about],
            sections=[
                {
                    "code": one.code,
                    "access": one.access,
                    "there": one.there,
                    "seen": one.seen,
                    "reasons": [(why.rule, say(why, spoken, zone), None) for why in one.reasons]
                    + [(why.rule, say(why, spoken, zone), count) for why, count in one.hidden],
                }
                for one in found.sections
            ],
        )

    # --- who has seen

    def history(self) -> AnyResponse:
        """Who has opened the record; emergencies on top."""
        visit = self._visit("operation-access-history")
        found = access_history.history(visit.repository, visit.profile.patient, _asked())
        visit.repository.record()
        reported = self._at.reports.of(
            visit.session.subject.sub if visit.session.subject else "", visit.profile.patient
        )
        kept = {name: request.args[name] for name in ("from", "to", "mode", "own") if request.args.get(name)}
        kept["patient"] = visit.profile.patient
        people = [line for line in found.lines if not line.who.automatic]
        return self._page(
            visit,
            "privacy-history",
            emergencies=[_told(line, visit) for line in found.emergencies],
            days=_by_day([_told(line, visit) for line in people]),
            automatic=[_told(line, visit) for line in found.lines if line.who.automatic],
            reported=reported,
            following=urlencode({**kept, "before": found.following.isoformat()}) if found.following else None,
            export=urlencode(kept),
            asked=request.args,
            modes=MODES,
            done=request.args.get("done"),
        )

    def report(self) -> AnyResponse:
        """An access that is not recognised is kept, and the operator told."""
        visit = self._visit("operation-access-history")
        self._refuse_others_forms(visit, HISTORY)
        event = forms.text(request, "event")
        found = visit.repository.search(
            "AuditEvent",
            all_of(
                InRecord(visit.profile.patient), visit.repository.reader().term("AuditEvent", "_id", event or "none")
            ),
            limit=1,
        )
        visit.repository.record()
        if found and visit.session.subject:
            self._at.reports.put(
                event=found[0].id,
                day=found[0].updated.astimezone(visit.repository.zone).date().isoformat(),
                patient=visit.profile.patient,
                sub=visit.session.subject.sub,
                text=forms.text(request, "text", longest=2000),
            )
        return go(
            f"{request.script_root}{HISTORY}?patient={visit.profile.patient}&done={'reported' if found else 'unknown'}"
        )

    def export(self) -> AnyResponse:
        """The history as a table for a spreadsheet."""
        visit = self._visit("operation-access-history")
        said = words(language())["privacy-history"]
        text = io.StringIO()
        table = csv.writer(text)
        table.writerow(said["columns"])
        before: date | None = None
        while True:
            found = access_history.history(visit.repository, visit.profile.patient, _asked(before, count=1000))
            for line in (*found.emergencies, *found.lines):
                table.writerow([harmless(value) for value in _row(_told(line, visit), said)])
            before = found.following
            if before is None:
                break
        visit.repository.record()
        response = Response("\ufeff" + text.getvalue(), content_type="text/csv; charset=utf-8")
        response.headers["Content-Disposition"] = 'attachment; filename="historique-des-acces.csv"'
        response.headers["Cache-Control"] = "no-store"
        return response

    # --- who is here

    def _visit(self, interaction: str) -> Visit:
        session = self._at.sessions.find(self._cookie.read(request))
        if session is None or session.subject is None:
            raise _Elsewhere(go(f"{request.script_root}{SIGN_IN}?page=privacy"))
        profiles = tuple(self._at.profiles(session.subject.account)) if session.subject.account else ()
        wanted = request.args.get("patient") or forms.text(request, "patient")
        profile = next(
            (one for one in profiles if one.patient == wanted), None if wanted else next(iter(profiles), None)
        )
        if profile is None:
            raise _Elsewhere(page("privacy-none", status=403, person=session.subject.name))
        actor = Actor(
            kind="patient",
            name=session.subject.name,
            scopes=smart_scopes.parse(SCOPES),
            patient=profile.patient,
            person=profile.resource,
            relation=profile.relation,
        )
        trail = Trail(interaction, request.method, request.path, "", request.remote_addr)
        others = tuple(one for one in profiles if one != profile)
        return Visit(session, profile, others, Repository(self._at.around, actor, trail))

    def _decider(self, interaction: str) -> Visit:
        visit = self._visit(interaction)
        if not visit.decides:
            raise _Elsewhere(self._page(visit, "privacy-not-yours", status=403))
        return visit

    def _refuse_others_forms(self, visit: Visit, purpose: str) -> None:
        at, whose = self._at, f"{purpose} {visit.profile.patient}"
        if not forms.sent_by(request, at.sessions, visit.session, purpose=whose, base_url=at.base_url):
            raise _Elsewhere(stale(f"{request.script_root}{purpose}?patient={visit.profile.patient}"))

    def _page(self, visit: Visit, name: str, *, status: int = 200, **values: Any) -> Response:
        purpose = HISTORY if name == "privacy-history" else PRIVACY
        return page(
            name,
            status=status,
            person=visit.session.subject.name if visit.session.subject else "",
            profile=visit.profile,
            others=visit.others,
            decides=visit.decides,
            token=self._at.sessions.form_token(visit.session, f"{purpose} {visit.profile.patient}"),
            **values,
        )


def harmless(value: str) -> str:
    """
    The value as no spreadsheet takes it for a formula.  OWASP: CSV Injection

    >>> harmless("=1+1"), harmless("Anne")
    ("'=1+1", 'Anne')
    """
    return f"'{value}" if value.startswith(_FORMULA) else value


# --- choices


def _statements(visit: Visit) -> list[dict[str, Any]]:
    """The active Consents about privacy, as the pages use them, the latest first."""
    repository, patient = visit.repository, visit.profile.patient
    where = all_of(InRecord(patient), repository.reader().term("Consent", "status", "active"))
    now, spoken = repository.now(), language()
    found = []
    for stored in repository.search("Consent", where, limit=MOST_STATEMENTS):
        consent = json.parse(stored.body or b"")
        if not consents.is_choice(consent) or consents.is_app(consent) or consents.faults(consent, repository.base):
            continue
        start, end = consents.period(consent, repository.zone)
        if end is not None and end <= now:
            continue
        provision = consent["provision"]
        found.append(
            {
                "id": stored.id,
                "kind": consents.kind(consent),
                "permits": provision["type"] == "permit",
                "actors": consents.named(consent, repository.base),
                "sections": [one["code"] for one in provision.get("class", ())],
                "since": in_figures(start.astimezone(repository.zone), spoken) if start else None,
                "until": last_day(end, spoken, repository.zone) if end else None,
                "declared": consents.collection(consent),
                "by": next((one.get("display") for one in consent.get("performer", ())), None),
                "updated": stored.updated,
            }
        )
    return sorted(found, key=lambda one: one["updated"], reverse=True)


def _allows(found: list[dict[str, Any]], kind: Emergency) -> bool:
    said = [one["permits"] for one in found if one["kind"] == kind]
    return all(said) if said else ALLOWED_UNSAID[kind]


def _card(statement: dict[str, Any], known: dict[str, dict[str, Any]]) -> dict[str, Any]:
    who = [known.get(actor, {"name": actor}) for actor in statement["actors"]]
    return {**statement, "who": who, "reference": statement["actors"][0] if statement["actors"] else ""}


def _write(visit: Visit, over: Iterable[str], *made: dict[str, Any]) -> None:
    """End some choices and make others, all at once."""

    def work(inside: Repository) -> None:
        for id in over:
            inside.patch("Consent", id, written.ended)
        for consent in made:
            inside.create("Consent", consent)

    for consent in made:
        visit.repository.check(consent)
    visit.repository.transaction(work)


def _choice(visit: Visit, kind: str, *, permits: bool, **more: Any) -> dict[str, Any]:
    by = visit.profile.resource
    return written.choice(
        visit.profile.patient, kind, permits=permits, by=by, at=instant(visit.repository.now()), **more
    )


def _whom(visit: Visit) -> str | None:
    """Whom the form names, if the directory knows them."""
    said = forms.text(request, "whom")
    return said if _REFERENCE.fullmatch(said) and said in _named(visit.repository, [said]) else None


def _allow(visit: Visit) -> bool:
    whom, lasting = _whom(visit), forms.text(request, "lasting") or "year"
    if whom is None or lasting not in LASTING:
        return False
    known = {section.code for section in SECTIONS}
    sections = frozenset(request.form.getlist("section")) & known
    if not sections:
        return False
    days = LASTING[lasting]
    end = visit.repository.now().astimezone(visit.repository.zone).date() + timedelta(days=days) if days else None
    # All that a permit opens by itself is what a permit without sections says, tomorrow's sections included.
    named = () if sections == ORDINARY - {"IDENTITE"} else sections | {"IDENTITE"}
    made = [_choice(visit, "access", permits=True, to=whom, sections=named, end=end)]
    if "administrator" in request.form:
        made.append(_choice(visit, "administrator", permits=True, to=whom, end=end))
    _write(visit, _of(visit, whom), *made)
    return True


def _block(visit: Visit) -> bool:
    whom = _whom(visit)
    if whom is None:
        return False
    _write(visit, _of(visit, whom), _choice(visit, "access", permits=False, to=whom))
    return True


def _of(visit: Visit, whom: str) -> list[str]:
    """The choices that name this one alone: what is said now takes their place."""
    kinds = ("access", "administrator")
    return [one["id"] for one in _statements(visit) if one["actors"] == [whom] and one["kind"] in kinds]


def _end(visit: Visit) -> bool:
    wanted = forms.text(request, "consent")
    if wanted not in {one["id"] for one in _statements(visit)}:
        return False
    _write(visit, [wanted])
    return True


def _emergency(visit: Visit) -> bool:
    found = _statements(visit)
    over: list[str] = []
    made: list[dict[str, Any]] = []
    kinds: tuple[Emergency, ...] = ("BTG", "ETREAT", "MASKED")
    for kind in kinds:
        allowed = kind in request.form.getlist("allowed")
        if allowed == _allows(found, kind):
            continue
        before = [one for one in found if one["kind"] == kind]
        over += [one["id"] for one in before]
        sections = {code for one in before for code in one["sections"]} if allowed else set()
        made.append(_choice(visit, kind, permits=allowed, sections=sections))
    if over or made:
        _write(visit, over, *made)
    return True


def _documents(visit: Visit) -> bool:
    said = [one["id"] for one in _statements(visit) if one["kind"] == "new-documents"]
    masked = forms.text(request, "visibility") == "masked"
    _write(visit, said, *([_choice(visit, "new-documents", permits=False)] if masked else []))
    return True


# --- the directory


def _named(repository: Repository, references: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Name, profession and place of those of these that the directory knows."""
    directory = repository.imagined(_DIRECTORY)
    entries: dict[str, dict[str, Any]] = {}
    wanted = list(dict.fromkeys(references))
    for type in ("PractitionerRole", "Practitioner", "Organization"):
        ids = [one.partition("/")[2] for one in wanted if one.startswith(f"{type}/")]
        for stored in directory.fetch(type, ids):
            entries[stored.reference] = entry = json.parse(stored.body or b"")
            wanted += [
                str(entry[name]["reference"])
                for name in ("practitioner", "organization")
                if type != "Organization" and entry.get(name, {}).get("reference")
            ]
    found = {one: _entry(entries, one) for one in dict.fromkeys(references) if one in entries}
    teams = [one for one in references if one.startswith("CareTeam/")]
    return found | {one: {"name": "", "team": True} for one in teams}


def _entry(entries: dict[str, dict[str, Any]], reference: str) -> dict[str, Any]:
    entry = entries[reference]
    if reference.startswith("Organization/"):
        return {"name": entry.get("name", reference), "structure": True}
    person = entries.get(entry.get("practitioner", {}).get("reference", ""), entry)
    place = entries.get(entry.get("organization", {}).get("reference", ""), {})
    return {
        "name": name_of(person) or entry.get("practitioner", {}).get("display") or reference,
        "profession": access_history.profession_of(entry),
        "place": place.get("name") or entry.get("organization", {}).get("display"),
    }


def _search(repository: Repository, text: str) -> list[tuple[str, dict[str, Any]]]:
    """Professionals, in their roles, and structures of this name."""
    directory = repository.imagined(_DIRECTORY)
    reader = repository.reader()
    found: list[str] = []
    people = reader.expression("Practitioner", tuple(("name", word) for word in _values(text)))
    for stored in directory.search("Practitioner", people, limit=MOST_FOUND):
        where = reader.term("PractitionerRole", "practitioner", stored.reference)
        roles = [role.reference for role in directory.search("PractitionerRole", where, limit=5)]
        found += roles or [stored.reference]
    places = reader.expression("Organization", tuple(("name:contains", word) for word in _values(text)))
    found += [stored.reference for stored in directory.search("Organization", places, limit=MOST_FOUND)]
    known = _named(repository, found)
    return [(one, known[one]) for one in found if one in known]


def _values(text: str) -> list[str]:
    return [re.sub(r"([\\,$|])", r"\\\1", word) for word in text.split()[:5]]


# --- history


def _eyes(whom: str, mode: Mode) -> explain_access.Asked:
    if whom in PROFESSIONS:
        return explain_access.Asked(profession=whom, mode=mode)
    if whom.startswith("Organization/"):
        return explain_access.Asked(organization=whom, mode=mode)
    return explain_access.Asked(practitioner=whom, mode=mode)


def _asked(before: date | None = None, *, count: int = access_history.LINES) -> access_history.Asked:
    """What the address asks; what cannot be read is not asked."""
    mode = request.args.get("mode")
    return access_history.Asked(
        start=_date("from"),
        end=_date("to"),
        mode=mode if mode in MODES else None,
        own=request.args.get("own") == "true",
        count=count,
        before=before or _date("before"),
    )


def _date(name: str) -> date | None:
    try:
        return date.fromisoformat(request.args.get(name, ""))
    except ValueError:
        return None


def _told(line: Line, visit: Visit) -> dict[str, Any]:
    spoken, zone = language(), visit.repository.zone
    return {
        "id": line.id,
        "day": in_figures(line.day, spoken),
        "date": line.day.isoformat(),
        "from": line.first.astimezone(zone).strftime("%H:%M"),
        "to": line.last.astimezone(zone).strftime("%H:%M"),
        "name": line.name,
        "profession": line.profession,
        "place": line.organization,
        "capacity": line.who.capacity,
        "mode": line.who.mode,
        "reason": line.who.reason,
        "purpose": access_history.purpose(line, spoken),
        "app": line.who.app,
        "sections": [words(spoken)["sections"][code]["label"] for code in line.sections],
        "count": line.count,
        "written": line.written,
        "refused": line.who.refused,
    }


def _by_day(told: list[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    days: dict[str, list[dict[str, Any]]] = {}
    for line in told:
        days.setdefault(line["day"], []).append(line)
    return list(days.items())


def _row(line: dict[str, Any], said: dict[str, Any]) -> list[str]:
    return [
        line["date"],
        line["from"],
        line["to"],
        line["name"],
        line["profession"] or "",
        line["place"] or "",
        said["capacities"][line["capacity"]],
        line["purpose"],
        line["reason"] or "",
        line["app"] or "",
        ", ".join(line["sections"]),
        str(line["count"]),
        said["refused"] if line["refused"] else "",
    ]
