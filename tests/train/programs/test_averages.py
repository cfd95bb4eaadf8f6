"""Averages of weights, and batch norms that stand still, in a run."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from tiny import write_config, write_slim

import qcc
from qcc._paddle import paddle
from qcc.interrupts import StopRequest
from qcc.passes.scales import fresh_weight_scales
from qcc.train.config import load_config, load_slim
from qcc.train.loop.checkpoint import CheckpointStore, TrainingState
from qcc.train.programs.averages import Averages
from qcc.train.programs.scope import Arrays, write_scope
from qcc.train.quantize import quantize
from qcc.train.tasks.classifier import ClassifierTask

DECAY = 0.3


def test_averages_keep_less_in_the_first_steps() -> None:
    scope = paddle.static.Scope()
    averages = Averages(["w"], decay=0.25)
    write_scope(scope, {"w": np.array([1.0], np.float32)})
    averages.start(scope)
    expected = 1.0
    for step, (value, kept) in enumerate([(3.0, 1 / 10), (5.0, 2 / 11), (2.0, 0.25), (4.0, 0.25)]):
        write_scope(scope, {"w": np.array([value], np.float32)})
        averages.update(scope, step)
        expected = kept * expected + (1 - kept) * value
        assert averages.values()["w"] == pytest.approx(expected)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_images: Path) -> Path:
    """run/: a float epoch and two quantized ones with averages, the last one with batch norms that stand."""
    folder = tmp_path_factory.mktemp("averages")
    overrides = ("use_ema=true", f"ema_decay={DECAY}", "freeze_norm_epoch=2")
    config = load_config(write_config(folder, tiny_images), overrides)
    slim = load_slim(write_slim(folder / "run", 3, start_epoch=1, end_epoch=2))
    quantize(ClassifierTask(config), config, slim, Console(file=io.StringIO()), StopRequest())
    return folder


def state(folder: Path, epoch: int) -> Arrays:
    return TrainingState.read(CheckpointStore(folder / "run").epoch(epoch)).arrays


@pytest.mark.parametrize("epoch", [0, 2])
def test_averages_are_saved_and_training_goes_on_without(folder: Path, epoch: int) -> None:
    arrays, model = state(folder, epoch), qcc.load(folder / "run" / str(epoch) / "eval_model")
    for name in ("conv1_weights", "fc7_offset", "conv1_bn_mean"):
        np.testing.assert_array_equal(model.weights[name], arrays[f"ema/{name}"])
    assert not np.array_equal(arrays["ema/conv1_weights"], arrays["conv1_weights"])
    np.testing.assert_allclose(arrays["ema/conv1_weights"], arrays["conv1_weights"], atol=0.02)


def test_scales_of_weights_are_those_of_the_averages(folder: Path) -> None:
    model = qcc.load(folder / "run" / "2" / "eval_model")
    scales = fresh_weight_scales(model.graph)
    assert scales
    for name, scale in scales.items():
        np.testing.assert_array_equal(model.weights[name], scale)


def test_batch_norms_stand_still_while_weights_move(folder: Path) -> None:
    states = [state(folder, epoch) for epoch in range(3)]
    statistics = [
        name for name in states[0] if name.startswith("conv") and name.endswith(("mean", "variance"))
    ]
    assert len(statistics) == 2 * 27
    for name in statistics:
        assert not np.array_equal(states[0][name], states[1][name])
        np.testing.assert_array_equal(states[1][name], states[2][name])
    for name in ("conv1_weights", "conv1_bn_scale", "conv1_bn_offset"):
        assert not np.array_equal(states[1][name], states[2][name])
