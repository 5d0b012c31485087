"""The black-box suite of conformance/, run against a server of our own.  R4: http.html and its neighbours"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.servers import serving

HOME = Path(__file__).resolve().parents[2]


def test_the_black_box_suite_finds_no_fault(tmp_path: Path) -> None:
    """Every clause that conformance/ asks of any server holds of ours"""
    with serving(tmp_path / "data") as server:
        token = server.token("system/*.cruds")
        run = subprocess.run(
            [sys.executable, "-m", "pytest", "conformance", "-q", "--tb=short", "-p", "no:cacheprovider"]
            + ["--ignore=conformance/smart", f"--fhir-base={server.base}", f"--token={token}"],
            cwd=HOME,
            capture_output=True,
            text=True,
            check=False,
        )

    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
