"""The indexes of a store: built on whatever is there, and enough for what is asked.  DESIGN section 5"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pymongo
from pymongo import MongoClient
from pymongo.database import Database

from fhir_server.search.expression import InRecord, OfTypes, all_of
from fhir_server.search.mongo import to_filter
from fhir_server.storage.documents import CONDITIONAL, HISTORY, MET, history_key
from fhir_server.storage.indexes import missing
from fhir_server.storage.store import Store
from tests.build import patient
from tests.calls import Caller, Served


def test_an_index_that_is_new_is_built_on_what_is_there(database: Database, mongodb_client: MongoClient) -> None:
    """DESIGN section 5: shipped and created at start; the mongod of a data dir has nobody to vote with on its commit"""
    store = Store(mongodb_client, database.name)
    store.prepare()
    database["Patient"].insert_one({"_id": "1", "tokens": []})
    database["Patient"].drop_index("tokens")

    with pymongo.timeout(20):
        store.prepare()

    assert missing(database) == []


def test_the_history_of_one_record_costs_what_is_in_it(database: Database, mongodb_client: MongoClient) -> None:
    """DESIGN section 10: a store grown 100-fold answers as soon"""
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
