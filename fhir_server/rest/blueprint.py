"""FHIR over HTTP: the wire to a FhirRequest, a FhirResponse to the wire.  R4: http.html

Everything it needs is handed to it.  No answer leaves before its audit record is durable.
"""

from __future__ import annotations

import hashlib
import random
import re
import secrets
import traceback
from base64 import b64encode
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import structlog
from flask import Blueprint, Response, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, RequestEntityTooLarge

from fhir_server.access import Actor
from fhir_server.access.decision import LETTERS
from fhir_server.audit import Trail
from fhir_server.fhir import json, outcome
from fhir_server.fhir.http import JSON_PATCH, JSON_TYPES, XML_TYPES, FhirRequest, FhirResponse, query_of
from fhir_server.fhir.outcome import BadRequest, FhirError, TooLarge, Unauthorized, printable
from fhir_server.fhir.types import TYPES
from fhir_server.interactions.routes import Router
from fhir_server.repository import Repository
from fhir_server.rest import negotiation
from fhir_server.storage.store import Ahead, Brought

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
Authenticate = Callable[[str, Callable[[Actor | None], Ahead | None]], tuple[Actor, Brought | None]]
RepositoryFor = Callable[[Actor, Trail], Repository]

#: What a client may call its request: it comes back in the answer, and stands in the audit record.
_REQUEST_ID = re.compile("[!-~]{1,64}")

log = structlog.get_logger()


def blueprint(
    *,
    base: str,
    router: Router,
    authenticate: Authenticate,
    repository_for: RepositoryFor,
    record_stranger: Callable[[Trail, FhirError], None],
    under_way: Callable[[], AbstractContextManager[None]],
    capabilities: dict[str, Any],
    configuration: dict[str, Any],
) -> Blueprint:
    """
    The FHIR REST API.

    What anyone may read: the CapabilityStatement, and the SMART configuration, which is no resource.
    record_stranger: records the refusal of an unknown caller.  under_way: holds while a request is answered.
    """
    rest = Blueprint("rest", __name__)
    written = json.dumps(capabilities)
    statement = FhirResponse(200, written, {"ETag": f'W/"{hashlib.sha256(written).hexdigest()[:16]}"'})

    @rest.route("", defaults={"path": ""}, methods=METHODS)
    @rest.route("/", defaults={"path": ""}, methods=METHODS)
    @rest.route("/<path:path>", methods=METHODS)
    def serve(path: str) -> Response:
        asked_id = request.headers.get("X-Request-Id", "")
        request_id = asked_id if _REQUEST_ID.fullmatch(asked_id) else _name()
        query = request.query_string.decode("utf-8", "replace")
        trail = Trail("", request.method, "/" + path, query, request.remote_addr, request_id)
        try:
            if path == "metadata" and request.method in ("GET", "HEAD"):
                return _write(statement, query_of(query), request_id)
            if path == ".well-known/smart-configuration" and request.method in ("GET", "HEAD"):
                return Response(json.dumps(configuration), content_type="application/json")
            with under_way():
                asked, response = _answer(path, query, trail)
            return _write(response, asked.query, request_id, raw=_raw(asked))
        except FhirError as error:
            return write_error(error, query, request_id)
        except Exception as error:
            return write_error(unforeseen(error), query, request_id)

    def _answer(path: str, query: str, trail: Trail) -> tuple[FhirRequest, FhirResponse]:
        seen: list[FhirRequest] = []
        guessed: list[Repository] = []

        def foresee(actor: Actor | None) -> Ahead | None:
            """What the actor who is taken to hold the token will ask for.  Nothing is refused yet."""
            if actor is None or request.method not in ("GET", "HEAD"):
                return None
            try:
                seen.append(read_request(path, query, base))
                guessed.append(repository_for(actor, trail))
                return router.foresee(seen[0], guessed[0])
            except (FhirError, HTTPException):  # said when it is known who asks
                return None

        try:
            actor, brought = authenticate(_bearer(), foresee)
        except Unauthorized as refusal:
            trail.interaction = "login"
            record_stranger(trail, refusal)
            raise
        if guessed and guessed[0].actor != actor:  # what was read for somebody else is nothing to this one
            trail.disclosed.clear()
            seen.clear()
            guessed.clear()
        repository = guessed[0] if guessed else repository_for(actor, trail)
        if brought:
            repository.bring(brought)
        try:
            asked = seen[0] if seen else read_request(path, query, base)
            trail.interaction, run = router.find(asked)
            if not _raw(asked):
                negotiation.format_of(asked.query, asked.headers.get("accept"))
            response = run(asked, repository)
        except FhirError as error:
            repository.record(error)
            if error.status == 403:
                error.headers.setdefault("WWW-Authenticate", _insufficient(trail.interaction, path))
            raise
        except HTTPException as error:
            fault = of_http(error)
            repository.record(fault)
            raise fault from None
        except Exception as error:
            failure = unforeseen(error)
            repository.record(failure)
            raise failure from error
        repository.record()
        return asked, response

    return rest


#: Types that a resource and any other content share; a CDA document is deposited as text/xml.
_GENERIC = frozenset({"application/json", "text/json", "application/xml", "text/xml"})
#: What a resource comes as, a Binary too; no type at all is no content of its own.
_OF_RESOURCES = JSON_TYPES | XML_TYPES | {JSON_PATCH, ""}
_IS_BINARY = re.compile(rb"""<(\w+:)?Binary\b[^>]*["']http://hl7\.org/fhir["']|"resourceType"\s*:\s*"Binary\"""")
#: The headers that WSGI has under names of their own.
_OF_BODY = {"content-type": "CONTENT_TYPE", "content-length": "CONTENT_LENGTH"}
#: A Binary holds whatever was deposited: no browser is to run it as a page of ours.  R4: security.html#binary
_CONTENT_OF_OTHERS = {"Content-Security-Policy": "default-src 'none'; sandbox", "Content-Disposition": "attachment"}
_EVERY_ANSWER = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_TOO_LARGE = "The body is larger than this server reads (FHIR_SERVER_MAX_BODY_BYTES)."


def _name() -> str:
    """A name for a request whose client gave it none."""
    return f"{random.getrandbits(64):016x}"  # noqa: S311 - no secret


def unforeseen(error: Exception) -> FhirError:
    """The failure that a client sees for what nobody foresaw: an id to quote.

    The log gets where it happened and the kind of error.  Not its text, nor any value: either may hold health data.
    """
    incident = secrets.token_hex(8)
    where = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]
    log.error("unforeseen", incident=incident, error=type(error).__name__, where=where[-12:])
    return FhirError(f"The server failed; quote `{incident}` to its operator.")


def read_request(path: str, query: str, base: str) -> FhirRequest:
    """The request on the wire as a value.  A Binary may come as what it holds.  R4: binary.html#rest"""
    if printable(path) != path:
        raise BadRequest("The path holds a character that no FHIR string can hold.")
    headers = _headers_of(request.environ)
    asked = FhirRequest(request.method, path.strip("/"), base, query_of(query), headers, _body(headers))
    type, _, id = asked.path.partition("/")
    if type != "Binary" or request.method not in ("POST", "PUT") or "/" in id or id.startswith(("_", "$")):
        return asked
    generic = asked.content_type in _GENERIC
    if asked.content_type in _OF_RESOURCES and (not generic or _IS_BINARY.search(asked.body[:4096])):
        return asked
    binary: dict[str, Any] = {
        "resourceType": "Binary",
        **({"id": id} if id else {}),
        "contentType": headers["content-type"],
    }
    if "x-security-context" in headers:
        binary["securityContext"] = {"reference": headers["x-security-context"]}
    if asked.body:
        binary["data"] = b64encode(asked.body).decode()
    return FhirRequest(asked.method, asked.path, base, asked.query, headers, b"", resource=binary)


def _headers_of(environ: Mapping[str, Any]) -> dict[str, str]:
    """
    The headers of a request, by lower-case name.  PEP 3333

    None begins with a colon: so do the words that the server itself adds to an entry of a Bundle.

    >>> _headers_of({"REQUEST_METHOD": "PUT", "HTTP_IF_MATCH": '"1"', "HTTP_:BUNDLE": "entry", "CONTENT_LENGTH": "2"})
    {'if-match': '"1"', 'content-length': '2'}
    """
    headers = {}
    for key, value in environ.items():
        if key.startswith("HTTP_"):
            name = key[5:].replace("_", "-").lower()
            if name not in _OF_BODY and not name.startswith(":"):
                headers[name] = value
    for name, key in _OF_BODY.items():
        if environ.get(key):
            headers[name] = environ[key]
    return headers


def _body(headers: Mapping[str, str]) -> bytes:
    """The body.  There is none without a length or a coding.  RFC 9112 s. 6.3"""
    if "transfer-encoding" not in headers and headers.get("content-length", "0") == "0":
        return b""
    return request.get_data(cache=False)


def write_error(error: FhirError, query: str, request_id: str) -> Response:
    """The OperationOutcome of a failure, in the client's format where it has one, else in JSON."""
    response = FhirResponse.of(error.status, error.outcome(), error.headers)
    try:
        return _write(response, query_of(query), request_id)
    except FhirError:
        return _write(response, (("_format", "json"),), request_id)


def _write(
    response: FhirResponse, query: tuple[tuple[str, str], ...], request_id: str, *, raw: bool = False
) -> Response:
    """raw: whether the content of a Binary is asked for."""
    body, media_type = response.body, negotiation.JSON
    headers = {**response.headers, **_EVERY_ANSWER}
    if body is not None and response.status == 200 and raw:
        body, media_type = negotiation.raw(body)
        headers |= _CONTENT_OF_OTHERS
    elif body is not None:
        media_type = negotiation.format_of(query, request.headers.get("Accept"))
        pretty = any(name == "_pretty" and value != "false" for name, value in query)
        body = negotiation.write(body, media_type, pretty)
    if request_id:
        headers["X-Request-Id"] = request_id
    if body is not None:
        charset = "; charset=utf-8" if media_type in (negotiation.JSON, negotiation.XML) else ""
        headers["Content-Type"] = media_type + charset
    written = Response(body, response.status, headers)
    if body is None:
        written.headers.pop("Content-Type", None)
    return written


def _raw(asked: FhirRequest) -> bool:
    """Whether the content of a Binary is asked for."""
    parts = asked.path.split("/")
    if parts[0] != "Binary" or len(parts) not in (2, 4) or parts[-1].startswith(("_", "$")):
        return False
    return asked.method in ("GET", "HEAD") and negotiation.wants_raw(asked.query, asked.headers.get("accept"))


def _bearer() -> str:
    """The access token.  Raises Unauthorized if there is none.  RFC 6750 s. 2.1, s. 3; RFC 9449 s. 7.1"""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() not in ("bearer", "dpop") or not token.strip():
        raise Unauthorized(
            "An access token is needed: `Authorization: Bearer …`.",
            headers={"WWW-Authenticate": 'Bearer realm="fhir-server"'},
        )
    return token.strip()


def _insufficient(interaction: str, path: str) -> str:
    """The challenge of a refusal, with the scopes that the request takes where it is of one type.  RFC 6750 s. 3.1"""
    challenge = 'Bearer realm="fhir-server", error="insufficient_scope"'
    type, letter = path.strip("/").partition("/")[0], LETTERS.get(interaction)
    if type not in TYPES or letter is None:
        return challenge
    return f'{challenge}, scope="patient/{type}.{letter} user/{type}.{letter}"'


def of_http(error: HTTPException) -> FhirError:
    """A refusal of Flask's as one of ours."""
    if isinstance(error, RequestEntityTooLarge):
        return TooLarge(_TOO_LARGE)
    if isinstance(error, MethodNotAllowed):
        allowed = {"Allow": ", ".join(sorted(error.valid_methods or ()))}
        return outcome.MethodNotAllowed(f"`{request.method}` is not offered here.", headers=allowed)
    refusal = BadRequest(error.description or error.name)
    refusal.status = error.code or 400
    return refusal
