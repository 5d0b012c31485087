"""The terminology engine, on code systems and value sets that each test can be read with.

R4: valueset.html, codesystem.html, terminology-service.html
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from fhir_server.fhir.outcome import NotFound, NotSupported, TooCostly, Unprocessable
from fhir_server.fhir.terminology import expansion, membership, relations, value_sets
from fhir_server.fhir.terminology.conditions import Condition
from fhir_server.fhir.terminology.expansion import Wanted
from fhir_server.fhir.terminology.membership import Coded
from fhir_server.fhir.terminology.systems import Listed, Resource, System

ANIMALS, FOOD = "http://a.example/animals", "http://a.example/food"
NOW = datetime(2026, 1, 2, tzinfo=UTC)


def row(code: str, display: str, *below: dict[str, Any], fr: str | None = None, **properties: Any) -> dict[str, Any]:
    """A CodeSystem.concept, with its French name and its properties."""
    kinds: dict[type, str] = {bool: "valueBoolean", str: "valueString"}
    return {
        "code": code,
        "display": display,
        **({"designation": [{"language": "fr-FR", "value": fr}]} if fr else {}),
        **({"property": [{"code": name, kinds[type(value)]: value} for name, value in properties.items()]}
           if properties else {}),
        **({"concept": list(below)} if below else {}),
    }  # fmt: skip


ANIMAL = {
    "resourceType": "CodeSystem",
    "url": ANIMALS,
    "version": "1",
    "status": "active",
    "content": "complete",
    "language": "en",
    "hierarchyMeaning": "is-a",
    "property": [{"code": "legs", "type": "string"}, {"code": "sound", "type": "string"}],
    "concept": [
        row(
            "animal",
            "Animal",
            row(
                "mammal",
                "Mammal",
                row("cat", "Domestic cat", fr="Chat domestique", legs="4", sound="meow"),
                row("dog", "Dog", row("poodle", "Poodle", legs="4"), fr="Chien", legs="4", sound="woof"),
                row("whale", "Whale", fr="Baleine", legs="0"),
            ),
            row("bird", "Bird", row("dodo", "Dodo", inactive=True, legs="2"), fr="Oiseau", legs="2"),
            fr="Animal",
            notSelectable=True,
        ),
        {"code": "pet", "display": "Pet", "concept": [{"code": "goldfish", "display": "Goldfish"}]},
    ],
}
#: A second parent, as a property says it.  R4: codesystem.html#hierarchy
ANIMAL["concept"][0]["concept"][0]["concept"][0]["property"].append({"code": "parent", "valueCode": "pet"})  # type: ignore[index]
EDIBLE = {
    "resourceType": "CodeSystem",
    "url": FOOD,
    "status": "active",
    "content": "complete",
    "caseSensitive": False,
    "concept": [row("egg", "Œuf dur", fr="Œuf dur"), row("Ham", "Jambon")],
}


class Shelf:
    """A Source of a few resources."""

    def __init__(self, *resources: Mapping[str, Any]):
        self._found = {each["url"]: each for each in resources}

    def code_system(self, url: str, version: str | None = None) -> System | None:
        found = self._found.get(url)
        if not found or found["resourceType"] != "CodeSystem" or (version and version != found.get("version")):
            return None
        return Listed(found)

    def value_set(self, url: str, version: str | None = None) -> Resource | None:
        found = self._found.get(url)
        return found if found and found["resourceType"] == "ValueSet" else None


def composed(*include: dict[str, Any], exclude: tuple[dict[str, Any], ...] = (), **more: Any) -> dict[str, Any]:
    """A ValueSet."""
    compose = {"include": list(include), **({"exclude": list(exclude)} if exclude else {}), **more.pop("compose", {})}
    return {"resourceType": "ValueSet", "url": "http://a.example/set", "status": "active", "compose": compose, **more}


def where(property: str, op: str, value: str, system: str = ANIMALS) -> dict[str, Any]:
    """An include of what one filter lets through."""
    return {"system": system, "filter": [{"property": property, "op": op, "value": value}]}


def expanded(value_set: dict[str, Any], *others: dict[str, Any], **wanted: Any) -> dict[str, Any]:
    """The expansion."""
    definition = value_sets.read(value_set, Shelf(ANIMAL, EDIBLE, *others))
    whole = expansion.expand(definition, Wanted(**wanted), now=NOW, identifier="urn:uuid:1")
    found: dict[str, Any] = whole["expansion"]
    return found


def codes(value_set: dict[str, Any], *others: dict[str, Any], **wanted: Any) -> list[str]:
    """The codes of the expansion, in order."""
    return [each["code"] for each in expanded(value_set, *others, **wanted).get("contains", ())]


@pytest.mark.parametrize(
    ("filter", "found"),
    [
        (("concept", "is-a", "mammal"), ["mammal", "cat", "dog", "poodle", "whale"]),
        (("concept", "descendent-of", "dog"), ["poodle"]),
        (("concept", "is-a", "pet"), ["cat", "pet", "goldfish"]),
        (("concept", "is-not-a", "mammal"), ["animal", "bird", "dodo", "pet", "goldfish"]),
        (("concept", "generalizes", "cat"), ["animal", "mammal", "cat", "pet"]),
        (("legs", "=", "4"), ["cat", "dog", "poodle"]),
        (("legs", "in", "0,2"), ["whale", "bird", "dodo"]),
        (("legs", "not-in", "4,2"), ["animal", "mammal", "whale", "pet", "goldfish"]),
        (("sound", "exists", "true"), ["cat", "dog"]),
        (("sound", "regex", "m.*|w"), ["cat"]),
        (("display", "regex", "D[a-z]+"), ["dog", "dodo"]),
        (("code", "in", "cat, dog"), ["cat", "dog"]),
        (("parent", "=", "pet"), ["cat", "goldfish"]),
        (("child", "=", "poodle"), ["dog"]),
        (("inactive", "=", "true"), ["dodo"]),
    ],
)
def test_each_operator_of_a_filter(filter: tuple[str, str, str], found: list[str]) -> None:
    """R4 valueset-filter-operator.html"""
    assert codes(composed(where(*filter))) == found


def test_filters_of_one_include_all_hold() -> None:
    """R4 valueset.html#compositions: the filters of an include are joined by AND"""
    both = where("concept", "is-a", "mammal")
    both["filter"].append({"property": "legs", "op": "=", "value": "4"})

    assert codes(composed(both)) == ["cat", "dog", "poodle"]


def test_includes_add_up_and_excludes_take_away() -> None:
    """R4 valueset.html#compositions: union of the includes, each code once, less the excludes"""
    found = composed(
        where("concept", "is-a", "dog"),
        {"system": ANIMALS, "concept": [{"code": "dog"}, {"code": "cat"}]},
        {"system": FOOD},
        exclude=(where("concept", "descendent-of", "dog"), {"system": FOOD, "concept": [{"code": "egg"}]}),
    )

    assert codes(found) == ["dog", "cat", "Ham"]


def test_value_sets_of_one_include_are_intersected_with_its_system() -> None:
    """R4 valueset.html#compositions: within an include, system and value sets are joined by AND"""
    tame = composed(where("concept", "is-a", "pet"), url="http://a.example/tame")
    furry = composed(where("concept", "is-a", "mammal"), {"system": FOOD}, url="http://a.example/furry")
    both = {"valueSet": ["http://a.example/tame", "http://a.example/furry"]}

    assert codes(composed(both), tame, furry) == ["cat"]
    assert codes(composed({"system": FOOD, "valueSet": ["http://a.example/furry"]}), tame, furry) == ["egg", "Ham"]


def test_a_value_set_that_imports_itself_is_refused() -> None:
    """R4 valueset.html#compositions: no end would be found"""
    one = composed({"valueSet": ["http://a.example/two"]}, url="http://a.example/one")
    two = composed({"valueSet": ["http://a.example/one"]}, url="http://a.example/two")

    with pytest.raises(Unprocessable, match="imports itself"):
        value_sets.read(one, Shelf(one, two))


def test_a_listed_code_needs_no_known_system_and_keeps_its_own_name() -> None:
    """R4 valueset.html: include.concept.display goes before that of the code system"""
    rows = expanded(
        composed(
            {"system": "http://elsewhere.example", "concept": [{"code": "x", "display": "Something"}]},
            {"system": ANIMALS, "concept": [{"code": "dog", "display": "Good dog"}, {"code": "whale"}]},
        ),
        designations=True,
    )["contains"]

    assert [row["display"] for row in rows] == ["Something", "Good dog", "Whale"]
    assert rows[1]["designation"] == [{"language": "fr-FR", "value": "Chien"}, {"language": "en", "value": "Dog"}]


def test_an_expansion_that_came_with_the_resource_is_the_definition_without_compose() -> None:
    """R4 valueset.html: a value set may hold its expansion alone"""
    contains = [{"system": ANIMALS, "abstract": True, "contains": [{"system": ANIMALS, "code": "cat"}]}]
    given = {"resourceType": "ValueSet", "status": "active", "expansion": {"contains": contains}}

    assert codes(given) == ["cat"]
    with pytest.raises(Unprocessable, match="neither|no compose"):
        codes({"resourceType": "ValueSet", "status": "active"})


@pytest.mark.parametrize(
    ("include", "error", "place"),
    [
        ({"system": "http://none.example"}, NotFound, None),
        ({"valueSet": ["http://none.example"]}, NotFound, None),
        (where("legs", "is-a", "4"), NotSupported, "ValueSet.compose.include[0].filter[0].property"),
        (where("wings", "=", "2"), NotSupported, "ValueSet.compose.include[0].filter[0].property"),
        (where("legs", "child-of", "2"), NotSupported, "ValueSet.compose.include[0].filter[0].op"),
        (where("legs", "exists", "2"), Unprocessable, "ValueSet.compose.include[0].filter[0].value"),
        (where("legs", "regex", "(a)\\1"), Unprocessable, "ValueSet.compose.include[0].filter[0].value"),
        ({"concept": [{"code": "a"}]}, Unprocessable, "ValueSet.compose.include[0]"),
        ({}, Unprocessable, "ValueSet.compose.include[0]"),
    ],
)
def test_what_cannot_be_read_is_said_with_its_place(
    include: dict[str, Any], error: type[Exception], place: str | None
) -> None:
    """R4 valueset.html: inv vsd-1, vsd-2, vsd-3; valueset-filter-operator.html"""
    with pytest.raises(error) as refusal:
        value_sets.read(composed(include), Shelf(ANIMAL, EDIBLE))
    expression = refusal.value.issues[0].expression  # type: ignore[attr-defined]
    assert expression == ((place,) if place else ())


def test_a_regular_expression_without_bound_costs_no_time() -> None:
    """A value set comes from anybody: its expressions are run in linear time."""
    system = {**EDIBLE, "concept": [row("a", "a" * 5_000 + "b")]}

    assert codes(composed(where("display", "regex", "(a+)+$", FOOD)), system) == []


def test_the_filter_finds_words_by_their_beginnings_whatever_accents_and_case() -> None:
    """R4 valueset-operation-expand.html: filter"""
    assert codes(composed({"system": ANIMALS}), text="domes CAT") == ["cat"]
    assert codes(composed({"system": ANIMALS}), text="baleine") == ["whale"]
    assert codes(composed({"system": FOOD}), text="oeuf DUR") == ["egg"]
    assert codes(composed({"system": ANIMALS}), text="omestic") == []
    assert codes(composed({"system": FOOD, "concept": [{"code": "x", "display": "Été"}]}), text="ete") == ["x"]


def test_a_page_is_cut_from_the_whole_and_says_where_it_stands() -> None:
    """R4 valueset-operation-expand.html: offset, count; valueset.html#expansion: total"""
    whole = codes(composed({"system": ANIMALS}))
    page = expanded(composed({"system": ANIMALS}), offset=3, count=2)
    mixed = composed({"system": ANIMALS}, {"system": FOOD})

    assert [row["code"] for row in page["contains"]] == whole[3:5]
    assert (page["total"], page["offset"]) == (len(whole), 3)
    assert codes(mixed, offset=len(whole), count=1) == ["egg"]
    assert "contains" not in expanded(mixed, count=0)
    assert expanded(mixed, count=0)["total"] == len(whole) + 2


def test_displays_in_a_language_and_further_designations() -> None:
    """R4 valueset-operation-expand.html: displayLanguage, includeDesignations"""
    pets = composed({"system": ANIMALS, "concept": [{"code": "dog"}, {"code": "poodle"}]})
    rows = expanded(pets, language="fr", designations=True)["contains"]

    assert [row["display"] for row in rows] == ["Chien", "Poodle"]
    assert rows[0]["designation"] == [{"language": "en", "value": "Dog"}, {"language": "fr-FR", "value": "Chien"}]
    assert [row["display"] for row in expanded(pets, language="en-GB")["contains"]] == ["Dog", "Poodle"]


def test_codes_that_are_no_longer_in_use() -> None:
    """R4 valueset-operation-expand.html: activeOnly; valueset.html: compose.inactive"""
    birds = where("concept", "is-a", "bird")

    assert expanded(composed(birds))["contains"][1]["inactive"] is True
    assert codes(composed(birds), active_only=True) == ["bird"]
    assert codes(composed(birds, compose={"inactive": False})) == ["bird"]


def test_a_nested_expansion_stands_as_the_system_does() -> None:
    """R4 valueset-operation-expand.html: excludeNested; valueset.html: expansion.contains.contains"""
    found = expanded(composed({"system": ANIMALS}, exclude=({"system": ANIMALS, "concept": [{"code": "mammal"}]},)),
                     nested=True)["contains"]  # fmt: skip

    assert [row["code"] for row in found] == ["animal", "dog", "whale", "pet"]
    assert [row["code"] for row in found[0]["contains"]] == ["bird"]
    assert [row["code"] for row in found[1]["contains"]] == ["poodle"]
    assert [row["code"] for row in found[3]["contains"]] == ["cat", "goldfish"]
    assert found[0]["abstract"] is True


def test_the_expansion_says_what_it_was_made_with() -> None:
    """R4 valueset.html: expansion.parameter"""
    made = expanded(composed({"system": ANIMALS}), text="dog", language="fr", count=1)

    assert {tuple(each.values()) for each in made["parameter"]} == {
        ("filter", "dog"),
        ("count", 1),
        ("displayLanguage", "fr"),
        ("excludeNested", True),
        ("version", f"{ANIMALS}|1"),
    }
    assert made["timestamp"] == "2026-01-02T00:00:00.000Z"


def test_an_expansion_without_end_is_too_costly(monkeypatch: pytest.MonkeyPatch) -> None:
    """R4 valueset.html#expansion: too-costly"""
    monkeypatch.setattr(expansion, "MOST", 5)

    with pytest.raises(TooCostly, match="count"):
        codes(composed({"system": ANIMALS}))
    assert codes(composed({"system": ANIMALS}), offset=4, count=3) == ["poodle", "whale", "bird"]


def verdict(value_set: dict[str, Any], code: str, **more: Any) -> membership.Verdict:
    """What $validate-code says of a code of ANIMALS."""
    options = {name: more.pop(name) for name in ("abstract", "infer", "language") if name in more}
    definition = value_sets.read(value_set, Shelf(ANIMAL, EDIBLE))
    return membership.in_value_set(definition, Coded(code, **{"system": ANIMALS, **more}), **options)


def test_whether_a_code_is_in() -> None:
    """R4 valueset-operation-validate-code.html"""
    mammals = composed(where("concept", "is-a", "mammal"), exclude=({"system": ANIMALS, "concept": [{"code": "dog"}]},))

    assert verdict(mammals, "cat") == membership.Verdict(True, None, "Domestic cat", ANIMALS, "cat")
    assert verdict(mammals, "cat", language="fr").display == "Chat domestique"
    for code, more in (("dog", {}), ("bird", {}), ("none", {}), ("cat", {"system": FOOD}), ("cat", {"version": "2"})):
        assert not verdict(mammals | {"compose": _pinned(mammals)}, code, **more).result, code


def _pinned(value_set: dict[str, Any]) -> dict[str, Any]:
    include = [{**each, "version": "1"} for each in value_set["compose"]["include"]]
    return {**value_set["compose"], "include": include}


def test_a_display_has_to_be_a_name_of_the_code() -> None:
    """R4 valueset-operation-validate-code.html: display"""
    everything = composed({"system": ANIMALS})

    for good in ("Dog", "dog", "CHIEN"):
        assert verdict(everything, "dog", display=good).result
    wrong = verdict(everything, "dog", display="Cat")
    assert (wrong.result, wrong.display) == (False, "Dog")
    assert "`Dog`, `Chien`" in (wrong.message or "")


def test_a_code_that_only_groups_others() -> None:
    """R4 valueset-operation-validate-code.html: abstract"""
    everything = composed({"system": ANIMALS})

    assert not verdict(everything, "animal").result
    assert verdict(everything, "animal", abstract=True).result


def test_a_bare_code_is_of_the_one_system_that_has_it() -> None:
    """R4 valueset-operation-validate-code.html: code; R5 has the name inferSystem for it"""
    mixed = composed({"system": ANIMALS}, {"system": FOOD})

    assert not verdict(mixed, "egg", system=None).result
    assert verdict(mixed, "egg", system=None, infer=True).system == FOOD
    assert not verdict(mixed, "none", system=None, infer=True).result
    twice = composed({"system": ANIMALS, "concept": [{"code": "a"}]}, {"system": FOOD, "concept": [{"code": "a"}]})
    assert "more than once" in (verdict(twice, "a", system=None, infer=True).message or "")


def test_one_good_coding_is_enough_for_a_concept() -> None:
    """R4 terminologies.html#code"""
    mammals = composed(where("concept", "is-a", "mammal"))
    found = [verdict(mammals, "bird"), verdict(mammals, "cat")]

    assert membership.any_of(found).result
    assert membership.any_of(found[:1]).message == f"`bird` of {ANIMALS} is not in http://a.example/set."
    assert not membership.any_of([]).result


def test_codes_of_a_system_that_folds_case() -> None:
    """R4 codesystem.html: caseSensitive"""
    food = Listed(EDIBLE)

    assert membership.in_code_system(food, Coded("EGG")).result
    assert membership.in_code_system(food, Coded("ham", display="jambon")).result
    assert not membership.in_code_system(Listed(ANIMAL), Coded("CAT")).result
    assert "part" in (membership.in_code_system(Listed({**ANIMAL, "content": "fragment"}), Coded("x")).message or "")


def test_how_two_codes_stand_to_each_other() -> None:
    """R4 codesystem-operation-subsumes.html"""
    animals = Listed(ANIMAL)

    assert relations.subsumes(animals, "mammal", "poodle") == "subsumes"
    assert relations.subsumes(animals, "cat", "pet") == "subsumed-by"
    assert relations.subsumes(animals, "cat", "dog") == "not-subsumed"
    assert relations.subsumes(animals, "cat", "cat") == "equivalent"
    with pytest.raises(NotFound):
        relations.subsumes(animals, "cat", "none")
    with pytest.raises(NotSupported):
        relations.subsumes(Listed({**ANIMAL, "hierarchyMeaning": "part-of"}), "mammal", "cat")


def test_a_deep_hierarchy_costs_no_more_than_its_size() -> None:
    """R4 valueset-filter-operator.html: each concept is looked at once"""
    rows = [{"code": "0"}] + [
        {"code": str(n), "property": [{"code": "parent", "valueCode": str(n - 1)}]} for n in range(1, 20_000)
    ]
    deep = Listed({**ANIMAL, "concept": rows})

    assert deep.count((Condition("concept", "is-a", "10000"),)) == 10_000
    assert deep.count((Condition("concept", "generalizes", "10000"),)) == 10_001
    assert deep.count((Condition("concept", "is-a", "none"),)) == 0


def test_what_search_asks() -> None:
    """R4 search.html#token: `:in`, `:below`, `:above`"""
    pets = composed(where("concept", "is-a", "pet"))
    shelf = Shelf(ANIMAL, pets)

    assert relations.members(shelf, pets["url"]) == {(ANIMALS, "cat"), (ANIMALS, "pet"), (ANIMALS, "goldfish")}
    assert relations.descendants(shelf, ANIMALS, "dog") == {"dog", "poodle"}
    assert relations.ancestors(shelf, ANIMALS, "cat") == {"cat", "mammal", "animal", "pet"}
    with pytest.raises(TooCostly):
        relations.members(shelf, pets["url"], most=2)
    with pytest.raises(TooCostly):
        relations.descendants(shelf, ANIMALS, "animal", most=3)
    with pytest.raises(NotFound):
        relations.members(shelf, "http://none.example")


def test_a_hierarchy_that_turns_in_a_circle_has_an_end() -> None:
    """R4 codesystem.html#hierarchy: nobody keeps a system from saying so"""

    def under(code: str, parent: str) -> dict[str, Any]:
        return {"code": code, "property": [{"code": "parent", "valueCode": parent}]}

    circle = Listed({**ANIMAL, "concept": [under("a", "b"), under("b", "a")]})
    listed = composed({"system": "http://a.example/animals"})

    assert circle.ancestors("a") == {"a", "b"}
    found = value_sets.read(listed, Shelf({**ANIMAL, "concept": [under("a", "b"), under("b", "a")]}))
    nested = expansion.expand(found, Wanted(nested=True), now=NOW, identifier="urn:uuid:1")["expansion"]
    assert [row["code"] for row in nested["contains"]] == ["a", "b"]
