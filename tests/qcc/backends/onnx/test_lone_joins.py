"""Tokens of several levels, and rows of maps, that are joined in front of a quantized layer, in OpenVINO."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lite_case import build_model, floats, static
from onnx_files import exported, frozen, needs_openvino, without

from qcc._paddle import paddle
from qcc.backends.engines.openvino import OpenVino
from qcc.errors import OutputError
from qcc.model import Model

pytestmark = needs_openvino
IMAGE = floats(1, 3, 32, 32)


def levels(x: Any) -> tuple[Any, Any]:
    fine = static.nn.conv2d(x, 16, 3, 4, 1)
    return fine, static.nn.conv2d(fine, 16, 3, 2, 1)


def tokens(x: Any) -> Any:
    """As the encoders of DETR and its kin take them."""
    parts = [paddle.transpose(paddle.flatten(level, 2), [0, 2, 1]) for level in levels(x)]
    return static.nn.fc(paddle.concat(parts, 1), 8, num_flatten_dims=2)


def rows(x: Any) -> Any:
    fine, coarse = levels(x)
    return static.nn.conv2d(paddle.concat([fine[:, :, :, :4], coarse], 2), 8, 1)


JOINED: dict[str, Callable[[Any], Any]] = {"tokens": tokens, "rows": rows}


def net(name: str) -> Model:
    return frozen(build_model(JOINED[name], (IMAGE,)), {"x0": IMAGE})


@pytest.mark.parametrize("name", JOINED)
def test_runs_in_int8(name: str, tmp_path: Path) -> None:
    assert not exported(net(name), {"x0": IMAGE}, "openvino", tmp_path).warnings
    with OpenVino(tmp_path / "model.onnx") as engine:
        engine.run({"x0": IMAGE})
        assert (sum(engine.int8.values()), engine.floats) == (3, {})


@pytest.mark.parametrize("name", JOINED)
def test_without_the_pass(name: str, tmp_path: Path) -> None:
    target = without("openvino", "lone-joins")
    if name == "tokens":
        with pytest.raises(OutputError, match="OpenVINO ended with code 1"):
            exported(net(name), {"x0": IMAGE}, target, tmp_path)
        return
    exported(net(name), {"x0": IMAGE}, target, tmp_path)
    with OpenVino(tmp_path / "model.onnx") as engine:
        engine.run({"x0": IMAGE})
        assert engine.floats == {"Convolution": 1}
