"""The expression tree, read in memory: does a resource, by its index entry, match?

Asked of a resource that is about to be written, of one that came along with the access token, and of the candidates
of a search across resources.
"""

from __future__ import annotations

from fhir_server.search.expression import (
    And,
    DepositedAfter,
    DepositedBy,
    Entry,
    Expression,
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
from fhir_server.search.keys import has_field


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
        case Present(field, record):
            return has_field(entry["keys"], field) or (record and "owner" in entry)
        case Within(part, term):
            return any(matches(term, found) for found in _parts(entry, part))
        case InRecord(patient):
            return entry.get("owner") == patient or patient in entry.get("others", ())
        case InRecords(patients):
            return entry.get("owner") in patients or not patients.isdisjoint(entry.get("others", ()))
        case OnlyInRecords(patients):
            return entry.get("owner") in patients and patients.issuperset(entry.get("others", ()))
        case OfTypes(types):
            return entry["type"] in types
        case InNoRecord():
            return "owner" not in entry
        case InSeveral():
            return "others" in entry
        case DepositedBy(None):
            return "depositor" not in entry
        case DepositedBy(reference):
            return reference in entry.get("depositor", ())
        case DepositedAfter(moment):
            return "deposited" in entry and entry["deposited"] > moment
        case Labelled(label):
            return label in entry.get("labels", ())
    raise TypeError(f"not an expression that can be read alone: {expression!r}")


def _parts(entry: Entry, part: str) -> list[Entry]:
    """The sub-entries of `parts.component`, `contained` or `documents`."""
    found = entry
    for name in part.split("."):
        found = found.get(name, {})
    return found or []  # type: ignore[return-value]
