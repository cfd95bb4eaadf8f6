"""The figures in README.md and docs/ are those of the stored run records."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_the_tables_are_made_from_the_records() -> None:
    check = [sys.executable, str(ROOT / "tools" / "readme.py"), "--check"]

    done = subprocess.run(check, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


def test_results_are_made_from_the_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.syspath_prepend(ROOT / "examples")

    page = importlib.import_module("results_page").page()

    assert page == (ROOT / "docs" / "results.md").read_text()


@pytest.mark.parametrize("name", ["inference", "peer"])
def test_measurements_are_made_from_the_records(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if name == "peer" and importlib.util.find_spec("paddleslim") is None:
        pytest.skip("paddleslim is not installed; `pip install 'qcc[slim]'`")
    monkeypatch.syspath_prepend(ROOT / "bench")
    bench = importlib.import_module(name)

    page = bench.page(json.loads(bench.RECORD.read_text()))

    assert page == bench.PAGE.read_text()
