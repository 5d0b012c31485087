"""Which scope is a part of which: an order, and the part that two have in common.

SMART App Launch 2.2: scopes-and-launch-context.html; RFC 6749 s. 6
"""

from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from fhir_server.access.scopes import Scope, covers, faults, narrow, parse

LETTERS = ["".join(found) for size in range(1, 6) for found in combinations("cruds", size)]
PAIRS = st.sampled_from([("category", "laboratory"), ("code", "http://loinc.org|8480-6"), ("_tag", "a&b=c d%")])
SCOPES = st.builds(
    Scope,
    st.sampled_from(["patient", "user", "system"]),
    st.sampled_from(["*", "Patient", "Observation", "Condition"]),
    st.sampled_from(LETTERS),
    st.lists(PAIRS, max_size=2, unique=True).map(tuple),
)
OTHER_WORDS = st.sampled_from(["openid", "launch/patient", "offline_access", "__bris_de_glace"])
WORDS = st.one_of(SCOPES.map(str), OTHER_WORDS, st.sampled_from(["patient/Observation.read", "user/*.*", "x/y.z"]))
STRINGS = st.lists(WORDS, max_size=4).map(" ".join)
#: Every single thing that a scope may allow: one letter on one type, of a resource that meets these constraints.
DEEDS = [
    Scope(context, type, letter, constraints)
    for context in ("patient", "user", "system")
    for type in ("Patient", "Observation", "Condition")
    for letter in "cruds"
    for constraints in (
        (),
        (("category", "laboratory"),),
        (("_tag", "a&b=c d%"), ("category", "laboratory"), ("code", "http://loinc.org|8480-6")),
    )
]


def allows(scope: str, deed: Scope) -> bool:
    """Whether one of the scopes of the string allows the deed."""
    return any(covers(one, deed) for one in parse(scope))


@given(SCOPES)
def test_a_scope_is_written_as_it_is_read(scope: Scope) -> None:
    """SMART App Launch 2.2: fine-grained resource constraints using search parameters"""
    assert parse(str(scope)) == (scope,)
    assert faults(str(scope)) == []


@given(SCOPES, SCOPES, SCOPES)
def test_covering_is_an_order(one: Scope, two: Scope, three: Scope) -> None:
    """Reflexive and transitive; what covers each other allows the same."""
    assert covers(one, one)
    assert covers(one, three) or not (covers(one, two) and covers(two, three))
    if covers(one, two) and covers(two, one):
        assert (one.context, one.type, one.letters) == (two.context, two.type, two.letters)


@given(SCOPES, SCOPES)
def test_what_covers_allows_all_that_is_covered(one: Scope, two: Scope) -> None:
    """Each single deed that the covered allows, the covering allows."""
    if covers(one, two):
        assert all(covers(one, deed) for deed in DEEDS if covers(two, deed))


@given(STRINGS, STRINGS)
def test_narrowed_is_what_both_allow(granted: str, asked: str) -> None:
    """RFC 6749 s. 6: nothing that was not granted, nothing that was not asked for, and all that is both."""
    found = narrow(granted, asked)
    for deed in DEEDS:
        assert allows(found, deed) == (allows(granted, deed) and allows(asked, deed)), deed
    assert faults(found) == []


@given(STRINGS)
def test_what_was_granted_may_be_asked_for_again(scope: str) -> None:
    """RFC 6749 s. 6: the words are kept, those of SMART 1, too."""
    valid = [word for word in scope.split() if not faults(word)]
    again = narrow(scope, scope).split()
    assert set(again) <= set(valid)
    assert narrow(" ".join(again), " ".join(again)).split() == again


@given(STRINGS, OTHER_WORDS)
def test_other_words_are_kept_if_they_were_granted(granted: str, word: str) -> None:
    """`openid`, `launch/patient`: no part of them is less than the whole."""
    assert narrow(granted, word) == (word if word in granted.split() else "")


def test_words_of_smart_1_stay_words_of_smart_1() -> None:
    """SMART App Launch 2.2: scopes for requesting clinical data, compatibility with version 1"""
    assert narrow("patient/*.read", "patient/Observation.*") == "patient/Observation.read"
    assert narrow("patient/*.r", "patient/Observation.read") == "patient/Observation.r"
    assert narrow("patient/Observation.r patient/Observation.s", "patient/Observation.rs") == "patient/Observation.rs"
