"""What anybody is shown is what the naive policy shows them: searches, totals, pages, reads, histories, `$everything`.

A small store at random, everybody in turn, searches at random: the server's answer is that of a naive evaluator over
the resources which a naive reading of the rules lets them see, and nothing else.
rule A1 to A18; R4 search.html
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.calls import Caller, Served, ids
from tests.launches import Clock
from tests.naive.access import DIRECTORY
from tests.queries import Searches
from tests.searches import Searched, differences
from tests.worlds import KEPT, TYPES, Asker, World

_PHASES = (Phase.explicit, Phase.generate)
SEEDS = st.integers(0, 2**32 - 1)
KINDS = ("plain", "plain", "linked", "linked", "included", "ordered", "in_compartment")
FORM = {"Content_Type": "application/x-www-form-urlencoded"}


class Scene:
    """A world, and the searches that are worth asking there."""

    def __init__(self, stage: tuple[Served, Clock], seed: int):
        self.world = World(*stage, seed)
        self.pick = self.world.random.choice

    @cached_property
    def searches(self) -> Searches:
        """Searches for what there is, whoever may see it."""
        return Searches(self.world.records, TYPES)

    def query(self, asker: Asker, kind: str) -> str:
        """A search of a kind; what is everybody's is asked for within this world alone."""
        found: str = getattr(self.searches, kind)(self.pick)
        if asker.kind == "operator" or found.partition("?")[0].rpartition("/")[2] in DIRECTORY:
            found += ("&" if "?" in found else "?") + self.world.tag
        return found


def _asks(pick: Any, query: str) -> str:
    """The search with a word on how to answer."""
    more = pick(("", "", "_total=accurate", "_summary=count", "_count=2", "_count=2&_total=accurate", "_elements=id"))
    if not more or "_count=" in query or "_total=" in query:
        return query
    return query + ("&" if "?" in query else "?") + str(more)


def _told(scene: Scene, asker: Asker, caller: Caller, kind: str) -> str | None:
    """Where the answer to a search is not what it should be; None where it is."""
    query = _asks(scene.pick, scene.query(asker, kind))
    path, _, terms = query.partition("?")
    type = path.rpartition("/")[2]
    first = caller("GET", query)
    if not asker.reaches(type, "s"):
        return None if first.status_code == 403 else f"{query}: {first.status_code}, without a scope for it"
    if first.status_code == 403 and kind == "linked" and not asker.reaches("", "s"):
        return None  # it leads to a type that no scope is for
    if kind == "included" and not asker.even:
        return None  # what comes along is read, what is asked for is found
    if first.status_code != 200:
        return f"{query}: {first.status_code} {first.text[:300]}"
    shown = scene.world.records.among(sorted(scene.world.shown(asker)))
    told = differences(Searched(caller, shown), query)
    if told:
        return f"{query}: {told}"
    posted = caller("POST", f"{path}/_search", terms.encode(), **FORM)
    same = posted.status_code == 200 and (ids(posted.json), posted.json.get("total")) == (
        ids(first.json), first.json.get("total"))  # fmt: skip
    return None if same or "_cursor" in terms else f"{query}: by POST otherwise"


@settings(max_examples=4, deadline=None, phases=_PHASES, suppress_health_check=list(HealthCheck))
@given(seed=SEEDS)
def test_a_search_is_a_filter_over_the_naive_policy(stage: tuple[Served, Clock], seed: int) -> None:
    """A1 to A18: for each caller, each search finds what is there among what the caller may see: matches, totals"""
    scene = Scene(stage, seed)
    for asker in scene.world.askers():
        caller = scene.world.caller(asker)
        for kind in scene.world.random.sample(KINDS, 4):
            told = _told(scene, asker, caller, kind)
            assert told is None, (asker, told)
        for told in _wholesale(scene, asker, caller):
            assert told is None, (asker, told)


def _wholesale(scene: Scene, asker: Asker, caller: Caller) -> Iterator[str | None]:
    """All there is of some types, of one record or of every one."""
    shown = scene.world.shown(asker)
    everything = asker.kind == "operator"
    for type in scene.world.random.sample(TYPES, 5):
        tag = f"&{scene.world.tag}" if everything or type in DIRECTORY else ""
        yield _page_by_page(caller, f"{type}?_count=7&_total=accurate{tag}", asker.reaches(type, "s"), {
            one for one in shown if one.startswith(type + "/")})  # fmt: skip
    reached = [type for type in TYPES if asker.reaches(type, "s")]
    some = [type for type in reached if scene.pick((True, False))] or reached
    if some:
        query = f"?_type={','.join(some)}&_count=5&_total=accurate&{scene.world.tag}"
        yield _page_by_page(caller, query, True, {one for one in shown if one.partition("/")[0] in some})
    patient = scene.pick(scene.world.patients)
    in_record = [type for type in some if type in KEPT and type not in ("Patient", "Binary")]
    if in_record:
        query = f"Patient/{patient}/*?_type={','.join(in_record)}&_total=accurate&{scene.world.tag}"
        records = scene.world.records.among(sorted(shown))
        wanted = {one for type in in_record for one in records.matches(type, (), patient=patient)}
        yield _page_by_page(caller, query, True, wanted)


def _page_by_page(caller: Caller, query: str, reached: bool, wanted: set[str]) -> str | None:
    answer = caller("GET", query)
    if not reached:
        return None if answer.status_code == 403 else f"{query}: {answer.status_code}, without a scope for it"
    found: list[str] = []
    totals = set()
    while True:
        if answer.status_code != 200:
            return f"{query}: {answer.status_code} {answer.text[:300]}"
        found += ids(answer.json)
        totals |= {answer.json["total"]} if "total" in answer.json else set()
        onward = [link["url"] for link in answer.json["link"] if link["relation"] == "next"]
        if not onward:
            break
        answer = caller("GET", onward[0])
    if sorted(found) != sorted(wanted):
        return f"{query}: hidden {sorted(set(found) - wanted)}, lacking {sorted(wanted - set(found))}"
    return None if totals == {len(wanted)} else f"{query}: totals {totals} of {len(wanted)}"


@settings(max_examples=4, deadline=None, phases=_PHASES, suppress_health_check=list(HealthCheck))
@given(seed=SEEDS)
def test_a_version_is_read_by_whom_the_naive_policy_shows_it(stage: tuple[Served, Clock], seed: int) -> None:
    """A1 to A18: read, vread, history, `$everything`; R4 http.html#read: 404 for what may not be seen, 410 if gone"""
    world = World(*stage, seed)
    for asker in world.askers():
        caller = world.caller(asker)
        for name in world.random.sample(sorted(world.versions), 6):
            told = _told_of(world, asker, caller, name)
            assert told is None, (asker, told)
        told = _told_of_all(world, asker, caller, world.random.choice(world.patients))
        assert told is None, (asker, told)


def _told_of(world: World, asker: Asker, caller: Caller, name: str) -> str | None:
    """Where the answers about a resource are not what they should be."""
    versions = world.versions[name]
    if not asker.reaches(versions[0]["type"], "r"):
        given = {path: caller("GET", path).status_code for path in (name, f"{name}/_history", f"{name}/_history/1")}
        return None if set(given.values()) == {403} else f"{given}, without a scope for it"
    seen = [what for what in versions if world.sees(asker, what, "r")]
    wanted = {name: _status(versions[-1], seen)}
    wanted |= {f"{name}/_history/{what['version']}": _status(what, seen) for what in versions}
    wanted[f"{name}/_history"] = 200 if seen else 404
    given = {path: caller("GET", path).status_code for path in wanted}
    if given != wanted:
        return f"{given}, not {wanted}"
    if not seen:
        return None
    history = caller.get(f"{name}/_history")
    found = [int(one["response"]["etag"].strip('W/"')) for one in history["entry"]]
    right = [what["version"] for what in reversed(seen)]
    return None if (found, history["total"]) == (right, len(right)) else f"{name}/_history: {found}, not {right}"


def _status(what: dict[str, Any], seen: list[dict[str, Any]]) -> int:
    return 404 if what not in seen else 200 if what["body"] is not None else 410


def _told_of_all(world: World, asker: Asker, caller: Caller, patient: str) -> str | None:
    answer = caller("GET", f"Patient/{patient}/$everything?_count=1000")
    if not asker.reaches("Patient", "r"):
        return None if answer.status_code == 403 else f"$everything: {answer.status_code}, without a scope for it"
    if not world.sees(asker, world.facts[f"Patient/{patient}"], "r"):
        return None if answer.status_code == 404 else f"$everything: {answer.status_code}, not 404"
    if answer.status_code != 200:
        return f"$everything: {answer.status_code}"
    wanted = {name for name in world.shown(asker) if patient in world.facts[name]["patients"]}
    matched = [one for one in answer.json["entry"] if one["search"]["mode"] == "match"]
    found = {name for name in ids({"entry": matched}) if not name.startswith("AuditEvent/")}
    return None if found == wanted else f"$everything: hidden {found - wanted}, lacking {wanted - found}"
