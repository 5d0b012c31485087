"""The token endpoint, for apps.  SMART App Launch 2.2: app-launch.html#obtain-access-token; RFC 6749; RFC 7636"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest


def test_the_token_response(app, no_store):
    """app-launch.html#response-5"""
    answer = app.redeem(app.authorize())

    assert answer.status_code == 200, answer.text
    no_store(answer)
    body = answer.json()
    assert body["access_token"]
    assert body["token_type"].lower() == "bearer"
    assert isinstance(body["expires_in"], int) and 0 < body["expires_in"] <= 3600
    assert isinstance(body["scope"], str) and body["scope"]
    assert body["patient"]
    assert app.get(f"Patient/{body['patient']}", body["access_token"]).status_code == 200


def test_context(connected, suite):
    """scopes-and-launch-context.html#launch-context-arrives-with-your-access_token"""
    assert isinstance(connected["need_patient_banner"], bool)
    style = suite.http.get(connected["smart_style_url"], timeout=30)
    assert style.status_code == 200
    assert isinstance(style.json(), dict)
    for entry in connected.get("fhirContext", []):
        assert isinstance(entry, dict) and {"reference", "canonical", "identifier"} & set(entry)


VERIFIERS = {"absent": None, "blank": "", "wrong": "w" * 43, "short": "a" * 42}


@pytest.mark.parametrize("name", [*VERIFIERS, "the challenge itself"])
def test_pkce(app, tools, name):
    """RFC 7636 s. 4.6: for every kind of client"""
    arrived = app.authorize()
    verifier = VERIFIERS.get(name, tools["challenge"](arrived.verifier))

    answer = app.redeem(arrived, code_verifier=verifier)

    assert answer.status_code in (400, 401), answer.text
    assert answer.json()["error"] in ("invalid_grant", "invalid_request")


def test_an_unknown_code(app):
    """RFC 6749 s. 5.2"""
    answer = app.post(
        grant_type="authorization_code", code="nosuchcode", redirect_uri=app.redirect_uri, code_verifier="a" * 43
    )

    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid_grant"


def test_a_code_is_good_once_and_what_it_gave_dies_with_the_second_use(public):
    """RFC 6749 s. 4.1.2: the server SHOULD revoke all tokens based on that code"""
    arrived = public.authorize()
    first = public.redeem(arrived)
    token = first.json()["access_token"]
    assert public.get(f"Patient/{first.json()['patient']}", token).status_code == 200

    second = public.redeem(arrived)

    assert (first.status_code, second.status_code) == (200, 400)
    assert second.json()["error"] == "invalid_grant"
    assert public.get(f"Patient/{first.json()['patient']}", token).status_code == 401


def test_a_code_that_is_raced_gives_one_answer(public):
    """RFC 6749 s. 4.1.2: used by many at the same time, it gives one answer, and that one is dead by then"""
    arrived = public.authorize()

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: public.redeem(arrived), range(20)))

    good = [answer.json() for answer in answers if answer.status_code == 200]
    assert len(good) == 1
    assert {answer.status_code for answer in answers} <= {200, 400}
    for body in good:
        assert public.get(f"Patient/{body['patient']}", body["access_token"]).status_code == 401


def test_a_code_is_the_clients_own(public, symmetric):
    """RFC 6749 s. 4.1.3: the code was issued to this client"""
    arrived = public.authorize()

    answer = symmetric.redeem(arrived, redirect_uri=public.redirect_uri)

    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid_grant"


def test_a_code_goes_with_its_redirect_uri(public):
    """RFC 6749 s. 4.1.3"""
    for uri in (f"{public.redirect_uri}x", "https://evil.example/", None):
        answer = public.redeem(public.authorize(), redirect_uri=uri)
        assert answer.status_code == 400, uri


def test_wrong_clients(public, symmetric, suite):
    """RFC 6749 s. 5.2: invalid_client, 401"""
    arrived = public.authorize()
    wrong_id = public.redeem(arrived, client_id="nosuchclient")
    wrong_secret = suite.http.post(
        suite.endpoint("token"),
        data={"grant_type": "refresh_token", "refresh_token": "x"},
        auth=(symmetric.client_id, "x"),
        timeout=30,
    )
    no_secret = suite.http.post(
        suite.endpoint("token"),
        data={"grant_type": "refresh_token", "refresh_token": "x", "client_id": symmetric.client_id},
        timeout=30,
    )

    for answer in (wrong_id, wrong_secret, no_secret):
        assert answer.status_code == 401, answer.text
        assert answer.json()["error"] == "invalid_client"


def test_secrets_in_the_address_are_refused(suite, public):
    """RFC 6749 s. 3.2: what is in a URL is in logs"""
    arrived = public.authorize()
    data = {
        "code": arrived.code,
        "redirect_uri": public.redirect_uri,
        "code_verifier": arrived.verifier,
        "client_id": public.client_id,
        "grant_type": "authorization_code",
    }

    answer = suite.http.post(suite.endpoint("token"), params=data, timeout=30)

    assert answer.status_code == 400


def test_a_parameter_is_there_once(suite, public):
    """RFC 6749 s. 3.2"""
    data = [("grant_type", "authorization_code"), ("grant_type", "refresh_token"), ("client_id", public.client_id)]

    assert suite.http.post(suite.endpoint("token"), data=data, timeout=30).status_code == 400


@pytest.mark.parametrize("grant_type", ["password", "implicit", "", "nonsense", "client_credentials"])
def test_other_grants_are_not_there(public, grant_type):
    """RFC 9700 s. 2.4, s. 2.1.2; a person's app is no backend service"""
    answer = public.post(grant_type=grant_type, username="a", password="b", scope="system/*.rs")

    assert answer.status_code == 400
    assert answer.json()["error"] in ("unsupported_grant_type", "unauthorized_client", "invalid_request")


# --- the token at the API ---------------------------------------------------------------------------------------------


def test_without_a_token(public, connected):
    """RFC 6750 s. 3"""
    answer = public.get(f"Patient/{connected['patient']}", None)

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].lower().startswith("bearer")


def test_tokens_in_the_address_count_for_nothing(public, connected):
    """RFC 9700 s. 4.3.2"""
    for path in (f"Patient/{connected['patient']}", "Patient"):
        answer = public.get(f"{path}?access_token={connected['access_token']}", None)
        assert answer.status_code == 401, path


def test_only_an_access_token_is_one(public, connected):
    """A refresh token, an id_token and a code are something else"""
    arrived = public.authorize()
    for other in (connected.get("refresh_token"), connected.get("id_token"), arrived.code):
        if other:
            assert public.get(f"Patient/{connected['patient']}", other).status_code == 401


def test_an_access_token_is_no_refresh_token(public, connected):
    """RFC 6749 s. 6"""
    answer = public.refresh(connected["access_token"])

    assert answer.status_code == 400


def test_the_browser_app_reads_across_origins(public, connected):
    """conformance.html#cors"""
    answer = public.get(f"Patient/{connected['patient']}", connected["access_token"], Origin=public.origin)

    assert answer.headers.get("Access-Control-Allow-Origin") in ("*", public.origin)
    assert "etag" in answer.headers.get("Access-Control-Expose-Headers", "").lower()
