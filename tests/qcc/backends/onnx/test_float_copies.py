"""Convolutions that are left float between quantized ones stay float in ONNX Runtime, and softmaxes do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lite_case import F, build_model, floats, static
from onnx_files import exported, frozen, without

import qcc
from qcc._paddle import paddle
from qcc.backends.engines.onnxruntime import OnnxRuntime
from qcc.model import Model
from qcc.targets.table import Target, find_target

IMAGE = floats(1, 8, 12, 12)
A_TIE = 5e-3
"""How far one that is rounded to the other side in the last layer may move what is fetched."""


def conv(x: Any, **options: Any) -> Any:
    return static.nn.conv2d(x, 8, 3, padding=1, **options)


LEFT: dict[str, Callable[[Any], Any]] = {
    "in the middle": lambda x: conv(F.relu(conv(F.relu(conv(x)), param_attr="float.w"))),
    "depthwise": lambda x: conv(F.relu(conv(F.relu(conv(x)), groups=8, param_attr="float.w"))),
    "clipped": lambda x: conv(F.relu6(conv(F.relu(conv(x)), param_attr="float.w"))),
    "transposed": lambda x: conv(
        F.relu(static.nn.conv2d_transpose(F.relu(conv(x)), 8, filter_size=2, stride=2, param_attr="float.w"))
    ),
}


def net(name: str) -> Model:
    """One channel of the float weight is a hundred times as large as the others."""
    model = build_model(LEFT[name], (IMAGE,))
    large = np.ones((8, 1, 1, 1), np.float32)
    large[0] = 100
    model.weights["float.w"] = model.weights["float.w"] * large
    return frozen(model, {"x0": IMAGE}, "float.w")


def off(model: Model, target: str | Target, folder: Path) -> float:
    """What ONNX Runtime makes of a file beside what the file says."""
    exported(model, {"x0": IMAGE}, target, folder, check=False)
    with (
        OnnxRuntime(folder / "model.onnx") as engine,
        OnnxRuntime(folder / "model.onnx", optimize=False) as plain,
    ):
        (found,), (expected,) = engine.run({"x0": IMAGE}), plain.run({"x0": IMAGE})
    return float(np.abs(found - expected).max() / np.ptp(expected))


@pytest.mark.parametrize("name", LEFT)
def test_stays_float(name: str, tmp_path: Path) -> None:
    exported(net(name), {"x0": IMAGE}, "onnxruntime", tmp_path)
    assert off(net(name), "onnxruntime", tmp_path) < A_TIE


@pytest.mark.parametrize("name", [name for name in LEFT if name != "transposed"])
def test_without_the_pass(name: str, tmp_path: Path) -> None:
    assert off(net(name), without("onnxruntime", "float-copies"), tmp_path) > A_TIE
    with OnnxRuntime(tmp_path / "model.onnx") as engine:
        assert engine.int8 == {"QLinearConv": 2}


def test_a_transposed_one_is_written_in_integers(tmp_path: Path) -> None:
    """It has no int8 kernel, and would get other integers."""

    def build(x: Any) -> Any:
        return conv(F.relu(static.nn.conv2d_transpose(F.relu(conv(x)), 8, filter_size=2, stride=2)))

    model = frozen(build_model(build, (IMAGE,)), {"x0": IMAGE})
    assert find_target("onnxruntime").facts_about("conv2d_transpose")[0].keep
    assert off(model, "onnxruntime", tmp_path) < A_TIE


def clipped_softmax(move: Callable[[Any], Any]) -> Model:
    """A softmax between quantized layers, with a scale that clips its largest values."""
    model = build_model(lambda x: conv(F.softmax(move(conv(x)), axis=1)), (IMAGE,))
    scales = '"x0=4.0","softmax_0.tmp_0=0.2"'
    return qcc.PassManager.parse(
        "transform{weight_type=channel_wise_abs_max,activation_type=moving_average_abs_max},"
        f"static-scales{{scales=[{scales}]}},freeze,prune"
    ).run(model)


MOVED: dict[str, Callable[[Any], Any]] = {
    "straight behind": lambda x: x,
    "turned": lambda x: paddle.transpose(x, [0, 1, 3, 2]),
}


@pytest.mark.parametrize("name", MOVED)
def test_a_softmax_is_clipped(name: str, tmp_path: Path) -> None:
    model = clipped_softmax(MOVED[name])
    assert off(model, "onnxruntime", tmp_path) < A_TIE
    assert off(model, without("onnxruntime", "float-copies"), tmp_path) > 10 * A_TIE
