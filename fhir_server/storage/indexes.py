"""The indexes of each collection, derived from its search parameters; created at start, and checked.

A parameter that is advertised and has no index is a failed start: `missing` names it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TypeAlias

from pymongo import IndexModel
from pymongo.database import Database
from pymongo.errors import CollectionInvalid, OperationFailure

from fhir_server.fhir.types import TYPES
from fhir_server.search.parameters import parameters, several_records
from fhir_server.search.types import near
from fhir_server.storage.documents import ANNOUNCEMENTS, CHOICES, CONDITIONAL, HISTORY, MET

#: (field, direction or kind) of each part of the index.
Keys: TypeAlias = tuple[tuple[str, int | str], ...]

_NAMESPACE_EXISTS = 48
#: Far longer than any transaction.
_FORGOTTEN_SECONDS = 3600
#: The date that a patient's resources of a type are looked up by, right behind the key, by both its ends.
PRIMARY_DATE = "date"
#: Every access writes one, and what is indexed on it every read pays for: its record is read in the order of time.
WITHOUT_OWNER_KEYS = frozenset({"AuditEvent"})


def of_type(type: str) -> dict[str, Keys]:
    """The indexes of a type's collection, by name; the patient leads where there is one."""
    offered = parameters(type)
    found: dict[str, Keys] = {
        "keys": (("keys", 1), ("_id", 1)),
        "updated": (("updated", 1), ("_id", 1)),
    }
    if TYPES[type].patient:
        date = offered.get(PRIMARY_DATE)
        ends = ((f"dates.{PRIMARY_DATE}.low", 1), (f"dates.{PRIMARY_DATE}.high", 1))
        by_date = ends if date and not date.repeated else ()
        found["owner"] = (("owner", 1), ("_id", 1))
        found["depositor"] = (("depositor", 1), ("_id", 1))
        if type not in WITHOUT_OWNER_KEYS:
            found["owner_keys"] = (("owner", 1), ("keys", 1), *by_date)
        if several_records(type):
            found["others"] = (("others", 1), ("_id", 1))
    if near.FIELD in offered:
        found[near.FIELD] = ((near.FIELD, "2dsphere"),)
    return found


def of_history() -> dict[str, Keys]:
    """The indexes of `_history`, newest first."""
    return {
        "system": (("updated", -1), ("_id", -1)),
        "type": (("type", 1), ("updated", -1), ("_id", -1)),
        "owner": (("owner", 1), ("updated", -1), ("_id", -1)),
        "others": (("others", 1), ("updated", -1), ("_id", -1)),
    }


def create(database: Database) -> None:
    """Create every index that is not there yet, and every collection: a transaction cannot wait for one."""
    there = set(database.list_collection_names())
    for name, indexes in _all().items():
        if name not in there:
            # Another command that starts at the same moment may be the one to make it.
            with suppress(CollectionInvalid), _made_meanwhile():
                database.create_collection(name)
        known = _without_outdated(database, name, indexes)
        models = [_model(index, keys) for index, keys in indexes.items() if index not in known]
        if models:
            # A mongod of ours has another address than when its set was made, and would wait for its own vote for ever.
            database[name].create_indexes(models, commitQuorum=0)


def _without_outdated(database: Database, name: str, indexes: dict[str, Keys]) -> set[str]:
    """The names of the indexes that are there; those that an earlier version made otherwise are dropped first."""
    there = database[name].index_information()
    for index, facts in list(there.items()):
        ours = index in indexes and [tuple(part) for part in facts["key"]] != list(indexes[index])
        if ours or index.startswith(_OF_EARLIER_VERSIONS):
            database[name].drop_index(index)
            del there[index]
    return set(there)


@contextmanager
def _made_meanwhile() -> Iterator[None]:
    """Pass over MongoDB's word that the collection exists."""
    try:
        yield
    except OperationFailure as error:
        if error.code != _NAMESPACE_EXISTS:
            raise


def missing(database: Database) -> list[str]:
    """The indexes that should be there and are not, as `collection.index`."""
    return [
        f"{name}.{index}"
        for name, indexes in _all().items()
        for index in sorted(indexes.keys() - database[name].index_information().keys())
    ]


def _all() -> dict[str, dict[str, Keys]]:
    return {
        HISTORY: of_history(),
        CONDITIONAL: {MET: ((MET, 1),)},
        ANNOUNCEMENTS: {"due": (("due", 1),)},
        CHOICES: {"concerns": (("concerns", 1),), "involved": (("involved", 1),)},
        **{type: of_type(type) for type in TYPES},
    }


#: Fields that most documents of a collection lack: only those that have one are in the index.
_SPARSE = ("others", "depositor", "involved")
#: A parameter had an index of its own once.
_OF_EARLIER_VERSIONS = ("tokens", "owner_tokens", "dates_", "strings_")


def _model(name: str, keys: Keys) -> IndexModel:
    if name == MET:
        return IndexModel(list(keys), name=name, expireAfterSeconds=_FORGOTTEN_SECONDS)
    if not name.startswith(_SPARSE):
        return IndexModel(list(keys), name=name)
    return IndexModel(list(keys), name=name, partialFilterExpression={keys[0][0]: {"$exists": True}})
