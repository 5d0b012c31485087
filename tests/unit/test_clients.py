"""What a registered client may, by its registration alone.  RFC 9700 s. 2.1; RFC 8252 s. 7.3; RFC 7591 s. 2"""

from __future__ import annotations

import pytest

from fhir_server.smart import names
from fhir_server.smart.tokens import digest
from tests.clients import client

REGISTERED = (
    "https://app.example.org/back",
    "http://127.0.0.1:1234/back?a=1",
    "http://[::1]/back",
    "http://localhost:3000/",
)


@pytest.mark.parametrize(
    "uri",
    [
        *REGISTERED,
        "http://127.0.0.1/back?a=1",
        "http://127.0.0.1:65535/back?a=1",
        "http://[::1]:5000/back",
    ],
)
def test_people_are_sent_where_it_is_registered(uri):
    """RFC 9700 s. 2.1: to the letter; RFC 8252 s. 7.3: but for the port of a loopback address"""
    assert client("public", redirect_uris=REGISTERED).check_redirect_uri(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "https://app.example.org/back/",
        "https://app.example.org/backdoor",
        "https://app.example.org/",
        "https://app.example.org/back?x=1",
        "https://app.example.org/back?",
        "https://app.example.org/back#",
        "https://app.example.org:443/back",
        "https://app.example.org./back",
        "https://APP.example.org/back",
        "https://app.example.org/%62ack",
        "https://app.example.org%2fback",
        "https://app.example.org//back",
        "https://app.example.org\\back",
        "https://user@app.example.org/back",
        "https://app.example.org@evil.test/back",
        "https://evil.test/https://app.example.org/back",
        "https://app.example.org.evil.test/back",
        "https://аpp.example.org/back",  # noqa: RUF001  (Cyrillic)
        "http://app.example.org/back",
        "//app.example.org/back",
        "http://127.0.0.1:1234/back",
        "http://127.0.0.1:1234/back?a=2",
        "http://127.0.0.1:1234/back?a=1#x",
        "http://127.0.0.1:01234/back?a=1",
        "http://127.0.0.1:/back?a=1",
        "http://127.0.0.1:99999/back?a=1",
        "http://127.0.0.1:9\n9/back?a=1",
        "http://x@127.0.0.1:99/back?a=1",
        "http://127.0.0.1@evil.test/back?a=1",
        "http://127.1:99/back?a=1",
        "http://2130706433:99/back?a=1",
        "https://127.0.0.1:99/back?a=1",
        "http://127.0.0.2:99/back?a=1",
        "HTTP://127.0.0.1:99/back?a=1",
        "http://[::1]:5000/back/",
        "http://[::0001]:5000/back",
        "http://localhost:3001/",
        "http://[::1",
        "",
    ],
)
def test_people_are_sent_nowhere_else(uri):
    """RFC 9700 s. 4.1"""
    assert not client("public", redirect_uris=REGISTERED).check_redirect_uri(uri)


@pytest.mark.parametrize(
    ("kind", "audience", "grants"),
    [
        ("public", "patient", {"authorization_code", "refresh_token"}),
        ("symmetric", "professional", {"authorization_code", "refresh_token"}),
        ("asymmetric", "professional", {"authorization_code", "refresh_token"}),
        ("asymmetric", "backend", {"client_credentials"}),
        ("symmetric", "backend", set()),
        ("public", "backend", set()),
    ],
)
def test_what_a_client_may_present_follows_from_what_it_is(kind, audience, grants):
    """RFC 9700 s. 2.4: no password; s. 2.1.2: no implicit; SMART 2.2 backend-services.html: a key"""
    made = client(kind, audience=audience)
    known = ("authorization_code", "refresh_token", "client_credentials", "password", "implicit")

    assert {grant for grant in known if made.check_grant_type(grant)} == grants
    assert made.check_response_type("code") == (audience != "backend")
    assert not made.check_response_type("token")


def test_a_client_has_no_secret_but_its_own():
    kept = client("symmetric", secret_hash=digest("the secret"))

    assert kept.check_client_secret("the secret")
    assert not kept.check_client_secret("")
    assert not kept.check_client_secret(digest("the secret"))
    assert not client("public").check_client_secret("")
    assert "secret_hash" not in repr(kept)


def test_a_client_may_ask_for_what_is_within_its_scope():
    """SMART 2.2 scopes-and-launch-context.html: by what the scopes mean"""
    kept = client("public", scope="openid patient/*.rs")

    assert (
        kept.get_allowed_scope("openid fhirUser patient/Observation.cruds user/*.rs") == "openid patient/Observation.rs"
    )
    assert kept.get_allowed_scope(None) == ""


@pytest.mark.parametrize("name", ["Mon Carnet", "Œuvre d’été", "l'Appli 24/7 (bêta) – v2.0", "Dr. Gæß & Łoś"])
def test_a_name_that_people_can_read_will_do(name):
    assert names.fault(name) is None


@pytest.mark.parametrize(
    "name",
    ["", " x", "x ", "a  b", "x\n", "a\u00adb", "a\u2028b", "e\u0301", "ﬁn", "①", "ａpp", "ıx", "日本", "x" * 81, "--"],  # noqa: RUF001
)
def test_a_name_that_deceives_is_told(name):
    """UTS 39 s. 2"""
    assert names.fault(name)


@pytest.mark.parametrize(
    ("one", "other"),
    [("Mon Carnet", "MON-CARNET"), ("Santé", "Sante"), ("Bio", "Bi0"), ("Illi", "1LL1"), ("Vvim", "Wirn")],
)
def test_names_that_an_eye_confuses_have_one_skeleton(one, other):
    """UTS 39 s. 4"""
    assert names.skeleton(one) == names.skeleton(other)


def test_names_that_an_eye_tells_apart_have_two():
    assert len({names.skeleton(name) for name in ("Mon Carnet", "Mon Cabinet", "Ma Carte", "Mon Carnet 2")}) == 4
