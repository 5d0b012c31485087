"""Accounts, passwords and one-time codes on a real MongoDB: what is told to whom, and how often one may guess."""

from __future__ import annotations

import json
import re
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from argon2 import PasswordHasher
from pymongo.database import Database

from fhir_server.accounts import attempts, codes, seed
from fhir_server.accounts.account import Account, Profile
from fhir_server.accounts.accounts import BY_ACCOUNT, Accounts
from fhir_server.accounts.attempts import Wait
from fhir_server.accounts.codes import BETWEEN, GUESSES, LIFETIME, OneTimeCodes, Undeliverable
from fhir_server.accounts.devices import Devices
from fhir_server.accounts.outbox import Outbox
from fhir_server.accounts.passwords import Passwords
from fhir_server.accounts.rates import Rate, Rates
from fhir_server.config import carried

RIGHT = "Coquelicot+7Vent"
CAMILLE = Account(
    "",
    "camille.moreau",
    "Camille Moreau",
    "camille.moreau@example.org",
    "0639980103",
    "fr",
    (
        Profile("Patient/camille-moreau", "camille-moreau", "self", "Camille Moreau", "1993-06-21"),
        Profile("RelatedPerson/lina", "lina-moreau", "legal-representative", "Lina Moreau", "2021-05-09"),
    ),
)
HERE, THERE = "192.0.2.1", "198.51.100.7"


@dataclass
class Clock:
    """A clock that a test sets."""

    now: datetime = datetime(2026, 3, 1, 9, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


class Counting(PasswordHasher):
    """Argon2 with the least work, and how often it was asked to verify."""

    def __init__(self, **parameters: int):
        super().__init__(**{"time_cost": 1, "memory_cost": 64, "parallelism": 1, **parameters})
        self.verified = 0

    def verify(self, hash: Any, password: Any) -> Any:
        self.verified += 1
        return super().verify(hash, password)


@dataclass
class World:
    """Accounts and codes on an empty database."""

    accounts: Accounts
    codes: OneTimeCodes
    outbox: Outbox
    clock: Clock
    hasher: Counting
    camille: Account

    def code(self) -> str:
        """The digits of the latest message."""
        found = re.search(r"\b\d{6}\b", self.outbox.latest(1)[0].text)
        assert found
        return found[0]

    def tries(self, login: str = "camille.moreau", password: str = "wrong", **how: Any) -> Account | None:
        """An attempt from somewhere, as soon as it may be made."""
        while True:
            try:
                return self.accounts.verify(login, password, **{"address": THERE, **how})
            except Wait as wait:
                self.clock.now += wait.after


@pytest.fixture
def world(database: Database[dict[str, Any]]) -> Iterator[World]:
    """Camille has an account."""
    clock, hasher = Clock(), Counting()
    accounts = Accounts(database, clock, passwords=Passwords(hasher))
    outbox = Outbox(database, clock, shown=True)
    one_time = OneTimeCodes(database, clock, outbox)
    for each in (accounts, outbox, one_time):
        each.prepare()
    yield World(accounts, one_time, outbox, clock, hasher, accounts.keep(CAMILLE, RIGHT))


# --- passwords ---


def test_the_password_opens_the_account(world: World) -> None:
    found = world.accounts.verify("camille.moreau", RIGHT, address=HERE)
    assert found == world.camille == world.accounts.find(world.camille.id) == world.accounts.named("camille.moreau")
    assert found.id.startswith("acc-")
    assert world.accounts.verify("  Camille.MOREAU ", RIGHT, address=HERE) == found


@pytest.mark.parametrize(
    ("login", "password"),
    [
        ("camille.moreau", "wrong"),
        ("camille.moreau", ""),
        ("camille.moreau", RIGHT.lower()),
        ("camille.moreau", RIGHT + "x" * 10_000),
        ("camille.moreau", "\ud800\0"),
        ("nobody.here", RIGHT),
        ("", RIGHT),
        ("camille moreau", RIGHT),
        ("$ne", RIGHT),
        ("x" * 100_000, RIGHT),
    ],
)
def test_every_refusal_is_the_same_answer_and_the_same_work(world: World, login: str, password: str) -> None:
    """OWASP ASVS 5.0: 6.3.8: one password hash is verified, whatever is wrong"""
    assert world.accounts.verify(login, password, address=HERE) is None
    assert world.hasher.verified == 1


@pytest.mark.parametrize("state", ["closed", "locked"])
def test_an_account_that_is_not_open_is_no_account(world: World, state: Any) -> None:
    world.accounts.keep(replace(world.camille, state=state))
    assert world.accounts.verify("camille.moreau", RIGHT, address=HERE) is None
    assert world.hasher.verified == 1
    found = world.accounts.find(world.camille.id)
    assert found
    assert found.state == state
    assert world.accounts.holders("lina-moreau") == ()


def test_an_unknown_login_takes_as_long(database: Database[dict[str, Any]]) -> None:
    """OWASP ASVS 5.0: 6.3.8, with the parameters of production"""
    accounts = Accounts(database, Clock())
    accounts.prepare()
    accounts.keep(CAMILLE, RIGHT)
    took: dict[str, list[float]] = {"camille.moreau": [], "nobody.here": []}
    for _ in range(12):
        for login, times in took.items():
            accounts._attempts.succeeded(login, f"address {HERE}")
            start = time.process_time()  # of all threads; what other programs do meanwhile is not in it
            accounts.verify(login, "wrong", address=HERE)
            times.append(time.process_time() - start)
    known, unknown = (statistics.median(times[2:]) for times in took.values())
    assert 0.5 < known / unknown < 2


def test_the_same_characters_however_they_are_composed(world: World) -> None:
    """NIST SP 800-63B-4 s. 3.1.1.2"""
    world.accounts.keep(world.camille, "Mélèze\u00e9+1")
    assert world.accounts.verify("camille.moreau", "Me\u0301le\u0300zee\u0301+1", address=HERE)


def test_a_hash_made_with_less_work_is_made_anew(world: World, database: Database[dict[str, Any]]) -> None:
    before = database["_accounts"].find_one()["password"]
    stronger = Accounts(database, world.clock, passwords=Passwords(Counting(time_cost=2)))
    assert stronger.verify("camille.moreau", "wrong", address=HERE) is None
    assert database["_accounts"].find_one()["password"] == before
    assert stronger.verify("camille.moreau", RIGHT, address=HERE)
    after = database["_accounts"].find_one()["password"]
    assert after.startswith("$argon2id$v=19$m=64,t=2,p=1$")
    assert stronger.verify("camille.moreau", RIGHT, address=HERE)
    assert RIGHT not in json.dumps(list(database["_accounts"].find()), default=str)


def test_an_account_is_kept_by_its_login(world: World) -> None:
    again = world.accounts.keep(replace(CAMILLE, email="new@example.org"))
    assert (again.id, again.email) == (world.camille.id, "new@example.org")
    assert world.accounts.verify("camille.moreau", RIGHT, address=HERE) == again
    with pytest.raises(ValueError, match="password"):
        world.accounts.keep(replace(CAMILLE, login="thomas.moreau"))
    with pytest.raises(ValueError, match="login"):
        world.accounts.keep(replace(CAMILLE, login="camille@example.org"), RIGHT)


def test_who_opens_a_record(world: World) -> None:
    lina = replace(CAMILLE, login="lina.moreau", profiles=(Profile("Patient/l", "lina-moreau", "self", "Lina", None),))
    own = world.accounts.keep(lina, RIGHT)
    assert world.accounts.holders("lina-moreau") == (own, world.camille)
    assert world.accounts.holders("nobody") == ()


# --- guessing passwords ---


def test_each_failure_makes_the_next_wait_longer(world: World) -> None:
    """NIST SP 800-63B-4 s. 3.2.2"""
    waits = []
    for _ in range(attempts.FREE + 4):
        start = world.clock.now
        world.tries()
        waits.append((world.clock.now - start).total_seconds())
    assert waits == [0] * (attempts.FREE + 1) + [2, 4, 8]
    with pytest.raises(Wait) as early:
        world.accounts.verify("camille.moreau", RIGHT, address=THERE)
    assert early.value.seconds == 16
    world.clock.now += early.value.after
    assert world.accounts.verify("camille.moreau", RIGHT, address=THERE)
    assert world.tries() is None
    assert world.accounts.verify("camille.moreau", RIGHT, address=THERE)


def test_an_unknown_login_waits_as_long(world: World) -> None:
    for login in ("camille.moreau", "nobody.here"):
        for _ in range(attempts.FREE + 1):
            assert world.accounts.verify(login, "wrong", address=THERE) is None
        with pytest.raises(Wait) as early:
            world.accounts.verify(login, "wrong", address=THERE)
        assert early.value.seconds == 2


def test_of_guesses_at_once_few_are_made(world: World) -> None:
    """They are counted before they are compared."""

    def guess(number: int) -> bool:
        try:
            return world.accounts.verify("camille.moreau", f"wrong {number}", address=THERE) is None
        except Wait:
            return False

    with ThreadPoolExecutor(16) as threads:
        made = sum(threads.map(guess, range(40)))
    assert made == world.hasher.verified == attempts.FREE + 1


def test_a_stranger_keeps_nobody_out(world: World) -> None:
    """Not from a browser that the holder has signed in with; and not from another place than the stranger's"""
    device, new = world.accounts.devices.keep(world.camille.id, None, "Firefox")
    assert new
    refused = 0
    for number in range(BY_ACCOUNT.amount + 20):
        try:
            assert world.accounts.verify("camille.moreau", "wrong", address=f"203.0.113.{number}") is None
        except Wait:
            refused += 1
    assert refused == 20
    assert world.accounts.verify("camille.moreau", RIGHT, address=HERE, device=device)
    with pytest.raises(Wait):
        world.accounts.verify("camille.moreau", RIGHT, address=HERE)
    with pytest.raises(Wait):
        world.accounts.verify("camille.moreau", RIGHT, address=HERE, device="invented")


def test_a_known_browser_guesses_no_faster(world: World) -> None:
    device, _ = world.accounts.devices.keep(world.camille.id, None, "Firefox")
    for _ in range(attempts.FREE + 1):
        world.accounts.verify("camille.moreau", "wrong", address=HERE, device=device)
    with pytest.raises(Wait):
        world.accounts.verify("camille.moreau", RIGHT, address=HERE, device=device)


def test_failures_from_one_address(world: World) -> None:
    made = 0
    with pytest.raises(Wait):
        for number in range(100):
            world.accounts.verify(f"somebody.{number}", "wrong", address="2001:db8::1")
            made += 1
    assert made == 60
    with pytest.raises(Wait):
        world.accounts.verify("camille.moreau", RIGHT, address="2001:db8::ffff:2")
    assert world.accounts.verify("camille.moreau", RIGHT, address="2001:db8:1::1")


def test_a_success_is_no_failure(world: World) -> None:
    for _ in range(70):
        assert world.accounts.verify("camille.moreau", RIGHT, address=HERE)


def test_nobodys_address_or_login_is_kept_with_the_counters(world: World, database: Database[dict[str, Any]]) -> None:
    world.accounts.verify("camille.moreau", "wrong", address=HERE)
    counted = repr([list(database[name].find()) for name in ("_attempts", "_rates")])
    assert "count" in counted
    assert "failures" in counted
    assert HERE not in counted
    assert "camille" not in counted


def test_rates_count_for_all_workers(database: Database[dict[str, Any]]) -> None:
    rate = Rate("test", 10, timedelta(hours=1))
    workers = [Rates(database) for _ in range(4)]
    with ThreadPoolExecutor(8) as threads:
        within = sum(threads.map(lambda number: workers[number % 4].hit(rate, "who"), range(40)))
    assert within == 10
    assert not workers[0].allows(rate, "who")
    assert workers[0].allows(rate, "another")
    assert timedelta(minutes=59) < workers[0].wait(rate, "who") <= timedelta(hours=1)
    for _ in range(31):
        workers[1].give_back(rate, "who")
    assert workers[2].allows(rate, "who")


# --- browsers ---


def test_a_browser_of_two_people(database: Database[dict[str, Any]]) -> None:
    """The secret is another one after each sign-in: one that somebody put there is worth nothing then."""
    devices = Devices(database, Clock())
    devices.prepare()
    planted, _ = devices.keep("acc-stranger", None, "x")
    first, new = devices.keep("acc-a", planted, "Firefox")
    assert new
    assert first != planted
    assert not devices.knows("acc-a", planted)
    second, new = devices.keep("acc-b", first, "Firefox")
    assert new
    assert devices.knows("acc-a", second)
    assert devices.knows("acc-b", second)
    assert not devices.knows("acc-c", second)
    _, new = devices.keep("acc-a", second, "Firefox")
    assert not new
    devices.forget("acc-a")
    assert database["_devices"].count_documents({"account": "acc-a"}) == 0
    assert database["_devices"].count_documents({}) == 2
    assert second not in repr(list(database["_devices"].find()))


# --- one-time codes ---


def test_a_code_is_right_once(world: World) -> None:
    """NIST SP 800-63B-4 s. 3.1.3.2"""
    sent = world.codes.send(world.camille, "session", "sign-in")
    assert (sent.channel, sent.to, sent.left) == ("email", "c…u@example.org", GUESSES)
    message = world.outbox.latest(1)[0]
    assert (message.channel, message.to) == ("email", "camille.moreau@example.org")
    digits = world.code()
    assert world.codes.check("session", "sign-in", f" {digits[:3]} {digits[3:]} ")
    assert not world.codes.check("session", "sign-in", digits)
    assert world.codes.sent("session", "sign-in") is None


def test_a_code_is_of_one_session_and_one_purpose(world: World) -> None:
    world.codes.send(world.camille, "session", "sign-in")
    digits = world.code()
    assert not world.codes.check("another", "sign-in", digits)
    assert not world.codes.check("session", "step-up", digits)
    assert world.codes.check("session", "sign-in", digits)


def test_only_the_latest_code_is_right(world: World) -> None:
    world.codes.send(world.camille, "session", "sign-in")
    before = world.code()
    with pytest.raises(Wait) as early:
        world.codes.send(world.camille, "session", "sign-in")
    assert early.value.after == BETWEEN
    world.clock.now += BETWEEN
    assert world.codes.send(world.camille, "session", "sign-in", channel="sms").to == "06 •• •• •• 03"
    if world.code() != before:
        assert not world.codes.check("session", "sign-in", before)
    assert world.codes.check("session", "sign-in", world.code())


def test_of_codes_asked_for_at_once_one_is_sent(world: World) -> None:
    def send(_: int) -> bool:
        try:
            return bool(world.codes.send(world.camille, "session", "sign-in"))
        except Wait:
            return False

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(send, range(8))) == 1
    assert len(world.outbox.latest()) == 1


def test_a_code_expires(world: World) -> None:
    """french rule: 15 minutes"""
    world.codes.send(world.camille, "session", "sign-in")
    world.clock.now += LIFETIME
    assert world.codes.sent("session", "sign-in") is None
    assert not world.codes.check("session", "sign-in", world.code())


def test_of_guesses_at_once_at_most_five_are_compared(world: World, database: Database[dict[str, Any]]) -> None:
    """Counted in the write that reads the code; the right one after them is wrong."""
    world.codes.send(world.camille, "session", "sign-in")
    right = world.code()
    wrong = [f"{number:06d}" for number in range(51) if f"{number:06d}" != right][:50]
    with ThreadPoolExecutor(16) as threads:
        assert not any(threads.map(lambda digits: world.codes.check("session", "sign-in", digits), wrong))
    assert database["_one_time_codes"].find_one()["attempts"] == GUESSES
    assert not world.codes.check("session", "sign-in", right)
    sent = world.codes.sent("session", "sign-in")
    assert sent
    assert sent.left == 0


def test_of_right_codes_at_once_one_is_taken(world: World) -> None:
    world.codes.send(world.camille, "session", "sign-in")
    right = world.code()
    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(lambda _: world.codes.check("session", "sign-in", right), range(GUESSES))) == 1


@pytest.mark.parametrize("given", ["", "12345", "1234567", "abcdef", "１２３４５６", None, {"$ne": ""}, "\ud800"])
def test_what_is_no_code(world: World, given: Any) -> None:
    world.codes.send(world.camille, "session", "sign-in")
    assert not world.codes.check("session", "sign-in", given)


def test_codes_for_one_account(world: World) -> None:
    """A stranger who has the password cannot have codes sent without end, and stops none from a known browser."""
    for number in range(codes.BY_ACCOUNT.amount):
        world.codes.send(world.camille, f"session {number}", "sign-in", address=f"203.0.113.{number}")
    with pytest.raises(Wait):
        world.codes.send(world.camille, "one more", "sign-in")
    assert world.codes.send(world.camille, "known", "sign-in", device="of hers")


def test_wrong_codes_for_one_account(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """NIST SP 800-63B-4 s. 3.2.2: however many sessions they are spread over"""
    monkeypatch.setattr(codes, "WRONG", replace(codes.WRONG, amount=2 * GUESSES))
    for session in ("one", "two"):
        world.codes.send(world.camille, session, "sign-in")
        for _ in range(GUESSES):
            assert not world.codes.check(session, "sign-in", "none")
    with pytest.raises(Wait):
        world.codes.send(world.camille, "three", "sign-in")


def test_only_where_it_can_arrive(world: World, database: Database[dict[str, Any]]) -> None:
    at_home = world.accounts.keep(replace(CAMILLE, phone="02 61 91 01 02"))
    assert world.codes.channels(at_home) == ("email",)
    with pytest.raises(Undeliverable):
        world.codes.send(at_home, "session", "sign-in", channel="sms")
    nowhere = OneTimeCodes(database, world.clock, Outbox(database, world.clock))
    assert nowhere.channels(world.camille) == ()
    with pytest.raises(Undeliverable):
        nowhere.send(world.camille, "session", "sign-in")


def test_digits_are_not_kept_with_the_code(world: World, database: Database[dict[str, Any]]) -> None:
    world.codes.send(world.camille, "session", "sign-in")
    assert world.code() not in repr(database["_one_time_codes"].find_one())
    assert world.code() not in repr(world.outbox.latest())
    assert CAMILLE.email not in repr(world.outbox.latest())


# --- the seed record ---


def test_the_people_of_the_seed_record(database: Database[dict[str, Any]]) -> None:
    """Who has a login has one account for all the records it opens; professionals have none."""
    accounts = Accounts(database, Clock(), passwords=Passwords(Counting()))
    accounts.prepare()
    people = json.loads((carried("seed_data") / "people.json").read_bytes())
    logins = {row["login"] for row in people if row["role"] == "patient"}
    assert seed.load(accounts, carried("seed_data")) == len(logins) == database["_accounts"].count_documents({})
    before = list(database["_accounts"].find().sort("_id"))
    assert seed.load(accounts, carried("seed_data")) == len(logins)
    assert list(database["_accounts"].find().sort("_id")) == before

    camille = accounts.verify("camille.moreau", RIGHT)
    assert camille
    assert (camille.email, camille.phone, camille.channels) == (CAMILLE.email, CAMILLE.phone, ("email", "sms"))
    opened = [(profile.resource, profile.relation, profile.display) for profile in camille.profiles]
    assert opened == [
        ("Patient/camille-moreau", "self", "Camille Moreau"),
        ("RelatedPerson/lina-moreau-camille", "legal-representative", "Lina Moreau"),
        ("RelatedPerson/hugo-moreau-camille", "legal-representative", "Hugo Moreau"),
    ]
    gerard = accounts.named("gerard.dubreuil")
    assert gerard
    assert gerard.channels == ("email",)
    assert accounts.named("helene.lemoine") is None

    accounts.keep(replace(camille, email="elsewhere@example.org"), "another")
    seed.load(accounts, carried("seed_data"))
    again = accounts.verify("camille.moreau", "another")
    assert again == camille
