"""The last n of each code among what a search finds: put together by MongoDB as far as the index entry says.

Of each set of codings MongoDB gives the last, so that what comes here is as large as the number of codes, however many
observations there are; only what has no coding is looked at one by one: its text stands in the resource alone.
R4: observation-operation-lastn.html
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fhir_server.fhir import json
from fhir_server.search.expression import Expression
from fhir_server.search.recent import CODE, DATE, Groups, Last
from fhir_server.search.types.token import codings
from fhir_server.storage.documents import Stored
from fhir_server.storage.store import Store, Unit

_TIME = f"dates.{DATE}.low"
#: So many more than are asked for are looked at, since they may be equally recent.
BESIDES = 10
#: The keys that may be of a coding, in the order of the resource.
_CODES: dict[str, Any] = {
    "$filter": {
        "input": "$keys",
        "cond": {"$and": [{"$gte": ["$$this", f"{CODE}="]}, {"$lt": ["$$this", f"{CODE}>"]}]},
    }
}


def last_of_each(source: Store | Unit, type: str, where: Expression, *, allowed: Expression, most: int) -> Last:
    """As Groups.last, of those that match and are allowed."""
    found = Groups(most)
    plain: list[list[str]] = []
    limit = most + BESIDES
    latest = {"n": limit, "sortBy": {_TIME: -1}, "output": {"time": f"${_TIME}", "id": "$_id"}}
    for row in source.aggregate(type, where, [{"$group": {"_id": _CODES, "last": {"$topN": latest}}}], allowed=allowed):
        named, last = codings(row["_id"], CODE), row["last"]
        if named:
            found.add(named, [(one.get("time"), one["id"]) for one in last], whole=len(last) < limit)
        else:
            plain.append(row["_id"])
    if plain:
        without: list[dict[str, Any]] = [
            {"$project": {"codes": _CODES, "time": f"${_TIME}", "body": 1}},
            {"$match": {"codes": {"$in": plain}}},
        ]
        for row in source.aggregate(type, where, without, allowed=allowed):
            found.add_text(_text(row["body"]), (row.get("time"), row["_id"]))
    return found.last()


def last_of_these(found: Iterable[Stored], *, most: int) -> Last:
    """As Groups.last, of these, which come with their index entries."""
    groups = Groups(most)
    for stored in found:
        named = codings(stored.entry["keys"], CODE)
        time = stored.entry.get("dates", {}).get(DATE, {}).get("low")
        if named:
            groups.add(named, [(time, stored.id)])
        else:
            groups.add_text(_text(stored.body), (time, stored.id))
    return groups.last()


def _text(body: bytes | None) -> str | None:
    """What people read of a code that has no coding, as it is written."""
    text: str | None = json.loads(body or b"{}")["code"].get("text")
    return text
