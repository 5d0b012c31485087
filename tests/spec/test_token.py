"""The token endpoint: a code for tokens, once, to whom it was given.

RFC 6749 s. 4.1.3, s. 5; RFC 7636 s. 4.6; RFC 9700 s. 2; SMART 2.2: app-launch.html, scopes-and-launch-context.html
"""

from __future__ import annotations

import base64
import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from authlib.oauth2.rfc6749.errors import InvalidGrantError

from fhir_server import app as application
from fhir_server.config import Settings
from fhir_server.smart.clients import Clients
from fhir_server.smart.codes import Codes
from fhir_server.smart.grants import alone
from fhir_server.smart.tokens import NotIssued, Tokens
from tests.calls import BASE
from tests.launches import ISSUER, REDIRECT, SECRET, Launch, Launching, authorized


class Crash(Exception):
    """A process ends here."""


def begun(launches: Launching, **client: Any) -> Launch:
    """A launch of a new app for a new person."""
    return launches.launch(launches.register(**client), launches.sign_in(launches.person()))


def test_a_code_gives_tokens_and_the_context(launches: Launching) -> None:
    """SMART 2.2 app-launch.html: access_token, token_type, scope, expires_in, and what the app was launched in"""
    account = launches.person()
    launch = launches.launch(launches.register(), launches.sign_in(account))
    answer = launch.redeem(launch.code())
    assert answer.status_code == 200
    assert answer.content_type == "application/json"
    assert (answer.headers["Cache-Control"], answer.headers["Pragma"]) == ("no-store", "no-cache")
    told = answer.json
    patient = account.profiles[0].patient
    assert told["token_type"] == "Bearer"
    assert set(told["scope"].split()) == set(launch.client.scope.split())
    assert 0 < told["expires_in"] <= 3600
    assert told["patient"] == patient
    assert told["need_patient_banner"] is True
    assert told["smart_style_url"] == f"{ISSUER}/smart/style.json"
    assert "tenant" not in told and "encounter" not in told and "fhirContext" not in told
    assert launches.caller(told["access_token"]).get(f"Patient/{patient}")["id"] == patient


def test_the_token_is_for_what_was_granted_alone(launches: Launching) -> None:
    """SMART 2.2 scopes-and-launch-context.html: "a patient-level scope"; another's record is not there"""
    launch = begun(launches, scope="launch/patient patient/Patient.rs")
    told = launch.tokens()
    caller = launches.caller(told["access_token"])
    assert caller("GET", f"Patient/{launches.patient()}").status_code == 404
    refused = caller("GET", "Observation")
    assert refused.status_code == 403
    challenge = refused.headers["WWW-Authenticate"]
    assert 'error="insufficient_scope"' in challenge
    assert 'scope="patient/Observation.s user/Observation.s"' in challenge
    assert caller("POST", "Patient", {"resourceType": "Patient"}).status_code == 403


def test_v1_scopes_are_answered_in_their_own_words(launches: Launching) -> None:
    """SMART 2.2 scopes-and-launch-context.html: v1 scopes"""
    told = begun(launches, scope="launch/patient patient/Patient.read").tokens()
    assert told["scope"] == "launch/patient patient/Patient.read"


def test_no_refresh_token_that_was_not_asked_for_and_granted(launches: Launching) -> None:
    """SMART 2.2 scopes-and-launch-context.html: offline_access; Authlib's own gives one by default"""
    assert "refresh_token" not in begun(launches, scope="launch/patient patient/*.rs").tokens()
    offline = begun(launches, scope="launch/patient patient/*.rs offline_access")
    told = offline.tokens(lasting=None)
    assert "refresh_token" not in told and "offline_access" not in told["scope"]


def test_what_is_not_ticked_is_not_granted(launches: Launching) -> None:
    """SMART 2.2; g10: categories are left out, and searching for them is 403"""
    launch = begun(launches, scope="launch/patient patient/Patient.rs patient/Observation.rs")
    told = launch.tokens(ticked={"RESULTATS.laboratory-read"}, lasting=None)
    (left,) = [word for word in told["scope"].split() if word != "launch/patient"]
    assert left.startswith("patient/Observation.rs?") and left.endswith(
        "category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory"
    )
    caller = launches.caller(told["access_token"])
    assert caller("GET", "Patient").status_code == 403
    assert caller("GET", "Observation").status_code == 200


def test_what_was_granted_can_be_asked_for_again(launches: Launching) -> None:
    """RFC 6749 s. 6, s. 3.3: an app that has kept the words of its scope asks in them, and gets the same"""
    client = launches.register(scope="launch/patient patient/Observation.rs offline_access")
    session = launches.sign_in(launches.person())
    first = launches.launch(client, session)
    told = first.tokens(ticked={"RESULTATS.laboratory-read"})
    again = first.refresh(told["refresh_token"], scope=told["scope"]).json
    assert again["scope"] == told["scope"]
    second = launches.launch(client, session, scope=told["scope"]).tokens()
    assert set(second["scope"].split()) == set(told["scope"].split())


@pytest.mark.parametrize(
    "verifier",
    [None, "", "x" * 42, "x" * 129, "é" * 50, "x" * 43, "challenge"],
)
def test_the_verifier_has_to_fit(launches: Launching, verifier: str | None) -> None:
    """RFC 7636 s. 4.6; RFC 9700 s. 2.1.1: absent, blank, short, long, wrong, or the challenge itself"""
    launch = begun(launches)
    code = launch.code()
    if verifier == "challenge":
        verifier = launch.parameters()["code_challenge"]
    answer = launch.redeem(code, code_verifier=verifier)
    assert answer.status_code == 400
    assert answer.json["error"] in ("invalid_request", "invalid_grant")


@pytest.mark.parametrize("kind", ["public", "symmetric"])
def test_a_verifier_is_needed_of_everyone(launches: Launching, kind: str) -> None:
    """RFC 9700 s. 2.1.1; Authlib's own lets a client with a secret go without"""
    launch = begun(launches, kind=kind)
    assert launch.redeem(launch.code(), code_verifier=None).status_code == 400


def test_a_code_that_was_tried_with_a_wrong_verifier_is_spent(launches: Launching) -> None:
    """RFC 7636 s. 7.1: nobody tries twice"""
    launch = begun(launches)
    code = launch.code()
    assert launch.redeem(code, code_verifier="y" * 43).status_code == 400
    assert launch.redeem(code).status_code == 400


@pytest.mark.parametrize(
    "changes",
    [{"code": "never-made"}, {"code": None}, {"redirect_uri": f"{REDIRECT}/x"}, {"redirect_uri": None}, {"code": ""}],
)
def test_a_code_is_bound_to_where_it_was_sent(launches: Launching, changes: dict[str, Any]) -> None:
    """RFC 6749 s. 4.1.3"""
    launch = begun(launches)
    answer = launch.redeem(launch.code(), **changes)
    assert answer.status_code == 400
    assert answer.json["error"] in ("invalid_grant", "invalid_request")


def test_a_code_is_its_client_s(launches: Launching) -> None:
    """RFC 6749 s. 4.1.3: and another's attempt does not take it away"""
    launch = begun(launches)
    code = launch.code()
    stolen = launch.redeem(code, client_id=launches.register().client_id)
    assert (stolen.status_code, stolen.json["error"]) == (400, "invalid_grant")
    secret = launches.register(kind="symmetric")
    form = launch.token_form(code, client_id=None)
    assert launches.post("/oauth/token", form, **authorized(secret)).status_code == 400
    assert launch.redeem(code).status_code == 200


def test_a_code_is_good_for_a_minute(launches: Launching) -> None:
    """RFC 6749 s. 4.1.2"""
    launch = begun(launches)
    code = launch.code()
    launches.clock.ahead = timedelta(seconds=61)
    try:
        assert launch.redeem(code).json["error"] == "invalid_grant"
    finally:
        launches.clock.ahead = timedelta()


def test_a_code_that_comes_again_ends_what_it_made(launches: Launching) -> None:
    """RFC 6749 s. 4.1.2, s. 10.5"""
    launch = begun(launches)
    code = launch.code()
    told = launch.redeem(code).json
    caller = launches.caller(told["access_token"])
    assert caller("GET", "Patient").status_code == 200
    assert launch.redeem(code).status_code == 400
    assert caller("GET", "Patient").status_code == 401
    assert launch.refresh(told["refresh_token"]).status_code == 400


def test_twenty_at_once_get_one_token_at_most(launches: Launching) -> None:
    """RFC 6749 s. 4.1.2: and afterwards none of it is good; Authlib's own find-then-delete gives five of five"""
    launch = begun(launches)
    code = launch.code()
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: launch.redeem(code), range(20)))
    good = [answer for answer in answers if answer.status_code == 200]
    assert len(good) == 1
    assert {answer.status_code for answer in answers} <= {200, 400}
    for answer in good:
        assert launches.caller(answer.json["access_token"])("GET", "Patient").status_code == 401
        assert launch.refresh(answer.json["refresh_token"]).status_code == 400
    assert not launches.database["_tokens"].find_one({"client_id": launch.client.client_id, "status": "live"})


def test_a_code_that_comes_again_while_its_token_is_made_gives_a_dead_one(launches: Launching) -> None:
    """RFC 6749 s. 4.1.2: the interleaving that a race hits once in a thousand, made to happen"""
    launch = begun(launches)
    code = launch.code()
    codes: Codes = launches.kept.codes
    claimed = codes.claim(code, launch.client.client_id)
    assert claimed and codes.replay(code, launch.client.client_id)
    with launches.app.test_request_context():
        answer = launches.smart.oauth.issuer.first(claimed, None)
    assert launches.caller(answer["access_token"])("GET", "Patient").status_code == 401


def test_a_grant_that_ends_while_its_token_is_made_gives_none(launches: Launching) -> None:
    """RFC 7009 s. 2.1: withdrawn, or the client suspended, between the code and the token"""
    for end in (
        lambda launch: launches.kept.grants.withdraw(launches.kept.grants.of(launch.session.subject.sub)[0].id),
        lambda launch: launches.kept.clients.suspend(launch.client.client_id),
        lambda launch: launches.kept.sessions.end(launch.session.id),
    ):
        launch = begun(launches, scope="launch/patient patient/*.rs")
        claimed = launches.kept.codes.claim(launch.code(), launch.client.client_id)
        assert claimed
        end(launch)
        with launches.app.test_request_context(), pytest.raises(InvalidGrantError):
            launches.smart.oauth.issuer.first(claimed, None)
        assert not launches.database["_tokens"].find_one({"client_id": launch.client.client_id, "status": "live"})


def test_an_account_that_is_closed_while_its_token_is_made_gives_none(launches: Launching) -> None:
    """RFC 9700 s. 4.14.2: nor a refresh token, though that is bound to no session"""
    launch = begun(launches, scope="launch/patient patient/*.rs offline_access")
    claimed = launches.kept.codes.claim(launch.code(), launch.client.client_id)
    assert claimed and launch.session and launch.session.subject
    accounts = launches.app.extensions["people"].accounts
    accounts.keep(replace(accounts.find(launch.session.subject.account), state="closed"))
    with launches.app.test_request_context(), pytest.raises(InvalidGrantError):
        launches.smart.oauth.issuer.first(claimed, None)
    for kept in ("_tokens", "_refresh"):
        assert not launches.database[kept].find_one({"client_id": launch.client.client_id, "status": "live"})


@pytest.mark.parametrize(
    ("secret", "status"),
    [(SECRET, 200), ("another", 401), ("", 401)],
)
def test_a_client_with_a_secret_shows_it(launches: Launching, secret: str, status: int) -> None:
    """RFC 6749 s. 2.3.1, s. 5.2"""
    launch = begun(launches, kind="symmetric")
    form = launch.token_form(launch.code())
    answer = launches.post("/oauth/token", form, **authorized(launch.client, secret))
    assert answer.status_code == status
    if status == 401:
        assert answer.json["error"] == "invalid_client"
        assert answer.headers["WWW-Authenticate"].startswith("Basic")


@pytest.mark.parametrize("form", [{"client_id": "{id}"}, {"client_assertion": "e30.eyJzdWIiOnt9fQ.e30"}, {}])
def test_a_client_that_was_refused_is_in_the_record_of_accesses(launches: Launching, form: dict[str, str]) -> None:
    """IHE BALP: a failed authentication is recorded; with the client if there is one, never with what it sent"""
    client = launches.register(kind="symmetric")
    form = {name: value.format(id=client.client_id) for name, value in form.items()}
    header = {} if form else authorized(client, "a wrong secret")
    asked = launches.post("/oauth/token", {"grant_type": "authorization_code", "code": "x", **form}, **header)
    assert asked.status_code == 401
    found = launches.served().caller().get("AuditEvent?outcome=4&_sort=-date&_count=1&_total=none")
    event = found["entry"][0]["resource"]
    assert "was not authenticated" in event["outcomeDesc"]
    assert (client.client_id in event["outcomeDesc"]) == ("client_assertion" not in form)
    assert "a wrong secret" not in json.dumps(event)


def test_a_client_with_a_secret_is_none_without_it(launches: Launching) -> None:
    """RFC 6749 s. 3.2.1"""
    launch = begun(launches, kind="symmetric")
    form = launch.token_form(launch.code(), client_id=launch.client.client_id)
    answer = launches.post("/oauth/token", form)
    assert (answer.status_code, answer.json["error"]) == (401, "invalid_client")


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({}, "invalid_request"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": "implicit"}, "unsupported_grant_type"),
        ({"grant_type": '<script>"'}, "unsupported_grant_type"),
        ({"grant_type": "authorization_code"}, "invalid_client"),
        ({"grant_type": "client_credentials", "scope": "system/*.rs"}, "invalid_client"),
    ],
)
def test_what_the_endpoint_does_not_take(launches: Launching, form: dict[str, str], error: str) -> None:
    """RFC 6749 s. 5.2; RFC 9700 s. 2.4: no password grant"""
    answer = launches.post("/oauth/token", form)
    assert answer.status_code in (400, 401)
    assert answer.json["error"] == error
    assert "<script>" not in answer.text
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_public_client_has_no_rights_of_its_own(launches: Launching) -> None:
    """RFC 6749 s. 4.4: client credentials are for backends"""
    form = {"grant_type": "client_credentials", "scope": "system/*.rs", "client_id": launches.register().client_id}
    answer = launches.post("/oauth/token", form)
    assert (answer.status_code, answer.json["error"]) == (400, "unauthorized_client")


def test_nothing_stands_in_the_url(launches: Launching) -> None:
    """RFC 6749 s. 2.3.1, s. 3.2: a query, or a parameter that is there twice, is refused"""
    launch = begun(launches)
    form = launch.token_form(launch.code())
    pairs = list(form.items())
    for path in ("/oauth/token", "/oauth/par", "/oauth/revoke", "/oauth/introspect"):
        answer = launches.post(f"{path}?grant_type=authorization_code", form)
        assert (answer.status_code, answer.json["error"]) == (400, "invalid_request")
    for name, value in pairs:
        answer = launches.post("/oauth/token", [*pairs, (name, value)])
        assert (answer.status_code, answer.json["error"]) == (400, "invalid_request")
    assert launches.get("/oauth/token", form).status_code == 405
    assert launch.redeem(form["code"]).status_code == 200


def test_one_thing_is_not_taken_for_another(launches: Launching) -> None:
    """RFC 9700 s. 2.3: a refresh token, an id_token, a code at the FHIR API; an access token as a grant"""
    launch = begun(launches)
    code = launch.code()
    told = launch.redeem(code).json
    for token in (told["refresh_token"], told["id_token"], code, told["refresh_token"].partition(".")[0]):
        answer = launches.caller(token)("GET", "Patient")
        assert answer.status_code == 401
        assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
    for token in (told["access_token"], told["id_token"], code):
        assert launch.refresh(token).json["error"] == "invalid_grant"
        assert launch.redeem(token).json["error"] == "invalid_grant"


def test_a_token_is_taken_from_the_header_alone(launches: Launching) -> None:
    """RFC 6750 s. 2, RFC 9700 s. 4.3.2: not from a URL, nor from a form"""
    token = begun(launches).tokens()["access_token"]
    assert launches.get("/fhir/Patient", {"access_token": token}).status_code == 401
    form = {"access_token": token}
    assert launches.post("/fhir/Patient/_search", form).status_code == 401
    assert launches.post("/oauth/userinfo", form).status_code == 401


def test_a_token_of_another_server_is_none(launches: Launching) -> None:
    """SMART 2.2 app-launch.html: the resource server refuses a token for another audience"""
    launch = begun(launches)
    on = launches.kept.codes.claim(launch.code(), launch.client.client_id)
    assert on
    from fhir_server.smart.grounds import actor_of

    elsewhere = Tokens(launches.database, launches.clock, base="https://another.example/fhir")
    actor = actor_of(on.grounds)
    token = elsewhere.issue(actor, on.grounds.scope, timedelta(hours=1), audience="https://another.example/fhir")
    assert launches.caller(token)("GET", "Patient").status_code == 401
    here = elsewhere.issue(actor, on.grounds.scope, timedelta(hours=1), audience=BASE)
    assert launches.caller(here)("GET", "Patient").status_code == 200


def test_an_access_token_ends_at_its_time(launches: Launching) -> None:
    """RFC 6749 s. 5.1: expires_in, told by the clock and not by the database's sweeper"""
    token = begun(launches).tokens()["access_token"]
    launches.clock.ahead = timedelta(seconds=3601)
    try:
        assert launches.caller(token)("GET", "Patient").status_code == 401
    finally:
        launches.clock.ahead = timedelta()


def test_a_professional_s_token_lives_half_an_hour(launches: Launching) -> None:
    """smart-app-launch: whoever has many records open in a day"""
    client = launches.register(audience="professional", scope="user/*.rs online_access openid fhirUser")
    session = launches.sign_in(practitioner="dr-short")
    told = launches.launch(client, session).tokens(lasting=None)
    assert told["expires_in"] == 1800
    assert "patient" not in told and "need_patient_banner" not in told


def test_no_secret_is_kept_as_it_is(launches: Launching) -> None:
    """RFC 6819 s. 5.1.4.1.3: hashes alone at rest"""
    launch = begun(launches, kind="symmetric")
    code = launch.code()
    told = launch.redeem(code).json
    secrets = [code, told["access_token"], *told["refresh_token"].split("."), told["id_token"], SECRET]
    for name in launches.database.list_collection_names():
        if name.startswith("_"):
            text = json.dumps(list(launches.database[name].find()), default=str)
            assert not [secret for secret in secrets if secret in text], name
    held = launches.database["_tokens"].find_one({"_id": hashlib.sha256(told["access_token"].encode()).hexdigest()})
    assert held and held["client_id"] == launch.client.client_id


class TestEndings:
    """What ends a token at the very next request: RFC 7009 s. 2.1; rule A13."""

    def dead(self, launches: Launching, launch: Launch, told: dict[str, Any]) -> bool:
        answer = launches.caller(told["access_token"])("GET", "Patient")
        refreshed = launch.refresh(told["refresh_token"]) if "refresh_token" in told else None
        return answer.status_code == 401 and (refreshed is None or refreshed.status_code in (400, 401))

    def test_suspending_the_client(self, launches: Launching) -> None:
        """rule A13"""
        launch = begun(launches)
        told = launch.tokens()
        launches.kept.clients.suspend(launch.client.client_id)
        assert self.dead(launches, launch, told)

    def test_withdrawing_the_grant(self, launches: Launching) -> None:
        """rule A13"""
        launch = begun(launches)
        told = launch.tokens()
        grants = launches.kept.grants
        (grant,) = grants.of(launch.session.subject.sub)
        ended = grants.withdraw(grant.id)
        assert ended and ended.status == "withdrawn"
        assert self.dead(launches, launch, told)
        assert grants.withdraw(grant.id) is None

    def test_withdrawing_a_part(self, launches: Launching) -> None:
        """smart-app-launch: a row of a grant; what is left goes on, and is no more after a refresh"""
        scope = "launch/patient patient/Patient.rs patient/Observation.rs offline_access"
        launch = begun(launches, scope=scope)
        told = launch.tokens()
        caller = launches.caller(told["access_token"])
        assert caller("GET", "Observation").status_code == 200
        grants = launches.kept.grants
        (grant,) = grants.of(launch.session.subject.sub)
        from fhir_server.smart import offer

        rows = offer.rows(grant.scope)
        of_patient = {row.id for row in rows if "Patient" in row.types} | {row.id for row in rows if row.words}
        left = grants.withdraw(grant.id, frozenset(row.id for row in rows if row.id not in of_patient))
        assert left and "patient/Observation.rs" not in left.scope
        assert caller("GET", "Observation").status_code == 403
        assert caller("GET", "Patient").status_code == 200
        again = launch.refresh(told["refresh_token"]).json
        assert "Observation" not in again["scope"]

    def test_revoking_the_access_token(self, launches: Launching) -> None:
        """RFC 7009 s. 2"""
        launch = begun(launches)
        told = launch.tokens()
        form = {"token": told["access_token"], "client_id": launch.client.client_id}
        assert launches.post("/oauth/revoke", form).status_code == 200
        assert launches.caller(told["access_token"])("GET", "Patient").status_code == 401

    def test_revoking_the_refresh_token(self, launches: Launching) -> None:
        """RFC 7009 s. 2.1: and the access tokens that were made with it"""
        launch = begun(launches)
        told = launch.tokens()
        form = {"token": told["refresh_token"], "client_id": launch.client.client_id}
        assert launches.post("/oauth/revoke", form).status_code == 200
        assert self.dead(launches, launch, told)

    def test_all_that_hangs_on_a_person(self, launches: Launching) -> None:
        """RFC 9700 s. 4.14.2: a changed password, a closed account"""
        launch = begun(launches)
        told = launch.tokens()
        launches.kept.end_of(launch.session.subject.sub)
        assert self.dead(launches, launch, told)
        assert launches.kept.sessions.alive(launch.session.id) is None

    def test_of_a_grant_by_a_process_that_ends_on_the_way(self, launches: Launching) -> None:
        """RFC 9700 s. 4.14.2: what is kept of the grant and what its tokens open are never apart"""
        launch = begun(launches)
        told = launch.tokens()

        def crash(grant: Any, write: Any) -> None:
            alone(grant, write)
            raise Crash

        settings = Settings(mongodb_database=launches.name)
        dying = application.kept_for_smart(launches.database, settings, BASE, clock=launches.clock, together=crash)
        (grant,) = dying.grants.of(launch.session.subject.sub)
        with pytest.raises(Crash):
            dying.grants.withdraw(grant.id)
        assert self.dead(launches, launch, told)

    def test_of_a_client_by_a_process_that_ends_on_the_way(self, launches: Launching) -> None:
        """smart-app-launch: a suspension holds wherever the process that was told to ended"""

        class Dying(Clients):
            def _become(self, status: Any, client_id: str) -> None:
                super()._become(status, client_id)
                raise Crash

        launch = begun(launches)
        told = launch.tokens()
        with pytest.raises(Crash):
            Dying(launches.database, launches.clock).suspend(launch.client.client_id)
        assert self.dead(launches, launch, told)

    def test_narrowing_by_many_at_once(self, launches: Launching) -> None:
        """smart-app-launch: none of those who take a part away brings back what another has taken"""
        types = ["Condition", "Observation", "Procedure", "Immunization", "Encounter", "Patient", "CarePlan", "Device"]
        kept = [f"patient/{type}.rs" for type in types]
        launch = begun(launches, scope=" ".join(("launch/patient", *kept, "patient/List.rs")))
        told = launch.tokens()
        (grant,) = launches.kept.grants.of(launch.session.subject.sub)
        tokens = launches.kept.tokens
        with ThreadPoolExecutor(len(kept)) as pool:
            without = [" ".join(word for word in grant.scope.split() if word != taken) for taken in kept]
            list(pool.map(lambda scope: tokens.narrow(grant.id, scope), without))
        left = tokens.find(told["access_token"])
        assert left and left["scope"].split() == ["launch/patient", "patient/List.rs"]

    def test_a_token_is_not_issued_on_what_has_ended(self, launches: Launching) -> None:
        """smart-app-launch: inserted first and asked about then, so that no order of the two leaves it alive"""
        launch = begun(launches)
        launch.tokens()
        launches.kept.clients.suspend(launch.client.client_id)
        on = launches.kept.tokens
        from fhir_server.access import Actor

        with pytest.raises(NotIssued):
            on.issue(Actor("patient", "x", (), client_id=launch.client.client_id), "patient/*.rs", timedelta(minutes=1))
        assert not launches.database["_tokens"].find_one({"client_id": launch.client.client_id, "status": "live"})


class TestEhrLaunch:
    """SMART 2.2 app-launch.html: a professional's software opens an app in a patient's context."""

    @pytest.fixture
    def software(self, launches: Launching) -> tuple[Any, str]:
        """A professional's session, and a token of the software in use."""
        client = launches.register(audience="professional", scope="user/*.cruds openid fhirUser online_access")
        session = launches.sign_in(practitioner=f"dr-ehr-{client.client_id[-6:]}")
        return session, launches.launch(client, session).tokens(lasting=None)["access_token"]

    def app(self, launches: Launching, **changes: Any) -> Any:
        made = {"audience": "professional", "launch_uri": "https://app.example/launch", "scope": "launch patient/*.rs"}
        return launches.register(**{**made, **changes})

    def open(self, launches: Launching, token: str, **body: Any) -> Any:
        client = launches.app.test_client()
        bearer = {"Authorization": f"Bearer {token}"}
        return client.post("/oauth/launch", json=body, headers=bearer, base_url=f"{ISSUER}/")

    def test_the_app_gets_the_context(self, launches: Launching, software: tuple[Any, str]) -> None:
        """SMART 2.2 scopes-and-launch-context.html: patient, encounter, intent, need_patient_banner, fhirContext"""
        session, token = software
        app = self.app(launches)
        context = [{"reference": "DocumentReference/1"}]
        asked = {"patient": "p-1", "encounter": "e-1", "intent": "summary", "need_patient_banner": False}
        opened = self.open(launches, token, client_id=app.client_id, fhirContext=context, **asked)
        assert opened.status_code == 201, opened.text
        assert opened.json["iss"] == BASE
        assert opened.json["url"].startswith("https://app.example/launch?iss=")
        launch = launches.launch(app, session, launch=opened.json["launch"])
        told = launch.tokens(lasting=None)
        assert {name: told[name] for name in asked} == asked
        assert told["fhirContext"] == context
        # The launch is for one use.
        assert (
            launches.launch(app, session, launch=opened.json["launch"]).begin().headers["Location"].startswith(REDIRECT)
        )

    def test_the_name_of_the_patient_is_for_who_may_see_it(
        self, launches: Launching, software: tuple[Any, str]
    ) -> None:
        """rule A18: nobody learns names by making up ids; whose own record it is sees it on the page"""
        session, token = software
        app, patient = self.app(launches), launches.patient()
        value = self.open(launches, token, client_id=app.client_id, patient=patient).json["launch"]
        assert launches.launch(app, session, launch=value).asked().display is None
        account = launches.person(patient)
        own = launches.launch(launches.register(), launches.sign_in(account))
        portal = own.tokens(lasting=None)["access_token"]
        mine = self.app(launches, audience="patient")
        value = self.open(launches, portal, client_id=mine.client_id).json["launch"]
        kept = launches.kept.launches.claim(value, mine.client_id)
        assert kept and kept["patient"] == patient and kept["display"]

    def test_a_launch_is_of_one_person_and_one_app(self, launches: Launching, software: tuple[Any, str]) -> None:
        """SMART 2.2: app-launch.html"""
        from fhir_server.smart.authorization import Refused

        session, token = software
        app, other = self.app(launches), self.app(launches)
        value = self.open(launches, token, client_id=app.client_id, patient="p-1").json["launch"]
        told = launches.launch(other, session, launch=value).begin()
        assert told.headers["Location"].startswith(REDIRECT)
        launch = launches.launch(app, launches.sign_in(practitioner="dr-other"), launch=value)
        request = launch.asked()
        with pytest.raises(Refused) as refused:
            launches.smart.authorization.step(request, launch.session)
        assert refused.value.error == "invalid_request"

    def test_a_launch_is_past_after_five_minutes(self, launches: Launching, software: tuple[Any, str]) -> None:
        """SMART 2.2 app-launch.html: short-lived"""
        session, token = software
        app = self.app(launches)
        value = self.open(launches, token, client_id=app.client_id, patient="p-1").json["launch"]
        launches.clock.ahead = timedelta(minutes=6)
        try:
            told = launches.launch(app, session, launch=value).begin()
            assert told.headers["Location"].startswith(REDIRECT)
        finally:
            launches.clock.ahead = timedelta()

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"patient": "p-1"},
            {"client_id": {"$gt": ""}, "patient": "p-1"},
            {"client_id": "app-nobody", "patient": "p-1"},
            {"client_id": "APP"},
            {"client_id": "APP", "patient": "../x"},
            {"client_id": "APP", "patient": "p-1", "intent": 5},
            {"client_id": "APP", "patient": "p-1", "fhirContext": {"reference": "x"}},
            {"client_id": "APP", "patient": "p-1", "fhirContext": [{"reference": "Patient/1"}]},
            {"client_id": "APP", "patient": "p-1", "fhirContext": [{"role": "x"}]},
            {"client_id": "APP", "patient": "p-1", "more": 1},
        ],
    )
    def test_what_is_wrong_opens_nothing(
        self, launches: Launching, software: tuple[Any, str], body: dict[str, Any]
    ) -> None:
        """SMART 2.2: app-launch.html: registered apps only, in contexts that can be"""
        app = self.app(launches)
        sent = {name: app.client_id if value == "APP" else value for name, value in body.items()}
        answer = self.open(launches, software[1], **sent)
        assert (answer.status_code, answer.json["error"]) == (400, "invalid_request")

    def test_an_app_without_a_launch_address_is_not_opened(
        self, launches: Launching, software: tuple[Any, str]
    ) -> None:
        """SMART 2.2: app-launch.html: nor one of patients"""
        for app in (self.app(launches, launch_uri=None), self.app(launches, audience="patient")):
            assert self.open(launches, software[1], client_id=app.client_id, patient="p-1").status_code == 400

    def test_who_has_no_token_opens_nothing(self, launches: Launching) -> None:
        """RFC 6750 s. 3"""
        assert self.open(launches, "never-made", client_id="x").status_code == 401


def test_the_challenge_is_made_of_the_verifier(launches: Launching) -> None:
    """RFC 7636 appendix B: the example of the standard is taken"""
    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
    assert challenge == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    launch = begun(launches)
    launch.verifier = verifier
    assert launch.redeem(launch.code()).status_code == 200


@pytest.mark.parametrize("path", ["/oauth/token", "/oauth/authorize", "/oauth/par", "/oauth/revoke", "/oauth/logout"])
def test_a_form_beyond_all_measure_is_not_read(launches: Launching, path: str) -> None:
    """OWASP ASVS 5.0: 4.3.1: whoever sends it, a form of some hundred thousand fields would hold a process for long"""
    client = launches.app.test_client()
    kind = "application/x-www-form-urlencoded"
    answer = client.post(path, data=b"a&" * 200_000, content_type=kind, base_url=f"{ISSUER}/")
    assert answer.status_code == 413
    assert client.post(path, data=b"a&" * 50_000, content_type=kind, base_url=f"{ISSUER}/").status_code != 413
    bundle = {"resourceType": "Bundle", "type": "batch", "implicitRules": "urn:" + "a" * 400_000}
    assert launches.served().caller()("POST", "", bundle).status_code != 413
