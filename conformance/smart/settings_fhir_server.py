"""Prints the settings of the SMART checklist for a demonstration of this project's server.

python conformance/smart/settings_fhir_server.py http://127.0.0.1:8080 var > smart.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import requests

SCOPE = "launch/patient openid fhirUser offline_access patient/*.rs"
REDIRECT = "http://localhost:3000/callback"


def settings(base_url: str, data_dir: Path) -> dict:
    """The settings for the demonstration at `base_url` whose data dir is `data_dir`."""
    demo = requests.get(f"{base_url}/demo/settings.json", timeout=30).json()
    home = requests.get(f"{base_url}/demo/app/", allow_redirects=False, timeout=30).headers["Location"]
    software = home.removesuffix("app/") + "software/"
    sandbox = (data_dir / "sandbox").resolve()
    patient, professional = demo["people"][0], demo["professionals"][0]
    app = {
        "redirect_uri": REDIRECT,
        "scope": SCOPE,
        "origin": "http://localhost:3000",
        "who": "patient",
        "patient": "martine-dubreuil",
    }
    return {
        "base": demo["iss"],
        "login": str(Path(__file__).resolve().with_name("login_fhir_server.py")),
        "launch_endpoint": demo["launch_endpoint"],
        "people": {
            "patient": patient | {"outbox": demo["outbox"]},
            "professional": professional
            | {
                "professional": True,
                "patient": {"family": "Vignaud", "given": "Martine", "birth_date": "1958-03-14", "sex": "female"},
            },
        },
        "clients": {
            "public": app | {"client_id": "sandbox-public"},
            "symmetric": app
            | {"client_id": "sandbox-symmetric", "secret": (sandbox / "secret.txt").read_text().strip()},
            "asymmetric": app | {"client_id": "sandbox-asymmetric", "key": str(sandbox / "asymmetric.jwk")},
            "backend": {
                "client_id": "sandbox-backend",
                "scope": "system/Patient.rs system/DocumentReference.cruds",
                "key": str(sandbox / "backend.jwk"),
            },
            "software": {
                "client_id": demo["software"]["client_id"],
                "redirect_uri": software,
                "scope": demo["software"]["scope"]["normal"],
                "who": "professional",
            },
            "launched": {
                "client_id": demo["launched"]["client_id"],
                "redirect_uri": home,
                "scope": demo["launched"]["scope"],
                "who": "professional",
            },
        },
    }


if __name__ == "__main__":
    print(json.dumps(settings(sys.argv[1].rstrip("/"), Path(sys.argv[2])), indent=2, ensure_ascii=False))
