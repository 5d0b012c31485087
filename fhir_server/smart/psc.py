"""Signing in through Pro Santé Connect: this server as a client of an OpenID Connect provider.

_psc_requests   _id  SHA-256 of the state; session, nonce, verifier, onward, fresh, started_at, expires_at
_psc_sessions   _id  id of the session; claims, a JSON text of what UserInfo said, and id_token, which signing out takes
_notices        _id  the `sub` of a professional; acknowledged_at, when the notice of tracing was last acknowledged

OpenID Connect Core s. 3.1; RFC 7636; RFC 9207; RP-Initiated Logout s. 2; FAQ des industriels: DMP/CONF.11
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit

import requests
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oidc.core.util import create_half_hash
from joserfc import jws, jwt
from joserfc.errors import JoseError
from pymongo import IndexModel, WriteConcern
from pymongo.database import Database

from fhir_server.smart.provider import ALGORITHM, TIMEOUT, Provider, Published, SignInRefused, is_loopback
from fhir_server.smart.sessions import Session
from fhir_server.storage.store import answering

SCOPE = "openid scope_all"
#: The levels of assurance, from the lowest: a card asserts more than is asked for, and is welcome.
LEVELS = ("eidas1", "eidas2", "eidas3")
#: How long a professional has for the pages of the provider, and then for those that follow here.
PATIENCE = timedelta(minutes=10)
#: As long as a session can last: the id_token of who is let in is kept for signing out.
KEPT = timedelta(hours=12)
#: How far the clocks of the two may be apart.
SKEW = timedelta(seconds=30)
#: The notice that the national number is used for tracing comes again after so long.
NOTICE_EVERY = timedelta(days=180)


@dataclass(frozen=True)
class SignedIn:
    """
    Whom the provider has identified, and how.

    claims   what UserInfo says of the professional
    onward   the path that the sign-in leads to, as it was given
    amr      the means, in the words of RFC 8176: a smart card, or a key in software on a phone
    """

    claims: Mapping[str, Any]
    onward: str
    auth_time: datetime
    acr: str
    amr: tuple[str, ...]


def prepare(database: Database) -> None:
    """Let MongoDB remove what is over."""
    for name in ("_psc_requests", "_psc_sessions"):
        dead = IndexModel("expires_at", name="expires_at", expireAfterSeconds=0)
        database[name].create_indexes([dead], commitQuorum=0)


class ProSanteConnect:
    """The sign-ins of this server through one provider.  `callback` is the URL that it sends people back to."""

    def __init__(self, provider: Provider, database: Database, clock: Callable[[], datetime], *, callback: str):
        self._provider = provider
        concern = WriteConcern("majority", j=True)
        self._requests = database["_psc_requests"].with_options(write_concern=concern)
        self._sessions = database["_psc_sessions"].with_options(write_concern=concern)
        self._notices = database["_notices"].with_options(write_concern=concern)
        self._clock = clock
        self._callback = callback
        self._published = Published(provider, clock)

    def begin(self, session: Session, onward: str, *, fresh: bool = False) -> str:
        """
        Where to send the browser of this session to, to sign in; and to go on with the path `onward` of this server.

        fresh: the person signs in anew, whatever the provider remembers.  Raises SignInRefused.
        """
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        endpoint = self._published.endpoint("authorization_endpoint")
        now = self._clock()
        with answering():
            self._requests.insert_one(
                {
                    "_id": _digest(state),
                    "session": session.id,
                    "nonce": nonce,
                    "verifier": verifier,
                    "onward": onward,
                    "fresh": fresh,
                    "started_at": now,
                    "expires_at": now + PATIENCE,
                }
            )
        anew = {"prompt": "login", "max_age": "0"} if fresh else {}
        url, _ = self._client().create_authorization_url(
            endpoint, state=state, code_verifier=verifier, nonce=nonce, acr_values=self._provider.least, **anew
        )
        return str(url)

    def finish(self, session: Session, answer: Mapping[str, str]) -> SignedIn:
        """
        Whom the provider's answer to the callback identifies; each state is good once, in the session that it is of.

        What is said stays with the session: `pending`, `sign_out_url`.  Raises SignInRefused.
        """
        asked = self._claim(session, answer.get("state"))
        self.settle(session)  # who came back before is not who comes back now
        try:
            return self._finish(session, answer, asked)
        except SignInRefused as refusal:
            raise SignInRefused(refusal.reason, refusal.detail, asked["onward"]) from refusal

    def pending(self, session: Session) -> SignedIn | None:
        """Who has come back from the provider in this session lately, and has yet to say in which capacity."""
        now = self._clock()
        with answering():
            kept = self._sessions.find_one({"_id": session.id, "until": {"$gt": now}})
        if kept is None:
            return None
        return SignedIn(json.loads(kept["claims"]), kept["onward"], kept["auth_time"], kept["acr"], tuple(kept["amr"]))

    def settle(self, session: Session) -> bool:
        """Whether the pending sign-in was this session's to finish: once, and what was said of the person is gone."""
        now = self._clock()
        said = dict.fromkeys(("claims", "until", "onward", "auth_time", "acr", "amr"), "")
        with answering():
            done = self._sessions.find_one_and_update(
                {"_id": session.id, "until": {"$gt": now}}, {"$unset": said, "$set": {"expires_at": now + KEPT}}
            )
        return done is not None

    def forget(self, session: Session) -> None:
        """Who has come back in this session is not let in: nothing of what was said of the person stays."""
        with answering():
            self._sessions.delete_one({"_id": session.id})

    def sign_out_url(self, session_id: str, back: str) -> str | None:
        """Where to send the browser of an ended session to, so that it is signed out there too; None if it was not in.

        OpenID Connect RP-Initiated Logout s. 2
        """
        with answering():
            kept = self._sessions.find_one_and_delete({"_id": session_id})
        if kept is None:
            return None
        endpoint = self.sign_out_endpoint()
        if endpoint is None:  # signing out here does not wait for a provider that is not there
            return None
        hint = {"id_token_hint": kept["id_token"], "client_id": self._provider.client_id}
        separator = "&" if urlsplit(endpoint).query else "?"
        return f"{endpoint}{separator}{urlencode(hint | {'post_logout_redirect_uri': back})}"

    def sign_out_endpoint(self) -> str | None:
        """Where browsers are sent to be signed out; None if the provider does not say."""
        try:
            return self._published.endpoint("end_session_endpoint")
        except SignInRefused:
            return None

    def notice_due(self, sub: str) -> bool:
        """Whether the professional has yet to be told, or told again, what the national number is used for."""
        with answering():
            kept = self._notices.find_one({"_id": sub})
        return kept is None or bool(kept["acknowledged_at"] + NOTICE_EVERY <= self._clock())

    def acknowledge(self, sub: str) -> None:
        """The professional has read the notice."""
        with answering():
            self._notices.update_one({"_id": sub}, {"$set": {"acknowledged_at": self._clock()}}, upsert=True)

    def _claim(self, session: Session, state: object) -> dict[str, Any]:
        """What was begun under this state in this session: found once, and gone."""
        if not isinstance(state, str) or not state:
            raise SignInRefused("expired", "no state")
        query = {"_id": _digest(state), "session": session.id, "expires_at": {"$gt": self._clock()}}
        with answering():
            asked = self._requests.find_one_and_delete(query)
        if asked is None:
            raise SignInRefused("expired", "the state is not this session's, or not any more")
        return dict(asked)

    def _finish(self, session: Session, answer: Mapping[str, str], asked: Mapping[str, Any]) -> SignedIn:
        issuer = self._provider.issuer
        if answer.get("iss", issuer) != issuer:
            raise SignInRefused("untrusted", "the answer is another issuer's")
        if "error" in answer:
            raise SignInRefused("declined" if answer["error"] == "access_denied" else "unavailable", "an error")
        if not answer.get("code"):
            raise SignInRefused("untrusted", "no code")
        with self._client() as client:
            token = self._token(client, answer["code"], asked["verifier"])
            id_token = self._checked(token, asked)
            claims = self._user_info(client)
        if claims.get("sub") != id_token["sub"]:
            raise SignInRefused("untrusted", "UserInfo is of somebody else")
        acr = str(id_token["acr"])
        auth_time = self._auth_time(id_token, asked)
        signed_in = SignedIn(claims, asked["onward"], auth_time, acr, _means(claims))
        self._keep(session, signed_in, str(token["id_token"]))
        return signed_in

    def _keep(self, session: Session, signed_in: SignedIn, id_token: str) -> None:
        now = self._clock()
        values = {
            "claims": json.dumps(dict(signed_in.claims)),
            "onward": signed_in.onward,
            "auth_time": signed_in.auth_time,
            "acr": signed_in.acr,
            "amr": list(signed_in.amr),
            "id_token": id_token,
            "until": now + PATIENCE,
            "expires_at": now + PATIENCE,
        }
        with answering():
            self._sessions.update_one({"_id": session.id}, {"$set": values}, upsert=True)

    def _client(self) -> OAuth2Session:
        provider = self._provider
        client = OAuth2Session(
            provider.client_id,
            provider.client_secret,
            scope=SCOPE,
            redirect_uri=self._callback,
            code_challenge_method="S256",
            token_endpoint_auth_method=self._published.method(),
            default_timeout=TIMEOUT,
            leeway=0,  # the tokens of some providers live no longer than the default takes off
        )
        client.trust_env = not is_loopback(provider.issuer)
        client.max_redirects = 0
        return client

    def _token(self, client: OAuth2Session, code: str, verifier: str) -> Mapping[str, Any]:
        """What the token endpoint gives for the code.  RFC 6749 s. 4.1.3"""
        try:
            found = client.fetch_token(
                self._published.endpoint("token_endpoint"),
                grant_type="authorization_code",
                code=code,
                code_verifier=verifier,
            )
        except OAuthError as error:
            raise SignInRefused("untrusted", f"the token endpoint refused: {str(error.error)[:40]}") from None
        except (requests.RequestException, ValueError) as error:
            raise SignInRefused("unavailable", type(error).__name__) from None
        if not all(isinstance(found.get(name), str) for name in ("access_token", "id_token")):
            raise SignInRefused("untrusted", "a token is missing")
        return dict(found)

    def _user_info(self, client: OAuth2Session) -> dict[str, Any]:
        """What the provider says of the person.  OpenID Connect Core s. 5.3"""
        try:
            answer = client.get(self._published.endpoint("userinfo_endpoint"), headers={"Accept": "application/json"})
            answer.raise_for_status()
            claims = answer.json()
        except (OAuthError, requests.RequestException, ValueError) as error:
            raise SignInRefused("unavailable", f"UserInfo: {type(error).__name__}") from None
        if not isinstance(claims, dict):
            raise SignInRefused("untrusted", "UserInfo is not an object")
        return claims

    def _checked(self, token: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
        """The claims of the id_token.  Raises SignInRefused unless every one holds.  OpenID Connect Core s. 3.1.3.7"""
        claims = self._signed(token["id_token"])
        own, now = self._provider.client_id, self._clock()
        wrong = {
            "iss": claims.get("iss") != self._provider.issuer,
            "aud": claims.get("aud") not in (own, [own]),
            "azp": claims.get("azp", own) != own,
            "exp": not now - SKEW < _time(claims.get("exp")),
            "iat": not now - PATIENCE - SKEW < _time(claims.get("iat")) <= now + SKEW,
            "nonce": not secrets.compare_digest(str(claims.get("nonce")).encode(), asked["nonce"].encode()),
            "at_hash": not _is_hash(claims.get("at_hash"), token["access_token"]),
            "sub": not isinstance(claims.get("sub"), str) or not 0 < len(claims["sub"]) <= 255,
        }
        if refused := [name for name, is_wrong in wrong.items() if is_wrong]:
            raise SignInRefused("untrusted", f"id_token: {', '.join(refused)}")
        if claims.get("acr") not in LEVELS[LEVELS.index(self._provider.least) :]:
            raise SignInRefused("level", f"acr is not {self._provider.least} or above")
        return claims

    def _signed(self, id_token: str) -> dict[str, Any]:
        """The claims, once the signature is the provider's by the one algorithm; never by a key that comes along."""
        try:
            header = jws.extract_compact(id_token.encode()).headers()
            kid = header.get("kid")
            if header.get("alg") != ALGORITHM or not isinstance(kid, str):
                raise SignInRefused("untrusted", "id_token: alg or kid")
            return dict(jwt.decode(id_token, self._published.key(kid), algorithms=[ALGORITHM]).claims)
        except (JoseError, ValueError) as error:
            raise SignInRefused("untrusted", f"id_token: {type(error).__name__}") from None

    def _auth_time(self, claims: Mapping[str, Any], asked: Mapping[str, Any]) -> datetime:
        """When the person gave the card or the code: it must be said, and be since, where it was to be done anew."""
        stated = _time(claims.get("auth_time"))
        if asked["fresh"] and stated < asked["started_at"] - SKEW:
            raise SignInRefused("stale", "auth_time")
        since = stated if stated > _NEVER else _time(claims["iat"])
        return min(since, self._clock())


_NEVER = datetime.fromtimestamp(0, UTC)


def _means(claims: Mapping[str, Any]) -> tuple[str, ...]:
    """How the person was identified.  RFC 8176 s. 2"""
    return ("sc", "pin", "mfa") if claims.get("authMode") == "CARD" else ("swk", "pin", "mfa")


def _is_hash(stated: object, access_token: str) -> bool:
    """Whether the hash is that of the token; what does not state one is not held to it.  OIDC Core s. 3.1.3.6"""
    if stated is None:
        return True
    return secrets.compare_digest(str(stated).encode(), create_half_hash(access_token, ALGORITHM))


def _time(value: object) -> datetime:
    """A NumericDate, or the beginning of time for what is none.  RFC 7519 s. 2"""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e11:
        return _NEVER
    return datetime.fromtimestamp(value, UTC)


def _digest(state: str) -> str:
    return hashlib.sha256(state.encode("utf-8", "replace")).hexdigest()
