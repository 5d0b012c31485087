"""What people are told by message of the apps they connect: as soon as it is so, in words that need no page."""

from __future__ import annotations

from dataclasses import dataclass

from fhir_server.accounts import words as letters
from fhir_server.accounts.accounts import Accounts
from fhir_server.accounts.outbox import Outbox
from fhir_server.smart import offer
from fhir_server.smart.clients import Client
from fhir_server.smart.grants import Grant
from fhir_server.smart.subject import Subject
from fhir_server.web import lines
from fhir_server.web.words import day


@dataclass(frozen=True)
class Notices:
    """Sends them to whoever has an account; page: the address of the page of connected apps."""

    accounts: Accounts
    outbox: Outbox
    page: str

    def connected(self, subject: Subject, client: Client, grant: Grant, display: str | None) -> None:
        """The person allowed the app what the grant says."""
        message = "app_connected" if grant.lasting_until else "app_connected_once"
        self._send(message, subject, client, grant, display)

    def withdrawn(self, subject: Subject, client: Client, grant: Grant, display: str | None) -> None:
        """The person took back all, or a part: then the grant is what is left."""
        message = "app_withdrawn" if grant.status == "withdrawn" else "app_narrowed"
        self._send(message, subject, client, grant, display)

    def disconnected(self, account: str, client: Client) -> None:
        """The app was disconnected here, since what it holds came from two sides."""
        found = self.accounts.find(account)
        if found is None or "email" not in found.channels:
            return
        title, text = letters.say(
            "app_disconnected",
            found.language,
            name=found.name,
            app=client.name,
            publisher=client.publisher,
            url=self.page,
        )
        self.outbox.put("email", found.destination("email"), title, text)

    def _send(self, message: str, subject: Subject, client: Client, grant: Grant, display: str | None) -> None:
        account = self.accounts.find(subject.account)
        if account is None or "email" not in account.channels:
            return
        spoken = account.language
        rows = offer.rows(grant.scope, professional=grant.patient is None)
        title, text = letters.say(
            message,
            spoken,
            name=account.name,
            app=client.name,
            publisher=client.publisher,
            record=display or account.name,
            what="\n".join(f"– {verb} : {' · '.join(labels)}" for verb, labels in lines.summary(rows, spoken)),
            until=day(grant.lasting_until, spoken) if grant.lasting_until else "",
            url=self.page,
        )
        self.outbox.put("email", account.destination("email"), title, text)
