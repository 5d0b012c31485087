"""What a client says of itself when it is registered, read strictly: whatever could lead people astray is refused.

The names are those of RFC 7591 s. 2, and these: `publisher`, `audience` (patient, professional, backend), `launch_uri`,
`origins`, `description` (by language), `logo` (a data URL), `essential` (scopes that it cannot do without),
`organization`, `resource_server`.  What is not known is left out.
"""

from __future__ import annotations

import binascii
import re
import unicodedata
from base64 import b64decode
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlsplit

from authlib.oauth2.rfc6749 import OAuth2Error

from fhir_server.access.scopes import parse
from fhir_server.smart import names
from fhir_server.smart.asked import FREE, HELD, MODES
from fhir_server.smart.clients import LOOPBACK, METHODS, Audience, Client, Kind, new_id, new_secret
from fhir_server.smart.fetching import FetchError, check
from fhir_server.smart.introspection import INTROSPECT
from fhir_server.smart.key_sets import PRIVATE, UnusableKey, listed, public_key
from fhir_server.smart.tokens import digest

KINDS: dict[str, Kind] = {method: kind for kind, method in METHODS.items()}
AUDIENCES: tuple[Audience, ...] = ("patient", "professional", "backend")
#: What a registration at the endpoint may not decide of itself.
RESERVED = ("publisher", "audience", "organization", "resource_server", "client_id")

_CONTEXTS = {"patient": ("patient", "user"), "professional": ("patient", "user"), "backend": ("system",)}
_GRANTS = {"authorization_code", "refresh_token"}
_LONGEST_URI = 2_000
_LONGEST_TEXT = 500
_LARGEST_LOGO = 100_000
_MOST = 20
#: Formats that hold no program, with the bytes they begin with.
_IMAGES = {"image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff", "image/webp": b"RIFF"}
#: What our answer adds to a redirect URI cannot stand there before.  RFC 9207; RFC 6749 s. 4.1.2
_OURS = {"code", "state", "iss", "error", "error_description"}
_PARAMETER = re.compile(r"[A-Za-z][A-Za-z_-]*|_[a-z][A-Za-z_-]*")
_ORGANIZATION = re.compile(r"Organization/[A-Za-z0-9.-]{1,64}")
_CLIENT_ID = re.compile(r"[A-Za-z0-9._~-]{3,64}")


class InvalidMetadata(OAuth2Error):
    """RFC 7591 s. 3.2.2.  The description says which field, and repeats nothing that was sent."""

    error = "invalid_client_metadata"


class InvalidRedirectUri(OAuth2Error):
    """RFC 7591 s. 3.2.2"""

    error = "invalid_redirect_uri"


def read(metadata: Mapping[str, Any], *, now: datetime, private: bool = False) -> tuple[Client, str | None]:
    """
    The client that the metadata describe, pending, and its secret if it is to have one.

    private: whether its `jwks_uri` may be on a private address.  Raises InvalidMetadata, InvalidRedirectUri.
    """
    kind = KINDS.get(_text(metadata, "token_endpoint_auth_method") or METHODS["symmetric"])
    if kind is None:
        raise InvalidMetadata(f"token_endpoint_auth_method must be one of {', '.join(KINDS)}.")
    audience = _audience(metadata)
    secret = new_secret() if kind == "symmetric" else None
    redirect_uris = _uris(metadata, "redirect_uris")
    client = Client(
        client_id=_client_id(metadata),
        name=_name(metadata, "client_name"),
        publisher=_name(metadata, "publisher"),
        kind=kind,
        audience=audience,
        status="pending",
        created_at=now,
        redirect_uris=redirect_uris,
        post_logout_redirect_uris=_uris(metadata, "post_logout_redirect_uris"),
        origins=_origins(metadata, redirect_uris),
        launch_uri=_launch_uri(metadata),
        scope=scope_of(_text(metadata, "scope") or "", audience),
        secret_hash=digest(secret) if secret else None,
        description=_description(metadata),
        logo=_logo(metadata),
        policy_uri=_page(metadata, "policy_uri"),
        tos_uri=_page(metadata, "tos_uri"),
        organization=_organization(metadata, audience),
        dpop_bound=_flag(metadata, "dpop_bound_access_tokens"),
        resource_server=_flag(metadata, "resource_server"),
        **_keys(metadata, kind, private=private),
    )
    _check_together(metadata, client)
    return replace(client, essential=_essential(metadata, client)), secret


def _check_together(metadata: Mapping[str, Any], client: Client) -> None:
    """What fits only with something else."""
    people = client.audience != "backend"
    if people != bool(client.redirect_uris):
        raise InvalidRedirectUri(
            "redirect_uris must say where people come back to." if people else "Nobody comes back to a backend."
        )
    if client.resource_server and client.kind == "public":
        raise InvalidMetadata("A resource server hears of the tokens of others: it has to authenticate itself.")
    if not people and client.kind != "asymmetric" and not client.resource_server:
        raise InvalidMetadata("A backend authenticates itself by private_key_jwt.")
    grants = set(_texts(metadata, "grant_types")) or set(client.grant_types)
    if not grants <= (_GRANTS if people else {"client_credentials"}):
        raise InvalidMetadata("grant_types has one that is not for this client.")
    if people and "authorization_code" not in grants:
        raise InvalidMetadata("grant_types must have authorization_code.")
    if not set(_texts(metadata, "response_types")) <= ({"code"} if people else set()):
        raise InvalidMetadata("response_types must be code alone, and nothing for a backend.")


def _client_id(metadata: Mapping[str, Any]) -> str:
    given = _text(metadata, "client_id")
    if given is None:
        return new_id()
    if not _CLIENT_ID.fullmatch(given) or given.startswith(("acc-", "psc-")):
        raise InvalidMetadata("client_id has 3 to 64 letters, digits, and . _ ~ -; acc- and psc- are for people.")
    return given


def _audience(metadata: Mapping[str, Any]) -> Audience:
    given = _text(metadata, "audience") or "patient"
    for audience in AUDIENCES:
        if given == audience:
            return audience
    raise InvalidMetadata(f"audience must be one of {', '.join(AUDIENCES)}.")


def _name(metadata: Mapping[str, Any], name: str) -> str:
    given = _text(metadata, name) or ""
    if fault := names.fault(given):
        raise InvalidMetadata(f"{name} {fault}.")
    return given


def _uris(metadata: Mapping[str, Any], name: str) -> tuple[str, ...]:
    given = _texts(metadata, name)
    if len(given) != len(set(given)):
        raise InvalidRedirectUri(f"{name} has one twice.")
    for uri in given:
        _check_uri(uri, name)
    return tuple(given)


def _launch_uri(metadata: Mapping[str, Any]) -> str | None:
    given = _text(metadata, "launch_uri")
    if given is not None:
        _check_uri(given, "launch_uri")
    return given


def _check_uri(uri: str, name: str) -> SplitResult:
    """
    A place in the client, as it is compared later: to the letter.

    By https, or on the machine the browser runs on.  RFC 9700 s. 2.1, s. 4.1; RFC 8252 s. 7.3
    """
    refused = InvalidRedirectUri(f"{name} must be https:// URLs, or http:// ones of a loopback address, in plain form.")
    parts = _plain(uri)
    if parts is None or "*" in uri:
        raise refused
    local = parts.hostname in LOOPBACK or parts.hostname == "localhost"
    if parts.scheme != "https" and not (parts.scheme == "http" and local):
        raise refused
    if "." not in str(parts.hostname) and not local:
        raise refused
    if {key for key, _ in parse_qsl(parts.query, keep_blank_values=True)} & _OURS:
        raise InvalidRedirectUri(f"{name} has a parameter in its query that the answer would bring.")
    return parts


def _plain(uri: str) -> SplitResult | None:
    """The parts of a URI that every parser reads in the same way; None for any other."""
    if not uri.isascii() or not uri.isprintable() or len(uri) > _LONGEST_URI or set(uri) & set(' \\"<>^`{|}'):
        return None
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError:
        return None
    host = parts.hostname
    if not host or "@" in parts.netloc or "#" in uri or parts.geturl() != uri or "//" in parts.path:
        return None
    literal = f"[{host}]" if ":" in host else host
    if parts.netloc not in (literal, f"{literal}:{port}") or port == 0 or host.endswith("."):
        return None
    segments = re.sub(r"%2e", ".", parts.path, flags=re.IGNORECASE).split("/")
    return None if {".", ".."} & set(segments) else parts


def _origins(metadata: Mapping[str, Any], redirect_uris: Iterable[str]) -> tuple[str, ...]:
    """Where its pages are: said, or else where people come back to.  RFC 6454 s. 6.1"""
    given = _texts(metadata, "origins")
    for origin in given:
        parts = _check_uri(origin, "origins")
        if origin != f"{parts.scheme}://{parts.netloc}":
            raise InvalidMetadata("origins must have a scheme, a host and perhaps a port each, and nothing else.")
    found = (urlsplit(uri) for uri in redirect_uris)
    return tuple(dict.fromkeys(given or [f"{parts.scheme}://{parts.netloc}" for parts in found]))


def _page(metadata: Mapping[str, Any], name: str) -> str | None:
    """A page that people may be shown the way to."""
    given = _text(metadata, name)
    parts = _plain(given) if given else None
    if given and (parts is None or parts.scheme != "https"):
        raise InvalidMetadata(f"{name} must be an https:// URL.")
    return given


def scope_of(asked: str, audience: Audience) -> str:
    """The scopes that a client for this audience may be registered with.  Raises InvalidMetadata."""
    own = {"patient": {*FREE, *HELD} - set(MODES), "professional": {*FREE, *HELD}, "backend": {INTROSPECT}}[audience]
    words = list(dict.fromkeys(asked.split()))
    for word in words:
        scopes = parse(word)
        if not scopes and word not in own:
            raise InvalidMetadata("scope has a word that is not known, or not for this audience.")
        for scope in scopes:
            if scope.context not in _CONTEXTS[audience]:
                raise InvalidMetadata("scope has one that is not for this audience.")
            if not all(_PARAMETER.fullmatch(name) for name, _ in scope.constraints):
                raise InvalidMetadata(
                    "scope has a constraint with a chain or a modifier; scopes do not take them here."
                )
    return " ".join(words)


def _essential(metadata: Mapping[str, Any], client: Client) -> tuple[str, ...]:
    given = _texts(metadata, "essential")
    if any(not client.get_allowed_scope(word) for word in given):
        raise InvalidMetadata("essential has a scope that is not within scope.")
    return tuple(given)


def _keys(metadata: Mapping[str, Any], kind: Kind, *, private: bool) -> dict[str, Any]:
    """`jwks` or `jwks_uri`, one of the two, for who signs.  RFC 7591 s. 2"""
    jwks, uri = metadata.get("jwks"), _text(metadata, "jwks_uri")
    if kind != "asymmetric":
        if jwks is not None or uri is not None:
            raise InvalidMetadata("jwks and jwks_uri are for private_key_jwt.")
        return {}
    if (jwks is None) == (uri is None):
        raise InvalidMetadata("private_key_jwt needs jwks, or jwks_uri, and not both.")
    if uri is not None:
        return {"jwks_uri": _fetched(uri, private=private)}
    return {"jwks": _public(jwks)}


def _fetched(uri: str, *, private: bool) -> str:
    try:
        check(uri, private=private)
    except FetchError as error:
        raise InvalidMetadata(f"jwks_uri cannot be fetched: {error}.") from None
    return uri


def _public(jwks: object) -> dict[str, Any]:
    """The keys, public ones alone, with at least one to sign an assertion with."""
    if not isinstance(jwks, dict):
        raise InvalidMetadata("jwks is no JWK Set.")
    try:
        keys = listed(jwks)
        usable = [key for key in keys if _signs(key)]
    except UnusableKey as error:
        raise InvalidMetadata(f"jwks cannot be used: {error}.") from None
    kids = [(key["kid"], key["kty"]) for key in usable]
    if not usable or len(kids) != len(set(kids)):
        raise InvalidMetadata("jwks needs public keys for RS384 or ES384, each with a kid of its own.")
    members = ("kty", "kid", "use", "alg", "key_ops", "n", "e", "crv", "x", "y")
    return {"keys": [{name: key[name] for name in members if name in key} for key in usable]}


def _signs(key: dict[str, Any]) -> bool:
    """Whether assertions may be signed with it.  Raises UnusableKey for a key that is secret."""
    if key.get("kty") == "oct" or PRIVATE & key.keys():
        raise UnusableKey("its key is secret")
    algorithm = {("RSA", None): "RS384", ("EC", "P-384"): "ES384"}.get((str(key.get("kty")), key.get("crv")))
    if algorithm is None or not isinstance(key.get("kid"), str) or not key["kid"]:
        return False
    if key.get("use", "sig") != "sig" or key.get("alg", algorithm) != algorithm:
        return False
    public_key(key, algorithm)
    return True


def _description(metadata: Mapping[str, Any]) -> dict[str, str]:
    given = metadata.get("description", {})
    if not isinstance(given, dict) or not set(given) <= {"fr", "en"}:
        raise InvalidMetadata("description has texts in fr and en.")
    for language in given:
        text = _text(given, language) or ""
        if len(text) > _LONGEST_TEXT or not names.is_plain(text):
            raise InvalidMetadata(f"description has up to {_LONGEST_TEXT} characters of plain text in each language.")
    return {language: unicodedata.normalize("NFC", text) for language, text in given.items()}


def _logo(metadata: Mapping[str, Any]) -> str | None:
    """An image, kept here: a page of ours fetches nothing from elsewhere."""
    given = metadata.get("logo")
    if given is None:
        return None
    refused = InvalidMetadata("logo must be a data URL with a PNG, JPEG or WebP image of up to 100 kB.")
    if not isinstance(given, str) or len(given) > 2 * _LARGEST_LOGO:
        raise refused
    kind, comma, content = given.removeprefix("data:").partition(";base64,")
    if not comma or kind not in _IMAGES or not given.startswith("data:"):
        raise refused
    try:
        image = b64decode(content, validate=True)
    except (binascii.Error, ValueError):
        raise refused from None
    if len(image) > _LARGEST_LOGO or not image.startswith(_IMAGES[kind]):
        raise refused
    return given


def _organization(metadata: Mapping[str, Any], audience: Audience) -> str | None:
    given = _text(metadata, "organization")
    if given is not None and (audience != "backend" or not _ORGANIZATION.fullmatch(given)):
        raise InvalidMetadata("organization is Organization/id, of a backend.")
    return given


def _flag(metadata: Mapping[str, Any], name: str) -> bool:
    given = metadata.get(name, False)
    if not isinstance(given, bool):
        raise InvalidMetadata(f"{name} must be true or false.")
    return given


def _text(metadata: Mapping[str, Any], name: str) -> str | None:
    given = metadata.get(name)
    if given is None:
        return None
    if not isinstance(given, str) or len(given) > 16_000:
        raise InvalidMetadata(f"{name} must be a string, and not a long one.")
    return given


def _texts(metadata: Mapping[str, Any], name: str) -> list[str]:
    given = metadata.get(name, [])
    if not isinstance(given, list) or len(given) > _MOST or not all(isinstance(one, str) for one in given):
        raise InvalidMetadata(f"{name} must be a list of up to {_MOST} strings.")
    return given
