"""A page in a browser, where this machine has one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NO_BROWSER = "no headless browser is installed (chromium or google-chrome)"

_CONSOLE = re.compile(r"INFO:CONSOLE.*|.*Uncaught.*|.*Content Security Policy.*")


def open_page(page: Path, profile: Path, *, fragment: str = "", width: int = 1280) -> tuple[str, list[str]]:
    """What a page has become once its script has run, and what it wrote to the console."""
    assert BROWSER is not None
    command = [BROWSER, "--headless", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"]
    command += [f"--user-data-dir={profile}", f"--window-size={width},900", "--virtual-time-budget=2000"]
    if os.geteuid() == 0:
        command.append("--no-sandbox")  # the browser refuses root with one
    done = subprocess.run(
        [*command, f"{page.absolute().as_uri()}{fragment}"], capture_output=True, text=True, timeout=60
    )
    return done.stdout, _CONSOLE.findall(done.stderr)
