"""The benchmark of quantization without training: what it stores, goes on with, and tells."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
MODULES = ("ptq", "ptq_networks", "ptq_page", "ptq_tools", "taken", "outcome", "compose")


@pytest.fixture
def ptq(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    for folder in ("bench", "examples/fashion_voc"):
        monkeypatch.syspath_prepend(ROOT / folder)
    yield importlib.import_module("ptq")
    for name in MODULES:
        sys.modules.pop(name, None)


def test_the_page_is_made_from_the_record(ptq: ModuleType) -> None:
    files = {kind: file for kind, file in ptq.OUTCOME.records.items() if file.exists()}
    assert ptq.PAGE.read_text() == ptq.page(
        {kind: json.loads(file.read_text()) for kind, file in files.items()}
    )


def test_rows_are_stored_one_by_one_and_not_measured_again(
    ptq: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("paddleslim", reason="paddleslim is not installed; it needs Paddle 2")
    measured: list[tuple[str, str]] = []

    def in_a_child(name: str, tool: str) -> dict[str, Any]:
        measured.append((name, tool))
        return {"tool": tool, "cpu": 2.0, "peak": 30.0, "int8": 4, "score": 0.5, "each": "1 0"}

    path = tmp_path / "ptq.json"
    monkeypatch.setattr(ptq, "OUTCOME", replace(ptq.OUTCOME, records={"cpu": path}, kind="cpu"))
    monkeypatch.setattr(ptq, "in_a_child", in_a_child)
    ptq.add(ptq.started(path), "cls", "paddleslim hist")
    record = ptq.started(path)
    for tool in ("paddleslim hist", "qcc calibrated"):
        ptq.add(record, "cls", tool)
    assert measured == [("cls", "paddleslim hist"), ("cls", "qcc calibrated")]
    stored = json.loads(path.read_text())
    assert [row["tool"] for row in stored["networks"][0]["rows"]] == ["qcc calibrated", "paddleslim hist"]
    text = ptq.page({"cpu": stored})
    assert "| qcc calibrated | 50.00% |  | 2.0 | 30 | 4 |" in text
    assert "| paddleslim hist | 50.00% | +0.00 ± 0.00 | 2.0 | 30 | 4 |" in text
    other = stored["networks"][1]["title"]
    assert f"### {other}" not in text
    lacking = [line for line in text.splitlines() if line.startswith("* ")]
    assert any(other in line and "`qcc calibrated`" in line for line in lacking)
    assert any(line.startswith("* all networks: ") and "`qcc trained`" in line for line in lacking)
    stored["environment"]["paddle"] = "2.4"
    path.write_text(json.dumps(stored))
    with pytest.raises(SystemExit, match="was measured elsewhere, or by other versions"):
        ptq.started(path)


def test_how_sure_a_difference_is(ptq: ModuleType) -> None:
    page = importlib.import_module("ptq_page")
    base = {"tool": page.BASE, "score": 0.5, "each": "1 0 1 0"}
    other = {"tool": "other", "score": 0.75, "each": "1 1 1 0", "int8": 3}
    # Differences 0, 1, 0, 0: their deviation is 1/2, and the standard error half of that.
    assert page._row(other, base) == "| other | 75.00% | +25.00 ± 25.00 |  |  | 3 |"
    failed = {"tool": "other", "failed": "Error: a | b"}
    assert page._row(failed, base) == "| other | Error: a \\| b | | | | |"


def test_what_a_call_takes(ptq: ModuleType) -> None:
    found = []
    for _ in range(3):  # the system may take pages of code back in between, and the process hold less
        with importlib.import_module("taken").measured() as taken:
            kept = np.ones(40_000_000, np.uint8)
            assert sum(kept[:1_000_000]) > 0  # takes long enough to be seen
        del kept
        found.append(taken)
    assert max(one["peak"] for one in found) == pytest.approx(40, abs=15)
    assert min(one["cpu"] for one in found) > 0
