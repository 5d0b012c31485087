"""What a form sent: only if a page of ours sent it, in this session; a field is one text, or nothing.

OWASP ASVS 5.0: 3.5.1 (the token), 3.5.3 (where it comes from)
"""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Request

from fhir_server.smart.sessions import Session, Sessions

#: The hidden field that holds the form token.
TOKEN = "form"  # noqa: S105 - the name of a field
LONGEST = 512


def sent_by(request: Request, sessions: Sessions, session: Session | None, *, purpose: str, base_url: str) -> bool:
    """Whether a page of this server sent the form, in this session, since its last step, and for this purpose."""
    if session is None or not from_here(request, base_url):
        return False
    return sessions.check_form_token(session, purpose, text(request, TOKEN))


def from_here(request: Request, base_url: str) -> bool:
    """
    Whether the browser says nothing else than that the request comes from a page of this server.

    A page with `Referrer-Policy: no-referrer` sends `Origin: null`; then `Sec-Fetch-Site` tells, where there is one.
    Fetch: "append a request Origin header"; Fetch Metadata: s. 2.3
    """
    origins = request.headers.getlist("Origin")
    sites = request.headers.getlist("Sec-Fetch-Site")
    if any(origin not in ("null", origin_of(base_url)) for origin in origins):
        return False
    if origins and origins != ["null"]:
        return True
    return all(site == "same-origin" for site in sites)


def origin_of(url: str) -> str:
    """
    The origin of a URL.  RFC 6454 s. 6.1

    >>> origin_of("https://record.example/base")
    'https://record.example'
    """
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def text(request: Request, name: str, *, longest: int = LONGEST) -> str:
    """The field of this name in the body; empty when it is not there once, or is longer than anything meant."""
    values = request.form.getlist(name)
    return values[0] if len(values) == 1 and len(values[0]) <= longest else ""


def leads_to(redirect_uri: str) -> str:
    """
    What `form-action` has to name for the answer to a form to lead to a client.  W3C CSP 3: form-action, source lists

    >>> leads_to("https://app.example:8443/back?x=1"), leads_to("com.example.app:/back"), leads_to("http://[::1]:4000/")
    ('https://app.example:8443', 'com.example.app:', 'http:')
    """
    parts = urlsplit(redirect_uri)
    if parts.scheme not in ("http", "https") or "[" in parts.netloc:  # a source list cannot name an IPv6 address
        return f"{parts.scheme}:"
    return origin_of(redirect_uri)
