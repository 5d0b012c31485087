"""A real browser: the Chromium of this machine.  Tests here are left out only where there is none that starts."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator

import pytest
from playwright._impl._driver import compute_driver_executable
from playwright.sync_api import Browser, expect, sync_playwright

#: A page may have to wait for a machine that runs other tests at the same time.
expect.set_options(timeout=20_000)

#: What Playwright's own driver, a Node.js, finds no library for; empty if it starts.
LACKING = subprocess.run(
    [compute_driver_executable()[0], "--version"], capture_output=True, text=True, check=False
).stderr.strip()
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One browser for all the tests; each opens its own context."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium here: apt install chromium")
    if LACKING:
        pytest.skip(f"the driver of the browser does not start: {LACKING}; apt install libatomic1")
    with sync_playwright() as playwright:
        # Its sandbox needs privileges that a container has not.
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()
