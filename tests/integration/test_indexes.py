"""The indexes of a store: built on whatever is there, and enough for what is asked.  docs/decisions/0007"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pymongo
import pytest
from pymongo import MongoClient
from pymongo.database import Database

from fhir_server.fhir.types import TYPES
from fhir_server.search.expression import NOTHING, Expression, Filter, InRecord, OfTypes, all_of, replace_joins
from fhir_server.search.fingerprints import asked
from fhir_server.search.mongo import to_filter
from fhir_server.search.parameters import Parameter, parameters, several_records
from fhir_server.search.parser import Reader, modifiers
from fhir_server.search.types.date import PREFIXES
from fhir_server.search.types.near import FIELD as NEAR
from fhir_server.storage.documents import CONDITIONAL, HISTORY, MET, history_key
from fhir_server.storage.indexes import missing
from fhir_server.storage.store import Store
from tests.build import patient
from tests.calls import Caller, Served


def test_an_index_that_is_new_is_built_on_what_is_there(database: Database, mongodb_client: MongoClient) -> None:
    """Shipped, and created at start; the mongod of a data dir has nobody to vote with on its commit"""
    store = Store(mongodb_client, database.name)
    store.prepare()
    database["Patient"].insert_one({"_id": "1", "keys": []})
    database["Patient"].drop_index("keys")

    with pymongo.timeout(20):
        store.prepare()

    assert missing(database) == []


def test_the_history_of_one_record_costs_what_is_in_it(database: Database, mongodb_client: MongoClient) -> None:
    """docs/performance.md: a store grown 100-fold answers as soon"""
    Store(mongodb_client, database.name).prepare()
    beginning = datetime(2026, 1, 1, tzinfo=UTC)
    database[HISTORY].insert_many(
        {
            "_id": history_key("Observation", f"o{number}", 1),
            "type": "Observation",
            "owner": f"p{number % 100}",
            "updated": beginning + timedelta(seconds=number),
        }
        for number in range(1000)
    )

    asked = to_filter(all_of(OfTypes(("Observation", "Patient")), InRecord("p1")))
    found = database[HISTORY].find(asked).sort([("updated", -1), ("_id", -1)]).limit(5).explain()

    assert found["executionStats"]["nReturned"] == 5
    assert found["executionStats"]["totalDocsExamined"] < 20


def test_the_criteria_of_a_conditional_create_are_forgotten(served: Served, operator: Caller) -> None:
    """GDPR art. 5(1)(e): they name people, and are of no use once the transaction is over"""
    operator("POST", "Patient", patient(), If_None_Exist="identifier=urn:forgotten|1")

    met = served.database[CONDITIONAL].find_one({"_id": {"$regex": "forgotten"}})
    assert met and isinstance(met[MET], datetime)
    assert served.database[CONDITIONAL].index_information()[MET]["expireAfterSeconds"] > 0


# --- no parameter without an index

READER = Reader("http://a.example/fhir", UTC, datetime(2026, 1, 1, tzinfo=UTC))
VALUES = {
    "token": "http://a.example|a",
    "string": "abc",
    "date": "2026-01-01",
    "number": "5",
    "quantity": "5|http://unitsofmeasure.org|mg",
    "uri": "http://a.example/a",
    "special": "48.85|2.35|10|km",
}
GENDERS = "http://hl7.org/fhir/administrative-gender"
OF_TOKENS = {
    "of-type": "http://a.example|MR|1",
    "in": "http://hl7.org/fhir/ValueSet/administrative-gender",
    "above": f"{GENDERS}|male",
    "below": f"{GENDERS}|male",
}
#: What selects nearly everything: no index has it, whatever the parameter.  Such a search runs through the record, or
#: the collection, in the order of its pages, and is soon full; its count is bounded by the time a query has.
NEGATIVE = ("not", "not-in", "missing=true")


def value(type: str, parameter: Parameter) -> str:
    """Something that can be asked for."""
    if parameter.type == "composite":
        _, halves = parameter.components[0]
        return "$".join(value(type, parameters(type)[half.code]) for half in halves)
    if parameter.type == "reference":
        return f"{parameter.targets[0]}/1" if parameter.targets else "http://a.example/a"
    return "a" if parameter.code == "_id" else VALUES[parameter.type]


def queries(type: str, parameter: Parameter) -> Iterator[tuple[str, str]]:
    """Each way to ask for the parameter, but those that are negative."""
    usual = value(type, parameter)
    yield parameter.code, usual
    yield parameter.code, f"{usual},{usual}0" if parameter.type in ("token", "string", "uri") else usual
    if parameter.type == "token" and parameter.code != "_id":
        yield from ((parameter.code, text) for text in ("a", "|a", "http://a.example|"))
    if parameter.type in ("date", "number", "quantity"):
        yield from ((parameter.code, prefix + usual) for prefix in PREFIXES)
    if parameter.type == "quantity":
        yield from ((parameter.code, text) for text in ("lt5", "5||mg", "ne5||mg"))
    if parameter.type != "composite" and parameter.code not in ("_id", "_lastUpdated"):
        yield f"{parameter.code}:missing", "false"
    for modifier in modifiers(parameter):
        if modifier not in NEGATIVE:
            yield f"{parameter.code}:{modifier}", usual_of(parameter, modifier)
    if parameter.type == "reference":
        yield from ((f"{parameter.code}:{target}", "1") for target in parameter.targets[:2])


def usual_of(parameter: Parameter, modifier: str) -> str:
    """A value that goes with the modifier."""
    if parameter.type == "token" and modifier in OF_TOKENS:
        return OF_TOKENS[modifier]
    return VALUES["token"] if parameter.type == "reference" else VALUES[parameter.type]


def unbounded(database: Database, type: str, where: Expression, **order: Any) -> list[str]:
    """What is wrong with the plan: each of its ends that is not a bounded part of an index on what is asked for."""
    found: Filter = to_filter(where, several_records=several_records(type))
    command = {"find": type, "filter": found, **order}
    said = database.command("explain", command, verbosity="queryPlanner", codec_options=database.codec_options)
    plan = said["queryPlanner"]["winningPlan"]
    names = {name for kind, name in asked(type, where) if kind == type}
    return [f"{fault}: {found}" for leaf in leaves(plan.get("queryPlan", plan)) if (fault := _fault(leaf, names))]


def leaves(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The ends of a plan."""
    within = [*plan.get("inputStages", ()), *([plan["inputStage"]] if "inputStage" in plan else ())]
    if not within:
        yield plan
    for one in within:
        yield from leaves(one)


def _fault(leaf: dict[str, Any], names: set[str]) -> str | None:
    """Why the end of a plan is none that a large collection could bear."""
    if leaf["stage"] in ("IDHACK", "EOF"):
        return None
    if leaf["stage"] != "IXSCAN":
        return str(leaf["stage"])
    field, bounds = next(iter(leaf["indexBounds"].items()))
    if field in ("_id", "owner", "others", NEAR):
        return None if not any("MinKey" in one for one in bounds) else f"all of {field}"
    if field == "updated":
        return None if not any("MinKey" in one and "MaxKey" in one for one in bounds) else "all of updated"
    for interval in bounds:
        ends = re.findall(r'"((?:[^"\\]|\\.)*)"|/\^((?:[^/\\]|\\.)*)/', interval)
        fields = {
            re.split("[<=>?@]", (text or pattern).replace("\\", ""))[0].partition(":")[0] for text, pattern in ends
        }
        if len(ends) != 2 or len(fields) != 1 or not fields <= names:
            return f"{interval} of {field}"
    return None


@pytest.fixture(scope="module")
def planned(served: Served) -> Database:
    """A database with every index."""
    return served.client[served.name]


@pytest.mark.parametrize("type", TYPES)
def test_no_parameter_runs_without_an_index(planned: Database, type: str) -> None:
    """An advertised search parameter without an index is a failed start"""
    faults = [
        f"{name}={text}: {fault}"
        for parameter in parameters(type).values()
        for name, text in queries(type, parameter)
        for fault in unbounded(planned, type, READER.term(type, name, text))
    ]

    assert faults == []


@pytest.mark.parametrize("type", ["Patient", "Observation", "Appointment", "Composition", "AuditEvent"])
def test_within_a_record_every_search_has_an_index(planned: Database, type: str) -> None:
    """docs/decisions/0007: patient first; within a record, what is negative is asked of the record alone"""
    for parameter in parameters(type).values():
        asked_for = [*queries(type, parameter)]
        # Without documents to try its plans on, the planner takes `_id:not` to be a search by `_id`.
        if parameter.type == "token" and parameter.code != "_id":
            asked_for.append((f"{parameter.code}:not", value(type, parameter)))
        if parameter.type != "composite" and parameter.code not in ("_id", "_lastUpdated"):
            asked_for.append((f"{parameter.code}:missing", "true"))
        for name, text in asked_for:
            where = all_of(InRecord("1"), READER.term(type, name, text))
            # In the order of the pages: without documents to try its plans on, the planner has no other reason.
            assert unbounded(planned, type, where, sort={"_id": 1}) == [], f"{name}={text}"


def test_several_parameters_at_once(planned: Database) -> None:
    """R4 search.html#combining: one of them leads"""
    for query in (
        "code=a&date=gt2026",
        "date=ge2026&date=lt2027",
        "code=a,b&status:not=final",
        "value-quantity=gt5&code=a",
    ):
        pairs = [tuple(pair.split("=", 1)) for pair in query.split("&")]
        where = READER.expression("Observation", pairs)  # type: ignore[arg-type]
        assert unbounded(planned, "Observation", where) == [], query


def test_across_resources(planned: Database) -> None:
    """R4 search.html#chaining, search.html#has: what a chain asks for last, and of what is contained"""
    for type, name, text in (
        ("Observation", "subject:Patient.family", "abc"),
        ("Observation", "subject:Patient.birthdate", "gt2026"),
        ("DiagnosticReport", "result.code", "a"),
        ("MedicationRequest", "medication.code", "a"),
    ):
        held = replace_joins(READER.term(type, name, text), lambda join, positive: NOTHING)
        found = to_filter(held, several_records=several_records(type))
        said = planned.command("explain", {"find": type, "filter": found}, codec_options=planned.codec_options)
        [leaf] = leaves(said["queryPlanner"]["winningPlan"])
        assert leaf["stage"] == "IXSCAN", name
        [interval] = leaf["indexBounds"]["keys"]
        assert interval.startswith('["#'), name
