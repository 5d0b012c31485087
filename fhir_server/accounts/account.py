"""An account: a login, where its holder can be reached, and whose records the holder opens with it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from fhir_server.access.actor import Relation

State = Literal["open", "closed", "locked"]
Channel = Literal["email", "sms"]

#: The numbers of French mobile phones.  ARCEP: plan national de numérotation
_MOBILE = re.compile(r"(?:\+33|0033|0)[67]\d{8}")


@dataclass(frozen=True)
class Profile:
    """
    A record that the account opens.

    resource    who the holder of the account is there: `Patient/…` for the own record, else `RelatedPerson/…`
    patient     id of the Patient whose record it is; display and birth_date are that patient's
    """

    resource: str
    patient: str
    relation: Relation
    display: str
    birth_date: str | None = None


@dataclass(frozen=True)
class Account:
    """A person's account.  `id` begins with `acc-`, and is the `sub` of who signs in with it."""

    id: str
    login: str
    name: str
    email: str | None
    phone: str | None
    language: str
    profiles: tuple[Profile, ...]
    state: State = "open"

    @property
    def channels(self) -> tuple[Channel, ...]:
        """How a code can reach its holder; a telephone at home takes no text message."""
        mobile = _MOBILE.fullmatch(re.sub(r"[ .()-]", "", self.phone or ""))
        return (*(("email",) if self.email else ()), *(("sms",) if mobile else ()))

    def destination(self, channel: Channel) -> str:
        """The address or number for this channel, which is one of `channels`."""
        return (self.email if channel == "email" else self.phone) or ""


def masked(destination: str) -> str:
    """
    As much of an address or a number as its owner needs to know it by.

    >>> masked("camille.moreau@example.org"), masked("0639980103"), masked("a@example.org")
    ('c…u@example.org', '06 •• •• •• 03', '…@example.org')
    """
    name, at, domain = destination.partition("@")
    if at:
        return f"{name[0]}…{name[-1]}@{domain}" if len(name) > 2 else f"…@{domain}"
    digits = re.sub(r"\D", "", destination)
    return f"{digits[:2]} •• •• •• {digits[-2:]}" if len(digits) >= 6 else "••"
