"""The conformance resources that come with the server are kept in the store, where clients read and search them.

Done once before workers start, through the one door, and skipped when nothing has changed since: a fingerprint tells.
What the operator has put under the same id stays.  What no longer comes along is retired, not deleted: resources may
still claim it.  docs/decisions/0009-carried-resources-in-the-store.md
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from fhir_server.access import Actor
from fhir_server.access import scopes as smart_scopes
from fhir_server.audit import Trail
from fhir_server.fhir import json
from fhir_server.fhir.outcome import FhirError, Gone, NotFound
from fhir_server.loading.work import BATCH
from fhir_server.repository import Repository, Resource, Surroundings
from fhir_server.storage.documents import CARRIED, SERVER

#: The document of `_server` that says what is kept: {"fingerprint", "resources": ["Type/id"]}.
STATE = "carried"

_ITSELF = Actor("operator", "fhir-server", smart_scopes.parse("system/*.cruds"))


def keep(around: Surroundings, resources: Iterable[Resource]) -> bool:
    """
    Make the store hold `resources` as they are; whether there was anything to do.

    Several servers may start on one database at once: each finds the other's work done.  Raises Unavailable, or what
    is wrong with a resource that cannot be kept.
    """
    state = around.store.database[SERVER]
    wanted = {f"{one['resourceType']}/{one['id']}": one for one in resources}
    fingerprint = hashlib.sha256(b"\n".join(map(json.dumps, wanted.values()))).hexdigest()
    before: dict[str, Any] = state.find_one({"_id": STATE}) or {}
    if before.get("fingerprint") == fingerprint:
        return False
    repository = Repository(around, _ITSELF, Trail("load", "CLI", "conformance resources of the server"))
    dropped = [name for name in before.get("resources", ()) if name not in wanted]
    for batch in _batches([*wanted.values(), *_retired(repository, dropped)]):
        for fate in repository.load(batch, _trusted, origin=CARRIED):
            if isinstance(fate, FhirError):
                raise fate
    state.update_one({"_id": STATE}, {"$set": {"fingerprint": fingerprint, "resources": list(wanted)}}, upsert=True)
    return True


def _retired(repository: Repository, names: Sequence[str]) -> Iterator[Resource]:
    """Those that are still there, as what is no longer to be used.  R4: codesystem-publication-status.html"""
    for name in names:
        type, _, id = name.partition("/")
        try:
            stored = repository.read(type, id)
        except (NotFound, Gone):
            continue
        yield {**json.parse(stored.body or b""), "status": "retired"}


def _batches(resources: Iterable[Resource]) -> Iterator[list[Resource]]:
    rest = iter(resources)
    while batch := list(islice(rest, BATCH)):
        yield batch


def _trusted(resource: Resource) -> None:
    """Nothing is asked of them at a start: that they are good is tested before they are shipped."""
