"""The format of an answer: what the client accepts, of what there is.  R4: http.html#mime-type; RFC 9110 s. 12.5.1"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterable
from functools import lru_cache

from fhir_server.fhir import json, xml
from fhir_server.fhir.http import JSON_TYPES, VERSIONS, XML_TYPES
from fhir_server.fhir.outcome import NotAcceptable

JSON = "application/fhir+json"
XML = "application/fhir+xml"
#: What may stand in a Content-Type header: FHIR's code takes line feeds and any letter.
_MEDIA_TYPE = re.compile("[!-~]+/[ -~]+")
_ANY_BYTES = "application/octet-stream"
_OF_FHIR = JSON_TYPES | XML_TYPES
#: The media ranges that each is an answer to.
_READ_AS_JSON = JSON_TYPES | {"*/*", "application/*"}
_READ_AS_XML = XML_TYPES | {"text/*"}
_SHORT = {"json": JSON, "xml": XML}
_OFFER = f"Known: {JSON} and {XML}."


def format_of(query: Iterable[tuple[str, str]], accept: str | None) -> str:
    """
    JSON or XML: `_format` goes before Accept, and JSON before XML where the client does not mind.

    Raises NotAcceptable (406) for anything else.
    """
    asked = [value for name, value in query if name == "_format"]
    if asked:
        # In a query a plus sign reads as a space: `application/fhir+json` comes in as `application/fhir json`.
        media_type = asked[-1].partition(";")[0].strip().lower().replace(" ", "+")
        return _known(_SHORT.get(media_type, media_type), asked[-1])
    if not accept or not accept.strip():
        return JSON
    wanted = sorted(_ranges(accept), key=lambda found: -found[1])
    for media_range, quality in wanted:
        if quality <= 0:
            continue
        if media_range in _READ_AS_JSON:
            return JSON
        if media_range in _READ_AS_XML:
            return XML
    raise NotAcceptable(f"Nothing of `{accept}` can be had here. {_OFFER}")


def wants_raw(query: Iterable[tuple[str, str]], accept: str | None) -> bool:
    """
    Whether a Binary is wanted as what it holds: unless a FHIR format is asked for by name.  R4: binary.html#rest

    A browser names application/xml among all it can show, and means the content.
    """
    if any(name == "_format" for name, _ in query):
        return False
    ranges = [media_range for media_range, quality in _ranges(accept or "") if quality > 0]
    return "text/html" in ranges or _OF_FHIR.isdisjoint(ranges)


def raw(body: bytes) -> tuple[bytes, str]:
    """The content of a Binary, and its media type."""
    resource = json.parse(body)
    media_type = resource.get("contentType", "")
    return b64decode(resource.get("data", "")), media_type if _MEDIA_TYPE.fullmatch(media_type) else _ANY_BYTES


def write(body: bytes, format: str, pretty: bool) -> bytes:
    """The JSON of an answer, in this format."""
    if format == XML:
        return xml.dumps(json.parse(body), pretty=pretty)
    return json.dumps(json.parse(body), pretty=True) if pretty else body


def _known(media_type: str, asked: str) -> str:
    if media_type in JSON_TYPES:
        return JSON
    if media_type in XML_TYPES:
        return XML
    raise NotAcceptable(f"`_format={asked}` cannot be had here. {_OFFER}")


@lru_cache(maxsize=128)
def _ranges(accept: str) -> tuple[tuple[str, float], ...]:
    """(media range, quality) of each part; those for another FHIR are left out.  R4: http.html#version-parameter"""
    found = []
    for part in accept.split(","):
        media_range, *parameters = (piece.strip().lower() for piece in part.split(";"))
        values = dict(parameter.partition("=")[::2] for parameter in parameters)
        if values.get("fhirversion", "4.0").strip('"') not in VERSIONS:
            continue
        try:
            quality = float(values.get("q", "1"))
        except ValueError:
            quality = 0.0
        if media_range:
            found.append((media_range, quality))
    return tuple(found)
