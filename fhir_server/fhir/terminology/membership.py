"""Whether a code is in a value set or a code system, and under what name.

R4: valueset-operation-validate-code.html, codesystem-operation-validate-code.html
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fhir_server.fhir.terminology.concepts import Concept
from fhir_server.fhir.terminology.systems import System
from fhir_server.fhir.terminology.value_sets import Definition


@dataclass(frozen=True, slots=True)
class Coded:
    """A code that is asked about; `system` None: whichever has it."""

    code: str
    system: str | None = None
    version: str | None = None
    display: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    The answer.

    message   why not; or, with a good answer, what else there is to say
    display   the name to show for the code
    """

    result: bool
    message: str | None = None
    display: str | None = None
    system: str | None = None
    code: str | None = None


def in_value_set(
    definition: Definition, coded: Coded, *, abstract: bool = False, infer: bool = False, language: str | None = None
) -> Verdict:
    """
    Whether the code is in the value set, its display a name of it.

    abstract: whether a code that only groups others will do.  infer: whether to look for the system of a bare code.
    """
    name = definition.about.get("url") or "the value set"
    system = coded.system
    if system is None:
        if not infer:
            return Verdict(False, f"`{coded.code}` has no system; give it, or ask with `inferSystem`.", code=coded.code)
        found = definition.with_code(coded.code)
        if len(found) > 1:
            text = f"`{coded.code}` is in {name} more than once, as a code of {' and of '.join(found)}."
            return Verdict(False, text, code=coded.code)
        if not found:
            return Verdict(False, f"`{coded.code}` is not in {name}.", code=coded.code)
        system = found[0]
    concept = definition.concept(system, coded.code)
    if not definition.holds(system, coded.code, coded.version):
        text = f"`{coded.code}` of {system} is not in {name}."
        return Verdict(False, text, concept.display if concept else None, system, coded.code)
    own = next((part.known.about.get("language") for part in definition.includes if part.known), None)
    return _named(concept or Concept(coded.code), coded, system, own, abstract=abstract, language=language)


def in_code_system(system: System, coded: Coded, *, abstract: bool = False, language: str | None = None) -> Verdict:
    """Whether the system has the code, its display a name of it."""
    if coded.system is not None and coded.system != system.url:
        return Verdict(False, f"`{coded.code}` is said to be of {coded.system}, not of {system.url}.", code=coded.code)
    concept = system.concept(coded.code)
    if concept is None:
        partly = ", of which a part is known here" if system.about.get("content") in ("fragment", "example") else ""
        text = f"`{coded.code}` is not a code of {system.url}{partly}."
        return Verdict(False, text, system=system.url, code=coded.code)
    return _named(concept, coded, system.url, system.about.get("language"), abstract=abstract, language=language)


def any_of(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict on a CodeableConcept: one good coding is enough.  R4: terminologies.html#code"""
    found = list(verdicts)
    good = next((each for each in found if each.result), None)
    if good:
        return good
    messages = [each.message for each in found if each.message]
    return Verdict(False, " ".join(messages) or "The concept has no coding.", found[0].display if found else None)


def _named(
    concept: Concept, coded: Coded, system: str, own: str | None, *, abstract: bool, language: str | None
) -> Verdict:
    display = concept.named(language, own)
    if concept.abstract and not abstract:
        text = f"`{coded.code}` of {system} groups others and is not to be used by itself."
        return Verdict(False, text, display, system, coded.code)
    names = list(concept.names())
    if coded.display is not None and names and not _is_among(coded.display, names):
        text = f"`{coded.display}` is not a name of `{coded.code}` of {system}; known: {_listing(names)}."
        return Verdict(False, text, display, system, coded.code)
    retired = f"`{coded.code}` of {system} is no longer in use." if concept.inactive else None
    return Verdict(True, retired, display, system, coded.code)


def _is_among(display: str, names: Sequence[str]) -> bool:
    """Case and spaces aside."""
    asked = " ".join(display.casefold().split())
    return any(asked == " ".join(name.casefold().split()) for name in names)


def _listing(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in dict.fromkeys(names))
