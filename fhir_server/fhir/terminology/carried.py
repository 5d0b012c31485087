"""The terminologies that come with the project: the files of terminologies/, and the codes of R4's required bindings.

Of a binding profiles/r4/bindings.json has the codes and terminologies/r4/names.json the names: its value set and its
systems are made from there when they are asked for, so that nothing is kept twice.  Where a file has the same system,
it goes first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache, cached_property
from typing import Any

import orjson

from fhir_server.config import carried
from fhir_server.fhir.outcome import NotFound, TooCostly
from fhir_server.fhir.terminology.concepts import Concept
from fhir_server.fhir.terminology.relations import members
from fhir_server.fhir.terminology.systems import Grammar, Listed, Resource, System

SNOMED = "http://snomed.info/sct"
LOINC = "http://loinc.org"
_R4 = "http://hl7.org/fhir/ValueSet/"

#: R4: codesystem registry, terminologies-systems.html
_GRAMMARS = {
    grammar.url: grammar
    for grammar in (
        Grammar("urn:ietf:bcp:47", "Languages (BCP 47)", r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*"),
        Grammar("urn:ietf:bcp:13", "Media types (BCP 13)", r"[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+(\s*;.*)?"),
        Grammar("urn:iso:std:iso:4217", "Currencies (ISO 4217)", "[A-Z]{3}"),
    )
}
_OPEN = {
    f"{_R4}all-languages": "urn:ietf:bcp:47",
    f"{_R4}mimetypes": "urn:ietf:bcp:13",
    "http://www.rfc-editor.org/bcp/bcp13.txt": "urn:ietf:bcp:13",
    f"{_R4}currencies": "urn:iso:std:iso:4217",
}


class Carried:
    """A Source of what is carried; read when it is first asked, and then kept: it is a few megabytes in all."""

    def __init__(self) -> None:
        self._systems: dict[str, System | None] = {}
        self._members: dict[str, frozenset[tuple[str, str]]] = {}

    def code_system(self, url: str, version: str | None = None) -> System | None:
        """As Source; of every system there is one version."""
        if url in _GRAMMARS:
            return _GRAMMARS[url]
        if url not in self._systems and (url in self._files["CodeSystem"] or url in self._bound_systems):
            self._systems[url] = self._system(url)
        found = self._systems.get(url)
        return None if found and version and found.version and found.version != version else found

    def value_set(self, url: str, version: str | None = None) -> Resource | None:
        """As Source; the value sets that other url schemes stand for, too.  R4: snomedct.html#implicit, loinc.html"""
        found = self._files["ValueSet"].get(url) or self._bound(url) or implicit(url)
        if found is None or (version and found.get("version", version) != version):
            return None
        return found

    def members(self, canonical: str) -> frozenset[tuple[str, str]]:
        """As relations.members, and kept.  Raises NotFound, TooCostly."""
        if canonical not in self._members:
            self._members[canonical] = members(self, canonical)
        return self._members[canonical]

    def enumerated(self, canonical: str) -> frozenset[tuple[str, str]] | None:
        """(system, code) of all who are in, for a binding to be held to; None where that is not known."""
        try:
            return self.members(canonical)
        except (NotFound, TooCostly):
            return None

    def resources(self) -> Iterator[Resource]:
        """Every CodeSystem and ValueSet that has a file, as it is written there."""
        for found in self._files.values():
            yield from found.values()

    @cached_property
    def _files(self) -> Mapping[str, Mapping[str, Resource]]:
        found: dict[str, dict[str, Resource]] = {"CodeSystem": {}, "ValueSet": {}}
        for folder in ("code-systems", "value-sets"):
            for path in sorted((carried("terminologies") / folder).glob("*.json")):
                resource = orjson.loads(path.read_bytes())
                found[resource["resourceType"]][resource["url"]] = resource
        return found

    @cached_property
    def _bindings(self) -> Mapping[str, Mapping[str, list[str]]]:
        table: dict[str, Any] = orjson.loads((carried("profiles") / "r4" / "bindings.json").read_bytes())
        return table["codes"]

    @cached_property
    def _names(self) -> Mapping[str, Mapping[str, str]]:
        found: dict[str, dict[str, str]] = orjson.loads((carried("terminologies") / "r4" / "names.json").read_bytes())
        return found

    @cached_property
    def _bound_systems(self) -> Mapping[str, Mapping[str, None]]:
        """The codes that bindings have of each system, whichever value set names them."""
        found: dict[str, dict[str, None]] = {}
        for systems in self._bindings.values():
            for url, codes in systems.items():
                found.setdefault(url, {}).update(dict.fromkeys(codes))
        return found

    def _system(self, url: str) -> System:
        names = self._names.get(url, {})
        bound = (Concept(code, names.get(code, code)) for code in self._bound_systems.get(url, ()))
        if url in self._files["CodeSystem"]:
            resource = self._files["CodeSystem"][url]
            return Listed(resource, also=bound if resource["content"] == "fragment" else ())
        about = {
            "resourceType": "CodeSystem",
            "language": "en",
            "url": url,
            "name": url.rpartition("/")[2],
            "status": "active",
            "content": "fragment",
        }
        return Listed(about, also=bound)

    def _bound(self, url: str) -> Resource | None:
        if url in _OPEN:
            include: list[dict[str, Any]] = [{"system": _OPEN[url]}]
        elif url in self._bindings:
            include = [
                {"system": system, "concept": [{"code": code} for code in codes]}
                for system, codes in self._bindings[url].items()
            ]
        else:
            return None
        return _value_set(url, include)


def implicit(url: str) -> Resource | None:
    """
    The value set that a url of SNOMED CT or LOINC stands for: all codes, or those below one.

    >>> implicit("http://snomed.info/sct?fhir_vs=isa/73211009")["compose"]["include"][0]["filter"][0]["value"]
    '73211009'
    """
    if url == f"{LOINC}/vs":
        return _value_set(url, [{"system": LOINC}])
    stem, _, asked = url.partition("?fhir_vs")
    if stem != SNOMED or "?fhir_vs" not in url:
        return None
    if not asked:
        return _value_set(url, [{"system": SNOMED}])
    if asked.startswith("=isa/"):
        below = {"property": "concept", "op": "is-a", "value": asked.removeprefix("=isa/")}
        return _value_set(url, [{"system": SNOMED, "filter": [below]}])
    return None


def _value_set(url: str, include: list[dict[str, Any]]) -> Resource:
    name = url.rpartition("/")[2]
    return {"resourceType": "ValueSet", "url": url, "name": name, "status": "active", "compose": {"include": include}}


@cache
def carried_terminologies() -> Carried:
    """The one Source of what is carried."""
    return Carried()
