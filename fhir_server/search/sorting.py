"""The order of results, as MongoDB computes it: one value of each resource for each key of `_sort`, and the id last.

Of several values the lowest counts where it goes up, the highest where it goes down; a missing one is lower than any:
first going up, last going down.  R4: search.html#sort
"""

from __future__ import annotations

from typing import Any

from fhir_server.search.expression import Filter
from fhir_server.search.parameters import Parameter, parameters
from fhir_server.search.query import Order

#: Keys that stand in the document as they are sorted by.
STORED = {"_id": "_id", "_lastUpdated": "updated"}
#: What the keys of a parameter that names the record leave out: `Patient/id` of each whose record it is in.
PATIENTS: Any = {
    "$map": {
        "input": {"$setUnion": [{"$ifNull": ["$others", []]}, {"$cond": ["$owner", ["$owner"], []]}]},
        "in": {"$concat": ["Patient/", "$$this"]},
    }
}


def names(orders: tuple[Order, ...]) -> list[str]:
    """The field that each order is sorted by: one of the document, or one that `computed` adds."""
    return [STORED.get(order.code, f"sort{number}") for number, order in enumerate(orders)]


def computed(type: str, orders: tuple[Order, ...]) -> dict[str, Any]:
    """The fields that have to be added, as expressions of an aggregation; none where all are in the document."""
    known = parameters(type)
    return {
        name: _value(known, known[order.code], "$max" if order.descending else "$min")
        for name, order in zip(names(orders), orders, strict=True)
        if order.code not in STORED
    }


def direction(orders: tuple[Order, ...], *, back: bool) -> list[tuple[str, int]]:
    """What to sort by; back: the other way round, from a place towards the beginning."""
    turn = -1 if back else 1
    found = [(name, (-1 if order.descending else 1) * turn) for name, order in zip(names(orders), orders, strict=True)]
    return found if ("_id", turn) in found or ("_id", -turn) in found else [*found, ("_id", turn)]


def behind(place: tuple[Any, ...], orders: tuple[Order, ...], *, back: bool) -> Filter:
    """What stands behind the place: (the value of each key, and the id), as `direction` sorts."""
    alternatives = []
    equal: Filter = {}
    for (name, sign), value in zip(direction(orders, back=back), place, strict=True):
        beyond = _beyond(name, value, sign)
        if beyond is not None:
            alternatives.append({"$and": [equal, beyond]} if equal else beyond)
        equal = {"$and": [equal, {name: value}]} if equal else {name: value}
    return alternatives[0] if len(alternatives) == 1 else {"$or": alternatives}


def place(document: dict[str, Any], orders: tuple[Order, ...]) -> tuple[Any, ...]:
    """Where a document stands."""
    return tuple(document.get(name) for name, _ in direction(orders, back=False))


def _beyond(name: str, value: Any, sign: int) -> Filter | None:
    if value is None:
        return {name: {"$ne": None}} if sign > 0 else None
    return {name: {"$gt": value}} if sign > 0 else {"$or": [{name: {"$lt": value}}, {name: None}]}


def _value(known: dict[str, Parameter], parameter: Parameter, pick: str) -> Any:
    values = [_of_field(known[field], pick) for field in parameter.fields]
    return values[0] if len(values) == 1 else {pick: values}


def _of_field(parameter: Parameter, pick: str) -> Any:
    field = parameter.code
    if parameter.type == "date":
        return {pick: f"$dates.{field}.low"}
    if parameter.type in ("number", "quantity"):
        value = {"$ifNull": ["$$this.canonical.low", "$$this.low"]}
        return {pick: {"$map": {"input": {"$ifNull": [f"$numbers.{field}", []]}, "in": value}}}
    bounds: list[Any] = [{"$gte": ["$$this", f"{field}="]}, {"$lt": ["$$this", f"{field}>"]}]
    if parameter.type == "token":
        # By the code alone, whatever its system.
        bounds.append({"$eq": [{"$indexOfBytes": ["$$this", "|"]}, -1]})
    keys: Any = {"$filter": {"input": "$keys", "cond": {"$and": bounds}}}
    # Without the field: a parameter may have the values of several, and another one in another type.
    texts: Any = {"$map": {"input": keys, "in": {"$substrBytes": ["$$this", len(field) + 1, -1]}}}
    return {pick: {"$concatArrays": [PATIENTS, texts]} if parameter.record else texts}
