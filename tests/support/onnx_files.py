"""What tests of ONNX files share: small frozen networks, exported and looked into."""

from __future__ import annotations

import importlib.util
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from lite_case import F, build_model, floats, static

import qcc
from qcc.backends.onnx.export import export
from qcc.backends.onnx.form import onnx_form, unmeasured
from qcc.backends.report import Saved
from qcc.calibrate.activations import calibrated, scales_of
from qcc.model import Model
from qcc.targets.table import Target, find_target

Inputs = dict[str, np.ndarray]

HEAVY = "conv2d_0.w_0"
"""The weight of `heavy_conv`."""

needs_openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None,
    reason="OpenVINO is not installed; `pip install 'qcc[openvino]'`",
)


def exported(model: Model, inputs: Inputs, target: str | Target, folder: Path, **options: Any) -> Saved:
    """A model exported with all scales that the target wants, measured on its input, and checked on it unless
    the options say otherwise."""
    table = find_target(target) if isinstance(target, str) else target
    names = unmeasured(model, table)
    scales = scales_of(model, names, [inputs]) if names else {}
    return export(model, folder / "model.onnx", table, scales=scales, **{"check": inputs, **options})


def frozen(net: Model, inputs: Inputs, *skip_vars: str) -> Model:
    scheme = (
        "transform{weight_type=channel_wise_abs_max,activation_type=moving_average_abs_max,"
        f"skip_vars=[{','.join(skip_vars)}]}}"
    )
    return qcc.PassManager.parse("freeze,prune").run(
        calibrated(qcc.PassManager.parse(scheme).run(net), [inputs])
    )


def without(target: str, step: str) -> Target:
    """A target whose pipeline for ONNX lacks a pass."""
    table = find_target(target)
    form = onnx_form(table).model_copy(update={"pipeline": _left(onnx_form(table).pipeline, step)})
    return table.model_copy(update={"onnx": form})


def without_step(target: str, step: str) -> Target:
    """A target whose pipeline for models of Paddle lacks a pass."""
    table = find_target(target)
    return table.model_copy(update={"pipeline": _left(table.pipeline, step)})


def _left(pipeline: str, step: str) -> str:
    return ",".join(text for text in pipeline.split(",") if not text.startswith(step))


def heavy_conv(*, depthwise: int = 0, bias: bool = False) -> tuple[Model, Inputs]:
    """A frozen convolution whose sums of two products exceed 16 bits, and another one behind it.

    With `depthwise`, it makes so many channels of each. With `bias`, the first of its channels is nothing but
    a bias.
    """
    x = np.abs(floats(1, 8, 12, 12)) + 1

    def build(x: Any) -> Any:
        channels, groups = (8 * depthwise, 8) if depthwise else (8, 1)
        y = static.nn.conv2d(x, channels, 3, groups=groups, bias_attr=bias and None)
        return static.nn.conv2d(F.relu(y), 4, 1)

    net = build_model(build, (x,))
    net.weights[HEAVY] = np.full_like(net.weights[HEAVY], 0.25)
    if bias:
        net.weights[HEAVY] = net.weights[HEAVY] * np.array([1e-12, *[1] * 7], np.float32).reshape(8, 1, 1, 1)
        net.weights["conv2d_0.b_0"] = np.full(8, 2, np.float32)
    inputs = {"x0": x}
    return frozen(net, inputs), inputs


def residual() -> tuple[Model, Inputs]:
    """A frozen network with a residual addition behind two convolutions and a norm."""
    x = floats(1, 8, 12, 12)

    def block(x: Any) -> Any:
        y = F.relu(static.nn.batch_norm(static.nn.conv2d(x, 8, 3, padding=1), is_test=True))
        return F.relu(static.nn.conv2d(y, 8, 3, padding=1) + x)

    net = build_model(lambda x: static.nn.conv2d(block(F.relu(static.nn.conv2d(x, 8, 1))), 4, 1), (x,))
    inputs = {"x0": x}
    return frozen(net, inputs), inputs


def ops_of(file: Path) -> Counter[str]:
    """How many nodes of each type a file holds."""
    return Counter(node.op_type for node in onnx.load(str(file)).graph.node)
