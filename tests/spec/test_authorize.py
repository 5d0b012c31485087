"""The authorization endpoint: what is refused where, what is kept, and which page is due.

RFC 6749 s. 4.1; RFC 7636; RFC 9126; RFC 9207; RFC 9700; OpenID Connect Core s. 3.1.2; SMART 2.2: app-launch.html
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from fhir_server.accounts.rates import Rate
from fhir_server.smart.authorization import AuthorizationError, Refused
from tests.calls import BASE
from tests.launches import ISSUER, REDIRECT, SCOPE, Launching, answered

CHALLENGE = "x" * 43


def error_of(answer: Any) -> dict[str, str]:
    """What the client is told of, at the redirect URI that it asked for."""
    assert answer.status_code == 303, answer.text
    assert answer.headers["Location"].startswith(REDIRECT)
    return answered(answer.headers["Location"])


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_request_is_kept_here_and_the_browser_gets_a_name(launches: Launching, method: str) -> None:
    """SMART 2.2 app-launch.html: GET or POST; 303 to a page of this server, with nothing of the request in it"""
    launch = launches.launch(launches.register())
    answer = launch.begin(method)
    assert answer.status_code == 303
    where = answer.headers["Location"]
    assert where.startswith(f"{ISSUER}/authorize/")
    assert launch.state not in where and "?" not in where
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize(
    "given",
    [
        {"client_id": "app-nobody"},
        {"client_id": None},
        {"redirect_uri": None},
        {"redirect_uri": f"{REDIRECT}/more"},
        {"redirect_uri": f"{REDIRECT}?more=1"},
        {"redirect_uri": f"{REDIRECT}#more"},
        {"redirect_uri": REDIRECT[:-1]},
        {"redirect_uri": REDIRECT.replace("app.example", "app.example.evil.example")},
        {"redirect_uri": REDIRECT.replace("https://", "https://app.example@evil.example/")},
        {"redirect_uri": REDIRECT.replace("app.example", "app.example:8443")},
        {"redirect_uri": REDIRECT.replace("app.example", "APP.example")},
        {"redirect_uri": REDIRECT.replace("https", "http")},
        {"redirect_uri": REDIRECT.replace("/callback", "\\callback")},
        {"redirect_uri": REDIRECT.replace("/callback", "//callback")},
        {"redirect_uri": REDIRECT.replace("/callback", "%2Fcallback")},
        {"redirect_uri": REDIRECT.replace("app.example", "äpp.example")},
        {"redirect_uri": "javascript:alert(1)"},
    ],
)
def test_nothing_is_sent_to_where_nobody_is_registered(launches: Launching, given: dict[str, Any]) -> None:
    """RFC 6749 s. 4.1.2.1; RFC 9700 s. 2.1: a page of this server, 400, and no redirect"""
    answer = launches.launch(launches.register(), **given).begin()
    assert answer.status_code == 400
    assert "Location" not in answer.headers
    assert "evil" not in answer.text


@pytest.mark.parametrize("name", ["client_id", "redirect_uri"])
def test_two_clients_are_no_client(launches: Launching, name: str) -> None:
    """RFC 6749 s. 3.1: a parameter is there once"""
    launch = launches.launch(launches.register())
    given = launch.parameters()
    answer = launches.get("/oauth/authorize", [*given.items(), (name, given[name])])
    assert answer.status_code == 400


@pytest.mark.parametrize("status", ["pending", "suspended"])
def test_a_client_that_is_not_live_is_none(launches: Launching, status: str) -> None:
    """smart-app-launch: an app that waits to be looked at, or was stopped"""
    assert launches.launch(launches.register(status=status)).begin().status_code == 400


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"response_type": None}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": "code id_token"}, "unsupported_response_type"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"aud": None}, "invalid_request"),
        ({"aud": "https://another.example/fhir"}, "invalid_request"),
        ({"aud": f"{BASE}/Patient"}, "invalid_request"),
        ({"aud": f"{BASE}//"}, "invalid_request"),
        ({"aud": BASE.upper()}, "invalid_request"),
        ({"aud": ISSUER}, "invalid_request"),
        ({"resource": "https://another.example/fhir"}, "invalid_request"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge": None, "code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": "s256"}, "invalid_request"),
        ({"code_challenge": "x" * 42}, "invalid_request"),
        ({"code_challenge": "x" * 44}, "invalid_request"),
        ({"code_challenge": ""}, "invalid_request"),
        ({"scope": None}, "invalid_scope"),
        ({"scope": "patient/Observation.sr"}, "invalid_scope"),
        ({"scope": "patient/Observation."}, "invalid_scope"),
        ({"scope": "patient/Observation"}, "invalid_scope"),
        ({"scope": "system/Observation.rs"}, "invalid_scope"),
        ({"scope": "patient/Observation.rs?category:in=x"}, "invalid_scope"),
        ({"scope": "patient/Observation.rs?subject.name=x"}, "invalid_scope"),
        ({"scope": "patient/Observation.rs?_filter=code eq x"}, "invalid_scope"),
        ({"scope": "patient/Observation.rs?nonsense=x"}, "invalid_scope"),
        ({"scope": "patient/*.rs?category=x"}, "invalid_scope"),
        ({"scope": "patient/Weather.rs"}, "invalid_scope"),
        ({"scope": "user/Patient.rs"}, "invalid_scope"),
        ({"scope": "launch/patient offline_access"}, "invalid_scope"),
        ({"scope": "__bris_de_glace launch/patient patient/*.rs"}, None),
        ({"scope": 'patient/*.rs "quoted"'}, "invalid_scope"),
        ({"scope": "launch patient/*.rs"}, "invalid_request"),
        ({"scope": "launch patient/*.rs", "launch": "never-made"}, "invalid_request"),
        ({"launch": "without-the-scope"}, "invalid_request"),
        ({"prompt": "none login"}, "invalid_request"),
        ({"prompt": "create"}, "invalid_request"),
        ({"max_age": "soon"}, "invalid_request"),
        ({"request": "eyJhbGciOiJub25lIn0.e30."}, "request_not_supported"),
        ({"nonce": "n" * 1025}, "invalid_request"),
        ({"dpop_jkt": "short"}, "invalid_request"),
    ],
)
def test_a_request_that_is_wrong_is_told_to_the_client(
    launches: Launching, given: dict[str, Any], error: str | None
) -> None:
    """RFC 6749 s. 4.1.2.1; RFC 7636 s. 4.4.1; RFC 9207 s. 2: each error with the state, and who tells it"""
    launch = launches.launch(launches.register(), **given)
    if error is None:
        # A mode that the client is not registered with is left out, as any scope is.
        assert launch.begin().headers["Location"].startswith(ISSUER)
        return
    told = error_of(launch.begin())
    assert told["error"] == error
    assert told["state"] == launch.state
    assert told["iss"] == ISSUER
    assert "code" not in told
    for value in given.values():
        assert value is None or len(value) < 8 or value not in told["error_description"]


@pytest.mark.parametrize("state", [None, "", "short", "x" * 15, "é" * 20, "x" * 2049])
def test_a_state_that_protects_from_nothing_is_refused(launches: Launching, state: str | None) -> None:
    """SMART 2.2 app-launch.html: state is required, and cannot be guessed"""
    told = error_of(launches.launch(launches.register(), state=state).begin())
    assert told["error"] == "invalid_request"
    assert told["iss"] == ISSUER


def test_a_parameter_that_is_there_twice_is_refused(launches: Launching) -> None:
    """RFC 6749 s. 3.1; of two states none is sent back"""
    launch = launches.launch(launches.register())
    for name in ("scope", "state", "aud", "code_challenge", "code_challenge_method", "nonce"):
        given = [*launch.parameters().items(), (name, "another-one-of-sixteen"), ("nonce", "n")]
        told = error_of(launches.get("/oauth/authorize", given))
        assert told["error"] == "invalid_request"
        assert ("state" in told) == (name != "state")


def test_the_query_of_a_post_is_no_part_of_it(launches: Launching) -> None:
    """RFC 6749 s. 3.1: parameters in the body, and nowhere else"""
    launch = launches.launch(launches.register())
    answer = launches.post("/oauth/authorize?prompt=none", launch.parameters())
    assert answer.status_code == 400


@pytest.mark.parametrize("given", [{"aud": f"{BASE}/"}, {"aud": None, "resource": BASE}, {"resource": f"{BASE}/"}])
def test_the_audience_may_end_in_a_slash_and_be_called_resource(launches: Launching, given: dict[str, Any]) -> None:
    """SMART 2.2 app-launch.html: aud; RFC 8707 s. 2"""
    assert launches.launch(launches.register(), **given).begin().headers["Location"].startswith(ISSUER)


def test_a_redirect_uri_keeps_its_own_query(launches: Launching) -> None:
    """RFC 6749 s. 3.1.2: "MAY include a query component, which MUST be retained" """
    client = launches.register(redirect_uris=(f"{REDIRECT}?tenant=1",))
    told = error_of(launches.launch(client, aud=None).begin())
    assert told["tenant"] == "1" and told["error"] == "invalid_request"


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        ("openid launch/patient patient/Weather.rs patient/Patient.rs", "openid launch/patient patient/Patient.rs"),
        ("patient/Observation.cruds", "patient/Observation.rs"),
        ("patient/*.read", "patient/*.read"),
        ("patient/Patient.* openid profile", "patient/Patient.read openid"),
        ("launch/questionnaireresponse openid", "openid"),
        ("patient/Patient.rs patient/Patient.rs", "patient/Patient.rs"),
        ("patient/Patient.rs __bris_de_glace", "patient/Patient.rs"),
    ],
)
def test_what_a_client_may_never_have_is_left_out(launches: Launching, asked: str, kept: str) -> None:
    """RFC 6749 s. 3.3: "fully or partially ignore the scope requested"; SMART 2.2: v1 scopes in their own words"""
    account = launches.person()
    launch = launches.launch(launches.register(scope="patient/*.rs"), launches.sign_in(account), scope=asked)
    assert set(launch.asked().scope.split()) == set(kept.split())


def test_a_code_comes_back_with_the_state_and_who_sent_it(launches: Launching) -> None:
    """RFC 6749 s. 4.1.2; RFC 9207 s. 2"""
    launch = launches.launch(launches.register(), launches.sign_in(launches.person()))
    back = launch.back()
    assert back["state"] == launch.state and back["iss"] == ISSUER and len(back["code"]) >= 43


def test_who_refuses_is_told_to_the_client(launches: Launching) -> None:
    """RFC 6749 s. 4.1.2.1: access_denied"""
    launch = launches.launch(launches.register(), launches.sign_in(launches.person()))
    request = launch.asked()
    with launches.app.test_request_context():
        told = answered(launches.smart.authorization.refuse(request, launch.session))
    assert (told["error"], told["state"], told["iss"]) == ("access_denied", launch.state, ISSUER)


def test_nothing_ticked_is_nothing_granted(launches: Launching) -> None:
    """smart-app-launch: whoever takes every box away has refused"""
    client = launches.register(scope="launch/patient patient/*.rs")
    told = launches.launch(client, launches.sign_in(launches.person())).back(ticked=set())
    assert told["error"] == "access_denied" and "code" not in told


def test_a_request_is_of_one_session(launches: Launching) -> None:
    """RFC 9700 s. 4.7: the name of another's request opens nothing"""
    launch = launches.launch(launches.register(), launches.sign_in(launches.person()))
    name = launch.request_id()
    authorization = launches.smart.authorization
    authorization.find(name, launch.session)
    with pytest.raises(AuthorizationError):
        authorization.find(name, launches.sign_in(launches.person()))


def test_a_decision_is_made_once(launches: Launching) -> None:
    """RFC 6749 s. 4.1.2: twenty decisions at once give one code"""
    launch = launches.launch(launches.register(), launches.sign_in(launches.person()))
    request = launch.asked()
    authorization = launches.smart.authorization

    def decide(_: int) -> str | None:
        with launches.app.test_request_context():
            try:
                return answered(authorization.grant(request, launch.session, frozenset({"other-read"}))).get("code")
            except AuthorizationError:
                return None

    with ThreadPoolExecutor(20) as pool:
        assert len([code for code in pool.map(decide, range(20)) if code]) <= 1
    with pytest.raises(AuthorizationError):
        authorization.find(request.id, launch.session)


def test_a_request_is_past_after_ten_minutes(launches: Launching) -> None:
    """OWASP ASVS 5.0: a step that is not taken is over"""
    launch = launches.launch(launches.register(), launches.sign_in(launches.person()))
    request = launch.asked()
    launches.clock.ahead = timedelta(minutes=11)
    try:
        with pytest.raises(AuthorizationError):
            launches.smart.authorization.find(request.id, launch.session)
    finally:
        launches.clock.ahead = timedelta()


def test_a_client_that_is_suspended_on_the_way_gets_nothing(launches: Launching) -> None:
    """smart-app-launch: suspended between the request and the decision"""
    client = launches.register()
    launch = launches.launch(client, launches.sign_in(launches.person()))
    request = launch.asked()
    launches.kept.clients.suspend(client.client_id)
    with launches.app.test_request_context(), pytest.raises(AuthorizationError):
        launches.smart.authorization.grant(request, launch.session, frozenset())


def test_what_was_chosen_on_the_pages_cannot_be_another_s(launches: Launching) -> None:
    """RFC 6749 s. 10.2: a record that is not the account's, or in another capacity, is refused"""
    account, stranger = launches.person("own-1", "child-1"), launches.person()
    launch = launches.launch(launches.register(), launches.sign_in(account))
    request, authorization = launch.asked(), launches.smart.authorization
    assert authorization.step(request, launch.session) == "patient"
    for patient, relation in ((stranger.profiles[0].patient, None), ("child-1", "self"), ("own-1", "caregiver")):
        with pytest.raises(AuthorizationError):
            authorization.choose_patient(request, launch.session, patient, relation)
    chosen = authorization.choose_patient(request, launch.session, "child-1")
    assert (chosen.person, chosen.relation) == ("RelatedPerson/child-1-rep", "legal-representative")
    assert authorization.step(chosen, launch.session) == "consent"


def test_what_is_decided_on_is_what_was_shown(launches: Launching) -> None:
    """RFC 6749 s. 10.2: in another tab another record was chosen since; nothing is granted in either"""
    own, child = launches.patient(), launches.patient()
    launch = launches.launch(launches.register(), launches.sign_in(launches.person(own, child)))
    authorization = launches.smart.authorization
    shown = authorization.choose_patient(launch.asked(), launch.session, own)
    authorization.choose_patient(shown, launch.session, child)
    with launches.app.test_request_context(), pytest.raises(AuthorizationError):
        authorization.grant(shown, launch.session, frozenset({"other-read"}))
    assert not launches.kept.grants.of(launch.session.subject.sub)


def test_a_choice_is_not_the_next_person_s(launches: Launching) -> None:
    """RFC 6749 s. 10.2: another person signs in, in the same session, after a record was chosen"""
    launch = launches.launch(launches.register(), launches.sign_in(launches.person("own-2", "child-2")))
    authorization = launches.smart.authorization
    request = authorization.choose_patient(launch.asked(), launch.session, "child-2")
    other = launches.person("own-3", "child-3")
    subject = launches.sign_in(other).subject
    sessions = launches.kept.sessions
    _, now = sessions.rotate(launch.session, subject=subject, auth_time=launches.clock())
    found = authorization.find(request.id, now)
    assert authorization.step(found, now) == "patient"
    with launches.app.test_request_context(), pytest.raises(AuthorizationError):
        authorization.grant(found, now, frozenset({"other-read"}))


def test_one_record_alone_is_chosen_by_itself(launches: Launching) -> None:
    """smart-app-launch: nobody is asked what there is nothing to choose from"""
    account = launches.person()
    launch = launches.launch(launches.register(), launches.sign_in(account))
    assert launch.asked().patient == account.profiles[0].patient


def _steps(launches: Launching, **given: Any) -> str | None:
    launch = launches.launch(launches.register(**given.pop("client", {})), given.pop("session"), **given)
    return launches.smart.authorization.step(launch.asked(), launch.session)


def test_which_page_is_due(launches: Launching) -> None:
    """SMART 2.2 scopes-and-launch-context.html: launch/patient, launch/encounter, and patient/ scopes"""
    person, nobody = launches.sign_in(launches.person()), launches.kept.sessions.start()[1]
    doctor = launches.sign_in(practitioner="dr-steps")
    software = {"audience": "professional", "scope": "user/*.cruds patient/*.rs __bris_de_glace __centre_15"}
    assert _steps(launches, session=nobody) == "sign-in"
    assert _steps(launches, session=doctor) == "sign-in"
    assert _steps(launches, session=person, client=software, scope="user/*.rs") == "sign-in"
    assert _steps(launches, session=person) == "consent"
    assert _steps(launches, session=person, scope="launch/encounter patient/*.rs") == "encounter"
    assert _steps(launches, session=person, max_age="3600") == "consent"
    assert _steps(launches, session=doctor, client=software, scope="user/*.rs") == "consent"
    assert _steps(launches, session=doctor, client=software, scope="launch/patient user/*.rs") == "patient"
    assert _steps(launches, session=doctor, client=software, scope="patient/*.rs") == "patient"


def test_a_sign_in_is_as_fresh_as_the_client_asks(launches: Launching) -> None:
    """OIDC Core s. 3.1.2.1: prompt=login and max_age; rule A10: an emergency, five minutes"""
    session = launches.sign_in(launches.person())
    doctor = launches.sign_in(practitioner="dr-fresh", profession="10")
    software = {"audience": "professional", "scope": "user/*.rs __bris_de_glace"}
    launches.clock.ahead = timedelta(minutes=2)
    try:
        assert _steps(launches, session=doctor, client=software, scope="user/*.rs") == "consent"
        assert _steps(launches, session=doctor, client=software) == "patient"
        assert _steps(launches, session=session, prompt="login") == "sign-in"
        assert _steps(launches, session=session, max_age="60") == "sign-in"
        assert _steps(launches, session=session, max_age="0") == "sign-in"
        assert _steps(launches, session=session, max_age="600") == "consent"
        late = launches.launch(launches.register(), session, max_age="0")
        request = late.asked()
        again = launches.kept.sessions.rotate(session, auth_time=launches.clock())[1]
        assert _steps(launches, session=again, max_age="60") == "consent"
        # Whoever has signed in for this request need not do so twice.
        assert launches.smart.authorization.step(request, again) == "consent"
        launches.clock.ahead = timedelta(minutes=6)
        assert _steps(launches, session=doctor, client=software) == "sign-in"
    finally:
        launches.clock.ahead = timedelta()


@pytest.mark.parametrize(
    ("session", "scope", "error"),
    [
        (lambda at: at.kept.sessions.start()[1], SCOPE, "login_required"),
        (lambda at: at.sign_in(at.person("own-4", "child-4")), SCOPE, "interaction_required"),
        (lambda at: at.sign_in(at.person()), SCOPE, "consent_required"),
    ],
)
def test_no_page_is_shown_where_none_may_be(
    launches: Launching, session: Callable[[Launching], Any], scope: str, error: str
) -> None:
    """OIDC Core s. 3.1.2.6: prompt=none"""
    launch = launches.launch(launches.register(kind="symmetric"), session(launches), scope=scope, prompt="none")
    request = launch.asked()
    with pytest.raises(Refused) as refused:
        launches.smart.authorization.step(request, launch.session)
    told = answered(refused.value.redirect)
    assert (told["error"], told["state"], told["iss"]) == (error, launch.state, ISSUER)


def test_an_app_with_a_secret_that_asks_no_more_is_not_asked_about_again(launches: Launching) -> None:
    """OIDC Core s. 3.1.2.4; RFC 8252 s. 8.6: a public client always is"""
    session = launches.sign_in(launches.person())
    authorization = launches.smart.authorization
    for kind, due in (("symmetric", None), ("public", "consent")):
        client = launches.register(kind=kind)
        launches.launch(client, session).code()
        again = launches.launch(client, session)
        request = again.asked()
        assert authorization.step(request, session) == due
    client = launches.register(kind="symmetric", scope=f"{SCOPE} patient/Observation.cruds")
    launches.launch(client, session, scope=SCOPE).code()
    assert authorization.step(launches.launch(client, session).asked(), session) == "consent"
    less = launches.launch(client, session, scope="launch/patient patient/Observation.rs", prompt="none")
    request = less.asked()
    with launches.app.test_request_context():
        assert authorization.step(request, session) is None
        assert "code" in answered(authorization.regrant(request, session))
    with launches.app.test_request_context(), pytest.raises(AuthorizationError):
        asked = launches.launch(client, session).asked()
        authorization.regrant(asked, session)


class TestEmergency:
    """The access modes: for professionals, in one record, for reading, with a reason, and over in an hour."""

    SCOPE = "launch/patient user/*.cruds offline_access online_access openid fhirUser"

    def ask(self, launches: Launching, word: str, **subject: Any) -> Any:
        scope = f"{self.SCOPE} {word}"
        client = launches.register(audience="professional", scope=scope)
        launch = launches.launch(client, None)
        name = launch.request_id()
        launch.session = launches.sign_in(practitioner="dr-emergency", **subject)
        return launch, launches.smart.authorization.find(name, launch.session)

    def test_is_for_the_software_of_professionals(self, launches: Launching) -> None:
        """docs/access.md: the words are no patient's"""
        client = launches.register(scope="patient/*.rs __bris_de_glace")
        told = error_of(launches.launch(client, scope="launch/patient patient/*.rs __bris_de_glace").begin())
        assert told["error"] == "invalid_scope"

    def test_two_at_once_are_none(self, launches: Launching) -> None:
        """rule A10 and A11: one mode, one purpose"""
        scope = "user/*.rs __bris_de_glace __centre_15"
        told = error_of(launches.launch(launches.register(audience="professional", scope=scope)).begin())
        assert told["error"] == "invalid_scope"

    def test_needs_the_right_that_the_identity_provider_asserts(self, launches: Launching) -> None:
        """rule A11: regulators only"""
        launch, request = self.ask(launches, "__centre_15")
        with launches.app.test_request_context(), pytest.raises(Refused) as refused:
            launches.smart.authorization.step(request, launch.session)
        assert answered(refused.value.redirect)["error"] == "access_denied"
        launch, request = self.ask(launches, "__centre_15", regulator=True, profession="10")
        assert launches.smart.authorization.step(request, launch.session) == "patient"

    def test_needs_a_patient_and_a_reason_and_gives_a_token_that_ends(self, launches: Launching) -> None:
        """rule A10: one patient, read only, at most one hour, no refresh"""
        launch, request = self.ask(launches, "__bris_de_glace", profession="10")
        patient = launches.patient()
        authorization = launches.smart.authorization
        assert authorization.step(request, launch.session) == "patient"
        request = authorization.choose_patient(request, launch.session, patient, display="Someone")
        assert authorization.step(request, launch.session) == "emergency"
        with launches.app.test_request_context(), pytest.raises(AuthorizationError):
            authorization.grant(request, launch.session, frozenset())
        with pytest.raises(AuthorizationError):
            authorization.declare_emergency(request, launch.session, "life-threat", "  ")
        request = authorization.declare_emergency(request, launch.session, "cannot-consent", "unconscious")
        again = authorization.choose_patient(request, launch.session, "another")
        assert authorization.step(again, launch.session) == "emergency"
        request = authorization.choose_patient(again, launch.session, patient, display="Someone")
        request = authorization.declare_emergency(request, launch.session, "cannot-consent", "unconscious")
        assert authorization.step(request, launch.session) is None
        with launches.app.test_request_context():
            back = answered(authorization.regrant(request, launch.session))
        tokens = launch.redeem(back["code"]).json
        assert "refresh_token" not in tokens
        assert tokens["expires_in"] <= 3600
        assert tokens["patient"] == patient
        assert "user/*.rs" in tokens["scope"].split() and "offline_access" not in tokens["scope"]
        kept = launches.kept.tokens.find(tokens["access_token"])
        assert kept and (kept["mode"], kept["patient"]) == ("bris_de_glace", patient)
        assert kept["reason"] == "La personne ne peut pas exprimer sa volonté : unconscious"


@pytest.mark.parametrize("endpoint", ["/oauth/authorize", "/oauth/par"])
def test_one_address_begins_only_so_many(launches: Launching, monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    """RFC 6749 s. 10.10, RFC 9126 s. 7: each is kept for minutes, and anybody may begin one"""
    monkeypatch.setattr("fhir_server.smart.blueprint.BEGUN", Rate(secrets.token_hex(4), 3, timedelta(minutes=1)))
    launch = launches.launch(launches.register())
    answers = [launches.post(endpoint, launch.parameters()) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [303 if "authorize" in endpoint else 201] * 3 + [429] * 2
    kept = launches.database["_requests"].count_documents({"client_id": launch.client.client_id})
    assert kept == 3


class TestPushed:
    """RFC 9126: the client sends the request itself, and the browser carries a reference to it."""

    def test_a_pushed_request_is_begun_once(self, launches: Launching) -> None:
        """RFC 9126 s. 2.2, s. 4, s. 7.3"""
        client = launches.register()
        launch = launches.launch(client)
        answer = launches.post("/oauth/par", launch.parameters())
        assert answer.status_code == 201
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.json["expires_in"] == 60
        asked = {"client_id": client.client_id, "request_uri": answer.json["request_uri"], "scope": "patient/*.cruds"}
        begun = launches.get("/oauth/authorize", asked)
        assert begun.headers["Location"].startswith(f"{ISSUER}/authorize/")
        assert launches.get("/oauth/authorize", asked).status_code == 400

    def test_a_pushed_request_is_of_its_client(self, launches: Launching) -> None:
        """RFC 9126 s. 2.2: "bound to the client that posted" """
        launch = launches.launch(launches.register())
        uri = launches.post("/oauth/par", launch.parameters()).json["request_uri"]
        other = {"client_id": launches.register().client_id, "request_uri": uri}
        assert launches.get("/oauth/authorize", other).status_code == 400

    def test_a_pushed_request_is_past_after_a_minute(self, launches: Launching) -> None:
        """RFC 9126 s. 2.2: expires_in"""
        launch = launches.launch(launches.register())
        uri = launches.post("/oauth/par", launch.parameters()).json["request_uri"]
        launches.clock.ahead = timedelta(seconds=61)
        try:
            asked = {"client_id": launch.client.client_id, "request_uri": uri}
            assert launches.get("/oauth/authorize", asked).status_code == 400
        finally:
            launches.clock.ahead = timedelta()

    @pytest.mark.parametrize(
        ("given", "error"),
        [
            ({"aud": None}, "invalid_request"),
            ({"scope": "patient/X.sr"}, "invalid_scope"),
            ({"code_challenge_method": "plain"}, "invalid_request"),
            ({"redirect_uri": "https://evil.example/"}, "invalid_request"),
            ({"request_uri": "urn:x"}, "invalid_request"),
        ],
    )
    def test_what_is_wrong_is_told_at_once(self, launches: Launching, given: dict[str, Any], error: str) -> None:
        """RFC 9126 s. 2.3"""
        answer = launches.post("/oauth/par", launches.launch(launches.register(), **given).parameters())
        assert (answer.status_code, answer.json["error"]) == (400, error)

    def test_a_client_with_a_secret_authenticates_itself(self, launches: Launching) -> None:
        """RFC 9126 s. 2.1"""
        launch = launches.launch(launches.register(kind="symmetric"))
        answer = launches.post("/oauth/par", launch.parameters())
        assert (answer.status_code, answer.json["error"]) == (401, "invalid_client")
