"""A patient by exact identity: the INS, or name, birth date and sex.  Never a list to browse.

DMP TD0.2; rule A18; Référentiel national d'identitovigilance: the identity traits
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from stdnum.exceptions import ValidationError
from stdnum.fr import nir

from fhir_server.access.rules import Case, a5_is_blocked
from fhir_server.access.sections import Pairs
from fhir_server.search.types.string import fold

#: The systems of a qualified INS: the permanent number, and the one of who waits for it.
INS = ("urn:oid:1.2.250.1.213.1.4.8", "urn:oid:1.2.250.1.213.1.4.9")
#: Those of people who do not exist; where the demonstration runs they are found, too.
INS_OF_TESTS = ("urn:oid:1.2.250.1.213.1.4.10", "urn:oid:1.2.250.1.213.1.4.11")

SEXES = ("female", "male", "unknown")
#: Where a Patient says what became of the space.
SPACE = "https://fhir-server.example/StructureDefinition/space-status"
#: The age that the secret session of a minor ends at.  French Civil code, art. 414
MAJORITY = 18

_APART = re.compile(r"[\s'’\-.]+")
_FRENCH_DATE = re.compile(r"(\d\d)[/. ](\d\d)[/. ](\d{4})")
_NUMBER = re.compile(r"[12]\d\d(0[1-9]|1[0-2]|[2-9]\d)(\d\d|2A|2B)\d{6}\d\d")


@dataclass(frozen=True)
class Number:
    """The INS of the patient who is meant."""

    value: str


@dataclass(frozen=True)
class Traits:
    """The identity traits of the patient who is meant; `given` narrows them where it is known."""

    family: str
    birth_date: date
    sex: str
    given: str | None = None


@dataclass(frozen=True)
class Found:
    """The one patient, in the words of the record: what tells that it is the right one, and no more."""

    id: str
    name: str
    birth_date: date | None

    def is_minor(self, today: date) -> bool:
        """Whether the person has not come of age; one whose birth date is not known is an adult."""
        if self.birth_date is None:
            return False
        return (today.year - self.birth_date.year, today.month, today.day) < (
            MAJORITY,
            self.birth_date.month,
            self.birth_date.day,
        )


#: Why nobody was found: there is no such person, or no open space of that person, and which of the two is not said; or
#: there are several, whom the INS tells apart.
Nobody = Literal["nobody", "several"]
#: What a professional may do in a record, before it is opened.
Access = Literal["authorised", "unauthorised", "blocked"]
#: Finds resources of a type by the parameters of a search.
Find = Callable[[str, Pairs], Sequence[Mapping[str, Any]]]


def read(form: Mapping[str, str], *, number: bool) -> Number | Traits | dict[str, str]:
    """
    What the form asks for, or what is wrong with it: by field, the key of the words that say so.

    number: whether the patient is named by the INS, `ins`; else by `family`, `given`, `birth_date` and `sex`.
    """
    if number:
        value = number_of(form.get("ins", ""))
        return Number(value) if value else {"ins": "ins_wrong"}
    return _traits({name: _printable(form.get(name, "")) for name in ("family", "given", "birth_date", "sex")})


def number_of(text: str) -> str | None:
    """The fifteen characters of an INS, its key among them; None for what is not one.

    >>> number_of("1 11 02 37 261 089 31")
    '111023726108931'
    """
    if not text.isascii():
        return None
    try:
        number = nir.validate(text)
    except (ValidationError, ValueError):
        return None
    return number if _NUMBER.fullmatch(number) else None


def find(asked: Number | Traits, search: Find, *, tests: bool) -> Found | Nobody:
    """
    The one patient whom it describes and whose space is open; else why there is none.

    tests: whether the people who do not exist are looked for, too.
    """
    matching = [patient for patient in candidates(asked, search, tests=tests) if is_open(patient)]
    if not matching:
        return "nobody"
    return "several" if len(matching) > 1 else found(matching[0])


def access(case: Case) -> Access:
    """What the asker may do in the record of `case`, whose space is open.  DMP TD0.2"""
    if a5_is_blocked(case):
        return "blocked"
    consults = case.matrix.row(case.actor.profession, case.actor.specialty) is not None
    return "authorised" if consults and case.permits else "unauthorised"


def is_open(patient: Mapping[str, Any]) -> bool:
    """Whether there is a space to find: not when it was opposed or closed, nor when the identity is no longer used."""
    if patient.get("active") is False:
        return False
    parts = [part for one in patient.get("extension", ()) if one.get("url") == SPACE for part in one["extension"]]
    return all(part.get("valueCode") not in ("opposed", "closed") for part in parts if part.get("url") == "status")


def parameters(asked: Number | Traits) -> dict[str, str]:
    """What was asked for, as the parameters of a search, for the record of accesses."""
    if isinstance(asked, Number):
        return {"identifier": asked.value}
    traits = {"family": asked.family, "birthdate": asked.birth_date.isoformat(), "gender": asked.sex}
    return traits | ({"given": asked.given} if asked.given else {})


def found(patient: Mapping[str, Any]) -> Found:
    """What is shown of a patient: the official name and the birth date."""
    name = _official(patient)
    text = " ".join((*name.get("given", ())[:1], name.get("family", ""))).strip() or str(name.get("text", ""))
    return Found(str(patient["id"]), text or "?", _date(str(patient.get("birthDate", ""))))


def _traits(given: Mapping[str, str]) -> Traits | dict[str, str]:
    wrong: dict[str, str] = {}
    if not _letters(given["family"]):
        wrong["family"] = "family_missing"
    born = _date(given["birth_date"])
    if born is None:
        wrong["birth_date"] = "birth_date_wrong"
    if given["sex"] not in SEXES:
        wrong["sex"] = "sex_missing"
    if wrong or born is None:
        return wrong
    return Traits(given["family"][:100], born, given["sex"], given["given"][:100] or None)


def _printable(text: str) -> str:
    """The text without what no name has, such as characters that steer a device."""
    return "".join(character for character in text if character.isprintable()).strip()


def _date(text: str) -> date | None:
    """A whole date, as a browser sends it, or as it is written in France."""
    if french := _FRENCH_DATE.fullmatch(text):
        text = "-".join(reversed(french.groups()))
    try:
        return date.fromisoformat(text) if len(text) == 10 else None
    except ValueError:
        return None


def candidates(asked: Number | Traits, search: Find, *, tests: bool) -> Sequence[Mapping[str, Any]]:
    """All whom it describes, whatever became of their records.  tests: see `find`."""
    if isinstance(asked, Number):
        systems = (*INS, *INS_OF_TESTS) if tests else INS
        return search("Patient", (("identifier", ",".join(f"{system}|{asked.value}" for system in systems)),))
    near = search(
        "Patient",
        (("birthdate", asked.birth_date.isoformat()), ("gender", asked.sex), ("family", _start(asked.family))),
    )
    return [patient for patient in near if _is(asked, patient)]


def _start(family: str) -> str:
    """What the search is asked for: the name up to where two spellings of it may part, as a value of a parameter."""
    first = _APART.split(fold(family).strip(" '’-."))[0]
    return re.sub(r"([\\$,|])", r"\\\1", first)


def _is(asked: Traits, patient: Mapping[str, Any]) -> bool:
    """Whether these are the traits of the patient, whatever the accents, case and marks they are written with."""
    if patient.get("birthDate") != asked.birth_date.isoformat() or patient.get("gender") != asked.sex:
        return False
    return any(
        _letters(str(name.get("family", ""))) == _letters(asked.family)
        and (not asked.given or _letters(asked.given) in _given(patient, name))
        for name in _names(patient)
    )


def _given(patient: Mapping[str, Any], name: Mapping[str, Any]) -> Iterator[str]:
    """The first given name, as the birth record or daily life has it."""
    for one in (name, _official(patient)):
        yield from (_letters(str(given)) for given in one.get("given", ())[:1])


def _names(patient: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The names in force: that of birth, and that which is used."""
    return [name for name in patient.get("name", ()) if name.get("use") in (None, "official", "usual", "maiden")]


def _official(patient: Mapping[str, Any]) -> Mapping[str, Any]:
    names = _names(patient)
    return next((name for name in names if name.get("use") == "official"), names[0] if names else {})


def _letters(text: str) -> str:
    return _APART.sub(" ", fold(text)).strip()
