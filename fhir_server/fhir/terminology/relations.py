"""How codes stand to each other, and what search asks of terminologies.

R4: codesystem-operation-subsumes.html, search.html#token (`:in`, `:not-in`, `:below`, `:above`)
"""

from __future__ import annotations

from itertools import islice
from typing import Literal

from fhir_server.fhir.outcome import NotFound, NotSupported, TooCostly
from fhir_server.fhir.terminology.conditions import Condition
from fhir_server.fhir.terminology.systems import Source, System, system, value_set
from fhir_server.fhir.terminology.value_sets import read

Subsumption = Literal["equivalent", "subsumes", "subsumed-by", "not-subsumed"]

#: So many codes a search may stand for.
MOST_IN_SEARCH = 5_000


def subsumes(of: System, one: str, other: str) -> Subsumption:
    """
    How `one` stands to `other`.

    Raises NotFound for a code that the system does not have, NotSupported where its hierarchy says nothing of meaning.
    """
    first, second = known(of, one), known(of, other)
    if first == second:
        return "equivalent"
    if of.about.get("hierarchyMeaning") == "part-of":
        raise NotSupported(f"In {of.url} what stands below is a part of what stands above, not a kind of it.")
    if first in of.ancestors(second):
        return "subsumes"
    return "subsumed-by" if second in of.ancestors(first) else "not-subsumed"


def known(of: System, code: str) -> str:
    """The code as the system writes it.  Raises NotFound."""
    found = of.concept(code)
    if found is None:
        raise NotFound(f"`{code}` is not a code of {of.url} that is known here.")
    return found.code


def members(source: Source, canonical: str, *, most: int = MOST_IN_SEARCH) -> frozenset[tuple[str, str]]:
    """
    (system, code) of all who are in a value set, named by its url or by a reference to it.

    Raises NotFound for a value set, or a system in it, that is not known; TooCostly for more than `most`.
    """
    found = list(islice(read(value_set(source, canonical), source).members(), most + 1))
    if len(found) > most:
        raise TooCostly(f"The value set `{canonical}` has more than {most} codes.")
    return frozenset(member.key for member in found)


def descendants(source: Source, url: str, code: str, *, most: int = MOST_IN_SEARCH) -> frozenset[str]:
    """
    The code and all that stands below it.

    Raises NotFound for a system or a code that is not known, TooCostly for more than `most`.
    """
    of = system(source, url)
    top = known(of, code)
    found = [each.code for each in islice(of.select((Condition("concept", "is-a", top),)), most + 1)]
    if len(found) > most:
        raise TooCostly(f"More than {most} codes stand below `{code}` of {url}.")
    return frozenset(found)


def ancestors(source: Source, url: str, code: str) -> frozenset[str]:
    """The code and all that stands above it.  Raises NotFound as `descendants`."""
    of = system(source, url)
    top = known(of, code)
    return of.ancestors(top) | {top}
