from __future__ import annotations

import json
from pathlib import Path

import pytest

from qcc.errors import OutputError
from qcc.train.journal import Journal


def test_rewind_drops_what_comes_again(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    journal = Journal(path)
    journal.rewind(0)
    for step in (20, 40, 60):
        journal.write(step, {"loss": step / 10})
    with open(path, "a") as stream:
        stream.write('{"step": 30, "lo')  # what a kill leaves
    journal.rewind(40)
    journal.write(60, {"loss": 1.5})
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines == [{"step": 20, "loss": 2.0}, {"step": 40, "loss": 4.0}, {"step": 60, "loss": 1.5}]


def test_a_full_disk() -> None:
    with pytest.raises(OutputError, match=r"full cannot be written: No space left on device\."):
        Journal(Path("/dev/full")).write(20, {"loss": 2.0})
