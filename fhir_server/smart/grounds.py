"""What tokens are issued on: who signed in, what was granted to which client, and the context it was launched in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from typing import Any

from fhir_server.access import Actor
from fhir_server.access import scopes as smart_scopes

OFFLINE, ONLINE = "offline_access", "online_access"


@dataclass(frozen=True)
class Grounds:
    """
    Kept with a code, and with a family of refresh tokens, so that each token says the same.

    actor         the fields of the Actor but its scopes
    scope         what was granted, the words that open no resource included
    context       of the token response: patient, encounter, fhirContext, need_patient_banner, intent.  SMART 2.2:
                  scopes-and-launch-context.html
    session       the id of the session; what is granted beyond it does not end with it
    until         when what was granted ends, if it does before the lifetime of a token is over
    jkt           the key that the tokens are bound to.  RFC 9449 s. 6
    """

    actor: Mapping[str, Any]
    scope: str
    sub: str
    client_id: str
    audience: str
    session: str
    auth_time: datetime
    acr: str | None
    amr: tuple[str, ...]
    context: Mapping[str, Any] = field(default_factory=dict)
    fhir_user: str | None = None
    grant: str | None = None
    until: datetime | None = None
    nonce: str | None = None
    jkt: str | None = None

    @property
    def words(self) -> frozenset[str]:
        """The words of the scope."""
        return frozenset(self.scope.split())

    @property
    def is_lasting(self) -> bool:
        """Whether it goes on when the person has signed out.  SMART 2.2: `offline_access`"""
        return OFFLINE in self.words

    @property
    def refreshes(self) -> bool:
        """Whether a refresh token was asked for and granted."""
        return not self.words.isdisjoint((OFFLINE, ONLINE)) and self.actor.get("mode", "normal") == "normal"


def actor_of(grounds: Grounds) -> Actor:
    """Who holds a token that is issued on these grounds."""
    return Actor(scopes=smart_scopes.parse(grounds.scope), **grounds.actor)


def document(grounds: Grounds) -> dict[str, Any]:
    """The grounds as they are kept."""
    return asdict(grounds) | {"amr": list(grounds.amr)}


def read(kept: Mapping[str, Any]) -> Grounds:
    """The grounds of what `document` made."""
    return Grounds(**({each.name: kept[each.name] for each in fields(Grounds)} | {"amr": tuple(kept["amr"])}))
