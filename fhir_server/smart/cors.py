"""Which pages of others may call the server from a browser.  Fetch: "CORS protocol"; SMART 2.2: app-launch.html

Discovery is for any page.  The FHIR API and the endpoints that take a token are for the pages of registered apps: their
origins, to the letter.  The pages that people use, the authorization endpoint among them, are for nobody else.
RFC 9700 s. 2.6
"""

from __future__ import annotations

import time
from collections.abc import Callable

from flask import Flask, Response, request

#: For the pages of anybody.
PUBLIC = ("/fhir/metadata", "/fhir/.well-known/", "/.well-known/", "/oauth/jwks", "/smart/")
#: For the pages of registered apps.
REGISTERED = ("/fhir", "/oauth/token", "/oauth/revoke", "/oauth/userinfo", "/oauth/par", "/oauth/launch")
METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
ALLOWED = (
    "Accept, Authorization, Content-Type, DPoP, If-Match, If-Modified-Since, If-None-Exist, If-None-Match, Prefer, "
    "X-Request-Id"
)
EXPOSED = "Content-Location, ETag, Last-Modified, Location, Retry-After, WWW-Authenticate, X-Request-Id"
PREFLIGHT_SECONDS = 600
#: A new origin is let in, and one that is gone is kept out, by each process within this.
REMEMBERED_SECONDS = 10.0
_MOST = 1024


class Origins:
    """Asks whether an origin is registered, and remembers the answer for a moment."""

    def __init__(self, is_registered: Callable[[str], bool]):
        self._is_registered = is_registered
        self._known: dict[str, tuple[float, bool]] = {}

    def allow(self, origin: str) -> bool:
        """Whether pages of this origin may call."""
        if not origin.startswith(("https://", "http://")) or len(origin) > 300:
            return False
        at, found = self._known.get(origin, (0.0, False))
        if time.monotonic() - at > REMEMBERED_SECONDS or origin not in self._known:
            found = self._is_registered(origin)
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[origin] = (time.monotonic(), found)
        return found


def add_to(app: Flask, origins: Origins) -> None:
    """Answer what browsers ask beforehand, and tell them of each answer who may read it."""

    @app.before_request
    def preflight() -> Response | None:
        if request.method != "OPTIONS" or "Access-Control-Request-Method" not in request.headers:
            return None
        if not request.path.startswith((*PUBLIC, *REGISTERED)):
            return None
        return Response(status=204, headers={"Cache-Control": "no-store"})

    @app.after_request
    def tell(response: Response) -> Response:
        path = request.path
        if not path.startswith((*PUBLIC, *REGISTERED)):
            return response
        headers = response.headers
        if path.startswith(PUBLIC):
            headers["Access-Control-Allow-Origin"] = "*"
            headers["Access-Control-Expose-Headers"] = EXPOSED
        else:
            headers.add("Vary", "Origin")
            origin = request.headers.get("Origin")
            if origin is None or not origins.allow(origin):
                return response
            headers["Access-Control-Allow-Origin"] = origin
            headers["Access-Control-Expose-Headers"] = EXPOSED
        if request.method == "OPTIONS":
            headers["Access-Control-Allow-Methods"] = METHODS
            headers["Access-Control-Allow-Headers"] = ALLOWED
            headers["Access-Control-Max-Age"] = str(PREFLIGHT_SECONDS)
        return response
