"""Maxima over dimensions in front of quantized layers, which OpenVINO rounds to whole numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lite_case import F, build_model, floats, static
from onnx_files import exported, frozen, needs_openvino, without, without_step

import qcc
from qcc._paddle import paddle
from qcc.backends import deploy
from qcc.errors import OutputError
from qcc.model import Model
from qcc.targets.table import find_target

IMAGE = floats(1, 8, 12, 12)
WITHOUT = "lone-extremes"


def conv(x: Any, channels: int = 8, kernel: int = 3) -> Any:
    return static.nn.conv2d(x, channels, kernel, padding=kernel // 2)


def attention_over_channels(x: Any) -> Any:
    shared = conv(F.adaptive_max_pool2d(x, 1), 4, 1)
    return x * F.sigmoid(conv(F.relu(shared), 8, 1))


def attention_over_places(x: Any) -> Any:
    both = paddle.concat([paddle.mean(x, 1, keepdim=True), paddle.max(x, 1, keepdim=True)], 1)
    return x * F.sigmoid(conv(both, 1, 7))


MAXIMA: dict[str, Callable[[Any], Any]] = {
    "attention over channels": lambda x: conv(attention_over_channels(conv(x))),
    "attention over places": lambda x: conv(attention_over_places(conv(x))),
    "of inputs": lambda x: conv(paddle.max(x, 1, keepdim=True)),
    "least": lambda x: conv(paddle.min(conv(x), 3, keepdim=True)),
    "behind an activation": lambda x: conv(F.sigmoid(paddle.max(x, [1, 2], keepdim=True))),
    "without its dimension": lambda x: static.nn.fc(paddle.max(conv(x), [2, 3]), 5),
    "to one pixel": lambda x: conv(F.adaptive_max_pool2d(F.relu(conv(x)), 1), 4, 1),
}


# How far it is off is little behind a sigmoid, on the inputs here.
WRONG = [name for name in MAXIMA if name != "attention over channels"]


@needs_openvino
@pytest.mark.parametrize("name", MAXIMA)
def test_right_as_onnx(name: str, tmp_path: Path) -> None:
    exported(net(name), {"x0": IMAGE}, "openvino", tmp_path)


@needs_openvino
@pytest.mark.slow
@pytest.mark.parametrize("name", WRONG)
def test_wrong_as_onnx_without_the_pass(name: str, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"the engine, OpenVINO, beside that: off by"):
        exported(net(name), {"x0": IMAGE}, without("openvino", WITHOUT), tmp_path)


@needs_openvino
@pytest.mark.parametrize("name", MAXIMA)
def test_right_in_models_of_paddle(name: str, tmp_path: Path) -> None:
    deploy.save(net(name), tmp_path, find_target("openvino"), None, None, None, check={"x0": IMAGE})


@needs_openvino
@pytest.mark.slow
@pytest.mark.parametrize("name", WRONG)
def test_wrong_in_models_of_paddle_without_the_pass(name: str, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"OpenVINO: off by"):
        deploy.save(
            net(name), tmp_path, without_step("openvino", WITHOUT), None, None, None, check={"x0": IMAGE}
        )


def net(name: str) -> Model:
    return frozen(build_model(MAXIMA[name], (IMAGE,)), {"x0": IMAGE})


def test_of_a_value_that_is_written_twice() -> None:
    def build(x: Any) -> Any:
        y = x * 1.0
        for axis in (3, 2):
            attrs = {"dim": [axis], "keep_dim": True}
            static.default_main_program().current_block().append_op(
                type="reduce_max", inputs={"X": [y]}, outputs={"Out": [y]}, attrs=attrs
            )
        return y

    model = build_model(build, (IMAGE,))
    (found,) = qcc.PassManager.parse(WITHOUT).run(model).run({"x0": IMAGE})
    np.testing.assert_array_equal(found, IMAGE.max((2, 3), keepdims=True))
