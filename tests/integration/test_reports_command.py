"""`fhir-server reports`: what people did not recognise is looked at, and that is recorded with the ledger's own key."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from fhir_server import app
from fhir_server.config import Settings
from fhir_server.storage.connection import connect, open_database
from tests.servers import run


def test_a_report_is_listed_reviewed_once_and_recorded(tmp_path: Path) -> None:
    """Rule A17: who looked, and what came of it; the chain of records is whole afterwards"""
    data_dir = tmp_path / "data"
    assert run("token", "--scope", "system/*.rs", "--data-dir", data_dir).returncode == 0
    with open_database(uri=None, data_dir=data_dir) as opened, connect(opened.uri) as client:
        reports = app.reports_of(client["fhir"], Settings())
        day = datetime.now(UTC).date().isoformat()
        id = reports.put(event="e", day=day, patient="p", sub="acc-1", text="Je ne connais pas cette personne")
    assert id in run("reports", "list", "--data-dir", data_dir).stdout
    review = ("reports", "review", id, "--by", "Anne", "--note", "vu", "--data-dir", data_dir)
    done = run(*review)
    assert done.returncode == 0, done.stderr
    again = run(*review)
    assert again.returncode == 1 and len(again.stderr.splitlines()) == 1
    assert id not in run("reports", "list", "--data-dir", data_dir).stdout
    verified = run("audit", "verify", "--data-dir", data_dir)
    assert verified.returncode == 0, verified.stdout + verified.stderr
