"""The holder's choices, as Consents say them and as they are kept; the habilitation matrix.

R4: consent.html; CSP R1111-46; rule A6
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fhir_server.access.choices import Block, Choices, Member, Permit, document, read
from fhir_server.access.consents import choices, faults, kind
from fhir_server.access.matrix import carried_matrix, load
from fhir_server.config import ConfigError

OWN = "https://fhir-server.example"
DOCTOR = ("Practitioner/d",)
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def consent(kind: str | None, type: str = "permit", to: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    """A Consent of this kind."""
    category = [{"coding": [{"system": f"{OWN}/CodeSystem/consent-kind", "code": kind}]}] if kind else [{"text": "x"}]
    actors = [{"reference": {"reference": one}} for one in to]
    provision = {"type": type, **({"actor": actors} if to else {}), **more.pop("provision", {})}
    return {
        "resourceType": "Consent",
        "status": "active",
        "scope": {"coding": [{"code": "patient-privacy"}]},
        "category": category,
        "provision": provision,
        **more,
    }


def made(*consents: dict[str, Any], **more: Any) -> Choices:
    """What these say."""
    return choices(more.pop("patient", None), "p", consents, more.pop("care_teams", ()), **more)


def test_of_one_who_said_nothing_the_law_supposes() -> None:
    """French domain 2.4: both emergencies are allowed, what is masked is not; the space of a Patient is open"""
    said = made()
    assert (said.space, said.btg, said.etreat, said.masked, said.permits) == ("open", True, True, False, ())


def test_who_is_related_may_be_so_no_longer_or_not_yet() -> None:
    """R4 relatedperson.html RelatedPerson.active, RelatedPerson.period; rule A4"""
    said = made(
        related=[
            {"resourceType": "RelatedPerson", "id": "still", "active": True},
            {"resourceType": "RelatedPerson", "id": "never", "active": False},
            {"resourceType": "RelatedPerson", "id": "then", "period": {"start": "2026-11-01", "end": "2026-11-22"}},
        ]
    )
    assert read(document(said)) == said

    def former(*at: int) -> list[str]:
        return [one.reference for one in said.in_force(datetime(2026, *at, tzinfo=UTC)).former]  # type: ignore[arg-type]

    assert former(10, 31) == ["RelatedPerson/never", "RelatedPerson/then"]
    assert former(11, 22) == ["RelatedPerson/never"]
    assert former(11, 23) == ["RelatedPerson/never", "RelatedPerson/then"]


def test_a_day_runs_from_its_first_moment_to_its_last() -> None:
    """R4 datatypes.html#Period: the end is inclusive, in the zone of the server"""
    period = {"start": "2026-11-01", "end": "2026-11-22"}
    said = made(consent("access", to=("Practitioner/d",), provision={"period": period}))
    assert said.permits == (
        Permit(
            "Practitioner/d",
            start=datetime(2026, 10, 31, 23, tzinfo=UTC),
            end=datetime(2026, 11, 22, 23, tzinfo=UTC),
        ),
    )
    assert said.in_force(NOON).permits
    assert not said.in_force(datetime(2026, 11, 22, 23, tzinfo=UTC)).permits
    assert not said.in_force(datetime(2026, 10, 31, 22, 59, tzinfo=UTC)).permits


def test_what_is_inactive_or_about_another_matter_says_nothing() -> None:
    """R4 consent.html: status, scope"""
    permit = consent("access", to=("Practitioner/d",))
    research = {**permit, "scope": {"coding": [{"code": "research"}]}}
    assert made({**permit, "status": "inactive"}, {**permit, "status": "draft"}, research).permits == ()


def test_who_is_blocked_in_one_role_is_blocked() -> None:
    """A5: the person, whom the directory names"""
    block = consent("access", "deny", to=("PractitionerRole/r",))
    said = made(block, practitioners={"PractitionerRole/r": "Practitioner/d"})
    assert said.blocks == (Block("PractitionerRole/r"), Block("Practitioner/d"))


@pytest.mark.parametrize(
    ("provision", "blocks"),
    [
        ({"type": "deny", "data": []}, (Block("*"),)),
        ({"type": "permit", "provision": [{"type": "deny"}]}, (Block("*"),)),
        ({"type": "permit", "provision": [{"type": "permit"}]}, ()),
        ({"type": "permit", "code": [{"text": "x"}]}, ()),
    ],
)
def test_what_cannot_be_evaluated_opens_nothing_and_denies_to_everybody(
    provision: dict[str, Any], blocks: tuple[Block, ...]
) -> None:
    """Where it stands nevertheless, loaded by an operator: the unknown is a refusal"""
    said = made(
        {**consent("access"), "provision": {"actor": [{"reference": {"reference": "Practitioner/d"}}], **provision}}
    )
    assert (said.permits, said.blocks) == ((), blocks)


@pytest.mark.parametrize(
    ("asked", "expression"),
    [
        (consent("access"), "Consent.provision.actor"),
        (consent("access", to=("Group/g",)), "Consent.provision.actor"),
        (consent("access", "deny", to=("CareTeam/t",)), "Consent.provision.actor"),
        (consent("administrator", "deny", to=("Practitioner/d",)), "Consent.provision.type"),
        (consent("BTG", to=("Practitioner/d",)), "Consent.provision.actor"),
        (consent("space", "deny", provision={"class": [{"code": "MESURES"}]}), "Consent.provision.class"),
        (consent("access", to=DOCTOR, provision={"class": [{"code": "MESURES"}]}), "Consent.provision.class"),
        (consent("access", to=DOCTOR, provision={"purpose": [{"code": "TREAT"}]}), "Consent.provision.purpose"),
        (
            consent("access", to=("Practitioner/d",), provision={"action": [{"coding": [{"code": "correct"}]}]}),
            "Consent.provision.action",
        ),
        (consent(None), "Consent.category"),
        (consent("other"), "Consent.category"),
        ({**consent("access"), "provision": {}}, "Consent.provision.type"),
    ],
)  # fmt: skip
def test_what_is_refused_names_what_is_wrong(asked: dict[str, Any], expression: str) -> None:
    """What cannot be evaluated is refused, never passed over"""
    assert expression in [where for issue in faults(asked) for where in issue.expression]


def test_what_does_not_say_its_kind_is_told_by_its_purpose_or_its_actor() -> None:
    """A plain R4 Consent is a choice, too"""
    assert kind(consent(None, to=("Practitioner/d",))) == "access"
    assert kind(consent(None, provision={"purpose": [{"code": "BTG"}]})) == "BTG"


def test_choices_are_kept_whole() -> None:
    """What is written is what is read"""
    team = {
        "id": "t",
        "status": "active",
        "period": {"start": "2026-01-01"},
        "participant": [{"member": {"reference": "Practitioner/m"}, "period": {"end": "2027-01-01"}}],
    }
    sections = {"class": [{"system": f"{OWN}/CodeSystem/profile-section", "code": "MESURES"}]}
    said = made(
        consent("access", to=("CareTeam/t", "Organization/o"), provision=sections),
        consent("access", "deny", to=("Practitioner/x",)),
        consent("BTG", provision=sections),
        consent("MASKED"),
        consent("caregiver", to=("RelatedPerson/c",)),
        consent("new-documents", "deny"),
        patient={"generalPractitioner": [{"reference": "Practitioner/gp"}], "birthDate": "1958-03-14"},
        care_teams=[team],
    )
    assert read(document(said)) == said
    assert said.concerns == {
        "CareTeam/t", "Practitioner/m", "Organization/o", "Practitioner/x", "Practitioner/gp",
    }  # fmt: skip
    assert said.caregivers == (Member("RelatedPerson/c"),)
    assert (said.masked, said.masked_by_default, said.emergency_sections) == (True, True, {"MESURES"})


# --- the matrix


def test_the_matrix_that_comes_along_says_what_it_is() -> None:
    """French domain 2.6: a demonstrator's seed, flagged as such"""
    assert "demonstrator" in carried_matrix().provenance
    assert carried_matrix().row("35", None) is None
    assert carried_matrix().row("10", "SM03") != carried_matrix().row("10", "SM54") == carried_matrix().row("10", None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot be read"),
        ("{", "is no JSON"),
        ("{}", "`provenance`"),
        ('{"provenance": "x", "class-system": "s", "rows": [{"classes": "10"}]}', "`classes` is a list"),
        (
            '{"provenance": "x", "class-system": "s", "rows": [{"professions": [], "classes": [], "sections": ["X"]}]}',
            "`X` is no section",
        ),
        (
            '{"provenance": "x", "class-system": "s", "rows": [{"professions": ["10", "10"], "classes": []}]}',
            "has two rows",
        ),
    ],
)
def test_a_bad_matrix_stops_the_start_in_one_line(tmp_path: Path, text: str | None, said: str) -> None:
    """An operator's file, FHIR_SERVER_HABILITATION_MATRIX"""
    path = tmp_path / "matrix.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=said) as refused:
        load(path)
    assert "\n" not in str(refused.value)
