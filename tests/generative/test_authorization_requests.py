"""Whatever is sent to where people are sent: never an error of the server's, nor a redirect to where nobody waits.

RFC 6749 s. 3.1, s. 4.1.2.1; RFC 9207; SMART 2.2: scopes-and-launch-context.html
"""

from __future__ import annotations

from typing import Any

import pytest
from authlib.oauth2.rfc6749.errors import InvalidScopeError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_server.access.scopes import covers, parse
from fhir_server.fhir.types import TYPES
from fhir_server.smart.asked import FREE, HELD, allowed
from tests.launches import ISSUER, REDIRECT, Launching, answered

NAMES = ("response_type", "scope", "state", "aud", "code_challenge", "code_challenge_method", "nonce", "prompt")
NAMES += ("max_age", "launch", "request_uri", "redirect_uri", "client_id", "request", "login_hint", "dpop_jkt", "x")
VALUES = st.one_of(
    st.text(max_size=60),
    st.sampled_from(
        ["code", "S256", "none", "login", "0", "openid", "patient/*.rs", '{"$gt": ""}', "a" * 5000, "\x00"]
    ),
)
QUIET = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
def known(launches: Launching) -> dict[str, str]:
    """A request that is good as it is."""
    return launches.launch(launches.register()).parameters()


@QUIET
@given(changes=st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=4), method=st.sampled_from(["GET", "POST"]))
def test_any_request_is_answered(
    launches: Launching, known: dict[str, str], changes: dict[str, str], method: str
) -> None:
    """RFC 6749 s. 4.1.2.1: a page, or a redirect to the client's own address with who tells it"""
    ask = launches.get if method == "GET" else launches.post
    answer = ask("/oauth/authorize", {**known, **changes})
    assert answer.status_code in (303, 400), answer.text
    if answer.status_code == 303:
        where = answer.headers["Location"]
        assert where.startswith((f"{ISSUER}/authorize/", f"{REDIRECT}?"))
        assert where.startswith(ISSUER) or answered(where)["iss"] == ISSUER
    else:
        assert "Location" not in answer.headers


@QUIET
@given(form=st.dictionaries(st.sampled_from((*NAMES, "id_token_hint", "post_logout_redirect_uri")), VALUES, max_size=4))
def test_any_sign_out_is_answered(launches: Launching, form: dict[str, str]) -> None:
    """RP-Initiated Logout s. 2: nobody is sent away from here by whoever made that up"""
    for ask in (launches.get, launches.post):
        answer = ask("/oauth/logout", form)
        assert answer.status_code == 303
        assert answer.headers["Location"] == f"{ISSUER}/sign-out"


@QUIET
@given(body=st.one_of(st.binary(max_size=60), st.text(max_size=40).map(str.encode)))
def test_any_launch_is_answered(launches: Launching, tokens: dict[str, Any], body: bytes) -> None:
    """RFC 6750 s. 3: 400 for what is no context"""
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    answer = launches.app.test_client().post("/oauth/launch", data=body, headers=headers, base_url=f"{ISSUER}/")
    assert answer.status_code == 400, answer.text


@pytest.fixture(scope="module")
def tokens(launches: Launching) -> dict[str, Any]:
    """A professional's."""
    client = launches.register(audience="professional", scope="user/*.rs")
    made: dict[str, Any] = launches.launch(client, launches.sign_in()).tokens(lasting=None)
    return made


WORDS = st.one_of(
    st.sampled_from([*FREE, *HELD, "profile", "launch/x", "patient/Observation.rs?code=1", "user/Patient.read"]),
    st.builds(
        "{}/{}.{}".format,
        st.sampled_from(["patient", "user", "system", "other"]),
        st.sampled_from(["*", "Weather", *sorted(TYPES)[:6]]),
        st.sampled_from(["r", "rs", "cruds", "cud", "read", "write", "*", "sr", ""]),
    ),
)


@settings(max_examples=200, deadline=None)
@given(asked=st.lists(WORDS, max_size=5), registered=st.lists(WORDS, max_size=5))
def test_no_request_gets_beyond_what_was_registered(asked: list[str], registered: list[str]) -> None:
    """SMART 2.2: each letter of each scope that is left is within a scope of the client, and was asked for"""
    try:
        kept = allowed(" ".join(asked), " ".join(registered))
    except InvalidScopeError:
        return
    for one in parse(kept):
        for letter in one.letters:
            single = type(one)(one.context, one.type, letter, one.constraints)
            assert any(covers(each, single) for each in parse(" ".join(registered)))
            assert any(covers(each, single) for each in parse(" ".join(asked)))
    for word in kept.split():
        assert parse(word) or word in FREE or word in registered
    assert not [one for one in parse(kept) if one.context == "system"]
