"""The apps of the demonstration, `/demo/app/` and `/demo/software/`: static pages, at home on an origin of their own.

They are clients like any other: nothing of the server's is open to them but what it grants.
"""

from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint, Response, jsonify, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from fhir_server.config import carried
from fhir_server.smart import sandbox

#: So many people are named on a page, to sign in as.
SHOWN = 4

_STATIC = Path(__file__).with_name("demo_static")


def blueprint(*, base_url: str) -> Blueprint:
    """The pages, to be registered at `/demo`, in demo mode alone."""
    apps = Blueprint("demo_apps", __name__, static_folder=str(_STATIC), static_url_path="/")
    home = sandbox.app_origin(base_url)
    settings = _settings(base_url)
    policy = (
        f"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self' {base_url}; "
        "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    )

    @apps.get("/app/")
    def app() -> AnyResponse:
        return _at_home("app/index.html")

    @apps.get("/app/launch.html")
    def launch() -> AnyResponse:
        return _at_home("app/launch.html")

    @apps.get("/software/")
    def software() -> AnyResponse:
        return _at_home("software/index.html")

    @apps.get("/settings.json")
    def where() -> Response:
        return jsonify(settings)

    def _at_home(file: str) -> AnyResponse:
        """The page, at the address where it is registered."""
        if home != base_url and request.host == urlsplit(base_url).netloc:
            return redirect(f"{home}{request.full_path.removesuffix('?')}", 303)
        return apps.send_static_file(file)

    @apps.after_request
    def protect(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = policy
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["Cache-Control"] = "no-cache"
        return response

    return apps


def logos() -> dict[str, str]:
    """The logo of each, by its folder, as a `data:` URL."""
    drawn = {folder: (_STATIC / folder / "logo.svg").read_bytes() for folder in ("app", "software")}
    return {folder: f"data:image/svg+xml;base64,{b64encode(svg).decode()}" for folder, svg in drawn.items()}


def _settings(base_url: str) -> dict[str, Any]:
    """Where the server is, who the pages are for it, and whom to sign in as."""
    people = json.loads((carried("seed_data") / "people.json").read_bytes())
    logins = {role: [_login(one) for one in people if one["role"] == role and one["login"]] for role in _ROLES}
    return {
        "iss": f"{base_url}/fhir",
        "launch_endpoint": f"{base_url}/oauth/launch",
        "outbox": f"{base_url}/demo/outbox",
        "catalogue": {"client_id": sandbox.CATALOGUE, "scope": sandbox.CATALOGUE_SCOPE},
        "launched": {"client_id": sandbox.LAUNCHED, "scope": sandbox.LAUNCHED_SCOPE},
        "software": {"client_id": sandbox.SOFTWARE, "scope": sandbox.SOFTWARE_SCOPES},
        "people": logins["patient"][:SHOWN],
        "professionals": logins["professional"][:SHOWN] + logins["regulator"][:1],
    }


_ROLES = ("patient", "professional", "regulator")


def _login(person: dict[str, Any]) -> dict[str, str]:
    return {name: person[name] for name in ("display", "login", "password")}
