"""The health diary: appointments past and to come, entered by the person or by their professional's platform."""

from datetime import datetime, timedelta

from . import terms
from .directory import SPECIALTIES, organization_reference, professional, role_reference
from .identity import instant
from .people import patient_reference
from .tables import rows_of
from .terms import coding, concept, reference, without_empty


def appointments(row: dict[str, str]) -> list[dict]:
    """The person's Appointments; participants are the person, who receives them and where."""
    return [_appointment(row, line) for line in rows_of("appointments", row["id"])]


def _appointment(row: dict[str, str], line: dict[str, str]) -> dict:
    start = instant(line["date"], line["time"])
    end = (datetime.fromisoformat(start) + timedelta(minutes=int(line["minutes"]))).isoformat()
    answer = {"proposed": "needs-action", "pending": "tentative", "cancelled": "declined"}.get(
        line["status"], "accepted"
    )
    others = [role_reference(line["with"])] if line["with"] else []
    others += [reference(f"HealthcareService/{line['service']}")] if line["service"] else []
    others += [reference(f"Location/{line['place']}", organization_reference(line["place"])["display"])]
    specialty = professional(line["with"])["specialty"] if line["with"] else ""
    return without_empty(
        {
            "resourceType": "Appointment",
            "id": f"{row['id']}-rdv-{line['id']}",
            "extension": [{"url": terms.APPOINTMENT_AUTHOR, "valueCode": line["author"]}],
            "identifier": [{"system": f"{terms.OWN}/rendez-vous", "value": f"{row['id']}-{line['id']}"}],
            "status": line["status"],
            "cancelationReason": _cancelation(line["cancelled_by"]),
            "specialty": [concept(coding(terms.SPECIALTY, specialty, SPECIALTIES[specialty]))] if specialty else [],
            "appointmentType": concept(coding(terms.hl7("v2-0276"), line["type"])),
            "reasonCode": [concept(text=line["title"])],
            "description": line["title"],
            "start": start,
            "end": end,
            "minutesDuration": int(line["minutes"]),
            "created": line["created"],
            "comment": line["note"],
            "participant": [
                {"actor": patient_reference(row), "required": "required", "status": answer},
                *({"actor": other, "required": "required", "status": answer} for other in others),
            ],
        }
    )


def _cancelation(who: str) -> dict | None:
    if not who:
        return None
    return concept(
        coding(terms.hl7("appointment-cancellation-reason"), who, {"pat": "Patient", "prov": "Provider"}[who])
    )
