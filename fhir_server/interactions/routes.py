"""The table of interactions, and the one router over it.  R4: http.html

Requests from the wire and entries of a Bundle are routed here alike, and the CapabilityStatement is written from the
table, so that it says what there is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from fhir_server.fhir.http import FhirRequest, FhirResponse
from fhir_server.fhir.outcome import FhirError, MethodNotAllowed, NotFound
from fhir_server.fhir.types import TYPES
from fhir_server.interactions.batch import Unforeseen, batch_or_transaction
from fhir_server.interactions.create import create
from fhir_server.interactions.delete import conditional_delete, delete
from fhir_server.interactions.history import history
from fhir_server.interactions.patch import conditional_patch, patch
from fhir_server.interactions.read import read, vread
from fhir_server.interactions.search import foresee, search, search_compartment, search_system
from fhir_server.interactions.update import conditional_update, update
from fhir_server.operations.registry import OPERATIONS, Level, find
from fhir_server.repository import Repository
from fhir_server.storage.store import Ahead
from fhir_server.validation.words import nearest


@dataclass(frozen=True)
class Route:
    """A row: the interaction's code, its method, and its path; `{type}` is a supported type, `{id}` any text.

    The empty path is the base itself, where a POST is a batch or transaction.
    """

    interaction: str
    method: str
    path: str
    handler: Callable[..., FhirResponse]


ROUTES = (
    Route("search-type", "GET", "{type}", search),
    Route("search-type", "POST", "{type}/_search", search),
    Route("search-type", "GET", "Patient/{id}/{type}", search_compartment),
    Route("search-type", "POST", "Patient/{id}/{type}/_search", search_compartment),
    Route("search-system", "GET", "Patient/{id}/*", partial(search_compartment, type="*")),
    Route("search-system", "POST", "Patient/{id}/*/_search", partial(search_compartment, type="*")),
    Route("search-system", "GET", "", search_system),
    Route("search-system", "POST", "_search", search_system),
    Route("create", "POST", "{type}", create),
    Route("update", "PUT", "{type}", conditional_update),
    Route("patch", "PATCH", "{type}", conditional_patch),
    Route("delete", "DELETE", "{type}", conditional_delete),
    Route("history-system", "GET", "_history", history),
    Route("history-type", "GET", "{type}/_history", history),
    Route("read", "GET", "{type}/{id}", read),
    Route("update", "PUT", "{type}/{id}", update),
    Route("patch", "PATCH", "{type}/{id}", patch),
    Route("delete", "DELETE", "{type}/{id}", delete),
    Route("history-instance", "GET", "{type}/{id}/_history", history),
    Route("vread", "GET", "{type}/{id}/_history/{version_id}", vread),
)


@dataclass(frozen=True)
class Router:
    """Finds and runs what a request asks for."""

    unforeseen: Unforeseen
    max_entries: int = 5_000

    def __call__(self, request: FhirRequest, repository: Repository) -> FhirResponse:
        """The answer of the interaction that `request` names.  Raises FhirError."""
        return self.find(request)[1](request, repository)

    def find(self, request: FhirRequest) -> tuple[str, Callable[[FhirRequest, Repository], FhirResponse]]:
        """The interaction's code and its handler.  Raises NotFound, MethodNotAllowed."""
        method = "GET" if request.method == "HEAD" else request.method
        parts = request.path.split("/") if request.path else []
        if not parts:
            return self._root(method)
        if parts[-1].startswith("$"):
            return _operation(method, parts)
        allowed: list[str] = []
        for route, steps in _BY_LENGTH.get(len(parts), ()):
            names = _match(steps, parts)
            if names is None:
                continue
            if route.method == method:
                return route.interaction, partial(route.handler, **names)
            allowed.append(route.method)
        if allowed:
            raise _not_allowed(method, request.path, allowed)
        if parts[0] not in TYPES and not parts[0].startswith(("_", "$")):
            meant = nearest(parts[0], TYPES)
            would_do = f"did you mean `{meant}`?" if meant else f"known: {', '.join(TYPES)}."
            raise NotFound(f"`{parts[0]}` is not a type that is kept here; {would_do}")
        raise NotFound(f"There is nothing at `{request.path}`.")

    def foresee(self, request: FhirRequest, repository: Repository) -> Ahead | None:
        """
        What the interaction will ask the store for first, if that can be said: of a read, and of a plain search.

        repository: of the actor who is taken to ask.
        """
        type, _, id = request.path.partition("/")
        if request.method not in ("GET", "HEAD") or type not in TYPES or "/" in id or id.startswith(("_", "$")):
            return None
        if id:
            return repository.ahead_of_read(type, id)
        return foresee(request, repository, type)

    def _root(self, method: str) -> tuple[str, Callable[[FhirRequest, Repository], FhirResponse]]:
        if method == "GET":
            return "search-system", search_system
        if method != "POST":
            raise _not_allowed(method, "/", ["GET", "POST"])

        def run(request: FhirRequest, repository: Repository) -> FhirResponse:
            return batch_or_transaction(request, repository, self, self.unforeseen, max_entries=self.max_entries)

        return "batch", run


def _by_length(routes: Iterable[Route]) -> dict[int, list[tuple[Route, list[str]]]]:
    """The routes by the number of their steps, each with its steps, in the order of the table."""
    found: dict[int, list[tuple[Route, list[str]]]] = {}
    for route in routes:
        steps = route.path.split("/")
        found.setdefault(len(steps), []).append((route, steps))
    return found


_BY_LENGTH = _by_length(ROUTES)


def _match(steps: list[str], parts: list[str]) -> dict[str, str] | None:
    """What the names of a path stand for, if the parts, as many as its steps, are of its form."""
    if "" in parts:
        return None
    names: dict[str, str] = {}
    for step, part in zip(steps, parts, strict=True):
        if step == "{type}" and part in TYPES or step in ("{id}", "{version_id}") and not part.startswith(("_", "$")):
            names[step.strip("{}")] = part
        elif step != part:
            return None
    return names


_LEVELS: tuple[Level, ...] = ("system", "type", "instance")


def _operation(method: str, parts: list[str]) -> tuple[str, Callable[[FhirRequest, Repository], FhirResponse]]:
    """The operation at `$name`, `[type]/$name` or `[type]/[id]/$name`."""
    name = parts[-1].removeprefix("$")
    names = dict(zip(("type", "id"), parts[:-1], strict=False))
    operation = find(name, names.get("type"), _LEVELS[len(parts) - 1]) if len(parts) <= len(_LEVELS) else None
    if operation is None or "" in parts:
        offered = ", ".join(dict.fromkeys(address for known in OPERATIONS for address in known.addresses()))
        raise NotFound(f"There is no operation at `{'/'.join(parts)}`; known: {offered}.")
    methods = ["POST"] if operation.changes else ["GET", "POST"]
    if method not in methods:
        raise _not_allowed(method, "/".join(parts), methods)
    return f"operation-{name}", partial(operation.handler, **names)


def _not_allowed(method: str, path: str, allowed: list[str]) -> FhirError:
    offered = sorted({*allowed, *(["HEAD"] if "GET" in allowed else [])})
    return MethodNotAllowed(
        f"`{method}` is not offered at `{path}`; it takes {', '.join(offered)}.", headers={"Allow": ", ".join(offered)}
    )
