"""Tokens, and what is looked up along with them: each asker gets its own, whoever else asks at the same moment."""

from __future__ import annotations

import random
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo.database import Database

from fhir_server.access import Actor
from fhir_server.fhir.outcome import Unauthorized
from fhir_server.smart.tokens import Tokens, digest
from fhir_server.storage.store import Ahead, ahead_of_read

IDS = [f"r{number}" for number in range(6)]
TYPES = ("Observation", "Condition")


@pytest.fixture
def tokens(database: Database[dict[str, Any]]) -> Tokens:
    """The tokens of a store with resources of two types, of the same ids."""
    for type in TYPES:
        database[type].insert_many(
            [{"_id": id, "version": 1, "updated": datetime.now(UTC), "body": f"{type}/{id}".encode()} for id in IDS[:4]]
        )
    return Tokens(database, lambda: datetime.now(UTC))


def _answer(tokens: Tokens, token: str, ahead: Ahead | None) -> tuple[str, list[bytes | None]] | None:
    try:
        actor, brought = tokens.authenticate(token, lambda guess: ahead)
    except Unauthorized:
        return None
    return actor.name, [stored.body for stored in brought.found] if brought else []


def test_everybody_gets_what_is_theirs(tokens: Tokens) -> None:
    """RFC 6750 s. 3.1: a dead token is refused beside living ones; the same id in two types is told apart"""
    held = {
        tokens.issue(Actor("operator", f"op{n}", ()), "system/*.rs", timedelta(hours=1)): f"op{n}" for n in range(3)
    }
    chance = random.Random(1)
    wrong: list[Any] = []

    def ask() -> None:
        for _ in range(40):
            token = chance.choice([*held, "no token"])
            type, id = chance.choice(TYPES), chance.choice(IDS)
            ahead = ahead_of_read(type, id) if chance.random() < 0.8 else None
            there = [f"{type}/{id}".encode()] if ahead and id in IDS[:4] else []
            expected = (held[token], there) if token in held else None
            answer = _answer(tokens, token, ahead)
            if answer != expected:
                wrong.append((type, id, answer, expected))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert wrong == []


def test_a_resource_whose_id_is_the_hash_of_a_token_is_no_token(
    tokens: Tokens, database: Database[dict[str, Any]]
) -> None:
    """Nobody makes a token by writing a resource under the name that a token of theirs would have"""
    named = digest("chosen")
    database["Observation"].insert_one({"_id": named, "version": 1, "updated": datetime.now(UTC), "body": b"own"})
    assert _answer(tokens, "chosen", ahead_of_read("Observation", named)) is None
    living = tokens.issue(Actor("operator", "op", ()), "system/*.rs", timedelta(hours=1))
    assert _answer(tokens, living, ahead_of_read("Observation", named)) == ("op", [b"own"])
