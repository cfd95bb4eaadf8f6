"""The benchmark of exports on a tiny network: that it works, never how long anything takes."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

BENCH = Path(__file__).parents[2] / "bench"


@pytest.fixture
def lite() -> Iterator[ModuleType]:
    sys.path.insert(0, str(BENCH))
    yield importlib.import_module("lite")
    sys.path.remove(str(BENCH))
    del sys.modules["lite"]


def test_the_page_is_made_from_the_record(lite: ModuleType) -> None:
    assert lite.PAGE.read_text() == lite.page(json.loads(lite.RECORD.read_text()))


@pytest.mark.slow
@pytest.mark.lite
def test_measure(lite: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lite, "REPEATS", 1)
    monkeypatch.setattr(lite, "NETWORKS", {"tiny": lambda: lite.classifier(lite.MobileNetV1(0.1), 32)})
    found = lite.measure("tiny", tmp_path)
    exports = found["exports"]
    assert list(exports) == ["float arm", "float x86", "int8 arm", "int8 x86"]
    for name, run in exports.items():
        form, arch = name.split()
        assert run["bytes"] == (tmp_path / f"{form}-{arch}.nb").stat().st_size
        assert run["memory"] > run["weights"] > 0
    record = {
        "command": "make bench-lite",
        "environment": {"processor": "CPU", "paddle": "2.6.2"},
        "networks": [found],
    }
    rows = [line for line in lite.page(record).splitlines() if line.startswith("| tiny |")]
    ratio = exports["float arm"]["bytes"] / exports["int8 arm"]["bytes"]
    assert len(rows) == 6
    assert rows[2].startswith("| tiny | int8 arm | ")
    assert rows[2].endswith(f"| {ratio:.2f} |")
