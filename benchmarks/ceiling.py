"""The bare ceiling: the pymongo calls that the work cannot avoid, behind the same web server, and nothing else.

It answers the very requests that the server gets, without token, check, index entries or masking: a read is one
`find_one` of the stored bytes, a search one `find` on one index with the bytes joined into a Bundle, a create one
transaction of the documents that the server writes for it (see written.py), a transaction the same twenty times over.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import bson
from bson import ObjectId
from flask import Flask, Response, request
from pymongo import MongoClient
from pymongo.database import Database

from benchmarks import data

OBSERVATIONS = "observations"
INDEX = [("patient", 1), ("code", 1), ("date", 1)]
FILL_BATCH = 1_000


def connect(uri: str, database: str) -> Database[dict[str, Any]]:
    """The ceiling's own database; its writes are as durable as the server's."""
    return MongoClient[dict[str, Any]](uri, w="majority", journal=True)[database]


def _document(resource: dict[str, Any]) -> dict[str, Any]:
    return {
        "_id": resource["id"],
        "body": data.encode(resource),
        "patient": resource["subject"]["reference"].partition("/")[2],
        "code": resource["code"]["coding"][0]["code"],
        "date": resource["effectiveDateTime"],
    }


def fill(database: Database[dict[str, Any]], positions: Iterable[tuple[int, int]]) -> Iterator[int]:
    """Insert the Observations at these positions, with the one index; yields how many, for a progress bar."""
    collection = database[OBSERVATIONS]
    collection.create_index(INDEX)
    places = iter(positions)
    while batch := [_document(data.observation(*place)) for place in islice(places, FILL_BATCH)]:
        collection.insert_many(batch, ordered=False)
        yield len(batch)


def create_app() -> Flask:
    """The application; gunicorn makes one in each worker.  What to connect to is in the environment."""
    app = Flask(__name__)
    database = connect(os.environ["BENCH_URI"], os.environ["BENCH_DATABASE"])
    observations = database[OBSERVATIONS]
    written = bson.decode(Path(os.environ["BENCH_WRITTEN"]).read_bytes())["documents"]
    answer = transaction_response()

    @app.get("/health/ready")
    def ready() -> Response:
        return Response(b"{}")

    @app.get("/fhir/Observation/<id>")
    def read(id: str) -> Response:
        document = observations.find_one({"_id": id}, {"body": 1})
        return _answer(document["body"]) if document else _answer(b"{}", 404)

    @app.get("/fhir/Observation")
    def search() -> Response:
        asked = request.args
        start, end = asked.getlist("date")
        found = observations.find(
            {
                "patient": asked["patient"],
                "code": asked["code"].partition("|")[2],
                "date": {"$gte": start[2:], "$lt": end[2:]},
            },
            {"body": 1},
            limit=data.PAGE,
        )
        return _answer(searchset(found))

    @app.post("/fhir/Observation")
    def create() -> Response:
        body = request.get_data()
        _write(database, written, [body])
        return _answer(body, 201)

    @app.post("/fhir")
    def transaction() -> Response:
        # Its entries are not taken apart: the template's documents are as large, which costs MongoDB the same.
        request.get_data()
        _write(database, written, [None] * data.PAGE)
        return _answer(answer)

    return app


def _answer(body: bytes, status: int = 200) -> Response:
    return Response(body, status, content_type="application/fhir+json")


def searchset(found: Iterable[dict[str, Any]]) -> bytes:
    """The bytes of a searchset Bundle around the stored bytes."""
    entries = [
        b'{"fullUrl":"http://127.0.0.1/fhir/Observation/%b","resource":%b,"search":{"mode":"match"}}'
        % (document["_id"].encode(), document["body"])
        for document in found
    ]
    return b'{"resourceType":"Bundle","type":"searchset","total":%d,"entry":[%b]}' % (len(entries), b",".join(entries))


def transaction_response() -> bytes:
    """An answer of the size of the server's, to a transaction of twenty."""
    entry = (
        b'{"response":{"status":"201 Created","location":"http://127.0.0.1/fhir/Observation/'
        b'0123456789abcdef0123456789abcdef/_history/1","etag":"W/\\"1\\"","lastModified":"2026-01-01T00:00:00.000Z"}}'
    )
    return b'{"resourceType":"Bundle","type":"transaction-response","entry":[%b]}' % b",".join([entry] * data.PAGE)


def _write(database: Database[dict[str, Any]], written: list[dict[str, Any]], bodies: list[bytes | None]) -> None:
    """One transaction of what the server writes for each body; None keeps the bytes of the template."""
    batches = [(database[row["collection"]], [_copy(row["document"], body) for body in bodies]) for row in written]

    def insert(session: Any) -> None:
        for collection, documents in batches:
            collection.insert_many(documents, session=session)

    with database.client.start_session() as session:
        session.with_transaction(insert)


def _copy(document: dict[str, Any], body: bytes | None) -> dict[str, Any]:
    copy = {**document, "_id": str(ObjectId())}
    if body is not None and "body" in copy:
        copy["body"] = body
    return copy
