"""The pages and what they load.  Nothing comes from elsewhere, and nothing written in a page runs.  W3C CSP 3

A page is a row of its own function here, a template, and a section of the catalogues (`words.py`).
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, current_app, redirect, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from fhir_server.fhir.outcome import FhirError
from fhir_server.web.words import LANGUAGES, language_of, words

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
}
#: The language that was chosen on a page, for the pages after it.
LANGUAGE_COOKIE = "language"
#: What the address of a page may say besides the language, kept when the language changes.
_KEPT = ("request", "page", "patient", "whom", "mode", "own", "from", "to", "before")
_PLAIN = re.compile(r"[A-Za-z0-9_.-]{1,128}")


def blueprint(*, base: str, token_command: str | None = None) -> Blueprint:
    """
    The pages of the server whose FHIR base is `base`, to be registered at `/`.

    token_command: what to type for an access token, where the page may say so.
    """
    pages = Blueprint("web", __name__, static_folder="static", template_folder="templates")

    @pages.get("/")
    def explorer() -> Response:
        api = f"{request.script_root}/fhir/"
        return page("explorer", cache="no-cache", base=base, api=api, token_command=token_command)

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

    pages.after_request(protect)
    return pages


def strict(pages: Blueprint) -> Blueprint:
    """The same pages, with the headers that every page has, and an answer for when the store does not answer."""
    pages.after_request(protect)

    @pages.errorhandler(FhirError)
    def unavailable(error: FhirError) -> Response:
        response = page("wrong-way" if error.status == 429 else "unavailable", status=error.status, key="busy")
        response.headers.update(error.headers)
        return response

    return pages


def protect(response: Response) -> Response:
    """The answer with the headers that every page has.  W3C CSP 3"""
    response.headers.update(_HEADERS)
    response.headers.setdefault("Content-Security-Policy", policy())
    chosen = request.args.get("lang")
    if chosen in LANGUAGES and request.method == "GET" and response.status_code == 200:
        year = timedelta(days=365)
        response.set_cookie(
            LANGUAGE_COOKIE,
            chosen,
            max_age=year,
            secure=current_app.config["PREFERRED_URL_SCHEME"] == "https",
            httponly=True,
            samesite="Lax",
            path="/",
        )
    return response


def policy(*form_action: str) -> str:
    """
    What a page allows a browser to do.  W3C CSP 3

    form_action: origins, or schemes with their colon, that the answer to one of its forms may redirect to: browsers
    hold the redirects after a form to this directive too.
    """
    targets = " ".join(("'self'", *form_action))
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
        f"form-action {targets}; base-uri 'none'; frame-ancestors 'none'"
    )


def language() -> str:
    """The language of the answer to this request."""
    chosen = request.args.get("lang")
    if chosen not in LANGUAGES:
        chosen = request.cookies.get(LANGUAGE_COOKIE)
    return language_of(chosen, request.accept_languages)


def page(
    name: str, *, status: int = 200, cache: str = "no-store", form_action: tuple[str, ...] = (), **values: Any
) -> Response:
    """
    The page of this name, in the language of the request.

    cache: who may keep it.  form_action: as in `policy`.
    """
    spoken = language()
    catalogue = words(spoken)
    text = render_template(
        f"{name}.html",
        language=spoken,
        languages={code: (own, _in_language(code)) for code, own in LANGUAGES.items()},
        site=catalogue["site"],
        words=catalogue[name],
        all_words=catalogue,
        **values,
    )
    return Response(
        text,
        status,
        headers={
            **_HEADERS,
            "Cache-Control": cache,
            "Content-Language": spoken,
            "Content-Security-Policy": policy(*form_action),
            "Vary": "Accept-Language, Cookie",
        },
        content_type="text/html; charset=utf-8",
    )


def _in_language(code: str) -> str:
    """The address of this page in another language, relative to itself."""
    kept = {name: request.args[name] for name in _KEPT if _PLAIN.fullmatch(request.args.get(name, ""))}
    return f"?{urlencode({**kept, 'lang': code})}"
