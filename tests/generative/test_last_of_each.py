"""$lastn over any record: what the server answers is what a naive reading of the standard finds.

R4: observation-operation-lastn.html
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_server.storage import last
from tests.build import entry, observation, transaction
from tests.calls import Caller, Served
from tests.naive.last import last_of_each

SYSTEMS = st.sampled_from(["urn:a", "urn:a|b", None])
CODES = st.sampled_from(["1", "2", "3", "b|1", "#1"])
CODINGS = st.fixed_dictionaries({"code": CODES}, optional={"system": SYSTEMS.filter(bool)})
CONCEPTS = st.one_of(
    st.fixed_dictionaries(
        {"coding": st.lists(CODINGS, min_size=1, max_size=3)}, optional={"text": st.sampled_from("xX")}
    ),
    st.fixed_dictionaries({"text": st.sampled_from(["x", "X", "x ", "é"])}),
)
DAYS = ["2024", "2024-01", "2024-01-01", "2024-02-29T10:00:00Z", "2024-02-29T11:00:00+01:00", "2023-12-31T23:00:00Z"]
TIMES: st.SearchStrategy[Any] = st.one_of(
    st.just({}),
    st.sampled_from([{"effectiveDateTime": day} for day in DAYS]),
    st.sampled_from([{"effectivePeriod": {"start": day}} for day in DAYS]),
    st.just({"effectivePeriod": {"end": "2024"}}),
)
STATUSES = st.sampled_from(["final", "amended"])
OBSERVATIONS = st.lists(st.tuples(CONCEPTS, TIMES, STATUSES), min_size=1, max_size=14)


@pytest.mark.parametrize("besides", [0, last.BESIDES])
def test_what_the_server_finds(served: Served, operator: Caller, besides: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """R4 observation-operation-lastn.html: the same observations, in the same order, page by page"""

    monkeypatch.setattr(last, "BESIDES", besides)

    @settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
    @given(drawn=OBSERVATIONS, most=st.integers(1, 4), count=st.sampled_from([2, 1000]), cut=st.booleans())
    def same(drawn: list[tuple[Any, Any, str]], most: int, count: int, cut: bool) -> None:
        patient, holder = served.patient()
        made = [observation(patient, code=code, status=status, **time) for code, time, status in drawn]
        answer = operator(
            "POST",
            "",
            transaction(*(entry("POST", "Observation", one) for one in made)),
            Prefer="return=representation",
        )
        assert answer.status_code == 200, answer.text
        kept = [one["resource"] for one in answer.json["entry"]]
        matching = [one for one in kept if not cut or one["status"] == "final"]
        query = f"max={most}&_count={count}{'&status=final' if cut else ''}"
        assert _pages(holder, f"Observation/$lastn?patient={patient}&{query}") == last_of_each(matching, most)

    same()


def _pages(caller: Caller, where: str | None) -> list[str]:
    found: list[str] = []
    while where:
        answer = caller.get(where)
        found += [one["resource"]["id"] for one in answer.get("entry", ())]
        where = next((link["url"] for link in answer["link"] if link["relation"] == "next"), None)
    return found
