"""The server's signing keys.  RFC 7517; OpenID Connect Core s. 10.1.1"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet
from pymongo.database import Database

from fhir_server.cli import keys as command
from fhir_server.config import ConfigError, Settings
from fhir_server.smart.keys import ALGORITHMS, LONGEST_LIVED, Keys

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SEAL = "nobody guesses these characters 01"


def keys(database: Database[dict[str, Any]], *, now: Callable[[], datetime] = lambda: NOW, seal: str | None = None):
    made = Keys(database, now, sealing_key=seal)
    made.prepare()
    return made


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_is_signed_is_checked_with_the_published_keys(database, algorithm):
    """RFC 7515 s. 4.1.4: `kid` says which key; OpenID Connect Core s. 10.1"""
    signer = keys(database)

    token = signer.sign({"sub": "acc-1"}, algorithm)

    read = jwt.decode(token, KeySet.import_key_set(signer.jwks()), [algorithm])
    assert read.claims == {"sub": "acc-1"}
    assert (read.header["alg"], read.header["typ"]) == (algorithm, "JWT")


def test_published_keys_hold_nothing_private(database):
    """RFC 7517 s. 9.2"""
    published = keys(database).jwks()["keys"]

    assert [(key["kty"], key["alg"], key["use"]) for key in published] == [
        ("EC", "ES384", "sig"),
        ("RSA", "RS256", "sig"),
    ]
    assert not {"d", "p", "q", "dp", "dq", "qi", "k"} & {name for key in published for name in key}


def test_processes_that_start_at_once_share_one_key_for_each_algorithm(database):
    """One write makes the key of an algorithm; who comes second takes it."""
    servers = [keys(database) for _ in range(4)]

    with ThreadPoolExecutor(4) as pool:
        published = list(pool.map(lambda server: server.jwks(), servers))

    assert all(one == published[0] for one in published)
    assert len(published[0]["keys"]) == len(ALGORITHMS)


def test_a_retired_key_stays_published_until_what_it_signed_is_dead(database):
    """OpenID Connect Core s. 10.1.1"""
    moment = [NOW]
    signer = keys(database, now=lambda: moment[0])
    before = signer.sign({"sub": "acc-1"})

    signer.rotate()

    after = signer.sign({"sub": "acc-1"})
    assert jwt.decode(before, KeySet.import_key_set(signer.jwks()), ["RS256"]).claims
    assert jwt.decode(after, KeySet.import_key_set(signer.jwks()), ["RS256"]).claims
    kids = [jwt.decode(one, KeySet.import_key_set(signer.jwks()), ["RS256"]).header["kid"] for one in (before, after)]
    assert kids[0] != kids[1]
    moment[0] += LONGEST_LIVED + timedelta(seconds=1)
    assert kids[0] not in [key["kid"] for key in signer.jwks()["keys"]]
    assert kids[1] in [key["kid"] for key in signer.jwks()["keys"]]


def test_another_process_signs_with_the_new_key_at_once(database):
    first, second = keys(database), keys(database)
    first.sign({})
    old = jwt.decode(second.sign({}), KeySet.import_key_set(second.jwks()), ["RS256"]).header["kid"]

    first.rotate()

    assert jwt.decode(second.sign({}), KeySet.import_key_set(second.jwks()), ["RS256"]).header["kid"] != old


def test_sealed_keys_cannot_be_read_from_the_database(database):
    """RFC 7517 s. 7"""
    signer = keys(database, seal=SEAL)

    token = signer.sign({"sub": "acc-1"})

    assert all(isinstance(kept["private"], str) for kept in database["_keys"].find())
    assert jwt.decode(token, KeySet.import_key_set(keys(database, seal=SEAL).jwks()), ["RS256"]).claims


@pytest.mark.parametrize("seal", [None, "another of thirty-two characters!"])
def test_keys_that_the_sealing_key_does_not_open_stop_the_start(database, seal):
    keys(database, seal=SEAL).sign({})

    with pytest.raises(ConfigError, match="FHIR_SERVER_SEALING_KEY"):
        keys(database, seal=seal)


def test_the_operator_rotates_the_keys(database, mongodb_uri, capsys):
    keys(database).sign({})
    settings = Settings(mongodb_uri=mongodb_uri, mongodb_database=database.name)
    parser = argparse.ArgumentParser()
    command.add_to(parser.add_subparsers())

    def typed(verb: str) -> list[list[str]]:
        arguments = parser.parse_args(["keys", verb])
        arguments.run(arguments, settings)
        return [line.split()[:3] for line in capsys.readouterr().out.splitlines()]

    [[old, *_]] = typed("list")
    rotated = typed("rotate")

    assert sorted(kept[1:] for kept in rotated) == [["ES384", "signing"], ["RS256", "retired"], ["RS256", "signing"]]
    assert [old, "RS256", "retired"] in rotated
