"""The expression tree, read in memory: does a resource, by its index entry, match?

Asked of a resource that is about to be written, and of one that came along with the access token.
"""

from __future__ import annotations

from fhir_server.search.expression import And, DepositedBy, Entry, Expression, InRecord, Match, Not, OfTypes, Or


def matches(expression: Expression, entry: Entry) -> bool:
    """Whether the resource with this entry is among what `expression` selects."""
    match expression:
        case And(terms):
            return all(matches(term, entry) for term in terms)
        case Or(terms):
            return any(matches(term, entry) for term in terms)
        case Not(term):
            return not matches(term, entry)
        case Match(field, test):
            return test.accepts(entry, field)
        case InRecord(patient):
            return entry.get("owner") == patient or patient in entry.get("others", ())
        case OfTypes(types):
            return entry["type"] in types
        case DepositedBy(reference):
            return entry.get("depositor") == reference
    raise TypeError(f"not an expression: {expression!r}")
