"""The rules A1 to A18, cell by cell, against a second reading of them that shares nothing with the first."""

from __future__ import annotations

import functools
import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fhir_server.access import Actor, Choices, Known, decide
from fhir_server.access.choices import Block, InEmergency, Member, Permit
from fhir_server.access.explain import HIDES
from fhir_server.access.rules import DELETING, DEPOSITING, PATCHING, READING, UPDATING, references
from fhir_server.access.scopes import parse
from fhir_server.fhir.dates import PARIS
from fhir_server.fhir.outcome import Forbidden
from fhir_server.operations.words import words as catalogue
from fhir_server.search.expression import Expression
from fhir_server.search.index import entry
from fhir_server.search.matcher import matches
from fhir_server.search.parser import Reader
from tests.build import observation
from tests.naive.access import may

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
READER = Reader("http://fhir.test/fhir", PARIS, NOW)
INTERACTIONS = ("read", "create", "update", "patch", "delete")
DOCTOR, ROLE, STRUCTURE, TEAM = "Practitioner/d", "PractitionerRole/d", "Organization/s", "CareTeam/t"
CLASSES = "https://mos.esante.gouv.fr/NOS/TRE_A03-ClasseDocument/FHIR/TRE-A03-ClasseDocument"


@functools.cache
def constrain(type: str, pairs: tuple[tuple[str, str], ...]) -> Expression:
    """The constraint, read once."""
    return READER.expression(type, pairs)


# --- who


def professional(**more: Any) -> Actor:
    """A doctor, in a role, for a structure."""
    facts = {"practitioner": "d", "role": ROLE, "organization": STRUCTURE, "profession": "10", **more}
    return Actor("professional", "d", parse("user/*.cruds"), **facts)


def person(relation: str | None = None, of: str | None = None) -> Actor:
    """The holder, or who acts for the holder."""
    return Actor("patient", "p", parse("patient/*.cruds"), patient="p", person=of, relation=relation)  # type: ignore[arg-type]


WHO = {
    "holder": person("self"),
    "representative": person("legal-representative", "RelatedPerson/r"),
    "caregiver": person("caregiver", "RelatedPerson/c"),
    "former caregiver": person("caregiver", "RelatedPerson/x"),
    "doctor": professional(),
    "nurse": professional(profession="60"),
    "physiotherapist": professional(profession="70"),
    "care assistant": professional(profession="35"),
    "doctor elsewhere": professional(role="PractitionerRole/e", organization="Organization/e"),
    "stranger": professional(practitioner="x", role=None, organization=None),
    "doctor in secret": professional(secret=True),
    "bris de glace": professional(practitioner="x", role=None, organization=None, mode="bris_de_glace", patient="p"),
    "bris de glace elsewhere": professional(mode="bris_de_glace", patient="q"),
    "bris de glace without a profession": professional(mode="bris_de_glace", patient="p", profession=None),
    "regulator": professional(practitioner="x", role=None, mode="centre_15", patient="p", regulator=True),
    "no regulator": professional(mode="centre_15", patient="p"),
    "backend": Actor("backend", "b", parse("system/*.cruds"), client_id="c", organization=STRUCTURE),
}


def told(actor: Actor) -> dict[str, Any]:
    """The actor as the second reading has it."""
    facts = ("kind", "patient", "mode", "profession", "regulator", "secret", "relation")
    return {"refs": references(actor), **{name: getattr(actor, name) for name in facts}}


# --- what the patient said

PAST, FUTURE = NOW - timedelta(days=1), NOW + timedelta(days=1)
DEFAULT = Choices("p", caregivers=(Member("RelatedPerson/c", end=FUTURE), Member("RelatedPerson/x", end=PAST)))


def saying(**more: Any) -> Choices:
    """These choices."""
    return replace(DEFAULT, **more)


SAID = {
    "nothing": saying(),
    "not activated": saying(space="not-activated", permits=(Permit(DOCTOR),)),
    "opposed": saying(space="opposed", permits=(Permit(DOCTOR),)),
    "closed": saying(space="closed", permits=(Permit(DOCTOR),), treating_doctor=DOCTOR),
    "permit for the person": saying(permits=(Permit(DOCTOR, start=PAST, end=FUTURE),)),
    "permit for the role": saying(permits=(Permit(ROLE),)),
    "permit for the structure": saying(permits=(Permit(STRUCTURE),)),
    "permit for the team": saying(permits=(Permit(TEAM),), care_team=(Member(DOCTOR, TEAM),)),
    "permit for a team that was left": saying(permits=(Permit(TEAM),), care_team=(Member(DOCTOR, TEAM, end=PAST),)),
    "in a team that has no permit": saying(care_team=(Member(DOCTOR, TEAM),)),
    "permit that is over": saying(permits=(Permit(DOCTOR, end=NOW),)),
    "permit to come": saying(permits=(Permit(DOCTOR, start=FUTURE),)),
    "permit for vaccinations": saying(permits=(Permit(DOCTOR, frozenset({"VACCINATIONS"})),)),
    "permit for messages, too": saying(permits=(Permit(DOCTOR, frozenset({"MESSAGES", "PIECES_ADMIN"})), Permit(ROLE))),
    "administrator": saying(permits=(Permit(ROLE, administrator=True),)),
    "treating doctor": saying(permits=(Permit(DOCTOR),), treating_doctor=DOCTOR),
    "treating doctor without a permit": saying(treating_doctor=DOCTOR),
    "blocked": saying(permits=(Permit(DOCTOR),), blocks=(Block(DOCTOR),), treating_doctor=DOCTOR),
    "blocked role": saying(permits=(Permit(DOCTOR),), blocks=(Block(ROLE),)),
    "blocked structure": saying(permits=(Permit(DOCTOR),), blocks=(Block(STRUCTURE),)),
    "blocked once": saying(permits=(Permit(DOCTOR),), blocks=(Block(DOCTOR, end=PAST),)),
    "everybody blocked": saying(permits=(Permit(DOCTOR),), blocks=(Block("*"),)),
    "stranger blocked": saying(blocks=(Block("Practitioner/x"),)),
    "no bris de glace": saying(emergencies=(InEmergency("BTG", False), InEmergency("BTG", True))),
    "no Centre 15": saying(emergencies=(InEmergency("ETREAT", False),)),
    "masked in an emergency, measures, too": saying(
        emergencies=(InEmergency("MASKED", True), InEmergency("BTG", True, frozenset({"MESURES"})))
    ),
}


def heard(choices: Choices) -> dict[str, Any]:
    """The choices as the second reading has them: what is in force."""

    def holds(one: Any) -> bool:
        return (one.start is None or one.start <= NOW) and (one.end is None or one.end > NOW)

    denied = {one.kind for one in choices.emergencies if not one.allowed}
    allowed = {one.kind for one in choices.emergencies if one.allowed}
    return {
        "space": choices.space,
        "permits": [(one.to, one.sections, one.administrator) for one in choices.permits if holds(one)],
        "blocks": [one.to for one in choices.blocks if holds(one)],
        "teams": {TEAM: [one.reference for one in choices.care_team if holds(one)]},
        "caregivers": [one.reference for one in choices.caregivers if holds(one)],
        "btg": "BTG" not in denied,
        "etreat": "ETREAT" not in denied,
        "masked": "MASKED" in allowed,
        "emergency_sections": {code for one in choices.emergencies if one.allowed for code in one.sections},
        "treating_doctor": choices.treating_doctor,
    }


# --- what


def document(code: str | None, type: str = "11488-4") -> dict[str, Any]:
    """A document of this class and type."""
    category = {"category": [{"coding": [{"system": CLASSES, "code": code}]}]} if code else {}
    concept = {"coding": [{"code": type}]}
    subject = {"reference": "Patient/p"}
    return {"resourceType": "DocumentReference", "status": "current", "type": concept, "subject": subject, **category}


def message(to: str) -> dict[str, Any]:
    """A message of the patient's."""
    return {
        "resourceType": "Communication",
        "status": "completed",
        "subject": {"reference": "Patient/p"},
        "recipient": [{"reference": to}],
    }


def consent(scope: str) -> dict[str, Any]:
    """A Consent of this scope."""
    return {
        "resourceType": "Consent",
        "status": "active",
        "scope": {"coding": [{"code": scope}]},
        "category": [{"coding": [{"code": "acd"}]}] if scope == "adr" else [{"text": "choice"}],
        "patient": {"reference": "Patient/p"},
    }


VITAL = {"category": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category",
                                   "code": "vital-signs"}]}]}  # fmt: skip
#: (the resource, its section, its class, whom it is addressed to, more)
WHAT: dict[str, tuple[dict[str, Any], str, str | None, tuple[str, ...], dict[str, Any]]] = {
    "report": (document("10"), "DOCUMENTS", "10", (), {}),
    "document of no class": (document(None), "DOCUMENTS", None, (), {}),
    "administrative paper": (document("95"), "PIECES_ADMIN", "95", (), {}),
    "directives": (document("90", "EXPPAT_3"), "DIRECTIVES_ANTICIPEES", "90", (), {}),
    "measure": (observation("p", **VITAL), "MESURES", None, (), {}),
    "vaccination": (
        {"resourceType": "Immunization", "status": "completed", "patient": {"reference": "Patient/p"}},
        "VACCINATIONS", None, (), {},
    ),
    "message to the doctor": (message(ROLE), "MESSAGES", None, (ROLE,), {}),
    "message to another": (message("Practitioner/y"), "MESSAGES", None, (), {}),
    "choice": (consent("patient-privacy"), "CONFIDENTIALITE", None, (), {"choice": True}),
    "wish": (consent("adr"), "ENTOURAGE_VOLONTES", None, (), {}),
    "patient": ({"resourceType": "Patient", "id": "p"}, "IDENTITE", None, (), {}),
    "access": (
        {
            "resourceType": "AuditEvent",
            "agent": [{"who": {"reference": "Practitioner/y"}}],
            "entity": [{"what": {"reference": "Patient/p"}}],
        },
        "CONFIDENTIALITE", None, (), {},
    ),
}  # fmt: skip
LABELLED = {
    "": ((), 0),
    "masked": (("MASQUE_PS",), 400),
    "to be announced": (("INVISIBLE_PATIENT",), 29),
    "announced by time": (("INVISIBLE_PATIENT",), 32),
    "kept from representatives": (("INVISIBLE_REPRESENTANTS_LEGAUX",), 1),
    "masked and kept": (("MASQUE_PS", "INVISIBLE_REPRESENTANTS_LEGAUX"), 1),
}
DEPOSITED_BY = {
    "the holder": ("Patient/p",),
    "the doctor": (DOCTOR, STRUCTURE),
    "another": ("Practitioner/y", "Organization/y"),
}


@functools.cache
def kept(what: str, labelled: str, by: str) -> dict[str, Any]:
    """The entry of a resource."""
    labels, days = LABELLED[labelled]
    resource = {"id": "r", **WHAT[what][0], "meta": {"security": [{"code": label} for label in labels]}}
    found = entry(resource["resourceType"], resource)
    deposited = NOW - timedelta(days=days)
    return {"_id": resource["id"], **found, "depositor": list(DEPOSITED_BY[by]), "deposited": deposited}


def decided(actor: Actor, known: Known, interaction: str, type: str) -> Expression | None:
    """The filter; None for a refusal of the whole type."""
    try:
        return decide(actor, known, interaction, type, constrain, NOW).where
    except Forbidden:
        return None


@pytest.mark.parametrize("who", WHO)
def test_every_cell(who: str) -> None:
    """A1 to A17: kind, mode, relation × permit, block, space × section, matrix × label × depositor × interaction"""
    actor = WHO[who]
    for said, what, interaction in itertools.product(SAID, WHAT, INTERACTIONS):
        resource, section, of_class, addressed, more = WHAT[what]
        if resource["resourceType"] == "AuditEvent" and interaction not in ("read", "search-type"):
            continue  # the server's own: test_audit.py
        where = decided(actor, Known((SAID[said],)), interaction, resource["resourceType"])
        for labelled, by in itertools.product(LABELLED, DEPOSITED_BY):
            labels, days = LABELLED[labelled]
            facts = {
                "type": resource["resourceType"],
                "section": section,
                "class": of_class,
                "labels": labels,
                "deposited": NOW - timedelta(days=days),
                "depositor": DEPOSITED_BY[by],
                "addressed_to": addressed,
                "patient": "p",
                **more,
            }
            allowed = where is not None and matches(where, kept(what, labelled, by))
            wanted = may(told(actor), heard(SAID[said]), facts, interaction, NOW)
            assert allowed == wanted, (who, said, interaction, what, labelled, by)


@pytest.mark.parametrize("who", [name for name, actor in WHO.items() if actor.kind == "professional"])
def test_a_patient_in_context_widens_nothing(who: str) -> None:
    """A6: a professional's patient/ scope is cut by the same rules, and to the one record"""
    for said, what in itertools.product(SAID, WHAT):
        type = WHAT[what][0]["resourceType"]
        user = replace(WHO[who], patient="p")
        context = replace(user, scopes=parse("patient/*.cruds"))
        elsewhere = replace(user, scopes=parse("patient/*.cruds"), patient="q")
        for labelled, by in itertools.product(LABELLED, DEPOSITED_BY):
            found = kept(what, labelled, by)
            known = Known((SAID[said],))
            wide, narrow, other = (decided(one, known, "read", type) for one in (user, context, elsewhere))
            assert wide is not None
            assert narrow is not None
            assert matches(wide, found) == matches(narrow, found)
            assert other is None or not matches(other, found)


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("said", SAID)
def test_one_is_told_of_all_as_of_each(who: str, said: str) -> None:
    """A6, A8: a search that names no patient finds what it finds in each record, and no more"""
    actor = WHO[who]
    for what in WHAT:
        type = WHAT[what][0]["resourceType"]
        one = decided(actor, Known((SAID[said],)), "search-type", type)
        mixed = Known((SAID[said], Choices("q", permits=(Permit("Practitioner/d"),))), named=False)
        every = decided(actor, mixed, "search-type", type)
        for labelled, by in itertools.product(LABELLED, DEPOSITED_BY):
            found = kept(what, labelled, by)
            assert (one is not None and matches(one, found)) == (every is not None and matches(every, found))


@pytest.mark.parametrize("fewer", ["permit for vaccinations", "permit that is over", "blocked", "nothing"])
def test_less_permission_never_shows_more(fewer: str) -> None:
    """Permit monotonicity: whoever is permitted less sees nothing that he would not see permitted more"""
    for who, what, interaction in itertools.product(WHO, WHAT, ("read", "patch")):
        type = WHAT[what][0]["resourceType"]
        if fewer == "permit for vaccinations" and WHAT[what][1] == "VACCINATIONS":
            continue
        less = decided(WHO[who], Known((SAID[fewer],)), interaction, type)
        more = decided(WHO[who], Known((SAID["permit for the person"],)), interaction, type)
        for labelled, by in itertools.product(LABELLED, DEPOSITED_BY):
            found = kept(what, labelled, by)
            shown = less is not None and matches(less, found)
            assert not shown or (more is not None and matches(more, found)), (who, what, interaction)


def test_nobody_is_reached_whose_choices_are_not_known() -> None:
    """Deny is the default: what a decision does not know of, it opens to nobody but who deposited it"""
    for who in ("doctor", "nurse", "bris de glace", "regulator", "backend"):
        for what in WHAT:
            where = decided(WHO[who], Known(), "read", WHAT[what][0]["resourceType"])
            assert where is None or not any(
                matches(where, kept(what, labelled, by)) for labelled in LABELLED for by in DEPOSITED_BY
            )


def test_each_rule_says_what_it_is_for() -> None:
    """The table is read by people: each rule has its number and a sentence"""
    for rule in {*READING, *DEPOSITING, *UPDATING, *PATCHING, *DELETING}:
        assert rule.number[1:].isdigit()
        assert (rule.ask.__doc__ or "").strip().rstrip('"')


def test_fewer_scopes_never_reach_more() -> None:
    """Scope monotonicity: a scope less takes away, and never adds"""
    words = {
        "patient": ("patient/*.rs", f"patient/DocumentReference.cruds?category={CLASSES}|10", "patient/Observation.r"),
        "professional": ("user/*.rs", f"user/DocumentReference.cruds?category={CLASSES}|10", "user/Binary.r"),
        "backend": ("system/*.rs", f"system/DocumentReference.cruds?category={CLASSES}|10", "system/Consent.r"),
    }
    known = Known((SAID["permit for the person"],))
    found = [kept(what, labelled, by) for what in WHAT for labelled in LABELLED for by in DEPOSITED_BY]
    types = [WHAT[what][0]["resourceType"] for what in WHAT for _ in LABELLED for _ in DEPOSITED_BY]

    def reached(actor: Actor, scopes: tuple[str, ...], interaction: str) -> set[int]:
        holding = replace(actor, scopes=parse(" ".join(scopes)))
        wheres = {type: decided(holding, known, interaction, type) for type in set(types)}
        each = zip(range(len(found)), types, found, strict=True)
        return {n for n, type, one in each if (where := wheres[type]) is not None and matches(where, one)}

    for actor in WHO.values():
        for number, interaction in itertools.product((1, 2), ("read", "patch")):
            for fewer in itertools.combinations(words[actor.kind], number):
                assert reached(actor, fewer, interaction) <= reached(actor, words[actor.kind], interaction)


@pytest.mark.parametrize("language", ["fr", "en"])
def test_whatever_hides_is_explained(language: str) -> None:
    """docs/privacy.md: $explain-access names each rule that hides something from a professional"""
    hiding = {rule.ask.__name__ for rule in READING if rule.effect == "hides" and "professional" in rule.kinds}
    assert hiding == set(HIDES)
    assert set(HIDES.values()) <= catalogue(language)["reasons"].keys()
