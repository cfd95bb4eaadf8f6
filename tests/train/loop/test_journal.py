from __future__ import annotations

import json
from pathlib import Path

import pytest

from qcc.errors import CheckpointError, OutputError
from qcc.train.loop.journal import Journal


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


WHOLE = b'{"step": 20, "loss": 2.0}\n{"step": 40, "loss": 4.0}\n'


@pytest.mark.parametrize(
    "tail",
    [
        b'{"step": 40, "loss": 5.0}',
        b'{"step": 40, "lo\n',
        b"\0\0\0\0",
        b"\xff\xfe\n",
        b"\n",
        b"30\n",
        b"{}\n",
    ],
)
def test_a_broken_last_line_is_dropped(tmp_path: Path, tail: bytes) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(WHOLE + tail)
    Journal(path).rewind(60)
    assert path.read_bytes() == WHOLE


@pytest.mark.parametrize("line", [b'{"step": 20, "lo\n', b"\xff\n", b"\n", b"[20]\n", b'{"step": null}\n'])
def test_a_broken_line_before_others_is_named(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 10}\n' + line + WHOLE)
    with pytest.raises(CheckpointError) as error:
        Journal(path).rewind(60)
    assert str(error.value) == (
        f"{path}, line 2: this is no record of a training run; remove the line, or the whole file, to go on."
    )
    assert path.read_bytes() == b'{"step": 10}\n' + line + WHOLE


def test_a_full_disk() -> None:
    with pytest.raises(OutputError, match=r"full cannot be written: No space left on device\."):
        Journal(Path("/dev/full")).write(20, {"loss": 2.0})
