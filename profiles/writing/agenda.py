"""GAP, shared agendas: the rules of FR Core at addresses of their own.  https://interop.esante.gouv.fr/ig/fhir/gap"""

from __future__ import annotations

from . import fr_core
from .shorthand import ans, profile, rule

VERSION = "3.0.0"
APPOINTMENT = ans("gap", "gap-fr-appointment")
SLOT = ans("gap", "gap-fr-slot")
SCHEDULE = ans("gap", "gap-fr-schedule")

PROFILES = [
    profile(
        APPOINTMENT,
        "Appointment",
        base=fr_core.APPOINTMENT,
        title="GAP Appointment",
        french="Rendez-vous d'un agenda partagé.",
        english="An appointment of a shared agenda.",
        version=VERSION,
        rules=[rule("identifier", "the identifier by which the appointment is updated", must=True)],
    ),
    profile(
        SLOT,
        "Slot",
        base=fr_core.SLOT,
        title="GAP Slot",
        french="Créneau d'un agenda partagé.",
        english="A slot of a shared agenda.",
        version=VERSION,
        rules=[rule("start", must=True), rule("end", must=True)],
    ),
    profile(
        SCHEDULE,
        "Schedule",
        base=fr_core.SCHEDULE,
        title="GAP Schedule",
        french="Vacation d'un agenda partagé.",
        english="A schedule of a shared agenda.",
        version=VERSION,
        rules=[rule("planningHorizon", must=True)],
    ),
]
