"""
The clients of the demonstration: its two apps, its professional software, and five for who writes a client.

They follow from the address of the server, and are kept again at each start.  `docs/connect-an-app.md` is their guide.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from fhir_server.smart.clients import Client, Clients

#: The app of the catalogue, the same app as software launches it, and that software.
CATALOGUE, LAUNCHED, SOFTWARE = "demo-mon-suivi", "demo-mon-suivi-pro", "demo-cabinet"
#: For developers.
PUBLIC, SYMMETRIC, ASYMMETRIC = "sandbox-public", "sandbox-symmetric", "sandbox-asymmetric"
PRACTICE, BACKEND = "sandbox-software", "sandbox-backend"
#: Where the pages of a developer are likely to stand.
PORTS = (3000, 4200, 5173, 8000, 9000)

_MEASURES = "Observation.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|vital-signs"
_SECTIONS = ("DocumentReference", "AllergyIntolerance", "Condition", "MedicationStatement", "Immunization", "Encounter")

#: What the demonstration's own ask for; the software, by mode.
CATALOGUE_SCOPE = (
    f"launch/patient openid fhirUser offline_access patient/Patient.r patient/{_MEASURES} patient/Appointment.rs"
)
LAUNCHED_SCOPE = f"launch openid fhirUser online_access patient/Patient.r patient/{_MEASURES} patient/Appointment.rs"
SOFTWARE_SCOPES = {
    "normal": " ".join(
        (
            "launch/patient openid fhirUser online_access user/Patient.rs user/Practitioner.r",
            *(f"user/{type}.rs" for type in _SECTIONS),
        )
    ),
    "bris_de_glace": "launch/patient openid fhirUser user/*.rs __bris_de_glace",
    "centre_15": "launch/patient openid fhirUser user/*.rs __centre_15",
}


@dataclass(frozen=True)
class Credentials:
    """What the sandbox's clients authenticate themselves with, as the server keeps it: a hash, and two sets of keys."""

    secret_hash: str
    asymmetric: dict[str, Any]
    backend: dict[str, Any]


def app_origin(base_url: str) -> str:
    """
    Where the demonstration's apps are at home: another origin than the server's, if it is a loopback address.

    >>> app_origin("http://127.0.0.1:8080"), app_origin("https://record.example")
    ('http://localhost:8080', 'https://record.example')
    """
    parts = urlsplit(base_url)
    if parts.hostname != "127.0.0.1":
        return urlunsplit((parts.scheme, parts.netloc, "", "", ""))
    return urlunsplit((parts.scheme, parts.netloc.replace("127.0.0.1", "localhost"), "", "", ""))


def register(
    clients: Clients, base_url: str, *, credentials: Credentials, logos: Mapping[str, str], now: datetime
) -> None:
    """
    Keep the clients; one that is there already stays as old as it is, and suspended if it is.

    logos: of the `app` and of the `software`, as `data:` URLs.
    """
    for client in _clients(base_url, credentials, logos, now):
        known = clients.find(client.client_id, any_status=True)
        clients.keep(replace(client, status=known.status, created_at=known.created_at) if known else client)


def _clients(base_url: str, credentials: Credentials, logos: Mapping[str, str], now: datetime) -> tuple[Client, ...]:
    home = f"{app_origin(base_url)}/demo"
    common: dict[str, Any] = {"status": "live", "created_at": now}
    demonstration = common | {
        "publisher": "fhir-server (démonstration)",
        "kind": "public",
        "origins": (app_origin(base_url),),
        "verified": True,
    }
    sandbox = common | {
        "publisher": "Bac à sable",
        "redirect_uris": ("http://127.0.0.1/", "http://127.0.0.1/callback", *_pages("/"), *_pages("/callback")),
        "post_logout_redirect_uris": ("http://127.0.0.1/", *_pages("/")),
        "origins": _pages(""),
        "launch_uri": f"http://localhost:{PORTS[0]}/launch.html",
    }
    anything = "openid fhirUser launch launch/patient launch/encounter offline_access online_access"
    patient = f"{anything} patient/*.cruds"
    return (
        Client(
            CATALOGUE,
            "Mon suivi",
            audience="patient",
            redirect_uris=(f"{home}/app/",),
            post_logout_redirect_uris=(f"{home}/app/",),
            scope=CATALOGUE_SCOPE,
            essential=("patient/Patient.r",),
            description={
                "fr": "Vos dernières mesures et vos prochains rendez-vous, d’un coup d’œil.",
                "en": "Your latest measures and your coming appointments, at a glance.",
            },
            logo=logos["app"],
            **demonstration,
        ),
        Client(
            LAUNCHED,
            "Mon suivi dans Cabinet",
            audience="professional",
            redirect_uris=(f"{home}/app/",),
            launch_uri=f"{home}/app/launch.html",
            scope=LAUNCHED_SCOPE,
            essential=("patient/Patient.r",),
            description={
                "fr": "Les mesures et les rendez-vous du patient, ouverts depuis le logiciel du cabinet.",
                "en": "The patient's measures and appointments, opened from the software of the practice.",
            },
            logo=logos["app"],
            **demonstration,
        ),
        Client(
            SOFTWARE,
            "Cabinet",
            audience="professional",
            redirect_uris=(f"{home}/software/",),
            post_logout_redirect_uris=(f"{home}/software/",),
            scope=" ".join(dict.fromkeys(" ".join(SOFTWARE_SCOPES.values()).split())),
            description={
                "fr": "Logiciel de démonstration, compatible DMP.",
                "en": "Demonstration software, DMP-compatible.",
            },
            logo=logos["software"],
            **demonstration,
        ),
        Client(PUBLIC, "Application du bac à sable", kind="public", audience="patient", scope=patient, **sandbox),
        Client(
            SYMMETRIC,
            "Application à secret du bac à sable",
            kind="symmetric",
            audience="patient",
            scope=patient,
            secret_hash=credentials.secret_hash,
            resource_server=True,
            **sandbox,
        ),
        Client(
            ASYMMETRIC,
            "Application à clé du bac à sable",
            kind="asymmetric",
            audience="patient",
            scope=patient,
            jwks=credentials.asymmetric,
            **sandbox,
        ),
        Client(
            PRACTICE,
            "Logiciel du bac à sable",
            kind="public",
            audience="professional",
            scope=f"{anything} user/*.cruds patient/*.rs __bris_de_glace __centre_15",
            **sandbox,
        ),
        Client(
            BACKEND,
            "Laboratoire du bac à sable",
            "Bac à sable",
            kind="asymmetric",
            audience="backend",
            scope="system/Patient.rs system/DocumentReference.cruds system/Binary.cr system/DiagnosticReport.cruds "
            "system/Observation.cruds system/Appointment.cruds",
            jwks=credentials.backend,
            organization="Organization/labo-trois-ponts",
            **common,
        ),
    )


def _pages(path: str) -> tuple[str, ...]:
    """The path at each address where a developer's pages may stand."""
    return tuple(f"http://{host}:{port}{path}" for host in ("localhost", "127.0.0.1") for port in PORTS)
