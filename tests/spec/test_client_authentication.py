"""Which client is it?  RFC 6749 s. 2.3; SMART App Launch 2.2: client-confidential-asymmetric.html; RFC 7523 s. 3"""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from authlib.integrations.flask_oauth2.requests import FlaskOAuth2Request
from authlib.oauth2.rfc6749 import InvalidClientError
from flask import Request
from werkzeug.test import EnvironBuilder

from fhir_server import app as application
from fhir_server.smart.assertions import Assertions
from fhir_server.smart.authentication import Authentication
from fhir_server.smart.clients import Clients, new_secret
from fhir_server.smart.fetching import Fetched, FetchError
from fhir_server.smart.key_sets import FETCHES, PERIOD, KeySets
from fhir_server.smart.signed import Refused
from fhir_server.smart.tokens import digest
from tests.clients import ISSUER, TOKEN_URL, assertion, claims, client, key, public

JWKS_URI = "https://backend.test/jwks"


@dataclass
class Published:
    """What clients publish, and how often it was asked for."""

    answers: dict[str, Any] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    max_age_seconds: int | None = None

    def fetch(self, url: str) -> Fetched:
        self.asked.append(url)
        if url not in self.answers:
            raise FetchError("its host is not known")
        return Fetched(json.dumps(self.answers[url]).encode(), self.max_age_seconds)


@dataclass
class Server:
    """What authenticates clients, on an empty database."""

    clients: Clients
    authentication: Authentication
    published: Published
    moment: list[Any]

    def __call__(self, form: dict[str, str], **headers: str) -> str:
        """The id of the client that sent such a request to the token endpoint.  Raises InvalidClientError."""
        builder = EnvironBuilder(
            "/oauth/token", method="POST", data=form, headers=headers, base_url="https://fhir.test"
        )
        return self.authentication(FlaskOAuth2Request(Request(builder.get_environ()))).client_id

    def refuses(self, form: dict[str, str], **headers: str) -> str:
        """Why the request is refused; it is `invalid_client`, 401."""
        with pytest.raises(InvalidClientError) as refused:
            self(form, **headers)
        assert (refused.value.error, refused.value.status_code) == ("invalid_client", 401)
        assert "WWW-Authenticate" in dict(refused.value.get_headers())
        return str(refused.value.get_error_description())


@pytest.fixture(scope="module")
def server(mongodb_client: Any) -> Iterator[Server]:
    name = "test_client_authentication"
    database = mongodb_client[name]
    moment: list[Any] = [None]
    published = Published()

    def now() -> Any:
        return moment[0] or application.now()

    clients = Clients(database, now)
    clients.prepare()
    assertions = Assertions(
        database, now, audiences=(TOKEN_URL, ISSUER), key_sets=KeySets(now, lambda url: published.fetch(url))
    )
    assertions.prepare()
    yield Server(clients, Authentication(clients.find, assertions, lambda *said, **more: None), published, moment)
    mongodb_client.drop_database(name)


@pytest.fixture
def backend(server: Server) -> str:
    """The id of a client whose keys are registered."""
    kept = client()
    server.clients.keep(kept)
    return kept.client_id


def basic(client_id: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()


@pytest.mark.parametrize("algorithm", ["RS384", "ES384"])
@pytest.mark.parametrize("audience", [TOKEN_URL, ISSUER])
def test_a_client_is_known_by_what_it_signs(server, backend, algorithm, audience):
    """SMART 2.2 client-confidential-asymmetric.html#registering-a-client-communicating-public-keys: RS384 and ES384"""
    assert server(assertion(backend, key(algorithm), aud=audience)) == backend


@pytest.mark.parametrize("header", [{"typ": None}, {"typ": "JWT"}])
def test_the_type_may_be_left_out(server, backend, header):
    assert server(assertion(backend, header=header)) == backend


def test_a_client_may_name_itself_beside_its_assertion(server, backend):
    """RFC 7521 s. 4.2: client_id is optional, and is then the one that is asserted"""
    assert server({**assertion(backend), "client_id": backend}) == backend
    assert "another client" in server.refuses({**assertion(backend), "client_id": "app-other"})


def _headers() -> dict[str, dict[str, Any]]:
    foreign = key("ES384", "attacker").as_dict(private=False)
    return {
        "RS256": {"alg": "RS256"},
        "jwk": {"jwk": foreign},
        "foreign jku": {"jku": "https://attacker.test/jwks"},
        "x5u": {"x5u": "https://attacker.test/x5u"},
        "x5c": {"x5c": ["MIIB"]},
        "crit": {"crit": ["exp"], "exp": 1},
        "crit of what is known": {"crit": ["b64"], "b64": True},
        "b64": {"b64": True},
        "unknown kid": {"kid": "nobody"},
        "no kid": {"kid": None},
        "kid is a path": {"kid": "../../dev/null"},
        "kid is SQL": {"kid": "' OR 1=1 --"},
        "kid is an operator": {"kid": {"$ne": None}},
        "kid is a list": {"kid": ["ES384-one"]},
        "typ of an access token": {"typ": "at+jwt"},
        "typ is no string": {"typ": ["JWT"]},
    }


@pytest.mark.parametrize("name", _headers())
def test_a_header_by_which_a_client_would_choose_its_own_key_is_refused(server, backend, name):
    """SMART 2.2 client-confidential-asymmetric.html#signature-verification; RFC 8725 s. 3.10"""
    signer = key("RS384") if name == "RS256" else key("ES384")

    server.refuses(assertion(backend, signer, header=_headers()[name]))


BAD_CLAIMS: dict[str, Callable[[], dict[str, Any]]] = {
    "sub is an object": lambda: {"sub": {"$ne": None}},
    "iss is another": lambda: {"iss": "app-other"},
    "no iss": lambda: {"iss": None},
    "sub is unknown": lambda: {"iss": "app-nobody", "sub": "app-nobody"},
    "aud is a list": lambda: {"aud": [TOKEN_URL]},
    "aud is two": lambda: {"aud": [TOKEN_URL, "https://other.test"]},
    "aud is another server": lambda: {"aud": "https://other.test/oauth/token"},
    "aud is another endpoint": lambda: {"aud": f"{ISSUER}/oauth/introspect"},
    "no aud": lambda: {"aud": None},
    "exp is far": lambda: {"exp": int(time.time()) + 3600},
    "exp is past": lambda: {"exp": int(time.time()) - 120},
    "exp is a string": lambda: {"exp": "2099"},
    "exp is true": lambda: {"exp": True},
    "exp is beyond measure": lambda: {"exp": 1e300},
    "no exp": lambda: {"exp": None},
    "nbf is ahead": lambda: {"nbf": int(time.time()) + 200},
    "iat is ahead": lambda: {"iat": int(time.time()) + 200},
    "no jti": lambda: {"jti": None},
    "jti is empty": lambda: {"jti": ""},
    "jti is an object": lambda: {"jti": {"$gt": ""}},
    "jti is long": lambda: {"jti": "x" * 300},
}


@pytest.mark.parametrize("name", BAD_CLAIMS)
def test_claims_that_prove_nothing_are_refused(server, backend, name):
    """SMART 2.2 client-confidential-asymmetric.html#authenticating-to-the-token-endpoint; RFC 7523 s. 3"""
    server.refuses(assertion(backend, **BAD_CLAIMS[name]()))


def test_the_signature_of_another_key_is_refused(server, backend):
    """RFC 7523 s. 3, rule 9"""
    other = key("ES384", "attacker").as_dict(private=True) | {"kid": "ES384-one"}

    server.refuses(assertion(backend, type(key("ES384")).import_key(other)))


@pytest.mark.parametrize("named", [{"iss": "\ud800", "sub": "\ud800"}, {"sub": "\ud800"}])
def test_a_name_that_is_no_unicode_is_no_client(server, backend, named):
    """RFC 8259 s. 8.2: JSON can write half a character; anybody can, since nothing is signed when it is read"""
    said = _encoded({"alg": "ES384", "kid": "ES384-one"}, {**claims(backend), **named})

    server.refuses({**assertion(backend), "client_assertion": f"{said}.AAAA"})


def test_the_public_key_is_no_secret_to_sign_with(server, backend):
    """RFC 8725 s. 3.1: the algorithm is not what the attacker says"""
    said = _encoded({"alg": "HS384", "kid": "RS384-one", "typ": "JWT"}, claims(backend))
    mark = hmac.digest(key("RS384").as_pem(private=False), said.encode(), "sha384")
    forged = f"{said}.{base64.urlsafe_b64encode(mark).rstrip(b'=').decode()}"

    server.refuses({**assertion(backend), "client_assertion": forged})


def test_no_signature_is_no_proof(server, backend):
    """RFC 8725 s. 3.2"""
    said = _encoded({"alg": "none", "kid": "ES384-one", "typ": "JWT"}, claims(backend))

    server.refuses({**assertion(backend), "client_assertion": f"{said}."})


@pytest.mark.parametrize(
    "text", ["", ".", "..", "a.b.c", "é.é.é", "W10.e30.", "WyJhbGciXQ.e30.AA", "e30.W10.AA", "x" * 20_000, "[" * 5000]
)
def test_what_is_no_assertion_is_refused(server, backend, text):
    server.refuses({**assertion(backend), "client_assertion": text})


def test_another_type_of_assertion_is_refused(server, backend):
    """RFC 7523 s. 2.2"""
    saml = "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"

    server.refuses({**assertion(backend), "client_assertion_type": saml})
    server.refuses({"client_assertion": assertion(backend)["client_assertion"]})
    server.refuses({"client_assertion_type": assertion(backend)["client_assertion_type"]})


def test_an_assertion_is_spent_once(server, backend):
    """SMART 2.2: `jti` has not been used before by this `iss`; RFC 7523 s. 3, rule 7"""
    signed = assertion(backend)

    assert server(signed) == backend
    assert "jti was used" in server.refuses(signed)
    assert "jti was used" in server.refuses(assertion(backend, jti=json.loads(_payload(signed))["jti"]))


def test_two_clients_may_use_the_same_jti(server, backend):
    other = client()
    server.clients.keep(other)

    assert server(assertion(backend, jti="one")) == backend
    assert server(assertion(other.client_id, jti="one")) == other.client_id


def test_of_an_assertion_sent_many_times_at_once_one_is_good(server, backend):
    """SMART 2.2: `jti`; one write decides"""
    signed = assertion(backend)

    def attempt(_: int) -> bool:
        try:
            return server(signed) == backend
        except InvalidClientError:
            return False

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(16))) == 1


def test_another_worker_knows_that_an_assertion_is_spent(server, backend, mongodb_client):
    """SMART 2.2: `jti`, whichever process it comes to"""
    other = Assertions(
        mongodb_client["test_client_authentication"],
        application.now,
        audiences=(TOKEN_URL,),
        key_sets=KeySets(application.now, server.published.fetch),
    )
    signed = assertion(backend)
    assert server(signed) == backend

    with pytest.raises(Refused, match="jti was used"):
        other.client(signed["client_assertion"], server.clients.find)


def test_an_assertion_whose_signature_is_bad_spends_nothing(server, backend):
    good = assertion(backend)
    start, _, signature = good["client_assertion"].rpartition(".")
    bad = {**good, "client_assertion": f"{start}.{signature[:-8]}AAAAAAAA"}

    server.refuses(bad)

    assert server(good) == backend


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        (lambda: [key("ES384"), key("ES384", "two")], "several keys"),
        (lambda: [key("ES384", "two")], "no key"),
        (list, "no key"),
    ],
)
def test_exactly_one_key_has_the_id(server, keys, why):
    """SMART 2.2: "only one key": the kid and kty select it"""
    named = [{**one.as_dict(private=False), "kid": "same"} for one in keys()]
    if why == "no key":
        named = [{**one, "kid": "different"} for one in named]
    kept = client(jwks={"keys": named})
    server.clients.keep(kept)

    assert why in server.refuses(assertion(kept.client_id, header={"kid": "same"}))


def test_keys_of_two_types_may_share_an_id(server):
    """SMART 2.2: the key is selected by `kid` and `kty`"""
    keys = [{**key(name).as_dict(private=False), "kid": "same"} for name in ("ES384", "RS384")]
    kept = client(jwks={"keys": keys})
    server.clients.keep(kept)

    assert server(assertion(kept.client_id, key("RS384"), header={"kid": "same"})) == kept.client_id


@pytest.mark.parametrize(
    "change",
    [
        {"use": "enc"},
        {"alg": "ES256"},
        {"key_ops": ["encrypt"]},
        {"key_ops": "verify"},
        {"d": "AA"},
        {"crv": "P-256"},
        {"x": 1},
    ],
)
def test_a_key_for_something_else_is_not_used(server, change):
    """RFC 7517 s. 4"""
    kept = client(jwks={"keys": [key("ES384").as_dict(private=False) | change]})
    server.clients.keep(kept)

    server.refuses(assertion(kept.client_id))


@pytest.fixture
def published(server: Server) -> Iterator[Published]:
    """What the client of `publisher` publishes; the clock of the server stands still."""
    server.published.answers, server.published.asked, server.published.max_age_seconds = {}, [], None
    server.moment[0] = application.now()
    yield server.published
    server.moment[0] = None


@pytest.fixture
def publisher(server: Server, published: Published) -> str:
    """The id of a client that publishes its keys, at a URL of its own."""
    kept = client(jwks=None, jwks_uri=f"{JWKS_URI}/{time.monotonic_ns()}")
    server.clients.keep(kept)
    published.answers[kept.jwks_uri] = public(key("ES384"))
    return kept.client_id


def test_keys_are_fetched_where_the_client_publishes_them(server, publisher, published):
    """SMART 2.2: registration by URL; `jku`, if there, is that URL"""
    (uri,) = published.answers

    assert server(assertion(publisher)) == publisher
    assert server(assertion(publisher, header={"jku": uri})) == publisher
    server.refuses(assertion(publisher, header={"jku": f"{uri}/"}))
    assert published.asked == [uri]


@pytest.mark.parametrize(("max_age", "after", "times"), [(60, 59, 1), (60, 61, 2), (0, 0, 2), (10**9, 3601, 2)])
def test_keys_are_remembered_no_longer_than_they_allow(server, publisher, published, max_age, after, times):
    """SMART 2.2: "SHALL NOT cache a JWKS for longer than the client's cache-control header indicates"; nor for ever"""
    published.max_age_seconds = max_age
    assert server(assertion(publisher)) == publisher
    server.moment[0] += timedelta(seconds=after)

    assert server(assertion(publisher, exp=int(server.moment[0].timestamp()) + 240)) == publisher

    assert len(published.asked) == times


def test_a_key_that_is_new_has_the_set_fetched_anew(server, publisher, published):
    """SMART 2.2: a key that is not in the cached set: fetch it anew"""
    assert server(assertion(publisher)) == publisher
    (uri,) = published.answers
    published.answers[uri] = public(key("ES384", "two"))

    assert server(assertion(publisher, key("ES384", "two"))) == publisher

    server.refuses(assertion(publisher))
    assert len(published.asked) == 3


def test_a_client_s_address_is_asked_only_so_often(server, publisher, published):
    """Who sends assertions with made-up keys has nobody flooded."""
    for _ in range(3 * FETCHES):
        server.refuses(assertion(publisher, key("ES384", "attacker")))
    assert len(published.asked) == FETCHES

    server.moment[0] += PERIOD

    assert server(assertion(publisher, exp=int(server.moment[0].timestamp()) + 240)) == publisher


@pytest.mark.parametrize("answer", [None, [], "keys", {}, {"keys": {}}, {"keys": [1]}, {"keys": [{}] * 101}])
def test_what_is_no_key_set_has_no_keys(server, publisher, published, answer):
    """RFC 7517 s. 5"""
    (uri,) = published.answers
    published.answers[uri] = answer

    server.refuses(assertion(publisher))


def test_keys_that_cannot_be_fetched_prove_nothing(server, publisher, published):
    published.answers.clear()

    assert "cannot be fetched" in server.refuses(assertion(publisher))


def test_a_client_is_known_by_its_secret(server):
    """SMART 2.2 client-confidential-symmetric.html; RFC 6749 s. 2.3.1: raw, or form-encoded"""
    secret = new_secret()
    kept = client("symmetric", secret_hash=digest(secret))
    server.clients.keep(kept)

    assert server({}, Authorization=basic(kept.client_id, secret)) == kept.client_id
    encoded = basic(quote(kept.client_id, safe="").replace("-", "%2D"), quote(secret, safe=""))
    assert server({}, Authorization=encoded) == kept.client_id
    for wrong in ("", "x", secret + "x", digest(secret)):
        server.refuses({}, Authorization=basic(kept.client_id, wrong))
    server.refuses({}, Authorization=basic("app-nobody", secret))


@pytest.mark.parametrize("header", ["Basic", "Basic !!", "Basic YWJj", "Bearer x", "Basic /w==", "", "Basic Og=="])
def test_an_authorization_header_that_says_nothing_is_refused(server, header):
    server.refuses({"client_id": "app-nobody"}, Authorization=header)


def test_a_public_client_says_its_id(server):
    """RFC 6749 s. 3.2.1"""
    kept = client("public")
    server.clients.keep(kept)

    assert server({"client_id": kept.client_id}) == kept.client_id
    server.refuses({"client_id": "app-nobody"})
    server.refuses({})


@pytest.mark.parametrize("kind", ["public", "symmetric", "asymmetric"])
def test_a_client_authenticates_itself_in_its_own_way_only(server, kind):
    """RFC 6749 s. 2.3: one method a request; RFC 7591 s. 2: the registered one"""
    secret = new_secret()
    kept = client(kind, secret_hash=digest(secret), jwks=public(key("ES384")))
    server.clients.keep(kept)
    ways: dict[str, tuple[dict[str, str], dict[str, str]]] = {
        "public": ({"client_id": kept.client_id}, {}),
        "symmetric": ({}, {"Authorization": basic(kept.client_id, secret)}),
        "asymmetric": (assertion(kept.client_id), {}),
    }

    form, headers = ways.pop(kind)
    assert server(form, **headers) == kept.client_id
    for form, headers in ways.values():
        server.refuses(form, **headers)
    server.refuses({"client_id": kept.client_id, "client_secret": secret})
    server.refuses(assertion(kept.client_id), Authorization=basic(kept.client_id, secret))


@pytest.mark.parametrize("kind", ["public", "symmetric", "asymmetric"])
@pytest.mark.parametrize("status", ["pending", "suspended"])
def test_a_client_that_is_not_live_is_not_known(server, kind, status):
    secret = new_secret()
    kept = client(kind, status=status, secret_hash=digest(secret), jwks=public(key("ES384")))
    server.clients.keep(kept)

    server.refuses({"client_id": kept.client_id})
    server.refuses({}, Authorization=basic(kept.client_id, secret))
    server.refuses(assertion(kept.client_id))


def _encoded(*parts: dict[str, Any]) -> str:
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)


def _payload(form: dict[str, str]) -> bytes:
    part = form["client_assertion"].split(".")[1]
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
