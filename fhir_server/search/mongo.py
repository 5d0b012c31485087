"""The expression tree, read as a MongoDB filter over the documents of storage/documents.py."""

from __future__ import annotations

from fhir_server.search.expression import And, DepositedBy, Expression, Filter, InRecord, Match, Not, OfTypes, Or

#: Selects no document.
IMPOSSIBLE: Filter = {"_id": {"$in": []}}


def to_filter(expression: Expression, *, several_records: bool = True) -> Filter:
    """
    The filter that selects what `expression` selects.

    several_records: whether a resource of this type can be in more than one record.  Where it cannot, the filter is
    one equality on the leading key of the indexes.
    """
    match expression:
        case And(()):
            return {}
        case Or(()):
            return IMPOSSIBLE
        case And(terms):
            return _merged([to_filter(term, several_records=several_records) for term in terms])
        case Or(terms):
            return {"$or": [to_filter(term, several_records=several_records) for term in terms]}
        case Not(term):
            return {"$nor": [to_filter(term, several_records=several_records)]}
        case Match(field, test):
            return test.to_filter(field)
        case InRecord(patient):
            return {"$or": [{"owner": patient}, {"others": patient}]} if several_records else {"owner": patient}
        case OfTypes(types):
            return {"type": {"$in": list(types)}}
        case DepositedBy(reference):
            return {"depositor": reference}
    raise TypeError(f"not an expression: {expression!r}")


def _merged(filters: list[Filter]) -> Filter:
    """One flat filter when no key stands twice: the planner reads it more readily than an $and."""
    keys = [key for term in filters for key in term]
    if len(keys) == len(set(keys)):
        return {key: value for term in filters for key, value in term.items()}
    return {"$and": filters}
