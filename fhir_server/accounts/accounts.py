"""The accounts, and signing in with a password: one answer, and one amount of work, for every reason to refuse.

_id                     `acc-` and random characters: never the id of a client
login                   unique; lower case, digits and `. _ -`
password                Argon2id hash
name, email, phone, language, state
profiles                [{resource, patient, relation, display, birth_date}]
created_at, updated_at
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime, timedelta
from ipaddress import ip_network
from typing import Any

from pymongo import IndexModel, ReturnDocument, WriteConcern
from pymongo.database import Database

from fhir_server.accounts.account import Account, Profile
from fhir_server.accounts.attempts import Attempts, Wait
from fhir_server.accounts.devices import Devices
from fhir_server.accounts.passwords import Passwords
from fhir_server.accounts.rates import Rate, Rates
from fhir_server.storage.store import answering

COLLECTION = "_accounts"
_LOGIN = re.compile(r"[a-z0-9._-]{2,100}")

#: Failures from one address, whoever's account: a hospital's patients share one.
BY_ADDRESS = Rate("sign-in-address", 60, timedelta(minutes=15))
#: Failures of one account from browsers that its holder never used, wherever they are.  NIST SP 800-63B-4 s. 3.2.2
BY_ACCOUNT = Rate("sign-in-account", 40, timedelta(hours=1))
#: Attempts at all: each costs a password hash.
OF_ALL = Rate("sign-in", 1200, timedelta(minutes=1))


class Accounts:
    """
    The accounts of this server.

    ended: called with the id of an account that loses its password, a record or its being open: what hangs on its
    sign-ins (sessions, tokens) ends.  RFC 9700 s. 4.14.2
    """

    def __init__(
        self,
        database: Database,
        clock: Callable[[], datetime],
        *,
        passwords: Passwords | None = None,
        ended: Callable[[str], None] = lambda account: None,
    ):
        self._accounts = database[COLLECTION].with_options(write_concern=WriteConcern("majority", j=True))
        self._clock = clock
        self._ended = ended
        self.passwords = passwords or Passwords()
        self._attempts = Attempts(database, clock)
        self._rates = Rates(database)
        self.devices = Devices(database, clock)

    def prepare(self) -> None:
        """Let an account be found by its login and by the records it opens."""
        self._accounts.create_indexes(
            [
                IndexModel("login", name="login", unique=True),
                IndexModel("profiles.patient", name="patient"),
            ],
            commitQuorum=0,  # as storage/indexes.py does, and for its reason
        )
        self._attempts.prepare()
        self._rates.prepare()
        self.devices.prepare()

    def find(self, id: str | None) -> Account | None:
        """The account with this id, whatever its state."""
        return self._one("_id", id)

    def named(self, login: str) -> Account | None:
        """The account with this login, whatever its state."""
        return self._one("login", login)

    def profiles(self, id: str | None) -> tuple[Profile, ...]:
        """The records that the account with this id opens: none unless it is open."""
        found = self.find(id)
        return found.profiles if found and found.state == "open" else ()

    def holders(self, patient: str) -> tuple[Account, ...]:
        """The open accounts that open the record of the Patient with this id, its own holder's first."""
        with answering():
            found = [
                _account(kept) for kept in self._accounts.find({"profiles.patient": str(patient), "state": "open"})
            ]

        def another(account: Account) -> tuple[bool, str]:
            own = any(profile.patient == patient and profile.relation == "self" for profile in account.profiles)
            return not own, account.id

        return tuple(sorted(found, key=another))

    def verify(self, login: str, password: str, *, address: str = "", device: str | None = None) -> Account | None:
        """
        The account, if it is open and this is its password.

        address: where the attempt comes from.  device: the secret of the browser, if it brings one.
        Raises Wait, before anything is checked, when there were too many failures; whether there is such an account
        makes no difference to it.
        """
        login = login.strip().lower()[:200]
        kept = self._kept("login", login if _LOGIN.fullmatch(login) else "")
        known = self.devices.knows(kept["_id"] if kept else "", device)
        who = (login, f"device {device}") if known else (login, f"address {network(address)}")
        self._refuse_more(address)  # before anything is kept of the attempt
        self._attempts.begin(*who)
        counted = self._counted(login, address, known=known)
        right = self.passwords.verify(kept["password"] if kept else None, password)
        if not right or kept is None or kept["state"] != "open":
            return None
        self._attempts.succeeded(*who)
        for rate, whom in counted:
            self._rates.give_back(rate, whom)
        if self.passwords.outdated(kept["password"]):
            self._rehash(kept, password)
        return _account(kept)

    def keep(self, account: Account, password: str | None = None) -> Account:
        """
        Keep the account, by its login; the account as it is kept, with the id that it has.

        password: the new one; without it, the one that is kept stays.  Raises ValueError for a login that cannot be
        one, and for a new account without a password.
        """
        if not _LOGIN.fullmatch(account.login):
            raise ValueError(f"a login has 2 to 100 lower-case letters, digits and `. _ -`, not `{account.login}`")
        now = self._clock()
        values = {name: value for name, value in asdict(account).items() if name not in ("id", "login")}
        values["profiles"] = [asdict(profile) for profile in account.profiles]
        values["updated_at"] = now
        if password is not None:
            values["password"] = self.passwords.hash(password)
        new = {"_id": account.id or new_id(), "created_at": now}
        before = self.named(account.login)
        loses = before is not None and (password is not None or _loses(before, account))
        if before and loses:
            self._ended(before.id)  # now, so that nothing is left alive if this process ends before it is done
        with answering():
            kept = self._accounts.find_one_and_update(
                {"login": account.login},
                {"$set": values, "$setOnInsert": new},
                upsert=password is not None,
                return_document=ReturnDocument.AFTER,
            )
        if kept is None:
            raise ValueError("a new account needs a password")
        if loses:
            self._ended(kept["_id"])
        return _account(kept)

    def _refuse_more(self, address: str) -> None:
        """Raises Wait for an address that has had its attempts."""
        where = network(address)
        if where and not self._rates.allows(BY_ADDRESS, where):
            raise Wait(self._rates.wait(BY_ADDRESS, where))

    def _counted(self, login: str, address: str, *, known: bool) -> list[tuple[Rate, str]]:
        """What the attempt counts against.  Raises Wait when one of them is used up."""
        where = network(address)
        against = [(OF_ALL, ""), (BY_ADDRESS, where)] if where else [(OF_ALL, "")]
        if not known:
            against.append((BY_ACCOUNT, login))
        for rate, whom in against:
            if not self._rates.hit(rate, whom):
                raise Wait(self._rates.wait(rate, whom))
        return [pair for pair in against if pair[0] is not OF_ALL]

    def _rehash(self, kept: Mapping[str, Any], password: str) -> None:
        renewed = {"password": self.passwords.hash(password)}
        with answering():
            # Only where the password is still the one that was checked.
            self._accounts.update_one({"_id": kept["_id"], "password": kept["password"]}, {"$set": renewed})

    def _one(self, field: str, value: object) -> Account | None:
        kept = self._kept(field, value)
        return _account(kept) if kept else None

    def _kept(self, field: str, value: object) -> dict[str, Any] | None:
        with answering():
            return self._accounts.find_one({field: value if isinstance(value, str) else ""})


def new_id() -> str:
    """An id for an account."""
    return f"acc-{secrets.token_urlsafe(16)}"


def _loses(before: Account, after: Account) -> bool:
    """Whether the holder may do less from now on."""
    opened = {(profile.patient, profile.relation, profile.resource) for profile in after.profiles}
    kept = {(profile.patient, profile.relation, profile.resource) for profile in before.profiles}
    return after.state != "open" or not kept <= opened


def network(address: str) -> str:
    """
    What one subscriber has: an IPv4 address, or the first half of an IPv6 address.

    >>> network("192.0.2.7"), network("2001:db8:1:2:3:4:5:6"), network("")
    ('192.0.2.7', '2001:db8:1:2::/64', '')
    """
    if ":" not in address:
        return address
    try:
        return str(ip_network((address.partition("%")[0], 64), strict=False))
    except ValueError:
        return address


def _account(kept: Mapping[str, Any]) -> Account:
    return Account(
        id=kept["_id"],
        login=kept["login"],
        name=kept["name"],
        email=kept["email"],
        phone=kept["phone"],
        language=kept["language"],
        profiles=tuple(Profile(**profile) for profile in kept["profiles"]),
        state=kept["state"],
    )
