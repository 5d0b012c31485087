"""Signing in through Pro Santé Connect: what is believed of the provider, and who its claims are in the directory.

OpenID Connect Core s. 3.1.2.7, s. 3.1.3.7, s. 5.3.4; RFC 9207; RFC 7636; RP-Initiated Logout s. 2
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc.jwk import RSAKey
from pymongo.database import Database

from fhir_server.demo.professionals import professionals as of_the_demonstration
from fhir_server.smart import professionals, psc
from fhir_server.smart.professionals import FINESS, NATIONAL_PERSON, RPPS, Activity, NotAdmitted
from fhir_server.smart.provider import AGAIN, MOST_KEYS, Provider, SignInRefused
from fhir_server.smart.psc import ProSanteConnect
from fhir_server.smart.sessions import Session, Sessions
from tests.providers import CLIENT_ID, CLIENT_SECRET, WrongProvider, provider

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOME = "/account"
CALLBACK = "http://fhir.test/psc/callback"
PEOPLE = of_the_demonstration()
LEMOINE = dict(PEOPLE["helene.lemoine"].claims)
KEY = RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256"}, auto_kid=True)
OTHER_KEY = RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256"}, auto_kid=True)


class Client:
    """This server, as a client of a provider that a test sets up, and a session of it."""

    def __init__(self, database: Database[dict[str, Any]], at: WrongProvider):
        self.now = NOW
        self.at = at
        self.sessions = Sessions(database, lambda: self.now)
        psc.prepare(database)
        self.psc = ProSanteConnect(
            Provider(at.issuer, CLIENT_ID, CLIENT_SECRET), database, lambda: self.now, callback=CALLBACK
        )
        self.session = self.start()

    def start(self) -> Session:
        """Another session."""
        return self.sessions.start()[1]

    def sign_in(self, **how: Any) -> psc.SignedIn:
        """There and back."""
        return self.psc.finish(
            self.session, self.at.authorize(self.psc.begin(self.session, "/authorize/a-request", **how))
        )


@pytest.fixture
def client(database: Database[dict[str, Any]]) -> Iterator[Client]:
    with provider(KEY, {**LEMOINE, "authMode": "CARD"}, NOW.timestamp()) as at:
        yield Client(database, at)


def refused(client: Client, **how: Any) -> str:
    """Why the sign-in came to nothing."""
    with pytest.raises(SignInRefused) as raised:
        client.sign_in(**how)
    assert client.psc.pending(client.session) is None
    return raised.value.reason


def test_there_and_back(client: Client) -> None:
    """OpenID Connect Core s. 3.1: who signed in, when, how and for which request"""
    found = client.sign_in()
    assert found.claims["SubjectNameID"] == "810199000017"
    assert (found.acr, found.amr, found.auth_time) == ("eidas1", ("sc", "pin", "mfa"), NOW)
    assert found.onward == "/authorize/a-request"
    assert client.psc.pending(client.session) == found


def test_what_is_asked(client: Client) -> None:
    """Pro Santé Connect: `scope_all`, `eidas1`; RFC 7636 s. 4.3: S256; each time with other secrets"""
    first, second = (parse_qs(urlsplit(client.psc.begin(client.session, HOME)).query) for _ in range(2))
    assert first["scope"] == ["openid scope_all"]
    assert first["acr_values"] == ["eidas1"]
    assert first["code_challenge_method"] == ["S256"]
    assert first["redirect_uri"] == [CALLBACK]
    assert "prompt" not in first
    for name in ("state", "nonce", "code_challenge"):
        assert len(first[name][0]) >= 43
        assert first[name] != second[name]


def test_the_state_is_kept_as_a_hash(client: Client, database: Database[dict[str, Any]]) -> None:
    state = client.at.authorize(client.psc.begin(client.session, HOME))["state"]
    assert state not in str(list(database["_psc_requests"].find()))


def test_a_callback_is_good_once(client: Client) -> None:
    """Replay: the state is spent by what finds it"""
    answer = client.at.authorize(client.psc.begin(client.session, HOME))
    client.psc.finish(client.session, answer)
    with pytest.raises(SignInRefused, match="expired"):
        client.psc.finish(client.session, answer)


def test_a_callback_is_good_once_also_at_the_same_time(client: Client) -> None:
    answer = client.at.authorize(client.psc.begin(client.session, HOME))

    def finish(_: int) -> str:
        try:
            client.psc.finish(client.session, answer)
        except SignInRefused as refusal:
            return refusal.reason
        return "in"

    with ThreadPoolExecutor(8) as pool:
        came = sorted(pool.map(finish, range(8)))
    assert came == ["expired"] * 7 + ["in"]


def test_a_callback_is_of_its_session(client: Client) -> None:
    """Login CSRF: an answer meant for one browser signs nobody in in another, and is not spent by that"""
    answer = client.at.authorize(client.psc.begin(client.session, HOME))
    with pytest.raises(SignInRefused, match="expired"):
        client.psc.finish(client.start(), answer)
    assert client.psc.finish(client.session, answer).acr == "eidas1"


@pytest.mark.parametrize("answer", [{}, {"code": "c"}, {"state": "", "code": "c"}, {"state": "x" * 43, "code": "c"}])
def test_a_callback_out_of_nowhere(client: Client, answer: dict[str, str]) -> None:
    with pytest.raises(SignInRefused, match="expired"):
        client.psc.finish(client.session, answer)


def test_a_callback_that_comes_late(client: Client) -> None:
    answer = client.at.authorize(client.psc.begin(client.session, HOME))
    client.now += psc.PATIENCE
    with pytest.raises(SignInRefused, match="expired"):
        client.psc.finish(client.session, answer)


def test_mix_up(client: Client) -> None:
    """RFC 9207 s. 2.4"""
    answer = client.at.authorize(client.psc.begin(client.session, HOME))
    with pytest.raises(SignInRefused, match="untrusted"):
        client.psc.finish(client.session, {**answer, "iss": "https://elsewhere.example"})


@pytest.mark.parametrize(("error", "reason"), [("access_denied", "declined"), ("server_error", "unavailable")])
def test_an_error_instead_of_a_code(client: Client, error: str, reason: str) -> None:
    """RFC 6749 s. 4.1.2.1; the page knows which request it was for"""
    state = client.at.authorize(client.psc.begin(client.session, "/authorize/a-request"))["state"]
    with pytest.raises(SignInRefused, match=reason) as raised:
        client.psc.finish(client.session, {"error": error, "state": state})
    assert raised.value.onward == "/authorize/a-request"


SECOND = int(NOW.timestamp())


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param({"iss": "https://elsewhere.example"}, id="iss"),
        pytest.param({"iss": None}, id="no iss"),
        pytest.param({"aud": "another"}, id="aud"),
        pytest.param({"aud": [CLIENT_ID, "another"]}, id="aud of others too"),
        pytest.param({"aud": None}, id="no aud"),
        pytest.param({"azp": "another"}, id="azp"),
        pytest.param({"nonce": "another"}, id="nonce"),
        pytest.param({"nonce": None}, id="no nonce"),
        pytest.param({"exp": SECOND - 60}, id="expired"),
        pytest.param({"exp": None}, id="no exp"),
        pytest.param({"exp": "tomorrow"}, id="exp is a text"),
        pytest.param({"exp": True}, id="exp is true"),
        pytest.param({"iat": SECOND + 300}, id="from the future"),
        pytest.param({"iat": SECOND - 3600}, id="of an hour ago"),
        pytest.param({"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}, id="at_hash"),
        pytest.param({"at_hash": 1}, id="at_hash is a number"),
        pytest.param({"sub": ""}, id="no sub"),
        pytest.param({"sub": "x" * 256}, id="sub too long"),
        pytest.param({"sub": "somebody else"}, id="sub is not that of UserInfo"),
    ],
)
def test_what_is_not_believed(client: Client, claims: dict[str, Any]) -> None:
    """OpenID Connect Core s. 3.1.3.7, s. 5.3.4"""
    client.at.claims = claims
    assert refused(client) == "untrusted"


def test_what_need_not_be_said(client: Client) -> None:
    """OpenID Connect Core s. 3.1.3.6: at_hash, s. 2: azp, a list of one audience"""
    client.at.claims = {"at_hash": None, "azp": None, "aud": [CLIENT_ID]}
    assert client.sign_in().acr == "eidas1"


@pytest.mark.parametrize("alg", ["RS512", "PS256"])
def test_another_algorithm(client: Client, alg: str) -> None:
    client.at.header = {"alg": alg}
    client.at.own_key = RSAKey.import_key({**KEY.as_dict(private=True), "alg": alg})
    assert refused(client) == "untrusted"


def test_the_public_key_as_a_secret(client: Client) -> None:
    """RFC 8725 s. 2.1: algorithm confusion"""
    client.at.header = {"alg": "HS256"}
    client.at.signs_with = KEY.as_pem(private=False)
    assert refused(client) == "untrusted"


def test_signed_by_another_under_a_known_name(client: Client) -> None:
    client.at.signs_with = OTHER_KEY
    assert refused(client) == "untrusted"


def test_a_key_that_comes_along(client: Client) -> None:
    """RFC 8725 s. 3.10: `jwk` in the header says nothing"""
    client.at.signs_with = OTHER_KEY
    client.at.header = {"kid": OTHER_KEY.kid, "jwk": OTHER_KEY.as_dict(private=False)}
    assert refused(client) == "untrusted"


@pytest.mark.parametrize("kid", ["another", None, "../../etc/passwd"])
def test_an_unknown_key(client: Client, kid: str | None) -> None:
    client.at.header = {"kid": kid}
    assert refused(client) == "untrusted"


def test_keys_are_kept_and_looked_for_anew_but_not_each_time(client: Client) -> None:
    """A key that is new is found; a stranger's names do not make this server ask at each of them"""
    for _ in range(3):
        client.sign_in()
    assert client.at.asked["/jwks"] == 1
    client.at.header = {"kid": "made up"}
    for _ in range(3):
        refused(client)
    assert client.at.asked["/jwks"] <= 2
    client.at.header, client.at.own_key = {}, OTHER_KEY
    client.at.published.append(OTHER_KEY)
    client.now += AGAIN
    client.at.now = client.now.timestamp()
    assert client.sign_in().acr == "eidas1"
    assert client.at.asked["/.well-known/openid-configuration"] == 1


def test_keys_that_are_too_many(client: Client) -> None:
    client.at.published = [KEY] * (MOST_KEYS + 1)
    assert refused(client) == "unavailable"


@pytest.mark.parametrize(
    ("acr", "least", "is_in"),
    [
        ("eidas1", "eidas1", True),
        ("eidas2", "eidas1", True),
        ("eidas3", "eidas1", True),
        ("eidas2", "eidas2", True),
        ("eidas1", "eidas2", False),
        ("eidas0", "eidas1", False),
        ("", "eidas1", False),
        (None, "eidas1", False),
        (2, "eidas1", False),
    ],
)
def test_levels_are_compared_by_order(database: Any, acr: Any, least: str, is_in: bool) -> None:
    """A card says more than was asked for"""
    with provider(KEY, LEMOINE, NOW.timestamp()) as at:
        client = Client(database, at)
        asked = Provider(at.issuer, CLIENT_ID, CLIENT_SECRET, least)
        client.psc = ProSanteConnect(asked, database, lambda: NOW, callback=CALLBACK)
        at.claims = {"acr": acr}
        if is_in:
            assert client.sign_in().acr == acr
        else:
            assert refused(client) == "level"


def test_anew(client: Client) -> None:
    """OpenID Connect Core s. 3.1.2.1: `prompt=login`, `max_age`; what is remembered of before is not enough"""
    asked = parse_qs(urlsplit(client.psc.begin(client.session, HOME, fresh=True)).query)
    assert (asked["prompt"], asked["max_age"]) == (["login"], ["0"])
    for auth_time in (SECOND - 3600, None):
        client.at.claims = {"auth_time": auth_time}
        assert refused(client, fresh=True) == "stale"
    client.at.claims = {}
    assert client.sign_in(fresh=True).auth_time == NOW


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": "https://elsewhere.example"},
        {"token_endpoint": None},
        {"token_endpoint": "http://elsewhere.example/token"},
        {"jwks_uri": "file:///etc/passwd"},
        {"userinfo_endpoint": "http://169.254.169.254/latest"},
    ],
)
def test_metadata_that_leads_elsewhere(client: Client, metadata: dict[str, Any]) -> None:
    """OpenID Connect Discovery s. 4.3; nothing is asked for by plain http but on this machine"""
    client.at.metadata = metadata
    assert refused(client) == "unavailable"


def test_a_provider_that_is_down(client: Client) -> None:
    client.at.token_status = 503
    assert refused(client) in ("unavailable", "untrusted")
    client.at.token_status = 200
    assert client.sign_in().acr == "eidas1"


def test_nobody_listens(database: Database[dict[str, Any]]) -> None:
    """A clear word at once, instead of a page that waits"""
    gone = Provider("http://127.0.0.1:1", CLIENT_ID, CLIENT_SECRET)
    client = ProSanteConnect(gone, database, lambda: NOW, callback=CALLBACK)
    with pytest.raises(SignInRefused, match="unavailable"):
        client.begin(Sessions(database, lambda: NOW).start()[1], HOME)


def test_signing_out_there_too(client: Client) -> None:
    """RP-Initiated Logout s. 2: once, and only who was signed in"""
    assert client.psc.sign_out_url(client.session.id, "http://fhir.test/") is None
    client.sign_in()
    client.psc.settle(client.session)
    url = urlsplit(client.psc.sign_out_url(client.session.id, "http://fhir.test/") or "")
    asked = parse_qs(url.query)
    assert url.path == "/logout"
    assert asked["post_logout_redirect_uri"] == ["http://fhir.test/"]
    assert asked["id_token_hint"][0].count(".") == 2
    assert client.psc.sign_out_url(client.session.id, "http://fhir.test/") is None


def test_what_was_said_is_gone_once_it_is_settled(client: Client, database: Database[dict[str, Any]]) -> None:
    client.sign_in()
    assert client.psc.settle(client.session)
    assert not client.psc.settle(client.session)
    assert client.psc.pending(client.session) is None
    assert "810199000017" not in str(list(database["_psc_sessions"].find()))


def test_the_notice_comes_at_first_and_every_180_days(client: Client) -> None:
    """FAQ des industriels: DMP/CONF.11, CONF.21"""
    assert client.psc.notice_due("psc-1")
    client.psc.acknowledge("psc-1")
    assert not client.psc.notice_due("psc-1")
    assert client.psc.notice_due("psc-2")
    client.now += timedelta(days=180) - timedelta(seconds=1)
    assert not client.psc.notice_due("psc-1")
    client.now += timedelta(seconds=1)
    assert client.psc.notice_due("psc-1")


# --- who the claims are

SITE = {"numeroFinessSite": "370099027", "raisonSocialeSite": "Maison de santé des Tilleuls"}


def claims(**changes: Any) -> dict[str, Any]:
    """The claims of Dr Hélène Lemoine, changed."""
    return {**LEMOINE, **changes}


def exercise(**changes: Any) -> dict[str, Any]:
    """Her exercise, changed."""
    first = LEMOINE["SubjectRefPro"]["exercices"][0]
    return {"codeCivilite": "MME", "exercices": [{**first, **changes}]}


@pytest.mark.parametrize(
    ("said", "national_id"),
    [
        (claims(), "810199000017"),
        (claims(SubjectNameID=None), "810199000017"),
        (claims(otherIds=[]), "810199000017"),
        (claims(otherIds=[{"identifiant": "10199000017", "origine": "RPPS", "qualite": 1}]), "810199000017"),
        (claims(otherIds=[{"identifiant": "anything", "origine": "EDIT", "qualite": 1}]), "810199000017"),
        (claims(SubjectNameID="0370000001", otherIds=[]), "0370000001"),
    ],
)
def test_the_national_identifier(said: dict[str, Any], national_id: str) -> None:
    found = professionals.read(said)
    assert found.national_id == national_id
    assert found.sub.startswith("psc-")
    assert national_id not in found.sub
    assert len(found.sub) < 256


@pytest.mark.parametrize(
    "said",
    [
        claims(SubjectNameID=None, otherIds=[]),
        claims(SubjectNameID="899999999999"),
        claims(SubjectNameID={"$gt": ""}, otherIds=None),
        claims(SubjectNameID="8,|*", otherIds=[]),
        claims(SubjectNameID="8" * 40, otherIds=[]),
    ],
)
def test_no_national_identifier_or_two(said: dict[str, Any]) -> None:
    """Nobody is known by a name or an address"""
    with pytest.raises(NotAdmitted, match="identity"):
        professionals.read(said)


@pytest.mark.parametrize(
    ("said", "regulator"),
    [("VRAI", True), ("FAUX", False), ("", False), (None, False), ("vrai", False), (True, False), (["VRAI"], False)],
)
def test_the_right_to_regulate_calls(said: Any, regulator: bool) -> None:
    """rule A11: it is what the identity provider asserts, to the letter"""
    assert professionals.read(claims(Acces_Regulation_Medicale=said)).regulator is regulator


@pytest.mark.parametrize(
    ("said", "activities"),
    [
        (
            claims(SubjectRefPro=exercise(activities=[SITE])),
            [("Maison de santé des Tilleuls", ((FINESS, "370099027"),), "10", "SM54")],
        ),
        (claims(SubjectRefPro=exercise(activities=[])), [(None, (), "10", "SM54")]),
        (claims(SubjectRefPro=exercise(activities=[SITE, SITE])), None),
        (claims(SubjectRefPro=exercise(activities=["x", SITE])), None),
        (claims(SubjectRefPro=None), [(None, (), "10", None)]),
        (claims(SubjectRefPro=None, SubjectRole=None), []),
        (
            claims(SubjectRefPro={"exercices": "x"}, SubjectRole=[1, "60^1.2.250.1.213.1.1.5.5"]),
            [(None, (), "60", None)],
        ),
    ],
)
def test_activities(said: dict[str, Any], activities: list[Any] | None) -> None:
    """UserInfo: SubjectRefPro.exercices, each with its activities; what is no text is not there"""
    expected = [Activity(*one) for one in activities] if activities is not None else None
    found = list(professionals.read(said).activities)
    assert found == expected if expected is not None else [one.name for one in found] == [SITE["raisonSocialeSite"]]


def test_an_identifier_means_itself_alone() -> None:
    """What would be more than one value of a search is none"""
    odd = {"numeroFinessSite": "370099027,370099001", "numeroSiretSite": "a|b", "numeroSirenSite": "123456789"}
    (activity,) = professionals.read(claims(SubjectRefPro=exercise(activities=[odd]))).activities
    assert [value for _, value in activity.structures] == ["123456789"]


def test_the_site_before_the_legal_entity() -> None:
    both = {"numeroFinessetablissementJuridique": "370000001", "numeroSirenSite": "123456789", **SITE}
    (activity,) = professionals.read(claims(SubjectRefPro=exercise(activities=[both]))).activities
    assert [value for _, value in activity.structures] == ["370099027", "370000001", "123456789"]


class Directory:
    """A directory of these resources, found by the identifiers and references that they have."""

    def __init__(self, *resources: dict[str, Any]):
        self.resources = resources
        self.asked: list[tuple[str, professionals.Pairs]] = []

    def find(self, type: str, pairs: professionals.Pairs) -> list[dict[str, Any]]:
        self.asked.append((type, pairs))
        of_type = [one for one in self.resources if one["resourceType"] == type]
        return [one for one in of_type if all(_matches(one, name, value.split(",")) for name, value in pairs)]


def _matches(resource: dict[str, Any], name: str, values: list[str]) -> bool:
    if name == "identifier":
        return any(f"{one['system']}|{one['value']}" in values for one in resource.get("identifier", ()))
    return resource[name]["reference"] in values


def entry(type: str, id: str, *identifiers: tuple[str, str], **more: Any) -> dict[str, Any]:
    """A resource of the directory."""
    found = [{"system": system, "value": value} for system, value in identifiers]
    return {"resourceType": type, "id": id, "identifier": found, **more}


def role(id: str, practitioner: str, organization: str, **more: Any) -> dict[str, Any]:
    """A PractitionerRole."""
    who, where = {"reference": f"Practitioner/{practitioner}"}, {"reference": f"Organization/{organization}"}
    return entry("PractitionerRole", id, practitioner=who, organization=where, **more)


def admitted(*resources: dict[str, Any]) -> Any:
    """Who Dr Hélène Lemoine is in a directory of these."""
    who = professionals.read(LEMOINE)
    return professionals.subject(who, who.activities[0], Directory(*resources).find)


PRACTITIONER = entry("Practitioner", "helene", (RPPS, "10199000017"))
PLACE = entry("Organization", "tilleuls", (FINESS, "370099027"))


@pytest.mark.parametrize("identifier", [(RPPS, "10199000017"), (NATIONAL_PERSON, "810199000017")])
def test_who_is_in_the_directory(identifier: tuple[str, str]) -> None:
    """ANS Annuaire Santé: by RPPS, or by the national identifier with its prefix"""
    subject = admitted(entry("Practitioner", "helene", identifier), PLACE, role("r", "helene", "tilleuls"))
    assert subject.kind == "professional"
    assert (subject.practitioner, subject.role) == ("helene", "PractitionerRole/r")
    assert subject.organization == "Organization/tilleuls"
    assert (subject.profession, subject.specialty, subject.regulator) == ("10", "SM54", False)
    assert subject.name == "Dr Hélène Lemoine"


@pytest.mark.parametrize(
    ("resources", "reason"),
    [
        ([], "unknown"),
        ([entry("Practitioner", "namesake", name=[{"family": "Lemoine", "given": ["Hélène"]}])], "unknown"),
        ([entry("Practitioner", "other", (FINESS, "10199000017"))], "unknown"),
        ([PRACTITIONER, {**PRACTITIONER, "id": "again"}], "ambiguous"),
        ([{**PRACTITIONER, "active": False}], "inactive"),
    ],
)
def test_who_is_not(resources: list[dict[str, Any]], reason: str) -> None:
    with pytest.raises(NotAdmitted, match=reason):
        admitted(*resources)


@pytest.mark.parametrize(
    ("resources", "organization", "role_id"),
    [
        ([], None, None),
        ([PLACE], "Organization/tilleuls", None),
        ([{**PLACE, "active": False}], None, None),
        ([PLACE, {**PLACE, "id": "again"}], None, None),
        ([PLACE, role("r", "helene", "tilleuls", active=False)], "Organization/tilleuls", None),
        ([PLACE, role("r", "somebody", "tilleuls")], "Organization/tilleuls", None),
        ([role("r", "helene", "tilleuls")], None, None),
    ],
)
def test_a_place_that_the_directory_cannot_tell(
    resources: list[dict[str, Any]], organization: str | None, role_id: str | None
) -> None:
    """Whoever is known may come in; a structure's rights are for who is known to be of it"""
    subject = admitted(PRACTITIONER, *resources)
    assert (subject.organization, subject.role) == (organization, role_id)


def test_the_role_of_the_same_profession() -> None:
    def of(profession: str) -> list[dict[str, Any]]:
        system = "https://mos.esante.gouv.fr/NOS/TRE_G15-ProfessionSante/FHIR/TRE-G15-ProfessionSante"
        return [{"coding": [{"system": system, "code": profession}]}]

    roles = [role("a", "helene", "tilleuls", code=of("60")), role("b", "helene", "tilleuls", code=of("10"))]
    assert admitted(PRACTITIONER, PLACE, *roles).role == "PractitionerRole/b"


@pytest.mark.parametrize("login", sorted(PEOPLE))
def test_the_professionals_of_the_demonstration(login: str) -> None:
    """Each has the claims of the real UserInfo, and can be read"""
    person = PEOPLE[login]
    found = professionals.read(person.claims)
    assert found.name == person.name
    assert len(found.activities) == 1
    assert found.activities[0].structures[0][0] == FINESS
    assert found.regulator == (login == "karim.benali")
    assert {
        "sub",
        "SubjectNameID",
        "preferred_username",
        "given_name",
        "family_name",
        "SubjectRole",
        "otherIds",
    } <= set(person.claims)
