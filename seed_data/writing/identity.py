"""Who people are: the test INS and its key, names as shown, French dates and hours, stable chance."""

import hashlib
import uuid
from datetime import datetime
from zoneinfo import ZoneInfo

PARIS = ZoneInfo("Europe/Paris")


def ins(row: dict[str, str]) -> str:
    """The 15 characters of the test INS of a row of `people`: sex, year, month, place, rank, key."""
    sex = {"male": "1", "female": "2"}[row["sex"]]
    body = f"{sex}{row['birth_date'][2:4]}{row['birth_date'][5:7]}{row['birth_insee']}{int(row['rank']):03d}"
    return body + ins_key(body)


def ins_key(body: str) -> str:
    """The key of 13 characters: 97 less the rest by 97, Corsica's 2A and 2B read as 19 and 18.

    >>> ins_key("2690549588157")
    '80'
    """
    return f"{97 - int(body.replace('2A', '19').replace('2B', '18')) % 97:02d}"


def shown(row: dict[str, str]) -> str:
    """First forename and name in use, as a page shows them."""
    return f"{row['given'].split()[0]} {row['usual_family'] or row['family']}"


def instant(day: str, hour: str = "12:00") -> str:
    """A date and an hour of mainland France as a FHIR dateTime with its offset."""
    return datetime.fromisoformat(f"{day}T{hour}").replace(tzinfo=PARIS).isoformat()


def french(day: str) -> str:
    """A date as it is written in France; a year alone stays a year."""
    return "/".join(reversed(day[:10].split("-")))


def chance(*seed: object) -> float:
    """A number in [0, 1) that depends on the words alone: the same on every run, machine and version."""
    digest = hashlib.sha256("/".join(map(str, seed)).encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def stable_uuid(*seed: object) -> uuid.UUID:
    """A UUID that depends on the words alone."""
    return uuid.uuid5(uuid.NAMESPACE_URL, "https://fhir-server.example/seed/" + "/".join(map(str, seed)))


def stable_oid(*seed: object) -> str:
    """An object identifier under 2.25, where a UUID needs no registration."""
    return f"2.25.{stable_uuid(*seed).int}"
