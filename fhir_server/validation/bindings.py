"""Which codes R4 lets an element have where a binding leaves no choice, and how to say that one is not among them.

The codes are those of profiles/r4/bindings.json.  Of the value sets that it cannot list, languages and currencies are
asked for their form; a media type, a unit and a code of LOINC may be anything.

>>> print(binding("http://hl7.org/fhir/ValueSet/list-mode").fault("Working"))
`Working` is not a code of list-mode; did you mean `working`? Known: `working`, `snapshot`, `changes`

R4: terminologies.html#strength
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from fhir_server.fhir import definitions
from fhir_server.validation.words import listing, nearest, shown

_VALUE_SET = "http://hl7.org/fhir/ValueSet/"


@dataclass(frozen=True, slots=True)
class Binding:
    """A value set whose codes are known."""

    name: str
    systems: Mapping[str, tuple[str, ...]]
    """The codes of each system, in the order of the standard."""
    codes: frozenset[str]
    """Those of all systems: what a `code`, which names no system, may be."""

    def fault(self, code: str) -> str | None:
        """What is wrong with the value of a `code`, as the rest of a sentence."""
        if code in self.codes:
            return None
        known = dict.fromkeys(code for codes in self.systems.values() for code in codes)
        near = nearest(code, known)
        meant = f"did you mean `{near}`? Known" if near else "known"
        return f"{shown(code)} is not a code of {self.name}; {meant}: {listing(known)}"

    def concept_fault(self, concept: Mapping[str, Any]) -> str | None:
        """What is wrong with a CodeableConcept of good structure: one coding has to be of the value set."""
        codings = concept.get("coding", ())
        if any(coding.get("code") in self.systems.get(coding.get("system"), ()) for coding in codings):
            return None
        if not codings and "text" not in concept:
            return None  # Extensions alone say why there is nothing.  R4: extensibility.html#Special-Case
        known = "; ".join(f"{listing(codes)} of {system}" for system, codes in self.systems.items())
        return f"has no coding of {self.name}; known: {known}"


@dataclass(frozen=True, slots=True)
class Form:
    """What the codes of a value set look like that no table can list."""

    what: str
    pattern: re.Pattern[str]

    def fault(self, code: str) -> str | None:
        """What is wrong with the value of a `code`, as the rest of a sentence."""
        return None if self.pattern.fullmatch(code) else f"{shown(code)} is not {self.what}"


_FORMS = {
    _VALUE_SET + "all-languages": Form(
        "a language tag such as `fr` or `fr-CA` (BCP 47)",
        re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*|[IXix](-[A-Za-z0-9]{1,8})+"),
    ),
    _VALUE_SET + "currencies": Form("a currency such as `EUR` (ISO 4217)", re.compile("[A-Z]{3}")),
}


def binding(value_set: str | None) -> Binding | Form | None:
    """What the codes of this value set, which definitions.Element.binding names, are held to; None: to nothing."""
    return _bindings().get(value_set) if value_set else None


@cache
def _bindings() -> Mapping[str, Binding | Form]:
    table = definitions.bindings()
    return _FORMS | {
        url: Binding(
            name=url.rpartition("/")[2],
            systems={system: tuple(codes) for system, codes in systems.items()},
            codes=frozenset(code for codes in systems.values() for code in codes),
        )
        for url, systems in table["codes"].items()
    }
