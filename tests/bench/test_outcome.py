"""Records and pages of benchmarks."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest

BENCH = Path(__file__).parents[2] / "bench"


def test_numbers_go_into_the_record_and_from_there_onto_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(BENCH)
    folders: list[Path] = []

    def measure(name: str, folder: Path) -> dict[str, Any]:
        assert folder.is_dir()
        folders.append(folder)
        return {"name": name}

    outcome = importlib.import_module("outcome").Outcome.of_one(
        tmp_path / "record.json",
        tmp_path / "page.md",
        lambda record: " ".join(network["name"] for network in record["networks"]) + "\n",
    )
    outcome.measure(["a", "b"], measure)

    assert len(set(folders)) == 2
    assert not any(folder.exists() for folder in folders)
    record = json.loads((tmp_path / "record.json").read_text())
    assert record["networks"] == [{"name": "a"}, {"name": "b"}]
    assert record.keys() == {"command", "environment", "networks"}
    assert (tmp_path / "page.md").read_text() == "a b\n"
    assert capsys.readouterr().out == "a b\n\n"

    (tmp_path / "record.json").write_text('{"networks": [{"name": "c"}]}')
    assert outcome.render() == "c\n"
    assert (tmp_path / "page.md").read_text() == "c\n"
    sys.modules.pop("outcome")
