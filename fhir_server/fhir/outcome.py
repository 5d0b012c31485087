"""Every way a FHIR request can fail, and the OperationOutcome it fails with.

    FhirError                  500  exception
    ├── BadRequest             400  invalid
    ├── Unauthorized           401  login
    ├── Forbidden              403  forbidden
    ├── NotFound               404  not-found
    ├── MethodNotAllowed       405  not-supported
    ├── NotAcceptable          406  not-supported
    ├── Conflict               409  conflict
    ├── Gone                   410  deleted
    ├── PreconditionFailed     412  conflict
    │   └── MultipleMatches    412  multiple-matches
    ├── TooLarge               413  too-long
    ├── UnsupportedMediaType   415  not-supported
    ├── Unprocessable          422  processing
    │   ├── TooCostly          422  too-costly
    │   └── NotSupported       422  not-supported
    └── Unavailable            503  transient

R4: http.html#Status-Codes, operationoutcome.html, valueset-issue-type.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

# What a FHIR string may not hold: a message that quotes what was received must be one all the same.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True)
class Issue:
    """One fault: `code` from valueset-issue-type, `diagnostics` in plain words, `expression` where (FHIRPath)."""

    code: str
    diagnostics: str
    expression: tuple[str, ...] = ()
    severity: str = "error"

    def as_json(self) -> dict[str, Any]:
        """The issue as OperationOutcome.issue."""
        issue: dict[str, Any] = {
            "severity": self.severity,
            "code": self.code,
            "diagnostics": printable(self.diagnostics),
        }
        if self.expression:
            issue["expression"] = [printable(place) for place in self.expression]
        return issue


def printable(text: str) -> str:
    """The text without what a FHIR string may not hold.  R4: datatypes.html#string"""
    return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def operation_outcome(issues: Iterable[Issue]) -> dict[str, Any]:
    """An OperationOutcome resource with these issues."""
    return {"resourceType": "OperationOutcome", "issue": [issue.as_json() for issue in issues]}


class FhirError(Exception):
    """A failure with its status and issues.  Raised anywhere; rendered once, in rest/blueprint.py."""

    status = 500
    code = "exception"

    def __init__(self, diagnostics: str, *expression: str, issues: tuple[Issue, ...] = (), headers: dict | None = None):
        super().__init__(diagnostics)
        self.issues = issues or (Issue(self.code, diagnostics, expression),)
        self.headers = headers or {}

    @classmethod
    def of(cls, issues: Iterable[Issue]) -> FhirError:
        """The error that reports all of `issues` at once."""
        issues = tuple(issues)
        return cls("; ".join(issue.diagnostics for issue in issues), issues=issues)

    def outcome(self) -> dict[str, Any]:
        """The OperationOutcome to answer with."""
        return operation_outcome(self.issues)


class BadRequest(FhirError):
    """What was sent cannot be understood."""

    status, code = 400, "invalid"


class Unauthorized(FhirError):
    """No access token, or a dead one.  RFC 6750 s. 3"""

    status, code = 401, "login"


class Forbidden(FhirError):
    """A type or an interaction outside the token's scopes."""

    status, code = 403, "forbidden"


class NotFound(FhirError):
    """Not there, or not for this actor to see: the two are the same answer."""

    status, code = 404, "not-found"


class MethodNotAllowed(FhirError):
    """The interaction is not offered here."""

    status, code = 405, "not-supported"


class NotAcceptable(FhirError):
    """No format that the client accepts.  RFC 9110 s. 15.5.7"""

    status, code = 406, "not-supported"


class Conflict(FhirError):
    """Two writers met."""

    status, code = 409, "conflict"


class Gone(FhirError):
    """The resource was deleted.  R4: http.html#read"""

    status, code = 410, "deleted"


class PreconditionFailed(FhirError):
    """If-Match, If-None-Exist or another condition does not hold."""

    status, code = 412, "conflict"


class MultipleMatches(PreconditionFailed):
    """A conditional interaction found more than one resource."""

    code = "multiple-matches"


class TooLarge(FhirError):
    """The body is over the limit."""

    status, code = 413, "too-long"


class UnsupportedMediaType(FhirError):
    """A Content-Type that is not read here."""

    status, code = 415, "not-supported"


class Unprocessable(FhirError):
    """Understood, but not a good resource."""

    status, code = 422, "processing"


class TooCostly(Unprocessable):
    """Understood, but more than is done at once: an expansion without end.  R4: valueset.html#expansion"""

    code = "too-costly"


class NotSupported(Unprocessable):
    """Understood as the standard has it, but not done here."""

    code = "not-supported"


class TooManyRequests(FhirError):
    """Asked too often; `Retry-After` says when again.  RFC 6585 s. 4"""

    status, code = 429, "throttled"


class Unavailable(FhirError):
    """The store cannot answer just now; try again."""

    status, code = 503, "transient"
