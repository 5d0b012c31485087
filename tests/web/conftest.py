"""A real browser: the Chromium of this machine.  Tests here are left out only where there is none that starts."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from playwright._impl._driver import compute_driver_executable
from playwright.sync_api import Browser, BrowserContext, expect, sync_playwright

#: Milliseconds: a page may have to wait for a machine that runs other tests at the same time.
PATIENCE = 60_000
expect.set_options(timeout=PATIENCE)

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
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"], timeout=PATIENCE)
        open_context = launched.new_context

        def patient(**options: Any) -> BrowserContext:
            opened = open_context(**options)
            opened.set_default_timeout(PATIENCE)
            return opened

        launched.new_context = patient  # type: ignore[method-assign]
        yield launched
        launched.close()
