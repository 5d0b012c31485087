"""Section "Vaccinations": histories from a table, and children's from the calendar by age."""

from datetime import date, timedelta

from . import terms
from .directory import practitioner_reference
from .identity import chance
from .people import patient_reference
from .tables import ANCHOR, rows, rows_of
from .terms import coding, concept, quantity, without_empty

_ROUTES = {"20035000": "Voie intramusculaire", "20066000": "Voie sous-cutanée", "20053000": "Voie orale"}
_SITES = {
    "16217661000119109": "Deltoïde droit",
    "16217701000119102": "Deltoïde gauche",
    "11207009": "Cuisse droite",
    "61396006": "Cuisse gauche",
}
_SERIES = {"INITIMMUNIZ": "1re série vaccinante", "BOOSTER": "Rappel", "IMMUNIZ": "Vaccination"}
_DISEASES = {
    "397430003": "Diphtérie",
    "76902006": "Tétanos",
    "398102009": "Poliomyélite",
    "27836007": "Coqueluche",
    "709410003": "Infection à Haemophilus influenzae b",
    "66071002": "Hépatite B",
    "16814004": "Infection à pneumocoque",
    "23511006": "Infection à méningocoque",
    "14189004": "Rougeole",
    "36989005": "Oreillons",
    "36653000": "Rubéole",
    "18624000": "Gastroentérite à rotavirus",
    "240532009": "Infection à papillomavirus",
    "6142004": "Grippe",
    "4740000": "Zona",
    "55735004": "Infection à virus respiratoire syncytial",
    "840539006": "Covid-19",
    "56717001": "Tuberculose",
}


def immunizations(row: dict[str, str]) -> list[dict]:
    """Every vaccination of a person, oldest first, with an id that later vaccinations do not change."""
    given = sorted([*rows_of("vaccinations", row["id"]), *_by_the_calendar(row)], key=lambda shot: shot["date"])
    return [_immunization(row, shot) for shot in given]


def _by_the_calendar(row: dict[str, str]) -> list[dict[str, str]]:
    followed = rows_of("calendar_followers", row["id"])
    if not followed:
        return []
    shots = []
    for shot in rows("calendar"):
        if shot["born_from"] > row["birth_date"] or (shot["born_until"] and shot["born_until"] < row["birth_date"]):
            continue
        late = timedelta(days=int(chance(row["id"], shot["vaccine"], shot["dose"]) * 12))
        day = (_months_after(row["birth_date"], int(shot["age_months"])) + late).isoformat()
        if day <= ANCHOR:
            shots.append(shot | {"date": day, "by": followed[0]["by"], "status": "completed", "reason": "", "note": ""})
    return shots


def _months_after(birth_date: str, months: int) -> date:
    born = date.fromisoformat(birth_date)
    month = born.month - 1 + months
    return date(born.year + month // 12, month % 12 + 1, min(born.day, 28))


def _immunization(row: dict[str, str], shot: dict[str, str]) -> dict:
    vaccine = next(vaccine for vaccine in rows("vaccines") if vaccine["id"] == shot["vaccine"])
    done = shot["status"] == "completed"
    lot = f"{vaccine['id'][:2].upper()}{int(chance('lot', shot['vaccine'], shot['date']) * 9000) + 1000}"
    protocol = {
        "series": _SERIES[shot["series"]],
        "targetDisease": [
            concept(coding(terms.SNOMED, code, _DISEASES[code])) for code in vaccine["diseases"].split("|")
        ],
        "doseNumberPositiveInt": int(shot["dose"]),
    }
    refusal = concept(coding(terms.hl7("v3-ActReason"), shot["reason"])) if shot["reason"] else None
    return without_empty(
        {
            "resourceType": "Immunization",
            "id": f"{row['id']}-{shot['vaccine']}-{shot['date']}",
            "status": shot["status"],
            "statusReason": refusal,
            "vaccineCode": concept(coding(terms.ATC, vaccine["atc"]), text=vaccine["name"]),
            "patient": patient_reference(row),
            "occurrenceDateTime": shot["date"],
            "recorded": shot["date"],
            "primarySource": bool(shot["by"]),
            "reportOrigin": None if shot["by"] else concept(text="Déclaré par la personne d'après son carnet"),
            "lotNumber": lot if done and shot["by"] else "",
            "site": concept(coding(terms.SNOMED, shot["site"], _SITES[shot["site"]])) if shot["site"] else None,
            "route": concept(coding(terms.EDQM, vaccine["route"], _ROUTES[vaccine["route"]])) if done else None,
            "doseQuantity": quantity(float(vaccine["millilitres"]), "mL") if done else None,
            "performer": _performer(shot["by"]),
            "note": [{"text": shot["note"]}] if shot["note"] else [],
            "protocolApplied": [protocol],
        }
    )


def _performer(identifier: str) -> list[dict]:
    if not identifier:
        return []
    function = concept(coding(terms.hl7("v2-0443"), "AP", "Administering Provider"))
    return [{"function": function, "actor": practitioner_reference(identifier)}]
