"""What a person ticks and what the app gets: never more than was asked for, and never more for fewer ticks.

SMART App Launch 2.2: scopes-and-launch-context.html (fine-grained resource constraints; wildcards)
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.access.scopes import Scope, covers, parse
from fhir_server.smart.offer import DIVISIONS, Row, asks_no_more, granted, rows

LETTERS = [".read", ".write", ".*"] + [
    "." + "".join(found) for size in range(1, 6) for found in combinations("cruds", size)
]
TYPES = ["*", "Patient", "Observation", "Condition", "DocumentReference", "List", "Consent", "Practitioner", "Slot"]
QUERIES = ["", "", "", "?category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory", "?code=a|b"]
WORDS = ["openid", "fhirUser", "launch/patient", "offline_access", "online_access"]
RESOURCES = st.builds(
    lambda context, type, letters, query: f"{context}/{type}{letters}{'' if type == '*' else query}",
    st.sampled_from(["patient", "user"]),
    st.sampled_from(TYPES),
    st.sampled_from(LETTERS),
    st.sampled_from(QUERIES),
)
ASKED = st.lists(RESOURCES | st.sampled_from(WORDS), min_size=1, max_size=5, unique=True).map(" ".join)


def ticks(data: Any, offered: tuple[Row, ...]) -> set[str]:
    """The ids of some of the rows, and now and then of one that was not offered."""
    return data.draw(st.sets(st.sampled_from([*(row.id for row in offered), "MESURES-write", "*"])))


def is_within(asked: Scope, had: tuple[Scope, ...]) -> bool:
    """Whether each letter of what is asked was had."""
    singles = [Scope(asked.context, asked.type, letter, asked.constraints) for letter in asked.letters]
    return all(any(covers(one, single) for one in had) for single in singles)


@given(ASKED, st.data())
def test_never_more_than_asked_for(asked: str, data: Any) -> None:
    """RFC 6749 s. 3.3"""
    offered = rows(asked)
    result = granted(asked, offered, ticks(data, offered))
    assert all(is_within(one, parse(asked)) for one in parse(result))
    assert {word for word in result.split() if not parse(word)} <= set(asked.split())


@given(ASKED, st.data())
def test_never_more_for_fewer_ticks(asked: str, data: Any) -> None:
    """Scope monotonicity"""
    offered = rows(asked)
    some = ticks(data, offered)
    more = granted(asked, offered, some | ticks(data, offered))
    fewer = granted(asked, offered, some)
    assert all(is_within(one, parse(more)) for one in parse(fewer))
    assert asks_no_more(fewer, more)


@given(ASKED)
def test_nothing_ticked_opens_nothing(asked: str) -> None:
    """What comes with accepting opens no resource"""
    result = granted(asked, rows(asked), set())
    assert parse(result) == ()
    assert "offline_access" not in result.split()


@given(ASKED)
def test_everything_ticked_is_what_was_asked_for(asked: str) -> None:
    """SMART App Launch 2.2: a scope of version 1 is answered as one"""
    offered = rows(asked)
    result = granted(asked, offered, {row.id for row in offered})
    assert asks_no_more(asked, result)
    assert set(result.split()) <= set(asked.split())


@given(ASKED, st.data())
def test_a_row_gives_the_same_again(asked: str, data: Any) -> None:
    """Who comes back finds the boxes as they were left, and the page has nothing new to say of them"""
    offered = rows(asked)
    some = {row.id for row in offered if row.id in ticks(data, offered)}
    result = granted(asked, offered, some)
    again = {row.id: row for row in rows(asked, previous=result)}
    assert all(again[id].ticked and not again[id].new for id in some if again[id].kind != "rest")


@given(st.sampled_from(["Observation", "Condition"]), st.data())
def test_categories_can_be_given_without_the_type(type: str, data: Any) -> None:
    """ONC (g)(10): who is asked for a type may grant categories of it, and then no scope on the type as a whole"""
    asked = f"patient/{type}.rs"
    offered = rows(asked)
    all_but_one = {row.id for row in offered} - {data.draw(st.sampled_from([row.id for row in offered]))}
    assert all(scope.constraints for scope in parse(granted(asked, offered, all_but_one)))
    codes = [code for (_, divided), found in DIVISIONS.items() if divided == type for code in found.values()]
    whole_section = {
        row.id for row in offered if not (row.division is None and row.section in ("RESULTATS", "MALADIES"))
    }
    assert {f"{asked}?category={code}" for code in codes} <= set(granted(asked, offered, whole_section).split())


@settings(max_examples=25)
@given(st.lists(st.sampled_from(["patient/*.cruds", *(f"patient/{type}.crs" for type in TYPES[1:])])), st.data())
def test_what_was_granted_is_told_in_the_rows_that_were_ticked(asked: list[str], data: Any) -> None:
    """Who looks after connected apps finds what they ticked, and can take it back row by row"""
    offered = rows(" ".join(asked))
    some = {row.id for row in offered if row.id in ticks(data, offered) and row.kind != "rest"}
    result = granted(" ".join(asked), offered, some)
    assert {row.id for row in rows(result) if row.kind != "rest"} == some
    assert "rest-read" not in {row.id for row in rows(result)}
