"""Concepts kept apart: what files of them come to, and that the store answers as memory does.

R4: codesystem.html, valueset-filter-operator.html, terminology-service.html
"""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from fhir_server import app
from fhir_server.cli import load as command
from fhir_server.cli.load import CodeSystem, Summary
from fhir_server.config import Settings
from fhir_server.fhir.outcome import TooCostly
from fhir_server.fhir.terminology import expansion, relations, value_sets
from fhir_server.fhir.terminology.carried import carried_terminologies
from fhir_server.fhir.terminology.concepts import concepts
from fhir_server.fhir.terminology.conditions import Condition
from fhir_server.fhir.terminology.systems import Listed
from fhir_server.loading import concepts as loading
from fhir_server.loading import sources
from fhir_server.storage import concepts as stored
from fhir_server.storage.concepts import CONCEPTS, StoredSystem
from fhir_server.storage.store import Store
from fhir_server.storage.terminology import StoredTerminology
from tests.servers import run

URL = "http://a.example/large"
BASE = "http://fhir.test/fhir"


def tree(seed: int, size: int = 120) -> dict[str, Any]:
    """A CodeSystem of any shape: up to three parents, properties, French names, codes no longer in use."""
    draw = random.Random(seed)  # noqa: S311 - no secret
    rows = []
    for number in range(size):
        above = sorted({f"c{draw.randrange(number)}" for _ in range(draw.randrange(4))}) if number else []
        properties: list[dict[str, Any]] = [{"code": "parent", "valueCode": code} for code in above]
        properties += [{"code": "size", "valueString": draw.choice("SML")}] if draw.random() < 0.7 else []
        properties += [{"code": "inactive", "valueBoolean": True}] if draw.random() < 0.1 else []
        properties += [{"code": "notSelectable", "valueBoolean": True}] if draw.random() < 0.1 else []
        rows.append(
            {
                "code": f"c{number}",
                "display": f"{draw.choice(['Red', 'Green', 'Blue'])} thing {number}",
                "designation": [{"language": "fr", "value": f"{draw.choice(['Été', 'Hiver'])} {number}"}],
                **({"property": properties} if properties else {}),
            }
        )
    return {
        "resourceType": "CodeSystem",
        "id": "large",
        "url": URL,
        "version": "1",
        "status": "active",
        "content": "complete",
        "property": [{"code": "size", "type": "string"}],
        "concept": rows,
    }


def kept(database: Database[dict[str, Any]], resource: dict[str, Any]) -> StoredSystem:
    """The same system in the store."""
    stored.prepare(database)
    return StoredSystem(database, loading.keep_apart(database, resource), 20_000)


CONDITIONS = (
    *(Condition("concept", op, f"c{n}") for op in ("is-a", "descendent-of", "is-not-a", "generalizes") for n in (0, 7)),
    Condition("size", "=", "S"),
    Condition("size", "in", "S,M"),
    Condition("size", "not-in", "S,M"),
    Condition("size", "exists", "false"),
    Condition("size", "regex", "[SM]"),
    Condition("code", "in", "c1,c2,none"),
    Condition("code", "regex", "c1."),
    Condition("display", "=", "Red thing 3"),
    Condition("parent", "=", "c1"),
    Condition("child", "=", "c9"),
    Condition("ancestor", "=", "c2"),
    Condition("inactive", "=", "true"),
    Condition("notSelectable", "=", "false"),
)


@pytest.mark.parametrize("seed", [1, 2])
def test_the_store_answers_as_memory_does(database: Database[dict[str, Any]], seed: int) -> None:
    """Each condition and pairs of them, with words, pages and codes in use alone: the same codes, and as many"""
    resource = tree(seed)
    memory, store = Listed(resource), kept(database, resource)
    draw = random.Random(seed)  # noqa: S311
    asked = [(each,) for each in CONDITIONS] + [tuple(draw.sample(CONDITIONS, 2)) for _ in range(25)] + [()]
    for conditions in asked:
        for words, active_only in (((), False), (("red",), True), (("et", "1"), False), (("thi", "gr", "hiv"), False)):
            wanted = sorted(each.code for each in memory.select(conditions, words, active_only=active_only))
            found = [each.code for each in store.select(conditions, words, active_only=active_only)]
            assert found == wanted, (conditions, words)
            assert store.count(conditions, words, active_only=active_only) == len(wanted)
            page = [each.code for each in store.select(conditions, words, active_only=active_only, skip=3)]
            assert page == wanted[3:]


def test_a_concept_comes_back_as_it_was(database: Database[dict[str, Any]]) -> None:
    """R4 codesystem.html: names, properties of every type, parents, children"""
    resource = tree(3)
    resource["property"].append({"code": "more", "type": "Coding"})
    resource["concept"][5]["property"] = [
        {"code": "more", "valueCoding": {"system": "http://b.example", "code": "x"}},
        {"code": "more", "valueInteger": 3},
        {"code": "more", "valueDateTime": "2024-01-01"},
        {"code": "parent", "valueCode": "c1"},
    ]
    memory, store = Listed(resource), kept(database, resource)

    for each in concepts(resource):
        found = store.concept(each.code)
        assert found is not None
        assert (found.display, found.designations, found.properties) == (
            each.display,
            each.designations,
            each.properties,
        )
        assert (set(found.parents), found.abstract, found.inactive) == (set(each.parents), each.abstract, each.inactive)
        assert store.ancestors(each.code) == memory.ancestors(each.code) == found.ancestors
        assert list(store.children(each.code)) == sorted(memory.children(each.code))
    assert store.concept("none") is None


def test_below_is_one_query_with_an_index(database: Database[dict[str, Any]]) -> None:
    """Stored ancestors: `:below` is answered from the index, and an expansion by page too"""
    store = kept(database, tree(4))
    for condition in (Condition("concept", "is-a", "c0"), Condition("size", "=", "S"), Condition("parent", "=", "c0")):
        query, rest = store._query((condition,), (), active_only=False)
        plan = json.dumps(database[CONCEPTS].find(query).sort("code", 1).explain(), default=str)
        assert rest == []
        assert "IXSCAN" in plan
        assert "COLLSCAN" not in plan


def test_what_no_index_can_say_has_a_bound(database: Database[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    """R4 valueset.html#expansion: too-costly"""
    store = kept(database, tree(5))
    monkeypatch.setattr(stored, "SCANNED", 50)

    with pytest.raises(TooCostly):
        list(store.select((Condition("display", "regex", ".*"),)))


# --- files


def load(
    client: MongoClient[dict[str, Any]],
    database: Database[dict[str, Any]],
    *paths: Path,
    version: str | None = None,
) -> Summary:
    """What comes of `fhir-server load --code-system`."""
    settings = Settings(mongodb_database=database.name)
    app.prepare(client, settings)
    found, faults = sources.find(list(paths))
    system = CodeSystem(URL, version, "en")
    return command.load_concepts(client, settings, found, system, base=BASE, faults=faults, quiet=True)


def terminology(database: Database[dict[str, Any]]) -> StoredTerminology:
    """The source that a server of this database has."""
    return StoredTerminology(Store(database.client, database.name), carried_terminologies(), base=BASE)


TABLE = """code;display;display:fr;parent;Kind
top;Everything;Tout;;
a;"Apple; red";Pomme;top;fruit
b;Bean;Haricot;top;seed
ab;Apple bean;;a|b;
"""


def test_a_table_of_concepts(
    mongodb_client: MongoClient[dict[str, Any]], database: Database[dict[str, Any]], tmp_path: Path
) -> None:
    """CSV: names in languages, several parents, every other column a property"""
    path = tmp_path / "large.csv"
    path.write_text(TABLE, encoding="utf-8-sig")
    summary = load(mongodb_client, database, path)

    assert not summary.failed
    assert summary.tally.fates == {("concept", "created"): 4, ("CodeSystem", "created"): 1}
    system = terminology(database).code_system(URL)
    assert system is not None
    apple = system.concept("a")
    assert apple is not None
    assert (apple.display, apple.named("fr", "en"), apple.properties[0].text) == ("Apple; red", "Pomme", "fruit")
    assert relations.descendants(terminology(database), URL, "a") == {"a", "ab"}
    assert relations.ancestors(terminology(database), URL, "ab") == {"ab", "a", "b", "top"}
    fruit = {"system": URL, "filter": [{"property": "Kind", "op": "=", "value": "fruit"}]}
    definition = value_sets.read({"compose": {"include": [fruit]}}, terminology(database))
    assert [member.concept.code for member in definition.members()] == ["a"]


def test_concepts_of_loinc_s_own_table_and_the_names_that_are_carried(
    mongodb_client: MongoClient[dict[str, Any]], database: Database[dict[str, Any]], tmp_path: Path
) -> None:
    """LoincTableCore.csv: LOINC_NUM, LONG_COMMON_NAME; the French names of terminologies/ stay"""
    path = tmp_path / "LoincTableCore.csv"
    path.write_text('"LOINC_NUM","STATUS","LONG_COMMON_NAME"\n"29463-7","ACTIVE","Body weight"\n"1-8","ACTIVE","A"\n')
    settings = Settings(mongodb_database=database.name)
    app.prepare(mongodb_client, settings)
    found, _ = sources.find([path])
    system = CodeSystem("http://loinc.org", "2.77", "en")
    summary = command.load_concepts(mongodb_client, settings, found, system, base=BASE, quiet=True)

    assert not summary.failed
    loinc = terminology(database).code_system("http://loinc.org")
    assert loinc is not None
    weight = loinc.concept("29463-7")
    assert weight is not None
    assert (weight.display, weight.named("fr", "en")) == ("Body weight", "Poids")
    assert loinc.concept("1-8") is not None
    assert loinc.version == "2.77"


def test_lines_of_concepts_packed_and_loaded_again(
    mongodb_client: MongoClient[dict[str, Any]], database: Database[dict[str, Any]], tmp_path: Path
) -> None:
    """NDJSON, gzipped: loaded again nothing changes; what a later file lacks is gone; versions stand side by side"""
    rows = tree(6)["concept"]
    path = tmp_path / "concepts.ndjson.gz"
    path.write_bytes(gzip.compress("\n".join(json.dumps(row) for row in rows).encode()))

    assert load(mongodb_client, database, path, version="1").tally.of("created") == len(rows) + 1
    again = load(mongodb_client, database, path, version="1")
    assert (again.tally.of("unchanged"), again.tally.of("created", "updated")) == (len(rows) + 1, 0)
    fewer = [{**row, "display": "New"} for row in rows[:10]]
    path.write_bytes(gzip.compress("\n".join(json.dumps(row) for row in fewer).encode()))
    assert load(mongodb_client, database, path, version="2").tally.of("created") == 11
    source = terminology(database)
    old, new = source.code_system(URL, "1"), source.code_system(URL, "2")
    assert old and new
    assert (old.count(()), new.count(())) == (len(rows), 10)
    newest = source.code_system(URL)
    assert newest and newest.version == "2"
    load(mongodb_client, database, path, version="1")
    old = source.code_system(URL, "1")
    assert old
    assert old.count(()) == 10


def test_the_command_says_what_came_of_it(mongodb_uri: str, database: Database[dict[str, Any]], tmp_path: Path) -> None:
    """`fhir-server load --code-system URL FILE`: 0 and a summary; 1 and one line for a file that is faulty"""
    path = tmp_path / "large.csv"
    path.write_text(TABLE)
    where = {"mongodb_uri": mongodb_uri, "mongodb_database": database.name}
    done = run("load", "--code-system", URL, "--code-system-version", "1", "--language", "en", path, **where)
    path.write_text("nothing\n")
    faulty = run("load", "--code-system", URL, path, **where)

    assert done.returncode == 0, done.stderr
    assert "5 loaded" in done.stdout
    assert (faulty.returncode, "no column `code`" in faulty.stdout) == (1, True), faulty
    system = terminology(database).code_system(URL, "1")
    assert system and system.count(()) == 4


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "name;display\nx;y\n", "no column `code`"),
        ("a.csv", "code,display\nx,y,z\n", "3 cells"),
        ("a.ndjson", '{"code":"a"}\n{"code":\n', "a.ndjson:2"),
        ("a.ndjson", '{"code":"a"}\n{"code":"b","display":3}\n', "a.ndjson:2"),
        ("a.ndjson", '{"code":"a","foo":1}\n', "foo"),
    ],
)
def test_a_faulty_file_is_said_and_nothing_of_it_is_kept(
    mongodb_client: MongoClient[dict[str, Any]],
    database: Database[dict[str, Any]],
    tmp_path: Path,
    name: str,
    text: str,
    said: str,
) -> None:
    """One line that names the file and the line"""
    path = tmp_path / name
    path.write_text(text)
    summary = load(mongodb_client, database, path)

    assert summary.failed
    assert said in summary.unreadable[0]
    assert database[CONCEPTS].count_documents({}) == 0
    assert terminology(database).code_system(URL) is None


def test_a_code_system_too_large_for_one_document_is_kept_apart(
    mongodb_client: MongoClient[dict[str, Any]], database: Database[dict[str, Any]], tmp_path: Path
) -> None:
    """R4 codesystem.html: content not-present, and the concepts are there all the same"""
    resource = tree(7, loading.MOST_IN_ONE + 1)
    path = tmp_path / "CodeSystem-large.json"
    path.write_text(json.dumps(resource))
    settings = Settings(mongodb_database=database.name)
    app.prepare(mongodb_client, settings)
    summary = command.load(mongodb_client, settings, [path], base=BASE, quiet=True)

    assert not summary.failed
    head = Store(mongodb_client, database.name).read("CodeSystem", "large")
    assert head and head.body
    body = json.loads(head.body)
    assert (body["content"], body["count"], "concept" in body) == ("not-present", loading.MOST_IN_ONE + 1, False)
    source = terminology(database)
    memory = Listed(resource)
    assert relations.descendants(source, URL, "c3") == relations.descendants(_One(memory), URL, "c3")
    everything = value_sets.read({"compose": {"include": [{"system": URL}]}}, source)
    page = expansion.expand(everything, expansion.Wanted(offset=10, count=5), now=app.now(), identifier="urn:uuid:1")[
        "expansion"
    ]
    assert (page["total"], len(page["contains"])) == (loading.MOST_IN_ONE + 1, 5)
    again = command.load(mongodb_client, settings, [path], base=BASE, quiet=True)
    assert again.tally.of("unchanged") == 1
    path.write_text(json.dumps({**resource, "version": "2", "status": "none"}))
    faulty = command.load(mongodb_client, settings, [path], base=BASE, quiet=True)
    assert faulty.tally.of("faulty") == 1
    assert database[CONCEPTS].count_documents({"of": f"{URL}|2"}) == 0


class _One:
    """A Source of one system."""

    def __init__(self, system: Listed):
        self._system = system

    def code_system(self, url: str, version: str | None = None) -> Listed:
        return self._system

    def value_set(self, url: str, version: str | None = None) -> None:
        return None


# --- resources


def test_the_cache_is_right_after_an_update_and_has_a_bound(
    mongodb_client: MongoClient[dict[str, Any]], database: Database[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another worker wrote is seen at the next question"""
    settings = Settings(mongodb_database=database.name)
    app.prepare(mongodb_client, settings)
    source = terminology(database)
    small = tree(8, 10)

    def write(resource: dict[str, Any]) -> None:
        around = app.surroundings(mongodb_client, settings, BASE)
        tally = command.Loader(around, lambda: False).keep(resource, "test")
        assert tally.of("faulty") == 0, tally.groups

    assert source.code_system(URL) is None
    write(small)
    first = source.code_system(URL)
    assert first and first.concept("c0")
    assert source.code_system(URL) is first
    write({**small, "concept": [{"code": "other"}]})
    second = source.code_system(URL)
    assert second and second.concept("other") and not second.concept("c0")
    write({**small, "id": "newer", "version": "10", "concept": [{"code": "ten"}]})
    write({**small, "id": "retired", "version": "11", "status": "retired", "concept": [{"code": "eleven"}]})
    newest, pinned = source.code_system(URL), source.code_system(URL, "11")
    assert newest and newest.concept("ten")
    assert pinned and pinned.concept("eleven")
    assert source.code_system(URL, "9") is None
    monkeypatch.setattr(source.cache, "_most", 100)
    write({**small, "id": "newer", "version": "10", "concept": [{"code": "twelve"}]})
    latest = source.code_system(URL)
    assert latest and latest.concept("twelve")


def test_a_value_set_by_url_and_by_reference(
    mongodb_client: MongoClient[dict[str, Any]], database: Database[dict[str, Any]]
) -> None:
    """R4 search.html#token: `:in` names a value set by its url, or by a reference to it"""
    settings = Settings(mongodb_database=database.name)
    app.prepare(mongodb_client, settings)
    set_ = {
        "resourceType": "ValueSet",
        "id": "mine",
        "url": "http://a.example/set,1|x",
        "status": "active",
        "compose": {"include": [{"system": "http://b.example", "concept": [{"code": "x"}]}]},
    }
    around = app.surroundings(mongodb_client, settings, BASE)
    command.Loader(around, lambda: False).keep(set_, "test")
    source = terminology(database)

    for reference in ("ValueSet/mine", f"{BASE}/ValueSet/mine"):
        assert relations.members(source, reference) == {("http://b.example", "x")}
    assert source.value_set("http://a.example/set,1|x") is not None
    assert source.value_set("ValueSet/none") is None
    assert source.value_set("http://hl7.org/fhir/ValueSet/administrative-gender") is not None
