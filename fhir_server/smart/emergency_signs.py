"""What makes an emergency access worth a second look: many of them, a relative, a neighbour, the own record.

Staff who look at relatives are the main misuse of records; no technical limit keeps them from it, so that somebody has
to look.  Each sign is but a hint: the access is open meanwhile.  rule A10
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from fhir_server.search.types.string import fold

Sign = Literal["many", "own-record", "same-family-name", "same-address"]

_APART = re.compile(r"[^a-z0-9]+")


def signs(
    patient: Mapping[str, Any], practitioner: Mapping[str, Any] | None, *, within_the_hour: int, per_hour: int
) -> tuple[Sign, ...]:
    """
    The signs of an access to the record of this Patient by this Practitioner.

    within_the_hour: accesses of the professional in the last hour, this one included; more than `per_hour` are many.

    >>> someone = {"name": [{"family": "Le Goff", "given": ["Anne"]}], "birthDate": "1958-03-14"}
    >>> signs(someone, {"name": [{"family": "LE-GOFF", "given": ["Yann"]}]}, within_the_hour=1, per_hour=5)
    ('same-family-name',)
    """
    found: list[Sign] = ["many"] if within_the_hour > per_hour else []
    if practitioner is None:
        return tuple(found)
    if set(_families(patient)) & set(_families(practitioner)):
        found.append("own-record" if _is_same_person(patient, practitioner) else "same-family-name")
    if set(_addresses(patient)) & set(_addresses(practitioner)):
        found.append("same-address")
    return tuple(found)


def _is_same_person(patient: Mapping[str, Any], practitioner: Mapping[str, Any]) -> bool:
    """Whether what is known of both agrees; the directory seldom says when somebody was born."""
    born = {one["birthDate"] for one in (patient, practitioner) if one.get("birthDate")}
    return len(born) <= 1 and bool(set(_givens(patient)) & set(_givens(practitioner)))


def _families(person: Mapping[str, Any]) -> Iterator[str]:
    return (_plain(name["family"]) for name in person.get("name", ()) if name.get("family"))


def _givens(person: Mapping[str, Any]) -> Iterator[str]:
    return (_plain(name["given"][0]) for name in person.get("name", ()) if name.get("given"))


def _addresses(person: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Street and post code of each address; a work place is nobody's home."""
    for address in person.get("address", ()):
        street = _plain(" ".join(address.get("line", ())))
        code = _plain(address.get("postalCode", "") or address.get("city", ""))
        if street and code and address.get("use") != "work":
            yield street, code


def _plain(text: str) -> str:
    return _APART.sub(" ", fold(text)).strip()
