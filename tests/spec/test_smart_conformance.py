"""The SMART checklist of conformance/smart, run against the demonstration.  SMART App Launch 2.2"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.servers import Server

HOME = Path(__file__).resolve().parents[2]
SMART = HOME / "conformance" / "smart"


def test_the_checklist_finds_no_fault_and_skips_nothing(demonstration: Server, tmp_path: Path) -> None:
    """Every assertion holds: those that certification asks, and those that it leaves out"""
    settings = tmp_path / "smart.json"
    base_url = demonstration.base.removesuffix("/fhir")
    written = _run(SMART / "settings_fhir_server.py", base_url, demonstration.data_dir)
    assert written.returncode == 0, written.stderr
    settings.write_text(written.stdout)

    run = _run("-m", "pytest", SMART, "-q", "-rs", "--tb=short", "-p", "no:cacheprovider", "--smart", settings)

    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
    assert "skipped" not in run.stdout, run.stdout[-2000:]


def _run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, cwd=HOME, capture_output=True, text=True, check=False)
