"""The steps from an authorization request to a code: pages call them, and what is decided on is kept and checked here.

    begin    the client's request, checked and kept: the browser gets nothing but its name
    step     which page is due: sign-in, patient, encounter, emergency, consent
    offer    what the page of consent shows; grant, refuse: the person's decision, made once

RFC 6749 s. 4.1; RFC 7636; RFC 9126; RFC 9207; RFC 9700; OpenID Connect Core s. 3.1.2; SMART 2.2: app-launch.html
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol
from urllib.parse import urlencode, urlsplit, urlunsplit

from authlib.oauth2.rfc6749.errors import InvalidScopeError

from fhir_server.access import Actor
from fhir_server.access.actor import Relation
from fhir_server.access.emergency import Refusal, stated
from fhir_server.access.scopes import parse
from fhir_server.accounts.account import Profile
from fhir_server.smart import asked as scopes_asked
from fhir_server.smart import offer as offers
from fhir_server.smart.clients import Client, Clients
from fhir_server.smart.codes import Codes
from fhir_server.smart.grants import Grant, Grants, new_grant_id
from fhir_server.smart.grounds import OFFLINE, ONLINE, Grounds, actor_of
from fhir_server.smart.launches import Launches
from fhir_server.smart.requests import AuthorizationRequest, Parameters, Requests
from fhir_server.smart.sessions import Session
from fhir_server.smart.subject import Subject

Step = Literal["sign-in", "patient", "encounter", "emergency", "consent"]

#: How long an app may come back by itself, at most.
LONGEST_LASTING = timedelta(days=366)
#: An emergency is opened by who has signed in no longer ago than this.
EMERGENCY_FRESH = timedelta(minutes=5)
#: A `state` that somebody could guess protects from nothing.
STATE_AT_LEAST = 16
STATE_AT_MOST = 2048
_STATE = re.compile(r"[\x20-\x7e]+")
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
_PROMPTS = {"none", "login", "consent", "select_account"}


class AuthorizationError(Exception):
    """
    What the person is told on a page of this server, since there is nowhere to send the browser back to.

    key: of the page's words: `client`, `redirect`, `request`, `expired`.  status: of the answer.
    """

    def __init__(self, key: str, status: int = 400):
        super().__init__(key)
        self.key = key
        self.status = status


class LocalError(AuthorizationError):
    """The client or its redirect URI is not known: nothing is sent anywhere.  RFC 6749 s. 4.1.2.1"""


class Refused(Exception):
    """The client is told of an error; `redirect` is where the browser goes.  RFC 6749 s. 4.1.2.1"""

    def __init__(self, error: str, description: str, redirect: str):
        super().__init__(error)
        self.error = error
        self.description = description
        self.redirect = redirect


class _Fault(Exception):
    """An error for the client: `error` of the standards, and a text of this server's."""

    def __init__(self, error: str, description: str):
        super().__init__(error)
        self.error = error
        self.description = description


@dataclass(frozen=True)
class Offer:
    """
    What a person is asked to allow.

    display             of the patient in context
    lasting_possible    the app asks to come back by itself, and may be let
    previous            what the person allows it already
    """

    client: Client
    subject: Subject
    patient: str | None
    display: str | None
    relation: Relation | None
    rows: tuple[offers.Row, ...]
    lasting_possible: bool
    previous: Grant | None
    mode: str


class Emergencies(Protocol):
    """What opens records in an emergency, as `emergencies.py` has it."""

    @property
    def lifetime(self) -> timedelta: ...
    def has_right(self, actor: Actor) -> bool: ...
    def refusal(self, actor: Actor) -> Refusal | None: ...


#: Records what happened: the interaction, by whom, in whose record, in what way; see `recording.py`.
Record = Callable[..., None]


@dataclass(frozen=True)
class Authorization:
    """
    The steps, over what is kept.

    issuer, base    the identifier of this server, and the FHIR base URL
    profiles        the records that an account may open
    constrain       raises BadRequest for what is no search of a type
    emergencies     who may open which record in an emergency, and for how long
    record          records who was let in, and who was not
    """

    issuer: str
    base: str
    clients: Clients
    requests: Requests
    codes: Codes
    grants: Grants
    launches: Launches
    profiles: Callable[[str], Iterable[Profile]]
    constrain: scopes_asked.Constrain
    emergencies: Emergencies
    record: Record
    clock: Callable[[], datetime]

    def begin(self, params: Parameters) -> str:
        """The name of the new request.  Raises LocalError until client and redirect URI are proven, then Refused."""
        client = self._client(params)
        if any(name == "request_uri" for name, _ in params):
            params = self._pulled(client, params)
        redirect_uri = self._redirect_uri(client, params)
        given = {name: value for name, value in params if value}
        try:
            checked = self._checked(client, params, given)
        except _Fault as fault:
            states = [value for name, value in params if name == "state" and _STATE.fullmatch(value)]
            raise self._refused(fault, redirect_uri, states[0] if len(states) == 1 else None) from None
        return self.requests.keep(client_id=client.client_id, redirect_uri=redirect_uri, **checked).id

    def check(self, client: Client, params: Parameters) -> None:
        """Raise LocalError or Refused for a pushed request that could not begin.  RFC 9126 s. 2.1"""
        redirect_uri = self._redirect_uri(client, params)
        try:
            self._checked(client, params, {name: value for name, value in params if value}, claim=False)
        except _Fault as fault:
            raise self._refused(fault, redirect_uri, None) from None

    def find(self, request_id: str, session: Session) -> AuthorizationRequest:
        """The request, bound to the session.  Raises AuthorizationError if it is past, or another session's."""
        found = self.requests.find(request_id, session.id)
        if found is None:
            raise AuthorizationError("expired", 400)
        return self._settled(found, session)

    def client_of(self, request: AuthorizationRequest) -> Client:
        """The client that asks.  Raises AuthorizationError if it was suspended meanwhile."""
        client = self.clients.find(request.client_id)
        if client is None:
            raise AuthorizationError("client", 400)
        return client

    def step(self, request: AuthorizationRequest, session: Session) -> Step | None:
        """
        The page that is due; None when nothing is, and `regrant` may be called.

        Raises Refused where the client wants no page (`prompt=none`) and one is due, or the launch is another user's.
        """
        due = self._due(request, session)
        if due and "none" in request.prompt:
            errors = {"sign-in": "login_required", "consent": "consent_required"}
            fault = _Fault(errors.get(due, "interaction_required"), "A page would have to be shown.")
            self.requests.take(request)
            raise self._refused(fault, request.redirect_uri, request.state)
        return due

    def choose_patient(
        self,
        request: AuthorizationRequest,
        session: Session,
        patient_id: str,
        relation: Relation | None = None,
        *,
        display: str | None = None,
        secret: bool = False,
    ) -> AuthorizationRequest:
        """
        The request with the patient in context.  A person chooses among the records of their account; for a
        professional the page has found the patient, and says what to call it.  Raises AuthorizationError.
        """
        subject = self._subject(session)
        person: str | None = None
        if subject.kind == "patient":
            profile = self._profile(subject, patient_id)
            if profile is None or relation not in (None, profile.relation):
                raise AuthorizationError("request", 400)
            relation, person, display = profile.relation, profile.resource, profile.display
        else:
            relation = None
        return self._changed(
            request,
            patient=patient_id,
            display=display,
            relation=relation,
            person=person,
            secret=secret and subject.kind == "professional" and request.mode == "normal",
            reason=None,
            purpose=None,
            chosen_by=subject.sub,
            encounter=request.encounter if request.patient == patient_id else None,
            encounter_asked=request.encounter_asked and request.patient == patient_id,
        )

    def choose_encounter(
        self, request: AuthorizationRequest, session: Session, encounter_id: str | None
    ) -> AuthorizationRequest:
        """The request with the encounter in context, or without one.  The page says only what is in the record."""
        self._subject(session)
        return self._changed(request, encounter=encounter_id, encounter_asked=True)

    def declare_emergency(
        self, request: AuthorizationRequest, session: Session, code: str, text: str
    ) -> AuthorizationRequest:
        """
        The request with why the record has to be opened: a code of the mode, and words.  `regrant` opens it then.

        Raises AuthorizationError without such a reason, and Refused, the request being over, if it cannot be opened.
        """
        subject = self._subject(session)
        reason = stated(request.mode, code, text)
        if reason is None or self._due(request, session) != "emergency":
            raise AuthorizationError("request", 400)
        changed = self._changed(request, reason=reason, purpose=code)
        if self.emergencies.refusal(self._actor(changed, subject)):
            raise self._denied(changed, subject)
        return changed

    def offer(self, request: AuthorizationRequest, session: Session) -> Offer:
        """What the page of consent shows."""
        subject, client = self._subject(session), self.client_of(request)
        professional = subject.kind == "professional"
        previous = self._previous(request, subject)
        rows = offers.rows(
            request.scope,
            essential=client.essential,
            previous=previous.scope if previous else None,
            professional=professional,
        )
        return Offer(
            client=client,
            subject=subject,
            patient=request.patient,
            display=request.display,
            relation=request.relation,
            rows=rows,
            lasting_possible=OFFLINE in request.scope.split() and request.mode == "normal",
            previous=previous,
            mode=request.mode,
        )

    def grant(
        self,
        request: AuthorizationRequest,
        session: Session,
        ticked: frozenset[str],
        lasting: timedelta | None = None,
    ) -> str:
        """
        Where the browser goes with the code: what was asked for and is ticked is granted, never more.

        lasting: how long the app may come back by itself; None for not at all.
        Raises AuthorizationError if the request was decided on already, or a step before is due.
        """
        if self._due(request, session) not in (None, "consent"):
            raise AuthorizationError("request", 400)
        rows = self.offer(request, session).rows
        ids = frozenset(ticked) | ({row.id for row in rows if OFFLINE in row.words} if lasting else frozenset())
        scope = offers.granted(request.scope, rows, ids)
        if lasting is None or request.mode != "normal":
            scope = " ".join(word for word in scope.split() if word != OFFLINE)
        return self._decided(request, session, scope, lasting)

    def regrant(self, request: AuthorizationRequest, session: Session) -> str:
        """Where the browser goes with the code when nothing had to be asked: all of it was granted before."""
        if self._due(request, session) is not None:
            raise AuthorizationError("request", 400)
        previous = self._previous(request, self._subject(session))
        until = previous.lasting_until if previous else None
        lasting = until - self.clock() if until else None
        scope = request.scope
        if lasting is None:
            scope = " ".join(word for word in scope.split() if word != OFFLINE)
        return self._decided(request, session, scope, lasting)

    def refuse(self, request: AuthorizationRequest, session: Session | None = None) -> str:
        """Where the browser goes when the person refuses.  Raises AuthorizationError if it was decided on already."""
        taken = self._taken(request)
        subject = session.subject if session else None
        self.record("refusal", subject=subject, client_id=taken.client_id, patient=taken.patient)
        return self._refused(_Fault("access_denied", "The person refused."), taken.redirect_uri, taken.state).redirect

    def _due(self, request: AuthorizationRequest, session: Session) -> Step | None:
        subject, client = session.subject, self.client_of(request)
        if subject is None or session.auth_time is None or not self._is_fresh(request, session.auth_time):
            return "sign-in"
        if subject.kind != client.audience:
            return "sign-in"  # as somebody else: this is not for who is signed in now
        if request.launch and request.launch["sub"] != subject.sub:
            self.requests.take(request)
            fault = _Fault("invalid_request", "The launch is not known.")
            raise self._refused(fault, request.redirect_uri, request.state)
        if request.mode != "normal" and not self.emergencies.has_right(self._actor(request, subject)):
            raise self._denied(request, subject)
        if self._wants_patient(request, subject) and (request.patient is None or self._is_stale(request, subject)):
            return "patient"
        if "launch/encounter" in request.scope.split() and not request.encounter and not request.encounter_asked:
            return "encounter"
        if request.mode != "normal" and not request.reason:
            return "emergency"
        return "consent" if self._needs_consent(request, subject, client) else None

    def _is_fresh(self, request: AuthorizationRequest, auth_time: datetime) -> bool:
        """Whether who is signed in did so as late as the client, or the access mode, asks for."""
        # The time of a sign-in is known to the second to some, to the millisecond here.
        began = request.created_at.replace(microsecond=0)
        if {"login", "select_account"} & set(request.prompt) and auth_time < began:
            return False
        if request.mode != "normal" and auth_time + EMERGENCY_FRESH < self.clock():
            return False
        return request.max_age is None or auth_time + timedelta(seconds=request.max_age) >= began

    def _wants_patient(self, request: AuthorizationRequest, subject: Subject) -> bool:
        if request.mode != "normal" or scopes_asked.needs_patient(request.scope):
            return True
        return subject.kind == "patient" and bool(parse(request.scope))

    def _settled(self, request: AuthorizationRequest, session: Session) -> AuthorizationRequest:
        """The request with the record chosen where there is nothing to choose: one alone, or the one of the launch."""
        subject = session.subject
        if subject is None or subject.account is None or not self._wants_patient(request, subject):
            return request
        if request.patient and not self._is_stale(request, subject):
            return request
        launched = (request.launch or {}).get("patient")
        found = [one for one in self.profiles(subject.account) if launched in (None, one.patient)]
        return self.choose_patient(request, session, found[0].patient) if len(found) == 1 else request

    def _is_stale(self, request: AuthorizationRequest, subject: Subject) -> bool:
        """Whether another person chose the patient, or this one may no longer open the record."""
        launched = (request.launch or {}).get("patient")
        if subject.kind == "professional" and request.patient == launched is not None:
            return False
        if request.chosen_by != subject.sub:
            return True
        return subject.kind == "patient" and self._profile(subject, request.patient) is None

    def _needs_consent(self, request: AuthorizationRequest, subject: Subject, client: Client) -> bool:
        """
        Whether the person has to be asked: always for a public client, which anybody can pretend to be, and unless all
        of it is granted already.  RFC 8252 s. 8.6

        Who declares an emergency has decided with that: the page of it names the client, and what it will read.
        """
        if request.mode != "normal":
            return False
        if client.kind == "public" or "consent" in request.prompt:
            return True
        previous = self._previous(request, subject)
        if previous is None or not previous.lasting_until or previous.lasting_until <= self.clock():
            return True
        return not offers.asks_no_more(request.scope, previous.scope)

    def _previous(self, request: AuthorizationRequest, subject: Subject) -> Grant | None:
        patient = request.patient if subject.kind == "patient" else None
        return self.grants.living(subject.sub, request.client_id, patient)

    def _decided(self, request: AuthorizationRequest, session: Session, scope: str, lasting: timedelta | None) -> str:
        """Where the browser goes with a code for this scope."""
        subject = self._subject(session)
        if not parse(scope) and "openid" not in scope.split():
            return self.refuse(request, session)
        taken = self._taken(request)
        now = self.clock()
        until = now + min(lasting, LONGEST_LASTING) if lasting and OFFLINE in scope.split() else None
        grant = None
        if taken.mode == "normal":
            professional = subject.kind == "professional"
            grant = self.grants.give(
                taken.scope,
                Grant(
                    id=new_grant_id(),
                    sub=subject.sub,
                    client_id=taken.client_id,
                    patient=None if professional else taken.patient,
                    relation=taken.relation,
                    person=_person(taken, subject, self._own(subject)),
                    scope=scope,
                    lasting_until=until,
                    granted_at=now,
                    last_used_at=now,
                ),
            )
        else:
            scope = read_only(scope)
            until = now + self.emergencies.lifetime
        grounds = self._grounds(taken, session, subject, scope=scope, grant=grant, until=until)
        code = self.codes.issue(grounds, redirect_uri=taken.redirect_uri, code_challenge=taken.code_challenge)
        self.record("grant", actor=actor_of(grounds), patient=taken.patient, description=scope)
        return self._answer(taken.redirect_uri, {"code": code, "state": taken.state})

    def _grounds(
        self,
        request: AuthorizationRequest,
        session: Session,
        subject: Subject,
        *,
        scope: str,
        grant: Grant | None,
        until: datetime | None,
    ) -> Grounds:
        client = self.client_of(request)
        person = _person(request, subject, self._own(subject))
        launch = dict(request.launch or {})
        emergency = request.mode != "normal"
        banner = emergency or bool(launch.get("need_patient_banner", True))
        context = {
            "patient": request.patient,
            "encounter": request.encounter,
            "need_patient_banner": banner if request.patient else None,
            "intent": launch.get("intent"),
            "fhirContext": launch.get("fhir_context") or None,
            # Names of our own begin with two underscores.  SMART 2.2: app-launch.html#response-5
            "__mode": request.mode if emergency else None,
            "__reason": request.purpose if emergency else None,
        }
        if session.auth_time is None:
            raise AuthorizationError("request", 400)
        return Grounds(
            actor=self._holder(request, subject, client),
            scope=scope,
            sub=subject.sub,
            client_id=client.client_id,
            audience=self.base,
            session=session.id,
            auth_time=session.auth_time,
            acr=session.acr,
            amr=session.amr,
            context={name: value for name, value in context.items() if value is not None},
            fhir_user=f"{self.base}/{person}" if person else None,
            grant=grant.id if grant else None,
            until=until,
            nonce=request.nonce,
            jkt=request.dpop_jkt,
        )

    def _holder(self, request: AuthorizationRequest, subject: Subject, client: Client) -> dict[str, Any]:
        """What is said of who will hold the token: the fields of the Actor but its scopes, those that say something."""
        person = _person(request, subject, self._own(subject))
        said: dict[str, Any] = {
            "kind": subject.kind,
            "name": subject.name,
            "patient": request.patient,
            "practitioner": subject.practitioner,
            "mode": request.mode,
            "reason": request.reason,
            "client_id": client.client_id,
            "person": person if subject.kind == "patient" else None,
            "relation": request.relation,
            "role": subject.role,
            "organization": subject.organization,
            "profession": subject.profession,
            "specialty": subject.specialty,
            "regulator": subject.regulator,
            "secret": request.secret,
            "software": client.name,
        }
        return {name: value for name, value in said.items() if value}

    def _actor(self, request: AuthorizationRequest, subject: Subject) -> Actor:
        return Actor(scopes=(), **self._holder(request, subject, self.client_of(request)))

    def _denied(self, request: AuthorizationRequest, subject: Subject) -> Refused:
        """
        What the client is told of an emergency that is not opened, the request being over, and the attempt recorded.

        One text whatever the reason: it must not tell what the patient has chosen.
        """
        self._taken(request)
        self.record("refusal", actor=self._actor(request, subject), patient=request.patient, refused=True)
        fault = _Fault("access_denied", "The record cannot be opened in this access mode.")
        return self._refused(fault, request.redirect_uri, request.state)

    def _subject(self, session: Session) -> Subject:
        if session.subject is None:
            raise AuthorizationError("request", 400)
        return session.subject

    def _profile(self, subject: Subject, patient_id: str | None) -> Profile | None:
        if subject.account is None:
            return None
        return next((one for one in self.profiles(subject.account) if one.patient == patient_id), None)

    def _own(self, subject: Subject) -> str | None:
        """The resource of the person, where no record was chosen."""
        if subject.account is None:
            return None
        return next((one.resource for one in self.profiles(subject.account) if one.relation == "self"), None)

    def _changed(self, request: AuthorizationRequest, **chosen: Any) -> AuthorizationRequest:
        changed = self.requests.change(request, **chosen)
        if changed is None:
            raise AuthorizationError("expired", 400)
        return changed

    def _taken(self, request: AuthorizationRequest) -> AuthorizationRequest:
        taken = self.requests.take(request)
        if taken is None:
            raise AuthorizationError("expired", 400)
        return taken

    def _client(self, params: Parameters) -> Client:
        found = [value for name, value in params if name == "client_id"]
        client = self.clients.find(found[0]) if len(found) == 1 else None
        if client is None:
            raise LocalError("client")
        return client

    def _redirect_uri(self, client: Client, params: Parameters) -> str:
        found = [value for name, value in params if name == "redirect_uri"]
        if len(found) != 1 or not client.check_redirect_uri(found[0]):
            raise LocalError("redirect")
        return found[0]

    def _pulled(self, client: Client, params: Parameters) -> Parameters:
        """What the client has pushed; what else stands in the browser's request counts for nothing.  RFC 9126 s. 4"""
        uris = [value for name, value in params if name == "request_uri"]
        pulled = self.requests.pull(uris[0], client.client_id) if len(uris) == 1 else None
        if pulled is None:
            raise LocalError("expired")
        return pulled

    def _checked(
        self, client: Client, params: Parameters, given: Mapping[str, str], *, claim: bool = True
    ) -> dict[str, Any]:
        """The fields of the request.  Raises _Fault.  claim: whether the launch is spent by this."""
        _check_form(params, given)
        if not client.check_response_type("code"):
            raise _Fault("unauthorized_client", "This client has nobody sign in.")
        self._check_audience(given)
        try:
            scope = scopes_asked.allowed(given.get("scope", ""), client.scope, self.constrain)
            mode = scopes_asked.mode_of(scope)
        except InvalidScopeError as error:
            raise _Fault("invalid_scope", str(error.description)) from None
        if mode != "normal" and client.audience != "professional":
            raise _Fault("invalid_scope", "This access mode is for the software of professionals.")
        if mode != "normal":
            scope = read_only(" ".join(word for word in scope.split() if word not in (OFFLINE, ONLINE)))
            if not parse(scope):
                raise _Fault("invalid_scope", "This access mode reads, and no scope does.")
        if not parse(scope) and "openid" not in scope.split():
            raise _Fault("invalid_scope", "The scope opens nothing, and does not ask who signs in.")
        launch = self._launch(client, given, scope, claim=claim)
        return {
            "scope": scope,
            "state": given["state"],
            "aud": self.base,
            "code_challenge": given["code_challenge"],
            "nonce": given.get("nonce"),
            "prompt": tuple(given.get("prompt", "").split()),
            "max_age": int(given["max_age"]) if "max_age" in given else None,
            "login_hint": given.get("login_hint"),
            "launch": launch,
            "dpop_jkt": given.get("dpop_jkt"),
            "mode": mode,
            "patient": launch.get("patient") if launch else None,
            "display": launch.get("display") if launch else None,
            "encounter": launch.get("encounter") if launch else None,
        }

    def _check_audience(self, given: Mapping[str, str]) -> None:
        """
        `aud` is the FHIR base URL, to the letter, one trailing slash aside; `resource` is another word for it.

        SMART 2.2: app-launch.html; RFC 8707 s. 2
        """
        named = [given[name] for name in ("aud", "resource") if name in given]
        if not named or any(value.removesuffix("/") != self.base for value in named):
            raise _Fault("invalid_request", "aud has to be the FHIR base URL of this server.")

    def _launch(self, client: Client, given: Mapping[str, str], scope: str, *, claim: bool) -> dict[str, Any] | None:
        if "launch" not in given:
            if "launch" in scope.split():
                raise _Fault("invalid_request", "The scope launch goes with the parameter launch.")
            return None
        if "launch" not in scope.split():
            raise _Fault("invalid_request", "The parameter launch goes with the scope launch.")
        if not claim:
            return None
        found = self.launches.claim(given["launch"], client.client_id)
        if found is None:
            raise _Fault("invalid_request", "The launch is not known.")
        return found

    def _refused(self, fault: _Fault, redirect_uri: str, state: str | None) -> Refused:
        told = {"error": fault.error, "error_description": fault.description}
        return Refused(
            fault.error, fault.description, self._answer(redirect_uri, told | ({"state": state} if state else {}))
        )

    def _answer(self, redirect_uri: str, told: Mapping[str, str]) -> str:
        """The redirect URI with what is told, and who tells it.  RFC 9207 s. 2"""
        parts = urlsplit(redirect_uri)
        query = "&".join(filter(None, (parts.query, urlencode({**told, "iss": self.issuer}))))
        return urlunsplit(parts._replace(query=query))


def _check_form(params: Parameters, given: Mapping[str, str]) -> None:
    """Raise _Fault unless the parameters are as a client of SMART sends them."""
    counted = Counter(name for name, _ in params)
    if any(count > 1 for count in counted.values()):
        raise _Fault("invalid_request", "A parameter is there twice.")
    if "request" in given:
        raise _Fault("request_not_supported", "Push the request instead.")
    if "response_type" not in given:
        raise _Fault("invalid_request", "response_type is missing.")
    if given["response_type"] != "code":
        raise _Fault("unsupported_response_type", "The response type is code.")
    if given.get("response_mode", "query") != "query":
        raise _Fault("invalid_request", "The response mode is query.")
    state = given.get("state", "")
    if not STATE_AT_LEAST <= len(state) <= STATE_AT_MOST or not _STATE.fullmatch(state):
        raise _Fault("invalid_request", f"state is needed, of {STATE_AT_LEAST} to {STATE_AT_MOST} characters.")
    if given.get("code_challenge_method") != "S256" or not _CHALLENGE.fullmatch(given.get("code_challenge", "")):
        raise _Fault("invalid_request", "code_challenge is needed, and code_challenge_method=S256.")
    prompts = set(given.get("prompt", "").split())
    if not prompts <= _PROMPTS or ("none" in prompts and len(prompts) > 1):
        raise _Fault("invalid_request", "The prompt is not known.")
    if not re.fullmatch(r"[0-9]{1,9}", given.get("max_age", "0")):
        raise _Fault("invalid_request", "max_age is a number of seconds.")
    if "dpop_jkt" in given and not _CHALLENGE.fullmatch(given["dpop_jkt"]):
        raise _Fault("invalid_request", "dpop_jkt is a thumbprint.")
    longest = {"nonce": 1024, "login_hint": 256, "launch": 256}
    if any(len(given.get(name, "")) > most for name, most in longest.items()):
        raise _Fault("invalid_request", "A parameter is too long.")


def _person(request: AuthorizationRequest, subject: Subject, own: str | None) -> str | None:
    """The resource of who is signed in.  A professional is the Practitioner, never the PractitionerRole."""
    if subject.kind == "professional":
        return f"Practitioner/{subject.practitioner}" if subject.practitioner else None
    return request.person or own


def read_only(scope: str) -> str:
    """
    The scope without what writes: an emergency access reads.

    >>> read_only("launch/patient user/*.cruds user/Observation.cud __bris_de_glace")
    'launch/patient user/*.rs __bris_de_glace'
    """
    words: dict[str, None] = {}
    for word in scope.split():
        found = parse(word)
        if not found:
            words[word] = None
            continue
        for one in found:
            letters = "".join(letter for letter in one.letters if letter in "rs")
            if letters == one.letters:
                words[word] = None
            elif letters:
                words[f"{one.context}/{one.type}.{letters}{one.query}"] = None
    return " ".join(words)
