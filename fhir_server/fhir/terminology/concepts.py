"""What a code system says of a code: a Concept, read from CodeSystem.concept.  R4: codesystem.html"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fhir_server.fhir.json import FhirDecimal

#: What the properties of R4's own list stand for, under whatever code a system gives them.
_STANDARD = "http://hl7.org/fhir/concept-properties#"
_PARENTS = ("parent", "subsumedBy")
_CHILD = "child"
_ABSENT = ("retired", "inactive")
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Designation:
    """A further name of a concept."""

    value: str
    language: str | None = None
    use: Mapping[str, Any] | None = None

    def as_json(self) -> dict[str, Any]:
        """The designation as ValueSet and CodeSystem have it."""
        found = {"language": self.language, "use": self.use, "value": self.value}
        return {name: value for name, value in found.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Property:
    """A property of a concept; `type` is the name that JSON gives its value, `valueCode`, `valueBoolean` …"""

    code: str
    type: str
    value: Any

    @property
    def text(self) -> str:
        """The value as a filter states it: of a Coding its code."""
        if isinstance(self.value, bool):
            return "true" if self.value else "false"
        if isinstance(self.value, FhirDecimal):
            return self.value.text
        return str(self.value.get("code", "")) if isinstance(self.value, Mapping) else str(self.value)


@dataclass(frozen=True, slots=True)
class Concept:
    """
    A code of a system and what is said of it.

    abstract    it groups others and is not to be used by itself
    ancestors   all that stand above it, where that is known with the concept; None: the system is to be asked
    """

    code: str
    display: str | None = None
    definition: str | None = None
    designations: tuple[Designation, ...] = ()
    properties: tuple[Property, ...] = ()
    parents: tuple[str, ...] = ()
    abstract: bool = False
    inactive: bool = False
    ancestors: frozenset[str] | None = None

    def named(self, language: str | None, own: str | None) -> str | None:
        """The display in a language, the concept's own where it has none; `own` is the language of its display."""
        if language is None or speaks(own, language):
            return self.display
        return next((each.value for each in in_language(self.designations, language)), self.display)

    def names(self) -> Iterator[str]:
        """The display and every designation."""
        if self.display is not None:
            yield self.display
        for designation in self.designations:
            yield designation.value


def concepts(resource: Mapping[str, Any]) -> Iterator[Concept]:
    """The concepts of a CodeSystem of good structure, in its order, each behind what it is nested in."""
    uris = {each["code"]: each.get("uri", "") for each in resource.get("property", ())}
    said = children(resource)

    def walk(rows: Iterable[Mapping[str, Any]], above: tuple[str, ...]) -> Iterator[Concept]:
        for row in rows:
            yield concept(row, (*above, *said.get(row["code"], ())), uris)
            yield from walk(row.get("concept", ()), (row["code"],))

    return walk(resource.get("concept", ()), ())


def children(resource: Mapping[str, Any]) -> Mapping[str, list[str]]:
    """The parents of each code that a property `child` of theirs names; v3 code systems have further parents so."""
    found: dict[str, list[str]] = {}
    rest = list(resource.get("concept", ()))
    while rest:
        row = rest.pop()
        rest += row.get("concept", ())
        for part in row.get("property", ()):
            if part["code"] == _CHILD and "valueCode" in part:
                found.setdefault(part["valueCode"], []).append(row["code"])
    return found


def concept(row: Mapping[str, Any], above: tuple[str, ...] = (), uris: Mapping[str, str] | None = None) -> Concept:
    """One CodeSystem.concept.  above: what it is nested in.  uris: those that the system gives its properties."""
    properties = []
    parents = dict.fromkeys(above)
    abstract = inactive = False
    for part in row.get("property", ()):
        type = next((name for name in part if name.startswith("value")), None)
        if type is None:
            continue
        found = Property(part["code"], type, part[type])
        uri = (uris or {}).get(found.code, "")
        means = uri.removeprefix(_STANDARD) if uri.startswith(_STANDARD) else found.code
        if means in _PARENTS:
            parents[found.text] = None
            continue
        if means == _CHILD:
            continue
        abstract |= means == "notSelectable" and found.value is True
        inactive |= (means == "inactive" and found.value is True) or (means == "status" and found.text in _ABSENT)
        properties.append(found)
    designations = tuple(
        Designation(each["value"], each.get("language"), each.get("use")) for each in row.get("designation", ())
    )
    return Concept(
        row["code"],
        row.get("display"),
        row.get("definition"),
        designations,
        tuple(properties),
        tuple(parents),
        abstract,
        inactive,
    )


def speaks(language: str | None, asked: str) -> bool:
    """Whether what is in `language` will do for `asked`: `fr-FR` for `fr`, and `fr` for `fr-FR`.  RFC 4647 s. 3.3

    >>> speaks("fr-FR", "fr"), speaks("fr", "fr-CA"), speaks("en", "fr"), speaks(None, "fr")
    (True, True, False, False)
    """
    if not language:
        return False
    one, other = language.lower(), asked.lower()
    return one == other or one.startswith(f"{other}-") or other.startswith(f"{one}-")


def in_language(designations: Iterable[Designation], asked: str) -> list[Designation]:
    """Those in a language, the very same first."""
    found = [each for each in designations if speaks(each.language, asked)]
    return sorted(found, key=lambda each: (each.language or "").lower() != asked.lower())


def words(text: str) -> list[str]:
    """The words of a text without accents and case.

    >>> words("Compte-rendu d'hospitalisation, œil")
    ['compte', 'rendu', 'd', 'hospitalisation', 'oeil']
    """
    plain = unicodedata.normalize("NFKD", text.replace("œ", "oe").replace("Œ", "OE").replace("æ", "ae"))
    letters = "".join(character for character in plain if not unicodedata.combining(character))
    return _WORD.findall(letters.casefold())


def words_of(concept: Concept) -> list[str]:
    """The words that a concept is found by: those of its code and of all its names."""
    return list(dict.fromkeys(word for text in (concept.code, *concept.names()) for word in words(text)))


def has_words(concept: Concept, wanted: Iterable[str]) -> bool:
    """Whether each of the wanted words begins a word of the concept."""
    known = words_of(concept)
    return all(any(word.startswith(start) for word in known) for start in wanted)
