"""Who may do what with one resource, said straight from the rules A1 to A18: no filters, no tables, nothing shared.

A fact is a plain dict: see `may`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

READ = ("read", "vread", "search-type", "history-instance")
EMERGENCY_SECTIONS = ("DOCUMENTS", "VACCINATIONS", "MHS", "ENTOURAGE_VOLONTES", "DIRECTIVES_ANTICIPEES", "IDENTITE")
CLOSED_TO_PLAIN_PERMITS = ("PIECES_ADMIN", "AGENDA", "MESSAGES", "CONFIDENTIALITE")
#: What is in nobody's record, and everybody's to read.
DIRECTORY = ("Practitioner", "PractitionerRole", "Organization")
#: What each profession consults, of the classes that the tests have.
CONSULTS = {
    "10": ("10", "31", "60", "90", None),
    "60": ("10", "60", "90"),
    "21": ("10", "60"),
    "70": ("10", "31"),
}
#: The sections that a physiotherapist does not.
NOT_FOR_70 = (
    *("VACCINATIONS", "DIRECTIVES_ANTICIPEES", "ANTECEDENTS_FAMILIAUX"),
    *("GROUPE_SANGUIN", "PIECES_ADMIN", "MHS", "CONFIDENTIALITE"),
)


def may(who: dict[str, Any], said: dict[str, Any], what: dict[str, Any], interaction: str, now: datetime) -> bool:
    """
    Whether `who` may do the interaction to `what`, after what the patient `said`.

    who     kind, refs, patient, relation, mode, profession, regulator, secret
    said    space, permits [(to, sections, administrator)], blocks, teams {team: refs}, btg, etreat, masked,
            emergency_sections, caregivers, treating_doctor: all in force
    what    type, section, class, labels, deposited, depositor, addressed_to, patient
    """
    if who["kind"] == "patient":
        return _person_may(who, said, what, interaction, now)
    if said["space"] in ("opposed", "closed"):  # A1
        return False
    if any(blocked in (*who["refs"], "*") for blocked in said["blocks"]):  # A5
        return False
    own = any(reference in what["depositor"] for reference in who["refs"])
    if who["kind"] == "backend":  # A14
        kept_from_all = what["type"] in ("Patient", "CareTeam", "AuditEvent")
        if interaction == "create":
            return not kept_from_all
        return own and (interaction in READ or not kept_from_all)
    return _professional_may(who, said, what, interaction, own)


def may_read(who: dict[str, Any], said: dict[str, dict[str, Any]], what: dict[str, Any], now: datetime) -> bool:
    """
    Whether `who` may read what stands in the records of `what["patients"]`, perhaps of several, perhaps of none.

    said: of each patient.  Who blocks somebody keeps from them what is in another's record, too.
    """
    if who["kind"] == "operator" or what["type"] in DIRECTORY:
        return True
    own = any(reference in who["refs"] for reference in what["depositor"])
    if what["type"] == "Binary" and not what["documents"] and what["depositor"] and not own:  # nothing has it yet
        return False
    if who.get("mode", "normal") != "normal" and len(what["patients"]) > 1:  # A10, A11: the emergency is of one
        return False
    each = [{**what, "patient": patient} for patient in what["patients"] or ("",)]
    blocks = [to for one in each for to in said[one["patient"]]["blocks"]]
    if who["kind"] != "patient" and any(to in who["refs"] for to in blocks):
        return False
    return any(may(who, said[one["patient"]], one, "read", now) for one in each)


def _person_may(
    who: dict[str, Any], said: dict[str, Any], what: dict[str, Any], interaction: str, now: datetime
) -> bool:
    if what["patient"] != who["patient"]:
        return False
    closed = said["space"] in ("opposed", "closed")
    if who["relation"] == "caregiver" and (closed or not any(ref in said["caregivers"] for ref in who["refs"])):
        return False
    if closed and interaction not in READ:  # A1
        return False
    if interaction == "create":
        return not (who["relation"] == "caregiver" and what.get("choice"))
    if "INVISIBLE_PATIENT" in what["labels"] and not _a_month_old(what["deposited"], now):  # A2
        return False
    if "INVISIBLE_REPRESENTANTS_LEGAUX" in what["labels"] and who["relation"] != "self":  # A4
        return False
    if interaction in READ:
        return True
    if who["relation"] == "caregiver" and what.get("choice"):
        return False
    if what["type"] == "Patient":
        return interaction != "delete" and who["relation"] != "caregiver"
    entered = f"Patient/{who['patient']}" in what["depositor"]  # A3
    return entered or (interaction == "patch" and who["relation"] != "caregiver")


def _a_month_old(deposited: datetime, now: datetime) -> bool:
    """Whether the same day of the next month is there."""
    month = deposited.month % 12 + 1
    year = deposited.year + (deposited.month == 12)
    day = deposited.day
    while True:
        try:
            return deposited.replace(year=year, month=month, day=day) <= now
        except ValueError:
            day -= 1


def _professional_may(
    who: dict[str, Any], said: dict[str, Any], what: dict[str, Any], interaction: str, own: bool
) -> bool:
    if interaction not in READ:
        if who["mode"] != "normal":  # A10, A11: read only
            return False
        if who["secret"] and "INVISIBLE_REPRESENTANTS_LEGAUX" not in what["labels"]:  # A15
            return False
        if what["type"] in ("Patient", "CareTeam", "AuditEvent"):
            return False
        if interaction == "patch" and what["type"] != "Consent":  # A2: an announcement is recorded by who reads it
            unaddressed = {**what, "addressed_to": ()}
            return own or _professional_may(who, said, unaddressed, "read", own)
        return True if interaction == "create" else own  # A8, A9
    if who["secret"] and "INVISIBLE_REPRESENTANTS_LEGAUX" not in what["labels"] and what["type"] != "Patient":
        return False
    emergency = who["mode"] != "normal"
    if who["mode"] == "bris_de_glace" and not (said["btg"] and who["profession"] and who["patient"] == what["patient"]):
        return False
    if who["mode"] == "centre_15" and not (said["etreat"] and who["regulator"] and who["patient"] == what["patient"]):
        return False
    if own:
        return True
    permits = [] if emergency else [permit for permit in said["permits"] if _is_for(permit[0], who, said)]
    if "MASQUE_PS" in what["labels"]:  # A7
        privileged = said["treating_doctor"] in who["refs"] or any(permit[2] for permit in permits)
        if not (said["masked"] if emergency else privileged):
            return False
    if not emergency and any(reference in what["addressed_to"] for reference in who["refs"]):
        return True
    if what["type"] == "Binary":  # what is the content of a document is judged by that
        return False
    if what["type"] == "AuditEvent":  # A17
        return not emergency and said["treating_doctor"] in who["refs"] or _acted(who, what)
    if emergency:
        opened = what["section"] in (*EMERGENCY_SECTIONS, *said["emergency_sections"])
    else:
        opened = any(
            what["section"] in permit[1] if permit[1] else what["section"] not in CLOSED_TO_PLAIN_PERMITS
            for permit in permits
        )
    return opened and _consults(who["profession"], what)  # A6


def _acted(who: dict[str, Any], what: dict[str, Any]) -> bool:
    return any(reference in what.get("agents", ()) for reference in who["refs"])


def _is_for(to: str, who: dict[str, Any], said: dict[str, Any]) -> bool:
    return to in who["refs"] or any(ref in said["teams"].get(to, ()) for ref in who["refs"])


def _consults(profession: str | None, what: dict[str, Any]) -> bool:
    if profession not in CONSULTS:
        return False
    if profession == "70" and what["section"] in NOT_FOR_70:
        return False
    return what["type"] != "DocumentReference" or what["class"] in CONSULTS[profession]
