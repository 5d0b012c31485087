"""The logos of apps: kept with the client, and served here, so that a page tells nobody else who looks at it.

W3C CSP 3: img-src; RFC 2397 (data URLs)
"""

from __future__ import annotations

import base64
import binascii
from typing import Any
from urllib.parse import unquote_to_bytes

from flask import Blueprint, Response

from fhir_server.smart.clients import Clients
from fhir_server.web import pages

#: What is served as an image; SVG runs nothing as one, and the policy of the answer lets it run nothing by itself.
TYPES = frozenset({"image/png", "image/jpeg", "image/svg+xml"})
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'"


def blueprint(clients: Clients) -> Blueprint:
    """`/app-logo/[client]`."""
    logos = Blueprint("logos", __name__)

    @logos.get("/app-logo/<client_id>")
    def logo(client_id: str) -> Response:
        client = clients.find(client_id, any_status=True)
        found = read(client.logo or "") if client else None
        if found is None:
            return Response(status=404)
        type, content = found
        return Response(
            content,
            headers={"Cache-Control": "max-age=3600", "Content-Security-Policy": _POLICY},
            content_type=type,
        )

    logos.after_request(pages.protect)
    return logos


def read(url: str) -> tuple[str, bytes] | None:
    """
    The media type and the bytes of a `data:` URL; None for what is not one, or no image.

    >>> read("data:image/png;base64,iVBORw==")
    ('image/png', b'\\x89PNG')
    """
    head, comma, body = url.partition(",")
    type, *parameters = head.removeprefix("data:").split(";")
    if not comma or not head.startswith("data:") or type not in TYPES:
        return None
    content: Any = unquote_to_bytes(body)
    if "base64" not in parameters:
        return type, content
    try:
        return type, base64.b64decode(content, validate=True)
    except binascii.Error:
        return None
