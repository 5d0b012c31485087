"""Less is never more: fewer scopes, fewer permits, more labels, blocks and oppositions never show what more would not.

Each world is asked once as it is, and once with one thing changed: every answer to less is a part of that to more, and
under narrower scopes it is just that part of it which the narrower scopes let through.
rule A1 to A13; SMART App Launch 2.2: scopes-and-launch-context.html
"""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.calls import Caller, Served
from tests.choices import CLASSES, LABELS, OWN, choice
from tests.launches import Clock
from tests.worlds import OBSERVATIONS, SECTIONS, TYPES, Asker, World

_PHASES = (Phase.explicit, Phase.generate)
SEEDS = st.integers(0, 2**32 - 1)
JSON_PATCH = "application/json-patch+json"

#: What was shown of a question: `Type/id/_history/n` of each, and the total if there was one.
Shown = tuple[frozenset[str], int | None]
Stage = tuple[Served, Clock]


def questions(world: World) -> list[str]:
    """Ways to ask for all there is, and for some of it at random."""
    pick = world.random
    patient = pick.choice(world.patients)
    some = pick.sample(TYPES, 4)
    every = [f"{type}?_count=200&_total=accurate&{world.tag}" for type in TYPES]
    across = [
        f"?_type={','.join(some)}&_count=200&_total=accurate&{world.tag}",
        f"Patient/{patient}/*?_type=Observation,DocumentReference,List&_total=accurate&{world.tag}",
        f"List?_include=List:item&_count=200&_total=accurate&{world.tag}",
        f"Observation?_revinclude=List:item&_include=Observation:has-member&_count=200&{world.tag}",
        f"Patient?_has:Observation:subject:status=final&_total=accurate&{world.tag}",
        f"Observation?has-member.category:missing=false&_total=accurate&{world.tag}",
        f"Patient/{patient}/$everything?_count=1000",
        *(f"{type}/_history?_count=200" for type in pick.sample(TYPES, 2)),
    ]
    instances = [f"{name}{after}" for name in pick.sample(sorted(world.versions), 6) for after in ("", "/_history")]
    return [*every, *across, *instances]


def shown(caller: Caller, path: str, world: World) -> Shown:
    """What an answer shows of the world; nothing where it refuses."""
    answer = caller("GET", path)
    assert answer.status_code in (200, 403, 404, 410), (path, answer.status_code, answer.text[:300])
    if answer.status_code != 200:
        return frozenset(), None
    body = answer.json
    resources = [body] if body["resourceType"] != "Bundle" else [one.get("resource") for one in body.get("entry", ())]
    names = ("{resourceType}/{id}/_history/{meta[versionId]}".format(**one) for one in resources if one)
    total = body.get("total") if "_history?" not in path and "/_history" not in path else None
    return frozenset(one for one in names if one.partition("/")[2].startswith(f"{world.prefix}-")), total


def compared(world: World, less: Caller, more: Caller, paths: list[str]) -> None:
    """Hold what is shown to less against what is shown to more, question by question."""
    for path in paths:
        (few, fewer), (many, most) = shown(less, path, world), shown(more, path, world)
        assert few <= many, f"{path}: {sorted(few - many)} is shown to less alone"
        assert fewer is None or most is None or fewer <= most, f"{path}: {fewer} of {most}"


@settings(max_examples=2, deadline=None, phases=_PHASES, suppress_health_check=list(HealthCheck))
@given(seed=SEEDS)
def test_narrower_scopes_show_a_part(stage: Stage, seed: int) -> None:
    """A13: what narrower scopes show is what the wider ones show and the narrower let through, and nothing else"""
    world = World(*stage, seed)
    for asker in world.random.sample(world.askers(), 6):
        context = asker.scopes[0][0]
        wide = Asker("wide", asker.kind, f"{context}/*.rs", asker.facts)
        narrow = Asker("narrow", asker.kind, _narrower(world, context), asker.facts)
        callers = world.caller(narrow), world.caller(wide)
        compared(world, *callers, questions(world))
        for type in TYPES:
            path = f"{type}?_count=200&_total=accurate&{world.tag}"
            (few, total), (many, _) = (shown(caller, path, world) for caller in callers)
            through = {one for one in many if world.within(narrow, world.facts[one.partition("/_history/")[0]], "s")}
            assert few == through, (asker, narrow.scope, path)
            assert total in (None, len(through)), (asker, narrow.scope, path)


def _narrower(world: World, context: str) -> str:
    words = [
        *(f"{context}/{type}.rs" for type in TYPES),
        f"{context}/Observation.rs?category={OBSERVATIONS}|vital-signs",
        f"{context}/Observation.s?category:not=laboratory",
        f"{context}/DocumentReference.rs?category={CLASSES}|10",
        f"{context}/List.r",
        f"{context}/*.rs?_lastUpdated=ge2020-01-01&_id:not=none",
    ]
    return " ".join(world.random.sample(words, world.random.randint(1, 8)))


@settings(max_examples=2, deadline=None, phases=_PHASES, suppress_health_check=list(HealthCheck))
@given(seed=SEEDS)
def test_one_statement_more_shows_more_or_less_and_never_the_contrary(stage: Stage, seed: int) -> None:
    """A1, A5 to A7, A10, A11: a permit, a section more hides nothing; a block, an opposition, a label shows nothing"""
    world = World(*stage, seed)
    operator = world.served.caller()
    askers = [asker for asker in world.askers() if asker.kind != "operator"]
    for change, widens in ((_permitted, True), (_widened, True), (_blocked, False), (_opposed, False),
                           (_labelled, False), (_closed, False)):  # fmt: skip
        asker = world.random.choice(askers)
        caller, paths = world.caller(asker), questions(world)
        before = {path: shown(caller, path, world) for path in paths}
        change(world, operator, asker)
        for path in paths:
            now, total = shown(caller, path, world)
            less, more = (before[path], (now, total)) if widens else ((now, total), before[path])
            told = (change.__name__, asker, path)
            assert _unversioned(less[0]) <= _unversioned(more[0]), told
            assert less[1] is None or more[1] is None or less[1] <= more[1], told


def _unversioned(names: frozenset[str]) -> set[str]:
    """Without the Consents, of which one is what was said just now, and without versions, of which a label is one."""
    return {one.partition("/_history/")[0] for one in names if not one.startswith("Consent/")}


def _said(world: World, operator: Caller, consent: dict[str, Any]) -> None:
    operator.create({**consent, "meta": {"tag": [{"code": "said-later"}]}})


def _reader(asker: Asker) -> str:
    found: str = asker.who["refs"][0]
    return found


def _permitted(world: World, operator: Caller, asker: Asker) -> None:
    """A permit more, for whoever may be given one."""
    if asker.kind == "professional":
        _said(world, operator, choice(world.random.choice(world.patients), "access", to=(_reader(asker),)))


def _widened(world: World, operator: Caller, asker: Asker) -> None:
    """A section more, in an emergency and by a permit."""
    sections = [{"system": f"{OWN}/CodeSystem/profile-section", "code": code} for code in SECTIONS[::2]]
    patient = world.random.choice(world.patients)
    if asker.facts.get("mode", "normal") != "normal":
        _said(world, operator, choice(patient, "BTG", **{"class": sections}))
    elif asker.kind == "professional":
        _said(world, operator, choice(patient, "access", to=(_reader(asker),), **{"class": sections}))


def _blocked(world: World, operator: Caller, asker: Asker) -> None:
    """Blocked: somebody, who may be who asks."""
    doctor = world.random.choice(world.doctors)
    named = _reader(asker) if asker.kind == "professional" else f"Practitioner/{doctor['practitioner']}"
    _said(world, operator, choice(world.random.choice(world.patients), "access", "deny", to=(named,)))


def _opposed(world: World, operator: Caller, asker: Asker) -> None:
    """What is opened in an emergency is so no longer; masked documents are not shown then, either."""
    for patient in world.patients:
        for kind in ("BTG", "ETREAT", "MASKED"):
            _said(world, operator, choice(patient, kind, "deny"))


def _labelled(world: World, operator: Caller, asker: Asker) -> None:
    """A label more, on a few of the documents; in a secret session one looks for what is kept from representatives."""
    more = ("MASQUE_PS",) if asker.facts.get("secret") else ("MASQUE_PS", "INVISIBLE_REPRESENTANTS_LEGAUX")
    documents = [name for name in world.facts if name.startswith("DocumentReference/")]
    for name in world.random.sample(documents, min(len(documents), 4)):
        label = {"system": LABELS, "code": world.random.choice(more)}
        where = "/securityLabel/-" if operator.get(name).get("securityLabel") else "/securityLabel"
        value: Any = {"coding": [label]}
        patch = [{"op": "add", "path": where, "value": value if where.endswith("-") else [value]}]
        assert operator("PATCH", name, patch, Content_Type=JSON_PATCH).status_code == 200


def _closed(world: World, operator: Caller, asker: Asker) -> None:
    """A space that is closed."""
    status = [{"url": "status", "valueCode": "closed"}]
    space = [{"url": f"{OWN}/StructureDefinition/space-status", "extension": status}]
    patch = [{"op": "add", "path": "/extension", "value": space}]
    patient = world.random.choice(world.patients)
    assert operator("PATCH", f"Patient/{patient}", patch, Content_Type=JSON_PATCH).status_code == 200
