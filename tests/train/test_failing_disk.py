"""Commands that train where a disk fails at any moment.

In a module of its own: the processes that are forked must not inherit threads of Paddle.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from failing import failing_at_each_change
from tiny import write_config, write_slim

import qcc
from qcc.cli.main import run
from qcc.train.loop.checkpoint import CheckpointStore

COMMANDS = (
    "train -c IN/tiny.yml --save IN/place/w.npz",
    "quantize -c IN/tiny.yml -s IN/run.yaml",
    "freeze --checkpoint IN/run --save IN/forms",
)


def words(line: str, folder: Path) -> list[str]:
    return line.replace("IN", str(folder)).split()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_images: Path) -> Path:
    """A folder in which each command has run once."""
    folder = tmp_path_factory.mktemp("trained")
    write_config(folder, tiny_images)
    write_slim(folder / "run", 1)
    for line in COMMANDS:
        subprocess.run([sys.executable, "-m", "qcc", *words(line, folder)], check=True, capture_output=True)
    return folder


def fresh(trained: Path, place: Path, images: Path) -> Path:
    """A copy of `trained`, in which there is a second epoch to train."""
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(trained, place)
    write_config(place, images)
    write_slim(place / "run", 2)
    return place


def assert_loads(folder: Path) -> None:
    """What was there before is still there, or what came after it."""
    assert CheckpointStore(folder / "run").newest() is not None
    for model in (folder / "run/0/eval_model", folder / "forms/float", folder / "forms/int8"):
        qcc.load(model)


@pytest.mark.slow
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS], ids=errno.errorcode.get)
@pytest.mark.parametrize("line", COMMANDS)
def test_a_disk_that_fails_at_any_change(
    trained: Path, tmp_path: Path, tiny_images: Path, line: str, number: int
) -> None:
    folder = fresh(trained, tmp_path / "copy", tiny_images)
    found, wrong = 0, []
    for failed in failing_at_each_change(folder, lambda: run(words(line, folder)), number):
        last = failed.err.splitlines()[-1] if failed.err else ""
        # What cannot be tidied up is no failure.
        told = failed.code == 2 and last.startswith("qcc: error: ") and os.strerror(number) in last
        if not (failed.code == 0 or told) or "Traceback" in failed.err:
            wrong.append(f"after {failed.changes} changes: {failed.code}\n{failed.err}")
        assert_loads(folder)
        fresh(trained, folder, tiny_images)
        found += 1
    assert not wrong, "\n\n".join(wrong)
    assert found > 3
