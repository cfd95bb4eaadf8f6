"""What an engine rounds besides the inputs of quantized ops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lite_case import F, build_model, floats, static
from onnx_files import exported, frozen

from qcc._paddle import paddle
from qcc.backends.engines.onnxruntime import OnnxRuntime
from qcc.backends.onnx.form import between
from qcc.targets.table import find_target

TARGET = find_target("onnxruntime")


def attention(x: Any, nothing: float) -> Any:
    """Causal: what lies ahead gets `nothing`, as scaled_dot_product_attention writes it."""
    q, k, v = (
        paddle.transpose(paddle.reshape(static.nn.fc(x, 32, 2), [1, 16, 4, 8]), [0, 2, 1, 3]) for _ in "qkv"
    )
    scores = paddle.matmul(q * 2.0, k, transpose_y=True)
    ahead = paddle.cast(paddle.triu(paddle.ones([16, 16]), 1), "bool")
    mask = paddle.where(
        paddle.expand(ahead, [1, 4, 16, 16]),
        paddle.full([1, 4, 16, 16], nothing),
        paddle.zeros([1, 4, 16, 16]) + 0.0 * paddle.mean(x),
    )
    seen = paddle.matmul(F.softmax(scores + mask), v)
    return static.nn.fc(paddle.reshape(paddle.transpose(seen, [0, 2, 1, 3]), [1, 16, 32]), 16, 2)


@pytest.mark.parametrize("nothing", [-1e4, -np.inf])
def test_scores_with_a_mask_are_not_rounded(nothing: float, tmp_path: Path) -> None:
    inputs = {"x0": floats(1, 16, 32)}
    model = frozen(build_model(lambda x: attention(x, nothing), [inputs["x0"]], batch=1), inputs)
    assert between(model, TARGET) == {}
    exported(model, inputs, "onnxruntime", tmp_path)
    with OnnxRuntime(tmp_path / "model.onnx") as engine:
        (found,), (expected,) = engine.run(inputs), model.run(inputs)
    assert np.abs(found - expected).max() < 0.05 * np.ptp(expected)
