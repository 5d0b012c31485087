"""Is it built as R4 says?  Asked of every resource before it is written.

>>> for issue in faults({"resourceType": "Patient", "gendre": "male", "birthDate": "2023-02-30"}):
...     print(issue.code, *issue.expression, issue.diagnostics)
structure Patient.gendre `gendre` is not an element of Patient; did you mean `gender`?
value Patient.birthDate `birthDate`: `2023-02-30` is not a date (YYYY, YYYY-MM or YYYY-MM-DD): there is no such day \
in the calendar.

R4: resource.html, json.html, datatypes.html, operationoutcome.html
"""

from __future__ import annotations

from typing import Any

from fhir_server.fhir.outcome import Issue, Unprocessable
from fhir_server.validation import elements, models


def faults(resource: dict[str, Any]) -> list[Issue]:
    """Every structural fault of a resource and of those within it, each with its FHIRPath; none if it is good.

    The models of fhir.resources are asked only about what the walk finds good: they know nothing that it does not, and
    some of what it refuses would break them.
    """
    return elements.faults(resource) or models.faults(resource)


def check(resource: dict[str, Any]) -> None:
    """Raises Unprocessable with all the faults of `resource`, if there are any.  R4: http.html#create"""
    issues = faults(resource)
    if issues:
        raise Unprocessable.of(issues)
