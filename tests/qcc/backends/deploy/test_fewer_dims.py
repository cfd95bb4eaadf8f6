"""Values of more than six dimensions, which Paddle's oneDNN kernels do not take."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lite_case import F, build_model, floats, static
from onnx_files import frozen, without_step
from saved_models import MAJOR

import qcc
from qcc._paddle import paddle
from qcc.backends import deploy
from qcc.errors import OutputError, PassError
from qcc.model import Model

IMAGE = floats(1, 4, 8, 8)


def conv(x: Any, channels: int = 4) -> Any:
    return static.nn.conv2d(x, channels, 3, padding=1)


def apart(x: Any) -> Any:
    """As RAFT has the weights of nine neighbours for each of 2 x 2 pixels."""
    return paddle.reshape(conv(x, 36), [1, 1, 9, 2, 2, 8, 8])


def windows(x: Any) -> Any:
    """Of a video, as Video Swin has them: [N, D, H, W, C] in windows of 2 x 4 x 4."""
    video = paddle.reshape(paddle.transpose(conv(x, 16), [0, 2, 3, 1]), [1, 4, 2, 8, 4, 4])
    split = paddle.reshape(video, [1, 2, 2, 2, 1, 2, 4, 16])
    rows = paddle.reshape(paddle.transpose(split, [0, 1, 3, 5, 2, 4, 6, 7]), [8, 8, 16])
    return paddle.reshape(F.softmax(rows), [1, 16, 8, 8])


NETS: dict[str, Callable[[Any], Any]] = {
    "softmax": lambda x: paddle.max(F.softmax(apart(x), 2), 2),
    "product": lambda x: paddle.sum(apart(x) * paddle.mean(apart(x), [3, 4], keepdim=True), 2),
    "transpose": lambda x: paddle.transpose(apart(x), [0, 1, 4, 2, 5, 3, 6]),
    "activations": lambda x: paddle.square(F.gelu(apart(x) * 2.0 + 1.0)),
    "windows": windows,
    "reductions": lambda x: paddle.max(F.relu(apart(x)), [2, 4]) - paddle.mean(apart(x)),
}

TURNED = ("transpose", "windows")
"""Which Paddle 3 runs as they are."""


def net(name: str) -> Model:
    model = build_model(lambda x: conv(paddle.reshape(NETS[name](conv(x)), [1, -1, 8, 8])), (IMAGE,))
    return frozen(model, {"x0": IMAGE})


@pytest.mark.parametrize("name", NETS)
def test_right_in_paddle(name: str, tmp_path: Path) -> None:
    qcc.save(net(name), tmp_path, target="paddle-x86", check={"x0": IMAGE})


@pytest.mark.parametrize("name", [name for name in NETS if MAJOR < 3 or name not in TURNED])
def test_refused_without_it(name: str, tmp_path: Path) -> None:
    target = without_step("paddle-x86", "fewer-dims")
    with pytest.raises(OutputError, match=r"oneDNN int8: does not run: could not construct a memory"):
        deploy.save(net(name), tmp_path, target, None, None, None, {"x0": IMAGE})


def test_an_op_that_tells_them_apart_is_named(tmp_path: Path) -> None:
    model = build_model(
        lambda x: conv(paddle.reshape(paddle.flip(apart(conv(x)), [2]), [1, 36, 8, 8])), (IMAGE,)
    )
    with pytest.raises(
        PassError, match=r"flip.* has a value of 7 dimensions, .*\[1, 1, 9, 2, 2, 8, 8\].*openvino"
    ):
        qcc.save(frozen(model, {"x0": IMAGE}), tmp_path, target="paddle-x86", check={"x0": IMAGE})
