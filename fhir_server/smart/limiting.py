"""How often someone may ask, counted for all workers together in the database."""

from __future__ import annotations

from typing import Any

from limits import RateLimitItem
from limits.storage.mongodb import MongoDBStorageBase
from limits.strategies import FixedWindowRateLimiter
from pymongo.database import Database

from fhir_server.storage.store import answering


class _Storage(MongoDBStorageBase):
    """The library's counters, over the connection that the process has."""

    STORAGE_SCHEME = None

    def __init__(self, database: Database):
        super().__init__(
            "",
            database_name=database.name,
            counter_collection_name="_limit_counters",
            window_collection_name="_limit_windows",
        )
        self._client = database.client

    def __del__(self) -> None:
        """Nothing: the library would close the connection, which is not this object's."""

    def _init_mongo_client(self, uri: str | None, **options: Any) -> Any:
        return self._client


class Limits:
    """Counts what is asked."""

    def __init__(self, database: Database):
        self._limiter = FixedWindowRateLimiter(_Storage(database))

    def allow(self, limit: RateLimitItem, *who: str) -> bool:
        """Count one more, and tell whether that is within the limit."""
        with answering():
            return self._limiter.hit(limit, *who)
