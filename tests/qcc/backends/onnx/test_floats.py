"""Float models as ONNX files: biases of every shape, and weights that are shared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lite_case import F, build_model, floats, static
from onnx_files import exported, frozen

from qcc._paddle import paddle
from qcc.backends.deploy.passes.fold_priors import FoldPriors
from qcc.backends.engines.onnxruntime import OnnxRuntime
from qcc.backends.onnx.export import export
from qcc.calibrate.activations import calibrated
from qcc.errors import OutputError
from qcc.model import Model
from qcc.passes import PassManager
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


def test_a_bias_of_zeros_in_front_of_a_softmax(tmp_path: Path) -> None:
    model = build_model(lambda x: F.softmax(static.nn.conv2d(x, 4, 1), 1), (IMAGE,), batch=1)
    (bias,) = [name for name, value in model.weights.items() if value.ndim == 1]
    model.weights[bias] = np.zeros(4, np.float32)
    saved = export(model, tmp_path / "x.onnx", ONNXRUNTIME, check={"x0": IMAGE})
    assert all(check.good for check in saved.checks)


def test_a_weight_that_two_convolutions_read(tmp_path: Path) -> None:
    def build(x: Any) -> Any:
        attr = paddle.ParamAttr(name="shared.w")
        y = static.nn.conv2d(x, 3, 3, padding=1, param_attr=attr, bias_attr=False)
        return static.nn.conv2d(F.relu(y), 3, 3, padding=1, param_attr=attr, bias_attr=False)

    model = build_model(build, (IMAGE,))
    (expected,) = model.run({"x0": IMAGE})
    found = outputs(model, tmp_path / "x.onnx", weight_only=True)
    assert np.abs(found - expected).max() < 0.05 * np.ptp(expected)


@pytest.mark.parametrize("weight_only", [False, True])
def test_pools_of_unequal_parts(weight_only: bool, tmp_path: Path) -> None:
    """Fewer parts than pixels, more, and as many in one direction; shares are no weights to be rounded."""

    def build(x: Any) -> Any:
        y = static.nn.conv2d(x, 8, 3, padding=1)
        pools = [F.adaptive_avg_pool2d(y, parts) for parts in (4, 9, (2, 5), (6, 4))]
        return paddle.concat([paddle.flatten(pool, 1) for pool in pools], 1)

    model = build_model(build, (IMAGE,))
    (expected,) = model.run({"x0": IMAGE})
    found = outputs(model, tmp_path / "x.onnx", weight_only=weight_only)
    assert np.abs(found - expected).max() < (0.02 if weight_only else 1e-5) * np.ptp(expected)


@pytest.mark.slow
@pytest.mark.parametrize("target", ["onnxruntime", "openvino"])
def test_pools_of_unequal_parts_between_integers(target: str, tmp_path: Path) -> None:
    def build(x: Any) -> Any:
        y = F.relu(static.nn.conv2d(x, 8, 3, padding=1))
        return static.nn.conv2d(F.adaptive_avg_pool2d(y, 4), 8, 1) * 1.0

    model = build_model(build, (IMAGE,))
    transformed = PassManager.parse("transform{activation_type=moving_average_abs_max}").run(model)
    frozen = PassManager.parse("freeze,prune").run(calibrated(transformed, [{"x0": IMAGE}]))
    saved = exported(frozen, {"x0": IMAGE}, target, tmp_path)
    assert saved.checks[-1].good


def test_prior_boxes(tmp_path: Path) -> None:
    def build(x: Any) -> Any:
        y = static.nn.conv2d(x, 4, 3, stride=2, padding=1)
        boxes, variances = paddle.vision.ops.prior_box(y, x, min_sizes=[2.0], aspect_ratios=[2.0], flip=True)
        return paddle.mean(y) + boxes * variances

    model = build_model(build, (IMAGE,))
    (expected,) = model.run({"x0": IMAGE})
    np.testing.assert_allclose(outputs(model, tmp_path / "x.onnx"), expected, atol=1e-5)


def test_boxes_that_nothing_reads_change_nothing() -> None:
    def build(x: Any) -> Any:
        y = static.nn.conv2d(x, 4, 3)
        paddle.vision.ops.prior_box(y, x, min_sizes=[2.0])
        return y

    graph = build_model(build, (IMAGE,)).graph
    assert any(op.type == "prior_box" for op in graph.ops)
    assert not FoldPriors().apply(graph).modified


def read_in_part(x: Any, lengths: Any) -> Any:
    """A line of text as long as it is told: paddle2onnx reads all of it."""
    y, _ = paddle.nn.LSTM(8, 6, direction="bidirect")(F.relu(x), sequence_length=lengths)
    return static.nn.fc(y, 4, num_flatten_dims=2)


@pytest.mark.parametrize("form", ["float", "frozen"])
def test_of_what_is_computed_together_the_op_that_is_wrong_is_named(form: str, tmp_path: Path) -> None:
    inputs = {"x0": floats(2, 12, 8), "x1": np.array([5, 12])}
    model = build_model(read_in_part, tuple(inputs.values()), batch=2)
    model = frozen(model, inputs) if form == "frozen" else model
    with pytest.raises(OutputError, match=r"which is wrong: on equal inputs the rnn of '.*' is off by"):
        exported(model, inputs, "onnxruntime", tmp_path)
