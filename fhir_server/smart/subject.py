"""Who is signed in, whichever way: with an account of this server, or through Pro Santé Connect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Subject:
    """
    A person at the authorization server.

    sub                     stable, below 256 characters, and never the id of a client.  OpenID Connect Core s. 2, s. 8
    account                 the id of the account, for a patient or who acts for one
    practitioner            the id of the Practitioner; role, organization: `PractitionerRole/…`, `Organization/…`
    profession, specialty   codes as the identity provider asserts them
    regulator               whether it asserts the right to regulate calls
    """

    kind: Literal["patient", "professional"]
    sub: str
    name: str
    account: str | None = None
    practitioner: str | None = None
    role: str | None = None
    organization: str | None = None
    profession: str | None = None
    specialty: str | None = None
    regulator: bool = False
