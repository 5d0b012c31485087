"""A RESTful exchange as values: what was asked and what is answered, whatever carried it.

A request from the wire and an entry of a Bundle are both a FhirRequest, so both go through the same router.
R4: http.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode

from fhir_server.fhir import json, xml
from fhir_server.fhir.outcome import BadRequest, TooLarge, UnsupportedMediaType, printable

JSON_TYPES = frozenset({"application/fhir+json", "application/json", "text/json", "application/json+fhir"})
XML_TYPES = frozenset({"application/fhir+xml", "application/xml", "text/xml", "application/xml+fhir"})
JSON_PATCH = "application/json-patch+json"
#: What `fhirVersion` may say of a resource.  R4: http.html#version-parameter
VERSIONS = ("4.0", "4.0.1")
FORM = "application/x-www-form-urlencoded"
#: The longest query, in a URL or a form.
MAX_QUERY = 65_536
#: In English whatever the locale, which `strftime` follows.
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True)
class FhirRequest:
    """
    One interaction that is asked for.

    path        below the base, without slashes at its ends: `Patient/1`
    query       the parameters as they came, decoded, in order
    headers     by lower-case name
    resource    the body of a Bundle entry; a request from the wire has `body` instead
    new_id      the id that a transaction has given out to what this entry creates
    memo        what was read of the request already
    """

    method: str
    path: str
    base: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    resource: dict[str, Any] | None = None
    new_id: str | None = None
    memo: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def content_type(self) -> str:
        """The media type of the body, without its parameters, in lower case."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def in_bundle(self) -> bool:
        """Whether this is an entry of a batch or transaction."""
        return self.headers.get(":bundle") == "entry"

    def parsed(self) -> dict[str, Any]:
        """The resource in the body.  Raises BadRequest, UnsupportedMediaType (415)."""
        if self.resource is not None:
            return self.resource
        if self.in_bundle:
            raise BadRequest(f"`{self.method} {self.path}` needs a resource in its entry.", "Bundle.entry.resource")
        return _reader(self.content_type, self.headers.get("content-type", ""))(self.body)

    def form(self) -> tuple[tuple[str, str], ...]:
        """The parameters of a form body.  R4: http.html#search"""
        if not self.body:
            return ()
        if self.content_type != FORM:
            raise UnsupportedMediaType(f"`_search` takes {FORM}, not `{self.content_type}`.")
        return query_of(self.body.decode("utf-8", "replace"))

    def prefer(self, name: str) -> str | None:
        """The value of a preference, `return` or `handling`.  RFC 7240"""
        for preference in self.headers.get("prefer", "").replace(";", ",").split(","):
            key, _, value = preference.partition("=")
            if key.strip().lower() == name:
                return value.strip().strip('"')
        return None


@dataclass(frozen=True)
class FhirResponse:
    """
    What is answered.

    body        JSON, turned into what the client accepts on its way out
    updated     when the version that is answered with was made
    """

    status: int
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    updated: datetime | None = None

    @classmethod
    def of(cls, status: int, resource: dict[str, Any], headers: Mapping[str, str] | None = None) -> FhirResponse:
        """The answer with this resource."""
        return cls(status, json.dumps(resource), headers or {})


def query_of(text: str) -> tuple[tuple[str, str], ...]:
    """The parameters of a query string or a form, decoded, empty values kept.  Raises BadRequest, TooLarge (413)."""
    if len(text) > MAX_QUERY:
        raise TooLarge(f"The query has {len(text)} characters; at most {MAX_QUERY} are read.")
    try:
        pairs = tuple(parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=1000))
    except ValueError as error:
        raise BadRequest(f"The query cannot be read: {error}.") from None
    for name, value in pairs:
        if printable(name) != name or printable(value) != value:
            raise BadRequest(f"The query cannot be read: `{name}` holds a character that no FHIR string can hold.")
    return pairs


def query_text(pairs: tuple[tuple[str, str], ...] | list[tuple[str, str]]) -> str:
    """The query string of these parameters."""
    return urlencode(pairs, safe="|,:/")


def http_date(moment: datetime) -> str:
    """
    The moment as an HTTP date, to the second.  RFC 9110 s. 5.6.7

    >>> http_date(datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC))
    'Sun, 06 Nov 1994 08:49:37 GMT'
    """
    at = moment.astimezone(UTC)
    day, month = _DAYS[at.weekday()], _MONTHS[at.month - 1]
    return f"{day}, {at.day:02} {month} {at.year:04} {at.hour:02}:{at.minute:02}:{at.second:02} GMT"


def read_http_date(text: str) -> datetime | None:
    """The moment of an HTTP date; None for what is none, which a recipient ignores.  RFC 9110 s. 13.1.3"""
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _parameter(content_type: str, name: str) -> str:
    """The value of a parameter of a Content-Type, in lower case; empty if it is not given."""
    return content_type.lower().partition(f"{name}=")[2].partition(";")[0].strip().strip('"')


def _reader(media_type: str, given: str) -> Callable[[bytes], dict[str, Any]]:
    charset = _parameter(given, "charset")
    if charset and charset not in ("utf-8", "utf8"):
        raise UnsupportedMediaType(f"FHIR is written in UTF-8, not `{charset}`.")
    version = _parameter(given, "fhirversion")
    if version and version not in VERSIONS:
        raise UnsupportedMediaType(f"Resources of FHIR 4.0 are read here, not those of `{version}`.")
    if media_type in JSON_TYPES:
        return json.parse
    if media_type in XML_TYPES:
        return xml.parse
    raise UnsupportedMediaType(
        f"`{media_type or 'no Content-Type'}` is not read here; send application/fhir+json or application/fhir+xml."
    )
