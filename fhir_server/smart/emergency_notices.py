"""Who is told of an emergency access: whoever opens the record, or the patient where nobody does, and the *médecin
traitant*.  CSP L1111-17, R1111-43; CNIL: each *bris de glace* is told to the person

A message says who and when, never why: it leaves by a way that others may read.  What was typed stands in the history.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any, Literal

from pymongo.client_session import ClientSession

from fhir_server.access import Actor
from fhir_server.accounts import words
from fhir_server.accounts.account import Account, Channel
from fhir_server.accounts.accounts import Accounts
from fhir_server.accounts.outbox import Outbox

Whom = Literal["holder", "treating-doctor"]
#: French first: the language of the record.
_SPOKEN = "fr"
_MODES = {
    "fr": {"bris_de_glace": "bris de glace", "centre_15": "centre 15 (SAMU)"},
    "en": {"bris_de_glace": "break the glass", "centre_15": "emergency call centre (SAMU)"},
}
_MOMENTS = {"fr": "%d/%m/%Y à %H:%M", "en": "%d/%m/%Y at %H:%M"}


@dataclass(frozen=True)
class Notice:
    """What was put for somebody; `channel` is None where there is no address: they are told by letter, or on sight."""

    whom: Whom
    channel: Channel | None
    message: str | None = None


@dataclass(frozen=True)
class Notices:
    """
    Puts the messages.

    page: where the person sees who opened the record.  zone: of the times in the messages
    """

    accounts: Accounts
    outbox: Outbox
    page: str
    zone: tzinfo

    def put(
        self,
        actor: Actor,
        patient: Mapping[str, Any],
        doctor: Mapping[str, Any] | None,
        now: datetime,
        session: ClientSession,
    ) -> tuple[Notice, ...]:
        """
        The notices of an access, their messages put within the transaction of the session.

        doctor: the *médecin traitant*, if the patient has one who is somebody else than the actor.
        """
        put = _Putting(self, actor, now, session)
        holders = self.accounts.holders(str(patient["id"]))
        found = [put.account(account, called(patient)) for account in holders] or [put.person(patient)]
        return (*found, *([put.doctor(doctor, patient)] if doctor else []))


@dataclass(frozen=True)
class _Putting:
    """The messages of one access."""

    notices: Notices
    actor: Actor
    now: datetime
    session: ClientSession

    def account(self, account: Account, record: str) -> Notice:
        """To who opens the record with an account."""
        channel = next(iter(account.channels), None)
        if channel is None:
            return Notice("holder", None)
        to, spoken = account.destination(channel), account.language
        return self._put("holder", channel, to, "emergency_access", spoken, name=account.name, record=record)

    def person(self, patient: Mapping[str, Any]) -> Notice:
        """To the patient, who has no account."""
        found = _reached(patient)
        if found is None:
            return Notice("holder", None)
        name = called(patient)
        return self._put("holder", *found, "emergency_access", _SPOKEN, name=name, record=name)

    def doctor(self, doctor: Mapping[str, Any], patient: Mapping[str, Any]) -> Notice:
        """To the *médecin traitant*: of the patient no more than tells them apart in a practice."""
        found = _reached(doctor)
        if found is None or found[0] != "email":
            return Notice("treating-doctor", None)
        initials = " ".join(f"{part[0]}." for part in called(patient).split())
        born = str(patient.get("birthDate", ""))[:4] or "?"
        return self._put("treating-doctor", *found, "emergency_access_doctor", _SPOKEN, patient=initials, born=born)

    def _put(self, whom: Whom, channel: Channel, to: str, message: str, language: str, **more: str) -> Notice:
        spoken = language if language in _MODES else _SPOKEN
        when = self.now.astimezone(self.notices.zone).strftime(_MOMENTS[spoken])
        said = {"who": self.actor.name, "mode": _MODES[spoken][self.actor.mode], "when": when, "url": self.notices.page}
        subject, text = words.say(message, spoken, **said, **more)
        put: Callable[..., str] = self.notices.outbox.put
        return Notice(whom, channel, put(channel, to, subject, text, session=self.session))


def called(person: Mapping[str, Any]) -> str:
    """The name that a person goes by: the usual one before that of birth.

    >>> called({"name": [{"use": "official", "family": "Vignaud"}, {"use": "usual", "family": "Le Goff",
    ...     "given": ["Anne", "Lise"]}]})
    'Anne Le Goff'
    """
    names = person.get("name", ())
    name = next((one for one in names if one.get("use") == "usual"), names[0] if names else {})
    return " ".join((*name.get("given", ())[:1], name.get("family", ""))).strip() or str(name.get("text", "?"))


def _reached(person: Mapping[str, Any]) -> tuple[Channel, str] | None:
    """Where the person says to be reached in writing."""
    said = [one for one in person.get("telecom", ()) if one.get("value") and one.get("use") != "old"]
    for one in said:
        if one.get("system") == "email":
            return "email", str(one["value"])
    for one in said:
        if one.get("system") in ("phone", "sms") and _MOBILE.fullmatch(re.sub(r"[ .()-]", "", one["value"])):
            return "sms", str(one["value"])
    return None


_MOBILE = re.compile(r"(?:\+33|0033|0)[67]\d{8}")
