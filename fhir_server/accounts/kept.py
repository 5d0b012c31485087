"""What this layer keeps, put together from a database and the settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from pymongo.database import Database

from fhir_server.accounts.account import Channel
from fhir_server.accounts.accounts import Accounts
from fhir_server.accounts.codes import OneTimeCodes
from fhir_server.accounts.delivery import Delivery, Send, by_gateway, by_smtp
from fhir_server.accounts.outbox import Outbox
from fhir_server.config import Settings


@dataclass(frozen=True)
class Kept:
    """The accounts, the codes under way, and what is sent.  delivery: None where nothing leaves."""

    accounts: Accounts
    codes: OneTimeCodes
    outbox: Outbox
    delivery: Delivery | None

    def prepare(self) -> None:
        """Make the indexes, before the server starts."""
        for each in (self.accounts, self.codes, self.outbox):
            each.prepare()


def kept(
    database: Database,
    settings: Settings,
    *,
    clock: Callable[[], datetime],
    shown: bool = False,
    ended: Callable[[str], None] = lambda account: None,
) -> Kept:
    """
    What is kept in the database.

    shown: what would be sent stays in the outbox to be read there, as in the demonstration, and does not leave.
    ended: see `Accounts`.
    """
    by: dict[Channel, Send] = {}
    if settings.smtp_url and not shown:
        by["email"] = by_smtp(settings.smtp_url, settings.mail_from, clock)
    if settings.sms_url and not shown:
        by["sms"] = by_gateway(settings.sms_url)
    outbox = Outbox(database, clock, channels=frozenset(by), shown=shown)
    return Kept(
        accounts=Accounts(database, clock, ended=ended),
        codes=OneTimeCodes(database, clock, outbox),
        outbox=outbox,
        delivery=Delivery(outbox, by) if by else None,
    )
