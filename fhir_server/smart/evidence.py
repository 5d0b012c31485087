"""A Consent in the record for what an app was allowed: written with the grant, or neither; the grant is what holds.

The holder finds there who was let in, for what, until when; when it is withdrawn it becomes inactive, and stays.
R4: consent.html; IHE PCF: "Explicit Basic"
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime
from typing import Any

from pymongo.client_session import ClientSession

from fhir_server.access import Actor
from fhir_server.access.consents import APP, KIND, OWN, PRIVACY
from fhir_server.access.scopes import parse
from fhir_server.access.sections import BY_CODE
from fhir_server.access.sections import SYSTEM as SECTION
from fhir_server.audit import Trail
from fhir_server.fhir.outcome import FhirError
from fhir_server.repository import Repository
from fhir_server.smart import offer
from fhir_server.smart.clients import Client, Clients
from fhir_server.smart.grants import Grant, Together, alone

#: The words of the scope, as they were granted.
SCOPE = f"{OWN}/StructureDefinition/granted-scope"
CLIENTS = f"{OWN}/NamingSystem/clients"
_V3 = "http://terminology.hl7.org/CodeSystem/v3"
_SERVER = Actor("operator", "Authorization server", parse("system/Consent.cru"))


def together(
    repository_for: Callable[[Actor, Trail], Repository], clients: Clients, clock: Callable[[], datetime]
) -> Together:
    """How a grant is written along with its Consent; what is lent by professionals is in nobody's record."""

    def written(grant: Grant, write: Callable[[ClientSession | None], None]) -> None:
        client = clients.find(grant.client_id, any_status=True)
        if grant.patient is None or client is None:
            alone(grant, write)
            return
        resource = consent(grant, client, clock())
        repository = repository_for(_SERVER, Trail("transaction", "POST", "/oauth/authorize"))

        def work(inside: Repository) -> None:
            inside.alongside(write)
            _keep(inside, resource)

        repository.transaction(work)

    return written


def _keep(inside: Repository, resource: dict[str, Any]) -> None:
    id = str(resource["id"])
    try:
        inside.read("Consent", id)
    except FhirError as error:
        if error.status not in (404, 410):
            raise
        inside.create("Consent", resource, id=id)
        return
    inside.update("Consent", id, resource)


def consent(grant: Grant, client: Client, now: datetime) -> dict[str, Any]:
    """
    The Consent of a grant in a record.

    >>> made = datetime.fromisoformat("2026-11-22T14:00:00Z")
    >>> grant = Grant("g", "acc-1", "app-1", "zoe", "self", "Patient/zoe", "patient/Immunization.rs", None, made, made)
    >>> client = Client("app-1", "Vaccines", "A publisher", "public", "patient", "live", made)
    >>> found = consent(grant, client, made)
    >>> found["status"], found["provision"]["class"][0]["code"], found["provision"]["actor"][0]["reference"]["display"]
    ('active', 'VACCINATIONS', 'Vaccines')
    """
    rows = offer.rows(grant.scope)
    sections = dict.fromkeys(row.section for row in rows if row.section)
    if any(row.kind == "rest" for row in rows):
        sections = dict.fromkeys(BY_CODE)
    until = grant.ended_at or grant.lasting_until
    recipient = {"system": f"{_V3}-ParticipationType", "code": "IRCP", "display": "information recipient"}
    app = {
        "type": "Device",
        "identifier": {"system": CLIENTS, "value": client.client_id},
        "display": client.name,
    }
    provision: dict[str, Any] = {
        "type": "permit",
        "period": {"start": _instant(grant.granted_at), **({"end": _instant(until)} if until else {})},
        "actor": [{"role": {"coding": [recipient]}, "reference": app}],
        "purpose": [{"system": f"{_V3}-ActReason", "code": "PATRQT", "display": "patient requested"}],
    }
    if sections:
        provision["class"] = [{"system": SECTION, "code": code} for code in sections]
    return {
        "resourceType": "Consent",
        "id": id_of(grant),
        "extension": [{"url": SCOPE, "valueString": grant.scope}],
        "status": "active" if grant.status == "live" else "inactive",
        "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": PRIVACY}]},
        "category": [
            {"coding": [{"system": "http://loinc.org", "code": "59284-0"}]},
            {"coding": [{"system": KIND, "code": APP}]},
        ],
        "patient": {"reference": f"Patient/{grant.patient}"},
        "dateTime": _instant(now),
        **({"performer": [{"reference": grant.person}]} if grant.person else {}),
        "policyRule": {"coding": [{"system": f"{_V3}-ActCode", "code": "OPTIN"}]},
        "provision": provision,
    }


def id_of(grant: Grant) -> str:
    """The id of the Consent of a grant."""
    return f"app-{hashlib.sha256(grant.id.encode()).hexdigest()[:32]}"


def _instant(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
