"""Who asks: everything that a decision needs to know of the caller, as one value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fhir_server.access.scopes import Scope

Mode = Literal["normal", "bris_de_glace", "centre_15"]


@dataclass(frozen=True)
class Actor:
    """
    The holder of an access token.

    kind        operator: a token made on the server's own command line; patient, professional, or backend
    patient     id of the patient in context, if any
    practitioner  id of the professional who is signed in, if any
    reason      why, where the mode asks for it
    """

    kind: Literal["operator", "patient", "professional", "backend"]
    name: str
    scopes: tuple[Scope, ...]
    patient: str | None = None
    practitioner: str | None = None
    mode: Mode = "normal"
    reason: str | None = None
    client_id: str | None = None
    token_id: str | None = None

    @property
    def reference(self) -> str | None:
        """The resource that stands for the actor, `Practitioner/123`."""
        if self.practitioner:
            return f"Practitioner/{self.practitioner}"
        return f"Patient/{self.patient}" if self.patient else None

    @property
    def caller(self) -> str:
        """What ties a page link to its caller: the same for the next token of the same person and app."""
        return "|".join((self.kind, self.reference or "", self.client_id or "", self.mode))
