"""
What apps show of this server when somebody chooses where to connect: its brand, and its endpoint.

SMART App Launch 2.2: brands.html.  Without a file of the operator's, there is one brand, named by the settings.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pymongo import ReturnDocument, WriteConcern
from pymongo.database import Database

from fhir_server.config import ConfigError, Settings
from fhir_server.storage.store import answering

COLLECTION = "_brands"
#: The only reasons for which an element may be left out.  brands.html, Must-Support Definition
REASONS = frozenset({"asked-declined", "asked-unknown"})

_CORE = "http://hl7.org/fhir/StructureDefinition"
_ABSENT = f"{_CORE}/data-absent-reason"


def entries(base_url: str, *, name: str, website: str | None = None) -> list[dict[str, Any]]:
    """The resources of the one brand of the server at `base_url`: its Organization, and its Endpoint."""
    home = website or base_url
    parts = urlsplit(home)
    organization = {
        "resourceType": "Organization",
        "id": "record",
        "extension": [
            {
                "url": f"{_CORE}/organization-brand",
                "extension": [{"url": "brandLogo", "valueUrl": f"{base_url}/smart/logo.svg"}],
            },
            {
                "url": f"{_CORE}/organization-portal",
                "extension": [
                    {"url": "portalName", "valueString": name},
                    {"url": "portalUrl", "valueUrl": f"{base_url}/"},
                    {"url": "portalEndpoint", "valueReference": {"reference": "Endpoint/record-r4"}},
                ],
            },
        ],
        "identifier": [
            {"system": "urn:ietf:rfc:3986", "value": f"{parts.scheme}://{parts.netloc.removeprefix('www.')}"}
        ],
        "active": True,
        "name": name,
        "telecom": [{"system": "url", "value": home}],
        "endpoint": [{"reference": "Endpoint/record-r4"}],
    }
    endpoint = {
        "resourceType": "Endpoint",
        "id": "record-r4",
        "extension": [{"url": f"{_CORE}/endpoint-fhir-version", "valueCode": "4.0.1"}],
        "status": "active",
        "connectionType": {
            "system": "http://terminology.hl7.org/CodeSystem/endpoint-connection-type",
            "code": "hl7-fhir-rest",
        },
        "name": f"FHIR R4: {name}",
        "contact": [{"system": "url", "value": home}],
        "payloadType": [
            {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/endpoint-payload-type", "code": "none"}]}
        ],
        "address": f"{base_url}/fhir",
    }
    return [organization, endpoint]


def of(settings: Settings, base_url: str) -> list[dict[str, Any]]:
    """The resources of the brand bundle, the primary brand first.  Raises ConfigError."""
    if settings.brands is None:
        return entries(base_url, name=settings.brand_name, website=settings.brand_website)
    try:
        text = Path(settings.brands).read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        raise ConfigError(f"FHIR_SERVER_BRANDS: {settings.brands} cannot be read.") from None
    return read(text, f"{base_url}/fhir")


def read(text: str, base: str) -> list[dict[str, Any]]:
    """
    The resources of the operator's own brand bundle, the primary brand first.

    Raises ConfigError when they are not what apps expect: a collection of Organization and Endpoint, each endpoint one
    that a brand has, `base` among them, and one brand, with an identifier that no other has, that has them all.
    """
    try:
        bundle = json.loads(text)
        resources = [entry["resource"] for entry in bundle["entry"]]
        types = {resource["resourceType"] for resource in resources}
    except (ValueError, KeyError, TypeError):
        raise ConfigError("The brand bundle is not a FHIR Bundle in JSON.") from None
    if bundle.get("resourceType") != "Bundle" or bundle.get("type") != "collection":
        raise ConfigError("The brand bundle is not a Bundle of type collection.")
    if not types <= {"Organization", "Endpoint"}:
        raise ConfigError("The brand bundle holds something else than Organization and Endpoint.")
    if set(_absences(resources)) - REASONS:
        raise ConfigError(
            f"The brand bundle gives a reason for what is absent other than {', '.join(sorted(REASONS))}."
        )
    endpoints = {f"Endpoint/{one.get('id')}": one for one in resources if one["resourceType"] == "Endpoint"}
    brands = [one for one in resources if one["resourceType"] == "Organization"]
    if base not in [one.get("address") for one in endpoints.values()]:
        raise ConfigError(f"The brand bundle has no Endpoint whose address is {base}.")
    known = [identifier.get("value") for brand in brands for identifier in brand.get("identifier", [])]
    for brand in brands:
        own = brand.get("identifier", [])
        if _endpoints(brand) == set(endpoints) and own and known.count(own[0].get("value")) == 1:
            return [brand] + [one for one in resources if one is not brand]
    raise ConfigError("The brand bundle has no Organization that has every Endpoint, and an identifier of its own.")


def identifier(resources: list[dict[str, Any]]) -> dict[str, Any]:
    """The identifier of the primary brand, for `user_access_brand_identifier`."""
    found: dict[str, Any] = resources[0]["identifier"][0]
    return found


def bundle(resources: list[dict[str, Any]], base_url: str, changed: datetime) -> dict[str, Any]:
    """The brand bundle; `changed` is when anything in it last did."""
    return {
        "resourceType": "Bundle",
        "type": "collection",
        "timestamp": changed.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "entry": [
            {"fullUrl": f"{base_url}/fhir/{resource['resourceType']}/{resource.get('id')}", "resource": resource}
            for resource in resources
        ],
    }


def changed(database: Database, resources: list[dict[str, Any]], now: datetime) -> datetime:
    """When the brands became what they are: now, unless the database knows them as they are already."""
    digest = hashlib.sha256(json.dumps(resources, sort_keys=True).encode()).hexdigest()
    since = {"$cond": [{"$eq": ["$digest", digest]}, "$since", now]}
    with answering():
        kept = (
            database[COLLECTION]
            .with_options(write_concern=WriteConcern("majority", j=True))
            .find_one_and_update(
                {"_id": "brands"},
                [{"$set": {"since": since, "digest": digest}}],
                upsert=True,
                return_document=ReturnDocument.AFTER,
            )
        )
    when: datetime = (kept or {})["since"]
    return when


def _endpoints(brand: dict[str, Any]) -> set[str]:
    return {endpoint.get("reference") for endpoint in brand.get("endpoint", [])}


def _absences(value: Any) -> list[Any]:
    """Each reason given, wherever it stands, for what is not there."""
    if isinstance(value, list):
        return [reason for part in value for reason in _absences(part)]
    if not isinstance(value, dict):
        return []
    own = [value.get("valueCode")] if value.get("url") == _ABSENT else []
    return own + [reason for part in value.values() for reason in _absences(part)]
