"""The authorization server, put together: what is kept, who makes tokens of it, and Authlib's server in front."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from authlib.integrations.flask_oauth2 import AuthorizationServer as FlaskAuthorizationServer
from authlib.oauth2.rfc6749 import OAuth2Payload, OAuth2Request
from authlib.oauth2.rfc6749.errors import InvalidRequestError, OAuth2Error
from flask import Request, Response
from flask import request as flask_request
from pymongo.database import Database
from werkzeug.datastructures import MultiDict

from fhir_server.access import Actor
from fhir_server.accounts.account import Profile
from fhir_server.accounts.rates import Rates
from fhir_server.fhir.outcome import Unauthorized
from fhir_server.smart.asked import Constrain
from fhir_server.smart.assertions import Assertions
from fhir_server.smart.authentication import Authentication, refuse_query
from fhir_server.smart.authorization import Authorization
from fhir_server.smart.backend import BackendGrant
from fhir_server.smart.clients import Clients
from fhir_server.smart.code_flow import CodeGrant, RefreshGrant
from fhir_server.smart.codes import Codes
from fhir_server.smart.dpop import ALGORITHMS as PROOF_ALGORITHMS
from fhir_server.smart.dpop import InvalidProof, Proofs
from fhir_server.smart.emergencies import Emergencies
from fhir_server.smart.fetching import Fetched
from fhir_server.smart.grants import Grant, Grants, Together, alone
from fhir_server.smart.grounds import Grounds
from fhir_server.smart.identity import Identity
from fhir_server.smart.introspection import Introspection
from fhir_server.smart.issuing import Issuer, Standing
from fhir_server.smart.key_sets import KeySets
from fhir_server.smart.keys import Keys
from fhir_server.smart.launches import Launches
from fhir_server.smart.metadata import Metadata
from fhir_server.smart.refresh import Families
from fhir_server.smart.registration import Invitations, Registration
from fhir_server.smart.requests import Requests
from fhir_server.smart.revocation import Revocation
from fhir_server.smart.sessions import Sessions
from fhir_server.smart.tokens import Opening, Tokens, nothing_opened
from fhir_server.storage.store import Ahead, Brought

STYLE = "/smart/style.json"


@dataclass(frozen=True)
class Kept:
    """Everything that the authorization server keeps."""

    clients: Clients
    keys: Keys
    sessions: Sessions
    requests: Requests
    codes: Codes
    grants: Grants
    launches: Launches
    tokens: Tokens
    families: Families
    assertions: Assertions
    proofs: Proofs
    invitations: Invitations

    def prepare(self) -> None:
        """Make the indexes: one of each kind, before the server starts."""
        for each in vars(self).values():
            each.prepare()

    def end_of(self, sub: str) -> None:
        """End all that hangs on this person's sign-ins: the password was changed, the account was closed."""
        self.sessions.end_all(sub)
        self.families.end(sub=sub)
        self.tokens.end(sub=sub)


def kept(
    database: Database,
    issuer: str,
    *,
    clock: Callable[[], datetime],
    fetch: Callable[[str], Fetched],
    sealing_key: str | None = None,
    together: Together = alone,
    emergency: Opening = nothing_opened,
) -> Kept:
    """
    What the authorization server of this issuer keeps in the database.

    fetch: the public keys of a client, from its address.  together: see `Grants`.  emergency: see `Tokens`.
    """
    clients, codes, families = Clients(database, clock), Codes(database, clock), Families(database, clock)

    def follow(grant: Grant) -> None:
        """The tokens of a grant are what the grant is, before anyone is told."""
        if grant.status == "live":
            tokens.narrow(grant.id, grant.scope)
        else:
            families.end(grant=grant.id)
            tokens.end(grant=grant.id)

    def signed_out(session: str) -> None:
        families.end(session=session)
        tokens.end(session=session)

    grants = Grants(database, clock, changed=follow, together=together)
    sessions = Sessions(database, clock, ended=signed_out)
    standing = Standing(clients, grants, families, codes, sessions)
    tokens = Tokens(database, clock, base=f"{issuer}/fhir", stands=standing, emergency=emergency)
    audiences = (issuer, f"{issuer}/oauth/token")
    return Kept(
        clients=clients,
        keys=Keys(database, clock, sealing_key=sealing_key),
        sessions=sessions,
        requests=Requests(database, clock),
        codes=codes,
        grants=grants,
        launches=Launches(database, clock),
        tokens=tokens,
        families=families,
        assertions=Assertions(database, clock, audiences=audiences, key_sets=KeySets(clock, fetch)),
        proofs=Proofs(database, clock),
        invitations=Invitations(database, clock),
    )


@dataclass(frozen=True)
class Smart:
    """The authorization server of one process."""

    issuer: str
    kept: Kept
    authorization: Authorization
    identity: Identity
    metadata: Metadata
    oauth: AuthorizationServer
    revocation: Revocation
    introspection: Introspection
    registration: Registration
    rates: Rates
    emergencies: Emergencies
    record: Callable[..., None]

    def authenticate(self, token: str, foresee: Callable[[Actor | None], Ahead | None]) -> tuple[Actor, Brought | None]:
        """Who sent the request under way: see `Tokens.authenticate`.  Raises Unauthorized."""
        return self.kept.tokens.authenticate(token, foresee, jkt=self.oauth.proven_here(token))


def smart(
    kept: Kept,
    issuer: str,
    *,
    clock: Callable[[], datetime],
    profiles: Callable[[str], Iterable[Profile]],
    constrain: Constrain,
    record: Callable[..., None],
    in_standing: Callable[[Grounds], bool],
    emergencies: Emergencies,
    notify: Callable[[Grounds], None],
    rates: Rates,
    fetch_private: bool = False,
    brand: Mapping[str, Any] | None = None,
) -> Smart:
    """
    The authorization server over what is kept.

    profiles      the records that an account may open
    constrain     raises BadRequest for what is no search of a type
    record        see `recording.py`
    in_standing   whether who signed in may still act
    emergencies   those that `kept` opens
    notify        tells the person that an app was disconnected, since somebody else may have been using it
    fetch_private whether the keys of a client may be on a private address
    rates         counts what is asked, and by whom
    brand         the identifier of this server's own among the user-access brands
    """
    identity = Identity(issuer, kept.keys, clock)
    issuing = Issuer(
        tokens=kept.tokens,
        families=kept.families,
        codes=kept.codes,
        grants=kept.grants,
        identity=identity,
        style=issuer + STYLE,
        in_standing=in_standing,
        record=record,
        notify=notify,
        clock=clock,
    )
    authorization = Authorization(
        issuer=issuer,
        base=f"{issuer}/fhir",
        clients=kept.clients,
        requests=kept.requests,
        codes=kept.codes,
        grants=kept.grants,
        launches=kept.launches,
        profiles=profiles,
        constrain=constrain,
        emergencies=emergencies,
        record=record,
        clock=clock,
    )
    authentication = Authentication(kept.clients.find, kept.assertions, record)
    return Smart(
        issuer=issuer,
        kept=kept,
        authorization=authorization,
        identity=identity,
        metadata=Metadata(issuer, brand, dpop=PROOF_ALGORITHMS),
        oauth=AuthorizationServer(issuer, kept, issuing, authentication),
        revocation=Revocation(kept.tokens, kept.families, authentication, emergencies.end),
        introspection=Introspection(issuer, kept.tokens, kept.families, authentication, rates),
        registration=Registration(kept.clients, kept.invitations, record, clock, private=fetch_private),
        rates=rates,
        emergencies=emergencies,
        record=record,
    )


class _Form(OAuth2Payload):
    """The parameters of a request: those of its body alone.  RFC 6749 s. 3.2"""

    def __init__(self, form: MultiDict[str, str]):
        self._form = form

    @property
    def data(self) -> MultiDict[str, str]:
        return self._form

    @property
    def datalist(self) -> Any:
        return {name: self._form.getlist(name) for name in self._form}


class TokenRequest(OAuth2Request):
    """A request to an endpoint of clients, as Authlib reads it."""

    def __init__(self, request: Request, issuer: str):
        # Authlib refuses plain http but to localhost.  Whether TLS is in front of this server its operator says, by
        # the base URL; the Host header says nothing.
        super().__init__(request.method, "https:" + issuer.partition(":")[2] + request.path, headers=request.headers)
        self.payload = _Form(request.form)
        self._form = request.form
        self.query = request.query_string.decode("ascii", "replace")

    @property
    def args(self) -> MultiDict[str, str]:
        """Nothing: what stands in a URL ends up in logs."""
        return MultiDict()

    @property
    def form(self) -> MultiDict[str, str]:
        """The parameters in the body."""
        return self._form


class _UnknownGrantType(OAuth2Error):
    """RFC 6749 s. 5.2.  Authlib's own repeats what was sent."""

    error = "unsupported_grant_type"
    description = "The grant type is not known."


class AuthorizationServer(FlaskAuthorizationServer):
    """Authlib's server, with this server's clients, grants and tokens."""

    def __init__(self, issuer: str, kept: Kept, issuing: Issuer, authentication: Authentication):
        super().__init__()
        self._base_url = issuer
        self._client_auth = authentication
        self._proofs = kept.proofs
        self.issuer = issuing
        self.codes = kept.codes
        self.families = kept.families
        self.find_client = kept.clients.find
        for grant in (CodeGrant, RefreshGrant, BackendGrant):
            self.register_grant(grant)

    def create_oauth2_request(self, request: Request | None) -> OAuth2Request:
        """The request, read from its body."""
        return TokenRequest(request or flask_request, self._base_url)

    def get_token_grant(self, request: OAuth2Request) -> Any:
        """The grant that the request presents.  Raises OAuth2Error."""
        if not request.payload.grant_type:
            raise InvalidRequestError("grant_type is missing.")
        for grant, _ in self._token_grants:
            if grant.check_token_endpoint(request):
                return grant(request, self)
        raise _UnknownGrantType

    def proven(self, request: OAuth2Request) -> str | None:
        """
        The thumbprint of the key that the request brings a proof of, if it does.

        Raises InvalidProof for one that is wrong, or missing though the client's tokens are bound to a key.
        """
        if "DPoP" in request.headers:
            return self._key(flask_request)
        if request.client and request.client.dpop_bound:
            raise InvalidProof("The tokens of this client are bound to a key: a proof of it is needed.")
        return None

    def proven_here(self, token: str) -> str | None:
        """
        The thumbprint of the key that the request under way proves for this access token; None if it asks by the token
        alone.  Raises Unauthorized for a proof that is wrong.  RFC 9449 s. 7.1
        """
        if flask_request.headers.get("Authorization", "").partition(" ")[0].lower() != "dpop":
            return None
        try:
            return self._key(flask_request, token)
        except InvalidProof as error:
            challenge = f'DPoP realm="fhir-server", error="{error.error}", algs="{" ".join(PROOF_ALGORITHMS)}"'
            raise Unauthorized(
                "The proof of the key is missing or wrong.", headers={"WWW-Authenticate": challenge}
            ) from None

    def _key(self, request: Request, token: str | None = None) -> str:
        proofs = request.headers.getlist("DPoP")
        if len(proofs) != 1:
            raise InvalidProof("One proof is needed.")
        return self._proofs.key_of(proofs[0], method=request.method, url=self._base_url + request.path, token=token)

    def respond(self, answer: Callable[[TokenRequest], Response]) -> Response:
        """The answer to a request of a client, or the error that it comes to: what is asked stands in the body."""
        request = TokenRequest(flask_request, self._base_url)
        try:
            refuse_query(request.query, request.form)
            return answer(request)
        except OAuth2Error as error:
            return self.handle_error_response(request, error)
