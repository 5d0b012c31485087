"""Small random stores: patients and what each of them said, what stands in their records, and who may come to ask.

Everything is there twice: as resources on a server, which the people themselves deposited there over HTTP, and as the
facts by which `tests/naive/access.py` says who may see them.  One seed, one world.
rule A1 to A18
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from fhir_server import app as application
from tests.build import entry, observation, transaction
from tests.calls import BASE, Caller, Served
from tests.choices import CLASSES, LABELS, OWN, choice
from tests.launches import Clock
from tests.naive.access import DIRECTORY, may_read
from tests.naive.search import Records

SYSTEM = "http://identifiers.example"
SECTION = f"{OWN}/CodeSystem/profile-section"
WORLD = "http://worlds.example"
OBSERVATIONS = "http://terminology.hl7.org/CodeSystem/observation-category"
MASKED, UNANNOUNCED, NOT_FOR_PARENTS = "MASQUE_PS", "INVISIBLE_PATIENT", "INVISIBLE_REPRESENTANTS_LEGAUX"
#: What is in the records; the seven of the mission, and what stands around them.
KEPT = (
    *("Patient", "DocumentReference", "AllergyIntolerance", "Immunization", "Observation", "Appointment"),
    *("Communication", "Binary", "List", "Condition", "Consent", "CareTeam"),
)
TYPES = (*KEPT, *DIRECTORY)
#: (type, class): sections of documents that are no mere DOCUMENTS go by the one or the other.
_PAPERS = (
    *(("11488-4", code, "DOCUMENTS") for code in ("10", "10", "31", "90", None)),
    *(("11488-4", "60", "MHS"), ("11488-4", "95", "PIECES_ADMIN"), ("DOCPAT09", "10", "PIECES_ADMIN")),
    *(("11369-6", "10", "VACCINATIONS"), ("EXPPAT_1", "90", "ENTOURAGE_VOLONTES")),
    *(("EXPPAT_3", "90", "DIRECTIVES_ANTICIPEES"), ("EXPPAT_3", "10", "DIRECTIVES_ANTICIPEES")),
)
_OF_OBSERVATIONS = {"vital-signs": "MESURES", "social-history": "HABITUDES_VIE"}
_OF_TYPES = {
    "Patient": "IDENTITE",
    "AllergyIntolerance": "ALLERGIES",
    "Immunization": "VACCINATIONS",
    "Appointment": "AGENDA",
    "Communication": "MESSAGES",
    "Binary": "DOCUMENTS",
    "CareTeam": "PS",
}
SECTIONS = (
    *("DOCUMENTS", "RESULTATS", "VACCINATIONS", "MALADIES", "HANDICAPS", "ALLERGIES", "HABITUDES_VIE", "MESURES"),
    *("ENTOURAGE_VOLONTES", "PIECES_ADMIN", "DIRECTIVES_ANTICIPEES", "GROUPE_SANGUIN", "MHS", "AGENDA", "MESSAGES"),
    *("IDENTITE", "PS", "CONFIDENTIALITE"),
)
#: When what is old was deposited: so long ago that it has been announced by itself.
LONG_AGO = timedelta(days=40)

Resource = dict[str, Any]
Facts = dict[str, Any]
SHARED = 0.4
_number = itertools.count()


def section(resource: Mapping[str, Any]) -> str:
    """The section of the record that a resource stands in."""
    type = resource["resourceType"]
    if type == "DocumentReference":
        return next(name for of, code, name in _PAPERS if (of, code) == (_code(resource["type"]), class_of(resource)))
    if type == "Observation":
        if _code(resource["code"]) == "882-1":
            return "GROUPE_SANGUIN"
        return _OF_OBSERVATIONS.get(_code(*resource.get("category", ())) or "", "RESULTATS")
    if type == "Condition":
        return "HANDICAPS" if _code(*resource.get("category", ())) == "HANDICAPS" else "MALADIES"
    if type == "List":
        return _code(resource.get("code", {})) or "DOCUMENTS"
    if type == "Consent":
        return "ENTOURAGE_VOLONTES" if _code(*resource["category"]) == "acd" else "CONFIDENTIALITE"
    return _OF_TYPES[type]


def class_of(resource: Mapping[str, Any]) -> str | None:
    """The class of a document."""
    return _code(*resource.get("category", ()))


def _code(*concepts: Mapping[str, Any]) -> str | None:
    found = [coding["code"] for concept in concepts for coding in concept.get("coding", ())]
    return found[0] if found else None


def labels(resource: Mapping[str, Any]) -> tuple[str, ...]:
    """The labels of a resource, wherever it has them."""
    said = [coding["code"] for coding in resource.get("meta", {}).get("security", ())]
    said += [coding["code"] for concept in resource.get("securityLabel", ()) for coding in concept["coding"]]
    return tuple(sorted(set(said)))


def _patients(resource: Mapping[str, Any]) -> tuple[str, ...]:
    """The ids of the patients in whose records the resource is."""
    if resource["resourceType"] == "Patient":
        return (resource["id"],)
    named = [resource.get(name) for name in ("subject", "patient", "securityContext")]
    named += [one["actor"] for one in resource.get("participant", ()) if "actor" in one]
    references = [one["reference"] for one in named if one]
    return tuple(dict.fromkeys(one[8:] for one in references if one.startswith("Patient/")))


def _addressed(resource: Mapping[str, Any]) -> tuple[str, ...]:
    """Whom the resource is addressed to."""
    named = [*resource.get("recipient", ()), *([resource["sender"]] if "sender" in resource else ())]
    if resource["resourceType"] == "Appointment":
        named += [one["actor"] for one in resource["participant"]]
    if resource["resourceType"] == "Consent":
        named += [one["reference"] for one in resource["provision"].get("actor", ())]
    return tuple(one["reference"] for one in named)


@dataclass(frozen=True)
class Asker:
    """Somebody with a token: what it says of them, and the scopes of it."""

    name: str
    kind: str
    scope: str
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def who(self) -> Facts:
        """As the second reading of the rules has them."""
        get = self.facts.get
        if self.kind == "patient":
            refs = [get("person"), f"Patient/{get('patient')}"]
        elif self.kind == "backend":
            refs = [get("organization"), f"Client/{get('client_id')}"]
        else:
            refs = [f"Practitioner/{get('practitioner')}", get("role"), get("organization")]
        return {
            "kind": self.kind,
            "refs": tuple(dict.fromkeys(one for one in refs if one)),
            "patient": get("patient"),
            "mode": get("mode", "normal"),
            "profession": get("profession"),
            "regulator": get("regulator", False),
            "secret": get("secret", False),
            "relation": get("relation", "self"),
        }

    @property
    def scopes(self) -> list[tuple[str, str, str, list[tuple[str, str]]]]:
        """(context, type, letters, constraints) of each scope."""
        found = []
        for word in self.scope.split():
            plain, _, query = word.partition("?")
            context, _, rest = plain.partition("/")
            type, _, letters = rest.partition(".")
            pairs = [pair.split("=", 1) for pair in query.split("&")] if query else []
            found.append((context, type, letters, [(name, value) for name, value in pairs]))
        return found

    def reaches(self, type: str, letter: str) -> bool:
        """Whether a scope is for the type and the letter; for any type, where it is ""."""
        return any(of in ("*", type) and letter in letters for _, of, letters, _ in self.scopes)

    @property
    def even(self) -> bool:
        """Whether whatever the scopes let be read, they let be found, too."""
        return all(letters == "rs" for _, _, letters, _ in self.scopes)


class World:
    """A few patients with a record each, and the professionals around them, on a server."""

    def __init__(self, served: Served, clock: Clock, seed: int):
        self.served = served
        self.random = random.Random(seed)  # noqa: S311 - no secret
        self._clock = clock
        self.prefix = f"w{next(_number)}"
        self.mark = [{"system": WORLD, "code": self.prefix}]
        self.tag = f"_tag={WORLD}|{self.prefix}"
        self._operator = served.caller()
        self.patients = [f"{self.prefix}-p{n}" for n in range(3)]
        self.doctors = [self._doctor(n) for n in range(3)]
        self.backend = {"client_id": f"{self.prefix}-c", "organization": f"Organization/{self.prefix}-o0"}
        self.said: dict[str, Facts] = {patient: _nothing() for patient in self.patients} | {"": _nothing()}
        self._deposited: dict[str, tuple[tuple[str, ...], datetime]] = {}
        self._masked: set[str] = set()
        self._extensions: dict[str, list[Any]] = {}
        self._made = itertools.count()
        self._build()

    # --- what is kept

    def _build(self) -> None:
        pick = self.random
        self._clock.ahead = -LONG_AGO
        self._put("operator", [*self._directory(), *(self._person(patient) for patient in self.patients)])
        self._deposit(8)
        self._clock.ahead = timedelta()
        statements: list[Resource] = []
        for patient in self.patients:
            if pick.random() < 0.2:
                statements.append(self._choice(patient, "new-documents", "deny"))
                self._masked.add(patient)
        self._put("operator", statements)
        self._deposit(18)
        self._put("operator", [one for patient in self.patients for one in self._statements(patient)])
        self._change()

    def _doctor(self, number: int) -> dict[str, Any]:
        """Who a professional is; two of the three are of one structure."""
        return {
            "practitioner": f"{self.prefix}-d{number}",
            "role": f"PractitionerRole/{self.prefix}-r{number}",
            "organization": f"Organization/{self.prefix}-o{number // 2}",
            "profession": self.random.choice(("10", "10", "60", "70", "21", "35")),
        }

    def _directory(self) -> Iterator[Resource]:
        for number in (0, 1):
            yield {"resourceType": "Organization", "id": f"{self.prefix}-o{number}", "name": f"Clinique {number}"}
        for doctor in self.doctors:
            id = doctor["practitioner"]
            yield {"resourceType": "Practitioner", "id": id, "name": [{"family": "Lemoine"}]}
            yield {
                "resourceType": "PractitionerRole",
                "id": doctor["role"].partition("/")[2],
                "practitioner": {"reference": f"Practitioner/{id}"},
                "organization": {"reference": doctor["organization"]},
            }

    def _person(self, patient: str) -> Resource:
        said = self.said[patient]
        gp = {"generalPractitioner": [{"reference": said["treating_doctor"]}]} if said["treating_doctor"] else {}
        if said["space"] != "open":
            status = [{"url": "status", "valueCode": said["space"]}]
            gp["extension"] = [{"url": f"{OWN}/StructureDefinition/space-status", "extension": status}]
        name = ["Durand", "Moreau", "Petit"][self.patients.index(patient)]
        return {"resourceType": "Patient", "id": patient, "name": [{"family": name}], "gender": "female", **gp}

    def depositors(self) -> dict[str, dict[str, Any]]:
        """Who enters something: the actors of their tokens, by name."""
        found: dict[str, dict[str, Any]] = {
            "operator": {"kind": "operator"},
            "backend": {"kind": "backend", **self.backend},
        }
        found |= {f"doctor {n}": {"kind": "professional", **doctor} for n, doctor in enumerate(self.doctors)}
        found |= {f"holder {n}": {"kind": "patient", "patient": id} for n, id in enumerate(self.patients)}
        return found

    def _deposit(self, number: int) -> None:
        """Let everybody enter something."""
        mine: dict[str, list[Resource]] = {}
        for _ in range(number):
            by = self.random.choice(list(self.depositors()))
            patient = self.patients[int(by[-1])] if by.startswith("holder") else self.random.choice(self.patients)
            mine.setdefault(by, []).extend(self._anything(by, patient))
        for by, resources in mine.items():
            self._put(by, resources)

    def _put(self, by: str, resources: list[Resource]) -> None:
        """Have these entered by somebody, and note who it was, and when."""
        if not resources:
            return
        actor = self.depositors()[by]
        context = {"patient": "patient", "professional": "user"}.get(actor["kind"], "system")
        caller = self.served.caller(f"{context}/*.cruds", **actor)
        now = self._clock()
        entries = []
        for one in resources:
            one = {**one, "meta": {**one.get("meta", {}), "tag": self.mark}}
            entries.append(entry("PUT", f"{one['resourceType']}/{one['id']}", one))
            who = Asker(by, actor["kind"], "", actor).who["refs"] if by != "operator" else ()
            self._deposited.setdefault(f"{one['resourceType']}/{one['id']}", (who, now))
        answer = caller("POST", "", transaction(*entries))
        assert answer.status_code == 200, answer.text
        for given in answer.json["entry"]:
            assert given["response"]["status"][:3] in ("200", "201"), given

    def _new_id(self) -> str:
        return f"{self.prefix}-{next(self._made)}"

    def _labelled(self, by: str, type: str) -> dict[str, Any]:
        """What the depositor says of who may see it."""
        may = {"operator": (MASKED, UNANNOUNCED, NOT_FOR_PARENTS), "holder": (MASKED, NOT_FOR_PARENTS)}
        allowed = may.get(by.split()[0], may["operator"])
        said = {label for label in allowed if self.random.random() < 0.22}
        if said >= {MASKED, UNANNOUNCED}:
            said.remove(MASKED)
        codings = [{"system": LABELS, "code": label} for label in sorted(said)]
        if type == "DocumentReference":
            return {"securityLabel": [{"coding": [coding]} for coding in codings]} if codings else {}
        return {"meta": {"security": codings}} if codings else {}

    def _anything(self, by: str, patient: str) -> list[Resource]:
        """A resource of some type, and what it takes to be there."""
        pick = self.random
        type = pick.choice(
            ("DocumentReference",) * 4 + ("Observation",) * 4 + ("AllergyIntolerance", "Immunization") +
            ("Appointment",) * 2 + ("Communication",) * 2 + ("Binary", "List", "List", "Condition")
        )  # fmt: skip
        made = self._of_type(type, self._new_id(), patient, by)
        if by == "operator" and pick.random() < 0.1 and type == "List":
            made[-1].pop("subject")
        return made

    def _of_type(self, type: str, id: str, patient: str, by: str) -> list[Resource]:
        pick = self.random
        subject = {"reference": f"Patient/{patient}"}
        doctor = {"reference": f"Practitioner/{pick.choice(self.doctors)['practitioner']}"}
        common: Resource = {"resourceType": type, "id": id, **self._labelled(by, type)}
        if pick.random() < 0.5:
            common["identifier"] = [{"system": SYSTEM, "value": pick.choice(("one", "two"))}]
        day = f"2024-0{pick.randint(1, 3)}-0{pick.randint(1, 9)}"
        if type == "DocumentReference":
            of, code, _ = pick.choice(_PAPERS)
            category = {"category": [{"coding": [{"system": CLASSES, "code": code}]}]} if code else {}
            document = {**common, "status": "current", "type": {"coding": [{"system": "http://loinc.org", "code": of}]},
                        "subject": subject, "date": f"{day}T10:00:00Z", **category,
                        "content": [{"attachment": {"contentType": "text/plain", "data": "QQ=="}}]}  # fmt: skip
            if pick.random() < 0.4:
                document["content"] = [{"attachment": {"contentType": "text/plain", "url": f"Binary/{id}"}}]
                return [self._content(id, subject), document]
            return [document]
        if type == "Binary":
            return [self._content(id, subject)]
        if type == "Observation":
            category = pick.choice(("laboratory", "vital-signs", "social-history", None, "blood"))
            code = "882-1" if category == "blood" else "29463-7"
            concept = [{"coding": [{"system": OBSERVATIONS, "code": category}]}]
            return [{**observation(patient), **common, "effectiveDateTime": day, "performer": [doctor],
                     "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
                     **({"category": concept} if category not in (None, "blood") else {}),
                     **({"hasMember": self._named("Observation")} if pick.random() < 0.4 else {})}]  # fmt: skip
        if type == "Appointment":
            actors = [subject, *([doctor] if pick.random() < 0.5 else [])]
            if not by.startswith("holder") and pick.random() < SHARED:
                actors.append({"reference": f"Patient/{pick.choice(self.patients)}"})
            return [{**common, "status": "proposed",
                     "participant": [{"actor": one, "status": "accepted"} for one in actors]}]  # fmt: skip
        if type == "Communication":
            about = {"recipient": [doctor]} if pick.random() < 0.6 else {"sender": doctor}
            return [{**common, "status": "completed", "subject": subject, "sent": f"{day}T09:00:00Z", **about}]
        if type == "List":
            code = pick.choice((None, None, "ALLERGIES", "MALADIES"))
            concept = {"code": {"coding": [{"system": SECTION, "code": code}]}} if code else {}
            items = [{"item": one} for one in self._named(None)]
            return [{**common, "status": "current", "mode": "working", "subject": subject, "entry": items, **concept}]
        if type == "Condition":
            handicap = {"category": [{"coding": [{"system": SECTION, "code": "HANDICAPS"}]}]}
            return [{**common, "subject": subject, "recordedDate": day, **(handicap if pick.random() < 0.4 else {})}]
        if type == "Immunization":
            return [{**common, "status": "completed", "vaccineCode": {"text": "a"}, "patient": subject,
                     "occurrenceDateTime": day}]  # fmt: skip
        assert type == "AllergyIntolerance", type
        status = "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical"
        return [{**common, "clinicalStatus": {"coding": [{"system": status, "code": "active"}]}, "patient": subject}]

    def _content(self, id: str, subject: Resource) -> Resource:
        return {
            "resourceType": "Binary",
            "id": id,
            "contentType": "text/plain",
            "data": "QQ==",
            "securityContext": subject,
        }

    def _named(self, type: str | None) -> list[Resource]:
        """References to some of what is there, whosever it is."""
        there = [one for one in self._deposited if type is None or one.startswith(type + "/")]
        some = self.random.sample(there, min(len(there), 3)) or ["Observation/none"]
        return [{"reference": one} for one in some]

    # --- what is said

    def _choice(self, patient: str, kind: str, type: str = "permit", to: tuple[str, ...] = (), **more: Any) -> Resource:
        return {**choice(patient, kind, type, to, **more), "id": self._new_id()}

    def _statements(self, patient: str) -> Iterator[Resource]:
        """What the patient chose, drawn at random, and noted for the second reading."""
        pick, said = self.random, self.said[patient]
        for doctor in self.doctors:
            names = (f"Practitioner/{doctor['practitioner']}", doctor["role"], doctor["organization"])
            if pick.random() < 0.6:
                yield self._permit(patient, pick.choice(names))
            if pick.random() < 0.12:
                yield self._block(patient, pick.choice(names), doctor)
            if pick.random() < 0.12:
                to = pick.choice(names)
                said["permits"].append((to, None, True))
                yield self._choice(patient, "administrator", to=(to,))
        if pick.random() < 0.4:
            yield from self._team(patient)
        for kind, key in (("BTG", "btg"), ("ETREAT", "etreat"), ("MASKED", "masked")):
            if pick.random() < 0.4:
                permits = pick.random() < 0.6
                said[key] = permits
                more = self._classes(pick.sample(SECTIONS, 2)) if permits and kind != "MASKED" else {}
                said["emergency_sections"] |= {one["code"] for one in more.get("class", ())}
                yield self._choice(patient, kind, "permit" if permits else "deny", **more)
        if pick.random() < 0.6:
            carer = f"RelatedPerson/{self.prefix}-carer"
            period, holds = self._period()
            said["caregivers"] += [carer] if holds else []
            yield self._choice(patient, "caregiver", to=(carer,), **period)
        if pick.random() < 0.3:
            said["treating_doctor"] = f"Practitioner/{pick.choice(self.doctors)['practitioner']}"
        if pick.random() < 0.15:
            said["space"] = pick.choice(("opposed", "closed"))
        yield self._person(patient)
        if said["space"] == "open" and pick.random() < 0.05:
            said["space"] = "closed"
            yield self._choice(patient, "space", "deny")

    def _permit(self, patient: str, to: str) -> Resource:
        period, holds = self._period()
        sections = self.random.sample(SECTIONS, self.random.randint(1, 7)) if self.random.random() < 0.6 else []
        if holds:
            self.said[patient]["permits"].append((to, frozenset(sections) or None, False))
        return self._choice(patient, "access", to=(to,), **period, **self._classes(sections))

    def _block(self, patient: str, to: str, doctor: Mapping[str, Any]) -> Resource:
        period, holds = self._period()
        if holds:
            # Who is blocked in one role is blocked in every other.
            also = [f"Practitioner/{doctor['practitioner']}"] if to == doctor["role"] else []
            self.said[patient]["blocks"] += [to, *also]
        return self._choice(patient, "access", "deny", to=(to,), **period)

    def _team(self, patient: str) -> Iterator[Resource]:
        """A care team, and a permit for it."""
        id, members, participants = self._new_id(), [], [{"member": {"display": "a neighbour"}}]
        for doctor in self.doctors:
            if self.random.random() < 0.6:
                period, holds = self._period()
                member = self.random.choice((f"Practitioner/{doctor['practitioner']}", doctor["organization"]))
                participants.append({"member": {"reference": member}, **period})
                members += [member] if holds else []
        self.said[patient]["teams"][f"CareTeam/{id}"] = members
        yield {"resourceType": "CareTeam", "id": id, "status": "active",
               "subject": {"reference": f"Patient/{patient}"}, "participant": participants}  # fmt: skip
        yield self._permit(patient, f"CareTeam/{id}")

    def _classes(self, sections: Iterable[str]) -> dict[str, Any]:
        found = [{"system": SECTION, "code": code} for code in sections]
        return {"class": found} if found else {}

    def _period(self) -> tuple[dict[str, Any], bool]:
        """A period, and whether it is now."""
        today = application.now().date()
        past, future = str(today - timedelta(days=3)), str(today + timedelta(days=3))
        return self.random.choice(
            (({}, True), ({}, True), ({"period": {"start": past, "end": future}}, True),
             ({"period": {"end": past}}, False), ({"period": {"start": future}}, False))
        )  # fmt: skip

    # --- what changes

    def _change(self) -> None:
        """Further versions, labels that come and go, what moves to another record, and what is deleted."""
        there = [one for one in self._entered() if one["resourceType"] not in ("Patient", "Consent", "CareTeam")]
        there = [one for one in there if one["resourceType"] not in (*DIRECTORY, "Binary")]
        changed: list[Resource] = []
        for one in self.random.sample(there, min(len(there), 9)):
            new = self._of_type(one["resourceType"], one["id"], self._record_of(one), "operator")[-1]
            if "data" not in str(new.get("content", "data")) or "Binary/" in str(one.get("content")):
                new["content"] = one["content"]
            changed.append(new)
        self._put("operator", changed)
        for one in self.random.sample(there, min(len(there), 4)):
            assert self._operator("DELETE", f"{one['resourceType']}/{one['id']}").status_code == 204

    def _record_of(self, one: Resource) -> str:
        """Whose record a new version is in: now and then another one's; a document's content stays where it is."""
        if "Binary/" in str(one.get("content")) or self.random.random() < 0.7:
            return next(iter(_patients(one)), self.patients[0])
        return self.random.choice(self.patients)

    def _entered(self) -> list[Resource]:
        """All that there is now, as the server has it."""
        found = self._operator.get(f"?_type={','.join(TYPES)}&{self.tag}&_count=1000")
        return [one["resource"] for one in found["entry"]]

    # --- what is there, as the second reading has it

    @cached_property
    def records(self) -> Records:
        """The resources of now."""
        return Records(self._entered(), BASE)

    @cached_property
    def facts(self) -> dict[str, Facts]:
        """What each resource of now is to the rules, by its name."""
        return {name: versions[-1] for name, versions in self.versions.items() if versions[-1]["body"] is not None}

    @cached_property
    def versions(self) -> dict[str, list[Facts]]:
        """What each version of each resource is to the rules, the first one first."""
        found = {name: self._history(name) for name in self._deposited}
        documents: dict[str, list[Facts]] = {}
        for name, versions in found.items():
            if name.startswith("DocumentReference/"):
                for content in versions[-1]["resource"]["content"]:
                    documents.setdefault(content["attachment"].get("url", ""), []).append(versions[-1])
        for name, versions in found.items():
            for version in versions:
                version["documents"] = documents.get(name, [])
        return found

    def _history(self, name: str) -> list[Facts]:
        """Each version: labels are those of now, all else is as it was."""
        answer = self._operator.get(f"{name}/_history?_count=100")
        bodies = [one.get("resource") for one in reversed(answer["entry"])]
        last = next(body for body in reversed(bodies) if body is not None)
        by, deposited = self._deposited[name]
        found, body = [], bodies[0]
        for number, one in enumerate(bodies, 1):
            body = one or body  # a deletion is of what was there before
            assert body is not None
            of = body["resourceType"]
            found.append(
                {
                    "name": name,
                    "version": number,
                    "body": one,
                    "resource": body,
                    "type": of,
                    "section": None if of in DIRECTORY else section(body),
                    "class": class_of(body) if of == "DocumentReference" else None,
                    "labels": labels(last),
                    "deposited": deposited,
                    "depositor": by,
                    "addressed_to": _addressed(body),
                    "patients": _patients(body),
                    "choice": of == "Consent",
                }
            )
        return found

    def sees(self, asker: Asker, what: Facts, letter: str) -> bool:
        """Whether the naive policy shows somebody this version: by the rules, and within their scopes."""
        return any(self._through(asker, scope, what, letter) for scope in asker.scopes)

    def within(self, asker: Asker, what: Facts, letter: str) -> bool:
        """Whether the scopes of somebody let a version through, whatever the rules say."""
        if not any(self._is_for(scope, what, letter) for scope in asker.scopes):
            return False
        if not what["documents"] or asker.kind == "operator":
            return True
        return any(self.within(asker, document, letter) for document in what["documents"])

    def _is_for(self, scope: tuple[str, str, str, Any], what: Facts, letter: str) -> bool:
        _, type, letters, constraints = scope
        return type in ("*", what["type"]) and letter in letters and self.records.meets(what["resource"], constraints)

    def _through(self, asker: Asker, scope: tuple[str, str, str, Any], what: Facts, letter: str) -> bool:
        context = scope[0]
        if not self._is_for(scope, what, letter):
            return False
        if what["documents"] and asker.kind != "operator":  # content is judged by its documents
            return any(self.sees(asker, document, letter) for document in what["documents"])
        if context == "patient" and asker.kind == "professional" and what["type"] not in DIRECTORY:
            patient = asker.facts["patient"]
            alone = {**what, "patients": (patient,)}
            # What the one record opens; another's blocks count all the same.
            return patient in what["patients"] and all(
                may_read(asker.who, self.said, one, application.now()) for one in (what, alone)
            )
        return may_read(asker.who, self.said, what, application.now())

    def shown(self, asker: Asker, letter: str = "s") -> set[str]:
        """The names of what somebody may see of what there is now."""
        return {name for name, what in self.facts.items() if self.sees(asker, what, letter)}

    # --- who asks

    def askers(self) -> list[Asker]:
        """One of each kind of caller, each with what its token says at random."""
        pick = self.random
        holder, doctor, other = pick.choice(self.patients), pick.choice(self.doctors), pick.choice(self.doctors)
        parent, carer = f"RelatedPerson/{self.prefix}-parent", f"RelatedPerson/{self.prefix}-carer"
        persons = {"holder": {}, "representative": {"person": parent, "relation": "legal-representative"},
                   "caregiver": {"person": carer, "relation": "caregiver"}}  # fmt: skip
        found = [
            Asker(name, "patient", self._scope("patient"), {"patient": holder, **facts})
            for name, facts in persons.items()
        ]
        pro = "professional"
        found += [
            Asker("app", "patient", self._scope("patient", narrow=True), {"patient": pick.choice(self.patients)}),
            Asker("professional", pro, self._scope("user"), doctor),
            Asker("another professional", pro, self._scope("user", narrow=pick.random() < 0.5), other),
            Asker("in context", pro, self._scope("patient"), {**doctor, "patient": pick.choice(self.patients)}),
            Asker("in secret", pro, self._scope("user"), {**doctor, "secret": True}),
            Asker("backend", "backend", self._scope("system"), self.backend),
            Asker("operator", "operator", self._scope("system", narrow=pick.random() < 0.5)),
        ]
        for mode in ("bris_de_glace", "centre_15"):
            facts = {**other, "patient": pick.choice(self.patients), "mode": mode, "reason": "coma", "regulator": True}
            found.append(Asker(mode, pro, self._scope(pick.choice(("user", "patient"))), facts))
        return found

    def _scope(self, context: str, *, narrow: bool = False) -> str:
        """Scopes at random: all, or of some types, or of a part of some."""
        if not narrow and self.random.random() < 0.8:
            return f"{context}/*.rs"
        words = [
            *(f"{context}/{type}.rs" for type in TYPES),
            f"{context}/Observation.rs?category={OBSERVATIONS}|vital-signs",
            f"{context}/Observation.rs?category:not=laboratory",
            f"{context}/DocumentReference.rs?category={CLASSES}|10",
            f"{context}/DocumentReference.rs?category={CLASSES}|10,{CLASSES}|90&status=current",
            f"{context}/List.rs?code:missing=true",
            f"{context}/Communication.r",
            f"{context}/Condition.s",
            f"{context}/*.rs?_lastUpdated=ge2020-01-01",
        ]
        return " ".join(dict.fromkeys(self.random.sample(words, self.random.randint(2, 9))))

    def caller(self, asker: Asker) -> Caller:
        """Whoever that is, with a new token."""
        return self.served.caller(asker.scope, **{**asker.facts, "kind": asker.kind})


def _nothing() -> Facts:
    """What the law supposes of one who has said nothing."""
    return {
        "space": "open",
        "permits": [],
        "blocks": [],
        "teams": {},
        "btg": True,
        "etreat": True,
        "masked": False,
        "emergency_sections": set(),
        "caregivers": [],
        "treating_doctor": None,
    }
