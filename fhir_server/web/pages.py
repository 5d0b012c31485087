"""The pages and what they load.  Nothing comes from elsewhere, and nothing written in a page runs.  W3C CSP 3

A page is a row of its own function here, a template, and a section of the catalogues (`words.py`).
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, redirect, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from fhir_server.web.words import LANGUAGES, language_of, words

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def blueprint(*, base: str, token_command: str | None = None) -> Blueprint:
    """
    The pages of the server whose FHIR base is `base`, to be registered at `/`.

    token_command: what to type for an access token, where the page may say so.
    """
    pages = Blueprint("web", __name__, static_folder="static", template_folder="templates")

    @pages.get("/")
    def explorer() -> Response:
        api = f"{request.script_root}/fhir/"
        return page("explorer", base=base, api=api, token_command=token_command)

    @pages.before_app_request
    def api_in_a_browser() -> AnyResponse | None:
        """Who types the address of the API into a browser wants to see what is there."""
        if request.path not in ("/fhir", "/fhir/") or request.method not in ("GET", "HEAD"):
            return None
        if request.query_string or "Authorization" in request.headers:
            return None
        if "text/html" not in request.headers.get("Accept", ""):
            return None
        return redirect(f"{request.script_root}/", 303)

    @pages.after_request
    def protect(response: Response) -> Response:
        response.headers.update(_HEADERS)
        return response

    return pages


def page(name: str, **values: Any) -> Response:
    """The page of this name, in the language of the request."""
    language = language_of(request.args.get("lang"), request.accept_languages)
    catalogue = words(language)
    text = render_template(
        f"{name}.html", language=language, languages=LANGUAGES, site=catalogue["site"], words=catalogue[name], **values
    )
    return Response(
        text,
        headers={"Cache-Control": "no-cache", "Content-Language": language, "Vary": "Accept-Language"},
        content_type="text/html; charset=utf-8",
    )
