"""Who asks: everything that a decision needs to know of the caller, as one value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fhir_server.access.scopes import Scope

Mode = Literal["normal", "bris_de_glace", "centre_15"]
Relation = Literal["self", "legal-representative", "caregiver"]


@dataclass(frozen=True)
class Actor:
    """
    The holder of an access token.

    kind          operator: a token made on the server's own command line; patient (the holder, or who acts for the
                  holder), professional, or backend
    patient       id of the patient in context, if any: for a person, whose record it is
    practitioner  id of the professional who is signed in, if any
    reason        why, where the mode asks for it
    person        the resource of who is signed in, where it is not said by the two above: `RelatedPerson/…`
    relation      in what capacity a person opens the record of `patient`
    role, organization      `PractitionerRole/…`, `Organization/…` that the professional, or the backend, acts for
    profession, specialty   codes of TRE_G15 and TRE_R38, as the identity provider asserts them
    regulator     whether the identity provider asserts the right to regulate calls (SAMU-Centre 15)
    secret        a session kept secret from the legal representatives of a minor
    software      the name of the app, for who reads the record of accesses
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
    person: str | None = None
    relation: Relation | None = None
    role: str | None = None
    organization: str | None = None
    profession: str | None = None
    specialty: str | None = None
    regulator: bool = False
    secret: bool = False
    software: str | None = None

    @property
    def reference(self) -> str | None:
        """The resource that stands for the actor, `Practitioner/123`."""
        if self.person:
            return self.person
        if self.practitioner:
            return f"Practitioner/{self.practitioner}"
        return f"Patient/{self.patient}" if self.patient else None

    @property
    def caller(self) -> str:
        """What ties a page link to its caller: the same for the next token of the same person and app."""
        return "|".join((self.kind, self.reference or "", self.client_id or "", self.mode))
