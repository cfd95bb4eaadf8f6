"""Training works in either mode of Paddle, and leaves it as it was."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from rich.console import Console
from tiny import write_slim

from qcc._paddle import paddle
from qcc.interrupts import StopRequest
from qcc.train.config import load_config, load_slim
from qcc.train.evaluation.evaluate import evaluate
from qcc.train.freeze import checkpoint_model
from qcc.train.loop.checkpoint import CheckpointStore
from qcc.train.quantize import quantize
from qcc.train.tasks.build import build_task


def test_training_and_evaluating_in_dygraph_mode(tmp_path: Path, tiny_config: Path) -> None:
    slim = load_slim(write_slim(tmp_path / "run", 1, start_epoch=0, end_epoch=0))
    paddle.disable_static()
    try:
        config = load_config(tiny_config, ())
        task = build_task(config)
        result = quantize(task, config, slim, Console(file=io.StringIO()), StopRequest())
        accuracy = evaluate(checkpoint_model(CheckpointStore(result.checkpoints), None), task)
        (batch,) = task.calibration_batches(1)
        assert paddle.in_dynamic_mode()
    finally:
        paddle.enable_static()
    assert accuracy[task.main_metric] == result.records[-1][task.main_metric]
    assert isinstance(batch["image"], np.ndarray)
    np.testing.assert_array_equal(batch["image"], next(iter(task.calibration_batches(1)))["image"])
