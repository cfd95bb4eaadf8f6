"""The figures in README.md are those of the stored run records."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_tables_are_made_from_the_records() -> None:
    check = [sys.executable, str(ROOT / "tools" / "readme.py"), "--check"]

    done = subprocess.run(check, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
