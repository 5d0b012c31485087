"""Slow queries, told to the log: where, how long, by which plan, and in what shape; never a value of what was asked.

A shape is a filter with its fields and operators, the parameter codes of its keys, and `?` for all else: values are
health data, and ids are people.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import structlog
from pymongo.database import Database
from pymongo.errors import PyMongoError

from fhir_server.search.expression import Filter

#: A shape is explained so often at most, within so long a time; so many shapes are remembered.
EVERY_SECONDS = 60.0
EXPLAIN_MS = 500
SHAPES = 1_000
#: What parts the field of a key from its value.  search/keys.py
_SEPARATOR = re.compile("[<=>?]")

_UNWATCHED = nullcontext()

log = structlog.get_logger()


class _Watched:
    """A stretch of time: `tell` is told its seconds at its end, if it was no shorter than `at_least`."""

    __slots__ = ("_at_least", "_tell", "_began")

    def __init__(self, at_least: float, tell: Callable[[float], None]):
        self._at_least = at_least
        self._tell = tell

    def __enter__(self) -> None:
        self._began = time.monotonic()

    def __exit__(self, *_: object) -> None:
        seconds = time.monotonic() - self._began
        if seconds >= self._at_least:
            self._tell(seconds)


class SlowQueries:
    """
    Those of one process.

    at_least_ms: from when on a query is slow; 0 for never.
    """

    def __init__(self, database: Database, at_least_ms: int):
        self._database = database
        self._at_least = at_least_ms / 1000
        self._explained: dict[tuple[str, str], float] = {}

    def watching(
        self, collection: str, query: Filter, *, pipeline: Sequence[Mapping[str, Any]] = (), order: Sequence[str] = ()
    ) -> AbstractContextManager[None]:
        """
        Log what happens within, if that takes long, however it ends.

        pipeline: the whole aggregation, if it is one.  order: the parameters that are sorted by.
        """
        if not self._at_least:
            return _UNWATCHED
        return _Watched(self._at_least, partial(self._tell, collection, query, pipeline, order))

    def _tell(
        self,
        collection: str,
        query: Filter,
        pipeline: Sequence[Mapping[str, Any]],
        order: Sequence[str],
        seconds: float,
    ) -> None:
        asked = shape(query)
        told: dict[str, Any] = {"collection": collection, "milliseconds": round(seconds * 1000), "filter": asked}
        if order:
            told["order"] = list(order)
        now, key = time.monotonic(), (collection, repr((asked, order)))
        if now - self._explained.get(key, -EVERY_SECONDS) >= EVERY_SECONDS:
            if len(self._explained) >= SHAPES:
                self._explained.clear()
            self._explained[key] = now
            told["plan"] = self._plan(collection, query, pipeline)
        log.warning("query.slow", **told)

    def _plan(self, collection: str, query: Filter, pipeline: Sequence[Mapping[str, Any]]) -> list[str]:
        """The stages of the plan that MongoDB chooses, from the last to the first, each with its index."""
        command: dict[str, Any] = {"find": collection, "filter": query}
        if pipeline:
            command = {"aggregate": collection, "pipeline": list(pipeline), "cursor": {}}
        try:
            found = self._database.command(
                "explain",
                command,
                verbosity="queryPlanner",
                maxTimeMS=EXPLAIN_MS,
                codec_options=self._database.codec_options,  # a command takes the decimals of a filter only so
            )
        except PyMongoError as error:  # the query that was slow has been answered, or refused, by now
            return [type(error).__name__]
        return list(stages(found))


def stages(explained: Any) -> Iterator[str]:
    """The stages of the winning plans in what `explain` says: `FETCH`, `IXSCAN keys`."""
    if isinstance(explained, list):
        for one in explained:
            yield from stages(one)
    elif isinstance(explained, dict):
        if "winningPlan" in explained:
            yield from _stages_of(explained["winningPlan"])
            return
        for one in explained.values():
            yield from stages(one)


def _stages_of(plan: dict[str, Any]) -> Iterator[str]:
    if "stage" in plan:
        yield f"{plan['stage']} {plan['indexName']}" if "indexName" in plan else plan["stage"]
    for name in ("queryPlan", "inputStage"):
        if name in plan:
            yield from _stages_of(plan[name])
    for one in plan.get("inputStages", ()):
        yield from _stages_of(one)


def shape(query: Any, name: str = "") -> Any:
    """
    The shape of a filter, where `name` is the field it is on.

    >>> shape({"owner": "p1", "keys": {"$in": ["code=a", "code=b"]}, "$or": [{"dates.date.low": 1}]})
    {'owner': '?', 'keys': {'$in': ['code']}, '$or': [{'dates.date.low': '?'}]}
    """
    if isinstance(query, dict):
        return {key: shape(value, name if key[:1] == "$" else key) for key, value in query.items()}
    if isinstance(query, list) and query and all(isinstance(one, dict) for one in query):
        return [shape(one, name) for one in query]
    if name.rpartition(".")[2] == "keys":
        texts = query if isinstance(query, list) else [query]
        codes = sorted({_field(text) for text in texts})
        return codes if isinstance(query, list) else codes[0]
    return "?"


def _field(key: Any) -> str:
    """The field of a key, or of a regular expression that keys begin with."""
    if not isinstance(key, str) or not _SEPARATOR.search(key):
        return "?"
    return _SEPARATOR.split(key.removeprefix("^").replace("\\", ""), maxsplit=1)[0]
