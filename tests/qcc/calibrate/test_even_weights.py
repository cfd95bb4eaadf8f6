"""Weights that oneDNN halves where it has no VNNI: rounded to even integers, they lose nothing by that."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from lite_case import F, build_model, conv, floats

import qcc
from qcc._paddle import paddle
from qcc.backends.agreement import Distance, distances
from qcc.backends.engines.engine import Engine
from qcc.backends.onednn_rounding import as_onednn_rounds
from qcc.backends.predictor import PaddleExecutor, Predictor
from qcc.backends.reference import write_opened
from qcc.calibrate.quantize import Effort
from qcc.model import Model
from qcc.passes.frozen import frozen_ops
from qcc.targets.table import find_target

TARGET = "paddle-x86"


def build(x: object) -> object:
    y = F.hardswish(conv(16, 3, padding=1)(F.relu(conv(16, 3, padding=1)(x))))
    y = F.hardswish(conv(16, 3, padding=1)(y))
    return paddle.nn.Linear(16, 5)(paddle.flatten(F.adaptive_avg_pool2d(y, 1), 1))


@pytest.fixture(scope="module")
def model() -> Model:
    return build_model(build, (floats(2, 8, 12, 12),))


@pytest.fixture(scope="module")
def batches() -> list[dict[str, np.ndarray]]:
    return [
        {"x0": np.random.default_rng(n).standard_normal((2, 8, 12, 12)).astype(np.float32)} for n in range(6)
    ]


def integers(model: Model) -> dict[str, np.ndarray]:
    return {found.weight.name: model.weights[found.weight.name] for found in frozen_ops(model.graph)}


def odd(weight: np.ndarray) -> np.ndarray:
    return weight[(np.abs(weight) % 2 == 1) & (np.abs(weight) != 127)]


@pytest.mark.parametrize("effort", ["calibrated", "accurate"])
def test_weights_that_meet_signed_activations_are_even(
    effort: Effort, model: Model, batches: list[dict[str, np.ndarray]]
) -> None:
    without = ["float-input"] if effort == "accurate" else []
    frozen = qcc.quantize(model, batches, effort, target=TARGET, without=without)
    assert "even integers for 2 weights" in frozen.provenance.pipelines
    weights = integers(frozen)
    counts = [odd(weights[f"conv2d_{number}.w_0"]).size for number in range(3)]
    assert counts[0] == counts[2] == 0
    assert counts[1] > 0.4 * weights["conv2d_1.w_0"].size
    for number in range(3):
        assert (np.abs(weights[f"conv2d_{number}.w_0"]).max((1, 2, 3)) == 127).all()


def test_other_targets_have_odd_ones(model: Model, batches: list[dict[str, np.ndarray]]) -> None:
    for target in (None, "openvino", "lite-arm"):
        weights = integers(qcc.quantize(model, batches, target=target))
        assert all(odd(weight).size > 0.4 * weight.size for weight in weights.values()), target


def test_the_engine_gives_what_the_file_says(
    model: Model, batches: list[dict[str, np.ndarray]], tmp_path: Path
) -> None:
    """Without VNNI; with it, both are exact."""
    even = _off(qcc.quantize(model, batches, target=TARGET), batches[0], tmp_path / "even")
    left = _off(qcc.quantize(model, batches), batches[0], tmp_path / "left")
    assert even.mean < max(left.mean / 2, 1e-5)


def _off(frozen: Model, batch: dict[str, np.ndarray], folder: Path) -> Distance:
    """How far oneDNN's engine is from what it is to compute."""
    qcc.save(frozen, folder, target=TARGET, check=False)
    listed = find_target(TARGET).int8_ops
    saved, params = qcc.load(folder), folder / "model.pdiparams"
    write_opened(as_onednn_rounds(saved.graph, listed), saved.fetches, folder / "rounded")
    expected = PaddleExecutor(folder / "rounded", params).run(batch)
    engine = Predictor(folder / "model.pdmodel", params, Engine(onednn=True, int8=True, int8_ops=listed))
    (distance,) = distances(engine.run(batch), expected)
    return distance
