"""Whole searches: what the server answers is what a naive evaluator of the same records finds.

Matches, their order, what is included with each page, totals, and the way from page to page and back.
R4: search.html
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.queries import Pick, Searches
from tests.searches import Searched, differences, walk

_KINDS = ("plain", "linked", "included", "ordered", "in_compartment")
#: Searches that differ are short already, and each further try is a request.
_PHASES = (Phase.explicit, Phase.generate)


@pytest.fixture(scope="module")
def searches(corpus: Searched) -> Searches:
    """What there is to ask of the records."""
    return Searches(corpus.records)


@st.composite
def drawn(draw: st.DrawFn, search: Callable[[Pick], str]) -> str:
    """One search of a kind."""
    return search(lambda pool: pool[draw(st.integers(0, len(pool) - 1))])


@pytest.mark.parametrize("kind", _KINDS)
def test_what_the_server_finds(kind: str, corpus: Searched, searches: Searches) -> None:
    """R4 search.html#ptypes, #chaining, #has, #include, #sort; compartmentdefinition-patient.html"""

    @settings(max_examples=150, deadline=None, phases=_PHASES, suppress_health_check=list(HealthCheck))
    @given(query=drawn(getattr(searches, kind)))
    def same(query: str) -> None:
        told = differences(corpus, query)
        assert not told, f"{query}: {told}"

    same()


def test_there_and_back(corpus: Searched, searches: Searches) -> None:
    """R4 search.html#count: each resource once on the way there, the same pages on the way back"""

    @settings(max_examples=40, deadline=None, phases=_PHASES, suppress_health_check=list(HealthCheck))
    @given(query=st.one_of(drawn(searches.ordered), drawn(searches.included)))
    def same(query: str) -> None:
        there = list(walk(corpus.caller, query))
        last = there[-1]
        back = [last]
        if "previous" in last.links:
            back += walk(corpus.caller, last.links["previous"], "previous")
        assert [one.matches for one in reversed(back)] == [one.matches for one in there], query

    same()
