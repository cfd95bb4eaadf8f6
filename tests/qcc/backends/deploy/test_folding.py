"""What stands behind a quantized convolution goes into its scales and a bias, in every form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lite_case import F, build_model, floats, static
from onnx_files import frozen

import qcc
from qcc._paddle import paddle
from qcc.backends.deploy.form import for_target
from qcc.targets.table import find_target


def affine_block(x: Any) -> Any:
    """PP-LCNetV3's: a norm, a learnt factor and a learnt shift."""
    y = static.nn.batch_norm(static.nn.conv2d(x, 8, 3, bias_attr=False), is_test=True)
    factor = static.create_parameter([1], "float32", default_initializer=paddle.nn.initializer.Constant(1.5))
    shift = static.create_parameter([1], "float32", default_initializer=paddle.nn.initializer.Constant(0.25))
    return static.nn.conv2d(F.relu(factor * y + shift), 4, 1)


@pytest.mark.parametrize("name", ["paddle-x86", "openvino", "onnxruntime", "tensorrt"])
def test_an_affine_block_is_one_bias(name: str, tmp_path: Path) -> None:
    given = {"x0": floats(2, 3, 9, 9)}
    model = frozen(build_model(affine_block, tuple(given.values())), given)
    formed = for_target(model, find_target(name))[0]
    left = [op.type for op in formed.graph.ops if not op.type.endswith("quantize_linear")]
    assert left == ["conv2d", "elementwise_add", "relu", "conv2d", "elementwise_add"]
    if find_target(name).checked_in != "onnx":
        qcc.save(model, tmp_path, target=name, check=given)
