"""
What anybody may fetch, from any origin: the brands of this server, with their logo, and the style of its pages.

SMART App Launch 2.2: brands.html, scopes-and-launch-context.html#styling
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from flask import Blueprint, Response, request

from fhir_server.smart.metadata import BRANDS

#: The colours and sizes of our pages, for an app that is shown within them.
STYLE = {
    "color_background": "#f5f6f4",
    "color_error": "#a32118",
    "color_highlight": "#0b6557",
    "color_modal_backdrop": "#101413",
    "color_success": "#1b6b3a",
    "color_text": "#19211e",
    "dim_border_radius": "8px",
    "dim_font_size": "16px",
    "dim_spacing_size": "16px",
    "font_family_body": "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif",
    "font_family_heading": "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif",
}

#: A drawing runs nothing.
_SANDBOX = "default-src 'none'; style-src 'unsafe-inline'; sandbox"

_OURS = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" fill="#0b6557"/>'
    '<path d="M13 6h6v7h7v6h-7v7h-6v-7H6v-6h7z" fill="#fff"/></svg>'
)


def blueprint(*, brands: dict[str, Any]) -> Blueprint:
    """The routes, to be registered at `/`; `brands` is the brand bundle."""
    public = Blueprint("public", __name__)
    bundle, style = json.dumps(brands, ensure_ascii=False), json.dumps(STYLE)

    @public.get(BRANDS)
    def user_access_brands() -> Response:
        return _answer(bundle.encode(), "application/fhir+json")

    @public.get("/smart/style.json")
    def smart_style() -> Response:
        return _answer(style.encode(), "application/json")

    @public.get("/smart/logo.svg")
    def own_logo() -> Response:
        return _answer(_OURS.encode(), "image/svg+xml")

    return public


def _answer(content: bytes, type: str) -> Response:
    """The content, for any origin (see `cors.py`); 304 for who has it.  RFC 9110 s. 13.1.2"""
    response = Response(content, content_type=type)
    response.headers["Cache-Control"] = "public, no-cache"
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Content-Security-Policy"] = _SANDBOX
    response.set_etag(hashlib.sha256(content).hexdigest()[:16], weak=True)
    response.make_conditional(request)
    return response
