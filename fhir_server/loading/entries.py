"""What a document holds to be kept: its resources, each under the id that it will have whenever it is loaded again.

An id is the one of `PUT Type/id`, or the uuid of the entry's full URL, or the resource's own; with none of these, one
that is computed from the content.  A document or message Bundle is one resource; every other Bundle is a parcel.
R4: bundle.html, http.html#transaction
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from fhir_server.fhir import json, references
from fhir_server.fhir.outcome import BadRequest

Resource = dict[str, Any]

_PARCELS = ("transaction", "batch", "collection", "searchset", "history")
_ANSWERS = ("transaction-response", "batch-response")
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}", re.ASCII)
#: The namespace of the ids that are computed from content.  RFC 9562 s. 5.5
_NAMESPACE = uuid.UUID("6f0c1a3e-5d0b-5c8e-9b57-1f6f0c6f4f11")


@dataclass(frozen=True)
class Entry:
    """
    A resource to be kept as `type/id`.

    criteria: what a conditional create or update looks for; `replaces` tells the two apart.
    """

    place: str
    type: str
    id: str
    resource: Resource
    full_url: str | None = None
    criteria: str | None = None
    replaces: bool = False


@dataclass(frozen=True)
class Refused:
    """An entry, or a whole document, from which nothing can be loaded."""

    place: str
    type: str | None
    reason: str


def entries(document: Any, place: str) -> Iterator[Entry | Refused]:
    """What `document` holds, a resource or a Bundle of them."""
    if not isinstance(document, dict) or not isinstance(document.get("resourceType"), str):
        yield Refused(place, None, "no FHIR resource: it has no `resourceType`")
        return
    kind = document.get("type")
    if document["resourceType"] != "Bundle" or kind not in _PARCELS + _ANSWERS:
        yield _resource(document, place)
        return
    if kind in _ANSWERS:
        yield Refused(place, "Bundle", f"a {kind} holds answers; there is nothing to load in it")
        return
    held = document.get("entry", [])
    if not isinstance(held, list):
        yield Refused(place, "Bundle", "`Bundle.entry` is not a list")
        return
    seen: set[str] = set()
    for index, item in enumerate(held):
        found = _entry(item, f"{place}: Bundle.entry[{index}]", kind)
        if found is None:
            continue
        if kind == "history":
            # Newest first: the first of each is how it is now.
            identity = _identity(item)
            if identity in seen:
                continue
            seen.add(identity)
            if isinstance(found, Refused) and "resource" not in item:
                continue
        yield found


def _resource(resource: Resource, place: str, full_url: str | None = None) -> Entry:
    type = resource["resourceType"]
    return Entry(place, type, _id_of(resource, full_url), resource, full_url)


def _entry(item: Any, place: str, kind: str) -> Entry | Refused | None:
    """The entry of a Bundle; None where there is nothing meant to be kept."""
    if not isinstance(item, dict):
        return Refused(place, None, "an entry that is not an object")
    resource, full_url, request = item.get("resource"), item.get("fullUrl"), item.get("request")
    search = item.get("search")
    if isinstance(search, dict) and search.get("mode") == "outcome":
        return None
    asked = request if isinstance(request, dict) and kind != "collection" else {}
    method = asked.get("method")
    if method in ("GET", "HEAD"):
        return None
    if method in ("DELETE", "PATCH"):
        return Refused(place, None, f"{method} is not loaded: a load adds and replaces; send it to the server")
    if not isinstance(resource, dict) or not isinstance(resource.get("resourceType"), str):
        return Refused(place, None, "an entry without a resource")
    if full_url is not None and not isinstance(full_url, str):
        return Refused(place, resource["resourceType"], "`fullUrl` is not a text")
    if method is None or kind == "history":
        return _resource(resource, place, full_url)
    return _requested(resource, full_url, asked, place)


def _requested(resource: Resource, full_url: str | None, request: dict[str, Any], place: str) -> Entry | Refused:
    """The entry of a batch or transaction.  R4: http.html#trules"""
    type = resource["resourceType"]
    url, if_none_exist = request.get("url"), request.get("ifNoneExist")
    if not isinstance(url, str) or not isinstance(if_none_exist or "", str):
        return Refused(place, type, "`request` has no url, or one that is not a text")
    path, _, query = url.partition("?")
    named, _, id = path.strip("/").rpartition("/")
    if request.get("method") == "PUT" and not query:
        if named.rpartition("/")[2] != type or not _ID.fullmatch(id):
            return Refused(place, type, f"`request.url` is `{url[:80]}`, and the resource is a {type}")
        if resource.get("id", id) != id:
            return Refused(place, type, "the id in `request.url` is not the one in the resource")
        return Entry(place, type, id, resource, full_url)
    id = _id_of(resource, full_url)
    if request.get("method") == "PUT":
        return Entry(place, type, id, resource, full_url, query, replaces=True)
    return Entry(place, type, id, resource, full_url, if_none_exist or None)


def _id_of(resource: Resource, full_url: str | None) -> str:
    if full_url and full_url.startswith(("urn:uuid:", "urn:oid:")):
        id = full_url.partition(":")[2].partition(":")[2]
        if _ID.fullmatch(id):
            return id
    if "id" in resource:
        # A bad one is for the structure check to say.
        return str(resource["id"])
    meta = resource.get("meta")
    own = {name: value for name, value in resource.items() if name != "meta"}
    if isinstance(meta, dict):
        own["meta"] = {name: value for name, value in meta.items() if name not in ("versionId", "lastUpdated")}
    sorted_bytes = orjson.dumps(orjson.loads(json.dumps(own)), option=orjson.OPT_SORT_KEYS)
    return str(uuid.uuid5(_NAMESPACE, sorted_bytes.decode()))


def _identity(item: dict[str, Any]) -> str:
    """`Type/id` of what the entry of a history is a version of."""
    resource, request = item.get("resource"), item.get("request")
    if isinstance(resource, dict) and "id" in resource:
        return f"{resource.get('resourceType')}/{resource['id']}"
    url = item.get("fullUrl") or (request.get("url") if isinstance(request, dict) else None)
    found = references.parse(str(url))
    return f"{found.type}/{found.id}"


def unpack(data: bytes) -> Any:
    """The value of a JSON document.  Raises BadRequest."""
    value = json.loads(data)
    if isinstance(value, list):
        raise BadRequest("A JSON array; expected a resource, a Bundle or a resource a line.")
    return value
