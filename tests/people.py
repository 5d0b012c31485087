"""A person without a screen at a server's pages, for tests of clients that know nothing of those pages."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import requests

from conformance.smart import login_fhir_server as pages
from conformance.smart.conftest import Browser, Decision
from tests.servers import Server


@dataclass
class Person:
    """Somebody of the seed record, who signs in once and allows what is asked."""

    person: dict[str, Any]
    patient: str
    browser: Browser = field(default_factory=Browser)

    def visit(self, url: str) -> str:
        """Where an authorization request of a client ends: at its redirect URI, with a code."""
        decision = Decision(patient=self.patient)
        left: str = pages.authorize(self.browser, self.browser.open(url), self.person, decision)
        return left


def martine(server: Server) -> Person:
    """Martine Dubreuil, who has a record with everything in it."""
    settings = requests.get(f"{server.base.removesuffix('/fhir')}/demo/settings.json", timeout=30).json()
    person = next(one for one in settings["people"] if one["login"] == "martine.dubreuil")
    return Person(person | {"outbox": settings["outbox"]}, "martine-dubreuil")
