"""What the server says of itself to clients: one table of facts, told in the words of three standards.

SMART 2.2: conformance.html; RFC 8414 s. 2; OpenID Connect Discovery 1.0 s. 3
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fhir_server.smart.assertions import ALGORITHMS as ASSERTION_ALGORITHMS
from fhir_server.smart.authentication import ALL_METHODS

#: What there is, and where.
PATHS = {
    "authorization_endpoint": "/oauth/authorize",
    "token_endpoint": "/oauth/token",
    "pushed_authorization_request_endpoint": "/oauth/par",
    "revocation_endpoint": "/oauth/revoke",
    "introspection_endpoint": "/oauth/introspect",
    "registration_endpoint": "/oauth/register",
    "userinfo_endpoint": "/oauth/userinfo",
    "jwks_uri": "/oauth/jwks",
    "end_session_endpoint": "/oauth/logout",
    "management_endpoint": "/apps",
}

BRANDS = "/fhir/.well-known/user-access-brands.json"

#: Those of the emergency modes are not named: some libraries ask for all that is, and each of them would open a record.
SCOPES = (
    "openid",
    "fhirUser",
    "launch",
    "launch/patient",
    "launch/encounter",
    "offline_access",
    "online_access",
    "patient/*.cruds",
    "user/*.cruds",
    "system/*.cruds",
)
GRANT_TYPES = ("authorization_code", "refresh_token", "client_credentials")
CAPABILITIES = (
    "launch-ehr",
    "launch-standalone",
    "authorize-post",
    "client-public",
    "client-confidential-symmetric",
    "client-confidential-asymmetric",
    "sso-openid-connect",
    "context-banner",
    "context-style",
    "context-ehr-patient",
    "context-ehr-encounter",
    "context-standalone-patient",
    "context-standalone-encounter",
    "permission-offline",
    "permission-online",
    "permission-patient",
    "permission-user",
    "permission-v1",
    "permission-v2",
)
CLAIMS = ("iss", "sub", "aud", "iat", "exp", "auth_time", "nonce", "acr", "amr", "at_hash", "sid", "fhirUser")


@dataclass(frozen=True)
class Metadata:
    """
    The documents of the server whose identifier is `issuer`.

    brand    the identifier of this server's own among the user-access brands; None where there are none
    dpop     the algorithms of proofs that are taken.  RFC 9449 s. 5.1
    """

    issuer: str
    brand: Mapping[str, Any] | None = None
    dpop: tuple[str, ...] = ()

    def address(self, name: str) -> str:
        """Where the endpoint of this name is."""
        return self.issuer + PATHS[name]

    def smart(self) -> dict[str, Any]:
        """`[base]/.well-known/smart-configuration`."""
        found = {**self._common(), "capabilities": list(CAPABILITIES)}
        found["management_endpoint"] = self.address("management_endpoint")
        if self.brand:
            found["user_access_brand_bundle"] = self.issuer + BRANDS
            found["user_access_brand_identifier"] = self.brand
        return found

    def oauth(self) -> dict[str, Any]:
        """`[issuer]/.well-known/oauth-authorization-server`."""
        return {**self._common(), **self._openid()}

    def openid(self) -> dict[str, Any]:
        """`[issuer]/.well-known/openid-configuration`."""
        return self.oauth()

    def _common(self) -> dict[str, Any]:
        named = [name for name in PATHS if name not in ("management_endpoint", "userinfo_endpoint")]
        algorithms = list(ASSERTION_ALGORITHMS)
        return {
            "issuer": self.issuer,
            **{name: self.address(name) for name in named},
            "grant_types_supported": list(GRANT_TYPES),
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "scopes_supported": list(SCOPES),
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": list(ALL_METHODS),
            "token_endpoint_auth_signing_alg_values_supported": algorithms,
            "revocation_endpoint_auth_methods_supported": list(ALL_METHODS),
            "revocation_endpoint_auth_signing_alg_values_supported": algorithms,
            "introspection_endpoint_auth_methods_supported": [*ALL_METHODS, "bearer"],
            "introspection_endpoint_auth_signing_alg_values_supported": algorithms,
            "authorization_response_iss_parameter_supported": True,
            **({"dpop_signing_alg_values_supported": list(self.dpop)} if self.dpop else {}),
        }

    def _openid(self) -> dict[str, Any]:
        return {
            "userinfo_endpoint": self.address("userinfo_endpoint"),
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "claims_supported": list(CLAIMS),
            "claims_parameter_supported": False,
            "request_parameter_supported": False,
            "request_uri_parameter_supported": False,
            "prompt_values_supported": ["none", "login", "consent", "select_account"],
            "ui_locales_supported": ["fr", "en"],
        }


def security(metadata: Metadata) -> dict[str, Any]:
    """What a CapabilityStatement adds in rest.security, for clients that read it only there.  SMART 2.2: conformance"""
    named = {
        "authorize": "authorization_endpoint",
        "token": "token_endpoint",
        "register": "registration_endpoint",
        "manage": "management_endpoint",
        "introspect": "introspection_endpoint",
        "revoke": "revocation_endpoint",
    }
    addresses = [{"url": url, "valueUri": metadata.address(name)} for url, name in named.items()]
    return {
        "extension": [
            {"url": f"{_REGISTRY}/oauth-uris", "extension": addresses},
            *({"url": f"{_REGISTRY}/capabilities", "valueCode": each} for each in CAPABILITIES),
        ],
    }


_REGISTRY = "http://fhir-registry.smarthealthit.org/StructureDefinition"
