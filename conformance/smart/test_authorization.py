"""Authorization requests, right and wrong.  SMART App Launch 2.2: app-launch.html; RFC 6749; RFC 7636; RFC 9700"""

from __future__ import annotations

import secrets

import pytest


def test_a_refusal_of_the_person_reaches_the_app(suite, public, decision):
    """RFC 6749 s. 4.1.2.1; RFC 9207 s. 2"""
    arrived = public.authorize(decision(refuse=True))

    assert arrived.parameters["error"] == "access_denied"
    assert "code" not in arrived.parameters
    assert arrived.parameters["state"] == arrived.state
    assert arrived.parameters["iss"] == suite.configuration["issuer"]


def test_the_answer_carries_state_and_issuer(suite, public):
    """app-launch.html#response-2: state SHALL be the exact value; RFC 9207"""
    state = f"{secrets.token_urlsafe(24)} +/=&%20;'?#"

    arrived = public.authorize(state=state)

    assert arrived.code
    assert arrived.parameters["state"] == arrived.state
    assert arrived.parameters["iss"] == suite.configuration["issuer"]


def test_authorization_by_post(suite, public):
    """app-launch.html#obtain-authorization-code: authorize-post"""
    suite.offers("authorize-post")

    arrived = public.authorize(post=True)

    answer = public.redeem(arrived)
    assert answer.status_code == 200, answer.text


FAULTS = {
    "no challenge": ({"code_challenge": None, "code_challenge_method": None}, {"invalid_request"}),
    "challenge without method": ({"code_challenge_method": None}, {"invalid_request"}),
    "plain": ({"code_challenge_method": "plain"}, {"invalid_request"}),
    "short challenge": ({"code_challenge": "a" * 42}, {"invalid_request"}),
    "no aud": ({"aud": None}, {"invalid_request"}),
    "another server's aud": ({"aud": "https://elsewhere.example/fhir"}, {"invalid_request"}),
    "no state": ({"state": None}, {"invalid_request"}),
    "response_type token": ({"response_type": "token"}, {"unsupported_response_type", "unauthorized_client"}),
    "no response_type": ({"response_type": None}, {"invalid_request", "unsupported_response_type"}),
    "malformed scope": ({"scope": "patient/Observation.sr"}, {"invalid_scope"}),
    "letters that are none": ({"scope": "patient/Observation.x"}, {"invalid_scope"}),
    "system scope": ({"scope": "system/Observation.rs"}, {"invalid_scope"}),
    "chained constraint": ({"scope": "patient/Observation.rs?subject.name=a"}, {"invalid_scope"}),
    "unknown launch": ({"launch": "nosuchlaunch", "scope": "launch patient/Patient.r"}, {"invalid_request"}),
    "scope launch without launch": ({"scope": "launch patient/Patient.r"}, {"invalid_request"}),
    "nobody signed in": ({"prompt": "none"}, {"login_required", "interaction_required"}),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_reach_the_app(suite, public, name):
    """RFC 6749 s. 4.1.2.1; RFC 7636 s. 4.4.1; app-launch.html (aud, launch): an error, and who says so; never a code"""
    changes, errors = FAULTS[name]

    told = public.error(**changes)

    assert told["error"] in errors
    assert "code" not in told
    assert told["iss"] == suite.configuration["issuer"]
    if changes.get("state", "") is not None:
        assert "state" in told


@pytest.mark.parametrize("suffix", ["/", "?", "x", "/x", "/../x", "#", "%2f", "?a=b"])
def test_the_redirect_uri_is_compared_to_the_letter(public, suffix):
    """RFC 9700 s. 4.1.3: a page of the server's own, and no redirect"""
    answer = public.ask(redirect_uri=public.redirect_uri + suffix)

    assert 400 <= answer.status_code < 500
    assert "Location" not in answer.headers


@pytest.mark.parametrize(
    "uri",
    [
        None,
        "",
        "https://evil.example/",
        "javascript:alert(1)",
        "data:text/html,x",
        "//evil.example/",
        "\\\\evil.example/",
        "http://localhost@evil.example/",
        "HTTP://LOCALHOST/",
        "/relative",
    ],
)
def test_foreign_redirect_uris_lead_nowhere(public, uri):
    """RFC 9700 s. 2.1, s. 4.11"""
    answer = public.ask(redirect_uri=uri)

    assert 400 <= answer.status_code < 500
    assert "Location" not in answer.headers


@pytest.mark.parametrize("client_id", [None, "", "nosuchclient", "[$ne]", "<script>alert(1)</script>"])
def test_unknown_clients_lead_nowhere(public, client_id):
    """RFC 6749 s. 4.1.2.1; what was sent is not shown"""
    answer = public.ask(client_id=client_id)

    assert 400 <= answer.status_code < 500
    assert "Location" not in answer.headers
    assert "<script>alert" not in answer.text


@pytest.mark.parametrize("name", ["client_id", "redirect_uri", "state", "scope", "aud"])
def test_a_parameter_is_there_once(suite, public, name):
    """RFC 6749 s. 3.1: parameters MUST NOT be included more than once"""
    parameters, _ = public.request()
    twice = [*parameters.items(), (name, parameters[name])]

    answer = suite.http.get(suite.endpoint("authorization"), params=twice, allow_redirects=False, timeout=30)

    assert 400 <= answer.status_code < 500 or "error=invalid_request" in answer.headers.get("Location", "")


def test_pages_cannot_be_framed(public):
    """RFC 9700 s. 4.16"""
    answer = public.ask(client_id="nosuchclient")

    policy = answer.headers.get("Content-Security-Policy", "")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe-inline" not in policy
    assert answer.headers.get("Referrer-Policy") == "no-referrer"


def test_one_trailing_slash_of_aud(suite, public):
    """app-launch.html: aud is the FHIR base URL; a slash at its end names the same"""
    answer = public.ask(aud=f"{suite.base}/")

    assert "error=" not in answer.headers.get("Location", "")
    assert answer.status_code in (200, 302, 303)


@pytest.mark.parametrize("suffix", ["/x", "//", "?a", "#a", "/Patient"])
def test_nothing_else_is_tolerated_of_aud(suite, public, suffix):
    """app-launch.html: a server that validates aud protects from tokens made for another"""
    assert public.error(aud=f"{suite.base}{suffix}")["error"] == "invalid_request"
