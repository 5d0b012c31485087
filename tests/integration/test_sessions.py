"""Login sessions on a real MongoDB: what a step renews, when they end, and what their form tokens are good for."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask, Response, request
from pymongo.database import Database

from fhir_server.smart.sessions import IDLE, LONGEST, Cookie, Ended, Session, Sessions
from fhir_server.smart.subject import Subject

CAMILLE = Subject("patient", "acc-camille", "Camille Moreau", account="acc-camille")
THOMAS = Subject("patient", "acc-thomas", "Thomas Moreau", account="acc-thomas")


@dataclass
class Clock:
    """A clock that a test sets."""

    now: datetime = datetime(2026, 3, 1, 9, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Kept:
    """Sessions, their clock, and the ids of those that ended."""

    sessions: Sessions
    clock: Clock
    ended: list[str] = field(default_factory=list)


@pytest.fixture
def kept(database: Database[dict[str, Any]]) -> Kept:
    """Sessions on an empty database."""
    clock = Clock()
    ended: list[str] = []
    sessions = Sessions(database, clock, ended=ended.append)
    sessions.prepare()
    return Kept(sessions, clock, ended)


def signed_in(sessions: Sessions, subject: Subject = CAMILLE) -> tuple[str, Session]:
    return sessions.rotate(sessions.start()[1], subject=subject, amr=("pwd", "otp"))


def test_a_step_makes_the_secret_before_worthless(kept: Kept) -> None:
    """OWASP ASVS 5.0: 7.2.4"""
    before, session = kept.sessions.start("Firefox")
    after, stepped = kept.sessions.rotate(session, subject=CAMILLE, auth_time=kept.clock(), amr=("pwd", "otp"))
    assert kept.sessions.find(before) is None
    assert kept.sessions.find(after) == stepped
    assert (stepped.id, stepped.subject, stepped.device) == (session.id, CAMILLE, "Firefox")
    assert stepped.csrf != session.csrf


def test_of_steps_at_once_one_is_made(kept: Kept) -> None:
    secret, session = kept.sessions.start()

    def step(_: int) -> str | None:
        try:
            return kept.sessions.rotate(session, subject=CAMILLE)[0]
        except Ended:
            return None

    with ThreadPoolExecutor(8) as threads:
        made = [one for one in threads.map(step, range(8)) if one]
    assert len(made) == 1
    assert kept.sessions.find(made[0]) is not None
    assert kept.sessions.find(secret) is None


def test_only_the_hash_of_the_secret_is_kept(kept: Kept, database: Database[dict[str, Any]]) -> None:
    secret, session = kept.sessions.start()
    assert secret not in repr(list(database["_sessions"].find()))
    assert secret != session.id
    assert session.csrf not in repr(session)


def test_an_idle_session_ends(kept: Kept) -> None:
    secret, session = signed_in(kept.sessions)
    kept.clock.now += IDLE - timedelta(seconds=1)
    assert kept.sessions.find(secret)
    kept.clock.now += IDLE - timedelta(seconds=1)
    assert kept.sessions.find(secret)
    kept.clock.now += IDLE
    assert kept.sessions.find(secret) is None
    assert kept.sessions.alive(session.id) is None
    with pytest.raises(Ended):
        kept.sessions.rotate(session, acr="2")


def test_a_used_session_ends_too(kept: Kept) -> None:
    secret, session = signed_in(kept.sessions)
    while kept.clock.now < session.started_at + LONGEST - IDLE:
        kept.clock.now += IDLE / 2
        assert kept.sessions.find(secret)
    found = kept.sessions.find(secret)
    assert found
    assert found.expires_at <= session.started_at + LONGEST
    _, stepped = kept.sessions.rotate(found, acr="2")
    assert stepped.expires_at <= session.started_at + LONGEST


def test_who_only_asks_does_not_use_it(kept: Kept) -> None:
    secret, session = signed_in(kept.sessions)
    for _ in range(3):
        kept.clock.now += IDLE / 4
        assert kept.sessions.alive(session.id)
    assert kept.sessions.alive(session.id, used=True)
    kept.clock.now += IDLE / 2
    assert kept.sessions.find(secret)


def test_ending_one_or_all(kept: Kept) -> None:
    """What hangs on a session is told of its end."""
    first, one = signed_in(kept.sessions)
    second, other = signed_in(kept.sessions)
    theirs, _ = signed_in(kept.sessions, THOMAS)
    assert {session.id for session in kept.sessions.of(CAMILLE.sub)} == {one.id, other.id}
    assert kept.sessions.end_all(CAMILLE.sub, but=one.id) == 1
    assert kept.sessions.find(second) is None
    assert kept.sessions.find(first)
    kept.sessions.end(one.id)
    assert kept.sessions.find(first) is None
    assert kept.sessions.find(theirs)
    assert kept.ended == [other.id, one.id]


def test_another_person_in_the_same_browser(kept: Kept) -> None:
    """What hung on the session of the one before ends; a step of the same person ends nothing."""
    _, session = signed_in(kept.sessions)
    _, session = kept.sessions.rotate(session, acr="2")
    assert kept.ended == []
    kept.sessions.rotate(session, subject=THOMAS)
    assert kept.ended == [session.id]


def test_form_tokens(kept: Kept) -> None:
    """OWASP ASVS 5.0: 3.5.1"""
    sessions = kept.sessions
    _, one = sessions.start()
    _, other = sessions.start()
    token = sessions.form_token(one, "sign-in")
    assert sessions.check_form_token(one, "sign-in", token)
    assert not sessions.check_form_token(other, "sign-in", token)
    assert not sessions.check_form_token(one, "consent", token)
    for wrong in (None, "", token[:-1], token.upper(), "é" * 64, b"", 7):
        assert not sessions.check_form_token(one, "sign-in", wrong)
    _, stepped = sessions.rotate(one, account="acc-camille")
    assert not sessions.check_form_token(stepped, "sign-in", token)


def test_a_step_changes_nothing_else(kept: Kept) -> None:
    _, session = kept.sessions.start()
    with pytest.raises(TypeError, match="expires_at"):
        kept.sessions.rotate(session, expires_at=kept.clock() + LONGEST)


@pytest.mark.parametrize("secret", [None, "", "unknown", "\ud800", {"$ne": None}])
def test_what_is_no_secret_finds_nothing(kept: Kept, secret: Any) -> None:
    kept.sessions.start()
    assert kept.sessions.find(secret) is None


@pytest.mark.parametrize(
    ("base_url", "name", "secure"),
    [("https://record.example", "__Host-session", True), ("http://127.0.0.1:8080", "session", False)],
)
def test_the_cookie(base_url: str, name: str, secure: bool) -> None:
    """RFC 6265bis s. 4.1.3.2: the name promises Secure, Path=/ and no Domain"""
    cookie = Cookie.of(base_url)

    def written(act: Callable[[Response], None]) -> str:
        response = Response()
        act(response)
        return response.headers["Set-Cookie"]

    app = Flask(__name__)
    with app.test_request_context("/", headers={"Cookie": f"{name}=kept"}):
        assert cookie.read(request) == "kept"
        for act in (lambda response: cookie.write(response, "kept"), cookie.clear):
            said = written(act)
            assert said.startswith(f"{name}=")
            assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(said.split("; "))
            assert ("Secure" in said) is secure
            assert "Domain" not in said
