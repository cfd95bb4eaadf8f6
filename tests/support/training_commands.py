"""The commands that train, in a folder in which each has run once."""

from __future__ import annotations

import shutil
from pathlib import Path

from tiny import write_config, write_slim

import qcc
from qcc.train.loop.checkpoint import CheckpointStore

# Of each command, the folder that it writes into.
COMMANDS = {
    "train -c IN/tiny.yml --save IN/place/w.npz": "place",
    "quantize -c IN/tiny.yml -s IN/run.yaml": "run",
    "freeze --checkpoint IN/run --save IN/forms": "forms",
}


def words(line: str, folder: Path) -> list[str]:
    return line.replace("IN", str(folder)).split()


def fresh(trained: Path, place: Path, images: Path) -> Path:
    """A copy of `trained`, in which there is a second epoch to train."""
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(trained, place)
    write_config(place, images)
    write_slim(place / "run", 2)
    return place


def assert_loads(folder: Path) -> None:
    """What was there before is still there, or what came after it, and no part of anything else."""
    assert CheckpointStore(folder / "run").newest() is not None
    for model in (folder / "run/0/eval_model", folder / "forms/float", folder / "forms/int8"):
        qcc.load(model)
