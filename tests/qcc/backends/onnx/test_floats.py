"""Float models as ONNX files: biases of every shape, and weights that are shared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lite_case import F, build_model, floats, static

from qcc._paddle import paddle
from qcc.backends.engines.onnxruntime import OnnxRuntime
from qcc.backends.onnx.export import export
from qcc.model import Model
from qcc.targets.table import find_target

ONNXRUNTIME = find_target("onnxruntime")
IMAGE = floats(1, 3, 6, 6)


def outputs(model: Model, file: Path, *, weight_only: bool = False) -> np.ndarray:
    export(model, file, ONNXRUNTIME, weight_only=weight_only, check=False)
    with OnnxRuntime(file) as engine:
        (found,) = engine.run({"x0": IMAGE})
    return found


@pytest.mark.parametrize("shape", [[1, 1, 1, 1], [1, 8, 1, 1], [8, 1, 1], [1, 1, 6, 6]], ids=str)
def test_a_bias(shape: list[int], tmp_path: Path) -> None:
    """Of one value for all channels, for each, and for each pixel."""

    def build(x: Any) -> Any:
        bias = paddle.assign(np.arange(1, 1 + np.prod(shape), dtype=np.float32).reshape(shape))
        return static.nn.conv2d(x, 8, 3, padding=1, bias_attr=False) + bias

    model = build_model(build, (IMAGE,))
    (expected,) = model.run({"x0": IMAGE})
    np.testing.assert_allclose(outputs(model, tmp_path / "x.onnx"), expected, atol=1e-4)


def test_a_weight_that_two_convolutions_read(tmp_path: Path) -> None:
    def build(x: Any) -> Any:
        attr = paddle.ParamAttr(name="shared.w")
        y = static.nn.conv2d(x, 3, 3, padding=1, param_attr=attr, bias_attr=False)
        return static.nn.conv2d(F.relu(y), 3, 3, padding=1, param_attr=attr, bias_attr=False)

    model = build_model(build, (IMAGE,))
    (expected,) = model.run({"x0": IMAGE})
    found = outputs(model, tmp_path / "x.onnx", weight_only=True)
    assert np.abs(found - expected).max() < 0.05 * np.ptp(expected)
