"""What the token endpoint gives: tokens with their context, first for a code and then for each refresh token.

RFC 6749 s. 5.1; SMART 2.2: app-launch.html#response-5, scopes-and-launch-context.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from authlib.oauth2.rfc6749.errors import InvalidGrantError, InvalidScopeError

from fhir_server.access.scopes import narrow, parse
from fhir_server.smart import offer
from fhir_server.smart.clients import Clients
from fhir_server.smart.codes import Code, Codes
from fhir_server.smart.grants import Grant, Grants
from fhir_server.smart.grounds import OFFLINE, ONLINE, Grounds, actor_of
from fhir_server.smart.identity import Identity
from fhir_server.smart.refresh import Families, Family, Reused
from fhir_server.smart.sessions import Sessions
from fhir_server.smart.tokens import NotIssued, Tokens, digest

#: How long an access token lives, by who is signed in; a professional has many records open in a day.
LIFETIMES = {"patient": timedelta(hours=1), "professional": timedelta(minutes=30)}
SHORTEST = timedelta(seconds=1)


@dataclass(frozen=True)
class Issuer:
    """
    Makes tokens on what is kept.

    style        the address of the style document.  SMART 2.2: `smart_style_url`
    in_standing  whether who signed in may still act: the account is open, the person alive
    record       records each token, and each refresh token that came twice
    notify       tells the person that an app was disconnected, since somebody else may have been using it
    """

    tokens: Tokens
    families: Families
    codes: Codes
    grants: Grants
    identity: Identity
    style: str
    in_standing: Callable[[Grounds], bool]
    record: Callable[..., None]
    notify: Callable[[Grounds], None]
    clock: Callable[[], datetime]

    def first(self, code: Code, jkt: str | None) -> dict[str, Any]:
        """The answer for a code that was claimed just now.  Raises InvalidGrantError."""
        on = replace(code.grounds, jkt=jkt)
        more: dict[str, Any] = {}
        family = None
        if on.refreshes:
            family, more["refresh_token"] = self.families.start(on, code=code.id)
        answer, stands = self._answer(on, on.scope, family=family, code=code.id)
        if not stands:
            self.families.end(code=code.id)
        # A second use that came meanwhile has ended what this one made; the first is answered as the first.
        if answer is None or (not stands and self.codes.is_good(code.id)):
            raise InvalidGrantError("What the code stands for has ended.")
        if "openid" in on.words:
            more["id_token"] = self.identity.id_token(on, answer["access_token"])
        return answer | more

    def again(self, family: Family, token: str, asked: str | None) -> dict[str, Any]:
        """
        The answer for a refresh token, which is spent.  asked: less than was granted.

        Raises InvalidScopeError for more than was granted, and InvalidGrantError; the family ends if it had been spent.
        """
        on = family.grounds
        grant = self.grants.find(on.grant) if on.grant else None
        if grant is None or grant.status != "live" or not self.in_standing(on):
            self.families.end(_id=family.id)
            self.tokens.end(family=family.id)
            raise InvalidGrantError("The refresh token is not known, or has expired.")
        scope = narrow(grant.scope, on.scope)
        if (OFFLINE if on.is_lasting else ONLINE) not in scope.split():
            # Coming back is what the person has taken back by itself.
            self.families.end(_id=family.id)
            raise InvalidGrantError("The refresh token is not known, or has expired.")
        if asked:
            if not offer.asks_no_more(asked, scope):
                raise InvalidScopeError("More is asked for than was granted.")
            scope = asked
        if not parse(scope) and "openid" not in scope.split():
            raise InvalidGrantError("The refresh token is not known, or has expired.")
        try:
            following = self.families.rotate(family, token)
        except Reused:
            self.reused(family)
            raise InvalidGrantError("The refresh token is not known, or has expired.") from None
        answer, stands = self._answer(on, scope, family=family.id, code=family.code)
        if answer is None or not stands:
            raise InvalidGrantError("The refresh token is not known, or has expired.")
        self.grants.use(grant.id)
        return answer | {"refresh_token": following}

    def reused(self, family: Family) -> None:
        """End what the family made: a refresh token of it has come twice, and one of the two holders is a thief."""
        first = self.families.distrust(family)
        self.tokens.end(family=family.id)
        on = family.grounds
        self.record(
            "reuse",
            actor=actor_of(on),
            patient=on.actor.get("patient"),
            description="A refresh token was used twice; the app has to be connected again.",
            refused=True,
        )
        if first:
            self.notify(on)

    def replayed(self, code: Code) -> None:
        """End what the code made: it has come twice.  RFC 6749 s. 4.1.2"""
        self.families.end(code=code.id)
        self.tokens.end(code=code.id)
        on = code.grounds
        self.record(
            "reuse",
            actor=actor_of(on),
            patient=on.actor.get("patient"),
            description="An authorization code was used twice; what it gave is dead.",
            refused=True,
        )

    def _answer(
        self, on: Grounds, scope: str, *, family: str | None, code: str | None
    ) -> tuple[dict[str, Any] | None, bool]:
        """The answer but for its refresh token, if there is one, and whether its token is good for anything."""
        now = self.clock()
        lifetime = LIFETIMES[on.actor["kind"]]
        if on.actor.get("mode", "normal") != "normal":
            if on.until is None:
                raise NotIssued
            lifetime = on.until - now
        elif on.until:
            lifetime = min(lifetime, on.until - now)
        if lifetime < SHORTEST:
            return None, False
        actor = actor_of(replace(on, scope=scope))
        token, stands = None, True
        try:
            token = self.tokens.issue(
                actor,
                scope,
                lifetime,
                grant=on.grant,
                session=None if on.is_lasting else on.session,
                audience=on.audience,
                jkt=on.jkt,
                family=family,
                code=code,
                sub=on.sub,
                fhir_user=on.fhir_user if "fhirUser" in on.words else None,
                context=dict(on.context),
            )
            if not self.in_standing(on):  # asked once the token is there, as in `Standing` and for its reason
                self.tokens.end(_id=digest(token))
                stands = False
        except NotIssued as ended:
            token, stands = ended.token, False
        self.record("token", actor=actor, patient=actor.patient, description=scope, refused=not stands)
        return {
            "access_token": token,
            "token_type": "DPoP" if on.jkt else "Bearer",
            "expires_in": int(lifetime.total_seconds()),
            "scope": scope,
            **on.context,
            "smart_style_url": self.style,
        }, stands


@dataclass(frozen=True)
class Standing:
    """Whether what a token is issued on is still good, once the token is there: see `Tokens`."""

    clients: Clients
    grants: Grants
    families: Families
    codes: Codes
    sessions: Sessions

    def __call__(self, kept: Mapping[str, Any]) -> bool:
        client_id, family, code = kept.get("client_id"), kept.get("family"), kept.get("code")
        if client_id and self.clients.find(client_id) is None:
            return False
        if "grant" in kept and not _allows(self.grants.find(kept["grant"]), kept["scope"]):
            return False
        if family and not self.families.is_live(family):
            return False
        if code and not self.codes.is_good(code):
            return False
        # A family of a session ends with it; where there is none, the session is asked itself.
        return not ("session" in kept and not family and self.sessions.alive(kept["session"]) is None)


def _allows(grant: Grant | None, scope: str) -> bool:
    return grant is not None and grant.status == "live" and offer.asks_no_more(scope, grant.scope)
