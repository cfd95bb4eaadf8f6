"""TensorBoard files: what a reader of them sees."""

from __future__ import annotations

import io
import struct
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from rich.console import Console
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tiny import write_slim

from qcc.errors import MissingDependencyError
from qcc.interrupts import StopRequest
from qcc.train.config import load_config, load_slim
from qcc.train.loop.board import Board, board_in
from qcc.train.quantize import quantize
from qcc.train.tasks.classifier import ClassifierTask


def events(path: Path) -> list[Event]:
    """The events of a file: for each its length, uint64, a checksum, a message, and another checksum."""
    data, found = path.read_bytes(), []
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        found.append(Event.FromString(data[12 : 12 + length]))
        data = data[16 + length :]
    return found


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Steps and values by tag, over all files of a folder in their order, as TensorBoard merges them."""
    result: dict[str, list[tuple[int, float]]] = {}
    for path in sorted(folder.glob("events.out.tfevents.*")):
        for event in events(path):
            if event.session_log.status == SessionLog.START:
                for tag, points in result.items():
                    result[tag] = [point for point in points if point[0] < event.step]
            for value in event.summary.value:
                result.setdefault(value.tag, []).append((event.step, value.simple_value))
    return result


def test_numbers_of_records_are_scalars(tmp_path: Path) -> None:
    with board_in(tmp_path) as board:
        assert board is not None
        board.rewind(0)
        board.write(20, {"kind": "step", "epoch": 0, "learning_rate": 0.5, "loss": 3.0})
        board.write(30, {"kind": "epoch", "epoch": 0, "quantized": True, "top1": 0.25})
    assert scalars(tmp_path) == {
        "step/learning_rate": [(20, 0.5)],
        "step/loss": [(20, 3.0)],
        "epoch/top1": [(30, 0.25)],
    }


def test_what_an_interrupted_run_wrote_too_much_is_hidden(tmp_path: Path) -> None:
    for first, steps in ((0, (20, 40, 60)), (40, (60, 80))):
        with board_in(tmp_path) as board:
            assert board is not None
            board.rewind(first)
            for step in steps:
                board.write(step, {"kind": "step", "loss": float(step + first)})
    assert scalars(tmp_path) == {"step/loss": [(20, 20), (40, 40), (60, 100), (80, 120)]}


def test_pictures_are_images(tmp_path: Path) -> None:
    picture = tmp_path / "cat.png"
    cv2.imwrite(str(picture), np.zeros((20, 30, 3), np.uint8))
    with board_in(tmp_path) as board:
        assert board is not None
        board.rewind(0)
        board.show(picture)
    (file,) = tmp_path.glob("events.out.tfevents.*")
    (value,) = events(file)[-1].summary.value
    assert (value.tag, value.image.width, value.image.height) == ("bbox/cat", 30, 20)
    assert value.image.encoded_image_string == picture.read_bytes()


def test_without_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(MissingDependencyError, match=r"need the package tensorboardX .*: pip install"):
        Board(tmp_path)


def test_a_run_tells_its_board(tiny_config: Path, tmp_path: Path) -> None:
    config, console = load_config(tiny_config), Console(file=io.StringIO())
    slim = load_slim(write_slim(tmp_path / "run", 2, end_epoch=1))
    result = quantize(ClassifierTask(config), config, slim, console, StopRequest(), tmp_path / "board")
    accuracies = [(4 * record["epoch"] + 4, pytest.approx(record["top1"])) for record in result.records]
    assert scalars(tmp_path / "board")["epoch/top1"] == accuracies
    assert len(scalars(tmp_path / "board" / "float")["epoch/train_loss"]) == 1


@pytest.mark.slow
def test_a_new_board_is_told_what_came_before(tiny_config: Path, tmp_path: Path) -> None:
    """So `--use_tb` on a run that has been going on without, or is finished, shows all of it."""
    config, slim = load_config(tiny_config), load_slim(write_slim(tmp_path / "run", 2, end_epoch=1))
    for folder in (None, tmp_path / "board", tmp_path / "board"):
        quantize(ClassifierTask(config), config, slim, Console(file=io.StringIO()), StopRequest(), folder)
    assert [step for step, _ in scalars(tmp_path / "board")["epoch/train_loss"]] == [4, 8]
