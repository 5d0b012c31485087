"""Conversations: a professional opens, the person answers, a message whose subject is `[FIN]` closes."""

from . import terms
from .directory import role_reference
from .people import patient_reference
from .tables import document, rows_of
from .terms import coding, concept, reference, without_empty


def conversations(row: dict[str, str]) -> list[dict]:
    """The Communications of a person's conversations, each answering the one before it."""
    return [
        _communication(row, thread, number)
        for thread in document("conversations")
        if thread["person"] == row["id"]
        for number in range(len(thread["messages"]))
    ]


def _communication(row: dict[str, str], thread: dict, number: int) -> dict:
    message = thread["messages"][number]
    payload = [{"contentString": message["text"]}]
    if "document" in message:
        payload.append({"contentReference": reference(f"DocumentReference/{message['document']}")})
    first = f"Communication/{_identifier(row, thread, 0)}"
    return without_empty(
        {
            "resourceType": "Communication",
            "id": _identifier(row, thread, number),
            "identifier": [{"system": f"{terms.OWN}/conversation", "value": f"{row['id']}-{thread['id']}"}],
            "partOf": [reference(first)] if number else [],
            "inResponseTo": [reference(f"Communication/{_identifier(row, thread, number - 1)}")] if number else [],
            "status": "completed",
            "medium": [concept(coding(terms.PARTICIPATION_MODE, "ELECTRONIC", "electronic data"))],
            "subject": patient_reference(row),
            "topic": concept(text=message.get("subject", thread["subject"])),
            "sent": message["at"],
            "received": message.get("read"),
            "recipient": [_party(who, row) for who in message["to"]],
            "sender": _party(message["from"], row),
            "payload": payload,
        }
    )


def _identifier(row: dict[str, str], thread: dict, number: int) -> str:
    return f"{row['id']}-{thread['id']}-{number + 1}"


def _party(who: str, row: dict[str, str]) -> dict:
    if who == "patient":
        return patient_reference(row)
    if who.startswith("RelatedPerson/"):
        contact = next(c for c in rows_of("contacts", row["id"]) if who == f"RelatedPerson/{row['id']}-{c['id']}")
        return reference(who, f"{contact['given']} {contact['family']}")
    return role_reference(who)
