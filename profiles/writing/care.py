"""Cercle de soins (https://interop.esante.gouv.fr/ig/fhir/cds) and Traçabilité d'événements (…/tde)"""

from __future__ import annotations

from . import annuaire, fr_core
from .shorthand import HL7, ans, profile, rule

CARE_TEAM = ans("cds", "cds-ihe-careteam")
AUDIT_EVENT = ans("tde", "tde-auditevent")

PROFILES = [
    profile(
        CARE_TEAM,
        "CareTeam",
        title="CDS CareTeam",
        french="Cercle de soins d'une personne : ses membres et leurs rôles, chacun pour une période.",
        english="The care circle of a person: its members and their roles, each for a time.",
        version="2.0.1",
        rules=[
            rule("identifier", "the identifier of the care circle", card="1..1", must=True),
            rule("identifier.value", "the identifier of the care circle", card="1.."),
            rule("status", "the status of the care circle", card="1..1", must=True),
            rule("name", "the name of the care circle", card="1..1", must=True),
            rule("subject", "whose care circle it is", card="1..1", must=True, to=(fr_core.PATIENT,)),
            rule("period", "since when there is a care circle", card="1..", must=True),
            rule("period.start", "since when there is a care circle", card="1.."),
            rule("participant.role", "the role of the member, such as PCP (médecin traitant)", must=True),
            rule(
                "participant.member",
                "who is a member",
                card="1..",
                must=True,
                to=(annuaire.PRACTITIONER_ROLE, fr_core.RELATED_PERSON, fr_core.ORGANIZATION),
            ),
            rule("participant.period", "since when they are a member", card="1.."),
            rule("participant.period.start", "since when they are a member", card="1.."),
        ],
    ),
    profile(
        AUDIT_EVENT,
        "AuditEvent",
        title="TDE AuditEvent",
        french="Trace d'un événement : ce qui a été fait, quand, par qui et sur quoi.",
        english="The trace of an event: what was done, when, by whom and on what.",
        version="2.0.0",
        rules=[
            rule("type", "the type of the event", must=True),
            rule("subtype", "the sub-type of the event", card="..1", must=True),
            rule("period", "when it happened", card="1..", must=True),
            rule("period.start", "when it happened", card="1..", must=True),
            rule("agent", "who did it", card="..2", must=True),
            rule("agent.who", "who did it", card="1..", must=True),
            rule(
                "source.observer",
                "who declares the event",
                must=True,
                to=(
                    f"{HL7}/Device",
                    f"{HL7}/PractitionerRole",
                    fr_core.PRACTITIONER,
                    fr_core.RELATED_PERSON,
                    fr_core.ORGANIZATION,
                    fr_core.PATIENT,
                ),
            ),
        ],
    ),
]
