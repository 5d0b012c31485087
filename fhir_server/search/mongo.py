"""The expression tree, read as a MongoDB filter over the documents of storage/documents.py.

What a filter selects is said exactly; where no equality on `keys` leads, a condition on `keys` that the exact one
implies is put beside it, so that an index answers every parameter.
"""

from __future__ import annotations

from typing import Any

from fhir_server.search.expression import (
    And,
    DepositedAfter,
    DepositedBy,
    Expression,
    Filter,
    InNoRecord,
    InRecord,
    InRecords,
    InSeveral,
    Labelled,
    Match,
    Not,
    OfTypes,
    OnlyInRecords,
    Or,
    Present,
    Within,
)
from fhir_server.search.keys import any_of_field

#: Selects no document.
IMPOSSIBLE: Filter = {"_id": {"$in": []}}
#: What an index leads by.
_LEADING = frozenset({"keys", "_id", "near"})


def to_filter(expression: Expression, *, several_records: bool = True, narrowed: bool = True) -> Filter:
    """
    The filter that selects what `expression` selects.  Raises TypeError for one that asks of other resources.

    several_records: whether a resource of this type can be in more than one record.  Where it cannot, the filter is
    one equality on the leading key of the indexes.  narrowed: with the conditions that an index answers.
    """

    def read(term: Expression, narrowed: bool) -> Filter:
        return to_filter(term, several_records=several_records, narrowed=narrowed)

    match expression:
        case And(()):
            return {}
        case Or(()):
            return IMPOSSIBLE
        case And(terms):
            exact = [read(term, narrowed=False) for term in terms]
            leads = any(not _LEADING.isdisjoint(found) for found in exact)
            return _merged(exact if leads or not narrowed else [read(term, narrowed=True) for term in terms])
        case Or(terms):
            return _any([read(term, narrowed) for term in terms])
        case Not(term):
            return {"$nor": [read(term, narrowed=False)]}
        case Match(field, test):
            exact = [test.to_filter(field)]
            narrow = test.narrow(field) if narrowed else None
            return _merged([*exact, narrow]) if narrow else exact[0]
        case Present(field, record):
            # Any id: a range of the index, where `$exists` would have every document looked at.
            return _any([any_of_field(field), {"owner": {"$gt": ""}}]) if record else any_of_field(field)
        case Within(part, term):
            return {part: {"$elemMatch": to_filter(term, narrowed=False)}}
        case InRecord(patient):
            return {"$or": [{"owner": patient}, {"others": patient}]} if several_records else {"owner": patient}
        case InRecords(patients):
            wanted = {"$in": sorted(patients)}
            return {"$or": [{"owner": wanted}, {"others": wanted}]} if several_records else {"owner": wanted}
        case OnlyInRecords(patients):
            theirs = sorted(patients)
            others = {"others": {"$not": {"$elemMatch": {"$nin": theirs}}}} if several_records else {}
            return {"owner": {"$in": theirs}, **others}
        case OfTypes(types):
            return {"type": {"$in": list(types)}}
        case InNoRecord():
            return {"owner": {"$exists": False}}
        case InSeveral():
            return {"others": {"$exists": True}}
        case DepositedBy(None):
            return {"depositor": {"$exists": False}}
        case DepositedBy(reference):
            return {"depositor": reference}
        case DepositedAfter(moment):
            return {"deposited": {"$gt": moment}}
        case Labelled(label):
            return {"labels": label}
    raise TypeError(f"not an expression that can be read alone: {expression!r}")


def _any(filters: list[Filter]) -> Filter:
    """Any of them; several equalities on `keys` are one $in, which an index answers in one go."""
    wanted: list[str] = []
    rest = []
    for found in filters:
        texts = _equal_keys(found)
        wanted += texts
        if not texts:
            rest.append(found)
    if wanted:
        rest.insert(0, {"keys": wanted[0] if len(wanted) == 1 else {"$in": list(dict.fromkeys(wanted))}})
    return rest[0] if len(rest) == 1 else {"$or": rest}


def _equal_keys(found: Filter) -> list[str]:
    """The keys of a filter that is nothing but an equality on them."""
    asked: Any = found.get("keys") if len(found) == 1 else None
    if isinstance(asked, str):
        return [asked]
    return list(asked["$in"]) if isinstance(asked, dict) and asked.keys() == {"$in"} else []


def _merged(filters: list[Filter]) -> Filter:
    """One flat filter when no key stands twice: the planner reads it more readily than an $and."""
    keys = [key for term in filters for key in term]
    if len(keys) == len(set(keys)):
        return {key: value for term in filters for key, value in term.items()}
    return {"$and": filters}
