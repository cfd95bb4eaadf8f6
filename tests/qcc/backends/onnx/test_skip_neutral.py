"""What ONNX Runtime takes out by itself, between what is quantized in front of it and behind it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lite_case import F, build_model, floats, static
from onnx_files import exported, frozen, without

from qcc._paddle import paddle
from qcc.backends.engines.onnxruntime import OnnxRuntime
from qcc.errors import OutputError
from qcc.model import Model

Build = Callable[[Any], Any]


def affine(x: Any) -> Any:
    """As in PP-HGNetV2, one factor and one bias for all channels, before they are trained."""
    return paddle.full([1], 1.0) * x + paddle.full([1], 0.0)


def dropped(x: Any) -> Any:
    return F.dropout(x, 0.5, training=False)


NEUTRAL: dict[str, Build] = {
    "affine": affine,
    "dropout": dropped,
    "assign": paddle.assign,
    "scale": lambda x: x * 1.0,
}


def net(neutral: Build) -> tuple[Model, dict[str, np.ndarray]]:
    """Something neutral between what a convolution writes and what others, an addition among them, read."""
    x = floats(1, 3, 12, 12)

    def build(x: Any) -> Any:
        y = neutral(F.relu(static.nn.conv2d(x, 8, 3)))
        branch = neutral(F.relu(static.nn.conv2d(y, 8, 3, padding=1)))
        return static.nn.conv2d(y + branch, 4, 1)

    inputs = {"x0": x}
    return frozen(build_model(build, (x,)), inputs), inputs


@pytest.mark.parametrize("name", NEUTRAL)
def test_runs_in_int8(name: str, tmp_path: Path) -> None:
    model, inputs = net(NEUTRAL[name])
    exported(model, inputs, "onnxruntime", tmp_path)
    with OnnxRuntime(tmp_path / "model.onnx") as engine:
        assert (engine.int8, engine.floats) == ({"QLinearConv": 2, "QLinearAdd": 1}, {"Conv": 1})


@pytest.mark.slow
@pytest.mark.parametrize("name", NEUTRAL)
def test_without_the_pass(name: str, tmp_path: Path) -> None:
    """Of a variable that is quantized twice it makes one, with a scale that its addition refuses."""
    model, inputs = net(NEUTRAL[name])
    with pytest.raises(OutputError, match=r"QLinearAdd.*Scale and Zero-point must be a scalar"):
        exported(model, inputs, without("onnxruntime", "skip-neutral"), tmp_path)
